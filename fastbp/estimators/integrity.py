"""Checks of the attributes of a fitted estimator before a kernel reads them. A fit, a user or a file may have set them.

Kernels do not check sizes, so everything that they read is checked here. `checked_layout` is called before predictions,
`check_kept` before training continues, and `check_fitted_state`, which checks everything, when a file is loaded.
"""

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import RobustScaler, StandardScaler

from fastbp.estimators import ordered, parameters
from fastbp.names import ACTIVATIONS, LOSSES, SOLVERS

Shapes = dict[str, tuple[int, ...]]
# For each scaler, the flag and the array of the shift, and those of the scale.
_FLAGS = {
    StandardScaler: {"with_mean": "mean_", "with_std": "scale_"},
    RobustScaler: {"with_centering": "center_", "with_scaling": "scale_"},
}
OF_SCALERS = ("n_features_in_", *sorted({name for flags in _FLAGS.values() for pair in flags.items() for name in pair}))
_COUNTS = ("n_iter_", "t_", "_no_improvement_count", "n_layers_", "n_outputs_", "n_features_in_")
_MEASURES = ("loss_", "best_loss_", "best_validation_score_", "alpha_", "noise_variance_", "n_effective_parameters_")
_CURVES = ("loss_curve_", "validation_scores_", "validation_loss_curve_")


class Layout(NamedTuple):
    """Checked weights of an estimator, and the shape of its network."""

    coefs: list[np.ndarray]
    intercepts: list[np.ndarray]
    layer_sizes: list[int]  # features of X first, units of the output last
    front: dict[str, np.ndarray]
    front_shapes: Shapes
    options: dict[str, Any]  # further arguments of make_network

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the weights of each layer."""
        return [W.shape for W in self.coefs]


def check_fitted_state(estimator: Any) -> None:
    """Raise ValueError or TypeError that names the first attribute that is wrong or does not match the others.

    Of an estimator without weights, only the types of attributes are checked.
    """
    state = vars(estimator)
    for name in _CURVES:
        curve = state.get(name)
        _require(curve is None or (isinstance(curve, list) and all(map(_is_measure, curve))), name)
    _check_history(state)
    _check_feature_names(state)
    if "classes_" in state:
        _check_classes(state["classes_"])
    if "coefs_" not in state:
        return
    if "out_activation_" not in state:  # initial weights that a user has set
        sizes = parameters.check_weights(state["coefs_"], state.get("intercepts_"))[2]
        _check_sizes(state, sizes, type(estimator).__name__)
        return
    layout = checked_layout(estimator)
    _require(state.get("n_layers_", len(layout.layer_sizes)) == len(layout.layer_sizes), "n_layers_")
    if state.get("_best_params") is not None:
        _check_vectors(state["_best_params"], layout, (1,), "_best_params")
    if state.get("_optimizer") is not None:
        _complete_optimizer(estimator)
        n_moments = SOLVERS[state["_optimizer"].solver_name].n_moments  # then maybe an average and the weights of the last step
        kept = state["_optimizer"].__getstate__()["moments"]
        _check_vectors(kept, layout, range(n_moments, n_moments + 3), "_optimizer.moments")


# ---- attributes that predictions read


def checked_layout(estimator: Any) -> Layout:
    """Return the weights and the shape of a network, after checks of all that predictions read."""
    state, kind = vars(estimator), type(estimator).__name__
    if "out_activation_" not in state:
        raise NotFittedError(f"This {kind} has weights but no out_activation_, which fit sets.")
    coefs, intercepts, sizes = parameters.check_weights(state.get("coefs_"), state.get("intercepts_"))
    front, front_shapes = _check_front(state, sizes)
    check_categories(state, sizes[0])
    _check_sizes(state, sizes, kind)
    _check_feature_names(state)
    _require(isinstance(state["out_activation_"], str) and state["out_activation_"] in ACTIVATIONS, "out_activation_")
    if isinstance(estimator, ClassifierMixin):
        _check_labels(state, sizes[-1])
    _check_parameter(estimator, "loss")
    _check_parameter(estimator, "fit_intercept")
    loss = estimator._loss_name()
    if state["out_activation_"] not in LOSSES[loss].outputs:
        raise ValueError(
            f"out_activation_={state['out_activation_']!r} does not go with the loss {loss!r}, which needs"
            f" {' or '.join(map(repr, LOSSES[loss].outputs))}: undo the change since the fit, or fit again."
        )
    _check_scaler(state.get("input_scaler_"), (StandardScaler, RobustScaler), sizes[0], "input_scaler_")
    targets = state.get("target_scaler_")
    has_spread = 2 * _count_in(targets) == sizes[-1]  # two outputs per target
    _check_scaler(targets, (StandardScaler,), sizes[-1] // 2 if has_spread else sizes[-1], "target_scaler_")
    _check_members(estimator, sizes)
    output, activation = state["out_activation_"], _check_parameter(estimator, "activation")
    options = {
        "activations": ordered.hidden_activations(activation, output, len(sizes) - 2, estimator),
        "output_activation": output,
        "loss": loss,
        "loss_parameter": _checked_loss_parameter(estimator, loss, sizes[-1]),
        "groups": estimator._groups(),
        "fit_intercept": estimator.fit_intercept,
        "embedded": state.get("embedded_features_", ()),
        "scale_layer": "scale" in front,
        "skip_layer": "skip" in front,
        "categories": state.get("n_categories_", ()),
        "category_sizes": tuple(array.shape[1] for array in category_embeddings(front)),
    }
    return Layout(coefs, intercepts, sizes, front, front_shapes, options)


def _check_parameter(estimator: Any, name: str) -> Any:
    value = getattr(estimator, name)
    if name in estimator._rules:
        parameters.check_parameter(name, value, estimator._rules[name], estimator)
    return value


def _checked_loss_parameter(estimator: Any, loss: Any, n_outputs: int) -> Any:
    name = LOSSES[loss].parameter
    if name:
        _check_parameter(estimator, name)
    value = parameters.loss_parameter_of(estimator, loss)
    if isinstance(value, tuple) and len(value) != n_outputs:
        raise ValueError(
            f"{name or repr(loss)} has {len(value)} values, but this {type(estimator).__name__} was fitted for {n_outputs}"
            " outputs."
        )
    return value


def _check_front(state: Mapping[str, Any], layer_sizes: list[int]) -> tuple[dict[str, np.ndarray], Shapes]:
    """Return the weights beside the layers and their shapes; set layer_sizes[0] to the number of columns of X."""
    front, shapes = _checked_front(state, layer_sizes)
    skip = state.get("skip_coefs_")
    if skip is None:
        return front, shapes
    is_array = isinstance(skip, np.ndarray) and skip.dtype.kind == "f"
    n_scores = int(state.get("out_activation_") == ordered.OUTPUT)  # for ordered classes, it leads to the score
    is_right = is_array and len(layer_sizes) > 2 + n_scores and skip.shape == (layer_sizes[0], layer_sizes[-1 - n_scores])
    _require(is_right, "skip_coefs_")
    return {**front, "skip": skip}, {**shapes, "skip": skip.shape}


def _checked_front(state: Mapping[str, Any], layer_sizes: list[int]) -> tuple[dict[str, np.ndarray], Shapes]:
    if not {"front_", "embedded_features_", "n_categories_"} & state.keys():
        return {}, {}
    from fastbp.training.network import front_views, make_network

    front, embedded, n_inputs = state.get("front_", {}), state.get("embedded_features_", ()), layer_sizes[0]
    _require(isinstance(front, dict), "front_")
    _require(all(isinstance(array, np.ndarray) and array.dtype.kind == "f" for array in front.values()), "front_")
    categories = state.get("n_categories_", ())
    embeddings = category_embeddings(front)
    most = max([n_inputs, *map(len, embeddings)])
    are_counts = isinstance(categories, tuple) and all(_is_count(count) and 0 < count <= most for count in categories)
    _require(are_counts and (bool(embeddings) or sum(categories) <= n_inputs), "n_categories_")
    are_tables = all(array.ndim == 2 and 0 < array.shape[1] <= n_inputs for array in embeddings)
    _require(are_tables and [len(array) for array in embeddings] == [*categories] * bool(embeddings), "front_ (or n_categories_)")
    sizes = [array.shape[1] for array in embeddings]
    n_numbers = n_inputs - (front["offsets"].size if "offsets" in front else 0) - sum(sizes or categories)
    n_features = n_numbers + len(categories)
    _require(n_numbers >= 0 and n_features >= 1, "front_ (or n_categories_)")
    are_columns = isinstance(embedded, tuple) and all(_is_count(column) and column < n_numbers for column in embedded)
    _require(are_columns and len(embedded) == len(set(embedded)), "embedded_features_")
    network = make_network(
        (n_features, 1), (), "identity", "squared_error", embedded=embedded, scale_layer="scale" in front, categories=categories,
        category_sizes=sizes,
    )  # fmt: skip
    shapes = {name: view.shape for name, view in front_views(network, np.broadcast_to(0.0, network.n_parameters)).items()}
    fits = network.units[0] == n_inputs and {name: array.shape for name, array in front.items()} == shapes
    _require(fits, "front_ (or embedded_features_)")
    layer_sizes[0] = n_features
    return front, shapes


def category_embeddings(front: Any) -> list[np.ndarray]:
    """Return the embeddings of categories in `front_`, in the order of the columns."""
    from fastbp.training.network import CATEGORY_EMBEDDING

    names = [name for name in front or () if isinstance(name, str) and name.startswith(CATEGORY_EMBEDDING)]
    return [front[name] for name in (f"{CATEGORY_EMBEDDING}{k}" for k in range(len(names))) if name in front]


def check_categories(state: Mapping[str, Any], n_features: int) -> None:
    """Raise ValueError if the numbers of categories are not those of the network."""
    if not {"categories_", "categorical_features_"} & state.keys():
        return
    categories: Any = state.get("categories_")
    columns: Any = state.get("categorical_features_")
    are_arrays = isinstance(categories, list) and all(isinstance(each, np.ndarray) and each.ndim == 1 for each in categories)
    _require(are_arrays and all(each.dtype in (np.float64, np.object_) for each in categories), "categories_")
    _require(tuple(map(len, categories)) == state.get("n_categories_", ()), "categories_ (or n_categories_)")
    are_columns = isinstance(columns, tuple) and all(_is_count(column) and column < n_features for column in columns)
    _require(are_columns and len(set(columns)) == len(columns) == len(categories), "categorical_features_")


def _check_sizes(state: Mapping[str, Any], layer_sizes: list[int], kind: str) -> None:
    known = [state.get("n_features_in_", layer_sizes[0]), state.get("n_outputs_", layer_sizes[-1])]
    for name, number in zip(("n_features_in_", "n_outputs_"), known):
        _require(_is_count(number), name)
    if known != [layer_sizes[0], layer_sizes[-1]]:
        raise ValueError(
            f"coefs_ and intercepts_ map {layer_sizes[0]} features to {layer_sizes[-1]} outputs, but this {kind} was fitted for"
            f" {known[0]} features and {known[1]} outputs (n_features_in_ and n_outputs_)."
        )
    _require(_is_count(state.get("n_layers_", 0)), "n_layers_")


def _check_feature_names(state: Mapping[str, Any]) -> None:
    names = state.get("feature_names_in_")
    if names is not None:
        is_list = isinstance(names, np.ndarray) and names.ndim == 1 and all(isinstance(name, str) for name in names)
        _require(is_list and len(names) == state.get("n_features_in_"), "feature_names_in_")


def _check_classes(classes: Any) -> None:
    parts = classes if isinstance(classes, list) and classes else [classes]
    _require(all(isinstance(part, np.ndarray) and part.ndim == 1 and part.size for part in parts), "classes_")


def _check_labels(state: Mapping[str, Any], n_outputs: int) -> None:
    """Raise ValueError if the classes do not match the outputs: one per class, or one for the second of two classes."""
    if "classes_" not in state:
        raise NotFittedError("This classifier has weights but no classes_, which fit sets.")
    classes = state["classes_"]
    _check_classes(classes)
    if isinstance(classes, list):
        fits = sum(map(len, classes)) == n_outputs and state["out_activation_"] == "softmax"
        _require(fits, "classes_ (or out_activation_)")
    else:
        is_for_two = n_outputs == 1 and len(classes) == 2
        _require(len(classes) == n_outputs or is_for_two, "classes_")
        _require(not is_for_two or state["out_activation_"] != "softmax", "out_activation_")
    _require(isinstance(state.get("_sparse_labels", False), bool | np.bool_), "_sparse_labels")
    temperature = state.get("temperature_")
    _require(temperature is None or (_is_measure(temperature) and 0.0 < float(temperature) < math.inf), "temperature_")


def _count_in(scaler: Any) -> int:
    """Return the number of columns that a scaler was fitted to, 0 if that is no number."""
    n_fitted = getattr(scaler, "n_features_in_", 0)
    return n_fitted if _is_count(n_fitted) else 0


def _check_scaler(scaler: Any, kinds: tuple[type, ...], n_columns: int, name: str) -> None:
    if scaler is None:
        return
    if type(scaler) not in kinds:
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"{name} must be None or a fitted {expected}, got {type(scaler).__name__}.")
    state = vars(scaler)
    n_fitted = state.get("n_features_in_")
    if not _is_count(n_fitted) or n_fitted != n_columns:
        raise ValueError(f"{name} is for {n_fitted!r:.20} columns, but the network has {n_columns} there.")
    for flag, part in _FLAGS[type(scaler)].items():
        _require(isinstance(state.get(flag), bool | np.bool_), f"{name}.{flag}")
        array = state.get(part)
        is_right = isinstance(array, np.ndarray) and array.shape == (n_columns,) and array.dtype.kind == "f"
        _require(is_right or (array is None and not state[flag]), f"{name}.{part}")


def _check_members(estimator: Any, layer_sizes: list[int]) -> None:
    """Check the members of an ensemble. Each is checked again when it predicts."""
    state = vars(estimator)
    members = state.get("estimators_")
    if members is None:
        return
    _require(isinstance(members, list) and len(members) > 0, "estimators_")
    for member in members:
        _require(type(member) is type(estimator) and vars(member).get("estimators_") is None, "estimators_")
        try:
            own = checked_layout(member)
        except (ValueError, TypeError) as error:
            raise ValueError(f"A member of estimators_: {error}") from error
        _require((own.layer_sizes[0], own.layer_sizes[-1]) == (layer_sizes[0], layer_sizes[-1]), "estimators_")
        _require(vars(member)["out_activation_"] == state["out_activation_"], "estimators_ (or out_activation_)")
        _require(member._groups() == estimator._groups(), "estimators_")
    best = state.get("_best_member", 0)
    _require(_is_count(best) and best < len(members), "_best_member")


# ---- attributes that continued training reads


def check_kept(estimator: Any) -> None:
    """Raise ValueError for state of the training, other than weights, that no fit can have left."""
    state = vars(estimator)
    _check_history(state)
    for name in _CURVES:
        _require(type(state.get(name)) in (list, type(None)), name)
    best, optimizer = state.get("_best_params"), state.get("_optimizer")
    if best is not None:
        _require(_are_vectors(best), "_best_params")
    if optimizer is not None:
        _check_optimizer(optimizer)


def _check_history(state: Mapping[str, Any]) -> None:
    for name in _COUNTS:
        _require(_is_count(state.get(name, 0)), name)
    for name in _MEASURES:
        value = state.get(name)
        _require(value is None or _is_measure(value), name)
    norms = state.get("gradient_norms_")
    _require(norms is None or (isinstance(norms, np.ndarray) and norms.ndim == 2 and norms.dtype.kind == "f"), "gradient_norms_")


def _are_vectors(kept: Any) -> bool:
    from fastbp.training.kept import KeptVectors

    return type(kept) is KeptVectors and kept.is_whole


def _check_optimizer(optimizer: Any) -> None:
    from fastbp.training.optimizer import Optimizer

    _require(type(optimizer) is Optimizer, "_optimizer")
    fault = optimizer.fault()
    _require(not fault, f"_optimizer.{fault}")


# ---- files


def _check_vectors(kept: Any, layout: Layout, counts: Any, name: str) -> None:
    """Raise ValueError if flat vectors do not have the shapes of the layout, by which they are packed for the kernels."""
    _require(_are_vectors(kept), name)
    per_layer = kept.unpacked()
    _require(isinstance(per_layer, list) and len(per_layer) in counts, name)
    for coefs, intercepts, *rest in per_layer:
        _require([W.shape for W in coefs] == layout.shapes, name)
        _require([b.shape for b in intercepts] == [b.shape for b in layout.intercepts], name)
        _require(all(array.dtype.kind == "f" for array in (*coefs, *intercepts)), name)
        _require(len(rest) == bool(layout.front), name)
        front = dict(*rest)
        _require(all(isinstance(array, np.ndarray) and array.dtype.kind == "f" for array in front.values()), name)
        _require({key: array.shape for key, array in front.items()} == layout.front_shapes, name)


def _complete_optimizer(estimator: Any) -> None:
    """Check the optimizer against a new one of the same solver, from which it gets what an older file does not have."""
    from fastbp.estimators.settings import settings_of
    from fastbp.training.network import make_network
    from fastbp.training.optimizer import Optimizer

    optimizer: Any = vars(estimator)["_optimizer"]
    _require(type(optimizer) is Optimizer, "_optimizer")
    name = vars(optimizer).get("solver_name")
    _require(isinstance(name, str) and name in SOLVERS and SOLVERS[name].is_stochastic, "_optimizer.solver_name")
    settings = settings_of(estimator, estimator._loss_name())._replace(solver=name)
    network = make_network((1, 1), (), "identity", "squared_error")
    template = vars(Optimizer(network, np.dtype(np.float64), settings))
    for name in vars(optimizer):
        _require(name in template, f"_optimizer.{name}")
    for name, value in template.items():
        vars(optimizer).setdefault(name, value)
    _check_optimizer(optimizer)


# ---- kinds of values


def _is_count(value: Any) -> bool:
    return (type(value) is int or isinstance(value, Integral)) and 0 <= int(value) <= parameters.MOST_COUNT


def _is_measure(value: Any) -> bool:
    if type(value) is float:  # the abstract classes below are slow
        return True
    return isinstance(value, Real) and (not isinstance(value, Integral) or abs(int(value)) <= parameters.MOST_COUNT)


def _require(is_right: bool, name: str) -> None:
    if not is_right:
        raise ValueError(f"The attribute {name} is not what fit has set: it has the wrong type, or does not match the others.")
