"""What can be observed of an attention, and the sums behind it: projections, scores, weights, weighted means,
and the heads joined."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from regard.errors import InputError
from regard.model.account import Entry, Factor, Index, Made, Numbers, made_of, normed, one, product, vector
from regard.model.account_linear import applied, linear
from regard.model.part import Origin, Origins

if TYPE_CHECKING:
    from regard.model.attention import Attention


def attention_origins(part: Attention, name: str, x: str, seen: str, bias: str | None) -> Origins:
    """Of every observation point. `x`: what queries are made of, `seen`: keys and values; `bias`: what is
    added to scores."""
    q, k, v, scores, mask, weights, heads = (
        f"{name}.{point}" for point in ("q", "k", "v", "scores", "mask", "weights", "heads")
    )
    compared, weighed = part.score.formulas(part.scale)
    biased = (part.q if part.cross else part.qkv).bias is not None
    found: Origins = {}
    for point, source, matrix in (("q", x, "W_Q"), ("k", seen, "W_K"), ("v", seen, "W_V")):
        made = f"x {matrix} + b" if biased else f"x {matrix}"
        made = f"norm({made})" if part.normed and point != "v" else made
        found[f"{name}.{point}"] = found[f"{name}.{point}_pre_rotary"] = Origin(made, (source,))
    out = "[heads] W_O" + ("" if part.out.bias is None else " + b")
    return found | {
        scores: Origin(compared + (" + bias" if bias else ""), (q, k, *([bias] if bias else []))),
        mask: Origin("who may see whom"),
        weights: Origin(weighed, (scores, mask)),
        heads: Origin("weights v", (weights, v)),
        f"{name}.out": Origin(out, (heads,)),
    }


def attention_account(part: Attention, numbers: Numbers, entry: Entry, index: Index) -> Made | None:
    """How a number of an attention came to be; None for what is looked up.

    Raises: InputError where what it is made of was not recorded.
    """
    point = entry.name.rpartition(".")[2]
    if point in ("q", "k") and f"{entry.name}_pre_rotary" in numbers.entries:
        return _rotated(numbers, entry, index)
    if point in ("q", "k", "v", "q_pre_rotary", "k_pre_rotary"):
        return _projected(numbers, part, entry, index)
    made = {
        "products": _product,
        "scores": _score,
        "masked": _masked,
        "weights": _share,
        "heads": _weighed,
        "out": _joined,
    }.get(point)
    return None if made is None else made(numbers, part, entry, index)


def _number(entry: Entry, at: int) -> int:
    """The head, or group of heads, at some place of an entry, which may hold only some."""
    labels = entry.axes[0].labels
    return int(labels[at]) if labels else at


def _row(entry: Entry, number: int) -> int:
    """Where a head, or group of heads, stands in an entry that may hold only some."""
    labels = entry.axes[0].labels
    return labels.index(str(number)) if labels else number


def _group(numbers: Numbers, part: Attention, entry: Entry, at: int, name: str) -> int:
    """Where the keys or values of a head stand in theirs."""
    return _row(numbers.entry(name), _number(entry, at) * part.kv_heads // part.heads)


def _projected(numbers: Numbers, part: Attention, entry: Entry, index: Index) -> Made:
    """A row of W_Q, W_K or W_V, which stand one above the other, times x; and the norm, if there is one."""
    place, _, point = entry.name.rpartition(".")
    letter, H, G, C = point[0], part.heads, part.kv_heads, part.head_width
    first = {"q": 0, "k": 0 if part.cross else H * C, "v": (0 if part.cross else H * C) + G * C}[letter]
    matrix = "qkv" if not part.cross else ("q" if letter == "q" else "kv")
    row = first + _number(entry, index[0]) * C
    layer, source = f"{place}.{matrix}", entry.sources[0]
    made = linear(
        numbers, vector(numbers, "x", source, index[1]), layer, f"W_{letter.upper()}", row + index[2]
    )
    if not part.normed or letter == "v":
        return made
    before = applied(numbers.module(layer), numbers.row(source, index[1]), slice(row, row + C))
    return normed(numbers, made, before, index[2], f"{place}.{letter}_norm")


def _rotated(numbers: Numbers, entry: Entry, index: Index) -> Made:
    """One of a pair of numbers, rotated by the angle of its position."""
    head, token, channel = index
    before = f"{entry.name}_pre_rotary"
    stack, _, index_of = entry.name.split(".")[:3]
    rotation = numbers.module(stack).position_of(int(index_of)).whole(entry.value.shape[1], numbers.device)
    cos, sin = (x[0, 0, token].cpu().double() for x in (rotation.cos, rotation.sin))
    pairs = len(cos)
    if channel >= 2 * pairs:
        return made_of([one(numbers.part("x", before, *index))])
    if rotation.interleaved:
        pair, second = divmod(channel, 2)
        other = channel - 1 if second else channel + 1
    else:
        second, pair = divmod(channel, pairs)
        other = pair if second else pair + pairs
    sign = 1.0 if second else -1.0
    angle = (Factor("cos", float(cos[pair])), Factor("sin" if second else "-sin", sign * float(sin[pair])))
    return made_of(
        product(str(at), numbers.part("x", before, head, token, at), factor)
        for at, factor in zip((channel, other), angle, strict=True)
    )


def _product(numbers: Numbers, part: Attention, entry: Entry, index: Index) -> Made:
    head, query, key = index
    place = entry.name.rpartition(".")[0]
    group = _group(numbers, part, entry, head, f"{place}.k")
    q = vector(numbers, "q", f"{place}.q", head, query)
    k = vector(numbers, "k", f"{place}.k", group, key)
    return part.score.account_score(q, k, _learned(numbers, part, entry, head))


def _learned(numbers: Numbers, part: Attention, entry: Entry, head: int) -> list[Factor]:
    """The row of a head of what a score learns."""
    if part.learned is None:
        return []
    name, number = f"{entry.name.rpartition('.')[0]}.{part.score.learned}", _number(entry, head)
    row = numbers.tensor(name)[number]
    places = [(at,) for at in range(len(row))] if row.dim() else [()]
    return [numbers.weight(part.score.symbol, name, number, *place) for place in places]


def _score(numbers: Numbers, part: Attention, entry: Entry, index: Index) -> Made:
    made = _product(numbers, part, entry, index)
    if part.score.multiplies:
        named = "1/√C" if part.score.scale is None else "scale"
        made = made.times(f"× {named}", Factor(named, part.scale))
    biases = [name for name in entry.sources if name.endswith("bias") and name in numbers.entries]
    if biases:
        bias = numbers.entry(biases[0])
        row = _row(bias, _number(entry, index[0]))
        made = made.plus("+ bias", numbers.part("bias", bias.name, row, *index[1:]))
    return made


def _masked(numbers: Numbers, part: Attention, entry: Entry, index: Index) -> Made:
    made = made_of([one(numbers.part("score", entry.sources[0], *index))])
    if bool(numbers.entry(entry.sources[1]).value[index[1:]]):
        return made
    return made.then("-∞: may not be seen", -math.inf)


def _share(numbers: Numbers, part: Attention, entry: Entry, index: Index) -> Made:
    scores = numbers.entry(f"{entry.name.rpartition('.')[0]}.masked")
    labels, values = entry.axes[2].labels, scores.value[index[:2]].double().tolist()
    row = [Factor("score", value, (*index[:2], key), part=scores.name) for key, value in enumerate(values)]
    learned = _learned(numbers, part, entry, index[0])
    return part.score.account_weight(row, index[2], labels or tuple(map(str, range(len(row)))), learned)


def _weighed(numbers: Numbers, part: Attention, entry: Entry, index: Index) -> Made:
    head, query, channel = index
    place = entry.name.rpartition(".")[0]
    weights, v = numbers.entry(f"{place}.weights"), f"{place}.v"
    group = _group(numbers, part, entry, head, v)
    labels = weights.axes[2].labels
    made = made_of(
        product(
            labels[key] if labels else str(key),
            numbers.part("weight", weights.name, head, query, key),
            numbers.part("v", v, group, key, channel),
        )
        for key in range(weights.value.shape[2])
    )
    silent = (place, _number(entry, head)) in numbers.heads_off
    return made.times("× 0: head off", Factor("off", 0.0)) if silent else made


def _joined(numbers: Numbers, part: Attention, entry: Entry, index: Index) -> Made:
    """All heads side by side times a row of W_O."""
    (token, column), name = index, entry.sources[0]
    heads, C = range(part.heads), part.head_width
    if len(numbers.entry(name).value) < part.heads:
        raise InputError("{key} is a sum over {limit} heads; only some were recorded", entry.name, part.heads)
    x = [factor for head in heads for factor in vector(numbers, "head", name, head, token)]
    labels = [f"{head}.{channel}" for head in heads for channel in range(C)]
    return linear(numbers, x, entry.name, "W_O", column, labels)
