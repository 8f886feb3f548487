"""How many steps a run takes: given, counted from epochs, or bought with a time budget.

A budget is turned into steps early, from the speed measured so far; the plan is stored with the checkpoint,
so that a run resumed from there takes the same steps. The machine's speed is looked at again every few steps,
and where the budget would be missed the plan is made anew. Whatever follows the plan (the learning rate,
when to evaluate) follows how much of it is done, which does not leap then: a run on a machine that becomes
slower goes through the same learning rates in fewer steps.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from regard.training.config import TrainConfig

DEFAULT_EPOCHS = 20.0
BLOCK = 0.01
"""Of a budget: the longest stretch of training between two looks at the machine's speed."""

_PROBE = 0.06  # of the budget is spent before the plan is made …
_PROBE_STEPS = 12  # … and at least so many steps
_RESERVE = 0.02  # of the budget is left for what differs between steps measured and steps to come
_OVERRUN = 0.99  # of the budget: then the clock ends a run, whatever its plan …
_LAST = 0.04  # … or so much sooner, at most, as the last evaluation takes
_WINDOW = 0.04  # of what is left of the budget, at the end of what is past: the speed "of late" …
_FEWEST, _MOST = 5, 64  # … in so many stretches
_TOLERATED, _TOLERATED_OF_REST = 0.01, 0.1  # of the budget, and of its rest: a plan so near to it is kept
_LEAP = 1.8  # what is left of a plan becomes at most so many times longer or shorter at once


@dataclass(frozen=True)
class Plan:
    """The whole run, laid out."""

    steps: int
    """Optimizer steps in all."""
    evaluations: int
    """How often the validation part is scored."""
    start: int = 0
    """The plan was made anew after this step …"""
    done: float = 0.0
    """… when so much of the run was done, from 0 to 1."""
    first: int = 0
    """Steps in all by the first plan, on whose scale schedules count; 0 if this is the first."""

    def anew(self, step: int, steps: int) -> Plan:
        """The plan that has `steps` steps in all, made after `step`."""
        return Plan(steps, self.evaluations, step, self.done_after(step), self.first or self.steps)

    def done_after(self, step: int) -> float:
        """How much of the run is done after `step`, from 0 to 1."""
        return self.done + (1 - self.done) * (step - self.start) / (self.steps - self.start)

    def scaled(self, step: int) -> tuple[float, int]:
        """Which step `step` is, and of how many, as schedules count: by the first plan."""
        return (self.done_after(step) * self.first, self.first) if self.first else (step, self.steps)

    def evaluates_after(self, step: int) -> bool:
        """Whether the validation part is scored after this step (from 1); always after the last."""
        return step == self.steps or self.marks(step, self.evaluations)

    def marks(self, step: int, times: int) -> bool:
        """Whether `step` (from 1) is one of `times` steps that divide the run evenly, the last included."""
        return self.passed(step, times) != self.passed(step - 1, times)

    def passed(self, step: int, times: int) -> int:
        """How many of `times` such steps there are up to `step`."""
        return math.floor(self.done_after(step) * times + 1e-9)


def fixed_plan(config: TrainConfig, steps_an_epoch: Callable[[], int]) -> Plan | None:
    """The plan, or None when a budget decides. Only epochs ask for `steps_an_epoch`: it is slow to count."""
    if config.budget is not None:
        return None
    if config.steps is not None:
        return Plan(config.steps, config.evaluations)
    epochs = DEFAULT_EPOCHS if config.epochs is None else config.epochs
    return Plan(max(1, round(epochs * steps_an_epoch())), config.evaluations)


class Pace:
    """What steps and evaluations have taken of late, and what a budget buys at that speed.

    Of late is the median over some stretches of a few steps: one that something else held up does not count.
    """

    def __init__(self, config: TrainConfig) -> None:
        self._budget, self._evaluations = config.budget or math.inf, config.evaluations
        self._stretches: deque[tuple[float, float]] = deque(maxlen=_MOST)  # seconds a step, and in all
        self._steps, self._seconds = 0, 0.0
        self._evaluation, self._last = 0.0, 0.0  # seconds

    def note(self, steps: int, seconds: float) -> None:
        """So many steps took so long, 1 or more."""
        self._steps += steps
        self._seconds += seconds
        self._stretches.append((seconds / steps, seconds))

    def note_evaluation(self, seconds: float) -> None:
        """The validation part was scored in so long; the shorter of the last two is expected again."""
        self._evaluation, self._last = min(seconds, self._last or seconds), seconds

    def _step(self, window: float = math.inf) -> float:
        """Seconds a step, over at least `window` seconds of training; 0 before the first."""
        recent: list[float] = []
        for step, seconds in reversed(self._stretches):
            if len(recent) >= _FEWEST and window <= 0:
                break
            recent.append(step)
            window -= seconds
        return statistics.median(recent) if recent else 0.0

    @property
    def settled(self) -> bool:
        """Whether enough was measured; a step that alone eats the probe's share settles it, too."""
        enough = self._steps >= _PROBE_STEPS or self._seconds >= 0.5 * self._budget
        return enough and self._seconds >= _PROBE * self._budget

    def plan(self, step: int, elapsed: float) -> Plan:
        """The first plan, made after `step`: fill what is left of the budget after `elapsed` seconds."""
        each = self._step()
        left = self._budget * (1 - _RESERVE) - elapsed - self._evaluations * self._evaluation
        return Plan(step + max(1, int(left / each)), self._evaluations)

    def steps(self, plan: Plan, step: int, elapsed: float) -> int:
        """In all: as planned, or nearer to what the budget buys at this speed if it would be missed."""
        left, planned = (1 - _RESERVE) * self._budget - elapsed, plan.steps - step
        if len(self._stretches) < _FEWEST or planned <= 0:
            return plan.steps
        each = self._step(_WINDOW * left)
        rest = (left - self._scoring(plan, step)) / each
        tolerated = max(_TOLERATED * self._budget, _TOLERATED_OF_REST * left)
        if abs(planned - rest) * each <= tolerated:
            return plan.steps
        return step + max(1, round(min(max(rest, planned / _LEAP), planned * _LEAP)))

    def left(self, plan: Plan, step: int) -> float | None:
        """Seconds until the plan is done, evaluations included; None before anything was measured."""
        if not self._stretches:
            return None
        return self._step() * (plan.steps - step) + self._scoring(plan, step)

    def late(self, elapsed: float) -> bool:
        """Whether the budget is spent but for a last evaluation."""
        last = min(self._evaluation, _LAST * self._budget)
        return elapsed + last > _OVERRUN * self._budget

    def _scoring(self, plan: Plan, step: int) -> float:
        """Seconds that the evaluations after `step` will take; the last step always has one."""
        times = max(1, plan.evaluations)
        return (times - plan.passed(step, times)) * self._evaluation
