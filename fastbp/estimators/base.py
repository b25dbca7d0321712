"""What BPClassifier and BPRegressor share: from checked data to a trained network and its fitted attributes."""

import operator
import warnings
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import check_is_fitted, validate_data

from fastbp.estimators import parameters
from fastbp.estimators.inputs import DTYPES, check_sample_weight, is_plain, is_plain_target

# numba loads with fastbp.network, .training and .restarts: functions import them, so that `import fastbp` stays quick.
if TYPE_CHECKING:
    from fastbp.training.fit import Rows, Run

# All but the optimizer can be had again from coefs_ and intercepts_; pickled beside them they would triple the file.
_NOT_PICKLED = frozenset({"_network", "_network_key", "_params", "_views", "_optimizer", "_best_params"})


class BaseBP(BaseEstimator):
    """Training, packing and pickling; the subclasses add targets, labels and scores."""

    _rules = parameters.RULES
    _check_y_options: dict[str, bool]
    _score: str
    loss: str
    coefs_: list[np.ndarray]
    intercepts_: list[np.ndarray]

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        init: Any = "glorot_uniform",
        init_scale: float = 1.0,
        fit_intercept: bool = True,
        output_activation: str = "auto",
        validation_split: str = "random",
        n_restarts: int = 1,
        n_threads: int | None = None,
    ) -> None:
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

    # ---- what the subclasses say about targets

    def _encode(self, y: np.ndarray, dtype: np.dtype, incremental: bool) -> tuple[np.ndarray, int, str]:
        """Return Y, (n_samples, n_outputs) or (n_samples, 1) of class indices, n_outputs, and the kernels' name of the loss."""
        raise NotImplementedError

    def _loss_name(self) -> str:
        """Return the kernels' name of the loss of a network that is there already."""
        raise NotImplementedError

    def _stratify(self, Y: np.ndarray) -> np.ndarray | None:
        """Return what the validation split is stratified by."""
        return None

    # ---- one fit

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> Self:
        from fastbp.training.fit import Rows, Run, Training, later_states
        from fastbp.training.random_state import seeded

        parameters.check_parameters(self)
        hidden_sizes = parameters.hidden_sizes(self.hidden_layer_sizes)
        resume = hasattr(self, "coefs_") and (incremental or self.warm_start)
        if incremental and self._stops_early():
            raise ValueError("partial_fit does not support early_stopping=True")

        X, y = self._check_rows(X, y, reset=not resume)
        sample_weight = check_sample_weight(sample_weight, X)
        Y, n_outputs, loss = self._encode(y, X.dtype, incremental)
        rows, validation = Rows(X, Y, sample_weight), None
        if resume and hasattr(self, "out_activation_") and loss != self._loss_name():
            raise ValueError(f"y needs the loss {loss!r}, but this network was trained with {self._loss_name()!r}.")
        self.out_activation_ = parameters.output_activation_name(self.output_activation, loss)
        random_state = seeded(self.random_state)
        n_starts = 1 if resume else self.n_restarts
        states = [random_state, *later_states(random_state, n_starts - 1)]

        optimizer = None
        layer_sizes = [X.shape[1], *hidden_sizes, n_outputs]
        if resume:
            network, params, optimizer = self._resume(X, n_outputs, incremental)
        else:
            network = self._make_network(layer_sizes, X.dtype)
            params = self._draw(network, layer_sizes, random_state, X.dtype)
        self.n_outputs_ = n_outputs
        if self._stops_early():
            rows, validation = self._split(rows, random_state)

        def begin(start: int) -> Run:
            weights = params if start == 0 else self._draw(network, layer_sizes, states[start], X.dtype)
            return Run(weights, self._history(weights, resume), optimizer, states[start])

        training = Training(self, network, rows, validation, 1 if incremental else self.max_iter)
        best, losses, is_interrupted = training.run(begin, n_starts)
        self._bind(network, best.params)
        self._publish(best)
        if not resume:
            self.restart_losses_ = losses
        if best.error is not None:
            raise best.error
        if is_interrupted:
            warnings.warn("Training interrupted by user.", stacklevel=3)
        if best.complaint and not incremental:
            warnings.warn(best.complaint, ConvergenceWarning, stacklevel=3)
        return self

    def _resume(self, X: Any, n_outputs: int, incremental: bool) -> tuple[Any, np.ndarray, Any]:
        """Return network, parameters and, for partial_fit, the optimizer as the last training left them, or the user."""
        known = self.__dict__.get("_params")
        network, params = self._packed(X.dtype)
        shape = len(self.coefs_[0]), len(self.intercepts_[-1])
        if shape != (X.shape[1], n_outputs):
            raise ValueError(
                f"coefs_ map {shape[0]} features to {shape[1]} outputs, but X and y have"
                f" {X.shape[1]} features and {n_outputs} outputs."
            )
        return network, params, self.__dict__.get("_optimizer") if incremental and _same_layout(known, params) else None

    def _split(self, rows: "Rows", random_state: np.random.RandomState) -> "tuple[Rows, Rows]":
        """Set a validation part aside, the only rows that are copied; splitting row numbers takes the same draws as splitting
        the arrays."""
        from fastbp.training.fit import Rows

        X, Y, sample_weight, numbers, _ = rows
        if numbers is None:
            numbers = np.arange(len(Y))
        train, held_out = train_test_split(
            numbers, random_state=random_state, test_size=self.validation_fraction, stratify=self._stratify(Y[numbers])
        )
        if len(held_out) < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
        weights = None if sample_weight is None else sample_weight[held_out]
        return rows._replace(numbers=train), Rows(X[held_out], Y[held_out], weights)

    # ---- history and fitted attributes

    def _history(self, params: np.ndarray, resume: bool) -> Any:
        from fastbp.training.stochastic import History

        history = History()
        if resume:
            for name in ("t", "loss_curve", "best_loss", "validation_scores", "best_validation_score"):
                value = getattr(self, name + "_", None)
                if value is not None:
                    setattr(history, name, value)
            history.no_improvement_count = getattr(self, "_no_improvement_count", 0)
            best_params = self.__dict__.get("_best_params")
            history.best_params = best_params if _same_layout(best_params, params) else None
        return history

    def _stops_early(self) -> bool:
        return bool(self.early_stopping) and self.solver != "lbfgs"

    def _publish(self, run: "Run") -> None:
        history, early_stopping = run.history, self._stops_early()
        self.n_iter_, self.t_, self.loss_ = history.n_iter, history.t, history.loss
        if self.solver == "lbfgs":
            return
        self._optimizer = run.optimizer
        self._no_improvement_count = history.no_improvement_count
        self._best_params = history.best_params
        self.loss_curve_ = history.loss_curve
        self.best_loss_ = None if early_stopping else history.best_loss
        self.validation_scores_ = history.validation_scores if early_stopping else None
        self.best_validation_score_ = history.best_validation_score if early_stopping else None

    # ---- weights: one flat vector, of which coefs_ and intercepts_ are views

    def _make_network(self, layer_sizes: list[int], dtype: np.dtype) -> Any:
        from fastbp.training.network import make_network

        activations = parameters.activation_names(self.activation, len(layer_sizes) - 2, self)
        return make_network(
            layer_sizes, activations, self.out_activation_, self._loss_name(), fit_intercept=self.fit_intercept, dtype=dtype
        )

    def _draw(self, network: Any, layer_sizes: list[int], random_state: np.random.RandomState, dtype: np.dtype) -> np.ndarray:
        from fastbp.training.network import pack_parameters
        from fastbp.training.starts import draw_parameters

        if isinstance(self.init, str):
            names = parameters.activation_names(self.activation, len(layer_sizes) - 2, self)
            # scikit-learn draws the output layer as if its activation were the hidden one
            last = self.activation if isinstance(self.activation, str) else (*names, "relu")[-1]
            coefs, intercepts = draw_parameters(
                layer_sizes,
                (*names, last),
                init=self.init,
                init_scale=self.init_scale,
                fit_intercept=self.fit_intercept,
                random_state=random_state,
                dtype=dtype,
            )
        else:
            coefs, intercepts, sizes = parameters.check_weights(*self.init)
            if sizes != layer_sizes:
                raise ValueError(
                    f"init holds weights for the layers {sizes}, but X, hidden_layer_sizes and y need {layer_sizes}."
                )
        return pack_parameters(network, coefs, intercepts, dtype)

    def _packed(self, dtype: np.dtype | None = None) -> tuple[Any, np.ndarray]:
        """Return the network and its flat vector, made anew when coefs_ or a hyperparameter was replaced since."""
        views = (*self.coefs_, *self.intercepts_)
        if (
            self.__dict__.get("_network_key") == self._key()
            and len(views) == len(self._views)
            and all(map(operator.is_, views, self._views))
            and (dtype is None or dtype == self._params.dtype)
        ):
            return self._network, self._params
        from fastbp.training.network import pack_parameters

        coefs, intercepts, layer_sizes = parameters.check_weights(self.coefs_, self.intercepts_)
        if dtype is None:
            dtype = np.dtype(np.float32 if np.result_type(*coefs, *intercepts) == np.float32 else np.float64)
        network = self._make_network(layer_sizes, dtype)
        params = pack_parameters(network, coefs, intercepts, dtype)
        self._bind(network, params)
        return network, params

    def _bind(self, network: Any, params: np.ndarray) -> None:
        from fastbp.training.network import parameter_views

        self.coefs_, self.intercepts_ = parameter_views(network, params)
        self.n_layers_ = len(self.coefs_) + 1
        self._network, self._params, self._views = network, params, (*self.coefs_, *self.intercepts_)
        self._network_key = self._key()  # last, as another thread that predicts goes by it

    def _key(self) -> tuple[Any, ...]:
        """Return what a network depends on beside the shapes of its weights."""
        activation = self.activation if isinstance(self.activation, str) else tuple(self.activation)
        return activation, self.out_activation_, self._loss_name(), self.fit_intercept

    # ---- data at the door

    def _check_rows(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        """Return X as C-contiguous float32 or float64, or CSR, and y as an array; set n_features_in_ if `reset`."""
        plain = is_plain(X, DTYPES) and is_plain_target(y, len(X)) and not hasattr(self, "feature_names_in_")
        if plain and (reset or X.shape[1] == getattr(self, "n_features_in_", None)):
            self.n_features_in_ = X.shape[1]
            return X, y
        return validate_data(self, X, y, reset=reset, dtype=DTYPES, order="C", accept_sparse="csr", **self._check_y_options)

    def _outputs(self, X: Any, only_largest: bool = False) -> np.ndarray:
        """Return the outputs for X, (n_samples, n_outputs) in the dtype of the weights, or the number of the largest per row."""
        from fastbp.training.predict import predict_outputs

        check_is_fitted(self)
        network, params = self._packed()
        if not (is_plain(X, (params.dtype,)) and X.shape[1] == len(self.coefs_[0]) and not hasattr(self, "feature_names_in_")):
            X = validate_data(self, X, reset=False, dtype=params.dtype, order="C", accept_sparse="csr")
        return predict_outputs(network, params, X, only_largest=only_largest, n_threads=self.n_threads)

    # ---- scikit-learn's hooks

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what coefs_ and intercepts_ can restore, and the optimizer: after loading, partial_fit starts a new one."""
        return {name: value for name, value in super().__getstate__().items() if name not in _NOT_PICKLED}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _same_layout(known: np.ndarray | None, params: np.ndarray) -> bool:
    """Whether what was kept from an earlier training belongs to a vector like `params`: padding differs between dtypes."""
    return known is not None and (known.dtype, known.size) == (params.dtype, params.size)
