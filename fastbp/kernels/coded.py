"""Columns of codes, for categories: a code selects the row of the first layer's weights that is added.

The columns of codes are the last ones of the table. Column k holds numbers of its own categories, from 0 on; any other value adds
nothing. All categories together, column after column, are the last inputs of the first layer, as if each were a column of zeros
and ones. The forward pass writes down, per row, the number of each of these inputs that is one, or -1. If there is a scale, the
backward pass writes the slopes by it to the same places of the deltas.

Or each category has an embedding, a trained row of numbers: the code selects the row that becomes inputs of the first layer, as a
linear layer of the column's own would make it of zeros and ones.
"""

import numpy as np

from .compiler import jit, part
from .dropout import Dropout, drop_inputs, is_input_kept
from .layout import Network, Workspace
from .products import add_scaled_row
from .toolchain.pack import Reals
from .vectors import at_least_1, broadcast, element, lane_count, lane_sum, load, multiply_add, set_element, store


@jit
def _row_of_codes(network, workspace, row):
    """Where in the activations the numbers of a row of the block begin. Behind them are one number that each is multiplied by, 1
    without dropout, and the factor on each one's row of weights."""
    return workspace.block_rows * network.coded_at + row * network.coded_width


@jit
def drop_numbers(network, dropout, inputs, first, stop, first_sample):
    """Mask the numbers of rows first to stop of the gathered inputs as if every category were a column of its own."""
    n_features = network.n_features
    n_numbers = n_features - network.coded.size + 1
    n_inputs = n_numbers + element(network.coded, network.coded.size - 1)
    for row in range(first, stop):
        at = row * n_features
        drop_inputs(dropout, inputs, at, at + n_numbers, (first_sample + row) * n_inputs - at)


@jit
def _category(network, dropout, drops, X, at, k, counter):
    """The number, among all categories, of the one with code X[at] in column k of codes; -1 if there is none or it is dropped."""
    code, lowest, number = element(X, at), element(network.coded, k), -1
    if code >= 0.0 and code < element(network.coded, k + 1) - lowest:  # false for NaN
        number = lowest + int(code)
        if drops and not is_input_kept(dropout, X, counter + number):
            number = -1
    return number


@jit
def _write_embedding(network, params, workspace, row, k, number, factor):
    """Write the embedding of a category of column k, times a factor, to the inputs of the first layer before the scale, in a row
    of the block; zeros for category -1."""
    at = element(network.category_outputs, k)
    size = element(network.category_outputs, k + 1) - at
    embedding = element(network.categories_at, k) + (number - element(network.coded, k)) * size
    n_outputs = element(network.category_outputs, network.category_outputs.size - 1)
    at += workspace.block_rows * network.unscaled_at + row * element(network.widths, 0) + network.n_dense - n_outputs
    for j in range(size):
        value = 0.0 if number < 0 else factor * np.float64(element(params, embedding + j))
        set_element(workspace.activations, at + j, value)


@part
def coded_forward(
    network: Network,
    params: Reals,
    X: Reals,
    x: int,
    workspace: Workspace,
    first: int,
    n_rows: int,
    dropout: Dropout,
    first_sample: int,
) -> None:
    """Read the codes of n_rows rows of the table, from X[x] on, as rows `first` on of the block. Write the embeddings that they
    select, or add the rows of weights to the first layer's z; first_sample: where in the order the first row is."""
    activations, n_coded, width = workspace.activations, network.coded.size - 1, element(network.widths, 1)
    n_categories, n_numbers = element(network.coded, n_coded), network.n_features - n_coded
    z = workspace.block_rows * element(network.first_units, 1) + first * width
    w = element(network.weights_at, 0) + network.n_dense * width
    drops = dropout.is_on and dropout.rates[0] > 0.0
    value = 1.0 / (1.0 - dropout.rates[0] * dropout.factor) if drops else 1.0
    for row in range(n_rows):
        source, target = x + row * network.n_features + n_numbers, _row_of_codes(network, workspace, first + row)
        counter = (first_sample + row) * (n_numbers + n_categories) + n_numbers
        for k in range(n_coded):
            number = _category(network, dropout, drops, X, source + k, k, counter)
            factor = value if number >= 0 else 0.0
            if network.category_outputs.size > 1:
                _write_embedding(network, params, workspace, first + row, k, number, factor)
            elif number >= 0:
                if network.has_scale:
                    factor *= np.float64(element(params, network.coded_scale_at + number))
                add_scaled_row(factor, params, w + number * width, activations, z + row * width, width)
            set_element(activations, target + k, float(number))
            # For the gradient: another thread may step the scale meanwhile.
            set_element(activations, target + n_coded + 1 + k, factor)
        set_element(activations, target + n_coded, value)


@part
def coded_backward(network: Network, params: Reals, workspace: Workspace, first: int, n_rows: int) -> None:
    """Slopes of rows `first` on by the scales of their categories: the row of weights times the first layer's delta."""
    deltas, n_coded, width = workspace.deltas, network.coded.size - 1, element(network.widths, 1)
    d = workspace.block_rows * element(network.first_units, 1) + first * width
    w = element(network.weights_at, 0) + network.n_dense * width
    for row in range(n_rows):
        at, delta = _row_of_codes(network, workspace, first + row), d + row * width
        value = element(workspace.activations, at + n_coded)
        for k in range(at, at + n_coded):
            number, total = int(element(workspace.activations, k)), broadcast(deltas, 0.0)
            if number >= 0:
                for j in range(0, width, lane_count(deltas)):
                    total = multiply_add(load(deltas, delta + j), load(params, w + number * width + j), total)
            set_element(deltas, k, value * lane_sum(total))


@jit
def _set_to_zero(x, start, stop):
    """Set elements start to stop, whole vectors, to 0."""
    for i in range(start, stop, lane_count(x)):
        store(x, i, broadcast(x, 0.0))


@part
def coded_gradient(
    network: Network, workspace: Workspace, first_row: int, n_rows: int, g: int, first: int, stop: int, accumulate: bool
) -> None:
    """Gradient of the rows of weights of categories first to stop over n_rows rows of the block from first_row on; that of
    category 0 is at gradient[g]."""
    activations, n_coded, width = workspace.activations, network.coded.size - 1, element(network.widths, 1)
    d = workspace.block_rows * element(network.first_units, 1) + first_row * width
    if not accumulate:
        _set_to_zero(workspace.gradient, g + first * width, g + stop * width)
    for k in range(n_coded):
        if element(network.coded, k + 1) > first and element(network.coded, k) < stop:
            for row in range(n_rows):
                at = _row_of_codes(network, workspace, first_row + row)
                number = int(element(activations, at + k))
                if number >= first and number < stop:
                    factor = np.float64(element(activations, at + n_coded + 1 + k))
                    add_scaled_row(factor, workspace.deltas, d + row * width, workspace.gradient, g + number * width, width)


@part
def coded_scale_gradient(network: Network, workspace: Workspace, first_row: int, n_rows: int, g: int, accumulate: bool) -> None:
    """Gradient, at gradient[g], of the scales of all categories over n_rows rows of the block from first_row on."""
    gradient, n_coded = workspace.gradient, network.coded.size - 1
    if not accumulate:
        _set_to_zero(gradient, g, g + element(network.coded, n_coded))
    for row in range(n_rows):
        at = _row_of_codes(network, workspace, first_row + row)
        for k in range(at, at + n_coded):
            number = int(element(workspace.activations, k))
            if number >= 0:
                set_element(gradient, g + number, element(gradient, g + number) + element(workspace.deltas, k))


@part
def category_gradient(
    network: Network,
    workspace: Workspace,
    first_row: int,
    n_rows: int,
    gradient_at: int,
    start: int,
    stop: int,
    accumulate: bool,
) -> None:
    """Gradient of a column's embeddings that are elements start to stop of the flat vector, over n_rows rows of the block from
    first_row on; element 0 of that vector's gradient is at gradient[gradient_at]."""
    gradient, n_coded, width = workspace.gradient, network.coded.size - 1, element(network.widths, 0)
    if not accumulate:
        _set_to_zero(gradient, gradient_at + start, gradient_at + stop)
    k = n_coded - 1
    while element(network.categories_at, k) > start:
        k -= 1
    lowest, at = element(network.coded, k), element(network.category_outputs, k)
    size, e = element(network.category_outputs, k + 1) - at, element(network.categories_at, k)
    first, last = (start - e) // at_least_1(size), (stop - e) // at_least_1(size)
    at += network.n_dense - element(network.category_outputs, n_coded)
    d = workspace.block_rows * network.unscaled_at + first_row * width + at
    for row in range(n_rows):
        codes = _row_of_codes(network, workspace, first_row + row)
        number = int(element(workspace.activations, codes + k)) - lowest
        if number >= first and number < last:
            factor = np.float64(element(workspace.activations, codes + n_coded + 1 + k))
            g = gradient_at + e + number * size
            for j in range(size):
                summand = factor * np.float64(element(workspace.deltas, d + row * width + j))
                set_element(gradient, g + j, np.float64(element(gradient, g + j)) + summand)
