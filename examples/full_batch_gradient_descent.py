"""Full-batch gradient descent on 0/1 labels: the same network with a learning rate that is too large, and with a good one.

A 20-10-10-1 network with ReLU units and a linear output has initial weights from N(0, 1) and biases of 0.1. At a rate of 0.1 the
first steps overshoot. With one seed every ReLU unit dies, and the network learns only the mean of the labels. With another the
numbers overflow, and training ends with an error that says so. At a rate of 0.01 the network learns. Losses are means of (ŷ −
y)². fastbp's loss has a factor ½, so each learning rate is doubled.
"""

import argparse
import warnings
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split

from fastbp import BPRegressor

LAYERS = [20, 10, 10, 1]
RUNS = [(0.1, 0), (0.1, 5), (0.01, 2)]  # (rate, seed of the initial weights)


def initial_weights(seed):
    """Weights N(0, 1), biases 0.1."""
    random_state = np.random.RandomState(seed)
    coefs = [random_state.normal(size=(n_in, n_out)) for n_in, n_out in pairwise(LAYERS)]
    return coefs, [np.full(n_out, 0.1) for n_out in LAYERS[1:]]


def descend(X_train, X_test, y_train, y_test, rate, seed, n_iterations):
    """Train in ten stretches, print the test loss after each, return the training loss of every iteration."""
    model = BPRegressor(
        hidden_layer_sizes=LAYERS[1:-1],
        solver="sgd",
        momentum=0,
        alpha=0,
        batch_size=len(X_train),
        shuffle=False,
        learning_rate_init=2 * rate,
        init=initial_weights(seed),
        max_iter=n_iterations // 10,
        tol=0,
        n_iter_no_change=np.inf,
        warm_start=True,
    )
    for stretch in range(1, 11):
        try:
            model.fit(X_train, y_train)
        except ValueError as error:
            print(f"  stopped: {error}")
            break
        test_loss = mean_squared_error(y_test, model.predict(X_test))
        print(f"  after {stretch * model.max_iter:4d} iterations: test loss {test_loss:.4g}")
    return 2 * np.array(model.loss_curve_)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="200 iterations instead of 1000")
    parser.add_argument("--output", metavar="FILE.png", default="full_batch_gradient_descent.png", help="where the picture goes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # each stretch ends at its max_iter

    X, y = make_classification(1000, n_features=20, n_informative=2, n_redundant=2, random_state=0)
    data = train_test_split(X, y, test_size=0.25, random_state=0)
    n_iterations = 200 if arguments.quick else 1000
    figure, axes = plt.subplots(figsize=(8, 4.8), layout="constrained")
    for rate, seed in RUNS:
        print(f"rate {rate}, seed {seed}")
        losses = descend(*data, rate, seed, n_iterations)
        outcome = "" if len(losses) == n_iterations else f" (stopped in iteration {len(losses) + 1})"
        axes.plot(np.arange(1, len(losses) + 1), losses, label=f"rate {rate}, seed {seed}{outcome}")
    axes.axhline(np.var(data[2]), color="grey", linestyle=":", label="predicting the mean")
    axes.set(xscale="log", yscale="log", ylim=(0.05, 1e12), xlabel="iteration", ylabel="mean squared error on the training rows")
    axes.set_title("Gradient descent: exploding, dying, learning")
    axes.legend(frameon=False)
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
