"""Checks of an estimator before it is saved, and after it was loaded."""

import inspect
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from fastbp.estimators import parameters
from fastbp.estimators.base import NOT_PICKLED, BaseBP
from fastbp.estimators.callbacks import OF_CALLBACKS
from fastbp.estimators.integrity import check_fitted_state

# The only bit generator whose state is restored. numpy itself does not check whether a position is within the state.
BIT_GENERATOR, N_WORDS = "MT19937", 624
_ATOMS = (bool, int, float, complex, str, bytes, np.generic, type, FunctionType, ModuleType, type(None))


def check_parts(estimator: Any) -> None:
    """Check all networks and random states within an estimator, which compiled code uses unchecked."""
    for part in parts_of(estimator):
        if isinstance(part, BaseBP):
            check_state(part)
        elif isinstance(part, np.random.RandomState):
            check_random_state(part)


def check_random_state(random_state: np.random.RandomState) -> None:
    """Raise ValueError if the position of a random state is outside its words."""
    state: Any = random_state.get_state(legacy=False)
    position = state["state"].get("pos", 0)
    _require(state["bit_generator"] != BIT_GENERATOR or 0 <= position <= N_WORDS, "random_state")


def parts_of(value: Any) -> Iterator[Any]:
    """Yield an object and all objects within it."""
    seen: set[int] = set()
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, _ATOMS) or id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, dict):
            left.extend((*value, *value.values()))
        elif isinstance(value, list | tuple | set | frozenset):
            left.extend(value)
        elif isinstance(value, np.ndarray):
            left.extend(value.ravel().tolist() if value.dtype == object else ())
        elif type(value).__module__.partition(".")[0] in ("fastbp", "sklearn") and hasattr(value, "__dict__"):
            left.extend(item for name, item in vars(value).items() if name not in OF_CALLBACKS)


def check_state(estimator: BaseBP) -> None:
    """Raise ValueError or TypeError if parameters and fitted attributes of an estimator do not fit together.

    Besides what kernels use (estimators/integrity.py), this checks parameters and which attributes a file may have.
    """
    parameters.check_parameters(estimator)
    parameters.hidden_sizes(estimator.hidden_layer_sizes)
    if not isinstance(estimator.init, str):
        parameters.check_weights(*estimator.init)
    state = vars(estimator)
    known = estimator.get_params(deep=False).keys()
    for name in state.keys() - known - NOT_PICKLED - OF_CALLBACKS:
        _require(may_hold(type(estimator), name), name)
    check_fitted_state(estimator)
    if "classes_" in state:
        parts = state["classes_"] if isinstance(state["classes_"], list) else [state["classes_"]]
        _require(all(bool((part[:-1] < part[1:]).all()) for part in parts), "classes_")  # sorted, for searchsorted
    for name in ("input_scaler_", "target_scaler_"):
        if state.get(name) is not None:
            _check_scaler(state[name], name)


def _check_scaler(scaler: Any, name: str) -> None:
    """Check a scaler's attributes, and that it does not change the rows of the user."""
    known, state = scaler.get_params(deep=False).keys(), vars(scaler)
    _require(all(may_hold(type(scaler), attribute) for attribute in state.keys() - known), name)
    _require(scaler.copy is True, name)
    for attribute in ("mean_", "center_", "scale_"):
        values = state.get(attribute)
        _require(values is None or bool(np.isfinite(values).all()), name)


def may_hold(kind: type, name: str) -> bool:
    """Whether a file may have this attribute: no method or property of the class, and nothing derived from the weights."""
    default = inspect.getattr_static(kind, name, None)
    return name not in NOT_PICKLED | OF_CALLBACKS and (default is None or isinstance(default, bool | int | float))


def _require(is_right: bool, name: str) -> None:
    if not is_right:
        raise ValueError(f"The attribute {name} is not as a fit leaves it.")
