"""Derivatives of the outputs by the inputs, row by row: from each output back through all layers to the inputs."""

from ..names import CANCELS, SOFTMAX
from . import needs
from .activations import multiply_by_slope
from .atomics import is_stopped
from .compiler import entry, jit
from .layout import InputTable, Network, Workspace
from .passes import CACHED_ROWS, backward, forward
from .products import add_product, panel_width, product
from .steps import refresh_copies
from .toolchain.pack import Integers, Reals
from .vectors import at_least_1, element, set_element


@jit
def _start_at_output(network, workspace, output, of_logits, n_rows):
    """Write the deltas of the output layer, (n_rows, width), for the derivative of one output, or of its z."""
    activations, deltas, width = workspace.activations, workspace.deltas, element(network.widths, network.units.size - 1)
    at = workspace.block_rows * element(network.first_units, network.units.size - 1)
    code, slope = network.activations[-1], network.slopes[-1]
    is_softmax = code == SOFTMAX and not of_logits
    first, stop = 0, 0  # the outputs that share its softmax
    for group in range(network.groups.size - 1):
        if network.groups[group] <= output:
            first, stop = network.groups[group], network.groups[group + 1]
    for i in range(at, at + n_rows * width):
        set_element(deltas, i, 1.0)
    if not (is_softmax or of_logits):
        multiply_by_slope(code if slope == CANCELS else slope, activations, workspace.slopes, deltas, at, n_rows * width)
    for row in range(at, at + n_rows * width, at_least_1(width)):
        own = element(activations, row + output) if is_softmax else element(deltas, row + output)
        for j in range(network.units[-1]):
            of_other = -own * element(activations, row + j) if is_softmax and first <= j < stop else 0.0
            set_element(deltas, row + j, of_other + own if j == output else of_other)


@entry(parts=needs.explain)
def input_gradients(
    sync: Integers,
    network: Network,
    params: Reals,
    table: InputTable,
    order: Integers,
    workspace: Workspace,
    first_transposed: Reals,
    inner: Reals,
    gradients: Reals,
    first: int,
    stop: int,
    of_logits: int,
):
    """Write the derivatives of the outputs, or with of_logits of their z, for rows first to stop of a table to gradients:
    (n_rows, n_outputs, n_features).

    first_transposed: the first layer's weights, (n_out, width), where width is n_features rounded up to whole vectors, followed
    by the skip layer's in the same form; inner: room for (CACHED_ROWS, width), followed by a row of zeros; order: (0,), unused.
    It returns early when told to stop.
    """
    n_features, n_inner, n_outputs = network.units[0], network.units[1], network.units[-1]
    skipped = network.skip_layer + 1  # the layer of units that the skip layer adds to; 0: none
    size = min(CACHED_ROWS, workspace.block_rows)
    width = first_transposed.size // (n_inner + (network.units[skipped] if skipped else 0))
    for layer in range(network.units.size - 1):
        refresh_copies(network, params, workspace, layer, 0, network.units[layer])
    for row in range(first, stop, at_least_1(size)):
        if is_stopped(sync):
            return
        n_rows = min(size, stop - row)
        forward(network, params, table, order, row, 0, workspace, 0, n_rows, 1)
        for output in range(n_outputs):
            _start_at_output(network, workspace, output, of_logits, n_rows)
            backward(network, params, workspace, 0, n_rows)
            product(
                workspace.deltas, 0, network.widths[1], 1, first_transposed, 0, width, panel_width(inner),
                inner, CACHED_ROWS * width, 0, inner, 0, width, n_rows, n_inner, width,
            )  # fmt: skip
            if skipped:
                d = workspace.block_rows * network.first_units[skipped]
                add_product(
                    workspace.deltas, d, network.widths[skipped], first_transposed, n_inner * width, inner, 0, n_rows,
                    network.units[skipped], width,
                )  # fmt: skip
            for i in range(n_rows):
                target = ((row + i) * n_outputs + output) * n_features
                for j in range(n_features):
                    set_element(gradients, target + j, element(inner, i * width + j))
