"""One fused pass per step rule: regularise, move the moments, take the step, measure the weights.

To add one: an entry in names.py and a branch in `update`.
"""

import math
from typing import NamedTuple

import numpy as np

from ..names import ADAM, GRADIENT_ONLY, NESTEROV, RMSPROP, SGD
from .compiler import apart, jit
from .vectors import broadcast, lane_count, lane_sum, load, multiply_add, square_root, store


class StepRule(NamedTuple):
    """A step rule and its constants, float64."""

    code: int
    decay_1: float  # of the first moment, which is the velocity where there is a momentum
    decay_2: float  # of the second
    epsilon: float
    alpha: float  # L2 penalty


@jit
def rate_of_step(rule, rate, step):
    """The learning rate as `update` takes it in the step'th step: adam's with its bias correction (Kingma and Ba 2014, section
    2)."""
    if rule.code == ADAM:
        t = np.float64(step)
        return rate * math.sqrt(1.0 - rule.decay_2**t) / (1.0 - rule.decay_1**t)
    return rate


@apart
def update(rule, rate, params, gradient, moment_1, moment_2, start, stop, scale, decay):
    """Step elements start to stop of the flat params by gradient · scale + params · decay; returns the sum of params² before the
    step, or takes none and returns NaN for a rule that nobody knows.

    moment_1 is the velocity of sgd, the mean square of rmsprop or adam's first moment, moment_2 adam's second; rate: as
    `rate_of_step` gives it. With GRADIENT_ONLY the gradient is completed in place and no step taken. Sources: Sutskever et al.
    2013 (Nesterov momentum), Kingma and Ba 2014, arXiv:1412.6980 (adam), Hinton's lectures of 2012, 6e (rmsprop).
    """
    n_lanes = lane_count(params)
    scale_, decay_, rate_ = broadcast(params, scale), broadcast(params, decay), broadcast(params, -rate)
    decay_1, decay_2, epsilon = broadcast(params, rule.decay_1), broadcast(params, rule.decay_2), broadcast(params, rule.epsilon)
    rest_1, rest_2 = broadcast(params, 1.0 - rule.decay_1), broadcast(params, 1.0 - rule.decay_2)
    norm = broadcast(params, 0.0)
    if rule.code == ADAM:
        for i in range(start, stop, n_lanes):
            w = load(params, i)
            norm = multiply_add(w, w, norm)
            g = multiply_add(w, decay_, load(gradient, i) * scale_)
            m = multiply_add(decay_1, load(moment_1, i), rest_1 * g)
            v = multiply_add(decay_2, load(moment_2, i), rest_2 * (g * g))
            store(moment_1, i, m)
            store(moment_2, i, v)
            store(params, i, w + rate_ * m / (square_root(v) + epsilon))
    elif rule.code == GRADIENT_ONLY:
        for i in range(start, stop, n_lanes):
            w = load(params, i)
            norm = multiply_add(w, w, norm)
            store(gradient, i, multiply_add(w, decay_, load(gradient, i) * scale_))
    elif rule.code == RMSPROP:
        for i in range(start, stop, n_lanes):
            w = load(params, i)
            norm = multiply_add(w, w, norm)
            g = multiply_add(w, decay_, load(gradient, i) * scale_)
            v = multiply_add(decay_1, load(moment_1, i), rest_1 * (g * g))
            store(moment_1, i, v)
            store(params, i, w + rate_ * g / (square_root(v) + epsilon))
    elif rule.code == SGD:
        for i in range(start, stop, n_lanes):
            w = load(params, i)
            norm = multiply_add(w, w, norm)
            step = rate_ * multiply_add(w, decay_, load(gradient, i) * scale_)
            v = multiply_add(decay_1, load(moment_1, i), step)
            store(moment_1, i, v)
            store(params, i, w + v)
    elif rule.code == NESTEROV:
        for i in range(start, stop, n_lanes):
            w = load(params, i)
            norm = multiply_add(w, w, norm)
            step = rate_ * multiply_add(w, decay_, load(gradient, i) * scale_)
            v = multiply_add(decay_1, load(moment_1, i), step)
            store(moment_1, i, v)
            store(params, i, multiply_add(decay_1, v, w + step))
    else:
        norm = broadcast(params, np.nan)
    return np.float64(lane_sum(norm))
