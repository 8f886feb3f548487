"""Integrated gradients: how much each input token contributes to a logit.

Sundararajan et al., arXiv 1703.01365, section 3. The integral is captum's (the extra `attribution`); along
the way from a baseline to the input the vectors that the embedding gives are what is changed, through the
model's own tap. The contributions of all tokens add up to the difference between the two logits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from regard.errors import DependencyError
from regard.model.tap import open_taps
from regard.model.transformer import Transformer


@dataclass(frozen=True, eq=False)  # tensors have no single answer to ==
class Attribution:
    """Contributions of tokens to a logit."""

    tokens: Tensor
    """(T,): what each contributes; they add up to `logit` - `baseline`."""
    numbers: Tensor
    """(T, D): the same for each number of its vector."""
    logit: float
    baseline: float
    """The logit of the baseline."""


def integrated_gradients(
    model: Transformer,
    given: Tensor,
    logit: Callable[[Tensor], Tensor],
    baseline: Tensor | None = None,
    steps: int = 64,
) -> Attribution:
    """What each token of (1, T) ids, or each patch of a picture, contributes.

    `logit`: makes (n,) numbers of what the model gives for n inputs. `baseline`: (1, T, D) vectors to begin
    with, zeros by default. `steps`: points of the integral.

    Raises: DependencyError without captum.
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError as problem:
        raise DependencyError(
            "integrated gradients need captum; install it with pip install 'regard[attribution]'"
        ) from problem
    vectors = _embedded(model, given)
    start = torch.zeros_like(vectors) if baseline is None else baseline.to(vectors)

    def of(x: Tensor) -> Tensor:
        with open_taps(model, {"embed.out": lambda name, value: x}):
            return logit(model(given.expand(len(x), *given.shape[1:])))

    with torch.enable_grad():
        found = IntegratedGradients(of, multiply_by_inputs=True).attribute(
            vectors, start, n_steps=steps, internal_batch_size=max(1, 4096 // vectors.shape[1])
        )
    numbers = found[0].detach().float().cpu()
    with torch.no_grad():
        return Attribution(numbers.sum(-1), numbers, float(of(vectors)[0]), float(of(start)[0]))


def _embedded(model: Transformer, given: Tensor) -> Tensor:
    with torch.no_grad():
        return model.embed(given)
