"""Losses of a block of rows, and the error signal they send back: deltas = dE/dz of the output layer.

Losses of numbers are functions of one output and its target in functions/losses.py; from each record comes a loop over rows here,
and from all of them the branches that choose by code. The squared error and the losses of probabilities are written out.
"""

import math

import numpy as np

from ..functions.losses import LOSSES
from ..names import (
    BINARY_FOCAL,
    BINARY_LOG_LOSS,
    CANCELS,
    FOCAL,
    LOG_LOSS,
    MULTIOUTPUT_LOG_LOSS,
    ORDERED_LOG_LOSS,
    SQUARED_ERROR,
)
from .activations import fill_with_nan, multiply_by_slope
from .compiler import by_code, by_pointer, inline, jit, part
from .ordered import ordered_deltas
from .toolchain.pack import Doubles, Reals
from .vector_functions import log
from .vectors import (
    at_least_1,
    broadcast,
    element,
    first_lane,
    lane_count,
    lane_numbers,
    load,
    load_strided,
    set_element,
    store,
    store_strided,
    where_equal,
    where_less,
)


@inline
def _squared_error(outputs, first, n_outputs, targets, first_target):
    """Squared error of one row, in float64: half the mean over its outputs."""
    total = 0.0
    for j in range(n_outputs):
        error = np.float64(element(outputs, first + j)) - np.float64(element(targets, first_target + j))
        total += error * error
    return 0.5 * total / n_outputs


# Losses whose own deltas stand in place of outputs - targets, or are a multiple of them.
_HAS_DELTAS = sum(1 << record.code for record in LOSSES.values() if record.delta) | 1 << FOCAL | 1 << BINARY_FOCAL
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
    epsilon = _smallest_probability(outputs)
    for i in range(n_rows):
        first, first_target, total = at + i * width, target + i * n_targets, 0.0
        if loss == FOCAL:
            p = _probability(outputs, first + np.int64(element(targets, first_target)), epsilon)
            total = -math.log(p) * (1.0 - p) ** element(parameter, 0)
        elif loss == BINARY_FOCAL:
            for j in range(n_outputs):
                y, shape = np.float64(element(targets, first_target + j)), element(parameter, j)
                p = _probability(outputs, first + j, epsilon)
                total -= y * math.log(p) * (1.0 - p) ** shape + (1.0 - y) * math.log(1.0 - p) * p**shape
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
        {record.code: loop_of_losses(record.value) for record in LOSSES.values() if record.value},
        _losses_of_probabilities,
    )
)


@part
def _rarer_losses(
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
def _smallest_probability(outputs):
    """The epsilon of the outputs' dtype, which keeps probabilities off 0 and 1."""
    return 1.1920928955078125e-07 if outputs.itemsize == 4 else 2.220446049250313e-16


@jit
def _probability(outputs, at, epsilon):
    """An output in float64, kept off 0 and 1; a NaN stays."""
    p = np.float64(element(outputs, at))
    return epsilon if p < epsilon else (1.0 - epsilon if p > 1.0 - epsilon else p)


@jit
def _clipped(probability, epsilon):
    """Probabilities kept off 0 and 1, where the logarithm has no value; a NaN stays."""
    probability = where_less(probability, epsilon, epsilon, probability)
    return where_less(1.0 - epsilon, probability, 1.0 - epsilon, probability)


@inline
def _load_column(array, start, stride, n, like):
    """`load_strided`, with a short cut for the per-sample loop."""
    return broadcast(like, element(array, start)) if n == 1 else load_strided(array, start, stride, n, like)


@inline
def log_losses(loss, parameter, outputs, at, n_rows, n_outputs, width, targets, target, n_targets, row_losses, first_row):
    """Log-losses of the rows without their weights, as many at a time as a vector holds; arguments as `output_losses`'."""
    if element(parameter, 0) > 0.0:
        _smooth_log_losses(
            loss, parameter, outputs, at, n_rows, n_outputs, width, targets, target, n_targets, row_losses, first_row
        )
        return
    epsilon = broadcast(row_losses, _smallest_probability(outputs))
    n_lanes = lane_count(row_losses)
    if loss == LOG_LOSS:
        for i in range(n_rows):
            label = np.int64(element(targets, target + i * n_targets))
            set_element(row_losses, first_row + i, element(outputs, at + i * width + label))
    for i in range(0, n_rows, n_lanes):
        n = min(n_lanes, n_rows - i)
        if loss == LOG_LOSS:
            total = log(_clipped(_load_column(row_losses, first_row + i, 1, n, row_losses), epsilon))
        elif loss == BINARY_LOG_LOSS:
            total = broadcast(row_losses, 0.0)
            for j in range(n_outputs):
                probability = _clipped(_load_column(outputs, at + i * width + j, width, n, row_losses), epsilon)
                y = _load_column(targets, target + i * n_targets + j, n_targets, n, row_losses)
                total = total + (y * log(probability) + (1.0 - y) * log(1.0 - probability))
        else:
            total = broadcast(row_losses, np.nan)
        if n == 1:
            set_element(row_losses, first_row + i, first_lane(0.0 - total))
        else:
            store_strided(row_losses, first_row + i, 1, n, 0.0 - total)


@part
def _smooth_log_losses(
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
    """The same with targets that give a part of their certainty, parameter[0], to all classes alike (Szegedy et al. 2016)."""
    epsilon, n_lanes = broadcast(row_losses, _smallest_probability(outputs)), lane_count(row_losses)
    smoothing = element(parameter, 0)
    certain, share = 1.0 - smoothing, smoothing / n_outputs if loss == LOG_LOSS else 0.5 * smoothing
    for i in range(0, n_rows, n_lanes):
        n = min(n_lanes, n_rows - i)
        total = broadcast(row_losses, 0.0)
        for j in range(n_outputs):
            p = _clipped(load_strided(outputs, at + i * width + j, width, n, row_losses), epsilon)
            if loss == LOG_LOSS:
                label = load_strided(targets, target + i * n_targets, n_targets, n, row_losses)
                zero = broadcast(row_losses, 0.0)
                y = where_equal(label, zero + j, zero + (certain + share), zero + share)
                total = total + y * log(p)
            elif loss == BINARY_LOG_LOSS:
                y = load_strided(targets, target + i * n_targets + j, n_targets, n, row_losses) * certain + share
                total = total + (y * log(p) + (1.0 - y) * log(1.0 - p))
            else:
                total = broadcast(row_losses, np.nan)
        store_strided(row_losses, first_row + i, 1, n, 0.0 - total)


@inline
def early_loss(loss, parameter, outputs, first, n_outputs, width, targets, first_target, n_targets, row_losses):
    """The loss of one row, or instead of a log-loss a number that is finite just when it is: the logarithm can wait.

    row_losses: (1,) or more, to write in.
    """
    if loss == LOG_LOSS:
        return np.float64(element(outputs, first))  # softmax spreads a NaN over the row
    if loss == BINARY_LOG_LOSS:
        total = 0.0
        for j in range(n_outputs):
            total += np.float64(element(outputs, first + j))
        return total
    if loss == SQUARED_ERROR:
        return _squared_error(outputs, first, n_outputs, targets, first_target)
    _rarer_losses(loss, parameter, outputs, first, 1, n_outputs, width, targets, first_target, n_targets, row_losses, 0)
    return element(row_losses, 0)


@inline
def output_losses(
    loss,
    parameter,
    outputs,
    at,
    n_rows,
    n_outputs,
    width,
    targets,
    target,
    n_targets,
    weights,
    first_weight,
    row_losses,
    first_row,
):
    """Fill row_losses: (n_rows,) float64 from first_row on, times the weights; the other arguments as `output_deltas`'."""
    if loss == LOG_LOSS or loss == BINARY_LOG_LOSS:
        log_losses(loss, parameter, outputs, at, n_rows, n_outputs, width, targets, target, n_targets, row_losses, first_row)
    elif loss == SQUARED_ERROR:
        for i in range(n_rows):
            row_loss = _squared_error(outputs, at + i * width, n_outputs, targets, target + i * n_targets)
            set_element(row_losses, first_row + i, row_loss)
    else:
        _rarer_losses(loss, parameter, outputs, at, n_rows, n_outputs, width, targets, target, n_targets, row_losses, first_row)
    if weights.size:
        for i in range(n_rows):
            weight = np.float64(element(weights, first_weight + i))
            set_element(row_losses, first_row + i, weight * element(row_losses, first_row + i))


@inline
def output_deltas(
    loss, parameter, slope, outputs, slopes, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights,
    first_weight
):  # fmt: skip
    """Fill deltas: (n_rows, width) of the output layer, from element `at` on as the outputs, times the weights.

    That is dE/dŷ times the slope of the output activation, or outputs - targets where its code is CANCELS (C. M. Bishop, Pattern
    Recognition and Machine Learning, 2006, sections 5.2 and 4.3.6), for some losses times a factor. parameter: (n_outputs,), what
    shapes the loss; slope, slopes: as in `multiply_by_slope`; targets: (n_rows, n_targets) from element `target` on, class
    indices, one per row, for log_loss and focal; weights: (n_rows,) from first_weight on, or empty. The padding of the deltas is
    left as it is, zero. NaN for a loss that nobody knows.
    """
    if loss == LOG_LOSS or loss == FOCAL:
        for i in range(n_rows):
            row, label = at + i * width, element(targets, target + i * n_targets)
            weight = np.float64(element(weights, first_weight + i)) if weights.size else 1.0
            lanes = lane_numbers(outputs)
            for j in range(0, width, lane_count(outputs)):
                delta = load(outputs, row + j) * weight
                store(deltas, row + j, where_equal(lanes, broadcast(outputs, label - j), delta - weight, delta))
    elif loss == ORDERED_LOG_LOSS:
        ordered_deltas(outputs, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight)
    elif slope == CANCELS or loss == SQUARED_ERROR:
        for i in range(n_rows):
            row, row_target = at + i * width, target + i * n_targets
            weight = np.float64(element(weights, first_weight + i)) if weights.size else 1.0
            for j in range(n_outputs):
                set_element(deltas, row + j, (element(outputs, row + j) - element(targets, row_target + j)) * weight)
    else:
        _error_deltas(
            loss, parameter, outputs, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight
        )
    if (_HAS_DELTAS >> min(loss, 63)) & 1:
        _scale_deltas(
            loss, parameter, outputs, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight
        )
    elif (loss == LOG_LOSS or loss == BINARY_LOG_LOSS) and element(parameter, 0) > 0.0:
        _smooth_deltas(loss, parameter, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight)
    if slope != CANCELS:
        multiply_by_slope(slope, outputs, slopes, deltas, at, n_rows * width)
        for row in range(at, at + n_rows * width, at_least_1(width)):
            for j in range(n_outputs, width):  # zero times the slope at an output that overflowed is NaN
                set_element(deltas, row + j, 0.0)


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
        {record.code: loop_of_slopes(record.slope) for record in LOSSES.values() if record.slope},
        _unknown,
    )
)


@part
def _error_deltas(
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
def _scale_deltas(
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
    """The same for focal losses."""
    epsilon = _smallest_probability(outputs)
    for i in range(n_rows):
        row, row_target = at + i * width, target + i * n_targets
        weight = np.float64(element(weights, first_weight + i)) if weights.size else 1.0
        factor = 1.0
        if loss == FOCAL:
            p = _probability(outputs, row + np.int64(element(targets, row_target)), epsilon)
            factor = _focal_factor(p, element(parameter, 0))
        for j in range(n_outputs):
            output, shape = np.float64(element(outputs, row + j)), element(parameter, j)
            delta = np.float64(element(deltas, row + j)) * factor
            if loss == BINARY_FOCAL:  # the two classes have factors of their own
                p, y = _probability(outputs, row + j, epsilon), np.float64(element(targets, row_target + j))
                delta = (1.0 - y) * output * _focal_factor(1.0 - p, shape) - y * (1.0 - output) * _focal_factor(p, shape)
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


@part
def _smooth_deltas(
    loss: int,
    parameter: Doubles,
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
    """Move the targets in outputs - targets by a part, parameter[0], of their way to the same for all classes."""
    smoothing = element(parameter, 0)
    for i in range(n_rows):
        row, row_target = at + i * width, target + i * n_targets
        move = smoothing * (np.float64(element(weights, first_weight + i)) if weights.size else 1.0)
        if loss == LOG_LOSS:
            for j in range(n_outputs):
                set_element(deltas, row + j, element(deltas, row + j) - move / n_outputs)
            label = row + np.int64(element(targets, row_target))
            set_element(deltas, label, element(deltas, label) + move)
        elif loss == BINARY_LOG_LOSS:
            for j in range(n_outputs):
                set_element(deltas, row + j, element(deltas, row + j) + move * (element(targets, row_target + j) - 0.5))
