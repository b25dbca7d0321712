"""One training run: what the estimators ask of the kernels."""

import math
from dataclasses import dataclass, field

import numpy as np

from fastbp.kernels import epochs
from fastbp.kernels.scores import SCORES
from fastbp.training.problem import make_samples
from fastbp.training.random_state import close_twister, open_twister
from fastbp.training.threads import run_team, team_size
from fastbp.training.workspace import Scratch, flops_per_row, make_strips, make_workspace, slabs_of

EPOCHS_PER_CALL = 1000
UPDATE_WORK = 12  # floating-point operations of a step per parameter, roughly
BACKUP_STEPS = 16  # at most so many steps, or one epoch, are lost with the weights when these become NaN


@dataclass
class History:
    """What is recorded of a run; the estimators' attributes of the same names come from here."""

    loss: float = math.nan
    loss_curve: list = field(default_factory=list)
    best_loss: float = math.inf
    validation_scores: list = field(default_factory=list)
    best_validation_score: float = -math.inf
    best_params: np.ndarray | None = None
    test_outputs: np.ndarray | None = None
    n_iter: int = 0
    t: int = 0
    no_improvement_count: int = 0


class DivergenceError(ValueError):
    """Training produced a loss or weights that are NaN or infinite; the last finite weights were kept."""


def train_stochastic(
    network,
    params,
    optimizer,
    history,
    X,
    Y,
    sample_weight=None,
    *,
    validation=None,
    score="accuracy",
    alpha,
    batch_size,
    learning_rate,
    power_t,
    tol,
    n_iter_no_change,
    max_iter,
    shuffle,
    random_state,
    rows=None,
    samples=None,
    test=None,
    report=None,
    report_every=0,
    n_threads=None,
    scratch=None,
):
    """Train for up to max_iter epochs in compiled code; params, optimizer and history change in place.

    Parameters
    ----------
    network : Network
    params : ndarray of shape (n_parameters,)
    optimizer : Optimizer
    history : History
    X, Y, sample_weight : see `make_samples`
    validation : (X, Y, sample_weight) or None
        Rows whose score decides when to stop; the weights with the best score are restored at the end.
    score : {"accuracy", "r2"}
    alpha, batch_size, learning_rate, power_t, tol, n_iter_no_change, max_iter, shuffle : as the estimators'
    random_state : numpy.random.RandomState or Twister
        Source of the shuffles; a RandomState is left where scikit-learn would leave it.
    rows : ndarray of int64 or None
        The rows of X to train on, in this order, without a copy of them; all by default.
    samples : Samples or None
        What `make_samples` has made of X, Y and sample_weight, if it has.
    test : Samples or None
        Rows whose outputs the history gets at the end; there is no validation then.
    report : callable or None
        Called with the history after every `report_every` epochs.
    n_threads : int or None
    scratch : Scratch or None

    Returns
    -------
    outcome : {"converged", "max_iter", "interrupted", "diverged"}
        "diverged" only with a validation set, whose best weights are then restored.

    Raises
    ------
    DivergenceError
        The loss or a weight became NaN or infinite.
    """
    scratch = scratch or Scratch()
    samples = samples or make_samples(X, Y, sample_weight)
    n_rows, dtype, is_sparse = samples.table.n_rows if rows is None else len(rows), params.dtype, samples.table.is_sparse
    is_online = batch_size == 1 and not optimizer.is_adam and not is_sparse
    batch_size = min(batch_size, n_rows)
    is_full_batch = batch_size == n_rows
    gather = rows is not None or bool(shuffle and not is_full_batch)
    n_batches = -(-n_rows // batch_size)

    def make_team():
        row_work, update_work = flops_per_row(network), UPDATE_WORK * network.n_parameters
        epoch_work = row_work * n_rows + update_work * n_batches
        size = 1 if is_online else team_size(n_threads, row_work * batch_size + update_work, max_iter * epoch_work)
        return size, epoch_work, make_strips(network, size, is_sparse)

    size, epoch_work, strips = scratch.get(
        network, dtype, ("team", n_threads, batch_size, n_rows, max_iter, is_online, is_sparse), make_team
    )
    gathered = samples if gather else None
    workspace = scratch.get(
        network,
        dtype,
        ("training", batch_size, size, gather, is_sparse, samples.weights.size > 0),
        lambda: make_workspace(
            network,
            dtype,
            batch_size,
            n_strips=len(strips.layers),
            n_threads=size,
            gathered=gathered,
            n_slabs=slabs_of(network, batch_size, is_sparse),
        ),
    )
    validate, held_out, best_params, outputs = epochs.NEVER, samples, params[:0], params[:0]
    if validation is not None:
        validate, held_out = epochs.EVERY_EPOCH, make_samples(*validation)
        best_params = params.copy() if history.best_params is None else history.best_params.astype(dtype)
    elif test is not None:
        validate, held_out = epochs.AT_END, test
    if validate:
        outputs = np.empty(held_out.table.n_rows * int(network.units[-1]), dtype=dtype)
    opened = open_twister(random_state)
    is_twister = opened is not None
    key, position = opened if is_twister else (np.zeros(1, np.uint32), np.zeros(1, np.int64))
    order = np.arange(n_rows if shuffle else 0) if rows is None else np.array(rows, dtype=np.int64)
    plan = epochs.Plan(
        batch_size=batch_size,
        shuffle=epochs.IN_ORDER if not (shuffle and is_twister) else epochs.ONLY_DRAWN if is_full_batch else epochs.SHUFFLED,
        gather=int(gather),
        online=int(is_online),
        schedule=epochs.SCHEDULES[learning_rate],
        learning_rate_init=optimizer.learning_rate_init,
        power_t=float(power_t),
        tol=float(tol),
        n_iter_no_change=float(n_iter_no_change),
        backup_every=-(-BACKUP_STEPS // n_batches),
        validate=validate,
        score=SCORES[score],
    )
    counts = np.array([history.n_iter, history.t, history.no_improvement_count, optimizer.n_steps, epochs.RUNNING])
    measures = np.array([optimizer.learning_rate, history.best_loss, history.best_validation_score], dtype=np.float64)
    backup = params.copy()
    rule = optimizer.rule(alpha)
    finished = True
    start = history.n_iter
    while counts[epochs.STATUS] == epochs.RUNNING and counts[epochs.N_ITER] - start < max_iter and finished:
        done = int(counts[epochs.N_ITER])
        n_epochs = min(max_iter - (done - start), report_every if report and report_every else EPOCHS_PER_CALL)
        if shuffle and not is_twister:
            n_epochs = 1
            random_state.shuffle(order.copy() if is_full_batch else order)
        losses, scores = np.zeros(n_epochs), np.zeros(n_epochs)
        arguments = (
            network, params, best_params, backup, optimizer.moment_1, optimizer.moment_2, samples, held_out, outputs, order,
            key, position,
            plan, rule, workspace, strips, counts, measures, losses, scores,
        )  # fmt: skip
        try:
            finished = run_team(epochs.train, size, arguments, n_epochs * epoch_work, scratch.sync)
        except KeyboardInterrupt:
            finished = False
        n_done = int(counts[epochs.N_ITER]) - done
        history.loss_curve.extend(losses[:n_done].tolist())
        if n_done:
            history.loss = float(losses[n_done - 1])
        if validation is not None:
            history.validation_scores.extend(scores[:n_done].tolist())
        history.n_iter, history.t, history.no_improvement_count, optimizer.n_steps = counts[: epochs.STATUS].tolist()
        optimizer.learning_rate, history.best_loss, history.best_validation_score = measures.tolist()
        if report and report_every and n_done == n_epochs:
            try:
                report(history)
            except KeyboardInterrupt:
                finished = False
    if shuffle and is_twister:
        close_twister(random_state, key, position)
    is_diverged = counts[epochs.STATUS] == epochs.DIVERGED or np.count_nonzero(np.isfinite(params)) < params.size
    if validate == epochs.AT_END:
        history.test_outputs = outputs.reshape(held_out.table.n_rows, -1)
    if validation is not None:
        params[:] = best_params
        history.best_params = best_params
    if is_diverged:
        if validation is not None and history.validation_scores:
            return "diverged"
        if not np.isfinite(params).all():
            params[:] = backup
        raise DivergenceError(
            "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed. "
            f"The loss became NaN or infinite in epoch {history.n_iter + (counts[epochs.STATUS] == epochs.DIVERGED)}: scale X "
            f"(StandardScaler) or lower learning_rate_init from {optimizer.learning_rate_init:g}. The last finite weights are"
            " kept."
        )
    if not finished or counts[epochs.STATUS] == epochs.INTERRUPTED:
        return "interrupted"
    return "converged" if counts[epochs.STATUS] == epochs.STOPPED else "max_iter"
