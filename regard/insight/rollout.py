"""Attention rollout: how much of each input token is in each vector, through all layers.

Abnar and Zuidema, arXiv 2005.00928, section 3: of each layer the heads' weights are averaged, the residual
connection is counted as a half that stays (½ W + ½ I, rows scaled to 1), and the layers are multiplied.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from regard.errors import InputError
from regard.insight.trace import Axis, Entry, Trace


def rollout(layers: Sequence[Tensor]) -> Tensor:
    """(H, T, T) weights of each layer, the first first → (T, T): from each vector to each input token.

    Raises: InputError when there is no layer.
    """
    joined: Tensor | None = None
    for weights in layers:
        mean = weights.double().mean(0)
        layer = 0.5 * mean + 0.5 * torch.eye(len(mean), dtype=mean.dtype)
        layer = layer / layer.sum(-1, keepdim=True)
        joined = layer if joined is None else layer @ joined
    if joined is None:
        raise InputError("there is no layer to roll out")
    return joined.float()


def rolled_out(trace: Trace, stack: str | None = None) -> Entry:
    """`rollout` of a traced stack, over the heads that were recorded: (T, T). `stack`: `encoder`, `decoder`,
    or `stack`; without it the one there is, or the encoder.

    Raises: InputError when not all of its layers were recorded.
    """
    kinds = {one.kind for one in trace.sequences}
    stack = stack or ("stack" if "stack" in kinds else "encoder")
    names = [name for name in trace.names if name.startswith(f"{stack}.") and ".attention.weights" in name]
    numbers = sorted(int(name.split(".")[2]) for name in names)
    if not numbers or numbers != list(range(len(numbers))) or f"{stack}.output" not in trace.names:
        raise InputError("a rollout needs all layers' weights of {key}; trace it without --layers", stack)
    entries = [trace[f"{stack}.blocks.{number}.attention.weights"] for number in numbers]
    _, query, key = entries[0].axes
    value = rollout([entry.value for entry in entries])
    axes = (Axis("query", query.labels), Axis("key", key.labels))
    sources = tuple(entry.name for entry in entries)
    return Entry(f"{stack}.rollout.weights", value, axes, "Π (½ mean of heads + ½ I)", sources)
