"""Masks: a number for each pixel of an image, its class or its object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from regard.values import json_schema as js
from regard.values.display import colour, table
from regard.values.files import data_url, url_content
from regard.values.image import Image, described
from regard.values.json_schema import Schema, wrong
from regard.values.media import Media
from regard.values.pixels import as_png, decode_ids, too_large
from regard.values.rle import from_runs, packed, runs_of
from regard.values.value import JSON, VALUES, require_whole

_MOST_NAMED = 50


@VALUES.register
@dataclass(frozen=True, eq=False, repr=False)
class Mask(Media):
    """A number for each pixel: 0 is the background, others are classes or objects."""

    labels: tuple[str, ...] = ()
    """What each number stands for, from 0; empty where that is not said."""
    kind: ClassVar[str] = "mask"
    accepts: ClassVar[str] = (
        "the path of a PNG in grey or of a palette, its bytes, a data: URL, an array (H, W) of uint8, uint16"
        " or bool, or run lengths in COCO's form"
    )
    properties: ClassVar[dict[str, Schema]] = {
        "data": {
            "description": "A PNG of 8 or 16 bits as a data: URL, or run lengths of 0 and 1 in COCO's form.",
            "anyOf": [
                js.file("image/png"),
                js.record(
                    {
                        "size": js.array(js.integer(minimum=1), "Rows and columns.", minItems=2, maxItems=2),
                        "counts": {
                            "description": "The lengths of the runs, column by column, or the same packed.",
                            "anyOf": [js.array(js.integer(minimum=0)), js.string()],
                        },
                    }
                ),
            ],
        },
        "labels": js.array(
            js.string(),
            "What each number stands for; empty where that is not said.",
            maxItems=65_536,
            default=[],
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "labels", tuple(self.labels))
        require_whole("mask.labels", *self.labels)

    @property
    def ids(self) -> NDArray[Any]:
        """(H, W), uint8 or uint16. Raises: DataError."""
        return self.decoded

    def checked(self, array: NDArray[Any]) -> NDArray[Any]:
        array = array.astype(np.uint8) if array.dtype == bool else array
        if array.dtype not in (np.uint8, np.uint16) or array.ndim != 2:
            raise wrong("a mask", (array.dtype.name, array.shape), "of uint8, uint16 or bool, and (H, W)")
        if size := too_large(array.shape[1], array.shape[0]):
            raise wrong("a mask's array", array.shape, size)
        return array

    def decode(self) -> NDArray[Any]:
        return decode_ids(self.content(), self.name)

    @classmethod
    def from_runs(cls, size: Sequence[int], counts: str | Sequence[int], labels: Sequence[str] = ()) -> Self:
        """From the run lengths of 0 and 1. Raises: InputError."""
        return cls(from_runs(size, counts), tuple(labels))

    def runs(self, number: int = 1, *, pack: bool = False) -> JSON:
        """The pixels of that number as COCO has them; `pack`: as a text."""
        lengths = runs_of(self.ids == number)
        return {"size": list(self.ids.shape), "counts": packed(lengths) if pack else lengths}

    @classmethod
    def from_json(cls, data: object) -> Self:
        is_bare = isinstance(data, Mapping) and "counts" in data  # an annotation of COCO's
        return super().from_json({"kind": cls.kind, "data": data} if is_bare else data)

    @classmethod
    def from_properties(cls, data: JSON) -> Self:
        inside, labels = data["data"], data.get("labels", ())
        if isinstance(inside, Mapping):
            return cls.from_runs(**inside, labels=labels)
        return cls(url_content(inside, cls.kind, cls.most_bytes), tuple(labels))

    def to_properties(self) -> JSON:
        return {"data": data_url("image/png", as_png(self.ids)), "labels": list(self.labels)}

    def key(self) -> tuple[Any, ...]:
        return self.ids, self.labels

    def __str__(self) -> str:
        return self.shown(described(self.source))

    def html(self) -> str:
        """Every number in a colour of its own, and how many of the pixels have it."""
        numbers, counts = np.unique(self.ids, return_counts=True)
        colours = np.zeros((int(numbers[-1]) + 1, 3), np.uint8)
        colours[numbers] = list(map(colour, numbers.tolist()))
        names = [self.labels[n] if n < len(self.labels) else str(n) for n in numbers[:_MOST_NAMED].tolist()]
        parts = [f"{count / self.ids.size:.1%}" for count in counts[:_MOST_NAMED].tolist()]
        return Image(colours[self.ids]).html() + table(("", "pixels"), zip(names, parts, strict=True))
