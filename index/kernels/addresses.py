"""Words of 8 bytes at any address: read, write, ask for one before it is needed.

None of these is bounds-checked, not even under NUMBA_BOUNDSCHECK=1: callers check first.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def load_word(typing_context, address):
    """Return the 8 bytes at an address as a u64, aligned or not."""

    def generate(context, builder, signature, args):
        word = builder.load(
            builder.inttoptr(args[0], context.get_value_type(types.CPointer(types.uint64)))
        )
        word.align = 1
        return word

    return types.uint64(types.int64), generate


@intrinsic
def store_word(typing_context, address, word):
    """Write a u64 to the 8 bytes at an address, aligned or not."""

    def generate(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], context.get_value_type(types.CPointer(types.uint64)))
        builder.store(args[1], pointer, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.uint64), generate


@intrinsic
def prefetch(typing_context, address):
    """Ask for the cache line at an address; any address will do."""

    def generate(context, builder, signature, args):
        byte = ir.IntType(8).as_pointer()
        number = ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch.p0", (), ir.FunctionType(ir.VoidType(), [byte, *[number] * 3])
        )
        # to read (0), keep in all caches (3), data (1)
        hints = [ir.Constant(number, n) for n in (0, 3, 1)]
        builder.call(function, [builder.inttoptr(args[0], byte), *hints])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def fence(typing_context):
    """Let no store before it be seen after one that follows it."""

    def generate(context, builder, signature, args):
        builder.fence("release")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def copy_bytes(typing_context, to, address, n):
    """Copy `n` bytes from an address to another; they do not overlap."""

    def generate(context, builder, signature, args):
        byte = ir.IntType(8).as_pointer()
        target, source = (builder.inttoptr(arg, byte) for arg in args[:2])
        cgutils.raw_memcpy(builder, target, source, args[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate
