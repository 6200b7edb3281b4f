"""Single machine instructions that numba has no spelling for.

They look at no bounds, NUMBA_BOUNDSCHECK or not: each caller says why its address is inside.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def load_word(typing_context, array, at):
    """Return the 8 bytes of a u8 array at `at` as a u64, aligned or not, unchecked."""

    def generate(context, builder, signature, args):
        view = context.make_array(signature.args[0])(context, builder, args[0])
        address = builder.gep(view.data, [args[1]])
        pointer = context.get_value_type(types.CPointer(types.uint64))
        word = builder.load(builder.bitcast(address, pointer))
        word.align = 1
        return word

    return types.uint64(array, types.int64), generate


@intrinsic
def prefetch(typing_context, array, at):
    """Ask for the cache line of element `at` of a one-dimensional array; any `at` is harmless."""

    def generate(context, builder, signature, args):
        view = context.make_array(signature.args[0])(context, builder, args[0])
        byte = ir.IntType(8).as_pointer()
        word = ir.IntType(32)
        address = builder.bitcast(builder.gep(view.data, [args[1]]), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        read, keep, data = (ir.Constant(word, value) for value in (0, 3, 1))
        builder.call(function, [address, read, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@intrinsic
def fence(typing_context):
    """Let no store before it be seen after one that follows it."""

    def generate(context, builder, signature, args):
        builder.fence("release")
        return context.get_dummy_value()

    return types.void(), generate
