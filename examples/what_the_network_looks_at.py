"""What a network looks at: Friedman's function of ten features, of which only five matter.

The gradients of the network are compared with those of the function, and four measures of importance with each other.
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.inspection import permutation_importance
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from fastbp import BPRegressor

N_USED = 5


def true_slopes(X):
    """Derivatives of 10·sin(π·x0·x1) + 20·(x2 - ½)² + 10·x3 + 5·x4, (n_samples, 5)."""
    cosine = 10 * np.pi * np.cos(np.pi * X[:, 0] * X[:, 1])
    ones = np.ones(len(X))
    return np.column_stack([X[:, 1] * cosine, X[:, 0] * cosine, 40 * (X[:, 2] - 0.5), 10 * ones, 5 * ones])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 shuffles of each feature instead of 20")
    parser.add_argument("--output", metavar="FILE.png", default="what_the_network_looks_at.png", help="where the picture goes")
    arguments = parser.parse_args()

    X, y = make_friedman1(n_samples=1500, n_features=10, noise=0.5, random_state=0)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    scaler = StandardScaler().fit(X_train)
    network = BPRegressor(
        hidden_layer_sizes=(20,),
        activation="tanh",
        solver="lbfgs",
        alpha=1.0,
        max_iter=2000,
        random_state=0,
        feature_importances=True,
    ).fit(scaler.transform(X_train), y_train)
    rows = scaler.transform(X_test)
    slopes = network.input_gradients(rows) / scaler.scale_  # by the features as they are
    attributions, error = network.integrated_gradients(rows)
    shuffled = permutation_importance(network, rows, y_test, n_repeats=2 if arguments.quick else 20, random_state=0)
    measures = {
        "slopes (feature_importances_)": network.feature_importances_,
        "integrated gradients": np.abs(attributions).mean(axis=0),
        "Olden": np.abs(network.olden_importances()),
        "Garson": network.garson_importances(),
        "score lost by shuffling": np.maximum(shuffled.importances_mean, 0),
    }
    measures = {name: values / values.sum() for name, values in measures.items()}
    print(f"R² on unseen rows {network.score(rows, y_test):.3f}, completeness error at most {np.abs(error).max():.1e}")
    print("feature " + "  ".join(measures))
    for feature in range(X.shape[1]):
        print(f"x{feature:<6} " + "  ".join(f"{values[feature]:{len(name)}.3f}" for name, values in measures.items()))

    figure = plt.figure(figsize=(10, 6.5), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[1, 1.1])
    truth = true_slopes(X_test)
    for feature, axes in enumerate(above.subplots(1, N_USED)):
        axes.plot(X_test[:, feature], truth[:, feature], ".", color="0.7", markersize=3, label="the function")
        axes.plot(X_test[:, feature], slopes[:, feature], ".", markersize=3, label="the network")
        limits = truth[:, feature].min() - 8, truth[:, feature].max() + 8
        axes.set(xlabel=f"x{feature}", ylim=limits, title=f"slope by x{feature}")
    axes.legend(frameon=False, markerscale=3)
    axes = below.subplots()
    width = 0.8 / len(measures)
    for number, (name, values) in enumerate(measures.items()):
        axes.bar(np.arange(X.shape[1]) + (number - 2) * width, values, width, label=name)
    axes.set(xticks=range(X.shape[1]), xticklabels=[f"x{feature}" for feature in range(X.shape[1])], ylabel="share of importance")
    axes.axvline(N_USED - 0.5, color="grey", linestyle=":")
    axes.text(N_USED - 0.4, axes.get_ylim()[1] * 0.9, "not in the function")
    axes.legend(frameon=False, loc="center right")
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
