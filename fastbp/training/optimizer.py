"""The state of a stochastic solver, which is kept from step to step and from one partial_fit to the next."""

import math
from numbers import Integral, Real
from operator import attrgetter
from typing import Any

import numpy as np

from fastbp.kernels.layout import Network
from fastbp.kernels.updates import LARGEST_STEP, MEASURED, PLAIN, SHAPED, SMALLEST_STEP, StepRule
from fastbp.names import EXPONENTIAL, NO_AVERAGE, POLYAK, SOLVERS, Solver
from fastbp.training.kept import KeptVectors
from fastbp.training.network import aligned_arrays, aligned_copies
from fastbp.training.settings import Settings

MOST_COUNT = 2**53  # exact as a float
LARGEST_FLOAT = float(np.finfo(np.float64).max)
SMALLEST_NORMAL = {4: float(np.finfo(np.float32).tiny), 8: float(np.finfo(np.float64).tiny)}  # by bytes

# The settings that a step rule takes as they are: its fields between these two
_FIELDS = StepRule._fields
_as_set = attrgetter(*_FIELDS[_FIELDS.index("alpha_l1") + 1 : _FIELDS.index("averaging")])

# The attributes of a state that are not vectors, each with a value of its type
KINDS: dict[str, Any] = {
    "solver_name": "",
    "_rule": (0, 0.0, 0.0, 0.0),
    "learning_rate_init": 0.0,
    "learning_rate": 0.0,
    "n_steps": 0,
    "n_epochs": 0,
    "averaged_from": 0,
    "dropout_seed": 0,
}
_USUAL_TYPES = [*map(type, KINDS.values())]


def _is_alike(value: Any, example: Any) -> bool:
    """Whether a value has the type of an example, in a wide sense; a float must be finite, an int a count."""
    if isinstance(example, tuple):
        return isinstance(value, tuple) and len(value) == len(example) and all(map(_is_alike, value, example))
    if isinstance(example, str):
        return isinstance(value, str)
    if isinstance(example, int):  # the abstract classes are slow
        return (type(value) is int or isinstance(value, Integral)) and 0 <= int(value) <= MOST_COUNT
    is_real = type(value) is float or isinstance(value, Real)
    return is_real and bool(abs(value) <= LARGEST_FLOAT)  # also false for NaN


def _are_vectors(arrays: list[Any], lengths: list[int]) -> bool:
    are_floats = all(isinstance(array, np.ndarray) and array.dtype.kind == "f" for array in arrays)
    return are_floats and [array.shape for array in arrays] == [(length,) for length in lengths]


class Optimizer:
    """State of a stochastic solver. Decays, epsilon and the initial learning rate stay those of its first step.

    Attributes
    ----------
    moments : list of two ndarray of shape (n_parameters,) or (0,)
        The vectors of the step rule; those that it does not need are empty.
    averaged : list of ndarray of shape (n_parameters,)
        The average of the weights and, between two trainings, the weights after the last step; empty without averaging.
    averaged_from : int
        Number of steps before the first one in the average.
    learning_rate : float
        The current rate; 'invscaling' and 'adaptive' change it.
    n_steps, n_epochs : int
        Steps and epochs so far.
    dropout_seed : int
        The seed of all dropout masks; 0 until it is drawn.
    """

    def __init__(self, network: Any, dtype: np.dtype, settings: Settings) -> None:
        self.solver_name = settings.solver
        solver = self.solver
        code, decays = solver.rule, (solver.decay_1, solver.decay_2)
        if settings.nesterovs_momentum and solver.nesterov_rule is not None:
            code = solver.nesterov_rule
        decay_1, decay_2 = [float(getattr(settings, name)) if name else 0.0 for name in decays]
        # kernels treat a subnormal epsilon as zero, which could give 0/0
        epsilon = max(float(settings.epsilon), SMALLEST_NORMAL[dtype.itemsize])
        self._rule = code, decay_1, decay_2, epsilon
        self.learning_rate_init = float(settings.learning_rate_init)
        self.learning_rate = self.learning_rate_init
        self.n_steps = self.n_epochs = self.averaged_from = 0
        self.dropout_seed = 0
        self.network = network
        n = network.n_parameters
        self.moments: Any = aligned_arrays(dtype, *[n if k < solver.n_moments else 0 for k in range(2)])
        if solver.has_own_rates:
            self.moments[1][:] = min(max(self.learning_rate_init, SMALLEST_STEP), LARGEST_STEP)
        self.averaged: list[np.ndarray] = []

    @property
    def solver(self) -> Solver:
        """The record of its solver in names.py."""
        return SOLVERS[self.solver_name]

    def rule(self, settings: Settings) -> StepRule:
        """Return the step rule for kernels, with the penalties and limits of the settings."""
        averaging, average_decay = NO_AVERAGE, 0.0
        if settings.averaging == "polyak":
            averaging = POLYAK
        elif settings.averaging is not None:
            averaging, average_decay = EXPONENTIAL, float(settings.averaging)
        alpha, l1_ratio = float(settings.alpha), settings.l1_ratio
        shaping = MEASURED if settings.is_measured else SHAPED if settings.is_shaped else PLAIN
        penalties = alpha * (1.0 - l1_ratio), alpha * l1_ratio
        fields: tuple[Any, ...] = (*self._rule, *penalties, *_as_set(settings), averaging, average_decay, shaping)
        rule = StepRule(*fields)
        return rule if self.solver.has_weight_decay else rule._replace(weight_decay=0.0)

    def begin_average(self, params: np.ndarray, settings: Settings) -> np.ndarray:
        """Return the average to continue, (n_parameters,), or (0,) without averaging, and set params to those of the last step.

        If params are not the average any more, because the user has changed them, a new average begins.
        """
        if settings.averaging is None:
            self.averaged = []
            return params[:0]
        if len(self.averaged) == 2 and np.array_equal(self.averaged[0], params):
            params[:] = self.averaged[1]
        else:
            self.averaged, self.averaged_from = [params.copy()], self.n_steps
        return self.averaged[0]

    def end_average(self, params: np.ndarray) -> None:
        """Set params to the average, and keep those of the last step."""
        if self.averaged:
            self.averaged = [self.averaged[0], params.copy()]
            params[:] = self.averaged[0]

    def fault(self) -> str:
        """Return the name of an attribute that a user has set to an invalid value, or ""; kernels rely on all of them."""
        state = self.__dict__
        values: list[Any] = [*map(state.get, KINDS)]
        if [*map(type, values)] != _USUAL_TYPES or min(values[-4:]) < 0:
            for (name, example), value in zip(KINDS.items(), values):
                if not _is_alike(value, example):
                    return name
        solver = SOLVERS.get(self.solver_name)
        if solver is None or not solver.is_stochastic:
            return "solver_name"
        if self._rule[0] not in (solver.rule, solver.nesterov_rule) or not _is_alike(self._rule, KINDS["_rule"]):
            return "_rule"
        if not (math.isfinite(self.learning_rate) and math.isfinite(self.learning_rate_init)):
            return "learning_rate"
        moments, averaged, network = map(state.get, ("moments", "averaged", "network"))
        if type(averaged) is not list or len(averaged) > 2:
            return "averaged"
        if isinstance(moments, KeptVectors):  # after unpickling
            return "" if moments.is_whole else "moments"
        if not isinstance(network, Network):
            return "network"
        n = network.n_parameters
        lengths = [n if k < solver.n_moments else 0 for k in range(2)]
        if not _are_vectors(averaged, [n] * len(averaged)):
            return "averaged"
        return "" if type(moments) is list and _are_vectors(moments, lengths) else "moments"

    def continued(self, network: Any, dtype: np.dtype, is_safe: bool) -> "Optimizer | None":
        """Return an optimizer to continue with, in the layout of a network; None if its layers are different.

        Its vectors are copies, except if is_safe says that only Ctrl-C can end the training early. Copying takes a fifth of the
        time of a partial_fit of 200 rows (measured with 1.8 million parameters).
        """
        vectors = self._kept().laid_out(network, dtype)
        if vectors is None:
            return None
        if not is_safe and vectors:
            vectors = aligned_copies(vectors)
        n_kept = self.solver.n_moments
        other: Optimizer = object.__new__(Optimizer)
        other.__dict__.update(self.__dict__, network=network)
        other.moments = vectors[:n_kept] + (aligned_arrays(dtype, *[0] * (2 - n_kept)) if n_kept < 2 else [])
        other.averaged = vectors[n_kept:]
        return other

    def _kept(self) -> KeptVectors:
        if isinstance(self.moments, KeptVectors):  # after unpickling
            return self.moments
        return KeptVectors(self.network, [*self.moments[: self.solver.n_moments], *self.averaged])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "network": None, "moments": self._kept(), "averaged": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        added = {"n_epochs": 0, "averaged_from": 0, "dropout_seed": 0, "averaged": []}  # since older versions
        self.__dict__.update({**added, **state}, network=None)
        codes = self.solver.rule, self.solver.nesterov_rule  # these tell kernels which moments to write
        n_averaged = len(self.moments.unpacked()) - self.solver.n_moments
        if self._rule[0] not in codes or not 0 <= n_averaged <= 2:
            raise ValueError(f"The state of this optimizer does not fit the solver {self.solver_name!r}.")
