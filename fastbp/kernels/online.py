"""The per-sample loop: batches of one row, with the deltas, the gradient and the step of a layer fused into one pass over its
weights."""

import math

import numpy as np

from .activations import activate, multiply_by_slope
from .atomics import INTERRUPT, atomic_load
from .jit import apart, inline
from .losses import output_deltas
from .products import dot_product
from .simd import broadcast, broadcast_element, lane_count, lane_sum, load, multiply_add, store, where_less
from .updates import NESTEROV

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
        k = j + n_lanes if j + n_lanes < width else j  # an odd last column is computed twice rather than apart
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
def _step_constants(rule, W, decay):
    """Vectors for `_step_vector`: momentum, decay, what of the velocity and whether the step itself is added to the weights."""
    nesterov = rule.code == NESTEROV
    reach = rule.momentum if nesterov else 1.0
    return broadcast(W, rule.momentum), broadcast(W, decay), broadcast(W, reach), broadcast(W, 1.0 if nesterov else 0.0)


@inline
def _step_vector(constants, scaled_x, delta, W, V, at):
    """Step one vector of weights and its velocity along scaled_x · delta, without a branch; returns the old weights."""
    momentum, decay, reach, looks_ahead = constants
    weight = load(W, at)
    step = multiply_add(scaled_x, delta, weight * decay)
    velocity = multiply_add(momentum, load(V, at), step)
    store(V, at, velocity)
    store(W, at, multiply_add(reach, velocity, where_less(broadcast(W, 0.0), looks_ahead, weight + step, weight)))
    return weight


@inline
def _step_rows(rule, x, first, n_rows, deltas, d, width, inner_deltas, e, W, V, w, rate, decay, needs_deltas):
    """One pass over W: (n_rows, width) and its velocities: inner deltas W · δ from the old weights, then the step along x ⊗ δ.

    rate: minus the learning rate over the sample's weight; decay: the part of W the penalty takes, with the same sign. Returns
    the sum of the old weights' squares. Four rows at a time, or that sum's chain of additions would set the pace (measured: 1.6
    times).
    """
    n_lanes = lane_count(W)
    constants, rate_ = _step_constants(rule, W, decay), broadcast(W, rate)
    zero = broadcast(W, 0.0)
    norm_0, norm_1, norm_2, norm_3 = zero, zero, zero, zero
    whole = n_rows - n_rows % 4
    for i in range(0, whole, 4):
        x_0, x_1 = broadcast_element(x, first + i) * rate_, broadcast_element(x, first + i + 1) * rate_
        x_2, x_3 = broadcast_element(x, first + i + 2) * rate_, broadcast_element(x, first + i + 3) * rate_
        total_0, total_1, total_2, total_3 = zero, zero, zero, zero
        for j in range(0, width, n_lanes):
            delta = load(deltas, d + j)
            weight = _step_vector(constants, x_0, delta, W, V, w + j)
            norm_0, total_0 = multiply_add(weight, weight, norm_0), multiply_add(weight, delta, total_0)
            weight = _step_vector(constants, x_1, delta, W, V, w + width + j)
            norm_1, total_1 = multiply_add(weight, weight, norm_1), multiply_add(weight, delta, total_1)
            weight = _step_vector(constants, x_2, delta, W, V, w + 2 * width + j)
            norm_2, total_2 = multiply_add(weight, weight, norm_2), multiply_add(weight, delta, total_2)
            weight = _step_vector(constants, x_3, delta, W, V, w + 3 * width + j)
            norm_3, total_3 = multiply_add(weight, weight, norm_3), multiply_add(weight, delta, total_3)
        if needs_deltas:
            inner_deltas[e + i], inner_deltas[e + i + 1] = lane_sum(total_0), lane_sum(total_1)
            inner_deltas[e + i + 2], inner_deltas[e + i + 3] = lane_sum(total_2), lane_sum(total_3)
        w += 4 * width
    for i in range(whole, n_rows):
        x_0, total_0 = broadcast_element(x, first + i) * rate_, zero
        for j in range(0, width, n_lanes):
            delta = load(deltas, d + j)
            weight = _step_vector(constants, x_0, delta, W, V, w + j)
            norm_0, total_0 = multiply_add(weight, weight, norm_0), multiply_add(weight, delta, total_0)
        if needs_deltas:
            inner_deltas[e + i] = lane_sum(total_0)
        w += width
    return np.float64(lane_sum((norm_0 + norm_1) + (norm_2 + norm_3)))


@inline
def _step_columns(rule, x, first, inner_width, deltas, d, n_columns, inner_deltas, e, W, V, w, rate, decay):
    """The same for narrow layers, whose W is stored (n_columns, inner_width)."""
    n_lanes = lane_count(W)
    constants = _step_constants(rule, W, decay)
    norm = broadcast(W, 0.0)
    for j in range(0, inner_width, n_lanes):
        store(inner_deltas, e + j, broadcast(W, 0.0))
    for column in range(n_columns):
        delta, scaled_delta = broadcast(W, deltas[d + column]), broadcast(W, deltas[d + column] * rate)
        for j in range(0, inner_width, n_lanes):
            weight = _step_vector(constants, scaled_delta, load(x, first + j), W, V, w + j)
            store(inner_deltas, e + j, multiply_add(weight, delta, load(inner_deltas, e + j)))
            norm = multiply_add(weight, weight, norm)
        w += inner_width
    return np.float64(lane_sum(norm))


@apart
def online_epoch(network, params, velocity, samples, order, n_rows, gather, workspace, rule, learning_rate, sync):
    """One epoch of sgd with a step per sample, dense rows; returns (whether interrupted, sum of the samples' losses with
    penalty).

    Stops before the step of a sample whose loss is not finite, and returns that loss.
    """
    table, activations, deltas = samples.table, workspace.activations, workspace.deltas
    X, n_features = table.values, network.units[0]
    last = network.units.size - 2
    block_rows = workspace.block_rows
    outputs = block_rows * network.first_units[-1]
    loss_sum = 0.0
    for position in range(n_rows):
        if position % CHECK_EVERY == 0 and atomic_load(sync, INTERRUPT):
            return True, loss_sum
        sample = order[position] if gather else position
        weight = np.float64(samples.weights[sample]) if samples.weights.size else 1.0
        if weight == 0.0:
            continue
        for layer in range(last + 1):
            width, weights, biases = network.widths[layer + 1], network.weights[layer], network.biases[layer]
            z = block_rows * network.first_units[layer + 1]
            a = block_rows * network.first_units[layer]
            if layer > 0 and network.narrow[layer]:
                inner_width, n_units = network.widths[layer], network.units[layer + 1]
                dot_product(activations, a, params, weights, inner_width, biases, activations, z, width, 1, n_units)
            else:
                inputs, first = (X, sample * n_features) if layer == 0 else (activations, a)
                _row_product(inputs, first, network.units[layer], params, weights, biases, width, activations, z)
            activate(network.activations[layer], activations, z, 1, network.units[layer + 1], width)
        output_deltas(
            network.loss, network.activations[-1], activations, deltas, outputs, 1, network.units[-1], network.widths[-1],
            samples.targets, sample * samples.n_targets, samples.n_targets, samples.weights, sample, workspace.row_losses, 0,
        )  # fmt: skip
        loss = workspace.row_losses[0] / weight
        if not math.isfinite(loss):
            return False, loss
        rate = -learning_rate / weight
        decay = rate * rule.alpha
        norm = 0.0
        for layer in range(last, -1, -1):
            width, inner_width, weights = network.widths[layer + 1], network.widths[layer], network.weights[layer]
            d = block_rows * network.first_units[layer + 1]
            a = block_rows * network.first_units[layer]
            if layer == 0:
                norm += _step_rows(
                    rule,
                    X,
                    sample * n_features,
                    n_features,
                    deltas,
                    d,
                    width,
                    deltas,
                    0,
                    params,
                    velocity,
                    weights,
                    rate,
                    decay,
                    False,
                )
            else:
                if network.narrow[layer]:
                    norm += _step_columns(
                        rule,
                        activations,
                        a,
                        inner_width,
                        deltas,
                        d,
                        network.units[layer + 1],
                        deltas,
                        a,
                        params,
                        velocity,
                        weights,
                        rate,
                        decay,
                    )
                else:
                    norm += _step_rows(
                        rule,
                        activations,
                        a,
                        network.units[layer],
                        deltas,
                        d,
                        width,
                        deltas,
                        a,
                        params,
                        velocity,
                        weights,
                        rate,
                        decay,
                        True,
                    )
                multiply_by_slope(network.activations[layer - 1], activations, a, deltas, a, inner_width)
            if network.fit_intercept:
                _step_rows(
                    rule,
                    workspace.ones,
                    0,
                    1,
                    deltas,
                    d,
                    width,
                    deltas,
                    0,
                    params,
                    velocity,
                    network.biases[layer],
                    rate,
                    0.0,
                    False,
                )
        loss_sum += loss + 0.5 * rule.alpha * norm / weight
    return False, loss_sum
