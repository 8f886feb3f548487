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
    said, known, both = (Counter[str]() for _ in range(3))
    for p, r in zip(predictions, references, strict=True):
        said.update(set(p))
        known.update(set(r))
        both.update(set(p) & set(r))
    f1 = {label: 2 * both[label] / max(1, said[label] + known[label]) for label in labels}
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
        pairs = Counter((true, said) for (said,), (true,) in zip(predictions, references, strict=True))
        figures["confusion"] = [[pairs[row, column] for column in labels] for row in labels]
    return figures
