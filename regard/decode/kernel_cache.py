"""Where compiled loops are kept between processes, and what was found out about them: one small file beside.

    PLACE/kernels/<key>/verdict.json    how the loops did when they were tried (`probe.py`)
    PLACE/kernels/<key>/…               numba's files, if they did well

The key is a hash of all that decides what is compiled and whether it works: the processor, the versions,
the sources, what the environment asks for. Numba's files are pickles, so they are read only from a folder
that belongs to this user alone, and only if each is still what was tried, by its SHA-256. Nothing here knows
numba, or imports it: even that is first tried in another process.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from regard import __version__
from regard.errors import RegardError, StorageError, cannot_write, writing
from regard.files import write_json
from regard.machine import processor_name
from regard.schema import parse

_VERDICT = "verdict.json"
_COMPILED = {".nbi", ".nbc"}
_MOST = 16
"""Keys that are kept; those used longest ago go first."""
_CPUINFO = {"vendor_id", "cpu family", "model", "model name", "stepping", "flags", "features", "isa", "uarch"}
_CPUINFO |= {"cpu implementer", "cpu architecture", "cpu variant", "cpu part", "cpu"}


@dataclass(frozen=True)
class Verdict:
    """How the compiled loops did when they were tried in a process of their own."""

    works: bool
    reason: str = ""
    """Why they are not used, as part of a sentence."""
    family: str = ""
    """The kernels that were compiled."""
    features: str = ""
    """What they were compiled for, in LLVM's names."""
    seconds: float = 0.0
    """What compiling and trying took."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file that numba keeps, by its path within the folder."""


def places() -> Iterator[Path]:
    """Folders in which compiled loops may be kept, the best first."""
    given = os.environ.get("REGARD_CACHE", "")
    if given:
        yield Path(given).expanduser().absolute()
    else:
        with suppress(RuntimeError):  # there is no home
            home = Path.home()
            if _is_ours(home):  # with `sudo` it can be somebody else's, who could not write there any more
                yield _user_cache(home) / "regard"
    with suppress(OSError):  # there is no place for temporary files at all
        user = "user" if os.name == "nt" else os.getuid()
        yield Path(tempfile.gettempdir()) / f"regard-{user}"


def _user_cache(home: Path) -> Path:
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return given if given.is_absolute() else home / ".cache"  # a relative one is to be ignored


def open_place(place: Path) -> Path:
    """The folder of a place for kernels, made if there is none, which nobody else can write.

    Raises: StorageError when there can be no such folder.
    """
    folder = place / "kernels"
    with writing(folder):
        place.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        temporary = place.parent == Path(tempfile.gettempdir())  # where others may have been before us
        for path in (place, folder) if temporary else (folder,):
            if path.is_symlink() or not _is_ours(path):
                sentence = "{where} belongs to another user; choose another {key}"
                raise StorageError(sentence, path, "REGARD_CACHE")
        if os.name != "nt" and stat.S_IMODE(folder.stat().st_mode) & 0o077:
            sentence = "{where} can be entered by other users; make it private: chmod 700 {where}"
            raise StorageError(sentence, folder)
        tempfile.TemporaryFile(dir=folder).close()
    return folder


def _is_ours(path: Path) -> bool:
    """Whether it is a folder of this user."""
    if os.name == "nt":
        return path.is_dir()  # a profile's folders are private there
    with suppress(OSError):
        return path.is_dir() and path.stat().st_uid == os.getuid()
    return False


# ------------------------------------------------------------------------------------------ verdicts


def read(folder: Path) -> Verdict | None:
    """What is known of the loops in this folder; None if that is nothing, or they are not what was tried."""
    try:
        data = json.loads((folder / _VERDICT).read_bytes())
        verdict = parse(Verdict, data)
        if verdict.works and compiled_files(folder) != verdict.files:
            return None
        with suppress(OSError):
            os.utime(folder / _VERDICT)  # used now
    except (OSError, ValueError, RecursionError, RegardError):
        return None
    return verdict


def write(verdict: Verdict, trial: Path, folder: Path) -> None:
    """Put the folder of a trial, with its verdict, where it will be looked for. Raises: StorageError."""
    write_json(trial / _VERDICT, asdict(verdict))
    try:
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(trial, folder)  # noqa: PTH104
    except OSError as error:
        if read(folder) is None:  # else another process was quicker
            raise cannot_write(folder, error) from error
    _prune(folder)


def forget(folder: Path) -> None:
    """What is known of these loops, and they themselves."""
    shutil.rmtree(folder, ignore_errors=True)


def _prune(newest: Path) -> None:
    used = []
    for folder in newest.parent.iterdir():
        with suppress(OSError):
            used.append(((folder / _VERDICT).stat().st_mtime, folder))
    for _, folder in sorted(used, reverse=True)[_MOST:]:
        if folder != newest:
            forget(folder)


def compiled_files(folder: Path) -> dict[str, str]:
    """SHA-256 of numba's files by their paths within the folder. Raises: OSError."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.suffix in _COMPILED
    }


# ----------------------------------------------------------------------------------------------- key


def key() -> str:
    """A name for everything that decides what is compiled, and whether that works."""
    parts = {
        "processor": processor_facts(),
        "capability": torch.backends.cpu.get_cpu_capability(),  # an emulated processor shows its host's files
        "python": [sys.implementation.name, sys.version, platform.machine(), platform.system()],
        "versions": {name: installed(name) for name in ("numba", "llvmlite", "numpy", "scipy", "icc-rt")},
        "regard": __version__,
        "torch": torch.__version__,
        "sources": _sources(),
        "asked": os.environ.get("REGARD_KERNELS", "") or "auto",
        "numba": sorted(
            (name, value)
            for name, value in os.environ.items()
            if name.startswith("NUMBA_") and not name.startswith("NUMBA_CACHE")
        ),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def installed(package: str) -> str | None:
    """The version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _sources() -> str:
    """Of which code it is, and where that stands: numba keeps what it compiles by the place of its source."""
    here = Path(__file__).parent
    found = hashlib.sha256(str(here).encode("utf-8", "surrogateescape"))
    for path in sorted(here.rglob("*.py")):
        found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def processor_facts() -> dict[str, str]:
    """What the system says about its (first) processor."""
    facts = {"machine": platform.machine()}
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            text = file.read(2**15)
    except OSError:
        return facts | {"model name": processor_name()}
    for line in text.split("\n\n", 1)[0].splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip().lower() in _CPUINFO:
            facts[name.strip().lower()] = value.strip()
    return facts
