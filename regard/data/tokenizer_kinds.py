"""The six ways to cut texts: what each kind normalises, where it splits, and how its pieces join again.

The union `TokenizerSpec` is the registry; its members say what may be chosen. Every difference between
the kinds that encoding and decoding meet is in this file. It does not know how a vocabulary is learned
or stored.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from regard.data.sample import REPLACEMENT, valid_text
from regard.data.vocabulary import Vocabulary
from regard.errors import TokenizerError

__all__ = [
    "BPE",
    "SPECS",
    "ByteBPE",
    "Characters",
    "TokenizerSpec",
    "Unigram",
    "WordPiece",
    "Words",
    "build_backend",
    "join_pieces",
    "special_names",
    "split_words",
    "text_normaliser",
]

PAD, UNK, BOS, EOS, MASK = range(5)  # whatever the kind; only WordPiece has a mask
_SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")
_BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LARGEST = 1 << 20


@dataclass(frozen=True)
class ByteBPE:
    """BPE over UTF-8 bytes (GPT-2): nothing is unknown, and nothing is normalised unless asked."""

    kind: Literal["byte-bpe"] = "byte-bpe"
    vocab: int = 8000
    """Pieces, special ones included; with 260 a byte is a token, and nothing is merged."""
    lowercase: bool = False
    """Whether capital letters become small ones."""
    nfc: bool = False
    """Whether characters that can be written in several ways are written in one (Unicode's NFC)."""

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

SPECS: dict[str, type[TokenizerSpec]] = {
    "byte-bpe": ByteBPE,
    "bpe": BPE,
    "wordpiece": WordPiece,
    "unigram": Unigram,
    "characters": Characters,
    "words": Words,
}


def _check_size(kind: str, vocab: int, least: int = 16) -> None:
    if not least <= vocab <= _LARGEST:
        sentence = "{key} of a {kind} tokenizer is {value}; it must be {limit}"
        raise TokenizerError(sentence, "vocab", kind, vocab, f"from {least} to {_LARGEST}")


SPACE = "▁"


def _word_pattern(space: str) -> Regex:
    """Words with the space before them: letters and digits together, punctuation and symbols apart.

    Everything matches, so nothing is lost. Apostrophes and hyphens are letters ("don't", "T-Shirt"). As `<`
    and `s` never stand in one word, no piece can be spelled like a special token.
    """
    letters = rf"{space}?(?:['’\-]|[^\p{{P}}\p{{S}}\s])+"
    symbols = rf"{space}?(?:(?!['’\-{space}])[\p{{P}}\p{{S}}])+"
    return Regex(rf"{letters}|{symbols}|{space}+(?={space})|{space}|\s+")


def special_names(spec: TokenizerSpec) -> tuple[str, ...]:
    """The names of the special tokens, in the order of their ids."""
    return _BERT_SPECIAL if isinstance(spec, WordPiece) else _SPECIAL


def text_normaliser(spec: TokenizerSpec) -> normalizers.Normalizer:
    """What happens to a text before anything else; ▁ and the marks of pieces come later."""
    steps: list[normalizers.Normalizer] = []
    if spec.nfc:
        steps.append(normalizers.NFC())
    if isinstance(spec, WordPiece):
        steps.append(normalizers.BertNormalizer(lowercase=spec.lowercase, strip_accents=False))
    elif spec.lowercase:
        steps.append(normalizers.Lowercase())
    return normalizers.Sequence(steps)


def build_backend(spec: TokenizerSpec, names: Sequence[str], vocabulary: Vocabulary) -> Tokenizer:
    """The library's pipeline for a kind. An empty vocabulary gives one that can split, for training.

    It is not told of special tokens (none is "added"), so it never looks for them in a text.
    """
    ids = {name: index for index, name in enumerate(names)}
    unknown = names[UNK]
    steps = [text_normaliser(spec)]
    match spec:
        case ByteBPE():
            backend = Tokenizer(models.BPE(ids, list(vocabulary.merges)))
            words = pre_tokenizers.Split(_word_pattern(" "), "isolated")
            as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
            backend.pre_tokenizer = pre_tokenizers.Sequence([words, as_bytes])
            backend.decoder = decoders.ByteLevel()
        case BPE() | Unigram():
            if isinstance(spec, BPE):
                backend = Tokenizer(models.BPE(ids, list(vocabulary.merges), unk_token=unknown))
            else:
                backend = Tokenizer(_unigram(names, vocabulary))
            # The first word gets a space too, so that it has the same pieces as elsewhere.
            steps += [normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)]
            backend.pre_tokenizer = pre_tokenizers.Split(_word_pattern(SPACE), "isolated")
            backend.decoder = decoders.Sequence(
                [decoders.Replace(SPACE, " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
            )
        case WordPiece():
            backend = Tokenizer(models.WordPiece(ids, unk_token=unknown, max_input_chars_per_word=100))
            backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
            backend.decoder = decoders.WordPiece(cleanup=False)
        case Characters():
            backend = Tokenizer(models.WordLevel(ids, unknown))
            backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
            backend.decoder = decoders.Fuse()
        case Words():
            backend = Tokenizer(models.WordLevel(ids, unknown))
            # A word spelled like a special token is taken apart; only "<unk>" means what it says.
            apart = pre_tokenizers.Split(Regex(r"<(?=(?:pad|s|/s)>)"), "isolated")
            backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), apart])
    backend.normalizer = normalizers.Sequence(steps)
    return backend


def _unigram(names: Sequence[str], vocabulary: Vocabulary) -> models.Unigram:
    """Special tokens get a score that no path through a text can afford."""
    special = len(names) - len(vocabulary.pieces)
    scores = [-1e4] * special + list(vocabulary.scores)
    return models.Unigram(list(zip(names, scores, strict=True)), UNK, False)


def split_words(backend: Tokenizer, text: str) -> list[str]:
    """Normalise, then split into words."""
    normal = backend.normalizer.normalize_str(valid_text(text))
    return [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal)]


def lines_of(text: str) -> list[str]:
    """The lines of a text with their ends, as a running text is read: \\n or \\r\\n ends one."""
    *lines, rest = text.replace("\r\n", "\n").split("\n")
    return [*(f"{line}\n" for line in lines), *([rest] if rest else [])]


def join_pieces(spec: TokenizerSpec, names: list[str], *, lines: bool = False) -> str:
    """The text of pieces, where the name of `unk` stands for what is not known. `lines`: whether each line
    was cut by itself."""
    unknown = special_names(spec)[UNK]
    names = [REPLACEMENT if name == unknown else name for name in names]
    match spec:
        case ByteBPE():
            return b"".join(bytes_of(name) for name in names).decode("utf-8", errors="replace")
        case BPE() | Unigram():
            text = "".join(names).replace(SPACE, " ").removeprefix(" ")
            return text.replace("\n ", "\n") if lines else text  # each line was given a space, too
        case WordPiece():
            return tidy(" ".join(names).replace(" ##", "").removeprefix("##"))
        case Characters():
            return "".join(names)
        case Words():
            return " ".join(names)


_HAN = "\u2e80-\u2fdf\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_NO_SPACE = re.compile(
    rf"(?<=[{_HAN}]) | (?=[{_HAN}])"  # Chinese is written without spaces
    r"| (?=[.,!?;:)\]}%…])|(?<=[(\[{]) "
    r"|(?<=\w) (?=['’\-] \w)|(?<=\w['’\-]) (?=\w)|(?<=\w ['’\-]) (?=\w)"
)

MOVING = frozenset("'’-")
"""What WordPiece joins to the word before only where another follows."""


def tidy(text: str) -> str:
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


BYTES = tuple(sorted(_byte_values()))


def bytes_of(name: str) -> bytes:
    """The bytes that a piece of ByteBPE stands for."""
    values = _byte_values()
    if name == REPLACEMENT:
        return name.encode()
    return bytes(values[character] for character in name)


def readable(raw: bytes) -> str:
    """Bytes for people to read: text where they are text, a visible space, and `<0xE4>` otherwise."""
    try:
        return raw.decode().replace(" ", SPACE)
    except UnicodeDecodeError:
        return "".join(chr(byte) if 0x20 < byte < 0x7F else f"<0x{byte:02X}>" for byte in raw)
