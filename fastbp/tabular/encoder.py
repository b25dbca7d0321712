"""From a table to the inputs of networks: scaled numbers first, then categories as zeros and ones."""

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.validation import check_is_fitted, validate_data

from fastbp.estimators import parameters
from fastbp.estimators.inputs import unfitted
from fastbp.estimators.plain_table import PlainTable
from fastbp.estimators.representation import ShownInNotebooks, lines_html
from fastbp.estimators.validation import stacklevel_of_user
from fastbp.estimators.versions import Versioned
from fastbp.tabular.columns import (
    CATEGORY,
    DATE,
    DURATION,
    EMPTY,
    IDENTIFIER,
    NUMBER,
    TEXT,
    TakesTables,
    are_texts,
    as_numbers,
    as_texts,
    checked,
    columns_of,
    is_frame,
    kind_of,
    names_of,
)
from fastbp.tabular.exported import plain_pipeline
from fastbp.tabular.parts import (
    BEND,
    MISSING,
    Extra,
    encoded_text,
    extras_of,
    fitted_text,
    is_free_text,
    is_identifier,
    is_numbered,
)
from fastbp.tabular.rows import Rows, quantiles, rows_of, total_weights


class UnknownCategoryWarning(UserWarning):
    """Rows hold categories, or missing values in columns of categories, that were not in fit."""


class LeftOutWarning(UserWarning):
    """Columns are left out because they identify rows, which says nothing about new rows."""


class InfiniteNumberWarning(UserWarning):
    """Infinite numbers, or numbers too large for float64, count as missing values."""


class TableEncoder(TransformerMixin, TakesTables, Versioned, ShownInNotebooks, BaseEstimator):
    r"""Turn a table with numbers, categories, text, booleans, dates and missing values into float32 columns for a network.

    Numbers, and dates and durations as days, are scaled to :math:`(x - \mathrm{median}) / (q_{75} - q_{25})`, or by half the
    range if the quartiles are equal. Then :math:`x / \sqrt{1 + (x / 3)^2}` keeps outliers within 3 [1]_. The median replaces
    missing values. If between 1 % and 99 % of a column are missing, an extra column of zeros and ones says where. Dates also
    get their year, and sine and cosine of the day of the year, the weekday and the hour, if these vary. A column with a single
    value, or without any, is left out; one without any value in `fit` is ignored later.

    Text of several words, mostly unique, is free text: scikit-learn's TfidfVectorizer weighs the words, and TruncatedSVD keeps at
    most 30 components. In tables of 20 rows or more, other unique text is an identifier, and so are unique whole numbers in a
    column with a name such as id, key or index. Identifiers are left out, with a `LeftOutWarning`. All else is categories, which
    get a column of zeros and ones each; a missing value is a category too.

    A column of numbers, dates or durations must stay one. Infinite numbers, and numbers too large for float64, count as missing
    values, with an `InfiniteNumberWarning`. Complex numbers, pandas' Periods, and cells with several values, such as lists and
    structs, raise an error that names the column. `summary` says what was made of each column.

    Parameters
    ----------
    max_categories : int, default=256
        Maximum number of columns for one column of categories. If there are more categories, the rarest share a column.
    as_codes : bool, default=False
        Encode each column of categories as one column of codes, after the numbers. The code is the index of the column that
        would be 1, or -1 if none would be.

    Attributes
    ----------
    kinds_ : list of str
        'number', 'date' (also for durations), 'category', 'text' or 'identifier' for each column of the table; 'number' for a
        column without any value.
    n_numbers_ : int
        Number of output columns that are numbers; they are the first.
    sources_ : ndarray of shape (n_columns_out,)
        Index of the column of the table that each output column comes from.
    n_categories_ : list of int
        Number of output columns of each column of categories, without `as_codes`.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if all are strings.

    References
    ----------
    .. [1] Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on tabular data",
       NeurIPS 2024.

    Examples
    --------
    >>> from fastbp import TableEncoder
    >>> table = [[1.0, "red"], [3.0, "blue"], [None, "red"], [5.0, None]]
    >>> encoder = TableEncoder()
    >>> encoder.fit_transform(table).round(2)
    array([[-0.95,  0.  ,  0.  ,  1.  ,  0.  ],
           [ 0.  ,  0.  ,  1.  ,  0.  ,  0.  ],
           [ 0.  ,  1.  ,  0.  ,  1.  ,  0.  ],
           [ 0.95,  0.  ,  0.  ,  0.  ,  1.  ]], dtype=float32)
    >>> print(encoder.summary())
    x0: number; scaled by the median 3 and 2; 1 missing values (25.0%) with a column that says where
    x1: category; 3 categories, a missing value among them
    """

    # For encoders saved by an earlier version.
    _extras: list[Any] = []  # noqa: RUF012 - never written to
    _texts: list[Any] = []  # noqa: RUF012
    _told: list[str] = []  # noqa: RUF012

    def __init__(self, max_categories: int = 256, as_codes: bool = False) -> None:
        self.max_categories = max_categories
        self.as_codes = as_codes

    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | float | None = None) -> Self:
        """Learn medians, quartiles and categories.

        Parameters
        ----------
        X : table or array-like of shape (n_rows, n_columns)
            A frame of pandas, polars or Dask, a Table of pyarrow, an array or a list of rows. A LazyFrame is collected.
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
            A parameter has a wrong value; X is empty, or has values that are no number, date or category; weights are negative
            or all 0.
        TypeError
            X is sparse, or a table of an unknown library.
        """
        parameters.check_parameter("max_categories", self.max_categories, parameters.COUNT, self)
        parameters.check_parameter("as_codes", self.as_codes, parameters.FLAG, self)
        table = checked(X)
        self._learn(table, rows_of(sample_weight, table.shape[0]))
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the encoded rows.

        A category, or a missing value in a column of categories, that was not in fit becomes one of the rare categories if there
        are such, else zeros. An `UnknownCategoryWarning` counts these rows, as `unknown_counts` does.

        Parameters
        ----------
        X : table or array-like of shape (n_rows, n_columns)
            Rows with the columns of `fit`.

        Returns
        -------
        encoded : ndarray of float32, of shape (n_rows, n_columns_out)
            Numbers first; one column of zeros if no column of the table varies. A frame if `set_output` says so.

        Raises
        ------
        ValueError
            Columns differ from those of `fit`, or hold values of another kind.
        """
        return self._encoded(X)

    def _learn(self, table: Any, rows: Rows) -> np.ndarray:
        """Learn from the rows of weight above 0; return these encoded."""
        new, names = unfitted(self), names_of(table)
        validate_data(new, table, skip_check_array=True)
        columns = [column[rows.row_indices] for column in columns_of(table)]
        kinds = _kinds(columns, names)
        new._texts, of_texts = [], []
        for i, (column, name, kind) in enumerate(zip(columns, names, kinds, strict=True)):
            if kind == CATEGORY and are_texts(column):
                texts = as_texts(column)
                if is_free_text(texts) and (found := fitted_text(texts)) is not None:
                    kinds[i] = TEXT
                    new._texts.append((i, *found[:3]))
                    of_texts.append(found[3])
                elif is_identifier(texts):
                    kinds[i] = IDENTIFIER
            elif kind == NUMBER and is_numbered(column, name):
                kinds[i] = IDENTIFIER
        left_out = [repr(name) for name, kind in zip(names, kinds, strict=True) if kind == IDENTIFIER]
        if left_out:
            warnings.warn(
                f"Left out as identifiers, because each value is unique: column {', '.join(left_out)}. To keep whole numbers,"
                " convert them to floats.",
                LeftOutWarning,
                stacklevel=stacklevel_of_user(),
            )
        new._exact_kinds, new.kinds_ = kinds, [{EMPTY: NUMBER, DURATION: DATE}.get(kind, kind) for kind in kinds]
        new._numbers = [i for i, kind in enumerate(kinds) if kind in (NUMBER, DATE, DURATION)]
        new._categories = [i for i, kind in enumerate(kinds) if kind == CATEGORY]
        Z = new._read_numbers(columns, kinds, names)
        lowest, low, new._medians, high, highest = quantiles(Z, rows.weights, [0.0, 0.25, 0.5, 0.75, 1.0])
        with np.errstate(divide="ignore", over="ignore"):
            spread, range_ = high - low, highest - lowest
            new._scales = np.where(spread > 0, 1 / spread, np.where(range_ > 0, 2 / range_, 0.0))
        new._scales[~np.isfinite(new._scales)] = 0.0
        new._used = np.flatnonzero(new._scales)
        new.n_numbers_ = len(new._used)
        new._extras = [
            tuple(extra)
            for k, i in enumerate(new._numbers)
            for extra in extras_of(k, Z[:, k], rows.weights, is_date=kinds[i] == DATE)
        ]
        sources = [new._numbers[k] for k in new._used] + [new._numbers[number] for number, *_ in new._extras]
        sources += [i for (i, *_), encoded in zip(new._texts, of_texts, strict=True) for _ in range(encoded.shape[1])]
        texts = new._read_categories(columns)
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
        new._told = new._told_of(columns, Z, rows)
        encoded = new._joined(Z, of_texts, texts)
        self.__dict__ = vars(new)  # all or nothing
        return encoded

    def _encoded(self, X: Any, rows: Any = slice(None)) -> np.ndarray:
        """Return rows as `transform` does, but always as an array."""
        return self._joined(*self._read(X, rows))

    def _read(self, X: Any, rows: Any = slice(None)) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
        """Return the numbers of rows, with NaN for missing values, their encoded texts, and their categories, with None; warn of
        categories that were not in fit."""
        columns, kinds, names = self._opened(X, rows)
        texts = self._read_categories(columns)
        unknown = self._unknown(texts)
        if unknown:
            counts = ", ".join(f"{n} in {name!r}" for name, n in unknown.items())
            warnings.warn(
                f"Categories or missing values that were not in fit: {counts}.",
                UnknownCategoryWarning,
                stacklevel=stacklevel_of_user(),
            )
        of_texts = [encoded_text(words, svd, factor, as_texts(columns[i])) for i, words, svd, factor in self._texts]
        return self._read_numbers(columns, kinds, names), of_texts, texts

    def _opened(self, X: Any, rows: Any = slice(None)) -> tuple[list[np.ndarray], list[str], list[Any]]:
        """Check that a table is like that of `fit`; return its columns, their kinds, and their names."""
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

    def _joined(self, Z: np.ndarray, of_texts: list[np.ndarray], texts: np.ndarray) -> np.ndarray:
        """Return scaled numbers, the columns beside them, encoded texts, and encoded categories, side by side."""
        used = self._used
        beside = [Extra(*extra).of(Z[:, extra[0]])[:, np.newaxis] for extra in self._extras] + of_texts
        Z = np.where(np.isnan(Z[:, used]), self._medians[used], Z[:, used])
        with np.errstate(over="ignore"):  # numbers far from all that fit has seen
            Z = np.clip((Z - self._medians[used]) * self._scales[used], -1e18, 1e18)
        parts = [(Z / np.sqrt(1 + (Z / BEND) ** 2)).astype(np.float32), *(part.astype(np.float32) for part in beside)]
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
        """Return codes from a CSR matrix of zeros and ones: which of the columns for a column of categories has the 1; -1 for
        none."""
        stops = np.cumsum(self.n_categories_)
        codes = np.full((ones.shape[0], len(stops)), -1, np.float32)
        columns = np.searchsorted(stops, ones.indices, side="right")
        codes[np.repeat(np.arange(ones.shape[0]), np.diff(ones.indptr)), columns] = (
            ones.indices - (stops - self.n_categories_)[columns]
        )
        return codes

    def unknown_counts(self, X: Any) -> dict[str, int]:
        """Count, per column, the rows whose category, or missing value, was not in fit.

        Parameters
        ----------
        X : frame of pandas or polars, or array-like of shape (n_rows, n_columns)
            Rows with the columns of `fit`.

        Returns
        -------
        counts : dict of str to int
            By the names of the columns; columns without such rows are left out.
        """
        return self._unknown(self._read_categories(self._opened(X)[0]))

    def summary(self) -> str:
        """Describe, in a line per column, how it is encoded.

        Returns
        -------
        lines : str
            Name, kind, and encoding of each column.
        """
        check_is_fitted(self)
        return "\n".join(self._told)

    def _facts_html(self) -> str:
        title = f"{self.n_features_in_} columns become {max(1, len(self.sources_))}" if self._told else ""
        return lines_html(title, self._told) if title else ""

    def _told_of(self, columns: list[np.ndarray], Z: np.ndarray, rows: Rows) -> list[str]:
        """Return the lines of `summary`."""
        lines = []
        for i, (name, kind) in enumerate(zip(self._names().tolist(), self._exact_kinds, strict=True)):
            said = [{EMPTY: "no value at all, left out", IDENTIFIER: "identifier, left out"}.get(kind, kind)]
            if i in self._numbers:
                k = self._numbers.index(i)
                x = Z[:, k]
                n_missing, parts = np.count_nonzero(np.isnan(x)), [part for number, part, *_ in self._extras if number == k]
                if k in self._used:
                    unit = " days" if kind in (DATE, DURATION) else ""
                    said.append(f"scaled by the median {_shown(self._medians[k], kind)} and {1 / self._scales[k]:.6g}{unit}")
                else:
                    said.append("of one value, left out")
                of_dates = [part for part in parts if part != MISSING]
                if of_dates:
                    said.append(f"with {', '.join(of_dates)}")
                if n_missing:
                    share = f"{n_missing} missing values ({n_missing / len(x):.1%})"
                    said.append(f"{share} with a column that says where" if MISSING in parts else share)
            elif kind == CATEGORY:
                k = self._categories.index(i)
                texts, n_out = self._one_hot.categories_[k], self.n_categories_[k]
                said.append(f"{len(texts)} categories{', a missing value among them' * (None in texts.tolist())}")
                if n_out < len(texts):
                    said.append(f"the rarest {len(texts) - n_out + 1} as one")
            elif kind == TEXT:
                said.append(f"its words in {np.count_nonzero(self.sources_ == i)} directions")
            lines.append(f"{name}: {'; '.join(said)}")
        return lines

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns that come out.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the table's columns; None takes those of `fit`, or x0, x1, …

        Returns
        -------
        names : ndarray of str
            Numbers, and categories with `as_codes`, have the name of their column. For parts of dates, missing values, components
            of texts and categories, what it is follows the name of the column after "_".
        """
        check_is_fitted(self)
        names = self._names() if input_features is None else np.asarray(input_features, dtype=object)
        found = [names[self._numbers[k]] for k in self._used]
        found += [f"{names[self._numbers[number]]}_{part}" for number, part, *_ in self._extras]
        found += [f"{names[i]}_{n}" for i, _, directions, _ in self._texts for n in range(directions.n_components)]
        if self.as_codes:
            found += [names[i] for i in self._categories]
        elif self._categories:
            found += self._one_hot.get_feature_names_out([str(names[i]) for i in self._categories]).tolist()
        unique: dict[str, None] = {}
        for name in map(str, found or ["nothing"]):
            while name in unique:  # a text "None" and a missing value, for example; polars refuses equal names
                name += "_"
            unique[name] = None
        return np.array(list(unique), dtype=object)

    def _names(self) -> np.ndarray:
        default = np.array([f"x{i}" for i in range(self.n_features_in_)], dtype=object)
        return getattr(self, "feature_names_in_", default)

    def _read_numbers(self, columns: list[np.ndarray], kinds: list[str], names: list[Any]) -> np.ndarray:
        """Return the columns of numbers, (n_rows, n), float64 with NaN for missing values."""
        Z, found = np.full((len(columns[0]), len(self._numbers)), np.nan), []
        for k, i in enumerate(self._numbers):
            if kinds[i] == EMPTY:
                continue
            try:
                Z[:, k] = as_numbers(columns[i], kinds[i])
            except (TypeError, ValueError, OverflowError) as error:
                raise ValueError(f"Column {names[i]!r} holds {_plural(kinds[i])} that cannot be read: {error}.") from error
            infinite = np.isinf(Z[:, k])
            if infinite.any():
                found.append(f"{np.count_nonzero(infinite)} in {names[i]!r}")
                Z[infinite, k] = np.nan
        if found:
            warnings.warn(
                f"Infinite numbers, or numbers too large for float64, count as missing values: {', '.join(found)}.",
                InfiniteNumberWarning,
                stacklevel=stacklevel_of_user(),
            )
        return Z

    def _read_categories(self, columns: list[np.ndarray]) -> np.ndarray:
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

    def _plain_table_with(self, network: Any) -> PlainTable:
        """Return what this and a network after it compute, as plain data for other languages."""
        check_is_fitted(self)
        return plain_pipeline(self, network)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


def _shown(number: float, kind: str) -> str:
    """Return the text of a number, or of the date that it is in days since 1970."""
    return str(np.datetime64(0, "s") + np.timedelta64(round(number * 86400), "s")) if kind == DATE else f"{number:.6g}"


def _first_of(column: np.ndarray, kind: str) -> str:
    """Describe the first text in a column that must not have any."""
    rows = [row for row, cell in enumerate(column.tolist()) if kind == CATEGORY and isinstance(cell, str)]
    return f", first {str(column[rows[0]])[:60]!r} in row {rows[0]}" if rows else ""


def _plural(kind: str) -> str:
    return "categories" if kind == CATEGORY else f"{kind}s"


def _representatives(texts: np.ndarray, weights: np.ndarray | None, max_categories: int) -> np.ndarray:
    """Return rows that tell OneHotEncoder, which takes no weights, the rare categories: these are there once, others twice."""
    columns = []
    for column in texts.T:
        totals = total_weights(column, weights)
        order = sorted(totals, key=lambda text: (totals[text], text is None, text or ""))  # ties are OneHotEncoder's
        n_rare = len(order) - max_categories + 1 if len(order) > max_categories else 0
        columns.append([*order, *order[n_rare:]])
    longest = max(map(len, columns))
    return np.array([column + column[-1:] * (longest - len(column)) for column in columns], dtype=object).T


def _kinds(columns: list[np.ndarray], names: list[Any], before: list[str] | None = None) -> list[str]:
    """Return what the columns hold; columns that were empty or identifiers before are ignored."""
    kinds = []
    for i, (column, name) in enumerate(zip(columns, names, strict=True)):
        if before is not None and before[i] in (EMPTY, IDENTIFIER):
            kinds.append(before[i])
            continue
        try:
            kinds.append(kind_of(column))
        except ValueError as error:
            raise ValueError(f"Column {name!r} holds {error}.") from error
        if before is not None and before[i] not in (CATEGORY, TEXT) and kinds[i] not in (before[i], EMPTY):
            raise ValueError(
                f"Column {name!r} held {_plural(before[i])} in fit, but now holds {_plural(kinds[i])}"
                f"{_first_of(column, kinds[i])}: convert them to {_plural(before[i])}, and anything else to None."
            )
    return kinds
