"""Writing files so that a crash at any moment leaves the old ones or the new ones, never a mixture.

One file: it is written beside its place under another name, made durable, then renamed over the old one.

Several files of one folder, as one (`atomic_files`), by a redo journal:

    folder/.writing-<pid>/   the new files, being written      a crash here: the old set
    folder/.commit/          the same folder, renamed: the commit point
    folder/<name>            each file is moved out of `.commit` into its place

A crash after the commit point leaves `.commit` with those files that have not moved yet. `resolve` reads
through it, so a reader that may not write sees the new set as well; the next writer finishes the moves. Two
writers at once: the second is refused with a `StorageError`. The lock is the kernel's (`flock` on the folder
itself), so it leaves no file behind and dies with its process; where there is none (Windows, some network
drives) nobody is refused. A folder that a long work of another process holds (`locks.py`) is refused
everywhere.

This file does not know what is in the files it writes.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from regard.errors import StorageError, cannot_write
from regard.locks import check_unlocked, descriptor_of, is_alive, try_lock

_COMMIT = ".commit"
_WRITING = ".writing-"
_STALE_SECONDS = 3600.0
_OPEN_HERE = re.compile(r"/(?:proc/(?:thread-)?self|dev)/(?:fd/(\d+)|(std(?:in|out|err)))")
_MOST_LINKS = 40


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace `path` by `text` in UTF-8, all or nothing. Raises StorageError."""
    with atomic_file(path) as file:
        # A file name that is not UTF-8 reaches us as lone surrogates: written as \udcxx, as JSON has them.
        file.write(text.encode("utf-8", errors="backslashreplace"))


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Replace `path` by `value` as indented JSON, all or nothing. Raises StorageError."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends well, and vanishes when it does not.

    Missing parent folders are created. A symbolic link is followed. A device or a pipe is written to
    directly, since it cannot be replaced; so is what this process has open already (`/dev/stdout`), from
    where that stands. Raises StorageError.
    """
    if (descriptor := _descriptor(path)) is not None:
        with _storage_errors(Path(path).parent, shown=Path(path)):
            sys.stdout.flush()  # what was printed before comes before
            with os.fdopen(os.dup(descriptor), "wb") as opened:
                yield opened
        return
    target = Path(os.path.realpath(path))
    with _storage_errors(target.parent, shown=Path(path)):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if _is_device(target):
            with target.open("wb") as device:
                yield device
            return
        with _folder(target.parent):
            _sweep_files(target.parent)
            temporary = target.parent / f"{_WRITING}{os.getpid()}-{secrets.token_hex(4)}"
            try:
                with temporary.open("xb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, target)  # noqa: PTH105  (all renames here go through `os`)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            _sync_folder(target.parent)


@contextmanager
def atomic_files(folder: str | os.PathLike[str], names: Collection[str]) -> Iterator[Path]:
    """An empty folder to write `names` into; when the block ends they replace those of `folder` as one.

    Other files of `folder` are left alone. Missing folders are created.

    Raises:
        StorageError: it cannot be written, or another process is writing it at this moment.
    """
    assert names, "nothing to write"
    assert all(Path(name).name == name and not name.startswith(".") for name in names), "plain names only"
    place = Path(folder)
    check_unlocked(place)
    with _storage_errors(place), _folder(place), _lock(place) as locked:
        _finish(place)
        _sweep_folders(place, locked)
        writing = place / f"{_WRITING}{os.getpid()}"
        writing.mkdir()
        try:
            yield writing
            written = {path.name for path in writing.iterdir()}
            assert written == set(names), f"{sorted(written)} were written, {sorted(names)} were promised"
            for name in names:
                _sync_file(writing / name)
            _sync_folder(writing)
            os.rename(writing, place / _COMMIT)  # noqa: PTH104
        except BaseException:
            shutil.rmtree(writing, ignore_errors=True)
            raise
        _sync_folder(place)
        _finish(place)


@contextmanager
def held(folder: str | os.PathLike[str]) -> Iterator[None]:
    """A folder, made if there is none, that no other process holds meanwhile.

    Raises: StorageError when one does, or when it cannot be made.
    """
    place = Path(folder)
    with _storage_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        lock = ExitStack()
        lock.enter_context(_lock(place))
    with lock:
        yield


def resolve(folder: str | os.PathLike[str], name: str) -> Path:
    """Where `folder/name` is at this moment: in an unfinished commit if there is one that holds it.

    The answer holds until a writer moves on; a reader that finds the file gone asks again.
    """
    pending = Path(folder) / _COMMIT / name
    return pending if pending.exists() else Path(folder) / name


def listing(folder: str | os.PathLike[str]) -> list[Path]:
    """Where the files of `folder` are at this moment, those of an unfinished commit among them.

    A folder that is not there, goes away while it is listed, or cannot be read has none.
    """
    paths: list[Path] = []
    for place in (Path(folder), Path(folder) / _COMMIT):
        with suppress(OSError):
            paths += [place / name for name in sorted(os.listdir(place))]  # noqa: PTH208
    return paths


def check_space(path: str | os.PathLike[str], size: int) -> None:
    """Raise StorageError when fewer than `size` bytes are free where `path` is or will be.

    A device or a pipe needs none.
    """
    if _descriptor(path) is not None or _is_device(path):
        return
    place = Path(os.path.realpath(path))
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if size > free:
        sentence = (
            "{where} needs {value} but only {limit} are free there; free some space or choose another place"
        )
        raise StorageError(sentence, path, human_bytes(size), human_bytes(free))


def human_bytes(size: float) -> str:
    """A number of bytes in the unit that people read: `1.5 GB` (decimal units)."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


# --------------------------------------------------------------------------------------------- inside


def _finish(folder: Path) -> None:
    """Redo the moves of a commit. Each may be done twice without harm, so a crash in here costs nothing."""
    commit = folder / _COMMIT
    if not commit.is_dir():
        return
    for path in sorted(commit.iterdir()):
        os.replace(path, folder / path.name)  # noqa: PTH105
    _sync_folder(folder)  # the moves must be durable before the journal that can redo them goes
    commit.rmdir()
    _sync_folder(folder)


def _sweep_folders(folder: Path, locked: bool) -> None:
    """Remove what killed writers of sets left: whatever is there, once we hold the lock that they held."""
    for path in folder.glob(f"{_WRITING}*"):
        pid = path.name.removeprefix(_WRITING)
        if pid.isdecimal() and (locked or int(pid) == os.getpid() or not is_alive(int(pid))):
            shutil.rmtree(path, ignore_errors=True)


def _sweep_files(folder: Path) -> None:
    """Remove what killed writers of single files left: old, and of no process that is alive."""
    for path in folder.glob(f"{_WRITING}*-*"):
        pid = path.name.removeprefix(_WRITING).partition("-")[0]
        if pid.isdecimal() and _is_old(path) and not is_alive(int(pid)):
            with suppress(OSError):  # somebody else was quicker
                path.unlink()


def _is_old(path: Path) -> bool:
    """Whether nobody has written it for so long that a writer on another machine is out of the question."""
    try:
        return time.time() - path.stat().st_mtime > _STALE_SECONDS
    except OSError:
        return False


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Create the missing folders of `path`, and take those away again when the block fails."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        for folder in reversed(missing):
            _sync_folder(folder.parent)
        yield
    except BaseException:
        for folder in missing:
            with suppress(OSError):  # not created after all, or no longer empty
                folder.rmdir()
        raise


@contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Hold the folder alone; False where the system has no such lock. Raises StorageError if it is taken."""
    if os.name == "nt":  # which has no flock, and opens no folder; see the module docstring
        yield False
        return
    with descriptor_of(folder, os.O_RDONLY) as handle:
        got = try_lock(handle, alone=True)
        if got is False:
            sentence = (
                "another process is writing {where} at this moment;"
                " wait until it ends or choose another folder"
            )
            raise StorageError(sentence, folder)
        yield got is True


def _sync_file(path: Path) -> None:
    with descriptor_of(path, os.O_RDWR) as handle:
        os.fsync(handle)


def _sync_folder(path: Path) -> None:
    """Make renames inside `path` durable, where the system can: Windows cannot open a folder."""
    if os.name == "nt":
        return
    with descriptor_of(path, os.O_RDONLY) as handle:
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some network drives refuse to sync a folder
                raise


@contextmanager
def _storage_errors(folder: Path, shown: Path | None = None) -> Iterator[None]:
    """Turn an OSError about `folder` into a StorageError of one sentence; one about another place passes."""
    try:
        yield
    except OSError as error:
        if error.filename is not None and not _is_inside(error.filename, folder):
            raise
        raise cannot_write(_public(shown or folder), error) from error


def _public(path: Path) -> Path:
    """Where a file will be, as people know it, which is written somewhere else first."""
    return Path(*(part for part in path.parts if not part.startswith(_WRITING)))


def _is_device(path: str | os.PathLike[str]) -> bool:
    """Whether it is there and neither a file nor a folder."""
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))  # noqa: PTH110, PTH112, PTH113


def _descriptor(path: str | os.PathLike[str]) -> int | None:
    """Which of the files that this process has open `/dev/stdout` or a link to it means; None for others.

    Where it leads to must not be asked: what was redirected to a file would be replaced by another file.
    """
    place = os.path.abspath(path)  # noqa: PTH100
    for _ in range(_MOST_LINKS):
        if found := _OPEN_HERE.fullmatch(place.replace(f"/proc/{os.getpid()}/", "/proc/self/")):
            return int(found[1]) if found[1] else ("stdin", "stdout", "stderr").index(found[2])
        try:
            place = os.path.join(os.path.realpath(os.path.dirname(place)), os.readlink(place))  # noqa: PTH115, PTH118, PTH120
        except OSError:
            return None
        place = os.path.normpath(place)
    return None


def _is_inside(path: str | bytes | int, folder: Path) -> bool:
    """Whether an error about `path` concerns `folder`: it is in it, or is one of the folders above it."""
    if isinstance(path, int):
        return True
    place, home = os.path.abspath(os.fsdecode(path)), os.path.abspath(folder)  # noqa: PTH100
    return os.path.commonpath([place, home]) in (place, home)
