"""Claims, numbers and code that ordinary tutorials carry: each run, judged and corrected.

One myth needs images to train on; `recipes/explain_myths.py` adds it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from regard.course.attention_by_hand import CLASSIC, TEXTBOOK
from regard.course.parts import Attention, build, random, step
from regard.course.scaling import gradient
from regard.insight.worked import Cell, Proof, Step, Table, Words
from regard.model.attention import AttentionConfig, weigh
from regard.model.describe import describe
from regard.model.multihead import MultiheadAttention

_WIDTH = 64
_TRIED, _RESULT = Words("what was tried", "做了什么"), Words("result", "结果")


CLAIMS = {
    "rounding": Words("“The output is [2, 7, 1.5]”", "“输出是 [2, 7, 1.5]”"),
    "key_width": Words("“d_k is the embedding size”", "“d_k 就是词向量的维数”"),
    "vanishing": Words("“Scaling prevents vanishing gradients”", "“缩放可以防止梯度消失”"),
    "parameters": Words("“Self-attention has no parameters”", "“自注意力没有参数”"),
    "vector": Words("“W_Q is a vector”", "“W_Q 是一个向量”"),
    "large_number": Words("“-1e9 is a mask”", "“-1e9 就是掩码”"),
    "no_eval": Words("Testing without eval()", "测试时不调用 eval()"),
    "never_ran": Words("Code that never ran", "从没运行过的代码"),
}


def steps(claim: str = "all", heads: str = "8", width: int = 1024) -> tuple[Step, ...]:
    """A step a myth: claim as title, then what happens when one tries. `claim`: one of `CLAIMS`, or all.
    `heads` of a width of 64, for the width of one head; `width`: d_k that is large, for the gradient."""
    made: dict[str, Callable[[], Step]] = {
        "rounding": _rounding,
        "key_width": lambda: _key_width(int(heads)),
        "vanishing": lambda: _vanishing(width),
        "parameters": _parameters,
        "vector": _vector,
        "large_number": _large_number,
        "no_eval": _no_eval,
        "never_ran": _never_ran,
    }
    return tuple(make() for name, make in made.items() if claim in ("all", name))


def proofs() -> tuple[Proof, ...]:
    """That the numbers which the myths are held against are the library's own."""
    return (Attention(*CLASSIC.projected(), scale=1.0).proof(),)


def _myth(claim: Words, en: str, zh: str, *rows: tuple[Cell, ...]) -> Step:
    return step(claim, en, zh, Table(Words("tried", "实测"), (_TRIED, _RESULT), rows, digits=4))


def _rounding() -> Step:
    q, k, v = CLASSIC.projected()
    exact, rounded = Attention(q, k, v, scale=1.0).out[0], weigh(TEXTBOOK[None, None], v[None, None])[0, 0, 0]
    show = lambda x: ", ".join(f"{y:.4f}" for y in x.tolist())  # noqa: E731
    return _myth(
        CLAIMS["rounding"],
        "Not by the code above it: the weights were rounded by hand before the product.",
        "上面的代码得不到这个结果：权重在相乘之前被手工取整了。",
        (Words("weights rounded to 0, 0.5, 0.5", "权重取整为 0、0.5、0.5"), show(rounded)),
        (Words("exact weights", "精确的权重"), show(exact)),
    )


def _key_width(heads: int) -> Step:
    width = _WIDTH // heads
    q, k = random(64, width, seed=1), random(64, width, seed=2)
    scores = (q @ k.T).var()
    verdict = Words(
        f"It is the width of one head. With {heads} heads of {width} in a width of {_WIDTH}, dividing by"
        f" √{_WIDTH} makes scores too small.",
        f"它是一个头的宽度。宽 {_WIDTH}、{heads} 个头、每头 {width} 时，除以 √{_WIDTH} 会让分数太小。",
    )
    if heads == 1:
        verdict = Words(
            "It is the width of one head: true only while there is but one.",
            "它是一个头的宽度：只有一个头时才碰巧相等。",
        )
    divisors = dict.fromkeys((width, _WIDTH))
    rows = [
        (Words(f"variance of scores divided by √{n}", f"除以 √{n} 的分数方差"), float(scores / n))
        for n in divisors
    ]
    return _myth(CLAIMS["key_width"], verdict.en, verdict.zh, *rows)


def _vanishing(large: int) -> Step:
    rows: list[tuple[Cell, ...]] = []
    for width in (4, large):
        q, k = random(100, width, seed=1), random(16, width, seed=2)
        for scale, en, zh in ((1.0, "not scaled", "不缩放"), (width**-0.5, "scaled", "缩放")):
            tried = Words(f"gradient, d_k = {width}, {en}", f"梯度，d_k = {width}，{zh}")
            rows.append((tried, gradient(q @ k.T * scale)))
    return _myth(
        CLAIMS["vanishing"],
        "Half true: it keeps the softmax from saturating, which matters when d_k is large and scores have"
        " variance d_k. For small d_k it does little, and it does nothing against depth (see add-and-norm).",
        "只对一半：它让 softmax 不饱和，这在 d_k 大、分数方差为 d_k 时才要紧。d_k 小时作用不大，"
        "对网络加深引起的梯度消失更无能为力（见 add-and-norm）。",
        *rows,
    )


def _parameters() -> Step:
    with torch.device("meta"):
        count = describe(AttentionConfig(heads=8).build(512)).parameters
    return _myth(
        CLAIMS["parameters"],
        "The weighted mean has none; the projections around it are all there is to learn.",
        "加权平均本身没有；它周围的投影才是要学的东西。",
        (Words("attend(x, x, x)", "attend(x, x, x)"), 0),
        (Words("a layer of width 512: 4·512² + 4·512", "宽 512 的一层：4·512² + 4·512"), f"{count:,}"),
    )


def _vector() -> Step:
    x = random(3, 4, seed=1)
    vector, matrix = (str(tuple((x @ random(*size, seed=2)).shape)) for size in ((4,), (4, 2)))
    return _myth(
        CLAIMS["vector"],
        "Then a query would be one number. It is a matrix, (D, d_k): a query is a vector.",
        "那样查询就只是一个数了。它是 (D, d_k) 的矩阵，查询是一个向量。",
        (Words("shape of X·w, w a vector", "w 是向量时 X·w 的形状"), vector),
        (Words("shape of X·W, W a matrix", "W 是矩阵时 X·W 的形状"), matrix),
    )


def _large_number() -> Step:
    weights = (random(1, 4, seed=1).float() - 1e9).softmax(-1)
    return _myth(
        CLAIMS["large_number"],
        "Only while something else in the row may be seen, and only in float32; see the example masks.",
        "只有行里还有可见的词元、并且用 float32 时才行；见示例 masks。",
        (Words("-1e9 as float16", "float16 中的 -1e9"), float(torch.tensor(-1e9).half())),
        (Words("largest weight where all is masked", "全部遮住时的最大权重"), float(weights.max())),
    )


def _no_eval() -> Step:
    layer = build(1, lambda: AttentionConfig(heads=2, dropout=0.5).build(8))
    x = random(1, 5, 8, seed=1)
    found = []
    for training in (True, False):
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            layer.train(training)
            found.append(float((layer(x) - layer(x)).abs().max()))
    return _myth(
        CLAIMS["no_eval"],
        "Dropout goes on: the same input gives another answer each time, and a worse one. Call model.eval().",
        "dropout 仍在生效：同样的输入每次结果不同，而且更差。测试前请调用 model.eval()。",
        (Words("two answers differ, training mode", "训练模式下两次结果之差"), found[0]),
        (Words("two answers differ, after eval()", "eval() 之后两次结果之差"), found[1]),
    )


def _never_ran() -> Step:
    def loader() -> object:
        return torch.utils.data.DataLoader([1], **{"bitch_size": 1})  # type: ignore[arg-type]

    tries: tuple[tuple[str, Callable[[], object]], ...] = (
        ("nn.MultiheadAttention(8, num_head=2)", lambda: nn.MultiheadAttention(8, **{"num_head": 2})),
        ("regard.MultiheadAttention(8, num_head=2)", lambda: MultiheadAttention(8, **{"num_head": 2})),  # type: ignore
        ("DataLoader(data, bitch_size=1)", loader),
    )
    return _myth(
        CLAIMS["never_ran"],
        "`num_head`, `bitch_size` and their like stand in listings that many have copied. Run them:",
        "`num_head`、`bitch_size` 之类的写法被反复转抄。运行一下：",
        *((code, _error(call)) for code, call in tries),
    )


def _error(call: Callable[[], object]) -> str:
    try:
        call()
    except TypeError as problem:
        return f"TypeError: {problem}"
    return "no error"
