"""Iterations of `solver="lm"` beside those of MATLAB's `trainlm`, from the same starts to the same error.

    python benchmarks/trainlm.py [--quick]

MathWorks publishes seconds of `trainlm` on machines of the nineties, not iterations. So its rule is written down here as its
documentation has it (https://www.mathworks.com/help/deeplearning/ref/trainlm.html): a damping mu of 0.001 is divided by ten after
a step that lowers the error and multiplied by ten until one does. An iteration is a Jacobian, however many steps were tried. The
networks, tables and goals are the documentation's first one, a period of a sine by 1-5-1 tanh units to a mean squared error of
0.002, and those of rows_solvers.py.
"""

import argparse
import warnings

import numpy as np
from rows_solvers import diabetes, sine
from sklearn.exceptions import ConvergenceWarning

from fastbp import BPRegressor

MOST = 1000  # iterations


def published_sine():
    x = np.linspace(-1, 1, 41)
    return x[:, np.newaxis], np.sin(np.pi * x), (5,), 0.001  # half the mean squared error


def residuals_and_jacobian(p, X, y, n):
    """Of a network with one layer of n tanh units."""
    k = X.shape[1]
    W, b, v, c = p[: k * n].reshape(k, n), p[k * n : k * n + n], p[k * n + n : -1], p[-1]
    a = np.tanh(X @ W + b)
    slope = (1 - a * a) * v
    by_weights = (X[:, :, np.newaxis] * slope[:, np.newaxis]).reshape(len(X), -1)
    return a @ v + c - y, np.hstack([by_weights, slope, a, np.ones((len(X), 1))])


def trainlm(p, X, y, n, goal):
    """Return the iterations to the goal, inf where it is not reached."""
    mu = 0.001
    error, J = residuals_and_jacobian(p, X, y, n)
    for iteration in range(MOST):
        if 0.5 * (error @ error) / len(y) <= goal:
            return iteration
        H, g = J.T @ J, J.T @ error
        while mu <= 1e10:
            moved = p - np.linalg.solve(H + mu * np.eye(len(p)), g)
            new_error, new_J = residuals_and_jacobian(moved, X, y, n)
            if new_error @ new_error < error @ error:
                p, error, J, mu = moved, new_error, new_J, 0.1 * mu
                break
            mu *= 10
        else:
            return np.inf
    return np.inf


def ours(model, X, y, goal):
    below = np.flatnonzero(np.array(model.fit(X, y).loss_curve_) <= goal)
    return below[0] + 1 if below.size else np.inf


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two starts, to see that it runs")
    n_starts = 2 if parser.parse_args().quick else 30
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"{n_starts} starts     median iterations, goal not reached    in fewer, as many, more")
    print("table              lm           trainlm")
    for name, load in (("published sine", published_sine), ("sine", sine), ("diabetes", diabetes)):
        X, y, (n,), goal = load()
        counts = []
        for seed in range(n_starts):
            options = {"hidden_layer_sizes": n, "activation": "tanh", "alpha": 0.0, "random_state": seed, "tol": 0.0}
            start = BPRegressor(solver="adam", learning_rate_init=1e-300, max_iter=1, **options).fit(X, y)
            p = np.concatenate([start.coefs_[0].ravel(), start.intercepts_[0], start.coefs_[1].ravel(), start.intercepts_[1]])
            model = BPRegressor(solver="lm", max_iter=MOST, init=(start.coefs_, start.intercepts_), **options)
            counts.append((ours(model, X, y, goal), trainlm(p.astype(float), X, y, n, goal)))
        own, other = np.array(counts).T
        missed = [int(np.isinf(part).sum()) for part in (own, other)]
        better = [int(part.sum()) for part in (own < other, own == other, own > other)]
        print(f"{name:15} {np.median(own):6.0f} ({missed[0]})  {np.median(other):10.0f} ({missed[1]}) {better!s:>22}", flush=True)


if __name__ == "__main__":
    main()
