"""Distinct rows of gene matrices, by exact keys."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

WORD = 2**53  # float64 holds every integer up to here
MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, its bits well spread (Knuth's multiplicative hashing)
PIECE = 2048  # rows whose keys fit the cache
MARK_BITS = 16


def unique_rows(genes_AG: NDArray[np.int16]) -> NDArray[np.int16]:
    """Distinct rows in order of first appearance; a copy."""
    if 0 in genes_AG.shape:
        return genes_AG[:1].copy()
    first = _first_of_equals(*_words(genes_AG))
    if len(first) == len(genes_AG):
        return genes_AG.copy(order="K")
    return genes_AG.T.take(first, axis=1).T if genes_AG.flags.f_contiguous else genes_AG.take(first, axis=0)


def _words(genes_AG: NDArray[np.int16]) -> tuple[NDArray[np.uint64], int]:
    """Mixed-radix keys, shape (words, rows), equal just where rows are; and how many values the first word can have."""
    lowest_G = genes_AG.min(axis=0)
    radices = [int(value) + 1 for value in genes_AG.max(axis=0).astype(np.int32) - lowest_G]
    places_WG = [[0] * len(radices)]
    size = 1
    for column, radix in enumerate(radices):
        if size * radix > WORD:
            places_WG.append([0] * len(radices))
            size = 1
        places_WG[-1][column] = size
        size *= radix
    weights_WG = np.array(places_WG, dtype=np.float64)
    words_WA = np.empty((len(places_WG), len(genes_AG)), dtype=np.uint64)
    num = min(PIECE, len(genes_AG))
    piece_AG = np.empty((num, len(radices)), order="F" if genes_AG.flags.f_contiguous else "C")
    products_WA = np.empty((len(weights_WG), num))
    for start in range(0, len(genes_AG), num):
        part_WA = words_WA[:, start : start + num]
        np.subtract(genes_AG[start : start + num], lowest_G, out=piece_AG[: part_WA.shape[1]], dtype=np.float64)
        np.copyto(part_WA, np.matmul(weights_WG, piece_AG.T, out=products_WA)[:, : part_WA.shape[1]], casting="unsafe")
    return words_WA, math.prod(radices) if len(places_WG) == 1 else WORD


def _first_of_equals(words_WA: NDArray[np.uint64], num_values: int) -> NDArray[np.intp]:
    """Where each key appears first, ascending."""
    num = words_WA.shape[1]
    if num_values <= max(4 * num, 1024):
        keys_A = words_WA[0].astype(np.intp)
        first = np.full(num_values, num, dtype=np.intp)
        first[keys_A[::-1]] = np.arange(num - 1, -1, -1)  # of equal indices the last one assigned stays
        return np.flatnonzero(first[keys_A] == np.arange(num))
    hashes_A = words_WA[0] * MIX
    for word_A in words_WA[1:]:
        hashes_A = (hashes_A ^ (hashes_A >> np.uint64(29)) ^ word_A) * MIX
    ordered_A = np.sort(hashes_A)
    doubled_A = ordered_A[1:][ordered_A[1:] == ordered_A[:-1]]
    if len(doubled_A) == 0:  # different hashes: different rows
        return np.arange(num)
    marks = np.zeros(2**MARK_BITS, dtype=bool)
    marks[_leading_bits(doubled_A)] = True
    suspects = np.flatnonzero(marks.take(_leading_bits(hashes_A)))
    order = np.lexsort(words_WA[:, suspects])  # stable: equals stay in order of appearance
    sorted_WA = words_WA[:, suspects[order]]
    repeated_A = (sorted_WA[:, 1:] == sorted_WA[:, :-1]).all(axis=0)
    is_first_A = np.ones(num, dtype=bool)
    is_first_A[suspects[order[1:][repeated_A]]] = False
    return np.flatnonzero(is_first_A)


def _leading_bits(hashes_A: NDArray[np.uint64]) -> NDArray[np.intp]:
    return (hashes_A >> np.uint64(64 - MARK_BITS)).astype(np.intp)
