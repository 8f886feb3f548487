"""What a model is, for people who choose one to look at: what it takes and gives, its stacks, its weights."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from regard.insight.recorder import STACKS
from regard.looking.analyses import Analysis, analyses
from regard.looking.explorer import Explorer
from regard.model.stack import Stack


def about(explorer: Explorer) -> dict[str, Any]:
    """All of it but its weights."""
    task, model = explorer.task, explorer.model
    config, stacks = task.config, {name: getattr(model, name, None) for name in STACKS}
    return {
        "task": task.name,
        "parameters": explorer.parameters,
        "takes": _takes(explorer),
        "gives": _gives(explorer),
        "writes": "begin" in explorer.supports,
        "searches": "beam" in explorer.supports,
        "probabilities": model.head.logits and explorer.naming.independent is not None,
        "most_tokens": getattr(config, "context", getattr(config, "max_length", None)),
        "analyses": [_analysis(one) for one in analyses(explorer).values()],
        "stacks": [_stack(name, part) for name, part in stacks.items() if part is not None],
    }


def _analysis(one: Analysis) -> dict[str, Any]:
    return {
        "name": one.name,
        "title": asdict(one.title),
        "about": asdict(one.about),
        "other": one.asks_other,
        "number": one.asks_number,
    }


def _takes(explorer: Explorer) -> dict[str, Any]:
    takes = explorer.task.input
    asked: dict[str, Any] = {"kind": takes.kind}
    if takes.names:
        asked["names"] = list(takes.names)
    if takes.hole:
        asked["hole"] = takes.hole
    if takes.kind == "image":
        asked |= dict(zip(("channels", "rows", "columns"), takes.shape, strict=True))
    return asked


def _gives(explorer: Explorer) -> str:
    """What an answer is, as pages name it."""
    kind = explorer.task.output.kind
    if kind == "labels":
        return "labels" if explorer.naming.independent else "label"
    return "span" if kind == "spans" else kind


def _stack(name: str, stack: Stack) -> dict[str, Any]:
    config = stack.config
    return {
        "name": name,
        "depth": config.depth,
        "heads": config.attention.heads,
        "kv_heads": config.attention.kv_heads or config.attention.heads,
        "width": config.width,
        "position": config.position.kind,
        "placement": config.placement.kind,
        "kinds": ["attention"] if config.cross is None else ["attention", "cross"],
    }


def weights(explorer: Explorer) -> dict[str, tuple[int, ...]]:
    """The names and shapes of all weights that can be edited; of those that are one, the first."""
    found: dict[str, tuple[int, ...]] = {}
    for name, parameter in explorer.model.named_parameters():
        if not set(explorer.tied.of(name)) & found.keys():
            found[name] = tuple(parameter.shape)
    return found
