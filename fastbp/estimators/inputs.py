"""Data at the door: what validate_data leaves to do, and what can pass without it."""

from numbers import Number
from typing import Any

import numpy as np
from sklearn.utils import check_array

DTYPES = (np.dtype(np.float64), np.dtype(np.float32))
_SMALL = 2**16  # elements; of a larger X the cost of validate_data is no longer seen


def is_plain(X: Any, dtypes: tuple[np.dtype, ...]) -> bool:
    """Whether validate_data, a third of a small fit and most of a one-row prediction, would return X itself."""
    return (
        type(X) is np.ndarray
        and X.ndim == 2
        and X.dtype in dtypes
        and X.flags.c_contiguous
        and 0 < X.size <= _SMALL
        and bool(np.isfinite(X).all())
    )


def is_plain_target(y: Any, n_samples: int) -> bool:
    """Whether the same holds for a target of one column."""
    return (
        type(y) is np.ndarray
        and y.shape == (n_samples,)
        and (y.dtype.kind in "biu" or (y.dtype in DTYPES and bool(np.isfinite(y).all())))
    )


def check_sample_weight(sample_weight: Any, X: Any) -> np.ndarray | None:
    """Return the weights in X's dtype, of shape (n_samples,), or None for equal weights."""
    if sample_weight is None:
        return None
    n_samples = X.shape[0]
    if isinstance(sample_weight, Number):
        sample_weight = np.full(n_samples, sample_weight)
    sample_weight = check_array(sample_weight, ensure_2d=False, dtype=X.dtype, order="C", input_name="sample_weight")
    if sample_weight.ndim != 1:
        raise ValueError(
            f"Sample weights must be 1D array or scalar, got {sample_weight.ndim}D array. Expected either a scalar value or a"
            f" 1D array of length {n_samples}."
        )
    if len(sample_weight) != n_samples:
        raise ValueError(f"sample_weight.shape == {sample_weight.shape}, expected {(n_samples,)}!")
    if not sample_weight.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return sample_weight
