"""What a stochastic solver keeps from step to step, and from one partial_fit to the next."""

from typing import Any

import numpy as np

from fastbp.kernels.updates import LARGEST_STEP, MEASURED, PLAIN, SHAPED, SMALLEST_STEP, StepRule
from fastbp.names import EXPONENTIAL, NO_AVERAGE, POLYAK, SOLVERS, Solver
from fastbp.training.kept import KeptVectors
from fastbp.training.network import aligned_arrays
from fastbp.training.settings import Settings

SMALLEST_NORMAL = {4: float(np.finfo(np.float32).tiny), 8: float(np.finfo(np.float64).tiny)}  # by bytes


# What of a state is no vector, each by a value of its type.
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


class Optimizer:
    """State of a stochastic solver; its constants stay what they were at its first step.

    Parameters
    ----------
    network : Network
    dtype : dtype
    settings : Settings

    Attributes
    ----------
    moments : list of two ndarray of shape (n_parameters,) or (0,)
        What the step rule keeps; one that it does not keep is empty.
    averaged : list of ndarray of shape (n_parameters,)
        The average of the weights and, between two trainings, the weights that its last step left; empty without an average.
    averaged_from : int
        Steps before the first in the average.
    learning_rate : float
        The rate now; schedules of the course of the training move it.
    n_steps, n_epochs : int
        Steps taken, epochs done.
    dropout_seed : int
        What all masks of dropout follow from; 0 until it is drawn.
    """

    def __init__(self, network: Any, dtype: np.dtype, settings: Settings) -> None:
        self.solver_name = settings.solver
        solver = self.solver
        code = solver.rule
        if settings.nesterovs_momentum and solver.nesterov_rule is not None:
            code = solver.nesterov_rule
        decay_1, decay_2 = (float(getattr(settings, name)) if name else 0.0 for name in (solver.decay_1, solver.decay_2))
        # an epsilon that kernels would count as zero could leave 0/0
        epsilon = max(float(settings.epsilon), SMALLEST_NORMAL[dtype.itemsize])
        self._rule = code, decay_1, decay_2, epsilon
        self.learning_rate_init = float(settings.learning_rate_init)
        self.learning_rate = self.learning_rate_init
        self.n_steps = self.n_epochs = self.averaged_from = 0
        self.dropout_seed = 0
        self.network = network
        n = network.n_parameters
        self.moments: Any = aligned_arrays(dtype, *(n if k < solver.n_moments else 0 for k in range(2)))
        if solver.has_own_rates:
            self.moments[1][:] = min(max(self.learning_rate_init, SMALLEST_STEP), LARGEST_STEP)
        self.averaged: list[np.ndarray] = []

    @property
    def solver(self) -> Solver:
        """What names.py says of its solver."""
        return SOLVERS[self.solver_name]

    def rule(self, settings: Settings) -> StepRule:
        """The step rule for kernels, with the penalties and limits of the settings."""
        averaging, average_decay = NO_AVERAGE, 0.0
        if settings.averaging == "polyak":
            averaging = POLYAK
        elif settings.averaging is not None:
            averaging, average_decay = EXPONENTIAL, float(settings.averaging)
        return StepRule(
            *self._rule,
            alpha=float(settings.alpha) * (1.0 - settings.l1_ratio),
            alpha_l1=float(settings.alpha) * settings.l1_ratio,
            weight_decay=settings.weight_decay,
            clip_norm=settings.clip_norm,
            clip_value=settings.clip_value,
            max_norm=settings.max_norm,
            averaging=averaging,
            average_decay=average_decay,
            shaping=MEASURED if settings.is_measured else SHAPED if settings.is_shaped else PLAIN,
        )

    def begin_average(self, params: np.ndarray, settings: Settings) -> np.ndarray:
        """The average to go on with, (n_parameters,), or (0,) if there is none; params become what the last step left.

        Weights that are not the average any more, as somebody has changed them, begin a new one.
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
        """Make params the average."""
        if self.averaged:
            self.averaged = [self.averaged[0], params.copy()]
            params[:] = self.averaged[0]

    @property
    def is_whole(self) -> bool:
        """Whether every vector has the length of the network, which kernels go by."""
        n, n_kept = self.network.n_parameters, self.solver.n_moments
        lengths = [n if k < n_kept else 0 for k in range(2)] + [n] * len(self.averaged)
        arrays = [*self.moments, *self.averaged]
        are_vectors = all(isinstance(array, np.ndarray) and array.dtype.kind == "f" for array in arrays)
        return are_vectors and len(self.averaged) <= 2 and [array.shape for array in arrays] == [(length,) for length in lengths]

    def continued(self, network: Any, dtype: np.dtype) -> "Optimizer | None":
        """A copy to go on with, whose vectors lie as those of a network; None if its layers are others."""
        vectors = self._kept().laid_out(network, dtype)
        if vectors is None:
            return None
        n_kept = self.solver.n_moments
        copied: Optimizer = object.__new__(Optimizer)
        copied.__dict__.update(self.__dict__, network=network)
        lengths = [vector.size for vector in vectors]
        copied.moments = aligned_arrays(dtype, *lengths[:n_kept], *[0] * (2 - n_kept))
        copied.averaged = aligned_arrays(dtype, *lengths[n_kept:]) if lengths[n_kept:] else []
        for array, vector in zip([*copied.moments[:n_kept], *copied.averaged], vectors, strict=True):
            array[:] = vector
        return copied

    def _kept(self) -> KeptVectors:
        if isinstance(self.moments, KeptVectors):  # as they came out of a pickle
            return self.moments
        return KeptVectors(self.network, [*self.moments[: self.solver.n_moments], *self.averaged])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "network": None, "moments": self._kept(), "averaged": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        unknown_once = {"n_epochs": 0, "averaged_from": 0, "dropout_seed": 0, "averaged": []}  # to older versions
        self.__dict__.update({**unknown_once, **state}, network=None)
        codes = self.solver.rule, self.solver.nesterov_rule  # by which the kernels choose the moments that they write
        n_averaged = len(self.moments.unpacked()) - self.solver.n_moments
        if self._rule[0] not in codes or not 0 <= n_averaged <= 2:
            raise ValueError(f"The state of this optimizer does not fit the solver {self.solver_name!r}.")
