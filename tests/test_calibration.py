"""A temperature for the probabilities: the best one on the validation rows, and none that makes them worse."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix
from scipy.special import logsumexp
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
    make_multilabel_classification,
)
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split

from fastbp import BPClassifier, BPSearchCV
from fastbp.estimators.calibration import fitted_temperature

ROWS, NUMBERS = make_classification(400, 10, n_informative=6, n_classes=3, flip_y=0.2, random_state=0)
X, X_VAL, Y, Y_VAL = train_test_split(ROWS, NUMBERS, test_size=120, random_state=0)
WEIGHTS = np.random.RandomState(0).uniform(0.1, 3, len(Y_VAL))
MANY = make_multilabel_classification(300, 10, n_classes=3, random_state=0)
OWN = {"X_val": X_VAL, "y_val": Y_VAL}


def make(**options):
    settings = {"hidden_layer_sizes": 32, "max_iter": 80, "batch_size": 32, "random_state": 0, "learning_rate_init": 0.01}
    return BPClassifier(**settings | options)


def at(temperature, p):
    """Probabilities at another temperature, from those at 1: powers of the odds."""
    if p.shape[1] > 2:
        powers = p ** (1 / temperature)
        return powers / powers.sum(axis=1, keepdims=True)
    odds = (p[:, 1] / p[:, 0]) ** (1 / temperature)
    return np.stack([1 / (1 + odds), odds / (1 + odds)], axis=1)


def most_probable(loss, n_rows):
    """Temperature by the mean loss of n_rows and by a normal distribution of its logarithm, with deviation 0.5."""

    def surprise(logarithm):
        return n_rows * loss(np.exp(logarithm)) + logarithm**2 / (2 * 0.5**2)

    return np.exp(minimize_scalar(surprise, bounds=(-2, 3), method="bounded", options={"xatol": 1e-8}).x)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "options", [{}, {"solver": "lbfgs", "max_iter": 25}, {"n_restarts": 2}, {"ensemble": True, "n_restarts": 3}]
)
def test_it_is_the_best_on_a_grid(options, n_classes, weighted):
    y, y_val, weights = Y % n_classes, Y_VAL % n_classes, WEIGHTS if weighted else None
    own = {"X_val": X_VAL, "y_val": y_val, "sample_weight_val": weights}
    model = make(calibration="temperature", **options).fit(X, y, **own)
    raw = make(**options).fit(X, y)
    np.testing.assert_array_equal(model.predict(X_VAL), raw.predict(X_VAL))

    def loss(p):
        return log_loss(y_val, p, sample_weight=weights)

    assert model.temperature_ > 1.2
    assert loss(model.predict_proba(X_VAL)) < loss(raw.predict_proba(X_VAL)) - 0.01
    np.testing.assert_allclose(model.predict_proba(X_VAL), at(model.temperature_, raw.predict_proba(X_VAL)), rtol=1e-6, atol=1e-9)
    expected = most_probable(lambda temperature: loss(at(temperature, raw.predict_proba(X_VAL))), len(y_val))
    np.testing.assert_allclose(model.temperature_, expected, rtol=1e-3)
    np.testing.assert_allclose(model.predict_log_proba(X_VAL), np.log(model.predict_proba(X_VAL)))


@pytest.mark.parametrize("seed", range(5))
def test_never_worse_on_the_rows_that_were_set_aside(seed):
    own = train_test_split(*load_digits(return_X_y=True), test_size=0.2, random_state=seed)
    options = {"early_stopping": True, "max_iter": 15, "random_state": seed}
    rows = {"X_val": own[1], "y_val": own[3]}
    losses = [
        log_loss(own[3], make(**options, calibration=kind).fit(own[0], own[2], **rows).predict_proba(own[1]))
        for kind in (None, "temperature")
    ]
    assert losses[1] <= losses[0]


def test_split_rows_and_labels():
    model = make(early_stopping=True, calibration="temperature").fit(X, np.array(["a", "b", "c"])[Y])
    assert model.temperature_ > 0
    labels = make(calibration="temperature").fit(MANY[0][:200], MANY[1][:200], X_val=MANY[0][200:], y_val=MANY[1][200:])
    raw = make().fit(MANY[0][:200], MANY[1][:200])
    y, (p, q) = MANY[1][200:], (model.predict_proba(MANY[0][200:]) for model in (labels, raw))
    assert np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)) > np.mean(y * np.log(q) + (1 - y) * np.log(1 - q))
    np.testing.assert_array_equal(labels.predict(MANY[0]), raw.predict(MANY[0]))


def test_where_nothing_is_better_it_is_one():
    """A network that knows nothing: whatever its logits, they are all the same."""
    weights = [np.zeros((10, 1))], [np.zeros(1)]
    options = {"hidden_layer_sizes": (), "solver": "lbfgs", "max_iter": 1, "alpha": 0.0, "init": weights}
    inputs, y = np.zeros((40, 10)), np.arange(40) % 2
    model = make(**options, calibration="temperature").fit(inputs, y, X_val=inputs, y_val=y)
    assert model.temperature_ == 1.0
    np.testing.assert_allclose(model.predict_proba(inputs), 0.5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_goes_with(dtype):
    options = {"calibration": "temperature", "input_scaling": "standard", "class_weight": "balanced"}
    model = make(**options, max_iter=20).fit(X.astype(dtype), Y, **OWN)
    assert model.predict_proba(X.astype(dtype)).dtype == dtype
    sparse = make(calibration="temperature", max_iter=5).fit(csr_matrix(X.astype(dtype)), Y, X_val=csr_matrix(X_VAL), y_val=Y_VAL)
    dense = make(calibration="temperature", max_iter=5).fit(X.astype(dtype), Y, **OWN)
    np.testing.assert_allclose(sparse.temperature_, dense.temperature_, rtol=1e-3)


def test_a_sure_and_wrong_row_is_seen():
    """Probabilities that have become 0 or 1 in float32 are still told apart by their logits."""
    inputs = np.array([[1.0], [-1.0]] * 30, dtype=np.float32)
    y = np.array([1, 0] * 30)
    y[:3] = 1 - y[:3]
    weights = [np.full((1, 1), 40.0)], [np.zeros(1)]
    options = {"hidden_layer_sizes": (), "solver": "sgd", "learning_rate_init": 1e-12, "max_iter": 1, "init": weights}
    model = make(**options, calibration="temperature").fit(inputs, y, X_val=inputs, y_val=y)
    p = model.predict_proba(inputs)[np.arange(60), (inputs[:, 0] > 0).astype(int)]
    by_rows = most_probable(lambda t: (57 * np.log1p(np.exp(-40 / t)) + 3 * np.log1p(np.exp(40 / t))) / 60, 60)
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-40 / by_rows)), rtol=1e-3)
    assert 57 / 60 < p[0] < 0.99  # nearly as often as it is right


# ---- a few rows alone would mislead


@hypothesis.given(
    st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 5), st.booleans(), st.floats(1e-3, 1e3), st.floats(0.0, 1.0)
)
@hypothesis.settings(max_examples=200, deadline=None)
def test_a_temperature_is_as_far_from_one_as_its_rows_can_pay_for(seed, n_rows, n_outputs, is_multiclass, scale, share_right):
    """What the prior takes for it is at most all log-loss there is. Rows of weight 0 do not count, nor does the weights' unit."""
    random = np.random.RandomState(seed)
    logits = scale * random.standard_normal((n_rows, n_outputs + is_multiclass))
    right = logits.argmax(axis=1)[:, np.newaxis] if is_multiclass else logits > 0
    other = random.randint(n_outputs + 1, size=(n_rows, 1)) if is_multiclass else random.uniform(size=logits.shape) > 0.5
    Y = np.where(random.uniform(size=(n_rows, 1)) < share_right, right, other).astype(float)
    temperature = fitted_temperature(logits, Y, None, is_multiclass)
    if is_multiclass:
        losses = logsumexp(logits, axis=1) - np.take_along_axis(logits, Y.astype(int), axis=1)[:, 0]
    else:
        losses = np.logaddexp(0, np.where(Y > 0.5, -logits, logits)).sum(axis=1)
    assert np.log(temperature) ** 2 / (2 * 0.5**2) <= losses.sum() * (1 + 1e-9) + 1e-12
    weights = random.uniform(0.5, 2.0, n_rows)
    more = np.concatenate([weights, np.zeros(3)])
    noise = random.standard_normal((3, logits.shape[1]))
    both = fitted_temperature(
        np.concatenate([logits, noise]), np.concatenate([Y, np.zeros((3, Y.shape[1]))]), more, is_multiclass
    )
    for unit in (1.0, 1e-6):
        assert fitted_temperature(logits, Y, unit * weights, is_multiclass) == pytest.approx(both, rel=1e-4)


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
def test_rows_not_seen_lose_nothing_by_few_validation_rows(load):
    X, y = load(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    losses = []
    for seed in range(10):
        own, new, y_own, y_new = train_test_split(X, y, random_state=seed, stratify=y)
        raw = make(early_stopping=True, random_state=seed, max_iter=300).fit(own, y_own)
        model = make(early_stopping=True, random_state=seed, max_iter=300, calibration="temperature").fit(own, y_own)
        losses.append([log_loss(y_new, m.predict_proba(new)) for m in (raw, model)])
    before, after = np.mean(losses, axis=0)
    assert after < 1.05 * before


def test_validation_rows_that_are_all_right_make_no_probability_certain():
    y, separable = np.arange(60) % 3, np.eye(3)[np.arange(60) % 3]
    for rows, targets in ((separable, y), (separable, np.eye(3, dtype=int)[y]), (separable, (y == 0).astype(int))):
        model = make(calibration="temperature", max_iter=300).fit(rows, targets, X_val=rows[:12], y_val=targets[:12])
        assert 0.1 < model.temperature_ < 1.0
        assert np.isfinite(model.predict_log_proba(rows)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "calibration needs validation rows"),
        ({"solver": "lbfgs", "early_stopping": "stochastic"}, "calibration needs validation rows"),
        ({"early_stopping": True, "refit": True}, "does not go with refit=True"),
        ({"calibration": "platt"}, "'calibration' parameter"),
    ],
)
def test_what_does_not_go(options, message):
    with pytest.raises(ValueError, match=message):
        make(**{"calibration": "temperature"} | options).fit(X, Y)


def test_further_training_forgets_it():
    model = make(calibration="temperature", max_iter=5).fit(X, Y, **OWN)
    with pytest.raises(ValueError, match="calibration needs validation rows"):
        model.partial_fit(X, Y)
    assert model.set_params(calibration=None).partial_fit(X, Y).temperature_ is None


def test_search():
    grid = {"calibration": [None, "temperature"]}
    options = {"cv": 3, "scoring": "neg_log_loss"}
    ours, theirs = (s(make(early_stopping=True), grid, **options).fit(X, Y) for s in (BPSearchCV, GridSearchCV))
    np.testing.assert_array_equal(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
