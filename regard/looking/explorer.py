"""A model looked at again and again, by a page: quick answers to small questions, with changes that come and
go.

What a task writes is searched for by the fastest way there is and then read once more in one pass, with taps
open: its numbers are those of the search within rounding (a law that `tests/laws` holds), and a pass costs as
much as a step. Nothing here changes the model: see `insight/changes.py`. One question is answered at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from threading import RLock
from typing import Any, TypeVar

import torch
from torch import Tensor

from regard.errors import InputError, unknown
from regard.insight.changes import NONE, Changes, Tied, variant
from regard.insight.derived import recorded_for, with_derived
from regard.insight.progress import progressed
from regard.insight.recorded import Naming, passes_of, search_steps
from regard.insight.recorder import Choice, Recorder
from regard.insight.sums import account
from regard.insight.trace import Entry, Grown, Pass, Trace, best_path
from regard.model.account import Account, Numbers
from regard.model.quantize import is_int8
from regard.model.search_events import Step, listen
from regard.model.tap import open_taps
from regard.model.transformer import EncoderDecoder, Model
from regard.tasks.decoding import Decoding, supported
from regard.tasks.protocols import Generates
from regard.tasks.task import Task
from regard.values import Prediction, Text

_KEPT = 16
_MOST = 2**26
"""Numbers that are kept of a prediction."""
_VARIED = 2**28
"""Weights of changed models that are kept: each edit of a weight copies it whole."""
LENGTH = 24
"""Tokens that a text goes on for, by default."""


T = TypeVar("T")
Opening = tuple[list[int], list[int]]
"""What the model is given for an input, and what its writing goes on from."""


@dataclass(frozen=True)
class Question:
    """What is looked at: an input, how the answer is searched for, what is changed."""

    text: str
    beam: int = 1
    length: int | None = None
    """Most tokens to write, those that are given included."""
    begin: tuple[int, ...] = ()
    """Ids that the answer begins with."""
    changes: Changes = NONE

    @property
    def plain(self) -> Question:
        """The same with nothing changed."""
        return replace(self, changes=NONE)


@dataclass(frozen=True, eq=False)
class Answer:
    """What was found."""

    prediction: Prediction[Any]
    passes: tuple[Pass, ...]
    """Of a task that writes, those of the encoder and the decoder, or of the one stack, over all of it."""
    begin: int | None = None
    """Where writing starts among the tokens of the last pass; None where nothing is written."""
    written: tuple[int, ...] = ()
    """Ids, the end token included."""
    order: tuple[int, ...] | None = None
    """The positions that the first pass's tokens had, if they were exchanged."""


@dataclass(frozen=True)
class Searched:
    """A search and what came of it."""

    prediction: Prediction[Any]
    steps: tuple[Grown, ...]
    start: tuple[int, ...] = ()
    """The ids that were given before what was written."""

    @property
    def path(self) -> tuple[int, ...]:
        return best_path(self.steps)

    @property
    def written(self) -> tuple[int, ...]:
        return tuple(step.ids[place] for step, place in zip(self.steps, self.path, strict=False))


class Explorer:
    """See the module's docstring. Everything raises InputError for what the model does not take or have."""

    def __init__(self, task: Task, model: Model, tied: Tied, naming: Naming, parameters: int) -> None:
        """`parameters`: how many the model has, for people; what it shares may be copied in `model`."""
        self.task, self.model, self.naming, self.tied = task, model, naming, tied
        self.supports = supported(task)
        self.parameters = parameters
        self._lock = RLock()
        self._searched: OrderedDict[Hashable, Searched] = OrderedDict()
        self._variants: OrderedDict[Hashable, Model] = OrderedDict()

    # ------------------------------------------------------------------ answers

    def answer(self, question: Question, names: Collection[str] | None = ()) -> Answer:
        """What the model says, with the entries of these names, or all."""
        with self._lock:
            self._check(question, names)
            choice = Choice(names=None if names is None else frozenset(self._needed(names)), most=_MOST)
            opening = self.opening(question.text)
            if opening is None:
                return self._traced(question, choice)
            searched = self._search(question, opening)
            passes = self._forced(question, opening, searched.written[:-1], choice)
            return self._answer(question, searched.prediction, passes, opening, searched.written)

    def next(self, question: Question) -> Answer:
        """What may come after the tokens that are given, with nothing written."""
        with self._lock:
            self._check(question, ())
            opening = self.opening(question.text)
            if opening is None:
                raise InputError("{where} does not write token by token", self.task.name)
            passes = self._forced(question, opening, question.begin, Choice(names=frozenset({"head.logits"})))
            prediction = Prediction(Text(self.decoded(question.begin, question.text)[0]))
            return self._answer(question, prediction, passes, opening, question.begin)

    def search(self, question: Question) -> Searched:
        """The search, step by step."""
        with self._lock:
            self._check(question, ())
            opening = self.opening(question.text)
            if opening is None or "beam" not in self.supports:
                raise InputError("{where} does not search with a {key}", self.task.name, "beam")
            return self._search(question, opening, n=question.beam)

    def account(self, question: Question, name: str, index: tuple[int, ...], sequence: int | None) -> Account:
        """The sum behind a number; `sequence`: which of the passes, of several that have it."""
        with self._lock:
            outline = self.outline
            self._check(question, [name])
            wanted = {name, *outline[name].sources}
            for source in outline[name].sources:  # such as q and k of scores
                wanted |= set(outline[source].sources) if source in outline else set()
            place = name.rpartition(".")[0]
            wanted |= {f"{place}.{letter}_pre_rotary" for letter in "qk"} & outline.keys()
            found = self.answer(question, [one for one in wanted if one in outline])
            model = self._variant(question, self.opening(question.text))
            holders = [at for at, one in enumerate(found.passes) if name in one.entries]
            if not holders or (sequence is not None and sequence not in holders):
                raise InputError("nothing of the name '{key}' is computed there for this input", name)
            entries: dict[str, Entry] = {}
            for one in found.passes if isinstance(model, EncoderDecoder) else []:
                entries |= one.entries
            entries |= found.passes[holders[0] if sequence is None else sequence].entries
            off = {(head.attention, head.head) for head in question.changes.heads_off}
            return account(Numbers(model, entries, question.changes.temperature, off), name, index)

    def trace(
        self,
        question: Question,
        layers: Collection[int] | None = None,
        names: Collection[str] | None = None,
    ) -> Trace:
        """All of it as one object, for reports; of some layers, or only these entries, if that is chosen."""
        with self._lock:
            if names is None:
                names = list(self.outline) if layers is None else self._of_layers(frozenset(layers))
            found = self.answer(question, names)
            about = {"kind": self.model.config.kind, "parameters": self.parameters}
            fields = (*answer_of(found.prediction), found.passes)
            return Trace(self.task.name, question.text, *fields, (), self.naming.outputs, about)

    def changed(self, question: Question) -> Model:
        """The model with all that is changed in its weights, heads that are off too; it is not to be kept."""
        with self._lock:
            self._check(question, ())
            return self._variant(question, self.opening(question.text), silent=True)

    def opening(self, text: str) -> Opening | None:
        """Of an input; None where nothing is written."""
        return self.task.opening(self.task.input.parse(text)) if isinstance(self.task, Generates) else None

    def decoded(self, ids: Sequence[int], text: str | None = None) -> tuple[str, bool]:
        """What ids that were written for an input say, and whether the last ends it."""
        if not isinstance(self.task, Generates):
            return "", False
        return self.task.decode_ids(ids, None if text is None else self.task.input.parse(text))

    def stack_of(self, name: str) -> str:
        """Which kind of pass has an entry."""
        if not isinstance(self.model, EncoderDecoder):
            return "stack"
        return "encoder" if name.startswith(("encoder.", "source")) else "decoder"

    # ------------------------------------------------------------------ the model

    @cached_property
    def _size(self) -> int:
        """Numbers in memory."""
        return sum(x.numel() for x in self.model.parameters())

    @property
    def leading(self) -> int:
        """Tokens before the first patch of an image."""
        embed = self.model.source if isinstance(self.model, EncoderDecoder) else self.model.embed
        return embed.leading

    @cached_property
    def outline(self) -> Mapping[str, Entry]:
        """Every entry that the model has, in the order of the computation, as three tokens or an empty
        image make them."""
        model, device = self.model, next(self.model.parameters()).device
        embed = model.source if isinstance(model, EncoderDecoder) else model.embed
        given = embed.example(device)
        target = [torch.arange(3, device=device)[None]] if isinstance(model, EncoderDecoder) else []
        _, passes = self._record(Question(""), None, Choice(), lambda model: model(given, *target))
        return {name: entry for one in passes for name, entry in one.entries.items()}

    def _needed(self, names: Collection[str]) -> set[str]:
        return {needed for name in names for needed in recorded_for(name)} | {"head.logits"}

    def _of_layers(self, layers: frozenset[int]) -> list[str]:
        Choice(layers=layers).check(self.model)
        parts = [(name, name.split(".")) for name in self.outline]
        return [name for name, words in parts if "blocks" not in words or int(words[2]) in layers]

    # ------------------------------------------------------------------ how

    def _record(
        self, question: Question, opening: Opening | None, choice: Choice, run: Callable[[Model], T]
    ) -> tuple[T, tuple[Pass, ...]]:
        """What `run` gives of the changed model, and the passes through it."""
        model = self._variant(question, opening)
        recorder = Recorder(model, choice)
        with torch.inference_mode(), recorder.watching(question.changes.taps()):
            result = run(model)
        passes, _ = passes_of(recorder, self.naming)
        return result, tuple(with_derived(model, one) for one in passes)

    def _check(self, question: Question, names: Collection[str] | None) -> None:
        question.changes.check(self.model)
        for name in names or ():
            if name not in self.outline:
                raise unknown(InputError, "part", name, self.outline)
        if question.begin and "begin" not in self.supports:
            raise InputError("{where} writes no tokens, and so has no {key}", self.task.name, "begin")
        for token in question.begin:
            if not 0 <= token < len(self.naming.outputs):
                sentence = "there is no token {value}; ids are {limit}"
                raise InputError(sentence, token, f"0 to {len(self.naming.outputs) - 1}")
        if question.beam > 1 and "beam" not in self.supports:
            raise InputError("{where} does not search with a {key}", self.task.name, "beam")
        if question.length is not None and "max_length" not in self.supports:
            raise InputError("{where} writes no tokens, and so has no {key}", self.task.name, "length")

    def _variant(self, question: Question, opening: Opening | None, *, silent: bool = False) -> Model:
        changes = question.changes
        read = None if opening is None else len(opening[0] or opening[1])
        off = changes.heads_off if silent else frozenset()
        key = (changes.edits, changes.shuffle, off, read if changes.shuffle else None)
        made = lambda: variant(self.model, changes, self.tied, read, silent=silent)  # noqa: E731
        return _kept(self._variants, key, made, max(2, min(_KEPT, _VARIED // self._size)))

    def _search(self, question: Question, opening: Opening, n: int = 1) -> Searched:
        n = n if question.beam > 1 else 1
        return _kept(self._searched, (question, n), lambda: self._searched_for(question, opening, n))

    def _searched_for(self, question: Question, opening: Opening, n: int) -> Searched:
        steps: list[Step] = []

        def on_step(step: Step) -> None:
            progressed()  # so that a search is given up which nobody waits for
            steps.append(step)

        length = self._length(question, opening)
        guess = self._guess(opening)
        decoding = Decoding(question.beam, n=n, begin=question.begin, max_length=length, guess=guess)
        changes = question.changes
        # The fastest ways read weights, and know neither taps nor other positions than there are.
        tapped = changes.shuffle is not None or (changes.temperature != 1 and question.beam > 1)
        # An int8 W_O rounds all heads together: one without weights would still be felt by the others.
        tapped |= bool(changes.heads_off) and is_int8(self.model)
        model = self._variant(question, opening, silent=not tapped)
        with torch.inference_mode(), listen(on_step), ExitStack() as stack:
            if tapped:
                stack.enter_context(open_taps(model, changes.taps()))
            (prediction,) = self.task.predict(model, [self.task.input.parse(question.text)], decoding)
        return Searched(prediction, tuple(search_steps(steps, self.naming)), tuple(opening[1]))

    def _guess(self, opening: Opening) -> tuple[int, ...]:
        """How the last answer went on from here: a change often leaves it as it was, and what is typed may
        be what was foretold."""
        source, start = opening
        for searched in () if source else reversed(self._searched.values()):
            ids = (*searched.start, *searched.written)
            if len(ids) > len(start) and list(ids[: len(start)]) == start:
                return ids[len(start) :]
        return ()

    def _length(self, question: Question, opening: Opening) -> int | None:
        """Most tokens to write: of a text that goes on, so many as are seen with what it goes on from."""
        if isinstance(self.model, EncoderDecoder):
            return None if question.length is None else max(question.length, len(question.begin) + 1)
        room = max(1, self.task.config.context - len(opening[1]))
        if len(question.begin) > room:
            sentence = "there is room for {limit} tokens after this input, not for {value}"
            raise InputError(sentence, room, len(question.begin))
        return min(room, max(LENGTH if question.length is None else question.length, len(question.begin)))

    def _forced(
        self, question: Question, opening: Opening, written: Sequence[int], choice: Choice
    ) -> tuple[Pass, ...]:
        """One pass over the source and all that was written."""
        source, start = opening
        given = [self._ids(source)] if isinstance(self.model, EncoderDecoder) else []
        if given and not source:  # nothing was said
            return ()
        ids = self._ids([*start, *written])
        return self._record(question, opening, choice, lambda model: model(*given, ids))[1]

    def _ids(self, ids: Sequence[int]) -> Tensor:
        return torch.tensor([list(ids)], device=next(self.model.parameters()).device)

    def _traced(self, question: Question, choice: Choice) -> Answer:
        """Where nothing is written, a prediction is one pass, or one for each text or window."""
        given, decoding = self.task.input.parse(question.text), Decoding(batch_tokens=1)  # nothing is padded
        predict = lambda model: self.task.predict(model, [given], decoding)  # noqa: E731
        (prediction,), passes = self._record(question, None, choice, predict)
        return self._answer(question, prediction, passes)

    def _answer(
        self,
        question: Question,
        prediction: Prediction[Any],
        passes: tuple[Pass, ...],
        opening: Opening | None = None,
        written: tuple[int, ...] = (),
    ) -> Answer:
        shuffle, order = question.changes.shuffle, None
        if shuffle is not None and passes:
            length = len(passes[0].tokens)
            places = shuffle.order(length if opening is None else len(opening[0] or opening[1]))
            order = (*places, *range(len(places), length))
        return Answer(prediction, passes, None if opening is None else len(opening[1]), written, order)


def answer_of(prediction: Prediction[Any]) -> tuple[str, float | None, tuple[tuple[str, float], ...]]:
    """A prediction as traces keep it: text, score, and other answers with theirs."""
    others = tuple((value.plain(), score) for value, score in prediction.candidates if score is not None)
    return prediction.value.plain(), prediction.score, others


def shape_of(entry: Entry, tokens: int, memory: int) -> tuple[int, ...]:
    """The shape of an entry of the outline for so many tokens of its own, and of the encoder."""
    by_axis = {"query": tokens, "key": tokens, "memory": memory}
    return tuple(
        by_axis.get(axis.name, size) for axis, size in zip(entry.axes, entry.value.shape, strict=True)
    )


def _kept(some: OrderedDict[Hashable, T], key: Hashable, make: Callable[[], T], most: int = _KEPT) -> T:
    """What was made before for this key, or now; the oldest of many is forgotten."""
    if key not in some:
        some[key] = make()
        if len(some) > most:
            some.popitem(last=False)
    some.move_to_end(key)
    return some[key]
