"""A trace as JSON: `regard trace RUN INPUT --json FILE`.

    {"format": 1, "kind": "trace", "task": …, "input": …, "answer": …, "score": … or null,
     "alternatives": [[text, score]], "model": {"kind": …, "parameters": …},
     "outputs": [what the head chooses among], "path": [the answer's place at each step of the search],
     "search": [G], "passes": [P]}                and, if it was asked for, "logit": what
        `logit_sum_shown.logit_object` makes
    G  one step of the search, a list over places each: {"parents", "rows", "tokens", "ids", "totals",
        "scores", "done"}, and "ranked": whether the answer is the best by score; see `trace.Grown`
    P  one way through the model: {"kind": "encoder" | "decoder" | "stack", "step": from 1, "place": …,
        "start": …, "chosen": whether it led to the answer, "tokens": [text], "entries": [E]}
    E  {"name": …, "axes": [name], "labels": [[text] or null, for each axis], "shape": [size],
        "formula": …, "sources": [name], "value": nested lists}

Labels of the axis "output" are the trace's "outputs". Numbers are whole: a float32 reads back to its bits.
What JSON has no number for is one of the texts "NaN", "Infinity" and "-Infinity". New keys may be added;
`format` grows when one of these changes its meaning.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from torch import Tensor

from regard.insight.trace import Entry, Pass, Trace
from regard.strict_json import dumps, plain

FORMAT = 1


def trace_json(trace: Trace, further: Mapping[str, Any] = MappingProxyType({})) -> Iterator[str]:
    """The text, in pieces, so that a large trace is not held twice. `further`: more keys."""
    head = {
        "format": FORMAT,
        "kind": "trace",
        **{key: getattr(trace, key) for key in ("task", "input", "answer", "score", "alternatives")},
        "model": dict(trace.about),
        "outputs": trace.outputs,
        "path": trace.path,
        "search": [asdict(grown) for grown in trace.search],
        **further,
    }
    yield _text(head)[:-1] + ',"passes":['
    for index, one in enumerate(trace.passes):
        yield "," if index else ""
        yield from _pass(one)
    yield "]}\n"


def _pass(one: Pass) -> Iterator[str]:
    head = {key: getattr(one, key) for key in ("kind", "step", "place", "start", "chosen", "tokens")}
    yield _text(head)[:-1] + ',"entries":['
    for index, entry in enumerate(one):
        yield ("," if index else "") + _entry(entry)
    yield "]}"


def _entry(entry: Entry) -> str:
    head = {
        "name": entry.name,
        "axes": [axis.name for axis in entry.axes],
        "labels": [axis.labels if axis.labels and axis.name != "output" else None for axis in entry.axes],
        "shape": entry.value.shape,
        "formula": entry.formula,
        "sources": entry.sources,
    }
    return f'{_text(head)[:-1]},"value":{numbers(entry.value)}}}'


def numbers(value: Tensor) -> str:
    """A tensor as nested lists of JSON, every number with as many digits as it has."""
    if value.dim() > 1:
        return "[" + ",".join(map(numbers, value)) + "]"
    some = value.tolist() if value.dim() else [value.item()]
    texts = map(_float, some) if value.is_floating_point() else map(json.dumps, some)
    return "[" + ",".join(texts) + "]" if value.dim() else next(iter(texts))


def _float(x: float) -> str:
    return f"{x:.9g}" if math.isfinite(x) else f'"{plain(x)}"'


def _text(value: Any) -> str:
    return dumps(value, separators=(",", ":"))
