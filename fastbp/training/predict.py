"""Outputs of a network for rows it has or has not seen."""

from typing import Any

import numpy as np

from fastbp.kernels import epochs
from fastbp.kernels.atomics import INTERRUPT
from fastbp.kernels.layout import Network
from fastbp.names import ACTIVATIONS
from fastbp.training.network import make_network, pack_parameters, parameter_views
from fastbp.training.problem import NO_ORDER, make_table
from fastbp.training.threads import DIRECT_WORK, run_team, team_size
from fastbp.training.workspace import Scratch, flops_per_row, make_workspace


def predict_outputs(
    network: Network,
    params: np.ndarray,
    X: Any,
    *,
    only_largest: bool = False,
    n_threads: int | None = None,
    scratch: Scratch | None = None,
) -> np.ndarray:
    """Activations of the output layer.

    Parameters
    ----------
    network : Network
    params : ndarray of shape (n_parameters,)
    X : ndarray of shape (n_samples, n_features), C-contiguous, or CSR matrix
    only_largest : bool
        Return the number of each row's largest output instead, found while it is in the cache.
    n_threads : int or None
    scratch : Scratch or None

    Returns
    -------
    outputs : ndarray of shape (n_samples, n_outputs), or (n_samples,) of int64
    """
    scratch = scratch or Scratch()
    table = make_table(X)
    n_rows, n_outputs = X.shape[0], int(network.units[-1])
    outputs = np.empty(n_rows if only_largest else (n_rows, n_outputs), dtype=params.dtype)
    work = flops_per_row(network) * n_rows / 3
    size = team_size(n_threads, work, work)
    bounds = [n_rows * part // size for part in range(size + 1)]

    def predict_part(thread: int, n_threads: int, sync: Any) -> None:
        n_cached = min(epochs.CACHED_ROWS, bounds[thread + 1] - bounds[thread])
        workspace = scratch.get(
            network,
            params.dtype,
            ("prediction", thread, n_cached),
            lambda: make_workspace(network, params.dtype, n_cached, forward_only=True),
        )
        rows = bounds[thread], bounds[thread + 1]
        epochs.predict(sync, network, params, table, NO_ORDER, workspace, outputs.reshape(-1), *rows, int(only_largest))

    if size == 1 and work < DIRECT_WORK:
        predict_part(0, 1, scratch.sync)
    else:
        run_team(predict_part, size, (), work, scratch.sync)
    if scratch.sync[INTERRUPT]:  # by Ctrl-C, or by who ends all that runs: some outputs are missing
        raise KeyboardInterrupt
    return outputs.astype(np.int64) if only_largest else outputs


def layer_activations(network: Network, params: np.ndarray, X: Any) -> list[np.ndarray]:
    """Activations of every layer from the first hidden one to the output.

    Parameters
    ----------
    network : Network
    params : ndarray of shape (n_parameters,)
    X : ndarray of shape (n_samples, n_features)

    Returns
    -------
    activations : list of ndarray of shape (n_samples, n_units)
    """
    names = {activation.code: name for name, activation in ACTIVATIONS.items()}
    activations = [X]
    for W, b, code in zip(*parameter_views(network, params), network.activations):
        layer = make_network(W.shape, (), names[code], "squared_error", dtype=params.dtype)
        activations.append(predict_outputs(layer, pack_parameters(layer, [W], [b], params.dtype), activations[-1]))
    return activations[1:]
