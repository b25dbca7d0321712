"""Networks whose outputs never fall, or never rise, with an input: what sign each weight has to keep.

With activations that never fall, an output rises with an input if the signs along every way between them multiply to plus (H.
Daniels and M. Velikova, Monotone and partially monotone neural networks, IEEE Transactions on Neural Networks 21, 2010). Each
unit therefore goes by a direction: a constrained input by its constraint, outputs upwards, and hidden units by turns upwards and
downwards, as units that all went upwards would make of 'relu' nothing but convex functions; a unit that goes downwards is their
-relu(-z) (D. Runje and S. M. Shankaranarayana, Constrained monotonic neural networks, ICML 2023). A weight has the sign of the
product of both its ends' directions; weights of inputs without a constraint are free. Each step sets a weight that would change
its sign to zero (kernels/steps.py), so all this holds for the weights themselves, whatever comes in.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp.kernels.layout import N_EMBEDDED, Network
from fastbp.names import GAUSSIAN_NLL
from fastbp.training.network import aligned_zeros, front_views, parameter_views


def parameter_signs(network: Network, constraints: Sequence[int], dtype: Any) -> np.ndarray:
    """The signs that a network's parameters keep.

    Parameters
    ----------
    network : Network
    constraints : sequence of int
        For each feature 1 where outputs may not fall with it, -1 where they may not rise, 0 where they are free.
    dtype : dtype

    Returns
    -------
    signs : ndarray of shape (n_parameters,)
        1, -1, or 0 where a parameter is free, laid out like the parameters.
    """
    signs = aligned_zeros(network.n_parameters, dtype)
    inputs = np.array([*[0] * (N_EMBEDDED * network.embedded.size), *constraints])
    hidden = [np.where(np.arange(n) % 2, -1, 1) for n in network.units[1:-1].tolist()]
    outputs = np.ones(network.units[-1], dtype=int)
    if network.loss == GAUSSIAN_NLL:  # of which the means are constrained, not the spreads
        outputs[len(outputs) // 2 :] = 0
    directions = [inputs, *hidden, outputs]
    for layer, view in enumerate(parameter_views(network, signs)[0]):
        view[...] = np.outer(directions[layer], directions[layer + 1])
    if network.skip_layer >= 0:
        front_views(network, signs)["skip"][...] = np.outer(constraints, directions[network.skip_layer + 1])
    return signs


def turned(params: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Parameters of the same magnitudes that have the signs, for a start."""
    return np.where(params * signs < 0, -params, params)
