"""A trained model as a folder that holds all of it: configuration, weights, tokenizers and figures.

    config.json             format, task, model, training, data, versions; the hashes of the other files
    model.safetensors       each weight once, also one that the model uses in two places
    tokenizer.json          and other files of the task: tokenizer.target.json where there are two,
                            labels.json, image_processor.json, threshold.json
    metrics.json            what it scored; the only file that no hash binds

A bundle is replaced as one (`regard.files.atomic_files`) and read as one: what the files claim is checked
against each other and against the model that the configuration describes, before memory is taken for it.
No pickle is read or written. This file does not know what a task is, nor how a tokenizer works.
"""

from __future__ import annotations

import hashlib
import platform
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from regard import __version__
from regard.errors import BundleError, ConfigError, RegardError, damaged, nearest, reading, wrong_size
from regard.files import atomic_files, check_space, listing, resolve, write_json
from regard.model.transformer import ModelConfig
from regard.schema import dump, parse
from regard.strict_json import VOCABULARY, plain, read_object, read_text
from regard.weights import Entry, check_finite, most_blocks, read_header, read_weights, write_weights

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

FORMAT = 1  # the newest format that is read, and the one that is written

CONFIG, WEIGHTS, METRICS = "config.json", "model.safetensors", "metrics.json"
_TRAINING = "training"  # as `training/folder.py` has it, as long as there is no bundle
TASK_FILE = re.compile(r"(?!(config|metrics)\.json)[a-z][a-z0-9_]{0,40}(\.[a-z0-9_-]{1,40})?\.json")
_RENAMED = {"pictures.json": "image_processor.json"}  # files of 0.1.0

_ATTEMPTS, _PAUSE = 10, 0.005  # seconds; each pause is longer by this than the one before
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_SIZES = ("depth", "width", "heads", "kv_heads", "head_width")  # what loops and tables are made of


@dataclass(frozen=True)
class Bundle:
    """A trained model, what is needed to use it, and where it comes from."""

    task: str
    """What it was trained for: `translation`."""
    model: ModelConfig
    """What `weights` are the weights of."""
    weights: Mapping[str, Tensor]
    """As `state_dict()` gives them; of tied names one is enough."""
    tokenizers: Mapping[str, str]
    """File name to JSON text."""
    training: Mapping[str, JSON]
    """The whole resolved configuration of the run."""
    data: Mapping[str, JSON]
    """What it was trained on: name, columns, counts, licence."""
    metrics: Mapping[str, JSON]
    """What it scored."""
    versions: Mapping[str, str]
    """Of the software that made it; see `software_versions`."""

    @property
    def parameters(self) -> int:
        """How many numbers were learned; those that several parts share count once."""
        return sum(weight.numel() for weight in self.weights.values())

    def build(self) -> nn.Module:
        """The model with these weights, in eval mode. Raises BundleError if they are not its weights."""
        layout = _Layout.of(self.model, "the bundle")
        weights = layout.canonical(self.weights, "the bundle")
        # Building draws random numbers that loading has no business to use up.
        with torch.random.fork_rng(devices=[]), _building("the bundle"):
            model = self.model.build()
        model.load_state_dict({name: weights[first] for name, first in layout.first.items()}, strict=True)
        return model.eval()


def renamed(files: Mapping[str, str]) -> dict[str, str]:
    """A task's files by the names that they have now."""
    return {_RENAMED.get(name, name): text for name, text in files.items()}


def software_versions() -> dict[str, str]:
    """What a bundle that is written now says of the software that made it."""
    return {"regard": __version__, "torch": str(torch.__version__), "python": platform.python_version()}


def is_bundle(folder: str | Path) -> bool:
    """Whether there is a bundle in `folder`, good or bad; `load` tells which."""
    return resolve(folder, CONFIG).is_file()


def save(bundle: Bundle, folder: str | Path) -> None:
    """Write `folder`, or replace the bundle in it as one. Figures that are not finite become null.

    Raises BundleError if the weights are not the model's or not finite, StorageError if there is no room or
    no permission.
    """
    place = Path(folder)
    assert all(TASK_FILE.fullmatch(name) for name in bundle.tokenizers), sorted(bundle.tokenizers)
    weights = _Layout.of(bundle.model, "the bundle").canonical(bundle.weights, "the bundle")
    check_finite(weights, "the bundle")
    check_space(place, sum(weight.nbytes for weight in weights.values()))
    with atomic_files(place, [CONFIG, WEIGHTS, METRICS, *bundle.tokenizers]) as writing:
        write_weights(writing / WEIGHTS, weights, shown=place / WEIGHTS)
        for name, text in bundle.tokenizers.items():
            (writing / name).write_text(text, encoding="utf-8", newline="")
        write_json(writing / METRICS, _finite(bundle.metrics))
        config = _Config(
            format=FORMAT,
            task=bundle.task,
            model=dump(bundle.model),
            training=_finite(bundle.training),
            data=_finite(bundle.data),
            versions=dict(bundle.versions),
            files={name: _fingerprint(writing / name) for name in (WEIGHTS, *bundle.tokenizers)},
        )
        write_json(writing / CONFIG, asdict(config))


def load(folder: str | Path) -> Bundle:
    """Read the bundle in `folder`; while another process replaces it, again until all is of one bundle.

    Raises BundleError: no bundle, or one that is damaged, incomplete, too new or not what it claims.
    """
    place = Path(folder)
    for attempt in range(_ATTEMPTS):
        time.sleep(attempt * _PAUSE)
        before = _state(place)
        try:
            with reading(BundleError, place):
                bundle = _load(place)
        except BundleError:
            if _state(place) == before:
                raise
        else:
            if _state(place) == before:
                return bundle
    sentence = "{where} was replaced again and again while it was read; wait until its writer ends"
    raise BundleError(sentence, place)


def weights_of(model: ModelConfig, where: str) -> Mapping[str, Entry]:
    """The weights of such a model, once each; takes no memory. Raises BundleError, which names `where`."""
    return _Layout.of(model, where).entries


# ----------------------------------------------------------------------------------- config.json


@dataclass(frozen=True)
class _Fingerprint:
    """What `config.json` says of another file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class _Config:
    """`config.json`; the model in it is parsed after the weights' header has been looked at."""

    format: int
    task: str
    model: dict[str, Any]
    training: dict[str, Any]
    data: dict[str, Any]
    versions: dict[str, str]
    files: dict[str, _Fingerprint]


def _load(place: Path) -> Bundle:
    config = _read_config(place)
    entries = read_header(_file(place, WEIGHTS), shown=place / WEIGHTS)
    for name, recorded in config.files.items():
        if (size := _file(place, name).stat().st_size) != recorded.bytes:
            raise wrong_size(BundleError, place / name, size, recorded.bytes, "copy or train it again")
    _check_sizes(config.model, entries, place)
    with _building(place / CONFIG):
        model: ModelConfig = parse(ModelConfig, config.model, prefix="model")
    _Layout.of(model, f"{place / CONFIG}").check(entries, f"{place / WEIGHTS}")
    files = {name: file for name, file in config.files.items() if name != WEIGHTS}
    texts = renamed({name: _read_text(place, name, file) for name, file in files.items()})
    return Bundle(
        task=config.task,
        model=model,
        weights=read_weights(_file(place, WEIGHTS), place / WEIGHTS, config.files[WEIGHTS].sha256),
        tokenizers=texts,
        training=config.training,
        data=config.data,
        metrics=read_object(_file(place, METRICS), BundleError, place / METRICS),
        versions=config.versions,
    )


def _read_config(place: Path) -> _Config:
    if not place.exists():
        sentence = "{where} does not exist; give the folder that `regard train` or `import` wrote"
        raise BundleError(sentence, place)
    if not place.is_dir():
        raise BundleError("{where} is a file, not a bundle; give the folder that `regard train` wrote", place)
    if not resolve(place, CONFIG).exists() and (place / _TRAINING).is_dir():
        raise BundleError("{where} is being trained, or was stopped; wait, or go on with --resume", place)
    if not resolve(place, CONFIG).exists():
        raise BundleError("{where} is not a bundle: it has no {key}", place, CONFIG)
    data = read_object(_file(place, CONFIG), BundleError, place / CONFIG)
    if "model_type" in data and "format" not in data:
        sentence = (
            "{where} is a checkpoint of another library, not a bundle; make one of it with `regard import"
            " {where} RUN`, and give RUN"
        )
        raise BundleError(sentence, place)
    written = data.get("format")
    if isinstance(written, int) and written > FORMAT:
        sentence = (
            "{where} is a bundle of format {value}, from a newer regard, and this one reads up to {limit};"
            " pip install --upgrade regard"
        )
        raise BundleError(sentence, place, written, FORMAT)
    try:
        config: _Config = parse(_Config, data, where=str(place / CONFIG))
    except ConfigError as error:
        raise BundleError.of(error) from error
    if config.format != FORMAT:
        sentence = "{where}: {key} is {value}; it must be {limit}"
        raise BundleError(sentence, place / CONFIG, "format", config.format, FORMAT)
    for name in config.files:
        if name != WEIGHTS and not TASK_FILE.fullmatch(name):
            raise BundleError("{where}: '{key}' cannot be a file of a bundle", place / CONFIG, name)
    if WEIGHTS not in config.files:
        raise BundleError("{where}: {key} is missing", place / CONFIG, f"files.{WEIGHTS}")
    return config


def _state(place: Path) -> dict[str, tuple[int, int]]:
    """Which files make up the bundle at this moment: another one of the same name has another number."""
    files = {}
    for path in listing(place):
        if path.name in (CONFIG, WEIGHTS, METRICS) or TASK_FILE.fullmatch(path.name):
            with suppress(FileNotFoundError):  # moved on since it was listed
                status = path.stat()
                files[str(path)] = (status.st_ino, status.st_mtime_ns)
    return files


def _check_sizes(model: object, entries: Mapping[str, Entry], place: Path) -> None:
    """Refuse a billion layers before a loop tries to make them: no size exceeds what the weights show."""
    largest = max([len(entries), *(size for entry in entries.values() for size in entry.shape)])
    open_ = [model]
    while open_:
        here = open_.pop()
        if not isinstance(here, Mapping):
            continue
        for key, value in here.items():
            limit = most_blocks(entries) if key == "depth" else largest
            if key in _SIZES and isinstance(value, int) and value > limit:
                sentence = "{where}: {key} is {value}, for which the weights have no room; it can be {limit}"
                raise BundleError(sentence, place / CONFIG, key, value, f"up to {limit}")
            open_.append(value)


# ----------------------------------------------------------------------------------- the weights


class _Weightless(TorchFunctionMode):
    """Parameters made inside have a shape but no memory; tables that are computed are computed."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (torch.empty, torch.zeros, torch.ones, torch.full):
            return func(*args, **{**kwargs, "device": "meta"})
        first = args[0] if args else kwargs.get("tensor")
        in_place = func.__name__.endswith("_") and not func.__name__.endswith("__")
        if in_place and isinstance(first, Tensor) and first.is_meta:
            return first  # filling in place: nothing to fill, and torch would load its compiler to find out
        return func(*args, **kwargs)


@dataclass(frozen=True)
class _Layout:
    """The weights that a model has: `first` maps each name to the first name of the same tensor."""

    entries: Mapping[str, Entry]
    first: Mapping[str, str]

    @classmethod
    def of(cls, config: ModelConfig, where: str) -> _Layout:
        with _Weightless(), _building(where):
            tensors = config.build().state_dict(keep_vars=True)
        names: dict[int, str] = {}
        first = {name: names.setdefault(id(tensor), name) for name, tensor in tensors.items()}
        return cls({name: Entry.of(tensors[name]) for name in names.values()}, first)

    def canonical(self, weights: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
        """`weights` once each, under their first names, checked."""
        once: dict[str, Tensor] = {}
        for name, weight in weights.items():
            known = once.setdefault(self.first.get(name, name), weight)
            if known is not weight and not torch.equal(known, weight):
                sentence = "{where}: '{key}' must equal '{limit}', to which it is tied"
                raise BundleError(sentence, where, name, self.first[name])
        self.check({name: Entry.of(weight) for name, weight in once.items()}, where)
        return once

    def check(self, entries: Mapping[str, Entry], where: str) -> None:
        """Refuse a missing, an extra, a mis-shaped or a wrongly typed weight by name."""
        for name, expected in self.entries.items():
            if name not in entries:
                sentence = "{where}: the weight '{key}' is missing"
                raise BundleError(sentence, where, name, remedy=nearest(name, entries))
            if entries[name] != expected:
                sentence = "{where}: the weight '{key}' is {value}, the model's is {limit}"
                raise BundleError(sentence, where, name, entries[name], expected)
        for name in entries:
            if name not in self.entries:
                sentence = "{where}: the model has no weight '{key}'"
                raise BundleError(sentence, where, name, remedy=nearest(name, self.entries))


# ----------------------------------------------------------------------------------- files and JSON


def _file(place: Path, name: str) -> Path:
    """Where a file of the bundle is read from."""
    path = resolve(place, name)
    if path.is_file():
        return path
    pickles = sorted(other.name for other in place.iterdir() if other.suffix in _PICKLES)
    if name == WEIGHTS and pickles:
        sentence = "{where} has no {key}; {value} may be a pickle, and those are never read"
        raise BundleError(sentence, place, name, pickles[0])
    raise BundleError("{where} is not a whole bundle: {key} is missing", place, name)


def _read_text(place: Path, name: str, recorded: _Fingerprint) -> str:
    text = read_text(_file(place, name), VOCABULARY.bytes, BundleError, place / name)
    if hashlib.sha256(text.encode("utf-8")).hexdigest() != recorded.sha256:
        raise damaged(BundleError, place / name, "it is not what was recorded of it")
    return text


def _fingerprint(path: Path) -> _Fingerprint:
    with reading(BundleError, path), path.open("rb") as file:
        return _Fingerprint(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _finite(value: Any) -> Any:
    """JSON has no infinity: null instead."""
    return plain(value, lambda number: None)


@contextmanager
def _building(where: str | Path) -> Iterator[None]:
    """What a model's parts refuse is the configuration's fault."""
    try:
        yield
    except (RegardError, ValueError, TypeError, ArithmeticError, RuntimeError, MemoryError) as error:
        raise BundleError.of(error, where=where) from error
