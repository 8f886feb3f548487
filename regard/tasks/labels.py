"""Labels, for tasks that choose among some: read from rows and bundles, counted, and told from one another."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from regard.data.rows import Row
from regard.errors import BundleError, DataError, damaged
from regard.strict_json import loads
from regard.tasks.class_metrics import class_metrics
from regard.tasks.metric import Metric
from regard.tasks.parts import kept, other_size
from regard.values import Labels, Prediction

LABELS = "labels.json"
MOST_LABELS = 10_000


def labels_of(row: Row, separator: str | None) -> list[str]:
    """The labels of a row, which its last column holds. They are not changed but for blanks around them."""
    if separator is None:
        return [row.values[-1].strip()]
    return [label for label in map(str.strip, row.values[-1].split(separator)) if label]


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


def kept_labels(files: Mapping[str, str], least: int = 2, most: int = MOST_LABELS) -> dict[str, int]:
    """The labels out of a bundle, `least` to `most`. Raises: BundleError when they are missing or damaged."""
    try:
        labels = loads(kept(files, LABELS))
        sound = isinstance(labels, dict) and all(type(n) is int and 0 <= n < 1 << 53 for n in labels.values())
    except (ValueError, RecursionError):
        sound = False
    if not sound or not least <= len(labels) <= most:
        why = "it does not say how often each of some labels stood in the data"
        raise damaged(BundleError, LABELS, why)
    return dict(labels)


def class_count(count: int, labels: Mapping[str, int]) -> int:
    """How many classes a head has of which `count` were asked for; 0 leaves it to the labels.

    Raises: ConfigError when the head was made for others.
    """
    if count not in (0, len(labels)):
        raise other_size("model.head.count", count, "the data have", len(labels))
    return len(labels)


def several(labels: Sequence[str], separator: str | None) -> Labels:
    """Labels that hold, as a value."""
    return Labels(tuple(labels), chosen=len(labels), separator=separator or "|")


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
