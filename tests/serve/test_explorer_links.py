"""The explorer's links, course, languages and widths in a real browser; axe finds nothing serious."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest

from tests.serve.exploring import SIZES, WRITES, choose, expect, needs_browser, settle, shown_answer, type_in

pytestmark = needs_browser


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


def test_a_link_of_nonsense_opens_the_page_without_it(page: Any, address: str) -> None:
    settle(page)
    page.goto(
        f"{address}?lang=en#('model':'{WRITES}','temperature':'a','heads_off':[1],'beam':0.5,'forced':['x'])"
    )
    settle(page)
    expect(page.locator("canvas.heat").first).to_be_visible()
    assert page.locator("#status").inner_text() == ""


# ---------------------------------------------------------------------- without a server


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
