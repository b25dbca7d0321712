"""The training workloads that every peer runs: data, network, start, optimizer and epochs, stated once.

Each workload is plain (no penalty, constant learning rate, no early stop), so that the same mathematics can be written in
scikit-learn, PyTorch, JAX and fastbp; `FitWorkload.training_loss` judges all of them by one NumPy formula.
"""

import itertools
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import expit, logsumexp
from sklearn.datasets import load_digits, make_classification


def xor_table():
    return np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])


def two_informative_columns():
    return make_classification(1000, 20, n_informative=2, n_redundant=2, random_state=0)


def two_informative_columns_as_regression():
    X, y = two_informative_columns()
    return X[:750], y[:750].astype(float)


def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16.0, y


def random_least_squares():
    random = np.random.RandomState(0)
    return random.normal(size=(64, 1000)), random.normal(size=(64, 10))


def pictures_with_a_cat():
    """209 standardised rows of 64·64·3 columns, as in the L-layer tutorial; the label depends on a random direction."""
    random = np.random.RandomState(0)
    X = random.normal(size=(209, 12288))
    return X, (X @ random.normal(size=12288) > 0).astype(int)


def collisions():
    """100,000 rows of 28 columns, two noisy classes that no plane separates: the shape of the HIGGS data."""
    return make_classification(100_000, 28, n_informative=12, n_redundant=6, n_clusters_per_class=4, flip_y=0.05, random_state=0)


def handwriting():
    """6000 rows of 784 columns in ten classes: the shape of MNIST."""
    X, y = make_classification(6000, 784, n_informative=60, n_classes=10, n_clusters_per_class=1, random_state=0)
    return X / X.std(), y


def matrix_map():
    """10,000 2×2 matrices and a smooth function of each: the shape of SimpleChains.jl's example."""
    random = np.random.RandomState(0)
    X = random.normal(size=(10_000, 4))
    return X, np.tanh(X @ random.normal(size=(4, 4))) + 0.5 * X**2


@dataclass(frozen=True)
class FitWorkload:
    """One training run, described without any framework.

    Attributes
    ----------
    name, title : str
        What the command line and the table call it.
    make_data : callable
        Returns X (n, n_features) and y.
    task : {"binary", "multiclass", "regression"}
    hidden : tuple of int
        Widths of the hidden layers.
    activation : {"relu", "tanh", "logistic"}
    solver : {"sgd", "adam"}
        sgd is with Nesterov momentum 0.9; adam has its usual constants.
    dtype : str
    batch_size : int or None
        None is one batch of all rows, which is not shuffled.
    n_epochs : int
    learning_rate : float
    target_sklearn, target_compiled : float or None
        At least this many times faster than scikit-learn, and than the faster of PyTorch and JAX.
    """

    name: str
    title: str
    make_data: object
    task: str
    hidden: tuple
    activation: str
    solver: str
    dtype: str
    batch_size: int | None
    n_epochs: int
    learning_rate: float
    target_sklearn: float | None
    target_compiled: float | None

    @cached_property
    def data(self):
        """Return X (n, n_features), C-contiguous, and y (n,) or (n, n_outputs), in the workload's dtype unless labels."""
        X, y = self.make_data()
        X = np.ascontiguousarray(X, dtype=self.dtype)
        return X, y.astype(self.dtype) if self.task == "regression" else y.astype(np.int64)

    def shortened(self):
        """Return the workload on few rows and for few epochs, to try the harness."""
        make_data = self.make_data
        return replace(self, make_data=lambda: tuple(part[:600] for part in make_data()), n_epochs=min(3, self.n_epochs))

    @property
    def full_batch(self):
        return self.batch_size is None

    @property
    def rows_per_batch(self):
        return len(self.data[0]) if self.full_batch else self.batch_size

    def output_targets(self):
        """Return the targets as the output layer sees them, (n, n_outputs): one-hot for several classes."""
        y = self.data[1]
        if self.task == "multiclass":
            return np.eye(y.max() + 1, dtype=self.dtype)[y]
        return y.reshape(len(y), -1).astype(self.dtype)

    def layer_sizes(self):
        return [self.data[0].shape[1], *self.hidden, self.output_targets().shape[1]]

    def start(self):
        """Return the starting (coefs, intercepts): what scikit-learn draws for random_state=0."""
        random = np.random.RandomState(0)
        factor = 2.0 if self.activation == "logistic" else 6.0
        coefs, intercepts = [], []
        sizes = self.layer_sizes()
        for n_in, n_out in itertools.pairwise(sizes):
            bound = np.sqrt(factor / (n_in + n_out))
            coefs.append(random.uniform(-bound, bound, (n_in, n_out)).astype(self.dtype))
            intercepts.append(random.uniform(-bound, bound, n_out).astype(self.dtype))
        return coefs, intercepts

    def training_loss(self, coefs, intercepts):
        """Return the mean over rows of the loss of a trained network, in float64, by NumPy alone."""
        activate = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "logistic": expit}[self.activation]
        outputs = self.data[0].astype(float)
        for layer, (W, b) in enumerate(zip(coefs, intercepts, strict=True)):
            outputs = outputs @ np.asarray(W, dtype=float) + np.asarray(b, dtype=float)
            if layer < len(coefs) - 1:
                outputs = activate(outputs)
        targets = self.output_targets().astype(float)
        if self.task == "regression":
            row_losses = 0.5 * ((outputs - targets) ** 2).sum(axis=1)
        elif self.task == "binary":
            row_losses = (np.logaddexp(0, outputs) - targets * outputs)[:, 0]
        else:
            row_losses = logsumexp(outputs, axis=1) - (outputs * targets).sum(axis=1)
        return float(row_losses.mean())


FITS = [
    FitWorkload("xor", "XOR 4×2, 2-3-1, sgd, f64, batch 1",
                xor_table, "binary", (3,), "logistic", "sgd", "float64", 1, 250, 0.1, 300, 80),
    FitWorkload("per-sample-narrow", "1000×20, 20-10-1 relu, sgd, f64, batch 1",
                two_informative_columns, "binary", (10,), "relu", "sgd", "float64", 1, 40, 0.001, 600, 7),
    FitWorkload("per-sample-digits", "digits 1797×64, 64-32-10 logistic, sgd, f64, batch 1",
                digits, "multiclass", (32,), "logistic", "sgd", "float64", 1, 20, 0.01, 200, 6),
    FitWorkload("full-narrow", "750×20, 20-10-10-1 relu, sgd, f64, full batch",
                two_informative_columns_as_regression, "regression", (10, 10), "relu", "sgd", "float64", None, 500, 0.01, 10, 4),
    FitWorkload("full-wide-input", "64×1000, 1000-100-10 logistic, sgd, f64, full batch",
                random_least_squares, "regression", (100,), "logistic", "sgd", "float64", None, 200, 0.001, 3, 4),
    FitWorkload("pictures-f64", "209×12288, 12288-20-7-5-1 relu, sgd, f64, full batch",
                pictures_with_a_cat, "binary", (20, 7, 5), "relu", "sgd", "float64", None, 30, 0.0075, 4, 4),
    FitWorkload("pictures-f32", "209×12288, 12288-20-7-5-1 relu, sgd, f32, full batch",
                pictures_with_a_cat, "binary", (20, 7, 5), "relu", "sgd", "float32", None, 30, 0.0075, 4, 4),
    FitWorkload("digits-adam-f64", "digits, 64-100-10 relu, adam, f64, batch 200",
                digits, "multiclass", (100,), "relu", "adam", "float64", 200, 200, 0.001, 15, 4),
    FitWorkload("digits-adam-f32", "digits, 64-64-32-10 relu, adam, f32, batch 32",
                digits, "multiclass", (64, 32), "relu", "adam", "float32", 32, 200, 0.001, 12, 3),
    FitWorkload("collisions-relu", "100k×28, 28-64-64-1 relu, adam, f32, batch 256",
                collisions, "binary", (64, 64), "relu", "adam", "float32", 256, 2, 0.001, 12, 4),
    FitWorkload("collisions-tanh", "100k×28, 28-64-64-1 tanh, adam, f32, batch 256",
                collisions, "binary", (64, 64), "tanh", "adam", "float32", 256, 2, 0.001, 12, 4),
    FitWorkload("handwriting-f32", "6000×784, 784-512-512-10 relu, adam, f32, batch 128",
                handwriting, "multiclass", (512, 512), "relu", "adam", "float32", 128, 2, 0.001, 2, 1.3),
    FitWorkload("handwriting-f64", "6000×784, 784-512-512-10 relu, adam, f64, batch 128",
                handwriting, "multiclass", (512, 512), "relu", "adam", "float64", 128, 2, 0.001, 2, 1.3),
    FitWorkload("matrix-map", "10k×4, 4-32-16-4 tanh, adam, f32, full batch",
                matrix_map, "regression", (32, 16), "tanh", "adam", "float32", None, 200, 0.001, None, 5),
]  # fmt: skip
