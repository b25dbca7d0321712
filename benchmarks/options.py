"""What options cost: the time of an epoch with each over that of the plain fit, in turns within one process.

    python benchmarks/options.py [--quick] [names …]

A plain fit against itself comes first: what its row says beside 0 % is noise.
"""

import argparse
import sys
import warnings
from functools import partial

import numpy as np
from measure import Settings, interleave
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning

import fastbp

X, Y = load_digits(return_X_y=True)
X = X / 16.0
X_REAL, Y_REAL = load_diabetes(return_X_y=True)


class Nothing:
    """A callback, as scikit-learn has them from 1.9 on."""

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass


# (name, keyword arguments of the estimator that are timed, those of both that the option needs), of BPClassifier on the digits …
CLASSIFIER_ROWS = [
    ("plain", {}, {}),
    ("class_weight", {"class_weight": "balanced"}, {}),
    ("adamw against adam", {"solver": "adamw"}, {}),
    ("cosine", {"learning_rate": "cosine"}, {}),
    ("clip_norm", {"clip_norm": 1.0}, {}),
    ("clip_value", {"clip_value": 0.1}, {}),
    ("max_norm", {"max_norm": 2.0}, {}),
    ("l1_ratio", {"l1_ratio": 0.5}, {}),
    ("averaging", {"averaging": 0.99}, {}),
    ("record_gradient_norms", {"record_gradient_norms": True}, {}),
    ("label_smoothing", {"label_smoothing": 0.1}, {}),
    ("focal", {"loss": "focal"}, {}),
    ("dropout", {"dropout": 0.2}, {}),
    ("dropout, tanh", {"dropout": 0.2}, {"activation": "tanh"}),
    ("dropout, inputs too", {"dropout": [0.1, 0.2, 0.2]}, {}),
    ("feature_importances", {"feature_importances": True}, {}),
    ("embedding", {"embedding": "periodic"}, {}),
    ("scale_layer", {"scale_layer": True}, {}),
    ("skip_layer", {"skip_layer": True}, {}),
    ("ordered against softmax", {"ordered": True}, {}),
    ("rate_factors", {"rate_factors": {"coefs": "fan_in", "intercepts": 0.1}}, {}),
    ("scoring by the loss", {"scoring": "loss"}, {"early_stopping": True}),
    ("scoring by a scorer", {"scoring": "f1_macro"}, {"early_stopping": True}),
    ("input_scaling", {"input_scaling": "standard"}, {}),
    ("calibration", {"calibration": "temperature"}, {"early_stopping": True}),
    ("ensemble of 3 restarts", {"ensemble": True}, {"n_restarts": 3}),
    # 200 epochs of such a network, as many as are the default, take about a second
    ("callback that does nothing", {"callbacks": [Nothing()]}, {"hidden_layer_sizes": (256, 128)}),
]
# … and of BPRegressor on the diabetes patients.
REGRESSOR_ROWS = [
    ("plain regression", {}, {}),
    ("target_scaling", {"target_scaling": "standard"}, {}),
    ("skip_layer, regression", {"skip_layer": True}, {}),
    ("monotonic_cst", {"monotonic_cst": [0, 0, 1, 1, 0, 0, -1, 0, 1, 0]}, {}),
    ("absolute_error", {"loss": "absolute_error"}, {}),
    ("embedding_size against codes", {"embedding_size": 8}, {"categorical_features": [1]}),
    ("quantile", {"loss": "quantile"}, {}),
    ("three quantiles", {"loss": "quantile", "quantile": [0.1, 0.5, 0.9]}, {}),
    ("gamma against poisson", {"loss": "gamma"}, {"loss": "poisson"}),
    ("tweedie against poisson", {"loss": "tweedie"}, {"loss": "poisson"}),
]
# … and with a fifth of the targets of several outputs missing, against the same fit of all of them.
MISSING_ROWS = [
    ("missing targets", "regression", {}),
    ("missing targets, per sample", "regression", {"solver": "sgd", "batch_size": 1}),
    ("missing targets, lbfgs", "regression", {"solver": "lbfgs", "tol": 0.0}),
    ("missing labels", "labels", {}),
]


def fit(estimator, options, X, y, n_epochs):
    settings = {"hidden_layer_sizes": (64, 32), "batch_size": 32, "tol": 0, "n_iter_no_change": np.inf, "random_state": 0}
    settings |= options
    callbacks = settings.pop("callbacks", ())
    model = estimator(**settings, max_iter=n_epochs, n_threads=1)
    if callbacks:
        model.set_callbacks(*callbacks)
    return model.fit(X, y)


def missing_row(name, task, needed):
    """Digits, of whose pixels the last row is to be told from the others: its values, or which of them are dark."""
    targets = X[:, 56:] + 0.0 if task == "regression" else (X[:, 56:] > 0.3).astype(float)
    gone = np.random.default_rng(0).uniform(size=targets.shape) < 0.2
    estimator = fastbp.BPRegressor if task == "regression" else fastbp.BPClassifier
    return estimator, X[:, :56], (targets, np.where(gone, np.nan, targets)), name, {"missing_targets": "ignore"}, needed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few epochs, to see that it runs")
    parser.add_argument("names", nargs="*", help="rows to time; all by default")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    settings = Settings(n_threads=1, repeat=1 if arguments.quick else 40, row_seconds=20, quick=arguments.quick)
    n_epochs = 2 if arguments.quick else 30
    rows = [(fastbp.BPClassifier, X, (Y, Y), *row) for row in CLASSIFIER_ROWS]
    rows += [(fastbp.BPRegressor, X_REAL, (Y_REAL, Y_REAL), *row) for row in REGRESSOR_ROWS]
    rows += [missing_row(*row) for row in MISSING_ROWS]
    print(f"{'option':28} {'plain, ms':>10} {'with it, ms':>12} {'cost of an epoch':>17}")
    for estimator, inputs, targets, name, timed, needed in rows:
        if arguments.names and name not in arguments.names:
            continue
        contenders = {
            "plain": partial(fit, estimator, needed, inputs, targets[0], n_epochs),
            "option": partial(fit, estimator, needed | timed, inputs, targets[1], n_epochs),
        }
        for run in contenders.values():
            run()
        seconds, errors = interleave(contenders, settings)
        if errors:
            sys.exit(f"options.py: {name}: {errors}")
        plain, option = (1e3 * seconds[key] / n_epochs for key in ("plain", "option"))
        print(f"{name:28} {plain:10.3f} {option:12.3f} {100 * (option / plain - 1):+16.1f}%")


if __name__ == "__main__":
    main()
