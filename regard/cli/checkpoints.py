"""The commands that exchange models with other libraries: parse, dispatch, print."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from regard.cli.options import AsJson, Language, RunArgument
from regard.console import beside, say, say_json
from regard.errors import InputError

IMPORT_EXAMPLES = (
    "Examples:\n\n  regard import checkpoints/bert-base-uncased runs/bert\n\n"
    "  regard predict runs/bert 'Paris is the [MASK] of France.'\n\n"
    "  regard import minilm runs/minilm\n\n"
    "  regard import hf:Qwen/Qwen3-0.6B runs/qwen"
)
EXPORT_EXAMPLES = (
    "Examples:\n\n  regard export runs/bert checkpoints/mine --to hf\n\n"
    "  regard export runs/spelling spelling.html --to html --title 'How is it pronounced?' --example colonel"
)


class Format(StrEnum):
    """What a model can be written as."""

    hf = "hf"
    html = "html"


class Precision(StrEnum):
    """What the weights in a page are kept in."""

    float32 = "float32"
    float16 = "float16"


def import_command(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="A folder with config.json and model.safetensors, a name of `regard data`, or one of the"
            " Hugging Face Hub: hf:owner/name, or hf:owner/name@revision.",
        ),
    ],
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Output folder for the model.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Overwrite an existing model in RUN.")
    ] = False,
    compare: Annotated[bool, typer.Option(help="Compare the logits with transformers, if installed.")] = True,
    as_json: AsJson = False,
) -> None:
    """Import a checkpoint of Hugging Face's libraries, its tokenizer included."""
    from regard.interop import import_checkpoint
    from regard.interop.public import located
    from regard.training.progress import fetching
    from regard.training.terminal import terminal_reporter

    with closing(terminal_reporter()) as reporter:
        on_progress = fetching(reporter, str(folder))
        place = located(folder, on_progress)
        report = import_checkpoint(place, run, overwrite=overwrite, compare=compare, progress=on_progress)
    if as_json:
        say_json({**asdict(report), "folder": str(report.folder)})
        return
    say(f"{report.folder}: {report.architecture} for {report.task}, {report.parameters:,} parameters")
    if report.source is not None:
        say(f"  from {report.source}")
    for note in report.notes:
        say(f"  {note}")
    if not compare:
        say("  not compared with transformers")
    elif report.difference is not None:
        say(
            f"  largest difference from transformers {report.difference:.1e}, where the largest output is"
            f" {report.largest:.1f}"
        )
    name = quote(str(run))
    say(f"next: regard predict {name}, or: regard train TASK DATA --init {name} --out runs/mine")


@dataclass(frozen=True)
class Page:
    """What only a web page has."""

    title: str | None = None
    """html: page title."""
    example: list[str] | None = None
    """html: example input; repeatable."""
    dtype: Precision | None = None
    """html: data type of the weights; float16 halves the page."""
    lang: Language | None = None
    """html: language of the page."""


def export_command(
    run: RunArgument,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Output folder of the checkpoint, or output file for html.")
    ],
    to: Annotated[
        Format, typer.Option(help="hf: a Hugging Face checkpoint; html: a web page in which the model runs.")
    ] = Format.hf,
    *,
    page: Page,
) -> None:
    """Write a model for other libraries, or as one web page in which it runs."""
    if to is Format.html:
        _export_page(run, out, page)
        return
    for name, value in vars(page).items():
        if value:
            raise InputError("{key} is for --to html; leave it out", f"--{name}")
    from regard.interop import export_checkpoint

    made = export_checkpoint(run, out)
    say(f"{made.folder}: {made.architecture}, {made.parameters:,} parameters")


def _export_page(run: Path, out: Path, page: Page) -> None:
    from regard.files import human_bytes
    from regard.onepage import export_page

    dtype, lang = page.dtype or Precision.float32, page.lang or Language.en
    made = export_page(
        run, out, title=page.title, examples=page.example or [], dtype=dtype.value, lang=lang.value
    )
    size = human_bytes(made.bytes)
    beside(out)(f"{made.path}: {made.parameters:,} parameters as {made.dtype}, {size}; open it in a browser")
