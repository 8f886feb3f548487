"""The command that shows worked examples: parse, dispatch, print."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from regard.cli.options import AsJson, Html, Language
from regard.console import say, say_files, say_json
from regard.errors import InputError

EXPLAIN_EXAMPLES = (
    "Examples:\n\n  regard explain\n\n  regard explain attention-by-hand --lang zh\n\n"
    "  regard explain attention-by-hand --input x.csv --wq wq.csv --wk wk.csv --wv wv.csv\n\n"
    "  regard explain positions --html positions.html"
)

_Matrix = Annotated[Path | None, typer.Option(help="CSV file with a matrix, for attention-by-hand.")]


@dataclass(frozen=True)
class UserInputs:
    """What is brought to an example."""

    matrix: Annotated[Path | None, typer.Option("--input")] = None
    """CSV file with the inputs, one token per row."""
    wq: _Matrix = None
    wk: _Matrix = None
    wv: _Matrix = None
    text: str | None = None
    """For text-to-input: the text."""
    tokenizer: Annotated[Path | None, typer.Option(metavar="RUN")] = None
    """For text-to-input: a run whose tokenizer to use."""
    full: Annotated[bool, typer.Option("--run")] = False
    """For myths: train on all of MNIST (minutes)."""


def explain_command(
    name: Annotated[str | None, typer.Argument(help="Name of the example; lists all if omitted.")] = None,
    lang: Annotated[Language, typer.Option(help="Language: English or Chinese.")] = Language.en,
    html: Html = None,
    as_json: AsJson = False,
    *,
    given: UserInputs,
) -> None:
    """Show a worked computation step by step: formulas, shapes, every number, and the proof."""
    from regard.recipes.explain import Inputs, example_lines, explained

    matrices = (given.matrix, given.wq, given.wk, given.wv)
    inputs = Inputs(matrices, given.text, given.tokenizer, given.full)
    if name is None and (html is not None or inputs != Inputs()):
        raise InputError("{key} is missing; say which, such as: regard explain attention-by-hand", "EXAMPLE")
    if name is None:
        say(*example_lines(lang.value, as_json=as_json))
        return
    worked = explained(name, inputs)
    if html is not None:
        from regard.files import write_text
        from regard.insight.markup import worked_page

        write_text(html, worked_page(worked, lang.value))
        say_files(html)
    if as_json:
        from regard.insight.objects import as_object

        say_json(as_object(worked))
    elif html is None:
        from rich.console import Console

        from regard.insight.terminal import print_worked

        print_worked(worked, lang.value, Console(highlight=False))
    if not worked.holds:
        raise typer.Exit(1)
