"""From a table as it is to numbers of about the same size: scaled numbers first, then categories as zeros and ones."""

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.validation import check_is_fitted, validate_data

from fastbp.estimators import parameters
from fastbp.estimators.versions import Versioned
from fastbp.tabular.columns import (
    CATEGORY,
    DATE,
    DURATION,
    EMPTY,
    NUMBER,
    as_numbers,
    as_texts,
    checked,
    columns_of,
    is_frame,
    kind_of,
    names_of,
)
from fastbp.tabular.rows import Rows, quantiles, rows_of, unfitted

BEND = 3.0  # scaled numbers, about half of which lie between -½ and ½, are bent to stay between -3 and 3


class UnknownCategoryWarning(UserWarning):
    """Rows hold categories, or missing values in columns of them, that were not seen in fit."""


class TableEncoder(TransformerMixin, Versioned, BaseEstimator):
    r"""Turn a table with numbers, categories, texts, booleans, dates and missing values into float32 columns for a network.

    Numbers, and dates and durations as days, are filled with their median, scaled to
    :math:`(x - \mathrm{median}) / (q_{75} - q_{25})`, or by half the range where the quartiles are equal, and bent by
    :math:`x / \sqrt{1 + (x / 3)^2}`, so that outliers stay within 3 [1]_. Columns that hold one value, or none, are left out; one
    without a value in `fit` is not looked at later. All else is a category, a missing value too: a column of zeros and ones for
    each.

    A column of numbers, dates or durations has to stay one. Infinite numbers, or too large for float64, are refused by the name
    of their column, and so are complex numbers, Periods of pandas, and cells that hold several values, such as lists and structs.

    Parameters
    ----------
    max_categories : int, default=256
        Most columns that one category column becomes; the rarest categories share one then.
    as_codes : bool, default=False
        Make one column of each column of categories, behind the numbers: which of its columns would be 1, counted from 0, or -1
        where none would be.

    Attributes
    ----------
    kinds_ : list of str
        'number', 'date' (of durations too) or 'category' for each column of the table; 'number' where it has no value.
    n_numbers_ : int
        How many of the columns that come out are numbers; they are the first.
    sources_ : ndarray of shape (n_columns_out,)
        Number of the column that each of them comes from.
    n_categories_ : list of int
        How many columns each column of categories becomes without `as_codes`.
    n_features_in_ : int
        Columns seen in fit.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if they are all texts.

    References
    ----------
    .. [1] Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on tabular data",
       NeurIPS 2024.

    Examples
    --------
    >>> from fastbp import TableEncoder
    >>> table = [[1.0, "red"], [3.0, "blue"], [None, "red"], [5.0, None]]
    >>> TableEncoder().fit_transform(table).round(2)
    array([[-0.95,  0.  ,  1.  ,  0.  ],
           [ 0.  ,  1.  ,  0.  ,  0.  ],
           [ 0.  ,  0.  ,  1.  ,  0.  ],
           [ 0.95,  0.  ,  0.  ,  1.  ]], dtype=float32)
    """

    def __init__(self, max_categories: int = 256, as_codes: bool = False) -> None:
        self.max_categories = max_categories
        self.as_codes = as_codes

    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | float | None = None) -> Self:
        """Learn medians, quartiles and categories.

        Parameters
        ----------
        X : table or array-like of shape (n_rows, n_columns)
            A frame of pandas, polars or Dask, a LazyFrame, which is collected, a Table of pyarrow, an array or a list of rows.
        y : object
            Not used.
        sample_weight : array-like of shape (n_rows,), default=None
            Weight of each row in medians, quartiles and counts of categories; rows of weight 0 are left out. None is 1.

        Returns
        -------
        self : TableEncoder
            The fitted encoder.

        Raises
        ------
        ValueError
            `max_categories` is no int of at least 1, or `as_codes` no bool; X is empty, or holds what is no number, date or
            category; weights are negative or all 0.
        TypeError
            X is sparse, or of a library that is not known.
        """
        parameters.check_parameter("max_categories", self.max_categories, parameters.COUNT, self)
        parameters.check_parameter("as_codes", self.as_codes, parameters.FLAG, self)
        table = checked(X)
        self._learn(table, rows_of(sample_weight, table.shape[0]))
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the encoded rows.

        A category, or a missing value in a column of categories, that was not seen in fit becomes one of the rare ones, if there
        are such, or else zeros; an `UnknownCategoryWarning` counts them, as `unknown_counts` does.

        Parameters
        ----------
        X : table or array-like of shape (n_rows, n_columns)
            Rows with the columns of `fit`.

        Returns
        -------
        encoded : ndarray of float32, of shape (n_rows, n_columns_out)
            Numbers first; one column of zeros where the table holds nothing that differs. A frame if `set_output` says so.

        Raises
        ------
        ValueError
            Columns are not those of `fit`, or not of its kinds.
        """
        return self._encoded(X)

    def _learn(self, table: Any, rows: Rows) -> np.ndarray:
        """Learn from the rows of a table that count; return these encoded."""
        new = unfitted(self)
        validate_data(new, table, skip_check_array=True)
        columns = [column[rows.numbers] for column in columns_of(table)]
        kinds = _kinds(columns, names_of(table))
        new._exact_kinds, new.kinds_ = kinds, [{EMPTY: NUMBER, DURATION: DATE}.get(kind, kind) for kind in kinds]
        new._numbers = [i for i, kind in enumerate(kinds) if kind not in (CATEGORY, EMPTY)]
        new._categories = [i for i, kind in enumerate(kinds) if kind == CATEGORY]
        Z = new._read_numbers(columns, kinds, names_of(table))
        lowest, low, new._medians, high, highest = quantiles(Z, rows.weights, [0.0, 0.25, 0.5, 0.75, 1.0])
        with np.errstate(divide="ignore", over="ignore"):
            spread, range_ = high - low, highest - lowest
            new._scales = np.where(spread > 0, 1 / spread, np.where(range_ > 0, 2 / range_, 0.0))
        new._scales[~np.isfinite(new._scales)] = 0.0
        new._used = np.flatnonzero(new._scales)
        new.n_numbers_ = len(new._used)
        sources = [new._numbers[k] for k in new._used]
        texts = new._read_texts(columns)
        new._one_hot = OneHotEncoder(
            handle_unknown="infrequent_if_exist", max_categories=self.max_categories, dtype=np.float32
        ).set_output(transform="default")
        new.n_categories_ = []
        if new._categories:
            coded = new._one_hot.fit(_representatives(texts, rows.weights, self.max_categories))
            new.n_categories_ = [
                len(names) - (0 if rare is None else len(rare) - 1)
                for names, rare in zip(coded.categories_, coded.infrequent_categories_, strict=True)
            ]
            sources += np.repeat(new._categories, 1 if self.as_codes else new.n_categories_).tolist()
        new.sources_ = np.array(sources, dtype=np.int64)
        encoded = new._joined(Z, texts)
        self.__dict__ = vars(new)  # all or nothing
        return encoded

    def _encoded(self, X: Any, rows: Any = slice(None)) -> np.ndarray:
        """Return numbered rows as `transform` does, whatever is set about its output."""
        return self._joined(*self._read(X, rows))

    def _read(self, X: Any, rows: Any = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Return numbered rows as numbers, with NaN for missing values, and texts, with None, and warn of unseen categories."""
        columns, kinds, names = self._opened(X, rows)
        texts = self._read_texts(columns)
        unknown = self._unknown(texts)
        if unknown:
            counts = ", ".join(f"{n} in {name!r}" for name, n in unknown.items())
            warnings.warn(f"Categories or missing values that fit has not seen: {counts}.", UnknownCategoryWarning, stacklevel=4)
        return self._read_numbers(columns, kinds, names), texts

    def _opened(self, X: Any, rows: Any = slice(None)) -> tuple[list[np.ndarray], list[str], list[Any]]:
        """Return the columns of a table that is as that of `fit`, their kinds now, and their names."""
        check_is_fitted(self)
        table = checked(X)
        names, known = names_of(table), getattr(self, "feature_names_in_", np.empty(0)).tolist()
        if is_frame(table) and names != known and len(names) == len(known) and set(names) == set(known):
            place = next(i for i, name in enumerate(known) if names[i] != name)
            raise ValueError(
                "The feature names should match those that were passed during fit.\n"
                "Feature names must be in the same order as they were in fit.\n"
                f"Column {place} is {names[place]!r}, which was {known[place]!r}: X[list(model.feature_names_in_)] has the order."
            )
        validate_data(self, table, reset=False, skip_check_array=True)
        columns = [column[rows] for column in columns_of(table)]
        return columns, _kinds(columns, names, getattr(self, "_exact_kinds", self.kinds_)), names

    def _joined(self, Z: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Return scaled numbers and coded categories."""
        used = self._used
        Z = np.where(np.isnan(Z[:, used]), self._medians[used], Z[:, used])
        with np.errstate(over="ignore"):  # numbers far from all that fit has seen
            Z = np.clip((Z - self._medians[used]) * self._scales[used], -1e18, 1e18)
        parts = [(Z / np.sqrt(1 + (Z / BEND) ** 2)).astype(np.float32)]
        if self._categories:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Found unknown categories")
                ones = self._one_hot.transform(texts)
            if self.as_codes:
                ones = self._codes(ones)
            parts.append(ones.toarray() if issparse(ones) else ones)  # dense in models of earlier versions
        encoded = np.ascontiguousarray(np.hstack(parts))
        return encoded if encoded.shape[1] else np.zeros((len(encoded), 1), np.float32)

    def _codes(self, ones: Any) -> np.ndarray:
        """Return, for each row of a CSR matrix of zeros and ones, where in each column's own columns it has its 1, or -1."""
        stops = np.cumsum(self.n_categories_)
        codes = np.full((ones.shape[0], len(stops)), -1, np.float32)
        columns = np.searchsorted(stops, ones.indices, side="right")
        codes[np.repeat(np.arange(ones.shape[0]), np.diff(ones.indptr)), columns] = (
            ones.indices - (stops - self.n_categories_)[columns]
        )
        return codes

    def unknown_counts(self, X: Any) -> dict[str, int]:
        """Count, per column, the rows whose category, or missing value, was not seen in fit.

        Parameters
        ----------
        X : frame of pandas or polars, or array-like of shape (n_rows, n_columns)
            Rows with the columns of `fit`.

        Returns
        -------
        counts : dict of str to int
            By the names of the columns; those with none are left out.
        """
        return self._unknown(self._read_texts(self._opened(X)[0]))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns that come out.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the table's columns; None takes those of `fit`, or x0, x1, …

        Returns
        -------
        names : ndarray of str
            Those of numbers are their columns', those of categories the column's and the category, joined by "_", with `as_codes`
            the column's alone.
        """
        check_is_fitted(self)
        names = self._names() if input_features is None else np.asarray(input_features, dtype=object)
        found = [names[self._numbers[k]] for k in self._used]
        if self.as_codes:
            found += [names[i] for i in self._categories]
        elif self._categories:
            found += self._one_hot.get_feature_names_out([str(names[i]) for i in self._categories]).tolist()
        unique: dict[str, None] = {}
        for name in map(str, found or ["nothing"]):
            while name in unique:  # as of a text "None" and of a missing value; polars takes no name twice
                name += "_"
            unique[name] = None
        return np.array(list(unique), dtype=object)

    def _names(self) -> np.ndarray:
        default = np.array([f"x{i}" for i in range(self.n_features_in_)], dtype=object)
        return getattr(self, "feature_names_in_", default)

    def _read_numbers(self, columns: list[np.ndarray], kinds: list[str], names: list[Any]) -> np.ndarray:
        """Return the columns of numbers, (n_rows, n), float64 with NaN for missing values."""
        Z = np.full((len(columns[0]), len(self._numbers)), np.nan)
        for k, i in enumerate(self._numbers):
            if kinds[i] == EMPTY:
                continue
            try:
                Z[:, k] = as_numbers(columns[i], kinds[i])
            except (TypeError, ValueError, OverflowError) as error:
                raise ValueError(f"Column {names[i]!r} holds {_plural(kinds[i])} that cannot be read: {error}.") from error
            if np.isinf(Z[:, k]).any():
                raise ValueError(
                    f"Input X contains infinity or a value too large for float64, in column {names[i]!r}: give a"
                    " bound, or None for a missing value, instead."
                )
        return Z

    def _read_texts(self, columns: list[np.ndarray]) -> np.ndarray:
        """Return the columns of categories, (n_rows, n) objects."""
        texts = np.empty((len(columns[0]), len(self._categories)), dtype=object)
        for k, i in enumerate(self._categories):
            texts[:, k] = as_texts(columns[i])
        return texts

    def _unknown(self, texts: np.ndarray) -> dict[str, int]:
        counts = {}
        for k, i in enumerate(self._categories):
            known = set(self._one_hot.categories_[k].tolist())
            n = sum(value not in known for value in texts[:, k].tolist())
            if n:
                counts[str(self._names()[i])] = n
        return counts

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _plural(kind: str) -> str:
    return "categories" if kind == CATEGORY else f"{kind}s"


def _representatives(texts: np.ndarray, weights: np.ndarray | None, max_categories: int) -> np.ndarray:
    """Return rows by which OneHotEncoder, which takes no weights, finds the categories that weights make rare: these stand there
    once, the others twice or more."""
    columns, counts = [], (np.ones(len(texts)) if weights is None else weights / weights.min()).tolist()
    for column in texts.T:
        totals: dict[str | None, float] = {}
        for text, count in zip(column.tolist(), counts):
            totals[text] = totals.get(text, 0.0) + count
        # Ties as OneHotEncoder has them; rounding of the weights makes none and breaks none.
        order = sorted(totals, key=lambda text: (round(totals[text], 6), text is None, text or ""))
        n_rare = len(order) - max_categories + 1 if len(order) > max_categories else 0
        columns.append([*order, *order[n_rare:]])
    longest = max(map(len, columns))
    return np.array([column + column[-1:] * (longest - len(column)) for column in columns], dtype=object).T


def _kinds(columns: list[np.ndarray], names: list[Any], before: list[str] | None = None) -> list[str]:
    """Return what the columns hold, of which those that were empty before are not looked at."""
    kinds = []
    for i, (column, name) in enumerate(zip(columns, names, strict=True)):
        if before is not None and before[i] == EMPTY:
            kinds.append(EMPTY)
            continue
        try:
            kinds.append(kind_of(column))
        except ValueError as error:
            raise ValueError(f"Column {name!r} holds {error}.") from error
        if before is not None and before[i] != CATEGORY and kinds[i] not in (before[i], EMPTY):
            raise ValueError(f"Column {name!r} held {_plural(before[i])} in fit, but now holds {_plural(kinds[i])}.")
    return kinds
