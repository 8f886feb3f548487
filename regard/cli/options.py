"""Options that several commands have, in groups: a dataclass a group, with the help of each option beside it.

A command that takes a group as a parameter has all of its options (`expanded`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from regard.schema import field_docs


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


class Language(StrEnum):
    """What texts are in."""

    en = "en"
    zh = "zh"


RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a trained model.")]
DataArgument = Annotated[
    str | None, typer.Argument(metavar="[DATA]", help="Dataset, as for train; the run's own if omitted.")
]
Alpha = Annotated[float, typer.Option(help="Length penalty of beam search (GNMT); 0 favours short outputs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON Lines.")]
Broken = Annotated[OnError, typer.Option(help="On an invalid row: refuse the data, or skip and count it.")]
Html = Annotated[Path | None, typer.Option(help="Write a self-contained HTML page.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Evaluate only the first N examples.")]
MaxLength = Annotated[int | None, typer.Option(min=1, help="Maximum output length in tokens.")]
Split = Annotated[
    str | None,
    typer.Option(
        help="train, valid, test or all; by default test, or all of a file that it was not trained on."
    ),
]


@dataclass(frozen=True)
class Machine:
    """Where the work is done."""

    threads: Annotated[int | None, typer.Option(min=1)] = None
    """Number of CPU threads; all cores by default."""
    device: str | None = None
    """cpu, cuda or mps; the fastest available by default."""

    def load(self, folder: Path, dtype: Dtype = Dtype.float32) -> Any:
        """The run of a folder, loaded. Raises: BundleError, ConfigError, InputError."""
        from regard.run import load
        from regard.threads import use_threads

        use_threads(self.threads)
        return load(folder, self.device, dtype.value)


@dataclass(frozen=True)
class Inference(Machine):
    """Where and in what a model computes."""

    dtype: Dtype = Dtype.float32
    """Data type of inference."""


@dataclass(frozen=True)
class Search:
    """How outputs are searched for."""

    beam: Annotated[int, typer.Option(min=1)] = 1
    """Beam size; 1 is greedy search."""
    alpha: Alpha = 0.6


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """`command` as typer takes it: in place of each parameter that is a dataclass, an option a field."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        kind: Any = parameter.annotation
        if is_dataclass(kind):
            groups[name] = kind
            parameters += [
                parameter.replace(name=option, default=default, annotation=annotation)
                for option, default, annotation in _options(kind)
            ]
        else:
            parameters.append(parameter)

    @wraps(command)
    def call(**options: Any) -> None:
        for name, kind in groups.items():
            options[name] = kind(**{field.name: options.pop(field.name) for field in fields(kind)})
        command(**options)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _options(kind: Any) -> Iterator[tuple[str, object, object]]:
    """Name, default and annotation of each; its help is what documents the field, if that has no own."""
    hints, docs = get_type_hints(kind, include_extras=True), field_docs(kind)
    for field in sorted(fields(kind), key=lambda field: field.name not in kind.__annotations__):  # own first
        annotated = hints[field.name]
        hint, *extras = get_args(annotated) if get_origin(annotated) is Annotated else (annotated,)
        flag = (f"--{field.name.replace('_', '-')}",) if field.default is False else ()
        option = copy(extras[0]) if extras else typer.Option(*flag)
        option.help = option.help or docs.get(field.name)
        yield field.name, field.default, Annotated[hint, option]
