"""A model whose numbers are not finite gives no answer, and says so; what is printed as JSON is JSON."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import regard
from regard import bundle
from regard.errors import InputError, NonFiniteOutputError
from regard.recipes.report import prediction_line
from regard.values import Prediction, Text
from tests.program.conftest import Cli


def multiplied(run: Path, folder: Path, factor: float) -> Path:
    """The run with the weights of its feed-forward parts so much larger."""
    made = bundle.load(run)
    weights = {
        name: weight * factor if "feedforward" in name and weight.dim() == 2 else weight
        for name, weight in made.weights.items()
    }
    bundle.save(replace(made, weights=weights), folder)
    return folder


@pytest.fixture(params=["labels", "translation"])
def any_run(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue("labelled_run" if request.param == "labels" else "run")
    return found


@pytest.mark.parametrize("options", [(), ("--json",), ("-n", "2", "--beam", "4"), ("--json", "--beam", "4")])
def test_finite_weights_whose_products_are_not_give_no_answer(
    any_run: Path, tmp_path: Path, cli: Cli, options: tuple[str, ...]
) -> None:
    if any_run.parent.name.startswith("labelled"):
        options = tuple(word for word in options if word not in ("--beam", "4"))
    bad = multiplied(any_run, tmp_path / "bad", 1e30)
    answer = cli("predict", bad, "abc def", "--threads", "1", *options)
    assert answer.status == 1
    assert answer.out == ""
    assert "NaN or infinite" in answer.err
    assert answer.err.count("\n") == 1
    with pytest.raises(NonFiniteOutputError):
        regard.load(bad).predict(["abc def"])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_type_that_is_too_small_for_a_weight_is_refused_by_its_name(
    any_run: Path, tmp_path: Path, dtype: str
) -> None:
    made = bundle.load(any_run)
    name = next(name for name, weight in made.weights.items() if weight.dim() == 2)
    weights: dict[str, Any] = dict(made.weights)
    weights[name] = weights[name].clone()
    weights[name][0, 0] = torch.finfo(torch.float32).max
    bundle.save(replace(made, weights=weights), tmp_path / "large")
    regard.load(tmp_path / "large")
    with pytest.raises(InputError, match=f"in {dtype} the weight '{name}' becomes inf"):
        regard.load(tmp_path / "large", dtype=dtype)


def test_a_run_keeps_its_weights_once_and_its_bundle_whole(any_run: Path, tmp_path: Path) -> None:
    run = regard.load(any_run)
    own = {parameter.data_ptr() for parameter in run.model.state_dict().values()}
    assert {weight.data_ptr() for weight in run.bundle.weights.values()} <= own
    bundle.save(run.bundle, tmp_path / "again")
    before, after = bundle.load(any_run).weights, bundle.load(tmp_path / "again").weights
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_what_json_does_not_have_is_named() -> None:
    score = float("-inf")
    line = prediction_line(
        "x", Prediction(Text("y"), score, ((Text("y"), score), (Text("z"), score))), as_json=True
    )
    scores = [one["score"] for one in json.loads(line, parse_constant=pytest.fail)["predictions"]]
    assert scores == ["-Infinity", "-Infinity"]


def test_a_bundle_with_a_weight_that_is_not_finite_is_refused_by_every_command(
    any_run: Path, tmp_path: Path, cli: Cli
) -> None:
    from regard.weights import read_weights, write_weights

    folder = tmp_path / "bad"
    shutil.copytree(any_run, folder)
    path = folder / "model.safetensors"
    weights = read_weights(path)
    name = next(name for name, weight in weights.items() if weight.dim() == 2)
    weights[name][1, 1] = float("nan")
    write_weights(path, weights)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["files"]["model.safetensors"] = vars(bundle._fingerprint(path))
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    for command in ("predict", "verify", "trace"):
        answer = cli(command, folder, "a")
        assert (answer.status, answer.out) == (2, "")
        assert f"'{name}' holds nan" in answer.err
