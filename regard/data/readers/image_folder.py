"""Folders of images: a folder for each class, or MNIST's IDX files, whole or by splits.

    train/cat/a.png  train/dog/b.jpg  test/cat/…     splits given
    cat/a.png  dog/b.jpg                             one set, split by a hash of each file's bytes
    train-images-idx3-ubyte.gz  train-labels-idx1-ubyte.gz  t10k-…

Images of a class may lie in folders of their own. They come in an order that follows from their names by a
hash, so that the first few are of all classes. This file does not know what images are for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from regard.data.readers.folder import FileSet, by_split
from regard.data.readers.idx import COLUMNS, IdxImages, ImageTable, partner, split_word
from regard.data.readers.images import IMAGE, SUFFIXES, decode, read_bytes
from regard.data.readers.lines import Problem, file_errors
from regard.data.readers.streams import Reading, split_by
from regard.data.readers.tables import Record
from regard.data.rows import Rows
from regard.data.splits import SPLIT_OF, Chooser, choose_by_hash, share
from regard.errors import DataError

assert COLUMNS[0] == IMAGE
_NOT_ONE = Problem("not an image by its name", harmless=True)


def look_at_images(folder: Path) -> dict[str, FileSet]:
    """The images of each split, or of one set under the name `all`; nothing where there are none.

    Raises:
        DataError: two things claim to be the same split, or images have no labels.
    """
    with file_errors(folder):
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    idx = {path: word for path in inside if (word := split_word(path)) is not None}
    words = idx or {path: path.name.lower() for path in inside if path.is_dir()}
    names = {path: {**SPLIT_OF, "t10k": "test"}.get(word) for path, word in words.items()}
    look = _idx if idx else _classes
    return (
        by_split(folder, [(name, one) for path, name in names.items() if name for one in look(path)])
        or by_split(folder, [("all", one) for path in idx for one in _idx(path)])
        or by_split(folder, [("all", one) for one in _classes(folder)])
    )


def _idx(path: Path) -> list[FileSet]:
    return [FileSet("idx", (path, partner(path)))]


def _classes(folder: Path) -> list[FileSet]:
    """A folder of which some folders hold images."""
    with file_errors(folder):
        found = any(_is_image(path) for part in _folders(folder) for path in part.rglob("*"))
    return [FileSet("images", (folder,))] if found else []


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


@dataclass(frozen=True)
class ImageFolder(ImageTable):
    """A folder for each class: a table of two columns, the path of an image and the name of its class."""

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        """Every file, decoded once in the life of this table to see that it can be. Raises
        DependencyError."""
        for file in files_of(self.path):
            name = str(file)
            if not _is_image(file):
                yield name, _NOT_ONE
                continue
            if name not in self.keys:
                self.keys[name] = _looked_at(file, name)
            found = self.keys[name]
            values = (name, file.relative_to(self.path).parts[0])
            yield name, found if isinstance(found, Problem) else tuple([values[i] for i in picked])


def open_images(found: FileSet) -> ImageTable:
    """The table of what `look_at_images` found."""
    return (IdxImages if found.form == "idx" else ImageFolder)(found.paths[0])


def split_images(
    table: ImageTable,
    picked: tuple[int, ...],
    shares: Mapping[str, float],
    reading: Reading,
    every: int = 0,
) -> dict[str, Rows]:
    """The rows in one or more splits, by a hash of what the images hold, so that equal ones stay together;
    or, of an IDX file, each `every`-th image as valid."""
    if picked[:1] != (0,):
        raise DataError("of {where}, ask for the column '{key}' first", table.label, IMAGE)
    if len(shares) == 1:
        return split_by(table, picked, dict.fromkeys(shares), reading)
    if every:
        choosers: dict[str, Chooser | None] = {
            "train": lambda name: int(name.rpartition("#")[2]) % every != 0,
            "valid": lambda name: int(name.rpartition("#")[2]) % every == 0,
        }
        return split_by(table, picked, choosers, reading)
    by_hash = {split: _of_content(table, chosen) for split, chosen in choose_by_hash(shares).items()}
    return split_by(table, picked, by_hash, reading)


def _of_content(table: ImageTable, chosen: Chooser) -> Chooser:
    return lambda name: chosen(str(table.keys[name]))


def files_of(folder: Path) -> list[Path]:
    """The files in the folders of a folder, in an order that is the same on every machine."""
    with file_errors(folder):
        files = [
            path
            for part in _folders(folder)
            for path in part.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        ]
    names = {path: path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape") for path in files}
    return sorted(files, key=lambda path: (share(names[path].hex()), names[path]))


def images_of(folder: Path) -> list[Path]:
    """The images in the folders of a folder."""
    return [path for path in files_of(folder) if _is_image(path)]


def _looked_at(file: Path, name: str) -> str | Problem:
    """A hash of a sound image's bytes."""
    if any("\ud800" <= character <= "\udfff" for character in name):
        return Problem("name that is not UTF-8")
    try:
        content = read_bytes(file)
    except DataError as error:
        return Problem("unreadable file", str(error))
    found = decode(content)
    return found if isinstance(found, Problem) else blake2b(content, digest_size=16).hexdigest()
