"""The program that `evaluate` runs: one row of int64 columns per operation.

A program works on registers; a register is, for the window of documents at hand, a bitset of
the documents in it and a score for each of those. An operation takes a source (a leaf, or
another register) into the register DST:

====== ======== ==================================================================
code   source   DST becomes
====== ======== ==================================================================
CLEAR  -        empty
OR     yes      the union; scores of documents in both add up
AND    yes      the intersection; scores add up
NOT    yes      what is not in the source
MAYBE  yes      itself; the source's scores are added to documents in it
MAX    yes      the union; of two scores the greater
COUNT  yes      as OR, and counts how many sources each document was in
CONST  -        itself, every score = weight
LEAST  -        the documents counted at least ARG times
TIE    register itself; score = best + weight * (sum - best), the sum from the source
LIMIT  -        itself; operations of depth ARG look at the range of its documents only;
                empty: go on at operation JUMP
====== ======== ==================================================================
"""

from __future__ import annotations

OP_WIDTH = 8
CODE, DST, LEAF, REGISTER, DEPTH, MODE, ARG, JUMP = range(OP_WIDTH)
"""Columns. LEAF or REGISTER is the source, the other one is -1."""

CLEAR, OR, AND, NOT, MAYBE, MAX, COUNT, CONST, LEAST, TIE, LIMIT = range(11)

UNSCORED, CONSTANT, BM25, GIVEN, REGISTER_SCORES = range(5)
"""Modes, what a source's scores are. UNSCORED: none, and DST has none either. CONSTANT: the
weight. BM25: weight * tf / (tf + table[norm of the document]), ARG = address of the table
(f32[256]). GIVEN: the bits of a float32 in place of the frequency. REGISTER_SCORES: the
source register's."""

WINDOW = 4096
"""Documents looked at together: scores of a few registers stay in the first-level cache."""
WINDOW_WORDS = WINDOW // 64
MAX_LEVELS = 66
"""Depths of LIMIT; a query nests at most 20 deep, and over fields a little more."""

N_DOCS, ALIVE, OUT_WORD = 0, 1, 2
VIEW_WIDTH = 3
"""Columns of a view: number of documents, address of the alive bitset (0: all), and where in
the outputs its words begin."""
