"""BPClassifier and BPRegressor inside scikit-learn's own tools: searches, pipelines, ensembles, copies, routing."""

import copy
import inspect
import pickle

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import loguniform
from sklearn import config_context, set_config
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, StackingClassifier, VotingClassifier, VotingRegressor
from sklearn.exceptions import FitFailedWarning, UnsetMetadataPassedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    learning_curve,
    validation_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastbp import BPClassifier, BPRegressor

HAS_WEIGHTS = "sample_weight" in inspect.signature(MLPClassifier.fit).parameters
FOLDS = StratifiedKFold(3, shuffle=True, random_state=0)
SHORT = {"max_iter": 15, "learning_rate_init": 0.02, "batch_size": 16, "random_state": 0}
SIZES = [(), (4,), (8,), (6, 5)]


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X[:150] / X.std(), y[:150] / 100


@pytest.fixture
def routing():
    """Metadata routing switched on by set_config, as a user does."""
    set_config(enable_metadata_routing=True)
    yield
    set_config(enable_metadata_routing=False)


@pytest.fixture(params=["classifier", "regressor"])
def problem(request, iris, diabetes):
    """(our estimator, scikit-learn's, X, y)."""
    if request.param == "classifier":
        return BPClassifier((6,), **SHORT), MLPClassifier((6,), **SHORT), *iris
    return BPRegressor(hidden_layer_sizes=(6,), **SHORT), MLPRegressor(hidden_layer_sizes=(6,), **SHORT), *diabetes


def assert_close(got, expected, **tolerance):
    """assert_allclose takes nan for equal to nan, and a score that failed is nan."""
    assert np.isfinite(expected).all()
    assert_allclose(got, expected, **tolerance)


def scores_of(search):
    """What a search found, fold by fold; times left out."""
    return {name: values for name, values in search.cv_results_.items() if "time" not in name and name != "params"}


def assert_same_scores(one, other):
    assert np.isfinite(one.cv_results_["mean_test_score"]).all()
    assert scores_of(one).keys() == scores_of(other).keys()
    for name, values in scores_of(one).items():
        assert_array_equal(values, scores_of(other)[name], err_msg=name)


# Searches


def test_grid_search_over_hidden_sizes(problem):
    """The search over scikit-learn's own estimator has the same scores, the same ranking and the same winner."""
    ours, theirs, X, y = problem
    searches = [GridSearchCV(estimator, {"hidden_layer_sizes": SIZES}, cv=3).fit(X, y) for estimator in (ours, theirs)]
    assert_close(searches[0].cv_results_["mean_test_score"], searches[1].cv_results_["mean_test_score"], rtol=1e-6)
    assert searches[0].best_params_ == searches[1].best_params_
    assert_close(searches[0].predict(X), searches[1].predict(X), rtol=1e-6)


def test_grid_search_over_sizes_written_as_text_and_number(iris):
    search = GridSearchCV(BPClassifier(**SHORT), {"hidden_layer_sizes": [(6, 5), "6-5", (8,), 8, "8"]}, cv=FOLDS).fit(*iris)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] == scores[1]
    assert scores[2] == scores[3] == scores[4]


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_grid_search_scores_do_not_depend_on_the_backend(problem, backend, n_jobs):
    ours, _, X, y = problem
    grid = {"hidden_layer_sizes": SIZES, "solver": ["adam", "lbfgs"]}
    alone = GridSearchCV(ours, grid, cv=3, return_train_score=True).fit(X, y)
    with joblib.parallel_config(backend, n_jobs=n_jobs):
        search = GridSearchCV(ours, grid, cv=3, return_train_score=True, n_jobs=n_jobs).fit(X, y)
    assert_same_scores(search, alone)
    for got, expected in zip(search.best_estimator_.coefs_, alone.best_estimator_.coefs_, strict=True):
        assert_array_equal(got, expected)


def test_randomized_search(problem):
    ours, theirs, X, y = problem
    searches = [
        RandomizedSearchCV(
            estimator, {"alpha": loguniform(1e-5, 1), "hidden_layer_sizes": SIZES}, n_iter=5, cv=3, random_state=0
        ).fit(X, y)
        for estimator in (ours, theirs)
    ]
    assert searches[0].best_params_ == searches[1].best_params_
    assert_close(searches[0].cv_results_["mean_test_score"], searches[1].cv_results_["mean_test_score"], rtol=1e-6)


@pytest.mark.parametrize("resource", ["n_samples", "max_iter"])
def test_halving_search(problem, resource):
    ours, theirs, X, y = problem
    limits = {"max_resources": 16, "min_resources": 4} if resource == "max_iter" else {"min_resources": 45}
    searches = [
        HalvingGridSearchCV(
            clone(estimator), {"hidden_layer_sizes": SIZES}, cv=3, factor=2, resource=resource, random_state=0, **limits
        ).fit(X, y)
        for estimator in (ours, theirs)
    ]
    assert searches[0].n_candidates_ == searches[1].n_candidates_
    assert searches[0].best_params_ == searches[1].best_params_
    assert_close(searches[0].cv_results_["mean_test_score"], searches[1].cv_results_["mean_test_score"], rtol=1e-6)


def test_curves(problem):
    ours, theirs, X, y = problem
    over_sizes = [
        validation_curve(estimator, X, y, param_name="hidden_layer_sizes", param_range=SIZES, cv=3)
        for estimator in (ours, theirs)
    ]
    assert_close(over_sizes[0][0], over_sizes[1][0], rtol=1e-6)
    assert_close(over_sizes[0][1], over_sizes[1][1], rtol=1e-6)
    over_rows = [learning_curve(estimator, X, y, cv=3, shuffle=True, random_state=0) for estimator in (ours, theirs)]
    assert_close(over_rows[0][2], over_rows[1][2], rtol=1e-6)


def test_learning_curve_by_partial_fit(problem):
    ours, theirs, X, y = problem
    curves = [
        learning_curve(estimator, X, y, cv=3, shuffle=True, random_state=0, exploit_incremental_learning=True)
        for estimator in (ours, theirs)
    ]
    assert_close(curves[0][2], curves[1][2], rtol=1e-6)


def test_cross_val_score_and_predict(problem):
    ours, theirs, X, y = problem
    assert_close(cross_val_score(ours, X, y, cv=4), cross_val_score(theirs, X, y, cv=4), rtol=1e-6)
    assert_close(cross_val_predict(ours, X, y, cv=4), cross_val_predict(theirs, X, y, cv=4), rtol=1e-6)


@pytest.mark.parametrize("scoring", ["neg_log_loss", "roc_auc_ovr", "f1_macro"])
def test_scorers(iris, scoring):
    ours, theirs = BPClassifier((6,), **SHORT), MLPClassifier((6,), **SHORT)
    assert_close(
        cross_val_score(ours, *iris, cv=FOLDS, scoring=scoring),
        cross_val_score(theirs, *iris, cv=FOLDS, scoring=scoring),
        rtol=1e-6,
    )


def test_candidate_that_cannot_be_fitted_scores_error_score(iris):
    """A wrong size fails alone: one warning, its score is error_score and the others go on."""
    search = GridSearchCV(BPClassifier(**SHORT), {"hidden_layer_sizes": [(4,), (0,)]}, cv=FOLDS, error_score=-1.0)
    with pytest.warns(FitFailedWarning, match="3 fits failed out of a total of 6"):
        search.fit(*iris)
    assert search.cv_results_["mean_test_score"][1] == -1.0
    assert search.best_params_ == {"hidden_layer_sizes": (4,)}


# Pipelines


def test_pipeline_with_scaler(problem):
    ours, theirs, X, y = problem
    pipelines = [make_pipeline(StandardScaler(), estimator).fit(X, y) for estimator in (ours, theirs)]
    assert_close(pipelines[0].predict(X), pipelines[1].predict(X), rtol=1e-6)
    assert_close(pipelines[0].score(X, y), pipelines[1].score(X, y), rtol=1e-6)
    pipelines[0].set_params(**{f"{type(ours).__name__.lower()}__hidden_layer_sizes": (3,)})
    assert pipelines[0].fit(X, y)[-1].coefs_[0].shape[1] == 3


def test_search_over_a_pipeline(iris):
    pipeline = make_pipeline(StandardScaler(), BPClassifier(**SHORT))
    search = GridSearchCV(pipeline, {"bpclassifier__hidden_layer_sizes": SIZES}, cv=FOLDS).fit(*iris)
    assert search.score(*iris) > 0.9


def test_column_transformer_with_text_and_numbers():
    pandas = pytest.importorskip("pandas")
    random_state = np.random.RandomState(0)
    table = pandas.DataFrame(
        {
            "colour": random_state.choice(["red", "green", "blue"], 90),
            "width": random_state.normal(10, 3, 90),
            "height": random_state.normal(size=90),
        }
    )
    y = np.where((table["colour"] == "red") | (table["width"] > 12), "sold", "kept")
    models = [
        make_pipeline(
            ColumnTransformer([("words", OneHotEncoder(), ["colour"]), ("numbers", StandardScaler(), ["width", "height"])]),
            estimator,
        ).fit(table, y)
        for estimator in (BPClassifier((8,), **SHORT), MLPClassifier((8,), **SHORT))
    ]
    assert_array_equal(models[0].predict(table), models[1].predict(table))
    assert models[0].score(table, y) > 0.9


def test_sparse_output_of_an_encoder():
    """OneHotEncoder alone hands over CSR."""
    words = np.random.RandomState(0).choice(["a", "b", "c", "d"], (60, 3))
    y = (words == "a").sum(axis=1)
    models = [
        make_pipeline(OneHotEncoder(), estimator).fit(words, y) for estimator in (BPClassifier(**SHORT), MLPClassifier(**SHORT))
    ]
    assert_close(models[0].predict_proba(words), models[1].predict_proba(words), rtol=1e-6)


@pytest.mark.parametrize("output", ["default", "pandas"])
def test_set_output(iris, output):
    """A frame comes in from the scaler: the names are kept and what is predicted stays an array."""
    if output == "pandas":
        pytest.importorskip("pandas")
    X, y = load_iris(return_X_y=True, as_frame=output == "pandas")
    pipeline = make_pipeline(StandardScaler(), BPClassifier((6,), **SHORT)).set_output(transform=output)
    got = pipeline.fit(X, y).predict(X)
    assert isinstance(got, np.ndarray)
    assert hasattr(pipeline[-1], "feature_names_in_") == (output == "pandas")
    assert_array_equal(got, make_pipeline(StandardScaler(), BPClassifier((6,), **SHORT)).fit(*iris).predict(iris[0]))


def test_transform_output_set_for_all(iris):
    pytest.importorskip("pandas")
    with config_context(transform_output="pandas"):
        pipeline = make_pipeline(StandardScaler(), BPClassifier((6,), **SHORT)).fit(*iris)
        assert isinstance(pipeline.predict_proba(iris[0]), np.ndarray)
    assert pipeline[-1].n_features_in_ == 4


# Copies


def test_clone_is_unfitted_and_equal(problem):
    ours, _, X, y = problem
    ours.fit(X, y)
    again = clone(ours)
    assert not hasattr(again, "coefs_")
    assert again.get_params() == ours.get_params()
    assert_array_equal(again.fit(X, y).predict(X), ours.predict(X))


def test_clone_keeps_arrays_of_a_start(iris):
    random_state = np.random.RandomState(0)
    init = ([random_state.normal(size=(4, 5)), random_state.normal(size=(5, 3))], [np.zeros(5), np.zeros(3)])
    one = BPClassifier((5,), init=init, **SHORT)
    assert_close(clone(one).fit(*iris).predict_proba(iris[0]), one.fit(*iris).predict_proba(iris[0]), rtol=0)


def by_pickle(estimator, tmp_path):
    return pickle.loads(pickle.dumps(estimator))


def by_joblib(estimator, tmp_path):
    joblib.dump(estimator, tmp_path / "model.joblib")
    return joblib.load(tmp_path / "model.joblib")


def by_memory_map(estimator, tmp_path):
    """Weights mapped from the file and read-only: they can be asked, not trained further in place."""
    joblib.dump(estimator, tmp_path / "model.joblib")
    return joblib.load(tmp_path / "model.joblib", mmap_mode="r")


def by_deepcopy(estimator, tmp_path):
    return copy.deepcopy(estimator)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("travel", [by_pickle, by_joblib, by_memory_map, by_deepcopy])
def test_round_trips(problem, travel, dtype, tmp_path):
    ours, _, X, y = problem
    X = X.astype(dtype)
    ours.fit(X, y)
    again = travel(ours, tmp_path)
    assert again.get_params() == ours.get_params()
    assert_array_equal(again.predict(X), ours.predict(X))
    assert again.loss_curve_ == ours.loss_curve_
    if hasattr(ours, "predict_proba"):
        assert_array_equal(again.predict_proba(X), ours.predict_proba(X))


@pytest.mark.parametrize("travel", [by_pickle, by_joblib, by_deepcopy])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_training_goes_on_after_a_round_trip(problem, solver, travel, tmp_path):
    """The optimizer travels too: what comes out goes on as if nothing had happened, as scikit-learn's does."""
    ours, theirs, X, y = problem
    for estimator in (ours, theirs):
        estimator.set_params(solver=solver).fit(X, y)
    pair = travel(ours, tmp_path), travel(theirs, tmp_path)
    for estimator in (ours, theirs, *pair):
        for _ in range(5):
            estimator.partial_fit(X, y)
    for own, again, other in zip(ours.coefs_, pair[0].coefs_, pair[1].coefs_, strict=True):
        assert_array_equal(own, again)
        assert_close(again, other, rtol=1e-6, atol=1e-9)
    assert pair[0].t_ == pair[1].t_


def test_early_stopping_goes_on_after_a_round_trip(iris):
    X, y = iris
    options = {"early_stopping": True, "warm_start": True, "max_iter": 5, "random_state": 0, "learning_rate_init": 0.02}
    model = BPClassifier((8,), **options).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    for estimator in (model, again):
        estimator.set_params(learning_rate_init=5.0).fit(X, y)  # so much worse that the best weights are those of before
    assert_array_equal(model.coefs_[0], again.coefs_[0])
    assert model.best_validation_score_ == again.best_validation_score_ == max(again.validation_scores_)


def test_a_copy_does_not_share_weights(problem):
    ours, _, X, y = problem
    ours.fit(X, y)
    before = ours.predict(X)
    copy.deepcopy(ours).partial_fit(X, y)
    pickle.loads(pickle.dumps(ours)).partial_fit(X, y)
    assert_array_equal(ours.predict(X), before)


def test_unfitted_round_trip(problem):
    ours, _, X, y = problem
    again = pickle.loads(pickle.dumps(ours))
    assert_array_equal(again.fit(X, y).predict(X), ours.fit(X, y).predict(X))


def test_fitted_in_a_pipeline_and_saved(iris, tmp_path):
    pipeline = make_pipeline(StandardScaler(), BPClassifier((6,), **SHORT)).fit(*iris)
    assert_array_equal(by_joblib(pipeline, tmp_path).predict_proba(iris[0]), pipeline.predict_proba(iris[0]))


# Routing of sample weights


@pytest.fixture
def weights(iris):
    return np.random.RandomState(0).uniform(0.1, 3, len(iris[1]))


def test_routing_through_cross_validation(routing, iris, weights):
    """The weights that are asked for reach fit and score."""
    model = BPClassifier((6,), **SHORT).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    X, y = iris
    got = cross_val_score(model, X, y, cv=FOLDS, params={"sample_weight": weights})
    expected = []
    for train, test in FOLDS.split(X, y):
        fitted = BPClassifier((6,), **SHORT).fit(X[train], y[train], sample_weight=weights[train])
        expected.append(accuracy_score(y[test], fitted.predict(X[test]), sample_weight=weights[test]))
    assert_array_equal(got, expected)


def pipelines_route_weights_to_score(X, y, weights):
    """Whether the installed scikit-learn can do it at all: asked of an estimator of its own."""
    line = LogisticRegression(max_iter=500).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), line)
    try:
        GridSearchCV(pipeline, {"logisticregression__C": [1.0]}, cv=FOLDS, error_score="raise").fit(X, y, sample_weight=weights)
    except UnsetMetadataPassedError:
        return False
    return True


def test_routing_through_a_grid_search_over_a_pipeline(routing, iris, weights):
    """Weights go to the network's fit and score, not to the scaler; the scores are those of the same folds by hand."""
    X, y = iris
    if not pipelines_route_weights_to_score(X, y, weights):
        pytest.skip("this scikit-learn's Pipeline routes no sample_weight to score, whatever the estimator")
    model = BPClassifier(**SHORT).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
    search = GridSearchCV(pipeline, {"bpclassifier__hidden_layer_sizes": SIZES}, cv=FOLDS, error_score="raise")
    search.fit(X, y, sample_weight=weights)
    expected = []
    for sizes in SIZES:
        scores = []
        for train, test in FOLDS.split(X, y):
            scaler = StandardScaler().fit(X[train])
            fitted = BPClassifier(sizes, **SHORT).fit(scaler.transform(X[train]), y[train], sample_weight=weights[train])
            scores.append(accuracy_score(y[test], fitted.predict(scaler.transform(X[test])), sample_weight=weights[test]))
        expected.append(np.mean(scores))
    assert_close(search.cv_results_["mean_test_score"], expected, rtol=1e-12)


def test_routing_refuses_what_nobody_asked_for(routing, iris, weights):
    with pytest.raises(ValueError, match="not explicitly set as requested or not"):
        cross_val_score(BPClassifier((6,), **SHORT), *iris, params={"sample_weight": weights}, error_score="raise")


def test_routing_of_partial_fit(routing):
    model = BPClassifier().set_partial_fit_request(classes=True, sample_weight=True)
    request = model.get_metadata_routing().partial_fit.requests
    assert request == {"classes": True, "sample_weight": True}


@pytest.mark.skipif(not HAS_WEIGHTS, reason="scikit-learn's MLPs take sample_weight from 1.7 on")
def test_routed_weights_as_in_scikit_learn(routing, iris, weights):
    models = [estimator((6,), **SHORT).set_fit_request(sample_weight=True) for estimator in (BPClassifier, MLPClassifier)]
    models = [model.set_score_request(sample_weight=True) for model in models]
    scores = [cross_val_score(model, *iris, cv=FOLDS, params={"sample_weight": weights}) for model in models]
    assert_close(scores[0], scores[1], rtol=1e-6)


def test_weights_without_routing(iris, weights):
    """The older way, by the step's name."""
    X, y = iris
    pipeline = make_pipeline(StandardScaler(), BPClassifier((6,), **SHORT))
    pipeline.fit(X, y, bpclassifier__sample_weight=weights)
    expected = BPClassifier((6,), **SHORT).fit(StandardScaler().fit_transform(X), y, sample_weight=weights)
    assert_array_equal(pipeline[-1].coefs_[0], expected.coefs_[0])


# Ensembles and wrappers


@pytest.mark.parametrize("voting", ["soft", "hard"])
def test_voting(iris, voting):
    models = [
        VotingClassifier([("net", estimator((6,), **SHORT)), ("line", LogisticRegression(max_iter=500))], voting=voting).fit(
            *iris
        )
        for estimator in (BPClassifier, MLPClassifier)
    ]
    assert_array_equal(models[0].predict(iris[0]), models[1].predict(iris[0]))


@pytest.mark.skipif(
    not HAS_WEIGHTS, reason="bags are drawn by weight where fit takes weights, which scikit-learn's MLPs do from 1.7 on"
)
@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_bagging(problem, n_jobs):
    ours, theirs, X, y = problem
    bag = BaggingClassifier if hasattr(ours, "predict_proba") else BaggingRegressor
    models = [bag(estimator, 4, random_state=0, n_jobs=n_jobs).fit(X, y) for estimator in (ours, theirs)]
    assert_close(models[0].predict(X), models[1].predict(X), rtol=1e-6)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(iris, method):
    models = [
        CalibratedClassifierCV(estimator((6,), **SHORT), method=method, cv=FOLDS).fit(*iris)
        for estimator in (BPClassifier, MLPClassifier)
    ]
    assert_close(models[0].predict_proba(iris[0]), models[1].predict_proba(iris[0]), rtol=1e-5, atol=1e-8)


def test_stacking(iris):
    models = [
        StackingClassifier([("net", estimator((6,), **SHORT))], LogisticRegression(max_iter=500), cv=FOLDS).fit(*iris)
        for estimator in (BPClassifier, MLPClassifier)
    ]
    assert_array_equal(models[0].predict(iris[0]), models[1].predict(iris[0]))


def test_one_vs_rest(iris):
    models = [OneVsRestClassifier(estimator((6,), **SHORT)).fit(*iris) for estimator in (BPClassifier, MLPClassifier)]
    assert_close(models[0].predict_proba(iris[0]), models[1].predict_proba(iris[0]), rtol=1e-6)


def test_regressors_inside_wrappers(diabetes):
    X, y = diabetes
    wrappers = [
        lambda estimator: TransformedTargetRegressor(estimator, transformer=StandardScaler()).fit(X, y),
        lambda estimator: MultiOutputRegressor(estimator).fit(X, np.c_[y, -y]),
        lambda estimator: VotingRegressor([("net", estimator)]).fit(X, y),
    ]
    for wrap in wrappers:
        ours, theirs = (wrap(estimator(hidden_layer_sizes=(6,), **SHORT)) for estimator in (BPRegressor, MLPRegressor))
        assert_close(ours.predict(X), theirs.predict(X), rtol=1e-6)


def test_wine_in_a_few_lines():
    """The promise as a user meets it: change the import and nothing else."""
    X, y = load_wine(return_X_y=True)
    parameters = {"hidden_layer_sizes": (16,), "max_iter": 30, "learning_rate_init": 0.01, "random_state": 0}
    scores = [
        cross_val_score(make_pipeline(StandardScaler(), estimator(**parameters)), X, y, cv=FOLDS)
        for estimator in (BPClassifier, MLPClassifier)
    ]
    assert_array_equal(scores[0], scores[1])
    assert scores[0].mean() > 0.9


@pytest.mark.parametrize("y", [["no", "yes", "no", "yes"], [3, 1, 2, 1], [[0, 1, 1], [1, 0, 0], [1, 1, 1], [0, 0, 1]]])
def test_converters_find_the_labels_where_scikit_learn_has_them(y):
    """skl2onnx's converter of MLPClassifier asks for its _label_binarizer."""
    X, y = np.eye(4), np.array(y)
    ours, theirs = (kind((3,), max_iter=2).fit(X, y)._label_binarizer for kind in (BPClassifier, MLPClassifier))
    assert ours.y_type_ == theirs.y_type_
    assert_array_equal(ours.classes_, theirs.classes_)
    assert_array_equal(ours.transform(y), theirs.transform(y))


@pytest.mark.parametrize("kind", [BPClassifier, BPRegressor])
def test_skl2onnx_takes_our_networks_by_its_own_converters(kind):
    """The runtime gives the same outputs; both packages are left to who needs them."""
    pytest.importorskip("onnxruntime", reason="no part of what the tests install")
    skl2onnx = pytest.importorskip("skl2onnx", reason="no part of what the tests install")
    from onnxruntime import InferenceSession
    from skl2onnx.common import shape_calculator
    from skl2onnx.operator_converters import multilayer_perceptron as converters

    X = np.random.RandomState(0).normal(size=(80, 4)).astype(np.float32)
    is_classifier = kind is BPClassifier
    if is_classifier:
        options = {"zipmap": [True, False], "output_class_labels": [False, True], "nocl": [True, False]}
        shapes, convert = shape_calculator.calculate_linear_classifier_output_shapes, converters.convert_sklearn_mlp_classifier
        skl2onnx.update_registered_converter(kind, kind.__name__, shapes, convert, options=options)
    else:
        shapes, convert = shape_calculator.calculate_linear_regressor_output_shapes, converters.convert_sklearn_mlp_regressor
        skl2onnx.update_registered_converter(kind, kind.__name__, shapes, convert)
    model = kind(hidden_layer_sizes=(5,), max_iter=20, random_state=0).fit(X, X[:, 0] > 0 if is_classifier else X[:, 0])
    options = {id(model): {"zipmap": False}} if is_classifier else None
    graph = skl2onnx.to_onnx(model, X[:1], options=options).SerializeToString()
    outputs = InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, {"X": X})[-1]
    assert_close(np.squeeze(outputs), model.predict_proba(X) if is_classifier else model.predict(X), rtol=1e-4, atol=1e-6)
