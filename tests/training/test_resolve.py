"""From wishes to a configuration: what overrides what, and that a run's own configuration comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import asked

import regard
from regard.errors import ConfigError
from regard.model.feedforward import MLP
from regard.model.presets import ENCODER_DECODER
from regard.model.transformer import EncoderDecoderConfig
from regard.schema import dump
from regard.training.average import Tail
from regard.training.config import TrainConfig
from regard.training.optim import AdamW, Muon
from regard.training.resolve import Asked, resolve
from regard.training.schedule import Linear
from tests.shared import refused


def wish(**wishes: Any) -> Asked:
    return Asked("translation", **wishes)


def test_a_preset_gives_the_model_its_sizes() -> None:
    for name, preset in ENCODER_DECODER.items():
        config = resolve(wish(preset=name))
        assert config.model.encoder.width == preset.width
        assert config.model.encoder.depth == config.model.decoder.depth


def test_a_file_overrides_the_preset_a_setting_the_file_and_a_flag_both(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"train": {"seed": 2, "clip": 2.0, "tokens": 222}}))
    config = resolve(wish(config=file, settings=["train.clip=3", "train.seed=3"], seed=4)).train
    assert (config.tokens, config.clip, config.seed) == (222, 3.0, 4)


def test_what_suits_a_known_set_is_overridden_by_a_setting() -> None:
    assert resolve(wish(data="spelling")).task.metric == "exact"
    assert resolve(wish(data="spelling", settings=["task.metric=chrf"])).task.metric == "chrf"
    assert resolve(wish(data="./spelling")).task.metric == "bleu"


def test_a_flag_that_ends_training_replaces_the_other_ends() -> None:
    train = resolve(wish(config={"train": {"steps": 7}}, budget=60.0)).train
    assert (train.steps, train.epochs, train.budget) == (None, None, 60.0)


def test_two_ends_in_settings_contradict() -> None:
    with refused(ConfigError, key="steps", value="budget"):
        resolve(wish(settings=["train.steps=5", "train.budget=60"]))


def test_another_kind_replaces_the_whole_part() -> None:
    config = resolve(wish(config={"train": {"optimizer": {"kind": "adamw"}, "schedule": "linear"}}))
    assert config.train.optimizer == AdamW()
    assert config.train.schedule == Linear()


@pytest.mark.parametrize("key", ["train.optimizer", "train.optimizer.kind"])
def test_a_kind_set_alone_begins_with_its_own_defaults(key: str) -> None:
    config = resolve(wish(settings=[f"{key}=adamw", "train.lr=0.5", "train.average=tail"]))
    assert config.train.optimizer == AdamW(lr=0.5)
    assert config.train.average == Tail()


def test_what_people_change_most_has_a_short_name() -> None:
    config = resolve(
        wish(settings=["train.lr=0.25", "model.dropout=0.5", "model.width=64", "model.hidden=96"])
    )
    assert config.train.optimizer == Muon(lr=0.25)
    assert isinstance(config.model, EncoderDecoderConfig)
    for stack in (config.model.encoder, config.model.decoder):
        assert (stack.width, stack.feedforward) == (64, MLP(hidden=96))
    assert (config.model.encoder.dropout, config.model.decoder.dropout) == (0.5, 0.5)


def test_a_data_set_with_a_name_brings_what_suits_it_and_the_user_decides() -> None:
    suited = resolve(wish(data="spelling")).model
    asked = resolve(wish(data="spelling", preset="small", settings=["model.dropout=0.2"])).model
    assert isinstance(suited, EncoderDecoderConfig)
    assert isinstance(asked, EncoderDecoderConfig)
    assert (suited.encoder.width, suited.tying) == (ENCODER_DECODER["mini"].width, "two-way")
    assert (asked.encoder.width, asked.encoder.dropout) == (ENCODER_DECODER["small"].width, 0.2)


@pytest.mark.parametrize("data", ["spelling", "pinyin", "dates"])
def test_what_suits_a_data_set_is_said_for_one_task(data: str) -> None:
    assert resolve(Asked("translation", data)).train != TrainConfig()
    assert resolve(Asked("fill-mask", data)).train == TrainConfig()


@pytest.mark.parametrize(
    ("wishes", "parts"),
    [
        (
            {"task": "tranlation"},
            {
                "key": "task",
                "value": "tranlation",
                "limit": "fill-mask, image-classification,",
                "remedy": "did you mean 'translation'?",
            },
        ),
        (
            {"preset": "tinny"},
            {
                "key": "preset",
                "value": "tinny",
                "limit": "micro, mini, tiny, small, base, big",
                "remedy": "did you mean 'tiny'?",
            },
        ),
        ({"settings": ["train.stpes=5"]}, {"key": "train.stpes", "remedy": "did you mean 'train.steps'?"}),
        ({"settings": ["trian.steps=5"]}, {"key": "trian.steps", "remedy": "did you mean 'train.steps'?"}),
        (
            {"settings": ["train.optimizer=adamx"]},
            {
                "key": "train.optimizer.kind",
                "value": '"adamx"',
                "limit": "one of 'adamw', 'muon'",
                "remedy": "did you mean 'adamw'?",
            },
        ),
        (
            {"settings": ["model.encoder.dropuot=0"]},
            {"key": "model.encoder.dropuot", "remedy": "did you mean 'model.encoder.dropout'?"},
        ),
        ({"task": "text-generation", "target": "de"}, {"key": "--to"}),
        ({"settings": ["train.lrr=1"]}, {"key": "train.lrr", "remedy": "did you mean 'train.lr'?"}),
        ({"settings": ["train.steps"]}, {"key": "--set", "limit": "KEY=VALUE, as in train.lr=1e-3"}),
        ({"settings": ["=5"]}, {"key": "--set", "limit": "KEY=VALUE, as in train.lr=1e-3"}),
        ({"settings": ["train=5"]}, {"key": "train", "value": "5", "limit": "a dictionary of TrainConfig"}),
        (
            {"settings": ["train.steps=many"]},
            {"key": "train.steps", "value": '"many"', "limit": "an integer or null"},
        ),
        (
            {"settings": ["train.steps=1.5"]},
            {"key": "train.steps", "value": "1.5", "limit": "an integer or null"},
        ),
        (
            {"settings": ["train.lr=-1"]},
            {"key": "train.optimizer.lr", "value": -1.0, "limit": "more than 0 and at most 1e+30"},
        ),
        (
            {"settings": ["train.optimizer=adamw", "train.optimizer.beta2=1"]},
            {"key": "train.optimizer.beta2", "value": 1.0, "limit": "at least 0 and less than 1"},
        ),
        (
            {"settings": ["train.schedule.floor=2"]},
            {"key": "train.schedule.floor", "value": 2.0, "limit": "from 0 to 1"},
        ),
        (
            {"settings": ["train.average.decay=1"]},
            {"key": "train.average.decay", "value": 1.0, "limit": "at least 0 and less than 1"},
        ),
        ({"settings": ["task.max_length=0"]}, {"key": "task.max_length", "value": 0, "limit": "1 or more"}),
        (
            {"settings": ["task.smoothing=1"]},
            {"key": "task.smoothing", "value": 1.0, "limit": "at least 0 and less than 1"},
        ),
        ({"settings": ["train.accumulate=0"]}, {"key": "train.accumulate", "value": 0, "limit": "1 or more"}),
        (
            {"steps": 0},
            {"key": "train.steps", "value": 0, "limit": "more than 0 and at most 9,007,199,254,740,992"},
        ),
        (
            {"epochs": -1.0},
            {"key": "train.epochs", "value": -1.0, "limit": "more than 0 and at most 9,007,199,254,740,992"},
        ),
        ({"seed": -1}, {"key": "train.seed", "value": -1, "limit": "0 or more"}),
        ({"config": {"train": {"stepz": 1}}}, {"key": "train.stepz", "remedy": "did you mean 'steps'?"}),
        (
            {"config": {"train": {"lr": 1e-3}}},
            {"key": "train.lr", "limit": "train.optimizer.lr"},
        ),
        (
            {"config": {"model": {"width": 32}}},
            {"key": "model.width", "limit": "model.encoder.width and model.decoder.width"},
        ),
        ({"config": {"train": 5}}, {"key": "train", "value": "5", "limit": "a dictionary of TrainConfig"}),
        ({"config": "no/such.json"}, {"value": "No such file or directory"}),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_by_name_with_the_nearest(
    wishes: dict[str, Any], parts: dict[str, Any]
) -> None:
    with refused(ConfigError, **parts) as caught:
        resolve(Asked(**{"task": "translation", **wishes}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[1]", "5", "nul", "\0", '{"a": ' * 2000, "{'a': 1}"])
def test_a_file_that_is_no_configuration_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(content)
    with refused(ConfigError, where="mine.json"):
        resolve(wish(config=path))


def test_a_configuration_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(b"\xff\xfe{}")
    with refused(ConfigError, value="it is not UTF-8 text", where="mine.json"):
        resolve(wish(config=path))


def test_a_run_gives_back_its_configuration(pairs: Path, tmp_path: Path) -> None:
    wishes = asked(pairs, "train.clip=0.5", steps=2, source="source")
    run = tmp_path / "run"
    regard.train("translation", pairs, run, steps=2, source="source", settings=wishes.settings, quiet=True)
    again = resolve(Asked("translation", str(pairs), config=run))
    assert again == resolve(wishes)
    written = tmp_path / "own.json"
    written.write_text(json.dumps(dump(again)))
    assert resolve(Asked("translation", str(pairs), config=written)) == again
