"""Rows as documents: a row each, or lines that follow one another; and documents as ids.

This is the one way to cut texts: for training, judging, predicting, tracing. A document, or the beginning of
one, is cut as the tokenizer says (`Tokenizer.encode_document`): whole, as the makers of tokenizers do, or
line by line where it has learned from a running text. A running text that is to be cut whole is cut in
windows, with the ids that it would have at once (`running.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, islice

from regard.data.rows import Row
from regard.data.running import cut_running
from regard.data.tokenizer import Tokenizer

_AT_ONCE = 4096  # rows whose texts are cut together


def pieces(rows: Iterable[Row]) -> Iterator[tuple[str, bool]]:
    """The text in order, in pieces, and whether a document ends with each. A running text is one document,
    with its line breaks."""
    running = False
    for row in rows:
        running = row.running
        yield row.values[0] + "\n" * (running and row.ends_line), not running
    if running:
        yield "", True


def cut(rows: Iterable[Row], tokenizer: Tokenizer) -> Iterator[tuple[list[int], bool]]:
    """The ids of the text in order, in pieces, and whether a document ends with each."""
    for running, some in groupby(rows, lambda row: row.running):
        texts = (row.values[0] for row in some)
        if not running:
            whole = ((tokenizer.encode_document(text), True) for text in texts)
            yield from whole if tokenizer.lines else _encoded(texts, tokenizer)
            continue
        lines = (f"{text}\n" for text in texts)
        if tokenizer.lines:
            yield from ((ids, False) for ids, _ in _encoded(lines, tokenizer))
        else:
            yield from ((ids, False) for ids in cut_running(lines, tokenizer.encode_with_offsets))
        yield [], True


def _encoded(texts: Iterable[str], tokenizer: Tokenizer) -> Iterator[tuple[list[int], bool]]:
    """Each by itself, many together."""
    stream = iter(texts)
    while some := list(islice(stream, _AT_ONCE)):
        yield from ((ids, True) for ids in tokenizer.encode_batch(some))
