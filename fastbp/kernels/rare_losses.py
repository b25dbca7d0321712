"""Losses that few fits have, and their error signals, as parts.

functions/losses.py defines losses of numbers as functions of one output and its target. From each record comes a loop over rows
here, and from all of them the branches that choose by code. Losses of probabilities are written out.
"""

import math

import numpy as np

from ..functions.losses import LOSSES
from ..names import BINARY_FOCAL, FOCAL, MULTIOUTPUT_LOG_LOSS, ORDERED_LOG_LOSS
from .activations import fill_with_nan
from .compiler import by_code, by_pointer, inline, jit, part
from .layout import OutputRows, weight_of
from .toolchain.pack import Doubles, Reals
from .vectors import element, set_element

# Losses whose own deltas replace outputs - targets, or are a multiple of them.
HAS_DELTAS = sum(1 << record.code for record in LOSSES.values() if record.delta) | 1 << FOCAL | 1 << BINARY_FOCAL
assert len(LOSSES) < 63
CUSTOM = 4095  # larger codes are addresses, see custom.py


@inline
def _output(rows, i, j):
    """Output j of row i, in float64."""
    return np.float64(element(rows.outputs, rows.at + i * rows.width + j))


@inline
def _target(rows, i, j):
    """Target j of row i, in float64."""
    return np.float64(element(rows.targets, rows.first_target + i * rows.n_targets + j))


def loop_of_losses(value):
    """Make a loop that writes the loss of each row, the sum of `value` over its outputs."""
    value = jit(value)

    @jit
    def fill(rows, row_losses, first_row):
        for i in range(rows.n_rows):
            total = 0.0
            for j in range(rows.n_outputs):
                total += value(_output(rows, i, j), _target(rows, i, j), element(rows.parameter, j))
            set_element(row_losses, first_row + i, total)

    return fill


def loop_of_slopes(slope):
    """Make a loop that fills deltas with `slope` of each output, times the weight of its row."""
    slope = jit(slope)

    @jit
    def fill(rows, deltas):
        for i in range(rows.n_rows):
            row, weight = rows.at + i * rows.width, weight_of(rows, i)
            for j in range(rows.n_outputs):
                of_output = slope(_output(rows, i, j), _target(rows, i, j), element(rows.parameter, j))
                set_element(deltas, row + j, of_output * weight)

    return fill


def _loop_of_spread_losses(value):
    """Make such a loop for a loss with a second output per target, its spread; missing targets are left out."""
    value = jit(value)

    @jit
    def fill(rows, row_losses, first_row):
        for i in range(rows.n_rows):
            total = 0.0
            for j in range(rows.n_targets):
                y = _target(rows, i, j)
                if y == y:
                    total += value(_output(rows, i, j), _output(rows, i, rows.n_targets + j), y)
            set_element(row_losses, first_row + i, total)

    return fill


def _loop_of_spread_slopes(slope):
    """Make such a loop of both slopes, which are 0 where a target is missing."""
    slope = jit(slope)

    @jit
    def fill(rows, deltas):
        for i in range(rows.n_rows):
            row, weight = rows.at + i * rows.width, weight_of(rows, i)
            for j in range(rows.n_targets):
                y = _target(rows, i, j)
                by_output, by_spread = slope(_output(rows, i, j), _output(rows, i, rows.n_targets + j), y)
                set_element(deltas, row + j, by_output * weight if y == y else 0.0)
                set_element(deltas, row + rows.n_targets + j, by_spread * weight if y == y else 0.0)

    return fill


def _losses_loop(record):
    return (_loop_of_spread_losses if record.has_spread else loop_of_losses)(record.value)


def _slopes_loop(record):
    return (_loop_of_spread_slopes if record.has_spread else loop_of_slopes)(record.slope)


def _loop_of_deltas(delta):
    """Make a loop that replaces outputs - targets, times the weights, by `delta`."""
    delta = jit(delta)

    @jit
    def fill(rows, deltas):
        for i in range(rows.n_rows):
            row, weight = rows.at + i * rows.width, weight_of(rows, i)
            for j in range(rows.n_outputs):
                difference = np.float64(element(deltas, row + j))
                of_output = delta(difference, _output(rows, i, j), _target(rows, i, j), element(rows.parameter, j), weight)
                set_element(deltas, row + j, of_output)

    return fill


@jit
def smallest_probability(outputs):
    """The epsilon of the outputs' dtype, which keeps probabilities off 0 and 1."""
    return 1.1920928955078125e-07 if outputs.itemsize == 4 else 2.220446049250313e-16


@jit
def _probability(rows, i, j):
    """Output j of row i in float64, kept off 0 and 1; a NaN stays."""
    p, epsilon = _output(rows, i, j), smallest_probability(rows.outputs)
    return epsilon if p < epsilon else (1.0 - epsilon if p > 1.0 - epsilon else p)


@jit
def _probability_of_class(rows, i):
    """That of the true class, whose number is the target."""
    return _probability(rows, i, np.int64(_target(rows, i, 0)))


@by_pointer(0)
def _custom_losses(loss: int, rows: OutputRows, row_losses: Doubles, first_row: int) -> None:
    """A user's own loss; NaN where it cannot be called."""
    for i in range(rows.n_rows):
        set_element(row_losses, first_row + i, np.nan)


@part
@by_code({record.code: _losses_loop(record) for record in LOSSES.values() if record.value})
def rarer_losses(loss: int, rows: OutputRows, row_losses: Doubles, first_row: int) -> None:
    """Losses, without the weights, that are neither log-losses nor squared errors; arguments as `output_losses`'.

    Written out: a user's own, the focal losses (Lin et al. 2017, arXiv:1708.02002) and others of probabilities; NaN for an
    unknown loss.
    """
    if loss > CUSTOM:
        _custom_losses(loss, rows, row_losses, first_row)
        return
    for i in range(rows.n_rows):
        total = 0.0
        if loss == FOCAL:
            p = _probability_of_class(rows, i)
            total = -math.log(p) * (1.0 - p) ** element(rows.parameter, 0)
        elif loss == BINARY_FOCAL:
            for j in range(rows.n_outputs):
                y, gamma, p = _target(rows, i, j), element(rows.parameter, j), _probability(rows, i, j)
                total -= y * math.log(p) * (1.0 - p) ** gamma + (1.0 - y) * math.log(1.0 - p) * p**gamma
        elif loss == ORDERED_LOG_LOSS:
            total = -math.log(_probability_of_class(rows, i))
        elif loss == MULTIOUTPUT_LOG_LOSS:
            for j in range(rows.n_outputs):
                total -= _target(rows, i, j) * math.log(_probability(rows, i, j))
        else:
            total = np.nan
        set_element(row_losses, first_row + i, total)


@by_pointer(1)
def _custom_slopes(loss: int, rows: OutputRows, deltas: Reals) -> None:
    """The slopes of a user's own loss; NaN where it cannot be called."""
    fill_with_nan(deltas, rows.at, rows.at + rows.n_rows * rows.width)


@part
@by_code({record.code: _slopes_loop(record) for record in LOSSES.values() if record.slope})
def error_deltas(loss: int, rows: OutputRows, deltas: Reals) -> None:
    """dE/dŷ, times the weights; NaN for an unknown loss."""
    if loss > CUSTOM:
        _custom_slopes(loss, rows, deltas)
    else:
        fill_with_nan(deltas, rows.at, rows.at + rows.n_rows * rows.width)


@part
@by_code({record.code: _loop_of_deltas(record.delta) for record in LOSSES.values() if record.delta})
def scale_deltas(loss: int, rows: OutputRows, deltas: Reals) -> None:
    """Turn outputs - targets, times the weights, into the deltas of a loss that does not cancel the slope of the outputs exactly;
    the focal losses are written out."""
    for i in range(rows.n_rows):
        row, weight, factor = rows.at + i * rows.width, weight_of(rows, i), 1.0
        if loss == FOCAL:
            factor = _focal_factor(_probability_of_class(rows, i), element(rows.parameter, 0))
        for j in range(rows.n_outputs):
            delta = np.float64(element(deltas, row + j)) * factor
            if loss == BINARY_FOCAL:  # the two classes have factors of their own
                p, y = _probability(rows, i, j), _target(rows, i, j)
                output, gamma = _output(rows, i, j), element(rows.parameter, j)
                delta = (1.0 - y) * output * _focal_factor(1.0 - p, gamma) - y * (1.0 - output) * _focal_factor(p, gamma)
                delta *= weight
            set_element(deltas, row + j, delta)


@jit
def _focal_factor(p, gamma):
    """(1 - p)**γ - γ·p·(1 - p)**(γ - 1)·ln p for the probability p of the true class."""
    return (1.0 - p) ** gamma - gamma * p * (1.0 - p) ** (gamma - 1.0) * math.log(p)
