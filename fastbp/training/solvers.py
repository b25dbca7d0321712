"""Which function trains a run, by the name that names.SOLVERS gives it.

A trainer is ``train(run, network, problem, settings, *, n_threads, scratch) -> Outcome``: it changes the run's params, history
and optimizer in place, asks a `Between` before each call of its loop and tells it after, ends within a fraction of a second
after Ctrl-C or ``scratch.sync[INTERRUPT]`` with what it has reached, and raises DivergenceError, the last finite weights in
place, where numbers are no longer finite.
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
