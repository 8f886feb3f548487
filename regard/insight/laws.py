"""The library's laws, tried on a given model and a given batch.

What the tests prove of tiny random models, this proves of the one in hand: caches, fused arithmetic and
padding change nothing but the last bits. It does not know tasks or files.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from regard.model.mask import Contiguous, Ragged
from regard.model.tap import open_taps
from regard.model.transformer import EncoderDecoder

TOLERANCE = 1e-4
"""Of the largest logit: float32 sums taken in another order differ by less, a wrong mask by far more."""


@dataclass(frozen=True)
class Finding:
    """One law and how far this model is from it."""

    law: str
    difference: float
    """The largest difference between logits, as a part of the largest logit."""
    tolerance: float = TOLERANCE

    @property
    def holds(self) -> bool:
        return self.difference <= self.tolerance


def encoder_decoder_laws(
    model: EncoderDecoder, source: list[list[int]], target: list[list[int]]
) -> list[Finding]:
    """Try all laws on pairs of id sequences of different lengths, at least two."""
    return [
        Finding("cached = uncached", _cached(model, source[0], target[0])),
        Finding("fused = explicit", _explicit(model, source[0], target[0])),
        Finding("padding changes nothing", _padded(model, source, target)),
        Finding("the future is not seen", _future(model, source[0], target[0]), 0.0),
    ]


@torch.inference_mode()
def _cached(model: EncoderDecoder, source: list[int], target: list[int]) -> float:
    s, t = _row(model, source), _row(model, target)
    whole = model(s, t)
    memory, cache = model.encode(s), model.cache()
    steps = [model.head(model.decode(token[:, None], memory, cache=cache)) for token in t.unbind(1)]
    return _apart(whole, torch.cat(steps, 1))


@torch.inference_mode()
def _explicit(model: EncoderDecoder, source: list[int], target: list[int]) -> float:
    """Replacing the weights by a copy of themselves sends every layer through the explicit path."""
    s, t = _row(model, source), _row(model, target)
    fused = model(s, t)
    with open_taps(model, {"*.weights": lambda name, weights: weights.clone()}):
        return _apart(fused, model(s, t))


@torch.inference_mode()
def _padded(model: EncoderDecoder, source: list[list[int]], target: list[list[int]]) -> float:
    s, t = _rows(model, source), _rows(model, target)
    lengths = torch.tensor([len(row) for row in source], device=s.device)
    together = model(s, t, Ragged.from_lengths(lengths, s.shape[1]), Contiguous(0, t.shape[1]))
    return max(
        _apart(model(_row(model, a), _row(model, b)), together[row : row + 1, : len(b)])
        for row, (a, b) in enumerate(zip(source, target, strict=True))
    )


@torch.inference_mode()
def _future(model: EncoderDecoder, source: list[int], target: list[int]) -> float:
    """What the first half predicts may not depend on the second."""
    half = max(1, len(target) // 2)
    other = target[:half] + [target[0]] * (len(target) - half)
    s = _row(model, source)
    return _apart(model(s, _row(model, target))[:, :half], model(s, _row(model, other))[:, :half])


def _row(model: EncoderDecoder, ids: list[int]) -> Tensor:
    return torch.tensor([ids], device=model.head.weight.device)


def _rows(model: EncoderDecoder, rows: list[list[int]]) -> Tensor:
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=model.head.weight.device)


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / a.abs().max())
