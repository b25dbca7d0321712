"""One pass over the weights per step rule: add the penalty, update the moments, take the step, sum the squared weights.

To add one: an entry in names.py and a branch in `_update_apart`.
"""

import math
from typing import NamedTuple

import numpy as np

from ..names import ADAM, ADAMW, EXPONENTIAL, GRADIENT_ONLY, NESTEROV, POLYAK, RMSPROP, RPROP, SGD
from .compiler import jit, part
from .toolchain.pack import Reals
from .vectors import broadcast, lane_count, lane_sum, load, multiply_add, square_root, store, where_less

# Factors by which rprop's steps grow and shrink, and their bounds (Riedmiller and Braun 1993; the bounds are PyTorch's).
GROWTH, SHRINKAGE, SMALLEST_STEP, LARGEST_STEP = 1.2, 0.5, 1e-6, 50.0
LATE_WEIGHT = 3.0  # of Polyak's average: how much more later steps count (Shamir and Zhang 2013, there η)


PLAIN, SHAPED, MEASURED = range(3)  # the rule alone; through steps.shaped_step; that, and the gradient's norms are recorded


class StepRule(NamedTuple):
    """A step rule and its constants, and what else is done to gradients and weights."""

    code: int
    decay_1: float  # of the first moment, or of the velocity: the momentum
    decay_2: float  # of the second
    epsilon: float
    alpha: float  # L2 penalty
    alpha_l1: float = 0.0  # L1 penalty
    weight_decay: float = 0.0  # decoupled: not a part of the gradient; 0 if the solver has none
    clip_norm: float = math.inf
    clip_value: float = math.inf
    max_norm: float = math.inf  # of a unit's incoming weights
    averaging: int = 0  # code
    average_decay: float = 0.0
    shaping: int = 0  # code: PLAIN, SHAPED or MEASURED


class Step(NamedTuple):
    """What changes from one step to the next."""

    rate: float  # with adam's bias correction
    epsilon: float
    shrinkage: float  # the part of a weight that decoupled decay takes
    average_share: float  # the share of the new weights in their average


@jit
def rate_of_step(rule, rate, step):
    """The learning rate of one step: adam's with its bias correction (Kingma and Ba 2014, section 2)."""
    if rule.code == ADAM or rule.code == ADAMW:
        t = np.float64(step)
        return rate * math.sqrt(1.0 - rule.decay_2**t) / (1.0 - rule.decay_1**t)
    return rate


@jit
def make_step(rule, rate, decay_factor, step, n_averaged):
    """Compute the constants of the step'th step.

    rate: the schedule's; decay_factor: the schedule's factor on the weight decay; n_averaged: steps in the average, this one
    included. adamw adds epsilon to the corrected root, as in PyTorch, adam to the uncorrected one, as in scikit-learn.
    """
    epsilon, shrinkage, average_share = rule.epsilon, rate * rule.weight_decay * decay_factor, 0.0
    if rule.code == ADAMW:
        epsilon *= math.sqrt(1.0 - rule.decay_2 ** np.float64(step))
    if rule.averaging == POLYAK:
        average_share = (LATE_WEIGHT + 1.0) / (LATE_WEIGHT + n_averaged)
    elif rule.averaging == EXPONENTIAL:
        average_share = 1.0 if n_averaged == 1 else 1.0 - rule.average_decay
    return Step(rate_of_step(rule, rate, step), epsilon, shrinkage, average_share)


class StripStep(NamedTuple):
    """The step of some elements of the flat vectors, along gradient · scale + weights · decay."""

    start: int
    stop: int
    gradient_at: int  # where in the gradient that of element 0 is
    scale: float
    decay: float
    rate: float  # of `Step`, times the strip's factor
    epsilon: float  # as in `Step`
    kept: float  # the part of a weight that decoupled decay leaves


@part
def update(rule: StepRule, step: StripStep, params: Reals, gradient: Reals, moment_1: Reals, moment_2: Reals) -> float:
    """Take the step and return the sum of params² before it; for an unknown rule take none and return NaN.

    moment_1 is the velocity of sgd, the mean square of rmsprop, adam's first moment or rprop's last gradient; moment_2 is adam's
    second moment or the sizes of rprop's steps. With GRADIENT_ONLY the gradient is completed in place and no step is taken.
    Sources: Sutskever et al. 2013 (Nesterov momentum), Kingma and Ba 2014, arXiv:1412.6980 (adam), Loshchilov and Hutter 2019,
    arXiv:1711.05101 (adamw), Hinton's lectures of 2012, 6e (rmsprop), Igel and Hüsken 2000 (iRPROP-).
    """
    start, stop, gradient_at, n_lanes = step.start, step.stop, step.gradient_at, lane_count(params)
    scale_, decay_, rate_ = broadcast(params, step.scale), broadcast(params, step.decay), broadcast(params, -step.rate)
    decay_1, decay_2, epsilon_ = broadcast(params, rule.decay_1), broadcast(params, rule.decay_2), broadcast(params, step.epsilon)
    rest_1, rest_2 = broadcast(params, 1.0 - rule.decay_1), broadcast(params, 1.0 - rule.decay_2)
    norm = broadcast(params, 0.0)
    if rule.code == ADAM or rule.code == ADAMW:
        kept_ = broadcast(params, step.kept)
        for i in range(start, stop, n_lanes):
            w = load(params, i)
            norm = multiply_add(w, w, norm)
            g = multiply_add(w, decay_, load(gradient, gradient_at + i) * scale_)
            m = multiply_add(decay_1, load(moment_1, i), rest_1 * g)
            v = multiply_add(decay_2, load(moment_2, i), rest_2 * (g * g))
            store(moment_1, i, m)
            store(moment_2, i, v)
            store(params, i, multiply_add(w, kept_, rate_ * m / (square_root(v) + epsilon_)))
    elif rule.code == GRADIENT_ONLY:
        for i in range(start, stop, n_lanes):
            w = load(params, i)
            norm = multiply_add(w, w, norm)
            store(gradient, gradient_at + i, multiply_add(w, decay_, load(gradient, gradient_at + i) * scale_))
    elif rule.code == SGD:
        for i in range(start, stop, n_lanes):
            w = load(params, i)
            norm = multiply_add(w, w, norm)
            change = rate_ * multiply_add(w, decay_, load(gradient, gradient_at + i) * scale_)
            v = multiply_add(decay_1, load(moment_1, i), change)
            store(moment_1, i, v)
            store(params, i, w + v)
    elif rule.code == NESTEROV:
        for i in range(start, stop, n_lanes):
            w = load(params, i)
            norm = multiply_add(w, w, norm)
            change = rate_ * multiply_add(w, decay_, load(gradient, gradient_at + i) * scale_)
            v = multiply_add(decay_1, load(moment_1, i), change)
            store(moment_1, i, v)
            store(params, i, multiply_add(decay_1, v, w + change))
    else:
        return _update_apart(rule, step, params, gradient, moment_1, moment_2)
    return np.float64(lane_sum(norm))


@part
def _update_apart(rule: StepRule, step: StripStep, params: Reals, gradient: Reals, moment_1: Reals, moment_2: Reals) -> float:
    """Take the step of a rule that few fits use."""
    start, stop, gradient_at, n_lanes = step.start, step.stop, step.gradient_at, lane_count(params)
    scale_, decay_, rate_ = broadcast(params, step.scale), broadcast(params, step.decay), broadcast(params, -step.rate)
    norm = broadcast(params, 0.0)
    if rule.code == RMSPROP:
        decay_1, rest_1 = broadcast(params, rule.decay_1), broadcast(params, 1.0 - rule.decay_1)
        epsilon_ = broadcast(params, step.epsilon)
        for i in range(start, stop, n_lanes):
            w = load(params, i)
            norm = multiply_add(w, w, norm)
            g = multiply_add(w, decay_, load(gradient, gradient_at + i) * scale_)
            v = multiply_add(decay_1, load(moment_1, i), rest_1 * (g * g))
            store(moment_1, i, v)
            store(params, i, w + rate_ * g / (square_root(v) + epsilon_))
    elif rule.code == RPROP:
        zero, one = broadcast(params, 0.0), broadcast(params, 1.0)
        smallest, largest = broadcast(params, SMALLEST_STEP), broadcast(params, LARGEST_STEP)
        for i in range(start, stop, n_lanes):
            w, before, size = load(params, i), load(moment_1, i), load(moment_2, i)
            norm = multiply_add(w, w, norm)
            g = multiply_add(w, decay_, load(gradient, gradient_at + i) * scale_)
            sign = where_less(zero, g, one, where_less(g, zero, zero - one, zero))
            is_same = where_less(zero, before, sign, where_less(before, zero, zero - sign, zero))  # -1 if the sign has changed
            grown, shrunk = size * broadcast(params, GROWTH), size * broadcast(params, SHRINKAGE)
            grown, shrunk = where_less(grown, largest, grown, largest), where_less(smallest, shrunk, shrunk, smallest)
            size = where_less(zero, is_same, grown, where_less(is_same, zero, shrunk, size))
            store(moment_1, i, where_less(is_same, zero, zero, g))
            store(moment_2, i, size)
            store(params, i, w - where_less(is_same, zero, zero, sign) * size)
    else:
        norm = broadcast(params, np.nan)
    return np.float64(lane_sum(norm))
