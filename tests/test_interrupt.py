"""Ctrl-C in the middle of the compiled loop: a real signal to a real process."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from fastbp.kernels.atomics import INTERRUPT
from fastbp.training.threads import run_pool, run_team
from fastbp.training.workspace import Scratch

not_windows = pytest.mark.skipif(sys.platform == "win32", reason="sends itself SIGINT")

CHILD = """
import os, signal, sys, threading, time, warnings
import numpy as np
from fastbp import BPClassifier
from fastbp.training.threads import Worker

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
rng = np.random.RandomState(0)
X = rng.normal(size=(20000, 60))
y = rng.randint(0, 5, 20000)
options = eval(sys.argv[1])
BPClassifier(max_iter=1, **options).fit(X[:100], y[:100])  # compiled or loaded before the signal comes
sent = []

def interrupt():
    time.sleep(1.0)
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)

model = BPClassifier(max_iter=10**6, tol=0, n_iter_no_change=10**9, **options)
threading.Thread(target=interrupt).start()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model.fit(X, y)
late = time.perf_counter() - sent[0]
assert any("Training interrupted by user" in str(w.message) for w in caught), caught
assert all(np.isfinite(W).all() for W in model.coefs_)
assert model.n_iter_ < 10**6
assert model.solver == "lbfgs" or len(model.loss_curve_) == model.n_iter_
n_begun = min(model.n_restarts, model.n_threads or 1)
assert model.loss_ == np.nanmin(model.restart_losses_[:n_begun])
assert np.isnan(model.restart_losses_[n_begun:]).all()
for thread in threading.enumerate():
    if isinstance(thread, Worker):
        thread.wait(30)
        assert thread.has_ended
model.predict(X[:10])
print(f"came back {late:.3f} s after the signal")
"""


@not_windows
@pytest.mark.parametrize(
    "options",
    [
        "dict(n_threads=1)",
        "dict(n_threads=2)",
        "dict(batch_size=20000, hidden_layer_sizes=(300, 300))",
        "dict(solver='sgd', batch_size=1, n_threads=1)",
        "dict(early_stopping=True)",
        "dict(solver='lbfgs')",
        "dict(n_restarts=5, n_threads=1)",
        "dict(n_restarts=5, n_threads=2)",
        "dict(n_restarts=2, n_threads=4, batch_size=10000)",
        "dict(n_restarts=5, n_threads=3, solver='sgd', batch_size=1)",
        "dict(n_restarts=5, n_threads=2, solver='lbfgs')",
    ],
)
def test_signal_stops_the_compiled_loop(options):
    result = subprocess.run([sys.executable, "-c", CHILD, options], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-2000:]
    print(result.stdout)


def wait_for_signal_and_take_time(sync, ended, sends):
    """Stand in for a kernel that is slow to stop."""
    if sends:
        os.kill(os.getpid(), signal.SIGINT)
    deadline = time.monotonic() + 60
    while not sync[INTERRUPT] and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    ended.append(sync[INTERRUPT])


@not_windows
@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_team_is_waited_for(n_threads):
    """Python before 3.13 takes a thread for dead once Ctrl-C has interrupted its join."""
    ended = []

    def kernel(thread, n_threads, sync):
        wait_for_signal_and_take_time(sync, ended, thread == 0)

    assert run_team(kernel, n_threads, (), work=1e12) is False
    assert ended == [1] * n_threads


@not_windows
def test_a_pool_is_waited_for():
    ended = []

    def task(number, scratch):
        wait_for_signal_and_take_time(scratch.sync, ended, number == 0)

    assert run_pool(task, range(2), [Scratch(), Scratch()]) is True
    assert 1 <= len(ended) <= 2  # the second may not have begun
    assert set(ended) == {1}


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_no_thread_is_left_waiting_when_not_all_could_be_started(error, monkeypatch):
    start, started, calls = threading.Thread.start, [], []

    def start_one(thread):
        if started:
            raise error("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one)
    with pytest.raises(error):
        run_team(lambda *arguments: calls.append(arguments), 3, (), work=1e12)
    started[0].join(60)
    assert not started[0].is_alive()
    assert not calls
