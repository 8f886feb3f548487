"""The best that can be had without a model: what every learned figure is printed beside.

Each baseline is made from training rows alone and gives a `predict(source) -> target`. They count and look
up; nothing is fitted on held-out rows. This file does not know models, metrics or files.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping

from regard.data import builtin
from regard.data.rows import Row
from regard.errors import DataError, unknown

Predict = Callable[[str], str]

_PRIOR = 1.0
"""How many observations the plain frequency of a reading is worth against those beside a neighbour."""


def trivial_baselines(name: str) -> dict[str, Predict]:
    """The baselines that only a built-in set has, by a name that can be printed, learned on its `train`.

    Raises:
        DataError: there is no built-in set of this name.
    """
    if name not in builtin.BUILTIN:
        raise unknown(DataError, "built-in set", name, builtin.BUILTIN)
    rows = builtin.BUILTIN[name].load().split("train")
    return {title: learn(rows) for title, learn in _BASELINES.get(name, {}).items()}


# ---------------------------------------------------------------------------------------- for any pairs


def copy(rows: Iterable[Row]) -> Predict:
    """The source itself."""
    return lambda source: source


def majority(rows: Iterable[Row]) -> Predict:
    """The most frequent target, whatever the source."""
    counts = Counter(row.values[1] for row in rows)
    answer = _most_frequent(counts) if counts else ""
    return lambda source: answer


# -------------------------------------------------------------------- characters to syllables (`pinyin`)


def default_reading(rows: Iterable[Row]) -> Predict:
    """Each character's reading in the dictionary of single characters: the rows with one character."""
    default = {row.values[0]: row.values[1] for row in rows if len(row.values[0]) == 1}
    return lambda source: " ".join(default.get(character, character) for character in source)


def most_frequent_reading(rows: Iterable[Row]) -> Predict:
    """Each character's most frequent reading in the phrases, else its default one."""
    rows = list(rows)
    default = default_reading(rows)
    frequent = {character: _most_frequent(counts) for character, counts in _readings(rows).items()}
    return lambda source: " ".join(frequent.get(character) or default(character) for character in source)


def neighbour_table(rows: Iterable[Row]) -> Predict:
    """Each character's most likely reading beside its left and its right neighbour, by counts of each pair.

    The two neighbours count as independent (naive Bayes); a pair that was never seen says nothing, so that
    what remains is the most frequent reading, then the default one.
    """
    rows = list(rows)
    default, readings = default_reading(rows), _readings(rows)
    beside: defaultdict[tuple[int, str, str], Counter[str]] = defaultdict(Counter)
    for phrase, syllables in _phrases(rows):
        for index, (character, syllable) in enumerate(zip(phrase, syllables, strict=True)):
            for side, neighbour in _neighbours(phrase, index):
                beside[side, neighbour, character][syllable] += 1

    def read(phrase: str, index: int) -> str:
        character = phrase[index]
        if character not in readings:
            return default(character)
        counts = readings[character]
        total = counts.total()
        score = {reading: count / total for reading, count in counts.items()}
        for side, neighbour in _neighbours(phrase, index):
            seen = beside.get((side, neighbour, character), Counter())
            for reading, count in counts.items():
                usual = count / total
                score[reading] *= (seen[reading] + _PRIOR * usual) / ((seen.total() + _PRIOR) * usual)
        return max(score, key=lambda reading: (score[reading], reading))

    return lambda source: " ".join(read(source, index) for index in range(len(source)))


def _phrases(rows: Iterable[Row]) -> Iterable[tuple[str, list[str]]]:
    """The rows of more than one character, with one syllable for each of them."""
    for row in rows:
        phrase, syllables = row.values[0], row.values[1].split(" ")
        if len(phrase) > 1 and len(phrase) == len(syllables):
            yield phrase, syllables


def _readings(rows: Iterable[Row]) -> dict[str, Counter[str]]:
    """How often each character is read in which way, in phrases."""
    readings: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for phrase, syllables in _phrases(rows):
        for character, syllable in zip(phrase, syllables, strict=True):
            readings[character][syllable] += 1
    return dict(readings)


def _neighbours(phrase: str, index: int) -> tuple[tuple[int, str], tuple[int, str]]:
    """What stands left (-1) and right (+1); the empty string at the border."""
    return (-1, phrase[index - 1 : index]), (1, phrase[index + 1 : index + 2])


# --------------------------------------------------------------------- letters to sounds (`spelling`)


def longest_suffix(rows: Iterable[Row]) -> Predict:
    """The sounds of the training word with the longest common ending, its beginning read by letters.

    The part of that word's sounds that belongs to the common ending is taken in proportion to the letters;
    what stands before is read by `sound_per_letter`.
    """
    rows = list(rows)
    by_letter = sound_per_letter(rows)
    by_ending: dict[str, tuple[int, str]] = {}
    for row in rows:
        word, sounds = row.values
        for start in range(len(word)):
            best = by_ending.get(word[start:])
            if best is None or len(word) < best[0]:  # the shortest word is the one with the least to exchange
                by_ending[word[start:]] = (len(word), sounds)

    def predict(source: str) -> str:
        for start in range(len(source)):
            if found := by_ending.get(source[start:]):
                length, sounds = found
                kept = round(len(sounds) * (len(source) - start) / length)
                return by_letter(source[:start]) + sounds[len(sounds) - kept :]
        return by_letter(source)

    return predict


def sound_per_letter(rows: Iterable[Row]) -> Predict:
    """Each letter's most frequent sound, learned from the words with as many letters as sounds."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        word, sounds = row.values
        plain = [sound for sound in sounds if sound not in "ˈˌ"]
        if len(plain) == len(word):
            for letter, sound in zip(word, plain, strict=True):
                counts[letter][sound] += 1
    sound_of = {letter: _most_frequent(found) for letter, found in counts.items()}
    return lambda source: "".join(sound_of.get(letter, "") for letter in source)


def _most_frequent(counts: Counter[str]) -> str:
    """Of those equally frequent, the last in alphabetical order: the order of rows must not matter."""
    return max(counts, key=lambda answer: (counts[answer], answer))


_BASELINES: Mapping[str, Mapping[str, Callable[[Iterable[Row]], Predict]]] = {
    "spelling": {"a sound for each letter": sound_per_letter, "the longest known ending": longest_suffix},
    "pinyin": {
        "default reading": default_reading,
        "most frequent reading": most_frequent_reading,
        "table of neighbours": neighbour_table,
    },
    "dates": {"copy": copy, "the most frequent answer": majority},
}
