"""The presets, and the settings of their networks."""

from typing import Any, NamedTuple

BATCH_ROWS = 256
EXAMPLES = 256  # rows that are kept for the importances of features

# Regression: above the first R² on held-out rows, training takes longer if that helps, and below the second it is shorter. Steps
# count here, not epochs: more steps gain nothing, with fewer too little is learned.
LITTLE_NOISE, MUCH_NOISE = 0.9, 0.75
LONG_STEPS, SHORT_STEPS = 1536, 96
# With more rows, regression with much noise has few epochs: one has as many steps as the whole training of others.
MANY_ROWS, FEW_EPOCHS = 100_000, 8
MOST_ROWS_OF_SEVERAL = 10_000  # with more rows, presets with ranks train as many networks as per fold of `cv`


class Preset(NamedTuple):
    """The networks of a preset, and their epochs."""

    n_ensemble: int  # networks
    n_of_fold: int  # networks for each fold of `cv`
    max_iter: int
    short_max_iter: int  # for regression with much noise
    long_max_iter: int  # for regression with little noise
    class_max_iter: int  # for classification
    calibrate: bool
    text: str  # for the documentation, after the name
    has_ranks: bool = False  # every other network sees ranks in place of numbers
    has_pool: bool = False  # networks of several configurations, as in pool.py


_ENSEMBLE = "six configurations of networks, each on five folds, weighted by the held-out rows"
PRESETS = {
    "fast": Preset(1, 1, 16, 16, 16, 16, False, "one network"),
    "default": Preset(4, 1, 64, 32, 256, 48, True, "four networks, averaged", has_ranks=True),
    "best": Preset(8, 8, 64, 32, 256, 64, True, "eight networks, averaged", has_ranks=True),
    "ensemble": Preset(1, 1, 64, 32, 256, 64, True, _ENSEMBLE, has_pool=True),
}


class Task(NamedTuple):
    """Settings that differ between classification and regression."""

    activation: str
    learning_rate_init: float
    dropout: float
    of_outputs: dict[str, Any]


# Source of the settings: Holzmüller, Grinsztajn and Steinwart, arXiv:2407.04491; docs/tabular.md lists the differences.
CLASSES = Task("selu", 0.04, 0.3, {"output_activation": "softmax", "label_smoothing": 0.1})
NUMBERS = Task("mish", 0.1, 0.15, {})
OWN_RATES = CLASSES.learning_rate_init, NUMBERS.learning_rate_init
# If a training diverges: where few rows differ, init="data" makes such large weights that the exponential of outputs can be
# infinite after dropout.
GENTLER = {"init": "glorot_uniform", "dropout": 0.0}
LOWER_RATES = 1 / 8, 1 / 64


def batch_rows(n_rows: int) -> int:
    """Return the rows of a batch: about 256, and about equally many in each."""
    return -(-n_rows // max(1, n_rows // BATCH_ROWS))


def shorter_and_longer(preset: Preset, n_rows: int) -> tuple[int, int]:
    """Return the epochs for regression with much and with little noise."""
    n_batches = -(-n_rows // batch_rows(n_rows))
    shorter = preset.short_max_iter if preset.short_max_iter * n_batches >= SHORT_STEPS else preset.max_iter
    return shorter, max(preset.max_iter, min(preset.long_max_iter, LONG_STEPS // n_batches))


def network_options(task: Task, n_rows: int, n_numbers: int, max_iter: int) -> dict[str, Any]:
    """Return parameters of BPClassifier or BPRegressor for a table whose first n_numbers columns are numbers."""
    return {
        "hidden_layer_sizes": (64, 64, 64),
        "activation": task.activation,
        "embedding": "periodic" if n_numbers else None,
        "embedded_features": tuple(range(n_numbers)),
        "scale_layer": True,
        "init": "data",
        "solver": "adamw",
        "alpha": 0.0,
        "beta_2": 0.95,
        "learning_rate": "coslog",
        "learning_rate_init": task.learning_rate_init,
        "rate_factors": {"coefs": "fan_in", "intercepts": 0.1, "embedding": 0.1, "scale": 6.0},
        "weight_decay": 0.02,
        "dropout": task.dropout,
        "batch_size": batch_rows(n_rows),
        "max_iter": max_iter,
        "tol": 0.0,
        "n_iter_no_change": float("inf"),
        **task.of_outputs,
    }
