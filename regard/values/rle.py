"""Run lengths of binary masks, as COCO's files hold them: `{"size": [H, W], "counts": …}`.

A mask is read column by column; its runs of 0 and 1 take turns, beginning with 0. `counts` are their lengths,
as numbers or as a text: each number is written as its difference to the last but one, in groups of five bits,
the lowest first, a sixth bit for "there is more", as characters from "0" on (cocoapi, common/maskApi.c,
rleToString and rleFrString).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from regard.errors import InputError
from regard.values.json_schema import wrong
from regard.values.pixels import too_large

_LONGEST = 13
"""Groups of five bits in a number."""


def from_runs(size: Sequence[int], counts: str | Sequence[int]) -> NDArray[np.uint8]:
    """(H, W) of 0 and 1. Raises: InputError."""
    rows, columns = size
    if limit := too_large(columns, rows):
        raise wrong("the size of a mask", [rows, columns], limit)
    lengths = list(_unpacked(counts) if isinstance(counts, str) else counts)
    if min(lengths, default=0) < 0 or sum(lengths) != rows * columns:
        raise wrong("the sum of a mask's counts", sum(lengths), f"{rows * columns:,}, with none below 0")
    flat = np.repeat(np.arange(len(lengths), dtype=np.uint32) % 2, lengths)
    return flat.astype(np.uint8).reshape(columns, rows).T


def runs_of(mask: NDArray[np.bool_]) -> list[int]:
    """The lengths of the runs of (H, W)."""
    flat = mask.T.reshape(-1)
    ends = np.flatnonzero(np.diff(flat)) + 1
    edges = np.concatenate([[0], ends, [flat.size]])
    return [*([0] if flat[0] else []), *np.diff(edges).tolist()]


def packed(lengths: Sequence[int]) -> str:
    """The lengths as a text."""
    text = ""
    for place, length in enumerate(lengths):
        number = length - lengths[place - 2] if place > 2 else length
        more = True
        while more:
            group, number = number & 31, number >> 5
            more = number != (-1 if group & 16 else 0)
            text += chr(48 + (group | (32 if more else 0)))
    return text


def _unpacked(text: str) -> Iterator[int]:
    lengths: list[int] = []
    number = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift >= 5 * _LONGEST:
            raise wrong("the counts of a mask", text, "run lengths as COCO packs them")
        number |= (group & 31) << shift
        shift += 5
        if not group & 32:
            number -= (1 << shift) if group & 16 else 0
            lengths.append(number + lengths[-2] if len(lengths) > 2 else number)
            number = shift = 0
    if shift:
        raise InputError("the counts of a mask were cut short: they end in {value!r}", text[-1])
    yield from lengths
