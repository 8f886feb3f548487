"""Question answering, extractive: the answer to a question is a span of the text that goes with it.

One stack whose mask is full reads `<s> question </s> context </s>`; for each token it says whether the answer
starts or ends there, and the first token stands for 'no answer' (arXiv 1810.04805, sections 4.2 and 4.3). A
context that is too long is read in windows that overlap. The ids of an example are those of one window; with
them are kept the places of its answers' first and last tokens, and where the context begins.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from regard.data.field import Encoded, Field
from regard.data.readers.answers import Answer, read_answers
from regard.data.readers.forms import Answers
from regard.data.rows import Row, Rows
from regard.data.sample import valid_text
from regard.data.store import ExampleStore
from regard.data.tokenizer import Tokenizer, TokenizerSpec, WordPiece
from regard.decode.spans import best_spans
from regard.errors import InputError, NonFiniteOutputError, require
from regard.model.head import Spans as SpanHead
from regard.model.mask import Full
from regard.tasks.batch import PaddedBatch
from regard.tasks.decoding import Decoding
from regard.tasks.metric import ComparedAnswers, Metric
from regard.tasks.parts import chunks, in_groups, kept_json
from regard.tasks.prediction import best_of
from regard.tasks.span_baselines import beside, usual_length
from regard.tasks.span_metrics import best_threshold, overlap, references_of, span_metrics
from regard.tasks.span_windows import (
    NOTHING_FOUND,
    Found,
    Read,
    Window,
    covering,
    inside,
    joined,
    log_sum,
    windows,
)
from regard.tasks.task import NO_FILES, TASKS, Column, Files, InputSpec, Losses, Predictions, TaskConfig
from regard.tasks.text_task import TextTask, stacks
from regard.values import Pair, Prediction, Span, Spans, Value

THRESHOLD = "threshold.json"
_FRAME = 3  # tokens around the question and the context


@dataclass(frozen=True)
class QuestionAnsweringConfig(TaskConfig):
    """How questions and contexts are read and judged."""

    source: str = "question"
    """The column that holds the question."""
    context: str = "context"
    """The column that holds the text in which the answer stands."""
    target: str = "answers"
    """The column that holds the answers: a list of objects with text and answer_start, or such as JSON."""
    tokenizer: TokenizerSpec | None = None
    """How text becomes tokens; None is WordPiece of 8,000 pieces, or as many as the data allow."""
    max_length: int = 256
    """Tokens that are read at once: the question, and as much of the context as there is room for."""
    max_question: int = 64
    """Longest question in tokens: what is beyond is not read."""
    stride: int = 0
    """How far a window over a long context moves on, in tokens; 0 is half the room that it has."""
    max_answer: int = 30
    """Longest answer in tokens."""
    metric: Literal["token_f1", "exact"] = "token_f1"
    """The figure that chooses between checkpoints."""
    kind: Literal["question-answering"] = "question-answering"

    def __post_init__(self) -> None:
        require(self.max_question >= 1, "max_question", self.max_question, "1 or more")
        least = self.max_question + _FRAME + 1
        require(self.max_length >= least, "max_length", self.max_length, f"{least} or more")
        require(self.stride >= 0, "stride", self.stride, "0 or more")
        require(self.max_answer >= 1, "max_answer", self.max_answer, "1 or more")


@dataclass(frozen=True)
class SpanBatch(PaddedBatch):
    """Windows, and where the answers stand in them."""

    allowed: Tensor
    """(B, T) booleans: the tokens of the context, and the first."""
    wanted: Tensor
    """(B, 2, T): how many of the references start and end there, as shares."""

    @property
    def tokens(self) -> int:
        return 2 * len(self.ids)


@TASKS.register
class QuestionAnswering(TextTask):
    """See the module's docstring."""

    name: ClassVar[str] = "question-answering"
    usual: ClassVar[TokenizerSpec] = WordPiece(lowercase=True)
    presets = stacks(Full(), SpanHead())
    head = SpanHead
    Config = QuestionAnsweringConfig
    config: QuestionAnsweringConfig
    output = Spans

    def __init__(
        self,
        config: QuestionAnsweringConfig,
        tokenizer: Tokenizer,
        unanswerable: int = 0,
        threshold: float = 0.0,
    ) -> None:
        """`unanswerable`: questions of the training part without an answer; with none there is always one.
        `threshold`: how far 'no answer' must be above the best span to be the answer."""
        super().__init__(config, tokenizer)
        self.unanswerable, self.threshold = unanswerable, threshold
        self._last: tuple[str, Read] = ("", Read([], []))
        self.lost = 0

    # ------------------------------------------------------------------ making and keeping

    @classmethod
    def columns(cls, config: QuestionAnsweringConfig) -> tuple[Column, ...]:
        return Column(config.context), Column(config.source), Column(config.target, Spans, Answers())

    @classmethod
    def texts(cls, config: QuestionAnsweringConfig, rows: Rows) -> Iterator[str]:
        before = ""
        for row in rows:
            context, question, _ = row.values
            yield question
            if context != before:  # the questions of a context follow one another
                yield context
            before = context

    @classmethod
    def prepare(cls, config: QuestionAnsweringConfig, rows: Rows | None, files: Files = NO_FILES) -> Self:
        tokenizer = cls.tokenizer_for(config, rows, files)
        if rows is None:
            silence = kept_json(files, THRESHOLD, _is_threshold, "it does not say when there is no answer")
            return cls(config, tokenizer, silence["unanswerable"], silence["threshold"])
        return cls(config, tokenizer, sum(not _answers(row) for row in rows))

    def files(self) -> dict[str, str]:
        silence = {"unanswerable": self.unanswerable, "threshold": self.threshold}
        return super().files() | {THRESHOLD: json.dumps(silence)}

    # ------------------------------------------------------------------ training

    @property
    def fields(self) -> tuple[Field, ...]:
        spans = Field.indices("spans", self.config.max_length, (None, 2))
        return (*super().fields, spans, Field.indices("first", self.config.max_length, ()))

    def encode(self, rows: Iterable[Row]) -> Iterator[Encoded | None]:
        """Each window's ids; first and last tokens of the answers in it, or the first token twice; where its
        context begins."""
        for some in chunks(rows):
            questions = self.tokenizer.encode_batch([row.values[1] for row in some])
            for row, question in zip(some, questions, strict=True):
                read, answers = self._read(row.values[0]), _answers(row)
                spans = [span for answer in answers if (span := covering(read.places, answer))]
                if answers and not spans:
                    self.lost += 1
                    continue
                for window in self._windows(question, read.ids):
                    held = inside(window, spans)
                    yield window.ids, held or [(0, 0)], window.first

    def notes(self) -> list[str]:
        return [f"{self.lost:,} left out: the tokenizer sees nothing of the answer"] if self.lost else []

    def _read(self, context: str) -> Read:
        """The questions of a context follow one another, so the last one is kept."""
        if self._last[0] != context:
            self._last = context, Read(*self.tokenizer.encode_with_offsets(context))
        return self._last[1]

    def _windows(self, question: list[int], context: list[int]) -> Iterator[Window]:
        between = self.tokenizer.between
        question = question[: self.config.max_question + 1 - len(between)]  # the least room counts one
        asked = [self.tokenizer.bos, *question, *between]
        return windows(asked, context, self.tokenizer.eos, self.config.max_length, self.config.stride)

    def batch(self, store: ExampleStore, rows: np.ndarray, epoch: int = 0) -> SpanBatch:
        ids, lengths = store.padded(rows, "tokens", self.tokenizer.pad)
        first = store.take(rows, "first")[:, None]
        column = np.arange(ids.shape[1])
        allowed = (column == 0) | ((column >= first) & (column < lengths[:, None] - 1))
        wanted = torch.zeros((len(rows), 2, ids.shape[1]))
        for row, spans in enumerate(store.ragged(rows, "spans")):
            for side in (0, 1):
                shares = torch.full((len(spans),), 1 / len(spans))
                wanted[row, side].index_add_(0, torch.from_numpy(spans[:, side]), shares)
        given, sizes, legal = (torch.from_numpy(x) for x in (ids, lengths, allowed))
        return SpanBatch(given, sizes, legal, wanted)

    def loss(self, model: nn.Module, batch: SpanBatch) -> Losses:
        """Cross-entropy of starts and of ends. Of several references each has its share."""
        logits = model(batch.ids, batch.positions)
        outside = ~batch.allowed[:, None]
        shares = logits.transpose(1, 2).float().masked_fill(outside, float("-inf")).log_softmax(-1)
        each = batch.wanted * shares.masked_fill(outside, 0.0)
        start, end = -each.detach().sum((0, 2))
        return {"loss": -each.sum(), "start": start, "end": end}

    # ------------------------------------------------------------------ predicting

    def predict(self, model: nn.Module, inputs: Sequence[Any], decoding: Decoding) -> Predictions:
        """The best span of each context, or none where there is no answer; the scores are probabilities
        among all spans, their places characters of the context."""
        asked = [self._asked(given) for given in inputs]
        found = self._found(model, asked, decoding)
        return [self._ranked(said, pair.second, decoding.n) for said, pair in zip(found, asked, strict=True)]

    def _asked(self, given: Any) -> Pair:
        pair = self.input.parse(given)
        assert isinstance(pair, Pair)
        if not pair.second.strip():
            sentence = "the input '{value}' is no question with a context; give both with a tab between them"
            raise InputError(sentence, pair.first[:40])
        return pair

    def _ranked(self, found: Found, context: str, n: int) -> Prediction[Spans]:
        order: list[tuple[float, tuple[int, int] | None]] = [(x, span) for span, x in found.spans.items()]
        total = found.total
        if self.unanswerable or not order:
            order.append((found.null - self.threshold, None))
            total = log_sum(total, order[-1][0])
        if not total < math.inf:
            raise NonFiniteOutputError("the score of an answer")
        best = sorted(order, key=lambda some: -some[0])[:n]
        return best_of([(_span(context, span), math.exp(score - total)) for score, span in best])

    @torch.inference_mode()
    def _found(self, model: nn.Module, asked: Sequence[Pair], decoding: Decoding) -> list[Found]:
        questions = self.tokenizer.encode_batch([pair.first for pair in asked])
        contexts = [self._read(pair.second) for pair in asked]
        pairs = enumerate(zip(questions, contexts, strict=True))
        read = [(owner, one) for owner, (ids, text) in pairs for one in self._windows(ids, text.ids)]
        found = [NOTHING_FOUND] * len(asked)
        rows = [window.ids for _, window in read]
        for some, ids, at in in_groups(rows, self.tokenizer.pad, decoding.batch_tokens, model):
            here = [read[number] for number in some]
            limits = [[window.first, len(window.ids) - 1] for _, window in here]
            first, stop = torch.tensor(limits, device=ids.device).unbind(1)
            # Tokens that share a character name a span twice.
            best = best_spans(model(ids, at), first, stop, longest=self.config.max_answer, n=2 * decoding.n)
            for (owner, window), *said in zip(here, *(x.tolist() for x in best), strict=True):
                found[owner] = joined(found[owner], window, contexts[owner].places, *said)
        return found

    # ------------------------------------------------------------------ evaluating

    def metric(self) -> Metric:
        return ComparedAnswers(self.config.metric, Spans.plain, references_of, span_metrics)

    def calibrate(self, model: nn.Module, rows: Sequence[Row]) -> None:
        """Choose the threshold that gives the best F1 on these rows."""
        if not self.unanswerable or not rows:
            return
        asked, references = [_pair(row) for row in rows], list(map(references_of, rows))
        found = self._found(model, asked, Decoding())
        best = [max(said.spans, key=lambda span: said.spans[span], default=(0, 0)) for said in found]
        texts = [pair.second[begin:end] for pair, (begin, end) in zip(asked, best, strict=True)]
        answered = [overlap(text, wanted) for text, wanted in zip(texts, references, strict=True)]
        silent = [overlap("", wanted) for wanted in references]
        margins = [min(said.margin, 1e9) for said in found]
        self.threshold = best_threshold(margins, answered, silent)

    def baselines(self, rows: Sequence[Row], train: Rows | None) -> dict[str, dict[str, Any]]:
        references = list(map(references_of, rows))
        learned = [] if train is None else list(islice(train, 10_000))
        size = usual_length(answer.text for row in learned for answer in _answers(row))
        found = {
            "the whole context": [row.values[0] for row in rows],
            "the words beside the question's": [beside(row.values[1], row.values[0], size) for row in rows],
        }
        if not all(references):
            found["no answer, ever"] = [""] * len(rows)
        return {name: span_metrics(answers, references) for name, answers in found.items()}

    # ------------------------------------------------------------------ looking inside

    @property
    def input(self) -> InputSpec:
        return InputSpec(Pair, names=("question", "context"))

    def given_ids(self, inputs: Sequence[Any]) -> list[list[int]]:
        """The first window of each."""
        asked = [self._asked(given) for given in inputs]
        questions = self.tokenizer.encode_batch([pair.first for pair in asked])
        rows = zip(questions, (self._read(pair.second).ids for pair in asked), strict=True)
        return [next(self._windows(question, context)).ids for question, context in rows]

    def inputs(self, rows: Iterable[Row]) -> list[Value]:
        return [_pair(row) for row in rows]

    def format_row(self, row: Row) -> tuple[str, str]:
        texts = dict.fromkeys(answer.text for answer in _answers(row))
        return f"{row.values[1]} | {row.values[0]}", " / ".join(texts)


def _answers(row: Row) -> tuple[Answer, ...]:
    return read_answers(row.values[2], row.values[0], row.where)


def _pair(row: Row) -> Pair:
    return Pair(valid_text(row.values[1]), valid_text(row.values[0]))


def _span(context: str, span: tuple[int, int] | None) -> Spans:
    """None is no answer, and so is a span of no characters."""
    return Spans(context, (Span(*span),) if span is not None and span[0] < span[1] else ())


def _is_threshold(found: Any) -> bool:
    count, threshold = found["unanswerable"], found["threshold"]
    return type(count) is int and count >= 0 and type(threshold) is float and math.isfinite(threshold)
