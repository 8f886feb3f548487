"""JSON as others write it, read within limits; and JSON for others, without what JSON does not have.

Python's reader takes numbers of thousands of digits, infinities, and any number of values for a few bytes
each. Here a text is measured before memory is taken for what it says: its bytes, and the marks that make
values of it. What is refused is named by its path: `rope_scaling.factor is 1e400`.

Numbers that JSON does not have are written as the texts "NaN", "Infinity" and "-Infinity". This file does
not know what the values mean.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regard.errors import RegardError, damaged, reading, too_many_bytes

_MOST_DIGITS = 100  # of an integer; some configurations hold int(1e30)
_DEEPEST = 100
_LONGEST_PATH = 200  # characters of it that a message shows


@dataclass(frozen=True)
class Limit:
    """How much a JSON text may hold."""

    bytes: int
    values: int
    """About as many; a dictionary counts as several, by the memory that it takes."""


CONFIGURATION = Limit(8 << 20, 1 << 20)
"""Of a model, a task, an index: the names of ten thousand classes take a tenth of it."""
HEADER = Limit(16 << 20, 1 << 21)
"""Of a file of tensors: a hundred thousand of them."""
VOCABULARY = Limit(64 << 20, 3 << 20)
"""Of a tokenizer: half a million pieces and as many merges."""


def loads(text: str | bytes, limit: Limit = CONFIGURATION) -> Any:
    """The value that a JSON text holds. Raises: ValueError with what is wrong, as the end of a sentence."""
    check_limit(text, limit)
    refused: list[str] = []

    def foreign(digits: str) -> _Refused:
        refused.append(digits)
        return _Refused(digits)

    def whole(digits: str) -> Any:
        return int(digits) if len(digits) <= _MOST_DIGITS else foreign(digits)

    def number(digits: str) -> Any:
        value = float(digits)
        return value if math.isfinite(value) else foreign(digits)

    try:
        value = json.loads(text, parse_int=whole, parse_float=number, parse_constant=foreign)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8 text") from error
    _check_depth(value)
    if refused and (what := _refused_in(value)):  # not where a key of the same name came later
        raise ValueError(what)
    return value


def check_limit(text: str | bytes, limit: Limit) -> None:
    """Measure a JSON text before anything is made of it. Raises: ValueError, as `loads`."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > limit.bytes:
        raise ValueError(f"it is larger than {limit.bytes >> 20} MiB, too large to be right")
    # About how many values: none takes more than 64 bytes a unit of this.
    if 3 * raw.count(b"{") + 2 * raw.count(b":") + raw.count(b"[") + raw.count(b",") > limit.values:
        raise ValueError(f"it holds more than about {limit.values:,} values, too many to be right")


def read_text(path: Path, most: int, error: type[RegardError], shown: Path | None = None) -> str:
    """A text file in UTF-8 of at most so many bytes. Raises `error`, which names `shown`."""
    shown = shown or path
    with reading(error, shown), path.open("rb") as file:  # what grows while it is read is not read on
        raw = file.read(most + 1) if path.stat().st_size <= most else None
    if raw is None or len(raw) > most:
        raise too_many_bytes(error, shown, most, "no such file has so many")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise damaged(error, shown, "it is not UTF-8 text") from problem


def read_object(
    path: Path, error: type[RegardError], shown: Path | None = None, limit: Limit = CONFIGURATION
) -> dict[str, Any]:
    """The JSON object that a file holds. Raises `error`, which names `shown`."""
    shown = shown or path
    try:
        value = loads(read_text(path, limit.bytes, error, shown), limit)
    except ValueError as problem:
        raise damaged(error, shown, f"it is not JSON that can be used ({problem})") from problem
    if not isinstance(value, dict):
        raise damaged(error, shown, "it must hold a JSON object")
    return value


def dumps(value: Any, *, indent: int | None = None, separators: tuple[str, str] | None = None) -> str:
    """JSON text for others, with names for numbers that JSON does not have."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators)
    except ValueError:
        return json.dumps(plain(value), ensure_ascii=False, indent=indent, separators=separators)


def _name(number: float) -> str:
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def plain(value: Any, instead: Callable[[float], Any] = _name) -> Any:
    """`value` with names for numbers that JSON does not have, or what else is to stand `instead` of them."""
    if isinstance(value, Mapping):
        return {key: plain(inner, instead) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, instead) for inner in value]
    return instead(value) if isinstance(value, float) and not math.isfinite(value) else value


# --------------------------------------------------------------------------------------------- inside


class _Refused(str):
    """Stands where a number stood that cannot be taken, until its path is known."""

    __slots__ = ()


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level := [x for x in level if isinstance(x, dict | list)]:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
        level = [inner for x in level for inner in (x.values() if isinstance(x, dict) else x)]


def _refused_in(value: Any) -> str:
    """Where the first number is that was refused, and what is wrong with it; empty where there is none."""
    open_ = [("", value)]
    while open_:
        path, here = open_.pop()
        if isinstance(here, _Refused):
            if here.lstrip("-").isdecimal():
                what = f"an integer of {len(here):,} digits"
            else:
                what = f"{here[:40]}, which is no finite number"
            return f"{path[:_LONGEST_PATH] or 'it'} is {what}"
        if isinstance(here, dict | list):
            inside = here.items() if isinstance(here, dict) else enumerate(here)
            open_ += [(f"{path}.{key}" if path else str(key), x) for key, x in reversed(list(inside))]
    return ""
