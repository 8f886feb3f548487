"""Activation patching: which value, where, makes the difference between two inputs.

Meng et al., arXiv 2202.05262, section 2.1 ('causal tracing'); Vig et al., arXiv 2004.12265. The model runs
on an input whose answer is right and on one that was spoiled; then on the spoiled one once more for each
place, with the value of the right run put in there. What brings the answer back is where it is decided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from regard.errors import InputError
from regard.insight.progress import progressed
from regard.model.tap import open_taps


@dataclass(frozen=True, eq=False)  # tensors have no single answer to ==
class Patching:
    """How much of the difference each place brings back: 0 nothing, 1 all."""

    points: tuple[str, ...]
    """Names of values, in the order of the computation."""
    effects: Tensor
    """(points, T): (patched - spoiled) / (right - spoiled)."""
    right: float
    """The measure of the right input …"""
    spoiled: float
    """… and of the other."""


@torch.no_grad()
def patch(
    model: nn.Module,
    right: Callable[[], Tensor],
    spoiled: Callable[[], Tensor],
    measure: Callable[[Tensor], Tensor],
    points: str = "*.residual",
) -> Patching:
    """Try each point that matches, at each token.

    `right` and `spoiled` run the model, each on one input, of equal length, and give what `measure` makes a
    number of. `points`: of values that are (1, T, D).

    Raises: InputError when the inputs differ in length or give the same measure, or nothing matches.
    """
    values: dict[str, Tensor] = {}
    with open_taps(model, {points: values.__setitem__}):
        best = float(measure(right()))
    worst = float(measure(spoiled()))
    if not values or any(value.dim() != 3 or len(value) != 1 for value in values.values()):
        raise InputError("'{key}' names no vectors, one for each token of one input", points)
    if best == worst:
        raise InputError("both inputs measure {value:g}, so that there is no difference to bring back", best)
    rows = [_tried(model, spoiled, measure, name, value) for name, value in values.items()]
    if len({len(row) for row in rows}) > 1:
        raise InputError("'{key}' names values of sequences that differ in length; choose one stack", points)
    effects = (torch.tensor(rows) - worst) / (best - worst)
    return Patching(tuple(values), effects, best, worst)


def _tried(
    model: nn.Module, run: Callable[[], Tensor], measure: Callable[[Tensor], Tensor], name: str, value: Tensor
) -> list[float]:
    found = []
    for place in range(value.shape[1]):
        progressed()
        with open_taps(model, {name: partial(_put, value, place)}):
            found.append(float(measure(run())))
    return found


def _put(value: Tensor, place: int, name: str, here: Tensor) -> Tensor:
    if here.shape != value.shape:
        sentence = "the two inputs differ in length: {value} and {limit} tokens"
        raise InputError(sentence, here.shape[1], value.shape[1])
    mixed = here.clone()
    mixed[:, place] = value[:, place]
    return mixed
