"""Losses of a block of rows, and their error signals: deltas = dE/dz of the output layer.

The squared error and the log-losses are here, the others in rare_losses.py.
"""

import numpy as np

from ..names import BINARY_LOG_LOSS, CANCELS, FOCAL, LOG_LOSS, ORDERED_LOG_LOSS, SQUARED_ERROR
from .activations import multiply_by_slope
from .compiler import inline, jit, part
from .layout import OutputRows, weight_of
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
def _squared_error(rows, i):
    """Squared error of row i in float64: half the sum over its outputs, divided by the parameter, which is their number."""
    row, row_target, total = rows.at + i * rows.width, rows.first_target + i * rows.n_targets, 0.0
    for j in range(rows.n_outputs):
        error = np.float64(element(rows.outputs, row + j)) - np.float64(element(rows.targets, row_target + j))
        total += error * error
    return 0.5 * total / element(rows.parameter, 0)


@jit
def clipped(probability, epsilon):
    """Keep probabilities off 0 and 1, where the logarithm has no value; a NaN stays."""
    probability = where_less(probability, epsilon, epsilon, probability)
    return where_less(1.0 - epsilon, probability, 1.0 - epsilon, probability)


@inline
def _load_column(array, start, stride, n, like):
    """`load_strided`, with a short cut for the per-sample loop."""
    return broadcast(like, element(array, start)) if n == 1 else load_strided(array, start, stride, n, like)


@inline
def log_losses(rows, row_losses, first_row):
    """Log-losses of the rows without their weights, as many at a time as a vector holds; row_losses: as `output_losses`'."""
    if element(rows.parameter, 0) > 0.0:
        _smooth_log_losses(rows, row_losses, first_row)
        return
    epsilon = broadcast(row_losses, smallest_probability(rows.outputs))
    n_lanes, width, n_targets = lane_count(row_losses), rows.width, rows.n_targets
    if rows.loss == LOG_LOSS:
        for i in range(rows.n_rows):
            label = np.int64(element(rows.targets, rows.first_target + i * n_targets))
            set_element(row_losses, first_row + i, element(rows.outputs, rows.at + i * width + label))
    for i in range(0, rows.n_rows, n_lanes):
        n = min(n_lanes, rows.n_rows - i)
        if rows.loss == LOG_LOSS:
            total = log(clipped(_load_column(row_losses, first_row + i, 1, n, row_losses), epsilon))
        elif rows.loss == BINARY_LOG_LOSS:
            total = broadcast(row_losses, 0.0)
            for j in range(rows.n_outputs):
                probability = clipped(_load_column(rows.outputs, rows.at + i * width + j, width, n, row_losses), epsilon)
                y = _load_column(rows.targets, rows.first_target + i * n_targets + j, n_targets, n, row_losses)
                total = total + (y * log(probability) + (1.0 - y) * log(1.0 - probability))
        else:
            total = broadcast(row_losses, np.nan)
        if n == 1:
            set_element(row_losses, first_row + i, first_lane(0.0 - total))
        else:
            store_strided(row_losses, first_row + i, 1, n, 0.0 - total)


@part
def _smooth_log_losses(rows: OutputRows, row_losses: Doubles, first_row: int) -> None:
    """Log-losses with label smoothing: a target gives the fraction parameter[0] of its weight to all classes alike (Szegedy et
    al. 2016)."""
    epsilon, n_lanes = broadcast(row_losses, smallest_probability(rows.outputs)), lane_count(row_losses)
    smoothing, n_outputs = element(rows.parameter, 0), rows.n_outputs
    certain, share = 1.0 - smoothing, smoothing / n_outputs if rows.loss == LOG_LOSS else 0.5 * smoothing
    for i in range(0, rows.n_rows, n_lanes):
        n, target = min(n_lanes, rows.n_rows - i), rows.first_target + i * rows.n_targets
        total = broadcast(row_losses, 0.0)
        for j in range(n_outputs):
            p = clipped(load_strided(rows.outputs, rows.at + i * rows.width + j, rows.width, n, row_losses), epsilon)
            if rows.loss == LOG_LOSS:
                label = load_strided(rows.targets, target, rows.n_targets, n, row_losses)
                zero = broadcast(row_losses, 0.0)
                y = where_equal(label, zero + j, zero + (certain + share), zero + share)
                total = total + y * log(p)
            elif rows.loss == BINARY_LOG_LOSS:
                y = load_strided(rows.targets, target + j, rows.n_targets, n, row_losses) * certain + share
                total = total + (y * log(p) + (1.0 - y) * log(1.0 - p))
            else:
                total = broadcast(row_losses, np.nan)
        store_strided(row_losses, first_row + i, 1, n, 0.0 - total)


@inline
def early_loss(rows, row_losses):
    """The loss of the first row, or instead of a log-loss a number that is finite exactly if the loss is: the logarithm can wait.

    row_losses: (1,) or more, to write in.
    """
    if rows.loss == LOG_LOSS:
        return np.float64(element(rows.outputs, rows.at))  # softmax spreads a NaN over the row
    if rows.loss == BINARY_LOG_LOSS:
        total = 0.0
        for j in range(rows.n_outputs):
            total += np.float64(element(rows.outputs, rows.at + j))
        return total
    if rows.loss == SQUARED_ERROR:
        return _squared_error(rows, 0)
    rarer_losses(rows.loss, rows, row_losses, 0)
    return element(row_losses, 0)


@inline
def output_losses(rows, row_losses, first_row):
    """Write the losses of the rows, times their weights, to row_losses: (n_rows,) float64 from first_row on."""
    if rows.loss == LOG_LOSS or rows.loss == BINARY_LOG_LOSS:
        log_losses(rows, row_losses, first_row)
    elif rows.loss == SQUARED_ERROR:
        for i in range(rows.n_rows):
            set_element(row_losses, first_row + i, _squared_error(rows, i))
    else:
        rarer_losses(rows.loss, rows, row_losses, first_row)
    multiply_by_weights(rows, row_losses, first_row)


@jit
def multiply_by_weights(rows, row_losses, first_row):
    """Multiply the losses from first_row on by the weights of the rows, if there are any."""
    if rows.weights.size:
        for i in range(rows.n_rows):
            set_element(row_losses, first_row + i, weight_of(rows, i) * element(row_losses, first_row + i))


@inline
def output_deltas(rows, slope, slopes, deltas):
    """Fill deltas: (n_rows, width) of the output layer, from the same element on as the outputs, times the weights.

    That is dE/dŷ times the slope of the output activation, or outputs - targets where its code is CANCELS (C. M. Bishop, Pattern
    Recognition and Machine Learning, 2006, sections 5.2 and 4.3.6), for some losses times a factor. slope, slopes: as in
    `multiply_by_slope`. The padding of the deltas stays zero. NaN for an unknown loss.
    """
    loss, outputs, at, n_outputs, width = rows.loss, rows.outputs, rows.at, rows.n_outputs, rows.width
    if loss == LOG_LOSS or loss == FOCAL:
        for i in range(rows.n_rows):
            row, label = at + i * width, element(rows.targets, rows.first_target + i * rows.n_targets)
            weight, lanes = weight_of(rows, i), lane_numbers(outputs)
            for j in range(0, width, lane_count(outputs)):
                delta = load(outputs, row + j) * weight
                store(deltas, row + j, where_equal(lanes, broadcast(outputs, label - j), delta - weight, delta))
    elif loss == ORDERED_LOG_LOSS:
        ordered_deltas(rows, deltas)
    elif slope == CANCELS or loss == SQUARED_ERROR:
        for i in range(rows.n_rows):
            row, row_target, weight = at + i * width, rows.first_target + i * rows.n_targets, weight_of(rows, i)
            for j in range(n_outputs):
                set_element(deltas, row + j, (element(outputs, row + j) - element(rows.targets, row_target + j)) * weight)
    else:
        error_deltas(loss, rows, deltas)
    if (HAS_DELTAS >> min(loss, 63)) & 1:
        scale_deltas(loss, rows, deltas)
    elif (loss == LOG_LOSS or loss == BINARY_LOG_LOSS) and element(rows.parameter, 0) > 0.0:
        _smooth_deltas(rows, deltas)
    if slope != CANCELS:
        multiply_by_slope(slope, outputs, slopes, deltas, at, rows.n_rows * width)
        for row in range(at, at + rows.n_rows * width, at_least_1(width)):
            for j in range(n_outputs, width):  # zero times the slope at an output that overflowed is NaN
                set_element(deltas, row + j, 0.0)


@part
def _smooth_deltas(rows: OutputRows, deltas: Reals) -> None:
    """Label smoothing: move the targets in outputs - targets by the fraction parameter[0] towards equal shares of all classes."""
    for i in range(rows.n_rows):
        row, row_target = rows.at + i * rows.width, rows.first_target + i * rows.n_targets
        move = element(rows.parameter, 0) * weight_of(rows, i)
        if rows.loss == LOG_LOSS:
            for j in range(rows.n_outputs):
                set_element(deltas, row + j, element(deltas, row + j) - move / rows.n_outputs)
            label = row + np.int64(element(rows.targets, row_target))
            set_element(deltas, label, element(deltas, label) + move)
        elif rows.loss == BINARY_LOG_LOSS:
            for j in range(rows.n_outputs):
                set_element(deltas, row + j, element(deltas, row + j) + move * (element(rows.targets, row_target + j) - 0.5))
