"""The front of a network, between a row of the table and the first layer: embeddings and scale. Most networks have none.

Columns may be embedded: beside x itself the first layer then sees V·cos(2π·w·x + b) + c, three outputs from sixteen waves (D.
Holzmüller, L. Grinsztajn and I. Steinwart, Better by default, arXiv:2407.04491, section 3). And each of the first layer's inputs
may be multiplied by a trained factor of its own. The first layer then reads its inputs and passes deltas back like any other; the
parameters of the front are part of the flat vector, in strips of their own.
"""

import math

from .compiler import jit, part
from .elementary import polynomial, round_to_integer
from .layout import COSINES, EMBEDDED_SIZE, N_EMBEDDED, N_WAVES, OFFSETS, PHASES, Network, Workspace
from .toolchain.pack import Reals
from .vectors import (
    at_least_1,
    broadcast,
    broadcast_element,
    element,
    lane_count,
    load,
    load_strided,
    multiply_add,
    set_element,
    store,
    store_strided,
    where_less,
)

TURN = 2.0 * math.pi

# Coefficients of sin(π·r) / r and cos(π·r) as polynomials of r²: Taylor's series, whose rest is below half a unit in the last
# place of 1; in float32 the polynomials through Chebyshev's nodes of [0, ¼], which need two powers less.
_SINES, _COSINES = (
    {64: [(-1) ** k * math.pi ** (2 * k + odd) / math.factorial(2 * k + odd) for k in range(11, -1, -1)]} for odd in (1, 0)
)
_SINES[32] = [0.0776559114, -0.598290384, 2.55007744, -5.16771030, 3.14159274]
_COSINES[32] = [0.219682425, -1.33187294, 4.05841064, -4.93479300, 0.99999994]
_sine_over_half_turns = polynomial(_SINES)
_cosine_of_half_turns = polynomial(_COSINES)
_half = polynomial({64: [0.5], 32: [0.5]})


@jit
def sine_and_cosine(turns):
    """sin(2π·turns) and cos(2π·turns) lane by lane, to 8 units in the last place of 1 where |turns| stays below 2**21; NaN and
    infinity become NaN.

    With r the turns from the nearest integer, the sine s and the cosine c of π·r come from polynomials; then they are 2·s·c and
    1 - 2·s².
    """
    r = turns - round_to_integer(turns)
    half = _half(r)
    r = where_less(half, r, half, r)  # the remainder of huge turns means nothing
    r = where_less(r, 0.0 - half, 0.0 - half, r)
    square = r * r
    s, c = r * _sine_over_half_turns(square), _cosine_of_half_turns(square)
    return (s * c) * 2.0, 1.0 - (s * s) * 2.0


@part
def front_forward(network: Network, params: Reals, X: Reals, x: int, workspace: Workspace, first: int, n_rows: int) -> None:
    """Write the first layer's inputs of n_rows rows, which are dense from X[x] on, to rows `first` on of layer 0 of the
    activations; before the scale, if there is one, also to where `unscaled_at` says."""
    activations, n_features, width = workspace.activations, network.n_features, element(network.widths, 0)
    n_lanes, n_embedded, n_numbers = lane_count(activations), network.embedded.size, n_features - network.coded.size + 1
    u = workspace.block_rows * network.unscaled_at + first * width
    for number in range(n_embedded):
        column, at = element(network.embedded, number), network.embedding_at + number * EMBEDDED_SIZE
        for row in range(0, n_rows, n_lanes):
            n_left = min(n_lanes, n_rows - row)
            values = load_strided(X, x + row * n_features + column, n_features, n_left, activations)
            out_0 = broadcast_element(params, at + OFFSETS)
            out_1 = broadcast_element(params, at + OFFSETS + 1)
            out_2 = broadcast_element(params, at + OFFSETS + 2)
            for wave in range(N_WAVES):
                phase = broadcast_element(params, at + PHASES + wave) * (1.0 / TURN)
                _, cosine = sine_and_cosine(multiply_add(values, broadcast_element(params, at + wave), phase))
                out_0 = multiply_add(cosine, broadcast_element(params, at + COSINES + wave), out_0)
                out_1 = multiply_add(cosine, broadcast_element(params, at + COSINES + N_WAVES + wave), out_1)
                out_2 = multiply_add(cosine, broadcast_element(params, at + COSINES + 2 * N_WAVES + wave), out_2)
            target = u + row * width + number * N_EMBEDDED
            store_strided(activations, target, width, n_left, out_0)
            store_strided(activations, target + 1, width, n_left, out_1)
            store_strided(activations, target + 2, width, n_left, out_2)
    for row in range(n_rows):
        for j in range(n_numbers):
            target = u + row * width + n_embedded * N_EMBEDDED + j
            set_element(activations, target, element(X, x + row * n_features + j))
    if network.has_scale:
        a = first * width
        for row in range(0, n_rows * width, at_least_1(width)):
            for j in range(0, width, n_lanes):
                store(activations, a + row + j, load(activations, u + row + j) * load(params, network.scale_at + j))


@part
def front_backward(network: Network, params: Reals, workspace: Workspace, first: int, n_rows: int) -> None:
    """Deltas of the embedded columns, and of embedded categories, before the scale, from those of the first layer's inputs."""
    deltas, width = workspace.deltas, element(network.widths, 0)
    if network.has_scale:
        d, u = first * width, workspace.block_rows * network.unscaled_at + first * width
        needed = width if network.category_outputs.size > 1 else network.embedded.size * N_EMBEDDED
        for row in range(0, n_rows * width, at_least_1(width)):
            for j in range(0, needed, lane_count(deltas)):
                store(deltas, u + row + j, load(deltas, d + row + j) * load(params, network.scale_at + j))


@part
def embedding_gradient(
    network: Network,
    params: Reals,
    X: Reals,
    x: int,
    workspace: Workspace,
    first_row: int,
    n_rows: int,
    g: int,
    first: int,
    stop: int,
    accumulate: bool,
) -> None:
    """Gradient, at gradient[g], of the embeddings of columns first to stop of the embedded ones, over n_rows rows, which are
    dense from X[x] on and whose deltas begin at first_row."""
    gradient, deltas, n_lanes = workspace.gradient, workspace.deltas, lane_count(workspace.deltas)
    n_features, width = network.n_features, element(network.widths, 0)
    d = workspace.block_rows * network.unscaled_at + first_row * width
    for number in range(first, stop):
        column, at = element(network.embedded, number), network.embedding_at + number * EMBEDDED_SIZE
        target, source = g + number * EMBEDDED_SIZE, d + number * N_EMBEDDED
        for wave in range(0, N_WAVES, n_lanes):
            frequencies, phases = load(params, at + wave), load(params, at + PHASES + wave) * (1.0 / TURN)
            out_0 = load(params, at + COSINES + wave)
            out_1 = load(params, at + COSINES + N_WAVES + wave)
            out_2 = load(params, at + COSINES + 2 * N_WAVES + wave)
            by_0 = broadcast(deltas, 0.0)
            by_1, by_2, by_phase, by_frequency = by_0, by_0, by_0, by_0
            for row in range(n_rows):
                value = broadcast_element(X, x + row * n_features + column)
                sine, cosine = sine_and_cosine(multiply_add(value, frequencies, phases))
                delta_0 = broadcast_element(deltas, source + row * width)
                delta_1 = broadcast_element(deltas, source + row * width + 1)
                delta_2 = broadcast_element(deltas, source + row * width + 2)
                by_0 = multiply_add(delta_0, cosine, by_0)
                by_1 = multiply_add(delta_1, cosine, by_1)
                by_2 = multiply_add(delta_2, cosine, by_2)
                falling = multiply_add(delta_2, out_2, multiply_add(delta_1, out_1, delta_0 * out_0)) * sine
                by_phase = by_phase - falling
                by_frequency = by_frequency - falling * value
            by_frequency = by_frequency * TURN
            if accumulate:
                by_frequency = by_frequency + load(gradient, target + wave)
                by_phase = by_phase + load(gradient, target + PHASES + wave)
                by_0 = by_0 + load(gradient, target + COSINES + wave)
                by_1 = by_1 + load(gradient, target + COSINES + N_WAVES + wave)
                by_2 = by_2 + load(gradient, target + COSINES + 2 * N_WAVES + wave)
            store(gradient, target + wave, by_frequency)
            store(gradient, target + PHASES + wave, by_phase)
            store(gradient, target + COSINES + wave, by_0)
            store(gradient, target + COSINES + N_WAVES + wave, by_1)
            store(gradient, target + COSINES + 2 * N_WAVES + wave, by_2)
        if not accumulate:
            for i in range(0, N_WAVES, n_lanes):  # the padding too: other gradients may have been there
                store(gradient, target + OFFSETS + i, broadcast(deltas, 0.0))
        total_0 = element(gradient, target + OFFSETS)  # side by side, in independent chains
        total_1 = element(gradient, target + OFFSETS + 1)
        total_2 = element(gradient, target + OFFSETS + 2)
        for row in range(source, source + n_rows * width, at_least_1(width)):
            total_0 += element(deltas, row)
            total_1 += element(deltas, row + 1)
            total_2 += element(deltas, row + 2)
        set_element(gradient, target + OFFSETS, total_0)
        set_element(gradient, target + OFFSETS + 1, total_1)
        set_element(gradient, target + OFFSETS + 2, total_2)


@part
def scale_gradient(network: Network, workspace: Workspace, first_row: int, n_rows: int, g: int, accumulate: bool) -> None:
    """Gradient, at gradient[g], of the scale over n_rows rows: the sum of inputs before the scale times deltas after it."""
    gradient, deltas, width = workspace.gradient, workspace.deltas, element(network.widths, 0)
    d, u = first_row * width, workspace.block_rows * network.unscaled_at + first_row * width
    for j in range(0, width, lane_count(deltas)):
        total = load(gradient, g + j) if accumulate else broadcast(deltas, 0.0)
        for row in range(0, n_rows * width, at_least_1(width)):
            total = multiply_add(load(workspace.activations, u + row + j), load(deltas, d + row + j), total)
        store(gradient, g + j, total)
