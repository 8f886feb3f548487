"""Text generation: a text goes on token by token, each predicted from those before it.

One stack whose mask is causal (GPT: Radford et al. 2018). Documents stand one after another, each between
`<s>` and `</s>`, and are cut into windows of `context` tokens; a token sees its own document only, and
positions begin anew with each. Where a window begins is drawn anew in every epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import nn

from regard.data.continuation import Continuation
from regard.data.documents import cut, pieces
from regard.data.field import Encoded, Field
from regard.data.ngrams import MOST, NGrams
from regard.data.readers.forms import Dialogue
from regard.data.rows import Row, Rows
from regard.data.store import ExampleStore
from regard.data.tokenizer import TokenizerSpec
from regard.data.tokenizer_given import GivenTokenizer
from regard.decode.constraints import Constraints, Rules
from regard.decode.sampling import Draws
from regard.errors import DataError, InputError, require
from regard.model.head import VocabularyHead
from regard.model.mask import Causal, Contiguous, Positions, Ragged
from regard.model.transformer import Transformer
from regard.tasks.batch import TextBatch
from regard.tasks.chat_template import ChatTemplate
from regard.tasks.conversation import Conversation, TemplateConversation, TurnsConversation
from regard.tasks.decoding import Decoding
from regard.tasks.dialogue import Turns, asked_of, dialogue_stream, is_dialogue, prompt_ids, said, texts_of
from regard.tasks.known_data import TEXTS
from regard.tasks.parts import chunks, side_by_side
from regard.tasks.perplexity import Perplexity
from regard.tasks.prediction import best_of
from regard.tasks.task import NO_FILES, TASKS, Column, Files, InputSpec, Losses, Predictions, TaskConfig
from regard.tasks.text_task import TextTask, stacks
from regard.tasks.writing import Output, say_unseen, write, write_all
from regard.values import Chat, Text, Value

_JUDGED_TOGETHER = 8192  # tokens


@dataclass(frozen=True)
class TextGenerationConfig(TaskConfig):
    """How text is read and judged."""

    source: str | None = None
    """The column that holds the text; None finds it."""
    tokenizer: TokenizerSpec | None = None
    """How text becomes tokens; None is byte-level BPE of 8,000 pieces, or as many as the data allow."""
    context: int = 256
    """Tokens that are seen at once, in training and later."""
    turns: Turns | None = None
    """How dialogues are learned from, where the column holds those; null where it holds text."""
    template: str | None = None
    """How dialogues are written for a model that was trained elsewhere: its chat template."""
    stride: int = 0
    """How far the window moves on between judgements: each token is judged with at least context - stride
    tokens before it. 0 is half the context."""
    never: tuple[int, ...] = ()
    """Ids that are never written, whatever the model makes of them."""
    constraints: Constraints | None = None
    """What else outputs must be like, as models that were trained elsewhere say it; null for nothing."""
    metric: Literal["nats"] = "nats"
    """The figure that chooses between checkpoints: nats per token, lower is better."""
    kind: Literal["text-generation"] = "text-generation"

    def __post_init__(self) -> None:
        require(self.context >= 1, "context", self.context, "1 or more")
        require(0 <= self.stride <= self.context, "stride", self.stride, "from 0 to the context")


@TASKS.register
class TextGeneration(TextTask):
    """See the module's docstring."""

    name: ClassVar[str] = "text-generation"
    supports = frozenset({"max_length", "sampling", "stop", "begin"})
    known_data = TEXTS
    presets = stacks(Causal())
    Config = TextGenerationConfig
    config: TextGenerationConfig
    output = Text
    mask_rule = "causal"

    # ------------------------------------------------------------------ making and keeping

    @classmethod
    def columns(cls, config: TextGenerationConfig) -> tuple[Column, ...]:
        usual = None if config.turns is None else "messages"
        return (Column(config.source or usual, Text, Dialogue(always=config.turns is not None)),)

    @classmethod
    def prepare(cls, config: TextGenerationConfig, rows: Rows | None, files: Files = NO_FILES) -> Self:
        first = next(iter(rows or ()), None)
        if config.turns is None and first is not None and is_dialogue(first.values[0]):
            sentence = "{where}: is a dialogue, not a text; prepare it with --set {key}=turns"
            raise DataError(sentence, first.where, "task.turns")
        return super().prepare(config, rows, files)

    @classmethod
    def texts(cls, config: TextGenerationConfig, rows: Rows) -> Iterable[str]:
        return super().texts(config, rows) if config.turns is None else texts_of(rows)

    # ------------------------------------------------------------------ training

    @property
    def fields(self) -> tuple[Field, ...]:
        marked = 1 if self.config.turns is None else 2
        return (Field.indices("tokens", marked * self.tokenizer.size),)

    def encode(self, rows: Iterable[Row]) -> Iterator[Encoded | None]:
        """Stretches of two contexts, each beginning a context after the one before: `batch` cuts a window
        from each."""
        context = self.config.context
        kept: list[int] = []
        first = True
        for ids in self._stream(rows):
            kept += ids
            while len(kept) > 2 * context:
                yield (kept[: 2 * context + 1],)
                del kept[:context]
                first = False
        if len(kept) > (1 if first else context + 1):
            yield (kept,)

    def _stream(self, rows: Iterable[Row]) -> Iterator[list[int]]:
        """The ids of all documents, some at a time, each document between start and end; of dialogues with
        marks on what is not to be learned."""
        if self.config.turns is not None:
            yield from dialogue_stream(rows, self.tokenizer, self.config.turns)
            return
        begins = True
        for ids, ends in cut(rows, self.tokenizer):
            start = [self.tokenizer.bos] * begins
            # Where one token begins and ends documents, what begins the next ends this one.
            end = [self.tokenizer.eos] * (ends and self.tokenizer.eos != self.tokenizer.bos)
            yield [*start, *ids, *end]
            begins = ends

    def costs(self, store: ExampleStore) -> list[np.ndarray]:
        return [np.minimum(store.lengths("tokens"), self.config.context)]

    def batch(self, store: ExampleStore, rows: np.ndarray, epoch: int = 0) -> TextBatch:
        ids, lengths = store.padded(rows, "tokens", self.tokenizer.pad)
        room = np.maximum(lengths - self.config.context, 1)  # places where a window may begin
        starts = np.random.default_rng([epoch, *rows.tolist()]).integers(room)
        width = min(self.config.context, int(lengths.max()) - 1) + 1
        place = starts[:, None] + np.arange(width)
        windows = np.take_along_axis(ids, np.minimum(place, ids.shape[1] - 1), axis=1)
        return self._windows(windows, lengths - starts)

    def _windows(self, ids: np.ndarray, lengths: np.ndarray, judged: np.ndarray | None = None) -> TextBatch:
        """(B, C + 1) ids, of which the first `lengths` of each row are real. `judged`: (B,), the first place
        of each row whose successor is asked for."""
        marked = ids >= self.tokenizer.size
        ids = np.where(marked, ids - self.tokenizer.size, ids)
        given, wanted = ids[:, :-1], ids[:, 1:]
        column = np.arange(given.shape[1])
        asked = column + 1 < lengths[:, None]
        if self.tokenizer.bos != self.tokenizer.eos:
            asked &= wanted != self.tokenizer.bos  # nothing tells what comes next
        learned = asked & ~marked[:, 1:]
        if judged is not None:
            asked = learned & (column >= judged[:, None])
        elif learned.any():  # a batch must ask for something
            asked = learned
        real = np.flatnonzero(asked)
        arrays = (np.ascontiguousarray(given), real, wanted.reshape(-1)[real])
        tokens, places, answers = map(torch.from_numpy, arrays)
        return TextBatch(tokens, self._places(given), places, answers)

    def _places(self, given: np.ndarray) -> Positions:
        """Documents within a window are segments of their own, whose positions begin at 0. What is beyond a
        row's length follows what is real, so causality alone keeps it from being seen."""
        begins = given == self.tokenizer.bos
        begins[:, 0] = False
        if not begins.any():
            return Contiguous(0, given.shape[1])
        place = np.broadcast_to(np.arange(given.shape[1]), given.shape)
        start = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
        segment = torch.from_numpy(begins.cumsum(axis=1))
        return Ragged(torch.from_numpy(place - start), segment, given.shape[1])

    def loss(self, model: nn.Module, batch: TextBatch) -> Losses:
        assert isinstance(model, Transformer)
        assert isinstance(model.head, VocabularyHead)
        hidden = model.hidden(batch.given, batch.at)
        return {"loss": model.head.loss(hidden.flatten(0, 1)[batch.real], batch.wanted)}

    # ------------------------------------------------------------------ judging

    def metric(self) -> Perplexity:
        """Over all of the text, end tokens included, by a window that moves on by the stride."""
        return Perplexity(self._judged, self._bytes)

    def _bytes(self, rows: Sequence[Row]) -> int:
        """Of what is asked of these rows, in UTF-8."""
        turns = self.config.turns
        texts = (text for text, _ in pieces(rows)) if turns is None else said(rows, turns)
        return sum(len(text.encode("utf-8", "replace")) for text in texts)

    def _judged(self, rows: Iterable[Row]) -> Iterator[TextBatch]:
        """Windows that ask for every token once."""
        together = max(1, _JUDGED_TOGETHER // self.config.context)
        for some in chunks(self._evaluated_windows(rows), together):
            table, lengths = side_by_side([ids for ids, _ in some], self.tokenizer.pad)
            yield self._windows(table, lengths, np.array([fresh for _, fresh in some]))

    def _evaluated_windows(self, rows: Iterable[Row]) -> Iterator[tuple[list[int], int]]:
        """The ids of each, and the first place whose successor no window before has asked for."""
        context = self.config.context
        stride = self.config.stride or max(1, context // 2)
        kept, fresh = list[int](), 0
        for ids in self._stream(rows):
            kept += ids
            while len(kept) > context + 1:
                yield kept[: context + 1], fresh
                del kept[:stride]
                fresh = context - stride
        if len(kept) > fresh + 1:
            yield kept, fresh

    def baselines(self, rows: Sequence[Row], train: Rows | None) -> dict[str, dict[str, Any]]:
        if train is None:
            return {}
        size = self.tokenizer.size
        counts = NGrams(size).count([token % size for token in some] for some in self._stream(train))
        marked = [token for some in self._stream(rows) for token in some]
        unasked = self.tokenizer.bos if self.tokenizer.bos != self.tokenizer.eos else -1
        asked = [place > 0 and unasked != token < size for place, token in enumerate(marked)]
        ids = [token % size for token in marked]
        name = f"counts after {counts.longest} tokens" + ("" if counts.counted < MOST else f", of {MOST:,}")
        metric = self.metric()
        metric.count(rows, counts.nats(ids, asked), sum(asked))
        return {name: metric.compute()}

    # ------------------------------------------------------------------ writing

    def predict(self, model: nn.Module, inputs: Sequence[Any], decoding: Decoding) -> Predictions:
        """What follows each input. Several samples of one are its candidates, in the order in which they
        are drawn; the first is what is drawn alone. Scores are the mean log-probability of the tokens."""
        if decoding.n > 1 and (decoding.sampling is None or decoding.sampling.temperature == 0):
            sentence = "there is one most likely text, not {value}; draw several with --temperature 1"
            raise InputError(sentence, decoding.n)
        outputs = [
            output
            for number, given in enumerate(inputs, decoding.number)
            for output in self._outputs(given, decoding, number)
        ]
        write_all(model, outputs, decoding, self.config.context, self._rules)
        say_unseen(outputs[:: decoding.n], self.config.context)
        answers = []
        for first in range(0, len(outputs), decoding.n):
            some = [(Text(output.text), output.score) for output in outputs[first : first + decoding.n]]
            answers.append(best_of(some, max(0, outputs[first].begin - self.config.context)))
        return answers

    def write(self, model: nn.Module, given: Any, decoding: Decoding) -> Iterator[str]:
        output = self._outputs(given, decoding, decoding.number)[0]
        for _ in write(model, [output], decoding, self.config.context, rules=self._rules):
            yield output.sure
        say_unseen([output], self.config.context)
        yield output.text

    def _outputs(self, given: Any, decoding: Decoding, number: int) -> list[Output]:
        """The samples of one input, nothing written yet."""
        given = self.input.parse(given)
        prompt, goes_on = self._prompt(given), not isinstance(given, Chat)
        return [
            Output(prompt, self.tokenizer, decoding.stop, continues=goes_on, draws=Draws(number, sample))
            for sample in range(decoding.n)
        ]

    @property
    def _rules(self) -> Rules:
        return Rules(self.config.never, self.config.constraints)

    def _prompt(self, given: Any) -> list[int]:
        given = self.input.parse(given)
        if not isinstance(given, Chat):
            return self.tokenizer.encode_prompt(given.plain())
        if (template := self._template()) is None:
            return prompt_ids(given.messages, self.tokenizer)
        return template.ids(given.messages)

    # ------------------------------------------------------------------ looking inside

    def opening(self, given: Any) -> tuple[list[int], list[int]]:
        prompt = self._prompt(given)
        if len(prompt) >= self.config.context:
            sentence = (
                "the input '{value}' has {limit} tokens; this model sees at most {context} at once, with"
                " what it writes: give fewer"
            )
            raise InputError(sentence, str(given)[:40], len(prompt), self.config.context)
        return [], prompt

    def decode_ids(self, ids: Sequence[int], given: Any = None) -> tuple[str, bool]:
        done = bool(ids) and ids[-1] in self.tokenizer.ends
        given = Text("") if given is None else self.input.parse(given)
        talks = self.config.turns is not None or isinstance(given, Chat)
        before = [] if talks else self._prompt(given)
        return Continuation(self.tokenizer, before).of(ids[: len(ids) - done]), done

    @property
    def input(self) -> InputSpec:
        if self.config.turns is not None:
            return InputSpec(Chat)
        return InputSpec() if self._template() is None else InputSpec(Chat, Text, is_dialogue)

    def given_ids(self, inputs: Sequence[Any]) -> list[list[int]]:
        ids = [self._prompt(given)[: self.config.context] for given in inputs]
        return [row if len(row) > 1 else [*row, self.tokenizer.eos] for row in ids]

    def inputs(self, rows: Iterable[Row]) -> list[Value]:
        texts = (row.values[0] if self.config.turns is None else asked_of(row) for row in rows)
        return list(map(self.input.parse, texts))

    def page_facts(self, rooms: Sequence[int]) -> dict[str, Any]:
        return {"max_length": min(self.config.context, rooms[0]), "lines": bool(self.tokenizer.lines)}

    def page_problems(self) -> Iterator[str]:
        if self.input.value is not Text:
            yield "its input is a dialogue, where a page takes a text or a drawing"

    def conversation(self, model: nn.Module, system: str | None = None) -> Conversation[Any]:
        """A dialogue with this model. Raises: InputError when it has learned none."""
        context = self.config.context
        if self.config.turns is not None:
            return TurnsConversation(model, self.tokenizer, context, system)
        if (template := self._template()) is not None:
            return TemplateConversation(model, template, context, system, self._rules)
        raise InputError("this model has learned no dialogues; train it with --set {key}=turns", "task.turns")

    def _template(self) -> ChatTemplate | None:
        if self.config.template is None or not isinstance(self.tokenizer, GivenTokenizer):
            return None
        return ChatTemplate(self.config.template, self.tokenizer)
