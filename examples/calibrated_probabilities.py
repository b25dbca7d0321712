"""Calibrated probabilities: one temperature makes them match how often the network is right.

The labels are noisy, and the network is large enough to overfit them: it says 99 % where it is right in 80 % of the cases.
``calibration="temperature"`` divides the logits by the number that gives the smallest log-loss on the validation rows. The
predicted classes stay the same, only the probabilities change. The expected calibration error (ECE) is the mean distance between
the probability and the share of correct predictions, over ten equal ranges of the probability.
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from fastbp import BPClassifier

EDGES = np.linspace(0, 1, 11)


def reliability(y, probabilities):
    """Return per range of certainty: what the network says, how often it is right, and the part of the rows there."""
    said, is_right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    ranges = np.digitize(said, EDGES[1:-1])
    shares = np.bincount(ranges, minlength=10) / len(y)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(ranges, values, minlength=10) / np.bincount(ranges, minlength=10) for values in (said, is_right)]
    return *means, shares


def calibration_error(y, probabilities):
    """Return the expected calibration error (Guo and others 2017, equation 5)."""
    said, right, shares = reliability(y, probabilities)
    return float(np.nansum(shares * abs(said - right)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100 epochs instead of 150")
    parser.add_argument("--output", metavar="FILE.png", default="calibrated_probabilities.png", help="where the picture goes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # training is meant to end at max_iter

    X, y = make_classification(4000, 15, n_informative=8, n_classes=4, n_clusters_per_class=2, flip_y=0.15, random_state=0)
    X_rest, X_test, y_rest, y_test = train_test_split(X, y, test_size=2000, random_state=0)
    X_train, X_val, y_train, y_val = train_test_split(X_rest, y_rest, test_size=500, random_state=0)
    options = {
        "hidden_layer_sizes": 128,
        "max_iter": 100 if arguments.quick else 150,
        "random_state": 0,
        "input_scaling": "standard",
    }
    options |= {"learning_rate_init": 0.005, "batch_size": 50}
    models = {
        name: BPClassifier(**options, calibration=calibration).fit(X_train, y_train, X_val=X_val, y_val=y_val)
        for name, calibration in (("as trained", None), ("calibrated", "temperature"))
    }
    print(f"temperature {models['calibrated'].temperature_:.3f}\n")
    print("            accuracy  log-loss  calibration error   on 2000 new rows")
    for name, model in models.items():
        p = model.predict_proba(X_test)
        print(f"{name:>11} {model.score(X_test, y_test):8.3f} {log_loss(y_test, p):9.3f} {calibration_error(y_test, p):18.3f}")

    figure, axes = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained", sharey=True)
    for axis, (name, model) in zip(axes, models.items(), strict=True):
        p = model.predict_proba(X_test)
        said, right, shares = reliability(y_test, p)
        axis.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        axis.bar(EDGES[:-1], shares, width=0.1, align="edge", color="#d5e3ee", label="part of the rows")
        axis.plot(said, right, color="C3", marker="o", label="how often it is right")
        axis.set(xlabel="what it says", title=f"{name}: ECE {calibration_error(y_test, p):.3f}", xlim=(0.2, 1), ylim=(0, 1))
    axes[0].set_ylabel("how often it is right")
    axes[0].legend(frameon=False, loc="upper left")
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
