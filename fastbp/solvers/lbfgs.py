"""L-BFGS through scipy, with the options scikit-learn passes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import OptimizeResult, minimize


class Outcome(NamedTuple):
    """How a run ended: the loss at the final parameters, the iterations, and why it did not converge."""

    loss: float
    n_iter: int
    outcome: str
    complaint: str = ""


def train_lbfgs(
    objective: Any, params: np.ndarray, *, max_iter: int, max_fun: int, tol: float, report: Callable[[int, float], None]
) -> Outcome:
    """Minimise `objective(params) -> loss`, whose `gradient` is that of the last call; `params` is updated in place.

    scipy works in float64 whatever the dtype of `params`. The padding in `params` stays zero because its gradient is.
    """
    best_loss, n_iter = np.inf, 0

    def loss_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal best_loss
        loss = objective(x)
        if loss < best_loss:
            best_loss = loss
            params[:] = x
        # scipy keeps what it is given, so it must not be the buffer that the next call overwrites
        return loss, objective.gradient.astype(np.float64)

    def count(_: np.ndarray) -> None:
        nonlocal n_iter
        n_iter += 1
        report(n_iter, best_loss)

    options = {"maxfun": max_fun, "maxiter": max_iter, "gtol": tol}
    try:
        start = params.astype(np.float64)
        result = minimize(loss_and_gradient, start, method="L-BFGS-B", jac=True, options=options, callback=count)
    except KeyboardInterrupt:
        return Outcome(float(best_loss), n_iter, "interrupted")
    if not (np.isfinite(result.fun) and np.isfinite(result.x).all()):
        raise ValueError(
            "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
            f" The loss of lbfgs was no longer finite in iteration {n_iter + 1}: scale X (and y) as StandardScaler does, or"
            " start with smaller weights (init_scale). The last finite weights are in coefs_ and intercepts_."
        )
    params[:] = result.x
    complaint = _complaint(result, max_iter)
    return Outcome(float(result.fun), min(result.nit, max_iter), "max_iter" if complaint else "converged", complaint)


def _complaint(result: OptimizeResult, max_iter: int) -> str:
    if result.status == 0:
        return ""
    n_iter = min(result.nit, max_iter)
    text = f"lbfgs failed to converge after {n_iter} iteration(s) (status={result.status}):\n{result.message}\n"
    if n_iter == max_iter:
        text += f"\nIncrease the number of iterations to improve the convergence (max_iter={max_iter})."
    return (
        text
        + "\nYou might also want to scale the data as shown in:\n    https://scikit-learn.org/stable/modules/preprocessing.html"
    )
