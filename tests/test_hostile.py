"""What must end in an error that says what is wrong, or in the right numbers, and never in a crash: damaged sparse matrices,
attributes that were replaced after the fit, weights without a mean, values beyond all ranges."""

import copy
import math
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor

import fastbp
from fastbp import BPClassifier, BPRegressor, BPSearchCV
from fastbp.estimators.targets import discrete_labels

pytestmark = pytest.mark.filterwarnings("ignore")
RNG = np.random.RandomState(0)
X = RNG.normal(size=(60, 4))
LABELS = np.digitize(X[:, 0], [-0.5, 0.5])
OPTIONS = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0}
CLASSIFIER = BPClassifier(**OPTIONS).fit(X, LABELS)
REGRESSOR = BPRegressor(**OPTIONS).fit(X, X[:, 0])
SPARSE = sp.random(50, 10, 0.3, "csr", random_state=0)
SPARSE_LABELS = np.arange(50) % 2
OF_SPARSE = BPClassifier(**OPTIONS).fit(SPARSE, SPARSE_LABELS)


# Sparse matrices


@settings(max_examples=150, deadline=None)
@given(part=st.sampled_from(["indices", "indptr"]), place=st.integers(0, 10**6), value=st.integers(-(2**31), 2**31 - 1))
def test_an_edited_sparse_matrix_is_refused_or_means_what_scipy_says(part, place, value):
    damaged = SPARSE.copy()
    assert damaged.has_sorted_indices  # scipy remembers that from now on
    array = getattr(damaged, part)
    array[place % len(array)] = value
    try:
        dense = sp.csr_matrix((damaged.data, damaged.indices, damaged.indptr), shape=SPARSE.shape)
        dense.check_format(full_check=True)
        if (dense.indptr[1:] < dense.indptr[:-1]).any():  # scipy overlooks that where nothing seems to be stored, and crashes
            raise ValueError
        dense = dense.toarray()
    except ValueError:
        with pytest.raises(ValueError, match="sparse"):
            OF_SPARSE.predict(damaged)
        with pytest.raises(ValueError, match="sparse"):
            clone(OF_SPARSE).fit(damaged, SPARSE_LABELS)
    else:
        np.testing.assert_allclose(OF_SPARSE.predict_proba(damaged), OF_SPARSE.predict_proba(dense), rtol=1e-9)


@pytest.mark.parametrize("part, length", [("indptr", -5), ("data", 5), ("indices", 5)])
def test_a_sparse_matrix_cut_short_is_refused(part, length):
    damaged = SPARSE.copy()
    setattr(damaged, part, getattr(damaged, part)[:length])
    for action in (lambda: OF_SPARSE.predict(damaged), lambda: clone(OF_SPARSE).fit(damaged, SPARSE_LABELS)):
        with pytest.raises(ValueError, match="sparse"):
            action()


def test_unsorted_indices_with_a_flag_that_says_sorted():
    turned = SPARSE.copy()
    assert turned.has_sorted_indices
    for start, stop in zip(turned.indptr[:-1], turned.indptr[1:], strict=True):
        turned.indices[start:stop] = turned.indices[start:stop][::-1].copy()
        turned.data[start:stop] = turned.data[start:stop][::-1].copy()
    assert turned.has_sorted_indices
    np.testing.assert_array_equal(OF_SPARSE.predict_proba(turned), OF_SPARSE.predict_proba(SPARSE))
    again = clone(OF_SPARSE).fit(turned, SPARSE_LABELS)
    np.testing.assert_array_equal(again.coefs_[0], OF_SPARSE.coefs_[0])


# Attributes replaced after the fit


@settings(max_examples=150, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=0, max_size=3),
    lengths=st.lists(st.integers(0, 8), min_size=0, max_size=3),
    dtype=st.sampled_from(["f8", "f4", "i4", "c16", "O", "U1"]),
)
def test_replaced_weights_are_refused_or_used(shapes, lengths, dtype):
    for fitted in (CLASSIFIER, REGRESSOR):
        model = copy.deepcopy(fitted)
        model.coefs_ = [np.ones(shape).astype(dtype) for shape in shapes]
        model.intercepts_ = [np.ones(n).astype(dtype) for n in lengths]
        sizes = [4, *(shape[1] for shape in shapes)]
        fits = (
            len(shapes) == len(lengths) > 0
            and all(shape == pair for shape, pair in zip(shapes, zip(sizes[:-1], sizes[1:], strict=True), strict=True))
            and lengths == sizes[1:]
            and 0 not in sizes
            and sizes[-1] == model.n_outputs_
            and dtype in ("f8", "f4", "i4")
        )
        methods = [model.predict] + ([model.predict_proba] if fitted is CLASSIFIER else [])
        for method in methods:
            if fits:
                layers = X
                for W, b in zip(model.coefs_, model.intercepts_, strict=True):
                    layers = np.maximum(layers, 0) if layers is not X else layers
                    layers = layers @ W + b
                if fitted is REGRESSOR:
                    np.testing.assert_allclose(method(X), layers[:, 0], rtol=1e-4)
                else:
                    method(X)
            else:
                with pytest.raises((ValueError, TypeError), match=r"coefs|activation names"):
                    method(X)
        if not fits:
            with pytest.raises((ValueError, TypeError)):
                model.partial_fit(X, LABELS if fitted is CLASSIFIER else X[:, 0])


@pytest.mark.parametrize("coefs", [None, 3, "abc", [None, None], [[1.0], [2.0]], ({}, {})])
def test_weights_of_wrong_kinds_are_named(coefs):
    model = copy.deepcopy(CLASSIFIER)
    model.coefs_ = coefs
    with pytest.raises((ValueError, TypeError), match="coefs"):
        model.predict(X)
    with pytest.raises((ValueError, TypeError), match=r"coefs|init"):
        BPClassifier(init=(coefs, coefs), max_iter=1).fit(X, LABELS)


@pytest.mark.parametrize(
    "name, value, error",
    [
        ("n_threads", -1, "n_threads"),
        ("n_threads", 0, "n_threads"),
        ("n_threads", 2.5, "n_threads"),
        ("activation", "no such", "activation"),
        ("activation", ["relu"] * 3, "activation"),
        ("out_activation_", "no such", "activation"),
    ],
)
def test_parameters_changed_after_the_fit_are_checked(name, value, error):
    model = copy.deepcopy(CLASSIFIER)
    setattr(model, name, value)
    for method in (model.predict, model.predict_proba, model.predict_log_proba, lambda X: model.score(X, LABELS)):
        with pytest.raises(ValueError, match=error):
            method(X)


def test_a_loss_changed_after_the_fit_is_checked():
    model = copy.deepcopy(REGRESSOR)
    for loss, error in [("no such", "loss"), (None, "loss"), ("poisson", "poisson")]:
        model.loss = loss
        with pytest.raises(ValueError, match=error):
            model.predict(X)


def test_any_number_of_threads_gives_the_same_numbers():
    model = copy.deepcopy(CLASSIFIER).set_params(n_threads=10**9)
    np.testing.assert_array_equal(model.predict_proba(X), CLASSIFIER.predict_proba(X))
    np.testing.assert_array_equal(clone(model).fit(X, LABELS).coefs_[0], CLASSIFIER.coefs_[0])


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("name", ["max_iter", "batch_size", "max_fun", "n_iter_no_change"])
def test_counts_beyond_all_ranges_are_as_good_as_endless(solver, name):
    options = {**OPTIONS, "tol": 1e9, "n_iter_no_change": 1, "max_iter": 9, "solver": solver}
    huge = BPClassifier(**{**options, name: 10**30}).fit(X, LABELS)
    large = BPClassifier(**{**options, name: 10**6}).fit(X, LABELS)
    np.testing.assert_array_equal(huge.coefs_[0], large.coefs_[0])


@pytest.mark.parametrize("name", ["alpha", "learning_rate_init", "tol", "epsilon", "init_scale", "n_restarts"])
def test_numbers_beyond_all_ranges_are_named(name):
    with pytest.raises(ValueError, match=f"'{name}' parameter of BPClassifier"):
        BPClassifier(**{name: 10**400}).fit(X, LABELS)


@pytest.mark.parametrize("sizes", [(10**30,), "9" * 30, (2**52, 2**52)])
def test_layers_beyond_all_memory_are_named(sizes):
    with pytest.raises((ValueError, MemoryError), match=r"hidden_layer_sizes|units"):
        BPClassifier(hidden_layer_sizes=sizes).fit(X, LABELS)


@pytest.mark.parametrize("kind", [BPClassifier, BPRegressor])
def test_unknown_parameters_name_the_class(kind):
    with pytest.raises(TypeError, match=rf"{kind.__name__}\.__init__\(\) got an unexpected keyword argument 'units'"):
        kind(units=3)


# Sample weights


def signed(share, seed=0):
    rng = np.random.RandomState(seed)
    return np.where(rng.rand(len(X)) < share, -1, 1) * rng.uniform(0.5, 1.5, len(X))


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("weights", [signed(0.3), signed(0.45), np.full(len(X), -1.0)], ids=["30 %", "45 %", "all"])
@pytest.mark.parametrize("pair", [(BPClassifier, MLPClassifier), (BPRegressor, MLPRegressor)], ids=["c", "r"])
def test_negative_weights_as_scikit_learn_has_them(pair, weights, solver):
    y = LABELS if pair[0] is BPClassifier else X[:, 0]
    options = {**OPTIONS, "solver": solver, "batch_size": 20, "learning_rate_init": 0.01, "activation": "tanh"}
    ours, theirs = (kind(**options).fit(X, y, sample_weight=weights) for kind in pair)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-6)
    for own, other in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-8)


def test_weights_that_cancel_out_are_refused():
    weights = np.tile([1.0, -1.0], len(X) // 2)
    options = {**OPTIONS, "batch_size": 2, "shuffle": False}
    for solver in ("adam", "sgd", "lbfgs"):
        for kind in (BPClassifier, MLPClassifier):
            with pytest.raises((ValueError, ZeroDivisionError), match="sum to zero"):
                kind(**options, solver=solver).fit(X, LABELS, sample_weight=weights)


def test_rows_of_weight_zero_are_as_good_as_gone():
    weights = np.ones(len(X))
    weights[20:40] = 0  # a batch of nothing else, which makes no step
    ours = BPClassifier(**OPTIONS, batch_size=20, shuffle=False).fit(X, LABELS, sample_weight=weights)
    kept = np.flatnonzero(weights)
    rest = BPClassifier(**OPTIONS, batch_size=20, shuffle=False).fit(X[kept], LABELS[kept])
    np.testing.assert_allclose(ours.coefs_[0], rest.coefs_[0], rtol=1e-3)


def test_weights_without_a_mean_are_refused_by_name():
    y = (X[:, 0] > 0).astype(int)
    for weights, error in [
        (np.zeros(len(X)), "at least one non-zero"),
        (np.ones((len(X), 2)), "1D array or scalar"),
        (np.full(len(X), np.nan), "sample_weight contains NaN"),
    ]:
        with pytest.raises(ValueError, match=error):
            BPClassifier(**OPTIONS).fit(X, y, sample_weight=weights)
        with pytest.raises(ValueError, match=error):
            arguments = CLASSIFIER.coefs_, CLASSIFIER.intercepts_, X, LABELS
            fastbp.gradients(*arguments, output_activation="softmax", loss="log_loss", sample_weight=weights)
    random_state = np.random.RandomState(3)
    model = BPClassifier(**{**OPTIONS, "random_state": random_state}, early_stopping=True)
    probe = copy.deepcopy(model).fit(X, y)
    assert probe.validation_scores_
    weights = np.zeros(len(X))
    with pytest.raises(ValueError, match="rows that validate sum to zero"):
        for row in range(len(X)):  # one weight at a time: in most splits it is not among those set aside
            weights[:] = 0
            weights[row] = 1
            clone(model).set_params(random_state=row).fit(X, y, sample_weight=weights)


# Targets


@pytest.mark.parametrize(
    "loss, output, y",
    [
        ("binary_log_loss", "logistic", [-1, 1]),
        ("binary_log_loss", "logistic", [1, 2]),
        ("binary_log_loss", "logistic", [0.5, 7]),
        ("poisson", "exp", [-3, 1]),
    ],
)
def test_targets_outside_of_the_loss_are_refused(loss, output, y):
    with pytest.raises(ValueError, match="out of the valid range"):
        fastbp.gradients([[[1.0], [2.0]]], [[0.5]], X[:2, :2], y, activation=[], output_activation=output, loss=loss)


@pytest.mark.parametrize("unit", ["datetime64[D]", "datetime64[ns]", "timedelta64[h]"])
def test_dates_are_no_numbers(unit):
    pandas = pytest.importorskip("pandas")
    dates = np.arange(len(X)).astype(unit)
    for y in (dates, pandas.Series(dates), pandas.DataFrame({"when": dates})):
        with pytest.raises((ValueError, TypeError)):
            BPRegressor(**OPTIONS).fit(X, y)
        with pytest.raises((ValueError, TypeError)):
            BPSearchCV(BPRegressor(**OPTIONS), {"alpha": [0.1]}, cv=2, error_score="raise").fit(X, y)


@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.integers(0, 5000), min_size=1, max_size=30), dtype=st.sampled_from(["u1", "i2", "i4", "i8", "u8"]))
def test_labels_are_those_of_numpy(values, dtype):
    y = np.array(values).astype(dtype)
    for own, other in zip(discrete_labels(y), np.unique(y, return_inverse=True), strict=True):
        np.testing.assert_array_equal(own, other)
    assert discrete_labels(y)[0].dtype == dtype


# The optimizer's state


@pytest.mark.parametrize("solver", ["adam", "sgd", "rmsprop"])
def test_blocks_of_two_dtypes_in_turns_keep_the_optimizer(solver):
    options = {**OPTIONS, "solver": solver, "activation": "tanh", "shuffle": False, "learning_rate_init": 0.01}
    mixed, pure = BPRegressor(**options), BPRegressor(**options)
    for block in range(8):
        dtype = np.float32 if block % 2 else np.float64
        mixed.partial_fit(X.astype(dtype), X[:, 0].astype(dtype))
        pure.partial_fit(X, X[:, 0])
    for own, other in zip(mixed.coefs_, pure.coefs_, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-3, atol=1e-4)


def test_weights_of_other_layers_get_new_moments():
    model = BPRegressor(**{**OPTIONS, "hidden_layer_sizes": (6,)})
    for _ in range(3):
        model.partial_fit(X, X[:, 0])
    turned = copy.deepcopy(model).set_params(hidden_layer_sizes=(3, 3))
    start = BPRegressor(**{**OPTIONS, "hidden_layer_sizes": (3, 3)}).fit(X, X[:, 0])
    turned.coefs_, turned.intercepts_ = copy.deepcopy((start.coefs_, start.intercepts_))
    expected = copy.deepcopy(start).compact()
    for estimator in (turned, expected):
        estimator.set_params(random_state=1).partial_fit(X, X[:, 0])
    np.testing.assert_array_equal(turned.coefs_[0], expected.coefs_[0])


# Divergence


@pytest.mark.parametrize("batch_size", [60, 7, 1])
@pytest.mark.parametrize("rate", [1e3, 1e10, 1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_last_finite_weights_are_kept_and_the_epoch_is_right(dtype, rate, batch_size):
    """Against a run epoch by epoch: of full batches the kept weights are those of the last epoch in which all were finite."""
    options = {"hidden_layer_sizes": (4,), "activation": "identity", "solver": "sgd", "momentum": 0.0, "shuffle": False}
    options |= {"learning_rate_init": rate, "batch_size": batch_size, "random_state": 0, "tol": 0.0, "n_iter_no_change": math.inf}
    inputs, y = X.astype(dtype), X[:, 0].astype(dtype)
    start = BPRegressor(**options).set_params(learning_rate_init=1e-30, max_iter=1).fit(inputs, y)
    stepper = BPRegressor(**options, init=copy.deepcopy((start.coefs_, start.intercepts_)))
    finite, epoch, message = copy.deepcopy((start.coefs_, start.intercepts_)), 0, ""
    while not message:
        epoch += 1
        try:
            stepper.partial_fit(inputs, y)
            finite = copy.deepcopy((stepper.coefs_, stepper.intercepts_))
        except ValueError as error:
            message = str(error)
    assert f"in epoch {epoch}." in message
    model = BPRegressor(**options, init=copy.deepcopy((start.coefs_, start.intercepts_)), max_iter=1000)
    with pytest.raises(ValueError, match=rf"in epoch {epoch}\."):
        model.fit(inputs, y)
    own = (*model.coefs_, *model.intercepts_)
    assert all(np.isfinite(array).all() for array in own)
    if batch_size == len(X):
        for array, other in zip(own, (*finite[0], *finite[1]), strict=True):
            np.testing.assert_array_equal(array, other)
    elif epoch > 1:  # in the middle of an epoch they may be later ones
        assert not np.array_equal(own[0], start.coefs_[0])


# Searches


@pytest.mark.parametrize(
    "kind, y, cv",
    [
        (BPClassifier, sp.csr_matrix((X > 0).astype(int)), 3),
        (BPClassifier, LABELS, [(np.arange(0), np.arange(40, 60)), (np.arange(40), np.arange(40, 60))]),
        (BPRegressor, X[:, 0], [(np.arange(0), np.arange(40, 60)), (np.arange(40), np.arange(40, 60))]),
        (BPClassifier, LABELS, [(np.arange(40), np.arange(0))]),
        (BPClassifier, LABELS, [(np.arange(60) < 40, np.arange(60) >= 40)]),
    ],
    ids=["sparse labels", "empty training fold", "empty training fold, numbers", "empty test fold", "masks"],
)
def test_searches_over_odd_folds_and_targets_are_grid_searches(kind, y, cv):
    grid = {"hidden_layer_sizes": [(3,), (4,)]}
    scores = []
    for Search in (GridSearchCV, BPSearchCV):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            search = Search(kind(max_iter=3, random_state=0), grid, cv=cv, refit=False).fit(X, y)
        scores.append(search.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("rows", [np.arange(40)[:, np.newaxis], np.arange(40.0)])
def test_folds_that_are_no_row_numbers_are_refused_by_name(rows):
    with pytest.raises(IndexError, match="cv must give row indices"):
        BPSearchCV(BPClassifier(**OPTIONS), {"alpha": [0.1]}, cv=[(rows, np.arange(40, 60))]).fit(X, LABELS)


def test_a_diverged_regressor_scores_nan_in_a_search():
    model = BPRegressor(hidden_layer_sizes=3, max_iter=20, random_state=0, solver="sgd", momentum=0, activation="identity")
    for scoring in (None, "neg_mean_squared_error", "neg_mean_absolute_error"):
        scores = []
        for Search in (GridSearchCV, BPSearchCV):
            search = Search(model, {"learning_rate_init": [1e-3, 1e3, 1e10]}, cv=3, refit=False, scoring=scoring)
            scores.append(search.fit(X, 1e3 * X[:, 0]).cv_results_["mean_test_score"])
        np.testing.assert_array_equal(*scores)
        assert np.isnan(scores[0][1:]).all()
