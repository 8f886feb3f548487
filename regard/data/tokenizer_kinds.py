"""The six ways to cut texts: what each kind normalises, where it splits, which vocabulary it learns, and how
its tokens join again.

The union `TokenizerSpec` is the registry; its members say what may be chosen, and every difference between
the kinds is a method or a constant of theirs. This file does not know how a vocabulary is stored.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias, get_args

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from regard.data.sample import REPLACEMENT, valid_text
from regard.data.vocabulary import (
    MOST_CHARACTERS,
    MOST_LETTERS_OF_UNIGRAM,
    Vocabulary,
    learnable,
    train_bpe,
    train_unigram,
    train_wordpiece,
    train_words,
)
from regard.errors import TokenizerError

PAD, UNK, BOS, EOS, MASK = range(5)  # whatever the kind; only WordPiece has a mask
_LARGEST = 1 << 20
SPACE = "▁"

Split = Callable[[str], list[str]]
"""A text → its words, normalised."""


class _Kind:
    """What a kind of tokenizer says of itself; here what most of them say."""

    kind: str
    lowercase: bool
    nfc: bool
    special: ClassVar[tuple[str, ...]] = ("<pad>", "<unk>", "<s>", "</s>")
    """The names of the special tokens, in the order of their ids."""
    least: ClassVar[int] = 16
    """The smallest vocabulary."""
    moving: ClassVar[frozenset[str]] = frozenset()
    """Tokens that a token after them may join to the word before."""

    def normalisers(self) -> list[normalizers.Normalizer]:
        """What happens to a text before anything else."""
        return [normalizers.Lowercase()] if self.lowercase else []

    def spaces(self) -> list[normalizers.Normalizer]:
        """What becomes of spaces then."""
        return []

    def configure(self, backend: Tokenizer) -> None:
        """Say where the words are, and how tokens join."""

    def model(self, ids: dict[str, int], vocabulary: Vocabulary) -> models.Model:
        """What cuts words."""
        return models.WordLevel(ids, self.special[UNK])

    def learn(self, words: Counter[str], split: Split) -> Vocabulary:
        """The vocabulary that it learns from these words."""
        raise NotImplementedError

    def join(self, names: Sequence[str], lines: bool = False) -> str:
        """The text of tokens, or of words. `lines`: whether each line was cut by itself."""
        return "".join(names)

    def _check_size(self, vocab: int) -> None:
        if not self.least <= vocab <= _LARGEST:
            sentence = "{key} of a {kind} tokenizer is {value}; it must be {limit}"
            raise TokenizerError(sentence, "vocab", self.kind, vocab, f"from {self.least} to {_LARGEST}")


@dataclass(frozen=True)
class _Subwords(_Kind):
    kind: str = ""
    vocab: int = 8000
    """Pieces, special ones included; with 260 a byte is a token, and nothing is merged."""
    lowercase: bool = False
    """Whether capital letters become small ones."""
    nfc: bool = True
    """Whether characters that can be written in several ways are written in one (Unicode's NFC)."""

    def __post_init__(self) -> None:
        self._check_size(self.vocab)

    @property
    def _room(self) -> int:
        return self.vocab - len(self.special)


@dataclass(frozen=True)
class ByteBPE(_Subwords):
    """BPE over UTF-8 bytes (GPT-2): nothing is unknown, and nothing is normalised unless asked."""

    kind: Literal["byte-bpe"] = "byte-bpe"
    nfc: bool = False
    least = 260

    def configure(self, backend: Tokenizer) -> None:
        words = pre_tokenizers.Split(_word_pattern(" "), "isolated")
        as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence([words, as_bytes])
        backend.decoder = decoders.ByteLevel()

    def model(self, ids: dict[str, int], vocabulary: Vocabulary) -> models.Model:
        return models.BPE(ids, list(vocabulary.merges))

    def learn(self, words: Counter[str], split: Split) -> Vocabulary:
        return train_bpe(learnable(words), self._room, BYTES)

    def join(self, names: Sequence[str], lines: bool = False) -> str:
        return b"".join(bytes_of(name) for name in names).decode("utf-8", errors="replace")


class _Spaced(_Subwords):
    """A space is the character ▁. The first word gets one, too, to have the same tokens as elsewhere."""

    def spaces(self) -> list[normalizers.Normalizer]:
        return [normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)]

    def configure(self, backend: Tokenizer) -> None:
        backend.pre_tokenizer = pre_tokenizers.Split(_word_pattern(SPACE), "isolated")
        backend.decoder = decoders.Sequence(
            [decoders.Replace(SPACE, " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )

    def join(self, names: Sequence[str], lines: bool = False) -> str:
        text = "".join(names).replace(SPACE, " ").removeprefix(" ")
        return text.replace("\n ", "\n") if lines else text  # each line was given a space, too


@dataclass(frozen=True)
class BPE(_Spaced):
    """BPE over characters; a space is the character ▁, so scripts with and without spaces both work."""

    kind: Literal["bpe"] = "bpe"

    def model(self, ids: dict[str, int], vocabulary: Vocabulary) -> models.Model:
        return models.BPE(ids, list(vocabulary.merges), unk_token=self.special[UNK])

    def learn(self, words: Counter[str], split: Split) -> Vocabulary:
        return train_bpe(learnable(words), self._room)


@dataclass(frozen=True)
class WordPiece(_Subwords):
    """BERT's: words and punctuation apart, Chinese characters alone, tokens inside a word marked `##`.

    Spacing is normalised, and words of more than a hundred characters are unknown, both as in BERT.
    """

    kind: Literal["wordpiece"] = "wordpiece"
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    moving = frozenset("'’-")

    def normalisers(self) -> list[normalizers.Normalizer]:
        return [normalizers.BertNormalizer(lowercase=self.lowercase, strip_accents=False)]

    def configure(self, backend: Tokenizer) -> None:
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        backend.decoder = decoders.WordPiece(cleanup=False)

    def model(self, ids: dict[str, int], vocabulary: Vocabulary) -> models.Model:
        return models.WordPiece(ids, unk_token=self.special[UNK], max_input_chars_per_word=100)

    def learn(self, words: Counter[str], split: Split) -> Vocabulary:
        return train_wordpiece(learnable(words), self._room, lambda letter: len(split(letter * 2)) == 1)

    def join(self, names: Sequence[str], lines: bool = False) -> str:
        """Without the spaces that it puts around punctuation and Chinese characters."""
        return _NO_SPACE.sub("", " ".join(names).replace(" ##", "").removeprefix("##"))


@dataclass(frozen=True)
class Unigram(_Spaced):
    """The most probable cut under a unigram language model (Kudo 2018); spaces as in BPE."""

    kind: Literal["unigram"] = "unigram"

    def model(self, ids: dict[str, int], vocabulary: Vocabulary) -> models.Model:
        """Special tokens get a score that no path through a text can afford."""
        scores = [-1e4] * (len(ids) - len(vocabulary.pieces)) + list(vocabulary.scores)
        return models.Unigram(list(zip(ids, scores, strict=True)), UNK, False)

    def learn(self, words: Counter[str], split: Split) -> Vocabulary:
        return train_unigram(learnable(words, MOST_LETTERS_OF_UNIGRAM), self._room)


@dataclass(frozen=True)
class Characters(_Kind):
    """One token a character (code point)."""

    kind: Literal["characters"] = "characters"
    lowercase: bool = False
    nfc: bool = True
    vocab: ClassVar[None] = None

    def configure(self, backend: Tokenizer) -> None:
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        backend.decoder = decoders.Fuse()

    def learn(self, words: Counter[str], split: Split) -> Vocabulary:
        return train_words(words, MOST_CHARACTERS)


@dataclass(frozen=True)
class Words(_Kind):
    """One token a word between white space: text that is tokenised already, or syllables of pinyin."""

    kind: Literal["words"] = "words"
    vocab: int | None = None  # None: every word of the data
    lowercase: bool = False
    nfc: bool = True

    def __post_init__(self) -> None:
        if self.vocab is not None:
            self._check_size(self.vocab)

    def configure(self, backend: Tokenizer) -> None:
        # A word spelled like a special token is taken apart; only "<unk>" means what it says.
        apart = pre_tokenizers.Split(Regex(r"<(?=(?:pad|s|/s)>)"), "isolated")
        backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), apart])

    def learn(self, words: Counter[str], split: Split) -> Vocabulary:
        return train_words(words, self.vocab and self.vocab - len(self.special))

    def join(self, names: Sequence[str], lines: bool = False) -> str:
        return " ".join(names)


TokenizerSpec: TypeAlias = ByteBPE | BPE | WordPiece | Unigram | Characters | Words

SPECS: dict[str, type[TokenizerSpec]] = {spec.kind: spec for spec in get_args(TokenizerSpec)}


def _word_pattern(space: str) -> Regex:
    """Words with the space before them: letters and digits together, punctuation and symbols apart.

    Everything matches, so nothing is lost. Apostrophes and hyphens are letters ("don't", "T-Shirt"). As `<`
    and `s` never stand in one word, no token can be spelled like a special token.
    """
    letters = rf"{space}?(?:['’\-]|[^\p{{P}}\p{{S}}\s])+"
    symbols = rf"{space}?(?:(?!['’\-{space}])[\p{{P}}\p{{S}}])+"
    return Regex(rf"{letters}|{symbols}|{space}+(?={space})|{space}|\s+")


def build_backend(spec: TokenizerSpec, vocabulary: Vocabulary) -> Tokenizer:
    """The library's pipeline for a kind. An empty vocabulary gives one that can split, for training.

    It is not told of special tokens (none is "added"), so it never looks for them in a text.
    """
    ids = {name: index for index, name in enumerate((*spec.special, *vocabulary.pieces))}
    backend = Tokenizer(spec.model(ids, vocabulary))
    composed = [normalizers.NFC()] if spec.nfc else []
    text = normalizers.Sequence([*composed, *spec.normalisers()])
    backend.normalizer = normalizers.Sequence([text, *spec.spaces()])
    spec.configure(backend)
    return backend


def split_words(backend: Tokenizer, text: str) -> list[str]:
    """Normalise, then split into words."""
    normal = backend.normalizer.normalize_str(valid_text(text))
    return [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal)]


def lines_of(text: str) -> list[str]:
    """The lines of a text with their ends, as a running text is read: \\n or \\r\\n ends one."""
    *lines, rest = text.replace("\r\n", "\n").split("\n")
    return [*(f"{line}\n" for line in lines), *([rest] if rest else [])]


_HAN = "\u2e80-\u2fdf\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_NO_SPACE = re.compile(
    rf"(?<=[{_HAN}]) | (?=[{_HAN}])"  # Chinese is written without spaces
    r"| (?=[.,!?;:)\]}%…])|(?<=[(\[{]) "
    r"|(?<=\w) (?=['’\-] \w)|(?<=\w['’\-]) (?=\w)|(?<=\w ['’\-]) (?=\w)"
)


@functools.cache
def _byte_values() -> dict[str, int]:
    """GPT-2's printable character for each byte: printable ones stand for themselves."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    table = {chr(byte): byte for byte in plain}
    table.update((chr(0x100 + i), byte) for i, byte in enumerate(others))
    return table


BYTES = tuple(sorted(_byte_values()))


def bytes_of(name: str) -> bytes:
    """The bytes that a token of ByteBPE stands for."""
    values = _byte_values()
    if name == REPLACEMENT:
        return name.encode()
    return bytes(values[character] for character in name)


def readable(name: str) -> str:
    """The bytes of a token for people to read: text where they are text, a visible space, and `<0xE4>`
    otherwise. What is not made of bytes stays as it is."""
    try:
        raw = bytes_of(name)
    except KeyError:
        return name
    try:
        return raw.decode().replace(" ", SPACE)
    except UnicodeDecodeError:
        return "".join(chr(byte) if 0x20 < byte < 0x7F else f"<0x{byte:02X}>" for byte in raw)
