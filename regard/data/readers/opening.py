"""`open_data`: from what the user called DATA to a `DataSet`.

It knows names, files and folders, and how each is split; it does not know what the rows are for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, get_args

from regard.data import builtin, named
from regard.data.readers.changes import State, state_of, unchanged
from regard.data.readers.columns import Wanted, default_names, pick_columns
from regard.data.readers.delimited import CellTable
from regard.data.readers.folder import INSIDE, FileSet, look_at_file, look_at_folder
from regard.data.readers.idx import ImageTable
from regard.data.readers.image_folder import images_of, look_at_images, open_images, split_images
from regard.data.readers.images import IMAGE
from regard.data.readers.lines import Problem, file_errors
from regard.data.readers.plain import ParallelTable, TextFile
from regard.data.readers.reader import READERS
from regard.data.readers.shards import ShardedTable
from regard.data.readers.streams import Forms, OnError, Reading, split_table, split_text
from regard.data.readers.tables import Table
from regard.data.readers.translations import by_language
from regard.data.remote import Progress
from regard.data.rows import DataSet, KnownSet, Report, Rows
from regard.data.splits import ALL, SINGLE_FILE, SPLIT_OF, TRAIN_AND_VALID
from regard.errors import ConfigError, DataError, nearest, no_data, outside

RUNNING_TEXT: Mapping[str, float] = {"train": 0.90, "valid": 0.05, "test": 0.05}
_SHOWN = 3  # names of files or columns
_RUNNING_TRAIN: Mapping[str, float] = {"train": 0.95, "valid": 0.05}


def open_data(
    data: str | Path,
    columns: Wanted,
    *,
    on_error: OnError = "refuse",
    whole: bool = False,
    forms: Forms = (),
    key: tuple[int, ...] = (0,),
    progress: Progress | None = None,
) -> DataSet:
    """Open a built-in set, a named public set, a file or a folder.

    A name is looked up among the built-in sets, then among the public ones, then as a path. A `Path`, or a
    string with a separator or a suffix that exists, is always a path.

    A single file of examples is split by a hash of its `key`, by default the first wanted column (94 % train,
    3 % valid, 3 % test); running text (`.txt`, one column) in parts that follow one another (90, 5, 5 % of
    its bytes). Of a folder without `valid`, 3 % (running text: the last 5 %) of train become it; a missing
    `test` is not made up. A split that is cut from a small file may be empty. The files are looked at now and
    read later.

    Args:
        columns: the names of the columns wanted, in order; None for one to be found (`readers.columns`).
        on_error: whether a broken row is refused, or left out and counted in the report.
        whole: do not split a single file: its rows are the only split, `all`.
        forms: what the columns hold where that is not text (`readers.forms`), in the same order.
        key: which of the wanted columns say in which split a row is.
        progress: told of the bytes that have arrived, when a public set has to be fetched first.

    Raises:
        DataError: there is no such data, they cannot be read, or not these columns from them.
        ConfigError: `on_error` is none of its two values.
        DownloadError, StorageError: a public set could not be fetched or stored.
    """
    assert columns, "no columns were asked for"
    if on_error not in get_args(OnError):
        raise outside(ConfigError, "on_error", on_error, " or ".join(get_args(OnError)))
    report = Report()
    path, reading = _as_path(data), Reading(on_error, report, forms, key)
    if path is None:
        name = str(data)
        if Path(name).exists():
            report.notes.append(f"'{name}' is the data set of that name; for the one here, give ./{name}")
        if name in builtin.BUILTIN:
            return _open_builtin(builtin.BUILTIN[name], columns, report)
        return _open_named(named.NAMED[name], columns, reading, progress)
    splits, names = _open_path(path, columns, reading, whole=whole)
    return DataSet(str(data), splits, names, report, fingerprint=_fingerprint(path, names, tuple(splits)))


def columns_of(data: str | Path, *, header: bool = False) -> tuple[str, ...]:
    """The names of all columns of some data, whichever may be wanted of them. `header`: whether it is known
    that a table's first line names them.

    Raises: DataError as `open_data`.
    """
    path = _as_path(data)
    if path is None:
        known: Mapping[str, KnownSet] = {**builtin.BUILTIN, **named.NAMED}
        return known[str(data)].columns
    found = _look_at_examples(path)
    if found.running:
        return ("text",)
    for file in found.paths:
        _check_size(file)
    table = _open_table(found, ())
    first = table.tables[0] if isinstance(table, ShardedTable) else table
    if not header or not isinstance(first, CellTable) or first.header:
        return tuple(table.columns)
    rows = (cells for _, cells in first.records(tuple(range(len(first.columns)))))
    return next(
        tuple(str(cell).strip() for cell in cells) for cells in rows if not isinstance(cells, Problem)
    )


@dataclass(frozen=True)
class Preview:
    """Some data before it is decided which of their columns are wanted. Raises: DataError as `open_data`."""

    data: str | Path
    on_error: Any = "refuse"
    """As `open_data` takes it."""

    def __call__(self) -> tuple[str, ...]:
        """The names of all columns."""
        return columns_of(self.data)

    def header(self) -> tuple[str, ...]:
        """The same of a table whose first line names them, whatever it looks like."""
        return columns_of(self.data, header=True)

    def rows(self, columns: Wanted, forms: Forms = ()) -> Rows:
        """Some columns of the rows that are trained on."""
        splits = open_data(self.data, columns, forms=forms, on_error=self.on_error).splits
        return splits.get("train") or next(iter(splits.values()))


def _look_at_examples(path: Path) -> FileSet:
    """The files of the first split: of two columns if there are such, else of one."""
    if not path.is_dir():
        return look_at_file(path)
    try:
        return next(iter(look_at_folder(path, 2).values()))
    except DataError:
        return next(iter(look_at_folder(path, 1).values()))


_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # two letters and more: no drive of Windows


def _as_path(data: str | Path) -> Path | None:
    """The path that is meant, or None for a name that is known. Raises DataError when it is neither."""
    text = str(data)
    if not text or "\0" in text:
        raise DataError("{value!r} is no name of data; give a file, a folder or a built-in set", text)
    path = Path(os.path.expanduser(data))  # noqa: PTH111  (leaves an unknown ~user as it is)
    explicit = isinstance(data, Path) or len(Path(text).parts) > 1 or os.sep in text or bool(path.suffix)
    known = [*builtin.BUILTIN, *named.NAMED]
    exists = os.path.exists(path)  # noqa: PTH110  (a name may be too long for a file)
    if text in known and not (explicit and exists):
        return None
    if not exists:
        sentence = "there is no file, folder or known data set '{value}'"
        raise DataError(sentence, text, remedy=_suggestion(text, path, known))
    return path


def _suggestion(text: str, path: Path, known: list[str]) -> str:
    if _ADDRESS.match(text):
        return "addresses are not fetched: download it, and give the file or the folder"
    beside: list[str] = []
    with suppress(OSError):  # no such folder, or one that cannot be read: no hint from there
        beside = [entry.name for entry in path.parent.iterdir()]
    return nearest(text, known) or nearest(path.name, beside) or "`regard data` lists the known ones"


def _open_builtin(entry: builtin.BuiltIn, columns: Wanted, report: Report) -> DataSet:
    _check_images(entry, columns)
    whole = entry.load()
    picked = pick_columns(whole.columns, columns, entry.name)
    names = tuple(whole.columns[index] for index in picked)
    report.notes.append(entry.split)
    report.tallies.update(whole.report.tallies)
    splits = {split: builtin.columns_of(rows, picked) for split, rows in whole.splits.items()}
    fingerprint = f"{whole.fingerprint}/{','.join(names)}"
    return DataSet(entry.name, splits, names, report, whole.licence, whole.source, fingerprint)


def _open_named(
    entry: named.NamedSet, columns: Wanted, reading: Reading, progress: Progress | None
) -> DataSet:
    if not entry.columns:
        sentence = "{where} has no text columns; give it to a task that reads it"
        raise DataError(sentence, f"{entry.name} ({entry.title})")
    _check_images(entry, columns)
    folder = named.find(entry, progress)
    if all(name is None for name in columns) and len(columns) <= len(entry.columns):
        columns = entry.columns[: len(columns)]  # the direction in which its figures were published
    if entry.running_text:
        pick_columns(entry.columns, columns, entry.name)
        plain = folder / entry.running_text
        text = TextFile(plain if plain.exists() else plain.with_name(plain.name + ".gz"))
        splits, names = split_text(text, entry.shares, reading), entry.columns
        reading.report.notes.append(f"{entry.name} is split in parts one after another")
    else:
        splits, names = _open_path(folder, columns, reading, whole=False, every=entry.held_out)
    fingerprint = f"{entry.name}@{entry.commit}/{','.join(names)}"
    return DataSet(entry.name, splits, names, reading.report, entry.licence, entry.source, fingerprint)


def _check_images(entry: KnownSet, columns: Wanted) -> None:
    """Images are for who asks for them by name: others would take their names for text."""
    if IMAGE in entry.columns and IMAGE not in columns:
        sentence = "{where} holds images; give it to image-classification"
        raise DataError(sentence, f"{entry.name} ({entry.title})")


def _open_path(
    path: Path, columns: Wanted, reading: Reading, *, whole: bool, every: int = 0
) -> tuple[dict[str, Rows], tuple[str, ...]]:
    """`every`: which images of train become valid, in place of a share."""
    found = _look_at(path, columns)
    splits: dict[str, Rows] = {}
    names: tuple[str, ...] = ()
    for split, files in found.items():
        shares = _shares(split, files, found, whole)
        rows, names_here = _open_files(files, columns, shares, reading, every)
        if len(shares) > 1 and not every:
            parts = ", ".join(f"{part} {share:.0%}" for part, share in shares.items())
            key = [names_here[place] for place in reading.key]
            by = ", ".join(key) if len(key) <= _SHOWN else f"{len(key)} columns"
            how = "in parts that follow one another" if files.running else f"by a hash of {by}"
            reading.report.notes.append(f"{_shown(files)} was split {how}: {parts}")
        _check_agree(names, names_here, path)
        names = names or names_here
        splits |= {part: unchanged(some, partial(_state, files)) for part, some in rows.items()}
    if "test" not in splits and "valid" in splits and "all" not in found:
        reading.report.notes.append(f"{path} holds no test split, and none was made up")
    return {split: splits[split] for split in ("train", "valid", "test", "all") if split in splits}, names


def _state(files: FileSet) -> State:
    return state_of(images_of(files.paths[0]) if files.form == "images" else files.paths)


def _look_at(path: Path, columns: Wanted) -> dict[str, FileSet]:
    if not path.is_dir():
        return {"all": look_at_file(path)}
    if IMAGE not in columns:
        return look_at_folder(path, len(columns))
    if images := look_at_images(path):
        return images
    try:
        return look_at_folder(path, len(columns))
    except DataError as error:
        sentence = "{where} holds no images; put a folder for each class into it, or MNIST's IDX files"
        raise DataError(sentence, path) from error


def _check_agree(first: tuple[str, ...], other: tuple[str, ...], folder: Path) -> None:
    """Splits must not differ in what their columns are called, unless one has no names of its own."""
    unnamed = default_names(len(other))
    if first and first != other and unnamed not in (first, other):
        sentence = (
            "the splits in {where} have different columns, {limit} and {value}; give them the same names,"
            " or name the columns that are meant"
        )
        raise DataError(sentence, folder, ", ".join(first), ", ".join(other))


def _shares(split: str, files: FileSet, found: Mapping[str, FileSet], whole: bool) -> Mapping[str, float]:
    """Into which splits the files that stand for `split` are cut."""
    text = files.running
    if split == "all" and whole:
        return ALL
    if split == "all":
        return RUNNING_TEXT if text else SINGLE_FILE
    if split == "train" and "valid" not in found:
        return _RUNNING_TRAIN if text else TRAIN_AND_VALID
    return {split: 1.0}


def _open_files(
    files: FileSet, columns: Wanted, shares: Mapping[str, float], reading: Reading, every: int
) -> tuple[dict[str, Rows], tuple[str, ...]]:
    """The splits that one file, or one set of parallel files, gives, and the names of its columns."""
    for path in files.paths:
        _check_size(path)
    if files.running:
        picked = pick_columns(("text",), columns, _shown(files))
        text = READERS[files.form].open(files.paths[0], columns, skip=False)
        assert isinstance(text, TextFile)
        return split_text(text, shares, reading), ("text",) * len(picked)
    table = _open_table(files, columns, skip=reading.on_error == "skip")
    picked = pick_columns(table.columns, columns, table.label, ordered=files.form != "parallel")
    names = tuple(table.columns[index] for index in picked)
    if isinstance(table, ImageTable):
        return split_images(table, picked, shares, reading, every), names
    first = table.tables[0] if isinstance(table, ShardedTable) else table
    if isinstance(first, CellTable):
        reading.report.notes.extend(first.notes(columns))
    return split_table(table, picked, shares, reading), names


def _open_table(files: FileSet, columns: Wanted, *, skip: bool = False) -> Table:
    """`skip`: whether the columns may follow from a later row than the first, if that is broken."""
    if files.form in ("images", "idx"):
        return open_images(files)
    if files.form == "parallel":
        return ParallelTable(files.paths, files.extensions)
    tables = tuple(by_language(_open_file(files.form, path, columns, skip), columns) for path in files.paths)
    return tables[0] if len(tables) == 1 else ShardedTable(tables)


def _open_file(form: str, path: Path, columns: Wanted, skip: bool) -> Table:
    table = READERS[form].open(path, columns, skip=skip)
    assert not isinstance(table, TextFile)
    return table


def _shown(files: FileSet) -> str:
    names = [path.name for path in files.paths]
    return " + ".join(names if len(names) <= _SHOWN else [names[0], "…", names[-1]])


def _check_size(path: Path) -> None:
    if path.is_file() and path.stat().st_size == 0:
        raise no_data(path, "is empty")


def _fingerprint(path: Path, names: tuple[str, ...], splits: tuple[str, ...]) -> str:
    """Of the names, sizes and times of the files; their content is not read."""
    digest = blake2b(repr((names, splits)).encode(), digest_size=16)
    with file_errors(path):
        files = [path]
        if path.is_dir():
            within = (file for name in (INSIDE, *SPLIT_OF) for file in path.glob(f"{name}/*"))
            inside = [*path.rglob("*")] if IMAGE in names else [*path.iterdir(), *within]
            files = [file for file in sorted(inside) if file.is_file()]
        for name, state in state_of(files).items():
            digest.update(repr((str(Path(name).resolve()), *state)).encode("utf-8", "replace"))
    return digest.hexdigest()
