"""What a model of texts learns from in one step: windows of documents, side by side. Knows no tokenizer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from regard.model.device import moved
from regard.model.mask import Contiguous, Positions


@dataclass(frozen=True)
class TextBatch:
    """Windows of text side by side."""

    given: Tensor
    """(B, C) ids."""
    at: Positions
    """Where they stand in their documents."""
    real: Tensor
    """(tokens,) places of a flattened (B · C) from which something is predicted …"""
    wanted: Tensor
    """(tokens,) … and what."""

    @property
    def tokens(self) -> int:
        return len(self.wanted)

    def to(self, device: torch.device) -> TextBatch:
        at = self.at if isinstance(self.at, Contiguous) else self.at.on(device)
        given, real, wanted = (moved(x, device) for x in (self.given, self.real, self.wanted))
        return TextBatch(given, at, real, wanted)
