"""Training in the span of the rows of wide tables: the same model as on the table itself."""

import sys
import warnings
from inspect import signature

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import linalg, sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from streams import Interrupt

from fastbp import BPClassifier, BPRegressor, BPSearchCV
from fastbp.kernels.triangular import FACTORIZE, SOLVE, SOLVE_TRANSPOSED, multiply, triangular
from fastbp.training import row_space as row_space_module
from fastbp.training.row_space import CHUNK, RowSpace, is_worth_it

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
OPTIONS = {"hidden_layer_sizes": (6, 5), "solver": "sgd", "batch_size": 30, "max_iter": 60, "tol": 0.0, "random_state": 3}


def wide_table(n_rows=40, n_features=CHUNK + 300, dtype=np.float64, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.uniform(-0.2, 1.0, (n_rows, n_features)).astype(dtype) / 8
    return X, rng.randint(0, 3, n_rows)


@pytest.fixture
def spaces(monkeypatch):
    """Every RowSpace that is made while the test runs."""
    made = []

    class Noted(RowSpace):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr("fastbp.training.row_space.RowSpace", Noted)
    return made


def assert_same_model(ours, theirs, rtol=1e-7, atol=1e-9, same_dtype=True):
    assert ours.n_iter_ == theirs.n_iter_
    assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=rtol, atol=atol)
    for mine, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_):
        assert mine.dtype == other.dtype or not same_dtype
        assert_allclose(mine, other, rtol=rtol, atol=atol)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 7, "nesterovs_momentum": False},
        {"batch_size": 1, "max_iter": 10},
        {"alpha": 3.0, "momentum": 0.5},
        {"alpha": 0.0, "learning_rate": "invscaling"},
        {"learning_rate": "adaptive", "tol": 1e-2, "n_iter_no_change": 2, "max_iter": 100},
        {"early_stopping": True, "n_iter_no_change": 50},
        {"shuffle": False, "batch_size": 11, "activation": "tanh"},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_same_model_as_scikit_learn(options, dtype, spaces):
    X, y = wide_table(dtype=dtype)
    options = {**OPTIONS, **options}
    ours = BPClassifier(**options).fit(X, y)
    assert len(spaces) == 1
    tolerances = {} if dtype == np.float64 else {"rtol": 2e-3, "atol": 1e-4}
    assert_same_model(ours, MLPClassifier(**options).fit(X, y), **tolerances)


@pytest.mark.skipif(
    "sample_weight" not in signature(MLPRegressor.fit).parameters, reason="scikit-learn's MLPs take sample_weight from 1.7 on"
)
def test_regression_of_several_outputs_with_weights(spaces):
    X, _ = wide_table()
    rng = np.random.RandomState(1)
    Y, weights = rng.standard_normal((len(X), 2)), rng.uniform(0.1, 2.0, len(X))
    ours = BPRegressor(**OPTIONS).fit(X, Y, sample_weight=weights)
    assert len(spaces) == 1
    assert_same_model(ours, MLPRegressor(**OPTIONS).fit(X, Y, sample_weight=weights))


@pytest.mark.parametrize("kind", ["duplicates", "zeros", "constant", "huge", "few"])
def test_rows_that_depend_on_each_other(kind, spaces):
    X, y = wide_table()
    if kind == "duplicates":
        X[20:] = X[:20]
    elif kind == "zeros":
        X[:] = 0.0
    elif kind == "constant":
        X[:] = 0.1
    elif kind == "huge":
        X[0] *= 1e6
    else:
        X = X[:3] * 1e-3
        y = y[:3]
    options = {**OPTIONS, "learning_rate_init": 1e-14 if kind == "huge" else 1e-3, "batch_size": len(X)}
    ours = BPClassifier(**options).fit(X, y)
    assert len(spaces) == 1
    assert_same_model(ours, MLPClassifier(**options).fit(X, y), atol=1e-8)


def test_sparse_rows(spaces):
    X, y = wide_table(n_features=5000)
    X[np.random.RandomState(2).uniform(size=X.shape) < 0.9] = 0.0
    options = {**OPTIONS, "batch_size": 8, "max_iter": 100}
    ours = BPClassifier(**options).fit(sparse.csr_matrix(X), y)
    assert len(spaces) == 1
    assert_same_model(ours, MLPClassifier(**options).fit(X, y))


@pytest.mark.parametrize("early_stopping", [False, True])
def test_training_goes_on_where_fit_ended(early_stopping, spaces):
    """The velocities, the part of the weights outside the span and the best weights come back too."""
    X, y = wide_table()
    options = {**OPTIONS, "alpha": 1.0, "warm_start": True, "early_stopping": early_stopping}
    ours, theirs = BPClassifier(**options).fit(X, y), MLPClassifier(**options).fit(X, y)
    if not early_stopping:
        for _ in range(3):
            ours.partial_fit(X, y)
            theirs.partial_fit(X, y)
        assert_same_model(ours, theirs)
    ours.fit(X, y)
    assert len(spaces) == (1 if early_stopping else 2)  # weights to go back to may lie outside the span
    if not early_stopping:
        assert_same_model(ours, theirs.fit(X, y))


def test_restarts_share_one_basis(spaces):
    X, y = wide_table()
    alone = BPClassifier(**OPTIONS).fit(X, y)
    several = BPClassifier(**OPTIONS, n_restarts=4, n_threads=2).fit(X, y)
    assert len(spaces) == 2
    assert several.restart_losses_[0] == alone.loss_
    assert len(set(several.restart_losses_)) == 4


@pytest.mark.parametrize("batch_size", [30, 9])
def test_same_bits_for_any_number_of_threads(batch_size, teams_for_any_work, spaces):
    X, y = wide_table(500, 2 * CHUNK)
    assert 2 * len(X) ** 2 * X.shape[1] > row_space_module.TEAM_WORK  # which products that are less do not share
    options = {**OPTIONS, "hidden_layer_sizes": (100, 5), "batch_size": batch_size, "max_iter": 40}
    one, two = (BPClassifier(**options, n_threads=n).fit(X, y) for n in (1, 2))
    assert len(spaces) == 2
    for first, second in zip(one.coefs_ + one.intercepts_, two.coefs_ + two.intercepts_):
        assert_array_equal(first, second)


def test_search_gives_the_scores_of_grid_search(spaces):
    X, y = wide_table(60)
    grid = {"hidden_layer_sizes": [(3,), (6, 5)], "early_stopping": [False, True]}
    model = BPClassifier(**OPTIONS)
    searches = [Search(model, grid, cv=3, refit=False).fit(X, y) for Search in (GridSearchCV, BPSearchCV)]
    # a span of each fit for GridSearchCV; of each fold for ours, but where early stopping makes rows of its own
    assert len(spaces) == 12 + 3 + 6
    assert_array_equal(*(search.cv_results_["mean_test_score"] for search in searches))


def test_divergence_keeps_finite_weights_of_the_table(spaces):
    X, y = wide_table()
    model = BPRegressor(**{**OPTIONS, "learning_rate_init": 1e6})
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="in epoch"):
        model.fit(X, 1e3 * y)
    assert len(spaces) == 1
    assert model.coefs_[0].shape == (X.shape[1], 6)
    assert all(np.isfinite(W).all() for W in model.coefs_)


def test_overflow_in_the_products_leaves_the_table(spaces):
    X, y = wide_table()
    X *= 1e160
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = BPClassifier(**{**OPTIONS, "activation": "tanh", "max_iter": 30, "learning_rate_init": 1e-170}).fit(X, y)
    assert len(spaces) == 1
    assert not np.isfinite(spaces[0].X).all()
    assert np.isfinite(model.loss_)


def test_only_where_it_saves_work(spaces):
    X, y = wide_table()
    for options in ({"solver": "adam"}, {"solver": "lbfgs"}, {"max_iter": 1}):
        BPClassifier(**{**OPTIONS, **options}).fit(X, y)
    BPClassifier(**OPTIONS).partial_fit(X, y, classes=[0, 1, 2])
    BPClassifier(**OPTIONS).fit(X[:, :60], y)
    assert spaces == []
    assert is_worth_it(X, 40, 6, 30, 60)
    assert not is_worth_it(sparse.csr_matrix((40, 10**6)), 40, 6, 30, 60)
    assert not is_worth_it(np.broadcast_to(0.0, (5000, 10**6)), 5000, 100, 200, 200)


def test_a_read_only_map_is_not_copied(tmp_path, spaces):
    X, y = wide_table()
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert_same_model(BPClassifier(**OPTIONS).fit(mapped, y), BPClassifier(**OPTIONS).fit(X, y), rtol=0.0, atol=0.0)
    assert len(spaces) == 2


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 50])
def test_triangular_kernel_against_scipy(n):
    rng = np.random.RandomState(n)
    stride = n + -n % 16
    A = rng.standard_normal((n, 2 * n + 3))
    K, rows = np.zeros((n, stride)), np.zeros((5, stride))
    K[:, :n] = A @ A.T
    rows[:, :n] = rng.standard_normal((5, n))
    L = K.copy()
    triangular(FACTORIZE, L.reshape(-1), L.reshape(-1), n, n, stride)
    expected = linalg.cholesky(K[:, :n], lower=True)
    assert_allclose(L[:, :n], expected, rtol=1e-10, atol=1e-12)
    assert not L[:, n:].any()
    for task, transposed in ((SOLVE, "N"), (SOLVE_TRANSPOSED, "T")):
        solved = rows.copy()
        triangular(task, L.reshape(-1), solved.reshape(-1), 5, n, stride)
        expected_rows = linalg.solve_triangular(expected, rows[:, :n].T, lower=True, trans=transposed).T
        assert_allclose(solved[:, :n], expected_rows, rtol=1e-9, atol=1e-10)
        assert not solved[:, n:].any()


@pytest.mark.parametrize("n_rows", [1, 47, 100])
@pytest.mark.parametrize("only_lower", [0, 1])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_multiply_adds_a_product_of_any_strides(n_rows, only_lower, dtype):
    rng = np.random.RandomState(n_rows)
    A, B, C = (rng.standard_normal(shape).astype(dtype) for shape in ((30, n_rows), (30, 112), (n_rows, 112)))
    expected = C + A.T @ B
    sync = np.zeros(16, dtype=np.int64)
    for thread in range(3):
        multiply(thread, 3, sync, A.reshape(-1), 1, n_rows, B.reshape(-1), C.reshape(-1), n_rows, 30, 112, only_lower)
    kept = np.tril(np.ones(C.shape, dtype=bool)) if only_lower else slice(None)
    assert_allclose(C[kept], expected[kept], rtol=1e-4 if dtype == np.float32 else 1e-12, atol=1e-5)


def test_ctrl_c_keeps_what_was_trained(monkeypatch, spaces):
    X, y = wide_table()
    model, shorter = BPClassifier(**OPTIONS, verbose=1), BPClassifier(**{**OPTIONS, "max_iter": 5}).fit(X, y)
    monkeypatch.setattr(sys, "stdout", Interrupt(4))
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X, y)
    assert model.n_iter_ == 5
    assert_allclose(model.coefs_[0], shorter.coefs_[0], rtol=1e-9, atol=1e-12)


def test_ctrl_c_while_the_basis_is_made(monkeypatch):
    def multiply_interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(RowSpace, "_multiply", multiply_interrupted)
    X, y = wide_table()
    with pytest.warns(UserWarning, match="interrupted"):
        model = BPClassifier(**OPTIONS).fit(X, y)
    assert model.n_iter_ == 0
    assert model.predict(X).shape == y.shape


def test_ctrl_c_on_the_way_back(monkeypatch, spaces):
    X, y = wide_table()
    model, expected = BPClassifier(**OPTIONS), BPClassifier(**OPTIONS).fit(X, y)
    leave, n_interrupts = RowSpace.leave, 1

    def leave_interrupted(*arguments):
        nonlocal n_interrupts
        n_interrupts -= 1
        if n_interrupts >= 0:
            raise KeyboardInterrupt
        return leave(*arguments)

    monkeypatch.setattr(RowSpace, "leave", leave_interrupted)
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X, y)
    assert_same_model(model, expected, rtol=0.0, atol=0.0)
    n_interrupts = 2
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X, y)
    assert model._optimizer.moments[0].shape == model._params.shape
    assert np.isfinite(model.partial_fit(X, y).loss_)


def test_a_row_of_a_larger_scale(spaces):
    X, y = wide_table()
    X[0] *= 1e7
    options = {**OPTIONS, "activation": "tanh", "learning_rate_init": 0.1, "alpha": 0.01}
    ours = BPClassifier(**options).fit(X, y)
    assert len(spaces) == 1
    assert_same_model(ours, MLPClassifier(**options).fit(X, y), rtol=1e-6)


def test_a_warm_start_on_rows_that_hardly_differ_in_float32(spaces):
    rng = np.random.RandomState(0)
    X = (rng.standard_normal((100, 2)) @ rng.standard_normal((2, 2000)) / 45).astype(np.float32)
    Y = rng.standard_normal(100)
    options = {"hidden_layer_sizes": (), "solver": "sgd", "batch_size": 1, "max_iter": 200, "tol": 0.0, "alpha": 0.1}
    ours, theirs = (BPRegressor(**options, learning_rate_init=0.01, random_state=0, warm_start=True) for _ in range(2))
    for _ in range(2):
        assert_same_model(ours.fit(X, Y), theirs.fit(X.astype(np.float64), Y), rtol=1e-4, atol=1e-6, same_dtype=False)
    assert len(spaces) == 4
