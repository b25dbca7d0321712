"""The rows, targets and sample weights of a training, packed once for the kernels; large tables are not copied."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from fastbp.kernels.layout import InputTable, Samples
from fastbp.training.noise import InputNoise

NO_COLUMNS = np.empty(0, dtype=np.int32)
NO_ORDER = np.empty(0, dtype=np.int64)


class _Memory:
    """Makes NumPy regard a read-only array as writable: kernels are compiled for writable arrays, but never write to samples."""

    def __init__(self, array: np.ndarray) -> None:
        self.owner = array
        data = array.ctypes.data, False  # not read-only
        self.__array_interface__ = {"shape": (array.size,), "typestr": array.dtype.str, "data": data, "version": 3}


def flat_view(array: np.ndarray) -> np.ndarray:
    """Return a flat, writable view of a C-contiguous array."""
    if array.flags.writeable and array.flags.c_contiguous:
        return array.reshape(-1)
    return np.asarray(_Memory(array)) if array.size else np.empty(0, array.dtype)


def make_table(X: Any) -> InputTable:
    """Pack X, dense and C-contiguous or CSR, for the kernels, without a copy of its values unless CSR columns are unsorted."""
    if hasattr(X, "indptr"):
        if not X.has_sorted_indices:
            X = X.sorted_indices()
        columns, row_starts = X.indices.astype(np.int32, copy=False), X.indptr.astype(np.int64, copy=False)
        return InputTable(flat_view(X.data), flat_view(columns), flat_view(row_starts), 1, X.shape[0])
    return InputTable(flat_view(X), NO_COLUMNS, NO_ORDER, 0, X.shape[0])


def check_codes(network: Any, X: Any) -> None:
    """Raise ValueError if a column of codes holds a number that is no code of a category, nor -1."""
    n_coded = network.coded.size - 1
    codes, n_categories = X[:, X.shape[1] - n_coded :], np.diff(network.coded)
    are_codes = (codes >= -1) & (codes < n_categories) & (codes == np.floor(codes))
    if not are_codes.all():
        row, column = np.argwhere(~are_codes)[0]
        raise ValueError(
            f"Row {row} has the code {codes[row, column]:g} in column {X.shape[1] - n_coded + column}, which has the categories 0"
            f" to {n_categories[column] - 1}; -1 stands for none of them."
        )


class Problem:
    """Rows with their targets and sample weights.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n_features)
        float32 or float64, C-contiguous; targets, weights and network get the same dtype.
    Y : ndarray of shape (n, n_targets)
        Targets; for the loss "log_loss", one column of class numbers.
    sample_weight : ndarray of shape (n,) or None
        None is 1 for all.
    row_indices : ndarray of int64 or None
        The rows of X that are used, in this order, without a copy of them; None is all.
    n_outputs : int or None
        Units of the output layer; None is one per target.
    strata : callable or None
        From targets of rows to their strata for `split`; None does not stratify.
    may_miss : bool
        Whether NaN in Y is a missing target. Rows without any target are not used.

    Attributes
    ----------
    samples : Samples
        X, Y and sample_weight for the kernels.
    held_out : Problem or None
        Validation rows, from `split` or from the user.
    drawn : ndarray of int64 or None
        Which rows of the original problem these are, if `split` drew them.
    noise : InputNoise or None
        Noise that training adds to X; validation does not.
    """

    def __init__(
        self,
        X: Any,
        Y: np.ndarray,
        sample_weight: np.ndarray | None = None,
        *,
        row_indices: np.ndarray | None = None,
        n_outputs: int | None = None,
        strata: Callable[[np.ndarray], np.ndarray] | None = None,
        may_miss: bool = False,
    ) -> None:
        self.X, self.dtype = X, X.dtype
        self.Y = np.ascontiguousarray(Y, dtype=self.dtype).reshape(X.shape[0], -1)
        self.sample_weight = None if sample_weight is None else np.ascontiguousarray(sample_weight, dtype=self.dtype)
        self.row_indices, self.strata = row_indices, strata
        self.n_outputs = self.Y.shape[1] if n_outputs is None else n_outputs
        self.held_out: Problem | None = None
        self.drawn: np.ndarray | None = None
        self.noise: InputNoise | None = None
        weights = np.empty(0, self.dtype) if self.sample_weight is None else flat_view(self.sample_weight)
        self.may_miss, has_missing = may_miss, may_miss and self._leave_out()
        self.samples = Samples(make_table(X), flat_view(self.Y), self.Y.shape[1], weights, int(has_missing))
        self._derived: dict[str, Any] = {}
        self._lock = threading.Lock()

    def _leave_out(self) -> bool:
        """Leave out rows without any target; return whether the others have missing targets."""
        gone = np.isnan(self.Y)
        are_there = ~gone.all(axis=1)
        if not are_there.all():
            self.row_indices = (
                np.flatnonzero(are_there) if self.row_indices is None else self.row_indices[are_there[self.row_indices]]
            )
            if not len(self.row_indices):
                raise ValueError("No row has a target: all are missing.")
        return bool(gone[are_there].any())

    @property
    def has_missing(self) -> bool:
        """Whether the rows in use have missing targets."""
        return bool(self.samples.has_missing)

    @property
    def n_features(self) -> int:
        """Columns of X."""
        return self.X.shape[1]

    @property
    def n_rows(self) -> int:
        """Number of the rows in use."""
        return self.X.shape[0] if self.row_indices is None else len(self.row_indices)

    @property
    def rows(self) -> Any:
        """Index of the rows in use: their indices, or a slice of all."""
        return slice(None) if self.row_indices is None else self.row_indices

    @property
    def is_sparse(self) -> bool:
        """Whether X is a CSR matrix."""
        return bool(self.samples.table.is_sparse)

    def total_weight(self) -> float:
        """Return the sum of the sample weights of the rows in use."""
        if self.sample_weight is None:
            return float(self.n_rows)
        return float(self.sample_weight[self.rows].sum(dtype=np.float64))

    def known_weight(self) -> float:
        """Return the sum of the sample weights over all targets that are not missing."""
        if not self.has_missing:
            return self.total_weight() * self.n_outputs
        known = np.count_nonzero(~np.isnan(self.Y[self.rows]), axis=1)
        return float(known.sum() if self.sample_weight is None else known @ self.sample_weight[self.rows].astype(np.float64))

    def compact(self) -> "Problem":
        """Return the problem without the rows that are not in use."""
        return self if self.row_indices is None else self.copied(self.row_indices)

    def counting(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return the indices of the rows with a weight above 0, None for all of X, and their weights, None if all are equal."""
        row_indices, weights = self.row_indices, self.sample_weight
        if weights is None:
            return row_indices, None
        weights = weights if row_indices is None else weights[row_indices]
        there = np.flatnonzero(weights > 0)
        if len(there) < len(weights):
            row_indices, weights = there if row_indices is None else row_indices[there], weights[there]
        return row_indices, weights if weights.size and weights.min() < weights.max() else None

    def stratified(self, strata: Callable[[np.ndarray], np.ndarray] | None) -> "Problem":
        """Return the problem with other strata."""
        return self._replaced(strata=strata)

    def split(self, fraction: float, random_state: np.random.RandomState) -> "Problem":
        """Return the problem with a part of the rows held out; only these are copied.

        Splitting row indices takes the same draws as scikit-learn's splitting of arrays.
        """
        row_indices = np.arange(self.n_rows) if self.row_indices is None else self.row_indices
        train, aside = train_test_split(
            row_indices,
            random_state=random_state,
            test_size=fraction,
            stratify=None if self.strata is None else self.strata(self.Y[row_indices]),
        )
        if len(aside) < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
        held_out = self.copied(aside)
        held_out.drawn = aside
        return self._replaced(row_indices=train, held_out=held_out)

    def copied(self, row_indices: np.ndarray | slice, X: Any = None, Y: Any = None) -> "Problem":
        """Return a problem of these rows alone, with X and Y as their inputs and targets if given."""
        weights = None if self.sample_weight is None else self.sample_weight[row_indices]
        X, Y = self.X[row_indices] if X is None else X, self.Y[row_indices] if Y is None else Y
        return Problem(X, Y, weights, n_outputs=self.n_outputs, may_miss=self.may_miss)

    def in_other_features(self, X: np.ndarray, held_out_X: np.ndarray | None) -> "Problem":
        """Return the rows in use and the held-out rows, with other inputs."""
        inner = self.copied(self.rows, X)
        if self.held_out is not None:
            inner.held_out = self.held_out.copied(slice(None), held_out_X)
        return inner

    def transformed(self, inputs: Callable[[Any], Any], targets: Callable[[np.ndarray], np.ndarray]) -> "Problem":
        """Return the rows in use and the held-out rows, with functions applied to their inputs and targets."""
        other = self.copied(self.rows, inputs(self.X[self.rows]), targets(self.Y[self.rows]))
        if self.held_out is not None:
            other.held_out = self.held_out.transformed(inputs, targets)
            other.held_out.drawn = self.held_out.drawn
        return other

    def with_noise(self, epoch: int) -> "Problem":
        """Return the problem with the noise of one epoch in X, for solvers that need the same loss at every step."""
        if self.noise is None:
            return self
        X = self.noise.added(self.X, epoch)
        return self._replaced(X=X, samples=self.samples._replace(table=make_table(X)), noise=None)

    def derived(self, name: str, make: Callable[[], Any]) -> Any:
        """Return make(), called once for all trainings on this problem, also in several threads."""
        with self._lock:
            if name not in self._derived:
                self._derived[name] = make()
            return self._derived[name]

    def _replaced(self, **attributes: Any) -> "Problem":
        other = object.__new__(Problem)
        other.__dict__.update(self.__dict__, **attributes, _derived={}, _lock=threading.Lock())
        return other
