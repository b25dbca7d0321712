"""Forward and backward through all layers, and the gradient of one batch, for one thread of a team.

A batch is cut into blocks of rows that fit the cache. Per block, the threads first share the rows (forward pass and deltas) and,
after a barrier, the strips of the parameters (gradient and step). If there are few parameters compared with the rows, a batch is
cut into slabs instead, each with a gradient of its own. A thread computes the gradients of whole slabs, from rows that no other
thread reads; after the barrier, the threads share the strips of the sum. No thread adds to what another thread writes, and no sum
depends on the number of threads.
"""

import math

from ..names import GRADIENT_ONLY
from .activations import activate, multiply_by_slope
from .atomics import STOP, atomic_load, barrier, is_stopped
from .coded import category_gradient, coded_backward, coded_forward, coded_gradient, coded_scale_gradient, drop_numbers
from .compiler import jit, part
from .dropout import Dropout, drop_inputs, drop_units, nothing_dropped
from .front import embedding_gradient, front_backward, front_forward, scale_gradient
from .layout import CATEGORIES, CODED_SCALE, EMBEDDING, SCALE, SKIP, Network, OutputRows, Samples, Workspace
from .losses import output_deltas, output_losses
from .missing import mend_deltas, mend_losses
from .products import (
    add_product,
    dot_product,
    gather_rows,
    pack_columns,
    pack_panels,
    panel_width,
    product,
    sparse_product,
    sparse_transposed_product,
)
from .steps import shaped_step, strip_bounds, strip_step
from .tiles import EDGE_ROWS, STRIP_ROWS, TILE_ROWS
from .toolchain.pack import Integers, Reals
from .updates import PLAIN
from .vectors import at_least_1, element, lane_count, prefetch, set_element

CACHED_ROWS = 4 * TILE_ROWS  # rows that go through all layers together: their activations stay in the first-level cache
PREFETCH_FROM = 1 << 20  # bytes of a table; a smaller one stays in the second-level cache
PREFETCHED = 64  # elements of a row; the processor itself fetches those that follow


@jit
def forward(network, params, table, order, first_sample, gather, workspace, first, stop, is_training):
    """Write the activations of rows first to stop of a block to workspace.activations, in training also the slopes that are kept.

    Row i of the block is sample order[first_sample + i], or first_sample + i without an order.
    Dense rows are read from X itself, or from the workspace if they have been gathered.
    """
    dropout = nothing_dropped(network, workspace)
    masked_forward(network, params, table, order, first_sample, gather, workspace, first, stop, is_training, dropout)


@jit
def masked_forward(network, params, table, order, first_sample, gather, workspace, first, stop, is_training, dropout):
    """The forward pass with dropout of hidden units, not of inputs."""
    activations, block_rows, n_rows = workspace.activations, workspace.block_rows, stop - first
    units, widths, first_units = network.units, network.widths, network.first_units
    slopes = workspace.slopes if is_training else 0
    n_features, panel = network.n_features, panel_width(params)
    X, x = (workspace.inputs, 0) if gather else (table.values, first_sample * n_features)
    x += first * n_features
    first_sample += first
    if network.has_front:
        if network.category_outputs.size > 1:
            coded_forward(network, params, X, x, workspace, first, n_rows, dropout, first_sample)
        front_forward(network, params, X, x, workspace, first, n_rows)
    for layer in range(units.size - 1):
        reads_table = layer == 0 and not network.has_front
        n_units, width = element(units, layer + 1), element(widths, layer + 1)
        weights, biases = element(network.weights_at, layer), element(network.biases_at, layer)
        z = block_rows * element(first_units, layer + 1) + first * width
        W, w, w_row, w_panel = params, weights, width, panel
        if is_training and element(network.wide, layer):
            W, w, w_row, w_panel = workspace.panels, element(network.panels_at, layer), panel, element(units, layer) * panel
        if reads_table and table.is_sparse:
            sparse_product(table, order, first_sample, gather, params, weights, biases, activations, z, n_rows, width, False)
        elif reads_table:
            product(
                X, x, n_features, 1, W, w, w_row, w_panel, params, biases, 0, activations, z, width, n_rows, n_features, width
            )
        else:
            inner_width = element(widths, layer)
            a = block_rows * element(first_units, layer) + first * inner_width
            if element(network.narrow, layer):
                dot_product(activations, a, params, weights, inner_width, biases, activations, z, width, n_rows, n_units)
            else:
                product(
                    activations, a, inner_width, 1, W, w, w_row, w_panel, params, biases, 0, activations, z, width,
                    n_rows, element(units, layer) if layer else network.n_dense, width,
                )  # fmt: skip
            if layer == 0 and element(units, 0) > network.n_dense:
                coded_forward(network, params, X, x, workspace, first, n_rows, dropout, first_sample)
        if layer == network.skip_layer and table.is_sparse:
            sparse_product(table, order, first_sample, gather, params, network.skip_at, 0, activations, z, n_rows, width, True)
        elif layer == network.skip_layer:
            add_product(X, x, n_features, params, network.skip_at, activations, z, n_rows, n_features, width)
        activate(element(network.activations, layer), activations, z, n_rows, n_units, width, slopes, network.groups)
        if dropout.is_on and layer + 2 < units.size and dropout.rates[layer + 1] > 0.0:
            drop_units(dropout, layer + 1, activations, z, first_sample, n_rows, n_units, width, slopes)


@jit
def backward(network, params, workspace, first, stop):
    """Compute the deltas of all layers below the output for rows first to stop of the block, and wide layers' panels of them;
    with a front, also the deltas of the first layer's inputs."""
    panel = panel_width(params)
    activations, deltas, block_rows, n_rows = workspace.activations, workspace.deltas, workspace.block_rows, stop - first
    units, widths, first_units = network.units, network.widths, network.first_units
    for layer in range(units.size - 2, -1, -1):
        width, inner_width = element(widths, layer + 1), element(widths, layer)
        d = block_rows * element(first_units, layer + 1) + first * width
        if element(network.wide, layer):
            at = block_rows * element(network.first_panels, layer + 1) + first * panel
            pack_panels(deltas, d, width, workspace.delta_panels, at, block_rows * panel, n_rows, width)
        if layer == 0 and not (network.embedded.size or network.has_scale or network.category_outputs.size > 1):
            break
        inner_d = block_rows * element(first_units, layer) + first * inner_width
        if element(network.narrow, layer):
            transposed, t, t_row, t_panel = params, element(network.weights_at, layer), inner_width, panel
        else:
            transposed, t = workspace.mirror, element(network.mirrors_at, layer)
            t_row, t_panel = panel, element(units, layer + 1) * panel
        product(
            deltas, d, width, 1, transposed, t, t_row, t_panel, workspace.constants, 0, 0, deltas, inner_d, inner_width,
            n_rows, element(units, layer + 1), inner_width,
        )  # fmt: skip
        if layer > 0:
            slope = element(network.slopes, layer - 1)
            multiply_by_slope(slope, activations, workspace.slopes, deltas, inner_d, n_rows * inner_width)
        else:
            front_backward(network, params, workspace, first, n_rows)
            if network.has_scale and element(units, 0) > network.n_dense:
                coded_backward(network, params, workspace, first, n_rows)


@jit
def strip_gradient(
    thread, network, params, table, order, first_sample, gather, workspace, strips, strip, first_row, n_rows, gradient_at,
    accumulate
):  # fmt: skip
    """Gradient of one strip over n_rows rows of the block from first_row on: aᵀ·δ for stored rows first to stop of the weights,
    Σδ for the biases; for the front see front.py; the skip layer is treated like a first layer.

    gradient_at: where in workspace.gradient the vector that is laid out like the parameters begins.
    """
    layer, first, stop = strips.layers[strip], strips.firsts[strip], strips.stops[strip]
    gradient, deltas, activations, block_rows = workspace.gradient, workspace.deltas, workspace.activations, workspace.block_rows
    X, x = (workspace.inputs, 0) if gather else (table.values, first_sample * network.n_features)
    x += first_row * network.n_features
    if layer == EMBEDDING:
        g = gradient_at + network.embedding_at
        embedding_gradient(network, params, X, x, workspace, first_row, n_rows, g, first, stop, accumulate)
        return
    if layer == SCALE:
        scale_gradient(network, workspace, first_row, n_rows, gradient_at + network.scale_at, accumulate)
        return
    if layer == CODED_SCALE:
        coded_scale_gradient(network, workspace, first_row, n_rows, gradient_at + network.coded_scale_at, accumulate)
        return
    if layer == CATEGORIES:
        category_gradient(network, workspace, first_row, n_rows, gradient_at, first, stop, accumulate)
        return
    reads_table, weights_at = layer == 0 and not network.has_front, network.skip_at
    if layer == SKIP:
        reads_table, layer = True, network.skip_layer
    else:
        weights_at = network.weights_at[layer]
    width, panel = network.widths[layer + 1], panel_width(gradient)
    d = block_rows * network.first_units[layer + 1] + first_row * width
    start, s_row = (gradient, 1) if accumulate else (workspace.constants, 0)
    weights, biases = gradient_at + weights_at, gradient_at + network.biases_at[layer]
    if first < 0:
        g = biases
        one = workspace.constants.size - 1
        product(
            workspace.constants, one, 0, 0, deltas, d, width, panel, start, g * s_row, 0, gradient, g, width, 1, n_rows, width
        )  # fmt: skip
    elif reads_table and table.is_sparse:
        sparse_transposed_product(
            table, order, first_sample + first_row, gather, deltas, d, gradient, weights, n_rows, width, first, stop, accumulate
        )
    elif layer == 0 and network.has_front and first >= network.n_dense:
        n_dense, g = network.n_dense, weights + network.n_dense * width
        coded_gradient(network, workspace, first_row, n_rows, g, first - n_dense, stop - n_dense, accumulate)
    elif network.narrow[layer] and not reads_table:
        inner_width = network.widths[layer]
        a = block_rows * network.first_units[layer] + first_row * inner_width
        g = weights + first * inner_width
        product(
            deltas, d + first, 1, width, activations, a, inner_width, panel, start, g * s_row, inner_width * s_row,
            gradient, g, inner_width, stop - first, n_rows, inner_width,
        )  # fmt: skip
    else:
        A, a_inner = activations, network.widths[layer]
        a = block_rows * network.first_units[layer] + first_row * a_inner
        if reads_table:
            A, a, a_inner = X, x, network.n_features
        a += first
        D, d_row, d_panel = deltas, width, panel
        if network.wide[layer]:
            at = thread * block_rows * STRIP_ROWS
            pack_columns(A, a, a_inner, workspace.strip_inputs, at, n_rows, stop - first)
            A, a, a_inner = workspace.strip_inputs, at, stop - first
            D, d_row, d_panel = workspace.delta_panels, panel, block_rows * panel
            d = block_rows * network.first_panels[layer + 1] + first_row * panel
        g = weights + first * width
        product(
            A, a, 1, a_inner, D, d, d_row, d_panel, start, g * s_row, width * s_row, gradient, g, width, stop - first, n_rows,
            width,
        )  # fmt: skip


@jit
def gather_samples(samples, order, first_sample, workspace, first, stop, n_features):
    """Copy rows order[first_sample + i] to rows i = first … stop of the workspace: inputs unless sparse, targets, weights.

    Targets are read only once, but together they miss the cache together, not one by one in front of a branch (measured: 15 % of
    an epoch of 100,000 rows).
    """
    if not samples.table.is_sparse:
        gather_rows(samples.table.values, order, first_sample, workspace.inputs, first, stop, n_features)
    n_targets = samples.n_targets
    for i in range(first, stop):
        sample = element(order, first_sample + i)
        for j in range(n_targets):
            set_element(workspace.targets, i * n_targets + j, element(samples.targets, sample * n_targets + j))
    if samples.weights.size:
        for i in range(first, stop):
            set_element(workspace.weights, i, element(samples.weights, element(order, first_sample + i)))


@jit
def prefetch_samples(samples, order, first, stop, n_features):
    """Prefetch the start of rows order[first] to order[stop] and their targets, which are gathered next.

    Measured with one thread: it saves 4 % of an epoch of 100,000 rows of 28 columns, 10 % of 6000 rows of 784.
    """
    values, n_lanes = samples.table.values, lane_count(samples.table.values)
    if values.size * values.itemsize <= PREFETCH_FROM:
        return
    n_read = 0 if samples.table.is_sparse else min(n_features, PREFETCHED)
    for position in range(first, min(stop, order.size)):
        sample = element(order, position)
        for j in range(0, n_read + n_lanes - 1, n_lanes):  # rows rarely begin where a cache line does
            prefetch(values, sample * n_features + min(j, n_read - 1))
        prefetch(samples.targets, sample * samples.n_targets)


@jit
def share(n, part, n_parts):
    """Start of share number `part` of n_parts nearly equal shares of n rows, in whole tiles of EDGE_ROWS."""
    n_tiles = (n + EDGE_ROWS - 1) // EDGE_ROWS
    return min(n, (n_tiles * part // n_parts) * EDGE_ROWS)


@part
def pass_rows(
    network: Network,
    params: Reals,
    samples: Samples,
    order: Integers,
    first_sample: int,
    gather: int,
    workspace: Workspace,
    first: int,
    stop: int,
    following: int,
    dropout: Dropout,
) -> None:
    """Forward pass, losses and deltas of rows first to stop of a block whose row i is sample first_sample + i of the order;
    `following`: where in the order this thread continues."""
    n_features = network.n_features
    targets, weights, targets_at = samples.targets, samples.weights, first_sample
    if gather:
        prefetch_samples(samples, order, following, following + CACHED_ROWS, n_features)
        gather_samples(samples, order, first_sample, workspace, first, stop, n_features)
        targets, weights, targets_at = workspace.targets, workspace.weights, 0
    if dropout.is_on and dropout.rates[0] > 0.0:
        if network.coded.size > 1:
            drop_numbers(network, dropout, workspace.inputs, first, stop, first_sample)
        else:
            drop_inputs(dropout, workspace.inputs, first * n_features, stop * n_features, first_sample * n_features)
    masked_forward(network, params, samples.table, order, first_sample, gather, workspace, first, stop, 1, dropout)
    n_outputs, width = network.units[-1], network.widths[-1]
    outputs, targets_at = workspace.block_rows * network.first_units[-1] + first * width, targets_at + first
    rows = OutputRows(
        network.loss, network.loss_parameter, workspace.activations, outputs, stop - first, n_outputs, width, targets,
        targets_at * samples.n_targets, samples.n_targets, weights, targets_at,
    )  # fmt: skip
    output_deltas(rows, network.slopes[-1], workspace.slopes, workspace.deltas)
    output_losses(rows, workspace.row_losses, first)
    if samples.has_missing:
        mend_deltas(rows, workspace.deltas)
        mend_losses(rows, workspace.row_losses, first)
    backward(network, params, workspace, first, stop)


@jit
def sum_rows(row_losses, first, stop, weights, first_weight):
    """Sum, in order, the losses of rows first to stop of a block and their weights, which begin at first_weight or are all 1."""
    loss_sum, weight_sum = 0.0, 0.0
    for row in range(first, stop):
        loss_sum += element(row_losses, row)
    if not weights.size:
        return loss_sum, weight_sum + (stop - first)
    for i in range(first_weight, first_weight + stop - first):
        weight_sum += element(weights, i)
    return loss_sum, weight_sum


@jit
def pass_share(
    thread, n_threads, sync, network, params, samples, order, block, stop, gather, workspace, strips, n_slabs, dropout
):
    """Compute this thread's share of a block, samples `block` to `stop` of the order: activations and deltas of its rows or, with
    slabs, their gradients, losses and weights, piece by piece while a piece is in the cache. It returns early when told to stop.

    Plain twin of a batch in slabs: naive.gradients_in_slabs.
    """
    n_rows = stop - block
    n_parts, first_part, last_part = n_threads, thread, thread + 1
    weights = workspace.weights if gather else samples.weights
    piece, at = n_rows, share(n_rows, thread, n_threads)
    if n_slabs > 1:
        n_parts, first_part, last_part = n_slabs, n_slabs * thread // n_threads, n_slabs * (thread + 1) // n_threads
        piece = workspace.block_rows // n_threads
        at = piece * thread
    own_start, own_stop = block + share(n_rows, first_part, n_parts), block + share(n_rows, last_part, n_parts)
    for number in range(first_part, last_part):
        part_start, part_stop = block + share(n_rows, number, n_parts), block + share(n_rows, number + 1, n_parts)
        loss_sum, weight_sum = 0.0, 0.0
        for row in range(part_start, part_stop, at_least_1(piece)):
            n_piece = min(piece, part_stop - row)
            for first in range(at, at + n_piece, CACHED_ROWS):
                if is_stopped(sync):
                    return
                end = min(first + CACHED_ROWS, at + n_piece)
                following = row - at + end
                if following == own_stop:  # then those of the next batch
                    following = stop + own_start - block
                pass_rows(network, params, samples, order, row - at, gather, workspace, first, end, following, dropout)
            if n_slabs > 1:
                sums = sum_rows(workspace.row_losses, at, at + n_piece, weights, at if gather else row)
                loss_sum += sums[0]
                weight_sum += sums[1]
                for strip in range(strips.layers.size):
                    strip_gradient(
                        thread, network, params, samples.table, order, row - at, gather, workspace, strips, strip, at, n_piece,
                        number * network.n_parameters, row > part_start,
                    )  # fmt: skip
        if n_slabs > 1:
            workspace.slab_sums[2 * number], workspace.slab_sums[2 * number + 1] = loss_sum, weight_sum


@jit
def batch_step(
    thread, n_threads, sync, network, params, samples, order, start, stop, gather, workspace, strips, rule, step, moment_1,
    moment_2, average, dropout
):  # fmt: skip
    """Compute gradient and step of this thread's strips for one batch, samples start to stop of the order. No step is taken if
    the loss is not finite or the weights sum to zero.

    Returns whether the fit continues (it was not interrupted), the batch's mean loss without penalty, and the sum of its weights.
    """
    loss_sum, weight_sum = 0.0, 0.0
    n_slabs = min(workspace.n_slabs, (stop - start + EDGE_ROWS - 1) // EDGE_ROWS)
    block_size = stop - start if n_slabs > 1 else workspace.block_size
    # A gradient that is used at once is written to the same elements for all strips, which stay in the cache.
    is_at_once = n_slabs == 1 and stop - start <= block_size and rule.shaping == PLAIN and rule.code != GRADIENT_ONLY
    gradient_at = 0
    for block in range(start, stop, at_least_1(block_size)):
        end = min(block + block_size, stop)
        pass_share(
            thread, n_threads, sync, network, params, samples, order, block, end, gather, workspace, strips, n_slabs, dropout
        )
        barrier(sync, n_threads)
        if atomic_load(sync, STOP):  # set only before the barrier, so all threads see the same
            return False, 0.0, 0.0
        if n_slabs > 1:
            for slab in range(n_slabs):
                loss_sum += workspace.slab_sums[2 * slab]
                weight_sum += workspace.slab_sums[2 * slab + 1]
        else:
            weights, first_weight = (workspace.weights, 0) if gather else (samples.weights, block)
            sums = sum_rows(workspace.row_losses, 0, end - block, weights, first_weight)
            loss_sum += sums[0]
            weight_sum += sums[1]
        is_good = math.isfinite(loss_sum) and weight_sum != 0.0
        for strip in range(strips.owners[thread], strips.owners[thread + 1]):
            if n_slabs == 1:
                if is_at_once:
                    gradient_at = network.n_parameters + thread * strips.largest - strip_bounds(network, strips, strip)[0]
                strip_gradient(
                    thread, network, params, samples.table, order, block, gather, workspace, strips, strip, 0, end - block,
                    gradient_at, block > start,
                )  # fmt: skip
            if end == stop and is_good and rule.shaping == PLAIN:
                strip_step(
                    network, params, workspace, strips, n_slabs, gradient_at, rule, step, moment_1, moment_2, strip,
                    1.0 / weight_sum, rule.alpha / weight_sum,
                )  # fmt: skip
        if end == stop and is_good and rule.shaping != PLAIN:
            shaped_step(
                thread, n_threads, sync, network, params, workspace, strips, n_slabs, rule, step, moment_1, moment_2, average,
                weight_sum,
            )  # fmt: skip
        barrier(sync, n_threads)
    return True, loss_sum / weight_sum if weight_sum != 0.0 else 0.0, weight_sum
