"""Ranks, which some networks see in place of numbers."""

from typing import Any

import numpy as np
from scipy.special import ndtri

from fastbp.estimators.plain_table import Ramps
from fastbp.tabular.rows import quantiles

QUARTILES = 1.349  # distance of the quartiles of a normal distribution, in standard deviations
MOST_RANKS, LARGEST_RANK = 256, 3.5


class Ranks:
    """Maps numbers, (n_rows, n_numbers) float32, to quantiles of a normal distribution whose quartiles are 1 apart."""

    def __init__(self, numbers: np.ndarray, weights: np.ndarray | None) -> None:
        shares = np.linspace(0, 1, min(MOST_RANKS, max(2, len(numbers))))
        landmarks = quantiles(numbers.astype(np.float64), weights, shares.tolist()).astype(np.float32)
        self.maps = []  # for each column increasing knots and their ranks; linear between knots, constant beyond them
        for column in landmarks.T:
            knots = np.unique(column).astype(np.float64)
            self.maps.append((knots, _normal_scores(knots, column, shares)))

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """Return the ranks of numbers, float32, of the same shape."""
        ranks = np.empty(numbers.shape, np.float32)
        for j, (knots, scores) in enumerate(self.maps):
            ranks[:, j] = np.interp(numbers[:, j], knots, scores)
        return ranks

    def plain(self) -> Ramps:
        """Return the maps as plain data for exports."""
        return Ramps([*range(len(self.maps))], [knots for knots, _ in self.maps], [scores for _, scores in self.maps])


def sees_ranks(network: Any) -> bool:
    """Whether a network sees ranks in place of numbers."""
    return vars(network).get("_sees_ranks", False)


def _normal_scores(column: np.ndarray, landmarks: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the normal quantiles of numbers, scaled so that the quartiles are 1 apart; for ties the middle."""
    below = np.interp(column, landmarks, shares)
    above = -np.interp(-column, -landmarks[::-1], -shares[::-1])
    tiny = 1e-7
    return np.clip(ndtri(np.clip((below + above) / 2, tiny, 1 - tiny)), -LARGEST_RANK, LARGEST_RANK) / QUARTILES
