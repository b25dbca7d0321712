"""Weights of classes: sample weights of the same values, to the bit, and scikit-learn's own words where they do not go."""

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import make_classification, make_multilabel_classification
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import recall_score
from sklearn.model_selection import GridSearchCV
from sklearn.utils.class_weight import compute_sample_weight

from fastbp import BPClassifier, BPSearchCV

X, Y = make_classification(150, 6, n_informative=4, n_classes=3, weights=[0.7, 0.2], random_state=0)
NAMES = np.array(["common", "less", "rare"])[Y]
WEIGHTS = np.random.RandomState(1).uniform(0.5, 2, len(Y))
X_LABELS, LABELS = make_multilabel_classification(120, 6, n_classes=3, random_state=0)
BY_NAME = {"common": 0.3, "less": 1.7, "rare": 4.1}
PER_LABEL = [{0: 1.3, 1: 2.9}, {0: 0.7, 1: 1.0}, {0: 1.0, 1: 3.3}]


def make(**options):
    return BPClassifier(**{"hidden_layer_sizes": 5, "max_iter": 6, "batch_size": 32, "random_state": 3} | options)


def assert_same_network(one, other):
    for mine, yours in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_array_equal(mine, yours)
    assert one.loss_ == other.loss_


@pytest.mark.parametrize("class_weight", ["balanced", BY_NAME], ids=["balanced", "dict"])
@pytest.mark.parametrize(
    "weights", [None, WEIGHTS, WEIGHTS.astype(np.float32), 2.5], ids=["none", "float64", "float32", "number"]
)
@pytest.mark.parametrize(
    "options",
    [{}, {"solver": "lbfgs"}, {"early_stopping": True}, {"batch_size": 1, "solver": "sgd"}, {"n_restarts": 3}],
    ids=["batches", "lbfgs", "early_stopping", "per_sample", "restarts"],
)
def test_is_sample_weight(options, weights, class_weight):
    of_rows = compute_sample_weight(class_weight, NAMES) * (1.0 if weights is None else weights)
    weighted = make(**options, class_weight=class_weight).fit(X, NAMES, weights)
    assert_same_network(weighted, make(**options).fit(X, NAMES, of_rows))
    plain = make(**options).fit(X, NAMES, weights)
    assert abs(plain.coefs_[0] - weighted.coefs_[0]).max() > 1e-4
    if options.get("early_stopping"):
        assert weighted.validation_scores_ != plain.validation_scores_


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
def test_is_sample_weight_for_every_kind_of_input(container, dtype):
    inputs = container(X.astype(dtype))
    weighted = make(class_weight="balanced").fit(inputs, Y, WEIGHTS)
    assert weighted.coefs_[0].dtype == dtype
    assert_same_network(weighted, make().fit(inputs, Y, WEIGHTS * compute_sample_weight("balanced", Y)))


@pytest.mark.parametrize("class_weight", ["balanced", PER_LABEL], ids=["balanced", "dicts"])
@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
def test_is_sample_weight_for_several_labels(container, class_weight):
    weighted = make(class_weight=class_weight).fit(X_LABELS, container(LABELS))
    assert_same_network(weighted, make().fit(X_LABELS, LABELS, compute_sample_weight(class_weight, LABELS)))


def test_class_that_is_not_named_weighs_one():
    one = make(class_weight={1: 5.0}).fit(X, Y)
    assert_same_network(one, make().fit(X, Y, np.where(Y == 1, 5.0, 1.0)))
    labels = make(class_weight=[{1: 5.0}, {}, {}]).fit(X_LABELS, LABELS)
    assert_same_network(labels, make().fit(X_LABELS, LABELS, np.where(LABELS[:, 0] == 1, 5.0, 1.0)))


def test_balanced_finds_more_of_the_rare():
    inputs, y = make_classification(600, 6, weights=[0.95], flip_y=0.05, class_sep=0.7, random_state=0)
    recalls = [
        recall_score(y, make(max_iter=60, learning_rate_init=0.01, class_weight=w).fit(inputs, y).predict(inputs))
        for w in (None, "balanced")
    ]
    assert recalls[1] > recalls[0] + 0.2


def test_partial_fit():
    """A dict weighs every call; a batch without some of its classes too."""
    model, same, classes = make(class_weight=BY_NAME), make(), np.unique(NAMES)
    for rows in (np.arange(50), np.flatnonzero(NAMES == "common"), np.flatnonzero(NAMES != "common")):
        model.partial_fit(X[rows], NAMES[rows], classes=classes)
        same.partial_fit(X[rows], NAMES[rows], [BY_NAME[name] for name in NAMES[rows]], classes=classes)
    assert_same_network(model, same)
    part = make(class_weight={"rare": 3.0}).partial_fit(X, NAMES, classes=classes)
    rows = np.flatnonzero(NAMES == "common")
    part.partial_fit(X[rows], NAMES[rows])
    none = np.zeros_like(LABELS[:20])
    make(class_weight=[{1: 3.0}, {1: 2.0}, {}]).partial_fit(X_LABELS[:20], none, classes=range(3))


def test_balanced_does_not_go_with_partial_fit():
    classes = np.unique(Y)
    with pytest.raises(ValueError, match="not supported for partial_fit") as theirs:
        SGDClassifier(class_weight="balanced").partial_fit(X, Y, classes=classes)
    with pytest.raises(ValueError, match="not supported for partial_fit") as ours:
        make(class_weight="balanced").partial_fit(X, Y, classes=classes)
    text = str(theirs.value).partition(" In place")[0].replace("use estimate for class weights", "")
    assert str(ours.value).startswith(text[:80])


def test_search_weighs_the_classes_of_each_fold():
    grid = {"class_weight": [None, "balanced", {0: 1.0, 1: 2.0, 2: 9.0}], "hidden_layer_sizes": [3, 5]}
    options = {"cv": 3, "scoring": "balanced_accuracy"}
    ours = BPSearchCV(make(), grid, **options).fit(X, Y)
    theirs = GridSearchCV(make(), grid, **options).fit(X, Y)
    np.testing.assert_array_equal(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])


@pytest.mark.parametrize(
    ("class_weight", "y", "message"),
    [
        ("even", Y, "'class_weight' parameter"),
        (3, Y, "'class_weight' parameter"),
        ([1.0, 2.0], Y, "'class_weight' parameter"),
        ([{0: 1.0}], Y, "for one label"),
        ({0: 1.0}, LABELS[:, :2], "a list of 2 dicts"),
        ([{0: 1.0}], LABELS[:, :2], "a list of 2 dicts"),
        ({0: 1.0, 7: 2.0}, Y, "not in class_weight"),
        ({0: 0.0, 1: 0.0, 2: 0.0}, Y, "non-zero"),
        ({0: np.nan, 1: 1.0, 2: 1.0}, Y, "NaN"),
    ],
)
def test_bad_class_weight(class_weight, y, message):
    with pytest.raises(ValueError, match=message):
        make(class_weight=class_weight).fit(X[: len(y)], y)


def test_given_dict_stays_as_it_is():
    class_weight = {0: 1.0, 2: 3.0}
    model = make(class_weight=class_weight)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        model.fit(X[:120], Y[:120])
    assert clone(model).get_params()["class_weight"] == class_weight == {0: 1.0, 2: 3.0}
