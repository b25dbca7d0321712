"""The estimators' own work: parameters, bad input, labels, weights in and out."""

import copy
import inspect
import pickle
import re
import sys
import tracemalloc
import warnings

import joblib
import naive
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from scipy.special import huber
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_validate, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from streams import Interrupt

from fastbp import BPClassifier, BPRegressor, BPSearchCV
from fastbp.estimators import parameters
from fastbp.names import INITIALISATIONS, OUTPUT_ACTIVATIONS
from fastbp.training.initialisation import draw_parameters
from fastbp.training.solvers import TRAINERS

X_IRIS, Y_IRIS = load_iris(return_X_y=True)
X_TINY = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
Y_TINY = np.array([0, 1, 1, 0])
TWINS = [(BPClassifier, MLPClassifier), (BPRegressor, MLPRegressor)]
BOTH = [BPClassifier, BPRegressor]
SOLVERS = ["lbfgs", "sgd", "adam"]


def weights(estimator):
    return [*estimator.coefs_, *estimator.intercepts_]


def assert_same_weights(a, b, **tolerance):
    for left, right in zip(weights(a), weights(b), strict=True):
        np.testing.assert_allclose(left, right, **{"rtol": 1e-12, **tolerance})


@parametrize_with_checks(
    [
        BPClassifier(max_iter=100),
        BPClassifier(max_iter=100, solver="lbfgs"),
        BPRegressor(max_iter=100, solver="sgd"),
        BPRegressor(n_restarts=2),
    ]
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


# Constructor and documentation


@pytest.mark.parametrize(("ours", "theirs"), TWINS)
def test_constructor_begins_like_scikit_learns(ours, theirs):
    """Names, order, defaults and kinds; fastbp's own parameters follow, keyword-only."""
    expected = list(inspect.signature(theirs).parameters.values())
    actual = list(inspect.signature(ours).parameters.values())
    if ours is BPRegressor and expected[0].name != "loss":
        actual = actual[1:]  # scikit-learn before 1.7
    for mine, other in zip(actual, expected, strict=False):
        assert (mine.name, mine.default, mine.kind) == (other.name, other.default, other.kind)
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in actual[len(expected) :])


@pytest.mark.parametrize("estimator", BOTH)
def test_every_parameter_is_documented_and_has_a_rule(estimator):
    names = list(inspect.signature(estimator).parameters)
    assert set(estimator()._rules) == set(names)
    assert [line.split(" :")[0] for line in parameter_section(estimator.__doc__) if line[:1].strip()] == names


def parameter_section(text):
    lines = inspect.cleandoc(text).split("\n")
    return lines[lines.index("Parameters") + 2 : lines.index("Attributes")][:-1]


# Bad input


@pytest.fixture
def no_kernels(monkeypatch):
    """Fail if anything reaches the kernels."""

    def forbidden(*args, **kwargs):
        raise AssertionError("a kernel was run")

    for name in TRAINERS:
        monkeypatch.setitem(TRAINERS, name, forbidden)
    monkeypatch.setattr("fastbp.training.predict.predict_outputs", forbidden)


def error_of(action):
    with warnings.catch_warnings(), pytest.raises(Exception) as caught:
        warnings.simplefilter("ignore")
        action()
    return caught.value


def assert_same_error(ours, theirs, cut=None):
    """Same text apart from the class's name, and a class that catches what scikit-learn's does."""
    mine, other = error_of(ours), error_of(theirs)
    text = str(other).replace("MLP", "BP")
    assert str(mine).split(cut)[0] == text.split(cut)[0] if cut else str(mine) == text
    public = {ValueError, TypeError, AttributeError, NotFittedError}
    assert {kind for kind in public if isinstance(other, kind)} == {kind for kind in public if isinstance(mine, kind)}


BAD_PARAMETERS = {
    "hidden_layer_sizes": [-1, 0, 1.5, None, "64-", "wide"],
    "activation": ["ReLU", None, 3],
    "solver": ["Adam", None],
    "alpha": [-1, "1", np.nan, np.inf, None],
    "batch_size": [0, -1, 1.5, "all", None],
    "learning_rate": ["linear", 0.1],
    "learning_rate_init": [0, -0.1, np.inf, "0.1"],
    "power_t": [-1, None],
    "max_iter": [0, -1, 1.5, "10"],
    "shuffle": [1, "yes", None],
    "random_state": [-1, 2**32, "seed", 1.5],
    "tol": [-1, None],
    "verbose": [-1, "yes", None],
    "warm_start": [0, None],
    "momentum": [-0.1, 1.1],
    "nesterovs_momentum": [1],
    "early_stopping": ["True"],
    "validation_fraction": [-0.1, 1, 1.0],
    "beta_1": [-0.1, 1],
    "beta_2": [-0.1, 1.0],
    "epsilon": [0, -1],
    "n_iter_no_change": [0, -1, 2.5, -np.inf],
    "max_fun": [0, 1.5],
}


@pytest.mark.parametrize(("ours", "theirs"), TWINS)
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD_PARAMETERS.items() for value in values])
def test_bad_parameters(ours, theirs, name, value, no_kernels):
    option = {name: value}
    # of these scikit-learn's text lists fewer names, or in the order of a set
    cut = None if name in {"alpha", "momentum", "max_iter", "epsilon", "validation_fraction", "max_fun"} else " must be"
    if (name, ours) == ("alpha", BPRegressor):  # which takes "bayes" too
        cut = "[0.0, inf)"
    assert_same_error(lambda: ours(**option).fit(X_TINY, Y_TINY), lambda: theirs(**option).fit(X_TINY, Y_TINY), cut)


def test_bad_parameter_says_what_is_allowed():
    message = r"The 'alpha' parameter of BPClassifier must be a float in the range \[0.0, inf\). Got -1 instead."
    with pytest.raises(parameters.InvalidParameterError, match=message) as caught:
        BPClassifier(alpha=-1).fit(X_TINY, Y_TINY)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("sizes", [(0,), (3, -1), [-2]])
def test_sizes_that_are_not_positive(sizes, no_kernels):
    options = {"hidden_layer_sizes": sizes}
    assert_same_error(lambda: BPClassifier(**options).fit(X_TINY, Y_TINY), lambda: MLPClassifier(**options).fit(X_TINY, Y_TINY))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_layer_sizes": (2.5,)}, "integers"),
        ({"hidden_layer_sizes": "0-2"}, "must be > 0"),
        ({"activation": ["relu"], "hidden_layer_sizes": (2, 2)}, "names 1 layers but the network has 2"),
        ({"activation": ["softmax"]}, "'activation' parameter of BPClassifier"),
        ({"init": "xavier"}, "'init' parameter"),
        ({"init": ([np.zeros((2, 3))],)}, "'init' parameter"),
        ({"init": ([np.zeros((2, 3)), np.zeros((3, 1))], [np.zeros(3), np.zeros(1)])}, r"layers \[2, 3, 1\]"),
        ({"init": ([np.zeros((2, 3)), np.zeros((4, 1))], [np.zeros(3), np.zeros(1)])}, "do not fit"),
        ({"init": ([np.zeros((2, 3))], [])}, "one array per layer"),
        ({"init": ([[["a"], ["b"]]], [[0.0]])}, "real numbers"),
        ({"init_scale": 0}, "'init_scale' parameter"),
        ({"fit_intercept": 1}, "'fit_intercept' parameter"),
        ({"output_activation": "sigmoid"}, "'output_activation' parameter"),
        ({"output_activation": "tanh"}, "does not go with the loss 'binary_log_loss'"),
        ({"validation_split": "grouped"}, "'validation_split' parameter"),
        ({"n_restarts": 0}, "'n_restarts' parameter"),
        ({"n_threads": 0}, "'n_threads' parameter"),
    ],
)
def test_bad_own_parameters(options, message, no_kernels):
    with pytest.raises(ValueError, match=message):
        BPClassifier(**options).fit(X_TINY, Y_TINY)


def with_entry(value):
    X = X_TINY.copy()
    X[1, 1] = value
    return X


BAD_DATA = {
    "nan": (with_entry(np.nan), Y_TINY),
    "inf": (with_entry(np.inf), Y_TINY),
    "inf in float32": (with_entry(np.inf).astype(np.float32), Y_TINY),
    "nan in a sparse matrix": (scipy.sparse.csr_matrix(with_entry(np.nan)), Y_TINY),
    "no rows": (X_TINY[:0], Y_TINY[:0]),
    "no columns": (X_TINY[:, :0], Y_TINY),
    "one dimension": (X_TINY[:, 0], Y_TINY),
    "three dimensions": (X_TINY[np.newaxis], Y_TINY[:1]),
    "a number": (3.0, Y_TINY),
    "too few targets": (X_TINY, Y_TINY[:2]),
    "words in X": ([["a", "b"], ["c", "d"]], [0, 1]),
    "objects in X": (np.array([[object(), 1.0], [2.0, 3.0]]), [0, 1]),
    "ragged": ([[1.0, 2.0], [3.0]], [0, 1]),
    "complex": (X_TINY + 1j, Y_TINY),
    "nan in y": (X_TINY, [0.0, np.nan, 1.0, 1.0]),
    "inf in y": (X_TINY, [0.0, np.inf, 1.0, 1.0]),
    "no y": (X_TINY, None),
    "y in three dimensions": (X_TINY, np.zeros((4, 2, 2))),
}


@pytest.mark.parametrize(("ours", "theirs"), TWINS)
@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data(ours, theirs, case, no_kernels):
    X, y = BAD_DATA[case]
    with np.errstate(all="ignore"):
        assert_same_error(lambda: ours().fit(X, y), lambda: theirs().fit(X, y))


@pytest.mark.parametrize(
    "y",
    [
        [0.1, 0.2, 0.3, 0.4],
        [[0.5, 1], [2, 3], [1, 1], [0, 0]],
        np.array([object(), object(), object(), object()]),
        np.array([1, "a", 2, "b"], dtype=object),
        np.array([b"a", b"b", b"a", b"b"], dtype=object),
    ],
    ids=["continuous", "continuous multioutput", "objects", "mixed", "bytes"],
)
def test_bad_labels(y, no_kernels):
    assert_same_error(lambda: BPClassifier().fit(X_TINY, y), lambda: MLPClassifier().fit(X_TINY, y), cut="(")


@pytest.mark.parametrize(
    ("y", "message"),
    [(list("abcd"), "could not convert string to float"), (np.array([0, 1, None, 1], dtype=object), "Input y contains NaN")],
)
def test_bad_regression_targets(y, message, no_kernels):
    """Where scikit-learn fails only in the middle of training."""
    with pytest.raises(ValueError, match=message):
        BPRegressor().fit(X_TINY, y)


@pytest.mark.parametrize(
    "sample_weight",
    [[1, 2], [[1, 2], [3, 4], [5, 6], [7, 8]], [1, np.nan, 1, 1], ["a", "b", "c", "d"], [1j, 1, 1, 1]],
    ids=["length", "dimensions", "nan", "words", "complex"],
)
@pytest.mark.parametrize(("ours", "theirs"), TWINS)
def test_bad_sample_weight(ours, theirs, sample_weight, no_kernels):
    if "sample_weight" not in inspect.signature(theirs.fit).parameters:
        pytest.skip("scikit-learn before 1.7 takes no sample_weight here")
    assert_same_error(lambda: ours().fit(X_TINY, Y_TINY, sample_weight), lambda: theirs().fit(X_TINY, Y_TINY, sample_weight))


def test_no_weight_at_all(no_kernels):
    with pytest.raises(ValueError, match="at least one non-zero"):
        BPClassifier().fit(X_TINY, Y_TINY, np.zeros(4))


@pytest.mark.parametrize(("ours", "theirs"), TWINS)
@pytest.mark.parametrize("X", [X_TINY[:, :1], with_entry(np.nan), X_TINY[0], X_TINY[:0], X_TINY + 1j])
def test_bad_prediction_input(ours, theirs, X, request):
    mine, other = ours(max_iter=1).fit(X_TINY, Y_TINY), theirs(max_iter=1).fit(X_TINY, Y_TINY)
    request.getfixturevalue("no_kernels")
    assert_same_error(lambda: mine.predict(X), lambda: other.predict(X))


@pytest.mark.parametrize(("ours", "theirs"), TWINS)
def test_prediction_before_fit(ours, theirs):
    assert_same_error(lambda: ours().predict(X_TINY), lambda: theirs().predict(X_TINY))


@pytest.mark.parametrize(("ours", "theirs"), TWINS)
def test_misused_partial_fit_and_early_stopping(ours, theirs, no_kernels):
    with pytest.raises(AttributeError) as caught:
        ours(solver="lbfgs").partial_fit  # noqa: B018
    assert "partial_fit is only available for stochastic optimizers. lbfgs is not stochastic." in str(caught.value.__cause__)
    assert not hasattr(ours(solver="lbfgs"), "partial_fit")
    classes = {"classes": [0, 1]} if ours is BPClassifier else {}
    for model in (ours, theirs):
        message = str(error_of(lambda model=model: model(early_stopping=True).partial_fit(X_TINY, Y_TINY, **classes)))
        assert message == "partial_fit does not support early_stopping=True"
    with pytest.raises(ValueError, match=r"The validation set is too small\. Increase 'validation_fraction' or the size"):
        ours(early_stopping=True).fit(X_TINY[:2], [1, 1])


def test_misused_classes():
    def first(model, **options):
        return model(max_iter=1, random_state=0, **options).fit(X_IRIS, Y_IRIS)

    for action in (
        lambda model: model().partial_fit(X_TINY, Y_TINY),
        lambda model: model().partial_fit(X_TINY, Y_TINY, classes=[2]),
        lambda model: first(model).partial_fit(X_IRIS, Y_IRIS, classes=[0, 1]),
        lambda model: first(model).partial_fit(X_IRIS, Y_IRIS + 1),
        lambda model: first(model, warm_start=True).fit(X_IRIS, Y_IRIS + 1),
        lambda model: first(model, warm_start=True).fit(X_IRIS, Y_IRIS > 0),
        lambda model: model(early_stopping=True).fit(X_TINY, [0, 0, 0, 1]),
    ):
        assert_same_error(lambda action=action: action(BPClassifier), lambda action=action: action(MLPClassifier))


@pytest.mark.parametrize("y", [Y_IRIS[:, np.newaxis] == [0, 1, 2], (Y_IRIS[:, np.newaxis] == [0, 1]) * 1])
def test_other_kind_of_labels_in_partial_fit(y):
    classifier = BPClassifier(max_iter=1).fit(X_IRIS, Y_IRIS)
    with pytest.raises(ValueError, match="needs the loss 'binary_log_loss'"):
        classifier.partial_fit(X_IRIS, y)


def test_poisson_targets_below_zero(no_kernels):
    with pytest.raises(ValueError, match="out of the valid range of the loss 'poisson'"):
        BPRegressor("poisson").fit(X_TINY, [-1, 0, 1, 2])


def test_target_too_large_for_float32(no_kernels):
    with pytest.raises(ValueError, match="too large for dtype"), warnings.catch_warnings():
        warnings.simplefilter("error")  # also of NumPy's
        BPRegressor().fit(X_TINY.astype(np.float32), [1e39, 0, 0, 0])


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("integer", [np.int8, np.uint8, np.int16, np.int32, np.int64])
def test_narrow_integers(solver, integer):
    X, y = np.ones((3000, 200)), np.arange(3000.0) / 3000
    X[:, 0] = y
    options = {"hidden_layer_sizes": (300,), "solver": solver, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = BPRegressor(**options, max_iter=integer(2), n_threads=integer(1), max_fun=integer(100)).fit(X, y)
    assert model.n_iter_ == 2


# Training that fails


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_divergence_names_epoch_and_remedy_and_keeps_finite_weights(estimator, solver):
    model = estimator(random_state=0, activation="identity", solver=solver, learning_rate_init=1e155)
    with pytest.raises(ValueError, match=r"Solver produced non-finite parameter weights.*epoch \d+.*learning_rate_init"):
        model.fit(X_IRIS, Y_IRIS)
    assert all(np.isfinite(array).all() for array in weights(model))


@pytest.mark.parametrize("solver, when", [("lbfgs", "iteration 1"), ("sgd", "epoch 1"), ("rprop", "epoch 1")])
@pytest.mark.parametrize(
    "unit_X, unit_y, found",
    [
        (1e200, 1, r"values of X \(up to 7.9e\+200\) are large: scale X"),
        (1, 1e300, r"values of y \(up to 2e\+300\) are large: scale y"),
        (1e200, 1e300, r"values of X \(up to 7.9e\+200\) and y \(up to 2e\+300\) are large: scale X .*, or scale y"),
    ],
)
def test_divergence_says_whether_inputs_or_targets_are_large(solver, when, unit_X, unit_y, found):
    model = BPRegressor(hidden_layer_sizes=3, activation="identity", solver=solver, random_state=0)
    with pytest.raises(ValueError, match=rf"Solver produced non-finite parameter weights.*{when}\. The {found}"):
        model.fit(X_IRIS * unit_X, Y_IRIS * unit_y)
    assert all(np.isfinite(array).all() for array in weights(model))


def test_divergence_looks_at_the_values_that_the_network_sees():
    options = {"solver": "sgd", "activation": "identity", "learning_rate_init": 1e155, "random_state": 0}
    codes = np.column_stack([X_IRIS, np.arange(150)])  # codes of categories are no large numbers
    with pytest.raises(
        ValueError, match=r"values of X \(up to 7.9\) are not large: lower learning_rate_init from 1e\+155\."
    ) as caught:
        BPClassifier(categorical_features=[4], **options).fit(codes, Y_IRIS)
    assert "may contain large values" not in str(caught.value)
    with pytest.raises(ValueError, match=r"values of X \(up to [23]\.\d+\) and y \(up to 2\) are not large"):
        BPRegressor(input_scaling="standard", **options).fit(X_IRIS * 1e200, Y_IRIS)


def test_divergence_with_early_stopping_keeps_the_best():
    model = BPRegressor(solver="sgd", activation="identity", learning_rate_init=1, early_stopping=True, random_state=0)
    with pytest.warns(ConvergenceWarning, match="no longer finite after epoch"):
        model.fit(X_IRIS, Y_IRIS)
    assert np.isnan(model.validation_scores_[-1])
    assert np.isfinite(model.predict(X_IRIS)).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_convergence_warning(solver):
    with pytest.warns(ConvergenceWarning) as caught:
        BPClassifier(solver=solver, max_iter=2, random_state=0).fit(X_IRIS, Y_IRIS)
    message = str(caught.pop(ConvergenceWarning).message)
    assert not caught.list
    if solver == "lbfgs":
        assert message.startswith("lbfgs failed to converge after 2 iteration(s) (status=1)")
        assert "Increase the number of iterations to improve the convergence (max_iter=2)." in message
    else:
        with pytest.warns(ConvergenceWarning, match=re.escape(message)):
            MLPClassifier(solver=solver, max_iter=2, random_state=0).fit(X_IRIS, Y_IRIS)


@pytest.mark.parametrize("solver", SOLVERS)
def test_interrupt_keeps_the_weights(solver, monkeypatch):
    model = BPClassifier(solver=solver, random_state=0, verbose=True, tol=0)
    monkeypatch.setattr(sys, "stdout", Interrupt(4))
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X_IRIS, Y_IRIS)
    monkeypatch.undo()
    assert model.n_iter_ == 5
    reference = BPClassifier(solver=solver, random_state=0, max_iter=5, tol=0).fit(X_IRIS, Y_IRIS)
    assert_same_weights(model, reference)


@pytest.mark.parametrize(("verbose", "epochs"), [(True, range(1, 8)), (3, [3, 6, 7]), (10, [7]), (0, [])])
def test_verbose(verbose, epochs, capsys):
    model = BPRegressor(max_iter=7, verbose=verbose, random_state=0).fit(X_IRIS, Y_IRIS)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"Iteration {epoch}, loss = {model.loss_curve_[epoch - 1]:.8f}" for epoch in epochs]


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("learning_rate", ["constant", "adaptive"])
def test_verbose_prints_what_scikit_learn_prints(learning_rate, early_stopping, capsys):
    options = {
        "solver": "sgd",
        "learning_rate": learning_rate,
        "tol": 0.5,
        "n_iter_no_change": 2,
        "early_stopping": early_stopping,
        "verbose": True,
        "random_state": 0,
    }
    outputs = []
    for model in (BPClassifier, MLPClassifier):
        model(**options).fit(X_IRIS, Y_IRIS)
        outputs.append(capsys.readouterr().out.splitlines())
    assert outputs[0] == outputs[1]
    assert outputs[0][-1].endswith("Stopping.")


# fastbp's own parameters


@pytest.mark.parametrize(("sizes", "widths"), [(7, [7]), ("7", [7]), ("5-3", [5, 3]), (np.array([5, 3]), [5, 3]), ((), [])])
def test_hidden_layer_sizes(sizes, widths):
    model = BPClassifier(sizes, max_iter=1).fit(X_IRIS, Y_IRIS)
    assert [W.shape[1] for W in model.coefs_] == [*widths, 3]
    assert model.n_layers_ == len(widths) + 2


def test_one_activation_per_layer():
    X = X_IRIS - X_IRIS.mean(axis=0)
    options = {"hidden_layer_sizes": (5, 4), "max_iter": 3, "random_state": 0}
    one_name, two_names = (BPRegressor(activation=names, **options).fit(X, Y_IRIS) for names in ("tanh", ["tanh", "tanh"]))
    assert_same_weights(one_name, two_names)
    mixed = BPRegressor(activation=("tanh", "leaky_relu"), **options).fit(X, Y_IRIS)
    inner = np.tanh(X @ mixed.coefs_[0] + mixed.intercepts_[0])
    outer = inner @ mixed.coefs_[1] + mixed.intercepts_[1]
    outer = np.where(outer < 0, 0.01 * outer, outer)
    np.testing.assert_allclose(mixed.predict(X), (outer @ mixed.coefs_[2] + mixed.intercepts_[2])[:, 0], rtol=1e-12)


@pytest.mark.parametrize("init", [name for name in INITIALISATIONS if name != "data"])  # which has no scale: its units get theirs
def test_init_and_its_scale(init):
    """A rate so small that the weights stay where they started."""
    options = {"hidden_layer_sizes": 500, "init": init, "max_iter": 1, "learning_rate_init": 1e-300, "random_state": 0}
    plain = BPRegressor(**options).fit(X_IRIS, Y_IRIS)
    scaled = BPRegressor(**options, init_scale=0.01).fit(X_IRIS, Y_IRIS)
    for one, hundredth in zip(weights(plain), weights(scaled), strict=True):
        np.testing.assert_allclose(hundredth, 0.01 * one, rtol=1e-12, atol=1e-290)
    W = plain.coefs_[0]
    variance = {
        "glorot_uniform": 2 / 504, "glorot_normal": 2 / 504, "he_uniform": 2 / 4, "he_normal": 2 / 4, "lecun_uniform": 1 / 4,
        "lecun_normal": 1 / 4, "orthogonal": 1 / 500, "normal": 1, "zeros": 0,
    }[init]  # fmt: skip
    np.testing.assert_allclose(W.var(), variance, rtol=0.1, atol=1e-290)
    if init.endswith("uniform"):
        assert abs(W).max() <= np.sqrt(3 * variance)
    if init != "glorot_uniform":
        assert not plain.intercepts_[0].any() or abs(plain.intercepts_[0]).max() < 1e-290


def test_orthogonal_start():
    """Columns of the first layer's weights, rows of the second's, are orthonormal, and each direction as likely as another."""
    for dtype, tolerance in ((np.float64, 1e-14), (np.float32, 1e-6)):
        draws = []
        for seed in range(200):
            random_state = np.random.RandomState(seed)
            coefs, _ = draw_parameters([7, 3, 5], ["tanh"] * 2, init="orthogonal", random_state=random_state, dtype=dtype)
            np.testing.assert_allclose(coefs[0].T @ coefs[0], np.eye(3), atol=tolerance)
            np.testing.assert_allclose(coefs[1] @ coefs[1].T, np.eye(3), atol=tolerance)
            draws.append(coefs[0])
        assert np.abs(np.mean(draws, axis=0)).max() < 5 * np.sqrt(1 / 7 / 200)  # without the signs, R's would show


def test_init_takes_given_weights_and_leaves_them_alone():
    rng = np.random.RandomState(0)
    coefs, intercepts = [rng.randn(4, 3), rng.randn(3, 3)], [np.full(3, 0.1), np.full(3, 0.2)]
    before = copy.deepcopy((coefs, intercepts))
    model = BPClassifier(3, init=(coefs, intercepts), max_iter=3, random_state=0).fit(X_IRIS, Y_IRIS)
    np.testing.assert_equal((coefs, intercepts), before)
    preset = MLPClassifier(3, warm_start=True, max_iter=1, random_state=0).fit(X_IRIS, Y_IRIS).set_params(max_iter=3)
    preset.coefs_, preset.intercepts_ = before
    assert_same_weights(model, preset.fit(X_IRIS, Y_IRIS), rtol=1e-9)
    assert_same_weights(clone(model).fit(X_IRIS, Y_IRIS), model)


@pytest.mark.parametrize("solver", SOLVERS)
def test_without_intercepts(solver):
    model = BPRegressor(hidden_layer_sizes=5, solver=solver, fit_intercept=False, max_iter=5, random_state=0).fit(X_IRIS, Y_IRIS)
    assert not any(b.any() for b in model.intercepts_)
    hidden = np.maximum(X_IRIS @ model.coefs_[0], 0)
    np.testing.assert_allclose(model.predict(X_IRIS), (hidden @ model.coefs_[1])[:, 0], rtol=1e-10)


@pytest.mark.parametrize("name", [name for name in OUTPUT_ACTIVATIONS if name != "softmax"])
def test_output_activation(name):
    model = BPRegressor(hidden_layer_sizes=3, output_activation=name, max_iter=2, random_state=0).fit(X_IRIS, Y_IRIS / 3)
    assert model.out_activation_ == name
    z = np.maximum(X_IRIS @ model.coefs_[0] + model.intercepts_[0], 0) @ model.coefs_[1] + model.intercepts_[1]
    expected = np.frompyfunc(naive.UNITS[name], 1, 1)(z).astype(float)
    np.testing.assert_allclose(model.predict(X_IRIS), expected[:, 0], rtol=1e-9, atol=1e-12)


def test_stratified_validation():
    """Every class gets its share of the validation rows; the default leaves three classes to chance, as scikit-learn does."""
    rows = np.r_[0:50, 50:80, 100:110]
    seen = []

    def score(model, X, y):
        seen.append(y)
        return model.score(X, y)

    options = {"early_stopping": True, "validation_fraction": 0.2, "random_state": 0, "max_iter": 1, "scoring": score}
    BPClassifier(validation_split="stratified", **options).fit(X_IRIS[rows], Y_IRIS[rows])
    assert np.bincount(seen[-1]).tolist() == [10, 6, 2]
    random_state = np.random.RandomState(0)
    BPClassifier(init="zeros", **{**options, "random_state": random_state}).fit(X_IRIS[rows], Y_IRIS[rows])
    _, expected = train_test_split(Y_IRIS[rows], test_size=0.2, random_state=np.random.RandomState(0))
    np.testing.assert_array_equal(seen[-1], expected)


@pytest.mark.parametrize("n_threads", [2, 3])
def test_same_bits_with_any_number_of_threads(n_threads):
    rng = np.random.RandomState(0)
    X, y = rng.randn(3000, 30), rng.randint(3, size=3000)
    options = {"hidden_layer_sizes": 100, "max_iter": 2, "batch_size": 1500, "random_state": 0}
    reference = BPClassifier(**options, n_threads=1).fit(X, y)
    model = BPClassifier(**options, n_threads=n_threads).fit(X, y)
    assert_same_weights(model, reference, rtol=0)
    np.testing.assert_array_equal(model.predict_proba(X), reference.predict_proba(X))


# Weights in and out


def test_weights_edited_by_hand_are_used():
    model = BPRegressor(hidden_layer_sizes=3, max_iter=1, random_state=0).fit(X_IRIS, Y_IRIS)

    def by_hand():
        hidden = np.maximum(X_IRIS @ np.asarray(model.coefs_[0]) + model.intercepts_[0], 0)
        return (hidden @ np.asarray(model.coefs_[1]) + model.intercepts_[1])[:, 0]

    model.coefs_[0][1, 2] += 3.0
    np.testing.assert_allclose(model.predict(X_IRIS), by_hand(), rtol=1e-12)
    model.coefs_[1] = np.ones((3, 1))
    np.testing.assert_allclose(model.predict(X_IRIS), by_hand(), rtol=1e-12)
    model.intercepts_ = [[1.0, 2.0, 3.0], [4.0]]
    np.testing.assert_allclose(model.predict(X_IRIS), by_hand(), rtol=1e-12)
    model.intercepts_[1][0] = -1.0
    np.testing.assert_allclose(model.predict(X_IRIS), by_hand(), rtol=1e-12)
    model.coefs_ = [np.ones((4, 2)), np.ones((3, 1))]
    with pytest.raises(ValueError, match="do not fit"):
        model.predict(X_IRIS)


def test_preset_weights_are_trained_from():
    """Nothing but coefs_ and intercepts_ is set; the optimizer is a new one, as in scikit-learn."""
    start = MLPRegressor(hidden_layer_sizes=3, max_iter=2, random_state=0).fit(X_IRIS, Y_IRIS)
    model = BPRegressor(hidden_layer_sizes=3, random_state=5)
    model.coefs_, model.intercepts_ = copy.deepcopy((start.coefs_, start.intercepts_))
    del start._optimizer
    for estimator in (model, start.set_params(random_state=5)):
        estimator.partial_fit(X_IRIS, Y_IRIS)
    assert_same_weights(model, start, rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("estimator", BOTH)
def test_pickle_holds_the_weights_and_what_the_solver_keeps(estimator, dtype, tmp_path):
    """Adam keeps two moments; `compact` drops them."""
    model = estimator(hidden_layer_sizes=(300, 200), max_iter=2, random_state=0).fit(X_IRIS.astype(dtype), Y_IRIS)
    n_bytes = sum(array.size for array in weights(model)) * np.dtype(dtype).itemsize
    assert len(pickle.dumps(model)) < 3.05 * n_bytes + 10_000
    joblib.dump(model.compact(), tmp_path / "model.joblib")
    assert (tmp_path / "model.joblib").stat().st_size < 1.05 * n_bytes + 10_000
    copies = [
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        joblib.load(tmp_path / "model.joblib"),
        joblib.load(tmp_path / "model.joblib", mmap_mode="r"),
    ]
    expected = model.predict(X_IRIS)
    for other in copies:
        np.testing.assert_array_equal(other.predict(X_IRIS), expected)
        assert all(array.dtype == dtype for array in weights(other))
        other.partial_fit(X_IRIS.astype(dtype), Y_IRIS)
        assert other.t_ == 3 * len(X_IRIS)
        assert len(other.loss_curve_) == 3
    np.testing.assert_array_equal(model.predict(X_IRIS), expected)


@pytest.mark.parametrize("kind", [BPRegressor, MLPRegressor])
def test_arrays_that_somebody_else_holds_are_followed(kind):
    """A user's own arrays as weights, and weights that two estimators share, as scikit-learn has them."""
    options = {"hidden_layer_sizes": 3, "activation": "identity", "random_state": 0, "max_iter": 2}
    model = kind(**options).fit(X_IRIS, Y_IRIS)
    own = [np.full_like(W, 0.1) for W in model.coefs_], [np.full_like(b, 0.5) for b in model.intercepts_]
    model.coefs_, model.intercepts_ = own
    for _ in range(2):  # also after a prediction that has looked at them
        expected = (X_IRIS @ own[0][0] + own[1][0]) @ own[0][1] + own[1][1]
        np.testing.assert_allclose(model.predict(X_IRIS), expected[:, 0])
        own[0][0] *= 3
    sharing = kind(**options).fit(X_IRIS, Y_IRIS)
    sharing.coefs_, sharing.intercepts_ = model.coefs_, model.intercepts_
    np.testing.assert_array_equal(sharing.predict(X_IRIS), model.predict(X_IRIS))
    if kind is BPRegressor:  # scikit-learn's optimizer trains arrays that are no longer there
        before = own[0][0].copy()
        model.partial_fit(X_IRIS, Y_IRIS)
        assert not np.array_equal(own[0][0], before)
        assert model.coefs_[0] is own[0][0]
        np.testing.assert_array_equal(sharing.predict(X_IRIS), model.predict(X_IRIS))
    shallow = copy.copy(model)
    model.coefs_[1][:] = 0.0
    np.testing.assert_array_equal(shallow.predict(X_IRIS), np.full(len(X_IRIS), own[1][1][0]))


@pytest.mark.parametrize("early_stopping", [False, True])
def test_fit_and_predict_do_not_copy_X(early_stopping, tmp_path):
    options = {"early_stopping": early_stopping, "validation_fraction": 0.1, "max_iter": 1, "random_state": 0, "n_threads": 1}
    model = BPRegressor(hidden_layer_sizes=2, batch_size=100, **options)
    for dtype in (np.float32, np.float64):
        X = np.random.RandomState(0).randn(10_000, 100).astype(dtype)
        file = np.memmap(tmp_path / f"{X.dtype}.bin", dtype=dtype, mode="w+", shape=X.shape)
        file[:] = X
        file.flush()
        read_only = np.memmap(tmp_path / f"{X.dtype}.bin", dtype=dtype, mode="r", shape=X.shape)
        model.fit(X[:200], X[:200, 0]).predict(X[:200])  # compiles or loads the kernels
        for array in (X, X[:5000], read_only):
            tracemalloc.start()
            model.fit(array, array[:, 0]).predict(array)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 0.5 * array.nbytes


def test_early_stopping_copies_the_validation_rows_alone():
    X = np.random.RandomState(0).randn(20000, 50)
    model = BPRegressor(hidden_layer_sizes=5, early_stopping=True, max_iter=2, random_state=0)
    model.fit(X, X[:, 0])  # compiles or loads the kernels
    tracemalloc.start()
    try:
        model.fit(X, X[:, 0])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert X.nbytes / 10 < peak < X.nbytes / 2


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("container", ["csr_matrix", "csc_matrix", "csr_array", "csc_array", "coo_matrix"])
def test_sparse_is_dense(container, early_stopping):
    rng = np.random.RandomState(0)
    container = getattr(scipy.sparse, container)
    X = rng.rand(60, 10) * (rng.rand(60, 10) < 0.3)
    options = {"early_stopping": early_stopping, "validation_fraction": 0.2, "max_iter": 3, "random_state": 0}
    dense = BPClassifier(5, **options).fit(X, X[:, 0] > 0)
    sparse = BPClassifier(5, **options).fit(container(X), X[:, 0] > 0)
    assert_same_weights(sparse, dense, rtol=1e-9)
    np.testing.assert_allclose(sparse.predict_proba(container(X)), dense.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize("estimator", BOTH)
def test_dtype_of_X_decides(estimator):
    model = estimator(max_iter=2, random_state=0).fit(X_IRIS.astype(np.float32), Y_IRIS.astype(np.float64), np.ones(150))
    assert {array.dtype for array in weights(model)} == {np.dtype(np.float32)}
    if estimator is BPRegressor:
        assert {model.predict(X.astype(dtype)).dtype for X, dtype in [(X_IRIS, "f4"), (X_IRIS, "f8")]} == {np.dtype(np.float32)}
    else:
        assert model.predict_proba(X_IRIS.astype(np.float32)).dtype == np.float32
    assert estimator(max_iter=1).fit(X_IRIS.astype(int), Y_IRIS).coefs_[0].dtype == np.float64


# Labels


@pytest.mark.parametrize(
    ("labels", "dtype"),
    [
        ([0, 1], "int8"),
        ([3, 7, 9], "uint16"),
        ([-1, 1], "int64"),
        ([5], "int64"),
        (["b", "a"], "str"),
        (["x", "yy", "zzz"], "str"),
        (["x", "yy", "zzz"], "object"),
        ([False, True], "bool"),
        ([1.0, 2.0, 4.0], "float32"),
    ],
)
def test_labels_come_back(labels, dtype):
    y = np.array(labels, dtype=dtype)[np.arange(150) % len(labels)]
    ours = BPClassifier(max_iter=2, random_state=0).fit(X_IRIS, y)
    theirs = MLPClassifier(max_iter=2, random_state=0).fit(X_IRIS, y)
    assert ours.classes_.dtype == theirs.classes_.dtype
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert ours.predict(X_IRIS).dtype == theirs.predict(X_IRIS).dtype
    np.testing.assert_array_equal(ours.predict(X_IRIS), theirs.predict(X_IRIS))
    np.testing.assert_allclose(ours.predict_proba(X_IRIS), theirs.predict_proba(X_IRIS), rtol=1e-9)
    np.testing.assert_allclose(ours.predict_log_proba(X_IRIS), theirs.predict_log_proba(X_IRIS), rtol=1e-7, atol=1e-12)
    assert ours.out_activation_ == theirs.out_activation_
    assert ours.n_outputs_ == theirs.n_outputs_


@pytest.mark.parametrize("container", [np.asarray, scipy.sparse.csr_matrix, list])
def test_multilabel(container):
    X, Y = make_multilabel_classification(n_samples=80, random_state=0)
    ours = BPClassifier(max_iter=20, random_state=0).fit(X, container(Y))
    theirs = MLPClassifier(max_iter=20, random_state=0).fit(X, container(Y))
    mine, other = ours.predict(X), theirs.predict(X)
    assert scipy.sparse.issparse(mine) == scipy.sparse.issparse(other)
    if scipy.sparse.issparse(mine):
        mine, other = mine.toarray(), other.toarray()
    np.testing.assert_array_equal(mine, other)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert ours.predict_proba(X).shape == Y.shape
    assert 0 <= ours.score(X, Y) <= 1


# Going on: warm_start and partial_fit


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_is_one_epoch_of_fit(estimator, solver):
    options = {"solver": solver, "shuffle": False, "batch_size": 32, "tol": 0}
    whole = estimator(max_iter=6, random_state=0, **options).fit(X_IRIS, Y_IRIS)
    parts = estimator(random_state=0, **options)
    for _ in range(6):
        parts.partial_fit(X_IRIS, Y_IRIS, **({"classes": [0, 1, 2]} if estimator is BPClassifier else {}))
    assert_same_weights(parts, whole)
    assert parts.loss_curve_ == whole.loss_curve_
    assert (parts.n_iter_, parts.t_) == (1, whole.t_)


@pytest.mark.parametrize(("ours", "theirs"), TWINS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_warm_start(ours, theirs, solver):
    models = [model(solver=solver, warm_start=True, max_iter=4, random_state=0) for model in (ours, theirs)]
    for max_iter in (4, 3):
        for model in models:
            model.set_params(max_iter=max_iter).fit(X_IRIS, Y_IRIS)
        assert_same_weights(*models, rtol=1e-6)
        assert models[0].n_iter_ == models[1].n_iter_
        assert models[0].t_ == models[1].t_
        np.testing.assert_allclose(models[0].loss_, models[1].loss_, rtol=1e-9)
        if solver != "lbfgs":
            np.testing.assert_allclose(models[0].loss_curve_, models[1].loss_curve_, rtol=1e-9)
            np.testing.assert_allclose(models[0].best_loss_, models[1].best_loss_, rtol=1e-9)


def test_warm_start_with_other_shapes():
    regressor = BPRegressor(hidden_layer_sizes=3, warm_start=True, max_iter=1).fit(X_IRIS, Y_IRIS)
    with pytest.raises(ValueError, match="expecting 4 features"):
        regressor.fit(X_IRIS[:, :2], Y_IRIS)
    with pytest.raises(ValueError, match="4 features to 1 outputs, but X and y have 4 features and 2 outputs"):
        regressor.fit(X_IRIS, X_IRIS[:, :2])


@pytest.mark.parametrize("hidden_layer_sizes", [(), 3, (11, 5)])
def test_warm_start_with_early_stopping_in_another_dtype(hidden_layer_sizes):
    """The best weights of the earlier fit lie otherwise in memory."""
    model = BPClassifier(hidden_layer_sizes, warm_start=True, early_stopping=True, max_iter=3, random_state=0)
    for dtype in (np.float64, np.float32, np.float64):
        model.fit(X_IRIS.astype(dtype), Y_IRIS)
        assert {array.dtype for array in weights(model)} == {np.dtype(dtype)}
    assert len(model.validation_scores_) == 9


@pytest.mark.parametrize("estimator", BOTH)
def test_partial_fit_in_another_dtype(estimator):
    model = estimator(max_iter=1, random_state=0).fit(X_IRIS, Y_IRIS)
    before = [array.copy() for array in weights(model)]
    model.partial_fit(X_IRIS.astype(np.float32), Y_IRIS)
    assert {array.dtype for array in weights(model)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(model.coefs_[0], before[0], atol=0.01)


# In scikit-learn's tools


def test_feature_names():
    frame = pd.DataFrame(X_IRIS, columns=list("abcd"))
    model = BPClassifier(max_iter=1).fit(frame, Y_IRIS)
    assert model.feature_names_in_.tolist() == list("abcd")
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(X_IRIS)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[list("dcba")])
    model.fit(X_IRIS, Y_IRIS)
    assert not hasattr(model, "feature_names_in_")


def test_pipeline_and_grid_search():
    pipeline = make_pipeline(StandardScaler(), BPClassifier(max_iter=200, random_state=0, learning_rate_init=0.01))
    search = GridSearchCV(pipeline, {"bpclassifier__hidden_layer_sizes": [4, "8-4", (16,)]}, cv=3).fit(X_IRIS, Y_IRIS)
    assert search.best_score_ > 0.9
    assert search.score(X_IRIS, Y_IRIS) == accuracy_score(Y_IRIS, search.predict(X_IRIS))


def test_metadata_routing():
    with config_context(enable_metadata_routing=True):
        estimator = BPClassifier(max_iter=2).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        scores = cross_validate(estimator, X_IRIS, Y_IRIS, params={"sample_weight": np.arange(150.0)}, cv=3)
    assert scores["test_score"].shape == (3,)
    with config_context(enable_metadata_routing=True):
        BPClassifier().set_partial_fit_request(sample_weight=True, classes=True)


def test_get_params_round_trip():
    options = {"activation": ["tanh"], "hidden_layer_sizes": "4", "init": "he_normal", "n_restarts": 2, "verbose": 3}
    model = BPRegressor("poisson", **options)
    assert {name: model.get_params()[name] for name in options} == options
    assert clone(model).get_params() == model.get_params()
    assert "loss='poisson'" in repr(model)


@pytest.mark.parametrize("estimator", BOTH)
def test_subclass_takes_over_the_constructor(estimator):
    own = type("Own", (estimator,), {})
    assert clone(own(alpha=0.5)).get_params() == {**estimator().get_params(), "alpha": 0.5}
    with pytest.raises(TypeError, match=rf"{estimator.__name__}\.__init__\(\) .* 'no_such_parameter'"):
        own(no_such_parameter=1)


# Losses of fastbp's own


@pytest.mark.parametrize("batch_size", [1, 30])
@pytest.mark.parametrize("delta", [0.05, 0.5, 1e6])
def test_huber_against_scipy(delta, batch_size):
    """The loss itself, its gradient in training by finite differences, and far out the squared error."""
    y = Y_IRIS + np.where(np.arange(len(Y_IRIS)) % 10 == 0, 30.0, 0.0)
    options = {"hidden_layer_sizes": 3, "activation": "tanh", "random_state": 0, "delta": delta, "alpha": 0.0}
    model = BPRegressor("huber", solver="lbfgs", max_iter=50, **options).fit(X_IRIS, y)
    np.testing.assert_allclose(model.loss_, huber(delta, model.predict(X_IRIS) - y).mean(), rtol=1e-9)
    step = BPRegressor(
        "huber", solver="sgd", momentum=0.0, learning_rate_init=1e-3, shuffle=False, batch_size=batch_size, **options
    )
    start = BPRegressor(max_iter=1, **{**options, "init_scale": 1.0}).fit(X_IRIS, y)
    rows = slice(0, batch_size)
    step.coefs_, step.intercepts_ = copy.deepcopy((start.coefs_, start.intercepts_))
    before = step.intercepts_[-1][0]
    step.partial_fit(X_IRIS[rows], y[rows])
    moved = (before - step.intercepts_[-1][0]) / 1e-3
    errors = start.predict(X_IRIS[rows]) - y[rows]
    h = 1e-6
    assert abs(moved - (huber(delta, errors + h) - huber(delta, errors - h)).mean() / (2 * h)) < 1e-5 * max(1, abs(moved))


def test_huber_is_not_drawn_by_outliers():
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, (300, 1))
    truth = np.sin(3 * X[:, 0])
    y = truth + np.where(rng.rand(300) < 0.1, 20.0, 0.0)
    errors = {}
    for loss in ("squared_error", "huber"):
        model = BPRegressor(loss, 10, "tanh", solver="lbfgs", max_iter=500, random_state=0, delta=0.1).fit(X, y)
        errors[loss] = np.abs(model.predict(X) - truth).mean()
    assert errors["huber"] < 0.1 * errors["squared_error"]


# Solvers of fastbp's own


@pytest.mark.parametrize("options", [{}, {"batch_size": 1, "max_iter": 2}, {"learning_rate": "invscaling", "beta_2": 0.9}])
def test_rmsprop_against_the_plain_loop(options):
    options = {"alpha": 0.01, "learning_rate_init": 0.01, "batch_size": 20, "max_iter": 4, "solver": "rmsprop"} | options
    model = BPRegressor(hidden_layer_sizes=4, activation="tanh", init="he_normal", random_state=0, **options)
    start = model.set_params(init_scale=1.0)
    coefs, intercepts = draw_parameters([4, 4, 1], ["tanh"] * 2, init="he_normal", random_state=np.random.RandomState(0))
    random_state = np.random.RandomState(0)
    random_state.standard_normal(4 * 4 + 4)
    X, y = X_IRIS[:50], Y_IRIS[:50] + X_IRIS[:50, 0]
    model = start.fit(X, y)
    expected = naive.train(coefs, intercepts, X, y, activation="tanh", random_state=random_state, **options)
    for own, other in zip(weights(model), [*expected.coefs, *expected.intercepts], strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-7, atol=1e-9)  # a gradient over its own size magnifies rounding
    np.testing.assert_allclose(model.loss_curve_, expected.loss_curve, rtol=1e-9)


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "gelu"},
        {"activation": ["elu", "gelu"], "hidden_layer_sizes": (6, 5)},
        {"solver": "rmsprop"},
        {"activation": "mish"},
        {"activation": ["selu", "softplus"], "hidden_layer_sizes": (6, 5)},
        {"init": "orthogonal"},
    ],
)
def test_what_is_added_goes_with_the_rest(options):
    """In batches, per sample, on sparse rows, under partial_fit, with restarts, in float32 and in a search."""
    options = {"hidden_layer_sizes": (6,), "max_iter": 5, "learning_rate_init": 0.01, "random_state": 0} | options
    whole = BPClassifier(**options, shuffle=False, batch_size=50, tol=0).fit(X_IRIS, Y_IRIS)
    in_parts = BPClassifier(**options, shuffle=False, batch_size=50)
    for _ in range(5):
        in_parts.partial_fit(X_IRIS, Y_IRIS, classes=[0, 1, 2])
    assert_same_weights(whole, in_parts, rtol=1e-12)
    sparse = BPClassifier(**options, shuffle=False, batch_size=50, tol=0).fit(scipy.sparse.csr_matrix(X_IRIS), Y_IRIS)
    assert_same_weights(whole, sparse, rtol=1e-7)
    single = BPClassifier(**options, batch_size=1).fit(X_IRIS, Y_IRIS)
    assert single.loss_curve_[-1] < single.loss_curve_[0]
    assert BPClassifier(**options, n_restarts=3).fit(X_IRIS.astype(np.float32), Y_IRIS).restart_losses_.shape == (3,)
    grid = {"alpha": [1e-4, 1.0]}
    searches = [Search(BPClassifier(**options), grid, cv=3).fit(X_IRIS, Y_IRIS) for Search in (GridSearchCV, BPSearchCV)]
    np.testing.assert_array_equal(*(search.cv_results_["mean_test_score"] for search in searches))


@pytest.mark.parametrize("activation", ["elu", "gelu", "selu", "silu", "mish", "softplus", "hardswish"])
def test_per_sample_steps_are_batches_of_one(activation):
    """Two roads to the same numbers: the loop made for single samples, and the one for batches, which sparse rows take."""
    options = {"hidden_layer_sizes": (6, 5), "activation": activation, "solver": "sgd", "batch_size": 1, "max_iter": 3}
    dense = BPClassifier(**options, random_state=0).fit(X_IRIS, Y_IRIS)
    sparse = BPClassifier(**options, random_state=0).fit(scipy.sparse.csr_matrix(X_IRIS), Y_IRIS)
    assert_same_weights(dense, sparse, rtol=1e-7)


def test_notebooks_show_the_layers_of_a_fitted_network():
    X, y = load_iris(return_X_y=True)
    model = BPClassifier((5, 3), ("tanh", "relu"), max_iter=4, random_state=0)
    assert "parameters, 4 epochs" not in model._repr_mimebundle_()["text/html"]
    html = model.fit(X, y)._repr_mimebundle_()["text/html"]
    n_parameters = sum(W.size for W in model.coefs_) + sum(b.size for b in model.intercepts_)
    facts = f"{n_parameters:,} parameters, 4 epochs, loss {model.loss_:.4g}"
    assert facts in html and facts in model._repr_html_()
    for text in ("4 → 5", "5 → 3", "3 → 3", "tanh", "relu", "softmax"):
        assert f"<td>{text}</td>" in html
    assert model.set_params(activation="<b>")._repr_html_().count("&lt;b&gt;") >= 2  # of a user's, never as HTML
