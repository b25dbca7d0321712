"""Embeddings of categories: a linear layer of each column's own between its zeros and ones and the first layer."""

import pickle
import warnings

import naive
import numpy as np
import pandas as pd
import pytest
from covering import covering
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

import fastbp
from fastbp import BPClassifier, BPRegressor, BPSearchCV
from fastbp.estimators.categories import embedding_sizes
from fastbp.training.network import front_views, make_network, parameter_views
from fastbp.training.objective import Objective
from fastbp.training.predict import predict_outputs
from fastbp.training.problem import Problem

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def ones(codes, n):
    """Zeros and ones in place of codes; a row of zeros for one that is not known."""
    return (np.asarray(codes)[:, None] == np.arange(n)).astype(float)


# ---- one column and no intercepts: a dense network of one layer more, whose first weights are the embeddings

N_CATEGORIES = 23
AXES = {
    "solver": {name: {"solver": name} for name in ("sgd", "adam", "adamw", "rmsprop", "rprop", "lbfgs")},
    "dtype": {"float32": {}, "float64": {}},
    "size": {size: {"embedding_size": size} for size in (1, 5, 40)},
    "dropout": {"none": {}, "inputs": {"dropout": [0.2, 0.0]}},  # masks of units go by the number of their layer
    "shaping": {
        "none": {},
        "clipped": {"clip_norm": 0.3},
        "averaged": {"averaging": 0.9, "l1_ratio": 0.5, "alpha": 0.01},
    },
    "penalty": {"some": {}, "much": {"alpha": 3.0}},
    "batches": {size: {"batch_size": size} for size in (1, 17, "auto")},
    "width": {size: {"hidden_layer_sizes": (size,)} for size in (7, 300)},
    "rates": {"equal": {}, "others": {"rate_factors": {"coefs": 0.5, "embedding": 0.5}}},
    "order": {"shuffled": {}, "as it is": {"shuffle": False}},
    "threads": {n: {"n_threads": n} for n in (1, 3)},
    "validation": {"none": {}, "early": {"early_stopping": True}},
    "weights": {"equal": {}, "others": {}},
}


def settled(case):
    if case["solver"] in ("rprop", "lbfgs"):
        case = {**case, "rates": "equal", "dropout": "none", "batches": "auto", "order": "shuffled"}
    if case["solver"] == "lbfgs":
        case = {**case, "shaping": "none"}
    if case["solver"] == "rmsprop" and case["dtype"] == "float32":  # a step of ± the rate, whatever rounding leaves of a slope
        case = {**case, "batches": "auto"}
    return case


@pytest.mark.parametrize("case", covering(AXES, settled), ids=lambda case: "-".join(map(str, case.values())))
def test_a_dense_network_of_a_layer_more(case, teams_for_any_work):
    rng = np.random.RandomState(0)
    codes = rng.permutation(np.resize(np.arange(N_CATEGORIES), 130))
    y = (np.sin(codes) + 0.1 * rng.normal(size=130)).astype(case["dtype"])
    X, dense_X = codes[:, None].astype(case["dtype"]), ones(codes, N_CATEGORIES).astype(case["dtype"])
    weights = rng.uniform(0.5, 2, 130) if case["weights"] == "others" else None
    options = {"activation": "tanh", "max_iter": 4, "tol": 0, "learning_rate_init": 1e-3, "fit_intercept": False}
    for axis, level in case.items():
        options |= AXES[axis][level]
    size = options["embedding_size"]
    embedded = BPRegressor(categorical_features=[0], random_state=1, **options)
    begun = clone(embedded).set_params(
        solver="sgd", max_iter=1, learning_rate_init=1e-300, early_stopping=False, rate_factors=None, averaging=None, l1_ratio=0.0
    )
    begun.fit(X, y)  # whose step is nothing
    drawn = np.random.RandomState(1)
    n_weights = sum(array.size for array in (*begun.coefs_, *begun.intercepts_))
    drawn.uniform(size=N_CATEGORIES * size + n_weights)  # by which the other's draws begin where these end
    width = options["hidden_layer_sizes"][0]
    of_twin = options | {"hidden_layer_sizes": (size, width), "activation": ("identity", "tanh"), "random_state": drawn}
    of_twin["init"] = [*begun.embeddings_, *begun.coefs_], [np.zeros(size), *begun.intercepts_]
    if case["dropout"] != "none":
        of_twin["dropout"] = [0.2, 0.0, 0.0]
    if case["rates"] == "others":
        of_twin["rate_factors"] = {"coefs": 0.5}
    del of_twin["embedding_size"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        embedded.fit(X, y, weights)
        dense = BPRegressor(**of_twin).fit(dense_X, y, weights)
    tolerance = 2e-4 if case["dtype"] == "float32" else 1e-9
    for mine, theirs in zip([*embedded.embeddings_, *embedded.coefs_], dense.coefs_, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=10 * tolerance, atol=tolerance)
    assert np.abs(embedded.embeddings_[0] - begun.embeddings_[0]).max() > 1e-4
    np.testing.assert_allclose(embedded.loss_, dense.loss_, rtol=tolerance)
    more = np.array([3.0, 99.0, np.nan, 0.0])
    found = embedded.predict(more[:, None].astype(case["dtype"]))
    expected = dense.predict(ones(more, N_CATEGORIES).astype(case["dtype"]))
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    if case["threads"] > 1:
        alone = clone(embedded).set_params(n_threads=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            alone.fit(X, y, weights)
        np.testing.assert_array_equal(alone._params, embedded._params)


# ---- several columns beside numbers, and what else lies before the first layer

FRONTS = {
    "none": {},
    "scale": {"scale_layer": True},
    "waves": {"embedded": [1, 0]},
    "both": {"embedded": [0], "scale_layer": True},
}
SIZES, N_EACH = (3, 1, 6), (4, 50, 9)


def rows_of_codes(n_rows, n_numbers=2, seed=0):
    rng = np.random.RandomState(seed)
    return np.column_stack([rng.normal(size=(n_rows, n_numbers)), *(rng.randint(-1, n, n_rows) for n in N_EACH)]).astype(float)


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("n_rows, n_hidden", [(37, 5), (500, 3), (60, 140)])
def test_gradients_by_finite_differences(front, n_rows, n_hidden, teams_for_any_work):
    options = {"categories": N_EACH, "category_sizes": SIZES, **FRONTS[front]}
    network = make_network((2 + len(N_EACH), n_hidden, 2), ("tanh",), "identity", "huber", loss_parameter=1.0, **options)
    rng = np.random.RandomState(1)
    places = np.arange(network.n_parameters, dtype=float)
    layers, beside = parameter_views(network, places), front_views(network, places)
    own = np.concatenate([view.ravel() for view in (*layers[0], *layers[1], *beside.values())]).astype(int)
    params = np.zeros(network.n_parameters)
    params[own] = rng.normal(scale=0.3, size=len(own))
    X = rows_of_codes(n_rows)
    problem = Problem(X, rng.normal(size=(n_rows, 2)), rng.uniform(0.5, 2, n_rows))
    objective = Objective(network, problem, alpha=0.7, n_threads=1)
    objective(params)
    gradient = objective.gradient.copy()
    shared = Objective(network, problem, alpha=0.7, n_threads=3)
    shared(params)
    np.testing.assert_array_equal(shared.gradient, gradient)
    assert not np.delete(gradient, own).any()  # so that what is trained keeps zeros in the padding
    chosen = [rng.permutation(view.ravel())[:12].astype(int) for view in beside.values()]
    chosen += [rng.permutation(view.ravel())[:6].astype(int) for view in layers[0]]
    assert sum(name.startswith("category_embedding") for name in beside) == 3
    for place in np.concatenate(chosen):
        sides = []
        for sign in (1, -1):
            moved = params.copy()
            moved[place] += sign * 1e-5
            sides.append(objective(moved))
        np.testing.assert_allclose(gradient[place], (sides[0] - sides[1]) / 2e-5, rtol=2e-5, atol=1e-8)


def test_outputs_are_those_of_one_hot_times_embedding():
    X = rows_of_codes(300)
    y = np.sin(X[:, 0]) + 0.2 * X[:, 3] % 3
    model = BPRegressor(
        hidden_layer_sizes=(7, 4), categorical_features=[2, 3, 4], embedding_size={2: 3, 3: 1, 4: 6}, random_state=0,
        scale_layer=True, activation="tanh", max_iter=8,
    ).fit(X, y)  # fmt: skip
    assert [array.shape for array in model.embeddings_] == [(n + 1, size) for n, size in zip(N_EACH, SIZES, strict=True)]
    assert model.coefs_[0].shape == (2 + sum(SIZES), 7)
    new = rows_of_codes(60, seed=4)
    new[0, 2:] = 77
    seen = np.hstack(
        [
            new[:, :2],
            *((new[:, 2 + k, None] == values).astype(float) @ model.embeddings_[k] for k, values in enumerate(model.categories_)),
        ]
    )
    assert not seen[0, 2:].any()  # of categories that are not known
    layers = naive.forward(model.coefs_, model.intercepts_, seen * model.front_["scale"], activation="tanh")
    np.testing.assert_allclose(model.predict(new), layers[-1][:, 0], rtol=1e-9)
    np.testing.assert_allclose(model.hidden_activations(new, 0), layers[1], rtol=1e-9)
    before = model.predict(new)
    model.embeddings_[2][:] = 0.0  # a view of what predicts
    assert not np.array_equal(model.predict(new), before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 32, "dropout": [0.3, 0.1]},
        {"batch_size": 400, "hidden_layer_sizes": (3,)},  # in slabs
        {"embedding": "periodic", "scale_layer": True, "clip_norm": 0.5},
        {"solver": "lbfgs", "hidden_layer_sizes": (300,)},
        {"init": "data", "early_stopping": True, "weight_decay": 0.1, "solver": "adamw"},
    ],
    ids=str,
)
def test_same_bits_for_any_number_of_threads(options, dtype, teams_for_any_work):
    X = rows_of_codes(900)
    y = np.sin(X[:, 0]) + 0.2 * X[:, 3] % 3
    options = {"categorical_features": [2, 3, 4], "embedding_size": "auto", "max_iter": 3, "random_state": 0, **options}
    found = [BPRegressor(n_threads=n, **options).fit(X.astype(dtype), y.astype(dtype)) for n in (1, 2, 3)]
    for other in found[1:]:
        np.testing.assert_array_equal(found[0]._params, other._params)
        np.testing.assert_array_equal(found[0].predict(X), other.predict(X))


def test_where_embeddings_begin():
    X = np.column_stack([np.resize(np.arange(4000), 8000), np.zeros(8000)])
    model = BPRegressor(
        hidden_layer_sizes=(2,), categorical_features=[0], embedding_size=9, learning_rate_init=1e-300, max_iter=1, solver="sgd"
    ).fit(X, np.zeros(8000))
    drawn = model.embeddings_[0]
    assert np.abs(drawn).max() <= 1 / 3 and np.abs(drawn).max() > 0.33
    np.testing.assert_allclose((drawn**2).sum(axis=1).mean(), 1 / 3, rtol=0.05)
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.02)


# ---- the parameter


def frame_of(n_rows=80):
    rng = np.random.RandomState(0)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=n_rows),
            "town": np.array(["Rome", "Oslo", "Lima", None], dtype=object)[rng.randint(0, 4, n_rows)],
            "b": rng.normal(size=n_rows),
            "level": rng.choice([3, 4, 9], n_rows),
        }
    )
    return frame, (frame.a + (frame.town == "Rome") - 0.2 * frame.level).to_numpy()


QUICK = {"categorical_features": ["town", "level"], "max_iter": 5, "random_state": 0}


@pytest.mark.parametrize(
    "size, sizes",
    [
        (3, (3, 3)),
        ("auto", (3, 3)),
        ({"town": 7}, (7, 3)),
        ({3: 2, "town": "auto"}, (3, 2)),
        ({np.int64(1): np.int64(5), "level": 1}, (5, 1)),
        ({}, (3, 3)),
    ],
)
def test_sizes(size, sizes):
    frame, y = frame_of()
    model = BPRegressor(embedding_size=size, **QUICK).fit(frame, y)
    assert [array.shape for array in model.embeddings_] == list(zip((4, 3), sizes, strict=True))
    assert np.isfinite(model.predict(frame)).all()
    assert clone(model).embedding_size == size


@pytest.mark.parametrize("n, size", [(1, 2), (2, 2), (10, 6), (100, 21), (1000, 77)])
def test_sizes_of_fastai(n, size):
    """emb_sz_rule of fastai.tabular.model: min(600, round(1.6 * n_cat**0.56))."""
    X = np.arange(n, dtype=float)[:, None]
    options = {"hidden_layer_sizes": (1,), "max_iter": 1, "batch_size": n, "categorical_features": [0]}
    model = BPRegressor(embedding_size="auto", **options).fit(X, X[:, 0] / n)
    assert model.embeddings_[0].shape == (n, size)
    model.categories_ = [np.arange(60_000.0)]
    assert embedding_sizes(model) == (600,)


REFUSED = [
    ({"embedding_size": 0}, "embedding_size"),
    ({"embedding_size": 2.5}, "embedding_size"),
    ({"embedding_size": True}, "embedding_size"),
    ({"embedding_size": "large"}, "auto"),
    ({"embedding_size": [3, 4]}, "embedding_size"),
    ({"embedding_size": {"a": 3}}, "'a', which is no column of categories: these are 'town', 'level'"),
    ({"embedding_size": {0: 3}}, "0, which is no column"),
    ({"embedding_size": {True: 3}}, "True, which is no column"),
    ({"embedding_size": {"city": 3}}, "'city'"),
    ({"embedding_size": {"town": 0}}, "embedding_size.*town"),
    ({"embedding_size": {"town": None}}, "embedding_size.*town"),
    ({"embedding_size": {"town": 3, 1: 3}}, "twice"),
    ({"embedding_size": 3, "solver": "lm"}, "categorical_features"),
    ({"embedding_size": 3, "feature_importances": True}, "categorical_features"),
    ({"embedding_size": 2**60}, "more than fit"),
]


@pytest.mark.parametrize("options, words", REFUSED, ids=str)
def test_parameters_that_are_refused(options, words):
    frame, y = frame_of()
    with pytest.raises(ValueError, match=words):
        BPRegressor(**{**QUICK, **options}).fit(frame, y)


def test_embeddings_are_for_categories():
    with pytest.raises(ValueError, match="categorical_features"):
        BPRegressor(embedding_size=3).fit([[1.0], [2.0]], [1.0, 2.0])


@pytest.mark.parametrize("kind", [BPClassifier, BPRegressor])
def test_going_on_copies_and_files(kind, tmp_path):
    frame, y = frame_of()
    y = y > 0 if kind is BPClassifier else y
    model = kind(embedding_size={"town": 5}, input_scaling="standard", early_stopping=True, **QUICK).fit(frame, y)
    fastbp.save(model, tmp_path / "model.fastbp")
    for other in (pickle.loads(pickle.dumps(model)), fastbp.load(tmp_path / "model.fastbp")):
        np.testing.assert_array_equal(other.predict(frame), model.predict(frame))
        for mine, theirs in zip(model.embeddings_, other.embeddings_, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_array_equal(
            other.set_params(warm_start=True).fit(frame, y).predict(frame),
            pickle.loads(pickle.dumps(model)).set_params(warm_start=True).fit(frame, y).predict(frame),
        )
    model.set_params(early_stopping=False, input_scaling=None).fit(frame, y)
    whole = clone(model).set_params(shuffle=False, max_iter=2, n_iter_no_change=50).fit(frame, y)
    steps = clone(whole).set_params(max_iter=1)
    for _ in range(2):
        steps.partial_fit(frame, y, **({"classes": [False, True]} if kind is BPClassifier else {}))
    for mine, theirs in zip(whole.embeddings_, steps.embeddings_, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)
    new = frame.assign(town="Bonn")  # which the network does not know
    np.testing.assert_array_equal(model.predict(new), model.predict(frame.assign(town="Kiel")))
    before = [array.copy() for array in model.embeddings_]
    model.partial_fit(new, y)
    np.testing.assert_allclose(model.embeddings_[0], before[0], atol=0.02)  # what momentum and the penalty leave
    assert not np.array_equal(model.embeddings_[1], before[1])
    for size in (None, {"town": 4}):
        with pytest.raises(ValueError, match="embedding_size"):
            model.set_params(embedding_size=size).partial_fit(frame, y)
    model.fit(frame, y)
    model.set_params(embedding_size=None, warm_start=False).fit(frame, y)
    assert not hasattr(model, "embeddings_")


def test_searches_and_ensembles():
    frame, y = frame_of()
    grid = {"alpha": [1e-4, 1.0], "embedding_size": [None, 2, "auto", {"town": 3}]}
    base = BPRegressor(**QUICK)
    mine, theirs = BPSearchCV(base, grid, cv=3).fit(frame, y), GridSearchCV(base, grid, cv=3).fit(frame, y)
    np.testing.assert_allclose(mine.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    assert len(np.unique(mine.cv_results_["mean_test_score"])) == 6  # as 'auto' is 3 here
    model = clone(base).set_params(embedding_size=2, n_restarts=2, ensemble=True).fit(frame, y)
    np.testing.assert_allclose(model.predict(frame), np.mean([one.predict(frame) for one in model.estimators_], axis=0))


def test_what_explains_is_refused_and_targets_are_unscaled():
    frame, y = frame_of()
    model = BPRegressor(embedding_size=2, target_scaling="standard", **QUICK).fit(frame, y)
    for ask in (model.input_gradients, model.integrated_gradients, model.pruned):
        with pytest.raises(ValueError, match="categories"):
            ask(frame)
    for ask in (model.olden_importances, model.garson_importances, lambda: fastbp.to_sklearn(model)):
        with pytest.raises(ValueError, match="categories"):
            ask()
    before = model.predict(frame)
    np.testing.assert_allclose(model.fold_scaling().predict(frame), before, rtol=1e-9)


def test_attributes_that_were_replaced(tmp_path):
    frame, y = frame_of()
    model = BPRegressor(embedding_size={"town": 5, "level": 3}, **QUICK).fit(frame, y)
    first, second = model.embeddings_
    for front in [
        {"category_embedding_0": first},
        {"category_embedding_0": first, "category_embedding_1": second[:2]},
        {"category_embedding_0": first[:, :4], "category_embedding_1": second},
        {"category_embedding_0": second, "category_embedding_1": first},
        {"category_embedding_0": first, "category_embedding_2": second},
        {"category_embedding_0": first, "category_embedding_1": second, "category_embedding_2": second},
        {"category_embedding_0": first, "category_embedding_1": second.astype(int)},
        {"category_embedding_0": first, "category_embedding_1": second.ravel()},
        {"category_embedding_0": first, "category_embedding_1": np.empty((3, 0))},
        {"category_embedding_0": first, "category_embedding_1": second.tolist()},
        {"category_embedding_0": first, "category_embedding_one": second},
        {},
        None,
    ]:
        other = pickle.loads(pickle.dumps(model))
        other.front_ = front
        with pytest.raises(ValueError, match=r"front_|categories_|features_in_"):
            other.predict(frame)
        with pytest.raises(ValueError):
            fastbp.save(other, tmp_path / "model.fastbp")
    for name, value in [("n_categories_", (4, 2)), ("n_categories_", (4, 2**70)), ("categories_", model.categories_[::-1])]:
        other = pickle.loads(pickle.dumps(model))
        setattr(other, name, value)
        with pytest.raises(ValueError, match=r"categories_"):
            other.predict(frame)


@pytest.mark.filterwarnings("error")
def test_a_code_within_a_network_may_be_none():
    network = make_network((3, 4, 1), ("tanh",), "identity", "squared_error", categories=(3,), category_sizes=(2,))
    params = np.random.RandomState(0).normal(size=network.n_parameters)
    X = np.array([[1.0, 2.0, -1.0], [1.0, 2.0, 0.0]])
    dense = make_network((4, 4, 1), ("tanh",), "identity", "squared_error")
    embeddings = params[network.categories_at[0] :][:6].reshape(3, 2)
    seen = np.hstack([X[:, :2], ones(X[:, 2], 3) @ embeddings])
    np.testing.assert_allclose(predict_outputs(network, params, X), predict_outputs(dense, params[: dense.n_parameters], seen))
    for code in (-2, 3, 0.5, np.nan, np.inf, 1e300):
        with pytest.raises(ValueError, match="column 2"):
            predict_outputs(network, params, np.array([[0.0, 0.0, code]]))


def test_more_levels_than_rows_converge():
    """What only embeddings of few numbers can share: towns of a few kinds, of which each has few rows."""
    rng = np.random.RandomState(0)
    kinds = rng.randint(0, 3, 150)
    town = rng.randint(0, 150, 3000)
    y = np.array([-1.0, 0.0, 2.0])[kinds[town]] + 0.1 * rng.normal(size=3000)
    options = {"categorical_features": [0], "embedding_size": 2, "random_state": 0, "max_iter": 200}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = BPRegressor(**options).fit(town[:2000, None], y[:2000])
    known = np.isin(town[2000:], town[:2000])
    assert model.score(town[2000:, None][known], y[2000:][known]) > 0.9
