"""The commands that look inside a trained model: parse, dispatch, print."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from regard.cli.options import (
    AsJson,
    DataArgument,
    Html,
    Inference,
    Language,
    Limit,
    MaxLength,
    RunArgument,
    Search,
    Split,
)
from regard.console import say, say_files, say_json
from regard.errors import InputError, outside

TRACE_EXAMPLES = (
    "Examples:\n\n  regard trace runs/spelling thorough --html thorough.html\n\n"
    "  regard trace runs/mine 'A man rides a bicycle.' --beam 4 --json trace.json\n\n"
    "  regard trace runs/gpt2 'It was' --max-length 5 --layers 0,10-11 --heads 3 --steps 1-2 --html it.html"
    "\n\n  regard trace runs/words electri --max-length 1 --logit c --against n"
)
ABLATE_EXAMPLES = "Example: regard ablate runs/spelling --limit 200"


@dataclass(frozen=True)
class Selection:
    """What of a trace is shown."""

    layers: str | None = None
    """Only these layers, from 0, such as 0,2-4; all by default."""
    heads: str | None = None
    """Only these heads, from 0, such as 0,2-4; all by default."""
    steps: str | None = None
    """Only these generated tokens, from 1, such as 1,3-5; all by default."""


@dataclass(frozen=True)
class Target:
    """The logit that is taken apart."""

    logit: str | None = None
    """Decompose the logit of this output into its contributions."""
    against: str | None = None
    """For --logit: decompose the difference from this output's logit."""
    place: int | None = None
    """For --logit: token position, from 0; the last by default."""


def trace_command(
    run: RunArgument,
    text: Annotated[str, typer.Argument(metavar="INPUT", help="Input of the model.")],
    html: Html = None,
    json: Annotated[Path | None, typer.Option(help="Write all values as JSON.")] = None,
    *,
    selection: Selection,
    target: Target,
    search: Search,
    max_length: MaxLength = None,
    lang: Annotated[Language, typer.Option(help="Language of the text and of the page.")] = Language.en,
    compute: Inference,
) -> None:
    """Show every number of one prediction, from the input to the probabilities; or, with --logit, what one
    of its logits is the sum of: a number for each head, each feed-forward, each shift."""
    from regard.insight.logit_sum_shown import logit_lines, logit_object, logit_step
    from regard.insight.trace_text import trace_lines
    from regard.tasks import Decoding

    if html is not None and json is not None and html.resolve() == json.resolve():
        raise InputError("--html and {key} are both {value}; give different files", "--json", html)
    selected = {name: _numbers(name, ranges) for name, ranges in vars(selection).items()}
    decoding = Decoding(search.beam, search.alpha, max_length=max_length)
    loaded = compute.load(run, compute.dtype)
    traced = loaded.trace(text, decoding, **selected)
    sums = _sums(loaded.model, traced, target)
    if json is not None:
        from regard.files import atomic_file
        from regard.insight.trace_json import trace_json
        from regard.visible import visible

        with atomic_file(json) as file:
            for piece in trace_json(traced, {} if sums is None else {"logit": logit_object(sums)}):
                file.write(visible(piece, keep="\n").encode("utf-8"))
    if html is not None:
        from regard.files import write_text
        from regard.insight.trace_page import trace_page

        write_text(html, trace_page(traced, lang.value, further=[] if sums is None else [logit_step(sums)]))
    say_files(json, html)
    if json is None and html is None:
        say(*(trace_lines(traced, lang.value) if sums is None else logit_lines(sums)))


def ablate_command(
    run: RunArgument,
    data: DataArgument = None,
    split: Split = None,
    limit: Limit = None,
    *,
    search: Search,
    as_json: AsJson = False,
    compute: Inference,
) -> None:
    """Turn off each head in turn, and see how much worse the model becomes without it."""
    from regard.insight.ablation_text import ablation_lines, ablation_object
    from regard.tasks import Decoding
    from regard.training.terminal import terminal_reporter

    with closing(terminal_reporter()) as reporter:
        ablation = compute.load(run, compute.dtype).ablate(
            data,
            split,
            decoding=Decoding(search.beam, search.alpha),
            limit=limit,
            told=lambda done, of: reporter.busy(f"{done} of {of} heads"),
        )
    if as_json:
        say_json(ablation_object(ablation))
    else:
        say(*ablation_lines(ablation))


def _sums(model: Any, traced: Any, target: Target) -> Any:
    """What the logit that was asked for is the sum of. Raises: InputError."""
    from regard.insight.logit_sum import logit_sum

    if target.logit is not None:
        return logit_sum(model, traced, target.logit, target.against, target.place)
    if target.against is not None or target.place is not None:
        sentence = "{key} says more of --logit; give that too"
        raise InputError(sentence, "--place" if target.against is None else "--against")
    return None


def _numbers(name: str, ranges: str | None) -> list[int] | None:
    """`0,2-4` as [0, 2, 3, 4]. Raises: InputError."""
    if ranges is None:
        return None
    numbers: list[int] = []
    for part in ranges.split(","):
        first, dash, last = part.strip().partition("-")
        limits = (first, last if dash else first)
        if not all(x.isascii() and x.isdigit() and len(x) < 7 for x in limits):
            raise outside(InputError, f"--{name}", f"'{ranges}'", "numbers and ranges such as 0,2-4")
        begin, end = map(int, limits)
        if begin > end:
            sentence = "{key} is '{value}', where the larger number comes first; write {limit}"
            raise InputError(sentence, f"--{name}", ranges, f"{end}-{begin}")
        numbers += range(begin, end + 1)
    return numbers
