"""A loaded bundle in use: predict, evaluate, verify. What `regard.load` returns.

The command line and Python take the same path through here. A run does not know how it was trained, and
leaves to its task whatever differs between tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from regard import bundle as bundles
from regard.bundle import Bundle
from regard.data.builtin import BUILTIN
from regard.data.named import is_running
from regard.data.readers import Preview
from regard.data.rows import DataSet
from regard.data.text_input import lines_of
from regard.errors import BundleError, InputError, RegardError, outside
from regard.evaluation import Evaluation, evaluated, metric_of, opened, rows_of
from regard.insight.ablation import Ablation
from regard.insight.alignment import Alignment
from regard.insight.changes import Tied
from regard.insight.neighbours import nearest
from regard.insight.playback import Playback
from regard.insight.recorder import Choice
from regard.insight.trace import Trace
from regard.looking import ablated, aligned, naming, played_back, traced
from regard.looking.analyses import drawn
from regard.looking.explorer import Explorer
from regard.looking.inputs import examples
from regard.looking.neighbours import nearest_words, ranked
from regard.model.device import pick_device
from regard.model.layout import prepared
from regard.model.transformer import EncoderDecoder, Transformer
from regard.schema import parse
from regard.tasks import TASKS
from regard.tasks.conversation import Conversation
from regard.tasks.decoding import Decoding, check_decoding
from regard.tasks.prediction import checked
from regard.tasks.protocols import (
    AdaptsToColumns,
    Chats,
    Embeds,
    EmbedsTokens,
    Generates,
    Renders,
)
from regard.tasks.task import Task, open_columns
from regard.tasks.text_task import TextTask
from regard.threads import use_threads
from regard.values import Prediction, Text, Value
from regard.verify import Finding, verified
from regard.weights import check_fits

_AT_ONCE = 512  # inputs read ahead when predicting from a stream


def load(folder: str | Path, device: str | torch.device | None = "auto", dtype: str = "float32") -> Run:
    """The bundle in `folder`, ready for use.

    `dtype`: "float32", "bfloat16", "float16", or "int8" for weights of 8 bits.
    `device`: where the model computes, such as "cpu", "cuda" or "mps"; "auto" is the best there is.

    Raises: BundleError when it is none, or is damaged; InputError for another `dtype`; ConfigError for a
    device that this machine has not.
    """
    use_threads()
    return Run(bundles.load(folder), Path(folder), pick_device(device), dtype)


def trace(
    run: Run | str | Path,
    text: str,
    decoding: Decoding = Decoding(),
    *,
    layers: Collection[int] | None = None,
    heads: Collection[int] | None = None,
    steps: Collection[int] | None = None,
) -> Trace:
    """Every number of the prediction for one input: `Run.trace` of a run, or of the one in a folder.

    Raises: BundleError when the folder holds no run; InputError for an input that the model cannot take, or a
    choice of layers, heads or steps that it does not have.
    """
    run = run if isinstance(run, Run) else load(run)
    return run.trace(text, decoding, layers=layers, heads=heads, steps=steps)


class Run:
    """A trained model in use: predict, evaluate, verify, look inside. `load` makes one of a folder.

    Raises: BundleError for a task or a configuration that does not fit; InputError for another `dtype`.
    """

    def __init__(self, bundle: Bundle, folder: Path, device: torch.device, dtype: str = "float32") -> None:
        if bundle.task not in TASKS:
            sentence = "{where} was trained for '{value}', which this version does not know"
            raise BundleError(sentence, folder, bundle.task)
        self.bundle, self.folder, self.device = bundle, folder, device
        try:
            kind = TASKS[bundle.task]
            config = parse(kind.Config, bundle.training.get("task", {}), "config.json", "training.task")
            self.task: Task = kind.prepare(config, None, bundle.tokenizers)
            self.task.configure_model(bundle.model)
        except RegardError as problem:
            raise BundleError.of(problem, where=folder) from problem
        if isinstance(self.task, TextTask) and self.task.tokenizer.lines is None:
            self.task.tokenizer.lines = is_running(str(bundle.data.get("name")))
        self.model: nn.Module = prepared(bundle.build(), device, dtype)
        if dtype == "float32" and device.type == "cpu":  # the same numbers, once
            own = self.model.state_dict()
            self.bundle = replace(bundle, weights={name: own[name] for name in bundle.weights})
        else:
            check_fits(self.model, dtype)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, task={self.bundle.task!r})"

    # ------------------------------------------------------------------ predicting

    def predict(self, inputs: Sequence[Any], **options: Any) -> list[Value]:
        """The best answer to each input, in order; `options` are those of `tasks.Decoding` and, where tokens
        are drawn, of `Sampling`: `beam=4`, `temperature=0.7`.

        Raises: InputError for an input that the model cannot take, or an option that there is not.
        """
        return [prediction.value for prediction in self.predictions(inputs, Decoding.of(**options))]

    def predictions(self, inputs: Sequence[Any], decoding: Decoding = Decoding()) -> list[Prediction[Any]]:
        """The answers with their scores and candidates, in order. An input is a value, or what means one: a
        text, a path, an array.

        Raises: InputError for a text instead of a list, or for what the task cannot take or do.
        """
        if isinstance(inputs, str):
            raise InputError("predict takes a list of {key}; put the one you have in brackets", "inputs")
        check_decoding(self.task, decoding)
        values = [self.task.input.parse(given) for given in inputs]
        with torch.inference_mode():
            return checked(self.task.predict(self.model, values, decoding))

    def stream(
        self, inputs: Iterable[Any], decoding: Decoding = Decoding()
    ) -> Iterator[tuple[Any, Prediction[Any]]]:
        """Each input of a stream of any length with its answer, in order; read a few hundred at a time."""
        inputs = iter(inputs)
        while some := list(islice(inputs, _AT_ONCE)):
            yield from zip(some, self.predictions(some, decoding), strict=True)
            decoding = replace(decoding, number=decoding.number + len(some))

    def read(self, path: Path | None = None) -> Iterator[Any]:
        """The inputs in a file, or on standard input: a line each, or a row each of a table where an input is
        made of columns. Raises: DataError naming file and line."""
        columns = self.task.input.columns
        if path is None or not columns:
            return lines_of(path)
        return iter(self.task.inputs(open_columns(columns, path, whole=True).split("all")))

    def write(self, given: Any, decoding: Decoding = Decoding()) -> Iterator[str]:
        """The greedy answer as it grows, token by token; all at once where a task does not write.

        Raises: InputError for an input that the model cannot take.
        """
        check_decoding(self.task, decoding)
        value = self.task.input.parse(given)
        if isinstance(self.task, Generates):
            return self.task.write(self.model, value, decoding)
        return (prediction.value.plain() for prediction in self.predictions([value], decoding))

    def neighbours(
        self, queries: Sequence[str], among: Sequence[str] | None = None, n: int = 10
    ) -> list[Prediction[Text]]:
        """For each query the n nearest of the texts `among`, with their cosines; without those, the nearest
        pieces of the vocabulary, by the model's table.

        Raises: InputError where there are no such vectors.
        """
        if n < 1:
            raise outside(InputError, "n", n, "1 or more")
        task, model = self.task, self.model
        if not queries:
            return []
        if among is None:
            if not isinstance(task, EmbedsTokens):
                raise InputError("{where} has no one table of words; give texts to look among", task.name)
            return nearest_words(*task.token_embeddings(model), queries, n)
        if not among:
            raise InputError("{key} is empty; give at least one text to look among", "among")
        if not isinstance(task, Embeds):
            raise InputError(
                "{where} makes no vectors of texts; train sentence-similarity for that", task.name
            )
        found = nearest(task.vectors(model, queries), task.vectors(model, among), n)
        rows = zip(*(side.tolist() for side in found), strict=True)
        return [ranked([(among[place], cosine) for cosine, place in zip(*row, strict=True)]) for row in rows]

    def chat(self, system: str | None = None) -> Conversation[Any]:
        """A dialogue: `say` what you like, turn by turn. Raises: InputError when it has learned none."""
        if not isinstance(self.task, Chats):
            raise InputError("{where} answers inputs one by one; it holds no dialogue", self.task.name)
        return self.task.conversation(self.model, system)

    # ------------------------------------------------------------------ evaluating

    def open(self, data: str | Path, on_error: str = "refuse") -> DataSet:
        """`data` with this run's columns."""
        return opened(self.task, data, on_error)

    def evaluate(
        self,
        data: str | Path | None = None,
        split: str | None = None,
        *,
        decoding: Decoding = Decoding(),
        tokenize: str | None = None,
        limit: int | None = None,
        on_error: str = "refuse",
        baselines: bool = True,
        grid: str | Path | None = None,
    ) -> Evaluation:
        """Predict a split of `data` (by default what the run was trained on) and score it.

        `split`: "test" if it is left open, but "all" of a single file that is not what the run was trained
        on: neither it nor, moved or written anew, one of its name. `grid`: where to draw some of the
        examples with their predictions, as a PNG, if they can be seen.

        Raises: DataError when there is no such data or split; InputError for an option that is not the
        task's.
        """
        name = self._own_data() if data is None else str(data)
        check_decoding(self.task, decoding)
        if grid is not None and not isinstance(self.task, Renders):
            raise InputError(
                "{where} has no images to draw, and so no use for {key}", self.task.name, "--grid"
            )
        task = self.task
        if name != self.bundle.data.get("name") and isinstance(task, AdaptsToColumns):
            task = task.evaluated_on(Preview(name))
        metric = metric_of(task, tokenize)  # a wrong option is refused before the work
        split = split or self._evaluated_split(name)
        found = rows_of(task, name, split, limit, on_error)
        return evaluated(task, self.model, found, metric, decoding, split, baselines=baselines, grid=grid)

    def _evaluated_split(self, name: str) -> str:
        """All of a single file that is not, by its name, what the run was trained on; else the test part."""
        own = self.bundle.data.get("name")
        known = isinstance(own, str) and Path(own).name == Path(name).name
        return "all" if Path(name).is_file() and not known else "test"

    def _own_data(self) -> str:
        """What the run was trained on."""
        name = self.bundle.data.get("name")
        if not isinstance(name, str):
            raise BundleError("{where} does not say what it was trained on; give the data", self.folder)
        return name

    def verify(self, inputs: Sequence[str] | None = None) -> list[Finding]:
        """Try the library's laws on this very model, with `inputs` or some of its own data: each finding says
        by how much logits differ, as a part of the largest, and whether that is within rounding.

        Raises: BundleError or DataError when its own data are not at hand.
        """
        given: Sequence[Any] | None = inputs or None
        if given is None and "imported" not in self.bundle.data:
            given = self.task.inputs(islice(self.open(self._own_data()).split("train"), 8))
        return verified(self.task, self.model, self.bundle, given)

    # ------------------------------------------------------------------ looking

    def trace(
        self,
        text: str,
        decoding: Decoding = Decoding(),
        *,
        layers: Collection[int] | None = None,
        heads: Collection[int] | None = None,
        steps: Collection[int] | None = None,
    ) -> Trace:
        """Every number of the prediction for one input; of a large model those of some layers and heads, from
        0, and some steps of what is written, from 1.

        Raises: InputError for an input that the model cannot take, or a choice that it does not have.
        """
        found = traced(self.task, self.model, text, decoding, Choice.of(layers, heads, steps))
        return replace(found, about={**found.about, "parameters": self.bundle.parameters})

    def ablate(
        self,
        data: str | Path | None = None,
        split: str | None = None,
        *,
        decoding: Decoding = Decoding(),
        limit: int | None = None,
        told: Callable[[int, int], None] = lambda done, all_: None,
    ) -> Ablation:
        """What each head is worth: the task's metric on a split of `data`, with all heads and without each.

        `split`: as for `evaluate`. `told`: how many heads are done, and of how many.

        Raises: DataError when there is no such data.
        """
        name = self._own_data() if data is None else str(data)
        _, rows = rows_of(self.task, name, split or self._evaluated_split(name), limit)
        return ablated(self.task, self.model, rows, decoding, told)

    def playback(self, text: str, name: str, decoding: Decoding = Decoding()) -> Playback:
        """How one value of the computation, such as `decoder.blocks.0.cross.weights`, came to be over
        training, for this input and what the model answers now.

        Raises: InputError when training kept no snapshots, or nothing has that name.
        """
        model = self.bundle.build().to(self.device)  # whose tables are still tied, as while it was trained
        return played_back(self.task, model, self.folder, text, name, decoding)

    def figure(self, name: str, text: str, **options: Any) -> Any:
        """One of `looking.analyses` of the prediction for `text`, as a Plotly figure; `options`: its `other`
        input, the `number` of the written token, `lang`. Raises: InputError."""
        return drawn(self.explorer(), name, text, **options)

    def explorer(self) -> Explorer:
        """For whoever looks at this model again and again, with changes that come and go."""
        assert isinstance(self.model, EncoderDecoder | Transformer)
        tied = Tied.found(self.bundle.build())
        return Explorer(self.task, self.model, tied, naming(self.task), self.bundle.parameters)

    def examples(self, n: int = 6) -> list[dict[str, object]]:
        """Some inputs to begin with, as `looking.inputs` has them: of its own data, if those are at hand."""
        name, inputs = self.bundle.data.get("name"), list[Value]()
        if isinstance(name, str) and (name in BUILTIN or Path(name).exists()):
            with suppress(RegardError):  # data that have changed since are no reason not to look
                splits = self.open(name).splits
                rows = splits.get("test") or splits.get("valid") or next(iter(splits.values()))
                inputs = self.task.inputs(islice(rows, 8 * n))
        return examples(self.task, inputs, n)

    def alignment(self, text: str, decoding: Decoding = Decoding()) -> Alignment:
        """Which input tokens the model looked at for each output token that it wrote: cross-attention,
        averaged over all heads.

        Raises: InputError for a model without cross-attention, or an input without tokens.
        """
        assert isinstance(self.model, EncoderDecoder | Transformer)
        return aligned(self.task, self.model, text, decoding)


__all__ = ["Alignment", "Evaluation", "Run", "Trace", "load", "trace"]
