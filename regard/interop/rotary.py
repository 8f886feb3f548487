"""Rotary positions as configurations of Llama's kin describe them, in the form of today and that of before.

Today `rope_parameters` holds all; before, `rope_theta` stood alone beside `rope_scaling`.
"""

from __future__ import annotations

import math
from typing import Any

from regard.interop.keys import Keys
from regard.model.position import Rotary
from regard.model.rotary_scaling import Interpolated, Llama3, Scaling, Yarn


def read_rotary(keys: Keys, head_width: int, context: int) -> Rotary:
    """The positions of a configuration. Raises: CheckpointError for a kind that cannot be taken over."""
    name = "rope_parameters" if "rope_parameters" in keys else "rope_scaling"
    said = keys.any(name) or {}
    keys.any("rope_parameters" if name == "rope_scaling" else "rope_scaling")
    if not isinstance(said, dict) or any(isinstance(value, dict) for value in said.values()):
        raise keys.refuse(name, "it must be an object, the same for all layers")
    inner = Keys({**_outside(keys), **said}, f"{keys.where}: {name}", 1 << 31)
    kind = inner.any("rope_type") or inner.any("type") or "default"
    inner.any("type"), inner.any("rope_type")
    base = inner.number("rope_theta", 10000.0, least=1.0)
    if base == 1.0:
        raise inner.refuse("rope_theta", "it must be more than 1")
    fraction = inner.number("partial_rotary_factor", 1.0, 0.0, 1.0)
    turned = int(head_width * fraction)
    if turned % 2 or not turned:
        raise keys.refuse(
            name, f"an even number of a head's {head_width} numbers must be turned, not {turned}"
        )
    scaling: Scaling | None
    match kind:
        case "default":
            scaling = None
        case "linear":
            scaling = Interpolated(inner.number("factor", least=1.0))
        case "llama3":
            low, high = inner.number("low_freq_factor"), inner.number("high_freq_factor")
            if not low < high:
                raise inner.refuse(
                    "low_freq_factor", f"it must be less than high_freq_factor, which is {high:g}"
                )
            scaling = Llama3(inner.number("factor", least=1.0), _original(inner, context), low, high)
        case "yarn":
            scaling = _yarn(inner, context)
        case _:
            raise keys.refuse(
                name,
                f"the kind {kind!r} cannot be taken over; known are default, linear, llama3 and yarn, whose"
                " angles do not depend on how long an input is",
            )
    inner.any("original_max_position_embeddings") if kind in ("default", "linear") else None
    inner.finish()
    return Rotary(base, turned / head_width, scaling=scaling)


def written_rotary(position: Rotary) -> dict[str, Any]:
    """The keys that say what the positions are."""
    said: dict[str, Any] = {"rope_type": "default", "rope_theta": position.base}
    if position.fraction != 1.0:
        said["partial_rotary_factor"] = position.fraction
    match position.scaling:
        case Interpolated(factor):
            said |= {"rope_type": "linear", "factor": factor}
        case Llama3(factor, original, low, high):
            said |= {
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low,
                "high_freq_factor": high,
            }
            said["original_max_position_embeddings"] = original
        case Yarn(factor, original, fast, slow, amplitude, whole):
            said |= {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}
            said |= {"beta_fast": fast, "beta_slow": slow, "truncate": whole}
            said |= {} if amplitude is None else {"attention_factor": amplitude}
    return {"rope_parameters": said}


def _outside(keys: Keys) -> dict[str, Any]:
    """What may stand outside of the object."""
    names = ("rope_theta", "partial_rotary_factor", "original_max_position_embeddings")
    return {name: value for name in names if (value := keys.any(name)) is not None}


def _original(inner: Keys, context: int) -> int:
    return inner.whole("original_max_position_embeddings", context, least=1)


def _yarn(inner: Keys, context: int) -> Yarn:
    original = _original(inner, context)
    factor = inner.number("factor", max(1.0, context / original), least=1.0)
    amplitude = inner.number("attention_factor", least=1e-3) if "attention_factor" in inner else None
    inner.any("attention_factor")
    whole, part = inner.any("mscale"), inner.any("mscale_all_dim")
    if amplitude is None and whole and part:
        top, bottom = inner.number("mscale"), inner.number("mscale_all_dim")
        amplitude = (0.1 * top * math.log(factor) + 1) / (0.1 * bottom * math.log(factor) + 1)
    fast, slow = inner.number("beta_fast", 32.0, 1e-3), inner.number("beta_slow", 1.0, 1e-3)
    return Yarn(factor, original, fast, slow, amplitude, inner.flag("truncate", True))
