"""One update of a model's weights, as a function: forward, backward, clipping, optimizer.

It knows neither data nor schedules; a loop of one's own calls it with
batches, `loop.py` does so for whole runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regard.training.device import Place, autocast
from regard.training.optim import Optimizer

Losses = Mapping[str, Tensor]
"""`"loss"`, which is minimised, and its named components; each summed over a batch's predictions, in nats."""


def training_step(
    loss: Callable[[Any], Losses],
    batches: Sequence[Any],
    optimizer: Optimizer,
    *,
    factor: float = 1.0,
    clip: float = 0.0,
    place: Place | None = None,
    precision: str = "float32",
    scaler: torch.amp.GradScaler | None = None,
    seeds: Sequence[int] = (),
) -> tuple[dict[str, Tensor], int]:
    """One optimizer step over `batches`, whose gradients are accumulated.

    loss: of a batch (`tasks.task.Batch`), such as `lambda batch: task.loss(model, batch)`; `place.wrap` of a
    module where there are several processes. factor: of the peak learning rate. clip: largest norm of the
    gradients; 0 does not clip. precision: `autocast`'s. seeds: of the dropout of each batch.

    Returns the losses, summed over all predictions of all processes, and the number of these predictions.
    """
    place = place or Place(torch.device("cpu"))
    scaler = scaler or torch.amp.GradScaler(place.device.type, enabled=False)
    own = sum(batch.tokens for batch in batches)
    tokens = own if place.world == 1 else int(place.sum(torch.tensor(own)))
    totals: dict[str, Tensor] = {}
    for index, batch in enumerate(batches):
        if seeds:
            torch.manual_seed(seeds[index])
        with place.gathering(loss, last=index == len(batches) - 1):
            with autocast(place.device, precision):
                losses = loss(batch.to(place.device))
            # The gradients of several processes are averaged; what is wanted is their sum.
            scaler.scale(losses["loss"] * (place.world / tokens)).backward()
        for name, value in losses.items():
            totals[name] = totals[name] + value.detach() if name in totals else value.detach()
    for part in optimizer.parts:
        scaler.unscale_(part)
    if clip:
        nn.utils.clip_grad_norm_(optimizer.parameters, clip)
    optimizer.step(factor, scaler)
    optimizer.clear()
    return {name: place.sum(total) for name, total in totals.items()}, tokens
