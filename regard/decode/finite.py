"""Logits that mean nothing are said, not searched: NaN is neither more nor less than anything."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regard.errors import NonFiniteOutputError
from regard.threads import computing_with

NO_TOKEN = -1
"""What is written in place of a token that nothing can be said of."""


def check_logits(logits: Tensor) -> None:
    """Raise NonFiniteOutputError where (rows, V) logits on the host hold NaN or +infinity; -infinity forbids
    a token. One sum over what has just been written, much less than what it took to compute it.

    On a device the host would have to wait for it: there see `marked`. By one thread: a second one of torch's
    would afterwards spin where the next step computes by threads of its own.
    """
    if logits.device.type != "cpu":
        return
    with computing_with(1):
        total = logits.sum(dtype=torch.float32).item()
    if not total < math.inf:
        raise NonFiniteOutputError("the scores of the next token")


def marked(tokens: Tensor, logits: Tensor) -> Tensor:
    """(rows,) tokens, `NO_TOKEN` in each row whose logits on a device hold NaN or +infinity."""
    if logits.device.type == "cpu":
        return tokens
    return torch.where(logits.sum(-1, dtype=torch.float32) < math.inf, tokens, NO_TOKEN)


def check_tokens(tokens: list[int]) -> list[int]:
    """The same tokens, once the host has them. Raises: NonFiniteOutputError for `NO_TOKEN`."""
    if NO_TOKEN in tokens:
        raise NonFiniteOutputError("the scores of the next token")
    return tokens
