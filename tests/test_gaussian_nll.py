"""loss="gaussian_nll": means and standard deviations, against PyTorch, plain NumPy and what was drawn."""

import copy
import pickle
import shutil
import subprocess

import numpy as np
import pytest
import scipy.sparse
from scipy.stats import norm
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold

import fastbp
from fastbp import BPRegressor, BPSearchCV, forward, gradients
from fastbp.functions.losses import LEAST_VARIANCE

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore:early_stopping=True:RuntimeWarning"
)

RANDOM = np.random.RandomState(0)
X = RANDOM.uniform(-1, 1, (150, 3))
Y = np.column_stack([500 + 40 * X[:, 0] + 10 * RANDOM.normal(size=150), np.abs(X[:, 1]) * RANDOM.normal(size=150)])
WEIGHTS = RANDOM.uniform(0.5, 2.0, 150)


def make(**options):
    return BPRegressor(**{"loss": "gaussian_nll", "hidden_layer_sizes": 6, "max_iter": 12, "random_state": 0, **options})


def standardised(outputs):
    """Means and standard deviations of outputs, for targets whose standard deviation is 1."""
    means, spreads = np.split(outputs, 2, axis=1)
    return means, np.sqrt(LEAST_VARIANCE + np.log1p(np.exp(-np.abs(spreads))) + np.maximum(spreads, 0))


def by_hand(model, inputs):
    """What a network predicts, by its weights alone."""
    scaler = model.target_scaler_
    outputs = forward(model.coefs_, model.intercepts_, inputs, skip_coefs=getattr(model, "skip_coefs_", None))[-1]
    means, deviations = standardised(outputs)
    return means * scaler.scale_ + scaler.mean_, deviations * scaler.scale_


def both(model, inputs=X):
    return np.stack(model.predict(inputs, return_std=True))


def start(n_targets):
    random = np.random.RandomState(1)
    sizes = (3, 5, 2 * n_targets)
    return [random.normal(0, 0.7, (a, b)) for a, b in zip(sizes, sizes[1:])], [random.normal(0, 0.5, b) for b in sizes[1:]]


# ---- the loss


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_loss_and_gradients_are_those_of_pytorch(n_targets, weights, dtype):
    torch = pytest.importorskip("torch")
    coefs, intercepts = start(n_targets)
    targets = (Y / Y.std(axis=0))[:, :n_targets]
    actual = gradients(coefs, intercepts, X.astype(dtype), targets, activation="tanh", loss="gaussian_nll", sample_weight=weights)
    W, V, b, c = (torch.tensor(array, requires_grad=True) for array in (*coefs, *intercepts))
    inputs = torch.tensor(X, requires_grad=True)
    outputs = torch.tanh(inputs @ W + b) @ V + c
    variance = torch.nn.functional.softplus(outputs[:, n_targets:]) + LEAST_VARIANCE
    losses = torch.nn.GaussianNLLLoss(reduction="none", eps=1e-12)(outputs[:, :n_targets], torch.tensor(targets), variance)
    factors = torch.tensor(np.ones(150) if weights is None else weights)
    loss = (losses.sum(dim=1) * factors).sum() / factors.sum()
    slopes = torch.autograd.grad(loss, (W, V, b, c, inputs))
    close = {"rtol": 1e-9, "atol": 1e-12} if dtype == np.float64 else {"rtol": 1e-3, "atol": 1e-4}
    np.testing.assert_allclose(actual.loss, loss.item(), **close)
    for mine, theirs in zip((*actual.coefs, *actual.intercepts, actual.inputs), slopes, strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), **close)


@pytest.mark.parametrize("spread", [-800.0, -40.0, 0.0, 40.0, 800.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_spread_overflows(spread, dtype):
    """The likelihood that SciPy has, and finite slopes, however small or large a variance."""
    coefs, intercepts, inputs = [np.zeros((1, 2))], [np.array([0.25, spread])], np.ones((1, 1), dtype)
    result = gradients(coefs, intercepts, inputs, [0.5], loss="gaussian_nll")
    deviation = standardised(np.array([[0.25, spread]]))[1][0, 0]
    expected = -norm.logpdf(0.5, 0.25, deviation) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(result.loss, expected, rtol=1e-6 if dtype == np.float32 else 1e-9)
    assert np.isfinite(result.intercepts[0]).all()
    assert np.sign(result.intercepts[0][0]) == -1


@pytest.mark.parametrize("options", [{"solver": "lbfgs"}, {"batch_size": 50}, {"solver": "sgd", "batch_size": 1}], ids=str)
def test_the_loss_of_a_fit_is_the_likelihood_of_standardised_targets(options):
    model = make(alpha=0.0, max_iter=5, **options).fit(X, Y, WEIGHTS)
    if options == {"solver": "lbfgs"}:
        mean, std = both(model)
        losses = (-norm.logpdf(Y, mean, std) - 0.5 * np.log(2 * np.pi) - np.log(model.target_scaler_.scale_)).sum(axis=1)
        np.testing.assert_allclose(model.loss_, np.average(losses, weights=WEIGHTS), rtol=1e-9)
    np.testing.assert_allclose(both(model), by_hand(model, X), rtol=1e-9)
    np.testing.assert_allclose(model.target_scaler_.mean_, np.average(Y, axis=0, weights=WEIGHTS))


def test_an_epoch_per_sample_takes_the_steps_of_its_gradients():
    options = {"solver": "sgd", "momentum": 0.0, "alpha": 0.01, "shuffle": False, "max_iter": 1, "batch_size": 1}
    begun = make(**options, learning_rate_init=1e-300).fit(X, Y, WEIGHTS)
    params, Z = [array.copy() for array in (*begun.coefs_, *begun.intercepts_)], begun.target_scaler_.transform(Y)
    for i in range(150):
        rows = slice(i, i + 1)
        step = gradients(params[:2], params[2:], X[rows], Z[rows], loss="gaussian_nll", alpha=0.01, sample_weight=WEIGHTS[rows])
        params = [value - 0.01 * slope for value, slope in zip(params, (*step.coefs, *step.intercepts), strict=True)]
    model = make(**options, learning_rate_init=0.01).fit(X, Y, WEIGHTS)
    for mine, plain in zip((*model.coefs_, *model.intercepts_), params, strict=True):
        np.testing.assert_allclose(mine, plain, rtol=1e-9, atol=1e-12)


# ---- what it is for


def drawn(n, seed):
    random = np.random.RandomState(seed)
    x = random.uniform(-1, 1, (n, 1))
    mean, std = 300 * np.sin(3 * x[:, 0]), 100 * (0.3 + 0.2 * x[:, 0])
    return x, mean + std * random.normal(size=n), mean, std


@pytest.mark.parametrize(
    "options",
    [
        {"solver": "lbfgs", "max_iter": 500},
        {"learning_rate_init": 0.01, "early_stopping": True, "n_iter_no_change": 40},
        {"solver": "rprop", "max_iter": 600},
        {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.02, "clip_norm": 1.0, "max_iter": 400},
    ],
    ids=str,
)
def test_it_finds_means_and_deviations_that_were_drawn(options):
    x, y, _, _ = drawn(3000, 0)
    x_new, y_new, mean_new, std_new = drawn(3000, 1)
    model = make(hidden_layer_sizes=20, activation="tanh", **{"max_iter": 200, **options}).fit(x, y)
    mean, std = both(model, x_new)
    assert np.abs(mean - mean_new).mean() < 15  # of a noise of 10 to 50, around means of -300 to 300
    assert np.abs(std - std_new).mean() < 8
    below = (y_new[:, np.newaxis] < mean[:, np.newaxis] + std[:, np.newaxis] * norm.ppf([0.05, 0.5, 0.95])).mean(axis=0)
    np.testing.assert_allclose(below, [0.05, 0.5, 0.95], atol=0.03)
    assert model.score(x_new, y_new) == r2_score(y_new, mean)


@pytest.mark.parametrize("unit", [1e-6, 2.0**20])
def test_the_unit_of_targets_does_not_matter(unit):
    one, other = make().fit(X, Y), make().fit(X, unit * Y)
    np.testing.assert_allclose(both(other), unit * both(one), rtol=1e-6)


def test_targets_without_noise_and_constant_ones():
    """The variance has its bound: neither zero nor a loss that runs away."""
    for y in (500 + 40 * X[:, 0], np.full(150, 7.0)):
        model = make(solver="lbfgs", hidden_layer_sizes=(), max_iter=500, alpha=0.0).fit(X, y)
        mean, std = both(model)
        scale = model.target_scaler_.scale_[0]
        assert np.abs(mean - y).max() < 0.01 * scale
        assert (std >= 0.99e-3 * scale).all() and (std < 0.02 * scale).all()


# ---- with everything else

OPTIONS = [
    {},
    {"solver": "lbfgs"},
    {"solver": "lbfgs", "early_stopping": True},
    {"solver": "rprop"},
    {"solver": "rmsprop"},
    {"solver": "adamw", "learning_rate": "one_cycle"},
    {"solver": "sgd", "batch_size": 1},
    {"solver": "sgd", "batch_size": 1, "nesterovs_momentum": False},
    {"batch_size": 7, "early_stopping": True},
    {"early_stopping": True, "scoring": "loss"},
    {"early_stopping": True, "scoring": "r2"},
    {"early_stopping": True, "refit": True},
    {"skip_layer": True},
    {"dropout": 0.2},
    {"n_restarts": 3},
    {"target_scaling": "standard"},
    {"input_scaling": "standard"},
    {"hidden_layer_sizes": ()},
    {"embedding": "periodic"},
    {"scale_layer": True},
    {"averaging": 0.9, "clip_norm": 1.0},
]


def names(options):
    return ", ".join(f"{name}={value}" for name, value in options.items()) or "plain"


@pytest.mark.parametrize("options", OPTIONS, ids=names)
@pytest.mark.parametrize("n_targets", [1, 2])
def test_options_go_with_it(options, n_targets, tmp_path):
    """Same bits for any number of threads, in pickles and files; means are what predict returns."""
    y = Y[:, 0] if n_targets == 1 else Y
    model = make(n_threads=1, **options).fit(X, y, WEIGHTS)
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == y.shape and (std > 0).all() and np.isfinite(std).all()
    np.testing.assert_array_equal(model.predict(X), mean)
    assert model.n_outputs_ == 2 * n_targets
    assert np.isfinite(model.score(X, y))
    for again in (make(n_threads=2, **options).fit(X, y, WEIGHTS), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(both(again), [mean, std])
    fastbp.save(model, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(both(fastbp.load(tmp_path / "model.safetensors")), [mean, std])
    if "embedding" not in options and "scale_layer" not in options:
        np.testing.assert_allclose(both(model.fold_scaling()), [mean, std], rtol=1e-9)
        assert model.input_scaler_ is None


def test_float32_and_sparse_rows():
    whole, sparse = make().fit(X, Y), make().fit(scipy.sparse.csr_matrix(X), Y)
    np.testing.assert_allclose(both(sparse), both(whole), rtol=1e-7)
    single = make().fit(X.astype(np.float32), Y.astype(np.float32))
    assert both(single, X.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(both(single, X.astype(np.float32)), both(whole), rtol=2e-3, atol=2e-3)
    np.testing.assert_array_equal(single.predict(X.astype(np.float32)), both(single, X.astype(np.float32))[0])


def test_weights_are_repetitions():
    counts = np.random.RandomState(0).randint(1, 4, 150)
    options = {"solver": "lbfgs", "alpha": 0.0, "max_iter": 5}
    weighted = make(**options).fit(X, Y, counts.astype(float))
    repeated = make(**options).fit(np.repeat(X, counts, axis=0), np.repeat(Y, counts, axis=0))
    np.testing.assert_allclose(both(weighted), both(repeated), rtol=1e-6, atol=1e-6)


def test_rows_that_validate_have_the_mean_likelihood():
    model = make(max_iter=3, early_stopping=False).fit(X[:100], Y[:100], X_val=X[100:], y_val=Y[100:])
    mean, std = both(model, X[100:])
    losses = -norm.logpdf(Y[100:], mean, std) - 0.5 * np.log(2 * np.pi) - np.log(model.target_scaler_.scale_)
    np.testing.assert_allclose(model.validation_loss_curve_[-1], losses.sum(axis=1).mean(), rtol=1e-9)
    np.testing.assert_allclose(model.validation_scores_[-1], -model.validation_loss_curve_[-1])
    with pytest.raises(ValueError, match="y_val has 1 outputs, but y has 2"):
        make().fit(X, Y, X_val=X, y_val=Y[:, 0])


def test_an_ensemble_is_a_mixture():
    model = make(n_restarts=3, ensemble=True, max_iter=3).fit(X, Y)
    parts = [by_hand(member, X) for member in model.estimators_]
    means, deviations = (np.stack(each) for each in zip(*parts, strict=True))
    expected = means.mean(axis=0), np.sqrt((deviations**2 + means**2).mean(axis=0) - means.mean(axis=0) ** 2)
    assert (means.std(axis=0) > 0.01 * deviations.mean(axis=0)).any()
    np.testing.assert_allclose(both(model), expected, rtol=1e-7)
    np.testing.assert_array_equal(model.predict(X), both(model)[0])


def test_missing_targets_count_nowhere():
    gone = np.random.RandomState(0).uniform(size=Y.shape) < 0.3
    gone[:4] = True
    there = ~gone.all(axis=1)
    for options in ({"solver": "lbfgs"}, {"batch_size": 20}, {"solver": "sgd", "batch_size": 1}):
        options = {"missing_targets": "ignore", "max_iter": 4, **options}
        model = make(**options).fit(X, np.where(gone, np.nan, Y))
        other = make(**options).fit(X[there], np.where(gone, np.nan, Y)[there])
        np.testing.assert_allclose(both(model), both(other), rtol=1e-7)
        assert np.isfinite(model.score(X, np.where(gone, np.nan, Y)))
    one = np.where(gone[:, 0], np.nan, Y[:, 0])
    np.testing.assert_array_equal(
        both(make(missing_targets="ignore", shuffle=False).fit(X, one)),
        both(make(shuffle=False).fit(X[~gone[:, 0]], one[~gone[:, 0]])),
    )


def test_means_are_monotone():
    model = make(monotonic_cst=[1, 0, -1], max_iter=60, hidden_layer_sizes=(8, 8)).fit(X, Y)
    low = np.random.RandomState(0).uniform(-5, 5, (1000, 3))
    high = low + np.random.RandomState(1).uniform(0, 3, (1000, 1)) * [1, 0, -1]
    (before, std_before), (after, std_after) = both(model, low), both(model, high)
    assert (after >= before - 1e-9 * np.abs(before)).all()
    assert (std_after < std_before).any() and (std_after > std_before).any()


def test_categories():
    coded = np.column_stack([X[:, 0], np.digitize(X[:, 1], [-0.3, 0.3])])
    model = make(categorical_features=[1], max_iter=60).fit(coded, Y)
    mean, std = both(model, coded)
    assert np.isfinite(std).all() and (std > 0).all()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(coded), mean)


# ---- training that goes on


def test_partial_fit_and_warm_start_go_on():
    whole = make(max_iter=3, tol=0.0, shuffle=False).fit(X, Y)
    parts = make(shuffle=False)
    for _ in range(3):
        parts.partial_fit(X, Y)
    np.testing.assert_array_equal(both(parts), both(whole))
    scaler = parts.target_scaler_
    parts.partial_fit(X[:20], 3 * Y[:20])
    np.testing.assert_array_equal(parts.target_scaler_.mean_, scaler.mean_)
    warm = make(max_iter=3, warm_start=True).fit(X, Y)
    before = warm.loss_
    assert warm.fit(X, Y).loss_ < before


@pytest.mark.parametrize("first, then", [("gaussian_nll", "squared_error"), ("squared_error", "gaussian_nll")])
@pytest.mark.parametrize("scaling", [None, "standard"])
def test_another_loss_cannot_go_on(first, then, scaling):
    two = {"gaussian_nll": Y[:, 0], "squared_error": Y}
    model = make(loss=first, target_scaling=scaling, warm_start=True).fit(X, two[first])
    with pytest.raises(ValueError, match=f"loss='{then}'"):
        model.set_params(loss=then).fit(X, two[then])


def test_parameters_that_changed_since_do_not_change_predictions():
    model = make().fit(X, Y)
    expected = both(model)
    model.set_params(loss="squared_error")
    for again in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(both(again), expected)


@pytest.mark.parametrize("search", [BPSearchCV, GridSearchCV])
def test_searches_find_the_same(search):
    grid = {"alpha": [1e-4, 1.0], "loss": ["gaussian_nll", "squared_error"]}
    folds = list(KFold(3).split(X))
    found = search(make(), grid, cv=folds).fit(X, Y)
    for fold, (train, test) in enumerate(folds):
        for number, params in enumerate(found.cv_results_["params"]):
            expected = clone(make()).set_params(**params).fit(X[train], Y[train]).score(X[test], Y[test])
            assert found.cv_results_[f"split{fold}_test_score"][number] == pytest.approx(expected, rel=1e-12)


# ---- explanations and exports


@pytest.mark.parametrize("options", [{}, {"input_scaling": "standard", "skip_layer": True}, {"fit_intercept": False}], ids=names)
def test_explanations_are_of_the_means(options):
    model = make(activation="tanh", feature_importances=True, **options).fit(X, Y)
    slopes, step = model.input_gradients(X[:5]), 1e-5
    assert slopes.shape == (5, 3, 2)
    for feature in range(3):
        move = step * np.eye(3)[feature]
        numeric = (model.predict(X[:5] + move) - model.predict(X[:5] - move)) / (2 * step)
        np.testing.assert_allclose(slopes[:, feature], numeric, rtol=1e-4, atol=1e-4)
    attributions, error = model.integrated_gradients(X[:5], n_steps=100)
    np.testing.assert_allclose(
        attributions.sum(axis=1), model.predict(X[:5]) - model.predict(np.zeros((1, 3))), rtol=1e-3, atol=0.1
    )
    assert np.abs(error).max() < 0.1
    assert model.feature_importances_.shape == (3,)
    assert model.olden_importances().shape == model.garson_importances().shape == (3, 2)


EXPORTED = [{}, {"skip_layer": True}, {"hidden_layer_sizes": (), "solver": "lbfgs"}]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", EXPORTED, ids=names)
@pytest.mark.parametrize("n_targets", [1, 2])
def test_onnx_has_both(options, n_targets, dtype):
    pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    model = make(**options).fit(X, Y[:, :n_targets].squeeze())
    session = runtime.InferenceSession(fastbp.to_onnx(model, dtype=dtype).SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"X": X.astype(dtype)})[0]
    close = {"rtol": 1e-4, "atol": 1e-3} if dtype == "float32" else {"rtol": 1e-9}
    np.testing.assert_allclose(found, np.hstack([part.reshape(150, -1) for part in both(model)]), **close)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", EXPORTED, ids=names)
@pytest.mark.parametrize("n_targets", [1, 2])
def test_c_has_both(options, n_targets, dtype, tmp_path):
    compiler = shutil.which("cc") or pytest.skip("no C compiler")
    model = make(**options).fit(X, Y[:, :n_targets].squeeze())
    kind = {"float32": "float", "float64": "double"}[dtype]
    rows = ", ".join("{" + ", ".join(map(repr, row)) + "}" for row in X[:20].tolist())
    main = f"""{fastbp.to_c(model, dtype=dtype)}
#include <stdio.h>
int main(void) {{
    static const {kind} rows[20][3] = {{{rows}}};
    for (int i = 0; i < 20; ++i) {{
        {kind} y[{2 * n_targets}];
        predict(rows[i], y);
        for (int j = 0; j < {2 * n_targets}; ++j) printf("%.17g ", (double)y[j]);
    }}
    return 0;
}}"""
    (tmp_path / "main.c").write_text(main)
    subprocess.run([compiler, "-std=c99", "-Wall", "-Werror", "-o", tmp_path / "main", tmp_path / "main.c", "-lm"], check=True)
    text = subprocess.run([tmp_path / "main"], check=True, capture_output=True, text=True).stdout
    found = np.array(text.split(), dtype=float).reshape(20, -1)
    close = {"rtol": 1e-4, "atol": 1e-3} if dtype == "float32" else {"rtol": 1e-9}
    np.testing.assert_allclose(found, np.hstack([part[:20].reshape(20, -1) for part in both(model)]), **close)


# ---- what is refused


@pytest.mark.parametrize(
    "options, message",
    [
        ({"solver": "lm"}, "'lm' is for the loss 'squared_error'.*take 'lbfgs'"),
        ({"output_activation": "exp"}, "output_activation='exp' does not go with the loss 'gaussian_nll'"),
        ({"monotonic_cst": [1, 0, 0], "activation": "gelu"}, "monotonic_cst needs activations that never fall"),
    ],
)
def test_what_does_not_go_with_it(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options).fit(X, Y)


def test_what_is_refused_elsewhere():
    with pytest.raises(ValueError, match="negative sample weights"):
        make().fit(X, Y, -WEIGHTS)
    with pytest.raises(ValueError, match=r"return_std=True needs .*gaussian_nll"):
        make(loss="squared_error", target_scaling="standard").fit(X, Y).predict(X, return_std=True)
    with pytest.raises(ValueError, match="no standard deviations"):
        fastbp.to_sklearn(make().fit(X, Y))
    with pytest.raises(ValueError, match="the network has loss='gaussian_nll'"):
        BPSearchCV(make(), {"alpha": [0.0, 1.0]}, resource="epochs").fit(X, Y[:, 0])
    with pytest.raises(ValueError, match="two outputs per target"):
        gradients([np.ones((3, 3))], [np.ones(3)], X, Y[:, :1], loss="gaussian_nll")
    with pytest.raises(ValueError, match="y has 2 columns"):
        gradients([np.ones((3, 2))], [np.ones(2)], X, Y, loss="gaussian_nll")
