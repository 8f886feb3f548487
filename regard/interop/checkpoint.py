"""A folder as other libraries leave it: `config.json`, safetensors in one file or several, tokenizer files.

Only headers are read until they are believed. A pickle is never opened, whatever it is called, and no file
outside the folder is read because a file inside it says so. This file does not know what the weights mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regard.errors import BundleError, CheckpointError, damaged
from regard.strict_json import CONFIGURATION, HEADER, VOCABULARY, Limit, read_object, read_text
from regard.weights import Entry, check_finite, read_header, read_weights

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")
_MOST_SHARDS = 4096
_FLOATS = ("F64", "F32", "F16", "BF16")
_OLD_NAMES = ((re.compile(r"\.gamma$"), ".weight"), (re.compile(r"\.beta$"), ".bias"))
_WRAPPERS = re.compile(
    r"^(?:module\.|_forward_module\.)+"
    r"|(?:(?<=\.)|^)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_fpw_module)\."
)
"""What DataParallel, DeepSpeed, torch.compile, FSDP and activation checkpointing leave in names."""


@dataclass(frozen=True)
class Checkpoint:
    """What a folder holds, its weights not yet read."""

    folder: Path
    config: Mapping[str, Any]
    entries: Mapping[str, Entry]
    """Type and shape of each weight."""
    files: Mapping[str, Path]
    """The file that each is in."""
    renamed: bool = False
    """Whether some of them have another name in their file."""

    def text(self, name: str) -> str | None:
        """A text file of the folder; None where there is none."""
        path = self.folder / name
        return read_text(path, VOCABULARY.bytes, CheckpointError) if path.is_file() else None

    def json(self, name: str, limit: Limit = CONFIGURATION) -> dict[str, Any] | None:
        """A JSON object of the folder; None where there is none."""
        path = self.folder / name
        return read_object(path, CheckpointError, limit=limit) if path.is_file() else None

    def weights(self) -> dict[str, Tensor]:
        """All of them: floats in float32, the rest as they are."""
        found: dict[str, Tensor] = {}
        for path in dict.fromkeys(self.files.values()):
            with _damage():
                found |= read_weights(path)
        floats = (torch.float64, torch.float16, torch.bfloat16)
        made = {
            _today(name): weight.to(torch.float32) if weight.dtype in floats else weight
            for name, weight in found.items()
        }
        with _damage():  # what was finite in 64 bits may not be so in 32
            check_finite(made, f"{self.folder}")
        return made


def open_checkpoint(folder: str | Path) -> Checkpoint:
    """Look at the folder, reading only its configuration and the headers of its weights.

    Raises: CheckpointError: no checkpoint, a damaged one, or one that is not safetensors.
    """
    place = Path(folder)
    if not place.is_dir():
        sentence = "{where} is not a folder; give the one that holds {limit}"
        raise CheckpointError(sentence, place, f"{CONFIG} and {WEIGHTS}")
    if not (place / CONFIG).is_file():
        raise CheckpointError("{where} is not a checkpoint: it has no {key}", place, CONFIG)
    config = read_object(place / CONFIG, CheckpointError)
    if (place / WEIGHTS).is_file():
        shards = {place / WEIGHTS: _header(place / WEIGHTS)}
    elif (place / INDEX).is_file():
        shards = _shards(place)
    else:
        raise _no_weights(place)
    entries: dict[str, Entry] = {}
    files: dict[str, Path] = {}
    for path, header in shards.items():
        for old, entry in header.items():
            name = _today(old)
            if name in entries:
                sentence = "{where}: the weight '{key}' is also in {other}"
                raise CheckpointError(sentence, path, name, files[name].name)
            entries[name], files[name] = entry, path
    renamed = any(_WRAPPERS.search(name) for header in shards.values() for name in header)
    return Checkpoint(place, config, entries, files, renamed)


def _shards(place: Path) -> dict[Path, dict[str, Entry]]:
    """The files that the index names, and what is in them, which must be what the index says."""
    shown = place / INDEX
    where = read_object(shown, CheckpointError, limit=HEADER).get("weight_map")
    if not isinstance(where, dict) or not where or not all(isinstance(v, str) for v in where.values()):
        raise damaged(CheckpointError, shown, "its 'weight_map' does not say which file holds what")
    names = sorted(set(where.values()))
    if len(names) > _MOST_SHARDS:
        sentence = "{where} names {value:,} files; at most {limit:,} are read"
        raise CheckpointError(sentence, shown, len(names), _MOST_SHARDS)
    shards = {}
    for name in names:
        if not re.fullmatch(r"[\w-][\w.-]*\.safetensors", name):
            sentence = "{where} names the file '{value}'; it must be a .safetensors file of the same folder"
            raise CheckpointError(sentence, shown, name)
        if not (place / name).is_file():
            sentence = "{where} is not whole: {key}, which {index} names, is missing"
            raise CheckpointError(sentence, place, name, INDEX)
        shards[place / name] = _header(place / name)
    for weight, name in where.items():
        if weight not in shards[place / name]:
            sentence = "{where} has no '{key}', which {index} says is in it"
            raise CheckpointError(sentence, place / name, weight, INDEX)
    for path, header in shards.items():
        for weight in header:
            if where.get(weight) != path.name:
                sentence = "{where} holds '{key}', of which {index} does not know"
                raise CheckpointError(sentence, path, weight, INDEX)
    return shards


def _header(path: Path) -> dict[str, Entry]:
    with _damage():
        return read_header(path)


def _no_weights(place: Path) -> CheckpointError:
    pickles = (path.name for path in place.iterdir() if path.suffix in PICKLES)
    return no_weights(place, pickles, "convert it to safetensors with the library that wrote it")


def no_weights(where: object, pickles: Iterable[str], remedy: str) -> CheckpointError:
    """What to raise where no file can be read; `remedy`: of `pickles`, where there are some."""
    for name in sorted(pickles):
        sentence = "{where} has no {key}, and {value} may be a pickle, which can run code and is never opened"
        return CheckpointError(sentence, where, WEIGHTS, name, remedy=remedy)
    return CheckpointError(
        "{where} is not a checkpoint: it has neither {key} nor {index}", where, WEIGHTS, INDEX
    )


def _today(name: str) -> str:
    """The name that a weight has today which has one of the first BERTs', or was saved with what wrapped its
    model."""
    while (bare := _WRAPPERS.sub("", name)) != name:
        name = bare
    for old, new in _OLD_NAMES:
        name = old.sub(new, name)
    return name


def is_float(entry: Entry) -> bool:
    """Whether it holds floating-point numbers."""
    return entry.dtype in _FLOATS


@contextmanager
def _damage() -> Iterator[None]:
    """What is wrong with a file of tensors is the checkpoint's fault."""
    try:
        yield
    except BundleError as error:
        raise CheckpointError.of(error) from error
