"""A run that was killed and resumed ends with the same weights, to the bit, as one that was not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny import options

from regard.training.checkpoint import FILE, save_checkpoint

KILLS = 12
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
DROPOUT = ("model.encoder.dropout=0.2", "model.decoder.dropout=0.2")
OFTEN = ("train.save_steps=7", "train.evaluations=5", "train.snapshots=3", "train.valid_rows=8")


class Shell:
    """Runs commands, and kills them, by way of `forked.py`."""

    def __init__(self, errors: Path) -> None:
        self.errors = errors
        program = [sys.executable, str(Path(__file__).with_name("forked.py")), str(errors)]
        self._server = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ONE_THREAD
        )
        assert self._read() == "ready"

    def _read(self) -> str:
        assert self._server.stdout
        return self._server.stdout.readline().strip()

    def run(self, *arguments: str, kill_after: float | None = None, die_in: str | None = None) -> int:
        """Exit status, or minus the signal that ended it."""
        assert self._server.stdin
        asked = {"arguments": arguments, "die_in": die_in, "kill_after": kill_after}
        print(json.dumps(asked), file=self._server.stdin, flush=True)
        return int(self._read())

    def said(self) -> str:
        return self.errors.read_text("utf-8")

    def close(self) -> None:
        self._server.communicate()


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("shell") / "errors")
    yield shell
    shell.close()


def command(pairs: Path, out: Path, *more: str) -> list[str]:
    return ["train", "translation", str(pairs), "--out", str(out), *options(*DROPOUT, *OFTEN), *more]


STEPS = ("--steps", "49")


@pytest.fixture(scope="module")
def whole(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed, as a user starts it."""
    out = tmp_path_factory.mktemp("whole") / "run"
    program = [sys.executable, "-m", "regard", *command(pairs, out, *STEPS)]
    subprocess.run(program, check=True, env=ONE_THREAD, capture_output=True)
    return out


def results(out: Path) -> dict[str, Any]:
    """All that must not depend on interruptions: everything but clocks."""
    metrics = json.loads((out / "metrics.json").read_text("utf-8"))
    metrics.pop("seconds")
    clocks = ("seconds", "seconds_left", "tokens_per_second")
    log = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]
    return {
        "weights": (out / "model.safetensors").read_bytes(),
        "snapshots": {path.name: path.read_bytes() for path in (out / "snapshots").iterdir()},
        "metrics": metrics,
        "log": [{key: value for key, value in line.items() if key not in clocks} for line in log],
        "config": json.loads((out / "config.json").read_text("utf-8")),
        "files": sorted(path.name for path in out.iterdir()),
    }


def assert_same(out: Path, whole: Path) -> None:
    ours, theirs = results(out), results(whole)
    for name, value in theirs.items():
        assert ours[name] == value, f"{name} differ"


def again(out: Path) -> list[str]:
    """What a user adds to the command: --resume, unless it was killed before it had begun."""
    return ["--resume"] if out.exists() else []


def test_killed_at_random_moments_and_resumed(shell: Shell, pairs: Path, whole: Path, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    kills = runs = 0
    while kills < KILLS:
        out, runs = tmp_path / f"run{runs}", runs + 1
        while True:
            moment = chance.uniform(0.1, 1.2) if kills < KILLS else None
            status = shell.run(*command(pairs, out, *STEPS, *again(out)), kill_after=moment)
            assert status in (0, -signal.SIGKILL), shell.said()
            if status == 0:
                break
            kills += 1
        assert_same(out, whole)
    print(f"{kills} kills in {runs} runs")


@pytest.mark.parametrize(
    "place",
    [
        "regard.training.job.write_store",
        "regard.training.loop.save_checkpoint",
        "regard.training.checkpoint.check_space",
        "regard.training.loop.write_weights",
        "regard.training.job.bundles.save",
        "regard.bundle.write_json",
        "regard.files._finish",
        "regard.training.job.finish",
        "regard.training.folder.shutil.rmtree",
        "regard.training.folder.Path.replace",
    ],
)
def test_killed_at_a_delicate_moment_and_resumed(
    shell: Shell, pairs: Path, whole: Path, tmp_path: Path, place: str
) -> None:
    out = tmp_path / "run"
    assert shell.run(*command(pairs, out, *STEPS), die_in=place) == -signal.SIGKILL
    assert shell.run(*command(pairs, out, *STEPS, "--resume")) == 0, shell.said()
    assert_same(out, whole)


def test_ctrl_c_saves_and_says_how_to_go_on(shell: Shell, pairs: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    program = [sys.executable, "-m", "regard", *command(pairs, out, *STEPS)]
    with subprocess.Popen(program, env=ONE_THREAD, stderr=subprocess.PIPE, text=True) as process:
        while not (out / "training" / FILE).exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == (
        f"regard: stopped; go on with the same command and --resume (state is in {out})"
    )
    assert "Traceback" not in errors
    assert shell.run(*command(pairs, out, *STEPS, "--resume")) == 0, shell.said()
    assert_same(out, whole)


def test_a_run_that_ended_is_not_trained_again(shell: Shell, pairs: Path, whole: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in whole.iterdir()}
    assert shell.run(*command(pairs, whole, *STEPS, "--resume")) == 0
    assert "was trained to its end already" in shell.said()
    assert {path.name: path.stat().st_mtime_ns for path in whole.iterdir()} == before


@pytest.mark.parametrize(
    "change", [("--seed", "2"), ("--set", "train.lr=1e-4"), ("--set", "model.encoder.depth=2")]
)
@pytest.mark.parametrize("ended", [True, False])
def test_another_run_is_not_resumed(
    shell: Shell, pairs: Path, whole: Path, tmp_path: Path, change: tuple[str, str], ended: bool
) -> None:
    out = whole
    if not ended:
        out = tmp_path / "run"
        shell.run(*command(pairs, out, *STEPS), die_in="regard.training.callbacks.Evaluation._evaluate")
    assert shell.run(*command(pairs, out, *STEPS, *change, "--resume")) == 2
    assert "was trained with other options or data; repeat them, or give --overwrite" in shell.said()


def test_a_configuration_of_any_size_is_refused_unread(shell: Shell, pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shell.run(*command(pairs, out, *STEPS), die_in="regard.training.callbacks.Evaluation._evaluate")
    os.truncate(out / "training" / "run.json", 1 << 40)  # takes no place on the disk
    assert shell.run(*command(pairs, out, *STEPS, "--resume")) == 2
    assert "run.json is damaged; give --overwrite instead of --resume to start anew" in shell.said()


@pytest.mark.parametrize("damage", ["cut", "edited", "swapped"])
def test_a_damaged_checkpoint_is_refused_and_kept(
    shell: Shell, pairs: Path, tmp_path: Path, damage: str
) -> None:
    out = tmp_path / "run"
    shell.run(*command(pairs, out, *STEPS), die_in="regard.training.callbacks.Evaluation._evaluate")
    file = out / "training" / FILE
    content = file.read_bytes()
    if damage == "swapped":
        save_checkpoint({}, {"identity": "another"}, file.parent)
    else:
        file.write_bytes(content[:-9] if damage == "cut" else content[:-9] + b"\1" + content[-8:])
    now = file.read_bytes()
    assert shell.run(*command(pairs, out, *STEPS, "--resume")) == 2
    assert shell.said().splitlines()[-1].startswith("regard: ")
    assert "give --overwrite instead of --resume to start anew" in shell.said()
    assert file.read_bytes() == now
    file.write_bytes(content)
    assert shell.run(*command(pairs, out, *STEPS, "--resume"), die_in="regard.bundle.save") < 0, shell.said()
