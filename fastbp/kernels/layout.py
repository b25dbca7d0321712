"""Where everything lies: the network's shape and the flat vectors that hold parameters, gradients and solver state.

Per layer, weights come first, then biases. Rows are padded with zeros to whole vectors, and stay zero: gradients of padding are
zero. A layer's weights are stored (n_in, n_out); a narrow layer's (few outputs, not the first) the other way round, (n_out,
n_in), because a row of one output padded to a vector would be mostly padding.
"""

from typing import NamedTuple

from .toolchain.pack import Columns, Doubles, Integers, Reals, kept

# Up to so many outputs, and no more than a vector holds, a layer is stored (n_out, n_in) and its forward pass is a dot product
# per output.
NARROW = 4

# What an embedded column has in the flat vector, see front.py: frequencies and phases of its waves, then for each output what the
# waves' cosines are multiplied by, and the outputs' offsets, in room for as many as there are waves: whole vectors on every CPU.
N_WAVES, N_EMBEDDED = 16, 3
PHASES, COSINES, OFFSETS, EMBEDDED_SIZE = N_WAVES, 2 * N_WAVES, (2 + N_EMBEDDED) * N_WAVES, (3 + N_EMBEDDED) * N_WAVES

EMBEDDING, SCALE, CODED_SCALE = -1, -2, -3  # "layers" of the strips that belong to the front
SKIP = -4  # and of those of the weights that lead from the table past hidden layers
CATEGORIES = -5  # and of those of the embeddings of categories


@kept
class Network(NamedTuple):
    """Shape of a network; arrays are int64 and have one element per layer of units (first three) or of weights (the rest)."""

    units: Integers  # units per layer, the input first
    widths: Integers  # the same rounded up to whole vectors, for some a vector more; the input is padded behind a front only
    first_units: Integers  # sum of the widths of the layers between the table and this one
    weights_at: Integers  # offset of the layer's weights in the flat vector
    biases_at: Integers  # offset of its biases
    mirrors_at: Integers  # offset of its transposed copy, in panels, in the mirror vector
    wide: Integers  # 1 where weights and deltas are copied into panels before they are multiplied
    panels_at: Integers  # offset of its weights in the vector of panels
    first_panels: Integers  # like first_units, of the widths rounded up to whole panels (one element per layer of units)
    narrow: Integers  # 1 where weights are stored (n_out, n_in)
    activations: Integers  # code of the activation of the layer's outputs
    slopes: Integers  # code of the slope of that activation: the same, KEPT or CANCELS
    loss: int
    # float64, (n_outputs,): what shapes the loss of each output, or divides the squared error; 0 where it has no parameter
    loss_parameter: Doubles
    groups: Integers  # int64, (n_groups + 1,): where the outputs of each softmax begin, and the number of all; mostly 0, all
    fit_intercept: int
    n_parameters: int  # length of the flat vector, padding included
    n_mirror: int  # length of the mirror vector
    n_panels: int  # length of the vector of panels
    n_features: int  # columns of the table
    row_width: int  # elements of a row in all layers whose activations are written down
    has_front: int  # 1: the first layer does not read the table itself, and what it reads is layer 0 of the activations
    embedded: Integers  # int64, columns that are embedded
    embedding_at: int  # offset of the first one's parameters
    has_scale: int  # 1: the first layer's inputs have a factor each
    scale_at: int  # offset of these, but for those of categories
    unscaled_at: int  # sum of the widths before the inputs as they are before the scale
    skip_layer: int  # the layer to whose z a linear function of the table is added; -1: none
    skip_at: int  # offset of that function's weights, stored as those of a first layer
    is_ordered: (
        int  # 1: the last layer's weights and the intercept below are fixed, its intercepts kept falling from the second on
    )
    coded: Integers  # int64, (n_coded + 1,): first category of each column of codes, and the number of all; mostly 0
    n_dense: int  # inputs of the first layer but for the categories, which are the last
    coded_scale_at: int  # offset of the factors of categories
    coded_at: int  # sum of the widths before the numbers of a row's categories
    coded_width: int  # elements of these, of as many factors and of one more, whole vectors
    # int64, (n_coded + 1,) where categories have embeddings, which are the last of the dense inputs: where each column's begins
    # among them, and the number of all; 0 where categories are inputs themselves
    category_outputs: Integers
    categories_at: Integers  # int64, (n_coded,): offset of each column's embeddings, a row per category without padding


class InputTable(NamedTuple):
    """Rows of samples: dense (values alone, row after row) or CSR."""

    values: Reals
    columns: Columns  # int32, empty if dense
    row_starts: Integers  # int64, empty if dense
    is_sparse: int
    n_rows: int


class Samples(NamedTuple):
    """Rows with what is to be learnt from them."""

    table: InputTable
    targets: Reals  # (n_rows · n_targets,); for log_loss and focal one class index per row
    n_targets: int
    weights: Reals  # (n_rows,) in the table's dtype, or empty
    has_missing: int  # 1: some targets are NaN, and count nowhere


@kept
class Workspace(NamedTuple):
    """What a pass over a block of rows writes, allocated once per fit."""

    inputs: Reals  # the block's rows where they had to be gathered: (block_rows, n_features)
    targets: Reals  # likewise: (block_rows, n_targets)
    weights: Reals  # likewise: (block_rows,), or empty
    # All layers' outputs: layer l at block_rows · first_units[l], (block_rows, widths[l]); behind them, if some layer's
    # activation keeps its slopes, as much again for these.
    activations: Reals
    deltas: Reals  # all layers' error signals, laid out like `activations`
    mirror: Reals  # transposed weights for the backward pass, in panels: (n_out, widths of the layer's input)
    panels: Reals  # wide layers' weights in panels: (n_in, n_out)
    delta_panels: Reals  # wide layers' deltas in panels: layer l at block_rows · first_panels[l]
    strip_inputs: Reals  # per thread, what one strip of a wide layer's weights is multiplied with: (block_rows, STRIP_ROWS)
    # Laid out like the parameters, one such vector per slab; behind them, per thread, room for one strip.
    gradient: Reals
    constants: Reals  # zeros, as many as the widest row, and a 1 behind them
    signs: Reals  # laid out like the parameters: the sign that each has to keep, 0 where it is free; or empty
    row_losses: Doubles  # float64, one per row of the block
    strip_norms: Doubles  # float64, sum of squared weights per strip
    strip_sums: Doubles  # float64, sum of the weights' magnitudes per strip
    strip_squares: Doubles  # float64, sum of squares of the gradient per strip
    slab_sums: Doubles  # float64, sums of the rows' losses and weights per slab
    slopes: int  # how far behind an activation its slope is; 0 where no layer's are kept
    block_rows: int  # rows there is room for
    block_size: int  # rows that a batch is cut by, for any number of threads the same
    n_slabs: int  # a batch is cut into so many; 1: into blocks


@kept
class Strips(NamedTuple):
    """The parameters cut into pieces of some thousand elements: a thread computes and applies the gradient of whole strips.

    The pieces do not depend on the number of threads; that, and sums in the order of strips, gives the same bits for any number.
    """

    layers: Integers  # int64; EMBEDDING, whose rows are embedded columns, SCALE, CODED_SCALE, SKIP and CATEGORIES too
    # First stored row of the weights; -1: the biases. Of CATEGORIES these two are elements of the flat vector.
    firsts: Integers
    stops: Integers
    owners: Integers  # (n_threads + 1,): thread t works on strips owners[t] to owners[t + 1]
    largest: int  # elements of the largest
    rates: Doubles  # float64, factor on the learning rate of each
    decays: Doubles  # float64, factor on what decoupled decay takes
