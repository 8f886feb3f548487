"""The command that predicts: parse, dispatch, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regard.cli.open import open_run
from regard.cli.options import Alpha, AsJson, Device, Dtype, Precision, RunArgument, Threads
from regard.console import is_typed, say, write, write_growing
from regard.errors import InputError, both_given

PREDICT_EXAMPLES = (
    "Examples:\n\n  regard predict runs/spelling thorough colonel\n\n"
    "  regard predict runs/mine < in.txt > out.txt\n\n"
    "  regard predict runs/novel 'It was' --temperature 0.8 --top-p 0.95 --seed 1 -n 3"
)


def predict_command(
    run: RunArgument,
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="[INPUT]...", help="Input of the model.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Text file, one input per line.")] = None,
    beam: Annotated[
        int | None, typer.Option(min=1, help="Beam size; 1 is greedy search; N by default.")
    ] = None,
    alpha: Alpha = 0.6,
    n: Annotated[
        int, typer.Option("-n", min=1, help="Number of best hypotheses, or of samples, to print.")
    ] = 1,
    max_length: Annotated[int | None, typer.Option(min=1, help="Maximum output length in tokens.")] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Sampling temperature; 0 is greedy decoding.")
    ] = None,
    top_k: Annotated[int, typer.Option(min=0, help="Sample from the K most likely tokens; 0 disables.")] = 0,
    top_p: Annotated[
        float, typer.Option(help="Nucleus sampling: smallest set of tokens with this cumulative probability.")
    ] = 1.0,
    min_p: Annotated[
        float, typer.Option(help="Minimum token probability, relative to the most likely token's.")
    ] = 0.0,
    repetition_penalty: Annotated[
        float, typer.Option(help="Penalty on tokens that occurred already; 1 disables.")
    ] = 1.0,
    stop: Annotated[list[str] | None, typer.Option(help="Stop sequence; repeatable.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed of sampling.")] = None,
    among: Annotated[
        Path | None, typer.Option(help="Rank the lines of this file by similarity to each input.")
    ] = None,
    words: Annotated[
        bool, typer.Option("--words", help="Show the nearest tokens in embedding space.")
    ] = False,
    talk: Annotated[bool, typer.Option("--chat", help="Chat interactively, turn by turn.")] = False,
    dtype: Precision = Dtype.float32,
    as_json: AsJson = False,
    threads: Threads = None,
    device: Device = None,
) -> None:
    """Predict from arguments, a file or standard input, one result per line; one argument's is streamed."""
    from regard.data.text_input import lines_of
    from regard.recipes.converse import chat, converse
    from regard.recipes.report import prediction_line
    from regard.tasks import Decoding, Sampling

    _check_inputs(bool(inputs), file, among, words=words, talk=talk, as_json=as_json)
    drawn = (
        temperature is not None or seed is not None or top_k or top_p < 1 or min_p or repetition_penalty != 1
    )
    sampling = Sampling(
        1.0 if temperature is None else temperature, top_k, top_p, min_p, repetition_penalty, seed
    )
    decoding = Decoding(
        beam=(1 if drawn else n) if beam is None else beam,
        alpha=alpha,
        n=n,
        max_length=max_length,
        sampling=sampling if drawn else None,
        stop=tuple(stop or ()),
    )
    loaded, nearest = open_run(run, dtype, threads, device), among is not None or words
    if talk or (not inputs and file is None and is_typed()):
        (chat if talk else converse)(loaded, decoding)
        return
    one = inputs is not None and len(inputs) == 1 and decoding.beam == decoding.n == 1
    if inputs and one and file is None and not (as_json or nearest):
        write_growing(loaded.write(inputs[0], decoding))
        return
    source = inputs or lines_of(file)
    if nearest:
        source, known = list(source), [line for line in lines_of(among) if line.strip()] if among else None
        found = zip(source, loaded.neighbours(source, known, n), strict=True)
    else:
        found = loaded.stream(source, decoding)
    for text, prediction in found:
        line = prediction_line(text, prediction, as_json=as_json)
        if as_json:
            say(line)
        else:
            write(f"{line}\n")


def _check_inputs(
    inputs: bool, file: Path | None, among: Path | None, *, words: bool, talk: bool, as_json: bool
) -> None:
    """Raises: InputError for two of which one would be ignored."""
    if inputs and file is not None:
        raise both_given(InputError, "inputs", "--file")
    if words and among is not None:
        raise both_given(InputError, "--words", "--among")
    for option, said in (
        ("inputs", inputs),
        ("--file", file is not None),
        ("--among", among is not None),
        ("--words", words),
        ("--json", as_json),
    ):
        if talk and said:
            raise InputError("--chat is a dialogue on standard input, turn by turn; leave out {key}", option)
