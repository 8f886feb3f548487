"""Figures of merit for labels: accuracy, macro-F1, and which label was taken for which.

A row may have several labels. Precision, recall and F1: van Rijsbergen 1979; macro-F1 is the plain mean of
the labels' F1 scores, over the labels that stand in the references.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any


def class_metrics(
    predictions: Sequence[Collection[str]], references: Sequence[Collection[str]], labels: Sequence[str]
) -> dict[str, Any]:
    """`accuracy` (rows all of whose labels are right), `macro_f1` and `f1` by label in per cent; for rows of
    one label `confusion`: how often each label (rows) was taken for each (columns); and how often what stands
    in the references is none of the `labels`, so that no answer can be right, as `unknown_labels`."""
    if not references:
        return {"count": 0}
    right = sum(set(p) == set(r) for p, r in zip(predictions, references, strict=True))
    f1 = {label: _f1(label, predictions, references) for label in labels}
    true = Counter(label for row in references for label in row)
    unknown = {label: count for label, count in sorted(true.items()) if label not in f1}
    figures: dict[str, Any] = {
        "count": len(references),
        "accuracy": 100 * right / len(references),
        "macro_f1": 100 * sum(f1.get(label, 0.0) for label in true) / max(1, len(true)),
        "f1": {label: 100 * f1[label] for label in labels},
    }
    if unknown:
        figures["unknown_labels"] = unknown
    if all(len(row) == 1 for row in (*predictions, *references)):
        figures["confusion"] = confusion(predictions, references, labels)
    return figures


def _f1(label: str, predictions: Sequence[Collection[str]], references: Sequence[Collection[str]]) -> float:
    both = said = true = 0
    for prediction, reference in zip(predictions, references, strict=True):
        said += label in prediction
        true += label in reference
        both += label in prediction and label in reference
    return 2 * both / (said + true) if said + true else 0.0


def confusion(
    predictions: Sequence[Collection[str]], references: Sequence[Collection[str]], labels: Sequence[str]
) -> list[list[int]]:
    """Counts, a row a true label and a column a predicted one, in the order of `labels`; what is none of them
    is not counted."""
    place = {label: index for index, label in enumerate(labels)}
    table = [[0] * len(labels) for _ in labels]
    for (predicted,), (true,) in zip(predictions, references, strict=True):
        if true in place and predicted in place:
            table[place[true]][place[predicted]] += 1
    return table
