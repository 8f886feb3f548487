"""Greedy and beam search once more, as plainly as possible: one input, no cache, no batch, python lists.

What it says is what `regard/decode/search.py` says in its docstring; nothing is shared with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from regard.model.mask import Contiguous
from regard.model.transformer import EncoderDecoder


@dataclass
class Found:
    tokens: list[int]
    log_probability: float
    score: float
    ended: bool


def log_probabilities(model: EncoderDecoder, source: list[int], written: list[int]) -> list[float]:
    """Of each token to follow `written`, whole target and all, from the beginning."""
    at = Contiguous(0, len(source))
    with torch.no_grad():
        logits = model(torch.tensor([source]), torch.tensor([written]), at)[0, -1]
    return logits.double().log_softmax(-1).tolist()


def greedy(model: EncoderDecoder, source: list[int], bos: int, eos: int, limit: int) -> list[int]:
    written: list[int] = []
    while len(written) < limit:
        options = log_probabilities(model, source, [bos, *written])
        token = max(range(len(options)), key=lambda t: options[t])
        if token == eos:
            break
        written.append(token)
    return written


def beam(
    model: EncoderDecoder,
    source: list[int],
    bos: int,
    eos: int,
    limit: int,
    *,
    width: int,
    alpha: float,
    n: int,
) -> list[Found]:
    """Without stopping early: until no place is open or the limit is reached."""
    places: list[tuple[float, list[int]]] = [(0.0, [])]
    finished: list[Found] = []
    for length in range(1, limit + 1):
        continued = [
            (total + value, [*tokens, token])
            for total, tokens in places
            for token, value in enumerate(log_probabilities(model, source, [bos, *tokens]))
        ]
        continued.sort(key=lambda one: -one[0])
        places = []
        for total, tokens in continued[: width - len(finished)]:
            ended = tokens[-1] == eos
            if ended or length == limit:
                score = total / ((5 + length) / 6) ** alpha
                finished.append(Found(tokens[:-1] if ended else tokens, total, score, ended))
            else:
                places.append((total, tokens))
        if not places:
            break
    return sorted(finished, key=lambda one: -one.score)[:n]
