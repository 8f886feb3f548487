"""What the command line answers, as its tests read it."""

from __future__ import annotations

from typing import Any


def one_sentence(answer: Any, *parts: str, status: int = 2) -> None:
    """The answer is an error of one line that holds `parts`."""
    assert answer.status == status, answer
    lines = [line for line in answer.err.splitlines() if line.startswith("regard: ")]
    assert len(lines) == 1, answer.err
    assert answer.err.splitlines()[-1] == lines[0]
    assert "Traceback" not in answer.err
    for part in parts:
        assert part in lines[0]
