"""Local minima: the result of a small network depends on its initial weights, and an ensemble averages this out.

Twenty networks with different initial weights are trained on a curve. ``n_restarts=20`` keeps the one with the lowest training
loss. With ``ensemble=True`` the average of all predicts. On average, the ensemble is never further from the true curve than its
members. Whether it or the kept network is nearer depends on why the members differ.

With few units and no noise, some networks end in a local minimum. Their loss shows which, and they spoil the average. With many
units and noise, each network overfits the noise in another way, and the average removes that. The distances are means over ten
tables; the picture shows the first.
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
    parser.add_argument("--quick", action="store_true", help="8 networks instead of 20")
    parser.add_argument("--output", metavar="FILE.png", default="local_minima_and_ensembles.png", help="where the picture goes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # some networks train for long

    x, new = np.linspace(-3, 3, 40), np.linspace(-3, 3, 300)
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained", width_ratios=(2, 1))
    for (curves, errors), (n_units, noise) in zip(axes, ((3, 0.0), (20, 0.4)), strict=True):
        distances = []
        for table in reversed(range(10)):  # what the last pass has found is drawn
            y = truth(x) + noise * np.random.RandomState(table).normal(size=len(x))
            model = BPRegressor(
                hidden_layer_sizes=n_units,
                activation="tanh",
                solver="lbfgs",
                max_iter=2000,
                n_restarts=8 if arguments.quick else 20,
                ensemble=True,
                random_state=table,
            ).fit(x[:, np.newaxis], y)
            alone = np.array([member.predict(new[:, np.newaxis]) for member in model.estimators_])
            together = model.predict(new[:, np.newaxis])
            losses = model.restart_losses_
            kept = int(np.nanargmin(losses))
            rmse = np.sqrt(((alone - truth(new)) ** 2).mean(axis=1))
            rmse_together = np.sqrt(((together - truth(new)) ** 2).mean())
            distances.append([rmse.mean(), rmse[kept], rmse_together])
        print(f"{n_units:3d} units, noise {noise}: distance from the true curve, mean of ten tables:")
        print("   mean start {:.3f}  kept start {:.3f}  ensemble {:.3f}".format(*np.mean(distances, axis=0)))

        curves.plot(new, alone.T, color="#9dc3e6", linewidth=0.8)
        curves.plot([], [], color="#9dc3e6", label="each network")
        curves.plot(new, alone[kept], color="C1", label="the network with the lowest training loss")
        curves.plot(new, together, color="C3", linewidth=2, label="ensemble: the mean of all")
        curves.plot(new, truth(new), color="black", linestyle=":", linewidth=2, label="true curve")
        curves.plot(x, y, "k.", markersize=5)
        curves.set(title=f"1-{n_units}-1 tanh units, {'noise' if noise else 'no noise'}", ylim=(-3, 3), xlabel="x")
        errors.plot(losses, rmse, "o", color="#5b9bd5", label="each network")
        errors.plot(losses[kept], rmse[kept], "o", color="C1", label="kept")
        errors.axhline(rmse_together, color="C3", label="ensemble")
        errors.set(xlabel="training loss", ylabel="distance from the true curve (RMSE)", title="The networks")
        errors.legend(frameon=False)
    axes[0, 0].legend(frameon=False, loc="upper left")
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
