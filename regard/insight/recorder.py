"""Keeping what passes by open taps: the layers, heads and steps that were chosen, and nothing else.

What is not chosen is left at the tap: of a layer that nobody wants no scores are formed, and of a chosen one
only the chosen heads are copied. So what is held is what was asked for, and one layer's own memory.
Of steps that were not chosen nothing is copied.

A recorder watches any number of forwards of one model. Steps are counted by what a search tells it
(`on_step`). What the values are called is `recorded.py`'s business.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from regard.errors import InputError
from regard.insight.trace import check_number
from regard.model.attention import Attention
from regard.model.search_events import Step
from regard.model.stack import Stack
from regard.model.tap import See, open_taps
from regard.model.transformer import Model

STACKS = ("stack", "encoder", "decoder")
_BEGINS = {"given": "stack", "source_given": "encoder", "target_given": "decoder"}
_AROUND = ("placed", "entered", "input", "output", "bias", "memory_bias", "position.*")
_OUTSIDE = ("given", "source_given", "target_given", "embed.*", "source.*", "target.*", "head.*")
BY_HEAD = {"q", "q_pre_rotary", "scores", "weights", "heads", "bias", "memory_bias"}
BY_GROUP = {"k", "k_pre_rotary", "v"}


@dataclass(frozen=True)
class Choice:
    """What is kept. Numbers count from 0 but for steps, which count from 1; None is all."""

    layers: frozenset[int] | None = None
    heads: frozenset[int] | None = None
    steps: frozenset[int] | None = None
    names: frozenset[str] | None = None
    """Whole names; then nothing else is kept, whatever the layers say. What is given to the model always
    is."""
    most: int | None = None
    """Numbers that may be kept; what would go beyond is refused."""

    @classmethod
    def of(
        cls, layers: Collection[int] | None, heads: Collection[int] | None, steps: Collection[int] | None
    ) -> Choice:
        """Raises: InputError for what is no integer."""
        return cls(layers=_whole("layer", layers), heads=_whole("head", heads), steps=_whole("step", steps))

    def check(self, model: Model) -> None:
        """Raises: InputError for a layer or a head that there is not."""
        stacks = [part for name in STACKS if isinstance(part := getattr(model, name, None), Stack)]
        layers = max(len(stack.blocks) for stack in stacks)
        heads = max(part.heads for part in model.modules() if isinstance(part, Attention))
        for word, asked, there in (("layer", self.layers, layers), ("head", self.heads, heads)):
            for number in sorted(asked or ()):
                check_number(word, number, there)
        if self.steps is not None and min(self.steps, default=1) < 1:
            raise InputError("there is no {key} {value}; steps count from 1", "step", min(self.steps))


def _whole(word: str, numbers: Collection[int] | None) -> frozenset[int] | None:
    for number in numbers or ():
        if not isinstance(number, int) or isinstance(number, bool):
            raise InputError("{key} {value!r} is no integer; give numbers such as [0, 2]", word, number)
    return None if numbers is None else frozenset(numbers)


@dataclass
class Forward:
    """One forward of a stack: what was kept of it, with all rows."""

    kind: str
    step: int
    given: Tensor
    values: dict[str, Tensor] = field(default_factory=dict)
    keys: int = 0
    """How many tokens could be looked at; 0 until that is known."""

    @property
    def rows(self) -> int:
        return len(self.given)

    @property
    def width(self) -> int:
        """How many ids entered side by side; 0 for what is no ids, as an image, and has no cache."""
        return 0 if self.given.is_floating_point() else self.given.shape[1]


class Recorder:
    """See the module's docstring."""

    def __init__(self, model: Model, choice: Choice = Choice()) -> None:
        """Raises: InputError for a choice that the model does not have."""
        choice.check(model)
        self.model, self.choice = model, choice
        self.forwards: list[Forward] = []
        """What passed by, in order."""
        self.steps: list[Step] = []
        """The steps of the search."""
        self._here: Forward | None = None
        self._count = 0
        self._remembered: set[str] = set()

    # ------------------------------------------------------------------ while it runs

    @contextmanager
    def watching(self, changes: Mapping[str, See] = MappingProxyType({})) -> Iterator[None]:
        """Taps are open in here. `changes`: further ones, which come first: what they put in is what is
        seen."""
        points: dict[str, See] = dict(changes)
        for name, see in self._points().items():
            points[name] = _both(points[name], see) if name in points else see
        with open_taps(self.model, points):
            yield

    def on_step(self, step: Step) -> None:
        """What a search says; of several inputs only the first is followed."""
        if step.input == 0:
            self.steps.append(step)

    def _points(self) -> dict[str, See]:
        if self.choice.names is not None:
            names = [*_BEGINS, *sorted(self.choice.names)]
            names += ["source.out"] * ("target.out" in names)  # a table that both sides share has one name
        else:
            names = list(_OUTSIDE)
            for stack in STACKS:
                names += [f"{stack}.{point}" for point in _AROUND]
                layers = ["*"] if self.choice.layers is None else sorted(self.choice.layers)
                names += [f"{stack}.blocks.{layer}.*" for layer in layers]
        points: dict[str, See] = dict.fromkeys(names, self._see)
        return points | {f"{stack}.blocks.0.attention.k": self._see_first for stack in STACKS}

    def _see_first(self, name: str, value: Tensor) -> None:
        """The first layer's keys tell how far a pass reaches, whether or not they are kept."""
        if self._here is not None:
            self._here.keys = value.shape[2]
        if name in (self.choice.names or ()):
            self._see(name, value)

    def _see(self, name: str, value: Tensor) -> None:
        if name in _BEGINS:
            self._here = Forward(_BEGINS[name], len(self.steps) + 1, _copied(value.detach()))
            self.forwards.append(self._here)
            return
        here, steps = self._here, self.choice.steps
        if here is None or (steps is not None and here.step not in steps):
            return
        if name == "source.out" and here.kind == "decoder":  # a table that both sides share has one name
            name = "target.out"
        kept = self._chosen(name, value.detach(), here)
        if kept is not None:
            self._count += kept.numel()
            if self.choice.most is not None and self._count > self.choice.most:
                raise InputError("that is over {limit:,} numbers; choose fewer layers", self.choice.most)
            here.values[name] = _copied(kept)

    def _chosen(self, name: str, value: Tensor, here: Forward) -> Tensor | None:
        """The chosen heads, each row of the batch by itself; of keys and values, those that are new."""
        point = name.rpartition(".")[2]
        if ".cross." in name:
            if point in BY_GROUP and name in self._remembered:
                return None
            if point in BY_GROUP:  # made once, for all steps
                self._remembered.add(name)
            elif point in ("q", "scores", "weights", "heads", "mask") and value.shape[2] > here.width:
                # Beams stand side by side as further queries.
                value = value.unflatten(2, (-1, here.width)).transpose(1, 2).flatten(0, 1)
        elif point in BY_GROUP:
            value = value[:, :, -here.width :]
        heads = self.heads(name)
        if heads is None:
            return value
        return value[:, heads] if heads else None

    def heads(self, name: str) -> list[int] | None:
        """Which heads, or groups of them, of a value are kept; None for all, or where it has none."""
        place, _, point = name.rpartition(".")
        if self.choice.heads is None or point not in BY_HEAD | BY_GROUP:
            return None
        part: Any = self.model.get_submodule(place)  # an attention, or a stack, which has biases
        heads, groups = part.heads, part.kv_heads
        kept = [head for head in sorted(self.choice.heads) if head < heads]
        return kept if point in BY_HEAD else sorted({head * groups // heads for head in kept})


def _both(first: See, then: See) -> See:
    def see(name: str, value: Tensor) -> Tensor | None:
        put = first(name, value)
        then(name, value if put is None else put)
        return put

    return see


def _copied(value: Tensor) -> Tensor:
    """On the host, with memory of its own, and as usable later as any tensor."""
    with torch.inference_mode(False), torch.no_grad():
        return torch.empty(value.shape, dtype=value.dtype).copy_(value)
