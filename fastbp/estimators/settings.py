"""From an estimator's parameters, which must go together, to the settings of a training."""

import math
from collections.abc import Sequence
from typing import Any

from fastbp.estimators import ordered, parameters
from fastbp.names import ACTIVATIONS, BAYES, LOSSES, RATE_FACTORS, SCHEDULES, SOLVERS
from fastbp.training.settings import RateFactors, Settings

_PLAIN = {bool, int, float, str, tuple, type(None)}
_MOST_REMEMBERED = 256
_remembered: dict[Any, dict[str, Settings]] = {}  # as checks and settings are a tenth of a tiny fit


def checked(estimator: Any) -> dict[str, Settings]:
    """Check an estimator's parameters; return what `settings_of` them is for each loss so far, if they are plain values."""
    values = tuple(map(vars(estimator).__getitem__, estimator._rules))
    kinds = tuple(map(type, values))  # as True == 1 == 1.0
    key, is_plain = (type(estimator), kinds, values), _PLAIN.issuperset(kinds)
    try:
        known = _remembered.get(key) if is_plain else None
    except TypeError:  # a tuple of what has no hash
        is_plain, known = False, None
    if known is None:
        parameters.check_parameters(estimator)
        known = {}
        if is_plain:
            if len(_remembered) >= _MOST_REMEMBERED:
                _remembered.clear()
            _remembered[key] = known
    return known


def settings_of(estimator: Any, loss: str) -> Settings:
    """Return the parameters of an estimator, checked before, as training takes them; loss: the kernels' name of it."""
    _check_together(estimator)
    sizes = tuple(parameters.hidden_sizes(estimator.hidden_layer_sizes))
    names = parameters.activation_names(estimator.activation, len(sizes), estimator)
    if estimator.ordered:
        ordered.check_together(estimator)
    output = parameters.output_activation_name(estimator.output_activation, loss)
    _check_solver(estimator, loss, (*names, output))
    if estimator.skip_layer and not sizes:
        raise ValueError("skip_layer=True needs a hidden layer to lead past: hidden_layer_sizes=() is a linear model already.")
    init = estimator.init
    if getattr(estimator, "label_smoothing", 0.0) and LOSSES[loss].parameter != "label_smoothing":
        raise ValueError(
            f"label_smoothing={estimator.label_smoothing!r} does not go with loss={estimator.loss!r}, only 'log_loss'."
        )
    dropout = dropout_rates(estimator.dropout, len(sizes), estimator.solver, estimator)
    # scikit-learn draws the output layer as if its activation were the hidden one
    drawn_for = (*names, estimator.activation if isinstance(estimator.activation, str) else (*names, "relu")[-1])
    if estimator.ordered:
        sizes, names, drawn_for = (*sizes, 1), ordered.with_score(names, output), (*drawn_for, "identity")
        dropout = (*dropout, 0.0) if dropout else ()
    return Settings(
        hidden_sizes=sizes,
        activations=names,
        output_activation=output,
        loss=loss,
        loss_parameter=parameters.loss_parameter_of(estimator, loss),
        groups=(),
        fit_intercept=bool(estimator.fit_intercept),
        embedded=parameters.embedded_columns(estimator),
        scale_layer=bool(estimator.scale_layer),
        skip_layer=bool(estimator.skip_layer),
        monotonic=(),
        init=init if isinstance(init, str) else parameters.check_weights(*init)[:2],
        init_scale=float(estimator.init_scale),
        drawn_for=drawn_for,
        n_restarts=_count(estimator.n_restarts),
        dropout=dropout,
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
        n_iter_no_change=min(estimator.n_iter_no_change, parameters.MOST_COUNT),
        early_stopping=bool(estimator.early_stopping) and SOLVERS[estimator.solver].is_stochastic,
        validation_fraction=estimator.validation_fraction,
        score="loss" if LOSSES[loss].is_own_score else "r2" if LOSSES[loss].is_regression else "accuracy",
        verbose=_count(estimator.verbose),
        n_threads=estimator.n_threads,
    )


def _count(value: Any) -> int:
    """Return a number of epochs, rows or lines as the kernels' int64 holds it; nobody reaches that many."""
    return min(int(value), parameters.MOST_COUNT)


def _limit(value: Any) -> float:
    """Return a limit as kernels take it: infinity for none."""
    return math.inf if value is None else float(value)


def dropout_rates(dropout: Any, n_hidden: int, solver: str, owner: Any) -> tuple[float, ...]:
    """Return the rate of the inputs and of each hidden layer from one number for these or a sequence of numbers; () if all are
    0."""
    if parameters.is_sequence(dropout):
        if len(dropout) != n_hidden + 1:
            raise ValueError(
                f"dropout has {len(dropout)} rates but needs {n_hidden + 1}: one for the inputs and one per hidden layer."
            )
        for rate in dropout:
            parameters.check_parameter("dropout", rate, parameters.RULES["dropout"][:1], owner)
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


def rate_factors_of(estimator: Any) -> RateFactors:
    """Return the factors on the learning rate, all 1 by default."""
    factors: dict[str, Any] = estimator.rate_factors or {}
    for name, value in factors.items():
        if name not in RATE_FACTORS:
            raise ValueError(f"rate_factors names {name!r}; it may name {', '.join(map(repr, RATE_FACTORS))}.")
        rules = (*parameters.POSITIVE, parameters.one_of("fan_in")) if name == "coefs" else parameters.POSITIVE
        parameters.check_parameter(f"rate_factors[{name!r}]", value, rules, estimator)
    solver = SOLVERS[estimator.solver]
    if factors and (solver.has_own_rates or not solver.is_stochastic):
        raise ValueError(f"rate_factors are for the solvers that have a learning rate; {estimator.solver!r} has none.")
    values: dict[str, Any] = {name: value if isinstance(value, str) else float(value) for name, value in factors.items()}
    return RateFactors(**values)


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
    if estimator.skip_layer and solver.trainer == "lm":
        raise ValueError("skip_layer does not go with solver='lm', which is for weights and intercepts of layers: take 'lbfgs'.")


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
