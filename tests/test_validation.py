"""Validation rows of the user's own, early stopping by any score, the loss of validation rows, and training again after it."""

import inspect
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.sparse import csr_matrix
from sklearn.datasets import load_diabetes, make_classification, make_multilabel_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import f1_score, get_scorer, log_loss, mean_poisson_deviance, mean_squared_error
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp
from fastbp import BPClassifier, BPRegressor, BPSearchCV

CLASSES, LABELS_OF = make_classification(240, 8, n_informative=5, n_classes=3, random_state=0)
X, X_VAL, Y, Y_VAL = train_test_split(CLASSES, LABELS_OF, test_size=60, random_state=0)
WEIGHTS, WEIGHTS_VAL = np.random.RandomState(0).uniform(0.2, 3, 180), np.random.RandomState(1).uniform(0.2, 3, 60)
_DIABETES = load_diabetes(return_X_y=True)
REAL, REAL_VAL, T, T_VAL = train_test_split(
    StandardScaler().fit_transform(_DIABETES[0]), _DIABETES[1] / 77.0, test_size=100, random_state=0
)
ROWS, MANY = make_multilabel_classification(150, 8, n_classes=3, random_state=0)
OWN = {"X_val": X_VAL, "y_val": Y_VAL}
REAL_OWN = {"X_val": REAL_VAL, "y_val": T_VAL}


def make(estimator=BPClassifier, **options):
    settings = {"hidden_layer_sizes": 8, "max_iter": 40, "batch_size": 32, "random_state": 3, "learning_rate_init": 0.01}
    return estimator(**settings | options)


def assert_same_network(one, other):
    for mine, yours in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_array_equal(mine, yours)


# Rows of one's own


def test_names_are_those_of_hist_gradient_boosting():
    theirs = inspect.signature(HistGradientBoostingClassifier.fit).parameters
    for estimator in (BPClassifier, BPRegressor):
        ours = inspect.signature(estimator.fit).parameters
        for name in ("X_val", "y_val", "sample_weight_val"):
            assert (ours[name].kind, ours[name].default) == (theirs[name].kind, theirs[name].default)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_rows", [180, 179])
def test_own_rows_are_those_of_the_split(n_rows, weighted):
    """With the same rows, and nothing else drawn, the fit is the one that splits by itself."""
    inputs, targets, weights = X[:n_rows], Y[:n_rows], WEIGHTS[:n_rows] if weighted else None
    start = make(max_iter=1).fit(inputs, targets)
    options = {"init": (start.coefs_, start.intercepts_), "early_stopping": True, "shuffle": False, "n_iter_no_change": 5}
    split = make(**options).fit(inputs, targets, weights)
    train, aside = train_test_split(np.arange(n_rows), test_size=0.1, random_state=np.random.RandomState(3))
    own = make(**options).fit(
        inputs[train],
        targets[train],
        None if weights is None else weights[train],
        X_val=inputs[aside],
        y_val=targets[aside],
        sample_weight_val=None if weights is None else weights[aside],
    )
    assert_same_network(own, split)
    for name in ("validation_scores_", "validation_loss_curve_", "best_validation_score_", "n_iter_", "loss_curve_"):
        assert getattr(own, name) == getattr(split, name)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_without_early_stopping_the_rows_are_watched_alone(solver):
    plain = make(solver=solver).fit(X, Y)
    watched = make(solver=solver).fit(X, Y, **OWN)
    assert_same_network(plain, watched)
    assert watched.loss_curve_ == plain.loss_curve_
    assert watched.best_loss_ == plain.best_loss_
    assert watched.best_validation_score_ is None
    assert len(watched.validation_scores_) == len(watched.validation_loss_curve_) == watched.n_iter_
    assert watched.validation_scores_[-1] == watched.score(X_VAL, Y_VAL)
    assert plain.validation_scores_ is plain.validation_loss_curve_ is plain.best_validation_score_ is None
    watched.fit(X, Y)
    assert watched.validation_scores_ is watched.validation_loss_curve_ is None


def test_classes_weigh_the_validation_rows_too():
    class_weight = {0: 0.5, 1: 1.0, 2: 4.0}
    table = np.array([0.5, 1.0, 4.0])
    one = make(class_weight=class_weight, early_stopping=True).fit(X, Y, **OWN, sample_weight_val=WEIGHTS_VAL)
    other = make(early_stopping=True).fit(X, Y, table[Y], **OWN, sample_weight_val=WEIGHTS_VAL * table[Y_VAL])
    assert_same_network(one, other)
    assert one.validation_scores_ == other.validation_scores_
    assert one.validation_loss_curve_ == other.validation_loss_curve_


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kinds_of_rows(dtype):
    """The dtype of X decides; sparse and dense, frames and arrays say the same."""
    inputs = X.astype(dtype)
    dense = make(early_stopping=True).fit(inputs, Y, **OWN)
    assert dense.coefs_[0].dtype == dtype
    sparse = make(early_stopping=True).fit(csr_matrix(inputs), Y, X_val=csr_matrix(X_VAL), y_val=Y_VAL)
    np.testing.assert_allclose(sparse.validation_loss_curve_[:5], dense.validation_loss_curve_[:5], rtol=2e-4)
    columns = [f"c{k}" for k in range(8)]
    frames = pd.DataFrame(inputs, columns=columns), pd.DataFrame(X_VAL, columns=columns)
    framed = make(early_stopping=True).fit(frames[0], pd.Series(Y), X_val=frames[1], y_val=pd.Series(Y_VAL))
    assert_same_network(framed, dense)
    with pytest.raises(ValueError, match="feature names should match"):
        make(early_stopping=True).fit(frames[0], Y, X_val=frames[1][columns[::-1]], y_val=Y_VAL)


def test_labels_that_are_words():
    names = np.array(["a", "b", "c"])
    one = make(early_stopping=True).fit(X, names[Y], X_val=X_VAL, y_val=names[Y_VAL])
    assert_same_network(one, make(early_stopping=True).fit(X, Y, **OWN))
    numbers = np.arange(20).repeat(3)  # numbers are not their texts, whose order is another
    with pytest.raises(ValueError, match="y_val must have the classes of y"):
        make().fit(X[:60], numbers.astype(str), X_val=X[:60], y_val=numbers)
    part = Y_VAL > 0  # a class may be missing there
    model = make(early_stopping=True).fit(X, names[Y], X_val=X_VAL[part], y_val=names[Y_VAL[part]])
    assert model.validation_scores_[0] == pytest.approx(make(max_iter=1).fit(X, Y).score(X_VAL[part], Y_VAL[part]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X_val": X_VAL}, "y_val was not provided"),
        ({"y_val": Y_VAL}, "X_val was not provided"),
        ({"sample_weight_val": WEIGHTS_VAL}, "y_val was not provided"),
        ({"X_val": X_VAL[:, :5], "y_val": Y_VAL}, "X_val.* 5 features"),
        ({"X_val": X_VAL, "y_val": Y_VAL[:-1]}, "inconsistent numbers of samples"),
        ({"X_val": X_VAL, "y_val": Y_VAL + 1}, r"classes of y, \[0 1 2\], got \[1 2 3\]"),
        ({"X_val": X_VAL, "y_val": np.eye(3, dtype=int)[Y_VAL]}, "classes of y"),
        ({"X_val": np.full_like(X_VAL, np.nan), "y_val": Y_VAL}, "X_val.*NaN"),
        (OWN | {"sample_weight_val": WEIGHTS_VAL[1:]}, "sample_weight.shape"),
        (OWN | {"sample_weight_val": np.resize([1, -1], 60)}, "sum to zero"),
    ],
)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_bad_rows(arguments, message, early_stopping):
    with pytest.raises(ValueError, match=message):
        make(early_stopping=early_stopping).fit(X, Y, **arguments)


def test_bad_targets_of_a_regressor():
    with pytest.raises(ValueError, match="y_val has 2 outputs, but y has 1"):
        make(BPRegressor).fit(REAL, T, X_val=REAL_VAL, y_val=np.stack([T_VAL, T_VAL], axis=1))
    with pytest.raises(ValueError, match="out of the valid range of the loss 'poisson'"):
        make(BPRegressor, loss="poisson").fit(REAL, T, X_val=REAL_VAL, y_val=-T_VAL)


def test_pipeline_transforms_the_validation_rows():
    with sklearn.config_context(enable_metadata_routing=True):
        network = make(early_stopping=True).set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(StandardScaler(), network, transform_input=["X_val"]).fit(X, Y, **OWN)
    scaler = StandardScaler().fit(X)
    scaled = scaler.transform(X), Y
    same = make(early_stopping=True).fit(*scaled, X_val=scaler.transform(X_VAL), y_val=Y_VAL)
    assert_same_network(pipeline[-1], same)


# The loss of the validation rows


def reference_loss(model, inputs, y, weights):
    """The mean loss by scikit-learn's metrics or plain numpy."""
    if model.loss == "squared_error":
        return mean_squared_error(y, model.predict(inputs), sample_weight=weights) / 2
    if model.loss == "poisson":
        return mean_poisson_deviance(y, model.predict(inputs), sample_weight=weights) / 2
    if model.loss == "huber":
        error = abs(y - model.predict(inputs))
        return np.average(np.where(error <= model.delta, error**2 / 2, model.delta * (error - model.delta / 2)), weights=weights)
    p = model.predict_proba(inputs).astype(np.float64)
    if np.ndim(y) == 1:
        return log_loss(y, p, sample_weight=weights)
    return -np.average((y * np.log(p) + (1 - y) * np.log(1 - p)).sum(axis=1), weights=weights)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["classes", "two classes", "labels", "squared_error", "two outputs", "poisson", "huber"])
def test_validation_loss(kind, dtype, weighted):
    estimator, options = BPClassifier, {}
    parts = {
        "classes": (X, Y, X_VAL, Y_VAL),
        "two classes": (X, Y % 2, X_VAL, Y_VAL % 2),
        "labels": (ROWS[:110], MANY[:110], ROWS[110:], MANY[110:]),
    }.get(kind)
    if parts is None:
        estimator, parts = BPRegressor, (REAL, T, REAL_VAL, T_VAL)
        if kind == "two outputs":
            parts = (REAL, np.stack([T, T[::-1]], 1), REAL_VAL, np.stack([T_VAL, 2 * T_VAL], 1))
        else:
            options = {"loss": kind}
    inputs, y, inputs_val, y_val = parts
    inputs, inputs_val = inputs.astype(dtype), inputs_val.astype(dtype)
    weights = np.linspace(0.5, 2, len(y_val)) if weighted else None
    for early_stopping in (False, True):
        model = make(estimator, max_iter=3, early_stopping=early_stopping, alpha=1.0, **options)
        model.fit(inputs, y, X_val=inputs_val, y_val=y_val, sample_weight_val=weights)
        epoch = model.best_validation_score_ and model.validation_scores_.index(model.best_validation_score_)
        expected = reference_loss(model, inputs_val, y_val, weights)
        rtol = 2e-5 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(model.validation_loss_curve_[-1 if epoch is None else epoch], expected, rtol=rtol)


def test_many_validation_rows_in_pieces():
    """More rows than the workspace of a small batch has room for."""
    rng = np.random.RandomState(0)
    inputs = rng.normal(size=(3000, 8))
    y = rng.randint(3, size=3000)
    for options in ({"batch_size": 1, "solver": "sgd", "max_iter": 1}, {"batch_size": 7, "max_iter": 2}):
        model = make(**options).fit(X, Y, X_val=inputs, y_val=y)
        np.testing.assert_allclose(model.validation_loss_curve_[-1], log_loss(y, model.predict_proba(inputs)), rtol=1e-12)


# Early stopping by any score


def loop(model, score, patience, tol, **rows):
    """Early stopping as scikit-learn's MLP does it, around partial_fit: (best epoch's weights, scores)."""
    best, without, scores, weights = -np.inf, 0, [], None
    for _ in range(model.max_iter):
        model.partial_fit(rows["X"], rows["y"], **({"classes": np.unique(rows["y"])} if hasattr(model, "predict_proba") else {}))
        scores.append(score(model))
        without = without + 1 if scores[-1] < best + tol else 0
        if scores[-1] > best:
            best, weights = scores[-1], [W.copy() for W in model.coefs_]
        if without > patience:
            break
    return weights, scores


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("scoring", ["f1_macro", "neg_log_loss", "loss", "roc_auc_ovr", "callable"])
def test_classifier_scores(scoring, solver):
    def brier(model, inputs, y):
        return -((model.predict_proba(inputs) - np.eye(3)[y]) ** 2).sum(axis=1).mean()

    options = {"shuffle": False, "solver": solver, "n_iter_no_change": 4, "tol": 1e-3, "learning_rate_init": 0.05}
    scorer = brier if scoring == "callable" else get_scorer("neg_log_loss" if scoring == "loss" else scoring)
    scoring = brier if scoring == "callable" else scoring
    model = make(early_stopping=True, scoring=scoring, **options).fit(X, Y, **OWN)
    weights, scores = loop(make(**options), lambda m: scorer(m, X_VAL, Y_VAL), 4, 1e-3, X=X, y=Y)
    assert model.n_iter_ == len(scores)
    np.testing.assert_allclose(model.validation_scores_, scores, rtol=1e-12)
    for mine, yours in zip(model.coefs_, weights, strict=True):
        np.testing.assert_allclose(mine, yours, rtol=1e-12)
    assert model.best_validation_score_ == max(model.validation_scores_)


@pytest.mark.parametrize("scoring", ["neg_mean_absolute_error", "neg_median_absolute_error", "loss"])
def test_regressor_scores(scoring):
    options = {"shuffle": False, "n_iter_no_change": 3, "learning_rate_init": 0.02}
    scorer = get_scorer("neg_mean_squared_error" if scoring == "loss" else scoring)
    factor = 0.5 if scoring == "loss" else 1.0
    model = make(BPRegressor, early_stopping=True, scoring=scoring, **options).fit(REAL, T, **REAL_OWN)
    weights, scores = loop(make(BPRegressor, **options), lambda m: factor * scorer(m, REAL_VAL, T_VAL), 3, 1e-4, X=REAL, y=T)
    assert model.n_iter_ == len(scores) < 40
    np.testing.assert_allclose(model.validation_scores_, scores, rtol=1e-10)
    for mine, yours in zip(model.coefs_, weights, strict=True):
        np.testing.assert_allclose(mine, yours, rtol=1e-10)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("options", [{}, {"n_restarts": 3}, {"batch_size": 1, "solver": "sgd"}, {"verbose": 100}])
def test_usual_score_by_a_callable_is_the_usual_fit(options, weighted, capsys):
    """Of the split rows: also what the scorer gets are the true labels and weights."""

    def accuracy(model, inputs, y, sample_weight=None):
        assert (sample_weight is not None) == weighted
        return model.score(inputs, y, sample_weight)

    names, weights = np.array(["x", "y", "z"])[Y], WEIGHTS if weighted else None
    usual = make(early_stopping=True, **options).fit(X, names, weights)
    called = make(early_stopping=True, scoring=accuracy, **options).fit(X, names, weights)
    named = make(early_stopping=True, scoring="accuracy", **options).fit(X, names, weights)
    assert_same_network(usual, called)
    assert_same_network(usual, named)
    assert usual.validation_scores_ == named.validation_scores_
    np.testing.assert_allclose(usual.validation_scores_, called.validation_scores_, rtol=1e-12)
    assert usual.validation_loss_curve_ == called.validation_loss_curve_
    assert usual.n_iter_ == called.n_iter_


def test_adaptive_rate_goes_by_the_score():
    def accuracy(model, inputs, y):
        return model.score(inputs, y)

    options = {"early_stopping": True, "solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 2, "max_iter": 60}
    usual, called = make(**options).fit(X, Y), make(**options, scoring=accuracy).fit(X, Y)
    assert usual.loss_curve_ == called.loss_curve_


@pytest.mark.parametrize("n_threads", [2, 3])
def test_same_bits_for_any_number_of_threads(n_threads):
    options = {"early_stopping": True, "scoring": "f1_macro", "n_restarts": 3}
    one, other = (make(**options, n_threads=n).fit(X, Y) for n in (1, n_threads))
    assert_same_network(one, other)
    assert one.validation_scores_ == other.validation_scores_


def test_wide_table():
    """sgd in the span of the rows scores itself by the loss; a scorer gets a network for the features there are."""
    rng = np.random.RandomState(0)
    inputs, y = rng.normal(size=(30, 400)), rng.randint(2, size=30)
    options = {"solver": "sgd", "early_stopping": True, "max_iter": 300, "n_iter_no_change": 300}
    by_loss = make(**options, scoring="loss").fit(inputs, y, X_val=inputs[:9] + 0.1, y_val=y[:9])
    by_name = make(**options, scoring="neg_log_loss").fit(inputs, y, X_val=inputs[:9] + 0.1, y_val=y[:9])
    np.testing.assert_allclose(by_loss.validation_loss_curve_[:20], by_name.validation_loss_curve_[:20], rtol=1e-6)


def test_sparse_labels_and_frames_reach_the_scorer():
    def score(model, inputs, y):
        return f1_score(y, model.predict(inputs), average="micro")

    dense = make(early_stopping=True, scoring=score).fit(ROWS, MANY)
    sparse = make(early_stopping=True, scoring=score).fit(ROWS, csr_matrix(MANY))
    assert dense.validation_scores_ == sparse.validation_scores_
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        make(early_stopping=True, scoring="f1_macro").fit(pd.DataFrame(X, columns=list("abcdefgh")), Y)


@pytest.mark.parametrize("scoring", [3, [], "no_such_score"])
def test_bad_scoring(scoring):
    with pytest.raises(ValueError, match="scoring"):
        make(early_stopping=True, scoring=scoring).fit(X, Y)


def test_score_that_is_no_number():
    with pytest.raises(ValueError, match="gave NaN"):
        make(early_stopping=True, scoring=lambda model, inputs, y: np.nan).fit(X, Y)
    with pytest.raises(RuntimeError, match="out of luck"):

        def fails(model, inputs, y):
            raise RuntimeError("out of luck")

        make(early_stopping=True, scoring=fails).fit(X, Y)


def test_own_rows_without_early_stopping_take_no_scorer():
    with pytest.raises(ValueError, match="needs early_stopping=True"):
        make(scoring="f1_macro").fit(X, Y, **OWN)
    assert make(scoring="loss", max_iter=3).fit(X, Y, **OWN).validation_scores_[0] < 0


def test_interrupt_in_a_scorer_keeps_the_best():
    scores = iter([0.2, 0.9, 0.5])

    def score(model, inputs, y):
        try:
            return next(scores)
        except StopIteration:
            raise KeyboardInterrupt from None

    with pytest.warns(UserWarning, match="interrupted"):
        model = make(early_stopping=True, scoring=score).fit(X, Y)
    assert model.validation_scores_ == [0.2, 0.9, 0.5]
    start = make(early_stopping=True, max_iter=2, scoring=lambda model, inputs, y: float(model.n_layers_)).fit(X, Y)
    assert model.best_validation_score_ == 0.9
    assert abs(model.coefs_[0] - start.coefs_[0]).max() > 0


# The best epoch is the last


def complaints(model, **arguments):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, Y, **arguments)
    return [str(warning.message) for warning in caught if warning.category is ConvergenceWarning]


def test_warning_when_the_best_epoch_is_the_last():
    (told,) = complaints(make(early_stopping=True, scoring="loss", max_iter=3))
    assert "hasn't converged yet." in told
    assert told.endswith("The last epoch has the best validation score: raise max_iter.")
    (told,) = complaints(make(early_stopping=True, scoring="loss", tol=1.0, n_iter_no_change=2))
    assert "rose by less than tol=1" in told
    (told,) = complaints(make(early_stopping=True, scoring=lambda *_: 0.5, max_iter=3))
    assert told.endswith("hasn't converged yet.")
    assert complaints(make(early_stopping=True, scoring=lambda *_: 0.5)) == []


# Training again


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"solver": "sgd", "learning_rate": "invscaling"},
        {"class_weight": "balanced"},
        {"n_restarts": 3},
        {"scoring": "f1_macro"},
    ],
    ids=["adam", "sgd", "class_weight", "restarts", "scorer"],
)
@pytest.mark.parametrize("seed", [int, np.random.RandomState])
def test_refit_is_a_plain_fit_of_as_many_epochs(options, seed):
    options = options | {"random_state": seed(5)}
    first = make(**options | {"random_state": 5}, early_stopping=True).fit(X, Y)
    again = make(**options, early_stopping=True, refit=True).fit(X, Y)
    n_epochs = 1 + int(np.argmax(first.validation_scores_))
    assert again.n_iter_ == n_epochs
    assert again.validation_scores_ == first.validation_scores_
    assert again.best_validation_score_ == first.best_validation_score_
    options.pop("scoring", None)
    plain = options | {"random_state": 5, "n_restarts": 1, "max_iter": n_epochs, "n_iter_no_change": np.inf}
    if "n_restarts" not in options:
        assert_same_network(again, make(**plain).fit(X, Y))
    else:
        seeds = np.random.RandomState(5).randint(2**31 - 1, size=2)
        starts = [make(**plain | {"random_state": other}).fit(X, Y) for other in (5, *seeds)]
        assert any((start.coefs_[0] == again.coefs_[0]).all() for start in starts)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
def test_refit_takes_own_rows_in(container, weighted):
    weights = WEIGHTS_VAL if weighted else None
    own = {"X_val": container(X_VAL), "y_val": Y_VAL, "sample_weight_val": weights}
    again = make(early_stopping=True, refit=True).fit(container(X), Y, **own)
    plain = make(max_iter=again.n_iter_, n_iter_no_change=np.inf)
    both = None if weights is None else np.concatenate([np.ones(len(Y)), weights])
    plain.fit(container(np.concatenate([X, X_VAL])), np.concatenate([Y, Y_VAL]), both)
    assert_same_network(again, plain)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs early_stopping=True"),
        ({"early_stopping": "stochastic", "solver": "lbfgs"}, "needs early_stopping=True"),
        ({"early_stopping": True, "solver": "sgd", "learning_rate": "adaptive"}, "'adaptive'"),
        ({"early_stopping": True, "refit": 1}, "'refit' parameter"),
    ],
)
def test_refit_that_does_not_go(options, message):
    with pytest.raises(ValueError, match=message):
        make(**{"refit": True} | options).fit(X, Y)


def test_refit_does_not_go_on():
    with pytest.raises(ValueError, match="warm_start=True"):
        make(refit=True, early_stopping=True, warm_start=True).fit(X, Y).fit(X, Y)
    with pytest.raises(ValueError, match="needs early_stopping"):
        make(refit=True).partial_fit(X, Y, classes=range(3))


# Searches


@pytest.mark.parametrize("grid", [{"scoring": [None, "loss", "f1_macro"]}, {"refit": [False, True]}])
def test_search(grid):
    grid = grid | {"hidden_layer_sizes": [3, 6]}
    ours, theirs = (search(make(early_stopping=True), grid, cv=3).fit(X, Y) for search in (BPSearchCV, GridSearchCV))
    np.testing.assert_array_equal(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    assert_same_network(ours.best_estimator_, theirs.best_estimator_)


def test_search_with_own_rows():
    grid = {"hidden_layer_sizes": [3, 6]}
    ours, theirs = (search(make(early_stopping=True), grid, cv=3).fit(X, Y, **OWN) for search in (BPSearchCV, GridSearchCV))
    np.testing.assert_array_equal(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    with pytest.raises(ValueError, match="as many rows as X"):
        BPSearchCV(make(early_stopping=True), grid, cv=3).fit(X_VAL, Y_VAL, **OWN)


# Solvers over all rows


WHOLE = ["lbfgs", "lm", "rprop"]


def stopped_by(scores, tol, patience):
    """Where scikit-learn's rule stops, and where the best score was, both from 1 on."""
    best, since, n_done = -np.inf, 0, 0
    while since <= patience and n_done < len(scores):
        since = since + 1 if scores[n_done] < best + tol else 0
        best, n_done = max(best, scores[n_done]), n_done + 1
    return n_done, 1 + int(np.argmax(scores[:n_done]))


def whole(solver, **options):
    settings = {"hidden_layer_sizes": 30, "activation": "tanh", "alpha": 0.0, "tol": 1e-6, "max_iter": 80, "random_state": 3}
    settings |= {"learning_rate_init": 0.1} if solver == "rprop" else {}
    return BPRegressor(**settings | {"solver": solver} | options)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:early_stopping=True:RuntimeWarning")
@pytest.mark.parametrize("options", [{}, {"scoring": "loss"}, {"scoring": "neg_mean_absolute_error"}], ids=str)
@pytest.mark.parametrize("solver", WHOLE)
def test_solvers_over_all_rows_stop_where_the_rule_says(solver, options):
    """The same run, only watched, says where that is and what the best weights are."""
    watched = whole(solver).fit(REAL, T, **REAL_OWN)
    one_by_one = [whole(solver, max_iter=n).fit(REAL, T) for n in range(1, 40)]
    if not options:
        expected = [model.score(REAL_VAL, T_VAL) for model in one_by_one[: watched.n_iter_]]
        np.testing.assert_allclose(watched.validation_scores_[:39], expected, rtol=1e-9)
    scorer = get_scorer({"loss": "neg_mean_squared_error"}.get(options.get("scoring"), options.get("scoring", "r2")))
    scores = [scorer(model, REAL_VAL, T_VAL) * (0.5 if options.get("scoring") == "loss" else 1.0) for model in one_by_one]
    n_iter, best = stopped_by(scores, 1e-6, 4)
    assert best < n_iter < 39
    model = whole(solver, early_stopping=True, n_iter_no_change=4, **options).fit(REAL, T, **REAL_OWN)
    assert model.n_iter_ == n_iter == len(model.validation_scores_) == len(model.loss_curve_)
    np.testing.assert_allclose(model.validation_scores_, scores[:n_iter], rtol=1e-9)
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert_same_network(model, one_by_one[best - 1])
    refit = whole(solver, early_stopping=True, refit=True, n_iter_no_change=4, **options).fit(REAL, T, **REAL_OWN)
    both, targets = np.concatenate([REAL, REAL_VAL]), np.concatenate([T, T_VAL])
    assert_same_network(refit, whole(solver, max_iter=best).fit(both, targets))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:early_stopping=True:RuntimeWarning")
@pytest.mark.parametrize("options", [{"solver": "lbfgs"}, {"solver": "lm"}, {"solver": "lbfgs", "n_restarts": 3}], ids=str)
def test_watching_changes_nothing(options):
    plain, watched = whole(**options).fit(REAL, T), whole(**options).fit(REAL, T, **REAL_OWN)
    assert_same_network(plain, watched)
    assert watched.n_iter_ == plain.n_iter_ == len(watched.validation_loss_curve_)
    assert watched.best_validation_score_ is None and watched.loss_ == plain.loss_
    mean_loss = 0.5 * mean_squared_error(T_VAL, watched.predict(REAL_VAL))
    assert watched.validation_loss_curve_[-1] == pytest.approx(mean_loss, rel=1e-9)
    assert not hasattr(watched.fit(REAL, T), "validation_scores_")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:early_stopping=True:RuntimeWarning")
def test_early_stopping_of_lbfgs_goes_on_and_is_searched():
    options = {"solver": "lbfgs", "early_stopping": True, "n_iter_no_change": 3}
    model = make(**options, warm_start=True).fit(X, Y)
    best, n_scores = model.best_validation_score_, len(model.validation_scores_)
    again = model.fit(X, Y)
    assert again.best_validation_score_ >= best and len(again.validation_scores_) > n_scores
    ours, theirs = (search(make(**options), {"alpha": [1e-4, 1.0]}, cv=3).fit(X, Y) for search in (BPSearchCV, GridSearchCV))
    np.testing.assert_array_equal(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    calibrated = make(**options, calibration="temperature").fit(X, Y)
    assert calibrated.temperature_ > 0
    with pytest.raises(ValueError, match="gave NaN"):
        make(**options, scoring=lambda *_: np.nan).fit(X, Y)


def test_a_scorer_sees_the_weights_after_each_iteration():
    calls = []

    def fails_late(model, inputs, targets):
        calls.append(model)
        return -float(len(calls))

    model = make(solver="lbfgs", early_stopping=True, scoring=fails_late, n_iter_no_change=2, tol=0.0)
    with pytest.warns(RuntimeWarning, match="early_stopping=True stops solver='lbfgs'"):
        model.fit(X, Y)
    assert model.n_iter_ == 4 and model.best_validation_score_ == -1.0
    assert_same_network(model, calls[0])


def test_that_scikit_learn_ignores_early_stopping_with_lbfgs_is_said_once():
    regressor = BPRegressor(hidden_layer_sizes=3, solver="lbfgs", max_iter=20, random_state=0, n_restarts=3)
    with pytest.warns(RuntimeWarning, match="scikit-learn ignores it with this solver") as told:
        BPRegressor(**regressor.get_params() | {"early_stopping": True}).fit(X, X[:, 0])
    assert [warning.filename for warning in told if warning.category is RuntimeWarning] == [__file__]
    with pytest.warns(RuntimeWarning, match="scikit-learn ignores") as told:
        search = BPSearchCV(model_of(regressor, True), {"alpha": [0.1, 0.2, 0.3]}, refit=False, cv=3).fit(X, X[:, 0])
    assert sum(warning.category is RuntimeWarning for warning in told) == 1
    assert search.best_index_ in range(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        plain, as_there = regressor.fit(X, X[:, 0]), model_of(regressor, "stochastic").fit(X, X[:, 0])
        model_of(regressor, True, solver="lm").fit(X, X[:, 0])  # which scikit-learn does not have
        epochs = [make(early_stopping=value).fit(X, Y) for value in ("stochastic", True)]
    assert_same_network(as_there, plain)
    assert_same_network(*epochs)
    theirs = MLPRegressor(hidden_layer_sizes=3, solver="lbfgs", max_iter=20, random_state=0, early_stopping=True).fit(X, X[:, 0])
    here = fastbp.from_sklearn(theirs)
    assert here.early_stopping == "stochastic" and fastbp.to_sklearn(here).early_stopping is True


def model_of(model, early_stopping, **options):
    return type(model)(**model.get_params() | {"early_stopping": early_stopping} | options)
