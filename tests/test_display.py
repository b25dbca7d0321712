"""The picture of a search: what is drawn is what the search found."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BPClassifier, BPRegressor, BPSearchCV, HiddenSizeDisplay

pytestmark = pytest.mark.slow

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
X, y = load_iris(return_X_y=True)
NETWORK = BPClassifier(max_iter=4, learning_rate_init=0.03, random_state=0)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


def legend_of(display):
    return [text.get_text() for text in display.legend_.get_texts()]


def ticks_of(axes):
    axes.figure.canvas.draw()
    low, high = axes.get_xlim()
    labels = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    return [label.get_text() for place, label in labels if low <= place <= high]


@pytest.fixture(scope="module")
def search():
    return GridSearchCV(NETWORK, {"hidden_layer_sizes": [(8, 8), (2, 2), "4-4"]}, cv=3).fit(X, y)


def test_widths_scores_spread_and_times(search):
    display = HiddenSizeDisplay.from_search(search)
    results, order = search.cv_results_, [1, 2, 0]
    np.testing.assert_array_equal(display.line_.get_xdata(), [2, 4, 8])
    np.testing.assert_allclose(display.line_.get_ydata(), results["mean_test_score"][order], rtol=1e-12)
    np.testing.assert_allclose(display.time_line_.get_ydata(), results["mean_fit_time"][order], rtol=1e-12)
    for width, mean, std in zip([2, 4, 8], results["mean_test_score"][order], results["std_test_score"][order], strict=True):
        corners = display.spread_.get_paths()[0].vertices
        edge = corners[corners[:, 0] == width, 1]
        np.testing.assert_allclose([edge.min(), edge.max()], [mean - std, mean + std], rtol=1e-12)
    assert display.ax_.get_xlabel() == "units in each of the 2 hidden layers"
    assert display.ax_.get_ylabel() == "accuracy"
    assert display.time_ax_.get_ylabel() == "seconds per fit"
    assert legend_of(display) == ["BPClassifier, mean ± std of 3 fits", "seconds per fit (right)"]
    assert display.loss_ax_ is None


def test_other_sizes_are_labelled_one_by_one():
    sizes = [(16, 8), 4, "8-8-8", (), (64,)]
    search = GridSearchCV(NETWORK, {"hidden_layer_sizes": sizes}, cv=2).fit(X, y)
    display = HiddenSizeDisplay.from_search(search)
    assert ticks_of(display.ax_) == ["none", "4", "64", "16-8", "8-8-8"]
    np.testing.assert_allclose(display.line_.get_ydata(), search.cv_results_["mean_test_score"][[3, 1, 4, 0, 2]], rtol=1e-12)
    assert display.line_.get_linestyle() == "None"  # nothing lies between two kinds of network
    centres = [np.mean(segment[:, 1]) for segment in display.spread_.lines[2][0].get_segments()]
    np.testing.assert_allclose(centres, display.line_.get_ydata(), rtol=1e-12)


@pytest.mark.parametrize(
    ("widths", "scale", "ticks"),
    [
        ([5, 10, 15, 20], "linear", ["5", "10", "15", "20"]),
        ([1, 2, 4, 8, 16, 32], "log", ["1", "2", "4", "8", "16", "32"]),
        ([7], "linear", ["7"]),
    ],
)
def test_size_axis(widths, scale, ticks):
    display = HiddenSizeDisplay(hidden_layer_sizes=widths, test_scores=[[0.5]] * len(widths)).plot()
    assert display.ax_.get_xscale() == scale
    assert ticks_of(display.ax_) == ticks
    assert display.ax_.get_xlabel() == "units in the hidden layer"


@pytest.mark.parametrize("widths", [range(5, 101, 5), [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024]])
def test_labels_do_not_touch(widths):
    display = HiddenSizeDisplay(
        hidden_layer_sizes=[(width, width) for width in widths],
        test_scores=[[0.5, 0.6]] * len(widths),
        fit_times=[1.0] * len(widths),
        baselines={f"another model, number {i}": 0.5 for i in range(5)},
    ).plot()
    display.figure_.canvas.draw()
    boxes = [label.get_window_extent() for label in display.ax_.get_xticklabels() if label.get_text()]
    boxes.sort(key=lambda box: box.x0)
    visible = [box for box in boxes if display.ax_.bbox.x0 - 1 <= (box.x0 + box.x1) / 2 <= display.ax_.bbox.x1 + 1]
    assert len(visible) >= 5
    assert all(one.x1 < other.x0 for one, other in zip(visible, visible[1:]))
    legend = display.legend_.get_window_extent()
    assert legend.y0 >= display.ax_.bbox.y1  # not over the data
    assert legend.x1 <= display.figure_.bbox.x1
    assert legend.y1 <= display.figure_.bbox.y1


def test_search_of_fastbp():
    grid = {"hidden_layer_sizes": [8, 2, 4]}
    ours = HiddenSizeDisplay.from_search(BPSearchCV(NETWORK, grid, cv=3).fit(X, y))
    stock = HiddenSizeDisplay.from_search(GridSearchCV(NETWORK, grid, cv=3).fit(X, y))
    np.testing.assert_allclose(ours.line_.get_ydata(), stock.line_.get_ydata(), rtol=1e-12)
    assert ours.time_line_.get_ydata().min() > 0
    assert legend_of(ours) == legend_of(stock)


@pytest.mark.parametrize("kind", [RandomizedSearchCV, HalvingGridSearchCV])
def test_other_searches_and_pipelines(kind):
    model = make_pipeline(StandardScaler(), NETWORK)
    sizes = [(2,), (4,), (8,), (16,)]
    options = {"n_iter": 3} if kind is RandomizedSearchCV else {"min_resources": 40, "factor": 3}
    search = kind(model, {"bpclassifier__hidden_layer_sizes": sizes}, cv=2, random_state=0, **options).fit(X, y)
    display = HiddenSizeDisplay.from_search(search)
    results = search.cv_results_
    last = {params["bpclassifier__hidden_layer_sizes"]: i for i, params in enumerate(results["params"])}
    rows = [last[size] for size in sorted(last)]
    np.testing.assert_array_equal(display.line_.get_xdata(), [size[0] for size in sorted(last)])
    np.testing.assert_allclose(display.line_.get_ydata(), results["mean_test_score"][rows], rtol=1e-12)
    assert legend_of(display)[0].startswith("BPClassifier")
    if kind is HalvingGridSearchCV:
        assert len(last) < len(results["params"])  # a survivor has several rows: the last one counts
        order = [display.hidden_layer_sizes.index(size) for size in sorted(last)]
        survived = results["n_resources"][rows] == results["n_resources"].max()
        np.testing.assert_array_equal(display.complete[order], survived)
        assert "dropped early, scored on fewer rows" in legend_of(display)
    else:
        assert display.complete.all()


def test_seeds_are_restarts_and_other_parameters_show_their_best():
    grid = {"hidden_layer_sizes": [(2,), (8,)], "random_state": [0, 1, 2], "learning_rate_init": [1e-5, 0.03]}
    search = GridSearchCV(NETWORK, grid, cv=2).fit(X, y)
    display = HiddenSizeDisplay.from_search(search)
    for sizes, scores in zip(display.hidden_layer_sizes, display.test_scores, strict=True):
        of_rate = {}
        for rate in grid["learning_rate_init"]:
            network = BPClassifier(sizes, max_iter=4, learning_rate_init=rate)
            of_rate[rate] = np.concatenate(
                [cross_val_score(network.set_params(random_state=seed), X, y, cv=2) for seed in grid["random_state"]]
            )
        best = max(of_rate.values(), key=np.mean)
        np.testing.assert_allclose(np.sort(scores), np.sort(best), rtol=1e-12)
    assert legend_of(display)[0] == "BPClassifier, mean ± std of 6 fits"


def test_several_scores():
    options = {"scoring": ["accuracy", "neg_log_loss"], "cv": 2}
    search = GridSearchCV(NETWORK, {"hidden_layer_sizes": [2, 4]}, refit="neg_log_loss", **options).fit(X, y)
    display = HiddenSizeDisplay.from_search(search)
    np.testing.assert_allclose(display.mean_scores, search.cv_results_["mean_test_neg_log_loss"], rtol=1e-12)
    assert display.ax_.get_ylabel() == "negative log loss"
    display = HiddenSizeDisplay.from_search(search, metric="accuracy")
    np.testing.assert_allclose(display.mean_scores, search.cv_results_["mean_test_accuracy"], rtol=1e-12)
    search = GridSearchCV(NETWORK, {"hidden_layer_sizes": [2, 4]}, refit=False, **options).fit(X, y)
    with pytest.raises(ValueError, match=r"metric must be one of .*accuracy.*neg_log_loss"):
        HiddenSizeDisplay.from_search(search)


def test_one_split_has_no_spread(search):
    single = GridSearchCV(NETWORK, {"hidden_layer_sizes": [2, 4]}, cv=[(np.arange(0, 150, 2), np.arange(1, 150, 2))]).fit(X, y)
    display = HiddenSizeDisplay.from_search(single, baselines={"guessing": 1 / 3})
    assert display.spread_ is None
    assert legend_of(display) == ["BPClassifier", "guessing (0.333)", "seconds per fit (right)"]


def test_a_size_that_failed_is_marked_and_the_others_are_drawn():
    def score(model, X, y):
        return np.nan if model.hidden_layer_sizes == (4,) else model.score(X, y)

    with pytest.warns(UserWarning, match="non-finite"):
        search = GridSearchCV(NETWORK, {"hidden_layer_sizes": [(2,), (4,), (8,)]}, scoring=score, cv=2).fit(X, y)
    display = HiddenSizeDisplay.from_search(search)
    assert np.isnan(display.line_.get_ydata()).tolist() == [False, True, False]
    (mark,) = [line for line in display.ax_.lines if line.get_label() == "a fit failed"]
    np.testing.assert_array_equal(mark.get_xdata(), [4])


def test_from_estimator_is_cross_validation():
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), NETWORK)
    baselines = {"logistic regression": LogisticRegression(), "guessing": 1 / 3}
    display = HiddenSizeDisplay.from_estimator(model, X, y, hidden_layer_sizes=[2, "6-6", (4,)], cv=folds, baselines=baselines)
    for sizes, scores in zip([2, "6-6", (4,)], display.test_scores, strict=True):
        expected = cross_val_score(model.set_params(bpclassifier__hidden_layer_sizes=sizes), X, y, cv=folds)
        np.testing.assert_allclose(scores, expected, rtol=1e-12)
    level = cross_val_score(LogisticRegression(), X, y, cv=folds).mean()
    assert display.baselines == {"logistic regression": pytest.approx(level, rel=1e-12), "guessing": 1 / 3}
    assert display.baseline_lines_["logistic regression"].get_ydata()[0] == pytest.approx(level, rel=1e-12)
    assert f"logistic regression ({level:.3f})" in legend_of(display)
    assert display.restart_losses is None
    assert display.loss_ax_ is None


def test_from_estimator_gives_everyone_the_same_folds():
    """Folds that differ at each call of split are drawn once."""
    same = DummyClassifier(strategy="stratified", random_state=0)
    folds = StratifiedKFold(3, shuffle=True, random_state=np.random.RandomState(0))
    baselines = {"one": same, "other": same, "network": clone(NETWORK).set_params(hidden_layer_sizes=4)}
    display = HiddenSizeDisplay.from_estimator(NETWORK, X, y, hidden_layer_sizes=[4], cv=folds, baselines=baselines)
    assert display.baselines["one"] == display.baselines["other"]
    assert display.baselines["network"] == pytest.approx(display.mean_scores[0], rel=1e-12)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_losses_of_the_starts(n_jobs):
    model = make_pipeline(StandardScaler(), BPClassifier(solver="lbfgs", max_iter=5, n_restarts=3, random_state=0))
    display = HiddenSizeDisplay.from_estimator(model, X, y, hidden_layer_sizes=[1, 3], cv=2, n_jobs=n_jobs)
    for size, losses in zip([1, 3], display.restart_losses, strict=True):
        fits = cross_validate(model.set_params(bpclassifier__hidden_layer_sizes=size), X, y, cv=2, return_estimator=True)
        expected = np.concatenate([fitted[-1].restart_losses_ for fitted in fits["estimator"]])
        np.testing.assert_allclose(np.sort(losses), np.sort(expected), rtol=1e-12)
    (dots,) = display.loss_ax_.lines
    assert len(dots.get_xdata()) == 2 * 2 * 3
    assert set(dots.get_xdata()) == {1, 3}
    assert display.loss_ax_.get_ylabel() == "training loss of each start"


def test_regressors_scikit_learns_networks_and_other_scores():
    display = HiddenSizeDisplay.from_estimator(
        BPRegressor(solver="lbfgs", max_iter=5, random_state=0), X[:, :3], X[:, 3], hidden_layer_sizes=[2], cv=2,
        baselines={"line": LinearRegression()},
    )  # fmt: skip
    assert display.ax_.get_ylabel() == "R²"
    network = MLPClassifier(solver="lbfgs", max_iter=5, random_state=0)
    display = HiddenSizeDisplay.from_estimator(network, X, y, hidden_layer_sizes=[(2,), (3,)], cv=2, scoring="balanced_accuracy")
    assert display.ax_.get_ylabel() == "balanced accuracy"
    assert display.plot(score_name="mean recall").ax_.get_ylabel() == "mean recall"
    assert legend_of(display)[0] == "MLPClassifier, mean ± std of 2 fits"


def test_draws_on_given_axes(search):
    figure, (left, right) = pyplot.subplots(1, 2)
    display = HiddenSizeDisplay.from_search(search, ax=right)
    assert display.ax_ is right
    assert display.figure_ is figure
    assert not left.lines
    assert pyplot.get_fignums() == [figure.number]


def test_bad_input(search):
    with pytest.raises(NotFittedError):
        HiddenSizeDisplay.from_search(GridSearchCV(NETWORK, {"hidden_layer_sizes": [2]}))
    with pytest.raises(ValueError, match="Exactly one hidden_layer_sizes must be searched, got none"):
        HiddenSizeDisplay.from_search(GridSearchCV(NETWORK, {"alpha": [0.1]}, cv=2).fit(X, y))
    with pytest.raises(ValueError, match="Exactly one hidden_layer_sizes must be in the estimator, got none"):
        HiddenSizeDisplay.from_estimator(LogisticRegression(), X, y, hidden_layer_sizes=[2])
    with pytest.raises(TypeError, match=r"baselines\['x'\] must be a score.*from_estimator"):
        HiddenSizeDisplay.from_search(search, baselines={"x": LogisticRegression()})
    with pytest.raises(ValueError, match="scoring must be one score"):
        HiddenSizeDisplay.from_estimator(NETWORK, X, y, hidden_layer_sizes=[2], scoring=["accuracy", "f1_macro"])
    with pytest.raises(ValueError, match="no hidden sizes"):
        HiddenSizeDisplay(hidden_layer_sizes=[], test_scores=[])
    with pytest.raises(ValueError, match="test_scores has 1 elements for 2 hidden sizes"):
        HiddenSizeDisplay(hidden_layer_sizes=[1, 2], test_scores=[[0.5]])
    with pytest.raises(ValueError, match="hidden_layer_sizes must be > 0"):  # before the long search
        HiddenSizeDisplay.from_estimator(NETWORK, X, y, hidden_layer_sizes=[4, -1], cv=2)


def test_without_matplotlib_the_error_says_what_to_install():
    code = """
import sys
sys.modules["matplotlib"] = None
from fastbp import BPClassifier, HiddenSizeDisplay
display = HiddenSizeDisplay(hidden_layer_sizes=[1], test_scores=[[0.5]])
calls = [
    display.plot,
    lambda: HiddenSizeDisplay.from_search(None),
    lambda: HiddenSizeDisplay.from_estimator(BPClassifier(), None, None, hidden_layer_sizes=[1]),  # before the long search
]
for call in calls:
    try:
        call()
    except ImportError as error:
        print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.splitlines() == ["HiddenSizeDisplay needs matplotlib: pip install matplotlib"] * 3, run.stderr
