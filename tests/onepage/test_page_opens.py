"""The page as a reader has it: opened as a file, in both languages and at two widths, without a complaint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regard.onepage import export_page
from regard.run import Run
from tests.onepage.made import run_of, task_of

SIZES = {"laptop": (1280, 800), "phone": (390, 844)}
HOSTILE = "<img src=x onerror=alert(1)></script><b>$title"
END = 3


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    options = {"translation": {"never": (END,)}}
    names = ("translation", "text-generation", "text-classification", "image-classification")
    return {name: run_of(task_of(name, **options.get(name, {})), folder) for name in names}


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens the page of a run from its file; nothing may be fetched, and nobody may complain."""
    complaints: list[str] = []
    contexts = []

    def opens(run: Run, size: str = "laptop", **context: Any) -> Any:
        width, height = SIZES[size]
        export_page(run, tmp_path / "page.html", title=HOSTILE, examples=["the cat", HOSTILE])
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **context))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text))
        page.on("dialog", lambda dialog: complaints.append("a dialog"))
        page.on(
            "request", lambda asked: complaints.append(asked.url) if asked.url.startswith("http") else None
        )
        page.goto((tmp_path / "page.html").as_uri())
        settle(page)
        return page

    yield opens
    for context in contexts:
        context.close()
    assert not complaints


def settle(page: Any) -> None:
    page.wait_for_selector("main[data-settled=true]", timeout=60_000)


@pytest.mark.parametrize("size", SIZES)
def test_every_task_opens_in_both_languages_and_nothing_sticks_out(opened, runs, size):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    for name, run in runs.items():
        page = opened(run, size, color_scheme="dark" if size == "phone" else "light")
        assert page.inner_text("h1") == HOSTILE
        for word in ("What it attends to", "注意力在哪里"):
            assert word in page.inner_text("main")
            assert page.evaluate("document.documentElement.scrollWidth") == SIZES[size][0], name
            assert page.locator("canvas.heat").count() == 3
            page.click("#lang")
        if name.startswith("text"):  # which have nothing that the others have not
            continue
        found = axe.Axe().run(page).response["violations"]
        assert not [one["id"] for one in found if one["impact"] in ("serious", "critical")], name
        page.close()


def test_what_is_typed_changes_the_answer_to_that_of_the_library(opened, runs):
    run = runs["translation"]
    page = opened(run)
    for text in ("a dog", "猫", HOSTILE, ""):
        page.fill("textarea", text)
        settle(page)
        assert page.inner_text(".answer strong") == (run.predict([text])[0].plain() or "(nothing)")
    page.click(".example >> nth=1")
    settle(page)
    assert page.input_value("textarea") == HOSTILE


def test_another_token_is_taken_and_let_go(opened, runs):
    page = opened(runs["translation"])
    before = page.inner_text(".answer strong")
    other = page.locator(".choice-column").nth(1).locator("button").nth(1)
    token = other.locator(".choice-token").inner_text()
    other.click()
    assert page.inner_text(".answer strong")[1] == token.replace("·", " ")
    page.click(".answer button")
    assert page.inner_text(".answer strong") == before


def test_a_cell_tells_its_weight_and_a_token_what_it_looks_at(opened, runs):
    run = runs["translation"]
    page = opened(run)
    page.fill("textarea", "a dog")
    settle(page)
    page.locator("canvas.heat").first.focus()
    page.keyboard.press("ArrowRight")
    weight = run.trace("a dog")["decoder.blocks.0.cross.weights"].value[0, 0, 1]
    said = page.inner_text(".readout-line")
    assert said.startswith("head 1: ‘<s>’ attends to ‘·’ with weight")
    assert abs(float(said.split()[-1]) - float(weight)) < 0.006
    page.locator(".tokens-box button").first.click()
    assert page.locator(".tokens-box button[aria-pressed=true]").count() == 1


def test_draws_are_the_same_for_a_seed_and_follow_the_temperature(opened, runs):
    page = opened(runs["text-generation"])
    page.fill("textarea", "the ")
    settle(page)
    greedy = page.inner_text(".answer strong")
    page.check("input[type=checkbox]")
    first = page.inner_text(".answer strong")
    assert first != greedy
    page.click("text=Sample again")
    assert page.inner_text(".answer strong") != first
    page.uncheck("input[type=checkbox]")
    assert page.inner_text(".answer strong") == greedy


def test_a_drawing_is_judged_and_its_patches_can_be_chosen(opened, runs):
    page = opened(runs["image-classification"])
    before = page.inner_text(".likely")
    box = page.locator("canvas.pad").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 20, box["y"] + 200)
    page.mouse.up()
    page.wait_for_timeout(300)
    assert page.inner_text(".likely") != before
    page.locator(".tokens-box button").nth(3).click()
    assert page.locator("canvas.patches").count() == 1


def test_the_browser_runs_no_script_but_the_pages_own_and_fetches_nothing(browser, runs, tmp_path):
    export_page(runs["translation"], tmp_path / "page.html")
    context = browser.new_context()
    page = context.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    settle(page)
    held = page.evaluate("""async () => {
        const held = [];
        addEventListener('securitypolicyviolation', (event) => held.push(event.effectiveDirective));
        const script = document.createElement('script');
        script.textContent = 'window.broken = true';
        document.body.append(script);
        await fetch('http://127.0.0.1:9/').catch(() => null);
        await new Promise((done) => setTimeout(done, 50));
        return [window.broken ?? false, ...held.sort()];
    }""")
    assert held == [False, "connect-src", "script-src-elem"]
    context.close()


def test_the_models_own_source_can_be_read_on_the_page(opened, runs):
    page = opened(runs["translation"])
    page.click("summary >> nth=0")
    source = page.inner_text("pre >> nth=0")
    assert "class EncoderDecoder" in source
    assert len(source.splitlines()) < 320
