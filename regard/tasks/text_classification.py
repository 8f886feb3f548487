"""Text classification: a text, or a pair of texts, gets one of some labels, or several.

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
import torch.nn.functional as F
from torch import Tensor, nn

from regard.data.bag_of_words import MOST, guesses_from_words
from regard.data.field import Encoded, Field
from regard.data.readers.forms import Labels as LabelForm
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
from regard.tasks.labels import (
    Number,
    answer,
    check_learned,
    count_labels,
    kept_labels,
    labels_of,
    metric_for,
    probabilities,
    several,
    sized_head,
    written,
)
from regard.tasks.metric import Metric, scored
from regard.tasks.parts import by_length, on_the_right, sized
from regard.tasks.task import NO_FILES, TASKS, Column, InputSpec, Losses, Predictions, TaskConfig
from regard.tasks.text_task import ENCODE_AT_ONCE, TextTask, stacks
from regard.values import Labels, Pair, Score, Text, Value

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
    """The column that holds the label."""
    separator: str | None = None
    """What stands between the labels of a row that may have several, or joins those of a list; None where
    each row has one."""
    either: bool = False
    """Whether an input may be a text or a pair with a tab between: a model that was trained elsewhere does
    not say which it was trained on."""
    number: Number | None = None
    """What the one output of a model of pairs or texts that gives numbers (a cross-encoder) is: a number, or
    the logit of a probability; null for a model of labels."""
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
    kind: Literal["text-classification"] = "text-classification"

    @property
    def wanted(self) -> tuple[str | None, ...]:
        return (self.source, *([self.second] if self.second else []), self.target)

    def __post_init__(self) -> None:
        require(self.max_length >= 3, "max_length", self.max_length, "3 or more")
        require(self.rdrop >= 0, "rdrop", self.rdrop, "0 or more")
        require(0 <= self.smoothing < 1, "smoothing", self.smoothing, "at least 0 and less than 1")
        require(self.separator != "", "separator", "empty", "a text, or null")


@dataclass(frozen=True)
class ClassBatch:
    """Texts side by side, padded on the right, and what they are."""

    ids: Tensor
    """(B, T)"""
    lengths: Tensor
    """(B,)"""
    wanted: Tensor
    """(B, K) of 0 and 1."""

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
        self, config: TextClassificationConfig, tokenizer: Tokenizer, labels: dict[str, int]
    ) -> None:
        """`labels`: how often each stood in the training part, in the order of the classes."""
        super().__init__(config, tokenizer)
        self.labels = labels
        self._place = {label: index for index, label in enumerate(labels)}
        self.cut = 0

    # ------------------------------------------------------------------ making and keeping

    @classmethod
    def columns(cls, config: TextClassificationConfig) -> tuple[Column, ...]:
        texts = map(Column, config.wanted[:-1])
        return (*texts, Column(config.target, Labels, LabelForm(config.separator)))

    @classmethod
    def texts(cls, config: TextClassificationConfig, rows: Rows) -> Iterable[str]:
        return (text for row in rows for text in row.values[:-1])

    @classmethod
    def prepare(
        cls, config: TextClassificationConfig, rows: Rows | None, files: Mapping[str, str] = NO_FILES
    ) -> TextClassification:
        if rows is None:
            labels = kept_labels(files, 2 if config.number is None else 1)
        else:
            check_learned(config.number)
            found = (label for row in rows for label in labels_of(row, config.separator))
            labels = count_labels(found, config.target)
        return cls(config, cls.tokenizer_for(config, rows, files), labels)

    def files(self) -> dict[str, str]:
        return super().files() | written(self.labels)

    def configure_model(self, model: ModelConfig) -> ModelConfig:
        model = self.stack_for(model, Classes)
        assert isinstance(model.head, Classes)
        count = sized_head(model.head, self.labels)
        embed = sized(model.embed, self.tokenizer, "model.embed.vocab")
        return replace(model, embed=embed, head=replace(model.head, count=count))

    # ------------------------------------------------------------------ training

    @property
    def fields(self) -> tuple[Field, ...]:
        return (*super().fields, Field.indices("labels", len(self.labels)))

    def encode(self, rows: Iterable[Row]) -> Iterator[Encoded | None]:
        stream = iter(rows)
        while some := list(islice(stream, ENCODE_AT_ONCE)):
            for row, ids in zip(some, self._ids([row.values[:-1] for row in some]), strict=True):
                yield ids, [self._place[label] for label in labels_of(row, self.config.separator)]

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
            return []
        return [f"{self.cut:,} inputs were cut at task.max_length = {self.config.max_length} tokens"]

    def costs(self, store: ExampleStore) -> list[np.ndarray]:
        return [store.lengths("tokens")]

    def batch(self, store: ExampleStore, rows: np.ndarray, epoch: int = 0) -> ClassBatch:
        ids, lengths = store.padded(rows, "tokens", self.tokenizer.pad)
        wanted = torch.zeros((len(rows), len(self.labels)))
        for row, places in enumerate(store.ragged(rows, "labels")):
            wanted[row, places] = 1.0
        return ClassBatch(torch.from_numpy(ids), torch.from_numpy(lengths), wanted)

    def loss(self, model: nn.Module, batch: ClassBatch) -> Losses:
        if not model.training:
            everywhere = torch.ones_like(batch.wanted[0])
            return {"loss": self._summed(_logits(model, batch), batch.wanted, 0.0, everywhere)}
        smoothing, weights = self.config.smoothing, self._weights().to(batch.wanted)
        if not self.config.rdrop:
            return {"loss": self._summed(_logits(model, batch), batch.wanted, smoothing, weights)}
        one, other = _logits(model, batch.repeated(2)).chunk(2)
        both = self._summed(torch.cat((one, other)), batch.wanted.repeat(2, 1), smoothing, weights)
        apart = self._apart(one, other)
        loss = (both + self.config.rdrop / 2 * apart) / 2
        return {"loss": loss, "cross_entropy": both / 2, "divergence": apart / 2}

    def _summed(self, logits: Tensor, wanted: Tensor, smoothing: float, weights: Tensor) -> Tensor:
        """Cross-entropy of the one label; of several, the mean over labels of a yes or no to each."""
        if self.config.separator is not None:
            each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
            return (each * weights).mean(1).sum()
        smooth = wanted * (1 - smoothing) + smoothing / len(self.labels)
        each = -(smooth * logits.log_softmax(-1)).sum(1)
        return (each * (wanted * weights).sum(1)).sum()

    def _apart(self, one: Tensor, other: Tensor) -> Tensor:
        """The divergence of Kullback and Leibler of what two (B, K) logits say, both ways, summed."""
        if self.config.separator is not None:  # the logarithms of a probability and of what it lacks to 1
            log_ratio = one - other
            return ((one.sigmoid() - other.sigmoid()) * log_ratio).mean(1).sum()
        log_ratio = one.log_softmax(-1) - other.log_softmax(-1)
        return ((one.softmax(-1) - other.softmax(-1)) * log_ratio).sum()

    def _weights(self) -> Tensor:
        counts = torch.tensor(list(self.labels.values()), dtype=torch.float32)
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
        names, separator, number = list(self.labels), self.config.separator, self.config.number
        return [
            answer(names, row, decoding.n, separator, number, cut)
            for row, (_, cut) in zip(shares, framed, strict=True)
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
            shares = probabilities(model(ids, at).float(), self.config.separator, self.config.number)
            for row, share in zip(some, shares.tolist(), strict=True):
                found[row] = share
        return found

    # ------------------------------------------------------------------ evaluating

    @property
    def output(self) -> type[Value]:
        return Labels if self.config.number is None else Score

    def metric(self) -> Metric:
        return metric_for(self.config.metric, list(self.labels), self.config.separator, self.config.number)

    def baselines(self, rows: Sequence[Row], train: Rows | None) -> dict[str, dict[str, Any]]:
        if self.config.number is not None:
            return {}
        most = max(self.labels, key=lambda label: self.labels[label])
        found = {"most frequent label": scored(self.metric(), [several([most], None)] * len(rows), rows)}
        if train is None or self.config.separator is not None:
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
        return list(self.labels)

    @property
    def independent(self) -> bool:
        return self.config.separator is not None or self.config.number is not None

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


def _logits(model: nn.Module, batch: ClassBatch) -> Tensor:
    """(B, K)"""
    assert isinstance(model, Transformer)
    logits: Tensor = model(batch.ids, Ragged.from_lengths(batch.lengths, batch.ids.shape[1]))
    return logits
