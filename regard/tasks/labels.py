"""What tasks that choose among labels share: the labels a bundle keeps, and answers made of probabilities."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from regard.errors import BundleError, ConfigError, DataError
from regard.model.head import Classes
from regard.strict_json import loads
from regard.tasks.parts import kept
from regard.tasks.task import Prediction

LABELS = "labels.json"
MOST_LABELS = 10_000


def count_labels(labels: Iterable[str], column: str) -> dict[str, int]:
    """How often each label stands in the training part, in the order of the classes.

    Raises: DataError for a single label, or for so many that it can be none.
    """
    counts = Counter(labels)
    if not 2 <= len(counts) <= MOST_LABELS:
        found = f"{len(counts):,}" if counts else "no"
        labelled = f"{found} label" if len(counts) == 1 else f"{found} different labels"
        raise DataError(f"the column '{column}' has {labelled}; give 2 to {MOST_LABELS:,}")
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
        raise BundleError(
            f"{LABELS} is damaged: it does not say how often each of some labels stood in the data"
        )
    return dict(labels)


def sized_head(head: Classes, labels: Mapping[str, int]) -> int:
    """How many classes there are. Raises: ConfigError when the head was made for others."""
    if head.count not in (0, len(labels)):
        raise ConfigError(
            f"model.head.count: is {head.count}, but the data have {len(labels)}; leave it at 0"
        )
    return len(labels)


def ranked(names: Sequence[str], shares: Sequence[float], n: int) -> tuple[tuple[str, float], ...]:
    """The n likeliest labels with their probabilities, best first; of equals the first."""
    order = sorted(range(len(names)), key=lambda i: -shares[i])
    return tuple((names[i], shares[i]) for i in order[:n])


def likeliest(names: Sequence[str], shares: Sequence[float], n: int) -> Prediction:
    """The answer of one label, with the n best where more than one was asked for."""
    best = ranked(names, shares, n)
    return Prediction(best[0][0], best[0][1], best if n > 1 else ())
