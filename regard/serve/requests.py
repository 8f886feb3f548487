"""What the page may ask, as types: whatever else arrives is refused before anything is computed.

Numbers and texts are strict (`"1"` is no number), unknown keys are errors, and everything that costs memory
or time has a limit here. Of a long list the first mistake ends it, so that a body is told of one and not of
thousands.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from regard.errors import InputError
from regard.insight.ablation import Head
from regard.insight.changes import Changes, Edit, Shuffle
from regard.looking.explorer import Question
from regard.looking.inputs import dialogue_text, image_text, pair_text
from regard.serve.bodies import LARGEST_IMAGE

LONGEST_TEXT = 20_000
"""Characters."""
MOST_NUMBERS = 2**20
"""In one answer."""
MOST_LISTED = 2**18
"""In one answer as lists, which are written slowly, and all at once."""
MOST_REPORTED = 2**22
"""In a trace to take away."""


def _whole_text(text: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("holds half a character (a lone surrogate)")
    return text


Words = Annotated[str, Field(strict=True, max_length=LONGEST_TEXT), AfterValidator(_whole_text)]
Name = Annotated[str, Field(strict=True, max_length=200), AfterValidator(_whole_text)]
Count = Annotated[int, Field(strict=True, ge=0, le=2**31)]
Index = Annotated[list[Count], Field(max_length=4)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Which = Literal["original", "changed"]
Language = Literal["en", "zh"]


class Asked(BaseModel):
    """What all requests have alike."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TextInput(Asked):
    """One text."""

    kind: Literal["text"]
    text: Words

    def as_text(self, shape: Sequence[int]) -> str:
        """What the task takes; `shape`: channels, rows and columns that images are brought to."""
        return self.text


class PairInput(Asked):
    """Two texts, such as a question and its context."""

    kind: Literal["pair"]
    first: Words
    second: Words

    def as_text(self, shape: Sequence[int]) -> str:
        return pair_text(self.first, self.second)


class ImageInput(Asked):
    """An image's file as a `data:` address."""

    kind: Literal["image"]
    data: Annotated[str, Field(strict=True, max_length=LARGEST_IMAGE)]

    def as_text(self, shape: Sequence[int]) -> str:
        head, comma, text = self.data.partition(",")
        if not comma or not head.startswith("data:image/") or not head.endswith(";base64"):
            raise InputError("{key} is no image; give it as {limit}", "data", "data:image/png;base64,…")
        try:
            content = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise InputError("what follows 'base64,' of {key} is not base64", "data") from error
        return image_text(content, shape)


class Turn(Asked):
    """What somebody said."""

    role: Literal["system", "user", "assistant"]
    content: Words


class DialogueInput(Asked):
    """What was said so far."""

    kind: Literal["dialogue"]
    turns: Annotated[list[Turn], Field(fail_fast=True, min_length=1, max_length=100)]

    def as_text(self, shape: Sequence[int]) -> str:
        return dialogue_text((turn.role, turn.content) for turn in self.turns)


Input = Annotated[TextInput | PairInput | ImageInput | DialogueInput, Field(discriminator="kind")]


class EditAsked(Asked):
    """One number of a weight, and what it is to be."""

    weight: Name
    index: Index
    value: Annotated[Number, Field(ge=-1e6, le=1e6)]


HeadOff = tuple[Literal["stack", "encoder", "decoder"], Count, Literal["attention", "cross"], Count]


class State(Asked):
    """What is looked at; small enough for a link."""

    model: Name
    input: Input
    heads_off: Annotated[list[HeadOff], Field(fail_fast=True, max_length=4096)] = []
    temperature: Annotated[Number, Field(ge=0.05, le=20)] = 1.0
    edits: Annotated[list[EditAsked], Field(fail_fast=True, max_length=64)] = []
    shuffle: Annotated[int, Field(strict=True, ge=0, lt=2**32)] | None = None
    beam: Annotated[int, Field(strict=True, ge=1, le=16)] = 1
    length: Annotated[int, Field(strict=True, ge=1, le=512)] | None = None
    forced: Annotated[list[Count], Field(fail_fast=True, max_length=512)] = []

    def changes(self, leading: int) -> Changes:
        """`leading`: tokens before the first patch of an image, which keep their positions."""
        return Changes(
            frozenset(
                Head(f"{stack}.blocks.{layer}.{kind}", head) for stack, layer, kind, head in self.heads_off
            ),
            self.temperature,
            tuple(Edit(edit.weight, tuple(edit.index), edit.value) for edit in self.edits),
            None if self.shuffle is None else Shuffle(self.shuffle, leading),
        )

    def question(self, text: str, leading: int) -> Question:
        return Question(text, self.beam, self.length, tuple(self.forced), self.changes(leading))


class Part(Asked):
    """Numbers of a part, whole or with some axes fixed."""

    name: Name
    at: Annotated[dict[Name, Count], Field(max_length=4)] = {}


class TraceAsked(Asked):
    """Which numbers of a computation, and how they are written."""

    state: State
    parts: Annotated[list[Name | Part], Field(fail_fast=True, max_length=64)] = []
    structure: Annotated[bool, Field(strict=True)] = True
    digits: Annotated[int, Field(strict=True, ge=1, le=9)] = 4
    encoding: Literal["lists", "base64"] = "lists"


class NumberAsked(Asked):
    """Which number's sum."""

    state: State
    part: Name
    index: Index
    sequence: Count | None = None
    which: Which = "original"


class AnalysisAsked(Asked):
    state: State
    name: Name
    lang: Language = "en"
    other: Words | None = None
    number: Annotated[int, Field(strict=True, ge=0, le=100_000)] = 0


class ReportAsked(Asked):
    """A trace to take away."""

    state: State
    lang: Language = "en"
    which: Which = "original"
    layers: Annotated[list[Count], Field(fail_fast=True, max_length=1000)] | None = None


Change = Annotated[bool, Field(strict=True)] | Annotated[int, Field(strict=True)] | Number | Words


class CourseAsked(Asked):
    """A worked example, with what was changed in it."""

    lang: Language = "en"
    changes: Annotated[dict[Name, Change], Field(max_length=32)] = {}
