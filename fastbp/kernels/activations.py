"""Activation functions and their slopes, on rows of vectors.

Their formulas are in functions/activations.py. From each of its records comes a loop over vectors here, and from all of them the
branches that choose by code.
"""

import numpy as np

from ..functions.activations import ACTIVATIONS
from ..functions.operations import Operation
from ..names import CUMULATIVE, EXP, IDENTITY, KEPT, LOGISTIC, SOFTMAX, STEP, TANH
from .compiler import by_code, inline, jit, part
from .ordered import cumulative
from .toolchain.pack import Integers, Reals
from .vector_functions import exp, logistic, tanh
from .vectors import (
    at_least_1,
    broadcast,
    keep_first,
    lane_count,
    lane_max,
    lane_sum,
    load,
    load_strided,
    store,
    store_strided,
    where_less,
)

OWN_BRANCH = {IDENTITY, SOFTMAX, CUMULATIVE}  # written out in `activate`
NO_SLOPE = {IDENTITY, STEP}  # delta goes back unchanged
assert len(ACTIVATIONS) < 63
_NOT_ZERO_AT_ZERO = sum(1 << record.code for record in ACTIVATIONS.values() if not record.is_zero_at_zero)


def _compiled(function):
    """A formula as kernels call it."""
    return function if isinstance(function, Operation) else inline(function)


def _loop(record):
    """Make a loop that replaces pre-activations, elements z to stop of Z, by a record's activations; slopes: as in `activate`."""
    formula = _compiled(record.formula)

    @inline
    def replace(Z, z, stop, slopes):
        for i in range(z, stop, lane_count(Z)):
            store(Z, i, formula(load(Z, i)))

    @inline
    def replace_and_keep_slopes(Z, z, stop, slopes):
        for i in range(z, stop, lane_count(Z)):
            y, slope = formula(load(Z, i))
            store(Z, i, y)
            if slopes:
                store(Z, i + slopes, slope)

    return replace_and_keep_slopes if record.keeps_slope else replace


def _loop_back(record):
    """Make a loop that multiplies elements of D, `ahead` of `at` to stop, by a record's slopes, from the activations A."""
    backward = _compiled(record.backward)

    @inline
    def multiply(A, D, at, stop, ahead):
        for i in range(at, stop, lane_count(D)):
            store(D, i + ahead, backward(load(D, i + ahead), load(A, i)))

    return multiply


@jit
def fill_with_nan(A, start, stop):
    """Set elements start to stop, whole vectors, to NaN, for an unknown code."""
    for i in range(start, stop, lane_count(A)):
        store(A, i, broadcast(A, np.nan))


@part
@by_code({record.code: _loop(record) for record in ACTIVATIONS.values() if not record.is_common})
def _activate_apart(code: int, Z: Reals, z: int, stop: int, slopes: int) -> None:
    """Activations that few networks have."""
    fill_with_nan(Z, z, stop)


@inline
@by_code({r.code: _loop(r) for r in ACTIVATIONS.values() if r.is_common and r.code not in OWN_BRANCH})
def _activate_common(code, Z, z, stop, slopes):
    _activate_apart(code, Z, z, stop, slopes)


@inline
def activate(code, Z, z, n_rows, n_units, width, slopes, groups):
    """Replace the pre-activations Z: (n_rows, width), from element z on, by their activations; the padding becomes zero.

    groups: (n_groups + 1,), where the units of each softmax begin, as in `Network`. An activation that keeps its slopes writes
    that of element i to Z[i + slopes], unless slopes is 0. NaN stays NaN; an unknown code gives NaN.
    """
    n_lanes = lane_count(Z)
    stop = z + n_rows * width
    if 4 * n_units <= n_lanes and n_rows > 1 and (code == TANH or code == LOGISTIC or code == EXP):
        _activate_columns(code, Z, z, n_rows, n_units, width)
        return
    if code == SOFTMAX:
        if groups.size > 2:
            _softmax_in_groups(Z, z, n_rows, width, groups)
        else:
            for row in range(z, stop, at_least_1(width)):
                _softmax(Z, row, n_units, width)
    elif code == IDENTITY:
        pass
    elif code == CUMULATIVE:
        cumulative(Z, z, n_rows, n_units, width)
    else:
        _activate_common(code, Z, z, stop, slopes)
    if n_units < width and (_NOT_ZERO_AT_ZERO >> min(code, 63)) & 1:
        tail = n_units - n_units % n_lanes
        for row in range(z, stop, at_least_1(width)):
            for i in range(tail, width, n_lanes):
                store(Z, row + i, keep_first(load(Z, row + i), n_units - i, 0.0))


@jit
def _activate_columns(code, Z, z, n_rows, n_units, width):
    """Activate column by column if rows are mostly padding, which stays zero (measured: it saves 10 % of a fit with full batches
    of 750 rows)."""
    n_lanes = lane_count(Z)
    for column in range(z, z + n_units):
        for i in range(0, n_rows, n_lanes):
            n = min(n_lanes, n_rows - i)
            x = load_strided(Z, column + i * width, width, n, Z)
            y = broadcast(Z, np.nan)
            if code == TANH:
                y = tanh(x)
            elif code == LOGISTIC:
                y = logistic(x)
            elif code == EXP:
                y = exp(x)
            store_strided(Z, column + i * width, width, n, y)


@jit
def _softmax(Z, z, n_units, width):
    """Softmax of one row of Z, z: its first element; shifted by the largest value if anything could overflow or all vanish."""
    n_lanes = lane_count(Z)
    # Without loops, whose ends are mispredicted (measured: it saves 4 to 9 % of an epoch with three or four classes).
    if width == n_lanes:
        x = load(Z, z)
        shift = lane_max(keep_first(x, n_units, -np.inf))
        if not -20.0 < shift < 20.0:
            x = x - shift
        x = keep_first(exp(x), n_units, 0.0)
        store(Z, z, x / broadcast(Z, lane_sum(x)))
        return
    largest = broadcast(Z, -np.inf)
    for i in range(0, width, n_lanes):
        x = keep_first(load(Z, z + i), n_units - i, -np.inf)
        largest = where_less(x, largest, largest, x)  # a NaN is never less, so it stays
    shift = lane_max(largest)
    if not -20.0 < shift < 20.0:  # a branch, as the exponentials need not wait for its test
        for i in range(0, width, n_lanes):
            store(Z, z + i, load(Z, z + i) - shift)
    total = broadcast(Z, 0.0)
    for i in range(0, width, n_lanes):
        x = keep_first(exp(load(Z, z + i)), n_units - i, 0.0)
        store(Z, z + i, x)
        total = total + x
    total = broadcast(Z, lane_sum(total))
    for i in range(0, width, n_lanes):
        store(Z, z + i, load(Z, z + i) / total)


@part
def _softmax_in_groups(Z: Reals, z: int, n_rows: int, width: int, groups: Integers) -> None:
    """Softmax of each group of units, of as many rows at a time as a vector holds; shifted by the largest value."""
    n_lanes = lane_count(Z)
    for i in range(0, n_rows, n_lanes):
        n, row = min(n_lanes, n_rows - i), z + i * width
        for group in range(groups.size - 1):
            first, stop = row + groups[group], row + groups[group + 1]
            largest = load_strided(Z, first, width, n, Z)
            for column in range(first + 1, stop):
                x = load_strided(Z, column, width, n, Z)
                largest = where_less(largest, x, x, largest)  # a NaN that it ignores is in the sum
            total = broadcast(Z, 0.0)
            for column in range(first, stop):
                x = exp(load_strided(Z, column, width, n, Z) - largest)
                store_strided(Z, column, width, n, x)
                total = total + x
            for column in range(first, stop):
                store_strided(Z, column, width, n, load_strided(Z, column, width, n, Z) / total)


@part
@by_code({r.code: _loop_back(r) for r in ACTIVATIONS.values() if r.backward and not r.is_common})
def _multiply_by_slope_apart(code: int, A: Reals, D: Reals, at: int, stop: int, ahead: int) -> None:
    """Slopes of activations that few networks have."""
    fill_with_nan(D, at + ahead, stop + ahead)


@inline
@by_code({r.code: _loop_back(r) for r in ACTIVATIONS.values() if r.backward and r.is_common and r.code not in NO_SLOPE})
def _multiply_by_common_slope(code, A, D, at, stop, ahead):
    _multiply_by_slope_apart(code, A, D, at, stop, ahead)


@inline
def multiply_by_slope(code, A, slopes, D, at, size):
    """Multiply `size` elements of D, from `at` on, by the slopes there: computed from the activations A or, for the code KEPT,
    those that `activate` wrote. An unknown code, or that of the softmax, whose slope is a matrix, gives NaN.
    """
    multiply_ahead_by_slope(code, A, slopes, D, at, size, 0)


@inline
def multiply_ahead_by_slope(code, A, slopes, D, at, size, ahead):
    """Multiply elements of D by slopes, where D[i + ahead] belongs to the activation A[i]."""
    if code == KEPT:
        for i in range(at, at + size, lane_count(D)):
            store(D, i + ahead, load(D, i + ahead) * load(A, i + slopes))
    elif code == IDENTITY or code == STEP:
        pass
    else:
        _multiply_by_common_slope(code, A, D, at, at + size, ahead)
