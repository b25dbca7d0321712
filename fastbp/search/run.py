"""Runs the fits of a search on threads, as kernels release the GIL. The main thread shows progress and sees Ctrl-C."""

import sys
import time
import warnings

from fastbp.search.fits import Fit, StartCache
from fastbp.search.plan import Plan
from fastbp.search.results import Result
from fastbp.training.threads import available_cores, run_pool
from fastbp.training.workspace import Scratch

PATIENCE = 0.5  # seconds in which fits may end after Ctrl-C


def run_fits(plan: Plan, fits: list[Fit], n_threads: int, verbose: int) -> tuple[list[Result], bool]:
    """Run all fits; return the results, candidate by candidate, and whether Ctrl-C came, so that some are not finished.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C came before any fit was finished.
    """
    n_threads = min(n_threads, len(fits))
    n_inner_threads = max(1, available_cores() // n_threads)
    starts = StartCache(2 * n_threads)
    results = [Result()] * len(fits)
    finished: list[int] = []

    def run_fit(i: int, scratch: Scratch) -> None:
        results[i] = fits[i].run(starts, scratch, n_inner_threads)
        finished.append(i)

    progress = _Progress(fits, results, finished, verbose)
    scratches = [Scratch() for _ in range(n_threads)]
    is_interrupted = run_pool(run_fit, plan.order(fits), scratches, watch=progress.show, patience=PATIENCE)
    progress.show(at_end=True)
    results = list(results)  # a copy: a fit that has not ended may still write to the other list
    if is_interrupted:
        n_finished = sum(result.is_finished for result in results)
        if not n_finished:
            raise KeyboardInterrupt
        warnings.warn(
            f"Search interrupted by user: {n_finished} of {len(fits)} fits are finished, the others score NaN.", stacklevel=3
        )
    return results, is_interrupted


class _Progress:
    """Prints progress: a line that counts the fits, or with verbose > 1 a line for each fit."""

    def __init__(self, fits: list[Fit], results: list[Result], finished: list[int], verbose: int) -> None:
        self.fits, self.results, self.finished, self.verbose = fits, results, finished, verbose
        self.n_shown = 0
        self.start = self.last = time.monotonic()

    def show(self, at_end: bool = False) -> None:
        """Print the fits that have finished since the last call."""
        n_finished, now = len(self.finished), time.monotonic()
        if self.verbose > 1:
            for i in self.finished[self.n_shown : n_finished]:
                self._show_fit(self.fits[i].candidate.params, self.results[i])
            self.n_shown = n_finished
        elif self.verbose == 1:
            is_terminal = sys.stdout.isatty()
            if at_end or (n_finished > self.n_shown and now - self.last > (0.2 if is_terminal else 10)):
                self.n_shown, self.last = n_finished, now
                line = f"{n_finished} of {len(self.fits)} fits finished, {now - self.start:.0f} s"
                print(line, end="\r" if is_terminal and not at_end else "\n", flush=True)

    def _show_fit(self, params: dict, result: Result) -> None:
        names = ", ".join(f"{name}={params[name]}" for name in sorted(params))
        scores = ", ".join(f"{name}={score:.3f}" for name, score in (result.test_scores or {}).items()) or "failed"
        print(f"[CV] END {names}; {scores} total time={result.fit_time + result.score_time:.2f}s", flush=True)
