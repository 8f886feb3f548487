"""The command that trains: parse, train, say what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from regard.cli.options import Broken, Machine, OnError
from regard.cli.resume import resumable
from regard.console import say
from regard.registry import installed

TASK_NAMES = (
    *("translation", "text-generation", "fill-mask", "text-classification", "token-classification"),
    *("question-answering", "sentence-similarity", "image-classification"),
)
"""Those of this package, whose registry is not asked: that takes as long as importing torch."""
TRAIN_EXAMPLES = (
    "Examples:\n\n  regard train translation spelling --out runs/spelling --budget 5m\n\n"
    "  regard train translation pairs.tsv --from en --to de --out runs/mine --preset small --epochs 30\n\n"
    "  regard train translation pairs.tsv --out runs/mine --resume"
)


class TrainHelp(TyperCommand):
    """The command, whose help names the tasks of this package and of those that are installed beside it."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        (task,) = (parameter for parameter in self.params if parameter.name == "task")
        *names, last = dict.fromkeys((*TASK_NAMES, *installed("tasks")))
        task.help = f"{', '.join(names)} or {last}."  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


@dataclass(frozen=True)
class Training(Machine):
    """The keywords of the function `train`."""

    preset: str | None = None
    """Model size: micro, mini, tiny, small, base or big; for images also vit-b16 and others."""
    budget: str | None = None
    """Training time budget, such as 20m."""
    steps: int | None = None
    """Number of optimizer steps."""
    epochs: float | None = None
    """Number of epochs."""
    source: Annotated[str | None, typer.Option("--from")] = None
    """Name of the input column."""
    target: Annotated[str | None, typer.Option("--to")] = None
    """Name of the target column."""
    seed: int | None = None
    """Random seed; 1 by default."""
    config: Path | None = None
    """Configuration file, or the folder of a run to copy it from."""
    settings: Annotated[list[str] | None, typer.Option("--set")] = None
    """Override a configuration key, such as train.lr=1e-3; repeatable."""
    snapshots: int | None = None
    """Number of weight snapshots to keep during training, in OUT/snapshots."""
    init: Path | None = None
    """Pretrained model to fine-tune, with its tokenizers."""
    resume: bool = False
    """Resume an interrupted run."""
    overwrite: bool = False
    """Overwrite an existing run in OUT."""
    on_error: Broken = OnError.refuse
    workers: int = 0
    """Processes that decode images as needed; with 0 their pixels are kept on disk."""


def train_command(
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK",
            help="",  # the names of the tasks: see TrainHelp
        ),
    ],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A dataset listed by `regard data`, a file or a folder.")
    ],
    out: Annotated[Path, typer.Option(help="Output folder for the model.")],
    *,
    options: Training,
) -> None:
    """Train a model on your own data, including its tokenizer."""
    from regard.api import train

    keywords = vars(options) | {"settings": options.settings or (), "on_error": options.on_error.value}
    with resumable(out):
        trained = train(task, data, out, **keywords)
    run = quote(str(trained.folder))
    chat = " --chat" if getattr(trained.task.config, "turns", None) is not None else ""
    say(f"next: regard predict {run}{chat}, or: regard evaluate {run} {quote(data)}")
