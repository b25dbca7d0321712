"""What a run leaves behind: its weights, its history, and how it ended."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from fastbp.names import LOSSES, SOLVERS
from fastbp.training.kept import KeptVectors
from fastbp.training.settings import Settings

CONVERGED, MAX_ITER, INTERRUPTED, DIVERGED = "converged", "max_iter", "interrupted", "diverged"
TIME_OVER, HALTED = "time_over", "halted"  # by max_time, by a callback
LARGE = 30  # standardised numbers are seldom larger


class DivergenceError(ValueError):
    """Training produced a loss or weights that are NaN or infinite; the last finite weights were kept."""


@dataclass
class History:
    """What a run records; the estimators copy most of it to attributes of the same names with an underscore."""

    loss: float = math.nan
    loss_curve: list[float] = field(default_factory=list)
    n_before: int = 0  # epochs before those of loss_curve
    gradient_norms: list[list[float]] = field(default_factory=list)  # per epoch and layer
    best_loss: float = math.inf
    validation_scores: list[float] = field(default_factory=list)
    validation_loss_curve: list[float] = field(default_factory=list)
    best_validation_score: float = -math.inf
    best_params: np.ndarray | None = None
    n_iter: int = 0
    t: int = 0
    no_improvement_count: int = 0
    # only if alpha is estimated
    alpha: float | None = None
    noise_variance: float | None = None
    n_effective_parameters: float | None = None

    @property
    def n_epochs(self) -> int:
        """Number of epochs so far, including earlier trainings."""
        return self.n_before + len(self.loss_curve)

    @property
    def is_last_best(self) -> bool:
        """Whether the last epoch has the best validation score."""
        return bool(self.validation_scores) and self.best_epoch == len(self.validation_scores)

    @property
    def best_epoch(self) -> int:
        """Number of the epoch with the best validation score, from 1 on."""
        scores = [-math.inf if math.isnan(score) else score for score in self.validation_scores]
        return 1 + scores.index(max(scores))

    def copied(self) -> "History":
        """Return a copy that does not change while training continues."""
        lists: dict[str, Any] = {name: [*value] for name, value in vars(self).items() if isinstance(value, list)}
        return replace(self, **lists)

    def kept_best(self, network: Any) -> KeptVectors | None:
        """Return the best weights in a form that outlives the fit."""
        return None if self.best_params is None else KeptVectors(network, [self.best_params])


class Outcome(NamedTuple):
    """How a run ended, and the text of the warning about it.

    The status is CONVERGED, MAX_ITER, TIME_OVER, HALTED, INTERRUPTED or DIVERGED. With DIVERGED, the weights with the best
    validation score are kept.
    """

    status: str
    complaint: str = ""


@dataclass
class Run:
    """The training from one start. Training changes `params`, `history` and `optimizer` in place."""

    params: np.ndarray
    random_state: Any
    history: History = field(default_factory=History)
    optimizer: Any = None
    number: int = 0
    is_drawn: bool = False  # whether params are new weights, not the user's or those of an earlier training
    name: str = ""
    test: Any = None  # Samples whose outputs are wanted at the end, if the solver can compute them on the way
    test_outputs: np.ndarray | None = None
    outcome: Outcome = field(default_factory=lambda: Outcome(INTERRUPTED))
    error: ValueError | None = None
    is_refused: bool = False  # set before an error about the user's input, which is no divergence
    order: np.ndarray | None = None  # order of the rows in which a stochastic solver ended
    left: np.ndarray | None = None  # weights at the end, which early stopping replaces by the best
    deadline: float = math.inf  # on the monotonic clock
    hooks: Any = None  # Hooks of training/between.py, or None
    # For hooks: a copy of the weights that would be kept if training ended now, and a function from these to the network's layout
    shown: Callable[[], np.ndarray] | None = None
    outward: Callable[[np.ndarray], np.ndarray] | None = None

    def quality(self, early_stopping: bool) -> tuple[bool, float, int]:
        """Return a key that is larger for a better run; no two are equal, so the order in which runs end does not matter."""
        value = self.history.best_validation_score if early_stopping else -self.history.loss
        return self.error is None, -math.inf if math.isnan(value) else value, -self.number

    def say(self, text: str) -> None:
        """Print a line, after the run's name if it has one, in one call: other threads may print too."""
        print(f"{self.name}, {text[0].lower()}{text[1:]}\n" if self.name else f"{text}\n", end="")


def outcome_of(status: str, run: Run, settings: Settings, complaint: str = "") -> Outcome:
    """Return the outcome of a run, with the warning that belongs to its status; complaint: a warning of the solver's own."""
    is_stochastic = SOLVERS[settings.solver].is_stochastic
    unit, n_iter = "epoch" if is_stochastic else "iteration", run.history.n_iter
    is_score_of_sklearn = settings.score in ("accuracy", "r2")  # scikit-learn does not warn then
    if status == TIME_OVER:
        complaint = (
            f"Training ended after {unit} {n_iter} as max_time={settings.max_time:g} seconds were over, and hasn't converged yet;"
            " the weights so far are kept."
        )
    elif status == DIVERGED:
        complaint = (
            f"The loss or the outputs were no longer finite after {unit} {n_iter}; the weights with the best validation score are"
            " kept."
        )
    elif status == CONVERGED and settings.early_stopping and run.history.is_last_best and not is_score_of_sklearn:
        complaint = (
            f"The last {unit} has the best validation score, though it rose by less than tol={settings.tol:g} in"
            f" {settings.n_iter_no_change:g} {unit}s: lower tol, or raise n_iter_no_change (40 does well on small tables)."
        )
    return Outcome(status, complaint)


def explain_divergence(run: Run, problem: Any, settings: Settings, n_codes: int) -> None:
    """Add to the error or the warning of a run that diverged how large the data are, and what to try.

    n_codes: number of the last columns of X, which hold codes of categories.
    """
    largest = {"X": _largest(problem.X if n_codes == 0 else problem.X[:, :-n_codes])}
    if LOSSES[settings.loss].is_regression:
        largest["y"] = _largest(problem.Y)
        if problem.Y.shape == problem.X.shape and largest["y"] == largest["X"]:  # an autoencoder's
            del largest["y"]
    large = [name for name, value in largest.items() if value > LARGE]
    remedies = {"X": "scale X (StandardScaler)", "y": "scale y (target_scaling, or another unit)"}
    tries = [remedies[name] for name in large]
    if SOLVERS[settings.solver].is_stochastic:
        tries.append(f"lower learning_rate_init from {run.optimizer.learning_rate_init:g}")
    else:
        tries.append("start with smaller weights (init_scale)")
    values = " and ".join(f"{name} (up to {value:.3g})" for name, value in largest.items() if name in large or not large)
    advice = f"The values of {values} are {'' if large else 'not '}large: {', or '.join(tries)}."
    if run.error is None:
        run.outcome = run.outcome._replace(complaint=f"{run.outcome.complaint} {advice}")
    else:
        begin = "Solver produced non-finite parameter weights."  # scikit-learn's words
        if large:
            begin += " The input data may contain large values and need to be preprocessed."
        run.error.args = (f"{begin} {run.error} {advice} The last finite weights are kept.",)


def _largest(values: Any) -> float:
    """Return the largest absolute value, without a copy; values: an array, or a sparse matrix."""
    stored = values.data if hasattr(values, "indptr") else values
    return float(max(np.nanmax(stored), -np.nanmin(stored))) if stored.size else 0.0
