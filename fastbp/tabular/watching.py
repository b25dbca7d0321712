"""Who looks on as the networks of a table are trained: rows to look at, a scorer, lines to print, and callbacks."""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from fastbp.estimators.base import fitted_copy


class Looked(NamedTuple):
    """Rows of the user's to look at: encoded, with targets as the networks have them, and as he gave them."""

    X: np.ndarray
    Y: np.ndarray
    weights: np.ndarray | None
    y: Any


class Watching:
    """What the trainings of the networks that are kept tell, and to whom.

    Parameters
    ----------
    verbose : int
        Every how many epochs a line is printed; 0 is never.
    hooks : Hooks or None
        The callbacks'.

    Attributes
    ----------
    n_networks : int
        How many are trained.
    looked : Looked or None
        Rows to look at.
    score : callable or None
        From a network to its score on these rows, if that is none that the kernels know.
    scores : dict of int to list of float
        What it said after each epoch, by the number of the network.
    seen : callable
        From whether a network sees ranks, and encoded rows, to rows as it sees them.
    underway : dict of int to callable
        From a run to the network that it has trained by now, by the number of the run.
    """

    def __init__(self, verbose: int = 0, hooks: Any = None) -> None:
        self._verbose, self._hooks = verbose, hooks
        self.n_networks = 1
        self.looked: Looked | None = None
        self.score: Any = None
        self.scores: dict[int, list[float]] = {}
        self._lock = threading.Lock()
        self.underway: dict[int, Any] = {}
        self._bar: _Bar | None = None
        self.seen: Callable[[bool, np.ndarray], np.ndarray] = lambda are_ranks, X: X

    def say(self, text: str) -> None:
        """Print a line, if anything is to be printed."""
        if self._verbose:
            print(text, flush=True)

    @contextmanager
    def training(self, n_networks: int) -> Iterator[None]:
        """While so many networks are trained, which on a terminal share a line."""
        from fastbp.training.between import is_terminal

        self.n_networks = n_networks
        self._bar = _Bar(n_networks) if self._verbose and n_networks > 1 and is_terminal() else None
        try:
            yield
        finally:
            if self._bar is not None:
                self._bar.close()

    def of_network(
        self, number: int, model: Any, attributes: dict[str, Any], problem: Any, settings: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Return the settings and options with which the training of a network tells what is wanted."""
        from fastbp.training.fit import Fitted
        from fastbp.training.network import network_for
        from fastbp.training.outcome import Run
        from fastbp.training.problem import Problem

        if self.looked is not None:
            X = self.seen(attributes.get("_sees_ranks", False), self.looked.X)
            problem.held_out = Problem(X, self.looked.Y, self.looked.weights, n_outputs=problem.n_outputs)
        told: dict[str, Any] = {"first_number": number * settings.n_restarts}
        if self.n_networks > 1:
            told["name"] = f"Network {number + 1} of {self.n_networks}"
        if self._bar is not None:
            self._bar.n_epochs = self.n_networks * settings.n_restarts * settings.max_iter
            settings = settings._replace(verbose=0)
        else:
            settings = settings._replace(verbose=self._verbose)
        if self._hooks is not None or self._bar is not None or (self.score is not None and self.looked is not None):
            network = told["network"] = network_for(settings, problem.n_features, problem.n_outputs, problem.dtype)

            def trained_now(run: Any) -> Any:
                ended = Run(run.shown(), None, history=run.history.copied())
                return fitted_copy(model, attributes, Fitted(network, problem, ended, np.empty(0), False), settings)

            told["hooks"] = _Told(self, number, trained_now)
        return settings, told


class _Bar:
    """The line on a terminal about all networks, which are trained side by side: how many of their epochs are done."""

    def __init__(self, n_networks: int) -> None:
        from fastbp.training.between import LiveLine

        self.n_epochs, self._n_networks, self._n_done = 0, n_networks, 0  # n_epochs: at most
        self._line, self._lock = LiveLine(), threading.Lock()
        self._last: dict[int, tuple[float, float]] = {}

    def end(self, run: Any) -> None:
        """An epoch of a run has ended."""
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


class _Told:
    """What one network's training tells; see Hooks in training/between.py."""

    def __init__(self, watching: Watching, number: int, trained_now: Any) -> None:
        self._watching, self._number, self._trained_now = watching, number, trained_now
        self._hooks = watching._hooks

    def begin_start(self, run: Any) -> None:
        """A start begins."""
        self._watching.underway[run.number] = self._trained_now
        if self._hooks is not None:
            self._hooks.begin_start(run)

    def begin(self, run: Any) -> None:
        """An epoch begins."""
        if self._hooks is not None:
            self._hooks.begin(run)

    def end(self, run: Any) -> bool:
        """An epoch has ended."""
        watching = self._watching
        if watching._bar is not None:
            watching._bar.end(run)
        if watching.score is not None and watching.looked is not None:
            score = watching.score(self._trained_now(run))
            with watching._lock:
                watching.scores.setdefault(self._number, []).append(score)
        return self._hooks is not None and self._hooks.end(run)

    def end_start(self, run: Any) -> bool:
        """The training is over."""
        return self._hooks is not None and self._hooks.end_start(run)


def expected(n_networks: int, max_iter: int, early_stopping: bool) -> Any:
    """What callbacks are told beforehand of a fit: how many networks, and for how many epochs at most."""
    return SimpleNamespace(
        n_restarts=n_networks, max_iter=max_iter, solver="adamw", early_stopping=early_stopping, record_gradient_norms=False
    )


def mean_curve(curves: list[list[float]]) -> list[float]:
    """Return the mean of curves, epoch by epoch, of those that are that long."""
    longest = max(map(len, curves))
    padded = np.full((len(curves), longest), np.nan)
    for row, curve in zip(padded, curves, strict=True):
        row[: len(curve)] = curve
    return np.nanmean(padded, axis=0).tolist()
