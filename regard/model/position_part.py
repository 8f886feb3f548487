"""What every way for order to enter is made of: its hooks, and tables that grow.

A position part has hooks, each doing nothing by default: `add` changes the vectors that enter a stack,
`rotation` turns queries and keys, `late` turns them further, `bias` is added to the scores. The stack
calls each once a forward, and all of its layers share the result. The parts themselves are in `position.py`
(a line of tokens) and `position_2d.py` (a grid of patches).
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from regard.model.account import Entry, Index, Made, Numbers
from regard.model.mask import Contiguous, Positions
from regard.model.part import FILES, Alternative, Part, Weightless, complete
from regard.model.tap import tap
from regard.registry import Registry


class Rotation(NamedTuple):
    """The angles by which queries and keys are rotated: (B | 1, 1, T, pairs) each."""

    cos: Tensor
    sin: Tensor
    interleaved: bool
    """Whether a pair is two neighbours, or one number of each half."""


class PositionPart(Part):
    """The base of every way: order that does not enter at all."""

    biases: ClassVar[bool] = False
    """Whether `bias` adds anything to the scores."""
    stretches: bool = False
    """Whether `late` turns anything."""

    def add(self, x: Tensor, at: Positions) -> Tensor:
        """(B, T, D) vectors with their places in them."""
        return x

    def rotation(self, at: Positions, device: torch.device) -> Rotation | None:
        """What `rotate` needs to turn the queries and keys of these places."""
        return None

    def late(
        self, query: Positions, key: Positions, device: torch.device
    ) -> tuple[Rotation, Rotation] | None:
        """By how much more queries and keys are rotated than `rotation` says, since the input has become so
        long: keys that were rotated and kept before are rotated on."""
        return None

    def anew(self, tokens: int) -> bool:
        """Whether an input that has just become so many tokens long must be read anew, since what was made of
        its shorter self is not what would be made of it now."""
        return False

    def bias(self, query: Positions, key: Positions, device: torch.device) -> Tensor | None:
        """(B | 1, H, T, S) to add to the scores."""
        return None

    def account(self, numbers: Numbers, entry: Entry, index: Index) -> Made | None:
        """The sum behind a number of what `add` adds; None where it is looked up in no parameter."""
        return None

    def whole(self, length: int, device: torch.device) -> Rotation:
        """How what stands at the places of a sequence that is all there is rotated in the end."""
        here = Contiguous(0, length)
        rotation, late = self.rotation(here, device), self.late(here, here, device)
        assert rotation is not None
        if late is None:
            return rotation
        (cos, sin, interleaved), (more_cos, more_sin, _) = rotation, late[1]
        return Rotation(cos * more_cos - sin * more_sin, sin * more_cos + cos * more_sin, interleaved)


def sinusoids(positions: Tensor, width: int, base: float = 10000.0, interleaved: bool = True) -> Tensor:
    """PE(p, 2i) = sin(p / base^(2i/D)), PE(p, 2i+1) = cos of the same; (...,) → (..., width).

    An odd width lacks the last cosine.
    """
    pairs = (width + 1) // 2
    # Powers in float64: at position 5,000 a float32 angle is wrong in its fourth digit.
    rates = base ** (-2 * torch.arange(pairs, dtype=torch.float64, device="cpu") / width)
    angles = positions.to("cpu", torch.float64)[..., None] * rates
    both = (angles.sin(), angles.cos())
    table = torch.stack(both, dim=-1).flatten(-2) if interleaved else torch.cat(both, dim=-1)
    return table[..., :width].to(positions.device, torch.float32)


class Position(Alternative):
    """How order enters, as a part of a configuration."""

    built = PositionPart
    module: ClassVar[type[PositionPart]]
    length: int
    """The longest input, in tokens, of those that have a limit."""

    def build(self, width: int, heads: int, head_width: int) -> PositionPart:
        """The part for vectors of `width`, and for so many heads of so many numbers; by default
        `module(self, width, heads, head_width)`."""
        return self.module(self, width, heads, head_width)


POSITIONS: Registry[type[Position]] = Registry("positions", *FILES, base=Position, check=complete)


class Tabled(Weightless, PositionPart):
    """Rows of a fixed table, grown when a later position is asked for.

    It is made on the CPU even where weights are made without memory (`torch.device("meta")`), since
    it is in no state dict; the first use takes it to the device.
    """

    table: Tensor

    def __init__(self, config: Any, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.config, self.width = config, width
        self.register_buffer("table", self._rows(64), persistent=False)

    def _rows(self, count: int) -> Tensor:
        raise NotImplementedError

    def _look_up(self, at: Positions, device: torch.device) -> Tensor:
        """(1, T, …) for contiguous places, (B, T, …) for ragged ones."""
        self._reserve(at.bound, device)
        return self.table[at.start : at.stop][None] if isinstance(at, Contiguous) else self.table[at.position]

    def _reserve(self, count: int, device: torch.device) -> None:
        old = self.table
        if count > old.shape[0] or old.device != device:
            rows = max(count, 2 * old.shape[0]) if count > old.shape[0] else old.shape[0]
            # A table grown during inference must still serve a later training step.
            with torch.inference_mode(False):
                self.table = self._rows(rows).to(device, old.dtype)


class AddedRows(Tabled):
    """A table whose rows are added to the vectors."""

    def add(self, x: Tensor, at: Positions) -> Tensor:
        return x + tap(self, "added", self._look_up(at, x.device).to(x.dtype))


class RotatedRows(Tabled):
    """A table of cosines and sines, (count, 2, pairs), that turn queries and keys."""

    interleaved = False

    def rotation(self, at: Positions, device: torch.device) -> Rotation | None:
        cos, sin = self._look_up(at, device)[:, None].unbind(-2)
        return Rotation(cos, sin, self.interleaved)


def cos_and_sin(angles: Tensor) -> Tensor:
    """(count, pairs) angles in float64 → (count, 2, pairs)."""
    return torch.stack((angles.cos(), angles.sin()), 1).to(torch.float32)
