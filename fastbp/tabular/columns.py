"""The columns of a table, of whatever library, as NumPy arrays of numbers or of texts."""

import datetime
from collections.abc import Iterator
from numbers import Number
from typing import Any

import numpy as np
from sklearn.utils import check_array

NUMBER, DATE, CATEGORY = "number", "date", "category"
_DAY = np.timedelta64(1, "D")


def is_frame(X: Any) -> bool:
    """Whether X has named columns, as frames of pandas and polars have."""
    return hasattr(X, "columns") and hasattr(X, "__getitem__") and hasattr(X, "shape")


def checked(X: Any) -> Any:
    """Return a frame as it is and all else as an array, (n_rows, n_columns), or raise ValueError, for a sparse X TypeError."""
    if not is_frame(X):
        if not hasattr(X, "dtype") and np.asarray(X).dtype.kind in "US":  # numbers among texts stay numbers
            X = np.array(X, dtype=object)
        return check_array(X, dtype=None, ensure_all_finite=False, input_name="X")
    if X.shape[0] < 1 or X.shape[1] < 1:
        raise ValueError(f"Found array with {X.shape[0]} sample(s) (shape={X.shape}) while a minimum of 1 is required.")
    return X


def columns_of(X: Any) -> Iterator[np.ndarray]:
    """Yield the columns as arrays of shape (n_rows,): bool, numbers, dates, or objects, in which gaps are None or NaN."""
    if not is_frame(X):
        yield from X.T
        return
    for position, name in enumerate(X.columns):
        column = X.iloc[:, position] if hasattr(X, "iloc") else X[name]
        yield _as_array(column)


def _as_array(column: Any) -> np.ndarray:
    """One column of a frame."""
    dtype = str(column.dtype).lower()
    if dtype.startswith(("category", "categorical", "enum")):  # whose values may be numbers
        return as_texts(np.array(column.to_list(), dtype=object))
    values = column.to_numpy()
    if values.dtype.kind == "O" and dtype.startswith(("int", "uint", "float")):  # pandas' own kinds of numbers, with gaps
        return np.array([np.nan if value is None or value != value else value for value in column.to_list()], dtype=np.float64)
    return values


def is_gap(value: Any) -> bool:
    """Whether a cell is empty: None, NaN, NaT or pandas' NA."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:  # of NA nothing can be said
        return True


def kind_of(column: np.ndarray) -> str:
    """What a column holds: numbers, dates, or categories, among them texts and truth values."""
    kind = column.dtype.kind
    if kind in "iuf":
        return NUMBER
    if kind in "mM":
        return DATE
    if kind == "c":
        raise ValueError("Complex data not supported")
    if kind != "O":
        return CATEGORY
    seen = [value for value in column if not is_gap(value)]
    if not seen or all(isinstance(value, Number) and not isinstance(value, bool | np.bool_ | complex) for value in seen):
        return NUMBER
    dates = (datetime.date, datetime.timedelta, np.datetime64, np.timedelta64)
    return DATE if all(isinstance(value, dates) for value in seen) else CATEGORY


def as_numbers(column: np.ndarray, kind: str) -> np.ndarray:
    """Return float64 with NaN for gaps; dates in days since 1970."""
    if kind == DATE:
        if column.dtype.kind == "O":
            parts = [None if is_gap(value) else value for value in column]
            is_span = any(isinstance(value, datetime.timedelta | np.timedelta64) for value in parts)
            column = np.array([_naive(value) for value in parts], dtype="m8[us]" if is_span else "M8[us]")
        if column.dtype.kind == "M":
            column = column - np.datetime64(0, "D")
        days = column / _DAY
        return np.where(np.isnat(column), np.nan, days)
    if column.dtype.kind == "O":
        column = np.array([np.nan if is_gap(value) else float(value) for value in column], dtype=np.float64)
    return column.astype(np.float64)


def _naive(value: Any) -> Any:
    """A date in universal time and without a zone, which NumPy has none for."""
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return value.astimezone(datetime.UTC).replace(tzinfo=None)
    return value


def as_texts(column: np.ndarray) -> np.ndarray:
    """Return objects: texts, with None for gaps; whole numbers without a point, so that 1 and 1.0 are one category."""
    return np.array([_as_text(value) for value in column.tolist()], dtype=object)


def _as_text(value: Any) -> str | None:
    if is_gap(value):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
