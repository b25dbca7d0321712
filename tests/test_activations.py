"""Activations, their slopes and the starts made for them against PyTorch."""

import numpy as np
import pytest

from fastbp import forward, gradients
from fastbp.names import HIDDEN_ACTIVATIONS

NAMES = [name for name in HIDDEN_ACTIVATIONS if name != "step"]  # which is trained with a slope that it has not


# Where PyTorch has no module of the same name: another one of its own, or the formula in its functions.
IN_PYTORCH = {
    "logistic": lambda torch: torch.nn.Sigmoid(),
    "gelu": lambda torch: torch.nn.GELU(approximate="tanh"),
}


def function_of_torch(name):
    torch = pytest.importorskip("torch")
    if name in IN_PYTORCH:
        return IN_PYTORCH[name](torch)
    found = [module for module in dir(torch.nn) if module.lower() == name.replace("_", "")]
    assert found, f"PyTorch has no module {name!r}: give IN_PYTORCH its formula"
    return getattr(torch.nn, found[0])()


@pytest.mark.parametrize("name", NAMES)
def test_values_and_slopes_are_those_of_pytorch(name):
    torch, function = pytest.importorskip("torch"), function_of_torch(name)
    rng = np.random.RandomState(0)
    coefs, intercepts = [rng.randn(4, 6), rng.randn(6, 3)], [rng.randn(6), rng.randn(3)]
    X, y = 3 * rng.randn(50, 4), rng.randn(50, 3)
    tensors = [torch.tensor(array, requires_grad=True) for array in (*coefs, *intercepts, X)]
    W, V, b, c, inputs = tensors
    hidden = function(inputs @ W + b)
    outputs = function(hidden @ V + c)
    loss = 0.5 * ((outputs - torch.tensor(y)) ** 2).sum(dim=1).mean()
    loss.backward()
    own = forward(coefs, intercepts, X, activation=name, output_activation=name)
    for layer, expected in zip(own, (hidden, outputs), strict=True):
        np.testing.assert_allclose(layer, expected.detach().numpy(), rtol=1e-9, atol=1e-12)
    result = gradients(coefs, intercepts, X, y, activation=name, output_activation=name)
    for gradient, tensor in zip([*result.coefs, *result.intercepts, result.inputs], tensors, strict=True):
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("activation", "init"), [("selu", "lecun_normal"), ("identity", "orthogonal")])
def test_deep_layers_keep_the_spread(activation, init):
    """Forty layers of the activation that a start is made for pass on what comes in, neither smaller nor larger."""
    from fastbp.training.initialisation import draw_parameters

    sizes = [64] * 41
    coefs, intercepts = draw_parameters(sizes, [activation] * 40, init=init, random_state=np.random.RandomState(0))
    X = np.random.RandomState(1).randn(500, 64)
    layers = forward(coefs, intercepts, X, activation=activation, output_activation=activation)
    assert 0.7 < np.std(layers[-1]) / np.std(X) < 1.4
