"""Integrated gradients: how much each input token contributes to a logit.

Sundararajan et al., arXiv 1703.01365, section 3. The integral is captum's (the extra `attribution`); along
the way from a baseline to the input the vectors that the embedding gives are what is changed, through the
model's own tap. The contributions of all tokens add up to the difference between the two logits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regard.errors import InputError, needs
from regard.insight.progress import progressed
from regard.model.quantize import is_int8
from regard.model.tap import open_taps
from regard.model.transformer import EncoderDecoder, Model


@dataclass(frozen=True, eq=False)  # tensors have no single answer to ==
class Attribution:
    """Contributions of tokens to a logit."""

    tokens: Tensor
    """(T,): what each contributes; they add up to `logit` - `baseline`."""
    numbers: Tensor
    """(T, D): the same for each number of its vector."""
    logit: float
    """Of the input …"""
    baseline: float
    """… and of the baseline."""


def integrated_gradients(
    model: Model,
    given: Tensor | Sequence[Tensor],
    logit: Callable[[Tensor], Tensor],
    baseline: Tensor | None = None,
    steps: int = 64,
) -> Attribution:
    """What each token of (1, T) ids, or each patch of an image, contributes.

    `given`: the ids or the image; of an encoder–decoder the source and the target, of which the source's
    tokens are asked about. `logit`: makes (n,) numbers of what the model gives for n inputs. `baseline`:
    (1, T, D) vectors to begin with, zeros by default. `steps`: points of the integral.

    Raises: InputError for an int8 model, which has no gradients; DependencyError without captum.
    """
    if is_int8(model):
        raise InputError("there are no gradients through 8-bit products; load the model in float32")
    with needs("integrated gradients need the package captum", "attribution"):
        from captum.attr import IntegratedGradients
    inputs = (given,) if isinstance(given, Tensor) else tuple(given)
    side = "source" if isinstance(model, EncoderDecoder) else "embed"
    with torch.no_grad():
        vectors = model.get_submodule(side)(inputs[0])
    start = torch.zeros_like(vectors) if baseline is None else baseline.to(vectors)

    def of(x: Tensor) -> Tensor:
        progressed()
        # Once: where both sides share a table, the target's vectors pass the same point later.
        instead = [x]
        with open_taps(model, {f"{side}.out": lambda name, value: instead.pop() if instead else None}):
            return logit(model(*(one.expand(len(x), *one.shape[1:]) for one in inputs)))

    with torch.enable_grad():
        found = IntegratedGradients(of, multiply_by_inputs=True).attribute(
            vectors, start, n_steps=steps, internal_batch_size=max(1, 4096 // vectors.shape[1])
        )
    numbers = found[0].detach().float().cpu()
    with torch.no_grad():
        return Attribution(numbers.sum(-1), numbers, float(of(vectors)[0]), float(of(start)[0]))
