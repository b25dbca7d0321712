"""Training that continues from existing weights: checks of parameters that may not have changed, and the state to start with."""

import itertools
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import RobustScaler, StandardScaler

from fastbp.estimators.integrity import check_kept
from fastbp.names import LOSSES

# Fields of a history that are attributes of the same names. Some are set only with validation rows, or without early stopping.
HISTORY = ("t", "loss_curve", "best_loss", "validation_scores", "validation_loss_curve", "best_validation_score")
_REMEDY = "set it back, or fit again without warm_start"


def is_preset(estimator: Any) -> bool:
    """Whether a user has set initial weights, and there was no fit."""
    state = vars(estimator)
    return "out_activation_" not in state or (isinstance(estimator, ClassifierMixin) and "classes_" not in state)


def with_fitted_output(estimator: Any, settings: Any, targets: Any) -> Any:
    """Return settings with the output activation of the existing weights, or raise ValueError.

    As in scikit-learn, ``output_activation="auto"`` means `out_activation_`, even if a user has set it. Any other value must be
    equal to it.
    """
    own = vars(estimator).get("out_activation_")
    if own is None:
        return settings
    has_score = LOSSES[estimator._loss_name()].has_score
    if LOSSES[targets.loss].has_score != has_score:
        _refuse(estimator, "ordered", f"classes {'with' if has_score else 'without'} an order")
    if targets.loss != estimator._loss_name():
        raise ValueError(
            f"y needs the loss {targets.loss!r}, but this network was trained with {estimator._loss_name()!r}"
            f" (out_activation_={own!r}), and output_activation={estimator.output_activation!r}."
        )
    if own == settings.output_activation:
        return settings
    if estimator.output_activation != "auto":
        raise ValueError(
            f"output_activation={estimator.output_activation!r}, but the weights that training goes on with are for"
            f" out_activation_={own!r}: {_REMEDY}."
        )
    return settings._replace(output_activation=own)


def check_continues(estimator: Any, settings: Any, network: Any, problem: Any) -> None:
    """Raise ValueError that names a parameter, or the data, that does not fit the weights with which training continues."""
    shape = network.n_features, int(network.units[-1])
    if shape != (problem.n_features, problem.n_outputs):
        quantile = getattr(estimator, "quantile", None)
        is_about_it = estimator.loss == "quantile" or hasattr(quantile, "__len__")
        about = f", with loss={estimator.loss!r} and quantile={quantile!r}" if is_about_it else ""
        raise ValueError(
            f"coefs_ map {shape[0]} features to {shape[1]} outputs, but X and y have"
            f" {problem.n_features} features and {problem.n_outputs} outputs{about}."
        )
    sizes = tuple(network.units[1:-1].tolist())
    if settings.hidden_sizes != sizes:
        _refuse(estimator, "hidden_layer_sizes", f"hidden layers of {sizes} units")
    columns = tuple(network.embedded.tolist())
    wanted = tuple(range(network.n_features - network.coded.size + 1)) if settings.embedded is None else settings.embedded
    if bool(wanted) != bool(columns):
        _refuse(estimator, "embedding", "embedded features" if columns else "features that are not embedded")
    if wanted != columns:
        _refuse(estimator, "embedded_features", f"the embedded columns {columns}")
    if settings.scale_layer != bool(network.has_scale):
        _refuse(estimator, "scale_layer", f"a network {'with' if network.has_scale else 'without'} such a layer")
    if settings.skip_layer != (network.skip_layer >= 0):
        _refuse(estimator, "skip_layer", f"a network {'with' if network.skip_layer >= 0 else 'without'} such a layer")
    if (estimator.categorical_features is None) != (not hasattr(estimator, "categories_")):
        _refuse(
            estimator, "categorical_features", f"rows {'with' if hasattr(estimator, 'categories_') else 'without'} categories"
        )
    sizes = tuple(stop - start for start, stop in itertools.pairwise(network.category_outputs.tolist()))
    if settings.category_sizes != sizes:
        _refuse(estimator, "embedding_size", f"embeddings of {sizes} numbers" if sizes else "categories without embeddings")
    if not settings.fit_intercept and any(np.any(intercept) for intercept in estimator.intercepts_):
        _refuse(estimator, "fit_intercept", "a network with intercepts")


def resumed_from(estimator: Any, network: Any, problem: Any, settings: Any, incremental: bool) -> Any:
    """Return the state with which training continues: copies of the history and the best weights.

    For partial_fit it includes a copy of the optimizer, if the solver is the same.
    """
    from fastbp.training.fit import Resumed
    from fastbp.training.network import aligned_copy
    from fastbp.training.outcome import History

    check_kept(estimator)
    history, state = History(), vars(estimator)
    for name in HISTORY:
        value = state.get(name + "_")
        if value is not None:
            setattr(history, name, value.copy() if isinstance(value, list) and not incremental else value)
    if incremental:  # a copy for each epoch would make many epochs slow
        history.n_before, history.loss_curve = len(history.loss_curve), []
    history.gradient_norms = [*state.get("gradient_norms_", ())]
    history.no_improvement_count = state.get("_no_improvement_count", 0)
    best, optimizer = state.get("_best_params"), state.get("_optimizer") if incremental else None
    vectors = None if best is None else best.laid_out(network, problem.dtype)
    history.best_params = None if vectors is None else aligned_copy(vectors[0])
    if optimizer is not None:
        weights, is_same = problem.sample_weight, optimizer.solver_name == settings.solver
        is_safe = not settings.verbose and (weights is None or weights.min() > 0)  # no print and no batch of weight 0 may fail
        optimizer = optimizer.continued(network, problem.dtype, is_safe) if is_same else None
    return Resumed(history, optimizer)


def has_changed_moments(estimator: Any, resumed: Any) -> bool:
    """Whether training has changed the optimizer's vectors in place, while the estimator still has the old weights."""
    if resumed is None or resumed.optimizer is None or not resumed.history.n_iter:
        return False
    own = vars(estimator).get("_optimizer")
    held = [] if own is None or own is resumed.optimizer or not isinstance(own.moments, list) else own.moments
    return any(one.size and one is other for one in held for other in resumed.optimizer.moments)


def target_scaling_of(estimator: Any, settings: Any) -> str | None:
    """Return how targets are scaled. A loss that learns standard deviations has a lower bound of scaled ones."""
    return "standard" if LOSSES[settings.loss].has_spread else estimator.target_scaling


def check_scaling(estimator: Any, settings: Any, resume: bool) -> None:
    """Raise ValueError if targets cannot be scaled, or a continued training would scale in another way."""
    if estimator.target_scaling is not None:
        loss = LOSSES[settings.loss]
        if loss.lowest_target > -np.inf or loss.highest_target < np.inf:
            raise ValueError(f"target_scaling does not go with the loss {settings.loss!r}, which needs the targets as they are.")
        if settings.output_activation != "identity":
            raise ValueError(f"target_scaling needs output_activation='identity', not {settings.output_activation!r}.")
    if not resume:
        return
    has_spread = not is_preset(estimator) and estimator._has_spread
    if LOSSES[settings.loss].has_spread != has_spread:
        _refuse(estimator, "loss", f"a network {'with' if has_spread else 'without'} standard deviations of its targets")
    kinds = {"standard": StandardScaler, "robust": RobustScaler, None: type(None)}
    for name, wanted in ("input", estimator.input_scaling), ("target", target_scaling_of(estimator, settings)):
        scaler = getattr(estimator, f"{name}_scaler_", None)
        if type(scaler) is not kinds[wanted]:
            scaled = {StandardScaler: "standard scaling of", RobustScaler: "robust scaling of"}.get(type(scaler), "unscaled")
            _refuse(estimator, f"{name}_scaling", f"{scaled} {name}s ({name}_scaler_)")


def _refuse(estimator: Any, name: str, what: str) -> None:
    value = getattr(estimator, name)
    raise ValueError(f"{name}={value!r}, but the weights that training goes on with are for {what}: {_REMEDY}.")
