"""A direct way from the inputs to the outputs, past the hidden layers: against plain loops, NumPy and scikit-learn's linear
models."""

import copy
import pickle

import naive
import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV

import fastbp
from fastbp import BPClassifier, BPRegressor, BPSearchCV
from fastbp.training.network import front_views, make_network, pack_parameters, parameter_views
from fastbp.training.objective import Objective
from fastbp.training.problem import Problem

DTYPES = [np.float32, np.float64]


def problem_of(n_rows=60, n_features=4, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(n_rows, n_features))
    return X, 2 * X[:, 0] - X[:, 1] + np.sin(3 * X[:, 2]) + 0.1 * rng.normal(size=n_rows)


def weights_of(sizes, seed=1):
    rng = np.random.RandomState(seed)
    coefs = [rng.normal(size=shape) / np.sqrt(shape[0]) for shape in zip(sizes[:-1], sizes[1:])]
    return coefs, [rng.normal(size=n) for n in sizes[1:]], rng.normal(size=(sizes[0], sizes[-1]))


@pytest.mark.parametrize("sizes", [(4, 5, 1), (4, 3, 2, 6)])
@pytest.mark.parametrize(
    "output, loss", [("identity", "squared_error"), ("tanh", "huber"), ("softmax", "log_loss"), ("logistic", "binary_log_loss")]
)
def test_functions_are_those_of_plain_loops(sizes, output, loss):
    rng = np.random.RandomState(2)
    X, weights = rng.normal(size=(7, 4)), rng.uniform(0.5, 2, 7)
    coefs, intercepts, skip = weights_of(sizes)
    y = rng.randint(sizes[-1], size=7) if loss == "log_loss" else rng.randint(2, size=(7, sizes[-1]))
    names = {"activation": "tanh", "output_activation": output}
    outputs = fastbp.forward(coefs, intercepts, X, skip_coefs=skip, **names)
    plain = [naive.forward_sample(coefs, intercepts, x, ["tanh"] * (len(sizes) - 2) + [output], skip=skip)[0] for x in X]
    for layer, found in enumerate(outputs):
        np.testing.assert_allclose(found, [layers[layer + 1] for layers in plain], rtol=1e-12, atol=1e-14)
    options = {"loss": loss, "alpha": 0.3, "sample_weight": weights, **names}
    found = fastbp.gradients(coefs, intercepts, X, y, skip_coefs=skip, **options)
    value, by_coefs, by_intercepts, by_inputs, by_skip = naive.gradients(coefs, intercepts, X, y, skip=skip, **options)
    assert found.loss == pytest.approx(value, rel=1e-12)
    pairs = zip(
        (*found.coefs, *found.intercepts, found.inputs, found.skip_coefs), (*by_coefs, *by_intercepts, by_inputs, by_skip)
    )
    for mine, theirs in pairs:
        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-13)
    loss, _, _, _ = found  # as it did before there were skip layers
    assert fastbp.gradients(coefs, intercepts, X, y, **options).skip_coefs is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("sizes", [(5, 9, 3), (5, 300, 2, 1), (5, 4, 300)], ids=str)
@pytest.mark.parametrize("n_rows", [3, 1000])
def test_gradient_in_blocks_slabs_and_panels(dtype, is_sparse, sizes, n_rows):
    """Rows are gathered in an order of their own; wide outputs go in panels."""
    rng = np.random.RandomState(1)
    coefs, intercepts, skip = weights_of(sizes)
    network = make_network(sizes, ("tanh",) * (len(sizes) - 2), "identity", "squared_error", skip_layer=True, dtype=dtype)
    params = pack_parameters(network, coefs, intercepts, dtype, {"skip": skip})
    X, Y = rng.normal(size=(n_rows, 5)).astype(dtype), rng.normal(size=(n_rows, sizes[-1])).astype(dtype)
    numbers = rng.permutation(n_rows)
    rows = scipy.sparse.csr_matrix(X) if is_sparse else X
    objective = Objective(network, Problem(rows, Y, None, row_indices=numbers, n_outputs=sizes[-1]), alpha=0.5)
    objective(params)
    a = X.astype(float)
    for W, b in zip(coefs[:-1], intercepts[:-1]):
        a = np.tanh(a @ W + b)
    delta = a @ coefs[-1] + intercepts[-1] + X @ skip - Y
    close = {"rtol": 1e-9, "atol": 1e-11} if dtype == np.float64 else {"rtol": 2e-3, "atol": 2e-5}
    found = front_views(network, objective.gradient)["skip"]
    np.testing.assert_allclose(found, (X.T @ delta + 0.5 * skip) / n_rows, **close)
    np.testing.assert_allclose(
        parameter_views(network, objective.gradient)[0][-1], (a.T @ delta + 0.5 * coefs[-1]) / n_rows, **close
    )
    for array in (found, *parameter_views(network, objective.gradient)[0], *parameter_views(network, objective.gradient)[1]):
        array[...] = 0
    assert not objective.gradient.any()  # the padding


@pytest.mark.parametrize("batch_size", [1, 7, 60])
def test_steps_are_those_of_plain_loops(batch_size):
    X, y = problem_of()
    options = {"solver": "sgd", "momentum": 0.0, "nesterovs_momentum": False, "shuffle": False, "tol": 0.0, "alpha": 0.01}
    model = BPRegressor(
        hidden_layer_sizes=(3,), activation="tanh", skip_layer=True, learning_rate_init=0.05, max_iter=3, random_state=0,
        batch_size=batch_size, **options,
    )  # fmt: skip
    start = clone(model).set_params(learning_rate_init=1e-300, max_iter=1).fit(X, y)
    coefs, intercepts, skip = copy.deepcopy((start.coefs_, start.intercepts_, start.skip_coefs_))
    assert np.abs(skip).max() < 1e-200
    for _ in range(3):
        for first in range(0, 60, batch_size):
            part = slice(first, first + batch_size)
            _, *slopes, _, by_skip = naive.gradients(
                coefs, intercepts, X[part], y[part], activation="tanh", alpha=0.01, skip=skip
            )
            for arrays, by in zip((coefs, intercepts), slopes):
                for array, slope in zip(arrays, by):
                    array -= 0.05 * slope
            skip -= 0.05 * by_skip
    model.fit(X, y)
    for mine, theirs in zip((*model.coefs_, *model.intercepts_, model.skip_coefs_), (*coefs, *intercepts, skip)):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-11)


def test_with_silent_hidden_units_it_is_the_linear_model():
    """Hidden weights of zero stay so with relu: what is left is scikit-learn's Ridge and LogisticRegression."""
    X, y = problem_of()
    silent = {"hidden_layer_sizes": (3,), "solver": "lbfgs", "skip_layer": True, "alpha": 0.7, "tol": 1e-9, "max_iter": 2000}

    def start(n_outputs):
        return [np.zeros((4, 3)), np.zeros((3, n_outputs))], [np.zeros(3), np.zeros(n_outputs)]

    model = BPRegressor(init=start(1), **silent).fit(X, y)
    ridge = Ridge(alpha=0.7).fit(X, y)
    assert not any(W.any() for W in model.coefs_)
    np.testing.assert_allclose(model.skip_coefs_[:, 0], ridge.coef_, atol=1e-4)
    np.testing.assert_allclose(model.predict(X), ridge.predict(X), atol=1e-4)
    for n_classes in (2, 3):
        labels = np.digitize(y, np.quantile(y, np.arange(1, n_classes) / n_classes))
        model = BPClassifier(init=start(1 if n_classes == 2 else 3), **silent).fit(X, labels)
        linear = LogisticRegression(C=1 / 0.7, tol=1e-9, max_iter=2000).fit(X, labels)
        np.testing.assert_allclose(model.predict_proba(X), linear.predict_proba(X), atol=1e-4)


def test_it_learns_what_a_line_says_at_once():
    """A strong linear part beyond the rows: relu units alone bend away from it later, a skip layer goes on."""
    X, y = problem_of(400)
    model = BPRegressor(hidden_layer_sizes=(20,), skip_layer=True, solver="lbfgs", max_iter=500, random_state=0, alpha=0.01)
    linear = Ridge(alpha=0.01).fit(X, y)
    assert model.fit(X, y).score(X, y) > linear.score(X, y) + 0.05


@pytest.mark.parametrize("kind", [BPClassifier, BPRegressor])
def test_copies_files_and_further_training(kind, tmp_path):
    X, y = problem_of(64)
    y = y if kind is BPRegressor else (y > 0).astype(int)
    model = kind(hidden_layer_sizes=(5,), skip_layer=True, max_iter=5, random_state=0, learning_rate_init=0.01).fit(X, y)
    fastbp.save(model, tmp_path / "model.safetensors")
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), fastbp.load(tmp_path / "model.safetensors")):
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        assert other.skip_coefs_.shape == (4, 1)
        np.testing.assert_array_equal(other.partial_fit(X, y)._params, copy.deepcopy(model).partial_fit(X, y)._params)
    before = model.predict(X)
    model.skip_coefs_[:] += 1.0  # a view, as coefs_ are
    assert (model.predict(X) != before).any()
    held = model.skip_coefs_
    model.partial_fit(X, y)
    assert model.skip_coefs_ is held
    model.skip_coefs_ = np.zeros((4, 1))  # one's own
    own = kind(hidden_layer_sizes=(5,)).set_params(skip_layer=False)
    vars(own).update({name: value for name, value in vars(model).items() if name not in ("skip_coefs_", "skip_layer", "_bound")})
    np.testing.assert_allclose(model.predict(X), own.predict(X))
    for wrong in (np.zeros((3, 1)), np.zeros(4), "none", np.zeros((4, 1), dtype=int)):
        model.skip_coefs_ = wrong
        with pytest.raises(ValueError, match="skip_coefs_"):
            model.predict(X)


def test_scaling_folds_into_it():
    X, y = problem_of()
    X = 5 + 3 * X
    model = BPRegressor(
        hidden_layer_sizes=(5,),
        skip_layer=True,
        input_scaling="standard",
        target_scaling="standard",
        solver="lbfgs",
        random_state=0,
    ).fit(X, y)
    before, slopes = model.predict(X), model.input_gradients(X)
    model.fold_scaling()
    np.testing.assert_allclose(model.predict(X), before, rtol=1e-9)
    np.testing.assert_allclose(model.input_gradients(X), slopes, rtol=1e-9)
    ensemble = BPClassifier((3,), skip_layer=True, n_restarts=2, ensemble=True, input_scaling="standard", max_iter=5)
    ensemble.fit(X, y > 0)
    before = ensemble.predict_proba(X)
    np.testing.assert_allclose(ensemble.fold_scaling().predict_proba(X), before, rtol=1e-9)
    assert np.shares_memory(ensemble.skip_coefs_, ensemble._params)


def test_importances_know_it():
    X, y = problem_of()
    model = BPRegressor(hidden_layer_sizes=(5,), activation="identity", skip_layer=True, solver="lbfgs", random_state=0).fit(X, y)
    np.testing.assert_allclose(model.olden_importances(), model.input_gradients(X)[0])  # all of it is linear
    share_of_units, units = np.abs(model.coefs_[1]), np.abs(model.coefs_[0])
    total = share_of_units.sum() + np.abs(model.skip_coefs_).sum()
    expected = (units / units.sum(axis=0)) @ share_of_units + np.abs(model.skip_coefs_)
    np.testing.assert_allclose(model.garson_importances(), expected[:, 0] / total)
    importances = clone(model).set_params(feature_importances=True).fit(X, y).feature_importances_
    assert importances.argmax() == 0


def test_norms_are_bounded():
    X, y = problem_of()
    model = BPRegressor(hidden_layer_sizes=(5,), skip_layer=True, max_norm=0.5, max_iter=50, learning_rate_init=0.05).fit(X, y)
    assert np.linalg.norm(model.skip_coefs_, axis=0) == pytest.approx(0.5)
    assert np.linalg.norm(model.coefs_[1], axis=0).max() <= 0.5 + 1e-9


def test_searches_and_warm_starts():
    X, y = problem_of()
    base = BPRegressor(hidden_layer_sizes=(4,), random_state=0, max_iter=4, learning_rate_init=0.01)
    grid = {"skip_layer": [False, True], "solver": ["adam", "lbfgs"]}
    found = [search(base, grid, cv=3).fit(X, y).cv_results_["mean_test_score"] for search in (BPSearchCV, GridSearchCV)]
    np.testing.assert_allclose(*found, rtol=1e-9)
    assert len(set(np.round(found[0], 12))) == 4
    model = clone(base).set_params(skip_layer=True, warm_start=True).fit(X, y)
    again = copy.deepcopy(model).fit(X, y)
    assert again.loss_ < model.loss_
    with pytest.raises(ValueError, match=r"skip_layer=False, but the weights .* with such a layer"):
        model.set_params(skip_layer=False).fit(X, y)
    assert not hasattr(model.set_params(warm_start=False).fit(X, y), "skip_coefs_")


@pytest.mark.parametrize(
    "options, word",
    [
        ({"hidden_layer_sizes": ()}, "hidden_layer_sizes"),
        ({"solver": "lm"}, "lm"),
        ({"skip_layer": 1}, "skip_layer"),
    ],
)
def test_refused(options, word):
    X, y = problem_of()
    with pytest.raises(ValueError, match=f"skip_layer.*{word}|{word}"):
        BPRegressor(**({"hidden_layer_sizes": (3,), "skip_layer": True} | options)).fit(X, y)


def test_functions_refuse_other_shapes():
    coefs, intercepts, skip = weights_of((4, 5, 2))
    for wrong in (skip[:3], skip[:, :1], skip[:, 0]):
        with pytest.raises(ValueError, match=r"skip_coefs|Expected 2D"):
            fastbp.forward(coefs, intercepts, np.zeros((1, 4)), skip_coefs=wrong)
    with pytest.raises(ValueError, match="hidden layer"):
        fastbp.forward([skip], [np.zeros(2)], np.zeros((1, 4)), skip_coefs=skip)
