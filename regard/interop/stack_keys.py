"""What families call the numbers of a stack: a table, by which a configuration is read and written.

A family says by a stack which parts its stacks have, and by names which keys say the rest. This file does not
know families.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from regard.interop.family import Unsupported
from regard.interop.keys import Keys, activation_name
from regard.model.attention import AttentionConfig
from regard.model.feedforward import GatedMLP
from regard.model.stack import StackConfig


@dataclass(frozen=True)
class StackKeys:
    """The stacks of a family and the keys of its configurations."""

    base: StackConfig
    """Its parts, and what counts where a configuration is silent: a size of None follows from the others, one
    of 0 must be stated."""
    names: Mapping[str, str]
    """The keys, by where in a stack their values stand, such as `attention.heads`."""

    def read(self, keys: Keys, defaults: Mapping[str, int | None] | None = None) -> StackConfig:
        """The stack of a configuration. `defaults`: further sizes that count, by their places.

        Raises: CheckpointError.
        """
        stack = self.base
        for path, key in self.names.items():
            further = (defaults or {}).get(path)
            default: Any = attrgetter(path)(self.base) if further is None else further
            value: Any
            match path.rpartition(".")[2]:
                case "depth":
                    value = keys.depth(key, default or None)
                case "dropout":
                    value = keys.rate(key, default)
                case "eps":
                    value = keys.number(key, default, 1e-30, 1.0)
                case "activation":
                    value = keys.activation(key, activation_name(default))
                case "max_distance":
                    value = keys.whole(key, default, least=2)
                case "bias" | "out_bias":
                    value = keys.flag(key, default)
                case _:
                    value = keys.size(key, _derived(stack, path) if default is None else default or None)
            stack = _changed(stack, path, value)
        self._check_heads(keys, stack)
        return stack

    def _check_heads(self, keys: Keys, stack: StackConfig) -> None:
        heads, kv_heads = stack.attention.heads, stack.attention.kv_heads or 1
        if heads % kv_heads:
            raise keys.refuse(self.names["attention.kv_heads"], "it must divide the {limit} heads", heads)
        stated = self.base.attention.head_width or self.names.get("attention.head_width", "") in keys
        if stack.width % heads and not stated:
            raise keys.refuse(self.names["width"], "it must be a multiple of the {limit} heads", heads)

    def write(self, stack: StackConfig) -> dict[str, Any]:
        """The keys that say what the stack is. Raises: Unsupported when its parts are others."""
        parts = dict.fromkeys(path.rpartition(".")[0] for path in self.names)
        for inner in (False, True):  # of families that differ inside of a part, all have the same reason
            which = [part for part in parts if ("." in part) is inner]
            ours, theirs = (_kinds(some, which) for some in (stack, self.base))
            if ours != theirs:
                raise Unsupported(f"its parts are {' and '.join(ours)}, not {' and '.join(theirs)}")
        return {key: _written(stack, path) for path, key in self.names.items()}


def _kinds(stack: StackConfig, parts: Iterable[str]) -> list[str]:
    """Of those parts that have alternatives."""
    found = (attrgetter(part)(stack) for part in parts if part)
    return [getattr(part, "kind", "none") for part in found if not isinstance(part, AttentionConfig)]


def _changed(config: Any, path: str, value: Any) -> Any:
    """The same with another value at that place."""
    name, _, rest = path.partition(".")
    return replace(config, **{name: _changed(getattr(config, name), rest, value) if rest else value})


def _written(stack: StackConfig, path: str) -> Any:
    """What stands there, or follows from the rest, as a configuration has it."""
    value = attrgetter(path)(stack)
    if value is None:
        return _derived(stack, path)
    return activation_name(value) if path.endswith("activation") else value


def _derived(stack: StackConfig, path: str) -> Any:
    """What follows from the rest where nothing stands there."""
    hidden = 8 * stack.width // 3 if isinstance(stack.feedforward, GatedMLP) else 4 * stack.width
    heads = max(1, stack.attention.heads)
    own = {"kv_heads": heads, "head_width": max(1, stack.width // heads), "hidden": hidden}
    own["out_bias"] = stack.attention.bias
    return own[path.rpartition(".")[2]]
