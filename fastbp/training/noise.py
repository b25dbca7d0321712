"""Noise that is added to the inputs of training alone, drawn anew for every epoch by counted random numbers."""

from typing import Any, NamedTuple

import numpy as np


class InputNoise(NamedTuple):
    """Normal noise: which it is follows from the key, the number of the epoch and the place in the table alone.

    The generator, Philox, counts (J. K. Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011): epochs are counters
    that are far apart, so none needs those before it.
    """

    key: int
    spreads: np.ndarray  # (n_features,), standard deviation of each column

    def added(self, X: np.ndarray, epoch: int, out: np.ndarray | None = None) -> np.ndarray:
        """X, (n_rows, n_features), with the noise of an epoch; out: where to write it."""
        out = np.empty_like(X, order="C") if out is None else out
        generator: Any = np.random.Generator(np.random.Philox(key=self.key, counter=[0, 0, 0, epoch]))
        generator.standard_normal(dtype=X.dtype, out=out)
        out *= self.spreads
        out += X
        return out
