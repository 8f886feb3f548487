"""The command that predicts: parse, dispatch, print."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from regard.cli.options import Alpha, AsJson, Inference, MaxLength, RunArgument, Search
from regard.console import is_typed, say, write, write_growing
from regard.errors import InputError, both_given

PREDICT_EXAMPLES = (
    "Examples:\n\n  regard predict runs/spelling thorough colonel\n\n"
    "  regard predict runs/mine < in.txt > out.txt\n\n"
    "  regard predict runs/novel 'It was' --temperature 0.8 --top-p 0.95 --seed 1 -n 3"
)


@dataclass(frozen=True)
class Sampler:
    """How tokens are drawn, if any of these is given."""

    temperature: float | None = None
    """Sampling temperature; 0 is greedy decoding."""
    top_k: Annotated[int, typer.Option(min=0)] = 0
    """Sample from the K most likely tokens; 0 disables."""
    top_p: float = 1.0
    """Nucleus sampling: smallest set of tokens with this cumulative probability."""
    min_p: float = 0.0
    """Minimum token probability, relative to the most likely token's."""
    repetition_penalty: float = 1.0
    """Penalty on tokens that occurred already; 1 disables."""
    seed: int | None = None
    """Random seed of sampling."""

    def sampling(self) -> Any:
        """None where all is as by default. Raises: ConfigError."""
        from regard.decode.sampling import Sampling

        changed = {name: value for name, value in vars(self).items() if value != getattr(Sampler, name)}
        return Sampling(**changed) if changed else None


@dataclass(frozen=True)
class Ranking:
    """What the inputs are compared with, instead of predicting."""

    among: Path | None = None
    """Rank the lines of this file by similarity to each input."""
    words: bool = False
    """Show the nearest tokens in embedding space."""


def predict_command(
    run: RunArgument,
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="[INPUT]...", help="Input of the model.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Text file, one input per line.")] = None,
    beam: Annotated[
        int | None, typer.Option(min=1, help="Beam size; 1 is greedy search; N by default.")
    ] = None,
    alpha: Alpha = Search.alpha,
    n: Annotated[
        int, typer.Option("-n", min=1, help="Number of best hypotheses, or of samples, to print.")
    ] = 1,
    max_length: MaxLength = None,
    *,
    sampler: Sampler,
    stop: Annotated[list[str] | None, typer.Option(help="Stop sequence; repeatable.")] = None,
    ranking: Ranking,
    talk: Annotated[bool, typer.Option("--chat", help="Chat interactively, turn by turn.")] = False,
    as_json: AsJson = False,
    compute: Inference,
) -> None:
    """Predict from arguments, a file or standard input, one result per line; one argument's is streamed."""
    from regard.data.text_input import lines_of
    from regard.recipes.converse import chat, converse
    from regard.tasks import Decoding

    _check_inputs(bool(inputs), file, ranking, talk=talk, as_json=as_json)
    sampling = sampler.sampling()
    beam = beam or (n if sampling is None else 1)
    decoding = Decoding(beam, alpha, n, max_length=max_length, sampling=sampling, stop=tuple(stop or ()))
    loaded = compute.load(run, compute.dtype)
    if talk or (not inputs and file is None and is_typed()):
        (chat if talk else converse)(loaded, decoding)
        return
    ranks = ranking.among is not None or ranking.words
    if inputs and len(inputs) == beam == n == 1 and not (file or as_json or ranks):
        write_growing(loaded.write(inputs[0], decoding))
        return
    texts = inputs or loaded.read(file)
    if ranks:
        texts = list(texts)
        known = [line for line in lines_of(ranking.among) if line.strip()] if ranking.among else None
        _print(zip(texts, loaded.neighbours(texts, known, n), strict=True), as_json)
    else:
        _print(loaded.stream(texts, decoding), as_json)


def _print(predictions: Iterable[tuple[str, Any]], as_json: bool) -> None:
    from regard.recipes.report import prediction_line

    for text, prediction in predictions:
        line = prediction_line(text, prediction, as_json=as_json)
        if as_json:
            say(line)
        else:
            write(f"{line}\n")


def _check_inputs(inputs: bool, file: Path | None, ranking: Ranking, *, talk: bool, as_json: bool) -> None:
    """Raises: InputError for two of which one would be ignored."""
    if inputs and file is not None:
        raise both_given(InputError, "inputs", "--file")
    if ranking.words and ranking.among is not None:
        raise both_given(InputError, "--words", "--among")
    for option, present in (
        ("inputs", inputs),
        ("--file", file is not None),
        ("--among", ranking.among is not None),
        ("--words", ranking.words),
        ("--json", as_json),
    ):
        if talk and present:
            raise InputError("--chat is a dialogue on standard input, turn by turn; leave out {key}", option)
