"""The part of JSON Schema (draft 2020-12) that values are described in, and the check of data by it.

Data are checked by the very schema that documents them, so the two cannot disagree. It is stricter than the
draft in two points: `1.0` is no integer, and a string holds no half of a surrogate pair. This file does not
know the values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from regard.errors import ConfigError, InputError, unknown

Schema = Mapping[str, Any]

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": Mapping,
    "array": (list, tuple),
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
_WORDS = {"object": "an object", "array": "an array", "string": "a text", "integer": "an integer"}
_WORDS |= {"number": "a number", "boolean": "true or false", "null": "null"}
_LIMITS = {"minLength": "maxLength", "minItems": "maxItems", "minimum": "maximum"}
_KEYWORDS = {"$schema", "title", "description", "default", "contentEncoding", "contentMediaType"}
_KEYWORDS |= {"type", "const", "enum", "anyOf", "properties", "required", "additionalProperties", "items"}
_KEYWORDS |= set(_LIMITS) | set(_LIMITS.values())
_LONGEST = 60


def string(description: str = "", **more: Any) -> Schema:
    """A text."""
    return {"type": "string", "description": description, **more}


def number(description: str = "", **more: Any) -> Schema:
    """A finite number."""
    return {"type": "number", "description": description, **more}


def integer(description: str = "", **more: Any) -> Schema:
    """An integer."""
    return {"type": "integer", "description": description, **more}


def array(items: Schema, description: str = "", **more: Any) -> Schema:
    """A list of what is alike."""
    return {"type": "array", "items": items, "description": description, **more}


def file(media: str, description: str = "") -> Schema:
    """A file as a `data:` URL."""
    return string(description, contentEncoding="base64", contentMediaType=media)


def nullable(schema: Schema) -> Schema:
    """That or null, which stands for what is left out."""
    return {"description": schema["description"], "anyOf": [schema, {"type": "null"}], "default": None}


def record(properties: Mapping[str, Schema], description: str = "", **more: Any) -> Schema:
    """An object; what has a default may be left out."""
    required = [key for key, inner in properties.items() if "default" not in inner]
    schema = {
        "type": "object",
        "description": description,
        "properties": {**properties},
        "required": required,
    }
    return {**schema, "additionalProperties": False, **more}


def short(value: object) -> str:
    """`value` for a sentence, as much of it as fits there."""
    if isinstance(value, Mapping) or hasattr(value, "__array__"):
        return f"a {type(value).__name__}"
    text = repr(value[:_LONGEST] if isinstance(value, str | bytes | list | tuple) else value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def is_whole(text: str) -> bool:
    """Whether a text holds no half of a surrogate pair, as no text in UTF-8 does."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def wrong(where: str, value: object, limit: str) -> InputError:
    """To raise where `value` stands at that place and must be something else."""
    return InputError("{where} is {value}; it must be {limit}", where, short(value), limit)


def check(data: object, schema: Schema, where: str) -> None:
    """Raise InputError that names the place, `boxes.boxes[3].score`, unless `data` are as `schema` has it."""
    branches = schema.get("anyOf", (schema,))
    for branch in branches:
        if _is(data, branch):
            return _check(data, branch, where)
    raise wrong(where, data, " or ".join(_WORDS[branch["type"]] for branch in branches))


def _is(data: object, schema: Schema) -> bool:
    kind = schema.get("type")  # there is none beside a constant
    return kind is None or (isinstance(data, _TYPES[kind]) and isinstance(data, bool) == (kind == "boolean"))


def _check(data: Any, schema: Schema, where: str) -> None:
    known = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if known is not None and data not in known:
        raise wrong(where, data, " or ".join(map(repr, known)))
    if isinstance(data, str) and not is_whole(data):
        raise wrong(where, data, "a text without half a character (a lone surrogate)")
    if isinstance(data, int | float) and not math.isfinite(data):
        raise wrong(where, data, "a finite number")
    for least, most in _LIMITS.items():
        if least in schema or most in schema:
            _check_limits(data, schema.get(least, -math.inf), schema.get(most, math.inf), where)
    if isinstance(data, list | tuple):
        for place, item in enumerate(data):
            check(item, schema["items"], f"{where}[{place}]")
    elif isinstance(data, Mapping):
        _check_object(data, schema, where)


def _check_limits(data: Any, least: float, most: float, where: str) -> None:
    is_number = isinstance(data, int | float)
    size = data if is_number else len(data)
    if least <= size <= most:
        return
    limit = f"at least {least:,}" if size < least else f"at most {most:,}"
    if is_number:
        raise wrong(where, data, limit)
    units = "characters" if isinstance(data, str) else "items"
    raise InputError("{where} has {value:,} {units}; it must have {limit}", where, size, units, limit)


def _check_object(data: Mapping[str, Any], schema: Schema, where: str) -> None:
    properties = schema["properties"]
    for key in data:
        if key not in properties:
            raise unknown(InputError, f"key of {where}", str(key), properties)
    for key, inner in properties.items():
        if key in data:
            check(data[key], inner, f"{where}.{key}")
        elif key in schema["required"]:
            raise InputError("{where} lacks the key '{key}'; give it", where, key)


def check_schema(schema: Schema, where: str) -> None:
    """Raise ConfigError for what `check` does not know, and for a property that nobody described."""
    if further := set(schema) - _KEYWORDS:
        raise unknown(ConfigError, f"keyword for the schema of {where}", min(further), sorted(_KEYWORDS))
    kind, branches = schema.get("type"), schema.get("anyOf", [])
    if not (branches or "const" in schema or kind in _TYPES) or (kind == "array" and "items" not in schema):
        raise ConfigError("the schema of {where} has no {key} that is known", where, "type")
    properties = schema.get("properties", {})
    for name, inner in properties.items():
        if "const" not in inner and not inner.get("description"):
            raise ConfigError("the schema of {where} has no {key} of '{value}'", where, "description", name)
    for inner in (*branches, *properties.values(), *([schema["items"]] if "items" in schema else [])):
        check_schema(inner, where)
