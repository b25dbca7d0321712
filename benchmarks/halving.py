"""Successive halving (`BPSearchCV(resource="epochs")`) beside the full search: what it finds, and in which part of the time.

    python benchmarks/halving.py [--quick] [tables …]

For each table some seeds of weights and folds: the rank that its winner has in the full search, how much lower the winner's score
is than the best one's, the standard error of that difference over the folds, and the part of the full search's seconds
(of the processor, so that others on the machine make no difference).
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.datasets import load_diabetes, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler

from fastbp import BPClassifier, BPRegressor, BPSearchCV, suggest_hidden_layer_sizes

TABLES = {"digits": load_digits, "wine": load_wine, "diabetes": load_diabetes}
N_FOLDS = 5


def searches(name, seed, max_iter, rates):
    """Return the full search and the halved one, fitted, and the seconds of each."""
    X, y = TABLES[name](return_X_y=True)
    X = StandardScaler().fit_transform(X)
    is_real = name == "diabetes"
    y = (y - y.mean()) / y.std() if is_real else y
    model = (BPRegressor if is_real else BPClassifier)(max_iter=max_iter, random_state=seed)
    grid = {"hidden_layer_sizes": suggest_hidden_layer_sizes(X, y), "learning_rate_init": rates}
    cv = (KFold if is_real else StratifiedKFold)(N_FOLDS, shuffle=True, random_state=seed)
    found = []
    for resource in (None, "epochs"):
        search = BPSearchCV(model, grid, cv=cv, n_jobs=1, refit=False, resource=resource)
        started = time.process_time()
        search.fit(X, y)
        found += [search, time.process_time() - started]
    return found


def folds_of(search, row):
    return np.array([search.cv_results_[f"split{fold}_test_score"][row] for fold in range(N_FOLDS)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed and a few epochs, to see that it runs")
    parser.add_argument("tables", nargs="*", default=[*TABLES], help="all by default")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    max_iter, rates, seeds = (9, [1e-3, 1e-2], 1) if arguments.quick else (180, [3e-4, 1e-3, 3e-3, 1e-2], 5)
    print("table      seed candidates rank below the best standard error of the time")
    for name in arguments.tables:
        for seed in range(seeds):
            full, full_seconds, halved, seconds = searches(name, seed, max_iter, rates)
            scores = full.cv_results_["mean_test_score"]
            winner, best = full.cv_results_["params"].index(halved.best_params_), full.best_index_
            rank = 1 + int((scores > scores[winner]).sum())
            error = np.std(folds_of(full, best) - folds_of(full, winner), ddof=1) / np.sqrt(N_FOLDS)
            below = scores[best] - scores[winner]
            part = seconds / full_seconds
            print(f"{name:10} {seed:4d} {len(scores):10d} {rank:4d} {below:14.4f} {error:14.4f} {part:11.2f}", flush=True)


if __name__ == "__main__":
    main()
