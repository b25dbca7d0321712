"""Training that goes on with other parameters, and fits within fits: it works, or a message names the parameter."""

import copy
import math

import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import make_scorer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from test_parameters import EXAMPLES

from fastbp import BPAutoencoder, BPClassifier, BPRegressor, BPSearchCV

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_warm_start_goes_on_counting_epochs_without_progress(solver):
    """As scikit-learn does: it stops when those before and after are enough."""
    rng = np.random.RandomState(0)
    rows, y = rng.normal(size=(60, 3)), rng.normal(size=60)
    n_iter = []
    for kind in (BPRegressor, MLPRegressor):
        model = kind(hidden_layer_sizes=(4,), solver=solver, max_iter=4, tol=10.0, n_iter_no_change=6, random_state=0)
        model.set_params(warm_start=True).fit(rows, y)
        n_iter.append((model.n_iter_, model.set_params(max_iter=50).fit(rows, y).n_iter_))
    assert n_iter[0] == n_iter[1]
    assert n_iter[0][0] == 4 and n_iter[0][1] < 4 + 6


X = np.random.RandomState(0).normal(size=(80, 4))
Y = np.digitize(X[:, 0], [-0.5, 0.5])
OPTIONS = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0, "batch_size": 20}

# Parameters changed between two calls


OTHERS = {name: [value] for name, (value, _) in EXAMPLES.items()} | {
    "hidden_layer_sizes": [(7,), (5, 5), (), "6", 5],
    "activation": ["tanh", "gelu", ("logistic",), ("tanh", "tanh"), "step"],
    "solver": ["sgd", "rmsprop", "rprop", "no solver", "lbfgs", "lm", "adamw"],
    "alpha": [1.0, "bayes"],
    "batch_size": [7, "auto"],
    "learning_rate": ["invscaling", "adaptive", "cosine", lambda epoch: 0.5],
    "max_iter": [1, 5],
    "random_state": [7, None, np.random.RandomState(3)],
    "warm_start": [True, False],
    "n_iter_no_change": [1, math.inf],
    "init": ["he_normal", "data", ([np.ones((4, 7)), np.ones((7, 3))], [np.ones(7), np.ones(3)])],
    "output_activation": ["softmax", "logistic", "identity", "tanh", "exp"],
    "n_threads": [1, 2],
    "averaging": ["polyak", 0.9],
    "dropout": [0.2, (0.0, 0.5), (0.1, 0.1, 0.1)],
    "max_time": [10.0],
    "monotonic_cst": [[1] + [0] * (X.shape[1] - 1), [1], {"a": 1}],
    "rate_factors": [{"coefs": "fan_in"}, {"intercepts": 0.5}],
    "categorical_features": [[0], "from_dtype"],
    "embedding_size": [3, "auto"],
    "scoring": ["neg_log_loss", "loss", "r2"],
    "input_scaling": ["standard", "robust", None],
    "target_scaling": ["standard", None],
    "class_weight": [{0: 2.0}, "balanced"],
    "loss": ["focal", "huber", "poisson", "quantile", "absolute_error", "tweedie", "log_loss"],
    "quantile": [0.3, [0.2, 0.8]],
}
STARTED = {
    "classifier": BPClassifier(**OPTIONS),
    "two classes, scaled": BPClassifier(**OPTIONS, input_scaling="standard"),
    "regressor": BPRegressor(**OPTIONS),
    "regressor, scaled": BPRegressor(**OPTIONS, input_scaling="robust", target_scaling="standard"),
    "quantiles": BPRegressor("quantile", **OPTIONS, quantile=[0.1, 0.9]),
    "embedded": BPRegressor(**OPTIONS, embedding="periodic", embedded_features=[1, 2]),
    "average": BPRegressor(**OPTIONS, averaging="polyak"),
    "autoencoder": BPAutoencoder((5,), max_iter=3, random_state=0),
}


def target_of(kind):
    return Y > 0 if "two" in kind else Y if kind == "classifier" else X[:, 0] ** 2 + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("again", ["partial_fit", "warm_start"])
@pytest.mark.parametrize("first", ["fit", "partial_fit"])
@pytest.mark.parametrize("kind", STARTED)
def test_a_parameter_changed_between_two_calls(kind, first, again):
    y = target_of(kind)
    for name in STARTED[kind].get_params():
        for value in OTHERS[name]:
            model = copy.deepcopy(STARTED[kind])
            if first == "fit":
                model.fit(X, y)
            else:
                model.partial_fit(X, y, **({"classes": np.unique(y)} if isinstance(model, BPClassifier) else {}))
            before = [array.copy() for array in (*model.coefs_, *model.intercepts_)]
            state = vars(model).copy()
            model.set_params(warm_start=again == "warm_start").set_params(**{name: copy.deepcopy(value)})
            if not hasattr(model, again if again == "partial_fit" else "fit"):
                assert name == "solver"
                continue
            try:
                getattr(model, "fit" if again == "warm_start" else again)(X, y)
            except (ValueError, TypeError) as error:
                assert name in str(error) or (name == "embedded_features" and "embedding" in str(error)), (name, value, error)
                assert all(vars(model)[key] is kept for key, kept in state.items() if key.endswith("_")), (name, value)
                assert all(map(np.array_equal, (*model.coefs_, *model.intercepts_), before)), (name, value)
            else:
                assert all(np.isfinite(W).all() for W in model.coefs_), (name, value)
                what = model.transform(X) if hasattr(model, "transform") else model.predict(X)
                assert len(what) == len(X)
                if again == "partial_fit":  # a third call goes on
                    model.partial_fit(X, y)


@settings(max_examples=60, deadline=None)
@given(names=st.lists(st.sampled_from(sorted(OTHERS)), min_size=2, max_size=5, unique=True), data=st.data())
def test_several_parameters_changed_between_two_calls(names, data):
    kind = data.draw(st.sampled_from(sorted(STARTED)))
    again = data.draw(st.sampled_from(["partial_fit", "fit"]))
    model, y = copy.deepcopy(STARTED[kind]).fit(X, target_of(kind)), target_of(kind)
    names = [name for name in names if name in model.get_params()]
    changes = {name: copy.deepcopy(data.draw(st.sampled_from(OTHERS[name]))) for name in names}
    expected = [array.copy() for array in (*model.coefs_, *model.intercepts_)]
    model.set_params(warm_start=again == "fit").set_params(**changes)
    if not hasattr(model, again):
        return
    try:
        getattr(model, again)(X, y)
    except (ValueError, TypeError):
        assert all(map(np.array_equal, (*model.coefs_, *model.intercepts_), expected))
    else:
        (model.transform if hasattr(model, "transform") else model.predict)(X)


def test_another_solver_has_an_optimizer_of_its_own():
    """Its first step is that of a new optimizer from these weights."""
    model = BPRegressor(**OPTIONS, shuffle=False).fit(X, X[:, 0])
    fresh = BPRegressor(**OPTIONS, shuffle=False, solver="sgd")
    fresh.coefs_, fresh.intercepts_ = copy.deepcopy((model.coefs_, model.intercepts_))
    for each in (model.set_params(solver="sgd"), fresh):
        each.partial_fit(X, X[:, 0])
    np.testing.assert_array_equal(model.coefs_[0], fresh.coefs_[0])


def test_out_activation_set_by_hand_is_gone_on_with():
    """As in scikit-learn, where output_activation does not say another."""
    theirs = MLPClassifier(**OPTIONS).fit(X, Y > 0)
    theirs.out_activation_ = "logistic"
    assert theirs.partial_fit(X, Y > 0).out_activation_ == "logistic"
    for again in ("partial_fit", "fit"):
        model = BPRegressor(**OPTIONS, warm_start=True).fit(X, X[:, 0])
        model.out_activation_ = "tanh"
        explicit = BPRegressor(**OPTIONS, warm_start=True, output_activation="tanh")
        explicit.coefs_, explicit.intercepts_ = copy.deepcopy((model.coefs_, model.intercepts_))
        for each in (model.compact(), explicit):
            getattr(each, again)(X, X[:, 0])
        assert model.out_activation_ == "tanh"
        np.testing.assert_array_equal(model.predict(X), explicit.predict(X))
        before = model.predict(X)
        with pytest.raises(ValueError, match=r"output_activation='identity'.*out_activation_='tanh'"):
            getattr(model.set_params(output_activation="identity"), again)(X, X[:, 0])
        np.testing.assert_array_equal(model.predict(X), before)
        assert model.set_params(output_activation="auto", warm_start=False).fit(X, X[:, 0]).out_activation_ == "identity"


# Fits within fits


def inner():
    BPClassifier((3,), max_iter=2, random_state=1).fit(X, Y).predict(X)
    BPAutoencoder((2,), max_iter=1, random_state=2, denoising=0.1).fit(X)
    BPRegressor(hidden_layer_sizes=2, max_iter=1, random_state=3).partial_fit(X, X[:, 0])
    BPSearchCV(BPClassifier((2,), max_iter=1, random_state=4), {"alpha": [0.1, 1.0]}, cv=2).fit(X, Y)


def scored(estimator, X, y):
    return estimator.score(X, y)


def scored_after_a_fit(estimator, X, y):
    inner()
    return estimator.score(X, y)


def rate(epoch):
    return 1.0


def rate_after_a_fit(epoch):
    inner()
    return 1.0


def rate_after_a_fit_in_a_generator(epoch):
    return next((inner(), 1.0)[1] for _ in range(1))


class Callback:
    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context, **options):
        inner()

    def on_fit_task_end(self, estimator, context, **options):
        inner()


NESTED = {
    "learning_rate": ({"learning_rate": rate}, {"learning_rate": rate_after_a_fit}),
    "generator": ({"learning_rate": rate}, {"learning_rate": rate_after_a_fit_in_a_generator}),
    "scorer": ({"scoring": scored, "early_stopping": True}, {"scoring": scored_after_a_fit, "early_stopping": True}),
    "restarts": (
        {"learning_rate": rate, "n_restarts": 3, "n_threads": 2},
        {"learning_rate": rate_after_a_fit, "n_restarts": 3, "n_threads": 2},
    ),
    "refit": (
        {"scoring": scored, "early_stopping": True, "refit": True, "learning_rate": rate},
        {"scoring": scored_after_a_fit, "early_stopping": True, "refit": True, "learning_rate": rate_after_a_fit},
    ),
    "dropout": ({"dropout": 0.3, "learning_rate": rate}, {"dropout": 0.3, "learning_rate": rate_after_a_fit}),
    "callback": ({}, {}),
}


@pytest.mark.parametrize("case", NESTED)
@pytest.mark.parametrize("seed", [0, np.random.RandomState(0)], ids=["int", "RandomState"])
def test_a_fit_within_a_fit_changes_no_bit(case, seed):
    if case == "callback" and tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9):
        pytest.skip("sklearn.callback is public from scikit-learn 1.9 on")
    models = []
    for options in NESTED[case]:
        model = BPClassifier((5,), max_iter=4, batch_size=7, random_state=copy.deepcopy(seed), tol=0, **options)
        if case == "callback" and models:
            model.set_callbacks(Callback())
        model.fit(X, Y)
        if "early_stopping" not in options:
            model.partial_fit(X, Y)
        models.append(model)
    for own, other in zip(*[(*model.coefs_, *model.intercepts_) for model in models], strict=True):
        np.testing.assert_array_equal(own, other)
    assert models[0].loss_curve_ == models[1].loss_curve_


def metric(y, predicted):
    return float(np.mean(y == predicted))


def metric_after_a_fit(y, predicted):
    inner_small()
    return metric(y, predicted)


def inner_small():
    BPClassifier((3,), max_iter=2, random_state=1).fit(X, Y)


def test_a_fit_within_the_metric_of_a_search_changes_no_number():
    searches = [
        BPSearchCV(
            BPClassifier((4,), max_iter=3, random_state=0), {"alpha": [0.1, 1.0]}, cv=3, scoring=make_scorer(score), n_jobs=1
        ).fit(X, Y)
        for score in (metric, metric_after_a_fit)
    ]
    np.testing.assert_array_equal(*(search.cv_results_["mean_test_score"] for search in searches))
    np.testing.assert_array_equal(*(search.best_estimator_.coefs_[0] for search in searches))


def test_a_fit_within_a_fit_that_fails_gives_its_random_numbers_back():
    def fails(epoch):
        inner_small()
        raise RuntimeError("broken")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            BPClassifier(**OPTIONS, learning_rate=fails).fit(X, Y)
    again, plain = (BPClassifier(**OPTIONS).fit(X, Y) for _ in range(2))
    np.testing.assert_array_equal(again.coefs_[0], plain.coefs_[0])
