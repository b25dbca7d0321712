"""Columns of codes: categories of which the first layer adds the row of its weights that a code names.

They are the last columns of the table; column k holds numbers of its own categories from 0 on, and what is none of these adds
nothing. All categories together, column after column, are the last inputs of the first layer, as if each were a column of zeros
and ones. The forward pass writes a row's inputs down, their numbers among these or -1; where they have a scale, the backward pass
writes its slopes to the same places of the deltas.

Or each category has an embedding, a row of numbers that is trained, and a column's number names the row that the first layer has
among its inputs: what the zeros and ones would become in a linear layer of the column's own.
"""

import numpy as np

from .compiler import jit, part
from .dropout import Dropout, drop_inputs, is_input_kept
from .layout import Network
from .products import add_scaled_row
from .toolchain.pack import Reals
from .vectors import at_least_1, broadcast, element, lane_count, lane_sum, load, multiply_add, set_element, store


@jit
def _row_of_codes(network, block_rows, row):
    """Where in the activations the numbers of a row of the block begin; behind them stand what each counts for, 1 without
    dropout, and the factor on each one's row of weights."""
    return block_rows * network.coded_at + row * network.coded_width


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
def _named(network, dropout, drops, activations, X, at, k, counter):
    """The number, among all categories, of the one that X[at] names in column k of codes; -1 if it is none or dropped."""
    code, lowest, number = element(X, at), element(network.coded, k), -1
    if code >= 0.0 and code < element(network.coded, k + 1) - lowest:  # NaN is not
        number = lowest + int(code)
        if drops and not is_input_kept(dropout, activations, counter + number):
            number = -1
    return number


@part
def coded_forward(
    network: Network,
    params: Reals,
    X: Reals,
    x: int,
    activations: Reals,
    block_rows: int,
    first: int,
    n_rows: int,
    dropout: Dropout,
    first_sample: int,
) -> None:
    """Read the codes of n_rows rows of the table, from X[x] on, as rows `first` on of the block, and add what they name to the
    first layer's z; first_sample: where in the order the first row stands."""
    n_coded, width = network.coded.size - 1, element(network.widths, 1)
    n_categories, n_numbers = element(network.coded, n_coded), network.n_features - n_coded
    z = block_rows * element(network.first_units, 1) + first * width
    w = element(network.weights_at, 0) + network.n_dense * width
    drops = dropout.is_on and dropout.rates[0] > 0.0
    value = 1.0 / (1.0 - dropout.rates[0] * dropout.factor) if drops else 1.0
    for row in range(n_rows):
        source, target = x + row * network.n_features + n_numbers, _row_of_codes(network, block_rows, first + row)
        counter = (first_sample + row) * (n_numbers + n_categories) + n_numbers
        for k in range(n_coded):
            number = _named(network, dropout, drops, activations, X, source + k, k, counter)
            factor = 0.0
            if number >= 0:
                factor = value * np.float64(element(params, network.coded_scale_at + number)) if network.has_scale else value
                add_scaled_row(factor, params, w + number * width, activations, z + row * width, width)
            set_element(activations, target + k, float(number))
            # For the gradient, beside which another thread may step the scale.
            set_element(activations, target + n_coded + 1 + k, factor)
        set_element(activations, target + n_coded, value)


@part
def coded_backward(
    network: Network, params: Reals, activations: Reals, deltas: Reals, block_rows: int, first: int, n_rows: int
) -> None:
    """Slopes of rows `first` on by the scales of their categories: the row of weights times the first layer's delta."""
    n_lanes, n_coded, width = lane_count(deltas), network.coded.size - 1, element(network.widths, 1)
    d = block_rows * element(network.first_units, 1) + first * width
    w = element(network.weights_at, 0) + network.n_dense * width
    for row in range(n_rows):
        at, delta = _row_of_codes(network, block_rows, first + row), d + row * width
        value = element(activations, at + n_coded)
        for k in range(at, at + n_coded):
            number, total = int(element(activations, k)), broadcast(deltas, 0.0)
            if number >= 0:
                for j in range(0, width, n_lanes):
                    total = multiply_add(load(deltas, delta + j), load(params, w + number * width + j), total)
            set_element(deltas, k, value * lane_sum(total))


@part
def coded_gradient(
    network: Network,
    activations: Reals,
    deltas: Reals,
    block_rows: int,
    first_row: int,
    n_rows: int,
    gradient: Reals,
    g: int,
    first: int,
    stop: int,
    accumulate: bool,
) -> None:
    """Gradient of the rows of weights of categories first to stop over n_rows rows of the block from first_row on; that of
    category 0 lies at gradient[g]."""
    n_coded, width = network.coded.size - 1, element(network.widths, 1)
    d = block_rows * element(network.first_units, 1) + first_row * width
    if not accumulate:
        for i in range(g + first * width, g + stop * width, lane_count(gradient)):
            store(gradient, i, broadcast(gradient, 0.0))
    for k in range(n_coded):
        if element(network.coded, k + 1) > first and element(network.coded, k) < stop:
            for row in range(n_rows):
                at = _row_of_codes(network, block_rows, first_row + row)
                number = int(element(activations, at + k))
                if number >= first and number < stop:
                    factor = np.float64(element(activations, at + n_coded + 1 + k))
                    add_scaled_row(factor, deltas, d + row * width, gradient, g + number * width, width)


@part
def coded_scale_gradient(
    network: Network,
    activations: Reals,
    deltas: Reals,
    block_rows: int,
    first_row: int,
    n_rows: int,
    gradient: Reals,
    g: int,
    accumulate: bool,
) -> None:
    """Gradient, at gradient[g], of the scales of all categories over n_rows rows of the block from first_row on."""
    n_coded = network.coded.size - 1
    if not accumulate:
        for i in range(g, g + element(network.coded, n_coded), lane_count(gradient)):
            store(gradient, i, broadcast(gradient, 0.0))
    for row in range(n_rows):
        at = _row_of_codes(network, block_rows, first_row + row)
        for k in range(at, at + n_coded):
            number = int(element(activations, k))
            if number >= 0:
                set_element(gradient, g + number, element(gradient, g + number) + element(deltas, k))


@part
def embed_categories(
    network: Network,
    params: Reals,
    X: Reals,
    x: int,
    activations: Reals,
    block_rows: int,
    first: int,
    n_rows: int,
    dropout: Dropout,
    first_sample: int,
) -> None:
    """Read the codes of n_rows rows of the table, from X[x] on, as rows `first` on of the block, and write the embeddings that
    they name, zeros for none, to the inputs of the first layer before the scale; first_sample: as in `coded_forward`."""
    n_coded, width = network.coded.size - 1, element(network.widths, 0)
    n_numbers, n_outputs = network.n_features - n_coded, element(network.category_outputs, n_coded)
    n_categories = element(network.coded, n_coded)
    u = block_rows * network.unscaled_at + first * width + network.n_dense - n_outputs
    drops = dropout.is_on and dropout.rates[0] > 0.0
    value = 1.0 / (1.0 - dropout.rates[0] * dropout.factor) if drops else 1.0
    for row in range(n_rows):
        source, target = x + row * network.n_features + n_numbers, _row_of_codes(network, block_rows, first + row)
        counter = (first_sample + row) * (n_numbers + n_categories) + n_numbers
        for k in range(n_coded):
            number = _named(network, dropout, drops, activations, X, source + k, k, counter)
            at = element(network.category_outputs, k)
            size = element(network.category_outputs, k + 1) - at
            at += u + row * width
            e = element(network.categories_at, k) + (number - element(network.coded, k)) * size
            factor = 0.0 if number < 0 else value
            for j in range(size):
                set_element(activations, at + j, 0.0 if number < 0 else factor * np.float64(element(params, e + j)))
            set_element(activations, target + k, float(number))
            set_element(activations, target + n_coded + 1 + k, factor)


@part
def category_gradient(
    network: Network,
    activations: Reals,
    deltas: Reals,
    block_rows: int,
    first_row: int,
    n_rows: int,
    gradient: Reals,
    gradient_at: int,
    start: int,
    stop: int,
    accumulate: bool,
) -> None:
    """Gradient of a column's embeddings that are elements start to stop of the flat vector, over n_rows rows of the block from
    first_row on; where it begins is at gradient[gradient_at]."""
    n_coded, width = network.coded.size - 1, element(network.widths, 0)
    if not accumulate:
        for i in range(gradient_at + start, gradient_at + stop, lane_count(gradient)):
            store(gradient, i, broadcast(gradient, 0.0))
    k = n_coded - 1
    while element(network.categories_at, k) > start:
        k -= 1
    lowest, at = element(network.coded, k), element(network.category_outputs, k)
    size, e = element(network.category_outputs, k + 1) - at, element(network.categories_at, k)
    first, last = (start - e) // at_least_1(size), (stop - e) // at_least_1(size)
    d = block_rows * network.unscaled_at + first_row * width + network.n_dense - element(network.category_outputs, n_coded) + at
    for row in range(n_rows):
        codes = _row_of_codes(network, block_rows, first_row + row)
        number = int(element(activations, codes + k)) - lowest
        if number >= first and number < last:
            factor = np.float64(element(activations, codes + n_coded + 1 + k))
            g = gradient_at + e + number * size
            for j in range(size):
                summand = factor * np.float64(element(deltas, d + row * width + j))
                set_element(gradient, g + j, np.float64(element(gradient, g + j)) + summand)
