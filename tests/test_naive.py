"""The slow truth is itself tested: gradients against finite differences, training against the installed scikit-learn."""

import itertools
import math
import warnings

import naive
import numpy as np
import pytest
from covering import dealt, named
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from targets import targets_for

from fastbp.names import LOSSES

WEIGHTED = "loss" in MLPRegressor().get_params()  # sample_weight and the poisson loss came with scikit-learn 1.7

# Outputs a loss can be asked of: probabilities for the log losses, positive means for poisson.
OUTPUTS = {loss: LOSSES[loss].outputs if len(LOSSES[loss].outputs) == 1 else ("identity", "tanh") for loss in naive.LOSSES} | {
    "squared_error": [name for name in naive.ACTIVATIONS if name != "step"],
    "poisson": ["exp", "logistic"],
}
PAIRS = [(output, loss) for loss, outputs in OUTPUTS.items() for output in outputs]
HIDDEN = [name for name in naive.ACTIVATIONS if name not in ("step", "softmax", "cumulative")]


def make_problem(loss, n_outputs, seed=0, scale=0.4, sizes=(3, 4, 3), n_samples=6):
    """Random start, inputs and targets that suit the loss."""
    random_state = np.random.RandomState(seed)
    layer_sizes = [*sizes, n_outputs]
    coefs = [random_state.normal(0, scale, shape) for shape in itertools.pairwise(layer_sizes)]
    intercepts = [random_state.normal(0, scale, n) for n in layer_sizes[1:]]
    X = random_state.normal(size=(n_samples, sizes[0]))
    y = targets_for(loss, random_state, n_samples, n_outputs).reshape(n_samples, -1)
    if loss == "ordered_log_loss":  # as if from one score
        coefs[-1][:], intercepts[-1] = coefs[-1][:, :1], -np.sort(-intercepts[-1])
    return coefs, intercepts, X, y.astype(float)


def slopes_by_differences(objective, array, step=1e-6):
    """Central differences of objective() over every entry of array, which it reads."""
    slopes = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + step
        above = objective()
        array[index] = kept - step
        below = objective()
        array[index] = kept
        slopes[index] = (above - below) / (2 * step)
    return slopes


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("pair, activation", dealt(PAIRS, HIDDEN, rounds=1), ids=named)
def test_gradients_equal_finite_differences(pair, activation, weighted):
    output_activation, loss = pair
    n_outputs = 4 if LOSSES[loss].has_spread else 3
    # e to the e to the e outgrows any finite difference unless the weights are small
    coefs, intercepts, X, y = make_problem(loss, n_outputs, scale=0.1 if activation == "exp" else 0.4)
    alpha = 0.1
    sample_weight = np.random.RandomState(1).uniform(0.5, 2.0, len(X)) if weighted else None
    total = sample_weight.sum() if weighted else len(X)
    options = {"activation": activation, "output_activation": output_activation}

    def objective():
        outputs = naive.forward(coefs, intercepts, X, **options)[-1]
        value = naive.mean_loss(loss, y.tolist(), outputs.tolist(), sample_weight)
        # The loss averages the squared error over the outputs, its gradient does not.
        value *= n_outputs if loss == "squared_error" else 1
        return value + 0.5 * alpha * sum(np.sum(W**2) for W in coefs) / total

    result = naive.gradients(coefs, intercepts, X, y, loss=loss, alpha=alpha, sample_weight=sample_weight, **options)
    for gradient, array in zip([*result.coefs, *result.intercepts, result.inputs], [*coefs, *intercepts, X], strict=True):
        assert_allclose(gradient, slopes_by_differences(objective, array), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("output_activation, loss", sorted(naive.CANONICAL))
def test_short_form_of_delta_equals_the_chain_rule(output_activation, loss):
    coefs, intercepts, X, y = make_problem(loss, 3)
    for target, p in zip(y, naive.forward(coefs, intercepts, X, output_activation=output_activation)[-1], strict=True):
        chain = naive.pull_back(output_activation, p, p, naive.LOSS_SLOPES[loss](target, p))
        assert_allclose(naive.output_delta(output_activation, loss, target, p), chain, rtol=1e-9, atol=1e-12)


def test_mixed_hidden_activations_equal_finite_differences():
    coefs, intercepts, X, y = make_problem("squared_error", 1)
    options = {"activation": ["tanh", "leaky_relu"], "output_activation": "logistic"}
    result = naive.gradients(coefs, intercepts, X, y, **options)
    for gradient, array in zip([*result.coefs, result.inputs], [*coefs, X], strict=True):
        slopes = slopes_by_differences(lambda: naive.gradients(coefs, intercepts, X, y, **options).loss, array)
        assert_allclose(gradient, slopes, rtol=1e-5, atol=1e-9)


def test_step_passes_the_gradient_straight_through():
    assert naive.activate("step", [-0.1, 0.0, 2.0]) == [0.0, 0.0, 1.0]
    assert naive.pull_back("step", [0.0, 1.0, 1.0], [-1.0, 2.0, 3.0], [0.3, -2.0, 5.0]) == [0.3, -2.0, 5.0]
    coefs, intercepts = [np.array([[1.0], [-2.0]]), np.array([[3.0]])], [np.array([0.5]), np.array([0.0])]
    result = naive.gradients(coefs, intercepts, [[2.0, 1.0]], [1.0], activation="step")
    # z = 0.5, a = 1, ŷ = 3, δ = 2, and back through the step unchanged: 2·3 = 6.
    assert_allclose(result.loss, 2.0)
    assert_allclose(result.coefs[0], [[12.0], [6.0]])
    assert_allclose(result.coefs[1], [[2.0]])
    assert_allclose(result.inputs, [[6.0, -12.0]])


@pytest.mark.parametrize(
    "name, z, expected",
    [
        ("logistic", -800.0, 0.0),
        ("logistic", 800.0, 1.0),
        ("tanh", -800.0, -1.0),
        ("relu", -3.0, 0.0),
        ("leaky_relu", -3.0, -0.03),
        ("leaky_relu", 3.0, 3.0),
        ("exp", 800.0, math.inf),
        ("exp", -800.0, 0.0),
    ],
)
def test_activations_far_from_zero(name, z, expected):
    assert naive.activate(name, [z]) == [expected]


def test_certain_and_wrong_probabilities_are_clipped_in_the_loss_only():
    expected = -math.log(naive.EPS)
    assert_allclose(naive.mean_loss("log_loss", [[1]], [[1.0, 0.0]]), expected)
    assert_allclose(naive.mean_loss("binary_log_loss", [[1.0]], [[0.0]]), expected)
    assert naive.output_delta("logistic", "binary_log_loss", [1.0], [0.0]) == [-1.0]
    assert naive.output_delta("softmax", "log_loss", [1], [1.0, 0.0]) == [1.0, -1.0]


# Training, against scikit-learn

TASKS = {
    "regression": ("squared_error", "identity", 1),
    "two outputs": ("squared_error", "identity", 2),
    "counts": ("poisson", "exp", 1),
    "binary": ("binary_log_loss", "logistic", 1),
    "multiclass": ("log_loss", "softmax", 3),
    "multilabel": ("binary_log_loss", "logistic", 3),
}
SOLVERS = {
    "plain": {"solver": "sgd", "momentum": 0.0},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False},
    "nesterov": {"solver": "sgd"},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 1},
    "adam": {"solver": "adam", "beta_1": 0.8, "beta_2": 0.99},
}


def fit_both(task, *, n_samples=17, hidden_layer_sizes=(4, 3), sample_weight=None, **options):
    """(scikit-learn's fitted model, naive.train's result) from the same random_state."""
    loss, output_activation, n_outputs = TASKS[task]
    if loss == "poisson" and not WEIGHTED:
        pytest.skip("this scikit-learn has no poisson loss")
    if sample_weight is not None and not WEIGHTED:
        pytest.skip("this scikit-learn has no sample_weight")
    _, _, X, y = make_problem(loss, n_outputs, seed=3, n_samples=n_samples)
    if loss == "log_loss":
        y[:n_outputs, 0] = range(n_outputs)
    options = {
        "solver": "adam",
        "activation": "relu",
        "learning_rate_init": 0.05,
        "batch_size": 5,
        "max_iter": 5,
        "alpha": 0.01,
    } | options
    model = MLPRegressor if loss in ("squared_error", "poisson") else MLPClassifier
    own = {"loss": loss} if loss == "poisson" else {}
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator = model(hidden_layer_sizes=hidden_layer_sizes, random_state=7, **own, **options)
        estimator.fit(X, y.ravel() if y.shape[1] == 1 else y, **weights)

    random_state = np.random.RandomState(7)
    layer_sizes = [X.shape[1], *hidden_layer_sizes, n_outputs]
    start = naive.draw_parameters(layer_sizes, options["activation"], random_state)
    options |= {"loss": loss, "output_activation": output_activation, "random_state": random_state}
    return estimator, naive.train(*start, X, y, sample_weight=sample_weight, **options)


def assert_same_training(estimator, result):
    assert estimator.n_iter_ == result.n_iter
    assert estimator.t_ == result.t
    assert_allclose(result.loss_curve, estimator.loss_curve_, rtol=1e-9)
    assert_allclose(result.best_loss, estimator.best_loss_, rtol=1e-9)
    for ours, theirs in zip(result.coefs + result.intercepts, estimator.coefs_ + estimator.intercepts_, strict=True):
        assert_allclose(ours, theirs, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("task", TASKS)
def test_train_equals_scikit_learn(task, solver):
    assert_same_training(*fit_both(task, **SOLVERS[solver]))


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_train_equals_scikit_learn_for_every_shared_activation(activation):
    assert_same_training(*fit_both("multiclass", activation=activation, solver="sgd"))


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass", "counts"])
def test_train_equals_scikit_learn_with_sample_weight(task):
    sample_weight = np.random.RandomState(5).uniform(0.2, 3.0, 17)
    assert_same_training(*fit_both(task, sample_weight=sample_weight))


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 1},
        {"batch_size": "auto"},
        {"shuffle": False},
        {"hidden_layer_sizes": ()},
        {"alpha": 0.0},
    ],
    ids=str,
)
def test_train_equals_scikit_learn_for_other_options(options):
    assert_same_training(*fit_both("multiclass", **options))


@pytest.mark.parametrize("learning_rate", ["constant", "adaptive"])
def test_train_stops_where_scikit_learn_stops(learning_rate):
    options = {"solver": "sgd", "learning_rate": learning_rate, "tol": 0.02, "n_iter_no_change": 2, "max_iter": 120}
    estimator, result = fit_both("regression", **options)
    assert result.n_iter < 120
    assert_same_training(estimator, result)


def test_train_without_intercepts_leaves_them_alone():
    coefs, _, X, y = make_problem("squared_error", 1)
    zeros = [np.zeros(W.shape[1]) for W in coefs]
    result = naive.train(coefs, zeros, X, y, max_iter=3, fit_intercept=False, random_state=0)
    assert all(not b.any() for b in result.intercepts)
    assert all((start != W).any() for W, start in zip(result.coefs, coefs, strict=True))
    assert len(result.weights) == 3
