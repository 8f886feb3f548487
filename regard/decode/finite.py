"""Logits that mean nothing are said, not searched: NaN is neither more nor less than anything."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regard.errors import NonFiniteOutputError


def check_logits(logits: Tensor) -> None:
    """Raise NonFiniteOutputError where (rows, V) logits hold NaN or +infinity; -infinity forbids a token.

    One sum over what has just been written, much less than what it took to compute it.
    """
    if not logits.sum(dtype=torch.float32).item() < math.inf:
        raise NonFiniteOutputError("the scores of the next token")
