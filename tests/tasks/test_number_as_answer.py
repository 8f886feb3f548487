"""A number as the answer: what is read, scaled, lost, measured, kept, and learned."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import regard
from regard.data.rows import Row
from regard.data.store import ExampleStore, write_store
from regard.errors import BundleError, ConfigError, DataError
from regard.model.mask import Ragged
from regard.model.transformer import Transformer
from regard.tasks import Decoding, evaluate
from regard.tasks.numbers import number_metrics
from regard.tasks.task import open_columns
from regard.tasks.text_classification import TextClassification
from regard.training.loop import Trainer
from regard.training.resolve import Asked, resolve
from regard.values import Score
from tests.shared import refused

QUICK = ("task.tokenizer=characters", "model.width=16", "model.hidden=24", "model.depth=1", "model.heads=2")
PLAIN = ("task.number=plain", "model.dropout=0")
SIGMOID = ("task.number=sigmoid", "model.dropout=0")
ROWS = [
    Row((text, number), text) for text, number in (("abc", "40"), ("ca", "-20"), ("b", "1e1"), ("c", " 10.0"))
]
SHARES = [Row((text, number), text) for text, number in (("abc", "0"), ("ca", "1"), ("b", "0.25"))]
NO_SCALES = ("", "[]", "{}", '{"mean": 1}', '{"mean": 1, "deviation": 0}', '{"mean": "1", "deviation": 1}')
NO_SCALES += (
    '{"mean": 1, "deviation": -1}',
    '{"mean": NaN, "deviation": 1}',
    '{"mean": 1, "deviation": 1e999}',
)


def made(rows: list[Row], *settings: str) -> tuple[TextClassification, Transformer]:
    config = resolve(Asked("text-classification", settings=(*QUICK, *settings)))
    task: Any = TextClassification.prepare(config.task, rows)  # type: ignore[arg-type]
    torch.manual_seed(1)
    model: Any = task.configure_model(config.model).build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return task, model


def stored(task: TextClassification, rows: list[Row], folder: Path) -> ExampleStore:
    return write_store(folder / "ids", (x for x in task.encode(rows) if x), task.fields)


def outputs(model: Transformer, batch: Any) -> torch.Tensor:
    return model(batch.ids, Ragged.from_lengths(batch.lengths, batch.ids.shape[1]))[:, 0]


# ------------------------------------------------------------------------------------------------ measuring


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_scipy_ties_and_all(seed: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=53).round(1), rng.integers(0, 6, 53) / 5
    found = number_metrics(x.tolist(), y.tolist())
    assert found.pop("count") == 53
    assert found == pytest.approx(
        {
            "pearson": 100 * stats.pearsonr(x, y).statistic,
            "spearman": 100 * stats.spearmanr(x, y).statistic,
            "rmse": np.linalg.norm(x - y) / np.sqrt(53),
            "mae": np.abs(x - y).mean(),
        },
        abs=1e-9,
    )


def test_what_is_all_the_same_correlates_with_nothing() -> None:
    found = number_metrics([0.1] * 3, [1.0, 2.0, 4.0])  # the mean of which is not 0.1 in doubles
    assert (found["pearson"], found["spearman"]) == (0, 0)
    assert number_metrics([], []) == {"count": 0}


@pytest.mark.parametrize("key", ["spearman", "pearson", "rmse", "mae"])
def test_a_checkpoint_is_chosen_by_the_better_figure(key: str) -> None:
    task, _ = made(ROWS, *PLAIN, f"task.number_metric={key}")
    metric = task.metric()
    good, bad = (number_metrics(x, [1, 2, 3]) for x in ([1.1, 2, 3], [3, 2.5, -1]))
    assert metric.key == key
    assert metric.selection_score(good) > metric.selection_score(bad)


def test_the_baseline_is_the_mean_of_the_training_part() -> None:
    task, _ = made(ROWS, *PLAIN)
    (found,) = task.baselines(ROWS, None).values()
    assert found["rmse"] == pytest.approx(np.std([40, -20, 10, 10]))
    assert found["mae"] == pytest.approx(15)


# -------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("number", ["", "nan", "inf", "-Infinity", "1e999", "7 of 9", "1,5", "4e30"])
@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_what_is_no_number_is_refused_with_file_and_line(ending: str, number: str, tmp_path: Path) -> None:
    cells = [("text", "score"), ("abc", "1"), ("ca", number)]
    lines = [json.dumps(dict(zip(cells[0], row, strict=True))) for row in cells[1:]]
    if ending != "jsonl":
        mark = "," if ending == "csv" else "\t"
        lines = [mark.join(f'"{cell}"' if mark in cell else cell for cell in row) for row in cells]
    path = tmp_path / f"t.{ending}"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    config: Any = resolve(Asked("text-classification", target="score", settings=PLAIN)).task
    found = open_columns(TextClassification.columns(config), path, whole=True)
    with refused(DataError, where=f"t.{ending}:{len(lines)}"):
        list(found.split("all"))
    kept = open_columns(TextClassification.columns(config), path, whole=True, on_error="skip")
    assert [row.values for row in kept.split("all")] == [("abc", "1")]


def test_numbers_of_typed_formats_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a", "score": 2.5}\n{"text": "b", "score": 3}\n{"text": "c", "score": null}\n')
    config: Any = resolve(Asked("text-classification", target="score", settings=PLAIN)).task
    rows = iter(open_columns(TextClassification.columns(config), path, whole=True).split("all"))
    assert [next(rows).values[1], next(rows).values[1]] == ["2.5", "3"]
    with refused(DataError, where="t.jsonl:3"):
        next(rows)


@pytest.mark.parametrize(("rows", "value"), [([], "no numbers"), (ROWS[2:], "only one number")])
def test_numbers_that_do_not_differ_teach_nothing(rows: list[Row], value: str) -> None:
    with refused(DataError, key="label", value=value):
        TextClassification.prepare(
            resolve(Asked("text-classification", settings=(*QUICK, *PLAIN))).task,  # type: ignore[arg-type]
            rows,  # type: ignore[arg-type]
        )


def test_a_probability_is_from_0_to_1(tmp_path: Path) -> None:
    task, _ = made(ROWS, *SIGMOID)
    with refused(DataError, where="abc", key="label", value=40.0, limit="from 0 to 1"):
        stored(task, ROWS, tmp_path)


# ------------------------------------------------------------------------------------------------ learning


def test_the_loss_is_the_squared_error_in_deviations(tmp_path: Path) -> None:
    task, model = made(ROWS, *PLAIN)
    batch: Any = task.batch(stored(task, ROWS, tmp_path), np.array([3, 0, 1]))
    numbers = torch.tensor([10.0, 40.0, -20.0])
    z = (numbers - 10) / np.std([40, -20, 10, 10])
    want = F.mse_loss(outputs(model, batch), z, reduction="sum")
    torch.testing.assert_close(task.loss(model, batch)["loss"], want)
    torch.testing.assert_close(task.loss(model.train(), batch)["loss"], want)  # smoothing is of labels


def test_the_loss_of_a_probability_is_torchs(tmp_path: Path) -> None:
    task, model = made(SHARES, *SIGMOID)
    batch: Any = task.batch(stored(task, SHARES, tmp_path), np.arange(3))
    target = torch.tensor([0, 1, 0.25])
    want = F.binary_cross_entropy_with_logits(outputs(model, batch), target, reduction="sum")
    torch.testing.assert_close(task.loss(model, batch)["loss"], want)


@pytest.mark.parametrize("settings", [PLAIN, SIGMOID])
def test_two_passes_are_told_to_agree(settings: tuple[str, ...], tmp_path: Path) -> None:
    task, _ = made(SHARES, *settings, "task.rdrop=3")
    model = made(SHARES, *settings, "model.dropout=0.5")[1].train()
    batch: Any = task.batch(stored(task, SHARES, tmp_path), np.arange(3))
    torch.manual_seed(2)
    loss = task.loss(model, batch)
    torch.manual_seed(2)
    one, other = outputs(model, batch.repeated(2)).chunk(2)
    if settings is PLAIN:
        normal = [torch.distributions.Normal(x, 1.0) for x in (one, other)]
    else:
        normal = [torch.distributions.Bernoulli(logits=x) for x in (one, other)]
    kl = torch.distributions.kl_divergence
    apart = (kl(*normal) + kl(*normal[::-1])).sum()
    assert apart.item() > 0.01
    torch.testing.assert_close(loss["divergence"], apart / 2)
    torch.testing.assert_close(loss["loss"], loss["cross_entropy"] + 3 / 4 * apart)


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (("task.separator=;",), {"key": "task.number", "value": "task.separator"}),
        (("task.weights=balanced",), {"key": "weights", "value": "balanced"}),
        (("model.head.count=2",), {"key": "model.head.count", "value": 2, "limit": 1}),
    ],
)
def test_what_does_not_go_together_is_refused(settings: tuple[str, ...], parts: dict[str, Any]) -> None:
    with refused(ConfigError, **parts):
        made(ROWS, *PLAIN, *settings)


def test_many_labels_that_are_numbers_are_told_of() -> None:
    rows = [Row((f"a{n}", str(n / 4)), "t") for n in range(40)]
    assert "task.number = plain" in made(rows)[0].notes()[0]
    assert made(rows, *PLAIN)[0].notes() == made(ROWS)[0].notes() == []


# --------------------------------------------------------------------------------------- answering, keeping


def test_answers_come_in_the_unit_of_the_data_also_out_of_a_bundle(tmp_path: Path) -> None:
    task, model = made(ROWS, *PLAIN)
    again = TextClassification.prepare(task.config, None, task.files())
    batch: Any = task.batch(stored(task, ROWS, tmp_path), np.arange(4))
    want = 10 + np.std([40, -20, 10, 10]) * outputs(model, batch).detach().numpy()
    for one in (task, again):
        found = one.predict(model, [row.values[0] for row in ROWS], Decoding())
        assert one.output is Score
        assert [each.value.number for each in found] == pytest.approx(want.tolist(), abs=1e-4)
        assert [each.score for each in found] == [each.value.number for each in found]
    assert evaluate(again, model, ROWS, Decoding()).figures == number_metrics(
        [each.value.number for each in found], [40, -20, 10, 10]
    )


@pytest.mark.parametrize("text", NO_SCALES)
def test_a_damaged_scale_is_refused(text: str) -> None:
    task, _ = made(ROWS, *PLAIN)
    with refused(BundleError, where="scale.json"):
        TextClassification.prepare(task.config, None, task.files() | {"scale.json": text})
    with refused(BundleError, where="labels.json"):
        TextClassification.prepare(task.config, None, task.files() | {"labels.json": '{"a": 1, "b": 1}'})


def test_a_page_has_no_place_for_numbers() -> None:
    assert list(made(ROWS, *PLAIN)[0].page_problems())
    assert not list(made(ROWS)[0].page_problems())


def test_it_learns_how_far_apart_two_letters_stand(tmp_path: Path) -> None:
    """Letters in common, their numbers, and lengths cannot tell: each text of a pair has the same letters."""
    chance = random.Random(1)
    lines = ["one\ttwo\tscore"]
    for _ in range(700):
        first, second = ("".join(chance.sample("abcdef", 6)) for _ in range(2))
        lines.append(f"{first}\t{second}\t{1000 + 50 * (first.index('a') - second.index('a'))}")
    (tmp_path / "t.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    better = ("task.source=one", "task.second=two", "task.target=score", "model.depth=2", "model.width=32")
    better += ("train.tokens=512", "train.lr=5e-3", "train.evaluations=1", *PLAIN)
    asked: Any = {"settings": (*QUICK, *better), "steps": 250, "quiet": True, "threads": 1}
    trained = regard.train("text-classification", tmp_path / "t.tsv", tmp_path / "run", **asked)
    result = regard.load(trained.folder).evaluate()
    mean = result.baselines["mean of the training part"]
    assert (mean["pearson"], mean["spearman"]) == (0, 0)
    assert result.metrics["pearson"] > 90
    assert result.metrics["spearman"] > 90
    assert result.metrics["rmse"] < mean["rmse"] / 2


def test_a_run_that_was_stopped_ends_as_if_it_never_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(1)
    rows = [f"{''.join(chance.choices('abcd', k=5))}\t{chance.uniform(-5, 5)}" for _ in range(200)]
    data = tmp_path / "t.tsv"
    data.write_text("text\tlabel\n" + "\n".join(rows) + "\n", "utf-8")
    asked: dict[str, Any] = {"settings": (*QUICK, *PLAIN, "train.save_steps=5"), "steps": 12}
    asked |= {"quiet": True, "threads": 1}
    whole = regard.train("text-classification", data, tmp_path / "whole", **asked)
    save = Trainer.save

    def save_and_stop(trainer: Trainer) -> None:
        save(trainer)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            regard.train("text-classification", data, tmp_path / "stopped", **asked)
    resumed = regard.train("text-classification", data, tmp_path / "stopped", resume=True, **asked)
    assert resumed.bundle.tokenizers == whole.bundle.tokenizers
    assert all(torch.equal(x, whole.bundle.weights[key]) for key, x in resumed.bundle.weights.items())
