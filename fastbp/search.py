"""Grid search that trains all candidates on all folds together: folds are rows of one X, threads take the longest fit first."""

import copy
import math
import sys
import threading
import time
import traceback
import warnings
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Number
from typing import Any, NamedTuple, Self

import joblib
import numpy as np
import sklearn
from numpy.ma import MaskedArray
from scipy.sparse import issparse
from scipy.stats import rankdata
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state, indexable
from sklearn.utils.multiclass import type_of_target

from fastbp import parameters
from fastbp.base import BaseBP, _later_states, _Rows, _Run
from fastbp.estimators import BPClassifier, BPRegressor
from fastbp.inputs import check_sample_weight
from fastbp.labels import discrete_labels
from fastbp.team import available_cores

# From this version on GridSearchCV hands the sample weights of `fit` to the scorers too.
_WEIGHTS_REACH_SCORERS = tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 7)
_PREDICTED_ROWS = 2**14  # rows that are copied together to be scored, so that no fold is copied whole
_PATIENCE = 0.5  # seconds a fit gets to end after Ctrl-C


class BPSearchCV(GridSearchCV):
    """Exhaustive search over hyperparameters of BP networks that trains all candidates on all folds together.

    It takes the parameters of scikit-learn's ``GridSearchCV``, sets the attributes of it and finds the same scores: where
    `estimator` is a `BPClassifier` or `BPRegressor`, or a ``Pipeline`` that ends in one, X and y are checked once, folds are row
    numbers into the one X, transformers whose parameters are those of another candidate are fitted once per fold, and `n_jobs`
    Python threads take the fits, longest first. Any other estimator, metadata routing and callbacks go through ``GridSearchCV``.

    Parameters
    ----------
    estimator : estimator object
        A `BPClassifier`, a `BPRegressor` or a pipeline with one at its end; others are searched as ``GridSearchCV`` does.
    param_grid : dict of str to sequence, or list of such dicts
        Values to try per parameter.
    scoring : str, callable, list, tuple, dict or None, default=None
        One or several scores. None is the estimator's own: accuracy or R². Accuracy, R², and the negative mean squared and
        absolute errors are taken from the outputs of the networks directly.
    n_jobs : int or None, default=None
        Threads, each with one fit at a time. None is 1, or what a ``joblib.parallel_config`` says; -1 is every core. Cores left
        over work inside the fits, unless the estimator's own `n_threads` says otherwise.
    refit : bool, str or callable, default=True
        Whether to train the best candidate on all rows; which of several scores says what is best; or a function from
        `cv_results_` to the index of the best.
    cv : int, cross-validation generator, iterable or None, default=None
        How rows are split. None is 5 folds.
    verbose : int, default=0
        1 shows progress, 2 prints a line for each fit.
    pre_dispatch : int or str, default='2*n_jobs'
        For ``GridSearchCV`` alone: threads need no copies of the data.
    error_score : 'raise' or float, default=nan
        Score of a fit that fails, with one FitFailedWarning that names the candidates; 'raise' ends the search.
    return_train_score : bool, default=False
        Whether `cv_results_` gets the scores on the training rows too.

    Attributes
    ----------
    cv_results_ : dict of str to ndarray
        Scores, times and parameters, under the names of ``GridSearchCV``; ``fit_time`` of a pipeline contains that of its
        transformers, each time they are used.
    best_estimator_ : estimator
        Trained with the best parameters on all rows.
    best_score_ : float
        Mean score of the best candidate over the folds.
    best_params_ : dict
        Its parameters.
    best_index_ : int
        Its index in `cv_results_`.
    scorer_ : callable or dict of str to callable
        The score functions.
    n_splits_ : int
        Number of folds.
    refit_time_ : float
        Seconds of the last fit.
    multimetric_ : bool
        Whether there are several scores.
    classes_ : ndarray of shape (n_classes,)
        Class labels, if there are any.
    n_features_in_ : int
        Features seen in fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if X had string column names.

    See Also
    --------
    suggest_hidden_layer_sizes : Proposes sizes to search.

    Notes
    -----
    Scores do not depend on `n_jobs`. With ``random_state=None`` each fit gets a seed of its own, drawn in order from NumPy's
    global state, so ``numpy.random.seed`` makes a search repeatable; with an int or a ``RandomState`` every fit starts from it,
    as in ``GridSearchCV``.

    Ctrl-C ends the search, not the program: fits that were not finished score NaN, and the best of the finished ones is refitted.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbp import BPClassifier, BPSearchCV
    >>> X, y = load_iris(return_X_y=True)
    >>> grid = {"hidden_layer_sizes": [2, 8, "8-8"]}
    >>> search = BPSearchCV(BPClassifier(learning_rate_init=0.05, max_iter=50, random_state=0), grid, n_jobs=2).fit(X, y)
    >>> search.cv_results_["mean_test_score"].shape
    (3,)
    >>> bool(search.best_score_ > 0.9)
    True
    """

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Train every candidate on every fold, then the best one on all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets.
        **params : dict of str to object
            `groups` for the splitter, and parameters of the estimator's `fit`, such as `sample_weight`: one value per row.

        Returns
        -------
        self : BPSearchCV
            The fitted search.

        Raises
        ------
        ValueError
            Parameters or data are not valid, or every fit failed.
        """
        search = _Search.plan(self, X, y, params)
        if search is None:
            with joblib.parallel_config(prefer="threads"):
                return super().fit(X, y, **params)
        splits = search.split(self.cv)
        self.n_splits_ = len(splits)
        n_threads = joblib.effective_n_jobs(self.n_jobs)
        if self.verbose > 0:
            n = len(search.candidates)
            print(f"Fitting {len(splits)} folds for each of {n} candidates, totalling {n * len(splits)} fits")
        results = search.run(splits, n_threads, self.verbose)
        _report_failures(results, search, self.n_splits_)
        names, self.multimetric_ = _score_names(results, search)
        metric = "score"
        if self.multimetric_:
            metric = self.refit
            if metric is not False and not callable(metric) and not (isinstance(metric, str) and metric in names):
                raise ValueError(
                    "For multi-metric scoring, the parameter refit must be set to a scorer key or a callable to refit an estimator"
                    " with the best parameter setting on the whole data and make the best_* attributes available for that metric."
                    f" If this is not needed, refit should be set to False explicitly. {self.refit!r} was passed."
                )
        self.cv_results_ = _format(search.candidates, results, names, self.return_train_score)
        self.scorer_ = search.scorers if self.multimetric_ and not callable(self.scoring) else search.scorers["score"]
        if self.refit or not self.multimetric_:
            self.best_index_ = _best_index(self.refit, metric, self.cv_results_)
            self.best_params_ = self.cv_results_["params"][self.best_index_]
            if not callable(self.refit):
                self.best_score_ = self.cv_results_[f"mean_test_{metric}"][self.best_index_]
        if self.refit:
            self.best_estimator_ = clone(self.estimator).set_params(**clone(self.best_params_, safe=False))
            start = time.perf_counter()
            self.best_estimator_.fit(X, y, **search.fit_params)
            self.refit_time_ = time.perf_counter() - start
            if hasattr(self.best_estimator_, "feature_names_in_"):
                self.feature_names_in_ = self.best_estimator_.feature_names_in_
        return self


# ---- direct scores: from the outputs of a network, in the order of operations of sklearn.metrics


def _accuracy(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> float:
    return float(np.average(truth == predicted, weights=weights))


def _r2(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> float:
    weight = 1.0 if weights is None else weights[:, np.newaxis]
    residual = np.sum(weight * (truth - predicted) ** 2, axis=0)
    spread = np.sum(weight * (truth - np.average(truth, axis=0, weights=weights)) ** 2, axis=0)
    scores = np.where(residual == 0, 1.0, 0.0)
    np.subtract(1, np.divide(residual, spread, where=spread != 0, out=np.ones_like(spread)), out=scores, where=spread != 0)
    return float(np.average(scores))


def _negative_mse(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> float:
    return -float(np.average(np.average((truth - predicted) ** 2, axis=0, weights=weights)))


def _negative_mae(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> float:
    return -float(np.average(np.average(np.abs(predicted - truth), axis=0, weights=weights)))


_CLASS_SCORES = {None: _accuracy, "accuracy": _accuracy}
_REAL_SCORES = {None: _r2, "r2": _r2, "neg_mean_squared_error": _negative_mse, "neg_mean_absolute_error": _negative_mae}


# ---- what is searched


class _Result(NamedTuple):
    """One candidate on one fold."""

    fit_time: float = math.nan
    score_time: float = math.nan
    test_scores: dict[str, float] | None = None  # None: the fit failed or was not finished
    train_scores: dict[str, float] | None = None
    error: str | None = None
    hit_max_iter: bool = False


class _Candidate:
    """One setting of the parameters, split where the estimator is a pipeline into those of the network and of the rest."""

    def __init__(self, params: dict[str, Any], base: Any, last: str | None, can_batch: bool) -> None:
        self.params = params
        prefix = "" if last is None else last + "__"
        self.others = {name: value for name, value in params.items() if not name.startswith(prefix)}
        self.group = tuple((name, id(value)) for name, value in self.others.items())  # the grid holds the values
        self.network = None
        if last in self.others:
            clone(base).set_params(**clone(params, safe=False))  # what is not valid shows before any fit
            network = params[last]
        else:
            own = {name[len(prefix) :]: value for name, value in params.items() if name not in self.others}
            network = _twin(base if last is None else base.steps[-1][1]).set_params(**own)
            if self.others:
                clone(base).set_params(**clone(self.others, safe=False))
            if can_batch and _can_batch(network):
                self.network = network
        self.described = network

    def work(self, n_features: int, n_outputs: int, n_rows: int) -> float:
        """Multiplications of one fit, for the order of the fits; inf where an error is to be expected, to see it first."""
        try:
            sizes = [n_features, *parameters.hidden_sizes(self.described.hidden_layer_sizes), n_outputs]
            n_epochs = self.described.max_iter * self.described.n_restarts
            return n_rows * n_epochs * sum(n_in * n_out for n_in, n_out in zip(sizes[:-1], sizes[1:]))
        except (AttributeError, TypeError, ValueError):
            return math.inf


def _twin(estimator: Any, **attributes: Any) -> Any:
    """Return a shallow copy: what clone does in 0.2 ms, for an estimator whose parameters nobody changes in place."""
    twin = object.__new__(type(estimator))
    twin.__dict__.update(estimator.__dict__, **attributes)
    return twin


def _can_batch(network: Any) -> bool:
    """Whether `_train` does all that the estimator's own fit would do."""
    if type(network) not in (BPClassifier, BPRegressor) or network.solver not in ("sgd", "adam") or network.verbose:
        return False
    state = network.random_state
    return not isinstance(state, np.random.RandomState) or state.get_state(legacy=False)["bit_generator"] == "MT19937"


class _Fold:
    """One split, with what all networks of a group are trained on: their rows, encoded targets and fitted attributes."""

    def __init__(self, search: "_Search", train: np.ndarray, test: np.ndarray) -> None:
        self.search, self.train, self.test = search, train, test
        self.lock = threading.Lock()
        self.prefix: Any = None
        self.is_ready = False
        self.error: Exception | None = None
        self.fit_time = 0.0

    def prepare(self, candidate: _Candidate) -> None:
        """Fit the transformers and encode the targets, once; raise what that raised."""
        with self.lock:
            if not self.is_ready:
                start = time.perf_counter()
                try:
                    self._prepare(candidate)
                except Exception as error:
                    self.error = error
                self.is_ready = True
                self.fit_time = time.perf_counter() - start if self.search.last is not None else 0.0
        if self.error is not None:
            raise self.error

    def _prepare(self, candidate: _Candidate) -> None:
        search = self.search
        X, y, rows = search.X, search.y_array, self.train
        weights = search.weights
        if search.last is not None and len(search.base.steps) > 1:
            self.prefix = clone(search.base).set_params(**clone(candidate.others, safe=False))[:-1]
            X, y = self.prefix.fit_transform(_take(X, self.train), _take(search.y, self.train)), y[self.train]
            self.test_X = self.prefix.transform(_take(search.X, self.test))
            rows, weights = None, None if weights is None else weights[self.train]
        probe = _twin(candidate.network)
        if search.door is None or self.prefix is not None:
            self.X, _ = probe._check_rows(X, np.zeros(len(y)), reset=True)
            fitted = {name: getattr(probe, name) for name in ("n_features_in_", "feature_names_in_") if hasattr(probe, name)}
            if self.prefix is None:
                search.door = self.X, fitted
        else:
            self.X, fitted = search.door
        self.weights = check_sample_weight(weights, self.X)
        if weights is not None and rows is not None:
            check_sample_weight(weights[rows], self.X[rows])
        self.rows = rows
        if search.is_classifier:
            codes = search.codes
            present = np.unique(codes[self.train])
            classes = search.labels[present]
            if len(classes) < len(search.labels):  # scikit-learn's fit would not see the others either
                position = np.full(len(search.labels), -1)
                position[present] = np.arange(len(present))
                codes = position[codes]
            self.truth, n_classes = codes, len(classes)
            Y = (codes if rows is not None else codes[self.train]).astype(self.X.dtype)[:, np.newaxis]
            self.n_outputs, self.loss = (n_classes, "log_loss") if n_classes > 2 else (1, "binary_log_loss")
            fitted = {**fitted, "classes_": classes, "_sparse_labels": False}
        else:
            self.truth = search.y_array.reshape(len(search.y_array), -1)
            Y, self.n_outputs, self.loss = probe._encode(y, self.X.dtype, False)
        self.Y, self.fitted = Y, {**fitted, "n_outputs_": self.n_outputs}
        self.n_rows = len(self.train)

    def parts(self, index: np.ndarray) -> Iterable[tuple[Any, np.ndarray]]:
        """Yield (inputs, row numbers) that together are the training or the test rows, a few at a time."""
        for start in range(0, len(index), _PREDICTED_ROWS):
            some = index[start : start + _PREDICTED_ROWS]
            if self.prefix is None:
                yield self.X[some], some
            else:
                X = self.X if index is self.train else self.checked_test_X
                yield X[start : start + _PREDICTED_ROWS], some
