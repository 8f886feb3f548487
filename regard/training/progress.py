"""What is told of a run while it trains: to a reporter, which logs it by default, and to files.

A reporter is told events; it never asks the trainer anything. The one for a terminal is in `terminal.py`.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from regard.errors import writing
from regard.files import human_bytes, write_text
from regard.strict_json import dumps

LOG = "log.jsonl"
_LOG = logging.getLogger(__name__)
_LONGEST_EVENT = 1 << 20  # bytes of a line
_EVERY = 10.0  # seconds between lines


class Reporter:
    """Who is told of a run; the base tells nobody."""

    def say(self, text: str) -> None:
        """Something for people to read once."""

    def busy(self, text: str) -> None:
        """What is going on before the first step; told often, reported now and then."""

    def step(self, event: Mapping[str, Any]) -> None:
        """A training step: its number, loss, speed, times in seconds, and the last metric."""

    def close(self) -> None:
        """Nothing more is told."""


class Lines(Reporter):
    """A line now and then, for logs and pipes."""

    def __init__(self, write: Callable[[str], None] = _LOG.info) -> None:
        """`write`: takes a line; by default it is logged."""
        self._write = write
        self._last_step, self._last_line = -math.inf, time.monotonic()

    def say(self, text: str) -> None:
        self._write(text)
        self._last_line = time.monotonic()

    def busy(self, text: str) -> None:
        if time.monotonic() - self._last_line >= _EVERY:
            self.say(text)

    def step(self, event: Mapping[str, Any]) -> None:
        if time.monotonic() - self._last_step >= _EVERY:
            self._last_step = time.monotonic()
            self.say(line_of(event))


def line_of(event: Mapping[str, Any]) -> str:
    """One step in words."""
    steps = event.get("steps")
    parts = [
        f"step {event['step']:,}" + (f" of {steps:,}" if steps else ""),
        f"loss {event['loss']:.3f}",
        f"{event['tokens_per_second']:,.0f} tokens/s",
    ]
    if event.get("metric") is not None:
        parts.append(f"{event['metric_name']} {event['metric']:.2f}")
    left = event.get("seconds_left")
    parts.append("measuring speed" if left is None else f"{clock(left)} left")
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """Seconds as people write them: 45 s, 3:20, 1:02:03, 4 days."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    if hours >= 72:
        return f"{hours // 24:,} days"
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def fetching(reporter: Reporter, what: str) -> Callable[[int, int | None], None]:
    """A callback for the bytes of a download, which tells the reporter."""

    def on_progress(arrived: int, whole: int | None) -> None:
        of = f" of {human_bytes(whole)}" if whole else ""
        reporter.busy(f"fetching {what}: {human_bytes(arrived)}{of}")

    return on_progress


class Record:
    """The run's events in `log.jsonl`, and for TensorBoard where it is installed."""

    def __init__(self, folder: Path, resumed_at: int | None) -> None:
        self._path = folder / LOG
        self._keep_until(resumed_at)
        self._file = self._path.open("ab", buffering=0)
        self._board = _tensorboard(folder / "tensorboard", resumed_at)

    def write(self, event: Mapping[str, Any]) -> None:
        """Append one event, a mapping of JSON values with a `step`. Raises: StorageError."""
        with writing(self._path, "free some space"):
            self._file.write((dumps(event) + "\n").encode())
        if self._board is not None:
            for name, value in event.items():
                if isinstance(value, int | float) and name != "step":
                    self._board.add_scalar(name, value, event["step"])

    def close(self) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()

    def _keep_until(self, step: int | None) -> None:
        """Drop what a killed run noted after its last checkpoint: those steps are taken again."""
        lines: list[str] = []
        if step is not None and self._path.exists():
            with self._path.open("rb") as file:
                for raw in iter(lambda: file.readline(_LONGEST_EVENT), b""):
                    if len(raw) == _LONGEST_EVENT:  # written by another program, as is what follows
                        break
                    line = raw.decode("utf-8", "replace").removesuffix("\n")
                    try:
                        known = json.loads(line)["step"] <= step
                    except (ValueError, KeyError, TypeError, RecursionError):  # cut off in mid-line
                        continue
                    if known:
                        lines.append(line)
        write_text(self._path, "".join(line + "\n" for line in lines))


def _tensorboard(folder: Path, resumed_at: int | None) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    try:
        return SummaryWriter(str(folder), purge_step=resumed_at)
    except UnicodeError:  # it takes no name that is not UTF-8; `log.jsonl` holds the same
        return None
