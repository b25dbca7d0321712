"""Targets that are missing, NaN among several outputs: what has been computed with them is mended, so that they count in no loss
and no gradient.

Rows without any target never come here: they are left out of the order (training/problem.py). Plain twin:
naive.gradients_by_output.
"""

from .compiler import part
from .losses import output_losses
from .toolchain.pack import Doubles, Reals
from .vectors import element, set_element


@part
def mend_deltas(deltas: Reals, at: int, n_rows: int, width: int, targets: Reals, target: int, n_targets: int) -> None:
    """Deltas, (n_rows, width) from `at` on, become 0 where the target, (n_rows, n_targets) from `target` on, is missing."""
    for i in range(n_rows):
        for j in range(n_targets):
            y = element(targets, target + i * n_targets + j)
            if y != y:
                set_element(deltas, at + i * width + j, 0.0)


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
