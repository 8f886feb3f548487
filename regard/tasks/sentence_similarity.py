"""Sentence similarity: texts become vectors; those that mean the same have vectors that point the same way.

One stack whose mask is full, whose vectors are pooled into one (Sentence-BERT: arXiv 1908.10084). It learns
from pairs: each text is to find its partner among the others of the batch (SimCSE: arXiv 2104.08821, section
4), or the cosine of a pair is to be its score; or from texts alone, each of which is its own partner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.data.field import Encoded, Field
from regard.data.rows import Row, Rows
from regard.data.sample import valid_text
from regard.data.store import ExampleStore
from regard.data.tokenizer import TokenizerSpec
from regard.errors import ConfigError, require
from regard.model.head import Vector as VectorHead
from regard.model.mask import Full
from regard.model.transformer import ModelConfig, TransformerConfig
from regard.tasks.batch import PaddedBatch, TensorBatch
from regard.tasks.decoding import Decoding
from regard.tasks.framed import PAIR, FramedTask
from regard.tasks.metric import Metric
from regard.tasks.parts import chunks
from regard.tasks.prediction import finite, vector_of
from regard.tasks.similarity_metrics import POOL, bags, rarity
from regard.tasks.similarity_objectives import Contrastive, Cosine, Objective, PairedVectors, objective_for
from regard.tasks.task import TASKS, Column, InputSpec, Losses, Predictions, TaskConfig
from regard.tasks.text_task import stacks
from regard.values import Pair, Prediction, Text, Value, Vector

_STEPS = 10_000
"""A score is learned to so many parts: runs that were begun when it was kept so must go on alike."""
_BASELINE_ROWS = 50_000


@dataclass(frozen=True)
class SentenceSimilarityConfig(TaskConfig):
    """How pairs of texts are read and judged."""

    source: str | None = None
    """The column that holds a text; None finds it."""
    target: str | None = None
    """The column that holds its partner; None finds it."""
    objective: Objective | None = None
    """What is learned; null finds it by the columns: `simcse` of one, `regression` where one is called
    `score`, else `contrastive`."""
    tokenizer: TokenizerSpec | None = None
    """How text becomes tokens; None is byte-level BPE of 8,000 pieces, or as many as the data allow."""
    max_length: int = 128
    """Longest text in tokens: what is beyond is not read, and in training counted."""
    prompt: str = ""
    """What stands before every text that is read (`query: ` of some models)."""
    kind: Literal["sentence-similarity"] = "sentence-similarity"

    @property
    def goal(self) -> Objective:
        """The objective, once it is decided."""
        return self.objective or Contrastive()

    def __post_init__(self) -> None:
        require(self.max_length >= 3, "max_length", self.max_length, "3 or more")


@dataclass(frozen=True)
class PairBatch(TensorBatch):
    """Pairs of texts; of texts alone, each is its own partner."""

    left: PaddedBatch
    right: PaddedBatch
    scores: Tensor
    """(B,) from 0 to 1, or (0,)."""

    @property
    def tokens(self) -> int:
        return len(self.left.ids)


@TASKS.register
class SentenceSimilarity(FramedTask):
    """See the module's docstring."""

    name: ClassVar[str] = "sentence-similarity"
    presets = stacks(Full(), VectorHead())
    head = VectorHead
    Config = SentenceSimilarityConfig
    config: SentenceSimilarityConfig

    # ------------------------------------------------------------------ making and keeping

    @classmethod
    def columns(cls, config: SentenceSimilarityConfig) -> tuple[Column, ...]:
        return tuple(map(Column, config.goal.wanted(config.source, config.target)))

    @classmethod
    def texts(cls, config: SentenceSimilarityConfig, rows: Rows) -> Iterable[str]:
        return (text for row in rows for text in row.values[:2])

    def configure_model(self, model: ModelConfig) -> TransformerConfig:
        model = super().configure_model(model)
        stack = model.stack
        if self.config.goal.alone and not (stack.dropout or stack.attention.dropout):
            sentence = "{key}: '{value}' tells two readings of a text apart by dropout; set model.dropout=0.1"
            raise ConfigError(sentence, "task.objective.kind", "simcse")
        return model

    @classmethod
    def adapted(
        cls, config: SentenceSimilarityConfig, columns: Callable[[], Sequence[str]]
    ) -> SentenceSimilarityConfig:
        return config if config.objective else replace(config, objective=objective_for(columns()))

    def evaluated_on(self, columns: Callable[[], Sequence[str]]) -> SentenceSimilarity:
        return type(self)(self.adapted(replace(self.config, objective=None), columns), self.tokenizer)

    # ------------------------------------------------------------------ training

    @property
    def fields(self) -> tuple[Field, ...]:
        sides = tuple(Field.indices(side, self.tokenizer.size) for side in ("left", "right"))
        return (*sides, Field("score", "float32")) if self.config.goal.scored else sides

    def encode(self, rows: Iterable[Row]) -> Iterator[Encoded | None]:
        """The ids of both texts, or of the one twice, and the score if there is one. A blank line is none."""
        goal = self.config.goal
        for some in chunks(row for row in rows if row.values[0].strip()):
            left, _ = self.frame([row.values[:1] for row in some])
            right = left if goal.alone else self.frame([row.values[1:2] for row in some])[0]
            for row, a, b in zip(some, left, right, strict=True):
                score = goal.learned(row)
                yield (a, b) if score is None else (a, b, round(_STEPS * score) / _STEPS)

    def costs(self, store: ExampleStore) -> list[np.ndarray]:
        return [store.lengths("left"), store.lengths("right")]

    def batch(self, store: ExampleStore, rows: np.ndarray, epoch: int = 0) -> PairBatch:
        left, right = (PaddedBatch.of(store, rows, side, self.tokenizer.pad) for side in ("left", "right"))
        scored = self.config.goal.scored
        scores = torch.from_numpy(store.take(rows, "score")) if scored else torch.empty(0)
        return PairBatch(left, right, scores)

    def loss(self, model: nn.Module, batch: PairBatch) -> Losses:
        sides = (batch.left, batch.right)
        left, right = (F.normalize(model(side.ids, side.positions), dim=-1) for side in sides)
        same = _same(batch.left.ids) | _same(batch.right.ids)
        return {"loss": self.config.goal.loss(left, right, batch.scores, same)}

    # ------------------------------------------------------------------ predicting

    def vectors(self, model: nn.Module, inputs: Sequence[Any], tokens: int = 4096) -> Tensor:
        """`tokens`: how many are read side by side."""
        texts = [(given if isinstance(given, str) else given.plain(),) for given in inputs]
        found, _ = self.read(model, texts, tokens)
        return torch.stack(found) if found else torch.zeros((0, 1))

    def predict(self, model: nn.Module, inputs: Sequence[Any], decoding: Decoding) -> Predictions:
        """The vector of each text; of two texts, the cosine."""
        texts = [self.texts_of(given) for given in inputs]
        vectors = iter(self.vectors(model, list(chain.from_iterable(texts)), decoding.batch_tokens))
        answers: Predictions = []
        for some in texts:
            mine = list(islice(vectors, len(some)))
            if len(mine) == 1:
                answers.append(Prediction(vector_of(mine[0])))
            else:
                cosine = finite(float(F.cosine_similarity(mine[0], mine[1], dim=0)))
                answers.append(Prediction(Cosine(cosine), cosine))
        return answers

    # ------------------------------------------------------------------ evaluating

    def metric(self) -> Metric:
        return self.config.goal.measured()

    def baselines(self, rows: Sequence[Row], train: Rows | None) -> dict[str, dict[str, Any]]:
        """Bags of tokens, the rare ones weighing more."""
        metric = self.metric()
        if not isinstance(metric, PairedVectors):
            return {}
        known = list(rows) if train is None else list(islice(train, _BASELINE_ROWS))
        texts = self.tokenizer.encode_batch([text for row in known for text in row.values[:2]])
        weights = rarity(texts, self.tokenizer.size)
        for begin in range(0, len(rows), POOL):
            some = rows[begin : begin + POOL]
            ids = (self.tokenizer.encode_batch([row.values[side] for row in some]) for side in (0, 1))
            left, right = (bags(side, weights) for side in ids)
            metric.count(left, right, some)
        return {"tokens in common, rare ones first": metric.compute()}

    def inputs(self, rows: Iterable[Row]) -> list[Value]:
        return [Text(valid_text(row.values[0])) for row in rows]

    def format_row(self, row: Row) -> tuple[str, str]:
        return self.config.goal.format_row(row)

    # ------------------------------------------------------------------ looking inside

    @property
    def input(self) -> InputSpec:
        return InputSpec(Pair, Text, lambda text: PAIR in text, ("first", "second"))

    @property
    def output(self) -> type[Value]:
        return Vector

    def given_ids(self, inputs: Sequence[Any]) -> list[list[int]]:
        return self.frame([(text,) for given in inputs for text in self.texts_of(given)])[0]


def _same(ids: Tensor) -> Tensor:
    """(B, B) booleans: which rows are the same."""
    return (ids[:, None] == ids[None]).all(-1)
