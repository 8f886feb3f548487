"""The loop: it learns, it is exact about what a step is, and it stops when and as it should."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import asked
from torch import Tensor

import regard
from regard.data.readers import open_data
from regard.data.store import write_store
from regard.errors import NonFiniteLossError
from regard.run import Run
from regard.tasks.metric import scored
from regard.tasks.translation import Translation
from regard.training.device import Place
from regard.training.loop import Trainer, random_seed
from regard.training.plan import Plan
from regard.training.progress import Reporter
from regard.training.resolve import resolve
from regard.weights import read_weights


def train(pairs: Path, out: Path, *settings: str, **options: Any) -> Run:
    wishes = asked(pairs, *settings)
    return regard.train("translation", pairs, out, settings=wishes.settings, quiet=True, threads=1, **options)


def losses(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def trainer(pairs: Path, folder: Path, *settings: str) -> Trainer:
    config = resolve(asked(pairs, *settings, steps=10))
    dataset = open_data(pairs, (None, None))
    task = Translation.prepare(config.task, dataset.split("train"))
    examples = (example for example in task.encode(dataset.split("train")) if example)
    store = write_store(folder / "tokens", examples, task.fields)
    torch.manual_seed(1)
    model = task.configure_model(config.model).build()
    place = Place(torch.device("cpu"))
    made = Trainer(task, model, config.train, store, [], place, folder, Reporter(), "this one")
    made.at.plan = Plan(10, 1)
    return made


# ------------------------------------------------------------------------------------------- learning


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_tiny_model_learns_to_write_words_backwards(pairs: Path, tmp_path: Path, precision: str) -> None:
    """A model whose decoder does not see the source, or whose target is not shifted, gets none right."""
    trained = train(pairs, tmp_path / "run", f"train.precision={precision}", steps=350)
    assert trained.bundle.metrics["validation"]["exact"] >= 60
    assert trained.bundle.metrics["validation"]["token_error_rate"] <= 15
    run = regard.load(trained.folder)
    assert all(weight.dtype == torch.float32 for weight in run.model.state_dict().values())
    rows = list(open_data(pairs, (None, None)).split("test"))
    figures = scored(run.task.metric(), run.predict([row.values[0] for row in rows]), rows)
    assert figures["token_error_rate"] <= 25, "words that nothing was chosen on"


def test_muon_learns_too(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(pairs, out, "train.optimizer=muon", "train.optimizer.lr=0.02", steps=60)
    assert losses(out)[-1] < 0.5 * losses(out)[0]


def test_the_saved_weights_are_the_judged_ones(pairs: Path, tmp_path: Path) -> None:
    """What validation said of the weights that are kept holds of the bundle."""
    trained = train(pairs, tmp_path / "run", "train.average.decay=0.9", steps=120)
    rows = list(open_data(pairs, (None, None)).split("valid"))
    run = regard.load(trained.folder)
    figures = scored(run.task.metric(), run.predict([row.values[0] for row in rows]), rows)
    assert figures == dict(trained.bundle.metrics["validation"])


# ------------------------------------------------------------------------------------- what a step is


@torch.no_grad()
def weights(made: Trainer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in made.model.named_parameters()}


def test_two_halves_accumulated_make_the_step_of_the_whole(pairs: Path, tmp_path: Path) -> None:
    rows = np.arange(32)
    # Damped, or Adam makes whole steps of gradients that are rounding errors.
    damped = ("train.optimizer=adamw", "train.optimizer.eps=1e-3")
    whole = trainer(pairs, tmp_path / "a", *damped)
    halves = trainer(pairs, tmp_path / "b", *damped, "train.accumulate=2")
    for _ in range(3):
        one = whole._step([whole.task.batch(whole.store, rows)])
        two = halves._step([halves.task.batch(halves.store, part) for part in (rows[:9], rows[9:])])
        assert one[1] == two[1]
        assert float(one[0]["loss"]) == pytest.approx(float(two[0]["loss"]), rel=1e-5)
        whole.at.step += 1
        halves.at.step += 1
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(halves)[name], value, rtol=1e-4, atol=1e-5)


def test_the_loss_is_in_nats_a_token_with_label_smoothing_as_published(pairs: Path, tmp_path: Path) -> None:
    """Smoothing (arXiv 1512.00567, section 7): a share of the target spread evenly over the vocabulary."""
    made = trainer(pairs, tmp_path)
    batch: Any = made.task.batch(made.store, np.arange(16))
    made.model.eval()
    logits = made.model(
        batch.source, batch.given, regard.Ragged.from_lengths(batch.source_lengths, batch.source.shape[1])
    )
    logs = logits.flatten(0, 1)[batch.real].log_softmax(-1)
    picked = -logs.gather(1, batch.wanted[:, None]).sum().item()
    spread = -logs.mean(1).sum().item()
    smooth = Translation(replace(made.task.config, smoothing=0.1), made.task.source, made.task.target)
    assert made.task.loss(made.model.eval(), batch)["loss"].item() == pytest.approx(picked, rel=1e-5)
    made.model.training = True  # but not its parts, which drop nothing
    assert smooth.loss(made.model, batch)["loss"].item() == pytest.approx(
        0.9 * picked + 0.1 * spread, rel=1e-5
    )
    assert smooth.loss(made.model.eval(), batch)["loss"].item() == pytest.approx(picked, rel=1e-5)


def test_a_run_depends_on_its_seed_alone(pairs: Path, tmp_path: Path) -> None:
    dropout = ("model.encoder.dropout=0.3", "model.decoder.dropout=0.3")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.manual_seed(hash(name) % 1000)  # whatever was drawn before does not matter
        train(pairs, tmp_path / name, *dropout, steps=12, seed=seed)
    assert losses(tmp_path / "a") == losses(tmp_path / "b") != losses(tmp_path / "c")
    a, b = (read_weights(tmp_path / name / "model.safetensors") for name in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_batches_get_unrelated_seeds() -> None:
    seeds = {random_seed(seed, number) for seed in range(10) for number in range(1000)}
    assert len(seeds) == 10_000
    assert all(0 <= seed < 2**63 for seed in seeds)


# ------------------------------------------------------------------------------------------ how it ends


def test_a_loss_that_is_not_finite_stops_with_the_step_and_a_remedy(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError) as caught:
        train(pairs, tmp_path / "run", "train.lr=1e30", "train.clip=0", steps=40)
    assert "the loss of step 2 (batch 1 of epoch 0) is not a finite number; lower the learning rate" in str(
        caught.value
    )
    assert not (tmp_path / "run" / "config.json").exists()


def test_patience_ends_a_run_that_gets_no_better(pairs: Path, tmp_path: Path) -> None:
    trained = train(
        pairs, tmp_path / "run", "train.lr=1e-9", "train.patience=3", "train.evaluations=50", steps=50
    )
    assert trained.bundle.metrics["ended"] == "patience"
    assert trained.bundle.metrics["steps"] == 4, "the first figure is the best, three more are no better"


def test_of_equal_figures_the_later_weights_are_kept(pairs: Path, tmp_path: Path) -> None:
    """Nothing is right in so few steps: the weights must not be those of the first evaluation."""
    settings = ("train.average=none", "train.evaluations=4", "train.snapshots=4")
    out = train(pairs, tmp_path / "run", *settings, steps=8).folder
    kept, last = (
        read_weights(out / "model.safetensors"),
        read_weights(out / "snapshots/step-000008.safetensors"),
    )
    assert all(torch.equal(kept[name], last[name]) for name in last)


def test_a_budget_ends_then_and_says_its_plan(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way from the words `3s`, on a clock that only steps move (uneven ones: `test_budget`)."""
    seconds, step = [50.0], Trainer._step

    def timed(trainer: Trainer, batches: list[Any]) -> Any:
        seconds[0] += 0.02
        return step(trainer, batches)

    monkeypatch.setattr(Trainer, "_step", timed)
    monkeypatch.setattr("regard.training.meter.now", lambda: seconds[0])
    for module in ("loop", "callbacks"):
        monkeypatch.setattr(f"regard.training.{module}.now", lambda: seconds[0])
    trained = regard.train(
        "translation", pairs, tmp_path / "run", settings=asked(pairs).settings, budget="3s", threads=1
    )
    assert trained.bundle.metrics["seconds"] == pytest.approx(3, rel=0.05)
    assert trained.bundle.metrics["steps"] == pytest.approx(150, rel=0.05)
    assert "steps to fill 3 s" in capsys.readouterr().err
    rates = losses(tmp_path / "run")
    assert rates[-1] < rates[0]


def test_without_validation_rows_the_last_weights_are_kept(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rows = "".join(f"{word}\t{word[::-1]}\n" for word in ("abc", "bcd", "cde", "def"))
    (data / "train.tsv").write_text("source\ttarget\n" + rows)
    (data / "valid.tsv").write_text("source\ttarget\n" + rows)
    trained = train(data, tmp_path / "run", "train.valid_rows=0", steps=3)
    assert trained.bundle.metrics["validation"] == {}
    assert (trained.folder / "model.safetensors").exists()


# -------------------------------------------------------------------------------------------- snapshots


def test_snapshots_are_kept_evenly_along_the_run(pairs: Path, tmp_path: Path) -> None:
    out = train(pairs, tmp_path / "run", snapshots=3, steps=10).folder
    found = sorted(path.name for path in (out / "snapshots").iterdir())
    assert found == ["step-000004.safetensors", "step-000007.safetensors", "step-000010.safetensors"]
    first, last = (read_weights(out / "snapshots" / name) for name in (found[0], found[-1]))
    assert first.keys() == read_weights(out / "model.safetensors").keys()
    assert any(not torch.equal(first[name], last[name]) for name in first)


def test_a_new_run_does_not_keep_the_snapshots_of_the_old(pairs: Path, tmp_path: Path) -> None:
    train(pairs, tmp_path / "run", snapshots=3, steps=10)
    out = train(pairs, tmp_path / "run", snapshots=1, steps=5, overwrite=True).folder
    assert [path.name for path in (out / "snapshots").iterdir()] == ["step-000005.safetensors"]
    assert not (train(pairs, out, steps=2, overwrite=True).folder / "snapshots").exists()
