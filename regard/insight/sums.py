"""Where one number of a computation comes from: the sum behind it, with the actual values.

`account` takes what was recorded of a pass, and of the one whose output it looks at, and one place of one
entry. One function a kind of part; what is looked up instead of computed has an account without terms.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from regard.insight.account import (
    Account,
    Factor,
    Made,
    Numbers,
    Term,
    made_of,
    normed,
    one,
    product,
    softmax,
    vector,
)
from regard.insight.sums_attention import attention_sum
from regard.insight.sums_linear import applied, linear
from regard.insight.trace import Entry, check_index
from regard.model.attention import Attention
from regard.model.embed import PatchEmbedding, TokenEmbedding
from regard.model.feedforward import ACTIVATIONS, FeedForward, GatedFeedForward
from regard.model.head import Classes, ClassHead, Vector, VectorHead
from regard.model.position import AddedTable
from regard.model.stack import Stack

Index = tuple[int, ...]


def account(numbers: Numbers, name: str, index: Index) -> Account:
    """How the number at `index` of an entry came to be.

    Raises: InputError for an entry that was not recorded, or a place that it does not have.
    """
    entry = numbers.entry(name)
    check_index(name, index, entry.value)
    value = float(entry.value[index])
    made = _made(numbers, entry, index)
    if made is None:
        return Account(name, index, value, entry.formula, (), (), value)
    return Account(name, index, value, entry.formula, made.terms, made.stages, made.sum)


def _made(numbers: Numbers, entry: Entry, index: Index) -> Made | None:
    place, _, point = entry.name.rpartition(".")
    if not place:
        return None  # what is given
    part = numbers.module(place)
    if isinstance(part, Attention):
        return attention_sum(numbers, part, entry, index)
    if point in ("bias", "memory_bias"):
        return None
    by_part: list[tuple[type | tuple[type, ...], _Sum]] = [
        (TokenEmbedding, _token),
        (PatchEmbedding, _patch),
        ((FeedForward, GatedFeedForward), _feedforward),
    ]
    for kind, made in by_part:
        if isinstance(part, kind):
            return made(numbers, part, entry, index)
    if place.startswith("head"):
        return _head(numbers, part, entry, index)
    if point == "added":
        learned = isinstance(part, AddedTable)
        return _learned(numbers, entry, index) if learned else None
    return _around(numbers, part, entry, index)


_Sum = Callable[[Numbers, nn.Module, Entry, Index], Made | None]


# ---------------------------------------------------------------------- what enters


def _token(numbers: Numbers, part: nn.Module, entry: Entry, index: Index) -> Made:
    assert isinstance(part, TokenEmbedding)
    place, given = entry.name.rpartition(".")[0], numbers.entry(entry.sources[0]).value
    row = int(given[index[0]])
    made = made_of([one(numbers.weight("table", f"{place}.weight", row, index[1]))])
    if part.factor != 1.0:
        made = made.times("× √D", Factor("√D", part.factor))
    if part.types is not None:
        kind = int(part._type(given[None])[0, index[0]])
        made = made.plus("+ type", numbers.weight("types", f"{place}.types", kind, index[1]))
    return made


def _patch(numbers: Numbers, part: nn.Module, entry: Entry, index: Index) -> Made:
    assert isinstance(part, PatchEmbedding)
    (token, width), place, config = index, entry.name.rpartition(".")[0], part.config
    if token < config.leading:
        return made_of([one(numbers.weight("learned vector", f"{place}.first", token, width))])
    P = config.patch
    top, left = (P * at for at in divmod(token - config.leading, config.columns))
    given = entry.sources[0]
    pixels = ((c, y, x) for c in range(config.channels) for y in range(P) for x in range(P))
    made = made_of(
        product(
            f"{c},{top + y},{left + x}",
            numbers.part("pixel", given, c, top + y, left + x),
            numbers.weight("W", f"{place}.weight", width, c, y, x),
        )
        for c, y, x in pixels
    )
    return made.plus("+ b", numbers.weight("b", f"{place}.bias", width))


def _learned(numbers: Numbers, entry: Entry, index: Index) -> Made | None:
    """A row of a table; positions may have been exchanged, so the row is the one whose numbers these are."""
    name = f"{entry.name.rpartition('.')[0]}.table.weight"
    table = numbers.module(name.removesuffix(".weight")).weight
    assert isinstance(table, Tensor)
    same = (table.float().cpu() == entry.value[index[0]]).all(-1).nonzero()
    return made_of([one(numbers.weight("table", name, int(same[0]), index[1]))]) if len(same) else None


# ---------------------------------------------------------------------- around the parts


def _around(numbers: Numbers, part: nn.Module, entry: Entry, index: Index) -> Made | None:
    """Residual sums and norms, of blocks and of stacks: (query, width)."""
    place, _, point = entry.name.rpartition(".")
    if point in ("placed", "sum"):
        names = [name for name in entry.sources if name in numbers.entries]
        labels = ("x", "position" if point == "placed" else "part")
        factors = (
            numbers.part(label, name, *_row(numbers, name, index))
            for label, name in zip(labels, names, strict=False)
        )
        return made_of(one(factor) for factor in factors)
    (source,) = entry.sources
    if isinstance(part, Stack) and part.config.entry_width and point == "input":
        x = vector(numbers, "x", source, index[0])
        return linear(numbers, x, f"{place}.entry_projection", "W", index[1])
    made = made_of([one(numbers.part("x", source, *index))])
    norms = {"normed": "norm", "normed_out": "norm_out"}
    if isinstance(part, Stack):
        norms = {"input": "entry_norm", "entered": "entry_norm", "output": "final_norm"}
    if point in norms:
        return normed(numbers, made, numbers.row(source, index[0]), index[1], f"{place}.{norms[point]}")
    if point == "scaled":
        return made.times("× gain", numbers.weight("gain", f"{place}.gain", index[1]))
    return made


def _row(numbers: Numbers, name: str, index: Index) -> Index:
    """Where a row is one for all tokens, that one."""
    shared = numbers.entry(name).value.shape[0] == 1
    return (0, *index[1:]) if shared else index


def _feedforward(numbers: Numbers, part: nn.Module, entry: Entry, index: Index) -> Made:
    place, _, point = entry.name.rpartition(".")
    token, column = index
    gated = isinstance(part, GatedFeedForward)
    if point in ("up", "gate"):
        row = column
        if gated and point == "up":
            row += numbers.entry(entry.name).value.shape[-1]
        layer = f"{place}.{'gate_up' if gated else 'up'}"
        return linear(numbers, vector(numbers, "x", entry.sources[0], token), layer, "W", row)
    if point == "out":
        x = vector(numbers, "hidden", entry.sources[0], token)
        return linear(numbers, x, f"{place}.down", "W_down", column)
    made = made_of([one(numbers.part("gate" if gated else "up", entry.sources[0], *index))])
    made = activated(made, part.activation)
    return made.times("× up", numbers.part("up", entry.sources[1], *index)) if gated else made


def activated(made: Made, function: object) -> Made:
    """With an activation as the next stage."""
    assert callable(function)
    name = next((key for key, value in ACTIVATIONS.items() if value is function), "f")
    return made.then(name, float(function(torch.tensor(made.last, dtype=torch.float64))))


# ---------------------------------------------------------------------- the head


def _head(numbers: Numbers, part: nn.Module, entry: Entry, index: Index) -> Made | None:
    point = entry.name.rpartition(".")[2]
    if entry.name == "head.transform.out":
        return _transform(numbers, entry, index)
    if point == "probabilities":
        return _probability(numbers, entry, index)
    source = entry.sources[0]
    if point == "logits":
        place = index[:-1]
        made = linear(numbers, vector(numbers, "x", source, *place), "head", "W", index[-1])
        if numbers.temperature != 1.0:
            t = Factor("temperature", numbers.temperature)
            made = made.then("÷ temperature", made.last / t.value, t)
        return made
    if point == "vector":
        made = made_of([one(numbers.part("pooled", source, *index))])
        assert isinstance(part, VectorHead)
        if not part.config.normalised:
            return made
        length = max(float(numbers.row(source).norm()), 1e-12)
        return made.then("÷ length", made.last / length, Factor("length", length))
    assert isinstance(part, ClassHead | VectorHead)
    if point == "pooled" and isinstance(part, ClassHead):
        return made_of([one(numbers.part("x", source, *index))])
    return _pooled(numbers, source, index[0], part.config)


def _pooled(numbers: Numbers, source: str, place: int, config: Classes | Vector) -> Made:
    tokens, width = numbers.entry(source).value.shape
    second, column = divmod(place, width)
    if config.pooling == "mean":
        rows = list(range(tokens))
    elif not second:
        rows = [0]
    else:
        begin = 1 + (config.skipped if isinstance(config, Classes) else 0)
        rows = [1] if config.pooling == "first-and-second" else list(range(begin, tokens))
    labels = numbers.entry(source).axes[0].labels
    made = made_of(
        one(numbers.part("x", source, row, column), labels[row] if labels else str(row))
        for row in rows
        if row < tokens
    )
    return made if len(rows) < 2 else made.then(f"÷ {len(rows)}", made.last / len(rows))


def _transform(numbers: Numbers, entry: Entry, index: Index) -> Made:
    part, layer, source = numbers.module("head.transform"), "head.transform.dense", entry.sources[0]
    made = linear(numbers, vector(numbers, "x", source, *index[:-1]), layer, "W", index[-1])
    made = activated(made, part.activation)
    assert callable(part.activation)
    before = part.activation(applied(numbers.module(layer), numbers.row(source, *index[:-1])))
    return normed(numbers, made, before, index[-1], "head.transform.norm")


def _probability(numbers: Numbers, entry: Entry, index: Index) -> Made:
    logits = numbers.entry("head.logits")
    if entry.formula.startswith("σ"):
        made = made_of([one(numbers.part("logit", logits.name, *index))])
        return made.then("σ", 1 / (1 + math.exp(-made.last)))
    across = 0 if "tokens" in entry.formula else logits.value.dim() - 1
    row = logits.value.movedim(across, -1)[tuple(i for at, i in enumerate(index) if at != across)].double()
    values, powers = row.tolist(), (row - row.max()).exp().tolist()
    labels = entry.axes[across].labels

    def term(at: int) -> Term:
        place = (*index[:across], at, *index[across + 1 :])
        logit = Factor("logit", values[at], place, part=logits.name)
        return Term(labels[at] if labels else str(at), powers[at], (logit,))

    return softmax(powers, index[across], term, "e^(logit - max)")
