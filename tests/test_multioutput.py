"""Several columns of classes at once, each with a softmax of its own, against PyTorch, finite differences and scikit-learn."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import approx_fprime
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.class_weight import compute_sample_weight

import fastbp
from fastbp import BPClassifier, BPSearchCV, BPTabularClassifier
from fastbp.estimators.explain import importances_of
from fastbp.training.network import make_network, pack_parameters, parameter_views
from fastbp.training.objective import gradients_at
from fastbp.training.problem import Problem

RNG = np.random.RandomState(0)
X = RNG.normal(size=(160, 5))
NUMBERS = np.column_stack([np.digitize(X[:, 0], [-0.5, 0.5]), np.digitize(X[:, 1] * X[:, 2], [-0.6, 0.0, 0.6]), X[:, 3] > 0])
LABELS = np.column_stack([np.array(["a", "b", "c", "d"])[column] for column in NUMBERS.T])
GROUPS = 3, 4, 2
BOUNDS = np.cumsum((0, *GROUPS))


def make(**parameters):
    settings = {"hidden_layer_sizes": (16,), "activation": "tanh", "max_iter": 30, "random_state": 0, "tol": 0.0}
    return BPClassifier(**settings | {"n_iter_no_change": 10**6} | parameters)


def grouped_log_loss(logits, codes):
    """Sum of the log-losses of the columns, for each row."""
    total = np.zeros(len(logits))
    for column, (first, stop) in enumerate(zip(BOUNDS[:-1], BOUNDS[1:], strict=True)):
        z = logits[:, first:stop]
        total += np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), codes[:, column]]
    return total


# ---- numbers


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("batch_size", [1, 32, 160])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_it_trains_as_pytorch_does(dtype, batch_size, label_smoothing):
    """One trunk, the sum of a cross-entropy per column, plain gradient descent."""
    torch = pytest.importorskip("torch")
    rate, n_epochs = 0.02, 3
    weights = [RNG.normal(size=(5, 6)) * 0.4, RNG.normal(size=(6, 9)) * 0.4]
    biases = [RNG.normal(size=6) * 0.1, RNG.normal(size=9) * 0.1]
    model = make(
        hidden_layer_sizes=6, solver="sgd", momentum=0.0, alpha=0.0, learning_rate_init=rate, batch_size=batch_size,
        shuffle=False, max_iter=n_epochs, init=(weights, biases), label_smoothing=label_smoothing,
    ).fit(X.astype(dtype), LABELS)  # fmt: skip

    parameters = [torch.tensor(array, dtype=torch.float64, requires_grad=True) for pair in zip(weights, biases) for array in pair]
    rows, codes = torch.tensor(X.astype(dtype).astype(np.float64)), torch.tensor(NUMBERS, dtype=torch.long)
    for _ in range(n_epochs):
        for start in range(0, len(X), batch_size):
            part = slice(start, start + batch_size)
            z = torch.tanh(rows[part] @ parameters[0] + parameters[1]) @ parameters[2] + parameters[3]
            loss = sum(
                torch.nn.functional.cross_entropy(z[:, first:stop], codes[part, k], label_smoothing=label_smoothing)
                for k, (first, stop) in enumerate(zip(BOUNDS[:-1], BOUNDS[1:], strict=True))
            )
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                with torch.no_grad():
                    parameter -= rate * gradient
    close = {"rtol": 1e-9, "atol": 1e-12} if dtype == np.float64 else {"rtol": 2e-4, "atol": 1e-5}
    for actual, expected in zip([*model.coefs_, *model.intercepts_], [*parameters[::2], *parameters[1::2]], strict=True):
        np.testing.assert_allclose(actual, expected.detach().numpy(), **close)


def test_gradient_is_that_of_the_sum_of_log_losses():
    """By finite differences of plain numpy, with sample weights."""
    coefs, intercepts = [RNG.normal(size=(5, 9))], [RNG.normal(size=9)]
    weights = RNG.uniform(0.5, 2, 20)
    network = make_network((5, 9), (), "softmax", "multioutput_log_loss", groups=GROUPS)
    targets = np.hstack([np.eye(n)[column] for n, column in zip(GROUPS, NUMBERS[:20].T, strict=True)])
    params = pack_parameters(network, coefs, intercepts, np.float64)
    value, gradient, _ = gradients_at(network, params, Problem(X[:20], targets, weights), alpha=0.0)

    def loss(values):
        return np.average(grouped_log_loss(X[:20] @ values.reshape(5, 9) + intercepts[0], NUMBERS[:20]), weights=weights)

    slopes = parameter_views(network, gradient)[0][0]
    assert value == pytest.approx(loss(coefs[0].ravel()), rel=1e-12)
    np.testing.assert_allclose(slopes.ravel(), approx_fprime(coefs[0].ravel(), loss, 1e-6), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_probabilities_are_a_softmax_per_column(dtype):
    """Of logits of any size too."""
    model = make(max_iter=5).fit(X.astype(dtype), LABELS)
    for scale in (1.0, 100.0, 1e4):
        model.coefs_[-1][...] *= scale
        hidden = np.tanh(X.astype(dtype) @ model.coefs_[0] + model.intercepts_[0])
        z = (hidden @ model.coefs_[1] + model.intercepts_[1]).astype(np.float64)
        parts = model.predict_proba(X.astype(dtype))
        assert [part.shape for part in parts] == [(160, n) for n in GROUPS]
        for first, stop, part in zip(BOUNDS[:-1], BOUNDS[1:], parts, strict=True):
            powers = np.exp(z[:, first:stop] - z[:, first:stop].max(axis=1, keepdims=True))
            expected = powers / powers.sum(axis=1, keepdims=True)
            is_close = np.abs(part - expected) < (1e-10 if dtype == np.float64 else 1e-3)
            assert part.dtype == dtype
            assert is_close.mean() > (0.999 if scale == 1.0 or dtype == np.float64 else 0.95)


def test_a_nan_stays_in_its_column_of_classes():
    model = make(max_iter=2).fit(X, LABELS)
    model.intercepts_[-1][3] = np.nan
    first, second, third = model.predict_proba(X)
    assert np.isnan(second).all()
    assert np.isfinite(first).all()
    assert np.isfinite(third).all()


def test_two_columns_alike_are_twice_the_loss_of_one():
    """With half the rate, and so the same steps, both columns become what one column does."""
    settings = {"solver": "sgd", "momentum": 0.0, "alpha": 0.0, "shuffle": False, "max_iter": 5, "hidden_layer_sizes": 6}
    W, V = RNG.normal(size=(5, 6)), RNG.normal(size=(6, 4))
    b, c = np.zeros(6), np.zeros(4)
    one = make(**settings, learning_rate_init=0.1, init=([W, V], [b, c])).fit(X, LABELS[:, 1])
    both = make(**settings, learning_rate_init=0.1, init=([W, np.hstack([V, V])], [b, np.zeros(8)])).fit(X, LABELS[:, [1, 1]])
    np.testing.assert_allclose(both.loss_curve_[0] / one.loss_curve_[0], 2.0, rtol=1e-12)
    np.testing.assert_allclose(*both.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_same_bits_for_any_number_of_threads(n_threads):
    def weights(n):
        return make(n_threads=n, batch_size=160, max_iter=10).fit(X, LABELS).coefs_

    for one, other in zip(weights(1), weights(n_threads), strict=True):
        np.testing.assert_array_equal(one, other)


# ---- the face, as scikit-learn's forests have it


def test_what_it_returns_is_what_forests_return():
    forest = RandomForestClassifier(10, random_state=0).fit(X, LABELS)
    model = make(solver="lbfgs", max_iter=300).fit(X, LABELS)
    assert model.predict(X).shape == forest.predict(X).shape
    assert model.predict(X).dtype == forest.predict(X).dtype
    for own, other in zip(model.classes_, forest.classes_, strict=True):
        np.testing.assert_array_equal(own, other)
    with np.errstate(divide="ignore"):  # the logarithm of a forest's zeros
        logarithms = forest.predict_log_proba(X)
    for own, other in zip(model.predict_log_proba(X), logarithms, strict=True):
        assert own.shape == other.shape
        np.testing.assert_allclose(np.exp(own).sum(axis=1), 1.0)
    for column, (labels, part) in enumerate(zip(model.classes_, model.predict_proba(X), strict=True)):
        np.testing.assert_array_equal(model.predict(X)[:, column], labels[part.argmax(axis=1)])
    assert (model.predict(X) == LABELS).mean() > 0.95
    tags = [estimator.__sklearn_tags__() for estimator in (model, forest)]
    assert tags[0].target_tags.multi_output == tags[1].target_tags.multi_output is True


@pytest.mark.parametrize("kind", ["numbers", "floats", "objects", "frame"])
def test_labels_of_any_kind(kind):
    pandas = pytest.importorskip("pandas")
    y = {
        "numbers": NUMBERS,
        "floats": NUMBERS.astype(float),
        "objects": LABELS.astype(object),
        "frame": pandas.DataFrame(LABELS),
    }[kind]
    model = make(solver="lbfgs", max_iter=300).fit(X, y)
    assert (model.predict(X) == np.asarray(y)).mean() > 0.95


def test_score_counts_rows_that_are_all_right():
    for y in (NUMBERS, LABELS, pd.DataFrame(LABELS)):
        network = make().fit(X, y)
        weights = RNG.uniform(size=len(X))
        is_right = (network.predict(X) == np.asarray(y)).all(axis=1)
        assert 0.0 < is_right.mean() < 1.0
        assert network.score(X, y) == pytest.approx(is_right.mean())
        assert network.score(X, y, weights) == pytest.approx(weights[is_right].sum() / weights.sum())
    numbers = make().fit(X, NUMBERS)
    assert numbers.score(X, csr_matrix(NUMBERS)) == numbers.score(X, NUMBERS)
    gaps = np.where(NUMBERS == 0, np.nan, NUMBERS)
    for y, weights in ((NUMBERS[:, 0], None), (NUMBERS[:, :1], None), (NUMBERS[:1], None), (gaps, None), (NUMBERS, [1.0, 2.0])):
        with pytest.raises(ValueError):
            numbers.score(X, y, weights)


def test_zeros_and_ones_are_labels_still():
    model = make().fit(X, NUMBERS > 0)
    assert model.out_activation_ == "logistic"
    assert isinstance(model.predict_proba(X), np.ndarray)


def test_a_column_of_one_class_only():
    y = LABELS.copy()
    y[:, 2] = "a"
    model = make().fit(X, y)
    assert model.classes_[2].tolist() == ["a"]
    assert (model.predict_proba(X)[2] == 1.0).all()


# ---- with everything else


@pytest.mark.parametrize("class_weight", ["balanced", [{"a": 2.0, "b": 0.5, "c": 3.0}, {"d": 4.0}, {"a": 1.0, "b": 5.0}]])
def test_class_weight_is_sample_weight(class_weight):
    own = RNG.uniform(0.5, 2, len(X))
    full = class_weight
    if not isinstance(class_weight, str):  # scikit-learn wants them all
        full = [dict.fromkeys(np.unique(c), 1.0) | part for c, part in zip(LABELS.T, class_weight, strict=True)]
    model = make(class_weight=class_weight).fit(X, LABELS, own)
    other = make().fit(X, LABELS, compute_sample_weight(full, LABELS) * own)
    for one, two in zip(model.coefs_, other.coefs_, strict=True):
        np.testing.assert_array_equal(one, two)


def test_sample_weight_is_repetition():
    counts = RNG.randint(0, 3, len(X))
    settings = {"solver": "lbfgs", "max_iter": 20}
    model = make(**settings).fit(X, LABELS, counts.astype(float))
    rows = np.repeat(np.arange(len(X)), counts)
    other = make(**settings).fit(X[rows], LABELS[rows])
    np.testing.assert_allclose(model.coefs_[0], other.coefs_[0], rtol=1e-5, atol=1e-7)


def test_sparse_rows():
    thin = np.where(np.abs(X) > 0.5, X, 0.0)
    for one, two in zip(make().fit(thin, LABELS).coefs_, make().fit(csr_matrix(thin), LABELS).coefs_, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12)


def test_partial_fit_goes_the_way_of_fit():
    """Even where a part of the rows has but zeros and ones, or lacks a class."""
    classes = [np.unique(column) for column in NUMBERS.T]
    settings = {"shuffle": False, "batch_size": 40, "max_iter": 3}
    whole, parts = make(**settings).fit(X, NUMBERS), make(**settings)
    for _ in range(3):
        parts.partial_fit(X, NUMBERS, classes=classes)
    np.testing.assert_array_equal(whole.coefs_[0], parts.coefs_[0])
    few = (NUMBERS < 2).all(axis=1)
    parts.partial_fit(X[few], NUMBERS[few])
    assert [len(labels) for labels in parts.classes_] == list(GROUPS)
    with pytest.raises(ValueError, match="not the same as on last call"):
        parts.partial_fit(X, NUMBERS, classes=classes[:2])
    with pytest.raises(ValueError, match="Column 1 of y has the classes"):
        parts.partial_fit(X, NUMBERS + [0, 1, 0])
    with pytest.raises(ValueError, match="2 columns of classes"):
        parts.partial_fit(X, NUMBERS[:, :2])
    with pytest.raises(ValueError, match="classes must be passed"):
        make().partial_fit(X, NUMBERS)


COLUMNS = {
    "text": np.array(["a", "b", "c"])[NUMBERS[:, 0]],
    "int": np.array([5, 9, 10, 20])[NUMBERS[:, 1]],  # in another order as texts
    "bool": NUMBERS[:, 2] == 1,
}
FRAMES = {
    "pandas": pd.DataFrame(COLUMNS),
    "numbers first": pd.DataFrame(COLUMNS)[["int", "text", "bool"]],
    "without texts": pd.DataFrame(COLUMNS)[["int", "bool"]],
    "extension dtypes": pd.DataFrame(COLUMNS).astype({"text": "category", "int": "Int64", "bool": "boolean"}),
    "objects": pd.DataFrame(COLUMNS).to_numpy(dtype=object),
}


@pytest.mark.parametrize("y", [pytest.param(y, id=name) for name, y in FRAMES.items()] + ["polars"])
def test_columns_of_several_dtypes_are_encoded_one_by_one(y):
    y = pytest.importorskip("polars").DataFrame(COLUMNS) if isinstance(y, str) else y
    columns = [COLUMNS[name] for name in getattr(y, "columns", COLUMNS)]
    encoders = [LabelEncoder().fit(column) for column in columns]
    codes = np.column_stack([encoder.transform(column) for encoder, column in zip(encoders, columns, strict=True)])
    model, known = make(early_stopping=True, max_iter=5).fit(X, y), make(early_stopping=True, max_iter=5).fit(X, codes)
    np.testing.assert_array_equal(model.coefs_[0], known.coefs_[0])
    assert model.validation_scores_ == known.validation_scores_
    assert model.score(X, y) == known.score(X, codes)
    predicted = zip(encoders, model.classes_, model.predict(X).T, known.predict(X).T, strict=True)
    for encoder, classes, ours, place in predicted:
        assert classes.tolist() == encoder.classes_.tolist()
        assert ours.tolist() == encoder.inverse_transform(place).tolist()
    parts = make().partial_fit(X, y, classes=[encoder.classes_ for encoder in encoders]).partial_fit(X[:9], y[:9])
    assert parts.t_ == 169
    search = BPSearchCV(make(max_iter=3), {"alpha": [1e-3]}, cv=2, refit=False)
    assert search.fit(X, y).best_score_ == search.fit(X, codes).best_score_


@pytest.mark.parametrize("kind", [BPClassifier, BPTabularClassifier])
def test_a_column_that_holds_no_classes_is_named(kind):
    text = COLUMNS["text"]
    for second, message in (X[:, 0], "Column 1 of y: .*continuous"), ([1, "a"] * 80, "Column 1 of y has both texts and other"):
        with pytest.raises(ValueError, match=message):
            kind().fit(X, pd.DataFrame({"a": text, "b": second}))


def test_labels_of_several_dtypes_are_labels():
    y = pd.DataFrame({"a": NUMBERS[:, 0] > 0, "b": NUMBERS[:, 2].astype(int)})
    for model in make(max_iter=3), BPTabularClassifier(max_iter=3, random_state=0):
        expected = model.fit(X, y.to_numpy(dtype=int)).score(X, y.to_numpy(dtype=int))
        assert model.fit(X, y).score(X, y) == expected
        assert model.classes_.tolist() == [0, 1]


def test_warm_start():
    model = make(warm_start=True, max_iter=5).fit(X, LABELS)
    first = model.loss_
    assert model.fit(X, LABELS).loss_ < first
    with pytest.raises(ValueError, match="Column 0 of y"):
        model.fit(X, np.where(LABELS == "c", "b", LABELS))


@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam", "adamw", "rmsprop", "rprop"])
def test_every_solver_lowers_the_loss(solver):
    model = make(solver=solver, max_iter=100, learning_rate_init=0.01).fit(X, LABELS)
    logits = np.log(np.hstack(model.predict_proba(X)))
    assert grouped_log_loss(logits, NUMBERS).mean() < 0.9 * sum(np.log(GROUPS))


def test_early_stopping_counts_rows_that_are_all_right():
    model = make(early_stopping=True, max_iter=20).fit(X[:100], LABELS[:100], X_val=X[100:], y_val=LABELS[100:])
    assert model.best_validation_score_ == (model.predict(X[100:]) == LABELS[100:]).all(axis=1).mean()
    watched = make(max_iter=4).fit(X[:100], LABELS[:100], X_val=X[100:], y_val=LABELS[100:])
    logits = np.log(np.hstack(watched.predict_proba(X[100:])))
    assert watched.validation_loss_curve_[-1] == pytest.approx(grouped_log_loss(logits, NUMBERS[100:]).mean(), rel=1e-9)
    with pytest.raises(ValueError, match="Column 0 of y_val"):
        watched.fit(X, LABELS, X_val=X[:3], y_val=np.full((3, 3), "z"))
    refit = make(early_stopping=True, refit=True, validation_split="random", scoring="loss").fit(X, LABELS)
    assert len(refit.predict_proba(X)) == 3


def test_restarts_and_ensembles():
    model = make(n_restarts=3, ensemble=True).fit(X, LABELS)
    parts = [member.predict_proba(X) for member in model.estimators_]
    for column, part in enumerate(model.predict_proba(X)):
        np.testing.assert_allclose(part, np.mean([member[column] for member in parts], axis=0), rtol=1e-9)
    assert model.predict(X).shape == LABELS.shape


def test_dropout_and_input_scaling():
    model = make(dropout=0.1, input_scaling="standard", max_iter=300, learning_rate_init=0.01).fit(5 + 100 * X, LABELS)
    assert (model.predict(5 + 100 * X) == LABELS).mean() > 0.7


def all_right(y, predicted):
    return (y == predicted).all(axis=1).mean()


def test_searches_find_what_grid_search_finds():
    grid = {"hidden_layer_sizes": [3, 12]}
    ours = BPSearchCV(make(), grid, cv=3).fit(X, LABELS)
    theirs = GridSearchCV(make(), grid, scoring=make_scorer(all_right), cv=3).fit(X, LABELS)
    np.testing.assert_array_equal(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    assert ours.best_params_ == theirs.best_params_


def test_slopes_of_outputs_stay_in_their_column():
    model = make().fit(X, LABELS)
    slopes = model.input_gradients(X[:4])
    for feature in range(5):
        up, down = X[:4].copy(), X[:4].copy()
        up[:, feature] += 1e-5
        down[:, feature] -= 1e-5
        numeric = (np.hstack(model.predict_proba(up)) - np.hstack(model.predict_proba(down))) / 2e-5
        np.testing.assert_allclose(slopes[:, feature], numeric, rtol=1e-4, atol=1e-7)
    importances = importances_of(model, X, None)
    model.intercepts_[-1][:3] += 7.0
    model.coefs_[-1][:, :3] += RNG.normal(size=(16, 1))  # the same for all classes of a column, which changes nothing
    np.testing.assert_allclose(importances_of(model, X, None), importances, rtol=1e-9)


def test_pruned_network_predicts_alike():
    model = make(hidden_layer_sizes=24, max_iter=100).fit(X, LABELS)
    model.coefs_[0][:, 18:], model.intercepts_[0][18:] = model.coefs_[0][:, :6], model.intercepts_[0][:6]  # which say it twice
    smaller = model.pruned(X, tolerance=0.05)
    assert len(smaller.intercepts_[0]) <= 18
    for one, two in zip(model.predict_proba(X), smaller.predict_proba(X), strict=True):
        assert np.sqrt(((one - two) ** 2).mean()) < 0.05


def test_copies_and_files(tmp_path):
    model = make().fit(X, LABELS)
    fastbp.save(model, tmp_path / "model.safetensors")
    for other in (pickle.loads(pickle.dumps(model)), fastbp.load(tmp_path / "model.safetensors")):
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        assert other.predict(X).dtype == model.predict(X).dtype
    assert not hasattr(clone(model), "classes_")


# ---- what it does not go with


def test_what_does_not_go_with_it_says_so():
    for parameters in ({"loss": "focal"}, {"calibration": "temperature", "early_stopping": True}):
        with pytest.raises(ValueError, match="not for several columns"):
            make(**parameters).fit(X, LABELS)
    with pytest.raises(ValueError, match="list of 3 dicts"):
        make(class_weight={"a": 2.0}).fit(X, LABELS)
    with pytest.raises(ValueError, match="'balanced' is not supported for partial_fit"):
        make(class_weight="balanced").partial_fit(X, LABELS, classes=[np.unique(column) for column in LABELS.T])
    model = make(max_iter=2).fit(X, LABELS)
    for export in (fastbp.to_sklearn, fastbp.to_onnx, fastbp.to_c):
        with pytest.raises(ValueError, match="Several columns of classes"):
            export(model)
    with pytest.raises(ValueError, match="Multioutput target data"):
        make().fit(X, X[:, :2])
    with pytest.raises(ValueError, match="one column of classes"):
        BPSearchCV(make(), {"hidden_layer_sizes": [2, 3, 4]}, resource="epochs").fit(X, LABELS)
