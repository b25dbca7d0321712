"""Exponential, logarithm, tanh and the other operations of formulas (functions/operations.py), on whole vectors."""

import math

from ..functions import operations
from .compiler import jit, means
from .elementary import exponent, polynomial, power_of_two, round_to_integer
from .vectors import magnitude as _magnitude
from .vectors import multiply_add as _multiply_add
from .vectors import where_equal as _where_equal
from .vectors import where_less as _where_less
from .vectors import with_sign

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

magnitude = means(operations.magnitude)(_magnitude)
multiply_add = means(operations.multiply_add)(_multiply_add)
where_less = means(operations.where_less)(_where_less)
where_equal = means(operations.where_equal)(_where_equal)


@means(operations.constant)
def constant(x, number):
    """The number in every lane."""
    return _zero(x) + number


@means(operations.maximum)
def maximum(x, number):
    """The larger of x and a number, lane by lane; a NaN stays."""
    limit = constant(x, number)
    return where_less(x, limit, limit, x)


@means(operations.minimum)
def minimum(x, number):
    """The smaller of x and a number, lane by lane; a NaN stays."""
    limit = constant(x, number)
    return where_less(limit, x, limit, x)


@jit
def _exponent(x):
    """n = round(x / ln 2)."""
    return round_to_integer(x * 1.4426950408889634)


@jit
def _exp_minus_one_of_remainder(x, n):
    """exp(x - n·ln 2) - 1."""
    r = multiply_add(n, -1.0 * _ln2_low(x), multiply_add(n, -1.0 * _ln2_high(x), x))
    return multiply_add(r * r, _exp_tail(r), r)


@means(operations.exp)
def exp(x):
    """e**x lane by lane, to 2 ulp; infinity, zero and NaN as in IEEE arithmetic, but zero instead of a subnormal number."""
    x = where_less(_exp_highest(x), x, _exp_highest(x), x)
    x = where_less(x, _exp_lowest(x), _exp_lowest(x), x)
    n = _exponent(x)
    # Scaled in two halves because 2**n itself may lie outside the normal numbers.
    half = round_to_integer(n * 0.5)
    scale = power_of_two(half)
    return multiply_add(scale, _exp_minus_one_of_remainder(x, n), scale) * power_of_two(n - half)


@means(operations.exp_minus_one)
def exp_minus_one(x):
    """e**x - 1 lane by lane, for x up to zero, without cancellation near zero."""
    x = where_less(x, -1.0 * _tanh_highest(x), -1.0 * _tanh_highest(x), x)
    n = _exponent(x)
    scale = power_of_two(n)
    return multiply_add(scale, _exp_minus_one_of_remainder(x, n), scale - 1.0)


@means(operations.log_one_plus)
def log_one_plus(x):
    """log(1 + x) lane by lane, for x from zero to one: 2·artanh(x / (x + 2))."""
    s = x / (x + 2.0)
    square = s * s
    return multiply_add(s * square, _log1p_tail(square), s * 2.0)


@means(operations.tanh)
def tanh(x):
    """Hyperbolic tangent lane by lane, to 4 ulp, near zero too: (e**2|x| - 1) / (e**2|x| + 1)."""
    doubled = magnitude(x) * 2.0
    doubled = where_less(_tanh_highest(x), doubled, _tanh_highest(x), doubled)
    n = _exponent(doubled)
    scale = power_of_two(n)
    exp_minus_one = multiply_add(scale, _exp_minus_one_of_remainder(doubled, n), scale - 1.0)
    return with_sign(exp_minus_one / (exp_minus_one + 2.0), x)


@means(operations.logistic)
def logistic(x):
    """1 / (1 + e**-x) lane by lane; zero, not a subnormal number, if e**-x overflows (x below -709, in float32 -88)."""
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
