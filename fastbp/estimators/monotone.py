"""Checks of `monotonic_cst`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from fastbp.names import ACTIVATIONS, HIDDEN_ACTIVATIONS
from fastbp.training.settings import Settings


def constraints_of(estimator: Any, settings: Settings, n_outputs: int, n_features: int) -> tuple[int, ...]:
    """Return -1, 0 or 1 for each feature, or () if all are 0; raise ValueError if `monotonic_cst` cannot be met."""
    constraints = _per_feature(estimator, n_features)
    if not any(constraints):
        return ()
    names = (*settings.activations, settings.output_activation)
    others = [name for name in names if not ACTIVATIONS[name].is_monotone]
    if settings.output_activation == "softmax" or (
        is_classifier(estimator) and not estimator.ordered and n_outputs > 1 and not others
    ):
        raise ValueError(
            "monotonic_cst is for two classes with one output, the probability of the second, as in scikit-learn's"
            " HistGradientBoostingClassifier, or for ordered=True: not for several classes, columns or labels without an order,"
            " nor for output_activation='softmax'."
        )
    if others:
        allowed = [name for name in HIDDEN_ACTIVATIONS if ACTIVATIONS[name].is_monotone]
        raise ValueError(
            f"monotonic_cst needs activations that never fall, and {others[0]!r} does: take {', '.join(map(repr, allowed))}."
        )
    if settings.categories:
        raise ValueError("monotonic_cst does not go with categorical_features: encode these first.")
    if settings.scale_layer:
        raise ValueError("monotonic_cst does not go with scale_layer, whose factors may reverse an input.")
    embedded = range(n_features) if settings.embedded is None else settings.embedded
    turning = [column for column in embedded if column < n_features and constraints[column]]
    if turning:
        raise ValueError(
            f"monotonic_cst constrains column {turning[0]}, which goes through embedding={estimator.embedding!r}, whose waves"
            " rise and fall: leave it out of embedded_features."
        )
    if not isinstance(settings.init, str):
        raise ValueError(
            "monotonic_cst does not go with weights of your own in init, because their signs matter: use the name of a scheme."
        )
    return constraints


def _per_feature(estimator: Any, n_features: int) -> tuple[int, ...]:
    given = estimator.monotonic_cst
    if isinstance(given, Mapping):
        names = getattr(estimator, "feature_names_in_", None)
        if names is None:
            raise ValueError(
                "monotonic_cst names features, but X has no names of columns: pass a frame as X, or a list with a number for each"
                " column."
            )
        unknown = [name for name in given if name not in set(names)]
        if unknown:
            raise ValueError(f"monotonic_cst names {unknown[0]!r}, which is no column of X.")
        given = [given.get(name, 0) for name in names]
    values = np.asarray(given)
    if values.ndim != 1 or values.dtype.kind not in "iuf" or not np.isin(values, (-1, 0, 1)).all():
        raise ValueError(f"monotonic_cst must hold -1, 0 or 1 for each column of X, got {estimator.monotonic_cst!r}.")
    if len(values) != n_features:
        raise ValueError(f"monotonic_cst has {len(values)} values, but X has {n_features} columns.")
    return tuple(values.astype(int).tolist())


def check_signs(network: Any, params: np.ndarray, constraints: tuple[int, ...]) -> None:
    """Raise ValueError if weights that training continues with do not have the signs that the constraints need."""
    from fastbp.training.monotone import parameter_signs

    if (params * parameter_signs(network, constraints, params.dtype) < 0).any():
        raise ValueError(
            "The weights that training goes on with do not have the signs that monotonic_cst needs: set it back, or fit again"
            " without warm_start."
        )
