"""All starts kept: the mean of single networks' outputs, in one object."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.model_selection import GridSearchCV, train_test_split

from fastbp import BPClassifier, BPRegressor, BPSearchCV

X, Y = load_wine(return_X_y=True)
REAL, T = load_diabetes(return_X_y=True, scaled=False)


def make(estimator=BPClassifier, **options):
    settings = {"hidden_layer_sizes": 6, "max_iter": 20, "random_state": 7, "input_scaling": "standard", "n_restarts": 3}
    return estimator(**settings | options)


def singles(**options):
    """The fits of the starts alone, from the seeds that n_restarts takes."""
    seeds = np.random.RandomState(7).randint(2**31 - 1, size=2)
    return [make(**options, random_state=seed, n_restarts=1) for seed in (7, *seeds)]


@pytest.mark.parametrize("options", [{}, {"solver": "lbfgs"}, {"class_weight": "balanced"}, {"batch_size": 1, "solver": "sgd"}])
def test_probabilities_are_the_mean(options):
    model, members = make(ensemble=True, **options).fit(X, Y), [single.fit(X, Y) for single in singles(**options)]
    mean = np.mean([single.predict_proba(X) for single in members], axis=0)
    np.testing.assert_allclose(model.predict_proba(X), mean, rtol=1e-12)
    np.testing.assert_array_equal(model.predict(X), mean.argmax(axis=1))
    assert len(model.estimators_) == 3
    for mine, single in zip(model.estimators_, members, strict=True):
        np.testing.assert_array_equal(mine.predict_proba(X), single.predict_proba(X))
        assert mine.loss_ == single.loss_
    best = int(np.argmin(model.restart_losses_))
    assert model.estimators_[best].coefs_[0] is model.coefs_[0]
    np.testing.assert_array_equal(model.coefs_[0], make(**options).fit(X, Y).coefs_[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("target_scaling", [None, "standard"])
def test_predictions_are_the_mean(target_scaling, dtype):
    options = {"estimator": BPRegressor, "target_scaling": target_scaling}
    inputs, y = REAL.astype(dtype), np.stack([T, -2 * T], axis=1)
    model, members = make(ensemble=True, **options).fit(inputs, y), [single.fit(inputs, y) for single in singles(**options)]
    mean = np.mean([single.predict(inputs) for single in members], axis=0)
    np.testing.assert_allclose(model.predict(inputs), mean, rtol=1e-4 if dtype == np.float32 else 1e-12)
    assert model.predict(inputs).dtype == dtype
    np.testing.assert_allclose(model.fold_scaling().predict(inputs), mean, rtol=1e-2 if dtype == np.float32 else 1e-8)


def test_early_stopping_shares_its_rows():
    model = make(ensemble=True, early_stopping=True, scoring="loss").fit(X, Y)
    assert len({len(set(member.validation_scores_)) for member in model.estimators_}) >= 1
    kept = make(early_stopping=True, scoring="loss").fit(X, Y)
    assert model.best_validation_score_ == max(member.best_validation_score_ for member in model.estimators_)
    assert kept.best_validation_score_ == model.best_validation_score_


@pytest.mark.parametrize("n_threads", [2, 3])
def test_same_bits_for_any_number_of_threads(n_threads):
    one, other = (make(ensemble=True, n_threads=n).fit(X, Y) for n in (1, n_threads))
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def test_one_pickle():
    """About as large as its networks, and the same in another process."""
    model = make(ensemble=True, hidden_layer_sizes=200, solver="adam").fit(X, Y)
    text = pickle.dumps(model.compact())
    n_bytes = 8 * sum(W.size for W in model.coefs_)
    assert 3 * n_bytes < len(text) < 3.5 * n_bytes
    loaded = pickle.loads(text)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    before = loaded.predict_proba(X)
    np.testing.assert_allclose(loaded.fold_scaling().predict_proba(X), before, rtol=1e-7, atol=1e-12)


def test_sparse_labels_and_several_labels():
    labels = np.stack([Y > 0, Y > 1], axis=1).astype(int)
    inputs = csr_matrix(X)
    model = make(ensemble=True).fit(inputs, labels)
    mean = np.mean([member.predict_proba(inputs) for member in model.estimators_], axis=0)
    np.testing.assert_allclose(model.predict_proba(inputs), mean, rtol=1e-12)
    np.testing.assert_array_equal(model.predict(inputs), mean > 0.5)
    two = make(ensemble=True).fit(X, Y > 0)
    np.testing.assert_array_equal(two.predict(X), two.predict_proba(X)[:, 1] > 0.5)


def test_what_does_not_go():
    model = make(ensemble=True).fit(X, Y)
    with pytest.raises(ValueError, match="partial_fit or warm_start"):
        model.partial_fit(X, Y)
    with pytest.raises(ValueError, match="partial_fit or warm_start"):
        model.set_params(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="ensemble=True"):
        make(ensemble=True, early_stopping=True, refit=True).fit(X, Y)
    with pytest.raises(ValueError, match="'ensemble' parameter"):
        make(ensemble="yes").fit(X, Y)
    with pytest.raises(ValueError, match="one of those in estimators_"):
        model.input_gradients(X)
    assert model.set_params(warm_start=False, ensemble=False).fit(X, Y).estimators_ is None


def test_a_start_that_diverges_is_left_out():
    options = {"activation": "leaky_relu", "solver": "sgd", "momentum": 0, "learning_rate_init": 0.7, "tol": 0}
    model = make(BPRegressor, ensemble=True, n_restarts=6, **options).fit(X, Y)
    has_diverged = np.isnan(model.restart_losses_)
    assert 0 < has_diverged.sum() < 6
    mean = np.mean([member.predict(X) for member in model.estimators_], axis=0)
    np.testing.assert_allclose(model.predict(X), mean, rtol=1e-12)
    assert len(model.estimators_) == 6 - has_diverged.sum()
    assert [member.loss_ for member in model.estimators_] == model.restart_losses_[~has_diverged].tolist()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "data"), [(BPRegressor, (REAL, T)), (BPClassifier, load_breast_cancer(return_X_y=True)), (BPClassifier, (X, Y))]
)
def test_no_worse_than_the_best_single_start(estimator, data):
    """The start that is best by its loss, over some splits."""
    options = {"estimator": estimator, "n_restarts": 5, "max_iter": 60, "hidden_layer_sizes": 32, "learning_rate_init": 0.01}
    if estimator is BPRegressor:
        options["target_scaling"] = "standard"
    scores = []
    for seed in range(4):
        train, test, y_train, y_test = train_test_split(*data, random_state=seed)
        both = [make(**options, ensemble=ensemble).fit(train, y_train).score(test, y_test) for ensemble in (True, False)]
        scores.append(both)
    together, single = np.mean(scores, axis=0)
    assert together >= single


def test_search():
    grid = {"ensemble": [False, True], "n_restarts": [1, 3]}
    ours, theirs = (search(make(), grid, cv=3).fit(X, Y) for search in (BPSearchCV, GridSearchCV))
    np.testing.assert_array_equal(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
