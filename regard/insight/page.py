"""One self-contained HTML page: no network, light and dark, English and Chinese, narrow and wide.

`page` puts a body into the shell of `assets/`; `both`, `grid` and `drawing` make pieces of a body. Plotly's
script goes inside only when a page has a figure. What a page is about, this file does not know.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from string import Template
from typing import Any

from regard.insight.plotting import plotly_script
from regard.insight.script import asset, scripts
from regard.insight.worked import LANGUAGES, Drawing, Label, Lang, Words

# Nothing may be fetched, whatever a page holds: the browser itself refuses.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:;"
    " base-uri 'none'; form-action 'none'"
)


def page(title: Words, body: str, *, figures: bool = False, lang: Lang = "en", script: str = "page") -> str:
    """The whole page around `body`, which holds markup already; `lang` is what it opens in.

    `figures`: whether `body` has any from `drawing`. `script`: the module that it runs, of `assets/`.
    """
    return Template(asset("page.html")).substitute(
        lang={"en": "en", "zh": "zh-CN"}[lang],
        choice=lang,
        policy=escape(_POLICY),
        title=escape(title.of(lang)),
        titles=as_json({"en": title.en, "zh": title.zh}),
        style=asset("page.css"),
        body=body,
        plotly=_plotly() if figures else "",
        script="".join(scripts(script).values()),
    )


def _plotly() -> str:
    """Plotly's script as text, which the page's own script runs when the page has been shown."""
    return f'<script type="text/plain" id="plotly">{plotly_script()}</script>'


def as_json(value: Any) -> str:
    """JSON that can stand inside a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def both(label: Label) -> str:
    """A text in both languages, of which the page shows one."""
    if isinstance(label, str):
        return escape(label)
    if label.en == label.zh:
        return escape(label.en)
    return "".join(f'<span class="{x}" lang="{x}">{escape(label.of(x))}</span>' for x in LANGUAGES)


def paragraphs(words: Words) -> str:
    """Each line of a text as a paragraph of its own."""
    lines = zip(words.en.split("\n"), words.zh.split("\n"), strict=True)
    return "".join(f"<p>{both(Words(en, zh))}</p>" for en, zh in lines if en or zh)


def grid(
    key: str,
    caption: str,
    head: Sequence[str],
    rows: Sequence[tuple[str, Sequence[str]]],
    *,
    attributes: str = "",
    readout: bool = True,
) -> str:
    """A table with a caption that scrolls by itself. `key`: an id that no other has on the page.

    `head`: markup of the column heads, the first of them over the row heads; none for no heads. `rows`:
    markup of a row's head, empty for none, and its cells, `<td>` included. With `readout`, what is pointed
    at or reached by the arrow keys is shown below in full.
    """
    top = ""
    if head:
        first, *others = head
        corner = f'<th scope="col" class="word">{first}</th>' if first else "<td></td>"
        named = any(name for name, _ in rows)
        wordy = [
            all('class="word' in cell for cell in column)
            for column in zip(*(cells for _, cells in rows), strict=True)
        ]
        cells = "".join(
            f'<th scope="col"{" class=word" if wide else ""}>{one}</th>'
            for one, wide in zip(others, wordy, strict=True)
        )
        top = f"<thead><tr>{corner if named else ''}{cells}</tr></thead>"
    lines = "".join(
        "<tr>" + (f'<th scope="row">{name}</th>' if name else "") + "".join(cells) + "</tr>"
        for name, cells in rows
    )
    below = '<p class="readout" aria-live="polite"></p>' if readout else ""
    return (
        f'<div class="grid"><div class="scroll" tabindex="0" role="group" aria-labelledby="{key}">'
        f'<table {attributes}><caption id="{key}">{caption}</caption>{top}<tbody>{lines}</tbody></table>'
        f"</div>{below}</div>"
    )


def drawing(key: str, figure: Drawing) -> str:
    """A figure with its name; the page's script draws it, in the language that is chosen."""
    plots = {lang: json.loads(figure.draw(lang).to_json()) for lang in LANGUAGES}
    return (
        f'<figure class="drawing"><div class="plot" role="img" aria-labelledby="{key}"></div>'
        f'<figcaption id="{key}">{both(figure.name)}</figcaption>'
        f'<script type="application/json">{as_json(plots)}</script></figure>'
    )
