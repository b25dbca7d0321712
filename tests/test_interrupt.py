"""Ctrl-C in the middle of the compiled loop: a real signal to a real process."""

import _thread
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fastbp import BPClassifier
from fastbp.kernels.atomics import INTERRUPT
from fastbp.training.predict import predict_outputs
from fastbp.training.threads import run_pool, run_team
from fastbp.training.workspace import Scratch

pytestmark = pytest.mark.slow

PATIENCE = 600  # seconds until a process counts as hung, on a machine that is slow and busy

not_windows = pytest.mark.skipif(sys.platform == "win32", reason="sends itself SIGINT")

CHILD = """
import _thread, os, signal, sys, threading, time, warnings
import numpy as np
import fastbp.kernels.epochs
import fastbp.kernels.lbfgs
from fastbp import BPClassifier, kernels
from fastbp.training import lbfgs, stochastic

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
rng = np.random.RandomState(0)
X = rng.normal(size=(20000, 60))
y = rng.randint(0, 5, 20000)
options = eval(sys.argv[1])
BPClassifier(max_iter=1, **options).fit(X[:100], y[:100])  # compiled or loaded before the signal comes
running, sent = {}, []  # the counters of each run that has begun, which its kernel moves

def advance(loop, n_epochs):
    running[id(loop)] = loop._counts
    return advance_loop(loop, n_epochs)

def descend(objective, memory, *arguments, **limits):
    running[id(memory)] = memory.counts
    return descend_memory(objective, memory, *arguments, **limits)

advance_loop, stochastic._Loop.advance = stochastic._Loop.advance, advance
descend_memory, lbfgs.descend = lbfgs.descend, descend

def interrupt():  # once every run that begins at once has validated an epoch, so is in the second, whatever the machine's pace
    while sum(int(counts[N_ITER] > 1) for counts in [*running.values()]) < n_begun:
        time.sleep(0.01)
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)

n_before = _thread._count()
model = BPClassifier(max_iter=10**6, tol=0, n_iter_no_change=10**9, **options)
n_begun = min(model.n_restarts, model.n_threads or 1)
N_ITER = kernels.lbfgs.N_ITER if model.solver == "lbfgs" else kernels.epochs.N_ITER
threading.Thread(target=interrupt).start()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model.fit(X, y)
late = time.perf_counter() - sent[0]
assert any("Training interrupted by user" in str(w.message) for w in caught), caught
assert all(np.isfinite(W).all() for W in model.coefs_)
assert 0 < model.n_iter_ < 10**6
assert model.solver == "lbfgs" or len(model.loss_curve_) == model.n_iter_
assert model.loss_ == np.nanmin(model.restart_losses_[:n_begun])
assert np.isnan(model.restart_losses_[n_begun:]).all()
deadline = time.monotonic() + 60
while _thread._count() > n_before and time.monotonic() < deadline:
    time.sleep(0.01)
assert _thread._count() <= n_before
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
        "dict(solver='lbfgs', early_stopping=True)",
        "dict(n_restarts=5, n_threads=1)",
        "dict(n_restarts=5, n_threads=2)",
        "dict(n_restarts=2, n_threads=4, batch_size=10000)",
        "dict(n_restarts=5, n_threads=3, solver='sgd', batch_size=1)",
        "dict(n_restarts=5, n_threads=2, solver='lbfgs')",
    ],
)
def test_signal_stops_the_compiled_loop(options):
    result = subprocess.run([sys.executable, "-c", CHILD, options], capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 0, result.stderr[-2000:]
    print(result.stdout)


STORM = """
import _thread, os, random, signal, sys, threading, time, warnings
import numpy as np
from fastbp import BPClassifier

signal.signal(signal.SIGINT, signal.default_int_handler)
warnings.simplefilter("ignore")
X = np.random.RandomState(0).normal(size=(300, 20))
y = (X[:, 0] > 0).astype(int)
model = BPClassifier(max_iter=10**6, tol=0, n_iter_no_change=10**9, n_restarts=3, n_threads=3, random_state=0)
model.set_params(max_iter=2).fit(X, y)
model.set_params(max_iter=10**6)
random.seed(0)
n_before, go = _thread._count() + 1, threading.Event()
is_over = False

def send():
    while True:
        go.wait()
        go.clear()
        if is_over:
            return
        for _ in range(random.choice([1, 1, 1, 2])):  # some press twice
            time.sleep(random.uniform(0, 0.002))
            os.kill(os.getpid(), signal.SIGINT)

sender = threading.Thread(target=send)
sender.start()
for _ in range(300):
    try:
        go.set()
        try:
            model.fit(X, y)
        except KeyboardInterrupt:  # before the first or after the last kernel
            pass
        while go.is_set():
            time.sleep(0.0005)
        time.sleep(0.005)  # for the second signal
    except KeyboardInterrupt:
        pass
while True:
    try:
        is_over = True
        go.set()
        sender.join()
        break
    except KeyboardInterrupt:
        pass
deadline = time.monotonic() + 60
while _thread._count() >= n_before and time.monotonic() < deadline:
    time.sleep(0.01)
assert _thread._count() < n_before, _thread._count()
model.set_params(max_iter=2).fit(X, y).predict(X)
"""


@not_windows
def test_a_storm_of_signals_leaves_neither_a_hang_nor_a_thread():
    result = subprocess.run([sys.executable, "-c", STORM], capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 0, result.stderr[-2000:]
    print(result.stdout)


@pytest.mark.parametrize("n_rows", [3, 200_000])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_prediction_that_is_told_to_stop_has_no_outputs(n_rows, n_threads):
    """Not even some: what it has not come to was never written."""
    model = BPClassifier((50,), max_iter=1).fit(np.eye(4), [0, 1, 0, 1])
    scratch = Scratch()
    scratch.sync[INTERRUPT] = 1
    network, params = model._packed()
    with pytest.raises(KeyboardInterrupt):
        predict_outputs(network, params, np.zeros((n_rows, 4)), n_threads=n_threads, scratch=scratch)


@not_windows
def test_a_signal_ends_a_prediction():
    """One that would take minutes ends with KeyboardInterrupt."""
    code = """
import os, signal, threading, time
import numpy as np
from fastbp import BPClassifier

signal.signal(signal.SIGINT, signal.default_int_handler)
X = np.zeros((1000, 300))
model = BPClassifier((2000, 2000), max_iter=1).fit(X[:4], [0, 1, 0, 1])
model.predict(X[:300])
rows = np.broadcast_to(X[:1], (100_000, 300)).copy()
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    for _ in range(100):
        model.predict(rows)
except KeyboardInterrupt:
    print("ended")
"""
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert result.stdout == "ended\n", result.stderr[-2000:]


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
    start, started, calls, before = _thread.start_new_thread, [], [], _thread._count()

    def start_one(*arguments):
        if started:
            raise error("can't start new thread")
        started.append(start(*arguments))
        return started[0]

    monkeypatch.setattr(_thread, "start_new_thread", start_one)
    with pytest.raises(error):
        run_team(lambda *arguments: calls.append(arguments), 3, (), work=1e12)
    deadline = time.monotonic() + PATIENCE
    while _thread._count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _thread._count() <= before
    assert not calls
