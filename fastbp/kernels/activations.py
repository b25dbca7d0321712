"""Activation functions and their slopes, on whole vectors.

To add one: an entry in names.py and a branch in `activate`, which writes the slopes down if the entry says that they are kept;
if not, another in `multiply_by_slope`.
"""

import math

import numpy as np

from ..names import (
    CUMULATIVE,
    ELU,
    EXP,
    GELU,
    HARDSWISH,
    IDENTITY,
    KEPT,
    LEAKY_RELU,
    LOGISTIC,
    MISH,
    RELU,
    SELU,
    SILU,
    SOFTMAX,
    SOFTPLUS,
    STEP,
    TANH,
)
from .compiler import inline, jit, part
from .elementary import exponent, polynomial, power_of_two, round_to_integer
from .toolchain.pack import Integers, Reals
from .vectors import (
    at_least_1,
    broadcast,
    keep_first,
    lane_count,
    lane_max,
    lane_sum,
    load,
    load_strided,
    magnitude,
    multiply_add,
    store,
    store_strided,
    where_equal,
    where_less,
    with_sign,
)

LEAK = 0.01  # slope of leaky_relu below zero
GELU_SCALE, GELU_CUBIC = math.sqrt(2.0 / math.pi), 0.044715
SELU_SCALE, SELU_LOWEST = 1.0507009873554805, 1.0507009873554805 * 1.6732632423543772  # slope above zero, minus the limit below

# exp(x) = 2**n · exp(r) with n = round(x / ln 2), so |r| <= ln 2 / 2, where Taylor's series cut after r**13 (float64) or r**7
# (float32) is off by less than 0.1 ulp. ln 2 is split so that n · (its first part) is exact (Cody and Waite, 1980).
_exp_tail = polynomial({bits: [1 / math.factorial(k) for k in range(degree, 1, -1)] for bits, degree in ((64, 13), (32, 7))})
_ln2_high = polynomial({64: [float.fromhex("0x1.62e42fee00000p-1")], 32: [float.fromhex("0x1.62e4000000000p-1")]})
_ln2_low = polynomial({64: [float.fromhex("0x1.a39ef35793c76p-33")], 32: [float.fromhex("0x1.7f7d1cf79abcap-20")]})
_exp_highest = polynomial({64: [710.0], 32: [89.0]})  # beyond these the result is infinity, or zero
_exp_lowest = polynomial({64: [-746.0], 32: [-104.0]})
_zero = polynomial({64: [0.0], 32: [0.0]})
_artanh_tail = polynomial({64: [2 / (2 * k + 1) for k in range(10, 0, -1)]})  # of 2·artanh
_log1p_tail = polynomial({bits: [2 / (2 * k + 1) for k in range(terms, 0, -1)] for bits, terms in ((64, 17), (32, 7))})
_tanh_highest = polynomial({64: [40.0], 32: [20.0]})  # twice the |x| from which tanh rounds to 1


@jit
def _exponent(x):
    """n = round(x / ln 2)."""
    return round_to_integer(x * 1.4426950408889634)


@jit
def _exp_minus_one_of_remainder(x, n):
    """exp(x - n·ln 2) - 1."""
    r = multiply_add(n, -1.0 * _ln2_low(x), multiply_add(n, -1.0 * _ln2_high(x), x))
    return multiply_add(r * r, _exp_tail(r), r)


@jit
def exp(x):
    """e**x lane by lane, to 2 ulp; infinity, zero and NaN as in IEEE arithmetic, zero where that has a subnormal number."""
    x = where_less(_exp_highest(x), x, _exp_highest(x), x)
    x = where_less(x, _exp_lowest(x), _exp_lowest(x), x)
    n = _exponent(x)
    # Scaled in two halves because 2**n itself may lie outside the normal numbers.
    half = round_to_integer(n * 0.5)
    scale = power_of_two(half)
    return multiply_add(scale, _exp_minus_one_of_remainder(x, n), scale) * power_of_two(n - half)


@jit
def exp_minus_one(x):
    """e**x - 1 lane by lane, for x up to zero; it loses nothing near zero."""
    x = where_less(x, -1.0 * _tanh_highest(x), -1.0 * _tanh_highest(x), x)
    n = _exponent(x)
    scale = power_of_two(n)
    return multiply_add(scale, _exp_minus_one_of_remainder(x, n), scale - 1.0)


@jit
def gelu(x):
    """The Gaussian error linear unit in its tanh form, and its slope, lane by lane (Hendrycks and Gimpel, arXiv:1606.08415)."""
    near = where_less(x, _zero(x) - 10.0, _zero(x) - 10.0, x)  # farther out the tanh is 1, and squares of x may overflow
    near = where_less(_zero(x) + 10.0, near, _zero(x) + 10.0, near)
    square = near * near
    t = tanh(near * (square * (GELU_SCALE * GELU_CUBIC) + GELU_SCALE))
    half = t * 0.5 + 0.5
    inner_slope = square * (3.0 * GELU_SCALE * GELU_CUBIC) + GELU_SCALE
    return x * half, multiply_add(near * 0.5 * inner_slope, 1.0 - t * t, half)


@jit
def silu(x):
    """x / (1 + e**-x) and its slope, lane by lane (Elfwing, Uchibe and Doya, arXiv:1702.03118)."""
    share = logistic(x)
    y = x * share
    return y, multiply_add(y, 1.0 - share, share)


@jit
def mish(x):
    """x·tanh(log(1 + e**x)) and its slope, lane by lane (Misra, arXiv:1908.08681).

    With e = e**x and n = e·(e + 2) the tanh is n / (n + 2), and its slope 4·e·(e + 1) / (n + 2)².
    """
    near = where_less(_zero(x) + 20.0, x, _zero(x) + 20.0, x)  # farther out the tanh is 1, and squares of e**x may overflow
    e = exp(near)
    n = e * (e + 2.0)
    t = n / (n + 2.0)
    return x * t, multiply_add(near, e * (e + 1.0) * 4.0 / ((n + 2.0) * (n + 2.0)), t)


@jit
def hardswish(x):
    """x times x/6 + 1/2 kept between 0 and 1, and its slope, lane by lane (Howard et al., arXiv:1905.02244)."""
    t = x * (1.0 / 6.0) + 0.5
    share = where_less(t, _zero(x), _zero(x), t)
    share = where_less(_zero(x) + 1.0, share, _zero(x) + 1.0, share)
    return x * share, where_less(magnitude(x), _zero(x) + 3.0, t + x * (1.0 / 6.0), share)


@jit
def softplus(x):
    """log(1 + e**x) lane by lane: what x has above zero, and log(1 + u) for u = e**-|x|, which is 2·artanh(u / (u + 2))."""
    u = exp(0.0 - magnitude(x))
    s = u / (u + 2.0)
    square = s * s
    return where_less(x, _zero(x), _zero(x), x) + multiply_add(s * square, _log1p_tail(square), s * 2.0)


@jit
def tanh(x):
    """Hyperbolic tangent lane by lane, to 4 ulp: (e**2|x| - 1) / (e**2|x| + 1), which loses nothing near zero."""
    doubled = magnitude(x) * 2.0
    doubled = where_less(_tanh_highest(x), doubled, _tanh_highest(x), doubled)
    n = _exponent(doubled)
    scale = power_of_two(n)
    exp_minus_one = multiply_add(scale, _exp_minus_one_of_remainder(doubled, n), scale - 1.0)
    return with_sign(exp_minus_one / (exp_minus_one + 2.0), x)


@jit
def logistic(x):
    """1 / (1 + e**-x) lane by lane; zero where e**-x overflows (x below -709, in float32 -88), though the truth is a subnormal
    number there."""
    return 1.0 / (exp(0.0 - x) + 1.0)


@jit
def log(x):
    """Natural logarithm lane by lane, to 2 ulp, of positive normal numbers in float64; a NaN stays one.

    ln x = n·ln 2 + 2·artanh(s) with s = (m - 1) / (m + 1) for m = x · 2**-n, so s² < 0.0295 and the series' eleventh term is too
    small to count.
    """
    n = exponent(x)
    m = x * power_of_two(0.0 - n)
    s = (m - 1.0) / (m + 1.0)
    square = s * s
    near_one = multiply_add(s * square, _artanh_tail(square), s * 2.0)
    return multiply_add(n, _ln2_high(x), multiply_add(n, _ln2_low(x), near_one)) + (x - x)


@jit
def fill_with_nan(A, start, stop):
    """What becomes of elements start to stop, whole vectors, by a code that no branch matches."""
    for i in range(start, stop, lane_count(A)):
        store(A, i, broadcast(A, np.nan))


@inline
def activate(code, Z, z, n_rows, n_units, width, slopes, groups):
    """Replace the pre-activations Z: (n_rows, width), from element z on, by their activations; the padding becomes zero.

    groups: (n_groups + 1,), where the units of each softmax begin, as in `Network`.
    An activation that keeps its slopes (see names.py) writes that of element i to Z[i + slopes], unless slopes is 0. What is NaN
    stays NaN, and a code that nobody knows gives NaN.
    """
    n_lanes = lane_count(Z)
    stop = z + n_rows * width
    if 4 * n_units <= n_lanes and n_rows > 1 and (code == TANH or code == LOGISTIC or code == EXP):
        _activate_columns(code, Z, z, n_rows, n_units, width)
        return
    if code == RELU:
        for i in range(z, stop, n_lanes):
            x = load(Z, i)
            store(Z, i, where_less(x, _zero(x), _zero(x), x))
    elif code == TANH:
        for i in range(z, stop, n_lanes):
            store(Z, i, tanh(load(Z, i)))
    elif code == LOGISTIC:
        for i in range(z, stop, n_lanes):
            store(Z, i, logistic(load(Z, i)))
    elif code == LEAKY_RELU:
        for i in range(z, stop, n_lanes):
            x = load(Z, i)
            store(Z, i, where_less(x, _zero(x), x * LEAK, x))
    elif code == STEP:
        for i in range(z, stop, n_lanes):
            x = load(Z, i)
            zero, one = broadcast(Z, 0.0), broadcast(Z, 1.0)
            store(Z, i, where_less(zero, x, one, where_less(x, one, zero, x)))  # a NaN is neither
    elif code == EXP:
        for i in range(z, stop, n_lanes):
            store(Z, i, exp(load(Z, i)))
    elif code == SOFTMAX:
        if groups.size > 2:
            _softmax_in_groups(Z, z, n_rows, width, groups)
        else:
            for row in range(z, stop, at_least_1(width)):
                _softmax(Z, row, n_units, width)
    elif code == IDENTITY:
        pass
    elif code == CUMULATIVE:
        _cumulative(Z, z, n_rows, n_units, width)
    else:
        _activate_apart(code, Z, z, stop, slopes)
    if n_units < width and (code == LOGISTIC or code == EXP or code == SOFTPLUS):  # which are not zero at zero
        tail = n_units - n_units % n_lanes
        for row in range(z, stop, at_least_1(width)):
            for i in range(tail, width, n_lanes):
                store(Z, row + i, keep_first(load(Z, row + i), n_units - i, 0.0))


@part
def _activate_apart(code: int, Z: Reals, z: int, stop: int, slopes: int) -> None:
    """The same for elements z to stop and for activations that few networks have."""
    n_lanes = lane_count(Z)
    if code == ELU:
        for i in range(z, stop, n_lanes):
            x = load(Z, i)
            store(Z, i, where_less(x, _zero(x), exp_minus_one(x), x))
    elif code == SELU:
        for i in range(z, stop, n_lanes):
            x = load(Z, i)
            store(Z, i, where_less(x, _zero(x), exp_minus_one(x) * SELU_LOWEST, x * SELU_SCALE))
    elif code == SOFTPLUS:
        for i in range(z, stop, n_lanes):
            store(Z, i, softplus(load(Z, i)))
    elif code == GELU:
        for i in range(z, stop, n_lanes):
            y, slope = gelu(load(Z, i))
            _store_both(Z, i, y, slopes, slope)
    elif code == SILU:
        for i in range(z, stop, n_lanes):
            y, slope = silu(load(Z, i))
            _store_both(Z, i, y, slopes, slope)
    elif code == MISH:
        for i in range(z, stop, n_lanes):
            y, slope = mish(load(Z, i))
            _store_both(Z, i, y, slopes, slope)
    elif code == HARDSWISH:
        for i in range(z, stop, n_lanes):
            y, slope = hardswish(load(Z, i))
            _store_both(Z, i, y, slopes, slope)
    else:
        fill_with_nan(Z, z, stop)


@inline
def _store_both(Z, i, y, slopes, slope):
    """Write an output, and its slope if slopes are kept."""
    store(Z, i, y)
    if slopes:
        store(Z, i + slopes, slope)


@jit
def _activate_columns(code, Z, z, n_rows, n_units, width):
    """The same column by column, where rows are mostly padding, which is zero and stays so (measured: 10 % of a fit with
    full batches of 750 rows)."""
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
    if (
        width == n_lanes
    ):  # without loops, whose ends are hard to foresee (measured: 4 to 9 % of an epoch with three or four classes)
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
                largest = where_less(largest, x, x, largest)  # a NaN among them is in the sum all the same
            total = broadcast(Z, 0.0)
            for column in range(first, stop):
                x = exp(load_strided(Z, column, width, n, Z) - largest)
                store_strided(Z, column, width, n, x)
                total = total + x
            for column in range(first, stop):
                store_strided(Z, column, width, n, load_strided(Z, column, width, n, Z) / total)


@part
def _cumulative(Z: Reals, z: int, n_rows: int, n_units: int, width: int) -> None:
    """Probabilities of ordered classes, of as many rows at a time as a vector holds: the logistic function of unit k is that of
    class k or a later one, unit 0 does not count; a product where a difference would lose what is small."""
    n_lanes = lane_count(Z)
    for i in range(0, n_rows, n_lanes):
        n, first = min(n_lanes, n_rows - i), z + i * width
        if n_units == 1:
            store_strided(Z, first, width, n, broadcast(Z, 1.0))
            continue
        x = load_strided(Z, first + 1, width, n, Z)
        store_strided(Z, first, width, n, logistic(0.0 - x))
        for column in range(first + 1, first + n_units - 1):
            following = load_strided(Z, column + 1, width, n, Z)
            part = where_less(x, following, _zero(x), 0.0 - exp_minus_one(following - x))
            store_strided(Z, column, width, n, logistic(x) * logistic(0.0 - following) * part)
            x = following
        store_strided(Z, first + n_units - 1, width, n, logistic(x))


@inline
def multiply_by_slope(code, A, slopes, D, at, size):
    """Multiply `size` elements of D, from `at` on, by the slopes there: had from the activations A, or by the code KEPT those
    that `activate` wrote. A code that nobody knows, or that of the softmax, whose slope is a matrix, gives NaN.

    A step has no slope; it is trained as if it were the identity (straight-through estimator, Bengio et al. 2013,
    arXiv:1308.3432).
    """
    multiply_ahead_by_slope(code, A, slopes, D, at, size, 0)


@inline
def multiply_ahead_by_slope(code, A, slopes, D, at, size, ahead):
    """The same for elements of D that lie so much farther on than the activations they belong to."""
    n_lanes = lane_count(D)
    if code == RELU:
        for i in range(at, at + size, n_lanes):
            y = load(A, i)
            store(D, i + ahead, where_equal(y, _zero(y), _zero(y), load(D, i + ahead)))
    elif code == TANH:
        for i in range(at, at + size, n_lanes):
            y = load(A, i)
            store(D, i + ahead, load(D, i + ahead) * (1.0 - y * y))
    elif code == LOGISTIC:
        for i in range(at, at + size, n_lanes):
            y = load(A, i)
            store(D, i + ahead, load(D, i + ahead) * (y * (1.0 - y)))
    elif code == LEAKY_RELU:
        for i in range(at, at + size, n_lanes):
            y, delta = load(A, i), load(D, i + ahead)
            store(D, i + ahead, where_less(y, _zero(y), delta * LEAK, delta))
    elif code == KEPT or code == EXP:
        behind = slopes if code == KEPT else 0  # the exponential is its own slope
        for i in range(at, at + size, n_lanes):
            store(D, i + ahead, load(D, i + ahead) * load(A, i + behind))
    elif code == IDENTITY or code == STEP:
        pass
    else:
        _multiply_by_slope_apart(code, A, D, at, at + size, ahead)


@part
def _multiply_by_slope_apart(code: int, A: Reals, D: Reals, at: int, stop: int, ahead: int) -> None:
    """The same for elements `at` to stop, as `_activate_apart`."""
    n_lanes = lane_count(D)
    if code == ELU:
        for i in range(at, stop, n_lanes):
            y, delta = load(A, i), load(D, i + ahead)
            store(D, i + ahead, where_less(y, _zero(y), multiply_add(delta, y, delta), delta))
    elif code == SELU:
        for i in range(at, stop, n_lanes):
            y, delta = load(A, i), load(D, i + ahead)
            store(D, i + ahead, delta * where_less(_zero(y), y, _zero(y) + SELU_SCALE, y + SELU_LOWEST))
    elif code == SOFTPLUS:
        for i in range(at, stop, n_lanes):
            store(D, i + ahead, load(D, i + ahead) * (0.0 - exp_minus_one(0.0 - load(A, i))))
    else:
        fill_with_nan(D, at + ahead, stop + ahead)
