"""Outputs of a network, and of its layers, for any rows."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.kernels import epochs
from fastbp.kernels.atomics import INTERRUPT
from fastbp.kernels.layout import Network
from fastbp.names import ACTIVATIONS
from fastbp.training.network import front_views, make_network, pack_parameters, parameter_views
from fastbp.training.problem import NO_ORDER, check_codes, make_table
from fastbp.training.threads import DIRECT_WORK, run_team, team_size
from fastbp.training.workspace import Scratch, borrow_scratch, flops_per_row, make_workspace, return_scratch


def run_in_parts(run_part: Callable[[int, int, int], None], n_rows: int, work: float, n_threads: int | None, sync: Any) -> None:
    """Call run_part(thread, first, stop) for parts of the rows, on as many threads as `work` operations in all are worth.

    Raises KeyboardInterrupt after Ctrl-C, or if another thread has set INTERRUPT in `sync`.
    """
    size = team_size(n_threads, work, work)

    def run(thread: int, n_threads: int, sync: Any) -> None:
        run_part(thread, n_rows * thread // size, n_rows * (thread + 1) // size)

    if size == 1 and work < DIRECT_WORK:
        run(0, 1, sync)
    else:
        run_team(run, size, (), work, sync)
    if sync[INTERRUPT]:
        raise KeyboardInterrupt


def demand_rows_for(network: Network, dtype: Any, X: Any) -> None:
    """Raise ValueError for rows that kernels would read out of bounds, or as another type."""
    if X.shape[1] != network.n_features or X.dtype != dtype:
        raise ValueError(f"X has {X.shape[1]} columns of {X.dtype}, but this network reads {network.n_features} of {dtype}.")
    if network.has_front and hasattr(X, "indptr"):
        raise ValueError("X is sparse, but embedding, scale_layer and categories need dense rows: X.toarray() makes them.")
    if network.coded.size > 1:
        check_codes(network, X)


def predict_outputs(
    network: Network,
    params: np.ndarray,
    X: Any,
    *,
    only_largest: bool = False,
    n_threads: int | None = None,
    scratch: Scratch | None = None,
) -> np.ndarray:
    """Return the activations of the output layer.

    Parameters
    ----------
    network : Network
    params : ndarray of shape (n_parameters,)
    X : ndarray of shape (n_samples, n_features), C-contiguous, or CSR matrix
    only_largest : bool
        Return the number of each row's largest output instead, which is found while the row is in the cache.
    n_threads : int or None
    scratch : Scratch or None

    Returns
    -------
    outputs : ndarray of shape (n_samples, n_outputs), or (n_samples,) of int64
    """
    demand_rows_for(network, params.dtype, X)
    table = make_table(X)
    n_rows, n_outputs = X.shape[0], int(network.units[-1])
    used = scratch or borrow_scratch()
    outputs = np.empty(n_rows if only_largest else (n_rows, n_outputs), dtype=params.dtype)

    def predict_part(thread: int, first: int, stop: int) -> None:
        n_cached = min(epochs.CACHED_ROWS, stop - first)
        workspace = used.get(
            network,
            params.dtype,
            ("prediction", thread, n_cached),
            lambda: make_workspace(network, params.dtype, n_cached, forward_only=True),
        )
        epochs.predict(
            used.sync, network, params, table, NO_ORDER, workspace, outputs.reshape(-1), first, stop, int(only_largest)
        )

    run_in_parts(predict_part, n_rows, flops_per_row(network) * n_rows / 3, n_threads, used.sync)
    if scratch is None:
        return_scratch(used)
    return outputs.astype(np.int64) if only_largest else outputs


def first_layers(network: Network, params: np.ndarray, n_layers: int) -> tuple[Network, np.ndarray]:
    """Return the network of the first layers of weights, with the front if there is one, and its parameters.

    Without a front, they are a view of the whole network's first parameters.
    """
    functions = activation_names(network)[:n_layers]
    part = make_network(
        [network.n_features, *network.units[1 : n_layers + 1].tolist()], functions[:-1], functions[-1], "squared_error",
        loss_parameter=1.0, groups=_groups_behind(network, n_layers), embedded=network.embedded.tolist(),
        scale_layer=network.has_scale, skip_layer=0 <= network.skip_layer < n_layers,
        categories=np.diff(network.coded).tolist(), category_sizes=np.diff(network.category_outputs).tolist(), dtype=params.dtype,
    )  # fmt: skip
    if network.has_front or part.skip_layer >= 0:  # their parameters are the last of the vector
        coefs, intercepts = parameter_views(network, params)
        return part, pack_parameters(part, coefs, intercepts, params.dtype, front_views(network, params))
    return part, params[: part.n_parameters]


def last_layers(network: Network, params: np.ndarray, first_layer: int) -> tuple[Network, np.ndarray]:
    """Return the network of the layers of weights from first_layer on, and a copy of its parameters; no layer skips it."""
    names = activation_names(network)[first_layer:]
    coefs, intercepts = (arrays[first_layer:] for arrays in parameter_views(network, params))
    part = make_network(
        network.units[first_layer:].tolist(), names[:-1], names[-1], "squared_error", loss_parameter=1.0,
        groups=_groups_behind(network, len(network.activations)), dtype=params.dtype,
    )  # fmt: skip
    return part, pack_parameters(part, coefs, intercepts, params.dtype)


def _groups_behind(network: Network, n_layers: int) -> list[int]:
    """Return the sizes of the groups of outputs after the first layers of weights; none after a hidden layer."""
    return np.diff(network.groups).tolist() if n_layers == len(network.activations) else []


def activation_names(network: Network) -> list[str]:
    """Return the names of the activations of the layers, the output's last."""
    names = {activation.code: name for name, activation in ACTIVATIONS.items()}
    return [names[code] for code in network.activations.tolist()]


def layer_activations(network: Network, params: np.ndarray, X: Any) -> list[np.ndarray]:
    """Return the activations of every layer, from the first hidden one to the output.

    Parameters
    ----------
    network : Network
    params : ndarray of shape (n_parameters,)
    X : ndarray of shape (n_samples, n_features), C-contiguous, or CSR matrix

    Returns
    -------
    activations : list of ndarray of shape (n_samples, n_units)
    """
    activations = [predict_outputs(*first_layers(network, params, 1), X)]
    for layer in range(1, len(network.activations)):
        if layer == network.skip_layer:
            activations.append(predict_outputs(*first_layers(network, params, layer + 1), X))
            continue
        rest = last_layers(network, params, layer)
        activations.append(predict_outputs(*first_layers(*rest, 1), activations[-1]))
    return activations
