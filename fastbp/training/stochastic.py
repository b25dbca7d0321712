"""Training batch by batch and epoch by epoch, for every step rule."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.kernels import epochs
from fastbp.kernels.dropout import Dropout
from fastbp.names import CONSTANT, SCHEDULES, SCORES
from fastbp.training.between import Between
from fastbp.training.monotone import parameter_signs
from fastbp.training.network import dropped_network
from fastbp.training.optimizer import Optimizer
from fastbp.training.outcome import CONVERGED, DIVERGED, INTERRUPTED, MAX_ITER, DivergenceError, Outcome, Run, outcome_of
from fastbp.training.problem import Problem, make_table
from fastbp.training.random_state import close_twister, drawn_seed, open_twister
from fastbp.training.row_space import space_of
from fastbp.training.schedules import MOST_FACTORS, NONE_MOVES, factors_of, warmup_of
from fastbp.training.settings import Settings
from fastbp.training.threads import run_team, team_size
from fastbp.training.workspace import UPDATE_WORK, Scratch, exchange_work, flops_per_row, make_strips, make_workspace, slabs_of

_NOTHING_DROPPED = Dropout(0, np.empty(0), np.empty(0, np.int64), 0, 0, 1.0)
_NOTHING_MOVES = epochs.Factors(NONE_MOVES, NONE_MOVES, NONE_MOVES)
BACKUP_ROWS = 32  # rows per backup of the weights: copying them then takes about a hundredth of the time


def train(run: Run, network: Any, problem: Problem, settings: Settings, *, n_threads: int | None, scratch: Scratch) -> Outcome:
    """Train for up to max_iter epochs.

    Raises
    ------
    DivergenceError
        The loss or a weight became NaN or infinite, and there are no best weights of early stopping to keep.
    """
    space = None
    if run.optimizer is None:
        # a user's scoring function is given weights for X
        is_free = isinstance(settings.score, str) and run.history.best_params is None and problem.noise is None
        if is_free and settings.is_plain and not (settings.dropout and settings.dropout[0]):
            space = space_of(problem, settings, int(network.units[1]), n_threads)
        run.optimizer = Optimizer(network, run.params.dtype, settings)
    train_epochs = _train_epochs if space is None else functools.partial(space.train, train=_train_epochs)
    status = train_epochs(run, network, problem, settings, n_threads=n_threads, scratch=scratch)
    complaint = ""
    if status == MAX_ITER:
        complaint = (
            f"Stochastic Optimizer: Maximum iterations ({settings.max_iter}) reached and the optimization hasn't converged yet."
        )
        if settings.early_stopping and run.history.is_last_best:
            complaint += " The last epoch has the best validation score: raise max_iter."
    return outcome_of(status, run, settings, complaint)


def _train_epochs(
    run: Run, network: Any, problem: Problem, settings: Settings, *, n_threads: int | None, scratch: Scratch
) -> str:
    """Run the compiled loop to its end, and return how it ended."""
    loop = _Loop(run, network, problem, settings, n_threads, scratch)
    between = Between(run, settings, loop.shown, problem.held_out is not None)
    left = settings.max_iter
    while loop.is_running and left > 0 and not between.ended:
        try:
            n_epochs = loop.allowed(between.begin(left))
            n_done = loop.advance(n_epochs)
            left -= n_done
            between.end(n_done, n_done == n_epochs)
        except KeyboardInterrupt:
            loop.is_interrupted = True
        except Exception:  # raised by a function of the user's
            run.is_refused = True
            try:
                loop.finish()
            finally:
                between.close(False)
            raise
    status = ""
    try:
        status = loop.finish()
    finally:  # also after a divergence
        between.tell()
        between.close(status == CONVERGED)
    return between.ended if between.ended and status == MAX_ITER and left > 0 else status


def _is_simple(settings: Settings) -> bool:
    """Whether each step is the solver's rule alone, at the same rate within an epoch."""
    return settings.is_plain and not (settings.moves_with_steps or settings.is_shaped or settings.dropout)


class _Loop:
    """The arguments of the compiled loop; `advance` calls it and notes the results in the run's history."""

    def __init__(
        self, run: Run, network: Any, problem: Problem, settings: Settings, n_threads: int | None, scratch: Scratch
    ) -> None:
        self.run, self.problem, self.settings, self.scratch = run, problem, settings, scratch
        self.is_interrupted = False
        history, optimizer, samples, dtype = run.history, run.optimizer, problem.samples, problem.dtype
        self._noisy = None if problem.noise is None else np.empty_like(problem.X, order="C")
        if self._noisy is not None:
            samples = samples._replace(table=make_table(self._noisy))
        solver = optimizer.solver
        n_rows, max_iter, is_sparse = problem.n_rows, settings.max_iter, problem.is_sparse
        batch_size = settings.rows_per_step(n_rows)
        is_online = batch_size == 1 and solver.is_per_sample and not is_sparse and _is_simple(settings)
        is_full_batch = batch_size == n_rows
        drops_inputs = bool(settings.dropout and settings.dropout[0])  # in copies of the rows
        gather = problem.row_indices is not None or bool(settings.shuffle and not is_full_batch) or drops_inputs
        self._n_batches = n_batches = -(-n_rows // batch_size)
        dropout, self._network = self._begin_dropout(network), network
        if settings.dropout:
            network = dropped_network(network, settings.dropout)

        def make_team() -> tuple[int, float, Any]:
            row_work, update_work = flops_per_row(network), UPDATE_WORK * network.n_parameters
            epoch_work = row_work * n_rows + update_work * n_batches
            size = 1
            if not is_online:
                exchange = functools.partial(exchange_work, network, batch_size, is_sparse)
                size = team_size(n_threads, row_work * batch_size + update_work, max_iter * epoch_work, exchange)
            return size, epoch_work, make_strips(network, size, is_sparse, settings.rate_factors)

        key = ("team", n_threads, batch_size, n_rows, max_iter, is_online, is_sparse, settings.rate_factors)
        self.size, self.epoch_work, strips = scratch.get(network, dtype, key, make_team)
        workspace = scratch.get(
            network,
            dtype,
            ("training", batch_size, self.size, gather, is_sparse, samples.n_targets, samples.weights.size > 0),
            lambda: make_workspace(
                network, dtype, batch_size, strips=strips, n_threads=self.size, gathered=samples if gather else None,
                n_slabs=slabs_of(network, batch_size, is_sparse),
            ),
        )  # fmt: skip
        if settings.monotonic:
            workspace = workspace._replace(signs=parameter_signs(network, settings.monotonic, dtype))
        self._choose_held_out(network, samples)
        opened = open_twister(run.random_state)
        self._is_twister = opened is not None
        self._key, self._position = opened or (np.zeros(1, np.uint32), np.zeros(1, np.int64))
        if run.order is not None:
            self._order = run.order
        elif problem.row_indices is None:
            self._order = np.arange(n_rows if settings.shuffle or gather else 0)
        else:
            self._order = np.array(problem.row_indices, dtype=np.int64)
        self._draws = epochs.ONLY_DRAWN if is_full_batch else epochs.SHUFFLED
        has_name = not callable(settings.learning_rate)
        average = optimizer.begin_average(run.params, settings)
        self._shown = average if average.size else run.params
        self._plan = epochs.EpochPlan(
            batch_size=batch_size,
            shuffle=self._draws if settings.shuffle and self._is_twister else epochs.IN_ORDER,
            gather=int(gather),
            online=int(is_online),
            schedule=SCHEDULES[settings.learning_rate].code if solver.has_schedule and has_name else CONSTANT,
            learning_rate_init=optimizer.learning_rate_init,
            power_t=float(settings.power_t),
            tol=float(settings.tol),
            n_iter_no_change=float(settings.n_iter_no_change),
            backup_every=-(-BACKUP_ROWS // n_rows),
            has_signed_weights=int(samples.weights.size > 0 and samples.weights.min() < 0),
            validate=self._validate,
            score=SCORES[settings.score if isinstance(settings.score, str) else "loss"],
            averaged_from=optimizer.averaged_from,
        )
        self._counts = np.array([history.n_iter, history.t, history.no_improvement_count, optimizer.n_steps, epochs.RUNNING])
        self._measures = np.array([optimizer.learning_rate, history.best_loss, history.best_validation_score], dtype=np.float64)
        self._backup = run.params.copy()
        self._moves = settings.moves_with_steps or callable(settings.learning_rate)
        self._before = (
            network, run.params, self._best_params, self._backup, *optimizer.moments, samples, self._held_out, self._outputs,
            self._order, self._key, self._position, self._plan, optimizer.rule(settings), workspace, strips, average, dropout,
        )  # fmt: skip
        self._n_layers = len(network.units) - 1

    def _begin_dropout(self, network: Any) -> Dropout:
        """Return what the kernels drop. Dropout draws only its seed from the random state, once."""
        rates, run = self.settings.dropout, self.run
        if not rates:
            return _NOTHING_DROPPED
        if run.optimizer.dropout_seed == 0:
            run.random_state, run.optimizer.dropout_seed = drawn_seed(run.random_state)
        return Dropout(1, np.array(rates, dtype=np.float64), network.slopes, run.optimizer.dropout_seed, 0, 1.0)

    def _choose_held_out(self, network: Any, samples: Any) -> None:
        """Choose the rows that the loop predicts: validation rows after each epoch, or test rows at the end."""
        run, held_out = self.run, self.problem.held_out
        self._validate, self._held_out, self._score = epochs.NEVER, samples, None
        self._best_params = self._outputs = run.params[:0]
        if held_out is not None and not self.settings.early_stopping:
            self._validate, self._held_out = epochs.WATCHED, held_out.samples
        elif held_out is not None:
            self._validate, self._held_out = epochs.EVERY_EPOCH, held_out.samples
            if not isinstance(self.settings.score, str):
                self._validate, self._score = epochs.BY_CALLER, self.settings.score
            best_params = run.history.best_params
            self._best_params = run.params.copy() if best_params is None else best_params
        elif run.test is not None:
            self._validate, self._held_out = epochs.AT_END, run.test
        if self._validate != epochs.NEVER:
            self._outputs = np.empty(self._held_out.table.n_rows * int(network.units[-1]), dtype=run.params.dtype)

    @property
    def _has_best(self) -> bool:
        """Whether the weights with the best validation score are kept."""
        return self._validate in (epochs.EVERY_EPOCH, epochs.BY_CALLER)

    @property
    def is_running(self) -> bool:
        """Whether no stopping test, Ctrl-C or divergence has ended the loop."""
        return not self.is_interrupted and self._counts[epochs.STATUS] == epochs.RUNNING

    def allowed(self, n_epochs: int) -> int:
        """Return how many of n_epochs one call may train."""
        if self._moves:
            n_epochs = max(1, min(n_epochs, MOST_FACTORS // self._n_batches))
        is_drawn_here = self.settings.shuffle and not self._is_twister  # by a generator that no kernel implements
        is_one = is_drawn_here or self._score is not None or self._noisy is not None
        return 1 if is_one else n_epochs

    def advance(self, n_epochs: int) -> int:
        """Train for n_epochs, at most as many as `allowed` returns; return how many were done."""
        if self.settings.shuffle and not self._is_twister:
            self.run.random_state.shuffle(self._order.copy() if self._draws == epochs.ONLY_DRAWN else self._order)
        if self._noisy is not None:
            self.problem.noise.added(self.problem.X, self.run.history.n_epochs, out=self._noisy)  # type: ignore[union-attr]
        losses, scores, validation_losses = np.zeros(n_epochs), np.zeros(n_epochs), np.zeros(n_epochs)
        norms = np.zeros(n_epochs * self._n_layers * self.settings.record_gradient_norms)
        factors = self._factors(n_epochs) if self._moves else _NOTHING_MOVES
        arguments = *self._before, self._counts, self._measures, factors, norms, losses, scores, validation_losses
        try:
            self.is_interrupted = not run_team(epochs.train, self.size, arguments, n_epochs * self.epoch_work, self.scratch.sync)
            if self._score is not None and not self.is_interrupted:
                self._end_epoch(self._score, losses, scores)
        except KeyboardInterrupt:
            self.is_interrupted = True
        history, optimizer = self.run.history, self.run.optimizer
        before = history.n_iter
        history.n_iter, history.t, history.no_improvement_count, optimizer.n_steps, _ = self._counts.tolist()
        optimizer.learning_rate, history.best_loss, history.best_validation_score = self._measures.tolist()
        n_done = history.n_iter - before
        optimizer.n_epochs += n_done
        history.loss_curve.extend(losses[:n_done].tolist())
        if n_done:
            history.loss = history.loss_curve[-1]
        if self.settings.record_gradient_norms:
            history.gradient_norms.extend(norms.reshape(-1, self._n_layers)[:n_done].tolist())
        if self._has_best or self._validate == epochs.WATCHED:
            history.validation_scores.extend(scores[:n_done].tolist())
            history.validation_loss_curve.extend(validation_losses[:n_done].tolist())
        return n_done

    def _end_epoch(self, score: Callable[..., float], losses: np.ndarray, scores: np.ndarray) -> None:
        """Score an epoch by the user's function, and end it."""
        status = self._counts[epochs.STATUS]
        if status not in (epochs.RUNNING, epochs.WEIGHTS_LOST):
            return
        shown = self._shown
        scores[0] = np.nan if status == epochs.WEIGHTS_LOST else score(self._network, shown, self.problem.held_out)
        epochs.end_epoch(
            self._plan, self._counts, self._measures, losses[0], scores[0], shown, self._best_params, self.problem.n_rows
        )

    def _factors(self, n_epochs: int) -> epochs.Factors:
        """Return the factors on learning rate, weight decay and dropout for each batch of the next n_epochs."""
        settings, optimizer, n_batches = self.settings, self.run.optimizer, self._n_batches
        span = optimizer.n_epochs, n_epochs, n_batches, settings.scheduled_epochs
        warmup = warmup_of(settings.warmup_steps, optimizer.n_steps, n_epochs * n_batches)
        return epochs.Factors(
            rate=factors_of(settings.learning_rate, *span, warmup),
            weight_decay=factors_of(settings.decay_schedule, *span),
            dropout=factors_of(settings.dropout_schedule, *span),
        )

    def shown(self) -> np.ndarray:
        """Return a copy of the weights that would be kept if training ended now."""
        params = self._best_params if self._validate == epochs.EVERY_EPOCH else self.run.params
        if self.run.optimizer.averaged and self._validate != epochs.EVERY_EPOCH:
            params = self.run.optimizer.averaged[0]
        return params.copy()

    def finish(self) -> str:
        """Put the random state and the weights to keep into the run, and return how it ended."""
        run, history, status = self.run, self.run.history, self._counts[epochs.STATUS]
        params = run.params
        if self.settings.shuffle and self._is_twister:
            close_twister(run.random_state, self._key, self._position)
        is_diverged = status == epochs.LOSS_LOST or not np.isfinite(params).all()
        if self._validate == epochs.AT_END:
            run.test_outputs = self._outputs.reshape(self._held_out.table.n_rows, -1)
        if not is_diverged:
            self.run.optimizer.end_average(params)
        run.order, run.left = self._order, params
        if self._has_best:
            run.left = params.copy()
            params[:] = self._best_params
            history.best_params = self._best_params
        if status == epochs.WEIGHTLESS:
            run.is_refused = True
            raise ValueError(
                f"The sample weights of a batch sum to zero in epoch {history.n_epochs + 1}, so its mean loss does not"
                " exist: take a larger batch_size, or weights that are not negative."
            )
        if is_diverged:
            if self._has_best and history.validation_scores:
                return DIVERGED
            if not np.isfinite(params).all():
                params[:] = self._backup
            is_loss, n_done = status == epochs.LOSS_LOST, history.n_epochs
            what, epoch = ("loss", n_done + 1) if is_loss else ("weights", n_done)
            raise DivergenceError(f"The {what} became NaN or infinite in epoch {epoch}.")
        if self.is_interrupted or status == epochs.INTERRUPTED:
            return INTERRUPTED
        return CONVERGED if status == epochs.STOPPED else MAX_ITER
