"""Targets of tables: one column of classes, several, or labels; or scaled numbers."""

from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from fastbp.estimators.class_columns import check_column, frame_columns, narrowed, stacked
from fastbp.estimators.inputs import read_by, refuse_dates
from fastbp.estimators.targets import (
    Targets,
    check_range,
    class_targets,
    column_targets,
)
from fastbp.functions.losses import LEAST_VARIANCE
from fastbp.names import LOSSES
from fastbp.tabular.columns import is_frame, is_missing, opened
from fastbp.tabular.rows import quantiles

ONE, COLUMNS, LABELS = "one column of classes", "columns of classes", "labels"
SMALLEST_PROBABILITY = 0.002  # before calibration; networks that overfit are too sure
NORMAL_QUARTILES = 1.3489795003921634  # distance of the quartiles of the standard normal distribution


# ---- classes


class Classes(NamedTuple):
    """Class labels as given."""

    kind: str  # ONE, COLUMNS or LABELS
    of_columns: list[np.ndarray]  # sorted labels of each column; of LABELS 0 and 1
    codes: np.ndarray  # (n_rows, n_columns), indices of these labels
    is_sparse: bool

    @property
    def labels(self) -> np.ndarray:
        """The labels, (n_rows,) or (n_rows, n_columns)."""
        if self.kind == ONE:
            return self.of_columns[0][self.codes[:, 0]]
        return stacked([classes[codes] for classes, codes in zip(self.of_columns, self.codes.T, strict=True)])

    def shown(self) -> Any:
        """Return the value of `classes_`."""
        if self.kind == LABELS:
            return np.arange(len(self.of_columns))
        return self.of_columns[0] if self.kind == ONE else self.of_columns


def read_classes(y: Any, kind: str | None = None) -> Classes:
    """Return class labels, or raise ValueError for other values; kind: known from `fit`."""
    is_sparse = issparse(y)
    if is_sparse:
        y = y.toarray()
    columns = _columns_of(y)
    if columns is None:
        y = column_or_1d(y, warn=True)
        _refuse_missing(y, "")
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        return Classes(ONE, [classes], codes[:, np.newaxis], is_sparse)
    for number, column in enumerate(columns):
        _refuse_missing(column, f" in column {number}")
        check_column(column, number)
    if kind != COLUMNS and all(column.dtype.kind in "biuf" and np.isin(column, (0, 1)).all() for column in columns):
        return Classes(LABELS, [np.arange(2)] * len(columns), np.column_stack(columns).astype(np.intp), is_sparse)
    found = [np.unique(column, return_inverse=True) for column in columns]
    return Classes(COLUMNS, [classes for classes, _ in found], np.column_stack([codes for _, codes in found]), is_sparse)


def _columns_of(y: Any) -> list[np.ndarray] | None:
    """Return several columns as arrays of their own dtypes; None for a single column."""
    if is_frame(y) and len(y.columns) > 1:
        columns = frame_columns(y)
    else:
        array = np.asarray(y)
        if array.ndim != 2 or array.shape[1] < 2:
            return None
        columns = list(array.T)
    return [narrowed(column) for column in columns]


def _refuse_missing(y: np.ndarray, where: str) -> None:
    """Raise ValueError if a row has no label."""
    if y.dtype.kind in "fO":
        missing = np.flatnonzero([is_missing(value) for value in y.tolist()])
        if len(missing):
            raise ValueError(
                f"Input y contains NaN or None{where}: {len(missing)} rows have no label, the first of them row {missing[0]};"
                " leave them out."
            )


def network_classes(kind: str, codes: np.ndarray, counts: list[int], dtype: Any, smoothing: float) -> Targets:
    """Return the targets of networks; codes: indices of classes that have rows, (n_rows, n_columns); counts: their numbers."""
    if kind == LABELS:
        return class_targets(codes.astype(bool), np.arange(codes.shape[1]), dtype, "log_loss")
    if kind == COLUMNS:
        return column_targets(codes, [np.arange(n) for n in counts], dtype, smoothing)
    return Targets(codes.astype(dtype), counts[0], "log_loss", np.arange(counts[0]))


def codes_among(more: Classes, known: Classes, counting: list[np.ndarray]) -> np.ndarray:
    """Return labels of validation rows as indices of the classes that have rows, or raise ValueError for other labels; counting:
    these classes of each column, as indices of the known classes."""
    n_more, n_known = len(more.of_columns), len(known.of_columns)
    if (more.kind, n_more) != (known.kind, n_known):
        raise ValueError(f"y_val holds {more.kind}, {n_more} of them, but y {known.kind}, {n_known}.")
    columns = []
    for number, (classes, own, codes, places) in enumerate(
        zip(known.of_columns, more.of_columns, more.codes.T, counting, strict=True)
    ):
        new = np.setdiff1d(own, classes[places])
        if len(new):
            where = "" if known.kind == ONE else f" in column {number}"
            raise ValueError(f"there are classes{where} that y does not have: {new[:5].tolist()}.")
        columns.append(np.searchsorted(classes[places], own)[codes])
    return np.column_stack(columns)


# ---- numbers


class Unit(NamedTuple):
    """Scaled targets are (y - location) / spread, with (n_targets,) each."""

    location: np.ndarray
    spread: np.ndarray


def checked_numbers(y: Any) -> np.ndarray:
    """Return targets as float64, (n_rows,) or (n_rows, n_outputs), or raise ValueError."""
    y = opened(y)
    refuse_dates(np.asarray(y))
    try:
        checked = read_by(check_array, y, dtype=np.float64, ensure_2d=False, input_name="y")
    except ValueError as error:
        if "could not convert" not in str(error):
            raise
        raise ValueError(
            f"y holds a value that is not a number, {str(error).rpartition(': ')[2]}: use BPTabularClassifier for classes."
        ) from error
    return column_or_1d(checked, warn=True) if checked.ndim == 2 and checked.shape[1] == 1 else checked


def unit_of(Y: np.ndarray, weights: np.ndarray | None, loss: str) -> tuple[np.ndarray, Unit]:
    """Return scaled targets, (n_rows, n_targets), and their unit.

    For the squared error and 'gaussian_nll', the unit is the mean and the standard deviation. For losses of positive outputs it
    is 0 and the mean. Other losses are for targets with outliers: it is the median, and the standard deviation of a normal
    distribution with the same quartiles.
    """
    check_range(Y, loss)
    factor = 2.0 ** (np.frexp(np.abs(Y).max(axis=0))[1] - 1)  # so that no square leaves the range of float64
    Z = Y / factor
    mean = np.average(Z, axis=0, weights=weights)
    spread = np.sqrt(np.average((Z - mean) ** 2, axis=0, weights=weights))
    if LOSSES[loss].outputs[0] == "exp":
        mean, spread = np.zeros_like(mean), mean
    elif loss != "squared_error" and not LOSSES[loss].has_spread:
        low, middle, high = quantiles(Z, weights, [0.25, 0.5, 0.75])
        mean, spread = np.where(high > low, middle, mean), np.where(high > low, (high - low) / NORMAL_QUARTILES, spread)
    spread[~(spread > 0)] = 1.0
    return (Z - mean) / spread, Unit(mean * factor, spread * factor)


def moments(model: Any, outputs: np.ndarray) -> np.ndarray:
    """Return a network's outputs, (n_rows, n_outputs), in a form that may be averaged over networks, float64.

    Means and spreads become means and mean squares of the targets: their average is that of the networks' mixture. Infinite
    outputs become the largest finite number, so that a weight of 0 makes 0 of them.
    """
    largest = float(np.finfo(outputs.dtype).max)
    outputs = np.clip(outputs.astype(np.float64), -largest, largest)
    if not LOSSES[model.loss].has_spread:
        return outputs
    means, spreads = np.split(outputs, 2, axis=1)
    return np.hstack([means, means**2 + LEAST_VARIANCE + np.logaddexp(0.0, spreads)])


def deviations(averaged: np.ndarray) -> np.ndarray:
    """Return the standard deviations, (n_rows, n_targets), of averaged `moments`."""
    means, squares = np.split(averaged, 2, axis=1)
    return np.sqrt(np.maximum(squares - means**2, LEAST_VARIANCE))


def network_numbers(Z: np.ndarray, loss: str, dtype: Any) -> np.ndarray:
    """Return scaled targets in the dtype of the networks; if the loss needs positive targets, rounding does not make them 0."""
    Z = Z.astype(dtype)
    return np.maximum(Z, np.finfo(dtype).tiny) if LOSSES[loss].excludes_lowest else Z


def smoothed(Y: np.ndarray, smoothing: float, kind: str) -> np.ndarray:
    """Return smoothed targets of 0 and 1, (n_rows, n_labels) or (n_rows, n_classes)."""
    return (1 - smoothing) * Y + smoothing / (2 if kind == LABELS else Y.shape[1])


def unsmoothed_logits(outputs: np.ndarray, smoothing: float) -> np.ndarray:
    """Return logarithms of probabilities, up to a constant per row, from the outputs of networks that learned smoothed labels,
    (n_rows, n_classes).

    A network that is right about p has learned q = (1 - ε) p + ε / k, which is solved for p. The result is clipped, because p
    could be negative, and the log-loss of 0 is infinite.
    """
    n_classes = outputs.shape[1]
    likely = (outputs - smoothing / n_classes) / (1 - smoothing)
    return np.log(np.clip(likely, min(SMALLEST_PROBABILITY, 0.5 / n_classes), 1))
