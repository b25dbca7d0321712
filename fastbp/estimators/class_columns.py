"""Several columns of classes, each in a dtype of its own."""

from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets


def columns_as_array(y: Any) -> Any:
    """Return a frame of several dtypes, or an array of objects, as one array, (n_rows, n_columns); anything else as it is.

    The array holds numbers if all columns do, else objects: scikit-learn's checks cannot convert some frames, and type_of_target
    and accuracy_score do not take objects.
    """
    columns = None
    if hasattr(y, "dtypes") and len(getattr(y, "columns", ())) > 1 and len(set(map(str, y.dtypes))) > 1:
        columns = frame_columns(y)
    elif isinstance(y, np.ndarray) and y.dtype.kind == "O" and y.ndim == 2 and y.shape[1] > 1:
        columns = list(y.T)
    return y if columns is None else stacked([narrowed(column) for column in columns])


def frame_columns(frame: Any) -> list[np.ndarray]:
    """Return the columns of a frame as arrays of their own dtypes."""
    return [np.asarray(frame.iloc[:, i] if hasattr(frame, "iloc") else frame[name]) for i, name in enumerate(frame.columns)]


def narrowed(column: np.ndarray) -> np.ndarray:
    """Return objects in their common dtype; texts stay objects."""
    if column.dtype.kind != "O" or any(isinstance(cell, str) for cell in column.tolist()):
        return column
    narrow = np.array(column.tolist())
    return narrow if narrow.ndim == 1 else column


def stacked(columns: list[np.ndarray]) -> np.ndarray:
    """Return columns side by side, (n_rows, n_columns), as objects if the kinds of dtypes differ: no number becomes text."""
    kinds = {"n" if column.dtype.kind in "biuf" else column.dtype.kind for column in columns}
    return np.column_stack(columns if len(kinds) == 1 else [column.astype(object) for column in columns])


def check_column(column: np.ndarray, number: int) -> None:
    """Raise ValueError if one of several columns does not hold classes."""
    refuse_mixed(column, number)
    try:
        check_classification_targets(column)
    except ValueError as error:
        raise ValueError(f"Column {number} of y: {error}") from error


def refuse_mixed(column: np.ndarray, number: int) -> None:
    """Raise ValueError for texts and other classes in one column, which have no order."""
    if column.dtype.kind == "O" and len({isinstance(cell, str) for cell in column.tolist()}) > 1:
        raise ValueError(f"Column {number} of y has both texts and other classes: convert all of them to texts.")
