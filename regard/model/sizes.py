"""Which numbers a model may be made of, so that no loop, allocation or division believes one first.

The limits are far beyond any model that is known. What goes together (heads that divide the width) is the
parts' own business. This file knows the names of numbers, not the parts that have them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

_SIZE = (0, 1 << 24)
_SHARE = (0.0, 1.0)
_ANY = (-1e6, 1e6)
_RANGES: dict[str, tuple[float, float]] = {
    "width": (1, 1 << 20),
    "entry_width": (1, 1 << 20),
    "depth": (0, 1 << 10),
    "heads": (1, 1 << 12),
    "kv_heads": (1, 1 << 12),
    "head_width": (1, 1 << 16),
    "hidden": (1, 1 << 24),
    "dropout": _SHARE,
    "fraction": _SHARE,
    "eps": (0.0, 1.0),
    "base": (1.0, 1e18),
    "buckets": (2, 1 << 16),
    "max_distance": (1, 1 << 31),
    "before": (0, 1 << 53),
    "after": (0, 1 << 53),
    "scale": _ANY,
    "gain": (0.0, 1e6),
    "start": _ANY,
    "std": (0.0, 1e6),
    **dict.fromkeys(
        ("vocab", "count", "length", "separator", "leading", "skipped", "registers", "columns"), _SIZE
    ),
    **dict.fromkeys(("channels", "pixel_rows", "pixel_columns", "patch"), (0, 1 << 16)),
}
"""By the name of a field: the least and the largest that it may be."""


def check_numbers(config: object) -> None:
    """Raises: ValueError naming a number of this configuration, or of one inside it, that is out of range."""
    for path, name, value in _numbers(config, ""):
        least, most = _RANGES.get(name, (-float("inf"), float("inf")))
        if not least <= value <= most:
            raise ValueError(f"{path} is {_brief(value)}; it must be from {least:,} to {most:,}")


def _numbers(config: object, prefix: str) -> Iterator[tuple[str, str, float]]:
    """Path, name and value of each."""
    if not dataclasses.is_dataclass(config):
        return
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{field.name}", field.name, value
        else:
            yield from _numbers(value, f"{prefix}{field.name}.")


def _brief(value: float) -> str:
    shown = str(value)
    return shown if len(shown) < 30 else f"a number of {len(shown)} digits"
