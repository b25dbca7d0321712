"""L-BFGS: a quasi-Newton method that keeps its last steps, with Moré and Thuente's line search.

It takes the same steps as scipy's L-BFGS-B without bounds, up to rounding, with its constants: J. Nocedal, Updating quasi-Newton
matrices with limited storage, 1980; R. H. Byrd, P. Lu, J. Nocedal and C. Zhu, A limited memory algorithm for bound constrained
optimization, 1995; J. J. Moré and D. J. Thuente, Line search algorithms with guaranteed sufficient decrease, 1994. It is
compiled, because scipy needs 50 µs and more between two gradients, several times as long as the gradient of a small network.
"""

import math
from typing import NamedTuple

import numpy as np

from . import needs
from .atomics import FAILED, atomic_load, barrier
from .compiler import entry, jit
from .layout import Network, Samples, Strips, Workspace
from .objective import objective
from .toolchain.pack import Doubles, Integers, Reals
from .updates import StepRule
from .vectors import (
    broadcast,
    element,
    lane_count,
    lane_max,
    lane_sum,
    load,
    magnitude,
    multiply_add,
    set_element,
    store,
    where_less,
)

N_PAIRS = 10  # steps that are kept
MAX_EVALUATIONS = 20  # of one line search
SUFFICIENT_DECREASE, CURVATURE, INTERVAL = 1e-3, 0.9, 0.1
LONGEST_STEP = 1e10
RETREAT = 0.1  # factor on a step whose loss was not finite, as an exponential output may overflow
LOSS_CHANGE = 1e7 * np.finfo(np.float64).eps  # a smaller relative change ends the run

RUNNING, SMALL_GRADIENT, SMALL_CHANGE, MAX_ITER, MAX_FUN, NO_DESCENT, NOT_FINITE, INTERRUPTED = range(8)

# Elements of `counts` (int64) and `measures` (float64).
N_ITER, N_EVALUATIONS, N_KEPT, NEWEST, STATUS, IS_OVER = range(6)
LOSS, SCALE = range(2)


class Memory(NamedTuple):
    """The state of a run between two iterations; all vectors are float64 and laid out like the parameters."""

    counts: Integers
    measures: Doubles
    x: Doubles
    gradient: Doubles
    direction: Doubles
    last_x: Doubles
    last_gradient: Doubles
    steps: Doubles  # (N_PAIRS, n): differences of x, in a ring
    changes: Doubles  # (N_PAIRS, n): the gradients' differences along them
    curvatures: Doubles  # (N_PAIRS,): the products of the two
    factors: Doubles  # (N_PAIRS,)


@jit
def _dot(A, a, B, b, n):
    """Dot product of n elements, whole vectors, of A from a on and of B from b on."""
    n_lanes = lane_count(A)
    sum_0, sum_1 = broadcast(A, 0.0), broadcast(A, 0.0)
    even = n - n % (2 * n_lanes)
    for i in range(0, even, 2 * n_lanes):
        sum_0 = multiply_add(load(A, a + i), load(B, b + i), sum_0)
        sum_1 = multiply_add(load(A, a + i + n_lanes), load(B, b + i + n_lanes), sum_1)
    if even < n:
        sum_0 = multiply_add(load(A, a + even), load(B, b + even), sum_0)
    return lane_sum(sum_0 + sum_1)


@jit
def _combine(p, A, a, q, B, b, C, c, n):
    """C = p · A + q · B for n elements, whole vectors, from a, b and c on."""
    p_, q_ = broadcast(C, p), broadcast(C, q)
    for i in range(0, n, lane_count(C)):
        store(C, c + i, multiply_add(p_, load(A, a + i), q_ * load(B, b + i)))


@jit
def _largest_magnitude(A):
    """max |A|, whole vectors; NaN is ignored."""
    largest = broadcast(A, 0.0)
    for i in range(0, A.size, lane_count(A)):
        x = magnitude(load(A, i))
        largest = where_less(largest, x, x, largest)
    return lane_max(largest)


@jit
def _evaluate(n_threads, sync, network, params, samples, order, gather, workspace, strips, rule, memory):
    """Compute loss and gradient at memory.x with all threads; this, the first one, gives the signal at a barrier."""
    for i in range(memory.x.size):
        set_element(params, i, element(memory.x, i))
    barrier(sync, n_threads)
    is_running, loss = objective(0, n_threads, sync, network, params, samples, order, gather, workspace, strips, rule)
    memory.counts[N_EVALUATIONS] += 1
    for i in range(memory.x.size):
        set_element(memory.gradient, i, element(workspace.gradient, i))
    if not is_running:
        memory.counts[STATUS] = INTERRUPTED
    return loss


@jit
def _set_direction(memory):
    """Set the direction to minus the approximate inverse Hessian times the gradient, by the two loops over the kept pairs."""
    n, n_kept, newest = memory.x.size, memory.counts[N_KEPT], memory.counts[NEWEST]
    direction = memory.direction
    _combine(-1.0, memory.gradient, 0, 0.0, memory.gradient, 0, direction, 0, n)
    for k in range(n_kept):
        pair = (newest - k) % N_PAIRS
        factor = _dot(memory.steps, pair * n, direction, 0, n) / memory.curvatures[pair]
        memory.factors[pair] = factor
        _combine(-factor, memory.changes, pair * n, 1.0, direction, 0, direction, 0, n)
    _combine(1.0 / memory.measures[SCALE], direction, 0, 0.0, direction, 0, direction, 0, n)
    for k in range(n_kept - 1, -1, -1):
        pair = (newest - k) % N_PAIRS
        factor = memory.factors[pair] - _dot(memory.changes, pair * n, direction, 0, n) / memory.curvatures[pair]
        _combine(factor, memory.steps, pair * n, 1.0, direction, 0, direction, 0, n)


@jit
def _keep_pair(memory, step, slope_before, slope):
    """Keep the step and the change of the gradient along it, unless its curvature is not clearly positive."""
    n = memory.x.size
    curvature = (slope - slope_before) * step
    if curvature <= np.finfo(np.float64).eps * -slope_before * step:
        return
    newest = (memory.counts[NEWEST] + 1) % N_PAIRS
    memory.counts[NEWEST] = newest
    memory.counts[N_KEPT] = min(memory.counts[N_KEPT] + 1, N_PAIRS)
    _combine(step, memory.direction, 0, 0.0, memory.direction, 0, memory.steps, newest * n, n)
    _combine(1.0, memory.gradient, 0, -1.0, memory.last_gradient, 0, memory.changes, newest * n, n)
    memory.curvatures[newest] = curvature
    memory.measures[SCALE] = _dot(memory.changes, newest * n, memory.changes, newest * n, n) / curvature


@jit
def _cubic(a, loss_a, slope_a, b, loss_b, slope_b):
    """Where between a (0) and b (1) the cubic through both has its minimum, and the root in its formula, 0 if there is none."""
    theta = 3.0 * (loss_a - loss_b) / (b - a) + slope_a + slope_b
    largest = max(abs(theta), abs(slope_a), abs(slope_b))
    root = largest * math.sqrt(max(0.0, (theta / largest) ** 2 - (slope_a / largest) * (slope_b / largest)))
    if b < a:
        root = -root
    return ((root - slope_a) + theta) / (((root - slope_a) + root) + slope_b), root


@jit
def _next_step(x, loss_x, slope_x, y, slope_y, loss_y, step, loss, slope, is_bracketed, low, high):
    """The step to try after `step`, from its loss and slope and those of the best step, x, and of the interval's other end, y;
    and whether a minimum is bracketed now (Moré and Thuente, section 4)."""
    if loss > loss_x:
        place, _ = _cubic(x, loss_x, slope_x, step, loss, slope)
        cubic = x + place * (step - x)
        quadratic = x + slope_x / ((loss_x - loss) / (step - x) + slope_x) / 2.0 * (step - x)
        return (cubic if abs(cubic - x) < abs(quadratic - x) else cubic + (quadratic - cubic) / 2.0), True
    place, root = _cubic(step, loss, slope, x, loss_x, slope_x)
    cubic, secant = step + place * (x - step), step + slope / (slope - slope_x) * (x - step)
    if slope * slope_x < 0.0:
        return (cubic if abs(cubic - step) > abs(secant - step) else secant), True
    if abs(slope) < abs(slope_x):
        if not (place < 0.0 and root != 0.0):
            cubic = high if step > x else low
        if is_bracketed:
            nearer = cubic if abs(cubic - step) < abs(secant - step) else secant
            limit = step + 0.66 * (y - step)
            return (min(limit, nearer) if step > x else max(limit, nearer)), True
        farther = cubic if abs(cubic - step) > abs(secant - step) else secant
        return max(low, min(high, farther)), False
    if is_bracketed:
        place, _ = _cubic(step, loss, slope, y, loss_y, slope_y)
        return step + place * (y - step), True
    return (high if step > x else low), False


@jit
def _search_line(n_threads, sync, network, params, samples, order, gather, workspace, strips, rule, memory):
    """Move x along the direction to a point where the loss has decreased enough and its slope is small enough.

    Returns whether it found one, the step, and the slopes at its start and end; the run may have ended for another reason. Plain
    twin of the test: naive.is_wolfe_point. The points that it tries are scipy's (tests/test_lbfgs.py).
    """
    n = memory.x.size
    loss_0, slope_0 = memory.measures[LOSS], _dot(memory.gradient, 0, memory.direction, 0, n)
    if slope_0 >= 0.0:
        return False, 0.0, slope_0, slope_0
    step = 1.0
    if memory.counts[N_ITER] == 0:
        step = min(1.0 / math.sqrt(_dot(memory.direction, 0, memory.direction, 0, n)), LONGEST_STEP)
    _combine(1.0, memory.x, 0, 0.0, memory.x, 0, memory.last_x, 0, n)
    _combine(1.0, memory.gradient, 0, 0.0, memory.gradient, 0, memory.last_gradient, 0, n)
    if math.isnan(slope_0):
        memory.counts[STATUS] = NOT_FINITE
        return False, 0.0, slope_0, slope_0
    decrease = SUFFICIENT_DECREASE * slope_0
    x, loss_x, slope_x, y, loss_y, slope_y = 0.0, loss_0, slope_0, 0.0, loss_0, slope_0
    low, high, width, width_before = 0.0, 5.0 * step, LONGEST_STEP, 2.0 * LONGEST_STEP
    is_bracketed, is_first_stage = False, True
    for _ in range(MAX_EVALUATIONS):
        _combine(step, memory.direction, 0, 1.0, memory.last_x, 0, memory.x, 0, n)
        loss = _evaluate(n_threads, sync, network, params, samples, order, gather, workspace, strips, rule, memory)
        if memory.counts[STATUS] != RUNNING:
            return False, 0.0, slope_0, slope_0
        slope = _dot(memory.gradient, 0, memory.direction, 0, n)
        if not (math.isfinite(loss) and math.isfinite(slope)):
            step = x + RETREAT * (step - x)
            continue
        highest = loss_0 + step * decrease
        if is_first_stage and loss <= highest and slope >= 0.0:
            is_first_stage = False
        is_stuck = is_bracketed and (step <= low or step >= high or high - low <= INTERVAL * high)
        at_end = step == LONGEST_STEP and loss <= highest and slope <= decrease
        if is_stuck or at_end or step == 0.0 or (loss <= highest and abs(slope) <= -CURVATURE * slope_0):
            memory.measures[LOSS] = loss
            return True, step, slope_0, slope
        # While the loss is lower, but not by enough, the search minimises its distance to the line of sufficient decrease.
        tilt = decrease if is_first_stage and loss <= loss_x and loss > highest else 0.0
        following, is_bracketed = _next_step(
            x, loss_x - x * tilt, slope_x - tilt, y, slope_y - tilt, loss_y - y * tilt, step, loss - step * tilt, slope - tilt,
            is_bracketed, low, high,
        )  # fmt: skip
        if loss - step * tilt > loss_x - x * tilt:
            y, loss_y, slope_y = step, loss, slope
        else:
            if (slope - tilt) * (slope_x - tilt) < 0.0:
                y, loss_y, slope_y = x, loss_x, slope_x
            x, loss_x, slope_x = step, loss, slope
        step = following
        if is_bracketed:
            if abs(y - x) >= 0.66 * width_before:
                step = x + 0.5 * (y - x)
            width_before, width = width, abs(y - x)
            low, high = min(x, y), max(x, y)
        else:
            low, high = step + 1.1 * (step - x), step + 4.0 * (step - x)
        step = min(max(step, 0.0), LONGEST_STEP)
        if is_bracketed and (step <= low or step >= high or high - low <= INTERVAL * high):
            step = x
    return False, 0.0, slope_0, slope_0


@jit
def _go_back(memory):
    """Return to where the line search began."""
    n = memory.x.size
    _combine(1.0, memory.last_x, 0, 0.0, memory.last_x, 0, memory.x, 0, n)
    _combine(1.0, memory.last_gradient, 0, 0.0, memory.last_gradient, 0, memory.gradient, 0, n)


@jit
def _lead(
    n_threads, sync, network, params, samples, order, gather, workspace, strips, rule, memory, n_iterations, max_iter, max_fun,
    smallest_gradient
):  # fmt: skip
    """The part of the first thread, see `lbfgs`."""
    counts, measures = memory.counts, memory.measures
    if counts[N_EVALUATIONS] == 0:
        loss = _evaluate(n_threads, sync, network, params, samples, order, gather, workspace, strips, rule, memory)
        if counts[STATUS] == RUNNING:
            measures[LOSS] = loss
            if not math.isfinite(loss):
                counts[STATUS] = NOT_FINITE
            elif _largest_magnitude(memory.gradient) <= smallest_gradient:
                counts[STATUS] = SMALL_GRADIENT
    last = min(counts[N_ITER] + n_iterations, max_iter)
    while counts[STATUS] == RUNNING and counts[N_ITER] < last:
        _set_direction(memory)
        loss_before = measures[LOSS]
        is_found, step, slope_before, slope = _search_line(
            n_threads, sync, network, params, samples, order, gather, workspace, strips, rule, memory
        )
        if counts[STATUS] != RUNNING:
            _go_back(memory)
        elif not is_found:
            if slope_before < 0.0:
                _go_back(memory)
            if counts[N_KEPT] == 0:
                counts[STATUS] = NO_DESCENT
            counts[N_KEPT], measures[SCALE] = 0, 1.0  # try again along the gradient itself
        else:
            counts[N_ITER] += 1
            change, size = loss_before - measures[LOSS], max(abs(loss_before), abs(measures[LOSS]), 1.0)
            if counts[N_ITER] >= max_iter:
                counts[STATUS] = MAX_ITER
            elif counts[N_EVALUATIONS] > max_fun:
                counts[STATUS] = MAX_FUN
            elif _largest_magnitude(memory.gradient) <= smallest_gradient:
                counts[STATUS] = SMALL_GRADIENT
            elif change <= LOSS_CHANGE * size:
                counts[STATUS] = SMALL_CHANGE
            _keep_pair(memory, step, slope_before, slope)
    for i in range(memory.x.size):
        set_element(params, i, element(memory.x, i))


@entry(parts=needs.objective)
def lbfgs(
    thread: int,
    n_threads: int,
    sync: Integers,
    network: Network,
    params: Reals,
    samples: Samples,
    order: Integers,
    gather: int,
    workspace: Workspace,
    strips: Strips,
    rule: StepRule,
    memory: Memory,
    n_iterations: int,
    max_iter: int,
    max_fun: float,
    smallest_gradient: float,
):
    """Continue from memory.x for n_iterations, or until counts[STATUS] says why the run ended; params are then memory.x.

    All threads but the first wait until it needs a gradient or ends.
    """
    if thread == 0:
        _lead(
            n_threads, sync, network, params, samples, order, gather, workspace, strips, rule, memory, n_iterations, max_iter,
            max_fun, smallest_gradient
        )  # fmt: skip
        memory.counts[IS_OVER] = 1
        barrier(sync, n_threads)
        return
    while True:
        barrier(sync, n_threads)
        if memory.counts[IS_OVER] or atomic_load(sync, FAILED):
            return
        objective(thread, n_threads, sync, network, params, samples, order, gather, workspace, strips, rule)
