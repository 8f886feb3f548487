"""Every exception that a user of regard can meet, in one list.

An error is one sentence that says what was wrong, where, and what would be right. The command line
prints that sentence and exits with `exit_status`: 2 when the input was at fault, 1 when the work
failed. Internal invariants use `assert` instead, so anything else that reaches a user is a bug.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import islice
from string import Formatter
from textwrap import shorten
from typing import Any, Self, TypeVar

from regard.visible import visible

__all__ = [
    "BundleError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DependencyError",
    "DownloadError",
    "InputError",
    "NonFiniteLossError",
    "NonFiniteOutputError",
    "RegardError",
    "StorageError",
    "TokenizerError",
    "both_given",
    "cannot_read",
    "cannot_write",
    "damaged",
    "missing",
    "nearest",
    "needs",
    "no_data",
    "not_json",
    "not_text",
    "outside",
    "reading",
    "require",
    "too_many_bytes",
    "unknown",
    "why",
    "writing",
    "wrong_size",
]


_LONGEST = 4000  # characters of a message
_LONGEST_WORD, _MOST_KNOWN = 200, 5000
_LONGEST_LIST = 500  # characters of the names of what there is: one sentence stays one that is read
UNWRITABLE = {
    errno.ENOSPC: "the disk is full; free some space or choose another place",
    errno.EDQUOT: "your disk quota is used up; free some space or choose another place",
    errno.EFBIG: "the file would be larger than this system allows; raise the limit or choose another place",
    errno.EROFS: "this file system can only be read; choose another place",
    errno.EACCES: "permission is denied; change its permissions or choose another place",
    errno.EPERM: "the system does not permit it; choose another place",
    errno.ENOTDIR: "a part of this path is a file, not a folder; choose another place",
    errno.EEXIST: "a file stands where a folder is needed; choose another place",
    errno.EISDIR: "this is a folder; give the name of a file",
    errno.ENOENT: "the folder has gone away; create it again or choose another place",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.EIO: "the device failed; check the disk or choose another place",
    errno.ELOOP: "its symbolic links go round in a circle; choose another place",
    errno.EINVAL: "the name cannot be used here; choose another place",
    errno.EPIPE: "who reads it has gone away; give another place",
    errno.EBADF: "it is closed; give another place",
}


class RegardError(Exception):
    """The base of all: something that was asked for could not be done.

    `RegardError("{where}: {key} is {value}; give {limit}", path, "heads", 3, "1 or more")`: the parts stand
    in the order in which the sentence first names them, and are kept beside it. What a message quotes, from a
    file or a command line, cannot break its line or command the terminal.

    sentence: what is wrong, and after its last semicolon what to do about it; where there are no parts it is
    taken as it is. remedy: a further clause, or None.
    """

    exit_status = 1

    def __init__(self, sentence: str, *parts: object, remedy: str | None = None) -> None:
        super().__init__(sentence, *parts)
        fields = (name for _, name, _, _ in Formatter().parse(sentence) if name) if parts else ()
        names = tuple(dict.fromkeys(fields))
        assert len(names) == len(parts), f"{sentence!r} names {names}"
        self.parts: Mapping[str, Any] = dict(zip(names, parts, strict=True))
        """What the sentence names: where, key, value and limit, and whatever else it has."""
        self.where, self.key = self.parts.get("where"), self.parts.get("key")
        """The file, line or configuration that is at fault, and what in it, such as the name of an option."""
        self.value, self.limit = self.parts.get("value"), self.parts.get("limit")
        """What was found, and what would be allowed."""
        clause = sentence.rpartition("; ")[2] if "; " in sentence else None
        self.remedy = remedy or self.parts.get("remedy") or (clause and self._filled(clause))
        """What to do about it, or None."""
        self.further = remedy

    @classmethod
    def of(cls, problem: BaseException, *, remedy: str | None = None, **places: object) -> Self:
        """This kind of error, which says what `problem` says and keeps its parts.

        places: what is said before it, such as `where=folder`. An inner part of the same name keeps its name,
        being nearer to the fault; the outer one is then `outer_where`. remedy: what is said after it.
        """
        if not isinstance(problem, RegardError):
            problem = RegardError("{value}", why(problem))
        sentence = str(problem.args[0])
        if places and not problem.parts:  # it was taken as it is, so also its braces
            sentence = sentence.replace("{", "{{").replace("}", "}}")
        names = (f"outer_{name}" if name in problem.parts else name for name in places)
        sentence = ": ".join([*(f"{{{name}}}" for name in names), sentence])
        remedy = "; ".join(filter(None, (problem.further, remedy))) or None
        return cls(sentence, *places.values(), *problem.parts.values(), remedy=remedy)

    def _filled(self, template: str) -> str:
        return template.format_map(self.parts) if self.parts else template

    def __str__(self) -> str:
        text = "; ".join(filter(None, (self._filled(str(self.args[0])), self.further)))
        if len(text) > _LONGEST:  # it quotes something without measure
            text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
        return visible(text)


class InputError(RegardError):
    """What the user gave cannot be used: an argument, a file, a value."""

    exit_status = 2


class ConfigError(InputError):
    """A configuration holds an unknown key, a value out of range or options that contradict."""


class DataError(InputError):
    """A data file is missing, unreadable or broken; the message names file and line."""


class TokenizerError(InputError):
    """A tokenizer cannot be trained or read as asked."""


class BundleError(InputError):
    """A folder is not a bundle, or one that is damaged, incomplete or too new."""


class CheckpointError(InputError):
    """A checkpoint of another library is damaged, unsafe, or of a kind that cannot be imported; or a model
    cannot be written as one."""


class DependencyError(InputError):
    """An optional package is needed; the message gives the command that installs it."""


class DownloadError(RegardError):
    """A file could not be fetched, or what arrived is not what was promised."""


class StorageError(RegardError):
    """The disk is full or a place cannot be written; what was there before is untouched."""


class NonFiniteLossError(RegardError):
    """Training met a loss that is not a finite number."""


class NonFiniteOutputError(RegardError):
    """What a model computed is not finite, so that there is no answer."""

    def __init__(self, what: str = "an answer") -> None:
        remedy = "use --dtype float32, undo changes of the weights, or train at a lower rate"
        super().__init__(
            "{key} cannot be told: what the model computed is NaN or infinite", what, remedy=remedy
        )


def why(problem: BaseException) -> str:
    """What an exception of another library says, as the end of a sentence on one line."""
    said = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
    return said.strip().partition("\n")[0] or type(problem).__name__


def nearest(word: str, known: Iterable[str]) -> str | None:
    """A remedy: `did you mean 'x'?` for the closest of `known`, if one is near."""
    if len(word) > _LONGEST_WORD:
        return None  # comparing takes the product of the lengths
    some = [other for other in islice(known, _MOST_KNOWN) if len(other) <= _LONGEST_WORD]
    match = get_close_matches(word, some, n=1, cutoff=0.6)
    return f"did you mean '{match[0]}'?" if match else None


_Kind = TypeVar("_Kind", bound=RegardError)


def unknown(kind: type[_Kind], what: str, name: str, known: Iterable[str]) -> _Kind:
    """An error to raise: of what there are `known`, there is none of this name."""
    names = list(known)
    listed = ", ".join(names)
    if len(listed) > _LONGEST_LIST:
        listed = shorten(listed, _LONGEST_LIST, placeholder=" …")
    return kind(
        "there is no {key} '{value}' (known: {limit})", what, name, listed, remedy=nearest(name, names)
    )


def cannot_read(kind: type[_Kind], where: object, problem: BaseException) -> _Kind:
    """An error to raise: the system does not let a file be read."""
    return kind("cannot read {where}: {value}", where, why(problem))


@contextmanager
def reading(kind: type[RegardError], where: object) -> Iterator[None]:
    """A file is read inside. Raises: `kind` where the system does not let it."""
    try:
        yield
    except OSError as problem:
        raise cannot_read(kind, where, problem) from problem


def damaged(kind: type[_Kind], where: object, value: object, remedy: str | None = None) -> _Kind:
    """An error to raise: a file is not what it was written as; `value` says how it shows."""
    return kind("{where} is damaged: {value}", where, value, remedy=remedy)


def not_text(kind: type[_Kind], where: object) -> _Kind:
    """An error to raise: what should be text in UTF-8 is not."""
    return kind("{where} is not UTF-8 text; convert it to UTF-8", where)


def too_many_bytes(kind: type[_Kind], where: object, limit: int, remedy: str) -> _Kind:
    """An error to raise: a file or line has more than `limit` bytes."""
    return kind("{where} has over {limit:,} bytes; {remedy}", where, limit, remedy)


def outside(kind: type[_Kind], key: str, value: object, limit: object) -> _Kind:
    """An error to raise: the option `key` is `value` but must be `limit`."""
    return kind("{key} is {value}; it must be {limit}", key, value, limit)


def missing(key: str, command: str) -> DependencyError:
    """An error to raise: `key` needs a package, which `command` installs."""
    return DependencyError("{key}: {remedy}", key, command)


def cannot_write(where: object, problem: BaseException, remedy: str | None = None) -> StorageError:
    """An error to raise: the system does not let a file be written."""
    number = problem.errno if isinstance(problem, OSError) else None
    value, _, usual = UNWRITABLE.get(number or 0, why(problem)).partition("; ")
    return StorageError("cannot write {where}: {value}", where, value, remedy=remedy or usual or None)


@contextmanager
def writing(where: object, remedy: str | None = None) -> Iterator[None]:
    """A file or folder is written inside. Raises: StorageError where the system does not let it."""
    try:
        yield
    except OSError as problem:
        raise cannot_write(where, problem, remedy) from problem


def wrong_size(kind: type[_Kind], where: object, value: int, limit: int, remedy: str) -> _Kind:
    """An error to raise: a file has `value` bytes and not the `limit` that were recorded of it."""
    return kind(
        "{where} has {value:,} bytes and should have {limit:,}; {remedy}", where, value, limit, remedy
    )


def no_data(where: object, value: str) -> DataError:
    """An error to raise: a file that should hold data `is empty`, or whatever `value` says."""
    return DataError("{where} {value}; give the name of a file with data", where, value)


def not_json(where: object, value: object, remedy: str = "mend it") -> DataError:
    """An error to raise: JSON of a user's own data is broken; `where` is a file, a line and a character."""
    return DataError("{where} is not JSON: {value}; {remedy}", where, value, remedy)


def both_given(kind: type[_Kind], key: str, value: str) -> _Kind:
    """An error to raise: two options were given of which one would be ignored."""
    return kind("both {key} and {value} are given; give one of them", key, value)


@contextmanager
def needs(sentence: str, extra: str) -> Iterator[None]:
    """Imports of an optional package go inside: where it is missing, DependencyError says so, and the command
    that installs it.

    `sentence`: what needs which package. `extra`: the one of pyproject.toml that brings it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise missing(sentence, f"pip install 'regard[{extra}]'") from error


def require(holds: bool, name: str, value: object, words: str) -> None:
    """Raise ConfigError unless `holds`: the option `name` is `value` but must be `words`."""
    if not holds:
        raise outside(ConfigError, name, value, words)
