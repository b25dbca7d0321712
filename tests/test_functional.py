"""fastbp.forward and fastbp.gradients against plain loops, finite differences and the chain rule by hand."""

import itertools

import naive
import numpy as np
import pytest
from covering import dealt, named
from scipy.optimize import approx_fprime
from sklearn.base import clone
from targets import targets_for

from fastbp import BPClassifier, BPRegressor, CustomLoss, Gradients, forward, gradients
from fastbp.names import HIDDEN_ACTIVATIONS, LOSSES, OUTPUT_ACTIVATIONS

PAIRS = [(name, output) for name, loss in LOSSES.items() if not (loss.has_groups or loss.has_score) for output in loss.outputs]


def problem(layer_sizes=(3, 5, 4, 2), loss="squared_error", n_samples=7, seed=0):
    """Random weights, inputs and targets of the kind that the loss needs."""
    rng = np.random.RandomState(seed)
    coefs = [rng.uniform(-1, 1, shape) for shape in itertools.pairwise(layer_sizes)]
    intercepts = [rng.uniform(-0.5, 0.5, size) for size in layer_sizes[1:]]
    X = rng.uniform(-1, 1, (n_samples, layer_sizes[0]))
    y = targets_for(loss, rng, n_samples, layer_sizes[-1])
    return coefs, intercepts, X, y


def assert_close(actual, expected, **tolerance):
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, **{"rtol": 1e-9, "atol": 1e-13, **tolerance})


@pytest.mark.parametrize(("activation", "output_activation"), dealt(HIDDEN_ACTIVATIONS, OUTPUT_ACTIVATIONS))
def test_forward_is_the_plain_loop(activation, output_activation):
    coefs, intercepts, X, _ = problem()
    names = {"activation": activation, "output_activation": output_activation}
    actual = forward(coefs, intercepts, X, **names)
    assert [array.shape for array in actual] == [(7, 5), (7, 4), (7, 2)]
    assert_close(actual, naive.forward(coefs, intercepts, X, **names)[1:])


@pytest.mark.parametrize(("pair", "activation"), dealt(PAIRS, HIDDEN_ACTIVATIONS, rounds=1), ids=named)
def test_gradients_are_the_plain_loop(pair, activation):
    loss, output_activation = pair
    coefs, intercepts, X, y = problem(loss=loss)
    for weights in ({}, {"sample_weight": np.arange(7.0)}):
        options = {"activation": activation, "output_activation": output_activation, "loss": loss, "alpha": 0.3, **weights}
        actual = gradients(coefs, intercepts, X, y, **options)
        expected = naive.gradients(coefs, intercepts, X, y, **options)
        np.testing.assert_allclose(actual.loss, expected.loss, rtol=1e-10)
        assert_close(actual.coefs, expected.coefs)
        assert_close(actual.intercepts, expected.intercepts)
        assert_close(actual.inputs, expected.inputs)


@pytest.mark.parametrize(
    ("pair", "activation"),
    # a step has no slope: its straight-through gradient is not the loss's
    dealt([pair for pair in PAIRS if pair[1] != "step"], [name for name in HIDDEN_ACTIVATIONS if name != "step"], rounds=1),
    ids=named,
)
def test_gradients_are_finite_differences(pair, activation):
    loss, output_activation = pair
    # one output: for several, scikit-learn's squared error averages what its gradient sums
    n_outputs = 3 if LOSSES[loss].has_class_numbers else 2 if LOSSES[loss].has_spread else 1
    layer_sizes = (3, 4, n_outputs)
    coefs, intercepts, X, y = problem(layer_sizes, loss)
    options = {"activation": activation, "output_activation": output_activation, "loss": loss, "alpha": 0.2}
    actual = gradients(coefs, intercepts, X, y, **options)
    arrays = [*coefs, *intercepts, X]
    for slot, gradient in enumerate([*actual.coefs, *actual.intercepts, actual.inputs]):

        def loss_at(values, slot=slot):
            moved = [values.reshape(array.shape) if i == slot else array for i, array in enumerate(arrays)]
            return gradients(moved[:2], moved[2:4], moved[4], y, **options).loss

        numeric = approx_fprime(arrays[slot].ravel(), loss_at, 1e-7)
        np.testing.assert_allclose(np.asarray(gradient).ravel(), numeric, rtol=1e-4, atol=1e-6)


def test_one_neuron_by_hand():
    """The output of σ(w0·x0 + w1·x1 + w2) by every weight and input: for a target of -1 and ½(ŷ - y)², upstream is ŷ + 1."""
    w, x = np.array([2.0, -3.0, -3.0]), np.array([-1.0, -2.0])
    output = 1 / (1 + np.exp(-(w[:2] @ x + w[2])))
    result = gradients([w[:2, np.newaxis]], [w[2:]], x[np.newaxis], [-1.0], output_activation="logistic")
    upstream, local = output + 1, output * (1 - output)
    np.testing.assert_allclose(result.coefs[0][:, 0], upstream * local * x, rtol=1e-12)
    np.testing.assert_allclose(result.intercepts[0], upstream * local, rtol=1e-12)
    np.testing.assert_allclose(result.inputs[0], upstream * local * w[:2], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_and_shapes(dtype):
    coefs, intercepts, X, y = problem()
    result = gradients(coefs, intercepts, X.astype(dtype), y)
    assert isinstance(result, Gradients)
    assert isinstance(result.loss, float)
    for gradient, array in zip([*result.coefs, *result.intercepts, result.inputs], [*coefs, *intercepts, X], strict=True):
        assert gradient.shape == array.shape
        assert gradient.dtype == dtype
    assert {layer.dtype for layer in forward(coefs, intercepts, X.astype(dtype))} == {np.dtype(dtype)}


def test_activation_names_per_layer():
    coefs, intercepts, X, _ = problem()
    options = {"activation": ("tanh", "leaky_relu"), "output_activation": "logistic"}
    hidden, next_hidden, output = forward(coefs, intercepts, X, **options)
    np.testing.assert_allclose(hidden, np.tanh(X @ coefs[0] + intercepts[0]))
    z = hidden @ coefs[1] + intercepts[1]
    np.testing.assert_allclose(next_hidden, np.where(z < 0, 0.01 * z, z))
    np.testing.assert_allclose(output, 1 / (1 + np.exp(-(next_hidden @ coefs[2] + intercepts[2]))))


def test_many_rows():
    """More rows than the kernels take in one block."""
    coefs, intercepts, X, y = problem((3, 4, 1), n_samples=5000)
    result = gradients(coefs, intercepts, X, y)
    halves = [gradients(coefs, intercepts, X[rows], y[rows]) for rows in (slice(None, 2500), slice(2500, None))]
    np.testing.assert_allclose(result.loss, np.mean([half.loss for half in halves]), rtol=1e-10)
    np.testing.assert_allclose(result.inputs, np.concatenate([half.inputs / 2 for half in halves]), rtol=1e-10, atol=1e-18)
    assert forward(coefs, intercepts, X)[0].shape == (5000, 4)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_estimators_use_the_same_gradients(n_classes):
    """One full-batch step of plain gradient descent moves the weights by -rate times the gradients."""
    rng = np.random.RandomState(0)
    X, y = rng.randn(30, 4), rng.randint(n_classes, size=30)
    classifier = BPClassifier(
        5, "tanh", solver="sgd", momentum=0, learning_rate_init=0.1, batch_size=30, alpha=0.5, max_iter=1, random_state=0
    )
    start = clone(classifier).set_params(learning_rate_init=1e-300).fit(X, y)
    stepped = classifier.fit(X, y)
    loss = "log_loss" if n_classes == 3 else "binary_log_loss"
    result = gradients(
        start.coefs_, start.intercepts_, X, y, activation="tanh", output_activation=start.out_activation_, loss=loss, alpha=0.5
    )
    np.testing.assert_allclose(stepped.loss_, result.loss, rtol=1e-10)
    assert_close(stepped.coefs_, [W - 0.1 * g for W, g in zip(start.coefs_, result.coefs, strict=True)])
    assert_close(stepped.intercepts_, [b - 0.1 * g for b, g in zip(start.intercepts_, result.intercepts, strict=True)])
    hidden, output = forward(stepped.coefs_, stepped.intercepts_, X, activation="tanh", output_activation=stepped.out_activation_)
    assert hidden.shape == (30, 5)
    np.testing.assert_allclose(stepped.predict_proba(X)[:, -1], output[:, -1], rtol=1e-12)


def test_nothing_is_changed():
    coefs, intercepts, X, y = problem()
    before = [array.copy() for array in (*coefs, *intercepts, X, y)]
    for array in (*coefs, *intercepts, X, y):
        array.flags.writeable = False
    forward(coefs, intercepts, X)
    gradients(coefs, intercepts, X, y, alpha=1.0)
    np.testing.assert_equal([*coefs, *intercepts, X, y], before)


BAD = {
    "X has 2 features": {"X": np.ones((7, 2))},
    "Input X contains NaN": {"X": np.full((7, 3), np.nan)},
    "Input y contains NaN": {"y": np.full((7, 2), np.nan)},
    "inconsistent": {"y": np.ones((6, 2))},
    "y has 3 columns": {"y": np.ones((7, 3))},
    "do not fit": {"intercepts": [np.ones(5), np.ones(4), np.ones(3)]},
    "one array per layer": {"coefs": [np.ones((3, 2))]},
    "'activation' parameter of gradients": {"activation": "sigmoid"},
    "'output_activation' parameter of gradients": {"output_activation": "linear"},
    "'loss' parameter of gradients": {"loss": "mse"},
    "'alpha' parameter of gradients": {"alpha": -1},
    "'softmax' does not go with the loss 'squared_error'": {"output_activation": "softmax"},
    "'identity' does not go with the loss 'log_loss', which needs 'softmax'": {"loss": "log_loss"},
    "class indices from 0 to 1": {"loss": "log_loss", "output_activation": "softmax", "y": [0, 1, 2, 0, 1, 2, 0]},
    "'squared_error' takes no loss_parameter": {"loss_parameter": 0.5},
    "takes no loss_parameter": {
        "loss": CustomLoss(lambda p, t: (p - t) ** 2, lambda p, t: 2 * (p - t), 1.0),
        "loss_parameter": 2.0,
    },
    "loss_parameter has 3 values": {"loss": "quantile", "loss_parameter": [0.1, 0.5, 0.9]},
    "'loss_parameter' parameter of gradients": {"loss": "tweedie", "loss_parameter": 2.0, "output_activation": "exp"},
    "needs 1": {"loss": "log_loss", "output_activation": "softmax", "y": np.zeros((7, 2))},
    "expected": {"sample_weight": np.ones(3)},
    "names 1 layers": {"activation": ["relu"]},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input(message):
    coefs, intercepts, X, y = problem()
    arguments = {"coefs": coefs, "intercepts": intercepts, "X": X, "y": y, **BAD[message]}
    with pytest.raises(ValueError, match=message):
        gradients(**arguments)


@pytest.mark.parametrize("message", ["X has 2 features", "do not fit", "one array per layer"])
def test_bad_input_of_forward(message):
    coefs, intercepts, X, _ = problem()
    with pytest.raises(ValueError, match=message):
        forward(**{"coefs": coefs, "intercepts": intercepts, "X": X, **BAD[message]})


def test_regressor_output_is_the_last_layer():
    X = np.random.RandomState(0).randn(20, 3)
    model = BPRegressor(hidden_layer_sizes=(4, 3), activation="leaky_relu", max_iter=2, random_state=0).fit(X, X[:, :2])
    output = forward(model.coefs_, model.intercepts_, X, activation="leaky_relu")[-1]
    np.testing.assert_allclose(output, model.predict(X), rtol=1e-10)
