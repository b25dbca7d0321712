"""Levenberg-Marquardt on sin(x): training loss against seconds, compared with L-BFGS and Adam."""

import argparse
import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastbp import BPRegressor

SOLVERS = {  # colour, and after how many iterations (epochs) to look
    "lm": ("C3", (1, 2, 4, 8, 16, 32, 64, 128)),
    "lbfgs": ("#5b9bd5", (2, 8, 32, 64, 128, 256, 1024)),
    "adam": ("#08306b", (10, 40, 160, 640, 2560)),
}


def best_seconds(model, X, y, repeat):
    """Train a few times and return the shortest."""
    found = []
    for _ in range(repeat):
        started = time.perf_counter()
        model.fit(X, y)
        found.append(time.perf_counter() - started)
    return min(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="half of the points of each line, timed three times")
    parser.add_argument("--output", metavar="FILE.png", default="levenberg_marquardt_on_sin.png", help="where the picture goes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # training is meant to stop early here

    x = np.linspace(-2 * np.pi, 2 * np.pi, 200)
    X, y = x[:, np.newaxis] / np.pi, np.sin(x)
    figure, (falling, curves) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
    curves.plot(x, y, color="black", linestyle=":", linewidth=3, label="sin(x)")
    for solver, (color, milestones) in SOLVERS.items():
        options = {
            "activation": "tanh",
            "solver": solver,
            "alpha": 0.0,
            "tol": 0.0,
            "n_iter_no_change": np.inf,
            "random_state": 0,
        }
        seconds, losses = [], []
        stops = milestones[1::2] if arguments.quick else milestones
        for n_iterations in stops:
            model = BPRegressor(hidden_layer_sizes=10, max_iter=n_iterations, learning_rate_init=0.01, **options)
            model.fit(X[:20], y[:20])  # compiles, or loads from the cache
            seconds.append(best_seconds(model, X, y, 3 if arguments.quick else 9))
            losses.append(model.loss_)
        # a longer fit passes through the shorter ones: none of them takes more time than it does
        seconds = np.minimum.accumulate(seconds[::-1])[::-1]
        for n_iterations, loss, taken in zip(stops, losses, seconds, strict=True):
            print(f"{solver:>6} {n_iterations:6d} iterations: loss {loss:.2e} after {1e3 * taken:8.2f} ms")
        falling.loglog(seconds, losses, "o-", color=color, label=solver)
        curves.plot(x, model.predict(X), color=color, label=f"{solver}, {milestones[-1]} iterations")
    falling.set(xlabel="seconds", ylabel="training loss", title="1-10-1 tanh units, 200 points of sin(x)")
    falling.legend(frameon=False)
    curves.set(xlabel="x", ylabel="y", ylim=(-1.15, 1.6), title="The learned curves")
    curves.legend(frameon=False, loc="upper center", ncols=2)
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
