"""The per-sample loop: batches of one row, with the deltas, the gradient and the step of a layer fused into one pass over its weights."""

import math

import numpy as np

from .activations import activate, multiply_by_slope
from .atomics import INTERRUPT, atomic_load
from .jit import jit
from .losses import output_deltas
from .products import dot_product
from .simd import broadcast, lane_count, lane_sum, load, multiply_add, store
from .updates import NESTEROV

CHECK_EVERY = 256  # samples between two looks at the interrupt flag


@jit
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
            x_0, x_1, x_2, x_3 = broadcast(W, x[i]), broadcast(W, x[i + 1]), broadcast(W, x[i + 2]), broadcast(W, x[i + 3])
            left_0, right_0 = multiply_add(x_0, load(W, row + j), left_0), multiply_add(x_0, load(W, row + k), right_0)
            row += width
            left_1, right_1 = multiply_add(x_1, load(W, row + j), left_1), multiply_add(x_1, load(W, row + k), right_1)
            row += width
            left_2, right_2 = multiply_add(x_2, load(W, row + j), left_2), multiply_add(x_2, load(W, row + k), right_2)
            row += width
            left_3, right_3 = multiply_add(x_3, load(W, row + j), left_3), multiply_add(x_3, load(W, row + k), right_3)
            row += width
        for i in range(first + whole, first + n_inputs):
            x_0 = broadcast(W, x[i])
            left_0, right_0 = multiply_add(x_0, load(W, row + j), left_0), multiply_add(x_0, load(W, row + k), right_0)
            row += width
        store(z, at + j, (left_0 + left_1) + (left_2 + left_3))
        store(z, at + k, (right_0 + right_1) + (right_2 + right_3))


@jit
def _step_rows(rule, x, first, n_rows, deltas, d, width, inner_deltas, e, W, V, w, rate, decay, needs_deltas):
    """One pass over W: (n_rows, width) and its velocities: inner deltas W · δ from the old weights, then the step along x ⊗ δ.

    rate: minus the learning rate over the sample's weight; decay: the part of W the penalty takes, with the same sign. Returns the sum
    of the old weights' squares.
    """
    n_lanes = lane_count(W)
    momentum, decay_ = broadcast(W, rule.momentum), broadcast(W, decay)
    norm = broadcast(W, 0.0)
    nesterov = rule.code == NESTEROV
    for i in range(n_rows):
        scaled_x = broadcast(W, x[first + i] * rate)
        total = broadcast(W, 0.0)
        for j in range(0, width, n_lanes):
            weight, delta = load(W, w + j), load(deltas, d + j)
            total = multiply_add(weight, delta, total)
            norm = multiply_add(weight, weight, norm)
            step = multiply_add(scaled_x, delta, weight * decay_)
            velocity = multiply_add(momentum, load(V, w + j), step)
            store(V, w + j, velocity)
            if nesterov:
                velocity = multiply_add(momentum, velocity, step)
            store(W, w + j, weight + velocity)
        if needs_deltas:
            inner_deltas[e + i] = lane_sum(total)
        w += width
    return np.float64(lane_sum(norm))


@jit
def _step_columns(rule, x, first, inner_width, deltas, d, n_columns, inner_deltas, e, W, V, w, rate, decay):
    """The same for narrow layers, whose W is stored (n_columns, inner_width)."""
    n_lanes = lane_count(W)
    momentum, decay_ = broadcast(W, rule.momentum), broadcast(W, decay)
    norm = broadcast(W, 0.0)
    nesterov = rule.code == NESTEROV
    for j in range(0, inner_width, n_lanes):
        store(inner_deltas, e + j, broadcast(W, 0.0))
    for column in range(n_columns):
        delta, scaled_delta = broadcast(W, deltas[d + column]), broadcast(W, deltas[d + column] * rate)
        for j in range(0, inner_width, n_lanes):
            weight = load(W, w + j)
            store(inner_deltas, e + j, multiply_add(weight, delta, load(inner_deltas, e + j)))
            norm = multiply_add(weight, weight, norm)
            step = multiply_add(scaled_delta, load(x, first + j), weight * decay_)
            velocity = multiply_add(momentum, load(V, w + j), step)
            store(V, w + j, velocity)
            if nesterov:
                velocity = multiply_add(momentum, velocity, step)
            store(W, w + j, weight + velocity)
        w += inner_width
    return np.float64(lane_sum(norm))


@jit
def online_epoch(network, params, velocity, samples, order, n_rows, gather, workspace, rule, learning_rate, sync):
    """One epoch of sgd with a step per sample, dense rows; returns (whether interrupted, sum of the samples' losses with penalty).

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
            if layer == 0:
                _row_product(X, sample * n_features, n_features, params, weights, biases, width, activations, z)
            elif network.narrow[layer]:
                dot_product(
                    activations,
                    a,
                    params,
                    weights,
                    network.widths[layer],
                    biases,
                    activations,
                    z,
                    width,
                    1,
                    network.units[layer + 1],
                )
            else:
                _row_product(activations, a, network.units[layer], params, weights, biases, width, activations, z)
            activate(network.activations[layer], activations, z, 1, network.units[layer + 1], width)
        output_deltas(
            network.loss, network.activations[-1], activations, deltas, outputs, 1, network.units[-1], network.widths[-1], samples, order,
            position, gather, workspace.row_losses, 0,
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
