"""The per-sample loop: batches of one row. Deltas, gradient and step of a layer are one pass over its weights."""

import math

import numpy as np

from ..names import BINARY_LOG_LOSS, LOG_LOSS, NESTEROV, SGD
from .activations import activate, multiply_by_slope
from .atomics import INTERRUPT, atomic_load
from .compiler import inline, jit, part
from .layout import Network, OutputRows, Samples, Workspace, weight_of
from .losses import early_loss, log_losses, output_deltas
from .missing import mend_deltas, mend_losses
from .products import dot_product
from .toolchain.pack import Integers, Reals
from .updates import StepRule
from .vectors import (
    broadcast,
    broadcast_element,
    element,
    lane_count,
    lane_sum,
    load,
    multiply_add,
    store,
    with_lane,
)

CHECK_EVERY = 256  # samples between two looks at the interrupt flag


@inline
def _row_product(x, first, n_inputs, W, w, bias, width, z, at):
    """z = bias + x · W for one row x: (n_inputs,) and W: (n_inputs, width).

    Two columns of vectors times four input rows make eight independent chains, enough to hide the latency of a multiply-add.
    """
    n_lanes = lane_count(W)
    zero = broadcast(W, 0.0)
    whole = n_inputs - n_inputs % 4
    for j in range(0, width, 2 * n_lanes):
        k = j + n_lanes if j + n_lanes < width else j  # an odd last column is computed twice
        left_0, right_0 = load(W, bias + j), load(W, bias + k)
        left_1, right_1, left_2, right_2, left_3, right_3 = zero, zero, zero, zero, zero, zero
        row = w
        for i in range(first, first + whole, 4):
            x_0, x_1 = broadcast_element(x, i), broadcast_element(x, i + 1)
            x_2, x_3 = broadcast_element(x, i + 2), broadcast_element(x, i + 3)
            left_0, right_0 = multiply_add(x_0, load(W, row + j), left_0), multiply_add(x_0, load(W, row + k), right_0)
            row += width
            left_1, right_1 = multiply_add(x_1, load(W, row + j), left_1), multiply_add(x_1, load(W, row + k), right_1)
            row += width
            left_2, right_2 = multiply_add(x_2, load(W, row + j), left_2), multiply_add(x_2, load(W, row + k), right_2)
            row += width
            left_3, right_3 = multiply_add(x_3, load(W, row + j), left_3), multiply_add(x_3, load(W, row + k), right_3)
            row += width
        for i in range(first + whole, first + n_inputs):
            x_0 = broadcast_element(x, i)
            left_0, right_0 = multiply_add(x_0, load(W, row + j), left_0), multiply_add(x_0, load(W, row + k), right_0)
            row += width
        store(z, at + j, (left_0 + left_1) + (left_2 + left_3))
        store(z, at + k, (right_0 + right_1) + (right_2 + right_3))


@inline
def _step_vector(nesterov, momentum, decay, scaled_x, delta, W, V, at):
    """Step one vector of weights and its velocity along scaled_x · delta; returns the old and the new weights."""
    weight = load(W, at)
    step = multiply_add(scaled_x, delta, weight * decay)
    velocity = multiply_add(momentum, load(V, at), step)
    store(V, at, velocity)
    stepped = multiply_add(momentum, velocity, weight + step) if nesterov else weight + velocity
    store(W, at, stepped)
    return weight, stepped


@inline
def _step_bias(nesterov, momentum, deltas, d, width, W, V, bias, rate):
    """Step the biases: (width,) of a layer."""
    momentum_, rate_, zero = broadcast(W, momentum), broadcast(W, rate), broadcast(W, 0.0)
    for j in range(0, width, lane_count(W)):
        _step_vector(nesterov, momentum_, zero, rate_, load(deltas, d + j), W, V, bias + j)


@inline
def _step_first(nesterov, momentum, x, first, after, n_rows, deltas, d, width, W, V, w, bias, rate, decay, z, at):
    """Step W: (n_rows, width) and its velocities along x ⊗ δ, and compute the next sample's z = bias + x · W with the new W.

    first, after: where this sample's and the next one's features start in x; rate, decay, result: as `_step_rows`'. One pass does
    both (measured: it saves 5 to 7 % of a sample), four rows at a time, so that no chain of additions limits the speed.
    """
    n_lanes = lane_count(W)
    momentum_, decay_, rate_, zero = broadcast(W, momentum), broadcast(W, decay), broadcast(W, rate), broadcast(W, 0.0)
    norm_0, norm_1, norm_2, norm_3 = zero, zero, zero, zero
    whole = n_rows - n_rows % 4
    for j in range(0, width, n_lanes):
        delta = load(deltas, d + j) * rate_
        z_0, z_1, z_2, z_3 = load(W, bias + j), zero, zero, zero
        row = w + j
        for i in range(0, whole, 4):
            weight, stepped = _step_vector(nesterov, momentum_, decay_, broadcast_element(x, first + i), delta, W, V, row)
            norm_0, z_0 = multiply_add(weight, weight, norm_0), multiply_add(broadcast_element(x, after + i), stepped, z_0)
            row += width
            weight, stepped = _step_vector(nesterov, momentum_, decay_, broadcast_element(x, first + i + 1), delta, W, V, row)
            norm_1, z_1 = multiply_add(weight, weight, norm_1), multiply_add(broadcast_element(x, after + i + 1), stepped, z_1)
            row += width
            weight, stepped = _step_vector(nesterov, momentum_, decay_, broadcast_element(x, first + i + 2), delta, W, V, row)
            norm_2, z_2 = multiply_add(weight, weight, norm_2), multiply_add(broadcast_element(x, after + i + 2), stepped, z_2)
            row += width
            weight, stepped = _step_vector(nesterov, momentum_, decay_, broadcast_element(x, first + i + 3), delta, W, V, row)
            norm_3, z_3 = multiply_add(weight, weight, norm_3), multiply_add(broadcast_element(x, after + i + 3), stepped, z_3)
            row += width
        for i in range(whole, n_rows):
            weight, stepped = _step_vector(nesterov, momentum_, decay_, broadcast_element(x, first + i), delta, W, V, row)
            norm_0, z_0 = multiply_add(weight, weight, norm_0), multiply_add(broadcast_element(x, after + i), stepped, z_0)
            row += width
        store(z, at + j, (z_0 + z_1) + (z_2 + z_3))
    return np.float64(lane_sum((norm_0 + norm_1) + (norm_2 + norm_3)))


@inline
def _step_rows(nesterov, momentum, x, first, n_rows, deltas, d, width, inner_deltas, e, W, V, w, rate, decay):
    """One pass over W: (n_rows, width) and its velocities: inner deltas W · δ from the old weights, then the step along x ⊗ δ.

    rate: minus the learning rate over the sample's weight; decay: the part of W that the penalty takes, with the same sign.
    Returns the sum of the old weights' squares. It takes two rows at a time, so that the chain of that sum does not limit the
    speed.
    """
    n_lanes = lane_count(W)
    momentum_, decay_, rate_, zero = broadcast(W, momentum), broadcast(W, decay), broadcast(W, rate), broadcast(W, 0.0)
    norm_0, norm_1 = zero, zero
    for block in range(0, n_rows, n_lanes):
        inner = zero  # collected in a register, because a load after stores of single elements would wait
        stop = min(block + n_lanes, n_rows)
        for i in range(block, stop - 1, 2):
            x_0, x_1 = broadcast_element(x, first + i) * rate_, broadcast_element(x, first + i + 1) * rate_
            total_0, total_1 = zero, zero
            for j in range(0, width, n_lanes):
                delta = load(deltas, d + j)
                weight, _ = _step_vector(nesterov, momentum_, decay_, x_0, delta, W, V, w + j)
                norm_0, total_0 = multiply_add(weight, weight, norm_0), multiply_add(weight, delta, total_0)
                weight, _ = _step_vector(nesterov, momentum_, decay_, x_1, delta, W, V, w + width + j)
                norm_1, total_1 = multiply_add(weight, weight, norm_1), multiply_add(weight, delta, total_1)
            inner = with_lane(with_lane(inner, i - block, lane_sum(total_0)), i + 1 - block, lane_sum(total_1))
            w += 2 * width
        if stop % 2:
            x_0, total_0 = broadcast_element(x, first + stop - 1) * rate_, zero
            for j in range(0, width, n_lanes):
                delta = load(deltas, d + j)
                weight, _ = _step_vector(nesterov, momentum_, decay_, x_0, delta, W, V, w + j)
                norm_0, total_0 = multiply_add(weight, weight, norm_0), multiply_add(weight, delta, total_0)
            inner = with_lane(inner, stop - 1 - block, lane_sum(total_0))
        store(inner_deltas, e + block, inner)
    return np.float64(lane_sum(norm_0 + norm_1))


@inline
def _step_columns(nesterov, momentum, x, first, inner_width, deltas, d, n_columns, inner_deltas, e, W, V, w, rate, decay):
    """Step a narrow layer, whose W is stored (n_columns, inner_width)."""
    n_lanes = lane_count(W)
    momentum_, decay_ = broadcast(W, momentum), broadcast(W, decay)
    norm = broadcast(W, 0.0)
    for j in range(0, inner_width, n_lanes):
        store(inner_deltas, e + j, broadcast(W, 0.0))
    for column in range(n_columns):
        delta, scaled_delta = broadcast(W, deltas[d + column]), broadcast(W, deltas[d + column] * rate)
        for j in range(0, inner_width, n_lanes):
            weight, _ = _step_vector(nesterov, momentum_, decay_, scaled_delta, load(x, first + j), W, V, w + j)
            store(inner_deltas, e + j, multiply_add(weight, delta, load(inner_deltas, e + j)))
            norm = multiply_add(weight, weight, norm)
        w += inner_width
    return np.float64(lane_sum(norm))


@jit
def _mended_loss(rows, row_losses):
    """The loss of one row, row_losses[0], without missing targets, and without its weight."""
    if mend_losses(rows, row_losses, 0) and rows.weights.size:
        return element(row_losses, 0) / weight_of(rows, 0)
    return element(row_losses, 0)


@inline
def _step_layers(nesterov, network, params, velocity, samples, workspace, rule, rows, sample, next_sample, rate, loss):
    """Step all layers, the last first; returns the sample's loss and the sum of the old weights' squares.

    loss: the `early_loss`; a log-loss is completed here. The first layer's pre-activations become the next sample's.
    """
    activations, deltas, block_rows = workspace.activations, workspace.deltas, workspace.block_rows
    units, widths, first_units = network.units, network.widths, network.first_units
    last = units.size - 2
    decay, momentum, norm = rate * rule.alpha, rule.decay_1, 0.0
    for layer in range(last, 0, -1):
        width, inner_width = element(widths, layer + 1), element(widths, layer)
        weights, biases = element(network.weights_at, layer), element(network.biases_at, layer)
        d, a = block_rows * element(first_units, layer + 1), block_rows * element(first_units, layer)
        if element(network.narrow, layer):
            norm += _step_columns(
                nesterov, momentum, activations, a, inner_width, deltas, d, element(units, layer + 1), deltas, a, params,
                velocity, weights, rate, decay,
            )  # fmt: skip
        else:
            norm += _step_rows(
                nesterov, momentum, activations, a, element(units, layer), deltas, d, width, deltas, a, params, velocity, weights,
                rate, decay,
            )  # fmt: skip
        if network.fit_intercept:
            _step_bias(nesterov, momentum, deltas, d, width, params, velocity, biases, rate)
        multiply_by_slope(element(network.slopes, layer - 1), activations, workspace.slopes, deltas, a, inner_width)
    if network.loss == LOG_LOSS or network.loss == BINARY_LOG_LOSS:
        # So late because no step waits for it (measured: 3 to 8 % of a sample).
        log_losses(rows, workspace.row_losses, 0)
        loss = _mended_loss(rows, workspace.row_losses) if samples.has_missing else element(workspace.row_losses, 0)
    width, biases, z = element(widths, 1), element(network.biases_at, 0), block_rows * element(first_units, 1)
    if network.fit_intercept:
        _step_bias(nesterov, momentum, deltas, z, width, params, velocity, biases, rate)
    n_features = element(units, 0)
    norm += _step_first(
        nesterov, momentum, samples.table.values, sample * n_features, next_sample * n_features, n_features, deltas, z, width,
        params, velocity, element(network.weights_at, 0), biases, rate, decay, activations, z,
    )  # fmt: skip
    return loss, norm


@inline
def _next_weighted(samples, order, position, n_rows, gather):
    """The first position from `position` on of a sample whose weight is not zero, n_rows if there is none."""
    if samples.weights.size:
        while position < n_rows and element(samples.weights, element(order, position) if gather else position) == 0.0:
            position += 1
    return position


@part
def online_epoch(
    network: Network,
    params: Reals,
    velocity: Reals,
    samples: Samples,
    order: Integers,
    n_rows: int,
    gather: int,
    workspace: Workspace,
    rule: StepRule,
    learning_rate: float,
    sync: Integers,
) -> tuple[bool, float]:
    """One epoch of sgd with a step per sample, for dense rows; returns whether it was interrupted, and the sum of the samples'
    losses with their penalties.

    Stops before the step of a sample whose loss is not finite and returns that loss; NaN for a rule that is not one of sgd's two.
    Plain twin: naive.train with batch_size=1.
    """
    X, activations, deltas, slopes = samples.table.values, workspace.activations, workspace.deltas, workspace.slopes
    units, widths, first_units = network.units, network.widths, network.first_units
    last = units.size - 2
    n_features, n_outputs = element(units, 0), element(units, last + 1)
    block_rows = workspace.block_rows
    outputs = block_rows * element(first_units, last + 1)
    loss_sum = 0.0
    position = _next_weighted(samples, order, 0, n_rows, gather)
    n_seen = 0
    while position < n_rows:
        if n_seen % CHECK_EVERY == 0 and atomic_load(sync, INTERRUPT):
            return True, loss_sum
        sample = element(order, position) if gather else position
        weight = np.float64(element(samples.weights, sample)) if samples.weights.size else 1.0
        position = _next_weighted(samples, order, position + 1, n_rows, gather)
        for layer in range(last + 1):
            n_units, width = element(units, layer + 1), element(widths, layer + 1)
            weights, biases = element(network.weights_at, layer), element(network.biases_at, layer)
            z, a = block_rows * element(first_units, layer + 1), block_rows * element(first_units, layer)
            if layer == 0:
                if n_seen == 0:  # later samples' products are made by the step before
                    _row_product(X, sample * n_features, n_features, params, weights, biases, width, activations, z)
            elif element(network.narrow, layer):
                dot_product(activations, a, params, weights, element(widths, layer), biases, activations, z, width, 1, n_units)
            else:
                _row_product(activations, a, element(units, layer), params, weights, biases, width, activations, z)
            activate(element(network.activations, layer), activations, z, 1, n_units, width, slopes, network.groups)
        n_seen += 1
        rows = OutputRows(
            network.loss, network.loss_parameter, activations, outputs, 1, n_outputs, element(widths, last + 1), samples.targets,
            sample * samples.n_targets, samples.n_targets, samples.weights, sample,
        )  # fmt: skip
        output_deltas(rows, element(network.slopes, last), slopes, deltas)
        loss = early_loss(rows, workspace.row_losses)
        if samples.has_missing:
            mend_deltas(rows, deltas)
            if network.loss != BINARY_LOG_LOSS:
                workspace.row_losses[0] = loss
                loss = _mended_loss(rows, workspace.row_losses)
        if not math.isfinite(loss):
            return False, loss
        next_sample = sample
        if position < n_rows:
            next_sample = element(order, position) if gather else position
        rate = -learning_rate / weight
        if rule.code == NESTEROV:  # two copies, each without the test (measured: 5 % of a sample)
            loss, norm = _step_layers(
                True, network, params, velocity, samples, workspace, rule, rows, sample, next_sample, rate, loss
            )
        elif rule.code == SGD:
            loss, norm = _step_layers(
                False, network, params, velocity, samples, workspace, rule, rows, sample, next_sample, rate, loss
            )
        else:
            return False, np.nan
        loss_sum += loss + 0.5 * rule.alpha * norm / weight
    return False, loss_sum
