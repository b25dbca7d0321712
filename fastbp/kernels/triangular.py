"""Products, Cholesky's factor and systems solved with it, outside of a network. The order of operations is fixed, because a
threaded BLAS may give other bits with another number of threads."""

import math

from .compiler import entry, jit
from .passes import CACHED_ROWS
from .products import product
from .toolchain.pack import Integers, Reals
from .vectors import at_least_1, broadcast, element, keep_first, lane_count, lane_sum, load, multiply_add, set_element, store

FACTORIZE, SOLVE, SOLVE_TRANSPOSED = range(3)


@entry
def multiply(
    thread: int,
    n_threads: int,
    sync: Integers,
    A: Reals,
    a_row: int,
    a_inner: int,
    B: Reals,
    C: Reals,
    n_rows: int,
    n_inner: int,
    width: int,
    only_lower: int,
):
    """C += A · B; A: (n_rows, n_inner) with any strides, B: (n_inner, width), C: (n_rows, width), both of whole vectors; with
    only_lower only the lower triangle of C is right. The threads of the team take turns at the rows."""
    n_lanes = lane_count(C)
    for first in range(CACHED_ROWS * thread, n_rows, at_least_1(CACHED_ROWS * n_threads)):
        n = min(CACHED_ROWS, n_rows - first)
        columns = min(width, (first + n + n_lanes - 1) // n_lanes * n_lanes) if only_lower else width
        c = first * width
        product(A, first * a_row, a_row, a_inner, B, 0, width, 2 * lane_count(B), C, c, width, C, c, width, n, n_inner, columns)


@jit
def _dot(A, a, B, b, n):
    """Dot product of n elements of A, from a on, and of B, from b on; whole vectors are read from both."""
    n_lanes = lane_count(A)
    total = broadcast(A, 0.0)
    for i in range(0, n, n_lanes):
        total = multiply_add(keep_first(load(A, a + i), n - i, 0.0), load(B, b + i), total)
    return lane_sum(total)


@entry
def triangular(task: int, L: Reals, B: Reals, n_rows: int, n: int, stride: int):
    """SOLVE X · Lᵀ = B, or SOLVE_TRANSPOSED X · L = B, for B: (n_rows, n) in place, where L: (n, n) is a lower triangle; or
    FACTORIZE L, a symmetric matrix, whose upper triangle becomes zero.

    Rows of both are `stride` elements apart, whole vectors, padded with zeros.
    """
    n_lanes = lane_count(L)
    for row in range(0, n_rows * stride, at_least_1(stride)):
        if task == SOLVE_TRANSPOSED:
            for j in range(n - 1, -1, -1):
                value = element(B, row + j) / element(L, j * stride + j)
                set_element(B, row + j, value)
                for i in range(0, j, n_lanes):
                    known = keep_first(load(L, j * stride + i), j - i, 0.0)
                    store(B, row + i, multiply_add(known, broadcast(B, -value), load(B, row + i)))
        else:
            n_unknown = row // stride if task == FACTORIZE else n
            for j in range(n_unknown):
                rest = element(B, row + j) - _dot(B, row, L, j * stride, j)
                set_element(B, row + j, rest / element(L, j * stride + j))
            if task == FACTORIZE:
                set_element(B, row + n_unknown, math.sqrt(element(B, row + n_unknown) - _dot(B, row, B, row, n_unknown)))
                for j in range(n_unknown + 1, n):
                    set_element(B, row + j, 0.0)
