"""`regard reproduce NAME`: a published figure, re-obtained, printed beside the published one.

A recipe is data: what is trained on what, for how long, how it is scored, and what was published.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from regard import train
from regard.bundle import is_bundle
from regard.errors import InputError, nearest
from regard.recipes.report import evaluation_lines
from regard.run import load
from regard.tasks.task import Decoding


@dataclass(frozen=True)
class Recipe:
    """One figure and how to obtain it."""

    title: str
    data: str
    budget: str
    figure: str
    """The metric's name."""
    published: float | None
    source: str
    """Where it was published, or why there is no standard."""
    settings: tuple[str, ...] = ()
    preset: str | None = None
    beam: int = 5
    alpha: float = 0.6
    tokenize: str | None = None
    show: int = 3


_BPE = ("task.tokenizer=bpe", "task.tokenizer.vocab=8000")

RECIPES: dict[str, Recipe] = {
    "multi30k-en-de": Recipe(
        "Multi30k English → German, lower-case Moses tokens, Flickr 2016 test",
        "multi30k-tok",
        "60m",
        "bleu",
        41.02,
        "Wu et al. 2021 (arXiv 2105.14462), Transformer-Tiny",
        (
            "task.tokenizer=bpe",
            "task.tokenizer.vocab=10000",
            "task.tokenizer.lowercase=true",
            "model.dropout=0.25",
        ),
        tokenize="none",
    ),
    "multi30k-raw-en-de": Recipe(
        "Multi30k English → German, raw cased text, Flickr 2016 test",
        "multi30k",
        "60m",
        "bleu",
        None,
        "no standard for raw text; with its sacreBLEU signature",
        _BPE,
        show=10,
    ),
    "tatoeba-en-zh": Recipe(
        "Tatoeba English → Chinese, short sentences",
        "tatoeba-en-zh",
        "60m",
        "bleu",
        None,
        "no standard split; character BLEU with its signature, and chrF",
        _BPE,
        tokenize="zh",
        show=10,
    ),
    "spelling": Recipe(
        "English spelling → pronunciation", "spelling", "30m", "exact", None, "built in", beam=4
    ),
    "pinyin": Recipe("Chinese phrases → pronunciation", "pinyin", "30m", "exact", None, "built in", beam=4),
    "dates": Recipe("English dates → Chinese dates", "dates", "90s", "exact", None, "built in", beam=1),
}


def recipe_lines() -> list[str]:
    """All recipes with their published figures."""
    lines = []
    for name, recipe in RECIPES.items():
        known = "—" if recipe.published is None else f"{recipe.published:.2f}"
        lines.append(f"{name:20} {recipe.title}")
        lines.append(f"{'':20} {recipe.figure} published: {known} ({recipe.source}); trains {recipe.budget}")
    return lines


def run_recipe(
    name: str,
    out: Path,
    seed: int,
    budget: str | None,
    *,
    resume: bool = False,
    as_json: bool = False,
    threads: int | None = None,
    device: str | None = None,
) -> None:
    """Train, score on the test part, print beside the published figure.

    A run that has ended is not trained again, only scored.

    Raises: InputError for an unknown name; whatever training raises.
    """
    if name not in RECIPES:
        known = ", ".join(RECIPES)
        raise InputError(f"there is no recipe '{name}'{nearest(name, RECIPES)} (known: {known})")
    recipe = RECIPES[name]
    folder = out / f"{name}-seed{seed}"
    if is_bundle(folder):
        print(f"{folder} is trained already; remove it to train anew", file=sys.stderr)
    else:
        train(
            "translation",
            recipe.data,
            folder,
            preset=recipe.preset,
            settings=recipe.settings,
            budget=budget or recipe.budget,
            seed=seed,
            resume=resume,
            threads=threads,
            device=device,
        )
    decoding = Decoding(beam=recipe.beam, alpha=recipe.alpha)
    result = load(folder, device or "cpu").evaluate(decoding=decoding, tokenize=recipe.tokenize)
    ours = result.metrics[recipe.figure]
    if as_json:
        print(
            json.dumps({"name": name, "seed": seed, "published": recipe.published, "metrics": result.metrics})
        )
        return
    print("\n".join(evaluation_lines(result, recipe.show)))
    print(_verdict(recipe, ours))


def _verdict(recipe: Recipe, ours: float) -> str:
    published = "no published figure" if recipe.published is None else f"published {recipe.published:.2f}"
    return f"{recipe.title}\n  {recipe.figure}: ours {ours:.2f}, {published} ({recipe.source})"
