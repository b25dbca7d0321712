"""Scaled inputs and targets: the fit that a user makes with scikit-learn's scalers around it, and back to raw data."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_wine
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler

import fastbp
from fastbp import BPClassifier, BPRegressor, BPSearchCV

REAL, T = load_diabetes(return_X_y=True, scaled=False)
X, Y = load_wine(return_X_y=True)
WEIGHTS = np.random.RandomState(0).uniform(0, 2, len(T)).round(1)
SCALERS = {"standard": StandardScaler, "robust": RobustScaler}


def make(estimator=BPRegressor, **options):
    settings = {"hidden_layer_sizes": 6, "max_iter": 15, "batch_size": 32, "random_state": 0}
    return estimator(**settings | options)


def assert_same_network(one, other):
    for mine, yours in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_array_equal(mine, yours)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("scaling", SCALERS)
def test_is_a_pipeline(scaling, solver, dtype):
    inputs = REAL.astype(dtype)
    ours = make(solver=solver, input_scaling=scaling, target_scaling="standard").fit(inputs, T)
    theirs = TransformedTargetRegressor(make_pipeline(SCALERS[scaling](), make(solver=solver)), transformer=StandardScaler())
    theirs.fit(inputs, T)
    np.testing.assert_allclose(ours.predict(inputs), theirs.predict(inputs), rtol=1e-3 if dtype == np.float32 else 1e-8)
    assert ours.coefs_[0].dtype == ours.predict(inputs).dtype == dtype
    network = make(BPClassifier, solver=solver, input_scaling=scaling).fit(X, Y)
    assert_same_network(network, make_pipeline(SCALERS[scaling](), make(BPClassifier, solver=solver)).fit(X, Y)[-1])


def test_raw_targets_are_what_it_is_for():
    train, test, t_train, t_test = train_test_split(REAL, T, random_state=0)
    scores = [
        make(max_iter=200, input_scaling="standard", target_scaling=scaling).fit(train, t_train).score(test, t_test)
        for scaling in (None, "standard")
    ]
    assert scores[0] < 0 < 0.3 < scores[1]


@pytest.mark.parametrize(
    "options", [{"batch_size": 1, "solver": "sgd"}, {"n_restarts": 3}, {"loss": "huber"}, {"init": "data", "n_restarts": 2}]
)
def test_goes_with(options):
    ours = make(input_scaling="standard", target_scaling="standard", max_iter=3, **options).fit(REAL, np.stack([T, -T], 1))
    scaled = StandardScaler().fit_transform(REAL), StandardScaler().fit_transform(np.stack([T, -T], 1))
    assert_same_network(ours, make(max_iter=3, **options).fit(*scaled))


def test_a_start_fitted_to_rows_sees_those_that_are_trained_on_as_they_are_scaled():
    train, val, t_train, t_val = train_test_split(REAL, T, random_state=0)
    options = {"init": "data", "early_stopping": True, "n_restarts": 2, "n_iter_no_change": 5}
    ours = make(input_scaling="standard", target_scaling="standard", **options).fit(train, t_train, X_val=val, y_val=t_val)
    inputs, targets = StandardScaler().fit(train), StandardScaler().fit(t_train[:, np.newaxis])
    scaled = [targets.transform(t[:, np.newaxis])[:, 0] for t in (t_train, t_val)]
    theirs = make(**options).fit(inputs.transform(train), scaled[0], X_val=inputs.transform(val), y_val=scaled[1])
    assert_same_network(ours, theirs)
    for seed in (0, 1):  # rows that are set aside are drawn before the weights
        split = make(input_scaling="robust", **options | {"random_state": seed}).fit(REAL, T)
        assert_same_network(split, make(input_scaling="robust", **options | {"random_state": seed}).fit(REAL, T))


def test_weights():
    """Of the scalers too; for quantiles there are none, but rows that do not count."""
    ours = make(input_scaling="standard", target_scaling="standard").fit(REAL, T, WEIGHTS)
    scaler, of_targets = (
        StandardScaler().fit(REAL, sample_weight=WEIGHTS),
        StandardScaler().fit(T[:, None], sample_weight=WEIGHTS),
    )
    same = make().fit(scaler.transform(REAL), of_targets.transform(T[:, None])[:, 0], WEIGHTS)
    assert_same_network(ours, same)
    there = WEIGHTS > 0.5
    robust = make(input_scaling="robust").fit(REAL, T, there.astype(float))
    np.testing.assert_array_equal(robust.input_scaler_.center_, np.median(REAL[there], axis=0))
    with pytest.raises(ValueError, match="takes no sample weights"):
        make(input_scaling="robust").fit(REAL, T, WEIGHTS)
    with pytest.raises(ValueError, match="takes no sample weights"):
        make(BPClassifier, input_scaling="robust", class_weight="balanced").fit(X, Y)
    with pytest.raises(ValueError, match="no negative sample weights"):
        make(input_scaling="standard").fit(REAL, T, WEIGHTS - 0.2)


@pytest.mark.parametrize("scaling", SCALERS)
def test_sparse_rows_are_divided_alone(scaling):
    inputs = REAL * (np.median(REAL, axis=0) < REAL)
    option = {"with_mean": False} if scaling == "standard" else {"with_centering": False}
    scaler = SCALERS[scaling](**option).fit(csr_matrix(inputs))
    ours = make(input_scaling=scaling).fit(csr_matrix(inputs), T)
    theirs = make().fit(scaler.transform(csr_matrix(inputs)), T)
    assert_same_network(ours, theirs)
    np.testing.assert_allclose(ours.predict(inputs), ours.predict(csr_matrix(inputs)), rtol=1e-12)
    dense = make(input_scaling=scaling).fit(inputs, T)
    with pytest.raises(ValueError, match=r"X is sparse.*pass X.toarray\(\)"):
        dense.predict(csr_matrix(inputs))


def test_rows_that_validate_are_not_looked_at():
    """Neither those that are split nor the user's own."""
    model = make(input_scaling="standard", target_scaling="standard", early_stopping=True, shuffle=False)
    start = make(max_iter=1).fit(REAL, T)
    model.set_params(init=(start.coefs_, start.intercepts_)).fit(REAL, T)
    train, aside = train_test_split(np.arange(len(T)), test_size=0.1, random_state=np.random.RandomState(0))
    np.testing.assert_allclose(model.input_scaler_.mean_, REAL[train].mean(axis=0))
    np.testing.assert_allclose(model.target_scaler_.mean_, T[train].mean())
    own = clone(model).fit(REAL[train], T[train], X_val=REAL[aside], y_val=T[aside])
    assert_same_network(own, model)
    assert own.validation_scores_ == model.validation_scores_
    assert own.best_validation_score_ == pytest.approx(own.score(REAL[aside], T[aside]), abs=1e-12)
    np.testing.assert_allclose(own.input_scaler_.mean_, REAL[train].mean(axis=0))


def test_scorers_see_targets_in_their_own_units():
    seen = []

    def score(model, inputs, y):
        seen.append((y, model.predict(inputs)))
        return -abs(y - seen[-1][1]).mean()

    options = {"input_scaling": "standard", "target_scaling": "standard", "early_stopping": True, "random_state": 1}
    model = make(**options, scoring=score).fit(REAL, T)
    assert np.isin(seen[0][0], T).all()
    named = make(**options, scoring="neg_mean_absolute_error").fit(REAL, T)
    assert named.validation_scores_ == model.validation_scores_
    epoch = int(np.argmax(model.validation_scores_))
    again = make(**options | {"early_stopping": False}, max_iter=epoch + 1)
    rows = [int(np.flatnonzero(np.isclose(T, value))[0]) for value in seen[0][0]]
    assert abs(seen[epoch][1] - again.fit(REAL, T).predict(REAL[rows])).mean() < 60


def test_refit_scales_by_all_rows():
    model = make(input_scaling="standard", target_scaling="standard", early_stopping=True, refit=True).fit(REAL, T)
    np.testing.assert_allclose(model.input_scaler_.mean_, REAL.mean(axis=0))
    plain = make(input_scaling="standard", target_scaling="standard", max_iter=model.n_iter_, n_iter_no_change=np.inf)
    assert_same_network(model, plain.fit(REAL, T))


@pytest.mark.parametrize("sizes", [(), (6,), (5, 4)])
@pytest.mark.parametrize("scaling", [{"input_scaling": "standard"}, {"input_scaling": "robust", "target_scaling": "standard"}])
def test_fold_scaling(scaling, sizes):
    """By hand, with numpy alone; and gradients of what is folded are those of what is not."""
    model = make(hidden_layer_sizes=sizes, activation="tanh", **scaling).fit(REAL, np.stack([T, 3 * T], 1))
    before, gradients = model.predict(REAL), model.input_gradients(REAL[:5])
    folded = clone(model).set_params(random_state=0).fit(REAL, np.stack([T, 3 * T], 1)).fold_scaling()
    a = REAL
    for layer, (W, b) in enumerate(zip(folded.coefs_, folded.intercepts_, strict=True)):
        a = a @ W + b
        a = np.tanh(a) if layer < len(sizes) else a
    np.testing.assert_allclose(a, before, rtol=1e-8)
    np.testing.assert_allclose(folded.predict(REAL), before, rtol=1e-8)
    assert folded.input_scaler_ is folded.target_scaler_ is None
    np.testing.assert_allclose(folded.input_gradients(REAL[:5]), gradients, rtol=1e-10)
    step = 1e-4 * REAL.std(axis=0)
    for j in range(3):
        moved = REAL[:5].copy()
        moved[:, j] += step[j]
        other = 2 * REAL[:5] - moved
        slope = (model.predict(moved) - model.predict(other)) / (2 * step[j])
        np.testing.assert_allclose(
            gradients[:, :, j] if gradients.shape[2] == 10 else gradients[:, j], slope, rtol=1e-5, atol=1e-8
        )


@pytest.mark.parametrize("input_factor, target_factor", [(1e-40, 1), (1e37, 1), (1e38, 1), (1, 1e-42)])
@pytest.mark.parametrize("n_restarts", [1, 2])
def test_fold_scaling_needs_weights_that_their_dtype_can_hold(input_factor, target_factor, n_restarts):
    X, y = REAL.astype(np.float32), T.astype(np.float64) * target_factor
    X[:, 1] = (X[:, 1] - X[:, 1].mean()) / X[:, 1].std() * np.float32(input_factor)
    scaling = {"input_scaling": "standard", "target_scaling": "standard"}
    model = make(n_restarts=n_restarts, ensemble=n_restarts > 1, **scaling).fit(X, y)
    before, kept = model.predict(X), model.input_scaler_
    what = "weights of input 1" if target_factor == 1 else "weights of output 0"
    with pytest.raises(ValueError, match=f"{what} would be too (large|small) for float32"):
        model.fold_scaling()
    assert model.input_scaler_ is kept
    np.testing.assert_array_equal(model.predict(X), before)
    # float64 has room for it
    wide = make(**scaling).fit(X.astype(np.float64), y)
    before = wide.predict(X.astype(np.float64))
    np.testing.assert_allclose(wide.fold_scaling().predict(X.astype(np.float64)), before, rtol=1e-6)


def test_fold_scaling_of_targets_beyond_the_largest_number():
    X, y = REAL.astype(np.float32), np.where(REAL[:, 0] > 50, 3e38, -3e38)
    model = make(input_scaling="standard", target_scaling="standard", activation="logistic").fit(X, y)
    model.coefs_[-1][:] *= 10
    with pytest.raises(ValueError, match="weights of output 0 would be too large for float32"):
        model.fold_scaling()


def test_fold_scaling_of_a_classifier_and_without_intercepts():
    model = make(BPClassifier, input_scaling="standard").fit(X, Y)
    before = model.predict_proba(X)
    np.testing.assert_allclose(model.fold_scaling().predict_proba(X), before, rtol=1e-7, atol=1e-12)
    assert model.fold_scaling() is model  # nothing left to fold
    with pytest.raises(ValueError, match="fit_intercept=False"):
        make(input_scaling="standard", fit_intercept=False).fit(REAL, T).fold_scaling()
    inputs = csr_matrix(REAL)
    without = make(input_scaling="standard", fit_intercept=False).fit(inputs, T)
    before = without.predict(inputs)
    np.testing.assert_allclose(without.fold_scaling().predict(inputs), before, rtol=1e-10)


def test_the_first_call_decides():
    """partial_fit and warm starts go on in the scale that there is, or say that they do not."""
    model = make(input_scaling="standard", target_scaling="standard")
    model.partial_fit(REAL[:100], T[:100]).partial_fit(REAL[100:], T[100:])
    scaler, of_targets = StandardScaler().fit(REAL[:100]), StandardScaler().fit(T[:100, None])
    same, scaled = make(), of_targets.transform(T[:, None])[:, 0]
    same.partial_fit(scaler.transform(REAL[:100]), scaled[:100]).partial_fit(scaler.transform(REAL[100:]), scaled[100:])
    assert_same_network(model, same)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict(REAL), model.predict(REAL))
    warm = make(warm_start=True, input_scaling="standard").fit(REAL, T)
    mean = warm.input_scaler_.mean_
    assert warm.fit(REAL[:50], T[:50]).input_scaler_.mean_ is mean
    for options in ({"input_scaling": None}, {"input_scaling": "standard", "target_scaling": "standard"}):
        with pytest.raises(ValueError, match="weights that training goes on with"):
            clone(warm).fit(REAL, T).set_params(**options).fit(REAL, T)
    with pytest.raises(ValueError, match="weights that training goes on with"):
        model.fold_scaling().partial_fit(REAL, T)
    assert model.set_params(input_scaling=None).fit(REAL, T).input_scaler_ is None


def test_given_data_stay_as_they_are():
    inputs, targets = REAL.copy(), T.copy()
    frame = pd.DataFrame(inputs, columns=[f"c{k}" for k in range(10)])
    model = make(input_scaling="robust", target_scaling="standard").fit(frame, targets)
    np.testing.assert_array_equal(
        model.predict(frame), make(input_scaling="robust", target_scaling="standard").fit(REAL, T).predict(REAL)
    )
    np.testing.assert_array_equal(frame.to_numpy(), REAL)
    np.testing.assert_array_equal(targets, T)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_scaling": "standard"}, "call fold_scaling"),
        ({"ensemble": True}, "use each of estimators_"),
        ({"calibration": "temperature", "early_stopping": True}, "not part of the weights"),
    ],
)
def test_what_others_get_is_the_whole_model_or_an_error(options, message, tmp_path):
    model = make(BPClassifier, **options).fit(X, Y)
    for export in (fastbp.to_sklearn, fastbp.to_c):
        with pytest.raises(ValueError, match=message):
            export(model)
    pytest.importorskip("safetensors")
    fastbp.save(model, tmp_path / "model.safetensors")
    loaded = fastbp.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_scaling": "minmax"}, "'input_scaling' parameter"),
        ({"target_scaling": "robust"}, "'target_scaling' parameter"),
        ({"target_scaling": "standard", "loss": "poisson"}, "needs the targets as they are"),
        ({"target_scaling": "standard", "output_activation": "tanh"}, "needs output_activation='identity'"),
    ],
)
def test_bad_scaling(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options).fit(REAL, T)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_search_scales_by_each_fold(early_stopping):
    grid = {"input_scaling": [None, "standard", "robust"], "target_scaling": [None, "standard"]}
    model = make(early_stopping=early_stopping, max_iter=5)
    ours, theirs = (search(model, grid, cv=3).fit(REAL, T) for search in (BPSearchCV, GridSearchCV))
    np.testing.assert_array_equal(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
