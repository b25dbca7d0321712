"""Pattern recognition: a network reads handwritten digits with more and more noise.

One network is trained on clean digits, the other on the same digits with noise of several strengths. The unit of the noise is one
step of the grey scale, which goes from 0 to 16.
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from fastbp import BPClassifier


def add_noise(X, strength, random_state):
    """X plus normal noise; strength is a standard deviation, one number or one per row."""
    return X + random_state.normal(size=X.shape) * strength


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 epochs instead of 30")
    parser.add_argument("--output", metavar="FILE.png", default="pattern_recognition.png", help="where the picture goes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # training is meant to end at max_iter

    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
    random_state = np.random.RandomState(0)
    n_copies = 5
    X_copies, y_copies = np.repeat(X_train, n_copies, axis=0), np.repeat(y_train, n_copies)
    X_noisy = add_noise(X_copies, random_state.uniform(0, 8, size=(len(X_copies), 1)), random_state)

    options = {"hidden_layer_sizes": (64,), "max_iter": 3 if arguments.quick else 30, "tol": 0, "n_iter_no_change": np.inf}
    networks = {
        "trained on clean digits": BPClassifier(random_state=0, **options).fit(X_copies, y_copies),
        "trained on noisy digits": BPClassifier(random_state=0, **options).fit(X_noisy, y_copies),
    }
    strengths = np.arange(0, 13, 2)
    tests = [add_noise(X_test, strength, random_state) for strength in strengths]
    accuracies = {name: [network.score(noisy, y_test) for noisy in tests] for name, network in networks.items()}
    print("noise" + "".join(f"{name:>26}" for name in networks))
    for i, strength in enumerate(strengths):
        print(f"{strength:5d}" + "".join(f"{accuracy[i]:26.3f}" for accuracy in accuracies.values()))

    figure = plt.figure(figsize=(8, 5.2), layout="constrained")
    grid = figure.add_gridspec(2, len(strengths), height_ratios=[1, 3.2])
    for column, (strength, noisy) in enumerate(zip(strengths, tests, strict=True)):
        digit = figure.add_subplot(grid[0, column])
        digit.imshow(noisy[0].reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        digit.set(title=f"noise {strength}", xticks=[], yticks=[])
    axes = figure.add_subplot(grid[1, :])
    for (name, accuracy), marker in zip(accuracies.items(), "os", strict=True):
        axes.plot(strengths, accuracy, f"{marker}-", label=name)
    axes.axhline(0.1, color="grey", linestyle=":", label="guessing")
    axes.set(xlabel="standard deviation of the noise (grey scale 0 … 16)", ylabel="accuracy on the test digits", ylim=(0, 1.03))
    axes.legend(frameon=False)
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
