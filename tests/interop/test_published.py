"""Published configurations come in and compute the same, or are refused for a reason that the docs state."""

from __future__ import annotations

from pathlib import Path

import pytest

from regard.errors import CheckpointError
from tests.interop.published import CHECKPOINTS, PAGE, Published, outcome
from tests.interop.published_tokenizers import COUNT, PUBLISHED
from tests.interop.tokenizer_folders import FORMS, JSON_FORMS

pytest.importorskip("transformers")


@pytest.mark.parametrize("entry", CHECKPOINTS, ids=lambda entry: entry.name)
def test_a_published_checkpoint_computes_what_it_does_elsewhere(entry: Published, tmp_path: Path) -> None:
    found = outcome(entry, tmp_path)
    if entry.refused:
        assert isinstance(found, CheckpointError)
        assert f"'{entry.refused.partition(':')[0]}'" in str(found)
        return
    assert not isinstance(found, CheckpointError), found
    assert found.difference is not None, found.notes
    assert found.difference <= 1e-4 * max(1.0, found.largest or 0.0)


def test_the_page_lists_every_one() -> None:
    page = PAGE.read_text("utf-8")
    assert all(f"`{entry.name}`" in page for entry in CHECKPOINTS)


def test_the_page_lists_every_form_of_tokenizers_and_none_differs() -> None:
    assert {*FORMS, *JSON_FORMS, "marian"} == set(PUBLISHED)
    rows = PAGE.read_text("utf-8").split(f"of {COUNT} |\n")[1].splitlines()[1 : len(PUBLISHED) + 1]
    for row, (form, whose) in zip(rows, PUBLISHED.items(), strict=True):
        name, published, files, json = (cell.strip() for cell in row.strip("|").split("|"))
        assert (name, published) == (form.removeprefix("tokenizer.json, "), whose)
        assert {files, json} - {""} == {"0"}
