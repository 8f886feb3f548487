"""A tokenizer as one JSON text, and back: nothing that is read is believed before it is checked.

The whole pipeline follows from the spec, so the file holds only the spec and the vocabulary; there is no
pattern or code in it that could do harm.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields
from typing import Any

from regard.data.sample import Sample, valid_text
from regard.data.tokenizer_kinds import (
    BPE,
    BYTES,
    SPECS,
    ByteBPE,
    Characters,
    TokenizerSpec,
    Unigram,
    Words,
    special_names,
)
from regard.data.vocabulary import Vocabulary
from regard.errors import TokenizerError, damaged, unknown
from regard.strict_json import VOCABULARY, loads

__all__ = ["FORMAT", "VERSION", "read_content", "read_tokenizer", "write_tokenizer"]

FORMAT = "regard-tokenizer"
VERSION = 1


def write_tokenizer(
    spec: TokenizerSpec, vocabulary: Vocabulary, sample: Sample | None, lines: bool | None = None
) -> str:
    """All of a tokenizer as one JSON text, which `read_tokenizer` takes back."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "spec": asdict(spec),
        "sample": asdict(sample) if sample else None,
        "special": special_names(spec),
        **({} if lines is None else {"lines": lines}),
        **asdict(vocabulary),
    }
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
    assert isinstance(content, dict)
    return content


def read_tokenizer(
    content: dict[str, Any],
) -> tuple[TokenizerSpec, Vocabulary, Sample | None, bool | None]:
    """What `write_tokenizer` was given.

    Raises:
        TokenizerError: the content contradicts itself.
    """
    spec = _parse_spec(content.get("spec"))
    vocabulary = Vocabulary(
        _strings(content, "pieces"),
        _parse_merges(content.get("merges")),
        _parse_scores(content.get("scores")),
    )
    _require(
        content.get("special") == list(special_names(spec)), "its special tokens are not those of its kind"
    )
    _check_vocabulary(spec, vocabulary)
    lines = content.get("lines")
    _require(lines is None or type(lines) is bool, 'its "lines" are neither true nor false')
    return spec, vocabulary, _parse_sample(content.get("sample")), lines


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise damaged(TokenizerError, "the tokenizer", what)


def _parse_spec(value: Any) -> TokenizerSpec:
    _require(isinstance(value, dict) and isinstance(value.get("kind"), str), 'it has no "spec" with a "kind"')
    kind = SPECS.get(value["kind"])
    if kind is None:
        raise unknown(TokenizerError, "kind of tokenizer", value["kind"], SPECS)
    _require(
        set(value) == {field.name for field in fields(kind)}, f"the keys of its {kind.kind} spec are wrong"
    )
    booleans = all(type(value[name]) is bool for name in ("lowercase", "nfc"))
    vocab = value.get("vocab", 0)
    _require(
        booleans and (type(vocab) is int or (vocab is None and kind is Words)), "a value of its spec is wrong"
    )
    return kind(**value)


def _parse_sample(value: Any) -> Sample | None:
    if value is None:
        return None
    names = {field.name for field in fields(Sample)}
    good = isinstance(value, dict) and set(value) == names and all(type(v) is int for v in value.values())
    _require(good, 'its "sample" is wrong')
    return Sample(**value)


def _strings(content: dict[str, Any], name: str) -> tuple[str, ...]:
    value = content.get(name)
    good = isinstance(value, list) and all(isinstance(item, str) and item for item in value)
    _require(good, f'its "{name}" are not a list of texts')
    assert isinstance(value, list)
    _require(all(valid_text(item) == item for item in value), f'its "{name}" hold half a character')
    return tuple(value)


def _parse_merges(value: Any) -> tuple[tuple[str, str], ...]:
    good = isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(side, str) for side in pair)
        for pair in value
    )
    _require(good, 'its "merges" are not a list of pairs')
    return tuple((left, right) for left, right in value)


def _parse_scores(value: Any) -> tuple[float, ...]:
    good = isinstance(value, list) and all(
        type(score) in (int, float) and math.isfinite(score) and -1000 < score <= 0 for score in value
    )
    _require(good, 'its "scores" are not a list of log-probabilities')
    return tuple(float(score) for score in value)


def _check_vocabulary(spec: TokenizerSpec, vocabulary: Vocabulary) -> None:
    known = {*special_names(spec), *vocabulary.pieces}
    size = len(known)
    _require(size == len(special_names(spec)) + len(vocabulary.pieces), "a piece is there twice")
    if not isinstance(spec, Characters) and spec.vocab is not None:
        _require(size <= spec.vocab, f"it has {size} pieces where its spec allows {spec.vocab}")
    _require(bool(vocabulary.scores) == isinstance(spec, Unigram), f"scores and kind {spec.kind} contradict")
    if vocabulary.scores:
        _require(len(vocabulary.scores) == len(vocabulary.pieces), "pieces and scores differ in number")
    if vocabulary.merges:
        _require(isinstance(spec, ByteBPE | BPE), f"a {spec.kind} tokenizer has no merges")
        products = {*vocabulary.pieces}
        good = all({left, right, left + right} <= products for left, right in vocabulary.merges)
        _require(good, "a merge uses a piece that is not in the vocabulary")
        _require(len(set(vocabulary.merges)) == len(vocabulary.merges), "a merge is there twice")
    if isinstance(spec, ByteBPE):
        _require(set(BYTES) <= known, "a byte is missing")
        _require(set(BYTES).issuperset("".join(vocabulary.pieces)), "a piece is not made of bytes")
