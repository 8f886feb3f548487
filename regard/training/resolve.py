"""From what a user typed to a run's whole configuration.

In order, each overriding the one before: the task's defaults and the preset, what suits the data set, a
configuration file, single settings (`train.lr=1e-3`), and the options that have a flag of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from regard.errors import ConfigError, both_given, nearest, unknown
from regard.schema import describe, dump, override, parse
from regard.strict_json import read_object
from regard.tasks import TASKS
from regard.tasks.known_data import Suited
from regard.training.config import ENDS, RunConfig, TrainConfig
from regard.training.defaults import FINE_TUNED, SHORT
from regard.training.start import Start
from regard.training.tune import Whole


@dataclass(frozen=True)
class Asked:
    """The options of a run; None where one is left open."""

    task: str
    data: str = ""
    preset: str | None = None
    config: Mapping[str, Any] | str | Path | None = None
    settings: Sequence[str] = ()
    steps: int | None = None
    epochs: float | None = None
    budget: float | None = None
    seed: int | None = None
    snapshots: int | None = None
    source: str | None = None
    target: str | None = None
    init: str | None = None


def started(asked: Asked) -> Start | None:
    """The bundle that training is to start from, if any. Raises: BundleError; ConfigError."""
    file_values, where = _from_file(asked)
    train = file_values.get("train")
    init = asked.init or (train.get("init") if isinstance(train, Mapping) else None)
    if init is None:
        return None
    if not isinstance(init, str):
        sentence = "{where}: {key} is {value!r}; it must be {limit}"
        raise ConfigError(sentence, where, "train.init", init, "the folder of a bundle")
    if asked.preset is not None:
        raise both_given(ConfigError, "--preset", "--init")
    return Start.open(init)


def resolve(asked: Asked, start: Start | None = None) -> RunConfig:
    """The configuration that these options amount to, for a model that begins with the body of `start`.

    Raises: ConfigError naming the key, the value and the nearest thing that would be right.
    """
    if asked.task not in TASKS:
        raise unknown(ConfigError, "task", asked.task, TASKS)
    suited = TASKS[asked.task].known_data.get(asked.data, Suited())
    defaults, settings = _defaults(asked.task, asked.preset or suited.preset), suited.settings
    if start is not None:
        defaults = replace(defaults, model=start.model(defaults.model))
        settings = (*(setting for setting in settings if _keeps_body(setting)), *FINE_TUNED)
    values = _set(dump(defaults), settings)
    file_values, where = _from_file(asked)
    _refuse_short(values, file_values, where)
    values = _merge(values, file_values)
    values = _set(values, asked.settings)
    values = _flags(values, asked)
    config: RunConfig = parse(RunConfig, values, where)
    if (config.train.init is None) != (start is None):
        raise ConfigError("{key} cannot be --set; give it as --init, or in a configuration", "train.init")
    if start is not None and getattr(config.task, "tokenizer", None) is not None:
        sentence = "{key}: the tokenizers come with {where}; leave it out"
        raise ConfigError(sentence, "task.tokenizer", start.folder)
    if start is None and not isinstance(config.train.tune, Whole):
        sentence = "{key}={value} keeps what a model has learned; give --init BUNDLE too"
        raise ConfigError(sentence, "train.tune", config.train.tune.kind)
    return config


def _from_file(asked: Asked) -> tuple[dict[str, Any], str]:
    """What the configuration file says, and where that is."""
    config, where = {} if asked.config is None else asked.config, ""
    if not isinstance(config, Mapping):
        path = Path(config)
        path = path / "config.json" if path.is_dir() else path
        config, where = read_object(path, ConfigError), str(path)
    training = config.get("training", config)
    return dict(training if isinstance(training, dict) else config), where


def _refuse_short(values: dict[str, Any], file_values: Mapping[str, Any], where: str) -> None:
    """Raises: ConfigError for a short name in a configuration file, with the keys that it means there."""
    for name in SHORT:
        part, _, key = name.partition(".")
        inside = file_values.get(part)
        if isinstance(inside, Mapping) and key in inside:
            meant = " and ".join(_meant(values, name))
            sentence = "{where}: {key} is a short name, for --set only; in a configuration it is {limit}"
            raise ConfigError(sentence, where or "the configuration", name, meant)


def _keeps_body(setting: str) -> bool:
    """Whether a setting that suits some data leaves a body and its tokenizers alone."""
    key = setting.partition("=")[0]
    return not key.startswith(("model.", "task.tokenizer", "task.target_tokenizer", "train.optimizer"))


def _defaults(task: str, preset: str) -> RunConfig:
    presets = TASKS[task].presets
    if preset not in presets:
        raise unknown(ConfigError, "preset", preset, presets)
    return RunConfig(TASKS[task].Config(), presets[preset], TrainConfig())


def _merge(base: dict[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """`new` over `base`, key by key; another kind replaces the whole part."""
    merged = dict(base)
    for key, value in new.items():
        old: Any = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, Mapping)
        same = both and value.get("kind") in (None, old.get("kind"))
        merged[key] = _merge(old, value) if same else value
    return merged


def _set(values: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """`values` with some settings. A kind that is set alone begins with its own defaults, since the keys of
    another would be unknown to it."""
    for setting in settings:
        key, equals, value = setting.partition("=")
        key = key.strip()
        for path in _meant(values, key):
            if equals and key and path not in _known_keys():
                hint = nearest(key, [*SHORT, *_known_keys()])
                raise ConfigError("{key} is not a known key", key, remedy=hint)
            values = override(values, f"{path}{equals}{value}")
    return values


def _meant(values: dict[str, Any], key: str) -> list[str]:
    """What a name stands for: of a short one, the keys of those parts that this model has."""
    paths = SHORT.get(key, (key.removesuffix(".kind"),))
    model = values.get("model")
    parts = model if isinstance(model, Mapping) else {}
    here = [path for path in paths if not path.startswith("model.") or path.split(".")[1] in parts]
    return here or list(paths)


@cache
def _known_keys() -> dict[str, None]:
    """All keys of all kinds, in order."""
    return dict.fromkeys(key.path for key in describe(RunConfig))


def _flags(values: dict[str, Any], asked: Asked) -> dict[str, Any]:
    given = {name: value for name, value in vars(asked).items() if value is not None}
    ends = {name: given[name] for name in ENDS if name in given}
    train, task = values["train"], values["task"]
    if not isinstance(train, Mapping) or not isinstance(task, Mapping):
        return values  # which will be refused by name
    train, task = dict(train), dict(task)
    if ends:
        train.update(dict.fromkeys(ENDS, None) | ends)
    train.update((name, given[name]) for name in ("seed", "snapshots", "init") if name in given)
    for name, option in (("source", "--from"), ("target", "--to")):
        if name in given:
            if name not in task:
                raise ConfigError("{where} has no column for {key}", asked.task, option)
            task[name] = given[name]
    return {**values, "train": train, "task": task}
