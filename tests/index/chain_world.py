"""A single chain, built by the kernels as a memtable builds its own."""

from __future__ import annotations

import numpy as np

from index.kernels.append import append_positions
from index.kernels.chains import CHAIN_WIDTH, HEAD, N_DOCS, POOL, POOL_SIZE, fill_chain
from index.kernels.rows import BLOCK, CHAIN, CURSOR_WIDTH, KIND, ROW_WIDTH, SIZE

Postings = dict[int, list[int]]
Chain = tuple[np.ndarray, np.ndarray]


def chain_of(postings: Postings) -> Chain:
    """Return (chains, pool) of one term with these postings, the pool grown on the way."""
    chains, pool = np.zeros((1, CHAIN_WIDTH), np.uint64), np.zeros(512, np.uint32)
    counts = np.ones(1, np.int64)
    pairs = [(text, position) for text, doc in enumerate(postings) for position in postings[doc]]
    tokens = np.zeros((len(pairs), 4), np.uint32)
    if pairs:
        tokens[:, 2:] = pairs
    docs = np.array(list(postings), np.uint32)
    lengths = np.zeros(len(postings), np.uint32)
    done = 0
    while True:
        done = append_positions(
            tokens, done, len(tokens), np.zeros(len(tokens), np.int32),
            docs, chains, pool, counts, lengths,
        )  # fmt: skip
        if done == len(tokens):
            break
        pool = np.concatenate([pool, np.zeros_like(pool)])
    assert lengths.tolist() == [len(positions) for positions in postings.values()]
    return chains, pool


def row_of(chain: Chain, n_docs: int) -> np.ndarray:
    chains, pool = chain
    row = np.zeros(ROW_WIDTH, np.int64)
    row[KIND] = CHAIN
    row[SIZE] = int(chains[0, 2]) & 0xFFFFFFFF
    row[POOL], row[POOL_SIZE] = pool.ctypes.data, len(pool)
    row[HEAD] = int(chains[0, 0]) >> 32
    row[N_DOCS] = n_docs
    _alive.append(pool)
    return row


_alive: list[np.ndarray] = []
"""Rows hold addresses; somebody must hold the memory."""


def drain(row: np.ndarray, cursor: np.ndarray | None = None) -> list[tuple[int, int]]:
    """Return all (doc, tf) from the cursor on."""
    cursor = np.zeros(CURSOR_WIDTH, np.int64) if cursor is None else cursor
    docs, tfs = np.zeros(BLOCK, np.uint32), np.zeros(BLOCK, np.uint32)
    out: list[tuple[int, int]] = []
    while n := fill_chain(row, cursor, docs, tfs):
        out += zip(docs[:n].tolist(), tfs[:n].tolist(), strict=True)
    return out
