"""The folder of a run while it is trained: who may use it, and what is left when training has ended.

    OUT/training/    all that `--resume` needs, the log, snapshots: there as long as training has not ended
    OUT/.finished/   the same folder, renamed: the bundle is saved and nothing is to be resumed
    OUT/             the bundle, and what is worth keeping, moved out of `.finished`, which then goes

A crash at any moment leaves one of these states, and each command that trains goes on from it. This file
does not know what a bundle or a checkpoint is.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from regard.errors import ConfigError, RegardError, StorageError

__all__ = ["STATE", "claimed", "finish"]

STATE = "training"
_FINISHED = ".finished"
_KEPT = ("log.jsonl", "tensorboard", "snapshots", "adapter")


@contextmanager
def claimed(out: Path, *, resume: bool, overwrite: bool) -> Iterator[None]:
    """`out` with its `STATE`, ours; a folder that was made here goes again if the block fails.

    Raises: ConfigError when it holds something that was not asked for; StorageError.
    """
    with _storage_errors(out):
        _move_kept(out)
        _refuse(out, resume=resume, overwrite=overwrite)
        anew = not (resume and out.exists())
        missing = [folder for folder in (out, *out.parents) if not folder.exists()]
        if anew:
            if (out / STATE).exists():
                shutil.rmtree(out / STATE)
            (out / STATE).mkdir(parents=True)
    try:
        yield
    except RegardError:
        if anew:
            shutil.rmtree(out / STATE, ignore_errors=True)
            for folder in missing:
                with suppress(OSError):  # somebody else has put something there
                    folder.rmdir()
        raise


def finish(out: Path) -> None:
    """Training has ended and the bundle is saved: keep the record, remove what resuming needed."""
    with _storage_errors(out):
        for name in _KEPT:  # what an earlier run left here was of other weights
            if (out / name).is_dir() and not (out / STATE / name).exists():
                shutil.rmtree(out / name)
        (out / STATE).rename(out / _FINISHED)
        _move_kept(out)


def _refuse(out: Path, *, resume: bool, overwrite: bool) -> None:
    known = (out / STATE).is_dir() or (out / "config.json").is_file()
    if resume and overwrite:
        raise ConfigError("--resume goes on with a run and --overwrite starts it anew; give one of them")
    if resume and not known:
        raise ConfigError(f"{out} holds no training to resume; leave out --resume to start anew")
    used = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if used and not resume and not (overwrite and known):
        remedies = (
            "--resume to go on, --overwrite to start anew, or another --out" if known else "another --out"
        )
        raise ConfigError(f"{out} exists already; give {remedies}")


def _move_kept(out: Path) -> None:
    """From `.finished` to beside the bundle; may be interrupted and done again."""
    finished = out / _FINISHED
    if not finished.is_dir():
        return
    for name in _KEPT:
        if (finished / name).is_dir():
            shutil.rmtree(out / name, ignore_errors=True)
        if (finished / name).exists():
            (finished / name).replace(out / name)
    shutil.rmtree(finished)


@contextmanager
def _storage_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise StorageError(
            f"cannot use the folder {out}: {problem.strerror}; choose another --out"
        ) from problem
