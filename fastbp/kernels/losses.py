"""Losses of a block of rows, and the error signal they send back: deltas = dE/dz of the output layer.

For the canonical pairs (squared error and identity, log-loss and softmax or logistic, Poisson deviance and exp) the slope of the
output activation cancels and deltas are outputs - targets (C. M. Bishop, Pattern Recognition and Machine Learning, 2006, sections
5.2 and 4.3.6).
"""

import math

import numpy as np

from .activations import ACTIVATIONS, EXP, LOGISTIC, SOFTMAX, multiply_by_slope
from .jit import jit

SQUARED_ERROR, LOG_LOSS, BINARY_LOG_LOSS, POISSON = range(4)
LOSSES = {"squared_error": SQUARED_ERROR, "log_loss": LOG_LOSS, "binary_log_loss": BINARY_LOG_LOSS, "poisson": POISSON}
# Outputs for which a loss is defined: probabilities for the log-losses, means above zero for the Poisson deviance.
OUTPUTS = {
    SQUARED_ERROR: tuple(code for name, code in ACTIVATIONS.items() if name != "softmax"),
    LOG_LOSS: (SOFTMAX,),
    BINARY_LOG_LOSS: (LOGISTIC,),
    POISSON: (EXP,),
}


@jit
def _clipped(probability, epsilon):
    """The probability kept off 0 and 1, where the logarithm has no value; a NaN stays."""
    if probability < epsilon:
        return epsilon
    if probability > 1.0 - epsilon:
        return 1.0 - epsilon
    return probability


@jit
def row_loss(loss, outputs, first, n_outputs, targets, first_target, epsilon):
    """Loss of one row, in float64; log_loss: the target is the index of the class; epsilon: the dtype's rounding unit."""
    total = 0.0
    if loss == SQUARED_ERROR:
        for j in range(n_outputs):
            error = np.float64(outputs[first + j]) - np.float64(targets[first_target + j])
            total += error * error
        return 0.5 * total / n_outputs
    if loss == LOG_LOSS:
        return -math.log(_clipped(np.float64(outputs[first + np.int64(targets[first_target])]), epsilon))
    if loss == BINARY_LOG_LOSS:
        for j in range(n_outputs):
            probability = _clipped(np.float64(outputs[first + j]), epsilon)
            target = np.float64(targets[first_target + j])
            if target != 0.0:
                total -= target * math.log(probability)
            if target != 1.0:
                total -= (1.0 - target) * math.log(1.0 - probability)
        return total
    for j in range(n_outputs):  # Poisson
        mean, count = np.float64(outputs[first + j]), np.float64(targets[first_target + j])
        total += mean - count
        if count != 0.0:
            total += count * math.log(count / mean)
    return total


@jit
def output_deltas(
    loss, activation, outputs, deltas, at, n_rows, n_outputs, width, targets, target, n_targets, weights, first_weight,
    row_losses, first_row,
):  # fmt: skip
    """Fill deltas: (n_rows, width) of the output layer, from element `at` on as the outputs, and row_losses, times the weights.

    targets: (n_rows, n_targets) from element `target` on; weights: (n_rows,) from first_weight on, or empty.
    """
    epsilon = 1.1920928955078125e-07 if outputs.itemsize == 4 else 2.220446049250313e-16
    for i in range(n_rows):
        row = at + i * width
        weight = np.float64(weights[first_weight + i]) if weights.size else 1.0
        row_losses[first_row + i] = weight * row_loss(loss, outputs, row, n_outputs, targets, target, epsilon)
        if loss == LOG_LOSS:
            for j in range(n_outputs):
                deltas[row + j] = outputs[row + j] * weight
            deltas[row + np.int64(targets[target])] -= weight
        else:
            for j in range(n_outputs):
                deltas[row + j] = (outputs[row + j] - targets[target + j]) * weight
        for j in range(n_outputs, width):
            deltas[row + j] = 0.0
        target += n_targets
    if loss == SQUARED_ERROR:  # for the other losses the slope cancels
        multiply_by_slope(activation, outputs, at, deltas, at, n_rows * width)
