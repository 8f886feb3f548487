"""Values between those that a model taps: q kᵀ before it is scaled, and scores as the mask leaves them.

Fused arithmetic never forms them, and the explicit one in passing; here they are made of what was recorded,
by the library's own functions, so that a page can show each step of the paper's figure 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch

from regard.insight.trace import Entry, Pass
from regard.model.attention import Attention, attention_scores
from regard.model.transformer import Model

NEEDS: Mapping[str, tuple[str, ...]] = {
    "products": ("q", "k", "scores"),
    "masked": ("scores", "mask"),
    "probabilities": ("logits",),
}
"""What a derived point is made of, by the last parts of names in the same place."""


def recorded_for(name: str) -> tuple[str, ...]:
    """The names that have to be recorded to have an entry."""
    place, _, point = name.rpartition(".")
    return tuple(f"{place}.{needed}" for needed in NEEDS.get(point, (point,)))


def with_derived(model: Model, one: Pass) -> Pass:
    """The pass with these too, each where it belongs in the computation, so far as it was recorded."""
    return replace(one, entries={entry.name: entry for entry in _all(model, one)})


def _all(model: Model, one: Pass) -> Iterator[Entry]:
    for name, entry in one.entries.items():
        place, _, point = name.rpartition(".")
        part = model.get_submodule(place) if point in ("scores", "mask") else None
        if point == "weights" and {f"{place}.scores", f"{place}.mask"} <= one.entries.keys():
            formula = entry.formula.replace("scores", "masked").replace(" where the mask allows", "")
            yield replace(entry, formula=formula, sources=(f"{place}.masked",))
            continue
        if not isinstance(part, Attention):
            yield entry
            continue
        made = part.score.multiplies and {f"{place}.q", f"{place}.k"} <= one.entries.keys()
        if point == "scores" and made:
            yield _products(part, entry, one.entries[f"{place}.q"], one.entries[f"{place}.k"])
            biased = " + bias" if len(entry.sources) > 2 else ""
            sources = (f"{place}.products", *entry.sources[2:])
            yield replace(entry, formula=f"products · {part.scale:.4g}{biased}", sources=sources)
            continue
        yield entry
        if point == "mask" and f"{place}.scores" in one.entries:
            yield _masked(one.entries[f"{place}.scores"], entry)


def _products(part: Attention, scores: Entry, q: Entry, k: Entry) -> Entry:
    """Where only some heads were kept, of the groups that these look at."""
    groups = [str(int(head) * part.kv_heads // part.heads) for head in scores.axes[0].labels]
    keys = k.value[[k.axes[0].labels.index(group) for group in groups]]
    value = attention_scores(q.value[None], keys[None], scale=1.0)[0]
    name = scores.name.removesuffix("scores") + "products"
    return Entry(name, value, scores.axes, "q kᵀ", (q.name, k.name))


def _masked(scores: Entry, mask: Entry) -> Entry:
    value = scores.value.masked_fill(~mask.value.bool(), -torch.inf)
    name = scores.name.removesuffix("scores") + "masked"
    return Entry(name, value, scores.axes, "scores, -∞ where the mask forbids", (scores.name, mask.name))
