"""Prints and draws the results of a search."""

import textwrap
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import accuracy_score, classification_report, mean_absolute_error, r2_score

from fastbp.app.columns import CATEGORY, DATE, NUMBER
from fastbp.app.source import brief
from fastbp.estimators.replace_file import replace_file

WIDTH = 100
_MOST_COLUMNS = 20  # listed per kind
_MOST_NOTES = 30


class RankedSizes(NamedTuple):
    """One row of the ranking: the score of each fold, and mean seconds and epochs per fit."""

    sizes: tuple[int, ...]
    scores: np.ndarray
    seconds: float
    epochs: float
    model: Any = None  # fitted; of the tabular estimator only


def format_sizes(sizes):
    """Return hidden sizes as text, such as 64-32."""
    return "-".join(map(str, sizes))


def format_scores(scores):
    """Return mean and standard deviation of the folds' scores as text."""
    return "failed" if np.isnan(scores).any() else f"{scores.mean():.4f} ± {scores.std():.4f}"


def print_dataset(dataset):
    """Describe the data and the split."""
    n_train, n_test = len(dataset.y_train), len(dataset.y_test)
    outcome = f"{len(np.unique(dataset.y_train))} classes" if dataset.is_classification else "regression"
    print(f"{dataset.name}: {n_train + n_test} rows, {dataset.X_train.shape[1]} features, {outcome}")
    if dataset.columns:
        _print_columns(dataset)
    for note in dataset.notes[:_MOST_NOTES]:
        print(f"note: {note}")
    if len(dataset.notes) > _MOST_NOTES:
        print(f"note: {len(dataset.notes) - _MOST_NOTES} more columns and cells like these")
    print(f"{n_test} rows are held out for the test, the other {n_train} are for training")


def _print_columns(dataset):
    """List the columns by kind."""
    *features, target = dataset.columns
    other = "regression" if dataset.is_classification else "classification"
    hint = f"; --task {other} says otherwise" if target.kind == NUMBER else ""
    kinds = {NUMBER: "numbers", DATE: "dates", CATEGORY: "categories"}
    lines = {"target": [f"{brief(target.name)} ({kinds[target.kind]}{hint})"]}
    for column in features:
        if column.kind in kinds:
            facts = f" ({', '.join(column.facts)})" if column.facts else ""
            lines.setdefault(kinds[column.kind], []).append(brief(column.name) + facts)
    fill = textwrap.TextWrapper(WIDTH, subsequent_indent=" " * 14, break_long_words=False, break_on_hyphens=False).fill
    for title in ("target", *kinds.values()):
        if words := lines.get(title):
            more = [f"{len(words) - _MOST_COLUMNS} more"] if len(words) > _MOST_COLUMNS else []
            print(fill(f"  {title:12}{', '.join(words[:_MOST_COLUMNS] + more)}"))


def print_ranking(candidates, dataset, epochs, tabular=None):
    """Print the ranking of the sizes; `tabular` is the tabular estimator, on the same folds."""
    print(f"\nrank   hidden sizes   {dataset.score_name + ' (mean ± std)':>23}   fit seconds   epochs")
    rows = [
        (str(rank), format_sizes(one.sizes), one, "*" if one.epochs >= epochs else "") for rank, one in enumerate(candidates, 1)
    ]
    rows += [] if tabular is None else [("-", "as a table", tabular, "")]
    for rank, title, one, limit in rows:
        print(f"{rank:>4}   {title:12}   {format_scores(one.scores):>23}   {one.seconds:11.3f}   {one.epochs:6.0f}{limit}")
    if tabular is not None:
        kind = dataset.table_kind.__name__
        print(f"as a table: {kind}, {format_sizes(tabular.sizes)}, with scaling and training of its own")
    if any(candidate.epochs >= epochs for candidate in candidates):
        print(f"* still improving at the limit in every fold: more than --epochs {epochs} may score higher")


def print_test(dataset, name, model):
    """Print the scores of a model on the test rows."""
    y, predicted = dataset.y_test, model.predict(dataset.X_test)
    print(f"\nTest of {name}, trained on {len(dataset.y_train)} rows, on the {len(y)} rows held out")
    if dataset.is_classification:
        classes, counts = np.unique(dataset.y_train, return_counts=True)
        common = classes[counts.argmax()]
        print(f"accuracy {accuracy_score(y, predicted):.4f} (always answering {common}: {np.mean(y == common):.4f})\n")
        print(classification_report(y, predicted, digits=3, zero_division=0).rstrip())
    else:
        guess = np.abs(y - dataset.y_train.mean()).mean()
        print(f"R² {r2_score(y, predicted):.4f}, MAE {mean_absolute_error(y, predicted):.4g} (always the mean: {guess:.4g})")


def print_timing(name, seconds, model, dataset):
    """Print one line of the comparison with scikit-learn."""
    score = model.score(dataset.X_test, dataset.y_test)
    print(f"  {name:12} {seconds:9.3f} s   {network_of(model).n_iter_:4d} epochs   test {dataset.score_name} {score:.4f}")


def network_of(model):
    """Return the fitted network at the end of a pipeline."""
    return getattr(model, "regressor_", model)[-1]


def draw(candidates, dataset, path, tabular=None):
    """Save a picture of scores and fit times against the sizes; without matplotlib, print a note."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("\nNo picture: matplotlib is not installed (pip install matplotlib)")
        return
    from fastbp.display import HiddenSizeDisplay

    best = candidates[0]
    figure = Figure(figsize=(max(6.4, 0.8 * len(candidates)), 4.6), layout="constrained")
    dashes = "" if tabular is None else "; dashes: as a table"
    figure.suptitle(f"{dataset.name}: best with {format_sizes(best.sizes)} (★){dashes}", fontsize="medium")
    display = HiddenSizeDisplay(
        hidden_layer_sizes=[candidate.sizes for candidate in candidates],
        test_scores=[candidate.scores for candidate in candidates],
        fit_times=[candidate.seconds for candidate in candidates],
        score_name=f"{dataset.score_name} on the folds",
        estimator_name="BPClassifier" if dataset.is_classification else "BPRegressor",
    ).plot(figure.add_subplot())
    if tabular is not None:
        display.ax_.axhline(tabular.scores.mean(), color="0.4", linestyle="--", linewidth=1)
    if not np.isnan(best.scores.mean()):
        places, means = display.line_.get_data()
        at = np.nanargmax(means)
        display.ax_.plot(places[at], means[at], "*", color="#d1492e", markersize=15, zorder=6)
    try:
        replace_file(path, lambda beside: figure.savefig(beside, format="png", dpi=120))
    except (OSError, ValueError) as error:
        print(f"\nNo picture: {path} cannot be written: {error}")
    else:
        print(f"\nPicture: {path}")
