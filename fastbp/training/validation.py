"""Rows that validate a training, and what their scores decide, for solvers that go iteration by iteration.

Solvers that go epoch by epoch score the rows within their compiled loop (kernels/epochs.py). The rules by which a run stops and
the best weights are kept are the same compiled ones.
"""

from typing import Any

import numpy as np

from fastbp.kernels import epochs
from fastbp.names import CONSTANT, SCORES
from fastbp.training.outcome import Run
from fastbp.training.predict import predict_outputs
from fastbp.training.problem import Problem
from fastbp.training.settings import Settings

CHUNK = 512  # rows whose losses are computed together


class Validation:
    """Scores the held-out rows of a problem after each iteration of a run, and notes scores and best weights in its history.

    Attributes
    ----------
    is_on : bool
        Whether the problem has held-out rows; without them, nothing is done.
    decides : bool
        Whether their score decides when to stop and which weights are kept.
    """

    def __init__(self, run: Run, network: Any, problem: Problem, settings: Settings, n_threads: int | None) -> None:
        self._run, self._network, self._settings, self._n_threads = run, network, settings, n_threads
        self._held_out = held_out = problem.held_out
        self.is_on = held_out is not None
        self.decides = self.is_on and settings.early_stopping
        if held_out is None:
            return
        self._n_scored, self._row_losses = 0, np.empty(CHUNK)
        history = run.history
        self._counts = np.array([0, 0, history.no_improvement_count, 0, epochs.RUNNING])
        self._measures = np.array([0.0, history.best_loss, history.best_validation_score])
        self._best = run.params.copy() if history.best_params is None else history.best_params
        self._plan = epochs.EpochPlan(
            batch_size=1, shuffle=epochs.IN_ORDER, gather=0, online=0, schedule=CONSTANT, learning_rate_init=0.0, power_t=0.0,
            tol=float(settings.tol), n_iter_no_change=float(settings.n_iter_no_change), backup_every=1, has_signed_weights=0,
            validate=epochs.BY_CALLER, score=0, averaged_from=0,
        )  # fmt: skip

    @property
    def is_over(self) -> bool:
        """Whether the score has not risen for long enough."""
        return self.decides and self._counts[epochs.STATUS] == epochs.STOPPED

    def end_iteration(self, params: np.ndarray, loss: float) -> None:
        """Score the weights after an iteration, and note the results."""
        if self._held_out is None:
            return
        held_out, settings, history, result = self._held_out, self._settings, self._run.history, np.empty(2)
        has_name = isinstance(settings.score, str)
        outputs = predict_outputs(self._network, params, held_out.X, n_threads=self._n_threads)
        code = SCORES[settings.score if has_name else "loss"]
        epochs.score_rows(self._network, code, outputs.reshape(-1), held_out.samples, self._row_losses, result)
        score = float(result[1])
        if self.decides and not has_name:
            try:
                score = settings.score(self._network, params, held_out)
            except Exception:  # raised by a function of the user's
                self._run.is_refused = True
                raise
        if self.decides:
            epochs.end_epoch(self._plan, self._counts, self._measures, loss, score, params, self._best, 0)
            history.no_improvement_count = int(self._counts[epochs.NO_IMPROVEMENT])
            history.best_validation_score = float(self._measures[epochs.BEST_SCORE])
        self._n_scored += 1
        history.validation_scores.append(score)
        history.validation_loss_curve.append(float(result[0]))

    def kept(self, params: np.ndarray) -> np.ndarray:
        """Return a copy of the weights that would be kept if training ended now with params."""
        return (self._best if self.decides else params).copy()

    def leave(self) -> None:
        """Put the best weights into the run, if the score decides; an iteration that Ctrl-C left unscored does not count."""
        history = self._run.history
        if self.is_on and history.n_iter > self._n_scored:
            del history.loss_curve[self._n_scored - history.n_iter :]
            history.n_iter = self._n_scored
        if self.decides:
            self._run.params[:] = self._best
            history.best_params = self._best

    def saves(self) -> bool:
        """Whether the best weights can replace those of a run that diverged."""
        return self.decides and bool(self._run.history.validation_scores)
