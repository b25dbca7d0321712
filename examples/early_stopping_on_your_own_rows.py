"""Early stopping by rows that you choose: the last weeks of a series, not some of its rows at random.

The network predicts a signal, whose rhythm drifts, from its past 12 values. It first learns what holds in all weeks, then what
holds in the training weeks only: the error of the last weeks falls, then rises. ``fit(X, y, X_val=…, y_val=…)`` stops at the best
epoch for these weeks. ``scoring`` chooses the score, and ``refit=True`` then trains on all weeks for as many epochs. Rows that
are set aside at random lie between the training rows and look like them, so they stop the training later.
"""

import argparse
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import mean_absolute_error

from fastbp import BPRegressor

N_LAGS = 12


def draw_series(n_steps, random_state):
    """Return a noisy wave whose rhythm becomes slower: (n_steps,)."""
    time = np.arange(n_steps)
    phase = 2 * np.pi * np.cumsum(1 / (12 + 6 * time / n_steps))
    return np.sin(phase) + 0.4 * np.sin(2 * phase + 1) + random_state.normal(0, 0.35, n_steps)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="150 epochs at most instead of 600")
    parser.add_argument(
        "--output", metavar="FILE.png", default="early_stopping_on_your_own_rows.png", help="where the picture goes"
    )
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)

    series = draw_series(600, np.random.RandomState(0))
    X = np.lib.stride_tricks.sliding_window_view(series[:-1], N_LAGS)
    y = series[N_LAGS:]
    train, last, test = slice(0, 300), slice(300, 420), slice(420, None)
    n_epochs = 150 if arguments.quick else 600
    options = {"hidden_layer_sizes": 64, "max_iter": n_epochs, "batch_size": 16, "alpha": 0, "random_state": 0}
    options |= {"learning_rate_init": 0.003, "input_scaling": "standard", "n_iter_no_change": 40}
    own = {"X_val": X[last], "y_val": y[last]}
    earlier = slice(0, 420)

    watched = BPRegressor(**options | {"n_iter_no_change": np.inf, "tol": 0}).fit(X[train], y[train], **own)
    stops = {"early_stopping": True, "scoring": "neg_mean_absolute_error"}
    fits = {
        "all epochs": watched,
        "rows at random": BPRegressor(**options, **stops).fit(X[earlier], y[earlier]),
        "the last weeks": BPRegressor(**options, **stops).fit(X[train], y[train], **own),
        "… and refit": BPRegressor(**options, **stops, refit=True).fit(X[train], y[train], **own),
    }
    print("stopped by       best epoch   mean absolute error afterwards")
    best = {}
    for name, model in fits.items():
        scores = model.validation_scores_
        best[name] = len(scores) if model is watched else 1 + int(np.argmax(scores))
        print(f"{name:15} {best[name]:11d} {mean_absolute_error(y[test], model.predict(X[test])):32.3f}")

    figure, (above, below) = plt.subplots(2, 1, figsize=(10, 6.5), layout="constrained")
    above.plot(series, color="0.4", linewidth=0.8)
    for part, color, name in ((train, "C0", "trained on"), (last, "C1", "validation"), (test, "C2", "afterwards")):
        stop = len(series) if part.stop is None else part.stop + N_LAGS
        above.axvspan(part.start + N_LAGS, stop, color=color, alpha=0.15, label=name, linewidth=0)
    above.set(xlabel="time", title="the last weeks validate", xlim=(0, len(series)))
    beside = {"frameon": False, "loc": "center left", "bbox_to_anchor": (1.0, 0.5)}  # the axes, where no line is
    above.legend(**beside)
    below.plot(watched.loss_curve_, color="C0", label="loss of the rows that are trained on")
    below.plot(watched.validation_loss_curve_, color="C1", label="validation_loss_curve_, your own rows")
    below.axvline(best["the last weeks"], color="C1", linestyle="--", label="kept by your own rows")
    below.axvline(best["rows at random"], color="0.5", linestyle="--", label="kept by rows at random")
    below.set(xlabel="epoch", ylabel="half the mean squared error", ylim=(0, 2 * min(watched.validation_loss_curve_)))
    below.legend(**beside)
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
