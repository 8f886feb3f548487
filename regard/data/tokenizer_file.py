"""A tokenizer as one JSON text, and back: nothing that is read is believed before it is checked.

The whole pipeline follows from the spec, so the file holds only the spec and the vocabulary; there is no
pattern or code in it that could do harm.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from regard.data.sample import Sample
from regard.data.tokenizer_kinds import BPE, BYTES, ByteBPE, TokenizerSpec, Unigram
from regard.data.vocabulary import Vocabulary
from regard.errors import ConfigError, TokenizerError, damaged
from regard.schema import parse
from regard.strict_json import VOCABULARY, loads

FORMAT = "regard-tokenizer"
VERSION = 1


def write_content(spec: Any, parts: Mapping[str, Any]) -> str:
    """All of a tokenizer as one JSON text, which `read_content` takes back."""
    content = {"format": FORMAT, "version": VERSION, "spec": asdict(spec), **parts}
    return json.dumps(content, ensure_ascii=False, indent=0) + "\n"


def read_content(text: str) -> dict[str, Any]:
    """The JSON object that a tokenizer of this library is kept as.

    Raises:
        TokenizerError: the text is not one, is too large, too new, or contradicts itself.
    """
    try:
        content = loads(text, VOCABULARY)
    except ValueError as error:
        raise damaged(
            TokenizerError, "the tokenizer", f"it is not JSON that can be used ({error})"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise TokenizerError('this is no tokenizer of regard: it has no "{key}": "{limit}"', "format", FORMAT)
    if content.get("version") != VERSION:
        sentence = "the tokenizer has {key} {value!r} and this regard reads {limit}; upgrade regard"
        raise TokenizerError(sentence, "version", content.get("version"), VERSION)
    return content


def read_tokenizer(
    content: dict[str, Any],
) -> tuple[TokenizerSpec, Vocabulary, Sample | None, bool | None]:
    """A tokenizer of one of our kinds.

    Raises:
        TokenizerError: the content contradicts itself.
    """
    spec = read_part(TokenizerSpec, content.get("spec"), "spec")
    learned = {name: content.get(name) for name in ("pieces", "merges", "scores")}
    vocabulary = read_part(Vocabulary, learned, "vocabulary")
    _require(content.get("special") == list(spec.special), "its special tokens are not those of its kind")
    _check_vocabulary(spec, vocabulary)
    sample = read_part(Sample | None, content.get("sample"), "sample")
    return spec, vocabulary, sample, read_part(bool | None, content.get("lines"), "lines")


def read_part(kind: object, value: Any, name: str) -> Any:
    """A part of the content as what it was written from, with every key. Raises: TokenizerError."""
    try:
        part = parse(kind, value, prefix=name)
    except ConfigError as error:
        raise damaged(TokenizerError, "the tokenizer", error) from error
    whole = not is_dataclass(part) or set(value) == {field.name for field in fields(part)}
    _require(whole, f'a key of its "{name}" is missing')
    return part


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise damaged(TokenizerError, "the tokenizer", what)


def _check_vocabulary(spec: TokenizerSpec, vocabulary: Vocabulary) -> None:
    known = {*spec.special, *vocabulary.pieces}
    size = len(known)
    _require(size == len(spec.special) + len(vocabulary.pieces), "a token is there twice")
    _require("" not in known, "a token is empty")
    if spec.vocab is not None:
        _require(size <= spec.vocab, f"it has {size} tokens where its spec allows {spec.vocab}")
    _require(bool(vocabulary.scores) == isinstance(spec, Unigram), f"scores and kind {spec.kind} contradict")
    if vocabulary.scores:
        _require(len(vocabulary.scores) == len(vocabulary.pieces), "tokens and scores differ in number")
        _require(all(-1000 < x <= 0 for x in vocabulary.scores), 'its "scores" are no log-probabilities')
    if vocabulary.merges:
        _require(isinstance(spec, ByteBPE | BPE), f"a {spec.kind} tokenizer has no merges")
        products = {*vocabulary.pieces}
        good = all({left, right, left + right} <= products for left, right in vocabulary.merges)
        _require(good, "a merge uses a token that is not in the vocabulary")
        _require(len(set(vocabulary.merges)) == len(vocabulary.merges), "a merge is there twice")
    if isinstance(spec, ByteBPE):
        _require(set(BYTES) <= known, "a byte is missing")
        _require(set(BYTES).issuperset("".join(vocabulary.pieces)), "a token is not made of bytes")
