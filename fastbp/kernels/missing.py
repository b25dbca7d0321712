"""Targets that are missing, NaN among several outputs: what has been computed with them is mended, so that they count in no loss
and no gradient.

Rows without any target never come here: they are left out of the order (training/problem.py). Plain twin:
naive.gradients_by_output.
"""

import numpy as np

from ..names import BINARY_LOG_LOSS, GAUSSIAN_NLL, SQUARED_ERROR
from .compiler import jit, part
from .losses import _clipped, output_losses
from .rare_losses import smallest_probability
from .toolchain.pack import Doubles, Reals
from .vector_functions import log
from .vectors import broadcast, element, lane_count, load_strided, set_element, store_strided, where_equal


@part
def mend_deltas(deltas: Reals, at: int, n_rows: int, width: int, targets: Reals, target: int, n_targets: int) -> None:
    """Deltas, (n_rows, width) from `at` on, become 0 where the target, (n_rows, n_targets) from `target` on, is missing."""
    for i in range(n_rows):
        for j in range(n_targets):
            y, delta = element(targets, target + i * n_targets + j), element(deltas, at + i * width + j)
            set_element(deltas, at + i * width + j, delta if y == y else 0.0)


@jit
def _fill_with_known(
    loss, parameter, outputs, at, n_rows, width, targets, target, n_targets, weights, first_weight, row_losses, first_row
):
    """The two most usual losses of all rows, as many at a time as a vector holds, without a branch on what is missing."""
    epsilon, n_lanes = broadcast(row_losses, smallest_probability(outputs)), lane_count(row_losses)
    zero, divisor = broadcast(row_losses, 0.0), broadcast(row_losses, element(parameter, 0))
    for i in range(0, n_rows, n_lanes):
        n, total = min(n_lanes, n_rows - i), zero
        for j in range(n_targets):
            output = load_strided(outputs, at + i * width + j, width, n, row_losses)
            y = load_strided(targets, target + i * n_targets + j, n_targets, n, row_losses)
            if loss == SQUARED_ERROR:
                error = output - y
                total = total + where_equal(y, y, error * error, zero)
            else:
                p = _clipped(output, epsilon)
                total = total + where_equal(y, y, 0.0 - (y * log(p) + (1.0 - y) * log(1.0 - p)), zero)
        if loss == SQUARED_ERROR:
            total = total * 0.5 / divisor
        store_strided(row_losses, first_row + i, 1, n, total)
    if weights.size:
        for i in range(n_rows):
            weight = np.float64(element(weights, first_weight + i))
            set_element(row_losses, first_row + i, weight * element(row_losses, first_row + i))


@part
def mend_losses(
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
    weights: Reals,
    first_weight: int,
    row_losses: Doubles,
    first_row: int,
) -> bool:
    """Losses of rows with missing targets become those of their other targets; arguments as those of `output_losses`, but that
    the parameter is the same for all outputs. Returns whether there was such a row."""
    if loss == SQUARED_ERROR or (loss == BINARY_LOG_LOSS and not element(parameter, 0) > 0.0):
        _fill_with_known(
            loss, parameter, outputs, at, n_rows, width, targets, target, n_targets, weights, first_weight, row_losses, first_row
        )
        return True
    if loss == GAUSSIAN_NLL:  # whose targets have two outputs each: it has left them out itself
        return False
    is_mended = False
    for i in range(n_rows):
        row, row_target, n_known, total = at + i * width, target + i * n_targets, 0, 0.0
        for j in range(n_targets):
            y = element(targets, row_target + j)
            if y == y:
                n_known += 1
        if n_known == n_targets:
            continue
        for j in range(n_targets):
            y = element(targets, row_target + j)
            if y == y:
                output_losses(
                    loss, parameter, outputs, row + j, 1, 1, width, targets, row_target + j, 1, weights, first_weight + i,
                    row_losses, first_row + i,
                )  # fmt: skip
                total += element(row_losses, first_row + i)
        set_element(row_losses, first_row + i, total)
        is_mended = True
    return is_mended
