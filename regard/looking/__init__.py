"""What a task's model shows of its inside: traces, what heads are worth, playback of its training.

`run.py` calls these; they take a task and a model, and know of files only the snapshots beside a bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from regard.data.rows import Row
from regard.errors import InputError, nearest
from regard.insight.ablation import Ablation, ablate
from regard.insight.alignment import Alignment, cross_attention
from regard.insight.playback import Playback, losses, replay, snapshots
from regard.insight.recorded import Naming, passes_of, search_steps
from regard.insight.recorder import Choice, Recorder
from regard.insight.trace import Entry, Trace
from regard.looking.explorer import Searched, answer_of
from regard.model.search_events import Step, listen
from regard.model.transformer import EncoderDecoder, Transformer
from regard.tasks.decoding import Decoding, check_decoding, supported
from regard.tasks.metric import evaluate
from regard.tasks.prediction import checked
from regard.tasks.protocols import Generates, Inspects
from regard.tasks.task import Task

_SAMPLES = 1 << 30  # tokens


def naming(task: Task) -> Naming:
    """How people call what a task's model reads and what it chooses among; numbers, where it does not say."""
    if not isinstance(task, Inspects):
        return Naming(source=_numbers, target=_numbers, outputs=(), independent=False)
    return Naming(
        source=lambda ids: task.tokens(ids, [])[0],
        target=lambda ids: task.tokens([], ids)[1],
        outputs=tuple(task.outputs()),
        independent=task.independent,
    )


def _numbers(ids: Sequence[int]) -> list[str]:
    return [str(token) for token in ids]


def traced(task: Task, model: nn.Module, text: str, decoding: Decoding, choice: Choice) -> Trace:
    """The prediction for one input, with what was chosen of its numbers. Raises: InputError for steps that
    there are not."""
    assert isinstance(model, EncoderDecoder | Transformer)
    check_decoding(task, decoding)
    recorder = Recorder(model, choice)
    # Windows and texts go one after the other, so that nothing is padded; samples of one text side by side.
    tokens = _SAMPLES if decoding.n > 1 and "sampling" in supported(task) else 1
    with torch.inference_mode(), listen(recorder.on_step), recorder.watching():
        (prediction,) = task.predict(model, [task.input.parse(text)], replace(decoding, batch_tokens=tokens))
    passes, search = passes_of(recorder, names := naming(task))
    if choice.steps and (first := min(choice.steps)) > len(search):
        there = f"{len(search)} were taken" if search else f"{task.name} writes nothing step by step"
        raise InputError("there is no step {value}; {limit}", first, there)
    about = {"kind": model.config.kind}
    return Trace(task.name, text, *answer_of(prediction), passes, search, names.outputs, about)


def aligned(task: Task, model: nn.Module, text: str, decoding: Decoding) -> Alignment:
    """The tokens that the model writes for `text` (not those of the answer's text read anew), and how much of
    each token of the input served each: its cross-attention averaged over all heads.

    Raises: InputError for a model without cross-attention, or an input without tokens.
    """
    if not isinstance(model, EncoderDecoder) or not isinstance(task, Generates):
        raise InputError("{where} has no second sequence to align with the first", task.name)
    given = task.input.parse(text)
    source, start = task.opening(given)
    if not source:
        raise InputError("the input has no tokens to align with; give a text")
    steps: list[Step] = []
    with torch.inference_mode(), listen(steps.append):
        (prediction,) = checked(task.predict(model, [given], decoding))
    written = Searched(prediction, tuple(search_steps(steps, naming(task)))).written
    # What is given at a step is the token before; what is looked at serves the token after.
    weights = cross_attention(model, source, [*start, *written[:-1]])
    called = naming(task)
    return Alignment(list(called.source(source)), list(called.target(written)), weights)


def ablated(
    task: Task,
    model: nn.Module,
    rows: Sequence[Row],
    decoding: Decoding,
    on_progress: Callable[[int, int], None],
) -> Ablation:
    """The task's metric on these rows with all heads and without each."""
    chosen = task.metric()

    def measure() -> float:
        return float(evaluate(task, model, rows, decoding).figures[chosen.key])

    with torch.inference_mode():
        return ablate(model, measure, chosen.key, lower=chosen.lower, on_progress=on_progress)


def played_back(
    task: Task, model: nn.Module, folder: Path, text: str, name: str, decoding: Decoding
) -> Playback:
    """One value over training, by the snapshots in a run's folder; the tokens are those of today's answer.
    `model`: as it was trained, its tables still tied.

    Raises: InputError where there are no snapshots, or nothing of that name; BundleError for a snapshot of
    another model.
    """
    assert isinstance(model, EncoderDecoder | Transformer)
    files = snapshots(folder)
    if name not in (known := model.origins()):
        raise InputError("the model computes nothing of the name '{key}'", name, remedy=nearest(name, known))
    only = Choice(names=frozenset({name}))
    now = traced(task, model, text, decoding, only)
    now[name]  # or else it is refused before the work
    given = ("source_given", "target_given") if isinstance(model, EncoderDecoder) else ("given",)
    device = next(model.parameters()).device
    inputs = [now[point].value[None].to(device) for point in given]

    def look() -> Entry:
        recorder = Recorder(model, only)
        with recorder.watching():
            model(*inputs)
        passes, _ = passes_of(recorder, naming(task))
        return next(one[name] for one in passes if name in one.entries)

    return Playback(dict(replay(model, files, look)), losses(folder))
