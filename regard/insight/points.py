"""What the axes of a model's observation points mean. What each is made of, a model says (`origins`)."""

from __future__ import annotations

_VECTORS = ("query", "width")
AXES: dict[str, tuple[str, ...]] = {
    "q_pre_rotary": ("head", "query", "channel"),
    "q": ("head", "query", "channel"),
    "k_pre_rotary": ("group", "key", "channel"),
    "k": ("group", "key", "channel"),
    "v": ("group", "key", "channel"),
    "scores": ("head", "query", "key"),
    "mask": ("query", "key"),
    "weights": ("head", "query", "key"),
    "heads": ("head", "query", "channel"),
    "bias": ("head", "query", "key"),
    "memory_bias": ("head", "query", "memory"),
    "up": ("query", "hidden"),
    "gate": ("query", "hidden"),
    "hidden": ("query", "hidden"),
    "gathered": ("width",),
    "pooled": ("width",),
    "vector": ("width",),
}
"""By the last part of a name. What is not here is a vector for each token."""


def axes_of(name: str, *, pooled: bool) -> tuple[str, ...]:
    """The meaning of an entry's axes. `pooled`: whether the head speaks of the whole sequence."""
    point = name.rpartition(".")[2]
    if point in ("logits", "probabilities"):
        return ("output",) if pooled else ("query", "output")
    if name == "head.transform.out" and pooled:
        return ("width",)
    axes = AXES.get(point, _VECTORS)
    return tuple("memory" if axis == "key" else axis for axis in axes) if ".cross." in name else axes
