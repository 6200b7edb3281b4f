"""64 bytes at a time: which of them are of a kind, as the bits of a word.

Not bounds-checked: callers see to it that 64 bytes may be read.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def range_mask(typing_context, address, ones, low, n):
    """Return a u64: bit i is set where byte i of the 64 at `address`, with the bits of `ones` set,
    is one of the `n` values from `low` on."""

    def generate(context, builder, signature, args):
        byte = ir.IntType(8)
        vector = ir.VectorType(byte, 64)
        pointer = builder.inttoptr(args[0], vector.as_pointer())
        block = builder.load(pointer)
        block.align = 1

        def all_of(value):
            first = builder.insert_element(
                ir.Constant(vector, ir.Undefined),
                builder.trunc(value, byte),
                ir.Constant(ir.IntType(32), 0),
            )
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
            return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)

        shifted = builder.sub(builder.or_(block, all_of(args[1])), all_of(args[2]))
        mask = builder.icmp_unsigned("<", shifted, all_of(args[3]))
        return builder.bitcast(mask, ir.IntType(64))

    return types.uint64(types.int64, types.int64, types.int64, types.int64), generate
