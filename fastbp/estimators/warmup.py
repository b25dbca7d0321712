"""Compiling every kernel before it is needed."""

from typing import Any

import numpy as np

from fastbp.estimators.regressor import BPRegressor
from fastbp.names import SOLVERS

WIDE = 1100  # features of a table that is trained on in the span of its rows


def warm_up() -> int:
    """Compile every kernel for float32 and float64, or load it from the cache.

    A first fit then waits for nothing. It belongs in the recipe of a container image and before work on a cluster's machines.

    Returns
    -------
    n_kernels : int
        Number of compiled entry points and parts.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.warm_up() > 0
    True
    """
    from scipy.sparse import csr_matrix

    from fastbp.kernels import epochs, explain, jacobian, lbfgs, objective, triangular
    from fastbp.kernels.compiler import PARTS
    from fastbp.training.explain import input_gradients
    from fastbp.training.network import make_network, pack_parameters
    from fastbp.training.objective import gradients_at
    from fastbp.training.predict import predict_outputs
    from fastbp.training.problem import Problem

    for dtype in (np.float32, np.float64):
        X = np.ones((2, 1), dtype=dtype)
        fits: list[tuple[Any, dict[str, Any]]] = [
            *((X, {"solver": solver}) for solver in SOLVERS),
            (X, {"solver": "sgd", "batch_size": 1}),
            (X, {"activation": "elu"}),
            (X, {"loss": "huber"}),
            (X, {"loss": "tweedie"}),
            (X, {"clip_norm": 1.0}),
            (X, {"dropout": (0.1, 0.1)}),
            (X, {"embedding": "periodic", "scale_layer": True}),
            (X, {"init": "data"}),
            (csr_matrix(X), {}),
            (np.ones((20, 1), dtype=dtype), {"early_stopping": True}),
            (np.ones((20, 1), dtype=dtype), {"early_stopping": True, "scoring": lambda *_: 0.0}),
        ]
        for rows, settings in fits:
            model = BPRegressor(hidden_layer_sizes=1, max_iter=9, tol=1e9, n_iter_no_change=1, **settings)
            model.fit(rows, np.zeros(rows.shape[0], dtype=dtype)).predict(rows)
        grouped = make_network((1, 2), (), "softmax", "multioutput_log_loss", groups=(1, 1), dtype=dtype)
        predict_outputs(grouped, pack_parameters(grouped, [np.ones((1, 2))], [np.zeros(2)], dtype), X)
        for output, loss, parameter in [("logistic", "binary_log_loss", 0.1), ("identity", "squared_error", 0.0)]:
            network = make_network((1, 1), (), output, loss, loss_parameter=parameter, dtype=dtype)
            params = pack_parameters(network, [np.ones((1, 1))], [np.zeros(1)], dtype)
            gradients_at(network, params, Problem(X, X), alpha=0.0)
        input_gradients(network, params, X)
    wide = np.eye(2, WIDE)
    BPRegressor(hidden_layer_sizes=1, solver="sgd", max_iter=100, tol=1e9, n_iter_no_change=1).fit(wide, wide[:, 0])
    entries = (
        *epochs.ENTRIES,
        *jacobian.ENTRIES,
        *lbfgs.ENTRIES,
        *objective.ENTRIES,
        *triangular.ENTRIES,
        *explain.ENTRIES,
        *PARTS,
    )
    return sum(len(kernel.signatures) for kernel in entries)
