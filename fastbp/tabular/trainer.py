"""Training on an encoded table: single networks, for how long, and several side by side."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import r2_score

from fastbp.estimators import parameters
from fastbp.estimators.base import fitted_copy
from fastbp.estimators.settings import settings_of
from fastbp.tabular.recipe import LITTLE_NOISE, MUCH_NOISE, Preset, shorter_and_longer
from fastbp.training.fit import drawn_starts, fit
from fastbp.training.network import network_for
from fastbp.training.problem import Problem
from fastbp.training.threads import allowed_threads, run_pool
from fastbp.training.workspace import Scratch

TIMED_EPOCHS = 2  # by which `max_time` is kept
FEWEST_TRIAL_ROWS = 50  # a fifth of fewer says nothing of the noise


class Trainer:
    """What all networks of a table share: rows (n_rows, n_inputs), targets, (n_rows, 1) of class numbers or (n_rows, n_outputs),
    weights of rows or None, attributes of fitted networks, and threads; `network_of` (n_rows, max_iter, seed) makes a network."""

    def __init__(
        self,
        network_of: Callable[..., Any],
        X: np.ndarray,
        Y: np.ndarray,
        weights: Any,
        n_outputs: int,
        loss: str,
        fitted: Any,
        *,
        n_networks: int,
        n_threads: int | None,
    ) -> None:
        self._network_of, self._fitted, self._loss, self._n_outputs = network_of, fitted, loss, n_outputs
        self._X, self._Y, self._weights = X, Y, weights
        n_allowed = allowed_threads(n_threads)
        self._n_workers = min(n_networks, n_allowed)  # networks side by side, each with as many threads as are left for it
        self._scratches = [Scratch() for _ in range(self._n_workers)]
        self._n_each = max(1, n_allowed // self._n_workers)

    def train(self, rows: Any, seed: int, max_iter: int, scratch: Any) -> Any:
        """Return a network trained on the numbered rows, on all if `rows` is None."""
        model = self._network_of(len(self._X) if rows is None else len(rows), max_iter, int(seed))
        parameters.check_parameters(model)
        settings = settings_of(model, self._loss)._replace(decay_schedule="flat_cos", dropout_schedule="flat_cos")
        network = network_for(settings, self._X.shape[1], self._n_outputs, self._X.dtype)
        problem = Problem(self._X, self._Y, self._weights, numbers=rows, n_outputs=self._n_outputs)
        starts = drawn_starts(network, settings, np.random.RandomState(seed), problem.dtype)
        result = fit(network, problem, settings, starts, scratch=scratch, n_threads=self._n_each)
        if result.run.error is not None:
            raise result.run.error
        if result.is_interrupted:
            raise KeyboardInterrupt
        return fitted_copy(model, self._fitted, result, settings)

    def side_by_side(self, train: Callable[..., Any], tasks: Any) -> list[Any]:
        """Return what `train` (*task, scratch) returns for each task."""
        results: list[Any] = [None] * len(tasks)

        def work(number: int, scratch: Any) -> None:
            results[number] = train(*tasks[number], scratch)

        if run_pool(work, range(len(tasks)), self._scratches):
            raise KeyboardInterrupt
        return results

    def epochs_within(self, max_time: float, rows: Any, seed: int) -> float:
        """Epochs of one network on such rows, summed over workers, for which so many seconds suffice, by two that are timed."""
        begun = time.monotonic()
        self.train(rows, seed, 1, self._scratches[0])  # compiles, or loads what is compiled
        started = time.monotonic()
        self.train(rows, seed, TIMED_EPOCHS, self._scratches[0])
        epoch = (time.monotonic() - started) / TIMED_EPOCHS
        return (max_time - (time.monotonic() - begun)) * self._n_workers / max(epoch, 1e-9)

    def tried_epochs(self, preset: Preset, n_trials: int, random_state: Any, n_epochs: float, n_needed: int) -> tuple[int, float]:
        """Return for how many epochs to train, and how many of n_epochs are left; by trials on four fifths of the rows, if enough
        are left after them for n_needed networks."""
        max_iter, n_rows = preset.max_iter, len(self._X)
        shorter, longer = shorter_and_longer(preset, n_rows)
        n_tried = (max_iter + longer) * max(n_trials, self._n_workers)
        is_of_use = self._loss == "squared_error" and n_rows >= FEWEST_TRIAL_ROWS and longer > max_iter
        if not is_of_use or n_epochs <= n_tried + longer * n_needed:
            return max_iter, n_epochs
        trials = [(random_state.permutation(n_rows), random_state.randint(2**31 - 1)) for _ in range(n_trials)]
        share = self._explained(trials, max_iter)
        if share > LITTLE_NOISE and self._explained(trials, longer) > share:
            max_iter = longer
        elif share < MUCH_NOISE:
            max_iter = shorter
        return max_iter, n_epochs - n_tried

    def _explained(self, trials: Any, max_iter: int) -> float:
        """The share of the variance of a fifth of the rows that a network explains, trained on the others; the mean of trials."""

        def explained(order: np.ndarray, seed: int, scratch: Any) -> float:
            held_out, rows = np.split(order, [len(order) // 5])
            predicted = self.train(rows, seed, max_iter, scratch)._outputs(self._X[held_out])
            weights = None if self._weights is None else self._weights[held_out]
            return r2_score(self._Y[held_out], predicted, sample_weight=weights)

        return float(np.mean(self.side_by_side(explained, trials)))
