"""Losses of a block of rows, and the error signal they send back: deltas = dE/dz of the output layer.

The squared error and the log-losses are here; rare_losses.py has the others.
"""

import numpy as np

from ..names import (
    BINARY_LOG_LOSS,
    CANCELS,
    FOCAL,
    LOG_LOSS,
    ORDERED_LOG_LOSS,
    SQUARED_ERROR,
)
from .activations import multiply_by_slope
from .compiler import inline, jit, part
from .ordered import ordered_deltas
from .rare_losses import HAS_DELTAS, error_deltas, rarer_losses, scale_deltas, smallest_probability
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
def _squared_error(parameter, outputs, first, n_outputs, targets, first_target):
    """Squared error of one row, in float64: half the sum over its outputs, divided by the parameter, which is their number."""
    total = 0.0
    for j in range(n_outputs):
        error = np.float64(element(outputs, first + j)) - np.float64(element(targets, first_target + j))
        total += error * error
    return 0.5 * total / element(parameter, 0)


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
    epsilon = broadcast(row_losses, smallest_probability(outputs))
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
    """Log-losses of targets that give a part of their certainty, parameter[0], to all classes alike (Szegedy et al. 2016)."""
    epsilon, n_lanes = broadcast(row_losses, smallest_probability(outputs)), lane_count(row_losses)
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
        return _squared_error(parameter, outputs, first, n_outputs, targets, first_target)
    rarer_losses(loss, parameter, outputs, first, 1, n_outputs, width, targets, first_target, n_targets, row_losses, 0)
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
            row_loss = _squared_error(parameter, outputs, at + i * width, n_outputs, targets, target + i * n_targets)
            set_element(row_losses, first_row + i, row_loss)
    else:
        rarer_losses(loss, parameter, outputs, at, n_rows, n_outputs, width, targets, target, n_targets, row_losses, first_row)
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
        error_deltas(
            loss, parameter, outputs, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight
        )
    if (HAS_DELTAS >> min(loss, 63)) & 1:
        scale_deltas(
            loss, parameter, outputs, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight
        )
    elif (loss == LOG_LOSS or loss == BINARY_LOG_LOSS) and element(parameter, 0) > 0.0:
        _smooth_deltas(loss, parameter, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight)
    if slope != CANCELS:
        multiply_by_slope(slope, outputs, slopes, deltas, at, n_rows * width)
        for row in range(at, at + n_rows * width, at_least_1(width)):
            for j in range(n_outputs, width):  # zero times the slope at an output that overflowed is NaN
                set_element(deltas, row + j, 0.0)


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
