"""Every analysis in the explorer in a real browser, and what is taken away from there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.serve.exploring import TASKS, WRITES, choose, expect, needs_browser, settle, type_in

pytestmark = needs_browser


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
