"""Two layers and least squares: a 1000-100-10 network fits 64 random samples exactly.

It has sigmoid hidden units, linear outputs and no biases. The loss is the sum of all squared errors, its gradient 2(ŷ − y), and
the learning rate 1e-4. fastbp averages ŷ − y over the samples, so its rate is 2 · 64 times as large; its loss is half the mean of
the squares.
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastbp import BPRegressor

N_SAMPLES, N_INPUTS, N_HIDDEN, N_OUTPUTS = 64, 1000, 100, 10
RATE = 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="200 iterations instead of 2000")
    parser.add_argument("--output", metavar="FILE.png", default="two_layer_least_squares.png", help="where the picture goes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # training is meant to end at max_iter

    random_state = np.random.RandomState(0)
    X, Y = random_state.normal(size=(N_SAMPLES, N_INPUTS)), random_state.normal(size=(N_SAMPLES, N_OUTPUTS))
    model = BPRegressor(
        hidden_layer_sizes=(N_HIDDEN,),
        activation="logistic",
        fit_intercept=False,
        init="normal",
        solver="sgd",
        momentum=0,
        alpha=0,
        batch_size=N_SAMPLES,
        shuffle=False,
        learning_rate_init=2 * N_SAMPLES * RATE,
        max_iter=200 if arguments.quick else 2000,
        tol=0,
        n_iter_no_change=np.inf,
        random_state=0,
    ).fit(X, Y)

    losses = 2 * Y.size * np.array(model.loss_curve_)
    for iteration in range(0, len(losses), len(losses) // 10):
        print(f"iteration {iteration:4d}: sum of squares {losses[iteration]:.6g}")
    print(f"at the end:     sum of squares {np.square(model.predict(X) - Y).sum():.6g}")

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    axes.plot(losses)
    axes.axhline(np.square(Y).sum(), color="grey", linestyle=":", label="predicting 0")
    axes.set(yscale="log", xlabel="iteration", ylabel="sum of squared errors", title="1000-100-10 on 64 random samples")
    axes.legend(frameon=False)
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
