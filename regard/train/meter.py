"""How fast training goes, and how well, between two lines of its log."""

from __future__ import annotations

import time

from torch import Tensor


class Meter:
    """Losses and speed since the last log."""

    def __init__(self, losses: list[Tensor] | None = None) -> None:
        self.losses = losses or []
        self.restart()

    def add(self, loss: Tensor, tokens: int) -> None:
        """A step's mean loss, in nats, over so many tokens."""
        self.losses.append(loss)
        self._tokens += tokens

    def restart(self) -> None:
        """Measure the speed anew: what came between was not training."""
        self._since, self._tokens = time.monotonic(), 0

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self._tokens / max(time.monotonic() - self._since, 1e-9)
