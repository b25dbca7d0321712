"""Proposes sizes of hidden layers to search."""

import math
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils.multiclass import type_of_target


def suggest_hidden_layer_sizes(X: Any, y: Any = None, *, max_layers: int = 2, n_sizes: int = 5) -> list[tuple[int, ...]]:
    """Propose sizes of hidden layers to search, from the shape of the data.

    There is no formula for the number of hidden units, but rules of thumb give a range to search. Its low end is
    :math:`\\sqrt{n_{in} \\, n_{out}}`, the middle of a geometric pyramid from inputs to outputs [1]_. Its high end is the size
    with which a network has as many parameters as there are rows. With many features and few rows, the low end is a quarter of
    the high end. Sizes between them grow by a constant factor, as each further unit adds less. All layers of a network have the
    same width, which does as well as pyramids in practice [2]_.

    Regularised networks may be better with more parameters than rows. If the best score is at the high end, search further.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), or tuple of two ints
        Inputs, or the shape of them.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), int or None, default=None
        Targets (integers and text are class labels, floats are numbers), or the number of outputs. None is one output.
    max_layers : int, default=2
        Maximum number of hidden layers.
    n_sizes : int, default=5
        Maximum number of sizes for each number of layers.

    Returns
    -------
    sizes : list of tuple of int
        Values for `hidden_layer_sizes`, the smallest of one layer first.

    Raises
    ------
    ValueError
        A shape or a number is not positive.

    References
    ----------
    .. [1] Masters, "Practical Neural Network Recipes in C++", Academic Press 1993.
    .. [2] Bengio, "Practical recommendations for gradient-based training of deep architectures", 2012 (arXiv:1206.5533).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbp import suggest_hidden_layer_sizes
    >>> suggest_hidden_layer_sizes(*load_iris(return_X_y=True), n_sizes=4)
    [(3,), (6,), (10,), (18,), (2, 2), (3, 3), (5, 5), (8, 8)]
    >>> suggest_hidden_layer_sizes((1000, 20), max_layers=1)
    [(4,), (8,), (14,), (25,), (45,)]
    """
    shape = shape_of(X)
    n_outputs = y if isinstance(y, Integral) else _count_outputs(y)
    if len(shape) != 2:
        raise ValueError(f"X must have the shape (n_samples, n_features), got {shape}.")
    counts = {"n_samples": shape[0], "n_features": shape[1], "y": n_outputs, "max_layers": max_layers, "n_sizes": n_sizes}
    for name, value in counts.items():
        if not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} must be an int of at least 1, got {value!r}.")
    rule = math.sqrt(shape[1] * n_outputs)
    sizes = []
    for n_layers in range(1, max_layers + 1):
        high = _largest_width(int(shape[0]), int(shape[1]), int(n_outputs), n_layers)
        low = max(1.0, min(rule, high / 4))
        widths = np.geomspace(low, high, n_sizes) if n_sizes > 1 else [math.sqrt(low * high)]
        sizes += [(width,) * n_layers for width in sorted({round(width) for width in widths})]
    return sizes


def shape_of(X: Any) -> Any:
    """Return the shape of inputs, or X itself if it is a shape."""
    is_shape = isinstance(X, tuple) and len(X) == 2 and all(isinstance(size, Integral) for size in X)
    return X if is_shape else np.shape(X)


def _count_outputs(y: Any) -> int:
    """Return the number of outputs of a network for these targets."""
    if y is None:
        return 1
    y = np.asarray(y)
    if y.ndim > 1:
        return y.shape[1]
    return len(np.unique(y)) if y.dtype.kind != "f" and type_of_target(y) == "multiclass" else 1


def _largest_width(n_samples: int, n_features: int, n_outputs: int, n_layers: int) -> int:
    """Return the largest width of n_layers hidden layers with at most n_samples parameters; 1 if there is none."""
    # (n_layers - 1)·width² + (n_features + n_outputs + n_layers)·width + n_outputs = n_samples
    a, b, c = n_layers - 1, n_features + n_outputs + n_layers, n_outputs - n_samples
    if c >= 0:
        return 1
    return max(1, math.floor(-2 * c / (b + math.sqrt(b * b - 4 * a * c))))
