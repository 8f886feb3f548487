"""A dialogue: messages with roles, in the form that chat data and chat servers have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

from regard.errors import InputError
from regard.values import json_schema as js
from regard.values.display import CSS_TEXT, escaped, line
from regard.values.json_schema import Schema, check, wrong
from regard.values.value import VALUES, Value, require_whole

ROLES = ("system", "user", "assistant")


class Message(NamedTuple):
    """One turn."""

    role: str
    content: str


@VALUES.register
@dataclass(frozen=True)
class Chat(Value):
    """A dialogue: at least one message; a system's only in the first place."""

    messages: tuple[Message, ...]
    kind: ClassVar[str] = "chat"
    accepts: ClassVar[str] = 'a user\'s message, or a list [{"role": "user", "content": "…"}, …]'
    properties: ClassVar[dict[str, Schema]] = {
        "messages": js.array(
            js.record(
                {
                    "role": js.string("Who speaks.", enum=[*ROLES]),
                    "content": js.string("What is said; not blank, without NUL."),
                }
            ),
            "The messages, oldest first; only the first may be the system's.",
            minItems=1,
            maxItems=10_000,
        )
    }

    def __post_init__(self) -> None:
        for place, (role, content) in enumerate(self.messages):
            require_whole(self.kind, role, content)
            where = f"message {place + 1} of a chat"
            if role not in ROLES or (role == "system" and place):
                raise wrong(f"the role of {where}", role, " or ".join(ROLES[place > 0 :]))
            if not content.strip() or "\0" in content:
                raise InputError("{where} {value}; give a text", where, "is empty or holds a NUL byte")
        if not self.messages:
            raise InputError("a chat has no messages; give {limit}", self.accepts)

    @classmethod
    def from_properties(cls, data: dict[str, Any]) -> Self:
        return cls(tuple(Message(**message) for message in data["messages"]))

    @classmethod
    def from_word(cls, word: str) -> Self:
        if word.lstrip().startswith(('[{"', '{"kind"')):
            return super().from_word(word)
        return cls((Message("user", word),))

    @classmethod
    def from_object(cls, given: object) -> Self:
        check(given, cls.properties["messages"], cls.kind)
        assert isinstance(given, Iterable)
        return cls(tuple(Message(**message) for message in given))

    def __str__(self) -> str:
        return " | ".join(f"{role}: {line(content)}" for role, content in self.messages)

    def html(self) -> str:
        return "".join(
            f'<p style="{CSS_TEXT}"><b>{role}</b> {escaped(content)}</p>' for role, content in self.messages
        )
