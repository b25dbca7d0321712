"""Several starts of one network: side by side, chosen without regard to time, ended together."""

import _thread
import copy
import itertools
import queue
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from streams import Interrupt

from fastbp import BPClassifier, BPRegressor, names
from fastbp.kernels.atomics import INTERRUPT
from fastbp.training.outcome import CONVERGED, Outcome
from fastbp.training.solvers import TRAINERS
from fastbp.training.threads import run_pool
from fastbp.training.workspace import Scratch

X, Y = load_iris(return_X_y=True)
SOLVERS = list(names.SOLVERS)


def estimator_for(solver):
    """The classifier, unless the solver is not for its loss."""
    losses = names.SOLVERS[solver].losses
    return BPRegressor if losses and "log_loss" not in losses else BPClassifier


ENDLESS = {"max_iter": 10**6, "n_iter_no_change": np.inf, "tol": 0}
PATIENCE = 600  # seconds until a test that waits for another thread gives up


def weights(model):
    return [*model.coefs_, *model.intercepts_]


def assert_same_run(model, reference):
    """The same start was chosen, and it is the same to the bit."""
    for own, other in zip(weights(model), weights(reference), strict=True):
        np.testing.assert_array_equal(own, other)
    assert (model.loss_, model.n_iter_) == (reference.loss_, reference.n_iter_)
    assert getattr(model, "loss_curve_", None) == getattr(reference, "loss_curve_", None)


def later_seeds(seed, n_seeds):
    """What the starts after the first are seeded with."""
    return np.random.RandomState(seed).randint(2**31 - 1, size=n_seeds)


# What the starts are


def test_first_restart_is_the_single_start():
    options = {"hidden_layer_sizes": 2, "activation": "tanh", "max_iter": 30}
    single_state, several_state = np.random.RandomState(3), np.random.RandomState(3)
    single = BPClassifier(random_state=single_state, **options).fit(X, Y)
    several = BPClassifier(random_state=several_state, n_restarts=4, **options).fit(X, Y)
    assert several.restart_losses_.shape == (4,)
    assert several.restart_losses_[0] == single.loss_ == single.restart_losses_[0]
    assert len(set(several.restart_losses_)) == 4
    assert several.loss_ == several.restart_losses_.min() == several.loss_curve_[-1]
    # nor do the other starts draw from the random state of the first
    assert single_state.randint(2**31) == several_state.randint(2**31)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("estimator", [BPClassifier, BPRegressor])
def test_starts_are_separate_fits(estimator, solver):
    if estimator is BPClassifier:
        estimator = estimator_for(solver)
    model = estimator(hidden_layer_sizes=4, max_iter=20, solver=solver, n_restarts=4, n_threads=2, random_state=7).fit(X, Y)
    separate = [
        copy.deepcopy(model).set_params(n_restarts=1, n_threads=1, random_state=int(seed)).fit(X, Y)
        for seed in [7, *later_seeds(7, 3)]
    ]
    np.testing.assert_array_equal(model.restart_losses_, [single.loss_ for single in separate])
    assert_same_run(model, separate[np.argmin(model.restart_losses_)])


@pytest.mark.parametrize("options", [{"solver": "lbfgs"}, {"early_stopping": True}], ids=["lbfgs", "early_stopping"])
def test_restarts_keep_the_best(options):
    several = BPClassifier(2, n_restarts=5, max_iter=20, random_state=0, **options).fit(X, Y)
    single = BPClassifier(2, max_iter=20, random_state=0, **options).fit(X, Y)
    assert several.restart_losses_[0] == single.loss_
    if options == {"solver": "lbfgs"}:
        assert several.loss_ == several.restart_losses_.min()
    else:
        assert several.best_validation_score_ >= single.best_validation_score_
        assert max(several.validation_scores_) == several.best_validation_score_


# Side by side


@pytest.mark.parametrize("n_threads", [2, 3, 7, None])
@pytest.mark.parametrize(
    "options",
    [{"solver": "lbfgs"}, {"solver": "sgd", "batch_size": 1}, {}, {"early_stopping": True}, {"shuffle": False}],
    ids=["lbfgs", "online", "adam", "early_stopping", "in_order"],
)
def test_same_bits_with_any_number_of_threads(options, n_threads):
    """Enough work for threads within a start too."""
    rng = np.random.RandomState(0)
    X, y = rng.randn(3000, 30), rng.randint(3, size=3000)
    model = BPClassifier(**{"max_iter": 2, "batch_size": 1500, "random_state": 0, "n_restarts": 3, **options})
    reference = copy.deepcopy(model).set_params(n_threads=1).fit(X, y)
    model.set_params(n_threads=n_threads).fit(X, y)
    assert_same_run(model, reference)
    np.testing.assert_array_equal(model.restart_losses_, reference.restart_losses_)


@pytest.fixture
def callers(monkeypatch):
    """The threads that train a start and the number of threads each start gets, in any order."""
    seen = []

    def record(name):
        train = TRAINERS[name]

        def recorded(*args, **options):
            seen.append((threading.current_thread(), options["n_threads"]))
            meeting.wait(PATIENCE)
            return train(*args, **options)

        monkeypatch.setitem(TRAINERS, name, recorded)

    meeting = threading.Barrier(1)
    for name in TRAINERS:
        record(name)

    def meet(n):
        nonlocal meeting
        meeting = threading.Barrier(n)
        seen.clear()
        return seen

    return meet


@pytest.mark.parametrize("solver", SOLVERS)
def test_starts_run_at_once(solver, callers):
    """Nobody goes on until all are there: one after the other would never end."""
    for n_restarts, n_threads, n_workers, n_inner_threads in [(2, 2, 2, 1), (4, 2, 2, 1), (3, 7, 3, 2)]:
        seen = callers(n_workers)
        model = estimator_for(solver)(solver=solver, n_restarts=n_restarts, n_threads=n_threads, max_iter=2, random_state=0)
        model.fit(X, Y)
        threads = {thread for thread, _ in seen}
        assert len(seen) == n_restarts
        assert len(threads) == n_workers
        assert threading.current_thread() not in threads
        assert {n for _, n in seen} == {n_inner_threads}


def test_no_thread_is_started_without_need(callers, monkeypatch):
    monkeypatch.setattr(_thread, "start_new_thread", None)
    for n_restarts, n_threads in [(1, None), (1, 2), (3, 1)]:
        seen = callers(1)
        BPClassifier(n_restarts=n_restarts, n_threads=n_threads, max_iter=2, random_state=0).fit(X, Y)
        assert seen == [(threading.current_thread(), n_threads)] * n_restarts


def test_one_thread_outside_the_main_thread(callers):
    seen = callers(1)
    model = BPClassifier(n_restarts=3, max_iter=2, random_state=0)
    caller = threading.Thread(target=model.fit, args=(X, Y))
    caller.start()
    caller.join()
    assert seen == [(caller, 1)] * 3
    assert model.restart_losses_.shape == (3,)


# The choice


def test_equal_starts_and_starts_that_fail_are_chosen_by_number(monkeypatch):
    """The first one ends last."""
    state, is_second_done, fails = np.random.RandomState(0), threading.Event(), False

    def train(run, *rest, **options):
        is_first = run.random_state is state
        if is_first:
            assert is_second_done.wait(PATIENCE)
        run.params[:] = 0.0 if is_first else 1.0
        run.history.loss = 1.0
        is_second_done.set()
        if fails:
            raise ValueError("first" if is_first else "second")
        return Outcome(CONVERGED)

    monkeypatch.setitem(TRAINERS, "stochastic", train)
    model = BPClassifier(n_restarts=2, n_threads=2, random_state=state).fit(X, Y)
    assert model.restart_losses_.tolist() == [1.0, 1.0]
    assert not any(array.any() for array in weights(model))
    fails = True
    is_second_done.clear()
    with pytest.raises(ValueError, match="first"):
        model.fit(X, Y)
    assert np.isnan(model.restart_losses_).all()


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_start_that_diverges_is_left_out_and_does_not_reach_the_next(n_threads):
    """A start takes over the memory of the one before."""
    options = {"activation": "leaky_relu", "solver": "sgd", "momentum": 0, "learning_rate_init": 0.5, "tol": 0}
    model = BPRegressor(hidden_layer_sizes=7, n_restarts=6, n_threads=n_threads, random_state=0, **options).fit(X, Y)
    losses = []
    for seed in [0, *later_seeds(0, 5)]:
        try:
            losses.append(BPRegressor(hidden_layer_sizes=7, random_state=int(seed), **options).fit(X, Y).loss_)
        except ValueError:
            losses.append(np.nan)
    np.testing.assert_array_equal(model.restart_losses_, losses)
    assert np.isnan(losses[:3]).all()
    assert model.loss_ == np.nanmin(losses)


# Ctrl-C and errors


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("solver", SOLVERS)
def test_interrupt_keeps_the_best_so_far(solver, n_threads, monkeypatch):
    estimator = estimator_for(solver)
    model = estimator(solver=solver, random_state=0, verbose=True, n_restarts=4, n_threads=n_threads, **ENDLESS)
    monkeypatch.setattr(sys, "stdout", Interrupt(9))
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X, Y)
    monkeypatch.undo()
    assert np.isnan(model.restart_losses_[n_threads:]).all()
    assert model.loss_ == np.nanmin(model.restart_losses_)
    assert 0 < model.n_iter_ <= 10
    assert model.predict(X).shape == Y.shape
    if n_threads == 1:  # else the best may be the one that was in the middle of an epoch
        reference = estimator(solver=solver, random_state=0, **{**ENDLESS, "max_iter": 10}).fit(X, Y)
        for own, other in zip(weights(model), weights(reference), strict=True):
            np.testing.assert_allclose(own, other, rtol=1e-12)


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("solver", SOLVERS)
def test_interrupt_before_a_first_epoch_keeps_the_start_with_epochs(solver, last, monkeypatch):
    """The first start is the one that has nothing to show, whether it ends first or last."""
    is_second_trained, first_worker = threading.Event(), queue.Queue()
    name = names.SOLVERS[solver].trainer
    train = TRAINERS[name]

    def train_in_order(run, *args, scratch, **options):
        if run.number == 0:
            first_worker.put(threading.get_ident())
            assert is_second_trained.wait(PATIENCE)
            scratch.sync[INTERRUPT] = 1
            return train(run, *args, scratch=scratch, **options)
        outcome = train(run, *args, scratch=scratch, **options)
        is_second_trained.set()
        if last == 1:
            first, deadline = first_worker.get(timeout=PATIENCE), time.monotonic() + PATIENCE
            while first in sys._current_frames() and time.monotonic() < deadline:
                time.sleep(0.001)
        return outcome

    monkeypatch.setitem(TRAINERS, name, train_in_order)
    model = estimator_for(solver)(solver=solver, max_iter=3, n_restarts=2, n_threads=2, random_state=0)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X, Y)
    assert not np.isfinite(model.restart_losses_[0])
    assert model.loss_ == model.restart_losses_[1]
    assert model.n_iter_ == 3


@pytest.mark.parametrize("n_threads", [1, 2])
def test_errors_reach_the_caller_and_end_the_other_starts(n_threads):
    """The others would take hours."""
    calls = itertools.count()

    def rate(epoch):
        if next(calls) == 20:
            raise MemoryError("of one start")
        return 1.0

    options = {"learning_rate": rate, "n_restarts": 4, "n_threads": n_threads, "random_state": 0}
    model, n_before = BPClassifier(**options, **ENDLESS), _thread._count()
    with pytest.raises(MemoryError, match="of one start"):
        model.fit(X, Y)
    assert not hasattr(model, "coefs_")
    assert _thread._count() <= n_before


# What is said


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(
    "options",
    [{"solver": "lbfgs", "max_iter": 5}, {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 2}],
    ids=["lbfgs", "adaptive"],
)
def test_verbose_names_the_start(options, n_threads, capsys):
    options = {"verbose": 2, **options}
    BPClassifier(n_restarts=3, n_threads=n_threads, random_state=0, **options).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    expected = []
    for number, seed in enumerate([0, *later_seeds(0, 2)], start=1):
        BPClassifier(random_state=int(seed), **options).fit(X, Y)
        text = capsys.readouterr().out.splitlines()
        expected.append([f"Start {number} of 3, {line[0].lower()}{line[1:]}" for line in text])
    assert expected[1][0].startswith("Start 2 of 3, iteration 2, loss = ")
    assert [[line for line in lines if line.startswith(f"Start {n} of")] for n in (1, 2, 3)] == expected
    assert len(lines) == sum(map(len, expected))
    if n_threads == 1:
        assert lines == [line for text in expected for line in text]


@pytest.mark.parametrize("n_threads", [1, 2])
def test_one_warning_of_a_large_batch_and_one_of_no_convergence(n_threads):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        BPClassifier(n_restarts=3, n_threads=n_threads, batch_size=1000, max_iter=2, random_state=0).fit(X, Y)
    assert ["clipped" in str(warning.message) for warning in caught] == [True, False]
    assert {warning.filename for warning in caught} == {__file__}


# The pool itself


def test_pool_makes_do_with_the_threads_there_are(monkeypatch):
    start, n_left, done = _thread.start_new_thread, 1, []

    def start_few(*arguments):
        nonlocal n_left
        n_left -= 1
        if n_left < 0:
            raise RuntimeError("can't start new thread")
        return start(*arguments)

    monkeypatch.setattr(_thread, "start_new_thread", start_few)
    assert run_pool(lambda number, scratch: done.append(number), range(5), [Scratch(), Scratch()]) is False
    assert done == [0, 1, 2, 3, 4]
    with pytest.raises(RuntimeError, match="can't start new thread"):
        run_pool(lambda number, scratch: done.append(number), range(5), [Scratch(), Scratch()])
    assert len(done) == 5


def test_pool_waits_for_its_tasks_after_an_interrupt():
    """Ctrl-C twice, the second while it waits; nothing begins any more."""
    begun, ended, n_looks = [], [], 0
    may_end, have_begun = threading.Event(), threading.Barrier(3)

    def task(number, scratch):
        begun.append(number)
        have_begun.wait(PATIENCE)
        assert may_end.wait(PATIENCE)
        assert scratch.sync[INTERRUPT] == 1
        ended.append(number)

    def watch():
        nonlocal n_looks
        n_looks += 1
        if n_looks == 1:
            have_begun.wait(PATIENCE)
        if n_looks <= 2:
            raise KeyboardInterrupt
        may_end.set()

    assert run_pool(task, range(5), [Scratch(), Scratch()], watch=watch) is True
    assert sorted(begun) == sorted(ended) == [0, 1]
