"""`regard demo`: the main job on built-in real data, start to end.

Trains a model that pronounces English words, scores it on words that it has never seen, pronounces a few,
shows which letters it looked at for each sound, and says what to try next.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from shlex import quote

from regard.api import train
from regard.console import is_typed, say
from regard.errors import InputError
from regard.files import write_text
from regard.insight.plotting import graph_objects
from regard.recipes.report import evaluation_lines
from regard.run import Alignment, Run, load
from regard.tasks.decoding import Decoding

DATA = "spelling"
WORDS = ("thorough", "colonel", "quixotically", "regardable")
BEAM = 4

_SHADES = " ░▒▓█"


def run_demo(
    out: Path, budget: str, words: Sequence[str] | None, device: str | None, threads: int | None
) -> None:
    """Train, score, pronounce, show. `words`: instead of asking for some; `budget`: as `--budget`."""
    graph_objects()  # the last step draws: if it cannot, this is known before the training
    say("regard demo: learning to pronounce English words that it has never seen", "")
    trained = train("translation", DATA, out, budget=budget, overwrite=True, device=device, threads=threads)
    run = load(trained.folder, device)
    say("", "On the words that were held out (no training, no choice of settings has seen them):", "")
    say(*evaluation_lines(run.evaluate(decoding=Decoding(beam=BEAM)), show=3), "", "Some words:", "")
    for word in words or WORDS:
        _pronounce(run, word)
    figure = _save_figure(run, (words or WORDS)[0], out)
    if words is None and is_typed():
        _ask(run)
    say(*_next(out, figure).splitlines())


def _pronounce(run: Run, word: str) -> None:
    answer = run.predict([word], beam=BEAM)[0]
    say(f"  {word}  →  {answer}", "")
    say(*(f"      {line}" for line in shaded(run.alignment(word, Decoding(beam=BEAM)))), "")


def _ask(run: Run) -> None:
    say("Your own words, one a line; an empty line ends.", "")
    with suppress(EOFError):  # Ctrl-D
        while word := input("  word> ").strip().lower():
            try:
                _pronounce(run, word)
            except InputError as problem:
                say(f"  {problem}")


def shaded(alignment: Alignment) -> list[str]:
    """The matrix as shades: a line an output token, a column an input token, the darkest where it looked
    most."""
    lines = ["  " + "  ".join(_short(piece) for piece in alignment.inputs)]
    for piece, row in zip(alignment.outputs, alignment.weights.tolist(), strict=True):
        steps = (len(_SHADES) - 1) / max(row)
        cells = (_SHADES[round(weight * steps)] * 2 for weight in row)
        lines.append(f"{_short(piece)} " + " ".join(cells))
    return lines


def _short(piece: str) -> str:
    return "⏹" if piece == "</s>" else piece[:1]


def _save_figure(run: Run, word: str, out: Path) -> Path:
    path = out / "alignment.html"
    figure = run.alignment(word, Decoding(beam=BEAM)).figure()
    figure.update_layout(title=f"Which letters of “{word}” each sound was read from")
    write_text(path, figure.to_html(include_plotlyjs=True))
    return path


def _next(out: Path, figure: Path) -> str:
    run = quote(str(out))
    return f"""The model is in {out}, the figure in {figure}. What to try next:

  regard predict {run} your words here
  regard verify {run}                       # proves caches, masks and saving on this very model
  regard demo --budget 30m                  # gets more words right
  regard train translation pinyin --out runs/pinyin --budget 5m
  regard train translation pairs.tsv --out runs/mine --budget 20m     # your own two-column file
"""
