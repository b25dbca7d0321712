"""Ordered classes: their order, and the network with one score and thresholds between the classes.

P(y ≥ k) = σ(f(x) - θ_k): the proportional odds model of P. McCullagh, Regression models for ordinal data, Journal of the Royal
Statistical Society B 42, 1980, with a network in place of the linear function. The score f is one more hidden layer of one unit.
From it, fixed weights of 1 lead to one output per class. The intercepts of the outputs are -θ_k.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.estimators import parameters

OUTPUT = "cumulative"
LOSS = "ordered_log_loss"

# Parameters that must be at these values with ordered=True, and the reason.
_REFUSED = {
    "loss": ("log_loss", "has a loss of its own"),
    "label_smoothing": (0.0, "would have neighbours and others share alike"),
    "output_activation": ("auto", "has an output of its own"),
    "calibration": (None, "has no logits per class"),
    "fit_intercept": (True, "has its thresholds in the intercepts"),
}


def check_together(estimator: Any) -> None:
    """Raise ValueError for parameters that do not go with `ordered`."""
    for name, (usual, reason) in _REFUSED.items():
        value = getattr(estimator, name)
        if value != usual:
            raise ValueError(f"{name}={value!r} does not go with ordered=True, which {reason}: leave it at {usual!r}.")
    if not isinstance(estimator.init, str):
        raise ValueError("ordered=True does not go with weights of your own in init: use the name of a scheme.")


def with_score(names: Sequence[str], output: str) -> tuple[str, ...]:
    """Return the activations of the hidden layers, with that of the score if the output is for ordered classes."""
    return (*names, "identity") if output == OUTPUT else tuple(names)


def hidden_activations(activation: Any, output: str, n_hidden: int, owner: Any) -> tuple[str, ...]:
    """Return the activations of n_hidden hidden layers, the last of which is the score if the output is for ordered classes."""
    n_scores = int(output == OUTPUT)
    return with_score(parameters.activation_names(activation, n_hidden - n_scores, owner), output)


def categories_of(y: Any) -> np.ndarray | None:
    """Return the categories of an ordered pandas Categorical, from the lowest on; None for anything else.

    y may be a Series, an Index or a frame of one column.
    """
    if hasattr(y, "iloc") and getattr(y, "ndim", 1) == 2 and y.shape[1] == 1:
        y = y.iloc[:, 0]
    dtype: Any = getattr(y, "dtype", None)
    return np.asarray(dtype.categories) if getattr(dtype, "ordered", None) and hasattr(dtype, "categories") else None


def in_order(labels: Any, categories: np.ndarray | None) -> np.ndarray:
    """Return sorted labels in the order of the categories, if there are any; raise ValueError if no order is known."""
    if isinstance(labels, list) or np.ndim(labels) != 1:
        raise ValueError("ordered=True is for one column of classes.")
    if len(labels) < 2:
        raise ValueError(f"ordered=True needs two classes or more, but y has {labels} alone.")
    if categories is not None:
        places = {label: place for place, label in enumerate(categories.tolist())}
        return labels[np.argsort([places[label] for label in labels.tolist()])]
    if labels.dtype.kind not in "biuf" and not all(isinstance(label, int | float | np.number) for label in labels):
        raise ValueError(
            f"ordered=True needs to know the order of the classes {labels}: pass y as numbers, or as a pandas Categorical with"
            " ordered=True."
        )
    return labels


def positions(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the indices of labels in classes, which need not be sorted."""
    order = np.argsort(classes, kind="stable")
    return order[np.searchsorted(classes, labels, sorter=order)]
