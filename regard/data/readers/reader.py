"""What a file format is to the readers: a class in an open registry, found by the ending of a file's name.

Every module of this package that registers one is found by itself; others join by `READERS.register`, or by
the entry-point group `regard.readers`. This file does not know any format.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, ClassVar

from regard.data.readers.columns import Wanted
from regard.data.readers.forms import Form
from regard.errors import ConfigError
from regard.registry import Registry

if TYPE_CHECKING:
    from regard.data.readers.plain import TextFile
    from regard.data.readers.tables import Table


class Reader(ABC):
    """A file format. It is never instantiated."""

    kind: ClassVar[str]
    """The ending of a file's name, without the dot."""
    endings: ClassVar[tuple[str, ...]] = ()
    """Others that mean the same."""
    zipped: ClassVar[bool] = True
    """Whether such a file may be gzipped, with `.gz` after its ending."""
    columns: ClassVar[int | None] = None
    """How many columns there are, if that is always the same: it tells which of several files is meant."""
    running: ClassVar[bool] = False
    """Whether it is one running text, whose splits follow one another; `open` then gives a `TextFile`."""
    whole: ClassVar[bool] = False
    """Whether files of other numbers of `columns` are taken where a folder holds nothing else."""

    @classmethod
    @abstractmethod
    def open(cls, path: Path, wanted: Wanted, *, skip: bool) -> Table | TextFile:
        """Look at the beginning of a file, from which its columns follow.

        wanted: the columns that will be asked for. skip: whether they may follow from a later row than the
            first, if that is broken.

        Raises: DataError when it cannot be read.
        """

    @classmethod
    def forms(cls, names: Sequence[str]) -> Mapping[str, Form]:
        """What columns hold, by their names, where nobody says it; `names`: those that are read."""
        return {}


def _check(reader: type[Reader]) -> None:
    if not issubclass(reader, Reader) or getattr(reader.open, "__isabstractmethod__", False):
        raise ConfigError("{where} lacks {key}; derive it from {limit}", reader, "open", "Reader")


READERS: Registry[type[Reader]] = Registry(
    "readers",
    *(f"{__package__}.{module.name}" for module in iter_modules([str(Path(__file__).parent)])),
    check=_check,
)
"""The file formats by the endings of their files."""


def usual_forms(names: Sequence[str]) -> tuple[Form | None, ...]:
    """What columns of these names hold where nobody says it; of formats that differ, as the first has it."""
    usual: dict[str, Form] = {}
    for reader in READERS.values():
        usual = {**reader.forms(names), **usual}
    return tuple(usual.get(name) for name in names)
