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

    annotation: str  # type in the constructor
    text: str  # type in the documentation; docs.py fills the {placeholders}
    rules: tuple[Allowed, ...]  # a value must meet one of them
    setting: Callable[[Any], Any] | None = None  # converts a value to the setting of the same name; None: see settings.py


class Solvers(NamedTuple):
    """The solvers that a parameter is for. With other solvers it must be off, as it is by default."""

    includes: Callable[[Solver], bool]
    why_not: str  # the reason in the error for other solvers


EVERY_SOLVER = Solvers(lambda solver: True, "")
STOCHASTIC = Solvers(lambda solver: solver.is_stochastic, "which has its own way to step")
WITH_A_RATE = Solvers(lambda solver: solver.is_stochastic and not solver.has_own_rates, "which finds its steps itself")
BY_BATCHES = Solvers(
    lambda solver: solver.is_by_batches,
    "which needs the same loss at every step; solvers that go batch by batch, as 'adam', take it",
)
OF_GRADIENTS = Solvers(lambda solver: solver.trainer != "lm", "which is for the weights of layers: take 'lbfgs'")


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
    # The solvers that read the parameter; others ignore it, as in scikit-learn. None: the text says so, if not all do.
    read_by: Callable[[Solver], bool] | None = None
    # Values for which a search must call the estimator's own fit. None: all but the default, if it acts before or after training.
    needs_own_fit: Callable[[Any], bool] | None = None
    of_estimator: Mapping[str, Mapping[str, Any]] = {}  # fields that differ for an estimator
    of_solver: Mapping[str, str] = {}  # sentences about one solver, for the estimators that have it

    def is_for_own_fit(self, value: Any) -> bool:
        """Whether a search must call the estimator's own fit for this value, because it acts outside the training."""
        if self.needs_own_fit is not None:
            return self.needs_own_fit(value)
        return self.acts != TRAINING and (type(value) is not type(self.default) or value != self.default)


SWITCH = Kind("bool", "bool", FLAG, bool)
SWITCH_OR_AS_SKLEARN = Kind("bool | str", f"bool or {AS_SKLEARN!r}", (*FLAG, one_of(AS_SKLEARN)))
POSITIVE_COUNT = Kind("int", "int", COUNT, count)
COUNT_FROM_0 = Kind("int", "int", (integer_from(0),), count)
REAL_FROM_0 = Kind("float", "float", NONNEGATIVE, float)
REAL_ABOVE_0 = Kind("float", "float", POSITIVE, float)
FROM_0_BELOW_1 = Kind("float", "float", FRACTION, float)
FROM_0_TO_1 = Kind("float", "float", (real_in(0, 1, "[]"),), float)
LIMIT = Kind("float | None", "float or None", (*POSITIVE, NONE), limit)


def choice_or_none(*names: str) -> Kind:
    """Return the kind of a parameter that is one of these names or None."""
    return Kind("str | None", "{" + ", ".join(map(repr, names)) + "} or None", (one_of(*names), NONE))


def chosen_from(*names: str) -> Kind:
    """Return the kind of a parameter that is one of these names."""
    return Kind("str", "{" + ", ".join(map(repr, names)) + "}", (one_of(*names),))


def loss_from(*names: str) -> Kind:
    """Return the kind of a parameter that is the name of a loss or a user's own loss."""
    return Kind("str | CustomLoss", "{" + ", ".join(map(repr, names)) + "} or CustomLoss", (one_of(*names), CUSTOM_LOSS))


def of_a_loss(name: str) -> Kind:
    """Return the kind of a parameter of a loss; the record of the loss has its range."""
    return Kind("float", "float", LOSS_PARAMETER_RULES[name])


LAYER_SIZES = Kind(
    "Any",
    "array-like of int, int or str",
    (
        Allowed(is_sequence, "an array-like"),
        integer_from(1),
        Allowed(lambda value: isinstance(value, str) and re.fullmatch(r"\d+(-\d+)*", value) is not None, "a str such as '64-32'"),
    ),
)
LAYER_ACTIVATIONS = Kind(
    "Any",
    "{activations} or sequence of these",
    (HIDDEN_ACTIVATION, Allowed(is_sequence, "a sequence of these, one per hidden layer")),
)
SOLVER = Kind("str", "{solvers}", (one_of(*sorted(SOLVERS)),), as_it_is)
PENALTY = Kind("float", "float", NONNEGATIVE, _unless_a_name(float))
PENALTY_OR_BAYES = Kind("float | str", f"float or {BAYES!r}", (*NONNEGATIVE, one_of(BAYES)), _unless_a_name(float))
BATCH_SIZE = Kind("Any", "int or 'auto'", (one_of("auto"), integer_from(1)), _unless_a_name(count))
SCHEDULE = Kind("Any", "{schedules} or callable", (one_of(*sorted(SCHEDULES)), Allowed(callable, "a callable")), as_it_is)
RANDOM_STATE = Kind(
    "int | np.random.RandomState | None",
    "int, RandomState instance or None",
    (
        Allowed(lambda value: isinstance(value, Integral) and 0 <= int(value) < 2**32, f"an int in the range [0, {2**32 - 1}]"),
        Allowed(lambda value: isinstance(value, np.random.RandomState), "an instance of 'numpy.random.mtrand.RandomState'"),
        NONE,
    ),
)
VERBOSITY = Kind("bool | int", "bool or int", (integer_from(0), BOOLEAN), count)
PATIENCE = Kind(
    "float",
    "int or inf",
    (integer_from(1), Allowed(lambda value: isinstance(value, Real) and value == math.inf, "a float among {inf}")),
    lambda value: min(value, MOST_COUNT),
)
INITIALISATION = Kind(
    "Any",
    "{starts} or (coefs, intercepts)",
    (
        one_of(*sorted(INITIALISATIONS)),
        Allowed(lambda value: isinstance(value, tuple | list) and len(value) == 2, "a pair (coefs, intercepts)"),
    ),
)
RESTARTS = Kind(
    "int",
    "int",
    (Allowed(lambda value: isinstance(value, Integral) and 1 <= int(value) <= 2**20, "an int in the range [1, 2**20]"),),
    count,
)
THREADS = Kind("int | None", "int or None", (*COUNT, NONE), as_it_is)
AVERAGE = Kind("Any", "None, 'polyak' or float", (one_of("polyak"), real_in(0, 1, "()"), NONE), as_it_is)
DROPOUT = Kind(
    "Any",
    "float or sequence of float",
    (*FRACTION, Allowed(is_sequence, "a sequence of these, one for the inputs and one per hidden layer")),
)
COLUMNS = Kind("Any", "'all' or array-like of int", (one_of("all"), Allowed(is_sequence, "an array-like of column numbers")))
MONOTONIC = Kind(
    "Any",
    "array-like of int, dict or None",
    (
        Allowed(is_sequence, "an array-like with -1, 0 or 1 for each feature"),
        Allowed(lambda value: isinstance(value, dict), "a dict of these by the features' names"),
        NONE,
    ),
)
CATEGORICAL = Kind(
    "Any",
    "array-like of bool, int or str, 'from_dtype' or None",
    (one_of("from_dtype"), Allowed(is_sequence, "an array-like of bool, int or str"), NONE),
)
OF_A_COLUMN = (
    Allowed(lambda value: isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1, "an int from 1 on"),
    one_of("auto"),
)
EMBEDDING_SIZE = Kind(
    "Any",
    "int, 'auto', dict or None",
    (
        *OF_A_COLUMN,
        Allowed(lambda value: isinstance(value, dict), "a dict of these by columns of categories"),
        NONE,
    ),
)
FACTORS = Kind("Any", "dict or None", (Allowed(lambda value: isinstance(value, dict), "a dict"), NONE))
EMBEDDING = choice_or_none(*EMBEDDINGS)
SCORER = Kind(
    "Any",
    "str, callable or None",
    (Allowed(lambda value: isinstance(value, str), "a scorer's name or 'loss'"), Allowed(callable, "a callable"), NONE),
)
CLASS_WEIGHTS = Kind(
    "Any",
    "dict, 'balanced' or list of dicts",
    (
        one_of("balanced"),
        Allowed(lambda value: isinstance(value, dict), "an instance of 'dict'"),
        Allowed(
            lambda value: isinstance(value, list | tuple) and all(isinstance(part, dict) for part in value),
            "a list of dicts, one per label",
        ),
        NONE,
    ),
)
QUANTILES = Kind("Any", "float or sequence of float", LOSS_PARAMETER_RULES["quantile"])
