"""The compiled passes without estimators: forward, and loss with gradient."""

import numpy as np

from fastbp.training.network import make_network, pack_parameters
from fastbp.training.objective import loss_and_gradient
from fastbp.training.predict import predict_outputs
from fastbp.training.starts import draw_parameters

from .common import Benchmark

N_ROWS = 1000
ACTIVATIONS = ("identity", "logistic", "tanh")


def make_case(layer_sizes, activation, dtype):
    """Return a regression network, its parameters, and data X (N_ROWS, n_features), Y (N_ROWS, n_outputs)."""
    activations = [activation] * (len(layer_sizes) - 2)
    network = make_network(layer_sizes, activations, "identity", "squared_error", dtype=dtype)
    random = np.random.RandomState(0)
    start = draw_parameters(layer_sizes, [*activations, "identity"], init="glorot_uniform", random_state=random, dtype=dtype)
    X, Y = (random.normal(size=(N_ROWS, width)).astype(dtype) for width in (layer_sizes[0], layer_sizes[-1]))
    return network, pack_parameters(network, *start, dtype), X, Y


class Passes(Benchmark):
    """Three equal layers of weights, one thread."""

    params = ((8, 64, 512), ("float32", "float64"))
    param_names = ("width", "dtype")

    def setup(self, width, dtype):
        self.network, self.parameters, self.X, self.Y = make_case([width] * 4, "relu", dtype)
        self.gradient = np.empty_like(self.parameters)
        self.time_forward(width, dtype)
        self.time_gradient(width, dtype)

    def time_forward(self, width, dtype):
        predict_outputs(self.network, self.parameters, self.X, n_threads=1)

    def time_gradient(self, width, dtype):
        loss_and_gradient(self.network, self.parameters, self.X, self.Y, None, alpha=0.0, gradient=self.gradient, n_threads=1)


class Activations(Benchmark):
    """One input, many units: the activation is most of the work."""

    params = (ACTIVATIONS, ("float32", "float64"))
    param_names = ("activation", "dtype")

    def setup(self, activation, dtype):
        self.network, self.parameters, self.X, _ = make_case([1, 512, 1], activation, dtype)
        self.time_forward(activation, dtype)

    def time_forward(self, activation, dtype):
        predict_outputs(self.network, self.parameters, self.X, n_threads=1)
