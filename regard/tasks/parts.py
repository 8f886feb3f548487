"""What several tasks do alike: tables sized by a tokenizer, tokenizers out of a bundle, rows side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from regard.data.tokenizer import Tokenizer
from regard.errors import BundleError, ConfigError, InputError, damaged
from regard.model.embed import Embed, Tokens
from regard.model.mask import Contiguous, Positions, Ragged
from regard.model.transformer import Transformer
from regard.strict_json import loads

_Item = TypeVar("_Item")
TOKENIZER = "tokenizer.json"
ENCODE_AT_ONCE = 4096
"""Rows whose texts are cut into tokens together."""


def sized(embed: Embed, tokenizer: Tokenizer, path: str) -> Tokens:
    """A table of as many rows as the tokenizer has ids. Raises: ConfigError when it was made for others, or
    reads no ids."""
    if not isinstance(embed, Tokens):
        sentence = "{key}: is '{value}', but this task reads '{limit}'"
        raise ConfigError(sentence, path, embed.kind, "tokens")
    return with_sizes(embed, path, "the tokenizer has", vocab=tokenizer.size)


def with_sizes(part: _Item, path: str, found: str, **sizes: int) -> _Item:
    """The part of a model with the sizes that the data decide; `found`: what these are of.

    Raises: ConfigError when it was made for others; 0 leaves it open.
    """
    for key, limit in sizes.items():
        if (value := getattr(part, key)) not in (0, limit):
            sentence = "{key}: is {value}, but {found} {limit}; leave it at 0"
            raise ConfigError(sentence, f"{path}.{key}", value, found, limit)
    return replace(part, **sizes)  # type: ignore[type-var]


def not_for(task: str, key: str, value: str, limit: str) -> ConfigError:
    """What to raise when a task needs `limit` as the option `key`."""
    return ConfigError("{where} needs {key}={limit}, not '{value}'", task, key, limit, value)


def too_long(text: str, tokens: int, most: int) -> InputError:
    """What to raise when an input has too many tokens."""
    shown = text if len(text) <= 40 else text[:39] + "…"
    sentence = "the input '{where}' has {value} tokens, this model takes {limit}; split it into shorter ones"
    return InputError(sentence, shown, tokens, most)


def kept(files: Mapping[str, str], name: str) -> str:
    """The contents of a file that a bundle holds. Raises: BundleError when it does not."""
    if name not in files:
        raise BundleError("{where} is missing, without which this model cannot be used", name)
    return files[name]


def kept_json(files: Mapping[str, str], name: str, sound: Callable[[Any], bool], why: str) -> Any:
    """What a file of a bundle says as JSON. Raises: BundleError when it is missing, or not `sound`, and why
    it is then of no use."""
    text = kept(files, name)
    with suppress(ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
        found = loads(text)
        if sound(found):
            return found
    raise damaged(BundleError, name, why)


def kept_tokenizer(files: Mapping[str, str]) -> Tokenizer:
    """The tokenizer that a bundle holds. Raises: BundleError when it does not."""
    return Tokenizer.from_json(kept(files, TOKENIZER))


def side_by_side(rows: Sequence[Sequence[int]], pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ids as a table (rows, longest), filled up with `pad` on the right, and their lengths (rows)."""
    lengths = np.array([len(ids) for ids in rows])
    table = np.full((len(rows), int(lengths.max())), pad)
    for row, ids in enumerate(rows):
        table[row, : len(ids)] = ids
    return table, lengths


def on_the_right(
    rows: Sequence[Sequence[int]], pad: int, device: torch.device | None = None
) -> tuple[Tensor, Positions]:
    """Rows of ids as a tensor (rows, longest), filled up with `pad` on the right, and where they stand."""
    table, lengths = side_by_side(rows, pad)
    at: Positions = Contiguous(0, table.shape[1])
    if int(lengths.min()) < table.shape[1]:
        at = Ragged.from_lengths(torch.from_numpy(lengths), table.shape[1]).on(device)
    return torch.from_numpy(table).to(device), at


def by_length(rows: Sequence[Sequence[int]], tokens: int, more: int = 0) -> Iterator[list[int]]:
    """The numbers of rows that are handled together: the longest first, so many as make `tokens`; each row
    has so many `more`."""
    order = sorted(range(len(rows)), key=lambda row: -len(rows[row]))
    start = 0
    while start < len(order):
        some = order[start : start + max(1, tokens // max(1, len(rows[order[start]]) + more))]
        yield some
        start += len(some)


def in_groups(
    rows: Sequence[Sequence[int]], pad: int, tokens: int, model: nn.Module
) -> Iterator[tuple[list[int], Tensor, Positions]]:
    """Rows as `by_length` has them: their numbers, and what `on_the_right` makes of them for the model."""
    assert isinstance(model, Transformer)
    for some in by_length(rows, tokens):
        yield some, *on_the_right([rows[row] for row in some], pad, model.device)


def chunks(items: Iterable[_Item], size: int = ENCODE_AT_ONCE) -> Iterator[list[_Item]]:
    """So many at a time."""
    stream = iter(items)
    while some := list(islice(stream, size)):
        yield some


def window_starts(count: int, room: int, stride: int) -> list[int]:
    """Where windows over `count` tokens begin, of which each shows `room`: one `stride` after the other, or
    half of that room if it is 0."""
    step = min(stride or max(1, room // 2), room)
    return list(range(0, max(1, count - room + step), step))
