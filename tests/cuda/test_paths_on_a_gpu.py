"""Training, resuming, asking and looking inside on a GPU."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from test_registry import DATA, INPUTS, QUICK
from tiny import SETTINGS

import regard
from regard.run import Run
from regard.tasks import TASKS, Decoding, Sampling
from regard.training.callbacks import Saving
from regard.weights import read_weights

every = pytest.mark.parametrize("name", TASKS)
STILL = ("model.dropout=0", "train.optimizer=adamw", "train.lr=1e-3", "train.optimizer.eps=1e-4")
"""Nothing that differs by rounding alone, as the sign of a gradient of nothing does."""
Make = Callable[[str], tuple[Path, Path, Path]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Data of a task, a run that was trained on the processor, and the folder of all this."""

    @cache
    def make(name: str) -> tuple[Path, Path, Path]:
        folder = tmp_path_factory.mktemp("task")
        data = DATA[name](folder)
        train(name, data, folder / "run", device="cpu")
        return data, folder / "run", folder

    return make


def train(name: str, data: Path, out: Path, *more: str, **options: Any) -> None:
    settings = (*QUICK, "model.depth=2", "train.evaluations=1", "train.valid_rows=20", *STILL, *more)
    regard.train(name, data, out, settings=settings, **({"steps": 4, "quiet": True} | options))


def stop_after(patch: pytest.MonkeyPatch, step: int) -> None:
    """Training is told to stop when it has taken so many steps."""
    save = Saving.step

    def stop(self: Saving, trainer: Any) -> str | None:
        self.stop.asked = trainer.at.step == step
        return save(self, trainer)

    patch.setattr(Saving, "step", stop)


def losses(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def asked(name: str, folder: Path) -> list[str]:
    return [str(folder / given) if name.startswith("image") else given for given in INPUTS[name]]


@every
def test_training_is_that_of_the_processor(name: str, made: Make) -> None:
    data, run, folder = made(name)
    train(name, data, folder / "there", device="cuda")
    here, there = (read_weights(out / "model.safetensors") for out in (run, folder / "there"))
    for key, value in here.items():
        torch.testing.assert_close(there[key], value, atol=3e-3, rtol=3e-2)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_every_precision_and_optimizer_learns(
    optimizer: str, precision: str, pairs: Path, tmp_path: Path
) -> None:
    settings = (*SETTINGS, f"train.precision={precision}", f"train.optimizer={optimizer}")
    regard.train(
        "translation", pairs, tmp_path / "run", settings=settings, steps=120, quiet=True, device="cuda"
    )
    found = losses(tmp_path / "run")
    assert all(map(math.isfinite, found))
    assert found[-1] < 0.7 * found[0]
    weights = read_weights(tmp_path / "run" / "model.safetensors").values()
    assert all(weight.dtype == torch.float32 for weight in weights)


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_resumed_run_takes_the_steps_of_the_whole(
    optimizer: str, precision: str, made: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropout included; sums whose order chance decides may differ by a rounding."""
    data, _, _ = made("translation")
    settings = (f"train.precision={precision}", f"train.optimizer={optimizer}", "model.dropout=0.1")
    if optimizer == "adamw":
        settings = (*settings, *STILL[1:])
    options: Any = {"steps": 7, "device": "cuda"}
    train("translation", data, tmp_path / "whole", *settings, **options)
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            train("translation", data, tmp_path / "parts", *settings, **options)
    train("translation", data, tmp_path / "parts", *settings, resume=True, **options)
    one, other = (read_weights(tmp_path / out / "model.safetensors") for out in ("whole", "parts"))
    for key, value in one.items():
        torch.testing.assert_close(other[key], value, atol=1e-4, rtol=1e-3)


def test_training_that_began_on_the_processor_goes_on_here(
    made: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a checkpoint holds is put where it belongs."""
    data, run, _ = made("translation")
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            train("translation", data, tmp_path / "run", device="cpu")
    train("translation", data, tmp_path / "run", device="cuda", resume=True)
    here, there = (read_weights(out / "model.safetensors") for out in (run, tmp_path / "run"))
    for key, value in here.items():
        torch.testing.assert_close(there[key], value, atol=3e-3, rtol=3e-2)


def pair(run: Path) -> tuple[Run, Run]:
    return regard.load(run, "cpu"), regard.load(run, "cuda")


@every
def test_answers_and_figures_are_those_of_the_processor(name: str, made: Make) -> None:
    data, run, folder = made(name)
    here, there = pair(run)
    options = [Decoding(), *([Decoding(beam=3, n=2, max_length=9)] if name == "translation" else [])]
    for decoding in options:
        both = (one.predictions(asked(name, folder), decoding) for one in (here, there))
        for want, got in zip(*both, strict=True):
            assert got.value.plain() == want.value.plain() or name in (
                "sentence-similarity",
                "image-classification",
            )
            assert got.score == pytest.approx(want.score, abs=1e-3)
    figures = [one.evaluate(data, limit=9, baselines=False).metrics for one in (here, there)]
    for key, value in figures[0].items():
        if isinstance(value, float):
            assert figures[1][key] == pytest.approx(value, abs=1e-2, rel=1e-2), key


@every
def test_what_is_inside_is_what_the_processor_has(name: str, made: Make) -> None:
    data, run, folder = made(name)
    here, there = pair(run)
    text = asked(name, folder)[0]
    assert all(finding.holds for finding in there.verify(asked(name, folder)))
    one, other = (each.trace(text, Decoding()) for each in (here, there))
    assert one.names == other.names
    for key in one.names:
        torch.testing.assert_close(other[key].value, one[key].value, atol=1e-3, rtol=1e-2, equal_nan=True)
    there.ablate(data, limit=3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8"])
def test_text_is_written_in_every_format(dtype: str, made: Make) -> None:
    _, run, _ = made("text-generation")
    there = regard.load(run, "cuda", dtype)
    drawn = Decoding(beam=3, n=3, sampling=Sampling(temperature=1.0, top_k=5, seed=3), max_length=7)
    for decoding in (Decoding(max_length=7), drawn):
        assert len(there.predictions(["a man"], decoding)) == 1
    assert [*there.write("a man", Decoding(max_length=7))]


def test_two_processes_share_the_devices(pairs: Path, tmp_path: Path) -> None:
    """As torchrun starts them; on one device a second process is refused by name."""
    import os
    import socket
    import subprocess
    import sys

    if torch.cuda.device_count() < 2:
        pytest.skip("there is one GPU only")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "regard",
        "train",
        "translation",
        str(pairs),
        "--out",
        str(tmp_path / "run"),
    ]
    command += [*(word for setting in SETTINGS for word in ("--set", setting)), "--set", "train.accumulate=2"]
    command += ["--steps", "6"]
    places = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    children = [
        subprocess.Popen(command, env={**os.environ, **places, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
    assert [child.wait(timeout=120) for child in children] == [0, 0]
