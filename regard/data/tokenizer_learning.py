"""Which vocabulary each kind of tokenizer learns from counted words; see `vocabulary.py` for how."""

from __future__ import annotations

from collections import Counter

from tokenizers import Tokenizer as Backend

from regard.data.sample import Sample
from regard.data.tokenizer_kinds import (
    BPE,
    BYTES,
    ByteBPE,
    Characters,
    TokenizerSpec,
    Unigram,
    WordPiece,
    Words,
    special_names,
    split_words,
)
from regard.data.vocabulary import (
    MOST_LETTERS_OF_UNIGRAM,
    Vocabulary,
    learnable,
    train_bpe,
    train_characters,
    train_unigram,
    train_wordpiece,
    train_words,
)
from regard.errors import TokenizerError

__all__ = ["check_allowed", "learn"]


def learn(spec: TokenizerSpec, words: Counter[str], backend: Backend) -> Vocabulary:
    """The vocabulary that a kind learns from these words."""
    if isinstance(spec, Characters):
        return train_characters(words)
    if spec.vocab is None:
        return train_words(words, None)
    size = spec.vocab - len(special_names(spec))
    if isinstance(spec, Unigram):
        words = learnable(words, MOST_LETTERS_OF_UNIGRAM)
    elif not isinstance(spec, Words):
        words = learnable(words)
    match spec:
        case ByteBPE():
            return train_bpe(words, size, BYTES)
        case BPE():
            return train_bpe(words, size)
        case Unigram():
            return train_unigram(words, size)
        case WordPiece():
            return train_wordpiece(words, size, lambda letter: len(split_words(backend, letter * 2)) == 1)
        case Words():
            return train_words(words, size)


def check_allowed(spec: TokenizerSpec, vocabulary: Vocabulary, at_most: bool, sample: Sample) -> None:
    """Raises: TokenizerError for a vocabulary that is smaller than was asked for."""
    asked = None if isinstance(spec, Characters) else spec.vocab
    largest = len(special_names(spec)) + len(vocabulary.pieces)
    if asked is not None and largest < asked and not at_most:
        sentence = (
            "a {kind} vocabulary of {value} is larger than the data allow: {texts} texts ({size} bytes) give"
            " {limit} pieces at most; ask for no more, or give more text"
        )
        raise TokenizerError(sentence, spec.kind, asked, sample.texts, sample.size, largest)
