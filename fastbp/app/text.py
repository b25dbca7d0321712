"""What the main job prints and draws."""

from typing import NamedTuple

import numpy as np
from sklearn.metrics import accuracy_score, classification_report, mean_absolute_error, r2_score


class Candidate(NamedTuple):
    """One row of the ranked table: mean over the folds, and the spread of the score."""

    sizes: tuple[int, ...]
    mean: float
    std: float
    seconds: float
    epochs: float


def name_of(sizes):
    """Return hidden sizes as one writes them: 64-32."""
    return "-".join(map(str, sizes))


def spread_of(candidate):
    """Return the score over the folds as text."""
    if np.isnan(candidate.mean):
        return "failed"
    return f"{candidate.mean:.4f} ± {candidate.std:.4f}"


def print_problem(problem):
    """Print what the data are and how they are split."""
    n_train, n_test = len(problem.y_train), len(problem.y_test)
    outcome = f"{len(np.unique(problem.y_train))} classes" if problem.is_classification else "regression"
    print(f"{problem.name}: {n_train + n_test} rows, {problem.X_train.shape[1]} features, {outcome}")
    for note in problem.notes:
        print(f"note: {note}")
    print(f"{n_test} rows are held out for the test, the search uses the other {n_train}")


def print_ranking(candidates, problem, epochs):
    """Print the table of the sizes, best first."""
    print(f"\nrank   hidden sizes   {problem.score_name + ' (mean ± std)':>23}   fit seconds   epochs")
    for rank, candidate in enumerate(candidates, 1):
        limit = "*" if candidate.epochs >= epochs else ""
        print(
            f"{rank:4d}   {name_of(candidate.sizes):12}   {spread_of(candidate):>23}   {candidate.seconds:11.3f}   "
            f"{candidate.epochs:6.0f}{limit}"
        )
    if any(candidate.epochs >= epochs for candidate in candidates):
        print(f"* still improving at the limit in every fold: more than --epochs {epochs} may score higher")


def print_test(problem, sizes, search):
    """Print how the winner, trained again on all the search's rows, does on the others."""
    y, predicted = problem.y_test, search.predict(problem.X_test)
    print(f"\nTest of {name_of(sizes)}, trained on {len(problem.y_train)} rows, on the {len(y)} rows held out")
    if problem.is_classification:
        classes, counts = np.unique(problem.y_train, return_counts=True)
        common = classes[counts.argmax()]
        print(f"accuracy {accuracy_score(y, predicted):.4f} (always answering {common}: {np.mean(y == common):.4f})\n")
        print(classification_report(y, predicted, digits=3, zero_division=0).rstrip())
    else:
        guess = np.abs(y - problem.y_train.mean()).mean()
        print(f"R² {r2_score(y, predicted):.4f}, MAE {mean_absolute_error(y, predicted):.4g} (always the mean: {guess:.4g})")


def print_timing(name, seconds, model, problem):
    """Print one line of the comparison."""
    score = model.score(problem.X_test, problem.y_test)
    print(f"  {name:12} {seconds:9.3f} s   {network_of(model).n_iter_:4d} epochs   test {problem.score_name} {score:.4f}")


def network_of(model):
    """Return the fitted network at the end of a pipeline."""
    return getattr(model["network"], "regressor_", model["network"])


def draw(candidates, problem, path):
    """Save score and fit time against size; without matplotlib say so and go on."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("\nNo picture: matplotlib is not installed (pip install matplotlib)")
        return
    in_order = sorted(candidates, key=lambda candidate: (len(candidate.sizes), candidate.sizes))
    names = [name_of(candidate.sizes) for candidate in in_order]
    means = [candidate.mean for candidate in in_order]
    best = names.index(name_of(candidates[0].sizes))
    figure = Figure(figsize=(max(6.4, 0.8 * len(names)), 4.4), layout="constrained")
    scores = figure.add_subplot(xlabel="units in each hidden layer", title=f"{problem.name}: score against hidden sizes")
    scores.set_ylabel(f"{problem.score_name} on the folds (mean ± std)")
    times = scores.twinx()
    times.bar(names, [candidate.seconds for candidate in in_order], width=0.5, color="#dde3ea")
    times.set_ylabel("seconds per fit (bars)")
    scores.set_zorder(times.get_zorder() + 1)  # the bars stay behind the points
    scores.patch.set_visible(False)
    scores.errorbar(names, means, [candidate.std for candidate in in_order], fmt="o", color="#1f4e9c", capsize=4)
    scores.plot(names[best], means[best], "*", color="#d1492e", markersize=16, label=f"best: {names[best]}")
    scores.legend(loc="best")
    figure.savefig(path, format="png", dpi=120)
    print(f"\nPicture: {path}")
