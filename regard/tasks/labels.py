"""Labels, for tasks that choose among some: out of rows and bundles, counted, and as many in a head."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from regard.data.rows import Row
from regard.errors import DataError
from regard.model.head import Head
from regard.tasks.parts import kept_json, with_sizes
from regard.values import Labels

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

    def sound(labels: Any) -> bool:
        counts = labels.values() if isinstance(labels, dict) else [-1]
        return least <= len(labels) <= most and all(type(n) is int and 0 <= n < 1 << 53 for n in counts)

    why = "it does not say how often each of some labels stood in the data"
    return dict(kept_json(files, LABELS, sound, why))


def head_for(head: Head, labels: Mapping[str, int]) -> Head:
    """A head of classes with one for each label. Raises: ConfigError when it was made for others."""
    return with_sizes(head, "model.head", "the data have", count=len(labels))


def several(labels: Sequence[str], separator: str | None) -> Labels:
    """Labels that hold, as a value."""
    return Labels(tuple(labels), chosen=len(labels), separator=separator or "|")
