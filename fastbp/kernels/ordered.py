"""Classes that have an order: their probabilities from one score and thresholds, the deltas, and the order of the thresholds.

The unit of class k has the score less its threshold; its logistic function is the probability of that class or a later one (P.
McCullagh, Regression models for ordinal data, Journal of the Royal Statistical Society B 42, 1980).
"""

import numpy as np

from .compiler import part
from .layout import OutputRows, weight_of
from .toolchain.pack import Reals
from .vector_functions import exp_minus_one, logistic
from .vectors import broadcast, element, lane_count, load_strided, set_element, store_strided, where_less

LEAST_FALL = 1e-3  # between two thresholds, in their logits


@part
def cumulative(Z: Reals, z: int, n_rows: int, n_units: int, width: int) -> None:
    """Probabilities of ordered classes, for as many rows at a time as a vector holds. The logistic function of unit k is the
    probability of class k or a later one; unit 0 is ignored. Their differences are computed as products, which do not cancel."""
    n_lanes = lane_count(Z)
    for i in range(0, n_rows, n_lanes):
        n, first = min(n_lanes, n_rows - i), z + i * width
        if n_units == 1:
            store_strided(Z, first, width, n, broadcast(Z, 1.0))
            continue
        x = load_strided(Z, first + 1, width, n, Z)
        store_strided(Z, first, width, n, logistic(0.0 - x))
        for column in range(first + 1, first + n_units - 1):
            following = load_strided(Z, column + 1, width, n, Z)
            zero = broadcast(Z, 0.0)
            part = where_less(x, following, zero, 0.0 - exp_minus_one(following - x))
            store_strided(Z, column, width, n, logistic(x) * logistic(0.0 - following) * part)
            x = following
        store_strided(Z, first + n_units - 1, width, n, logistic(x))


@part
def ordered_deltas(rows: OutputRows, deltas: Reals) -> None:
    """Deltas of -ln p for the probability p = σ(z_y) - σ(z_y+1) of class y: -b·(1 - b)/p for z_y and a·(1 - a)/p for z_y+1,
    together a - b, where b and a are the probabilities of all classes below and above y. The first unit has no z, the last no z
    after it."""
    floor, n_outputs = 1e-30 if rows.outputs.itemsize == 4 else 1e-60, rows.n_outputs
    for i in range(rows.n_rows):
        row, label = rows.at + i * rows.width, np.int64(element(rows.targets, rows.first_target + i * rows.n_targets))
        weight, below, above = weight_of(rows, i), 0.0, 0.0
        for j in range(n_outputs):
            p = np.float64(element(rows.outputs, row + j))
            below += p if j < label else 0.0
            above += p if j > label else 0.0
            set_element(deltas, row + j, 0.0)
        p = np.float64(element(rows.outputs, row + label))
        p = floor if p < floor else p
        if label > 0:
            set_element(deltas, row + label, -weight * below * (p + above) / p)
        if label + 1 < n_outputs:
            set_element(deltas, row + label + 1, weight * above * (p + below) / p)


@part
def keep_order(params: Reals, at: int, n: int) -> None:
    """Lower the third to the last of n elements to LEAST_FALL below the one before, if they are higher."""
    for i in range(at + 2, at + n):
        highest = element(params, i - 1) - LEAST_FALL
        if element(params, i) > highest:
            set_element(params, i, highest)
