"""Which columns of a table matter? BPTabularClassifier on wines with missing values, and two kinds of importances.

A fifth of the cells is removed, and two columns of categories are added. A tabular estimator takes the table as it is.
`feature_importances_` measures how much the predictions change when a column is shuffled. scikit-learn's permutation importance
measures how much the accuracy on held-out rows falls.
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_wine
from sklearn.inspection import permutation_importance
from sklearn.model_selection import train_test_split

from fastbp import BPTabularClassifier


def make_table():
    """Return wines with missing values, a column of categories that helps and one that is random; and their kinds."""
    wine = load_wine(as_frame=True)
    random = np.random.RandomState(0)
    table = wine.data.mask(random.rand(*wine.data.shape) < 0.2)
    table["colour"] = np.select([wine.data["color_intensity"] < 3.5, wine.data["color_intensity"] < 6], ["pale", "ruby"], "deep")
    table["bottle"] = random.choice(["green", "brown"], len(table))
    return table, wine.target


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shuffle each column 5 times instead of 30 times")
    parser.add_argument("--output", metavar="FILE.png", default="table_importances.png", help="where the picture goes")
    arguments = parser.parse_args()

    table, kind = make_table()
    print(table.head(3).to_string())
    X, X_test, y, y_test = train_test_split(table, kind, test_size=0.4, random_state=0, stratify=kind)
    model = BPTabularClassifier(random_state=0).fit(X, y)
    print(f"accuracy on {len(X_test)} held-out rows: {model.score(X_test, y_test):.3f}")

    falls = permutation_importance(model, X_test, y_test, n_repeats=5 if arguments.quick else 30, random_state=0)
    found = pd.DataFrame(
        {"share": model.feature_importances_, "fall": falls.importances_mean, "std": falls.importances_std}, table.columns
    )
    found = found.sort_values("share")
    print("column                          share of change   fall of accuracy")
    for name, row in found[::-1].iterrows():
        print(f"{name:<32}{row['share']:15.3f}{row['fall']:19.3f}")

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.8), sharey=True, layout="constrained")
    left.barh(found.index, found["share"], color="#1f4e9c")
    left.set(title="feature_importances_", xlabel="share of the change of predictions")
    right.barh(found.index, found["fall"], xerr=found["std"], color="#2a9d6f", ecolor="#8a8f98")
    right.set(title="permutation importance", xlabel="fall of the accuracy on held-out rows")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
