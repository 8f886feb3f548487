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


RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a trained model.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Number of CPU threads; all cores by default.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps; the fastest available by default.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON Lines.")]
Beam = Annotated[int, typer.Option(min=1, help="Beam size; 1 is greedy search.")]
Alpha = Annotated[float, typer.Option(help="Length penalty of beam search (GNMT); 0 favours short outputs.")]
Precision = Annotated[Dtype, typer.Option(help="Data type of inference.")]
Broken = Annotated[OnError, typer.Option(help="On an invalid row: refuse the data, or skip and count it.")]
DataArgument = Annotated[
    str | None, typer.Argument(metavar="[DATA]", help="Dataset, as for train; the run's own if omitted.")
]
Split = Annotated[
    str | None,
    typer.Option(
        help="train, valid, test or all; by default test, or all of a file that it was not trained on."
    ),
]
