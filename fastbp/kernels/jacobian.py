"""The Jacobian of a network's outputs, a block of rows at a time, for solvers that need the curvature of the squared error.

It has a column per weight and intercept, in the order of the parameters without their padding, and a last one with the residuals,
so that the product of the transposed block with itself has both JᵀJ and Jᵀr.
"""

import math

import numpy as np

from ..names import CANCELS
from . import needs
from .activations import multiply_by_slope
from .atomics import barrier, is_stopped
from .compiler import entry, jit, part
from .layout import Network, Samples, Strips, Workspace
from .passes import CACHED_ROWS, backward, forward, gather_samples, share
from .steps import refresh_own_copies
from .toolchain.pack import Doubles, Integers, Reals
from .vectors import broadcast, element, lane_count, load, load_strided, multiply_add, set_element, store

IS_COMPLETE = 0  # element of `result`


@jit
def _write_scaled(J, j, scalar, V, v, n):
    """Write scalar · n elements of V, from v on, to J, from j on, in whole vectors: elements of J behind them are overwritten."""
    n_lanes = lane_count(J)
    scalar_ = broadcast(J, scalar)
    for i in range(0, n, n_lanes):
        store(J, j + i, scalar_ * load_strided(V, v + i, 1, n_lanes, J))


@jit
def _write_sparse(J, j, table, sample, D, d, n_features, n_units):
    """Write the slopes by the first weights for a row of a CSR table: x · δ where there is an entry, zero elsewhere."""
    n_lanes = lane_count(J)
    for i in range(0, n_features * n_units, n_lanes):
        store(J, j + i, broadcast(J, 0.0))
    for entry_ in range(table.row_starts[sample], table.row_starts[sample + 1]):
        start, x = j + table.columns[entry_] * n_units, broadcast(J, table.values[entry_])
        for i in range(0, n_units, n_lanes):
            store(J, start + i, multiply_add(x, load_strided(D, d + i, 1, n_lanes, J), load(J, start + i)))


@jit
def _write_row(network, table, sample, X, x, workspace, row, J, j):
    """Write the slopes of one output of a row of the block by all parameters, from that output's deltas, to J from j on."""
    activations, deltas, block_rows = workspace.activations, workspace.deltas, workspace.block_rows
    for layer in range(network.units.size - 1):
        n_in, n_out = element(network.units, layer), element(network.units, layer + 1)
        inner_width, width = element(network.widths, layer), element(network.widths, layer + 1)
        d = block_rows * element(network.first_units, layer + 1) + row * width
        a = block_rows * element(network.first_units, layer) + row * inner_width
        if layer == 0 and table.is_sparse:
            _write_sparse(J, j, table, sample, deltas, d, n_in, n_out)
        elif layer == 0:
            for i in range(n_in):
                _write_scaled(J, j + i * n_out, np.float64(element(X, x + i)), deltas, d, n_out)
        elif element(network.narrow, layer):
            for i in range(n_out):
                _write_scaled(J, j + i * n_in, np.float64(element(deltas, d + i)), activations, a, n_in)
        else:
            for i in range(n_in):
                _write_scaled(J, j + i * n_out, np.float64(element(activations, a + i)), deltas, d, n_out)
        j += n_in * n_out
        if network.fit_intercept:
            _write_scaled(J, j, 1.0, deltas, d, n_out)
            j += n_out


@jit
def _root_weight(weights, i, target):
    """Root of a row's weight, 1 without weights; 0 if the target is missing."""
    if target != target:
        return 0.0
    return math.sqrt(np.float64(element(weights, i))) if weights.size else 1.0


@part
def _pass_rows(
    network: Network,
    params: Reals,
    samples: Samples,
    order: Integers,
    first_sample: int,
    gather: int,
    workspace: Workspace,
    first: int,
    stop: int,
    J: Doubles,
    width: int,
    n_columns: int,
) -> None:
    """Write the residuals of rows first to stop of a block and, unless n_columns is 0, their slopes; see `jacobian`."""
    targets, weights, offset = samples.targets, samples.weights, first_sample
    if gather:
        gather_samples(samples, order, first_sample, workspace, first, stop, network.units[0])
        targets, weights, offset = workspace.targets, workspace.weights, 0
    forward(network, params, samples.table, order, first_sample, gather, workspace, first, stop, min(1, n_columns))
    n_features, n_outputs, out_width, n_rows = network.units[0], network.units[-1], network.widths[-1], stop - first
    X, x = (workspace.inputs, 0) if gather else (samples.table.values, first_sample * n_features)
    outputs = workspace.block_rows * network.first_units[-1] + first * out_width
    for output in range(n_outputs):
        if n_columns:
            for i in range(first, stop):
                delta = outputs + (i - first) * out_width
                for lane in range(0, out_width, lane_count(workspace.deltas)):
                    store(workspace.deltas, delta + lane, broadcast(workspace.deltas, 0.0))
                target = element(targets, (offset + i) * n_outputs + output)
                set_element(workspace.deltas, delta + output, _root_weight(weights, offset + i, target))
            if network.slopes[-1] != CANCELS:
                multiply_by_slope(
                    network.slopes[-1], workspace.activations, workspace.slopes, workspace.deltas, outputs, n_rows * out_width
                )
            backward(network, params, workspace, first, stop)
        for i in range(first, stop):
            j = (i * n_outputs + output) * width
            if n_columns:
                sample = order[first_sample + i] if gather else first_sample + i
                _write_row(network, samples.table, sample, X, x + i * n_features, workspace, i, J, j)
            y = np.float64(element(workspace.activations, outputs + (i - first) * out_width + output))
            target = np.float64(element(targets, (offset + i) * n_outputs + output))
            error = y - target if target == target else 0.0
            set_element(J, j + n_columns, _root_weight(weights, offset + i, target) * error)


@entry(parts=needs.jacobian)
def jacobian(
    thread: int,
    n_threads: int,
    sync: Integers,
    network: Network,
    params: Reals,
    samples: Samples,
    order: Integers,
    gather: int,
    workspace: Workspace,
    strips: Strips,
    first_sample: int,
    n_rows: int,
    J: Doubles,
    width: int,
    n_columns: int,
    result: Doubles,
):
    """Write the residuals √s·(ŷ - y) and their slopes by the parameters, for n_rows rows of a block whose row i is sample
    order[first_sample + i] (or first_sample + i), of weight s.

    J: (n_rows · n_outputs, width), a row per row and output, each with n_columns slopes and the residual; n_columns: the number
    of trained parameters, or 0 for the residuals alone. result: (1,), becomes 0 if it was stopped.
    """
    if n_columns:
        refresh_own_copies(network, params, workspace, strips, thread)
        barrier(sync, n_threads)
    own_stop = share(n_rows, thread + 1, n_threads)
    for first in range(share(n_rows, thread, n_threads), own_stop, CACHED_ROWS):
        if is_stopped(sync):
            result[IS_COMPLETE] = 0.0
            break
        stop = min(first + CACHED_ROWS, own_stop)
        _pass_rows(network, params, samples, order, first_sample, gather, workspace, first, stop, J, width, n_columns)
