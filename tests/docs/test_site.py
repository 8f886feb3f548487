"""The site of both languages: built without a warning, with all that it needs inside; every link leads
somewhere, and in a real browser nothing is missing, cut off, fetched from elsewhere or hard to read."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from browsing import Watched
from maker.pages import DOCS

import regard

SIZES = {"laptop": (1280, 800), "phone": (390, 844)}
WATCHED = [
    ("tour/attention.html", "laptop", "light"),
    ("zh/tour/order.html", "laptop", "dark"),
    ("zh/viewers.html", "phone", "dark"),
]
CUT = """() => [...document.querySelectorAll("figure, .plot, table, pre, iframe, img")].filter((one) => {
  const box = one.getBoundingClientRect();
  for (let up = one; up; up = up.parentElement)
    if (["auto", "scroll"].includes(getComputedStyle(up).overflowX)) return false;
  return box.width && box.right > innerWidth + 1;
}).map((one) => one.outerHTML.slice(0, 80))"""


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


class Linked(HTMLParser):
    """What a page links to and shows, and the places in it that can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links, self.places = list[str](), {"", "__comments"}
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.links += [given[name] or "" for name in ("href", "src") if given.get(name)]
        self.places |= {given[name] or "" for name in ("id", "name") if given.get(name)}


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


@pytest.mark.slow
def test_every_link_of_the_site_leads_to_a_page_and_a_place(built: Path) -> None:
    pages = {path.resolve(): Linked(path) for path in built.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 60
    lost = []
    for path, page in pages.items():
        for link in page.links:
            to = urlsplit(link)
            if to.scheme or to.netloc or "${" in link:
                continue
            there = (path.parent / unquote(to.path)).resolve() if to.path else path
            place = unquote(to.fragment)
            found = there.is_file() and (there not in pages or place in pages[there].places)
            lost += [] if found else [f"{path.relative_to(built)}: {link}"]
    assert not lost


def opened(browser: Any, address: str, size: str, scheme: str) -> Watched:
    """A page that has been read to its end, and what it asked for elsewhere."""
    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    watched = Watched(page)
    own = ("file:", "data:", "blob:", "about:")
    page.on("request", lambda one: one.url.startswith(own) or watched.complaints.append(f"asks {one.url}"))
    page.goto(address)
    for figure in page.locator("figure.drawing").all():
        figure.scroll_into_view_if_needed()
        figure.locator("svg.main-svg").first.wait_for()
    return watched


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size", "scheme"), WATCHED)
def test_a_page_of_the_site_is_whole_and_can_be_read_by_all(
    built: Path, browser: Any, name: str, size: str, scheme: str
) -> None:
    watched = opened(browser, (built / name).as_uri(), size, scheme)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(CUT) == []
    assert not watched.complaints  # axe would fetch style sheets, which files may not
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, options={"preload": False}).response["violations"]
    bad = [(one["id"], [node["html"][:160] for node in one["nodes"][:3]]) for one in found
           if one["impact"] in ("serious", "critical")]  # fmt: skip
    assert not bad
    page.close()


@pytest.mark.slow
def test_the_search_finds_words_on_pages_opened_as_files(built: Path, browser: Any) -> None:
    watched = opened(browser, (built / "zh" / "index.html").as_uri(), "laptop", "light")
    page = watched.page
    page.locator("input[name=query]").click()
    page.keyboard.type("困惑度")
    page.keyboard.press("Shift")  # what an input method writes comes without keys
    page.locator(".md-search-result__link").first.wait_for()
    assert not watched.complaints
    page.close()


@pytest.mark.parametrize("name", ["reference.md", "reference.zh.md"])
def test_every_public_name_is_in_the_reference(name):
    text = (DOCS / name).read_text("utf-8")
    missing = [one for one in regard.__all__ if one != "__version__" and f"::: regard.{one}\n" not in text]
    assert not missing


def rows(name: str) -> list[list[str]]:
    """The marks of each row of the table of viewers, without its words."""
    lines = [line for line in (DOCS / name).read_text("utf-8").splitlines() if line.startswith("| ")]
    return [re.findall(r"[✓✗◐]", line) for line in lines]


def test_the_viewers_are_judged_alike_in_both_languages():
    assert rows("viewers.md") == rows("viewers.zh.md")
    assert sum(len(row) == 4 for row in rows("viewers.md")) > 15
