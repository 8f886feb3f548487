"""What is printed: standard output and standard error, in whatever state the caller left them.

- `say` prints lines of a report and `note` lines about the work; both show what cannot be seen as escapes
  (`regard.visible`), so that nobody's label, file name or model commands the terminal or fakes a line.
- `write` prints what a model wrote: to a terminal like the others, its line ends and tabs kept; to a file or
  a pipe exactly as it is.
- `say_json` prints a line of JSON, which is exact anywhere: in it such escapes are JSON's own.

A character that the stream's encoding lacks becomes an escape, as JSON has them, and that is said once. A
standard output that is closed or full is an error of one sentence; one whose reader has gone (`| head`) ends
the program quietly. A standard error that cannot be written is given up: nobody listens, the work goes on.
This file does not know commands.
"""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from regard.errors import cannot_write
from regard.strict_json import dumps
from regard.visible import visible

READER_GONE = 128 + 13  # what a shell shows for a program that SIGPIPE ended
_UNFINISHED = "\ufffd\u200c\u200d"


def say(*lines: str) -> None:
    """Print each on a line of its own. Raises: StorageError when standard output cannot be written."""
    print("\n".join(map(visible, lines)), flush=True)


def note(*lines: str) -> None:
    """Print each on a line of standard error."""
    print("\n".join(map(visible, lines)), file=sys.stderr, flush=True)


def write(text: str) -> None:
    """Print what a model wrote, with no line end of our own. Raises: StorageError."""
    print(_displayed(text), end="", flush=True)


def write_growing(texts: Iterable[str]) -> None:
    """Print what a model writes as it grows, and a line end: each of `texts` is all that there is by then,
    and begins with the one before.

    A character whose bytes, or an emoji whose parts, are not all there yet waits for the rest; so does a text
    that does not begin with what was printed, which cannot be taken back. Raises: StorageError.
    """
    shown = text = ""
    for text in texts:
        ready = _displayed(text.rstrip(_UNFINISHED))
        if len(ready) > len(shown) and ready.startswith(shown):
            print(ready[len(shown) :], end="", flush=True)
            shown = ready
    whole = _displayed(text)
    print(whole[len(shown) :] if whole.startswith(shown) else f"\n{whole}", flush=True)


def say_json(value: Any) -> None:
    """Print a value as a line of JSON. Raises: StorageError."""
    say(dumps(value))


def beside(*paths: Path | None) -> Callable[..., None]:
    """`say`, or `note` when one of the files that are written beside it is standard output itself."""
    return note if any(path is not None and _is_output(path) for path in paths) else say


def say_files(*paths: Path | None) -> None:
    """Say which files were written, those but standard output."""
    for path in paths:
        if path is not None and not _is_output(path):
            beside(*paths)(str(path))


def is_typed() -> bool:
    """Whether somebody types what is read from standard input."""
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def mend_streams() -> None:
    """Put streams in place of those that were closed, before an ordinary file takes their numbers; teach them
    to write what they lack."""
    codecs.register_error("regard.escape", _escaped)
    for descriptor, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:  # what reads the first, or writes the second, is told that it cannot
            _discard(descriptor, flags)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    elif isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # what is typed in another encoding is some text, too
    # The other name of each, since what they wrap can no longer be used without them.
    sys.stdout = sys.__stdout__ = _stream(_Output, sys.stdout, 1, "regard.escape")  # type: ignore[misc, assignment]
    sys.stderr = sys.__stderr__ = _stream(_Errors, sys.stderr, 2, "backslashreplace")  # type: ignore[misc, assignment]


# --------------------------------------------------------------------------------------------- inside


def _displayed(text: str) -> str:
    """What a model wrote, as standard output gets it."""
    return visible(text, keep="\n\t") if sys.stdout.isatty() else text


class _Output(io.TextIOWrapper):
    """Standard output, whose errors are a user's, not a program's."""

    def write(self, text: str, /) -> int:
        with _output_errors():
            return super().write(text)

    def flush(self) -> None:
        with _output_errors():
            super().flush()


class _Errors(io.TextIOWrapper):
    """Standard error. When it fails there is nobody left to tell."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError:
            _discard(2)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            _discard(2)


@contextmanager
def _output_errors() -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        _discard(1)  # or Python would try once more at its end
        if problem.errno in (errno.EPIPE, errno.ESHUTDOWN):
            raise SystemExit(READER_GONE) from problem
        raise cannot_write("standard output", problem) from problem


def _discard(descriptor: int, flags: int = os.O_WRONLY) -> None:
    """From now on what is written there is lost."""
    nowhere = os.open(os.devnull, flags)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def _stream(kind: type[io.TextIOWrapper], known: TextIO | None, descriptor: int, errors: str) -> TextIO:
    if known is None:
        return kind(open(descriptor, "wb", closefd=False), "utf-8", errors)
    if not isinstance(known, io.TextIOWrapper):
        return known  # an editor's or a notebook's own
    encoding, buffered = known.encoding, known.line_buffering
    return kind(known.detach(), encoding, errors, line_buffering=buffered)


def _escaped(problem: UnicodeError) -> tuple[str | bytes, int]:
    """Escapes for what the encoding of standard output lacks; said once, unless no encoding has it."""
    assert isinstance(problem, UnicodeEncodeError)
    lacking = problem.object[problem.start : problem.end]
    surrogates = all("\ud800" <= character <= "\udfff" for character in lacking)
    if not surrogates and problem.encoding not in _warned:
        _warned.add(problem.encoding)
        note(
            f"regard: standard output is in {problem.encoding}, which lacks characters of this text; they are"
            " written as escapes; set PYTHONIOENCODING=utf-8 to have them all"
        )
    return json.dumps(lacking)[1:-1], problem.end


_warned: set[str] = set()


def _is_output(path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(1))
    except OSError:
        return False
