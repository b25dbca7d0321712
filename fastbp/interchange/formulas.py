"""Every activation as a formula, said once for all languages that networks are written in.

A formula is built from a `Language`'s operations. To add an activation, add its formula; `tests/test_interchange.py` fails for a
name that has none.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from fastbp.estimators import BPClassifier, BPRegressor, parameters
from fastbp.estimators.scaling import check_weights_alone

LEAK = 0.01
GELU_SCALE, GELU_CUBIC = math.sqrt(2 / math.pi), 0.044715
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017, section 2

Value = Any  # what a language takes for an array; a float is a constant


class Language(Protocol):
    """The operations of which formulas are made."""

    def add(self, x: Value, y: Value) -> Value:
        """x + y."""

    def multiply(self, x: Value, y: Value) -> Value:
        """x · y."""

    def maximum(self, x: Value, y: Value) -> Value:
        """The larger of two."""

    def minimum(self, x: Value, y: Value) -> Value:
        """The smaller of two."""

    def is_above(self, x: Value, y: Value) -> Value:
        """1 where x > y, else 0."""

    def exp(self, x: Value) -> Value:
        """e**x."""

    def log(self, x: Value) -> Value:
        """Natural logarithm."""

    def tanh(self, x: Value) -> Value:
        """Hyperbolic tangent."""

    def logistic(self, x: Value) -> Value:
        """1 / (1 + e**-x)."""


def _elu(f: Language, x: Value) -> Value:
    return f.add(f.maximum(x, 0.0), f.add(f.exp(f.minimum(x, 0.0)), -1.0))


def _selu(f: Language, x: Value) -> Value:
    below = f.multiply(f.add(f.exp(f.minimum(x, 0.0)), -1.0), SELU_SCALE * SELU_ALPHA)
    return f.add(f.multiply(f.maximum(x, 0.0), SELU_SCALE), below)


def _gelu(f: Language, x: Value) -> Value:
    inner = f.multiply(x, f.add(f.multiply(f.multiply(x, x), GELU_SCALE * GELU_CUBIC), GELU_SCALE))
    return f.multiply(x, f.add(f.multiply(f.tanh(inner), 0.5), 0.5))


def _softplus(f: Language, x: Value) -> Value:
    from_zero = f.minimum(x, f.multiply(x, -1.0))
    return f.add(f.maximum(x, 0.0), f.log(f.add(f.exp(from_zero), 1.0)))


FORMULAS: dict[str, Callable[[Language, Value], Value]] = {
    "identity": lambda f, x: x,
    "logistic": lambda f, x: f.logistic(x),
    "tanh": lambda f, x: f.tanh(x),
    "relu": lambda f, x: f.maximum(x, 0.0),
    "leaky_relu": lambda f, x: f.maximum(x, f.multiply(x, LEAK)),
    "step": lambda f, x: f.is_above(x, 0.0),
    "elu": _elu,
    "gelu": _gelu,
    "selu": _selu,
    "silu": lambda f, x: f.multiply(x, f.logistic(x)),
    "mish": lambda f, x: f.multiply(x, f.tanh(_softplus(f, x))),
    "softplus": _softplus,
    "hardswish": lambda f, x: f.multiply(x, f.multiply(f.minimum(f.maximum(f.add(x, 3.0), 0.0), 6.0), 1 / 6)),
    "exp": lambda f, x: f.exp(x),
}
ACROSS_UNITS = ("softmax",)  # no formula of one unit alone; each language has it as it is


class Plain(NamedTuple):
    """A trained network as others need to know it."""

    coefs: list[np.ndarray]
    intercepts: list[np.ndarray]
    activations: list[str]  # of every layer, the output's too
    classes: np.ndarray | None  # None for numbers and for several labels
    is_classifier: bool

    @property
    def is_binary(self) -> bool:
        """Whether its one output is the probability of the second class."""
        return self.is_classifier and self.coefs[-1].shape[1] == 1


class _NumPy:
    """The language in which `plain` looks whether nothing was overlooked."""

    add, multiply, maximum, minimum = np.add, np.multiply, np.maximum, np.minimum
    exp, log, tanh = np.exp, np.log, np.tanh

    @staticmethod
    def is_above(x: np.ndarray, y: float) -> np.ndarray:
        return (x > y).astype(float)

    @staticmethod
    def logistic(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))


def plain(estimator: Any) -> Plain:
    """Return the network of a fitted estimator, or raise ValueError where that alone does not make its predictions."""
    if not isinstance(estimator, BPClassifier | BPRegressor):
        raise ValueError(f"estimator must be a BPClassifier or a BPRegressor, got {type(estimator).__name__}.")
    check_weights_alone(estimator)
    coefs, intercepts, layer_sizes = parameters.check_weights(estimator.coefs_, estimator.intercepts_)
    hidden = parameters.activation_names(estimator.activation, len(layer_sizes) - 2, estimator)
    for name in (*hidden, estimator.out_activation_):
        if name not in FORMULAS and name not in ACROSS_UNITS:
            raise ValueError(f"The activation {name!r} cannot be written for others yet.")
    if not all(np.isfinite(array).all() for array in (*coefs, *intercepts)):
        raise ValueError("Weights are NaN or infinite.")
    has_classes = isinstance(estimator, BPClassifier) and (layer_sizes[-1] == 1 or estimator.out_activation_ == "softmax")
    classes = estimator.classes_ if has_classes else None
    network = Plain(coefs, intercepts, [*hidden, estimator.out_activation_], classes, isinstance(estimator, BPClassifier))
    _check_nothing_is_overlooked(network, estimator)
    return network


def _check_nothing_is_overlooked(network: Plain, estimator: Any) -> None:
    """An option that is newer than this module may change what an estimator does with its network: compare a few rows."""
    rows = np.random.RandomState(0).normal(size=(4, len(network.coefs[0]))).astype(network.coefs[0].dtype)
    outputs, f = rows.astype(np.float64), _NumPy()
    with np.errstate(all="ignore"):
        for W, b, name in zip(network.coefs, network.intercepts, network.activations):
            z = outputs @ np.asarray(W, np.float64) + np.asarray(b, np.float64)
            if name == "softmax":
                powers = np.exp(z - z.max(axis=1, keepdims=True))
                outputs = powers / powers.sum(axis=1, keepdims=True)
            else:
                outputs = np.asarray(FORMULAS[name](f, z))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that these rows do not have
        expected = estimator.predict_proba(rows) if network.is_classifier else estimator.predict(rows)
    expected = expected[:, 1:] if network.is_binary else expected.reshape(outputs.shape)
    if np.count_nonzero(np.isclose(outputs, expected, rtol=1e-3, atol=1e-4, equal_nan=True)) < 0.7 * outputs.size:
        raise ValueError(
            f"This {type(estimator).__name__} predicts otherwise than its network alone, so it cannot be exported yet."
        )
