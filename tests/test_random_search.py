"""Candidates that are drawn: BPSearchCV against scikit-learn's RandomizedSearchCV, and the space that is proposed."""

import warnings

import numpy as np
import pytest
from scipy.stats import loguniform, randint, uniform
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from fastbp import BPClassifier, BPRegressor, BPSearchCV, suggest_search_space
from fastbp.names import SOLVERS

X, Y = load_iris(return_X_y=True)
NETWORK = BPClassifier((4,), max_iter=5, random_state=0)
PIPE = make_pipeline(StandardScaler(), NETWORK)
CASES = {
    "distributions": (NETWORK, {"alpha": loguniform(1e-5, 1), "learning_rate_init": loguniform(1e-3, 1e-1)}, {"n_iter": 6}),
    "beside lists": (NETWORK, {"hidden_layer_sizes": [(3,), (5, 2)], "dropout": uniform(0, 0.5)}, {"n_iter": 4}),
    "several spaces": (
        NETWORK,
        [{"alpha": loguniform(1e-5, 1)}, {"solver": ["sgd"], "momentum": uniform(0, 0.9)}],
        {"n_iter": 5},
    ),
    "ten by default": (NETWORK, {"batch_size": randint(10, 50)}, {}),
    "part of a grid": (NETWORK, {"alpha": [0, 1, 2, 3], "hidden_layer_sizes": [(2,), (3,)]}, {"n_iter": 3}),
    "a pipeline": (PIPE, {"bpclassifier__alpha": loguniform(1e-5, 1), "standardscaler__with_mean": [True, False]}, {"n_iter": 4}),
    "another estimator": (SVC(), {"C": loguniform(0.1, 10)}, {"n_iter": 3}),
}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", CASES)
def test_the_same_candidates_and_scores_as_scikit_learns(name):
    estimator, space, options = CASES[name]
    ours = BPSearchCV(estimator, space, cv=3, random_state=3, **options).fit(X, Y)
    theirs = RandomizedSearchCV(estimator, space, cv=3, random_state=3, **options).fit(X, Y)
    assert ours.cv_results_["params"] == theirs.cv_results_["params"]
    for column in ("split0_test_score", "mean_test_score", "rank_test_score"):
        np.testing.assert_array_equal(ours.cv_results_[column], theirs.cv_results_[column])
    assert ours.best_params_ == theirs.best_params_
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert ours.param_grid is space
    assert clone(ours).fit(X, Y).best_params_ == ours.best_params_


def test_drawn_candidates_are_halved():
    space = {"alpha": loguniform(1e-5, 1), "learning_rate_init": loguniform(1e-3, 1e-1)}
    halving = BPSearchCV(NETWORK.set_params(max_iter=9), space, n_iter=9, random_state=0, resource="epochs", cv=3).fit(X, Y)
    assert halving.n_candidates_ == [9, 3, 1]
    whole = BPSearchCV(NETWORK, space, n_iter=9, random_state=0, cv=3).fit(X, Y)
    assert halving.cv_results_["params"][:9] == whole.cv_results_["params"]
    last = halving.cv_results_["params"][-1]
    row = whole.cv_results_["params"].index(last)
    assert halving.cv_results_["mean_test_score"][-1] == whole.cv_results_["mean_test_score"][row]


def test_a_grid_stays_a_grid():
    grid = {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(2,), (3,)]}
    ours, theirs = (kind(NETWORK, grid, cv=3).fit(X, Y) for kind in (BPSearchCV, GridSearchCV))
    assert ours.cv_results_["params"] == theirs.cv_results_["params"]


@pytest.mark.parametrize("n_iter", [0, -1, 2.5, "many", True])
def test_bad_numbers_of_candidates(n_iter):
    with pytest.raises(ValueError, match="'n_iter' parameter of BPSearchCV must be an int"):
        BPSearchCV(NETWORK, {"alpha": loguniform(1e-5, 1)}, n_iter=n_iter).fit(X, Y)


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_is_proposed_is_valid_and_used_by_the_solver(solver):
    regression = solver == "lm"
    network = (BPRegressor if regression else BPClassifier)(solver=solver, max_iter=3, random_state=0)
    data = load_diabetes(return_X_y=True) if regression else (X, Y)
    space = suggest_search_space(network, *data)
    assert ("learning_rate_init" in space) == SOLVERS[solver].is_stochastic
    assert ("batch_size" in space) == (SOLVERS[solver].is_stochastic and not SOLVERS[solver].is_full_batch)
    search = BPSearchCV(network, space, n_iter=6, random_state=0, cv=2, error_score="raise").fit(*data)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_proposals_for_pipelines_shapes_and_small_data():
    plain, piped = suggest_search_space(NETWORK, X, Y), suggest_search_space(PIPE, X, Y)
    assert list(piped) == [f"bpclassifier__{name}" for name in plain]
    assert suggest_search_space(NETWORK, X.shape, 3)["hidden_layer_sizes"] == plain["hidden_layer_sizes"]
    assert max(plain["batch_size"]) <= len(X) / 2
    assert suggest_search_space(NETWORK, X[:8], Y[:8])["batch_size"] == [16]
    low, high = plain["learning_rate_init"].support()
    assert 0 < low < 1e-3 < high < 1
    with pytest.raises(TypeError, match="takes a BPClassifier, a BPRegressor or a pipeline that ends in one, got SVC"):
        suggest_search_space(SVC(), X, Y)


@pytest.mark.slow
def test_a_proposed_search_beats_the_defaults_it_starts_from():
    rows, target = load_diabetes(return_X_y=True)
    network = make_pipeline(StandardScaler(), BPRegressor(max_iter=100, random_state=0, target_scaling="standard"))
    space = suggest_search_space(network, rows, target)
    search = BPSearchCV(network, space, n_iter=20, random_state=0, cv=5, n_jobs=2).fit(rows, target)
    default = BPSearchCV(network, {"bpregressor__alpha": [1e-4]}, cv=5).fit(rows, target)
    assert search.best_score_ > default.best_score_
