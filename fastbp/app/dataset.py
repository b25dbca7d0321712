"""The data of a search or a training: split into training and test rows, with the task and the models for it."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from fastbp.app.columns import Column
from fastbp.app.source import TableError, title_of
from fastbp.app.table import find_task, leave_out_rare_classes, read_table
from fastbp.estimators import BPClassifier, BPRegressor
from fastbp.tabular import BPTabularClassifier, BPTabularRegressor, TableEncoder

FEWEST_ROWS = 10


class Dataset(NamedTuple):
    """Training and test rows, the task, and the preprocessing step."""

    name: str
    task: str
    X_train: Any
    X_test: Any
    y_train: np.ndarray
    y_test: np.ndarray
    prepare: Any
    columns: list[Column]  # all columns of a file, the target last
    notes: list[str]

    @property
    def is_classification(self):
        """Whether the target is a class."""
        return self.task == "classification"

    @property
    def metric(self):
        """scikit-learn's name of the score that ranks the sizes."""
        return "accuracy" if self.is_classification else "r2"

    @property
    def score_name(self):
        """The name of that score in the output."""
        return "accuracy" if self.is_classification else "R²"

    def pipeline(self, sizes, epochs, seed, of=(BPClassifier, BPRegressor)):
        """Return a pipeline of the preprocessing and a network of one of the two classes `of`."""
        classifier, regressor = of
        network = classifier if self.is_classification else regressor
        settings = {"hidden_layer_sizes": sizes, "max_iter": epochs, "random_state": seed}
        return Pipeline([("prepare", self.prepare), ("network", network(**settings))])

    def model(self, *settings, **more):
        """Return the pipeline with a scaled target; arguments as in `pipeline`."""
        pipeline = self.pipeline(*settings, **more)
        # outputs are near 0 at first, so a target of mean 0 and standard deviation 1 is learned best
        return pipeline if self.is_classification else TransformedTargetRegressor(pipeline, transformer=StandardScaler())

    @property
    def table_kind(self):
        """The class of the tabular estimator."""
        return BPTabularClassifier if self.is_classification else BPTabularRegressor

    def check_range(self):
        """Raise TableError if the target is beyond single precision, in which networks behind TableEncoder compute."""
        if not self.is_classification and not (np.abs(self.y_train).max() < 1e30 and self.y_train.std() > 1e-30):
            raise TableError(
                f"the target's numbers, such as {np.abs(self.y_train).max():g}, are beyond single precision, which plain networks"
                " compute in: multiply them by a power of ten, or train without --size"
            )

    def search_target(self):
        """Return the training target, scaled for a regression; R² does not change with its scale."""
        if self.is_classification:
            return self.y_train
        return StandardScaler().fit_transform(self.y_train[:, np.newaxis]).ravel()


def load_dataset(data, target, task, drop, options, seed):
    """Return the Dataset of a file, or of scikit-learn's digits if `data` is None."""
    if data is None:
        if task == "regression":
            raise TableError("the digits are classes; --task regression needs --data FILE.csv")
        X, y = load_digits(return_X_y=True)
        return _split("digits", "classification", X, y, StandardScaler(), [], [], seed)
    if target is None:
        raise TableError("--data needs --target COLUMN")
    table = read_table(data, target, drop, options, task=task)
    task = task or find_task(table.y, table.target.is_quantity)
    if task == "classification":
        table = leave_out_rare_classes(table if table.labels is None else table._replace(y=table.labels, labels=None))
    elif table.y.dtype == object:
        raise TableError(f"--task regression needs numbers, but {target!r} holds text such as {table.y[0]!r}")
    X, y = table.X, table.y
    if len(y) < FEWEST_ROWS:
        raise TableError(f"{len(y)} rows are too few: at least {FEWEST_ROWS} are needed")
    if len(np.unique(y)) == 1:
        raise TableError(f"the target {target!r} is {str(y[0])!r} in every row: there is nothing to learn")
    name = title_of(data) if str(data) == "-" else data.name
    return _split(name, task, X, y, TableEncoder(), [*table.columns, table.target], table.notes, seed)


def _split(name, task, X, y, prepare, columns, notes, seed):
    classes = y if task == "classification" else None
    n_test = max(round(0.2 * len(y)), 1 if classes is None else len(np.unique(classes)))
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=n_test, stratify=classes, random_state=seed)
    return Dataset(name, task, X_train, X_test, y_train, y_test, prepare, columns, notes)
