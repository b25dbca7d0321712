"""Probabilities that keep what they promise: one temperature, by which the logits are divided, fitted on the validation rows.

C. Guo, G. Pleiss, Y. Sun and K. Weinberger, On calibration of modern neural networks, ICML 2017.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax, logsumexp, softmax

_MOST = 7.0  # of |log(temperature)|: from a thousandth to a thousand


def logits_of(networks: Sequence[tuple[Any, np.ndarray]], X: Any, is_multiclass: bool, n_threads: int | None) -> np.ndarray:
    """Return what the probabilities of one network are made from, or those that are the mean of several networks', in float64;
    rows as the kernels take them."""
    from fastbp.training.explain import layer_outputs

    logits = [layer_outputs(*network, X, of_logits=True, n_threads=n_threads).astype(np.float64) for network in networks]
    if len(logits) == 1:
        return logits[0]
    if is_multiclass:
        return logsumexp([log_softmax(z, axis=1) for z in logits], axis=0)
    return logsumexp([log_expit(z) for z in logits], axis=0) - logsumexp([log_expit(-z) for z in logits], axis=0)


def probabilities(logits: np.ndarray, temperature: float, is_multiclass: bool) -> np.ndarray:
    """Return the outputs at a temperature."""
    return softmax(logits / temperature, axis=1) if is_multiclass else expit(logits / temperature)


def log_loss(logits: np.ndarray, temperature: float, Y: np.ndarray, weights: np.ndarray | None, is_multiclass: bool) -> float:
    """Return the mean log-loss over the rows, summed over labels; Y: (n_rows, 1) class numbers, or 0 and 1 per output."""
    if is_multiclass:
        losses = -np.take_along_axis(log_softmax(logits / temperature, axis=1), Y.astype(np.intp), axis=1)[:, 0]
    else:
        losses = -log_expit(np.where(Y > 0.5, logits, -logits) / temperature).sum(axis=1)
    return float(np.average(losses, weights=weights))


def fitted_temperature(
    logits: np.ndarray, Y: np.ndarray, weights: np.ndarray | None, is_multiclass: bool, *, spread: float = np.inf
) -> float:
    """Return the temperature with the smallest log-loss, which is convex in its reciprocal; 1 where nothing is better.

    spread: of the logarithm of temperatures around 0, as a normal distribution, known before any row was seen.
    """

    n_rows = len(Y) if weights is None else float(weights.sum(dtype=np.float64))  # one of weight 2 counts as two

    def loss(log_temperature: float) -> float:
        surprise = 0.5 * (log_temperature / spread) ** 2 / n_rows
        return log_loss(logits, np.exp(log_temperature), Y, weights, is_multiclass) + surprise

    best = minimize_scalar(loss, bounds=(-_MOST, _MOST), method="bounded", options={"xatol": 1e-8})
    return float(np.exp(best.x)) if best.fun < loss(0.0) else 1.0
