"""The columns of a table, of any library, as NumPy arrays of numbers or texts."""

import datetime
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from numbers import Number
from typing import Any

import numpy as np
from sklearn.utils import check_array

from fastbp.estimators.categories import CATEGORICAL, array_of, is_missing, objects
from fastbp.estimators.inputs import DATES, DURATIONS

NUMBER, DATE, DURATION, CATEGORY, EMPTY = "number", "date", "duration", "category", "empty"
TEXT, IDENTIFIER = "text", "identifier"
_DAY = np.timedelta64(1, "D")


class TakesTables:
    """Tags of estimators that take tables."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags


def is_frame(X: Any) -> bool:
    """Whether X has named columns, as frames of pandas and polars have."""
    return hasattr(X, "columns") and hasattr(X, "__getitem__") and hasattr(X, "shape")


def opened(X: Any) -> Any:
    """Return a lazy frame or a Table of pyarrow as the frame that it stands for, and all else as it is."""
    if hasattr(X, "collect") and hasattr(X, "lazy"):  # polars' LazyFrame
        return X.collect()
    if hasattr(X, "compute"):  # of Dask
        return X.compute()
    if hasattr(X, "column_names") and hasattr(X, "to_pandas"):  # pyarrow's Table and RecordBatch
        return X.to_pandas()
    if hasattr(X, "columns") and not is_frame(X):
        kind = f"{type(X).__module__}.{type(X).__qualname__}"
        raise TypeError(f"X is a {kind}, which cannot be read as a table: convert it to a data frame of pandas or polars.")
    return X


def checked(X: Any) -> Any:
    """Return a frame as it is and all else as an array, (n_rows, n_columns); raise ValueError, or TypeError for a sparse X."""
    X = opened(X)
    if not is_frame(X):
        if isinstance(X, list | tuple):
            X = np.array(X, dtype=object)  # so that columns keep their kinds
        elif isinstance(X, np.ndarray) and X.dtype.kind == "c":
            X = X.astype(object)  # so that columns are refused by name
        return check_array(X, dtype=None, ensure_all_finite=False, input_name="X")
    twice = sorted({str(name) for name, count in Counter(X.columns).items() if count > 1})
    if twice:
        raise ValueError(
            f"Several columns are called {', '.join(map(repr, twice))}: rename them, so that each has a name of its own."
        )
    if X.shape[0] < 1 or X.shape[1] < 1:
        raise ValueError(f"Found array with {X.shape[0]} sample(s) (shape={X.shape}) while a minimum of 1 is required.")
    return X


def names_of(X: Any) -> list[Any]:
    """Return the names of the columns; for an array x0, x1, …"""
    return list(X.columns) if is_frame(X) else [f"x{i}" for i in range(X.shape[1])]


def columns_of(X: Any) -> Iterator[np.ndarray]:
    """Yield the columns as arrays of shape (n_rows,): bool, numbers, dates, or objects; missing values are None or NaN."""
    if not is_frame(X):
        yield from X.T
        return
    for position, name in enumerate(X.columns):
        column = X.iloc[:, position] if hasattr(X, "iloc") else X[name]
        yield _as_array(column)


def _as_array(column: Any) -> np.ndarray:
    if str(column.dtype).lower().startswith((*CATEGORICAL, "dictionary")):  # the last is Arrow's; values may be numbers
        return as_texts(objects(column.to_list()))
    values = array_of(column)
    if values.dtype.kind == "O" and getattr(column.dtype, "kind", "O") in "iuf":  # pandas' nullable numbers
        return as_numbers(values, NUMBER)
    return values


def kind_of(column: np.ndarray) -> str:
    """Return what a column holds: NUMBER, DATE, DURATION, CATEGORY (also text and booleans) or EMPTY; raise ValueError for other
    values."""
    kind = column.dtype.kind
    if column.ndim > 1 or kind == "V":
        raise ValueError("arrays or structs: give each of their fields a column of its own")
    if kind in "iu":
        return NUMBER
    if kind == "f":
        return EMPTY if np.isnan(column).all() else NUMBER
    if kind in "mM":
        return EMPTY if np.isnat(column).all() else DATE if kind == "M" else DURATION
    if kind == "c":
        _refuse(complex)
    if kind != "O":
        return CATEGORY
    cells = column.tolist()
    for cell_type in sorted(set(map(type, cells)), key=lambda cell_type: cell_type.__name__):
        _refuse(cell_type)
    seen = {type(cell) for cell in cells if not is_missing(cell)}
    if not seen:
        return EMPTY
    if all(issubclass(cell_type, Number) and not issubclass(cell_type, bool | np.bool_) for cell_type in seen):
        return NUMBER
    for found, cell_types in ((DATE, DATES), (DURATION, DURATIONS)):
        if all(issubclass(cell_type, cell_types) for cell_type in seen):
            return found
    return CATEGORY


def _refuse(cell_type: type) -> None:
    """Raise ValueError for a type of cells that is neither a number, nor a date, nor has a text that names a category."""
    name = cell_type.__name__
    if issubclass(cell_type, complex | np.complexfloating):
        raise ValueError("complex numbers: split them into two columns. Complex data not supported")
    if name == "Period":
        raise ValueError("Periods: convert them to dates, for example by .dt.to_timestamp()")
    if cell_type.__str__ is object.__str__ and cell_type.__repr__ is object.__repr__:  # that text is an address
        raise ValueError(f"values of the type {name}, which have no text of their own: convert them to numbers, dates or text")
    if issubclass(cell_type, Iterable | np.void) and not issubclass(cell_type, str | bytes):
        raise ValueError(f"values of the type {name}: give each of their fields a column of its own")


def are_texts(column: np.ndarray) -> bool:
    """Whether a column holds only texts and missing values."""
    return column.dtype.kind == "U" or all(isinstance(cell, str) or is_missing(cell) for cell in column.tolist())


def as_numbers(column: np.ndarray, kind: str) -> np.ndarray:
    """Return float64, with NaN for missing values and infinity for too large ones; dates are days since 1970, durations days."""
    if kind == NUMBER:
        if column.dtype.kind == "O":
            return np.array([math.nan if is_missing(value) else _as_float(value) for value in column.tolist()], dtype=np.float64)
        with np.errstate(over="ignore"):
            return column.astype(np.float64)
    if column.dtype.kind == "O":
        parts = [None if is_missing(value) else _naive(value) for value in column.tolist()]
        column = np.array(parts, dtype="M8[us]" if kind == DATE else "m8[us]")
    if column.dtype.kind == "M":
        column = column - np.datetime64(0, "D")
    return np.where(np.isnat(column), np.nan, column / _DAY)


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _naive(value: Any) -> Any:
    """Return a date in universal time and without a zone, as NumPy has no zones."""
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return value.astimezone(datetime.UTC).replace(tzinfo=None)
    return value


def as_texts(column: np.ndarray) -> np.ndarray:
    """Return texts as objects, with None for missing values; 1 and 1.0 are both "1", so that they are one category."""
    return np.array([_as_text(value) for value in column.tolist()], dtype=object)


def _as_text(value: Any) -> str | None:
    if is_missing(value):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
