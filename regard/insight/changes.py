"""A model with something changed: heads off, a temperature, weights edited, positions shuffled.

The model itself is never touched. What happens at a point (heads, temperature) is done by taps; what is in
the model (weights, positions) by a `variant`: a copy that shares every tensor but the edited ones, so that it
costs no more than its modules.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from regard.errors import InputError, nearest, require, unknown
from regard.insight.ablation import Head, heads_of, silencing
from regard.insight.trace import check_index
from regard.model.attention import Attention
from regard.model.mask import Positions, Ragged
from regard.model.position import PositionPart
from regard.model.tap import See
from regard.model.transformer import Model

LOGITS = "head.logits"
_LARGEST = 1e6


@dataclass(frozen=True)
class Edit:
    """One number of one weight."""

    weight: str
    index: tuple[int, ...]
    value: float

    def __post_init__(self) -> None:
        require(abs(self.value) <= _LARGEST, "value", self.value, f"from -{_LARGEST:g} to {_LARGEST:g}")


@dataclass(frozen=True)
class Shuffle:
    """Positions exchanged among the tokens that are read."""

    seed: int
    start: int = 0
    """So many tokens before them keep their positions: an image's class token."""

    def order(self, length: int) -> list[int]:
        """The position that each of `length` tokens gets."""
        rng = torch.Generator().manual_seed(self.seed)
        mixed = torch.randperm(max(0, length - self.start), generator=rng) + self.start
        return [*range(min(self.start, length)), *mixed.tolist()]


@dataclass(frozen=True)
class Changes:
    """All that is changed."""

    heads_off: frozenset[Head] = frozenset()
    temperature: float = 1.0
    """Logits are divided by it."""
    edits: tuple[Edit, ...] = ()
    shuffle: Shuffle | None = None

    def __post_init__(self) -> None:
        require(0.01 <= self.temperature <= 100, "temperature", self.temperature, "from 0.01 to 100")

    def __bool__(self) -> bool:
        return self != NONE

    def check(self, model: Model) -> None:
        """Raises: InputError for what the model does not have."""
        known = heads_of(model)
        for head in self.heads_off:
            if head not in known:
                raise unknown(InputError, "head", str(head), map(str, known))
        if self.temperature != 1 and not model.head.logits:
            raise InputError("this model makes vectors, not probabilities: it has no {key}", "temperature")
        weights = dict(model.named_parameters(remove_duplicate=False))
        small = {name for name, x in model.named_buffers() if x.dtype == torch.int8}
        for edit in self.edits:
            if edit.weight in small:
                raise InputError("{key} is kept in 8 bits; edit weights of a model in float32", edit.weight)
            if edit.weight not in weights:
                sentence = "there is no weight '{key}'"
                raise InputError(sentence, edit.weight, remedy=nearest(edit.weight, weights))
            check_index(edit.weight, edit.index, weights[edit.weight])

    def taps(self) -> dict[str, See]:
        """What is to be opened on the model, or on its variant."""
        taps = silencing(self.heads_off)
        if self.temperature != 1:
            taps[LOGITS] = lambda name, value: value / self.temperature
        return taps


NONE = Changes()


@dataclass
class Tied:
    """Which weights are one: a model in use has copies of those that its training shared."""

    groups: Sequence[Collection[str]] = field(default_factory=list)

    def of(self, name: str) -> list[str]:
        """All names of a weight."""
        return sorted({name, *(other for group in self.groups if name in group for other in group)})

    @classmethod
    def found(cls, model: nn.Module) -> Tied:
        """As a model has them that was built and not yet laid out for use."""
        names: dict[int, list[str]] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            names.setdefault(id(parameter), []).append(name)
        return cls([group for group in names.values() if len(group) > 1])


def variant(
    model: Model, changes: Changes, tied: Tied, length: int | None = None, *, silent: bool = False
) -> Model:
    """`model` with its weights edited and its positions shuffled; itself, if neither is asked for.

    `length`: how many tokens are read before something is written, whose positions are exchanged; those that
    are written keep theirs. None exchanges all of each sequence's. `silent`: whether heads that are off are
    taken out of the weights too, for where no taps are opened: what W_O makes of them is 0.
    """
    off = changes.heads_off if silent else frozenset()
    if not changes.edits and changes.shuffle is None and not off:
        return model
    kept: dict[int, Any] = {id(x): x for x in (*model.parameters(), *model.buffers())}
    weights = dict(model.named_parameters(remove_duplicate=False))

    def own(shared: Tensor) -> Tensor:
        """A copy that the variant has for itself."""
        if kept[id(shared)] is shared:
            kept[id(shared)] = nn.Parameter(shared.detach().clone(), requires_grad=False)
        return kept[id(shared)]

    with torch.no_grad():
        for edit in changes.edits:
            for name in tied.of(edit.weight):
                if name in weights:  # not an int8 head, which does not follow its table any more
                    own(weights[name])[edit.index] = edit.value
        for head in off:
            part = model.get_submodule(head.attention)
            assert isinstance(part, Attention)
            width = part.head_width
            own(part.out.weight)[:, head.head * width : (head.head + 1) * width] = 0.0
    other: Model = copy.deepcopy(model, kept)
    if changes.shuffle is not None:
        _shuffle(other.reader.position, changes.shuffle, length)
    return other


def _shuffle(part: PositionPart, shuffle: Shuffle, length: int | None) -> None:
    """Tell `part`, which belongs to nobody else, other positions than there are. Masks know nothing of it."""
    add, rotation, bias = part.add, part.rotation, part.bias

    def shuffled(at: Positions, device: torch.device) -> Ragged:
        known = at.on(device)
        order = shuffle.order(known.length if length is None else length)
        bound = max(known.bound, len(order))
        table = torch.arange(bound, device=device)
        table[: len(order)] = torch.tensor(order, dtype=torch.long, device=device)
        return Ragged(table[known.position], known.segment, bound)

    def add_shuffled(x: Tensor, at: Positions) -> Tensor:
        return add(x, shuffled(at, x.device))

    part.add = add_shuffled  # type: ignore[method-assign]
    part.rotation = lambda at, device: rotation(shuffled(at, device), device)  # type: ignore[method-assign]
    part.bias = lambda query, key, device: bias(shuffled(query, device), shuffled(key, device), device)  # type: ignore[method-assign]
