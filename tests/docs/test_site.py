"""The site of both languages: built without a warning, and with all that it needs inside."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from maker.pages import DOCS

import regard


class Fetched(HTMLParser):
    """What a browser fetches by itself when it opens a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag in ("script", "img", "iframe") and given.get("src"):
            self.addresses.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preconnect", "preload"):
            self.addresses.append(given["href"])


@pytest.mark.slow
def test_the_site_fetches_nothing_from_elsewhere(built):
    pages = [path for path in built.rglob("*.html") if path.parent.name != "examples"]
    assert len(pages) > 20
    for path in pages:
        reader = Fetched()
        reader.feed(path.read_text("utf-8"))
        foreign = [address for address in reader.addresses if re.match(r"(https?:)?//", address)]
        assert not foreign, f"{path.relative_to(built)}: {foreign}"


@pytest.mark.slow
def test_each_language_finds_its_own_words(built):
    for folder, word in ((built, "cross-attention"), (built / "zh", "注意力")):
        index = json.loads((folder / "search" / "search_index.json").read_text("utf-8"))
        assert any(word in entry["text"].replace("\u200b", "") for entry in index["docs"]), word


@pytest.mark.slow
def test_every_page_has_its_twin(built):
    def pages(folder: Path) -> set[str]:
        return {str(path.relative_to(folder)) for path in folder.rglob("*.html") if path.name != "404.html"}

    chinese = pages(built / "zh")
    assert {name for name in pages(built) if not name.startswith("zh/")} == chinese
    for name, twin in (("tour/gpt.html", "../zh/tour/gpt.html"), ("zh/tour/gpt.html", "../../tour/gpt.html")):
        assert f'href="{twin}"' in (built / name).read_text("utf-8"), name
        assert (built / name).parent.joinpath(twin).resolve().is_file()


@pytest.mark.parametrize("name", ["reference.md", "reference.zh.md"])
def test_every_public_name_is_in_the_reference(name):
    text = (DOCS / name).read_text("utf-8")
    missing = [
        one
        for one in regard.__all__
        if one not in ("__version__", "train") and f"::: regard.{one}\n" not in text
    ]
    assert not missing
    assert "<!-- train -->" in text


def rows(name: str) -> list[list[str]]:
    """The marks of each row of the table of viewers, without its words."""
    lines = [line for line in (DOCS / name).read_text("utf-8").splitlines() if line.startswith("| ")]
    return [re.findall(r"[✓✗◐]", line) for line in lines]


def test_the_viewers_are_judged_alike_in_both_languages():
    assert rows("viewers.md") == rows("viewers.zh.md")
    assert sum(len(row) == 4 for row in rows("viewers.md")) > 15
