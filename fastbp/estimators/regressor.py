"""BPRegressor: targets that are numbers, their quantiles and standard deviations."""

from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.metrics import d2_pinball_score
from sklearn.utils.metaestimators import available_if

from fastbp.estimators.base import BaseBP, has_partial_fit
from fastbp.estimators.docs import documented
from fastbp.estimators.inputs import MatrixLike, twin
from fastbp.estimators.missing import known_r2, without_missing
from fastbp.estimators.parameter_table import rules_of
from fastbp.estimators.targets import Targets, real_targets, repeated
from fastbp.functions.losses import LEAST_VARIANCE
from fastbp.training.custom_loss import CustomLoss


@documented(score="R²", score_name="R², or 'loss' for 'quantile' and 'gaussian_nll'")
class BPRegressor(RegressorMixin, BaseBP):
    r"""Multi-layer perceptron regressor trained by back-propagation, with scikit-learn's interface and numbers.

    Parameters and defaults up to `max_fun` are those of scikit-learn's ``MLPRegressor``. With the same `random_state`, the
    model is the same up to rounding. The dtype of X, float32 or float64, is the dtype of all weights and results.

    Training minimises

    .. math:: E = \frac1S \sum_i s_i E_i + \frac{\alpha}{2S} \sum_l \lVert W^{(l)} \rVert^2

    where :math:`S` is the number of rows of a batch (or the sum of their weights :math:`s_i`), and :math:`E_i` is half the
    squared error of row i, or half its Poisson deviance [1]_. With several outputs, the reported loss averages the squared
    error over the outputs, while the gradient sums it, as in scikit-learn.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    target_scaler_ : StandardScaler or None
        The scaler of `target_scaling`.
    {attributes}
    alpha_ : float
        Only with ``alpha='bayes'``: the estimated penalty, for targets with a standard deviation of 1. For one target,
        ``alpha=alpha_`` with ``target_scaling="standard"`` has the same minimum.
    noise_variance_ : float
        Only with ``alpha='bayes'``: the estimated variance of the noise in the targets, in their unit squared. It is NaN if
        training ended before it was estimated, and so is the next attribute.
    n_effective_parameters_ : float
        Only with ``alpha='bayes'``: the number of parameters that the data determine, with intercepts. If it is close to the
        number of all parameters, a larger network may be better.

    See Also
    --------
    BPClassifier : The same network for class labels.

    {notes}

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import BPRegressor
    >>> X = np.linspace(0, 3, 50)[:, np.newaxis]
    >>> regressor = BPRegressor(hidden_layer_sizes=8, activation="tanh", solver="lbfgs", random_state=1).fit(X, np.sin(X[:, 0]))
    >>> regressor.predict([[1.5]]).round(2)
    array([1.])
    """

    _rules = rules_of("BPRegressor")

    def __init__(
        self,
        loss: str | CustomLoss = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float | str = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 0.0001,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool | str = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-08,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        init: Any = "glorot_uniform",
        init_scale: float = 1.0,
        fit_intercept: bool = True,
        output_activation: str = "auto",
        validation_split: str = "random",
        n_restarts: int = 1,
        n_threads: int | None = None,
        feature_importances: bool = False,
        weight_decay: float = 0.01,
        warmup_steps: int = 0,
        averaging: Any = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        max_norm: float | None = None,
        l1_ratio: float = 0.0,
        record_gradient_norms: bool = False,
        dropout: Any = 0.0,
        max_time: float | None = None,
        embedding: str | None = None,
        embedded_features: Any = "all",
        frequency_init_scale: float = 0.1,
        scale_layer: bool = False,
        rate_factors: Any = None,
        scoring: Any = None,
        refit: bool = False,
        ensemble: bool = False,
        input_scaling: str | None = None,
        missing_targets: str = "error",
        skip_layer: bool = False,
        monotonic_cst: Any = None,
        categorical_features: Any = None,
        embedding_size: Any = None,
        delta: float = 1.0,
        target_scaling: str | None = None,
        quantile: Any = 0.5,
        power: float = 1.5,
    ) -> None:
        # Written by tools/write_constructors.py.
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.init = init
        self.init_scale = init_scale
        self.fit_intercept = fit_intercept
        self.output_activation = output_activation
        self.validation_split = validation_split
        self.n_restarts = n_restarts
        self.n_threads = n_threads
        self.feature_importances = feature_importances
        self.weight_decay = weight_decay
        self.warmup_steps = warmup_steps
        self.averaging = averaging
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.max_norm = max_norm
        self.l1_ratio = l1_ratio
        self.record_gradient_norms = record_gradient_norms
        self.dropout = dropout
        self.max_time = max_time
        self.embedding = embedding
        self.embedded_features = embedded_features
        self.frequency_init_scale = frequency_init_scale
        self.scale_layer = scale_layer
        self.rate_factors = rate_factors
        self.scoring = scoring
        self.refit = refit
        self.ensemble = ensemble
        self.input_scaling = input_scaling
        self.missing_targets = missing_targets
        self.skip_layer = skip_layer
        self.monotonic_cst = monotonic_cst
        self.categorical_features = categorical_features
        self.embedding_size = embedding_size
        self.delta = delta
        self.target_scaling = target_scaling
        self.quantile = quantile
        self.power = power

    def fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        sample_weight: ArrayLike | float | None = None,
        *,
        X_val: MatrixLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | float | None = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs. C-contiguous arrays of float32 or float64, also read-only memory maps, are used without a copy.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in the loss; None is 1.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Your own validation rows, instead of those that `early_stopping` would set aside. Without `early_stopping` they decide
            nothing; `validation_scores_` and `validation_loss_curve_` record the results on them. In a pipeline, they need
            ``Pipeline(..., transform_input=["X_val"])``.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Targets of the validation rows.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of the validation rows.

        Returns
        -------
        self : BPRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If parameters or data are not valid, or the weights are no longer finite.
        """
        return self._fit(X, y, sample_weight, incremental=False, validation=(X_val, y_val, sample_weight_val))

    @available_if(has_partial_fit)
    def partial_fit(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | float | None = None) -> Self:
        """Train for one epoch over the given rows. Only for {stochastic_solvers}.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in the loss; None is 1.

        Returns
        -------
        self : BPRegressor
            The estimator after one more epoch.

        Raises
        ------
        ValueError
            If parameters or data are not valid, or the weights are no longer finite.
        """
        return self._fit(X, y, sample_weight, incremental=True)

    @overload
    def predict(self, X: MatrixLike, return_std: Literal[False] = False) -> np.ndarray: ...

    @overload
    def predict(self, X: MatrixLike, return_std: Literal[True]) -> tuple[np.ndarray, np.ndarray]: ...

    def predict(self, X: MatrixLike, return_std: bool = False) -> Any:
        """Return the output of the network for each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs, taken in the dtype of the weights.
        return_std : bool, default=False
            Return the standard deviations of the targets too, for a network fitted with ``loss="gaussian_nll"``.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predicted targets in the dtype of the weights; for several quantiles, one column each, in increasing order.
        std : ndarray of the same shape
            With `return_std`: the standard deviations of the targets, in their units. For an `ensemble`, that of the mixture: its
            variance is the mean of the networks' variances plus the variance of their means [1]_.

        Raises
        ------
        ValueError
            If `return_std` is True, but the network was fitted with another loss.

        References
        ----------
        .. [1] Lakshminarayanan, Pritzel and Blundell, "Simple and scalable predictive uncertainty estimation using deep
           ensembles", NeurIPS 2017.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import BPRegressor
        >>> X = np.linspace(0, 1, 400)[:, np.newaxis]
        >>> y = np.random.RandomState(0).normal(3 * X[:, 0], 0.1 + X[:, 0])
        >>> model = BPRegressor("gaussian_nll", 8, "tanh", solver="lbfgs", random_state=0, alpha=0.01).fit(X, y)
        >>> mean, std = model.predict([[0.1], [0.9]], return_std=True)
        >>> bool(np.all(np.abs(mean - [0.3, 2.7]) < 0.3)), bool(np.all(np.abs(std - [0.2, 1.0]) < 0.2))
        (True, True)
        """
        now = self if self.target_scaler_ is None and not return_std else twin(self)  # another thread may fit it meanwhile
        if return_std or now._has_spread:
            mean, std = now._means_and_deviations(X)
            return (mean, std) if return_std else mean
        outputs = now._outputs(X)
        if now._fitted_levels():
            outputs.sort(axis=1)
        if now.target_scaler_ is not None:
            outputs = now.target_scaler_.inverse_transform(outputs)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def _means_and_deviations(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the predicted means and standard deviations of the targets, in the units of the targets."""
        from fastbp.training.predict import predict_outputs

        _, params, X = self._checked(X)
        if not self._has_spread:
            raise ValueError(
                'return_std=True needs a network that was fitted with loss="gaussian_nll", which learns standard deviations.'
            )
        parts = [predict_outputs(*member, X, n_threads=self.n_threads).astype(np.float64) for member in self._networks()]
        means, spreads = np.split(np.stack(parts), 2, axis=2)
        variances = LEAST_VARIANCE + np.logaddexp(0.0, spreads)
        deviations = np.sqrt(variances.mean(axis=0) + means.var(axis=0)) * self.target_scaler_.scale_
        found = [part.astype(params.dtype) for part in (self.target_scaler_.inverse_transform(means.mean(axis=0)), deviations)]
        mean, std = (part[:, 0] if part.shape[1] == 1 else part for part in found)
        return mean, std

    def score(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return R² of the predictions, or the mean D² of several quantiles.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; None is 1.

        Returns
        -------
        score : float
            ``sklearn.metrics.r2_score``; for several quantiles the mean of ``sklearn.metrics.d2_pinball_score``, which is 1 minus
            the pinball loss divided by that of the best constant.
        """
        levels = self._fitted_levels()
        truth, missing = without_missing(self, y, is_whole=False)
        if not levels:
            if missing is None:
                return super().score(X, y, sample_weight)
            return known_r2(truth, self.predict(X), missing, sample_weight)
        predicted = self.predict(X).reshape(-1, len(levels))
        if missing is not None:
            known = ~missing[:, 0]
            truth, predicted = truth[known], predicted[known]
            sample_weight = None if sample_weight is None else np.asarray(sample_weight)[known]
        return mean_pinball_score(truth, predicted, levels, sample_weight)

    def _levels_asked(self) -> tuple[float, ...]:
        """Return the quantiles in `quantile` if it is a sequence, for which there is an output each, else ()."""
        is_several = self.loss == "quantile" and hasattr(self.quantile, "__len__")
        return tuple(map(float, self.quantile)) if is_several else ()

    def _fitted_levels(self) -> tuple[float, ...]:
        """Return the quantiles of the last fit; parameters may have changed since."""
        levels = vars(self).get("_levels")  # files of older versions do not have it
        return self._levels_asked() if levels is None else levels

    def _publish(self, fitted: Any, settings: Any, is_new: bool) -> None:
        super()._publish(fitted, settings, is_new)
        self._levels = self._levels_asked()

    def _encode(self, y: Any, dtype: np.dtype, incremental: bool) -> Targets:
        targets, levels = real_targets(y, self.loss, dtype), self._levels_asked()
        return repeated(targets, len(levels)) if levels else targets

    def _encode_more(self, y: Any, targets: Targets, dtype: np.dtype) -> Targets:
        more = self._encode(y, dtype, incremental=False)
        n_more, n = more.Y.shape[1], targets.Y.shape[1]
        if n_more != n:
            raise ValueError(f"y_val has {n_more} outputs, but y has {n}.")
        return more

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def mean_pinball_score(y: Any, predicted: np.ndarray, levels: Any, sample_weight: Any = None) -> float:
    """Return the mean over quantiles of D²; predicted: (n_rows, n_levels)."""
    columns = predicted.reshape(-1, len(levels)).T
    scores = [d2_pinball_score(y, column, sample_weight=sample_weight, alpha=level) for column, level in zip(columns, levels)]
    return float(np.mean(scores))
