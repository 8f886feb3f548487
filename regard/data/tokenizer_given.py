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
from dataclasses import dataclass
from typing import Any, Literal

from tokenizers import Tokenizer as Backend

from regard.data.charsmap import Charsmap
from regard.data.sample import REPLACEMENT, valid_text
from regard.data.token_places import Place
from regard.data.tokenizer import Tokenizer
from regard.data.tokenizer_file import read_part, write_content
from regard.data.tokenizer_trial import tried_where_unknown
from regard.data.unwritable import unwritable
from regard.errors import RegardError, TokenizerError, why
from regard.strict_json import VOCABULARY, check_limit

_SPARE = 1 << 16
"""Ids without a piece that a model's table may have: sizes are rounded up, not doubled."""
_MOST_GROWTH = 256.0
_SINGLE_BYTES = frozenset(f"<0x{byte:02X}>" for byte in range(256))
"""Tokens of a byte each, which a decoder that falls back on them takes for characters only as a whole run."""


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
        self.special_ids = tuple(sorted(self._special))
        self.special = tuple(self._names[index] for index in self.special_ids)
        self.between, self.ends = [self.eos] * given.between, frozenset((given.eos, *given.ends))
        self._of_bytes = _decodes(self._original, "ByteLevel")
        self._moving = _SINGLE_BYTES if _decodes(self._backend, "ByteFallback") else frozenset()
        self.encode("a, ɐ 中\n\U0001f600")  # any tokenizer must bear that

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
        with _library_errors("cannot cut a text"):
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
        with _library_errors("cannot cut a text"):
            if self._charsmap is not None:
                texts = [self._charsmap.normalise(text) for text in texts]
            return [x.ids for x in self._backend.encode_batch_fast(texts, add_special_tokens=False)]

    def _places(self, text: str) -> tuple[list[int], list[Place]]:
        with _library_errors("cannot cut a text"):
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
            self.name(index)
        kept = [i for i in ids if i == self.unk or i not in self._special]
        with _library_errors("cannot make a text of its tokens"):
            text: str = self._original.decode(kept, skip_special_tokens=False)
        return text.replace(self._names[self.unk], REPLACEMENT) if self.unk in kept else text

    def normalise(self, text: str) -> str:
        return self.decode(self.encode(text))

    def to_json(self) -> str:
        return write_content(self.spec, {"sample": None, "tokenizer": self.text})

    def to_hf(self) -> str:
        return self.text

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> GivenTokenizer:
        """What `to_json` wrote, parsed. Raises: TokenizerError."""
        spec: dict[str, Any] = {"between": 1, "ends": [], "sentencepiece": False, **content["spec"]}
        given = read_part(Given, spec, "spec")
        text = read_part(str, content.get("tokenizer"), "tokenizer")
        _check_size(text)
        tried_where_unknown(text)
        return cls(given, text)


def open_backend(text: str) -> Backend:
    """What a `tokenizer.json` describes, without its padding and truncation. Raises: TokenizerError when that
    is nothing, or makes too much of a text."""
    _check_size(text)
    with _library_errors("is damaged or of an unknown kind"):
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
    with _library_errors("is damaged"):
        return Charsmap(base64.b64decode(tables[0]), whole), json.dumps(content, ensure_ascii=False)


def _steps(normaliser: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What a normaliser does, one after the other."""
    if not normaliser:
        return []
    inner = normaliser.get("normalizers", None)
    return [normaliser] if inner is None else [step for part in inner for step in _steps(part)]


@contextmanager
def _library_errors(what: str) -> Iterator[None]:
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


def _decodes(backend: Backend, step: str) -> bool:
    """Whether its decoder has a step of this kind."""
    return backend.decoder is not None and f'"{step}"' in str(backend.decoder.__getstate__())
