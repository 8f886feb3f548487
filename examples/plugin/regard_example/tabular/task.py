"""Tabular classification: a row of numbers and categories gets one of some labels (FT-Transformer, arXiv
2106.11959).

Each column is a token; their order means nothing, so that no positions are added. Two things differ from the
paper: the first block has its norm, too, and the head has no ReLU.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from regard.data.field import Field
from regard.data.readers import Preview
from regard.data.readers.lines import Problem
from regard.errors import BundleError, ConfigError, InputError, RegardError, require, unknown
from regard.model.attention import AttentionConfig
from regard.model.block import PreNorm
from regard.model.feedforward import GatedMLP
from regard.model.head import Classes
from regard.model.position import NoPosition
from regard.model.stack import StackConfig
from regard.model.transformer import ModelConfig, TransformerConfig
from regard.schema import dump, parse
from regard.strict_json import VOCABULARY, loads
from regard.tasks import Decoding, InputSpec, Metric, Prediction, Task, TaskConfig
from regard.tasks.batch import TensorBatch
from regard.tasks.labels import head_for
from regard.tasks.parts import kept
from regard.tasks.targets import OneLabel
from regard.tasks.task import Column, Presets
from regard.values import Labels, Score, Text, Value
from regard_example.tabular.cells import SAMPLE, CategoryForm, Columns, NumberForm, are_numbers
from regard_example.tabular.embed import Features
from regard_example.tabular.record import Record

COLUMNS = "columns.json"
TARGETS = ("label", "target")
"""The column of labels where nobody names it, if there is one of these; else the last."""
_AT_ONCE = 4096


def _model(depth: int, width: int, heads: int, hidden: int) -> TransformerConfig:
    stack = StackConfig(
        width=width,
        depth=depth,
        attention=AttentionConfig(heads=heads),
        feedforward=GatedMLP(hidden=hidden, activation="relu", bias=True),
        position=NoPosition(),
        placement=PreNorm(),
        dropout=0.1,
    )
    return TransformerConfig(Features(), stack, Classes(pooling="first"))


@dataclass(frozen=True)
class TabularClassificationConfig(TaskConfig):
    """How rows and labels are read."""

    target: str | None = None
    """The column that holds the label; null for `label` or `target`, or else the last."""
    numbers: tuple[str, ...] | None = None
    """The columns that hold numbers; null for those whose cells are numbers."""
    categories: tuple[str, ...] | None = None
    """The columns that hold categories; null for all others."""
    ignored: tuple[str, ...] = ()
    """Columns that are not read, such as the number of the row."""
    unseen: float = 0.02
    """How often a category is replaced, while training, by the vector of those that were never seen."""
    smoothing: float = 0.0
    """Label smoothing."""
    metric: Literal["accuracy", "macro_f1"] = "accuracy"
    """The figure that chooses between checkpoints."""
    kind: Literal["tabular-classification"] = "tabular-classification"
    separator: ClassVar[None] = None
    """A row has one label: see `OneLabel`."""

    def __post_init__(self) -> None:
        require(0 <= self.unseen < 1, "unseen", self.unseen, "at least 0 and less than 1")
        require(0 <= self.smoothing < 1, "smoothing", self.smoothing, "at least 0 and less than 1")


@dataclass(frozen=True)
class Batch(TensorBatch):
    """Rows side by side: (B, F) as `Columns.encode` makes them, and (B,) labels."""

    cells: Tensor
    labels: Tensor

    @property
    def tokens(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class RecordSpec(InputSpec):
    """A row: an object, or the cells in the order of the columns, with commas or tabs between them."""

    def parse(self, given: object) -> Record:
        """With a cell for each column. Raises: InputError for columns or cells that it cannot take."""
        names = [str(column.name) for column in self.columns]
        if isinstance(given, str) and not given.lstrip().startswith("{"):
            cells = next(csv.reader([given], delimiter="\t" if "\t" in given else ","), [])
            if len(cells) != len(names):
                sentence = "{where} has {value} cells; it must have {limit}: {columns}"
                raise InputError(sentence, "the input", len(cells), len(names), ", ".join(names))
            given = dict(zip(names, cells, strict=True))
        record = Record.parse(given)
        there = dict(zip(record.names, record.cells, strict=True))
        for name in there:
            if name not in names:
                raise unknown(InputError, "column of this model", name, names)
        return Record(tuple(names), tuple(self._cell(column, there) for column in self.columns))

    @staticmethod
    def _cell(column: Column, there: Mapping[str, Any]) -> Any:
        assert column.form is not None
        cell = column.form.text(there.get(str(column.name)), ())
        if isinstance(cell, Problem):
            raise InputError("{where}: {value}", "the input", cell)
        return cell


class TabularClassification(Task):
    """See the module's docstring."""

    name = "tabular-classification"
    presets: ClassVar[Presets] = {
        "micro": _model(1, 32, 4, 64),
        "mini": _model(2, 64, 4, 96),
        "tiny": _model(3, 96, 8, 128),
        "small": _model(3, 192, 8, 256),
        "base": _model(6, 384, 8, 512),
    }
    Config = TabularClassificationConfig
    config: TabularClassificationConfig
    input = RecordSpec(Record)
    output = Labels
    independent = False

    def __init__(self, config: TabularClassificationConfig, columns: Columns, target: OneLabel) -> None:
        self.config, self.learned, self.target = config, columns, target
        *inputs, _ = self.columns(config)
        self.input = RecordSpec(Record, columns=tuple(inputs))

    # ------------------------------------------------------------------ making and keeping

    @classmethod
    def adapted(cls, config: TabularClassificationConfig, columns: Preview) -> TabularClassificationConfig:
        names = [name for name in columns.header() if name]  # pandas' numbers of rows have none
        target = config.target or next((name for name in TARGETS if name in names), names[-1])
        given = {target, *config.ignored, *(config.numbers or ()), *(config.categories or ())}
        free = tuple(name for name in names if name not in given)
        found: list[str] = []
        if free and config.numbers is None:
            rows = columns.rows(free, tuple(map(CategoryForm, free)))
            sample = zip(*(row.values for row in islice(rows, SAMPLE)), strict=True)
            found = [name for name, cells in zip(free, sample, strict=False) if are_numbers(cells)]
        rest = tuple(name for name in free if name not in found)
        numbers = config.numbers or tuple(found)
        return replace(config, target=target, numbers=numbers, categories=(*(config.categories or ()), *rest))

    def evaluated_on(self, columns: Preview) -> TabularClassification:
        return self

    @classmethod
    def columns(cls, config: TabularClassificationConfig) -> tuple[Column, ...]:
        numbers, categories = config.numbers or (), config.categories or ()
        return (
            *(Column(name, Score, NumberForm(name), key=True) for name in numbers),
            *(Column(name, Text, CategoryForm(name), key=True) for name in categories),
            OneLabel.column(config),
        )

    @classmethod
    def prepare(
        cls, config: TabularClassificationConfig, rows: Any, files: Mapping[str, str] = {}
    ) -> TabularClassification:
        numbers, categories = config.numbers or (), config.categories or ()
        if not numbers + categories:
            raise ConfigError("{where} has no columns besides the label", cls.name)
        if files:
            try:
                columns = parse(Columns, loads(kept(files, COLUMNS), VOCABULARY), COLUMNS)
            except (ValueError, RecursionError, RegardError) as problem:
                raise BundleError("{where} does not say what the columns hold", COLUMNS) from problem
            if columns.names != numbers + categories:
                sentence = "{where} is of the columns {value}; the data have {limit}"
                raise ConfigError(
                    sentence, COLUMNS, ", ".join(columns.names), ", ".join(numbers + categories)
                )
        else:
            columns = Columns.of((row.values for row in rows), numbers, categories)
        target = OneLabel.restore(config, files) if rows is None else OneLabel.fit(config, rows)
        return cls(config, columns, target)

    def files(self) -> dict[str, str]:
        return {COLUMNS: json.dumps(dump(self.learned), ensure_ascii=False)} | self.target.files()

    def configure_model(self, model: ModelConfig) -> ModelConfig:
        embed, head = getattr(model, "embed", None), getattr(model, "head", None)
        if not (isinstance(embed, Features) and isinstance(head, Classes)):
            sentence = (
                "{where} needs a {key} of kind 'transformer', with embedding 'features', head 'classes'"
            )
            raise ConfigError(sentence, self.name, "model")
        counts = tuple(map(len, self.learned.categories.values()))
        wanted = Features(tuple(self.learned.numbers), tuple(self.learned.categories), counts)
        if embed not in (Features(), wanted):
            raise ConfigError("{key} was made for other columns; leave it out", "model.embed")
        return replace(model, embed=wanted, head=head_for(head, self.target.labels))

    def notes(self) -> list[str]:
        numbers, categories = len(self.learned.numbers), len(self.learned.categories)
        return [f"{numbers} columns of numbers, {categories} of categories; labels in '{self.config.target}'"]

    # ------------------------------------------------------------------ training

    @property
    def fields(self) -> tuple[Field, ...]:
        cells = Field("cells", "float32", (len(self.learned.names),))
        return cells, self.target.field

    def costs(self, store: Any) -> list[np.ndarray]:
        return [np.full(len(store), 1 + len(self.learned.names), dtype=np.int32)]

    def encode(self, rows: Iterable[Any]) -> Iterator[Any]:
        stream = iter(rows)
        while some := list(islice(stream, _AT_ONCE)):
            cells = self.learned.encode([row.values for row in some])
            yield from zip(cells, map(self.target.encode, some), strict=True)

    def batch(self, store: Any, rows: np.ndarray, epoch: int = 0) -> Batch:
        cells, split = store.take(rows, "cells"), len(self.learned.numbers)
        rng = np.random.default_rng([epoch, *rows.tolist()])
        hidden = (rng.random(cells.shape) < self.config.unseen) & ~np.isnan(cells)
        hidden[:, :split] = False
        cells = np.where(hidden, np.float32(0), cells)
        return Batch(torch.from_numpy(cells), self.target.batch(store, rows))

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        smoothing = self.config.smoothing if model.training else 0.0
        logits = model(batch.cells).float()
        return {"loss": self.target.loss(logits, batch.labels, smoothing)}

    # ------------------------------------------------------------------ predicting and evaluating

    def predict(
        self, model: nn.Module, inputs: Sequence[Any], decoding: Decoding
    ) -> list[Prediction[Labels]]:
        """The most likely label of each row; the scores are probabilities."""
        at_once = max(1, decoding.batch_tokens // (1 + len(self.learned.names)))
        parts = (inputs[start : start + at_once] for start in range(0, len(inputs), at_once))
        probabilities = (model(self._given(model, some)).float().softmax(-1).tolist() for some in parts)
        return [self.target.answer(row, decoding.n) for rows in probabilities for row in rows]

    def _given(self, model: nn.Module, inputs: Sequence[Any]) -> Tensor:
        """(n, F): what the model is given for these rows."""
        cells = self.learned.encode([self.input.parse(given).cells for given in inputs])
        return torch.from_numpy(cells).to(next(model.parameters()).device)

    def inputs(self, rows: Iterable[Any]) -> list[Value]:
        names = self.learned.names
        return [Record(names, row.values[: len(names)]) for row in rows]

    def format_row(self, row: Any) -> tuple[str, str]:
        return str(self.inputs([row])[0]), row.values[-1]

    def metric(self) -> Metric:
        return self.target.metric()

    def baselines(self, rows: Sequence[Any], train: Any) -> dict[str, dict[str, Any]]:
        return self.target.baselines(rows)

    # ------------------------------------------------------------------ looking inside

    def outputs(self) -> list[str]:
        return self.target.names

    def tokens(self, source: Sequence[int], target: Sequence[int]) -> tuple[list[str], list[str]]:
        return [], ["[class]", *self.learned.names]

    def model_inputs(self, model: nn.Module, inputs: Sequence[Any], decoding: Decoding) -> Any:
        return [], list(self._given(model, inputs))

    def dummy_inputs(self, model: nn.Module) -> Any:
        names = self.learned.names
        return self.model_inputs(model, [Record(names, (None,) * len(names))] * 2, Decoding())
