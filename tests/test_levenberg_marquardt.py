"""Levenberg and Marquardt's method: its Jacobian against plain loops, its optimum against scipy's, its alpha by the evidence."""

import copy
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
from fastbp.training import levenberg_marquardt
from fastbp.training.network import make_network, pack_parameters, parameter_views
from fastbp.training.normal_equations import PANEL, NormalEquations
from fastbp.training.problem import Problem
from fastbp.training.starts import draw_parameters

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
    equations = NormalEquations(network, Problem(X if table is None else table, Y, weights, numbers=numbers))
    w = params[equations.positions].astype(np.float64)
    equations.accumulate(w)
    residuals, slopes = plain_jacobian(
        network, params, X[rows], Y[rows], None if weights is None else weights[rows], activation, output
    )
    J = slopes[:, equations.positions]
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
def test_blocks_and_threads_change_no_bit(dtype, monkeypatch):
    for name in ("SHARED_WORK", "SHARED_TOTAL"):
        monkeypatch.setattr(f"fastbp.training.threads.{name}", -np.inf)
    network, params, X, Y, weights = case((5, 20, 9, 2), dtype=dtype, n_rows=3000, weighted=True)
    found = []
    for n_threads in (1, 2, 3):
        equations = NormalEquations(network, Problem(X, Y, weights), n_threads=n_threads)
        equations.accumulate(params[equations.positions].astype(np.float64))
        equations.factorize(np.ones(equations.n))
        found.append((matrix_of(equations), equations.gradient, equations.solve(equations.gradient)))
    for other in found[1:]:
        for mine, meant in zip(other, found[0]):
            assert_array_equal(mine, meant)


@pytest.mark.parametrize("n_hidden", [1, 15, 16, 17, 100])  # 6 parameters a unit: less than a panel, and several
def test_what_is_solved(n_hidden):
    network, params, X, Y, _ = case((4, n_hidden, 1), n_rows=50)
    equations = NormalEquations(network, Problem(X, Y))
    equations.accumulate(params[equations.positions])
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


def test_why_it_ends():
    model, X, y = small_fit(alpha=1.0, tol=1e-3, max_iter=500)
    penalised = [W / 60 for W in model.coefs_]
    slopes = naive.gradients(
        model.coefs_, model.intercepts_, X, y[:, None], activation="tanh", output_activation="identity", loss="squared_error"
    )
    largest = max(np.abs(g + p).max() for g, p in zip(slopes.coefs, penalised))
    assert max(largest, max(np.abs(b).max() for b in slopes.intercepts)) <= 1e-3
    with pytest.warns(ConvergenceWarning, match=r"lm failed to converge after 2 iteration\(s\)"):
        small_fit(max_iter=2)


def test_told_to_stop():
    network, params, X, Y, _ = case(n_rows=500)
    sync = np.zeros(SYNC_SIZE, dtype=np.int64)
    sync[INTERRUPT] = 1
    equations = NormalEquations(network, Problem(X, Y), sync=sync)
    with pytest.raises(KeyboardInterrupt):
        equations.accumulate(params[equations.positions])


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


def test_too_many_parameters_are_refused_before_there_is_memory_for_them(monkeypatch):
    monkeypatch.setattr(levenberg_marquardt, "NormalEquations", None)
    with pytest.raises(ValueError, match=r"two matrices of 10001 x 10001 numbers \(1.6 GB\)"):
        BPRegressor(hidden_layer_sizes=2000, solver="lm").fit(np.ones((5, 3)), np.arange(5))


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


def test_alpha_of_a_network_with_hidden_units_is_where_the_estimates_stay():
    """MacKay's equations by plain numpy, slopes by differences of predictions."""
    model, X, y = small_fit(alpha="bayes", tol=1e-8, max_iter=1000)
    residuals, w = residuals_of(model, X, y, None, 0.0)
    step = 1e-6
    J = np.transpose([(residuals(w + step * d) - residuals(w - step * d))[:60] / (2 * step) for d in np.eye(len(w))])
    n_weights = sum(W.size for W in model.coefs_)
    D = np.diag(np.arange(len(w)) < n_weights).astype(float)
    n_effective = np.trace(np.linalg.solve(J.T @ J + model.alpha_ * D, J.T @ J))
    squares, norm = np.square(residuals(w)[:60]).sum(), w @ D @ w
    noise = squares / (60 - n_effective)
    assert_allclose(model.n_effective_parameters_, n_effective, rtol=1e-5)
    assert_allclose(model.noise_variance_, noise, rtol=1e-5)
    assert_allclose(model.alpha_, (n_effective - (len(w) - n_weights)) * noise / norm, rtol=1e-5)
    assert 0.5 < model.noise_variance_ / 0.01 < 2.0  # what the targets were made with
    again, _, _ = small_fit(alpha=model.alpha_, tol=1e-8, max_iter=1000, init=(model.coefs_, model.intercepts_))
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
