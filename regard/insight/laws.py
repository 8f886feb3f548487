"""The library's laws, tried on a given model and a given batch.

What the tests prove of tiny random models, this proves of the one in hand: caches, fused arithmetic and
padding change nothing but the last bits. It does not know tasks or files.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from regard.model.mask import Contiguous, Ragged, dense, lower
from regard.model.tap import open_taps
from regard.model.transformer import EncoderDecoder, Transformer

TOLERANCE = 1e-4
"""Of the largest logit: float32 sums taken in another order differ by less, a wrong mask by far more."""
_ASKED = 64
"""Places that a rule is asked about."""


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


def laws(
    model: EncoderDecoder | Transformer, source: list[list[int]], target: list[list[int]] | list[Tensor]
) -> list[Finding]:
    """Try all laws on some id sequences, at least two; a single stack has no `source`.

    A stack that reads no ids is given tensors of one shape, one an example.
    """
    if isinstance(target[0], Tensor):
        assert isinstance(model, Transformer)
        return _of_tensors(model, torch.stack([torch.as_tensor(one) for one in target]))
    rows = [(a, b) for a, b in zip(source or [[]] * len(target), map(list, target), strict=True)]
    found = [
        Finding("fused = explicit", _explicit(model, *rows[0])),
        Finding("padding changes nothing", _padded(model, rows)),
    ]
    if not _writes(model):
        return found
    return [
        Finding("cached = uncached", _cached(model, *rows[0])),
        *found,
        Finding("the future is not seen", _future(model, *rows[0]), 0.0),
    ]


def _writes(model: EncoderDecoder | Transformer) -> bool:
    """Whether nothing looks ahead, so that it can write token by token. The rule itself is asked, so that it
    may be one that the library does not know."""
    if isinstance(model, EncoderDecoder):
        return True
    at = Contiguous(0, _ASKED)
    allowed = dense(lower(model.config.stack.mask, at, at), _ASKED, _ASKED)
    return allowed is not None and not bool(allowed.triu(1).any())


def _logits(model: EncoderDecoder | Transformer, source: list[int], target: list[int]) -> Tensor:
    """(1, T, V)"""
    given = [_rows(model, source)] if isinstance(model, EncoderDecoder) else []
    return model(*given, _rows(model, target))


@torch.inference_mode()
def _cached(model: EncoderDecoder | Transformer, source: list[int], target: list[int]) -> float:
    cache, steps = model.cache(), []
    memory = model.encode(_rows(model, source)) if isinstance(model, EncoderDecoder) else None
    for token in _rows(model, target).unbind(1):
        if isinstance(model, EncoderDecoder):
            hidden = model.decode(token[:, None], memory, cache=cache)
        else:
            hidden = model.hidden(token[:, None], cache=cache)
        steps.append(model.head(hidden))
    return _apart(_logits(model, source, target), torch.cat(steps, 1))


@torch.inference_mode()
def _explicit(model: EncoderDecoder | Transformer, source: list[int], target: list[int]) -> float:
    """Replacing the weights by a copy of themselves sends every layer through the explicit path."""
    fused = _logits(model, source, target)
    with open_taps(model, {"*.weights": lambda name, weights: weights.clone()}):
        return _apart(fused, _logits(model, source, target))


@torch.inference_mode()
def _of_tensors(model: Transformer, given: Tensor) -> list[Finding]:
    """Of what needs no padding, such as images of one size: (n, …)."""
    given = given.to(model.device)
    together = model(given)
    alone = torch.cat([model(one[None]) for one in given])
    with open_taps(model, {"*.weights": lambda name, weights: weights.clone()}):
        explicit = model(given)
    return [
        Finding("fused = explicit", _apart(together, explicit)),
        Finding("neighbours change nothing", _apart(together, alone)),
    ]


@torch.inference_mode()
def _padded(model: EncoderDecoder | Transformer, rows: list[tuple[list[int], list[int]]]) -> float:
    """Padding stands on the right of a source; of a stack that stands alone, on the left."""
    t = [target for _, target in rows]
    if isinstance(model, EncoderDecoder):
        s = [source for source, _ in rows]
        ids, given = _rows(model, *s), _rows(model, *t)
        places = Ragged.from_lengths(_lengths(s, ids), ids.shape[1])
        together = model(ids, given, places, Contiguous(0, given.shape[1]))
        found = [together[row : row + 1, : len(target)] for row, target in enumerate(t)]
    else:
        longest = max(map(len, t))
        given = _rows(model, *([0] * (longest - len(target)) + target for target in t))
        together = model(given, Ragged.from_lengths(_lengths(t, given), longest, "left"))
        found = [together[row : row + 1] for row in range(len(t))]
        if together.dim() == 3:  # a prediction for each token
            found = [logits[:, longest - len(target) :] for logits, target in zip(found, t, strict=True)]
    return max(_apart(_logits(model, *row), logits) for row, logits in zip(rows, found, strict=True))


@torch.inference_mode()
def _future(model: EncoderDecoder | Transformer, source: list[int], target: list[int]) -> float:
    """What the first half predicts may not depend on the second."""
    half = max(1, len(target) // 2)
    other = target[:half] + [target[0]] * (len(target) - half)
    return _apart(_logits(model, source, target)[:, :half], _logits(model, source, other)[:, :half])


def _rows(model: nn.Module, *rows: list[int]) -> Tensor:
    """(n, T), with zeros after what is shorter."""
    ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    return ids.to(next(model.parameters()).device)


def _lengths(rows: list[list[int]], ids: Tensor) -> Tensor:
    return torch.tensor(list(map(len, rows)), device=ids.device)


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / a.abs().max())
