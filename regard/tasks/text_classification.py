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
from regard.data.readers.forms import Labels
from regard.data.readers.streams import Forms
from regard.data.rows import Row, Rows
from regard.data.store import ExampleStore
from regard.data.tokenizer import Tokenizer, TokenizerSpec
from regard.errors import InputError, require
from regard.model.block import PreNorm
from regard.model.device import moved
from regard.model.head import Classes
from regard.model.mask import Full, Ragged
from regard.model.position import Rotary
from regard.model.presets import ENCODER_DECODER, one_stack
from regard.model.transformer import ModelConfig, Transformer
from regard.tasks.class_metrics import class_metrics
from regard.tasks.labels import (
    Number,
    answer,
    check_learned,
    chosen,
    count_labels,
    kept_labels,
    labels_of,
    number_of,
    probabilities,
    sized_head,
    written,
)
from regard.tasks.parts import by_length, kept_tokenizer, on_the_right, say_cut, sized
from regard.tasks.similarity_metrics import correlation_metrics
from regard.tasks.task import NO_FILES, SENTENCES, Decoding, Evaluation, InputSpec, Prediction
from regard.tasks.text_task import ENCODE_AT_ONCE, TextTask

PAIR = "\t"
"""Stands between the two texts of an input."""


@dataclass(frozen=True)
class TextClassificationConfig:
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


class TextClassification(TextTask):
    """See the module's docstring."""

    name: ClassVar[str] = "text-classification"
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
    def forms(cls, config: TextClassificationConfig) -> Forms:
        return (*[None] * (len(config.wanted) - 1), Labels(config.separator))

    @classmethod
    def model(cls, preset: str) -> ModelConfig:
        size = ENCODER_DECODER[preset]
        return one_stack(size, mask=Full(), head=Classes(), placement=PreNorm(), position=Rotary())

    @classmethod
    def texts(cls, config: TextClassificationConfig, rows: Rows) -> Iterable[str]:
        return (text for row in rows for text in row.values[:-1])

    @classmethod
    def prepare(
        cls, config: TextClassificationConfig, rows: Rows, given: Mapping[str, str] = NO_FILES
    ) -> TextClassification:
        check_learned(config.number)
        labels = count_labels(
            (label for row in rows for label in labels_of(row, config.separator)), config.target
        )
        return cls(config, cls.tokenizer_for(config, rows, given), labels)

    @classmethod
    def restore(cls, config: TextClassificationConfig, tokenizers: Mapping[str, str]) -> TextClassification:
        least = 2 if config.number is None else 1
        return cls(config, kept_tokenizer(tokenizers), kept_labels(tokenizers, least))

    def tokenizers(self) -> dict[str, str]:
        return super().tokenizers() | written(self.labels)

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

    def loss(self, model: nn.Module, batch: ClassBatch) -> Tensor:
        smoothing, weights = self.config.smoothing, self._weights().to(batch.wanted)
        if not self.config.rdrop:
            return self._summed(_logits(model, batch), batch.wanted, smoothing, weights)
        one, other = _logits(model, batch.repeated(2)).chunk(2)
        both = self._summed(torch.cat((one, other)), batch.wanted.repeat(2, 1), smoothing, weights)
        return (both + self.config.rdrop / 2 * self._apart(one, other)) / 2

    def nats(self, model: nn.Module, batch: ClassBatch) -> Tensor:
        everywhere = torch.ones_like(batch.wanted[0])
        return self._summed(_logits(model, batch), batch.wanted, 0.0, everywhere)

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

    def predict(self, model: nn.Module, inputs: Sequence[str], decoding: Decoding) -> list[Prediction]:
        """The most likely label of each input, or all with a probability of a half and more; the scores are
        probabilities. The two texts of a pair have a tab between them. Of a model of numbers, its number."""
        framed = self._framed([self._texts(text) for text in inputs])
        shares = self._shares_of(model, [ids for ids, _ in framed], decoding.batch_tokens)
        say_cut([cut for _, cut in framed], self.config.max_length)
        names, separator, number = list(self.labels), self.config.separator, self.config.number
        return [
            answer(names, row, decoding.n, separator, number, cut)
            for row, (_, cut) in zip(shares, framed, strict=True)
        ]

    def _texts(self, text: str) -> list[str]:
        pair = self.config.second or (self.config.either and text.count(PAIR) == 1)
        texts = text.split(PAIR) if pair else [text]
        if self.config.second and len(texts) != 2:
            sentence = "this model takes pairs: give {limit} texts with a tab between them, not {value}"
            raise InputError(sentence, 2, len(texts))
        return texts

    def _shares(self, model: nn.Module, inputs: Sequence[Sequence[str]], tokens: int) -> list[list[float]]:
        """The probability of each label for each input."""
        return self._shares_of(model, self._ids(inputs), tokens)

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

    # ------------------------------------------------------------------ judging

    def evaluate(
        self, model: nn.Module, rows: Sequence[Row], decoding: Decoding, tokenize: str | None = None
    ) -> Evaluation:
        self.score((), (), tokenize)
        shares = self._shares(model, [row.values[:-1] for row in rows], decoding.batch_tokens)
        if self.config.number is not None:
            figures = correlation_metrics([row[0] for row in shares], [number_of(row) for row in rows])
            return Evaluation(figures, [f"{row[0]:.6g}" for row in shares])
        separator, names = self.config.separator, list(self.labels)
        said = [chosen(names, row, separator) for row in shares]
        figures = class_metrics(said, [labels_of(row, separator) for row in rows], names)
        return Evaluation(figures, [(separator or "").join(labels) for labels in said])

    def baselines(self, rows: Sequence[Row], train: Rows | None) -> dict[str, dict[str, Any]]:
        if self.config.number is not None:
            return {}
        most = max(self.labels, key=lambda label: self.labels[label])
        references = [labels_of(row, self.config.separator) for row in rows]
        found = {"most frequent label": class_metrics([[most]] * len(rows), references, list(self.labels))}
        if train is None or self.config.separator is not None:
            return found
        seen = list(islice(train, MOST))
        texts, asked = ([" ".join(row.values[:-1]) for row in some] for some in (seen, rows))
        said = guesses_from_words(texts, [labels_of(row, None)[0] for row in seen], asked)
        if said is not None:
            one_each = [[label] for label in said]
            found["TF-IDF and logistic regression"] = class_metrics(one_each, references, list(self.labels))
        return found

    # ------------------------------------------------------------------ looking inside

    @property
    def input_spec(self) -> InputSpec:
        return InputSpec("pair", ("first", "second")) if self.config.second else InputSpec()

    def outputs(self) -> list[str]:
        return list(self.labels)

    @property
    def independent(self) -> bool:
        return self.config.separator is not None or self.config.number is not None

    def model_inputs(
        self, model: nn.Module, inputs: Sequence[str], decoding: Decoding
    ) -> tuple[list[list[int]], list[list[int]]]:
        return [], self._ids([self._texts(text) for text in inputs])

    def dummy_inputs(self, model: nn.Module) -> tuple[list[list[int]], list[list[int]]]:
        pair = PAIR + SENTENCES[-1] if self.config.second else ""
        return self.model_inputs(model, [text + pair for text in SENTENCES], Decoding())

    def inputs(self, rows: Iterable[Row]) -> list[str]:
        if not self.config.second:
            return [row.values[0] for row in rows]
        return [PAIR.join(text.replace(PAIR, " ") for text in row.values[:-1]) for row in rows]


def _logits(model: nn.Module, batch: ClassBatch) -> Tensor:
    """(B, K)"""
    assert isinstance(model, Transformer)
    logits: Tensor = model(batch.ids, Ragged.from_lengths(batch.lengths, batch.ids.shape[1]))
    return logits
