"""What the columns that say where values are missing do to the error, on six tables from which values were removed.

    python benchmarks/missing_values.py [--quick]

In half of the columns, 30 % of the values are removed: at random; the largest values; or the values of the rows with the largest
targets (of classes, with the highest numbers). In the last two ways, one in five of these values stays, and one elsewhere goes.

The tabular estimators train on the table as it is, and on the same table with the medians of the training rows in place of
missing values, so that nothing tells where they were. The error is the log-loss for classes and the root mean squared error for
numbers, on held-out rows, the mean over splits. Each line is the change of the error by the columns: the geometric mean over the
tables, with its standard error.
"""

import argparse

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine, make_friedman1, make_regression
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.model_selection import train_test_split

from fastbp import BPTabularClassifier, BPTabularRegressor

TABLES = {
    "wine": (BPTabularClassifier, load_wine(return_X_y=True)),
    "breast cancer": (BPTabularClassifier, load_breast_cancer(return_X_y=True)),
    "digits": (BPTabularClassifier, load_digits(return_X_y=True)),
    "diabetes": (BPTabularRegressor, load_diabetes(return_X_y=True)),
    "friedman1": (BPTabularRegressor, make_friedman1(500, noise=1.0, random_state=0)),
    "linear": (BPTabularRegressor, make_regression(500, 10, noise=20.0, random_state=0)),
}
WAYS = {"at random": "random", "where they are large": "large", "depending on the target": "target"}


def removed(X, y, way, random):
    """Return a copy of X in which values are missing."""
    X = X.astype(float)
    n_rows, n_columns = X.shape
    for column in random.permutation(n_columns)[: n_columns // 2]:
        order = {"random": random.permutation(n_rows), "large": X[:, column], "target": y}[way]
        by_rule = np.argsort(order + 1e-9 * random.standard_normal(n_rows))[::-1][: round(0.3 * n_rows)]
        exempt = random.random(len(by_rule)) < 0.2
        others = random.choice(np.setdiff1d(np.arange(n_rows), by_rule), exempt.sum(), replace=False)
        X[np.concatenate([by_rule[~exempt], others]), column] = np.nan
    return X


def errors(name, way, seed):
    """Return the error with the columns that say where values are missing, and without."""
    kind, (X, y) = TABLES[name]
    X = removed(X, y, way, np.random.default_rng(seed))
    X, X_test, y, y_test = train_test_split(X, y, random_state=seed)
    median = SimpleImputer(strategy="median").fit(X)
    found = []
    for rows, new_rows in ((X, X_test), (median.transform(X), median.transform(X_test))):
        model = kind(random_state=seed).fit(rows, y)
        if kind is BPTabularClassifier:
            found.append(log_loss(y_test, model.predict_proba(new_rows), labels=model.classes_))
        else:
            found.append(root_mean_squared_error(y_test, model.predict(new_rows)))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two tables and one split, to see that it runs")
    is_quick = parser.parse_args().quick
    n_splits, names = (1, ["wine", "diabetes"]) if is_quick else (10, list(TABLES))
    print(f"change of the error, {len(names)} tables, {n_splits} splits each")
    for title, way in WAYS.items():
        means = np.array([np.mean([errors(name, way, seed) for seed in range(n_splits)], axis=0) for name in names])
        logs = np.log(means[:, 0] / means[:, 1])
        percent, error = 100 * np.expm1(logs.mean()), 100 * logs.std(ddof=1) / np.sqrt(len(names))
        each = ", ".join(f"{name} {100 * np.expm1(log):+.1f}" for name, log in zip(names, logs))
        print(f"{title:24} {percent:+6.1f} % ± {error:.1f}   ({each})", flush=True)


if __name__ == "__main__":
    main()
