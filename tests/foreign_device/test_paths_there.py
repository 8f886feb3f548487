"""Every task is trained, resumed, judged, asked and looked into on a device as on the processor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign import foreign_device
from test_registry import DATA, INPUTS, QUICK

import regard
from regard.errors import InputError
from regard.insight.logit_sum import logit_sum
from regard.looking.analyses import analyses
from regard.run import Run
from regard.tasks import TASKS, Decoding, Sampling
from regard.weights import read_weights

every = pytest.mark.parametrize("name", TASKS)
STILL = ("model.dropout=0", "train.optimizer=adamw", "train.lr=1e-3", "train.optimizer.eps=1e-4")
"""Nothing that differs by rounding alone, as the sign of a gradient of nothing does."""
OPTIONS = {
    "translation": (Decoding(max_length=9), Decoding(beam=3, n=2, max_length=9)),
    "text-generation": (
        Decoding(max_length=7),
        Decoding(beam=3, n=3, sampling=Sampling(temperature=2.0, top_k=5, top_p=0.9, seed=3), max_length=7),
    ),
    "fill-mask": (Decoding(beam=2, n=2),),
}

Make = Callable[[str], tuple[Path, Path, Path]]


def settings(name: str, *more: str) -> tuple[str, ...]:
    return (*QUICK, "model.depth=2", "train.evaluations=1", "train.valid_rows=20", *more)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Data of a task, a run that was trained on the processor, and the folder of all this."""

    @cache
    def make(name: str) -> tuple[Path, Path, Path]:
        folder = tmp_path_factory.mktemp("task")
        data = DATA[name](folder)
        train(name, data, folder / "run")
        return data, folder / "run", folder

    return make


def train(name: str, data: Path, out: Path, *more: str, **options: Any) -> None:
    wishes = {"steps": 4, "quiet": True, "threads": 1, "device": "cpu"} | options
    regard.train(name, data, out, settings=settings(name, *STILL, *more), **wishes)


def inputs(name: str, folder: Path) -> list[str]:
    return [str(folder / given) if name.startswith("image") else given for given in INPUTS[name]]


@every
def test_training_is_the_same_there_and_a_step_waits_for_nothing(name: str, made: Make) -> None:
    data, run, folder = made(name)
    counts = []
    for steps in (4, 14):
        with foreign_device() as waits:
            train(name, data, folder / f"there {steps}", device="foreign", steps=steps)
            counts.append(Counter(waits))
    here, there = (read_weights(out / "model.safetensors") for out in (run, folder / "there 4"))
    for key, value in here.items():
        torch.testing.assert_close(there[key], value, atol=1e-3, rtol=1e-2)
    more = counts[1] - counts[0]
    del more["training/checkpoint.py:<dictcomp>"]
    assert more.total() <= 8, more  # one look at the losses in ten steps


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_training_is_resumed_there(optimizer: str, made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from regard.training.callbacks import Saving

    data, _, folder = made("translation")
    whole, parts = folder / f"whole {optimizer}", folder / f"parts {optimizer}"
    kind = ("train.optimizer=muon",) if optimizer == "muon" else ()
    saved = ("train.save_steps=3", *kind)
    save = Saving.step

    def stop(self: Saving, trainer: Any) -> str | None:
        self.stop.asked = trainer.at.step == 4
        return save(self, trainer)

    with foreign_device():
        train("translation", data, whole, *saved, device="foreign", steps=7)
        with monkeypatch.context() as patch:
            patch.setattr(Saving, "step", stop)
            with pytest.raises(KeyboardInterrupt):
                train("translation", data, parts, *saved, device="foreign", steps=7)
        train("translation", data, parts, *saved, device="foreign", steps=7, resume=True)
    one, other = (read_weights(out / "model.safetensors") for out in (whole, parts))
    assert all(torch.equal(one[key], other[key]) for key in one)


def pair(run: Path, dtype: str = "float32") -> tuple[Run, Run]:
    """The same run on the processor and there."""
    return regard.load(run, "cpu", dtype), regard.load(run, "foreign", dtype)


@every
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_answers_are_the_same_there(name: str, dtype: str, made: Make) -> None:
    _, run, folder = made(name)
    with foreign_device():
        here, there = pair(run, dtype)
        for decoding in OPTIONS.get(name, (Decoding(),)):
            if decoding.sampling is not None:  # draws of another device's generator
                there.predictions(inputs(name, folder), decoding)
                continue
            for want, got in zip(
                *(one.predictions(inputs(name, folder), decoding) for one in (here, there)), strict=True
            ):
                close = name == "sentence-similarity" or dtype == "int8"
                assert got.value.plain() == want.value.plain() or close
                assert got.score == pytest.approx(want.score, abs=1e-2 if dtype == "int8" else 1e-4)


@every
def test_judging_is_the_same_there(name: str, made: Make) -> None:
    data, run, _ = made(name)
    with foreign_device():
        here, there = (one.evaluate(data, limit=9, baselines=False).metrics for one in pair(run))
    for key, value in here.items():
        if isinstance(value, float):
            assert there[key] == pytest.approx(value, abs=1e-3, rel=1e-3), key


@every
def test_what_is_inside_is_the_same_there(name: str, made: Make) -> None:
    data, run, folder = made(name)
    text = inputs(name, folder)[0]
    with foreign_device():
        here, there = pair(run)
        assert all(finding.holds for finding in there.verify(inputs(name, folder)))
        one, other = (each.trace(text, OPTIONS.get(name, (Decoding(),))[0]) for each in (here, there))
        assert one.names == other.names
        for key in one.names:
            torch.testing.assert_close(other[key].value, one[key].value, atol=1e-4, rtol=1e-3, equal_nan=True)
        if "head.logits" in one.names:
            whole = one["head.logits"].value.dim() == 1
            assert logit_sum(there.model, other, place=None if whole else -1).difference < 1e-4  # type: ignore[arg-type]
        there.ablate(data, limit=3)
        list(there.write(text))


@every
def test_every_analysis_is_drawn_there(name: str, made: Make) -> None:
    pytest.importorskip("captum")
    _, run, folder = made(name)
    text, other = inputs(name, folder)
    with foreign_device():
        there = regard.load(run, "foreign")
        for analysis in analyses(there.explorer()):
            try:
                there.figure(analysis, text, other=other)
            except InputError:  # as on the processor
                with pytest.raises(InputError):
                    regard.load(run, "cpu").figure(analysis, text, other=other)


def test_words_and_vectors_are_compared_there(made: Make) -> None:
    _, run, _ = made("sentence-similarity")
    with foreign_device():
        here, there = pair(run)
        for among in (["ab", "cd", "a"], None):
            one, other = (each.neighbours(["abc"], among, 2) for each in (here, there))
            assert [str(found.value) for found in one] == [str(found.value) for found in other]


def test_how_a_value_came_to_be_is_played_back_there(made: Make) -> None:
    data, _, folder = made("translation")
    with foreign_device():
        train("translation", data, folder / "snapshots", device="foreign", snapshots=2)
        there = regard.load(folder / "snapshots", "foreign")
        played = there.playback("abc", "decoder.blocks.0.cross.weights")
    assert len(played.entries) == 2


@pytest.mark.parametrize("tune", ["whole", "frozen", "lora"])
def test_a_body_is_trained_further_there(tune: str, made: Make) -> None:
    data, run, folder = made("text-classification")
    out = folder / tune
    with foreign_device():
        train("text-classification", data, out, f"train.tune={tune}", init=run, device="foreign")
        assert regard.load(out, "foreign").predict(["aab"])[0].plain() in "abc"


def test_a_dialogue_goes_on_there(made: Make) -> None:
    """What was read is kept in a cache, cut back and read on."""
    from regard.decode.choose import prompt_stepper_for
    from regard.decode.stepper import KeptPrompt

    _, run, _ = made("text-generation")
    with foreign_device():
        found = []
        for one in pair(run):
            model: Any = one.model
            kept = KeptPrompt()
            for prompt in ([5, 6, 7, 8], [5, 6, 9, 4, 3]):
                stepper = prompt_stepper_for(model, [prompt], 12, kept)
                logits = stepper.step(torch.tensor(prompt[-1:], device=model.device))
                kept.ids = prompt[: kept.cache.length]  # type: ignore[union-attr]
            found.append(logits.cpu())
    torch.testing.assert_close(found[1], found[0], atol=1e-4, rtol=1e-3)
