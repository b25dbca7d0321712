"""Classification: the border that a network draws between two classes, with 1, 3 and 50 hidden units.

One unit can only draw a straight line (underfitting). Three are enough for the bend. Fifty follow the noise of the training rows
(overfitting).
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from fastbp import BPClassifier


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="at most 50 iterations of L-BFGS instead of 2000")
    parser.add_argument("--output", metavar="FILE.png", default="classification.png", help="where the picture goes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # a quick look ends early

    X, y = make_moons(1200, noise=0.3, random_state=0)
    X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=200, random_state=0)
    horizontal, vertical = np.linspace(-2, 3, 201), np.linspace(-1.5, 2, 141)
    grid = np.stack(np.meshgrid(horizontal, vertical), axis=-1).reshape(-1, 2)

    figure, panels = plt.subplots(1, 3, sharex=True, sharey=True, figsize=(11, 3.9), layout="constrained")
    print("hidden units   training accuracy   test accuracy")
    for n_hidden, axes in zip([1, 3, 50], panels, strict=True):
        model = BPClassifier(
            hidden_layer_sizes=(n_hidden,),
            activation="tanh",
            solver="lbfgs",
            alpha=0.01,
            max_iter=50 if arguments.quick else 2000,
            random_state=0,
        ).fit(X_train, y_train)
        train_score, test_score = model.score(X_train, y_train), model.score(X_test, y_test)
        print(f"{n_hidden:12d}{train_score:20.3f}{test_score:16.3f}")
        surface = model.predict_proba(grid)[:, 1].reshape(len(vertical), len(horizontal))
        axes.contourf(horizontal, vertical, surface, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.6)
        axes.contour(horizontal, vertical, surface, levels=[0.5], colors="black")
        for label, color in enumerate(["#2166ac", "#b2182b"]):
            axes.plot(*X_train[y_train == label].T, "o", color=color, markeredgecolor="white", markersize=5)
        axes.set_title(f"{n_hidden} hidden unit{'s' * (n_hidden > 1)}\ntraining {train_score:.2f}, test {test_score:.2f}")
        axes.set_xlabel("first feature")
    panels[0].set_ylabel("second feature")
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
