"""Text to ids and back, in six ways, each learned from the user's own texts.

The union `TokenizerSpec` is the registry: each member says how texts are normalised, split into words and
cut into tokens. `train_tokenizer` learns the vocabulary; a `Tokenizer` is the result, with one law:

    tokenizer.decode(tokenizer.encode(text)) == tokenizer.normalise(text)

for every text made of known characters. An unknown character becomes `unk`, which decodes to U+FFFD.
Special tokens have fixed ids and cannot be written in a text: "</s>" in a file is five plain characters.

The cutting itself is done by `tokenizers`. This file does not know about files, batches or models, nor
where sentences begin and end: `bos` and `eos` are the caller's to add.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from functools import partial

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from regard.data.forks import prepare_for_forks
from regard.data.sample import REPLACEMENT, Sample, take_sample, valid_text
from regard.data.token_places import Place, cover, trimmed
from regard.data.tokenizer_file import read_content, read_tokenizer, write_content
from regard.data.tokenizer_kinds import (
    BOS,
    BPE,
    EOS,
    MASK,
    PAD,
    UNK,
    ByteBPE,
    Characters,
    TokenizerSpec,
    Unigram,
    WordPiece,
    Words,
    build_backend,
    lines_of,
    readable,
    split_words,
)
from regard.data.vocabulary import Vocabulary
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

_CHUNK = 4096  # texts encoded together: the library's answers are large, many times the ids,
_CHUNK_LETTERS = 1 << 20  # and those of long texts larger yet
_PART = 100_000  # characters of a text that are split into words at a time, in training


class Tokenizer:
    """A trained tokenizer. Ids of special tokens: pad 0, unk 1, bos 2, eos 3, and mask 4 for WordPiece."""

    pad = PAD
    unk = UNK
    bos = BOS
    eos = EOS
    mask_takes_space = False
    """Whether the mask stands for the space before a word, too (RoBERTa's)."""
    start: int | None = None
    """What the input of an encoder begins with that has a decoder after it; None for nothing."""
    lines: bool | None
    """Whether documents are cut line by line, as the running text was that it has learned from, or whole;
    None where that is not recorded."""

    def __init__(
        self,
        spec: TokenizerSpec,
        vocabulary: Vocabulary,
        sample: Sample | None = None,
        lines: bool | None = None,
    ) -> None:
        """`lines`: see the field."""
        self.spec = spec
        self.lines = lines
        self.vocabulary = vocabulary
        self.sample = sample
        self.special = spec.special
        self.mask = MASK if len(self.special) > MASK else None
        self.special_ids = tuple(range(len(self.special)))
        """The ids that no text contains."""
        self._special = frozenset(self.special_ids)
        self.between = [self.eos]
        """What stands between the two texts of a pair."""
        self.ends = frozenset((self.eos,))
        """The ids that end what is written."""
        self._names = (*self.special, *vocabulary.pieces)
        self._moving = spec.moving
        self._of_bytes = isinstance(spec, ByteBPE)
        self._backend = build_backend(spec, vocabulary)
        prepare_for_forks()

    @property
    def size(self) -> int:
        """How many ids there are, special tokens included."""
        return len(self._names)

    def encode_document(self, text: str) -> list[int]:
        """The ids of a document, or of its beginning: whole, or line by line; see `regard.data.documents`."""
        return [i for ids in self.encode_batch(lines_of(text) if self.lines else [text]) for i in ids]

    def encode_prompt(self, text: str) -> list[int]:
        """The ids of a text that is to go on: cut as documents are, after `bos`."""
        return [self.bos, *self.encode_document(text)]

    def __repr__(self) -> str:
        return f"Tokenizer({self.spec!r}, size={self.size})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tokenizer):
            return NotImplemented
        mine, others = ((one.spec, one.vocabulary, bool(one.lines)) for one in (self, other))
        return mine == others

    def __hash__(self) -> int:
        return hash((self.spec, len(self._names)))

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without special tokens; unknown characters (for Words: words) become `unk`."""
        return self._backend.encode(valid_text(text)).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of many texts, on all cores."""
        rows: list[list[int]] = []
        chunk: list[str] = []
        letters = 0
        for text in texts:
            if chunk and (len(chunk) == _CHUNK or letters + len(text) > _CHUNK_LETTERS):
                rows += self._encode(chunk)
                chunk, letters = [], 0
            chunk.append(valid_text(text))
            letters += len(text)
        return rows + self._encode(chunk)

    def _encode(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._backend.encode_batch_fast(texts)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special tokens are left out, except `unk`, which gives U+FFFD.

        Raises:
            TokenizerError: an id that is not in the vocabulary.
        """
        kept = (i for i in ids if i == self.unk or i not in self._special)
        names = [REPLACEMENT if i == self.unk else self.name(i) for i in kept]
        return self.spec.join(names, lines=bool(self.lines))

    def settled(self, ids: Sequence[int]) -> int:
        """How many of the first ids give a text that those after them leave as it is, but for a character of
        which only the first bytes are there."""
        count = len(ids)
        while count and self.name(ids[count - 1]) in self._moving:
            count -= 1
        return count

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """What each id stands for, for people to read: a space is ▁, bytes without a character `<0xE4>`.

        Raises:
            TokenizerError: an id that is not in the vocabulary.
        """
        names = [self.name(i) for i in ids]
        if not self._of_bytes:
            return names
        return [name if i in self._special else readable(name) for i, name in zip(ids, names, strict=True)]

    def name(self, index: int) -> str:
        """What the vocabulary calls an id. Raises: TokenizerError when it has none."""
        if not 0 <= index < len(self._names):
            sentence = "there is no token {value}; ids are {limit}"
            raise TokenizerError(sentence, index, f"0 to {len(self._names) - 1}")
        return self._names[index]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[Place]]:
        """The ids, and where each token stands: text[start:end], without spaces before it. If there is any,
        every character that is not white space lies in some token's place."""
        ids, places = self._places(text := valid_text(text))
        return ids, cover(text, [trimmed(text, start, end) for start, end in places])

    def _places(self, text: str) -> tuple[list[int], list[Place]]:
        """The ids, and the places as the library tells them."""
        found = self._backend.encode(text, add_special_tokens=False)  # a given one may have a frame
        return found.ids, found.offsets

    def normalise(self, text: str) -> str:
        """The text as far as this tokenizer tells texts apart: what decoding gives back.

        NFC and lower case as the spec says. BPE and Unigram: ▁ is a space. Words: one space between words.
        WordPiece: no control characters; spaces only where a reader would put them. A lone surrogate, which
        is no character, is U+FFFD.
        """
        return self.spec.join(split_words(self._backend, text))

    def to_json(self) -> str:
        """All of it as one JSON text, which `from_json` takes back."""
        sample = asdict(self.sample) if self.sample else None
        lines = {} if self.lines is None else {"lines": self.lines}
        parts = {"sample": sample, "special": self.special, **lines, **asdict(self.vocabulary)}
        return write_content(self.spec, parts)

    @classmethod
    def from_json(cls, text: str) -> Tokenizer:
        """The tokenizer that `to_json` wrote.

        Raises:
            TokenizerError: the text is not one, is too large, too new, or contradicts itself.
        """
        content = read_content(text)
        spec = content.get("spec")
        if isinstance(spec, dict) and spec.get("kind") == "given":
            from regard.data.tokenizer_given import GivenTokenizer  # which is a `Tokenizer` itself

            return GivenTokenizer.from_content(content)
        return cls(*read_tokenizer(content))

    def to_hf(self) -> str:
        """The `tokenizer.json` that Hugging Face's libraries read; it gives the same ids."""
        backend = Backend.from_str(self._backend.to_str())
        backend.add_special_tokens([AddedToken(name, special=True) for name in self.special])
        return backend.to_str(pretty=True)


def train_tokenizer(
    spec: TokenizerSpec,
    texts: Iterable[str],
    *,
    sample_bytes: int = 8_000_000,
    at_most: bool = False,
) -> Tokenizer:
    """Learn a tokenizer from texts, which may be a stream of any length: it is read once, to its end.

    sample_bytes: of longer data an even sample of about this many bytes is used (the same one every time);
        `tokenizer.sample` says how much that was. Tokens are learned from its most frequent words, a million
        letters of different ones (Unigram half of that; Words all).
    at_most: take `spec.vocab` as a limit. Otherwise it is a demand, which small data may not allow.

    Raises:
        TokenizerError: no text at all, or a vocabulary larger than the data allow.
    """
    kept, sample = take_sample(((text,) for text in texts), sample_bytes)
    return _train_on(spec, [text for (text,) in kept], sample, at_most)


def _train_on(spec: TokenizerSpec, texts: Iterable[str], sample: Sample, at_most: bool) -> Tokenizer:
    backend = build_backend(spec, Vocabulary(()))
    words: Counter[str] = Counter()
    for text in texts:
        for begin in range(0, len(text), _PART):
            words.update(split_words(backend, text[begin : begin + _PART]))
    for name in spec.special:
        words.pop(name, None)  # only Words can read "<unk>" in a text, and means the special token by it
    if not words:
        sentence = "there is no text to train a tokenizer on; give at least one line that is not empty"
        raise TokenizerError(sentence)
    vocabulary = spec.learn(words, partial(split_words, backend))
    largest = len(spec.special) + len(vocabulary.pieces)
    if spec.vocab is not None and largest < spec.vocab and not at_most:
        sentence = (
            "a {kind} vocabulary of {value} is larger than the data allow: {texts} texts ({size} bytes) give"
            " {limit} tokens at most; ask for no more, or give more text"
        )
        raise TokenizerError(sentence, spec.kind, spec.vocab, sample.texts, sample.size, largest)
    return Tokenizer(spec, vocabulary, sample)


def train_pair(
    source: TokenizerSpec,
    target: TokenizerSpec | None,
    pairs: Iterable[tuple[str, str]],
    *,
    sample_bytes: int = 8_000_000,
    at_most: bool = False,
) -> tuple[Tokenizer, Tokenizer]:
    """Tokenizers for the two sides of pairs; without a `target` spec both sides share one (the same object).

    sample_bytes: as in train_tokenizer, of both sides together.

    Raises:
        TokenizerError: as train_tokenizer; the message says which side.
    """
    if target is None:
        both = (text for pair in pairs for text in pair)
        joint = train_tokenizer(source, both, sample_bytes=sample_bytes, at_most=at_most)
        return joint, joint
    # One pass over the pairs, which may be a stream, and the same sample of them for both sides.
    kept, sample = take_sample(pairs, sample_bytes)
    sides = []
    for side, (name, spec) in enumerate((("source", source), ("target", target))):
        texts = [pair[side] for pair in kept]
        size = sum(len(text.encode()) for text in texts)
        try:
            sides.append(_train_on(spec, texts, replace(sample, size=size), at_most))
        except TokenizerError as error:
            raise TokenizerError.of(error, where=f"{name} side") from error
    return sides[0], sides[1]
