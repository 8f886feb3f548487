"""Numbers in the place of labels: read from rows, scaled for a head to learn, and measured.

Correlations: Pearson 1895, Spearman 1904.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from regard.data.readers.forms import Cell, Form, as_text
from regard.data.readers.lines import Problem
from regard.data.rows import Row
from regard.errors import DataError
from regard.tasks.metric import ComparedAnswers
from regard.tasks.parts import kept_json
from regard.tasks.similarity_metrics import correlation, spearman

SCALE = "scale.json"
_LARGEST = 1e30
"""Of numbers, so that their squares can be summed."""


@dataclass(frozen=True)
class NumberForm(Form):
    """A finite number, also written as text."""

    def text(self, value: Cell, others: Sequence[str]) -> str | Problem:
        text = as_text(value)
        if isinstance(text, Problem):
            return text
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not abs(number) <= _LARGEST:  # which no NaN is
            return Problem("no number", f"'{text.strip()[:40]}', where one from -1e30 to 1e30 was expected")
        return text


@dataclass(frozen=True)
class Scale:
    """How the numbers of the training part lie."""

    mean: float
    deviation: float
    """Their standard deviation."""

    @classmethod
    def of(cls, numbers: np.ndarray, column: str) -> Scale:
        """Raises: DataError for numbers that do not differ."""
        mean, deviation = (float(x) for x in (numbers.mean(), numbers.std())) if numbers.size else (0.0, 0.0)
        if not deviation or np.ptp(numbers) == 0:  # of which the mean may be another by rounding
            found = "only one number" if numbers.size else "no numbers"
            raise DataError("the column '{key}' has {value}; give {limit}", column, found, "two that differ")
        return cls(mean, deviation)

    @classmethod
    def restore(cls, files: Mapping[str, str]) -> Scale:
        """Out of a bundle. Raises: BundleError when it is damaged."""

        def sound(scale: Any) -> bool:
            return math.isfinite(scale["mean"]) and 0 < scale["deviation"] < math.inf and len(scale) == 2

        why = "it does not say the mean and the deviation of some numbers"
        return cls(**kept_json(files, SCALE, sound, why))


def number_of(row: Row) -> float:
    """What stands where a label would, which `NumberForm` has let through."""
    return float(row.values[-1])


def number_metrics(predictions: Sequence[float], references: Sequence[float]) -> dict[str, Any]:
    """`pearson` and `spearman`, times a hundred as is usual, 0 where either is all the same; `rmse`, the root
    of the mean squared error, and `mae`, the mean absolute error."""
    if not references:
        return {"count": 0}
    x, y = (np.asarray(some, dtype=np.float64) for some in (predictions, references))
    return {
        "count": len(y),
        "pearson": correlation(x, y),
        "spearman": spearman(x, y),
        "rmse": float(np.sqrt(((x - y) ** 2).mean())),
        "mae": float(np.abs(x - y).mean()),
    }


class NumberMetric(ComparedAnswers):
    """Correlations and errors; see `number_metrics`."""

    figures = (("pearson", "Pearson", "{:.2f}"), ("rmse", "RMSE", "{:.4g}"), ("mae", "MAE", "{:.4g}"))

    def __init__(self, key: str) -> None:
        super().__init__(key, lambda score: score.number, number_of, number_metrics)
        self.lower = key in ("rmse", "mae")
