"""Tiles of a matrix product, as LLVM's code: the sums of a few rows by a few blocks, all in registers.

A tile goes along the inputs, so that what is read is used several times over, and weights are packed in the
order in which tiles read them. What a step does is a family's (`family.py`). While a tile of several rows is
made, the weights of the next are asked for; left to itself a processor waits for those that no cache holds.
(With one row a small model is 10 % slower by that.)

Numba has no name for vectors; an intrinsic writes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from regard.decode.kernels.family import INT8, INT32, INT64, LANES, STRIP, Multiply

_SIGNATURE = ir.FunctionType(ir.VoidType(), [INT64] * 9)
_BYTES = INT8.as_pointer()
_PREFETCH = ir.FunctionType(ir.VoidType(), [_BYTES, INT32, INT32, INT32])
_TO_READ = INT32(0), INT32(2), INT32(1)  # into the second cache; data
_SAME = ir.Constant(ir.VectorType(INT32, LANES), None)  # the first number, in every place


def strip_function(module: ir.Module, multiply: Multiply, name: str) -> ir.Function:
    """The function `name` of a module, written if it is not there yet: the sums of a strip.

    It takes a number of rows, at most that of the highest tile, and of blocks, `STRIP` or 1; the address of x
    and the bytes from row to row; the address of the packed weights and the bytes from block to block; the
    steps along the inputs; the address of the sums and the bytes from row to row.
    """
    function = cgutils.get_or_insert_function(module, _SIGNATURE, name)
    if function.blocks:
        return function
    function.linkage = "internal"
    rows, blocks, *args = function.args
    entry, one, whole, end = (function.append_basic_block(s) for s in ("entry", "one", "strip", "end"))
    builder = ir.IRBuilder(entry)
    builder.cbranch(builder.icmp_signed("==", blocks, INT64(STRIP)), whole, one)
    for start, count in ((whole, STRIP), (one, 1)):
        choice = ir.IRBuilder(start).switch(rows, end)
        for height, width in multiply.tiles.items():
            builder = ir.IRBuilder(function.append_basic_block(f"rows{height}x{count}"))
            choice.add_case(INT64(height), builder.block)
            for first in range(0, count, width):
                _tile(builder, multiply, height, min(width, count), first, args)
            builder.branch(end)
    ir.IRBuilder(end).ret_void()
    return function


def strip(multiply: Multiply, name: str) -> Callable[..., None]:
    """`strip_function` for use in compiled loops."""

    @intrinsic
    def of_addresses(
        _context: Any, rows: Any, blocks: Any, x: Any, x_step: Any, w: Any, w_step: Any, depth: Any,
        out: Any, out_step: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            builder.call(strip_function(builder.module, multiply, name), args)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 9), generate

    return of_addresses


def _tile(builder: Any, multiply: Multiply, rows: int, blocks: int, first: int, args: Any) -> None:
    """The sums of `rows` rows by `blocks` blocks from the `first` of a strip on."""
    x, x_step, w, w_step, depth, out, out_step = args
    zeros = ir.Constant(multiply.total, None)
    sums = [[cgutils.alloca_once_value(builder, zeros) for _ in range(blocks)] for _ in range(rows)]
    with cgutils.for_range(builder, depth) as loop:
        along = loop.index, INT64(multiply.step_bytes)
        starts = [_at(builder, w, (w_step, INT64(first + b)), along) for b in range(2 * blocks)]
        weights = [multiply.widen(builder, _load(builder, a, multiply.loaded)) for a in starts[:blocks]]
        for address in starts[blocks:] if rows > 1 else ():
            fetch = builder.module.declare_intrinsic("llvm.prefetch", [_BYTES], _PREFETCH)
            builder.call(fetch, [builder.inttoptr(address, _BYTES), *_TO_READ])
        for r in range(rows):
            number = _load(builder, _at(builder, x, (x_step, INT64(r)), (loop.index, INT64(4))), INT32)
            alone = builder.insert_element(ir.Constant(_SAME.type, None), number, INT32(0))
            row = builder.shuffle_vector(alone, alone, _SAME)
            for b in range(blocks):
                total = multiply.add(builder, builder.load(sums[r][b]), weights[b], row)
                builder.store(total, sums[r][b])
    for r in range(rows):
        for b in range(blocks):
            address = _at(builder, out, (out_step, INT64(r)), (INT64(first + b), INT64(4 * LANES)))
            _store(builder, builder.load(sums[r][b]), address)


def _at(builder: Any, start: Any, *steps: tuple[Any, Any]) -> Any:
    """An address so many steps of so many bytes further."""
    for step, times in steps:
        start = builder.add(start, builder.mul(step, times))
    return start


def _load(builder: Any, address: Any, kind: ir.Type) -> Any:
    loaded = builder.load(builder.inttoptr(address, kind.as_pointer()))
    loaded.align = 1
    return loaded


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = 4
