"""How a model does on a split of some data, beside what needs no model."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from regard.data.builtin import BUILTIN
from regard.data.rows import DataSet, Row, Rows
from regard.errors import DataError, InputError, require
from regard.files import atomic_file
from regard.tasks.decoding import Decoding
from regard.tasks.metric import Metric, Tokenizes, evaluate, scored
from regard.tasks.protocols import HasBaselines, Renders
from regard.tasks.task import Task, open_columns


@dataclass(frozen=True)
class Evaluation:
    """How a run did on some data."""

    data: str
    split: str
    metrics: dict[str, Any]
    """The task's figures by name."""
    baselines: dict[str, dict[str, Any]]
    """The same figures of predictors without a model, where the data set has any."""
    seconds: float
    examples: list[tuple[str, str, str]]
    """Source, reference and prediction of the first few."""
    notes: list[str]
    """What the reader of the data left out or decided."""
    figures: tuple[tuple[str, str, str], ...] = ()
    """Those of the metric's own, as `Metric.figures` has them."""


def evaluated(
    task: Task,
    model: nn.Module,
    found: tuple[DataSet, list[Row]],
    metric: Metric,
    decoding: Decoding,
    split: str,
    *,
    baselines: bool,
    grid: str | Path | None,
) -> Evaluation:
    """Predict the rows and score that. `found`: the data and its rows; `grid`: where to draw some of them."""
    dataset, rows = found
    started = time.perf_counter()
    with torch.inference_mode():
        result = evaluate(task, model, rows, decoding, metric)
    seconds = time.perf_counter() - started
    if grid is not None and isinstance(task, Renders):
        with atomic_file(grid) as file:
            file.write(task.render(rows, result.answers))
    answers = [answer.plain() for answer in result.answers[:10]]
    train = dataset.splits.get("train")
    return Evaluation(
        data=dataset.name,
        split=split,
        metrics=result.figures,
        baselines=_baselines(task, dataset.name, rows, train) if baselines else {},
        seconds=seconds,
        examples=[(*task.format_row(row), answer) for row, answer in zip(rows, answers, strict=False)],
        notes=str(dataset.report).splitlines(),
        figures=metric.figures,
    )


def opened(task: Task, data: str | Path, on_error: str, *, whole: bool = False) -> DataSet:
    return open_columns(task.columns(task.config), data, on_error=on_error, whole=whole)


def rows_of(
    task: Task, name: str, split: str, limit: int | None, on_error: str = "refuse"
) -> tuple[DataSet, list[Row]]:
    """The data, and what of a split is to be judged. Raises: DataError when there is none, ConfigError for a
    limit below 1."""
    require(
        limit is None or 0 < limit <= sys.maxsize, "limit", limit, "1 or more, and no more than memory has"
    )
    dataset = opened(task, name, on_error, whole=split == "all" and Path(name).is_file())
    rows = list(islice(dataset.split(split), limit))
    if not rows:
        others = " or ".join(part for part in dataset.splits if part != split)
        hint = f"give more rows, or --split {others}"
        raise DataError("the split '{key}' of {where} is empty; {remedy}", split, dataset.name, hint)
    return dataset, rows


def metric_of(task: Task, tokenize: str | None) -> Metric:
    """What answers are measured by.

    Raises: InputError for a tokenizer of sacreBLEU where there is no BLEU, or that is not known.
    """
    metric = task.metric()
    if tokenize is None:
        return metric
    if not isinstance(metric, Tokenizes):
        raise InputError("{where} has no BLEU, and so no use for {key}", task.name, "--tokenize")
    return metric.tokenized(tokenize)


def _baselines(task: Task, name: str, rows: Sequence[Row], train: Rows | None) -> dict[str, dict[str, Any]]:
    from regard.data.baselines import trivial_baselines

    found = task.baselines(rows, train) if isinstance(task, HasBaselines) else {}
    for title, guess in trivial_baselines(name).items() if name in BUILTIN else ():
        answers = [task.output.parse(guess(row.values[0])) for row in rows]
        found[title] = scored(task.metric(), answers, rows)
    return found
