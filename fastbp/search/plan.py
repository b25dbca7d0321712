"""The plan of a search: its data, checked once, its scores and its candidates."""

import traceback
import warnings
from collections.abc import Callable
from numbers import Integral, Number
from typing import Any

import numpy as np
import sklearn
from scipy.sparse import issparse
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import ParameterGrid, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state, column_or_1d, indexable
from sklearn.utils.multiclass import type_of_target

from fastbp.estimators import BPClassifier, BPRegressor
from fastbp.estimators.base import BaseBP
from fastbp.estimators.callbacks import has_callbacks
from fastbp.estimators.inputs import pass_door
from fastbp.estimators.missing import without_missing
from fastbp.estimators.targets import check_range, discrete_labels
from fastbp.estimators.validation import warn_of_early_stopping
from fastbp.names import SOLVERS
from fastbp.search.fits import Candidate, Fit, Fold
from fastbp.search.scoring import CLASS_SCORES, REAL_SCORES
from fastbp.search.sizes import suggest_hidden_layer_sizes
from fastbp.search.space import candidates_of, has_distribution

# Since version 1.7, GridSearchCV also passes the sample weights of `fit` to the scorers.
WEIGHTS_REACH_SCORERS = tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 7)


class Plan:
    """A search over networks, alone or at the end of a pipeline.

    Attributes
    ----------
    X, y : as given
    base : estimator
        A clone of the estimator.
    estimator : BaseBP
        The network: base, or its last step.
    last : str or None
        Name of that step.
    obstacle : str
        Why networks cannot be trained on rows of one X, so that each fit is one of the estimator's own; "" if they can.
    checked_X : (X, fitted attributes) or None
        X in the form for the kernels; None if transformers come first.
    targets : ndarray
        y as an array.
    labels, codes : ndarray
        Classes, and the index of the class of each row; labels is None for a regressor.
    weights, score_weights : ndarray of shape (n_samples,) or None
    fit_params : dict
    scorers : dict of str to callable
        Scorers of fitted estimators; the name of a single one is "score".
    direct : dict of str to callable
        Functions that score outputs instead.
    """

    def __init__(self, search: Any, X: Any, y: Any, last: str | None) -> None:
        self.X, self.y = X, y
        self.base, self.last = clone(search.estimator), last
        self.estimator = self.base if last is None else self.base.steps[-1][1]
        self.error_score, self.return_train_score = search.error_score, search.return_train_score
        self.weights: np.ndarray | None = None
        self.score_weights: np.ndarray | None = None
        self.checked_X: Any = None
        self.labels: np.ndarray | None = None
        self.targets: Any = None if issparse(y) else np.asarray(y)
        self.obstacle = self._look_at_data()
        known = set(self.estimator.get_params(deep=False))
        grid = search.param_grid
        if grid is None:
            name = "hidden_layer_sizes" if last is None else f"{last}__hidden_layer_sizes"
            grid = {name: suggest_hidden_layer_sizes(X, y)}
        params_of = candidates_of(grid, search.n_iter, search.random_state)
        self.candidates = [Candidate(params, self.base, last, known) for params in params_of]

    @classmethod
    def make(cls, search: Any, X: Any, y: Any, params: dict[str, Any]) -> "Plan | None":
        """Return the plan of a BPSearchCV, or None if GridSearchCV has to run it (or to raise its errors)."""
        estimator, last = search.estimator, None
        network = estimator
        if type(estimator) is Pipeline and isinstance(estimator.steps, list) and estimator.steps:
            last, network = estimator.steps[-1]
        is_usual = (
            isinstance(network, BaseBP)
            and y is not None
            and _is_splitter(search.cv)
            and getattr(estimator, "transform_input", None) is None
            and (search.n_jobs is None or isinstance(search.n_jobs, Integral))
            and isinstance(search.verbose, int)
            and search.verbose >= 0
            and (isinstance(search.refit, bool | str) or callable(search.refit))
            and isinstance(search.pre_dispatch, int | str)
            and isinstance(search.return_train_score, bool)
            and (search.error_score == "raise" or isinstance(search.error_score, Number))
            and not (params and sklearn.get_config()["enable_metadata_routing"])
            and not any(has_callbacks(part) for part in (search, estimator, network))
        )
        grid = search.param_grid
        if not is_usual or not (grid is None or has_distribution(grid) or len(ParameterGrid(grid))):  # raises if it is no grid
            return None
        X, y = indexable(X, y)
        plan = cls(search, X, y, last)
        return plan if plan._take_scoring(search) and plan._take_fit_params(params) else None

    @property
    def can_batch(self) -> bool:
        """Whether networks can be trained on rows of one X."""
        return not self.obstacle

    def _look_at_data(self) -> str:
        """Check X and y once and encode y; return why `Fit` cannot train on rows of them, "" if it can."""
        y = self.targets
        if not isinstance(self.estimator, BPClassifier | BPRegressor):
            return f"the network is a {type(self.estimator).__name__}"
        if self.estimator.categorical_features is not None:  # each fold learns its own categories
            return f"the network has categorical_features={self.estimator.categorical_features!r}"
        if y is None:
            return "y is sparse"
        if y.ndim not in (1, 2):
            return f"y has {y.ndim} dimensions"
        try:
            if y.shape[1:] == (1,):
                y = self.targets = column_or_1d(y, warn=True)
            if is_classifier(self.estimator):
                if y.ndim > 1:
                    return "y has several columns"
                kind = type_of_target(y)
                if kind not in ("binary", "multiclass"):
                    return f"y holds values of the type {kind!r}, not classes"
                self.labels, self.codes = discrete_labels(y)
            else:
                if y.dtype.kind not in "biuf":
                    return f"y has the dtype {y.dtype}"
                if not np.isfinite(y).all():
                    return "y has NaN or infinite values"
                check_range(y, self.estimator.loss)
            if self.last is None or len(self.base.steps) == 1:
                self.checked_X = pass_door(self.estimator, self.X)
        except (TypeError, ValueError) as error:
            return f"X or y is not valid: {(str(error).strip() or type(error).__name__).splitlines()[0].rstrip('.')}"
        return ""

    def _take_scoring(self, search: Any) -> bool:
        """Set the scorers, and the functions that can replace all of them; return whether they are valid."""
        scoring = search.scoring
        is_single = scoring is None or isinstance(scoring, str) or callable(scoring)
        self.has_names = self.is_multimetric = not is_single
        try:
            specs = {"score": scoring} if is_single else dict(scoring if isinstance(scoring, dict) else zip(scoring, scoring))
            self.scorers = {
                name: spec if is_single and callable(spec) else check_scoring(search.estimator, scoring=spec)
                for name, spec in specs.items()
            }
        except (TypeError, ValueError):
            return False
        if not is_single:
            is_valid = len(specs) == len(scoring) > 0 and all(isinstance(name, str) for name in specs)
            if not is_valid or not (callable(search.refit) or search.refit is False or search.refit in specs):
                return False
        known = REAL_SCORES if self.labels is None else CLASS_SCORES
        self.direct = {
            name: known[spec] for name, spec in specs.items() if spec is None or (isinstance(spec, str) and spec in known)
        }
        # some versions of scikit-learn sum float32 in another way
        is_exact = self.labels is not None or (self.targets is not None and self.targets.dtype == np.float64)
        self.is_direct = self.can_batch and is_exact and len(self.direct) == len(specs)
        return True

    def _take_fit_params(self, params: dict[str, Any]) -> bool:
        """Set groups and sample weights; return whether there are no other parameters."""
        self.fit_params = dict(params)
        self.groups = self.fit_params.pop("groups", None)
        if not self.fit_params:
            return True
        name = "sample_weight" if self.last is None else f"{self.last}__sample_weight"
        if set(self.fit_params) != {name}:
            return False
        values = self.fit_params[name]
        if values is None:
            return True
        if np.shape(values) != (len(self.y),):
            return False
        self.weights = np.asarray(values)
        if self.last is None and WEIGHTS_REACH_SCORERS:
            self.score_weights = self.weights
            return self.is_direct  # GridSearchCV finds out whether a scorer takes weights
        return True

    def split(self, cv: Any) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return (train, test) row indices per fold."""
        y, _ = without_missing(self.estimator, self.y, is_whole=False)
        has_columns = np.ndim(y) == 2 and np.shape(y)[1] > 1  # which no splitter stratifies
        splitter = check_cv(cv, None if has_columns else y, classifier=is_classifier(self.base) and not has_columns)
        n_splits = splitter.get_n_splits(self.X, y, groups=self.groups)
        rows = np.arange(np.shape(self.y)[0])
        splits = [
            (_row_numbers(rows, train), _row_numbers(rows, test)) for train, test in splitter.split(self.X, y, groups=self.groups)
        ]
        if len(splits) != n_splits:
            raise ValueError(
                f"cv.split and cv.get_n_splits return inconsistent results. Expected {n_splits} splits, got {len(splits)}"
            )
        if not splits:
            raise ValueError("No fits were performed. Was the CV iterator empty? Were there no candidates?")
        return splits

    def fits(self, splits: list[tuple[np.ndarray, np.ndarray]]) -> list[Fit]:
        """Return all fits, candidate by candidate."""
        folds: dict[Any, list[Fold]] = {}
        fits = []
        for candidate in self.candidates:
            if candidate.group not in folds:
                folds[candidate.group] = [Fold(self, candidate.others, train, test) for train, test in splits]
            for fold in folds[candidate.group]:
                is_seeded = getattr(candidate.estimator, "random_state", 0) is not None
                fits.append(Fit(self, candidate, fold, None if is_seeded else int(check_random_state(None).randint(2**31 - 1))))
        return fits

    def warn(self, stacklevel: int) -> None:
        """Warn once of parameters of which the estimator's own fit would warn each time."""
        for candidate in self.candidates:
            estimator = candidate.estimator
            is_known = self.can_batch and candidate.is_batched and estimator.solver in SOLVERS
            if is_known and warn_of_early_stopping(estimator, stacklevel + 1):
                return

    def order(self, fits: list[Fit]) -> list[int]:
        """Return the order of the fits: group by group, to share transformed data, and the longest first, so that threads end
        together."""
        shape = np.shape(self.X)
        n_features, n_outputs = shape[1] if len(shape) == 2 else 1, 1 if self.labels is None else len(self.labels)
        work = {candidate: candidate.work(n_features, n_outputs) for candidate in self.candidates}
        groups = {group: i for i, group in enumerate(dict.fromkeys(candidate.group for candidate in self.candidates))}
        return sorted(range(len(fits)), key=lambda i: (groups[fits[i].candidate.group], -work[fits[i].candidate], i))

    def failed_score(self, error: Exception) -> Any:
        """Warn that a fit could not be scored and return error_score, or raise the error."""
        if self.error_score == "raise":
            raise error
        warnings.warn(
            "Scoring failed. The score on this train-test partition for these parameters will be set to"
            f" {self.error_score}. Details: \n{''.join(traceback.format_exception(error))}",
            UserWarning,
            stacklevel=2,
        )
        return self.error_score

    def collect(self, calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
        """Call the scorers and return the scores as numbers; a callable may return several in a dict."""
        scores: dict[str, Any] = {}
        for name, call in calls.items():
            try:
                value = call()
            except Exception as error:
                value = self.failed_score(error)
            if isinstance(value, dict):
                self.is_multimetric = True
                scores.update(value)
            else:
                scores[name] = value
        for name, value in scores.items():
            if hasattr(value, "item") and np.size(value) == 1:
                value = scores[name] = value.item()
            if not isinstance(value, Number):
                raise ValueError(f"scoring must return a number, got {value} ({type(value)}) instead. (scorer={name})")
        return scores


def _is_splitter(cv: Any) -> bool:
    if isinstance(cv, Integral):
        return int(cv) > 1
    return cv is None or (not isinstance(cv, str) and (hasattr(cv, "split") or hasattr(cv, "__iter__")))


def _row_numbers(rows: np.ndarray, chosen: Any) -> np.ndarray:
    """Return row indices, checked and not negative, from indices or a mask: kernels do not check them."""
    chosen = np.asarray(chosen)
    if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iub"):
        raise IndexError(f"cv must give row indices or a mask of one dimension, got {chosen.dtype} of shape {chosen.shape}.")
    return rows[chosen] if chosen.size else rows[:0]
