"""Training on an encoded table: single networks, for how long, and several side by side."""

import functools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.metrics import r2_score

from fastbp.estimators import parameters
from fastbp.estimators.base import fitted_copy
from fastbp.estimators.settings import settings_of
from fastbp.estimators.targets import Targets
from fastbp.tabular.monitor import Monitor
from fastbp.tabular.recipe import (
    FEW_EPOCHS,
    GENTLER,
    LITTLE_NOISE,
    LOWER_RATES,
    MANY_ROWS,
    MUCH_NOISE,
    OWN_RATES,
    Preset,
    shorter_and_longer,
)
from fastbp.training.fit import fit_network
from fastbp.training.outcome import DivergenceError
from fastbp.training.problem import Problem
from fastbp.training.threads import allowed_threads, run_pool
from fastbp.training.workspace import Scratch

TIMED_EPOCHS = 2  # for `max_time`
FEWEST_TRIAL_ROWS = 50  # a fifth of fewer rows says nothing about the noise


class Trial(NamedTuple):
    """A network that is trained on some rows, to be judged by the others: row indices, and a seed."""

    held_out: np.ndarray
    others: np.ndarray
    seed: int

    def task(self, max_iter: int) -> tuple[None, np.ndarray, int, int]:
        """Return the arguments of `Trainer.train`."""
        return None, self.others, self.seed, max_iter


class Workers:
    """Threads that train networks side by side; each network has as many further threads as are left for it."""

    def __init__(self, n_networks: int, n_threads: int | None) -> None:
        n_allowed = allowed_threads(n_threads)
        self.n_workers = min(n_networks, n_allowed)
        self.scratches = [Scratch() for _ in range(self.n_workers)]
        self.n_each = max(1, n_allowed // self.n_workers)

    def side_by_side(self, train: Callable[..., Any], tasks: Any) -> list[Any]:
        """Return train(*task, scratch) for each task."""
        results: list[Any] = [None] * len(tasks)

        def work(number: int, scratch: Any) -> None:
            results[number] = train(*tasks[number], scratch)

        if run_pool(work, range(len(tasks)), self.scratches):
            raise KeyboardInterrupt
        return results


def trained_network(
    model: Any, X: np.ndarray, targets: Targets, weights: Any, rows: Any, fitted: Any, seed: int, scratch: Any, n_threads: int,
    monitored: Callable[..., Any] | None = None, coded: dict[str, Any] | None = None,
) -> Any:  # fmt: skip
    """Return a trained network; where the training diverges at the recipe's learning rate, it is repeated more gently.

    rows: indices of the rows to train on, None for all; fitted: further attributes of the fitted network; monitored: from model,
    attributes, problem and settings to the settings and options by which the training reports; coded: settings of the last
    columns, which hold codes of categories.
    """
    parameters.check_parameters(model)
    diverged: Any = None
    for attempt in _attempts(model):
        settings = settings_of(attempt, targets.loss)._replace(
            **(coded or {}), decay_schedule="flat_cos", dropout_schedule="flat_cos", groups=targets.groups
        )
        problem = Problem(X, targets.Y, weights, row_indices=rows, n_outputs=targets.n_outputs)
        options: dict[str, Any] = {}
        if monitored is not None:
            settings, options = monitored(attempt, fitted, problem, settings)
        random_state = np.random.RandomState(seed)
        try:
            result = fit_network(settings, problem, random_state, scratch=scratch, n_threads=n_threads, **options)
            return fitted_copy(attempt, fitted, result.completed(), settings)
        except DivergenceError as error:
            diverged = error
    raise diverged


def _attempts(model: Any) -> Iterator[Any]:
    """Yield a network and, if it has a learning rate of the recipe, others with lower rates."""
    yield model
    if model.learning_rate_init in OWN_RATES:
        for factor in LOWER_RATES:
            yield clone(model).set_params(learning_rate_init=factor * model.learning_rate_init, **GENTLER)


class Trainer(Workers):
    """Trains the networks of a table.

    network_of: from n_rows, max_iter and seed to a network; ranked: X with ranks, for every other network that is kept, or None;
    fitted: further attributes of fitted networks; coded: settings of the columns of codes.
    """

    def __init__(
        self, network_of: Callable[..., Any], X: np.ndarray, ranked: np.ndarray | None, targets: Targets, weights: Any,
        fitted: dict[str, Any], *, coded: dict[str, Any], n_networks: int, n_threads: int | None, monitor: Monitor,
    ) -> None:  # fmt: skip
        self._network_of, self._fitted, self._targets, self._monitor = network_of, fitted, targets, monitor
        self._X, self._ranked, self._Y, self._weights, self._coded = X, ranked, targets.Y, weights, coded
        super().__init__(n_networks, n_threads)
        self.epochs_left = math.inf  # of single networks, summed over workers

    def train(self, number: int | None, rows: Any, seed: int, max_iter: int, scratch: Any) -> Any:
        """Return a network trained on the numbered rows, or on all if `rows` is None; number: of one that is kept, which is
        reported on, None for others."""
        model = self._network_of(len(self._X) if rows is None else len(rows), max_iter, int(seed))
        X, fitted = self._X, self._fitted
        if self._ranked is not None and number is not None and number % 2:
            X, fitted = self._ranked, fitted | {"_sees_ranks": True}
        monitored = None if number is None else functools.partial(self._monitor.monitored, number)
        return trained_network(
            model, X, self._targets, self._weights, rows, fitted, seed, scratch, self.n_each, monitored, self._coded
        )

    def keep_within(self, max_time: float, rows: Any, seed: int) -> None:
        """Limit the epochs to those that so many seconds suffice for; two epochs on such rows are timed."""
        begun = time.monotonic()
        self.train(None, rows, seed, 1, self.scratches[0])  # compiles, or loads compiled code
        started = time.monotonic()
        self.train(None, rows, seed, TIMED_EPOCHS, self.scratches[0])
        epoch = (time.monotonic() - started) / TIMED_EPOCHS
        self.epochs_left = (max_time - (time.monotonic() - begun)) * self.n_workers / max(epoch, 1e-9)

    def trials(self, n_trials: int, n_epochs: int, n_kept: int, random_state: Any) -> list[Trial]:
        """Draw trials; none if there are too few rows, or no time for n_kept epochs after n_epochs of each trial."""
        n_taken = n_epochs * max(n_trials, self.n_workers)
        if len(self._X) < FEWEST_TRIAL_ROWS or self.epochs_left <= n_taken + n_kept:
            return []
        self.epochs_left -= n_taken
        orders = [(random_state.permutation(len(self._X)), random_state.randint(2**31 - 1)) for _ in range(n_trials)]
        n_held_out = len(self._X) // 5
        return [Trial(order[:n_held_out], order[n_held_out:], seed) for order, seed in orders]

    def tried_epochs(self, preset: Preset, n_trials: int, random_state: Any, n_needed: int) -> int:
        """Return the number of epochs for regression, found by trials; n_needed: the least number of networks to keep."""
        max_iter = preset.max_iter
        if len(self._X) > MANY_ROWS and preset.short_max_iter < max_iter:
            trials = self.trials(1, FEW_EPOCHS, max_iter * n_needed, random_state)
            return FEW_EPOCHS if trials and self._explained(trials, FEW_EPOCHS) < MUCH_NOISE else max_iter
        shorter, longer = shorter_and_longer(preset, len(self._X))
        trials = [] if longer == max_iter else self.trials(n_trials, max_iter + longer, longer * n_needed, random_state)
        if not trials:
            return max_iter
        share = self._explained(trials, max_iter)
        if share > LITTLE_NOISE and self._explained(trials, longer) > share:
            return longer
        return shorter if share < MUCH_NOISE else max_iter

    def _explained(self, trials: Any, max_iter: int) -> float:
        """Return R² on the held-out fifth of the rows, the mean over the trials."""

        def explained(trial: Trial, network: Any) -> float:
            rows = trial.held_out
            weights = None if self._weights is None else self._weights[rows]
            predicted = network._outputs(self._X[rows])[:, : self._Y.shape[1]]  # of means and spreads the means
            return r2_score(self._Y[rows], predicted, sample_weight=weights)

        networks = self.side_by_side(self.train, [trial.task(max_iter) for trial in trials])
        return float(np.mean([explained(*each) for each in zip(trials, networks, strict=True)]))
