"""Scaled inputs and targets: scikit-learn's scalers inside an estimator, fitted on the training rows."""

from collections.abc import Callable
from numbers import Integral
from typing import Any, NamedTuple, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.preprocessing import MaxAbsScaler, RobustScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from fastbp.estimators.explain import check_plain_inputs
from fastbp.estimators.inputs import twin
from fastbp.estimators.publish import publish
from fastbp.estimators.resume import check_scaling, target_scaling_of
from fastbp.estimators.weights import Weighted

_LARGEST_EXPONENT = 400  # of two
# Attributes that an ensemble shares with its best network.
_OF_WEIGHTS = ("coefs_", "intercepts_", "skip_coefs_", "_bound")


class Scaling(NamedTuple):
    """The fitted scalers of an estimator, or None."""

    inputs: Any
    targets: Any

    def apply(self, problem: Any) -> Any:
        """Return a problem with scaled rows, also those set aside for validation."""
        return problem.transformed(
            lambda X: X if self.inputs is None else scaled_inputs(self.inputs, X),
            lambda Y: Y if self.targets is None else self.targets.transform(Y),
        )


def fitted_scaling(estimator: Any, problem: Any, target_scaling: str | None) -> Scaling:
    """Return scalers fitted on the training rows of a problem, with their weights."""
    rows = slice(None) if problem.row_indices is None else problem.row_indices
    weights = None if problem.sample_weight is None else problem.sample_weight[rows]
    if weights is not None and weights.min() < 0:
        raise ValueError("input_scaling, target_scaling and loss='gaussian_nll' take no negative sample weights.")
    inputs = targets = None
    if estimator.input_scaling is not None:
        X = problem.X[rows]
        is_dense = not issparse(X)  # centring would make a sparse matrix dense
        if estimator.input_scaling == "standard":
            inputs = _standard_scaler(X, weights, with_mean=is_dense)
        else:
            if weights is not None:
                there = weights > 0
                if weights[there].min() != weights[there].max():
                    raise ValueError(
                        "input_scaling='robust' goes by quantiles, for which scikit-learn's RobustScaler takes no sample weights:"
                        " leave those (and class_weight) out, or take input_scaling='standard'."
                    )
                X = X[there]
            inputs = _of_arrays(RobustScaler(with_centering=is_dense)).fit(X)
        for name, value in ("mean_", 0), ("center_", 0), ("var_", 1), ("scale_", 1):
            if getattr(inputs, name, None) is not None:
                getattr(inputs, name)[X.shape[1] - len(getattr(estimator, "categories_", ())) :] = value  # codes stay as they are
    if target_scaling is not None:
        targets = _standard_scaler(problem.Y[rows], weights)
    return Scaling(inputs, targets)


def _standard_scaler(values: Any, weights: Any, with_mean: bool = True) -> Any:
    """Return a scaler fitted to values; if squares would overflow or underflow, it is fitted in units of powers of two."""
    scaler = _of_arrays(StandardScaler(with_mean=with_mean))
    exponents = np.frexp(MaxAbsScaler().fit(values).max_abs_)[1]
    if (np.abs(exponents) <= _LARGEST_EXPONENT).all():
        return scaler.fit(values, sample_weight=weights)
    units = 2.0 ** np.clip(exponents - 1, -1022, None)
    scaler.fit(values.multiply(1 / units).tocsr() if issparse(values) else values / units, sample_weight=weights)
    if scaler.mean_ is not None:
        scaler.mean_ *= units
    scaler.scale_ *= units
    scaler.scale_[scaler.scale_ == 0] = 1.0
    with np.errstate(over="ignore", under="ignore"):
        scaler.var_ = scaler.scale_**2
    return scaler


def _of_arrays(scaler: Any) -> Any:
    """Return a scaler that returns arrays, whatever scikit-learn's `transform_output` is set to."""
    return scaler.set_output(transform="default")


def scaled_inputs(scaler: Any, X: Any) -> Any:
    """Return scaled rows in the same dtype, C-contiguous or CSR."""
    if issparse(X) and shift_of(scaler) is not None:
        raise ValueError(
            "X is sparse, but input_scaling was fitted to a dense X and subtracts a mean or median: pass X.toarray()."
        )
    scaled = scaler.transform(X)
    scaled = scaled if issparse(scaled) else np.ascontiguousarray(scaled)
    kinds = [(getattr(rows, "format", "dense"), rows.shape, rows.dtype) for rows in (X, scaled)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            "input_scaler_ makes {} rows of shape {} and dtype {} of X, which is {}, {}, {}.".format(*kinds[1], *kinds[0])
        )
    return scaled


def shift_of(scaler: Any) -> np.ndarray | None:
    """Return what a scaler subtracts from each feature, or None."""
    if isinstance(scaler, RobustScaler):
        return scaler.center_
    return scaler.mean_ if scaler.with_mean else None


def fold(
    scaling: Scaling,
    coefs: list[np.ndarray],
    intercepts: list[np.ndarray],
    skip: np.ndarray | None,
    skips_to: int,
    fit_intercept: bool,
) -> None:
    """Change the weights in place so that they map unscaled inputs to unscaled targets. It is computed in float64.

    Inputs: (x - m)/s · W + b = x · (W/s) + (b - (m/s) · W). Targets: y = s·ŷ + m.
    """
    if scaling.inputs is not None:
        shift, scale = shift_of(scaling.inputs), scaling.inputs.scale_
        for weights, biases in [(coefs[0], intercepts[0])] + ([] if skip is None else [(skip, intercepts[skips_to])]):
            W = weights.astype(np.float64)
            if scale is not None:
                with np.errstate(over="ignore", under="ignore"):
                    W /= scale[:, np.newaxis]
            weights[...] = narrowed(W, weights, "weights of input {}")
            if shift is not None:
                _check_intercepts(fit_intercept)
                biases[...] = narrowed(biases - shift @ W, biases, "an intercept of the first layer")
    if scaling.targets is not None:
        _check_intercepts(fit_intercept)
        shift, scale = scaling.targets.mean_, scaling.targets.scale_
        for weights in [coefs[-1]] + ([] if skip is None else [skip]):
            weights[...] = narrowed(weights * scale, weights, "weights of output {}", axis=1)
        intercepts[-1][...] = narrowed(intercepts[-1] * scale + shift, intercepts[-1], "an intercept of the last layer")


def narrowed(values: np.ndarray, before: np.ndarray, name: str, axis: int = 0) -> np.ndarray:
    """Return float64 values in the dtype of the weights that they replace, or raise ValueError if they leave its range.

    name: of the weights in the error. With a placeholder for an index along the axis, values that are too small are refused too.
    """
    limits, sizes, old_sizes = np.finfo(before.dtype), np.abs(values), np.abs(before)
    too_large = np.isfinite(before) & ~(sizes <= limits.max)
    # kernels treat subnormal numbers as zero
    counted = old_sizes > limits.eps * old_sizes.max(initial=0.0)
    wrong = too_large | (counted & (sizes < limits.tiny)) if "{}" in name else too_large
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0])
        raise ValueError(
            f"The scaling cannot be folded into the network: {name.format(place[axis])} would be too"
            f" {'large' if too_large[place] else 'small'} for {before.dtype}. Fit with inputs and targets in a unit in which they"
            f" are nearer to 1{', or with X in float64' if before.dtype == np.float32 else ''}; or keep the scalers."
        )
    return values.astype(before.dtype)


def check_weights_alone(estimator: Any, categories_too: bool = False) -> None:
    """Raise ValueError if predictions need more than coefs_ and intercepts_ (with `categories_too`, also categories_)."""
    check_plain_inputs(estimator, categories_too)
    if estimator.estimators_ is not None:
        raise ValueError("This is an ensemble of several networks: use each of estimators_ by itself.")
    if estimator._groups():
        raise ValueError("Several columns of classes cannot be exported yet, because each has its own softmax.")
    if estimator.input_scaler_ is not None or (estimator.target_scaler_ is not None and not estimator._has_spread):
        raise ValueError("The weights are for scaled data: call fold_scaling() first.")
    if getattr(estimator, "temperature_", None) is not None:
        raise ValueError(
            "calibration divides the logits by temperature_, which is not part of the weights: set calibration=None."
        )


def _check_intercepts(fit_intercept: bool) -> None:
    if not fit_intercept:
        raise ValueError(
            "Scaling that subtracts a mean or median cannot be folded into a network without intercepts (fit_intercept=False)."
        )


class Scaled(Weighted):
    """The scalers of inputs and targets. A base class of the estimators."""

    input_scaling: str | None = None
    target_scaling: str | None = None
    input_scaler_: Any = None
    target_scaler_: Any = None
    estimators_: Any = None
    n_outputs_: int
    _best_member: int
    compact: Callable[[], Any]

    @property
    def _has_scalers(self) -> bool:
        return self.input_scaler_ is not None or self.target_scaler_ is not None

    @property
    def _has_spread(self) -> bool:
        """Whether the last fit had a loss with two outputs per target. Parameters may have changed since."""
        # a user may have replaced these by anything
        n_targets, n_outputs = getattr(self.target_scaler_, "n_features_in_", None), getattr(self, "n_outputs_", None)
        return isinstance(n_targets, Integral) and isinstance(n_outputs, Integral) and 2 * n_targets == n_outputs

    def _unscaled(self) -> Any:
        """Return an estimator with the same predictions, without scalers and standard deviations."""
        if not self._has_spread:
            return twin(self).fold_scaling() if self._has_scalers else self
        scaler, state = self.target_scaler_, vars(self)
        n, scale = scaler.n_features_in_, scaler.scale_
        (*coefs, W), (*intercepts, b) = state["coefs_"], state["intercepts_"]
        b = b[:n] * scale + (scaler.mean_ if self.fit_intercept else 0.0)  # has no effect on slopes

        def of_means(weights: np.ndarray) -> np.ndarray:
            return narrowed(weights[:, :n] * scale, weights[:, :n], "weights of output {}", axis=1)

        means: Any = twin(self, loss="squared_error", n_outputs_=n, target_scaler_=None)
        means.coefs_, means.intercepts_ = [*coefs, of_means(W)], [*intercepts, b.astype(W.dtype)]
        if "skip_coefs_" in state:
            means.skip_coefs_ = of_means(state["skip_coefs_"])
        return means.fold_scaling() if self.input_scaler_ is not None else means

    def _scaling(self, problem: Any, settings: Any, resume: bool) -> Any:
        """Return a function that scales the rows of a problem and sets the scalers in a new fit, or None without scaling."""
        target_scaling = target_scaling_of(self, settings)
        if self.input_scaling is None and target_scaling is None and not (resume and self._has_scalers):
            if self._has_scalers:
                self.input_scaler_ = self.target_scaler_ = None
            return None
        check_scaling(self, settings, resume)

        def scale(problem: Any) -> Any:
            if not resume:
                self.input_scaler_, self.target_scaler_ = fitted_scaling(self, problem, target_scaling)
            return Scaling(self.input_scaler_, self.target_scaler_).apply(problem)

        return scale

    def fold_scaling(self) -> Self:
        """Fold the scaling of inputs and targets into the first and last layer, so that the weights are for unscaled data.

        Predictions stay the same up to rounding. In float32, rounding is worse if a feature's mean is much larger than its
        standard deviation. Like `compact`, this removes the state that only further training needs. Further training then needs
        ``input_scaling=None`` and ``target_scaling=None``. With ``loss="gaussian_nll"``, only the scaling of inputs is folded,
        because no weights can change the unit of a standard deviation.

        Returns
        -------
        self : estimator
            The same estimator, without scalers.

        Raises
        ------
        ValueError
            If the network has no intercepts, but a mean or median must be folded in; or if a weight would be too large or too
            small for its dtype, because inputs or targets have a huge or tiny scale.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import BPRegressor
        >>> X = np.linspace(1000, 1003, 50)[:, np.newaxis]
        >>> y = 5000 + 700 * np.sin(X[:, 0])
        >>> model = BPRegressor(hidden_layer_sizes=8, solver="lbfgs", random_state=1, input_scaling="standard",
        ...                     target_scaling="standard").fit(X, y)
        >>> before = model.predict(X)
        >>> bool(np.allclose(model.fold_scaling().predict(X), before))
        True
        >>> model.input_scaler_ is None
        True
        """
        from fastbp.training.network import aligned_copy, front_views, parameter_views

        check_is_fitted(self)
        network, params = self._packed()
        if self.input_scaler_ is not None:
            check_plain_inputs(self)
        draft, before = twin(self), vars(self).copy()
        if self.estimators_ is None:
            params = aligned_copy(params)
            views, skip = parameter_views(network, params), front_views(network, params).get("skip")
            scaling = Scaling(self.input_scaler_, None if self._has_spread else self.target_scaler_)
            fold(scaling, *views, skip, network.skip_layer, self.fit_intercept)
            draft._bind(network, params)
        else:
            draft.estimators_ = [twin(member).fold_scaling() for member in self.estimators_]
            best = vars(draft.estimators_[self._best_member])
            vars(draft).update({name: best[name] for name in _OF_WEIGHTS if name in best})
        draft.input_scaler_ = None
        if not self._has_spread:
            draft.target_scaler_ = None
        draft.compact()._seal()
        publish(self, draft, before)
        return self
