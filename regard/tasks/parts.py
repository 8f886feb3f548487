"""What several tasks do alike: tables sized by a tokenizer, tokenizers out of a bundle, rows side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from regard.data.tokenizer import Tokenizer
from regard.errors import BundleError, ConfigError, InputError
from regard.model.embed import Embed, Tokens
from regard.model.mask import Contiguous, Positions, Ragged

TOKENIZER = "tokenizer.json"


def sized(embed: Embed, tokenizer: Tokenizer, path: str) -> Tokens:
    """A table of as many rows as the tokenizer has ids. Raises: ConfigError when it was made for others, or
    reads no ids."""
    if not isinstance(embed, Tokens):
        sentence = "{key}: is '{value}', but this task reads '{limit}'"
        raise ConfigError(sentence, path.rpartition(".")[0], embed.kind, "tokens")
    if embed.vocab not in (0, tokenizer.size):
        raise other_size(path, embed.vocab, "the tokenizer has", tokenizer.size)
    return replace(embed, vocab=tokenizer.size)


def other_size(key: str, value: int, found: str, limit: int) -> ConfigError:
    """What to raise when an option says another size than is there; `found`: where it is `limit`."""
    return ConfigError("{key}: is {value}, but {found} {limit}; leave it at 0", key, value, found, limit)


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


def by_length(rows: Sequence[Sequence[int]], tokens: int) -> Iterator[list[int]]:
    """The numbers of rows that are handled together: the longest first, so many as make `tokens`."""
    order = sorted(range(len(rows)), key=lambda row: -len(rows[row]))
    start = 0
    while start < len(order):
        some = order[start : start + max(1, tokens // max(1, len(rows[order[start]])))]
        yield some
        start += len(some)
