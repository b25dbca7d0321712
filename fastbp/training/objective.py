"""Loss and gradient over all rows as one batch."""

from typing import Any

import numpy as np

from fastbp.kernels.objective import IS_COMPLETE, LOSS, evaluate
from fastbp.kernels.updates import StepRule
from fastbp.names import GRADIENT_ONLY
from fastbp.training.network import aligned_arrays, front_views, parameter_views
from fastbp.training.problem import NO_ORDER, Problem
from fastbp.training.threads import run_team, team_size
from fastbp.training.workspace import Scratch, flops_per_row, make_strips, make_workspace, slabs_of


class Objective:
    """scikit-learn's objective: the mean loss over all rows of a problem, with the L2 penalty alpha.

    Parameters
    ----------
    network : Network
    problem : Problem
    alpha : float
    n_calls : int
        Number of calls, at most; it decides how many threads pay.
    n_threads : int or None
    in_one_block : bool
        Whether to keep the deltas of all rows.
    scratch : Scratch or None
        Memory to use; None is new memory.

    Attributes
    ----------
    gradient : ndarray of shape (n_parameters,)
        Gradient at the parameters of the last call.
    work : float
        Floating-point operations of one evaluation.
    fixed : tuple
        The arguments of kernels that do not change: network, params, samples, order, gather, workspace, strips and rule.
    """

    def __init__(
        self,
        network: Any,
        problem: Problem,
        *,
        alpha: float,
        n_calls: int = 1,
        n_threads: int | None = None,
        in_one_block: bool = False,
        scratch: Scratch | None = None,
    ) -> None:
        n_rows, is_sparse, dtype = problem.n_rows, problem.is_sparse, problem.dtype
        gather = problem.row_indices is not None
        row_work = flops_per_row(network)
        self.work = row_work * n_rows

        def make_memory() -> tuple[int, Any, Any, np.ndarray]:
            n_slabs = 1 if in_one_block else slabs_of(network, n_rows, is_sparse)
            workspace = make_workspace(
                network, dtype, n_rows, n_threads=team_size(n_threads, self.work, self.work * n_calls), n_slabs=n_slabs,
                gathered=problem.samples if gather else None, in_one_block=in_one_block,
            )  # fmt: skip
            shared_work = self.work if n_slabs > 1 else row_work * min(workspace.block_size, n_rows)
            size = team_size(n_threads, shared_work, self.work * n_calls)
            strips = make_strips(network, size, is_sparse)
            workspace = workspace._replace(strip_norms=np.zeros(len(strips.layers)))
            return size, workspace, strips, aligned_arrays(dtype, network.n_parameters)[0]

        scratch = scratch or Scratch()
        gathered = gather, problem.samples.n_targets, problem.samples.weights.size > 0
        key = ("objective", n_rows, n_threads, n_calls, is_sparse, in_one_block, *gathered)
        self.n_threads, self.workspace, strips, self._params = scratch.get(network, dtype, key, make_memory)
        self.gradient = self.workspace.gradient[: network.n_parameters]
        order = np.array(problem.row_indices, dtype=np.int64) if gather else NO_ORDER
        rule = StepRule(GRADIENT_ONLY, 0.0, 0.0, 0.0, float(alpha))
        self.fixed = network, self._params, problem.samples, order, int(gather), self.workspace, strips, rule
        self.sync = scratch.sync

    def __call__(self, params: np.ndarray) -> float:
        """Return the loss at params, (n_parameters,), and compute `gradient`."""
        self._params[:] = params
        result = np.zeros(2)
        finished = run_team(evaluate, self.n_threads, (*self.fixed, result), self.work, self.sync)
        if not (finished and result[IS_COMPLETE]):
            raise KeyboardInterrupt
        return float(result[LOSS])


def gradients_at(network: Any, params: np.ndarray, problem: Problem, *, alpha: float) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the loss, its gradient by the flat params, and its gradient by the inputs.

    The latter is δ(1) · W(1)ᵀ, plus δ(L) · Sᵀ for a skip layer S, divided by the sum of the sample weights.
    """
    objective = Objective(network, problem, alpha=alpha, in_one_block=True)
    loss = objective(params)

    def deltas_of(layer: int) -> np.ndarray:
        workspace, width = objective.workspace, int(network.widths[layer])
        at = workspace.block_rows * int(network.first_units[layer])
        return workspace.deltas[at : at + problem.n_rows * width].reshape(-1, width)[:, : network.units[layer]]

    coefs, _ = parameter_views(network, params)
    by_inputs = deltas_of(1) @ coefs[0].T
    if network.skip_layer >= 0:
        by_inputs += deltas_of(network.skip_layer + 1) @ front_views(network, params)["skip"].T
    by_inputs /= params.dtype.type(problem.total_weight())
    if problem.row_indices is not None:  # zero for rows without targets
        by_inputs, by_known = np.zeros((problem.X.shape[0], network.n_features), params.dtype), by_inputs
        by_inputs[problem.row_indices] = by_known
    return loss, objective.gradient, by_inputs
