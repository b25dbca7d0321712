"""Successive halving in BPSearchCV: rungs as scikit-learn counts them, fits that go on as if they had never paused."""

import inspect
import signal
import threading
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.datasets import load_diabetes, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingGridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from fastbp import BPAutoencoder, BPClassifier, BPRegressor, BPSearchCV, suggest_hidden_layer_sizes
from fastbp.search import fits
from fastbp.search.halving import rungs

X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
GRID = {"hidden_layer_sizes": [1, 2, 4, 8], "learning_rate_init": [0.001, 0.01, 0.05]}


def classifier(**options):
    return BPClassifier(**{"max_iter": 27, "random_state": 0, "batch_size": 16, "tol": 0.0, "n_iter_no_change": 1000, **options})


def regressor(**options):
    return BPRegressor(**{"max_iter": 27, "random_state": 0, "batch_size": 16, "tol": 0.0, "n_iter_no_change": 1000, **options})


def quiet_fit(search, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return search.fit(*args, **options)


def halving(estimator, grid=GRID, X=X, y=Y, **options):
    return quiet_fit(BPSearchCV(estimator, grid, **{"resource": "epochs", "cv": 3, **options}), X, y)


def pausing(until, grid, estimator, X=X, y=Y, **options):
    """Scores of a search whose fits pause after `until` epochs each, all of them going on to the end."""
    found = []
    train = fits.Fit.run

    def run(self, *args):
        for stop in until:
            self.until = stop
            result = train(self, *args)
        found.append(result)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fits.Fit, "run", run)
        search = quiet_fit(BPSearchCV(estimator, grid, cv=3, refit=False, **options), X, y)
    return search, found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"solver": "sgd", "momentum": 0.5},
        {"solver": "sgd", "batch_size": 1},
        {"solver": "sgd", "learning_rate": "invscaling"},
        {"solver": "rmsprop", "shuffle": False},
        {"early_stopping": True},
        {"early_stopping": True, "n_iter_no_change": 2},
        {"tol": 0.05, "n_iter_no_change": 3},
        {"learning_rate": "cosine"},
        {"averaging": 0.9},
        {"dropout": 0.3},
    ],
    ids=str,
)
def test_a_fit_that_pauses_is_the_one_that_does_not(options):
    grid = {"hidden_layer_sizes": [3], "learning_rate_init": [0.01]}
    model = classifier(max_iter=12, **options)
    reference = quiet_fit(BPSearchCV(model, grid, cv=3, refit=False, scoring=["accuracy", "neg_log_loss"]), X, Y)
    for until in ([5, 12], [1, 2, 3, 12], [4, 40]):
        search, _ = pausing(until, grid, model, scoring=["accuracy", "neg_log_loss"])
        for name in ("mean_test_accuracy", "mean_test_neg_log_loss"):
            np.testing.assert_array_equal(search.cv_results_[name], reference.cv_results_[name])


def test_nothing_is_trained_twice():
    _, found = pausing([5, 9], {"hidden_layer_sizes": [3]}, classifier())
    assert [result.n_iter for result in found] == [9] * 3
    search = halving(classifier(), n_jobs=2)
    n_candidates, until = search.n_candidates_, search.n_resources_
    assert (n_candidates, until) == ([12, 4, 2], [3, 9, 27])
    for rung, (n, epochs) in enumerate(zip(n_candidates, until)):
        rows = search.cv_results_["iter"] == rung
        assert rows.sum() == n
        assert (search.cv_results_["n_resources"][rows] == epochs).all()
        for split in range(3):
            assert (search.cv_results_[f"split{split}_n_iter"][rows] == epochs).all()


def test_each_rung_scores_as_a_search_of_so_many_epochs_and_the_best_go_on():
    search = halving(classifier())
    results = search.cv_results_
    kept = list(range(12))
    for rung, epochs in enumerate(search.n_resources_):
        rows = np.flatnonzero(results["iter"] == rung)
        full = quiet_fit(BPSearchCV(classifier(max_iter=epochs), GRID, cv=3, refit=False), X, Y).cv_results_
        assert [results["params"][row] for row in rows] == [full["params"][candidate] for candidate in kept]
        scores = results["mean_test_score"][rows]
        np.testing.assert_array_equal(scores, full["mean_test_score"][kept])
        best = np.argsort(-scores, kind="stable")[: -(-len(kept) // 3)]
        kept = [kept[position] for position in sorted(best)]
    last = np.flatnonzero(results["iter"] == 2)
    assert search.best_index_ == last[np.argmax(results["mean_test_score"][last])]
    assert search.best_score_ == results["mean_test_score"][last].max()
    alone = quiet_fit(classifier(**search.best_params_), X, Y)
    np.testing.assert_array_equal(search.predict_proba(X), alone.predict_proba(X))


@pytest.mark.parametrize("min_resources", ["exhaust", "smallest", 2])
@pytest.mark.parametrize(("n_candidates", "most", "factor"), [(12, 27, 3), (9, 54, 3), (5, 8, 2), (2, 100, 3), (8, 64, 2)])
def test_rungs_are_scikit_learns(n_candidates, most, factor, min_resources):
    """Where `most` is such that nothing is rounded."""
    theirs = HalvingGridSearchCV(
        DecisionTreeClassifier(random_state=0), {"min_samples_leaf": list(range(1, n_candidates + 1))}, resource="max_leaf_nodes",
        max_resources=most, min_resources=2 if min_resources == "smallest" else min_resources, factor=factor, cv=2,
    ).fit(X, Y)  # fmt: skip
    if min_resources != "smallest":
        assert rungs(n_candidates, most, factor, min_resources) == theirs.n_resources_
    own = BPSearchCV(
        classifier(max_iter=most), {"alpha": np.geomspace(1e-6, 1, n_candidates)}, resource="epochs", factor=factor, cv=2,
        min_resources=min_resources, refit=False,
    )  # fmt: skip
    quiet_fit(own, X, Y)
    if min_resources != "smallest":
        for name in (
            "n_resources_",
            "n_candidates_",
            "n_iterations_",
            "n_remaining_candidates_",
            "min_resources_",
            "max_resources_",
        ):
            assert getattr(own, name) == getattr(theirs, name), name
        assert {"iter", "n_resources"} <= set(theirs.cv_results_) & set(own.cv_results_)
    else:
        assert own.n_resources_[0] == 1


@pytest.mark.parametrize("n_candidates", [1, 2, 3, 8, 9, 26, 27, 100])
def test_at_most_three_rungs_where_nothing_else_is_asked_for(n_candidates):
    exhausted, own = (rungs(n_candidates, 180, 3, name) for name in ("exhaust", "auto"))
    assert own == exhausted[-3:]
    assert inspect.signature(BPSearchCV).parameters["min_resources"].default == "auto"


@pytest.mark.parametrize("load", [load_wine, load_diabetes, load_digits])
def test_the_winner_is_the_full_searchs(load):
    X, y = load(return_X_y=True)
    X = StandardScaler().fit_transform(X[:400])
    y = y[:400] / 100.0 if load is load_diabetes else y[:400]
    estimator = BPRegressor if load is load_diabetes else BPClassifier
    model = estimator(max_iter=54, random_state=0, tol=0, n_iter_no_change=1000, batch_size=32)
    grid = {"learning_rate_init": [1e-6, 1e-5, 1e-4, 3e-4, 5e-3, 3e-5], "hidden_layer_sizes": [8]}
    full = quiet_fit(BPSearchCV(model, grid, cv=3, n_jobs=2), X, y)
    halved = quiet_fit(BPSearchCV(model, grid, cv=3, n_jobs=2, resource="epochs"), X, y)
    assert halved.best_params_ == full.best_params_
    assert halved.best_score_ == full.best_score_
    n_epochs = sum(halved.cv_results_[f"split{split}_n_iter"][halved.cv_results_["iter"] == 0].sum() for split in range(3))
    assert n_epochs < 6 * 3 * 54


def test_no_grid_is_the_suggested_one():
    search = quiet_fit(BPSearchCV(classifier(max_iter=3), cv=2, refit=False), X, Y)
    sizes = [params["hidden_layer_sizes"] for params in search.cv_results_["params"]]
    assert sizes == suggest_hidden_layer_sizes(X, Y)
    piped = make_pipeline(PCA(2), classifier(max_iter=9))
    halved = halving(piped, None, cv=2)
    assert set(halved.cv_results_["params"][0]) == {"bpclassifier__hidden_layer_sizes"}
    assert halved.predict(X).shape == Y.shape
    with pytest.raises(ValueError, match="Without param_grid, or with resource, a search needs a BPClassifier"):
        BPSearchCV(SVC()).fit(X, Y)


def test_pipelines_weights_threads_and_scorers():
    piped = make_pipeline(StandardScaler(), classifier(early_stopping=True, n_iter_no_change=2))
    grid = {"standardscaler__with_mean": [True, False], "bpclassifier__alpha": [1e-4, 1.0, 10.0]}
    weights = np.random.RandomState(0).uniform(size=len(Y))
    for scoring in (None, "f1_macro"):
        one, two = (
            quiet_fit(
                BPSearchCV(piped, grid, resource="epochs", cv=3, n_jobs=n, scoring=scoring, return_train_score=True),
                X, Y, bpclassifier__sample_weight=weights,
            )
            for n in (1, 2)
        )  # fmt: skip
        for name in ("mean_test_score", "mean_train_score", "split0_n_iter"):
            np.testing.assert_array_equal(one.cv_results_[name], two.cv_results_[name])
        assert one.best_params_ == two.best_params_
    seeds = halving(classifier(random_state=None), {"alpha": [0.1, 0.2, 0.3]})
    assert np.isfinite(seeds.cv_results_["mean_test_score"]).all()


def test_fits_that_fail_do_not_go_on():
    grid = {"hidden_layer_sizes": [2], "solver": ["sgd"], "learning_rate_init": [1e-3, 1e300, 1e-2, 1e-1]}
    search = halving(classifier(), grid)
    assert np.isnan(search.cv_results_["mean_test_score"]).sum() == 1
    assert all(params["learning_rate_init"] < 1 for params in np.array(search.cv_results_["params"])[4:])


def interrupted_search(after, **options):
    """A search of 12, 4 and 2 candidates on 3 folds, to which Ctrl-C comes once so many fits are scored."""
    n_calls = 0

    def scoring(model, X, y):
        nonlocal n_calls
        n_calls += 1
        if n_calls > after:
            raise KeyboardInterrupt
        return model.score(X, y)

    return BPSearchCV(classifier(), GRID, resource="epochs", cv=3, refit=False, scoring=scoring, **options)


@pytest.mark.parametrize("n_finished", [1, 4, 11])
@pytest.mark.parametrize("rung", [1, 2])
def test_ctrl_c_within_a_rung_keeps_the_last_whole_one(rung, n_finished):
    before, n_fits = (36, 12) if rung == 1 else (48, 6)
    n_finished = min(n_finished, n_fits - 1)
    search = interrupted_search(before + n_finished)
    with (
        pytest.warns(UserWarning, match=f"Search interrupted by user: {n_finished} of {n_fits} fits are finished"),
        pytest.warns(UserWarning, match="test scores are non-finite"),
    ):
        search.fit(X, Y)
    whole = search.cv_results_["iter"] == rung - 1
    assert search.cv_results_["iter"].tolist() == [0] * 12 + [1] * 4 + [2] * 2 * (rung == 2)
    scores = search.cv_results_["mean_test_score"]
    assert search.best_score_ == scores[whole].max()
    assert whole[search.best_index_]


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize(("after", "n_rows"), [(36, [12]), (48, [12, 4])])
def test_ctrl_c_before_anything_of_a_rung_is_finished_keeps_those_before(after, n_rows, n_jobs):
    whole = halving(classifier(), refit=False)
    search = interrupted_search(after, n_jobs=n_jobs)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        search.fit(X, Y)
    messages = [str(warning.message) for warning in told]
    assert any(f"interrupted by user: {len(n_rows)} of 3 rungs are finished" in message for message in messages), messages
    assert not any("non-finite" in message for message in messages)
    assert (search.n_candidates_, search.n_iterations_) == (n_rows, len(n_rows))
    n = sum(n_rows)
    for name in ("iter", "n_resources", "mean_test_score", "split2_n_iter"):
        np.testing.assert_array_equal(search.cv_results_[name], whole.cv_results_[name][:n])
    last = whole.cv_results_["mean_test_score"][n - n_rows[-1] : n]
    assert search.best_index_ == n - n_rows[-1] + last.argmax()
    assert search.best_params_ == whole.cv_results_["params"][search.best_index_]


def test_ctrl_c_between_rungs_keeps_those_before(monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastbp.search.halving._mean_scores", interrupted)
    with pytest.warns(UserWarning, match="1 of 3 rungs are finished"):
        search = BPSearchCV(classifier(), GRID, resource="epochs", cv=3).fit(X, Y)
    assert len(search.cv_results_["iter"]) == 12
    assert search.best_estimator_.predict(X).shape == Y.shape


def test_ctrl_c_that_finds_all_fits_of_a_rung_finished_ends_the_search_too():
    n_calls, main_thread = 0, threading.main_thread()

    def scoring(model, X, y):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 36:
            assert threading.current_thread() is not main_thread
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.2)  # the main thread sees it
        return model.score(X, y)

    with pytest.warns(UserWarning, match="Search interrupted by user: 36 of 36 fits are finished"):
        search = BPSearchCV(classifier(), GRID, resource="epochs", cv=3, refit=False, scoring=scoring, n_jobs=2).fit(X, Y)
    assert (search.n_candidates_, search.n_remaining_candidates_) == ([12], 4)
    assert search.best_score_ == search.cv_results_["mean_test_score"].max()


def test_ctrl_c_within_the_first_rung():
    with pytest.raises(KeyboardInterrupt):
        interrupted_search(0).fit(X, Y)
    search = interrupted_search(7)
    with pytest.warns(UserWarning, match="7 of 36 fits are finished"), pytest.warns(UserWarning, match="non-finite"):
        search.fit(X, Y)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).sum() == 2
    assert search.best_score_ == np.nanmax(scores)


@pytest.mark.parametrize("resource", [None, "epochs"])
def test_ctrl_c_in_the_refit_keeps_the_scores_and_no_unfitted_estimator(monkeypatch, resource):
    class Interrupted(StandardScaler):
        def fit(self, X, y=None, sample_weight=None):
            if len(X) == len(Y):
                raise KeyboardInterrupt
            return super().fit(X, y, sample_weight)

    search = BPSearchCV(make_pipeline(Interrupted(), classifier()), {"bpclassifier__alpha": [0.1, 0.2, 0.3]}, resource=resource)
    search.best_estimator_ = "of an earlier fit"
    with pytest.raises(KeyboardInterrupt):
        quiet_fit(search, X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_ in search.cv_results_["params"]
    assert not hasattr(search, "best_estimator_")


def test_progress(capsys):
    halving(classifier(), verbose=1)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Rung")]
    assert lines[0] == "Rung 1 of 3: 12 candidates up to epoch 3"
    assert lines[2] == "Rung 3 of 3: 2 candidates up to epoch 27"


@pytest.mark.parametrize(
    ("estimator", "options", "message"),
    [
        (classifier(solver="lbfgs"), {}, "is for solvers that train in epochs, not for 'lbfgs'"),
        (classifier(n_restarts=2), {}, "resource='epochs' does not go with n_restarts=2"),
        (classifier(verbose=True), {}, "verbose=False"),
        (classifier(), {"param_grid": {"max_iter": [5, 10]}}, r"needs the same max_iter for all candidates, got \[5, 10\]"),
        (classifier(), {"resource": "n_samples"}, "resource must be 'epochs' or None, got 'n_samples'"),
        (classifier(), {"factor": 1}, "factor must be a number above 1, got 1"),
        (
            classifier(),
            {"min_resources": 28},
            "'auto', 'exhaust', 'smallest' or an int from 1 to max_iter=27, got 28",
        ),
        (classifier(), {"min_resources": "all"}, "min_resources must be"),
        (classifier(), {"scoring": ["accuracy", "f1_macro"], "refit": "accuracy"}, "needs a single score"),
        (SVC(), {"param_grid": {"C": [1, 2]}}, "or with resource, a search needs a BPClassifier"),
    ],
)
def test_what_it_does_not_go_with(estimator, options, message):
    options = {"param_grid": {"alpha": [0.1, 0.2, 0.3]}, "resource": "epochs", **options}
    with pytest.raises(ValueError, match=message):
        BPSearchCV(estimator, **options).fit(X, Y)


@pytest.mark.parametrize(
    ("estimator", "changed", "y", "message"),
    [
        (classifier(), {}, np.eye(3, dtype=int)[Y], "y has several columns"),
        (classifier(), {}, csr_matrix(np.eye(3, dtype=int)[Y]), "y is sparse"),
        (classifier(), {}, np.column_stack([Y, Y + 3]), "y has several columns"),
        (classifier(), {}, pd.DataFrame({"number": Y, "text": Y.astype(str)}), "y has several columns"),
        (classifier(), {}, X[:, 0], "y holds values of the type 'continuous', not classes"),
        (regressor(), {}, np.where(Y == 0, np.nan, Y), "y has NaN or infinite values"),
        (regressor(), {}, Y.astype(str), "y has the dtype <U"),
        (regressor(loss="poisson"), {}, -1.0 - Y, "X or y is not valid: .*y >= 0"),
        (regressor(), {"param_grid": {"loss": ["squared_error", "huber"]}}, Y, "a candidate has another loss, 'huber'"),
        (classifier(calibration="temperature"), {}, Y, "the network has calibration='temperature'"),
        (classifier(categorical_features=[0]), {}, Y, r"the network has categorical_features=\[0\]"),
        (Pipeline([("last", classifier())]), {"param_grid": {"last": [classifier()]}}, Y, "a candidate replaces the step 'last'"),
        (BPAutoencoder(), {}, X, "the network is a BPAutoencoder"),
    ],
)
def test_the_reason_is_named(estimator, changed, y, message):
    options = {"param_grid": {"alpha": [0.1, 0.2, 0.3]}, "resource": "epochs"} | changed
    with pytest.raises(ValueError, match=rf"is for a BPClassifier of one column of classes or a BPRegressor.* Here, {message}"):
        BPSearchCV(estimator, **options).fit(X, y)


@pytest.mark.parametrize("resource", [None, "epochs"])
@pytest.mark.parametrize(("estimator", "y"), [(classifier(), Y), (regressor(), X[:, 0])], ids=["classes", "numbers"])
def test_one_column_is_raveled_with_a_warning(estimator, y, resource):
    """As the estimators do, and MLPClassifier and MLPRegressor."""
    search = BPSearchCV(estimator, {"alpha": [0.1, 0.2, 0.3]}, resource=resource, cv=3)
    expected = quiet_fit(search, X, y).cv_results_["mean_test_score"]
    with pytest.warns(DataConversionWarning, match="column-vector y"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = search.fit(X, y[:, np.newaxis])
    np.testing.assert_array_equal(found.cv_results_["mean_test_score"], expected)
    assert found.predict(X).shape == (len(X),)
