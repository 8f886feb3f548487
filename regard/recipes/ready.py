"""Models to look at for whoever has none: small ones that are trained once, from built-in data, and kept.

They are in the cache of the user. One whose training was stopped is fine-tuned when it is asked for
again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from regard import __version__
from regard.api import train
from regard.data.remote import cache_folder
from regard.errors import BundleError, ConfigError, DependencyError
from regard.files import held
from regard.training.folder import STATE


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
    Ready("digits", "image-classification", "digits", "tells what digit an image shows"),
)


def ready_models(
    budget: str,
    *,
    device: str | None = None,
    threads: int | None = None,
    report: Callable[[str], None],
) -> dict[str, Path]:
    """Their folders by name; those that are not there yet are trained, for so long each. What needs a package
    that is not installed is left out, and reported.

    Raises: RegardError when training fails; KeyboardInterrupt when it is stopped.
    """
    home = cache_folder() / "look" / __version__
    found: dict[str, Path] = {}
    for one in READY:
        folder = home / one.name
        if not _is_whole(folder):
            verb = "going on with" if (folder / STATE).is_dir() else "training"
            report(f"{one.name}: {verb} a model that {one.about}, for {budget}; it is kept in {folder}")
            try:
                _train(one, folder, budget, device, threads)
            except DependencyError as problem:
                report(f"{one.name} is left out: {problem}")
                continue
            except KeyboardInterrupt:
                report(f"{one.name} is not done; the next `regard look` goes on with it")
                raise
        found[one.name] = folder
    return found


def _train(one: Ready, folder: Path, budget: str, device: str | None, threads: int | None) -> None:
    """Train it, or go on where that was stopped; what was begun with other options is begun anew."""
    with held(folder.parent):
        begun = (folder / STATE).is_dir()
        if _is_whole(folder):  # another process was quicker
            return
        try:
            train(one.task, one.data, folder, budget=budget, resume=begun, device=device, threads=threads)
        except (BundleError, ConfigError):
            if not begun:
                raise
            train(one.task, one.data, folder, budget=budget, overwrite=True, device=device, threads=threads)


def _is_whole(folder: Path) -> bool:
    return (folder / "config.json").is_file() and not (folder / STATE).is_dir()
