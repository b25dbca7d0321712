"""What an estimator must be like before it goes into a file, and after it came out of one."""

import inspect
import math
from collections.abc import Collection, Iterator, Mapping
from numbers import Integral, Real
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from sklearn.preprocessing import RobustScaler, StandardScaler

from fastbp.estimators import parameters
from fastbp.estimators.base import NOT_PICKLED, BaseBP
from fastbp.estimators.callbacks import OF_CALLBACKS
from fastbp.estimators.settings import settings_of
from fastbp.names import ACTIVATIONS, SOLVERS

_COUNTS = ("n_iter_", "t_", "_no_improvement_count", "n_layers_", "n_outputs_", "n_features_in_")
_MEASURES = ("loss_", "best_loss_", "best_validation_score_", "alpha_", "noise_variance_", "n_effective_parameters_")
Shapes = dict[str, tuple[int, ...]]
_CURVES = ("loss_curve_", "validation_scores_")
# The one bit generator whose state is restored; numpy itself does not look whether a position lies outside of it.
BIT_GENERATOR, N_WORDS = "MT19937", 624
_ATOMS = (bool, int, float, complex, str, bytes, np.generic, type, FunctionType, ModuleType, type(None))


def check_parts(estimator: Any) -> None:
    """Check all within an estimator, wherever it is kept, that compiled code goes by."""
    for part in parts_of(estimator):
        if isinstance(part, BaseBP):
            check_state(part)
        elif isinstance(part, np.random.RandomState):
            check_random_state(part)


def check_random_state(random_state: np.random.RandomState) -> None:
    """Raise ValueError where a state of a file lies outside of what numpy draws from."""
    state: Any = random_state.get_state(legacy=False)
    position = state["state"].get("pos", 0)
    _require(state["bit_generator"] != BIT_GENERATOR or 0 <= position <= N_WORDS, "random_state")


def parts_of(value: Any) -> Iterator[Any]:
    """Go through all that an object holds, and what that holds."""
    seen: set[int] = set()
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, _ATOMS) or id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list | tuple | set | frozenset):
            left.extend(value)
        elif isinstance(value, np.ndarray):
            left.extend(value.ravel().tolist() if value.dtype == object else ())
        elif type(value).__module__.partition(".")[0] in ("fastbp", "sklearn") and hasattr(value, "__dict__"):
            left.extend(item for name, item in vars(value).items() if name not in OF_CALLBACKS)


def check_state(estimator: BaseBP) -> None:
    """Raise ValueError or TypeError where an estimator's parameters and fitted attributes do not fit together."""
    parameters.check_parameters(estimator)
    parameters.hidden_sizes(estimator.hidden_layer_sizes)
    if not isinstance(estimator.init, str):
        parameters.check_weights(*estimator.init)
    state = vars(estimator)
    known = estimator.get_params(deep=False).keys()
    for name in state.keys() - known - NOT_PICKLED - OF_CALLBACKS:
        _require(may_hold(type(estimator), name), name)
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
        _require(all(bool((part[:-1] < part[1:]).all()) for part in parts), "classes_")  # labels are looked up among them
    _require(isinstance(state.get("_sparse_labels", False), bool), "_sparse_labels")
    temperature = state.get("temperature_")
    _require(temperature is None or (_is_measure(temperature) and temperature > 0), "temperature_")
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
    if "classes_" in state:
        n_classes, n_outputs = sum(estimator._groups()) or len(state["classes_"]), layer_sizes[-1]
        _require(n_classes == n_outputs or (n_outputs == 1 and n_classes <= 2), "classes_")
    for name, n_columns in (("input_scaler_", n_features), ("target_scaler_", layer_sizes[-1])):
        if state.get(name) is not None:
            _check_scaler(state[name], n_columns, name)
    shapes = [*zip(layer_sizes, layer_sizes[1:])]
    members = state.get("estimators_")  # which predict for the same rows
    if members is not None:
        are_alike = isinstance(members, list) and all(type(member) is type(estimator) for member in members)
        _require(bool(members) and are_alike, "estimators_")
        for member in members:
            coefs, intercepts, sizes = parameters.check_weights(member.coefs_, member.intercepts_)
            _require(sizes == layer_sizes and _check_front(vars(member), sizes[0]) == (n_features, front), "estimators_")
            _require(_is_single(coefs, intercepts) == _is_single(estimator.coefs_, estimator.intercepts_), "estimators_")
            _require(vars(member).get("out_activation_") == state.get("out_activation_"), "estimators_")
        best = state.get("_best_member", 0)
        _require(_is_count(best) and best < len(members), "_best_member")
    if state.get("_best_params") is not None:
        _check_vectors(state["_best_params"], shapes, front, [1], "_best_params")
    if state.get("_optimizer") is not None:
        _check_optimizer(estimator, shapes, front)


def _is_single(coefs: Any, intercepts: Any) -> bool:
    """Whether all weights are in single precision, and so what they predict."""
    return bool(np.result_type(*coefs, *intercepts) == np.float32)


def _check_scaler(scaler: Any, n_columns: int, name: str) -> None:
    """What is scaled keeps its shape, and nothing else happens to it."""
    _require(type(scaler) in (StandardScaler, RobustScaler), name)
    known, state = scaler.get_params(deep=False).keys(), vars(scaler)
    _require(all(may_hold(type(scaler), attribute) for attribute in state.keys() - known), name)
    _require(state.get("n_features_in_") == n_columns and scaler.copy is True, name)
    shift, takes_shift = ("mean_", "with_mean") if isinstance(scaler, StandardScaler) else ("center_", "with_centering")
    _require(not getattr(scaler, takes_shift) or state.get(shift) is not None, name)
    for attribute in (shift, "scale_"):
        values = state.get(attribute)
        is_vector = isinstance(values, np.ndarray) and values.shape == (n_columns,) and values.dtype.kind == "f"
        _require(values is None or (is_vector and bool(np.isfinite(values).all())), name)


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
    shapes = {name: view.shape for name, view in front_views(network, np.broadcast_to(0.0, network.n_parameters)).items()}
    _check_named(front, shapes, "front_")
    _require(network.units[0] == n_inputs, "front_")
    return n_features, shapes


def _check_named(arrays: dict[str, Any], shapes: Shapes, name: str) -> None:
    _require(all(isinstance(array, np.ndarray) and array.dtype.kind == "f" for array in arrays.values()), name)
    _require({key: array.shape for key, array in arrays.items()} == shapes, name)


def _check_vectors(vectors: Any, shapes: list[tuple[int, int]], front: Shapes, counts: Collection[int], name: str) -> None:
    """Flat vectors are packed by these shapes into memory that kernels read and write."""
    from fastbp.kernels.layout import Network
    from fastbp.training.kept import KeptVectors

    _require(type(vectors) is KeptVectors and isinstance(vars(vectors).get("_network"), Network | None), name)
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
    _require(type(optimizer) is Optimizer, "_optimizer")
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


def may_hold(kind: type, name: str) -> bool:
    """Whether an attribute is for a file to say: not what a class defines, but for plain defaults, nor what weights restore."""
    default = inspect.getattr_static(kind, name, None)
    return name not in NOT_PICKLED | OF_CALLBACKS and (default is None or isinstance(default, bool | int | float))


def _require(is_right: bool, name: str) -> None:
    if not is_right:
        raise ValueError(f"the attribute {name} is not what a fit leaves there")
