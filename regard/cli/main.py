"""The command line: parse, dispatch, print. No logic of its own.

Errors are one sentence on standard error; the exit status is 2 when the input was at fault, 1 when the work
failed, 130 after Ctrl-C.
"""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from regard.cli.checkpoints import EXPORT_EXAMPLES, IMPORT_EXAMPLES, export_command, import_command
from regard.cli.doctor import DOCTOR_EXAMPLES, doctor_command
from regard.cli.explain import EXPLAIN_EXAMPLES, explain_command
from regard.cli.figure import FIGURE_EXAMPLES, figure_command
from regard.cli.log import show_log
from regard.cli.look import LOOK_EXAMPLES, look_command
from regard.cli.open import open_run
from regard.cli.options import (
    Alpha,
    AsJson,
    Beam,
    Broken,
    DataArgument,
    Device,
    Dtype,
    OnError,
    Precision,
    RunArgument,
    Split,
    Threads,
)
from regard.cli.predict import PREDICT_EXAMPLES, predict_command
from regard.cli.resume import resumable
from regard.cli.trace import ABLATE_EXAMPLES, TRACE_EXAMPLES, ablate_command, trace_command
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
def demo(
    budget: Annotated[str, typer.Option(help="Training time budget, such as 5m.")] = "5m",
    out: Annotated[Path, typer.Option(help="Output folder for the model.")] = Path("runs/spelling"),
    words: Annotated[str | None, typer.Option(help="Words to pronounce; interactive if omitted.")] = None,
    threads: Threads = None,
    device: Device = None,
) -> None:
    """Train a model that pronounces English, on real data, from start to end."""
    from regard.recipes.demo import run_demo

    run_demo(out, budget, None if words is None else words.split(), device, threads)


@app.command(
    epilog="Examples:\n\n  regard train translation spelling --out runs/spelling --budget 5m\n\n"
    "  regard train translation pairs.tsv --from en --to de --out runs/mine --preset small --epochs 30\n\n"
    "  regard train translation pairs.tsv --out runs/mine --resume"
)
def train(
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK",
            help="translation, text-generation, fill-mask, text-classification, question-answering, "
            "sentence-similarity or image-classification.",
        ),
    ],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A dataset listed by `regard data`, a file or a folder.")
    ],
    out: Annotated[Path, typer.Option(help="Output folder for the model.")],
    preset: Annotated[
        str | None,
        typer.Option(
            help="Model size: micro, mini, tiny, small, base or big; for images also vit-b16 and others."
        ),
    ] = None,
    budget: Annotated[str | None, typer.Option(help="Training time budget, such as 20m.")] = None,
    steps: Annotated[int | None, typer.Option(help="Number of optimizer steps.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Number of epochs.")] = None,
    source: Annotated[str | None, typer.Option("--from", help="Name of the input column.")] = None,
    target: Annotated[str | None, typer.Option("--to", help="Name of the target column.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed; 1 by default.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="Configuration file, or the folder of a run to copy it from.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a configuration key, such as train.lr=1e-3; repeatable."),
    ] = None,
    snapshots: Annotated[
        int | None,
        typer.Option(help="Number of weight snapshots to keep during training, in OUT/snapshots."),
    ] = None,
    init: Annotated[
        Path | None, typer.Option(help="Pretrained model to fine-tune, with its tokenizers.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Overwrite an existing run in OUT.")] = False,
    on_error: Broken = OnError.refuse,
    threads: Threads = None,
    workers: Annotated[
        int,
        typer.Option(help="Processes that decode images as needed; with 0 their pixels are kept on disk."),
    ] = 0,
    device: Device = None,
) -> None:
    """Train a model on your own data, including its tokenizer."""
    from regard.training import train as run_training

    with resumable(out):
        trained = run_training(
            task,
            data,
            out,
            preset=preset,
            steps=steps,
            epochs=epochs,
            budget=budget,
            source=source,
            target=target,
            config=config,
            settings=settings or (),
            seed=seed,
            snapshots=snapshots,
            init=init,
            resume=resume,
            overwrite=overwrite,
            on_error=on_error.value,
            device=device,
            threads=threads,
            workers=workers,
        )
    run = quote(str(trained.folder))
    chat = " --chat" if getattr(trained.config.task, "turns", None) is not None else ""
    say(f"next: regard predict {run}{chat}, or: regard evaluate {run} {quote(data)}")


@app.command(epilog="Example: regard evaluate runs/mine pairs.tsv --split test --beam 5")
def evaluate(
    run: RunArgument,
    data: DataArgument = None,
    split: Split = None,
    beam: Beam = 1,
    alpha: Alpha = 0.6,
    tokenize: Annotated[
        str | None, typer.Option(help="sacreBLEU tokenizer; 13a by default, zh for Chinese.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Evaluate only the first N examples.")] = None,
    show: Annotated[int, typer.Option(min=0, help="Number of predictions to print.")] = 3,
    grid: Annotated[
        Path | None,
        typer.Option(help="Write an image grid of predictions (.png), misclassified images first."),
    ] = None,
    dtype: Precision = Dtype.float32,
    as_json: AsJson = False,
    on_error: Broken = OnError.refuse,
    threads: Threads = None,
    device: Device = None,
) -> None:
    """Evaluate a model on held-out data, beside trivial baselines."""
    from regard.recipes.report import evaluation_lines
    from regard.tasks import Decoding

    result = open_run(run, dtype, threads, device).evaluate(
        data,
        split,
        decoding=Decoding(beam=beam, alpha=alpha),
        tokenize=tokenize,
        limit=limit,
        on_error=on_error.value,
        grid=grid,
    )
    if as_json:
        say_json(
            {
                "data": result.data,
                "split": result.split,
                "metrics": result.metrics,
                "baselines": result.baselines,
                "seconds": result.seconds,
            }
        )
    else:
        beside(grid)(*evaluation_lines(result, show))


@app.command(epilog="Example: regard verify runs/mine")
def verify(
    run: RunArgument,
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="[INPUT]...", help="Inputs to verify with.")
    ] = None,
    as_json: AsJson = False,
    threads: Threads = None,
    device: Device = None,
) -> None:
    """Verify on this very model that caching, fused kernels, padding and saving change nothing."""
    findings = open_run(run, Dtype.float32, threads, device).verify(inputs)
    for finding in findings:
        if as_json:
            say_json({"law": finding.law, "difference": finding.difference, "holds": finding.holds})
        else:
            word = "holds" if finding.holds else "BROKEN"
            say(f"{word:7} {finding.law:28} largest difference {finding.difference:.1e} of the largest logit")
    if not all(finding.holds for finding in findings):
        raise typer.Exit(1)


app.command(name="predict", epilog=PREDICT_EXAMPLES)(predict_command)
app.command(name="import", epilog=IMPORT_EXAMPLES)(import_command)
app.command(name="export", epilog=EXPORT_EXAMPLES)(export_command)
app.command(name="explain", epilog=EXPLAIN_EXAMPLES)(explain_command)
app.command(name="trace", epilog=TRACE_EXAMPLES)(trace_command)
app.command(name="figure", epilog=FIGURE_EXAMPLES)(figure_command)
app.command(name="ablate", epilog=ABLATE_EXAMPLES)(ablate_command)
app.command(name="doctor", epilog=DOCTOR_EXAMPLES)(doctor_command)
app.command(name="look", epilog=LOOK_EXAMPLES)(look_command)


@app.command(epilog="Examples: regard data, or: regard data spelling")
def data(
    name: Annotated[str | None, typer.Argument(help="Dataset to describe, with some of its rows.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the named datasets: built-in ones, and public ones that are downloaded on first use."""
    from regard.recipes.known import data_lines

    say(*data_lines(name, as_json=as_json))


@app.command(epilog="Examples: regard reproduce, or: regard reproduce multi30k-en-de --seed 2")
def reproduce(
    name: Annotated[str | None, typer.Argument(help="Recipe to run; lists all if omitted.")] = None,
    out: Annotated[Path, typer.Option(help="Parent folder of the runs.")] = Path("runs"),
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
    budget: Annotated[
        str | None, typer.Option(help="Override the recipe's training time budget, such as 10m.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted recipe.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Train from scratch even if a finished run exists.")
    ] = False,
    as_json: AsJson = False,
    threads: Threads = None,
    device: Device = None,
) -> None:
    """Reproduce a published result, and print it beside the published figure."""
    from regard.recipes.reproduce import folder_of, recipe_lines, run_recipe

    if name is None:
        say(*recipe_lines())
        return
    how: dict[str, Any] = {"resume": resume, "overwrite": overwrite, "threads": threads, "device": device}
    with resumable(folder_of(name, out, seed)):
        run_recipe(name, out, seed, budget, as_json=as_json, **how)


@app.command(epilog="Example: regard bench --preset tiny")
def bench(
    preset: Annotated[str, typer.Option(help="Model size: micro to big.")] = "tiny",
    as_json: AsJson = False,
    threads: Threads = None,
    device: Device = None,
) -> None:
    """Benchmark this machine: its peak throughput, and how close training and decoding come to it."""
    from regard.recipes.bench import bench_lines

    for line in bench_lines(preset, as_json=as_json, threads=threads, device=device):
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
