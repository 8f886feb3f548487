"""A small matrix in a text file: numbers in rows, between commas, semicolons, tabs or spaces.

What the numbers are for is the caller's business.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from regard.errors import DataError
from regard.strict_json import read_text

_MOST_BYTES = 1 << 20
_BETWEEN = re.compile(r"\s*[,;\t]\s*| +")


def read_matrix(path: str | Path) -> NDArray[np.float64]:
    """(rows, columns); empty lines and what follows a # are skipped.

    Raises: DataError naming file and line when the file cannot be read, something in it is no finite
    number, or its rows differ in length.
    """
    text = read_text(Path(path), _MOST_BYTES, DataError).removeprefix("\ufeff")
    rows: list[list[float]] = []
    for count, line in enumerate(text.splitlines(), 1):
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


def _number(field: str, where: str) -> float:
    try:
        value = float(field)
    except ValueError as problem:
        shown = f"'{field[:40]}' is not a number" if field else "a number is missing between separators"
        raise DataError("{where}: {value}", where, shown) from problem
    if not math.isfinite(value):
        raise DataError("{where}: '{value}' is not a finite number", where, field[:40])
    return value
