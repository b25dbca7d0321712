"""A whole fit in compiled code: shuffle, batches, epochs, stopping test."""

import math
from typing import NamedTuple

import numpy as np

from ..names import ADAPTIVE, CONSTANT, EXPONENTIAL, INVSCALING, NEGATIVE_LOSS, NO_AVERAGE, POLYAK
from . import needs
from .atomics import STOP, atomic_load, barrier, is_stopped
from .compiler import entry, jit, part
from .dropout import Dropout, dropped_in
from .layout import InputTable, Network, Samples, Strips, Workspace
from .online import online_epoch
from .passes import CACHED_ROWS, batch_step, forward, share
from .scores import mean_loss, score
from .shuffling import shuffle
from .steps import refresh_own_copies, total
from .toolchain.pack import Doubles, Integers, Reals, Words, kept
from .updates import StepRule, make_step
from .vectors import (
    at_least_1,
    broadcast,
    keep_first,
    lane_count,
    lane_max,
    lane_numbers,
    lane_sum,
    load,
    store,
    where_equal,
    where_less,
)

IN_ORDER, SHUFFLED, ONLY_DRAWN = range(3)

# When to predict the validation rows: after every epoch, so that their score decides (EVERY_EPOCH), only to record it (WATCHED),
# or for the caller, who scores them and calls `end_epoch`; or only at the end.
NEVER, EVERY_EPOCH, AT_END, WATCHED, BY_CALLER = range(5)

# Why a run ended: a stopping test, a loss or weights that are not finite, Ctrl-C, weights of a batch's samples that sum to zero.
RUNNING, STOPPED, LOSS_LOST, WEIGHTS_LOST, INTERRUPTED, WEIGHTLESS = range(6)

# Elements of a run's `counts` (int64) and `measures` (float64), which are kept between calls.
N_ITER, SAMPLES_SEEN, NO_IMPROVEMENT, STEPS, STATUS = range(5)
LEARNING_RATE, BEST_LOSS, BEST_SCORE = range(3)


class EpochPlan(NamedTuple):
    """How a run goes from batch to batch and epoch to epoch."""

    batch_size: int
    shuffle: int  # code; only the draws are made where the order makes no difference, as in a batch of all rows
    gather: int  # 1: rows are read through `order`
    online: int  # 1: batches of one sample go through online.py
    schedule: int
    learning_rate_init: float
    power_t: float
    tol: float
    n_iter_no_change: float  # epochs; infinity never stops
    backup_every: int  # epochs between two copies of the weights, to return to if weights are lost
    has_signed_weights: int  # 1: some samples' weights are negative, so that a batch's may sum to zero
    validate: int  # code
    score: int
    averaged_from: int  # the step before the first whose weights are averaged


@kept
class Factors(NamedTuple):
    """Factors of schedules that change with every step: one per batch of a call's epochs; (0,) if nothing changes."""

    rate: Doubles
    weight_decay: Doubles
    dropout: Doubles


@part
def predict_rows(
    sync: Integers,
    network: Network,
    params: Reals,
    table: InputTable,
    order: Integers,
    workspace: Workspace,
    thread: int,
    n_threads: int,
    outputs: Reals,
    first: int,
    stop: int,
    only_largest: int,
) -> None:
    """Write the outputs for rows first to stop of the table to outputs: (n_rows, n_outputs), in this thread's part of the
    workspace; with only_largest the number of the largest one to outputs: (n_rows,). It returns early when told to stop."""
    at = share(workspace.block_rows, thread, n_threads)
    size = max(1, min(CACHED_ROWS, share(workspace.block_rows, thread + 1, n_threads) - at))
    n_outputs, width = network.units[-1], network.widths[-1]
    for row in range(first, stop, at_least_1(size)):
        if is_stopped(sync):
            return
        end = at + min(size, stop - row)
        forward(network, params, table, order, row - at, 0, workspace, at, end, 0)
        source = workspace.block_rows * network.first_units[-1]
        for i in range(at, end):
            if only_largest:
                outputs[row - at + i] = _largest(workspace.activations, source + i * width, n_outputs)
            else:
                for j in range(n_outputs):
                    outputs[(row - at + i) * n_outputs + j] = workspace.activations[source + i * width + j]


@jit
def _largest(values, first, n):
    """Number of the first largest of n values, which are in whole vectors; 0 if all are NaN."""
    n_lanes = lane_count(values)
    lowest = broadcast(values, -np.inf)
    largest = lowest
    for j in range(0, n, n_lanes):
        x = keep_first(load(values, first + j), n - j, -np.inf)
        largest = where_less(largest, x, x, largest)
    largest = broadcast(values, lane_max(largest))
    backwards = lowest  # minus the numbers of the largest
    for j in range(0, n, n_lanes):
        x = keep_first(load(values, first + j), n - j, -np.inf)
        number = where_equal(x, largest, 0.0 - (lane_numbers(values) + j), lowest)
        backwards = where_less(backwards, number, number, backwards)
    found = -lane_max(backwards)
    return found if found < n else 0


@entry(parts=needs.predict)
def predict(
    sync: Integers,
    network: Network,
    params: Reals,
    table: InputTable,
    order: Integers,
    workspace: Workspace,
    outputs: Reals,
    first: int,
    stop: int,
    only_largest: int,
):
    """Predict rows first to stop of a table; outputs, only_largest: as in `predict_rows`; order: (0,), unused."""
    predict_rows(sync, network, params, table, order, workspace, 0, 1, outputs, first, stop, only_largest)


@jit
def _end_of_epoch(plan, counts, measures, loss, validation_score, params, best_params, n_rows):
    """Count the epoch, test for the end of the run, change the learning rate: scikit-learn's rules in scikit-learn's order."""
    counts[N_ITER] += 1
    counts[SAMPLES_SEEN] += n_rows
    if plan.validate == EVERY_EPOCH or plan.validate == BY_CALLER:
        improved = not validation_score < measures[BEST_SCORE] + plan.tol
        if validation_score > measures[BEST_SCORE]:
            measures[BEST_SCORE] = validation_score
            _copy(params, best_params)
    else:
        improved = not loss > measures[BEST_LOSS] - plan.tol
        if loss < measures[BEST_LOSS]:
            measures[BEST_LOSS] = loss
    counts[NO_IMPROVEMENT] = 0 if improved else counts[NO_IMPROVEMENT] + 1
    if plan.schedule == INVSCALING:
        measures[LEARNING_RATE] = plan.learning_rate_init / (counts[SAMPLES_SEEN] + 1.0) ** plan.power_t
    if counts[NO_IMPROVEMENT] > plan.n_iter_no_change:
        if plan.schedule == ADAPTIVE and measures[LEARNING_RATE] > 1e-6:
            measures[LEARNING_RATE] /= 5.0
            counts[NO_IMPROVEMENT] = 0
        else:
            counts[STATUS] = STOPPED


@jit
def _scores_of(network, code, outputs, samples, row_losses):
    """Mean loss of rows with these outputs, and their score: minus the loss, or by the code."""
    loss = mean_loss(network, outputs, samples, row_losses)
    if code == NEGATIVE_LOSS:
        return loss, -loss
    return loss, score(code, outputs, network.units[-1], samples, network.groups)


@entry(parts=needs.score_rows)
def score_rows(network: Network, code: int, outputs: Reals, samples: Samples, row_losses: Doubles, result: Doubles):
    """Write mean loss and score of rows with these outputs, (n_rows, n_outputs), to result: (2,); row_losses: any size."""
    result[0], result[1] = _scores_of(network, code, outputs, samples, row_losses)


@entry
def end_epoch(
    plan: EpochPlan,
    counts: Integers,
    measures: Doubles,
    loss: float,
    validation_score: float,
    params: Reals,
    best_params: Reals,
    n_rows: int,
):
    """End an epoch with the caller's score."""
    _end_of_epoch(plan, counts, measures, loss, validation_score, params, best_params, n_rows)


@jit
def _keep_if_finite(params, backup):
    """Copy the parameters to the backup unless one is NaN or infinite; returns whether none is."""
    n_lanes = lane_count(params)
    lost = broadcast(params, 0.0)
    for i in range(0, params.size, n_lanes):
        x = load(params, i)
        lost = lost + (x - x)  # NaN if x is not finite, otherwise zero
    if not math.isfinite(lane_sum(lost)):
        return False
    _copy(params, backup)
    return True


@jit
def _copy(source, target):
    """target[:] = source, whole vectors."""
    for i in range(0, source.size, lane_count(source)):
        store(target, i, load(source, i))


@jit
def add_norms(strips, strip_squares, norms, first):
    """Add the root of each layer's sum of strip_squares, (n_strips,), to norms from `first` on."""
    layer, squares = 0, 0.0
    for strip in range(strips.layers.size):
        if strips.layers[strip] < 0:  # the strips of the front are the last
            break
        if strips.layers[strip] != layer:
            norms[first + layer] += math.sqrt(squares)
            layer, squares = strips.layers[strip], 0.0
        squares += strip_squares[strip]
    norms[first + layer] += math.sqrt(squares)


@jit
def _predict_part(sync, network, params, table, order, workspace, thread, n_threads, outputs):
    """This thread's part of the outputs for all rows of a table."""
    first, stop = table.n_rows * thread // n_threads, table.n_rows * (thread + 1) // n_threads
    predict_rows(sync, network, params, table, order, workspace, thread, n_threads, outputs, first, stop, 0)


@entry(parts=needs.train)
def train(
    thread: int,
    n_threads: int,
    sync: Integers,
    network: Network,
    params: Reals,
    best_params: Reals,
    backup: Reals,
    moment_1: Reals,
    moment_2: Reals,
    samples: Samples,
    validation: Samples,
    validation_outputs: Reals,
    order: Integers,
    key: Words,
    position: Integers,
    plan: EpochPlan,
    rule: StepRule,
    workspace: Workspace,
    strips: Strips,
    average: Reals,
    dropout: Dropout,
    counts: Integers,
    measures: Doubles,
    factors: Factors,
    norms: Doubles,
    losses: Doubles,
    scores: Doubles,
    validation_losses: Doubles,
):
    """Train for losses.size epochs or until a stopping test, divergence or interrupt; counts[STATUS] says which.

    Every thread of the team runs it on the same arrays. losses, scores, validation_losses: (n_epochs,); average: laid out like
    params, or (0,); norms: (n_epochs · n_layers,), for the mean norm of each layer's gradient, or (0,). On divergence, no step is
    taken with the bad loss, so params stay as they were before it. An unknown code counts as divergence.
    """
    if not (
        (plan.shuffle == IN_ORDER or plan.shuffle == SHUFFLED or plan.shuffle == ONLY_DRAWN)
        and (plan.schedule == CONSTANT or plan.schedule == INVSCALING or plan.schedule == ADAPTIVE)
        and NEVER <= plan.validate <= BY_CALLER
        and (rule.averaging == NO_AVERAGE or rule.averaging == POLYAK or rule.averaging == EXPONENTIAL)
    ):
        counts[STATUS] = LOSS_LOST
        return
    validates = plan.validate == EVERY_EPOCH or plan.validate == WATCHED or plan.validate == BY_CALLER
    n_rows = order.size if plan.gather else samples.table.n_rows
    step, batch = counts[STEPS], 0  # every thread counts for itself
    n_layers = network.units.size - 1
    shown = average if average.size else params  # the weights that predict
    refresh_own_copies(network, params, workspace, strips, thread)
    for epoch in range(losses.size):
        if thread == 0:
            if plan.shuffle == SHUFFLED or plan.shuffle == ONLY_DRAWN:
                shuffle(order, key, position, plan.shuffle == SHUFFLED)
        barrier(sync, n_threads)
        accumulated = 0.0
        rate, decay_factor, dropout_factor, first_step = measures[LEARNING_RATE], 1.0, 1.0, step
        if plan.online:
            if factors.rate.size:  # the epoch's
                rate *= factors.rate[epoch * n_rows]
            if thread == 0:
                sync[STOP], accumulated = online_epoch(
                    network, params, moment_1, samples, order, n_rows, plan.gather, workspace, rule, rate, sync
                )
                if sync[STOP]:
                    counts[STATUS] = INTERRUPTED
        else:
            for start in range(0, n_rows, at_least_1(plan.batch_size)):
                stop = min(start + plan.batch_size, n_rows)
                step += 1
                if factors.rate.size:
                    rate = measures[LEARNING_RATE] * factors.rate[batch]
                if factors.weight_decay.size:
                    decay_factor = factors.weight_decay[batch]
                if factors.dropout.size:
                    dropout_factor = factors.dropout[batch]
                batch += 1
                is_running, loss, weight_sum = batch_step(
                    thread, n_threads, sync, network, params, samples, order, start, stop, plan.gather, workspace, strips, rule,
                    make_step(rule, rate, decay_factor, step, step - plan.averaged_from),
                    moment_1, moment_2, average, dropped_in(dropout, step, dropout_factor),
                )  # fmt: skip
                if not is_running:
                    counts[STATUS] = INTERRUPTED
                    return
                if not math.isfinite(loss):
                    counts[STATUS] = LOSS_LOST
                    return
                if weight_sum == 0.0 and plan.has_signed_weights:
                    counts[STATUS] = WEIGHTLESS
                    return
                step -= weight_sum == 0.0  # such a batch takes no step
                if thread == 0:
                    counts[STEPS] = step
                    if weight_sum != 0.0:
                        accumulated += (loss + 0.5 * rule.alpha * total(workspace.strip_norms) / weight_sum) * (stop - start)
                        if rule.alpha_l1 > 0.0:
                            accumulated += rule.alpha_l1 * total(workspace.strip_sums) / weight_sum * (stop - start)
                        if norms.size:
                            add_norms(strips, workspace.strip_squares, norms, epoch * n_layers)
        barrier(sync, n_threads)
        if sync[STOP]:
            return
        if validates:
            _predict_part(sync, network, shown, validation.table, order, workspace, thread, n_threads, validation_outputs)
            barrier(sync, n_threads)
            if atomic_load(sync, STOP):
                counts[STATUS] = INTERRUPTED
                return
        if thread == 0:
            losses[epoch] = accumulated / n_rows
            if not math.isfinite(losses[epoch]):
                counts[STATUS] = LOSS_LOST
            else:
                if validates:
                    validation_losses[epoch], scores[epoch] = _scores_of(
                        network, plan.score, validation_outputs, validation, workspace.row_losses
                    )
                if plan.validate != BY_CALLER:
                    _end_of_epoch(plan, counts, measures, losses[epoch], scores[epoch], shown, best_params, n_rows)
                if norms.size and step > first_step:
                    for layer in range(n_layers):
                        norms[epoch * n_layers + layer] /= step - first_step
                # Before weights are lost, the loss rises: then they are copied in every epoch.
                is_risky = epoch == 0 or not losses[epoch] < losses[epoch - 1]
                if counts[STATUS] == RUNNING and (is_risky or (epoch + 1) % plan.backup_every == 0):
                    if not _keep_if_finite(params, backup):
                        counts[STATUS] = WEIGHTS_LOST
        barrier(sync, n_threads)
        if counts[STATUS] != RUNNING:
            break
    if plan.validate == AT_END:
        _predict_part(sync, network, shown, validation.table, order, workspace, thread, n_threads, validation_outputs)
        if atomic_load(sync, STOP):
            counts[STATUS] = INTERRUPTED
