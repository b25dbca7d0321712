"""The base class of BPTabularClassifier and BPTabularRegressor: from a table to trained networks, and their outputs."""

import copy
import functools
from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.metrics import check_scoring
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted, check_random_state

from fastbp.estimators import parameters
from fastbp.estimators.callbacks import OF_CALLBACKS, CallbackSupportMixin, fit_watched, has_callbacks
from fastbp.estimators.categories import sizes_of_embeddings
from fastbp.estimators.inputs import check_sample_weight, twin, unfitted
from fastbp.estimators.parameter_kinds import EMBEDDING_SIZE
from fastbp.estimators.representation import ShownInNotebooks
from fastbp.estimators.targets import Targets
from fastbp.estimators.versions import Versioned
from fastbp.names import LOSSES
from fastbp.tabular.columns import TakesTables, checked, opened
from fastbp.tabular.conformal import Members, members_of
from fastbp.tabular.encoder import TableEncoder
from fastbp.tabular.folds import check_folds, drawn_folds, mean_held_out, number_of_folds
from fastbp.tabular.monitor import Monitor, ValidationRows, expected, mean_curve
from fastbp.tabular.pool import Pool, train_pool
from fastbp.tabular.ranks import Ranks, sees_ranks
from fastbp.tabular.recipe import EXAMPLES, MOST_ROWS_OF_SEVERAL, PRESETS, Preset, Task, network_options
from fastbp.tabular.rows import Rows
from fastbp.tabular.targets import moments

# Parameters of BPClassifier and BPRegressor that would do nothing in `network_params`: they act around a training, not in it.
NOT_OF_NETWORKS = {
    *("loss", "delta", "focal_gamma", "power", "quantile", "warm_start", "validation_split", "refit", "scoring", "calibration"),
    *("ensemble", "input_scaling", "target_scaling", "categorical_features", "missing_targets"),
    *("monotonic_cst", "ordered", "feature_importances"),
}


class BaseTabular(TakesTables, Versioned, ShownInNotebooks, CallbackSupportMixin, BaseEstimator):
    """Trains the networks, averages their outputs, and calibrates by held-out rows."""

    _task: Task
    encoder_: TableEncoder
    networks_: list[Any]
    _examples: Any
    _weights_of_examples: np.ndarray | None = None
    _held_out: dict[str, Any] | None = None
    _validation_scores: list[float] | None = None
    _pool: Pool | None = None
    _ranks: Ranks | None = None

    # Parameters, set by the subclasses.
    preset: str
    n_ensemble: int | None
    cv: Any
    max_iter: int | None
    max_time: float | None
    network_params: dict[str, Any] | None
    scoring: Any
    verbose: bool | int
    random_state: int | np.random.RandomState | None
    n_threads: int | None

    # ---- for the subclasses to define

    def _network(self, options: dict[str, Any]) -> Any:
        """Return an unfitted BPClassifier or BPRegressor."""
        raise NotImplementedError

    def _learn(self, table: Any, y: Any, sample_weight: Any, validation: tuple[Any, Any, Any], monitor: Monitor) -> None:
        """Set the fitted attributes."""
        raise NotImplementedError

    def _score_of(self, y: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> float:
        """Return the score of predictions; y: targets as the networks have them."""
        raise NotImplementedError

    def _calibrates(self, preset: Preset) -> bool:
        """Whether probabilities are calibrated."""
        return False

    def _calibrate(self, Y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> None:
        """Set the temperature, by outputs for rows that the networks were not trained on."""
        raise NotImplementedError

    # ---- training

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | float | None = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: ArrayLike | float | None = None,
    ) -> Self:
        """Train the networks.

        Parameters
        ----------
        X : table or array-like of shape (n_samples, n_features)
            A data frame of pandas, polars or Dask, a Table of pyarrow, an array, or a list of rows. A polars LazyFrame is
            collected.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets. A classifier takes class labels; several columns of these, each with its own softmax; or a matrix of zeros
            and ones, also sparse, for multilabel targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in the loss and in all that is learned from the table. Rows of weight 0 are left out. None is 1.
        X_val : table or array-like of shape (n_val, n_features), default=None
            Your own validation rows. They do not change the fit; `validation_scores_` and `validation_loss_curve_` have the
            results on them after each epoch.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Targets of the validation rows.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of the validation rows.

        Returns
        -------
        self : estimator
            The fitted estimator.

        Raises
        ------
        ValueError
            Parameters or data are not valid, or sample weights are negative or all 0.
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val))

    def _check(self) -> Preset:
        """Check the parameters; return the preset, with the user's values in place of some."""
        check = parameters.check_parameter
        check("preset", self.preset, (parameters.one_of(*PRESETS),), self)
        for name in ("n_ensemble", "max_iter", "n_threads"):
            value = getattr(self, name)
            if value is not None:
                check(name, value, parameters.COUNT, self)
        check("verbose", self.verbose, (parameters.integer_from(0), parameters.BOOLEAN), self)
        if self.max_time is not None and not (isinstance(self.max_time, Real) and float(self.max_time) > 0):
            raise ValueError(f"max_time must be a number of seconds above 0 or None, got {self.max_time!r}.")
        if not (self.network_params is None or isinstance(self.network_params, dict)):
            raise ValueError(f"network_params must be a dict or None, got {self.network_params!r}.")
        mine = {*NOT_OF_NETWORKS, *self.get_params(deep=False)} & set(self.network_params or ())
        if mine:
            raise ValueError(
                f"network_params cannot set {', '.join(sorted(mine))}: these are not for the networks of a {type(self).__name__}."
            )
        size = (self.network_params or {}).get("embedding_size")
        check("network_params['embedding_size']", size, EMBEDDING_SIZE.rules, self)
        if size is not None and not self._sees_codes():
            raise ValueError("network_params: embedding_size does not go with solver='lm', which is for weights and intercepts.")
        chosen = PRESETS[self.preset]
        if self.cv is not None:
            chosen = chosen._replace(n_ensemble=chosen.n_of_fold, has_ranks=False)
        if self.n_ensemble is not None:
            chosen = chosen._replace(has_ranks=False)
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

    def _fit(self, X: Any, y: Any, sample_weight: Any, validation: tuple[Any, Any, Any]) -> Self:
        """Fit a copy, then take over its attributes: all or none."""
        preset = self._check()
        check_folds(self.cv)
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        if (validation[0] is None) != (validation[1] is None) or (validation[0] is None and validation[2] is not None):
            raise ValueError("X_val and y_val go together: give both, or neither.")
        new = unfitted(self)
        for name in [name for name in vars(new) if name.startswith("_") and hasattr(type(self), name)]:
            del vars(new)[name]  # from an earlier fit: not every fit sets these, and the class has defaults

        def learn(hooks: Any = None) -> None:
            monitor.hooks = hooks
            new._learn(checked(X), opened(y), sample_weight, validation, monitor)
            of_callbacks = {name: value for name, value in vars(self).items() if name in OF_CALLBACKS}
            self.__dict__ = vars(new) | of_callbacks

        def now(run: Any) -> dict[str, Any]:
            mine = self.get_params(deep=False).keys() | OF_CALLBACKS
            fitted = vars(new) | {"networks_": [monitor.underway[run.number](run)], "n_iter_": run.history.n_iter}
            return {name: value for name, value in fitted.items() if name not in mine}

        monitor = Monitor(int(self.verbose))
        if has_callbacks(self):
            stops_early = bool((self.network_params or {}).get("early_stopping", False))
            n_folds = 1 if self.cv is None else number_of_folds(self.cv, X, y)
            most = max(preset.max_iter, preset.long_max_iter, preset.class_max_iter)
            fit_watched(self, (X, y, sample_weight), expected(preset.n_ensemble * n_folds, most, stops_early), learn, now)
        else:
            learn()
        return self

    def _sees_codes(self) -> bool:
        """Whether the networks take categories as codes, as all do except those of 'lm'."""
        return (self.network_params or {}).get("solver") != "lm"

    def _with_network_params(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return options of a network, with the user's in place of some; `embedding_size` is in `_coded` instead."""
        return options | {name: value for name, value in (self.network_params or {}).items() if name != "embedding_size"}

    def _coded(self) -> dict[str, tuple[int, ...]]:
        """Return the settings of the columns of codes: the number of categories in each, and the sizes of their embeddings."""
        encoder = self.encoder_
        if not encoder.as_codes:
            return {}
        names, wanted = encoder._names().tolist(), (self.network_params or {}).get("embedding_size")
        sizes = sizes_of_embeddings(wanted, encoder._categories, encoder.n_categories_, names, self)
        return {"categories": tuple(encoder.n_categories_)} | ({"category_sizes": sizes} if sizes else {})

    def _encode(self, table: Any, rows: Rows) -> np.ndarray:
        """Fit the encoder; return the encoded rows of weight above 0."""
        self.encoder_ = TableEncoder(as_codes=self._sees_codes())
        encoded = self.encoder_._learn(table, rows)
        self.n_features_in_ = self.encoder_.n_features_in_
        if hasattr(self.encoder_, "feature_names_in_"):
            self.feature_names_in_ = self.encoder_.feature_names_in_
        return encoded

    def _validation_rows(
        self, validation: tuple[Any, Any, Any], targets_of: Callable[[Any], tuple[np.ndarray, Any]]
    ) -> ValidationRows | None:
        """Return the encoded validation rows; targets_of: from targets as given to those of the networks, and to an array."""
        X, y, weights = validation
        if X is None:
            return None
        try:
            encoded = self.encoder_._encoded(X)
            Y, y = targets_of(opened(y))
            check_consistent_length(encoded, y)
            return ValidationRows(encoded, Y, check_sample_weight(weights, encoded), y)
        except ValueError as error:
            raise ValueError(f"X_val, y_val: {error}") from error

    def _trainer(
        self, X: np.ndarray, targets: Targets, weights: Any, fitted: Any, n_networks: int, monitor: Any, ranked: Any = None
    ) -> Any:
        """Return a `Trainer` for encoded rows, and for `ranked` rows if there are such."""
        from fastbp.tabular.trainer import Trainer

        def network_of(n_seen: int, max_iter: int, seed: int) -> Any:
            options = network_options(self._task, n_seen, self.encoder_.n_numbers_, max_iter)
            return self._network(self._with_network_params(options) | {"random_state": seed})

        return Trainer(
            network_of, X, ranked, targets, weights, {"n_features_in_": X.shape[1]} | fitted,
            coded=self._coded(), n_networks=n_networks, n_threads=self.n_threads, monitor=monitor,
        )  # fmt: skip

    def _train(
        self, table: Any, y: np.ndarray, strata: np.ndarray, rows: Rows, X: np.ndarray, targets: Targets, monitor: Any
    ) -> None:
        """Train the networks on the encoded rows and targets of weight above 0. `cv` splits the table with its targets, y; one
        column of classes is stratified by strata, the numbers of the classes, (n_all_rows,)."""
        preset, n_rows = self._check(), len(X)
        scorer = None if self.scoring is None else check_scoring(self, scoring=self.scoring)
        fitted: dict[str, Any] = {}
        if targets.classes is not None:
            fitted = {"classes_": targets.classes, "_sparse_labels": False}
        if preset.has_pool:
            train_pool(self, table, y, strata, rows, X, targets, fitted, monitor, scorer)
            return
        if preset.has_ranks and n_rows > MOST_ROWS_OF_SEVERAL:
            preset = preset._replace(n_ensemble=preset.n_of_fold, has_ranks=False)
        ranked = None
        if preset.has_ranks and self.encoder_.n_numbers_:
            self._ranks = Ranks(X[:, : self.encoder_.n_numbers_], rows.weights)
            ranked, monitor.seen = self._seen(True, X), self._seen
        random_state = check_random_state(self.random_state)
        folds: list[Any] = [(None, None)]
        if self.cv is not None:
            folds = drawn_folds(self.cv, table, strata, rows, LOSSES[targets.loss].has_class_numbers, random_state)
        weights = rows.weights
        n_networks, n_needed = preset.n_ensemble * len(folds), len(folds)
        seeds = random_state.randint(2**31 - 1, size=n_networks)
        tasks: list[Any] = [(train, seed) for (train, _), seed in zip(folds * preset.n_ensemble, seeds, strict=True)]

        n_trials = max(1, min(3, n_networks * 3 // 8))  # one may mislead, and three cost little beside eight networks
        calibrates = self._calibrates(preset)
        n_calibrating = n_trials if calibrates and self.cv is None else 0  # with cv there are held-out rows already
        trainer = self._trainer(X, targets, weights, fitted, n_networks + n_calibrating, monitor, ranked)
        monitor.say(f"Table: {rows.n_all} rows, {self.n_features_in_} columns that become {X.shape[1]} inputs of the networks.")
        if self.max_time is not None:
            trainer.keep_within(self.max_time, *tasks[0])
        trials: list[Any] = []
        if not LOSSES[targets.loss].is_regression:
            max_iter = preset.class_max_iter
            if n_calibrating:
                trials = trainer.trials(n_calibrating, max_iter, max_iter * n_needed, random_state)
        elif LOSSES[targets.loss].is_own_score and not LOSSES[targets.loss].has_spread:  # R² is not its aim
            max_iter = preset.max_iter
        else:
            max_iter = trainer.tried_epochs(preset, n_trials, random_state, n_needed)
        # At least one round of folds, so that every row is held out once.
        max_iter = int(np.clip(trainer.epochs_left / n_needed, 1, max_iter))
        n_rounds = int(np.clip(trainer.epochs_left / (max_iter * n_needed), 1, preset.n_ensemble))
        tasks = [(train, seed, max_iter) for train, seed in tasks[: n_rounds * n_needed]]
        monitor.say(f"Training: {len(tasks)} network{'s' * (len(tasks) > 1)} of {max_iter} epochs.")
        if scorer is not None and monitor.validation is not None:
            monitor.score = functools.partial(self._score_validation, scorer, monitor.validation)
        kept = [(number, *task) for number, task in enumerate(tasks)]
        with monitor.training(len(tasks)):
            networks = trainer.side_by_side(trainer.train, [*kept, *(trial.task(max_iter) for trial in trials)])
        self.networks_ = networks[: len(tasks)]
        if monitor.scores:
            self._validation_scores = mean_curve(list(monitor.scores.values()))
        if trials:
            held_out = np.concatenate([trial.held_out for trial in trials])
            tried = zip(networks[len(tasks) :], trials, strict=True)
            outputs = np.concatenate([network._outputs(X[trial.held_out]) for network, trial in tried])
            self._calibrate(targets.Y[held_out], outputs, None if weights is None else weights[held_out])
        self.n_iter_ = max_iter
        chosen = random_state.permutation(n_rows)[:EXAMPLES]
        self._examples, self._weights_of_examples = X[chosen], None if weights is None else weights[chosen]
        if self.cv is not None:
            of_networks = [held_out for _, held_out in folds] * n_rounds
            each = zip(of_networks, self.networks_, strict=True)
            parts = ((held_out, moments(one, one._outputs(X[held_out]))) for held_out, one in each if len(held_out))
            outputs, members = mean_held_out(parts, n_rows), members_of(of_networks, n_rows)
            self._publish_held_out(table, y, rows, targets.Y, outputs, members, calibrates, scorer)
            monitor.say(f"Held out: score {self.oof_score_:.4f}.")

    def _publish_held_out(
        self,
        table: Any,
        y: np.ndarray,
        rows: Rows,
        Y: np.ndarray,
        outputs: np.ndarray,
        members: Members,
        calibrates: bool,
        scorer: Any,
    ) -> None:
        """Calibrate by the outputs for held-out rows, and set the attributes that these give."""
        if calibrates:
            self._calibrate(Y, outputs, rows.weights)
        self._held_out = {**members._asdict(), "weights": rows.weights, **self._compared(Y, outputs)}
        self.oof_score_ = (
            self._score_of(Y, self._finished(outputs), rows.weights)
            if scorer is None
            else float(scorer(self._with_outputs(outputs, self.networks_), outputs, y[rows.row_indices], **option(rows.weights)))
        )
        of_all = rows.spread_out(outputs)
        if not rows.are_all:
            of_all[rows.others] = self._averaged(self._inputs(table, rows.others))
        self.oof_prediction_ = self._finished(of_all)

    def _with_outputs(self, outputs: np.ndarray, networks: list[Any]) -> Any:
        """Return a copy for a scorer, which predicts by these outputs for any rows."""
        copied: Any = copy.copy(self)
        copied.networks_ = networks
        copied._outputs = lambda X: outputs
        return copied

    def _score_validation(self, scorer: Any, validation: ValidationRows, network: Any) -> float:
        """Return the score of one network on the validation rows."""
        outputs = network._outputs(self._seen(sees_ranks(network), validation.X))
        copied = self._with_outputs(moments(network, outputs), [network])
        return float(scorer(copied, validation.X, validation.y, **option(validation.weights)))

    # ---- prediction

    def _compared(self, Y: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        """Return what `predict_interval` or `predict_set` needs of the held-out rows."""
        raise NotImplementedError

    def _finished(self, outputs: np.ndarray) -> Any:
        """Return predictions from averaged outputs: probabilities, or numbers in the units of the targets."""
        raise NotImplementedError

    def _targets_of_outputs(self, Y: np.ndarray) -> np.ndarray:
        """Return the targets that the outputs, (n_rows, n_outputs), were trained towards."""
        return Y

    def _inputs(self, X: Any, rows: Any = slice(None)) -> Any:
        """Return rows of a table as `_averaged` takes them."""
        return self.encoder_._encoded(X, rows) if self._pool is None else self._pool.reader.read(X, rows)

    def _outputs(self, X: Any) -> np.ndarray:
        """Return the mean of the networks' outputs for rows of a table."""
        return self._averaged(self._inputs(X))

    def _seen(self, are_ranks: bool, encoded: np.ndarray) -> np.ndarray:
        """Return the inputs of a network: encoded rows, with ranks in place of numbers or as they are."""
        if not are_ranks or self._ranks is None:
            return encoded
        n_numbers = self.encoder_.n_numbers_
        return np.ascontiguousarray(np.hstack([self._ranks.of(encoded[:, :n_numbers]), encoded[:, n_numbers:]]))

    def _by_network(self, encoded: Any) -> Iterator[np.ndarray]:
        """Yield the outputs of each network, (n_rows, n_outputs) float64, without a change to the networks."""
        if self.n_threads is not None:
            parameters.check_parameter("n_threads", self.n_threads, parameters.COUNT, self)
        if self._pool is not None:
            yield from self._pool.outputs(self.networks_, encoded, self.n_threads)
            return
        seen = {kind: self._seen(kind, encoded) for kind in set(map(sees_ranks, self.networks_))}
        for model in self.networks_:
            yield moments(model, twin(model, n_threads=self.n_threads)._outputs(seen[sees_ranks(model)]))

    def _averaged(self, encoded: Any) -> np.ndarray:
        """Return the mean of the networks' outputs, (n_rows, n_outputs) float64."""
        each: Any = self._by_network(encoded)
        if self._pool is not None:
            return sum(weight * outputs for weight, outputs in zip(self._pool.weights, each, strict=True))
        return sum(each) / len(self.networks_)

    def _compared_with(self, X: Any, wanted: str, method: str) -> tuple[np.ndarray, dict[str, Any]]:
        """Return outputs of groups of networks, (n_groups, n_rows, n_outputs), and the held-out rows that they are compared with.

        For 'cv' there is one group, of all networks; for 'cv+' each group has the networks that have not seen its held-out rows.
        """
        parameters.check_parameter("method", method, (parameters.one_of("cv", "cv+"),), wanted)
        check_is_fitted(self)
        if self._held_out is None:
            raise ValueError(
                f"{wanted} needs held-out rows, which this {type(self).__name__} has not had: fit it with cv=5 (or"
                " another number of folds) or with preset='ensemble'."
            )
        kept, encoded = self._held_out, self._inputs(X)
        if method == "cv":
            return self._averaged(encoded)[np.newaxis], kept | {"group_of": np.zeros_like(kept["group_of"])}
        return Members(kept["shares"], kept["group_of"]).outputs(np.array(list(self._by_network(encoded)))), kept

    # ---- the course of the training

    @property
    def loss_curve_(self) -> list[float]:
        """Training loss after each epoch, the mean over the networks."""
        return self._curve("loss_curve_")

    @property
    def validation_loss_curve_(self) -> list[float] | None:
        """Loss on `X_val` after each epoch, the mean over the networks; None without `X_val`."""
        return self._curve("validation_loss_curve_")

    @property
    def validation_scores_(self) -> list[float] | None:
        """Score on `X_val` after each epoch, the mean over the networks; None without `X_val`."""
        return self._curve("validation_scores_") if self._validation_scores is None else self._validation_scores

    def _curve(self, name: str) -> Any:
        if not self.__dict__.get("networks_"):
            raise AttributeError(f"This {type(self).__name__} has no {name}: it has trained no network.")
        curves: list[Any] = [getattr(network, name, None) for network in self.networks_]
        return None if any(curve is None for curve in curves) else mean_curve(curves)

    @property
    def feature_importances_(self) -> np.ndarray:
        """How much the predictions change when a column of the table is shuffled, (n_features,).

        For each column, the root mean squared change of the outputs over at most 256 rows of training, by their weights; divided
        by the sum over the columns, unless all are 0. For importances by a score on new rows, take
        `sklearn.inspection.permutation_importance`.
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

    def _facts_html(self) -> str:
        return self.encoder_._facts_html() if hasattr(self, "encoder_") else ""

    def _shuffled(self, column: int, order: np.ndarray) -> Any:
        """Return the examples with one column of the table in another order."""
        if self._pool is not None:
            return self._pool.reader.shuffled(self._examples, column, order)
        shuffled, mine = self._examples.copy(), self.encoder_.sources_ == column
        shuffled[:, mine] = shuffled[order][:, mine]
        return shuffled


def option(weights: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return weights as an option of scorers, some of which have no such option."""
    return {} if weights is None else {"sample_weight": weights}
