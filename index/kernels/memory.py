"""Arrays at an address, inside kernels.

A query is one table of int64 rows (`rows.py`); a row names the arrays of a segment or of a
memtable by address and length, because passing ten arrays costs more than many a query
(610 ns against 214 ns). An array made here is bounds-checked under NUMBA_BOUNDSCHECK=1 like
any other. The caller keeps the owner of the memory alive while a kernel runs.
"""

from __future__ import annotations

import numba
from numba import carray, types  # type: ignore[attr-defined]
from numba.extending import intrinsic


def _pointer_to(item: types.Type):
    @intrinsic
    def as_pointer(typing_context, address):
        def generate(context, builder, signature, args):
            return builder.inttoptr(args[0], context.get_value_type(types.CPointer(item)))

        return types.CPointer(item)(types.int64), generate

    return as_pointer


_pointer_u8 = _pointer_to(types.uint8)
_pointer_u16 = _pointer_to(types.uint16)
_pointer_u32 = _pointer_to(types.uint32)
_pointer_u64 = _pointer_to(types.uint64)
_pointer_i64 = _pointer_to(types.int64)
_pointer_f32 = _pointer_to(types.float32)
_pointer_f64 = _pointer_to(types.float64)


@numba.njit(inline="always")
def u8_at(address, n):
    return carray(_pointer_u8(address), (n,))


@numba.njit(inline="always")
def u16_at(address, n):
    return carray(_pointer_u16(address), (n,))


@numba.njit(inline="always")
def u32_at(address, n):
    return carray(_pointer_u32(address), (n,))


@numba.njit(inline="always")
def u64_at(address, n):
    return carray(_pointer_u64(address), (n,))


@numba.njit(inline="always")
def i64_at(address, n):
    return carray(_pointer_i64(address), (n,))


@numba.njit(inline="always")
def f32_at(address, n):
    return carray(_pointer_f32(address), (n,))


@numba.njit(inline="always")
def f64_at(address, n):
    return carray(_pointer_f64(address), (n,))
