"""Dialogues: what was said in turns, and the text that carries them through a `Row`, whose values are text.

A row's dialogue is a JSON list of objects with `role` and `content`, the form that chat data are kept in. It
does not know tokens, nor how a model is shown who speaks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from regard.data.readers.lines import Problem, json_in
from regard.errors import DataError
from regard.values.chat import ROLES, Message

__all__ = ["ROLES", "Message", "messages_as_text", "messages_in", "read_messages"]

_MOST = 10_000


def messages_in(value: object) -> tuple[Message, ...] | Problem:
    """The turns that a decoded JSON value holds; at least one, and a system's only in the first place."""
    if isinstance(value, Problem):
        return value
    if not isinstance(value, list) or not value:
        return Problem("bad dialogue", "not a list of messages")
    if len(value) > _MOST:
        return Problem("bad dialogue", f"more than {_MOST:,} messages")
    turns: list[Message] = []
    for place, item in enumerate(value):
        role, content = (item.get("role"), item.get("content")) if isinstance(item, dict) else (None, None)
        if role not in ROLES or not isinstance(content, str):
            return Problem(
                "bad dialogue", f"message {place + 1} needs a content and one of the roles {', '.join(ROLES)}"
            )
        if role == "system" and place:
            return Problem("bad dialogue", f"message {place + 1} is the system's, but not the first")
        if not content.strip() or "\0" in content:
            return Problem("bad dialogue", f"message {place + 1} is empty or holds a NUL byte")
        turns.append(Message(role, content))
    return tuple(turns)


def messages_as_text(turns: Sequence[Message]) -> str:
    """What a row holds."""
    return json.dumps([turn._asdict() for turn in turns], ensure_ascii=False)


def read_messages(value: str, where: str) -> tuple[Message, ...]:
    """The turns that a row holds. Raises: DataError naming the place."""
    found = messages_in(json_in(value, "bad dialogue"))
    if isinstance(found, Problem):
        sentence = "{where}: {value}; give {limit}"
        raise DataError(sentence, where, found, '[{"role": "user", "content": "…"}, …]')
    return found
