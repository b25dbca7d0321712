"""L-BFGS, with the options that scikit-learn passes to SciPy's, and SciPy's messages."""

import functools
from typing import Any

import numpy as np

from fastbp.kernels import lbfgs
from fastbp.training.between import Between
from fastbp.training.network import aligned_arrays
from fastbp.training.objective import Objective
from fastbp.training.outcome import CONVERGED, DIVERGED, INTERRUPTED, MAX_ITER, DivergenceError, Outcome, Run, outcome_of
from fastbp.training.problem import Problem
from fastbp.training.settings import Settings
from fastbp.training.threads import run_team
from fastbp.training.validation import Validation
from fastbp.training.workspace import Scratch

MESSAGES = {  # SciPy's, after the number that it calls `status`
    lbfgs.MAX_ITER: (1, "STOP: TOTAL NO. OF ITERATIONS REACHED LIMIT"),
    lbfgs.MAX_FUN: (1, "STOP: TOTAL NO. OF F,G EVALUATIONS EXCEEDS LIMIT"),
    lbfgs.NO_DESCENT: (2, "ABNORMAL: "),
}
EVALUATIONS = 1.25  # of the loss per iteration, roughly


def make_memory(n_parameters: int) -> lbfgs.Memory:
    """Return memory for the state of a run."""
    n, n_pairs = n_parameters, lbfgs.N_PAIRS
    vectors = aligned_arrays(np.float64, *[n] * 5, *[n_pairs * n] * 2)
    return lbfgs.Memory._make([np.zeros(6, dtype=np.int64), np.zeros(2), *vectors, np.zeros(n_pairs), np.zeros(n_pairs)])


def begin(memory: lbfgs.Memory, params: np.ndarray) -> None:
    """Set the state to that of a run that begins at params, (n_parameters,)."""
    memory.counts[:] = 0
    memory.measures[:] = np.inf, 1.0
    memory.x[:] = params


def descend(
    objective: Objective,
    memory: lbfgs.Memory,
    n_iterations: int,
    *,
    max_iter: int,
    max_fun: float = np.inf,
    smallest_gradient: float = 0.0,
) -> bool:
    """Do up to n_iterations more; memory.counts[STATUS] tells whether the run has ended. Return False after Ctrl-C."""
    memory.counts[lbfgs.IS_OVER] = 0
    arguments = *objective.fixed, memory, n_iterations, int(max_iter), float(max_fun), float(smallest_gradient)
    work = objective.work * (1 + EVALUATIONS * min(n_iterations, max_iter))
    finished = run_team(lbfgs.lbfgs, objective.n_threads, arguments, work, objective.sync)
    return finished and memory.counts[lbfgs.STATUS] != lbfgs.INTERRUPTED


def train(run: Run, network: Any, problem: Problem, settings: Settings, *, n_threads: int | None, scratch: Scratch) -> Outcome:
    """Minimise the loss over all rows.

    All vectors are float64, whatever the dtype of the weights. Their padding stays zero, because its gradient is zero.
    """
    objective = Objective(network, problem, alpha=settings.alpha, n_calls=settings.max_iter, n_threads=n_threads, scratch=scratch)
    memory = scratch.get(network, problem.dtype, "lbfgs", functools.partial(make_memory, network.n_parameters))
    begin(memory, run.params)
    history = run.history
    counts, measures = memory.counts, memory.measures
    limits: dict[str, Any] = {"max_iter": settings.max_iter, "max_fun": settings.max_fun, "smallest_gradient": settings.tol}
    validation = Validation(run, network, problem, settings, n_threads)

    def reached() -> np.ndarray:
        return memory.x.astype(run.params.dtype)

    between = Between(run, settings, lambda: validation.kept(reached()), validation.is_on)
    is_running = True
    try:
        while is_running and counts[lbfgs.STATUS] == lbfgs.RUNNING and not (between.ended or validation.is_over):
            before = int(counts[lbfgs.N_ITER])
            left = settings.max_iter - before
            is_running = descend(objective, memory, between.begin(min(left, 1) if validation.is_on else left), **limits)
            history.n_iter, history.loss = int(counts[lbfgs.N_ITER]), float(measures[lbfgs.LOSS])
            if validation.is_on and history.n_iter > before:
                history.loss_curve.append(history.loss)
                validation.end_iteration(reached(), history.loss)
            between.end(history.n_iter - before, is_running)
    except KeyboardInterrupt:
        is_running = False
    finally:
        n_iter, status = int(counts[lbfgs.N_ITER]), int(counts[lbfgs.STATUS])
        run.params[:] = memory.x
        are_finite = bool(np.isfinite(run.params).all())  # before the best weights replace them
        history.n_iter, history.loss = n_iter, float(measures[lbfgs.LOSS])
        validation.leave()
        between.close(validation.is_over)
    if is_running and (status == lbfgs.NOT_FINITE or not are_finite):
        if validation.saves():
            return outcome_of(DIVERGED, run, settings)
        raise DivergenceError(f"The loss of lbfgs or its gradient is not finite in iteration {n_iter + 1}.")
    if not is_running:
        return Outcome(INTERRUPTED)
    if validation.is_over:
        return outcome_of(CONVERGED, run, settings)
    if between.ended and status == lbfgs.RUNNING:
        return outcome_of(between.ended, run, settings)
    if status not in MESSAGES:
        return Outcome(CONVERGED)
    number, message = MESSAGES[status]
    number = 1 if counts[lbfgs.N_EVALUATIONS] > settings.max_fun else number
    complaint = f"lbfgs failed to converge after {n_iter} iteration(s) (status={number}):\n{message}\n"
    if n_iter == settings.max_iter:
        complaint += f"\nIncrease the number of iterations to improve the convergence (max_iter={n_iter})."
    scaling = "https://scikit-learn.org/stable/modules/preprocessing.html"
    return Outcome(MAX_ITER, f"{complaint}\nYou might also want to scale the data as shown in:\n    {scaling}")
