"""L-BFGS, with the options scikit-learn passes to scipy's and the messages it gives."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastbp.kernels import lbfgs

MESSAGES = {  # scipy's, behind the number it calls `status`
    lbfgs.MAX_ITER: (1, "STOP: TOTAL NO. OF ITERATIONS REACHED LIMIT"),
    lbfgs.MAX_FUN: (1, "STOP: TOTAL NO. OF F,G EVALUATIONS EXCEEDS LIMIT"),
    lbfgs.NO_DESCENT: (2, "ABNORMAL: "),
}
ITERATIONS_PER_CALL = 2**40


class Outcome(NamedTuple):
    """How a run ended: the loss at the final parameters, the iterations, and why it did not converge."""

    loss: float
    n_iter: int
    outcome: str
    complaint: str = ""


def train_lbfgs(
    objective: Any,
    params: np.ndarray,
    *,
    max_iter: int,
    max_fun: int,
    tol: float,
    report: Callable[[int, float], None],
    report_every: int = 0,
) -> Outcome:
    """Minimise an `Objective`; `params` is updated in place.

    All is done in float64 whatever the dtype of `params`. The padding in `params` stays zero because its gradient is. `report` is
    called with the iteration and its loss after every `report_every` of them.
    """
    memory = objective.memory(params)
    counts = memory.counts
    is_running = True
    while is_running and counts[lbfgs.STATUS] == lbfgs.RUNNING:
        try:
            is_running = objective.descend(
                memory, report_every or ITERATIONS_PER_CALL, max_iter=max_iter, max_fun=max_fun, smallest_gradient=tol
            )
            n_iter = int(counts[lbfgs.N_ITER])
            if report_every and n_iter and n_iter % report_every == 0 and is_running:
                report(n_iter, float(memory.measures[lbfgs.LOSS]))
        except KeyboardInterrupt:
            is_running = False
    n_iter, loss, status = int(counts[lbfgs.N_ITER]), float(memory.measures[lbfgs.LOSS]), int(counts[lbfgs.STATUS])
    params[:] = memory.x
    if not is_running:
        return Outcome(loss, n_iter, "interrupted")
    if status == lbfgs.NOT_FINITE or not np.isfinite(params).all():
        raise ValueError(
            "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
            f" The loss of lbfgs or its gradient is not finite in iteration {n_iter + 1}: scale X (and y) as StandardScaler does,"
            " or start with smaller weights (init_scale). The last finite weights are in coefs_ and intercepts_."
        )
    if status not in MESSAGES:
        return Outcome(loss, n_iter, "converged")
    number, message = MESSAGES[status]
    number = 1 if counts[lbfgs.N_EVALUATIONS] > max_fun else number
    return Outcome(loss, n_iter, "max_iter", _complaint(number, message, n_iter, max_iter))


def _complaint(status: int, message: str, n_iter: int, max_iter: int) -> str:
    text = f"lbfgs failed to converge after {n_iter} iteration(s) (status={status}):\n{message}\n"
    if n_iter == max_iter:
        text += f"\nIncrease the number of iterations to improve the convergence (max_iter={max_iter})."
    return (
        text
        + "\nYou might also want to scale the data as shown in:\n    https://scikit-learn.org/stable/modules/preprocessing.html"
    )
