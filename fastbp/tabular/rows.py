"""The rows of weight above 0, and weighted statistics of rows."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight

from fastbp.estimators.inputs import check_sample_weight


class Rows(NamedTuple):
    """The rows of a table whose weight is above 0.

    The other rows are left out before anything is learned or drawn, so a fit with rows of weight 0 has the same bits as the fit
    without them.
    """

    n_all: int
    row_indices: np.ndarray | slice
    weights: np.ndarray | None  # of these rows; None where all are 1

    @property
    def are_all(self) -> bool:
        """Whether no row has weight 0."""
        return isinstance(self.row_indices, slice)

    @property
    def others(self) -> np.ndarray:
        """Indices of the rows of weight 0."""
        return np.delete(np.arange(self.n_all), self.row_indices)

    def spread_out(self, values: Any) -> np.ndarray:
        """Return values of these rows, or one value for all, as an array of all rows, with zeros for the others."""
        spread = np.zeros((self.n_all, *np.shape(values)[1:]), np.result_type(values))
        spread[self.row_indices] = values
        return spread


def rows_of(sample_weight: Any, n_rows: int, dtype: Any = np.float64) -> Rows:
    """Return the rows of weight above 0, or raise ValueError for weights that are not valid."""
    weights = check_sample_weight(sample_weight, np.empty((n_rows, 0), dtype))
    if weights is None:
        return Rows(n_rows, slice(None), None)
    if weights.min() < 0:
        raise ValueError(f"Sample weights must not be negative, because statistics of the table use them; got {weights.min():g}.")
    counting = np.flatnonzero(weights)
    weights = weights[counting]
    row_indices = slice(None) if len(counting) == n_rows else counting
    return Rows(n_rows, row_indices, None if (weights == 1).all() else weights)


def weighted_by_class(rows: Rows, class_weight: Any, labels: np.ndarray) -> Rows:
    """Return the rows with the weights of their classes; "balanced" counts the rows of weight above 0."""
    seen = rows.row_indices if isinstance(class_weight, str) and not rows.are_all else None
    of_class = compute_sample_weight(class_weight, labels, indices=seen).astype(np.float32)
    return rows_of(of_class * rows.spread_out(1 if rows.weights is None else rows.weights), len(labels), np.float32)


def quantiles(Z: np.ndarray, weights: np.ndarray | None, shares: list[float]) -> np.ndarray:
    """Return quantiles of the columns of Z, (n_shares, n_columns), without NaN; each column has numbers.

    A row with twice the least weight counts as two rows: equal weights give numpy's linear quantiles, and a factor on all weights
    changes nothing.
    """
    found = np.empty((len(shares), Z.shape[1]))
    if weights is None:
        return np.nanquantile(Z, shares, axis=0) if Z.size else found
    unit = float(weights.min())
    for k, column in enumerate(Z.T):
        order = np.argsort(column, kind="stable")[: np.count_nonzero(~np.isnan(column))]  # NaN comes last
        x, ends = column[order], np.cumsum(weights[order], dtype=np.float64)
        # numpy interpolates between rows: this is the mean over a window of one row's weight, which lies in at most two rows
        begins = (ends[-1] - unit) * np.asarray(shares)
        first = np.minimum(np.searchsorted(ends, begins, side="right"), len(x) - 1)
        beyond = np.clip((begins + unit - ends[first]) / unit, 0, 1)
        found[:, k] = (1 - beyond) * x[first] + beyond * x[np.minimum(first + 1, len(x) - 1)]
    return found


def total_weights(texts: np.ndarray, weights: np.ndarray | None) -> dict[str | None, float]:
    """Return the weight of all rows with each text, in units of the least weight of a row, without what rounding adds."""
    totals: dict[str | None, float] = {}
    # in the dtype of the weights, so that ties hold: 1000 times 0.3 is 3000 times 0.1
    units = (np.ones(len(texts)) if weights is None else weights / weights.min()).tolist()
    for text, weight in zip(texts.tolist(), units, strict=True):
        totals[text] = totals.get(text, 0.0) + weight
    return {text: round(total, 6) for text, total in totals.items()}
