"""The command that draws one analysis of one prediction: parse, draw, write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regard.cli.explain import Language
from regard.cli.open import open_run
from regard.cli.options import Device, Dtype, Precision, Threads
from regard.console import named, say

if TYPE_CHECKING:
    from regard.insight.words import Lang

FIGURE_EXAMPLES = (
    "Examples:\n\n  regard figure\n\n  regard figure runs/spelling thorough --of lens\n\n"
    "  regard figure runs/spelling thorough --of patching --other borouqhh --out patching.html\n\n"
    "  regard figure runs/spelling thorough --of playback --part decoder.blocks.1.cross.weights"
)
_IMAGES = (".png", ".svg", ".pdf")
_PLAYBACK = {
    "en": "How one part came to be over training, with the loss: a slider over what"
    " `regard train --snapshots N` kept. Needs --part.",
    "zh": "某一部分在训练中是怎样形成的，旁边是损失：滑块对应"
    " `regard train --snapshots N` 保留的各步。需要 --part。",
}
_WIDE = {"en": 64, "zh": 34}  # characters of a line; those of Chinese are twice as wide


def figure_command(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="Folder of a trained model.")] = None,
    text: Annotated[str | None, typer.Argument(metavar="[INPUT]", help="Input of the model.")] = None,
    of: Annotated[str | None, typer.Option(help="Name of the analysis; `regard figure` lists them.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Output file (.html, .png, .svg or .pdf); named after the analysis if omitted."),
    ] = None,
    other: Annotated[
        str | None, typer.Option(help="For patching: a second input with the same number of tokens.")
    ] = None,
    number: Annotated[
        int | None, typer.Option(min=0, help="For generative models: index of the generated token, from 0.")
    ] = None,
    part: Annotated[
        str | None, typer.Option(help="For playback: name of the tensor, as in `regard trace`.")
    ] = None,
    head: Annotated[int | None, typer.Option(min=0, help="For playback: attention head, from 0.")] = None,
    lang: Annotated[Language, typer.Option(help="Language of the labels.")] = Language.en,
    dtype: Precision = Dtype.float32,
    threads: Threads = None,
    device: Device = None,
) -> None:
    """Ask a prediction why, as a figure: alignment, logit lens, gradients, rollout, patching, neighbours …

    Without --of, list what there is; of a RUN, what its model has something to say to.
    """
    from regard.errors import InputError

    if of is None and (text is not None or out is not None):
        raise InputError(
            "{key} is missing; give one, such as lens, of those that `regard figure RUN` lists", "--of"
        )
    if out is not None and out.suffix.lower() not in ("", ".html", ".htm", *_IMAGES):
        sentence = "{key} is {value}, neither a page nor an image; give {limit}"
        raise InputError(sentence, "--out", out, ".html, .png, .svg or .pdf")
    _check_options(of, other=other, number=number, part=part, head=head)
    opened = None if run is None else open_run(run, dtype, threads, device)
    if of is None:
        say(*_listed(opened, lang.value))
        return
    if opened is None or text is None:
        sentence = "{key} is missing; give both, as in: regard figure runs/spelling thorough --of lens"
        raise InputError(sentence, "RUN" if opened is None else "INPUT")
    if of == "playback":
        if part is None:
            raise InputError("{value} needs {key}, such as decoder.blocks.0.cross.weights", of, "--part")
        made: Any = opened.playback(text, part).figure(head or 0)
        figures, title, about = {"en": made, "zh": made}, part, ""
    else:
        figures = {
            one: opened.figure(of, text, other=other, number=number or 0, lang=one)
            for one in (("en", "zh") if _is_page(out) else (lang.value,))
        }
        title, about = _said(opened, of, lang.value)
    written = out or Path(f"{of}.html")
    _write(written, figures, f"{title}: {text}", about, lang.value)
    named(written)


def _check_options(of: str | None, **given: object) -> None:
    """Raises: InputError for an option that this figure would ignore, or that it lacks."""
    from regard.errors import InputError
    from regard.looking.analyses import ALL

    takers = {
        "other": [one.name for one in ALL if one.asks_other],
        "number": [one.name for one in ALL if one.asks_number],
        "part": ["playback"],
        "head": ["playback"],
    }
    known = of == "playback" or of in {one.name for one in ALL}
    for option, value in given.items():
        if known and value is not None and of not in takers[option]:
            sentence = "{key} is for --of {limit}; leave it out of {value}"
            raise InputError(sentence, f"--{option}", " or ".join(takers[option]), of)
    if of in takers["other"] and given["other"] is None:
        raise InputError(
            "{value} compares with an input of as many tokens; give it with {key}", of, "--other"
        )


def _is_page(out: Path | None) -> bool:
    return out is None or out.suffix.lower() not in _IMAGES


def _listed(opened: Any, lang: Lang) -> list[str]:
    from textwrap import wrap

    from regard.looking.analyses import ALL, analyses

    some = ALL if opened is None else analyses(opened.explorer()).values()
    pairs = [(one.name, one.about.of(lang)) for one in some]
    lines: list[str] = []
    for name, about in [*pairs, ("playback", _PLAYBACK[lang])]:
        first, *rest = wrap(about, _WIDE[lang]) or [""]
        lines += [f"{name:12}{first}", *(f"{'':12}{line}" for line in rest)]
    return [*lines, "", "regard figure RUN INPUT --of NAME draws one."]


def _said(opened: Any, name: str, lang: Lang) -> tuple[str, str]:
    from regard.looking.analyses import analysis

    found = analysis(opened.explorer(), name)
    return found.title.of(lang), found.about.of(lang)


def _write(path: Path, figures: dict[str, Any], title: str, about: str, lang: Lang) -> None:
    from regard.errors import DependencyError, why
    from regard.files import atomic_file, write_text
    from regard.insight.figures import shown
    from regard.insight.page import drawing, page, paragraphs
    from regard.insight.words import Words
    from regard.insight.worked import Drawing

    if _is_page(path):
        figure = Drawing(Words(title, title), lambda chosen: figures[chosen])
        body = f"<main>{paragraphs(Words(about, about))}{drawing('figure', figure)}</main>"
        write_text(path, page(Words(title, title), body, figures=True, lang=lang))
        return
    try:
        figures[lang].update_layout(title=shown([title])[0])
        made = figures[lang].to_image(format=path.suffix.lower()[1:], scale=2)
    except (ImportError, ValueError, RuntimeError) as problem:
        sentence = (
            "{key} needs Plotly's exporter and a browser that it can use ({value}); install them with pip"
            " install 'regard[figures]', or write .html instead"
        )
        raise DependencyError(sentence, path.suffix, why(problem)) from problem
    with atomic_file(path) as file:
        file.write(made)
