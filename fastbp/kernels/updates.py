"""One fused pass per step rule: regularise, move the moments, take the step, measure the weights."""

from typing import NamedTuple

import numpy as np

from .compiler import jit
from .vectors import broadcast, lane_count, lane_sum, load, multiply_add, square_root, store, where_less

GRADIENT_ONLY, SGD, NESTEROV, ADAM = range(4)
UPDATES = {"gradient": GRADIENT_ONLY, "sgd": SGD, "nesterov": NESTEROV, "adam": ADAM}


class Rule(NamedTuple):
    """A step rule and its constants, float64."""

    code: int
    momentum: float  # beta_1 for adam
    beta_2: float
    epsilon: float
    alpha: float  # L2 penalty


@jit
def update(rule, rate, params, gradient, moment_1, moment_2, start, stop, scale, decay):
    """Step elements start to stop of the flat params by gradient · scale + params · decay; returns the sum of params² before the
    step.

    moment_1 is the velocity of sgd or adam's first moment, moment_2 adam's second. With GRADIENT_ONLY the gradient is completed
    in place and no step taken. Sources: Sutskever et al. 2013 (Nesterov momentum), Kingma and Ba 2014, arXiv:1412.6980 (adam;
    `rate` holds its bias correction).
    """
    n_lanes = lane_count(params)
    scale_, decay_, rate_ = broadcast(params, scale), broadcast(params, decay), broadcast(params, -rate)
    momentum = broadcast(params, rule.momentum)
    norm = broadcast(params, 0.0)
    if rule.code == ADAM:
        beta_2, epsilon = broadcast(params, rule.beta_2), broadcast(params, rule.epsilon)
        one_minus_beta_1, one_minus_beta_2 = broadcast(params, 1.0 - rule.momentum), broadcast(params, 1.0 - rule.beta_2)
        for i in range(start, stop, n_lanes):
            w = load(params, i)
            norm = multiply_add(w, w, norm)
            g = multiply_add(w, decay_, load(gradient, i) * scale_)
            m = multiply_add(momentum, load(moment_1, i), one_minus_beta_1 * g)
            v = multiply_add(beta_2, load(moment_2, i), one_minus_beta_2 * (g * g))
            store(moment_1, i, m)
            store(moment_2, i, v)
            store(params, i, w + rate_ * m / (square_root(v) + epsilon))
    elif rule.code == GRADIENT_ONLY:
        for i in range(start, stop, n_lanes):
            w = load(params, i)
            norm = multiply_add(w, w, norm)
            store(gradient, i, multiply_add(w, decay_, load(gradient, i) * scale_))
    else:
        reach, looks_ahead = momentum, broadcast(params, 1.0)
        if rule.code == SGD:
            reach, looks_ahead = broadcast(params, 1.0), broadcast(params, 0.0)
        for i in range(start, stop, n_lanes):
            w = load(params, i)
            norm = multiply_add(w, w, norm)
            step = rate_ * multiply_add(w, decay_, load(gradient, i) * scale_)
            v = multiply_add(momentum, load(moment_1, i), step)
            store(moment_1, i, v)
            store(params, i, multiply_add(reach, v, where_less(broadcast(params, 0.0), looks_ahead, w + step, w)))
    return np.float64(lane_sum(norm))
