"""What a page cannot compute is refused by name, before anything is written; a page is whole or not there."""

from __future__ import annotations

import json

import pytest
import torch

from regard import bundle as bundles
from regard.data.tokenizer import Unigram, WordPiece
from regard.errors import BundleError, InputError, StorageError
from regard.onepage import export_page
from regard.onepage import page as pages
from tests.onepage.made import run_of, task_of
from tests.shared import refused

_YARN = tuple(f"stack.position.scaling{x}" for x in ("=yarn", ".factor=2.0", ".original=64"))
_TYPES = ("embed.types.count=2", "embed.types.separator=3")
REFUSED = {
    "yarn": ("text-generation", {}, _YARN, {"value": "model.stack.position.scaling is 'yarn', which a"}),
    "token types": (
        "text-classification",
        {},
        _TYPES,
        {"value": "model.embed.types is 'TokenTypes', which a page"},
    ),
    "pairs": (
        "text-classification",
        {"second": "b"},
        (),
        {"value": "its input is a pair, where a page takes a text or a drawing"},
    ),
    "wordpiece": (
        "text-classification",
        {"spec": WordPiece(vocab=60)},
        (),
        {"value": "tokenizer.json is of the kind 'wordpiece',"},
    ),
    "unigram": (
        "translation",
        {"spec": Unigram(vocab=60)},
        (),
        {"value": "tokenizer.json is of the kind 'unigram', where"},
    ),
}


@pytest.mark.parametrize(("task", "options", "settings", "parts"), REFUSED.values(), ids=REFUSED)
def test_what_a_page_cannot_do_is_refused_by_name(tmp_path, task, options, settings, parts):
    run = run_of(task_of(task, **options), tmp_path / "run", *settings)
    with refused(InputError, **parts) as caught:
        export_page(run, tmp_path / "page.html")
    assert "\n" not in str(caught.value)
    assert "regard look" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_would_be_too_large_is_refused_before_it_is_made(tmp_path, monkeypatch):
    run = run_of(task_of("translation"), tmp_path)
    monkeypatch.setattr(pages, "_MOST", 210_000)
    monkeypatch.setattr(pages, "_base64", lambda *given: pytest.fail("it was made"))
    with refused(InputError, value="236 kB", limit="210 kB"):
        export_page(run, tmp_path / "page.html")
    monkeypatch.setattr(pages, "_MOST", 1000)
    with refused(InputError, value="219 kB", limit="1.0 kB"):
        export_page(run, tmp_path / "page.html", dtype="float16")


def test_a_weight_that_half_precision_has_no_number_for_is_refused(tmp_path):
    run = run_of(task_of("translation"), tmp_path)
    weights = dict(run.bundle.weights)
    name = next(iter(weights))
    weights[name] = torch.full_like(weights[name], 1e6)
    object.__setattr__(run.bundle, "weights", weights)
    with refused(InputError, value="float16"):
        export_page(run, tmp_path / "page.html", dtype="float16")
    assert export_page(run, tmp_path / "page.html").dtype == "float32"


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path):
    run = run_of(task_of("translation"), tmp_path)
    (tmp_path / "page.html").mkdir()
    with pytest.raises(StorageError):
        export_page(run, tmp_path / "page.html")
    with pytest.raises(BundleError):
        export_page(tmp_path / "nothing", tmp_path / "other.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html"]


def test_hostile_names_and_texts_stay_text(tmp_path):
    hostile = "</script><script>alert(1)</script><!--\u2028${title}$about"
    run = run_of(task_of("text-classification"), tmp_path)
    export_page(run, tmp_path / "page.html", title=hostile, examples=[hostile, "\ud800"])
    text = (tmp_path / "page.html").read_text("utf-8")
    assert text.count("<script") == text.count("</script>") == 2 + len(pages.scripts("page", pages.HOMES))
    assert "<script>alert" not in text
    about = json.loads(text.split('id="about">')[1].split("</script>")[0])
    assert about["title"] == about["examples"][0] == hostile
    assert "</script><b>" in about["labels"]


def test_the_users_own_data_do_not_enter_the_page_unasked(tmp_path):
    run = run_of(task_of("translation"), tmp_path)
    object.__setattr__(run.bundle, "data", {"name": str(tmp_path / "secret.tsv")})
    (tmp_path / "secret.tsv").write_text("source\ttarget\nprivate\tx\n", "utf-8")
    export_page(run, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "secret" not in text
    assert "private" not in text
    assert str(tmp_path) not in text


def test_the_command_writes_a_page_and_refuses_options_of_another_form(tmp_path, capsys):
    from regard.cli.main import main

    run = run_of(task_of("translation"), tmp_path)
    bundles.save(run.bundle, tmp_path / "run")
    page = tmp_path / "page.html"
    for options, said in (
        (["--to", "html", "--title", "mine", "--example", "the cat", "--dtype", "float16"], "float16"),
        (["--title", "mine"], "--title is for --to html"),
    ):
        with pytest.raises(SystemExit) as ended:
            main_with(main, ["export", str(tmp_path / "run"), str(page), *options])
        assert said in "".join(capsys.readouterr())
        assert ended.value.code in (None, 0, 2)
    assert "<title>mine</title>" in page.read_text("utf-8")


def main_with(main, words: list[str]) -> None:
    import sys

    before, sys.argv = sys.argv, ["regard", *words]
    try:
        main()
    finally:
        sys.argv = before
