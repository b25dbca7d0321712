"""Flat vectors that are kept after a fit: moments, and the best weights of early stopping."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.training.network import front_views, pack_parameters, parameter_views


class KeptVectors:
    """Flat vectors, (n_parameters,), in the layout of a network's parameters.

    Copies and pickles hold them per layer and without padding, which depends on the machine and the dtype.
    """

    def __init__(self, network: Any, vectors: Sequence[np.ndarray]) -> None:
        self._network, self._vectors = network, list(vectors)
        self._per_layer: list[tuple[Any, ...]] = []

    @property
    def is_whole(self) -> bool:
        """Whether every vector has the length that kernels expect."""
        if self._network is None:
            return isinstance(self._per_layer, list)
        n_parameters = self._network.n_parameters
        are_vectors = all(isinstance(vector, np.ndarray) and vector.dtype.kind == "f" for vector in self._vectors)
        return are_vectors and all(vector.shape == (n_parameters,) for vector in self._vectors)

    def laid_out(self, network: Any, dtype: np.dtype) -> list[np.ndarray] | None:
        """Return the vectors in the layout of a network, without copies if they have it; None if its layers are different."""
        if network is self._network and all(vector.dtype == dtype for vector in self._vectors):
            return self._vectors
        if self._network is not None and not np.array_equal(self._network.units, network.units):
            return None
        shapes = [*zip(network.units[:-1].tolist(), network.units[1:].tolist())]
        per_layer = self.unpacked()
        front = {name: view.shape for name, view in front_views(network, np.zeros(network.n_parameters, dtype)).items()}
        for coefs, _, *rest in per_layer:
            if [W.shape for W in coefs] != shapes or {n: value.shape for n, value in dict(*rest).items()} != front:
                return None
        return [pack_parameters(network, coefs, intercepts, dtype, dict(*rest)) for coefs, intercepts, *rest in per_layer]

    def unpacked(self) -> list[tuple[Any, ...]]:
        """Return views for each vector: weights and biases of each layer, and `front_views` if there are any."""
        if self._network is None:
            return self._per_layer
        parts = [(*parameter_views(self._network, vector), front_views(self._network, vector)) for vector in self._vectors]
        return [part if part[2] else part[:2] for part in parts]

    def __getstate__(self) -> dict[str, Any]:
        copied: list[tuple[Any, ...]] = []
        for coefs, intercepts, *rest in self.unpacked():
            fronts = [{name: value.copy() for name, value in front.items()} for front in rest]
            copied.append(([W.copy() for W in coefs], [b.copy() for b in intercepts], *fronts))
        return {"_network": None, "_vectors": [], "_per_layer": copied}
