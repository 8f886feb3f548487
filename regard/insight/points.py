"""What the axes of a model's observation points mean. What each is made of, a model says (`origins`)."""

from __future__ import annotations

_VECTORS = ("query", "width")
AXES: dict[str, tuple[str, ...]] = {
    point: axes
    for axes, points in (
        (("head", "query", "channel"), ("q_pre_rotary", "q", "heads")),
        (("group", "key", "channel"), ("k_pre_rotary", "k", "v")),
        (("head", "query", "key"), ("scores", "weights", "bias")),
        (("head", "query", "memory"), ("memory_bias",)),
        (("query", "key"), ("mask",)),
        (("query", "hidden"), ("up", "gate", "hidden")),
        (("width",), ("gathered", "pooled", "vector")),
    )
    for point in points
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
