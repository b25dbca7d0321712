"""The step of a batch, strip by strip: the weights, their copies, and what else is done to gradients and weights.

A plain step takes each strip once, while its gradient is in the cache. A shaped step (with clipping, an L1 penalty, bounded or
averaged weights, or recorded norms) goes over all strips, and after a barrier once more.
"""

import math

from ..names import GRADIENT_ONLY
from .atomics import barrier
from .compiler import jit, part
from .layout import CATEGORIES, CODED_SCALE, EMBEDDED_SIZE, EMBEDDING, SCALE, SKIP, Network, Strips, Workspace
from .ordered import keep_order
from .products import pack_panels, panel_width, transpose_into_panels
from .toolchain.pack import Integers, Reals
from .updates import MEASURED, Step, StepRule, StripStep, update
from .vectors import (
    at_least_1,
    broadcast,
    element,
    lane_count,
    lane_sum,
    load,
    magnitude,
    multiply_add,
    square_root,
    store,
    where_less,
)

NORM_FLOOR = 1e-6  # added to a norm before it divides, as torch.nn.utils.clip_grad_norm_ does


@jit
def total(values):
    """Sum of an array, in order."""
    result = 0.0
    for i in range(values.size):
        result += element(values, i)
    return result


@jit
def refresh_copies(network, params, workspace, layer, first, stop):
    """Copy the stored rows first to stop of a layer's weights into its transposed mirror, and into its panels if it is wide."""
    width, panel, n_rows = element(network.widths, layer + 1), panel_width(params), stop - first
    w = element(network.weights_at, layer) + first * width
    is_mirrored = layer > 0 or (layer == 0 and network.has_front and first < network.n_dense)
    if is_mirrored and not element(network.narrow, layer):
        mirrored, n_units = element(network.mirrors_at, layer), element(network.units, layer + 1)
        transpose_into_panels(params, w, width, workspace.mirror, mirrored, first, n_rows, n_units)
    if layer >= 0 and element(network.wide, layer):
        packed, n_inputs = element(network.panels_at, layer) + first * panel, element(network.units, layer)
        pack_panels(params, w, width, workspace.panels, packed, n_inputs * panel, n_rows, width)


@jit
def refresh_own_copies(network, params, workspace, strips, thread):
    """Refresh the copies of this thread's strips of the weights; the first thread also refreshes those of fixed weights."""
    if network.is_ordered and thread == 0:
        last = network.units.size - 2
        refresh_copies(network, params, workspace, last, 0, network.units[last])
    for strip in range(strips.owners[thread], strips.owners[thread + 1]):
        if strips.layers[strip] >= 0 and strips.firsts[strip] >= 0:
            refresh_copies(network, params, workspace, strips.layers[strip], strips.firsts[strip], strips.stops[strip])


@jit
def add_slabs(gradient, n_parameters, n_slabs, start, stop):
    """Add the slabs' gradients, (n_slabs, n_parameters), to the first one's for elements start to stop."""
    for i in range(start, stop, lane_count(gradient)):
        total = load(gradient, i)
        for slab in range(1, n_slabs):
            total = total + load(gradient, slab * n_parameters + i)
        store(gradient, i, total)


@jit
def strip_bounds(network, strips, strip):
    """Where a strip begins and ends in the flat vector."""
    layer, first, stop = strips.layers[strip], strips.firsts[strip], strips.stops[strip]
    if layer == EMBEDDING:
        return network.embedding_at + first * EMBEDDED_SIZE, network.embedding_at + stop * EMBEDDED_SIZE
    if layer == SCALE:
        return network.scale_at, network.scale_at + network.widths[0]
    if layer == SKIP:
        width = network.widths[network.skip_layer + 1]
        return network.skip_at + first * width, network.skip_at + stop * width
    if layer == CODED_SCALE:
        return network.coded_scale_at, network.skip_at
    if layer == CATEGORIES:
        return first, stop
    width = network.widths[layer + 1]
    if first < 0:
        return network.biases_at[layer], network.biases_at[layer] + width
    if network.narrow[layer]:
        width = network.widths[layer]
    return network.weights_at[layer] + first * width, network.weights_at[layer] + stop * width


@jit
def is_of_weights(layer, first):
    """Whether a strip has weights, which are penalised. Embeddings of categories are weights: they multiply zeros and ones."""
    return first >= 0 and (layer >= 0 or layer == SKIP or layer == CATEGORIES)


@part
def keep_signs(params: Reals, signs: Reals, start: int, stop: int) -> None:
    """Set elements start to stop to zero if they have the wrong sign; a NaN stays."""
    zero = broadcast(params, 0.0)
    for i in range(start, stop, lane_count(params)):
        w = load(params, i)
        store(params, i, where_less(w * load(signs, i), zero, zero, w))


@jit
def strip_step(
    network, params, workspace, strips, n_slabs, gradient_at, rule, step, moment_1, moment_2, strip, scale, decay
):  # fmt: skip
    """Take the step for one strip along gradient · scale + weights · decay, refresh its copies, and store the sum of its squared
    weights."""
    layer, first, stop = strips.layers[strip], strips.firsts[strip], strips.stops[strip]
    start, end = strip_bounds(network, strips, strip)
    is_penalised = is_of_weights(layer, first)
    rate, kept = step.rate * strips.rates[strip], 1.0 - step.shrinkage * strips.decays[strip]
    if n_slabs > 1:
        add_slabs(workspace.gradient, network.n_parameters, n_slabs, start, end)
    own = StripStep(start, end, gradient_at, scale, decay if is_penalised else 0.0, rate, step.epsilon, kept)
    norm = update(rule, own, params, workspace.gradient, moment_1, moment_2)
    workspace.strip_norms[strip] = norm if is_penalised else 0.0
    if workspace.signs.size:
        keep_signs(params, workspace.signs, start, end)
    if network.is_ordered and first < 0 and layer == network.units.size - 2 and rule.code != GRADIENT_ONLY:
        keep_order(params, start, network.units[-1])
    if is_penalised and layer >= 0 and rule.code != GRADIENT_ONLY:
        refresh_copies(network, params, workspace, layer, first, stop)


@part
def shaped_step(
    thread: int,
    n_threads: int,
    sync: Integers,
    network: Network,
    params: Reals,
    workspace: Workspace,
    strips: Strips,
    n_slabs: int,
    rule: StepRule,
    step: Step,
    moment_1: Reals,
    moment_2: Reals,
    average: Reals,
    weight_sum: float,
) -> None:
    """Take the step of all strips of this thread, with everything that the rule asks for; weight_sum: of the batch's rows.

    In this order: norms are recorded, elements are clipped to ± clip_value or the whole gradient to clip_norm, penalties are
    added, the step is taken, the units' weights are scaled down to max_norm, and the average of the weights is updated.
    """
    gradient, scale = workspace.gradient, 1.0 / weight_sum
    first_strip, last_strip = strips.owners[thread], strips.owners[thread + 1]
    for strip in range(first_strip, last_strip):
        start, end = strip_bounds(network, strips, strip)
        if n_slabs > 1:
            add_slabs(gradient, network.n_parameters, n_slabs, start, end)
        if rule.shaping == MEASURED:
            workspace.strip_squares[strip] = scale * scale * sum_of_squares(gradient, start, end)
        if rule.clip_value < math.inf:
            clip_elements(gradient, start, end, rule.clip_value * abs(weight_sum))
    if rule.clip_norm < math.inf:
        barrier(sync, n_threads)
        scale *= min(1.0, rule.clip_norm / (math.sqrt(total(workspace.strip_squares)) + NORM_FLOOR))
    for strip in range(first_strip, last_strip):
        strip_scale = scale
        if is_of_weights(strips.layers[strip], strips.firsts[strip]) and rule.alpha_l1 > 0.0:
            start, end = strip_bounds(network, strips, strip)
            workspace.strip_sums[strip] = add_signs(params, gradient, start, end, scale, rule.alpha_l1 / weight_sum)
            strip_scale = 1.0
        strip_step(
            network, params, workspace, strips, 1, 0, rule, step, moment_1, moment_2, strip, strip_scale, rule.alpha / weight_sum
        )
    if rule.max_norm < math.inf:
        barrier(sync, n_threads)
        limit_norms(thread, n_threads, network, params, rule.max_norm)
        barrier(sync, n_threads)
        refresh_own_copies(network, params, workspace, strips, thread)
    if average.size:
        for strip in range(first_strip, last_strip):
            start, end = strip_bounds(network, strips, strip)
            move_average(params, average, start, end, step.average_share)


@jit
def clip_elements(gradient, start, stop, bound):
    """Clip elements start to stop to ± bound."""
    highest, lowest = broadcast(gradient, bound), broadcast(gradient, -bound)
    for i in range(start, stop, lane_count(gradient)):
        g = load(gradient, i)
        g = where_less(highest, g, highest, g)
        store(gradient, i, where_less(g, lowest, lowest, g))


@jit
def sum_of_squares(x, start, stop):
    """Sum of the squares of elements start to stop, in four independent chains."""
    n_lanes, zero = lane_count(x), broadcast(x, 0.0)
    sum_0, sum_1, sum_2, sum_3 = zero, zero, zero, zero
    rest = stop - (stop - start) % (4 * n_lanes)
    for i in range(start, rest, 4 * n_lanes):
        x_0, x_1, x_2, x_3 = load(x, i), load(x, i + n_lanes), load(x, i + 2 * n_lanes), load(x, i + 3 * n_lanes)
        sum_0, sum_1 = multiply_add(x_0, x_0, sum_0), multiply_add(x_1, x_1, sum_1)
        sum_2, sum_3 = multiply_add(x_2, x_2, sum_2), multiply_add(x_3, x_3, sum_3)
    for i in range(rest, stop, n_lanes):
        sum_0 = multiply_add(load(x, i), load(x, i), sum_0)
    return float(lane_sum((sum_0 + sum_1) + (sum_2 + sum_3)))


@jit
def add_signs(params, gradient, start, stop, scale, strength):
    """gradient = gradient · scale + strength · sign(params) for elements start to stop; returns the sum of |params|."""
    scale_, zero, plus = broadcast(params, scale), broadcast(params, 0.0), broadcast(params, strength)
    sums = zero
    for i in range(start, stop, lane_count(params)):
        w = load(params, i)
        sums = sums + magnitude(w)
        slope = where_less(zero, w, plus, where_less(w, zero, zero - plus, zero))
        store(gradient, i, multiply_add(scale_, load(gradient, i), slope))
    return float(lane_sum(sums))


@jit
def move_average(params, average, start, stop, share):
    """average += share · (params - average) for elements start to stop."""
    share_ = broadcast(params, share)
    for i in range(start, stop, lane_count(params)):
        mean = load(average, i)
        store(average, i, multiply_add(share_, load(params, i) - mean, mean))


@jit
def limit_norms(thread, n_threads, network, params, max_norm):
    """Shrink the incoming weights of each unit whose norm is larger to max_norm (Srivastava et al. 2014); the threads share the
    units."""
    n_lanes = lane_count(params)
    one, zero, largest = broadcast(params, 1.0), broadcast(params, 0.0), broadcast(params, max_norm)
    n_layers = network.units.size - 1
    for number in range(n_layers + (network.skip_layer >= 0)):
        if network.is_ordered and number == n_layers - 1:  # its weights are fixed
            continue
        layer = number if number < n_layers else network.skip_layer
        n_inputs, n_units = element(network.units, layer), element(network.units, layer + 1)
        weights, width, inner_width = element(network.weights_at, layer), network.widths[layer + 1], network.widths[layer]
        if number == n_layers:  # the skip layer is a layer of its own here
            n_inputs, weights = network.n_features, network.skip_at
        if element(network.narrow, layer) and number < n_layers:
            for unit in range(n_units * thread // n_threads, n_units * (thread + 1) // n_threads):
                row, squares = weights + unit * inner_width, zero
                for i in range(row, row + inner_width, n_lanes):
                    squares = multiply_add(load(params, i), load(params, i), squares)
                norm = square_root(broadcast(params, lane_sum(squares)))
                factor = where_less(largest, norm, largest / norm, one)
                for i in range(row, row + inner_width, n_lanes):
                    store(params, i, load(params, i) * factor)
        else:
            n_vectors = width // n_lanes
            for vector in range(n_vectors * thread // n_threads, n_vectors * (thread + 1) // n_threads):
                unit, squares = vector * n_lanes, zero
                for i in range(weights + unit, weights + unit + n_inputs * width, at_least_1(width)):
                    squares = multiply_add(load(params, i), load(params, i), squares)
                norm = square_root(squares)
                factor = where_less(largest, norm, largest / norm, one)
                for i in range(weights + unit, weights + unit + n_inputs * width, at_least_1(width)):
                    store(params, i, load(params, i) * factor)
