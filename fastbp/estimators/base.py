"""The base class of the estimators: fits, fitted attributes, predictions and pickles."""

import copy
import functools
import math
import warnings
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from fastbp.estimators import parameters
from fastbp.estimators.callbacks import CallbackSupportMixin, fit_watched, has_callbacks
from fastbp.estimators.categories import coded_rows, has_categories, network_settings
from fastbp.estimators.class_weights import row_weights
from fastbp.estimators.explain import Explained, importances_of
from fastbp.estimators.inputs import check_rows, check_structure, plain_rows, read_by, twin
from fastbp.estimators.integrity import check_categories
from fastbp.estimators.missing import IGNORE, with_missing, without_missing
from fastbp.estimators.monotone import check_signs, constraints_of
from fastbp.estimators.publish import publish
from fastbp.estimators.representation import ShownInNotebooks
from fastbp.estimators.resume import HISTORY, check_continues, has_changed_moments, is_preset, resumed_from, with_fitted_output
from fastbp.estimators.scaling import Scaled, scaled_inputs
from fastbp.estimators.settings import known_settings, settings_of
from fastbp.estimators.targets import Targets
from fastbp.estimators.validation import all_rows, check_choices, given_rows, refitted, score_of, warn_of_early_stopping
from fastbp.estimators.versions import Versioned
from fastbp.names import SOLVERS
from fastbp.training.random_state import Lent
from fastbp.training.settings import Settings

# Most modules of fastbp.training load numba. They are imported inside functions, so that `import fastbp` stays fast.

# Can be restored from coefs_ and intercepts_. The last four are from pickles of version 0.1.
NOT_PICKLED = frozenset({"_bound", "_network", "_network_key", "_params", "_views"})
# Fields of a history and their attributes: of every fit, of one with validation rows, and what a solver estimates.
_SHOWN = tuple((name, name + "_") for name in HISTORY)
_WITH_VALIDATION = tuple((name, name + "_") for name in ("validation_scores", "validation_loss_curve", "best_validation_score"))
_ESTIMATED = tuple((name, name + "_") for name in ("alpha", "noise_variance", "n_effective_parameters"))
_NO_ROWS = (None, None, None)


def has_partial_fit(estimator: Any) -> bool:
    """Return True, or raise AttributeError if the solver is not stochastic. A wrong name of a solver is left to fit."""
    solver = estimator.solver
    if isinstance(solver, str) and solver in SOLVERS and not SOLVERS[solver].is_stochastic:
        raise AttributeError(f"partial_fit is only available for stochastic optimizers. {solver} is not stochastic.")
    return True


class BaseBP(Versioned, Scaled, Explained, ShownInNotebooks, CallbackSupportMixin, BaseEstimator):
    """Training, predicting and pickling. Subclasses encode targets, give outputs their meaning, and compute scores."""

    _rules: dict[str, tuple[parameters.Allowed, ...]]
    # parameters of all estimators that are read here
    loss: Any
    solver: str
    random_state: Any
    warm_start: bool
    early_stopping: bool | str
    validation_split: str
    feature_importances: bool
    # parameters that not all estimators have, at values that switch them off
    scoring: Any = None
    refit: bool = False
    ensemble: bool = False
    calibration: str | None = None
    missing_targets: str = "error"
    skip_layer: bool = False
    monotonic_cst: Any = None
    ordered: bool = False
    categorical_features: Any = None
    embedding_size: Any = None

    # ---- parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters and their values, as all estimators of scikit-learn do.

        Parameters
        ----------
        deep : bool, default=True
            Whether to add the parameters of parameters that are estimators.

        Returns
        -------
        params : dict
            Values by name.
        """
        kind: Any = type(self)
        names = vars(kind).get("_names_of_parameters")
        if names is None:  # scikit-learn reads the signature each time, which takes a fifth of a GridSearchCV on iris
            names = kind._names_of_parameters = tuple(super().get_params(deep=False))
        params = {name: getattr(self, name) for name in names}
        if deep and any(hasattr(value, "get_params") for value in params.values()):
            return super().get_params()  # type: ignore[no-any-return]
        return params

    # ---- overridden by subclasses

    def _encode(self, y: np.ndarray, dtype: np.dtype, incremental: bool) -> Targets:
        """Return targets in the form of the kernels."""
        raise NotImplementedError

    def _encode_more(self, y: Any, targets: Targets, dtype: np.dtype) -> Targets:
        """Return further targets y, encoded like `targets`."""
        raise NotImplementedError

    def _rows(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        """Return X in the form of the kernels, and y as an array."""
        return check_rows(self, X, y, reset=reset)

    def _noise(self, X: Any) -> Any:
        """Return the noise that training adds to the inputs, or None."""

    def _class_tables(self, targets: Targets) -> list[np.ndarray] | None:
        """Return the weights of classes, or None if all are 1."""

    def _calibrate(self, held_out: Any) -> None:
        """Fit the calibration of a classifier's probabilities on held-out rows."""

    # ---- one fit

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        incremental: bool,
        validation: tuple[Any, Any, Any] = _NO_ROWS,
        classes: Any = None,
    ) -> Self:
        """Train a copy of the estimator, and take over its attributes at the end, when nothing can fail any more."""
        from fastbp.training.fit import Fitted, Problem, Run, Start, fit_network, network_for
        from fastbp.training.network import aligned_copy

        known = known_settings(self)
        resume = hasattr(self, "coefs_") and (incremental or self.warm_start)
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        is_given = validation is not _NO_ROWS and any(part is not None for part in validation)
        if is_given or self.refit or self.ensemble or self.calibration is not None:
            check_choices(self, is_given, resume, incremental)
        if resume and not is_preset(self):
            self._packed()  # an attribute that a user has set wrongly is named
        draft, before = twin(self), vars(self).copy()
        if classes is not None:
            draft.classes_ = classes
        if self.early_stopping:
            warn_of_early_stopping(self, stacklevel=3)

        given, missing = (X, y, sample_weight), None
        if self.missing_targets == IGNORE:
            y, missing = without_missing(self, y, is_whole=not incremental)
        X, y = draft._rows(X, y, reset=not resume)
        targets = draft._encode(y, X.dtype, incremental)
        if missing is not None:
            targets, y = targets._replace(missing=missing), with_missing(y.astype(np.float64), missing.reshape(y.shape))
        tables = draft._class_tables(targets)
        weights = row_weights(tables, sample_weight, targets, X)
        settings = known.get((targets.loss, incremental))
        if settings is None:
            settings = settings_of(self, targets.loss)
            if incremental:
                settings = settings._replace(max_iter=1, max_time=math.inf)
            known[targets.loss, incremental] = settings
        if targets.groups:
            settings = settings._replace(groups=targets.groups)
        if has_categories(draft, reset=False):
            settings = network_settings(draft, settings)
        if self.monotonic_cst is not None:
            settings = settings._replace(monotonic=constraints_of(draft, settings, targets.n_outputs, X.shape[1]))
        if resume:
            settings = with_fitted_output(draft, settings, targets)
        draft.out_activation_ = settings.output_activation
        options = {"n_outputs": targets.n_outputs, "strata": targets.strata(self.validation_split)}
        problem = Problem(X, targets.known, weights, **options, may_miss=missing is not None)
        problem.noise = draft._noise(X)
        importance_rows = X, weights
        if problem.row_indices is not None and self.feature_importances:
            importance_rows = X[problem.row_indices], None if weights is None else weights[problem.row_indices]
        scaling = draft._scaling(problem, settings, resume)
        y_val = None
        if is_given:
            X_val, y_val, missing_val = given_rows(draft, X, *validation[:2])
            more = draft._encode_more(y_val, targets, X.dtype)._replace(missing=missing_val)
            weights_val = row_weights(tables, validation[2], more, X_val)
            options = {"n_outputs": targets.n_outputs, "may_miss": missing_val is not None}
            problem.held_out = Problem(X_val, more.known, weights_val, **options).compact()
            if missing_val is not None:
                y_val = with_missing(y_val.astype(np.float64), missing_val.reshape(y_val.shape))[~missing_val.all(axis=1)]
        if self.scoring is not None and (is_given or settings.early_stopping):
            settings = settings._replace(score=score_of(draft, settings.score, y, y_val))
        resumed = origin = None
        with Lent(self.random_state) as random_state:
            state_for_refit = copy.deepcopy(random_state) if self.refit else None
            if resume:
                network, origin = draft._packed(X.dtype)
                check_continues(draft, settings, network, problem)
                resumed = resumed_from(draft, network, problem, settings, incremental)
                params = aligned_copy(origin)
                if settings.monotonic:
                    check_signs(network, params, settings.monotonic)
                starts: Any = [Start(random_state, lambda _: params)]
            else:
                network = network_for(settings, problem.n_features, problem.n_outputs, X.dtype)
                starts = random_state

            def train(hooks: Any = None) -> Any:
                options: dict[str, Any] = {"prepare": scaling, "keeps_all": self.ensemble, "hooks": hooks}
                fitted = fit_network(settings, problem, starts, network=network, resumed=resumed, **options)
                run = fitted.run
                is_complete = run.error is None and not fitted.is_interrupted
                if state_for_refit is not None and is_complete and run.history.validation_scores:
                    fitted = refitted(fitted, all_rows(problem), settings, state_for_refit, scaling)
                return conclude(fitted)

            def conclude(fitted: Any) -> Any:
                complaints = draft._finish(fitted, settings, *importance_rows, incremental, is_new=not resume)
                steps = [] if origin is None else draft._in_places_of(self, origin)
                if resume and incremental and isinstance(vars(self).get("loss_curve_"), list):
                    steps.append(functools.partial(self.loss_curve_.extend, draft.loss_curve_))
                    draft.loss_curve_ = self.loss_curve_
                draft._seal()
                publish(self, draft, before, steps)
                if fitted.run.error is not None:
                    raise fitted.run.error
                return complaints

            if has_callbacks(self) and not incremental:
                now = functools.partial(draft._attributes_now, network, problem, settings, before)
                complaints = fit_watched(self, given, settings, train, now)
            else:
                try:
                    complaints = train()
                except KeyboardInterrupt:
                    if resumed is None or not has_changed_moments(self, resumed):
                        raise
                    run = Run(params, random_state, history=resumed.history, optimizer=resumed.optimizer)
                    complaints = conclude(Fitted(network, problem, run, np.array([run.history.loss]), True))
        for complaint, category in complaints:
            warnings.warn(complaint, category, stacklevel=3)
        return self

    def _finish(
        self, fitted: Any, settings: Settings, X: Any, weights: np.ndarray | None, incremental: bool, is_new: bool
    ) -> list[tuple[str, type[Warning]]]:
        """Set the fitted attributes, and return the warnings to give. Ctrl-C during this keeps the trained network."""
        run, is_interrupted = fitted.run, fitted.is_interrupted
        self._publish(fitted, settings, is_new)
        self.__dict__.pop("feature_importances_", None)
        if self.ensemble or self.estimators_ is not None:
            self.estimators_ = self._members(fitted, settings)
        complaints: list[tuple[str, type[Warning]]] = []
        if run.error is not None:
            return complaints
        try:
            if settings.record_gradient_norms and not incremental:
                from fastbp.training.idle import complaint_of_idle_units

                complaint = complaint_of_idle_units(fitted.network, run.params, fitted.problem)
                complaints += [(complaint, UserWarning)] if complaint else []
            self._calibrate(fitted.problem.held_out)
            if self.feature_importances:
                self.feature_importances_ = importances_of(self, X, weights)
        except KeyboardInterrupt:
            is_interrupted = True
            wanted = {"temperature_": self.calibration, "feature_importances_": self.feature_importances}
            missing = [name for name in wanted if wanted[name] and getattr(self, name, None) is None]
            if missing:
                complaints.append((f"Interrupted before {' and '.join(missing)} could be found.", UserWarning))
        if is_interrupted:
            complaints.append(("Training interrupted by user.", UserWarning))
        if run.outcome.complaint and not incremental:
            complaints.append((run.outcome.complaint, ConvergenceWarning))
        return complaints

    def _attributes_now(self, network: Any, problem: Any, settings: Settings, before: dict[str, Any], run: Any) -> dict[str, Any]:
        """Return the attributes that a copy would have if this run ended now; those that only an earlier fit had are None."""
        from fastbp.training.fit import Fitted, Run

        ended = Run(run.shown(), None, history=run.history.copied())
        fitted = Fitted(network, problem, ended, np.array([ended.history.loss]), False)
        attributes = vars(fitted_copy(self, {}, fitted, settings))
        return {name: None for name in before if name not in attributes} | attributes

    # ---- history and fitted attributes

    def _publish(self, fitted: Any, settings: Settings, is_new: bool) -> None:
        """Set the fitted attributes."""
        run = fitted.run
        history, network = run.history, fitted.network
        self._bind(network, run.params)
        self.n_outputs_ = int(network.units[-1])
        self.n_iter_, self.t_, self.loss_ = history.n_iter, history.t, history.loss
        if is_new:
            self.restart_losses_ = fitted.restart_losses
        state, recorded = self.__dict__, vars(history)
        for name, attribute in _ESTIMATED:
            if recorded[name] is None:
                state.pop(attribute, None)
            else:
                state[attribute] = recorded[name]
        is_validated = fitted.problem.held_out is not None
        if not SOLVERS[settings.solver].is_stochastic:
            if history.loss_curve:
                self.loss_curve_ = history.loss_curve
            for _, attribute in _WITH_VALIDATION:
                state.pop(attribute, None)
            if not is_validated:
                return
        else:
            for name, attribute in _SHOWN:
                state[attribute] = recorded[name]
        n_there = 3 if settings.early_stopping else 2 if is_validated else 0  # the best score is that of early stopping
        for number, (name, attribute) in enumerate(_WITH_VALIDATION):
            state[attribute] = recorded[name] if number < n_there else None
        if settings.early_stopping and "best_loss_" in state:
            self.best_loss_ = None
        state.pop("gradient_norms_", None)
        if settings.record_gradient_norms:
            self.gradient_norms_ = np.array(history.gradient_norms).reshape(-1, self.n_layers_ - 1)
        self._no_improvement_count = history.no_improvement_count
        self._best_params = history.kept_best(network)
        self._optimizer = run.optimizer

    def _checked(self, X: Any, is_scaled: bool = True) -> tuple[Any, np.ndarray, Any]:
        """Return the network, its flat vector, and X checked for prediction, in the dtype of the weights."""
        if "coefs_" not in vars(self):
            check_is_fitted(self, "coefs_")
        if self.n_threads is not None:
            parameters.check_parameter("n_threads", self.n_threads, self._rules["n_threads"], self)
        network, params = self._packed()
        n_features = network.n_features
        is_read_apart = "categories_" in vars(self) or getattr(self, "feature_names_in_", None) is not None
        rows = None if is_read_apart else plain_rows(X, (params.dtype,))
        if "categories_" in vars(self):
            check_categories(vars(self), n_features)
            X = coded_rows(self, X, reset=False).astype(params.dtype, copy=False)
        elif rows is not None and rows.shape[1] == n_features:
            X = rows
        else:
            options: dict[str, Any] = {"dtype": params.dtype, "order": "C", "accept_sparse": "csr"}
            X = check_structure(read_by(validate_data, self, X, reset=False, **options))
            if X.shape[1] != n_features:
                raise ValueError(f"X has {X.shape[1]} features, but the weights in coefs_ are for {n_features}.")
        if self.input_scaler_ is not None and is_scaled:
            X = scaled_inputs(self.input_scaler_, X)
        return network, params, X

    def _checked_for_explanation(self, X: Any, of_slopes: bool = False) -> tuple[Any, np.ndarray, Any]:
        """Return the network, its flat vector, and X checked for an explanation; of_slopes: without scalers, in units of X."""
        if self.estimators_ is not None:
            raise ValueError("This is an ensemble of several networks: use one of those in estimators_.")
        network, params, X = self._checked(X, is_scaled=not of_slopes)
        if of_slopes:
            network, params = self._unscaled()._packed()
        return network, params, X

    def _networks(self) -> list[tuple[Any, np.ndarray]]:
        """Return the network and its flat vector, or those of all members of an ensemble."""
        if self.estimators_ is None:
            return [self._packed()]
        _, params = self._packed()
        return [member._packed(params.dtype) for member in self.estimators_]

    def _outputs(self, X: Any, only_largest: bool = False) -> np.ndarray:
        """Return the outputs for X, (n_samples, n_outputs), or the index of the largest output of each row."""
        from fastbp.training.predict import predict_outputs

        network, params, X = self._checked(X)
        if self.estimators_ is None:
            return predict_outputs(network, params, X, only_largest=only_largest, n_threads=self.n_threads)
        outputs = np.zeros((X.shape[0], int(network.units[-1])), dtype=params.dtype)
        for member in self._networks():
            outputs += predict_outputs(*member, X, n_threads=self.n_threads)
        outputs /= len(self.estimators_)
        return outputs.argmax(axis=1) if only_largest else outputs

    # ---- copies

    def _members(self, fitted: Any, settings: Settings) -> list[Self] | None:
        """Return an estimator for each run of an ensemble. The best one shares its weights with this estimator."""
        members: list[Any] = []
        for run in fitted.runs:
            member = twin(self, ensemble=False, estimators_=None)
            if run is fitted.run:
                self._best_member = len(members)
            else:
                one = fitted._replace(run=run, restart_losses=np.array([run.history.loss]))
                member._publish(one, settings, is_new=True)
            member.compact()._seal()
            members.append(member)
        return members or None

    def _with_weights(self, network: Any, params: np.ndarray) -> Self:
        """Return a copy with these flat parameters, which predicts for rows in the form of the kernels."""
        model = twin(self)
        for name in ("feature_names_in_", "categories_", "categorical_features_"):
            vars(model).pop(name, None)
        model._bind(network, params)
        model.n_outputs_ = int(network.units[-1])
        model.input_scaler_ = model.estimators_ = model.temperature_ = None
        model._seal()
        return model

    def compact(self) -> Self:
        """Remove the state that only further training needs, to make pickles smaller.

        After it, `partial_fit` starts with a new optimizer, and a warm start after early stopping forgets the best weights.

        Returns
        -------
        self : estimator
            The same estimator, which predicts as before.
        """
        self._optimizer = self._best_params = None
        return self

    # ---- scikit-learn's hooks

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes without those that coefs_ and intercepts_ can restore."""
        return {name: value for name, value in super().__getstate__().items() if name not in NOT_PICKLED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = {name: value for name, value in state.items() if name not in NOT_PICKLED}
        if "coefs_" in state and not {"n_layers_", "n_outputs_"} <= state.keys():
            state = {"n_layers_": len(state["coefs_"]) + 1, "n_outputs_": len(state["intercepts_"][-1]), **state}
        super().__setstate__(state)
        if "out_activation_" in state:
            self._bind_loaded()

    def __copy__(self) -> Self:
        """Return a copy that shares the weights, as copies of scikit-learn's MLPs do."""
        return twin(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def fitted_copy(estimator: BaseBP, attributes: dict[str, Any], fitted: Any, settings: Settings) -> BaseBP:
    """Return a copy of an estimator with these attributes and those of a fit."""
    copied = twin(estimator, **attributes, out_activation_=settings.output_activation)
    copied._publish(fitted, settings, is_new=True)
    copied._seal()
    return copied
