"""The task of this package, as its author tests it: with the package installed, `pytest tests`."""

from __future__ import annotations

import csv
import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from regard_example.tabular.cells import CategoryForm, Columns, NumberForm, Quantiles, are_numbers
from regard_example.tabular.embed import FeatureEmbedding, Features
from regard_example.tabular.record import Record
from regard_example.tabular.task import TabularClassification, TabularClassificationConfig
from torch import Tensor

import regard
from regard.data.readers.lines import Problem
from regard.errors import BundleError, ConfigError, DataError, InputError
from regard.insight.changes import NONE
from regard.looking.about import about
from regard.looking.analyses import analyses, drawn
from regard.looking.explorer import Question
from regard.model.init import Xavier
from regard.values import from_json

NAMES = ("age", "hours", "job", "city")
MICRO: dict[str, Any] = {"preset": "micro", "quiet": True, "settings": ["train.evaluations=1"]}


def write(path: Path, names: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows((names, *rows))
    return path


def people(count: int, seed: int) -> list[tuple[object, ...]]:
    """Who is hired: the young clerks and the old smiths, unless no city is known."""
    rng = random.Random(seed)
    rows = list[tuple[object, ...]]()
    for _ in range(count):
        age, hours, job = rng.randint(18, 80), round(rng.gauss(40, 9), 1), rng.choice(["clerk", "smith"])
        city = rng.choice(["York", "Bath", ""])
        hired = ((age < 50) == (job == "clerk")) and city != ""
        rows.append((age if rng.random() < 0.95 else "?", hours, job, city, "yes" if hired else "no"))
    return rows


@pytest.fixture(scope="module")
def hired(tmp_path_factory: pytest.TempPathFactory) -> regard.Run:
    folder = tmp_path_factory.mktemp("people")
    for number, (split, count) in enumerate({"train": 900, "valid": 50, "test": 300}.items()):
        write(folder / f"{split}.csv", (*NAMES, "label"), people(count, number))
    return regard.train("tabular-classification", folder, folder / "run", steps=150, **MICRO)


@pytest.fixture(scope="module")
def cancer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wolberg et al.'s 569 tumours: 30 numbers each, whose names have blanks."""
    data = pytest.importorskip("sklearn.datasets").load_breast_cancer()
    folder = tmp_path_factory.mktemp("cancer")
    order = np.random.default_rng(1).permutation(len(data.data))
    rows = [(*data.data[place].tolist(), data.target_names[data.target[place]]) for place in order]
    for split, part in {"train": rows[:400], "valid": rows[400:430], "test": rows[430:]}.items():
        write(folder / f"{split}.csv", (*data.feature_names, "diagnosis"), part)
    return folder


def blind(self: FeatureEmbedding, x: Tensor) -> Tensor:
    """Broken: a number is its column's vector, however large it is."""
    return FORWARD(self, torch.where(x.isnan(), x, 1.0))


FORWARD = FeatureEmbedding.forward


@pytest.mark.parametrize(("forward", "learns"), [(FORWARD, True), (blind, False)])
def test_a_real_table_is_learned_and_not_by_a_broken_model(
    cancer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    forward: Callable[..., Tensor],
    learns: bool,
) -> None:
    monkeypatch.setattr(FeatureEmbedding, "forward", forward)
    run = regard.train("tabular-classification", cancer, tmp_path / "run", steps=60, **MICRO)
    assert run.task.config.target == "diagnosis"
    assert len(run.task.config.numbers) == 30
    found = run.evaluate(cancer, "test")
    assert found.baselines["most frequent label"]["accuracy"] < 70
    assert (found.metrics["accuracy"] > 93) == learns
    assert (found.metrics["macro_f1"] > 93) == learns


def test_numbers_categories_and_what_is_missing_are_learned_together(hired: regard.Run) -> None:
    config = hired.task.config
    assert (config.numbers, config.categories, config.target) == (("age", "hours"), ("job", "city"), "label")
    found = hired.evaluate(hired.folder.parent, "test")
    assert found.metrics["accuracy"] > 90 > 75 > found.baselines["most frequent label"]["accuracy"]
    assert sum(map(sum, found.metrics["confusion"])) == 300
    said = hired.predict([{"age": 25, "hours": 40, "job": "clerk", "city": city} for city in ("York", None)])
    assert [labels.plain() for labels in said] == ["yes", "no"]


def test_an_input_is_an_object_or_cells_and_an_unseen_category_is_answered(hired: regard.Run) -> None:
    same = [
        Record(NAMES, (70, 40, "smith", "Bath")),
        {"city": "Bath", "job": "smith", "hours": 40, "age": 70},
        '{"age": "70", "hours": 40.0, "job": "smith", "city": "Bath"}',
        "70,40,smith,Bath",
        "70\t40\tsmith\tBath",
    ]
    first, *others = hired.predictions(same)
    assert all(one.score == pytest.approx(first.score) and one.value.plain() == "yes" for one in others)
    (known, unseen, left_out) = hired.task._given(
        hired.model, ["70,40,smith,Bath", "70,40,pilot,Bath", {"age": 70, "hours": 40, "city": "Bath"}]
    )
    assert (known[2].item(), unseen[2].item(), left_out[2].isnan().item()) == (2, 0, True)
    assert len(hired.predict(["70,40,pilot,Bath", "?,?,,"])) == 2


@pytest.mark.parametrize(
    "given",
    ["70,40,smith", {"ages": 3}, {"age": "old"}, {"age": True}, {"age": [3]}, "[3]", '{"age": 1e999}'],
)
def test_an_input_that_the_model_cannot_take_is_refused(hired: regard.Run, given: Any) -> None:
    with pytest.raises(InputError):
        hired.predict([given])


def test_rows_of_other_files_are_read_by_name(hired: regard.Run, tmp_path: Path) -> None:
    rows = [{"job": "clerk", "age": 20, "city": "York", "more": 1, "hours": 38}, {"job": None, "age": None}]
    lines = [json.dumps(row | dict.fromkeys(NAMES, None) | row) for row in rows]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    first, second = hired.read(tmp_path / "rows.jsonl")
    assert first == Record(NAMES, (20.0, 38.0, "clerk", "York"))
    assert second == Record(NAMES, (None,) * 4)


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_a_broken_cell_is_refused_with_its_file_line_and_column(tmp_path: Path, ending: str) -> None:
    rows = [(age, hours, job, city, label) for age, hours, job, city, label in people(60, 1)]
    rows[40] = ("old", *rows[40][1:])
    path = tmp_path / f"people.{ending}"
    if ending == "jsonl":
        path.write_text("\n".join(json.dumps(dict(zip((*NAMES, "label"), row, strict=True))) for row in rows))
    else:
        mark = "," if ending == "csv" else "\t"
        path.write_text("\n".join(mark.join(map(str, row)) for row in ((*NAMES, "label"), *rows)))
    with pytest.raises(DataError) as caught:
        regard.train("tabular-classification", path, tmp_path / "run", steps=2, **MICRO)
    assert caught.value.where == f"{path}:{41 if ending == 'jsonl' else 42}"
    assert "'old' in the column 'age'" in str(caught.value.value)
    run = regard.train("tabular-classification", path, tmp_path / "run", steps=2, on_error="skip", **MICRO)
    assert "skipped 1 (no number 1" in "\n".join(run.evaluate(split="train", on_error="skip").notes)


def test_rows_that_are_alike_stand_in_one_split_and_columns_can_be_named(tmp_path: Path) -> None:
    rows = [(number, 1, age, "no", age % 2) for number, age in enumerate(list(range(300)) * 2)]
    path = write(tmp_path / "some.csv", ("", "unit", "age", "note", "class"), rows)
    config = {"task": {"categories": ["age"], "ignored": ["note"]}}
    run = regard.train("tabular-classification", path, tmp_path / "run", steps=2, config=config, **MICRO)
    assert (run.task.config.numbers, run.task.config.categories) == (("unit",), ("age",))
    sides = [[row.values[:-1] for row in rows] for rows in run.open(path).splits.values()]
    assert sum(map(len, sides)) == 600
    assert len(set().union(*sides)) == sum(len(set(side)) for side in sides) == 300
    assert all(sides), "what all rows have alike does not keep them together"


def test_a_row_becomes_a_vector_a_column() -> None:
    part = FeatureEmbedding(5, Features(("x", "y"), ("job", "city"), (2, 3)))
    part.initialise(Xavier())
    W, b, rows = part.weight, part.bias, part.rows
    found = part(torch.tensor([[2.0, math.nan, 1.0, 3.0], [0.0, -1.0, 0.0, math.nan]]))
    wanted = [
        [part.first[0], 2 * W[0] + b[0], part.missing[1], rows[1] + b[2], rows[3 + 3] + b[3]],
        [part.first[0], b[0], -W[1] + b[1], rows[0] + b[2], part.missing[3]],
    ]
    assert torch.allclose(found, torch.stack([torch.stack(one) for one in wanted]))


def test_every_number_of_a_prediction_can_be_asked_about(hired: regard.Run) -> None:
    trace = hired.trace('{"age": 30, "job": "clerk", "city": "York"}')
    assert trace.sequences[0].tokens == ("[class]", "age", "hours", "job", "city")
    assert trace["embed.out"].value.shape == (5, 32)
    assert trace["given"].axes[0].labels == NAMES
    weights = trace["stack.blocks.0.attention.weights"].value
    assert torch.allclose(weights.sum(-1), torch.ones(weights.shape[:-1]))
    explorer, question = hired.explorer(), Question("30,,clerk,York", changes=NONE)
    for token in range(5):
        account = explorer.account(question, "embed.out", (token, 3), None)
        assert account.total == pytest.approx(account.value, abs=1e-6)
    assert all(finding.holds for finding in hired.verify())


def test_pages_ask_for_a_row_as_text_and_draw_what_they_draw_of_others(hired: regard.Run) -> None:
    pytest.importorskip("plotly")
    explorer = hired.explorer()
    assert about(explorer)["takes"] == {"kind": "text"}
    first, second = (str(example["text"]) for example in hired.examples(2))
    assert len(hired.predict([first, second])) == 2
    assert analyses(explorer).keys() >= {"lens", "sum", "rollout", "patching"}
    for name in analyses(explorer).keys() - {"gradients"}:  # which need one more package
        assert drawn(explorer, name, first, other=second).data


def test_a_record_is_a_value_like_any_other() -> None:
    record = Record(("age", "name"), (3, "O'Hara <b>"))
    assert from_json(record.to_json()) == Record.parse(str(record)) == record
    assert Record.parse({"age": 3, "name": "O'Hara <b>"}) == record
    assert "&lt;b&gt;" in record._repr_html_()
    for given in (
        [3],
        {"age": math.inf},
        {"age": {}},
        {"kind": "record", "names": ["a", "a"], "cells": [1, 2]},
    ):
        with pytest.raises(InputError):
            Record.parse(given)


def test_cells_are_numbers_categories_or_missing() -> None:
    number, category = NumberForm("age"), CategoryForm("job")
    assert [number.text(cell, ()) for cell in ("3", " 2.5 ", "1e3", "", "NA", "?")] == [
        3,
        2.5,
        1000,
        *[None] * 3,
    ]
    assert all(isinstance(number.text(cell, ()), Problem) for cell in ("x", "inf", [], {}, "1,5"))
    assert [category.text(cell, ()) for cell in (" a ", "nan", 3)] == ["a", None, "3"]
    assert are_numbers([*["1"] * 10, "x", None])
    assert not are_numbers([*["1"] * 8, "x", "y"])
    assert not are_numbers([None])


def test_quantiles_are_those_of_scikit_learn() -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    numbers = np.random.default_rng(1).gamma(2.0, size=6000)
    columns = Columns.of([(number,) for number in numbers.tolist()], ("x",), ())
    found = columns.encode([(number,) for number in numbers.tolist()])[:, 0]
    oracle = preprocessing.QuantileTransformer(n_quantiles=200, output_distribution="normal", subsample=None)
    wanted = oracle.fit_transform(numbers[:, None])[:, 0]
    inside = np.abs(wanted) < 2
    assert np.abs(found - wanted)[inside].max() < 0.02
    assert Quantiles.of([3.0] * 20) == Quantiles((3.0,), (0.0,))


def test_what_a_bundle_says_of_the_columns_is_checked(hired: regard.Run) -> None:
    files = hired.task.files()
    config = hired.task.config
    for broken in ("", "[]", "{}", files["columns.json"].replace("points", "point")):
        with pytest.raises(BundleError):
            TabularClassification.prepare(config, None, files | {"columns.json": broken})
    with pytest.raises(ConfigError):
        TabularClassification.prepare(TabularClassificationConfig(numbers=("age",)), None, files)
    with pytest.raises(ConfigError):
        TabularClassification.prepare(TabularClassificationConfig(), None, files)
