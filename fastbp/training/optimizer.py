"""What a stochastic solver keeps from step to step, and from one partial_fit to the next."""

from typing import Any

import numpy as np

from fastbp.kernels.updates import StepRule
from fastbp.names import SOLVERS, Solver
from fastbp.training.kept import KeptVectors
from fastbp.training.network import aligned_arrays
from fastbp.training.settings import Settings

SMALLEST_NORMAL = {4: float(np.finfo(np.float32).tiny), 8: float(np.finfo(np.float64).tiny)}  # by bytes


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
    learning_rate : float
        The rate now; schedules move it.
    n_steps : int
        Steps taken.
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
        self.n_steps = 0
        self.network = network
        n = network.n_parameters
        self.moments: Any = aligned_arrays(dtype, *(n if k < solver.n_moments else 0 for k in range(2)))

    @property
    def solver(self) -> Solver:
        """What names.py says of its solver."""
        return SOLVERS[self.solver_name]

    def rule(self, alpha: float) -> StepRule:
        """The step rule for kernels, with the L2 penalty alpha."""
        return StepRule(*self._rule, float(alpha))

    def move_to(self, network: Any, dtype: np.dtype) -> bool:
        """Bring the moments into the layout of a network; False if its layers are others."""
        moments = self._kept().laid_out(network, dtype)
        if moments is None:
            return False
        self.network = network
        self.moments = moments + aligned_arrays(dtype, *[0] * (2 - len(moments)))
        return True

    def _kept(self) -> KeptVectors:
        if isinstance(self.moments, KeptVectors):  # as they came out of a pickle
            return self.moments
        return KeptVectors(self.network, self.moments[: self.solver.n_moments])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "network": None, "moments": self._kept()}
