"""Ctrl-C at any moment, ten times if need be: one line, no traceback, and the terminal as it was."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import regard
from regard.training.stop import StopRequest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of another kind")
SMALL = ("model.width=16", "model.hidden=24", "model.depth=1", "model.heads=2", "train.evaluations=1")
OPTIONS = [word for setting in SMALL for word in ("--set", setting)]
PROGRAM = """
import sys
from regard.__main__ import main
try:
    print("ready", file=sys.stderr, flush=True)
    main()
except KeyboardInterrupt:  # between the two lines above
    print("regard: stopped", file=sys.stderr)
    sys.exit(130)
"""
Begin = Callable[[str], subprocess.Popen[bytes]]
ENDED = (130, -signal.SIGINT)  # what a shell shows for either is 130


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data that take seconds to read, and a model to ask."""
    folder = tmp_path_factory.mktemp("long")
    rows = [f"word{n % 977} of{n % 31} many{n}\t{'ab'[n % 2]}\n" for n in range(200_000)]
    (folder / "few.tsv").write_text("text\tlabel\n" + "".join(rows[:200]), "utf-8")
    (folder / "long.tsv").write_text("text\tlabel\n" + "".join(rows), "utf-8")
    how = {"settings": SMALL, "steps": 4, "quiet": True, "threads": 1}
    regard.train("text-classification", folder / "few.tsv", folder / "run", **how)  # type: ignore[arg-type]
    return folder


def started(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
    """A program that is about to load the command line."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)  # type: ignore[call-overload]


@pytest.fixture
def of_program() -> Iterator[Begin]:
    """A program that says that it is ready; ended at the end, whatever became of it."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin(program: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", program]
        begun.append(subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True))
        assert begun[-1].stderr is not None
        assert begun[-1].stderr.readline() == b"ready\n"
        return begun[-1]

    yield begin
    for running in begun:
        running.kill()
        running.communicate()


def interrupted(after: float, *arguments: object, times: int = 10) -> tuple[int, str]:
    """How it ends, and what it says, when Ctrl-C is pressed so often."""
    running = started(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stderr is not None
    assert running.stderr.readline() == b"ready\n"
    time.sleep(after)
    for _ in range(times):
        running.send_signal(signal.SIGINT)
        time.sleep(0.005)
    try:
        _, err = running.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        running.kill()
        _, err = running.communicate()
    return running.returncode, err.decode("utf-8")


def check(status: int, said: str) -> None:
    assert status in ENDED, said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    lines = [line for line in said.splitlines() if line.startswith("regard: ") and "stopping" not in line]
    assert lines == [said.splitlines()[-1]]
    assert "regard: stopped" in said


@pytest.mark.parametrize("after", [0.005, 0.03, 0.1, 0.3, 0.7, 1.2, 2.0, 3.0])
def test_at_any_moment_before_there_is_a_folder_and_after(long: Path, tmp_path: Path, after: float) -> None:
    out = tmp_path / "run"
    command = ("train", "text-classification", long / "long.tsv", "--out", out, *OPTIONS, "--threads", 1)
    status, said = interrupted(after, *command)
    check(status, said)
    assert out.exists() == (out / "training").is_dir()
    if "--resume" in said:
        assert out.exists()


@pytest.mark.parametrize(
    "command",
    [
        ("predict", "{run}", "--file", "{data}"),
        ("evaluate", "{run}", "{data}"),
        ("ablate", "{run}", "{data}"),
        ("look", "{run}", "--port", "0", "--no-open"),
        ("bench",),
    ],
    ids=lambda command: command[0],
)
def test_every_long_work(long: Path, command: tuple[str, ...]) -> None:
    words = [word.format(run=long / "run", data=long / "long.tsv") for word in command]
    check(*interrupted(3.0, *words, *([] if command[0] == "look" else ["--threads", "1"])))


def test_code_that_is_not_pythons_is_told_of_and_ended_by_a_second(of_program: Begin) -> None:
    """As the training of a tokenizer is, that hears no Ctrl-C."""
    program = """
import hashlib, sys
from regard.interrupts import Interrupts
Interrupts(lambda text: print(text, file=sys.stderr, flush=True))
print("ready", file=sys.stderr, flush=True)
hashlib.pbkdf2_hmac("sha256", b"a", b"b", 2_000_000_000)
"""
    running = of_program(program)
    assert running.stderr is not None
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    assert b"Ctrl-C once more" in running.stderr.readline()
    running.send_signal(signal.SIGINT)
    assert running.stderr.readline() == b"stopped\n"
    assert running.wait(30) == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_cursor_is_never_hidden(long: Path, tmp_path: Path, number: int) -> None:
    """So not even a process that is killed leaves it so."""
    master, slave = pty.openpty()
    command = ("train", "text-classification", long / "few.tsv", "--out", tmp_path / "run", *OPTIONS)
    running = started(*command, "--threads", 1, stdout=slave, stderr=slave)
    said = b""
    end = time.monotonic() + 60
    while b"ids" not in said and b"step" not in said and time.monotonic() < end:
        if select.select([master], [], [], 0.2)[0]:
            said += os.read(master, 1 << 16)
    running.send_signal(number)
    running.wait(60)
    while select.select([master], [], [], 0.2)[0]:
        said += os.read(master, 1 << 16)
    os.close(slave)
    os.close(master)
    assert b"\x1b[?25l" not in said
    assert running.returncode in (130, -number)


@pytest.mark.parametrize("times", [1, 10])
def test_one_that_a_library_swallows_is_raised_again(of_program: Begin, times: int) -> None:
    program = """
import os, sys, time
from regard.interrupts import Interrupts
Interrupts(print)
try:
    try:
        print("ready", file=sys.stderr, flush=True)
        time.sleep(60)
    except:
        pass
    time.sleep(60)
except KeyboardInterrupt:
    print("stopped", file=sys.stderr, flush=True)
    os._exit(0)
"""
    running = of_program(program)
    assert running.stderr is not None
    for _ in range(times):
        running.send_signal(signal.SIGINT)
        time.sleep(0.01)
    assert running.communicate(timeout=30)[1] == b"stopped\n"


def test_while_training_the_second_does_what_it_did_before() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGINT)
            assert (stop.asked, heard) == (True, [])
            signal.raise_signal(signal.SIGINT)
            assert heard == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)
