"""Named points at which a model can be observed or changed from outside.

A module marks a value with `x = tap(self, "weights", x)` and keeps a clean signature. With no tap
open that is one look at a boolean, which `torch.compile` takes for a constant: it compiles the model as one
graph, and steps aside while a tap is open. Whoever wants to see opens taps by pattern:

    with open_taps(model, {"decoder.*.weights": see}):
        model(...)

`see(name, value)` is given the point's full name and its tensor. Returning None observes; returning
a tensor replaces the value from there on. Fused arithmetic never forms some values; a module asks
`wanted(self, "scores", "weights")` and computes them beside the fused result, which remains the
answer unless one of them is replaced.

This file does not know which points exist: they are found where modules call `tap`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

See = Callable[[str, Tensor], Tensor | None]


class Observer:
    """The taps that are open: which functions see which points of which model."""

    def __init__(self, model: nn.Module, points: Mapping[str, See]) -> None:
        self._names = {id(module): name for name, module in model.named_modules(remove_duplicate=False)}
        self._points = dict(points)

    def name(self, module: nn.Module, point: str) -> str:
        path = self._names.get(id(module), "")
        return f"{path}.{point}" if path else point

    def wants(self, module: nn.Module, point: str) -> bool:
        name = self.name(module, point)
        return id(module) in self._names and any(fnmatchcase(name, pattern) for pattern in self._points)

    def show(self, module: nn.Module, point: str, value: Tensor) -> Tensor:
        if id(module) not in self._names:
            return value
        name = self.name(module, point)
        for pattern, see in self._points.items():
            if fnmatchcase(name, pattern):
                replaced = see(name, value)
                value = value if replaced is None else replaced
        return value


_OBSERVER: ContextVar[Observer | None] = ContextVar("regard_observer", default=None)
_ANY = False
"""Whether taps are open in any thread or task."""
_count = 0
_stance: Any = None
"""What `torch.compile` did before the first was opened, if it is in use."""
_lock = threading.Lock()


def _counted(more: int) -> None:
    """One more is open, or one less; while any is, what was compiled runs as it was written."""
    global _ANY, _count, _stance
    with _lock:
        _count += more
        _ANY = _count > 0
        if _ANY and _stance is None and "torch._dynamo" in sys.modules:  # which is slow to import
            _stance = torch.compiler.set_stance("force_eager")
        elif not _ANY and _stance is not None:
            _stance.__exit__(None, None, None)
            _stance = None


def tap(module: nn.Module, point: str, value: Tensor) -> Tensor:
    """`value`, or what an open tap at this point of `module` puts in its place."""
    if not _ANY:
        return value
    observer = _OBSERVER.get()
    return value if observer is None else observer.show(module, point, value)


def wanted(module: nn.Module, *points: str) -> bool:
    """Whether an open tap asks for any of these points of `module`."""
    observer = _OBSERVER.get() if _ANY else None
    return observer is not None and any(observer.wants(module, point) for point in points)


def watching() -> bool:
    """Whether any tap is open in this context; compiled steps step aside while one is."""
    return _ANY and _OBSERVER.get() is not None


@contextmanager
def open_taps(model: nn.Module, points: Mapping[str, See]) -> Iterator[Observer]:
    """Open taps on `model` for this thread or task; `points` maps name patterns (as in `fnmatch`)
    to functions. Taps do not nest: the inner ones stand alone until they close."""
    observer = Observer(model, points)
    token = _OBSERVER.set(observer)
    _counted(1)
    try:
        yield observer
    finally:
        _counted(-1)
        _OBSERVER.reset(token)
