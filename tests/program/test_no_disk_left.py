"""No room is left: one sentence, and what was saved stays."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from answers import one_sentence
from tiny import options

Cli = Callable[..., Any]


def program(*arguments: object, **settings: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "regard", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "REGARD_KERNELS": "plain"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, **settings)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root can mount; the limit on file sizes is tested everywhere")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(cli: Cli, small_disk: Path, pairs: Path) -> None:
    out = small_disk / "run"
    big = ("--set", "model.encoder.width=320", "--set", "model.decoder.width=320")
    answer = cli("train", "translation", pairs, "--out", out, "--steps", 3, *options(), *big)
    one_sentence(answer, "free some space", status=1)
    assert not (out / "config.json").exists()
    small = cli("train", "translation", pairs, "--out", out, "--steps", 3, *options(), "--overwrite")
    assert small.status == 0, small.err


def test_a_disk_that_fills_up_while_training_keeps_the_last_checkpoint(
    cli: Cli, small_disk: Path, pairs: Path
) -> None:
    out, filler = small_disk / "run", small_disk / "filler"
    often = options("train.save_steps=2", "train.evaluations=1")
    with pytest.MonkeyPatch.context() as patch:
        import regard.training.loop as loop

        save, saved = loop.save_checkpoint, []

        def save_and_fill(*arguments: Any) -> None:
            save(*arguments)
            if not saved:
                free = shutil.disk_usage(small_disk).free
                filler.write_bytes(bytes(max(0, free - 8192)))
            saved.append(1)

        patch.setattr(loop, "save_checkpoint", save_and_fill)
        answer = cli("train", "translation", pairs, "--out", out, "--steps", 9, *often)
    one_sentence(answer, "free some space", status=1)
    filler.unlink()
    resumed = cli("train", "translation", pairs, "--out", out, "--steps", 9, *often, "--resume")
    assert resumed.status == 0, resumed.err
    assert json.loads((out / "metrics.json").read_text())["steps"] == 9


def test_a_limit_on_file_sizes(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    ended = program(
        *("train", "translation", pairs, "--out", out, "--steps", 3, *options()),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert ended.returncode == 1, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("regard: cannot write ")
    assert "Traceback" not in ended.stderr
    assert not (out / "config.json").exists()


def test_output_that_cannot_be_written(run: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "regard", "predict", str(run), "abc"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "REGARD_KERNELS": "plain"},
        )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("regard: cannot write standard output: the disk is full")
