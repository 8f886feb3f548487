"""A tokenizer that was made elsewhere: the `tokenizer.json` of Hugging Face's libraries, as it is.

What such a file says is done by `tokenizers`; here are only the laws that ours keep: special tokens cannot
be written in a text, `unk` decodes to U+FFFD, an id beyond the vocabulary is refused, no character is in no
token's place. What is converted from SentencePiece is normalised as there. Decoding gives back
what the file's own decoder makes of the pieces, which for some kinds (BERT's) is not the text.
"""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from tokenizers import Tokenizer as Backend

from regard.data.charsmap import Charsmap
from regard.data.sample import REPLACEMENT, valid_text
from regard.data.token_places import Place
from regard.data.tokenizer import Tokenizer
from regard.data.tokenizer_file import FORMAT, VERSION
from regard.data.tokenizer_kinds import bytes_of, readable
from regard.data.tokenizer_trial import tried_where_unknown
from regard.data.unwritable import unwritable
from regard.errors import RegardError, TokenizerError, damaged, why
from regard.strict_json import VOCABULARY, check_limit

__all__ = ["Given", "GivenTokenizer", "open_backend"]


_SPARE = 1 << 16
"""Ids without a piece that a model's table may have: sizes are rounded up, not doubled."""
_SEPARATORS = 8
_MOST_GROWTH = 256.0


@dataclass(frozen=True)
class Given:
    """What is to be known of a `tokenizer.json` besides what it says itself."""

    size: int
    """How many ids the model has; some may have no piece."""
    pad: int
    bos: int
    """What a text begins with; BERT's `[CLS]`."""
    eos: int
    """What a text ends with; BERT's `[SEP]`."""
    unk: int | None = None
    mask: int | None = None
    begins: bool = True
    """Whether a text that goes on begins with `bos` (Llama's does, GPT-2's does not)."""
    start: int | None = None
    """What the input of an encoder begins with that has a decoder after it (BART's); None for nothing."""
    special: tuple[int, ...] = ()
    """Further ids that no text contains."""
    between: int = 1
    """How many `eos` stand between the two texts of a pair (RoBERTa has two)."""
    ends: tuple[int, ...] = ()
    """Further ids that end what is written (Llama 3 ends a turn by another than a text)."""
    sentencepiece: bool = False
    """Whether its compiled normalisation is done as SentencePiece does it, not as `tokenizers` does."""
    kind: Literal["given"] = "given"

    def __post_init__(self) -> None:
        named = [self.pad, self.bos, self.eos, self.unk, self.mask, self.start, *self.special, *self.ends]
        if not all(0 <= index < self.size for index in named if index is not None):
            raise TokenizerError("a special token is not one of the {limit} ids of the tokenizer", self.size)
        if self.between not in (1, 2):
            sentence = "{value} separators stand in a pair; there must be {limit}"
            raise TokenizerError(sentence, self.between, "1 or 2")


class GivenTokenizer(Tokenizer):
    """See the module's docstring."""

    lines = False
    """A text is cut whole, as its makers do."""

    def __init__(self, given: Given, text: str) -> None:
        """`text`: the `tokenizer.json`. Raises: TokenizerError."""
        self.spec: Any = given
        self.text = text
        self.sample = None
        self._original = open_backend(text)
        self._names = _names(self._original, given.size)
        added = self._original.get_added_tokens_decoder()
        self._charsmap, cutting = None, text
        if given.sentencepiece:
            self._charsmap, cutting = _charsmap(text, [x.content for x in added.values() if not x.special])
        other = unwritable(cutting, type(self._original.model).__name__)
        self._backend = open_backend(other or cutting) if other or self._charsmap else self._original
        self._backend.encode_special_tokens = True  # which means: as any other text
        self.pad, self.bos, self.eos, self.mask = given.pad, given.bos, given.eos, given.mask
        self.unk = -1 if given.unk is None else given.unk
        self.start = given.start
        mask = added.get(-1 if given.mask is None else given.mask)
        self.mask_takes_space = mask is not None and mask.lstrip
        named = {given.pad, given.bos, given.eos, given.unk, given.mask, given.start, *given.special}
        self._special = frozenset(index for index in named if index is not None)
        self._ends = frozenset((given.eos, *given.ends))
        self.special = tuple(self._names[index] for index in sorted(self._special))
        self.encode("a, ɐ 中\n\U0001f600")  # any tokenizer must bear that

    @property
    def special_ids(self) -> tuple[int, ...]:
        return tuple(sorted(self._special))

    @property
    def between(self) -> list[int]:
        return [self.eos] * int(self.spec.between)

    @property
    def ends(self) -> frozenset[int]:
        return self._ends

    def encode_prompt(self, text: str) -> list[int]:
        ids = self.encode(text)
        return [self.bos, *ids] if self.spec.begins or not ids else ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GivenTokenizer) and (self.spec, self.text) == (other.spec, other.text)

    def __hash__(self) -> int:
        return hash((self.spec, len(self.text)))

    def encode(self, text: str) -> list[int]:
        return self.encode_batch([text])[0]

    def encode_framed(self, text: str) -> list[int]:
        """The ids of a text in which the names of added tokens mean those: what a chat template wrote, never
        what a user did."""
        charsmap, backend = self._framing
        with _bearing("cannot cut a text"):
            text = charsmap.normalise(valid_text(text)) if charsmap else text
            return list(backend.encode(text, add_special_tokens=False).ids)

    @functools.cached_property
    def _framing(self) -> tuple[Charsmap | None, Backend]:
        if self._charsmap is None:
            return None, open_backend(self.text)
        added = self._original.get_added_tokens_decoder().values()
        charsmap, text = _charsmap(self.text, [token.content for token in added])
        return charsmap, open_backend(text)

    @property
    def added(self) -> tuple[str, ...]:
        """The names that `encode_framed` takes for special tokens."""
        tokens = self._original.get_added_tokens_decoder().values()
        return tuple(token.content for token in tokens if token.special)

    def _encode(self, texts: list[str]) -> list[list[int]]:
        with _bearing("cannot cut a text"):
            if self._charsmap is not None:
                texts = [self._charsmap.normalise(text) for text in texts]
            return [x.ids for x in self._backend.encode_batch_fast(texts, add_special_tokens=False)]

    def _places(self, text: str) -> tuple[list[int], list[Place]]:
        with _bearing("cannot cut a text"):
            if self._charsmap is None:
                return super()._places(text)
            made, origins = self._charsmap.aligned(text)
            ids, places = super()._places(made)
        origins.append((len(text), len(text)))  # where a token without a place may stand
        return ids, [
            (origins[start][0], origins[end - 1][1]) if start < end else (origins[start][0],) * 2
            for start, end in places
        ]

    def decode(self, ids: Sequence[int]) -> str:
        for index in ids:
            self._piece(index)
        kept = [i for i in ids if i == self.unk or not self._is_special(i)]
        with _bearing("cannot make a text of its pieces"):
            text: str = self._original.decode(kept, skip_special_tokens=False)
        return text.replace(self._names[self.unk], REPLACEMENT) if self.unk in kept else text

    def settled(self, ids: Sequence[int]) -> int:
        count = len(ids)
        while count and self._names[ids[count - 1]] in self._lone_bytes:
            count -= 1
        return count

    @functools.cached_property
    def _lone_bytes(self) -> frozenset[str]:
        """Pieces that are a byte each, which a decoder takes for characters only as a whole run of them."""
        falls_back = '"ByteFallback"' in json.dumps(json.loads(self._backend.to_str())["decoder"])
        return frozenset(f"<0x{byte:02X}>" for byte in range(256)) if falls_back else frozenset()

    def pieces(self, ids: Sequence[int]) -> list[str]:
        names = [self._piece(index) for index in ids]
        if not self._of_bytes:
            return names
        return [name if self._is_special(i) else _readable(name) for i, name in zip(ids, names, strict=True)]

    @functools.cached_property
    def _of_bytes(self) -> bool:
        return '"ByteLevel"' in json.dumps(json.loads(self._original.to_str())["decoder"])

    def normalise(self, text: str) -> str:
        return self.decode(self.encode(text))

    def to_json(self) -> str:
        content = {
            "format": FORMAT,
            "version": VERSION,
            "spec": asdict(self.spec),
            "sample": None,
            "tokenizer": self.text,
        }
        return json.dumps(content, ensure_ascii=False, indent=0) + "\n"

    def to_hf(self) -> str:
        return self.text

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> GivenTokenizer:
        """What `to_json` wrote, parsed. Raises: TokenizerError."""
        spec: dict[str, Any] = {"between": 1, "ends": [], "sentencepiece": False, **dict(content["spec"])}
        text = content.get("tokenizer")
        known = {field.name for field in fields(Given)}
        lists = [spec.get(name) for name in ("special", "ends")]
        whole = [spec.get(name) for name in ("size", "pad", "bos", "eos", "between")]
        perhaps = [spec.get(name) for name in ("unk", "mask", "start")]
        good = (
            set(spec) == known
            and isinstance(text, str)
            and all(isinstance(some, list) and all(type(value) is int for value in some) for some in lists)
            and all(type(value) is int for value in whole)
            and all(value is None or type(value) is int for value in perhaps)
            and all(type(spec[name]) is bool for name in ("begins", "sentencepiece"))
            and 0 <= spec["between"] <= _SEPARATORS
        )
        if not good:
            raise damaged(TokenizerError, "the tokenizer", "a value of its spec is wrong")
        assert isinstance(text, str)
        _check_size(text)
        tried_where_unknown(text)
        return cls(Given(**{**spec, "special": tuple(spec["special"]), "ends": tuple(spec["ends"])}), text)

    def _is_special(self, index: int) -> bool:
        return index in self._special


def open_backend(text: str) -> Backend:
    """What a `tokenizer.json` describes, without its padding and truncation. Raises: TokenizerError when that
    is nothing, or makes too much of a text."""
    _check_size(text)
    with _bearing("is damaged or of an unknown kind"):
        backend = Backend.from_str(text)
    backend.no_truncation()
    backend.no_padding()
    for part, what in ((backend.normalizer, "normalizer"), (backend.decoder, "decoder")):
        if part is not None and (growth := _growth(json.loads(part.__getstate__()))) > _MOST_GROWTH:
            sentence = "{where} makes up to {value:.3g} characters of one, by its {key}"
            raise TokenizerError(sentence, "tokenizer.json", growth, what)
    return backend


def _check_size(text: str) -> None:
    try:
        check_limit(text, VOCABULARY)
    except ValueError as error:
        raise TokenizerError("{where} cannot be used: {value}", "tokenizer.json", error) from error


def _charsmap(text: str, whole: list[str]) -> tuple[Charsmap | None, str]:
    """The compiled normalisation of a `tokenizer.json`, which leaves some texts whole, and the file without
    it; None where it has none. Raises: TokenizerError."""
    content = json.loads(text)
    steps = _steps(content.get("normalizer"))
    tables = [step["precompiled_charsmap"] for step in steps if step.get("type") == "Precompiled"]
    if not tables:
        return None, text
    others = [step for step in steps if step.get("type") != "Precompiled"]
    content["normalizer"] = {"type": "Sequence", "normalizers": others}
    with _bearing("is damaged"):
        return Charsmap(base64.b64decode(tables[0]), whole), json.dumps(content, ensure_ascii=False)


def _steps(normaliser: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What a normaliser does, one after the other."""
    if not normaliser:
        return []
    inner = normaliser.get("normalizers", None)
    return [normaliser] if inner is None else [step for part in inner for step in _steps(part)]


@contextmanager
def _bearing(what: str) -> Iterator[None]:
    """What the library's Rust code cannot bear is no Exception there, and a TokenizerError here."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError, RegardError):
        raise
    except BaseException as error:
        raise TokenizerError("{where} {value}: {reason}", "tokenizer.json", what, why(error)) from error


def _growth(part: Any) -> float:
    """How many characters a normaliser or decoder can make of one. What the forms of Unicode make does not
    grow again when they are applied again."""
    replaced, unicode = 1.0, 1.0
    for step in part.get("normalizers", part.get("decoders", [part])):
        kind = step.get("type")
        if kind == "Sequence":
            replaced *= _growth(step)
        elif kind == "Replace":
            pattern = step.get("pattern", {})
            taken = len(pattern["String"]) if "String" in pattern else 1  # a pattern may match nothing, too
            replaced *= max(1.0, len(step.get("content", "")) / max(taken, 1))
        elif kind == "Prepend":
            replaced *= 1.0 + len(step.get("prepend", ""))
        elif kind in ("NFKC", "NFKD", "Precompiled"):
            unicode = max(unicode, 18.0, _longest(step.get("precompiled_charsmap")))
        elif kind in ("NFC", "NFD", "BertNormalizer", "Lowercase"):
            unicode = max(unicode, 4.0)
    return replaced * unicode


def _longest(charsmap: str | None) -> int:
    """Of SentencePiece's compiled normalisation: a table of some bytes, and the texts that it points to, each
    ended by a zero."""
    raw = base64.b64decode(charsmap or "")
    texts = raw[4 + int.from_bytes(raw[:4], "little") :]
    return max(map(len, texts.split(b"\0")))


def _names(backend: Backend, size: int) -> tuple[str, ...]:
    """A name for each id. Raises: TokenizerError for ids beyond `size`, or a size far beyond them."""
    known = backend.get_vocab_size(with_added_tokens=True)
    if not 0 < size <= known + _SPARE:
        sentence = "the size of the vocabulary is {value}, but the tokenizer knows {limit} pieces"
        raise TokenizerError(sentence, size, known)
    names = [f"<unused {index}>" for index in range(size)]
    for name, index in backend.get_vocab(with_added_tokens=True).items():
        if index >= size:
            sentence = "the tokenizer has the id {value}, but the model only ids below {limit}"
            raise TokenizerError(sentence, index, size)
        names[index] = name
    return tuple(names)


def _readable(name: str) -> str:
    try:
        return readable(bytes_of(name))
    except KeyError:  # a token that was added as it is
        return name
