"""Boxes: where objects are in an image, what they are and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from regard.errors import InputError
from regard.values import json_schema as js
from regard.values.display import css_colour, escaped, line
from regard.values.json_schema import Schema, wrong
from regard.values.value import JSON, VALUES, Value, array_of, require_whole

_FARTHEST = 1_000_000
_MOST_SHOWN = 300


@VALUES.register
@dataclass(frozen=True, eq=False, repr=False)
class Boxes(Value):
    """Boxes in pixels from an image's upper left corner: left, top, right, bottom."""

    xyxy: NDArray[np.float32]
    """(N, 4)"""
    labels: tuple[str, ...] = ()
    """One a box, or none at all."""
    scores: tuple[float, ...] = ()
    """The same."""
    kind: ClassVar[str] = "boxes"
    accepts: ClassVar[str] = "a list or an array (N, 4) of left, top, right and bottom, in pixels"
    properties: ClassVar[dict[str, Schema]] = {
        "boxes": js.array(
            js.record(
                {
                    "xyxy": js.array(
                        js.number(minimum=-_FARTHEST, maximum=_FARTHEST),
                        "Left, top, right and bottom in pixels from the upper left corner.",
                        minItems=4,
                        maxItems=4,
                    ),
                    "label": js.nullable(js.string("What is inside, or null.")),
                    "score": js.nullable(js.number("How sure that is, or null.", minimum=0, maximum=1)),
                }
            ),
            "The boxes. All have labels or none has; so with scores.",
            maxItems=100_000,
        )
    }

    def __post_init__(self) -> None:
        xyxy = array_of(type(self), self.xyxy)
        xyxy = xyxy.reshape(0, 4) if xyxy.size == 0 else xyxy
        if xyxy.ndim != 2 or xyxy.shape[1] != 4:
            raise wrong("boxes.xyxy", xyxy.shape, "of the shape (N, 4)")
        with np.errstate(over="ignore", invalid="ignore"):
            xyxy = xyxy.astype(np.float32)
            near = (np.abs(xyxy) <= _FARTHEST).all(axis=1)  # which NaN is not
            sound = near & (xyxy[:, :2] < xyxy[:, 2:]).all(axis=1)
        if not sound.all():
            place = int(np.flatnonzero(~sound)[0])
            limit = "left < right and top < bottom" if near[place] else f"finite, and at most {_FARTHEST:,}"
            raise wrong(f"boxes.boxes[{place}].xyxy", xyxy[place].tolist(), limit)
        object.__setattr__(self, "xyxy", xyxy)
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "scores", tuple(map(float, self.scores)))
        require_whole("boxes.labels", *self.labels)
        for name, column in (("labels", self.labels), ("scores", self.scores)):
            if column and len(column) != len(xyxy):
                raise wrong(f"boxes.{name}", column, f"{len(xyxy):,}, one for each box, or none at all")
        for place, score in enumerate(self.scores):
            if not 0 <= score <= 1:
                raise wrong(f"boxes.boxes[{place}].score", score, "from 0 to 1")

    @classmethod
    def from_properties(cls, data: JSON) -> Self:
        boxes = data["boxes"]
        columns: dict[str, tuple[Any, ...]] = {}
        for key in ("label", "score"):
            column = tuple(box.get(key) for box in boxes)
            if None in column and any(one is not None for one in column):
                raise InputError("boxes.boxes[{where}] has no {key}, as others have", column.index(None), key)
            columns[f"{key}s"] = () if None in column else column
        return cls(np.array([box["xyxy"] for box in boxes], dtype=np.float64), **columns)

    def to_properties(self) -> JSON:
        empty = (None,) * len(self.xyxy)
        rows = zip(self.xyxy.tolist(), self.labels or empty, self.scores or empty, strict=True)
        return {"boxes": [{"xyxy": xyxy, "label": label, "score": score} for xyxy, label, score in rows]}

    @classmethod
    def from_object(cls, given: Any) -> Self:
        return cls(array_of(cls, given))

    def __str__(self) -> str:
        return "; ".join(
            f"{self.caption(place)} ({', '.join(f'{side:g}' for side in sides)})".lstrip()
            for place, sides in enumerate(self.xyxy.tolist())
        )

    def caption(self, place: int) -> str:
        """The label and the score of a box, as far as it has them."""
        label = line(self.labels[place]) if self.labels else ""
        return f"{label} {self.scores[place]:.2f}".lstrip() if self.scores else label

    def svg(self, width: int, height: int) -> str:
        """The boxes, for laying over an image of that size."""
        names, shapes = list(dict.fromkeys(self.labels)), []
        for place, (left, top, right, bottom) in enumerate(self.xyxy[:_MOST_SHOWN].tolist()):
            colour = css_colour(1 + (names.index(self.labels[place]) if self.labels else 0))
            where = f'x="{left:g}" y="{top:g}"'
            size = f'width="{right - left:g}" height="{bottom - top:g}"'
            caption = f'fill="{colour}" font-size="{height / 30:g}">{escaped(self.caption(place))}'
            shapes.append(
                f'<rect {where} {size} fill="none" stroke="{colour}"/><text {where} {caption}</text>'
            )
        view = f'viewBox="0 0 {width} {height}" style="max-width:320px"'
        return f'<svg xmlns="http://www.w3.org/2000/svg" {view}>{"".join(shapes)}</svg>'

    def html(self) -> str:
        farthest = self.xyxy.max(axis=0, initial=1)
        return self.svg(int(np.ceil(farthest[2])), int(np.ceil(farthest[3])))
