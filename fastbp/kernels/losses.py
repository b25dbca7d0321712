"""Losses of a block of rows, and the error signal they send back: deltas = dE/dz of the output layer.

For the canonical pairs (squared error and identity, log-loss and softmax or logistic, Poisson deviance and exp) the slope of the
output activation cancels and deltas are outputs - targets (C. M. Bishop, Pattern Recognition and Machine Learning, 2006, sections
5.2 and 4.3.6).
"""

import math

import numpy as np

from .activations import ACTIVATIONS, EXP, IDENTITY, LOGISTIC, SOFTMAX, log, multiply_by_slope
from .compiler import inline, jit
from .vectors import (
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

SQUARED_ERROR, LOG_LOSS, BINARY_LOG_LOSS, POISSON = range(4)
LOSSES = {"squared_error": SQUARED_ERROR, "log_loss": LOG_LOSS, "binary_log_loss": BINARY_LOG_LOSS, "poisson": POISSON}
# Outputs for which a loss is defined: probabilities for the log-losses, means above zero for the Poisson deviance.
OUTPUTS = {
    SQUARED_ERROR: tuple(code for name, code in ACTIVATIONS.items() if name != "softmax"),
    LOG_LOSS: (SOFTMAX,),
    BINARY_LOG_LOSS: (LOGISTIC,),
    POISSON: (EXP,),
}


@inline
def _row_loss(loss, outputs, first, n_outputs, targets, first_target):
    """Squared error or Poisson deviance of one row, in float64."""
    total = 0.0
    if loss == SQUARED_ERROR:
        for j in range(n_outputs):
            error = np.float64(element(outputs, first + j)) - np.float64(element(targets, first_target + j))
            total += error * error
        return 0.5 * total / n_outputs
    for j in range(n_outputs):
        mean, count = np.float64(element(outputs, first + j)), np.float64(element(targets, first_target + j))
        total += mean - count
        if count != 0.0:
            total += count * math.log(count / mean)
    return total


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
def log_losses(loss, outputs, at, n_rows, n_outputs, width, targets, target, n_targets, row_losses, first_row):
    """Log-losses of the rows without their weights, as many at a time as a vector holds; arguments as `output_losses`'."""
    epsilon = broadcast(row_losses, 1.1920928955078125e-07 if outputs.itemsize == 4 else 2.220446049250313e-16)
    n_lanes = lane_count(row_losses)
    if loss == LOG_LOSS:
        for i in range(n_rows):
            label = np.int64(element(targets, target + i * n_targets))
            set_element(row_losses, first_row + i, element(outputs, at + i * width + label))
    for i in range(0, n_rows, n_lanes):
        n = min(n_lanes, n_rows - i)
        if loss == LOG_LOSS:
            total = log(_clipped(_load_column(row_losses, first_row + i, 1, n, row_losses), epsilon))
        else:
            total = broadcast(row_losses, 0.0)
            for j in range(n_outputs):
                probability = _clipped(_load_column(outputs, at + i * width + j, width, n, row_losses), epsilon)
                y = _load_column(targets, target + i * n_targets + j, n_targets, n, row_losses)
                total = total + (y * log(probability) + (1.0 - y) * log(1.0 - probability))
        if n == 1:
            set_element(row_losses, first_row + i, first_lane(0.0 - total))
        else:
            store_strided(row_losses, first_row + i, 1, n, 0.0 - total)


@inline
def early_loss(loss, outputs, first, n_outputs, targets, first_target):
    """The loss of one row, or instead of a log-loss a number that is finite just when it is: the logarithm can wait."""
    if loss == LOG_LOSS:
        return np.float64(element(outputs, first))  # softmax spreads a NaN over the row
    if loss == BINARY_LOG_LOSS:
        total = 0.0
        for j in range(n_outputs):
            total += np.float64(element(outputs, first + j))
        return total
    return _row_loss(loss, outputs, first, n_outputs, targets, first_target)


@inline
def output_losses(
    loss, outputs, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight, row_losses, first_row
):
    """Fill row_losses: (n_rows,) float64 from first_row on, times the weights; the other arguments as `output_deltas`'."""
    if loss == LOG_LOSS or loss == BINARY_LOG_LOSS:
        log_losses(loss, outputs, at, n_rows, n_outputs, width, targets, target, n_targets, row_losses, first_row)
    else:
        for i in range(n_rows):
            row_loss = _row_loss(loss, outputs, at + i * width, n_outputs, targets, target + i * n_targets)
            set_element(row_losses, first_row + i, row_loss)
    if weights.size:
        for i in range(n_rows):
            weight = np.float64(element(weights, first_weight + i))
            set_element(row_losses, first_row + i, weight * element(row_losses, first_row + i))


@inline
def output_deltas(
    loss, activation, outputs, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight
):
    """Fill deltas: (n_rows, width) of the output layer, from element `at` on as the outputs, times the weights.

    targets: (n_rows, n_targets) from element `target` on, for log_loss one class index per row; weights: (n_rows,) from
    first_weight on, or empty. The padding of the deltas is left as it is, zero.
    """
    for i in range(n_rows):
        row, row_target = at + i * width, target + i * n_targets
        weight = np.float64(element(weights, first_weight + i)) if weights.size else 1.0
        if loss == LOG_LOSS:
            lanes, label = lane_numbers(outputs), element(targets, row_target)
            for j in range(0, width, lane_count(outputs)):
                delta = load(outputs, row + j) * weight
                store(deltas, row + j, where_equal(lanes, broadcast(outputs, label - j), delta - weight, delta))
        else:
            for j in range(n_outputs):
                set_element(deltas, row + j, (element(outputs, row + j) - element(targets, row_target + j)) * weight)
    if loss == SQUARED_ERROR and activation != IDENTITY:  # for the other losses the slope cancels
        multiply_by_slope(activation, outputs, at, deltas, at, n_rows * width)
        for row in range(at, at + n_rows * width, width):
            for j in range(n_outputs, width):  # zero times the slope at an output that overflowed is NaN
                set_element(deltas, row + j, 0.0)
