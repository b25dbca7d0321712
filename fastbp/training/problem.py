"""Tables, targets and weights as the kernels take them, without a copy of what may be large."""

import numpy as np

from fastbp.kernels.layout import Samples, Table

NO_COLUMNS = np.empty(0, dtype=np.int32)
NO_ORDER = np.empty(0, dtype=np.int64)


class _Memory:
    """Stands in for an array in the buffer interface, so that a read-only array gets a view of the one type the kernels are
    compiled for.

    Kernels never write to samples.
    """

    def __init__(self, array):
        self.owner = array
        self.__array_interface__ = {
            "shape": (array.size,),
            "typestr": array.dtype.str,
            "data": (array.ctypes.data, False),
            "version": 3,
        }


def flat_view(array):
    """The elements of a C-contiguous array as one writable row, without a copy."""
    if array.flags.writeable and array.flags.c_contiguous:
        return array.reshape(-1)
    return np.asarray(_Memory(array)) if array.size else np.empty(0, array.dtype)


def make_table(X):
    """Hand the rows of X, dense and C-contiguous or CSR with sorted columns, to the kernels without copying the values."""
    if hasattr(X, "indptr"):
        if not X.has_sorted_indices:
            X = X.sorted_indices()
        columns, row_starts = X.indices.astype(np.int32, copy=False), X.indptr.astype(np.int64, copy=False)
        return Table(flat_view(X.data), flat_view(columns), flat_view(row_starts), 1, X.shape[0])
    return Table(flat_view(X), NO_COLUMNS, NO_ORDER, 0, X.shape[0])


def make_samples(X, Y, sample_weight):
    """Rows with targets and weights (None: all 1) for the kernels."""
    dtype = X.dtype
    Y = np.ascontiguousarray(Y, dtype=dtype)
    weights = np.empty(0, dtype) if sample_weight is None else np.ascontiguousarray(sample_weight, dtype=dtype)
    return Samples(make_table(X), flat_view(Y), 1 if Y.ndim == 1 else Y.shape[1], flat_view(weights))
