"""The rows a query is made of: what the int64 columns of each kind of leaf mean.

A leaf is a stream of (doc id, frequency), doc ids rising. The reader that owns the memory
fills the row (`Reader.leaf`), a kernel walks it. `fill_<kind>(row, cursor, docs, tfs)`
writes the next at most 128 postings and returns how many (0 = exhausted);
`seek_<kind>(row, cursor, target)` lets the next fill start at the block that may hold the
first doc id >= target (it may do nothing). `cursor` is int64[CURSOR_WIDTH], zero at first.
"""

from __future__ import annotations

ROW_WIDTH = 16
CURSOR_WIDTH = 4
BLOCK = 128

# column 0 of every row: the kind; column 1: most postings it can yield
KIND = 0
SIZE = 1

# kinds of leaf
BLOCKS = 0
"""Postings of a segment, in bit-packed blocks. kernels/postings.py: fill_blocks, seek_blocks.
Columns 2.. are that file's business."""
CHAIN = 1
"""Postings of a memtable, in a chain of blocks. kernels/chains.py: fill_chain, seek_chain.
Columns 2.. are that file's business."""
LIST = 2
"""A sorted list: column 2 = address of u32 doc ids, 3 = address of u32 frequencies (0: all 1).
Where it is the single posting of a term, SINGLE_POSITION = its position + 1, 0 = it has none."""
SINGLE_POSITION = 4
BITS = 3
"""A dense bitset, bit i of word w = doc id 64 w + i: column 2 = address of u64 words,
3 = number of words. Frequencies are 1."""
ALL = 4
"""Every doc id below column 2."""
