"""Watch networks learn: XOR, one sample and a curve, each on a page with a slider over the epochs.

For every epoch the page shows the weights, the activations of a chosen row going forward, and the error signals δ going back. XOR
has random initial weights. The 2-4-1 network that learns one sample starts from zeros, so its four hidden units stay equal.
Levenberg-Marquardt learns the curve in a few iterations. `--pages FOLDER` writes the pages.
"""

import argparse
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastbp import BPClassifier, BPRegressor, LearningDisplay

PAGES = {}  # filled by main()
PLAIN = {"solver": "sgd", "momentum": 0, "alpha": 0, "shuffle": False, "tol": 0, "n_iter_no_change": np.inf, "random_state": 0}


def record(quick):
    """Fit the three networks and return their pages."""
    xor = BPClassifier(
        3, "logistic", init="normal", batch_size=4, learning_rate_init=0.5, max_iter=600 if quick else 2000, **PLAIN
    )
    sample = BPRegressor(
        hidden_layer_sizes=4, activation="logistic", output_activation="logistic", init="zeros", batch_size=1,
        learning_rate_init=1, max_iter=50 if quick else 100, **PLAIN,
    )  # fmt: skip
    curve = BPRegressor(hidden_layer_sizes=6, activation="tanh", solver="lm", max_iter=60, random_state=0)
    x = np.linspace(-3, 3, 60)
    corners = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    return {
        "XOR": LearningDisplay.from_fit(xor, corners, [0, 1, 1, 0], n_frames=40),
        "one sample": LearningDisplay.from_fit(sample, [[0.985, 0.211]], [1.0], n_frames=40),
        "a curve": LearningDisplay.from_fit(curve, x[:, np.newaxis], np.sin(2 * x)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer epochs")
    parser.add_argument("--output", metavar="FILE.png", default="watch_a_network_learn.png", help="where the picture goes")
    parser.add_argument("--pages", metavar="FOLDER", type=Path, help="where the pages go, if they are wanted")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # these end at their number of epochs

    PAGES.update(record(arguments.quick))
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    for ax, (name, page) in zip(axes, PAGES.items()):
        ax.semilogy(range(1, 1 + len(page.losses_)), page.losses_, color="#1f4e9c")
        ax.set(xlabel="epoch", ylabel="loss", title=f"{name}: {'-'.join(map(str, page.layer_sizes_))}")
        first, last = page.deltas_[0][-1], page.deltas_[-1][-1]
        print(
            f"{name}: epochs {page.epochs_[0]} to {page.epochs_[-1]}, output's δ {first[0, 0]:.4f}, at the end {last[0, 0]:.4f}"
        )
    same = np.ptp(PAGES["one sample"].activations_[-1][0])
    print(f"one sample: the hidden units differ by {same:.1g}, as nothing tells them apart")
    figure.savefig(arguments.output, dpi=120)
    if arguments.pages:
        arguments.pages.mkdir(exist_ok=True)
        for name, page in PAGES.items():
            page.save(arguments.pages / f"{name.replace(' ', '-')}.html")


if __name__ == "__main__":
    main()

# %%
# XOR: move the slider, and see the border between the classes bend.
PAGES.get("XOR")

# %%
# One sample, from zero weights: four hidden units that stay alike.
PAGES.get("one sample")

# %%
# A curve.
PAGES.get("a curve")
