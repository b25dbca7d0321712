"""The folds of a table: which rows are trained on, and which are held out."""

import warnings
from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import check_cv

from fastbp.estimators.validation import stacklevel_of_user
from fastbp.tabular.rows import Rows


def check_folds(cv: Any) -> None:
    """Raise ValueError if `cv` cannot give folds."""
    is_number = isinstance(cv, Integral) and not isinstance(cv, bool)
    is_iterable = not isinstance(cv, str) and (hasattr(cv, "split") or hasattr(cv, "__iter__"))
    if cv is not None and not (int(cv) > 1 if is_number else is_iterable):
        raise ValueError(f"cv must be an int of at least 2, a splitter, pairs of row indices or None, got {cv!r}.")


def number_of_folds(cv: Any, table: Any, y: Any) -> int:
    """Return the number of folds of a checked cv, or 1 for an iterator, whose number is not known."""
    if isinstance(cv, Integral):
        return int(cv)
    return int(cv.get_n_splits(table, y)) if hasattr(cv, "get_n_splits") else len(cv) if hasattr(cv, "__len__") else 1


def drawn_folds(
    cv: Any, table: Any, labels: np.ndarray, rows: Rows, is_classifier: bool, random_state: Any
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs of row indices, to train on and to hold out, counted among the rows of weight above 0; labels: of all rows.

    An int splits the rows of weight above 0. A splitter, or pairs of row indices, splits all rows of the table, as the user sees
    them; rows of weight 0 are then left out.
    """
    if isinstance(cv, Integral):
        labels = labels[rows.row_indices]
        n_folds = int(cv)
        most = int(np.bincount(labels).max()) if is_classifier else len(labels)
        if n_folds > most > 1 and not rows.are_all:
            warnings.warn(
                f"cv={n_folds}, but only {len(labels)} rows have a weight above 0: {most} folds are used.",
                stacklevel=stacklevel_of_user(),
            )
            n_folds = most
        splitter = check_cv(n_folds, labels if is_classifier else None, classifier=is_classifier)
        splitter = type(splitter)(n_folds, shuffle=True, random_state=random_state.randint(2**31 - 1))
        return list(splitter.split(labels, labels))
    splits = list(cv.split(table, labels) if hasattr(cv, "split") else cv)
    if not splits:
        raise ValueError("cv gives no folds. An iterator works only once: pass a list of its folds.")
    number = np.full(rows.n_all, -1)
    number[rows.row_indices] = np.arange(len(number[rows.row_indices]))
    folds = []
    for i, split in enumerate(splits):
        try:
            train, held_out = (number[part if part.size else []] for part in map(np.asarray, split))
            if train.ndim != 1 or held_out.ndim != 1:
                raise ValueError("it has another shape")
        except (IndexError, TypeError, ValueError) as error:
            raise ValueError(f"Fold {i} of cv must be a pair of row indices, to train on and to hold out: {error}.") from error
        folds.append((train[train >= 0], held_out[held_out >= 0]))
        if not len(folds[-1][0]):
            raise ValueError(f"Fold {i} of cv has no row to train on whose weight is above 0.")
    counts = np.bincount(np.concatenate([held_out for _, held_out in folds]), minlength=number.max() + 1)
    if not counts.all():
        raise ValueError(f"cv leaves {np.count_nonzero(counts == 0)} rows out of all test folds: these have no score.")
    return folds


def mean_held_out(parts: Iterable[tuple[np.ndarray, np.ndarray]], n_rows: int) -> np.ndarray:
    """Return the mean of networks' outputs for the rows that they hold out, (n_rows, n_outputs); parts: pairs of row indices, all
    of which are there at least once, and outputs."""
    total: Any = None
    counts = np.zeros((n_rows, 1))
    for rows, outputs in parts:
        total = np.zeros((n_rows, outputs.shape[1])) if total is None else total
        total[rows] += outputs
        counts[rows] += 1
    return total / counts
