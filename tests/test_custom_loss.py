"""Losses of users' own: the same as those of the table, and as what they are made of; refused where they are wrong."""

import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import naive
import numpy as np
import pytest
from numba import njit
from scipy.optimize import approx_fprime
from sklearn.base import clone

import fastbp
from fastbp import BPClassifier, BPRegressor, BPSearchCV, CustomLoss, gradients
from fastbp.kernels import compiler

pytestmark = pytest.mark.xdist_group("custom losses")  # each compiles once

ROOT = Path(__file__).resolve().parents[1]
RANDOM = np.random.RandomState(0)
X = RANDOM.normal(size=(60, 3))
Y = np.column_stack([X[:, 0] + RANDOM.standard_t(3, 60), 3 * X[:, 1] * X[:, 2]])
WEIGHTS = RANDOM.uniform(0.5, 2.0, 60)
SLOPE_ABOVE = 3.0


def huber(prediction, target, delta):
    error = abs(prediction - target)
    return 0.5 * error * error if error <= delta else delta * (error - 0.5 * delta)


def huber_slope(prediction, target, delta):
    return max(-delta, min(delta, prediction - target))


def median(prediction, target):
    return abs(prediction - target)


def median_slope(prediction, target):
    error = prediction - target
    return 1.0 if error > 0.0 else (-1.0 if error < 0.0 else error)


@njit
def square(error):
    return error * error


def asymmetric(prediction, target):
    error = prediction - target
    return SLOPE_ABOVE * square(error) if error > 0.0 else square(error)


def asymmetric_slope(prediction, target):
    error = prediction - target
    return 2.0 * SLOPE_ABOVE * error if error > 0.0 else 2.0 * error


def gamma(prediction, target):
    return math.log(prediction / target) + target / prediction - 1.0


def gamma_slope(prediction, target):
    return (prediction - target) / prediction**2


def weights(model):
    return [*model.coefs_, *model.intercepts_]


@pytest.mark.parametrize(
    "options", [{}, {"solver": "sgd", "batch_size": 1, "learning_rate_init": 1e-3}, {"solver": "lbfgs"}], ids=str
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_like_a_loss_of_the_table_trains_to_the_same_bits(options, dtype):
    pairs = [
        (CustomLoss(huber, huber_slope, 0.7), {"loss": "huber", "delta": 0.7}),
        (CustomLoss(huber, huber_slope, [0.7, 0.7]), {"loss": "huber", "delta": 0.7}),
        (CustomLoss(median, median_slope), {"loss": "absolute_error"}),
        (CustomLoss(njit(median), njit(median_slope)), {"loss": "absolute_error"}),
    ]
    some = np.where(np.arange(Y.size).reshape(Y.shape) % 3 == 1, np.nan, Y)
    some[::7] = np.nan
    for loss, named in pairs:
        for targets, more in ((Y, {}), (Y, {"sample_weight": WEIGHTS}), (some, {})):
            is_missing = {} if targets is Y else {"missing_targets": "ignore"}
            if is_missing and isinstance(loss.parameter, tuple):
                continue
            own, other = (
                BPRegressor(hidden_layer_sizes=4, max_iter=5, random_state=0, **settings, **options, **is_missing).fit(
                    X.astype(dtype), targets, **more
                )
                for settings in ({"loss": loss}, named)
            )
            assert own.loss_ == other.loss_
            for mine, theirs in zip(weights(own), weights(other), strict=True):
                np.testing.assert_array_equal(mine, theirs)


def test_a_parameter_per_output_is_each_outputs_own():
    coefs, intercepts = [RANDOM.normal(size=(3, 2))], [RANDOM.normal(size=2)]
    together = gradients(coefs, intercepts, X, Y, loss=CustomLoss(huber, huber_slope, [0.3, 2.0]))
    for j, delta in enumerate((0.3, 2.0)):
        alone = gradients([coefs[0][:, [j]]], [intercepts[0][[j]]], X, Y[:, j], loss="huber", loss_parameter=delta)
        np.testing.assert_allclose(together.coefs[0][:, [j]], alone.coefs[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("loss", "output", "y"),
    [(CustomLoss(asymmetric, asymmetric_slope), "tanh", Y), (CustomLoss(gamma, gamma_slope), "exp", np.abs(Y) + 0.1)],
)
def test_gradients_are_finite_differences(loss, output, y):
    random = np.random.RandomState(1)
    coefs, intercepts = [random.normal(size=(3, 4)), random.normal(size=(4, 2))], [random.normal(size=4), random.normal(size=2)]
    options = {"loss": loss, "activation": "tanh", "output_activation": output, "sample_weight": WEIGHTS}
    result = gradients(coefs, intercepts, X, y, **options)
    outputs = naive.forward(coefs, intercepts, X, activation="tanh", output_activation=output)[-1]
    expected = [sum(loss.python("value")(p, t) for p, t in zip(*rows, strict=True)) for rows in zip(outputs, y, strict=True)]
    np.testing.assert_allclose(result.loss, np.average(expected, weights=WEIGHTS), rtol=1e-12)

    def loss_at(W):
        return gradients([coefs[0], W.reshape(4, 2)], intercepts, X, y, **options).loss

    np.testing.assert_allclose(result.coefs[1].ravel(), approx_fprime(coefs[1].ravel(), loss_at, 1e-7), rtol=1e-4, atol=1e-6)


def test_a_constant_that_changes_counts():
    global SLOPE_ABOVE

    def loss():
        return gradients([np.ones((3, 2))], [np.zeros(2)], X, Y, loss=CustomLoss(asymmetric, asymmetric_slope)).loss

    before, error = loss(), X.sum(axis=1, keepdims=True) - Y
    try:
        SLOPE_ABOVE = 5.0
        np.testing.assert_allclose(loss() - before, 2.0 * (np.maximum(error, 0) ** 2).sum(axis=1).mean(), rtol=1e-12)
    finally:
        SLOPE_ABOVE = 3.0


def test_early_stopping_goes_by_it():
    held_out, loss = np.arange(60) % 3 == 0, CustomLoss(asymmetric, asymmetric_slope)
    model = BPRegressor(loss, 4, max_iter=8, early_stopping=True, n_iter_no_change=20, random_state=0)
    model.fit(X[~held_out], Y[~held_out, 0], X_val=X[held_out], y_val=Y[held_out, 0])
    costs = [asymmetric(p, t) for p, t in zip(model.predict(X[held_out]), Y[held_out, 0], strict=True)]
    np.testing.assert_allclose(model.best_validation_score_, -np.mean(costs), rtol=1e-9)


def test_copies_searches_and_other_processes():
    loss = CustomLoss(asymmetric, asymmetric_slope)
    model = BPRegressor(loss, 4, max_iter=5, random_state=0)
    assert clone(model).loss == loss == pickle.loads(pickle.dumps(loss))
    assert "CustomLoss(asymmetric, asymmetric_slope)" in repr(model)
    first = model.fit(X, Y)
    again = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(again.predict(X), first.predict(X))
    for mine, theirs in zip(weights(first.partial_fit(X, Y)), weights(again.partial_fit(X, Y)), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    grid = {"loss": ["squared_error", loss], "alpha": [0.0, 0.1]}
    search = BPSearchCV(model, grid, cv=3, n_jobs=2).fit(X, Y)
    for settings, score in zip(search.cv_results_["params"], search.cv_results_["split0_test_score"], strict=True):
        alone = clone(model).set_params(**settings).fit(X[20:], Y[20:])
        np.testing.assert_allclose(score, alone.score(X[:20], Y[:20]), rtol=1e-12)


def test_what_only_predicts_needs_no_loss(tmp_path):
    model = BPRegressor(CustomLoss(asymmetric, asymmetric_slope), 4, max_iter=5, random_state=0).fit(X, Y)
    assert "void predict(const double x[3], double y[2])" in fastbp.to_c(model)
    with pytest.raises(ValueError, match=r"parameter 'loss' of this BPRegressor holds .*CustomLoss"):
        fastbp.save(model, tmp_path / "model.fastbp")
    expected = model.predict(X)
    fastbp.save(model.set_params(loss="squared_error"), tmp_path / "model.fastbp")
    np.testing.assert_array_equal(fastbp.load(tmp_path / "model.fastbp").predict(X), expected)


def twice(prediction, target):
    return 2.0 * (prediction - target)


def unsteady(prediction, target):
    return math.nan if target > 0.0 else square(prediction - target)


def failing(prediction, target):
    raise KeyError("no such price")


def plain_helper(error):
    return error * error


def with_helper(prediction, target):
    return plain_helper(prediction - target)


def with_exception(prediction, target):
    if prediction > 1e9:
        raise ValueError("too large")
    return square(prediction - target)


def with_list(prediction, target):
    parts = [prediction, target]
    parts.append(0.0)
    return square(parts[0] - parts[1])


WRONG = {
    "asymmetric changes by": (asymmetric, twice),
    "unsteady.* is nan: it must be finite": (unsteady, twice),
    "failing.* failed: KeyError: 'no such price'": (failing, twice),
}
NOT_COMPILED = {
    "numba cannot compile .*value: Untyped global name 'plain_helper'": with_helper,
    "numba cannot compile .*use no lists, new arrays, strings or exceptions": with_exception,
    "numba cannot compile .*no lists, new arrays": with_list,
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_ones_are_refused_with_numbers(message):
    model = BPRegressor(CustomLoss(*WRONG[message]), 4)
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)
    assert not hasattr(model, "coefs_")


@pytest.mark.skipif(compiler.IS_INTERPRETED, reason="Python runs them")
@pytest.mark.parametrize("message", NOT_COMPILED)
def test_what_cannot_be_compiled_is_refused(message):
    with pytest.raises(ValueError, match=message):
        BPRegressor(CustomLoss(NOT_COMPILED[message], twice), 4).fit(X, Y)


def test_bad_arguments_are_refused():
    loss = CustomLoss(median, median_slope)
    with pytest.raises(TypeError, match="slope must be a Python function"):
        CustomLoss(median, 1.0)
    for parameter in ([], [[1.0]], math.inf, "much"):
        with pytest.raises(ValueError, match="parameter must be a finite float"):
            CustomLoss(huber, huber_slope, parameter)
    with pytest.raises(ValueError, match="has 3 parameters, but the network has 2 outputs"):
        BPRegressor(CustomLoss(huber, huber_slope, [1.0, 2.0, 3.0]), 4).fit(X, Y)
    with pytest.raises(ValueError, match="lm"):
        BPRegressor(loss, 4, solver="lm").fit(X, Y)
    with pytest.raises(ValueError, match="'loss' parameter of BPClassifier"):
        BPClassifier(loss=loss).fit(X, Y[:, 0] > 0)


STORED = """
import sys
import numpy as np
from fastbp import CustomLoss
from fastbp.kernels import custom

def value(prediction, target):
    return 0.5 * (prediction - target) ** 2

def slope(prediction, target):
    return prediction - target

custom.prepare(CustomLoss(value, slope), np.dtype(np.float64))
print("numba" in sys.modules)
"""


@pytest.mark.slow
@pytest.mark.skipif(compiler.IS_INTERPRETED or compiler.IS_CHECKED, reason="nothing is stored")
def test_its_machine_code_is_stored(tmp_path):
    """Where it is, numba is not even imported."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)}
    for expected in ("True", "False"):
        run = subprocess.run([sys.executable, "-c", STORED], capture_output=True, text=True, env=environment)
        assert run.stdout.strip() == expected, run.stderr[-2000:]
