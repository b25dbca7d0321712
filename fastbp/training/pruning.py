"""Pruning: fewer hidden units with nearly the same outputs."""

from typing import Any

import numpy as np
from scipy.linalg import qr

from fastbp.kernels.layout import Network
from fastbp.training.network import front_views, make_network, pack_parameters, parameter_views
from fastbp.training.predict import activation_names, first_layers, predict_outputs


class _Pruning:
    """A network while it loses units, and the original network."""

    def __init__(self, network: Network, params: np.ndarray, X: Any, n_threads: int | None) -> None:
        self.network, self.params, self.X, self.n_threads = network, params, X, n_threads
        self.before = parameter_views(network, params)
        self.coefs, self.intercepts = ([array.astype(np.float64) for array in arrays] for arrays in self.before)
        self.outputs = self._predict(network, params)

    def _predict(self, network: Network, params: np.ndarray) -> np.ndarray:
        return predict_outputs(network, params, self.X, n_threads=self.n_threads).astype(np.float64)

    def _packed(self, coefs: list[np.ndarray], intercepts: list[np.ndarray]) -> tuple[Network, np.ndarray]:
        sizes, names = [coefs[0].shape[0], *(W.shape[1] for W in coefs)], activation_names(self.network)
        groups = np.diff(self.network.groups).tolist()
        skip_layer, beside = self.network.skip_layer >= 0, front_views(self.network, self.params)
        options: dict[str, Any] = {"loss_parameter": 1.0, "groups": groups, "skip_layer": skip_layer, "dtype": self.params.dtype}
        network = make_network(sizes, names[:-1], names[-1], "squared_error", **options)
        return network, pack_parameters(network, coefs, intercepts, self.params.dtype, beside)

    def prune(self, layer: int, most: np.ndarray) -> None:
        """Drop as many units of a layer as possible while the root mean square change of each output is at most `most`."""
        wanted = self._predict(*first_layers(self.network, self.params, layer + 1)) @ self.before[0][layer + 1]
        now = self._predict(*first_layers(*self._packed(self.coefs, self.intercepts), layer + 1))
        first = int(self.network.fit_intercept)
        Q, R = np.linalg.qr(np.hstack([np.ones((len(now), first)), now]))  # as many rows as units suffice
        target = Q.T @ wanted
        order = _elimination_order(
            R[first:, first:], target[first:], self.coefs[layer + 1], float(np.finfo(self.params.dtype).eps)
        )

        def without(n_dropped: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
            kept = np.sort(order[n_dropped:])
            solution = np.linalg.lstsq(R[:, [*range(first), *(first + kept)]], target, rcond=None)[0]
            coefs, intercepts = list(self.coefs), list(self.intercepts)
            coefs[layer], intercepts[layer] = coefs[layer][:, kept], intercepts[layer][kept]
            coefs[layer + 1] = solution[first:]
            if first:
                intercepts[layer + 1] = self.before[1][layer + 1] + solution[0]
            return coefs, intercepts

        low, high = 0, len(order) - 1  # a layer keeps at least one unit
        while low < high:
            middle = (low + high + 1) // 2
            change = self._predict(*self._packed(*without(middle))) - self.outputs
            if (np.sqrt((change**2).mean(axis=0)) <= most).all():
                low = middle
            else:
                high = middle - 1
        if low:
            self.coefs, self.intercepts = without(low)


def pruned_weights(
    network: Network, params: np.ndarray, X: Any, tolerance: float, n_threads: int | None = None
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Drop hidden units, refit the next layer's weights by least squares, and return all coefs and intercepts.

    This goes layer by layer, from the first. The units that matter least are dropped first, as many as the tolerance allows. Each
    layer may use an equal share of the tolerance.

    Parameters
    ----------
    network : Network
    params : ndarray of shape (n_parameters,)
    X : ndarray of shape (n_samples, n_features), C-contiguous, or CSR matrix
        It should have more rows than a layer has units.
    tolerance : float
        Largest root mean square change of an output over the rows of X, in standard deviations of this output.
    n_threads : int or None
    """
    pruning = _Pruning(network, params, X, n_threads)
    deviations, n_hidden = pruning.outputs.std(axis=0), len(network.units) - 2
    for layer in range(n_hidden):
        pruning.prune(layer, tolerance * (layer + 1) / n_hidden * deviations)
    return [W.astype(params.dtype) for W in pruning.coefs], [b.astype(params.dtype) for b in pruning.intercepts]


def _elimination_order(R: np.ndarray, target: np.ndarray, next_weights: np.ndarray, eps: float) -> np.ndarray:
    """Return the units in the order in which to drop them; R: (n, n_units) their activations, target: (n, n_next).

    First come units that have no effect or are, up to rounding, linear combinations of others. Then comes, again and again, the
    unit without which the residual of the least squares grows least: the optimal brain surgeon's rule for whole units (Hassibi
    and Stork, NIPS 1992).
    """
    strengths = np.linalg.norm(next_weights, axis=1)
    factor, pivots = qr(R * strengths, mode="r", pivoting=True)
    sizes = np.abs(np.diag(factor))
    rank = int((sizes > 10 * eps * max(R.shape) * sizes[0]).sum())
    order, kept = list(pivots[rank:][::-1]), pivots[:rank]
    inverse = np.linalg.inv(factor[:rank, :rank])
    inverse = (inverse @ inverse.T) * strengths[kept][:, np.newaxis] * strengths[kept]  # of R.T @ R for the kept units
    weights = np.linalg.lstsq(R[:, kept], target, rcond=None)[0]
    while kept.size:
        rise = (weights**2).sum(axis=1) / np.diag(inverse)
        least = int(rise.argmin())
        column = inverse[:, least] / inverse[least, least]
        weights = np.delete(weights - np.outer(column, weights[least]), least, axis=0)
        inverse = inverse - np.outer(column, inverse[least])
        inverse = np.delete(np.delete(inverse, least, axis=0), least, axis=1)
        order.append(kept[least])
        kept = np.delete(kept, least)
    return np.array(order)
