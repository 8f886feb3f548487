"""The site's pages as readers meet them: every link leads somewhere, and in a real browser nothing is
missing, cut off, fetched from elsewhere or hard to read."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from browsing import Watched

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

pytestmark = pytest.mark.slow


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


def test_the_search_finds_words_on_pages_opened_as_files(built: Path, browser: Any) -> None:
    watched = opened(browser, (built / "zh" / "index.html").as_uri(), "laptop", "light")
    page = watched.page
    page.locator("input[name=query]").click()
    page.keyboard.type("困惑度")
    page.keyboard.press("Shift")  # what an input method writes comes without keys
    page.locator(".md-search-result__link").first.wait_for()
    assert not watched.complaints
    page.close()
