"""Logits of starts and ends → the most likely spans (arXiv 1810.04805, section 4.2).

A span's score is the logit of its start plus that of its end. This file does not know what the tokens are.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, arange


class Spans(NamedTuple):
    """Of each row, best first."""

    scores: Tensor
    """(B, n), -inf where a row has fewer spans."""
    starts: Tensor
    """(B, n)"""
    ends: Tensor
    """(B, n) the last token, which belongs to the span."""
    null: Tensor
    """(B,) the score of the first token, which stands for no span at all."""
    total: Tensor
    """(B,) log of the sum of e^score over all legal spans; -inf where there is none."""


def best_spans(logits: Tensor, first: Tensor, stop: Tensor, *, longest: int, n: int) -> Spans:
    """(B, T, 2) logits → the n best spans that begin at `first` (B,) or later, end before `stop` (B,) and
    have at most `longest` tokens."""
    length = logits.shape[1]
    column = arange(length, device=logits.device)
    outside = (column < first[:, None]) | (column >= stop[:, None])
    starts, ends = logits.float().masked_fill(outside[:, :, None], float("-inf")).unbind(-1)
    width = min(longest, length)
    following = F.pad(ends, (0, width - 1), value=float("-inf")).unfold(1, width, 1)  # (B, T, width)
    sums = (starts[:, :, None] + following).flatten(1)
    scores, place = sums.topk(min(n, sums.shape[1]), dim=1)
    begin = place // width
    return Spans(scores, begin, begin + place % width, logits[:, 0].float().sum(-1), sums.logsumexp(1))
