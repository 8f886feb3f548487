"""Folders of images: a folder for each class, or MNIST's IDX files, whole or by splits.

    train/cat/a.png  train/dog/b.jpg  test/cat/…     splits given
    cat/a.png  dog/b.jpg                             one set, split by a hash of each file's bytes
    train-images-idx3-ubyte.gz  train-labels-idx1-ubyte.gz  t10k-…

Images of a class may lie in folders of their own. They come in an order that follows from their names by a
hash, so that the first few are of all classes. This file does not know what images are for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from regard.data.readers.folder import Found, only
from regard.data.readers.idx import COLUMNS, IdxImages, partner, split_word
from regard.data.readers.images import IMAGE, SUFFIXES, decode, read_bytes
from regard.data.readers.lines import Problem, file_errors
from regard.data.readers.streams import Reading, split_by
from regard.data.readers.tables import Record
from regard.data.rows import Rows
from regard.data.splits import SPLIT_OF, Chooser, choose_by_hash, share
from regard.errors import DataError

__all__ = ["ImageFolder", "ImageTable", "files_of", "images_of", "look_at_images", "open_images"]
__all__ += ["split_images"]

assert COLUMNS[0] == IMAGE
_NOT_ONE = Problem("not an image by its name", harmless=True)
_ORDER = ("train", "valid", "test")


def look_at_images(folder: Path) -> dict[str, Found]:
    """The images of each split, or of one set under the name `all`; nothing where there are none.

    Raises:
        DataError: two things claim to be the same split, or images have no labels.
    """
    with file_errors(folder):
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    idx = [path for path in inside if split_word(path) is not None]
    folders = [path for path in inside if path.is_dir()]
    words = {path: split_word(path) or "" for path in idx} or {path: path.name.lower() for path in folders}
    splits: dict[str, Found] = {}
    for split in _ORDER:
        mine = [path for path, word in words.items() if {**SPLIT_OF, "t10k": "test"}.get(word) == split]
        candidates = [_idx(path) for path in mine] if idx else [_classes(path) for path in mine]
        if found := only([one for one in candidates if one], folder, f"the split '{split}'"):
            splits[split] = found
    if not splits:
        one = only([_idx(path) for path in idx], folder, "the examples") or _classes(folder)
        return {"all": one} if one else {}
    return splits


def _idx(path: Path) -> Found:
    return Found("idx", (path, partner(path)))


def _classes(folder: Path) -> Found | None:
    """A folder of which some folders hold images."""
    with file_errors(folder):
        found = any(_is_image(path) for part in _folders(folder) for path in part.rglob("*"))
    return Found("images", (folder,)) if found else None


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


@dataclass(frozen=True)
class ImageFolder:
    """A folder for each class: a table of two columns, the path of an image and the name of its class."""

    path: Path
    known: dict[str, str | Problem] = field(default_factory=dict, compare=False)
    """Of each file that was read once, a hash of its bytes, or what is wrong with it."""
    columns = COLUMNS

    @property
    def label(self) -> str:
        return str(self.path)

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        """Every file, decoded once in the life of this table to see that it can be. Raises
        DependencyError."""
        for file in files_of(self.path):
            name = str(file)
            if not _is_image(file):
                yield name, _NOT_ONE
                continue
            if name not in self.known:
                self.known[name] = _looked_at(file, name)
            found = self.known[name]
            values = (name, file.relative_to(self.path).parts[0])
            yield name, found if isinstance(found, Problem) else tuple([values[i] for i in picked])

    def key(self, name: str) -> str:
        """What decides which split an image belongs to."""
        found = self.known[name]
        assert isinstance(found, str)
        return found


ImageTable = ImageFolder | IdxImages


def open_images(found: Found) -> ImageTable:
    """The table of what `look_at_images` found."""
    if found.form == "idx":
        images, labels = found.paths
        return IdxImages(images, labels)
    return ImageFolder(found.paths[0])


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
    return lambda name: chosen(table.key(name))


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
