"""The commands that exchange models with other libraries: parse, dispatch, print."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from regard.cli_options import AsJson, RunArgument

IMPORT_EXAMPLES = (
    "Examples:\n\n  regard import checkpoints/bert-base-uncased runs/bert\n\n"
    "  regard predict runs/bert 'Paris is the [MASK] of France.'\n\n"
    "  regard import minilm runs/minilm"
)
EXPORT_EXAMPLES = "Example: regard export runs/bert checkpoints/mine --to hf"


class Format(StrEnum):
    """What a checkpoint can be written as."""

    hf = "hf"


def import_command(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A folder with config.json and model.safetensors, or a name of `regard data`."
        ),
    ],
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder that the model goes to.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model that RUN holds.")] = False,
    compare: Annotated[bool, typer.Option(help="Compare with transformers, where it is installed.")] = True,
    as_json: AsJson = False,
) -> None:
    """Take over a checkpoint of Hugging Face's libraries, its tokenizer included."""
    from regard.interop import import_checkpoint
    from regard.interop.public import located
    from regard.train.progress import fetching, terminal_reporter

    reporter = terminal_reporter()
    try:
        place = located(folder, fetching(reporter, str(folder)))
    finally:
        reporter.close()
    made = import_checkpoint(place, run, overwrite=overwrite, compare=compare)
    if as_json:
        print(json.dumps({**asdict(made), "folder": str(made.folder)}, ensure_ascii=False))
        return
    print(f"{made.folder}: {made.architecture} for {made.task}, {made.parameters:,} parameters")
    for note in made.notes:
        print(f"  {note}")
    if made.difference is None:
        print("  not compared with transformers")
    else:
        print(
            f"  largest difference from transformers {made.difference:.1e}, where the largest output is"
            f" {made.largest:.1f}"
        )
    print(f"next: regard predict {run}, or: regard train TASK DATA --init {run} --out runs/mine")


def export_command(
    run: RunArgument,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that the checkpoint goes to.")],
    to: Annotated[Format, typer.Option(help="hf: what Hugging Face's libraries read.")] = Format.hf,
) -> None:
    """Write a model as a checkpoint for other libraries, where one of their families can say what it is."""
    from regard.interop import export_checkpoint

    made = export_checkpoint(run, folder)
    print(f"{made.folder}: {made.architecture}, {made.parameters:,} parameters")
