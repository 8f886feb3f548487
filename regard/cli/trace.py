"""The commands that look inside a trained model: parse, dispatch, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from regard.cli.explain import Language
from regard.cli.open import open_run
from regard.cli.options import (
    Alpha,
    AsJson,
    Beam,
    DataArgument,
    Device,
    Dtype,
    Precision,
    RunArgument,
    Split,
    Threads,
)
from regard.console import named, say, say_json

TRACE_EXAMPLES = (
    "Examples:\n\n  regard trace runs/spelling thorough --html thorough.html\n\n"
    "  regard trace runs/mine 'A man rides a bicycle.' --beam 4 --json trace.json\n\n"
    "  regard trace runs/gpt2 'It was' --max-length 5 --layers 0,10-11 --heads 3 --steps 1-2 --html it.html"
    "\n\n  regard trace runs/words electri --max-length 1 --logit c --against n"
)
ABLATE_EXAMPLES = "Example: regard ablate runs/spelling --limit 200"
_NUMBERS = "such as 0,2-4; all by default"


def trace_command(
    run: RunArgument,
    text: Annotated[str, typer.Argument(metavar="INPUT", help="Input of the model.")],
    html: Annotated[Path | None, typer.Option(help="Write a self-contained HTML page.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all values as JSON.")] = None,
    layers: Annotated[str | None, typer.Option(help=f"Only these layers, from 0, {_NUMBERS}.")] = None,
    heads: Annotated[str | None, typer.Option(help=f"Only these heads, from 0, {_NUMBERS}.")] = None,
    steps: Annotated[
        str | None, typer.Option(help="Only these generated tokens, from 1, such as 1,3-5; all by default.")
    ] = None,
    logit: Annotated[
        str | None, typer.Option(help="Decompose the logit of this output into its contributions.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="For --logit: decompose the difference from this output's logit.")
    ] = None,
    place: Annotated[
        int | None, typer.Option(help="For --logit: token position, from 0; the last by default.")
    ] = None,
    beam: Beam = 1,
    alpha: Alpha = 0.6,
    max_length: Annotated[int | None, typer.Option(min=1, help="Maximum output length in tokens.")] = None,
    lang: Annotated[Language, typer.Option(help="Language of the text and of the page.")] = Language.en,
    dtype: Precision = Dtype.float32,
    threads: Threads = None,
    device: Device = None,
) -> None:
    """Show every number of one prediction, from the input to the probabilities; or, with --logit, what one
    of its logits is the sum of: a number for each head, each feed-forward, each shift."""
    from regard.errors import InputError
    from regard.insight.logit_sum_shown import logit_lines, logit_object, logit_step
    from regard.insight.trace_text import trace_lines
    from regard.tasks import Decoding

    if html is not None and json is not None and html.resolve() == json.resolve():
        raise InputError("--html and {key} are both {value}; give different files", "--json", html)
    chosen = {name: _numbers(name, some) for name, some in _asked(layers, heads, steps)}
    decoding = Decoding(beam=beam, alpha=alpha, max_length=max_length)
    opened = open_run(run, dtype, threads, device)
    found = opened.trace(text, decoding, **chosen)
    sums = _sums(opened.model, found, logit, against, place)
    if json is not None:
        from regard.files import atomic_file
        from regard.insight.trace_json import trace_json
        from regard.visible import visible

        with atomic_file(json) as file:
            for piece in trace_json(found, {} if sums is None else {"logit": logit_object(sums)}):
                file.write(visible(piece, keep="\n").encode("utf-8"))
    if html is not None:
        from regard.files import write_text
        from regard.insight.trace_page import trace_page

        write_text(html, trace_page(found, lang.value, further=[] if sums is None else [logit_step(sums)]))
    named(json, html)
    if json is None and html is None:
        say(*(trace_lines(found, lang.value) if sums is None else logit_lines(sums)))


def ablate_command(
    run: RunArgument,
    data: DataArgument = None,
    split: Split = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Evaluate only the first N examples.")] = None,
    beam: Beam = 1,
    alpha: Alpha = 0.6,
    as_json: AsJson = False,
    dtype: Precision = Dtype.float32,
    threads: Threads = None,
    device: Device = None,
) -> None:
    """Turn off each head in turn, and see how much worse the model becomes without it."""
    from regard.insight.ablation_text import ablation_lines, ablation_object
    from regard.tasks import Decoding
    from regard.training.progress import terminal_reporter

    reporter = terminal_reporter()
    try:
        found = open_run(run, dtype, threads, device).ablate(
            data,
            split,
            decoding=Decoding(beam=beam, alpha=alpha),
            limit=limit,
            told=lambda done, of: reporter.busy(f"{done} of {of} heads"),
        )
    finally:
        reporter.close()
    if as_json:
        say_json(ablation_object(found))
    else:
        say(*ablation_lines(found))


def _sums(model: Any, found: Any, logit: str | None, against: str | None, place: int | None) -> Any:
    """What the logit that was asked for is the sum of. Raises: InputError."""
    from regard.errors import InputError
    from regard.insight.logit_sum import logit_sum

    if logit is not None:
        return logit_sum(model, found, logit, against, place)
    if against is not None or place is not None:
        sentence = "{key} says more of --logit; give that too"
        raise InputError(sentence, "--place" if against is None else "--against")
    return None


def _asked(*some: str | None) -> Any:
    return zip(("layers", "heads", "steps"), some, strict=True)


def _numbers(name: str, said: str | None) -> list[int] | None:
    """`0,2-4` as [0, 2, 3, 4]. Raises: InputError."""
    from regard.errors import InputError, outside

    if said is None:
        return None
    found: list[int] = []
    for part in said.split(","):
        first, dash, last = part.strip().partition("-")
        numbers = (first, last) if dash else (first, first)
        if not all(x.isascii() and x.isdigit() and len(x) < 7 for x in numbers):
            raise outside(InputError, f"--{name}", f"'{said}'", "numbers and ranges such as 0,2-4")
        begin, end = map(int, numbers)
        if begin > end:
            sentence = "{key} is '{value}', where the larger number comes first; write {limit}"
            raise InputError(sentence, f"--{name}", said, f"{end}-{begin}")
        found += range(begin, end + 1)
    return found
