"""What is in a file or a folder: which files hold which split, and in which form.

It looks at names only. Formats that a task of its own will read (a folder per class of pictures, MNIST's IDX
files) will each get a form of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from regard.data.readers.lines import file_errors
from regard.errors import DataError

__all__ = ["FORMS", "Found", "look_at_file", "look_at_folder"]

FORMS = ("tsv", "csv", "jsonl", "parquet", "txt", "json")
_ZIPPED_FORMS = ("tsv", "csv", "jsonl", "txt", "json")
_COLUMNS = {"txt": 1, "json": 3}
"""Forms that hold so many columns; SQuAD's `.json` has three."""
_SPLIT_OF = {
    "train": "train",
    "valid": "valid",
    "val": "valid",
    "dev": "valid",
    "validation": "valid",
    "test": "test",
}
_ORDER = ("train", "valid", "test")
_NO_LANGUAGE = (
    *("", "json", "md", "gz", "zip", "log", "bin", "py", "yaml", "yml", "toml", "xml", "html"),
    *("png", "jpg", "jpeg", "wav", "npy", "npz", "pt", "bak", "tmp"),
)
"""Endings that are no column of parallel files."""


@dataclass(frozen=True)
class Found:
    """The files of one split: one in a form of its own, or several parallel ones (`form` is `parallel`)."""

    form: str
    paths: tuple[Path, ...]
    extensions: tuple[str, ...] = ()
    """Of parallel files, in the order of `paths`: the names of the columns."""


def look_at_file(path: Path, shown: str | None = None) -> Found:
    """The form of a single file. Raises DataError when it is none that can be read."""
    _, form = _parts(path)
    if form not in FORMS:
        kinds = ", ".join(f".{kind}" for kind in FORMS)
        raise DataError(
            f"{shown or path} is in no form that can be read here; give {kinds}, "
            "or a folder with parallel files such as train.en and train.de"
        )
    return Found(form, (path,))


def look_at_folder(folder: Path, columns: int) -> dict[str, Found]:
    """The files of each split, in the order train, valid, test.

    A folder without any of these that holds one set of examples gives it under the name `all`. `columns`,
    the number of columns wanted, decides between forms: plain `.txt` has one, SQuAD's `.json` three.

    Raises:
        DataError: nothing usable is there, or more than one file claims to be the same split.
    """
    with file_errors(folder):
        paths = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    stems: dict[str, list[Path]] = {}
    for path in paths:
        stems.setdefault(_parts(path)[0], []).append(path)
    splits: dict[str, Found] = {}
    for split in _ORDER:
        named = [stem for stem in stems if _SPLIT_OF.get(stem) == split]
        candidates = [found for stem in named for found in _forms(stems[stem], columns)]
        if found := _only(candidates, folder, f"the split '{split}'"):
            splits[split] = found
    if not splits:
        candidates = [found for group in stems.values() for found in _forms(group, columns)]
        if not (found := _only(candidates, folder, "the examples")):
            raise DataError(_nothing(folder, columns))
        splits["all"] = found
    return splits


def _parts(path: Path) -> tuple[str, str]:
    """The name without its form, and the form: `('train', 'en')` for `train.en.gz`."""
    name = path.name.removesuffix(".gz")
    stem, dot, form = name.rpartition(".")
    if not dot:
        return name, ""
    if path.name.endswith(".gz") and form in FORMS and form not in _ZIPPED_FORMS:
        return name, ""  # .parquet.gz: it is compressed already
    return stem, form


def _forms(paths: list[Path], columns: int) -> list[Found]:
    """What files that share a stem hold."""
    tables = [Found(form, (path,)) for path in paths if (form := _parts(path)[1]) in FORMS]
    usable = [found for found in tables if _COLUMNS.get(found.form, columns) == columns]
    parallel = [path for path in paths if _parts(path)[1] not in (*FORMS, *_NO_LANGUAGE)]
    if len(parallel) > 1:
        extensions = tuple(_parts(path)[1] for path in parallel)
        usable.append(Found("parallel", tuple(parallel), extensions))
    return usable


def _only(candidates: list[Found], folder: Path, what: str) -> Found | None:
    if len(candidates) > 1:
        names = ", ".join(path.name for found in candidates for path in found.paths)
        raise DataError(f"{folder} holds {what} more than once: {names}; leave one of them, or give one file")
    return candidates[0] if candidates else None


def _nothing(folder: Path, columns: int) -> str:
    kinds = ", ".join(f".{form}" for form in FORMS if _COLUMNS.get(form, columns) == columns)
    pairs = " or parallel files such as train.en and train.de" if columns > 1 else ""
    return f"{folder} holds nothing that can be read; put train, valid and test into it as {kinds}{pairs}"
