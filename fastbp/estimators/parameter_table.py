"""The parameters of BPClassifier, BPRegressor and BPAutoencoder, one record each, in the order of their constructors.

From this table follow: the rules for values, the documentation (docs.py), the settings of a training (settings.py), the solvers
that a parameter is for, when a search calls an estimator's own fit, and the constructors (tools/write_constructors.py).
"""

import functools

from fastbp.estimators.mlp_parameters import MLP_PARAMETERS
from fastbp.estimators.own_parameters import OWN_PARAMETERS
from fastbp.estimators.parameter_kinds import CLASSIFIER, TRAINING, Parameter
from fastbp.estimators.parameters import Allowed
from fastbp.names import LOSSES, SOLVERS

PARAMETERS = MLP_PARAMETERS + OWN_PARAMETERS


@functools.cache
def parameters_of(estimator: str) -> tuple[Parameter, ...]:
    """Return the parameters of a class by its name, in the order of its constructor."""
    return tuple(row._replace(**row.of_estimator.get(estimator, {})) for row in PARAMETERS if estimator in row.estimators)


@functools.cache
def parameters_beside_training(estimator: str) -> tuple[Parameter, ...]:
    """Return the parameters for some values of which a search must call the estimator's own fit."""
    return tuple(row for row in parameters_of(estimator) if row.acts != TRAINING or row.needs_own_fit is not None)


@functools.cache
def rules_of(estimator: str) -> dict[str, tuple[Allowed, ...]]:
    """Return the rules for the values of an estimator's parameters."""
    return {row.name: row.kind.rules for row in parameters_of(estimator)}


def solvers_of(estimator: str) -> list[str]:
    """Return the names of the solvers that can minimise a loss of this estimator."""
    losses = {name for name, loss in LOSSES.items() if loss.is_regression == (estimator != CLASSIFIER)}
    return [name for name, solver in SOLVERS.items() if not solver.losses or losses & set(solver.losses)]
