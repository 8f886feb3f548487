"""Training in one call: what `regard.train` is. It knows jobs and runs, and nothing of how either works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regard.run import Run, load
from regard.training.duration import seconds
from regard.training.job import run_job
from regard.training.resolve import Asked


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
    quiet: bool = False,
) -> Run:
    """Train `task` on `data`, and load the bundle that this leaves in the folder `out`.

    `data`: a built-in set's name, a file or a folder. `source`, `target`: names of the columns. `preset`: a
    size. One of `steps`, `epochs` and `budget` (seconds, or "10m") ends training. `config`: keys that differ
    from the defaults, or a file of them; `settings`: single ones, as "train.lr=1e-3". `init`: a pretrained
    bundle to fine-tune. `workers`: processes that decode images as needed; with 0 their pixels are on disk.

    Raises: errors.RegardError; KeyboardInterrupt, after saving, when told to stop.
    """
    asked = Asked(
        task, str(data), preset=preset, config=config, settings=settings, steps=steps, epochs=epochs,
        budget=None if budget is None else seconds(budget), seed=seed, snapshots=snapshots,
        source=source, target=target, init=None if init is None else str(init),
    )  # fmt: skip
    trained = run_job(
        asked,
        out,
        resume=resume,
        overwrite=overwrite,
        on_error=on_error,
        device=device,
        threads=threads,
        workers=workers,
        quiet=quiet,
    )
    return load(trained.folder, device)
