"""The site: pages with what their code answers set into them, in each language a site of its own.

What the generator is given is plain Markdown and HTML, so that another generator can take its place. The
figures are Plotly's, whose script is in the site once; nothing is fetched from anywhere else.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html import escape
from pathlib import Path

from maker.execute import KEPT, Answer, answers
from maker.pages import DOCS, LANGUAGES, Page, Piece, read, suffix, tour

ROOT = DOCS.parent
STAGE = ROOT / "build" / "docs"
SITE = ROOT / "build" / "site"
_OTHER_PAGES = ("index", "usage", "examples", "onepage", "viewers", "reference", "benchmarks")
_OPEN = {"en": "Open it on a page of its own", "zh": "在单独的页面中打开"}


def build() -> Path:
    """Build both sites; any warning is an error. Returns the folder to open."""
    shutil.rmtree(STAGE, ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    for lang in LANGUAGES:
        stage(lang, STAGE / lang)
        config = DOCS / f"mkdocs.{lang}.yml"
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "-q",
            "-f",
            str(config),
        ]
        given = os.environ | {"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
        subprocess.run(command, check=True, env=given)  # of the project's own configuration
    return SITE


def stage(lang: str, folder: Path) -> None:
    """Everything that the generator needs of one language."""
    for page in tour(lang):
        write(folder / "tour" / f"{page.name}.md", made(page, answers(page), folder / "tour"))
    for name in _OTHER_PAGES:
        write(folder / f"{name}.md", links((DOCS / f"{name}{suffix(lang)}").read_text("utf-8")))
    for name in ("architecture.md", "configuration.md", "explorer-api.md", "extending.md", "values.md"):
        write(folder / name, (DOCS / name).read_text("utf-8"))
    examples(lang, folder)
    shutil.copytree(DOCS / "images", folder / "images")
    shutil.copytree(DOCS / "assets", folder / "assets")
    from plotly.offline import get_plotlyjs

    write(folder / "assets" / "plotly.js", get_plotlyjs())


def made(page: Page, found: list[Answer], folder: Path) -> str:
    """A page's Markdown with its figures; `folder`: where the pages that it speaks of go."""
    answer: Answer | None = None
    given = iter(found)
    parts: list[str] = []
    drawn = 0
    for piece in page.pieces:
        if piece.code:
            answer = next(given)
            parts.append(f"```{piece.kind}\n{piece.text}\n```")
        elif piece.kind == "output":
            assert answer is not None
            parts.append(f"```{{.text .output}}\n{answer.text}\n```")
        elif piece.kind == "figure":
            assert answer is not None
            assert answer.figure is not None, f"{page.path}:{piece.line}"
            drawn += 1
            parts.append(figure(answer.figure, piece.text, f"figure-{drawn}"))
        elif piece.kind == "file":
            assert answer is not None
            parts.append(_file(piece, answer, page, folder))
        else:
            parts.append(links(piece.text))
    if drawn:
        parts.append('<script src="../assets/plotly.js" defer></script>')
        parts.append('<script src="../assets/figures.js" defer></script>')
    return "\n".join(parts) + "\n"


def figure(drawn: dict[str, object], caption: str, key: str) -> str:
    """A figure that the site's script draws."""
    data = json.dumps(drawn, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'\n<figure class="drawing" role="group" aria-labelledby="{key}"><div class="plot"></div>'
        f'<script type="application/json">{data}</script>'
        f'<figcaption id="{key}">{escape(caption)}</figcaption></figure>\n'
    )


def _file(piece: Piece, answer: Answer, page: Page, folder: Path) -> str:
    name, _, caption = (part.strip() for part in piece.text.partition(":"))
    write(folder / f"{page.name}-{name}", answer.files[name])
    link = f"{page.name}-{name}"
    return (
        f'\n<figure class="page"><iframe src="{link}" title="{escape(caption)}" loading="lazy"></iframe>'
        f'<figcaption>{escape(caption)} <a href="{link}">{_OPEN[page.lang]}</a></figcaption></figure>\n'
    )


def examples(lang: str, folder: Path) -> None:
    """The worked examples, each a page of its own, and a list of them below `examples.md`."""
    from regard.insight.markup import worked_page
    from regard.recipes.explain import EXAMPLES

    lines = []
    for name, example in EXAMPLES.items():
        kept = {each: KEPT / f"example.{name}.{each}.html" for each in LANGUAGES}
        if any(not path.is_file() or path.stat().st_mtime < _newest() for path in kept.values()):
            worked = example.worked()  # which takes long, for all languages at once
            for each, path in kept.items():
                write(path, worked_page(worked, each))  # type: ignore[arg-type]
        write(folder / "examples" / f"{name}.html", kept[lang].read_text("utf-8"))
        title, text = example.title.of(lang), example.text.of(lang)  # type: ignore[arg-type]
        lines.append(f"- [{title}](examples/{name}.html): {text}\n  `regard explain {name}`")
    page = folder / "examples.md"
    write(page, page.read_text("utf-8").replace("<!-- examples -->", "\n".join(lines)))


def _newest() -> float:
    return max(path.stat().st_mtime for path in (ROOT / "regard").rglob("*") if path.is_file())


def links(text: str) -> str:
    """Links between the pages of a language, as they are in its own site."""
    return re.sub(r"\(([\w./-]+)\.zh\.md(#[\w-]+)?\)", r"(\1.md\2)", text)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def pages_of(lang: str) -> list[Page]:
    """All pages that hold code, of the tour and beside it."""
    return [*tour(lang), *(read(DOCS / f"{name}{suffix(lang)}") for name in _OTHER_PAGES)]
