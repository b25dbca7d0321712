"""Every activation function: its formula and its slope, for kernels, exports and tests.

To add one, write its formula and its slope with the operations in operations.py and add its record to `ACTIVATIONS`; nothing else
(see docs/extending.md).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from .operations import (
    NumPy,
    constant,
    exp,
    exp_minus_one,
    log_one_plus,
    logistic,
    magnitude,
    maximum,
    minimum,
    multiply_add,
    tanh,
    where_equal,
    where_less,
    written,
)

# Codes of slopes that are not computed from an activation's output.
KEPT = -1  # the forward pass has stored it
CANCELS = -2  # the loss cancels the slope of the outputs: the error signal is outputs - targets, for some losses times a factor


class Activation(NamedTuple):
    """One activation function g.

    Its slope is computed from its output y by `backward` or, without that, together with its value: then `formula` returns both,
    and in training the forward pass stores the slope.
    """

    text: str  # for the documentation, after the name
    formula: Callable[[Any], Any] | None  # g(x), or g(x) and g′(x); None if it depends on several units
    backward: Callable[[Any, Any], Any] | None = None  # delta·g′(x), from delta and y = g(x)
    is_common: bool = False  # compiled into every kernel; the others are in parts (kernels/needs.py)
    is_hidden: bool = True  # whether hidden layers may have it
    has_slope: bool = True  # if not, it is trained with slope 1
    is_monotone: bool = True  # whether it never falls
    is_homogeneous: bool = False  # whether g(c·x) is c·g(x) for every c above zero, so that its unit is that of its inputs
    flat: tuple[tuple[float, float], ...] = ()  # intervals of outputs where its slope is below a hundredth of the largest
    code: int = -1  # for the kernels: its place in the table

    @property
    def keeps_slope(self) -> bool:
        """Whether the forward pass has to store the slope."""
        return self.formula is not None and self.backward is None

    @property
    def slope(self) -> int:
        """Code by which the backward pass finds the slope."""
        return KEPT if self.keeps_slope else self.code

    @property
    def is_zero_at_zero(self) -> bool:
        """Whether g(0) is 0, so that padding stays zero by itself."""
        return self.formula is None or float(written(self.formula, NumPy, 0.0)) == 0.0


# Formulas: functions of a vector x. NaN stays NaN, and nothing overflows where the function itself is finite.

LEAK = 0.01  # slope of leaky_relu below zero
GELU_SCALE, GELU_CUBIC = math.sqrt(2.0 / math.pi), 0.044715
SELU_SCALE, SELU_LOWEST = 1.0507009873554805, 1.0507009873554805 * 1.6732632423543772  # slope above zero, minus the limit below


def identity(x):
    return x


def relu(x):
    return maximum(x, 0.0)


def leaky_relu(x):
    return where_less(x, constant(x, 0.0), x * LEAK, x)


def step(x):
    zero, one = constant(x, 0.0), constant(x, 1.0)
    return where_less(zero, x, one, where_less(x, one, zero, x))  # a NaN is neither


def elu(x):
    return where_less(x, constant(x, 0.0), exp_minus_one(x), x)


def gelu(x):
    """The Gaussian error linear unit in its tanh form, and its slope (Hendrycks and Gimpel, arXiv:1606.08415)."""
    near = minimum(maximum(x, -10.0), 10.0)  # farther out the tanh is 1, and squares of x may overflow
    square = near * near
    t = tanh(near * (square * (GELU_SCALE * GELU_CUBIC) + GELU_SCALE))
    half = t * 0.5 + 0.5
    inner_slope = square * (3.0 * GELU_SCALE * GELU_CUBIC) + GELU_SCALE
    return x * half, multiply_add(near * 0.5 * inner_slope, 1.0 - t * t, half)


def selu(x):
    return where_less(x, constant(x, 0.0), exp_minus_one(x) * SELU_LOWEST, x * SELU_SCALE)


def silu(x):
    """x / (1 + e**-x) and its slope (Elfwing, Uchibe and Doya, arXiv:1702.03118)."""
    share = logistic(x)
    y = x * share
    return y, multiply_add(y, 1.0 - share, share)


def mish(x):
    """x·tanh(log(1 + e**x)) and its slope (Misra, arXiv:1908.08681).

    With e = e**x and n = e·(e + 2) the tanh is n / (n + 2), and its slope 4·e·(e + 1) / (n + 2)².
    """
    near = minimum(x, 20.0)  # farther out the tanh is 1, and squares of e**x may overflow
    e = exp(near)
    n = e * (e + 2.0)
    t = n / (n + 2.0)
    return x * t, multiply_add(near, e * (e + 1.0) * 4.0 / ((n + 2.0) * (n + 2.0)), t)


def softplus(x):
    """log(1 + e**x): what x has above zero, and log(1 + e**-|x|)."""
    return maximum(x, 0.0) + log_one_plus(exp(0.0 - magnitude(x)))


def hardswish(x):
    """x times x/6 + 1/2 kept between 0 and 1, and its slope (Howard et al., arXiv:1905.02244)."""
    t = x * (1.0 / 6.0) + 0.5
    share = minimum(maximum(t, 0.0), 1.0)
    return x * share, where_less(magnitude(x), constant(x, 3.0), t + x * (1.0 / 6.0), share)


def softsign(x):
    return x / (magnitude(x) + 1.0)


# Slopes from outputs: delta times the slope of the activation whose output is y.


def back_through_identity(delta, y):
    return delta


def back_through_logistic(delta, y):
    return delta * (y * (1.0 - y))


def back_through_tanh(delta, y):
    return delta * (1.0 - y * y)


def back_through_relu(delta, y):
    zero = constant(y, 0.0)
    return where_equal(y, zero, zero, delta)


def back_through_leaky_relu(delta, y):
    return where_less(y, constant(y, 0.0), delta * LEAK, delta)


def back_through_elu(delta, y):
    return where_less(y, constant(y, 0.0), multiply_add(delta, y, delta), delta)


def back_through_selu(delta, y):
    return delta * where_less(constant(y, 0.0), y, constant(y, SELU_SCALE), y + SELU_LOWEST)


def back_through_softplus(delta, y):
    return delta * (0.0 - exp_minus_one(0.0 - y))


def back_through_exp(delta, y):
    return delta * y


def back_through_softsign(delta, y):
    share = 1.0 - magnitude(y)
    return delta * (share * share)


ACTIVATIONS = {
    "identity": Activation("x itself", identity, back_through_identity, is_common=True, is_homogeneous=True),
    "logistic": Activation(
        "1 / (1 + e**-x)", logistic, back_through_logistic, is_common=True, flat=((0.0, 0.0025), (0.9975, 1.0))
    ),
    "tanh": Activation("the hyperbolic tangent", tanh, back_through_tanh, is_common=True, flat=((-1.0, -0.995), (0.995, 1.0))),
    "relu": Activation(
        "x above zero, 0 elsewhere", relu, back_through_relu, is_common=True, is_homogeneous=True, flat=((0.0, 0.0),)
    ),
    "leaky_relu": Activation(
        "x above zero, 0.01·x elsewhere", leaky_relu, back_through_leaky_relu, is_common=True, is_homogeneous=True
    ),
    "step": Activation(  # straight-through estimator, Bengio et al. 2013, arXiv:1308.3432
        "1 above zero, 0 elsewhere; as that has no slope, it is trained with slope 1 everywhere [4]_",
        step,
        back_through_identity,
        is_common=True,
        has_slope=False,
    ),
    "elu": Activation("x above zero, e**x - 1 elsewhere", elu, back_through_elu, flat=((-1.0, -0.99),)),
    "gelu": Activation("x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) / 2", gelu, is_monotone=False),
    "selu": Activation(
        "1.0507·x above zero, 1.7581·(e**x - 1) elsewhere, which keeps the standard deviation of deep layers near 1 [5]_",
        selu,
        back_through_selu,
        flat=((-1.76, -1.7476),),
    ),
    "silu": Activation("x / (1 + e**-x)", silu, is_monotone=False),
    "mish": Activation("x·tanh(log(1 + e**x))", mish, is_monotone=False),
    "softplus": Activation("log(1 + e**x)", softplus, back_through_softplus, flat=((0.0, 0.01),)),
    "hardswish": Activation(
        "x times x/6 + 1/2 kept between 0 and 1, a silu without exponentials",
        hardswish,
        is_monotone=False,
        flat=((0.0, 0.0),),
    ),
    "softsign": Activation("x / (1 + abs(x))", softsign, back_through_softsign, flat=((-1.0, -0.9), (0.9, 1.0))),
    "softmax": Activation("exponentials over their sum", None, is_common=True, is_hidden=False),
    "exp": Activation("e**x", exp, back_through_exp, is_common=True, is_hidden=False),
    "cumulative": Activation(
        "differences of 1, the logistic function of each but the first, and 0, from left to right",
        None,
        is_common=True,
        is_hidden=False,
    ),
}
ACTIVATIONS = {name: record._replace(code=code) for code, (name, record) in enumerate(ACTIVATIONS.items())}
