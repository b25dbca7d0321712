"""Starting weights."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.names import STARTS


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
        Name out of `STARTS`. "glorot_uniform" is scikit-learn's scheme: biases are drawn too. Sources: Glorot and Bengio 2010; He
        et al. 2015, arXiv:1502.01852; LeCun et al., Efficient BackProp, 1998; `orthogonal`.
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
    start, coefs, intercepts = STARTS[init], [], []

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
