"""Losses of a block of rows, and the error signal they send back: deltas = dE/dz of the output layer.

To add one: an entry in names.py, a branch in `_row_loss` for the loss of a row, and one in `output_deltas` for dE/dŷ.
"""

import math

import numpy as np

from ..names import BINARY_LOG_LOSS, CANCELS, HUBER, LOG_LOSS, POISSON, SQUARED_ERROR
from .activations import fill_with_nan, log, multiply_by_slope
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


@inline
def _row_loss(loss, parameter, outputs, first, n_outputs, targets, first_target):
    """Loss of one row, in float64, other than a log-loss; NaN for a loss that nobody knows."""
    total = 0.0
    if loss == SQUARED_ERROR:
        for j in range(n_outputs):
            error = np.float64(element(outputs, first + j)) - np.float64(element(targets, first_target + j))
            total += error * error
        return 0.5 * total / n_outputs
    if loss == POISSON:
        for j in range(n_outputs):
            mean, count = np.float64(element(outputs, first + j)), np.float64(element(targets, first_target + j))
            total += mean - count
            if count != 0.0:
                total += count * math.log(count / mean)
        return total
    if loss == HUBER:
        for j in range(n_outputs):
            error = abs(np.float64(element(outputs, first + j)) - np.float64(element(targets, first_target + j)))
            total += 0.5 * error * error if error <= parameter else parameter * (error - 0.5 * parameter)
        return total
    return np.nan


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


@inline
def early_loss(loss, parameter, outputs, first, n_outputs, targets, first_target):
    """The loss of one row, or instead of a log-loss a number that is finite just when it is: the logarithm can wait."""
    if loss == LOG_LOSS:
        return np.float64(element(outputs, first))  # softmax spreads a NaN over the row
    if loss == BINARY_LOG_LOSS:
        total = 0.0
        for j in range(n_outputs):
            total += np.float64(element(outputs, first + j))
        return total
    return _row_loss(loss, parameter, outputs, first, n_outputs, targets, first_target)


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
        log_losses(loss, outputs, at, n_rows, n_outputs, width, targets, target, n_targets, row_losses, first_row)
    else:
        for i in range(n_rows):
            row_loss = _row_loss(loss, parameter, outputs, at + i * width, n_outputs, targets, target + i * n_targets)
            set_element(row_losses, first_row + i, row_loss)
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
    Recognition and Machine Learning, 2006, sections 5.2 and 4.3.6). slope, slopes: as in `multiply_by_slope`; targets: (n_rows,
    n_targets) from element `target` on, for log_loss one class index per row; weights: (n_rows,) from first_weight on, or empty.
    The padding of the deltas is left as it is, zero. NaN for a loss that nobody knows.
    """
    for i in range(n_rows):
        row, row_target = at + i * width, target + i * n_targets
        weight = np.float64(element(weights, first_weight + i)) if weights.size else 1.0
        if loss == LOG_LOSS:
            lanes, label = lane_numbers(outputs), element(targets, row_target)
            for j in range(0, width, lane_count(outputs)):
                delta = load(outputs, row + j) * weight
                store(deltas, row + j, where_equal(lanes, broadcast(outputs, label - j), delta - weight, delta))
        elif slope == CANCELS or loss == SQUARED_ERROR:
            for j in range(n_outputs):
                set_element(deltas, row + j, (element(outputs, row + j) - element(targets, row_target + j)) * weight)
        elif loss == HUBER:
            for j in range(n_outputs):
                error = np.float64(element(outputs, row + j)) - np.float64(element(targets, row_target + j))
                set_element(deltas, row + j, max(-parameter, min(parameter, error)) * weight)
        else:
            fill_with_nan(deltas, row, row + width)
    if slope != CANCELS:
        multiply_by_slope(slope, outputs, slopes, deltas, at, n_rows * width)
        for row in range(at, at + n_rows * width, width):
            for j in range(n_outputs, width):  # zero times the slope at an output that overflowed is NaN
                set_element(deltas, row + j, 0.0)
