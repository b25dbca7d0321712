"""A deep network on pictures: its initialisation decides whether 12288-20-7-5-1 learns at all.

209 small colour pictures (64 × 64 × 3 numbers, standardised) show a disc or a bar in noise. The network has three ReLU layers and
a sigmoid output, and is trained with cross-entropy by full-batch gradient descent at a learning rate of 0.0075. Three
initialisations are compared: all zeros, 0.01 · N(0, 1), and He's, which keeps the size of the signal from layer to layer. With
the first two almost no signal passes through the layers, forward or backward: the gradient vanishes.
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, precision_score, recall_score
from sklearn.preprocessing import StandardScaler

from fastbp import BPClassifier

SIDE = 64
INITIALISATIONS = {
    "zeros": {"init": "zeros"},
    "0.01 · N(0, 1)": {"init": "normal", "init_scale": 0.01},
    "He": {"init": "he_normal"},
}


def draw_pictures(n_pictures, random_state):
    """Return pictures: (n_pictures, SIDE, SIDE, 3) between 0 and 1, and labels: 1 for a disc, 0 for a vertical bar."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    labels = random_state.randint(2, size=n_pictures)
    backgrounds = random_state.uniform(0.25, 0.75, size=(n_pictures, 1, 1, 3))
    pictures = backgrounds + random_state.normal(0, 0.15, (n_pictures, SIDE, SIDE, 3))
    for picture, label in zip(pictures, labels, strict=True):
        row, column = random_state.uniform(0.35, 0.65, 2)
        size = random_state.uniform(0.15, 0.3)
        inside = np.hypot(rows - row, columns - column) < size if label else abs(columns - column) < size / 2
        picture[inside] += [0.2, 0.1, 0.0] + random_state.uniform(-0.1, 0.1, 3)
    return pictures.clip(0, 1), labels


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100 iterations instead of 2500")
    parser.add_argument("--output", metavar="FILE.png", default="deep_network_starts.png", help="where the picture goes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # training is meant to end at max_iter

    random_state = np.random.RandomState(0)
    pictures, y_train = draw_pictures(209, random_state)
    test_pictures, y_test = draw_pictures(50, random_state)
    scaler = StandardScaler()
    X_train = scaler.fit_transform(pictures.reshape(209, -1))
    X_test = scaler.transform(test_pictures.reshape(50, -1))

    n_iterations, every = (100, 10) if arguments.quick else (2500, 100)
    models = {}
    for name, start in INITIALISATIONS.items():
        models[name] = BPClassifier(
            hidden_layer_sizes=(20, 7, 5),
            solver="sgd",
            momentum=0,
            alpha=0,
            batch_size=len(X_train),
            shuffle=False,
            learning_rate_init=0.0075,
            max_iter=n_iterations,
            tol=0,
            n_iter_no_change=np.inf,
            random_state=1,
            **start,
        ).fit(X_train, y_train)

    print("iteration" + "".join(f"{name:>18}" for name in INITIALISATIONS))
    for iteration in [*range(0, n_iterations, every), n_iterations - 1]:
        print(f"{iteration:9d}" + "".join(f"{model.loss_curve_[iteration]:18.6f}" for model in models.values()))
    print("\nat the threshold ½ on 50 new pictures")
    for name, model in models.items():
        predicted = model.predict(X_test)
        print(
            f"{name:>15}: accuracy {accuracy_score(y_test, predicted):.2f}, "
            f"precision {precision_score(y_test, predicted, zero_division=0):.2f}, recall {recall_score(y_test, predicted):.2f}"
        )

    figure = plt.figure(figsize=(9, 4.5), layout="constrained")
    grid = figure.add_gridspec(2, 4)
    axes = figure.add_subplot(grid[:, :3])
    for (name, model), color, width in zip(models.items(), ["#a6cee3", "C3", "black"], [6, 2, 2], strict=True):
        axes.plot(model.loss_curve_, color=color, linewidth=width, label=name)
    axes.set(xlabel="iteration", ylabel="cost (cross-entropy)", title="12288-20-7-5-1 with three initialisations")
    axes.set_ylim(bottom=0)
    axes.legend(title="initialisation", frameon=False)
    for label, name in enumerate(["bar", "disc"]):
        example = figure.add_subplot(grid[label, 3])
        example.imshow(pictures[y_train == label][0])
        example.set(title=name, xticks=[], yticks=[])
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
