"""Playback: how an attention's pattern, and the loss, formed over training.

From the snapshots that `train --snapshots N` keeps beside a bundle. The same tokens go through the model
with the weights of each, so that its patterns can be laid over one another. Olsson et al., arXiv 2209.11895,
section on 'the phase change', watch heads in this way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from regard.errors import BundleError, InputError
from regard.insight.figures import no_map, plot_labels
from regard.insight.plotting import graph_objects, subplots
from regard.insight.trace import Entry, check_number
from regard.weights import read_weights

FOLDER, LOG = "snapshots", "log.jsonl"
_NAME = re.compile(r"step-(\d{1,12})\.safetensors")
_MOST_LINE = 1 << 16  # characters of a line of the log
T = TypeVar("T")


def snapshots(run: Path) -> dict[int, Path]:
    """The files that training kept, by step. Raises: InputError when there are none."""
    folder = run / FOLDER
    names = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()] if folder.is_dir() else []
    found = {int(name[1]): path for name, path in names if name}
    if not found:
        raise InputError("{where} has no snapshots; train it with --snapshots N", run)
    return dict(sorted(found.items()))


@torch.no_grad()
def replay(model: nn.Module, files: Mapping[int, Path], look: Callable[[], T]) -> Iterator[tuple[int, T]]:
    """What `look` finds with the weights of each snapshot; the model has its own again in the end.

    Raises: BundleError for a file that is not of this model.
    """
    live = dict(model.named_parameters())
    own = {name: parameter.detach().clone() for name, parameter in live.items()}
    try:
        for step, path in files.items():
            _put(live, read_weights(path), path)
            yield step, look()
    finally:
        _put(live, own, None)


def _put(live: Mapping[str, nn.Parameter], weights: Mapping[str, Tensor], path: Path | None) -> None:
    """Of a model whose lower part was not trained, only the upper part was kept."""
    known = all(name in live and live[name].shape == x.shape for name, x in weights.items())
    if not weights or not known:
        raise BundleError("{where} holds the weights of another model", path)
    for name, weight in weights.items():
        live[name].copy_(weight)


def losses(run: Path) -> list[tuple[int, float]]:
    """Steps and training losses from the run's log; empty where it has none."""
    found: list[tuple[int, float]] = []
    path = run / LOG
    if not path.is_file():
        return found
    with path.open(encoding="utf-8", errors="replace") as file:
        while line := file.readline(_MOST_LINE):
            try:
                record: Any = json.loads(line)
                found.append((int(record["step"]), float(record["loss"])))
            except (ValueError, TypeError, KeyError, OverflowError, RecursionError):  # another kind of line
                continue
    return found


@dataclass(frozen=True)
class Playback:
    """One value of the computation at each of some steps of training."""

    entries: Mapping[int, Entry]
    """By step, all of one shape."""
    losses: Sequence[tuple[int, float]]
    """Steps and training losses."""

    def figure(self, head: int = 0) -> Any:
        """A heat map of one head with a slider over the steps, and the loss beside it.

        Raises: InputError for a head that there is not, or a value that is no map.
        """
        go = graph_objects()
        first = next(iter(self.entries.values()))
        sheets = {step: _sheet(entry, head) for step, entry in self.entries.items()}
        figure = subplots().make_subplots(1, 2, subplot_titles=(f"{first.name}, head {head}", "loss, nats"))
        frames = [(step, sheet.tolist()) for step, sheet in sheets.items()]
        heat = {"colorscale": "Blues", "zmin": 0, "zmax": 1, "showscale": False}
        figure.add_trace(go.Heatmap(z=frames[0][1], **heat), 1, 1)
        steps, values = [step for step, _ in self.losses], [loss for _, loss in self.losses]
        figure.add_scatter(x=steps, y=values, mode="lines", row=1, col=2, showlegend=False)
        figure.add_scatter(**self._mark(frames[0][0]), row=1, col=2)
        figure.frames = [
            go.Frame(name=str(step), data=[{"type": "heatmap", "z": z}, self._mark(step)], traces=[0, 2])
            for step, z in frames
        ]
        for update, axis in ((figure.update_yaxes, first.axes[-2]), (figure.update_xaxes, first.axes[-1])):
            places = list(range(len(axis.labels)))
            update(tickvals=places, ticktext=plot_labels(axis.labels), title=axis.name, row=1, col=1)
        figure.update_yaxes(autorange="reversed", row=1, col=1)
        figure.update_xaxes(title="step", row=1, col=2)
        figure.update_layout(
            template="plotly_white", sliders=[{"steps": [_slide(step) for step, _ in frames]}]
        )
        return figure

    def _mark(self, step: int) -> dict[str, Any]:
        """Where a step is on the curve."""
        near = min(self.losses, key=lambda point: abs(point[0] - step), default=(step, 0.0))
        return {"x": [step], "y": [near[1]], "mode": "markers", "marker": {"size": 12}, "showlegend": False}


def _sheet(entry: Entry, head: int) -> Tensor:
    """(rows, columns): all of it, or one head's."""
    value = entry.value
    if value.dim() not in (2, 3):
        raise no_map(entry)
    if value.dim() == 3:
        check_number(f"{entry.axes[0].name} of {entry.name}", head, len(value))
    return value if value.dim() == 2 else value[head]


def _slide(step: int) -> dict[str, Any]:
    now = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    return {"label": str(step), "method": "animate", "args": [[str(step)], now]}
