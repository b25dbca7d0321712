"""Outputs that never fall, or never rise, with an input: for any input at all, and beside scikit-learn's boosted trees."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp
from fastbp import BPClassifier, BPRegressor, BPSearchCV
from fastbp.names import ACTIVATIONS, HIDDEN_ACTIVATIONS, SOLVERS
from fastbp.training.monotone import parameter_signs
from fastbp.training.network import parameter_views

MONOTONE = tuple(name for name in HIDDEN_ACTIVATIONS if ACTIVATIONS[name].is_monotone)
EXACT = ("identity", "relu", "leaky_relu", "step")  # whose every operation on floats never falls
CONSTRAINTS = [1, -1, 0, 0, 1]
STOCHASTIC = [name for name, solver in SOLVERS.items() if solver.is_stochastic]


def table_of(n_rows=300, dtype=np.float64, seed=0):
    """The second column's effect is against its constraint: a network without one would rise with it."""
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(n_rows, 5))
    y = np.tanh(2 * X[:, 0]) + 0.5 * X[:, 1] + np.sin(3 * X[:, 2]) * X[:, 3] + 0.3 * X[:, 4] ** 2 + 0.1 * rng.normal(size=n_rows)
    return X.astype(dtype), y.astype(dtype)


def pairs_of(n_pairs, dtype, seed=1):
    """Pairs of rows that differ in constrained columns alone, in the second row to where outputs may not be lower; from tiny
    moves to the ends of what a float holds."""
    rng = np.random.RandomState(seed)
    largest = float(np.finfo(dtype).max) ** 0.4
    low = rng.normal(size=(n_pairs, 5)) * 10.0 ** rng.uniform(-6, 2, (n_pairs, 1))
    moves = np.abs(rng.normal(size=(n_pairs, 5))) * 10.0 ** rng.uniform(-9, 4, (n_pairs, 1))
    moves[: n_pairs // 10] = rng.uniform(0, largest, (n_pairs // 10, 5))
    low[n_pairs // 10 : n_pairs // 5] = rng.uniform(-largest, largest, (n_pairs // 5 - n_pairs // 10, 5))
    moves *= rng.uniform(size=moves.shape) < 0.5
    high = low + moves * CONSTRAINTS
    return low.astype(dtype), high.astype(dtype)


def falls(model, low, high):
    """By how much outputs fall at most, in units of the rounding of sums as large as occur on the way."""
    before, after = (model.predict_proba(X)[:, 1:] if is_classifier(model) else model.predict(X) for X in (low, high))
    before, after = (np.asarray(values, dtype=float).reshape(len(low), -1) for values in (before, after))
    assert np.isfinite(before).all() and np.isfinite(after).all()
    return np.max((before - after) / (1 + np.abs(before) + np.abs(after)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [BPClassifier, BPRegressor])
@pytest.mark.parametrize("activation", MONOTONE)
def test_a_hundred_thousand_pairs(activation, kind, dtype):
    X, y = table_of(dtype=dtype)
    y = y > 0 if kind is BPClassifier else y
    options = {"hidden_layer_sizes": (9, 4), "activation": activation, "learning_rate_init": 0.01, "random_state": 0}
    model = kind(monotonic_cst=CONSTRAINTS, max_iter=30, tol=0, **options).fit(X, y)
    free = kind(max_iter=30, tol=0, **options).fit(X, y)
    low, high = pairs_of(100_000, dtype)
    rounding = 0.0 if activation in EXACT and kind is BPRegressor else 16 * np.finfo(dtype).eps
    assert falls(free, low, high) > 1000 * np.finfo(dtype).eps
    assert falls(model, low, high) <= rounding


def test_names_say_what_never_falls():
    z = np.linspace(-30, 30, 5001)
    for name in HIDDEN_ACTIVATIONS:
        values = fastbp.forward([[[1.0]]], [[0.0]], z[:, None], output_activation=name)[-1]
        assert ACTIVATIONS[name].is_monotone == (np.diff(values[:, 0]) >= -1e-12).all()


EVERYTHING = [
    *({"solver": solver} for solver in STOCHASTIC),
    {"batch_size": 1, "solver": "sgd"},
    {"batch_size": 7, "momentum": 0.99, "solver": "sgd", "learning_rate_init": 0.05},
    {"skip_layer": True},
    {"averaging": "polyak", "learning_rate_init": 0.05},
    {"max_norm": 0.7, "clip_norm": 1.0, "l1_ratio": 0.5, "alpha": 0.1},
    {"dropout": 0.3},
    {"input_scaling": "robust", "target_scaling": "standard"},
    {"early_stopping": True, "refit": True},
    {"n_restarts": 3, "ensemble": True},
    {"embedding": "periodic", "embedded_features": [2, 3]},
    {"loss": "quantile", "quantile": [0.1, 0.5, 0.9]},
    {"output_activation": "logistic"},
    *({"init": init} for init in ("normal", "orthogonal", "data", "zeros")),
    {"rate_factors": {"coefs": "fan_in"}, "learning_rate": "one_cycle"},
    {"hidden_layer_sizes": ()},
    {"hidden_layer_sizes": (300, 3)},
]


@pytest.mark.parametrize("options", EVERYTHING, ids=str)
def test_it_holds_with_every_option(options):
    X, y = table_of()
    options = {
        "hidden_layer_sizes": (8, 5),
        "max_iter": 15,
        "random_state": 0,
        "batch_size": 50,
        "learning_rate_init": 0.01,
    } | options
    model = BPRegressor(monotonic_cst=CONSTRAINTS, **options).fit(X, y)
    low, high = pairs_of(20_000, np.float64)
    low, high = np.clip(low, -1e6, 1e6), np.clip(high, -1e6, 1e6)
    assert falls(model, low, high) <= 16 * np.finfo(float).eps
    if options["hidden_layer_sizes"] != () and not (model.ensemble or options.get("init") == "zeros"):
        signs = parameter_signs(*model._packed()[:1], CONSTRAINTS, np.float64)
        assert ((model._params * signs) >= 0).all()
        assert (model._params * signs > 0).sum() > 10  # it is no constant


def test_several_outputs_and_sparse_rows():
    X, y = table_of()
    model = BPRegressor(hidden_layer_sizes=(6,), monotonic_cst=CONSTRAINTS, max_iter=20, learning_rate_init=0.02)
    model.fit(scipy.sparse.csr_matrix(X), np.column_stack([y, y**2]))
    assert falls(model, *pairs_of(10_000, np.float64)) <= 0.0


def test_every_step_stays_within():
    """partial_fit, and copies of what it has left: at no time does an output fall."""
    X, y = table_of()
    model = BPClassifier((7, 3), "tanh", monotonic_cst=CONSTRAINTS, learning_rate_init=0.1, batch_size=20, random_state=0)
    low, high = pairs_of(5_000, np.float64)
    for _ in range(8):
        model.partial_fit(X, y > 0, classes=[False, True])
        assert falls(model, low, high) <= 16 * np.finfo(float).eps
        model = pickle.loads(pickle.dumps(model))
    model.coefs_[1][0, 0] = -1.0
    with pytest.raises(ValueError, match="do not have the signs that monotonic_cst needs"):
        model.partial_fit(X, y > 0)


def test_half_of_the_units_go_each_way():
    """So that functions need not be convex: units that all rise would make nothing else of relu."""
    X = np.linspace(-3, 3, 400)[:, None]
    for target in (np.tanh(2 * X[:, 0]), np.floor(X[:, 0]), -np.exp(-X[:, 0])):
        model = BPRegressor(
            hidden_layer_sizes=(32, 32), monotonic_cst=[1], max_iter=400, learning_rate_init=0.01, random_state=0, tol=0, alpha=0
        ).fit(X, target)
        best = IsotonicRegression().fit(X[:, 0], target)
        assert model.score(X, target) > best.score(X[:, 0], target) - 0.03


def test_steps_are_projections():
    """One epoch of batches in NumPy: a step of sgd, then what has the wrong sign is zero."""
    X, y = table_of(60)
    options = {"solver": "sgd", "momentum": 0.0, "nesterovs_momentum": False, "shuffle": False, "batch_size": 6, "alpha": 0.01}
    model = BPRegressor(hidden_layer_sizes=(6,), activation="tanh", max_iter=1, random_state=0, learning_rate_init=0.3, **options)
    start = clone(model).set_params(learning_rate_init=1e-300, monotonic_cst=CONSTRAINTS).fit(X, y)
    free = clone(model).set_params(learning_rate_init=1e-300).fit(X, y)
    coefs, intercepts = copy.deepcopy((start.coefs_, start.intercepts_))
    for W, drawn in zip(coefs, free.coefs_):
        np.testing.assert_array_equal(np.abs(W), np.abs(drawn))  # the same start, turned round
    directions = np.where(np.arange(6) % 2, -1, 1)
    signs = [np.outer(CONSTRAINTS, directions), directions[:, None]]
    n_stopped = 0
    for first in range(0, 60, 6):
        part = slice(first, first + 6)
        found = fastbp.gradients(coefs, intercepts, X[part], y[part], activation="tanh", alpha=0.01)
        for layer in range(2):
            coefs[layer] = coefs[layer] - 0.3 * found.coefs[layer]
            n_stopped += (coefs[layer] * signs[layer] < 0).sum()
            coefs[layer][coefs[layer] * signs[layer] < 0] = 0.0
            intercepts[layer] = intercepts[layer] - 0.3 * found.intercepts[layer]
    assert n_stopped > 3
    model.set_params(monotonic_cst=CONSTRAINTS).fit(X, y)
    for mine, theirs in zip((*model.coefs_, *model.intercepts_), (*coefs, *intercepts), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)


def test_constraints_of_nothing_change_no_bit():
    X, y = table_of()
    plain = BPRegressor(hidden_layer_sizes=(6,), max_iter=3, random_state=0).fit(X, y)
    for none in ([0] * 5, np.zeros(5), (0, 0, 0, 0, 0)):
        np.testing.assert_array_equal(clone(plain).set_params(monotonic_cst=none).fit(X, y)._params, plain._params)


def test_same_bits_for_any_number_of_threads(teams_for_any_work):
    X, y = table_of()
    fits = [
        BPRegressor(
            hidden_layer_sizes=(40, 9),
            monotonic_cst=CONSTRAINTS,
            skip_layer=True,
            max_iter=4,
            batch_size=90,
            random_state=0,
            n_threads=n,
        ).fit(X, y)
        for n in (1, 2, 3)
    ]
    for other in fits[1:]:
        np.testing.assert_array_equal(fits[0]._params, other._params)


def test_names_of_columns_searches_and_files(tmp_path):
    pandas = pytest.importorskip("pandas")
    X, y = table_of()
    frame = pandas.DataFrame(X, columns=list("abcde"))
    base = BPRegressor(hidden_layer_sizes=(6,), max_iter=6, random_state=0, learning_rate_init=0.02)
    by_name = clone(base).set_params(monotonic_cst={"a": 1, "b": -1, "e": 1}).fit(frame, y)
    by_number = clone(base).set_params(monotonic_cst=np.array(CONSTRAINTS)).fit(X, y)
    np.testing.assert_array_equal(by_name._params, by_number._params)
    for model, rows in ((by_name, frame), (by_number, X)):
        fastbp.save(model, tmp_path / "model.safetensors")
        again = fastbp.load(tmp_path / "model.safetensors")
        np.testing.assert_array_equal(
            again.partial_fit(rows, y).predict(rows), copy.deepcopy(model).partial_fit(rows, y).predict(rows)
        )
    grid = {"monotonic_cst": [None, {"a": 1}, {"a": 1, "b": -1, "e": 1}]}
    found = [search(base, grid, cv=3).fit(frame, y).cv_results_["mean_test_score"] for search in (BPSearchCV, GridSearchCV)]
    np.testing.assert_allclose(*found, rtol=1e-9)
    assert len(set(np.round(found[0], 12))) == 3
    with pytest.raises(ValueError, match="monotonic_cst names 'z'"):
        clone(base).set_params(monotonic_cst={"z": 1}).fit(frame, y)
    with pytest.raises(ValueError, match="X has no names of columns"):
        clone(base).set_params(monotonic_cst={"a": 1}).fit(X, y)


@pytest.mark.parametrize(
    "options, word",
    [
        ({"monotonic_cst": [1, 0]}, "2 values, but X has 5 columns"),
        ({"monotonic_cst": [1, 0, 2, 0, 0]}, "-1, 0 or 1"),
        ({"monotonic_cst": [1, 0, 0.5, 0, 0]}, "-1, 0 or 1"),
        ({"monotonic_cst": [1, 0, np.nan, 0, 0]}, "-1, 0 or 1"),
        ({"monotonic_cst": [[1, 0, 0, 0, 0]]}, "-1, 0 or 1"),
        ({"monotonic_cst": ["1", "0", "0", "0", "0"]}, "-1, 0 or 1"),
        ({"monotonic_cst": 1}, "monotonic_cst"),
        ({"monotonic_cst": "pos"}, "monotonic_cst"),
        ({"solver": "lbfgs"}, "lbfgs"),
        ({"solver": "lm"}, "lm"),
        *(({"activation": name}, name) for name in HIDDEN_ACTIVATIONS if name not in MONOTONE),
        ({"output_activation": "gelu"}, "gelu"),
        ({"scale_layer": True}, "scale_layer"),
        ({"embedding": "periodic"}, "embedding='periodic'"),
        ({"init": ([np.ones((5, 3)), np.ones((3, 1))], [np.ones(3), np.ones(1)])}, "init"),
    ],
)
def test_refused(options, word):
    X, y = table_of(30)
    model = BPRegressor(**({"hidden_layer_sizes": (3,), "monotonic_cst": CONSTRAINTS} | options))
    with pytest.raises(ValueError, match=word) as caught:
        model.fit(X, y)
    assert "monotonic_cst" in str(caught.value)


@pytest.mark.parametrize(
    "y", [np.arange(30) % 3, np.eye(30, 2, dtype=int), np.column_stack([np.arange(30) % 3, np.arange(30) % 4])]
)
def test_for_two_classes_only(y):
    X, _ = table_of(30)
    with pytest.raises(ValueError, match=r"monotonic_cst is for two classes .* HistGradientBoosting"):
        BPClassifier((3,), monotonic_cst=CONSTRAINTS).fit(X, y)
    with pytest.raises(ValueError, match="output_activation='softmax'"):
        BPClassifier((3,), monotonic_cst=CONSTRAINTS, output_activation="softmax").fit(X, y > 0 if y.ndim == 1 else y[:, 0])


def test_exports_hold_it_too():
    X, y = table_of()
    model = BPRegressor(hidden_layer_sizes=(6,), monotonic_cst=CONSTRAINTS, max_iter=10, random_state=0).fit(X, y)
    assert "predict" in fastbp.to_c(model)
    with pytest.raises(ValueError, match="monotonic_cst"):  # whose weights would be others
        model.pruned(X)
    mlp = fastbp.to_sklearn(model.set_params(monotonic_cst=None))
    np.testing.assert_allclose(mlp.predict(X), model.predict(X))


def tables():
    """Three tables with constraints that their makers would sign."""
    rng = np.random.RandomState(0)
    X, y = load_breast_cancer(return_X_y=True)
    yield "cancer", X[:, :10], y, [-1, 0, -1, -1, 0, 0, -1, -1, 0, 0]  # of benign: the larger the nuclei the less likely
    X = rng.uniform(size=(1500, 5))
    noise = rng.normal(size=1500)
    y = 10 * np.sin(np.pi * X[:, 0] * X[:, 1] / 2) + 20 * np.abs(X[:, 2] - 0.5) + 10 * X[:, 3] - 5 * X[:, 4] ** 2 + 2 * noise
    yield "friedman", X, y, [1, 1, 0, 1, -1]
    X, y = rng.normal(size=(800, 5)), rng.normal(size=800)
    yield "logit", X, X[:, 0] - np.exp(X[:, 1] / 2) + np.cos(2 * X[:, 2]) > y, [1, -1, 0, 0, 0]


@pytest.mark.parametrize("table", [*tables()], ids=lambda table: table[0])
def test_beside_boosted_trees(table):
    """No worse than scikit-learn's boosted trees with the same constraints, by a tenth of their error at most."""
    name, X, y, constraints = table
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    is_class = name != "friedman"
    trees = (HistGradientBoostingClassifier if is_class else HistGradientBoostingRegressor)(
        monotonic_cst=constraints, random_state=0, early_stopping=False
    ).fit(X_train, y_train)
    options = {
        "hidden_layer_sizes": (32, 32),
        "activation": "elu",
        "max_iter": 300,
        "random_state": 0,
        "learning_rate_init": 0.005,
    }
    own = (
        BPClassifier(monotonic_cst=constraints, alpha=0.1, **options)
        if is_class
        else BPRegressor(monotonic_cst=constraints, target_scaling="standard", **options)
    )
    model = make_pipeline(StandardScaler(), own).fit(X_train, y_train)
    if is_class:
        errors = [log_loss(y_test, one.predict_proba(X_test)) for one in (model, trees)]
    else:
        errors = [np.mean((one.predict(X_test) - y_test) ** 2) for one in (model, trees)]
    assert errors[0] < 1.1 * errors[1]
    coefs, _ = parameter_views(*own._packed())
    assert all(np.isfinite(W).all() for W in coefs)
