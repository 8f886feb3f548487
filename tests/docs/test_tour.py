"""The tour runs: its code, in both languages, answers what its pages show."""

from __future__ import annotations

from pathlib import Path

import pytest
from maker.execute import answers, run
from maker.pages import NAMES, TOUR, Page, commands, meaning, read, suffix, tour, written

PAGES = [*tour("en"), *tour("zh")]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path.name)


def page_of(folder: Path, text: str) -> Page:
    path = folder / "page.md"
    path.write_text(text, "utf-8")
    return read(path)


@pytest.mark.slow
@each_page
def test_a_page_answers_what_it_shows(page):
    """From memory, if neither the page nor the library has changed since it was run."""
    for block, answer in zip(page.code, answers(page), strict=True):
        where, shown = f"{page.path.name}:{block.line}", page.after(block)
        outputs = [piece for piece in shown if piece.kind == "output"]
        assert bool(answer.text) == bool(outputs), f"{where} answers {answer.text!r}"
        assert (answer.figure is not None) == any(piece.kind == "figure" for piece in shown), where
        for output in outputs:
            if output.trained:  # another machine rounds otherwise, and learns a little otherwise
                assert len(answer.text.splitlines()) == len(output.text.splitlines()), where
            else:
                assert answer.text == output.text, where


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_share_their_code(name):
    one, other = (read(TOUR / f"{name}{suffix(lang)}") for lang in ("en", "zh"))
    assert [meaning(block) for block in one.code] == [meaning(block) for block in other.code]
    assert [piece.kind for piece in one.pieces if piece.kind != "words"] == [
        piece.kind for piece in other.pieces if piece.kind != "words"
    ]


@each_page
def test_a_page_is_read_and_written_unchanged(page):
    assert written(page) == page.path.read_text("utf-8")


# ------------------------------------------------------------------------------------ of the tools


def test_a_block_sees_what_blocks_before_it_made(tmp_path):
    page = page_of(tmp_path, "```python\nx = 2\n```\nwords\n```python\nprint('a')\nx + 1\n```\n")
    assert [answer.text for answer in run(page, tmp_path)] == ["", "a\n3"]


def test_a_block_that_fails_names_its_line(tmp_path):
    page = page_of(tmp_path, "# A page\n\n```python\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as found:
        run(page, tmp_path)
    assert any(f"{page.path}:3" in note for note in found.value.__notes__)


def test_a_fence_that_is_not_closed_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"page\.md:2: this block is not closed"):
        page_of(tmp_path, "words\n```python\nx = 1\n")


def test_only_commands_of_regard_are_run(tmp_path):
    page = page_of(tmp_path, "```console\n$ rm -r .\n```\n")
    with pytest.raises(ValueError, match="begins with '\\$ regard'"):
        commands(page.code[0])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("x = 1  # one", "x = 1  # 一", True),
        ("print(f'{x} right')", "print(f'{x} 正确')", True),
        ("print(f'{x} right')", "print(f'{y} 正确')", False),
        ("steps = 40", "steps = 41", False),
    ],
)
def test_languages_may_differ_in_texts_only(tmp_path, one, other, same):
    blocks = [page_of(tmp_path, f"```python\n{code}\n```\n").code[0] for code in (one, other)]
    assert (meaning(blocks[0]) == meaning(blocks[1])) is same
