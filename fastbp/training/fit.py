"""Every fit: from settings and rows to a fitted network, without any other effect.

Estimators, `partial_fit`, restarts, the networks of a table, every fit of a search and the command line call `fit_network`, with
settings, a problem and starts of their own.
"""

import copy
import functools
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastbp.kernels import custom
from fastbp.names import INITIALISATIONS, LOSSES, SOLVERS
from fastbp.training.between import Hooks
from fastbp.training.custom_loss import CustomLoss
from fastbp.training.initialisation import (
    begin_with_equal_spreads,
    draw_front,
    draw_parameters,
    fit_start,
    thresholds_between,
)
from fastbp.training.monotone import parameter_signs, turned
from fastbp.training.network import network_for, pack_parameters
from fastbp.training.outcome import DIVERGED, INTERRUPTED, DivergenceError, History, Outcome, Run, explain_divergence
from fastbp.training.problem import Problem, check_codes
from fastbp.training.settings import Settings
from fastbp.training.solvers import trainer_of
from fastbp.training.threads import allowed_threads, run_pool
from fastbp.training.workspace import Scratch, borrow_scratch, return_scratch


class Start(NamedTuple):
    """The start of a training; `weights` returns flat parameters for a problem."""

    random_state: Any  # RandomState or Twister, from which the training draws
    weights: Callable[[Problem], np.ndarray]


class Resumed(NamedTuple):
    """What a training continues with, besides the weights."""

    history: History
    optimizer: Any  # Optimizer; None makes a new one
    order: np.ndarray | None = None  # of the rows after the last epoch, to go on as if training had not ended


class Fitted(NamedTuple):
    """The result of a fit: the best run, the final loss of each start (NaN if it diverged or was not trained), and whether Ctrl-C
    ended it."""

    network: Any
    problem: Problem  # with the rows that were held out
    run: Run
    restart_losses: np.ndarray
    is_interrupted: bool
    runs: tuple[Run, ...] = ()  # of all starts that have not diverged, with keeps_all

    def completed(self) -> "Fitted":
        """Return it, or raise what has ended the training too early: an error or a KeyboardInterrupt."""
        if self.is_interrupted:
            raise KeyboardInterrupt
        if self.run.error is not None:
            raise self.run.error
        return self


def draw_weights(
    network: Any, settings: Settings, random_state: np.random.RandomState, dtype: np.dtype, problem: Problem | None
) -> np.ndarray:
    """Return flat initial parameters: drawn, or fitted to rows of the problem, or those that `init` gives."""
    layer_sizes = network.units.tolist()
    front = draw_front(network, random_state, dtype, settings.frequency_init_scale)
    if isinstance(settings.init, str) and INITIALISATIONS[settings.init].fits_rows and problem is not None:
        row_indices, weights = problem.counting()
        options: dict[str, Any] = {"init_scale": settings.init_scale, "n_threads": settings.n_threads}
        coefs, intercepts = fit_start(
            network, front, problem.X, random_state, row_indices=row_indices, weights=weights, **options
        )
    elif isinstance(settings.init, str):
        coefs, intercepts = draw_parameters(
            layer_sizes,
            settings.drawn_for,
            init=settings.init,
            init_scale=settings.init_scale,
            fit_intercept=settings.fit_intercept,
            random_state=random_state,
            dtype=dtype,
        )
    else:
        coefs, intercepts = settings.init
        sizes = [len(coefs[0]), *(W.shape[1] for W in coefs)]
        if sizes != layer_sizes:
            raise ValueError(f"init holds weights for the layers {sizes}, but X, hidden_layer_sizes and y need {layer_sizes}.")
    if network.is_ordered:
        thresholds_between(coefs, intercepts)
    if LOSSES[settings.loss].has_spread and isinstance(settings.init, str):
        begin_with_equal_spreads(coefs, intercepts, settings.fit_intercept)
    params = pack_parameters(network, coefs, intercepts, dtype, front)
    return turned(params, parameter_signs(network, settings.monotonic, dtype)) if settings.monotonic else params


def random_states(random_state: np.random.RandomState, n_states: int) -> list[np.random.RandomState]:
    """Return the random states of starts: the first is the one of a single start, the others are seeded from a copy of it."""
    seeds = copy.deepcopy(random_state).randint(2**31 - 1, size=n_states - 1) if n_states > 1 else ()
    return [random_state, *map(np.random.RandomState, seeds)]


def drawn_starts(network: Any, settings: Settings, random_state: np.random.RandomState, dtype: np.dtype) -> list[Start]:
    """Return the starts that settings ask for; each draws its weights when it begins."""
    return [
        Start(state, functools.partial(draw_weights, network, settings, state, dtype))
        for state in random_states(random_state, settings.n_restarts)
    ]


def _demand_rows_for(network: Any, where: str, problem: Problem) -> None:
    """Refuse rows, for training or validation, that the network is not for."""
    if problem.n_features != network.n_features or problem.n_outputs != network.units[-1]:
        raise ValueError(
            f"{where}X and y have {problem.n_features} features and {problem.n_outputs} outputs, but the network has"
            f" {network.n_features} and {network.units[-1]}."
        )
    if network.has_front and problem.is_sparse:
        raise ValueError(
            f"{where}X is sparse, but embedding, scale_layer and categories need dense rows: X.toarray() makes them."
        )
    if network.coded.size > 1:
        check_codes(network, problem.X)


def _check_weights(problem: Problem, settings: Settings) -> None:
    """Refuse sample weights that sum to zero."""
    parts = [("that validate", problem.held_out)]
    if not SOLVERS[settings.solver].is_stochastic:  # stochastic solvers check each batch
        parts.append(("that are trained on", problem))
    for which, part in parts:
        if part is not None and part.total_weight() == 0.0:
            raise ValueError(f"The sample weights of the rows {which} sum to zero, so there is no mean over these rows.")


def fit_network(
    settings: Settings,
    problem: Problem,
    starts: Sequence[Start] | np.random.RandomState,
    *,
    network: Any = None,
    resumed: Resumed | None = None,
    test: Any = None,
    scratch: Scratch | None = None,
    n_threads: int | None = None,
    prepare: Callable[[Problem], Problem] | None = None,
    keeps_all: bool = False,
    hooks: Hooks | None = None,
    name: str = "",
    first_number: int = 0,
) -> Fitted:
    """Train a network from every start and keep the best.

    Parameters
    ----------
    settings : Settings
    problem : Problem
    starts : sequence of Start or RandomState
        Trained side by side on the threads that settings allow. From a random state, as many are drawn as settings ask for.
    network : Network or None
        The layout of the network; None makes it from the settings.
    resumed : Resumed or None
        What the only start continues with.
    test : Samples or None
        Rows whose outputs the run gets at its end, if its solver can compute them on the way.
    scratch : Scratch or None
        With a scratch, starts are trained one after the other on n_threads.
    n_threads : int or None
    prepare : callable or None
        Transforms the problem after the validation rows are held out.
    keeps_all : bool
        Keep the runs of all starts, not only the best.
    hooks : Hooks or None
        Called during training.
    name : str
        The beginning of the verbose lines of a single start, for one of several networks.
    first_number : int
        Number of the first start for the hooks.

    Returns
    -------
    Fitted

    Raises
    ------
    ValueError
        The rows cannot be split, or `init` has other layers. The error of a start that diverged is in its run instead.
    """
    if network is None:
        network = network_for(settings, problem.n_features, problem.n_outputs, problem.dtype)
    if isinstance(starts, np.random.RandomState):
        starts = drawn_starts(network, settings, starts, problem.dtype)
    _demand_rows_for(network, "", problem)
    if problem.held_out is not None:
        _demand_rows_for(network, "X_val: ", problem.held_out)
    deadline = time.monotonic() + settings.max_time
    # scikit-learn draws weights before it splits; weights that are fitted to rows have to wait until these are scaled
    waits = prepare is not None and isinstance(settings.init, str) and INITIALISATIONS[settings.init].fits_rows
    seen = problem  # the one that starts get

    def begin(number: int) -> Run:
        start = starts[number]
        said = f"Start {number + 1} of {len(starts)}" if len(starts) > 1 else name
        known = {"number": first_number + number, "name": said, "test": test, "deadline": deadline, "hooks": hooks}
        run = Run(start.weights(seen), start.random_state, **known)
        run.is_drawn = resumed is None and isinstance(settings.init, str)
        if resumed is not None:
            run.history, run.optimizer, run.order = resumed
        return run

    first = None if waits else begin(0)
    if settings.early_stopping and problem.held_out is None:
        problem = problem.split(settings.validation_fraction, starts[0].random_state)
    _check_weights(problem, settings)
    if problem.is_sparse and settings.dropout and settings.dropout[0]:
        raise ValueError(
            "Dropout of the inputs (the first rate in `dropout`) does not go with a sparse X: set it to 0, or make X dense."
        )
    if prepare is not None:
        problem = prepare(problem)
    if isinstance(settings.loss, CustomLoss):
        settings.loss.check(problem.Y, settings.output_activation)
        custom.prepare(settings.loss, problem.dtype)
    if not SOLVERS[settings.solver].is_by_batches:
        problem = problem.with_noise(0 if resumed is None else resumed.history.n_epochs)
    if first is None:
        seen = problem
        first = begin(0)
    if SOLVERS[settings.solver].is_by_batches and settings.batch_size != "auto" and settings.batch_size > problem.n_rows:
        warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=5)
    n_workers = 1
    if scratch is None:
        n_threads = settings.n_threads
        if len(starts) > 1:
            n_allowed = allowed_threads(n_threads)
            n_workers = min(len(starts), n_allowed)
            n_threads = n_allowed // n_workers
    scratches = [scratch or borrow_scratch() for _ in range(n_workers)]
    train = trainer_of(settings.solver)
    best: Run | None = None
    losses = np.array([np.nan] * len(starts))
    runs: dict[int, Run] = {}
    lock = threading.Lock()
    is_halted, n_late = False, 0

    def train_start(number: int, scratch: Scratch) -> None:
        nonlocal best, is_halted, n_late
        if number and is_halted:
            return
        if number and time.monotonic() >= deadline:
            with lock:
                n_late += 1
            return
        run = begin(number) if number else first
        try:
            if hooks is not None:
                hooks.begin_start(run)
            run.outcome = train(run, network, problem, settings, n_threads=n_threads, scratch=scratch)
        except ValueError as error:
            if run.is_refused:
                raise
            run.error, run.outcome = error, Outcome(DIVERGED)
        except KeyboardInterrupt:
            run.outcome = Outcome(INTERRUPTED)
        if run.error is None:
            losses[number] = run.history.loss
        if run.outcome.status == DIVERGED:
            scratch.forget()  # its padding may hold NaN
        with lock:  # only the best run is kept, unless all are wanted
            if keeps_all and run.error is None and run.history.n_iter:
                runs[number] = run
            if best is None or run.quality(settings.early_stopping) > best.quality(settings.early_stopping):
                best = run
        if run.outcome.status == INTERRUPTED:
            raise KeyboardInterrupt
        if hooks is not None:
            is_halted |= hooks.end_start(run)

    is_interrupted = run_pool(train_start, range(len(starts)), scratches)
    if scratch is None and not is_interrupted:
        return_scratch(scratches[0])
    best = best or first
    if best.outcome.status == DIVERGED and (best.error is None or isinstance(best.error, DivergenceError)):
        explain_divergence(best, problem, settings, network.coded.size - 1)
    if n_late:
        complaint = (
            f"{best.outcome.complaint} {n_late} of {len(starts)} starts were not trained as max_time={settings.max_time:g}"
        )
        best.outcome = best.outcome._replace(complaint=f"{complaint} seconds were over.".lstrip())
    return Fitted(network, problem, best, losses, is_interrupted, tuple(runs[number] for number in sorted(runs)))
