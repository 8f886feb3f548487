"""What heads are worth, as a table for people and as an object for JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from regard.insight.ablation import Ablation, Head

_SHOWN = 5


def ablation_lines(found: Ablation) -> Iterator[str]:
    """A row for each attention, a column for each head: how much worse the figure is without it."""
    worth = dict(found.worth())
    better = "lower" if found.lower else "higher"
    yield f"{found.metric} with all heads: {found.whole:.4g} ({better} is better)"
    yield "by how much it is worse without a head:"
    yield from head_lines(worth, max(len(head.attention) for head in worth), "{}", "{:.3f}")
    yield "missed most: " + ", ".join(f"{head} ({fall:.3f})" for head, fall in found.worth()[:_SHOWN])


def head_lines(values: Mapping[Head, float], width: int, title: str, form: str) -> Iterator[str]:
    """A row for each attention, `width` characters for its name, and a column for each head. `title`, `form`:
    formats of a head's number and of its value."""
    count = 1 + max((head.head for head in values), default=-1)
    yield f"{'':{width}}" + "".join(f"{title.format(head):>9}" for head in range(count))
    for name in dict.fromkeys(head.attention for head in values):
        cells = (values.get(Head(name, head)) for head in range(count))
        yield f"{name:{width}}" + "".join(f"{'' if x is None else form.format(x):>9}" for x in cells)


def ablation_object(found: Ablation) -> dict[str, Any]:
    """`{"metric": …, "whole": …, "lower_is_better": …, "heads": [{"attention": …, "head": …, "figure": …,
    "worse": …}]}`, what is missed most first; figures that are not finite are null."""
    heads = [
        {**asdict(head), "figure": _finite(found.without[head]), "worse": _finite(fall)}
        for head, fall in found.worth()
    ]
    whole = _finite(found.whole)
    return {"metric": found.metric, "whole": whole, "lower_is_better": found.lower, "heads": heads}


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None
