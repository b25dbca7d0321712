"""Compiling every kernel before it is needed."""

import numpy as np

from fastbp.estimators.regressor import BPRegressor

WIDE = 1100  # features of a table that is trained on in the span of its rows


def warm_up() -> int:
    """Compile every kernel for float32 and float64, or load it from the cache.

    A first fit then waits for nothing. It belongs in the recipe of a container image and before work on a cluster's machines.

    Returns
    -------
    n_kernels : int
        Number of compiled entry points.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.warm_up() > 0
    True
    """
    from fastbp.kernels import epochs, explain, jacobian, lbfgs, objective, triangular
    from fastbp.training.explain import input_gradients
    from fastbp.training.network import make_network, pack_parameters
    from fastbp.training.objective import gradients_at
    from fastbp.training.problem import Problem

    for dtype in (np.float32, np.float64):
        X, y = np.ones((2, 1), dtype=dtype), np.zeros(2, dtype=dtype)
        for solver in ("adam", "lbfgs", "lm"):
            BPRegressor(hidden_layer_sizes=1, solver=solver, max_iter=9, tol=1e9, n_iter_no_change=1).fit(X, y).predict(X)
        network = make_network((1, 1), (), "identity", "squared_error", dtype=dtype)
        params = pack_parameters(network, [np.ones((1, 1))], [np.zeros(1)], dtype)
        gradients_at(network, params, Problem(X, X), alpha=0.0)
        input_gradients(network, params, X)
    rows = np.eye(2, WIDE)
    BPRegressor(hidden_layer_sizes=1, solver="sgd", max_iter=100, tol=1e9, n_iter_no_change=1).fit(rows, rows[:, 0])
    entries = *epochs.ENTRIES, *jacobian.ENTRIES, *lbfgs.ENTRIES, *objective.ENTRIES, *triangular.ENTRIES, *explain.ENTRIES
    return sum(len(kernel.signatures) for kernel in entries)
