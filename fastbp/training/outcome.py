"""What a run leaves behind: its weights, its history, and how it ended."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from fastbp.training.kept import KeptVectors

CONVERGED, MAX_ITER, INTERRUPTED, DIVERGED = "converged", "max_iter", "interrupted", "diverged"
TIME_OVER, HALTED = "time_over", "halted"  # by max_time, by a callback


class DivergenceError(ValueError):
    """Training produced a loss or weights that are NaN or infinite; the last finite weights were kept."""


@dataclass
class History:
    """What is recorded of a run; the estimators' attributes of the same names come from here."""

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
    alpha: float | None = None  # these three only where alpha is estimated
    noise_variance: float | None = None
    n_effective_parameters: float | None = None

    @property
    def n_epochs(self) -> int:
        """Epochs that are done, those of earlier trainings too."""
        return self.n_before + len(self.loss_curve)

    @property
    def is_best_the_last(self) -> bool:
        """Whether the best validation score is that of the last epoch."""
        return bool(self.validation_scores) and self.best_epoch == len(self.validation_scores)

    @property
    def best_epoch(self) -> int:
        """Number, from 1 on, of the epoch with the best validation score."""
        scores = [-math.inf if math.isnan(score) else score for score in self.validation_scores]
        return 1 + scores.index(max(scores))

    def copied(self) -> "History":
        """As it is now, while training goes on."""
        return replace(
            self,
            loss_curve=[*self.loss_curve],
            gradient_norms=[*self.gradient_norms],
            validation_scores=[*self.validation_scores],
            validation_loss_curve=[*self.validation_loss_curve],
        )

    def kept_best(self, network: Any) -> KeptVectors | None:
        """The best weights as they outlive the fit."""
        return None if self.best_params is None else KeptVectors(network, [self.best_params])


class Outcome(NamedTuple):
    """How a run ended: CONVERGED, MAX_ITER, TIME_OVER, HALTED, INTERRUPTED or DIVERGED (the weights with the best validation
    score are kept), and what to warn of."""

    status: str
    complaint: str = ""


@dataclass
class Run:
    """The training of one start: `params`, `history` and `optimizer` change in place."""

    params: np.ndarray
    random_state: Any
    history: History = field(default_factory=History)
    optimizer: Any = None
    number: int = 0
    is_drawn: bool = False  # whether params are new weights, not a user's own or those of an earlier training
    name: str = ""
    test: Any = None  # Samples whose outputs are wanted at the end, if the solver can give them along the way
    test_outputs: np.ndarray | None = None
    outcome: Outcome = field(default_factory=lambda: Outcome(INTERRUPTED))
    error: ValueError | None = None
    is_refused: bool = False  # set before an error that is of what the user has handed in, not of a training that diverged
    order: np.ndarray | None = None  # of the rows, as a stochastic solver has left it
    left: np.ndarray | None = None  # the weights likewise, which early stopping replaces by the best
    deadline: float = math.inf  # on the monotonic clock
    hooks: Any = None  # Hooks of training/between.py, or None
    # For hooks: a copy of the weights that would be kept if training ended now, and what brings it into the network's layout.
    shown: Callable[[], np.ndarray] | None = None
    outward: Callable[[np.ndarray], np.ndarray] | None = None

    def quality(self, early_stopping: bool) -> tuple[bool, float, int]:
        """Return what is higher for a better run and never equal for two, as the choice must not depend on which ends first."""
        value = self.history.best_validation_score if early_stopping else -self.history.loss
        return self.error is None, -math.inf if math.isnan(value) else value, -self.number

    def say(self, text: str) -> None:
        """Print a line, with the run's name if it has one, in one piece: others may be printing too."""
        print(f"{self.name}, {text[0].lower()}{text[1:]}\n" if self.name else f"{text}\n", end="")
