"""Local minima: where a small network ends depends on where it starts, and what several starts together make of that.

Twenty starts on a noisy curve. ``n_restarts=20`` keeps the one of the lowest training loss; with ``ensemble=True`` the average of
all is what predicts, one object with one ``predict``. With few units some starts are stuck, and the one that is kept is better
than the average of them all; with many they differ in the noise that they learn, which the average does not.
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastbp import BPRegressor


def truth(x):
    return np.sin(2 * x) + 0.3 * x


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="8 starts instead of 20")
    parser.add_argument("--output", metavar="FILE.png", default="local_minima_and_ensembles.png", help="where the picture goes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # some starts go on for long

    rng = np.random.RandomState(0)
    x, new = np.sort(rng.uniform(-3, 3, 40)), np.linspace(-3, 3, 300)
    y = truth(x) + 0.4 * rng.normal(size=40)
    options = {"activation": "tanh", "solver": "lbfgs", "max_iter": 2000, "alpha": 1e-4, "random_state": 0, "ensemble": True}
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained", width_ratios=(2, 1))
    for (curves, errors), n_units in zip(axes, (4, 20), strict=True):
        model = BPRegressor(hidden_layer_sizes=n_units, n_restarts=8 if arguments.quick else 20, **options)
        model.fit(x[:, np.newaxis], y)
        alone = np.array([member.predict(new[:, np.newaxis]) for member in model.estimators_])
        together = model.predict(new[:, np.newaxis])
        kept = int(np.nanargmin(model.restart_losses_))
        rmse = np.sqrt(((alone - truth(new)) ** 2).mean(axis=1))
        rmse_together = np.sqrt(((together - truth(new)) ** 2).mean())
        losses = model.restart_losses_
        print(f"{n_units:3d} units: training losses from {losses.min():.4f} to {losses.max():.4f}; distance from the truth:")
        print(f"   mean start {rmse.mean():.3f}  kept start {rmse[kept]:.3f}  ensemble {rmse_together:.3f}")

        curves.plot(new, alone.T, color="#9dc3e6", linewidth=0.8)
        curves.plot([], [], color="#9dc3e6", label="each start")
        curves.plot(new, alone[kept], color="C1", label="the start of the lowest training loss")
        curves.plot(new, together, color="C3", linewidth=2, label="ensemble: the mean of all")
        curves.plot(new, truth(new), color="black", linestyle=":", linewidth=2, label="truth")
        curves.plot(x, y, "k.", markersize=5)
        curves.set(title=f"1-{n_units}-1 tanh units", ylim=(-3, 3), xlabel="x")
        errors.plot(losses, rmse, "o", color="#5b9bd5", label="each start")
        errors.plot(losses[kept], rmse[kept], "o", color="C1", label="kept")
        errors.axhline(rmse_together, color="C3", label="ensemble")
        errors.set(xlabel="training loss", ylabel="distance from the truth (RMSE)", title="Starts")
        errors.legend(frameon=False)
    axes[0, 0].legend(frameon=False, loc="upper left")
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
