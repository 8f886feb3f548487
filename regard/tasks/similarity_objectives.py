"""What can be learned of sentences: from pairs, from pairs with scores, from sentences alone.

An objective says which columns it reads, what is lost, and what vectors are measured by. It does not know
models: vectors come in.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.data.rows import Row
from regard.errors import DataError, require
from regard.registry import Registry, register
from regard.tasks.decoding import Decoding
from regard.tasks.metric import Metric
from regard.tasks.similarity_metrics import (
    correlation_metrics,
    partners,
    retrieval_metrics,
    uniformity_metrics,
)
from regard.values import Score, Text, Value

SCORE = "score"
"""The usual name of a column of scores."""


class Objective(ABC):
    """What is learned, and how that is measured."""

    kind: str
    metric: str
    """The figure that chooses between checkpoints."""
    lower: ClassVar[bool] = False
    alone: ClassVar[bool] = False
    """Whether a text is its own partner, told apart by dropout."""
    scored: ClassVar[bool] = False
    """Whether a pair has a score."""

    def wanted(self, source: str | None, target: str | None) -> tuple[str | None, ...]:
        """The columns that it reads."""
        return source, target

    def learned(self, row: Row) -> float | None:
        """The score of a row, from 0 to 1, if it has one. Raises: DataError."""
        return None

    @abstractmethod
    def loss(self, left: Tensor, right: Tensor, scores: Tensor, same: Tensor) -> Tensor:
        """(B, D) and (B, D) vectors of length 1, (B,) scores, and (B, B) booleans: which texts stand twice in
        the batch. Summed over the pairs."""

    @abstractmethod
    def compared(self, left: Tensor, right: Tensor, rows: Sequence[Row]) -> tuple[list[float], list[Value]]:
        """Of (N, D) vectors of the two sides: numbers for `figures`, and answers."""

    @abstractmethod
    def figures(self, numbers: Sequence[float], rows: Sequence[Row]) -> dict[str, Any]:
        """Figures of merit of what `compared` gives."""

    def measured(self) -> Metric:
        """What vectors are measured by."""
        return PairedVectors(self)

    def format_row(self, row: Row) -> tuple[str, str]:
        """A row for people to read."""
        return row.values[0], row.values[-1]


OBJECTIVES: Registry[type[Objective]] = Registry("objectives", __name__, base=Objective)
"""The objectives by their kinds."""


class _InBatch(Objective):
    """Each text is to find its partner among those of the batch."""

    temperature: float

    def __post_init__(self) -> None:
        require(0 < self.temperature < math.inf, "temperature", self.temperature, "more than 0")

    def loss(self, left: Tensor, right: Tensor, scores: Tensor, same: Tensor) -> Tensor:
        # A text that stands in the batch twice has two partners, and neither is wrong.
        others = same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
        logits = (left @ right.T / self.temperature).masked_fill(others, -math.inf)
        own = torch.arange(len(logits), device=logits.device)
        both = F.cross_entropy(logits, own, reduction="sum") + F.cross_entropy(logits.T, own, reduction="sum")
        return both / 2

    def compared(self, left: Tensor, right: Tensor, rows: Sequence[Row]) -> tuple[list[float], list[Value]]:
        ranks, nearest = partners(left, right, [row.values for row in rows])
        return list(ranks), [Text(rows[place].values[1]) for place in nearest]

    def figures(self, numbers: Sequence[float], rows: Sequence[Row]) -> dict[str, Any]:
        return retrieval_metrics(numbers)


@register
@dataclass(frozen=True)
class Contrastive(_InBatch):
    """Each text is to find its partner among those of the batch (InfoNCE: arXiv 1807.03748, section 2.3)."""

    temperature: float = 0.05
    """What cosines are divided by: the lower, the more the nearest of the others count."""
    metric: Literal["mrr", "accuracy"] = "mrr"
    """The figure that chooses between checkpoints."""
    kind: Literal["contrastive"] = "contrastive"


@register
@dataclass(frozen=True)
class SimCSE(_InBatch):
    """Each text is read twice, with other dropout, and is to find itself among those of the batch (arXiv
    2104.08821, section 3). One column of texts is enough."""

    temperature: float = 0.05
    """What cosines are divided by."""
    metric: Literal["uniformity"] = "uniformity"
    """The figure that chooses between checkpoints: the lower, the more evenly texts point all ways."""
    kind: Literal["simcse"] = "simcse"
    lower: ClassVar[bool] = True
    alone: ClassVar[bool] = True

    def wanted(self, source: str | None, target: str | None) -> tuple[str | None, ...]:
        return (source,)

    def measured(self) -> Metric:
        return Uniformity()


@register
@dataclass(frozen=True)
class Regression(Objective):
    """The cosine of a pair is to be its score (arXiv 1908.10084, section 3)."""

    score: str = SCORE
    """The column that holds how alike the two texts are."""
    highest: float = 1.0
    """The score of texts that mean the same; the lowest is 0."""
    metric: Literal["spearman"] = "spearman"
    """The figure that chooses between checkpoints."""
    kind: Literal["regression"] = "regression"
    scored: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(0 < self.highest < math.inf, "highest", self.highest, "more than 0")

    def wanted(self, source: str | None, target: str | None) -> tuple[str | None, ...]:
        return source, target, self.score

    def learned(self, row: Row) -> float:
        """The score of a row, from 0 to 1. Raises: DataError."""
        score = judged(row)
        if not 0 <= score <= self.highest:
            sentence = "{where}: the {key} '{value}' is not from 0 to {limit:g}; mend task.objective.highest"
            raise DataError(sentence, row.where, "score", row.values[2][:40], self.highest)
        return score / self.highest

    def loss(self, left: Tensor, right: Tensor, scores: Tensor, same: Tensor) -> Tensor:
        return ((left * right).sum(1) - scores).square().sum()

    def compared(self, left: Tensor, right: Tensor, rows: Sequence[Row]) -> tuple[list[float], list[Value]]:
        cosines = F.cosine_similarity(left, right).tolist()
        return cosines, [Cosine(cosine) for cosine in cosines]

    def figures(self, numbers: Sequence[float], rows: Sequence[Row]) -> dict[str, Any]:
        return correlation_metrics(numbers, [judged(row) for row in rows])

    def format_row(self, row: Row) -> tuple[str, str]:
        return f"{row.values[0]} | {row.values[1]}", f"{judged(row):g}"


class Cosine(Score):
    """From -1 to 1, shown to four places."""

    def __str__(self) -> str:
        return f"{self.number:.4f}"


class PairedVectors(Metric):
    """What an objective makes of the vectors of both sides of some rows."""

    def __init__(self, objective: Objective) -> None:
        self.objective, self.key, self.lower = objective, objective.metric, objective.lower
        self._numbers: list[float] = []
        self._rows: list[Row] = []

    def measure(self, task: Any, model: nn.Module, rows: Sequence[Row], decoding: Decoding) -> list[Value]:
        sides = ([row.values[side] for row in rows] for side in (0, 1))
        left, right = (task.vectors(model, texts, decoding.batch_tokens) for texts in sides)
        return self.count(left, right, rows)

    def count(self, left: Tensor, right: Tensor, rows: Sequence[Row]) -> list[Value]:
        """Count vectors in; returns what each answers."""
        numbers, answers = self.objective.compared(left, right, rows)
        self._numbers += numbers
        self._rows += rows
        return answers

    def compute(self) -> dict[str, Any]:
        return self.objective.figures(self._numbers, self._rows)


class Uniformity(Metric):
    """How evenly the vectors of different texts point all ways; see `uniformity_metrics`."""

    key, lower = "uniformity", True

    def __init__(self) -> None:
        self._vectors: dict[str, Tensor] = {}

    def measure(self, task: Any, model: nn.Module, rows: Sequence[Row], decoding: Decoding) -> list[Value]:
        texts = list(dict.fromkeys(row.values[0] for row in rows if row.values[0].strip()))
        new = [text for text in texts if text not in self._vectors]
        self._vectors |= dict(zip(new, task.vectors(model, new, decoding.batch_tokens), strict=False))
        return []

    def compute(self) -> dict[str, Any]:
        vectors = list(self._vectors.values())
        return uniformity_metrics(torch.stack(vectors) if vectors else torch.zeros((0, 1)))


def judged(row: Row) -> float:
    """The score of a row as it stands there: for ranks, any scale will do. Raises: DataError."""
    try:
        score = float(row.values[2])
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        sentence = "{where}: the {key} '{value}' is no number; mend it"
        raise DataError(sentence, row.where, "score", row.values[2][:40])
    return score


def objective_for(columns: Sequence[str]) -> Objective:
    """What can be learned from data with these columns."""
    if len(columns) == 1:
        return SimCSE()
    return Regression() if SCORE in columns else Contrastive()
