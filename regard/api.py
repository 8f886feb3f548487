"""Training in one call: what `regard.train` is. It knows jobs and runs, and nothing of how either works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from regard.run import Run, load
from regard.threads import use_threads
from regard.training.device import Place, joined
from regard.training.duration import seconds
from regard.training.job import Job
from regard.training.progress import Lines, Reporter
from regard.training.resolve import Asked
from regard.training.terminal import terminal_reporter


def train(
    task: str,
    data: str | Path,
    out: str | Path,
    *,
    preset: str | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    budget: float | str | None = None,
    source: str | None = None,
    target: str | None = None,
    config: Mapping[str, Any] | str | Path | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
    snapshots: int | None = None,
    init: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_error: str = "refuse",
    device: str | None = None,
    threads: int | None = None,
    workers: int = 0,
    progress: bool = True,
    quiet: bool = False,
) -> Run:
    """Train `task` on `data`, and load the bundle that this leaves in the folder `out`.

    `data`: a built-in set's name, a file or a folder. `source`, `target`: names of the columns. `preset`: a
    size. One of `steps`, `epochs` and `budget` (seconds, or "10m") ends training. `config`: keys that differ
    from the defaults, or a file of them; `settings`: single ones, as "train.lr=1e-3". `init`: a pretrained
    bundle to fine-tune. `workers`: processes that decode images as needed; with 0 their pixels are on disk.
    `progress`: whether the run is reported on standard error, as `regard train` does; else it is logged, by
    `logging`. `quiet`: an older name for `progress=False`.

    Raises: errors.RegardError; KeyboardInterrupt, after saving, when told to stop.
    """
    asked = Asked(
        task, str(data), preset=preset, config=config, settings=settings, steps=steps, epochs=epochs,
        budget=None if budget is None else seconds(budget), seed=seed, snapshots=snapshots,
        source=source, target=target, init=None if init is None else str(init),
    )  # fmt: skip
    use_threads(threads)
    with joined(device) as place, closing(_reporter(place, progress and not quiet)) as reporter:
        Job(asked, Path(out), place, reporter, on_error, workers).run(resume, overwrite)
    return load(out, device)


def _reporter(place: Place, shown: bool) -> Reporter:
    """Who is told of the run: one of its processes tells a terminal, or the log."""
    if not place.is_main:
        return Reporter()
    return terminal_reporter() if shown else Lines()
