"""Worked examples: every one in both languages and all three forms, and their numbers against numpy."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rich.cells import cell_len
from rich.console import Console

from regard.course import attention_by_hand
from regard.course.parts import REAL
from regard.data.matrix import read_matrix
from regard.errors import DataError, InputError
from regard.insight.markup import worked_page
from regard.insight.objects import as_object
from regard.insight.terminal import print_worked
from regard.insight.worked import Proof, Step, Table, Values, Words, Worked, number, numbers
from regard.recipes import explain_myths
from regard.recipes.explain import EXAMPLES, Inputs, explained
from tests.shared import refused

MADE: dict[str, Worked] = {}


def trained_briefly(train: Callable[..., Step], trial: explain_myths.Trial, *, must: bool) -> Step:
    """What is shown of a training does not depend on how long it was."""
    return train(replace(trial, epochs=1), must=must)


def made(name: str) -> Worked:
    if name not in MADE:
        with pytest.MonkeyPatch.context() as patch:
            if name == "myths":
                pytest.importorskip("sklearn")
                train = explain_myths._batch_first
                patch.setattr(explain_myths, "_batch_first", partial(trained_briefly, train))
            MADE[name] = explained(name)
    return MADE[name]


each = pytest.mark.parametrize("name", list(EXAMPLES))


def array(worked: Worked, name: str, step: int) -> np.ndarray:
    """The values of that English name in that step, counted from 1."""
    for value in worked.steps[step - 1].values:
        if isinstance(value, Values) and name in (value.name, getattr(value.name, "en", None)):
            return value.array.numpy()
    raise AssertionError(f"step {step} shows no {name}")


@each
def test_every_example_is_proved(name):
    worked = made(name)
    assert worked.steps
    assert worked.proofs
    assert all(proof.difference <= 1e-6 for proof in worked.proofs), worked.proofs


def words_in(value: object):
    if isinstance(value, dict):
        if value.keys() == {"en", "zh"}:
            yield value
        else:
            for one in value.values():
                yield from words_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from words_in(one)


@each
def test_every_text_is_in_both_languages(name):
    made_object = as_object(made(name))
    for words in words_in(made_object):
        assert bool(words["en"].strip()) == bool(words["zh"].strip()), words
    for step in made_object["steps"]:
        for key in ("title", "text"):
            assert not re.search(
                "[\u4e00-\u9fff]", re.sub("[猫鱼喜欢吃我是一个学生]", "", step[key]["en"])
            ), step[key]
            assert not step[key]["zh"] or re.search("[\u4e00-\u9fff]", step[key]["zh"]), step[key]


@each
@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("width", [40, 57, 120])
def test_it_fits_a_terminal_of_any_width(name, lang, width):
    file = io.StringIO()
    print_worked(made(name), lang, Console(file=file, width=width, highlight=False))
    lines = file.getvalue().splitlines()
    assert any(made(name).title.of(lang)[:10] in line for line in lines[:2])
    assert all(line == line.rstrip() for line in lines)
    assert [line for line in lines if cell_len(line) > width] == []
    assert [line for line in lines if re.match(r"\s*[)）%，。]", line)] == []  # marks that close stay behind
    assert [line for line in lines if "…" in line] == []
    shown = {word for line in lines for word in line.split()}
    for step in made(name).steps:
        for values in step.values:
            if isinstance(values, Values):
                figures = {
                    figure
                    for _, sheet, _ in values.pages
                    for row in numbers(sheet, values.digits)
                    for figure in row
                }
                assert figures <= shown, values.name


@each
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_eighty_columns_hold_every_word_and_number_of_a_table(name, lang):
    file = io.StringIO()
    print_worked(made(name), lang, Console(file=file, width=80, highlight=False))
    lines = file.getvalue().splitlines()
    assert all(cell_len(line) <= 80 for line in lines)
    assert not [line for line in lines if "…" in line]
    assert not [line for line in lines if re.match(r"\s*[)）%，。]", line)]  # marks that close stay behind
    for step in made(name).steps:
        for table in step.values:
            if isinstance(table, Table):
                shown = {word for line in lines for word in line.split()}
                figures = {
                    number(c, table.digits)
                    for row in table.rows
                    for c in row
                    if not isinstance(c, str | Words)
                }
                assert figures <= shown, table.name


@each
def test_its_json_reads_back_to_the_same_numbers(name):
    worked = made(name)
    again = json.loads(json.dumps(as_object(worked), allow_nan=False))
    assert again["format"] == 1
    for step, shown in zip(worked.steps, again["steps"], strict=True):
        for value, told in zip(step.values, shown["values"], strict=True):
            if isinstance(value, Values):
                assert told["shape"] == list(value.array.shape)
                if value.array.isfinite().all():
                    assert torch.equal(torch.tensor(told["values"], dtype=value.array.dtype), value.array)


class Page(HTMLParser):
    """What a page refers to, its ids, and whether its elements are closed."""

    VOID = frozenset({"meta", "link", "img", "br", "hr", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.ids: list[str] = []
        self.named: list[str] = []
        self.open: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for key, value in attributes:
            if key in ("src", "href") and tag != "a":
                self.outside.append(value)
            if key == "id":
                self.ids.append(value)
            if key == "aria-labelledby":
                self.named.append(value)

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop() == tag


@each
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_its_page_is_whole_and_needs_no_network(name, lang):
    worked = made(name)
    text = worked_page(worked, lang)
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert page.outside == []
    assert len(set(page.ids)) == len(page.ids)
    assert set(page.named) <= set(page.ids)
    assert page.tags.count("h1") == 1
    assert page.tags.count("table") == page.tags.count("caption")
    assert f'data-lang="{lang}"' in text
    has_figure = any(step.figure is not None for step in worked.steps)
    assert ("Plotly.register" in text or len(text) > 3_000_000) == has_figure


def test_attention_by_hand_is_what_numpy_says():
    x = np.array([[1, 0, 1, 0], [0, 2, 0, 2], [1, 1, 1, 1]])
    wq = np.array([[1, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 1]])
    wk = np.array([[0, 0, 1], [1, 1, 0], [0, 1, 0], [1, 1, 0]])
    wv = np.array([[0, 2, 0], [0, 3, 0], [1, 0, 3], [1, 1, 0]])
    q, k, v = x @ wq, x @ wk, x @ wv
    worked = made("attention-by-hand")
    assert array(worked, "K = X·W_K", 2).tolist() == [[0, 1, 1], [4, 4, 0], [2, 3, 1]]
    assert array(worked, "V = X·W_V", 2).tolist() == [[1, 2, 3], [2, 8, 0], [2, 6, 3]]
    assert array(worked, "Q·Kᵀ", 3)[0].tolist() == [2, 4, 4]
    np.testing.assert_allclose(array(worked, "output", 5), softmax(q @ k.T) @ v, atol=1e-12)
    np.testing.assert_allclose(array(worked, "output", 7), softmax(q @ k.T / 3**0.5) @ v, atol=1e-12)
    table = worked.steps[5].values[0]
    assert isinstance(table, Table)
    assert table.rows[0][4:] == (2.0, 7.0, 1.5)


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_positions_are_what_numpy_says():
    shown = array(made("positions"), "PE", 1)
    places, pairs = np.arange(6)[:, None], np.arange(8)[None]
    angles = places / 10000 ** (2 * pairs / 16)
    np.testing.assert_allclose(shown[:, 0::2], np.sin(angles), atol=1e-6)
    np.testing.assert_allclose(shown[:, 1::2], np.cos(angles), atol=1e-6)


@pytest.mark.parametrize(
    "name", ["attention-by-hand", "nothing-to-learn", "numpy-walk", "masks", "multi-head"]
)
def test_a_broken_kernel_is_found_out(name, monkeypatch):
    right = F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *a, **b: right(*a, **b) + 1e-5)
    assert not EXAMPLES[name].worked().holds


def test_a_proof_of_nan_does_not_hold():
    broken = Proof.of(Words("a", "b"), torch.tensor([float("nan")]), torch.tensor([0.0]))
    assert not broken.holds


def test_values_that_are_not_their_product_are_refused():
    from regard.insight.worked import Product

    one = torch.eye(2)
    with pytest.raises(AssertionError):
        Values("x", one + 1, origin=Product(one, one))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (-2.0, "-2"),
        (0.12345, "0.123"),
        (1e-9, "1.0e-09"),
        (float("-inf"), "-∞"),
        (float("nan"), "NaN"),
    ],
)
def test_numbers_are_written_as_people_do(value, shown):
    assert number(value) == shown


# ---------------------------------------------------------------------------------------- the user's matrices


def test_the_users_own_matrices_are_taken(tmp_path):
    chance = np.random.default_rng(1)
    given = [chance.normal(size=shape) for shape in ((5, 3), (3, 2), (3, 2), (3, 7))]
    paths = []
    for place, matrix in enumerate(given):
        paths.append(tmp_path / f"{place}.csv")
        np.savetxt(paths[-1], matrix, delimiter=",", fmt="%.17g")
    worked = explained("attention-by-hand", Inputs(tuple(paths)))
    x, wq, wk, wv = given
    expected = softmax((x @ wq) @ (x @ wk).T / 2**0.5) @ (x @ wv)
    np.testing.assert_allclose(array(worked, "output", 6), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("1,2\n3\n", ":2"),
        ("1,x\n", ":1"),
        ("1,,2\n", ":1"),
        ("1,nan\n", ":1"),
        ("\n# nothing\n", ""),
        ("\ufffd1\n", ":1"),
    ],
)
def test_a_bad_matrix_is_refused_by_line(tmp_path, text, line):
    path = tmp_path / "x.csv"
    path.write_text(text, "utf-8")
    with refused(DataError, where="x.csv"):
        read_matrix(path)


def test_a_matrix_that_is_no_text_or_is_missing_is_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with refused(DataError, where="x.csv"):
        read_matrix(path)
    with refused(DataError, where="none.csv"):
        read_matrix(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("shapes", "parts"),
    [
        (((3, 4), (5, 2), (4, 2), (4, 2)), {"key": "W_Q", "value": 5, "limit": 4}),
        (((3, 4), (4, 2), (4, 3), (4, 2)), {"key": "W_Q", "value": 2, "limit": 3}),
        (((67, 4), (4, 2), (4, 2), (4, 2)), {"value": 67, "limit": 64}),
    ],
)
def test_matrices_that_do_not_fit_are_refused(shapes, parts):
    with refused(InputError, **parts):
        attention_by_hand.Matrices(*(torch.zeros(shape, dtype=REAL) for shape in shapes))


def test_what_an_example_does_not_take_is_refused(tmp_path):
    path = tmp_path / "x.csv"
    with refused(InputError, key="example", value="mask", remedy="did you mean 'masks'?"):
        explained("mask")
    with refused(InputError, where="masks", key="--input"):
        explained("masks", Inputs((path, path, path, path)))
    with refused(InputError, key="--wq and --wk and --wv"):
        explained("attention-by-hand", Inputs((path, None, None, None)))
    with refused(InputError, where="masks", key="--text"):
        explained("masks", Inputs(text="a"))
    with refused(InputError, where="masks", key="--run"):
        explained("masks", Inputs(full=True))


def test_text_becomes_the_pieces_that_bert_would_make():
    table = made("text-to-input").steps[0].values[0]
    assert isinstance(table, Table)
    assert [row[1] for row in table.rows] == ["[CLS]", "i", "love", "nl", "##p", "[SEP]"]
