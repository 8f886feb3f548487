"""Predictions out of numbers: numbers that mean nothing are refused before anybody reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from regard.errors import NonFiniteOutputError
from regard.values import Prediction, Value, Vector


def checked(made: list[Prediction[Any]]) -> list[Prediction[Any]]:
    """`made`. Raises: NonFiniteOutputError where a score is NaN, so that the ranking means nothing."""
    scores = (score for one in made for _, score in ((one.value, one.score), *one.candidates))
    if any(score is not None and math.isnan(score) for score in scores):
        raise NonFiniteOutputError("a score")
    return made


def finite(score: float) -> float:
    """`score`. Raises: NonFiniteOutputError."""
    if not math.isfinite(score):
        raise NonFiniteOutputError("a score")
    return score


def vector_of(numbers: Tensor) -> Vector:
    """(D,). Raises: NonFiniteOutputError."""
    if not bool(numbers.isfinite().all()):
        raise NonFiniteOutputError("a vector")
    return Vector(numbers.cpu().numpy())


def best_of(ranked: Sequence[tuple[Value, float]], unseen: int = 0) -> Prediction[Any]:
    """The first of some answers, and as its candidates all of them if there are several."""
    return Prediction(*ranked[0], tuple(ranked) if len(ranked) > 1 else (), unseen)
