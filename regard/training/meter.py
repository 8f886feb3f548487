"""How fast training goes, and how well, between two lines of its log."""

from __future__ import annotations

import time
from collections.abc import Mapping

from torch import Tensor

from regard.decode.fast import compiled_seconds


def now() -> float:
    """Seconds by a clock that stands still while the decoder is compiled: that is no time to train."""
    return time.monotonic() - compiled_seconds()


class Meter:
    """Losses and speed since the last log."""

    def __init__(self, losses: Mapping[str, list[Tensor]] | None = None) -> None:
        """`losses`: of steps that were not logged before a run was stopped."""
        self.parts: dict[str, list[Tensor]] = dict(losses or {})
        self.restart()

    @property
    def losses(self) -> list[Tensor]:
        """What was trained on, step by step."""
        return self.parts.get("loss", [])

    def add(self, losses: Mapping[str, Tensor], tokens: int) -> None:
        """A step's mean losses, in nats, over so many tokens."""
        for name, loss in losses.items():
            self.parts.setdefault(name, []).append(loss)
        self.steps += 1
        self._tokens += tokens

    def restart(self) -> None:
        """Measure the speed anew: what came between was not training."""
        self._since, self._tokens, self.steps = now(), 0, 0

    @property
    def seconds(self) -> float:
        """How long `steps` steps took so far."""
        return now() - self._since

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self._tokens / max(self.seconds, 1e-9)
