"""What an estimator must be like before it goes into a file, and after it came out of one."""

import math
from collections.abc import Collection, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from fastbp.estimators import parameters
from fastbp.estimators.base import BaseBP
from fastbp.estimators.settings import settings_of
from fastbp.names import ACTIVATIONS, SOLVERS

_COUNTS = ("n_iter_", "t_", "_no_improvement_count", "n_layers_", "n_outputs_", "n_features_in_")
_MEASURES = ("loss_", "best_loss_", "best_validation_score_", "alpha_", "noise_variance_", "n_effective_parameters_")
Shapes = dict[str, tuple[int, ...]]
_CURVES = ("loss_curve_", "validation_scores_")


def check_state(estimator: BaseBP) -> None:
    """Raise ValueError or TypeError where an estimator's parameters and fitted attributes do not fit together."""
    parameters.check_parameters(estimator)
    parameters.hidden_sizes(estimator.hidden_layer_sizes)
    if not isinstance(estimator.init, str):
        parameters.check_weights(*estimator.init)
    state = vars(estimator)
    for name in _COUNTS:
        _require(name not in state or _is_count(state[name]), name)
    for name in _MEASURES:
        _require(name not in state or state[name] is None or _is_measure(state[name]), name)
    for name in _CURVES:
        curve = state.get(name)
        _require(curve is None or (isinstance(curve, list) and all(map(_is_measure, curve))), name)
    if "feature_names_in_" in state:
        names = state["feature_names_in_"]
        is_list = isinstance(names, np.ndarray) and names.ndim == 1 and all(isinstance(name, str) for name in names)
        _require(is_list and len(names) == state.get("n_features_in_"), "feature_names_in_")
    if "classes_" in state:
        parts = state["classes_"] if isinstance(state["classes_"], list) and state["classes_"] else [state["classes_"]]
        _require(all(isinstance(part, np.ndarray) and part.ndim == 1 and part.size for part in parts), "classes_")
    _require(isinstance(state.get("_sparse_labels", False), bool), "_sparse_labels")
    if "coefs_" in state:
        _check_network(estimator)


def _check_network(estimator: BaseBP) -> None:
    state = vars(estimator)
    layer_sizes = parameters.check_weights(estimator.coefs_, estimator.intercepts_)[2]
    parameters.activation_names(estimator.activation, len(layer_sizes) - 2, estimator)
    n_features, front = _check_front(state, layer_sizes[0])
    ends = {"n_features_in_": n_features, "n_outputs_": layer_sizes[-1], "n_layers_": len(layer_sizes)}
    for name, expected in ends.items():
        _require(state.get(name, expected) == expected, name)
    if "out_activation_" in state:
        _require(state["out_activation_"] in ACTIVATIONS, "out_activation_")
        parameters.output_activation_name(state["out_activation_"], estimator._loss_name())
    if "classes_" in state and "out_activation_" in state:
        n_classes, n_outputs = sum(estimator._groups()) or len(state["classes_"]), layer_sizes[-1]
        _require(n_classes == n_outputs or (n_outputs == 1 and n_classes <= 2), "classes_")
    shapes = [*zip(layer_sizes, layer_sizes[1:])]
    members = state.get("estimators_")  # which predict for the same rows
    if members is not None:
        are_alike = isinstance(members, list) and all(type(member) is type(estimator) for member in members)
        _require(are_alike and all([W.shape for W in member.coefs_] == shapes for member in members), "estimators_")
    if state.get("_best_params") is not None:
        _check_vectors(state["_best_params"], shapes, front, [1], "_best_params")
    if state.get("_optimizer") is not None:
        _check_optimizer(estimator, shapes, front)


def _check_front(state: Mapping[str, Any], n_inputs: int) -> tuple[int, Shapes]:
    """Return the number of columns of X, and the shapes of what stands between them and the n_inputs of the first layer."""
    from fastbp.training.network import front_views, make_network

    front, embedded = state.get("front_", {}), state.get("embedded_features_", ())
    _require(isinstance(front, dict), "front_")
    n_embedded_inputs = np.size(front["offsets"]) if "offsets" in front else 0
    n_features = n_inputs - n_embedded_inputs
    are_columns = isinstance(embedded, tuple) and all(_is_count(column) and column < n_features for column in embedded)
    _require(are_columns and len(embedded) == len(set(embedded)), "embedded_features_")
    _require(n_features >= 1, "front_")
    network = make_network((n_features, 1), (), "identity", "squared_error", embedded=embedded, scale_layer="scale" in front)
    shapes = {name: view.shape for name, view in front_views(network, np.zeros(network.n_parameters)).items()}
    _check_named(front, shapes, "front_")
    _require(network.units[0] == n_inputs, "front_")
    return n_features, shapes


def _check_named(arrays: dict[str, Any], shapes: Shapes, name: str) -> None:
    _require(all(isinstance(array, np.ndarray) and array.dtype.kind == "f" for array in arrays.values()), name)
    _require({key: array.shape for key, array in arrays.items()} == shapes, name)


def _check_vectors(vectors: Any, shapes: list[tuple[int, int]], front: Shapes, counts: Collection[int], name: str) -> None:
    """Flat vectors are packed by these shapes into memory that kernels read and write."""
    per_layer = vectors.unpacked()
    _require(isinstance(per_layer, list) and len(per_layer) in counts, name)
    for coefs, intercepts, *rest in per_layer:
        _require([W.shape for W in coefs] == shapes and [b.shape for b in intercepts] == [(n,) for _, n in shapes], name)
        _require(all(array.dtype.kind == "f" for array in (*coefs, *intercepts)), name)
        _require(len(rest) == bool(front), name)
        _check_named(dict(*rest), front, name)


def _check_optimizer(estimator: BaseBP, shapes: list[tuple[int, int]], front: Shapes) -> None:
    """Compare what it keeps with a new optimizer of the same solver; what it lacks, as an older file may, it gets from that."""
    from fastbp.training.network import make_network
    from fastbp.training.optimizer import Optimizer

    optimizer: Any = vars(estimator)["_optimizer"]
    solver = SOLVERS.get(optimizer.__dict__.get("solver_name"))
    _require(solver is not None and solver.is_stochastic, "_optimizer.solver_name")
    assert solver is not None
    settings = settings_of(estimator, estimator._loss_name())._replace(solver=optimizer.solver_name)
    network = make_network((1, 1), (), "identity", "squared_error")
    template = Optimizer(network, np.dtype(np.float64), settings)
    for name, value in vars(optimizer).items():
        _require(name in vars(template), f"_optimizer.{name}")
        if name not in ("network", "moments"):
            _require(_is_alike(value, vars(template)[name]), f"_optimizer.{name}")
    for name, value in vars(template).items():
        optimizer.__dict__.setdefault(name, value)
    n_moments = solver.n_moments  # after them, an average of the weights and what the last step left
    _check_vectors(optimizer.__getstate__()["moments"], shapes, front, range(n_moments, n_moments + 3), "_optimizer.moments")


def _is_alike(value: Any, example: Any) -> bool:
    if isinstance(example, tuple):
        return isinstance(value, tuple) and len(value) == len(example) and all(map(_is_alike, value, example))
    if isinstance(example, Integral):
        return _is_count(value)
    if isinstance(example, Real):
        return _is_measure(value) and not math.isnan(value)
    return type(value) is type(example)


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and 0 <= int(value) <= parameters.MOST_COUNT


def _is_measure(value: Any) -> bool:
    return isinstance(value, Real) and (not isinstance(value, Integral) or abs(int(value)) <= parameters.MOST_COUNT)


def _require(is_right: bool, name: str) -> None:
    if not is_right:
        raise ValueError(f"the attribute {name} is not what a fit leaves there")
