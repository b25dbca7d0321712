"""Checks that an estimator's parameters go together, and makes the settings of a training from them."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.estimators import ordered, parameters
from fastbp.estimators.parameter_kinds import EVERY_SOLVER, OF_GRADIENTS, WITH_A_RATE
from fastbp.estimators.parameter_table import PARAMETERS
from fastbp.names import ACTIVATIONS, BAYES, LOSSES, RATE_FACTORS, SCHEDULES, SOLVERS
from fastbp.training.settings import RateFactors, Settings

_CONVERTED = {row.name: row.kind.setting for row in PARAMETERS if row.kind.setting is not None and row.name in Settings._fields}
_FOR_SOME_SOLVERS = {row.name: row.solvers for row in PARAMETERS if row.solvers is not EVERY_SOLVER}

_PLAIN = {bool, int, float, str, tuple, type(None)}  # types of parameters whose settings are remembered


def known_settings(estimator: Any) -> dict[Any, Settings]:
    """Check an estimator's parameters; return the settings that were made from equal ones, by loss and kind of fit.

    The caller adds settings that it makes. Checks and settings would be a tenth of the time of a tiny fit.
    """
    values = tuple(map(vars(estimator).__getitem__, estimator._rules))
    kinds = tuple(map(type, values))  # because True == 1 == 1.0
    known: dict[Any, Settings] = {}
    if _PLAIN.issuperset(kinds):
        try:
            known = _remembered((type(estimator), kinds, values))
        except TypeError:  # a tuple of values without a hash
            known = {}
    if not known:
        parameters.check_parameters(estimator)
    return known


@functools.lru_cache(maxsize=256)
def _remembered(parameters: Any) -> dict[Any, Settings]:
    """Return the same dict for equal parameters, empty at first."""
    return {}


def settings_of(estimator: Any, loss: Any) -> Settings:
    """Return the settings for an estimator whose parameters were checked one by one; loss: its name in the kernels."""
    _check_together(estimator)
    sizes = tuple(parameters.hidden_sizes(estimator.hidden_layer_sizes))
    names = parameters.activation_names(estimator.activation, len(sizes), estimator)
    if estimator.ordered:
        ordered.check_together(estimator)
    output = parameters.output_activation_name(estimator.output_activation, loss)
    _check_solver(estimator, loss, (*names, output))
    if estimator.skip_layer and not sizes:
        raise ValueError("skip_layer=True needs a hidden layer to skip: hidden_layer_sizes=() is already a linear model.")
    if getattr(estimator, "label_smoothing", 0.0) and LOSSES[loss].parameter != "label_smoothing":
        raise ValueError(
            f"label_smoothing={estimator.label_smoothing!r} does not go with loss={estimator.loss!r}, only 'log_loss'."
        )
    init, dropout = estimator.init, dropout_rates(estimator.dropout, len(sizes), estimator)
    # scikit-learn draws the output layer as if its activation were that of a hidden layer
    drawn_for = (*names, estimator.activation if isinstance(estimator.activation, str) else (*names, "relu")[-1])
    if estimator.ordered:
        sizes, names, drawn_for = (*sizes, 1), ordered.with_score(names, output), (*drawn_for, "identity")
        dropout = (*dropout, 0.0) if dropout else ()
    as_given = {name: convert(getattr(estimator, name)) for name, convert in _CONVERTED.items()}
    resolved: dict[str, Any] = dict(  # noqa: C408
        hidden_sizes=sizes,
        activations=names,
        output_activation=output,
        loss=loss,
        loss_parameter=parameters.loss_parameter_of(estimator, loss),
        groups=(),
        embedded=parameters.embedded_columns(estimator),
        categories=(),
        category_sizes=(),
        init=init if isinstance(init, str) else parameters.check_weights(*init)[:2],
        monotonic=(),
        drawn_for=drawn_for,
        dropout=dropout,
        rate_factors=rate_factors_of(estimator),
        scheduled_epochs=as_given["max_iter"],
        decay_schedule="constant",
        dropout_schedule="constant",
        early_stopping=stops_early(estimator),
        score="loss" if LOSSES[loss].is_own_score else "r2" if LOSSES[loss].is_regression else "accuracy",
    )
    return Settings(**(as_given | resolved))


def stops_early(estimator: Any) -> bool:
    """Whether an estimator stops early with its solver."""
    wanted = estimator.early_stopping
    return SOLVERS[estimator.solver].is_stochastic if isinstance(wanted, str) else bool(wanted)


def dropout_rates(dropout: Any, n_hidden: int, owner: Any) -> tuple[float, ...]:
    """Return the dropout rates of the inputs and of each hidden layer, () if all are 0.

    dropout: the rate of all hidden layers, or a sequence of all rates.
    """
    if parameters.is_sequence(dropout):
        if len(dropout) != n_hidden + 1:
            raise ValueError(
                f"dropout has {len(dropout)} rates but needs {n_hidden + 1}: one for the inputs and one per hidden layer."
            )
        for rate in dropout:
            parameters.check_parameter("dropout", rate, parameters.FRACTION, owner)
        rates = tuple(map(float, dropout))
    else:
        rates = (0.0, *[float(dropout)] * n_hidden)
    return rates if any(rates) else ()


def rate_factors_of(estimator: Any) -> RateFactors:
    """Return the factors on the learning rate, all 1 by default."""
    factors: dict[str, Any] = estimator.rate_factors or {}
    for name, value in factors.items():
        if name not in RATE_FACTORS:
            raise ValueError(f"rate_factors names {name!r}; it may name {', '.join(map(repr, RATE_FACTORS))}.")
        rules = (*parameters.POSITIVE, parameters.one_of("fan_in")) if name == "coefs" else parameters.POSITIVE
        parameters.check_parameter(f"rate_factors[{name!r}]", value, rules, estimator)
    values: dict[str, Any] = {name: value if isinstance(value, str) else float(value) for name, value in factors.items()}
    return RateFactors(**values)


def _is_asked_for(value: Any) -> bool:
    """Whether the value of a parameter that is only for some solvers switches it on."""
    return bool(np.asarray(value, dtype=object).any() if parameters.is_sequence(value) else value)


def _check_together(estimator: Any) -> None:
    """Raise ValueError for parameters that do not go together."""
    solver = SOLVERS[estimator.solver]
    rate = estimator.learning_rate
    for name, solvers in _FOR_SOME_SOLVERS.items():
        value = getattr(estimator, name)
        if not solvers.includes(solver) and _is_asked_for(value):
            raise ValueError(f"{name}={value!r} does not go with solver={estimator.solver!r}, {solvers.why_not}.")
    if (callable(rate) or SCHEDULES[rate].is_for_all) and not WITH_A_RATE.includes(solver):
        raise ValueError(f"learning_rate={rate!r} does not go with solver={estimator.solver!r}, {WITH_A_RATE.why_not}.")
    if estimator.clip_norm is not None and estimator.clip_value is not None:
        raise ValueError("clip_norm and clip_value cannot be combined: set one of them.")
    has_categories = estimator.categorical_features is not None
    if estimator.embedding_size is not None and not has_categories:
        raise ValueError(
            f"embedding_size={estimator.embedding_size!r} is for categories: name their columns in categorical_features."
        )
    if estimator.skip_layer and has_categories:
        raise ValueError(
            "skip_layer does not go with categorical_features, because codes of categories are no quantities: encode them first."
        )
    if has_categories and not OF_GRADIENTS.includes(solver):
        raise ValueError(f"categorical_features do not go with solver={estimator.solver!r}, {OF_GRADIENTS.why_not}.")
    if estimator.feature_importances and (estimator.embedding is not None or estimator.scale_layer or has_categories):
        raise ValueError("feature_importances does not go with embedding, scale_layer and categorical_features.")


def _check_solver(estimator: Any, loss: Any, activations: Sequence[str]) -> None:
    """Raise ValueError for a loss, an activation or a penalty that the solver cannot use."""
    name, solver = estimator.solver, SOLVERS[estimator.solver]
    if solver.losses and loss not in solver.losses:
        losses = " or ".join(map(repr, solver.losses))
        raise ValueError(f"solver={name!r} is for the loss {losses}, not for {loss!r}, which is no sum of squares: take 'lbfgs'.")
    without = [activation for activation in activations if not ACTIVATIONS[activation].has_slope]
    if solver.needs_slopes and without:
        raise ValueError(f"solver={name!r} needs the slopes of all activations, and {without[0]!r} has none.")
    if estimator.alpha == BAYES and not solver.estimates_alpha:
        names = " or ".join(repr(other) for other, entry in SOLVERS.items() if entry.estimates_alpha)
        raise ValueError(f"alpha={BAYES!r} is for solver={names}, not for {name!r}.")
