"""How many steps a run takes: given, counted from epochs, or bought with a time budget.

A budget is turned into steps early, from the speed measured so far; the plan is stored with the checkpoint,
so that a run resumed from there takes the same steps. It is looked at again after each evaluation, and made
anew only where the machine has become so much faster or slower that the budget would be missed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from regard.train.config import TrainConfig

DEFAULT_EPOCHS = 20.0

_PROBE = 0.06  # of the budget is spent before the plan is made …
_PROBE_STEPS = 12  # … and at least so many steps,
_SETTLE = 3  # the first of which are slower than the rest.
_RESERVE = 0.025  # of the budget is left for what differs between steps measured and steps to come
_TOLERATED = 0.04  # of the budget: a plan that will end so near to it is kept


@dataclass(frozen=True)
class Plan:
    """The whole run, laid out."""

    steps: int
    """Optimizer steps in all."""
    evaluations: int
    """How often the validation part is scored …"""
    start: int = 0
    """… after this step, where the plan was made anew."""

    def evaluates_after(self, step: int) -> bool:
        """Whether the validation part is scored after this step (from 1); always after the last."""
        left = self.steps - self.start
        return step == self.steps or _marks(step - self.start, left, self.evaluations)

    def marks(self, step: int, times: int) -> bool:
        """Whether `step` (from 1) is one of `times` steps that divide the run evenly, the last included."""
        return _marks(step, self.steps, times)


def _marks(step: int, steps: int, times: int) -> bool:
    return (step * times) // steps != ((step - 1) * times) // steps


def fixed_plan(config: TrainConfig, steps_an_epoch: Callable[[], int]) -> Plan | None:
    """The plan, or None when a budget decides. Only epochs ask for `steps_an_epoch`: it is slow to count."""
    if config.budget is not None:
        return None
    if config.steps is not None:
        return Plan(config.steps, config.evaluations)
    epochs = DEFAULT_EPOCHS if config.epochs is None else config.epochs
    return Plan(max(1, round(epochs * steps_an_epoch())), config.evaluations)


class Pace:
    """Measures speed until a budget can be turned into a plan."""

    def __init__(self, config: TrainConfig, done: int = 0) -> None:
        """`done`: steps that were taken before, by the run that is resumed."""
        assert config.budget is not None
        self._done = done
        self.budget, self.evaluations = config.budget, config.evaluations
        self._step_seconds: list[float] = []

    def note(self, seconds: float) -> None:
        """One step took this long."""
        self._step_seconds.append(seconds)

    @property
    def settled(self) -> bool:
        """Whether enough was measured; a step that alone eats the probe's share settles it, too."""
        spent, count = sum(self._step_seconds), len(self._step_seconds)
        return spent >= _PROBE * self.budget and (count >= _PROBE_STEPS or spent >= 0.5 * self.budget)

    def plan(self, evaluation_seconds: float, elapsed: float) -> Plan:
        """Fill what is left of the budget after `elapsed` seconds."""
        steady = self._step_seconds[_SETTLE:] or self._step_seconds
        step = sum(steady) / len(steady)
        left = self.budget * (1 - _RESERVE) - elapsed - self.evaluations * evaluation_seconds
        taken = self._done + len(self._step_seconds)
        return Plan(taken + max(1, int(left / step)), self.evaluations)


def revised(plan: Plan, budget: float, step: int, elapsed: float) -> Plan:
    """`plan`, or what the budget buys at the speed of the run so far: `step` steps in `elapsed` seconds."""
    pace = elapsed / step
    if abs(plan.steps * pace - budget) <= _TOLERATED * budget:
        return plan
    left = (1 - _RESERVE) * budget - elapsed
    done = (step - plan.start) * plan.evaluations // (plan.steps - plan.start)
    return Plan(step + max(1, int(left / pace)), plan.evaluations - done, start=step)
