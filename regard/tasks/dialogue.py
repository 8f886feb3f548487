"""Dialogues as one text: who speaks is said before each turn, and each turn has an end of its own.

    <s>user⏎Hello!</s>assistant⏎Good morning.</s>user⏎ …

The end token cannot be written in a text, so nobody can speak in another's name; and no token of its own is
needed for a role. What a model is not to say itself is marked in the stream of ids by adding the size of the
vocabulary, so that ids and marks travel through windows and files as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from regard.data.readers.messages import Message, messages_as_text, read_messages
from regard.data.rows import Row
from regard.data.tokenizer import Tokenizer
from regard.errors import DataError
from regard.tasks.parts import chunks

_ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class Turns:
    """The column holds dialogues: a JSON list of messages with role and content."""

    learn: Literal["assistant", "all"] = "assistant"
    """Whose turns the model learns to write; those of others are only read."""
    kind: Literal["turns"] = "turns"


def heading(role: str) -> str:
    """What stands before a turn."""
    return f"{role}\n"


def dialogue_of(row: Row) -> tuple[Message, ...]:
    """Raises: DataError."""
    return read_messages(row.values[0], row.where)


def is_dialogue(text: str) -> bool:
    """Whether it is one and not just any text."""
    if not text.startswith('[{"'):
        return False
    try:
        return bool(read_messages(text, ""))
    except DataError:
        return False


def texts_of(rows: Iterable[Row]) -> Iterator[str]:
    """What a tokenizer learns from: the turns and their headings."""
    for row in rows:
        for turn in dialogue_of(row):
            yield heading(turn.role)
            yield turn.content


def said(rows: Iterable[Row], turns: Turns) -> Iterator[str]:
    """The contents of the turns that are learned."""
    for row in rows:
        yield from (turn.content for turn in dialogue_of(row) if turns.learn in (turn.role, "all"))


def turn_ids(dialogue: Sequence[Message], tokenizer: Tokenizer, turns: Turns | None = None) -> list[int]:
    """The ids of some turns, without `<s>`; marked where they are not to be learned, if `turns` says so."""
    texts = [text for turn in dialogue for text in (heading(turn.role), turn.content)]
    encoded = tokenizer.encode_batch(texts)
    ids: list[int] = []
    for place, turn in enumerate(dialogue):
        head, content = encoded[2 * place], [*encoded[2 * place + 1], tokenizer.eos]
        if turns is not None:
            head = [token + tokenizer.size for token in head]
            if turns.learn not in (turn.role, "all"):
                content = [token + tokenizer.size for token in content]
        ids += head + content
    return ids


def dialogue_stream(rows: Iterable[Row], tokenizer: Tokenizer, turns: Turns) -> Iterator[list[int]]:
    """The marked ids of all dialogues, some at a time."""
    for some in chunks(rows, _ROWS_AT_ONCE):
        ids = (turn_ids(dialogue_of(row), tokenizer, turns) for row in some)
        yield list(chain.from_iterable([tokenizer.bos, *dialogue] for dialogue in ids))


def asked_of(row: Row) -> str:
    """A dialogue up to the last turn of the assistant, which is what a model is asked for."""
    dialogue = list(dialogue_of(row))
    while len(dialogue) > 1 and dialogue[-1].role == "assistant":
        dialogue.pop()
    return messages_as_text(dialogue)


def prompt_ids(dialogue: Sequence[Message], tokenizer: Tokenizer) -> list[int]:
    """The ids after which the assistant's turn comes."""
    return [tokenizer.bos, *turn_ids(dialogue, tokenizer), *tokenizer.encode(heading("assistant"))]
