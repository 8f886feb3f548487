"""A trace in a few lines of text: what was answered, how sure, and which numbers there are."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from regard.insight.trace import Entry, Pass, Trace

_BEST = 5
_MOST_STEPS = 40


def trace_lines(trace: Trace) -> Iterator[str]:
    """For a terminal."""
    yield f"{trace.task}: {trace.input}"
    yield f"answer: {trace.answer}" + ("" if trace.score is None else f"   ({trace.score:.4g})")
    for one in trace.sequences:
        yield ""
        yield f"{one.kind}: {len(one.tokens)} vectors: {' '.join(one.tokens[:30])}"
        for entry in one:
            shape = ", ".join(
                f"{axis.name} {size}" for axis, size in zip(entry.axes, entry.value.shape, strict=True)
            )
            yield f"  {entry.name:46} {shape:36} {entry.formula}"
        yield from _likeliest(one)


def _likeliest(one: Pass) -> Iterator[str]:
    entry = one.entries.get("head.probabilities")
    if entry is None or not entry.axes[-1].labels:
        return
    yield ""
    if entry.value.dim() == 1:
        yield "  " + best(entry, entry.value)
        return
    for token, shares in list(zip(entry.axes[0].labels, entry.value, strict=True))[-_MOST_STEPS:]:
        yield f"  after {token:16} {best(entry, shares)}"


def best(entry: Entry, shares: Tensor, count: int = _BEST) -> str:
    """The likeliest of a head's outputs."""
    labels = entry.axes[-1].labels
    value, place = shares.topk(min(count, len(labels)))
    return "  ".join(
        f"{labels[at]} {share:.3f}" for at, share in zip(place.tolist(), value.tolist(), strict=True)
    )
