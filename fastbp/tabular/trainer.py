"""Training on an encoded table: single networks, for how long, and several side by side."""

import functools
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.metrics import r2_score

from fastbp.estimators import parameters
from fastbp.estimators.base import fitted_copy
from fastbp.estimators.settings import settings_of
from fastbp.estimators.targets import Targets
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
from fastbp.tabular.watching import Watching
from fastbp.training.fit import fit_network
from fastbp.training.outcome import DivergenceError
from fastbp.training.problem import Problem
from fastbp.training.threads import allowed_threads, run_pool
from fastbp.training.workspace import Scratch

TIMED_EPOCHS = 2  # by which `max_time` is kept
FEWEST_TRIAL_ROWS = 50  # a fifth of fewer says nothing of the noise


class Trial(NamedTuple):
    """A network that is trained to learn from the rows that it does not see: numbers of rows, and a seed."""

    held_out: np.ndarray
    others: np.ndarray
    seed: int

    def task(self, max_iter: int) -> tuple[np.ndarray, int, int]:
        """What `Trainer.train` takes."""
        return self.others, self.seed, max_iter


class Workers:
    """Threads on which networks are trained side by side, each with as many threads as are left for it."""

    def __init__(self, n_networks: int, n_threads: int | None) -> None:
        n_allowed = allowed_threads(n_threads)
        self.n_workers = min(n_networks, n_allowed)
        self.scratches = [Scratch() for _ in range(self.n_workers)]
        self.n_each = max(1, n_allowed // self.n_workers)

    def side_by_side(self, train: Callable[..., Any], tasks: Any) -> list[Any]:
        """Return what `train` (*task, scratch) returns for each task."""
        results: list[Any] = [None] * len(tasks)

        def work(number: int, scratch: Any) -> None:
            results[number] = train(*tasks[number], scratch)

        if run_pool(work, range(len(tasks)), self.scratches):
            raise KeyboardInterrupt
        return results


def trained_network(
    model: Any, X: np.ndarray, targets: Targets, weights: Any, rows: Any, fitted: Any, seed: int, scratch: Any, n_threads: int,
    told: Callable[..., Any] | None = None, coded: dict[str, Any] | None = None,
) -> Any:  # fmt: skip
    """Return a network, unfitted so far, trained on the numbered rows, on all if `rows` is None; if that diverges with the rate
    of the recipe, trained anew more gently; told: from model, attributes, problem and settings to the settings and options with
    which the training is told of; coded: settings of the last columns, which hold codes of categories."""
    parameters.check_parameters(model)
    data = X, targets, weights, rows, fitted, seed, scratch, n_threads, told, coded or {}
    try:
        return _trained_once(model, *data)
    except DivergenceError:
        if model.learning_rate_init not in OWN_RATES:
            raise
    for factor in LOWER_RATES:
        rate = factor * model.learning_rate_init
        try:
            return _trained_once(clone(model).set_params(learning_rate_init=rate, **GENTLER), *data)
        except DivergenceError:
            if factor == LOWER_RATES[-1]:
                raise


def _trained_once(
    model: Any, X: np.ndarray, targets: Targets, weights: Any, rows: Any, fitted: Any, seed: int, scratch: Any, n_threads: int,
    told: Callable[..., Any] | None, coded: dict[str, Any],
) -> Any:  # fmt: skip
    settings = settings_of(model, targets.loss)._replace(
        **coded, decay_schedule="flat_cos", dropout_schedule="flat_cos", groups=targets.groups
    )
    problem = Problem(X, targets.Y, weights, row_indices=rows, n_outputs=targets.n_outputs)
    options: dict[str, Any] = {}
    if told is not None:
        settings, options = told(model, fitted, problem, settings)
    result = fit_network(settings, problem, np.random.RandomState(seed), scratch=scratch, n_threads=n_threads, **options)
    return fitted_copy(model, fitted, result.completed(), settings)


class Trainer(Workers):
    """What all networks of a table share: rows (n_rows, n_inputs), targets, weights of rows or None, attributes of fitted
    networks, settings of the columns of codes, and threads; `network_of` (n_rows, max_iter, seed) makes a
    network. Of ranked rows, if there are such, every other one that is kept sees these."""

    def __init__(
        self,
        network_of: Callable[..., Any],
        X: np.ndarray,
        ranked: np.ndarray | None,
        targets: Targets,
        weights: Any,
        fitted: Any,
        *,
        coded: dict[str, Any],
        n_networks: int,
        n_threads: int | None,
        watching: Watching,
    ) -> None:
        self._network_of, self._fitted, self._targets, self._watching = network_of, fitted, targets, watching
        self._ranked = ranked
        self._X, self._Y, self._weights, self._coded = X, targets.Y, weights, coded
        super().__init__(n_networks, n_threads)
        self.epochs_left = math.inf  # of single networks, summed over workers

    def train(self, rows: Any, seed: int, max_iter: int, scratch: Any, number: int | None = None) -> Any:
        """Return a network trained on the numbered rows, on all if `rows` is None; number: of one that is kept."""
        model = self._network_of(len(self._X) if rows is None else len(rows), max_iter, int(seed))
        X, fitted = self._X, self._fitted
        if self._ranked is not None and number is not None and number % 2:
            X, fitted = self._ranked, fitted | {"_sees_ranks": True}
        told = None if number is None else functools.partial(self._watching.of_network, number)
        return trained_network(
            model, X, self._targets, self._weights, rows, fitted, seed, scratch, self.n_each, told, self._coded
        )

    def train_kept(self, number: int, rows: Any, seed: int, max_iter: int, scratch: Any) -> Any:
        """Return a network as `train` does, whose training is told of."""
        return self.train(rows, seed, max_iter, scratch, number)

    def keep_within(self, max_time: float, rows: Any, seed: int) -> None:
        """Limit the epochs to those for which so many seconds suffice, by two of a network on such rows that are timed."""
        begun = time.monotonic()
        self.train(rows, seed, 1, self.scratches[0])  # compiles, or loads what is compiled
        started = time.monotonic()
        self.train(rows, seed, TIMED_EPOCHS, self.scratches[0])
        epoch = (time.monotonic() - started) / TIMED_EPOCHS
        self.epochs_left = (max_time - (time.monotonic() - begun)) * self.n_workers / max(epoch, 1e-9)

    def trials(self, n_trials: int, n_epochs: int, n_kept: int, random_state: Any) -> list[Trial]:
        """Draw trials; none where the rows are too few, or where after n_epochs of each there is no time for n_kept."""
        n_taken = n_epochs * max(n_trials, self.n_workers)
        if len(self._X) < FEWEST_TRIAL_ROWS or self.epochs_left <= n_taken + n_kept:
            return []
        self.epochs_left -= n_taken
        orders = [(random_state.permutation(len(self._X)), random_state.randint(2**31 - 1)) for _ in range(n_trials)]
        n_held_out = len(self._X) // 5
        return [Trial(order[:n_held_out], order[n_held_out:], seed) for order, seed in orders]

    def tried_epochs(self, preset: Preset, n_trials: int, random_state: Any, n_needed: int) -> int:
        """Return for how many epochs to train n_needed networks and more on numbers, by trials."""
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
        """The share of the variance of a fifth of the rows that a network explains, trained on the others; the mean of trials."""

        def explained(trial: Trial, network: Any) -> float:
            rows = trial.held_out
            weights = None if self._weights is None else self._weights[rows]
            predicted = network._outputs(self._X[rows])[:, : self._Y.shape[1]]  # of means and spreads the means
            return r2_score(self._Y[rows], predicted, sample_weight=weights)

        networks = self.side_by_side(self.train, [trial.task(max_iter) for trial in trials])
        return float(np.mean([explained(*each) for each in zip(trials, networks, strict=True)]))
