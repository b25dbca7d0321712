"""Dropout on noisy data: a wide network overfits the noise without it, and comes closer to the true function with it."""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastbp import BPRegressor

NOISE = 0.7


def truth(X):
    """What the targets are without noise; seven of the ten inputs do not matter."""
    return np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="60 epochs instead of 400")
    parser.add_argument("--output", metavar="FILE.png", default="dropout_on_noisy_data.png", help="where the picture goes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # training is meant to go on to its last epoch

    random_state = np.random.RandomState(0)
    X, X_test = random_state.uniform(-1, 1, (200, 10)), random_state.uniform(-1, 1, (2000, 10))
    y = truth(X) + random_state.normal(0, NOISE, len(X))
    n_epochs = 60 if arguments.quick else 400

    figure, axes = plt.subplots(figsize=(8, 4.8), layout="constrained")
    for dropout, color in [(0.0, "#999999"), (0.2, "#a6cee3"), (0.5, "#5b9bd5"), ([0.1, 0.5, 0.5], "#08306b")]:
        model = BPRegressor(hidden_layer_sizes=(100, 100), batch_size=32, dropout=dropout, random_state=0)
        errors = []
        for _ in range(n_epochs):
            model.partial_fit(X, y)
            errors.append(np.mean((model.predict(X_test) - truth(X_test)) ** 2))
        fit = np.mean((model.predict(X) - y) ** 2)
        print(
            f"dropout={dropout!s:15} squared error: {fit:.3f} on the noisy rows, "
            f"{errors[-1]:.3f} from the true function on new ones"
        )
        axes.plot(np.arange(1, n_epochs + 1), errors, color=color, linewidth=2, label=f"dropout={dropout}")
    axes.set(xlabel="epoch", ylabel="mean squared distance to the true function, new rows", ylim=(0, None), xscale="log")
    axes.set_title(f"A 10-100-100-1 network on 200 rows with noise of standard deviation {NOISE}")
    axes.legend(frameon=False)
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
