"""No more threads than cores, wherever a fit runs; memory that a thread uses again."""

import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import delayed, parallel_config
from scipy.sparse import csr_array
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from fastbp import BPClassifier, BPRegressor, BPSearchCV
from fastbp.search import run
from fastbp.training import stochastic, threads


class Occupied:
    """Counts the threads that kernels run on at the same time."""

    def __init__(self, run_team):
        self._run_team, self._lock = run_team, threading.Lock()
        self.now = self.most = 0

    def __call__(self, kernel, n_threads, *arguments):
        with self._lock:
            self.now += n_threads
            self.most = max(self.most, self.now)
        try:
            return self._run_team(kernel, n_threads, *arguments)
        finally:
            with self._lock:
                self.now -= n_threads


@pytest.fixture
def four_cores(monkeypatch):
    """A machine of four cores, as far as fastbp knows, and what it makes of them."""
    occupied = Occupied(stochastic.run_team)
    for module, name in ((threads, "available_cores"), (run, "available_cores"), (threads, "present_cores")):
        monkeypatch.setattr(module, name, lambda: 4)
    monkeypatch.setattr(stochastic, "run_team", occupied)
    return occupied


def fit_wide(n_restarts=1):
    X, y = load_digits(return_X_y=True)
    return BPClassifier((256,), max_iter=2, tol=0, random_state=0, n_restarts=n_restarts).fit(X / 16, y)


def test_a_team_is_never_larger_than_the_machine(four_cores):
    X, y = load_digits(return_X_y=True)
    BPClassifier((100, 100), batch_size=1000, max_iter=2, n_threads=16).fit(X, y)
    assert four_cores.most == 4


def test_one_fit_takes_all_cores(four_cores):
    fit_wide()
    assert four_cores.most == 4


@pytest.mark.parametrize("n_restarts", [2, 3, 7])
def test_restarts_share_the_cores(four_cores, n_restarts):
    fit_wide(n_restarts)
    assert 1 < four_cores.most <= 4


@pytest.mark.parametrize("n_jobs", [1, 2, 3, 4])
def test_fits_of_a_search_share_the_cores(four_cores, n_jobs):
    X, y = load_digits(return_X_y=True)
    grid = {"hidden_layer_sizes": [(128,), (256,)], "max_iter": [1, 2]}
    BPSearchCV(BPClassifier(random_state=0, tol=0), grid, cv=3, n_jobs=n_jobs, refit=False).fit(X / 16, y)
    assert four_cores.most <= 4
    assert n_jobs > 1 or four_cores.most == 4


def test_a_fit_in_a_thread_of_joblib_takes_one(four_cores):
    X, y = load_digits(return_X_y=True)
    grid = {"hidden_layer_sizes": [(128,), (256,)]}
    with parallel_config(backend="threading"):
        GridSearchCV(BPClassifier(random_state=0, max_iter=1), grid, cv=3, n_jobs=2, refit=False).fit(X / 16, y)
    assert four_cores.most <= 2


def test_processes_of_joblib_share_the_cores():
    """Each finds its part in the environment that joblib makes for it."""
    n_jobs = threads.available_cores()
    with parallel_config(backend="loky"):
        cores = joblib.Parallel(n_jobs=n_jobs)(delayed(threads.available_cores)() for _ in range(2 * n_jobs))
    assert max(cores) * n_jobs <= joblib.cpu_count()


# ---- memory that a thread uses again


def small_fit(shared, dtype, kind, n_rows, n_targets, is_weighted, is_sparse, largest):
    """Weights, losses and predictions of a fit of a few rows."""
    rng = np.random.RandomState(n_rows)
    X, y = rng.normal(size=(n_rows, 4)).astype(dtype), rng.normal(size=(n_rows, n_targets))
    X_val, weights = np.full((2, 4), largest, dtype), rng.rand(n_rows) if is_weighted else None
    y = y if kind is BPRegressor else (y > 0 if n_targets > 1 else np.arange(n_rows) % 3)
    rows = csr_array if is_sparse else np.asarray
    model = kind(**shared, max_iter=2, random_state=0)
    model.fit(rows(X), y, weights, X_val=rows(X_val), y_val=y[:2])
    if shared["solver"] == "adam":
        model.partial_fit(rows(X), y)
    outputs = [model.predict(rows(X[:n])) for n in (1, 3, n_rows)]
    return [*model.coefs_, *model.intercepts_, *outputs, model.validation_loss_curve_]


SHARED = st.fixed_dictionaries(
    {
        "hidden_layer_sizes": st.sampled_from([(3,), (5, 2)]),
        "solver": st.sampled_from(["adam", "lbfgs"]),
        "batch_size": st.sampled_from([1, 4, 7]),
    }
)
OF_ONE_FIT = st.tuples(
    st.sampled_from([BPClassifier, BPRegressor]),
    st.sampled_from([12, 40]),
    st.sampled_from([1, 3]),
    *[st.booleans()] * 2,
    st.sampled_from([1.0, 1e30]),  # rows whose losses are infinite in float32
)


@settings(max_examples=30, deadline=None)
@given(SHARED, st.sampled_from([np.float32, np.float64]), st.lists(OF_ONE_FIT, min_size=3, max_size=8))
@pytest.mark.filterwarnings("ignore")
def test_a_fit_does_not_depend_on_those_before_it(shared, dtype, fits):
    for options in fits:
        with ThreadPoolExecutor(1) as thread:
            alone = thread.submit(small_fit, shared, dtype, *options).result()
        for array, expected in zip(small_fit(shared, dtype, *options), alone, strict=True):
            np.testing.assert_array_equal(array, expected)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_fit_within_a_fit_has_its_own_memory(solver):
    X, y = load_digits(return_X_y=True)
    X, y = X[:60] / 16, y[:60]
    options = {"hidden_layer_sizes": 5, "solver": solver, "max_iter": 3, "random_state": 0, "early_stopping": True}

    def score(model, X_val, y_val):
        BPClassifier(**options | {"random_state": 1}, scoring="accuracy").fit(X, y)
        return model.score(X_val, y_val)

    outer = BPClassifier(**options, scoring=score).fit(X, y)
    alone = BPClassifier(**options, scoring="accuracy").fit(X, y)
    assert outer.validation_scores_ == alone.validation_scores_
    for array, expected in zip(outer.coefs_, alone.coefs_):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.filterwarnings("ignore")
def test_a_large_fit_leaves_no_memory():
    X, y = load_digits(return_X_y=True)
    model = BPClassifier(300, batch_size=20, max_iter=1, n_threads=1).fit(X[:40], y[:40])
    tracemalloc.start()
    model.set_params(batch_size=1500).fit(X, y).compact().predict(X)
    kept = tracemalloc.get_traced_memory()[0] - sum(array.nbytes for array in model.coefs_)
    tracemalloc.stop()
    assert kept < 1.5e6
