"""Targets in the form of the kernels: class labels as numbers, and numbers in the range of the loss."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import type_of_target, unique_labels

from fastbp.estimators.class_columns import check_column, narrowed, refuse_mixed
from fastbp.estimators.inputs import read_by
from fastbp.estimators.missing import with_missing
from fastbp.names import LOSSES

MOST_COUNTED = 2**12  # integers below it are counted, not sorted


class Targets(NamedTuple):
    """Targets of the output layer."""

    Y: np.ndarray  # (n_rows, n_outputs), or class indices, (n_rows, 1)
    n_outputs: int
    loss: Any  # its name in the kernels, or a CustomLoss
    classes: Any = None  # sorted labels, a list of these for several columns, None for numbers
    groups: tuple[int, ...] = ()  # number of classes of each column, if there are several columns
    missing: np.ndarray | None = None  # mask, (n_rows, n_columns of y)

    @property
    def known(self) -> np.ndarray:
        """Y with NaN for missing targets."""
        return self.Y if self.missing is None else with_missing(self.Y, self.missing, self.groups)

    @property
    def is_multilabel(self) -> bool:
        """Whether each row may have several labels."""
        return self.classes is not None and self.Y.shape[1] > 1 and not self.groups

    @property
    def columns(self) -> list[np.ndarray]:
        """Class indices, (n_rows,), for each column of labels."""
        if self.groups:
            return [part.argmax(axis=1) for part in np.split(self.Y, np.cumsum(self.groups)[:-1], axis=1)]
        return [column.astype(np.intp) for column in self.Y.T]

    def strata(self, validation_split: str) -> Callable[[np.ndarray], np.ndarray] | None:
        """Return a function of rows of Y by whose values a validation split is stratified, or None."""
        classes = self.classes
        if classes is None:
            return None
        if self.n_outputs == 1:
            return lambda Y: np.where(Y[:, 0] > 0, "True", "False")  # the names in scikit-learn's messages
        if validation_split == "random":
            return None
        if LOSSES[self.loss].has_class_numbers:
            return lambda Y: classes[Y[:, 0].astype(np.intp)]
        return lambda Y: np.where(np.isnan(Y), -1, Y)


def discrete_labels(y: Any) -> tuple[Any, np.ndarray]:
    """Return the sorted labels, and y as indices into them, (n_samples,).

    For multilabel targets, y is returned as booleans, (n_samples, n_labels). For several columns, see `column_labels`.
    """
    # type_of_target takes longer than a small fit, and these types need no check
    if not issparse(y) and y.ndim == 1 and y.dtype.kind in "biuU":
        if y.dtype.kind in "iu":
            numbers = y.astype(np.int64, copy=False)
            if numbers.view(np.uint64).max() < MOST_COUNTED:  # negative numbers are large as uint64
                return _counted_labels(y, numbers)
        return np.unique(y, return_inverse=True)
    if y.dtype.kind == "O" and y.ndim == 2 and y.shape[1] > 1:
        for number, column in enumerate(y.T):
            check_column(narrowed(column), number)
        return column_labels(y)
    y_type = type_of_target(y, input_name="y")
    if y_type == "multiclass-multioutput":
        return column_labels(y)
    if "multioutput" in y_type:
        raise ValueError("Multioutput target data is not supported with label binarization")
    labels = unique_labels(y)
    if y_type == "multilabel-indicator":
        return labels, (y.toarray() if issparse(y) else y) != 0
    return labels, np.unique(y, return_inverse=True)[1]


def column_labels(y: Any) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the sorted labels of each column, and y as indices into them, (n_samples, n_columns)."""
    columns = [narrowed(column) for column in np.atleast_2d((y.toarray() if issparse(y) else y).T)]
    for number, column in enumerate(columns):
        refuse_mixed(column, number)
    found = [np.unique(column, return_inverse=True) for column in columns]
    return [labels for labels, _ in found], np.column_stack([codes for _, codes in found])


def all_labels(classes: Any) -> Any:
    """Return the sorted labels, or a list with those of each column."""
    if isinstance(classes, list | tuple) and any(np.ndim(part) > 0 for part in classes):
        return [np.unique(part) for part in classes]
    return unique_labels(classes)


def are_equal(classes: Any, others: Any) -> bool:
    """Whether two results of `all_labels` are equal."""
    if isinstance(classes, list) and isinstance(others, list):
        return len(classes) == len(others) and all(map(np.array_equal, classes, others))
    return type(classes) is type(others) and np.array_equal(classes, others)


def _counted_labels(y: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the result of np.unique for small integers, without sorting (digits: 6 µs, not 24); numbers: y as int64."""
    is_there = np.bincount(numbers) > 0
    labels = is_there.nonzero()[0].astype(y.dtype, copy=False)
    return labels, y if len(labels) == len(is_there) else (np.cumsum(is_there) - 1)[y]


def class_loss(loss: str, is_multiclass: bool) -> str:
    """Return the name of a classifier's loss in the kernels."""
    return loss if is_multiclass else f"binary_{loss}"


def class_targets(
    codes: np.ndarray, classes: np.ndarray, dtype: np.dtype, loss: str, *, output_per_class: bool = False
) -> Targets:
    """Return the targets for class indices, (n_rows,), or booleans, (n_rows, n_labels).

    loss: the parameter of the estimator; output_per_class: whether two classes have two outputs.
    """
    if codes.ndim == 2:
        return Targets(codes.astype(dtype, order="C"), codes.shape[1], class_loss(loss, False), classes)
    is_multiclass = len(classes) > (1 if output_per_class else 2)
    n_outputs, loss = len(classes) if is_multiclass else 1, class_loss(loss, is_multiclass)
    return Targets(codes.astype(dtype)[:, np.newaxis], n_outputs, loss, classes)


def column_targets(codes: np.ndarray, classes: list[np.ndarray], dtype: np.dtype, smoothing: float) -> Targets:
    """Return the targets for class indices of each column, (n_rows, n_columns): a probability per class, smoothed."""
    groups = tuple(map(len, classes))
    Y = np.hstack([np.eye(n)[column] * (1.0 - smoothing) + smoothing / n for n, column in zip(groups, codes.T)])
    return Targets(Y.astype(dtype), sum(groups), "multioutput_log_loss", classes, groups)


def check_range(y: np.ndarray, loss: Any) -> None:
    """Raise ValueError for targets outside of the range of the loss."""
    lowest, highest = LOSSES[loss].lowest_target, LOSSES[loss].highest_target
    if y.min() < lowest or y.max() > highest or (LOSSES[loss].excludes_lowest and y.min() == lowest):
        sign = ">" if LOSSES[loss].excludes_lowest else ">="
        needs = f"{lowest:g} <= y <= {highest:g}" if highest < np.inf else f"y {sign} {lowest:g}"
        raise ValueError(f"Some value(s) of y are out of the valid range of the loss {loss!r}: it needs {needs}.")


def real_targets(y: Any, loss: Any, dtype: np.dtype) -> Targets:
    """Return the targets for numbers, or raise ValueError if they are outside of the range of the loss."""
    if issparse(y):
        y = y.toarray()
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    if y.dtype != dtype or not np.isfinite(y).all():
        # values may overflow in X's dtype, and validate_data accepts None among objects as NaN
        y = read_by(check_array, y, dtype=dtype, ensure_2d=False, input_name="y")
    check_range(y, loss)
    Y = np.ascontiguousarray(y.reshape(len(y), -1))
    return Targets(Y, Y.shape[1] * (2 if LOSSES[loss].has_spread else 1), loss)


def repeated(targets: Targets, n_outputs: int) -> Targets:
    """Return one target, repeated for several outputs."""
    if targets.n_outputs != 1:
        raise ValueError(f"Several quantiles are for one target, but y has {targets.n_outputs} columns.")
    return targets._replace(Y=np.repeat(targets.Y, n_outputs, axis=1), n_outputs=n_outputs)
