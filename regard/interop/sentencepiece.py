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

from regard.data.unwritable import ABSENT, NEVER
from regard.errors import CheckpointError, damaged, reading

_LARGEST = 1 << 24  # bytes
_MOST_PIECES, _LONGEST = 1 << 19, 256  # characters
_NORMAL, _UNKNOWN, _CONTROL, _DEFINED, _UNUSED, _BYTE, _LISTED = range(1, 8)
"""Of pieces, as the file numbers them; the last are in a list of ids only."""
_SPACE = "▁"
_NOBODYS = "\U0010fffd"
"""A letter that no model knows, since Unicode leaves it to whoever wants it."""
_NEARBY = 64
"""Letters whose numbers are as near as that."""
_MODELS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


class _UnsupportedError(Exception):
    """What a sound model may say, but what is not done here."""


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
    first: bool | None = None
    """Whether the prefix stands only before a text, not after each token that is taken out of it, too, as
    classes of transformers have it, which put none before a space; None for SentencePiece's own."""
    foreign: str = ""
    """A pattern of what is unknown as a whole, though the list of ids has its letters; empty for none."""
    words: bool = False
    """Whether a text is split at white space of any kind first, whatever SentencePiece takes for a space."""

    def renumbered(self, ids: Mapping[str, int]) -> Pieces:
        """The same with the ids of another list, as Marian's two models share one. What only the list has
        is chosen where letters that the model does not know, all that stand together, spell just that; other
        such letters are unknown together. Raises: ValueError when the ids leave gaps."""
        names = sorted(ids, key=lambda name: ids[name])
        if [ids[name] for name in names] != list(range(len(names))):
            raise ValueError("its ids are not 0, 1, 2, …")
        scores = dict(zip(self.names, self.scores, strict=True))
        special = {"<unk>": _UNKNOWN, "</s>": _CONTROL, "<pad>": _CONTROL}
        kinds = special | {name: _DEFINED for name in names if re.fullmatch(">>.+<<", name)}
        letters = {name for name in scores if len(name) == 1} | {" ", _SPACE}
        absent = [name for name in names if name not in scores and name not in special]
        spelt = [name for name in absent if letters.isdisjoint(name)]
        found = {**scores, **dict.fromkeys(absent, NEVER), **dict.fromkeys([*special, *spelt], ABSENT)}
        return replace(
            self,
            names=tuple(names),
            scores=tuple(found[name] for name in names),
            kinds=tuple(kinds.get(name, _NORMAL if name in scores else _LISTED) for name in names),
            foreign=_foreign(letters, spelt) if spelt else "",
        )

    def reordered(self, before: Mapping[str, float], start: int, after: tuple[str, ...]) -> Pieces:
        """The same without the first `start` pieces, with special tokens before and after the others: the
        ids of fairseq's models (XLM-R, CamemBERT). `<unk>` among `before` is what is unknown."""
        kinds = [_UNKNOWN if name == "<unk>" else _CONTROL for name in before]
        return replace(
            self,
            names=(*before, *self.names[start:], *after),
            scores=(*before.values(), *self.scores[start:], *(0.0 for _ in after)),
            kinds=(*kinds, *self.kinds[start:], *(_CONTROL for _ in after)),
        )

    def backend(self) -> Backend:
        """The tokenizer that cuts alike, save for how the compiled normalisation is done."""
        if not self.unigram:
            return self._bpe()
        unknown = self.kinds.index(_UNKNOWN) if _UNKNOWN in self.kinds else None
        model = models.Unigram(list(zip(self.names, self.scores, strict=True)), unknown, _BYTE in self.kinds)
        return self._finished(Backend(model))

    def _bpe(self) -> Backend:
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

    def _finished(self, backend: Backend) -> Backend:
        steps: list[normalizers.Normalizer] = []
        if self.charsmap:
            steps.append(normalizers.Precompiled(self.charsmap))
        if self.foreign:
            steps.append(normalizers.Replace(Regex(self.foreign), _NOBODYS))
        if self.tidy:
            steps += [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Replace(Regex(r"\A | \z"), "")]
        scheme = "never" if not self.prefix else "first" if self.first else "always"
        if self.first is None:
            steps += self._own_spaces()
            scheme = "never"
        if steps:
            backend.normalizer = normalizers.Sequence(steps)
        within = self._within_words()
        splitting: pre_tokenizers.PreTokenizer = pre_tokenizers.Metaspace(_SPACE, scheme, split=within)
        if self.words:
            splitting = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), splitting])
        backend.pre_tokenizer = splitting
        steps_back: list[Any] = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
        if self.prefix:
            steps_back.append(decoders.Strip(" ", 1, 0))
        backend.decoder = decoders.Sequence(steps_back)
        special, defined = self._of_kinds(_UNKNOWN, _CONTROL, _UNUSED), self._of_kinds(_DEFINED)
        backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
        backend.add_tokens([AddedToken(name, normalized=False) for name in defined])
        return backend

    def _of_kinds(self, *kinds: int) -> list[str]:
        return [name for name, kind in zip(self.names, self.kinds, strict=True) if kind in kinds]

    def _own_spaces(self) -> list[normalizers.Normalizer]:
        """SentencePiece's: a prefix before whatever a text begins with, and what is written as it writes a
        space is one at the end, but not before."""
        steps: list[normalizers.Normalizer] = [normalizers.Replace(" ", _SPACE)]
        if self.tidy:
            steps.append(normalizers.Replace(Regex(rf"{_SPACE}+\z"), ""))
        return [*steps, normalizers.Prepend(_SPACE)] if self.prefix else steps

    def _within_words(self) -> bool:
        """Whether no piece reaches from one word into the next, so that words can be cut one by one."""
        return self.unigram and not any(_SPACE in name[1:] for name in self._of_kinds(_NORMAL))


def _foreign(letters: set[str], spelt: list[str]) -> str:
    """A pattern of two letters or more that are not among those, all that stand together, unless they spell
    one of some, which are many: of these, only such are tried as begin nearby."""
    other = f"[^{''.join(map(_coded, sorted(letters)))}]"
    nearby: dict[int, list[str]] = {}
    for name in spelt:
        if len(name) > 1:
            nearby.setdefault(ord(name[0]) // _NEARBY, []).append("".join(map(_coded, name)))
    several = "|".join(
        rf"(?=[\x{{{block * _NEARBY:X}}}-\x{{{block * _NEARBY + _NEARBY - 1:X}}}])(?:{'|'.join(names)})"
        for block, names in nearby.items()
    )
    but = f"(?!(?:{several})(?!{other}))" if several else ""
    return f"(?<!{other})(?={other}{{2}}){but}{other}+"


def _coded(letter: str) -> str:
    """A letter in a pattern: by its number, unless it can have no other meaning there."""
    return letter if letter.isalnum() else rf"\x{{{ord(letter):X}}}"


def pieces_of(path: Path) -> Pieces:
    """Read a SentencePiece model. Raises: CheckpointError."""
    with reading(CheckpointError, path):
        if path.stat().st_size > _LARGEST:
            raise CheckpointError("{where} is too large to be a SentencePiece model", path)
        data = path.read_bytes()
    try:
        return _parse(data)
    except _UnsupportedError as error:
        raise CheckpointError("{where} is of a kind that is not supported: {value}", path, error) from error
    except (ValueError, struct.error, IndexError, TypeError) as error:
        raise damaged(CheckpointError, path, f"it is no SentencePiece model ({error})") from error


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
            trainer = _picked(value, 3, 24)
        elif number == 3:
            normalizer = _picked(value, 2, 3, 4, 5)
    if not names or len(set(names)) != len(names):
        raise ValueError("it has no pieces, or one twice")
    model = trainer.get(3, 1)
    if model not in _MODELS:
        raise ValueError("it is no model of pieces")
    if model > 2:
        raise _UnsupportedError(f"its 'model_type' is {_MODELS[model]}; unigram and bpe can be taken")
    if trainer.get(24, 0):
        raise _UnsupportedError("its 'treat_whitespace_as_suffix' is true; only false can be taken")
    if not normalizer.get(5, 1):
        raise _UnsupportedError("its 'escape_whitespaces' is false; only true can be taken")
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
    """The fields of a message: integers, or bytes."""
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
