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
        names, self.multimetric_ = _score_names(results, search), search.is_multimetric
        metric = "score"
        if self.multimetric_:
            metric = self.refit
            if metric is not False and not callable(metric) and not (isinstance(metric, str) and metric in names):
                raise ValueError(
                    "For multi-metric scoring, the parameter refit must be set to a scorer key or a callable to refit an estimator"
                    " with the best parameter setting on the whole data and make the best_* attributes available for that metric."
                    f" If this is not needed, refit should be set to False explicitly. {self.refit!r} was passed."
                )
        self.cv_results_ = _format(search.candidates, results, names, search.error_score, self.return_train_score)
        is_dict = self.multimetric_ and not callable(self.scoring)
        self.scorer_ = search.scorers if is_dict else search.scorers["score"]
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
    """One split, with what all networks of a group of candidates are trained on: rows, encoded targets, fitted attributes."""

    def __init__(self, search: "_Search", group: dict[str, Any], train: np.ndarray, test: np.ndarray) -> None:
        self.search, self.group, self.train, self.test = search, group, train, test
        self.prefix: Any = None  # fitted transformers
        self.fit_time = 0.0
        self._inputs: dict[str, Any] = {}
        self._error: Exception | None = None
        self._is_ready = False
        self._lock = threading.Lock()

    def prepare(self, network: Any) -> None:
        """Fit the transformers and encode the targets, once; raise what that raised."""
        with self._lock:
            if not self._is_ready:
                start = time.perf_counter()
                try:
                    self._prepare(network)
                except Exception as error:
                    self._error = error
                self.fit_time = time.perf_counter() - start if self.prefix is not None else 0.0
                self._is_ready = True
        if self._error is not None:
            raise self._error

    def _prepare(self, network: Any) -> None:
        search, train = self.search, self.train
        weights = None if search.weights is None else search.weights[train]
        if search.door is not None:
            self.X, self.door = search.door
            self.rows, chosen = train, slice(None)
            self.weights = None
            if weights is not None:
                check_sample_weight(weights, weights[:, np.newaxis].astype(self.X.dtype))
                self.weights = search.weights.astype(self.X.dtype)
        else:
            self.prefix = clone(search.base).set_params(**clone(self.group, safe=False))[:-1]
            X = self.prefix.fit_transform(_take(search.X, train), _take(search.y, train))
            self.X, self.door = _pass_door(network, X, len(train))
            self.rows, chosen = None, train
            self.weights = check_sample_weight(weights, self.X)
        probe = _twin(network)
        if search.labels is None:
            self.truth = search.y_array.reshape(len(search.y_array), -1)
            self.Y, n_outputs, self.loss = probe._encode(search.y_array[chosen], self.X.dtype, False)
            self.fitted = {**self.door, "n_outputs_": n_outputs}
            return
        present = np.unique(search.codes[train])
        self.truth = search.codes
        if len(present) < len(search.labels):  # the others do not exist for a fit on these rows
            position = np.full(len(search.labels), -1)
            position[present] = np.arange(len(present))
            self.truth = position[search.codes]
        self.Y = self.truth[chosen].astype(self.X.dtype)[:, np.newaxis]
        n_outputs, self.loss = (len(present), "log_loss") if len(present) > 2 else (1, "binary_log_loss")
        classes = search.labels[present]
        self.fitted = {**self.door, "n_outputs_": n_outputs, "classes_": classes, "_sparse_labels": False}

    def parts(self, part: str) -> Iterable[tuple[Any, np.ndarray]]:
        """Yield (inputs, row numbers) that together are the "train" or "test" rows, few at a time where they must be copied."""
        index = getattr(self, part)
        if self.prefix is None:
            for start in range(0, len(index), _PREDICTED_ROWS):
                rows = index[start : start + _PREDICTED_ROWS]
                yield self.X[rows], rows
            return
        with self._lock:
            if part not in self._inputs:
                X = self.prefix.transform(_take(self.search.X, index))
                network = _twin(self.search.base.steps[-1][1], **self.door)
                self._inputs[part] = network._check_rows(X, np.zeros(len(index)), reset=False)[0].astype(self.X.dtype, copy=False)
        yield self._inputs[part], index

    def predicted(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs as what `truth` holds: positions in the classes, or numbers of shape (n_rows, n_outputs)."""
        if self.search.labels is None:
            return outputs
        if outputs.shape[1] > 1:
            return outputs.argmax(axis=1)
        return np.minimum(outputs[:, 0] > 0.5, len(self.fitted["classes_"]) - 1)


def _pass_door(network: Any, X: Any, n_rows: int) -> tuple[Any, dict[str, Any]]:
    """Return X as the kernels take it, and the attributes that an estimator gets from it."""
    probe = _twin(network)
    X, _ = probe._check_rows(X, np.zeros(n_rows), reset=True)
    return X, {name: value for name, value in vars(probe).items() if name in ("n_features_in_", "feature_names_in_")}


def _take(data: Any, rows: np.ndarray) -> Any:
    """Return the rows as what the data are: frame, array, sparse matrix or list."""
    if hasattr(data, "iloc"):
        return data.iloc[rows]
    if hasattr(data, "shape"):
        return data[rows]
    return [data[row] for row in rows]


class _Start:
    """Stands in for a RandomState that many fits begin from."""

    def __init__(self, random_state: np.random.RandomState) -> None:
        self.state = random_state.get_state(legacy=False)

    def get_state(self, legacy: bool) -> dict[str, Any]:
        """Return the state, in a dict that the caller may keep but whose arrays it copies."""
        return {**self.state, "state": dict(self.state["state"])}

    def set_state(self, state: dict[str, Any]) -> None:
        """Forget where the fit has got to."""

    def real(self) -> np.random.RandomState:
        """Return a RandomState in this state."""
        random_state = np.random.RandomState()
        random_state.set_state(self.state)
        return random_state


class _Starts:
    """Starting weights of the candidates that are being trained: the folds of one candidate begin with the same."""

    def __init__(self, n_kept: int) -> None:
        self._kept: OrderedDict[Any, Any] = OrderedDict()
        self._n_kept = n_kept
        self._lock = threading.Lock()

    def of(self, key: Any, network: Any, layer_sizes: list[int], dtype: np.dtype, seed: int | None) -> tuple[Any, list[Any]]:
        """Return the kernels' network and [(params, random state), …], one per start."""
        key = None if seed is not None else (key, tuple(layer_sizes), dtype)
        with self._lock:
            if key in self._kept:
                return self._kept[key]
        layout = network._make_network(layer_sizes, dtype)
        first = check_random_state(copy.deepcopy(network.random_state) if seed is None else seed)
        states = [first, *_later_states(first, network.n_restarts - 1)]
        starts = [(network._draw(layout, layer_sizes, state, dtype), _Start(state)) for state in states]
        if key is not None:
            with self._lock:
                self._kept[key] = layout, starts
                while len(self._kept) > self._n_kept:
                    self._kept.popitem(last=False)
        return layout, starts


# ---- one fit


class _Fit:
    """Train one candidate on one fold and score it."""

    def __init__(self, search: "_Search", candidate: _Candidate, key: int, fold: _Fold, seed: int | None) -> None:
        self.search, self.candidate, self.key, self.fold, self.seed = search, candidate, key, fold, seed

    def __call__(self, sync: np.ndarray) -> _Result:
        search, fold = self.search, self.fold
        hit_max_iter = False
        start = time.perf_counter()
        try:
            if self.candidate.network is None:
                model = self._fit_alone()
                run = None
            else:
                fold.prepare(self.candidate.network)
                model, layout, run = self._train(sync)
                hit_max_iter = run.outcome == "max_iter"
        except Exception:
            if search.error_score == "raise":
                raise
            return _Result(time.perf_counter() - start, 0.0, error=traceback.format_exc())
        end = time.perf_counter()
        spent = end - start + (fold.fit_time if run is not None else 0.0)
        if run is not None and not search.is_direct:
            model = self._finish(model, layout, run)

        def scores(part: str) -> dict[str, float]:
            if run is None or not search.is_direct:
                return self._ask_scorers(model, getattr(fold, part))
            return self._score(layout, run.params, part)

        test_scores = scores("test")
        score_time = time.perf_counter() - end
        return _Result(spent, score_time, test_scores, scores("train") if search.return_train_score else None, None, hit_max_iter)

    def _fit_alone(self) -> Any:
        """Fit as GridSearchCV would."""
        search, fold = self.search, self.fold
        model = clone(search.base).set_params(**clone(self.candidate.params, safe=False))
        network = model if search.last is None else model.steps[-1][1]
        if self.seed is not None:
            network.set_params(random_state=self.seed)
        fit_params = {name: _take(values, fold.train) for name, values in search.fit_params.items()}
        return model.fit(_take(search.X, fold.train), _take(search.y, fold.train), **fit_params)

    def _train(self, sync: np.ndarray) -> tuple[Any, Any, _Run]:
        """Do what the estimator's fit does after the checks; return it with the network and the best of its starts."""
        from fastbp.training import History, Optimizer, train_stochastic

        fold, network = self.fold, _twin(self.candidate.network, **self.fold.fitted)
        parameters.check_parameters(network, network._rules)
        network.out_activation_ = parameters.output_activation_name(network.output_activation, fold.loss)
        sizes = [network.n_features_in_, *parameters.hidden_sizes(network.hidden_layer_sizes), network.n_outputs_]
        dtype, early_stopping = fold.X.dtype, bool(network.early_stopping)
        layout, starts = self.search.starts.of(self.key, network, sizes, dtype, self.seed)
        rows, validation, n_rows = fold.rows, None, len(fold.train)
        if early_stopping:
            split_state = starts[0][1].real()
            index = np.arange(n_rows) if rows is None else rows
            inner, held_out = network._split(_Rows(index, fold.Y[index], None), split_state)
            rows, n_rows = inner.X, len(inner.X)
            starts = [(starts[0][0], _Start(split_state)), *starts[1:]]
            weights = None if fold.weights is None else fold.weights[held_out.X]
            validation = fold.X[held_out.X], held_out.Y, weights
        best: Any = None
        losses = np.full(len(starts), np.nan)
        for i, (params, state) in enumerate(starts):
            run = _Run(_copy_aligned(params), History(), None, state)
            run.optimizer = Optimizer(
                network.solver, run.params, learning_rate_init=network.learning_rate_init, momentum=network.momentum,
                nesterovs_momentum=network.nesterovs_momentum, beta_1=network.beta_1, beta_2=network.beta_2,
                epsilon=network.epsilon,
            )  # fmt: skip
            try:
                run.outcome = train_stochastic(
                    layout, run.params, run.optimizer, run.history, fold.X, fold.Y, fold.weights, rows=rows, validation=validation,
                    score=network._score, alpha=network.alpha, batch_size=network._batch_size(n_rows),
                    learning_rate=network.learning_rate, power_t=network.power_t, tol=network.tol,
                    n_iter_no_change=network.n_iter_no_change, max_iter=network.max_iter, shuffle=network.shuffle,
                    random_state=state, n_threads=network.n_threads or self.search.n_inner_threads, sync=sync,
                )  # fmt: skip
                losses[i] = run.history.loss
            except ValueError as error:
                run.error = error
            if best is None or run.quality(early_stopping) > best.quality(early_stopping):
                best = run
        if best.error is not None:
            raise best.error
        network.restart_losses_ = losses
        return network, layout, best

    def _finish(self, network: Any, layout: Any, run: _Run) -> Any:
        """Return the fitted estimator that scorers can ask."""
        network._bind(layout, run.params)
        network._publish(run, bool(network.early_stopping))
        if self.fold.prefix is None:
            return network if self.search.last is None else Pipeline([(self.search.last, network)])
        return Pipeline([*self.fold.prefix.steps, (self.search.last, network)])

    def _score(self, layout: Any, params: np.ndarray, part: str) -> dict[str, float]:
        """Score outputs directly."""
        from fastbp.training import predict_outputs

        fold, search = self.fold, self.search
        index = getattr(fold, part)
        try:
            outputs = [predict_outputs(layout, params, X, n_threads=search.n_inner_threads) for X, _ in fold.parts(part)]
            predicted = fold.predicted(outputs[0] if len(outputs) == 1 else np.concatenate(outputs))
        except Exception as error:
            return dict.fromkeys(search.scorers, search.failed_score(error))
        weights = None if search.score_weights is None else search.score_weights[index]
        return search.collect(
            {name: lambda score=score: score(fold.truth[index], predicted, weights) for name, score in search.direct.items()}
        )

    def _ask_scorers(self, model: Any, index: np.ndarray) -> dict[str, float]:
        search = self.search
        X, y = _take(search.X, index), _take(search.y, index)
        weights = {} if search.score_weights is None else {"sample_weight": search.score_weights[index]}
        return search.collect(
            {name: lambda scorer=scorer: scorer(model, X, y, **weights) for name, scorer in search.scorers.items()}
        )


def _copy_aligned(params: np.ndarray) -> np.ndarray:
    from fastbp.network import aligned_zeros

    copied = aligned_zeros(params.size, params.dtype)
    copied[:] = params
    return copied


# ---- all fits


class _Search:
    """A search whose every fit is a network's: what the fits share, and the threads that do them."""

    def __init__(self, search: BPSearchCV, X: Any, y: Any, last: str | None, network: Any) -> None:
        self.X, self.y = X, y
        self.base, self.last = clone(search.estimator), last
        self.error_score, self.return_train_score = search.error_score, search.return_train_score
        self.stop = threading.Event()
        self.is_interrupted = False
        self.fit_params: dict[str, Any] = {}
        self.weights = self.score_weights = None
        self.scorers: dict[str, Any] = {}
        self.direct: dict[str, Any] = {}
        self.door: Any = None
        self.labels = None
        self.y_array = np.asarray(y) if not issparse(y) else None
        self.can_batch = self._look_at_data(network)
        base = self.base
        self.candidates = [_Candidate(params, base, last, self.can_batch) for params in ParameterGrid(search.param_grid)]

    @classmethod
    def plan(cls, search: BPSearchCV, X: Any, y: Any, params: dict[str, Any]) -> "_Search | None":
        """Return what is to be done, or None where GridSearchCV shall do it, or say what is wrong."""
        estimator, last = search.estimator, None
        network = estimator
        if type(estimator) is Pipeline and isinstance(estimator.steps, list) and estimator.steps:
            last, network = estimator.steps[-1]
        is_usual = (
            isinstance(network, BaseBP)
            and y is not None
            and (search.n_jobs is None or isinstance(search.n_jobs, Integral))
            and isinstance(search.verbose, Integral)
            and search.verbose >= 0
            and (isinstance(search.refit, bool | str) or callable(search.refit))
            and isinstance(search.pre_dispatch, int | str)
            and isinstance(search.return_train_score, bool)
            and (search.error_score == "raise" or isinstance(search.error_score, Number))
            and not sklearn.get_config()["enable_metadata_routing"]
            and not any(hasattr(part, "_skl_callbacks") for part in (search, estimator, network))
        )
        if not is_usual or not len(ParameterGrid(search.param_grid)):
            return None
        X, y = indexable(X, y)
        plan = cls(search, X, y, last, network)
        return plan if plan._take_scoring(search) and plan._take_fit_params(params) else None

    def _look_at_data(self, network: Any) -> bool:
        """Check X and y once and encode y; return whether they are such that networks can be trained on rows of them."""
        y = self.y_array
        if y is None or y.ndim == 0 or y.shape[-1] == 1 or not isinstance(network, BPClassifier | BPRegressor):
            return False
        try:
            if is_classifier(network):
                if y.ndim > 1 or type_of_target(y) not in ("binary", "multiclass"):
                    return False
                self.labels, self.codes = discrete_labels(y)
            elif (
                y.dtype.kind not in "biuf"
                or y.ndim > 2
                or not np.isfinite(y).all()
                or (network.loss == "poisson" and y.min() < 0)
            ):
                return False
            if self.last is None or len(self.base.steps) == 1:
                self.door = _pass_door(network, self.X, len(y))
        except (TypeError, ValueError):
            return False
        return True

    def _take_scoring(self, search: BPSearchCV) -> bool:
        """Set the scorers, and the functions that can stand in for all of them."""
        scoring = search.scoring
        is_single = scoring is None or isinstance(scoring, str) or callable(scoring)
        specs = {"score": scoring} if is_single else scoring if isinstance(scoring, dict) else {name: name for name in scoring}
        if not is_single and not callable(search.refit) and search.refit is not False and search.refit not in specs:
            return False
        if not is_single and (not specs or not all(isinstance(name, str) for name in specs) or len(specs) != len(scoring)):
            return False
        try:
            for name, spec in specs.items():
                self.scorers[name] = spec if callable(spec) else check_scoring(search.estimator, scoring=spec)
        except (TypeError, ValueError):
            return False
        known = _REAL_SCORES if self.labels is None else _CLASS_SCORES
        self.direct = {
            name: known[spec] for name, spec in specs.items() if spec is None or (isinstance(spec, str) and spec in known)
        }
        self.is_multimetric = not is_single
        self.is_direct = len(self.direct) == len(specs)
        return True

    def _take_fit_params(self, params: dict[str, Any]) -> bool:
        """Set groups and sample weights; return whether there is nothing else."""
        self.fit_params = dict(params)
        self.groups = self.fit_params.pop("groups", None)
        name = "sample_weight" if self.last is None else f"{self.last}__sample_weight"
        values = self.fit_params.get(name)
        if not self.fit_params or (values is None and set(self.fit_params) == {name}):
            return True
        if set(self.fit_params) != {name} or np.shape(values) != (len(self.y_array),):
            return False
        self.weights = np.asarray(values)
        if self.last is None and _WEIGHTS_REACH_SCORERS:
            self.score_weights = self.weights
            return self.is_direct  # whether a scorer takes weights is for GridSearchCV to find out
        return True

    def split(self, cv: Any) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return (train, test) row numbers per fold."""
        splitter = check_cv(cv, self.y, classifier=is_classifier(self.base))
        n_splits = splitter.get_n_splits(self.X, self.y, groups=self.groups)
        splits = [(_row_numbers(train), _row_numbers(test)) for train, test in splitter.split(self.X, self.y, groups=self.groups)]
        if len(splits) != n_splits:
            raise ValueError(
                f"cv.split and cv.get_n_splits return inconsistent results. Expected {n_splits} splits, got {len(splits)}"
            )
        if not splits:
            raise ValueError("No fits were performed. Was the CV iterator empty? Were there no candidates?")
        return splits

    def run(self, splits: list[tuple[np.ndarray, np.ndarray]], n_threads: int, verbose: int) -> list[_Result]:
        """Do all fits and return the results, candidate by candidate."""
        from fastbp.kernels.atomics import SYNC_SIZE
        from fastbp.team import available_cores

        fits = self._fits(splits)
        n_threads = min(n_threads, len(fits))
        self.n_inner_threads = max(1, available_cores() // n_threads)
        self.starts = _Starts(2 * n_threads)
        results: list[_Result] = [_Result()] * len(fits)
        todo = deque(self._in_order(fits, splits))
        errors: list[BaseException] = []
        progress = _Progress(self, fits, verbose)
        syncs = [np.zeros(SYNC_SIZE, dtype=np.int64) for _ in range(n_threads)]
        config = sklearn.get_config()

        def work(sync: np.ndarray) -> None:
            with sklearn.config_context(**config):
                while not self.stop.is_set():
                    try:
                        i = todo.popleft()
                    except IndexError:
                        return
                    try:
                        result = fits[i](sync)
                    except KeyboardInterrupt:
                        self.interrupt(syncs)
                        return
                    except BaseException as error:
                        errors.append(error)
                        self.stop.set()
                        return
                    if self.is_interrupted:  # the fit was cut short
                        return
                    results[i] = result
                    progress.finished.append(i)

        workers = [threading.Thread(target=work, args=(sync,), daemon=True) for sync in syncs]
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                while worker.is_alive():
                    worker.join(0.2)
                    progress.show(results)
        except KeyboardInterrupt:
            self.interrupt(syncs)
            deadline = time.monotonic() + _PATIENCE
            for worker in workers:
                worker.join(max(0.0, deadline - time.monotonic()))
        progress.show(results, at_end=True)
        if errors:
            raise errors[0]
        results = list(results)  # a fit that could not be told to end may still write to the other list
        if self.is_interrupted:
            n_done = sum(result.fit_time == result.fit_time for result in results)
            if not n_done:
                raise KeyboardInterrupt
            warnings.warn(
                f"Search interrupted by user: {n_done} of {len(fits)} fits are finished, the others score NaN.", stacklevel=3
            )
        return results

    def interrupt(self, syncs: list[np.ndarray]) -> None:
        """Tell all fits to end."""
        from fastbp.kernels.atomics import INTERRUPT

        self.is_interrupted = True
        self.stop.set()
        for sync in syncs:
            sync[INTERRUPT] = 1

    def _fits(self, splits: list[tuple[np.ndarray, np.ndarray]]) -> list[_Fit]:
        folds: dict[Any, list[_Fold]] = {}
        fits = []
        for i, candidate in enumerate(self.candidates):
            if candidate.group not in folds:
                folds[candidate.group] = [_Fold(self, candidate.others, train, test) for train, test in splits]
            for fold in folds[candidate.group]:
                seed = None
                if getattr(candidate.described, "random_state", 0) is None:
                    seed = int(check_random_state(None).randint(2**31 - 1))
                fits.append(_Fit(self, candidate, i, fold, seed))
        return fits

    def _in_order(self, fits: list[_Fit], splits: list[tuple[np.ndarray, np.ndarray]]) -> list[int]:
        """Longest first, so that threads end together; but the transformed data of one group of candidates after the other."""
        n_features = np.shape(self.X)[1] if len(np.shape(self.X)) == 2 else 1
        n_outputs = 1 if self.labels is None else len(self.labels)
        groups: dict[Any, int] = {}
        keys = []
        work = [candidate.work(n_features, n_outputs, len(splits[0][0])) for candidate in self.candidates]
        for i, fit in enumerate(fits):
            group = groups.setdefault(fit.candidate.group, len(groups))
            keys.append((group, -work[fit.key], i))
        return [key[-1] for key in sorted(keys)]

    def failed_score(self, error: Exception) -> float:
        """Return the score of a fit that could not be scored."""
        if self.error_score == "raise":
            raise error
        details = "".join(traceback.format_exception(error))
        warnings.warn(
            "Scoring failed. The score on this train-test partition for these parameters will be set to"
            f" {self.error_score}. Details: \n{details}",
            UserWarning,
            stacklevel=2,
        )
        return self.error_score

    def collect(self, calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
        """Call the scores and return them as numbers."""
        scores: dict[str, Any] = {}
        for name, call in calls.items():
            try:
                value = call()
            except Exception as error:
                value = self.failed_score(error)
            if isinstance(value, dict):
                self.is_multimetric = True
            scores |= value if isinstance(value, dict) else {name: value}
        for name, value in scores.items():
            if hasattr(value, "item") and np.size(value) == 1:
                value = scores[name] = value.item()
            if not isinstance(value, Number):
                raise ValueError(f"scoring must return a number, got {value} ({type(value)}) instead. (scorer={name})")
        return scores


def _row_numbers(rows: Any) -> np.ndarray:
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64, copy=False)


class _Progress:
    """Lines about the search, printed by the main thread."""

    def __init__(self, search: _Search, fits: list[_Fit], verbose: int) -> None:
        self.search, self.fits, self.verbose = search, fits, verbose
        self.finished: list[int] = []
        self.n_shown = 0
        self.start = self.last = time.monotonic()

    def show(self, results: list[_Result], at_end: bool = False) -> None:
        """Print what has happened since the last call."""
        if not self.verbose:
            return
        n_done, now = len(self.finished), time.monotonic()
        if self.verbose > 1:
            for i in self.finished[self.n_shown : n_done]:
                result, params = results[i], self.fits[i].candidate.params
                names = ", ".join(f"{name}={params[name]}" for name in sorted(params))
                scores = ", ".join(f"{name}={score:.3f}" for name, score in (result.test_scores or {}).items()) or "failed"
                print(f"[CV] END {names}; {scores} total time={result.fit_time + result.score_time:.2f}s")
            self.n_shown = n_done
            return
        is_terminal = sys.stdout.isatty()
        if n_done > self.n_shown and (at_end or now - self.last > (0.2 if is_terminal else 10)):
            self.n_shown, self.last = n_done, now
            line = f"{n_done} of {len(self.fits)} fits finished, {now - self.start:.0f} s"
            print(line, end="\r" if is_terminal and not at_end else "\n", flush=True)


# ---- results in the form of GridSearchCV


def _report_failures(results: Sequence[_Result], search: _Search, n_splits: int) -> None:
    """Warn of failed fits, or raise if all failed; one warning for all that did not converge."""
    failed = [i for i, result in enumerate(results) if result.error is not None]
    if failed:
        counts = Counter(results[i].error for i in failed)
        details = "\n".join(f"{'-' * 80}\n{n} fits failed with the following error:\n{error}" for error, n in counts.items())
        if len(failed) == len(results):
            raise ValueError(
                f"\nAll the {len(results)} fits failed.\nIt is very likely that your model is misconfigured.\n"
                "You can try to debug the error by setting error_score='raise'.\n\n"
                f"Below are more details about the failures:\n{details}"
            )
        names = "\n".join(str(search.candidates[i].params) for i in sorted({i // n_splits for i in failed}))
        warnings.warn(
            f"\n{len(failed)} fits failed out of a total of {len(results)}.\n"
            f"The score on these train-test partitions for these parameters will be set to {search.error_score}:\n{names}\n"
            "If these failures are not expected, you can try to debug them by setting error_score='raise'.\n\n"
            f"Below are more details about the failures:\n{details}",
            FitFailedWarning,
            stacklevel=3,
        )
    n_unfinished = sum(result.hit_max_iter for result in results)
    if n_unfinished:
        warnings.warn(
            f"Stochastic Optimizer: {n_unfinished} of {len(results)} fits reached max_iter and had not converged yet.",
            ConvergenceWarning,
            stacklevel=3,
        )


def _score_names(results: Sequence[_Result], search: _Search) -> list[str]:
    """Return the names of the scores: those of a callable are known only when it was called."""
    return list(next((result.test_scores for result in results if result.test_scores is not None), search.scorers))


def _format(
    candidates: Sequence[_Candidate], results: Sequence[_Result], names: list[str], error_score: float, with_train_scores: bool
) -> dict[str, Any]:
    """Return cv_results_."""
    shape = len(candidates), len(results) // len(candidates)
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
    table |= _parameter_columns(candidates)
    table["params"] = [candidate.params for candidate in candidates]

    def scores_of(result: _Result, part: str) -> dict[str, float]:
        scores = getattr(result, f"{part}_scores")
        if scores is None:
            return dict.fromkeys(names, error_score if result.error else math.nan)
        return scores

    for name in names:
        for part in ("test", "train")[: 1 + with_train_scores]:
            means = store(f"{part}_{name}", (scores_of(result, part)[name] for result in results), with_splits=True)
            if not np.isfinite(means).all():
                warnings.warn(f"One or more of the {part} scores are non-finite: {means}", UserWarning, stacklevel=3)
            if part == "test":
                worst = 0.0 if np.isnan(means).all() else np.nanmin(means) - 1
                table[f"rank_test_{name}"] = rankdata(-np.nan_to_num(means, nan=worst), method="min").astype(np.int32)
    return table


def _parameter_columns(candidates: Sequence[_Candidate]) -> dict[str, MaskedArray]:
    """Return one masked array per parameter: of numbers or bools where all values are, else of objects."""
    columns: dict[str, dict[int, Any]] = defaultdict(dict)
    for i, candidate in enumerate(candidates):
        for name, value in candidate.params.items():
            columns[name][i] = value
    arrays = {}
    for name, values in columns.items():
        try:
            common = np.array(list(values.values()))
            dtype = common.dtype if common.ndim == 1 and common.dtype.kind != "U" else np.dtype(object)
        except ValueError:  # sequences of different lengths
            dtype = np.dtype(object)
        array = arrays[f"param_{name}"] = MaskedArray(np.empty(len(candidates), dtype=dtype), mask=True)
        for i, value in values.items():
            array[i] = value
    return arrays


def _best_index(refit: Any, metric: Any, table: dict[str, Any]) -> int:
    """Return the index of the best candidate."""
    if not callable(refit):
        return table[f"rank_test_{metric}"].argmin()
    index = refit(table)
    if not isinstance(index, Integral):
        raise TypeError("best_index_ returned is not an integer")
    if not 0 <= index < len(table["params"]):
        raise IndexError("best_index_ index out of range")
    return index
