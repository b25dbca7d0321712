"""How often prediction intervals and sets hold the truth, on ten tables: `python benchmarks/coverage.py`.

Each table is split into halves, over and over; on one the estimator is fitted with five folds, on the other it is looked how many
rows the intervals (or sets) hold, and how wide (or large) these are.
"""

import argparse
import warnings

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split

from fastbp import BPTabularClassifier, BPTabularRegressor


def of_noise(n_rows=1000, seed=0):
    """Return rows whose noise grows with the first column."""
    random = np.random.RandomState(seed)
    X = random.uniform(0, 3, (n_rows, 3))
    return X, np.sin(2 * X[:, 0]) + X[:, 1] + 0.1 * (1 + 5 * X[:, 0]) * random.normal(size=n_rows)


def counts(n_rows=1000, seed=0):
    """Return rows whose targets are counts."""
    random = np.random.RandomState(seed)
    X = random.uniform(-1, 1, (n_rows, 4))
    return X, random.poisson(np.exp(1 + X[:, 0] + X[:, 1] * X[:, 2])).astype(float)


LEVELS = [0.05, 0.5, 0.95]
TABLES = {
    "diabetes": (lambda: datasets.load_diabetes(return_X_y=True), {}),
    "friedman1": (lambda: datasets.make_friedman1(800, noise=1.0, random_state=0), {}),
    "friedman3": (lambda: datasets.make_friedman3(800, noise=0.1, random_state=0), {"loss": "absolute_error"}),
    "noise that grows": (of_noise, {}),
    "noise that grows, quantiles": (of_noise, {"loss": "quantile", "quantile": LEVELS}),
    "counts": (counts, {"loss": "poisson"}),
    "iris": (lambda: datasets.load_iris(return_X_y=True), None),
    "wine": (lambda: datasets.load_wine(return_X_y=True), None),
    "breast cancer": (lambda: datasets.load_breast_cancer(return_X_y=True), None),
    "digits": (lambda: datasets.load_digits(return_X_y=True), None),
    "four classes": (
        lambda: datasets.make_classification(1000, 12, n_informative=6, n_classes=4, flip_y=0.2, random_state=0),
        None,
    ),
}


def measured(name, coverage, n_splits, method, n_ensemble):
    """Return the part of the rows that are held, its standard error over splits, and the mean width or size."""
    load, options = TABLES[name]
    X, y = load()
    held, sizes = [], []
    for split in range(n_splits):
        X_fit, X_new, y_fit, y_new = train_test_split(
            X, y, test_size=0.5, random_state=split, stratify=y if options is None else None
        )
        kind, more = (BPTabularClassifier, {}) if options is None else (BPTabularRegressor, options)
        model = kind(cv=5, n_ensemble=n_ensemble, random_state=split, **more).fit(X_fit, y_fit)
        if options is None:
            sets = model.predict_set(X_new, coverage, method=method)
            held.append(sets[np.arange(len(y_new)), np.searchsorted(model.classes_, y_new)].mean())
            sizes.append(sets.sum(axis=1).mean())
        else:
            low, high = model.predict_interval(X_new, coverage, method=method).T
            held.append(np.mean((low <= y_new) & (y_new <= high)))
            sizes.append(np.mean(high - low) / np.std(y))
    return np.mean(held), np.std(held) / max(1, n_splits - 1) ** 0.5, np.mean(sizes)


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--coverage", type=float, nargs="+", default=[0.8, 0.9, 0.95])
    parser.add_argument("--method", choices=["cv", "cv+"], default="cv")
    parser.add_argument("--networks", type=int, default=1, help="networks per fold")
    parser.add_argument("--quick", action="store_true", help="one split of two tables, to see whether it runs")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| table | " + " | ".join(f"{coverage:.0%}" for coverage in options.coverage) + " |")
    print("|---|" + "---|" * len(options.coverage))
    if options.quick:
        options.splits, options.coverage = 1, [0.9]
    for name in list(TABLES)[:: 6 if options.quick else 1]:
        asked = [(name, coverage, options.splits, options.method, options.networks) for coverage in options.coverage]
        cells = ["{:.3f} ± {:.3f} ({:.2f})".format(*measured(*one)) for one in asked]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
