"""Devices and processes: where tensors live, and what changes when several processes train together.

One process is the plain case. Under `torchrun` each process takes a share of every step's batches, and
gradients are summed over all (DistributedDataParallel, arXiv 2006.15704). Nothing else in regard knows
how many processes there are.
"""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from regard.errors import ConfigError
from regard.files import human_bytes
from regard.machine import memory
from regard.model.device import pick_device


def check_memory(parameters: int, copies: int) -> None:
    """Refuse a model of which this machine cannot hold so many copies in float32. Raises: ConfigError."""
    needed, there = 4 * parameters * copies, memory()
    if there is not None and needed > there:
        sentence = (
            "{key}: its {parameters:,} parameters take {value}, and this machine has {limit} of memory;"
            " choose a smaller preset or smaller sizes"
        )
        raise ConfigError(sentence, "model", parameters, human_bytes(needed), human_bytes(there))


@dataclass(frozen=True)
class Place:
    """This process among its peers, and its device."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """`model`, its gradients summed over all processes when there are several."""
        if self.world == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel

        ids = [self.device.index or 0] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids)

    def gathering(self, model: object, *, last: bool) -> AbstractContextManager[object]:
        """Around a batch of a step: gradients travel between processes with the last, not with each."""
        return nullcontext() if last or self.world == 1 else model.no_sync()  # type: ignore[attr-defined]

    def sum(self, value: Tensor) -> Tensor:
        """The sum of `value` over all processes, in every one of them; what is on the host is summed there,
        so that nobody waits for a device."""
        if self.world > 1:
            dist.all_reduce(value)
        return value

    def same(self, value: float) -> float:
        """The leader's value, in every process; it travels between hosts, and no device is waited for."""
        if self.world == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(shared, 0)
        return float(shared)

    def barrier(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def joined(device: str | None = None) -> Iterator[Place]:
    """Among the processes that torchrun started, if it did, until the block ends.

    Raises: ConfigError for a device that is not there, or that several processes cannot share.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Place(pick_device(device))
        return
    chosen = _own(device, int(os.environ.get("LOCAL_RANK", "0")))
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if not dist.is_initialized():
        # Its functions keep the group of the moment when they are defined as a default, for ever. The first
        # DistributedDataParallel imports it: after the next line, and the group could never be destroyed.
        importlib.import_module("torch.distributed.nn.functional")
        if chosen.type == "cuda":  # gradients between devices, all else between hosts
            dist.init_process_group("cpu:gloo,cuda:nccl", device_id=chosen)
        else:
            dist.init_process_group("gloo")
    try:
        yield Place(chosen, dist.get_rank(), dist.get_world_size())
    finally:
        # The group's threads must have ended before the interpreter does: one that lets go of a tensor later
        # aborts the process (github.com/pytorch/pytorch/pull/179291).
        if dist.is_initialized():
            dist.destroy_process_group()
            gc.collect()  # a wrapped model refers to itself, and to the group


def _own(device: str | None, local: int) -> torch.device:
    """The device of this process, which is the `local`-th of its machine; no other is touched, since even a
    small tensor there would take hundreds of megabytes."""
    if device in (None, "auto", "cuda") and torch.cuda.is_available():
        device = f"cuda:{local}"
    elif device in (None, "auto"):
        device = "cpu"
    elif device not in ("cpu", "cuda"):
        sentence = "several processes cannot train together on '{value}'; use {limit}"
        raise ConfigError(sentence, device, "cpu or cuda")
    return pick_device(device)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context in which a training step computes."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, precision))
