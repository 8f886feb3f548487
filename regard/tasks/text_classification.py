"""Text classification: a text, or a pair of texts, gets one of some labels, or several, or a number.

One stack whose mask is full (an encoder, as in BERT: arXiv 1810.04805), whose vectors are pooled into one.
A text stands between `<s>` and `</s>`; the second of a pair follows the first, with a `</s>` of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, ClassVar, Literal

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
from regard.model.device import moved
from regard.model.head import Classes
from regard.model.mask import Full, Ragged
from regard.model.transformer import ModelConfig, Transformer
from regard.tasks.decoding import Decoding
from regard.tasks.labels import class_count, labels_of, several
from regard.tasks.metric import Metric, scored
from regard.tasks.parts import by_length, on_the_right, sized
from regard.tasks.targets import OneLabel, Target, check_options, target_kind
from regard.tasks.task import NO_FILES, TASKS, Column, InputSpec, Losses, Predictions, TaskConfig
from regard.tasks.text_task import ENCODE_AT_ONCE, TextTask, stacks
from regard.values import Pair, Text, Value

PAIR = "\t"
"""Stands between the two texts of an input."""


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
    metric: Literal["accuracy", "macro_f1", "spearman", "pearson", "rmse", "mae"] | None = None
    """The figure that chooses between checkpoints; null for `accuracy` of labels, `spearman` of numbers."""
    kind: Literal["text-classification"] = "text-classification"

    @property
    def wanted(self) -> tuple[str | None, ...]:
        return (self.source, *([self.second] if self.second else []), self.target)

    def __post_init__(self) -> None:
        require(self.max_length >= 3, "max_length", self.max_length, "3 or more")
        require(self.rdrop >= 0, "rdrop", self.rdrop, "0 or more")
        require(not self.number or self.weights == "none", "weights", self.weights, "none where numbers are")
        check_options(self)


@dataclass(frozen=True)
class ClassBatch:
    """Texts side by side, padded on the right, and what they are."""

    ids: Tensor
    """(B, T)"""
    lengths: Tensor
    """(B,)"""
    wanted: Tensor
    """(B,) or (B, K), as the target has it."""

    @property
    def tokens(self) -> int:
        return len(self.wanted)

    def to(self, device: torch.device) -> ClassBatch:
        return ClassBatch(*(moved(x, device) for x in (self.ids, self.lengths, self.wanted)))

    def repeated(self, times: int) -> ClassBatch:
        """All texts, and all of them again."""
        return ClassBatch(*(torch.cat([x] * times) for x in (self.ids, self.lengths, self.wanted)))


@TASKS.register
class TextClassification(TextTask):
    """See the module's docstring."""

    name: ClassVar[str] = "text-classification"
    presets = stacks(Full(), Classes(), "relu")
    Config = TextClassificationConfig
    config: TextClassificationConfig

    def __init__(
        self, config: TextClassificationConfig, tokenizer: Tokenizer, target: Target
    ) -> None:
        super().__init__(config, tokenizer)
        self.target = target
        self.cut = 0

    # ------------------------------------------------------------------ making and keeping

    @classmethod
    def columns(cls, config: TextClassificationConfig) -> tuple[Column, ...]:
        texts = map(Column, config.wanted[:-1])
        return (*texts, target_kind(config).column(config))

    @classmethod
    def texts(cls, config: TextClassificationConfig, rows: Rows) -> Iterable[str]:
        return (text for row in rows for text in row.values[:-1])

    @classmethod
    def prepare(
        cls, config: TextClassificationConfig, rows: Rows | None, files: Mapping[str, str] = NO_FILES
    ) -> TextClassification:
        kind = target_kind(config)
        target = kind.restore(config, files) if rows is None else kind.fit(config, rows)
        return cls(config, cls.tokenizer_for(config, rows, files), target)

    def files(self) -> dict[str, str]:
        return super().files() | self.target.files()

    def configure_model(self, model: ModelConfig) -> ModelConfig:
        model = self.stack_for(model, Classes)
        assert isinstance(model.head, Classes)
        count = class_count(model.head.count, self.target.labels)
        embed = sized(model.embed, self.tokenizer, "model.embed.vocab")
        return replace(model, embed=embed, head=replace(model.head, count=count))

    # ------------------------------------------------------------------ training

    @property
    def fields(self) -> tuple[Field, ...]:
        return (*super().fields, self.target.field)

    def encode(self, rows: Iterable[Row]) -> Iterator[Encoded | None]:
        stream = iter(rows)
        while some := list(islice(stream, ENCODE_AT_ONCE)):
            for row, ids in zip(some, self._ids([row.values[:-1] for row in some]), strict=True):
                yield ids, self.target.encode(row)

    def _ids(self, inputs: Sequence[Sequence[str]]) -> list[list[int]]:
        return [ids for ids, _ in self._framed(inputs)]

    def _framed(self, inputs: Sequence[Sequence[str]]) -> list[tuple[list[int], int]]:
        """Each input of one or two texts, framed, and by how many tokens the longer text was cut, where it is
        too long. A blank text is an empty one."""
        parts = self.tokenizer.encode_batch(
            ["" if text.isspace() else text for texts in inputs for text in texts]
        )
        found, start = [], 0
        for texts in inputs:
            some = parts[start : start + len(texts)]
            start += len(texts)
            between = self.tokenizer.between
            room = self.config.max_length - 2 - len(between) * (len(texts) - 1)
            cut = max(0, sum(map(len, some)) - room)
            while (over := sum(map(len, some)) - room) > 0:
                longest = max(range(len(some)), key=lambda i: len(some[i]))
                rest = max((len(part) for i, part in enumerate(some) if i != longest), default=0)
                keep = max(len(some[longest]) - over, min(rest, len(some[longest]) - 1))
                some[longest] = some[longest][:keep]
            ids = [self.tokenizer.bos, *some[0]]
            for part in some[1:]:
                ids += [*between, *part]
            found.append(([*ids, self.tokenizer.eos], cut))
        self.cut += sum(cut > 0 for _, cut in found)
        return found

    def notes(self) -> list[str]:
        if not self.cut:
            return self.target.notes()
        cut = f"{self.cut:,} inputs were cut at task.max_length = {self.config.max_length} tokens"
        return [*self.target.notes(), cut]

    def costs(self, store: ExampleStore) -> list[np.ndarray]:
        return [store.lengths("tokens")]

    def batch(self, store: ExampleStore, rows: np.ndarray, epoch: int = 0) -> ClassBatch:
        ids, lengths = store.padded(rows, "tokens", self.tokenizer.pad)
        return ClassBatch(torch.from_numpy(ids), torch.from_numpy(lengths), self.target.batch(store, rows))

    def loss(self, model: nn.Module, batch: ClassBatch) -> Losses:
        device = batch.wanted.device
        if not model.training:
            everywhere = torch.ones(len(self.target.names), device=device)
            return {"loss": self.target.loss(_logits(model, batch), batch.wanted, weights=everywhere)}
        smoothing, weights = self.config.smoothing, self._weights().to(device)
        if not self.config.rdrop:
            return {"loss": self.target.loss(_logits(model, batch), batch.wanted, smoothing, weights)}
        twice = batch.repeated(2)
        logits = _logits(model, twice)
        both = self.target.loss(logits, twice.wanted, smoothing, weights)
        apart = self.target.divergence(*logits.chunk(2))
        loss = (both + self.config.rdrop / 2 * apart) / 2
        return {"loss": loss, "cross_entropy": both / 2, "divergence": apart / 2}

    def _weights(self) -> Tensor:
        """(K,)"""
        counts = torch.tensor(list(self.target.labels.values()), dtype=torch.float32)
        if self.config.weights == "none":
            return torch.ones_like(counts)
        return counts.sum() / (len(counts) * counts.clamp_min(1))

    # ------------------------------------------------------------------ predicting

    def predict(self, model: nn.Module, inputs: Sequence[Any], decoding: Decoding) -> Predictions:
        """The most likely label of each input, or all with a probability of a half and more; the scores are
        probabilities. The two texts of a pair have a tab between them. Of a model of numbers, its number."""
        framed = self._framed([self._texts(given) for given in inputs])
        shares = self._shares_of(model, [ids for ids, _ in framed], decoding.batch_tokens)
        self.say_cut([cut for _, cut in framed], self.config.max_length)
        return [
            self.target.answer(row, decoding.n, cut) for row, (_, cut) in zip(shares, framed, strict=True)
        ]

    def _texts(self, given: Any) -> tuple[str, ...]:
        given = self.input.parse(given)
        return (given.first, given.second) if isinstance(given, Pair) else (given.plain(),)

    @torch.inference_mode()
    def _shares_of(self, model: nn.Module, rows: Sequence[list[int]], tokens: int) -> list[list[float]]:
        assert isinstance(model, Transformer)
        found: list[list[float]] = [[]] * len(rows)
        for some in by_length(rows, tokens):
            ids, at = on_the_right([rows[row] for row in some], self.tokenizer.pad, model.device)
            shares = self.target.probabilities(model(ids, at).float())
            for row, share in zip(some, shares.tolist(), strict=True):
                found[row] = share
        return found

    # ------------------------------------------------------------------ evaluating

    @property
    def output(self) -> type[Value]:
        return self.target.value

    def metric(self) -> Metric:
        return self.target.metric()

    def baselines(self, rows: Sequence[Row], train: Rows | None) -> dict[str, dict[str, Any]]:
        found = self.target.baselines(rows)
        if train is None or not isinstance(self.target, OneLabel):
            return found
        seen = list(islice(train, MOST))
        texts, asked = ([" ".join(row.values[:-1]) for row in some] for some in (seen, rows))
        said = guesses_from_words(texts, [labels_of(row, None)[0] for row in seen], asked)
        if said is not None:
            answers = [several([label], None) for label in said]
            found["TF-IDF and logistic regression"] = scored(self.metric(), answers, rows)
        return found

    # ------------------------------------------------------------------ looking inside

    @property
    def input(self) -> InputSpec:
        if self.config.second:
            return InputSpec(Pair, names=("first", "second"))
        return (
            InputSpec(Text, Pair, lambda text: text.count(PAIR) != 1) if self.config.either else InputSpec()
        )

    def outputs(self) -> list[str]:
        return self.target.names

    @property
    def independent(self) -> bool | None:
        return self.target.independent

    def given_ids(self, inputs: Sequence[Any]) -> list[list[int]]:
        return self._ids([self._texts(given) for given in inputs])

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


def _logits(model: nn.Module, batch: ClassBatch) -> Tensor:
    """(B, K)"""
    assert isinstance(model, Transformer)
    logits: Tensor = model(batch.ids, Ragged.from_lengths(batch.lengths, batch.ids.shape[1]))
    return logits
