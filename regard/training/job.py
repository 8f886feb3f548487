"""A whole training job: data in, a bundle out.

Opens the data, trains the tokenizers, writes the ids to a memory-mapped store, builds the model, runs the
loop, saves the bundle. While it runs, everything that `--resume` needs is in `OUT/training`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from regard import bundle as bundles
from regard.data.field import Encoded, Field
from regard.data.readers import Preview
from regard.data.rows import DataSet, Rows
from regard.data.store import ExampleStore, open_store, write_store
from regard.errors import BundleError, ConfigError, DataError, outside, require
from regard.files import human_bytes, write_json
from regard.machine import keep_freed_memory
from regard.model.describe import describe
from regard.model.device import slow_warning
from regard.model.lora import merge
from regard.model.position import Learned
from regard.model.stack import StackConfig
from regard.model.transformer import ModelConfig
from regard.schema import dump, parse
from regard.strict_json import VOCABULARY, read_object
from regard.tasks import TASKS
from regard.tasks.protocols import AdaptsToColumns, Calibrates, Initialises
from regard.tasks.task import NO_FILES, Task, open_columns
from regard.training.adapter import ADAPTER, save_adapter
from regard.training.checkpoint import FILE, other_run
from regard.training.config import RunConfig
from regard.training.device import Place, check_memory
from regard.training.folder import STATE, claimed, finish, owned
from regard.training.loop import Trainer
from regard.training.progress import Reporter, clock, fetching
from regard.training.resolve import Asked, resolve, started
from regard.training.start import Start
from regard.training.tune import LoRA, Whole, tuned
from regard.weights import digest

_LOG = logging.getLogger(__name__)
_CONFIG, _EXAMPLES = "run.json", "examples"
_MOST_WORKERS = 256


@dataclass(frozen=True)
class _Prepared:
    """What a run is trained on, made by one process and then opened by all."""

    config: RunConfig
    """With the sizes that the data decided."""
    dataset: DataSet
    task: Task
    store: ExampleStore
    left_out: int
    """Examples over the task's length."""


class Job:
    """What was asked for, to be trained into the folder `out`.

    workers: processes that decode images and the like while training goes on; with 0 that is done once, and
    what it gives is kept on disk. Raises: ConfigError for too many.
    """

    def __init__(
        self, asked: Asked, out: Path, place: Place, reporter: Reporter, on_error: str, workers: int
    ) -> None:
        require(0 <= workers <= _MOST_WORKERS, "workers", workers, f"from 0 to {_MOST_WORKERS}")
        self.asked, self.data, self.out, self.place = asked, asked.data, out, place
        self.reporter, self.on_error, self.workers = reporter, on_error, workers
        self.state = out / STATE
        self.start: Start | None = None
        self.begun: dict[str, Any] = {}
        """The configuration and the tokenizers that the run was begun with, as they were written then."""

    def run(self, resume: bool, overwrite: bool) -> None:
        """Leave a bundle in the folder.

        Raises: InputError for options, data or a folder that cannot be used; StorageError;
        NonFiniteLossError; KeyboardInterrupt after saving, when told to stop.
        """
        keep_freed_memory()
        self.start = started(self.asked)
        config = self._decided(resolve(self.asked, self.start))
        _check_model(config, self.place)  # before any work
        with owned(self.out, resume=resume, overwrite=overwrite) if self.place.is_main else nullcontext():
            self._run(config, resume)

    def _run(self, config: RunConfig, resume: bool) -> None:
        is_main = self.place.is_main
        precision = getattr(torch, config.train.precision)
        if is_main and (slow := slow_warning(self.place.device, precision, "train.precision=float32")):
            _LOG.warning(slow)
        with claimed(self.out, resume=resume) if is_main else nullcontext():
            prepared = self._prepare(config, resume) if is_main else None
            self.place.barrier()
            prepared = prepared if is_main else self._prepare(config, resume)
            if prepared is None:
                return
            trainer = self._trainer(config, prepared)
            self.start = None  # its weights have served
        ended = trainer.run(resume=resume and (self.state / FILE).exists())
        if is_main:
            if isinstance(prepared.task, Calibrates):
                prepared.task.calibrate(trainer.model, trainer.valid[: config.train.valid_rows])
            self._save(config, prepared, trainer, ended)
        self.place.barrier()  # so that every process finds the bundle

    def _decided(self, config: RunConfig) -> RunConfig:
        """With what the configuration leaves to the data."""
        kind = TASKS[self.asked.task]
        if not issubclass(kind, AdaptsToColumns):
            return config
        return replace(config, task=kind.adapted(config.task, Preview(self.data, self.on_error)))

    def _prepare(self, config: RunConfig, resume: bool) -> _Prepared | None:
        """Data, tokenizers and ids; None if this very run has come to its end before."""
        on_progress = fetching(self.reporter, self.data)
        kind = TASKS[self.asked.task]
        columns = kind.columns(config.task)
        dataset = open_columns(columns, self.data, on_error=self.on_error, progress=on_progress)
        if resume and not self.state.is_dir():
            self._check_finished(config, dataset)
            return None
        task = self._task(config, dataset, resume)
        fitted = RunConfig(config.task, _complete(task.configure_model(config.model)), config.train)
        return _Prepared(fitted, dataset, task, *self._store(task, dataset, resume, config.train.seed))

    def _trainer(self, config: RunConfig, prepared: _Prepared) -> Trainer:
        """The model, introduced to the user, and what trains it."""
        dataset, task = prepared.dataset, prepared.task
        valid = list(islice(dataset.splits.get("valid", Rows.of([])), config.train.valid_rows))
        _check_model(prepared.config, self.place)
        torch.manual_seed(config.train.seed)
        model = prepared.config.model.build().to(self.place.device)
        notes = task.initialise(model) if isinstance(task, Initialises) else []
        if self.start is not None:
            notes += self.start.put(model, task.files())
            notes += tuned(model, config.train.tune)
        for line in notes:
            self.reporter.say(f"start   {line}")
        self._introduce(dataset, task, prepared.store, prepared.left_out, model)
        identity = _identity(prepared.config, dataset, self.begun, self.start)
        return Trainer(
            task,
            model,
            config.train,
            prepared.store,
            valid,
            self.place,
            self.state,
            self.reporter,
            identity,
            workers=self.workers,
        )

    def _check_finished(self, config: RunConfig, dataset: DataSet) -> None:
        """Of a run that ended before it was resumed. Raises: BundleError when it was another."""
        bundle = bundles.load(self.out)
        if not _same(bundle.training, config) or bundle.data.get("fingerprint") != dataset.fingerprint:
            raise other_run(self.out)
        self.reporter.say(f"{self.out} was trained to its end already")

    def _task(self, config: RunConfig, dataset: DataSet, resume: bool) -> Task:
        """The task with its tokenizers: trained now, or as the run that is resumed left them."""
        kind = TASKS[self.asked.task]
        path = self.state / _CONFIG
        if resume and path.is_file():
            try:
                saved = read_object(path, BundleError, limit=VOCABULARY)
                self.begun = {"training": saved["training"], "tokenizers": dict(saved["tokenizers"])}
            except (BundleError, ValueError, LookupError, TypeError) as problem:
                sentence = "{where} is damaged; give --overwrite instead of --resume to start anew"
                raise BundleError(sentence, path) from problem
            if not _same(saved["training"], config) or saved.get("fingerprint") != dataset.fingerprint:
                raise other_run(self.out)
            return kind.prepare(config.task, None, bundles.renamed(self.begun["tokenizers"]))
        self.reporter.busy("training the tokenizers")
        files = NO_FILES if self.start is None else self.start.bundle.tokenizers
        task = kind.prepare(config.task, dataset.split("train"), files)
        self.begun = {"training": dump(config), "tokenizers": task.files()}
        if self.place.is_main:
            write_json(path, {**self.begun, "fingerprint": dataset.fingerprint})
        return task

    def _store(self, task: Task, dataset: DataSet, resume: bool, seed: int) -> tuple[ExampleStore, int]:
        """The training part as arrays on disk: written once, mapped by all processes."""
        path, fields, references = self.state / _EXAMPLES, task.fields, self.workers > 0
        if references and not any(field.decode for field in fields):
            raise ConfigError(
                "workers is {value}, but {key} has nothing that they could decode; leave it out",
                self.workers,
                task.name,
            )
        left_out = 0

        def examples() -> Iterator[Encoded]:
            nonlocal left_out
            for number, example in enumerate(task.encode(dataset.split("train"))):
                if number % 1000 == 0:
                    self.reporter.busy(f"encoding examples: {number:,} examples")
                if example is None:
                    left_out += 1
                else:
                    yield example

        if self.place.is_main and not (resume and _is_store(path, fields, references)):
            write_store(path, examples(), fields, references=references)
        store = open_store(path, fields, seed, references=references)
        if not len(store):
            raise DataError("{where} has no training examples that could be used", self.data)
        return store, left_out

    def _introduce(
        self, dataset: DataSet, task: Task, store: ExampleStore, left_out: int, model: nn.Module
    ) -> None:
        """The run's first lines: the data, what was left out, where the ids are, and the model by parts."""
        say = self.reporter.say
        say(f"data    {dataset.name}: {len(store):,} training examples ({' → '.join(dataset.columns)})")
        for line in str(dataset.report).splitlines():
            say(f"        {line}")
        if left_out:
            most = getattr(task.config, "max_length", None)
            reason = "the task cannot use them" if most is None else f"over task.max_length = {most} tokens"
            say(f"        {left_out:,} left out: {reason}")
        for line in task.notes():
            say(f"        {line}")
        fields = ", ".join(map(str, store.fields))
        say(f"fields  {fields}; {human_bytes(store.nbytes)} in {store.path}")
        for line in str(describe(model)).splitlines():
            say(f"model   {line}")
        threads = _counted(torch.get_num_threads(), "thread", "threads")
        processes = _counted(self.place.world, "process", "processes")
        say(f"device  {self.place.device}, {threads}, {processes}")

    def _save(self, config: RunConfig, prepared: _Prepared, trainer: Trainer, ended: str) -> None:
        dataset, task, model, at = prepared.dataset, prepared.task, trainer.model, trainer.at
        if isinstance(config.train.tune, LoRA):
            save_adapter(model, config.train.tune, str(config.train.init), self.state / ADAPTER)
            merge(model)
        bundle = bundles.Bundle(
            task=task.name,
            model=prepared.config.model,
            weights=model.state_dict(),
            tokenizers=task.files(),
            training=dump(config),
            data={
                "name": dataset.name,
                "columns": list(dataset.columns),
                "examples": len(prepared.store),
                "licence": dataset.licence,
                "source": dataset.source,
                "fingerprint": dataset.fingerprint,
            },
            metrics={
                "validation": dict(at.metrics),
                "steps": at.step,
                "seconds": at.seconds,
                "tokens": at.tokens,
                "ended": ended,
            },
            versions=bundles.software_versions(),
        )
        bundles.save(bundle, self.out)
        finish(self.out)
        self.reporter.say(f"trained {at.step:,} steps in {clock(at.seconds)}; saved in {self.out}")


def _check_model(config: RunConfig, place: Place) -> None:
    """Raises: ConfigError with what the model's parts refuse, such as sizes that do not go together, and for
    one too large to train here: weights, gradients and a moment where all is trained."""
    whole = place.device.type == "cpu" and isinstance(config.train.tune, Whole)
    try:
        weights = bundles.weights_of(config.model, "model")
    except BundleError as problem:
        raise ConfigError.of(problem) from problem
    check_memory(sum(math.prod(one.shape) for one in weights.values()), copies=3 if whole else 1)


def _complete(model: ModelConfig) -> ModelConfig:
    """`model`. Raises: ConfigError when a size was left to data that do not decide it."""
    for name in ("stack", "encoder", "decoder"):
        stack = getattr(model, name, None)
        if isinstance(stack, StackConfig) and stack.position == Learned():
            limit = "as many tokens as the longest input has"
            raise outside(ConfigError, f"model.{name}.position.length", 0, limit)
    return model


def _is_store(path: Path, fields: tuple[Field, ...], references: bool) -> bool:
    try:
        open_store(path, fields, references=references)
    except DataError:
        return False
    return True


def _same(written: Any, config: RunConfig) -> bool:
    """Whether a configuration was written as this one, perhaps before there were some of its options."""
    try:
        return bool(parse(RunConfig, written) == config)
    except ConfigError:
        return False


def _known(content: Any, begun: Any) -> Any:
    """What there is in `content` of the keys that there were when `begun` was written."""
    if not isinstance(content, dict) or not isinstance(begun, dict):
        return content
    return {key: _known(value, begun[key]) for key, value in content.items() if key in begun}


def _identity(config: RunConfig, dataset: DataSet, begun: Mapping[str, Any], start: Start | None) -> str:
    """What makes two runs the same run, in the words in which it was begun: an option that is added later
    leaves it the same."""
    training = _known(dump(config), begun["training"])
    content: list[Any] = [training, dataset.fingerprint, dataset.name, begun["tokenizers"]]
    content += [] if start is None else [digest(start.bundle.weights)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
