"""A record of the parameter table, and the kinds of values that parameters have."""

import math
import re
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from fastbp.estimators.parameters import (
    BOOLEAN,
    COUNT,
    CUSTOM_LOSS,
    FLAG,
    FRACTION,
    HIDDEN_ACTIVATION,
    LOSS_PARAMETER_RULES,
    MOST_COUNT,
    NONE,
    NONNEGATIVE,
    POSITIVE,
    Allowed,
    instance_of,
    integer_from,
    is_sequence,
    one_of,
    real_in,
)
from fastbp.names import AS_SKLEARN, BAYES, EMBEDDINGS, INITIALISATIONS, SCHEDULES, SOLVERS, Solver

CLASSIFIER, REGRESSOR, AUTOENCODER = "BPClassifier", "BPRegressor", "BPAutoencoder"
PREDICTORS = CLASSIFIER, REGRESSOR
ALL = CLASSIFIER, REGRESSOR, AUTOENCODER

# When a parameter acts: on the data before the training, in the training as a setting, or on the fitted network.
BEFORE, TRAINING, AFTER = "before", "training", "after"


def as_it_is(value: Any) -> Any:
    """Return the value unchanged, for settings that need no conversion."""
    return value


def count(value: Any) -> int:
    """Return a number of epochs, rows or lines, cut to what the kernels' int64 can hold."""
    return min(int(value), MOST_COUNT)


def limit(value: Any) -> float:
    """Return a limit for the kernels, where infinity means no limit."""
    return math.inf if value is None else float(value)


def _unless_a_name(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: value if isinstance(value, str) else convert(value)


class Kind(NamedTuple):
    """The possible values of a parameter."""

    text: str  # type in the documentation; docs.py fills the {placeholders}
    rules: tuple[Allowed, ...]  # a value must meet one of them
    setting: Callable[[Any], Any] | None = None  # converts a value to the setting of the same name; None: see settings.py
    annotation: str = "Any"  # type in the constructor


class Solvers(NamedTuple):
    """The solvers that a parameter is for. With other solvers it must be off, as it is by default."""

    includes: Callable[[Solver], bool]
    why_not: str  # the reason in the error for other solvers


EVERY_SOLVER = Solvers(lambda solver: True, "")
STOCHASTIC = Solvers(lambda solver: solver.is_stochastic, "which computes its steps in its own way")
WITH_A_RATE = Solvers(lambda solver: solver.is_stochastic and not solver.has_own_rates, "which chooses its step sizes itself")
BY_BATCHES = Solvers(
    lambda solver: solver.is_by_batches,
    "which needs the same loss at every step: use a solver that trains in batches, such as 'adam'",
)
OF_GRADIENTS = Solvers(lambda solver: solver.trainer != "lm", "which trains weights and intercepts of layers only: use 'lbfgs'")


def decayed_by(name: str) -> Callable[[Solver], bool]:
    """Return whether a parameter is the decay of one of a solver's moments, as a function of the solver."""
    return lambda solver: name in (solver.decay_1, solver.decay_2)


class Parameter(NamedTuple):
    """One parameter of the estimators' constructors."""

    name: str
    default: Any
    kind: Kind
    text: str
    estimators: tuple[str, ...] = ALL
    acts: str = TRAINING
    solvers: Solvers = EVERY_SOLVER
    # The solvers that use the parameter; others ignore it, as in scikit-learn. None: all, unless the text says more.
    used_by: Callable[[Solver], bool] | None = None
    # Values for which a search must call the estimator's own fit. None: all except the default,
    # if it acts before or after training.
    needs_own_fit: Callable[[Any], bool] | None = None
    of_estimator: Mapping[str, Mapping[str, Any]] = {}  # fields that differ for an estimator
    of_solver: Mapping[str, str] = {}  # sentences about one solver, for the estimators that have it

    def is_for_own_fit(self, value: Any) -> bool:
        """Whether a search must call the estimator's own fit for this value, because it acts outside the training."""
        if self.needs_own_fit is not None:
            return self.needs_own_fit(value)
        return self.acts != TRAINING and (type(value) is not type(self.default) or value != self.default)


SWITCH = Kind("bool", FLAG, bool, "bool")
SWITCH_OR_AS_SKLEARN = Kind(f"bool or {AS_SKLEARN!r}", (*FLAG, one_of(AS_SKLEARN)), annotation="bool | str")
POSITIVE_COUNT = Kind("int", COUNT, count, "int")
COUNT_FROM_0 = Kind("int", (integer_from(0),), count, "int")
REAL_FROM_0 = Kind("float", NONNEGATIVE, float, "float")
REAL_ABOVE_0 = Kind("float", POSITIVE, float, "float")
FROM_0_BELOW_1 = Kind("float", FRACTION, float, "float")
FROM_0_TO_1 = Kind("float", (real_in(0, 1, "[]"),), float, "float")
LIMIT = Kind("float or None", (*POSITIVE, NONE), limit, "float | None")


def chosen_from(*names: str) -> Kind:
    """Return the kind of a parameter that is one of these names."""
    return Kind("{" + ", ".join(map(repr, names)) + "}", (one_of(*names),), annotation="str")


def choice_or_none(*names: str) -> Kind:
    """Return the kind of a parameter that is one of these names or None."""
    text, rules, *_ = chosen_from(*names)
    return Kind(f"{text} or None", (*rules, NONE), annotation="str | None")


def loss_from(*names: str) -> Kind:
    """Return the kind of a parameter that is the name of a loss or a user's own loss."""
    text, rules, *_ = chosen_from(*names)
    return Kind(f"{text} or CustomLoss", (*rules, CUSTOM_LOSS), annotation="str | CustomLoss")


def of_a_loss(name: str) -> Kind:
    """Return the kind of a parameter of a loss; the record of the loss has its range."""
    return Kind("float", LOSS_PARAMETER_RULES[name], annotation="float")


LAYER_SIZES = Kind(
    "array-like of int, int or str",
    (
        Allowed(is_sequence, "an array-like"),
        integer_from(1),
        Allowed(lambda value: isinstance(value, str) and re.fullmatch(r"\d+(-\d+)*", value) is not None, "a str such as '64-32'"),
    ),
)
LAYER_ACTIVATIONS = Kind(
    "{activations} or sequence of these", (HIDDEN_ACTIVATION, Allowed(is_sequence, "a sequence of these, one per hidden layer"))
)
SOLVER = Kind("{solvers}", (one_of(*sorted(SOLVERS)),), as_it_is, "str")
PENALTY = Kind("float", NONNEGATIVE, _unless_a_name(float), "float")
PENALTY_OR_BAYES = Kind(f"float or {BAYES!r}", (*NONNEGATIVE, one_of(BAYES)), _unless_a_name(float), "float | str")
BATCH_SIZE = Kind("int or 'auto'", (one_of("auto"), integer_from(1)), _unless_a_name(count))
SCHEDULE = Kind("{schedules} or callable", (one_of(*sorted(SCHEDULES)), Allowed(callable, "a callable")), as_it_is)
RANDOM_STATE = Kind(
    "int, RandomState instance or None",
    (
        Allowed(lambda value: isinstance(value, Integral) and 0 <= int(value) < 2**32, f"an int in the range [0, {2**32 - 1}]"),
        instance_of(np.random.RandomState, "an instance of 'numpy.random.mtrand.RandomState'"),
        NONE,
    ),
    annotation="int | np.random.RandomState | None",
)
VERBOSITY = Kind("bool or int", (integer_from(0), BOOLEAN), count, "bool | int")
PATIENCE = Kind(
    "int or inf",
    (integer_from(1), Allowed(lambda value: isinstance(value, Real) and value == math.inf, "a float among {inf}")),
    lambda value: min(value, MOST_COUNT),
    "float",
)
INITIALISATION = Kind(
    "{initialisations} or (coefs, intercepts)",
    (
        one_of(*sorted(INITIALISATIONS)),
        Allowed(lambda value: isinstance(value, tuple | list) and len(value) == 2, "a pair (coefs, intercepts)"),
    ),
)
RESTARTS = Kind(
    "int",
    (Allowed(lambda value: isinstance(value, Integral) and 1 <= int(value) <= 2**20, "an int in the range [1, 2**20]"),),
    count,
    "int",
)
THREADS = Kind("int or None", (*COUNT, NONE), as_it_is, "int | None")
AVERAGE = Kind("None, 'polyak' or float", (one_of("polyak"), real_in(0, 1, "()"), NONE), as_it_is)
DROPOUT = Kind(
    "float or sequence of float",
    (*FRACTION, Allowed(is_sequence, "a sequence of these, one for the inputs and one per hidden layer")),
)
COLUMNS = Kind("'all' or array-like of int", (one_of("all"), Allowed(is_sequence, "an array-like of column numbers")))
MONOTONIC = Kind(
    "array-like of int, dict or None",
    (
        Allowed(is_sequence, "an array-like with -1, 0 or 1 for each feature"),
        instance_of(dict, "a dict of these by the features' names"),
        NONE,
    ),
)
CATEGORICAL = Kind(
    "array-like of bool, int or str, 'from_dtype' or None",
    (one_of("from_dtype"), Allowed(is_sequence, "an array-like of bool, int or str"), NONE),
)
OF_A_COLUMN = (
    Allowed(lambda value: isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1, "an int from 1 on"),
    one_of("auto"),
)
EMBEDDING_SIZE = Kind(
    "int, 'auto', dict or None", (*OF_A_COLUMN, instance_of(dict, "a dict of these by columns of categories"), NONE)
)
FACTORS = Kind("dict or None", (instance_of(dict, "a dict"), NONE))
EMBEDDING = choice_or_none(*EMBEDDINGS)
SCORER = Kind("str, callable or None", (instance_of(str, "a scorer's name or 'loss'"), Allowed(callable, "a callable"), NONE))
CLASS_WEIGHTS = Kind(
    "dict, 'balanced' or list of dicts",
    (
        one_of("balanced"),
        instance_of(dict, "an instance of 'dict'"),
        Allowed(
            lambda value: isinstance(value, list | tuple) and all(isinstance(part, dict) for part in value),
            "a list of dicts, one per label",
        ),
        NONE,
    ),
)
QUANTILES = Kind("float or sequence of float", LOSS_PARAMETER_RULES["quantile"])
