"""Compiling every kernel before it is needed."""

import numpy as np

from fastbp.kernels import epochs, lbfgs, triangular
from fastbp.kernels.atomics import SYNC_SIZE
from fastbp.training.network import aligned_zeros, make_network, pack_parameters
from fastbp.training.objective import loss_and_gradient
from fastbp.training.optimizer import Optimizer
from fastbp.training.predict import predict_outputs
from fastbp.training.stochastic import History, train_stochastic


def warm_up():
    """Compile every kernel for float32 and float64, or load it from the cache.

    Returns
    -------
    n_kernels : int
        Number of compiled entry points.
    """
    for dtype in (np.float32, np.float64):
        network = make_network((1, 1, 1), ("relu",), "identity", "squared_error", dtype=dtype)
        params = pack_parameters(network, [np.ones((1, 1))] * 2, [np.zeros(1)] * 2, dtype)
        X = np.ones((2, 1), dtype=dtype)
        predict_outputs(network, params, X)
        loss_and_gradient(network, params, X, X, alpha=0.0)
        optimizer = Optimizer(
            "sgd", params, learning_rate_init=0.1, momentum=0.9, nesterovs_momentum=True, beta_1=0.9, beta_2=0.999, epsilon=1e-8
        )
        train_stochastic(
            network, params, optimizer, History(), X, X, alpha=0.0, batch_size=2, learning_rate="constant", power_t=0.5, tol=0.0,
            n_iter_no_change=1, max_iter=1, shuffle=True, random_state=np.random.RandomState(0), score="r2",
        )  # fmt: skip
    A = aligned_zeros(1, np.float64)
    triangular.multiply(0, 1, np.zeros(SYNC_SIZE, np.int64), A, 1, 1, A, A, 0, 1, 1, 0)
    triangular.triangular(triangular.SOLVE, A, A, 0, 1, 1)
    return sum(len(kernel.signatures) for kernel in (*epochs.ENTRIES, *lbfgs.ENTRIES, *triangular.ENTRIES))
