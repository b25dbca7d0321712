"""Dropout: units and inputs that are left out of a batch at random (Srivastava et al. 2014, JMLR 15).

The random numbers come from counters, not from a sequence of draws: whether a unit is dropped depends only on the seed, the step,
the layer, the row and the unit, so no mask depends on the thread that computes it. Masks are not stored: the forward pass writes
masked slopes for the backward pass.
"""

from typing import NamedTuple

import numpy as np

from ..names import IDENTITY, KEPT, LEAKY_RELU, RELU, STEP
from .activations import multiply_ahead_by_slope
from .compiler import jit, part
from .elementary import random_mask
from .toolchain.pack import Doubles, Integers, Reals, kept
from .vectors import element, first_lane, lane_count, load, set_element, store


@kept
class Dropout(NamedTuple):
    """What is left out of the rows of one batch."""

    is_on: int  # 0: nothing, and the other fields are ignored
    rates: Doubles  # per layer of weights, the fraction of its inputs
    slopes: Integers  # codes of the activations' own slopes: those of the network are KEPT where units are dropped
    seed: int
    step: int
    factor: float  # on the rates in this step


@jit
def nothing_dropped(network, workspace):
    """The Dropout of a prediction, which drops nothing."""
    return Dropout(0, workspace.slab_sums, network.slopes, 0, 0, 1.0)


@jit
def dropped_in(dropout, step, factor):
    """The Dropout of one step, with a factor on the rates."""
    return Dropout(dropout.is_on, dropout.rates, dropout.slopes, dropout.seed, step, factor)


@jit
def _mixed(z):
    """A hash of z of 64 bits (Steele, Lea and Flood 2014, Fast splittable pseudorandom number generators)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@jit
def _key(dropout, layer):
    """Key of the random numbers of a layer in this step."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    z = _mixed(np.uint64(dropout.seed) + golden * np.uint64(dropout.step))
    return np.int64(_mixed(z + golden * np.uint64(layer + 1)) >> np.uint64(1))


@jit
def _odds(dropout, layer):
    """How many of the 2**32 random numbers keep a unit, and the factor on the output of a unit that is kept."""
    kept = 1.0 - dropout.rates[layer] * dropout.factor
    return min(np.int64(kept * 4294967296.0), 4294967295), 1.0 / kept


@part
def drop_units(
    dropout: Dropout, layer: int, A: Reals, at: int, first_row: int, n_rows: int, n_units: int, width: int, slopes: int
) -> None:
    """Mask the outputs, (n_rows, width) of A from element `at` on, that are inputs of a layer, and write the masked slopes.

    first_row: where in the order the first row is.
    """
    threshold, scale = _odds(dropout, layer)
    key, slope, n_lanes = _key(dropout, layer), dropout.slopes[layer - 1], lane_count(A)
    # Slopes are computed from unscaled outputs, unless they depend only on the sign.
    is_late = not (slope == KEPT or slope == RELU or slope == LEAKY_RELU or slope == IDENTITY or slope == STEP)
    value = 1.0 if is_late else scale
    for row in range(n_rows):
        counter = (first_row + row) * n_units
        for i in range(at + row * width, at + row * width + width, n_lanes):
            mask = random_mask(A, key, counter, threshold, value)
            store(A, i, load(A, i) * mask)
            store(A, i + slopes, load(A, i + slopes) * mask if slope == KEPT else mask)
            counter += n_lanes
    if slope == KEPT:
        return
    size = n_rows * width
    multiply_ahead_by_slope(slope, A, 0, A, at, size, slopes)
    if is_late:
        for i in range(at, at + size, n_lanes):
            store(A, i, load(A, i) * scale)
            store(A, i + slopes, load(A, i + slopes) * scale)


@jit
def is_input_kept(dropout, like, number):
    """Whether one input is kept; number: its number among the inputs of all rows in their order, as in `drop_inputs`."""
    threshold, _ = _odds(dropout, 0)
    return first_lane(random_mask(like, _key(dropout, 0), number, threshold, 1.0)) > 0.0


@part
def drop_inputs(dropout: Dropout, X: Reals, start: int, stop: int, first_sample: int) -> None:
    """Mask elements start to stop of the gathered inputs X; first_sample: number of the first element of X among the inputs of
    all rows in their order."""
    threshold, scale = _odds(dropout, 0)
    key, n_lanes = _key(dropout, 0), lane_count(X)
    whole = stop - (stop - start) % n_lanes
    for i in range(start, whole, n_lanes):
        store(X, i, load(X, i) * random_mask(X, key, first_sample + i, threshold, scale))
    for i in range(whole, stop):  # one by one, because another thread's rows may follow
        set_element(X, i, element(X, i) * first_lane(random_mask(X, key, first_sample + i, threshold, scale)))
