"""Networks without the units that add nothing."""

import itertools
import warnings

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, make_friedman1
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.preprocessing import scale

from fastbp import BPClassifier, BPRegressor

X = np.random.default_rng(0).normal(size=(400, 6))


def network_with_idle_units(dtype=np.float64, **options):
    """Two layers of six units that matter, and among them others that do not; returns it, and the weights of those that do."""
    rng = np.random.default_rng(2)
    sizes, n_outputs = (6, 11, 10), 2
    model = BPRegressor(hidden_layer_sizes=sizes[1:], activation="tanh", max_iter=1, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X.astype(dtype), X[:, :n_outputs])
    for array in (*model.coefs_, *model.intercepts_):
        array[...] = rng.normal(0, 0.7, array.shape)
    V, W, U = model.coefs_
    a, b, _ = model.intercepts_
    V[:, 6], a[6] = V[:, 0], a[0]  # says what another says
    V[:, 7], a[7] = -V[:, 1], -a[1]  # says the opposite
    V[:, 8] = 0  # always says the same
    V[:, 9], a[9] = V[:, 0], a[0]  # a third that says it
    W[10] = 0  # nobody listens
    W[:, 6], b[6] = 0, 0.4
    W[:, 7], b[7] = W[:, 2], b[2]
    U[8] = 0
    W[:, 9], b[9] = -W[:, 5], -b[5]
    for intercepts in model.intercepts_ if not model.fit_intercept else ():
        intercepts[...] = 0
    return model


def change(before, after):
    """Root mean square change in standard deviations, per output."""
    return np.sqrt(((after - before) ** 2).mean(axis=0)) / before.std(axis=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_exactly_the_idle_units_are_dropped(dtype, fit_intercept):
    model = network_with_idle_units(dtype=dtype, fit_intercept=fit_intercept)
    rows = X.astype(dtype)
    pruned = model.pruned(rows, tolerance=1e-4 if dtype == np.float32 else 1e-9)
    assert pruned.hidden_layer_sizes == (6, 6)
    assert [W.shape for W in pruned.coefs_] == [(6, 6), (6, 6), (6, 2)]
    assert all(W.dtype == dtype for W in pruned.coefs_)
    assert change(model.predict(rows), pruned.predict(rows)).max() < (1e-4 if dtype == np.float32 else 1e-9)
    other = np.random.default_rng(5).normal(size=(100, 6)).astype(dtype)  # nor do rows that it has not seen differ
    np.testing.assert_allclose(pruned.predict(other), model.predict(other), rtol=1e-3 if dtype == np.float32 else 1e-7, atol=1e-4)
    # what is left in the first layer are units of before, one of each kind
    for column in pruned.coefs_[0].T:
        assert min(abs(model.coefs_[0].T - column).max(axis=1)) == 0
    assert model.hidden_layer_sizes == (11, 10)


@pytest.mark.parametrize("tolerance", [0.01, 0.1, 0.3])
def test_predictions_stay_within_the_tolerance(tolerance):
    rows, y = make_friedman1(600, 8, noise=0.5, random_state=0)
    model = BPRegressor(hidden_layer_sizes=(30, 12), activation="tanh", solver="lbfgs", max_iter=300, random_state=0)
    model.fit(scale(rows), y)
    pruned = model.pruned(scale(rows), tolerance=tolerance)
    assert change(model.predict(scale(rows)), pruned.predict(scale(rows))) <= tolerance * (1 + 1e-9)
    assert sum(pruned.hidden_layer_sizes) < 42


def test_more_tolerance_fewer_units():
    digits, labels = load_digits(return_X_y=True)
    model = BPClassifier((40,), max_iter=40, random_state=0, tol=0).fit(digits / 16, labels)
    sizes, scores = [], []
    for tolerance in (1e-6, 0.05, 0.3):
        pruned = model.pruned(digits / 16, tolerance=tolerance)
        sizes.append(pruned.hidden_layer_sizes[0])
        scores.append(pruned.score(digits / 16, labels))
    assert 40 >= sizes[0] > sizes[1] > sizes[2]
    assert scores[1] > model.score(digits / 16, labels) - 0.02


def test_a_copy_stands_for_itself():
    sizes = (6, 11, 10, 2)
    init = [np.ones(shape) for shape in itertools.pairwise(sizes)], [np.ones(size) for size in sizes[1:]]
    model = network_with_idle_units(init=init)
    before = [W.copy() for W in model.coefs_]
    pruned = model.pruned(X)
    curve = list(model.loss_curve_)
    pruned.partial_fit(X, X[:, :2])  # goes on with the smaller network
    assert model.loss_curve_ == curve
    for W, old in zip(model.coefs_, before, strict=True):
        np.testing.assert_array_equal(W, old)
    assert pruned.n_layers_ == 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clone(pruned).fit(X, X[:, :2])  # starts at the pruned weights, as the other started at its own
    assert model.pruned(scipy.sparse.csr_matrix(X)).hidden_layer_sizes == pruned.hidden_layer_sizes


def test_activations_per_layer_and_no_hidden_layer():
    model = network_with_idle_units().set_params(activation=["tanh", "tanh"])
    assert model.pruned(X, tolerance=1e-9).hidden_layer_sizes == (6, 6)
    flat = BPRegressor(hidden_layer_sizes=(), solver="lbfgs").fit(X, X[:, 0])
    np.testing.assert_array_equal(flat.pruned(X).predict(X), flat.predict(X))


def test_one_unit_is_left_in_a_layer_that_does_nothing():
    model = network_with_idle_units()
    model.coefs_[1][...] = 0
    model.coefs_[2][0, 0] = 0
    assert min(model.pruned(X, tolerance=1e-3).hidden_layer_sizes) >= 1


def test_what_cannot_be_pruned():
    with pytest.raises(NotFittedError):
        BPClassifier().pruned(X)
    model = network_with_idle_units()
    with pytest.raises(ValueError, match="needs more rows than the widest hidden layer has units"):
        model.pruned(X[:11])
    with pytest.raises(ValueError, match="'tolerance' parameter of pruned must be a float"):
        model.pruned(X, tolerance=-1)
