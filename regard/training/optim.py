"""Which optimizer moves which parameters.

AdamW: arXiv 1711.05101, torch's. Muon: `muon.py`. An optimizer here is one or more torch optimizers that
step together; each of its groups keeps its own peak rate, which the schedule multiplies.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from regard.errors import require
from regard.model.part import Alternative, Part, complete
from regard.registry import Registry, register
from regard.training.muon import MuonOptimizer

_LARGEST = 1e30  # beyond it a step is no number in float32


class OptimizerConfig(Alternative):
    """What moves the weights."""

    lr: float

    @abstractmethod
    def build(self, model: nn.Module) -> list[torch.optim.Optimizer]:
        """Torch optimizers that step together; the rates of their groups are the peak ones."""


OPTIMIZERS: Registry[type[OptimizerConfig]] = Registry(
    "optimizers", __name__, base=OptimizerConfig, check=complete
)


@register
@dataclass(frozen=True)
class AdamW(OptimizerConfig):
    """Adam with decoupled weight decay; matrices decay, biases, gains and tables do not."""

    lr: float = 1e-3
    """Peak learning rate."""
    beta1: float = 0.9
    """How much of the gradients' mean a step keeps."""
    beta2: float = 0.98
    """How much of their mean square it keeps."""
    eps: float = 1e-9
    """Added to the root of that mean square, so that nothing is divided by zero."""
    weight_decay: float = 0.0
    """Decay a step, times the rate."""
    kind: Literal["adamw"] = "adamw"

    def __post_init__(self) -> None:
        require(0 < self.lr <= _LARGEST, "lr", self.lr, f"more than 0 and at most {_LARGEST:g}")
        require(0 <= self.beta1 < 1, "beta1", self.beta1, "at least 0 and less than 1")
        require(0 <= self.beta2 < 1, "beta2", self.beta2, "at least 0 and less than 1")
        require(0 < self.eps <= _LARGEST, "eps", self.eps, f"more than 0 and at most {_LARGEST:g}")
        decay = self.weight_decay
        require(0 <= decay <= _LARGEST, "weight_decay", decay, f"from 0 to {_LARGEST:g}")

    def build(self, model: nn.Module) -> list[torch.optim.Optimizer]:
        matrices, others = _divide(model)
        groups = [
            {"params": matrices, "weight_decay": self.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return [_adamw([g for g in groups if g["params"]], self)]


@register
@dataclass(frozen=True)
class Muon(OptimizerConfig):
    """Momentum whose matrix updates are made orthogonal; tables and vectors go by AdamW."""

    lr: float = 0.006
    """Peak learning rate of the matrices; an update's root mean square is about 0.2 of it."""
    momentum: float = 0.95
    """How much of the gradients' mean a step keeps."""
    weight_decay: float = 0.1
    """Decay of the matrices a step, times the rate: keeps them from growing out of reach of the rate
    (arXiv 2502.16982, section 2.2), and a long run from memorising its examples."""
    adam: AdamW = AdamW(lr=3e-3)
    """For everything that is not a matrix inside a block."""
    kind: Literal["muon"] = "muon"

    def __post_init__(self) -> None:
        require(0 < self.lr <= _LARGEST, "lr", self.lr, f"more than 0 and at most {_LARGEST:g}")
        require(0 <= self.momentum < 1, "momentum", self.momentum, "at least 0 and less than 1")
        decay = self.weight_decay
        require(0 <= decay <= _LARGEST, "weight_decay", decay, f"from 0 to {_LARGEST:g}")

    def build(self, model: nn.Module) -> list[torch.optim.Optimizer]:
        matrices, others = _divide(model)
        parts: list[torch.optim.Optimizer] = []
        if matrices:
            parts.append(MuonOptimizer(matrices, self.lr, self.momentum, self.weight_decay))
        if others:
            parts.append(_adamw([{"params": others, "weight_decay": 0.0}], self.adam))
        return parts


class Optimizer:
    """Torch optimizers that step together, with their state by parameter for saving."""

    def __init__(self, model: nn.Module, config: OptimizerConfig) -> None:
        self.parts = config.build(model)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.peaks = [[group["lr"] for group in part.param_groups] for part in self.parts]

    def step(self, factor: float, scaler: torch.amp.GradScaler) -> None:
        """One update at `factor` times the peak rates; `scaler` skips it when half precision overflowed."""
        for part, peaks in zip(self.parts, self.peaks, strict=True):
            for group, peak in zip(part.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            scaler.step(part)
        scaler.update()

    def clear(self) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """The whole state as tensors: `part.parameter.name`."""
        return {
            f"{number}.{index}.{name}": torch.as_tensor(value)
            for number, part in enumerate(self.parts)
            for index, state in part.state_dict()["state"].items()
            for name, value in state.items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take a state that `tensors` gave; what belongs on the parameters' device goes there, and nothing
        else: a count of steps on the host is asked for at every step."""
        states: list[dict[int, dict[str, Any]]] = [{} for _ in self.parts]
        for key, value in tensors.items():
            number, index, name = key.split(".", 2)
            states[int(number)].setdefault(int(index), {})[name] = value
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict({"state": state, "param_groups": part.state_dict()["param_groups"]})


def _adamw(groups: list[dict[str, Any]], config: AdamW) -> torch.optim.Optimizer:
    betas = (config.beta1, config.beta2)
    fused = all(p.device.type in ("cpu", "cuda", "mps") for group in groups for p in group["params"])
    return torch.optim.AdamW(groups, lr=config.lr, betas=betas, eps=config.eps, fused=fused)


def _divide(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Matrices that multiply vectors inside a stack, and all the rest (tables, heads, biases, gains)."""
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    tables |= {id(x) for part in model.modules() if isinstance(part, Part) for x in part.tables}
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        matrix = parameter.ndim == 2 and id(parameter) not in tables
        (matrices if matrix else others).append(parameter)
    return matrices, others
