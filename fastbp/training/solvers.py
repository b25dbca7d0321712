"""The functions that train a run, by the names of trainers in names.SOLVERS.

A trainer is ``train(run, network, problem, settings, *, n_threads, scratch) -> Outcome``:

- It changes the run's params, history and optimizer in place.
- It calls a `Between` before and after each call of its compiled loop.
- After Ctrl-C or ``scratch.sync[INTERRUPT]``, it ends within a fraction of a second and leaves the weights so far.
- If numbers are no longer finite, it leaves the last finite weights and raises DivergenceError.
"""

from collections.abc import Callable

from fastbp.names import SOLVERS
from fastbp.training import lbfgs, levenberg_marquardt, stochastic
from fastbp.training.outcome import Outcome

TRAINERS: dict[str, Callable[..., Outcome]] = {
    "stochastic": stochastic.train,
    "lbfgs": lbfgs.train,
    "lm": levenberg_marquardt.train,
}


def trainer_of(solver: str) -> Callable[..., Outcome]:
    """Return the trainer of a solver."""
    return TRAINERS[SOLVERS[solver].trainer]
