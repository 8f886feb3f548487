"""What images, masks, sounds and clips have alike: an array, or a file that is decoded once it is asked for.

This file does not know formats.
"""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from regard.errors import DataError, cannot_read
from regard.values.display import line
from regard.values.files import check_file, read_file, url_content
from regard.values.value import JSON, Value, array_of


@dataclass(frozen=True, eq=False, repr=False)
class Media(Value):
    """An array, a path, or a file's bytes."""

    source: NDArray[Any] | Path | bytes
    most_bytes: ClassVar[int] = 1 << 26
    """Of a file."""

    def __post_init__(self) -> None:
        if not isinstance(self.source, bytes | Path):
            object.__setattr__(self, "source", self.checked(array_of(type(self), self.source)))

    @abstractmethod
    def checked(self, array: NDArray[Any]) -> NDArray[Any]:
        """`array` as the kind has it. Raises: InputError."""

    @abstractmethod
    def decode(self) -> Any:
        """What the file holds. Raises: DataError; DependencyError."""

    @cached_property
    def decoded(self) -> Any:
        """The array, decoded once."""
        return self.source if isinstance(self.source, np.ndarray) else self.decode()

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.source) if isinstance(self.source, Path) else f"the {self.kind} that was given"

    def content(self) -> bytes:
        """The file. Raises: DataError."""
        assert isinstance(self.source, bytes | Path)
        return self.source if isinstance(self.source, bytes) else read_file(self.source, self.most_bytes)

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """The file, to be read from. Raises: DataError, also for what goes wrong in the block."""
        try:
            source = self.source if isinstance(self.source, Path) else None
            with source.open("rb") if source else io.BytesIO(self.content()) as file:
                yield file
        except (OSError, EOFError, ValueError) as error:
            raise cannot_read(DataError, self.name, error) from error

    @classmethod
    def from_word(cls, word: str) -> Self:
        return cls.from_url(word) if word.startswith("data:") else cls.from_path(Path(word))

    @classmethod
    def from_path(cls, path: Path) -> Self:
        check_file(path, cls.most_bytes)
        return cls(path)

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        return cls(content)

    @classmethod
    def from_object(cls, given: Any) -> Self:
        return cls(given)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """From a `data:` URL. Raises: DataError."""
        return cls.from_bytes(url_content(url, cls.kind, cls.most_bytes))

    @classmethod
    def from_properties(cls, data: JSON) -> Self:
        return cls.from_url(data["data"])

    def shown(self, about: str) -> str:
        """A line of the kind and the file's name, or what is known of the array."""
        return line(f"{self.kind} {self.source if isinstance(self.source, Path) else about}")
