"""Stochastic gradient descent: sgd with momentum or Nesterov's, and adam."""

from fastbp.kernels.updates import UPDATES, Rule
from fastbp.training.network import aligned_arrays


class Optimizer:
    """State of a stochastic solver that survives from one `partial_fit` to the next.

    Parameters
    ----------
    solver : {"sgd", "adam"}
    params : ndarray of shape (n_parameters,)
        Flat parameters; the moments get their layout.
    learning_rate_init : float
        First learning rate.
    momentum, nesterovs_momentum : float, bool
        For sgd: decay of the velocity, and whether a step looks ahead along it.
    beta_1, beta_2, epsilon : float
        For adam: decay of the two moments, and what keeps the division off zero.
    """

    def __init__(self, solver, params, *, learning_rate_init, momentum, nesterovs_momentum, beta_1, beta_2, epsilon):
        self.is_adam = solver == "adam"
        code = UPDATES["adam" if self.is_adam else "nesterov" if nesterovs_momentum else "sgd"]
        self._rule = code, float(beta_1 if self.is_adam else momentum), float(beta_2), float(epsilon)
        self.learning_rate_init = float(learning_rate_init)
        self.learning_rate = float(learning_rate_init)
        self.n_steps = 0
        self.moment_1, self.moment_2 = aligned_arrays(params.dtype, params.size, params.size if self.is_adam else 0)

    def rule(self, alpha):
        """The step rule for kernels, with the L2 penalty alpha."""
        return Rule(*self._rule, float(alpha))
