"""Results as lines of text or JSON: what the command line prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from itertools import islice
from typing import Any

from regard.data.builtin import BUILTIN, BuiltIn
from regard.data.named import DATA_FOLDER, NAMED, NamedSet, local_folder
from regard.data.readers.opening import open_data
from regard.data.rows import KnownSet
from regard.errors import DataError, nearest
from regard.interop.public import CHECKPOINTS, PublicCheckpoint
from regard.interop.public import local_folder as checkpoint_folder
from regard.run import Evaluation
from regard.tasks.task import Prediction

_WIDEST = 12  # labels of a table that is shown
_LONGEST = 200  # characters of a value that is shown
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
    ("nats", "nats a token", "{:.4f}"),
    ("perplexity", "perplexity", "{:.2f}"),
    ("bits_per_byte", "bits a byte", "{:.4f}"),
)


def evaluation_lines(result: Evaluation, show: int = 0) -> list[str]:
    """A table of figures: the model first, then what needs no model."""
    count = result.metrics["count"]
    lines = [f"{result.data} {result.split}: {count:,} examples in {result.seconds:.1f} s"]
    lines += [f"  {note}" for note in result.notes]
    titles = [title for key, title, _ in _FIGURES if key in result.metrics]
    lines += [f"  {'':32}" + "".join(f"{title:>16}" for title in titles)]
    lines.append(_figures("this model", result.metrics))
    lines += [_figures(name, figures) for name, figures in result.baselines.items()]
    for name in ("bleu", "chrf"):
        if signature := result.metrics.get(f"{name}_signature"):
            lines.append(f"  {'BLEU' if name == 'bleu' else 'chrF'} {signature}")
    if "confusion" in result.metrics:
        lines += _confusion(list(result.metrics["f1"]), result.metrics["confusion"])
    for source, reference, prediction in result.examples[:show]:
        lines += [f"  {source}", f"    should be  {reference}", f"    model      {prediction}"]
    return lines


def _figures(name: str, figures: dict[str, Any]) -> str:
    shown = [form.format(figures[key]) for key, _, form in _FIGURES if key in figures]
    return f"  {name:32}" + "".join(f"{text:>16}" for text in shown)


def _confusion(labels: list[str], counts: list[list[int]]) -> list[str]:
    """Which label (a line) was taken for which (a column)."""
    if len(labels) > _WIDEST:
        return []
    names = [label if len(label) <= 12 else label[:11] + "…" for label in labels]
    lines = [f"  {'true label, taken for':32}" + "".join(f"{name:>14}" for name in names)]
    for name, row in zip(names, counts, strict=True):
        lines.append(f"  {name:32}" + "".join(f"{count:>14,}" for count in row))
    return lines


def prediction_line(text: str, prediction: Prediction, *, as_json: bool) -> str:
    """One input's answer; of several best, one a line with its score."""
    if as_json:
        best = [_as_object(prediction, place) for place in range(len(prediction.ranked))]
        return json.dumps({"input": text, "predictions": best}, ensure_ascii=False)
    if prediction.alternatives:
        return "\n".join(f"{score:.3f}\t{_one_line(answer)}" for answer, score in prediction.alternatives)
    return _one_line(prediction.text)


def _as_object(prediction: Prediction, place: int) -> dict[str, Any]:
    """The answer in this place, with where it stands if it is a span."""
    text, score = prediction.ranked[place]
    found: dict[str, Any] = {"text": text, "score": score}
    if prediction.spans:
        found["start"], found["end"] = prediction.spans[place] or (None, None)
    return found


def _one_line(text: str) -> str:
    """A model may have learned to write line breaks; JSON shows them."""
    return text.replace("\r", " ").replace("\n", " ")


def data_lines(name: str | None, *, as_json: bool) -> Iterator[str]:
    """All sets that have a name; or one, and its first rows if it is here without a download."""
    known: dict[str, KnownSet] = {**BUILTIN, **NAMED}
    if name is not None and name not in known and name not in CHECKPOINTS:
        every = [*known, *CHECKPOINTS]
        raise DataError(f"there is no data set or checkpoint called '{name}'{nearest(name, every)}")
    for entry in (entry for entry in known.values() if name in (None, entry.name)):
        if as_json:
            about = {field.name: getattr(entry, field.name) for field in fields(KnownSet)}
            yield json.dumps({**about, "place": _place(entry)}, ensure_ascii=False)
            continue
        columns = f" ({' → '.join(entry.columns)})" if entry.columns else ""
        yield f"{entry.name:15} {entry.title}{columns}"
        for label in ("size", "split", "source", "licence"):
            yield f"{'':15} {label}: {getattr(entry, label)}"
        yield f"{'':15} place: {_place(entry)}"
    for checkpoint in CHECKPOINTS.values():
        if name in (None, checkpoint.name):
            yield from _checkpoint_lines(checkpoint, as_json=as_json)
    if name in known and not as_json and known[name].columns and _is_here(known[name]):
        data = open_data(name, known[name].columns)
        for row in islice(data.split("train"), 5):
            yield f"{'':15} {'  →  '.join(_beginning(value) for value in row.values)}"


def _checkpoint_lines(entry: PublicCheckpoint, *, as_json: bool) -> Iterator[str]:
    """What others trained, for `regard import` and the recipes."""
    folder = checkpoint_folder(entry)
    place = "is downloaded when first used" if folder is None else str(folder)
    about = {label: getattr(entry, label) for label in ("size", "source", "licence")} | {"place": place}
    if as_json:
        yield json.dumps({"name": entry.name, "title": entry.title, **about}, ensure_ascii=False)
        return
    yield f"{entry.name:15} {entry.title} (a checkpoint: regard import {entry.name} RUN)"
    for label, value in about.items():
        yield f"{'':15} {label}: {value}"


def _beginning(text: str) -> str:
    line = _one_line(text)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"


def _is_here(entry: KnownSet) -> bool:
    return not isinstance(entry, NamedSet) or local_folder(entry) is not None


def _place(entry: KnownSet) -> str:
    """Where the rows would come from at this moment."""
    if isinstance(entry, BuiltIn):
        return f"comes with the extra '{entry.extra}'" if entry.extra else "comes with regard"
    assert isinstance(entry, NamedSet)
    if folder := local_folder(entry):
        return str(folder)
    return "is downloaded when first used" if entry.downloadable else f"needs ${DATA_FOLDER}"
