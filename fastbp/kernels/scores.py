"""Scores of a validation set, as scikit-learn's accuracy_score and r2_score compute them, and its mean loss."""

import math

import numpy as np

from ..names import ACCURACY, R2
from .compiler import jit, part
from .layout import Network, OutputRows, Samples
from .losses import output_losses
from .missing import mend_losses
from .passes import sum_rows
from .toolchain.pack import Doubles, Integers, Reals
from .vectors import at_least_1


@jit
def _largest_of(values, first, stop):
    """Index of the first largest of elements `first` to stop."""
    best = first
    for j in range(first + 1, stop):
        if values[j] > values[best]:
            best = j
    return best


@jit
def _is_right(outputs, row, n_outputs, targets, row_target, n_targets, groups):
    """Whether the predicted class (of each group of outputs) or all labels of a row are right; missing targets are ignored."""
    if n_targets < n_outputs:  # one class index per row
        return _largest_of(outputs, row, row + n_outputs) - row == np.int64(targets[row_target])
    if groups.size > 2:
        for group in range(groups.size - 1):
            first, stop = groups[group], groups[group + 1]
            best, y = _largest_of(outputs, row + first, row + stop) - row, targets[row_target + first]
            if y == y and best != _largest_of(targets, row_target + first, row_target + stop) - row_target:
                return False
        return True
    for j in range(n_outputs):
        y = targets[row_target + j]
        if y == y and (outputs[row + j] > 0.5) != (y > 0.5):
            return False
    return True


@part
def score(code: int, outputs: Reals, n_outputs: int, samples: Samples, groups: Integers) -> float:
    """Score of outputs: (n_rows, n_outputs), in groups as in `Network`: accuracy, or the mean R² of the first n_targets outputs,
    without those that have no targets; NaN if an output is not finite, or for an unknown code."""
    targets, weights, n_rows, n_targets = samples.targets, samples.weights, samples.table.n_rows, samples.n_targets
    if code == ACCURACY:
        right, total = 0.0, 0.0
        for i in range(n_rows):
            weight = np.float64(weights[i]) if weights.size else 1.0
            total += weight
            if _is_right(outputs, i * n_outputs, n_outputs, targets, i * n_targets, n_targets, groups):
                right += weight
        return right / total
    if code != R2:
        return np.nan
    mean_score, n_known = 0.0, 0
    for j in range(n_targets):
        total, mean = 0.0, 0.0
        for i in range(n_rows):
            if not math.isfinite(outputs[i * n_outputs + j]):
                return np.nan
            weight, y = np.float64(weights[i]) if weights.size else 1.0, targets[i * n_targets + j]
            if y == y:
                total += weight
                mean += weight * y
        if total == 0.0:
            continue
        n_known += 1
        mean /= total
        residual, spread = 0.0, 0.0
        for i in range(n_rows):
            weight = np.float64(weights[i]) if weights.size else 1.0
            target = np.float64(targets[i * n_targets + j])
            if target == target:
                residual += weight * (target - outputs[i * n_outputs + j]) ** 2
                spread += weight * (target - mean) ** 2
        if spread != 0.0:
            mean_score += 1.0 - residual / spread
        elif residual == 0.0:  # a constant target: scikit-learn's convention
            mean_score += 1.0
    return mean_score / n_known


@part
def mean_loss(network: Network, outputs: Reals, samples: Samples, row_losses: Doubles) -> float:
    """Mean loss of rows with these outputs, (n_rows, n_outputs), without penalty; row_losses: room for some of them at a time."""
    n_rows, n_outputs, n_targets = samples.table.n_rows, network.units[-1], samples.n_targets
    loss_sum, weight_sum = 0.0, 0.0
    for row in range(0, n_rows, at_least_1(row_losses.size)):
        n = min(row_losses.size, n_rows - row)
        rows = OutputRows(
            network.loss, network.loss_parameter, outputs, row * n_outputs, n, n_outputs, n_outputs, samples.targets,
            row * n_targets, n_targets, samples.weights, row,
        )  # fmt: skip
        output_losses(rows, row_losses, 0)
        if samples.has_missing:
            mend_losses(rows, row_losses, 0)
        sums = sum_rows(row_losses, 0, n, samples.weights, row)
        loss_sum += sums[0]
        weight_sum += sums[1]
    return loss_sum / weight_sum
