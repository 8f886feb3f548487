"""The training loop, one for every task.

It moves a model's weights by batches of a store until its plan is done, evaluates them on the validation
part, and keeps a checkpoint from which it can go on as if nothing had happened: all randomness of a step is
a function of (seed, step), and whatever else a step depends on is in the checkpoint. A step is
`step.training_step`; what happens between steps is in `callbacks.py`. The loop knows tasks only through
`tasks.task.Task`, and other processes only through `device.Place`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regard.data.batches import Batches, Rows
from regard.data.loader import Loader
from regard.data.rows import Row
from regard.data.store import ExampleStore
from regard.errors import ConfigError, NonFiniteLossError, outside
from regard.files import atomic_files
from regard.tasks.decoding import Decoding
from regard.tasks.metric import evaluate
from regard.tasks.task import Batch, Task
from regard.threads import free_threads
from regard.training.average import Average
from regard.training.callbacks import DEFAULT, Callback
from regard.training.checkpoint import Progress, load_checkpoint, other_run, save_checkpoint
from regard.training.config import TrainConfig
from regard.training.device import Place
from regard.training.meter import Meter, now
from regard.training.optim import Optimizer
from regard.training.plan import Pace, Plan, fixed_plan
from regard.training.progress import Record, Reporter
from regard.training.step import Losses, training_step
from regard.weights import write_weights


class _Loss(nn.Module):
    """The loss as a module's forward, which is where DistributedDataParallel adds its hooks."""

    def __init__(self, task: Task, model: nn.Module) -> None:
        super().__init__()
        self.task, self.model = task, model

    def forward(self, batch: Batch) -> Losses:
        return self.task.loss(self.model, batch)


class Trainer:
    """Trains `model`, whose weights end as the best that were evaluated."""

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        config: TrainConfig,
        store: ExampleStore,
        valid: list[Row],
        place: Place,
        folder: Path,
        reporter: Reporter,
        identity: str,
        callbacks: Sequence[Callback] = (),
        workers: int = 0,
    ) -> None:
        """`identity`: what run this is; a checkpoint of another is not resumed. `callbacks`: more of them,
        called after those of every run. `workers`: processes that decode what the store keeps as
        references."""
        self.task, self.model, self.config, self.place = task, model, config, place
        self.metric = task.metric()
        self.store, self.valid, self.folder, self.reporter = store, valid, folder, reporter
        self.identity = identity
        self.loader = Loader(store, workers)
        if config.accumulate % place.world:
            limit = f"a multiple of {place.world}, the number of processes"
            raise outside(ConfigError, "train.accumulate", config.accumulate, limit)
        self.wrapped = place.wrap(_Loss(task, model))
        self.optimizer = Optimizer(model, config.optimizer)
        self.average = Average(model, config.average)
        self.best: dict[str, Tensor] = {}
        self.scaler = torch.amp.GradScaler(place.device.type, enabled=config.precision == "float16")
        self.batches = Batches(task.costs(store), config.tokens, config.seed, multiple=config.accumulate)
        self.at = Progress()
        self.meter = Meter()
        self.record: Record | None = None
        self.pace = Pace(config)
        self.begun = 0.0
        self.resumed = self.logged = False
        """Whether the run goes on from a checkpoint, and whether the last step was logged."""
        self.threads = torch.get_num_threads()
        self.callbacks = [*(kind() for kind in DEFAULT), *callbacks]

    def run(self, *, resume: bool) -> str:
        """Train to the end, and say why it came: "planned", "time" or "patience"; `at` is where it did.

        Raises: NonFiniteLossError, StorageError, KeyboardInterrupt (state saved).
        """
        self.resumed = resume
        if resume:
            self._restore()
        at = self.at
        if at.plan is None:
            at.plan = fixed_plan(self.config, lambda: self.batches.count(0) // self.config.accumulate)
        begun: list[Callback] = []
        try:
            for callback in self.callbacks:
                callback.begin(self)
                begun.append(callback)
            with self.loader:
                reason = self._steps()
        finally:
            torch.set_num_threads(self.threads)
            self.wrapped = nn.Identity()  # nothing here holds the group of processes any longer
            for callback in reversed(begun):
                callback.end(self)
        self._take_best()
        return reason

    def _steps(self) -> str:
        """Step after step until there is a reason to end, which is returned."""
        self.begun = now() - self.at.seconds
        plan = self.loader.ahead(self._planned_rows(self.at.step * self.config.accumulate))
        batches = (self.task.batch(self.store, rows, epoch) for epoch, rows in plan)
        while self.at.plan is None or self.at.step < self.at.plan.steps:
            self.advance(batches)
            for callback in self.callbacks:
                if (reason := callback.step(self)) is not None:
                    return reason
        return "planned"

    @property
    def is_last_step(self) -> bool:
        """Whether the step that was just taken is the last of the plan."""
        return self.at.plan is not None and self.at.step == self.at.plan.steps

    @property
    def elapsed(self) -> float:
        """Seconds of training so far, those before a resume included."""
        return now() - self.begun

    def advance(self, batches: Iterator[Batch]) -> None:
        """Take one step with the next of `batches`."""
        at, place = self.at, self.place
        if self.config.budget is not None and place.world == 1:  # what depends on a clock anyway
            torch.set_num_threads(free_threads(self.threads))
        losses, tokens = self._step([next(batches) for _ in range(self.config.accumulate // place.world)])
        at.step += 1
        at.tokens += tokens
        self.meter.add(losses, tokens)

    def _step(self, batches: list[Batch]) -> tuple[dict[str, Tensor], int]:
        """One update; what is random in a batch follows from the seed and its number."""
        at, config, place = self.at, self.config, self.place
        first = at.step * config.accumulate + place.rank
        step, steps = (at.step + 1, None) if at.plan is None else at.plan.scaled(at.step + 1)
        self.model.train()
        losses = training_step(
            self.wrapped,
            batches,
            self.optimizer,
            factor=config.schedule.factor(step, steps),
            clip=config.clip,
            place=place,
            precision=config.precision,
            scaler=self.scaler,
            seeds=[random_seed(config.seed, first + index * place.world) for index in range(len(batches))],
        )
        self.average.update(step, steps)
        return losses

    def _planned_rows(self, used: int) -> Iterator[tuple[int, Rows]]:
        """The epoch and the rows of this process's batches from the run's `used`-th on, without end."""
        world = self.place.world
        epoch, start = self.batches.locate(used // world, world) if used else (0, 0)
        while True:
            yield from zip(repeat(epoch), self.batches.epoch(epoch, self.place.rank, world, start=start))
            epoch, start = epoch + 1, 0

    def check_losses(self) -> None:
        """Raises: NonFiniteLossError naming the first step whose loss since the last log is not finite."""
        losses = self.meter.losses
        if not losses or bool(torch.isfinite(torch.stack(losses)).all()):
            return
        first = self.at.step - len(losses) + 1 + torch.isfinite(torch.stack(losses)).tolist().index(False)
        epoch, index = self.batches.locate((first - 1) * self.config.accumulate)
        sentence = (
            "the loss of {where} is not a finite number; lower the learning rate (now {lr:g}), lengthen the"
            " warm-up or clip harder, and start anew with --overwrite"
        )
        where = f"step {first} (batch {index} of epoch {epoch})"
        raise NonFiniteLossError(sentence, where, self.config.optimizer.lr)

    def evaluate(self, rows: list[Row], *, typical: bool = False) -> dict[str, Any]:
        """Figures of the averaged weights on rows of the validation split.

        typical: outputs as long as the references, as a trained model writes them, to see what an evaluation
        costs before there is one.
        """
        rows = rows[: self.config.valid_rows]
        if not rows:
            return {}
        self.model.eval()
        self.average.swap()
        torch.set_num_threads(self.threads)  # decoding knows by itself how many to use
        try:
            costs = [some[:1000] for some in self.task.costs(self.store)] if typical else []
            decoding = Decoding(max_length=max(1, int(np.max(costs, axis=0).mean())) if typical else None)
            return evaluate(self.task, self.model, rows, decoding).figures
        finally:
            self.average.swap()

    def keep_snapshot(self) -> None:
        """Write the weights as they would be kept if the run ended here, by step."""
        if self.place.is_main:
            name = f"step-{self.at.step:06}.safetensors"
            with atomic_files(self.folder / "snapshots", [name]) as writing:
                write_weights(writing / name, self.average.weights or self.average.live)

    @torch.no_grad()
    def _take_best(self) -> None:
        for name, parameter in self.average.live.items():
            parameter.copy_(self.best[name])
        self.model.eval()

    def save(self) -> None:
        """Write a checkpoint from which the run can be resumed to the bit."""
        self.check_losses()
        if not self.place.is_main:
            return
        self.at.unlogged = [loss.item() for loss in self.meter.losses]
        groups: dict[str, Mapping[str, Tensor]] = {
            "model": self.average.live,
            "average": self.average.weights,
            "best": self.best,
            "optimizer": self.optimizer.tensors(),
        }
        tensors = {f"{group}.{name}": value for group, part in groups.items() for name, value in part.items()}
        state = {"identity": self.identity, "progress": asdict(self.at), "scaler": self.scaler.state_dict()}
        save_checkpoint(tensors, state, self.folder)

    @torch.no_grad()
    def _restore(self) -> None:
        """Go on from the folder's checkpoint. Raises: BundleError when it is of another run."""
        tensors, state = load_checkpoint(self.folder)
        if state["identity"] != self.identity:
            raise other_run(self.folder)
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "best": {}, "optimizer": {}}
        for name, value in tensors.items():
            group, key = name.split(".", 1)
            groups[group][key] = value if group == "optimizer" else value.to(self.place.device)
        for name, parameter in self.average.live.items():
            parameter.copy_(groups["model"][name])
        self.average.weights, self.best = groups["average"], groups["best"]
        self.optimizer.restore(groups["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        progress = dict(state["progress"])
        plan = progress.pop("plan")
        self.at = Progress(plan=None if plan is None else Plan(**plan), **progress)


def random_seed(seed: int, number: int) -> int:
    """A generator's seed for the `number`-th batch of a run: unrelated for neighbouring numbers."""
    digest = hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
