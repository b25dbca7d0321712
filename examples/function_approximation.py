"""Function approximation: a network learns a curve from noisy samples, shown after 20, 200 and 2000 epochs."""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastbp import BPRegressor


def curve(x):
    """The function to be found."""
    return np.sin(3 * x) * np.exp(-0.3 * x**2) + 0.3 * x


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="up to 400 epochs instead of 2000")
    parser.add_argument("--output", metavar="FILE.png", default="function_approximation.png", help="where the picture goes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # training is meant to stop early here

    random_state = np.random.RandomState(0)
    x = np.sort(random_state.uniform(-3, 3, 120))
    y = curve(x) + random_state.normal(0, 0.12, 120)
    dense = np.linspace(-3, 3, 301)

    figure, axes = plt.subplots(figsize=(8, 4.8), layout="constrained")
    axes.plot(x, y, ".", color="grey", label="noisy samples")
    axes.plot(dense, curve(dense), color="black", linestyle=":", label="the function")
    milestones = [20, 100, 400] if arguments.quick else [20, 200, 2000]
    for n_epochs, color in zip(milestones, ["#a6cee3", "#5b9bd5", "#08306b"], strict=True):
        model = BPRegressor(
            hidden_layer_sizes=(30, 30),
            activation="tanh",
            learning_rate_init=0.005,
            batch_size=30,
            max_iter=n_epochs,
            tol=0,
            n_iter_no_change=np.inf,
            random_state=0,
        ).fit(x[:, np.newaxis], y)
        predicted = model.predict(dense[:, np.newaxis])
        distance = np.sqrt(np.mean((predicted - curve(dense)) ** 2))
        print(f"after {n_epochs:4d} epochs: training loss {model.loss_:.5f}, distance to the function {distance:.4f}")
        axes.plot(dense, predicted, color=color, linewidth=2, label=f"network after {n_epochs} epochs")
    axes.set(xlabel="x", ylabel="y", title="A curve from 120 noisy samples")
    axes.legend(frameon=False)
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
