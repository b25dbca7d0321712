"""Validation rows that a user passes, scores by scikit-learn's scorers, and `refit`."""

import inspect
import math
import warnings
from typing import Any

import numpy as np
from scipy.sparse import vstack
from sklearn.metrics import check_scoring

from fastbp.estimators.inputs import check_rows
from fastbp.estimators.missing import without_missing
from fastbp.estimators.settings import stops_early
from fastbp.names import AS_SKLEARN, SOLVERS


def check_choices(estimator: Any, is_given: bool, resume: bool, incremental: bool) -> None:
    """Raise ValueError for options about validation that do not go together; is_given: whether there is X_val."""
    solver = SOLVERS[estimator.solver]
    is_stopped = stops_early(estimator)
    if estimator.refit:
        if not is_stopped:
            raise ValueError(
                "refit=True trains for the number of epochs that early stopping finds best: it needs early_stopping=True."
            )
        if resume:
            raise ValueError("refit=True starts again from new weights, so it does not go with warm_start=True.")
        if solver.has_schedule and estimator.learning_rate == "adaptive":
            raise ValueError("refit=True does not go with learning_rate='adaptive', which needs the validation score.")
    if estimator.calibration is not None:
        if incremental or not (is_stopped or is_given):
            raise ValueError("calibration needs validation rows: fit with early_stopping=True or X_val.")
        if estimator.refit:
            raise ValueError("calibration needs rows outside of training, so it does not go with refit=True.")
    if estimator.ensemble and (resume or incremental):
        raise ValueError("ensemble=True trains several networks from new weights: it does not go with partial_fit or warm_start.")
    if estimator.ensemble and estimator.refit:
        raise ValueError("refit=True trains one network again, so it does not go with ensemble=True.")
    if is_given and not is_stopped and estimator.scoring not in (None, "loss"):
        raise ValueError("scoring other than 'loss' needs early_stopping=True.")


def stacklevel_of_user() -> int:
    """Return the `stacklevel` for a warning of the caller to point at the first line outside of fastbp and scikit-learn."""
    level, frame = 0, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("fastbp", "sklearn"):
        level, frame = level + 1, frame.f_back
    return level


def warn_of_early_stopping(estimator: Any, stacklevel: int) -> bool:
    """Warn, and return True, if scikit-learn would silently ignore early stopping with this solver."""
    differs = estimator.early_stopping is not False and stops_early(estimator) and SOLVERS[estimator.solver].stops_late_elsewhere
    if differs:
        warnings.warn(
            f"early_stopping=True stops solver={estimator.solver!r} by the validation score and keeps the best weights;"
            f" scikit-learn ignores it with this solver. early_stopping={AS_SKLEARN!r} does as scikit-learn: all rows, until it"
            " converges.",
            RuntimeWarning,
            stacklevel=stacklevel + 1,
        )
    return differs


def given_rows(estimator: Any, X: Any, X_val: Any, y_val: Any) -> tuple[Any, Any, Any]:
    """Return X_val in the dtype of X, y_val, and the mask of missing targets or None, after checks."""
    if y_val is None:
        raise ValueError("X_val is provided, but y_val was not provided.")
    if X_val is None:
        raise ValueError("y_val is provided, but X_val was not provided.")
    y_val, missing = without_missing(estimator, y_val, "y_val", is_whole=False)
    try:
        X_val, y_val = check_rows(estimator, X_val, y_val, reset=False)
    except ValueError as error:
        raise ValueError(f"X_val, y_val: {error}") from error
    return X_val.astype(X.dtype, copy=False), y_val, missing


def score_of(estimator: Any, usual: str, y: Any, y_val: Any) -> Any:
    """Return the score of early stopping: a name in the kernels, or a function of a network, its flat vector and held-out rows.

    usual: the name for ``scoring=None``; y: targets before a split; y_val: targets of X_val, or None.
    """
    if estimator.scoring is None or estimator.scoring in ("loss", usual):
        return estimator.scoring or usual
    scorer = check_scoring(estimator, scoring=estimator.scoring)

    def score(network: Any, params: np.ndarray, held_out: Any) -> float:
        truth = y_val if held_out.drawn is None else y[held_out.drawn]
        weights = {} if held_out.sample_weight is None else {"sample_weight": held_out.sample_weight}
        found = float(scorer(estimator._with_weights(network, params), held_out.X, truth, **weights))
        if math.isnan(found):
            raise ValueError(f"scoring={estimator.scoring!r} gave NaN for the validation rows.")
        return found

    return score


def refitted(fitted: Any, problem: Any, settings: Any, random_state: Any, scaling: Any) -> Any:
    """Return a fit on all rows, for as many epochs as were best in a fit with validation rows.

    It starts from the same initial weights as the best run of `fitted`; random_state: its state before that fit.
    """
    from fastbp.training.fit import drawn_starts, fit_network

    history = fitted.run.history
    again = settings._replace(early_stopping=False, max_iter=history.best_epoch, n_iter_no_change=math.inf)
    starts = drawn_starts(fitted.network, settings, random_state, problem.dtype)
    second = fit_network(again, problem, [starts[fitted.run.number]], network=fitted.network, prepare=scaling)
    kept = ("validation_scores", "validation_loss_curve", "best_validation_score", "best_params")
    vars(second.run.history).update({name: getattr(history, name) for name in kept})
    second.run.outcome = fitted.run.outcome
    return second._replace(problem=fitted.problem, restart_losses=fitted.restart_losses)


def all_rows(problem: Any) -> Any:
    """Return a problem whose training rows include those of X_val."""
    from fastbp.training.problem import Problem

    held_out = problem.held_out
    if held_out is None:
        return problem
    parts = [problem.X, held_out.X]
    X = vstack(parts, format="csr") if problem.is_sparse or held_out.is_sparse else np.concatenate(parts)
    weights = None
    if problem.sample_weight is not None or held_out.sample_weight is not None:
        both = problem, held_out
        weights = np.concatenate([np.ones(part.n_rows) if part.sample_weight is None else part.sample_weight for part in both])
    options: dict[str, Any] = {"n_outputs": problem.n_outputs, "may_miss": problem.may_miss or held_out.may_miss}
    return Problem(X, np.concatenate([problem.Y, held_out.Y]), weights, **options)
