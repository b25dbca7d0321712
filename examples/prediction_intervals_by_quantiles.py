"""Prediction intervals by quantiles: one network predicts the 5 %, 50 % and 95 % quantiles of a target with varying noise."""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning

from fastbp import BPRegressor

LEVELS = [0.05, 0.5, 0.95]


def middle(x):
    """The median of the target."""
    return np.sin(2 * x) + 0.3 * x


def deviation(x):
    """The standard deviation of its noise."""
    return 0.15 + 0.25 * np.abs(np.sin(x))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1000 rows and 300 iterations instead of 2000 and 600")
    parser.add_argument("--output", metavar="FILE.png", default="prediction_intervals.png", help="where the picture goes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # a loss with kinks has no smooth end

    random_state = np.random.RandomState(0)
    x, x_new = (random_state.uniform(-3, 3, n) for n in (1000 if arguments.quick else 2000, 10_000))
    y, y_new = (middle(x) + deviation(x) * random_state.standard_normal(len(x)) for x in (x, x_new))
    model = BPRegressor("quantile", 30, "tanh", quantile=LEVELS, solver="lbfgs", max_iter=300 if arguments.quick else 600,
                        random_state=0).fit(x[:, np.newaxis], y)  # fmt: skip

    low, _, high = model.predict(x_new[:, np.newaxis]).T
    inside = np.mean((low <= y_new) & (y_new <= high))
    print(f"between the 5 % and the 95 % quantile lie {100 * inside:.1f} % of 10000 new targets")
    for name, part in [("little", deviation(x_new) < 0.3), ("much", deviation(x_new) >= 0.3)]:
        inside = np.mean(((low <= y_new) & (y_new <= high))[part])
        print(f"where there is {name} noise, {100 * inside:.1f} %; the interval is {np.mean((high - low)[part]):.2f} wide")

    dense = np.linspace(-3, 3, 301)
    predicted = model.predict(dense[:, np.newaxis])
    figure, axes = plt.subplots(figsize=(8, 4.8), layout="constrained")
    axes.plot(x, y, ".", color="grey", markersize=3, alpha=0.5, label="samples")
    axes.fill_between(dense, predicted[:, 0], predicted[:, 2], color="#5b9bd5", alpha=0.3, label="5 % to 95 %")
    axes.plot(dense, predicted[:, 1], color="#08306b", linewidth=2, label="median")
    for level in LEVELS:
        axes.plot(dense, middle(dense) + deviation(dense) * norm.ppf(level), color="black", linestyle=":", linewidth=1)
    axes.plot([], [], color="black", linestyle=":", label="true quantiles")
    axes.set(xlabel="x", ylabel="y", title="Three quantiles from one network")
    axes.legend(frameon=False)
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
