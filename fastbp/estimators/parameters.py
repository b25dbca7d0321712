"""Rules for the values of parameters. Errors are worded as in scikit-learn."""

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple, cast

import numpy as np

from fastbp.names import HIDDEN_ACTIVATIONS, LOSSES
from fastbp.training.custom_loss import CustomLoss

MOST_UNITS = 2**53
MOST_COUNT = 2**53  # as a float it is still exact


class InvalidParameterError(ValueError, TypeError):
    """A parameter has the wrong type or a value out of its range."""


class Allowed(NamedTuple):
    """A rule that makes a value valid, and its text in error messages."""

    allows: Callable[[Any], bool]
    text: str


def integer_from(low: int) -> Allowed:
    """Return the rule for an integer that is at least `low`."""
    return Allowed(lambda value: isinstance(value, Integral) and int(value) >= low, f"an int in the range [{low}, inf)")


def real_in(low: float, high: float, brackets: str) -> Allowed:
    """Return the rule for a number in an interval; brackets: "[)" is for low <= value < high."""
    open_low, open_high = brackets[0] == "(", brackets[1] == ")"

    def within(value: Any) -> bool:
        try:
            value = float(value)
        except OverflowError:  # an integer beyond all floats
            return False
        return low <= value <= high and not (open_low and value == low) and not (open_high and value == high)

    text = f"a float in the range {brackets[0]}{float(low)}, {float(high)}{brackets[1]}"
    return Allowed(lambda value: isinstance(value, Real) and within(value), text)


def one_of(*names: str) -> Allowed:
    """Return the rule for a string that is one of the names."""
    return Allowed(lambda value: isinstance(value, str) and value in names, "a str among {" + ", ".join(map(repr, names)) + "}")


def instance_of(kind: Any, text: str) -> Allowed:
    """Return the rule for an instance of a class, or of one of several."""
    return Allowed(lambda value: isinstance(value, kind), text)


def is_sequence(value: Any) -> bool:
    """Whether a value is a list, tuple, array or similar, but not a string or dict."""
    return hasattr(value, "__len__") and not isinstance(value, str | bytes | dict) and getattr(value, "ndim", 1) > 0


BOOLEAN = instance_of(bool | np.bool_, "an instance of 'bool' or an instance of 'numpy.bool'")
NONE = Allowed(lambda value: value is None, "None")
HIDDEN_ACTIVATION = one_of(*sorted(HIDDEN_ACTIVATIONS))
INTEGER = (instance_of(Integral, "an int"),)
CUSTOM_LOSS = instance_of(CustomLoss, "a CustomLoss")
NONNEGATIVE = (real_in(0, math.inf, "[)"),)
POSITIVE = (real_in(0, math.inf, "()"),)
FRACTION = (real_in(0, 1, "[)"),)
COUNT = (integer_from(1),)
FLAG = (BOOLEAN,)


def _is_increasing(value: Any) -> bool:
    """Whether a value is a sequence of numbers within (0, 1), each larger than the one before."""
    if not (is_sequence(value) and len(value) and all(isinstance(level, Real) for level in value)):
        return False
    levels = [0.0, *map(float, value), 1.0]
    return all(low < high for low, high in itertools.pairwise(levels))


LOSS_PARAMETER_RULES: dict[str, tuple[Allowed, ...]] = {
    loss.parameter: (real_in(*loss.parameter_range, loss.parameter_brackets),) for loss in LOSSES.values() if loss.parameter
}
LOSS_PARAMETER_RULES["quantile"] += (Allowed(_is_increasing, "a sequence of these that increases"),)


def check_parameters(estimator: Any, known: dict[str, Any] | None = None) -> None:
    """Raise InvalidParameterError for the first parameter of an estimator that none of its rules allows.

    known: values that were allowed before, by name; those of this estimator are added.
    """
    values, kind = vars(estimator), cast(Any, type(estimator))
    allowed = known or _allowed_defaults(kind)
    for name, alternatives in estimator._rules.items():
        if values[name] is not allowed.get(name, allowed):
            check_parameter(name, values[name], alternatives, estimator)
    if known is not None:
        known.update(values)


@functools.cache
def constructor_defaults(kind: Any) -> dict[str, Any]:
    """Return the defaults of a class's parameters."""
    parameters = inspect.signature(kind).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}


@functools.cache
def _allowed_defaults(kind: Any) -> dict[str, Any]:
    """Return the valid defaults of a class's parameters. To check them at each call would be a fifth of a tiny fit."""
    defaults, rules = constructor_defaults(kind), kind._rules
    return {name: defaults[name] for name in rules.keys() & defaults if any(rule.allows(defaults[name]) for rule in rules[name])}


def check_parameter(name: str, value: Any, alternatives: Sequence[Allowed], owner: Any) -> None:
    """Raise InvalidParameterError unless one of the rules allows the value; owner: an estimator or the name of a function."""
    for allows, _ in alternatives:
        if allows(value):
            return
    texts = [rule.text for rule in alternatives]
    expected = texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"
    owner = owner if isinstance(owner, str) else type(owner).__name__
    raise InvalidParameterError(f"The {name!r} parameter of {owner} must be {expected}. Got {value!r} instead.")


def hidden_sizes(hidden_layer_sizes: Any) -> list[int]:
    """Return the units of each hidden layer from an int, a sequence of ints or a string such as "64-32"."""
    if isinstance(hidden_layer_sizes, str):
        sizes: list[Any] = [int(size) for size in hidden_layer_sizes.split("-")]
    else:
        sizes = [hidden_layer_sizes] if isinstance(hidden_layer_sizes, Integral) else list(hidden_layer_sizes)
    if not all(isinstance(size, Integral) for size in sizes):
        raise InvalidParameterError(f"hidden_layer_sizes must be integers, got {sizes}.")
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    if any(size > MOST_UNITS for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be at most {MOST_UNITS}, got {sizes}.")
    return [int(size) for size in sizes]


def activation_names(activation: Any, n_hidden: int, owner: Any) -> tuple[str, ...]:
    """Return one activation name per hidden layer from one name for all or a sequence of names."""
    if isinstance(activation, str):
        names = (activation,) * n_hidden
    else:
        names = tuple(str(name) for name in activation)
        if len(names) != n_hidden:
            raise ValueError(f"activation names {len(names)} layers but the network has {n_hidden} hidden layers.")
    for name in set(names):
        if name not in HIDDEN_ACTIVATIONS:
            check_parameter("activation", name, (HIDDEN_ACTIVATION,), owner)
    return names


def output_activation_name(output_activation: str, loss: Any) -> str:
    """Return the name of the output activation, or raise ValueError if the loss is not defined for it."""
    possible = LOSSES[loss].outputs
    if output_activation == "auto":
        return possible[0]
    if output_activation not in possible:
        names = " or ".join(map(repr, possible))
        raise ValueError(f"output_activation={output_activation!r} does not go with the loss {loss!r}, which needs {names}.")
    return output_activation


def loss_parameter_of(estimator: Any, loss: Any) -> float | tuple[float, ...]:
    """Return the value of the parameter of a loss, one for all outputs or one for each; 0 if it has none."""
    if isinstance(loss, CustomLoss):
        return loss.kernel_parameter
    parameter = LOSSES[loss].parameter
    if not parameter:
        return 0.0
    value = getattr(estimator, parameter)
    return tuple(map(float, value)) if is_sequence(value) else float(value)


def embedded_columns(estimator: Any) -> tuple[int, ...] | None:
    """Return the columns that an estimator embeds: None is all, () is none."""
    if estimator.embedding is None:
        return ()
    if isinstance(estimator.embedded_features, str):
        return None
    columns = np.asarray(estimator.embedded_features)
    if columns.ndim != 1 or not (columns.dtype.kind in "iu" or not columns.size) or np.unique(columns).size < columns.size:
        raise InvalidParameterError(f"embedded_features must be different column numbers, got {estimator.embedded_features!r}.")
    if columns.size and columns.min() < 0:
        raise ValueError(f"embedded_features must not be negative, got {columns.min()}.")
    return tuple(columns.tolist())


def check_weights(coefs: Sequence[Any], intercepts: Sequence[Any]) -> tuple[list[np.ndarray], list[np.ndarray], list[int]]:
    """Return weights, intercepts and layer sizes [n_features, *hidden, n_outputs], or raise ValueError."""
    if not (is_sequence(coefs) and is_sequence(intercepts)):
        raise InvalidParameterError(
            "coefs and intercepts must be sequences with one array per layer each, got"
            f" {type(coefs).__name__} and {type(intercepts).__name__}."
        )
    weights = [np.asarray(W) for W in coefs]
    biases = [np.asarray(b) for b in intercepts]
    if not weights or len(weights) != len(biases):
        raise ValueError(f"coefs and intercepts need one array per layer each, got {len(weights)} and {len(biases)}.")
    for layer, (W, b) in enumerate(zip(weights, biases, strict=True)):
        n_in = (W.shape[0] if W.ndim == 2 else None) if layer == 0 else weights[layer - 1].shape[-1]
        if W.ndim != 2 or b.ndim != 1 or W.shape != (n_in, b.shape[0]) or not W.size:
            raise ValueError(
                f"coefs[{layer}] of shape {W.shape} and intercepts[{layer}] of shape {b.shape} do not fit the layer before."
            )
        if W.dtype.kind not in "biuf" or b.dtype.kind not in "biuf":
            raise ValueError(f"coefs[{layer}] and intercepts[{layer}] must be real numbers.")
    return weights, biases, [weights[0].shape[0], *(W.shape[1] for W in weights)]
