"""Targets that are missing: they count in no loss, gradient and score, and rows without any nowhere."""

import copy
import warnings

import naive
import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.preprocessing import StandardScaler
from test_naive import OUTPUTS, make_problem

import fastbp
from fastbp import BPClassifier, BPRegressor, BPSearchCV, gradients
from fastbp.names import LOSSES

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore:early_stopping=True:RuntimeWarning"
)

RANDOM = np.random.RandomState(0)
X = RANDOM.normal(size=(90, 4))
GONE = RANDOM.uniform(size=(90, 3)) < 0.3
GONE[:4] = True, True, True
WHOLE = np.column_stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2], X[:, 3] + 5.0]) + 0.1 * RANDOM.normal(size=(90, 3))
REAL = np.where(GONE, np.nan, WHOLE)
LABELS = np.where(GONE, np.nan, WHOLE > [0.0, 0.1, 5.2])
COLUMNS = np.where(GONE, np.nan, np.digitize(X[:, :3], [-0.5, 0.5]))
WEIGHTS = RANDOM.uniform(0.2, 3.0, 90)
KNOWN = ~GONE.all(axis=1)
PAIRS = [
    (output, loss)
    for loss in OUTPUTS
    for output in OUTPUTS[loss]
    if output in LOSSES[loss].outputs and output != "softmax" and not LOSSES[loss].has_score
]


def make(estimator=BPRegressor, **options):
    settings = {"hidden_layer_sizes": 6, "activation": "tanh", "max_iter": 4, "tol": 0.0, "random_state": 0, "batch_size": 16}
    return estimator(**{**settings, "missing_targets": "ignore"} | options)


def weights_of(model):
    return [array.copy() for array in (*model.coefs_, *model.intercepts_)]


def assert_same_bits(one, other):
    for mine, yours in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_array_equal(mine, yours)
    assert one.loss_ == other.loss_


# Loss and gradients


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_gradients_are_those_with_a_weight_per_output(pair, weighted):
    (output, loss), random_state = pair, np.random.RandomState(1)
    n_outputs = 6 if LOSSES[loss].has_spread else 3
    coefs, intercepts, inputs, Y = make_problem(loss, n_outputs, scale=0.1 if output == "exp" else 0.4, n_samples=12)
    counts = (random_state.uniform(size=(12, 3)) < 0.6).astype(float)
    counts[3] = 0.0
    own = random_state.uniform(0.5, 2.0, 12) if weighted else None
    result = gradients(
        coefs, intercepts, inputs, np.where(counts > 0, Y, np.nan), activation="tanh", output_activation=output, loss=loss,
        alpha=0.1, sample_weight=own, missing_targets="ignore",
    )  # fmt: skip
    counts *= 1.0 if own is None else own[:, np.newaxis]
    names = naive.layer_names("tanh", output, len(coefs))
    lists = [array.tolist() for array in coefs], [array.tolist() for array in intercepts]
    expected = naive.gradients_by_output(*lists, inputs.tolist(), Y.tolist(), counts.tolist(), names, loss, 0.1)
    np.testing.assert_allclose(result.loss, expected[0], rtol=1e-10)
    for mine, yours in zip(
        (*result.coefs, *result.intercepts, result.inputs), (*expected[1], *expected[2], expected[3]), strict=True
    ):
        np.testing.assert_allclose(mine, np.array(yours), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 7, 90])
@pytest.mark.parametrize("target", ["numbers", "labels"])
@pytest.mark.parametrize("options", [{}, {"sample_weight": WEIGHTS}], ids=["plain", "weighted"])
def test_an_epoch_takes_the_steps_of_these_gradients(batch_size, target, options):
    """In batches, per sample and of all rows; without momentum a step is the rate times the gradient."""
    Y, loss, output = (REAL, "squared_error", "identity") if target == "numbers" else (LABELS, "binary_log_loss", "logistic")
    model = make(
        BPRegressor if target == "numbers" else BPClassifier, solver="sgd", momentum=0.0, alpha=0.01, shuffle=False, max_iter=1,
        batch_size=batch_size, learning_rate_init=0.05,
    )  # fmt: skip
    start = copy.copy(model).set_params(learning_rate_init=1e-300).fit(X, Y, **options)
    params, losses = weights_of(start), []
    rows = np.flatnonzero(KNOWN)
    size = min(batch_size, len(rows))
    for first in range(0, len(rows), size):
        part = rows[first : first + size]
        own = {name: values[part] for name, values in options.items()}
        step = gradients(
            params[:2], params[2:], X[part], Y[part], activation="tanh", output_activation=output, loss=loss, alpha=0.01,
            missing_targets="ignore", **own,
        )  # fmt: skip
        losses.append(step.loss * len(part))
        params = [value - 0.05 * slope for value, slope in zip(params, (*step.coefs, *step.intercepts), strict=True)]
    model.fit(X, Y, **options)
    for mine, yours in zip(weights_of(model), params, strict=True):
        np.testing.assert_allclose(mine, yours, rtol=1e-9, atol=1e-12)
    assert model.loss_ == pytest.approx(sum(losses) / len(rows), rel=1e-9)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("solver", ["lbfgs", "lm"])
def test_solvers_over_all_rows_end_where_these_gradients_vanish(solver, weights):
    loss = {"lbfgs": "huber", "lm": "squared_error"}[solver]  # whose gradient is that of its loss for several outputs too
    model = make(solver=solver, loss=loss, max_iter=2000, alpha=0.5, tol=1e-7).fit(X, REAL, weights)
    options = {"activation": "tanh", "alpha": 0.5, "sample_weight": weights, "missing_targets": "ignore", "loss": loss}
    result = gradients(model.coefs_, model.intercepts_, X, REAL, **options)
    assert max(np.abs(slope).max() for slope in (*result.coefs, *result.intercepts)) < 3e-4
    assert model.loss_ == pytest.approx(result.loss, rel=1e-9)


def test_alpha_by_the_evidence_counts_targets_that_are_there():
    model = make(solver="lm", alpha="bayes", max_iter=200).fit(X, REAL)
    squares = np.nansum((model.predict(X) - REAL) ** 2)
    assert model.noise_variance_ == pytest.approx(squares / (np.count_nonzero(~GONE) - model.n_effective_parameters_), rel=1e-6)


# Rows without any target

EVERYWHERE = {
    "adam": {},
    "per sample": {"solver": "sgd", "batch_size": 1},
    "all rows": {"batch_size": 90},
    "lbfgs": {"solver": "lbfgs"},
    "rprop": {"solver": "rprop"},
    "stopping": {"early_stopping": True, "validation_fraction": 0.3},
    "lbfgs, stopping": {"solver": "lbfgs", "early_stopping": True, "validation_fraction": 0.3},
    "refit": {"early_stopping": True, "validation_fraction": 0.3, "refit": True},
    "dropout": {"dropout": 0.2},
    "scaled": {"input_scaling": "standard"},
    "start": {"init": "data"},
    "restarts": {"n_restarts": 3},
    "importances": {"feature_importances": True, "record_gradient_norms": True},
}
REAL_ALONE = {"lm": {"solver": "lm"}, "targets scaled": {"target_scaling": "standard"}, "huber": {"loss": "huber"}}
CLASSES_ALONE = {
    "balanced": {"class_weight": "balanced"},
    "focal": {"loss": "focal"},
    "smooth": {"label_smoothing": 0.1},
    "calibrated": {"calibration": "temperature", "early_stopping": True, "validation_fraction": 0.3},
}
CASES = [(BPRegressor, REAL, options) for options in (EVERYWHERE | REAL_ALONE).values()]
CASES += [(BPClassifier, LABELS, options) for options in (EVERYWHERE | CLASSES_ALONE).values()]
CASES += [(BPClassifier, COLUMNS, options) for name, options in EVERYWHERE.items()]
CASES += [(BPClassifier, COLUMNS[:, 0], {}), (BPRegressor, REAL[:, 1], {"loss": "quantile", "quantile": [0.2, 0.8]})]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0].__name__}-{case[1].ndim}-{case[2]}")
def test_a_row_without_targets_is_as_if_it_were_not_there(case):
    estimator, Y, options = case
    known = KNOWN if Y.ndim == 2 else ~np.isnan(Y)
    one = make(estimator, **options).fit(X, Y, WEIGHTS)
    other = make(estimator, **options).fit(X[known], Y[known], WEIGHTS[known])
    assert_same_bits(one, other)
    assert one.score(X, Y, WEIGHTS) == other.score(X[known], Y[known], WEIGHTS[known])
    for name in ("validation_scores_", "t_", "feature_importances_", "temperature_"):
        np.testing.assert_array_equal(getattr(one, name, None), getattr(other, name, None))


@pytest.mark.parametrize("Y", [REAL, LABELS, COLUMNS], ids=["numbers", "labels", "columns"])
@pytest.mark.parametrize("container", [np.asarray, csr_matrix, np.float32])
def test_nothing_missing_is_the_usual_fit(container, Y):
    estimator, whole = (BPRegressor, WHOLE) if Y is REAL else (BPClassifier, np.nan_to_num(Y, nan=1.0))
    for options in ({}, {"solver": "lbfgs"}):
        models = [make(estimator, **options, missing_targets=value).fit(container(X), whole) for value in ("ignore", "error")]
        assert_same_bits(*models)


# Scores


@pytest.mark.parametrize("solver", ["adam", "lbfgs", "sgd", "rprop"])
def test_validation_and_scores_leave_them_out(solver):
    rows, others = slice(0, 60), slice(60, 90)
    own = {"X_val": X[others], "y_val": REAL[others], "sample_weight_val": WEIGHTS[others]}
    model = make(solver=solver).fit(X[rows], REAL[rows], **own)
    predicted, weights = model.predict(X), WEIGHTS[others]
    per_output = [
        r2_score(*(part[others, j][~GONE[others, j]] for part in (REAL, predicted)), sample_weight=weights[~GONE[others, j]])
        for j in range(3)
    ]
    assert model.validation_scores_[-1] == pytest.approx(np.mean(per_output), rel=1e-12)
    assert model.score(X[others], REAL[others], weights) == pytest.approx(np.mean(per_output), rel=1e-12)
    squares = 0.5 * np.nansum((predicted - REAL)[others] ** 2, axis=1) / 3
    known = KNOWN[others]
    assert model.validation_loss_curve_[-1] == pytest.approx(np.average(squares[known], weights=weights[known]), rel=1e-12)
    labels = make(BPClassifier, solver=solver).fit(X[rows], LABELS[rows], X_val=X[others], y_val=LABELS[others])
    said = labels.predict(X[others])
    right = [all(t == p for t, p in zip(truth, guess) if t == t) for truth, guess in zip(LABELS[others], said)]
    expected = accuracy_score(np.ones(known.sum()), np.array(right, dtype=float)[known])
    assert labels.validation_scores_[-1] == labels.score(X[others], LABELS[others]) == pytest.approx(expected, rel=1e-12)


def test_scaled_targets_are_scaled_by_those_that_are_there():
    model = make(target_scaling="standard").fit(X, REAL)
    np.testing.assert_allclose(model.target_scaler_.mean_, np.nanmean(REAL, axis=0), rtol=1e-12)
    np.testing.assert_allclose(model.target_scaler_.var_, np.nanvar(REAL, axis=0), rtol=1e-12)
    by_hand = StandardScaler().fit_transform(REAL)
    np.testing.assert_allclose(make().fit(X, by_hand).coefs_[0], model.coefs_[0], rtol=1e-6)


def test_classes_are_weighed_by_labels_that_are_there():
    tables = [{0: 0.5, 1: 2.0}, {0: 1.0, 1: 3.0}, {0: 1.0, 1: 1.0}]
    factors = np.ones(90)
    for column, table in zip(LABELS.T, tables, strict=True):
        factors *= [table.get(label, 1.0) for label in column]
    assert_same_bits(make(BPClassifier, class_weight=tables).fit(X, LABELS), make(BPClassifier).fit(X, LABELS, factors))


@pytest.mark.parametrize("estimator", [BPRegressor, BPClassifier])
def test_searches_score_what_is_there(estimator):
    Y = REAL if estimator is BPRegressor else LABELS
    ours = BPSearchCV(make(estimator), {"alpha": [1e-4, 10.0]}, cv=3).fit(X, Y)
    theirs = GridSearchCV(make(estimator), {"alpha": [1e-4, 10.0]}, cv=KFold(3)).fit(X, Y)  # stratified it refuses NaN
    np.testing.assert_array_equal(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    assert np.isfinite(ours.cv_results_["mean_test_score"]).all()


# The rest


@pytest.mark.parametrize("options", [{}, {"batch_size": 90}, {"solver": "lbfgs"}, {"solver": "lm"}], ids=str)
def test_the_number_of_threads_makes_no_difference(options, teams_for_any_work):
    inputs, Y = np.tile(X, (4, 1)), np.tile(REAL, (4, 1))
    one, two = (make(hidden_layer_sizes=(20, 9), n_threads=n, max_iter=2, **options).fit(inputs, Y) for n in (1, 2))
    assert_same_bits(one, two)


def test_partial_fit_files_and_a_warm_start(tmp_path):
    parts, whole = make(shuffle=False), make(shuffle=False, max_iter=3)
    for _ in range(3):
        parts.partial_fit(X, REAL)
    np.testing.assert_array_equal(parts.coefs_[0], whole.fit(X, REAL).coefs_[0])
    fastbp.save(parts, tmp_path / "model.safetensors")
    again = fastbp.load(tmp_path / "model.safetensors")
    assert again.missing_targets == "ignore"
    assert_same_bits(again.partial_fit(X, REAL), parts.partial_fit(X, REAL))
    classifier = make(BPClassifier).partial_fit(X[:20], LABELS[:20], classes=[0, 1, 2])
    empty = np.where([True, False, False], np.nan, LABELS)  # of a label that no row has in this part
    assert np.isfinite(classifier.partial_fit(X, empty).loss_)


BAD = {
    "error": ({"missing_targets": "error"}, REAL, "NaN"),
    "infinite": ({}, np.where(GONE, np.inf, WHOLE), "infinity"),
    "all": ({}, np.full((90, 3), np.nan), "all are missing"),
    "column": ({}, np.where([True, False, False], np.nan, WHOLE), r"no target at all in the columns \[0\]"),
    "value": ({"missing_targets": "mean"}, REAL, "'missing_targets' parameter of BPRegressor must be a str among"),
    "range": ({"loss": "poisson"}, REAL, "out of the valid range"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(name):
    options, Y, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        make(**options).fit(X, Y)
    with pytest.raises(ValueError, match="NaN"):
        make(BPClassifier, missing_targets="error").fit(X, LABELS)
    with pytest.raises(ValueError, match="one loss_parameter"):
        model = make(loss="quantile").fit(X, REAL)
        gradients(
            model.coefs_, model.intercepts_, X, REAL, loss="quantile", loss_parameter=[0.1, 0.5, 0.9], missing_targets="ignore"
        )


def test_y_stays_what_it_was():
    before = REAL.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make(early_stopping=True).fit(X, REAL, X_val=X, y_val=REAL)
    np.testing.assert_array_equal(before, REAL)
