"""Where the patches of an image stand: a row and a column, which follow from the place alone.

Patches come row by row (raster order), after `leading` tokens that stand nowhere, such as a class token. A
grid has as many columns as it is told and as many rows as are asked for, so that a cache, a window or a
causal mask over patches works as over any other places.

Sinusoidal: MAE (arXiv 2111.06377, appendix A.1, its code). Rotary: axial, as in arXiv 2403.13298, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from regard.model.position_part import AddedRows, Position, RotatedRows, cos_and_sin, sinusoids
from regard.registry import register


def grid(count: int, columns: int, leading: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows and columns of the first `count` places, and whether a place is on the grid: (count,) each."""
    place = torch.arange(count, device="cpu") - leading
    patch = place.clamp_min(0)
    width = max(columns, 1)  # a plan has no columns yet
    return patch // width, patch % width, place >= 0


class AddedGrid(AddedRows):
    """See `Sinusoidal2D`."""

    def __init__(self, config: Sinusoidal2D, width: int, heads: int, head_width: int) -> None:
        if width % 2:
            raise ValueError(f"sinusoidal positions on a grid need an even width, not {width}")
        super().__init__(config, width, heads, head_width)

    def _rows(self, count: int) -> Tensor:
        rows, columns, real = grid(count, self.config.columns, self.config.leading)
        half, base = self.width // 2, self.config.base
        both = [sinusoids(places, half, base, interleaved=False) for places in (columns, rows)]
        return torch.cat(both, 1) * real[:, None]


class RotatedGrid(RotatedRows):
    """See `Rotary2D`. The table holds (cos, sin) of each angle: (positions, 2, pairs)."""

    def __init__(self, config: Rotary2D, width: int, heads: int, head_width: int) -> None:
        if head_width % 4:
            raise ValueError(f"rotary positions on a grid need a head width in fours, not {head_width}")
        self.pairs = head_width // 4
        super().__init__(config, width, heads, head_width)

    def _rows(self, count: int) -> Tensor:
        rows, columns, _ = grid(count, self.config.columns, self.config.leading)
        pairs = torch.arange(self.pairs, dtype=torch.float64, device="cpu")
        rates = self.config.base ** (-pairs / self.pairs)
        return cos_and_sin(torch.cat([places[:, None] * rates for places in (rows, columns)], 1))


@register
@dataclass(frozen=True)
class Sinusoidal2D(Position):
    """Sines, then cosines, of the column in the first half of a vector and of the row in the second; nothing
    is added to leading tokens."""

    columns: int = 0
    """Patches in a row of the grid; 0 in a plan that leaves it to the data."""
    leading: int = 0
    """Tokens before the first patch, which stand nowhere."""
    base: float = 10000.0
    """The longest wavelength, in patches, over two pi."""
    kind: Literal["sinusoidal-2d"] = "sinusoidal-2d"

    module = AddedGrid


@register
@dataclass(frozen=True)
class Rotary2D(Position):
    """Half of each head's pairs rotated by the row, half by the column: scores then depend on how far
    patches are apart in both directions. Leading tokens are not rotated.

    Differs: a pair is one number of each half of a head, as in `Rotary`, not two neighbours.
    """

    columns: int = 0
    """Patches in a row of the grid; 0 in a plan that leaves it to the data."""
    leading: int = 0
    """Tokens before the first patch, which stand nowhere."""
    base: float = 100.0
    """The longest wavelength, in patches, over two pi."""
    kind: Literal["rotary-2d"] = "rotary-2d"

    module = RotatedGrid
