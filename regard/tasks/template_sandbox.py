"""Where a foreign Jinja template runs: it reaches for nothing, and takes bounded time and memory.

Jinja's sandbox keeps a template from Python's objects; how long it runs and how much it makes is not its
business. Here each run has `_SECONDS` and may make `_ROOM` characters and elements in all, intermediate ones
included: what an operation makes at most is estimated from its arguments before it is done, what it made is
counted after. This file knows no dialogues.
"""

from __future__ import annotations

import functools
import json
import re
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from regard.errors import InputError

_SECONDS = 5.0
_ROOM = 10_000_000
_LOOK_EVERY = 1000  # lines
_MOST_BITS = 10_000
"""Of an integer that is multiplied."""
_WIDE = re.compile(r"%[-+ #0]*\d{5}|%[-+ #\d]*\.\d{5}|\{[^}]*:[^}]*\d{5}")
_WIDTH_GIVEN = re.compile(r"%[-+ #\d.]*\*|\{[^}]*\{")
"""Of formats: what is written at least so wide, and what takes its width from an argument."""
_WIDEST = 10_000
_GROWING = frozenset(
    (
        *("batch", "center", "expandtabs", "indent", "join", "ljust", "replace", "rjust", "slice"),
        *("tojson", "translate", "urlize", "wordwrap", "zfill"),
    )
)
"""Filters and methods that may make more than they are given."""


class _Run:
    """How much of its time and room a template has taken."""

    def __init__(self) -> None:
        self._end, self._made = time.monotonic() + _SECONDS, 0

    def take(self, size: int) -> None:
        self._made += size
        if self._made > _ROOM or time.monotonic() > self._end:
            raise _too_much()


_RUN: ContextVar[_Run] = ContextVar("run")


@contextmanager
def bounded() -> Iterator[None]:
    """What a template does inside is bounded. Raises: InputError, which Jinja may wrap."""
    run, before, lines = _Run(), sys.gettrace(), 0

    def look(*_: object) -> Callable[..., Any]:
        nonlocal lines
        lines += 1
        if lines % _LOOK_EVERY == 0:
            run.take(0)
        return look

    token = _RUN.set(run)
    sys.settrace(look)  # also where a loop calls nothing
    try:
        yield
    finally:
        sys.settrace(before)
        _RUN.reset(token)


class _Code(CodeGenerator):
    """Joins by the environment, which counts."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class _Generation(Extension):
    """`{% generation %}` … marks what the assistant says; it changes nothing of the text."""

    tags = {"generation"}  # noqa: RUF012  (as the base has it)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class Sandbox(ImmutableSandboxedEnvironment):
    """As the library that templates are written for sets it up, but without what would take all memory."""

    intercepted_binops = frozenset(("*", "**", "+", "%"))
    code_generator_class = _Code

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation])
        self.filters["tojson"] = _as_json
        self.filters = {name: _counted(one, name) for name, one in self.filters.items()}
        del self.globals["lipsum"]

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            raise _too_much()
        if operator == "*" and isinstance(left, int) and isinstance(right, int):
            _check(0 if left.bit_length() + right.bit_length() < _MOST_BITS else _ROOM + 1)
        elif operator == "*":
            _check(_weight(left) * _weight(right))
        elif operator == "%" and isinstance(left, str):
            _check_widths(left, right if isinstance(right, tuple) else (right,))
        return _made(super().call_binop(context, operator, left, right))

    def call(self, context: Any, function: Any, /, *given: Any, **named: Any) -> Any:
        inner = getattr(function, "__wrapped__", function)
        owner = getattr(inner, "__self__", None)
        if isinstance(inner, types.BuiltinMethodType) and isinstance(owner, str):
            _check_growth(inner.__name__, (owner, *given, *named.values()))
        return _made(super().call(context, function, *given, **named))

    def concat(self, parts: Iterable[str]) -> str:
        """What a block or a macro writes."""
        run, texts = _RUN.get(None) or _Run(), []
        for part in parts:
            run.take(len(part))
            texts.append(part)
        return "".join(texts)

    def joined(self, parts: tuple[Any, ...]) -> str:
        """What `~` makes of its sides."""
        return self.concat(map(str, parts))


def _as_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **how: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **how)


def _counted(filter_: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The same filter, whose arguments are looked at before."""

    @functools.wraps(filter_)  # and so what Jinja passes first
    def counted(*given: Any, **named: Any) -> Any:
        given = tuple(list(one) if isinstance(one, types.GeneratorType) else one for one in given)
        _check_growth(name, (*given, *named.values()))
        return _made(filter_(*given, **named))

    return counted


def _check_growth(name: str, given: tuple[Any, ...]) -> None:
    """Of a function of texts, lists and numbers: what it makes is at most the product of the largest two."""
    if name in ("format", "format_map"):
        form = next((one for one in given if isinstance(one, str)), "")
        _check_widths(form, given)
    elif name in _GROWING:
        second, first = sorted([1, 1, *map(_weight, given)])[-2:]
        _check(first * second)


def _check_widths(form: str, given: Iterable[object]) -> None:
    """Of `%` and `format`."""
    large = any(isinstance(one, int) and abs(one) > _WIDEST for one in given)
    if _WIDE.search(form) or (large and _WIDTH_GIVEN.search(form)):
        raise _too_much()


def _weight(value: object, depth: int = 0) -> int:
    """How many characters and elements it has, or, of an integer, how many it may ask for."""
    if isinstance(value, int):
        return min(abs(value), _ROOM + 1)
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, list | tuple | dict) and depth < 3:
        inner = value.values() if isinstance(value, dict) else value
        return len(value) + sum(_weight(one, depth + 1) for one in inner if not isinstance(one, int))
    return 1


def _check(size: int) -> None:
    if size > _ROOM:
        raise _too_much()


def _made(result: Any) -> Any:
    if (run := _RUN.get(None)) is not None:
        run.take(min(_weight(result), _ROOM) if isinstance(result, str | list | tuple | bytes) else 1)
    return result


def _too_much() -> InputError:
    return InputError("the model's chat template computes what no template needs")
