"""Shades of other than eight bits, brought to eight by their scale: what Pillow leaves to whoever calls it.

It clips grey of sixteen bits when it is converted, forgets its transparent shade, and that of a TIFF may be
of twelve bits, or have white as its zero. The transparent shade of a PNG it gives as the file does, although
the pixels are scaled. This file does not know where images come from.

Sources: PNG, third edition, sections 11.3.1 and 13.12; Netpbm's pgm(5); TIFF 6.0, sections 4 and 8.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BITS, _PHOTOMETRIC = 258, 262  # tags of a TIFF
_WHITE_IS_ZERO = 0
_OF_FEW_BITS = {"L;2": 3, "L;4": 15}


@dataclass(frozen=True)
class Shades:
    """What a file says of its shades, noted before Pillow has decoded it."""

    form: str
    raw: str
    """How a pixel lies in the file, in Pillow's words: `LA;16B`."""
    most: int
    """The largest number of a deep shade."""
    inverted: bool
    """Whether that is black."""

    @classmethod
    def of(cls, opened: Any) -> Shades:
        """Those of a file that Pillow has opened."""
        arguments = opened.tile[0][3] if opened.tile else ""
        raw = arguments if isinstance(arguments, str) else arguments[0]
        if opened.format != "TIFF":
            return cls(opened.format, raw, 0xFFFF, False)
        bits = opened.tag_v2.get(_BITS, (16,))[0]
        inverted = opened.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        return cls("TIFF", raw, (1 << bits) - 1 if bits in (12, 16) else 0xFFFF, inverted)

    @property
    def grey(self) -> bool:
        """Whether the file holds grey, perhaps with an opacity, whatever Pillow makes of it."""
        return self.raw.partition(";")[0] in ("1", "L", "LA", "La")

    def deep(self, image: Any) -> NDArray[np.uint8] | None:
        """(H, W, 1) of an image in deep grey, what is transparent in white; None for any other."""
        # Pillow brings the shades of a PGM to sixteen bits, but has them in integers of 32.
        if not image.mode.startswith("I;16") and (image.mode, self.form) != ("I", "PPM"):
            return None
        levels = np.asarray(image).astype(np.uint32)
        hidden = image.info.get("transparency")
        shades = np.minimum((levels * 255 + self.most // 2) // self.most, 255).astype(np.uint8)
        if self.inverted:
            shades = 255 - shades
        if isinstance(hidden, int):
            shades[levels == hidden] = 255
        return shades[:, :, None]

    def mend_transparency(self, image: Any) -> None:
        """Bring the transparent shade of a PNG to the scale of the pixels."""
        hidden = image.info.get("transparency")
        if isinstance(hidden, int) and hidden <= (most := _OF_FEW_BITS.get(self.raw, -1)):
            image.info["transparency"] = hidden * 255 // most
        elif isinstance(hidden, tuple) and self.raw == "RGB;16B":
            image.info["transparency"] = tuple(shade >> 8 for shade in hidden)


_LOCK = Lock()


@contextmanager
def quiet_decoder(form: str) -> Iterator[None]:
    """While a TIFF is decoded nothing reaches standard error: libtiff writes there past Python, what a broken
    or merely unusual file made it think of. What is wrong is raised as well."""
    if form != "TIFF":
        yield
        return
    with _LOCK:
        try:
            stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        except OSError:  # there is no standard error
            yield
            return
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            os.close(nowhere)
