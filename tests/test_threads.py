"""No more threads than cores, wherever a fit runs."""

import threading

import joblib
import pytest
from joblib import delayed, parallel_config
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from fastbp import BPClassifier, BPSearchCV
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
