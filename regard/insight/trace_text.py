"""A trace in a few lines of text: what was answered, how sure, and which numbers there are."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len
from torch import Tensor

from regard.insight.names import STACKS, axis_words, formula_words, title_of
from regard.insight.trace import Entry, Pass, Trace
from regard.insight.words import Lang, Words

_BEST = 5
_MOST_STEPS = 40


_W = {
    "answer": Words("answer", "输出"),
    "vectors": Words("vectors", "个向量"),
    "after": Words("after", "在此之后"),
}


def trace_lines(trace: Trace, lang: Lang = "en") -> Iterator[str]:
    """For a terminal."""
    yield f"{trace.task}: {trace.input}"
    score = "" if trace.score is None else f"   ({trace.score:.4g})"
    yield f"{_W['answer'].of(lang)}: {trace.answer}{score}"
    for one in trace.sequences:
        yield ""
        vectors = f"{len(one.tokens)} {_W['vectors'].of(lang)}"
        yield f"{STACKS[one.kind].of(lang)}: {vectors}: {' '.join(one.tokens[:30])}"
        for entry in one:
            axes = [axis.name if lang == "en" else axis_words(axis.name).zh for axis in entry.axes]
            shape = ", ".join(f"{name} {n}" for name, n in zip(axes, entry.value.shape, strict=True))
            formula = formula_words(entry.formula).of(lang)
            called = "" if lang == "en" else f"{title_of(entry.name).of(lang)} = "
            room = " " * max(0, 36 - cell_len(shape))  # Chinese characters are two cells wide
            yield f"  {entry.name:46} {shape}{room} {called}{formula}"
        yield from _most_likely(one, lang)


def _most_likely(one: Pass, lang: Lang) -> Iterator[str]:
    entry = one.entries.get("head.probabilities")
    if entry is None or not entry.axes[-1].labels:
        return
    yield ""
    if entry.value.dim() == 1:
        yield "  " + best(entry, entry.value)
        return
    for token, probabilities in list(zip(entry.axes[0].labels, entry.value, strict=True))[-_MOST_STEPS:]:
        yield f"  {_W['after'].of(lang)} {token:16} {best(entry, probabilities)}"


def best(entry: Entry, probabilities: Tensor) -> str:
    """The most likely of a head's outputs."""
    labels = entry.axes[-1].labels
    value, place = probabilities.topk(min(_BEST, len(labels)))
    return "  ".join(
        f"{labels[at]} {probability:.3f}"
        for at, probability in zip(place.tolist(), value.tolist(), strict=True)
    )
