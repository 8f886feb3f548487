"""What heads are worth, as a table for people and as an object for JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from regard.insight.ablation import Ablation, Head

_SHOWN = 5


def ablation_lines(found: Ablation) -> Iterator[str]:
    """A row for each attention, a column for each head: how much worse the figure is without it."""
    worth = dict(found.worth())
    names = list(dict.fromkeys(head.attention for head in worth))
    width = max(map(len, names))
    count = 1 + max(head.head for head in worth)
    better = "lower" if found.lower else "higher"
    yield f"{found.metric} with all heads: {found.whole:.4g} ({better} is better)"
    yield "by how much it is worse without a head:"
    yield f"{'':{width}}" + "".join(f"{head:>9}" for head in range(count))
    for name in names:
        cells = (worth.get(Head(name, head)) for head in range(count))
        yield f"{name:{width}}" + "".join(f"{'' if x is None else f'{x:.3f}':>9}" for x in cells)
    yield "missed most: " + ", ".join(f"{head} ({fall:.3f})" for head, fall in found.worth()[:_SHOWN])


def ablation_object(found: Ablation) -> dict[str, Any]:
    """`{"metric": …, "whole": …, "lower_is_better": …, "heads": [{"attention": …, "head": …, "figure": …,
    "worse": …}]}`, what is missed most first; figures that are not finite are null."""
    heads = [
        {
            "attention": head.attention,
            "head": head.head,
            "figure": _finite(found.without[head]),
            "worse": _finite(fall),
        }
        for head, fall in found.worth()
    ]
    whole = _finite(found.whole)
    return {"metric": found.metric, "whole": whole, "lower_is_better": found.lower, "heads": heads}


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None
