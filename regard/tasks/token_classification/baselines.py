"""Labels of words that need no model: what every learned figure of token classification is printed beside."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from regard.tasks.token_classification.schemes import Entity

_WORDS = Sequence[str]


class UsualTags:
    """The tag that each word has had most often, and for words that are new the most frequent of all."""

    def __init__(self, sentences: Iterable[tuple[_WORDS, Sequence[str]]]) -> None:
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for words, tags in sentences:
            for word, tag in zip(words, tags, strict=True):
                counts[word][tag] += 1
        everywhere = sum(counts.values(), Counter[str]())
        self._usual = max(everywhere, key=everywhere.__getitem__, default="")
        self._tags = {word: max(tags, key=tags.__getitem__) for word, tags in counts.items()}

    def tags(self, words: _WORDS) -> list[str]:
        return [self._tags.get(word, self._usual) for word in words]


class Gazetteer:
    """The entities that have been seen, each with its most frequent type: from left to right the longest."""

    def __init__(self, sentences: Iterable[tuple[_WORDS, Iterable[Entity]]]) -> None:
        counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for words, found in sentences:
            for start, end, label in found:
                counts[tuple(words[start:end])][label] += 1
        self._types = {name: max(labels, key=labels.__getitem__) for name, labels in counts.items()}
        self._sizes = sorted({len(name) for name in self._types}, reverse=True)

    def entities(self, words: _WORDS) -> list[Entity]:
        found, start = list[Entity](), 0
        while start < len(words):
            for size in self._sizes:
                label = self._types.get(tuple(words[start : start + size]))
                if label is not None and start + size <= len(words):
                    found.append(Entity(start, start + size, label))
                    start += size - 1
                    break
            start += 1
        return found
