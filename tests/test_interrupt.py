"""Ctrl-C in the middle of the compiled loop: a real signal to a real process."""
import subprocess
import sys

import pytest

CHILD = """
import os, signal, sys, threading, time, warnings
import numpy as np
from fastbp import BPClassifier

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
assert not [thread for thread in threading.enumerate() if "work" in thread.name and thread.is_alive()]
model.predict(X[:10])
print(f"came back {late:.3f} s after the signal")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends itself SIGINT")
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
