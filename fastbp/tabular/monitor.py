"""What is reported while the networks of a table are trained: scores of validation rows, printed lines, and callbacks."""

import itertools
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from fastbp.estimators.base import fitted_copy


class ValidationRows(NamedTuple):
    """The user's validation rows, encoded; their targets as the networks have them, their weights, and the targets as given."""

    X: np.ndarray
    Y: np.ndarray
    weights: np.ndarray | None
    y: Any


class Monitor:
    """Reports on the trainings of the networks that are kept; verbose: print a line after every so many epochs, 0 for none."""

    def __init__(self, verbose: int = 0) -> None:
        self._verbose = verbose
        self._lock = threading.Lock()
        self._bar: _Bar | None = None
        self.hooks: Any = None  # of the user's callbacks
        self.n_networks = 1
        self.validation: ValidationRows | None = None
        self.score: Any = None  # from a network to its score on the validation rows, if the kernels do not know this score
        self.scores: dict[int, list[float]] = {}  # these scores after each epoch, by the number of the network
        self.underway: dict[int, Any] = {}  # by the number of a run: from the run to its network as it is trained now
        # From whether a network sees ranks, and encoded rows, to its inputs.
        self.seen: Callable[[bool, np.ndarray], np.ndarray] = lambda are_ranks, X: X

    def say(self, text: str) -> None:
        """Print a line if `verbose`."""
        if self._verbose:
            print(text, flush=True)

    @contextmanager
    def training(self, n_networks: int) -> Iterator[None]:
        """Report on so many networks, on a terminal in one line for all."""
        from fastbp.training.between import is_terminal

        self.n_networks = n_networks
        self._bar = _Bar(n_networks) if self._verbose and n_networks > 1 and is_terminal() else None
        try:
            yield
        finally:
            if self._bar is not None:
                self._bar.close()

    def monitored(
        self, number: int, model: Any, attributes: dict[str, Any], problem: Any, settings: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Return the settings, and further options of the training, by which a network's training reports."""
        from fastbp.training.fit import Fitted
        from fastbp.training.network import network_for
        from fastbp.training.outcome import Run
        from fastbp.training.problem import Problem

        self.scores.pop(number, None)  # from a training that diverged
        if self.validation is not None:
            X = self.seen(attributes.get("_sees_ranks", False), self.validation.X)
            problem.held_out = Problem(X, self.validation.Y, self.validation.weights, n_outputs=problem.n_outputs)
        options: dict[str, Any] = {"first_number": number * settings.n_restarts}
        if self.n_networks > 1:
            options["name"] = f"Network {number + 1} of {self.n_networks}"
        if self._bar is not None:
            self._bar.n_epochs = self.n_networks * settings.n_restarts * settings.max_iter
        settings = settings._replace(verbose=0 if self._bar is not None else self._verbose)
        if self.hooks is not None or self._bar is not None or (self.score is not None and self.validation is not None):
            network = options["network"] = network_for(settings, problem.n_features, problem.n_outputs, problem.dtype)

            def trained_now(run: Any) -> Any:
                ended = Run(run.shown(), None, history=run.history.copied())
                return fitted_copy(model, attributes, Fitted(network, problem, ended, np.empty(0), False), settings)

            options["hooks"] = _NetworkHooks(self, number, trained_now)
        return settings, options


class _Bar:
    """The line on a terminal for all networks, which are trained side by side: how many of their epochs are done."""

    def __init__(self, n_networks: int) -> None:
        from fastbp.training.between import LiveLine

        self.n_epochs, self._n_networks, self._n_done = 0, n_networks, 0  # n_epochs: at most
        self._line, self._lock = LiveLine(), threading.Lock()
        self._last: dict[int, tuple[float, float]] = {}

    def end(self, run: Any) -> None:
        """Count an epoch of a run."""
        history = run.history
        with self._lock:
            self._n_done += 1
            self._last[run.number] = history.loss, history.validation_scores[-1] if history.validation_scores else math.nan
            loss, score = np.mean(list(self._last.values()), axis=0)
            text = f"Iteration {self._n_done} of {self.n_epochs} ({self._n_networks} networks), loss = {loss:.8f}"
            text += "" if math.isnan(score) else f", Validation score: {score:f}"
            self._line.draw(text, self._n_done, self.n_epochs - self._n_done)

    def close(self) -> None:
        """Leave the last state of the line."""
        self._line.close()


class _NetworkHooks:
    """The hooks of one network's training; see Hooks in training/between.py."""

    def __init__(self, monitor: Monitor, number: int, trained_now: Any) -> None:
        self._monitor, self._number, self._trained_now = monitor, number, trained_now
        self._hooks = monitor.hooks

    def begin_start(self, run: Any) -> None:
        """Begin a training."""
        self._monitor.underway[run.number] = self._trained_now
        if self._hooks is not None:
            self._hooks.begin_start(run)

    def begin(self, run: Any) -> None:
        """Begin an epoch."""
        if self._hooks is not None:
            self._hooks.begin(run)

    def end(self, run: Any) -> bool:
        """End an epoch; return whether to stop."""
        monitor = self._monitor
        if monitor._bar is not None:
            monitor._bar.end(run)
        if monitor.score is not None and monitor.validation is not None:
            score = monitor.score(self._trained_now(run))
            with monitor._lock:
                monitor.scores.setdefault(self._number, []).append(score)
        return self._hooks is not None and self._hooks.end(run)

    def end_start(self, run: Any) -> bool:
        """End a training; return whether to stop."""
        return self._hooks is not None and self._hooks.end_start(run)


def expected(n_networks: int, max_iter: int, early_stopping: bool) -> Any:
    """Return what callbacks are told of a fit beforehand: the number of networks, and of their epochs at most."""
    return SimpleNamespace(
        n_restarts=n_networks, max_iter=max_iter, solver="adamw", early_stopping=early_stopping, record_gradient_norms=False
    )


def mean_curve(curves: list[list[float]]) -> list[float]:
    """Return the mean of curves, epoch by epoch; shorter ones count as far as they go."""
    padded = np.array(list(zip(*itertools.zip_longest(*curves, fillvalue=np.nan))))
    return np.nanmean(padded, axis=0).tolist()
