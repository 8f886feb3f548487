"""How fast training goes, and how well, between two lines of its log."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from regard.decode.fast import compiled_seconds


def now() -> float:
    """Seconds by a clock that stands still while the decoder is compiled: that is no time to train."""
    return time.monotonic() - compiled_seconds()


class Meter:
    """Losses and speed since the last log."""

    def __init__(self, losses: list[Tensor] | None = None) -> None:
        self.losses = losses or []
        self._components: dict[str, list[Tensor]] = {}
        self.restart()

    def add(self, losses: Mapping[str, Tensor], tokens: int) -> None:
        """A step's losses, summed over so many tokens, in nats."""
        self.losses.append(losses["loss"] / tokens)
        self._components = {
            name: [*self._components.get(name, ()), value / tokens]
            for name, value in losses.items()
            if name != "loss"
        }
        self.steps += 1
        self._tokens += tokens

    def components(self) -> dict[str, float]:
        """The mean of each named component of the loss since the last log."""
        return {
            f"loss_{name}": float(torch.stack(values).mean()) for name, values in self._components.items()
        }

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
