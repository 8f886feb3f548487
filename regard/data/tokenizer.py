"""Text to ids and back, in six ways, each learned from the user's own texts.

The union `TokenizerSpec` is the registry: each member says how texts are normalised, split into words and
cut into pieces. `train_tokenizer` learns the vocabulary; a `Tokenizer` is the result, with one law:

    tokenizer.decode(tokenizer.encode(text)) == tokenizer.normalise(text)

for every text made of known characters. An unknown character becomes `unk`, which decodes to U+FFFD.
Special tokens have fixed ids and cannot be written in a text: "</s>" in a file is five plain characters.

The cutting itself is done by `tokenizers`. This file does not know about files, batches or models, nor
where sentences begin and end: `bos` and `eos` are the caller's to add.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, TypeAlias, TypeVar

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

from regard.data.subword_dropout import MergeSampler
from regard.data.vocabulary import (
    Vocabulary,
    learn_bpe,
    learn_characters,
    learn_unigram,
    learn_wordpiece,
    learn_words,
)
from regard.errors import TokenizerError

__all__ = [
    "BPE",
    "ByteBPE",
    "Characters",
    "Sample",
    "Tokenizer",
    "TokenizerSpec",
    "Unigram",
    "WordPiece",
    "Words",
    "train_pair",
    "train_tokenizer",
]

# ---------------------------------------------------------------------------------------------- the specs


@dataclass(frozen=True)
class ByteBPE:
    """BPE over UTF-8 bytes (GPT-2): nothing is unknown, and nothing is normalised unless asked."""

    kind: Literal["byte-bpe"] = "byte-bpe"
    vocab: int = 8000
    lowercase: bool = False
    nfc: bool = False

    def __post_init__(self) -> None:
        _check_size(self.kind, self.vocab, least=len(_SPECIAL) + 256)


@dataclass(frozen=True)
class BPE:
    """BPE over characters; a space is the character ▁, so scripts with and without spaces both work."""

    kind: Literal["bpe"] = "bpe"
    vocab: int = 8000
    lowercase: bool = False
    nfc: bool = True

    def __post_init__(self) -> None:
        _check_size(self.kind, self.vocab)


@dataclass(frozen=True)
class WordPiece:
    """BERT's: words and punctuation apart, Chinese characters alone, pieces inside a word marked `##`.

    Spacing is normalised, and words of more than a hundred characters are unknown, both as in BERT.
    """

    kind: Literal["wordpiece"] = "wordpiece"
    vocab: int = 8000
    lowercase: bool = False
    nfc: bool = True

    def __post_init__(self) -> None:
        _check_size(self.kind, self.vocab)


@dataclass(frozen=True)
class Unigram:
    """The most probable cut under a unigram language model (Kudo 2018); spaces as in BPE."""

    kind: Literal["unigram"] = "unigram"
    vocab: int = 8000
    lowercase: bool = False
    nfc: bool = True

    def __post_init__(self) -> None:
        _check_size(self.kind, self.vocab)


@dataclass(frozen=True)
class Characters:
    """One token a character (code point)."""

    kind: Literal["characters"] = "characters"
    lowercase: bool = False
    nfc: bool = True


@dataclass(frozen=True)
class Words:
    """One token a word between white space: text that is tokenised already, or syllables of pinyin."""

    kind: Literal["words"] = "words"
    vocab: int | None = None  # None: every word of the data
    lowercase: bool = False
    nfc: bool = True

    def __post_init__(self) -> None:
        if self.vocab is not None:
            _check_size(self.kind, self.vocab)


TokenizerSpec: TypeAlias = ByteBPE | BPE | WordPiece | Unigram | Characters | Words

_SPECS: dict[str, type[TokenizerSpec]] = {
    "byte-bpe": ByteBPE,
    "bpe": BPE,
    "wordpiece": WordPiece,
    "unigram": Unigram,
    "characters": Characters,
    "words": Words,
}

_SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")  # ids 0 to 3, whatever the kind
_BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LARGEST = 1 << 20


def _check_size(kind: str, vocab: int, least: int = 16) -> None:
    if not least <= vocab <= _LARGEST:
        raise TokenizerError(
            f"a {kind} vocabulary cannot have {vocab} pieces; give a number from {least} to {_LARGEST}"
        )


# -------------------------------------------------------------------------------------------- the tokenizer


@dataclass(frozen=True)
class Sample:
    """What a tokenizer was trained on: `texts` of the `seen` texts of the data, `size` bytes in UTF-8."""

    texts: int
    seen: int
    size: int


class Tokenizer:
    """A trained tokenizer. Ids of special tokens: pad 0, unk 1, bos 2, eos 3, and mask 4 for WordPiece."""

    pad = 0
    unk = 1
    bos = 2
    eos = 3

    def __init__(self, spec: TokenizerSpec, vocabulary: Vocabulary, sample: Sample | None = None) -> None:
        self.spec = spec
        self.vocabulary = vocabulary
        self.sample = sample
        self.special = _special(spec)
        self.mask = 4 if len(self.special) > 4 else None
        self._names = (*self.special, *vocabulary.pieces)
        self._text = _normaliser(spec)
        self._backend = _backend(spec, self._names, vocabulary)
        _prepare_for_forks()

    @property
    def size(self) -> int:
        """How many ids there are, special tokens included."""
        return len(self._names)

    def __repr__(self) -> str:
        return f"Tokenizer({self.spec!r}, size={self.size})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tokenizer):
            return NotImplemented
        return (self.spec, self.vocabulary) == (other.spec, other.vocabulary)

    def __hash__(self) -> int:
        return hash((self.spec, len(self._names)))

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without special tokens; unknown characters (for Words: words) become `unk`."""
        return self._backend.encode(_valid(text)).ids

    def encode_batch(
        self, texts: Sequence[str], *, dropout: float = 0.0, seed: int | Sequence[int] = 0
    ) -> list[list[int]]:
        """The ids of many texts, on all cores.

        dropout: the probability that BPE leaves out a merge (Provilkov et al. 2020), so that a text is cut
            in other ways each time; a function of `texts`, `dropout` and `seed` alone. To cut the same
            texts again and again, keep a `sampler`.

        Raises:
            TokenizerError: dropout with a kind that has no merges, or out of range.
        """
        if dropout:
            return self.sampler(texts).sample(dropout, seed)
        rows: list[list[int]] = []
        for begin in range(0, len(texts), _CHUNK):  # encodings are large; few of them at a time
            chunk = [_valid(text) for text in texts[begin : begin + _CHUNK]]
            rows.extend(encoding.ids for encoding in self._backend.encode_batch_fast(chunk))
        return rows

    def sampler(self, texts: Iterable[str]) -> MergeSampler:
        """Texts that are split into words once, to be cut with dropout many times: `.sample(0.1, seed)`.

        Raises:
            TokenizerError: this kind has no merges to leave out.
        """
        if not isinstance(self.spec, ByteBPE | BPE):
            raise TokenizerError(
                f"a {self.spec.kind} tokenizer has no merges to drop; use bpe or byte-bpe, or no dropout"
            )
        ids = {piece: index for index, piece in enumerate(self._names)}
        merges = [(ids[left], ids[right], ids[left + right]) for left, right in self.vocabulary.merges]
        return MergeSampler((self._split(text) for text in texts), ids, merges, unknown=self.unk)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special tokens are left out, except `unk`, which gives U+FFFD.

        Raises:
            TokenizerError: an id that is not in the vocabulary.
        """
        return _decode(self.spec, [self._piece(i) for i in ids if i == self.unk or not self._is_special(i)])

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """What each id stands for, for people to read: a space is ▁, bytes without a character `<0xE4>`.

        Raises:
            TokenizerError: an id that is not in the vocabulary.
        """
        names = [self._piece(i) for i in ids]
        if not isinstance(self.spec, ByteBPE):
            return names
        return [
            name if self._is_special(i) else _readable(_bytes_of(name))
            for i, name in zip(ids, names, strict=True)
        ]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each token of `encode(text)` stands: text[start:end], without spaces at its beginning."""
        text = _valid(text)
        return [_trimmed(text, start, end) for start, end in self._backend.encode(text).offsets]

    def normalise(self, text: str) -> str:
        """The text as far as this tokenizer tells texts apart: what decoding gives back.

        NFC and lower case as the spec says. BPE and Unigram: ▁ is a space. Words: one space between words.
        WordPiece: no control characters; spaces only where a reader would put them. A lone surrogate, which
        is no character, is U+FFFD.
        """
        text = _valid(text)
        if isinstance(self.spec, BPE | Unigram):
            return self._text.normalize_str(text).replace(_SPACE, " ")
        if isinstance(self.spec, WordPiece):
            return _tidy(" ".join(self._split(text)))
        if isinstance(self.spec, Words):
            return " ".join(self._split(text))
        return self._text.normalize_str(text)

    def to_json(self) -> str:
        """All of it as one JSON text, which `from_json` takes back."""
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "spec": asdict(self.spec),
            "sample": asdict(self.sample) if self.sample else None,
            "special": self.special,
            **asdict(self.vocabulary),
        }
        return json.dumps(content, ensure_ascii=False, indent=0) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Tokenizer:
        """The tokenizer that `to_json` wrote.

        Raises:
            TokenizerError: the text is not one, is too large, too new, or contradicts itself.
        """
        return _parse(text)

    @classmethod
    def train(cls, spec: TokenizerSpec, texts: Iterable[str]) -> Tokenizer:
        """`train_tokenizer` with its usual sample."""
        return train_tokenizer(spec, texts)

    def to_hf(self) -> str:
        """The `tokenizer.json` that Hugging Face's libraries read; it gives the same ids."""
        from tokenizers import AddedToken

        backend = Backend.from_str(self._backend.to_str())
        backend.add_special_tokens([AddedToken(name, special=True) for name in self.special])
        return backend.to_str(pretty=True)

    def _split(self, text: str) -> list[str]:
        return _split(self._backend, text)

    def _is_special(self, index: int) -> bool:
        return 0 <= index < len(self.special)

    def _piece(self, index: int) -> str:
        if not 0 <= index < len(self._names):
            raise TokenizerError(f"{index} is no token id; this tokenizer has 0 to {len(self._names) - 1}")
        return self._names[index]


# ------------------------------------------------------------------------------------------------ training


def train_tokenizer(
    spec: TokenizerSpec,
    texts: Iterable[str],
    *,
    sample_bytes: int = 16_000_000,
    at_most: bool = False,
) -> Tokenizer:
    """Learn a tokenizer from texts, which may be a stream of any length: it is read once, to its end.

    sample_bytes: of longer data an even sample of about this many bytes is used (the same one every time);
        `tokenizer.sample` says how much that was.
    at_most: take `spec.vocab` as a limit. Otherwise it is a demand, which small data may not allow.

    Raises:
        TokenizerError: no text at all, or a vocabulary larger than the data allow.
    """
    kept, sample = _take_sample(((text,) for text in texts), sample_bytes)
    return _train_on(spec, [text for (text,) in kept], sample, at_most)


def _train_on(spec: TokenizerSpec, texts: Iterable[str], sample: Sample, at_most: bool) -> Tokenizer:
    backend = _backend(spec, _special(spec), Vocabulary(()))
    words: Counter[str] = Counter()
    for text in texts:
        words.update(_split(backend, text))
    for name in _special(spec):
        words.pop(name, None)  # only Words can read "<unk>" in a text, and means the special token by it
    if not words:
        raise TokenizerError(
            "there is no text to train a tokenizer on; give at least one line that is not empty"
        )
    vocabulary = _learn(spec, words, backend)
    _check_allowed(spec, vocabulary, at_most, sample)
    return Tokenizer(spec, vocabulary, sample)


def train_pair(
    source: TokenizerSpec,
    target: TokenizerSpec | None,
    pairs: Iterable[tuple[str, str]],
    *,
    sample_bytes: int = 16_000_000,
    at_most: bool = False,
) -> tuple[Tokenizer, Tokenizer]:
    """Tokenizers for the two sides of pairs; without a `target` spec both sides share one (the same object).

    Raises:
        TokenizerError: as train_tokenizer; the message says which side.
    """
    if target is None:
        both = (text for pair in pairs for text in pair)
        joint = train_tokenizer(source, both, sample_bytes=2 * sample_bytes, at_most=at_most)
        return joint, joint
    # One pass over the pairs, which may be a stream, and the same sample of them for both sides.
    kept, sample = _take_sample(pairs, 2 * sample_bytes)
    sides = []
    for side, (name, spec) in enumerate((("source", source), ("target", target))):
        texts = [pair[side] for pair in kept]
        size = sum(len(text.encode()) for text in texts)
        try:
            sides.append(_train_on(spec, texts, replace(sample, size=size), at_most))
        except TokenizerError as error:
            raise TokenizerError(f"{name} side: {error}") from error
    return sides[0], sides[1]


_Texts = TypeVar("_Texts", bound=tuple[str, ...])


def _take_sample(examples: Iterable[_Texts], limit: int) -> tuple[list[_Texts], Sample]:
    """An even sample in bounded memory: each example has a fixed random rank, and the lowest ranks stay.

    Not every n-th one: data often alternate (source, target, source, ...) and a step would see one side.
    """
    kept: list[tuple[int, int, _Texts]] = []
    size = seen = 0
    below = 1 << 64
    for texts in examples:
        rank = _rank(seen)
        seen += 1
        if rank >= below:
            continue
        kept.append((rank, sum(len(_valid(text).encode()) for text in texts), texts))
        size += kept[-1][1]
        while size > limit and len(kept) > 1:
            below //= 2
            kept = [item for item in kept if item[0] < below] or kept[:1]
            size = sum(item[1] for item in kept)
    return [texts for _, _, texts in kept], Sample(len(kept), seen, size)


def _rank(index: int) -> int:
    """64 well-mixed bits of a number (splitmix64)."""
    mixed = (index + 1) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return mixed ^ mixed >> 31


def _learn(spec: TokenizerSpec, words: Counter[str], backend: Backend) -> Vocabulary:
    match spec:
        case ByteBPE(vocab=vocab):
            return learn_bpe(words, vocab - len(_SPECIAL), _BYTES)
        case BPE(vocab=vocab):
            return learn_bpe(words, vocab - len(_SPECIAL))
        case Unigram(vocab=vocab):
            return learn_unigram(words, vocab - len(_SPECIAL))
        case WordPiece(vocab=vocab):
            joins = functools.cache(lambda letter: len(_split(backend, letter * 2)) == 1)
            return learn_wordpiece(words, vocab - len(_BERT_SPECIAL), joins)
        case Words(vocab=vocab):
            return learn_words(words, None if vocab is None else vocab - len(_SPECIAL))
        case Characters():
            return learn_characters(words)


def _check_allowed(spec: TokenizerSpec, vocabulary: Vocabulary, at_most: bool, sample: Sample) -> None:
    asked = None if isinstance(spec, Characters) else spec.vocab
    largest = len(_special(spec)) + len(vocabulary.pieces)
    if asked is not None and largest < asked and not at_most:
        raise TokenizerError(
            f"a {spec.kind} vocabulary of {asked} is larger than the data allow: {sample.texts} texts "
            f"({sample.size} bytes) give {largest} pieces at most; ask for no more, or give more text"
        )


# ----------------------------------------------------------------- how each kind normalises, splits and joins

_SPACE = "▁"
_CHUNK = 4096


def _word_pattern(space: str) -> Regex:
    """Words with the space before them: letters and digits together, punctuation and symbols apart.

    Everything matches, so nothing is lost. Apostrophes and hyphens are letters ("don't", "T-Shirt"). As `<`
    and `s` never stand in one word, no piece can be spelled like a special token.
    """
    letters = rf"{space}?(?:['’\-]|[^\p{{P}}\p{{S}}\s])+"
    symbols = rf"{space}?(?:(?!['’\-{space}])[\p{{P}}\p{{S}}])+"
    return Regex(rf"{letters}|{symbols}|{space}+(?={space})|{space}|\s+")


def _special(spec: TokenizerSpec) -> tuple[str, ...]:
    return _BERT_SPECIAL if isinstance(spec, WordPiece) else _SPECIAL


def _normaliser(spec: TokenizerSpec) -> normalizers.Normalizer:
    steps: list[normalizers.Normalizer] = []
    if spec.nfc:
        steps.append(normalizers.NFC())
    if isinstance(spec, WordPiece):
        steps.append(normalizers.BertNormalizer(lowercase=spec.lowercase, strip_accents=False))
    elif spec.lowercase:
        steps.append(normalizers.Lowercase())
    return normalizers.Sequence(steps)


def _backend(spec: TokenizerSpec, names: Sequence[str], vocabulary: Vocabulary) -> Backend:
    ids = {name: index for index, name in enumerate(names)}
    unknown = names[Tokenizer.unk]
    steps = [_normaliser(spec)]
    match spec:
        case ByteBPE():
            backend = Backend(models.BPE(ids, list(vocabulary.merges)))
            words = pre_tokenizers.Split(_word_pattern(" "), "isolated")
            as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
            backend.pre_tokenizer = pre_tokenizers.Sequence([words, as_bytes])
            backend.decoder = decoders.ByteLevel()
        case BPE() | Unigram():
            if isinstance(spec, BPE):
                backend = Backend(models.BPE(ids, list(vocabulary.merges), unk_token=unknown))
            else:
                backend = Backend(_unigram(names, vocabulary))
            # The first word gets a space too, so that it has the same pieces as elsewhere.
            steps += [normalizers.Prepend(_SPACE), normalizers.Replace(" ", _SPACE)]
            backend.pre_tokenizer = pre_tokenizers.Split(_word_pattern(_SPACE), "isolated")
            backend.decoder = decoders.Sequence(
                [decoders.Replace(_SPACE, " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
            )
        case WordPiece():
            backend = Backend(models.WordPiece(ids, unk_token=unknown, max_input_chars_per_word=100))
            backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
            backend.decoder = decoders.WordPiece(cleanup=False)
        case Characters():
            backend = Backend(models.WordLevel(ids, unknown))
            backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
            backend.decoder = decoders.Fuse()
        case Words():
            backend = Backend(models.WordLevel(ids, unknown))
            # A word spelled like a special token is taken apart; only "<unk>" means what it says.
            apart = pre_tokenizers.Split(Regex(r"<(?=(?:pad|s|/s)>)"), "isolated")
            backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), apart])
    backend.normalizer = normalizers.Sequence(steps)
    return backend


def _unigram(names: Sequence[str], vocabulary: Vocabulary) -> models.Unigram:
    """Special tokens get a score that no path through a text can afford."""
    special = len(names) - len(vocabulary.pieces)
    scores = [-1e4] * special + list(vocabulary.scores)
    return models.Unigram(list(zip(names, scores, strict=True)), Tokenizer.unk, False)


def _split(backend: Backend, text: str) -> list[str]:
    """Normalise, then split into words."""
    normal = backend.normalizer.normalize_str(_valid(text))
    return [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal)]


def _decode(spec: TokenizerSpec, names: list[str]) -> str:
    unknown = _special(spec)[Tokenizer.unk]
    names = [_REPLACEMENT if name == unknown else name for name in names]
    match spec:
        case ByteBPE():
            return b"".join(_bytes_of(name) for name in names).decode("utf-8", errors="replace")
        case BPE() | Unigram():
            return "".join(names).replace(_SPACE, " ").removeprefix(" ")
        case WordPiece():
            return _tidy(" ".join(names).replace(" ##", "").removeprefix("##"))
        case Characters():
            return "".join(names)
        case Words():
            return " ".join(names)


_REPLACEMENT = "\ufffd"

_HAN = "\u2e80-\u2fdf\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_NO_SPACE = re.compile(
    rf"(?<=[{_HAN}]) | (?=[{_HAN}])"  # Chinese is written without spaces
    r"| (?=[.,!?;:)\]}%…])|(?<=[(\[{]) "
    r"|(?<=\w) (?=['’\-] \w)|(?<=\w['’\-]) (?=\w)|(?<=\w ['’\-]) (?=\w)"
)


def _tidy(text: str) -> str:
    """Take out the spaces that WordPiece puts around punctuation and Chinese characters."""
    return _NO_SPACE.sub("", text)


@functools.cache
def _byte_values() -> dict[str, int]:
    """GPT-2's printable character for each byte: printable ones stand for themselves."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    table = {chr(byte): byte for byte in plain}
    table.update((chr(0x100 + i), byte) for i, byte in enumerate(others))
    return table


_BYTES = tuple(sorted(_byte_values()))


def _bytes_of(name: str) -> bytes:
    values = _byte_values()
    if name == _REPLACEMENT:
        return name.encode()
    return bytes(values[character] for character in name)


def _readable(raw: bytes) -> str:
    try:
        return raw.decode().replace(" ", _SPACE)
    except UnicodeDecodeError:
        return "".join(chr(byte) if 0x20 < byte < 0x7F else f"<0x{byte:02X}>" for byte in raw)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end - 1 and text[start].isspace():
        start += 1
    return start, end


def _valid(text: str) -> str:
    """Lone surrogates (half a character, from broken UTF-16 or file names) have no UTF-8: U+FFFD instead."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(_REPLACEMENT if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    return text


@functools.cache
def _prepare_for_forks() -> None:
    """Let a forked child work without the library's threads, which do not survive a fork.

    Left alone the library prints a warning about it; if told to be parallel the child would hang.
    """
    if not hasattr(os, "register_at_fork"):
        return
    name = "TOKENIZERS_PARALLELISM"
    given: list[str | None] = [None]

    def before() -> None:
        given[0] = os.environ.get(name)
        os.environ[name] = "false"

    def after_in_parent() -> None:
        if given[0] is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = given[0]

    os.register_at_fork(before=before, after_in_parent=after_in_parent)


# ------------------------------------------------------------------------------------------- reading it back

_FORMAT = "regard-tokenizer"
_VERSION = 1
_MOST_CHARACTERS = 200_000_000


def _parse(text: str) -> Tokenizer:
    if len(text) > _MOST_CHARACTERS:
        raise TokenizerError(
            f"a tokenizer of {len(text)} characters is beyond the limit of {_MOST_CHARACTERS}; is it one?"
        )
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TokenizerError(f"the tokenizer is not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise TokenizerError(f'this is no tokenizer of regard: it has no "format": "{_FORMAT}"')
    if content.get("version") != _VERSION:
        raise TokenizerError(
            f"the tokenizer has version {content.get('version')!r} and this regard reads {_VERSION}; "
            "upgrade regard"
        )
    spec = _parse_spec(content.get("spec"))
    vocabulary = Vocabulary(
        _strings(content, "pieces"),
        _parse_merges(content.get("merges")),
        _parse_scores(content.get("scores")),
    )
    _require(content.get("special") == list(_special(spec)), "its special tokens are not those of its kind")
    _check_vocabulary(spec, vocabulary)
    return Tokenizer(spec, vocabulary, _parse_sample(content.get("sample")))


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise TokenizerError(f"the tokenizer is damaged: {what}")


def _parse_spec(value: Any) -> TokenizerSpec:
    _require(isinstance(value, dict) and isinstance(value.get("kind"), str), 'it has no "spec" with a "kind"')
    kind = _SPECS.get(value["kind"])
    if kind is None:
        raise TokenizerError(f"no tokenizer is of kind {value['kind']!r}; known are {', '.join(_SPECS)}")
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
    _require(all(_valid(item) == item for item in value), f'its "{name}" hold half a character')
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
    known = {*_special(spec), *vocabulary.pieces}
    size = len(known)
    _require(size == len(_special(spec)) + len(vocabulary.pieces), "a piece is there twice")
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
        _require(set(_BYTES) <= known, "a byte is missing")
        _require(set(_BYTES).issuperset("".join(vocabulary.pieces)), "a piece is not made of bytes")
