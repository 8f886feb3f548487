"""Pretrained word vectors in the text format of word2vec and GloVe: a word and its numbers on each line.

A first line of two integers (how many words, how wide) is word2vec's header; GloVe has none. Only the
words that are asked for are kept, so a file of gigabytes costs little memory. What the vectors are for is
the caller's business.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from regard.errors import DataError, reading, too_many_bytes, why

_LONGEST_LINE = 1 << 20  # bytes; a vector of 10,000 numbers takes a tenth of it


def read_vectors(path: str | Path, words: Collection[str], width: int) -> dict[str, NDArray[np.float32]]:
    """The vectors of those `words` that the file has, each (width,); of a repeated word the first.

    Raises: DataError naming file and line when the file cannot be read, a line is not a word and `width`
    finite numbers, or none of the words is there.
    """
    path = Path(path)
    wanted, found = frozenset(words), dict[str, NDArray[np.float32]]()
    with reading(DataError, path), path.open("rb") as file:
        number = 0
        while raw := file.readline(_LONGEST_LINE):
            number += 1
            where = f"{path}:{number}"
            line = _text(raw, where)
            if not line.strip() or (number == 1 and _is_header(line, width, where)):
                continue
            word, numbers = _parts(line, width, where)
            if word in wanted and word not in found:
                found[word] = _vector(numbers, where)
    if not found:
        sentence = "{where} has a vector for none of the {limit:,} pieces of the vocabulary"
        raise DataError(sentence, path, len(wanted))
    return found


def _text(raw: bytes, where: str) -> str:
    if len(raw) == _LONGEST_LINE and not raw.endswith(b"\n"):
        raise too_many_bytes(DataError, where, _LONGEST_LINE, "give a file of word vectors")
    try:
        return raw.decode("utf-8").rstrip("\r\n ")
    except UnicodeDecodeError as problem:
        sentence = "{where} is not UTF-8 text; convert it, from binary word2vec or another encoding"
        raise DataError(sentence, where) from problem


def _is_header(line: str, width: int, where: str) -> bool:
    fields = line.split()
    if len(fields) != 2 or not all(field.isascii() and field.isdigit() for field in fields):
        return False
    if int(fields[1]) != width:
        sentence = "{where}: vectors of width {value} do not fit a model of width {limit}"
        raise DataError(sentence, where, fields[1], width)
    return True


def _parts(line: str, width: int, where: str) -> tuple[str, list[str]]:
    """A word may hold spaces (GloVe's 840B has some): the numbers are the last `width` fields."""
    fields = line.split(" ")
    if len(fields) <= width:
        sentence = "{where}: holds {value} numbers where a model of width {limit} needs {limit}"
        raise DataError(sentence, where, len(fields) - 1, width)
    return " ".join(fields[:-width]), fields[-width:]


def _vector(numbers: list[str], where: str) -> NDArray[np.float32]:
    try:
        vector = np.array(numbers, dtype=np.float32)
    except ValueError as problem:
        raise DataError("{where} holds {value}; give numbers only", where, why(problem)) from problem
    if not np.isfinite(vector).all():
        raise DataError("{where} holds a number that is not finite", where)
    return vector
