"""From hyperparameters to a network: its layout, and the flat vector that holds its parameters."""

import ctypes
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastbp.kernels.custom import code_of
from fastbp.kernels.layout import COSINES, EMBEDDED_SIZE, N_EMBEDDED, N_WAVES, NARROW, OFFSETS, PHASES, Network
from fastbp.kernels.tiles import PANEL_VECTORS
from fastbp.kernels.vectors import lanes
from fastbp.names import ACTIVATIONS, CANCELS, KEPT, LOSSES
from fastbp.training.parity import squared_errors_add_up
from fastbp.training.settings import Settings

CACHE_LINE = 64  # bytes
CATEGORY_EMBEDDING = "category_embedding_"  # and the number of a column of codes, in `front_views`
MOST_PARAMETERS = 2**50  # far beyond any memory, and short of what overflows in products of sizes
# Rows a multiple of so many bytes apart crowd into few sets of the caches; another vector of padding spreads them (measured with
# layers 512 wide: 5 to 9 % of a fit in float32, 4 to 25 % in float64).
CROWDED_STRIDE = 2048
# From so many bytes per row on, weights and deltas are copied into panels.
WIDE_ROW = 1024


def make_network(
    layer_sizes: Sequence[int],
    activations: Sequence[str],
    output_activation: str,
    loss: Any,
    *,
    loss_parameter: float | tuple[float, ...] = 0.0,
    groups: Sequence[int] = (),
    fit_intercept: Any = True,
    embedded: Sequence[int] = (),
    scale_layer: Any = False,
    skip_layer: Any = False,
    categories: Sequence[int] = (),
    category_sizes: Sequence[int] = (),
    dtype: Any = np.float64,
) -> Network:
    """Lay out a network, or return the one that was laid out so before.

    Parameters
    ----------
    layer_sizes : sequence of int
        Units per layer: features, hidden layers, outputs.
    activations : sequence of str
        One name per hidden layer.
    output_activation : str
        A name out of `ACTIVATIONS`.
    loss : str or CustomLoss
        A name out of `LOSSES`, or the user's own.
    loss_parameter : float or tuple of float
        What the loss is shaped by, if it has a parameter (`Loss.parameter`); one for all outputs or one for each.
    groups : sequence of int
        Sizes of the groups of outputs that have a softmax each; () for one of all.
    fit_intercept : bool
        Whether the layers have biases that are trained.
    embedded : sequence of int
        Columns that go through an embedding.
    scale_layer : bool
        Whether each input of the first layer has a factor of its own.
    skip_layer : bool
        Whether a linear function of the table is added to what the outputs are made from.
    categories : sequence of int
        How many categories there are in each of the last columns, which hold their numbers, from 0 on.
    category_sizes : sequence of int
        How many numbers the embedding of a category has in each of these; () where there is none.
    dtype : dtype
        float32 or float64; it decides the width of a vector and so the padding.

    Returns
    -------
    Network
    """
    dtype = np.dtype(dtype)
    if isinstance(loss_parameter, tuple) and len(loss_parameter) != layer_sizes[-1]:
        raise ValueError(f"{loss} has {len(loss_parameter)} parameters, but the network has {layer_sizes[-1]} outputs.")
    beside = tuple(embedded), bool(scale_layer), bool(skip_layer), tuple(categories), tuple(category_sizes)
    last = tuple(groups), bool(fit_intercept), *beside, dtype
    return _make_network(tuple(layer_sizes), tuple(activations), output_activation, loss, loss_parameter, *last)


@functools.lru_cache
def _make_network(
    layer_sizes: Sequence[int],
    activations: Sequence[str],
    output_activation: str,
    loss: Any,
    loss_parameter: float | tuple[float, ...],
    groups: tuple[int, ...],
    fit_intercept: Any,
    embedded: tuple[int, ...],
    scale_layer: bool,
    skip_layer: bool,
    categories: tuple[int, ...],
    category_sizes: tuple[int, ...],
    dtype: Any,
) -> Network:
    n_features, has_front = layer_sizes[0], bool(embedded or scale_layer or categories)
    n_dense = n_features - len(categories) + N_EMBEDDED * len(embedded) + sum(category_sizes)
    n_rows = 0 if category_sizes else sum(categories)  # of the first weights, by which categories add to the layer
    layer_sizes = [n_dense + n_rows, *layer_sizes[1:]]
    n_parameters = sum(n_in * n_out for n_in, n_out in zip(layer_sizes[:-1], layer_sizes[1:]))
    n_parameters += sum(n * size for n, size in zip(categories, category_sizes))
    if n_parameters > MOST_PARAMETERS:
        raise ValueError(f"A network of {'-'.join(map(str, layer_sizes))} units has {n_parameters:.3g} weights, more than fit.")
    if sum(categories) > 2 ** (np.finfo(dtype).nmant + 1):  # a row's numbers stand among its activations
        raise ValueError(f"{sum(categories)} categories are more than {dtype} can number: leave some out, or pass X as float64.")
    units = np.array(layer_sizes, dtype=np.int64)
    n_lanes = lanes(dtype)
    widths = -(-np.array([n_dense, *layer_sizes[1:]]) // n_lanes) * n_lanes
    widths += np.where(widths * dtype.itemsize % CROWDED_STRIDE == 0, n_lanes, 0)
    coded_at = int(widths[0]) * (1 + scale_layer)
    coded_width = -(-(2 * len(categories) + 1) // n_lanes) * n_lanes * bool(categories)
    stored_inputs = coded_at + coded_width if has_front else 0
    if not has_front:
        widths[0] = units[0]
    first_units = np.concatenate(([0], stored_inputs + np.cumsum([0, *widths[1:-1]]))).astype(np.int64)
    narrow = (units[1:] <= min(NARROW, n_lanes)).astype(np.int64)
    narrow[0] = 0
    n_weights = np.where(narrow, units[1:] * widths[:-1], units[:-1] * widths[1:])
    ends = np.cumsum(n_weights + widths[1:])
    panel = PANEL_VECTORS * n_lanes
    in_panels = -(-widths // panel) * panel
    n_mirror = np.where(narrow, 0, units[1:] * in_panels[:-1])
    if not has_front:
        n_mirror[0] = 0
    wide = (widths[1:] * dtype.itemsize >= WIDE_ROW).astype(np.int64)
    n_panels = wide * units[:-1] * in_panels[1:]
    delta_panels = np.concatenate(([0], wide * in_panels[1:]))
    functions = [ACTIVATIONS[name] for name in (*activations, output_activation)]
    slopes = [function.slope for function in functions]
    if output_activation == LOSSES[loss].canonical:
        slopes[-1] = CANCELS
    if LOSSES[loss].has_shares and not loss_parameter:
        loss_parameter = 1.0 if layer_sizes[-1] == 1 or squared_errors_add_up() else float(layer_sizes[-1])
    embedding_at = int(ends[-1])
    scale_at = embedding_at + EMBEDDED_SIZE * len(embedded)
    coded_scale_at = scale_at + int(widths[0]) * scale_layer
    categories_at = coded_scale_at + -(-n_rows // n_lanes) * n_lanes * scale_layer
    category_ends = categories_at + np.cumsum(
        [0, *(-(-n * size // n_lanes) * n_lanes for n, size in zip(categories, category_sizes))], dtype=np.int64
    )
    skip_at = int(category_ends[-1])
    is_ordered = output_activation == "cumulative"
    skipped_to = len(units) - 2 - is_ordered  # to the score of ordered classes
    return Network(
        units=units,
        widths=widths,
        first_units=first_units,
        weights_at=ends - widths[1:] - n_weights,
        biases_at=ends - widths[1:],
        mirrors_at=np.cumsum(n_mirror) - n_mirror,
        wide=wide,
        panels_at=np.cumsum(n_panels) - n_panels,
        first_panels=np.concatenate((np.cumsum(delta_panels) - delta_panels, [delta_panels.sum()])),
        narrow=narrow,
        activations=np.array([function.code for function in functions], dtype=np.int64),
        slopes=np.array(slopes, dtype=np.int64),
        loss=LOSSES[loss].code if isinstance(loss, str) else code_of(loss, dtype),
        loss_parameter=np.full(layer_sizes[-1], loss_parameter, dtype=np.float64),
        groups=np.cumsum((0, *(groups or layer_sizes[-1:])), dtype=np.int64),
        fit_intercept=int(fit_intercept),
        n_parameters=skip_at + n_features * int(widths[skipped_to + 1]) * skip_layer,
        n_mirror=int(n_mirror.sum()),
        n_panels=int(n_panels.sum()),
        n_features=n_features,
        row_width=stored_inputs + int(widths[1:].sum()),
        has_front=int(has_front),
        embedded=np.array(embedded, dtype=np.int64),
        embedding_at=embedding_at,
        has_scale=int(scale_layer),
        scale_at=scale_at,
        unscaled_at=int(widths[0]) * scale_layer,
        skip_layer=skipped_to if skip_layer else -1,
        skip_at=skip_at,
        is_ordered=int(is_ordered),
        coded=np.cumsum((0, *categories), dtype=np.int64),
        n_dense=n_dense,
        coded_scale_at=coded_scale_at,
        coded_at=coded_at,
        coded_width=coded_width,
        category_outputs=np.cumsum((0, *category_sizes), dtype=np.int64),
        categories_at=category_ends[:-1],
    )


def dropped_network(network: Network, rates: Sequence[float]) -> Network:
    """The network for training with dropout: slopes are written down in all layers whose units are dropped; rates: of what comes
    into each layer of weights, (n_layers,)."""
    slopes = network.slopes.copy()
    slopes[:-1][np.array(rates[1:]) > 0.0] = KEPT
    return network._replace(slopes=slopes)


def network_for(settings: Settings, n_features: int, n_outputs: int, dtype: Any) -> Network:
    """The network that settings ask for, see `make_network`."""
    n_numbers = n_features - len(settings.categories)
    embedded = range(n_numbers) if settings.embedded is None else settings.embedded
    if embedded and max(embedded) >= n_numbers:
        raise ValueError(f"embedded_features names column {max(embedded)}, but X has {n_numbers} columns, counted from 0.")
    return make_network(
        [n_features, *settings.hidden_sizes, n_outputs],
        settings.activations,
        settings.output_activation,
        settings.loss,
        loss_parameter=settings.loss_parameter,
        groups=settings.groups,
        fit_intercept=settings.fit_intercept,
        embedded=embedded,
        scale_layer=settings.scale_layer,
        skip_layer=settings.skip_layer,
        categories=settings.categories,
        category_sizes=settings.category_sizes,
        dtype=dtype,
    )


def aligned_zeros(size: int, dtype: Any) -> np.ndarray:
    """Zeros that start on a cache line, so that no vector straddles two."""
    return aligned_arrays(dtype, size)[0]


def aligned_arrays(dtype: Any, *sizes: int, allocate: Callable[..., np.ndarray] = np.zeros) -> list[np.ndarray]:
    """Arrays of zeros, or what `allocate` leaves there, that each start on a cache line, out of one piece of memory."""
    dtype = np.dtype(dtype)
    line = CACHE_LINE // dtype.itemsize
    padded = [-(-size // line) * line for size in sizes]
    memory: Any = allocate(sum(padded) + line, dtype=dtype)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))  # a quarter of the 1.5 µs of memory.ctypes.data
    start = -address % CACHE_LINE // dtype.itemsize
    arrays = []
    for size, step in zip(sizes, padded):
        arrays.append(memory[start : start + size])
        start += step
    return arrays


def aligned_copy(vector: np.ndarray) -> np.ndarray:
    """A copy of a flat vector that starts on a cache line."""
    return aligned_copies([vector])[0]


def aligned_copies(vectors: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Copies of vectors of one dtype that each start on a cache line."""
    copies = aligned_arrays(vectors[0].dtype, *(vector.size for vector in vectors), allocate=np.empty)
    for copied, vector in zip(copies, vectors):
        copied[:] = vector
    return copies


def parameter_views(network: Network, params: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Views of a flat vector in the layout of the parameters.

    Parameters
    ----------
    network : Network
    params : ndarray of shape (n_parameters,)

    Returns
    -------
    coefs : list of ndarray of shape (n_in, n_out)
    intercepts : list of ndarray of shape (n_out,)
    """
    coefs, intercepts = [], []
    units, widths = network.units.tolist(), network.widths.tolist()
    for layer, (weights, biases, narrow) in enumerate(
        zip(network.weights_at.tolist(), network.biases_at.tolist(), network.narrow.tolist())
    ):
        n_in, n_out = units[layer], units[layer + 1]
        if narrow:
            coefs.append(params[weights:biases].reshape(n_out, widths[layer])[:, :n_in].T)
        else:
            coefs.append(params[weights:biases].reshape(n_in, widths[layer + 1])[:, :n_out])
        intercepts.append(params[biases : biases + n_out])
    return coefs, intercepts


def front_views(network: Network, params: np.ndarray) -> dict[str, np.ndarray]:
    """Views of what lies in a flat vector beside the layers, by name: of the front, and of what leads past hidden layers.

    Parameters
    ----------
    network : Network
    params : ndarray of shape (n_parameters,)

    Returns
    -------
    views : dict of str to ndarray
        With an embedding "frequencies" and "phases" of shape (n_embedded, 16), "cosines", (n_embedded, 3, 16), "offsets",
        (n_embedded, 3); with a scale "scale", (n_inputs of the first layer,); with a skip layer "skip", (n_features, n_outputs).
        Of a scale those of categories are "category_scale"; embeddings of those of column k of codes are "category_embedding_k",
        (n_categories, size).
    """
    views, n = {}, network.embedded.size
    if n:
        embedding = params[network.embedding_at : network.scale_at].reshape(n, EMBEDDED_SIZE)
        views["frequencies"] = embedding[:, :PHASES]
        views["phases"] = embedding[:, PHASES:COSINES]
        views["cosines"] = embedding[:, COSINES:OFFSETS].reshape(n, N_EMBEDDED, N_WAVES)
        views["offsets"] = embedding[:, OFFSETS : OFFSETS + N_EMBEDDED]
    if network.has_scale:
        views["scale"] = params[network.scale_at : network.scale_at + network.n_dense]
        if network.units[0] > network.n_dense:
            views["category_scale"] = params[network.coded_scale_at :][: network.coded[-1]]
    if network.category_outputs.size > 1:
        sizes = np.diff(network.category_outputs).tolist()
        for k, (at, n_each, size) in enumerate(zip(network.categories_at.tolist(), np.diff(network.coded).tolist(), sizes)):
            views[f"{CATEGORY_EMBEDDING}{k}"] = params[at : at + n_each * size].reshape(n_each, size)
    if network.skip_layer >= 0:
        skip = params[network.skip_at : network.n_parameters].reshape(network.n_features, -1)
        views["skip"] = skip[:, : network.units[network.skip_layer + 1]]
    return views


def pack_parameters(
    network: Network, coefs: Sequence[Any], intercepts: Sequence[Any], dtype: Any, front: Mapping[str, Any] | None = None
) -> np.ndarray:
    """A new flat vector with a copy of the given weights and biases, and of what `front_views` names; the padding is zero."""
    params = aligned_zeros(network.n_parameters, dtype)
    for views, arrays in zip(parameter_views(network, params), (coefs, intercepts)):
        for view, array in zip(views, arrays):
            view[...] = array
    for name, view in front_views(network, params).items():
        view[...] = (front or {})[name]
    return params
