"""The page of values says what the code does."""

from __future__ import annotations

from pathlib import Path

from regard.recipes.values_page import PAGE, values_page
from regard.values import VALUES


def test_the_page_is_the_code() -> None:
    page = (Path(__file__).parents[2] / PAGE).read_text("utf-8")
    assert page == values_page(), "run: make reference"


def test_every_kind_has_a_section() -> None:
    for kind in VALUES:
        assert f"\n## `{kind}`\n" in values_page()
