"""`regard explain` as a user types it."""

from __future__ import annotations

import json

from regard.recipes.explain import EXAMPLES


def test_all_are_listed(cli):
    for lang in ("en", "zh"):
        answer = cli("explain", "--lang", lang)
        assert answer.status == 0
        assert [line.split()[0] for line in answer.out.splitlines()] == list(EXAMPLES)


def test_one_is_printed_written_and_told(cli, tmp_path):
    page = tmp_path / "page.html"
    assert "q·k" in cli("explain", "dot-product").out
    assert "点积" in cli("explain", "dot-product", "--lang", "zh").out
    assert cli("explain", "dot-product", "--html", page).status == 0
    assert page.read_text("utf-8").startswith("<!doctype html>")
    told = json.loads(cli("explain", "dot-product", "--json").out)
    assert told["name"] == "dot-product"
    assert told["holds"]


def test_bad_input_is_one_sentence(cli, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("1,2\n3\n", "utf-8")
    broken = cli("explain", "attention-by-hand", "--input", path, "--wq", path, "--wk", path, "--wv", path)
    assert broken.status == 2
    assert broken.err.count("\n") == 1
    assert "x.csv:2" in broken.err
    assert cli("explain", "nothing").status == 2
    assert cli("explain", "masks", "--lang", "de").status == 2


def test_the_users_own_tokenizer_and_table_are_taken(cli, run):
    answer = cli("explain", "text-to-input", "--tokenizer", run, "--text", "fade")
    assert answer.status == 0, answer.err
    assert [line.split()[1] for line in answer.out.splitlines() if line.strip().startswith(("1 ", "2 "))][:2]


def test_a_text_without_pieces_is_refused(cli):
    assert cli("explain", "text-to-input", "--text", " ").status == 2
