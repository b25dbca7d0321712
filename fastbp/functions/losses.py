"""Every loss: its value and its slope, for kernels and tests, and what it may be combined with.

To add one, write its value and its slope as functions of numbers and add its record to `LOSSES`; nothing else (see
docs/extending.md).
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from .activations import ACTIVATIONS


class Loss(NamedTuple):
    """One loss, of targets that are numbers (regression) or classes.

    Its functions take float64 numbers: an output ŷ, its target y, and the loss's parameter for that output (`shape`). The loss of
    a row is the sum over its outputs. With `has_spread`, it is the sum over its targets, and the functions take ŷ, a second
    output and y.
    """

    text: str  # for the documentation, after the name
    outputs: tuple[str, ...]  # output activations for which it is defined; output_activation="auto" is the first
    value: Callable[[float, float, float], float] | None = None  # E from ŷ, y and shape; None: see kernels/losses.py
    slope: Callable[[float, float, float], Any] | None = None  # ∂E/∂ŷ, 0 at a kink; with `has_spread` both slopes
    # If it cancels the slope of the outputs: ∂E/∂z, times the weight of the row, from (ŷ - y)·weight, ŷ, y, shape and weight;
    # None with a `canonical` output: it is (ŷ - y)·weight.
    delta: Callable[[float, float, float, float, float], float] | None = None
    canonical: str = ""  # the output activation whose slope it cancels, if there is one
    is_regression: bool = True
    has_class_numbers: bool = False  # whether the target of a row is the number of its class, not a value per output
    has_groups: bool = False  # whether the outputs are in groups with a softmax each, and a target is a probability per output
    has_score: bool = False  # whether the outputs come from one score, by fixed weights
    has_spread: bool = False  # whether a target has two outputs: all predictions come first, then their spreads
    lowest_target: float = -math.inf
    excludes_lowest: bool = False  # whether targets must be above the lowest
    highest_target: float = math.inf
    has_shares: bool = False  # divided by the number of outputs, or by 1 (training/parity.py): the kernels' parameter
    is_own_score: bool = False  # whether early stopping uses this loss of the validation rows, not R²
    parameter: str = ""  # the estimator's parameter that shapes it, a float, if there is one
    parameter_default: float = 0.0
    parameter_range: tuple[float, float] = (0.0, math.inf)
    parameter_brackets: str = "()"  # whether the ends of that range belong to it
    code: int = -1  # for the kernels: its place in the table


def poisson(output, y, shape):
    """Half the deviance in sklearn.metrics, like gamma and tweedie."""
    error = output - y
    return error + y * math.log(y / output) if y != 0.0 else error


def gamma(output, y, shape):
    return (output - y) / output * -1.0 - math.log(y / output)


def gamma_delta(difference, output, y, shape, weight):
    return difference / output


def tweedie(output, y, shape):
    of_output = output ** (2.0 - shape) / (2.0 - shape) + y * output ** (1.0 - shape) / (shape - 1.0)
    return of_output - y ** (2.0 - shape) / ((2.0 - shape) * (shape - 1.0))


def tweedie_delta(difference, output, y, shape, weight):
    return difference * output ** (1.0 - shape)


def huber(output, y, shape):
    error = abs(output - y)
    return 0.5 * error * error if error <= shape else shape * (error - 0.5 * shape)


def huber_slope(output, y, shape):
    return max(-shape, min(shape, output - y))


def absolute_error(output, y, shape):
    return abs(output - y)


def absolute_error_slope(output, y, shape):
    error = output - y
    return 1.0 if error > 0.0 else (-1.0 if error < 0.0 else error)


def quantile(output, y, shape):
    """The pinball loss of Koenker and Bassett 1978."""
    error = output - y
    return max((1.0 - shape) * error, -shape * error)


def quantile_slope(output, y, shape):
    error = output - y
    return 1.0 - shape if error > 0.0 else (-shape if error < 0.0 else error)


def log_cosh(output, y, shape):
    error = abs(output - y)
    return error + math.log1p(math.exp(-2.0 * error)) - math.log(2.0)


def log_cosh_slope(output, y, shape):
    return math.tanh(output - y)


def gaussian_nll(mean, spread, y):
    """Without ½·log 2π, like PyTorch's GaussianNLLLoss. The variance is softplus(spread) plus a millionth: unlike an exponential,
    it does not overflow far from the data, and where it is small it behaves like one."""
    variance = LEAST_VARIANCE + max(spread, 0.0) + math.log(1.0 + math.exp(-abs(spread)))  # log1p takes as long as all the rest
    error = mean - y
    return 0.5 * (math.log(variance) + error * error / variance)


def gaussian_nll_slopes(mean, spread, y):
    power = math.exp(-abs(spread))
    variance = LEAST_VARIANCE + max(spread, 0.0) + math.log(1.0 + power)
    by_mean = (mean - y) / variance
    rise = (1.0 if spread > 0.0 else power) / (1.0 + power)
    return by_mean, 0.5 * rise * (1.0 / variance - by_mean * by_mean)


LEAST_VARIANCE = 1e-6  # of targets whose variance is 1
REAL_OUTPUTS = tuple(name for name in ACTIVATIONS if name not in ("softmax", "cumulative"))
_of_classes = functools.partial(Loss, is_regression=False)
_smoothed = functools.partial(_of_classes, parameter="label_smoothing", parameter_range=(0.0, 1.0), parameter_brackets="[)")
_LOSSES = {
    "squared_error": Loss("half the squared error", REAL_OUTPUTS, canonical="identity", has_shares=True),
    "log_loss": _smoothed(
        "the log-loss of several classes",
        ("softmax",),
        canonical="softmax",
        has_class_numbers=True,
    ),
    "binary_log_loss": _smoothed(
        "the log-loss of yes or no, per output",
        ("logistic",),
        canonical="logistic",
        lowest_target=0.0,
        highest_target=1.0,
    ),
    "multioutput_log_loss": _smoothed(
        "the log-loss of several classes, summed over several columns of them",
        ("softmax",),
        canonical="softmax",
        has_groups=True,
        lowest_target=0.0,
        highest_target=1.0,
    ),
    "poisson": Loss(
        "half the Poisson deviance (targets ≥ 0, exponential output)", ("exp",), poisson, canonical="exp", lowest_target=0.0
    ),
    "huber": Loss(
        "half the squared error up to an error of `delta`, and linear beyond, for targets with outliers",
        REAL_OUTPUTS,
        huber,
        huber_slope,
        parameter="delta",
        parameter_default=1.0,
    ),
    "absolute_error": Loss(
        "the absolute error, whose best prediction is the median", REAL_OUTPUTS, absolute_error, absolute_error_slope
    ),
    "log_cosh": Loss(
        "the logarithm of the hyperbolic cosine of the error: about half its square near zero, and linear for large errors",
        REAL_OUTPUTS,
        log_cosh,
        log_cosh_slope,
    ),
    "quantile": Loss(
        "the pinball loss, whose best prediction is the `quantile` of the target",
        REAL_OUTPUTS,
        quantile,
        quantile_slope,
        is_own_score=True,
        parameter="quantile",
        parameter_default=0.5,
        parameter_range=(0.0, 1.0),
    ),
    "gamma": Loss(
        "half the gamma deviance (targets > 0, exponential output)",
        ("exp",),
        gamma,
        delta=gamma_delta,
        canonical="exp",
        lowest_target=0.0,
        excludes_lowest=True,
    ),
    "tweedie": Loss(
        "half the Tweedie deviance of the `power` (targets ≥ 0, exponential output)",
        ("exp",),
        tweedie,
        delta=tweedie_delta,
        canonical="exp",
        lowest_target=0.0,
        parameter="power",
        parameter_default=1.5,
        parameter_range=(1.0, 2.0),
    ),
    "gaussian_nll": Loss(
        "the negative log-likelihood of normally distributed targets, whose mean and standard deviation the network predicts"
        " (Nix and Weigend 1994)",
        ("identity",),
        gaussian_nll,
        gaussian_nll_slopes,
        has_spread=True,
        is_own_score=True,
    ),
    "focal": _of_classes(
        "the log-loss of several classes, times (1 - p) ** `focal_gamma` for the probability p of the true one",
        ("softmax",),
        canonical="softmax",
        has_class_numbers=True,
        parameter="focal_gamma",
        parameter_default=2.0,
        parameter_brackets="[)",
    ),
    "binary_focal": _of_classes(
        "the log-loss of yes or no, per output, with the factor of 'focal'",
        ("logistic",),
        canonical="logistic",
        lowest_target=0.0,
        highest_target=1.0,
        parameter="focal_gamma",
        parameter_default=2.0,
        parameter_brackets="[)",
    ),
    "ordered_log_loss": _of_classes(
        "the log-loss of classes that have an order, with one score and thresholds between them",
        ("cumulative",),
        canonical="cumulative",
        has_class_numbers=True,
        has_score=True,
    ),
}


class _Table(dict[Any, Loss]):
    """Losses by name; a user's own loss (CustomLoss) has its own record."""

    def __missing__(self, loss: Any) -> Loss:
        if not hasattr(loss, "record"):
            raise KeyError(loss)
        return loss.record


LOSSES = _Table((name, record._replace(code=code)) for code, (name, record) in enumerate(_LOSSES.items()))
