"""A SentencePiece model as a `tokenizer.json`, read without the library.

The file is a protocol buffer, of which a few fields matter: pieces with their scores and kinds, whether
the model is a unigram or BPE one, and how texts are normalised (google/sentencepiece,
sentencepiece_model.proto).
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

from regard.errors import CheckpointError

_LARGEST = 1 << 24  # bytes
_MOST_PIECES, _LONGEST = 1 << 19, 256  # characters
_NORMAL, _UNKNOWN, _CONTROL, _DEFINED, _UNUSED, _BYTE = range(1, 7)
_SPACE = "▁"


@dataclass(frozen=True)
class Pieces:
    """What a SentencePiece model holds."""

    names: tuple[str, ...]
    scores: tuple[float, ...]
    kinds: tuple[int, ...]
    unigram: bool
    charsmap: bytes
    """How texts are normalised, in SentencePiece's own compiled form; empty for not at all."""
    prefix: bool
    """Whether a text gets a space before its first word."""
    tidy: bool
    """Whether spaces at the ends are taken away and several become one."""

    def renumbered(self, ids: Mapping[str, int]) -> Pieces:
        """The same with the ids of another list, as Marian's two models share one; what is only there is
        chosen only where nothing else fits. Raises: ValueError when the ids leave gaps."""
        names = sorted(ids, key=lambda name: ids[name])
        if [ids[name] for name in names] != list(range(len(names))):
            raise ValueError("its ids are not 0, 1, 2, …")
        scores = dict(zip(self.names, self.scores, strict=True))
        special = {"<unk>": _UNKNOWN, "</s>": _CONTROL, "<pad>": _CONTROL}
        kinds = (_DEFINED if re.fullmatch(">>.+<<", name) else special.get(name, _NORMAL) for name in names)
        absent = -1000.0
        found = tuple(scores.get(name, absent) if name not in special else absent for name in names)
        return replace(self, names=tuple(names), scores=found, kinds=tuple(kinds))

    def to_hf(self) -> str:
        """The `tokenizer.json` that cuts alike."""
        if not self.unigram:
            return self._bpe()
        unknown = self.kinds.index(_UNKNOWN) if _UNKNOWN in self.kinds else None
        model = models.Unigram(list(zip(self.names, self.scores, strict=True)), unknown, _BYTE in self.kinds)
        return self._finished(Backend(model))

    def _bpe(self) -> str:
        ids = {name: index for index, name in enumerate(self.names)}
        found = []
        for piece, index in ids.items():
            for cut in range(1, len(piece)):
                left, right = piece[:cut], piece[cut:]
                if left in ids and right in ids and self.kinds[index] in (_NORMAL, _DEFINED):
                    found.append((-self.scores[index], ids[left], ids[right], left, right))
        merges = [(left, right) for *_, left, right in sorted(found)]
        unknown = self.names[self.kinds.index(_UNKNOWN)] if _UNKNOWN in self.kinds else None
        bytes_too = _BYTE in self.kinds
        model = models.BPE(ids, merges, unk_token=unknown, fuse_unk=True, byte_fallback=bytes_too)
        return self._finished(Backend(model))

    def _finished(self, backend: Backend) -> str:
        steps: list[normalizers.Normalizer] = []
        if self.charsmap:
            steps.append(normalizers.Precompiled(self.charsmap))
        if self.tidy:
            steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
        if steps:
            backend.normalizer = normalizers.Sequence(steps)
        scheme = "always" if self.prefix else "never"
        backend.pre_tokenizer = pre_tokenizers.Metaspace(_SPACE, scheme, split=self.unigram)
        steps_back: list[Any] = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
        if self.prefix:
            steps_back.append(decoders.Strip(" ", 1, 0))
        backend.decoder = decoders.Sequence(steps_back)
        special = [
            AddedToken(name, special=True, normalized=False)
            for name, kind in zip(self.names, self.kinds, strict=True)
            if kind in (_UNKNOWN, _CONTROL)
        ]
        backend.add_special_tokens(special)
        backend.add_tokens(
            [
                AddedToken(name, normalized=False)
                for name, kind in zip(self.names, self.kinds, strict=True)
                if kind == _DEFINED
            ]
        )
        return backend.to_str()


def pieces_of(path: Path) -> Pieces:
    """Read a SentencePiece model. Raises: CheckpointError."""
    try:
        if path.stat().st_size > _LARGEST:
            raise CheckpointError(f"{path} is too large to be a SentencePiece model")
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return _parse(data)
    except (ValueError, struct.error, IndexError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: it is no SentencePiece model ({error})") from error


def _parse(data: bytes) -> Pieces:
    names, scores, kinds = [], [], []
    trainer: dict[int, Any] = {}
    normalizer: dict[int, Any] = {}
    for number, value in _fields(data):
        if number == 1:
            piece = _picked(value, 1, 2, 3)
            (score,) = struct.unpack("<f", piece.get(2, b"\0\0\0\0"))
            if not math.isfinite(score):
                raise ValueError("a score is not a number")
            names.append(piece[1].decode("utf-8") if 1 in piece else "")
            if len(names) > _MOST_PIECES or len(names[-1]) > _LONGEST:
                raise ValueError("it has too many pieces, or one that is too long")
            scores.append(score)
            kinds.append(piece.get(3, _NORMAL))
        elif number == 2:
            trainer = _picked(value, 3)
        elif number == 3:
            normalizer = _picked(value, 2, 3, 4)
    if not names or len(set(names)) != len(names):
        raise ValueError("it has no pieces, or one twice")
    model = trainer.get(3, 1)
    if model not in (1, 2):
        raise ValueError("it is neither a unigram nor a BPE model")
    return Pieces(
        tuple(names),
        tuple(scores),
        tuple(kinds),
        unigram=model == 1,
        charsmap=normalizer.get(2, b""),
        prefix=bool(normalizer.get(3, 1)),
        tidy=bool(normalizer.get(4, 1)),
    )


def _picked(data: bytes, *numbers: int) -> dict[int, Any]:
    """Some fields of a message."""
    return {number: value for number, value in _fields(data) if number in numbers}


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a message: whole numbers, or bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("a field is of no known kind")
        if size > len(data) - at:
            raise ValueError("it ends within a field")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number is too long")
