"""Which split a row belongs to: by a hash of its source, or by its place in a running text.

The hash (BLAKE2b) is of the text alone, so the answer is the same in every process, on every machine and
whatever else the file holds; and a source that is repeated never stands on both sides. This file
does not know files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b

Chooser = Callable[[str], bool]
"""Whether a row with this source is in the split."""

SPLIT_OF = {
    "train": "train",
    **dict.fromkeys(("valid", "val", "dev", "validation", "eval"), "valid"),
    "test": "test",
}
"""What files and people call the splits."""

SINGLE_FILE: Mapping[str, float] = {"train": 0.94, "valid": 0.03, "test": 0.03}
TRAIN_AND_VALID: Mapping[str, float] = {"train": 0.97, "valid": 0.03}
ALL: Mapping[str, float] = {"all": 1.0}


def share(source: str, salt: str = "") -> float:
    """A number in [0, 1) that depends on nothing but `source` and `salt`, evenly spread over sources."""
    digest = blake2b(source.encode(), digest_size=7, salt=salt.encode()).digest()
    return int.from_bytes(digest, "big") / (1 << 56)


def choose_by_hash(shares: Mapping[str, float], salt: str = "") -> dict[str, Chooser]:
    """For each split, who is in it; `shares` add up to 1."""
    return {name: _between(begin, end, salt) for name, (begin, end) in _bounds(shares).items()}


def contiguous_bounds(shares: Mapping[str, float], size: int) -> dict[str, tuple[int, int]]:
    """For each split the bytes `begin … end - 1` of a text of `size` bytes, in the order of `shares`."""
    return {name: (int(begin * size), int(end * size)) for name, (begin, end) in _bounds(shares).items()}


def _bounds(shares: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """The parts of [0, 1) that the splits take; the last one ends at 1 whatever rounding did."""
    bounds: dict[str, tuple[float, float]] = {}
    begin = 0.0
    for name, part in shares.items():
        end = round(begin + part, 9)
        bounds[name] = (begin, end)
        begin = end
    assert begin == 1.0, f"the shares of {', '.join(shares)} add up to {begin}"
    return bounds


def _between(begin: float, end: float, salt: str) -> Chooser:
    return lambda source: begin <= share(source, salt) < end


def held_out(source: str, *, test: float, valid: float) -> str:
    """`test` for that share of all sources, `valid` for that share of the others, else `train`."""
    if share(source) < test:
        return "test"
    return "valid" if share(source, "valid") < valid else "train"
