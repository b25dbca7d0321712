"""Weights of classes, as factors on the weights of rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from fastbp.estimators.inputs import check_sample_weight
from fastbp.estimators.targets import Targets


def refuse_balanced(class_weight: Any) -> None:
    """Raise ValueError for 'balanced', with the message of scikit-learn's SGDClassifier."""
    if isinstance(class_weight, str) and class_weight == "balanced":
        raise ValueError(
            "class_weight 'balanced' is not supported for partial_fit. In order to use 'balanced' weights, use"
            " compute_class_weight('balanced', classes=classes, y=y). In place of y you can use a large enough sample of the full"
            " training set target to properly estimate the class frequency distributions. Pass the resulting weights as the"
            " class_weight parameter."
        )


def class_tables(class_weight: Any, targets: Targets) -> list[np.ndarray]:
    """Return for each column of classes their weights, (n_classes,), or for each label the weights of 0 and 1, (2,)."""
    columns = _known(targets, targets.columns)
    is_balanced, is_single = isinstance(class_weight, str), not (targets.is_multilabel or targets.groups)
    if is_single and not (is_balanced or isinstance(class_weight, Mapping)):
        raise ValueError(f"class_weight must be 'balanced' or a dict of class to weight for one label, got {class_weight!r}.")
    if not (is_single or is_balanced) and (isinstance(class_weight, Mapping) or len(class_weight) != len(columns)):
        raise ValueError(
            f"class_weight must be 'balanced' or a list of {len(columns)} dicts of class to weight, one per label or column,"
            f" got {class_weight!r}."
        )
    weights = [class_weight] * len(columns) if is_single or is_balanced else class_weight
    if not targets.is_multilabel:
        each = zip(weights, targets.classes if targets.groups else [targets.classes], columns)
        return [compute_class_weight(weight, classes=classes, y=classes[column]) for weight, classes, column in each]
    tables = np.ones((len(columns), 2))
    for table, weight, y in zip(tables, weights, columns):
        classes = np.unique(y) if is_balanced else np.arange(2)  # a label may be the same in all rows
        table[classes] = compute_class_weight(weight if is_balanced else {0: 1.0, 1: 1.0, **weight}, classes=classes, y=y)
    return list(tables)


def _known(targets: Targets, columns: list[np.ndarray]) -> list[np.ndarray]:
    """Return the known targets of each column."""
    return columns if targets.missing is None else [y[~gone] for y, gone in zip(columns, targets.missing.T)]


def row_weights(tables: list[np.ndarray] | None, sample_weight: Any, targets: Targets, X: Any) -> np.ndarray | None:
    """Return the weights of rows in X's dtype, checked and multiplied by the weights of their classes.

    The products are computed in float64 and cast once, as if the user had multiplied the weights.
    """
    checked = check_sample_weight(sample_weight, X)
    if tables is None:
        return checked
    factors = [table[column] for table, column in zip(tables, targets.columns)]
    if targets.missing is not None:
        factors = [np.where(gone, 1.0, factor) for factor, gone in zip(factors, targets.missing.T)]
    weights = np.prod(factors, axis=0)
    if sample_weight is not None:
        weights = weights * np.asarray(sample_weight, dtype=np.float64)
    return check_sample_weight(weights, X)
