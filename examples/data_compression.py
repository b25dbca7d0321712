"""Data compression: an autoencoder reduces digits of 64 pixels to a few numbers and restores them.

Principal components, the best that a linear map can do, are shown for comparison. Both are tested on held-out digits.
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from fastbp import BPAutoencoder

N_SHOWN = 10
SHOWN_SIZE = 4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20 epochs instead of 100")
    parser.add_argument("--output", metavar="FILE.png", default="data_compression.png", help="where the picture goes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # training is meant to end at max_iter

    X, y = load_digits(return_X_y=True)
    X = X / 16  # grey from 0 to 1, as the logistic outputs are
    X_train, X_test, _, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
    sizes, errors, reconstructions = [1, 2, 4, 8, 16], {"principal components": [], "autoencoder": []}, {}
    print("units  principal components  autoencoder   (mean squared error of a pixel, unseen digits)")
    for size in sizes:
        components = PCA(size, random_state=0).fit(X_train)
        autoencoder = BPAutoencoder(
            (128, size, 128),
            "elu",
            output_activation="logistic",
            alpha=0,
            batch_size=32,
            learning_rate_init=2e-3,
            max_iter=20 if arguments.quick else 100,
            tol=0,
            n_iter_no_change=np.inf,
            random_state=0,
        ).fit(X_train)
        drawn = {
            "principal components": components.inverse_transform(components.transform(X_test)),
            "autoencoder": autoencoder.inverse_transform(autoencoder.transform(X_test)),
        }
        for name, rows in drawn.items():
            errors[name].append(np.mean((rows - X_test) ** 2))
        print(f"{size:5d} {errors['principal components'][-1]:21.5f} {errors['autoencoder'][-1]:12.5f}")
        if size == SHOWN_SIZE:
            reconstructions = drawn

    figure = plt.figure(figsize=(9, 6), layout="constrained")
    pictures, curve = figure.subfigures(2, 1, height_ratios=[1, 1.15])
    shown = [np.flatnonzero(y_test == digit)[0] for digit in range(N_SHOWN)]
    rows = {"64 pixels": X_test, f"{SHOWN_SIZE} units": reconstructions["autoencoder"]}
    rows[f"{SHOWN_SIZE} components"] = reconstructions["principal components"]
    grid = pictures.subplots(len(rows), N_SHOWN)
    for axes_row, (name, digits) in zip(grid, rows.items(), strict=True):
        for axes, number in zip(axes_row, shown, strict=True):
            axes.imshow(digits[number].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
        axes_row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    axes = curve.subplots()
    for (name, values), marker in zip(errors.items(), "so", strict=True):
        axes.plot(sizes, values, f"{marker}-", label=name)
    axes.set_xscale("log", base=2)
    axes.set(
        xticks=sizes,
        xticklabels=sizes,
        xlabel="units that 64 pixels are squeezed into",
        ylabel="mean squared error of a pixel",
        ylim=(0, None),
    )
    axes.legend(frameon=False)
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
