"""What takes long, in a real browser: the page says how far it is, and it is given up with its reader."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from browsing import Watched, served

from regard.insight.progress import progressed
from regard.insight.worked import Computed, Example, Words
from regard.run import Run
from regard.serve.app import create_app
from tests.serve.exploring import expect, needs_browser

pytestmark = needs_browser
MODEL = "translation"


class Long:
    """A worked example that is half done until it is told to end, or given up."""

    def __init__(self) -> None:
        self.begun, self.end, self.given_up = threading.Event(), threading.Event(), threading.Event()

    def make(self) -> Computed:
        self.begun.set()
        try:
            while not self.end.wait(0.01):
                progressed(0.5)
        finally:
            if not self.end.is_set():
                self.given_up.set()
        return (), ()


@pytest.fixture
def long() -> Iterator[Long]:
    made = Long()
    yield made
    made.end.set()


@pytest.fixture
def address(runs: dict[str, Run], long: Long) -> Iterator[str]:
    course = {
        "quick": Example("quick", Words("Quick", "快"), Words("at once", "马上"), lambda: ((), ())),
        "long": Example("long", Words("Long", "慢"), Words("later", "稍后"), long.make),
    }
    with served(create_app({MODEL: runs[MODEL]}, course=course)) as where:
        yield where


@pytest.fixture
def page(browser: Any, address: str, long: Long) -> Iterator[Any]:
    """A page that must not complain, with the long example under way."""
    context = browser.new_context(locale="en-GB")
    watched = Watched(context.new_page())
    watched.page.goto(address)
    watched.page.locator("#to-course").click()
    expect(watched.page.locator(".course-page h1")).to_have_text("Quick")
    watched.page.get_by_role("button", name="Long", exact=True).click()
    assert long.begun.wait(20)
    yield watched.page
    context.close()
    assert not watched.complaints


def test_the_page_says_how_far_it_is_in_both_languages_and_shows_what_comes(page: Any, long: Long) -> None:
    bar = page.locator("progress")
    expect(bar).to_have_attribute("aria-label", "computing … 50 %")
    assert bar.evaluate("bar => bar.value") == 0.5
    page.locator("#lang").click()
    expect(page.locator(".course-progress")).to_have_text("计算中…… 50 %")
    long.end.set()
    expect(page.locator(".course-page h1")).to_have_text("慢")
    expect(bar).to_be_hidden()


def test_the_rest_of_the_page_goes_on_meanwhile(page: Any, long: Long) -> None:
    page.locator("#to-explore").click()
    page.locator("textarea").first.fill("abc")
    expect(page.locator(".answer-text span").first).to_be_visible()
    expect(page.locator("#main")).to_have_attribute("data-settled", "true")
    assert long.given_up.wait(20)  # nobody looks at it any more


def test_another_example_takes_its_place(page: Any, long: Long) -> None:
    page.get_by_role("button", name="Quick", exact=True).click()
    expect(page.locator(".course-page h1")).to_have_text("Quick")
    assert long.given_up.wait(20)
    expect(page.locator("progress")).to_be_hidden()


def test_it_is_given_up_when_the_page_goes_away(page: Any, long: Long) -> None:
    page.goto("about:blank")
    assert long.given_up.wait(20)


@pytest.mark.parametrize(("locale", "said"), [("en-GB", "NaN or infinite"), ("zh-CN", "NaN 或无穷大")])
def test_what_is_not_finite_is_said_in_the_readers_language(
    locale: str, said: str, browser: Any, address: str
) -> None:
    context = browser.new_context(locale=locale)
    page = context.new_page()
    body = '{"error": "the scores cannot be told: what the model computed is NaN or infinite"}'
    page.route("**/api/predict", lambda route: route.fulfill(status=409, body=body))
    page.goto(address)
    expect(page.locator("#status")).to_contain_text(said)
    context.close()


def test_the_course_is_open_before_the_models_are_known(browser: Any, address: str) -> None:
    context = browser.new_context(locale="en-GB")
    watched, held = Watched(context.new_page()), list[Any]()
    page = watched.page
    page.route("**/api/models", lambda route: held.append(route))
    page.goto(address)
    page.locator("#to-course").click()
    expect(page.locator(".course-page h1")).to_have_text("Quick")
    for there in ("#to-explore", "#tab-analyses", "#theme", "#to-course", "#lang"):
        page.locator(there).click()
    expect(page.locator(".course-page h1")).to_have_text("快")
    (route,) = held
    route.continue_()
    expect(page.locator("#model option")).to_have_count(1)
    expect(page.locator(".course-page h1")).to_have_text("快")  # where the reader is, the page stays
    page.locator("#to-explore").click()
    expect(page.locator("textarea").first).to_be_visible()
    expect(page.locator("#main")).to_have_attribute("data-settled", "true")
    context.close()
    assert not watched.complaints


def test_a_course_that_is_long_in_coming_says_so(browser: Any, address: str) -> None:
    context = browser.new_context(locale="en-GB")
    watched, held = Watched(context.new_page()), list[Any]()
    page = watched.page
    page.route("**/api/course", lambda route: held.append(route))
    page.goto(address)
    page.locator("#to-course").click()
    expect(page.locator(".course-progress")).to_have_text("computing … 0 %")
    expect(page.locator(".course-progress")).to_be_visible()
    held[0].continue_()
    expect(page.locator(".course-page h1")).to_have_text("Quick")
    expect(page.locator(".course-progress")).to_be_hidden()
    context.close()
    assert not watched.complaints
