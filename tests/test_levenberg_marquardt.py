"""Levenberg and Marquardt's method: its Jacobian against plain loops, its optimum against scipy's, its alpha by the evidence."""

import copy
import tracemalloc
import warnings

import naive
import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import least_squares, minimize
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning

import fastbp
from fastbp import BPClassifier, BPRegressor, BPSearchCV, names
from fastbp.kernels.atomics import INTERRUPT, SYNC_SIZE
from fastbp.training.initialisation import draw_parameters
from fastbp.training.network import make_network, pack_parameters, parameter_views
from fastbp.training.normal_equations import PANEL, NormalEquations
from fastbp.training.problem import Problem

DTYPES = [np.float64, np.float32]
WITH_SLOPE = [name for name in names.HIDDEN_ACTIVATIONS if names.ACTIVATIONS[name].has_slope]
OUTPUTS = [name for name in names.LOSSES["squared_error"].outputs if names.ACTIVATIONS[name].has_slope]


def case(sizes=(3, 5, 2), activation="tanh", output="identity", dtype=np.float64, n_rows=20, fit_intercept=True, weighted=False):
    """A network with its parameters, and rows to learn."""
    rng, activations = np.random.RandomState(0), (activation,) * (len(sizes) - 2)
    options = {"fit_intercept": fit_intercept, "dtype": dtype}
    network = make_network(sizes, activations, output, "squared_error", **options)
    drawn = draw_parameters(sizes, (*activations, output), init="glorot_uniform", random_state=rng, **options)
    X, Y = rng.standard_normal((n_rows, sizes[0])).astype(dtype), rng.standard_normal((n_rows, sizes[-1])).astype(dtype)
    weights = rng.uniform(0.0, 2.0, n_rows).astype(dtype) if weighted else None
    return network, pack_parameters(network, *drawn, dtype), X, Y, weights


def matrix_of(equations):
    lower = np.tril(equations._products.reshape(equations.n + 1, -1)[: equations.n, : equations.n])
    return lower + np.tril(lower, -1).T


def plain_jacobian(network, params, X, Y, weights, activation, output):
    """Residuals and slopes, in the order of the flat vector, by plain loops: ∂½(ŷ - y)² is ∂ŷ where ŷ - y is 1."""
    coefs, intercepts = parameter_views(network, params.astype(np.float64))
    residuals, slopes = [], []
    for i, x in enumerate(X.astype(np.float64)):
        root = 1.0 if weights is None else np.sqrt(float(weights[i]))
        y = naive.forward(coefs, intercepts, x[None], activation=activation, output_activation=output)[-1][0]
        for k in range(len(y)):
            target = np.array(y)
            target[k] -= 1.0
            found = naive.gradients(
                coefs, intercepts, x[None], target[None], activation=activation, output_activation=output, loss="squared_error"
            )
            row = pack_parameters(network, found.coefs, found.intercepts if network.fit_intercept else intercepts, np.float64)
            slopes.append(root * row)
            residuals.append(root * (y[k] - Y[i, k]))
    return np.array(residuals), np.array(slopes)


def assert_plain(network, params, X, Y, weights, activation, output, rtol, table=None, numbers=None):
    rows = slice(None) if numbers is None else numbers
    equations = NormalEquations(network, Problem(X if table is None else table, Y, weights, row_indices=numbers))
    w = params[equations.trained.positions].astype(np.float64)
    equations.accumulate(w)
    residuals, slopes = plain_jacobian(
        network, params, X[rows], Y[rows], None if weights is None else weights[rows], activation, output
    )
    J = slopes[:, equations.trained.positions]
    for mine, meant in (
        (matrix_of(equations), J.T @ J),
        (equations.gradient, J.T @ residuals),
        (equations.diagonal, np.square(J).sum(axis=0)),
        (equations.sum_of_squares(w), residuals @ residuals),
    ):
        assert_allclose(mine, meant, rtol=rtol, atol=rtol * np.abs(meant).max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", WITH_SLOPE)
def test_normal_equations_of_every_activation(activation, dtype):
    assert_plain(*case((3, 5, 4, 2), activation, dtype=dtype), activation, "identity", 1e-11 if dtype == np.float64 else 2e-5)


@pytest.mark.parametrize("output", OUTPUTS)
def test_normal_equations_of_every_output(output):
    assert_plain(*case((3, 5, 1), output=output, weighted=True), "tanh", output, 1e-11)


@pytest.mark.parametrize("sizes", [(2, 1), (1, 9, 1), (4, 17, 3), (3, 8, 9, 7, 6), (2, 300, 1)], ids=str)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_normal_equations_of_every_shape(sizes, fit_intercept):
    assert_plain(*case(sizes, fit_intercept=fit_intercept, weighted=True), "tanh", "identity", 1e-11)


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("numbers", [None, np.array([3, 17, 17, 0, 9])], ids=["all", "some"])
def test_normal_equations_of_tables_and_rows(is_sparse, numbers):
    network, params, X, Y, weights = case((6, 5, 2), weighted=True)
    X[np.abs(X) < 0.7] = 0.0
    table = scipy.sparse.csr_array(X) if is_sparse else None
    assert_plain(network, params, X, Y, weights, "tanh", "identity", 1e-11, table=table, numbers=numbers)


@pytest.mark.parametrize("dtype", DTYPES)
def test_blocks_and_threads_change_no_bit(dtype, teams_for_any_work):
    network, params, X, Y, weights = case((5, 20, 9, 2), dtype=dtype, n_rows=3000, weighted=True)
    found = []
    for n_threads in (1, 2, 3):
        equations = NormalEquations(network, Problem(X, Y, weights), n_threads=n_threads)
        equations.accumulate(params[equations.trained.positions].astype(np.float64))
        equations.factorize(np.ones(equations.n))
        found.append((matrix_of(equations), equations.gradient, equations.solve(equations.gradient)))
    for other in found[1:]:
        for mine, meant in zip(other, found[0]):
            assert_array_equal(mine, meant)


@pytest.mark.parametrize("n_hidden", [1, 15, 16, 17, 100])  # 6 parameters a unit: less than a panel, and several
def test_what_is_solved(n_hidden):
    network, params, X, Y, _ = case((4, n_hidden, 1), n_rows=50)
    equations = NormalEquations(network, Problem(X, Y))
    equations.accumulate(params[equations.trained.positions])
    addition = np.linspace(0.5, 2.0, equations.n)
    matrix = matrix_of(equations) + np.diag(addition)
    assert equations.factorize(addition)
    assert_allclose(equations.solve(equations.gradient), np.linalg.solve(matrix, equations.gradient), rtol=1e-9, atol=1e-12)
    assert_allclose(equations.inverse_diagonal(), np.diag(np.linalg.inv(matrix)), rtol=1e-9)
    assert not equations.factorize(np.full(equations.n, -1e6))
    assert (equations.n > PANEL) == (n_hidden > 15)


# ---- the optimum


def residuals_of(model, X, Y, weights, alpha):
    """A function of the flat weights, of a copy of the model: √s·(ŷ - y), and √alpha·w for the penalty."""
    copied = copy.deepcopy(model)
    copied.predict(X)  # from here on its arrays stay the same
    arrays = [*copied.coefs_, *copied.intercepts_]

    def residuals(w):
        for array, part in zip(arrays, np.split(w, np.cumsum([array.size for array in arrays])[:-1])):
            array[...] = part.reshape(array.shape)
        errors = copied.predict(X).reshape(len(X), -1) - Y.reshape(len(X), -1)
        errors *= 1.0 if weights is None else np.sqrt(weights)[:, None]
        n_weights = sum(W.size for W in copied.coefs_)
        return np.concatenate([errors.ravel(), np.sqrt(alpha) * w[:n_weights]])

    return residuals, np.concatenate([np.ravel(array) for array in arrays])


@pytest.mark.parametrize(
    ("sizes", "activation", "n_outputs", "output", "alpha"),
    [
        ((), "tanh", 3, "identity", 0.0),
        ((2,), "tanh", 1, "identity", 0.0),
        ((3,), "tanh", 2, "identity", 0.1),
        ((2, 2), ["logistic", "tanh"], 1, "identity", 0.1),
        ((3,), "gelu", 1, "tanh", 0.1),
    ],
)
def test_the_optimum_is_scipys(sizes, activation, n_outputs, output, alpha):
    """From a start near enough to one minimum that both find that one."""
    rng = np.random.RandomState(0)
    X, weights = rng.standard_normal((200, 3)), rng.uniform(0.5, 2.0, 200)
    options = {
        "solver": "lm",
        "activation": activation,
        "output_activation": output,
        "max_iter": 500,
        "tol": 1e-9,
        "alpha": alpha,
    }
    teacher = BPRegressor(hidden_layer_sizes=sizes, random_state=1, **{**options, "max_iter": 1, "tol": 1e9})
    teacher.fit(X, np.zeros((200, n_outputs)).squeeze())
    clean = teacher.predict(X)
    Y = clean + 0.1 * rng.standard_normal(clean.shape)
    near = tuple([A + 0.01 * rng.standard_normal(A.shape) for A in arrays] for arrays in (teacher.coefs_, teacher.intercepts_))
    model = BPRegressor(hidden_layer_sizes=sizes, init=near, **options).fit(X, Y, weights)

    start = BPRegressor(hidden_layer_sizes=sizes, init=near, **{**options, "tol": 1e9}).fit(X, Y, weights)
    residuals, w = residuals_of(start, X, Y, weights, alpha)
    theirs = least_squares(residuals, w, method="lm", xtol=1e-9, ftol=1e-12, gtol=1e-9, max_nfev=4000)
    mine, ours = residuals_of(model, X, Y, weights, alpha)
    assert_allclose(0.5 * np.square(mine(ours)).sum(), theirs.cost, rtol=1e-6)
    assert_allclose(mine(ours)[: Y.size], residuals(theirs.x)[: Y.size], atol=1e-4)  # weights may be ill determined


def small_fit(dtype=np.float64, **options):
    rng = np.random.RandomState(0)
    X = np.linspace(-3, 3, 60, dtype=dtype)[:, None]
    y = (np.sin(X[:, 0]) + 0.1 * rng.standard_normal(60)).astype(dtype)
    options = {"hidden_layer_sizes": 4, "activation": "tanh", "solver": "lm", "random_state": 0, **options}
    return BPRegressor(**options).fit(X, y), X, y


def test_the_loss_is_that_of_the_other_solvers_and_falls():
    model, X, y = small_fit(alpha=0.1)
    penalty = 0.5 * 0.1 * sum(np.square(W).sum() for W in model.coefs_) / 60
    assert_allclose(model.loss_, 0.5 * np.mean((model.predict(X) - y) ** 2) + penalty, rtol=1e-12)
    assert model.loss_ == model.loss_curve_[-1] == model.restart_losses_[0]
    assert len(model.loss_curve_) == model.n_iter_
    assert (np.diff(model.loss_curve_) <= 0).all()


def test_float32_finds_nearly_the_minimum_of_float64():
    single, _, _ = small_fit(np.float32, alpha=0.1)
    double, _, _ = small_fit(alpha=0.1)
    assert single.coefs_[0].dtype == np.float32
    assert_allclose(single.loss_, double.loss_, rtol=1e-4)


def test_rows_that_weigh_two_are_rows_that_come_twice():
    _, X, y = small_fit()
    options = {"hidden_layer_sizes": 4, "activation": "tanh", "solver": "lm", "random_state": 0, "max_iter": 6}
    counts = np.random.RandomState(0).randint(0, 4, 60)
    for alpha in (0.1, "bayes"):
        weighted = BPRegressor(alpha=alpha, **options).fit(X, y, counts)
        repeated = BPRegressor(alpha=alpha, **options).fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
        for mine, meant in zip(weighted.coefs_, repeated.coefs_):
            assert_allclose(mine, meant, rtol=1e-6)


def test_warm_start_goes_on_and_partial_fit_is_not_there():
    model, X, y = small_fit(max_iter=3, warm_start=True, tol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        first = model.loss_
        model.fit(X, y)
    assert model.loss_ < first == model.loss_curve_[2]
    assert (len(model.loss_curve_), model.n_iter_) == (6, 3)
    assert not hasattr(model, "partial_fit")


def test_searches_restarts_and_copies():
    X, y = load_diabetes(return_X_y=True)
    X, y = X / X.std(axis=0), (y - y.mean()) / y.std()
    model = BPRegressor(hidden_layer_sizes=2, activation="tanh", solver="lm", random_state=0, max_iter=15, tol=0.01)
    search = BPSearchCV(model, {"hidden_layer_sizes": [1, 2], "alpha": [1.0, "bayes"]}, cv=3, n_jobs=2).fit(X, y)
    for i, params in enumerate(search.cv_results_["params"]):
        alone = copy.deepcopy(model).set_params(**params).fit(X[147 + 1 :], y[147 + 1 :])
        assert search.cv_results_["split0_test_score"][i] == alone.score(X[:148], y[:148])
    several = copy.deepcopy(model).set_params(n_restarts=3, n_threads=2).fit(X, y)
    assert several.loss_ == several.restart_losses_.min()
    copied = copy.deepcopy(several)
    assert_array_equal(copied.predict(X), several.predict(X))


def test_estimates_and_losses_are_kept_in_a_file(tmp_path):
    model, X, _ = small_fit(alpha="bayes")
    fastbp.save(model, tmp_path / "model.safetensors")
    loaded = fastbp.load(tmp_path / "model.safetensors")
    assert_array_equal(loaded.predict(X), model.predict(X))
    assert (loaded.alpha_, loaded.noise_variance_, loaded.loss_curve_) == (model.alpha_, model.noise_variance_, model.loss_curve_)
    assert type(model.alpha_) is type(model.n_effective_parameters_) is float


def test_verbose_prints_losses(capsys):
    model, _, _ = small_fit(max_iter=4, verbose=2, tol=0)
    losses = [f"Iteration {i}, loss = {model.loss_curve_[i - 1]:.8f}" for i in (2, 4)]
    assert capsys.readouterr().out.splitlines() == losses


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_why_it_ends(alpha):
    """Once no element of the gradient is above tol, relative to the targets' spread and the steepest parameter of its layer."""
    options = {"alpha": alpha, "tol": 1e-3, "max_iter": 500, "hidden_layer_sizes": (4, 3)}
    model, X, y = small_fit(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        before, _, _ = small_fit(**{**options, "max_iter": model.n_iter_ - 1})

    def largest(model):
        residuals, w = residuals_of(model, X, y, None, 0.0)
        step, n_weights = 1e-6, sum(W.size for W in model.coefs_)
        J = np.transpose([(residuals(w + step * d) - residuals(w - step * d))[:60] / (2 * step) for d in np.eye(len(w))])
        penalty = alpha * (np.arange(len(w)) < n_weights)
        gradient, lengths = J.T @ residuals(w)[:60] + penalty * w, np.sqrt(np.square(J).sum(axis=0) + penalty)
        layers = np.concatenate([np.full(array.size, i % 3) for i, array in enumerate([*model.coefs_, *model.intercepts_])])
        parts = [np.abs(gradient[layers == k]).max() / lengths[layers == k].max() for k in range(3)]
        return max(parts) / np.linalg.norm(y - y.mean())

    assert largest(model) <= 1e-3 * (1 + 1e-6) < largest(before)
    with pytest.warns(ConvergenceWarning, match=r"lm failed to converge after 2 iteration\(s\): the largest element"):
        small_fit(max_iter=2)


# ---- targets in any unit

WAVE = np.linspace(-2.5, 2.5, 80)[:, np.newaxis]
CURVES = {
    "one": (np.sin(2 * WAVE[:, 0]), {}),
    "noise": (np.sin(2 * WAVE[:, 0]) + 0.1 * np.random.RandomState(0).standard_normal(80), {"hidden_layer_sizes": 4}),
    "far from zero": (50 + np.sin(2 * WAVE[:, 0]), {}),
    "without intercepts": (np.sin(2 * WAVE[:, 0]), {"fit_intercept": False}),
    "two of other sizes": (np.column_stack([np.sin(2 * WAVE[:, 0]), 300 + 1e-3 * np.cos(3 * WAVE[:, 0])]), {}),
    "deep": (np.sin(2 * WAVE[:, 0]), {"hidden_layer_sizes": (5, 4), "activation": ["logistic", "softplus"]}),
    "no layer": (np.column_stack([WAVE[:, 0] - 3, WAVE[:, 0] ** 2]), {"hidden_layer_sizes": ()}),
    "cut off": (1.5 + np.sin(2 * WAVE[:, 0]), {"output_activation": "relu", "random_state": 1}),
    "several starts": (np.sin(2 * WAVE[:, 0]), {"n_restarts": 3}),
    "fitted starts": (np.sin(2 * WAVE[:, 0]), {"init": "data"}),
}


def curve_fit(y, dtype=np.float64, weights=None, **options):
    options = {"hidden_layer_sizes": 8, "activation": "tanh", "random_state": 0, "max_iter": 60, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return BPRegressor(solver="lm", **options).fit(WAVE.astype(dtype), y.astype(dtype), weights)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alpha", [0.0, "bayes"])
@pytest.mark.parametrize("curve", CURVES)
def test_the_unit_of_the_targets_changes_no_bit(curve, alpha, dtype):
    """A power of two changes no digit of any product; other factors those that rounding loses."""
    y, options = CURVES[curve]
    weights = np.random.RandomState(1).uniform(0.0, 2.0, 80) * (np.arange(80) % 7 > 0)
    options = {**options, "max_iter": 20}
    for weight, powers in ((None, (-40, 13)), (weights, (40,))):
        model = curve_fit(y, dtype, weight, alpha=alpha, **options)
        for power in powers:
            other = curve_fit(y * 2.0**power, dtype, weight, alpha=alpha, **options)
            assert_array_equal(other.predict(WAVE.astype(dtype)), model.predict(WAVE.astype(dtype)) * 2.0**power)
            assert_array_equal(other.loss_curve_, np.multiply(model.loss_curve_, 4.0**power))
            if alpha == "bayes":
                assert other.alpha_ == model.alpha_
                assert_array_equal(other.noise_variance_, model.noise_variance_ * 4.0**power)  # NaN until it is estimated
                assert_array_equal(other.n_effective_parameters_, model.n_effective_parameters_)


@pytest.mark.parametrize("factor", [1e-12, 3e-7, 0.7, 1e5, 1e12])
@pytest.mark.parametrize("alpha", [0.0, "bayes"])
@pytest.mark.parametrize("curve", ["noise", "two of other sizes", "without intercepts"])
def test_other_factors_change_what_rounding_does(curve, alpha, factor):
    y, options = CURVES[curve]
    options = {**options, "alpha": alpha, "hidden_layer_sizes": 3, "max_iter": 30}
    model, other = curve_fit(y, **options), curve_fit(y * factor, **options)
    assert_allclose(other.predict(WAVE) / factor, model.predict(WAVE), rtol=1e-6, atol=1e-6 * y.std(axis=0).min())


@pytest.fixture(scope="module")
def r2_of_scipy():
    """What scipy's own method reaches from the same start."""
    x, y = WAVE, np.sin(2 * WAVE[:, 0])
    options = {"hidden_layer_sizes": 8, "activation": "tanh", "solver": "sgd", "random_state": 0, "max_iter": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        start = BPRegressor(learning_rate_init=1e-300, alpha=0.0, **options).fit(x, y)

    def hidden(w):
        return np.tanh(x * w[:8] + w[8:16])

    def jacobian(w):
        slopes = (1 - hidden(w) ** 2) * w[16:24]
        return np.column_stack([slopes * x, slopes, hidden(w), np.ones(80)])

    w = np.concatenate([np.ravel(array) for pair in zip(start.coefs_, start.intercepts_) for array in pair])
    found = least_squares(lambda w: hidden(w) @ w[16:24] + w[24] - y, w, jac=jacobian, method="lm")
    return 1 - 2 * found.cost / (80 * y.var())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alpha", [0.0, "bayes"])
@pytest.mark.parametrize("unit", [1e-12, 1e-6, 1e-3, 1.0, 1e6, 1e12])
def test_it_fits_what_scipy_fits_in_any_unit(unit, alpha, dtype, r2_of_scipy):
    y = np.sin(2 * WAVE[:, 0]) * unit
    model = curve_fit(y, dtype, alpha=alpha, max_iter=300)
    assert 5 < model.n_iter_ < 300
    assert model.score(WAVE.astype(dtype), y) > r2_of_scipy - 1e-3


@pytest.mark.parametrize("units", [(1.0, 1e-3), (1e-9, 1.0), (1e6, 1.0, 1e-4)])
def test_outputs_of_other_units_are_all_fitted(units):
    waves = np.column_stack([np.sin(2 * WAVE[:, 0]), np.cos(2 * WAVE[:, 0]), np.sin(WAVE[:, 0])])[:, : len(units)]
    model = curve_fit(waves * units, alpha=0.0, hidden_layer_sizes=12, max_iter=500)
    errors = model.predict(WAVE) / units - waves
    assert (np.square(errors).mean(axis=0) < 0.05 * waves.var(axis=0)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alpha", [0.0, 0.1, "bayes"])
@pytest.mark.parametrize("value", [0.1, 1e6, -3e-9])
def test_constant_targets_are_met(value, alpha, dtype):
    y = np.full(80, value)
    assert_allclose(curve_fit(y, dtype, alpha=alpha).predict(WAVE.astype(dtype)), y, rtol=10 * np.finfo(dtype).eps)
    both = curve_fit(np.column_stack([np.sin(WAVE[:, 0]), y]), dtype, alpha=alpha).predict(WAVE.astype(dtype))
    assert_allclose(both[:, 1], y, rtol=1e-3, atol=1e-3)
    assert np.isfinite(curve_fit(0 * y, dtype, alpha=alpha).predict(WAVE.astype(dtype))).all()


def test_squares_that_no_float_holds_are_refused():
    for unit in (1e-200, 1e200):
        with pytest.raises(ValueError, match=r"The targets have a standard deviation of \S+, too extreme .*: scale y"):
            curve_fit(np.sin(WAVE[:, 0]) * unit, alpha=0.0)


def test_weights_of_ones_own_keep_their_unit():
    """So does a training that goes on: only new weights begin in the targets' unit."""
    y = 1e-6 * np.sin(2 * WAVE[:, 0])
    first = curve_fit(y, alpha=0.0, max_iter=5)
    given = (first.coefs_, first.intercepts_)
    again = curve_fit(y, alpha=0.0, init=given, tol=1e9)
    assert_array_equal(again.predict(WAVE), first.predict(WAVE))
    warm = curve_fit(y, alpha=0.0, max_iter=5, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warm.fit(WAVE, y)
    assert warm.loss_curve_[5] < warm.loss_curve_[4]
    assert_array_equal(warm.coefs_[0], curve_fit(y, alpha=0.0, max_iter=5, init=given).coefs_[0])


def test_told_to_stop():
    network, params, X, Y, _ = case(n_rows=500)
    sync = np.zeros(SYNC_SIZE, dtype=np.int64)
    sync[INTERRUPT] = 1
    equations = NormalEquations(network, Problem(X, Y), sync=sync)
    with pytest.raises(KeyboardInterrupt):
        equations.accumulate(params[equations.trained.positions])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (BPRegressor("huber", solver="lm"), "solver='lm' is for the loss 'squared_error', not for 'huber'"),
        (BPRegressor("poisson", solver="lm"), "solver='lm' is for the loss 'squared_error', not for 'poisson'"),
        (BPClassifier(solver="lm"), "solver='lm' is for the loss 'squared_error', not for 'log_loss'"),
        (BPRegressor(solver="lm", activation="step"), "needs the slopes of all activations, and 'step' has none"),
        (BPRegressor(solver="lm", output_activation="step"), "needs the slopes of all activations, and 'step' has none"),
        (BPRegressor(alpha="bayes"), "alpha='bayes' is for solver='lm', not for 'adam'"),
        (BPRegressor(alpha="evidence", solver="lm"), "The 'alpha' parameter of BPRegressor must be"),
        (BPClassifier(alpha="bayes"), "The 'alpha' parameter of BPClassifier must be a float"),
    ],
)
def test_what_it_is_not_for(model, message):
    with pytest.raises(ValueError, match=message):
        model.fit(np.eye(3), [0, 1, 2])


def test_too_many_parameters_are_refused_before_there_is_memory_for_them():
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"two matrices of 10001 x 10001 numbers \(1.6 GB\)"):
            BPRegressor(hidden_layer_sizes=2000, solver="lm").fit(np.ones((5, 3)), np.arange(5))
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


def test_weights_and_losses_it_cannot_take():
    with pytest.raises(ValueError, match="sample weights that are not negative"):
        BPRegressor(solver="lm").fit(np.ones((3, 1)), np.arange(3), [1.0, -0.5, 1.0])
    with pytest.raises(ValueError, match="The loss of lm or its gradient is not finite after iteration 0"):
        BPRegressor(solver="lm", activation="relu").fit(np.full((3, 1), 1e200), np.arange(3))


# ---- the evidence


def test_alpha_and_noise_of_a_linear_network_have_the_most_evidence():
    """Against the marginal likelihood itself: y ~ N(X·w + b, noise), w ~ N(0, noise / alpha), b with a flat prior."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((40, 5)) * [3.0, 1.0, 1.0, 0.3, 1.0]
    y = X @ [0.5, -1.0, 0.0, 2.0, 0.1] + 4.0 + 0.7 * rng.standard_normal(40)
    model = BPRegressor(hidden_layer_sizes=(), solver="lm", alpha="bayes", tol=1e-9, max_iter=500, random_state=0).fit(X, y)
    A, D = np.column_stack([X, np.ones(40)]), np.diag([1.0] * 5 + [0.0])

    def minus_log_evidence(logs):
        alpha, noise = np.exp(logs)
        H = A.T @ A + alpha * D
        w = np.linalg.solve(H, A.T @ y)
        misfit = (np.square(A @ w - y).sum() + alpha * w @ D @ w) / noise
        return 0.5 * (misfit + np.linalg.slogdet(H / noise)[1] - 5 * np.log(alpha / noise) + 40 * np.log(noise))

    best = minimize(
        minus_log_evidence, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 10**4}
    )
    assert_allclose([model.alpha_, model.noise_variance_], np.exp(best.x), rtol=1e-5)
    H = A.T @ A + model.alpha_ * D
    assert_allclose(model.n_effective_parameters_, np.trace(np.linalg.solve(H, A.T @ A)), rtol=1e-6)
    assert_allclose([*model.coefs_[0][:, 0], model.intercepts_[0][0]], np.linalg.solve(H, A.T @ y), rtol=1e-5)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e3])
def test_alpha_of_a_network_with_hidden_units_is_where_the_estimates_stay(unit):
    """MacKay's equations by plain numpy, for targets with a spread of 1, slopes by differences of predictions."""
    X = np.linspace(-3, 3, 60)[:, None]
    y = unit * (np.sin(X[:, 0]) + 0.1 * np.random.RandomState(0).standard_normal(60))
    options = {"hidden_layer_sizes": 3, "activation": "tanh", "solver": "lm", "random_state": 0, "tol": 1e-8, "max_iter": 1000}
    model = BPRegressor(alpha="bayes", **options).fit(X, y)
    spread = y.std()
    own = copy.deepcopy(model)
    own.coefs_[-1][...] /= spread
    own.intercepts_[-1][...] = (own.intercepts_[-1] - y.mean()) / spread
    residuals, w = residuals_of(own, X, (y - y.mean()) / spread, None, 0.0)
    step = 1e-6
    J = np.transpose([(residuals(w + step * d) - residuals(w - step * d))[:60] / (2 * step) for d in np.eye(len(w))])
    n_weights = sum(W.size for W in model.coefs_)
    D = np.diag(np.arange(len(w)) < n_weights).astype(float)
    n_effective = np.trace(np.linalg.solve(J.T @ J + model.alpha_ * D, J.T @ J))
    squares, norm = np.square(residuals(w)[:60]).sum(), w @ D @ w
    noise = squares / (60 - n_effective)
    assert_allclose(model.n_effective_parameters_, n_effective, rtol=1e-5)
    assert_allclose(model.noise_variance_, noise * spread**2, rtol=1e-5)
    assert_allclose(model.alpha_, (n_effective - (len(w) - n_weights)) * noise / norm, rtol=1e-5)
    assert 0.5 < model.noise_variance_ / (0.1 * unit) ** 2 < 2.0  # what the targets were made with
    again = BPRegressor(alpha=model.alpha_, target_scaling="standard", **options).set_params(init=(own.coefs_, own.intercepts_))
    again.fit(X, y)
    assert_allclose(again.coefs_[0], model.coefs_[0], rtol=1e-4)
    assert not hasattr(again, "alpha_")


@pytest.mark.parametrize("dtype", DTYPES)
def test_more_parameters_than_the_data_determine(dtype):
    """The larger the network, the more is left undetermined; pure noise determines next to nothing."""
    small, X, _ = small_fit(dtype, alpha="bayes", hidden_layer_sizes=4, max_iter=300)
    large, _, _ = small_fit(dtype, alpha="bayes", hidden_layer_sizes=30, max_iter=300)
    assert small.n_effective_parameters_ < 13 + 1e-6
    assert large.n_effective_parameters_ < 25
    assert np.abs(large.predict(X) - np.sin(X[:, 0])).max() < 0.3
    noise = np.random.RandomState(1).standard_normal(60).astype(dtype)
    nothing = BPRegressor(hidden_layer_sizes=5, activation="tanh", solver="lm", alpha="bayes", max_iter=300, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        nothing.fit(X, noise)
    assert nothing.noise_variance_ > 0.5 * noise.var()
    assert np.isfinite([nothing.loss_, nothing.alpha_]).all()
