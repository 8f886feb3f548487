"""Every exception that a user of regard can meet, in one list.

An error is one sentence that says what was wrong, where, and what would be right. The command line
prints that sentence and exits with `exit_status`: 2 when the input was at fault, 1 when the work
failed. Internal invariants use `assert` instead, so anything else that reaches a user is a bug.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import islice
from string import Formatter
from typing import Any, TypeVar

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
    "nearest",
    "needs",
    "require",
    "unknown",
]


_LONGEST = 4000  # characters of a message
_LONGEST_WORD, _MOST_KNOWN = 200, 5000


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
        self.remedy = remedy or (clause and self._filled(clause))
        """What to do about it, or None."""
        self._further = remedy

    def _filled(self, template: str) -> str:
        return template.format_map(self.parts) if self.parts else template

    def __str__(self) -> str:
        text = "; ".join(filter(None, (self._filled(str(self.args[0])), self._further)))
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
    sentence = "there is no {key} '{value}' (known: {limit})"
    return kind(sentence, what, name, ", ".join(names), remedy=nearest(name, names))


@contextmanager
def needs(sentence: str, extra: str) -> Iterator[None]:
    """Imports of an optional package go inside: where it is missing, DependencyError says so, and the command
    that installs it.

    `sentence`: what needs which package. `extra`: the one of pyproject.toml that brings it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise DependencyError("{key}: {remedy}", sentence, f"pip install 'regard[{extra}]'") from error


def require(holds: bool, name: str, value: object, words: str) -> None:
    """Raise ConfigError unless `holds`: the option `name` is `value` but must be `words`."""
    if not holds:
        raise ConfigError("{key} is {value}; it must be {limit}", name, value, words)
