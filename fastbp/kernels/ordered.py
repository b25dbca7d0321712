"""Classes that have an order: their probabilities from one score and thresholds, what these send back, and the thresholds' order.

The unit of class k has the score less its threshold; its logistic function is the probability of that class or a later one (P.
McCullagh, Regression models for ordinal data, Journal of the Royal Statistical Society B 42, 1980).
"""

import numpy as np

from .compiler import part
from .toolchain.pack import Reals
from .vector_functions import exp_minus_one, logistic
from .vectors import broadcast, element, lane_count, load_strided, set_element, store_strided, where_less

LEAST_FALL = 1e-3  # between two thresholds, in their logits


@part
def cumulative(Z: Reals, z: int, n_rows: int, n_units: int, width: int) -> None:
    """Probabilities of ordered classes, of as many rows at a time as a vector holds: the logistic function of unit k is that of
    class k or a later one, unit 0 does not count; a product where a difference would lose what is small."""
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
def ordered_deltas(
    outputs: Reals,
    deltas: Reals,
    at: int,
    n_rows: int,
    n_outputs: int,
    width: int,
    targets: Reals,
    target: int,
    n_targets: int,
    weights: Reals,
    first_weight: int,
) -> None:
    """Of p = σ(z_y) - σ(z_y+1), from what is left below, b, and above, a: ∂(-ln p)/∂z_y = -b·(1 - b)/p, ∂(-ln p)/∂z_y+1 =
    a·(1 - a)/p; together a - b. The first unit has no z, the last no z after it."""
    floor = 1e-30 if outputs.itemsize == 4 else 1e-60
    for i in range(n_rows):
        row, label = at + i * width, np.int64(element(targets, target + i * n_targets))
        weight = np.float64(element(weights, first_weight + i)) if weights.size else 1.0
        below, above = 0.0, 0.0
        for j in range(n_outputs):
            p = np.float64(element(outputs, row + j))
            below += p if j < label else 0.0
            above += p if j > label else 0.0
            set_element(deltas, row + j, 0.0)
        p = np.float64(element(outputs, row + label))
        p = floor if p < floor else p
        if label > 0:
            set_element(deltas, row + label, -weight * below * (p + above) / p)
        if label + 1 < n_outputs:
            set_element(deltas, row + label + 1, weight * above * (p + below) / p)


@part
def keep_order(params: Reals, at: int, n: int) -> None:
    """Bring n elements down, from the third on, to the one before less a little, where they are not below that."""
    for i in range(at + 2, at + n):
        highest = element(params, i - 1) - LEAST_FALL
        if element(params, i) > highest:
            set_element(params, i, highest)
