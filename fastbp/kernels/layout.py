"""The memory layout: the shape of a network, and the flat vectors of parameters, gradients and solver state.

Per layer, weights come first, then biases. Rows are padded with zeros to whole vectors. The padding stays zero, because its
gradients are zero. A layer's weights are stored (n_in, n_out), those of a narrow layer (few outputs, not the first layer) as
(n_out, n_in): a row of one output, padded to a vector, would be mostly padding.
"""

import functools
from typing import NamedTuple

import numpy as np

from .compiler import inline
from .toolchain.pack import Columns, Doubles, Integers, Reals, kept
from .vectors import element

# Most outputs of a narrow layer, which has no more of them than a vector holds. Its forward pass is a dot product per output.
NARROW = 4

# The parameters of an embedded column in the flat vector, see front.py: frequencies and phases of its waves, for each output a
# factor per wave, and the outputs' offsets, which take as many elements as there are waves: whole vectors on every CPU.
N_WAVES, N_EMBEDDED = 16, 3
PHASES, COSINES, OFFSETS, EMBEDDED_SIZE = N_WAVES, 2 * N_WAVES, (2 + N_EMBEDDED) * N_WAVES, (3 + N_EMBEDDED) * N_WAVES

# In place of a layer's number, for strips of the front, of the skip layer and of the embeddings of categories.
EMBEDDING, SCALE, CODED_SCALE, SKIP, CATEGORIES = -1, -2, -3, -4, -5


@kept
class Network(NamedTuple):
    """Shape of a network. Unless said otherwise, arrays have one element per layer of units (the first three) or of weights."""

    units: Integers  # units per layer, the input first
    widths: Integers  # units rounded up to whole vectors, for some one vector more; the input is padded only if there is a front
    first_units: Integers  # sum of the widths of the layers between the table and this one
    weights_at: Integers  # offset of the layer's weights in the flat vector
    biases_at: Integers  # offset of its biases
    mirrors_at: Integers  # offset of its transposed copy, in panels, in the mirror vector
    wide: Integers  # 1 if weights and deltas are copied into panels before they are multiplied
    panels_at: Integers  # offset of its weights in the vector of panels
    first_panels: Integers  # like first_units, of the widths rounded up to whole panels (one element per layer of units)
    narrow: Integers  # 1 if weights are stored (n_out, n_in)
    activations: Integers  # code of the activation of the layer's outputs
    slopes: Integers  # code of the slope of that activation: that of the activation, KEPT or CANCELS
    loss: int
    loss_parameter: Doubles  # (n_outputs,): parameter of each output's loss, or 0; of the squared error what divides it
    groups: Integers  # (n_groups + 1,): where the outputs of each softmax begin, and their number; mostly 0, n_outputs
    fit_intercept: int
    n_parameters: int  # length of the flat vector, padding included
    n_mirror: int  # length of the mirror vector
    n_panels: int  # length of the vector of panels
    n_features: int  # columns of the table
    row_width: int  # elements of a row in all layers whose activations are written down
    has_front: int  # 1: the first layer reads layer 0 of the activations, not the table
    embedded: Integers  # numbers of the columns that are embedded
    embedding_at: int  # offset of the first one's parameters
    has_scale: int  # 1: the first layer's inputs have a factor each
    scale_at: int  # offset of these factors, except those of categories
    unscaled_at: int  # sum of the widths before the inputs without the scale
    skip_layer: int  # the layer to whose z a linear function of the table is added; -1: none
    skip_at: int  # offset of that function's weights, stored as those of a first layer
    # 1: the last layer's weights and the intercept of the layer before are fixed, its intercepts fall from the second on
    is_ordered: int
    coded: Integers  # (n_coded + 1,): first category of each column of codes, and the number of all; mostly 0
    n_dense: int  # inputs of the first layer without the categories, which are the last
    coded_scale_at: int  # offset of the factors of categories
    coded_at: int  # sum of the widths before the numbers of a row's categories
    coded_width: int  # elements of these, of as many factors and of one more, whole vectors
    # (n_coded + 1,) if categories have embeddings, which are the last of the dense inputs: where each column's embedding begins
    # among them, and the number of all; 0 if categories are inputs themselves
    category_outputs: Integers
    categories_at: Integers  # (n_coded,): offset of each column's embeddings, a row per category without padding


def once_per_network(find):
    """Remember the result of a function of a Network, which never changes."""

    @functools.wraps(find)
    def found(network):
        known = network.__dict__
        try:
            return known[find]
        except KeyError:
            known[find] = result = find(network)
            return result

    return found


class InputTable(NamedTuple):
    """Rows of samples: dense (values alone, row after row) or CSR."""

    values: Reals
    columns: Columns  # int32, empty if dense
    row_starts: Integers  # int64, empty if dense
    is_sparse: int
    n_rows: int


@kept
class Samples(NamedTuple):
    """Rows with their targets and weights."""

    table: InputTable
    targets: Reals  # (n_rows · n_targets,); for log_loss and focal one class index per row
    n_targets: int
    weights: Reals  # (n_rows,) in the table's dtype, or empty
    has_missing: int  # 1: some targets are NaN, which are left out


class OutputRows(NamedTuple):
    """Outputs of some rows with their targets and weights, and the loss that compares them."""

    loss: int
    parameter: Doubles  # (n_outputs,) or more: `loss_parameter` of the network
    outputs: Reals  # (n_rows, width) from element `at` on
    at: int
    n_rows: int
    n_outputs: int
    width: int
    targets: Reals  # (n_rows, n_targets) from element `first_target` on; class indices, one per row, for log_loss and focal
    first_target: int
    n_targets: int
    weights: Reals  # (n_rows,) from element `first_weight` on, or empty
    first_weight: int


@inline
def weight_of(rows, i):
    """Weight of row i of OutputRows, 1 without weights."""
    return np.float64(element(rows.weights, rows.first_weight + i)) if rows.weights.size else 1.0


@kept
class Workspace(NamedTuple):
    """What a pass over a block of rows writes, allocated once per fit."""

    inputs: Reals  # the block's rows if they are gathered: (block_rows, n_features)
    targets: Reals  # likewise: (block_rows, n_targets)
    weights: Reals  # likewise: (block_rows,), or empty
    # All layers' outputs: layer l at block_rows · first_units[l], (block_rows, widths[l]); behind them the slopes, laid out
    # alike, if some layer's activation keeps them.
    activations: Reals
    deltas: Reals  # all layers' error signals, laid out like `activations`
    mirror: Reals  # transposed weights for the backward pass, in panels: (n_out, widths of the layer's input)
    panels: Reals  # wide layers' weights in panels: (n_in, n_out)
    delta_panels: Reals  # wide layers' deltas in panels: layer l at block_rows · first_panels[l]
    strip_inputs: Reals  # per thread, inputs for one strip of a wide layer's weights: (block_rows, STRIP_ROWS)
    gradient: Reals  # one vector per slab, laid out like the parameters; behind them, per thread, room for one strip
    constants: Reals  # zeros, as many as the widest row has, then a 1
    signs: Reals  # laid out like the parameters: the sign that each has to keep, 0 if it is free; or empty
    row_losses: Doubles  # one per row of the block
    strip_norms: Doubles  # sum of squared weights per strip
    strip_sums: Doubles  # sum of the weights' magnitudes per strip
    strip_squares: Doubles  # sum of squares of the gradient per strip
    slab_sums: Doubles  # sums of the rows' losses and weights per slab
    slopes: int  # how many elements behind an activation its slope is; 0 if no layer keeps slopes
    block_rows: int  # rows there is room for
    block_size: int  # rows of a block, the same for any number of threads
    n_slabs: int  # number of slabs that a batch is cut into; 1: it is cut into blocks


@kept
class Strips(NamedTuple):
    """The parameters cut into pieces of some thousand elements: a thread computes and applies the gradient of whole strips.

    The pieces do not depend on the number of threads, and sums are taken in their order, so the bits do not depend on it either.
    """

    layers: Integers  # or one of EMBEDDING, whose rows are embedded columns, SCALE, CODED_SCALE, SKIP and CATEGORIES
    # First stored row of the weights; -1: the biases. For CATEGORIES this and the next are elements of the flat vector.
    firsts: Integers
    stops: Integers
    owners: Integers  # (n_threads + 1,): thread t works on strips owners[t] to owners[t + 1]
    largest: int  # elements of the largest
    rates: Doubles  # factor on the learning rate of each
    decays: Doubles  # factor on the decoupled decay of each
