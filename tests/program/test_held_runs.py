"""A folder that is trained is nobody else's, whatever the other command is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import options

from regard.locks import LOCK
from tests.program.conftest import Cli


@pytest.fixture
def training(pairs: Path, run: Path, tmp_path: Path) -> Iterator[Path]:
    """The folder of a run that another process trains anew."""
    out = tmp_path / "run"
    shutil.copytree(run, out)
    arguments = ["train", "translation", pairs, "--out", out, "--overwrite", "--steps", 1_000_000, *options()]
    with subprocess.Popen(
        [sys.executable, "-m", "regard", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    ) as process:
        until = time.monotonic() + 120
        while not (out / "training" / "examples" / "source.npy").exists():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        yield out
        assert process.poll() is None, "it was disturbed"
        process.kill()


@pytest.mark.slow
def test_no_command_writes_into_a_folder_that_is_trained(
    training: Path, pairs: Path, run: Path, cli: Cli, tmp_path: Path
) -> None:
    before = sorted(path.name for path in training.iterdir())
    train = ["train", "translation", pairs, "--out", training, "--steps", 1_000_000, *options()]
    for arguments in (
        [*train, "--overwrite"],
        [*train, "--resume"],
        ["train", "text-generation", pairs, "--out", training, "--overwrite", "--preset", "micro"],
    ):
        answer = cli(*arguments)
        assert answer.status == 1
        assert f"{training} is being trained by process" in answer.err
        assert "Traceback" not in answer.err
    assert sorted(path.name for path in training.iterdir()) == before
    assert (training / LOCK).exists()
    assert cli("predict", training, "abc").status == 0  # the old bundle stands, and may be used


def test_a_run_leaves_no_lock_behind(run: Path) -> None:
    assert not (run / LOCK).exists()
