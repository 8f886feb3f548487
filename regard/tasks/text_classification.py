"""Text classification: a text, or a pair of texts, gets one of some labels, or several, or a number.

One stack whose mask is full (an encoder, as in BERT: arXiv 1810.04805), whose vectors are pooled into one.
A text stands between `<s>` and `</s>`; the second of a pair follows the first, with a `</s>` of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from regard.data.bag_of_words import MOST, guesses_from_words
from regard.data.field import Encoded, Field
from regard.data.rows import Row, Rows
from regard.data.sample import valid_text
from regard.data.store import ExampleStore
from regard.data.tokenizer import Tokenizer, TokenizerSpec
from regard.errors import require
from regard.model.head import Classes
from regard.model.mask import Full
from regard.tasks.batch import PaddedBatch, TargetBatch
from regard.tasks.decoding import Decoding
from regard.tasks.framed import PAIR, FramedTask
from regard.tasks.labels import labels_of
from regard.tasks.parts import chunks
from regard.tasks.targets import OneLabel, Target, TargetTask, check_options, target_kind
from regard.tasks.task import NO_FILES, TASKS, Column, Files, InputSpec, Losses, Predictions, TaskConfig
from regard.tasks.text_task import stacks
from regard.values import Pair, Text, Value


@dataclass(frozen=True)
class TextClassificationConfig(TaskConfig):
    """How texts and labels are read and judged."""

    source: str = "text"
    """The column that holds the text."""
    second: str | None = None
    """The column that holds the second text, where pairs are classified."""
    target: str = "label"
    """The column that holds the label, or the number."""
    separator: str | None = None
    """What stands between the labels of a row that may have several, or joins those of a list; None where
    each row has one."""
    either: bool = False
    """Whether an input may be a text or a pair with a tab between: a model that was trained elsewhere does
    not say which it was trained on."""
    number: Literal["plain", "sigmoid"] | None = None
    """Of texts that have a number in the place of a label, such as a rating or a similarity, what the model's
    one output is: that number, or the logit of a probability from 0 to 1, as of a reranker; null for
    labels."""
    tokenizer: TokenizerSpec | None = None
    """How text becomes tokens; None is byte-level BPE of 8,000 pieces, or as many as the data allow."""
    max_length: int = 256
    """Longest input in tokens: what is beyond is not read, and in training counted."""
    smoothing: float = 0.1
    """Label smoothing, where each row has one label."""
    rdrop: float = 0.0
    """How much two passes over a text, each with a dropout of its own, are to agree (α of R-Drop, arXiv
    2106.14448, equation 4); 0 for one pass, which takes half the time."""
    weights: Literal["none", "balanced"] = "none"
    """How much a label's rows count: all the same, or in inverse proportion to its frequency."""
    metric: Literal["accuracy", "macro_f1"] = "accuracy"
    """The figure that chooses between checkpoints."""
    number_metric: Literal["spearman", "pearson", "rmse", "mae"] = "spearman"
    """The figure that does so where the answer is a number."""
    kind: Literal["text-classification"] = "text-classification"

    def __post_init__(self) -> None:
        require(self.max_length >= 3, "max_length", self.max_length, "3 or more")
        require(self.rdrop >= 0, "rdrop", self.rdrop, "0 or more")
        require(not self.number or self.weights == "none", "weights", self.weights, "none where numbers are")
        check_options(self)


@dataclass(frozen=True)
class ClassBatch(PaddedBatch, TargetBatch):
    """Texts, and what they are."""

    wanted: Tensor
    """(B,) or (B, K), as the target has it."""

    def repeated(self, times: int) -> ClassBatch:
        """All texts, and all of them again."""
        return ClassBatch(*(torch.cat([x] * times) for x in (self.ids, self.lengths, self.wanted)))


@TASKS.register
class TextClassification(TargetTask, FramedTask):
    """See the module's docstring."""

    name: ClassVar[str] = "text-classification"
    presets = stacks(Full(), Classes(), "relu")
    head = Classes
    Config = TextClassificationConfig
    config: TextClassificationConfig
    target: Target

    def __init__(self, config: TextClassificationConfig, tokenizer: Tokenizer, target: Target) -> None:
        super().__init__(config, tokenizer)
        self.target, self.labels = target, target.labels

    # ------------------------------------------------------------------ making and keeping

    @classmethod
    def columns(cls, config: TextClassificationConfig) -> tuple[Column, ...]:
        texts = (config.source, config.second) if config.second else (config.source,)
        return (*map(Column, texts), target_kind(config).column(config))

    @classmethod
    def texts(cls, config: TextClassificationConfig, rows: Rows) -> Iterable[str]:
        return (text for row in rows for text in row.values[:-1])

    @classmethod
    def prepare(cls, config: TextClassificationConfig, rows: Rows | None, files: Files = NO_FILES) -> Self:
        kind = target_kind(config)
        target = kind.restore(config, files) if rows is None else kind.fit(config, rows)
        return cls(config, cls.tokenizer_for(config, rows, files), target)

    def files(self) -> dict[str, str]:
        return super().files() | self.target.files()

    # ------------------------------------------------------------------ training

    @property
    def fields(self) -> tuple[Field, ...]:
        return (*super().fields, self.target.field)

    def encode(self, rows: Iterable[Row]) -> Iterator[Encoded | None]:
        for some in chunks(rows):
            for row, ids in zip(some, self.frame([row.values[:-1] for row in some])[0], strict=True):
                yield ids, self.target.encode(row)

    def notes(self) -> list[str]:
        return [*self.target.notes(), *super().notes()]

    def batch(self, store: ExampleStore, rows: np.ndarray, epoch: int = 0) -> ClassBatch:
        texts = PaddedBatch.of(store, rows, "tokens", self.tokenizer.pad)
        return ClassBatch(texts.ids, texts.lengths, self.target.batch(store, rows))

    def loss(self, model: nn.Module, batch: ClassBatch) -> Losses:
        twice = model.training and self.config.rdrop > 0
        given = batch.repeated(2) if twice else batch
        logits = model(given.ids, given.positions)
        smoothing = self.config.smoothing if model.training else 0.0
        weights = self._weights(model.training).to(logits.device)
        loss = self.target.loss(logits, given.wanted, smoothing, weights)
        if not twice:
            return {"loss": loss}
        apart = self.target.divergence(*logits.chunk(2))
        both = (loss + self.config.rdrop / 2 * apart) / 2
        return {"loss": both, "cross_entropy": loss / 2, "divergence": apart / 2}

    def _weights(self, training: bool) -> Tensor:
        """(K,)"""
        counts = torch.tensor(list(self.target.labels.values()), dtype=torch.float32)
        if not training or self.config.weights == "none":
            return torch.ones_like(counts)
        return counts.sum() / (len(counts) * counts.clamp_min(1))

    # ------------------------------------------------------------------ predicting

    def predict(self, model: nn.Module, inputs: Sequence[Any], decoding: Decoding) -> Predictions:
        """The most likely label of each input, or all with a probability of a half and more; the scores are
        probabilities. The two texts of a pair have a tab between them. Of a model of numbers, its number."""
        texts, probabilities = [self.texts_of(given) for given in inputs], self.target.probabilities
        rows, cuts = self.read(model, texts, decoding.batch_tokens, probabilities)
        answers = zip(rows, cuts, strict=True)
        return [self.target.answer(row.tolist(), decoding.n, cut) for row, cut in answers]

    # ------------------------------------------------------------------ evaluating

    def guesses(self, target: OneLabel, rows: Sequence[Row], train: Rows) -> tuple[str, list[str] | None]:
        seen = list(islice(train, MOST))
        texts, asked = ([" ".join(row.values[:-1]) for row in some] for some in (seen, rows))
        labels = [labels_of(row, None)[0] for row in seen]
        return "TF-IDF and logistic regression", guesses_from_words(texts, labels, asked)

    # ------------------------------------------------------------------ looking inside

    @property
    def input(self) -> InputSpec:
        if self.config.second:
            return InputSpec(Pair, names=("first", "second"))
        either = InputSpec(Text, Pair, lambda text: text.count(PAIR) != 1)
        return either if self.config.either else InputSpec()

    def given_ids(self, inputs: Sequence[Any]) -> list[list[int]]:
        return self.frame([self.texts_of(given) for given in inputs])[0]

    def inputs(self, rows: Iterable[Row]) -> list[Value]:
        if not self.config.second:
            return [Text(valid_text(row.values[0])) for row in rows]
        return [Pair(*map(valid_text, row.values[:2])) for row in rows]

    def page_facts(self, rooms: Sequence[int]) -> dict[str, Any]:
        return {
            "max_length": self.config.max_length,
            "room": rooms[0],
            "labels": self.outputs(),
            "separator": self.config.separator,
        }

    def page_problems(self) -> Iterator[str]:
        if self.config.second:
            yield "its input is a pair, where a page takes a text or a drawing"
        if self.config.number:
            yield "its answer is a number, where a page gives labels"
