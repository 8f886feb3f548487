"""The explorer in a real browser: each page opened, typed into, stepped and changed, with no complaint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browsing import ask

from tests.serve.exploring import (
    TASKS,
    WRITES,
    answer_to,
    choose,
    expect,
    needs_browser,
    settle,
    shown_answer,
    type_in,
)

pytestmark = needs_browser


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
    expect(said).to_contain_text(f"‘{chips.nth(1).inner_text()}’ attends to")
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
    expect(page.locator("#answer")).to_contain_text("position ids of the tokens")
    undo()
    side.locator("summary", has_text="Edit a weight").click()
    side.get_by_label("Index").fill("0, 1000000")
    side.get_by_role("button", name="Set").click()
    expect(side.locator("form [role=status]")).to_contain_text("The index must be")
    side.get_by_label("Index").fill("0, 0")
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


# ---------------------------------------------------------------------- images


def test_a_image_is_drawn_or_opened(page: Any, tmp_path: Path) -> None:
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
    page.set_input_files("#file", {"name": "x.png", "mimeType": "image/png", "buffer": b"no image"})
    expect(page.locator("#status")).to_contain_text("is no image")
    pad.screenshot(path=tmp_path / "some.png")
    page.set_input_files("#file", tmp_path / "some.png")
    settle(page)
    assert page.locator(".choice").count() >= 2
    page.locator(".patch").first.hover()
    expect(page.locator(".looks .readout-line")).to_contain_text("attends to")
