"""The command line: parse, dispatch, print. No logic of its own.

Errors are one sentence on standard error; the exit status is 2 when the input was at fault, 1 when the work
failed, 130 after Ctrl-C.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from regard.cli.checkpoints import EXPORT_EXAMPLES, IMPORT_EXAMPLES, export_command, import_command
from regard.cli.explain import EXPLAIN_EXAMPLES, explain_command
from regard.cli.figure import FIGURE_EXAMPLES, figure_command
from regard.cli.log import show_log
from regard.cli.look import LOOK_EXAMPLES, look_command
from regard.cli.options import (
    AsJson,
    Broken,
    DataArgument,
    Inference,
    Limit,
    Machine,
    OnError,
    RunArgument,
    Search,
    Split,
    expanded,
)
from regard.cli.predict import PREDICT_EXAMPLES, predict_command
from regard.cli.resume import resumable
from regard.cli.trace import ABLATE_EXAMPLES, TRACE_EXAMPLES, ablate_command, trace_command
from regard.cli.train import TRAIN_EXAMPLES, TrainHelp, train_command
from regard.console import READER_GONE, beside, note, say, say_json
from regard.errors import RegardError
from regard.interrupts import STOPPED
from regard.threads import limit_threads

app = typer.Typer(
    name="regard",
    help="Train a Transformer of your own, use it, and look inside it.",
    epilog="Begin with `regard demo`; then `regard train translation pairs.tsv --out runs/mine`.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

# typer has a click of its own, or none, depending on its version; this is the base of what either raises.
_UsageError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")


def _say_version(wanted: bool) -> None:
    if wanted:
        from regard import __version__

        say(f"regard {__version__}")
        raise typer.Exit


@app.callback()
def regard(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: regard demo --budget 5m")
@expanded
def demo(
    budget: Annotated[str, typer.Option(help="Training time budget, such as 5m.")] = "5m",
    out: Annotated[Path, typer.Option(help="Output folder for the model.")] = Path("runs/spelling"),
    words: Annotated[str | None, typer.Option(help="Words to pronounce; interactive if omitted.")] = None,
    *,
    machine: Machine,
) -> None:
    """Train a model that pronounces English, on real data, from start to end."""
    from regard.recipes.demo import run_demo

    run_demo(out, budget, None if words is None else words.split(), machine.device, machine.threads)


app.command(name="train", cls=TrainHelp, epilog=TRAIN_EXAMPLES)(expanded(train_command))


@app.command(epilog="Example: regard evaluate runs/mine pairs.tsv --split test --beam 5")
@expanded
def evaluate(
    run: RunArgument,
    data: DataArgument = None,
    split: Split = None,
    *,
    search: Search,
    tokenize: Annotated[
        str | None, typer.Option(help="sacreBLEU tokenizer; 13a by default, zh for Chinese.")
    ] = None,
    limit: Limit = None,
    show: Annotated[int, typer.Option(min=0, help="Number of predictions to print.")] = 3,
    grid: Annotated[
        Path | None,
        typer.Option(help="Write an image grid of predictions (.png), misclassified images first."),
    ] = None,
    as_json: AsJson = False,
    on_error: Broken = OnError.refuse,
    compute: Inference,
) -> None:
    """Evaluate a model on held-out data, beside trivial baselines."""
    from regard.recipes.report import evaluation_lines
    from regard.tasks import Decoding

    result = compute.load(run, compute.dtype).evaluate(
        data,
        split,
        decoding=Decoding(search.beam, search.alpha),
        tokenize=tokenize,
        limit=limit,
        on_error=on_error.value,
        grid=grid,
    )
    if as_json:
        keys = ("data", "split", "metrics", "baselines", "seconds")
        say_json({key: getattr(result, key) for key in keys})
    else:
        beside(grid)(*evaluation_lines(result, show))


@app.command(epilog="Example: regard verify runs/mine")
@expanded
def verify(
    run: RunArgument,
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="[INPUT]...", help="Inputs to verify with.")
    ] = None,
    as_json: AsJson = False,
    *,
    machine: Machine,
) -> None:
    """Verify on this very model that caching, fused kernels, padding and saving change nothing."""
    findings = machine.load(run).verify(inputs)
    for finding in findings:
        if as_json:
            say_json({key: getattr(finding, key) for key in ("law", "difference", "holds")})
        else:
            word = "holds" if finding.holds else "BROKEN"
            say(f"{word:7} {finding.law:28} largest difference {finding.difference:.1e} of the largest logit")
    if not all(finding.holds for finding in findings):
        raise typer.Exit(1)


for _name, _command, _examples in (
    ("predict", predict_command, PREDICT_EXAMPLES),
    ("import", import_command, IMPORT_EXAMPLES),
    ("export", export_command, EXPORT_EXAMPLES),
    ("explain", explain_command, EXPLAIN_EXAMPLES),
    ("trace", trace_command, TRACE_EXAMPLES),
    ("figure", figure_command, FIGURE_EXAMPLES),
    ("ablate", ablate_command, ABLATE_EXAMPLES),
):
    app.command(name=_name, epilog=_examples)(expanded(_command))


@app.command(epilog="Examples: regard doctor, or: regard doctor --retry")
def doctor(
    retry: Annotated[
        bool, typer.Option("--retry", help="Retry the compiled kernels where they have failed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Report this machine, the installed packages and which code paths are used, for bug reports."""
    from regard.recipes.doctor import doctor_lines

    for line in doctor_lines(as_json=as_json, retry=retry):
        say(line)


app.command(name="look", epilog=LOOK_EXAMPLES)(expanded(look_command))


@app.command(epilog="Examples: regard data, or: regard data spelling")
def data(
    name: Annotated[str | None, typer.Argument(help="Dataset to describe, with some of its rows.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the named datasets: built-in ones, and public ones that are downloaded on first use."""
    from regard.recipes.known import data_lines

    say(*data_lines(name, as_json=as_json))


@dataclass(frozen=True)
class Reproduction(Machine):
    """How a recipe is run."""

    out: Path = Path("runs")
    """Parent folder of the runs."""
    seed: int = 1
    """Random seed."""
    budget: str | None = None
    """Override the recipe's training time budget, such as 10m."""
    resume: bool = False
    """Resume an interrupted recipe."""
    overwrite: bool = False
    """Train from scratch even if a finished run exists."""


@app.command(epilog="Examples: regard reproduce, or: regard reproduce multi30k-en-de --seed 2")
@expanded
def reproduce(
    name: Annotated[str | None, typer.Argument(help="Recipe to run; lists all if omitted.")] = None,
    *,
    options: Reproduction,
    as_json: AsJson = False,
) -> None:
    """Reproduce a published result, and print it beside the published figure."""
    from regard.recipes.reproduce import folder_of, recipe_lines, run_recipe

    if name is None:
        say(*recipe_lines())
        return
    with resumable(folder_of(name, options.out, options.seed)):
        run_recipe(name, **vars(options), as_json=as_json)


@app.command(epilog="Example: regard bench --preset tiny")
@expanded
def bench(
    preset: Annotated[str, typer.Option(help="Model size: micro to big.")] = "tiny",
    as_json: AsJson = False,
    *,
    machine: Machine,
) -> None:
    """Benchmark this machine: its peak throughput, and how close training and decoding come to it."""
    from regard.recipes.bench import bench_lines

    for line in bench_lines(preset, as_json=as_json, threads=machine.threads, device=machine.device):
        say(line)


def main() -> None:
    """Run the command that `sys.argv` holds, and exit; `regard.__main__` is what `regard` runs.

    Raises: KeyboardInterrupt.
    """
    show_log()
    limit_threads()
    try:
        status = app(sys.argv[1:] or ["--help"], prog_name="regard", standalone_mode=False)
        sys.stdout.flush()
        if status == STOPPED:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
    except RegardError as problem:
        status = problem.exit_status
        if isinstance(problem.__cause__, BrokenPipeError):  # whoever read has enough; as SIGPIPE ends others
            status = READER_GONE
        else:
            _complain(str(problem), status)
    except _UsageError as problem:
        where = problem.ctx.command_path if problem.ctx else "regard"
        said = problem.format_message().rstrip()
        end = "" if said.endswith((".", "?", "!")) else "."
        status = _complain(f"{said}{end} See `{where} --help`.", 2)
    except OSError as problem:  # the rest of what a system can refuse
        where = f"{problem.filename}: " if problem.filename else ""
        status = _complain(f"{where}{problem.strerror or problem}", 1)
    sys.exit(status)


def _complain(problem: str, status: int) -> int:
    """Say on one line what was wrong."""
    note(f"regard: {' '.join(problem.split())}")
    return status


if __name__ == "__main__":
    main()
