"""Targets of tables: any loss, several columns, intervals and sets that hold the truth, and who looks on."""

import copy
import io
import pickle
import re
import warnings
from contextlib import redirect_stdout

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.sparse import csr_matrix, issparse
from scipy.stats import binom
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, make_friedman1
from sklearn.exceptions import NotFittedError
from sklearn.metrics import (
    d2_absolute_error_score,
    d2_pinball_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
)
from sklearn.model_selection import KFold, RepeatedKFold, train_test_split

from fastbp import BPTabularClassifier, BPTabularRegressor, LossCurveDisplay
from fastbp.names import LOSSES, REGRESSION_LOSSES
from fastbp.tabular import conformal

QUICK = {"max_iter": 3, "random_state": 0}
KINDS = [BPTabularClassifier, BPTabularRegressor]


def positive(n=600, seed=0):
    """Rows whose targets are counts, 0 among them."""
    random = np.random.RandomState(seed)
    X = random.uniform(-1, 1, (n, 3))
    mean = np.exp(1 + X[:, 0] + X[:, 1] * X[:, 2])
    return X, random.poisson(mean), mean


# ---- losses


@pytest.mark.parametrize("loss", REGRESSION_LOSSES)
def test_every_loss_predicts_what_it_is_for(loss):
    X, y, mean = positive()
    y = y + 0.5 * LOSSES[loss].excludes_lowest
    model = BPTabularRegressor(loss=loss, random_state=0).fit(X, 1000 * y)
    predicted = model.predict(X)
    assert r2_score(1000 * mean, predicted) > 0.7  # medians of counts lie below means
    assert predicted.min() >= 1000 * y.min() and predicted.max() <= 1000 * y.max()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), predicted)


@pytest.mark.parametrize(
    "loss, score",
    [
        ("absolute_error", d2_absolute_error_score),
        ("quantile", lambda y, p: d2_pinball_score(y, p, alpha=0.9)),
    ],
)
def test_each_loss_is_better_at_what_it_minimises(loss, score):
    """On new rows, by scikit-learn's score of that aim, than the squared error is at it."""
    random = np.random.RandomState(0)
    X = random.uniform(-1, 1, (3000, 3))
    y = np.exp(X[:, 0] + X[:, 1] * X[:, 2] + random.normal(size=3000))  # skewed: means, medians and quantiles lie far apart
    X, X_new, y, y_new = train_test_split(X, y, test_size=0.5, random_state=0)
    own, other = (
        BPTabularRegressor(loss=name, quantile=0.9, random_state=0).fit(X, y).predict(X_new) for name in (loss, "squared_error")
    )
    assert score(y_new, own) > score(y_new, other) + 0.05


@pytest.mark.parametrize("loss", REGRESSION_LOSSES)
def test_the_unit_of_targets_does_not_matter(loss):
    X, y, _ = positive(200)
    y = y + 0.5
    model = BPTabularRegressor(loss=loss, **QUICK).fit(X, y)
    other = BPTabularRegressor(loss=loss, **QUICK).fit(X, 2.0**10 * y)
    np.testing.assert_allclose(other.predict(X), 2.0**10 * model.predict(X), rtol=1e-6)


@pytest.mark.parametrize("loss, y", [("poisson", -1.0), ("gamma", 0.0), ("tweedie", -1e-9)])
def test_targets_that_a_loss_is_not_for(loss, y):
    X, targets = np.arange(6.0)[:, np.newaxis], np.array([1.0, 2, 3, 4, 5, y])
    with pytest.raises(ValueError, match=loss):
        BPTabularRegressor(loss=loss, **QUICK).fit(X, targets)
    there = np.array([1.0, 1, 1, 1, 1, 0])
    model = BPTabularRegressor(loss=loss, **QUICK).fit(X, targets, sample_weight=there)  # which is no row
    np.testing.assert_array_equal(model.predict(X), BPTabularRegressor(loss=loss, **QUICK).fit(X[:5], targets[:5]).predict(X))
    with pytest.raises(ValueError, match=r"X_val, y_val.*valid range"):
        BPTabularRegressor(loss=loss, **QUICK).fit(X[:5], targets[:5], X_val=X, y_val=targets)


def test_targets_that_are_all_0():
    assert (BPTabularRegressor(loss="poisson", **QUICK).fit(np.eye(6), np.zeros(6)).predict(np.eye(6)) == 0).all()


def test_several_quantiles_are_in_order_and_are_held():
    X, y, _ = positive(1500)
    X_new, y_new, _ = positive(1500, seed=1)
    levels = [0.1, 0.5, 0.9]
    model = BPTabularRegressor(loss="quantile", quantile=levels, cv=3, random_state=0).fit(X, y)
    predicted = model.predict(X_new)
    assert predicted.shape == (1500, 3) and (np.diff(predicted, axis=1) >= 0).all()
    below = np.mean(y_new[:, np.newaxis] <= predicted, axis=0)
    assert below[0] < 0.3 and 0.4 < below[1] < 0.75 and below[2] > 0.8
    scores = [d2_pinball_score(y_new, column, alpha=level) for column, level in zip(predicted.T, levels)]
    assert model.score(X_new, y_new) == pytest.approx(np.mean(scores))
    assert model.oof_score_ == pytest.approx(
        np.mean([d2_pinball_score(y, column, alpha=level) for column, level in zip(model.oof_prediction_.T, levels)])
    )
    with pytest.raises(ValueError, match="Several quantiles are for one target"):
        BPTabularRegressor(loss="quantile", quantile=levels, **QUICK).fit(X, np.column_stack([y, y]))


@pytest.mark.parametrize("loss", [loss for loss in REGRESSION_LOSSES if loss != "quantile"])
def test_several_targets_are_each_in_its_own_unit(loss):
    X, y, _ = positive(300)
    both = np.column_stack([y + 1, 1000 * (y[::-1] + 1)])
    model = BPTabularRegressor(loss=loss, cv=3, **QUICK).fit(X, both)
    assert model.predict(X).shape == model.oof_prediction_.shape == (300, 2)
    scale = [1, 1000]
    again = BPTabularRegressor(loss=loss, cv=3, **QUICK).fit(X, both / scale)
    np.testing.assert_allclose(again.predict(X) * scale, model.predict(X), rtol=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"loss": "squared"}, "'squared_error'"),
        ({"loss": "quantile", "quantile": [0.9, 0.1]}, "quantile"),
        ({"power": 3.0}, "power"),
        ({"delta": 0}, "delta"),
        ({"verbose": -1}, "verbose"),
        ({"scoring": "no such"}, "no such"),
    ],
)
def test_bad_values(options, message):
    with pytest.raises(ValueError, match=message):
        BPTabularRegressor(**options, **QUICK).fit(np.eye(6), np.arange(6.0))


# ---- several columns of classes, and labels


X_IRIS, IRIS = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[IRIS]
IS_LONG = X_IRIS[:, 0] > 5.8


def test_several_columns_of_classes():
    """Each is about as good as alone, and keeps its own dtype."""
    y = pd.DataFrame({"name": NAMES, "is_long": IS_LONG})
    model = BPTabularClassifier(cv=5, random_state=0).fit(X_IRIS, y)
    assert [classes.tolist() for classes in model.classes_] == [sorted(set(NAMES)), [False, True]]
    predicted = model.predict(X_IRIS)
    assert predicted.dtype == object and type(predicted[0, 1]) in (bool, np.bool_)
    truth = y.to_numpy(dtype=object)
    assert model.score(X_IRIS, y) == np.mean((predicted == truth).all(axis=1)) > 0.9
    proba = model.predict_proba(X_IRIS)
    assert [part.shape for part in proba] == [(150, 3), (150, 2)]
    for part, logarithm in zip(proba, model.predict_log_proba(X_IRIS)):
        np.testing.assert_allclose(part.sum(axis=1), 1)
        np.testing.assert_array_equal(np.log(part), logarithm)
    held_out = [part.argmax(axis=1) for part in model.oof_prediction_]
    right = [classes[codes] == truth[:, i] for i, (classes, codes) in enumerate(zip(model.classes_, held_out))]
    assert model.oof_score_ == pytest.approx(np.mean(np.all(right, axis=0)))
    for column, part in enumerate(model.oof_prediction_):
        alone = BPTabularClassifier(cv=5, random_state=0).fit(X_IRIS, y.iloc[:, column])
        assert log_loss(y.iloc[:, column], part) < log_loss(y.iloc[:, column], alone.oof_prediction_) + 0.1
    assert model.temperature_.shape == (2,) and [s.shape for s in model.predict_set(X_IRIS)] == [(150, 3), (150, 2)]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X_IRIS), predicted)


@pytest.mark.parametrize("form", [np.asarray, csr_matrix, pd.DataFrame], ids=lambda form: form.__name__)
def test_labels(form):
    y = np.column_stack([IRIS == 0, IS_LONG, IRIS > 0]).astype(int)
    model = BPTabularClassifier(cv=5, random_state=0).fit(X_IRIS, form(y))
    predicted, proba = model.predict(X_IRIS), model.predict_proba(X_IRIS)
    assert issparse(predicted) == (form is csr_matrix) and proba.shape == model.oof_prediction_.shape == (150, 3)
    predicted = predicted.toarray() if issparse(predicted) else predicted
    np.testing.assert_array_equal(predicted, proba > 0.5)
    assert model.score(X_IRIS, y) == np.mean((predicted == y).all(axis=1)) > 0.9
    assert model.oof_score_ == np.mean(((model.oof_prediction_ > 0.5) == y).all(axis=1))
    assert roc_auc_score(y, model.oof_prediction_) > 0.97 and model.classes_.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "y", [np.column_stack([NAMES, np.array(list("xyz"))[IRIS]]), np.column_stack([IRIS == 0, IS_LONG]).astype(int)]
)
def test_rows_of_weight_0_and_weights_of_classes(y):
    weights = np.where(IRIS == 2, 0.0, 1.0)
    options = {"cv": None, "n_ensemble": 2, **QUICK}
    model = BPTabularClassifier(**options).fit(X_IRIS, y, sample_weight=weights)
    without = BPTabularClassifier(**options).fit(X_IRIS[:100], y[:100])
    np.testing.assert_array_equal(model.predict(X_IRIS), without.predict(X_IRIS))
    labels = [sorted(set(column)) for column in y.T]
    of_class = [{label: 1.0 + number for number, label in enumerate(column)} for column in labels]
    weighted = BPTabularClassifier(class_weight=of_class, **options).fit(X_IRIS, y)
    factors = np.prod([[table[label] for label in column] for table, column in zip(of_class, y.T)], axis=0)
    by_hand = BPTabularClassifier(**options).fit(X_IRIS, y, sample_weight=factors)
    np.testing.assert_array_equal(weighted.predict(X_IRIS), by_hand.predict(X_IRIS))
    for ours, theirs in zip(weighted.predict_proba(X_IRIS), by_hand.predict_proba(X_IRIS)):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("y", [["a", None, "b", "a"], [[0, "a"], [1, None], [0, "b"], [1, "b"]], [0.0, np.nan, 1.0, 1.0]])
def test_labels_that_are_missing(y):
    with pytest.raises(ValueError, match="row 1"):
        BPTabularClassifier(**QUICK).fit(np.eye(4), np.array(y, dtype=object))


# ---- intervals and sets


def held(model, X, y, coverage):
    """Which rows are held."""
    if isinstance(model, BPTabularRegressor):
        low, high = model.predict_interval(X, coverage).T
        return (low <= y) & (y <= high)
    return model.predict_set(X, coverage)[np.arange(len(y)), np.searchsorted(model.classes_, y)]


def noisy(n, seed):
    random = np.random.RandomState(seed)
    X = random.uniform(0, 3, (n, 3))
    return X, np.sin(2 * X[:, 0]) + X[:, 1] + 0.1 * (1 + 5 * X[:, 0]) * random.normal(size=n)


MODELS = {
    "numbers": lambda **options: BPTabularRegressor(**options),
    "median": lambda **options: BPTabularRegressor(loss="absolute_error", **options),
    "quantiles": lambda **options: BPTabularRegressor(loss="quantile", quantile=[0.05, 0.5, 0.95], **options),
    "classes": lambda **options: BPTabularClassifier(**options),
}


@pytest.mark.parametrize("coverage", [0.8, 0.95])
@pytest.mark.parametrize("kind", MODELS)
def test_as_many_are_held_as_asked(kind, coverage):
    """The part of 4000 new rows, given 600 held out, is beta-binomial about; far out of it with probability 1e-4 each."""
    (X, y), (X_new, y_new) = noisy(600, 0), noisy(4000, 1)
    if kind == "classes":
        y, y_new = np.digitize(y, [0.5, 1.5]), np.digitize(y_new, [0.5, 1.5])
    model = MODELS[kind](cv=5, random_state=0).fit(X, y)
    part = held(model, X_new, y_new, coverage).mean()
    lowest = binom.ppf(1e-4, 600, coverage) / 600 - 0.01
    highest = binom.ppf(1 - 1e-4, 600, coverage) / 600 + 0.02  # CV+ covers rather more than asked
    assert lowest < part < highest


def test_quantiles_make_intervals_as_wide_as_the_noise():
    (X, y), (X_new, _) = noisy(1500, 0), noisy(1000, 1)
    widths = {}
    for kind in ("numbers", "quantiles"):
        low, high = MODELS[kind](cv=5, random_state=0).fit(X, y).predict_interval(X_new, 0.9).T
        widths[kind] = high - low
    few, much = X_new[:, 0] < 0.5, X_new[:, 0] > 2.5
    assert widths["quantiles"][much].mean() > 2.5 * widths["quantiles"][few].mean()
    assert widths["numbers"][much].mean() < 1.5 * widths["numbers"][few].mean()


@pytest.mark.parametrize("cv", [4, RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)], ids=["four folds", "repeated"])
@pytest.mark.parametrize("weights", [False, True])
def test_intervals_by_their_definition(cv, weights):
    """Barber et al. 2021, section 3, in plain loops: for each new row the quantiles of what the networks that have not seen row i
    say, less and plus the residual of row i."""
    X, y = make_friedman1(60, random_state=0)
    weights = np.random.RandomState(1).randint(0, 3, 60).astype(float) if weights else None
    model = BPTabularRegressor(cv=cv, n_ensemble=2, **QUICK).fit(X, y, sample_weight=weights)
    said = [network._outputs(model.encoder_.transform(X))[:, 0].astype(float) for network in model.networks_]
    there = np.arange(60) if weights is None else np.flatnonzero(weights)
    kept = model._held_out
    coverage, mass = 0.7, np.ones(len(there)) if weights is None else weights[there]
    needed = coverage * (mass.sum() + mass.mean())
    groups = kept["shares"][kept["group_of"]]
    for row in range(5):
        outputs = model._finished((groups @ np.array([one[row] for one in said]))[:, np.newaxis])
        residuals = [abs(y[i] - model.oof_prediction_[i]) for i in there]
        upper = sorted(zip(outputs + residuals, mass))
        lower = sorted(zip(-(outputs - residuals), mass))
        ends = []
        for values in (lower, upper):
            total = 0.0
            for value, weight in values:
                total += weight
                if total >= needed - 1e-9:
                    ends.append(value)
                    break
        np.testing.assert_allclose(
            model.predict_interval(X[row : row + 1], coverage, method="cv+")[0], [-ends[0], ends[1]], rtol=1e-6
        )
    if cv == 4:  # each row has been seen by all networks except those of its fold
        assert sorted((kept["shares"] > 0).sum(axis=1)) == [2] * 4
    seen = np.unique(kept["group_of"])
    assert len(seen) == len(kept["shares"])


def test_sets_by_their_definition():
    """Romano et al. 2020, section 3: a class is left out if too many of the rows held out had more said of their true class."""
    X, y = X_IRIS[::2], IRIS[::2]
    model = BPTabularClassifier(cv=3, max_iter=8, random_state=0).fit(X, y)
    kept = model._held_out
    outputs = np.array([network._outputs(model.encoder_.transform(X_IRIS)) for network in model.networks_], dtype=float)
    sets = model.predict_set(X_IRIS, 0.8, method="cv+")
    for row in range(0, 150, 7):
        for label in range(3):
            n_better = sum(
                -kept["scores"][i, 0] > (kept["shares"][kept["group_of"][i]] @ outputs[:, row, label]) for i in range(len(y))
            )
            assert sets[row, label] == (n_better < 0.8 * (len(y) + 1))
    filled = model.predict_set(X_IRIS, 0.5, allow_empty=False)
    empty = ~model.predict_set(X_IRIS, 0.5).any(axis=1)
    assert empty.any() and filled.any(axis=1).all() and (filled[empty].sum(axis=1) == 1).all()


def test_bounds_of_losses_hold_for_intervals():
    X, y, _ = positive(300)
    assert BPTabularRegressor(loss="poisson", cv=3, **QUICK).fit(X, y).predict_interval(X, 0.95).min() == 0
    both = BPTabularRegressor(cv=3, **QUICK).fit(X, np.column_stack([y, -1000.0 * y]))
    intervals = both.predict_interval(X, 0.9)
    assert intervals.shape == (300, 2, 2) and (intervals[..., 0] < intervals[..., 1]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_intervals_and_sets_need(kind):
    ask = "predict_interval" if kind is BPTabularRegressor else "predict_set"
    with pytest.raises(NotFittedError):
        getattr(kind(), ask)(X_IRIS)
    with pytest.raises(ValueError, match=f"{ask}.*cv=5.*ensemble"):
        getattr(kind(**QUICK).fit(X_IRIS, IRIS), ask)(X_IRIS)
    model = kind(cv=3, **QUICK).fit(X_IRIS, IRIS)
    for coverage in (0, 1, 1.5, -0.1, np.nan, "much", None):
        with pytest.raises(ValueError, match="coverage must be"):
            getattr(model, ask)(X_IRIS, coverage)
    with pytest.raises(ValueError, match="at least 999 held-out rows, but there are 150"):
        getattr(model, ask)(X_IRIS, 0.999)
    assert not hasattr(model, "predict_interval" if ask == "predict_set" else "predict_set")


def test_levels_around():
    assert conformal.levels_around([0.05, 0.5, 0.95], 0.9) == (0, 2)
    assert conformal.levels_around([0.5, 0.9], 0.9) == (0, 1)
    assert conformal.levels_around([0.1, 0.25, 0.75, 0.9], 0.5) == (1, 2)


# ---- who looks on


@pytest.mark.parametrize("scoring", [None, "r2"])
def test_rows_to_look_at_are_ranks_for_networks_that_see_ranks(scoring):
    X, y = load_diabetes(return_X_y=True)
    model = BPTabularRegressor(max_iter=5, scoring=scoring, random_state=0).fit(X, y, X_val=X, y_val=y)
    alone, scores = copy.copy(model), []
    for network in model.networks_:
        alone.networks_ = [network]
        unbounded = alone._outputs(X)[:, 0] * model._spread + model._mean
        scores.append(r2_score(y, unbounded if scoring is None else alone.predict(X)))
    assert len(scores) == 4 and model.validation_scores_[-1] == pytest.approx(np.mean(scores), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_to_look_at_decide_nothing(kind):
    X, y = load_diabetes(return_X_y=True)
    y = y if kind is BPTabularRegressor else np.digitize(y, [100, 200])
    plain = kind(n_ensemble=2, max_iter=5, random_state=0).fit(X[:300], y[:300])
    model = kind(n_ensemble=2, max_iter=5, random_state=0).fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    outputs = "predict" if kind is BPTabularRegressor else "predict_proba"
    np.testing.assert_array_equal(getattr(model, outputs)(X), getattr(plain, outputs)(X))
    assert plain.validation_scores_ is None and len(model.validation_loss_curve_) == len(model.loss_curve_) == 5
    np.testing.assert_allclose(model.loss_curve_, np.mean([network.loss_curve_ for network in model.networks_], axis=0))
    encoded, last = model.encoder_.transform(X[300:]), []
    for network in model.networks_:
        z = network._outputs(encoded)
        if kind is BPTabularRegressor:
            last.append(r2_score(y[300:], z[:, 0] * model._spread + model._mean))
        else:
            last.append(np.mean(z.argmax(axis=1) == y[300:]))
    assert model.validation_scores_[-1] == pytest.approx(np.mean(last), abs=1e-5)
    display = LossCurveDisplay.from_estimator({"table": model})
    assert display.loss_curves["table"].tolist() == model.loss_curve_ and display.validation_scores["table"].size == 5


@pytest.mark.parametrize(
    "kind, scoring", [(BPTabularRegressor, "neg_mean_absolute_error"), (BPTabularClassifier, "neg_log_loss")]
)
def test_scoring(kind, scoring):
    X, y = load_diabetes(return_X_y=True)
    y = y if kind is BPTabularRegressor else np.digitize(y, [100, 200])
    options = {} if kind is BPTabularRegressor else {"calibrate": False}
    model = kind(n_ensemble=1, max_iter=4, random_state=0, scoring=scoring, **options)
    model.fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])

    def score(model, X, y):
        return -mean_absolute_error(y, model.predict(X)) if kind is BPTabularRegressor else -log_loss(y, model.predict_proba(X))

    assert len(model.validation_scores_) == 4 and model.validation_scores_[-1] == pytest.approx(score(model, X[300:], y[300:]))
    plain = clone(model).set_params(scoring=None).fit(X[:300], y[:300])
    np.testing.assert_array_equal(plain.predict(X), model.predict(X))
    folds = clone(model).set_params(cv=3).fit(X, y)
    told = folds.oof_prediction_
    assert folds.oof_score_ == pytest.approx(-mean_absolute_error(y, told) if kind is BPTabularRegressor else -log_loss(y, told))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"X_val": X_IRIS}, "go together"),
        ({"y_val": IRIS}, "go together"),
        ({"sample_weight_val": np.ones(150)}, "go together"),
        ({"X_val": X_IRIS[:, :2], "y_val": IRIS}, "X_val, y_val: .*features"),
        ({"X_val": X_IRIS, "y_val": IRIS[:10]}, "X_val, y_val: .*inconsistent"),
        ({"X_val": X_IRIS, "y_val": np.column_stack([IRIS, IRIS])}, "X_val, y_val"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_rows_to_look_at_that_are_none(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**QUICK).fit(X_IRIS, IRIS, **options)
    with pytest.raises(ValueError, match=r"classes that y does not have: \[7\]"):
        BPTabularClassifier(**QUICK).fit(X_IRIS, IRIS, X_val=X_IRIS[:2], y_val=[0, 7])


@pytest.mark.parametrize("kind", KINDS)
def test_lines(kind):
    with redirect_stdout(io.StringIO()) as said:
        model = kind("fast", n_ensemble=2, max_iter=6, random_state=0, n_threads=1, verbose=3).fit(X_IRIS, IRIS)
    lines = said.getvalue().splitlines()
    assert lines[0] == "Table: 150 rows, 4 columns that become 4 inputs of the networks." and "2 networks of 6 epochs" in lines[1]
    assert lines[2:] == [
        f"Network {number} of 2, iteration {epoch}, loss = {network.loss_curve_[epoch - 1]:.8f}"
        for number, network in enumerate(model.networks_, 1)
        for epoch in (3, 6)
    ]
    with redirect_stdout(io.StringIO()) as said:
        kind("fast", max_iter=2, random_state=0).fit(X_IRIS, IRIS)
    assert not said.getvalue()


@pytest.mark.parametrize("options", [{}, {"n_threads": 1}, {"verbose": 4}, {"network_params": {"n_restarts": 2}}])
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_terminal_all_networks_share_a_line(kind, options):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    settings = {"n_ensemble": 3, "max_iter": 6, "random_state": 0, "verbose": True} | options
    with redirect_stdout(Terminal()) as said:
        model = kind("fast", **settings).fit(X_IRIS, IRIS, X_val=X_IRIS[:50], y_val=IRIS[:50])
    *states, last = said.getvalue().split("\n")[2].split("\r\x1b[K")[1:]
    n = 18 * (2 if "network_params" in options else 1)
    assert states and all(re.match(rf"Iteration \d+ of {n} \(3 networks\), loss = ", state) for state in states)
    assert re.match(rf"Iteration {n} of {n} \(3 networks\), loss = ", last) and said.getvalue().count("\n") == 3
    if n == 18:
        mean = np.mean([network.loss_curve_[-1] for network in model.networks_])
        assert float(re.search(r"loss = (\S+),", last)[1]) == pytest.approx(mean, rel=1e-6)
    silent = kind("fast", **settings | {"verbose": False}).fit(X_IRIS, IRIS)
    np.testing.assert_array_equal(model.predict(X_IRIS), silent.predict(X_IRIS))


VERSION = tuple(map(int, sklearn.__version__.split(".")[:2]))


class Recorder:
    """A callback that keeps what it is told."""

    def __init__(self, stop=None):
        self.stop, self.names, self.scores = stop, [], []

    def setup(self, estimator, context):
        self.names.append("setup")

    def on_fit_task_begin(self, estimator, context):
        self.names.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.names.append(f"end {context.task_name}")
        if context.task_name == "epoch":
            self.scores.append(fitted_estimator.score(X_IRIS, IRIS))
            return self.stop is not None and context.task_id + 1 == self.stop
        return None

    def teardown(self, estimator, context):
        self.names.append("teardown")


@pytest.mark.skipif(VERSION < (1, 9), reason="sklearn.callback is public from scikit-learn 1.9 on")
@pytest.mark.parametrize("kind", KINDS)
def test_callbacks(kind):
    one, plain = Recorder(), kind("fast", max_iter=3, random_state=0).fit(X_IRIS, IRIS)
    model = kind("fast", max_iter=3, random_state=0).set_callbacks(one).fit(X_IRIS, IRIS)
    assert one.names == ["setup", "begin fit", *["begin epoch", "end epoch"] * 3, "end fit", "teardown"]
    np.testing.assert_array_equal(model.predict(X_IRIS), plain.predict(X_IRIS))
    assert one.scores[-1] == plain.score(X_IRIS, IRIS)
    several = Recorder(stop=2)
    model = kind("fast", n_ensemble=3, max_iter=9, random_state=0, n_threads=1).set_callbacks(several).fit(X_IRIS, IRIS)
    starts = ["begin start", *["begin epoch", "end epoch"] * 2, "end start"] * 3
    assert several.names == ["setup", "begin fit", *starts, "end fit", "teardown"]
    assert [network.n_iter_ for network in model.networks_] == [2, 2, 2]

    def fail(estimator, context, **told):
        raise RuntimeError("the callback's own")

    broken = Recorder()
    broken.on_fit_task_end = fail
    with pytest.raises(RuntimeError, match="the callback's own"):
        kind("fast", n_ensemble=2, **QUICK).set_callbacks(broken).fit(X_IRIS, IRIS)


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_write_to_nothing(kind):
    model = kind("fast", n_ensemble=2, **QUICK).fit(X_IRIS, IRIS)
    expected = model.predict(X_IRIS)
    before = pickle.dumps(model)
    threads = [network.n_threads for network in model.networks_]
    model.set_params(n_threads=2).predict(X_IRIS)
    assert [network.n_threads for network in model.networks_] == threads
    assert pickle.dumps(model.set_params(n_threads=None)) == before
    np.testing.assert_array_equal(model.predict(X_IRIS), expected)
    with pytest.raises(ValueError, match="n_threads"):
        model.set_params(n_threads=0).predict(X_IRIS)
    assert not hasattr(model, "partial_fit")


def test_folds_of_the_user_serve_sets_too():
    folds = list(KFold(4, shuffle=True, random_state=0).split(X_IRIS))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = BPTabularClassifier(cv=folds, **QUICK).fit(X_IRIS, NAMES)
        assert model.predict_set(X_IRIS, 0.9).shape == (150, 3)


# ---- with the preset 'ensemble'


@pytest.mark.parametrize(
    "kind, options, y",
    [
        (BPTabularRegressor, {"loss": "poisson"}, IRIS),
        (BPTabularRegressor, {"loss": "quantile", "quantile": [0.1, 0.9]}, X_IRIS[:, 0]),
        (BPTabularRegressor, {"scoring": "neg_mean_absolute_error"}, X_IRIS[:, :2]),
        (BPTabularClassifier, {}, NAMES),
        (BPTabularClassifier, {}, np.column_stack([IRIS == 0, IS_LONG]).astype(int)),
        (BPTabularClassifier, {}, np.column_stack([NAMES, np.where(IS_LONG, "long", "short")])),
    ],
    ids=["counts", "quantiles", "several numbers", "classes", "labels", "columns"],
)
def test_ensembles_of_any_target(kind, options, y):
    X = pd.DataFrame(X_IRIS[:, 1:], columns=list("abc")).assign(d=np.where(X_IRIS[:, 1] > 3, "x", "y"))
    with redirect_stdout(io.StringIO()) as said:
        model = kind("ensemble", max_iter=4, random_state=0, verbose=True, **options).fit(X, y)
    assert "Trained: 30 networks" in said.getvalue() and np.isfinite(model.oof_score_) and len(model.loss_curve_) == 4
    assert model.predict(X).shape[0] == 150 and model.weights_.sum() == pytest.approx(1)
    ask = model.predict_interval if kind is BPTabularRegressor else model.predict_set
    for method in ("cv", "cv+"):
        first = ask(X, 0.8, method=method)
        for part, own in zip(*(each if isinstance(each, list) else [each] for each in (first, ask(X[:9], 0.8, method=method)))):
            np.testing.assert_allclose(part[:9], own, rtol=1e-6)
    kept = model._held_out
    np.testing.assert_allclose(kept["shares"].sum(axis=1), 1)
    with pytest.raises(ValueError, match="X_val is not for"):
        kind("ensemble", **QUICK, **options).fit(X, y, X_val=X, y_val=y)


FEW = {
    "two rows": pd.DataFrame({"x": [0.3, -1.2], "word": ["a", "b"]}),
    "five rows": pd.DataFrame(np.random.RandomState(0).normal(size=(5, 3))),
    "two different rows": pd.DataFrame({"is_new": np.random.RandomState(0).uniform(size=300) < 0.4}),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie"])
@pytest.mark.parametrize("preset", ["default", "ensemble"])
@pytest.mark.parametrize("table", FEW)
def test_exponentials_stay_finite_where_few_rows_differ(table, preset, loss):
    X = FEW[table]
    y = np.exp(np.random.RandomState(1).normal(size=len(X)))
    predicted = []
    for max_iter, n_threads in ((1, 1), (1, 2), (20, 1), (20, 2)):
        model = BPTabularRegressor(preset, loss=loss, max_iter=max_iter, random_state=0, n_threads=n_threads).fit(X, y)
        predicted.append(model.predict(X))
        assert (predicted[-1] >= y.min()).all() and (predicted[-1] <= y.max()).all()
    for one, two in (predicted[:2], predicted[2:]):
        np.testing.assert_array_equal(one, two)


def test_a_rate_that_a_user_chose_is_not_lowered():
    X, y = FEW["two different rows"], np.ones(300)
    with pytest.raises(ValueError, match="learning_rate_init"):
        BPTabularRegressor(loss="poisson", network_params={"learning_rate_init": 1e6}, **QUICK).fit(X, y)
