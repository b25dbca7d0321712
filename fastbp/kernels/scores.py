"""Scores of a validation set, as scikit-learn's accuracy_score and r2_score compute them."""

import math

import numpy as np

from ..names import ACCURACY, R2
from .compiler import jit, part


@jit
def _is_right(outputs, row, n_outputs, targets, row_target, n_targets):
    """Whether the predicted class, or every label of a multilabel row, is the true one."""
    if n_targets < n_outputs:  # one class index per row
        best = 0
        for j in range(1, n_outputs):
            if outputs[row + j] > outputs[row + best]:
                best = j
        return best == np.int64(targets[row_target])
    for j in range(n_outputs):
        if (outputs[row + j] > 0.5) != (targets[row_target + j] > 0.5):
            return False
    return True


@part("float64")
def score(code, outputs, n_outputs, samples):
    """Score of outputs: (n_rows, n_outputs); accuracy, or R² averaged over the outputs (NaN where an output is not finite), or
    NaN for a code that nobody knows."""
    targets, weights, n_rows = samples.targets, samples.weights, samples.table.n_rows
    if code == ACCURACY:
        right, total = 0.0, 0.0
        for i in range(n_rows):
            weight = np.float64(weights[i]) if weights.size else 1.0
            total += weight
            if _is_right(outputs, i * n_outputs, n_outputs, targets, i * samples.n_targets, samples.n_targets):
                right += weight
        return right / total
    if code != R2:
        return np.nan
    mean_score = 0.0
    for j in range(n_outputs):
        total, mean = 0.0, 0.0
        for i in range(n_rows):
            if not math.isfinite(outputs[i * n_outputs + j]):
                return np.nan
            weight = np.float64(weights[i]) if weights.size else 1.0
            total += weight
            mean += weight * targets[i * n_outputs + j]
        mean /= total
        residual, spread = 0.0, 0.0
        for i in range(n_rows):
            weight = np.float64(weights[i]) if weights.size else 1.0
            target = np.float64(targets[i * n_outputs + j])
            residual += weight * (target - outputs[i * n_outputs + j]) ** 2
            spread += weight * (target - mean) ** 2
        if spread != 0.0:
            mean_score += 1.0 - residual / spread
        elif residual == 0.0:  # a constant target: scikit-learn's convention
            mean_score += 1.0
    return mean_score / n_outputs
