"""Noise that is added to the inputs in training only, and drawn again for each epoch."""

from typing import Any, NamedTuple

import numpy as np


class InputNoise(NamedTuple):
    """Normal noise, determined by the key, the number of the epoch and the place in the table.

    The generator, Philox, is a function of a counter (J. K. Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011).
    Each epoch has a counter of its own, so its noise can be drawn without that of earlier epochs.
    """

    key: int
    deviations: np.ndarray  # (n_features,), the standard deviation of each column

    def added(self, X: np.ndarray, epoch: int, out: np.ndarray | None = None) -> np.ndarray:
        """Return X, (n_rows, n_features), with the noise of an epoch, in `out` if it is given."""
        out = np.empty_like(X, order="C") if out is None else out
        generator: Any = np.random.Generator(np.random.Philox(key=self.key, counter=[0, 0, 0, epoch]))
        generator.standard_normal(dtype=X.dtype, out=out)
        out *= self.deviations
        out += X
        return out
