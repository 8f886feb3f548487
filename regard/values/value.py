"""What goes in and comes out: Python objects at the edges, one frozen dataclass a kind, and nothing else.

A kind is a file of this folder, or a class of somebody else's that joins by `VALUES.register` or the
entry-point group `regard.values`. It states its JSON as `properties`, and in `accepts` what `parse` takes.

    parse(given)     whatever a person has: a word of the command line, a path, bytes, an array, an object
    from_json(data)  what `to_json` writes and `schema` describes. No text in it is ever opened as a path, so
                     it is what a server reads with
    str(value)       a line on a terminal
    _repr_html_      for notebooks and pages

This file does not know the kinds, nor tasks.
"""

from __future__ import annotations

import dataclasses
import os
from abc import ABC
from collections.abc import Mapping
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from regard.errors import ConfigError, InputError, RegardError, unknown
from regard.registry import Registry
from regard.strict_json import Limit, loads
from regard.values.display import escaped
from regard.values.files import read_file
from regard.values.json_schema import Schema, check, check_schema, is_whole, record, short, wrong

JSON = dict[str, Any]
"""An object of JSON."""
WORD = Limit(64 << 20, 1 << 21)
"""Of a value written as JSON on a command line or in a file."""


class Value(ABC):
    """See the module's docstring. A kind overrides those of `from_…` that mean something for it."""

    kind: ClassVar[str]
    """The name in JSON and in the registry."""
    accepts: ClassVar[str]
    """What `parse` takes, as the end of a sentence."""
    properties: ClassVar[Mapping[str, Schema]]
    """What its JSON holds besides `kind`: JSON Schema by key. Those with a `default` may be left out."""

    @classmethod
    def parse(cls, given: object) -> Self:
        """The value that `given` means. Raises: InputError, also DataError for a file that is broken."""
        if isinstance(given, cls):
            return given
        if isinstance(given, Mapping):
            return cls.from_json(given)
        if isinstance(given, str):
            return cls.from_word(given)
        if isinstance(given, bytes | bytearray | memoryview):
            return cls.from_bytes(bytes(given))
        if isinstance(given, os.PathLike):
            return cls.from_path(Path(given))
        return cls.from_object(given)

    @classmethod
    def schema(cls) -> JSON:
        """JSON Schema, draft 2020-12, of `to_json`."""
        properties = {"kind": {"const": cls.kind}, **cls.properties}
        about = " ".join((cls.__doc__ or "").split("\n\n")[0].split())
        draft = "https://json-schema.org/draft/2020-12/schema"
        return {"$schema": draft, "title": cls.__name__, **record(properties, about)}

    def to_json(self) -> JSON:
        """As `schema` has it: `from_json(x.to_json()) == x`."""
        return {"kind": self.kind, **self.to_properties()}

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Raises: InputError naming what in `data` is not as the schema has it."""
        check(data, cls.schema(), cls.kind)
        assert isinstance(data, Mapping)
        return cls.from_properties({key: inner for key, inner in data.items() if key != "kind"})

    def to_properties(self) -> JSON:
        return {key: _as_json(getattr(self, key)) for key in self.properties}

    @classmethod
    def from_properties(cls, data: JSON) -> Self:
        """From JSON that the schema allows."""
        return cls(**data)

    @classmethod
    def from_word(cls, word: str) -> Self:
        """From a word of a command line; here, JSON."""
        try:
            data = loads(word, WORD)
        except ValueError as error:
            raise refused(cls, word, f" ({error})") from error
        if isinstance(data, str):
            raise refused(cls, word)
        return cls.parse(data)

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """From a file's content; here, UTF-8."""
        try:
            return cls.from_word(content.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise refused(cls, content, " (it is not UTF-8 text)") from error

    @classmethod
    def from_path(cls, path: Path) -> Self:
        return cls.from_bytes(read_file(path, WORD.bytes))

    @classmethod
    def from_object(cls, given: object) -> Self:
        """From anything else: a list, an array, an object of another library."""
        raise refused(cls, given)

    def plain(self) -> str:
        """All of it as text, where it is one: with line breaks and whatever a terminal could not show."""
        return str(self)

    def html(self) -> str:
        """HTML of the value; what others wrote in it is `escaped`. May raise what looking into it raises."""
        return f"<span>{escaped(str(self))}</span>"

    def _repr_html_(self) -> str:
        try:
            return self.html()
        except RegardError as error:  # a notebook shows the sentence instead of a traceback
            return f"<em>{escaped(str(error))}</em>"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"

    def key(self) -> tuple[Any, ...]:
        """What values are equal by, where fields are arrays."""
        assert dataclasses.is_dataclass(self)
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and _frozen(self.key()) == _frozen(other.key())

    def __hash__(self) -> int:
        return hash(_frozen(self.key()))


def check_value(kind: type[Value]) -> None:
    """Raise ConfigError unless a class is complete: a frozen dataclass that describes its JSON and itself."""
    name = getattr(kind, "__name__", str(kind))
    if not (isinstance(kind, type) and issubclass(kind, Value)):
        raise ConfigError("{where} is no {limit}; derive it from that", name, "regard.values.Value")
    parameters = getattr(kind, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen or "__dataclass_params__" not in vars(kind):
        raise ConfigError("the value {where} is no {limit}", name, "frozen dataclass")
    for key in ("accepts", "properties", "__doc__"):
        member = getattr(kind, key, None)
        if not member or (key == "__doc__" and member.startswith(f"{name}(")):  # which dataclasses make up
            raise ConfigError("the value {where} has no {key}", name, key)
    if kind.__str__ is object.__str__:
        raise ConfigError("the value {where} has no {key}, which a terminal shows", name, "__str__")
    check_schema(kind.schema(), kind.kind)


VALUES: Registry[type[Value]] = Registry(
    "values",
    *(f"regard.values.{module.name}" for module in iter_modules([str(Path(__file__).parent)])),
    check=check_value,
)
"""The kinds, by name: those in the files of this folder, and those that installed packages add."""


def from_json(data: object) -> Value:
    """A value of whichever kind its JSON says. Nothing that stands in `data` is opened as a path.

    Raises: InputError.
    """
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(kind, str):
        raise wrong("a value", data, 'an object with its kind, such as {"kind": "text", "text": "…"}')
    if kind not in VALUES:
        raise unknown(InputError, "kind of value", kind, VALUES)
    return VALUES[kind].from_json(data)


# --------------------------------------------------------------------------------- for those who write a kind


def refused(kind: type[Value], given: object, why: str = "") -> InputError:
    """To raise where nothing can be made of what was given."""
    sentence = "{where} cannot be made of {value}{why}; give {limit}"
    return InputError(sentence, kind.kind, short(given), why, kind.accepts)


def require_whole(where: str, *texts: str) -> None:
    """Raise InputError for what is no text, or not one in UTF-8."""
    for text in texts:
        if not isinstance(text, str) or not is_whole(text):
            raise wrong(where, text, "a text without half a character (a lone surrogate)")


def array_of(kind: type[Value], given: Any) -> NDArray[Any]:
    """An array of numbers: of lists, arrays of any library, tensors on the host."""
    try:
        array = np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors elsewhere
        raise refused(kind, given) from error
    if array.dtype.kind not in "buif":
        raise refused(kind, given)
    return array


def _as_json(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if hasattr(value, "_asdict"):
        return value._asdict()
    return [_as_json(item) for item in value] if isinstance(value, tuple) else value


def _frozen(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        (part.dtype.str, part.shape, part.tobytes()) if isinstance(part, np.ndarray) else part for part in key
    )
