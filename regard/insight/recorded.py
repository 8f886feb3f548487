"""From what a recorder kept to the passes of a trace: each value gets its name, its axes and its origin.

It knows a model and how ids are called; it does not know tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from regard.insight.points import axes_of
from regard.insight.recorder import BY_GROUP, Forward, Recorder
from regard.insight.trace import Axis, Entry, Grown, Pass, best_path
from regard.model.part import Origin
from regard.model.search_events import Step

_GIVEN = {"stack": "given", "encoder": "source_given", "decoder": "target_given"}
_IMAGE = ("colour", "row", "column")
_Names = dict[str, tuple[str, ...]]  # by axis


@dataclass(frozen=True)
class Naming:
    """How people call what a model is given and what it chooses among."""

    source: Callable[[Sequence[int]], Sequence[str]]
    """Of ids that an encoder is given."""
    target: Callable[[Sequence[int]], Sequence[str]]
    """Of ids that a decoder or the one stack is given."""
    outputs: tuple[str, ...] = ()
    independent: bool | None = False
    """Whether each output is a yes or no of its own, instead of one of all; None where it is a number, of
    which no probability is made."""


def passes_of(recorder: Recorder, naming: Naming) -> tuple[tuple[Pass, ...], tuple[Grown, ...]]:
    """A pass for each row of each forward that was kept, and what the search did."""
    search = tuple(search_steps(recorder.steps, naming))
    return tuple(_Labels(recorder, naming, search).passes()), search


def search_steps(steps: Iterable[Step], naming: Naming) -> Iterator[Grown]:
    """The steps of a search, for people to read."""
    for step in steps:
        yield Grown(
            parents=tuple(step.parents),
            rows=tuple(step.rows),
            tokens=tuple(naming.target(step.tokens)),
            ids=tuple(step.tokens),
            totals=tuple(step.totals),
            scores=tuple(step.scores),
            done=tuple(step.done),
            ranked=step.ranked,
        )


class _Labels:
    """Names for what a recorder kept."""

    def __init__(self, recorder: Recorder, naming: Naming, search: Sequence[Grown]) -> None:
        self.recorder, self.model, self.naming, self.search = recorder, recorder.model, naming, search
        self.origins, self.path = recorder.model.origins(), best_path(search)
        self.pooled, self.chosen = recorder.model.head.pools, recorder.model.head.outputs
        self.memory: tuple[str, ...] = ()

    def passes(self) -> Iterator[Pass]:
        steps = self.recorder.choice.steps
        before: list[tuple[str, ...]] = []  # what each row of the last forward could look at, …
        last = 0  # … and the step that it belonged to
        for forward in self.recorder.forwards:
            tokens = [self._tokens(forward, row) for row in range(forward.rows)]
            start = max(0, forward.keys - len(tokens[0])) if forward.kind != "encoder" else 0
            keys = tokens
            if start and before:
                keys = [
                    (before[self._parent(forward, row, before, last)] + own)[-start - len(own) :]
                    for row, own in enumerate(tokens)
                ]
            if forward.kind == "encoder":
                self.memory = tokens[0]
            else:
                before, last = keys, forward.step
            if steps is None or forward.step in steps:
                for row in range(forward.rows):
                    entries = dict(self._entries(forward, row, tokens[row], keys[row]))
                    chosen = self._on_path(forward, row)
                    yield Pass(forward.kind, forward.step, row, start, tokens[row], entries, chosen)

    def _parent(self, forward: Forward, row: int, before: Sequence[object], last: int) -> int:
        """The row of the last forward from which a row goes on."""
        if len(before) == 1:
            return 0
        if last == forward.step or last > len(self.search):
            return row
        grown = self.search[last - 1]
        alive = [place for place, done in enumerate(grown.done) if not done]
        return grown.rows[row if forward.rows == len(grown.rows) else alive[row]]

    def _on_path(self, forward: Forward, row: int) -> bool:
        """Whether what this row computed led to the answer."""
        if forward.rows == 1 or forward.kind == "encoder" or not self.path:
            return True
        step = forward.step - 1
        return step < len(self.path) and self.search[step].rows[self.path[step]] == row

    def _tokens(self, forward: Forward, row: int) -> tuple[str, ...]:
        given = forward.given[row]
        if given.is_floating_point():
            return getattr(self.model, "source" if forward.kind == "encoder" else "embed").names
        name = self.naming.source if forward.kind == "encoder" else self.naming.target
        return tuple(name(given.tolist()))

    def _entries(
        self, forward: Forward, row: int, tokens: tuple[str, ...], keys: tuple[str, ...]
    ) -> Iterator[tuple[str, Entry]]:
        outputs = self.chosen or self.naming.outputs
        names = {"query": tokens, "key": keys, "memory": self.memory, "output": outputs}
        name = _GIVEN[forward.kind]
        yield name, self._given(name, forward.given[row], names)
        for name, value in forward.values.items():
            point = name.rpartition(".")[2]
            crosses, shared = ".cross." in name, len(value) == 1
            if crosses and point in BY_GROUP and row:
                continue
            one, axes = value[0 if shared else row], axes_of(name, pooled=self.pooled)
            if point == "mask":  # one for all heads, and it may be one for all queries
                one = one[0].expand(len(tokens), len(self.memory if crosses else keys))
            if one.dim() < len(axes):  # a head that was given the newest token alone
                one = one[None]
            own = names | {"key": tokens} if point in BY_GROUP else names
            entry = self._entry(name, one, axes, own)
            if f"{name}_pre_rotary" in forward.values:
                entry = replace(entry, formula="rotated by their positions", sources=(f"{name}_pre_rotary",))
            yield name, entry
            if name == "head.logits" and self.naming.independent is not None:
                yield "head.probabilities", self._probabilities(one, names)

    def _given(self, name: str, given: Tensor, names: _Names) -> Entry:
        if given.dim() == 3:
            return self._entry(name, given, _IMAGE, names)
        own = names["query"][-len(given) :]  # without the learned vectors before those of a row of numbers
        return self._entry(name, given, ("query",), names | {"query": own})

    def _probabilities(self, logits: Tensor, names: _Names) -> Entry:
        logits = logits.float()
        if self.naming.independent:
            probabilities, formula = logits.sigmoid(), "σ(logits)"
        elif self.chosen:
            probabilities, formula = logits.softmax(0), "softmax(logits) over all tokens"
        else:
            probabilities, formula = logits.softmax(-1), "softmax(logits)"
        axes = axes_of("head.probabilities", pooled=self.pooled)
        return replace(self._entry("head.probabilities", probabilities, axes, names), formula=formula)

    def _entry(self, name: str, value: Tensor, kinds: tuple[str, ...], names: _Names) -> Entry:
        origin = self.origins.get(name, Origin(""))
        axes: list[Axis] = []
        for kind, size in zip(kinds, value.shape, strict=True):
            labels = self._numbers(name, size) if kind in ("head", "group") else names.get(kind, ())
            axes.append(Axis(kind, labels if len(labels) == size else ()))
        if value.is_floating_point() and value.dtype != torch.float64:
            value = value.float()
        return Entry(name, value, tuple(axes), origin.formula, origin.sources)

    def _numbers(self, name: str, size: int) -> tuple[str, ...]:
        kept = self.recorder.heads(name)
        return tuple(map(str, range(size) if kept is None else kept))
