"""How sure a prediction is, by held-out rows: prediction intervals and sets of classes that hold the truth as often as asked.

By default a new row is compared, by the mean of all networks, with the held-out rows, by the networks that have not seen these.
With 'cv+', R. F. Barber, E. Candès, A. Ramdas and R. Tibshirani, Predictive inference with the jackknife+, 2021, it is compared
with each row by the networks that have not seen that one. Y. Romano, E. Patterson and E. Candès, Conformalized quantile
regression, 2019, where the networks have learned quantiles; Y. Romano, M. Sesia and E. Candès, Classification with valid and
adaptive coverage, 2020 (CV+ for classes), with the score of M. Sadinle, J. Lei and L. Wasserman, Least ambiguous set-valued
classifiers with bounded error levels, 2019.
"""

import math
from typing import Any, NamedTuple

import numpy as np

N_HALVINGS = 60  # of the distance of two bounds, until it is no more than rounding


class Members(NamedTuple):
    """Which networks have not seen which rows: rows are in groups, and each group has its own mean of networks."""

    shares: np.ndarray  # (n_groups, n_networks), rows that sum to 1
    group_of: np.ndarray  # (n_rows,)

    def outputs(self, of_networks: np.ndarray) -> np.ndarray:
        """Return each group's mean of outputs, (n_networks, n_rows, n_outputs), as (n_groups, n_rows, n_outputs)."""
        return np.tensordot(self.shares, of_networks, axes=1)


def members_of(held_out: list[np.ndarray], n_rows: int, shares: np.ndarray | None = None) -> Members:
    """Return the groups of rows by the networks that have not seen them; held_out: numbers of rows for each network; shares: how
    much each network counts, by default all alike."""
    is_held_out = np.zeros((n_rows, len(held_out)))
    for network, rows in enumerate(held_out):
        is_held_out[rows, network] = 1.0 if shares is None else shares[network]
    patterns, group_of = np.unique(is_held_out, axis=0, return_inverse=True)
    return Members(patterns / patterns.sum(axis=1, keepdims=True), group_of.reshape(-1))


class Ranked:
    """Scores of the held-out rows, (n_rows,), larger for rows that fit less, in order within each group of rows.

    weights: of the rows, (n_rows,); None is 1. A new row is expected to weigh as much as the mean of these.
    """

    def __init__(self, scores: np.ndarray, group_of: np.ndarray, weights: np.ndarray | None, coverage: float) -> None:
        n_groups = int(group_of.max()) + 1
        weights = np.ones(len(scores)) if weights is None else weights.astype(np.float64)
        total = math.fsum(weights)
        self.needed = coverage * (total + total / len(weights)) * (1 - 1e-12)
        if self.needed > total:
            raise ValueError(
                f"coverage={coverage!r} needs at least {math.ceil(coverage / (1 - coverage) - 1e-9)} held-out rows, but there are"
                f" {len(scores)}: lower coverage, or fit to more rows."
            )
        self.groups = []
        for group in range(n_groups):
            mine = np.flatnonzero(group_of == group)
            mine = mine[np.argsort(scores[mine], kind="stable")]
            self.groups.append((scores[mine], np.concatenate([[0.0], np.cumsum(weights[mine])])))

    def weight(self, values: np.ndarray, side: Any) -> np.ndarray:
        """Return how much those weigh whose scores are below, or for the side 'right' not above, values, (n_groups, ...), each
        group compared with its own."""
        return sum(
            below[np.searchsorted(scores, own, side=side)] for (scores, below), own in zip(self.groups, values, strict=True)
        )

    def smallest_beyond(self, bases: np.ndarray) -> np.ndarray:
        """Return the smallest numbers, (n_rows,), that are not below base + score for enough of the held-out rows; bases:
        (n_groups, n_rows)."""
        low = np.min([own + scores[0] for (scores, _), own in zip(self.groups, bases, strict=True)], axis=0)
        high = np.max([own + scores[-1] for (scores, _), own in zip(self.groups, bases, strict=True)], axis=0)
        for _ in range(N_HALVINGS):
            middle = low + (high - low) / 2
            is_enough = self.weight(middle - bases, "right") >= self.needed
            low, high = np.where(is_enough, low, middle), np.where(is_enough, middle, high)
        return high


def check_coverage(coverage: Any) -> float:
    """Return a part of all rows, or raise ValueError."""
    try:
        value = float(coverage)
    except (TypeError, ValueError):
        value = math.nan
    if not 0.0 < value < 1.0:
        raise ValueError(f"coverage must be a number above 0 and below 1, got {coverage!r}.")
    return value


def intervals(
    lower: np.ndarray, upper: np.ndarray, scores: np.ndarray, group_of: np.ndarray, weights: np.ndarray | None, coverage: float
) -> np.ndarray:
    """Return intervals, (n_rows, 2): lower and upper, (n_groups, n_rows), are what the groups say of the new rows; scores: by how
    much the truth lies outside of what was said of the held-out rows, negative where it lies within."""
    ranked = Ranked(scores, group_of, weights, coverage)
    low, high = -ranked.smallest_beyond(-lower), ranked.smallest_beyond(upper)
    middle = (low + high) / 2  # where quantiles were too far apart there may be nothing between the two
    return np.column_stack([np.minimum(low, middle), np.maximum(high, middle)])


def levels_around(levels: Any, coverage: float) -> tuple[int, int]:
    """Return the numbers of the two of several quantiles that are nearest to the ends of such an interval."""
    levels = np.asarray(levels, dtype=np.float64)
    low = int(np.argmin(np.abs(levels[:-1] - (1 - coverage) / 2)))
    return low, low + 1 + int(np.argmin(np.abs(levels[low + 1 :] - (1 + coverage) / 2)))


def class_sets(
    likely: np.ndarray, scores: np.ndarray, group_of: np.ndarray, weights: np.ndarray | None, coverage: float
) -> np.ndarray:
    """Return which classes belong to the sets, (n_rows, n_classes) of bool; likely: what the groups say of the new rows,
    (n_groups, n_rows, n_classes); scores: minus what was said of the true class of the held-out rows."""
    ranked = Ranked(scores, group_of, weights, coverage)
    return ranked.weight(-likely, "left") < ranked.needed
