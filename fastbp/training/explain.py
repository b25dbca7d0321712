"""Derivatives of a network's outputs by its inputs."""

from typing import Any

import numpy as np

from fastbp.kernels import explain
from fastbp.kernels.layout import Network
from fastbp.kernels.passes import CACHED_ROWS
from fastbp.kernels.vectors import lanes
from fastbp.names import IDENTITY
from fastbp.training.network import aligned_zeros, front_views, parameter_views
from fastbp.training.predict import demand_rows_for, predict_outputs, run_in_parts
from fastbp.training.problem import NO_ORDER, make_table
from fastbp.training.workspace import Scratch, flops_per_row, make_workspace


def input_gradients(
    network: Network, params: np.ndarray, X: Any, *, of_logits: bool = False, n_threads: int | None = None
) -> np.ndarray:
    """Return the derivative of each output by each input for each row of X, (n_samples, n_outputs, n_features).

    X: (n_samples, n_features), C-contiguous or CSR; of_logits: of the outputs before their activation.
    """
    if network.has_front:
        raise ValueError("Derivatives by the inputs need a network without embedding, scale_layer and categories.")
    if network.is_ordered and not of_logits:  # all classes depend on one score, and each logit is the score plus a threshold
        later = np.cumsum(predict_outputs(network, params, X, n_threads=n_threads)[:, ::-1], axis=1)[:, ::-1]
        rises = later * (1 - later)
        rises[:, 0] = 0.0
        slopes = np.diff(-rises, axis=1, append=0.0)
        return slopes[..., np.newaxis] * input_gradients(network, params, X, of_logits=True, n_threads=n_threads)
    demand_rows_for(network, params.dtype, X)
    dtype, table, sync = params.dtype, make_table(X), Scratch().sync
    n_rows, n_features, n_outputs = X.shape[0], int(network.units[0]), int(network.units[-1])
    width = -(-n_features // lanes(dtype)) * lanes(dtype)
    from_inputs = [parameter_views(network, params)[0][0], *front_views(network, params).values()]  # the last is the skip layer's
    transposed = np.hstack(from_inputs).T
    first_transposed = aligned_zeros(len(transposed) * width, dtype)
    first_transposed.reshape(-1, width)[:, :n_features] = transposed
    gradients = np.empty((n_rows, n_outputs, n_features), dtype=dtype)

    def run_part(thread: int, first: int, stop: int) -> None:
        workspace = make_workspace(network, dtype, min(CACHED_ROWS, stop - first))
        inner = aligned_zeros((CACHED_ROWS + 1) * width, dtype)
        explain.input_gradients(
            sync, network, params, table, NO_ORDER, workspace, first_transposed, inner, gradients.reshape(-1), first, stop,
            int(of_logits),
        )  # fmt: skip

    run_in_parts(run_part, n_rows, flops_per_row(network) * n_rows * n_outputs, n_threads, sync)
    return gradients


def layer_outputs(
    network: Network, params: np.ndarray, X: Any, *, of_logits: bool = False, n_threads: int | None = None
) -> np.ndarray:
    """Return the outputs of the network, or with of_logits those before their activation, (n_samples, n_outputs)."""
    if of_logits:
        network = network._replace(activations=np.array([*network.activations[:-1], IDENTITY]))
    return predict_outputs(network, params, X, n_threads=n_threads)
