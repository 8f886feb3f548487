"""Token classification: every word of a text gets a label, or some words together are an entity of some type.

One stack whose mask is full reads the text between `<s>` and `</s>`; a word's label is read where its first
token stands (arXiv 1810.04805, section 5.3), and no other token has a part in the loss. A text that is too
long is read in windows that overlap, and each word in the one that shows most around it. Entities are learned
as tags (`schemes.py`); labels without such prefixes are taken as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.data.field import Encoded, Field
from regard.data.rows import Row, Rows
from regard.data.store import ExampleStore
from regard.data.tokenizer import Tokenizer, TokenizerSpec
from regard.errors import ConfigError, NonFiniteOutputError, require
from regard.model.head import TokenClasses
from regard.model.mask import Full
from regard.tasks.batch import PaddedBatch
from regard.tasks.decoding import Decoding
from regard.tasks.labels import count_labels, kept_labels, written
from regard.tasks.metric import Metric, scored
from regard.tasks.parts import in_groups
from regard.tasks.prediction import best_of
from regard.tasks.task import NO_FILES, TASKS, Column, Files, InputSpec, Losses, Predictions, TaskConfig
from regard.tasks.text_task import TextTask, stacks
from regard.tasks.token_classification.baselines import Gazetteer, UsualTags
from regard.tasks.token_classification.metrics import EntityMetric, WordMetric, marked
from regard.tasks.token_classification.schemes import Scheme, entities, scheme_of, tags_for, write_tags
from regard.tasks.token_classification.sentences import (
    Sentence,
    Tags,
    Tokens,
    covered,
    is_words,
    sentence_of,
    value_of,
)
from regard.tasks.token_classification.windows import Window, first_tokens, windows
from regard.values import Prediction, Span, Spans, Text, Value
from regard.values.words import Words

SOURCES = ("tokens", "words", "form", "text", "sentence")
TARGETS = ("ner_tags", "tags", "spans", "entities", "upos", "pos_tags", "pos", "labels", "label")
"""The columns that are meant where nobody names them, the first that there is."""
_FRAME = 2  # tokens around a text
_MOST_COUNTED = 100_000
"""Rows that a baseline learns from."""


@dataclass(frozen=True)
class TokenClassificationConfig(TaskConfig):
    """How texts and their labels are read."""

    source: str | None = None
    """The column of texts, or of lists of words; null for `tokens`, `words`, `form`, `text` or `sentence`."""
    target: str | None = None
    """The column of lists, of a tag for each word or of spans; null for `ner_tags`, `tags`, `spans`,
    `entities`, `upos`, `pos_tags`, `pos` or `labels`."""
    names: tuple[str, ...] = ()
    """The names of tags that are numbers in the data, from 0."""
    scheme: Literal["auto", "none"] | Scheme = "auto"
    """The tags as which entities are learned, whichever the data have them in; auto is that of the data (IOB2
    for IOB1 and for spans), and none where the tags are names, such as NOUN."""
    tokenizer: TokenizerSpec | None = None
    """How text becomes tokens; None is byte-level BPE of 8,000 pieces, or as many as the data allow."""
    max_length: int = 256
    """Tokens that are read at once."""
    stride: int = 0
    """How far a window over a long text moves on, in tokens; 0 is half of what it shows."""
    smoothing: float = 0.1
    """Label smoothing."""
    kind: Literal["token-classification"] = "token-classification"

    def __post_init__(self) -> None:
        require(self.max_length > _FRAME, "max_length", self.max_length, f"{_FRAME + 1} or more")
        require(self.stride >= 0, "stride", self.stride, "0 or more")
        require(0 <= self.smoothing < 1, "smoothing", self.smoothing, "at least 0 and less than 1")


@dataclass(frozen=True)
class TaggedBatch(PaddedBatch):
    """Texts, and the tags of their words."""

    at: Tensor
    """(W,) places of a flattened (B · T) at which a word is read …"""
    tags: Tensor
    """(W,) … and its tag."""

    @property
    def tokens(self) -> int:
        return len(self.tags)


@TASKS.register
class TokenClassification(TextTask):
    """See the module's docstring."""

    name: ClassVar[str] = "token-classification"
    presets = stacks(Full(), TokenClasses())
    head = TokenClasses
    Config = TokenClassificationConfig
    config: TokenClassificationConfig
    labels: dict[str, int]
    output = Spans

    def __init__(
        self, config: TokenClassificationConfig, tokenizer: Tokenizer, labels: dict[str, int]
    ) -> None:
        """`labels`: how often each tag stood in the training part, in the order of the classes."""
        super().__init__(config, tokenizer)
        self.labels = labels
        self._names, self._place = list(labels), {label: index for index, label in enumerate(labels)}
        self.scheme = scheme_of(labels) if config.scheme == "auto" else _scheme(config)
        self.lost = 0

    # ------------------------------------------------------------------ making and keeping

    @classmethod
    def adapted(
        cls, config: TokenClassificationConfig, columns: Callable[[], Sequence[str]]
    ) -> TokenClassificationConfig:
        if config.source and config.target:
            return config
        there = columns()
        source, target = (next((x for x in names if x in there), None) for names in (SOURCES, TARGETS))
        return replace(config, source=config.source or source, target=config.target or target)

    def evaluated_on(self, columns: Callable[[], Sequence[str]]) -> TokenClassification:
        there = columns()
        names = (self.config.source, self.config.target)
        source, target = (name if name in there else None for name in names)
        config = self.adapted(replace(self.config, source=source, target=target), lambda: there)
        return type(self)(config, self.tokenizer, self.labels)

    @classmethod
    def columns(cls, config: TokenClassificationConfig) -> tuple[Column, ...]:
        return Column(config.source, Words, Tokens()), Column(config.target, Spans, Tags(config.names))

    @classmethod
    def texts(cls, config: TokenClassificationConfig, rows: Rows) -> Iterable[str]:
        return (sentence_of(value_of(row)).text for row in rows)

    @classmethod
    def prepare(cls, config: TokenClassificationConfig, rows: Rows | None, files: Files = NO_FILES) -> Self:
        tokenizer = cls.tokenizer_for(config, rows, files)
        if rows is None:
            return cls(config, tokenizer, kept_labels(files))
        scheme = _scheme(config)
        if config.scheme == "auto":
            scheme = scheme_of(tag for row in rows for tag in _as_tags(sentence_of(row), "IOB2", keep=True))
        labels = (tag for row in rows for tag in _as_tags(sentence_of(row), scheme))
        counts = count_labels(labels, config.target or "tags")
        if scheme is not None:
            types = sorted({tag[2:] for tag in counts} - {""})
            counts = {tag: counts.get(tag, 0) for tag in tags_for(types, scheme)}
        return cls(config, tokenizer, counts)

    def files(self) -> dict[str, str]:
        return super().files() | written(self.labels)

    # ------------------------------------------------------------------ training

    @property
    def fields(self) -> tuple[Field, ...]:
        at = Field.indices("at", self.config.max_length)
        return (*super().fields, at, Field.indices("tags", len(self.labels)))

    def encode(self, rows: Iterable[Row]) -> Iterator[Encoded | None]:
        """Each window's ids; where the words stand that are labelled there, and their tags."""
        for row in rows:
            sentence = sentence_of(row)
            tags = [self._place.get(tag, -1) for tag in _as_tags(sentence, self.scheme)]
            for ids, window in self._read(sentence):
                known = [(at, tags[word]) for word, at in zip(window.words, window.at, strict=True)]
                known = [(at, tag) for at, tag in known if tag >= 0]
                if known:
                    yield ids, *zip(*known, strict=True)
                self.lost += len(window.words) - len(known)

    def notes(self) -> list[str]:
        how = f"entities are learned as {self.scheme} tags" if self.scheme else "every word has a label"
        lost = [f"{self.lost:,} words were left out: their tag is none of those"] if self.lost else []
        return [how, *lost]

    def _read(self, sentence: Sentence) -> Iterator[tuple[list[int], Window]]:
        """The framed ids of each window, and it itself, with the places of words among those ids."""
        tokens, places = self.tokenizer.encode_with_offsets(sentence.text)
        first = first_tokens(sentence.words, places) if tokens else []
        for window in windows(first, len(tokens), self.config.max_length - _FRAME, self.config.stride):
            ids = [self.tokenizer.bos, *tokens[window.begin : window.end], self.tokenizer.eos]
            yield ids, window._replace(at=[place + 1 for place in window.at])

    def batch(self, store: ExampleStore, rows: np.ndarray, epoch: int = 0) -> TaggedBatch:
        ids, lengths = store.padded(rows, "tokens", self.tokenizer.pad)
        at, tags = (store.ragged(rows, name) for name in ("at", "tags"))
        flat = np.concatenate([places + row * ids.shape[1] for row, places in enumerate(at)])
        return TaggedBatch(*map(torch.from_numpy, (ids, lengths, flat, np.concatenate(tags))))

    def loss(self, model: nn.Module, batch: TaggedBatch) -> Losses:
        """Cross-entropy of the tags of words."""
        logits = model(batch.ids, batch.positions)
        picked = logits.flatten(0, 1)[batch.at].float()
        smoothing = self.config.smoothing if model.training else 0.0
        return {"loss": F.cross_entropy(picked, batch.tags, reduction="sum", label_smoothing=smoothing)}

    # ------------------------------------------------------------------ predicting

    def predict(self, model: nn.Module, inputs: Sequence[Any], decoding: Decoding) -> Predictions:
        """The entities of each text, or all of its words, with their labels. A span's score is the mean
        probability of its words' tags; that of the whole, the probability of all tags together."""
        asked = [sentence_of(self.input.parse(given)) for given in inputs]
        logs = self._log_probabilities(model, asked, decoding.batch_tokens)
        return [self._answer(*both, decoding.n) for both in zip(asked, logs, strict=True)]

    @torch.inference_mode()
    def _log_probabilities(
        self, model: nn.Module, asked: Sequence[Sentence], at_once: int
    ) -> list[np.ndarray]:
        """(words, K) for each; of words in a text without tokens, none."""
        read = [(owner, *each) for owner, one in enumerate(asked) for each in self._read(one)]
        found = [np.zeros((0, len(self.labels)))] * len(asked)
        rows = [ids for _, ids, _ in read]
        for some, ids, positions in in_groups(rows, self.tokenizer.pad, at_once, model):
            logits = model(ids, positions)
            for place, number in enumerate(some):
                owner, _, window = read[number]
                if window.words and not len(found[owner]):
                    found[owner] = np.zeros((len(asked[owner].words), len(self.labels)))
                logs = logits[place, window.at].float().log_softmax(-1).cpu()
                found[owner][window.words] = logs.numpy()
        return found

    def _answer(self, sentence: Sentence, logs: np.ndarray, n: int) -> Prediction[Spans]:
        if not np.isfinite(logs.max(1)).all():
            raise NonFiniteOutputError("the score of a tag")
        ranked = dict[Spans, float]()
        for tags, total in _best(logs, n):
            shares = np.exp(logs[np.arange(len(logs)), list(tags)])
            spans = self._spans(sentence, [self._names[tag] for tag in tags], shares)
            ranked.setdefault(spans, math.exp(total))
        return best_of(list(ranked.items()))

    def _spans(self, sentence: Sentence, tags: Sequence[str], shares: np.ndarray) -> Spans:
        if self.scheme is None:
            places = zip(sentence.words, tags, shares.tolist(), strict=False)
            return Spans(sentence.text, tuple(Span(*place, tag, share) for place, tag, share in places))
        found = entities(tags)
        scores = [float(shares[entity.start : entity.end].mean()) for entity in found]
        spans = zip(sentence.at(found), scores, strict=True)
        return Spans(sentence.text, tuple(span._replace(score=score) for span, score in spans))

    # ------------------------------------------------------------------ evaluating

    def metric(self) -> Metric:
        return WordMetric() if self.scheme is None else EntityMetric()

    def baselines(self, rows: Sequence[Row], train: Rows | None) -> dict[str, dict[str, Any]]:
        if train is None:
            return {}
        seen = [sentence_of(row) for row in islice(train, _MOST_COUNTED)]
        asked = [sentence_of(value_of(row)) for row in rows]
        if self.scheme is None:
            usual = UsualTags((_words(one), one.tags) for one in seen if one.tags is not None)
            tagged = [(one, zip(one.words, usual.tags(_words(one)), strict=True)) for one in asked]
            answers = [Spans(one.text, tuple(Span(*x, tag) for x, tag in tags)) for one, tags in tagged]
            return {"most frequent tag of each word": scored(self.metric(), answers, rows)}
        names = Gazetteer((_words(one), _entities(one)) for one in seen)
        answers = [Spans(one.text, one.at(names.entities(_words(one)))) for one in asked]
        return {"gazetteer of the training entities": scored(self.metric(), answers, rows)}

    # ------------------------------------------------------------------ looking inside

    @property
    def input(self) -> InputSpec:
        return InputSpec(Text, Words, lambda text: not is_words(text))

    def outputs(self) -> list[str]:
        return self._names

    def given_ids(self, inputs: Sequence[Any]) -> list[list[int]]:
        """The first window of each."""
        return [next(self._read(sentence_of(self.input.parse(given))))[0] for given in inputs]

    def inputs(self, rows: Iterable[Row]) -> list[Value]:
        return [value_of(row) for row in rows]

    def format_row(self, row: Row) -> tuple[str, str]:
        sentence = sentence_of(row)
        if self.scheme is None and sentence.tags is not None:
            return sentence.text, " ".join(sentence.tags)
        return sentence.text, str(Spans(sentence.text, marked(sentence)))


def _scheme(config: TokenClassificationConfig) -> Scheme | None:
    return config.scheme if config.scheme in get_args(Scheme) else None  # type: ignore[return-value]


def _entities(sentence: Sentence) -> list[Any]:
    return covered(sentence) if sentence.tags is None else entities(sentence.tags)


def _as_tags(sentence: Sentence, scheme: Scheme | None, *, keep: bool = False) -> Sequence[str]:
    """A tag for each word: those of a scheme, or as they are, which is what `keep` asks for where there are.

    Raises: ConfigError for spans without a scheme.
    """
    if sentence.tags is not None and (keep or scheme is None):
        return sentence.tags
    if scheme is None:
        raise ConfigError(
            "{key}: is {value}, but spans are learned as tags; leave it at auto", "task.scheme", "none"
        )
    return write_tags(_entities(sentence), len(sentence.words), scheme)


def _words(sentence: Sentence) -> list[str]:
    return [sentence.text[start:end] for start, end in sentence.words]


def _best(logs: np.ndarray, n: int) -> list[tuple[tuple[int, ...], float]]:
    """From (words, K) the n most likely choices of one of K for each word, with their log-probabilities."""
    if n == 1:
        return [(tuple(logs.argmax(1).tolist()), float(logs.max(1).sum()))]
    best: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    for row in logs:
        order = np.argsort(-row, kind="stable")[:n].tolist()
        longer = [((*tags, tag), total + float(row[tag])) for tags, total in best for tag in order]
        best = sorted(longer, key=lambda one: -one[1])[:n]
    return best
