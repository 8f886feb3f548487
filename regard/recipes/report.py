"""Results as lines of text or JSON: what the command line prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from regard.data.builtin import BUILTIN
from regard.errors import DataError, nearest
from regard.run import Evaluation
from regard.tasks.task import Prediction

_FIGURES = (
    ("bleu", "BLEU", "{:.2f}"),
    ("chrf", "chrF", "{:.2f}"),
    ("exact", "exactly right", "{:.1f} %"),
    ("token_error_rate", "tokens wrong", "{:.1f} %"),
)


def evaluation_lines(result: Evaluation, show: int = 0) -> list[str]:
    """A table of figures: the model first, then what needs no model."""
    count = result.metrics["count"]
    lines = [f"{result.data} {result.split}: {count:,} examples in {result.seconds:.1f} s"]
    lines += [f"  {note}" for note in result.notes]
    lines += [f"  {'':32}" + "".join(f"{title:>16}" for _, title, _ in _FIGURES)]
    lines.append(_figures("this model", result.metrics))
    lines += [_figures(name, figures) for name, figures in result.baselines.items()]
    lines.append(f"  BLEU {result.metrics['bleu_signature']}")
    lines.append(f"  chrF {result.metrics['chrf_signature']}")
    for source, reference, prediction in result.examples[:show]:
        lines += [f"  {source}", f"    should be  {reference}", f"    model      {prediction}"]
    return lines


def _figures(name: str, figures: dict[str, Any]) -> str:
    return f"  {name:32}" + "".join(f"{form.format(figures[key]):>16}" for key, _, form in _FIGURES)


def prediction_line(text: str, prediction: Prediction, *, as_json: bool) -> str:
    """One input's answer; of several best, one a line with its score."""
    if as_json:
        best = [{"text": answer, "score": score} for answer, score in prediction.ranked]
        return json.dumps({"input": text, "predictions": best}, ensure_ascii=False)
    if prediction.alternatives:
        return "\n".join(f"{score:.3f}\t{_one_line(answer)}" for answer, score in prediction.alternatives)
    return _one_line(prediction.text)


def _one_line(text: str) -> str:
    """A model may have learned to write line breaks; JSON shows them."""
    return text.replace("\r", " ").replace("\n", " ")


def data_lines(name: str | None, *, as_json: bool) -> Iterator[str]:
    """All built-in sets, or one with its first rows."""
    if name is not None and name not in BUILTIN:
        raise DataError(f"there is no built-in set '{name}'{nearest(name, BUILTIN)}")
    for entry in [BUILTIN[name]] if name else BUILTIN.values():
        if as_json:
            keys = ("name", "title", "size", "columns", "licence", "source", "split")
            yield json.dumps({key: getattr(entry, key) for key in keys}, ensure_ascii=False)
            continue
        yield f"{entry.name:10} {entry.title} ({' → '.join(entry.columns)})"
        for label, value in (("size", entry.size), ("split", entry.split), ("from", entry.source)):
            yield f"{'':10} {label}: {value}"
        yield f"{'':10} licence: {entry.licence}"
    if name and not as_json:
        for row in islice(BUILTIN[name].load().split("train"), 5):
            yield f"{'':10} {'  →  '.join(row.values)}"
