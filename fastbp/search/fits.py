"""One fit of a search, a candidate on a fold, and what it shares with the others."""

import copy
import math
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from fastbp.estimators import BPClassifier, BPRegressor, parameters
from fastbp.estimators.base import BaseBP
from fastbp.estimators.inputs import check_sample_weight
from fastbp.search.results import Result
from fastbp.training.fit import Rows, Run, Training, later_states
from fastbp.training.network import aligned_zeros
from fastbp.training.predict import predict_outputs
from fastbp.training.problem import make_samples, make_table
from fastbp.training.random_state import Twister, open_twister, seeded
from fastbp.training.stochastic import History

PREDICTED_ROWS = 2**14  # rows that are copied together to be scored, so that no fold is copied whole
# Elements of test rows that are copied for the whole search and predicted in the call that trains, as every call lets go of the
# GIL and may have to wait for it (measured on iris: 87 instead of 100 µs per fit with two threads, 154 instead of 165 with one).
FEW_INPUTS = 2**12


def twin(estimator: Any, **attributes: Any) -> Any:
    """Return a shallow copy: what clone does in 0.2 ms, for an estimator whose parameters nobody changes in place."""
    copied = object.__new__(type(estimator))
    copied.__dict__.update(estimator.__dict__, **attributes)
    return copied


def pass_door(network: Any, X: Any) -> tuple[Any, dict[str, Any]]:
    """Return X as the kernels take it, and the attributes that an estimator gets from it."""
    probe = twin(network)
    X, _ = probe._check_rows(X, np.zeros(_n_rows(X)), reset=True)
    return X, {name: value for name, value in vars(probe).items() if name in ("n_features_in_", "feature_names_in_")}


def _n_rows(X: Any) -> int:
    return X.shape[0] if hasattr(X, "shape") else len(X)


def _take(data: Any, rows: np.ndarray) -> Any:
    """Return the rows as what the data are: frame, array, sparse matrix or list."""
    if hasattr(data, "iloc"):
        return data.iloc[rows]
    if hasattr(data, "shape"):
        return data[rows]
    return [data[row] for row in rows]


class Candidate:
    """One setting of the parameters; of a pipeline, `own` are the network's and `others` those of the steps before it."""

    def __init__(self, params: dict[str, Any], base: Any, last: str | None, known: set[str]) -> None:
        self.params = params
        prefix = "" if last is None else last + "__"
        self.others = {name: value for name, value in params.items() if not name.startswith(prefix)}
        self.group = tuple((name, id(value)) for name, value in self.others.items())  # the grid holds the values
        own = {name[len(prefix) :]: value for name, value in params.items() if name not in self.others}
        if self.others or not own.keys() <= known:
            clone(base).set_params(**clone(params, safe=False))  # what is not valid shows before any fit
        network = base if last is None else base.steps[-1][1]
        self.network = params[last] if last in self.others else twin(network, **own)
        has_same_targets = own.get("loss", ...) in (..., getattr(network, "loss", None))  # of another loss others may be valid
        self.is_batched = last not in self.others and has_same_targets and _can_batch(self.network)
        self.is_checked = False

    def check(self, known: dict[str, Any]) -> None:
        """Raise if a parameter of the network is not valid; `known` are those of the thread's last network, mostly the same."""
        if not self.is_checked:
            parameters.check_parameters(self.network, known)
            self.is_checked = True

    def work(self, n_features: int, n_outputs: int) -> float:
        """Multiplications per row, for the order of the fits; inf where an error is to be expected, to see it first."""
        try:
            sizes = [n_features, *parameters.hidden_sizes(self.network.hidden_layer_sizes), n_outputs]
            n_epochs = int(self.network.max_iter) * int(self.network.n_restarts)
            return n_epochs * sum(n_in * n_out for n_in, n_out in zip(sizes[:-1], sizes[1:]))
        except (AttributeError, TypeError, ValueError):
            return math.inf


def _can_batch(network: Any) -> bool:
    """Whether `Fit` knows all that the estimator's own fit would do."""
    if type(network) not in (BPClassifier, BPRegressor) or network.verbose:
        return False
    state = network.random_state
    return not isinstance(state, np.random.RandomState) or open_twister(state) is not None


class Fold:
    """One split, with what all networks of a group of candidates are trained on: rows, encoded targets, fitted attributes.

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

    def prepare(self, network: Any) -> None:
        """Fit the transformers and encode the targets, once; raise what that raised."""
        with self._lock:
            if not self._is_ready:
                start = time.perf_counter()
                try:
                    n_outputs, self.loss = self._prepare(network)
                    self.kind = self.X.shape[1], n_outputs, self.loss, self.X.dtype
                    samples = make_samples(self.X, self.Y, self.weights)
                    self.training_rows = Rows(self.X, self.Y, self.weights, self.rows, samples)
                    is_direct = self.plan.is_direct and self.transformers is None
                    if is_direct and self.test.size * self.X.shape[1] <= FEW_INPUTS:
                        self.test_samples = samples._replace(table=make_table(self.X[self.test]))
                except Exception as error:
                    self._error = error
                self.fit_time = 0.0 if self.transformers is None else time.perf_counter() - start
                self._is_ready = True
        if self._error is not None:
            raise self._error

    def _prepare(self, network: Any) -> tuple[int, str]:
        """Do that; return the number of outputs and the loss."""
        plan, train = self.plan, self.train
        weights = None if plan.weights is None else plan.weights[train]
        self.weights: np.ndarray | None
        self.rows: np.ndarray | None
        chosen: Any
        if plan.door is not None:
            self.X, self.door = plan.door
            self.rows, chosen, self.weights = train, slice(None), None
            if weights is not None:
                check_sample_weight(weights, self.X[train])
                self.weights = plan.weights.astype(self.X.dtype)
        else:
            self.transformers = clone(plan.base).set_params(**clone(self.group, safe=False))[:-1]
            X = self.transformers.fit_transform(_take(plan.X, train), _take(plan.y, train))
            self.X, self.door = pass_door(network, X)
            self.rows, chosen = None, train
            self.weights = check_sample_weight(weights, self.X)
        if plan.labels is None:
            self.truth = plan.targets.reshape(len(plan.targets), -1)
            self.Y, n_outputs, loss = twin(network)._encode(plan.targets[chosen], self.X.dtype, False)
            self.fitted = {**self.door, "n_outputs_": n_outputs}
            return n_outputs, loss
        present = np.unique(plan.codes[train])
        self.truth = plan.codes
        if len(present) < len(plan.labels):  # the others do not exist for a fit on these rows
            position = np.full(len(plan.labels), -1)
            position[present] = np.arange(len(present))
            self.truth = position[plan.codes]
        self.Y = self.truth[chosen].astype(self.X.dtype)[:, np.newaxis]
        n_outputs, loss = (len(present), "log_loss") if len(present) > 2 else (1, "binary_log_loss")
        self.fitted = {**self.door, "n_outputs_": n_outputs, "classes_": plan.labels[present], "_sparse_labels": False}
        return n_outputs, loss

    def inputs(self, part: str) -> Iterator[Any]:
        """Yield the inputs of the "train" or "test" rows, few at a time where they must be copied."""
        rows = getattr(self, part)
        if self.transformers is None:
            for start in range(0, len(rows), PREDICTED_ROWS):
                yield self.X[rows[start : start + PREDICTED_ROWS]]
            return
        with self._lock:
            if part not in self._transformed:
                X = self.transformers.transform(_take(self.plan.X, rows))
                X, _ = twin(self.plan.network, **self.door)._check_rows(X, np.zeros(len(rows)), reset=False)
                self._transformed[part] = X.astype(self.X.dtype, copy=False)
        yield self._transformed[part]

    def predicted(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs as what `truth` holds: positions in the classes, or numbers of shape (n_rows, n_outputs)."""
        if self.plan.labels is None:
            return outputs
        if outputs.shape[1] > 1:
            return outputs.argmax(axis=1)
        return np.minimum(outputs[:, 0] > 0.5, len(self.fitted["classes_"]) - 1)


class Starts:
    """Where the networks that are being trained begin: the folds of a candidate have that in common, and candidates of the same
    sizes often have the starting weights."""

    def __init__(self, n_kept: int) -> None:
        self._n_kept = n_kept
        self._prepared: OrderedDict[Any, Any] = OrderedDict()
        self._drawn: OrderedDict[Any, Any] = OrderedDict()
        self._known_parameters: dict[str, Any] = {}
        self._lock = threading.Lock()

    def of(self, candidate: Candidate, fold: Fold, seed: int | None) -> tuple[Any, Any, list[tuple[Any, Twister]]]:
        """Return the estimator, the kernels' network, and weights and random state of each start."""
        with self._lock:
            return self._keep(self._prepared, (candidate, seed, *fold.kind), lambda: self._prepare(candidate, fold, seed))

    def _prepare(self, candidate: Candidate, fold: Fold, seed: int | None) -> tuple[Any, Any, list[tuple[Any, Twister]]]:
        candidate.check(self._known_parameters)
        network = twin(candidate.network, **fold.fitted)
        network.out_activation_ = parameters.output_activation_name(network.output_activation, fold.loss)
        dtype = fold.X.dtype
        sizes = [network.n_features_in_, *parameters.hidden_sizes(network.hidden_layer_sizes), network.n_outputs_]
        layout = network._make_network(sizes, dtype)
        source = network.random_state if seed is None else seed

        def draw() -> list[tuple[Any, Twister]]:
            first = copy.deepcopy(source) if isinstance(source, np.random.RandomState) else seeded(source)
            states = [first, *later_states(first, network.n_restarts - 1)]
            return [(network._draw(layout, sizes, state, dtype), Twister(state)) for state in states]

        # Objects that are no plain values are the grid's, which keeps them.
        values = [value if isinstance(value, int | str) else id(value) for value in (source, network.init)]
        key = (*network._key(), *values, network.init_scale, network.n_restarts, dtype, *sizes)
        return network, layout, self._keep(self._drawn, key, draw)

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
        Where the estimator's `random_state` is None: one of this fit's own.
    """

    def __init__(self, plan: Any, candidate: Candidate, fold: Fold, seed: int | None) -> None:
        self.plan, self.candidate, self.fold, self.seed = plan, candidate, fold, seed

    def run(self, starts: Starts, scratch: Any, n_threads: int) -> Result:
        """Return scores and times; `scratch` is the calling thread's, n_threads says how many may work on this fit."""
        plan, fold = self.plan, self.fold
        is_batched = plan.can_batch and self.candidate.is_batched
        hit_max_iter = False
        start = time.perf_counter()
        try:
            if is_batched:
                fold.prepare(self.candidate.network)
                start = time.perf_counter() - fold.fit_time
                network, layout, run, losses = self._train(starts, scratch, n_threads)
                hit_max_iter = run.outcome == "max_iter"
            else:
                model = self._fit_alone(n_threads)
        except Exception:
            if plan.error_score == "raise":
                raise
            return Result(time.perf_counter() - start, 0.0, error=traceback.format_exc())
        end = time.perf_counter()
        if is_batched and not plan.is_direct:
            model = self._finish(network, layout, run, losses)

        def scores(part: str) -> dict[str, float]:
            if is_batched and plan.is_direct:
                return self._score(layout, run, part, scratch, n_threads)
            rows = getattr(fold, part)
            weights = {} if plan.score_weights is None else {"sample_weight": plan.score_weights[rows]}
            X, y = _take(plan.X, rows), _take(plan.y, rows)
            return plan.collect(
                {name: lambda scorer=scorer: scorer(model, X, y, **weights) for name, scorer in plan.scorers.items()}
            )

        test_scores = scores("test")
        score_time = time.perf_counter() - end
        return Result(
            fit_time=end - start,
            score_time=score_time,
            test_scores=test_scores,
            train_scores=scores("train") if plan.return_train_score else None,
            hit_max_iter=hit_max_iter,
        )

    def _fit_alone(self, n_threads: int) -> Any:
        """Fit as GridSearchCV would."""
        plan, fold = self.plan, self.fold
        model = clone(plan.base).set_params(**clone(self.candidate.params, safe=False))
        network = model if plan.last is None else model.steps[-1][1]
        if isinstance(network, BaseBP):
            if self.seed is not None:
                network.random_state = self.seed
            if network.n_threads is None:
                network.n_threads = n_threads
        fit_params = {name: values if values is None else _take(values, fold.train) for name, values in plan.fit_params.items()}
        return model.fit(_take(plan.X, fold.train), _take(plan.y, fold.train), **fit_params)

    def _train(self, starts: Starts, scratch: Any, n_threads: int) -> tuple[Any, Any, Run, np.ndarray]:
        """Do what the estimator's fit does after its checks, on rows of the shared X.

        Returns estimator, kernels' network, best start and losses of all.
        """
        network, layout, starting = starts.of(self.candidate, self.fold, self.seed)
        rows, validation = self.fold.training_rows, None
        states: list[Any] = [state for _, state in starting]
        early_stopping = network._stops_early()
        if early_stopping:
            states[0] = states[0].random_state()
            network = twin(network, **self.fold.fitted)  # the split looks at the fold's classes
            rows, validation = network._split(rows, states[0])

        def begin(number: int) -> Run:
            params = aligned_zeros(layout.n_parameters, rows.X.dtype)
            params[:] = starting[number][0]
            return Run(params, History(), None, states[number], None if early_stopping else self.fold.test_samples)

        training = Training(network, layout, rows, validation, network.max_iter)
        best, losses, is_interrupted = training.run(begin, len(states), scratch, network.n_threads or n_threads)
        if is_interrupted:
            raise KeyboardInterrupt
        if best.error is not None:
            raise best.error
        return network, layout, best, losses

    def _finish(self, network: Any, layout: Any, run: Run, losses: np.ndarray) -> Any:
        """Return the fitted estimator that scorers can ask."""
        network = twin(network, **self.fold.fitted, restart_losses_=losses)
        network._bind(layout, run.params)
        network._publish(run)
        if self.plan.last is None:
            return network
        steps = [] if self.fold.transformers is None else self.fold.transformers.steps
        return Pipeline([*steps, (self.plan.last, network)])

    def _score(self, layout: Any, run: Run, part: str, scratch: Any, n_threads: int) -> dict[str, float]:
        """Score outputs directly."""
        fold, plan, known = self.fold, self.plan, run.history.test_outputs if part == "test" else None
        rows = getattr(fold, part)

        def predict(X: Any) -> np.ndarray:
            return predict_outputs(layout, run.params, X, n_threads=n_threads, scratch=scratch)

        try:
            outputs = [predict(X) for X in fold.inputs(part)] if known is None else [known]
        except Exception as error:  # the transformers may not take these rows
            return dict.fromkeys(plan.scorers, plan.failed_score(error))
        predicted = fold.predicted(outputs[0] if len(outputs) == 1 else np.concatenate(outputs))
        weights = None if plan.score_weights is None else plan.score_weights[rows]
        truth = fold.truth[rows]
        scores = {}
        for name, score in plan.direct.items():
            try:
                scores[name] = score(truth, predicted, weights)
            except Exception as error:
                scores[name] = plan.failed_score(error)
        return scores
