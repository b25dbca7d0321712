"""Losses that few fits have, and the error signal that they send back, as parts.

Losses of numbers are functions of one output and its target in functions/losses.py; from each record comes a loop over rows here,
and from all of them the branches that choose by code. Those of probabilities are written out.
"""

import math

import numpy as np

from ..functions.losses import LOSSES
from ..names import BINARY_FOCAL, FOCAL, MULTIOUTPUT_LOG_LOSS, ORDERED_LOG_LOSS
from .activations import fill_with_nan
from .compiler import by_code, by_pointer, jit, part
from .toolchain.pack import Doubles, Reals
from .vectors import element, set_element

# Losses whose own deltas stand in place of outputs - targets, or are a multiple of them.
HAS_DELTAS = sum(1 << record.code for record in LOSSES.values() if record.delta) | 1 << FOCAL | 1 << BINARY_FOCAL
assert len(LOSSES) < 63
CUSTOM = 4095  # codes above are addresses, see custom.py


def loop_of_losses(value):
    """What adds up the values of a loss of numbers over each of n_rows rows."""
    value = jit(value)

    @jit
    def fill(parameter, outputs, at, n_rows, n_outputs, width, targets, target, n_targets, row_losses, first_row):
        for i in range(n_rows):
            total = 0.0
            for j in range(n_outputs):
                output = np.float64(element(outputs, at + i * width + j))
                total += value(output, np.float64(element(targets, target + i * n_targets + j)), element(parameter, j))
            set_element(row_losses, first_row + i, total)

    return fill


def loop_of_slopes(slope):
    """What fills deltas with the slopes of a loss of numbers, times the weights."""
    slope = jit(slope)

    @jit
    def fill(parameter, outputs, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight):
        for i in range(n_rows):
            row, row_target = at + i * width, target + i * n_targets
            weight = np.float64(element(weights, first_weight + i)) if weights.size else 1.0
            for j in range(n_outputs):
                output, y = np.float64(element(outputs, row + j)), np.float64(element(targets, row_target + j))
                set_element(deltas, row + j, slope(output, y, element(parameter, j)) * weight)

    return fill


def _loop_of_spread_losses(value):
    """What adds up the values of a loss with spreads over the targets of each row that are not missing."""
    value = jit(value)

    @jit
    def fill(parameter, outputs, at, n_rows, n_outputs, width, targets, target, n_targets, row_losses, first_row):
        for i in range(n_rows):
            row, row_target, total = at + i * width, target + i * n_targets, 0.0
            for j in range(n_targets):
                output, spread = element(outputs, row + j), element(outputs, row + n_targets + j)
                y = np.float64(element(targets, row_target + j))
                if y == y:
                    total += value(np.float64(output), np.float64(spread), y)
            set_element(row_losses, first_row + i, total)

    return fill


def _loop_of_spread_slopes(slope):
    """What fills deltas with the slopes of such a loss, times the weights; 0 where a target is missing."""
    slope = jit(slope)

    @jit
    def fill(parameter, outputs, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight):
        for i in range(n_rows):
            row, row_target = at + i * width, target + i * n_targets
            weight = np.float64(element(weights, first_weight + i)) if weights.size else 1.0
            for j in range(n_targets):
                output, spread = element(outputs, row + j), element(outputs, row + n_targets + j)
                y = np.float64(element(targets, row_target + j))
                by_output, by_spread = slope(np.float64(output), np.float64(spread), y)
                set_element(deltas, row + j, by_output * weight if y == y else 0.0)
                set_element(deltas, row + n_targets + j, by_spread * weight if y == y else 0.0)

    return fill


def _losses_loop(record):
    return (_loop_of_spread_losses if record.has_spread else loop_of_losses)(record.value)


def _slopes_loop(record):
    return (_loop_of_spread_slopes if record.has_spread else loop_of_slopes)(record.slope)


def _loop_of_deltas(delta):
    """What puts the deltas of a loss of numbers in place of outputs - targets times the weights."""
    delta = jit(delta)

    @jit
    def fill(parameter, outputs, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight):
        for i in range(n_rows):
            row, row_target = at + i * width, target + i * n_targets
            weight = np.float64(element(weights, first_weight + i)) if weights.size else 1.0
            for j in range(n_outputs):
                output, y = np.float64(element(outputs, row + j)), np.float64(element(targets, row_target + j))
                difference = np.float64(element(deltas, row + j))
                set_element(deltas, row + j, delta(difference, output, y, element(parameter, j), weight))

    return fill


@jit
def _losses_of_probabilities(
    loss, parameter, outputs, at, n_rows, n_outputs, width, targets, target, n_targets, row_losses, first_row
):
    """Losses of rows: Lin et al. 2017, arXiv:1708.02002 (focal); NaN for a loss that nobody knows."""
    epsilon = smallest_probability(outputs)
    for i in range(n_rows):
        first, first_target, total = at + i * width, target + i * n_targets, 0.0
        if loss == FOCAL:
            p = _probability(outputs, first + np.int64(element(targets, first_target)), epsilon)
            total = -math.log(p) * (1.0 - p) ** element(parameter, 0)
        elif loss == BINARY_FOCAL:
            for j in range(n_outputs):
                y, gamma = np.float64(element(targets, first_target + j)), element(parameter, j)
                p = _probability(outputs, first + j, epsilon)
                total -= y * math.log(p) * (1.0 - p) ** gamma + (1.0 - y) * math.log(1.0 - p) * p**gamma
        elif loss == ORDERED_LOG_LOSS:
            total = -math.log(_probability(outputs, first + np.int64(element(targets, first_target)), epsilon))
        elif loss == MULTIOUTPUT_LOG_LOSS:
            for j in range(n_outputs):
                y = np.float64(element(targets, first_target + j))
                total -= y * math.log(_probability(outputs, first + j, epsilon))
        else:
            total = np.nan
        set_element(row_losses, first_row + i, total)


@by_pointer(0)
def _custom_losses(
    loss: int,
    parameter: Doubles,
    outputs: Reals,
    at: int,
    n_rows: int,
    n_outputs: int,
    width: int,
    targets: Reals,
    target: int,
    n_targets: int,
    row_losses: Doubles,
    first_row: int,
) -> None:
    """Losses by what a user's loss has become; NaN where that cannot be called."""
    for i in range(n_rows):
        set_element(row_losses, first_row + i, np.nan)


_losses_of_numbers = jit(
    by_code(
        "_losses_of_numbers",
        "parameter, outputs, at, n_rows, n_outputs, width, targets, target, n_targets, row_losses, first_row",
        {record.code: _losses_loop(record) for record in LOSSES.values() if record.value},
        _losses_of_probabilities,
    )
)


@part
def rarer_losses(
    loss: int,
    parameter: Doubles,
    outputs: Reals,
    at: int,
    n_rows: int,
    n_outputs: int,
    width: int,
    targets: Reals,
    target: int,
    n_targets: int,
    row_losses: Doubles,
    first_row: int,
) -> None:
    """Losses of the rows that are neither log-losses nor squared errors, without their weights; arguments as `output_losses`'."""
    if loss > CUSTOM:
        _custom_losses(loss, parameter, outputs, at, n_rows, n_outputs, width, targets, target, n_targets, row_losses, first_row)
    else:
        _losses_of_numbers(
            loss, parameter, outputs, at, n_rows, n_outputs, width, targets, target, n_targets, row_losses, first_row
        )


@jit
def smallest_probability(outputs):
    """The epsilon of the outputs' dtype, which keeps probabilities off 0 and 1."""
    return 1.1920928955078125e-07 if outputs.itemsize == 4 else 2.220446049250313e-16


@jit
def _probability(outputs, at, epsilon):
    """An output in float64, kept off 0 and 1; a NaN stays."""
    p = np.float64(element(outputs, at))
    return epsilon if p < epsilon else (1.0 - epsilon if p > 1.0 - epsilon else p)


_DELTAS = "parameter, outputs, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight"


@jit
def _unknown(loss, parameter, outputs, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight):
    fill_with_nan(deltas, at, at + n_rows * width)


@by_pointer(1)
def _custom_slopes(
    loss: int,
    parameter: Doubles,
    outputs: Reals,
    deltas: Reals,
    at: int,
    n_rows: int,
    n_outputs: int,
    width: int,
    targets: Reals,
    target: int,
    n_targets: int,
    weights: Reals,
    first_weight: int,
) -> None:
    """Slopes likewise."""
    fill_with_nan(deltas, at, at + n_rows * width)


_slopes_of_numbers = jit(
    by_code(
        "_slopes_of_numbers",
        _DELTAS,
        {record.code: _slopes_loop(record) for record in LOSSES.values() if record.slope},
        _unknown,
    )
)


@part
def error_deltas(
    loss: int,
    parameter: Doubles,
    outputs: Reals,
    deltas: Reals,
    at: int,
    n_rows: int,
    n_outputs: int,
    width: int,
    targets: Reals,
    target: int,
    n_targets: int,
    weights: Reals,
    first_weight: int,
) -> None:
    """dE/dŷ, times the weights; NaN for a loss that nobody knows."""
    if loss > CUSTOM:
        _custom_slopes(
            loss, parameter, outputs, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight
        )
    else:
        _slopes_of_numbers(
            loss, parameter, outputs, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight
        )


@part
def scale_deltas(
    loss: int,
    parameter: Doubles,
    outputs: Reals,
    deltas: Reals,
    at: int,
    n_rows: int,
    n_outputs: int,
    width: int,
    targets: Reals,
    target: int,
    n_targets: int,
    weights: Reals,
    first_weight: int,
) -> None:
    """Make of outputs - targets, times the weights, the deltas of a loss that cancels the slope of the outputs otherwise."""
    _deltas_of_numbers(
        loss, parameter, outputs, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight
    )


@jit
def _deltas_of_probabilities(
    loss, parameter, outputs, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight
):
    """Deltas of focal losses."""
    epsilon = smallest_probability(outputs)
    for i in range(n_rows):
        row, row_target = at + i * width, target + i * n_targets
        weight = np.float64(element(weights, first_weight + i)) if weights.size else 1.0
        factor = 1.0
        if loss == FOCAL:
            p = _probability(outputs, row + np.int64(element(targets, row_target)), epsilon)
            factor = _focal_factor(p, element(parameter, 0))
        for j in range(n_outputs):
            output, gamma = np.float64(element(outputs, row + j)), element(parameter, j)
            delta = np.float64(element(deltas, row + j)) * factor
            if loss == BINARY_FOCAL:  # the two classes have factors of their own
                p, y = _probability(outputs, row + j, epsilon), np.float64(element(targets, row_target + j))
                delta = (1.0 - y) * output * _focal_factor(1.0 - p, gamma) - y * (1.0 - output) * _focal_factor(p, gamma)
                delta *= weight
            set_element(deltas, row + j, delta)


_deltas_of_numbers = jit(
    by_code(
        "_deltas_of_numbers",
        _DELTAS,
        {record.code: _loop_of_deltas(record.delta) for record in LOSSES.values() if record.delta},
        _deltas_of_probabilities,
    )
)


@jit
def _focal_factor(p, gamma):
    """(1 - p)**γ - γ·p·(1 - p)**(γ - 1)·ln p for the probability of the true class."""
    return (1.0 - p) ** gamma - gamma * p * (1.0 - p) ** (gamma - 1.0) * math.log(p)
