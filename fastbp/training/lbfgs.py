"""L-BFGS, with the options scikit-learn passes to scipy's and the messages it gives."""

from typing import Any

import numpy as np

from fastbp.kernels import lbfgs
from fastbp.training.between import Between, Report, time_complaint
from fastbp.training.network import aligned_arrays
from fastbp.training.objective import Objective
from fastbp.training.outcome import CONVERGED, INTERRUPTED, MAX_ITER, TIME_OVER, DivergenceError, Outcome, Run
from fastbp.training.problem import Problem
from fastbp.training.settings import Settings
from fastbp.training.threads import run_team
from fastbp.training.validation import Validation, diverged, stopped
from fastbp.training.workspace import Scratch

MESSAGES = {  # scipy's, behind the number it calls `status`
    lbfgs.MAX_ITER: (1, "STOP: TOTAL NO. OF ITERATIONS REACHED LIMIT"),
    lbfgs.MAX_FUN: (1, "STOP: TOTAL NO. OF F,G EVALUATIONS EXCEEDS LIMIT"),
    lbfgs.NO_DESCENT: (2, "ABNORMAL: "),
}
EVALUATIONS = 1.25  # per iteration, roughly


def make_memory(params: np.ndarray) -> lbfgs.Memory:
    """Where a run from params, (n_parameters,), begins."""
    n, n_pairs = params.size, lbfgs.N_PAIRS
    vectors = aligned_arrays(np.float64, *[n] * 5, *[n_pairs * n] * 2)
    vectors[0][:] = params
    return lbfgs.Memory._make(
        [np.zeros(6, dtype=np.int64), np.array([np.inf, 1.0]), *vectors, np.zeros(n_pairs), np.zeros(n_pairs)]
    )


def descend(
    objective: Objective,
    memory: lbfgs.Memory,
    n_iterations: int,
    *,
    max_iter: int,
    max_fun: float = np.inf,
    smallest_gradient: float = 0.0,
) -> bool:
    """Go on by up to n_iterations; memory.counts[STATUS] tells whether the run has ended. Return False after Ctrl-C."""
    memory.counts[lbfgs.IS_OVER] = 0
    arguments = *objective.fixed, memory, n_iterations, int(max_iter), float(max_fun), float(smallest_gradient)
    work = objective.work * (1 + EVALUATIONS * min(n_iterations, max_iter))
    finished = run_team(lbfgs.lbfgs, objective.n_threads, arguments, work, objective.sync)
    return finished and memory.counts[lbfgs.STATUS] != lbfgs.INTERRUPTED


def train(run: Run, network: Any, problem: Problem, settings: Settings, *, n_threads: int | None, scratch: Scratch) -> Outcome:
    """Minimise the loss over all rows, with a line every `verbose` iterations.

    All is done in float64 whatever the dtype of the weights. Their padding stays zero because its gradient is.
    """
    objective = Objective(
        network, problem, alpha=settings.alpha, n_calls=settings.max_iter, n_threads=n_threads, sync=scratch.sync
    )
    memory = make_memory(run.params)
    counts, measures = memory.counts, memory.measures
    limits: dict[str, Any] = {"max_iter": settings.max_iter, "max_fun": settings.max_fun, "smallest_gradient": settings.tol}
    validation = Validation(run, network, problem, settings, n_threads)
    report = Report(run, settings, validation.is_on) if settings.verbose else None

    def reached() -> np.ndarray:
        return memory.x.astype(run.params.dtype)

    between = Between(run, settings, lambda: validation.kept(reached()), report)
    is_running = True
    while is_running and counts[lbfgs.STATUS] == lbfgs.RUNNING and not (between.ended or validation.is_over):
        try:
            before = int(counts[lbfgs.N_ITER])
            left = settings.max_iter - before
            is_running = descend(objective, memory, between.begin(min(left, 1) if validation.is_on else left), **limits)
            n_iter, loss = int(counts[lbfgs.N_ITER]), float(measures[lbfgs.LOSS])
            run.history.n_iter, run.history.loss = n_iter, loss
            if validation.is_on and n_iter > before:
                run.history.loss_curve.append(loss)
                validation.end_iteration(reached(), loss)
            between.end(n_iter - before, is_running)
        except KeyboardInterrupt:
            is_running = False
        except Exception:
            run.params[:] = memory.x
            validation.leave()
            raise
    if report is not None:
        report.close()
        if validation.is_over:
            report.tell_end()
    n_iter, loss, status = int(counts[lbfgs.N_ITER]), float(measures[lbfgs.LOSS]), int(counts[lbfgs.STATUS])
    run.params[:] = memory.x
    is_diverged = is_running and (status == lbfgs.NOT_FINITE or not np.isfinite(run.params).all())
    run.history.loss, run.history.n_iter = loss, n_iter
    validation.leave()
    if is_diverged and validation.saves():
        return diverged(run, settings)
    if is_diverged:
        raise DivergenceError(
            "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
            f" The loss of lbfgs or its gradient is not finite in iteration {n_iter + 1}: scale X (and y) as StandardScaler does,"
            " or start with smaller weights (init_scale). The last finite weights are in coefs_ and intercepts_."
        )
    if not is_running:
        return Outcome(INTERRUPTED)
    if validation.is_over:
        return stopped(run, settings)
    if between.ended and status == lbfgs.RUNNING:
        return Outcome(between.ended, time_complaint(settings, n_iter) if between.ended == TIME_OVER else "")
    if status not in MESSAGES:
        return Outcome(CONVERGED)
    number, message = MESSAGES[status]
    number = 1 if counts[lbfgs.N_EVALUATIONS] > settings.max_fun else number
    return Outcome(MAX_ITER, _complaint(number, message, n_iter, settings.max_iter))


def _complaint(status: int, message: str, n_iter: int, max_iter: int) -> str:
    text = f"lbfgs failed to converge after {n_iter} iteration(s) (status={status}):\n{message}\n"
    if n_iter == max_iter:
        text += f"\nIncrease the number of iterations to improve the convergence (max_iter={max_iter})."
    return (
        text
        + "\nYou might also want to scale the data as shown in:\n    https://scikit-learn.org/stable/modules/preprocessing.html"
    )
