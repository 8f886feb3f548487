"""What an example consists of: arrays, each with a name, a type and a shape, as a task declares them.

This file does not know where they are kept, nor what they mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Encoded = tuple[ArrayLike, ...]
"""An example: what goes into its fields, in their order."""
Decode = Callable[[str, np.random.Generator | None], Array]
"""From a reference, and what random choices are drawn from, to the array of a field. None where it is decoded
once for all epochs."""


@dataclass(frozen=True)
class Field:
    """One of the arrays that an example consists of."""

    name: str
    """Also of its files: letters, digits and `_`."""
    dtype: str
    """NumPy's name of a type of numbers or truth values, such as "uint8"."""
    shape: tuple[int | None, ...] = ()
    """None for an axis whose size differs from example to example; () for a single number."""
    below: int | None = None
    """Every number is an index into a table of so many; as int64, as torch takes them, when it is read."""
    decode: Decode | None = None
    """What makes the array of a reference, a text such as the path of an image, which is then what examples
    hold. It can be pickled, and raises DataError naming the file."""

    def __str__(self) -> str:
        shape = " × ".join("n" if size is None else str(size) for size in self.shape)
        below = "" if self.below is None else f" below {self.below:,}"
        return f"{self.name}: {self.dtype}{below}" + (f" ({shape})" if shape else "")

    @classmethod
    def indices(cls, name: str, count: int, shape: tuple[int | None, ...] = (None,)) -> Field:
        """Numbers below `count`, by default a sequence of them, in the smallest type that holds them."""
        assert 0 < count <= 1 << 32, count
        return cls(name, str(np.min_scalar_type(count - 1)), shape, count)

    @property
    def native(self) -> str:
        """The type in which it is read."""
        return self.dtype if self.below is None else "int64"

    @property
    def open_axes(self) -> int:
        """How many axes differ in size."""
        return self.shape.count(None)

    def arrays(self) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
        """The files of a field: by name the type, and the shape without its first axis."""
        kind = np.dtype(self.dtype).newbyteorder("<")
        if not self.open_axes:
            return {f"{self.name}.npy": (kind, tuple(size or 0 for size in self.shape))}
        return {
            f"{self.name}.npy": (kind, ()),
            f"{self.name}.starts.npy": (np.dtype("<i8"), ()),
            f"{self.name}.sizes.npy": (np.dtype("<i4"), (self.open_axes,)),
        }

    def array(self, value: ArrayLike) -> Array:
        """The value of an example as an array of this field."""
        if self.decode is not None:
            value = self.decode(str(value), None)
        assert not isinstance(value, np.ndarray) or value.dtype == self.dtype, f"{self}: {value.dtype}"
        found = np.asarray(value, dtype=self.dtype, order="C")
        fits = len(found.shape) == len(self.shape) and all(
            size in (None, here) for size, here in zip(self.shape, found.shape, strict=True)
        )
        assert fits, f"{self}: {found.shape}"
        return found


class Reference(Field):
    """The references to what a field decodes, as text in UTF-8."""

    @classmethod
    def of(cls, field: Field) -> Reference:
        return cls(field.name, "uint8", (None,))

    def array(self, value: ArrayLike) -> Array:
        return np.frombuffer(str(value).encode("utf-8", "surrogateescape"), np.uint8)
