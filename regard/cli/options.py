"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class OnError(StrEnum):
    """What to do with a broken row."""

    refuse = "refuse"
    skip = "skip"


class Dtype(StrEnum):
    """What a model computes in."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    int8 = "int8"


RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a trained model.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads to use; all by default.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps; the best there is by default.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Beam = Annotated[int, typer.Option(min=1, help="Hypotheses kept at each step; 1 is greedy.")]
Alpha = Annotated[float, typer.Option(help="Length normalisation of the beam; 0 prefers short outputs.")]
Precision = Annotated[Dtype, typer.Option(help="What the model computes in.")]
Broken = Annotated[OnError, typer.Option(help="Refuse the data at a broken row, or skip and count it.")]
DataArgument = Annotated[
    str | None, typer.Argument(metavar="[DATA]", help="As for train; its own data if left out.")
]
Split = Annotated[
    str | None,
    typer.Option(
        help="train, valid, test, or all of a file; test, or all of a file that it was not trained on."
    ),
]
