"""Learning the pieces of a vocabulary from counted words: BPE, WordPiece, Unigram, plain counting.

It does not know how texts become words (the tokenizer's normaliser and splitter decide that), what the
special tokens are, or how ids are given out. Everything here is a function of the words and their counts
alone, to the bit, whatever order they arrive in: the same data give the same vocabulary on every run.

Sources: BPE, Sennrich et al. 2016 (arXiv 1508.07909); WordPiece, Schuster and Nakajima 2012, as trained
by Hugging Face: BPE whose pieces say whether they continue a word; Unigram, Kudo 2018 (arXiv 1804.10959).

Differs: the trainers that `tokenizers` ships for WordPiece and Unigram give another vocabulary at every
run (they walk over randomly seeded hash maps), so only its BPE trainer is used here. WordPiece is BPE
over letters that carry their place; Unigram's EM counts best segmentations ("hard EM", integer counts)
and prunes the rarest pieces, where the paper sums over all segmentations and prunes by likelihood.
"""

from __future__ import annotations

import json
import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import tokenizers
from numpy.typing import NDArray

LONGEST_WORD = 256  # letters (ByteBPE: bytes) of what is learned from; each merge goes over its words
# The built-in data have up to 660,000 (Unigram: 300,000), except for the two columns of the dictionary:
# 1,660,000 (1,440,000). With a bound of 1,700,000 a list of random words took 330 MiB, not 220.
_MOST_LETTERS = 1_000_000  # of different words: up to 300 bytes and 3 µs are taken for each
MOST_LETTERS_OF_UNIGRAM = 500_000  # whose words are cut again in each round: up to 8 µs
MOST_CHARACTERS = 1 << 16  # of a vocabulary of characters; more than any script has
MIN_COUNT = 2  # what was seen once is an accident: its vector would hardly be trained
_ALPHABET_SHARE = 0.75  # of the vocabulary at most; the rarest characters of a big alphabet become unknown
_LONGEST_PIECE = 16
_TOGETHER = 4096  # words that are cut together
_SEEDS_PER_PIECE = 10  # Unigram starts from so many candidates for each piece that it will keep
_KEPT_EACH_ROUND = 0.6  # of the candidates; 0.75 and two passes a round gave texts no shorter (0.1 %)


@dataclass(frozen=True)
class Vocabulary:
    """Pieces in the order of their ids, without special tokens; merges (BPE) or scores (Unigram) beside."""

    pieces: tuple[str, ...]
    merges: tuple[tuple[str, str], ...] = ()
    scores: tuple[float, ...] = ()


def learnable(words: Counter[str], most: int = _MOST_LETTERS) -> Counter[str]:
    """The words that pieces are to be learned from, in bounded time and memory: of what people write in a
    few megabytes, all.

    Longer words are cut into parts. Of different ones with more than `most` letters in all the rarest are
    left out, evenly among equals, and words stay before parts.
    """
    if sum(map(len, words)) <= most and max(map(len, words), default=0) <= LONGEST_WORD:
        return words
    short, parts = Counter[str](), Counter[str]()
    for word, count in words.items():
        if len(word) <= LONGEST_WORD:
            short[word] = count
            continue
        for begin in range(0, len(word), LONGEST_WORD):
            parts[word[begin : begin + LONGEST_WORD]] += count
    kept = Counter[str]()
    room = most
    for some in (short, parts):
        for word in sorted(some, key=lambda word: (-some[word], zlib.crc32(word.encode()), word)):
            room -= len(word)
            if room < 0:
                break
            kept[word] += some[word]
    return kept


def train_words(words: Counter[str], size: int | None) -> Vocabulary:
    """The `size` most frequent words (or characters), or all, the most frequent first."""
    return Vocabulary(tuple(_by_count(words)[:size]))


def train_bpe(words: Counter[str], size: int, alphabet: Iterable[str] | None = None) -> Vocabulary:
    """Join the most frequent pair again and again, up to `size` pieces; fewer when no pair is left twice.

    `alphabet`: the characters to begin with; by default those of the words, as far as there is room.
    """
    if alphabet is None:
        alphabet = _by_count(_count_characters(words))[: max(1, int(size * _ALPHABET_SHARE))]
    letters = sorted(set(alphabet))
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=MIN_COUNT,
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        show_progress=False,
    )
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.train_from_iterator(_repeated(words), trainer)
    ids = backend.get_vocab(with_added_tokens=False)
    merges = json.loads(backend.to_str())["model"]["merges"]  # in order of rank, shown nowhere else
    return Vocabulary(tuple(sorted(ids, key=ids.__getitem__)), tuple((left, right) for left, right in merges))


def train_wordpiece(words: Counter[str], size: int, joins: Callable[[str], bool]) -> Vocabulary:
    """BPE over letters that know whether they begin or continue a word; continuing pieces get `##`.

    `joins(character)`: whether it can stand inside a word at all (a comma and a Chinese character can not).
    A character of the alphabet that can is there in both forms, so that every word made of known
    characters can be written.
    """
    alphabet: dict[str, bool] = {}
    room = int(size * _ALPHABET_SHARE)
    for character in _by_count(_count_characters(words)):
        inside = joins(character)
        room -= 1 + inside
        if room < 0:
            break
        alphabet[character] = inside
    # Two private letters for each character: at the beginning of a word, and inside.
    first = {character: chr(_PRIVATE + 2 * i) for i, character in enumerate(sorted(alphabet))}
    inner = {character: chr(_PRIVATE + 2 * i + 1) for i, character in enumerate(sorted(alphabet))}
    placed: Counter[str] = Counter()
    for word, count in words.items():
        if all(character in alphabet for character in word):
            placed[first[word[0]] + "".join(inner[character] for character in word[1:])] += count
    letters = [first[character] for character in alphabet]
    letters += [inner[character] for character, inside in alphabet.items() if inside]
    learned = train_bpe(placed, size, letters)

    plain = {code: character for forms in (first, inner) for character, code in forms.items()}
    begins = frozenset(first.values())
    pieces = (
        ("" if piece[0] in begins else "##") + "".join(plain[code] for code in piece)
        for piece in learned.pieces
    )
    return Vocabulary(tuple(pieces))


_PRIVATE = 0x20000  # any stretch of code points without surrogates: the letters never leave train_wordpiece


def train_unigram(words: Counter[str], size: int) -> Vocabulary:
    """Begin with the frequent substrings; keep those that the best segmentations use, until `size` are left.

    Scores are log-probabilities in nats. All characters stay, so that every known text can be written.
    """
    characters = _count_characters(words)
    alphabet = _by_count(characters)[: max(1, int(size * _ALPHABET_SHARE))]
    known = set(alphabet)
    counts = {piece: count for piece, count in _substrings(words).items() if known.issuperset(piece)}
    longer = sorted(counts, key=lambda piece: (-counts[piece] * len(piece), piece))
    longer = longer[: size * _SEEDS_PER_PIECE]
    counts.update((character, characters[character]) for character in alphabet)

    texts = sorted(words)
    weights = np.array([words[text] for text in texts], dtype=np.int64)
    target = max(0, size - len(alphabet))
    while True:
        pieces = [*alphabet, *longer]
        counts = _best_counts(pieces, _log_probabilities(pieces, counts), texts, weights)
        if len(longer) <= target:
            break
        keep = max(target, int(len(longer) * _KEPT_EACH_ROUND))
        longer = sorted(longer, key=lambda piece: (-counts[piece], -len(piece), piece))[:keep]
    scores = _log_probabilities(pieces, counts)
    order = sorted(range(len(pieces)), key=lambda i: (-scores[i], pieces[i]))
    return Vocabulary(tuple(pieces[i] for i in order), scores=tuple(scores[i] for i in order))


def _log_probabilities(pieces: list[str], counts: dict[str, int]) -> list[float]:
    """A piece that no best segmentation used gets half a count: improbable, not impossible."""
    used = [max(0.5, counts[piece]) for piece in pieces]
    total = sum(used)
    return [math.log(count / total) for count in used]


def _best_counts(
    pieces: list[str], scores: list[float], texts: list[str], weights: NDArray[np.int64]
) -> dict[str, int]:
    """How often each piece stands in the most probable segmentations of the words."""
    unknown = ("\0unknown", min(scores) - 10)
    table = [unknown, *zip(pieces, scores, strict=True)]
    backend = tokenizers.Tokenizer(tokenizers.models.Unigram(table, 0, False))
    counts = np.zeros(len(table), dtype=np.int64)
    for begin in range(0, len(texts), _TOGETHER):
        encodings = backend.encode_batch_fast(texts[begin : begin + _TOGETHER])
        rows = [encoding.ids for encoding in encodings]
        ids = np.fromiter((i for row in rows for i in row), dtype=np.int64)
        repeats = np.repeat(weights[begin : begin + _TOGETHER], [len(row) for row in rows])
        np.add.at(counts, ids, repeats)
    return dict(zip(pieces, counts[1:].tolist(), strict=True))


def _substrings(words: Counter[str]) -> dict[str, int]:
    """The substrings of two characters and more that occur at least MIN_COUNT times, with their counts.

    Grows all of them by one character at a time, and only those that are frequent already: a long
    substring is never more frequent than its beginning. So memory stays a few numbers for each position.
    """
    texts = sorted(words)
    if not texts:
        return {}
    joined = "\n".join(texts)
    letters = np.frombuffer(joined.encode("utf-32-le"), dtype=np.uint32).astype(np.int64)
    sizes = np.array([len(text) for text in texts], dtype=np.int64)
    ends = np.repeat(np.cumsum(sizes + 1) - 1, sizes + 1)[: len(letters)]
    weight = np.repeat(np.array([words[text] for text in texts], dtype=np.int64), sizes + 1)[: len(letters)]

    found: dict[str, int] = {}
    begin = np.flatnonzero(np.arange(len(letters)) < ends)
    name = letters[begin]
    for length in range(2, _LONGEST_PIECE + 1):
        fits = begin + length <= ends[begin]
        begin, name = begin[fits], name[fits]
        if not len(begin):
            break
        key = name * 0x110000 + letters[begin + length - 1]
        _, where, name = np.unique(key, return_index=True, return_inverse=True)
        count = np.zeros(len(where), dtype=np.int64)
        np.add.at(count, name, weight[begin])
        frequent = count >= MIN_COUNT
        for i in np.flatnonzero(frequent).tolist():
            start = int(begin[where[i]])
            found[joined[start : start + length]] = int(count[i])
        begin, name = begin[frequent[name]], name[frequent[name]]
    return found


def _count_characters(words: Counter[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    return counts


def _by_count(counts: Counter[str]) -> list[str]:
    """The most frequent first; of equals, the first in code point order."""
    order = sorted(counts)
    order.sort(key=counts.__getitem__, reverse=True)  # which keeps the order of equals
    return order


def _repeated(words: Counter[str]) -> Iterator[list[str]]:
    """Each word as often as it occurs, since the trainer takes no counts."""
    for word, count in words.items():
        while count > 0:
            yield [word] * min(count, 10_000)
            count -= 10_000
