"""From hyperparameters to a network: its layout, its starting weights, and the flat vector that holds them."""

import ctypes
import functools

import numpy as np

from .kernels.activations import ACTIVATIONS
from .kernels.layout import NARROW, Network
from .kernels.losses import LOSSES
from .kernels.simd import lanes

CACHE_LINE = 64  # bytes
# Rows a multiple of so many bytes apart crowd into few sets of the caches; another vector of padding spreads them (measured with
# layers 512 wide: 5 to 9 % of a fit in float32, 4 to 25 % in float64).
CROWDED_STRIDE = 2048
STARTS = {  # name: (uniform or normal, numerator of the variance, whether fan_out counts)
    "glorot_uniform": ("uniform", 6.0, True),
    "glorot_normal": ("normal", 2.0, True),
    "he_uniform": ("uniform", 6.0, False),
    "he_normal": ("normal", 2.0, False),
}


def make_network(layer_sizes, activations, output_activation, loss, *, fit_intercept=True, dtype=np.float64):
    """Lay out a network, or return the one that was laid out so before.

    Parameters
    ----------
    layer_sizes : sequence of int
        Units per layer: features, hidden layers, outputs.
    activations : sequence of str
        One name per hidden layer.
    output_activation, loss : str
        Names out of `ACTIVATIONS` and `LOSSES`.
    fit_intercept : bool
        Whether the layers have biases that are trained.
    dtype : dtype
        float32 or float64; it decides the width of a vector and so the padding.

    Returns
    -------
    Network
    """
    dtype = np.dtype(dtype)
    return _make_network(tuple(layer_sizes), tuple(activations), output_activation, loss, bool(fit_intercept), dtype)


@functools.lru_cache
def _make_network(layer_sizes, activations, output_activation, loss, fit_intercept, dtype):
    units = np.array(layer_sizes, dtype=np.int64)
    n_lanes = lanes(dtype)
    widths = -(-units // n_lanes) * n_lanes
    widths += np.where(widths * dtype.itemsize % CROWDED_STRIDE == 0, n_lanes, 0)
    widths[0] = units[0]
    first_units = np.concatenate(([0, 0], np.cumsum(widths[1:-1]))).astype(np.int64)
    narrow = (units[1:] <= min(NARROW, n_lanes)).astype(np.int64)
    narrow[0] = 0
    n_weights = np.where(narrow, units[1:] * widths[:-1], units[:-1] * widths[1:])
    ends = np.cumsum(n_weights + widths[1:])
    n_mirror = np.where(narrow, 0, units[1:] * widths[:-1])
    n_mirror[0] = 0
    codes = [ACTIVATIONS[name] for name in (*activations, output_activation)]
    return Network(
        units=units,
        widths=widths,
        first_units=first_units,
        weights=ends - widths[1:] - n_weights,
        biases=ends - widths[1:],
        mirrors=np.cumsum(n_mirror) - n_mirror,
        narrow=narrow,
        activations=np.array(codes, dtype=np.int64),
        loss=LOSSES[loss],
        fit_intercept=int(fit_intercept),
        n_parameters=int(ends[-1]),
        n_mirror=int(n_mirror.sum()),
    )


def aligned_zeros(size, dtype):
    """Zeros that start on a cache line, so that no vector straddles two."""
    return aligned_arrays(dtype, size)[0]


def aligned_arrays(dtype, *sizes):
    """Arrays of zeros that each start on a cache line, out of one piece of memory."""
    dtype = np.dtype(dtype)
    line = CACHE_LINE // dtype.itemsize
    padded = [-(-size // line) * line for size in sizes]
    memory = np.zeros(sum(padded) + line, dtype=dtype)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))  # a quarter of the 1.5 µs of memory.ctypes.data
    start = -address % CACHE_LINE // dtype.itemsize
    arrays = []
    for size, step in zip(sizes, padded):
        arrays.append(memory[start : start + size])
        start += step
    return arrays


def parameter_views(network, params):
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
        zip(network.weights.tolist(), network.biases.tolist(), network.narrow.tolist())
    ):
        n_in, n_out = units[layer], units[layer + 1]
        if narrow:
            coefs.append(params[weights:biases].reshape(n_out, widths[layer])[:, :n_in].T)
        else:
            coefs.append(params[weights:biases].reshape(n_in, widths[layer + 1])[:, :n_out])
        intercepts.append(params[biases : biases + n_out])
    return coefs, intercepts


def pack_parameters(network, coefs, intercepts, dtype):
    """A new flat vector with a copy of the given weights and biases; the padding is zero."""
    params = aligned_zeros(network.n_parameters, dtype)
    for views, arrays in zip(parameter_views(network, params), (coefs, intercepts)):
        for view, array in zip(views, arrays):
            view[...] = array
    return params


def draw_parameters(layer_sizes, activations, *, init, init_scale=1.0, fit_intercept=True, random_state, dtype=np.float64):
    """Draw starting weights and biases.

    Parameters
    ----------
    layer_sizes : sequence of int
        Units per layer: features, hidden layers, outputs.
    activations : sequence of str
        One name per layer of weights; "glorot_uniform" starts logistic layers nearer zero, as scikit-learn does.
    init : str
        "glorot_uniform" (scikit-learn's scheme: biases are drawn too), "glorot_normal" (Glorot and Bengio 2010), "he_normal",
        "he_uniform" (He et al. 2015, arXiv:1502.01852), "normal" (standard normal) or "zeros"; all but the first start biases at
        zero. init_scale : float
        Factor on everything drawn.
    fit_intercept : bool
        Without it biases are zero; they are drawn all the same, so that the weights do not depend on it.
    random_state : numpy.random.RandomState
    dtype : dtype
        The draws are float64 and then cast.

    Returns
    -------
    coefs, intercepts : lists of ndarray
    """
    coefs, intercepts = [], []
    for n_in, n_out, activation in zip(layer_sizes[:-1], layer_sizes[1:], activations):
        W, b = np.zeros((n_in, n_out)), np.zeros(n_out)
        if init == "normal":
            W = random_state.standard_normal((n_in, n_out))
        elif init != "zeros":
            kind, numerator, with_fan_out = STARTS[init]
            if init == "glorot_uniform" and activation == "logistic":
                numerator = 2.0
            spread = np.sqrt(numerator / (n_in + n_out if with_fan_out else n_in))
            if kind == "normal":
                W = spread * random_state.standard_normal((n_in, n_out))
            else:
                W = random_state.uniform(-spread, spread, (n_in, n_out))
                if init == "glorot_uniform":
                    b = random_state.uniform(-spread, spread, n_out)
        if not fit_intercept:
            b = np.zeros(n_out)
        coefs.append((init_scale * W).astype(dtype, copy=False))
        intercepts.append((init_scale * b).astype(dtype, copy=False))
    return coefs, intercepts
