"""Class labels to numbers."""

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.multiclass import type_of_target, unique_labels


def discrete_labels(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted labels, and y as positions in them, (n_samples,), or if multilabel as booleans, (n_samples, n_labels)."""
    # type_of_target takes longer than a small fit, and these cannot be anything else
    if not issparse(y) and y.ndim == 1 and y.dtype.kind in "biuU":
        return np.unique(y, return_inverse=True)
    y_type = type_of_target(y, input_name="y")
    if "multioutput" in y_type:
        raise ValueError("Multioutput target data is not supported with label binarization")
    labels = unique_labels(y)
    if y_type == "multilabel-indicator":
        return labels, (y.toarray() if issparse(y) else y) != 0
    return labels, np.unique(y, return_inverse=True)[1]
