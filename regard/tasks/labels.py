"""What tasks that choose among labels share: the labels of a row and of a bundle, and answers made of what a
model says of each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from torch import Tensor

from regard.data.rows import Row
from regard.errors import BundleError, ConfigError, DataError, damaged
from regard.model.head import Classes
from regard.strict_json import loads
from regard.tasks.class_metrics import class_metrics
from regard.tasks.metric import Metric
from regard.tasks.parts import kept, other_size
from regard.tasks.prediction import finite
from regard.tasks.similarity_metrics import correlation_metrics
from regard.values import Labels, Prediction, Score

LABELS = "labels.json"
MOST_LABELS = 10_000
Number = Literal["plain", "sigmoid"]
"""What the one output of an imported model that gives numbers is: a number, or the logit of a probability."""


def labels_of(row: Row, separator: str | None) -> list[str]:
    """The labels of a row, which its last column holds. They are not changed but for blanks around them."""
    if separator is None:
        return [row.values[-1].strip()]
    return [label for label in map(str.strip, row.values[-1].split(separator)) if label]


def number_of(row: Row) -> float:
    """What stands where a label would. Raises: DataError."""
    try:
        return float(row.values[-1])
    except ValueError:
        sentence = "{where}: '{value}' is no number, as which this model answers"
        raise DataError(sentence, row.where, row.values[-1]) from None


def check_learned(number: Number | None) -> None:
    """Raise ConfigError for what only an imported model can be."""
    if number is not None:
        sentence = "{key}: is {value}, which is for imported models; leave it out"
        raise ConfigError(sentence, "task.number", number)


def count_labels(labels: Iterable[str], column: str) -> dict[str, int]:
    """How often each label stands in the training part, in the order of the classes.

    Raises: DataError for a single label, or for so many that it can be none.
    """
    counts = Counter(labels)
    if not 2 <= len(counts) <= MOST_LABELS:
        found = f"{len(counts):,}" if counts else "no"
        labelled = f"{found} label" if len(counts) == 1 else f"{found} different labels"
        raise DataError("the column '{key}' has {value}; give 2 to {limit:,}", column, labelled, MOST_LABELS)
    return dict(sorted(counts.items()))


def written(labels: Mapping[str, int]) -> dict[str, str]:
    """The file that a bundle keeps them in."""
    return {LABELS: json.dumps(labels, ensure_ascii=False)}


def kept_labels(files: Mapping[str, str], least: int = 2) -> dict[str, int]:
    """The labels out of a bundle, `least` at least. Raises: BundleError when they are missing or damaged."""
    try:
        labels = loads(kept(files, LABELS))
        sound = isinstance(labels, dict) and all(type(n) is int and 0 <= n < 1 << 53 for n in labels.values())
    except (ValueError, RecursionError):
        sound = False
    if not sound or not least <= len(labels) <= MOST_LABELS:
        why = "it does not say how often each of some labels stood in the data"
        raise damaged(BundleError, LABELS, why)
    return dict(labels)


def sized_head(head: Classes, labels: Mapping[str, int]) -> int:
    """How many classes there are. Raises: ConfigError when the head was made for others."""
    if head.count not in (0, len(labels)):
        raise other_size("model.head.count", head.count, "the data have", len(labels))
    return len(labels)


def ranked(names: Sequence[str], shares: Sequence[float], n: int) -> tuple[tuple[str, float], ...]:
    """The n most likely labels with their probabilities, best first; of equals the first."""
    order = sorted(range(len(names)), key=lambda i: -shares[i])
    return tuple((names[i], shares[i]) for i in order[:n])


def probabilities(logits: Tensor, separator: str | None, number: Number | None) -> Tensor:
    """(B, K) logits → (B, K) probabilities, or the numbers of a model of numbers."""
    if number == "plain":
        return logits
    return logits.softmax(-1) if separator is None and number is None else logits.sigmoid()


def chosen(names: Sequence[str], shares: Sequence[float], separator: str | None) -> list[str]:
    """The most likely label, or all with a probability of a half and more."""
    if separator is None:
        return [names[max(range(len(names)), key=lambda i: shares[i])]]
    return [name for name, share in zip(names, shares, strict=True) if share >= 0.5]


def answer(
    names: Sequence[str],
    shares: Sequence[float],
    n: int,
    separator: str | None,
    number: Number | None,
    unseen: int = 0,
) -> Prediction[Any]:
    """What `chosen` says, with the n best where more than one was asked for; of a model of numbers, its
    number. `unseen`: tokens that were not read."""
    if number is not None:
        return Prediction(Score(finite(shares[0])), shares[0], unseen=unseen)
    best, labels = ranked(names, shares, n), chosen(names, shares, separator)
    score = finite(best[0][1] if labels else 1 - best[0][1])
    candidates = tuple((Labels((name,), (share,)), share) for name, share in best) if len(best) > 1 else ()
    value = several(labels, separator) if separator is not None else Labels(tuple(labels), (score,))
    return Prediction(value, score, candidates, unseen)


def several(labels: Sequence[str], separator: str | None) -> Labels:
    """Labels that hold, as a value."""
    return Labels(tuple(labels), chosen=len(labels), separator=separator or "|")


def metric_for(key: str, names: Sequence[str], separator: str | None, number: Number | None) -> Metric:
    """What such answers are measured by."""
    return ClassMetric(key, names, separator) if number is None else CorrelationMetric()


class ClassMetric(Metric):
    """Accuracy, F1 and the confusion of labels; see `class_metrics`."""

    def __init__(self, key: str, names: Sequence[str], separator: str | None) -> None:
        self.key, self.names, self.separator = key, names, separator
        self._answers: list[Sequence[str]] = []
        self._references: list[Sequence[str]] = []

    def update(self, predictions: Sequence[Prediction[Any]], rows: Sequence[Row]) -> None:
        self._answers += [prediction.value.answer for prediction in predictions]
        self._references += [labels_of(row, self.separator) for row in rows]

    def compute(self) -> dict[str, Any]:
        return class_metrics(self._answers, self._references, self.names)


class CorrelationMetric(Metric):
    """Spearman's correlation of numbers with those of the rows."""

    key = "spearman"

    def __init__(self) -> None:
        self._answers: list[float] = []
        self._references: list[float] = []

    def update(self, predictions: Sequence[Prediction[Any]], rows: Sequence[Row]) -> None:
        self._answers += [prediction.value.number for prediction in predictions]
        self._references += [number_of(row) for row in rows]

    def compute(self) -> dict[str, Any]:
        return correlation_metrics(self._answers, self._references)
