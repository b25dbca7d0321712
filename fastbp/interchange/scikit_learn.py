"""Conversion of scikit-learn's MLPs to fastbp's estimators and back, by public parameters and fitted attributes."""

import copy
import warnings
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.utils.validation import check_is_fitted

from fastbp.estimators import BPClassifier, BPRegressor, parameters
from fastbp.estimators.base import BaseBP
from fastbp.estimators.scaling import check_weights_alone
from fastbp.estimators.settings import settings_of
from fastbp.names import AS_SKLEARN, SOLVERS

# sklearn.neural_network, which takes 30 ms to import, is imported in functions.

ATTRIBUTES = (
    "classes_", "n_features_in_", "feature_names_in_", "n_outputs_", "n_layers_", "out_activation_", "n_iter_", "t_", "loss_",
    "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_", "_no_improvement_count",
)  # fmt: skip
WITHOUT_EFFECT = ("n_threads",)  # on results


def from_sklearn(mlp: Any) -> BPClassifier | BPRegressor:
    """Return fastbp's estimator with the parameters, weights and history of a fitted MLP of scikit-learn's.

    It predicts the same up to rounding, and `partial_fit` continues with the state of the MLP's optimizer.

    Parameters
    ----------
    mlp : MLPClassifier or MLPRegressor
        Fitted. It stays as it is; nothing is shared with it.

    Returns
    -------
    estimator : BPClassifier or BPRegressor

    Raises
    ------
    ValueError
        `mlp` is something else, or not fitted.

    See Also
    --------
    to_sklearn : The way back.

    Examples
    --------
    >>> from sklearn.neural_network import MLPRegressor
    >>> import fastbp
    >>> mlp = MLPRegressor(hidden_layer_sizes=4, solver="lbfgs", random_state=0).fit([[0.0], [1.0]], [0.0, 1.0])
    >>> estimator = fastbp.from_sklearn(mlp)
    >>> bool(abs(estimator.predict([[0.5]]) - mlp.predict([[0.5]])) < 1e-9)
    True
    """
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    if not isinstance(mlp, MLPClassifier | MLPRegressor):
        raise ValueError(f"mlp must be an MLPClassifier or an MLPRegressor, got {type(mlp).__name__}.")
    check_is_fitted(mlp)
    is_classifier = isinstance(mlp, MLPClassifier)
    settings = copy.deepcopy(mlp.get_params(deep=False))
    if settings["early_stopping"] and SOLVERS[mlp.solver].stops_late_elsewhere:
        settings["early_stopping"] = AS_SKLEARN
    estimator: Any = (BPClassifier if is_classifier else BPRegressor)(**settings)
    state = {name: copy.deepcopy(getattr(mlp, name)) for name in ATTRIBUTES if hasattr(mlp, name)}
    state |= {name: [np.array(array, order="C") for array in getattr(mlp, name)] for name in ("coefs_", "intercepts_")}
    state["restart_losses_"] = np.array([mlp.loss_], dtype=np.float64)
    if is_classifier:
        state["_sparse_labels"] = bool(getattr(getattr(mlp, "_label_binarizer", None), "sparse_input_", False))
    estimator.__setstate__({**estimator.__getstate__(), **state})
    if hasattr(mlp, "_optimizer"):
        try:
            estimator._optimizer = _optimizer_from(mlp._optimizer, estimator)
        except AttributeError as error:
            warnings.warn(
                f"partial_fit will start with a new optimizer, because the one of this scikit-learn is not known: {error}",
                stacklevel=2,
            )
    return estimator


def to_sklearn(estimator: BPClassifier | BPRegressor) -> Any:
    """Return scikit-learn's MLP with the parameters, weights and history of a fitted estimator of fastbp's.

    It predicts the same up to rounding, and `partial_fit` continues with the state of fastbp's optimizer.

    Parameters
    ----------
    estimator : BPClassifier or BPRegressor
        Fitted. It stays as it is; nothing is shared with it.

    Returns
    -------
    mlp : MLPClassifier or MLPRegressor

    Raises
    ------
    ValueError
        `estimator` is something else, or not fitted, or a parameter has a value that scikit-learn does not know; the message
        names it. A parameter that only matters in training, such as `init`, can be set to its default first.

    See Also
    --------
    from_sklearn : The way back.

    Examples
    --------
    >>> import fastbp
    >>> estimator = fastbp.BPClassifier((4,), max_iter=5, random_state=0).fit([[0.0], [1.0]], ["no", "yes"])
    >>> fastbp.to_sklearn(estimator)
    MLPClassifier(hidden_layer_sizes=(4,), max_iter=5, random_state=0)
    """
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    if not isinstance(estimator, BPClassifier | BPRegressor):
        raise ValueError(f"estimator must be a BPClassifier or a BPRegressor, got {type(estimator).__name__}.")
    if estimator._has_spread:
        raise ValueError("scikit-learn's MLPs have no standard deviations, as loss='gaussian_nll' has: take to_onnx or to_c.")
    check_weights_alone(estimator)
    if estimator.out_activation_ == "cumulative":
        raise ValueError("scikit-learn's MLPs have no ordered classes: take to_onnx or to_c, or fit with ordered=False.")
    if "skip_coefs_" in vars(estimator):
        raise ValueError("scikit-learn's MLPs have no skip_layer: take to_onnx or to_c, or fit with skip_layer=False.")
    kind = MLPClassifier if isinstance(estimator, BPClassifier) else MLPRegressor
    settings = _settings_for(kind, estimator)
    coefs, intercepts, layer_sizes = parameters.check_weights(estimator.coefs_, estimator.intercepts_)
    mlp = _fitted_to_nothing(kind, settings, estimator, layer_sizes[0], coefs[0].dtype)
    mlp.set_params(**settings)
    mlp.coefs_ = [np.array(W, order="C") for W in coefs]
    mlp.intercepts_ = [np.array(b) for b in intercepts]
    # A warm start returns to these if its early stopping finds nothing better.
    mlp._best_coefs, mlp._best_intercepts = ([array.copy() for array in arrays] for arrays in (mlp.coefs_, mlp.intercepts_))
    for name in ATTRIBUTES:
        if hasattr(estimator, name):
            setattr(mlp, name, copy.deepcopy(getattr(estimator, name)))
    optimizer = vars(estimator).get("_optimizer")
    if optimizer is not None:
        _optimizer_to(mlp._optimizer, optimizer, settings)
    elif hasattr(mlp, "_optimizer"):  # the next partial_fit makes one
        del mlp._optimizer
    return mlp


# ---- parameters


def _settings_for(kind: Any, estimator: BaseBP) -> dict[str, Any]:
    """Return the parameters of the MLP, or raise ValueError for a value that it does not have."""
    known, defaults = kind().get_params(deep=False), type(estimator)().get_params(deep=False)
    settings: dict[str, Any] = {}
    for name, value in estimator.get_params(deep=False).items():
        if name in known:
            settings[name] = True if name == "early_stopping" and value == AS_SKLEARN else copy.deepcopy(value)
        elif name == "output_activation":
            is_known = parameters.output_activation_name("auto", estimator._loss_name()) == estimator.out_activation_
        else:
            is_known = name in WITHOUT_EFFECT or (type(value) is type(defaults[name]) and value == defaults[name])
        if name not in known and not is_known:
            raise ValueError(
                f"{kind.__name__} has no {name!r}, which is {value!r} here. If it only matters in training, set it to its default"
                f" first: set_params({name}={defaults[name]!r})."
            )
    settings["hidden_layer_sizes"] = tuple(W.shape[1] for W in estimator.coefs_[:-1])
    names = set(parameters.activation_names(estimator.activation, len(estimator.coefs_) - 1, estimator))
    if len(names) > 1:
        raise ValueError(f"{kind.__name__} has one 'activation' for all layers, not {estimator.activation!r}.")
    settings["activation"] = names.pop() if names else "relu"
    return settings


def _fitted_to_nothing(kind: Any, settings: dict[str, Any], estimator: BaseBP, n_features: int, dtype: Any) -> Any:
    """Return an MLP after a fit of one step, so that it has the private attributes of any version of scikit-learn."""
    for_one_step = {
        "max_iter": 1, "early_stopping": False, "warm_start": False, "verbose": False, "random_state": 0, "batch_size": "auto",
        "learning_rate_init": 0.001, "alpha": 0.0,
    }  # fmt: skip
    n_outputs = int(estimator.coefs_[-1].shape[1])
    y: Any
    if isinstance(estimator, BPRegressor):
        y = np.zeros((2, n_outputs) if n_outputs > 1 else 2)
    elif estimator.out_activation_ == "logistic" and n_outputs > 1:
        y = np.eye(n_outputs, dtype=int)
        y = csr_matrix(y) if estimator._sparse_labels else y
    else:
        y = estimator.classes_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that one step is not enough
        return kind(**{**settings, **for_one_step}).fit(np.zeros((y.shape[0], n_features), dtype), y)


# ---- optimizers: attributes of scikit-learn's fitted objects


def _optimizer_from(theirs: Any, estimator: BaseBP) -> Any:
    from fastbp.training.network import pack_parameters
    from fastbp.training.optimizer import Optimizer

    network, params = estimator._packed()
    is_adam = hasattr(theirs, "ms")
    constants: dict[str, Any] = {"learning_rate_init": theirs.learning_rate_init}
    if is_adam:
        constants |= {"solver": "adam", "beta_1": theirs.beta_1, "beta_2": theirs.beta_2, "epsilon": theirs.epsilon}
    else:
        constants |= {"solver": "sgd", "momentum": theirs.momentum, "nesterovs_momentum": theirs.nesterov}
    settings = settings_of(estimator, estimator._loss_name())._replace(**constants)
    ours = Optimizer(network, params.dtype, settings)
    n_layers = len(estimator.coefs_)
    for k, vectors in enumerate([theirs.ms, theirs.vs] if is_adam else [theirs.velocities]):
        ours.moments[k] = pack_parameters(network, vectors[:n_layers], vectors[n_layers:], params.dtype)
    if is_adam:
        ours.n_steps = int(theirs.t)
    else:
        ours.learning_rate = float(theirs.learning_rate)
    return ours


def _optimizer_to(theirs: Any, ours: Any, settings: dict[str, Any]) -> None:
    vectors = [
        [array.copy() for array in (*coefs, *intercepts)] for coefs, intercepts in ours.__getstate__()["moments"].unpacked()
    ]
    code, decay_1, decay_2, epsilon = ours._rule
    theirs.learning_rate_init = ours.learning_rate_init
    theirs.learning_rate = ours.learning_rate
    if ours.solver_name == "adam":
        theirs.beta_1, theirs.beta_2, theirs.epsilon, theirs.t = decay_1, decay_2, epsilon, ours.n_steps
        theirs.ms, theirs.vs = vectors[:2]
    else:
        theirs.momentum, theirs.nesterov = decay_1, code == ours.solver.nesterov_rule
        theirs.lr_schedule, theirs.power_t = settings["learning_rate"], settings["power_t"]
        theirs.velocities = vectors[0]
