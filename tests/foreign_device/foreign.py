"""A device that is not there: tensors say that they are on `foreign:0`, and are computed on the processor.

With it every path of the library runs to its end, with right numbers, on a machine without a GPU, and what
one would refuse, spoil or wait for shows:

- tensors of the host and of the device that meet in one operation (a number alone may come from the host),
- float64 on the device, which MPS does not have,
- a copy from memory that is not pinned, without waiting: MPS would read what may be gone by then,
- how often the host waits for the device: `waits` counts by the line of this library that does.

What it cannot show: kernels that are wrong or missing there. Those are tried by the tests marked `cuda`.

torch takes one such device a process, for good, so that importing this file is for a process of its own: see
`tests/laws/test_devices.py`.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)


class _Backend(_DummyBackendModule):
    def manual_seed_all(self, seed: int) -> None:
        """Its randomness is the processor's."""

    def synchronize(self, device: Any = None) -> None:
        """It is never behind."""


class _Generator(torch.Generator):
    """Of any device, the processor's."""

    def __new__(cls, device: Any = "cpu") -> _Generator:
        return super().__new__(cls, "cpu")


_setup_privateuseone_for_python_backend("foreign", backend_module=_Backend())
DEVICE = torch.device("foreign", 0)
HERE = torch.device("cpu")
_aten = torch.ops.aten
_MOVES = {_aten._to_copy.default, _aten.copy_.default}
_LOOKS = {
    _aten._local_scalar_dense.default,
    _aten.nonzero.default,
    _aten.masked_select.default,
    _aten.equal.default,
    _aten._unique2.default,
}
"""What gives the host a number, or a size that depends on numbers."""


class ForeignTensor(torch.Tensor):
    """See the module's docstring; `inner` holds the numbers."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> ForeignTensor:
        shape = torch.empty_strided(inner.shape, inner.stride(), dtype=inner.dtype, device="meta")
        made = torch.Tensor._make_subclass(
            cls, shape, False, dispatch_device=True, device_for_backend_keys=DEVICE
        )
        made.inner = inner
        return made

    def __init__(self, inner: Tensor) -> None:
        super().__init__()

    def __repr__(self) -> str:  # type: ignore[override]
        return f"foreign({self.inner!r})"

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("a tensor of another device has no array")

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["inner"], None

    @staticmethod
    def __tensor_unflatten__(parts: dict[str, Tensor], *_: Any) -> ForeignTensor:
        return ForeignTensor(parts["inner"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


_WAITS: Counter[str] = Counter()


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    if func is torch.ops.prim.device.default:
        return DEVICE
    given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    foreign = [x for x in given if isinstance(x, ForeignTensor)]
    asked = kwargs.get("device")
    there = asked is not None and torch.device(asked).type == DEVICE.type
    _check(func, args, kwargs, given, foreign, there, asked)
    out = func(*tree_map(_inside, args), **tree_map(_inside, kwargs))
    known = {id(x.inner): x for x in foreign} | {id(x): x for x in given if not isinstance(x, ForeignTensor)}
    wrap = there or (foreign and asked is None and not _to_host(func, args))

    def outside(x: Any) -> Any:
        if not isinstance(x, Tensor) or isinstance(x, ForeignTensor):
            return x
        if id(x) in known:
            return known[id(x)]
        if wrap and x.dtype == torch.float64 and not _called_by("grad_scaler.py"):
            raise RuntimeError(f"{func}: MPS has no float64")
        return ForeignTensor(x) if wrap else x

    return tree_map(outside, out)


def _inside(x: Any) -> Any:
    if isinstance(x, ForeignTensor):
        return x.inner
    return HERE if isinstance(x, torch.device) and x.type == DEVICE.type else x


def _to_host(func: Any, args: Any) -> bool:
    return func is _aten.copy_.default and not isinstance(args[0], ForeignTensor)


def _check(
    func: Any, args: Any, kwargs: Any, given: list[Any], foreign: list[Any], there: bool, asked: Any
) -> None:
    if func in _MOVES:
        arrives = there or (func is _aten.copy_.default and isinstance(args[0], ForeignTensor))
        if arrives and kwargs.get("non_blocking"):
            for x in given:
                if not isinstance(x, ForeignTensor) and not getattr(x, "pinned", False):
                    raise RuntimeError("a copy that nobody waits for reads memory that is not pinned")
        if foreign and not arrives and (asked is not None or _to_host(func, args)):
            _waited(func)
        return
    if not foreign:
        return
    for x in given:
        if not isinstance(x, ForeignTensor) and x.dim():
            raise RuntimeError(f"{func}: expected all tensors to be on one device, found foreign:0 and cpu")
    indices = [x for x in tree_leaves(args[1:]) if isinstance(x, Tensor)]
    masks = "index" in str(func) and any(x.dtype == torch.bool for x in indices[:1])
    if func in _LOOKS or masks:
        _waited(func)


def _waited(func: Any) -> None:
    frame: Any = sys._getframe()
    while frame is not None and "/regard/" not in frame.f_code.co_filename.replace("\\", "/"):
        frame = frame.f_back
    where = "elsewhere"
    if frame is not None:
        where = f"{frame.f_code.co_filename.rpartition('/regard/')[2]}:{frame.f_code.co_name}"
    _WAITS[where] += 1


def _called_by(file: str) -> bool:
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.endswith(file):
            return True
        frame = frame.f_back
    return False


def _pinned(value: Tensor, *_: Any) -> Tensor:
    made = value.clone()
    made.pinned = True  # type: ignore[attr-defined]
    return made


def _without_gradients(self: Any) -> None:
    """What is left of inference mode: tensors of Python cannot be viewed in it."""
    self._inference_mode_context = torch.no_grad() if self.mode else nullcontext()
    self._inference_mode_context.__enter__()


@contextmanager
def foreign_device() -> Iterator[Counter[str]]:
    """In here `torch.device("foreign")` can be used. Gives the waits, by file and function of the library."""
    patch = pytest.MonkeyPatch()
    patch.setattr(torch.Tensor, "pin_memory", _pinned)
    patch.setattr(torch, "Generator", _Generator)
    patch.setattr(torch.inference_mode, "__enter__", _without_gradients)
    patch.setattr(torch.accelerator, "synchronize", lambda device=None: None)
    lifts = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    _WAITS.clear()
    try:
        with _Mode():
            yield _WAITS
    finally:
        torch._C._set_only_lift_cpu_tensors(lifts)
        patch.undo()
