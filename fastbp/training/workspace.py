"""The memory a run works in, and how its parameters are cut among threads."""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.kernels.atomics import SYNC_SIZE
from fastbp.kernels.layout import (
    CATEGORIES,
    CODED_SCALE,
    EMBEDDED_SIZE,
    EMBEDDING,
    N_WAVES,
    SCALE,
    SKIP,
    Network,
    Samples,
    Strips,
    Workspace,
)
from fastbp.kernels.tiles import EDGE_ROWS, STRIP_ROWS, TILE_ROWS
from fastbp.names import KEPT
from fastbp.training.network import aligned_arrays
from fastbp.training.settings import EQUAL_RATES, RateFactors

# A block of rows should pass forward and backward within the second-level cache.
BLOCK_BYTES = 1 << 20
MIN_BLOCK_ROWS = 256
# A strip of parameters, its gradient and moments should fit the first-level cache; smaller ones share better among threads.
STRIP_ELEMENTS = 1536
# Fewest rows of a slab, most slabs of a batch, and most rows of a slab whose activations are kept until they are made gradients.
SLAB_ROWS = 80
MAX_SLABS = 8
PIECE_ROWS = 256
UPDATE_WORK = 12  # floating-point operations of a step per parameter, roughly
# Work that takes as long as fetching an element that another core has written: where rows are fetched, two threads pay beyond it
# (measured: digits in batches of 32, 64-64-32-10 in float32, take 246 ms with one thread and 374 ms with two).
EXCHANGE_WORK = 40
EMBEDDED_COLUMNS = 8  # of a strip: their gradient takes longer than that of as many weights,
EMBEDDED_WORK = 4  # about so much longer
WAVE_WORK = 80  # floating-point operations of a wave of the embedding, there and back
SPARSE_STRIPS = 16  # every strip of a sparse input layer looks through all rows
CATEGORY_ROWS = 16  # so many embeddings of categories are whole vectors on every CPU, whatever their size


def make_workspace(
    network: Network,
    dtype: Any,
    n_rows: int,
    *,
    strips: Strips | None = None,
    n_threads: int = 1,
    gathered: Samples | None = None,
    n_slabs: int = 1,
    forward_only: bool = False,
    in_one_block: bool = False,
) -> Workspace:
    """Allocate what a pass over blocks of rows writes.

    Parameters
    ----------
    network : Network
    dtype : dtype
    n_rows : int
        Rows of the largest batch; a block never needs more.
    strips : Strips or None
        How the parameters are cut, where they are trained.
    n_threads : int
        Threads that each need rows of their own.
    gathered : Samples or None
        Samples whose rows are copied together because they are read in another order.
    forward_only : bool
        Leaves out what only the backward pass writes.
    in_one_block : bool
        Keeps the activations and deltas of all rows; n_slabs is then 1.
    n_slabs : int
        See `slabs_of`.

    Returns
    -------
    Workspace
    """
    copied_features = 0 if gathered is None or gathered.table.is_sparse else int(network.n_features)
    n_targets = 0 if gathered is None else gathered.n_targets
    is_weighted = gathered is not None and gathered.weights.size > 0
    itemsize = np.dtype(dtype).itemsize
    n_strips = len(strips.layers) if strips else 0
    width = network.row_width
    has_slopes = keeps_slopes(network) and not forward_only
    block_rows = n_rows
    if n_slabs > 1:
        block_rows = n_threads * -(-min(PIECE_ROWS, n_rows // n_slabs + EDGE_ROWS) // TILE_ROWS) * TILE_ROWS
    elif not in_one_block:
        row_bytes = itemsize * ((2 + has_slopes) * width + copied_features)
        block_rows = min(block_rows, max(MIN_BLOCK_ROWS, BLOCK_BYTES // row_bytes))
    block_size = -(-block_rows // TILE_ROWS) * TILE_ROWS
    block_rows = max(block_size, n_threads * TILE_ROWS)
    backward = not forward_only
    sizes = {
        "inputs": block_rows * copied_features,
        "targets": block_rows * n_targets,
        "weights": block_rows * is_weighted,
        "activations": block_rows * width * (1 + has_slopes),
        "deltas": block_rows * width * backward,
        "mirror": network.n_mirror * backward,
        "panels": network.n_panels * backward,
        "delta_panels": block_rows * int(network.first_panels[-1]) * backward,
        "strip_inputs": n_threads * block_rows * STRIP_ROWS * int(network.wide.any()) * backward,
        "gradient": (network.n_parameters * n_slabs + n_threads * (strips.largest if strips else 0)) * backward,
        "constants": int(network.widths[0 if network.has_front else 1 :].max()) + 1,
        "signs": 0,
    }
    arrays = dict(zip(sizes, aligned_arrays(dtype, *sizes.values())))
    arrays["constants"][-1] = 1.0
    return Workspace(
        **arrays,
        row_losses=np.zeros(block_rows * backward),
        strip_norms=np.zeros(n_strips),
        strip_sums=np.zeros(n_strips),
        strip_squares=np.zeros(n_strips),
        slab_sums=np.zeros(2 * n_slabs),
        slopes=block_rows * width * has_slopes,
        block_rows=block_rows,
        block_size=block_size,
        n_slabs=n_slabs,
    )


def keeps_slopes(network: Network) -> bool:
    """Whether some layer's activation writes its slopes down in training."""
    return KEPT in network.slopes.tolist()


def slabs_of(network: Network, batch_size: int, is_sparse: bool) -> int:
    """Number of slabs that a batch is cut into: as many as it has rows for, if their gradients are shorter than what the threads
    would otherwise read of each other's rows.

    It does not depend on the number of threads, so neither do the bits.
    """
    n_slabs = min(MAX_SLABS, 1 << max(1, batch_size // SLAB_ROWS).bit_length() - 1)  # a power of 2, for even shares
    is_shorter = network.n_parameters * n_slabs <= batch_size * _row_elements(network)
    return n_slabs if n_slabs > 1 and not is_sparse and is_shorter else 1


def _row_elements(network: Network) -> int:
    """Elements of a row: inputs, activations and deltas."""
    return network.n_features + 2 * network.row_width


def make_strips(network: Network, n_threads: int, is_sparse: bool, rate_factors: RateFactors = EQUAL_RATES) -> Strips:
    """Cut the parameters into strips and share them among threads by their size; rate_factors: on the learning rate."""
    shape = tuple(network.units.tolist()), tuple(network.widths.tolist()), tuple(network.narrow.tolist())
    n_rows = int(network.units[0]) - network.n_dense  # of the first weights, that categories name
    embeddings: tuple[tuple[int, int, int], ...] = ()
    if network.category_outputs.size > 1:
        at, sizes = network.categories_at.tolist(), np.diff(network.category_outputs).tolist()
        embeddings = tuple(zip(at, [*at[1:], network.skip_at], sizes))
    coded = n_rows, network.skip_at - network.coded_scale_at, embeddings
    beside = network.embedded.size, network.has_scale, network.n_features, network.skip_layer, *coded
    return _make_strips(*shape, *beside, network.fit_intercept, network.is_ordered, n_threads, is_sparse, rate_factors)


@functools.lru_cache
def _make_strips(
    units: tuple[int, ...],
    widths: tuple[int, ...],
    narrow_layers: tuple[int, ...],
    n_embedded: int,
    has_scale: int,
    n_features: int,
    skip_layer: int,
    n_categories: int,
    coded_scale_size: int,
    embeddings: tuple[tuple[int, int, int], ...],
    fit_intercept: Any,
    is_ordered: int,
    n_threads: int,
    is_sparse: bool,
    rate_factors: RateFactors,
) -> Strips:
    strips: list[tuple[Any, ...]] = []  # layer, first row, stop, elements, factors on the rates of steps and of decay
    by_fan_in = rate_factors.coefs == "fan_in"

    def cut_weights(layer: int, n_rows: int, width: int, n_in: int, reads_table: bool) -> None:
        rows = max(1, STRIP_ELEMENTS // width // STRIP_ROWS) * STRIP_ROWS
        n_dense, sparse_rows = n_rows, 0  # of those whose strips each look through all rows
        if reads_table and (is_sparse or (layer == 0 and n_categories)):
            n_dense = 0 if is_sparse else n_rows - n_categories
            sparse_rows = -(-(n_rows - n_dense) // SPARSE_STRIPS)
            sparse_rows = sparse_rows if is_sparse else max(sparse_rows, rows)
        cuts = [*range(0, n_dense, rows), *range(n_dense, n_rows, max(1, sparse_rows)), n_rows]
        rate = 1 / math.sqrt(n_in) if by_fan_in else float(rate_factors.coefs)
        decay = 1.0 if by_fan_in else rate  # decay multiplies weights, so their scale makes no difference to it
        strips.extend((layer, first, stop, (stop - first) * width, rate, decay) for first, stop in itertools.pairwise(cuts))

    for layer, narrow in enumerate(narrow_layers):
        n_rows, width = (units[layer + 1], widths[layer]) if narrow else (units[layer], widths[layer + 1])
        # of ordered classes the weights behind the score and its intercept are fixed
        if not (is_ordered and layer == len(narrow_layers) - 1):
            cut_weights(layer, n_rows, width, units[layer], layer == 0)
        if fit_intercept and not (is_ordered and layer == len(narrow_layers) - 2):
            strips.append((layer, -1, 0, widths[layer + 1], rate_factors.intercepts, 0.0))
    of_embedding, of_scale = (rate_factors.embedding,) * 2, (rate_factors.scale,) * 2
    for first in range(0, n_embedded, EMBEDDED_COLUMNS):
        stop = min(first + EMBEDDED_COLUMNS, n_embedded)
        strips.append((EMBEDDING, first, stop, (stop - first) * EMBEDDED_SIZE, *of_embedding))
    if has_scale:
        strips.append((SCALE, 0, 1, widths[0], *of_scale))
    if skip_layer >= 0:
        cut_weights(SKIP, n_features, widths[skip_layer + 1], n_features, True)
    if has_scale and n_categories:
        strips.append((CODED_SCALE, 0, 1, coded_scale_size, *of_scale))
    for start, end, size in embeddings:  # of a column of categories: where they begin and end, and numbers in each
        per_strip = max(STRIP_ELEMENTS // size, (end - start) // size // SPARSE_STRIPS, CATEGORY_ROWS)
        step = -(-per_strip // CATEGORY_ROWS) * CATEGORY_ROWS * size
        for first in range(start, end, step):
            stop = min(first + step, end)
            strips.append((CATEGORIES, first, stop, stop - first, *of_embedding))
    layers, firsts, stops, sizes, rates, decays = zip(*strips)
    bounds = np.array(layers), np.array(firsts), np.array(stops)
    work = np.array(sizes) * np.where(bounds[0] == EMBEDDING, EMBEDDED_WORK, 1)
    owners = np.searchsorted(np.cumsum(work) - work / 2, np.arange(n_threads + 1) * (work.sum() / n_threads))
    return Strips(*bounds, owners.astype(np.int64), max(sizes), np.array(rates), np.array(decays))


def flops_per_row(network: Network) -> float:
    """Floating-point operations of forward and backward pass and gradient for one row."""
    n_named = network.coded.size - network.category_outputs.size  # rows of the first weights that a row's categories name
    units = [network.n_dense + n_named, *network.units[1:].tolist()]
    products = [n_in * n_out for n_in, n_out in zip(units[:-1], units[1:])]
    skipping = 4.0 * network.n_features * units[network.skip_layer + 1] if network.skip_layer >= 0 else 0.0
    if not network.has_front:  # whose backward pass ends at the first layer
        return 6 * sum(products) - 2 * products[0] + skipping
    return 6 * sum(products) + WAVE_WORK * N_WAVES * network.embedded.size + skipping


def exchange_work(network: Network, batch_size: int, is_sparse: bool) -> float:
    """What threads that share a batch spend on each other's rows and parameters, in floating-point operations; in slabs they read
    none of each other's rows and few parameters."""
    if slabs_of(network, batch_size, is_sparse) > 1:
        return 0.0
    return EXCHANGE_WORK * (batch_size * _row_elements(network) + 2.0 * network.n_parameters)


class Scratch:
    """What the runs of one thread use again, one after the other: memory, for networks of the same shape, and `sync`, by which
    another thread can tell them to stop (see `run_team`).
    """

    def __init__(self) -> None:
        self.sync = np.zeros(SYNC_SIZE, dtype=np.int64)
        self.forget()

    def forget(self) -> None:
        """Give the memory up: after a run that diverged NaN may lie in its padding."""
        self._network: Any = None
        self._shape: Any = None
        self._kept: dict[Any, Any] = {}

    def get(self, network: Network, dtype: Any, key: Any, make: Callable[[], Any]) -> Any:
        """What make() returns, or has returned for this key and shape of network."""
        if network is not self._network:
            coded = network.coded.tobytes(), network.category_outputs.tobytes()
            beside = network.embedded.tobytes(), network.has_scale, coded, network.skip_layer
            shape = network.units.tobytes(), network.fit_intercept, network.is_ordered, keeps_slopes(network), beside, dtype
            if shape != self._shape:
                self._shape, self._kept = shape, {}
            self._network = network
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]
