"""The command that draws one analysis of one prediction: parse, draw, write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regard.cli.options import Inference, Language
from regard.console import say, say_files
from regard.errors import DependencyError, InputError, why

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


@dataclass(frozen=True)
class Drawing(Inference):
    """Which figure, and where it goes."""

    of: str | None = None
    """Name of the analysis; `regard figure` lists them."""
    out: Path | None = None
    """Output file (.html, .png, .svg or .pdf); named after the analysis if omitted."""
    other: str | None = None
    """For patching: a second input with the same number of tokens."""
    number: Annotated[int | None, typer.Option(min=0)] = None
    """For generative models: index of the generated token, from 0."""
    part: str | None = None
    """For playback: name of the tensor, as in `regard trace`."""
    head: Annotated[int | None, typer.Option(min=0)] = None
    """For playback: attention head, from 0."""
    lang: Language = Language.en
    """Language of the labels."""


def figure_command(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="Folder of a trained model.")] = None,
    text: Annotated[str | None, typer.Argument(metavar="[INPUT]", help="Input of the model.")] = None,
    *,
    options: Drawing,
) -> None:
    """Ask a prediction why, as a figure: alignment, logit lens, gradients, rollout, patching, neighbours …

    Without --of, list what there is; of a RUN, what its model has something to say to.
    """
    if options.of is None and (text is not None or options.out is not None):
        raise InputError(
            "{key} is missing; give one, such as lens, of those that `regard figure RUN` lists", "--of"
        )
    if options.out is not None and options.out.suffix.lower() not in ("", ".html", ".htm", *_IMAGES):
        sentence = "{key} is {value}, neither a page nor an image; give {limit}"
        raise InputError(sentence, "--out", options.out, ".html, .png, .svg or .pdf")
    _check_options(options)
    loaded = None if run is None else options.load(run, options.dtype)
    if options.of is None:
        say(*_listed(loaded, options.lang.value))
        return
    if loaded is None or text is None:
        sentence = "{key} is missing; give both, as in: regard figure runs/spelling thorough --of lens"
        raise InputError(sentence, "RUN" if loaded is None else "INPUT")
    figures, title, about = _drawn(loaded, text, options)
    path = options.out or Path(f"{options.of}.html")
    _write(path, figures, f"{title}: {text}", about, options.lang.value)
    say_files(path)


def _drawn(loaded: Any, text: str, options: Drawing) -> tuple[dict[Lang, Any], str, str]:
    """Figures by language, title and explanation. Raises: InputError."""
    from regard.looking.analyses import analysis

    assert options.of is not None
    lang: Lang = options.lang.value
    if options.of == "playback":
        if options.part is None:
            sentence = "{value} needs {key}, such as decoder.blocks.0.cross.weights"
            raise InputError(sentence, options.of, "--part")
        figure = loaded.playback(text, options.part).figure(options.head or 0)
        return {"en": figure, "zh": figure}, options.part, ""
    languages: tuple[Lang, ...] = ("en", "zh") if _is_page(options.out) else (lang,)
    more = {"other": options.other, "number": options.number or 0}
    figures = {one: loaded.figure(options.of, text, lang=one, **more) for one in languages}
    chosen = analysis(loaded.explorer(), options.of)
    return figures, chosen.title.of(lang), chosen.about.of(lang)


def _check_options(options: Drawing) -> None:
    """Raises: InputError for an option that this figure would ignore, or that it lacks."""
    from regard.looking.analyses import ALL

    users = {
        "other": [one.name for one in ALL if one.asks_other],
        "number": [one.name for one in ALL if one.asks_number],
        "part": ["playback"],
        "head": ["playback"],
    }
    known = options.of in ("playback", *(one.name for one in ALL))
    for option, names in users.items():
        if known and getattr(options, option) is not None and options.of not in names:
            sentence = "{key} is for --of {limit}; leave it out of {value}"
            raise InputError(sentence, f"--{option}", " or ".join(names), options.of)
    if options.of in users["other"] and options.other is None:
        sentence = "{value} compares with an input of as many tokens; give it with {key}"
        raise InputError(sentence, options.of, "--other")


def _is_page(out: Path | None) -> bool:
    return out is None or out.suffix.lower() not in _IMAGES


def _listed(loaded: Any, lang: Lang) -> list[str]:
    from textwrap import wrap

    from regard.looking.analyses import ALL, analyses

    some = ALL if loaded is None else analyses(loaded.explorer()).values()
    pairs = [(one.name, one.about.of(lang)) for one in some]
    lines: list[str] = []
    for name, about in [*pairs, ("playback", _PLAYBACK[lang])]:
        first, *rest = wrap(about, _WIDE[lang]) or [""]
        lines += [f"{name:12}{first}", *(f"{'':12}{line}" for line in rest)]
    return [*lines, "", "regard figure RUN INPUT --of NAME draws one."]


def _write(path: Path, figures: dict[Lang, Any], title: str, about: str, lang: Lang) -> None:
    from regard.files import atomic_file, write_text
    from regard.insight.figures import plot_labels
    from regard.insight.page import drawing, page, paragraphs
    from regard.insight.words import Words
    from regard.insight.worked import Drawing

    if _is_page(path):
        figure = Drawing(Words(title, title), lambda chosen: figures[chosen])
        body = f"<main>{paragraphs(Words(about, about))}{drawing('figure', figure)}</main>"
        write_text(path, page(Words(title, title), body, figures=True, lang=lang))
        return
    try:
        figures[lang].update_layout(title=plot_labels([title])[0])
        made = figures[lang].to_image(format=path.suffix.lower()[1:], scale=2)
    except (ImportError, ValueError, RuntimeError) as problem:
        sentence = (
            "{key} needs Plotly's exporter and a browser that it can use ({value}); install them with pip"
            " install 'regard[figures]', or write .html instead"
        )
        raise DependencyError(sentence, path.suffix, why(problem)) from problem
    with atomic_file(path) as file:
        file.write(made)
