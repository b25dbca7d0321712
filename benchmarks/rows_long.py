"""The rows that train for long: an epoch must not get slower as moments, gradients and weights of dead units sink to nothing."""

import itertools
import time
import warnings
from functools import partial

import numpy as np
from measure import Row, result, verdict
from sklearn.datasets import load_digits

from fastbp import BPClassifier

N_EPOCHS, STEP = 300, 20
MOST = 1.15  # slowest step over the fastest


def seconds_of_steps(solver, activation, X, y, hidden, batch_size, n_epochs):
    """Seconds per epoch of every step of `STEP` epochs of one fit."""
    model = BPClassifier(hidden, activation, solver=solver, batch_size=batch_size, random_state=0, n_threads=1)
    seconds, classes = [], np.unique(y)
    for _ in range(n_epochs // STEP):
        started = time.process_time()  # of one thread, so that what else the machine does counts for less
        for _ in range(STEP):
            model.partial_fit(X, y, classes=classes)
        seconds.append((time.process_time() - started) / STEP)
    return seconds


def run_long(per_sample, settings):
    """digits in batches of 32 or one by one: per case the time per epoch, each step the best of some runs."""
    X, y = load_digits(return_X_y=True)
    rows, hidden, batch_size = (500, (32,), 1) if per_sample else (len(X), (64, 32), 32)
    n_epochs = 2 * STEP if settings.quick else N_EPOCHS
    verdicts, seconds = [], {}
    for solver, dtype, activation in itertools.product(("adam", "sgd"), ("float32", "float64"), ("relu", "tanh", "logistic")):
        fit = partial(seconds_of_steps, solver, activation, (X[:rows] / 16).astype(dtype), y[:rows], hidden, batch_size, n_epochs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            steps = np.min([fit() for _ in range(1 if settings.quick else max(3, settings.repeat))], axis=0)
        name = f"{solver}, {dtype}, {activation}"
        seconds |= {f"{name}, epochs 1 to {STEP}": steps[0], f"{name}, last {STEP} epochs": steps[-1]}
        verdicts.append(
            verdict(f"{name}: slowest {STEP} epochs over the fastest", steps.max() / steps.min(), MOST, "at most", "×")
        )
    return result(verdicts, seconds=seconds)


ROWS = [
    Row(
        "long-batches", f"{N_EPOCHS} epochs of digits, 64-64-32-10, batches of 32", "machine", partial(run_long, False), once=True
    ),
    Row(
        "long-per-sample",
        f"{N_EPOCHS} epochs of 500 digits, 64-32-10, batches of 1",
        "machine",
        partial(run_long, True),
        once=True,
    ),
]
