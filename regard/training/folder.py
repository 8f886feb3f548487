"""The folder of a run while it is trained: who may use it, and what is left when training has ended.

    OUT/training/    all that `--resume` needs, the log, snapshots: there as long as training has not ended
    OUT/.finished/   the same folder, renamed: the bundle is saved and nothing is to be resumed
    OUT/             the bundle, and what is worth keeping, moved out of `.finished`, which then goes
    OUT/.lock        who trains it, as long as that process does (`locks.py`)

A crash at any moment leaves one of these states, and each command that trains goes on from it. This file
does not know what a bundle or a checkpoint is.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from regard.errors import ConfigError, RegardError, both_given, writing
from regard.locks import LOCK, exclusive

STATE = "training"
_FINISHED = ".finished"
_ANOTHER = "choose another --out"
_KEPT = ("log.jsonl", "tensorboard", "snapshots", "adapter")


@contextmanager
def owned(out: Path, *, resume: bool, overwrite: bool) -> Iterator[None]:
    """`out`, which no other process trains or writes meanwhile; folders that stay empty go again.

    Raises: ConfigError when it holds something that was not asked for; StorageError, also when it is another
    process's, which it names.
    """
    with writing(out, _ANOTHER):
        _refuse(out, resume=resume, overwrite=overwrite)
        missing = [folder for folder in (out, *out.parents) if not folder.exists()]
        out.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as stack:
            with writing(out, _ANOTHER):
                stack.enter_context(exclusive(out, "trained"))
                _move_kept(out)
                _refuse(out, resume=resume, overwrite=overwrite)  # it may have been another's until now
            yield
    finally:
        for folder in missing:
            with suppress(OSError):  # there is something in it
                folder.rmdir()


@contextmanager
def claimed(out: Path, *, resume: bool) -> Iterator[None]:
    """The `STATE` of `out`, which we hold; what was made here goes again if the block fails.

    Raises: StorageError.
    """
    with writing(out, _ANOTHER):
        if not resume:
            if (out / STATE).exists():
                shutil.rmtree(out / STATE)
            (out / STATE).mkdir(parents=True)
    try:
        yield
    except RegardError:
        if not resume:
            shutil.rmtree(out / STATE, ignore_errors=True)
        raise


def finish(out: Path) -> None:
    """Training has ended and the bundle is saved: keep the record, remove what resuming needed."""
    with writing(out, _ANOTHER):
        for name in _KEPT:  # what an earlier run left here was of other weights
            if (out / name).is_dir() and not (out / STATE / name).exists():
                shutil.rmtree(out / name)
        (out / STATE).rename(out / _FINISHED)
        _move_kept(out)


def _refuse(out: Path, *, resume: bool, overwrite: bool) -> None:
    known = (out / STATE).is_dir() or (out / "config.json").is_file()
    if resume and overwrite:
        raise both_given(ConfigError, "--resume", "--overwrite")
    if resume and not known:
        raise ConfigError("{where} holds no training to resume; leave out --resume to start anew", out)
    used = out.exists() and (not out.is_dir() or any(path.name != LOCK for path in out.iterdir()))
    if used and not resume and not (overwrite and known):
        ways = "--resume to go on, --overwrite to start anew, or " if known else ""
        raise ConfigError("{where} exists already", out, remedy=f"give {ways}another --out")


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
