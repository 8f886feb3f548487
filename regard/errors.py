"""Every exception that a user of regard can meet, in one list.

An error is one sentence that says what was wrong, where, and what would be right. The command line
prints that sentence and exits with `exit_status`: 2 when the input was at fault, 1 when the work
failed. Internal invariants use `assert` instead, so anything else that reaches a user is a bug.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

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
    "RegardError",
    "StorageError",
    "TokenizerError",
    "nearest",
    "require",
]


class RegardError(Exception):
    """The base of all: something that was asked for could not be done.

    What a message quotes, from a file or a command line, cannot break its line or command the terminal.
    """

    exit_status = 1

    def __str__(self) -> str:
        return visible(super().__str__())


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
    """A checkpoint of another library is damaged, unsafe, or of a kind that cannot be taken over; or a model
    cannot be written as one."""


class DependencyError(InputError):
    """An optional package is needed; the message gives the command that installs it."""


class DownloadError(RegardError):
    """A file could not be fetched, or what arrived is not what was promised."""


class StorageError(RegardError):
    """The disk is full or a place cannot be written; what was there before is untouched."""


class NonFiniteLossError(RegardError):
    """Training met a loss that is not a finite number."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint to append to an error: `; did you mean 'x'?` for the closest of `known`, or nothing."""
    match = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{match[0]}'?" if match else ""


def require(holds: bool, name: str, value: object, words: str) -> None:
    """Raise ConfigError unless `holds`: the option `name` is `value` but must be `words`."""
    if not holds:
        raise ConfigError(f"{name} is {value}; it must be {words}")
