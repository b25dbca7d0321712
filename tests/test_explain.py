"""What a fitted network has learnt: slopes by the inputs, importances, hidden activations."""

import warnings

import naive
import numpy as np
import pytest
import scipy.sparse
from scipy.integrate import quad_vec
from scipy.stats import spearmanr
from sklearn.datasets import make_friedman1
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.feature_selection import SelectFromModel
from sklearn.inspection import permutation_importance
from sklearn.preprocessing import scale

from fastbp import BPClassifier, BPRegressor, BPSearchCV
from fastbp.names import HIDDEN_ACTIVATIONS, LOSSES

RNG_ROWS = np.random.default_rng(7).normal(size=(60, 5))
REAL_OUTPUTS = LOSSES["squared_error"].outputs


def fitted(estimator, X, y, scale=0.8):
    """A network with random weights instead of learnt ones: nothing saturates, nothing vanishes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.set_params(max_iter=1).fit(X, y)
    rng = np.random.default_rng(1)
    for array in (*estimator.coefs_, *estimator.intercepts_):
        array[...] = rng.normal(0, scale, array.shape)
    return estimator


def classifier(kind="multiclass", activation="tanh", hidden=(7, 6), X=RNG_ROWS):
    codes = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
    y = {"multiclass": codes, "binary": codes > 1, "multilabel": (X[:, :3] > 0).astype(int)}[kind]
    return fitted(BPClassifier(hidden, activation), X, y)


def regressor(activation="tanh", hidden=(7, 6), n_outputs=2, X=RNG_ROWS, **options):
    Y = np.abs(X[:, :n_outputs] if n_outputs > 1 else X[:, 0])
    return fitted(BPRegressor(hidden_layer_sizes=hidden, activation=activation, **options), X, Y)


def logits_of(estimator, X):
    """What the output layer computes before its activation, by plain loops."""
    linear = naive.forward(
        estimator.coefs_, estimator.intercepts_, X, activation=estimator.activation, output_activation="identity"
    )
    return np.asarray(linear[-1])


def differences(function, X, step=1e-5):
    """(n_samples, n_features, n_outputs) by central differences."""
    slopes = [(function(X + move) - function(X - move)) / (2 * step) for move in step * np.eye(X.shape[1])]
    return np.stack(slopes, axis=1)


# Slopes by the inputs


@pytest.mark.parametrize("activation", [name for name in HIDDEN_ACTIVATIONS if name != "step"])
def test_gradients_are_the_differences_for_every_activation(activation):
    model = regressor(activation)
    np.testing.assert_allclose(model.input_gradients(RNG_ROWS), differences(model.predict, RNG_ROWS), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("output", [name for name in REAL_OUTPUTS if name != "step"])
def test_gradients_are_the_differences_for_every_output(output):
    model = regressor(output_activation=output, hidden=(6,))
    np.testing.assert_allclose(model.input_gradients(RNG_ROWS), differences(model.predict, RNG_ROWS), rtol=1e-5, atol=1e-8)
    expected = differences(lambda X: logits_of(model, X), RNG_ROWS[:9])
    np.testing.assert_allclose(model.input_gradients(RNG_ROWS[:9], of_logits=True), expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("hidden", [(), (4,), (7, 1, 3)])
def test_gradients_of_a_classifier(kind, hidden):
    model = classifier(kind, hidden=hidden)
    gradients, logits = model.input_gradients(RNG_ROWS), model.input_gradients(RNG_ROWS, of_logits=True)
    expected = differences(model.predict_proba, RNG_ROWS)
    expected_logits = differences(lambda X: logits_of(model, X), RNG_ROWS)
    if kind == "binary":
        assert gradients.shape == RNG_ROWS.shape
        expected, expected_logits = expected[..., 1], expected_logits[..., 0]
    np.testing.assert_allclose(gradients, expected, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(logits, expected_logits, rtol=1e-5, atol=1e-8)


def test_a_step_has_the_slope_it_is_trained_with():
    model = regressor("step", hidden=(4,))
    expected = model.coefs_[0] @ model.coefs_[1]
    np.testing.assert_allclose(model.input_gradients(RNG_ROWS[:3]), np.broadcast_to(expected, (3, 5, 2)), rtol=1e-12)


def torch_network(torch, estimator, output):
    """The same network in PyTorch, from rows to outputs."""
    functions = {
        "tanh": torch.tanh,
        "relu": torch.relu,
        "logistic": torch.sigmoid,
        "identity": lambda z: z,
        "softmax": lambda z: torch.softmax(z, dim=-1),
        "elu": torch.nn.functional.elu,
        "leaky_relu": torch.nn.functional.leaky_relu,
        "gelu": lambda z: torch.nn.functional.gelu(z, approximate="tanh"),
    }
    layers = [
        (torch.tensor(W.copy()), torch.tensor(b.copy())) for W, b in zip(estimator.coefs_, estimator.intercepts_, strict=True)
    ]

    def network(rows):
        for W, b in layers[:-1]:
            rows = functions[estimator.activation](rows @ W + b)
        return functions[output](rows @ layers[-1][0] + layers[-1][1])

    return network


@pytest.mark.parametrize("activation", ["tanh", "relu", "logistic", "elu", "leaky_relu", "gelu"])
@pytest.mark.parametrize("of_logits", [False, True])
def test_gradients_are_autograds(activation, of_logits):
    torch = pytest.importorskip("torch")
    model = classifier(activation=activation)
    network = torch_network(torch, model, "identity" if of_logits else "softmax")
    jacobian = torch.func.vmap(torch.func.jacrev(network))(torch.tensor(RNG_ROWS)).numpy()
    gradients = model.input_gradients(RNG_ROWS, of_logits=of_logits)
    np.testing.assert_allclose(gradients, jacobian.transpose(0, 2, 1), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("n_features", [1, 5, 8, 33])
@pytest.mark.parametrize("n_rows", [1, 47, 100])
def test_sparse_and_float32_and_sizes(n_features, n_rows):
    X = np.random.default_rng(3).normal(size=(n_rows + 4, n_features)) * (
        np.random.default_rng(4).uniform(size=(n_rows + 4, 1)) < 0.7
    )
    wide = fitted(BPRegressor(hidden_layer_sizes=(9, 4), activation="gelu"), X, X[:, :1].repeat(3, axis=1))
    expected = wide.input_gradients(X[:n_rows])
    np.testing.assert_allclose(expected, differences(wide.predict, X[:n_rows]), rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(wide.input_gradients(scipy.sparse.csr_matrix(X[:n_rows])), expected, rtol=1e-12, atol=1e-15)
    narrow = BPRegressor(hidden_layer_sizes=(9, 4), activation="gelu")
    fitted(narrow, X.astype(np.float32), X[:, :1].repeat(3, axis=1))
    gradients = narrow.input_gradients(X[:n_rows].astype(np.float32))
    assert gradients.dtype == np.float32
    np.testing.assert_allclose(gradients, expected, rtol=1e-3, atol=1e-4)


def test_an_output_that_overflows_spoils_no_other():
    model = regressor(output_activation="exp")
    model.intercepts_[-1][0] = 1e4
    gradients = model.input_gradients(RNG_ROWS)
    model.intercepts_[-1][0] = 0.0
    np.testing.assert_array_equal(gradients[..., 1], model.input_gradients(RNG_ROWS)[..., 1])


def test_same_bits_for_any_number_of_threads(teams_for_any_work):
    X = np.random.default_rng(0).normal(size=(500, 5))
    model = classifier(X=X)
    expected = model.set_params(n_threads=1).input_gradients(X)
    for n_threads in (2, 3, 5):
        np.testing.assert_array_equal(model.set_params(n_threads=n_threads).input_gradients(X), expected)


def test_read_only_and_sparse_rows_have_the_same_gradients():
    for dtype in (np.float32, np.float64):
        X = RNG_ROWS.astype(dtype)
        frozen = X.copy()
        frozen.flags.writeable = False
        for model in (classifier(X=X), regressor("gelu", X=X), regressor(hidden=(), X=X)):
            expected = model.input_gradients(X, of_logits=dtype == np.float32)
            for rows in (frozen, scipy.sparse.csr_matrix(X)):
                found = model.input_gradients(rows, of_logits=dtype == np.float32)
                np.testing.assert_allclose(found, expected, rtol=1e-3 if dtype == np.float32 else 1e-10)


def test_what_cannot_be_explained():
    for method in ("input_gradients", "integrated_gradients", "hidden_activations"):
        with pytest.raises(NotFittedError):
            getattr(BPClassifier(), method)(RNG_ROWS)
    for method in ("olden_importances", "garson_importances"):
        with pytest.raises(NotFittedError):
            getattr(BPRegressor(), method)()
    model = regressor()
    with pytest.raises(ValueError, match="X has 4 features"):
        model.input_gradients(RNG_ROWS[:, :4])
    with pytest.raises(ValueError, match=r"baseline has the shape \(4,\)"):
        model.integrated_gradients(RNG_ROWS, np.zeros(4))
    with pytest.raises(ValueError, match="'n_steps' parameter of integrated_gradients must be an int"):
        model.integrated_gradients(RNG_ROWS, n_steps=0)


# Integrated gradients


def test_integrated_gradients_are_the_integral():
    """By scipy's adaptive rule over slopes by differences."""
    model, row, baseline = classifier(), RNG_ROWS[0], RNG_ROWS[1]
    attributions, error = model.integrated_gradients([row], baseline)
    expected, _ = quad_vec(lambda t: differences(model.predict_proba, (baseline + t * (row - baseline))[np.newaxis])[0], 0, 1)
    np.testing.assert_allclose(attributions[0], expected * (row - baseline)[:, np.newaxis], rtol=1e-6, atol=1e-9)
    assert attributions.shape == (1, 5, 3)
    assert np.abs(error).max() < 1e-9


@pytest.mark.parametrize("of_logits", [False, True])
def test_attributions_are_complete_up_to_the_error_that_is_told(of_logits):
    model = classifier(activation="relu")
    attributions, error = model.integrated_gradients(RNG_ROWS, n_steps=7, of_logits=of_logits)
    output = (lambda X: logits_of(model, X)) if of_logits else model.predict_proba
    difference = output(RNG_ROWS) - output(np.zeros_like(RNG_ROWS))
    np.testing.assert_allclose(attributions.sum(axis=1) - error, difference, atol=1e-12)
    finer = model.integrated_gradients(RNG_ROWS, n_steps=200, of_logits=of_logits).completeness_error
    assert np.abs(finer).mean() < 0.2 * np.abs(error).mean()


def test_attributions_of_sparse_rows_and_of_baselines_per_row():
    model = regressor(n_outputs=1)
    expected = model.integrated_gradients(RNG_ROWS)
    assert expected.attributions.shape == RNG_ROWS.shape
    assert expected.completeness_error.shape == (60,)
    sparse = model.integrated_gradients(scipy.sparse.csr_matrix(RNG_ROWS))
    np.testing.assert_array_equal(sparse.attributions, expected.attributions)
    np.testing.assert_array_equal(model.integrated_gradients(RNG_ROWS, np.zeros((60, 5))).attributions, expected.attributions)
    np.testing.assert_array_equal(model.integrated_gradients(RNG_ROWS, RNG_ROWS).attributions, 0)


# Importances by connection weights


def test_olden_sums_over_all_ways():
    model = regressor(hidden=(4, 3))
    V, W, U = model.coefs_
    expected = np.zeros((5, 2))
    for i, h, k, o in np.ndindex(5, 4, 3, 2):
        expected[i, o] += V[i, h] * W[h, k] * U[k, o]
    np.testing.assert_allclose(model.olden_importances(), expected, rtol=1e-12)
    assert regressor(hidden=(), n_outputs=1).olden_importances().shape == (5,)


def test_garson_shares_out():
    """As the formula stands for one hidden layer: Σ over units of |v|/Σ|v| · |w|, over the sum of all."""
    model = regressor(hidden=(4,), n_outputs=1)
    V, w = np.abs(model.coefs_[0]), np.abs(model.coefs_[1][:, 0])
    expected = np.array([sum(V[i, h] / V[:, h].sum() * w[h] for h in range(4)) for i in range(5)])
    np.testing.assert_allclose(model.garson_importances(), expected / expected.sum(), rtol=1e-12)
    deep = regressor(hidden=(4, 6, 3))
    assert deep.garson_importances().shape == (5, 2)
    np.testing.assert_allclose(deep.garson_importances().sum(axis=0), 1, rtol=1e-12)
    deep.coefs_[0][:, :2] = 0  # units that hear nothing
    np.testing.assert_allclose(deep.garson_importances().sum(axis=0), 1, rtol=1e-12)
    deep.coefs_[0][...] = 0
    np.testing.assert_array_equal(deep.garson_importances(), 0)


# Importances by slopes


def importances(estimator, X, weights=None):
    """By differences, as the documentation says it."""
    if isinstance(estimator, BPClassifier):
        slopes = differences(lambda rows: logits_of(estimator, rows), X)
        slopes -= slopes.mean(axis=2, keepdims=True) if slopes.shape[2] > 1 and estimator.out_activation_ == "softmax" else 0
    else:
        slopes = differences(lambda rows: estimator.predict(rows).reshape(len(rows), -1), X)
    means = np.average(X, axis=0, weights=weights)
    spreads = np.sqrt(np.average((X - means) ** 2, axis=0, weights=weights))
    values = np.average(abs(slopes).mean(axis=2), axis=0, weights=weights) * spreads
    return values / values.sum()


@pytest.mark.parametrize("weights", [None, np.random.default_rng(0).uniform(size=60)])
@pytest.mark.parametrize("kind", ["multiclass", "binary", "multilabel", "one output", "two outputs"])
def test_importances_are_the_mean_slopes(kind, weights):
    X, codes = RNG_ROWS * [1, 2, 3, 4, 5], (RNG_ROWS[:, 0] > 0).astype(int) + (RNG_ROWS[:, 1] > 0)
    options = {"activation": "tanh", "solver": "lbfgs", "alpha": 1.0, "random_state": 0, "feature_importances": True}
    y = {"multiclass": codes, "binary": codes > 1, "multilabel": X[:, :3] > 0, "one output": X[:, 0], "two outputs": X[:, :2]}[
        kind
    ]
    kind_of_network = BPRegressor if "output" in kind else BPClassifier
    model = kind_of_network(hidden_layer_sizes=(6,), **options).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(model.feature_importances_, importances(model, X, weights), rtol=1e-5)
    sparse = kind_of_network(hidden_layer_sizes=(6,), **options).fit(scipy.sparse.csr_matrix(X), y, sample_weight=weights)
    np.testing.assert_allclose(sparse.feature_importances_, importances(sparse, X, weights), rtol=1e-5)


def test_importances_of_many_rows_are_the_mean_slopes():
    """Of more than are looked at together."""
    X = np.random.default_rng(3).normal(size=(5000, 2))
    options = {"hidden_layer_sizes": (3,), "activation": "tanh", "max_iter": 2, "random_state": 0, "feature_importances": True}
    model = BPRegressor(**options).fit(X, X[:, 0])
    np.testing.assert_allclose(model.feature_importances_, importances(model, X), rtol=1e-5)
    sparse = BPRegressor(**options).fit(scipy.sparse.csr_matrix(X), X[:, 0])
    np.testing.assert_allclose(sparse.feature_importances_, importances(sparse, X), rtol=1e-5)


def test_importances_come_with_every_way_of_training_and_only_on_request():
    codes, options = RNG_ROWS[:, 0] > 0, {"max_iter": 3, "feature_importances": True}
    for solver in ({"solver": "sgd", "batch_size": 1}, {"n_restarts": 2}, {"early_stopping": True}):
        model = BPClassifier((4,), **options, **solver).fit(RNG_ROWS.astype(np.float32), codes)
        np.testing.assert_allclose(model.feature_importances_, importances(model, RNG_ROWS), rtol=0.05)
    model.set_params(early_stopping=False).partial_fit(RNG_ROWS[:30], codes[:30])
    assert model.feature_importances_.sum() == pytest.approx(1)
    assert not hasattr(model.set_params(feature_importances=False).fit(RNG_ROWS, codes), "feature_importances_")
    flat = BPRegressor(hidden_layer_sizes=2, init="zeros", max_iter=1, feature_importances=True).fit(RNG_ROWS, codes)
    np.testing.assert_array_equal(flat.feature_importances_, 0)


def test_importances_rank_as_the_score_lost_by_shuffling():
    """Friedman's function: five features matter, each differently, five do not."""
    X, y = make_friedman1(n_samples=800, n_features=10, noise=0.5, random_state=0)
    X = scale(X)
    model = BPRegressor(
        hidden_layer_sizes=20,
        activation="tanh",
        solver="lbfgs",
        alpha=1.0,
        max_iter=1000,
        random_state=0,
        feature_importances=True,
    ).fit(X, y)
    shuffled = permutation_importance(model, X, y, n_repeats=10, random_state=0).importances_mean
    assert spearmanr(model.feature_importances_[:5], shuffled[:5]).statistic > 0.85
    attributions = np.abs(model.integrated_gradients(X).attributions).mean(axis=0)
    for values in (model.feature_importances_, attributions):
        assert values[:5].min() > 3 * values[5:].max()
    assert model.garson_importances()[:5].min() > model.garson_importances()[5:].max()
    search = BPSearchCV(model, {"hidden_layer_sizes": [5, 20]}, cv=2).fit(X, y)
    assert search.best_estimator_.feature_importances_[:5].sum() > 0.8
    assert SelectFromModel(model, threshold="mean").fit(X, y).get_support()[5:].sum() == 0


# Hidden activations


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_hidden_activations_are_the_plain_loops(activation):
    model = regressor(activation, hidden=(7, 3, 12))
    layers = naive.forward(model.coefs_, model.intercepts_, RNG_ROWS, activation=activation)
    for layer in (0, 1, 2, -1, -3):
        expected = layers[1:-1][layer]
        np.testing.assert_allclose(model.hidden_activations(RNG_ROWS, layer), expected, rtol=1e-9, atol=1e-12)
        sparse = model.hidden_activations(scipy.sparse.csr_matrix(RNG_ROWS), layer)
        np.testing.assert_allclose(sparse, expected, rtol=1e-9, atol=1e-12)


def test_hidden_activations_follow_the_weights():
    model = regressor(hidden=(3, 4))
    model.intercepts_[0][1] = 50.0
    np.testing.assert_allclose(model.hidden_activations(RNG_ROWS, 0)[:, 1], 1)
    assert regressor(X=RNG_ROWS.astype(np.float32)).hidden_activations(RNG_ROWS).dtype == np.float32


@pytest.mark.parametrize(("layer", "hidden"), [(2, (3, 4)), (-3, (3, 4)), (0, ()), (-1, ())])
def test_a_layer_that_does_not_exist(layer, hidden):
    with pytest.raises(ValueError, match=f"layer={layer} does not exist: this network has {len(hidden)} hidden layers"):
        regressor(hidden=hidden).hidden_activations(RNG_ROWS, layer)
    with pytest.raises(ValueError, match="'layer' parameter of BPRegressor must be an int"):
        regressor().hidden_activations(RNG_ROWS, 1.0)
