"""Models to look at for whoever has none: small ones that are trained once, from built-in data, and kept.

They are in the cache of the user. A folder there is whole or absent: training goes on in another, which takes
its name when it is done.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from regard import __version__, train
from regard.data.remote import cache_folder
from regard.errors import DependencyError, StorageError


@dataclass(frozen=True)
class Ready:
    """One of them."""

    name: str
    task: str
    data: str
    about: str


READY = (
    Ready("spelling", "translation", "spelling", "pronounces English words"),
    Ready("pinyin", "translation", "pinyin", "reads Chinese characters aloud"),
    Ready("digits", "image-classification", "digits", "tells what digit a picture shows"),
)


def ready_models(
    budget: str,
    *,
    device: str | None = None,
    threads: int | None = None,
    told: Callable[[str], None] = print,
) -> dict[str, Path]:
    """Their folders by name; those that are not there yet are trained, for so long each. What needs a package
    that is not installed is left out, and told.

    Raises: RegardError when training fails; KeyboardInterrupt when it is stopped.
    """
    home = cache_folder() / "look" / __version__
    found: dict[str, Path] = {}
    for one in READY:
        folder = home / one.name
        if not (folder / "config.json").is_file():
            told(f"{one.name}: training a model that {one.about}, for {budget}; it is kept in {folder}")
            try:
                _made(one, folder, budget, device, threads)
            except DependencyError as problem:
                told(f"{one.name} is left out: {problem}")
                continue
        found[one.name] = folder
    return found


def _made(one: Ready, folder: Path, budget: str, device: str | None, threads: int | None) -> None:
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    train(one.task, one.data, part, budget=budget, overwrite=True, device=device, threads=threads)
    try:
        part.replace(folder)
    except OSError as problem:
        if not (folder / "config.json").is_file():  # and not another process was quicker
            raise StorageError(f"{folder} cannot be written: {problem}") from problem
