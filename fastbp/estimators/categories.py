"""Columns of categories: which columns they are, their categories, and rows with codes in place of categories."""

from collections.abc import Sequence
from numbers import Integral, Number
from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from fastbp.estimators import parameters
from fastbp.estimators.parameter_kinds import OF_A_COLUMN

MOST_AUTO = 600
MOST_EXACT = 2**53  # not all larger integers are float64 numbers
CATEGORICAL = ("category", "categorical", "enum")  # beginnings of the names of pandas' and polars' dtypes


def has_categories(estimator: Any, reset: bool) -> bool:
    """Whether rows have columns of categories: by the parameter if `reset`, else by the fitted attributes."""
    if reset:
        return getattr(estimator, "categorical_features", None) is not None
    return "categories_" in vars(estimator)


def coded_rows(estimator: Any, X: Any, reset: bool) -> np.ndarray:
    """Return rows in the form of the kernels, float32 or float64: columns of numbers first, then the codes of categories.

    A code is an index into `categories_`, or -1 for an unknown category. With `reset`, `categories_` is set first.
    """
    if hasattr(X, "indptr") or hasattr(X, "tocsr"):
        raise ValueError("X is sparse, but categorical_features need a dense X: X.toarray() makes one.")
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        names = list(X.columns)
        columns = [X.iloc[:, i] if hasattr(X, "iloc") else X[name] for i, name in enumerate(names)]
        kinds = [str(column.dtype).lower() for column in columns]
        arrays = [array_of(column) for column in columns]
    else:
        X = validate_data(estimator, X, reset=reset, dtype=None, ensure_all_finite=False)
        names, kinds, arrays = [], [""] * X.shape[1], list(X.T)
    if reset:
        estimator.categorical_features_ = chosen_columns(estimator.categorical_features, kinds, names)
    chosen = estimator.categorical_features_
    numbers = [i for i in range(len(arrays)) if i not in set(chosen)]
    parts = [arrays[i] for i in numbers]
    is_single = bool(parts) and all(part.dtype in (np.float16, np.float32) for part in parts)
    dtype = np.float32 if is_single else np.float64
    rows = np.empty((len(X), len(arrays)), dtype)
    if parts:
        if len({part.dtype.kind == "O" for part in parts}) > 1:
            parts = [part.astype(object) for part in parts]
        inner = np.column_stack(parts)
        rows[:, : len(numbers)] = check_array(inner, dtype=dtype, input_name="X", estimator=estimator)
    where = [f"column {names[i] if names else i!r}" for i in chosen]
    read = [_values(arrays[i], name) for i, name in zip(chosen, where)]
    if reset:
        estimator.categories_ = [_categories(values, name) for values, name in zip(read, where)]
    for k, (values, categories) in enumerate(zip(read, estimator.categories_, strict=True)):
        rows[:, len(numbers) + k] = _codes(values, categories)
    return rows


def chosen_columns(wanted: Any, kinds: list[str], names: list[Any]) -> tuple[int, ...]:
    """Return the indices of the columns in `categorical_features`; kinds, names: dtypes and names of all columns."""
    if isinstance(wanted, str):
        return tuple(i for i, kind in enumerate(kinds) if kind.startswith(CATEGORICAL))
    n, values = len(kinds), np.asarray(wanted).tolist()
    if np.ndim(wanted) != 1:
        raise ValueError(f"categorical_features must be one-dimensional, got {wanted!r}.")
    if any(isinstance(value, str) for value in values):
        for value in values:
            if value not in names:
                known = f"has {', '.join(map(repr, names[:20]))}" if names else "is no frame with names of columns"
                raise ValueError(f"categorical_features names {value!r}, but X {known}.")
        chosen = [names.index(value) for value in values]
    elif values and all(isinstance(value, bool) for value in values):
        if len(values) != n:
            raise ValueError(f"categorical_features is a mask of {len(values)} columns, but X has {n}.")
        chosen = np.flatnonzero(values).tolist()
    else:
        if not all(isinstance(value, Integral) for value in values):
            raise ValueError("categorical_features must be numbers or names of columns or a mask, not a mixture of these.")
        chosen = [int(value) for value in values]
        outside = [value for value in chosen if not 0 <= value < n]
        if outside:
            raise ValueError(f"categorical_features names column {outside[0]}, but X has {n} columns, counted from 0.")
    if len(set(chosen)) < len(chosen):
        raise ValueError("categorical_features names a column twice.")
    return tuple(sorted(chosen))


def network_settings(estimator: Any, settings: Any) -> Any:
    """Return settings with the number of categories per column, and embedded columns as indices among the columns of numbers."""
    categories = estimator.categories_
    embedded = settings.embedded
    if embedded:
        both = sorted(set(embedded) & set(estimator.categorical_features_))
        if both:
            raise ValueError(f"Column {both[0]} is in embedded_features, which are for numbers, and in categorical_features.")
        before = np.cumsum([i in set(estimator.categorical_features_) for i in range(estimator.n_features_in_)])
        embedded = tuple(i - int(before[i]) if i < len(before) else i for i in embedded)
    return settings._replace(categories=tuple(map(len, categories)), embedded=embedded, category_sizes=embedding_sizes(estimator))


def embedding_sizes(estimator: Any) -> tuple[int, ...]:
    """Return the size of the embeddings of each column of categories; () without embeddings."""
    names, counts = list(getattr(estimator, "feature_names_in_", ())), list(map(len, estimator.categories_))
    return sizes_of_embeddings(estimator.embedding_size, estimator.categorical_features_, counts, names, estimator)


def sizes_of_embeddings(
    wanted: Any, columns: Sequence[int], counts: Sequence[int], names: list[Any], owner: Any
) -> tuple[int, ...]:
    """Return the sizes that `embedding_size` asks for; columns: those of categories; counts: the number of categories in each;
    names: of all columns, [] if they have none; owner: for messages."""
    if wanted is None:
        return ()
    given: dict[int, Any] = {}
    if isinstance(wanted, dict):
        for key, size in wanted.items():
            column = names.index(key) if key in names else key
            if isinstance(column, bool) or column not in columns:
                known = ", ".join(repr(names[i]) if names else str(i) for i in columns)
                raise ValueError(f"embedding_size names {key!r}, which is no column of categories: these are {known or 'none'}.")
            if int(column) in given:
                raise ValueError(f"embedding_size names column {key!r} twice, by its name and its number.")
            parameters.check_parameter(f"embedding_size[{key!r}]", size, OF_A_COLUMN, owner)
            given[int(column)] = size
    sizes = [given.get(column, "auto" if isinstance(wanted, dict) else wanted) for column in columns]
    return tuple(
        min(MOST_AUTO, round(1.6 * count**0.56)) if size == "auto" else int(size)
        for size, count in zip(sizes, counts, strict=True)
    )


def array_of(column: Any) -> np.ndarray:
    """Return a column of a frame as an array, (n_rows,)."""
    try:
        return np.asarray(column.to_numpy())
    except Exception:  # NumPy has no such type, for example for polars' integers of 128 bits
        return objects(column.to_list())


def objects(values: list[Any]) -> np.ndarray:
    """Return a one-dimensional array of objects, also if these are sequences."""
    return np.fromiter(values, dtype=object, count=len(values))


def is_missing(value: Any) -> bool:
    """Whether a cell holds a missing value: None, NaN, NaT or pandas' NA."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ArithmeticError):  # pandas' NA, and a signaling NaN of decimal, cannot be compared
        return True


def _values(column: np.ndarray, where: str) -> np.ndarray:
    """Return a column as float64 with NaN, or as objects with None for missing values."""
    is_exact = column.dtype.kind not in "iu" or not ((column > MOST_EXACT) | (column < -MOST_EXACT)).any()
    if column.dtype.kind in "biuf" and is_exact:
        values = column.astype(np.float64)
        if np.isinf(values).any():
            raise ValueError(f"Input X contains infinity or a value too large for float64, in {where}, which holds categories.")
        return values
    if column.dtype.kind not in "OUTiu":
        raise ValueError(f"Categories are numbers, booleans or text, but {where} holds {column.dtype}: convert it to text.")
    cells = [None if is_missing(value) else value for value in column.tolist()]
    for kind in set(map(type, cells)):
        if not issubclass(kind, str | Number | type(None)) or issubclass(kind, complex):
            raise ValueError(f"Categories are numbers, booleans or text, but {where} holds {kind.__name__}: convert it to text.")
    return np.array(cells, dtype=object)


def _categories(values: np.ndarray, where: str) -> np.ndarray:
    """Return the distinct values of a column, sorted, a missing value last."""
    if values.dtype.kind == "f":
        found = np.unique(values)
    else:
        cells = set(values.tolist())
        order = sorted(cells - {None}, key=lambda value: (isinstance(value, str), value))
        found = np.array([*order, *cells & {None}], dtype=object)
    if len(found) > 2**24:
        raise ValueError(f"X has {len(found)} categories in {where}; at most {2**24} are possible.")
    return found


def _codes(values: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """Return the indices of values in the categories, -1 for unknown values."""
    if values.dtype.kind == categories.dtype.kind == "f":
        at = np.minimum(np.searchsorted(categories, values), len(categories) - 1)  # NaN comes last
        found = categories[at]
        return np.where((found == values) | (np.isnan(found) & np.isnan(values)), at, -1)
    lookup = {None if is_missing(value) else value: number for number, value in enumerate(categories.tolist())}
    return np.array([lookup.get(None if is_missing(value) else value, -1) for value in values.tolist()], dtype=np.int64)
