"""Dropout: the masks against plain loops and their odds, gradients in the mean, what it goes with and what it is good for."""

import itertools
import pickle
import warnings

import naive
import numpy as np
import pytest
import scipy.sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from fastbp import BPClassifier, BPRegressor, BPSearchCV
from fastbp.kernels.compiler import entry
from fastbp.kernels.dropout import Dropout, drop_inputs
from fastbp.names import HIDDEN_ACTIVATIONS
from fastbp.training.random_state import MOST_SEEDS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SIZES = (5, 7, 6, 2)
rng = np.random.RandomState(0)
X, Y = rng.randn(30, SIZES[0]), rng.randn(30, SIZES[-1])
LABELS = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 1)
SEED = 1 + np.random.RandomState(3).randint(MOST_SEEDS)  # what an estimator with random_state=3 that has weights draws first


def start(sizes=SIZES, seed=1):
    random_state = np.random.RandomState(seed)
    coefs = [random_state.normal(0, 0.6, shape) for shape in itertools.pairwise(sizes)]
    return coefs, [random_state.normal(0, 0.3, size) for size in sizes[1:]]


def weights(model):
    return [*model.coefs_, *model.intercepts_]


def assert_same(model, other, **tolerance):
    for mine, theirs in zip(weights(model), weights(other), strict=True):
        np.testing.assert_allclose(mine, theirs, **{"rtol": 0, **tolerance})


@entry
def call_drop_inputs(dropout, x, start, stop, first_sample):
    drop_inputs(dropout, x, start, stop, first_sample)


def masks(n, rate=0.3, seed=5, step=2, first=0, dtype=np.float64):
    x = np.ones(n, dtype)
    call_drop_inputs(Dropout(1, np.array([rate]), np.zeros(1, np.int64), seed, step, 1.0), x, 0, n, first)
    return x


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_units", [1, 3, 16, 37])
@pytest.mark.parametrize("rate", [1e-12, 0.2, 0.75])
def test_masks_are_those_of_plain_loops(dtype, n_units, rate):
    """Whatever the width of a vector; 37 units leave a remainder."""
    for seed, step, row in [(0, 0, 0), (5, 2, 11), (2**31 - 2, 2**40, 2**33)]:
        expected = naive.dropout_mask(seed, step, 0, row, n_units, rate)
        found = masks(n_units, rate, seed, step, row * n_units, dtype)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_odds_and_scale(rate):
    """As often as the rate says, and of mean 1, for one unit over rows or steps as for all units of a row."""
    n = 200_000
    for found in (
        masks(n, rate),
        masks(64 * 2000, rate).reshape(-1, 64)[:, 3],
        np.array([masks(16, rate, step=step)[5] for step in range(2000)]),
        np.array([masks(16, rate, seed=seed)[5] for seed in range(2000)]),
    ):
        kept = found > 0
        np.testing.assert_allclose(found[kept], 1 / (1 - rate))
        error = np.sqrt(rate * (1 - rate) / found.size)
        assert abs(kept.mean() - (1 - rate)) < 4 * error
        assert abs(found.mean() - 1) < 4 * error / (1 - rate)


def test_masks_have_nothing_in_common():
    """Neighbours in a row, in a column, in the next step or layer or by the next seed are no more alike than chance has it."""
    n_units, n_rows = 50, 4000
    table = masks(n_units * n_rows, 0.5).reshape(n_rows, n_units) - 1
    for shift in (1, 2, 8, 16):
        assert abs(np.mean(table[:, :-shift] * table[:, shift:])) < 4 / np.sqrt(table.size)
        assert abs(np.mean(table[:-shift] * table[shift:])) < 4 / np.sqrt(table.size)
    for other in ({"step": 3}, {"seed": 6}, {"first": 1}):
        assert abs(np.mean(table.ravel() * (masks(n_units * n_rows, 0.5, **other) - 1))) < 4 / np.sqrt(table.size)
    correlations = np.corrcoef(table.T) - np.eye(n_units)
    assert np.abs(correlations).max() < 5 / np.sqrt(n_rows)


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize("dropout", [(0.0, 0.5, 0.2), (0.3, 0.0, 0.4)])
def test_training_is_the_plain_loop(activation, dropout):
    """Steps with masks, batch by batch and over two partial_fits, in every activation: the backward pass takes its slopes."""
    options = {"solver": "sgd", "alpha": 0.1, "learning_rate_init": 0.02, "batch_size": 11, "shuffle": False}
    model = BPRegressor(hidden_layer_sizes=SIZES[1:-1], activation=activation, dropout=dropout, random_state=3, **options)
    model.coefs_, model.intercepts_ = start()
    expected = naive.train(
        *start(),
        X,
        Y,
        activation=activation,
        dropout=dropout,
        dropout_seed=SEED,
        max_iter=2,
        tol=0,
        n_iter_no_change=9,
        **options,
    )
    model.partial_fit(X, Y)
    pickle.loads(pickle.dumps(model)).partial_fit(X, Y)  # goes on by itself
    model.partial_fit(X, Y)
    for mine, theirs in zip(weights(model), [*expected.coefs, *expected.intercepts], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.loss_curve_, expected.loss_curve, rtol=1e-10)


@pytest.mark.parametrize("batch_size", [1, 7, 30])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_batches_of_any_size(solver, batch_size):
    dropout, options = (0.2, 0.5, 0.3), {"learning_rate_init": 0.01, "max_iter": 2, "tol": 0, "solver": solver}
    model = BPRegressor(hidden_layer_sizes=SIZES[1:-1], activation="tanh", dropout=dropout, random_state=3, warm_start=True,
                        shuffle=False, batch_size=batch_size, **options)  # fmt: skip
    model.coefs_, model.intercepts_ = start()
    expected = naive.train(
        *start(), X, Y, activation="tanh", dropout=dropout, dropout_seed=SEED, shuffle=False, batch_size=batch_size, **options
    )
    model.fit(X, Y)
    for mine, theirs in zip(weights(model), [*expected.coefs, *expected.intercepts], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("dropout", [(0.0, 0.5), (0.25, 0.5)])
def test_mean_gradient_is_that_of_the_mean_loss(dropout):
    """One step over 60,000 copies of a row is the mean over as many masks; the truth goes through all masks there are."""
    sizes, n = (2, 3, 1), 60_000
    coefs, intercepts = start(sizes)
    x, y = np.array([0.7, -1.1]), 0.4
    kept = [*[1 - dropout[0]] * 2, *[1 - dropout[1]] * 3]
    every_mask = np.array(list(itertools.product((0, 1), repeat=5)), dtype=float)
    odds = np.prod(np.where(every_mask > 0, kept, 1 - np.array(kept)), axis=1)
    factors = every_mask / kept

    def losses(parameters):
        """Of each mask."""
        W, b, V, c = (part.reshape(like.shape) for part, like in zip(np.split(parameters, cuts), arrays, strict=True))
        hidden = np.tanh((x * factors[:, :2]) @ W + b) * factors[:, 2:]
        return 0.5 * ((hidden @ V + c)[:, 0] - y) ** 2

    arrays = [coefs[0], intercepts[0], coefs[1], intercepts[1]]
    cuts = np.cumsum([array.size for array in arrays])[:-1]
    flat, h = np.concatenate([array.ravel() for array in arrays]), 1e-6
    slopes = np.array([(losses(flat + move) - losses(flat - move)) / (2 * h) for move in h * np.eye(flat.size)])
    mean = slopes @ odds
    error = np.sqrt((slopes**2 @ odds - mean**2) / n)
    model = BPRegressor(hidden_layer_sizes=3, activation="tanh", solver="sgd", momentum=0.0, alpha=0.0, learning_rate_init=1.0,
                        batch_size=n, dropout=dropout, random_state=0)  # fmt: skip
    model.coefs_, model.intercepts_ = start(sizes)
    model.partial_fit(np.tile(x, (n, 1)), np.full(n, y))
    after = [model.coefs_[0], model.intercepts_[0], model.coefs_[1], model.intercepts_[1]]
    stepped = flat - np.concatenate([array.ravel() for array in after])
    assert (np.abs(stepped - mean) < 4.5 * error + 1e-8).all()
    assert abs(model.loss_ - losses(flat) @ odds) < 5 * np.sqrt(losses(flat) ** 2 @ odds / n)


def test_the_test_loss_falls_on_a_noisy_set():
    """The truth is known, half of what is seen is noise, and the network could learn it by heart."""
    random_state = np.random.RandomState(0)

    def truth(X):
        return np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2]

    inputs, unseen = random_state.uniform(-1, 1, (200, 10)), random_state.uniform(-1, 1, (2000, 10))
    targets = truth(inputs) + random_state.normal(0, 0.7, 200)
    options = {"hidden_layer_sizes": (80, 80), "max_iter": 150, "tol": 0, "n_iter_no_change": np.inf, "batch_size": 32}
    errors = {}
    for dropout in (0.0, 0.5):
        models = [BPRegressor(dropout=dropout, random_state=seed, **options).fit(inputs, targets) for seed in range(2)]
        errors[dropout] = np.mean([np.mean((model.predict(unseen) - truth(unseen)) ** 2) for model in models])
    assert errors[0.5] < 0.8 * errors[0.0]


@pytest.mark.parametrize("n_threads", [2, 3, 5])
@pytest.mark.parametrize("dropout", [0.5, (0.2, 0.3, 0.4)])
def test_same_bits_for_any_number_of_threads(n_threads, dropout, teams_for_any_work):
    """In blocks and in slabs."""
    random_state = np.random.RandomState(0)
    inputs, targets = random_state.randn(1500, 30), random_state.randn(1500)
    for sizes in ((60, 50), (4, 3)):
        for batch_size in (700, 1500):
            options = {"hidden_layer_sizes": sizes, "activation": "tanh", "max_iter": 3, "batch_size": batch_size,
                       "random_state": 0}  # fmt: skip
            one, several = (BPRegressor(dropout=dropout, n_threads=n, **options).fit(inputs, targets) for n in (1, n_threads))
            assert_same(one, several)


def test_rates_of_zero_change_no_bit():
    options = {"hidden_layer_sizes": (6, 5), "max_iter": 4, "random_state": 0}
    plain = BPClassifier(**options).fit(X, LABELS)
    for none in (0, 0.0, [0, 0.0, 0], np.zeros(3)):
        assert_same(plain, BPClassifier(dropout=none, **options).fit(X, LABELS))
        BPClassifier(dropout=none, **options).set_params(solver="lbfgs").fit(X, LABELS)
    assert_same(
        BPClassifier(dropout=0.4, **options).fit(X, LABELS), BPClassifier(dropout=[0, 0.4, 0.4], **options).fit(X, LABELS)
    )


def test_goes_with_the_rest():
    """With sparse rows, weights, float32, restarts, early stopping, partial_fit and searches; predictions drop nothing."""
    options = {"hidden_layer_sizes": (8, 6), "max_iter": 4, "dropout": 0.3, "random_state": 0, "batch_size": 10}
    model = BPClassifier(**options).fit(X, LABELS)
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X))
    sparse = BPClassifier(**options).fit(scipy.sparse.csr_matrix(X), LABELS)
    assert_same(model, sparse, rtol=1e-9, atol=1e-12)
    assert_same(model, BPClassifier(**options).fit(X.astype(np.float32), LABELS), rtol=1e-3, atol=1e-4)
    weightless, weighted = (BPClassifier(**options, alpha=0.0).fit(X, LABELS, weight) for weight in (None, np.full(30, 3.0)))
    assert_same(weightless, weighted, rtol=1e-6, atol=1e-9)
    whole = BPClassifier(**{**options, "shuffle": False, "tol": 0}).fit(X, LABELS)
    parts = BPClassifier(**{**options, "shuffle": False, "tol": 0})
    for _ in range(4):
        parts.partial_fit(X, LABELS, classes=[0, 1, 2])
    assert_same(whole, parts)
    assert BPClassifier(**options, n_restarts=3).fit(X, LABELS).restart_losses_.shape == (3,)
    BPClassifier(**options, early_stopping=True).fit(X, LABELS)
    for early_stopping in (False, True):
        settings = {**options, "n_restarts": 2, "early_stopping": early_stopping}
        grid = {"dropout": [0.0, 0.3, [0.1, 0.2, 0.5]], "alpha": [1e-4, 1.0]}
        searches = [Search(BPClassifier(**settings), grid, cv=2).fit(X, LABELS) for Search in (GridSearchCV, BPSearchCV)]
        np.testing.assert_array_equal(*(search.cv_results_["mean_test_score"] for search in searches))


def test_wide_tables():
    """Fewer rows than columns: in the span of the rows where the inputs stay whole, else in the columns themselves."""
    wide, y = np.random.RandomState(1).randn(20, 300), np.arange(20.0)
    options = {"hidden_layer_sizes": 5, "solver": "sgd", "max_iter": 400, "learning_rate_init": 1e-4, "shuffle": False,
               "batch_size": 5, "tol": 0, "n_iter_no_change": np.inf, "random_state": 3}  # fmt: skip
    for dropout in (0.2, (0.2, 0.2)):
        model = BPRegressor(dropout=dropout, **options).fit(wide, y)
        columns = BPRegressor(dropout=dropout, **options)
        for _ in range(2):
            columns.partial_fit(wide, y)
        assert model.loss_curve_[-1] < model.loss_curve_[0]
        np.testing.assert_allclose(model.loss_curve_[:2], columns.loss_curve_, rtol=1e-9 if dropout == 0.2 else 0)


def test_what_it_does_not_go_with():
    sparse = scipy.sparse.csr_matrix(X)
    for estimator in (BPClassifier, BPRegressor):
        with pytest.raises(ValueError, match="does not go with solver='lbfgs'"):
            estimator(dropout=0.5, solver="lbfgs").fit(X, LABELS)
        with pytest.raises(ValueError, match="does not go with a sparse X"):
            estimator(hidden_layer_sizes=3, dropout=(0.1, 0.5)).fit(sparse, LABELS)
        for rate in (1.0, -0.1, 2, "0.5", None, [0.1, 1.0]):
            with pytest.raises(ValueError, match="'dropout' parameter"):
                estimator(hidden_layer_sizes=3, dropout=rate).fit(X, LABELS)
        for rates in ([0.5], [0.1, 0.2, 0.3]):
            with pytest.raises(ValueError, match="needs 2: one for the inputs and one per hidden layer"):
                estimator(hidden_layer_sizes=3, dropout=rates).fit(X, LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        BPRegressor(hidden_layer_sizes=(), dropout=0.5, max_iter=1).fit(X, Y)  # no hidden layer, nothing to drop
