"""What happens between the steps of a run: logging, evaluation, snapshots, the plan of a budget, checkpoints.

Each is a class with up to three methods, called in the order of `DEFAULT`; more of them may be given to
`loop.Trainer`. A callback knows the trainer, whose public attributes are the state of the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from regard.training.meter import Meter, now
from regard.training.plan import BLOCK, Plan
from regard.training.progress import Record
from regard.training.stop import StopRequest

if TYPE_CHECKING:
    from regard.training.loop import Trainer

_CHECK_EVERY = 10  # steps between logs, each of which waits for the device
_WORTH_REPORTING = 0.1  # of a plan's steps


class Callback:
    """Does nothing; a subclass overrides what it needs."""

    def begin(self, trainer: Trainer) -> None:
        """Before the first step."""

    def step(self, trainer: Trainer) -> str | None:
        """After each step; a returned reason ends the run."""

    def end(self, trainer: Trainer) -> None:
        """After the last step, or whatever ended the run."""


class Logging(Callback):
    """Checks that losses are finite, and reports loss and speed every few steps."""

    def begin(self, trainer: Trainer) -> None:
        at = trainer.at
        if trainer.place.is_main:
            trainer.record = Record(trainer.folder, at.step if trainer.resumed else None)
        trainer.meter = Meter([torch.tensor(loss, device=trainer.place.device) for loss in at.unlogged])

    def step(self, trainer: Trainer) -> str | None:
        at, meter = trainer.at, trainer.meter
        trainer.logged = at.step % _CHECK_EVERY == 0 or trainer.is_last_step or self._early(trainer)
        if not trainer.logged:
            return None
        trainer.check_losses()
        at.seconds = trainer.elapsed
        if meter.steps:
            trainer.pace.note(meter.steps, meter.seconds)
        if trainer.record is not None:
            event = self._event(trainer)
            trainer.record.write(event)
            trainer.reporter.step(event)
        trainer.meter = Meter()
        return None

    def end(self, trainer: Trainer) -> None:
        if trainer.record is not None:
            trainer.record.close()

    def _early(self, trainer: Trainer) -> bool:
        """Whether the speed under a budget is to be looked at before `_CHECK_EVERY` steps were taken."""
        budget = trainer.config.budget
        if budget is None or trainer.at.plan is None:
            return budget is not None
        return bool(trainer.place.same(trainer.meter.seconds > BLOCK * budget))

    def _event(self, trainer: Trainer) -> dict[str, Any]:
        at, meter, metric = trainer.at, trainer.meter, trainer.metric.key
        return {
            "step": at.step,
            "steps": None if at.plan is None else at.plan.steps,
            "loss": float(torch.stack(meter.losses).mean()),
            **meter.components(),
            "tokens_per_second": meter.speed,
            "seconds": at.seconds,
            "seconds_left": None if at.plan is None else trainer.pace.left(at.plan, at.step),
            "metric_name": metric,
            "metric": at.metrics.get(metric),
        }


class Evaluation(Callback):
    """Evaluates on the validation split when the plan says so, keeps the best weights, and ends a run that
    gets no better or whose time is over."""

    def step(self, trainer: Trainer) -> str | None:
        at, config = trainer.at, trainer.config
        due = at.plan is not None and at.plan.evaluates_after(at.step)
        if due:
            self._evaluate(trainer)
        if at.plan is not None and at.plan.marks(at.step, config.snapshots):
            trainer.check_losses()
            trainer.keep_snapshot()
        if due and config.patience and at.worse >= config.patience:
            return "patience"
        late = config.budget is not None and trainer.pace.late(trainer.elapsed)
        if not trainer.place.same(late) or trainer.is_last_step:
            return None
        if not due:
            self._evaluate(trainer)
        return "time"

    def _evaluate(self, trainer: Trainer) -> None:
        """Evaluate the averaged weights, and keep them if they are the best so far."""
        trainer.check_losses()
        at, record, name = trainer.at, trainer.record, trainer.metric.key
        started = now()
        figures = trainer.evaluate(trainer.valid)
        trainer.pace.note_evaluation(now() - started)
        # With nothing to evaluate on, the last is the best.
        score = trainer.place.same(trainer.metric.selection_score(figures) if figures else float(at.step))
        if record is not None and figures:
            named = {f"valid_{key}": value for key, value in figures.items()}
            record.write({"step": at.step, "seconds": at.seconds, **named})
            count = f"{figures['count']:,} validation rows"
            trainer.reporter.say(f"step {at.step:,}: {name} {figures[name]:.2f} on {count}")
        at.worse = 0 if score > at.best else at.worse + 1
        if score >= at.best:  # of equals the last, which has seen the most
            at.best, at.best_step, at.metrics = score, at.step, figures
            source = trainer.average.weights or trainer.average.live
            trainer.best = {key: value.detach().clone() for key, value in source.items()}
        trainer.meter.restart()


class Budget(Callback):
    """Turns a time budget into a number of steps once the speed is known; corrects it when that changes."""

    def begin(self, trainer: Trainer) -> None:
        self.announced = 0 if trainer.at.plan is None else trainer.at.plan.steps
        """Steps in all, as last reported."""

    def step(self, trainer: Trainer) -> str | None:
        if not trainer.logged or trainer.config.budget is None:
            return None
        at, place, pace = trainer.at, trainer.place, trainer.pace
        if at.plan is not None:
            steps = int(place.same(pace.steps(at.plan, at.step, trainer.elapsed)))
            at.plan = at.plan if steps == at.plan.steps else at.plan.anew(at.step, steps)
            if abs(steps - self.announced) > _WORTH_REPORTING * self.announced:
                self.announced = steps
                trainer.reporter.say(f"planned anew: {steps:,} steps, since the speed has changed")
        elif place.same(pace.settled):
            trainer.evaluate(trainer.valid[:1])  # what is done only once, such as compiling, is no cost of it
            started = now()
            trainer.evaluate(trainer.valid, typical=True)
            pace.note_evaluation(now() - started)
            plan = pace.plan(at.step, trainer.elapsed)
            self.announced = int(place.same(plan.steps))
            at.plan = Plan(self.announced, plan.evaluations)
            trainer.reporter.say(f"planned {self.announced:,} steps to fill {trainer.config.budget:,.0f} s")
            trainer.save()
            trainer.meter.restart()
        return None


class Saving(Callback):
    """Writes checkpoints every so many seconds or steps, and at Ctrl-C or SIGTERM, which end the run."""

    def begin(self, trainer: Trainer) -> None:
        self.saved = now()
        self.stop = StopRequest()
        self.stop.__enter__()

    def step(self, trainer: Trainer) -> str | None:
        """Raises: KeyboardInterrupt, after saving, when the run is asked to stop."""
        config, at = trainer.config, trainer.at
        at.seconds = trainer.elapsed
        asked = trainer.place.same(self.stop.asked)
        due = trainer.place.same(now() - self.saved > config.save_seconds)
        if asked or due or (config.save_steps and at.step % config.save_steps == 0):
            trainer.save()
            self.saved = now()
        if asked:
            raise KeyboardInterrupt
        return None

    def end(self, trainer: Trainer) -> None:
        self.stop.__exit__()


DEFAULT = (Logging, Evaluation, Budget, Saving)
"""What a run of `regard train` does between steps, in this order."""
