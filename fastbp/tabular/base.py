"""What BPTabularClassifier and BPTabularRegressor share: from a table to trained networks, and their outputs."""

from numbers import Real
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, check_random_state

from fastbp.estimators import parameters
from fastbp.estimators.inputs import twin
from fastbp.estimators.versions import Versioned
from fastbp.tabular.columns import checked, opened
from fastbp.tabular.encoder import TableEncoder
from fastbp.tabular.folds import check_folds, drawn_folds
from fastbp.tabular.pool import Pool, train_pool
from fastbp.tabular.recipe import EXAMPLES, PRESETS, Preset, Task, network_options
from fastbp.tabular.rows import Rows, unfitted

# what BPClassifier and BPRegressor do around a training, or is the recipe's own; in `network_params` it would do nothing
NOT_OF_NETWORKS = {
    *("loss", "delta", "focal_gamma", "power", "quantile", "warm_start", "validation_split", "refit", "scoring", "calibration"),
    *("ensemble", "input_scaling", "target_scaling"),
}


class BaseTabular(Versioned, BaseEstimator):
    """The shared part: from a table to trained networks."""

    _task: Task
    encoder_: TableEncoder
    networks_: list[Any]
    _examples: Any
    _weights_of_examples: np.ndarray | None = None
    _pool: Pool | None = None

    def __init__(
        self,
        preset: str = "default",
        *,
        n_ensemble: int | None = None,
        cv: Any = None,
        max_iter: int | None = None,
        max_time: float | None = None,
        network_params: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.preset = preset
        self.n_ensemble = n_ensemble
        self.cv = cv
        self.max_iter = max_iter
        self.max_time = max_time
        self.network_params = network_params
        self.random_state = random_state
        self.n_threads = n_threads

    # ---- what the subclasses say

    def _network(self, options: dict[str, Any]) -> Any:
        """Return an unfitted network of the estimator below."""
        raise NotImplementedError

    def _learn(self, table: Any, y: Any, sample_weight: Any) -> None:
        """Set the fitted attributes."""
        raise NotImplementedError

    def _score_of(self, y: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> float:
        """Return the score of targets as the networks have them and of averaged outputs."""
        raise NotImplementedError

    def _calibrates(self, preset: Preset) -> bool:
        """Whether probabilities are calibrated."""
        return False

    def _calibrate(self, Y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> None:
        """Learn how sure to be from rows that training has not seen."""
        raise NotImplementedError

    # ---- training

    def _check(self) -> Preset:
        """Check the parameters; return the preset with what takes the place of its values."""
        check = parameters.check_parameter
        check("preset", self.preset, (parameters.one_of(*PRESETS),), self)
        for name in ("n_ensemble", "max_iter", "n_threads"):
            value = getattr(self, name)
            if value is not None:
                check(name, value, parameters.COUNT, self)
        if self.max_time is not None and not (isinstance(self.max_time, Real) and float(self.max_time) > 0):
            raise ValueError(f"max_time must be a number of seconds above 0 or None, got {self.max_time!r}.")
        if not (self.network_params is None or isinstance(self.network_params, dict)):
            raise ValueError(f"network_params must be a dict or None, got {self.network_params!r}.")
        mine = {*NOT_OF_NETWORKS, *self.get_params(deep=False)} & set(self.network_params or ())
        if mine:
            raise ValueError(
                f"network_params cannot set {', '.join(sorted(mine))}: these are not for the networks of a {type(self).__name__}."
            )
        chosen = PRESETS[self.preset]
        if chosen.has_pool and "embedded_features" in (self.network_params or {}):
            raise ValueError(
                f"network_params cannot set embedded_features with preset={self.preset!r}: its networks see other columns."
            )
        values: dict[str, Any] = {
            name: getattr(self, name) for name in ("n_ensemble", "max_iter") if getattr(self, name) is not None
        }
        if self.max_iter is not None:
            values |= dict.fromkeys(("short_max_iter", "long_max_iter", "class_max_iter"), self.max_iter)
        return chosen._replace(**values)

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> Self:
        """Fit a copy, then take over all that it has learnt: all or nothing."""
        self._check()
        check_folds(self.cv)
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        new = unfitted(self)
        new._learn(checked(X), opened(y), sample_weight)
        self.__dict__ = vars(new)
        return self

    def _encode(self, table: Any, rows: Rows) -> np.ndarray:
        """Fit the encoder; return the encoded rows that count."""
        takes_codes = not PRESETS[self.preset].has_pool and (self.network_params or {}).get("solver") != "lm"
        self.encoder_ = TableEncoder(as_codes=takes_codes)
        encoded = self.encoder_._learn(table, rows)
        self.n_features_in_ = self.encoder_.n_features_in_
        if hasattr(self.encoder_, "feature_names_in_"):
            self.feature_names_in_ = self.encoder_.feature_names_in_
        return encoded

    def _train(self, table: Any, labels: np.ndarray, rows: Rows, X: np.ndarray, Y: np.ndarray, n_outputs: int, loss: str) -> None:
        """Train the networks on encoded rows and targets, (n_rows, 1) of class numbers or (n_rows, n_outputs), of the rows that
        count; cv splits the table and its labels, (n_all_rows,)."""
        from fastbp.tabular.trainer import Trainer

        preset, n_rows = self._check(), len(X)
        if preset.has_pool:
            train_pool(self, table, labels, rows, Y, n_outputs, loss)
            return
        random_state = check_random_state(self.random_state)
        folds: list[Any] = [(None, None)]
        if self.cv is not None:
            folds = drawn_folds(self.cv, table, labels, rows, loss == "log_loss", random_state)
        weights, fitted = rows.weights, {"n_features_in_": X.shape[1]} | self._of_networks(n_outputs)
        n_networks, n_needed = preset.n_ensemble * len(folds), len(folds)
        seeds = random_state.randint(2**31 - 1, size=n_networks)
        tasks: list[Any] = [(train, seed) for (train, _), seed in zip(folds * preset.n_ensemble, seeds, strict=True)]

        def network_of(n_seen: int, max_iter: int, seed: int) -> Any:
            options = network_options(self._task, n_seen, self.encoder_.n_numbers_, max_iter) | (self.network_params or {})
            return self._network(options | {"random_state": seed})

        n_trials = min(3, 1 + n_networks // 4)  # one may mislead, and three cost little beside eight networks
        calibrates = self._calibrates(preset)
        n_calibrating = n_trials if calibrates and self.cv is None else 0  # with cv there are rows held out anyway
        trainer = Trainer(
            network_of, X, Y, weights, n_outputs, loss, fitted,
            categories=self.encoder_.n_categories_ if self.encoder_.as_codes else [],
            n_networks=n_networks + n_calibrating, n_threads=self.n_threads,
        )  # fmt: skip
        if self.max_time is not None:
            trainer.keep_within(self.max_time, *tasks[0])
        trials: list[Any] = []
        if loss == "squared_error":
            max_iter = trainer.tried_epochs(preset, n_trials, random_state, n_needed)
        else:
            max_iter = preset.class_max_iter
            if n_calibrating:
                trials = trainer.trials(n_calibrating, max_iter, max_iter * n_needed, random_state)
        # A whole round of folds at least, so that every row is held out once.
        max_iter = int(np.clip(trainer.epochs_left / n_needed, 1, max_iter))
        n_rounds = int(np.clip(trainer.epochs_left / (max_iter * n_needed), 1, preset.n_ensemble))
        tasks = [(train, seed, max_iter) for train, seed in tasks[: n_rounds * n_needed]]
        networks = trainer.side_by_side(trainer.train, [*tasks, *(trial.task(max_iter) for trial in trials)])
        self.networks_ = networks[: len(tasks)]
        if trials:
            held_out = np.concatenate([trial.held_out for trial in trials])
            tried = zip(networks[len(tasks) :], trials, strict=True)
            outputs = np.concatenate([network._outputs(X[trial.held_out]) for network, trial in tried])
            self._calibrate(Y[held_out], outputs, None if weights is None else weights[held_out])
        self.n_iter_ = max_iter
        chosen = random_state.permutation(n_rows)[:EXAMPLES]
        self._examples, self._weights_of_examples = X[chosen], None if weights is None else weights[chosen]
        if self.cv is not None:
            outputs = self._held_out_outputs(X, [held_out for _, held_out in folds] * n_rounds)
            self._publish_held_out(table, rows, Y, outputs, calibrates)

    def _publish_held_out(self, table: Any, rows: Rows, Y: np.ndarray, outputs: np.ndarray, calibrates: bool) -> None:
        """Calibrate by outputs for the rows that count, of networks that have not seen them, and keep what they say."""
        if calibrates:
            self._calibrate(Y, outputs, rows.weights)
        predicted = self._finished(outputs)
        self.oof_score_ = self._score_of(Y, predicted, rows.weights)
        self.oof_prediction_ = rows.spread_out(predicted)
        if not rows.are_all:  # which no network was trained on
            self.oof_prediction_[rows.others] = self._finished(self._averaged(self._inputs(table, rows.others)))

    def _held_out_outputs(self, X: np.ndarray, held_out: list[np.ndarray]) -> np.ndarray:
        """Average, for each row that counts, the outputs of the networks that have not seen it."""
        outputs: Any = None
        counts = np.zeros(len(X))
        for model, rows in zip(self.networks_, held_out, strict=True):
            if not len(rows):
                continue
            part = model._outputs(np.ascontiguousarray(X[rows])).astype(np.float64)
            outputs = np.zeros((len(X), part.shape[1])) if outputs is None else outputs
            outputs[rows] += part
            counts[rows] += 1
        return outputs / counts[:, np.newaxis]

    # ---- prediction

    def _of_networks(self, n_outputs: int) -> dict[str, Any]:
        """Return fitted attributes of each network."""
        return {}

    def _finished(self, outputs: np.ndarray) -> np.ndarray:
        """Return averaged outputs as what users get: probabilities, or numbers in the target's units."""
        raise NotImplementedError

    def _targets_of_outputs(self, Y: np.ndarray) -> np.ndarray:
        """Return what the networks' outputs, (n_rows, n_outputs), were to be in training."""
        return Y

    def _inputs(self, X: Any, rows: Any = slice(None)) -> Any:
        """Return numbered rows of a table as `_averaged` takes them."""
        return self.encoder_._encoded(X, rows) if self._pool is None else self._pool.reader.read(X, rows)

    def _averaged(self, encoded: Any) -> np.ndarray:
        """Return the mean of the networks' outputs, (n_rows, n_outputs) float64."""
        if self._pool is not None:
            return self._pool.averaged(self.networks_, encoded, self.n_threads)
        total = np.zeros(())
        for model in self.networks_:
            total = total + twin(model, n_threads=self.n_threads)._outputs(encoded).astype(np.float64)
        return total / len(self.networks_)

    @property
    def feature_importances_(self) -> np.ndarray:
        """Share of each column of the table, (n_features,), in how much predictions change when it is shuffled.

        The root of the mean squared change of the outputs over some 256 rows of training, by their weights, with one column
        after the other shuffled among them; they sum to 1, or are all 0. For importances by a score, on rows that training has
        not seen, take `sklearn.inspection.permutation_importance`.
        """
        check_is_fitted(self)
        changes = np.zeros(self.n_features_in_)
        if self.networks_:
            before, random = self._averaged(self._examples), np.random.RandomState(0)
            for column in np.unique(self.encoder_.sources_):
                order = random.permutation(len(before))
                squares = np.mean((self._averaged(self._shuffled(column, order)) - before) ** 2, axis=1)
                changes[column] = np.sqrt(np.average(squares, weights=self._weights_of_examples))
        return changes / changes.sum() if changes.any() else changes

    def _shuffled(self, column: int, order: np.ndarray) -> Any:
        """Return the examples with one column of the table in another order."""
        if self._pool is not None:
            return self._pool.reader.shuffled(self._examples, column, order)
        shuffled, mine = self._examples.copy(), self.encoder_.sources_ == column
        shuffled[:, mine] = shuffled[order][:, mine]
        return shuffled

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags
