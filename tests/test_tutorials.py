"""The tutorial systems, each from the same start as its own loop: the tutorial's loss, rate and order of steps in plain Python.

Where the tutorial scales its loss otherwise than scikit-learn does, the test states the factor; everything else is compared
as it comes, epoch by epoch, at rtol 1e-9.
"""

import itertools
import math

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import make_classification
from sklearn.metrics import accuracy_score, precision_score, recall_score
from sklearn.model_selection import train_test_split, validation_curve
from sklearn.neural_network import MLPClassifier

import fastbp
from fastbp import BPClassifier, BPRegressor

pytestmark = pytest.mark.slow

RTOL = 1e-9

# Plain gradient descent over all rows that never stops by itself: what every tutorial except the first does.
DESCENT = {
    "solver": "sgd",
    "momentum": 0.0,
    "alpha": 0.0,
    "shuffle": False,
    "tol": 0.0,
    "n_iter_no_change": math.inf,
}


def normal_start(layer_sizes, random_state, scale=1.0, bias=0.0):
    """Weights scale · N(0, 1), all biases alike."""
    coefs = [scale * random_state.normal(size=shape) for shape in itertools.pairwise(layer_sizes)]
    return coefs, [np.full(n, bias) for n in layer_sizes[1:]]


def assert_same_weights(model, coefs, intercepts):
    for ours, theirs in zip([*model.coefs_, *model.intercepts_], [*coefs, *intercepts], strict=True):
        assert_allclose(ours, theirs, rtol=RTOL, atol=1e-13 * np.abs(theirs).max())


class PlainDescent:
    """Full-batch gradient descent over samples, layers, units and weights, with the δ and the loss of the tutorial at hand."""

    def __init__(self, start, names):
        self.coefs, self.intercepts = (naive.to_lists(arrays) for arrays in start)
        self.names = names

    def outputs(self, X):
        return [naive.forward_sample(self.coefs, self.intercepts, x, self.names)[0][-1] for x in X]

    def epoch(self, X, Y, delta, rate):
        """One step down the summed gradient; delta(y, p) is ∂E/∂z of the output layer for one sample."""
        coef_sums = [[[0.0] * len(row) for row in W] for W in self.coefs]
        intercept_sums = [[0.0] * len(b) for b in self.intercepts]
        for x, y in zip(X, Y, strict=True):
            layers, z = naive.forward_sample(self.coefs, self.intercepts, x, self.names)
            naive.add_sample_gradient(self.coefs, layers, z, delta(y, layers[-1]), self.names, coef_sums, intercept_sums)
        gradients = naive.rows_of(coef_sums, intercept_sums)
        for row, gradient in zip(naive.rows_of(self.coefs, self.intercepts), gradients, strict=True):
            for i, slope in enumerate(gradient):
                row[i] -= rate * slope


# T1


def table(n_samples=1000):
    """The two-class table of the first two systems, three quarters of it for training."""
    X, y = make_classification(n_samples, n_features=20, n_informative=2, n_redundant=2, random_state=0)
    return train_test_split(X, y, test_size=0.25, random_state=0)


def test_t1_hidden_sizes_score_as_in_scikit_learn():
    X_train, X_test, y_train, y_test = table()
    X, y = np.vstack([X_train, X_test]), np.hstack([y_train, y_test])
    split = [(np.arange(len(y_train)), np.arange(len(y_train), len(y)))]
    options = {"solver": "lbfgs", "activation": "logistic", "alpha": 1e-5, "max_iter": 50, "random_state": 1}
    sizes = [(5, 5), (20, 20)]
    scores = [
        validation_curve(model(**options), X, y, param_name="hidden_layer_sizes", param_range=sizes, cv=split)
        for model in (BPClassifier, MLPClassifier)
    ]
    assert_allclose(scores[0], scores[1])
    assert np.min(scores[0]) > 0.8


# T2


def plain_t2(seed, rate, n_epochs):
    """Start, data, and the tutorial's own loop: (start, X, y, losses, weights after the last epoch)."""
    X, _, y, _ = table(80)
    start = normal_start([20, 10, 10, 1], np.random.RandomState(seed), bias=0.1)
    loop = PlainDescent(start, ["relu", "relu", "identity"])
    rows, targets, n = X.tolist(), [[float(label)] for label in y], len(X)
    losses = []
    for _ in range(n_epochs):
        errors = [p - target for [p], [target] in zip(loop.outputs(rows), targets, strict=True)]
        losses.append(sum(error * error for error in errors) / n)
        loop.epoch(rows, targets, lambda y, p: [2 * (p[0] - y[0]) / n], rate)
    return start, X, y, losses, loop


def t2_model(start, rate, max_iter):
    # The tutorial's loss has no ½, so its rate is twice as large here.
    return BPRegressor(
        hidden_layer_sizes=(10, 10), init=start, batch_size=60, learning_rate_init=2 * rate, max_iter=max_iter, **DESCENT
    )


@pytest.mark.parametrize("rate", [0.1, 0.001])
def test_t2_follows_the_tutorial(rate):
    start, X, y, losses, loop = plain_t2(seed=0, rate=rate, n_epochs=60)
    if rate == 0.1:
        assert max(losses) > 1000 * losses[0] > losses[-1]  # it explodes, every unit dies, and the mean of the labels is left
    else:
        assert losses[-1] < 0.1 * losses[0]
    model = t2_model(start, rate, 60).fit(X, y)
    assert_allclose(2 * np.array(model.loss_curve_), losses, rtol=RTOL)
    assert_same_weights(model, loop.coefs, loop.intercepts)


def test_t2_divergence_names_the_epoch_and_keeps_the_last_finite_weights():
    start, X, y, losses, loop = plain_t2(seed=2, rate=0.1, n_epochs=5)
    assert losses[-1] > 1e200  # the next squares are beyond float64
    model = t2_model(start, 0.1, 1000)
    with pytest.raises(ValueError, match=r"epoch 6\b.*learning_rate_init"):
        model.fit(X, y)
    assert_allclose(2 * np.array(model.loss_curve_), losses, rtol=RTOL)
    assert_same_weights(model, loop.coefs, loop.intercepts)
    assert all(np.isfinite(array).all() for array in [*model.coefs_, *model.intercepts_])


# T3


class OneSampleNetwork:
    """2-4-1 with thresholds θ fed by a constant −1, written out as the derivation has it."""

    def __init__(self):
        self.w = [[0.0] * 4 for _ in range(2)]  # input i to hidden unit h
        self.theta = [0.0] * 4
        self.v = [0.0] * 4  # hidden unit h to the output
        self.output_theta = 0.0

    def output(self, x):
        self.hidden = [naive.logistic(x[0] * self.w[0][h] + x[1] * self.w[1][h] - self.theta[h]) for h in range(4)]
        return naive.logistic(sum(self.hidden[h] * self.v[h] for h in range(4)) - self.output_theta)

    def learn(self, x, target, rate):
        """One update; returns E = ½(ŷ − y)² before it."""
        p = self.output(x)
        g = (target - p) * p * (1 - p)
        e = [g * self.v[h] * self.hidden[h] * (1 - self.hidden[h]) for h in range(4)]  # with the old output weights
        for h in range(4):
            self.v[h] += rate * g * self.hidden[h]
            self.theta[h] -= rate * e[h]
            for i in range(2):
                self.w[i][h] += rate * e[h] * x[i]
        self.output_theta -= rate * g
        return 0.5 * (p - target) ** 2

    def parameters(self):
        """As coefs and intercepts: a bias is minus a threshold."""
        coefs = [np.array(self.w), np.array(self.v)[:, np.newaxis]]
        return coefs, [-np.array(self.theta), -np.array([self.output_theta])]


def test_t3_one_sample_online_follows_the_derivation():
    x, target, rate = (0.985, 0.211), 1.0, 1.0
    options = {"activation": "logistic", "output_activation": "logistic", "batch_size": 1, "learning_rate_init": rate}
    model = BPRegressor(hidden_layer_sizes=(4,), init="zeros", **options, **DESCENT)
    network, errors = OneSampleNetwork(), []
    for _ in range(100):
        errors.append(network.learn(x, target, rate))
        model.partial_fit([x], [target])
        assert_allclose(model.loss_, errors[-1], rtol=RTOL)
        assert_allclose(model.predict([x]), [network.output(x)], rtol=RTOL)
        assert_same_weights(model, *network.parameters())
    assert errors[0] == 0.125
    assert errors[-1] < 0.005

    at_once = BPRegressor(
        hidden_layer_sizes=(4,), init=normal_start([2, 4, 1], np.random, scale=0.0), max_iter=100, **options, **DESCENT
    )
    at_once.fit([x], [target])
    assert_allclose(at_once.loss_curve_, errors, rtol=RTOL)
    assert_same_weights(at_once, *network.parameters())


# T4: 12288 × 20 weights are slow in Python loops, so the loop here is the tutorial's own, in matrix formulas.


def standardised_pixels(n_samples):
    random_state = np.random.RandomState(4)
    y = np.arange(n_samples) % 2
    X = random_state.uniform(0, 255, size=(n_samples, 12288)) + 20 * np.outer(y, random_state.normal(size=12288))
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def matrix_t4(start, X, y, rate, n_epochs):
    """The L-layer loop: samples in columns, W of shape (n_out, n_in); returns costs, coefs and intercepts."""
    W = [coef.T.copy() for coef in start[0]]
    b = [intercept[:, np.newaxis].copy() for intercept in start[1]]
    m, Y, costs = len(X), y[np.newaxis], []
    for _ in range(n_epochs):
        A = [X.T]
        for layer in range(4):
            Z = W[layer] @ A[layer] + b[layer]
            A.append(np.maximum(0, Z) if layer < 3 else 1 / (1 + np.exp(-Z)))
        costs.append(-np.sum(Y * np.log(A[4]) + (1 - Y) * np.log(1 - A[4])) / m)
        dA = -(Y / A[4] - (1 - Y) / (1 - A[4]))
        for layer in reversed(range(4)):
            dZ = dA * A[4] * (1 - A[4]) if layer == 3 else dA * (A[layer + 1] > 0)
            dA = W[layer].T @ dZ
            W[layer] -= rate * (dZ @ A[layer].T) / m
            b[layer] -= rate * dZ.sum(axis=1, keepdims=True) / m
    return costs, [weights.T for weights in W], [bias[:, 0] for bias in b]


@pytest.mark.parametrize("kind", ["small normal", "zeros", "he"])
def test_t4_deep_network_follows_the_tutorial(kind):
    X, y = standardised_pixels(30)
    sizes = [12288, 20, 7, 5, 1]
    start = normal_start(sizes, np.random.RandomState(1), scale=0.0 if kind == "zeros" else 0.01)
    if kind == "he":
        start = [100 * math.sqrt(2 / len(W)) * W for W in start[0]], start[1]
    n_epochs = 10
    costs, coefs, intercepts = matrix_t4(start, X, y, 0.0075, n_epochs)
    model = BPClassifier((20, 7, 5), init=start, batch_size=len(X), learning_rate_init=0.0075, max_iter=n_epochs, **DESCENT)
    model.fit(X, y)
    assert_allclose(model.loss_curve_, costs, rtol=RTOL)
    assert_same_weights(model, coefs, intercepts)
    predicted = model.predict(X)
    assert_allclose(predicted, model.predict_proba(X)[:, 1] > 0.5)
    if kind == "he":
        assert costs[-1] < 0.5 * costs[0]
        assert min(score(y, predicted) for score in (accuracy_score, precision_score, recall_score)) > 0.9
    else:
        assert abs(costs[-1] - math.log(2)) < 0.01  # neither start gets off the plateau in so few epochs


@pytest.mark.parametrize(
    "init, init_scale, deviation",
    [("normal", 0.01, 0.01), ("zeros", 1.0, 0.0), ("he_normal", 1.0, math.sqrt(2 / 12288))],
)
def test_t4_starts_by_name(init, init_scale, deviation):
    X, y = standardised_pixels(10)
    model = BPClassifier((20, 7, 5), init=init, init_scale=init_scale, max_iter=1, random_state=0, **DESCENT)
    model.set_params(learning_rate_init=1e-12).fit(X, y)  # a step too small to see
    assert_allclose(model.coefs_[0].std(), deviation, rtol=0.01, atol=1e-9)
    for b in model.intercepts_:
        assert_allclose(b, 0, atol=1e-9)


# T5


def least_squares_problem(n_samples, n_inputs, n_hidden, n_outputs):
    random_state = np.random.RandomState(0)
    X, Y = random_state.normal(size=(n_samples, n_inputs)), random_state.normal(size=(n_samples, n_outputs))
    return X, Y, normal_start([n_inputs, n_hidden, n_outputs], random_state)


def t5_model(start, X, Y, max_iter, rate=1e-4):
    # The tutorial sums 2(ŷ − y) over the samples where we average ŷ − y.
    options = {"activation": "logistic", "fit_intercept": False, "batch_size": len(X), "learning_rate_init": 2 * len(X) * rate}
    return BPRegressor(hidden_layer_sizes=start[0][0].shape[1], init=start, max_iter=max_iter, **options, **DESCENT).fit(X, Y)


def assert_t5(model, losses, coefs, Y):
    # The tutorial sums the squares where we take half their mean.
    assert_allclose(2 * Y.size * np.array(model.loss_curve_), losses, rtol=RTOL)
    assert_same_weights(model, coefs, [np.zeros(len(b)) for b in model.intercepts_])


def test_t5_least_squares_follows_plain_loops():
    X, Y, start = least_squares_problem(12, 30, 8, 4)
    loop, losses, rate = PlainDescent(start, ["logistic", "identity"]), [], 1e-2
    for _ in range(40):
        outputs = loop.outputs(X.tolist())
        losses.append(sum((p - y) ** 2 for row, target in zip(outputs, Y, strict=True) for p, y in zip(row, target, strict=True)))
        loop.epoch(X.tolist(), Y.tolist(), lambda y, p: [2 * (p_j - y_j) for y_j, p_j in zip(y, p, strict=True)], rate)
        loop.intercepts = [[0.0] * len(b) for b in loop.intercepts]  # this network has none
    assert losses[-1] < 0.2 * losses[0]
    assert_t5(t5_model(start, X, Y, 40, rate), losses, loop.coefs, Y)


def test_t5_least_squares_follows_the_tutorial_at_full_size():
    X, Y, start = least_squares_problem(64, 1000, 100, 10)
    w1, w2 = (W.copy() for W in start[0])
    losses = []
    for _ in range(50):
        h = 1 / (1 + np.exp(-X @ w1))
        predicted = h @ w2
        losses.append(np.square(predicted - Y).sum())
        gradient_predicted = 2 * (predicted - Y)
        gradient_h = gradient_predicted @ w2.T
        w2 -= 1e-4 * h.T @ gradient_predicted
        w1 -= 1e-4 * X.T @ (gradient_h * h * (1 - h))
    assert_t5(t5_model(start, X, Y, 50), losses, [w1, w2], Y)


def test_t5b_gradients_on_a_graph_equal_the_chain_rule_by_hand():
    w0, x0, w1, x1, w2 = 2.0, -1.0, -3.0, -2.0, -3.0
    p = 1 / (1 + math.exp(-(w0 * x0 + w1 * x1 + w2)))
    local = p * (1 - p)
    # With the target one below the output, ∂E/∂ŷ is 1 and what comes back is the slope of the output itself.
    result = fastbp.gradients(
        [np.array([[w0], [w1]])],
        [np.array([w2])],
        np.array([[x0, x1]]),
        np.array([p - 1]),
        activation="logistic",
        output_activation="logistic",
        loss="squared_error",
    )
    assert_allclose(result.loss, 0.5, rtol=RTOL)
    assert_allclose(result.coefs[0], [[local * x0], [local * x1]], rtol=RTOL)
    assert_allclose(result.intercepts[0], [local], rtol=RTOL)
    assert_allclose(result.inputs, [[local * w0, local * w1]], rtol=RTOL)


def test_t5b_upstream_times_local_through_two_layers():
    random_state = np.random.RandomState(0)
    coefs, intercepts = normal_start([2, 3, 1], random_state)
    X, y = random_state.normal(size=(4, 2)), random_state.normal(size=4)
    options = {"activation": "logistic", "output_activation": "logistic"}
    result = fastbp.gradients(coefs, intercepts, X, y, loss="squared_error", **options)
    hidden, output = fastbp.forward(coefs, intercepts, X, **options)[-2:]
    for i in range(4):
        upstream = (output[i, 0] - y[i]) / 4 * output[i, 0] * (1 - output[i, 0])
        at_hidden = [upstream * coefs[1][h, 0] * hidden[i, h] * (1 - hidden[i, h]) for h in range(3)]
        assert_allclose(result.inputs[i], [sum(at_hidden[h] * coefs[0][j, h] for h in range(3)) for j in range(2)], rtol=RTOL)


# T6

XOR_X, XOR_Y = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([0, 1, 1, 0])


def test_t6_xor_class_has_the_same_weights_after_1000_epochs():
    start = normal_start([2, 3, 1], np.random.RandomState(0))
    loop, errors = PlainDescent(start, ["logistic", "logistic"]), []
    targets = [[float(label)] for label in XOR_Y]
    model = BPClassifier((3,), activation="logistic", init=start, batch_size=4, learning_rate_init=0.1, **DESCENT)
    model.set_params(warm_start=True, max_iter=100)
    for epoch in range(1000):
        loop.epoch(XOR_X.tolist(), targets, lambda y, p: [(p[0] - y[0]) / 4], rate=0.1)
        if epoch % 100 == 99:
            errors.append(sum((p - y) ** 2 for [p], [y] in zip(loop.outputs(XOR_X.tolist()), targets, strict=True)) / 4)
            probabilities = model.fit(XOR_X, XOR_Y).predict_proba(XOR_X)[:, 1]
            assert_allclose(np.mean((probabilities - XOR_Y) ** 2), errors[-1], rtol=RTOL)
    assert_same_weights(model, loop.coefs, loop.intercepts)

    at_once = model.set_params(warm_start=False, max_iter=1000).fit(XOR_X, XOR_Y)
    assert_same_weights(at_once, loop.coefs, loop.intercepts)
    assert at_once.n_iter_ == len(at_once.loss_curve_) == 1000


# T7: the uses, small enough for plain loops; the examples show them at their real size.


@pytest.mark.parametrize("use", ["function", "patterns", "classes"])
def test_t7_uses_follow_plain_loops(use):
    random_state = np.random.RandomState(0)
    if use == "function":
        X = np.linspace(-1, 1, 24)[:, np.newaxis]
        y, kind, loss, output_activation, n_outputs = np.sin(3 * X[:, 0]), BPRegressor, "squared_error", "identity", 1
    elif use == "patterns":
        patterns = random_state.randint(2, size=(5, 12))
        y = np.arange(20) % 5
        X = patterns[y] + random_state.normal(0, 0.2, size=(20, 12))
        kind, loss, output_activation, n_outputs = BPClassifier, "log_loss", "softmax", 5
    else:
        X = random_state.normal(size=(24, 2))
        y = (X[:, 0] * X[:, 1] > 0).astype(int)
        kind, loss, output_activation, n_outputs = BPClassifier, "binary_log_loss", "logistic", 1
    options = {"activation": "tanh", "solver": "adam", "learning_rate_init": 0.02, "batch_size": 6, "max_iter": 25}
    random_state = np.random.RandomState(3)
    start = naive.draw_parameters([X.shape[1], 6, n_outputs], "tanh", random_state)
    result = naive.train(*start, X, y, loss=loss, output_activation=output_activation, random_state=random_state, **options)
    model = kind(hidden_layer_sizes=(6,), random_state=3, **options).fit(X, y)
    assert_allclose(model.loss_curve_, result.loss_curve, rtol=RTOL)
    assert_same_weights(model, result.coefs, result.intercepts)
