"""Missing targets, with ``missing_targets="ignore"``: NaN for an unknown number or label.

Checks and encodings see another value of the same column in place of NaN. A mask says which targets are missing.
"""

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_array

from fastbp.estimators.inputs import read_by

IGNORE = "ignore"


def without_missing(estimator: Any, y: Any, name: str = "y", is_whole: bool = True) -> tuple[Any, np.ndarray | None]:
    """Return y with each NaN filled in and a mask of these, (n_rows, n_columns).

    The mask is None, and y unchanged, if there is no NaN or the estimator does not ignore them.
    is_whole: whether every column must have a target, because no other rows will follow.
    """
    if getattr(estimator, "missing_targets", None) != IGNORE:
        return y, None
    return filled_in(y, name, is_whole)


def filled_in(y: Any, name: str, is_whole: bool) -> tuple[Any, np.ndarray | None]:
    """Return y with each NaN filled in, and a mask of these; y and None without NaN, or for later checks to refuse."""
    if y is None or issparse(y):
        return y, None
    values = np.asarray(y)
    if values.dtype.kind in "biuUS" or values.ndim not in (1, 2) or not values.size:
        return y, None
    if values.dtype.kind == "O" and any(isinstance(value, str) for value in values.ravel().tolist()):
        return y, None
    values = read_by(check_array, y, dtype="numeric", ensure_2d=False, ensure_all_finite="allow-nan", input_name=name)
    if values.dtype.kind != "f":
        return y, None
    missing = np.isnan(values).reshape(len(values), -1)
    if not missing.any():
        return y, None
    if missing.all():
        raise ValueError(f"{name} has no target: all are missing.")
    empty = np.flatnonzero(missing.all(axis=0))
    if is_whole and empty.size:
        raise ValueError(f"{name} has no target at all in the columns {empty.tolist()}: leave these out.")
    values = values.copy()
    columns = values.reshape(len(values), -1)
    for column, gone in zip(columns.T, missing.T):
        known = column if not gone.all() else columns.ravel()
        column[gone] = known[~np.isnan(known)][0]
    return values, missing


def with_missing(Y: np.ndarray, missing: np.ndarray, groups: tuple[int, ...] = ()) -> np.ndarray:
    """Return encoded targets, (n_rows, n_outputs), with NaN for missing ones."""
    if groups:
        missing = np.repeat(missing, groups, axis=1)
    return np.where(np.broadcast_to(missing, Y.shape), Y.dtype.type(np.nan), Y)


def known_r2(y: np.ndarray, predicted: np.ndarray, missing: np.ndarray, sample_weight: Any) -> float:
    """Return the mean over outputs of R², each over the rows where the target is known."""
    columns = [values.reshape(len(values), -1).T for values in (y, predicted)]
    scores = []
    for truth, guess, gone in zip(*columns, missing.T):
        if not gone.all():
            weights = None if sample_weight is None else np.asarray(sample_weight)[~gone]
            scores.append(r2_score(truth[~gone], guess[~gone], sample_weight=weights))
    return float(np.mean(scores))


def known_accuracy(y: np.ndarray, predicted: Any, missing: np.ndarray, sample_weight: Any) -> float:
    """Return the fraction of rows whose known labels are all right, among the rows with a known label."""
    predicted = predicted.toarray() if issparse(predicted) else predicted
    rows = ~missing.all(axis=1)
    truth = np.where(missing.reshape(y.shape), predicted, y)
    right = (truth == predicted).reshape(len(y), -1).all(axis=1)
    weights = None if sample_weight is None else np.asarray(sample_weight)[rows]
    return float(accuracy_score(np.ones(rows.sum(), dtype=bool), right[rows], sample_weight=weights))
