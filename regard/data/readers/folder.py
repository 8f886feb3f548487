"""What is in a file or a folder: which files hold which split, and in which form.

It looks at names only. Images are looked for by `image_folder.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from regard.data.readers.lines import file_errors
from regard.data.readers.reader import READERS
from regard.data.splits import SPLIT_OF
from regard.errors import DataError

_NO_LANGUAGE = (
    *("", "json", "md", "gz", "zip", "log", "bin", "py", "yaml", "yml", "toml", "xml", "html"),
    *("png", "jpg", "jpeg", "wav", "npy", "npz", "pt", "bak", "tmp"),
)
"""Endings that are no column of parallel files."""
_SHARD = re.compile(r"(.+)[-_.](\d+)-of-(\d+)")
"""A split in several files, as data-set hubs have it: `train-00000-of-00002.parquet`."""
INSIDE = "data"
"""Where hubs keep them."""


@dataclass(frozen=True)
class FileSet:
    """The files of one split: one in a form of its own, or its shards, or several parallel ones (`form` is
    `parallel`)."""

    form: str
    paths: tuple[Path, ...]
    extensions: tuple[str, ...] = ()
    """Of parallel files, in the order of `paths`: the names of the columns."""

    @property
    def running(self) -> bool:
        """Whether it is a running text."""
        return self.form in READERS and READERS[self.form].running


def look_at_file(path: Path) -> FileSet:
    """The form of a single file. Raises DataError when it is none that can be read."""
    _, form = _parts(path)
    if form not in READERS:
        kinds = ", ".join(f".{kind}" for kind in READERS)
        sentence = (
            "{where} is in no form that can be read here; give {limit}, or a folder with parallel files such"
            " as train.en and train.de"
        )
        raise DataError(sentence, path, kinds)
    return FileSet(form, (path,))


def look_at_folder(folder: Path, columns: int) -> dict[str, FileSet]:
    """The files of each split, in the order train, valid, test.

    A split may be a folder, too. One without any that holds one set of examples gives it as `all`. `columns`,
    the number of columns wanted, decides between forms: plain `.txt` has one, SQuAD's `.json` three; other
    `.json` is looked at where there is nothing else. `eval` is what chooses, but beside `valid` the test.

    Raises:
        DataError: nothing usable is there, more than one file claims to be the same split, or a shard of one
            is missing.
    """
    with file_errors(folder):
        paths = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        inside = list((folder / INSIDE).iterdir()) if (folder / INSIDE).is_dir() else []
    splits = _splits(folder, paths, columns)
    if not splits and any(_parts(path)[1] in READERS for path in inside):
        return look_at_folder(folder / INSIDE, columns)
    splits = splits or _splits(folder, paths, columns, documents=True) or _folders(folder, columns)
    if not splits:
        raise _nothing(folder, columns)
    return splits


def _splits(folder: Path, paths: list[Path], columns: int, *, documents: bool = False) -> dict[str, FileSet]:
    """`documents`: whether `.json` holds any number of columns."""
    stems: dict[str, list[Path]] = {}
    for path in paths:
        stems.setdefault(_stem(path), []).append(path)
    names = _names_of_splits(stems)
    named = [(names[stem], one) for stem in names for one in _forms(stems[stem], columns, documents)]
    return by_split(folder, named) or by_split(
        folder, [("all", one) for group in stems.values() for one in _forms(group, columns, documents)]
    )


def _folders(folder: Path, columns: int) -> dict[str, FileSet]:
    """The splits where each has a folder of its own: `train/` and `test/`."""
    found: list[tuple[str, FileSet]] = []
    for name, split in SPLIT_OF.items():
        with file_errors(folder):
            files = list((folder / name).iterdir()) if (folder / name).is_dir() else []
        if any(_parts(path)[1] in READERS for path in files):
            found += [(split, one) for one in look_at_folder(folder / name, columns).values()]
    return by_split(folder, found)


def _names_of_splits(stems: Iterable[str]) -> dict[str, str]:
    names = {stem: SPLIT_OF[stem.lower()] for stem in stems if stem.lower() in SPLIT_OF}
    for stem, split in list(names.items()):
        others = [other for name, other in names.items() if name != stem]
        if stem.lower() == "eval" and split in others:
            del names[stem]
            if "test" not in others:
                names[stem] = "test"
    return names


def _stem(path: Path) -> str:
    """What files of one set of examples have in common: the name without its form and a shard's number."""
    stem, form = _parts(path)
    shard = _SHARD.fullmatch(stem) if form in READERS else None
    return stem if shard is None else shard[1]


def _parts(path: Path) -> tuple[str, str]:
    """The name without its form, and the form: `('train', 'en')` for `train.en.gz`."""
    name = path.name.removesuffix(".gz")
    stem, dot, form = name.rpartition(".")
    form = next((kind for kind, reader in READERS.items() if form in reader.endings), form)
    if not dot:
        return name, ""
    if path.name.endswith(".gz") and form in READERS and not READERS[form].zipped:
        return name, ""  # .parquet.gz: it is compressed already
    return stem, form


def _forms(paths: list[Path], columns: int, documents: bool) -> list[FileSet]:
    """What files that share a stem hold."""
    forms = {form: [path for path in paths if _parts(path)[1] == form] for form in READERS}
    usable: list[FileSet] = []
    for form, files in forms.items():
        if READERS[form].columns in (None, columns) or (documents and READERS[form].whole):
            sharded, whole = _shards(files)
            usable += [FileSet(form, (path,)) for path in whole]
            usable += [FileSet(form, sharded)] if sharded else []
    parallel = [path for path in paths if _parts(path)[1] not in (*READERS, *_NO_LANGUAGE)]
    if len(parallel) > 1:
        extensions = tuple(_parts(path)[1] for path in parallel)
        usable.append(FileSet("parallel", tuple(parallel), extensions))
    return usable


def _shards(paths: list[Path]) -> tuple[tuple[Path, ...], list[Path]]:
    """Those that are shards of one set of examples, in order, and the others.

    Raises: DataError when one is missing.
    """
    shards: dict[int, Path] = {}
    others: list[Path] = []
    count = 0
    for path in paths:
        found = _SHARD.fullmatch(_parts(path)[0])
        if found is None or int(found[2]) in shards or int(found[3]) != (count or int(found[3])):
            others.append(path)
        else:
            shards[int(found[2])], count = path, int(found[3])
    first = 0 if 0 in shards else 1
    missing = [number for number in range(first, first + count) if number not in shards][:1]
    if missing and shards:
        known = next(iter(shards.values()))
        sentence = "{where} is one of {limit:,} files of which number {value} is missing; fetch it, too"
        raise DataError(sentence, known, count, missing[0])
    return tuple(shards[number] for number in sorted(shards)), others


def by_split(folder: Path, found: list[tuple[str, FileSet]]) -> dict[str, FileSet]:
    """The files of each split, in order. Raises: DataError when two things claim to be the same split."""
    splits: dict[str, FileSet] = {}
    for split in ("train", "valid", "test", "all"):
        candidates = [one for name, one in found if name == split]
        if len(candidates) > 1:
            what = "the examples" if split == "all" else f"the split '{split}'"
            names = ", ".join(sorted(path.name for one in candidates for path in one.paths))
            sentence = "{where} holds {key} more than once: {value}; leave one of them, or give one file"
            raise DataError(sentence, folder, what, names)
        if candidates:
            splits[split] = candidates[0]
    return splits


def _nothing(folder: Path, columns: int) -> DataError:
    kinds = ", ".join(
        f".{kind}" for kind, form in READERS.items() if form.whole or form.columns in (None, columns)
    )
    pairs = " or parallel files such as train.en and train.de" if columns > 1 else ""
    sentence = "{where} holds nothing that can be read; put train, valid and test into it as {limit}"
    return DataError(sentence, folder, kinds + pairs)
