"""What people call the values of a model, in both languages: by the names of the taps, for a terminal, a
trace's page and the explorer alike. Identifiers stay as they are; these stand beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from regard.insight.words import Words
from regard.model.part import Named
from regard.registry import REGISTRIES


@dataclass(frozen=True)
class Place:
    """Where a value stands in a model."""

    stack: str | None
    """encoder, decoder or stack; None for what its name places in none, as the head."""
    layer: int | None
    section: str
    """The box that it belongs to; see docs/explorer-api.md."""
    point: str


SECTIONS = {
    "embed": Words("embedding", "嵌入"),
    "position": Words("position", "位置"),
    "input": Words("input", "输入"),
    "attention": Words("self-attention", "自注意力"),
    "cross": Words("cross-attention", "交叉注意力"),
    "feedforward": Words("feed-forward", "前馈网络"),
    "attention_residual": Words("Add & Norm after self-attention", "自注意力的相加与归一化"),
    "cross_residual": Words("Add & Norm after cross-attention", "交叉注意力的相加与归一化"),
    "feedforward_residual": Words("Add & Norm after feed-forward", "前馈网络的相加与归一化"),
    "block": Words("residual stream", "残差流"),
    "output": Words("norm", "归一化"),
    "head": Words("prediction", "预测"),
}
STACKS = {
    "encoder": Words("encoder", "编码器"),
    "decoder": Words("decoder", "解码器"),
    "stack": Words("model", "模型主体"),
}
POINTS = {
    "q_pre_rotary": Words("Q", "Q"),
    "k_pre_rotary": Words("K", "K"),
    "q": Words("Q, queries", "Q 查询"),
    "k": Words("K, keys", "K 键"),
    "v": Words("V, values", "V 值"),
    "products": Words("q · kᵀ", "q · kᵀ"),
    "scores": Words("scaled", "缩放后"),
    "mask": Words("mask", "掩码"),
    "masked": Words("masked", "加掩码后"),
    "weights": Words("softmax", "softmax"),
    "heads": Words("softmax · V", "softmax · V"),
    "out": Words("out", "输出"),
    "normed": Words("norm", "归一化"),
    "sum": Words("x + part", "x + 该部分"),
    "residual": Words("to the next layer", "传给下一层"),
    "given": Words("given", "输入"),
    "added": Words("added", "加上的"),
    **dict.fromkeys(("bias", "memory_bias"), Words("bias", "偏置")),
    "placed": Words("embedding + position", "嵌入 + 位置"),
    "entered": Words("before it is widened", "加宽之前"),
    "input": Words("into layer 0", "进入第 0 层"),
    "output": Words("output", "输出"),
    "transform": Words("transformed", "变换后"),
    "pooled": Words("pooled", "汇聚"),
    "logits": Words("logits", "logit"),
    "probabilities": Words("softmax", "softmax"),
    **dict.fromkeys(("attention.out", "cross.out"), Words("· W_O", "· W_O")),
    "feedforward.out": Words("· W_down", "· W_down"),
    "embed.out": Words("vectors", "向量"),
    "q_rotated": Words("Q, rotated", "Q（旋转后）"),
    "k_rotated": Words("K, rotated", "K（旋转后）"),
}
"""As short as an image's caption; where a section calls its own otherwise, `section.point`."""

_SPELLED = {
    "scores": Words("scores", "分数"),
    "masked": Words("masked scores", "加掩码后的分数"),
    "weights": Words("attention weights", "注意力权重"),
    "heads": Words("weighted values of each head", "各头加权后的值"),
    **dict.fromkeys(("attention.out", "cross.out", "feedforward.out"), Words("output", "输出")),
    "up": Words("widened", "升维"),
    "sum": Words("sum", "相加"),
    "gathered": Words("gathered from the tokens", "从词元汇聚"),
    "probabilities": Words("probabilities", "概率"),
    "logits": Words("logits", "logit（未归一化的得分）"),
}
"""Where there is room for a word."""

AXES = {
    "query": Words("token", "词元"),
    **dict.fromkeys(("key", "memory"), Words("attends to", "关注")),
    "head": Words("head", "头"),
    "group": Words("group", "组"),
    "channel": Words("dimension of the head", "头内维度"),
    "width": Words("dimension of the vector", "向量维度"),
    "hidden": Words("hidden dimension", "隐藏维度"),
    "output": Words("output", "输出"),
    "colour": Words("colour", "颜色"),
    "row": Words("row", "行"),
    "column": Words("column", "列"),
}
_FORMULAS = {
    "what is given": "输入",
    "as given": "外部给出的数值",
    "table[given]": "表[输入]",
    "table[given] · √D": "表[输入] · √D",
    "a vector for each position": "每个位置一个向量",
    "embedding + position": "嵌入 + 位置",
    "a number for each distance": "每个距离一个数",
    "what goes on to the next block": "传给下一层",
    "who may see whom": "谁能看谁",
    "softmax(scores) where the mask allows": "softmax(分数)，只在掩码允许处",
    "softmax(logits) over all tokens": "对所有词元 softmax(logits)",
    "rotated by their positions": "按位置旋转",
    "what stands for the whole": "代表整个输入的向量",
    "norm(x + part)": "归一化(x + 该部分)",
    "x + part": "x + 该部分",
    "norm(x)": "归一化(x)",
    "norm(part)": "归一化(该部分)",
    "norm(residual)": "归一化(残差)",
    "norm(placed)": "归一化(嵌入 + 位置)",
    "norm(f(x W + b))": "归一化(f(x W + b))",
    "residual": "残差",
    "placed": "嵌入 + 位置",
    "weights v": "权重 · v",
    "[heads] W_O + b": "[各头拼接] W_O + b",
    "[heads] W_O": "[各头拼接] W_O",
    "hidden W_down + b": "隐藏值 W_down + b",
    "gain · part": "增益 · 该部分",
    "pooling: mean": "汇聚：平均",
    "pooling: first": "汇聚：第一个",
    "pooling: last": "汇聚：最后一个",
    "pooled Wᵀ + b": "汇聚 Wᵀ + b",
    "pooled / |pooled|": "汇聚 / |汇聚|",
    "pooled": "汇聚",
    "patches W + b": "图块 W + b",
    "[learned vectors; patches W + b]": "[学到的向量；图块 W + b]",
    "table[given] + types[which text]": "表[输入] + 类型[第几段文本]",
    "table[given] · √D + types[which text]": "表[输入] · √D + 类型[第几段文本]",
    "scores, -∞ where the mask forbids": "分数，掩码禁止处为 -∞",
    "pooling: first-and-second": "汇聚：前两个并列",
    "pooling: first-and-mean": "汇聚：第一个与其余的平均并列",
}
"""Chinese of the formulas that have words; all others are the same in both languages."""


def _points() -> dict[str, Words]:
    """The table of points, with what registered parts call theirs."""
    own = {point: Words(*words) for owner in _parts() for point, words in owner.points.items()}
    return own | POINTS


def _formulas() -> dict[str, str]:
    return {key: words for owner in _parts() for key, words in owner.chinese.items()} | _FORMULAS


def _parts() -> Iterator[type[Named]]:
    for registry in REGISTRIES.values():
        if registry.base is not None and issubclass(registry.base, Named):
            for member in registry.values():
                yield from (owner for owner in (member, getattr(member, "module", None)) if owner)


def place_of(name: str) -> Place:
    """Of a value by its name, as `decoder.blocks.0.cross.scores`."""
    words = name.split(".")
    stack = words[0] if words[0] in STACKS else None
    point = words[-1].removeprefix("source_").removeprefix("target_")
    if words[0] == "head":
        return Place(None, None, "head", words[1] if len(words) == 3 else point)
    if len(words) > 2 and words[1] == "blocks":
        section = words[3] if len(words) > 3 and words[3] != "residual" else "block"
        return Place(stack, int(words[2]), section, point)
    return Place(stack, None, _outside(words[-1]), point)


def _outside(last: str) -> str:
    if last in ("added", "bias", "memory_bias"):
        return "position"
    if last in ("placed", "entered", "input"):
        return "input"
    return "output" if last == "output" else "embed"


def title_of(name: str) -> Words:
    """In full: `decoder, layer 0, cross-attention: scores`."""
    place = place_of(name)
    where = [STACKS[place.stack]] if place.stack else []
    if place.layer is not None:
        where.append(Words(f"layer {place.layer}", f"第 {place.layer} 层"))
    if place.section not in ("block", "output"):
        where.append(SECTIONS[place.section])
    own = f"{place.section}.{place.point}"
    known = (table.get(key) for key in (own, place.point) for table in (_SPELLED, _points()))
    what = next((found for found in known if found), Words(place.point, place.point))
    return Words(
        f"{', '.join(words.en for words in where)}: {what.en}",
        f"{'，'.join(words.zh for words in where)}：{what.zh}",
    )


def formula_words(formula: str) -> Words:
    return Words(formula, _FORMULAS.get(formula) or _formulas().get(formula, formula))


def axis_words(axis: str) -> Words:
    return AXES.get(axis, Words(axis, axis))


def names_object() -> dict[str, dict[str, list[str]]]:
    """The tables for a page's script: key → [English, Chinese]."""

    formulas = {formula: formula_words(formula) for formula in _formulas()}
    tables = {"points": _points(), "axes": AXES, "formulas": formulas}
    return {
        kind: {key: [words.en, words.zh] for key, words in table.items()} for kind, table in tables.items()
    }
