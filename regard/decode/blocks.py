"""All blocks of a small decoder as one loop nest, its matrix products included.

With a few rows, a step of a small model is over before a dozen calls from Python would have begun. What
happens is what `engine.StackParts.run` does part by part; a law test holds the two together.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numba.extending import overload

from regard.decode.kernels import ANY_ORDER
from regard.decode.kernels.products import int8_linear, linear
from regard.decode.loops import add_norm, attend, cross_attend, rotate


class Weights(NamedTuple):
    """A decoder of L blocks in few arrays. A linear is packed weights (`kernels/`), the scales of its outputs
    if they are of 8 bits, and biases: each an array over the blocks."""

    qkv: Any
    out: Any
    cross_q: Any
    cross_out: Any
    up: Any
    down: Any
    norm_weight: Any
    """(3 · L, D): of the norm that follows each part."""
    norm_bias: Any


def _apply(x, part, i, clipped, y):  # type: ignore[no-untyped-def]
    """Into y, what the linear `part` of block i makes of x; compiled for the kind of weights that it has."""
    raise NotImplementedError


@overload(_apply)
def _apply_of(x, part, i, clipped, y):  # type: ignore[no-untyped-def]
    def of_floats(x, part, i, clipped, y):  # type: ignore[no-untyped-def]
        packed, bias = part
        linear(x, packed[i], bias[i], clipped, y)

    def of_bytes(x, part, i, clipped, y):  # type: ignore[no-untyped-def]
        packed, scale, bias = part
        int8_linear(x, packed[i], scale[i], bias[i], clipped, y)

    return of_floats if len(part) == 2 else of_bytes


@numba.njit(fastmath=ANY_ORDER, cache=True, nogil=True, error_model="numpy")
def blocks(x, h, weights, norm, attention, rotating, cache, memory):  # type: ignore[no-untyped-def]
    """All blocks of a small decoder for one new token a row, as `engine.StackParts.run` does them.

    x: (R, D), the residual stream. h: the same array if norms come after the sums, else its norm; it
    becomes what the last norm gives. norm: (eps, centred). attention: (heads, scale) of self- and of
    cross-attention. rotating: (at, cos, sin, interleaved, and whether cross-attention is rotated, too).
    cache: keys and values, both of (L, rows, H, capacity, C), the paths with the steps where rows begin, and
    how many steps there are with this one.
    memory: (L, tokens, 2 · H · C), keys before values, with `owner` and `starts` as in `cross_attend`.
    """
    eps, centred = norm
    heads, scale, cross_heads, cross_scale = attention
    at, cos, sin, interleaved, crossing = rotating
    keys, values, path, first, steps = cache
    both, owner, starts = memory
    R, inner = len(x), keys.shape[2] * keys.shape[4]
    y, qkv = np.empty_like(x), np.empty((R, 3 * inner), np.float32)
    z, cross_z = np.empty((R, inner), np.float32), np.empty((R, both.shape[2] // 2), np.float32)
    q, hidden = np.empty_like(cross_z), np.empty((R, weights.up[1].shape[1]), np.float32)
    for i in range(len(keys)):
        _apply(h, weights.qkv, i, False, qkv)
        if cos.shape[1]:
            rotate(at, cos, sin, 2 * heads, inner // heads, interleaved, qkv)
        attend(qkv, path[:, :steps], first, scale, keys[i], values[i], z)
        _apply(z, weights.out, i, False, y)
        add_norm(x, y, weights.norm_weight[3 * i], weights.norm_bias[3 * i], eps, centred, h)
        _apply(h, weights.cross_q, i, False, q)
        if crossing and cos.shape[1]:
            rotate(at, cos, sin, cross_heads, q.shape[1] // cross_heads, interleaved, q)
        cross_attend(q, owner, starts, cross_heads, cross_scale, both[i], cross_z)
        _apply(cross_z, weights.cross_out, i, False, y)
        add_norm(x, y, weights.norm_weight[3 * i + 1], weights.norm_bias[3 * i + 1], eps, centred, h)
        _apply(h, weights.up, i, True, hidden)
        _apply(hidden, weights.down, i, False, y)
        add_norm(x, y, weights.norm_weight[3 * i + 2], weights.norm_bias[3 * i + 2], eps, centred, h)
