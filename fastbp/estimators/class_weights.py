"""Weights of classes, which are weights of rows once the labels are known."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from fastbp.estimators.inputs import check_sample_weight
from fastbp.estimators.targets import Targets


def refuse_balanced(class_weight: Any) -> None:
    """Refuse weights that a part of the rows cannot tell, in the words of scikit-learn's SGDClassifier."""
    if isinstance(class_weight, str) and class_weight == "balanced":
        raise ValueError(
            "class_weight 'balanced' is not supported for partial_fit. In order to use 'balanced' weights, use"
            " compute_class_weight('balanced', classes=classes, y=y). In place of y you can use a large enough sample of the full"
            " training set target to properly estimate the class frequency distributions. Pass the resulting weights as the"
            " class_weight parameter."
        )


def with_class_weight(class_weight: Any, sample_weight: Any, targets: Targets, X: Any) -> np.ndarray | None:
    """Return the weights of rows times those of their classes, checked and in X's dtype; sample_weight: as the user gave it.

    The products are float64 and cast once, as weights are that a user multiplies himself.
    """
    weights = _weights(class_weight, targets)
    if sample_weight is not None:
        weights = weights * np.asarray(sample_weight, dtype=np.float64)
    return check_sample_weight(weights, X)


def _weights(class_weight: Any, targets: Targets) -> np.ndarray:
    """Return the weight of each row by its class, (n_rows,); of several labels the product."""
    classes: Any = targets.classes
    is_balanced = isinstance(class_weight, str)
    if targets.is_multilabel:
        labels = targets.Y.astype(np.intp)
        if is_balanced:
            return compute_sample_weight("balanced", labels)
        if isinstance(class_weight, Mapping) or len(class_weight) != labels.shape[1]:
            raise ValueError(
                f"class_weight must be 'balanced' or a list of {labels.shape[1]} dicts, one per label, with weights of 0 and 1,"
                f" got {class_weight!r}."
            )
        # a label that no row of a batch has, or all, would otherwise be an unknown class
        return compute_sample_weight([{0: 1.0, 1: 1.0, **weights} for weights in class_weight], labels)
    if not (is_balanced or isinstance(class_weight, Mapping)):
        raise ValueError(f"class_weight must be 'balanced' or a dict of class to weight for one label, got {class_weight!r}.")
    codes = targets.Y[:, 0].astype(np.intp)
    return compute_class_weight(class_weight, classes=classes, y=classes[codes])[codes]
