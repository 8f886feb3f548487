"""A folder that a long work has to itself: the lock goes when its process ends, however it ends.

    folder/.lock    locked by the system while the work goes on; says who holds it; removed at the end

The lock is `flock` on that file: on local file systems, and on NFS, where the server keeps it for all its
clients (which is why the file is opened for writing). On Windows it is that of `msvcrt`, on a byte far behind
what the file says. What a killed process leaves is a file that nobody has locked: the next one takes it.

Where the file system has no locks, what the file says is believed: a process of this machine that is alive
holds the folder, and one of another machine holds it until somebody deletes the file. This file does not
know what the work is.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from regard.errors import StorageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
try:
    import msvcrt
except ImportError:  # everywhere else
    msvcrt = None  # type: ignore[assignment]

LOCK = ".lock"
_FAR = 1 << 30  # where Windows locks: what is locked there cannot be read
_MOST = 4096  # bytes of what the file says
_TRIES, _PAUSE = 5, 0.02  # seconds: `check_unlocked` of somebody else holds it for a moment
_HELD: set[str] = set()
"""The folders that this process holds."""


@contextmanager
def exclusive(folder: str | os.PathLike[str], work: str) -> Iterator[None]:
    """A folder that is there, held alone until the block ends; `work`: what happens to it, as in "trained".

    Raises: StorageError, which says who holds it; OSError when the folder cannot be written.
    """
    place = os.path.realpath(folder)
    path = Path(place, LOCK)
    if place in _HELD:
        raise _taken(folder, _owner_of(path))
    handle = _acquired(path, folder)
    _HELD.add(place)
    try:
        _write_owner(handle, work)
        yield
    finally:
        _HELD.discard(place)
        if os.name != "nt":  # while it is still ours: who waits for it finds another file in its place
            path.unlink(missing_ok=True)
        os.close(handle)
        if os.name == "nt":
            with suppress(OSError):  # somebody else was quicker and has it open
                path.unlink()


def check_unlocked(folder: str | os.PathLike[str]) -> None:
    """Raise StorageError when another process holds the folder."""
    place = os.path.realpath(folder)
    path = Path(place, LOCK)
    if place in _HELD:
        return
    # Where there is none, or it is not ours to ask, who writes will be told why not.
    with suppress(OSError), descriptor_of(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)) as handle:
        _believe(try_lock(handle, alone=False), handle, folder)


def is_alive(pid: int) -> bool:
    """Whether a process of this number runs on this machine; where that cannot be asked, yes."""
    if os.name == "nt":
        return True  # os.kill(pid, 0) would end it there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def try_lock(handle: int, *, alone: bool) -> bool | None:
    """Whether the lock could be had; None where there are none."""
    try:
        if fcntl is not None:
            fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        elif msvcrt is not None:
            os.lseek(handle, _FAR, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            return None
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


@contextmanager
def descriptor_of(path: str | os.PathLike[str], flags: int) -> Iterator[int]:
    """An open file or folder. Raises: OSError."""
    handle = os.open(path, flags)
    try:
        yield handle
    finally:
        os.close(handle)


# --------------------------------------------------------------------------------------------- inside


def _acquired(path: Path, folder: str | os.PathLike[str]) -> int:
    """The open file, locked."""
    for attempt in range(1, _TRIES + 1):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            got = try_lock(handle, alone=True)
            if got is not False or attempt == _TRIES:
                _believe(got, handle, folder)
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(handle), os.stat(path)):  # noqa: PTH116
                        return handle
            # else: who held it has removed it since we opened it
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        time.sleep(_PAUSE)
    raise _taken(folder, _owner_of(path))


def _believe(got: bool | None, handle: int, folder: str | os.PathLike[str]) -> None:
    """Raise StorageError when the folder is somebody else's."""
    owner = _read_owner(handle)
    if got is False:
        raise _taken(folder, owner)
    if got is None and owner:
        here = owner.get("host") == socket.gethostname()
        pid = owner.get("pid")
        if not here or (type(pid) is int and pid != os.getpid() and is_alive(pid)):
            raise _taken(folder, owner, f"; if that has ended, delete {Path(folder, LOCK)}")


def _write_owner(handle: int, work: str) -> None:
    about = {"work": work, "pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, json.dumps(about).encode())


def _owner_of(path: Path) -> dict[str, Any]:
    with suppress(OSError), descriptor_of(path, os.O_RDONLY) as handle:
        return _read_owner(handle)
    return {}


def _read_owner(handle: int) -> dict[str, Any]:
    """Who the file says holds it; nothing where it does not say so."""
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return {}
        os.lseek(handle, 0, os.SEEK_SET)
        owner = json.loads(os.read(handle, _MOST))
    except (OSError, ValueError, RecursionError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _taken(folder: str | os.PathLike[str], owner: dict[str, Any], more: str = "") -> StorageError:
    work, since = owner.get("work", "written"), owner.get("since")
    try:
        moment = time.strftime(" since %Y-%m-%d %H:%M:%S", time.localtime(since))
    except (TypeError, ValueError, OverflowError, OSError):
        moment = ""
    who = f"process {owner['pid']} on {owner.get('host')}" if "pid" in owner else "another process"
    remedy = f"wait until that ends, end it, or choose another folder{more}"
    sentence = "{where} is {value}; {remedy}"
    return StorageError(sentence, os.fspath(folder), f"being {work} by {who}{moment}", remedy)
