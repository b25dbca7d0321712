"""From a table as it is to numbers of about the same size: scaled numbers first, then categories as zeros and ones."""

import warnings
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.validation import check_is_fitted, validate_data

from fastbp.estimators.versions import Versioned
from fastbp.tabular.columns import CATEGORY, as_numbers, as_texts, checked, columns_of, kind_of

BEND = 3.0  # scaled numbers, about half of which lie between -½ and ½, are bent to stay between -3 and 3


class UnknownCategoryWarning(UserWarning):
    """Rows hold categories, or gaps in columns, that were not seen in fit."""


class TableEncoder(TransformerMixin, Versioned, BaseEstimator):
    r"""Turn a table with numbers, categories, texts, truth values, dates and gaps into float32 columns for a network.

    Numbers, and dates as days, are filled with their median, scaled to :math:`(x - \mathrm{median}) / (q_{75} - q_{25})`, or by
    half the range where the quartiles are equal, and bent by :math:`x / \sqrt{1 + (x / 3)^2}`, so that outliers stay within 3
    [1]_. Columns that hold one value, or none, are left out. All else is a category, a gap too: a column of zeros and ones for
    each.

    Parameters
    ----------
    max_categories : int, default=256
        Most columns that one category column becomes; the rarest categories share one then.

    Attributes
    ----------
    kinds_ : list of str
        'number', 'date' or 'category' for each column of the table.
    n_numbers_ : int
        How many of the columns that come out are numbers; they are the first.
    sources_ : ndarray of shape (n_columns_out,)
        Number of the column that each of them comes from.
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

    def __init__(self, max_categories: int = 256) -> None:
        self.max_categories = max_categories

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn medians, quartiles and categories.

        Parameters
        ----------
        X : frame of pandas or polars, or array-like of shape (n_rows, n_columns)
            The table.
        y : object
            Not used.

        Returns
        -------
        self : TableEncoder
            The fitted encoder.

        Raises
        ------
        ValueError
            X is complex, empty, or holds infinite numbers.
        TypeError
            X is sparse.
        """
        X = checked(X)
        validate_data(self, X, skip_check_array=True)
        columns = list(columns_of(X))
        self.kinds_ = [kind_of(column) for column in columns]
        self._numbers = [i for i, kind in enumerate(self.kinds_) if kind != CATEGORY]
        self._categories = [i for i, kind in enumerate(self.kinds_) if kind == CATEGORY]
        Z = self._read_numbers(columns)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of columns without a number
            quantiles = np.nanquantile(Z, [0.0, 0.25, 0.5, 0.75, 1.0], axis=0) if Z.shape[1] else np.zeros((5, 0))
        lowest, low, self._medians, high, highest = np.nan_to_num(quantiles)
        spread, range_ = high - low, highest - lowest
        with np.errstate(divide="ignore"):
            self._scales = np.where(spread > 0, 1 / spread, np.where(range_ > 0, 2 / range_, 0.0))
        self._scales[~np.isfinite(self._scales)] = 0.0
        self._used = np.flatnonzero(self._scales)
        self.n_numbers_ = len(self._used)
        self._one_hot = OneHotEncoder(
            handle_unknown="infrequent_if_exist", max_categories=self.max_categories, sparse_output=False, dtype=np.float32
        )
        sources = [self._numbers[k] for k in self._used]
        if self._categories:
            texts = self._read_texts(columns)
            coded = self._one_hot.fit(texts)
            per_column = [
                len(names) - (0 if rare is None else len(rare) - 1)
                for names, rare in zip(coded.categories_, coded.infrequent_categories_, strict=True)
            ]
            sources += np.repeat(self._categories, per_column).tolist()
        self.sources_ = np.array(sources, dtype=np.int64)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the encoded rows.

        A category, or a gap in a column of categories, that was not seen in fit becomes one of the rare ones, if there are such,
        or else zeros; an `UnknownCategoryWarning` counts them, as `unknown_counts` does.

        Parameters
        ----------
        X : frame of pandas or polars, or array-like of shape (n_rows, n_columns)
            Rows with the columns of `fit`.

        Returns
        -------
        encoded : ndarray of float32, of shape (n_rows, n_columns_out)
            Numbers first; one column of zeros where the table holds nothing that differs.
        """
        check_is_fitted(self)
        X = checked(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        columns = list(columns_of(X))
        Z = self._read_numbers(columns)[:, self._used]
        Z = np.where(np.isnan(Z), self._medians[self._used], Z)
        with np.errstate(over="ignore"):  # numbers far from all that fit has seen
            Z = np.clip((Z - self._medians[self._used]) * self._scales[self._used], -1e18, 1e18)
        parts = [(Z / np.sqrt(1 + (Z / BEND) ** 2)).astype(np.float32)]
        if self._categories:
            texts = self._read_texts(columns)
            unknown = self._unknown(texts)
            if unknown:
                counts = ", ".join(f"{n} in {name!r}" for name, n in unknown.items())
                warnings.warn(f"Categories or gaps that fit has not seen: {counts}.", UnknownCategoryWarning, stacklevel=2)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Found unknown categories")
                parts.append(self._one_hot.transform(texts))
        encoded = np.ascontiguousarray(np.hstack(parts))
        return encoded if encoded.shape[1] else np.zeros((len(encoded), 1), np.float32)

    def unknown_counts(self, X: Any) -> dict[str, int]:
        """Count, per column, the rows whose category, or gap, was not seen in fit.

        Parameters
        ----------
        X : frame of pandas or polars, or array-like of shape (n_rows, n_columns)
            Rows with the columns of `fit`.

        Returns
        -------
        counts : dict of str to int
            By the names of the columns; those with none are left out.
        """
        check_is_fitted(self)
        return self._unknown(self._read_texts(list(columns_of(checked(X))))) if self._categories else {}

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns that come out.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the table's columns; None takes those of `fit`, or x0, x1, …

        Returns
        -------
        names : ndarray of str
            Those of numbers are their columns', those of categories the column's and the category, joined by "_".
        """
        check_is_fitted(self)
        names = self._names() if input_features is None else np.asarray(input_features, dtype=object)
        found = [names[self._numbers[k]] for k in self._used]
        if self._categories:
            found += self._one_hot.get_feature_names_out([str(names[i]) for i in self._categories]).tolist()
        return np.array(found or ["nothing"], dtype=object)

    def _names(self) -> np.ndarray:
        default = np.array([f"x{i}" for i in range(self.n_features_in_)], dtype=object)
        return getattr(self, "feature_names_in_", default)

    def _read_numbers(self, columns: list[np.ndarray]) -> np.ndarray:
        """Return the columns of numbers, (n_rows, n), float64 with NaN for gaps."""
        Z = np.empty((len(columns[0]), len(self._numbers)))
        for k, i in enumerate(self._numbers):
            try:
                Z[:, k] = as_numbers(columns[i], self.kinds_[i])
            except (TypeError, ValueError) as error:
                raise ValueError(f"Column {self._names()[i]!r} held {self.kinds_[i]}s in fit, but now: {error}.") from error
        if np.isinf(Z).any():
            name = self._names()[self._numbers[int(np.flatnonzero(np.isinf(Z).any(axis=0))[0])]]
            raise ValueError(f"Input X contains infinity or a value too large, in column {name!r}.")
        return Z

    def _read_texts(self, columns: list[np.ndarray]) -> np.ndarray:
        """Return the columns of categories, (n_rows, n) objects."""
        return np.column_stack([as_texts(columns[i]) for i in self._categories])

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
