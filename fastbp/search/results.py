"""The results of fits, in the form of GridSearchCV's cv_results_ and warnings."""

import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.ma import MaskedArray
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning


class Result(NamedTuple):
    """The result of one candidate on one fold."""

    fit_time: float = math.nan
    score_time: float = math.nan
    test_scores: dict[str, float] | None = None  # None: the fit failed or was not finished
    train_scores: dict[str, float] | None = None
    error: str | None = None
    hit_max_iter: bool = False
    n_iter: int = 0  # epochs so far

    @property
    def is_finished(self) -> bool:
        """Whether the fit failed or has scores."""
        return self.error is not None or self.test_scores is not None


def report(results: Sequence[Result], params: Sequence[dict[str, Any]], error_score: Any) -> None:
    """Warn once of all failed fits, or raise if all failed; warn once of all fits that did not converge.

    results: n_candidates · n_splits, candidate by candidate; params: n_candidates.
    """
    n_splits = len(results) // len(params)
    failed = [i for i, result in enumerate(results) if result.error is not None]
    if failed:
        counts = Counter(results[i].error for i in failed)
        details = "Below are more details about the failures:\n" + "\n".join(
            f"{'-' * 80}\n{n} fits failed with the following error:\n{error}" for error, n in counts.items()
        )
        if len(failed) == len(results):
            raise ValueError(
                f"\nAll the {len(results)} fits failed.\nIt is very likely that your model is misconfigured.\n"
                f"You can try to debug the error by setting error_score='raise'.\n\n{details}"
            )
        names = "\n".join(str(params[i]) for i in sorted({i // n_splits for i in failed}))
        warnings.warn(
            f"\n{len(failed)} fits failed out of a total of {len(results)}.\nThe score on these train-test partitions for these"
            f" parameters will be set to {error_score}:\n{names}\nIf these failures are not expected, you can try to debug"
            f" them by setting error_score='raise'.\n\n{details}",
            FitFailedWarning,
            stacklevel=3,
        )
    n_unconverged = sum(result.hit_max_iter for result in results)
    if n_unconverged:
        warnings.warn(
            f"Stochastic Optimizer: {n_unconverged} of {len(results)} fits reached max_iter or max_time and had not converged"
            " yet.",
            ConvergenceWarning,
            stacklevel=3,
        )


def results_table(
    results: Sequence[Result], params: list[dict[str, Any]], names: list[str], error_score: Any, with_train_scores: bool
) -> dict[str, Any]:
    """Return cv_results_ for the scores of these names; results and params as in `report`."""
    shape = len(params), len(results) // len(params)
    table: dict[str, Any] = {}

    def store(name: str, values: Iterable[float], with_splits: bool = False) -> np.ndarray:
        array = np.array(list(values), dtype=np.float64).reshape(shape)
        if with_splits:
            table.update((f"split{split}_{name}", array[:, split]) for split in range(shape[1]))
        means = table[f"mean_{name}"] = np.average(array, axis=1)
        table[f"std_{name}"] = np.sqrt(np.average((array - means[:, np.newaxis]) ** 2, axis=1))
        return means

    store("fit_time", (result.fit_time for result in results))
    store("score_time", (result.score_time for result in results))
    table |= _parameter_columns(params)
    table["params"] = params
    for name in names:
        for part in ("test", "train")[: 1 + with_train_scores]:
            scores = (_scores(result, part, names, error_score)[name] for result in results)
            means = store(f"{part}_{name}", scores, with_splits=True)
            if not np.isfinite(means).all():
                warnings.warn(f"One or more of the {part} scores are non-finite: {means}", UserWarning, stacklevel=3)
            if part == "test":
                worst = 0.0 if np.isnan(means).all() else np.nanmin(means) - 1
                table[f"rank_test_{name}"] = rankdata(-np.nan_to_num(means, nan=worst), method="min").astype(np.int32)
    return table


def _scores(result: Result, part: str, names: list[str], error_score: Any) -> dict[str, float]:
    """Return the scores on the "test" or "train" rows; NaN for a fit that Ctrl-C ended."""
    scores = getattr(result, f"{part}_scores")
    return dict.fromkeys(names, error_score if result.error else math.nan) if scores is None else scores


def _parameter_columns(params: Sequence[dict[str, Any]]) -> dict[str, MaskedArray]:
    """Return one masked array per parameter, of numbers or bools if all values are, else of objects."""
    columns: dict[str, dict[int, Any]] = defaultdict(dict)
    for i, values in enumerate(params):
        for name, value in values.items():
            columns[name][i] = value
    arrays = {}
    for name, column in columns.items():
        try:
            common = np.array(list(column.values()))
            dtype = common.dtype if common.ndim == 1 and common.dtype.kind != "U" else np.dtype(object)
        except ValueError:  # sequences of different lengths
            dtype = np.dtype(object)
        array, mask = np.empty(len(params), dtype=dtype), np.ones(len(params), dtype=bool)
        for i, value in column.items():  # four times as fast as in a masked array
            array[i], mask[i] = value, False
        arrays[f"param_{name}"] = MaskedArray(array, mask=mask)
    return arrays
