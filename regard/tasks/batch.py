"""What a model learns from in one step: examples as tensors, side by side. Knows no tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from regard.data.store import ExampleStore
from regard.model.device import moved
from regard.model.mask import Positions, Ragged


class TensorBatch:
    """The base of frozen dataclasses of tensors."""

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        return type(self)(**{name: _on(value, device) for name, value in vars(self).items()})


def _on(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return moved(value, device)
    if isinstance(value, Ragged):
        return value.on(device)
    return value.to(device) if isinstance(value, TensorBatch) else value


class TargetBatch(TensorBatch):
    """The base of those that ask for a prediction for each row of `wanted`."""

    wanted: Tensor

    @property
    def tokens(self) -> int:
        return len(self.wanted)


@dataclass(frozen=True)
class PaddedBatch(TensorBatch):
    """Texts side by side, padded on the right."""

    ids: Tensor
    """(B, T)"""
    lengths: Tensor
    """(B,)"""

    @classmethod
    def of(cls, store: ExampleStore, rows: np.ndarray, name: str, pad: int) -> PaddedBatch:
        """What a field holds of some examples."""
        return PaddedBatch(*map(torch.from_numpy, store.padded(rows, name, pad)))

    @property
    def positions(self) -> Ragged:
        """Where they stand."""
        return Ragged.from_lengths(self.lengths, self.ids.shape[1])


@dataclass(frozen=True)
class TextBatch(TargetBatch):
    """Windows of text side by side."""

    given: Tensor
    """(B, C) ids."""
    at: Positions
    """Where they stand in their documents."""
    real: Tensor
    """(tokens,) places of a flattened (B · C) from which something is predicted …"""
    wanted: Tensor
    """(tokens,) … and what."""
