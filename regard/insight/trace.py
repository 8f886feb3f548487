"""A whole prediction as named numbers: what `regard trace` makes.

An `Entry` is one value of the computation: its name (the tap's, `decoder.blocks.1.cross.weights`), what its
axes mean, and which formula made it from which others; its type is in `model/account.py`. A `Pass` holds the
entries of one sequence going once through the model; a `Trace` all passes of one prediction, and what the
search did between them.

Names of axes:

    query    tokens that enter in this pass          key     tokens that they may look at
    memory   tokens of the encoder                   head    query heads         group  key/value heads
    channel  C, numbers of a head                    width   D                   hidden F
    output   V, what the head chooses among          colour, row, column of an image's pixels

How values are recorded is in `recorder.py`; how they are made of one another, the model says (`origins`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.errors import InputError
from regard.model.account import Axis, Entry, not_recorded

WHOLE = 0
"""The `step` of passes that were joined to one."""


def check_number(what: str, number: int, count: int) -> None:
    """Raise InputError unless there is one of that number, from 0."""
    if not 0 <= number < count:
        raise InputError("there is no {key} {value}; they are 0 to {limit}", what, number, count - 1)


def check_index(name: str, index: Sequence[int], value: Tensor) -> None:
    """Raise InputError unless `value` has a number at `index`."""
    shape = list(value.shape)
    if len(index) != len(shape) or not all(0 <= i < size for i, size in zip(index, shape, strict=True)):
        sentence = "{key} has no number at {value}; its shape is {limit}, counted from 0"
        raise InputError(sentence, name, list(index), shape)


@dataclass(frozen=True, eq=False)  # tensors have no single answer to ==
class Pass:
    """What one sequence of tokens, patches or the like became on one way through the model."""

    kind: str
    """`encoder`, `decoder`, or `stack` where there is only one."""
    step: int
    """From 1: what was computed for the step-th token that is written, or all where nothing is written;
    0 of joined passes."""
    place: int
    """Which of the beams or samples."""
    start: int
    """The place of its first token in its sequence: what came before is in earlier passes."""
    tokens: tuple[str, ...]
    """What entered."""
    entries: Mapping[str, Entry]
    chosen: bool = True
    """Whether it is on the way to the answer: in a search, other places are not."""

    def __getitem__(self, name: str) -> Entry:
        if name not in self.entries:
            raise not_recorded(name, self.entries)
        return self.entries[name]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())


@dataclass(frozen=True)
class Grown:
    """What a search wrote at one step: a list over places each."""

    parents: tuple[int, ...]
    """The place of the step before that each goes on from."""
    rows: tuple[int, ...]
    """The place of the pass whose probabilities made each."""
    tokens: tuple[str, ...]
    ids: tuple[int, ...]
    totals: tuple[float, ...]
    """Log-probability of all that was written, in nats; -inf where a place holds nothing."""
    scores: tuple[float, ...]
    """What is compared in the end, if it ended here."""
    done: tuple[bool, ...]
    ranked: bool = True
    """Whether the answer is the one with the best score; of samples it is the first."""


@dataclass(frozen=True, eq=False)  # tensors have no single answer to ==
class Trace:
    """All numbers of one prediction that were asked for."""

    task: str
    input: str
    answer: str
    """The prediction."""
    score: float | None
    """As `predict` gives it; None where the task has none."""
    alternatives: tuple[tuple[str, float], ...]
    """Other answers with their scores, the best first."""
    passes: tuple[Pass, ...]
    """In the order in which they were computed."""
    search: tuple[Grown, ...] = ()
    """Where something is written token by token: one for each step."""
    outputs: tuple[str, ...] = ()
    """What the head chooses among."""
    about: Mapping[str, object] = field(default_factory=dict)
    """Of the model: its parameters, its configuration."""

    @cached_property
    def path(self) -> tuple[int, ...]:
        """The place of the answer in each step of the search."""
        return best_path(self.search)

    @cached_property
    def sequences(self) -> tuple[Pass, ...]:
        """The passes of the answer, those that go on from one another joined to one: the encoder's, the
        decoder's, or those of the one stack."""
        return tuple(joined(chain) for chain in _chains(self.passes))

    def __getitem__(self, name: str) -> Entry:
        """An entry of the answer's sequences; of several windows or texts, the first's."""
        for one in self.sequences:
            if name in one.entries:
                return one.entries[name]
        raise not_recorded(name, (name for one in self.sequences for name in one.entries))

    @property
    def names(self) -> tuple[str, ...]:
        """Of all entries of the answer's sequences."""
        return tuple(dict.fromkeys(name for one in self.sequences for name in one.entries))

    def nbytes(self) -> int:
        """Memory of the values, in bytes."""
        return sum(entry.value.nbytes for one in self.passes for entry in one)


def best_path(search: Sequence[Grown]) -> tuple[int, ...]:
    """The places of the answer, step by step: of the finished hypothesis with the best score, or of the first
    sample."""
    best, end = -float("inf"), (-1, 0)
    for step, grown in enumerate(search):
        if not grown.ranked and grown.done[0]:  # the first stands first until it is finished
            end = (step, 0)
            break
        for place, done in enumerate(grown.done if grown.ranked else ()):
            if done and grown.scores[place] > best:
                best, end = grown.scores[place], (step, place)
    step, place = end
    path: list[int] = []
    while step >= 0:
        path.append(place)
        place, step = search[step].parents[place], step - 1
    return tuple(reversed(path))


def _chains(passes: Sequence[Pass]) -> list[list[Pass]]:
    """Passes of the answer that go on from one another."""
    chains: list[list[Pass]] = []
    last: dict[str, list[Pass]] = {}
    for one in passes:
        if not one.chosen:
            continue
        if one.start == 0 or one.kind not in last:
            chains.append([])
            last[one.kind] = chains[-1]
        last[one.kind].append(one)
    return chains


def joined(passes: Sequence[Pass]) -> Pass:
    """Passes that go on from one another as one. Where a query has not looked at later keys there are zeros,
    in scores not-a-number."""
    if len(passes) == 1:
        return passes[0]
    names = dict.fromkeys(name for one in passes for name in one.entries)
    tokens = tuple(token for one in passes for token in one.tokens)
    keys = max((axis.labels for one in passes for entry in one for axis in entry.axes
                if axis.name == "key"), key=len, default=())  # fmt: skip
    entries = {
        name: _joined([one.entries[name] for one in passes if name in one.entries], keys) for name in names
    }
    first = passes[0]
    return Pass(first.kind, WHOLE, first.place, first.start, tokens, entries)


def _joined(parts: Sequence[Entry], keys: tuple[str, ...]) -> Entry:
    first = parts[0]
    kinds = [axis.name for axis in first.axes]
    if "query" in kinds:
        grows = kinds.index("query")
        values = [_widened(part, kinds, len(keys)) for part in parts]
    elif "key" in kinds:  # of keys and values each pass has those that it added
        grows, values = kinds.index("key"), [part.value for part in parts]
    else:
        return parts[-1]
    labels = tuple(label for part in parts for label in part.axes[grows].labels)
    axes = [replace(axis, labels=labels) if at == grows else axis for at, axis in enumerate(first.axes)]
    if "key" in kinds and "query" in kinds:
        axes[kinds.index("key")] = Axis("key", keys)
    return replace(first, value=torch.cat(values, grows), axes=tuple(axes))


def _widened(part: Entry, kinds: list[str], keys: int) -> Tensor:
    """With zeros for keys that came later."""
    if kinds[-1] != "key":
        return part.value
    empty = torch.nan if part.name.endswith((".scores", ".bias")) else 0
    return F.pad(part.value, (0, keys - part.value.shape[-1]), value=empty)
