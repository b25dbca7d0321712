"""What happens between two calls of a solver's loop: printed lines, callbacks, and a look at the deadline."""

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
REDRAWN = 0.1  # least seconds between two states of a line on a terminal
CLEAR = "\r\x1b[K"  # clears the line on a terminal


class Hooks(Protocol):
    """Callbacks during a fit, which may come from several threads at once.

    `end` returns whether to stop this run, `end_start` whether to train no further starts.
    """

    def begin_start(self, run: Run) -> None:
        """Called before a run begins."""

    def begin(self, run: Run) -> None:
        """Called before each epoch (or iteration)."""

    def end(self, run: Run) -> bool:
        """Called after each epoch, when the run's history is up to date."""

    def end_start(self, run: Run) -> bool:
        """Called after a run."""


class Between:
    """What a trainer calls before and after each call of its compiled loop.

    Parameters
    ----------
    run : Run
        Its `hooks` are called for each epoch, and its `deadline` is observed.
    settings : Settings
    shown : callable
        Returns a copy of the weights that would be kept if training ended now.
    has_scores : bool
        Whether the lines of a verbose run include validation scores.

    Attributes
    ----------
    ended : str
        Why there must be no further call: HALTED or TIME_OVER, or "" while there may be one.
    """

    def __init__(self, run: Run, settings: Settings, shown: Callable[[], np.ndarray], has_scores: bool) -> None:
        self._run, self._settings, self._hooks = run, settings, run.hooks
        self._report = Report(run, settings, has_scores) if settings.verbose else None
        self._n_done = 0
        self._began = time.monotonic()
        self.ended = ""
        if self._hooks is not None:
            outward = run.outward
            run.shown = shown if outward is None else lambda: outward(shown())

    def begin(self, n_left: int) -> int:
        """Call the hooks, and return how many of the n_left epochs the next call may train."""
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
        """Return how many epochs take half of the time that is left, if each takes as long as those so far."""
        if not self._n_done:
            return 1
        now = time.monotonic()
        return max(1, int(0.5 * (self._run.deadline - now) / max(now - self._began, 1e-9) * self._n_done))

    def end(self, n_done: int, is_whole: bool = True) -> None:
        """Note n_done more epochs, and call the hooks unless an interrupt has cut the epochs short."""
        self._n_done += n_done
        if not (n_done and is_whole):
            return
        if self._settings.verbose and self._n_done % self._settings.verbose == 0:
            self.tell()
        if self._hooks is not None and self._hooks.end(self._run):
            self.ended = HALTED
        elif time.monotonic() >= self._run.deadline:
            self.ended = TIME_OVER

    def tell(self) -> None:
        """Print the last epoch, if the run is verbose."""
        if self._report is not None:
            self._report(self._run)

    def close(self, has_stopped: bool) -> None:
        """Print the last lines; has_stopped: whether a stopping test has ended the training."""
        if self._report is not None:
            self._report.close(has_stopped)


def is_terminal() -> bool:
    """Whether standard output is a terminal; a replacement may have no `isatty`."""
    return bool(getattr(sys.stdout, "isatty", bool)())


class LiveLine:
    """A line on a terminal that is written again and again, with the time taken and an upper limit of the time left."""

    def __init__(self) -> None:
        self._began, self._drawn, self._text = time.monotonic(), -math.inf, ""

    def draw(self, text: str, n_done: int, n_left: int, deadline: float = math.inf) -> None:
        """Write the line again after n_done epochs, with at most n_left more to come, unless that was done a moment ago."""
        now, self._text = time.monotonic(), text
        if now - self._drawn < REDRAWN:
            return
        self._drawn, taken = now, now - self._began
        left = min(taken / max(n_done, 1) * n_left, deadline - now)
        self._write(f"{text}, {taken:.0f} s, at most {max(left, 0.0):.0f} s more")

    def close(self) -> None:
        """Leave the line on the terminal in its last state."""
        if self._text:
            self._write(f"{self._text}, {time.monotonic() - self._began:.0f} s", end="\n")

    def _write(self, text: str, end: str = "") -> None:
        print(f"{CLEAR}{text[: shutil.get_terminal_size().columns - 1]}", end=end, flush=True)


class Report:
    """The lines of a verbose run, in scikit-learn's words; on a terminal, a run without a name has one line."""

    def __init__(self, run: Run, settings: Settings, has_scores: bool = False) -> None:
        self._run, self._settings, self._has_scores = run, settings, has_scores
        self._n_iter, self._first = 0, run.history.n_iter
        self._learning_rate = float(settings.learning_rate_init) if run.optimizer is None else run.optimizer.learning_rate
        self._is_adaptive = SOLVERS[settings.solver].has_schedule and settings.learning_rate == "adaptive"
        self._live = LiveLine() if not run.name and is_terminal() else None

    def __call__(self, run: Run) -> None:
        """Print the last epoch, unless that was done."""
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

    def close(self, has_stopped: bool) -> None:
        """Leave a line of a terminal in its last state; has_stopped: say that a stopping test has ended the training."""
        if self._live is not None:
            self._live.close()
        if has_stopped:
            self._say(f"{self._no_improvement()}{' Learning rate too small.' if self._is_adaptive else ''} Stopping.")

    def _say(self, line: str) -> None:
        if self._live is not None:
            print(CLEAR, end="")
        self._run.say(line)

    def _no_improvement(self) -> str:
        settings = self._settings
        what = "Validation score" if settings.early_stopping else "Training loss"
        return f"{what} did not improve more than tol={settings.tol:f} for {settings.n_iter_no_change} consecutive epochs."
