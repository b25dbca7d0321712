"""The normal equations of the squared error, accumulated over blocks of rows, and their solution."""

from typing import Any, NamedTuple

import numpy as np

from fastbp.kernels.jacobian import IS_COMPLETE, jacobian
from fastbp.kernels.triangular import FACTORIZE, SOLVE, SOLVE_TRANSPOSED, multiply, triangular
from fastbp.training.network import aligned_zeros, parameter_views
from fastbp.training.problem import NO_ORDER, Problem
from fastbp.training.threads import run_team, team_size
from fastbp.training.workspace import flops_per_row, make_strips, make_workspace

WHOLE_VECTORS = 16  # elements: two of the longest vectors of float64
CROWDED = 256  # elements: rows at multiples of this distance share few sets of the caches
BLOCK_BYTES = 1 << 21  # of the Jacobian
FEWEST_ROWS, MOST_ROWS = 64, 1024  # of its blocks; between these, the time changes by less than 20 %
PANEL = 96  # columns of a Cholesky factor that are computed together
MOST_PARAMETERS = 6000  # JᵀJ and its factor then take 0.6 GB


class Trained(NamedTuple):
    """The trained parameters in the order in which they are stored; all arrays (n_trained,).

    positions: of each in the flat vector; are_weights: whether it is a weight, not an intercept; layers: its layer; units: its
    output unit of that layer.
    """

    positions: np.ndarray
    are_weights: np.ndarray
    layers: np.ndarray
    units: np.ndarray


def trained_parameters(network: Any) -> Trained:
    """Return the trained parameters of a network."""
    parts: list[tuple[np.ndarray, ...]] = []
    coefs, intercepts = parameter_views(network, np.arange(network.n_parameters))
    for layer, (W, b, narrow) in enumerate(zip(coefs, intercepts, network.narrow.tolist())):
        units = np.broadcast_to(np.arange(len(b)), W.shape)
        for array, own_units, are_weights in [(W, units, True), (b, units[0], False)][: 1 + network.fit_intercept]:
            flat = [(part.T if narrow else part).ravel() for part in (array, own_units)]
            parts.append((flat[0], np.full(array.size, are_weights), np.full(array.size, layer), flat[1]))
    return Trained(*map(np.concatenate, zip(*parts)))


class NormalEquations:
    """Residuals r = √s·(ŷ - y) of all rows and outputs, JᵀJ and Jᵀr, in float64 whatever the dtype of the network.

    Parameters
    ----------
    network : Network
    problem : Problem
    n_threads : int or None
    sync : ndarray or None
        Another thread can use it to stop a call, see `run_team`.

    Attributes
    ----------
    trained : Trained
    gradient : ndarray of shape (n_parameters,)
        Jᵀr of the last `accumulate`.
    diagonal : ndarray of shape (n_parameters,)
        Diagonal of JᵀJ.
    """

    def __init__(self, network: Any, problem: Problem, *, n_threads: int | None = None, sync: Any = None) -> None:
        self._network, self._problem, self._n_threads, self._sync = network, problem, n_threads, sync
        self.trained = trained_parameters(network)
        self.n = n = len(self.trained.positions)
        self._stride = n + WHOLE_VECTORS + -n % WHOLE_VECTORS
        self._stride += WHOLE_VECTORS * (self._stride % CROWDED == 0)
        n_outputs = problem.n_outputs
        rows = BLOCK_BYTES // (8 * self._stride * n_outputs)
        self._block_rows = max(1, min(problem.n_rows, MOST_ROWS, max(rows, -(-FEWEST_ROWS // n_outputs))))
        gather = problem.row_indices is not None
        n_threads_at_most = team_size(n_threads, np.inf, np.inf)
        self._workspace = make_workspace(
            network, problem.dtype, self._block_rows, n_threads=n_threads_at_most, in_one_block=True,
            gathered=problem.samples if gather else None,
        )  # fmt: skip
        self._order = np.array(problem.row_indices, dtype=np.int64) if gather else NO_ORDER
        self._strips = [make_strips(network, size, problem.is_sparse) for size in (1, n_threads_at_most)]
        self._J = aligned_zeros(self._block_rows * n_outputs * self._stride, np.float64)
        self._products = aligned_zeros((n + 1) * self._stride, np.float64)
        self._factor = aligned_zeros(n * self._stride, np.float64)
        self._panel = aligned_zeros((n + PANEL) * PANEL, np.float64)
        self._params = aligned_zeros(network.n_parameters, problem.dtype)

    # ---- over the rows

    def sum_of_squares(self, w: np.ndarray) -> float:
        """Return rᵀr at the trained parameters w."""
        total = 0.0
        for n_rows in self._blocks(w, 1, 0):
            with np.errstate(over="ignore"):  # the caller tests for infinity
                total += float(np.square(self._J[:n_rows]).sum())
        return total

    def accumulate(self, w: np.ndarray) -> None:
        """Compute `gradient`, `diagonal` and the matrix JᵀJ at the trained parameters w."""
        self._products[:] = 0.0
        n, stride, matrix = self.n, self._stride, self._products.reshape(self.n + 1, self._stride)
        for n_rows in self._blocks(w, stride, n):
            self._multiply(self._J, 1, stride, self._J, self._products, n + 1, n_rows, stride, 1)
        self.gradient, self.diagonal = matrix[n, :n].copy(), matrix.reshape(-1)[: n * stride : stride + 1][:n].copy()

    def _blocks(self, w: np.ndarray, width: int, n_columns: int) -> Any:
        """Compute the Jacobian at w block by block; yield the number of rows of each."""
        self._params[self.trained.positions] = w
        problem, network = self._problem, self._network
        row_work = flops_per_row(network) * (problem.n_outputs if n_columns else 0.5) + n_columns * problem.n_outputs
        for first in range(0, problem.n_rows, self._block_rows):
            n_rows = min(self._block_rows, problem.n_rows - first)
            work = row_work * n_rows
            size = team_size(self._n_threads, work, work)
            result = np.ones(1)
            arguments = (
                network, self._params, problem.samples, self._order, int(self._order is not NO_ORDER), self._workspace,
                self._strips[size > 1], first, n_rows, self._J, width, n_columns, result,
            )  # fmt: skip
            if not run_team(jacobian, size, arguments, work, self._sync) or result[IS_COMPLETE] == 0.0:
                raise KeyboardInterrupt
            yield n_rows * problem.n_outputs

    def _multiply(self, A: Any, a_row: int, a_inner: int, B: Any, C: Any, *shape: int) -> None:
        work = 2.0 * shape[0] * shape[1] * shape[2]
        if not run_team(multiply, team_size(self._n_threads, work, work), (A, a_row, a_inner, B, C, *shape), work, self._sync):
            raise KeyboardInterrupt

    # ---- solving

    def factorize(self, addition: np.ndarray) -> bool:
        """Compute the Cholesky factor of JᵀJ + diag(addition), panel by panel; return whether the sum is positive definite.

        This uses the project's kernels: the bits of a threaded BLAS may depend on the number of threads.
        """
        n, stride, factor = self.n, self._stride, self._factor
        factor[:] = self._products[: n * stride]
        factor[:: stride + 1][:n] += addition
        L = factor.reshape(n, stride)
        L[:, n:] = 0.0  # the residuals' column
        for start in range(0, n, PANEL):
            stop, n_rows = min(start + PANEL, n), n - start
            size = stop - start
            width = size + -size % WHOLE_VECTORS
            panel = self._panel[: n_rows * width]
            rows = panel.reshape(n_rows, width)
            rows[:, :size], rows[:, size:] = L[start:, start:stop], 0.0
            if start:
                known = np.zeros((start, width))
                np.negative(L[start:stop, :start].T, out=known[:, :size])
                self._multiply(factor[start * stride :], stride, 1, known.reshape(-1), panel, n_rows, start, width, 0)
            triangular(FACTORIZE, panel, panel, size, size, width)
            if not np.isfinite(panel[: size * width : width + 1]).all():
                return False
            triangular(SOLVE, panel, panel[size * width :], n_rows - size, size, width)
            L[start:, start:stop] = rows[:, :size]
            L[:start, start:stop] = 0.0
        return bool(np.isfinite(L[n - 1, n - 1]))

    def solve(self, b: np.ndarray) -> np.ndarray:
        """Return x with (JᵀJ + diag(addition))·x = b, by the last factor."""
        x = aligned_zeros(self._stride, np.float64)
        x[: self.n] = b
        for task in (SOLVE, SOLVE_TRANSPOSED):
            triangular(task, self._factor, x, 1, self.n, self._stride)
        return x[: self.n].copy()

    def inverse_diagonal(self) -> np.ndarray:
        """Return the diagonal of (JᵀJ + diag(addition))⁻¹ = L⁻ᵀ·L⁻¹, by the last factor, row by row of L⁻ᵀ."""
        n, stride = self.n, self._stride
        diagonal = np.empty(n)
        for first in range(0, n, PANEL):  # left of the diagonal, these rows are zero
            size, n_rows = n - first, min(PANEL, n - first)
            rows = np.zeros((n_rows, stride))
            np.fill_diagonal(rows, 1.0)
            triangular(SOLVE, self._factor[first * (stride + 1) :], rows.reshape(-1), n_rows, size, stride)
            diagonal[first : first + n_rows] = np.square(rows[:, :size]).sum(axis=1)
        return diagonal
