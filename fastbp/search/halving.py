"""Successive halving: after each rung, the best candidates continue their training and the others stop."""

import math
import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from fastbp.names import SOLVERS
from fastbp.search.plan import Plan
from fastbp.search.results import Result
from fastbp.search.run import run_fits

EPOCHS = "epochs"
# For 'auto': scores after a ninth of the epochs tell candidates apart, after a 27th they do not (benchmarks/halving.py).
MOST_RUNGS = 3


class Halving:
    """Successive halving, rung by rung (Jamieson and Talwalkar, Non-stochastic best arm identification, AISTATS 2016).

    Parameters
    ----------
    plan : Plan
    factor : float
        One candidate in `factor` continues, for `factor` times as many epochs.
    min_resources : int, 'auto', 'exhaust' or 'smallest'
        Epochs of the first rung, as in BPSearchCV.

    Attributes
    ----------
    rungs : list of int
        Total epochs at the end of each rung.
    candidates : list of list of int
        Candidates of each rung.
    results : list of list of Result
        Their results in each rung, candidate by candidate.
    is_interrupted : bool
        Whether Ctrl-C came before all fits of the last rung were finished.

    Raises
    ------
    ValueError
        The search does not allow successive halving.
    """

    def __init__(self, plan: Plan, factor: Any, min_resources: Any) -> None:
        if not (isinstance(factor, Real) and 1 < float(factor) < math.inf):
            raise ValueError(f"factor must be a number above 1, got {factor!r}.")
        self._plan, self._factor = plan, float(factor)
        self.max_resources = _max_iter(plan)
        self.rungs = rungs(len(plan.candidates), self.max_resources, self._factor, min_resources)
        self.candidates: list[list[int]] = []
        self.results: list[list[Result]] = []
        self.is_interrupted = False

    def run(self, splits: list[tuple[np.ndarray, np.ndarray]], n_threads: int, verbose: int) -> None:
        """Run all rungs, or those before Ctrl-C."""
        fits: list[Any] = list(self._plan.fits(splits))
        for rung in range(len(self.rungs)):
            try:
                if self._run_rung(rung, fits, len(splits), n_threads, verbose):
                    return
            except KeyboardInterrupt:
                if not self.results:
                    raise
                warnings.warn(
                    f"Search interrupted by user: {len(self.results)} of {len(self.rungs)} rungs are finished.",
                    stacklevel=3,
                )
                return

    def _run_rung(self, rung: int, fits: list[Any], n_splits: int, n_threads: int, verbose: int) -> bool:
        """Train the remaining candidates up to the end of a rung; return whether Ctrl-C came."""
        left, until = self._remaining(n_splits), self.rungs[rung]
        for candidate in set(range(len(self._plan.candidates))) - set(left):  # frees the paused fits
            fits[candidate * n_splits : (candidate + 1) * n_splits] = [None] * n_splits
        chosen = [fits[candidate * n_splits + split] for candidate in left for split in range(n_splits)]
        for fit in chosen:
            fit.until = until
        if verbose > 0:
            print(f"Rung {rung + 1} of {len(self.rungs)}: {len(left)} candidates up to epoch {until}")
        results, is_interrupted = run_fits(self._plan, chosen, n_threads, verbose)
        self.is_interrupted = not all(result.is_finished for result in results)
        self.candidates.append(left)
        self.results.append(results)
        return is_interrupted

    def _remaining(self, n_splits: int) -> list[int]:
        """Return the candidates of the next rung: all, or the best of the last one."""
        if not self.results:
            return list(range(len(self._plan.candidates)))
        left, scores = self.candidates[-1], _mean_scores(self.results[-1], n_splits)
        order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
        return sorted(left[position] for position in order[: math.ceil(len(left) / self._factor)])

    def rows(self) -> tuple[list[Result], list[dict[str, Any]], dict[str, Any]]:
        """Return the results of all rungs, the parameters of their candidates, and the additional columns of cv_results_."""
        results = [result for rung in self.results for result in rung]
        params = [self._plan.candidates[candidate].params for rung in self.candidates for candidate in rung]
        sizes = [len(rung) for rung in self.candidates]
        n_iter = np.array([result.n_iter for result in results]).reshape(len(params), -1)
        columns: dict[str, Any] = {
            "iter": np.repeat(np.arange(len(sizes)), sizes),
            "n_resources": np.repeat(self.rungs[: len(sizes)], sizes),
        }
        columns.update((f"split{split}_n_iter", n_iter[:, split]) for split in range(n_iter.shape[1]))
        return results, params, columns

    def attributes(self) -> dict[str, Any]:
        """Return the attributes that HalvingGridSearchCV has too."""
        return {
            "n_resources_": self.rungs[: len(self.candidates)],
            "n_candidates_": [len(rung) for rung in self.candidates],
            "n_iterations_": len(self.candidates),
            "n_remaining_candidates_": math.ceil(len(self.candidates[-1]) / self._factor),
            "min_resources_": self.rungs[0],
            "max_resources_": self.max_resources,
        }

    def best_index(self, means: np.ndarray) -> int:
        """Return the row of the best candidate of the last complete rung; `means` are the mean test scores of all rows."""
        sizes = [len(rung) for rung in self.candidates]
        last = len(sizes) - 1 - (self.is_interrupted and len(sizes) > 1)
        first = sum(sizes[:last])
        scores = means[first : first + sizes[last]]
        return first if np.isnan(scores).all() else first + int(np.nanargmax(scores))


def rungs(n_candidates: int, max_resources: int, factor: float, min_resources: Any) -> list[int]:
    """Return the epochs at the end of each rung, as in HalvingGridSearchCV, but 'exhaust' and 'auto' end at max_resources."""
    needed, n_left = 1, float(n_candidates)
    while n_left >= factor:  # so that the last compares fewer than factor candidates
        n_left /= factor
        needed += 1
    if min_resources == "auto":
        needed = min(needed, MOST_RUNGS)
    if min_resources in ("auto", "exhaust"):
        found = [int(max_resources / factor ** (needed - 1 - rung)) for rung in range(needed)]
        return sorted({max(1, epochs) for epochs in found})
    least = 1 if min_resources == "smallest" else min_resources
    if isinstance(least, bool) or not isinstance(least, Integral) or not 1 <= int(least) <= max_resources:
        raise ValueError(
            f"min_resources must be 'auto', 'exhaust', 'smallest' or an int from 1 to max_iter={max_resources},"
            f" got {min_resources!r}."
        )
    found = [int(int(least) * factor**rung) for rung in range(needed)]
    return [epochs for epochs in found if epochs <= max_resources]


def _mean_scores(results: Sequence[Result], n_splits: int) -> np.ndarray:
    """Return the mean test score of each candidate, NaN if a fit failed."""
    scores = [math.nan if result.test_scores is None else next(iter(result.test_scores.values())) for result in results]
    return np.array(scores, dtype=float).reshape(-1, n_splits).mean(axis=1)


def _max_iter(plan: Plan) -> int:
    """Return max_iter of all candidates; raise ValueError if they do not allow successive halving."""
    if plan.is_multimetric:
        raise ValueError(f"resource={EPOCHS!r} needs a single score, which decides which candidates continue.")
    for candidate in plan.candidates:
        estimator = candidate.estimator
        obstacle = candidate.obstacle or plan.obstacle
        if obstacle:
            raise ValueError(
                f"resource={EPOCHS!r} is for a BPClassifier of one column of classes or a BPRegressor, alone or at the end of a"
                f" pipeline, with verbose=False. Here, {obstacle}."
            )
        candidate.check({})
        if not SOLVERS[estimator.solver].is_stochastic:
            raise ValueError(f"resource={EPOCHS!r} is for solvers that train in epochs, not for {estimator.solver!r}.")
        if estimator.max_time is not None:
            raise ValueError(f"resource={EPOCHS!r} does not go with max_time={estimator.max_time!r}, because it counts epochs.")
        if estimator.n_restarts > 1:
            raise ValueError(f"resource={EPOCHS!r} does not go with n_restarts={estimator.n_restarts}.")
    found = {int(candidate.estimator.max_iter) for candidate in plan.candidates}
    if len(found) > 1:
        raise ValueError(f"resource={EPOCHS!r} needs the same max_iter for all candidates, got {sorted(found)}.")
    return found.pop()
