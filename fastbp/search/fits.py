"""The fits of a search: candidates, folds, and what the fits share."""

import copy
import functools
import math
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from fastbp.estimators import BPClassifier, BPRegressor, parameters
from fastbp.estimators.base import BaseBP, fitted_copy
from fastbp.estimators.callbacks import has_callbacks
from fastbp.estimators.inputs import check_rows, check_sample_weight, pass_door, twin
from fastbp.estimators.parameter_table import parameters_beside_training
from fastbp.estimators.settings import settings_of
from fastbp.estimators.targets import Targets, class_targets, real_targets
from fastbp.search.results import Result
from fastbp.training.fit import Fitted, Resumed, Start, draw_weights, fit_network, random_states
from fastbp.training.network import aligned_copy, network_for
from fastbp.training.outcome import MAX_ITER, TIME_OVER
from fastbp.training.predict import predict_outputs
from fastbp.training.problem import Problem, make_table
from fastbp.training.random_state import MovingTwister, Twister, seeded
from fastbp.training.settings import Settings

PREDICTED_ROWS = 2**14  # rows that are copied and predicted at a time, so that no fold is copied as a whole
# If the test rows have no more elements, the call that trains also predicts them: each call releases the GIL and may have to wait
# for it (measured on iris: 87 instead of 100 µs per fit with two threads, 154 instead of 165 with one).
FEW_INPUTS = 2**12


def _take(data: Any, rows: np.ndarray) -> Any:
    """Return rows of a DataFrame, an array, a sparse matrix or a list."""
    if hasattr(data, "iloc"):
        return data.iloc[rows]
    if hasattr(data, "shape"):
        return data[rows]
    return [data[row] for row in rows]


class Candidate:
    """One setting of the parameters.

    `others` are those of the steps before the network; `obstacle` says why `Fit` cannot do all that the estimator's own fit would
    do, "" if it can.
    """

    def __init__(self, params: dict[str, Any], base: Any, last: str | None, known: set[str]) -> None:
        self.params = params
        prefix = "" if last is None else last + "__"
        self.others = {name: value for name, value in params.items() if not name.startswith(prefix)}
        self.group = tuple((name, id(value)) for name, value in self.others.items())  # the grid keeps the values alive
        own = {name[len(prefix) :]: value for name, value in params.items() if name not in self.others}
        if self.others or not own.keys() <= known:
            clone(base).set_params(**clone(params, safe=False))  # raises for invalid parameters before any fit
        estimator = base if last is None else base.steps[-1][1]
        self.estimator = params[last] if last in self.others else twin(estimator, **own)
        if last in self.others:
            self.obstacle = f"a candidate replaces the step {last!r}"
        elif own.get("loss", ...) not in (..., getattr(estimator, "loss", None)):  # it may need other targets
            self.obstacle = f"a candidate has another loss, {own['loss']!r}"
        else:
            self.obstacle = own_fit_reason(self.estimator)
        self.is_batched = not self.obstacle
        self.is_checked = False

    def check(self, known: dict[str, Any]) -> None:
        """Raise if a parameter of the network is invalid; `known` are values that were checked before."""
        if not self.is_checked:
            parameters.check_parameters(self.estimator, known)
            self.is_checked = True

    def work(self, n_features: int, n_outputs: int) -> float:
        """Return the multiplications per row; inf for invalid sizes, whose error should come first."""
        try:
            sizes = [n_features, *parameters.hidden_sizes(self.estimator.hidden_layer_sizes), n_outputs]
            n_epochs = int(self.estimator.max_iter) * int(self.estimator.n_restarts)
            return n_epochs * sum(n_in * n_out for n_in, n_out in zip(sizes[:-1], sizes[1:]))
        except (AttributeError, TypeError, ValueError):
            return math.inf


def own_fit_reason(estimator: Any) -> str:
    """Return why a network needs its own `fit`, "" if it does not."""
    if type(estimator) not in (BPClassifier, BPRegressor):
        return f"the network is a {type(estimator).__name__}"
    if has_callbacks(estimator):
        return "the network has callbacks"
    rows = parameters_beside_training(type(estimator).__name__)
    values = [(row, vars(estimator)[row.name]) for row in rows]
    found = [f"{row.name}={value!r}" for row, value in values if row.is_for_own_fit(value)]
    return f"the network has {', '.join(found)}" if found else ""


class Fold:
    """One split for a group of candidates, with the rows, targets and transformers that their fits share.

    Parameters
    ----------
    plan : Plan
    group : dict of str to object
        Parameters of the steps before the network.
    train, test : ndarray of int64
        Row numbers.
    """

    def __init__(self, plan: Any, group: dict[str, Any], train: np.ndarray, test: np.ndarray) -> None:
        self.plan, self.group, self.train, self.test = plan, group, train, test
        self.transformers: Any = None
        self.test_samples: Any = None
        self.fit_time = 0.0
        self._transformed: dict[str, Any] = {}
        self._error: Exception | None = None
        self._is_ready = False
        self._lock = threading.Lock()

    def prepare(self, estimator: Any) -> None:
        """Fit the transformers and pack rows and targets, once; later calls raise the same error again."""
        with self._lock:
            if not self._is_ready:
                start = time.perf_counter()
                try:
                    self._prepare(estimator)
                except Exception as error:
                    self._error = error
                self.fit_time = 0.0 if self.transformers is None else time.perf_counter() - start
                self._is_ready = True
        if self._error is not None:
            raise self._error

    def _prepare(self, estimator: Any) -> None:
        plan, train = self.plan, self.train
        weights = None if plan.weights is None else plan.weights[train]
        rows: np.ndarray | None = None
        chosen: Any = train
        if plan.checked_X is not None:  # rows of one X for all folds
            self.X, attributes = plan.checked_X
            rows, chosen = train, slice(None)
            check_sample_weight(weights, self.X[train])
            weights = None if weights is None else plan.weights.astype(self.X.dtype)
        else:
            self.transformers = clone(plan.base).set_params(**clone(self.group, safe=False))[:-1]
            X = self.transformers.fit_transform(_take(plan.X, train), _take(plan.y, train))
            self.X, attributes = pass_door(estimator, X)
            weights = check_sample_weight(weights, self.X)
        targets = self._encode(estimator, chosen)
        self.targets, self.fitted = targets, attributes | ({} if targets.classes is None else {"classes_": targets.classes})
        self.problem = Problem(self.X, targets.Y, weights, row_indices=rows, n_outputs=targets.n_outputs)
        self.kind = self.X.shape[1], targets.n_outputs, targets.loss, self.X.dtype
        if plan.is_direct and self.transformers is None and 0 < self.test.size * self.X.shape[1] <= FEW_INPUTS:
            self.test_samples = self.problem.samples._replace(table=make_table(self.X[self.test]))

    def _encode(self, estimator: Any, chosen: Any) -> Targets:
        """Return the targets of the chosen rows, and keep `truth`, those of all rows, for the scores."""
        plan, dtype = self.plan, self.X.dtype
        if plan.labels is None:
            self.truth = plan.targets.reshape(len(plan.targets), -1)
            return real_targets(plan.targets[chosen], estimator.loss, dtype)
        present = np.unique(plan.codes[self.train])
        self.truth = plan.codes
        if len(present) < len(plan.labels):  # a fit on these rows knows these classes only
            position = np.full(len(plan.labels), -1)
            position[present] = np.arange(len(present))
            self.truth = position[plan.codes]
        return class_targets(self.truth[chosen], plan.labels[present], dtype, estimator.loss)

    def inputs(self, part: str) -> Iterator[Any]:
        """Yield the inputs of the "train" or "test" rows, in blocks if they must be copied."""
        rows = getattr(self, part)
        if self.transformers is None:
            for start in range(0, len(rows), PREDICTED_ROWS):
                yield self.X[rows[start : start + PREDICTED_ROWS]]
            return
        with self._lock:
            if part not in self._transformed:
                X = self.transformers.transform(_take(self.plan.X, rows))
                X, _ = check_rows(twin(self.plan.estimator, **self.fitted), X, np.zeros(len(rows)), reset=False)
                self._transformed[part] = X.astype(self.X.dtype, copy=False)
        yield self._transformed[part]

    def predicted(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs in the form of `truth`: indices of classes, or numbers of shape (n_rows, n_outputs)."""
        if self.plan.labels is None:
            return outputs
        if outputs.shape[1] > 1:
            return outputs.argmax(axis=1)
        return np.minimum(outputs[:, 0] > 0.5, len(self.fitted["classes_"]) - 1)


def _copied(weights: np.ndarray, _: Problem) -> np.ndarray:
    return aligned_copy(weights)


class StartCache:
    """Settings and initial weights: the folds of a candidate share both, and candidates of the same sizes often share
    the initial weights."""

    def __init__(self, n_kept: int) -> None:
        self._n_kept = n_kept
        self._prepared: OrderedDict[Any, Any] = OrderedDict()
        self._drawn: OrderedDict[Any, Any] = OrderedDict()
        self._known_parameters: dict[str, Any] = {}
        self._lock = threading.Lock()

    def of(self, candidate: Candidate, fold: Fold, seed: int | None) -> tuple[Any, Settings, list[tuple[Any, Twister]]]:
        """Return the kernels' network, the settings, and the initial weights and random state of each restart."""
        with self._lock:
            return self._keep(self._prepared, (candidate, seed, *fold.kind), lambda: self._prepare(candidate, fold, seed))

    def _prepare(self, candidate: Candidate, fold: Fold, seed: int | None) -> tuple[Any, Settings, list[tuple[Any, Twister]]]:
        candidate.check(self._known_parameters)
        n_features, n_outputs, loss, dtype = fold.kind
        settings = settings_of(candidate.estimator, loss)
        network = network_for(settings, n_features, n_outputs, dtype)
        source = candidate.estimator.random_state if seed is None else seed

        def draw() -> list[tuple[Any, Twister]]:
            first = copy.deepcopy(source) if isinstance(source, np.random.RandomState) else seeded(source)
            states = random_states(first, settings.n_restarts)
            return [(draw_weights(network, settings, state, dtype, None), Twister(state)) for state in states]

        # The grid keeps other objects alive, so their ids stay valid.
        values = [value if isinstance(value, int | str) else id(value) for value in (source, candidate.estimator.init)]
        scheme = settings.drawn_for, settings.init_scale, settings.fit_intercept, settings.n_restarts
        key = *values, *scheme, dtype, *network.units.tolist(), network.has_scale, network.skip_layer
        return network, settings, self._keep(self._drawn, key, draw)

    def _keep(self, kept: OrderedDict[Any, Any], key: Any, make: Callable[[], Any]) -> Any:
        if key not in kept:
            kept[key] = make()
            while len(kept) > self._n_kept:
                kept.popitem(last=False)
        return kept[key]


class Fit:
    """Train one candidate on one fold and score it.

    Parameters
    ----------
    plan : Plan
    candidate : Candidate
    fold : Fold
    seed : int or None
        Seed of this fit, if the estimator's `random_state` is None.

    Attributes
    ----------
    until : int or None
        Epoch at which the training pauses; the next run continues it. None trains to the end.
    """

    def __init__(self, plan: Any, candidate: Candidate, fold: Fold, seed: int | None) -> None:
        self.plan, self.candidate, self.fold, self.seed = plan, candidate, fold, seed
        self.until: int | None = None
        self._paused: tuple[Fitted, Settings] | None = None
        self._ended: Result | None = None

    def run(self, starts: StartCache, scratch: Any, n_threads: int) -> Result:
        """Train and score; `scratch` is the memory of the calling thread, `n_threads` the number of threads for this fit."""
        if self._ended is not None:
            return self._ended
        result = self._run(starts, scratch, n_threads)
        if self.until is not None and self._paused is None:  # it has stopped by itself: later runs return the same
            self._ended = result._replace(fit_time=0.0, score_time=0.0)
        return result

    def _run(self, starts: StartCache, scratch: Any, n_threads: int) -> Result:
        plan, fold = self.plan, self.fold
        is_batched = plan.can_batch and self.candidate.is_batched
        hit_max_iter, n_iter = False, 0
        start = time.perf_counter()
        try:
            if is_batched:
                fold.prepare(self.candidate.estimator)
                start = time.perf_counter() - (fold.fit_time if self._paused is None else 0.0)
                fitted, settings = self._train(starts, scratch, n_threads)
                hit_max_iter = fitted.run.outcome.status in (MAX_ITER, TIME_OVER) and self._paused is None
                n_iter = fitted.run.history.n_iter
            else:
                model = self._fit_alone(n_threads)
        except Exception:
            if plan.error_score == "raise":
                raise
            return Result(time.perf_counter() - start, 0.0, error=traceback.format_exc())
        end = time.perf_counter()
        if is_batched and not plan.is_direct:
            model = self._finish(fitted, settings)

        def scores(part: str) -> dict[str, float]:
            if is_batched and plan.is_direct:
                return self._score(fitted, part, scratch, n_threads)
            rows = getattr(fold, part)
            weights = {} if plan.score_weights is None else {"sample_weight": plan.score_weights[rows]}
            X, y = _take(plan.X, rows), _take(plan.y, rows)
            return plan.collect(
                {name: functools.partial(scorer, model, X, y, **weights) for name, scorer in plan.scorers.items()}
            )

        test_scores = scores("test")
        score_time = time.perf_counter() - end
        return Result(
            fit_time=end - start,
            score_time=score_time,
            test_scores=test_scores,
            train_scores=scores("train") if plan.return_train_score else None,
            hit_max_iter=hit_max_iter,
            n_iter=n_iter,
        )

    def _fit_alone(self, n_threads: int) -> Any:
        """Fit a clone of the estimator, as GridSearchCV does."""
        plan, fold = self.plan, self.fold
        model = clone(plan.base).set_params(**clone(self.candidate.params, safe=False))
        estimator = model if plan.last is None else model.steps[-1][1]
        if isinstance(estimator, BaseBP):
            if self.seed is not None:
                estimator.random_state = self.seed
            if estimator.n_threads is None:
                estimator.n_threads = n_threads
        fit_params = {name: values if values is None else _take(values, fold.train) for name, values in plan.fit_params.items()}
        return model.fit(_take(plan.X, fold.train), _take(plan.y, fold.train), **fit_params)

    def _train(self, starts: StartCache, scratch: Any, n_threads: int) -> tuple[Fitted, Settings]:
        """Train the network as the estimator's fit would, on rows of the shared X, or continue a paused training."""
        begins: list[Start]
        if self._paused is None:
            network, settings, drawn = starts.of(self.candidate, self.fold, self.seed)
            problem, test, resumed, n_done = self.fold.problem, self.fold.test_samples, None, 0
            states: list[Any] = [state for _, state in drawn]
            if self.until is not None:
                states[0] = MovingTwister(states[0])  # saves 0.5 ms per rung compared with a RandomState (measured on wine)
            if settings.early_stopping:
                problem = problem.stratified(self.fold.targets.strata(self.candidate.estimator.validation_split))
                test = None
                states[0] = states[0].random_state()
            begins = [Start(state, functools.partial(_copied, weights)) for state, (weights, _) in zip(states, drawn)]
        else:
            before, settings = self._paused
            run, self._paused = before.run, None
            network, problem, test, n_done = before.network, before.problem, run.test, run.history.n_iter
            resumed = Resumed(run.history, run.optimizer, run.order)
            begins = [Start(run.random_state, lambda _: cast(np.ndarray, run.left))]
        limited = settings
        if self.until is not None:
            limited = settings._replace(max_iter=min(self.until, settings.max_iter) - n_done)
        options: dict[str, Any] = {"resumed": resumed, "test": test, "scratch": scratch}
        options |= {"network": network, "n_threads": settings.n_threads or n_threads}
        fitted = fit_network(limited, problem, begins, **options).completed()
        if fitted.run.outcome.status == MAX_ITER and fitted.run.history.n_iter < settings.max_iter:
            self._paused = fitted, settings
        return fitted, settings

    def _finish(self, fitted: Fitted, settings: Settings) -> Any:
        """Return the fitted estimator, for scorers."""
        model = fitted_copy(self.candidate.estimator, self.fold.fitted, fitted, settings)
        if self.plan.last is None:
            return model
        steps = [] if self.fold.transformers is None else self.fold.transformers.steps
        return Pipeline([*steps, (self.plan.last, model)])

    def _score(self, fitted: Fitted, part: str, scratch: Any, n_threads: int) -> dict[str, float]:
        """Score the outputs without an estimator."""
        fold, plan, known = self.fold, self.plan, fitted.run.test_outputs if part == "test" else None
        rows = getattr(fold, part)

        def predict(X: Any) -> np.ndarray:
            return predict_outputs(fitted.network, fitted.run.params, X, n_threads=n_threads, scratch=scratch)

        try:
            if not rows.size:
                raise ValueError(f"the fold has no {part} rows, while a minimum of 1 is required")
            outputs = [predict(X) for X in fold.inputs(part)] if known is None else [known]
        except Exception as error:  # the transformers too may fail on these rows
            return dict.fromkeys(plan.scorers, plan.failed_score(error))
        predicted = fold.predicted(outputs[0] if len(outputs) == 1 else np.concatenate(outputs))
        weights = None if plan.score_weights is None else plan.score_weights[rows]
        truth = fold.truth[rows]
        return plan.collect({name: functools.partial(score, truth, predicted, weights) for name, score in plan.direct.items()})
