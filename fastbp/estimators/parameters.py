"""What the constructor's parameters may be, checked in scikit-learn's words before any kernel runs."""

import functools
import inspect
import itertools
import math
import re
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple, cast

import numpy as np

from fastbp.names import (
    ACTIVATIONS,
    BAYES,
    CLASSIFIER_LOSSES,
    EMBEDDINGS,
    HIDDEN_ACTIVATIONS,
    LOSSES,
    RATE_FACTORS,
    REGRESSION_LOSSES,
    SCHEDULES,
    SOLVERS,
    STARTS,
)
from fastbp.training.settings import RateFactors, Settings

MOST_UNITS = 2**53
MOST_COUNT = 2**53  # as a float it is still exact


class InvalidParameterError(ValueError, TypeError):
    """A parameter has the wrong type or a value out of its range."""


class Allowed(NamedTuple):
    """One way for a parameter to be valid, and how an error message names it."""

    allows: Callable[[Any], bool]
    text: str


def _integer_from(low: int) -> Allowed:
    return Allowed(lambda value: isinstance(value, Integral) and int(value) >= low, f"an int in the range [{low}, inf)")


def _real_in(low: float, high: float, brackets: str) -> Allowed:
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
    """Rule for a string that is one of the names."""
    return Allowed(lambda value: isinstance(value, str) and value in names, "a str among {" + ", ".join(map(repr, names)) + "}")


def _is_sequence(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | bytes | dict) and getattr(value, "ndim", 1) > 0


_BOOLEAN = Allowed(lambda value: isinstance(value, bool | np.bool_), "an instance of 'bool' or an instance of 'numpy.bool'")
_NONE = Allowed(lambda value: value is None, "None")
INTEGER = (Allowed(lambda value: isinstance(value, Integral), "an int"),)
_NONNEGATIVE = (_real_in(0, math.inf, "[)"),)
_POSITIVE = (_real_in(0, math.inf, "()"),)
_FRACTION = (_real_in(0, 1, "[)"),)
_COUNT = (_integer_from(1),)
_FLAG = (_BOOLEAN,)

RULES: dict[str, tuple[Allowed, ...]] = {
    "hidden_layer_sizes": (
        Allowed(_is_sequence, "an array-like"),
        _integer_from(1),
        Allowed(lambda value: isinstance(value, str) and re.fullmatch(r"\d+(-\d+)*", value) is not None, "a str such as '64-32'"),
    ),
    "activation": (one_of(*sorted(HIDDEN_ACTIVATIONS)), Allowed(_is_sequence, "a sequence of these, one per hidden layer")),
    "solver": (one_of(*sorted(SOLVERS)),),
    "alpha": _NONNEGATIVE,
    "batch_size": (one_of("auto"), _integer_from(1)),
    "learning_rate": (one_of(*sorted(SCHEDULES)), Allowed(callable, "a callable")),
    "learning_rate_init": _POSITIVE,
    "power_t": _NONNEGATIVE,
    "max_iter": _COUNT,
    "shuffle": _FLAG,
    "random_state": (
        Allowed(lambda value: isinstance(value, Integral) and 0 <= int(value) < 2**32, f"an int in the range [0, {2**32 - 1}]"),
        Allowed(lambda value: isinstance(value, np.random.RandomState), "an instance of 'numpy.random.mtrand.RandomState'"),
        _NONE,
    ),
    "tol": _NONNEGATIVE,
    "verbose": (_integer_from(0), _BOOLEAN),
    "warm_start": _FLAG,
    "momentum": (_real_in(0, 1, "[]"),),
    "nesterovs_momentum": _FLAG,
    "early_stopping": _FLAG,
    "validation_fraction": _FRACTION,
    "beta_1": _FRACTION,
    "beta_2": _FRACTION,
    "epsilon": _POSITIVE,
    "n_iter_no_change": (
        _integer_from(1),
        Allowed(lambda value: isinstance(value, Real) and value == math.inf, "a float among {inf}"),
    ),
    "max_fun": _COUNT,
    "init": (
        one_of(*sorted(STARTS)),
        Allowed(lambda value: isinstance(value, tuple | list) and len(value) == 2, "a pair (coefs, intercepts)"),
    ),
    "init_scale": _POSITIVE,
    "fit_intercept": _FLAG,
    "output_activation": (one_of("auto", *ACTIVATIONS),),
    "validation_split": (one_of("random", "stratified"),),
    "n_restarts": (
        Allowed(lambda value: isinstance(value, Integral) and 1 <= int(value) <= 2**20, "an int in the range [1, 2**20]"),
    ),
    "n_threads": (_integer_from(1), _NONE),
    "weight_decay": _NONNEGATIVE,
    "warmup_steps": (_integer_from(0),),
    "averaging": (one_of("polyak"), _real_in(0, 1, "()"), _NONE),
    "clip_norm": (*_POSITIVE, _NONE),
    "clip_value": (*_POSITIVE, _NONE),
    "max_norm": (*_POSITIVE, _NONE),
    "l1_ratio": (_real_in(0, 1, "[]"),),
    "record_gradient_norms": _FLAG,
    "dropout": (*_FRACTION, Allowed(_is_sequence, "a sequence of these, one for the inputs and one per hidden layer")),
    "feature_importances": _FLAG,
    "max_time": (*_POSITIVE, _NONE),
    "embedding": (one_of(*EMBEDDINGS), _NONE),
    "embedded_features": (one_of("all"), Allowed(_is_sequence, "an array-like of column numbers")),
    "scale_layer": _FLAG,
    "rate_factors": (Allowed(lambda value: isinstance(value, dict), "a dict"), _NONE),
}


def _is_increasing(value: Any) -> bool:
    """Whether a value is a sequence of numbers within (0, 1), each larger than the one before."""
    if not (_is_sequence(value) and len(value) and all(isinstance(level, Real) for level in value)):
        return False
    levels = [0.0, *map(float, value), 1.0]
    return all(low < high for low, high in itertools.pairwise(levels))


LOSS_PARAMETER_RULES: dict[str, tuple[Allowed, ...]] = {
    loss.parameter: (_real_in(*loss.parameter_range, loss.parameter_brackets),) for loss in LOSSES.values() if loss.parameter
}
LOSS_PARAMETER_RULES["quantile"] += (Allowed(_is_increasing, "a sequence of these that increases"),)


def _loss_rules(are_of_regression: bool) -> dict[str, tuple[Allowed, ...]]:
    names = [loss.parameter for loss in LOSSES.values() if loss.parameter and loss.is_regression == are_of_regression]
    return {name: LOSS_PARAMETER_RULES[name] for name in names}


_PREDICTOR_RULES: dict[str, tuple[Allowed, ...]] = {
    **RULES,
    "scoring": (
        Allowed(lambda value: isinstance(value, str), "a scorer's name or 'loss'"),
        Allowed(callable, "a callable"),
        _NONE,
    ),
    "refit": _FLAG,
    "ensemble": _FLAG,
    "input_scaling": (one_of("standard", "robust"), _NONE),
}
CLASSIFIER_RULES: dict[str, tuple[Allowed, ...]] = {
    **_PREDICTOR_RULES,
    "calibration": (one_of("temperature"), _NONE),
    "class_weight": (
        one_of("balanced"),
        Allowed(lambda value: isinstance(value, dict), "an instance of 'dict'"),
        Allowed(
            lambda value: isinstance(value, list | tuple) and all(isinstance(part, dict) for part in value),
            "a list of dicts, one per label",
        ),
        _NONE,
    ),
    "loss": (one_of(*CLASSIFIER_LOSSES),),
    **_loss_rules(False),
}
AUTOENCODER_RULES: dict[str, tuple[Allowed, ...]] = {
    **RULES,
    "validation_split": (one_of("random"),),
    "denoising": _NONNEGATIVE,
}
REGRESSOR_RULES: dict[str, tuple[Allowed, ...]] = {
    **_PREDICTOR_RULES,
    "loss": (one_of(*REGRESSION_LOSSES),),
    "alpha": (*_NONNEGATIVE, one_of(BAYES)),
    "validation_split": (one_of("random"),),
    "target_scaling": (one_of("standard"), _NONE),
    **_loss_rules(True),
}


_PLAIN = {bool, int, float, str, tuple, type(None)}
_MOST_REMEMBERED = 256
_remembered: dict[Any, dict[str, Settings]] = {}  # as checks and settings are a tenth of a tiny fit


def checked(estimator: Any) -> dict[str, Settings]:
    """Check an estimator's parameters; return what `settings_of` them is for each loss so far, if they are plain values."""
    values = tuple(map(vars(estimator).__getitem__, estimator._rules))
    kinds = tuple(map(type, values))  # as True == 1 == 1.0
    key = type(estimator), kinds, values
    try:
        known = _remembered.get(key) if _PLAIN.issuperset(kinds) else None
    except TypeError:  # a tuple of what has no hash
        kinds, known = (object,), None
    if known is None:
        check_parameters(estimator)
        known = {}
        if _PLAIN.issuperset(kinds):
            if len(_remembered) >= _MOST_REMEMBERED:
                _remembered.clear()
            _remembered[key] = known
    return known


def check_parameters(estimator: Any, known: dict[str, Any] | None = None) -> None:
    """Raise InvalidParameterError for the first attribute of `estimator` that none of its rules allows.

    `known` holds values that were allowed before, and gets those of this estimator.
    """
    values, kind = vars(estimator), cast(Any, type(estimator))
    allowed = known or _allowed_defaults(kind)
    for name, alternatives in estimator._rules.items():
        if values[name] is not allowed.get(name, allowed):
            check_parameter(name, values[name], alternatives, estimator)
    if known is not None:
        known.update(values)


@functools.cache
def _allowed_defaults(estimator_type: Any) -> dict[str, Any]:
    """Return the constructor's defaults, whose check at each call would be a fifth of a tiny fit."""
    signature = inspect.signature(estimator_type)
    return {
        name: signature.parameters[name].default
        for name, alternatives in estimator_type._rules.items()
        if name in signature.parameters and any(allows(signature.parameters[name].default) for allows, _ in alternatives)
    }


def check_parameter(name: str, value: Any, alternatives: Sequence[Allowed], owner: Any) -> None:
    """Raise InvalidParameterError unless one of the rules allows `value`; `owner` is an estimator or the name of a function."""
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
            check_parameter("activation", name, RULES["activation"][:1], owner)
    return names


def dropout_rates(dropout: Any, n_hidden: int, solver: str, owner: Any) -> tuple[float, ...]:
    """Return the rate of the inputs and of each hidden layer from one number for these or a sequence of numbers; () if all are
    0."""
    if _is_sequence(dropout):
        if len(dropout) != n_hidden + 1:
            raise ValueError(
                f"dropout has {len(dropout)} rates but needs {n_hidden + 1}: one for the inputs and one per hidden layer."
            )
        for rate in dropout:
            check_parameter("dropout", rate, RULES["dropout"][:1], owner)
        rates = tuple(map(float, dropout))
    else:
        rates = (0.0, *[float(dropout)] * n_hidden)
    if not any(rates):
        return ()
    if not SOLVERS[solver].is_stochastic or SOLVERS[solver].is_full_batch:
        raise ValueError(
            f"dropout={dropout!r} does not go with solver={solver!r}, which needs the same loss at every step; solvers that go"
            " batch by batch, as 'adam', take it."
        )
    return rates


def output_activation_name(output_activation: str, loss: str) -> str:
    """Resolve "auto" and refuse outputs for which the loss is not defined."""
    possible = LOSSES[loss].outputs
    if output_activation == "auto":
        return possible[0]
    if output_activation not in possible:
        names = " or ".join(map(repr, possible))
        raise ValueError(f"output_activation={output_activation!r} does not go with the loss {loss!r}, which needs {names}.")
    return output_activation


def _check_solver(estimator: Any, loss: str, activations: Sequence[str]) -> None:
    """Refuse what the solver is not for."""
    name, solver = estimator.solver, SOLVERS[estimator.solver]
    if solver.losses and loss not in solver.losses:
        raise ValueError(f"solver={name!r} is for the loss {' or '.join(map(repr, solver.losses))}, not for {loss!r}.")
    without = [activation for activation in activations if not ACTIVATIONS[activation].has_slope]
    if solver.needs_slopes and without:
        raise ValueError(f"solver={name!r} needs the slopes of all activations, and {without[0]!r} has none.")
    if estimator.alpha == BAYES and not solver.estimates_alpha:
        names = " or ".join(repr(other) for other, entry in SOLVERS.items() if entry.estimates_alpha)
        raise ValueError(f"alpha={BAYES!r} is for solver={names}, not for {name!r}.")


def loss_parameter_of(estimator: Any, loss: str) -> float | tuple[float, ...]:
    """Return what the estimator's parameter shapes a loss by, for all outputs or for each; 0 where there is none."""
    parameter = LOSSES[loss].parameter
    if not parameter:
        return 0.0
    value = getattr(estimator, parameter)
    return tuple(map(float, value)) if _is_sequence(value) else float(value)


def _count(value: Any) -> int:
    """Return a number of epochs, rows or lines as the kernels' int64 holds it; nobody reaches that many."""
    return min(int(value), MOST_COUNT)


# What is for solvers that go batch by batch, and its value where nobody asks for it.
_FOR_STOCHASTIC = {
    "warmup_steps": 0,
    "averaging": None,
    "clip_norm": None,
    "clip_value": None,
    "max_norm": None,
    "l1_ratio": 0.0,
    "record_gradient_norms": False,
}


def _check_together(estimator: Any) -> None:
    """Raise ValueError for parameters that do not go together."""
    solver = SOLVERS[estimator.solver]
    rate = estimator.learning_rate
    if not solver.is_stochastic:
        for name, unused in _FOR_STOCHASTIC.items():
            value = getattr(estimator, name)
            if value != unused:
                raise ValueError(f"{name}={value!r} does not go with solver={estimator.solver!r}, which has its own way to step.")
    if (callable(rate) or SCHEDULES[rate].is_for_all) and (not solver.is_stochastic or solver.has_own_rates):
        raise ValueError(f"learning_rate={rate!r} does not go with solver={estimator.solver!r}, which finds its steps itself.")
    if solver.has_own_rates and estimator.warmup_steps:
        raise ValueError(f"warmup_steps does not go with solver={estimator.solver!r}, which finds its steps itself.")
    if estimator.clip_norm is not None and estimator.clip_value is not None:
        raise ValueError("clip_norm and clip_value do not go together: give one of them.")
    if estimator.embedding is not None or estimator.scale_layer:
        if solver.trainer == "lm":
            raise ValueError("embedding and scale_layer do not go with solver='lm', which is for weights and intercepts.")
        if estimator.feature_importances:
            raise ValueError("feature_importances does not go with embedding and scale_layer.")


def _limit(value: Any) -> float:
    """Return a limit as kernels take it: infinity for none."""
    return math.inf if value is None else float(value)


def embedded_columns(estimator: Any) -> tuple[int, ...] | None:
    """Return the columns that an estimator embeds; None for all, () for none."""
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


def rate_factors_of(estimator: Any) -> RateFactors:
    """Return the factors on the learning rate, all 1 by default."""
    factors: dict[str, Any] = estimator.rate_factors or {}
    for name, value in factors.items():
        if name not in RATE_FACTORS:
            raise ValueError(f"rate_factors names {name!r}; it may name {', '.join(map(repr, RATE_FACTORS))}.")
        rules = (*_POSITIVE, one_of("fan_in")) if name == "coefs" else _POSITIVE
        check_parameter(f"rate_factors[{name!r}]", value, rules, estimator)
    solver = SOLVERS[estimator.solver]
    if factors and (solver.has_own_rates or not solver.is_stochastic):
        raise ValueError(f"rate_factors are for the solvers that have a learning rate; {estimator.solver!r} has none.")
    values: dict[str, Any] = {name: value if isinstance(value, str) else float(value) for name, value in factors.items()}
    return RateFactors(**values)


def settings_of(estimator: Any, loss: str) -> Settings:
    """Return the parameters of an estimator, checked before, as training takes them; loss: the kernels' name of it."""
    _check_together(estimator)
    sizes = tuple(hidden_sizes(estimator.hidden_layer_sizes))
    names = activation_names(estimator.activation, len(sizes), estimator)
    output = output_activation_name(estimator.output_activation, loss)
    _check_solver(estimator, loss, (*names, output))
    init = estimator.init
    if getattr(estimator, "label_smoothing", 0.0) and LOSSES[loss].parameter != "label_smoothing":
        raise ValueError(
            f"label_smoothing={estimator.label_smoothing!r} does not go with loss={estimator.loss!r}, only 'log_loss'."
        )
    return Settings(
        hidden_sizes=sizes,
        activations=names,
        output_activation=output,
        loss=loss,
        loss_parameter=loss_parameter_of(estimator, loss),
        fit_intercept=bool(estimator.fit_intercept),
        embedded=embedded_columns(estimator),
        scale_layer=bool(estimator.scale_layer),
        init=init if isinstance(init, str) else check_weights(*init)[:2],
        init_scale=float(estimator.init_scale),
        # scikit-learn draws the output layer as if its activation were the hidden one
        drawn_for=(*names, estimator.activation if isinstance(estimator.activation, str) else (*names, "relu")[-1]),
        n_restarts=_count(estimator.n_restarts),
        dropout=dropout_rates(estimator.dropout, len(sizes), estimator.solver, estimator),
        solver=estimator.solver,
        alpha=estimator.alpha,
        batch_size=estimator.batch_size if estimator.batch_size == "auto" else _count(estimator.batch_size),
        learning_rate=estimator.learning_rate,
        learning_rate_init=estimator.learning_rate_init,
        power_t=estimator.power_t,
        momentum=estimator.momentum,
        nesterovs_momentum=estimator.nesterovs_momentum,
        beta_1=estimator.beta_1,
        beta_2=estimator.beta_2,
        epsilon=estimator.epsilon,
        rate_factors=rate_factors_of(estimator),
        shuffle=estimator.shuffle,
        warmup_steps=_count(estimator.warmup_steps),
        scheduled_epochs=_count(estimator.max_iter),
        decay_schedule="constant",
        dropout_schedule="constant",
        weight_decay=float(estimator.weight_decay),
        l1_ratio=float(estimator.l1_ratio),
        clip_norm=_limit(estimator.clip_norm),
        clip_value=_limit(estimator.clip_value),
        max_norm=_limit(estimator.max_norm),
        averaging=estimator.averaging,
        record_gradient_norms=bool(estimator.record_gradient_norms),
        max_iter=_count(estimator.max_iter),
        max_fun=_count(estimator.max_fun),
        max_time=_limit(estimator.max_time),
        tol=estimator.tol,
        n_iter_no_change=min(estimator.n_iter_no_change, MOST_COUNT),
        early_stopping=bool(estimator.early_stopping) and SOLVERS[estimator.solver].is_stochastic,
        validation_fraction=estimator.validation_fraction,
        score="loss" if LOSSES[loss].is_own_score else "r2" if LOSSES[loss].is_regression else "accuracy",
        verbose=_count(estimator.verbose),
        n_threads=estimator.n_threads,
    )


def check_weights(coefs: Sequence[Any], intercepts: Sequence[Any]) -> tuple[list[np.ndarray], list[np.ndarray], list[int]]:
    """Return weights as arrays, and [n_features, *hidden, n_outputs] as their shapes chain, or raise ValueError."""
    if not (_is_sequence(coefs) and _is_sequence(intercepts)):
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
                f"coefs[{layer}] of shape {W.shape} and intercepts[{layer}] of shape {b.shape} do not fit the layer below."
            )
        if W.dtype.kind not in "biuf" or b.dtype.kind not in "biuf":
            raise ValueError(f"coefs[{layer}] and intercepts[{layer}] must be real numbers.")
    return weights, biases, [weights[0].shape[0], *(W.shape[1] for W in weights)]
