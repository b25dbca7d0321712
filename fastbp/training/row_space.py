"""Training by sgd on tables with many more columns than rows: it needs only as many features as there are rows.

Every gradient of the first layer's weights is a linear combination of rows of X, so sgd never leaves the span of the rows. Its
steps are the same in every orthonormal basis of the features (A. Y. Ng, Feature selection, L1 vs. L2 regularization, and
rotational invariance, ICML 2004). In a basis of the span, the rows are those of the triangle L with X · Xᵀ = L · Lᵀ. Then an
epoch takes the same time for a hundred thousand features as for as many features as rows. This does not hold for adam, which
steps element by element, nor for lbfgs, which stops by the largest element of the gradient.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fastbp.kernels.layout import Network
from fastbp.kernels.triangular import FACTORIZE, SOLVE, SOLVE_TRANSPOSED, multiply, triangular
from fastbp.names import SOLVERS
from fastbp.training.network import aligned_zeros, network_for, pack_parameters, parameter_views
from fastbp.training.outcome import INTERRUPTED, Run
from fastbp.training.problem import Problem, flat_view
from fastbp.training.settings import Settings
from fastbp.training.threads import run_team, team_size
from fastbp.training.workspace import UPDATE_WORK

CHUNK = 1016  # features that are copied together; rows at a distance of a power of 2 would share few sets of the caches
TEAM_WORK = 1e9  # floating-point operations from which several threads share a product
WHOLE_VECTORS = 16  # elements: the longest vector of float32
MOST_ROWS = 1024  # the triangle has 8 MiB then
FEWEST_SAVINGS = 4  # least ratio of work saved in max_iter epochs to work for the basis: a fit may end much earlier


def is_worth_it(X: Any, n_rows: int, n_units: int, batch_size: int, max_iter: int) -> bool:
    """Whether training in the span of n_rows rows of X saves work; n_units: of the first hidden layer."""
    n_features = X.shape[1]
    if n_rows > MOST_ROWS or 2 * n_rows > n_features:
        return False
    n_entries = X.nnz / X.shape[0] if hasattr(X, "nnz") else n_features  # per row
    updates = UPDATE_WORK * math.ceil(n_rows / batch_size)
    work = (4 * n_rows * n_entries + updates * n_features) * n_units
    work_in_span = (4 * n_rows * n_rows + updates * n_rows) * n_units
    return max_iter * (work - work_in_span) > FEWEST_SAVINGS * n_rows**2 * (2 * n_features + 8 * n_rows)


def space_of(problem: Problem, settings: Settings, n_units: int, n_threads: int | None) -> "RowSpace | None":
    """Return the span of the rows, computed once for all trainings on them, or None if it does not save work."""
    if not SOLVERS[settings.solver].stays_in_span or settings.is_shaped:
        return None
    held_out = None if problem.held_out is None else problem.held_out.X
    n_rows = problem.n_rows + (0 if held_out is None else held_out.shape[0])
    batch_size = settings.rows_per_step(problem.n_rows)
    if not is_worth_it(problem.X, n_rows, n_units, batch_size, settings.max_iter):
        return None
    space = problem.derived("row space", lambda: RowSpace(problem.X, problem.row_indices, held_out, n_threads))
    return space if np.isfinite(space.X).all() else None


class RowSpace:
    """An orthonormal basis of the rows' span, for training any number of networks on these rows.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n_features)
    row_indices : ndarray of int64 or None
        The rows of X to train on; None is all.
    held_out : ndarray or CSR matrix of shape (n_held_out, n_features) or None
        Other rows that the basis spans.
    n_threads : int or None

    Attributes
    ----------
    n_rows : int
        Number of trained and held-out rows.
    X : ndarray of shape (n_trained_rows, n_rows + 1)
        The trained rows in this basis, and a feature that is zero. A unit's weight of this feature is the norm of the part of its
        weights outside of the span, which the penalty shrinks and the data do not change.
    held_out : ndarray of shape (n_held_out, n_rows + 1)
    """

    def __init__(self, X: Any, row_indices: np.ndarray | None = None, held_out: Any = None, n_threads: int | None = None) -> None:
        self._X, self._row_indices, self._held_out, self._n_threads = X, row_indices, held_out, n_threads
        n_trained = X.shape[0] if row_indices is None else len(row_indices)
        self.n_rows = n = n_trained + (0 if held_out is None else held_out.shape[0])
        self._stride = n + -n % WHOLE_VECTORS
        self._L = aligned_zeros(n * self._stride, np.float64).reshape(n, self._stride)
        for _, rows in self._chunks():
            self._multiply(rows, _padded(rows.T), self._L, only_lower=True)
        # Pivots of linearly dependent rows are rounding errors. A larger addition to the diagonal keeps them positive. It is in
        # proportion to each row's own scale, like these errors.
        diagonal = self._L[np.diag_indices(n)]
        floor = np.finfo(np.float64).tiny / np.finfo(np.float64).eps  # no pivot is a subnormal number then
        self._L[np.diag_indices(n)] += np.maximum(16 * n * np.finfo(np.float64).eps * diagonal, floor)
        self._solve(FACTORIZE, self._L)
        inputs = np.zeros((n, n + 1), dtype=X.dtype)
        inputs[:, :n] = self._L[:, :n]
        self.X, self.held_out = inputs[:n_trained], inputs[n_trained:]

    def train(
        self, run: Run, network: Any, problem: Problem, settings: Settings, train: Callable[..., str], **options: Any
    ) -> str:
        """Train a run, which has a new optimizer, by calling `train` with the features of this basis; return its result."""
        inner = network_for(settings, self.n_rows + 1, problem.n_outputs, run.params.dtype)
        entered = self.enter(network, inner, run.params)
        outer_params, optimizer, history = run.params, run.optimizer, run.history
        run.params, outer_moments = entered.copy(), optimizer.moments
        optimizer.moments = [np.zeros_like(entered), outer_moments[1]]
        run.outward = lambda params: self.leave(network, inner, outer_params, entered, [params])[0]
        try:
            status = train(run, inner, problem.in_other_features(self.X, self.held_out), settings, **options)
        finally:
            vectors = [run.params, optimizer.moments[0]] + ([] if history.best_params is None else [history.best_params])
            # If Ctrl-C interrupts what follows, the run must not be left with vectors in the layout of the basis.
            run.params, optimizer.moments, history.best_params = outer_params, outer_moments, None
            run.outward = None
            is_interrupted = False
            try:
                left = self.leave(network, inner, outer_params, entered, vectors)
            except KeyboardInterrupt:  # try again: the result of the training would be lost
                is_interrupted = True
                left = self.leave(network, inner, outer_params, entered, vectors)
            outer_params[:], optimizer.moments[0], *best = left
            if best:
                history.best_params = best[0]
        return INTERRUPTED if is_interrupted else status

    def enter(self, network: Network, inner: Network, params: np.ndarray) -> np.ndarray:
        """Return the flat params of `network` in the layout of `inner`, which has the features of this basis."""
        coefs, intercepts = parameter_views(network, params)
        W, inside = coefs[0], np.zeros(())
        for features, rows in self._chunks():
            weights = _padded(W[features])
            part = np.zeros((self.n_rows, weights.shape[1]))
            self._multiply(rows, weights, part)
            inside = inside + part[:, : W.shape[1]]
        inside = self._solved(SOLVE, inside)
        squares = np.einsum("ij,ij->j", W, W, dtype=np.float64) - (inside * inside).sum(axis=0)
        outside = np.sqrt(np.maximum(0.0, squares))
        return pack_parameters(inner, [np.vstack([inside, outside]), *coefs[1:]], intercepts, params.dtype)

    def leave(
        self, network: Network, inner: Network, params: np.ndarray, entered: np.ndarray, vectors: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Return flat vectors in the layout of `inner` (parameters or velocities) in that of `network`.

        params are the initial parameters, and entered is enter(network, inner, params).
        """
        initial, before = parameter_views(network, params)[0][0], parameter_views(inner, entered)[0][0]
        inside, outside = before[:-1].astype(np.float64), before[-1].astype(np.float64)
        outside_squared = outside @ outside
        found, changes = [], []
        for values in vectors:
            coefs, intercepts = parameter_views(inner, values)
            share = outside @ coefs[0][-1] / outside_squared if outside_squared > 0.0 else 1.0  # the same for all units
            changes.append(self._solved(SOLVE_TRANSPOSED, coefs[0][:-1] - share * inside))
            found.append(pack_parameters(network, [params.dtype.type(share) * initial, *coefs[1:]], intercepts, params.dtype))
        change, n_units = _padded(np.hstack(changes)), initial.shape[1]
        for features, rows in self._chunks():
            part = np.zeros((rows.shape[1], change.shape[1]))
            self._multiply(rows.T, change, part)
            for k, values in enumerate(found):
                parameter_views(network, values)[0][0][features] += part[:, k * n_units : (k + 1) * n_units]
        return found

    def _chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield slices of the features and the values of all rows there, in float64, as small differences of rows matter too."""
        X, row_indices, held_out = self._X, self._row_indices, self._held_out
        for first in range(0, X.shape[1], CHUNK):
            features = slice(first, first + CHUNK)
            rows = X[:, features]
            parts = [rows if row_indices is None else rows[row_indices]] + ([] if held_out is None else [held_out[:, features]])
            parts = [part.toarray() if hasattr(part, "toarray") else part for part in parts]
            rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
            yield features, rows.astype(np.float64, order="C", copy=False)

    def _multiply(self, A: np.ndarray, B: np.ndarray, C: np.ndarray, only_lower: bool = False) -> None:
        """C += A · B by kernels whose bits do not depend on the number of threads; A may have any strides."""
        shape = len(C), len(B), C.shape[1]
        work = 2.0 * math.prod(shape)
        strides = [stride // A.itemsize for stride in A.strides]
        elements = sum((n - 1) * stride for n, stride in zip(A.shape, strides)) + 1
        flat = flat_view(np.lib.stride_tricks.as_strided(A, (elements,), (A.itemsize,)))
        arguments = flat, *strides, B.reshape(-1), C.reshape(-1), *shape, int(only_lower)
        size = team_size(self._n_threads, work, work) if work > TEAM_WORK else 1
        if not run_team(multiply, size, arguments, work):
            raise KeyboardInterrupt

    def _solve(self, task: int, rows: np.ndarray) -> None:
        triangular(task, self._L.reshape(-1), rows.reshape(-1), len(rows), self.n_rows, self._stride)

    def _solved(self, task: int, columns: np.ndarray) -> np.ndarray:
        """Return L⁻¹ · columns, or L⁻ᵀ · columns; columns: (n_rows, n)."""
        rows = np.zeros((columns.shape[1], self._stride))
        rows[:, : self.n_rows] = columns.T
        self._solve(task, rows)
        return rows[:, : self.n_rows].T


def _padded(matrix: np.ndarray) -> np.ndarray:
    """Return a copy in float64 whose rows are whole vectors."""
    n_rows, n_columns = matrix.shape
    width = n_columns + -n_columns % WHOLE_VECTORS
    copied = aligned_zeros(n_rows * width, np.float64).reshape(n_rows, width)
    copied[:, :n_columns] = matrix
    return copied
