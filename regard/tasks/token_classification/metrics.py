"""How right the labels of words are: F1 of entities, and accuracy where every word has a label.

An entity counts if its first and last word and its type are right (Tjong Kim Sang and De Meulder 2003,
CoNLL-2003). The figures are those of seqeval in its usual mode, as per cent; what is 0 of 0 is 0 there, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from regard.data.rows import Row
from regard.tasks.metric import ComparedAnswers, Metric
from regard.tasks.token_classification.schemes import entities
from regard.tasks.token_classification.sentences import Sentence, sentence_of
from regard.values import Prediction, Span

Marked = set[tuple[int, int, str]]
"""First character, one more than the last, and the type."""


def marked(sentence: Sentence) -> tuple[Span, ...]:
    """The entities of a sentence as its tags, or its spans, say them."""
    return sentence.spans if sentence.tags is None else sentence.at(entities(sentence.tags))


class EntityMetric(ComparedAnswers):
    """See `entity_metrics`."""

    figures = (
        ("span_f1", "span F1", "{:.2f} %"),
        ("span_precision", "precision", "{:.2f} %"),
        ("span_recall", "recall", "{:.2f} %"),
    )

    def __init__(self) -> None:
        super().__init__(
            "span_f1",
            lambda value: _marked(value.spans),
            lambda row: _marked(marked(sentence_of(row))),
            entity_metrics,
        )


class WordMetric(Metric):
    """`accuracy`: the per cent of words whose label is right."""

    key = "accuracy"

    def __init__(self) -> None:
        self._rows, self._right = 0, Counter[str]()
        self._wanted, self._said = Counter[str](), Counter[str]()

    def update(self, predictions: Sequence[Prediction[Any]], rows: Sequence[Row]) -> None:
        for prediction, row in zip(predictions, rows, strict=True):
            sentence, said = sentence_of(row), {span.start: span.label for span in prediction.value.spans}
            self._rows += 1
            wanted = zip((start for start, _ in sentence.words), sentence.tags or (), strict=False)
            for start, tag in wanted:
                answer = said.get(start, "")
                self._wanted[tag] += 1
                self._said[answer] += 1
                self._right[tag] += answer == tag

    def compute(self) -> dict[str, Any]:
        if not self._wanted:
            return {"count": 0}
        right, said, wanted = self._right, self._said, self._wanted
        f1 = {tag: _rates(right[tag], said[tag], wanted[tag])[2] for tag in sorted(wanted)}
        return {
            "count": self._rows,
            "words": wanted.total(),
            "accuracy": 100 * right.total() / wanted.total(),
            "macro_f1": sum(f1.values()) / len(f1),
            "f1": f1,
        }


def entity_metrics(answers: Sequence[Marked], references: Sequence[Marked]) -> dict[str, Any]:
    """`span_f1`, `span_precision` and `span_recall` over all entities (micro), `macro_f1` and `weighted_f1`
    over the types; and by type `f1`, `precision`, `recall`, and how often it stands there as `support`."""
    if not references:
        return {"count": 0}
    wanted, said, right = Counter[str](), Counter[str](), Counter[str]()
    for answer, reference in zip(answers, references, strict=True):
        wanted.update(label for *_, label in reference)
        said.update(label for *_, label in answer)
        right.update(label for *_, label in reference & answer)
    types = sorted(wanted | said)
    each = {label: _rates(right[label], said[label], wanted[label]) for label in types}
    precision, recall, f1 = _rates(right.total(), said.total(), wanted.total())
    return {
        "count": len(references),
        "span_f1": f1,
        "span_precision": precision,
        "span_recall": recall,
        "macro_f1": sum(rates[2] for rates in each.values()) / max(1, len(types)),
        "weighted_f1": sum(each[label][2] * wanted[label] for label in types) / max(1, wanted.total()),
        "f1": {label: rates[2] for label, rates in each.items()},
        "precision": {label: rates[0] for label, rates in each.items()},
        "recall": {label: rates[1] for label, rates in each.items()},
        "support": {label: wanted[label] for label in types},
    }


def _rates(right: int, said: int, wanted: int) -> tuple[float, float, float]:
    precision, recall = 100 * right / max(1, said), 100 * right / max(1, wanted)
    return precision, recall, 200 * right / max(1, said + wanted)


def _marked(spans: Sequence[Span]) -> Marked:
    return {(span.start, span.end, span.label) for span in spans}
