"""The record of a run and its line for people."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from regard.console import note
from regard.errors import StorageError
from regard.training.progress import LOG, Lines, Record, clock, line_of
from tests.shared import refused


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / LOG).read_text("utf-8").splitlines()]


def record(folder: Path, steps: range, resumed_at: int | None = None) -> None:
    book = Record(folder, resumed_at)
    for step in steps:
        book.write({"step": step, "loss": step / 3})
    book.close()


def test_events_are_written_a_line_each_with_exact_numbers(tmp_path: Path) -> None:
    record(tmp_path, range(1, 5))
    assert events(tmp_path) == [{"step": step, "loss": step / 3} for step in range(1, 5)]


def test_resuming_drops_what_will_be_done_again(tmp_path: Path) -> None:
    record(tmp_path, range(1, 8))
    record(tmp_path, range(5, 7), resumed_at=4)
    assert [event["step"] for event in events(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_a_line_cut_off_by_a_kill_is_dropped(tmp_path: Path) -> None:
    record(tmp_path, range(1, 4))
    path = tmp_path / LOG
    path.write_bytes(path.read_bytes()[:-7])
    record(tmp_path, range(3, 5), resumed_at=2)
    assert [event["step"] for event in events(tmp_path)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "rubbish",
    [b"\xff\xfe\n", b"[]\n", b"5\n", b'{"loss": 1}\n', b'{"step": "x"}\n', b"\n", b"[" * 99_999 + b"\n"],
    ids=range(7),
)
def test_rubbish_in_the_record_is_dropped(tmp_path: Path, rubbish: bytes) -> None:
    record(tmp_path, range(1, 3))
    path = tmp_path / LOG
    path.write_bytes(rubbish + path.read_bytes())
    record(tmp_path, range(3, 4), resumed_at=2)
    assert [event["step"] for event in events(tmp_path)] == [1, 2, 3]


def test_a_line_without_end_is_dropped_unread(tmp_path: Path) -> None:
    record(tmp_path, range(1, 3))
    os.truncate(tmp_path / LOG, 1 << 40)  # takes no place on the disk
    record(tmp_path, range(3, 4), resumed_at=2)
    assert [event["step"] for event in events(tmp_path)] == [1, 2, 3]


def test_a_new_run_begins_a_new_record(tmp_path: Path) -> None:
    record(tmp_path, range(1, 5))
    record(tmp_path, range(1, 3))
    assert [event["step"] for event in events(tmp_path)] == [1, 2]


def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    book = Record(tmp_path, None)
    book._file.close()
    book._file = Path("/dev/full").open("ab", buffering=0)  # noqa: SIM115
    with refused(StorageError, value="the disk is full", where="log.jsonl"):
        book.write({"step": 1})
    book.close()


def test_tensorboard_gets_the_same_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    record(tmp_path, range(1, 4))
    assert list((tmp_path / "tensorboard").glob("events.*"))


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1:00"),
        (200, "3:20"),
        (3723, "1:02:03"),
        (1e6, "11 days"),
        (-5, "0 s"),
    ],
)
def test_times_as_people_write_them(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_the_line_says_what_is_known() -> None:
    event = {"step": 1200, "steps": 5000, "loss": 1.23456, "tokens_per_second": 3456.7, "seconds_left": 200}
    shown = line_of({**event, "metric": 41.126, "metric_name": "bleu"})
    assert shown == "step 1,200 of 5,000  loss 1.235  3,457 tokens/s  bleu 41.13  3:20 left"
    early = line_of({**event, "steps": None, "seconds_left": None})
    assert early == "step 1,200  loss 1.235  3,457 tokens/s  measuring speed"


def test_plain_lines_tell_of_long_work_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    reporter = Lines(note)
    for now in (0.0, 5.0, 11.0, 12.0, 15.0, 22.0):
        reporter.busy(f"at {now}")
    assert capsys.readouterr().err.splitlines() == ["at 11.0", "at 22.0"]


def test_without_a_terminal_a_run_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    reporter = Lines()
    with caplog.at_level("INFO", "regard"):
        reporter.say("100% done")
    assert caplog.messages == ["100% done"]
