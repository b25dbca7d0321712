"""The compiled passes without training: forward, and loss with gradient, through functions that every version has."""

import numpy as np

from fastbp import forward, gradients

from .common import Benchmark

N_ROWS = 1000
ACTIVATIONS = ("identity", "logistic", "tanh", "relu")


def make_case(layer_sizes, dtype):
    """Return weights and intercepts of a network, and data X (N_ROWS, n_features), Y (N_ROWS, n_outputs)."""
    random = np.random.RandomState(0)
    pairs = zip(layer_sizes, layer_sizes[1:])
    coefs = [random.uniform(-1, 1, pair).astype(dtype) * np.sqrt(6 / sum(pair), dtype=dtype) for pair in pairs]
    intercepts = [np.zeros(n_out, dtype) for n_out in layer_sizes[1:]]
    X, Y = (random.normal(size=(N_ROWS, width)).astype(dtype) for width in (layer_sizes[0], layer_sizes[-1]))
    return coefs, intercepts, X, Y


class Passes(Benchmark):
    """Three equal layers of weights."""

    params = ((8, 64, 512), ("float32", "float64"))
    param_names = ("width", "dtype")

    def setup(self, width, dtype):
        self.case = make_case([width] * 4, dtype)
        self.time_forward(width, dtype)
        self.time_gradient(width, dtype)

    def time_forward(self, width, dtype):
        forward(*self.case[:3])

    def time_gradient(self, width, dtype):
        gradients(*self.case)


class Activations(Benchmark):
    """One input, many units: the activation is most of the work."""

    params = (ACTIVATIONS, ("float32", "float64"))
    param_names = ("activation", "dtype")

    def setup(self, activation, dtype):
        self.coefs, self.intercepts, self.X, _ = make_case([1, 512, 1], dtype)
        self.time_forward(activation, dtype)

    def time_forward(self, activation, dtype):
        forward(self.coefs, self.intercepts, self.X, activation=activation)
