"""Linears over packed weights, compiled for the family that was chosen.

(R, D) rows by (N, D) weights, strip by strip: the sums of a few rows by 64 outputs stay in the nearest cache
until they have become outputs. Nothing here knows modules or torch.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from regard.decode.kernels import chosen, compiled
from regard.decode.kernels.family import LANES, STRIP
from regard.decode.kernels.tile import strip

FAMILY = chosen()
_FLOATS, _BYTES = FAMILY.floats, FAMILY.bytes
_float_strip, _byte_strip = strip(_FLOATS, "regard_floats"), strip(_BYTES, "regard_bytes")
_FLOAT_ROWS, _BYTE_ROWS = max(_FLOATS.tiles), max(_BYTES.tiles)
_INPUTS, _OFFSET = _BYTES.inputs, np.int32(_BYTES.offset)
_LEVELS = np.float32(127)
_BYTE_STEP = _BYTES.step_bytes
Level: Any = _BYTES.levels
_WIDTH = LANES * STRIP


@compiled("void(f4[:, ::1], f4[:, :, ::1], f4[::1], b1, f4[:, ::1])")
def linear(x, packed, bias, clipped, y):  # type: ignore[no-untyped-def]
    """(R, D) → (R, N) by packed weights; nothing below 0, if `clipped`."""
    (rows, outputs), blocks, depth = y.shape, len(packed), packed.shape[1]
    sums = np.empty((_FLOAT_ROWS, _WIDTH), np.float32)
    chunks = -(-rows // _FLOAT_ROWS)
    b = 0
    while b < blocks:
        count = STRIP if b + STRIP <= blocks else 1
        first, last = LANES * b, min(outputs, LANES * (b + count))
        for c in range(chunks):
            top, bottom = rows * c // chunks, rows * (c + 1) // chunks
            _float_strip(
                bottom - top, count, x[top:].ctypes.data, 4 * x.shape[1],
                packed[b:].ctypes.data, 64 * depth, depth, sums.ctypes.data, 4 * _WIDTH,
            )  # fmt: skip
            for r in range(top, bottom):
                to, row = y[r, first:last], sums[r - top]
                shift = bias[first:last]
                if clipped:
                    for n in range(len(to)):
                        to[n] = max(row[n] + shift[n], np.float32(0))
                else:
                    for n in range(len(to)):
                        to[n] = row[n] + shift[n]
        b += count


@numba.njit(error_model="numpy")
def to_levels(x, largest, whole):  # type: ignore[no-untyped-def]
    """(R, D) numbers → integers from -127 to 127 in (R, D or more), the rest 0, and (R,) what 127 stands
    for; as in `quantize.py`."""
    bits, sizes = x.view(np.int32), largest.view(np.int32)
    for r in range(len(x)):
        row, to, raw = x[r], whole[r], bits[r]
        top = np.int32(0)  # sizes of numbers are in the same order as their bits without the sign
        for d in range(len(raw)):
            top = max(top, np.int32(raw[d] & np.int32(0x7FFFFFFF)))
        sizes[r] = top
        factor = _LEVELS / largest[r] if top > 0 else np.float32(0)
        for d in range(len(row)):
            to[d] = Level(np.rint(row[d] * factor))
        for d in range(len(row), len(to)):
            to[d] = 0


@compiled("void(f4[:, ::1], u1[:, :, ::1], f4[::1], f4[::1], b1, f4[:, ::1])", fastmath=False)
def int8_linear(x, packed, scale, bias, clipped, y):  # type: ignore[no-untyped-def]
    """(R, D) → (R, N) by packed weights, as `Int8Linear` to the bit; nothing below 0, if `clipped`."""
    (rows, outputs), blocks, depth = y.shape, len(packed), packed.shape[1]
    whole, largest = np.empty((rows, depth * _INPUTS), Level), np.empty(rows, np.float32)
    to_levels(x, largest, whole)
    over = np.zeros(rows, np.int32)  # what the offset of the weights adds
    if _OFFSET:
        for r in range(rows):
            row, total = whole[r], np.int32(0)
            for d in range(len(row)):
                total += np.int32(row[d])
            over[r] = _OFFSET * total
    sums = np.empty((_BYTE_ROWS, _WIDTH), np.int32)
    chunks = -(-rows // _BYTE_ROWS)
    b = 0
    while b < blocks:
        count = STRIP if b + STRIP <= blocks else 1
        first, last = LANES * b, min(outputs, LANES * (b + count))
        for c in range(chunks):
            top, bottom = rows * c // chunks, rows * (c + 1) // chunks
            _byte_strip(
                bottom - top, count, whole[top:].ctypes.data, whole.itemsize * whole.shape[1],
                packed[b:].ctypes.data, _BYTE_STEP * depth, depth, sums.ctypes.data, 4 * _WIDTH,
            )  # fmt: skip
            for r in range(top, bottom):
                to, row = y[r, first:last], sums[r - top]
                shift, by, size, off = bias[first:last], scale[first:last], largest[r], over[r]
                if clipped:
                    for n in range(len(to)):
                        to[n] = max(
                            np.float32(np.int32(row[n] - off)) * by[n] * size + shift[n], np.float32(0)
                        )
                else:
                    for n in range(len(to)):
                        to[n] = np.float32(np.int32(row[n] - off)) * by[n] * size + shift[n]
        b += count
