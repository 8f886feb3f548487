"""What a model is made of and what it costs: exact parameter and FLOP counts for each part.

Counted are the matrix products of one forward pass, a multiplication and its addition as two: those
of every projection, and the two of attention for every pair of query and key, also where a mask
forbids the pair. Not counted: norms, activations, softmax, look-ups and biases, which are few in
comparison. A backward pass takes two products for each of these, so that a training step costs about
three times as much.

Parts are asked, and nothing is run: it costs no time and no memory, and works on a
model without weights. What it cannot count is named, never left out in silence. This file does not
know what a model is for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from regard.model.part import Part, linear_flops

_TOKENS = 20  # a sentence


@dataclass(frozen=True)
class Row:
    """One part, or the `count` parts that differ only in their block."""

    name: str
    """As taps name it, with `*` for the number of the block."""
    count: int
    parameters: int
    """Weights that no row above has counted already."""
    flops: int | None
    """None where they cannot be counted."""
    shared: bool
    """Whether some of its weights are those of a row above."""


@dataclass(frozen=True)
class Description:
    """The parts of a model in the order of its modules; `str()` makes a table of them."""

    rows: tuple[Row, ...]
    source: int | None
    """Tokens that are attended to; None if the model has one sequence only."""
    target: int
    """Tokens that go through the model, or through its decoder."""

    @property
    def parameters(self) -> int:
        """All weights, each counted once."""
        return sum(row.parameters for row in self.rows)

    @property
    def flops(self) -> int:
        """Those of all that can be counted."""
        return sum(row.flops or 0 for row in self.rows)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Parts whose FLOPs are unknown."""
        return tuple(row.name for row in self.rows if row.flops is None)

    def __str__(self) -> str:
        lines = [("part", "count", "parameters", "FLOPs")]
        for row in self.rows:
            parameters = "shared" if row.shared and not row.parameters else f"{row.parameters:,}"
            flops = "unknown" if row.flops is None else f"{row.flops:,}"
            lines.append((row.name, str(row.count), parameters, flops))
        lines.append(("total", "", f"{self.parameters:,}", f"{self.flops:,}"))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = [
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
            for line in lines
        ]
        rule = "-" * max(map(len, table))
        table.insert(1, rule)
        table.insert(-1, rule)
        return "\n".join([*table, self._note()])

    def _note(self) -> str:
        tokens = f"{self.target} tokens"
        if self.source is not None:
            tokens = f"{self.source} source and {self.target} target tokens"
        note = (
            f"FLOPs: the matrix products of one forward pass of {tokens}; training takes about 3 times that."
        )
        return note + (f"\nNot in the total: {', '.join(self.uncounted)}." if self.uncounted else "")


def describe(model: nn.Module, source: int = _TOKENS, target: int | None = None) -> Description:
    """Count the parameters and forward FLOPs of each part of `model`, for a batch of one.

    `target`: tokens that go through the model, or through its decoder: by default 20, or as many as an image
    has patches; `source`: tokens that go through the encoder, or that are attended to. Raises ValueError: a
    length below 1.
    """
    if target is None:
        target = getattr(getattr(model, "embed", None), "length", None) or _TOKENS
    if source < 1 or target < 1:
        raise ValueError(f"lengths must be at least 1 token, not {source} and {target}")
    rows: dict[str, Row] = {}
    seen: set[int] = set()
    looks = False
    for name, part, T, S in _parts(model, "", source, target):
        looks |= getattr(part, "cross", False) is True
        weights = {id(weight): weight for weight in part.parameters(recurse=_whole(part))}
        new = sum(weight.numel() for key, weight in weights.items() if key not in seen)
        known = not seen.isdisjoint(weights)
        seen |= weights.keys()
        old = rows.get(name, Row(name, 0, 0, 0, False))
        flops = _flops(part, T, S)
        total = None if flops is None or old.flops is None else old.flops + flops
        rows[name] = Row(name, old.count + 1, old.parameters + new, total, old.shared or known)
    return Description(tuple(rows.values()), source if looks else None, target)


def _parts(
    module: nn.Module, name: str, source: int, target: int
) -> Iterator[tuple[str, nn.Module, int, int]]:
    """Every part that holds weights, with its name, the tokens it handles and those it attends to."""
    whole = _whole(module)
    if any(True for _ in module.parameters(recurse=whole)):
        yield name or type(module).__name__, module, target, source
    # Not `named_children`, which leaves out a part that stands in two places.
    for key, child in () if whole else module._modules.items():
        if child is not None:
            tokens = source if key in getattr(module, "reads", ()) else target
            yield from _parts(child, _join(name, key, child, module), source, tokens)


def _whole(module: nn.Module) -> bool:
    """Whether it is one row, whatever is inside."""
    return isinstance(module, nn.Linear | nn.Embedding) or (isinstance(module, Part) and not module.divided)


def _join(name: str, key: str, child: nn.Module, parent: nn.Module) -> str:
    if getattr(parent, "alike", False):  # all norms of a block are one row
        return name
    key = "*" if isinstance(parent, nn.ModuleList) else key
    key = "*_residual" if getattr(child, "alike", False) else key
    return f"{name}.{key}" if name else key


def _flops(part: nn.Module, T: int, S: int) -> int | None:
    """Multiplications and additions of the matrix products of `part`, for T tokens that look at S."""
    if isinstance(part, Part):
        return part.flops(T, S)
    if isinstance(part, nn.Linear):
        return linear_flops(part, T)
    vectors = isinstance(part, nn.Embedding) or all(x.dim() < 2 for x in part.parameters(recurse=False))
    return 0 if vectors else None
