"""Test scores of ensembles of starts beside those of the starts one by one, on six tables.

    python benchmarks/ensembles.py [--quick]

Accuracy or R², the mean over splits, with the default parameters and standardised data: of the ensemble, of the start that
`n_restarts` keeps (the one of the lowest training loss), and of the one that turns out best on the test rows, which nobody can
choose; and how much the ensemble is above the start that is kept, with its standard error over the splits.
"""

import argparse
import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine, make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from fastbp import BPClassifier, BPRegressor

TABLES = {
    "iris": (BPClassifier, load_iris(return_X_y=True)),
    "wine": (BPClassifier, load_wine(return_X_y=True)),
    "breast cancer": (BPClassifier, load_breast_cancer(return_X_y=True)),
    "digits": (BPClassifier, load_digits(return_X_y=True)),
    "diabetes": (BPRegressor, load_diabetes(return_X_y=True)),
    "friedman1": (BPRegressor, make_friedman1(500, noise=1.0, random_state=0)),
}


def scores_of(estimator, data, seed, n_starts):
    """Return the test scores of an ensemble and of its members, and the number of the one of the lowest training loss."""
    X, X_test, y, y_test = train_test_split(*data, random_state=seed)
    options = {"target_scaling": "standard"} if estimator is BPRegressor else {}
    options |= {"input_scaling": "standard", "n_restarts": n_starts, "ensemble": True, "random_state": seed}
    model = estimator(**options).fit(X, y)
    members = [member.score(X_test, y_test) for member in model.estimators_]
    return model.score(X_test, y_test), members, int(np.nanargmin(model.restart_losses_))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two splits and starts, to see that it runs")
    n_splits, n_starts = (2, 2) if parser.parse_args().quick else (50, 5)
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"{n_starts} starts, mean over {n_splits} splits")
    print("table          ensemble  kept start  best on the test rows  ensemble - kept")
    for name, (estimator, data) in TABLES.items():
        found = [scores_of(estimator, data, seed, n_starts) for seed in range(n_splits)]
        together, kept, best = np.transpose([(score, alone[kept], max(alone)) for score, alone, kept in found])
        gain = together - kept
        error = gain.std(ddof=1) / np.sqrt(n_splits)
        print(
            f"{name:14} {together.mean():8.4f} {kept.mean():11.4f} {best.mean():22.4f} {gain.mean():9.4f} ± {error:.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
