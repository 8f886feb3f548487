"""A small matrix in a text file: numbers in rows, between commas, semicolons, tabs or spaces.

What the numbers are for is the caller's business.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from regard.errors import DataError, cannot_read, not_text, too_many_bytes

_MOST_BYTES = 1 << 20
_BETWEEN = re.compile(r"\s*[,;\t]\s*| +")


def read_matrix(path: str | Path) -> NDArray[np.float64]:
    """(rows, columns); empty lines and what follows a # are skipped.

    Raises: DataError naming file and line when the file cannot be read, something in it is no finite
    number, or its rows differ in length.
    """
    rows: list[list[float]] = []
    for count, line in enumerate(_text(Path(path)).splitlines(), 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        rows.append([_number(field, f"{path}:{count}") for field in _BETWEEN.split(content)])
        if len(rows[-1]) != len(rows[0]):
            sentence = "{where} has {value} numbers where the first row has {limit}"
            raise DataError(sentence, f"{path}:{count}", len(rows[-1]), len(rows[0]))
    if not rows:
        raise DataError("{where} holds no numbers; write one row of them a line, with commas between", path)
    return np.array(rows, dtype=np.float64)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as problem:
        raise cannot_read(DataError, path, problem) from problem
    if len(raw) > _MOST_BYTES:
        raise too_many_bytes(DataError, path, _MOST_BYTES, "give a smaller matrix")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise not_text(DataError, path) from problem


def _number(field: str, where: str) -> float:
    try:
        value = float(field)
    except ValueError as problem:
        shown = f"'{field[:40]}' is not a number" if field else "a number is missing between separators"
        raise DataError("{where}: {value}", where, shown) from problem
    if not math.isfinite(value):
        raise DataError("{where}: '{value}' is not a finite number", where, field[:40])
    return value
