"""How many hidden units? Test score against the width of two equal hidden layers, with four other classifiers to compare.

No formula gives the number of units. So networks (5, 5), (10, 10) … (100, 100) are trained with L-BFGS on a table of 1000 rows
and 20 columns, of which only four carry information. A held-out quarter of the rows gives the test score.
"""

import argparse

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC

from fastbp import BPClassifier, HiddenSizeDisplay


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="four widths instead of twenty")
    parser.add_argument("--output", metavar="FILE.png", default="hidden_size_sweep.png", help="where the picture goes")
    arguments = parser.parse_args()

    X, y = make_classification(1000, n_features=20, n_informative=2, n_redundant=2, random_state=0)
    train, test = train_test_split(np.arange(1000), test_size=0.25, random_state=0)

    widths = [5, 20, 50, 100] if arguments.quick else list(range(5, 101, 5))
    network = BPClassifier(solver="lbfgs", activation="logistic", alpha=1e-5, max_iter=500_000, random_state=1)
    network.fit(X[:50], y[:50])  # compiles the kernels, or loads them, so that no fit below is timed with that
    sizes = [(width, width) for width in widths]
    search = GridSearchCV(network, {"hidden_layer_sizes": sizes}, cv=[(train, test)], refit=False, return_train_score=True)
    results = search.fit(X, y).cv_results_

    print("hidden layers   training score   test score   seconds")
    columns = zip(sizes, results["mean_train_score"], results["mean_test_score"], results["mean_fit_time"], strict=True)
    for size, train_score, test_score, seconds in columns:
        print(f"{size!s:>13}{train_score:17.3f}{test_score:13.3f}{seconds:10.2f}")

    others = {
        "random forest (100 trees)": RandomForestClassifier(100, random_state=0),
        "logistic regression": LogisticRegression(),
        "linear SVM": LinearSVC(random_state=0),
        "Gaussian naive Bayes": GaussianNB(),
    }
    levels = {name: model.fit(X[train], y[train]).score(X[test], y[test]) for name, model in others.items()}
    for name, score in levels.items():
        print(f"{name:<26}{score:.3f}")

    display = HiddenSizeDisplay.from_search(search, baselines=levels)
    display.figure_.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
