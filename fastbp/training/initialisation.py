"""Initial weights."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.kernels.layout import N_WAVES, Network
from fastbp.names import INITIALISATIONS
from fastbp.training.network import front_views, make_network, pack_parameters
from fastbp.training.predict import activation_names, predict_outputs

# Of init="data": rows for the standard deviations of units, and for one intercept
ROWS_LOOKED_AT = 1000
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
    """Draw initial weights and biases, and return them as lists of arrays.

    Parameters
    ----------
    layer_sizes : sequence of int
        Units per layer: features, hidden layers, outputs.
    activations : sequence of str
        One name per layer of weights; "glorot_uniform" draws smaller weights for logistic layers, as scikit-learn does.
    init : str
        A name in `INITIALISATIONS`. "glorot_uniform" is scikit-learn's scheme, which draws biases too. Sources: Glorot and Bengio
        2010; He et al. 2015, arXiv:1502.01852; LeCun et al., Efficient BackProp, 1998; `orthogonal`.
    init_scale : float
        Factor on everything drawn.
    fit_intercept : bool
        If False, biases are zero. They are drawn all the same, so that the weights do not depend on it.
    random_state : numpy.random.RandomState
    dtype : dtype
        Draws are float64, then cast.
    """
    scheme, coefs, intercepts = INITIALISATIONS[init], [], []

    def draw(scale: float, shape: Any) -> np.ndarray:
        if scheme.distribution == "uniform":
            return random_state.uniform(-scale, scale, shape)
        if scheme.distribution == "normal":
            return scale * random_state.standard_normal(shape)
        return orthogonal(shape, random_state) if scheme.distribution == "orthogonal" else np.zeros(shape)

    for n_in, n_out, activation in zip(layer_sizes[:-1], layer_sizes[1:], activations):
        numerator = scheme.numerator_of_logistic if activation == "logistic" else None
        numerator = scheme.numerator if numerator is None else numerator
        scale = 1.0 if numerator is None else math.sqrt(numerator / (n_in + n_out if scheme.with_fan_out else n_in))
        W = draw(scale, (n_in, n_out))
        b = draw(scale, n_out) if scheme.draws_intercepts else None
        if b is None or not fit_intercept:
            b = np.zeros(n_out)
        if init_scale != 1.0:
            W, b = init_scale * W, init_scale * b
        coefs.append(W.astype(dtype, copy=False))
        intercepts.append(b.astype(dtype, copy=False))
    return coefs, intercepts


def orthogonal(shape: tuple[int, int], random_state: Any) -> np.ndarray:
    """Draw a matrix whose columns are orthonormal, or its rows if there are fewer, uniformly among all such matrices.

    It is Q of the QR decomposition of normal draws, with signs that make the diagonal of R positive (Mezzadri 2007,
    arXiv:math-ph/0609050). Saxe et al. 2013 initialise deep networks in this way (arXiv:1312.6120).
    """
    Q, R = np.linalg.qr(random_state.standard_normal((max(shape), min(shape))))
    Q *= np.where(np.diag(R) < 0.0, -1.0, 1.0)
    return Q if shape[0] >= shape[1] else Q.T


def draw_front(network: Network, random_state: Any, dtype: Any, frequency_scale: float = 0.1) -> dict[str, np.ndarray]:
    """Draw the parameters that `front_views` names.

    Frequencies come from N(0, frequency_scale²), phases from U(-π, π), weights of the cosines and offsets from U(-¼, ¼). Scales
    are 1, and the skip layer is 0 (Holzmüller, Grinsztajn and Steinwart, arXiv:2407.04491). Embeddings of categories, of size d,
    come from U(-1/√d, 1/√d), so that their length is about 1/√3 for every d (Gorishniy, Rubachev, Khrulkov and Babenko,
    Revisiting deep learning models for tabular data, arXiv:2106.11959).
    """
    drawn: dict[str, np.ndarray] = {}
    if not network.has_front and network.skip_layer < 0:  # a small fit has no time for the rest
        return drawn
    for name, view in front_views(network, np.empty(network.n_parameters)).items():
        if name == "frequencies":
            values = frequency_scale * random_state.standard_normal(view.shape)
        elif name in ("scale", "category_scale"):
            values = np.ones(view.shape)
        elif name == "skip":
            values = np.zeros(view.shape)
        else:
            bound = math.pi if name == "phases" else 1 / math.sqrt(N_WAVES if name in ("cosines", "offsets") else view.shape[1])
            values = random_state.uniform(-bound, bound, view.shape)
        drawn[name] = values.astype(dtype)
    return drawn


def begin_with_equal_spreads(coefs: list[np.ndarray], intercepts: list[np.ndarray], fit_intercept: bool) -> None:
    """Change the last layer in place, so that the variances of standardised targets are 1 for every row.

    The means then learn by the squared error at first. The softplus of the second half of the outputs gives the variances.
    """
    n = len(intercepts[-1]) // 2
    coefs[-1][:, n:] = 0.0
    if fit_intercept:
        intercepts[-1][n:] = math.log(math.expm1(1.0))


def thresholds_between(coefs: list[np.ndarray], intercepts: list[np.ndarray]) -> None:
    """Change the last two layers in place to a score and its thresholds; with the score 0, all classes are equally likely."""
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
    """Draw weights from N(0, 1), fit them layer by layer to rows of X, and return weights and biases as lists of arrays.

    Each unit's weights are scaled so that its values before the activation have the standard deviation `init_scale` over at most
    a thousand rows. Its bias is minus a weighted mean of these values for five random rows, with exponentially distributed
    weights. A unit with the same value for all rows gets weights from N(0, init_scale² / n_in). Source: Holzmüller, Grinsztajn
    and Steinwart, arXiv:2407.04491, appendix A.

    Parameters
    ----------
    network : Network
    front : dict of str to ndarray
        From `draw_front`.
    X : ndarray or CSR matrix of shape (n, n_features)
    random_state : numpy.random.RandomState
    row_indices : ndarray of int64 or None
        The rows of X to use; None is all.
    weights : ndarray of shape (n_rows,) or None
        Weights above 0 of these rows, for the standard deviation and for the choice of the five rows.
    init_scale : float
    n_threads : int or None
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
    shares_of_rows = None if weights is None else weights.astype(np.float64) / weights.sum(dtype=np.float64)
    activations = activation_names(network)
    sizes = [network.n_features, *network.units[1:].tolist()]
    coefs: list[np.ndarray] = []
    intercepts: list[np.ndarray] = []
    for layer, (n_in, n_out) in enumerate(zip(network.units[:-1].tolist(), network.units[1:].tolist())):
        W = random_state.standard_normal((n_in, n_out))
        picked = random_state.choice(X.shape[0], (ROWS_OF_AN_INTERCEPT, n_out), p=shares_of_rows)
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
        deviations = np.sqrt(np.average((outputs - np.average(outputs, axis=0, weights=weights)) ** 2, axis=0, weights=weights))
        is_flat = deviations <= 1e-6 * np.abs(outputs).max(axis=0, initial=1e-300)
        factor = init_scale / np.where(is_flat, math.sqrt(n_in), deviations)
        bias = -(outputs[picked, np.arange(n_out)] * factor * shares).sum(axis=0) / shares.sum(axis=0)
        coefs.append((W * factor).astype(dtype))
        intercepts.append((bias if network.fit_intercept else np.zeros(n_out)).astype(dtype))
    return coefs, intercepts
