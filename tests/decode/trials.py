"""Stands for the trial of compiled loops in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from regard.decode import fast
from regard.decode.probe import Outcome

WORKS = Outcome("works", family="portable", features="sse2")
FAILS = Outcome("fails", "they crashed when they were tried (SIGABRT)")


class Trials:
    """Stands for `run_probe`: keeps files as numba does, and counts."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = [WORKS]
        self.folders: list[Path] = []

    def __call__(self, folder: Path) -> Outcome:
        self.folders.append(folder)
        (folder / "decode_1").mkdir()
        (folder / "decode_1" / "loops.nbi").write_bytes(b"index")
        (folder / "decode_1" / "loops.1.nbc").write_bytes(bytes(1000))
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]


def anew(monkeypatch: pytest.MonkeyPatch) -> fast.Decision:
    """What another process would decide."""
    monkeypatch.setattr(fast, "_decision", None)
    return fast.decision()
