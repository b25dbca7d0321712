"""A rare class: without class weights a network hardly ever predicts it.

One in twenty of 3000 points belongs to the rare class, which lies inside the common one. The same network is trained three times:
without weights, with ``class_weight="balanced"``, and with weights in between. Weights move the border: the network finds more
points of the rare class, and calls more common points rare. Balanced accuracy counts both classes equally.
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import balanced_accuracy_score, precision_score, recall_score
from sklearn.model_selection import train_test_split

from fastbp import BPClassifier

WEIGHTS = {"none": None, "1 to 5": {0: 1.0, 1: 5.0}, "balanced": "balanced"}


def draw_points(n_points, random_state):
    """Return points: (n_points, 2) and classes: 1 for the rare one, near a ring, 0 for the common one, anywhere."""
    y = (random_state.uniform(size=n_points) < 0.05).astype(int)
    angles, radii = random_state.uniform(0, 2 * np.pi, n_points), random_state.normal(2.4, 0.2, n_points)
    ring = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    return np.where(y[:, np.newaxis] == 1, ring, random_state.normal(0, 1.2, (n_points, 2))), y


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="60 epochs instead of 300")
    parser.add_argument("--output", metavar="FILE.png", default="unbalanced_classes.png", help="where the picture goes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # training is meant to end at max_iter

    X, y = draw_points(3000, np.random.RandomState(0))
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
    models = {
        name: BPClassifier(
            32,
            "tanh",
            max_iter=60 if arguments.quick else 300,
            learning_rate_init=0.01,
            random_state=0,
            class_weight=class_weight,
        ).fit(X_train, y_train)
        for name, class_weight in WEIGHTS.items()
    }

    print("class_weight  found  right when it says rare  balanced accuracy")
    for name, model in models.items():
        predicted = model.predict(X_test)
        print(
            f"{name:>12} {recall_score(y_test, predicted):6.2f} {precision_score(y_test, predicted, zero_division=0):24.2f}"
            f" {balanced_accuracy_score(y_test, predicted):18.2f}"
        )

    columns, rows = np.meshgrid(np.linspace(-4, 4, 200), np.linspace(-4, 4, 200))
    grid = np.stack([columns.ravel(), rows.ravel()], axis=1)
    figure, axes = plt.subplots(1, 3, figsize=(11, 4.6), layout="constrained", sharey=True)
    for axis, (name, model) in zip(axes, models.items(), strict=True):
        says_rare = model.predict(grid).reshape(rows.shape)
        axis.contourf(columns, rows, says_rare, levels=[-0.5, 0.5, 1.5], cmap=ListedColormap(["white", "#ffd8b0"]))
        axis.scatter(*X_test[y_test == 0].T, s=4, color="#9ab8d0", label="common")
        axis.scatter(*X_test[y_test == 1].T, s=10, color="C3", label="rare")
        found = recall_score(y_test, model.predict(X_test))
        axis.set(title=f"class_weight: {name}\n{found:.0%} of the rare found", xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
    axes[0].legend(frameon=False, loc="upper left")
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
