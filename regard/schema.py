"""Configurations as frozen dataclasses: from JSON, to JSON, changed by `--set`, described in a list.

The dataclasses stay plain (no base class, nothing of pydantic). What they and this file agree on:

- A union of dataclasses is told apart by a field `kind` with a literal type. Where a dictionary with that
  `kind` is asked for, the bare string does too: `"rotary"` means `{"kind": "rotary"}`.
- The base class of a registry stands for the union of its members.
- Every key must be known and every key without a default must be there. Values are strict: `"3"` and
  `true` are not integers; an integer is a float.
- A field is documented by the string literal under it or else by those sentences of the class's docstring
  that name it in backquotes:

      @dataclass(frozen=True)
      class Rotary:
          '''Queries and keys turned by an angle. `fraction` is how much of each head is turned.'''

          fraction: float = 1.0
          base: float = 10_000.0
          "The longest wavelength, in positions, over two pi."
          kind: Literal["rotary"] = "rotary"

Values of single fields are checked by pydantic. The walk over keys and kinds is here because pydantic lets
a plain dataclass neither forbid unknown keys nor name the nearest known one.
This file does not know any configuration.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import inspect
import itertools
import json
import math
import os
import re
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, overload

from regard.errors import ConfigError, RegardError, nearest, outside
from regard.registry import members_of

if typing.TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


@dataclass(frozen=True)
class Key:
    """One key of a configuration, as the reference page lists it."""

    path: str
    "As `--set` takes it: `train.lr`."
    type: str
    "What may stand there, in words: `integer`, `number or null`, `sinusoidal | rotary`."
    default: str
    "As JSON; empty when the key must be given."
    doc: str
    "What it means, on one line."
    when: str = ""
    "The choices under which the key exists: `model.position.kind=rotary`."


@overload
def parse(kind: type[T], data: object, where: str = "", prefix: str = "") -> T: ...
@overload
def parse(kind: object, data: object, where: str = "", prefix: str = "") -> Any: ...
def parse(kind: object, data: object, where: str = "", prefix: str = "") -> Any:
    """`data`, as JSON gives it, as an instance of `kind`: a dataclass or a union of them, or any other type.

    `where` is named first in every message (a file, say); `prefix` is the dotted path of `data` itself.
    Raises ConfigError: unknown, missing or wrong keys, and whatever the dataclass itself refuses.
    """
    try:
        return _parse(kind, data, prefix)
    except ConfigError as error:
        raise (ConfigError.of(error, where=where) if where else error) from error.__cause__
    except RecursionError as error:
        raise ConfigError("{where} is nested too deeply", where or "the configuration") from error


def dump(config: Any) -> Any:
    """The JSON of a configuration, `kind` first: what `parse` takes back. A dataclass gives a dictionary."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        fields = sorted(dataclasses.fields(config), key=lambda field: field.name != "kind")
        return {field.name: dump(getattr(config, field.name)) for field in fields if field.init}
    if isinstance(config, enum.Enum):
        return dump(config.value)
    if isinstance(config, Mapping):
        return {str(key): dump(value) for key, value in config.items()}
    if isinstance(config, os.PathLike):
        return os.fspath(config)
    if isinstance(config, list | tuple | set | frozenset):
        return [dump(value) for value in config]
    assert config is None or isinstance(config, bool | int | float | str), f"{config!r} has no JSON form"
    return config


def override(data: Mapping[str, Any], assignment: str) -> dict[str, Any]:
    """A copy of `data` with one key set: `train.lr=1e-3`. The value is JSON, or else a string.

    Missing dictionaries on the way are made; a bare kind on the way becomes a dictionary.
    Raises ConfigError.
    """
    path, equals, text = assignment.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise outside(ConfigError, "--set", f"'{assignment}'", "KEY=VALUE, as in train.lr=1e-3")
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    changed = dict(data)
    here = changed
    for depth, key in enumerate(keys[:-1], start=1):
        inner = here.get(key, {})
        if isinstance(inner, str):
            inner = {"kind": inner}
        if inner is None:
            inner = {}
        if not isinstance(inner, Mapping):
            sentence = "--set {where}: {key} is {value!r}, which has no keys"
            raise ConfigError(sentence, assignment, ".".join(keys[:depth]), inner)
        here[key] = dict(inner)
        here = here[key]
    here[keys[-1]] = value
    return changed


def describe(kind: object, prefix: str = "", when: str = "") -> list[Key]:
    """Every key of a configuration in the order of its fields; the keys of each choice follow the choice."""
    keys: list[Key] = []
    for owner in _dataclasses_of(kind):
        choice = when
        if len(_dataclasses_of(kind)) > 1:
            choice = ", ".join(part for part in (when, f"{_join(prefix, 'kind')}={_kind(owner)}") if part)
        hints, docs = _hints(owner), field_docs(owner)
        for field in dataclasses.fields(owner):
            if field.init and field.name != "kind":
                path, hint = _join(prefix, field.name), hints[field.name]
                doc = docs.get(field.name, "")
                keys.append(Key(path, _words(hint), _default(field), doc, choice))
                keys.extend(describe(hint, path, choice))
    return keys


# ----------------------------------------------------------------------------------------- reading


def _parse(kind: Any, data: object, path: str) -> Any:
    choices = _dataclasses_of(kind)
    if choices:
        rest = tuple(member for member in _members(kind) if member not in choices)
        by_kind = isinstance(data, str) and (str not in rest or data in map(_kind, choices))
        if isinstance(data, Mapping) or by_kind or not rest:
            return _instance(_choose(kind, choices, data, path), data, path)
        return _leaf(Union[rest], data, path, _words(kind))  # noqa: UP007  (made at run time)
    item = _item(kind)
    if item is not None:
        return _container(kind, item, data, path)
    return _leaf(kind, data, path, _words(kind))


def _choose(kind: Any, choices: Sequence[type], data: object, path: str) -> type:
    """The dataclass that `data` asks for by its `kind`."""
    if len(choices) == 1 and not (isinstance(data, str) and _kind(choices[0])):
        return choices[0]
    known = [_kind(choice) for choice in choices]
    listed = ", ".join(repr(name) for name in known)
    asked = data.get("kind") if isinstance(data, Mapping) else data
    if asked is None:
        raise ConfigError("{key} needs a kind, one of {limit}", _named(path), listed)
    for choice, name in zip(choices, known, strict=True):
        if asked == name:
            return choice
    hint = nearest(asked, known) if isinstance(asked, str) else None
    if hint is None and any(members_of(member) for member in _members(kind, registered=False)):
        hint = "install the package that brings it"
    raise _must_be(_join(path, "kind"), f"one of {listed}", asked, hint)


def _must_be(path: str, limit: str, data: object, remedy: str | None = None) -> ConfigError:
    return ConfigError("{key} must be {limit}, not {value}", _named(path), limit, _show(data), remedy=remedy)


def _named(path: str) -> str:
    return path or "the configuration"


def _instance(owner: type, data: object, path: str) -> Any:
    """An `owner` from a dictionary, or from its bare kind."""
    if isinstance(data, str) and data == _kind(owner):
        data = {"kind": data}
    if not isinstance(data, Mapping):
        raise _must_be(path, f"a dictionary of {owner.__name__}", data)
    hints, fields = _hints(owner), {field.name: field for field in dataclasses.fields(owner) if field.init}
    for key in data:
        if key not in fields:
            hint = nearest(key, fields) if isinstance(key, str) else None
            raise ConfigError("{key} is not a known key", _join(path, str(key)), remedy=hint)
    for name, field in fields.items():
        if name not in data and _default_of(field) is dataclasses.MISSING:
            raise ConfigError("{key} is missing; it must be {limit}", _join(path, name), _words(hints[name]))
    values = {str(key): _parse(hints[key], value, _join(path, key)) for key, value in data.items()}
    try:
        return owner(**values)
    except (RegardError, ValueError) as error:
        raise _refused(path, error) from error


def _refused(path: str, error: RegardError | ValueError) -> ConfigError:
    """What a dataclass itself says of its values, with the path of the one that it names."""
    if isinstance(error, RegardError) and error.args[0].startswith("{key} "):
        key, *parts = error.parts.values()
        return ConfigError(error.args[0], _join(path, str(key)), *parts, remedy=error.further)
    return ConfigError.of(error, key=_named(path))


def _container(kind: Any, item: Any, data: object, path: str) -> Any:
    """A dictionary, or a list or tuple of dataclasses."""
    origin = get_origin(kind)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(data, Mapping):
            raise _must_be(path, "a dictionary", data)
        return {str(key): _parse(item, value, _join(path, str(key))) for key, value in data.items()}
    if not isinstance(data, list | tuple):
        raise _must_be(path, "a list", data)
    items = [_parse(item, value, f"{path}[{index}]") for index, value in enumerate(data)]
    return items if origin is list else tuple(items)


def _leaf(kind: Any, data: object, path: str, words: str) -> Any:
    """A value without keys of ours, checked by pydantic as strictly as JSON allows."""
    if kind is Any or kind is object:
        return data
    if isinstance(data, str):  # pydantic would refuse the lone surrogates of a name that is not UTF-8
        for member in _members(kind):
            if member is str or _is_path(member):
                return member(data)
    try:
        # By way of JSON text: a strict reader of JSON takes a list for a tuple and a string for a path.
        return _adapter(kind).validate_json(json.dumps(data, allow_nan=False), strict=True)
    except (TypeError, ValueError) as error:  # pydantic's own, or no JSON: NaN, infinity, a Python object
        raise _must_be(path, words, data) from error


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


# ------------------------------------------------------------------------------- what a type says


def _members(kind: Any, registered: bool = True) -> tuple[Any, ...]:
    """The members of a union; of any other type, itself. `registered`: those of a registry for its base."""
    union = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    return tuple(one for member in union for one in members_of(member) or (member,)) if registered else union


def _dataclasses_of(kind: Any) -> tuple[type, ...]:
    return tuple(part for part in _members(kind) if isinstance(part, type) and dataclasses.is_dataclass(part))


def _item(kind: Any) -> Any:
    """The item type of a dictionary, or of a list of dataclasses; None for every other type."""
    arguments = [argument for argument in get_args(kind) if argument is not Ellipsis]
    origin = get_origin(kind)
    if not isinstance(origin, type) or not arguments or not issubclass(origin, Iterable):
        return None
    inside = arguments[-1]
    ours = issubclass(origin, Mapping) or _dataclasses_of(inside) or _item(inside) is not None
    return inside if ours else None


def _is_path(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, os.PathLike)


@functools.cache
def _hints(owner: type) -> dict[str, Any]:
    return typing.get_type_hints(owner, include_extras=True)


def _kind(owner: type) -> str:
    """Its `kind`; empty if it has none."""
    return str(getattr(owner, "kind", ""))


def _default_of(field: dataclasses.Field[Any]) -> Any:
    """MISSING where there is none."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _default(field: dataclasses.Field[Any]) -> str:
    """Of a key, as JSON; empty where it must be given."""
    value = _default_of(field)
    if value is dataclasses.MISSING:
        return ""
    value = dump(value)
    if isinstance(value, dict) and "kind" in value:
        value = value["kind"]
    return json.dumps(value, ensure_ascii=False)


_WORDS = {
    int: "an integer",
    float: "a finite number",
    str: "text",
    bool: "true or false",
    type(None): "null",
}


def _words(kind: Any) -> str:
    """A type in words that a user understands."""
    return " or ".join(dict.fromkeys(_each_in_words(kind)))


def _each_in_words(kind: Any) -> Iterator[str]:
    for member in _members(kind):
        origin, arguments = get_origin(member), get_args(member)
        if member in _dataclasses_of(kind):
            yield repr(_kind(member)) if _kind(member) else f"a dictionary of {member.__name__}"
        elif origin is typing.Literal:
            yield from (json.dumps(value) for value in arguments)
        elif origin is Annotated:
            yield from _each_in_words(arguments[0])
        elif isinstance(origin, type) and issubclass(origin, Mapping):
            yield "a dictionary"
        elif isinstance(origin, type) and issubclass(origin, Iterable):
            items = [_words(argument).removeprefix("an ").removeprefix("a ") for argument in arguments[:1]]
            yield f"a list of {items[0]} values"
        elif isinstance(member, type) and issubclass(member, enum.Enum):
            yield from (json.dumps(choice.value) for choice in member)
        elif _is_path(member):
            yield "a path"
        else:
            yield _WORDS.get(member, "any value")


def field_docs(owner: type) -> dict[str, str]:
    """What is said about each field, by its class or one it inherits from; see the top of this file."""
    docs: dict[str, str] = {}
    for base in reversed(owner.__mro__):
        if dataclasses.is_dataclass(base):
            sentences = re.split(r"(?<=\.)\s+", inspect.cleandoc(base.__doc__ or ""))
            for name in base.__annotations__:
                about = [" ".join(part.split()) for part in sentences if f"`{name}`" in part]
                docs.update({name: " ".join(about)} if about else {})
            docs.update(_literals_under_fields(base))
    return docs


@functools.cache
def _parsed(module: str) -> ast.AST:
    return ast.parse(inspect.getsource(sys.modules[module]))


def _literals_under_fields(owner: type) -> dict[str, str]:
    docs: dict[str, str] = {}
    try:
        here: Any = _parsed(owner.__module__)
        for name in owner.__qualname__.replace(".<locals>", "").split("."):
            inside = (node for node in ast.walk(here) if isinstance(node, ast.ClassDef | ast.FunctionDef))
            here = next(node for node in inside if node.name == name and node is not here)
    except (OSError, TypeError, KeyError, StopIteration):
        return docs  # made without a source file, as in an interpreter
    for field, below in itertools.pairwise(here.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            value = below.value if isinstance(below, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                docs[field.target.id] = " ".join(value.value.split())
    return docs


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _show(value: object) -> str:
    """A value in a message, as JSON writes it where it can and no longer than a line."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."
