"""Columns of codes: categories of which the first layer adds the row of its weights that a code names.

They are the last columns of the table; column k holds numbers of its own categories from 0 on, and what is none of these adds
nothing. All categories together, column after column, are the last inputs of the first layer, as if each were a column of zeros
and ones. The forward pass writes a row's inputs down, their numbers among these or -1; where they have a scale, the backward pass
writes its slopes to the same places of the deltas.
"""

import numpy as np

from .compiler import jit, part
from .dropout import Dropout, drop_inputs, is_input_kept
from .layout import Network
from .products import add_scaled_row
from .toolchain.pack import Reals
from .vectors import broadcast, element, lane_count, lane_sum, load, multiply_add, set_element, store


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
            code, lowest, number = element(X, source + k), element(network.coded, k), -1
            if code >= 0.0 and code < element(network.coded, k + 1) - lowest:  # NaN is not
                number = lowest + int(code)
                if drops and not is_input_kept(dropout, activations, counter + number):
                    number = -1
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
