"""How tests use the explorer's page in a browser."""

from __future__ import annotations

import os
from typing import Any

import pytest
from browsing import ask, browser_path

if os.environ.get("CI"):
    assert browser_path(), "CI needs Chromium: apt-get install chromium"
    import playwright.sync_api as playwright
else:
    playwright = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
needs_browser = pytest.mark.skipif(browser_path() is None, reason="there is no Chromium")

TASKS = [
    "translation", "text-generation", "text-classification", "fill-mask", "question-answering",
    "sentence-similarity", "image-classification",
]  # fmt: skip
WRITES = "translation"
SIZES = {"laptop": (1280, 800), "phone": (390, 844)}


def expect(thing: Any) -> Any:
    playwright.expect.set_options(timeout=60_000)  # the machine may be busy
    return playwright.expect(thing)


def choose(page: Any, task: str) -> None:
    page.select_option("#model", task)
    expect(page.locator("#fact")).to_contain_text(task)
    expect(page.locator(".figure svg").first).to_be_visible()
    settle(page)


def settle(page: Any) -> None:
    """Wait until what is shown belongs to the state."""
    expect(page.locator("#main")).to_have_attribute("data-settled", "true")


def type_in(page: Any, text: str) -> None:
    page.locator("textarea").first.fill(text)
    settle(page)


def shown_answer(page: Any) -> str:
    return page.locator(".answer-text span").first.inner_text()


def answer_to(address: str, text: str, **changes: Any) -> Any:
    state = {"model": WRITES, "input": {"kind": "text", "text": text}, **changes}
    return ask(address, "api/predict", state)
