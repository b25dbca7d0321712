"""Losses of fastbp's own against sklearn.metrics, PyTorch and finite differences, and what they are good for."""

import copy
import itertools
import pickle

import numpy as np
import pytest
import scipy.sparse
from scipy.optimize import approx_fprime
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import clone
from sklearn.metrics import (
    d2_pinball_score,
    mean_absolute_error,
    mean_gamma_deviance,
    mean_pinball_loss,
    mean_poisson_deviance,
    mean_tweedie_deviance,
    r2_score,
)
from sklearn.model_selection import GridSearchCV

from fastbp import BPClassifier, BPRegressor, BPSearchCV, forward, gradients

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.RandomState(0)
X = rng.randn(120, 4)
WEIGHTS = rng.uniform(0.5, 2.0, 120)
POSITIVE = rng.gamma(2.0, np.exp(0.5 * X[:, 0]))
REAL = X[:, 0] + 0.5 * rng.standard_t(3, 120)
CLASSES = np.digitize(X[:, 0] + 0.5 * rng.randn(120), [-0.5, 0.5])

METRICS = {
    "absolute_error": (REAL, {}, mean_absolute_error),
    "quantile": (REAL, {"quantile": 0.8}, lambda y, p, **w: mean_pinball_loss(y, p, alpha=0.8, **w)),
    "poisson": (np.floor(POSITIVE), {}, lambda y, p, **w: 0.5 * mean_poisson_deviance(y, p, **w)),
    "gamma": (POSITIVE, {}, lambda y, p, **w: 0.5 * mean_gamma_deviance(y, p, **w)),
    "tweedie": (
        np.where(X[:, 1] > 0.5, 0.0, POSITIVE),
        {"power": 1.7},
        lambda y, p, **w: 0.5 * mean_tweedie_deviance(y, p, power=1.7, **w),
    ),
}


def start(sizes, seed=0):
    random_state = np.random.RandomState(seed)
    coefs = [random_state.normal(0, 0.5, shape) for shape in itertools.pairwise(sizes)]
    return coefs, [random_state.normal(0, 0.3, size) for size in sizes[1:]]


def weights(model):
    return [*model.coefs_, *model.intercepts_]


@pytest.mark.parametrize("loss", METRICS)
@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["plain", "weighted"])
def test_losses_are_those_of_sklearn_metrics(loss, weight):
    y, options, metric = METRICS[loss]
    model = BPRegressor(loss, 5, solver="lbfgs", alpha=0.0, max_iter=30, random_state=0, **options).fit(X, y, weight)
    np.testing.assert_allclose(model.loss_, metric(y, model.predict(X), sample_weight=weight), rtol=1e-9)
    constant = np.average(y, weights=weight)
    assert model.loss_ < metric(y, np.full(120, constant), sample_weight=weight)


@pytest.mark.parametrize("loss", METRICS)
@pytest.mark.parametrize("batch_size", [1, 40])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_are_along_finite_differences(loss, batch_size, dtype):
    """In training, by either loop: the first step from a start is the gradient of the metric."""
    y, options, metric = METRICS[loss]
    model = BPRegressor(loss, 5, "tanh", solver="sgd", momentum=0.0, learning_rate_init=1e-2, alpha=0.0, shuffle=False,
                        batch_size=batch_size, random_state=0, **options)  # fmt: skip
    model.coefs_, model.intercepts_ = start((4, 5, 1))
    rows = slice(0, batch_size)

    def loss_at(bias):
        (W, V), (b, _) = start((4, 5, 1))
        z = (np.tanh(X[rows] @ W + b) @ V + bias)[:, 0]
        return metric(y[rows], np.exp(z) if loss in ("poisson", "gamma", "tweedie") else z)

    before = model.intercepts_[1].copy()
    model.partial_fit(X[rows].astype(dtype), y[rows].astype(dtype))
    moved = (before - model.intercepts_[1]) / 1e-2
    close = {"rtol": 1e-5, "atol": 1e-7} if dtype == np.float64 else {"rtol": 1e-3, "atol": 1e-4}
    np.testing.assert_allclose(moved, approx_fprime(before, loss_at, 1e-7), **close)


PARAMETERS = [
    ("huber", 0.3), ("quantile", 0.9), ("quantile", (0.1, 0.5, 0.9)), ("tweedie", 1.2), ("log_loss", 0.1), ("log_loss", 0.5),
    ("binary_log_loss", 0.2), ("focal", 0.0), ("focal", 0.5), ("focal", 5.0), ("binary_focal", 0.0), ("binary_focal", 1.5),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "parameter"), PARAMETERS)
def test_gradients_of_shaped_losses_are_finite_differences(loss, parameter):
    coefs, intercepts = start((4, 5, 3))
    y = (
        CLASSES
        if loss in ("log_loss", "focal")
        else np.eye(3)[CLASSES]
        if loss.startswith("binary")
        else np.c_[POSITIVE, REAL**2, POSITIVE]
    )
    output = {"log_loss": "softmax", "focal": "softmax", "tweedie": "exp"}.get(loss, "identity")
    options = {
        "loss": loss, "loss_parameter": parameter, "activation": "tanh", "sample_weight": WEIGHTS,
        "output_activation": "logistic" if loss.startswith("binary") else output,
    }  # fmt: skip
    result = gradients(coefs, intercepts, X, y, **options)
    for layer, gradient in enumerate(result.coefs):

        def loss_at(values, layer=layer):
            moved = [values.reshape(W.shape) if k == layer else W for k, W in enumerate(coefs)]
            return gradients(moved, intercepts, X, y, **options).loss

        numeric = approx_fprime(coefs[layer].ravel(), loss_at, 1e-7)
        np.testing.assert_allclose(gradient.ravel(), numeric, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_label_smoothing_is_cross_entropy_with_smooth_targets(smoothing, n_classes):
    """As PyTorch's CrossEntropyLoss has it, and BCEWithLogitsLoss of smooth targets for two; loss and steps, in float32 too."""
    y = CLASSES if n_classes == 3 else (CLASSES > 0).astype(int)
    certain = np.eye(3)[y] if n_classes == 3 else y[:, np.newaxis]
    smooth = (1 - smoothing) * certain + smoothing / n_classes
    for dtype, batch_size in itertools.product((np.float64, np.float32), (1, 50, 120)):
        model = BPClassifier(5, "tanh", solver="sgd", momentum=0.0, learning_rate_init=0.1, alpha=0.0, shuffle=False,
                             batch_size=batch_size, label_smoothing=smoothing)  # fmt: skip
        sizes = 4, 5, smooth.shape[1]
        model.coefs_, model.intercepts_ = start(sizes)
        ((W, V), (b, c)), losses = start(sizes), []
        for first in range(0, 120, batch_size):
            rows, targets = X[first : first + batch_size], smooth[first : first + batch_size]
            a = np.tanh(rows @ W + b)
            z = a @ V + c
            if n_classes == 3:
                losses += (-(targets * log_softmax(z, axis=1)).sum(axis=1)).tolist()
                error = (softmax(z, axis=1) - targets) / len(z)
            else:
                losses += (-(targets * log_expit(z) + (1 - targets) * log_expit(-z)))[:, 0].tolist()
                error = (expit(z) - targets) / len(z)
            back = error @ V.T * (1 - a**2)
            slopes = rows.T @ back, a.T @ error, back.sum(axis=0), error.sum(axis=0)
            W, V, b, c = (array - 0.1 * slope for array, slope in zip((W, V, b, c), slopes, strict=True))
        model.partial_fit(X.astype(dtype), y, classes=np.arange(n_classes))
        close = {"rtol": 1e-9} if dtype == np.float64 else {"rtol": 1e-3, "atol": 1e-4}
        np.testing.assert_allclose(model.loss_, np.mean(losses), **close)
        for mine, theirs in zip(weights(model), (W, V, b, c), strict=True):
            np.testing.assert_allclose(mine, theirs, **close)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_against_pytorch(n_classes, gamma):
    torch = pytest.importorskip("torch")
    y = CLASSES if n_classes == 3 else (CLASSES > 0).astype(int)
    n_outputs = 3 if n_classes == 3 else 1
    for batch_size in (1, 120):
        model = BPClassifier(5, "tanh", loss="focal", focal_gamma=gamma, solver="sgd", momentum=0.0, learning_rate_init=0.1,
                             alpha=0.0, shuffle=False, batch_size=batch_size)  # fmt: skip
        model.coefs_, model.intercepts_ = start((4, 5, n_outputs))
        (W, V), (b, c) = ([torch.tensor(array, requires_grad=True) for array in arrays] for arrays in start((4, 5, n_outputs)))
        for first in range(0, 120, batch_size):
            rows = slice(first, first + batch_size)
            z = torch.tanh(torch.tensor(X[rows]) @ W + b) @ V + c
            if n_classes == 2:
                z = torch.cat([torch.zeros_like(z), z], dim=1)
            log_p = torch.log_softmax(z, dim=1).gather(1, torch.tensor(y[rows, np.newaxis]))[:, 0]
            loss = (-((1 - log_p.exp()) ** gamma) * log_p * torch.tensor(WEIGHTS[rows])).sum() / WEIGHTS[rows].sum()
            for tensor, slope in zip((W, V, b, c), torch.autograd.grad(loss, (W, V, b, c)), strict=True):
                tensor.data -= 0.1 * slope
        model.partial_fit(X, y, WEIGHTS, classes=np.arange(n_classes))
        for mine, theirs in zip(weights(model), (W, V, b, c), strict=True):
            np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=1e-8, atol=1e-12)
        if batch_size == 120:
            np.testing.assert_allclose(model.loss_, loss.item(), rtol=1e-9)


def test_defaults_change_no_bit():
    for y in (CLASSES, CLASSES > 0):
        plain = BPClassifier(max_iter=5, random_state=0).fit(X, y)
        named = BPClassifier(max_iter=5, random_state=0, loss="log_loss", label_smoothing=0, focal_gamma=3.0).fit(X, y)
        np.testing.assert_equal(weights(plain), weights(named))


def test_label_smoothing_holds_probabilities_off_certainty():
    options = {"hidden_layer_sizes": 20, "solver": "lbfgs", "alpha": 0.0, "max_iter": 300, "random_state": 0}
    for smoothing, low, high in [(0.3, 0.7, 0.82), (0.0, 0.99, 1.0)]:  # at most 1 - s + s / 3
        model = BPClassifier(label_smoothing=smoothing, **options).fit(X, CLASSES)
        assert low < model.predict_proba(X)[np.arange(120), CLASSES].mean() <= high


# Quantiles


def test_quantiles_cover_what_they_say():
    """Noise whose spread is known: 10 %, 50 % and 90 % of new targets lie below the curves, which are where the true ones are."""
    random_state = np.random.RandomState(0)
    x, x_new = (random_state.uniform(-1, 1, (n, 1)) for n in (2000, 5000))

    def draw(x):
        return np.sin(3 * x[:, 0]) + (0.3 + 0.2 * x[:, 0]) * random_state.standard_normal(len(x))

    levels = [0.1, 0.5, 0.9]
    model = BPRegressor("quantile", 20, "tanh", quantile=levels, solver="lbfgs", max_iter=500, random_state=0).fit(x, draw(x))
    predicted = model.predict(x_new)
    assert predicted.shape == (5000, 3)
    assert (np.diff(predicted, axis=1) >= 0).all()
    np.testing.assert_allclose((draw(x_new)[:, np.newaxis] < predicted).mean(axis=0), levels, atol=0.03)
    truth = np.sin(3 * x_new) + (0.3 + 0.2 * x_new) * np.array([-1.2816, 0.0, 1.2816])
    assert np.abs(predicted - truth).mean() < 0.06


@pytest.mark.parametrize("sparse", [False, True])
def test_several_quantiles_at_once(sparse):
    """The loss is the sum of theirs; predictions are sorted, never worse; the score is the mean D²; pickled settings stay."""
    levels = (0.05, 0.45, 0.5, 0.55, 0.95)
    inputs = scipy.sparse.csr_matrix(X) if sparse else X
    model = BPRegressor("quantile", 30, quantile=levels, solver="lbfgs", alpha=0.0, max_iter=40, random_state=0).fit(inputs, REAL)
    raw = np.maximum(X @ model.coefs_[0] + model.intercepts_[0], 0) @ model.coefs_[1] + model.intercepts_[1]
    losses = [sum(mean_pinball_loss(REAL, p, alpha=q) for p, q in zip(P.T, levels, strict=True)) for P in (raw, np.sort(raw))]
    assert (np.diff(raw, axis=1) < 0).any()  # crossing before they are sorted
    np.testing.assert_allclose(model.loss_, losses[0], rtol=1e-9)
    assert losses[1] < losses[0]
    np.testing.assert_allclose(model.predict(inputs), np.sort(raw, axis=1), rtol=1e-9, atol=1e-12)
    expected = np.mean([d2_pinball_score(REAL, p, alpha=q) for p, q in zip(np.sort(raw).T, levels, strict=True)])
    np.testing.assert_allclose(model.score(inputs, REAL), expected, rtol=1e-9)
    one = BPRegressor("quantile", 5, quantile=0.3, max_iter=5, random_state=0).fit(X, REAL)
    assert one.score(X, REAL) == r2_score(REAL, one.predict(X))
    assert BPRegressor("quantile", 5, quantile=[0.3], max_iter=5, random_state=0).fit(X, REAL).predict(X).shape == (120,)


@pytest.mark.parametrize("changed", [{"quantile": 0.5}, {"loss": "squared_error"}], ids=str)
@pytest.mark.parametrize("how", ["fit", "partial_fit"])
def test_predictions_are_of_the_quantiles_that_were_fitted(how, changed):
    levels = [0.05, 0.45, 0.5, 0.55, 0.95]
    model = BPRegressor("quantile", 30, quantile=levels, alpha=0.0, max_iter=3, random_state=0)
    getattr(model, how)(X, REAL)
    predicted, score = model.predict(X), model.score(X, REAL)
    raw = np.maximum(X @ model.coefs_[0] + model.intercepts_[0], 0) @ model.coefs_[1] + model.intercepts_[1]
    assert (np.diff(raw, axis=1) < 0).any()
    model.set_params(**changed)
    for again in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.predict(X), predicted)
        assert again.score(X, REAL) == score
    several = BPRegressor("quantile", 5, quantile=0.3, max_iter=3, random_state=0).fit(X, np.c_[REAL, -REAL])
    raw = several.predict(X)
    np.testing.assert_array_equal(several.set_params(quantile=[0.1, 0.9]).predict(X), raw)


def test_quantiles_go_with_the_rest():
    options = {"hidden_layer_sizes": 6, "loss": "quantile", "quantile": [0.2, 0.8], "random_state": 0, "batch_size": 30}
    whole = BPRegressor(**options, max_iter=3, tol=0, shuffle=False).fit(X, REAL)
    parts = BPRegressor(**options, shuffle=False)
    for _ in range(3):
        parts.partial_fit(X, REAL)
    np.testing.assert_equal(weights(whole), weights(parts))
    assert whole.n_outputs_ == 2
    for more in ({"n_restarts": 2}, {"batch_size": 1, "solver": "sgd"}, {"early_stopping": True}, {"dropout": 0.2}):
        BPRegressor(**{**options, "max_iter": 3, **more}).fit(X.astype(np.float32), REAL, WEIGHTS).predict(X)
    grid = {"alpha": [1e-4, 1.0], "quantile": [[0.2, 0.8], 0.5]}
    base = clone(whole).set_params(max_iter=3)
    searches = [Search(base, grid, cv=2).fit(X, REAL) for Search in (GridSearchCV, BPSearchCV)]
    np.testing.assert_allclose(*(search.cv_results_["mean_test_score"] for search in searches), rtol=1e-12)


def test_early_stopping_of_quantiles_goes_by_their_loss():
    """Unless another score is asked for; the weights are those of the best epoch."""
    options = {"hidden_layer_sizes": 6, "early_stopping": True, "max_iter": 30, "random_state": 0}
    for level, more, metric in [
        (0.9, {}, lambda y, p: -mean_pinball_loss(y, p, alpha=0.9)),
        (0.9, {"scoring": "r2"}, r2_score),
        ([0.1, 0.9], {}, lambda y, p: -sum(mean_pinball_loss(y, p[:, j], alpha=(0.1, 0.9)[j]) for j in (0, 1))),
    ]:
        model = BPRegressor("quantile", quantile=level, **options, **more).fit(X[:80], REAL[:80], X_val=X[80:], y_val=REAL[80:])
        outputs = forward(model.coefs_, model.intercepts_, X[80:])[-1]  # not sorted, as the loss sees them
        np.testing.assert_allclose(model.best_validation_score_, metric(REAL[80:], outputs), rtol=1e-9)


@pytest.mark.parametrize("options", [{"loss": "focal"}, {"loss": "focal", "focal_gamma": 1.0}, {"label_smoothing": 0.1}])
def test_classifier_losses_go_with_the_rest(options):
    options = {"hidden_layer_sizes": 6, "max_iter": 4, "random_state": 0, "batch_size": 30, **options}
    for y in (CLASSES, CLASSES > 0, np.eye(3, dtype=int)[CLASSES]):
        model = BPClassifier(**options).fit(X, y)
        sparse = BPClassifier(**options).fit(scipy.sparse.csr_matrix(X), y)
        for mine, theirs in zip(weights(model), weights(sparse), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-7, atol=1e-10)
        for more in ({"n_restarts": 2}, {"batch_size": 1, "solver": "sgd"}, {"early_stopping": True}, {"solver": "lbfgs"}):
            BPClassifier(**{**options, **more}).fit(X.astype(np.float32), y, WEIGHTS).predict_proba(X)
        BPClassifier(**options, early_stopping=True, validation_split="stratified").fit(X, y)
    grid = {"alpha": [1e-4, 1.0], **({"loss": ["log_loss", "focal"]} if "loss" in options else {"label_smoothing": [0.0, 0.2]})}
    searches = [Search(BPClassifier(**options), grid, cv=2).fit(X, CLASSES) for Search in (GridSearchCV, BPSearchCV)]
    np.testing.assert_array_equal(*(search.cv_results_["mean_test_score"] for search in searches))


def test_what_is_refused():
    zero = np.where(X[:, 0] > 0, POSITIVE, 0.0)
    for options, y, message in [
        ({"loss": "gamma"}, zero, "needs y > 0"),
        ({"loss": "tweedie"}, -zero - 1, "needs y >= 0"),
        ({"loss": "gamma", "output_activation": "identity"}, POSITIVE, "does not go with the loss 'gamma', which needs 'exp'"),
        ({"loss": "tweedie", "power": 2.0}, POSITIVE, "'power' parameter"),
        ({"loss": "quantile", "quantile": 1.0}, POSITIVE, "'quantile' parameter"),
        ({"loss": "quantile", "quantile": [0.5, 0.2]}, POSITIVE, "'quantile' parameter"),
        ({"loss": "quantile", "quantile": []}, POSITIVE, "'quantile' parameter"),
        ({"loss": "quantile", "quantile": [0.2, 0.5]}, np.c_[POSITIVE, REAL], "Several quantiles are for one target"),
    ]:
        with pytest.raises(ValueError, match=message):
            BPRegressor(**options).fit(X, y)
    for options, message in [
        ({"loss": "hinge"}, "'loss' parameter"),
        ({"focal_gamma": -1.0}, "'focal_gamma' parameter"),
        ({"label_smoothing": 1.0}, "'label_smoothing' parameter"),
        ({"label_smoothing": 0.1, "loss": "focal"}, "does not go with loss='focal'"),
    ]:
        with pytest.raises(ValueError, match=message):
            BPClassifier(**options).fit(X, CLASSES)
