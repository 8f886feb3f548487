"""What people give a model to look at, as the text that its task takes; and some things to begin with.

Nothing here opens what a text names: images come as the bytes of a file, and leave as a `data:` URL of the
model's own size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np

from regard import values
from regard.data.readers.images import as_url, decode, in_channels, read_image, scaled
from regard.data.readers.lines import Problem
from regard.data.readers.messages import Message, messages_as_text
from regard.errors import InputError
from regard.tasks.task import SENTENCES, InputSpec, Task
from regard.values import Value

_LONGEST = 120
"""Characters of an example."""
_DECODING = Lock()
"""Images of any size are decoded one at a time, whichever models they are for."""


@dataclass(frozen=True)
class Text:
    """One text."""

    text: str
    kind: Literal["text"] = "text"


@dataclass(frozen=True)
class Pair:
    """Two texts."""

    first: str
    second: str
    kind: Literal["pair"] = "pair"


@dataclass(frozen=True, repr=False)
class Image:
    """An image."""

    content: bytes
    """Of a file."""
    kind: Literal["image"] = "image"


@dataclass(frozen=True)
class Dialogue:
    """What was said so far."""

    turns: tuple[tuple[str, str], ...]
    """Role and content."""
    kind: Literal["dialogue"] = "dialogue"


Given = Text | Pair | Image | Dialogue


def text_of(given: Given, takes: InputSpec) -> str:
    """What the task takes. Raises: InputError when it takes another kind of input, or the image is none."""
    if given.kind != takes.kind:
        raise InputError("this model takes a {limit}, not a {value}", takes.kind, given.kind)
    if isinstance(given, Pair):
        return "\t".join(text.replace("\t", " ") for text in (given.first, given.second))
    if isinstance(given, Dialogue):
        return messages_as_text([Message(*turn) for turn in given.turns])
    if isinstance(given, Image):
        return _fitted(given.content, takes.shape)
    return given.text


def _fitted(content: bytes, shape: Sequence[int]) -> str:
    """The image in the size that the model takes."""
    channels, rows, columns = shape
    with _DECODING:
        found = decode(content)
        if isinstance(found, Problem):
            raise InputError("{value}; give an image as PNG, JPEG or the like", found)
        found = scaled(found, rows, columns, "bicubic")
    return as_url(np.ascontiguousarray(in_channels(found, channels)))


def examples(task: Task, inputs: Iterable[Value], n: int) -> list[dict[str, object]]:
    """Something to begin with: of what the task was given in its own data, or else of our own."""
    takes, found = task.input, list[dict[str, object]]()
    for value in inputs:
        if len(found) == n:
            break
        if (one := _example(takes, value)) is not None and one not in found:
            found.append(one)
    if found:
        return found
    own = [_example(takes, value) for value in _own(takes)]
    return [one for one in own if one is not None]


def _own(takes: InputSpec) -> list[Value]:
    pairs = [values.Pair(a, b) for a, b in zip(SENTENCES[1:], SENTENCES, strict=False)]
    own = {"pair": pairs, "text": map(values.Text, SENTENCES), "dialogue": map(values.Chat.parse, SENTENCES)}
    return list(own.get(takes.kind, ()))


def _example(takes: InputSpec, value: Value) -> dict[str, object] | None:
    """None for what is too long to be shown, and for kinds that pages do not ask for."""
    match value:
        case values.Image():
            path = value.source if isinstance(value.source, Path) else None
            return {"kind": "image", "data": as_url(value.pixels if path is None else read_image(str(path)))}
        case values.Chat(messages):
            turns = [turn._asdict() for turn in messages]
            short = sum(len(turn.content) for turn in messages) <= 8 * _LONGEST
            return {"kind": "dialogue", "turns": turns} if short else None
        case values.Pair(first, second):
            short = len(first) + len(second) + 1 < 8 * _LONGEST
            return {"kind": "pair", "first": first, "second": second} if short else None
        case values.Text(text) if takes.kind == "text":
            return _text_example(text.strip(), takes.hole)
        case _ if takes.columns:
            return {"kind": "text", "text": str(value)}
    return None


def _text_example(text: str, hole: str) -> dict[str, object] | None:
    if not text or len(text) > _LONGEST:
        return None
    if hole:
        words = text.split(" ")
        words[len(words) // 2] = hole
        text = " ".join(words)
    return {"kind": "text", "text": text}
