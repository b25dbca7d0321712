"""Loss and gradient over a fixed set of samples, and L-BFGS on them."""

import math

import numpy as np

from fastbp.kernels import lbfgs
from fastbp.kernels.atomics import SYNC_SIZE
from fastbp.kernels.updates import UPDATES, Rule
from fastbp.training.network import aligned_arrays, parameter_views
from fastbp.training.problem import NO_ORDER, make_samples
from fastbp.training.threads import run_team, team_size
from fastbp.training.workspace import flops_per_row, make_strips, make_workspace, slabs_of

EVALUATIONS = 1.25  # per iteration, roughly


def loss_and_gradient(network, params, X, Y, sample_weight=None, *, alpha, gradient=None, n_threads=None):
    """scikit-learn's objective over all rows as one batch.

    Parameters
    ----------
    network : Network
    params : ndarray of shape (n_parameters,)
    X, Y, sample_weight : see `make_samples`
    alpha : float
        L2 penalty.
    gradient : ndarray of shape (n_parameters,) or None
        Where the gradient goes.
    n_threads : int or None

    Returns
    -------
    loss : float
    """
    objective = Objective(network, X, Y, sample_weight, alpha=alpha, n_threads=n_threads)
    loss = objective(params)
    if gradient is not None:
        gradient[:] = objective.gradient
    return loss


class Objective:
    """Loss and gradient over a fixed set of samples, and the way down to their minimum.

    Parameters
    ----------
    network : Network
    X, Y, sample_weight : see `make_samples`
    alpha : float
        L2 penalty.
    rows : ndarray of int64 or None
        The rows of X that count, without a copy of them; all by default.
    n_calls : int
        How often it will be asked about, at most.
    n_threads : int or None
    in_one_block : bool
        Keeps the deltas of all rows.
    sync : ndarray or None
        By which another thread can tell a call to stop, see `run_team`.

    Attributes
    ----------
    gradient : ndarray of shape (n_parameters,)
        Gradient at the last parameters asked about.
    """

    def __init__(
        self, network, X, Y, sample_weight=None, *, alpha, rows=None, n_calls=1, n_threads=None, in_one_block=False, sync=None
    ):  # fmt: skip
        samples = make_samples(X, Y, sample_weight)
        n_rows, is_sparse = X.shape[0] if rows is None else len(rows), samples.table.is_sparse
        row_work = flops_per_row(network)
        self.work = row_work * n_rows
        n_slabs = 1 if in_one_block else slabs_of(network, n_rows, is_sparse)
        workspace = make_workspace(
            network, X.dtype, n_rows, n_threads=team_size(n_threads, self.work, self.work * n_calls), n_slabs=n_slabs,
            gathered=None if rows is None else samples, in_one_block=in_one_block,
        )  # fmt: skip
        shared_work = self.work if n_slabs > 1 else row_work * min(workspace.block_rows, n_rows)
        self.n_threads = team_size(n_threads, shared_work, self.work * n_calls)
        strips = make_strips(network, self.n_threads, is_sparse)
        self.workspace = workspace._replace(strip_norms=np.zeros(len(strips.layers)))
        self.gradient = self.workspace.gradient[: network.n_parameters]
        order = NO_ORDER if rows is None else np.array(rows, dtype=np.int64)
        rule = Rule(UPDATES["gradient"], 0.0, 0.0, 0.0, float(alpha))
        self._params = aligned_arrays(X.dtype, network.n_parameters)[0]
        self._fixed = network, self._params, samples, order, int(rows is not None), self.workspace, strips, rule
        self._sync = np.zeros(SYNC_SIZE, dtype=np.int64) if sync is None else sync

    def __call__(self, params):
        """Loss at params: (n_parameters,); the gradient is then in `gradient`."""
        memory = self.memory(params, n_pairs=0)
        if not self.descend(memory, 0, max_iter=0):
            raise KeyboardInterrupt
        return float(memory.measures[lbfgs.LOSS])

    def memory(self, params, n_pairs=lbfgs.N_PAIRS):
        """Where a run from params, (n_parameters,), begins; n_pairs = 0 is enough for its loss."""
        n = params.size
        vectors = aligned_arrays(np.float64, n, n, *([n] * 3 + [n_pairs * n] * 2 if n_pairs else [0] * 5))
        vectors[0][:] = params
        return lbfgs.Memory(
            np.zeros(6, dtype=np.int64), np.array([np.inf, 1.0]), *vectors, np.zeros(n_pairs), np.zeros(n_pairs)
        )  # fmt: skip

    def descend(self, memory, n_iterations, *, max_iter, max_fun=math.inf, smallest_gradient=0.0):
        """Go on with a run by up to n_iterations; memory.counts[STATUS] tells whether it has ended. Return False after Ctrl-C."""
        memory.counts[lbfgs.IS_OVER] = 0
        arguments = *self._fixed, memory, n_iterations, int(max_iter), float(max_fun), float(smallest_gradient)
        work = self.work * (1 + EVALUATIONS * min(n_iterations, max_iter))
        finished = run_team(lbfgs.lbfgs, self.n_threads, arguments, work, self._sync)
        return finished and memory.counts[lbfgs.STATUS] != lbfgs.INTERRUPTED


def input_gradient(network, params, X, Y, sample_weight=None, *, alpha=0.0):
    """Gradient of the objective by the inputs, δ(1) · W(1)ᵀ over the sum of the weights; shape (n_samples, n_features)."""
    objective = Objective(network, X, Y, sample_weight, alpha=alpha, in_one_block=True)
    objective(params)
    n_rows, width, n_units = X.shape[0], int(network.widths[1]), int(network.units[1])
    deltas = objective.workspace.deltas[: n_rows * width].reshape(n_rows, width)[:, :n_units]
    total = n_rows if sample_weight is None else np.sum(sample_weight, dtype=np.float64)
    coefs, _ = parameter_views(network, params)
    return deltas @ coefs[0].T / params.dtype.type(total)
