"""Training a network from one start or from several, side by side, and choosing the best."""

import copy
import math
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastbp.training import objective
from fastbp.training.lbfgs import train_lbfgs
from fastbp.training.optimizer import Optimizer
from fastbp.training.row_space import RowSpace, is_worth_it
from fastbp.training.stochastic import train_stochastic
from fastbp.training.threads import allowed_threads, run_pool
from fastbp.training.workspace import Scratch


class Rows(NamedTuple):
    """Samples in the dtype of X: inputs, encoded targets, weights; the numbers of the rows that count, None for all; and what the
    kernels take for the first three, if somebody has made that already."""

    X: Any
    Y: np.ndarray
    sample_weight: np.ndarray | None
    numbers: np.ndarray | None = None
    samples: Any = None


@dataclass
class Run:
    """One start of the network: what is trained in place, samples to predict then (see `train_stochastic`), and how it ended."""

    params: np.ndarray
    history: Any
    optimizer: Any
    random_state: Any
    test: Any = None
    number: int = 0
    name: str = ""
    outcome: str = ""
    complaint: str = ""
    error: ValueError | None = None

    def quality(self, early_stopping: bool) -> tuple[bool, float, int]:
        """Return what is higher for a better run and never equal for two, as the choice must not depend on which ends first."""
        value = self.history.best_validation_score if early_stopping else -self.history.loss
        return self.error is None, -math.inf if math.isnan(value) else value, -self.number

    def say(self, text: str) -> None:
        """Print a line, with the run's name if it has one, in one piece: others may be printing too."""
        print(f"{self.name}, {text[0].lower()}{text[1:]}\n" if self.name else f"{text}\n", end="")


def later_states(random_state: np.random.RandomState, n_states: int) -> list[np.random.RandomState]:
    """Random states for the starts after the first, seeded from a copy: the first is to be the one that n_restarts=1 trains."""
    seeds = copy.deepcopy(random_state).randint(2**31 - 1, size=n_states) if n_states else ()
    return [np.random.RandomState(seed) for seed in seeds]


class Training:
    """What all starts of a network have in common.

    Parameters
    ----------
    estimator : BaseBP
        Holds the hyperparameters; nothing in it is changed.
    network : Network
    rows : Rows
        What to train on.
    validation : Rows or None
        What decides when to stop.
    max_iter : int
    """

    def __init__(self, estimator: Any, network: Any, rows: Rows, validation: Rows | None, max_iter: int) -> None:
        self.estimator, self.network, self.rows, self.validation = estimator, network, rows, validation
        self.max_iter = int(max_iter)  # a narrow integer of numpy's would overflow in products
        self.early_stopping = validation is not None
        self._row_space: Any = None
        self._lock = threading.Lock()
        self.batch_size = 0 if estimator.solver == "lbfgs" else self._batch_size()

    def run(
        self, begin: Callable[[int], Run], n_starts: int, scratch: Any = None, n_threads: int | None = None
    ) -> tuple[Run, np.ndarray, bool]:
        """Train every begin(number), side by side on the estimator's threads, or with a scratch one by one on n_threads.

        Returns the best run, the losses of all, and whether Ctrl-C came before the end.
        """
        n_workers = 1
        if scratch is None:
            n_threads = self.estimator.n_threads
            if n_starts > 1:
                n_allowed = allowed_threads(n_threads)
                n_workers = min(n_starts, n_allowed)
                n_threads = n_allowed // n_workers
        scratches = [scratch or Scratch() for _ in range(n_workers)]
        first = begin(0)
        best: Run | None = None
        losses = np.full(n_starts, np.nan)
        lock = threading.Lock()

        def train(number: int, scratch: Any) -> None:
            nonlocal best
            run = begin(number) if number else first
            run.number, run.name = number, f"Start {number + 1} of {n_starts}" if n_starts > 1 else ""
            self._train(run, scratch, n_threads)
            if run.error is None:
                losses[number] = run.history.loss
            with lock:  # all but the best are let go of
                if best is None or run.quality(self.early_stopping) > best.quality(self.early_stopping):
                    best = run
            if run.outcome == "interrupted":
                raise KeyboardInterrupt

        is_interrupted = run_pool(train, range(n_starts), scratches)
        return best or first, losses, is_interrupted

    def _train(self, run: Run, scratch: Any, n_threads: int | None) -> None:
        try:
            if self.estimator.solver == "lbfgs":
                self._train_lbfgs(run, scratch, n_threads)
            else:
                self._train_stochastic(run, scratch, n_threads)
        except ValueError as error:
            run.error = error
        except KeyboardInterrupt:
            run.outcome = "interrupted"
        if run.error is not None or run.outcome == "diverged":
            scratch.forget()

    def _train_lbfgs(self, run: Run, scratch: Any, n_threads: int | None) -> None:
        asked = self.estimator

        def report(n_iter: int, loss: float) -> None:
            run.say(f"Iteration {n_iter}, loss = {loss:.8f}")

        fixed = objective.Objective(
            self.network,
            *self.rows[:3],
            rows=self.rows.numbers,
            alpha=asked.alpha,
            n_calls=self.max_iter,
            n_threads=n_threads,
            sync=scratch.sync,
        )
        options = {"max_iter": self.max_iter, "max_fun": asked.max_fun, "tol": asked.tol, "report_every": int(asked.verbose)}
        outcome = train_lbfgs(fixed, run.params, **options, report=report)
        run.history.loss, run.history.n_iter, run.outcome, run.complaint = outcome

    def _train_stochastic(self, run: Run, scratch: Any, n_threads: int | None) -> None:
        asked = self.estimator
        is_new = run.optimizer is None
        if is_new:
            run.optimizer = Optimizer(
                asked.solver,
                run.params,
                learning_rate_init=asked.learning_rate_init,
                momentum=asked.momentum,
                nesterovs_momentum=asked.nesterovs_momentum,
                beta_1=asked.beta_1,
                beta_2=asked.beta_2,
                epsilon=asked.epsilon,
            )
        report = self._reporter(run) if asked.verbose else None
        options = {
            "score": asked._score,
            "alpha": asked.alpha,
            "batch_size": self.batch_size,
            "learning_rate": asked.learning_rate,
            "power_t": asked.power_t,
            "tol": asked.tol,
            "n_iter_no_change": asked.n_iter_no_change,
            "max_iter": self.max_iter,
            "shuffle": asked.shuffle,
            "random_state": run.random_state,
            "report": report,
            "report_every": int(asked.verbose),
            "n_threads": n_threads,
            "scratch": scratch,
        }
        space = self._space(n_threads) if is_new and run.history.best_params is None else None
        if space is None:
            run.outcome = train_stochastic(
                self.network,
                run.params,
                run.optimizer,
                run.history,
                *self.rows[:3],
                rows=self.rows.numbers,
                samples=self.rows.samples,
                test=run.test,
                validation=self.validation and self.validation[:3],
                **options,
            )
        else:
            self._train_in_span(space, run, options)
        if report is not None:
            report(run.history)
            if run.outcome == "converged":
                too_small = " Learning rate too small." if self._is_adaptive() else ""
                run.say(f"{self._no_improvement()}{too_small} Stopping.")
        if run.outcome == "max_iter":
            run.complaint = (
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet."
            )
        elif run.outcome == "diverged":
            run.complaint = (
                f"The loss or the outputs were no longer finite after epoch {run.history.n_iter}; the weights with the best"
                " validation score are kept. Scale X, or lower learning_rate_init."
            )

    def _space(self, n_threads: int | None) -> Any:
        """Return the rows' span where it pays to train in it, made once for all starts; or None."""
        rows = self.rows
        with self._lock:
            if self._row_space is None:
                n_rows = len(rows.Y if rows.numbers is None else rows.numbers)
                n_rows += len(self.validation.Y) if self.validation else 0
                self._row_space = False
                n_units = int(self.network.units[1])
                if self.estimator.solver == "sgd" and is_worth_it(rows.X, n_rows, n_units, self.batch_size, self.max_iter):
                    space = RowSpace(rows.X, rows.numbers, self.validation and self.validation.X, n_threads)
                    self._row_space = space if np.isfinite(space.X).all() else False
        return self._row_space or None

    def _train_in_span(self, space: Any, run: Run, options: dict[str, Any]) -> None:
        chosen = slice(None) if self.rows.numbers is None else self.rows.numbers
        Y, weights, held_out = self.rows.Y[chosen], self.rows.sample_weight, self.validation
        inner = self.estimator._make_network([space.n_rows + 1, *self.network.units[1:].tolist()], run.params.dtype)
        entered = space.enter(self.network, inner, run.params)
        params, optimizer = entered.copy(), run.optimizer
        try:
            optimizer.moment_1 = np.zeros_like(params)
            run.outcome = train_stochastic(
                inner, params, optimizer, run.history, space.X, Y, None if weights is None else weights[chosen],
                validation=held_out and (space.held_out, *held_out[1:3]), **options,
            )  # fmt: skip
        finally:
            vectors = [params, optimizer.moment_1] + ([] if run.history.best_params is None else [run.history.best_params])
            # Nothing in the layout of the basis may be left behind if the way back is cut short.
            optimizer.moment_1, run.history.best_params = np.zeros_like(run.params), None
            try:
                left = space.leave(self.network, inner, run.params, entered, vectors)
            except KeyboardInterrupt:  # what has been learnt is worth another try
                run.outcome = "interrupted"
                left = space.leave(self.network, inner, run.params, entered, vectors)
            run.params[:], optimizer.moment_1, *best = left
            if best:
                run.history.best_params = best[0]

    def _reporter(self, run: Run) -> Callable[[Any], None]:
        n_iter, learning_rate = 0, run.optimizer.learning_rate

        def report(history: Any) -> None:
            nonlocal n_iter, learning_rate
            if history.n_iter == n_iter:
                return
            n_iter = history.n_iter
            run.say(f"Iteration {history.n_iter}, loss = {history.loss:.8f}")
            if self.early_stopping:
                run.say(f"Validation score: {history.validation_scores[-1]:f}")
            if self._is_adaptive() and run.optimizer.learning_rate != learning_rate:
                learning_rate = run.optimizer.learning_rate
                run.say(f"{self._no_improvement()} Setting learning rate to {learning_rate:f}")

        return report

    def _is_adaptive(self) -> bool:
        return self.estimator.solver == "sgd" and self.estimator.learning_rate == "adaptive"

    def _no_improvement(self) -> str:
        what, asked = "Validation score" if self.early_stopping else "Training loss", self.estimator
        return f"{what} did not improve more than tol={asked.tol:f} for {asked.n_iter_no_change} consecutive epochs."

    def _batch_size(self) -> int:
        batch_size, n_samples = self.estimator.batch_size, len(self.rows.Y if self.rows.numbers is None else self.rows.numbers)
        if batch_size == "auto":
            return min(200, n_samples)
        if batch_size > n_samples:
            warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=5)
        return min(int(batch_size), n_samples)
