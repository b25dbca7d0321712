"""XOR, which one layer cannot learn: a 2-3-1 network of sigmoids, and how long it takes.

Initial weights are from N(0, 1), biases are 0. The error signal at the output is ŷ − y (cross-entropy), averaged over the four
samples, and the learning rate is 0.1. After the usual 1000 epochs the network has learned little, so training continues to 5000:
plain back-propagation is slow.
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastbp import BPClassifier

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
y = np.array([0, 1, 1, 0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2000 epochs instead of 5000")
    parser.add_argument("--output", metavar="FILE.png", default="xor_class.png", help="where the picture goes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # each stretch of 100 epochs ends at its max_iter

    model = BPClassifier(
        hidden_layer_sizes=(3,),
        activation="logistic",
        init="normal",
        solver="sgd",
        momentum=0,
        alpha=0,
        batch_size=4,
        shuffle=False,
        learning_rate_init=0.1,
        max_iter=100,
        tol=0,
        n_iter_no_change=np.inf,
        warm_start=True,
        random_state=0,
    )
    epochs = np.arange(100, (2000 if arguments.quick else 5000) + 1, 100)
    errors = []
    for epoch in epochs:
        probabilities = model.fit(X, y).predict_proba(X)[:, 1]
        errors.append(np.mean((probabilities - y) ** 2))
        if epoch <= 1000 or epoch % 1000 == 0:
            print(f"epoch {epoch:5d}: mean squared error {errors[-1]:.6f}, outputs {probabilities.round(3)}")

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.2), layout="constrained")
    left.plot(epochs, errors)
    left.axvline(1000, color="grey", linestyle=":", label="1000 epochs")
    left.set(xlabel="epoch", ylabel="mean squared error", title="Error of the four samples", ylim=(0, 0.3))
    left.legend(frameon=False)

    ticks = np.linspace(-0.25, 1.25, 121)
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1)
    surface = model.predict_proba(grid.reshape(-1, 2))[:, 1].reshape(121, 121)
    image = right.contourf(ticks, ticks, surface, levels=np.linspace(0, 1, 11), cmap="RdBu_r")
    figure.colorbar(image, ax=right, label="output")
    right.contour(ticks, ticks, surface, levels=[0.5], colors="black")
    for (x0, x1), label in zip(X, y, strict=True):
        right.plot(x0, x1, "o", markersize=17, markerfacecolor="white", markeredgecolor="black")
        right.text(x0, x1, label, ha="center", va="center")
    right.set(xlabel="first input", ylabel="second input", title=f"Output after {epochs[-1]} epochs", aspect="equal")
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
