"""`regard reproduce NAME`: a published figure, re-obtained, printed beside the published one.

The recipes are in `table.py`.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from regard.api import train
from regard.bundle import is_bundle
from regard.console import note, say, say_json
from regard.errors import InputError, unknown
from regard.interop.public import CHECKPOINTS, imported
from regard.recipes.report import evaluation_lines
from regard.recipes.table import RECIPES, Recipe
from regard.run import Run, load
from regard.tasks.decoding import Decoding, supported
from regard.training.progress import clock, fetching
from regard.training.terminal import terminal_reporter


def recipe_lines() -> list[str]:
    """All recipes with their published figures."""
    lines = []
    for name, recipe in RECIPES.items():
        known = "—" if recipe.published is None else f"{recipe.published:g}"
        lines.append(f"{name:20} {recipe.title}")
        long = recipe.budget or (f"{recipe.steps:,} steps" if recipe.steps else f"{recipe.epochs:g} epochs")
        if recipe.init is not None:
            long += f" from {recipe.init} ({CHECKPOINTS[recipe.init].licence})"
        lines.append(f"{'':20} {recipe.figure} published: {known} ({recipe.source}); trains {long}")
    return lines


def folder_of(name: str, out: Path, seed: int) -> Path:
    """Where a recipe's model goes."""
    return out / f"{name}-seed{seed}"


def run_recipe(
    name: str,
    out: Path,
    seed: int,
    budget: str | None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    as_json: bool = False,
    threads: int | None = None,
    device: str | None = None,
) -> None:
    """Train, score on the test part, print beside the published figure.

    A run that has ended is not trained again, only scored, unless `overwrite` says so.

    Raises: InputError for an unknown name; whatever training raises.
    """
    if name not in RECIPES:
        raise unknown(InputError, "recipe", name, RECIPES)
    recipe = RECIPES[name]
    folder = folder_of(name, out, seed)
    if is_bundle(folder) and not overwrite:
        note(f"{folder} is trained already; give --overwrite to train anew")
    else:
        train(
            recipe.task,
            recipe.data,
            folder,
            preset=recipe.preset,
            settings=recipe.settings,
            budget=budget or recipe.budget,
            steps=None if budget else recipe.steps,
            epochs=None if budget else recipe.epochs,
            seed=seed,
            init=None if recipe.init is None else _checkpoint(recipe.init),
            resume=resume,
            overwrite=overwrite,
            threads=threads,
            device=device,
        )
    _report(load(folder, device), recipe, name, seed, as_json)


def _report(run: Run, recipe: Recipe, name: str, seed: int, as_json: bool) -> None:
    """Evaluate it and print the figure beside the published one."""
    searches = "beam" in supported(run.task)
    decoding = Decoding(beam=recipe.beam) if searches else Decoding()
    result = run.evaluate(split=recipe.split, decoding=decoding, tokenize=recipe.tokenize)
    seconds = run.bundle.metrics.get("seconds")
    if as_json:
        about = {"name": name, "seed": seed, "published": recipe.published, "seconds": seconds}
        say_json({**about, "metrics": result.metrics})
        return
    ours = result.metrics[recipe.figure]
    say(*evaluation_lines(result, recipe.show), *_verdict(recipe, ours, seconds))


def _checkpoint(name: str) -> Path:
    """The bundle of a public checkpoint, which is fetched and imported the first time."""
    with closing(terminal_reporter()) as reporter:
        return imported(CHECKPOINTS[name], fetching(reporter, name))


def _verdict(recipe: Recipe, ours: float, seconds: object) -> tuple[str, str]:
    published = "no published figure" if recipe.published is None else f"published {recipe.published:.2f}"
    after = f" after {clock(seconds)} of training" if isinstance(seconds, int | float) else ""
    return recipe.title, f"  {recipe.figure}: ours {ours:.2f}{after}, {published} ({recipe.source})"
