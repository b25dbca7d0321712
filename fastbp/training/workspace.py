"""The memory of a run, and how its parameters are shared among threads."""

import functools
import itertools
import math
import threading
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
    once_per_network,
)
from fastbp.kernels.tiles import EDGE_ROWS, STRIP_ROWS, TILE_ROWS
from fastbp.names import KEPT
from fastbp.training.network import aligned_arrays
from fastbp.training.settings import EQUAL_RATES, RateFactors

# The activations and deltas of a block should fit the second-level cache.
BLOCK_BYTES = 1 << 20
MIN_BLOCK_ROWS = 256
# A strip, its gradient and its moments should fit the first-level cache; smaller strips can be shared more evenly.
STRIP_ELEMENTS = 1536
# Fewest rows of a slab, most slabs of a batch, and most rows of a slab whose activations are kept until they become gradients.
SLAB_ROWS = 80
MAX_SLABS = 8
PIECE_ROWS = 256
UPDATE_WORK = 12  # floating-point operations of a step per parameter, approximately
# Floating-point operations that take as long as fetching an element that another core has written (measured: digits in batches
# of 32, 64-64-32-10 in float32, take 246 ms with one thread and 374 ms with two).
EXCHANGE_WORK = 40
EMBEDDED_COLUMNS = 8  # in a strip
EMBEDDED_WORK = 4  # the gradient of their parameters takes about so many times as long as that of weights
WAVE_WORK = 80  # floating-point operations of a wave of the embedding, forward and backward
SPARSE_STRIPS = 16  # of a sparse input layer, because each reads all rows
MOST_KEPT = 1 << 20  # bytes that a thread keeps between its fits and predictions
CATEGORY_ROWS = 16  # so many embeddings of categories fill whole vectors on every CPU, whatever their size


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
    """Allocate the memory that a pass over blocks of rows writes to.

    Parameters
    ----------
    network : Network
    dtype : dtype
    n_rows : int
        Rows of the largest batch: a block has no more.
    strips : Strips or None
        How the parameters are cut, if they are trained.
    n_threads : int
        Each needs rows of its own.
    gathered : Samples or None
        Samples whose rows are copied for each batch, because they are not read in the order of the table.
    forward_only : bool
        Leave out the memory that only the backward pass writes to.
    in_one_block : bool
        Have room for the activations and deltas of all rows; n_slabs must be 1.
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
    delta_panels, is_wide, n_zeros = _largest(network)
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
        "delta_panels": block_rows * delta_panels * backward,
        "strip_inputs": n_threads * block_rows * STRIP_ROWS * is_wide * backward,
        "gradient": (network.n_parameters * n_slabs + n_threads * (strips.largest if strips else 0)) * backward,
        "constants": n_zeros + 1,
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


@once_per_network
def _largest(network: Network) -> tuple[int, bool, int]:
    """Return the elements of a row in panels, whether there are panels, and the elements of the widest row that is written."""
    widths = network.widths.tolist()
    return int(network.first_panels[-1]), bool(network.wide.any()), max(widths[0 if network.has_front else 1 :])


@once_per_network
def keeps_slopes(network: Network) -> bool:
    """Whether some layer's activation stores its slopes in training."""
    return KEPT in network.slopes.tolist()


def slabs_of(network: Network, batch_size: int, is_sparse: bool) -> int:
    """Return the number of slabs of a batch: as many as its rows allow, if their gradients have fewer elements than the rows.

    It does not depend on the number of threads, so the bits do not either.
    """
    n_slabs = min(MAX_SLABS, 1 << max(1, batch_size // SLAB_ROWS).bit_length() - 1)  # a power of 2, for even shares
    is_shorter = network.n_parameters * n_slabs <= batch_size * _row_elements(network)
    return n_slabs if n_slabs > 1 and not is_sparse and is_shorter else 1


def _row_elements(network: Network) -> int:
    """Return the elements of a row: inputs, activations and deltas."""
    return network.n_features + 2 * network.row_width


def make_strips(network: Network, n_threads: int, is_sparse: bool, rate_factors: RateFactors = EQUAL_RATES) -> Strips:
    """Cut the parameters into strips, and share these among threads by their size; rate_factors: see `Settings`."""
    return _make_strips(*_cut_by(network), n_threads, is_sparse, rate_factors)


@once_per_network
def _cut_by(network: Network) -> tuple[Any, ...]:
    """Return what the strips of a network depend on."""
    shape = tuple(network.units.tolist()), tuple(network.widths.tolist()), tuple(network.narrow.tolist())
    n_rows = int(network.units[0]) - network.n_dense  # rows of the first weights that categories select
    embeddings: tuple[tuple[int, int, int], ...] = ()
    if network.category_outputs.size > 1:
        at, sizes = network.categories_at.tolist(), np.diff(network.category_outputs).tolist()
        embeddings = tuple(zip(at, [*at[1:], network.skip_at], sizes))
    coded = n_rows, network.skip_at - network.coded_scale_at, embeddings
    beside = network.embedded.size, network.has_scale, network.n_features, network.skip_layer, *coded
    return *shape, *beside, network.fit_intercept, network.is_ordered


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
        n_dense, sparse_rows = n_rows, 0  # sparse_rows: of strips that each read all rows of the table
        if reads_table and (is_sparse or (layer == 0 and n_categories)):
            n_dense = 0 if is_sparse else n_rows - n_categories
            sparse_rows = -(-(n_rows - n_dense) // SPARSE_STRIPS)
            sparse_rows = sparse_rows if is_sparse else max(sparse_rows, rows)
        cuts = [*range(0, n_dense, rows), *range(n_dense, n_rows, max(1, sparse_rows)), n_rows]
        rate = 1 / math.sqrt(n_in) if by_fan_in else float(rate_factors.coefs)
        decay = 1.0 if by_fan_in else rate  # decay multiplies weights, so it does not depend on their scale
        strips.extend((layer, first, stop, (stop - first) * width, rate, decay) for first, stop in itertools.pairwise(cuts))

    for layer, narrow in enumerate(narrow_layers):
        n_rows, width = (units[layer + 1], widths[layer]) if narrow else (units[layer], widths[layer + 1])
        # with ordered classes, the intercept of the score and the weights after it are fixed
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
    for start, end, size in embeddings:  # of a column of categories: offsets of the first and the end, numbers in each
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


@once_per_network
def flops_per_row(network: Network) -> float:
    """Return the floating-point operations of forward pass, backward pass and gradient for one row."""
    n_selected = network.coded.size - network.category_outputs.size  # rows of the first weights, by a row's categories
    units = [network.n_dense + n_selected, *network.units[1:].tolist()]
    products = [n_in * n_out for n_in, n_out in zip(units[:-1], units[1:])]
    skipping = 4.0 * network.n_features * units[network.skip_layer + 1] if network.skip_layer >= 0 else 0.0
    if not network.has_front:  # the backward pass ends at the first layer
        return 6 * sum(products) - 2 * products[0] + skipping
    return 6 * sum(products) + WAVE_WORK * N_WAVES * network.embedded.size + skipping


def exchange_work(network: Network, batch_size: int, is_sparse: bool) -> float:
    """Return how long threads take to fetch each other's rows and parameters of a batch, in floating-point operations.

    Slabs need none of other threads' rows, and few parameters.
    """
    if slabs_of(network, batch_size, is_sparse) > 1:
        return 0.0
    return EXCHANGE_WORK * (batch_size * _row_elements(network) + 2.0 * network.n_parameters)


@once_per_network
def _shape(network: Network) -> tuple[Any, ...]:
    """Return what the sizes of all memory depend on."""
    coded = network.coded.tobytes(), network.category_outputs.tobytes()
    beside = network.embedded.tobytes(), network.has_scale, coded, network.skip_layer
    return network.units.tobytes(), network.fit_intercept, network.is_ordered, keeps_slopes(network), beside


class Scratch:
    """What the runs of one thread use again: memory, for networks of the same shape, and the array `sync`, with which another
    thread can stop them (see `run_team`).
    """

    def __init__(self) -> None:
        self.sync = np.zeros(SYNC_SIZE, dtype=np.int64)
        self.forget()

    def forget(self) -> None:
        """Free the memory: after a run that diverged, its padding may hold NaN."""
        self._network: Any = None
        self._by_shape: dict[Any, dict[Any, Any]] = {}
        self._n_bytes = 0

    def get(self, network: Network, dtype: Any, key: Any, make: Callable[[], Any]) -> Any:
        """Return make(), or what it has returned before for this key and shape of network."""
        if network is not self._network:
            if self.is_large:
                self.forget()
            self._kept = self._by_shape.setdefault((_shape(network), dtype), {})
            self._network = network
        made = self._kept.get(key)
        if made is None:
            made = self._kept[key] = make()
            self._n_bytes += _bytes_in(made)
        return made

    @property
    def is_large(self) -> bool:
        """Whether the memory is more than is kept for networks of other shapes, or for the next fit of a thread."""
        return self._n_bytes > MOST_KEPT


def _bytes_in(made: Any) -> int:
    return sum(map(_bytes_in, made)) if isinstance(made, tuple) else getattr(made, "nbytes", 0)


_of_thread = threading.local()


def borrow_scratch() -> Scratch:
    """Return the scratch that this thread used last, or a new one; allocating memory takes a tenth of a tiny fit.

    Nobody else gets it until `return_scratch`: a fit that a callback begins has its own.
    """
    return _of_thread.__dict__.pop("scratch", None) or Scratch()


def return_scratch(scratch: Scratch) -> None:
    """Keep a scratch for the next fits and predictions of this thread, unless it is large.

    It must not be called after an exception or Ctrl-C, which may have left flags in `sync`.
    """
    if not scratch.is_large:
        _of_thread.scratch = scratch
