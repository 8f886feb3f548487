"""Rotary positions as configurations of Llama's kin describe them, in the form of today and that of before.

Today `rope_parameters` holds all; before, `rope_theta` stood alone beside `rope_scaling`.
"""

from __future__ import annotations

import math
from typing import Any

from regard.interop.keys import Keys
from regard.model.position import Rotary
from regard.model.rotary_scaling import Dynamic, Interpolated, Llama3, LongRope, Scaling, Yarn

_ORIGINAL = "original_max_position_embeddings"
_KEYS = {
    "factor": "factor",
    "original": _ORIGINAL,
    "low": "low_freq_factor",
    "high": "high_freq_factor",
    "fast": "beta_fast",
    "slow": "beta_slow",
    "whole": "truncate",
    "short": "short_factor",
    "long": "long_factor",
    "amplitude": "attention_factor",
}
"""What the library calls the fields of a scaling."""
_KINDS = "default, linear, dynamic, llama3, longrope and yarn"


def read_rotary(keys: Keys, head_width: int, context: int) -> Rotary:
    """The positions of a configuration. Raises: CheckpointError for a kind that cannot be imported."""
    # Where both stand, the library takes what is of the form of before.
    name = "rope_scaling" if keys.any("rope_scaling") else "rope_parameters"
    rope = keys.any(name) or {}
    keys.any("rope_parameters" if name == "rope_scaling" else "rope_scaling")
    if not isinstance(rope, dict) or any(isinstance(value, dict) for value in rope.values()):
        raise keys.refuse(name, "it must be an object, the same for all layers")
    inner = Keys(_joined(keys, rope), f"{keys.where}: {name}", 1 << 31)
    kind = inner.any("rope_type") or inner.any("type") or "default"
    inner.any("type"), inner.any("rope_type")
    base = inner.number("rope_theta", 10000.0, least=1.0)
    if base == 1.0:
        raise inner.refuse("rope_theta", "it must be more than {limit}", 1)
    fraction = inner.number("partial_rotary_factor", 1.0, 0.0, 1.0)
    fraction = 1.0 if kind == "default" else fraction  # these families do not read it then
    rotated = int(head_width * fraction)
    if rotated % 2 or not rotated:
        why = "an even number of a head's {limit} numbers must be rotated, not {rotated}"
        raise keys.refuse(name, why, head_width, rotated)
    scaling: Scaling | None
    match kind:
        case "default":
            scaling = None
        case "linear":
            scaling = Interpolated(inner.number("factor", least=1.0))
        case "llama3":
            low, high = inner.number("low_freq_factor"), inner.number("high_freq_factor")
            if not low < high:
                why = "it must be less than high_freq_factor, which is {limit:g}"
                raise inner.refuse("low_freq_factor", why, high)
            scaling = Llama3(inner.number("factor", least=1.0), _original(inner, context), low, high)
        case "yarn":
            scaling = _yarn(inner, context)
        case "dynamic":
            if rotated < 4:
                raise keys.refuse(name, "a base that grows needs four numbers of a head or more")
            scaling = Dynamic(inner.number("factor", least=1.0), context)
        case "longrope":
            scaling = _longrope(inner, context, rotated // 2)
        case _:
            raise inner.refuse("rope_type" if "rope_type" in inner else "type", "known are {limit}", _KINDS)
    inner.any("original_max_position_embeddings") if kind in ("default", "linear", "dynamic") else None
    inner.finish()
    return Rotary(base, rotated / head_width, scaling=scaling)


def rotary_keys(position: Rotary) -> dict[str, Any]:
    """The keys that say what the positions are."""
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": position.base}
    if position.fraction != 1.0:
        rope["partial_rotary_factor"] = position.fraction
    if (scaling := position.scaling) is not None:
        rope["rope_type"] = "linear" if isinstance(scaling, Interpolated) else scaling.kind
        fields = {"factor": scaling.factor} if isinstance(scaling, Dynamic) else vars(scaling)
        rope |= {_KEYS[name]: x for name, x in fields.items() if name in _KEYS and x is not None}
    return {"rope_parameters": rope}


def _joined(keys: Keys, rope: dict[str, Any]) -> dict[str, Any]:
    """With what may stand outside of the object: it counts where the object does not say it, but for the
    length of the first training, which counts before what the object says."""
    found = dict(rope)
    for name in ("rope_theta", "partial_rotary_factor", _ORIGINAL):
        value = keys.any(name)
        if value is not None and (name == _ORIGINAL or name not in rope):
            found[name] = value
    return found


def _original(inner: Keys, context: int) -> int:
    return inner.whole(_ORIGINAL, context, least=1)


def _longrope(inner: Keys, context: int, pairs: int) -> LongRope:
    original = _original(inner, context)
    factor = inner.number("factor", context / original, 1e-6)
    if "attention_factor" in inner:
        amplitude = inner.number("attention_factor", least=1e-3)
    elif factor <= 1.0:
        amplitude = 1.0
    elif original > 1:
        amplitude = math.sqrt(1 + math.log(factor) / math.log(original))
    else:
        raise inner.refuse(_ORIGINAL, "it must be more than {limit}", 1)
    inner.any("attention_factor")
    short, long = (_factors(inner, f"{name}_factor", pairs) for name in ("short", "long"))
    return LongRope(original, short, long, amplitude)


def _factors(inner: Keys, name: str, pairs: int) -> tuple[float, ...]:
    value = inner.any(name)
    good = isinstance(value, list) and len(value) == pairs
    if not good or not all(type(x) in (int, float) and 0 < x < math.inf for x in value):
        raise inner.refuse(name, "it must be {limit} numbers above 0", pairs)
    return tuple(float(x) for x in value)


def _yarn(inner: Keys, context: int) -> Yarn:
    original = _original(inner, context)
    factor = inner.number("factor", max(1.0, context / original), least=1.0)
    amplitude = inner.number("attention_factor", least=1e-3) if "attention_factor" in inner else None
    inner.any("attention_factor")
    whole, part = inner.any("mscale"), inner.any("mscale_all_dim")
    if amplitude is None and whole and part:
        top, bottom = inner.number("mscale"), inner.number("mscale_all_dim")
        amplitude = (0.1 * top * math.log(factor) + 1) / (0.1 * bottom * math.log(factor) + 1)
    fast, slow = (
        inner.number(f"beta_{name}", usual) or usual for name, usual in (("fast", 32.0), ("slow", 1.0))
    )
    truncate = inner.flag("truncate", not inner.says("truncate"))  # a null is taken for false
    return Yarn(factor, original, fast, slow, amplitude, truncate)
