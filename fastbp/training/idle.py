"""Units that no longer learn, because their activation is flat for every row."""

from typing import Any

import numpy as np

from fastbp.names import ACTIVATIONS
from fastbp.training.predict import activation_names, layer_activations
from fastbp.training.problem import Problem

MOST_ROWS = 1000  # that are checked


def idle_units(network: Any, params: np.ndarray, X: np.ndarray) -> list[tuple[int, int]]:
    """Return, per hidden layer, the number of dead units (0 for every row of X) and of saturated units, the others whose slope is
    below a hundredth of the largest for every row. X: (n_samples, n_features)."""
    flat = {activation.code: activation.flat for activation in ACTIVATIONS.values()}
    found = []
    for code, outputs in zip(network.activations[:-1], layer_activations(network, params, X)):
        is_flat = np.zeros(outputs.shape, dtype=bool)
        for low, high in flat[code]:
            is_flat |= (low <= outputs) & (outputs <= high)
        is_idle, is_zero = is_flat.all(axis=0), (outputs == 0).all(axis=0)
        found.append((int((is_idle & is_zero).sum()), int((is_idle & ~is_zero).sum())))
    return found


def complaint_of_idle_units(network: Any, params: np.ndarray, problem: Problem) -> str:
    """Return a warning of idle units after training, "" if there are none; it checks at most MOST_ROWS rows, spread evenly."""
    row_indices = np.arange(problem.n_rows) if problem.row_indices is None else problem.row_indices
    row_indices = row_indices[:: -(-len(row_indices) // MOST_ROWS)]
    X = problem.X[row_indices]
    X = np.ascontiguousarray(X.toarray() if problem.is_sparse else X)
    names, parts = activation_names(network), []
    for layer, counts in enumerate(idle_units(network, params, X), start=1):
        for n_units, what in zip(counts, ("dead (0", "saturated (with next to no slope")):
            if n_units:
                of = f"hidden layer {layer} ({names[layer - 1]})"
                parts.append(f"{n_units} of {network.units[layer]} units of {of} are {what} for all of {len(X)} rows)")
    if not parts:
        return ""
    return "; ".join(parts) + ". A smaller learning_rate_init, another init or clip_norm may keep them learning."
