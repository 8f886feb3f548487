"""The explorer in a real browser: each page opened, typed into, stepped, changed, in both languages and at
two widths, with no complaint on the console and no serious finding of axe."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from browsing import Watched, ask, browser_path, served

if os.environ.get("CI"):
    assert browser_path(), "CI needs Chromium: apt-get install chromium"
    import playwright.sync_api as playwright
else:
    playwright = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
pytestmark = pytest.mark.skipif(browser_path() is None, reason="there is no Chromium")

TASKS = [
    "translation", "text-generation", "text-classification", "fill-mask", "question-answering",
    "sentence-similarity", "image-classification",
]  # fmt: skip
WRITES = "translation"
SIZES = {"laptop": (1280, 800), "phone": (390, 844)}


@pytest.fixture(scope="module")
def address(app: Any) -> Iterator[str]:
    with served(app) as where:
        yield where


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A page that must not complain."""
    width, height = SIZES["laptop"]
    context = browser.new_context(viewport={"width": width, "height": height}, locale="en-GB")
    watched = Watched(context.new_page())
    watched.page.goto(address)
    yield watched.page
    context.close()
    assert not watched.complaints


def expect(thing: Any) -> Any:
    playwright.expect.set_options(timeout=20_000)  # the machine may be busy
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


# ---------------------------------------------------------------------- what is shown


def test_every_task_opens_with_an_answer_a_figure_and_numbers(page: Any) -> None:
    for task in TASKS:
        choose(page, task)
        assert shown_answer(page), task
        assert page.locator(".over").count() >= 8, task
        expect(page.locator("canvas.heat").first).to_be_visible()
        for box in ("Embedding", "Feed-forward", "Prediction"):
            page.locator(f".over[aria-label*='{box}']").last.click()
            settle(page)
            assert page.locator("canvas.heat").first.evaluate("canvas => canvas.width") > 20, (task, box)


def test_what_is_typed_is_answered_as_the_server_answers(page: Any, address: str) -> None:
    choose(page, WRITES)
    for text in ("abc", "abcdef", ""):
        type_in(page, text)
        assert shown_answer(page) == (answer_to(address, text)["original"]["answer"] or "(nothing)")


def test_an_answer_that_was_overtaken_is_never_shown(page: Any, address: str) -> None:
    """Replies about `a` are kept back until those about `fed` have come."""
    choose(page, WRITES)
    page.evaluate("""() => {
        const real = window.fetch;
        window.seen = [];
        window.fetch = async (path, options) => {
          const slow = options?.body?.includes('"text":"a"');
          if (slow) await new Promise((done) => setTimeout(done, 700));
          return real(path, options);
        };
        new MutationObserver(() => window.seen.push(document.querySelector('.answer-text span')?.textContent))
          .observe(document.querySelector('#answer'), { childList: true, subtree: true });
    }""")
    area = page.locator("textarea")
    area.fill("a")
    page.wait_for_timeout(150)
    area.fill("fed")
    settle(page)
    late, last = (answer_to(address, text)["original"]["answer"] or "(nothing)" for text in ("a", "fed"))
    assert shown_answer(page) == last
    assert late == last or late not in page.evaluate("window.seen")


def test_a_number_shows_its_sum_and_leads_on(page: Any, address: str) -> None:
    choose(page, WRITES)
    type_in(page, "abc")
    page.locator(".over[data-key^='decoder.blocks.0.cross.']").click()
    page.locator(".point", has_text="scaled").click()
    settle(page)
    page.locator("canvas.heat").first.focus()  # the keyboard alone
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    part = "decoder.blocks.0.cross.scores"
    expect(page.locator(".card-name")).to_have_text(f"{part}[0, 1, 1]")
    state = {"model": WRITES, "input": {"kind": "text", "text": "abc"}}
    found = ask(address, "api/number", {"state": state, "part": part, "index": [0, 1, 1]})
    assert page.locator(".card tbody tr").count() == len(found["terms"])
    value = float(page.locator(".card-value").inner_text().replace("−", "-"))
    assert value == pytest.approx(found["value"], rel=1e-5)
    page.locator(".factor").first.click()
    expect(page.locator(".card-name")).not_to_contain_text("scores")
    page.get_by_role("button", name="Back").click()
    expect(page.locator(".card-name")).to_have_text(f"{part}[0, 1, 1]")


def test_a_token_shows_what_it_looks_at(page: Any) -> None:
    choose(page, "text-classification")
    page.locator(".over[data-key^='stack.blocks.0.attention.']").click()
    settle(page)
    chips = page.locator(".looks button.chip")
    chips.nth(1).hover()
    said = page.locator(".looks .readout-line")
    expect(said).to_contain_text(f"‘{chips.nth(1).inner_text()}’ looks at")
    before = said.inner_text()
    chips.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert said.inner_text() != before


def test_a_map_has_its_numbers_as_a_table(page: Any) -> None:
    choose(page, WRITES)
    page.locator(".as-table summary").click()
    row = page.locator(".as-table tbody tr").first.locator("td").all_inner_texts()
    assert sum(map(float, row)) == pytest.approx(1, abs=1e-3)


# ---------------------------------------------------------------------- writing


def test_a_text_is_written_token_by_token(page: Any, address: str) -> None:
    choose(page, WRITES)
    type_in(page, "abc")
    page.locator("#tab-writing").click()
    settle(page)
    for count in (1, 2):
        page.locator("[data-focus=take]").click()
        expect(page.locator(".written")).to_have_count(count)
    assert page.locator("[data-focus=take]").evaluate("one => one === document.activeElement")
    page.locator("[data-focus=undo]").click()
    expect(page.locator(".written")).to_have_count(1)
    other = page.locator(".next-list button").nth(2)
    name = other.locator(".choice-token").inner_text()
    other.click()
    expect(page.locator(".written.other .written-token").last).to_have_text(name)
    page.locator("[data-focus=end]").click()
    expect(page.locator(".written").nth(2)).to_be_visible()
    page.get_by_role("button", name="From the start").click()
    expect(page.locator(".written")).to_have_count(0)


def test_any_token_can_be_forced_by_its_name(page: Any, address: str) -> None:
    choose(page, WRITES)
    page.locator("#tab-writing").click()
    settle(page)
    page.locator("[data-focus=another]").fill("f")
    page.get_by_role("button", name="Force it").click()
    expect(page.locator(".written .written-token")).to_have_text("f")
    page.locator("[data-focus=another]").fill("no such token")
    page.get_by_role("button", name="Force it").click()
    expect(page.locator("#writing [role=status]")).to_contain_text("no such token")


def test_the_beam_is_a_tree_whose_nodes_go_on(page: Any, address: str) -> None:
    choose(page, WRITES)
    type_in(page, "abc")
    page.locator("#tab-beam").click()
    page.locator("#beam input").fill("3")
    page.keyboard.press("Enter")
    expect(page.locator(".node.on").first).to_be_visible()
    state = {"model": WRITES, "input": {"kind": "text", "text": "abc"}, "beam": 3}
    found = ask(address, "api/beam", state)["original"]
    kept = sum(node["total"] is not None for step in found["steps"] for node in step)
    assert page.locator(".node").count() == kept
    assert page.locator(".node.on").count() == len(found["path"])
    page.locator(".node").nth(3).click()
    expect(page.locator("#answer")).to_contain_text("The output begins with what you chose")


# ---------------------------------------------------------------------- changes


def test_each_change_stands_beside_the_original(page: Any) -> None:
    choose(page, WRITES)
    type_in(page, "abcde")
    both = page.locator(".side-by-side")
    side = page.locator("#changes")

    def undo() -> None:
        expect(both).to_be_visible()
        page.get_by_role("button", name="Undo all").click()
        expect(both).to_have_count(0)

    side.locator("summary", has_text="Heads").click()
    head = page.locator(".head-box").first
    head.click()
    expect(page.locator(".head-box[aria-pressed=true]")).to_have_count(1)
    undo()
    slider = side.locator("input[type=range]")
    slider.focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    assert slider.evaluate("one => one === document.activeElement")
    undo()
    side.get_by_label("Shuffle the positions").check()
    expect(page.locator("#answer")).to_contain_text("each token is told another position")
    undo()
    side.locator("summary", has_text="Edit a weight").click()
    side.get_by_label("Place").fill("0, 1000000")
    side.get_by_role("button", name="Set").click()
    expect(side.locator("form [role=status]")).to_contain_text("The place must be")
    side.get_by_label("Place").fill("0, 0")
    side.get_by_label("Value").fill("3.5")
    side.get_by_role("button", name="Set").click()
    expect(side.locator(".applied")).to_contain_text("= 3.5")
    undo()


def test_the_difference_of_a_change_can_be_looked_at(page: Any) -> None:
    choose(page, WRITES)
    page.locator(".map-top button").first.click()
    expect(page.locator(".map.is-off")).to_have_count(1)
    settle(page)
    for side in ("original", "difference", "changed"):
        page.get_by_role("button", name=side, exact=True).click()
        assert page.get_by_role("button", name=side, exact=True).get_attribute("aria-pressed") == "true"
        assert page.locator("canvas.heat").count() >= 1


# ---------------------------------------------------------------------- pictures


def test_a_picture_is_drawn_or_opened(page: Any, tmp_path: Path) -> None:
    choose(page, "image-classification")
    pad = page.locator("canvas.pad")
    page.get_by_role("button", name="Clear").click()
    box = pad.bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 120, steps=4)
    page.mouse.up()
    settle(page)
    drawn = page.url
    pad.focus()
    for key in ("Space", "ArrowDown", "ArrowDown", "Space"):
        page.keyboard.press(key)
    settle(page)
    page.wait_for_url(lambda url: url != drawn)
    page.set_input_files("#file", {"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"})
    expect(page.locator("#status")).to_contain_text("is no picture")
    pad.screenshot(path=tmp_path / "some.png")
    page.set_input_files("#file", tmp_path / "some.png")
    settle(page)
    assert page.locator(".choice").count() >= 2
    page.locator(".patch").first.hover()
    expect(page.locator(".looks .readout-line")).to_contain_text("looks at")


# ---------------------------------------------------------------------- the course


def test_an_example_of_the_course_is_changed(page: Any) -> None:
    page.locator("#to-course").click()
    lessons = page.locator(".lesson")
    expect(lessons.nth(17)).to_be_visible()
    lessons.filter(has_text="Attention by hand").click()
    expect(page.locator(".course-page h1")).to_have_text("Attention by hand")
    steps = page.locator(".course-steps")
    before = steps.inner_text()
    field = page.locator(".try input")
    given = field.input_value()
    field.fill(given.replace("1", "3", 1))
    expect(steps).not_to_have_text(before, use_inner_text=True)
    assert field.evaluate("one => one === document.activeElement")
    page.get_by_role("button", name="As it was").click()
    expect(steps).to_have_text(before, use_inner_text=True)
    page.locator(".numbers tbody td").first.hover()
    expect(page.locator(".readout").first).not_to_be_empty()
    page.get_by_role("button", name=re.compile("^Next: ")).click()
    expect(page.locator(".course-page h1")).not_to_have_text("Attention by hand")
    page.go_back()
    expect(page.locator(".course-page h1")).to_have_text("Attention by hand")


def test_a_figure_of_the_course_is_drawn(page: Any) -> None:
    page.locator("#to-course").click()
    page.locator(".lesson").filter(has_text="Why divide by").click()
    expect(page.locator(".plot svg.main-svg").first).to_be_visible()


# ---------------------------------------------------------------------- links, languages, widths


def test_a_link_brings_back_the_state(page: Any, browser: Any) -> None:
    choose(page, WRITES)
    type_in(page, "ab'(c)[d]<e>")
    page.locator(".over[data-key^='encoder.blocks.0.attention.']").click()
    page.get_by_role("button", name="head 1", exact=True).click()
    page.locator(".map-top button").first.click()
    settle(page)
    page.get_by_role("button", name="Copy link").click()
    link, answer = page.url, page.locator("#answer").inner_text()
    again = browser.new_page()
    again.goto(link)
    expect(again.locator(".side-by-side")).to_be_visible()
    settle(again)
    assert again.locator("textarea").input_value() == "ab'(c)[d]<e>"
    assert again.locator("#answer").inner_text() == answer
    assert again.locator(".made code").inner_text() == page.locator(".made code").inner_text()
    assert again.locator(".applied li").count() == 1
    again.close()


def test_a_broken_link_opens_the_page_as_if_there_were_none(page: Any, address: str) -> None:
    for junk in ("#%", "#{", "#('model':7)", "#('model':'x','input':[],'view':3)", "#null"):
        page.goto("about:blank")
        page.goto(address + junk)
        settle(page)
        assert shown_answer(page), junk


def test_foreign_text_is_never_markup(page: Any, address: str) -> None:
    choose(page, WRITES)
    evil = "<img src=x onerror=window.hit=1><script>window.hit=1</script>"
    type_in(page, evil)
    given = f"('kind':'text','text':'{quote(evil)}')"
    page.goto(f"{address}#('model':'{WRITES}','input':{given},'view':('course':'{quote(evil)}'))")
    settle(page)
    assert page.evaluate("window.hit") is None
    assert page.locator("main img, main script").count() == 0


def test_the_whole_page_speaks_chinese(page: Any) -> None:
    texts = page.evaluate("import('/assets/texts.js').then((module) => module.TEXTS)")
    for key, pair in texts.items():
        assert len(pair) == 2, key
        assert sorted(re.findall(r"\{\d\}", pair[0])) == sorted(re.findall(r"\{\d\}", pair[1])), key
    choose(page, WRITES)
    page.locator("#lang").click()
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    for selector in ("#to-explore", "#tab-inside", "#changes summary", ".open-title h2", ".card h3"):
        assert re.search("[一-鿿]", page.locator(selector).first.inner_text()), selector
    page.locator("#to-course").click()
    expect(page.locator(".course-page h1")).to_contain_text(re.compile("[一-鿿]"))
    page.reload()
    assert page.locator("html").get_attribute("lang") == "zh-CN"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_nothing_is_cut_off_at_the_side(page: Any, lang: str) -> None:
    choose(page, WRITES)
    if lang == "zh":
        page.locator("#lang").click()
    page.locator(".map-top button").first.click()
    for step in ("#tab-inside", "#tab-writing", "#tab-beam", "#tab-analyses", "#to-course"):
        page.locator(step).click()
        settle(page)
        for width, height in SIZES.values():
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, step


def test_light_and_dark_follow_the_system_and_the_button(page: Any) -> None:
    choose(page, WRITES)
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(paper)
    assert light != dark
    page.locator("#theme").click()
    assert page.evaluate(paper) == light


@pytest.mark.parametrize(("size", "scheme", "lang"), [("laptop", "light", "en"), ("phone", "dark", "zh")])
def test_axe_finds_nothing_serious(page: Any, size: str, scheme: str, lang: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    choose(page, WRITES)
    if lang == "zh":
        page.locator("#lang").click()
    page.locator(".map-top button").first.click()
    for summary in page.locator("#changes summary").all():
        summary.click()
    settle(page)
    page.locator("canvas.heat").first.click()
    expect(page.locator(".card tbody")).to_be_visible()
    for step in ("#tab-inside", "#tab-writing", "#tab-beam", "#tab-analyses", "#to-course"):
        page.locator(step).click()
        settle(page)
        if step == "#tab-beam":
            page.locator("#beam input").fill("3")
            page.keyboard.press("Enter")
            expect(page.locator(".node").first).to_be_visible()
        found = axe.run(page).response["violations"]
        bad = [(one["id"], [node["html"][:160] for node in one["nodes"][:3]]) for one in found
               if one["impact"] in ("serious", "critical")]  # fmt: skip
        assert not bad, step


# ---------------------------------------------------------------------- taking away


def test_figure_numbers_and_report_can_be_taken_away(page: Any, tmp_path: Path) -> None:
    choose(page, WRITES)
    begins = {"html": b"<!doctype html>", "json": b'{"format":', "png": b"\x89PNG", "svg": b"<svg"}
    items = page.locator(".menu-items button")
    for index, (kind, begin) in enumerate(begins.items()):
        page.locator("#save summary").click()
        with page.expect_download() as waiting:
            items.nth(index).click()
        assert waiting.value.suggested_filename.endswith(f".{kind}")
        waiting.value.save_as(tmp_path / kind)
        assert (tmp_path / kind).read_bytes().startswith(begin)


def test_the_page_says_when_the_server_is_gone(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    choose(page, WRITES)
    page.route("**/api/**", lambda route: route.abort())
    page.locator("textarea").fill("gone")
    expect(page.locator("#status")).to_contain_text("The server does not answer")
    page.unroute("**/api/**")
    type_in(page, "back")
    expect(page.locator("#status")).to_be_empty()
    page.close()


# ---------------------------------------------------------------------- analyses


@pytest.mark.parametrize("task", TASKS)
def test_every_analysis_of_every_task_is_drawn(page: Any, task: str) -> None:
    pytest.importorskip("captum")
    choose(page, task)
    page.locator("#tab-analyses").click()
    settle(page)
    methods = page.locator(".methods button")
    for index in range(methods.count()):
        methods.nth(index).click()
        expect(methods.nth(index)).to_have_attribute("aria-pressed", "true")
        settle(page)
        if page.locator("#analyses input").count():
            expect(page.locator("#analyses [role=status]")).to_be_visible()
        else:
            expect(page.locator("#analyses .main-svg").first).to_be_visible()


def test_an_analysis_follows_the_input_the_changes_and_the_language_and_is_in_the_link(
    page: Any, address: str
) -> None:
    choose(page, WRITES)
    page.locator("#tab-analyses").click()
    page.get_by_role("button", name="Logit lens").click()
    settle(page)
    expect(page.locator("#analyses .plot")).to_have_count(1)
    page.locator("#changes input[type=checkbox]").first.check()
    settle(page)
    expect(page.locator("#analyses .plot")).to_have_count(2)
    page.locator("#lang").click()
    settle(page)
    expect(page.locator("#analyses figcaption").first).to_contain_text("logit 透镜")
    page.wait_for_timeout(400)  # the address is written when nothing moves
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator("#analyses .plot")).to_have_count(2)
    assert "lens" in link


@pytest.mark.parametrize(("kind", "begin"), [("PNG", b"\x89PNG"), ("SVG", b"<svg")])
def test_an_analysis_can_be_taken_away(page: Any, tmp_path: Path, kind: str, begin: bytes) -> None:
    choose(page, WRITES)
    page.locator("#tab-analyses").click()
    expect(page.locator("#analyses .main-svg").first).to_be_visible()
    page.locator("#save summary").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name=f"This figure, {kind}").click()
    assert waiting.value.suggested_filename == f"regard-{WRITES}-alignment.{kind.lower()}"
    waiting.value.save_as(tmp_path / kind)
    assert (tmp_path / kind).read_bytes().startswith(begin)


def test_a_second_input_is_asked_for_and_compared(page: Any) -> None:
    choose(page, WRITES)
    type_in(page, "dcba")
    page.locator("#tab-analyses").click()
    page.get_by_role("button", name="Activation patching").click()
    settle(page)
    field = page.locator("#analyses input")
    field.fill("a b c d e f")
    expect(page.locator("#analyses [role=status]")).to_contain_text("equally many")
    for other in ("abcd", "dcab", "acbd", "bcda"):
        field.fill(other)
        page.wait_for_timeout(400)
        settle(page)
        if page.locator("#analyses .main-svg").count():
            break
    expect(page.locator("#analyses .main-svg").first).to_be_visible()
    expect(field).to_be_focused()


def test_what_a_course_page_cannot_take_is_told_in_the_readers_language_and_never_sent(
    page: Any, address: str
) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.goto(f"{address}?lang=zh{LINK_TO_COURSE}")
    settle(page)
    field = page.locator(".try input[type=number]").first
    expect(field).to_be_visible()
    most = int(field.get_attribute("max"))
    sent.clear()
    for wrong in (str(most + 1), "", "1.5"):
        field.fill(wrong)
        expect(page.locator(".refused").first).to_contain_text("请输入")
        expect(field).to_have_attribute("aria-invalid", "true")
    page.wait_for_timeout(400)
    assert not any("/api/course/" in url for url in sent)
    field.fill(str(most))
    expect(page.locator(".refused").first).to_be_empty()
    settle(page)


LINK_TO_COURSE = "#('view':('mode':'course','course':'multi-head','given':('tokens':999,'nonsense':1)))"


def test_a_link_of_nonsense_opens_the_page_without_it(page: Any, address: str) -> None:
    settle(page)
    page.goto(
        f"{address}?lang=en#('model':'{WRITES}','temperature':'a','heads_off':[1],'beam':0.5,'forced':['x'])"
    )
    settle(page)
    expect(page.locator("canvas.heat").first).to_be_visible()
    assert page.locator("#status").inner_text() == ""


def test_the_page_goes_on_when_the_server_is_back(page: Any) -> None:
    choose(page, WRITES)
    page.evaluate(
        "() => { window.real = fetch; window.fetch = () => Promise.reject(new TypeError('gone')); }"
    )
    page.locator("textarea").first.fill("abc")
    expect(page.locator("#status")).to_contain_text("does not answer")
    page.evaluate("() => { window.fetch = window.real; }")
    expect(page.locator("#status")).to_be_empty()
    settle(page)
    assert shown_answer(page)
