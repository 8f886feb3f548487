"""Several processes take the steps that one process takes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import asked, options

import regard
from regard.errors import ConfigError
from regard.training import device as devices

SETTINGS = (
    "model.encoder.dropout=0.2",
    "model.decoder.dropout=0.2",
    "train.accumulate=4",
    "train.save_steps=9",
)


def start(rank: int, port: int, *python: str) -> subprocess.Popen[str]:
    """What torchrun does."""
    places = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    home = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *python],
        env={**os.environ, **places, **home},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def two_processes(*python: str) -> tuple[list[int], str]:
    """Their exit statuses, and what they said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [start(rank, port, *python) for rank in range(2)]
    try:
        said = [process.communicate(timeout=90)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return [process.returncode for process in processes], "\n".join(said)


def losses(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def test_two_processes_lose_as_one_does(pairs: Path, tmp_path: Path) -> None:
    """Dropout included: the seed of a batch does not depend on who computes it."""
    two, one = tmp_path / "two", tmp_path / "one"
    command = ["train", "translation", str(pairs), "--out", str(two), "--steps", "30", *options(*SETTINGS)]
    statuses, said = two_processes("-m", "regard", *command)
    assert statuses == [0, 0], said
    wishes = asked(pairs, *SETTINGS)
    trained = regard.train(
        "translation", pairs, one, settings=wishes.settings, steps=30, quiet=True, threads=1
    )
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    counted = json.loads((two / "metrics.json").read_text("utf-8"))
    assert counted["tokens"] == trained.bundle.metrics["tokens"]
    assert "2 processes" in said
    assert said.count("saved in") == 1, "one process speaks"


# Trains, and prints the names of the native threads of the process that belong to its group.
ENDING = """
import sys
from pathlib import Path
from regard.cli.main import main
sys.argv[0] = "regard"
try:
    main()
finally:
    names = [(thread / "comm").read_text().strip() for thread in Path("/proc/self/task").iterdir()]
    print("left behind:", [name for name in names if "gloo" in name or "tcpstore" in name])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="native threads are counted in /proc")
def test_the_groups_threads_end_before_the_interpreter_does(pairs: Path, tmp_path: Path) -> None:
    """One that lets go of a tensor later aborts a process whose work is done, now and then."""
    command = ["train", "translation", str(pairs), "--out", str(tmp_path / "run"), "--steps", "4"]
    statuses, said = two_processes("-c", ENDING, *command, *options("train.accumulate=2"))
    assert statuses == [0, 0], said
    assert said.count("left behind: []") == 2, said


def test_processes_that_cannot_share_a_step_are_told_how(pairs: Path, tmp_path: Path) -> None:
    command = ["train", "translation", str(pairs), "--out", str(tmp_path / "run"), "--steps", "3", *options()]
    statuses, said = two_processes("-m", "regard", *command, "--set", "train.accumulate=3")
    assert 2 in statuses
    assert "regard: train.accumulate is 3; it must be a multiple of 2, the number of processes" in said
    assert not (tmp_path / "run").exists()


def test_each_process_has_a_device_of_its_own_or_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process touches another's, where even a small tensor would take hundreds of megabytes."""
    touched: list[object] = []
    monkeypatch.setattr(devices, "pick_device", lambda name: touched.append(name) or torch.device("cpu"))
    for cuda, given, want in ((True, None, "cuda:3"), (True, "cuda", "cuda:3"), (True, "cpu", "cpu"),
                              (False, None, "cpu"), (False, "auto", "cpu")):  # fmt: skip
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        devices._own(given, 3)
        assert touched.pop() == want
    for shared in ("cuda:1", "mps"):
        with pytest.raises(ConfigError, match=shared):
            devices._own(shared, 3)
    assert not touched
