"""Missing targets, NaN among several outputs: losses and deltas that were computed with them are corrected afterwards.

A missing target then counts in no loss and no gradient. Rows without any target never come here: they are left out of the order
(training/problem.py). Plain twin: naive.gradients_by_output.
"""

from ..names import BINARY_LOG_LOSS, GAUSSIAN_NLL, SQUARED_ERROR
from .compiler import jit, part
from .layout import OutputRows
from .losses import clipped, multiply_by_weights, output_losses
from .rare_losses import smallest_probability
from .toolchain.pack import Doubles, Reals
from .vector_functions import log
from .vectors import broadcast, element, lane_count, load_strided, set_element, store_strided, where_equal


@part
def mend_deltas(rows: OutputRows, deltas: Reals) -> None:
    """Set deltas to 0 where the target is missing."""
    for i in range(rows.n_rows):
        for j in range(rows.n_targets):
            y, at = element(rows.targets, rows.first_target + i * rows.n_targets + j), rows.at + i * rows.width + j
            set_element(deltas, at, element(deltas, at) if y == y else 0.0)


@jit
def _fill_with_known(rows, row_losses, first_row):
    """The two most usual losses of all rows, as many at a time as a vector holds, without a branch on what is missing."""
    epsilon, n_lanes = broadcast(row_losses, smallest_probability(rows.outputs)), lane_count(row_losses)
    zero, divisor = broadcast(row_losses, 0.0), broadcast(row_losses, element(rows.parameter, 0))
    for i in range(0, rows.n_rows, n_lanes):
        n, total = min(n_lanes, rows.n_rows - i), zero
        for j in range(rows.n_targets):
            output = load_strided(rows.outputs, rows.at + i * rows.width + j, rows.width, n, row_losses)
            y = load_strided(rows.targets, rows.first_target + i * rows.n_targets + j, rows.n_targets, n, row_losses)
            if rows.loss == SQUARED_ERROR:
                error = output - y
                total = total + where_equal(y, y, error * error, zero)
            else:
                p = clipped(output, epsilon)
                total = total + where_equal(y, y, 0.0 - (y * log(p) + (1.0 - y) * log(1.0 - p)), zero)
        if rows.loss == SQUARED_ERROR:
            total = total * 0.5 / divisor
        store_strided(row_losses, first_row + i, 1, n, total)
    multiply_by_weights(rows, row_losses, first_row)


@part
def mend_losses(rows: OutputRows, row_losses: Doubles, first_row: int) -> bool:
    """Replace the losses of rows with missing targets by those of their other targets; row_losses: as `output_losses`'.

    The parameter must be the same for all outputs. Returns whether there was such a row.
    """
    if rows.loss == SQUARED_ERROR or (rows.loss == BINARY_LOG_LOSS and not element(rows.parameter, 0) > 0.0):
        _fill_with_known(rows, row_losses, first_row)
        return True
    if rows.loss == GAUSSIAN_NLL:  # its loops leave missing targets out themselves
        return False
    is_mended = False
    for i in range(rows.n_rows):
        row, row_target, n_known, total = rows.at + i * rows.width, rows.first_target + i * rows.n_targets, 0, 0.0
        for j in range(rows.n_targets):
            y = element(rows.targets, row_target + j)
            if y == y:
                n_known += 1
        if n_known == rows.n_targets:
            continue
        for j in range(rows.n_targets):
            y = element(rows.targets, row_target + j)
            if y == y:
                one = OutputRows(
                    rows.loss, rows.parameter, rows.outputs, row + j, 1, 1, rows.width, rows.targets, row_target + j, 1,
                    rows.weights, rows.first_weight + i,
                )  # fmt: skip
                output_losses(one, row_losses, first_row + i)
                total += element(row_losses, first_row + i)
        set_element(row_losses, first_row + i, total)
        is_mended = True
    return is_mended
