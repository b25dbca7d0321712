"""Prediction intervals and sets of classes that contain the truth for a given share of new rows, by held-out rows.

By default, a new row is predicted by the mean of all networks, and each held-out row by the networks that have not seen it. With
'cv+', the new row is compared with each held-out row by the networks that have not seen that one.

Sources: Barber, Candès, Ramdas and Tibshirani, Predictive inference with the jackknife+, 2021; Romano, Patterson and Candès,
Conformalized quantile regression, 2019, for several quantiles; Romano, Sesia and Candès, Classification with valid and adaptive
coverage, 2020 (CV+ for classes), with the score of Sadinle, Lei and Wasserman, Least ambiguous set-valued classifiers
with bounded error levels, 2019; Lei, G'Sell, Rinaldo, Tibshirani and Wasserman, Distribution-free predictive inference for
regression, 2018, section 5.2, for networks that predict standard deviations.
"""

import math
from typing import Any, NamedTuple

import numpy as np

N_HALVINGS = 60  # of the distance between two bounds, until only rounding is left


class Members(NamedTuple):
    """Which networks have not seen which rows: the rows of a group are predicted by the same mean of networks."""

    shares: np.ndarray  # (n_groups, n_networks), rows that sum to 1
    group_of: np.ndarray  # (n_rows,)

    def outputs(self, of_networks: np.ndarray) -> np.ndarray:
        """Return each group's mean of outputs, (n_networks, n_rows, n_outputs), as (n_groups, n_rows, n_outputs)."""
        return np.tensordot(self.shares, of_networks, axes=1)


def members_of(held_out: list[np.ndarray], n_rows: int, shares: np.ndarray | None = None) -> Members:
    """Return the groups; held_out: row indices for each network; shares: weights of the networks, by default equal."""
    is_held_out = np.zeros((n_rows, len(held_out)))
    for network, rows in enumerate(held_out):
        is_held_out[rows, network] = 1.0 if shares is None else shares[network]
    patterns, group_of = np.unique(is_held_out, axis=0, return_inverse=True)
    return Members(patterns / patterns.sum(axis=1, keepdims=True), group_of.reshape(-1))


class Ranked:
    """Scores of the held-out rows, (n_rows,), sorted within each group; larger scores mean a worse prediction.

    weights: of the rows, (n_rows,), or None. A new row is expected to have the mean weight.
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
        """Return the weight of the rows whose scores are below values, or not above for the side 'right'; each row of values,
        (n_groups, ...), is for one group."""
        return sum(
            below[np.searchsorted(scores, own, side=side)] for (scores, below), own in zip(self.groups, values, strict=True)
        )

    def smallest_beyond(self, bases: np.ndarray, units: np.ndarray) -> np.ndarray:
        """Return the smallest numbers, (n_rows,), that are at least base + unit · score for enough held-out rows; bases, units:
        (n_groups, n_rows)."""
        groups = list(zip(self.groups, bases, units, strict=True))
        low = np.min([own + unit * scores[0] for (scores, _), own, unit in groups], axis=0)
        high = np.max([own + unit * scores[-1] for (scores, _), own, unit in groups], axis=0)
        for _ in range(N_HALVINGS):
            middle = low + (high - low) / 2
            is_enough = self.weight((middle - bases) / units, "right") >= self.needed
            low, high = np.where(is_enough, low, middle), np.where(is_enough, middle, high)
        return high


def check_coverage(coverage: Any) -> float:
    """Return the coverage as a float, or raise ValueError."""
    try:
        value = float(coverage)
    except (TypeError, ValueError):
        value = math.nan
    if not 0.0 < value < 1.0:
        raise ValueError(f"coverage must be a number above 0 and below 1, got {coverage!r}.")
    return value


def intervals(lower: np.ndarray, upper: np.ndarray, units: np.ndarray, ranked: Ranked) -> np.ndarray:
    """Return intervals, (n_rows, 2); lower, upper: the groups' predictions of the ends, (n_groups, n_rows); units: of the scores,
    likewise; ranked: by how much the truth is outside of the predicted ends, negative inside."""
    low, high = -ranked.smallest_beyond(-lower, units), ranked.smallest_beyond(upper, units)
    middle = (low + high) / 2  # if the quantiles were too far apart, low can be above high
    return np.column_stack([np.minimum(low, middle), np.maximum(high, middle)])


def intervals_of_targets(
    said: np.ndarray, units: np.ndarray | None, kept: dict[str, Any], levels: Any, coverage: float
) -> np.ndarray:
    """Return intervals, (n_rows, n_targets, 2).

    said: predictions, (n_groups, n_rows, n_outputs), with an output for each target or for each quantile level of one target;
    units: standard deviations, likewise, or None; kept: truth and predictions of the held-out rows.
    """
    found = []
    for target in range(kept["truth"].shape[1]):
        low, high = (target, target) if levels is None else (0, 0)
        if levels is not None and len(levels) > 1:
            low, high = levels_around(levels, coverage)
        truth, predicted = kept["truth"][:, target], kept["predicted"]
        scores, own = np.maximum(predicted[:, low] - truth, truth - predicted[:, high]), np.ones(said.shape[:2])
        if units is not None:
            scores, own = scores / kept["deviations"][:, target], units[:, :, target]
        ranked = Ranked(scores, kept["group_of"], kept["weights"], coverage)
        found.append(intervals(said[:, :, low], said[:, :, high], own, ranked))
    return np.stack(found, axis=1)


def levels_around(levels: Any, coverage: float) -> tuple[int, int]:
    """Return the indices of the two quantile levels that are nearest to the ends of such an interval."""
    levels = np.asarray(levels, dtype=np.float64)
    low = int(np.argmin(np.abs(levels[:-1] - (1 - coverage) / 2)))
    return low, low + 1 + int(np.argmin(np.abs(levels[low + 1 :] - (1 + coverage) / 2)))


def class_sets(
    likely: np.ndarray, scores: np.ndarray, group_of: np.ndarray, weights: np.ndarray | None, coverage: float
) -> np.ndarray:
    """Return which classes belong to the sets, (n_rows, n_classes) of bool; likely: the groups' probabilities for the new rows,
    (n_groups, n_rows, n_classes); scores: minus the probability of the true class of each held-out row."""
    ranked = Ranked(scores, group_of, weights, coverage)
    return ranked.weight(-likely, "left") < ranked.needed
