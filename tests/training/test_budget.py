"""A time budget on machines whose speed changes: the loop itself, whose steps only move a simulated clock."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import asked
from torch import Tensor

from regard.data.readers import open_data
from regard.data.store import write_store
from regard.decode import fast
from regard.tasks.translation import Translation
from regard.training import meter
from regard.training.device import Place
from regard.training.loop import Trainer
from regard.training.progress import Reporter
from regard.training.resolve import resolve
from regard.training.schedule import Cosine

STEP, EVALUATION, TICK = 0.1, 1.5, 0.05  # seconds, on the machine as it is at first
Slowdown = Callable[[float], float]  # how many times as long everything takes, at a share of the budget


@dataclass
class Clock:
    """Time that passes only when something is done, and faster or slower than it should."""

    seconds: float = 50.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Said(Reporter):
    """Keeps what was said."""

    lines: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.lines.append(text)


class Simulated(Trainer):
    """Each step and each evaluation takes as long as the machine makes it; nothing is learned."""

    clock: Clock
    slowdown: Slowdown
    budget: float

    def prepare(self, clock: Clock, slowdown: Slowdown) -> Simulated:
        self.clock, self.slowdown, self.budget = clock, slowdown, self.config.budget or 1.0
        self.plans: list[int] = []
        self.rates: list[tuple[float, float]] = []  # share of the budget, factor of the learning rate
        self.judged: list[float] = []
        self.kept: list[float] = []
        return self

    def _spend(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK)):
            self.clock.seconds += TICK * self.slowdown(self._share())

    def _step(self, batches: list[Any]) -> tuple[dict[str, Tensor], int]:
        self._spend(STEP)
        plan = self.at.plan
        if plan is not None:
            if plan.steps not in self.plans[-1:]:
                self.plans.append(plan.steps)
            self.rates.append((self._share(), self.config.schedule.factor(*plan.scaled(self.at.step + 1))))
        return {"loss": torch.tensor(10.0)}, 10

    def _share(self) -> float:
        return (self.clock.seconds - self.begun) / self.budget

    def evaluate(self, rows: list[Any], *, typical: bool = False) -> dict[str, Any]:
        self._spend(EVALUATION if rows else 0.0)
        if not typical and len(rows) > 1:
            self.judged.append(self._share())
        return {}

    def keep_snapshot(self) -> None:
        self.kept.append(self._share())

    def save(self) -> None:
        self.meter.losses.clear()


def made(pairs: Path, folder: Path, kind: type[Trainer], *settings: str, **ends: Any) -> Any:
    """A trainer without its job."""
    config = resolve(asked(pairs, *settings, **ends))
    dataset = open_data(pairs, (None, None))
    task = Translation.prepare(config.task, dataset.split("train"))
    examples = (example for example in task.encode(dataset.split("train")) if example)
    store = write_store(folder / "tokens", examples, task.fields)
    torch.manual_seed(1)
    model = task.configure_model(config.model).build()
    place, valid = Place(torch.device("cpu")), list(dataset.split("valid"))[:8]
    return kind(task, model, config.train, store, valid, place, folder, Said(), "this one")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("regard.training.meter.now", clock)
    monkeypatch.setattr("regard.training.loop.now", clock)
    monkeypatch.setattr("regard.training.callbacks.now", clock)
    return clock


def constant(share: float) -> float:
    return 1.0


def noisy(of: Slowdown = constant, spread: float = 0.2) -> Slowdown:
    """With ticks that are uneven, and now and then one that takes very long."""
    chance = random.Random(7)
    return lambda share: of(share) * chance.lognormvariate(0, spread) * (15 if chance.random() < 0.005 else 1)


def between(start: float, stop: float, factor: float) -> Slowdown:
    return lambda share: factor if start <= share < stop else 1.0


MACHINES: dict[str, Slowdown] = {
    "steady": constant,
    **{f"slower at {moment}": between(moment, 9.0, 3.0) for moment in (0.1, 0.3, 0.5, 0.8, 0.9)},
    **{f"faster at {moment}": between(moment, 9.0, 1 / 3) for moment in (0.1, 0.3, 0.5, 0.8, 0.9)},
    "slow while it is measured": between(0.0, 0.08, 3.0),
    "fast while it is measured": between(0.0, 0.08, 1 / 3),
    "slow for a while": between(0.4, 0.6, 3.0),
    "now so, now so": lambda share: 3.0 if int(share * 10) % 2 else 1.0,
    "held up once, for long": between(0.5, 0.501, 60.0),
}


@pytest.mark.parametrize("budget", [60.0, 300.0])
@pytest.mark.parametrize("name", MACHINES)
def test_a_budget_ends_then_and_the_run_keeps_its_shape(
    pairs: Path, tmp_path: Path, clock: Clock, name: str, budget: float
) -> None:
    settings = (
        "train.schedule=cosine",
        "train.schedule.warmup=20",
        "train.evaluations=5",
        "train.snapshots=4",
    )
    trainer = made(pairs, tmp_path, Simulated, *settings, budget=budget).prepare(clock, noisy(MACHINES[name]))
    trainer.run(resume=False)
    assert (clock.seconds - trainer.begun) / budget == pytest.approx(1.0, abs=0.05)

    for before, now in itertools.pairwise(trainer.plans):
        assert 0.5 < now / before < 2, trainer.plans

    assert isinstance(trainer.config.schedule, Cosine)
    falls = [
        (after[1] - before[1], after[0] - before[0]) for before, after in itertools.pairwise(trainer.rates)
    ]
    leaps = [abs(fall) for fall, time in falls]
    assert max(leaps) < 0.06, "no step's rate is far from that of the step before"
    assert trainer.rates[-1][1] < 0.02, "the last steps are taken at the rate that the schedule ends with"

    for moments, times in ((trainer.judged, 5), (trainer.kept, 4)):
        assert times - 1 <= len(moments) <= times
        gaps = [after - before for before, after in itertools.pairwise([0.0, *moments])]
        assert max(gaps) < 2.2 / times, "they are spread over the time"


def test_a_machine_that_keeps_its_speed_keeps_its_plan(pairs: Path, tmp_path: Path, clock: Clock) -> None:
    uneven = noisy(spread=0.1)
    trainer = made(pairs, tmp_path, Simulated, budget=300.0).prepare(clock, uneven)
    assert trainer.run(resume=False) == "planned"
    first = trainer.plans[0]
    assert all(abs(steps - first) < 0.15 * first for steps in trainer.plans)
    assert len([line for line in trainer.reporter.lines if "anew" in line]) <= 1


def test_a_run_says_what_is_left_of_it(pairs: Path, tmp_path: Path, clock: Clock) -> None:
    trainer = made(pairs, tmp_path, Simulated, budget=100.0).prepare(clock, constant)
    events: list[Any] = []
    trainer.reporter.step = events.append  # type: ignore[method-assign]
    trainer.run(resume=False)
    ended = clock.seconds - trainer.begun
    known = [event for event in events if event["seconds_left"] is not None]
    assert len(known) > 20
    for event in known[1:]:
        assert event["seconds"] + event["seconds_left"] == pytest.approx(ended, rel=0.05)


class Timed(Trainer):
    """Real steps, each of which takes a tenth of a second by the simulated clock."""

    clock: Clock
    dies_at = -1

    def _step(self, batches: list[Any]) -> tuple[dict[str, Tensor], int]:
        if self.at.step == self.dies_at:
            raise KeyboardInterrupt
        self.clock.seconds += STEP
        return super()._step(batches)


def test_a_budget_keeps_its_plan_when_resumed_to_the_bit(pairs: Path, tmp_path: Path, clock: Clock) -> None:
    settings = ("train.save_steps=7", "model.encoder.dropout=0.2", "train.valid_rows=4")

    def trainer(name: str, dies_at: int = -1) -> Timed:
        (tmp_path / name).mkdir(exist_ok=True)
        trainer: Timed = made(pairs, tmp_path / name, Timed, *settings, budget=9.0)
        trainer.clock, trainer.dies_at = clock, dies_at
        return trainer

    whole = trainer("whole")
    assert whole.run(resume=False) == "planned"
    assert whole.at.step > 60
    for died in (22, 41, 63):
        interrupted = trainer("parts", died)
        with pytest.raises(KeyboardInterrupt):
            interrupted.run(resume=died > 22)
    parts = trainer("parts")
    assert parts.run(resume=True) == "planned"
    assert parts.at.step == whole.at.step
    assert parts.at.metrics == whole.at.metrics
    theirs = parts.model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in whole.model.state_dict().items())


@pytest.mark.parametrize("ends", [{"budget": 60.0}, {"steps": 40}], ids=str)
def test_only_a_run_with_a_time_budget_computes_with_the_threads_that_are_free(
    pairs: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, ends: dict[str, Any]
) -> None:
    """Whoever names steps or epochs may count on the same bits."""
    monkeypatch.setattr("regard.training.loop.free_threads", lambda threads: threads + 1)
    trainer = made(pairs, tmp_path, Simulated, **ends).prepare(clock, constant)
    before, used = torch.get_num_threads(), set[int]()
    step = trainer._step
    trainer._step = lambda batches: used.add(torch.get_num_threads()) or step(batches)
    trainer.run(resume=False)
    assert used == {before + 1 if "budget" in ends else before}
    assert torch.get_num_threads() == before


def test_compiling_is_not_taken_from_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([10.0, 11.0, 14.0, 14.5, 20.0, 20.0])
    monkeypatch.setattr(fast.time, "monotonic", lambda: next(seconds, 20.0))
    before = fast.compiled_seconds()
    with fast.compiling("this"), fast.compiling("that"):
        pass
    assert fast.compiled_seconds() - before > 0
    assert meter.now() == 20.0 - fast.compiled_seconds()
