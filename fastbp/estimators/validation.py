"""Rows that validate: the user's own, how any of scikit-learn's scorers scores them, and training again when they have served."""

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
    """Refuse options about validation that do not go together; is_given: whether the user has handed rows in."""
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
    """Return the `stacklevel` at which the caller's warning points at the line that called fastbp, past the frames of fastbp
    and scikit-learn."""
    level, frame = 0, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("fastbp", "sklearn"):
        level, frame = level + 1, frame.f_back
    return level


def warn_of_early_stopping(estimator: Any, stacklevel: int) -> bool:
    """Warn where early stopping does what it says and scikit-learn, in silence, ignores it; return whether."""
    differs = estimator.early_stopping is not False and stops_early(estimator) and SOLVERS[estimator.solver].stops_late_elsewhere
    if differs:
        warnings.warn(
            f"early_stopping=True stops solver={estimator.solver!r} by the validation score and keeps the best weights;"
            f" scikit-learn ignores it with this solver. early_stopping={AS_SKLEARN!r} does as scikit-learn: all rows, until it"
            " converges.",
            RuntimeWarning,  # which scikit-learn's numbers and warnings have none of
            stacklevel=stacklevel + 1,
        )
    return differs


def given_rows(estimator: Any, X: Any, X_val: Any, y_val: Any) -> tuple[Any, Any, Any]:
    """Return a user's validation rows, checked against those that are trained on, X, and in their dtype, and which of their
    targets are missing, None for none."""
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


class Score:
    """What one of scikit-learn's scorers says of a network's weights.

    Parameters
    ----------
    estimator : BaseBP
        Whose `scoring` it is.
    y : array
        Targets of the rows that are split.
    y_val : array or None
        Targets of the rows that the user has given instead.
    """

    def __init__(self, estimator: Any, y: Any, y_val: Any) -> None:
        self._scorer = check_scoring(estimator, scoring=estimator.scoring)
        self._estimator, self._y, self._y_val = estimator, y, y_val

    def __call__(self, network: Any, params: np.ndarray, held_out: Any) -> float:
        """Return the score of flat parameters on the rows that were held out."""
        y = self._y_val if held_out.drawn is None else self._y[held_out.drawn]
        weights = {} if held_out.sample_weight is None else {"sample_weight": held_out.sample_weight}
        score = float(self._scorer(self._estimator._with_weights(network, params), held_out.X, y, **weights))
        if math.isnan(score):
            raise ValueError(f"scoring={self._estimator.scoring!r} gave NaN for the validation rows.")
        return score


def score_of(estimator: Any, usual: str, y: Any, y_val: Any) -> Any:
    """Return the score that `scoring` means: a name that kernels know or what calls a scorer; usual: what None means."""
    if estimator.scoring is None or estimator.scoring in ("loss", usual):
        return estimator.scoring or usual
    return Score(estimator, y, y_val)


def refitted(fitted: Any, problem: Any, settings: Any, random_state: Any, scaling: Any) -> Any:
    """Return what a fit without validation rows brings that begins as the best of the starts did, and ends where that was best.

    Parameters
    ----------
    fitted : Fitted
        With the validation rows.
    problem : Problem
        All rows.
    settings : Settings
    random_state : RandomState
        As it was before the first fit.
    scaling : callable or None
        What scales the rows.
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
    """Return a problem with the rows that its user has given for validation among those that are trained on."""
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
