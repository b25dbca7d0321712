"""BPSearchCV against scikit-learn's GridSearchCV with the same estimators."""

import itertools
import re
import signal
import threading
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from covering import dealt
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris, make_classification, make_multilabel_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning, UndefinedMetricWarning
from sklearn.impute import SimpleImputer
from sklearn.metrics import accuracy_score, f1_score, make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, LeaveOneGroupOut, LeaveOneOut, RepeatedKFold, ShuffleSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from fastbp import BPClassifier, BPRegressor, BPSearchCV, suggest_hidden_layer_sizes
from fastbp.search import fits

GRID = {"hidden_layer_sizes": [(3,), (6, 4), "5"], "alpha": [1e-4, 1.0]}


def name_of(value):
    """A test's name for a value, the same in every process: without addresses."""
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", str(value))


def classifier(**parameters):
    return BPClassifier(**{"max_iter": 5, "random_state": 0, "learning_rate_init": 0.01, **parameters})


def regressor(**parameters):
    return BPRegressor(**{"max_iter": 5, "random_state": 0, "learning_rate_init": 0.01, **parameters})


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X, y / 100


def quiet_fit(search, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return search.fit(*args, **kwargs)


def assert_same_results(own, reference):
    """Everything except the times, to the bit."""
    assert list(own) == list(reference)
    for key, expected in reference.items():
        if key == "params":
            assert own[key] == expected
        elif "_time" in key:
            assert own[key].shape == expected.shape
            assert own[key].dtype == expected.dtype
            assert np.isfinite(own[key]).all()
        else:
            assert type(own[key]) is type(expected), key
            assert own[key].dtype == expected.dtype, key
            np.testing.assert_array_equal(np.ma.getmaskarray(own[key]), np.ma.getmaskarray(expected), err_msg=key)
            if isinstance(expected, np.ma.MaskedArray):
                assert own[key].tolist() == expected.tolist()
            else:
                np.testing.assert_array_equal(own[key], expected, err_msg=key)


def compare(estimator, grid, X, y, *, batched=True, fit_params=None, **parameters):
    """Search with both and compare all attributes; batched says how many fits are to bypass the estimators' own fit."""
    parameters = {"cv": 3, "return_train_score": True, **parameters}
    fit_params = fit_params or {}
    reference = quiet_fit(GridSearchCV(clone(estimator), grid, **parameters), X, y, **fit_params)
    n_alone = 0
    ordinary = fits.Fit._fit_alone

    def counted(self, n_threads):
        nonlocal n_alone
        n_alone += 1
        return ordinary(self, n_threads)

    for n_jobs in (1, 2):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fits.Fit, "_fit_alone", counted)
            patch.setattr(GridSearchCV, "fit", None)  # nothing goes the other way unseen
            own = quiet_fit(BPSearchCV(clone(estimator), grid, n_jobs=n_jobs, **parameters), X, y, **fit_params)
        assert (n_alone == 0) == batched
        assert_same_results(own.cv_results_, reference.cv_results_)
        own_parameters = {"resource", "factor", "min_resources", "n_iter", "random_state"}
        assert set(vars(own)) - own_parameters == {name for name in vars(reference) if not name.startswith("_")}
        for name in ("best_params_", "best_index_", "best_score_", "n_splits_", "multimetric_"):
            assert getattr(own, name, None) == getattr(reference, name, None), name
            assert type(getattr(own, name, None)) is type(getattr(reference, name, None)), name
        assert repr(own.scorer_) == repr(reference.scorer_)
        if parameters.get("refit", True):
            assert own.refit_time_ > 0
            np.testing.assert_array_equal(own.predict(X), reference.predict(X))
            if not callable(parameters.get("refit")):
                assert own.score(X, y) == reference.score(X, y)
    return own


# ---- the same as GridSearchCV


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"solver": "sgd", "learning_rate": "adaptive", "momentum": 0.5},
        {"solver": "sgd", "batch_size": 1, "max_iter": 2},
        {"batch_size": 7, "shuffle": False},
        {"batch_size": 1000},
        {"early_stopping": True, "validation_fraction": 0.2},
        {"n_restarts": 3},
        {"n_restarts": 2, "early_stopping": True},
        {"random_state": np.random.RandomState(3)},
        {"activation": "tanh", "init": "he_normal", "fit_intercept": False},
        {"n_threads": 2},
        {"warm_start": True},
    ],
    ids=name_of,
)
def test_classifier_parameters(iris, parameters):
    compare(classifier(**parameters), GRID, *iris)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "labels", [np.array(["b", "a", "c"]), np.array([3, 1, 2]), np.array(["b", "a", "c"], object)], ids=["str", "int", "object"]
)
def test_classes(iris, dtype, labels):
    X, y = iris
    compare(classifier(), GRID, X.astype(dtype), labels[y])
    compare(classifier(), GRID, X[:100].astype(dtype), labels[y[:100]])


def test_list_and_frame(iris):
    X, y = iris
    compare(classifier(), GRID, X.tolist(), y.tolist())
    frame = pd.DataFrame(X, columns=list("abcd"))
    search = compare(classifier(), GRID, frame, pd.Series(y))
    assert list(search.feature_names_in_) == list("abcd")
    assert search.n_features_in_ == 4
    assert list(search.classes_) == [0, 1, 2]
    search = compare(classifier(), GRID, frame, pd.Series(y).astype("category"), scoring="neg_log_loss")
    compare(
        make_pipeline(StandardScaler(), classifier()).set_output(transform="pandas"), {"bpclassifier__alpha": [0, 1]}, frame, y
    )


def test_sparse(iris):
    X, y = iris
    for container in (sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix):
        compare(classifier(), GRID, container(X), y)


def test_read_only_memory(iris, tmp_path):
    X, y = iris
    np.save(tmp_path / "X.npy", X)
    compare(classifier(), GRID, np.load(tmp_path / "X.npy", mmap_mode="r"), y)


SCORES_OF_NUMBERS = None, "r2", "neg_mean_squared_error", "neg_mean_absolute_error", "explained_variance"


@pytest.mark.parametrize(
    ("scoring", "form"), dealt(SCORES_OF_NUMBERS, itertools.product([np.float64, np.float32], [1, 3])), ids=name_of
)
def test_regressor(scoring, form):
    dtype, n_outputs = form
    X, y = make_regression(n_samples=61, n_features=5, n_targets=n_outputs, noise=1, random_state=0)
    compare(regressor(max_iter=20), GRID, X.astype(dtype), y.astype(dtype), scoring=scoring)
    compare(regressor(loss="poisson"), GRID, X.astype(dtype), np.abs(y).round().astype(int), scoring=scoring)


@pytest.mark.parametrize("parameters", [{"early_stopping": True}, {"n_restarts": 2, "solver": "sgd"}], ids=name_of)
def test_regressor_parameters(diabetes, parameters):
    compare(regressor(**parameters), GRID, *diabetes)


def test_constant_target():
    X = np.random.RandomState(0).uniform(size=(30, 2))
    compare(regressor(), GRID, X, np.repeat([1.0, 2.0, 3.0], 10))


@pytest.mark.parametrize("grid", [{"solver": ["lbfgs"]}, {"solver": ["adam", "lbfgs"]}], ids=name_of)
def test_lbfgs(iris, grid):
    compare(classifier(), grid, *iris)


def test_lbfgs_does_not_stop_early(iris):
    grid = {"hidden_layer_sizes": [(3,)], "solver": ["lbfgs"], "early_stopping": [True, False], "n_restarts": [1, 2]}
    compare(classifier(), grid, *iris)


def test_candidates_that_fit_alone(iris, capsys):
    compare(classifier(), {"verbose": [True]}, *iris, batched=False)
    capsys.readouterr()


@pytest.mark.parametrize("lowest", [-1, 1])
@pytest.mark.parametrize("losses", [["squared_error", "poisson"], ["poisson", "squared_error"]])
def test_candidates_of_another_loss_fit_alone(diabetes, losses, lowest):
    X, y = diabetes
    compare(regressor(), {"loss": losses}, X, y - y.min() + lowest, batched=False)


def test_targets_that_fit_alone():
    X, Y = make_multilabel_classification(n_samples=60, random_state=0)
    compare(classifier(), GRID, X, Y, batched=False)
    compare(classifier(), GRID, sparse.csr_matrix(X), Y, batched=False)


def test_a_single_column_is_one_target(iris, diabetes):
    X, y = iris
    compare(classifier(), GRID, X, y[:, np.newaxis])
    X, y = diabetes
    compare(regressor(), GRID, X, y[:, np.newaxis])


def test_subclass_fits_its_own_way(iris):
    class Silent(BPClassifier):
        pass

    compare(Silent(max_iter=3, random_state=0), {"alpha": [1, 2]}, *iris, batched=False)


def test_several_grids_with_mixed_parameters(iris):
    grid = [
        {"hidden_layer_sizes": [(2,), (3,)], "alpha": [0.1]},
        {"activation": ["tanh", ("relu", "tanh")], "hidden_layer_sizes": [(2, 2)]},
        {"solver": ["sgd"], "momentum": [0.1, 0.5], "nesterovs_momentum": [True, False], "batch_size": ["auto", 5]},
        {"random_state": [1, np.random.RandomState(2), 1]},
    ]
    X, y = iris
    reference = quiet_fit(GridSearchCV(classifier(), grid, cv=3), X, y)
    own = quiet_fit(BPSearchCV(classifier(), grid, cv=3, n_jobs=2), X, y)
    assert_same_results(own.cv_results_, reference.cv_results_)


@pytest.mark.parametrize(
    "cv",
    [
        None,
        KFold(4),
        KFold(3, shuffle=True, random_state=0),
        RepeatedKFold(n_splits=2, n_repeats=2, random_state=0),
        ShuffleSplit(2, random_state=1),
        [(np.arange(0, 150, 2), np.arange(1, 150, 2)), ([0, 60, 140, 3, 70], [1, 2])],
        [(np.arange(150) % 3 > 0, np.arange(150) % 3 == 0)],
        [(np.arange(-120, 0), np.arange(30)), (np.arange(0, 150, 2), np.arange(-1, -150, -2))],
    ],
    ids=name_of,
)
def test_splitters(iris, cv):
    compare(classifier(), GRID, *iris, cv=cv)


@pytest.mark.parametrize("rows", [[0, 1, 60, 10**7], [0, 1, 60, -151], [0.0, 60.0]])
@pytest.mark.parametrize("is_test", [False, True])
def test_rows_that_do_not_exist(diabetes, rows, is_test):
    X, y = diabetes
    splits = [(np.arange(100), rows) if is_test else (rows, np.arange(100))]
    with pytest.raises(IndexError):
        BPSearchCV(regressor(), GRID, cv=splits).fit(X[:150], y[:150])


def test_r2_of_a_single_row_is_not_defined(diabetes):
    X, y = diabetes
    search = BPSearchCV(regressor(), GRID, cv=LeaveOneOut())
    with pytest.warns(UndefinedMetricWarning), pytest.warns(UserWarning, match="non-finite"):
        search.fit(X[:6], y[:6])
    assert np.isnan(search.cv_results_["mean_test_score"]).all()


def test_generator_of_splits(iris):
    X, y = iris
    splits = list(KFold(3, shuffle=True, random_state=0).split(X))
    reference = quiet_fit(GridSearchCV(classifier(), GRID, cv=splits), X, y)
    own = quiet_fit(BPSearchCV(classifier(), GRID, cv=(split for split in splits)), X, y)
    assert_same_results(own.cv_results_, reference.cv_results_)


def test_groups(iris):
    X, y = iris
    groups = np.arange(len(y)) % 4
    compare(classifier(), GRID, X, y, cv=GroupKFold(3), fit_params={"groups": groups})
    with pytest.raises(ValueError, match="groups"):
        BPSearchCV(classifier(), GRID, cv=LeaveOneGroupOut()).fit(X, y)


def test_fold_without_a_class(iris):
    """Folds cut an ordered iris such that training sees two classes, or one."""
    X, y = iris
    compare(classifier(), GRID, X, y, cv=KFold(3))
    compare(classifier(), GRID, X, y, cv=[(np.arange(50), np.arange(50, 150)), (np.arange(40), np.arange(30, 150))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compare(classifier(), GRID, X, y, cv=KFold(3), scoring="f1_macro")


@pytest.mark.parametrize(
    "scoring",
    [
        "accuracy",
        "neg_log_loss",
        "f1_macro",
        make_scorer(f1_score, average="weighted"),
        lambda model, X, y: len(X) + model.score(X, y),
    ],
    ids=["accuracy", "neg_log_loss", "f1_macro", "scorer", "function"],
)
def test_single_scoring(iris, scoring):
    compare(classifier(), GRID, *iris, scoring=scoring)


@pytest.mark.parametrize("scoring", [["accuracy"], ["accuracy", "f1_macro"], ("accuracy", "neg_log_loss")], ids=name_of)
def test_several_scores(iris, scoring):
    compare(classifier(), GRID, *iris, scoring=scoring, refit="accuracy")
    compare(classifier(), GRID, *iris, scoring=scoring, refit=False)


def test_named_scores(iris):
    scoring = {"score": "accuracy", "f1": make_scorer(f1_score, average="macro")}
    search = compare(classifier(), GRID, *iris, scoring=scoring, refit="f1")
    assert set(search.scorer_) == {"score", "f1"}
    compare(classifier(), GRID, *iris, scoring={"score": "accuracy"}, refit="score")


def test_callable_with_several_scores(iris):
    def scoring(model, X, y):
        predicted = model.predict(X)
        return {"right": accuracy_score(y, predicted), "f1": f1_score(y, predicted, average="macro")}

    compare(classifier(), GRID, *iris, scoring=scoring, refit="f1")
    with pytest.raises(ValueError, match="For multi-metric scoring, the parameter refit"):
        quiet_fit(BPSearchCV(classifier(), GRID, scoring=scoring), *iris)


def test_refit_by_function(iris):
    search = compare(classifier(), GRID, *iris, refit=lambda results: 2, scoring=["accuracy", "f1_macro"])
    assert search.best_index_ == 2
    assert not hasattr(search, "best_score_")
    for refit, error in ((lambda results: 1.5, TypeError), (lambda results: 99, IndexError)):
        with pytest.raises(error, match="best_index_"):
            quiet_fit(BPSearchCV(classifier(), GRID, refit=refit), *iris)


def test_without_refit(iris):
    search = compare(classifier(), GRID, *iris, refit=False)
    assert not hasattr(search, "best_estimator_")
    with pytest.raises(AttributeError):
        search.predict(iris[0])


@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_sample_weight(iris, scoring):
    X, y = iris
    weights = np.random.RandomState(0).uniform(0.1, 2, len(y))
    for sample_weight in (weights, weights.tolist(), weights > 0.5, None):
        compare(classifier(), GRID, X, y, scoring=scoring, fit_params={"sample_weight": sample_weight})


@pytest.mark.parametrize("scoring", [None, "neg_mean_squared_error", "neg_mean_absolute_error"])
def test_sample_weight_of_regressors(diabetes, scoring):
    X, y = diabetes
    weights = np.random.RandomState(0).uniform(0.1, 2, len(y))
    compare(regressor(early_stopping=True), GRID, X, y, scoring=scoring, fit_params={"sample_weight": weights})


def test_what_is_passed_on_to_grid_search(iris, diabetes):
    """Other scores of weighted rows, other estimators, metadata routing: GridSearchCV itself does it."""
    X, y = iris
    weights = np.random.RandomState(0).uniform(0.1, 2, len(y))
    cases = [
        (classifier(), GRID, X, y, {"scoring": "f1_macro"}, {"sample_weight": weights}),
        (SVC(), {"C": [0.1, 1]}, X, y, {}, {}),
        (TransformedTargetRegressor(regressor()), {"regressor__alpha": [0.1, 1]}, *diabetes, {}, {}),
    ]
    for estimator, grid, X, y, parameters, fit_params in cases:
        reference = quiet_fit(GridSearchCV(estimator, grid, cv=3, **parameters), X, y, **fit_params)
        own = quiet_fit(BPSearchCV(estimator, grid, cv=3, n_jobs=2, **parameters), X, y, **fit_params)
        assert_same_results(own.cv_results_, reference.cv_results_)


def test_metadata_routing(iris):
    X, y = iris
    weights = np.random.RandomState(0).uniform(0.1, 2, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = classifier().set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        reference = quiet_fit(GridSearchCV(estimator, GRID), X, y, sample_weight=weights)
        own = quiet_fit(BPSearchCV(estimator, GRID), X, y, sample_weight=weights)
    assert_same_results(own.cv_results_, reference.cv_results_)


# ---- pipelines


@pytest.mark.parametrize("scoring", [None, "neg_log_loss"])
def test_pipeline(iris, scoring):
    pipeline = make_pipeline(StandardScaler(), PCA(2, random_state=0), classifier())
    compare(pipeline, {"bpclassifier__" + name: values for name, values in GRID.items()}, *iris, scoring=scoring)


def test_pipeline_searches_its_transformers(iris):
    pipeline = Pipeline([("scaler", StandardScaler()), ("pca", PCA(random_state=0)), ("network", classifier())])
    grid = [
        {"pca__n_components": [1, 0.9, 3], "network__hidden_layer_sizes": [(2,), (4,)]},
        {"scaler": [MinMaxScaler(), "passthrough"], "network__early_stopping": [True]},
    ]
    X, y = iris
    reference = quiet_fit(GridSearchCV(pipeline, grid, cv=3), X, y)
    own = quiet_fit(BPSearchCV(pipeline, grid, cv=3, n_jobs=2), X, y)
    assert_same_results({k: v for k, v in own.cv_results_.items() if "scaler" not in k and k != "params"},
                        {k: v for k, v in reference.cv_results_.items() if "scaler" not in k and k != "params"})  # fmt: skip


def test_pipeline_fits_transformers_once_per_fold(iris):
    n_fits = []

    class Counting(StandardScaler):
        def fit(self, X, y=None, sample_weight=None):
            n_fits.append(len(X))
            return super().fit(X, y)

    pipeline = make_pipeline(Counting(), classifier())
    quiet_fit(BPSearchCV(pipeline, {"bpclassifier__alpha": [1, 2, 3, 4]}, cv=3, n_jobs=2), *iris)
    assert sorted(n_fits) == [100, 100, 100, 150]


def test_pipeline_with_another_last_step(iris):
    pipeline = Pipeline([("scaler", StandardScaler()), ("network", classifier())])
    networks = [classifier(hidden_layer_sizes=3), SVC(), classifier(solver="lbfgs")]
    X, y = iris
    reference = quiet_fit(GridSearchCV(pipeline, {"network": networks}, cv=3), X, y)
    own = quiet_fit(BPSearchCV(pipeline, {"network": networks}, cv=3, n_jobs=2), X, y)
    np.testing.assert_array_equal(own.cv_results_["mean_test_score"], reference.cv_results_["mean_test_score"])


def test_pipeline_of_one_step_and_of_what_is_not_a_number(iris, diabetes):
    compare(Pipeline([("network", classifier())]), {"network__alpha": [0.1, 1]}, *iris)
    X, y = iris
    X = X.copy()
    X[::7, 1] = np.nan
    compare(make_pipeline(SimpleImputer(), classifier()), {"bpclassifier__alpha": [0.1, 1]}, X, y)
    compare(make_pipeline(StandardScaler(), regressor()), {"bpregressor__alpha": [0.1, 1]}, *diabetes)
    words = np.array([["a", "b", "c"][i % 3] for i in range(len(y))], object)[:, np.newaxis]
    compare(make_pipeline(OneHotEncoder(), classifier()), {"bpclassifier__alpha": [0.1, 1]}, words, y)


def test_pipeline_with_sample_weight(iris):
    X, y = iris
    weights = np.random.RandomState(0).uniform(0.1, 2, len(y))
    fit_params = {"bpclassifier__sample_weight": weights}
    compare(make_pipeline(StandardScaler(), classifier()), {"bpclassifier__alpha": [0.1, 1]}, X, y, fit_params=fit_params)


def test_rows_that_a_transformer_does_not_take(iris):
    """A category that only the test rows of one fold have: this fold cannot be scored, in both searches."""
    _, y = iris
    words = np.array([["a", "b"][i % 2] for i in range(len(y))], object)[:, np.newaxis]
    words[-1] = "new"
    pipeline = make_pipeline(OneHotEncoder(), classifier())
    X, grid = words, {"bpclassifier__alpha": [0.1, 1]}
    for scoring in (None, "f1_macro"):
        reference = quiet_fit(GridSearchCV(pipeline, grid, cv=3, scoring=scoring), X, y)
        with pytest.warns(UserWarning, match="Scoring failed.*will be set to nan"):
            own = BPSearchCV(pipeline, grid, cv=3, scoring=scoring).fit(X, y)
        assert_same_results(own.cv_results_, reference.cv_results_)


# ---- random states and threads


def test_random_state_none_follows_the_global_seed(iris):
    scores = []
    for n_jobs in (1, 2):
        np.random.seed(5)  # noqa: NPY002
        search = BPSearchCV(classifier(random_state=None), {"alpha": [0.1] * 2, "solver": ["adam", "lbfgs"]}, n_jobs=n_jobs)
        scores.append(quiet_fit(search, *iris).cv_results_["mean_test_score"])
    np.testing.assert_array_equal(*scores)


def test_random_state_of_the_estimator_is_not_moved(iris):
    state = np.random.RandomState(0)
    before = state.get_state()[1].copy()
    quiet_fit(BPSearchCV(classifier(random_state=state), GRID), *iris)
    np.testing.assert_array_equal(state.get_state()[1], before)


def test_threads_see_the_configuration(iris):
    seen = []

    def scoring(model, X, y):
        seen.append(sklearn.get_config()["display"])
        return 0.0

    with sklearn.config_context(display="text"):
        quiet_fit(BPSearchCV(classifier(), {"alpha": [1]}, scoring=scoring, n_jobs=2), *iris)
    assert set(seen) == {"text"}


def test_large_folds_are_scored_in_parts():
    """Of more rows than are copied at once."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(40_000, 3)).astype(np.float32)
    options = {"max_iter": 1, "batch_size": 4000, "random_state": 0}
    compare(BPClassifier((3,), **options), {"alpha": [0.0, 1.0]}, X, (X[:, 0] > rng.normal(size=40_000)) + 0, cv=2)


def test_small_folds_are_predicted_while_training(iris, diabetes, monkeypatch):
    monkeypatch.setattr(fits, "predict_outputs", None)
    for estimator, data in [(classifier(), iris), (regressor(n_restarts=2), diabetes)]:
        compare(estimator, GRID, *data, return_train_score=False)


def test_clone_repr_and_use_inside_another_search(iris):
    search = BPSearchCV(classifier(), {"alpha": [0.1, 1]}, n_jobs=2)
    assert clone(search).get_params()["n_jobs"] == 2
    assert "BPSearchCV" in repr(search)
    outer = GridSearchCV(search, {"estimator__hidden_layer_sizes": [2, 3]}, cv=2)
    assert quiet_fit(outer, *iris).best_score_ > 0


# ---- what goes wrong


def test_a_failing_candidate_gets_the_error_score(iris):
    X, y = iris
    grid = {"hidden_layer_sizes": [(3,), (-1,), (4,)]}
    reference = quiet_fit(GridSearchCV(classifier(), grid, error_score=-1, cv=3, return_train_score=True), X, y)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        own = BPSearchCV(classifier(), grid, error_score=-1, cv=3, n_jobs=2, return_train_score=True).fit(X, y)
    assert_same_results(own.cv_results_, reference.cv_results_)
    failures = [warning for warning in caught if warning.category is FitFailedWarning]
    assert len(failures) == 1
    assert "{'hidden_layer_sizes': (-1,)}" in str(failures[0].message)
    assert "3 fits failed out of a total of 9" in str(failures[0].message)
    assert failures[0].filename == __file__


def test_diverging_candidate(diabetes):
    X, y = diabetes
    grid = {"learning_rate_init": [0.001, 1e6]}
    estimator = regressor(solver="sgd", activation="identity", max_iter=50)
    with (
        pytest.warns(FitFailedWarning, match="(?s)1000000.0.*became NaN or infinite"),
        pytest.warns(UserWarning, match="non-finite"),
    ):
        search = BPSearchCV(estimator, grid, cv=3).fit(X, y)
    np.testing.assert_array_equal(np.isnan(search.cv_results_["mean_test_score"]), [False, True])
    assert search.best_params_ == {"learning_rate_init": 0.001}
    assert list(search.cv_results_["rank_test_score"]) == [1, 2]
    with pytest.raises(ValueError, match="became NaN or infinite"):
        BPSearchCV(estimator, grid, cv=3, error_score="raise").fit(X, y)
    with pytest.raises(ValueError, match="All the 3 fits failed"):
        BPSearchCV(estimator, {"learning_rate_init": [1e6]}, cv=3).fit(X, y)


def test_failure_with_several_scores_of_a_callable(iris):
    def scoring(model, X, y):
        return {"a": model.score(X, y), "b": 1.0}

    grid, parameters = {"hidden_layer_sizes": [0, 2]}, {"scoring": scoring, "refit": "a", "cv": 3, "return_train_score": True}
    reference = quiet_fit(GridSearchCV(classifier(), grid, **parameters), *iris)
    assert_same_results(quiet_fit(BPSearchCV(classifier(), grid, **parameters), *iris).cv_results_, reference.cv_results_)


def test_failing_scorer(iris):
    def scoring(model, X, y):
        raise RuntimeError("no score today")

    parameters = {"scoring": {"good": "accuracy", "bad": scoring}, "refit": "good", "cv": 3}
    reference = quiet_fit(GridSearchCV(classifier(), GRID, **parameters), *iris)
    with pytest.warns(UserWarning, match="(?s)Scoring failed.*no score today"):
        own = BPSearchCV(classifier(), GRID, **parameters).fit(*iris)
    assert_same_results(own.cv_results_, reference.cv_results_)
    with pytest.raises(RuntimeError, match="no score today"):
        BPSearchCV(classifier(), GRID, error_score="raise", **parameters).fit(*iris)
    for value in ("high", [1, 2]):
        with pytest.raises(ValueError, match="scoring must return a number"):
            quiet_fit(BPSearchCV(classifier(), GRID, scoring=lambda model, X, y, value=value: value), *iris)


def test_one_warning_of_what_did_not_converge(iris):
    with pytest.warns(ConvergenceWarning, match="18 of 18 fits reached max_iter") as caught:
        BPSearchCV(classifier(), GRID, cv=3, n_jobs=2, refit=False).fit(*iris)
    assert len(caught) == 1


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_jobs": 0},
        {"param_grid": []},
        {"param_grid": {}},
        {"param_grid": {"alpha": []}},
        {"param_grid": {"alpha": 1.0}},
        {"param_grid": {"size": [1]}},
        {"param_grid": {"scaler__size": [1]}},
        {"cv": 1},
        {"cv": "three"},
        {"cv": []},
        {"scoring": "beauty"},
        {"scoring": []},
        {"scoring": ["accuracy", "accuracy"]},
        {"scoring": ["accuracy"]},
        {"scoring": ["accuracy"], "refit": "f1"},
        {"scoring": 3},
        {"error_score": "none"},
        {"verbose": "very"},
        {"refit": 3},
        {"return_train_score": "yes"},
        {"pre_dispatch": None},
    ],
    ids=name_of,
)
def test_bad_parameters_fail_as_in_grid_search(iris, parameters):
    parameters = {"param_grid": {"alpha": [1]}, **parameters}
    own_error = reference_error = None
    try:
        quiet_fit(GridSearchCV(classifier(), **parameters), *iris)
    except Exception as error:
        reference_error = error
    try:
        quiet_fit(BPSearchCV(classifier(), **parameters), *iris)
    except Exception as error:
        own_error = error
    assert type(own_error) is type(reference_error)
    first_line = str(reference_error).replace("GridSearchCV", "BPSearchCV").split("\n")[0]
    assert str(own_error).split("\n")[0] == first_line


def test_bad_data_fail_as_in_grid_search(iris):
    X, y = iris
    bad = X.copy()
    bad[3, 1] = np.inf
    everywhere = np.full_like(X, np.nan)
    for arguments in (
        (X, y[:-1]),
        (everywhere, y),
        (X, None),
        (X[:, 0], y),
        (X[:0], y[:0]),
        (np.full(X.shape, "text"), y),
    ):
        errors = []
        for kind in (GridSearchCV, BPSearchCV):
            with pytest.raises(Exception) as error:
                quiet_fit(kind(classifier(), GRID), *arguments)
            errors.append(error.value)
        assert type(errors[0]) is type(errors[1])
    # one bad row: the folds that train on it fail, the one that is tested on it has no score
    reference = quiet_fit(GridSearchCV(classifier(), GRID, cv=3), np.where(bad == np.inf, 1, bad), y)
    with pytest.raises(ValueError, match="infinity"):
        quiet_fit(BPSearchCV(classifier(), GRID, cv=3), bad, y)
    own = quiet_fit(BPSearchCV(classifier(), GRID, cv=3, refit=False), bad, y)
    same = [key for key in reference.cv_results_ if key.startswith("split")]
    assert all(np.isnan(own.cv_results_[key]).all() for key in same)


def test_weights_of_zero_in_a_fold(iris):
    X, y = iris
    weights = np.ones(len(y))
    folds = [(np.arange(0, 150, 2), np.arange(1, 150, 2)), (np.arange(1, 150, 2), np.arange(0, 150, 2))]
    weights[folds[0][0]] = 0
    searches = [kind(classifier(), GRID, cv=folds, refit=False) for kind in (GridSearchCV, BPSearchCV)]
    assert_same_results(*(quiet_fit(search, X, y, sample_weight=weights).cv_results_ for search in searches))


# ---- Ctrl-C and progress


def test_interrupt_keeps_what_is_finished(iris):
    n_calls = 0

    def scoring(model, X, y):
        nonlocal n_calls
        n_calls += 1
        if n_calls > 7:
            raise KeyboardInterrupt
        return model.score(X, y)

    with (
        pytest.warns(UserWarning, match="interrupted by user: 7 of 18 fits are finished"),
        pytest.warns(UserWarning, match="non-finite"),
    ):
        search = BPSearchCV(classifier(), GRID, scoring=scoring, cv=3).fit(*iris)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).sum() == 2
    assert np.isfinite(scores[search.best_index_])
    assert search.predict(iris[0]).shape == (150,)


def test_interrupt_before_anything_is_finished(iris):
    def scoring(model, X, y):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        BPSearchCV(classifier(), GRID, scoring=scoring).fit(*iris)


def test_interrupt_of_the_main_thread_ends_running_kernels(monkeypatch):
    """One short fit, and two that would take hours."""
    X, y = make_classification(n_samples=2000, n_features=50, random_state=0)
    interrupts, scored = [], []

    def scoring(model, X, y):
        scored.append(model.score(X, y))
        if len(scored) == 3:
            threading.Timer(0.5, interrupt).start()
        return scored[-1]

    def interrupt():
        interrupts.append(time.monotonic())
        signal.raise_signal(signal.SIGINT)

    grid = [{"max_iter": [10**6], "n_iter_no_change": [np.inf]}, {"max_iter": [2], "learning_rate_init": [0.1]}]
    monkeypatch.setattr("fastbp.search.plan.Plan.order", lambda self, fits: [3, 4, 5, 0, 1, 2])
    with pytest.warns(UserWarning, match="3 of 6 fits"):
        search = BPSearchCV(classifier(), grid, cv=3, n_jobs=2, refit=False, scoring=scoring).fit(X, y)
    assert time.monotonic() - interrupts[0] < 600  # of the hours
    assert search.best_index_ == 1
    deadline = time.monotonic() + 600
    while (working := [one for one in threading.enumerate() if "work" in one.name]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not working  # others' threads, of callbacks say, may stay


def test_progress(iris, capsys):
    quiet_fit(BPSearchCV(classifier(), {"alpha": [1, 2]}, cv=3, verbose=1), *iris)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Fitting 3 folds for each of 2 candidates, totalling 6 fits"
    assert lines[-1].startswith("6 of 6 fits finished")
    quiet_fit(BPSearchCV(classifier(), {"alpha": [1, 2]}, cv=3, verbose=2), *iris)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("[CV] END alpha=") for line in lines) == 6
    quiet_fit(BPSearchCV(classifier(), {"alpha": [1, 2]}, cv=3), *iris)
    assert capsys.readouterr().out == ""


# ---- sizes


def n_parameters(n_features, sizes, n_outputs):
    units = [n_features, *sizes, n_outputs]
    return sum((n_in + 1) * n_out for n_in, n_out in zip(units[:-1], units[1:]))


@pytest.mark.parametrize("shape", [(150, 4), (1797, 64), (100_000, 28), (60, 3), (10_000, 2)])
@pytest.mark.parametrize("n_outputs", [1, 10])
def test_suggested_sizes(shape, n_outputs):
    sizes = suggest_hidden_layer_sizes(shape, n_outputs, max_layers=3, n_sizes=6)
    assert len(sizes) == len(set(sizes)) <= 18
    assert sizes == sorted(sizes, key=lambda size: (len(size), size))
    for n_layers in (1, 2, 3):
        of_depth = [size for size in sizes if len(size) == n_layers]
        largest = of_depth[-1]
        assert n_parameters(shape[1], largest, n_outputs) <= shape[0] or largest[0] == 1
        assert n_parameters(shape[1], [largest[0] + 1] * n_layers, n_outputs) > shape[0]
    assert (len([size for size in sizes if len(size) == 1]) == 6) or sizes[0] == (1,) or sizes[5][0] - sizes[0][0] < 12


def test_suggested_sizes_of_data(iris, diabetes):
    X, y = iris
    assert suggest_hidden_layer_sizes(X, y) == suggest_hidden_layer_sizes(X.shape, 3)
    assert suggest_hidden_layer_sizes(pd.DataFrame(X), np.array(["a", "b", "c"])[y]) == suggest_hidden_layer_sizes((150, 4), 3)
    assert suggest_hidden_layer_sizes(sparse.csr_matrix(X), y) == suggest_hidden_layer_sizes((150, 4), 3)
    assert suggest_hidden_layer_sizes(X, y > 0) == suggest_hidden_layer_sizes(X) == suggest_hidden_layer_sizes((150, 4), 1)
    assert suggest_hidden_layer_sizes(*diabetes) == suggest_hidden_layer_sizes((442, 10))
    assert suggest_hidden_layer_sizes(X, np.ones((150, 2))) == suggest_hidden_layer_sizes((150, 4), 2)
    assert suggest_hidden_layer_sizes((2, 100)) == [(1,), (1, 1)]
    assert len(suggest_hidden_layer_sizes(X, y, max_layers=1, n_sizes=1)) == 1
    quiet_fit(BPSearchCV(classifier(), {"hidden_layer_sizes": suggest_hidden_layer_sizes(X, y)}), X, y)


@pytest.mark.parametrize(
    "arguments",
    [((0, 3),), ((3, 0),), ([1, 2, 3],), ((10, 3), 0), ((10, 3), 1, {"max_layers": 0}), ((10, 3), 1, {"n_sizes": 0.5})],
)
def test_suggested_sizes_of_bad_shapes(arguments):
    *arguments, options = arguments if isinstance(arguments[-1], dict) else (*arguments, {})
    with pytest.raises(ValueError, match="must"):
        suggest_hidden_layer_sizes(*arguments, **options)


def test_sparse_and_dense_inputs_of_one_shape(iris):
    """Fits of one thread use its memory again, which is not the same for both."""
    model = Pipeline([("step", "passthrough"), ("net", classifier(batch_size=20))])
    grid = {"step": [FunctionTransformer(sparse.csr_matrix), "passthrough"], "net__alpha": [1e-4, 1e-3]}
    own = BPSearchCV(model, grid, cv=3, n_jobs=1, refit=False).fit(*iris)
    stock = GridSearchCV(model, grid, cv=3, refit=False).fit(*iris)
    np.testing.assert_array_equal(own.cv_results_["mean_test_score"], stock.cv_results_["mean_test_score"])
