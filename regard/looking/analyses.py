"""Ways to ask a prediction why, each one figure: what a page or a command offers by name.

An `Analysis` joins what `insight` computes with what people see. What is computed, and after which paper, is
in the module of `insight` that it calls. Each follows the changes that are made to the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from regard.errors import InputError, unknown
from regard.insight.alignment import cross_attention
from regard.insight.attribution import integrated_gradients
from regard.insight.figures import cells, patch_grid, patches_figure
from regard.insight.lens import logit_lens
from regard.insight.logit_sum import logit_sum
from regard.insight.logit_sum_shown import logit_figure
from regard.insight.neighbours import nearest
from regard.insight.patching import patch
from regard.insight.rollout import rolled_out
from regard.insight.words import Lang, Words
from regard.looking.explorer import Explorer, Question
from regard.looking.scene import Scene, UnansweredError
from regard.model.quantize import is_int8
from regard.model.transformer import EncoderDecoder

_NEAR = 8
"""Neighbours that are shown of each token."""
_NAMED = 12
"""Tokens that are named of an input that does not fit."""
_MOST = 160
"""Tokens that are tried one by one."""


@dataclass(frozen=True)
class Analysis:
    """One way to ask."""

    name: str
    title: Words
    about: Words
    """What is seen, and where it comes from."""
    draw: Callable[[Scene, Lang], Any]
    """A Plotly figure. Raises: InputError for what this prediction does not have."""
    suits: Callable[[Explorer], bool] = lambda explorer: True
    asks_other: bool = False
    """Whether it compares with a second input."""
    asks_number: bool = False
    """Whether it is about one of the tokens that were written."""


def analyses(explorer: Explorer) -> dict[str, Analysis]:
    """Those that this model has something to say to, by name."""
    return {one.name: one for one in ALL if one.suits(explorer)}


def analysis(explorer: Explorer, name: str) -> Analysis:
    """One of them. Raises: InputError for a name that this model has none of."""
    known = analyses(explorer)
    if name not in known:
        raise unknown(InputError, "analysis", name, known)
    return known[name]


def drawn(
    explorer: Explorer,
    name: str,
    text: str,
    *,
    other: str | None = None,
    number: int = 0,
    lang: Lang = "en",
) -> Any:
    """The figure of an analysis of the prediction for `text`. Raises: InputError."""
    return analysis(explorer, name).draw(Scene(explorer, Question(text), other, number), lang)


# ---------------------------------------------------------------------- what is drawn


_AXES: Mapping[str, Words] = {
    "output": Words("written", "写出的"),
    "input": Words("read", "读入的"),
    "query": Words("looks", "在看的"),
    "key": Words("is looked at", "被看的"),
    "layer": Words("after layer", "第几层之后"),
    "rank": Words("nearest first", "由近到远"),
    "token": Words("token", "词元"),
    "what": Words("logit of ‘{0}’", "“{0}”的 logit"),
}


def _axes(rows: str, columns: str, lang: Lang) -> tuple[str, str]:
    return _AXES[rows].of(lang), _AXES[columns].of(lang)


def _alignment(scene: Scene, lang: Lang) -> Any:
    assert isinstance(scene.model, EncoderDecoder)
    source, target = (ids[0].tolist() for ids in scene.inputs)
    weights = cross_attention(scene.model, source, target)
    titles = _axes("output", "input", lang)
    # What is given at a step is the token before; what is looked at serves the token after.
    return cells(weights, scene.following, scene.reading.tokens, titles=titles, share=True)


def _rollout(scene: Scene, lang: Lang) -> Any:
    stack = "encoder" if scene.two_sided else "stack"
    names = [f"{stack}.blocks.{number}.attention.weights" for number in range(scene.depth(stack))]
    entry = rolled_out(scene.trace([*names, f"{stack}.output"]), stack)
    query, key = (axis.labels for axis in entry.axes)
    return cells(entry.value, query, key, titles=_axes("query", "key", lang), share=True)


def _lens(scene: Scene, lang: Lang) -> Any:
    stack = "decoder" if scene.two_sided else "stack"
    names = [name for name in scene.explorer.outline if name.startswith(f"{stack}.blocks.")]
    trace = scene.trace([name for name in names if name.endswith(".residual")])
    entry = logit_lens(scene.model, trace)
    logits = entry.value if entry.value.dim() == 3 else entry.value[:, None]
    if entry.axes[-1].labels == ("start", "end") or logits.shape[-1] != len(trace.outputs):
        best = logits.softmax(1)[..., 0]  # (L, T): where an answer begins
        return cells(best, entry.axes[0].labels, trace.sequences[0].tokens,
                     titles=_axes("layer", "input", lang), share=True)  # fmt: skip
    shares, places = logits.softmax(-1).max(-1)
    texts = [[trace.outputs[place] for place in line] for line in places.tolist()]
    tokens = scene.writing.tokens if entry.value.dim() == 3 else [""]
    titles = _axes("layer", "token", lang)
    return cells(shares, entry.axes[0].labels, tokens, texts=texts, titles=titles, share=True)


_SUMMED = (".heads", ".out", ".sum", ".residual", ".added", ".placed", ".output")
"""What a logit is the sum of, and what the norms on its way were given."""


def _sum(scene: Scene, lang: Lang) -> Any:
    begins = ("decoder.", "target.") if scene.two_sided else ("stack.", "embed.")
    names = [name for name in scene.explorer.outline if name.startswith(begins) and name.endswith(_SUMMED)]
    return logit_figure(logit_sum(scene.model, scene.trace(names), scene.target, place=scene.place), lang)


def _gradients(scene: Scene, lang: Lang) -> Any:
    found = integrated_gradients(scene.model, scene.inputs, scene.at_stake)
    parts, tokens = found.tokens, scene.reading.tokens
    what = _AXES["what"].of(lang).format(scene.named)
    if _of_images(scene.explorer):
        grid, leading = patch_grid(tokens)
        rows, columns = ([str(number) for number in range(count)] for count in grid)
        return cells(parts[leading:].reshape(grid), rows, columns, titles=(what, ""), square=True)
    texts = [[f"{part:+.2g}" for part in parts.tolist()]]
    return cells(parts[None], [what], tokens, texts=texts, titles=("", _AXES["input"].of(lang)))


def _patching(scene: Scene, lang: Lang) -> Any:
    if not scene.other:
        raise UnansweredError(
            Words(
                "give a second input, of as many tokens as the first, whose answer is another",
                "请给出第二个输入：词元数与第一个相同，答案不同",
            )
        )
    spoiled = replace(scene, question=replace(scene.question, text=scene.other), other=None)
    given = (spoiled.inputs[0], *scene.inputs[1:])  # what was written stays
    if given[0].shape != scene.inputs[0].shape:
        counts = [one.reading.tokens for one in (scene, spoiled)]
        a, b = (f"{len(tokens)} ({' '.join(tokens[:_NAMED])})" for tokens in counts)
        raise UnansweredError(
            Words(
                f"the two inputs must have equally many tokens: they have {a} and {b}",
                f"两个输入的词元数必须相同：现在是 {a} 和 {b}",
            )
        )
    if given[0].shape[-1] > _MOST:
        raise UnansweredError(
            Words(
                f"patching tries token by token; give at most {_MOST}",
                f"激活修补要逐个词元地试，最多 {_MOST} 个",
            )
        )
    stack = "encoder" if scene.two_sided else "stack"
    place, target = scene.place, scene.target

    def measure(logits: torch.Tensor) -> torch.Tensor:
        return logits[0, target] if place is None else logits[0, place, target]

    found = patch(
        scene.model,
        partial(scene.model, *scene.inputs),
        partial(scene.model, *given),
        measure,
        f"{stack}.blocks.*.residual",
    )
    layers = [name.split(".")[2] for name in found.points]
    pairs = zip(scene.reading.tokens, spoiled.reading.tokens, strict=True)
    tokens = [a if a == b else f"{a} / {b}" for a, b in pairs]
    return cells(found.effects, layers, tokens, titles=_axes("layer", "input", lang))


def _neighbours(scene: Scene, lang: Lang) -> Any:
    model = scene.model
    table = model.source.weight if isinstance(model, EncoderDecoder) else model.embed.weight
    ids, naming = scene.inputs[0][0], scene.explorer.naming
    called = naming.source if scene.two_sided else naming.target
    cosines, places = nearest(table[ids], table, _NEAR + 1)
    texts = [called(line) for line in places[:, 1:].tolist()]
    ranks = [str(rank) for rank in range(1, _NEAR + 1)]
    titles = _axes("token", "rank", lang)
    return cells(cosines[:, 1:].cpu(), scene.reading.tokens, ranks, texts=texts, titles=titles)


def _patches(scene: Scene, lang: Lang) -> Any:
    layer = scene.depth("stack") - 1
    return patches_figure(scene.trace([f"stack.blocks.{layer}.attention.weights"]), layer)


# ---------------------------------------------------------------------- which there are


def _of_images(explorer: Explorer) -> bool:
    return explorer.task.input.kind == "image"


def _of_words(explorer: Explorer) -> bool:
    """Whether there is a table of which each token is a row."""
    model = explorer.model
    return (model.source if isinstance(model, EncoderDecoder) else model.embed).table is not None


def _two_sided(explorer: Explorer) -> bool:
    return isinstance(explorer.model, EncoderDecoder)


def _has_logits(explorer: Explorer) -> bool:
    return explorer.model.head.logits


def _in_floats(explorer: Explorer) -> bool:
    """Whether it has logits that have gradients, and can be taken apart along its weights."""
    return _has_logits(explorer) and not is_int8(explorer.model)


ALL: tuple[Analysis, ...] = (
    Analysis(
        "alignment",
        Words("Alignment", "对齐"),
        Words(
            "Which input served each output: cross-attention, the mean of all layers and heads (Bahdanau et"
            " al. 2014, section 5.2.1).",
            "每个输出用到了哪些输入：交叉注意力在所有层、所有头上的平均（Bahdanau 等，2014，5.2.1 节）。",
        ),
        _alignment,
        _two_sided,
    ),
    Analysis(
        "lens",
        Words("Logit lens", "logit 透镜"),
        Words(
            "What the model would say after each layer, were it the last (nostalgebraist 2020; Belrose et al."
            " 2023, section 2). The darker, the surer.",
            "如果这一层就是最后一层，模型会说什么（nostalgebraist 2020；Belrose 等，2023，第 2 节）。"
            "颜色越深越有把握。",
        ),
        _lens,
        _has_logits,
    ),
    Analysis(
        "sum",
        Words("Logit as a sum", "logit 是哪些数之和"),
        Words(
            "What each head, each feed-forward and each shift adds to the logit of the answer, the norms'"
            " scales held: together they are the logit (Elhage et al. 2021).",
            "把归一化的缩放固定在这一次的取值上，每个头、每个前馈网络、每个偏置各给答案的 logit 加了多少："
            "合起来就是这个 logit（Elhage 等，2021）。",
        ),
        _sum,
        _in_floats,
        asks_number=True,
    ),
    Analysis(
        "gradients",
        Words("Integrated gradients", "积分梯度"),
        Words(
            "What each part of the input adds to the logit of the answer, compared with an input of zeros"
            " (Sundararajan et al. 2017, section 3).",
            "与全零输入相比，输入的每一部分给答案的 logit 增加了多少（Sundararajan 等，2017，第 3 节）。",
        ),
        _gradients,
        _in_floats,
        asks_number=True,
    ),
    Analysis(
        "rollout",
        Words("Attention rollout", "注意力展开"),
        Words(
            "How much of each input is in each vector at the end, through all layers: weights averaged over"
            " heads, residual paths counted as half (Abnar and Zuidema 2020, section 3).",
            "经过所有层之后，每个向量里各有多少来自每个输入：各头权重取平均，残差通路算一半"
            "（Abnar 与 Zuidema，2020，第 3 节）。",
        ),
        _rollout,
    ),
    Analysis(
        "patching",
        Words("Activation patching", "激活修补"),
        Words(
            "Where the answer is decided: the model reads the second input, and one vector at a time is taken"
            " from the first. 1 brings the whole answer back (Meng et al. 2022, section 2.1).",
            "答案在哪里决定：模型读第二个输入，每次把一个向量换成第一个输入的。1 表示答案完全恢复"
            "（Meng 等，2022，2.1 节）。",
        ),
        _patching,
        lambda explorer: _has_logits(explorer) and explorer.task.input.kind == "text",
        asks_other=True,
        asks_number=True,
    ),
    Analysis(
        "neighbours",
        Words("Nearest neighbours", "最近邻"),
        Words(
            "Which embeddings point the same way as that of each input token: cosines (Mikolov et al. 2013,"
            " section 4).",
            "哪些词元的嵌入与输入中每个词元的方向最接近：余弦（Mikolov 等，2013，第 4 节）。",
        ),
        _neighbours,
        _of_words,
    ),
    Analysis(
        "patches",
        Words("Patches by attention", "图块与注意力"),
        Words(
            "How much each head of the last layer looks at each patch from the class token (Dosovitskiy et"
            " al. 2020, figure 6).",
            "最后一层的每个头从分类词元看向各个图块的程度（Dosovitskiy 等，2020，图 6）。",
        ),
        _patches,
        lambda explorer: _of_images(explorer) and explorer.leading > 0,
    ),
)
