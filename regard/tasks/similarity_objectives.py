"""What can be learned of sentences: from pairs, from pairs with scores, from sentences alone.

It does not know models; the losses are in `sentence_similarity.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from regard.data.rows import Row
from regard.errors import DataError, require

SCORE = "score"
"""The usual name of a column of scores."""


@dataclass(frozen=True)
class Contrastive:
    """Each text is to find its partner among those of the batch (InfoNCE: arXiv 1807.03748, section 2.3)."""

    temperature: float = 0.05
    """What cosines are divided by: the lower, the more the nearest of the others count."""
    metric: Literal["mrr", "accuracy"] = "mrr"
    """The figure that chooses between checkpoints."""
    kind: Literal["contrastive"] = "contrastive"

    def __post_init__(self) -> None:
        require(_positive(self.temperature), "temperature", self.temperature, "more than 0")


@dataclass(frozen=True)
class SimCSE:
    """Each text is read twice, with other dropout, and is to find itself among those of the batch (arXiv
    2104.08821, section 3). One column of texts is enough."""

    temperature: float = 0.05
    """What cosines are divided by."""
    metric: Literal["uniformity"] = "uniformity"
    """The figure that chooses between checkpoints: the lower, the more evenly texts point all ways."""
    kind: Literal["simcse"] = "simcse"

    def __post_init__(self) -> None:
        require(_positive(self.temperature), "temperature", self.temperature, "more than 0")


@dataclass(frozen=True)
class Regression:
    """The cosine of a pair is to be its score (arXiv 1908.10084, section 3)."""

    score: str = SCORE
    """The column that holds how alike the two texts are."""
    highest: float = 1.0
    """The score of texts that mean the same; the lowest is 0."""
    metric: Literal["spearman"] = "spearman"
    """The figure that chooses between checkpoints."""
    kind: Literal["regression"] = "regression"

    def __post_init__(self) -> None:
        require(_positive(self.highest), "highest", self.highest, "more than 0")

    def learned(self, row: Row) -> float:
        """The score of a row, from 0 to 1. Raises: DataError."""
        score = judged(row)
        if not 0 <= score <= self.highest:
            sentence = "{where}: the {key} '{value}' is not from 0 to {limit:g}; mend task.objective.highest"
            raise DataError(sentence, row.where, "score", row.values[2][:40], self.highest)
        return score / self.highest


Objective = Contrastive | SimCSE | Regression


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


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0
