"""Images as they might have been taken too: turned, shifted, stretched and bent a little while training.

What chance decides is drawn on the processor from a generator that the caller gives, so that it can follow
from the epoch and the rows; the pixels are moved where they are, a whole batch at once. Bending: elastic
distortion (Simard et al. 2003) by a coarse field of moves. Nothing here knows what images show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from regard.errors import require
from regard.tasks.batch import TensorBatch

_KNOTS = 5
"""Points along each side that are moved when an image is bent; what lies between follows smoothly."""


@dataclass(frozen=True)
class NoAugmentation:
    """Images as they are."""

    kind: Literal["none"] = "none"

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Moves | None:
        return None


@dataclass(frozen=True)
class Warp:
    """Every image moved by rng, evenly up to these limits either way."""

    turn: float = 10.0
    """How far images are turned, in degrees."""
    shift: float = 0.1
    """How far they are moved, as part of a side."""
    scale: float = 0.1
    """How much each side is stretched or shrunk, as part of it."""
    shear: float = 0.1
    """How far the upper border moves against the lower, as part of a side."""
    bend: float = 0.0
    """How far points inside are moved, as part of a side: one deviation."""
    flip: bool = False
    """Whether left and right are exchanged half of the time."""
    kind: Literal["warp"] = "warp"

    def __post_init__(self) -> None:
        require(0 <= self.turn <= 180, "turn", self.turn, "from 0 to 180 degrees")
        for name in ("shift", "scale", "shear", "bend"):
            value = getattr(self, name)
            require(0 <= value < 1, name, value, "at least 0 and less than 1")

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Moves | None:
        """`shape`: (B, C, H, W) of the images that are to be moved."""
        B, _, rows, columns = shape
        even = rng.uniform(-1, 1, (6, B))
        angle = np.radians(self.turn) * even[0]
        turn = _matrices((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle)))
        one, none = np.ones(B), np.zeros(B)
        shear = _matrices((one, self.shear * even[1]), (none, one))
        mirror = np.where(rng.random(B) < 0.5, -1.0, 1.0) if self.flip else one
        scale = _matrices((mirror * (1 + self.scale * even[2]), none), (none, 1 + self.scale * even[3]))
        linear = turn @ shear @ scale
        # Sides count as 2, whatever they are.
        linear *= np.array([[1.0, rows / columns], [columns / rows, 1.0]])
        shift = 2 * self.shift * even[4:].T[:, :, None]
        theta = np.concatenate((linear, shift), 2).astype(np.float32)
        bend = None
        if self.bend:
            field = rng.standard_normal((B, 2, _KNOTS, _KNOTS), dtype=np.float32)
            bend = torch.from_numpy(field * np.float32(2 * self.bend))
        return Moves(torch.from_numpy(theta), bend)


Augmentation = NoAugmentation | Warp


@dataclass(frozen=True)
class Moves(TensorBatch):
    """Where each image of a batch takes its pixels from."""

    theta: Tensor
    """(B, 2, 3), as torch's affine_grid takes it."""
    bend: Tensor | None
    """(B, 2, knots, knots): added to that."""

    def applied(self, images: Tensor) -> Tensor:
        """(B, C, H, W) numbers, moved; what comes from outside is as the border is."""
        size = images.shape[2:]
        grid = F.affine_grid(self.theta.to(images.dtype), list(images.shape), align_corners=False)
        if self.bend is not None:
            down, along = (_smooth(side, self.bend) for side in size)
            grid = grid + (down @ self.bend @ along.T).permute(0, 2, 3, 1).to(grid.dtype)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _smooth(side: int, like: Tensor) -> Tensor:
    """(side, knots): how much of each knot's move a pixel takes part in, half a cosine to either side."""
    places = torch.linspace(0, _KNOTS - 1, side, dtype=like.dtype, device=like.device)
    apart = (places[:, None] - torch.arange(_KNOTS, device=like.device)).abs().clamp_max(1)
    return (1 + torch.cos(torch.pi * apart)) / 2


def _matrices(*rows: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """(B, 2, 2) out of rows of (B,) numbers."""
    return np.stack([np.stack(row, 1) for row in rows], 1)
