"""Results as lines of text or JSON: what the command line prints."""

from __future__ import annotations

from itertools import islice
from typing import Any

from regard.evaluation import Evaluation
from regard.strict_json import dumps
from regard.values import Labels, Prediction, Score, Spans, Text, Value, Vector

_WIDEST = 12  # labels of a table that is shown
_FIGURES = (
    ("bleu", "BLEU", "{:.2f}"),
    ("chrf", "chrF", "{:.2f}"),
    ("exact", "exactly right", "{:.1f} %"),
    ("token_f1", "F1", "{:.1f} %"),
    ("answerable_f1", "F1, answerable", "{:.1f} %"),
    ("unanswerable_f1", "F1, no answer", "{:.1f} %"),
    ("token_error_rate", "tokens wrong", "{:.1f} %"),
    ("accuracy", "accuracy", "{:.2f} %"),
    ("macro_f1", "macro F1", "{:.2f} %"),
    ("mrr", "mean 1 / rank", "{:.1f} %"),
    ("spearman", "Spearman", "{:.2f}"),
    ("uniformity", "uniformity", "{:.3f}"),
    ("nats", "nats per token", "{:.4f}"),
    ("perplexity", "perplexity", "{:.2f}"),
    ("bits_per_byte", "bits per byte", "{:.4f}"),
)


def evaluation_lines(result: Evaluation, show: int = 0) -> list[str]:
    """A table of figures: the model first, then what needs no model."""
    count = result.metrics["count"]
    lines = [f"{result.data} {result.split}: {count:,} examples in {result.seconds:.1f} s"]
    lines += [f"  {note}" for note in result.notes]
    known = [one for one in (*result.figures, *_FIGURES) if one[0] in result.metrics]
    lines += [f"  {'':32}" + "".join(f"{title:>16}" for _, title, _ in known)]
    rows = {"this model": result.metrics, **result.baselines}
    for name, figures in rows.items():
        texts = [form.format(figures[key]) for key, _, form in known if key in figures]
        lines.append(f"  {name:32}" + "".join(f"{text:>16}" for text in texts))
    for name in ("bleu", "chrf"):
        if signature := result.metrics.get(f"{name}_signature"):
            lines.append(f"  {'BLEU' if name == 'bleu' else 'chrF'} {signature}")
    if "confusion" in result.metrics:
        lines += _confusion(list(result.metrics["f1"]), result.metrics["confusion"])
    if unknown := result.metrics.get("unknown_labels"):
        names = ", ".join(f"'{name}' {count:,}" for name, count in islice(unknown.items(), _WIDEST))
        lines.append(f"  labels that training never saw, so that no answer can be right: {names}")
    for source, reference, prediction in result.examples[:show]:
        lines += [f"  {source}", f"    should be  {reference}", f"    model      {prediction}"]
    return lines


def _confusion(labels: list[str], counts: list[list[int]]) -> list[str]:
    """Which label (a line) was taken for which (a column)."""
    if len(labels) > _WIDEST:
        return []
    names = [label if len(label) <= 12 else label[:11] + "…" for label in labels]
    lines = [f"  {'true label, taken for':32}" + "".join(f"{name:>14}" for name in names)]
    for name, row in zip(names, counts, strict=True):
        lines.append(f"  {name:32}" + "".join(f"{count:>14,}" for count in row))
    return lines


def prediction_line(given: object, prediction: Prediction[Any], *, as_json: bool) -> str:
    """One input's answer; of several best, one a line with its score."""
    if as_json:
        best = [_as_object(value, score) for value, score in prediction.ranked]
        unseen = {"unseen": prediction.unseen} if prediction.unseen else {}
        return dumps({"input": str(given), "predictions": best, **unseen})
    if prediction.candidates:
        return "\n".join(f"{score:.3f}\t{one_line(value.plain())}" for value, score in prediction.candidates)
    return one_line(prediction.value.plain())


def _as_object(value: Value, score: float | None) -> dict[str, Any]:
    """A value of a kind whose text says it all as that; where a single span of the input stands; any other as
    its kind's own JSON too."""
    found: dict[str, Any] = {"text": value.plain(), "score": score}
    if isinstance(value, Spans) and len(value.spans) < 2 and not any(span.label for span in value.spans):
        found["start"], found["end"] = value.spans[0][:2] if value.spans else (None, None)
    elif not isinstance(value, Text | Labels | Score | Vector):
        found["value"] = value.to_json()
    return found


def one_line(text: str) -> str:
    """A model may have learned to write line breaks; JSON shows them."""
    return text.replace("\r", " ").replace("\n", " ")
