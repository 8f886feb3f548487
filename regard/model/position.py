"""How order enters: added to the vectors, turned into queries and keys, or added to the scores.

What the parts are made of is in `position_part.py`; those for patches of an image in `position_2d.py`.

Sinusoidal and learned: arXiv 1706.03762, section 3.5. Rotary: arXiv 2104.09864. ALiBi: arXiv
2108.12409. Relative bias: arXiv 1910.10683, section 2.1. Who may see whom is `mask.py`'s business.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from regard.errors import InputError
from regard.model.account import Entry, Index, Made, Numbers, made_of, one
from regard.model.init import Init
from regard.model.mask import PADDING, Contiguous, Positions
from regard.model.part import Productless, Weightless
from regard.model.position_2d import Rotary2D as Rotary2D
from regard.model.position_2d import Sinusoidal2D as Sinusoidal2D
from regard.model.position_part import (
    AddedRows,
    Position,
    PositionPart,
    RotatedRows,
    Rotation,
    cos_and_sin,
    sinusoids,
)
from regard.model.rotary_scaling import Scaling
from regard.model.tap import tap
from regard.registry import register


class Orderless(Weightless, PositionPart):
    """See `NoPosition`."""


class AddedSinusoids(AddedRows):
    """See `Sinusoidal`."""

    def _rows(self, count: int) -> Tensor:
        return sinusoids(
            torch.arange(count, device="cpu"), self.width, self.config.base, self.config.interleaved
        )


class Tables(Productless, PositionPart):
    """A position that has tables."""

    def initialise(self, init: Init, branches: int | None = None) -> None:
        for child in self.children():
            assert isinstance(child, nn.Embedding)
            init.table(child.weight)


class AddedTable(Tables):
    """See `Learned`."""

    def __init__(self, config: Learned | LearnedAndRelative, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(config.length, width)

    def add(self, x: Tensor, at: Positions) -> Tensor:
        limit, table = self.table.num_embeddings, self.table.weight
        if at.bound > limit:
            raise InputError(
                "an input of {value} tokens is longer than this model's {limit}", at.bound, limit
            )
        rows = table[None, at.start : at.stop] if isinstance(at, Contiguous) else table[at.position]
        return x + tap(self, "added", rows)

    def account(self, numbers: Numbers, entry: Entry, index: Index) -> Made | None:
        """A row of the table; positions may have been exchanged, so it is the one whose numbers these are."""
        name = f"{entry.name.rpartition('.')[0]}.table.weight"
        table = self.table.weight.detach().float().cpu()
        same = (table == entry.value[index[0]]).all(-1).nonzero()
        row = int(same[0]) if len(same) else None
        return None if row is None else made_of([one(numbers.weight("table", name, row, index[1]))])


class BiasedTable(AddedTable):
    """See `LearnedAndRelative`."""

    biases = True

    def __init__(self, config: LearnedAndRelative, width: int, heads: int, head_width: int) -> None:
        super().__init__(config, width, heads, head_width)
        self.config = RelativeBias(config.buckets, config.max_distance, bidirectional=True)
        _check_buckets(self.config)
        self.bias_table = nn.Embedding(config.buckets, heads)

    def bias(self, query: Positions, key: Positions, device: torch.device) -> Tensor | None:
        return bucketed(self.bias_table, self.config, query, key, device)


class RotaryPart(RotatedRows):
    """See `Rotary`. The table holds (cos, sin) of each angle: (positions, 2, pairs)."""

    def __init__(self, config: Rotary, width: int, heads: int, head_width: int) -> None:
        if not 0 <= config.fraction <= 1:
            raise ValueError(f"rotary positions turn a part from 0 to 1 of each head, not {config.fraction}")
        rotated = round(head_width * config.fraction)
        if rotated % 2:
            raise ValueError(f"rotary positions need an even head width, not {rotated}")
        self.pairs, self.base, self.interleaved = rotated // 2, config.base, config.interleaved
        self.scaling = config.scaling
        self.stretches = config.scaling is not None and config.scaling.stretches
        super().__init__(config, width, heads, head_width)

    def _rows(self, count: int) -> Tensor:
        pairs = torch.arange(self.pairs, dtype=torch.float64, device="cpu")
        positions = torch.arange(count, dtype=torch.float64, device="cpu")
        rates, length = self.base ** (-pairs / self.pairs), 1.0
        if self.scaling is not None:
            rates, length = self.scaling.rates(rates, self.base), self.scaling.length
        return cos_and_sin(positions[:, None] * rates) * length

    def anew(self, tokens: int) -> bool:
        return self.scaling is not None and self.scaling.anew(tokens)

    def late(
        self, query: Positions, key: Positions, device: torch.device
    ) -> tuple[Rotation, Rotation] | None:
        # Without a look at the tensors.
        if self.scaling is None or not self.scaling.stretches or key.bound <= self.scaling.original:
            return None
        q, k = query.on(device), key.on(device)
        real = torch.where(k.segment == PADDING, -1, k.position)
        tokens = real.amax(-1, keepdim=True).double() + 1  # (B | 1, 1): of each row by itself
        pairs = torch.arange(self.pairs, dtype=torch.float64, device=device)
        more = self.scaling.longer(self.base ** (-pairs / self.pairs), self.base, tokens)  # (B | 1, pairs)
        turns = (at.position[..., None].double() * more[:, None] for at in (q, k))
        made = ((x[:, None].cos().float(), x[:, None].sin().float()) for x in turns)
        of_queries, of_keys = (Rotation(cos, sin, self.interleaved) for cos, sin in made)
        return of_queries, of_keys


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn each pair of numbers of (B, H, T, C) by its angle; what exceeds the pairs is left alone."""
    cos, sin = rotation.cos.to(x.dtype), rotation.sin.to(x.dtype)
    rotated, rest = x.split([2 * cos.shape[-1], x.shape[-1] - 2 * cos.shape[-1]], dim=-1)
    if rotation.interleaved:
        first, second = rotated.unflatten(-1, (-1, 2)).unbind(-1)
        both = torch.stack((first * cos - second * sin, second * cos + first * sin), -1).flatten(-2)
    else:
        first, second = rotated.chunk(2, dim=-1)
        both = torch.cat((first * cos - second * sin, second * cos + first * sin), -1)
    return torch.cat((both, rest), dim=-1) if rest.shape[-1] else both


class LinearBias(Weightless, PositionPart):
    """See `ALiBi`. Slopes for any number of heads follow the authors' code."""

    biases = True
    slopes: Tensor

    def __init__(self, config: ALiBi, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.register_buffer("slopes", alibi_slopes(heads), persistent=False)

    def bias(self, query: Positions, key: Positions, device: torch.device) -> Tensor | None:
        distance = (query.on(device).position[:, :, None] - key.on(device).position[:, None]).abs()
        return -distance[:, None] * self.slopes.to(device)[:, None, None]


def alibi_slopes(heads: int) -> Tensor:
    """2^(-8/H), 2^(-16/H), …; when H is no power of two, the next one's odd slopes fill up."""
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    slopes += [2 ** (-4 * (2 * i + 1) / power) for i in range(heads - power)]
    return torch.tensor(slopes, device="cpu")


class BucketedBias(Tables):
    """See `RelativeBias`."""

    biases = True

    def __init__(self, config: RelativeBias, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        _check_buckets(config)
        self.config = config
        self.table = nn.Embedding(config.buckets, heads)

    def bias(self, query: Positions, key: Positions, device: torch.device) -> Tensor | None:
        return bucketed(self.table, self.config, query, key, device)


def bucketed(
    table: nn.Embedding, config: RelativeBias, query: Positions, key: Positions, device: torch.device
) -> Tensor:
    """(B | 1, H, T, S): what a table of a number a bucket and head says of each distance."""
    distance = key.on(device).position[:, None] - query.on(device).position[:, :, None]
    return table(relative_bucket(distance, config)).permute(0, 3, 1, 2)


def _check_buckets(config: RelativeBias) -> None:
    exact = config.buckets // (4 if config.bidirectional else 2)
    if not 1 <= exact < config.max_distance:
        raise ValueError(
            f"{config.buckets} buckets cannot hold distances up to {config.max_distance}: half of those of a"
            " side hold one distance each, at least one, and the others those up to max_distance"
        )


def relative_bucket(distance: Tensor, config: RelativeBias) -> Tensor:
    """The bucket of key position minus query position: exact when near, logarithmic when far."""
    buckets = config.buckets
    offset = torch.zeros_like(distance)
    if config.bidirectional:
        buckets //= 2
        offset = (distance > 0) * buckets
        away = distance.abs()
    else:
        away = (-distance).clamp_min(0)
    exact = buckets // 2
    ratio = torch.log(away.clamp_min(1).float() / exact) / math.log(config.max_distance / exact)
    far = (exact + (ratio * (buckets - exact)).long()).clamp_max(buckets - 1)
    return offset + torch.where(away < exact, away, far)


@register
@dataclass(frozen=True)
class NoPosition(Position):
    """No order: the sentence is a bag of tokens, unless the mask tells."""

    kind: Literal["none"] = "none"

    module = Orderless

    def build(self, width: int, heads: int, head_width: int) -> PositionPart:
        return Orderless()


@register
@dataclass(frozen=True)
class Sinusoidal(Position):
    """Sines and cosines of the position, wavelengths from 2π to `base` · 2π; any length.

    `interleaved` alternates sine and cosine as in the paper; otherwise the sines come first, as in
    tensor2tensor, fairseq and Marian.
    """

    base: float = 10000.0
    interleaved: bool = True
    kind: Literal["sinusoidal"] = "sinusoidal"

    module = AddedSinusoids


@register
@dataclass(frozen=True)
class Learned(Position):
    """One learned vector a position, for inputs of at most `length` tokens."""

    length: int = 0
    """The longest input, in tokens; 0 in a plan that leaves it to the data."""
    kind: Literal["learned"] = "learned"

    module = AddedTable


@register
@dataclass(frozen=True)
class Rotary(Position):
    """Queries and keys rotated by an angle that grows with the position: scores then depend on
    distance alone.

    `fraction` is how much of each head is rotated. `interleaved` pairs neighbouring numbers, as in the
    paper; otherwise the first half is paired with the second, as in GPT-NeoX and Llama's checkpoints.
    """

    base: float = 10000.0
    """The longest wavelength, in positions, over two pi."""
    fraction: float = 1.0
    interleaved: bool = False
    scaling: Scaling | None = None
    """How a model that was trained on shorter inputs was made to take longer ones; None for not at all."""
    kind: Literal["rotary"] = "rotary"

    module = RotaryPart


@register
@dataclass(frozen=True)
class ALiBi(Position):
    """Scores lowered in proportion to distance, with a slope of its own for each head."""

    kind: Literal["alibi"] = "alibi"

    module = LinearBias


@register
@dataclass(frozen=True)
class RelativeBias(Position):
    """A learned number a head and distance, in `buckets` that widen up to `max_distance` (T5).

    `bidirectional` tells left from right; a causal stack needs only the left.
    """

    buckets: int = 32
    max_distance: int = 128
    bidirectional: bool = True
    kind: Literal["relative"] = "relative"

    module = BucketedBias


@register
@dataclass(frozen=True)
class LearnedAndRelative(Position):
    """One learned vector a position, and a learned number a head and distance besides (MPNet, arXiv
    2004.09297): see `Learned` and `RelativeBias`, which tells left from right here."""

    length: int = 0
    """The longest input, in tokens; 0 in a plan that leaves it to the data."""
    buckets: int = 32
    max_distance: int = 128
    kind: Literal["learned-relative"] = "learned-relative"

    module = BiasedTable
