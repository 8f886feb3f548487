"""The training loop, one for every task.

It moves a model's weights by batches of a store until its plan is done, judges them on the validation
part, and keeps a checkpoint from which it can go on as if nothing had happened: all randomness of a
step is a function of (seed, step), and whatever else a step depends on is in the checkpoint. The loop
knows tasks only through `tasks.task.Task`, and other processes only through `device.Place`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regard.data.batches import Batches
from regard.data.rows import Row
from regard.data.store import TokenStore
from regard.errors import ConfigError, NonFiniteLossError, outside
from regard.files import atomic_files
from regard.tasks.decoding import Decoding
from regard.tasks.metric import evaluate
from regard.tasks.task import Batch, Task
from regard.threads import free_threads
from regard.training.average import Average
from regard.training.checkpoint import Checkpoint, Progress, load_checkpoint, other_run, save_checkpoint
from regard.training.config import TrainConfig
from regard.training.device import Place, autocast
from regard.training.meter import Meter, now
from regard.training.optim import Optimizer
from regard.training.plan import BLOCK, Pace, Plan, fixed_plan
from regard.training.progress import Record, Reporter
from regard.training.stop import StopRequest
from regard.weights import write_weights

_WORTH_SAYING = 0.1  # of a plan's steps
_CHECK_EVERY = 10  # steps between looks at the loss, each of which waits for the device


class _Step(nn.Module):
    """The loss as a module's forward, which is where DistributedDataParallel adds its hooks."""

    def __init__(self, task: Task, model: nn.Module) -> None:
        super().__init__()
        self.task, self.model = task, model

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return dict(self.task.loss(self.model, batch))


@dataclass(frozen=True)
class Outcome:
    """How training ended."""

    steps: int
    seconds: float
    tokens: int
    metrics: Mapping[str, Any]
    """The validation figures of the weights that were kept."""
    reason: str
    """Why it ended: "planned", "time" or "patience"."""


class Trainer:
    """Trains `model`, whose weights end as the best that were judged."""

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        config: TrainConfig,
        store: TokenStore,
        valid: list[Row],
        place: Place,
        folder: Path,
        reporter: Reporter,
        identity: str,
    ) -> None:
        """`identity`: what run this is; a checkpoint of another is not resumed."""
        self.task, self.model, self.config, self.place = task, model, config, place
        self.metric = task.metric()
        self.store, self.valid, self.folder, self.reporter = store, valid, folder, reporter
        self.identity = identity
        if config.accumulate % place.world:
            limit = f"a multiple of {place.world}, the number of processes"
            raise outside(ConfigError, "train.accumulate", config.accumulate, limit)
        self.wrapped = place.wrap(_Step(task, model))
        self.optimizer = Optimizer(model, config.optimizer)
        self.average = Average(model, config.average)
        self.best: dict[str, Tensor] = {}
        self.scaler = torch.amp.GradScaler(place.device.type, enabled=config.precision == "float16")
        self.batches = Batches(task.lengths(store), config.tokens, config.seed, multiple=config.accumulate)
        self.at = Progress()
        self.meter = Meter()
        self.record: Record | None = None
        self.pace = Pace(config)
        self.begun = self.saved = 0.0
        self.said = 0  # steps in all, as the user was told
        self.threads = torch.get_num_threads()

    # ------------------------------------------------------------------ the run

    def run(self, *, resume: bool) -> Outcome:
        """Train to the end. Raises: NonFiniteLossError, StorageError, KeyboardInterrupt (state saved)."""
        if resume:
            self._restore()
        at = self.at
        if at.plan is None:
            at.plan = fixed_plan(self.config, lambda: self.batches.count(0) // self.config.accumulate)
        self.record = Record(self.folder, at.step if resume else None) if self.place.is_main else None
        unlogged = {"loss": at.unlogged, **at.unlogged_parts}
        device = self.place.device
        self.meter = Meter({k: [torch.tensor(x, device=device) for x in v] for k, v in unlogged.items()})
        try:
            with StopRequest() as stop:
                reason = self._steps(stop)
        finally:
            torch.set_num_threads(self.threads)
            self.wrapped = nn.Identity()  # nothing here holds the group of processes any longer
            if self.record is not None:
                self.record.close()
        self._take_best()
        return Outcome(at.step, at.seconds, at.tokens, at.metrics, reason)

    def _steps(self, stop: StopRequest) -> str:
        """Step after step until there is a reason to end, which is returned."""
        at, each = self.at, self.config.accumulate // self.place.world
        self.saved = now()
        self.begun = self.saved - at.seconds
        self.said = 0 if at.plan is None else at.plan.steps
        micro = self._micro_batches(at.step * self.config.accumulate)
        while at.plan is None or at.step < at.plan.steps:
            if self.config.budget is not None and self.place.world == 1:  # what depends on a clock anyway
                torch.set_num_threads(free_threads(self.threads))
            losses, tokens = self._step([next(micro) for _ in range(each)])
            at.step += 1
            at.tokens += tokens
            self.meter.add({name: loss / tokens for name, loss in losses.items()}, tokens)
            look = at.step % _CHECK_EVERY == 0 or self._planned(at.step) or self._due_to_look()
            if look:
                self._log()
            reason = self._judge_when_due()
            if reason is not None:
                return reason
            if look and self.config.budget is not None:
                self._plan()
            self._save_when_due(stop)
        return "planned"

    def _planned(self, step: int) -> bool:
        """Whether `step` is the last."""
        return self.at.plan is not None and step == self.at.plan.steps

    def _due_to_look(self) -> bool:
        """Whether a budget's speed is to be looked at even before some steps have been taken."""
        budget = self.config.budget
        if budget is None or self.at.plan is None:
            return budget is not None
        return bool(self.place.same(self.meter.seconds > BLOCK * budget))

    def _log(self) -> None:
        """Say how it goes. Raises: NonFiniteLossError."""
        self._check()
        self.at.seconds = now() - self.begun
        if self.meter.steps:
            self.pace.note(self.meter.steps, self.meter.seconds)
        if self.record is not None:
            event = self._event()
            self.record.write(event)
            self.reporter.step(event)
        self.meter = Meter()

    def _plan(self) -> None:
        """Turn the budget into steps once enough was measured; then see that they still fill it."""
        at = self.at
        if at.plan is not None:
            steps = int(self.place.same(self.pace.steps(at.plan, at.step, now() - self.begun)))
            at.plan = at.plan if steps == at.plan.steps else at.plan.anew(at.step, steps)
            if abs(steps - self.said) > _WORTH_SAYING * self.said:
                self.said = steps
                self.reporter.say(f"planned anew: {steps:,} steps, since the speed has changed")
        elif self.place.same(self.pace.settled):
            self._judge(self.valid[:1])  # what is done only once, such as compiling, is not what it costs
            started = now()
            self._judge(self.valid, typical=True)
            self.pace.note_evaluation(now() - started)
            plan = self.pace.plan(at.step, now() - self.begun)
            self.said = int(self.place.same(plan.steps))
            at.plan = Plan(self.said, plan.evaluations)
            self.reporter.say(f"planned {self.said:,} steps to fill {self.config.budget:,.0f} s")
            self._save()
            self.meter.restart()

    def _judge_when_due(self) -> str | None:
        """Score, keep a snapshot, look at the clock: a reason to end before the plan does, or None."""
        at, config = self.at, self.config
        judged = at.plan is not None and at.plan.evaluates_after(at.step)
        if judged:
            self._evaluate()
        if at.plan is not None and at.plan.marks(at.step, config.snapshots):
            self._check()
            self._keep_snapshot()
        if judged and config.patience and at.worse >= config.patience:
            return "patience"
        late = config.budget is not None and self.pace.late(now() - self.begun)
        if not self.place.same(late) or self._planned(at.step):
            return None
        if not judged:
            self._evaluate()
        return "time"

    def _save_when_due(self, stop: StopRequest) -> None:
        """Raises: KeyboardInterrupt, after saving, when told to stop."""
        config, time = self.config, now()
        self.at.seconds = time - self.begun
        told = self.place.same(stop.asked)
        due = self.place.same(time - self.saved > config.save_seconds)
        if told or due or (config.save_steps and self.at.step % config.save_steps == 0):
            self._save()
            self.saved = now()
        if told:
            raise KeyboardInterrupt

    # ------------------------------------------------------------------ one step

    def _step(self, batches: list[Batch]) -> tuple[dict[str, Tensor], int]:
        """One update; returns the summed losses and what they are summed over, of all processes."""
        at, world = self.at, self.place.world
        self.model.train()
        mine = sum(batch.tokens for batch in batches)
        tokens = mine if world == 1 else int(self.place.sum(torch.tensor(mine)))
        totals: dict[str, Tensor] = {}
        for index, batch in enumerate(batches):
            number = at.step * self.config.accumulate + index * world + self.place.rank
            torch.manual_seed(random_seed(self.config.seed, number))
            with self.place.gathering(self.wrapped, last=index == len(batches) - 1):
                with autocast(self.place.device, self.config.precision):
                    losses = self.wrapped(batch.to(self.place.device))
                # The gradients of several processes are averaged; what is wanted is their sum.
                self.scaler.scale(losses["loss"] * (world / tokens)).backward()
            for name, loss in losses.items():
                totals[name] = totals[name] + loss.detach() if name in totals else loss.detach()
        for part in self.optimizer.parts:
            self.scaler.unscale_(part)
        if self.config.clip:
            nn.utils.clip_grad_norm_(self.average.live.values(), self.config.clip)
        step, steps = (at.step + 1, None) if at.plan is None else at.plan.scaled(at.step + 1)
        self.optimizer.step(self.config.schedule.factor(step, steps), self.scaler)
        self.optimizer.clear()
        self.average.update(step, steps)
        return {name: self.place.sum(total) for name, total in totals.items()}, tokens

    def _micro_batches(self, used: int) -> Iterator[Batch]:
        """This process's batches from the run's `used`-th on, epoch after epoch."""
        world = self.place.world
        epoch, start = self.batches.locate(used // world, world) if used else (0, 0)
        while True:
            for rows in self.batches.epoch(epoch, self.place.rank, world, start=start):
                yield self.task.batch(self.store, rows, epoch)
            epoch, start = epoch + 1, 0

    def _check(self) -> None:
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

    def _event(self) -> dict[str, Any]:
        at, metric = self.at, self.metric.key
        means = {name: float(torch.stack(some).mean()) for name, some in self.meter.parts.items()}
        return {
            "step": at.step,
            "steps": None if at.plan is None else at.plan.steps,
            "loss": means.pop("loss"),
            **({"losses": means} if means else {}),
            "tokens_per_second": self.meter.speed,
            "seconds": at.seconds,
            "seconds_left": None if at.plan is None else self.pace.left(at.plan, at.step),
            "metric_name": metric,
            "metric": at.metrics.get(metric),
        }

    # ------------------------------------------------------------------ judging

    def _judge(self, rows: list[Row], *, typical: bool = False) -> dict[str, Any]:
        """Figures of the averaged weights on rows of the validation part.

        `typical`: outputs as long as the references, as a trained model writes them, to see what an
        evaluation costs before there is one.
        """
        rows = rows[: self.config.valid_rows]
        if not rows:
            return {}
        self.model.eval()
        self.average.swap()
        torch.set_num_threads(self.threads)  # decoding knows by itself how many to use
        try:
            longest = max(self.store.lengths[:1000].max(axis=1).mean(), 1) if typical else None
            decoding = Decoding(max_length=None if longest is None else int(longest))
            return evaluate(self.task, self.model, rows, decoding).figures
        finally:
            self.average.swap()

    def _evaluate(self) -> None:
        """Judge, and keep the weights if they are the best so far."""
        self._check()
        at, record, name = self.at, self.record, self.metric.key
        started = now()
        figures = self._judge(self.valid)
        self.pace.note_evaluation(now() - started)
        # With nothing to judge by, the last is the best.
        figure = self.place.same(self.metric.selection_score(figures) if figures else float(at.step))
        if record is not None and figures:
            record.write(
                {"step": at.step, "seconds": at.seconds, **{f"valid_{k}": v for k, v in figures.items()}}
            )
            self.reporter.say(
                f"step {at.step:,}: {name} {figures[name]:.2f} on {figures['count']:,} validation rows"
            )
        at.worse = 0 if figure > at.best else at.worse + 1
        if figure >= at.best:  # of equals the last, which has seen the most
            at.best, at.best_step, at.metrics = figure, at.step, figures
            source = self.average.weights or self.average.live
            self.best = {key: value.detach().clone() for key, value in source.items()}
        self.meter.restart()

    @torch.no_grad()
    def _take_best(self) -> None:
        for name, parameter in self.average.live.items():
            parameter.copy_(self.best[name])
        self.model.eval()

    # ------------------------------------------------------------------ checkpoints

    def _keep_snapshot(self) -> None:
        """The weights as they would be kept if the run ended here, by step."""
        if self.place.is_main:
            name = f"step-{self.at.step:06}.safetensors"
            with atomic_files(self.folder / "snapshots", [name]) as writing:
                write_weights(writing / name, self.average.weights or self.average.live)

    def _save(self) -> None:
        self._check()
        if not self.place.is_main:
            return
        unlogged = {name: [loss.item() for loss in some] for name, some in self.meter.parts.items()}
        self.at.unlogged, self.at.unlogged_parts = unlogged.pop("loss", []), unlogged
        groups: dict[str, Mapping[str, Tensor]] = {
            "model": self.average.live,
            "average": self.average.weights,
            "best": self.best,
            "optimizer": self.optimizer.tensors(),
        }
        tensors = {f"{group}.{name}": value for group, part in groups.items() for name, value in part.items()}
        state = {"identity": self.identity, "progress": asdict(self.at), "scaler": self.scaler.state_dict()}
        save_checkpoint(Checkpoint(tensors, state), self.folder)

    @torch.no_grad()
    def _restore(self) -> None:
        """Go on from the folder's checkpoint. Raises: BundleError when it is of another run."""
        checkpoint = load_checkpoint(self.folder)
        if checkpoint.state["identity"] != self.identity:
            raise other_run(self.folder)
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "best": {}, "optimizer": {}}
        for name, value in checkpoint.tensors.items():
            group, key = name.split(".", 1)
            groups[group][key] = value if group == "optimizer" else value.to(self.place.device)
        for name, parameter in self.average.live.items():
            parameter.copy_(groups["model"][name])
        self.average.weights, self.best = groups["average"], groups["best"]
        self.optimizer.restore(groups["optimizer"])
        self.scaler.load_state_dict(checkpoint.state["scaler"])
        progress = dict(checkpoint.state["progress"])
        plan = progress.pop("plan")
        self.at = Progress(plan=None if plan is None else Plan(**plan), **progress)


def random_seed(seed: int, number: int) -> int:
    """A generator's seed for the `number`-th batch of a run: unrelated for neighbouring numbers."""
    digest = hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
