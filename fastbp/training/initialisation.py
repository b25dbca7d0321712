"""Starting weights."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.kernels.layout import N_EMBEDDED, N_WAVES, Network
from fastbp.names import INITIALISATIONS
from fastbp.training.network import CATEGORY_EMBEDDING, make_network, pack_parameters
from fastbp.training.predict import activation_names, predict_outputs

ROWS_LOOKED_AT = 1000  # by a start that is fitted to the rows
ROWS_OF_AN_INTERCEPT = 5


def draw_parameters(
    layer_sizes: Sequence[int],
    activations: Sequence[str],
    *,
    init: str,
    init_scale: float = 1.0,
    fit_intercept: Any = True,
    random_state: Any,
    dtype: Any = np.float64,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draw starting weights and biases.

    Parameters
    ----------
    layer_sizes : sequence of int
        Units per layer: features, hidden layers, outputs.
    activations : sequence of str
        One name per layer of weights; "glorot_uniform" starts logistic layers nearer zero, as scikit-learn does.
    init : str
        Name out of `INITIALISATIONS`. "glorot_uniform" is scikit-learn's scheme: biases are drawn too. Sources: Glorot and Bengio
        2010; He et al. 2015, arXiv:1502.01852; LeCun et al., Efficient BackProp, 1998; `orthogonal`.
    init_scale : float
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
    start, coefs, intercepts = INITIALISATIONS[init], [], []

    def draw(spread: float, shape: Any) -> np.ndarray:
        if start.distribution == "uniform":
            return random_state.uniform(-spread, spread, shape)
        if start.distribution == "normal":
            return spread * random_state.standard_normal(shape)
        return orthogonal(shape, random_state) if start.distribution == "orthogonal" else np.zeros(shape)

    for n_in, n_out, activation in zip(layer_sizes[:-1], layer_sizes[1:], activations):
        numerator = start.numerator_of_logistic if activation == "logistic" else None
        numerator = start.numerator if numerator is None else numerator
        spread = 1.0 if numerator is None else math.sqrt(numerator / (n_in + n_out if start.with_fan_out else n_in))
        W = draw(spread, (n_in, n_out))
        b = draw(spread, n_out) if start.draws_intercepts else None
        if b is None or not fit_intercept:
            b = np.zeros(n_out)
        coefs.append((init_scale * W).astype(dtype, copy=False))
        intercepts.append((init_scale * b).astype(dtype, copy=False))
    return coefs, intercepts


def orthogonal(shape: tuple[int, int], random_state: Any) -> np.ndarray:
    """Draw a matrix whose columns are orthonormal, or its rows if there are fewer, evenly over all such matrices.

    It is the Q of a matrix of normal draws, with the signs that make the diagonal of R positive (Mezzadri 2007,
    arXiv:math-ph/0609050), as Saxe et al. 2013 start deep networks (arXiv:1312.6120).
    """
    Q, R = np.linalg.qr(random_state.standard_normal((max(shape), min(shape))))
    Q *= np.where(np.diag(R) < 0.0, -1.0, 1.0)
    return Q if shape[0] >= shape[1] else Q.T


def draw_front(network: Network, random_state: Any, dtype: Any, frequency_scale: float = 0.1) -> dict[str, np.ndarray]:
    """Draw what the front starts with, by the names of `front_views`: frequencies from N(0, scale²), phases from U(-π, π), what
    sums the cosines and offsets from U(-¼, ¼); scales are 1, and weights past hidden layers 0. Source: Holzmüller, Grinsztajn and
    Steinwart, arXiv:2407.04491. Embeddings of categories with d numbers are drawn from U(-1/√d, 1/√d), so that whatever d is, one
    has the length 1/√3 on average (Gorishniy, Rubachev, Khrulkov and Babenko, Revisiting deep learning models for tabular data,
    arXiv:2106.11959).
    """
    n, bound = network.embedded.size, 1 / math.sqrt(N_WAVES)
    drawn = {}
    if n:
        drawn["frequencies"] = frequency_scale * random_state.standard_normal((n, N_WAVES))
        drawn["phases"] = random_state.uniform(-math.pi, math.pi, (n, N_WAVES))
        drawn["cosines"] = random_state.uniform(-bound, bound, (n, N_EMBEDDED, N_WAVES))
        drawn["offsets"] = random_state.uniform(-bound, bound, (n, N_EMBEDDED))
    if network.has_scale:
        drawn["scale"] = np.ones(network.n_dense)
        if network.units[0] > network.n_dense:
            drawn["category_scale"] = np.ones(network.coded[-1])
    for k in range(network.category_outputs.size - 1):
        size = network.category_outputs[k + 1] - network.category_outputs[k]
        shape = network.coded[k + 1] - network.coded[k], size
        drawn[f"{CATEGORY_EMBEDDING}{k}"] = random_state.uniform(-1 / math.sqrt(size), 1 / math.sqrt(size), shape)
    if network.skip_layer >= 0:
        drawn["skip"] = np.zeros((network.n_features, network.units[network.skip_layer + 1]))
    return {name: values.astype(dtype) for name, values in drawn.items()}


def thresholds_between(coefs: list[np.ndarray], intercepts: list[np.ndarray]) -> None:
    """Make of the last layers drawn a score and thresholds, in place: with the score 0 all classes are as likely."""
    n_classes = len(intercepts[-1])
    number = np.arange(1, n_classes)
    coefs[-1][...], intercepts[-2][...], intercepts[-1][0] = 1.0, 0.0, 0.0
    intercepts[-1][1:] = np.log((n_classes - number) / number)


def fit_start(
    network: Network,
    front: dict[str, np.ndarray],
    X: Any,
    random_state: Any,
    *,
    row_indices: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    init_scale: float = 1.0,
    n_threads: int | None = None,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draw weights from N(0, 1), and fit them layer by layer to rows of X.

    Of at most a thousand rows, each unit's weights are divided by the standard deviation of what it computes, which becomes
    `init_scale`; its bias is minus a random mean, with exponentially distributed weights, of what it computes for five rows. A
    unit that computes the same for all rows has weights of N(0, 1 / n_in). Source: Holzmüller, Grinsztajn and Steinwart,
    arXiv:2407.04491, appendix A.

    Parameters
    ----------
    network : Network
    front : dict of str to ndarray
        What `draw_front` has drawn.
    X : ndarray or CSR matrix of shape (n, n_features)
    random_state : numpy.random.RandomState
    row_indices : ndarray of int64 or None
        The rows of X that count; None is all.
    weights : ndarray of shape (n_rows,) or None
        Weights above 0 of these rows, in the standard deviation and in the choice of the five.
    init_scale : float
    n_threads : int or None

    Returns
    -------
    coefs, intercepts : lists of ndarray
    """
    dtype, n_rows = X.dtype, X.shape[0] if row_indices is None else len(row_indices)
    if n_rows > ROWS_LOOKED_AT:
        chosen = np.sort(random_state.permutation(n_rows)[:ROWS_LOOKED_AT])
        row_indices = chosen if row_indices is None else row_indices[chosen]
        weights = None if weights is None else weights[chosen]
    if row_indices is not None:
        X = X[row_indices]
    if not hasattr(X, "indptr"):
        X = np.ascontiguousarray(X)
    activations = activation_names(network)
    sizes = [network.n_features, *network.units[1:].tolist()]
    coefs: list[np.ndarray] = []
    intercepts: list[np.ndarray] = []
    for layer, (n_in, n_out) in enumerate(zip(network.units[:-1].tolist(), network.units[1:].tolist())):
        W = random_state.standard_normal((n_in, n_out))
        picked = _picked_rows(X.shape[0], weights, (ROWS_OF_AN_INTERCEPT, n_out), random_state)
        shares = random_state.standard_exponential((ROWS_OF_AN_INTERCEPT, n_out))
        below = make_network(
            sizes[: layer + 2],
            activations[:layer],
            "identity",
            "squared_error",
            embedded=network.embedded.tolist(),
            scale_layer=network.has_scale,
            categories=np.diff(network.coded).tolist(),
            category_sizes=np.diff(network.category_outputs).tolist(),
            dtype=dtype,
        )
        params = pack_parameters(below, [*coefs, W], [*intercepts, np.zeros(n_out)], dtype, front)
        outputs = predict_outputs(below, params, X, n_threads=n_threads).astype(np.float64)
        spread = np.sqrt(np.average((outputs - np.average(outputs, axis=0, weights=weights)) ** 2, axis=0, weights=weights))
        is_flat = spread <= 1e-6 * np.abs(outputs).max(axis=0, initial=1e-300)
        factor = init_scale / np.where(is_flat, math.sqrt(n_in), spread)
        bias = -(outputs[picked, np.arange(n_out)] * factor * shares).sum(axis=0) / shares.sum(axis=0)
        coefs.append((W * factor).astype(dtype))
        intercepts.append((bias if network.fit_intercept else np.zeros(n_out)).astype(dtype))
    return coefs, intercepts


def _picked_rows(n_rows: int, weights: np.ndarray | None, shape: tuple[int, int], random_state: Any) -> np.ndarray:
    """Draw numbers of rows, each as likely as it has weight."""
    if weights is None:
        return random_state.randint(0, n_rows, shape)
    ends = np.cumsum(weights, dtype=np.float64)
    return np.minimum(np.searchsorted(ends / ends[-1], random_state.random_sample(shape), side="right"), n_rows - 1)
