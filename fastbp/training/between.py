"""What comes between two calls of a solver's loop: lines, callbacks, and whether the time is over."""

import math
import shutil
import sys
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from fastbp.names import SOLVERS
from fastbp.training.outcome import HALTED, TIME_OVER, Run
from fastbp.training.settings import Settings

EPOCHS_PER_CALL = 1000
REDRAWN = 0.1  # seconds between two states of a line on a terminal
CLEAR = "\r\x1b[K"  # the line there, from its start on


class Hooks(Protocol):
    """What somebody who watches a fit is told, start by start and epoch (or iteration) by epoch; maybe from several threads.

    `end` and `end_start` return whether to stop: that start, or all that have not begun.
    """

    def begin_start(self, run: Run) -> None:
        """A start begins."""

    def begin(self, run: Run) -> None:
        """An epoch of a run begins."""

    def end(self, run: Run) -> bool:
        """It has ended, and the run's history is up to date."""

    def end_start(self, run: Run) -> bool:
        """The training of a start is over."""


class Between:
    """What a trainer asks before each call of its loop, and tells after it.

    Parameters
    ----------
    run : Run
        Its `hooks` are called per epoch, and `deadline` is looked at.
    settings : Settings
    shown : callable
        Returns a copy of the weights that would be kept if training ended now.

    Attributes
    ----------
    ended : str
        Why there is to be no further call: HALTED, TIME_OVER, or nothing.
    """

    def __init__(self, run: Run, settings: Settings, shown: Callable[[], np.ndarray], report: "Report | None" = None) -> None:
        self._run, self._settings, self._hooks = run, settings, run.hooks
        self._report = report
        self._n_done = 0
        self._began = time.monotonic()
        self.ended = ""
        if self._hooks is not None:
            outward = run.outward
            run.shown = shown if outward is None else lambda: outward(shown())

    def begin(self, n_left: int) -> int:
        """Return for how many epochs the loop may be called, of those that are left, after the hooks."""
        n = min(n_left, EPOCHS_PER_CALL)
        if self._report is not None:
            every = self._settings.verbose
            n = min(n, every - self._n_done % every)
        if self._hooks is not None:
            n = 1
            self._hooks.begin(self._run)
        if self._run.deadline < math.inf:
            n = min(n, self._n_in_time())
        return n

    def _n_in_time(self) -> int:
        """As many epochs as take half of the time that is left, should they take as long as those before."""
        if not self._n_done:
            return 1
        now = time.monotonic()
        return max(1, int(0.5 * (self._run.deadline - now) / max(now - self._began, 1e-9) * self._n_done))

    def end(self, n_done: int, is_whole: bool = True) -> None:
        """Tell of n_done more epochs; not whole are those that an interrupt has cut short."""
        self._n_done += n_done
        if not (n_done and is_whole):
            return
        if self._report is not None and self._n_done % self._settings.verbose == 0:
            self._report(self._run)
        if self._hooks is not None and self._hooks.end(self._run):
            self.ended = HALTED
        elif time.monotonic() >= self._run.deadline:
            self.ended = TIME_OVER


def time_complaint(settings: Settings, n_iter: int) -> str:
    """What to warn of after a run that max_time has ended."""
    unit = "epoch" if SOLVERS[settings.solver].is_stochastic else "iteration"
    return (
        f"Training ended after {unit} {n_iter} as max_time={settings.max_time:g} seconds were over, and hasn't converged yet; the"
        " weights so far are kept."
    )


class Report:
    """The lines of a verbose run, in scikit-learn's words; on a terminal one line that is written over and over."""

    def __init__(self, run: Run, settings: Settings, has_scores: bool = False) -> None:
        self._run, self._settings, self._has_scores = run, settings, has_scores
        self._n_iter, self._first, self._line = 0, run.history.n_iter, ""
        self._learning_rate = float(settings.learning_rate_init) if run.optimizer is None else run.optimizer.learning_rate
        self._is_adaptive = SOLVERS[settings.solver].has_schedule and settings.learning_rate == "adaptive"
        self._is_live = not run.name and getattr(sys.stdout, "isatty", bool)()  # what stands in for it may have none
        self._began, self._drawn = time.monotonic(), -math.inf

    def __call__(self, run: Run) -> None:
        """Tell of the last epoch, unless that was done."""
        history = run.history
        if history.n_iter == self._n_iter:
            return
        self._n_iter = history.n_iter
        lines = [f"Iteration {history.n_iter}, loss = {history.loss:.8f}"]
        if self._has_scores:
            lines.append(f"Validation score: {history.validation_scores[-1]:f}")
        self._line = ", ".join(lines)
        if self._is_live:
            self._draw()
        else:
            for line in lines:
                run.say(line)
        if self._is_adaptive and run.optimizer.learning_rate != self._learning_rate:
            self._learning_rate = run.optimizer.learning_rate
            self._say(f"{self._no_improvement()} Setting learning rate to {self._learning_rate:f}")

    def close(self) -> None:
        """Leave the last state of the line on the terminal."""
        if self._is_live and self._line:
            self._write(f"{self._line}, {time.monotonic() - self._began:.0f} s", end="\n")

    def tell_end(self) -> None:
        """Tell why training stopped."""
        self._say(f"{self._no_improvement()}{' Learning rate too small.' if self._is_adaptive else ''} Stopping.")

    def _say(self, line: str) -> None:
        if self._is_live:
            print(CLEAR, end="")
        self._run.say(line)

    def _draw(self) -> None:
        """Write the line anew, with the time taken and the most that is left."""
        now = time.monotonic()
        if now - self._drawn < REDRAWN:
            return
        self._drawn = now
        taken, n_done = now - self._began, self._n_iter - self._first
        left = min(taken / max(n_done, 1) * (self._settings.max_iter - n_done), self._run.deadline - now)
        self._write(f"{self._line}, {taken:.0f} s, at most {max(left, 0.0):.0f} s more")

    def _write(self, text: str, end: str = "") -> None:
        print(f"{CLEAR}{text[: shutil.get_terminal_size().columns - 1]}", end=end, flush=True)

    def _no_improvement(self) -> str:
        settings = self._settings
        what = "Validation score" if settings.early_stopping else "Training loss"
        return f"{what} did not improve more than tol={settings.tol:f} for {settings.n_iter_no_change} consecutive epochs."
