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


def is_terminal() -> bool:
    """Whether what is printed goes to a terminal; what stands in for one may not say."""
    return bool(getattr(sys.stdout, "isatty", bool)())


class LiveLine:
    """A line on a terminal that is written over and over, with the time taken and the most that is left."""

    def __init__(self) -> None:
        self._began, self._drawn, self._text = time.monotonic(), -math.inf, ""

    def draw(self, text: str, n_done: int, n_left: int, deadline: float = math.inf) -> None:
        """Write the line anew, unless that was done a moment ago: after n_done epochs, before n_left more at most."""
        now, self._text = time.monotonic(), text
        if now - self._drawn < REDRAWN:
            return
        self._drawn, taken = now, now - self._began
        left = min(taken / max(n_done, 1) * n_left, deadline - now)
        self._write(f"{text}, {taken:.0f} s, at most {max(left, 0.0):.0f} s more")

    def close(self) -> None:
        """Leave the last state of the line on the terminal."""
        if self._text:
            self._write(f"{self._text}, {time.monotonic() - self._began:.0f} s", end="\n")

    def _write(self, text: str, end: str = "") -> None:
        print(f"{CLEAR}{text[: shutil.get_terminal_size().columns - 1]}", end=end, flush=True)


class Report:
    """The lines of a verbose run, in scikit-learn's words; on a terminal one line that is written over and over."""

    def __init__(self, run: Run, settings: Settings, has_scores: bool = False) -> None:
        self._run, self._settings, self._has_scores = run, settings, has_scores
        self._n_iter, self._first = 0, run.history.n_iter
        self._learning_rate = float(settings.learning_rate_init) if run.optimizer is None else run.optimizer.learning_rate
        self._is_adaptive = SOLVERS[settings.solver].has_schedule and settings.learning_rate == "adaptive"
        self._live = LiveLine() if not run.name and is_terminal() else None

    def __call__(self, run: Run) -> None:
        """Tell of the last epoch, unless that was done."""
        history = run.history
        if history.n_iter == self._n_iter:
            return
        self._n_iter = history.n_iter
        lines = [f"Iteration {history.n_iter}, loss = {history.loss:.8f}"]
        if self._has_scores:
            lines.append(f"Validation score: {history.validation_scores[-1]:f}")
        if self._live is not None:
            n_done = self._n_iter - self._first
            self._live.draw(", ".join(lines), n_done, self._settings.max_iter - n_done, run.deadline)
        else:
            for line in lines:
                run.say(line)
        if self._is_adaptive and run.optimizer.learning_rate != self._learning_rate:
            self._learning_rate = run.optimizer.learning_rate
            self._say(f"{self._no_improvement()} Setting learning rate to {self._learning_rate:f}")

    def close(self) -> None:
        """Leave the last state of the line on the terminal."""
        if self._live is not None:
            self._live.close()

    def tell_end(self) -> None:
        """Tell why training stopped."""
        self._say(f"{self._no_improvement()}{' Learning rate too small.' if self._is_adaptive else ''} Stopping.")

    def _say(self, line: str) -> None:
        if self._live is not None:
            print(CLEAR, end="")
        self._run.say(line)

    def _no_improvement(self) -> str:
        settings = self._settings
        what = "Validation score" if settings.early_stopping else "Training loss"
        return f"{what} did not improve more than tol={settings.tol:f} for {settings.n_iter_no_change} consecutive epochs."
