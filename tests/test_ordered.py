"""Classes that have an order: against plain loops, SciPy's optimisers and statsmodels' OrderedModel."""

import copy
import pickle

import naive
import numpy as np
import pytest
import scipy.sparse
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV

import fastbp
from fastbp import BPClassifier, BPSearchCV
from fastbp.names import SOLVERS
from fastbp.training.network import make_network, pack_parameters, parameter_views
from fastbp.training.objective import Objective
from fastbp.training.predict import predict_outputs
from fastbp.training.problem import Problem

STOCHASTIC = [name for name, solver in SOLVERS.items() if solver.is_stochastic]


def table_of(n_rows=200, n_classes=4, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(n_rows, 4))
    score = 2 * X[:, 0] - X[:, 1] + np.sin(2 * X[:, 2]) + rng.logistic(size=n_rows)
    return X, np.digitize(score, np.quantile(score, np.arange(1, n_classes) / n_classes))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [2, 3, 5, 9, 40])
@pytest.mark.parametrize("n_rows", [3, 170])
def test_outputs_and_gradient_are_those_of_plain_loops(dtype, n_classes, n_rows):
    rng = np.random.RandomState(1)
    sizes = (3, 5, 1, n_classes)
    coefs = [rng.normal(size=shape) for shape in zip(sizes[:-1], sizes[1:])]
    intercepts = [rng.normal(size=n) for n in sizes[1:]]
    coefs[-1][...], intercepts[-1] = 1.0, -np.sort(rng.normal(size=n_classes))
    network = make_network(sizes, ("tanh", "identity"), "cumulative", "ordered_log_loss", dtype=dtype)
    params = pack_parameters(network, coefs, intercepts, dtype)
    X, y = rng.normal(size=(n_rows, 3)).astype(dtype), rng.randint(n_classes, size=n_rows)
    weights = rng.uniform(0.5, 2, n_rows).astype(dtype)
    numbers = rng.permutation(n_rows)
    problem = Problem(X, y[:, None].astype(dtype), weights, row_indices=numbers, n_outputs=n_classes)
    objective = Objective(network, problem, alpha=0.0)
    loss = objective(params)
    options = {"activation": ["tanh", "identity"], "output_activation": "cumulative"}
    arrays = [W.astype(dtype) for W in coefs], [b.astype(dtype) for b in intercepts]
    expected = naive.gradients(*arrays, X, y, loss="ordered_log_loss", sample_weight=weights, **options)
    close = {"rtol": 1e-8, "atol": 1e-11} if dtype == np.float64 else {"rtol": 5e-3, "atol": 5e-4}
    np.testing.assert_allclose(predict_outputs(network, params, X), naive.forward(*arrays, X, **options)[-1], **close)
    assert loss == pytest.approx(expected.loss, rel=close["rtol"])
    found = parameter_views(network, objective.gradient)
    for layer in range(2):
        np.testing.assert_allclose(found[0][layer], expected.coefs[layer], **close)
    for layer in (0, 2):
        np.testing.assert_allclose(found[1][layer], expected.intercepts[layer], **close)
    assert not found[0][2].any() and not found[1][1].any()  # what is fixed
    for array in (*found[0], *found[1]):
        array[...] = 0
    assert not objective.gradient.any()  # the padding


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_from_the_thresholds_nothing_is_lost(dtype):
    """Where differences of the logistic function would be rounding: the gradient by the score is what is above less what is
    below."""
    network = make_network((1, 1, 3), ("identity",), "cumulative", "ordered_log_loss", dtype=dtype)
    params = pack_parameters(network, [[[1.0]], [[1.0] * 3]], [[0.0], [0.0, 1.0, -1.0]], dtype)
    X = np.array([[30.0], [-30.0], [20.0], [80.0], [-700.0]], dtype)
    for label in range(3):
        problem = Problem(X, np.full((5, 1), label, dtype), None, n_outputs=3)
        outputs = predict_outputs(network, params, X).astype(float)
        expected = [expit(-1 - X), expit(X - 1)]
        expected = np.hstack([expected[0], expit(1 + X) * expit(1 - X) * -np.expm1(-2), expected[1]])
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=np.finfo(dtype).tiny)
        objective = Objective(network, problem, alpha=0.0)
        assert np.isfinite(objective(params))
        by_weight = parameter_views(network, objective.gradient)[0][0][0, 0]
        above, below = outputs[:, label + 1 :].sum(axis=1), outputs[:, :label].sum(axis=1)
        np.testing.assert_allclose(by_weight, np.mean((above - below) * X[:, 0]), rtol=1e-4, atol=1e-6)


def proportional_odds(X, y, alpha):
    """The linear model by SciPy's BFGS, with thresholds that are sums of exponentials: (weights, thresholds)."""
    n_features, n_classes = X.shape[1], y.max() + 1

    def split(values):
        steps = values[n_features:]
        return values[:n_features], np.cumsum([steps[0], *np.exp(steps[1:])])

    def loss(values):
        w, thresholds = split(values)
        z = X @ w
        low, high = np.append(-np.inf, thresholds)[y] - z, np.append(thresholds, np.inf)[y] - z
        return np.mean(-log_expit(high) - log_expit(-low) - np.log(-np.expm1(low - high))) + alpha / 2 * w @ w / len(X)

    start = np.zeros(n_features + n_classes - 1)
    return split(minimize(loss, start, method="BFGS", options={"gtol": 1e-9}).x)


@pytest.mark.parametrize("n_classes", [2, 3, 6])
@pytest.mark.parametrize("alpha", [1e-6, 3.0])
def test_without_hidden_layers_it_is_the_proportional_odds_model(n_classes, alpha):
    X, y = table_of(n_classes=n_classes)
    w, thresholds = proportional_odds(X, y, alpha)
    model = BPClassifier((), ordered=True, solver="lbfgs", alpha=alpha, tol=1e-8, max_iter=5000).fit(X, y)
    np.testing.assert_allclose(model.coefs_[0][:, 0], w, atol=2e-4)
    np.testing.assert_allclose(model.thresholds_, thresholds, atol=2e-4)
    later = expit((X @ w)[:, None] - thresholds)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1:].cumsum(axis=1)[:, -1], later[:, 0], atol=2e-4)
    if n_classes == 2:
        linear = LogisticRegression(C=1 / alpha, tol=1e-9, max_iter=5000).fit(X, y)
        np.testing.assert_allclose(model.predict_proba(X), linear.predict_proba(X), atol=2e-4)
    steps = {"batch_size": 200, "learning_rate": "cosine", "learning_rate_init": 0.02, "max_iter": 2000, "n_iter_no_change": 2000}
    slow = BPClassifier((), ordered=True, alpha=alpha, random_state=0, **steps).fit(X, y)
    np.testing.assert_allclose(slow.thresholds_, thresholds, atol=1e-3)


def test_statsmodels_has_the_same():
    ordinal = pytest.importorskip("statsmodels.miscmodels.ordinal_model")
    X, y = table_of()
    theirs = ordinal.OrderedModel(y, X, distr="logit")
    found = theirs.fit(method="bfgs", maxiter=1000, gtol=1e-9, disp=False)
    model = BPClassifier((), ordered=True, solver="lbfgs", alpha=0, tol=1e-8, max_iter=5000).fit(X, y)
    np.testing.assert_allclose(model.coefs_[0][:, 0], found.params[:4], atol=2e-4)
    np.testing.assert_allclose(model.thresholds_, theirs.transform_threshold_params(found.params)[1:-1], atol=2e-4)
    np.testing.assert_allclose(model.predict_proba(X), found.predict(X), atol=1e-4)


@pytest.mark.parametrize("solver", STOCHASTIC)
@pytest.mark.parametrize("batch_size", [1, 20, 200])
@pytest.mark.parametrize("rate", [0.001, 1.0])
def test_thresholds_stay_in_order(solver, batch_size, rate):
    """Whatever the steps, and with classes that hardly come."""
    X, y = table_of(n_classes=6)
    y[(y == 2) & (np.arange(200) % 9 > 0)] = 3
    model = BPClassifier(
        (4,), "tanh", ordered=True, solver=solver, batch_size=batch_size, learning_rate_init=rate, random_state=0
    )
    for _ in range(4):
        model.partial_fit(X[:150], y[:150], classes=np.arange(6))
        thresholds, probabilities = model.thresholds_, model.predict_proba(X)
        assert np.isfinite(thresholds).all()
        assert (np.diff(thresholds) >= 0.9e-3).all()
        assert (probabilities >= 0).all()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
        assert (model.coefs_[-1] == 1).all() and (model.intercepts_[-2] == 0).all()
        np.testing.assert_array_equal(model.predict(X), probabilities.argmax(axis=1))


def test_what_a_score_says():
    X, y = table_of()
    model = BPClassifier((6, 3), ordered=True, solver="lbfgs", random_state=0, max_iter=300).fit(X, y)
    score = model.hidden_activations(X)  # of the last hidden layer, which it is
    later = expit(score - model.thresholds_)
    np.testing.assert_allclose(model.predict_proba(X)[:, ::-1].cumsum(axis=1)[:, -2::-1], later, rtol=1e-9, atol=1e-12)
    order = np.argsort(score[:, 0])
    assert (np.diff(model.predict(X)[order]) >= 0).all()  # the higher the score the later the class
    assert model.score(X, y) == accuracy_score(y, model.predict(X))
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(model.predict_proba(X)))
    assert model.score(X, y) > LogisticRegression().fit(X, y).score(X, y)
    with pytest.raises(AttributeError, match="ordered=True"):
        BPClassifier((3,), max_iter=1).fit(X, y).thresholds_  # noqa: B018


def test_the_order_of_classes():
    pandas = pytest.importorskip("pandas")
    X, y = table_of(n_classes=3)
    base = BPClassifier((3,), ordered=True, max_iter=5, random_state=0)
    by_number = clone(base).fit(X, y)
    for numbers in (y - 10, y * 2.0, y.astype(np.uint8)):
        np.testing.assert_array_equal(clone(base).fit(X, numbers)._params, by_number._params)
    words = np.array(["low", "fair", "high"])
    kind = pandas.CategoricalDtype(["none", "low", "fair", "high"], ordered=True)
    named = pandas.Series(words[y]).astype(kind)
    for target in (named, pandas.Categorical(words[y], dtype=kind), named.to_frame(), pandas.Index(named)):
        model = clone(base).fit(X, target)
        assert model.classes_.tolist() == ["low", "fair", "high"]
        np.testing.assert_array_equal(model._params, by_number._params)
        np.testing.assert_array_equal(model.predict(X), words[by_number.predict(X)])
        assert model.score(X, named) == by_number.score(X, y)
    model.set_params(warm_start=True).fit(X, words[y])  # which are known now
    later = clone(base).partial_fit(X, words[y], classes=pandas.Categorical(words, dtype=kind))
    assert later.classes_.tolist() == ["low", "fair", "high"]
    np.testing.assert_array_equal(later._params, clone(base).partial_fit(X, y, classes=[0, 1, 2])._params)
    later.partial_fit(X[:5], words[y][:5])
    weighted = clone(base).set_params(class_weight={"low": 5.0, "fair": 1.0, "high": 0.5}).fit(X, named)
    np.testing.assert_array_equal(weighted._params, clone(base).fit(X, y, np.array([5.0, 1.0, 0.5])[y])._params)
    balanced = [clone(base).set_params(class_weight="balanced").fit(X, target)._params for target in (named, y)]
    np.testing.assert_array_equal(*balanced)
    held = clone(base).set_params(early_stopping=True).fit(X, named, X_val=X[:30], y_val=named[:30])
    assert held.best_validation_score_ == max(held.validation_scores_)
    for wrong in (words[y], named.astype(str), pandas.Series(words[y]).astype("category")):
        with pytest.raises(ValueError, match=r"order of the classes.*Categorical"):
            clone(base).fit(X, wrong)


EVERYTHING = [
    {"skip_layer": True},
    {"monotonic_cst": [1, -1, 0, 0], "skip_layer": True},
    {"dropout": 0.3},
    {"embedding": "periodic", "scale_layer": True},
    {"input_scaling": "standard"},
    {"input_scaling": "standard", "skip_layer": True, "solver": "lbfgs"},
    {"max_norm": 0.5, "clip_norm": 1.0, "l1_ratio": 0.5},
    {"averaging": "polyak", "learning_rate_init": 0.3},
    {"early_stopping": True, "refit": True},
    {"early_stopping": True, "scoring": "neg_log_loss"},
    {"n_restarts": 3, "ensemble": True},
    {"init": "data"},
    {"solver": "lbfgs"},
    {"record_gradient_norms": True},
]


@pytest.mark.parametrize("options", EVERYTHING, ids=str)
def test_with_every_option(options, tmp_path):
    X, y = table_of()
    options = {"max_iter": 20, "learning_rate_init": 0.02, "random_state": 0} | options
    model = BPClassifier((8,), "tanh", ordered=True, **options).fit(X, y)
    for member in model.estimators_ or [model]:
        assert (member.coefs_[-1] == 1).all() and (np.diff(member.thresholds_) > 0).all()
    probabilities = model.predict_proba(X)
    assert model.score(X, y) > 0.4
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    fastbp.save(model, tmp_path / "model.safetensors")
    for other in (pickle.loads(pickle.dumps(model)), fastbp.load(tmp_path / "model.safetensors")):
        np.testing.assert_array_equal(other.predict_proba(X), probabilities)
    if model.input_scaler_ is not None:
        np.testing.assert_allclose(copy.deepcopy(model).fold_scaling().predict_proba(X), probabilities, rtol=1e-9, atol=1e-12)
    if "monotonic_cst" in options:
        later = [1 - model.predict_proba(X + [step, -step, 0, 0]).cumsum(axis=1) for step in (0.0, 0.1, 3.0)]
        assert (np.diff(later, axis=0) >= -1e-14).all()
    if "embedding" not in options:
        sparse = scipy.sparse.csr_matrix(X)
        if model.input_scaler_ is None:
            np.testing.assert_allclose(model.predict_proba(sparse), probabilities, rtol=1e-9, atol=1e-12)
            if "init" not in options:
                np.testing.assert_allclose(clone(model).fit(sparse, y).predict_proba(X), probabilities, rtol=1e-4, atol=1e-6)


def test_weights_of_rows_and_threads(teams_for_any_work):
    X, y = table_of(n_classes=7)
    counts = np.random.RandomState(0).randint(1, 4, 200)
    options = {"ordered": True, "solver": "lbfgs", "random_state": 0, "tol": 1e-8, "max_iter": 20, "alpha": 0.1}
    weighted = BPClassifier((3,), **options).fit(X, y, counts)
    repeated = BPClassifier((3,), **options).fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-5)
    for solver in ("adam", "lbfgs", "sgd"):
        options = {"ordered": True, "solver": solver, "max_iter": 4, "batch_size": 60, "random_state": 0, "skip_layer": True}
        fits = [BPClassifier((40,), n_threads=n, **options).fit(X, y)._params for n in (1, 2, 3)]
        for other in fits[1:]:
            np.testing.assert_array_equal(fits[0], other)


def test_searches():
    X, y = table_of(n_classes=3)
    grid = {"ordered": [False, True], "solver": ["adam", "lbfgs"]}
    base = BPClassifier((4,), random_state=0, max_iter=5, learning_rate_init=0.02)
    found = [search(base, grid, cv=3).fit(X, y).cv_results_["mean_test_score"] for search in (BPSearchCV, GridSearchCV)]
    np.testing.assert_allclose(*found, rtol=1e-12)


@pytest.mark.parametrize("options", [{}, {"skip_layer": True}, {"hidden_layer_sizes": ()}], ids=str)
def test_explanations(options):
    X, y = table_of()
    options = {"hidden_layer_sizes": (5,), "feature_importances": True} | options
    model = BPClassifier(activation="tanh", ordered=True, solver="lbfgs", random_state=0, max_iter=50, **options).fit(X, y)
    rows, moves = X[:5], 1e-6 * np.eye(4)
    expected = np.stack([(model.predict_proba(rows + h) - model.predict_proba(rows - h)) / 2e-6 for h in moves], axis=1)
    np.testing.assert_allclose(model.input_gradients(rows), expected, rtol=1e-5, atol=1e-8)
    of_score = np.stack([(score_of(model, rows + h) - score_of(model, rows - h)) / 2e-6 for h in moves], axis=1)
    logits = model.input_gradients(rows, of_logits=True)
    for number in range(4):
        np.testing.assert_allclose(logits[..., number], of_score, rtol=1e-5, atol=1e-8)
    found = model.integrated_gradients(rows, n_steps=1000)
    assert np.abs(found.completeness_error).max() < 1e-4
    assert model.olden_importances().shape == (4, 4)
    np.testing.assert_allclose(model.garson_importances().sum(axis=0), 1.0)
    assert model.feature_importances_.argmax() == 0
    with pytest.raises(ValueError, match="ordered"):
        model.pruned(X)


def score_of(model, X):
    later = 1 - model.predict_proba(X)[:, 0]
    return np.log(later / (1 - later)) + model.thresholds_[0]


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "focal"},
        {"label_smoothing": 0.1},
        {"output_activation": "softmax"},
        {"calibration": "temperature", "early_stopping": True},
        {"fit_intercept": False},
        {"solver": "lm"},
        {"init": ([np.ones((4, 3)), np.ones((3, 4))], [np.ones(3), np.ones(4)])},
        {"ordered": 1},
    ],
    ids=lambda options: next(iter(options)),
)
def test_refused(options):
    X, y = table_of(40)
    with pytest.raises(ValueError, match="ordered") as caught:
        BPClassifier(**({"hidden_layer_sizes": (3,), "ordered": True} | options)).fit(X, y)
    assert next(iter(options)) in str(caught.value)


@pytest.mark.parametrize(
    "y, word",
    [
        (np.zeros(40), "two classes or more"),
        (np.eye(40, 3, dtype=int), "one column"),
        (np.column_stack([np.arange(40) % 3, np.arange(40) % 4]), "one column"),
    ],
)
def test_refused_targets(y, word):
    X, _ = table_of(40)
    with pytest.raises(ValueError, match=f"ordered=True.*{word}"):
        BPClassifier((3,), ordered=True).fit(X, y)


def test_other_weights_behind_the_score_are_seen():
    X, y = table_of()
    model = BPClassifier((3,), ordered=True, max_iter=3, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=r"ordered=False, but the weights .* with an order"):
        copy.deepcopy(model).set_params(ordered=False, warm_start=True).fit(X, y)
    plain = BPClassifier((3,), max_iter=3, random_state=0, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"ordered=True, but the weights .* without an order"):
        plain.set_params(ordered=True).fit(X, y)


def test_scikit_learn_has_none():
    X, y = table_of()
    with pytest.raises(ValueError, match="no ordered classes"):
        fastbp.to_sklearn(BPClassifier((3,), ordered=True, max_iter=2).fit(X, y))
