"""The layout of a network, and the flat vector of its parameters."""

import ctypes
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastbp.kernels.custom import code_of
from fastbp.kernels.layout import (
    COSINES,
    EMBEDDED_SIZE,
    N_EMBEDDED,
    N_WAVES,
    NARROW,
    OFFSETS,
    PHASES,
    Network,
    once_per_network,
)
from fastbp.kernels.tiles import PANEL_VECTORS
from fastbp.kernels.vectors import lanes
from fastbp.names import ACTIVATIONS, CANCELS, KEPT, LOSSES
from fastbp.training.parity import squared_errors_add_up
from fastbp.training.settings import Settings

CACHE_LINE = 64  # bytes
CATEGORY_EMBEDDING = "category_embedding_"  # and the number of a column of codes: a name in `front_views`
MOST_PARAMETERS = 2**50  # beyond any memory, and small enough that products of sizes do not overflow
# Rows at multiples of this distance in bytes share few sets of the caches, so they get one more vector of padding (with layers of
# 512 units, this saves 5 to 9 % of a fit in float32, 4 to 25 % in float64).
CROWDED_STRIDE = 2048
WIDE_ROW = 1024  # bytes per row from which weights and deltas are copied into panels


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
    """Return a network, the same one for the same arguments.

    Parameters
    ----------
    layer_sizes : sequence of int
        Units per layer: features, hidden layers, outputs.
    activations : sequence of str
        One name per hidden layer.
    output_activation : str
        A name in `ACTIVATIONS`.
    loss : str or CustomLoss
        A name in `LOSSES`, or a loss of the user's.
    loss_parameter : float or tuple of float
        The parameter of the loss, if it has one (`Loss.parameter`): one for all outputs or one for each.
    groups : sequence of int
        Sizes of the groups of outputs with a softmax each; () for one group.
    fit_intercept : bool
        Whether the biases are trained; else they are zero.
    embedded : sequence of int
        Columns with an embedding.
    scale_layer : bool
        Whether each input of the first layer is multiplied by a factor, which is trained.
    skip_layer : bool
        Whether a linear function of X is added to the outputs before their activation.
    categories : sequence of int
        Number of categories in each of the last columns, which hold codes from 0 on.
    category_sizes : sequence of int
        Size of a category's embedding for each of these columns; () for no embeddings.
    dtype : dtype
        float32 or float64; the padding depends on it.
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
    n_rows = 0 if category_sizes else sum(categories)  # of the first layer's weights: one for each category without an embedding
    layer_sizes = [n_dense + n_rows, *layer_sizes[1:]]
    n_parameters = sum(n_in * n_out for n_in, n_out in zip(layer_sizes[:-1], layer_sizes[1:]))
    n_parameters += sum(n * size for n, size in zip(categories, category_sizes))
    if n_parameters > MOST_PARAMETERS:
        raise ValueError(
            f"A network of {'-'.join(map(str, layer_sizes))} units has {n_parameters:.3g} weights, more than fit in memory."
        )
    if sum(categories) > 2 ** (np.finfo(dtype).nmant + 1):  # codes are stored like activations
        raise ValueError(f"{sum(categories)} categories are too many codes for {dtype}: leave some out, or pass X as float64.")
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
    """Return the network for training with dropout, which stores slopes in all layers with dropped units.

    rates: for the inputs of each layer of weights, (n_layers,).
    """
    slopes = network.slopes.copy()
    slopes[:-1][np.array(rates[1:]) > 0.0] = KEPT
    return network._replace(slopes=slopes)


def network_for(settings: Settings, n_features: int, n_outputs: int, dtype: Any) -> Network:
    """Return the network of these settings."""
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
    """Return zeros that begin at a cache line, so that no vector lies in two."""
    return aligned_arrays(dtype, size)[0]


def aligned_arrays(dtype: Any, *sizes: int, allocate: Callable[..., np.ndarray] = np.zeros) -> list[np.ndarray]:
    """Return flat arrays of these sizes in one piece of memory, each of which begins at a cache line."""
    dtype = np.dtype(dtype)
    line = CACHE_LINE // dtype.itemsize
    padded = [-(-size // line) * line for size in sizes]
    memory: Any = allocate(sum(padded) + line, dtype=dtype)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))  # a quarter of the 1.5 µs of memory.ctypes.data
    at = -address % CACHE_LINE // dtype.itemsize
    arrays, empty = [], memory[:0]
    for size, step in zip(sizes, padded):
        arrays.append(memory[at : at + size] if size else empty)
        at += step
    return arrays


def aligned_copy(vector: np.ndarray) -> np.ndarray:
    """Return a copy of a flat vector that begins at a cache line."""
    return aligned_copies([vector])[0]


def aligned_copies(vectors: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return copies of vectors of one dtype that each begin at a cache line."""
    copies = aligned_arrays(vectors[0].dtype, *(vector.size for vector in vectors), allocate=np.empty)
    for copied, vector in zip(copies, vectors):
        copied[:] = vector
    return copies


def parameter_views(network: Network, params: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return views of a flat vector, (n_parameters,): weights, (n_in, n_out), and biases, (n_out,), of each layer."""
    coefs, intercepts = [], []
    for narrow, weights, biases, n_in, n_out, width in _places(network):
        if narrow:
            coefs.append(params[weights:biases].reshape(n_out, width)[:, :n_in].T)
        else:
            coefs.append(params[weights:biases].reshape(n_in, width)[:, :n_out])
        intercepts.append(params[biases : biases + n_out])
    return coefs, intercepts


@once_per_network
def _places(network: Network) -> list[tuple[int, ...]]:
    """Return for each layer whether it is stored transposed, where its weights and biases begin, n_in, n_out, and the width of a
    stored row."""
    units, widths, narrow = network.units.tolist(), network.widths.tolist(), network.narrow.tolist()
    stored = [width_in if is_narrow else width_out for is_narrow, width_in, width_out in zip(narrow, widths, widths[1:])]
    return [*zip(narrow, network.weights_at.tolist(), network.biases_at.tolist(), units, units[1:], stored)]


def front_views(network: Network, params: np.ndarray) -> dict[str, np.ndarray]:
    """Return views of the other parameters in a flat vector, (n_parameters,), by name.

    - Embedding: "frequencies" and "phases", (n_embedded, 16), "cosines", (n_embedded, 3, 16), "offsets", (n_embedded, 3).
    - Scale: "scale", one number for each input of the first layer, and "category_scale", one for each category.
    - Embeddings of categories: "category_embedding_k" for column k of codes, (n_categories, size).
    - Skip layer: "skip", (n_features, n_outputs).
    """
    views: dict[str, np.ndarray] = {}
    if not network.has_front and network.skip_layer < 0:
        return views
    n = network.embedded.size
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
    """Return a flat vector with copies of weights, biases, and the arrays that `front_views` names; the padding is zero."""
    params = aligned_zeros(network.n_parameters, dtype)
    for views, arrays in zip(parameter_views(network, params), (coefs, intercepts)):
        for view, array in zip(views, arrays):
            view[...] = array
    for name, view in front_views(network, params).items():
        view[...] = (front or {})[name]
    return params
