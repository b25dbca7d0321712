"""Numbers by their ranks, in the place of which some networks see these."""

from typing import Any

import numpy as np
from scipy.special import ndtri

from fastbp.estimators.plain_table import Ramps
from fastbp.tabular.rows import quantiles

QUARTILES = 1.349  # the quartiles of a normal distribution are so many deviations apart
MOST_RANKS, LARGEST_RANK = 256, 3.5


class Ranks:
    """Numbers as quantiles of a normal distribution, its quartiles 1 apart.

    Parameters
    ----------
    numbers : ndarray of float32, of shape (n_rows, n_numbers)
        By which they are learned.
    weights : ndarray of shape (n_rows,) or None

    Attributes
    ----------
    maps : list of tuple of ndarray
        For each column knots, which increase, and the ranks of these; between knots ranks are linear, beyond them constant.
    landmarks : tuple of ndarray, or None
        Of models of an earlier version: quantiles of the columns, and their shares, which are linear between these.
    """

    landmarks: tuple[np.ndarray, np.ndarray] | None = None

    def __init__(self, numbers: np.ndarray, weights: np.ndarray | None) -> None:
        shares = np.linspace(0, 1, min(MOST_RANKS, max(2, len(numbers))))
        landmarks = quantiles(numbers.astype(np.float64), weights, shares.tolist()).astype(np.float32)
        self.maps = []
        for column in landmarks.T:
            knots = np.unique(column).astype(np.float64)
            self.maps.append((knots, _normal_scores(knots, column, shares)))

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """Return the ranks of numbers, float32, of the same shape."""
        ranks = np.empty(numbers.shape, np.float32)
        if self.landmarks is not None:
            quantiles_, shares = self.landmarks
            for j in range(numbers.shape[1]):
                ranks[:, j] = _normal_scores(numbers[:, j], quantiles_[:, j], shares)
            return ranks
        for j, (knots, scores) in enumerate(self.maps):
            ranks[:, j] = np.interp(numbers[:, j], knots, scores)
        return ranks

    def plain(self) -> Ramps:
        """Return them as plain data for other languages."""
        return Ramps([*range(len(self.maps))], [knots for knots, _ in self.maps], [scores for _, scores in self.maps])


def sees_ranks(network: Any) -> bool:
    """Whether a network is one of those that see ranks in place of numbers."""
    return vars(network).get("_sees_ranks", False)


def _normal_scores(column: np.ndarray, landmarks: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return which quantile of a normal distribution numbers are, its quartiles 1 apart; of equal ones the middle."""
    below = np.interp(column, landmarks, shares)
    above = -np.interp(-column, -landmarks[::-1], -shares[::-1])
    tiny = 1e-7
    return np.clip(ndtri(np.clip((below + above) / 2, tiny, 1 - tiny)), -LARGEST_RANK, LARGEST_RANK) / QUARTILES
