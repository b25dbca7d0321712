"""Networks whose outputs never fall, or never rise, with an input: the signs that their weights keep.

If no activation falls, an output rises with an input when the product of the weights along each path between them is positive (H.
Daniels and M. Velikova, Monotone and partially monotone neural networks, IEEE Transactions on Neural Networks 21, 2010). So each
unit has a direction: an input that of its constraint, an output +1, and hidden units +1 and -1 in turn. If all were +1, 'relu'
could express convex functions only; a unit of direction -1 takes the place of -relu(-z) (D. Runje and S. M. Shankaranarayana,
Constrained monotonic neural networks, ICML 2023). The sign of a weight is the product of the directions of both units; weights of
inputs without a constraint are free. A step sets a weight that would change its sign to zero (kernels/steps.py), so the outputs
are monotonic for every input.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.kernels.layout import N_EMBEDDED, Network
from fastbp.names import GAUSSIAN_NLL
from fastbp.training.network import aligned_zeros, front_views, parameter_views


def parameter_signs(network: Network, constraints: Sequence[int], dtype: Any) -> np.ndarray:
    """Return the sign that each parameter keeps, (n_parameters,): 1, -1, or 0 for a free one.

    constraints: for each feature 1 if outputs must not fall with it, -1 if they must not rise, 0 if there is no constraint.
    """
    signs = aligned_zeros(network.n_parameters, dtype)
    inputs = np.array([*[0] * (N_EMBEDDED * network.embedded.size), *constraints])
    hidden = [np.where(np.arange(n) % 2, -1, 1) for n in network.units[1:-1].tolist()]
    outputs = np.ones(network.units[-1], dtype=int)
    if network.loss == GAUSSIAN_NLL:  # only the means are constrained
        outputs[len(outputs) // 2 :] = 0
    directions = [inputs, *hidden, outputs]
    for layer, view in enumerate(parameter_views(network, signs)[0]):
        view[...] = np.outer(directions[layer], directions[layer + 1])
    if network.skip_layer >= 0:
        front_views(network, signs)["skip"][...] = np.outer(constraints, directions[network.skip_layer + 1])
    return signs


def turned(params: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Return parameters with the given signs and the same absolute values."""
    return np.where(params * signs < 0, -params, params)
