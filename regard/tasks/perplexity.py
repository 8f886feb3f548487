"""Figures of language models, which need no predictions: how many nats the truth costs.

Perplexity: Jelinek et al. 1977. Bits per byte of UTF-8 do not depend on the tokenizer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn

from regard.data.rows import Row
from regard.tasks.decoding import Decoding
from regard.tasks.metric import Metric
from regard.tasks.task import Batch, Task
from regard.values import Value

_MOST = 700.0
"""Nats whose exponential is a number."""


class _Nats(Metric):
    """What the tokens of some rows cost."""

    def __init__(self) -> None:
        self._rows = self._tokens = 0
        self._total = 0.0

    def count(self, rows: Sequence[Row], total: float, tokens: int) -> None:
        """`total`: nats of all of the `tokens` that these rows have."""
        self._rows += len(rows)
        self._total += total
        self._tokens += tokens

    def _figures(self, **more: float) -> dict[str, Any]:
        nats = self._total / max(self._tokens, 1)
        costs = {"nats": nats, "perplexity": math.exp(min(nats, _MOST))}
        return {"count": self._rows, "tokens": self._tokens, **more, **costs}


class Perplexity(_Nats):
    """`nats` per token, `perplexity`, `bits_per_byte`, and how many `tokens` that is over."""

    key, lower = "nats", True

    def __init__(
        self, batches: Callable[[Sequence[Row]], Iterable[Batch]], size: Callable[[Sequence[Row]], int]
    ) -> None:
        """`batches`: of some rows, in which every token is asked for once; `size`: their bytes."""
        super().__init__()
        self._batches, self._size, self._bytes = batches, size, 0

    def count(self, rows: Sequence[Row], total: float, tokens: int) -> None:
        super().count(rows, total, tokens)
        self._bytes += self._size(rows)

    @torch.inference_mode()
    def measure(self, task: Task, model: nn.Module, rows: Sequence[Row], decoding: Decoding) -> list[Value]:
        total, tokens, device = 0.0, 0, next(model.parameters()).device
        for batch in self._batches(rows):
            total += float(task.loss(model, batch.to(device))["loss"])
            tokens += batch.tokens
        self.count(rows, total, tokens)
        return []

    def compute(self) -> dict[str, Any]:
        return self._figures() | {"bits_per_byte": self._total / math.log(2) / max(self._bytes, 1)}


class MaskedTokens(_Nats):
    """`accuracy` of masked tokens in per cent, `nats` each and `perplexity`; which of the first two chooses
    between checkpoints is said. The task computes the sums: `masked_sums`."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key, self.lower, self._right = key, key == "nats", 0

    def measure(self, task: Any, model: nn.Module, rows: Sequence[Row], decoding: Decoding) -> list[Value]:
        total, right, tokens = task.masked_sums(model, rows)
        self.count(rows, total, tokens)
        self._right += right
        return []

    def compute(self) -> dict[str, Any]:
        return self._figures(accuracy=100 * self._right / max(self._tokens, 1))
