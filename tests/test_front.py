"""What may stand before the first layer, an embedding of numbers and a scale per input; factors on the learning rate; the start
that is fitted to rows. Against PyTorch, NumPy and finite sums."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV

from fastbp import BPClassifier, BPRegressor, BPSearchCV, to_c, to_sklearn
from fastbp.kernels.compiler import entry
from fastbp.kernels.front import sine_and_cosine
from fastbp.kernels.vectors import lane_count, load, store
from fastbp.training.initialisation import draw_front, fit_start
from fastbp.training.network import front_views, make_network, pack_parameters, parameter_views
from fastbp.training.objective import Objective
from fastbp.training.predict import layer_activations, predict_outputs
from fastbp.training.problem import Problem

DTYPES = [np.float32, np.float64]
FRONTS = [
    {"embedding": "periodic"},
    {"scale_layer": True},
    {"embedding": "periodic", "scale_layer": True},
    {"embedding": "periodic", "embedded_features": [4, 0], "scale_layer": True},
]
# as RealMLP has them
FACTORS = {"coefs": "fan_in", "intercepts": 0.1, "embedding": 0.1, "scale": 6.0}


def columns_of(options, n_features):
    if "embedding" not in options:
        return []
    return options.get("embedded_features", list(range(n_features)))


def random_front(network, dtype, seed=3):
    rng = np.random.RandomState(seed)
    front = draw_front(network, rng, np.float64)
    return {name: (values + 0.3 * rng.normal(size=values.shape)).astype(dtype) for name, values in front.items()}


def problem_of(n_rows, n_features, dtype, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(n_rows, n_features)).astype(dtype)
    return X, (np.sin(2 * X[:, :1]) + X[:, 1:2] * X[:, 2:3] + 0.1 * rng.normal(size=(n_rows, 1))).astype(dtype)


class Torch:
    """The same network in PyTorch, from the same start."""

    def __init__(self, network, params, columns, activation="tanh"):
        torch = pytest.importorskip("torch")
        coefs, intercepts = parameter_views(network, params)

        def make(array):
            return torch.tensor(np.array(array), dtype=torch.float64, requires_grad=True)

        self.torch, self.columns, self.activation = torch, columns, activation
        self.coefs, self.intercepts = [make(W) for W in coefs], [make(b) for b in intercepts]
        self.front = {name: make(value) for name, value in front_views(network, params).items()}

    def __call__(self, X, gains=None):
        torch = self.torch
        x = torch.tensor(X, dtype=torch.float64)
        if self.columns:
            angles = 2 * np.pi * x[:, self.columns, None] * self.front["frequencies"] + self.front["phases"]
            outputs = torch.einsum("ncw,cow->nco", torch.cos(angles), self.front["cosines"]) + self.front["offsets"]
            x = torch.cat([outputs.flatten(1), x], 1)
        if "scale" in self.front:
            x = x * self.front["scale"]
        for layer, (W, b) in enumerate(zip(self.coefs, self.intercepts)):
            x = x @ W * (1.0 if gains is None else gains[layer]) + b
            x = getattr(torch, self.activation)(x) if layer < len(self.coefs) - 1 else x
        return x


@pytest.mark.parametrize("dtype", DTYPES)
def test_sine_and_cosine(dtype):
    tolerance = 8 * np.finfo(dtype).eps  # as its docstring says

    @entry
    def call(turns, sines, cosines):
        for i in range(0, turns.size, lane_count(turns)):
            sine, cosine = sine_and_cosine(load(turns, i))
            store(sines, i, sine)
            store(cosines, i, cosine)

    turns = np.random.default_rng(0).uniform(-3, 3, 4096).astype(dtype)
    turns[:9] = 0, 0.25, 0.5, 0.75, 1, -0.25, -0.5, 1e-8, 1000.125
    sines, cosines = np.empty_like(turns), np.empty_like(turns)
    call(turns, sines, cosines)
    remainder = (turns - np.rint(turns)).astype(np.longdouble)
    np.testing.assert_allclose(sines, np.sin(2 * np.pi * remainder.astype(np.float64)), atol=tolerance, rtol=0)
    np.testing.assert_allclose(cosines, np.cos(2 * np.pi * remainder.astype(np.float64)), atol=tolerance, rtol=0)
    turns[:3], turns[3] = (np.nan, np.inf, -np.inf), 1e30
    call(turns, sines, cosines)
    assert np.isnan(cosines[:3]).all() and np.isnan(sines[:3]).all()
    assert np.abs(cosines[3]) <= 1 + tolerance


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", FRONTS)
@pytest.mark.parametrize("n_rows, width", [(3, 9), (130, 9), (1000, 9), (130, 300)])
def test_outputs_and_gradient_are_pytorchs(dtype, options, n_rows, width):
    """Few rows go in one block, many in slabs, wide layers in panels; the rows are gathered in an order of their own."""
    torch = pytest.importorskip("torch")
    columns = columns_of(options, 5)
    sizes = (5, width, 2, 3)
    network = make_network(
        sizes, ("tanh", "tanh"), "identity", "squared_error", embedded=columns,
        scale_layer=options.get("scale_layer", False), dtype=dtype,
    )  # fmt: skip
    rng = np.random.RandomState(1)
    X, Y = rng.normal(size=(n_rows, 5)).astype(dtype), rng.normal(size=(n_rows, 3)).astype(dtype)
    weights = rng.uniform(0.5, 2, n_rows).astype(dtype)
    n_in = 5 + 3 * len(columns)
    coefs = [rng.normal(size=shape) / np.sqrt(shape[0]) for shape in ((n_in, width), (width, 2), (2, 3))]
    intercepts = [rng.normal(size=n) for n in sizes[1:]]
    params = pack_parameters(network, coefs, intercepts, dtype, random_front(network, dtype))
    twin = Torch(network, params, columns)
    numbers = rng.permutation(n_rows)
    objective = Objective(network, Problem(X, Y, weights, row_indices=numbers, n_outputs=3), alpha=0.0)
    loss = objective(params)
    outputs = twin(X)
    close = {"rtol": 1e-9, "atol": 1e-11} if dtype == np.float64 else {"rtol": 2e-3, "atol": 2e-5}
    np.testing.assert_allclose(predict_outputs(network, params, X), outputs.detach(), **close)
    errors = (outputs - torch.tensor(Y, dtype=torch.float64)) ** 2 / 2
    by_row = torch.tensor(weights, dtype=torch.float64)
    (errors.sum(1) * by_row).sum().div(by_row.sum()).backward()
    assert loss == pytest.approx(float((errors.mean(1) * by_row).sum() / by_row.sum()), rel=1e-5)
    by_coefs, by_intercepts = parameter_views(network, objective.gradient)
    for mine, theirs in zip((*by_coefs, *by_intercepts), (*twin.coefs, *twin.intercepts), strict=True):
        np.testing.assert_allclose(mine, theirs.grad, **close)
    found = front_views(network, objective.gradient)
    assert found.keys() == twin.front.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values, twin.front[name].grad, err_msg=name, **close)
        values[...] = 0
    for array in (*by_coefs, *by_intercepts):
        array[...] = 0
    assert not objective.gradient.any()  # the padding


@pytest.mark.parametrize("options", FRONTS[:3])
@pytest.mark.parametrize("factors", [None, FACTORS, {"coefs": 0.5, "scale": 3.0}])
@pytest.mark.parametrize("solver", ["adamw", "adam", "sgd"])
def test_steps_are_pytorchs(options, factors, solver):
    """Twenty steps by PyTorch's gradients, groups of parameters at rates of their own."""
    torch = pytest.importorskip("torch")
    X, y = problem_of(60, 5, np.float64)
    step = {"solver": solver, "learning_rate_init": 0.02, "nesterovs_momentum": False, "alpha": 0.0, "shuffle": False}
    step |= {"weight_decay": 0.3}
    model = BPRegressor(
        hidden_layer_sizes=(8, 6), activation="tanh", random_state=1, max_iter=20, batch_size=60, tol=0, rate_factors=factors,
        init="he_normal", n_iter_no_change=99, **options, **step,
    )  # fmt: skip
    start = clone(model).set_params(learning_rate_init=1e-30, max_iter=1).fit(X, y.ravel())
    twin = Torch(*start._packed(), columns_of(options, 5))
    factor = {"coefs": 1.0, "intercepts": 1.0, "embedding": 1.0, "scale": 1.0} | (factors or {})
    of_layer = [1 / np.sqrt(len(W)) if factor["coefs"] == "fan_in" else factor["coefs"] for W in start.coefs_]
    # each with the factor on its rate, and on its decay, which is none for intercepts and knows nothing of fan_in
    groups = [(W, f, 1.0 if factor["coefs"] == "fan_in" else f) for W, f in zip(twin.coefs, of_layer)]
    groups += [(b, factor["intercepts"], 0.0) for b in twin.intercepts]
    groups += [(value, *[factor["scale" if name == "scale" else "embedding"]] * 2) for name, value in twin.front.items()]
    kept = [(torch.zeros_like(value), torch.zeros_like(value)) for value, _, _ in groups]
    for t in range(1, 21):
        loss = (0.5 * (twin(X) - torch.tensor(y)) ** 2).mean()
        slopes = torch.autograd.grad(loss, [value for value, _, _ in groups])
        for (value, rate, decay), (m, v), g in zip(groups, kept, slopes):
            with torch.no_grad():
                if solver in ("adam", "adamw"):
                    value *= 1 - 0.02 * 0.3 * decay * (solver == "adamw")
                    m.mul_(0.9).add_(0.1 * g)
                    v.mul_(0.999).add_(0.001 * g * g)
                    correction = np.sqrt(1 - 0.999**t)
                    floor = 1e-8 * correction if solver == "adamw" else 1e-8
                    value -= 0.02 * rate * correction / (1 - 0.9**t) * m / (v.sqrt() + floor)
                else:
                    m.mul_(0.9).sub_(0.02 * rate * g)
                    value += m
    model.fit(X, y.ravel())
    close = {"rtol": 1e-6, "atol": 1e-8}
    for mine, theirs in zip((*model.coefs_, *model.intercepts_), (*twin.coefs, *twin.intercepts), strict=True):
        np.testing.assert_allclose(mine, theirs.detach(), **close)
    for name, theirs in twin.front.items():
        np.testing.assert_allclose(model.front_[name], theirs.detach(), err_msg=name, **close)


def test_fan_in_is_the_neural_tangent_parametrisation():
    """z = W·x / √n with rate r takes the steps of z = W·x with the rate r / √n from a start divided by √n: adam's steps do not
    depend on the gradient's scale."""
    torch = pytest.importorskip("torch")
    X, y = problem_of(60, 5, np.float64)
    model = BPRegressor(
        hidden_layer_sizes=(16, 9), activation="tanh", learning_rate_init=0.02, random_state=1, max_iter=20, batch_size=60,
        tol=0, rate_factors={"coefs": "fan_in"}, shuffle=False, alpha=0.0, n_iter_no_change=99, epsilon=1e-12,
    )  # fmt: skip
    start = clone(model).set_params(learning_rate_init=1e-30, max_iter=1).fit(X, y.ravel())
    twin = Torch(*start._packed(), [])
    gains = [1 / np.sqrt(len(W)) for W in twin.coefs]
    with torch.no_grad():
        for W, gain in zip(twin.coefs, gains):
            W /= gain
    optimizer = torch.optim.Adam([*twin.coefs, *twin.intercepts], lr=0.02, eps=1e-12)
    for _ in range(20):
        optimizer.zero_grad()
        (0.5 * (twin(X, gains) - torch.tensor(y)) ** 2).mean().backward()
        optimizer.step()
    model.fit(X, y.ravel())
    for mine, theirs, gain in zip(model.coefs_, twin.coefs, gains, strict=True):
        np.testing.assert_allclose(mine, gain * theirs.detach().numpy(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch_size", [50, 333, 7])
@pytest.mark.parametrize("shaped", [{}, {"clip_norm": 0.5, "max_norm": 1.0, "averaging": 0.9, "l1_ratio": 0.5}])
def test_same_bits_for_any_number_of_threads(teams_for_any_work, dtype, batch_size, shaped):
    X, y = problem_of(333, 21, dtype)
    fits = [
        BPRegressor(
            hidden_layer_sizes=(40, 9), max_iter=4, batch_size=batch_size, random_state=0, n_threads=n, rate_factors=FACTORS,
            init="data", embedding="periodic", scale_layer=True, learning_rate_init=0.01, tol=0, **shaped,
        ).fit(X, y.ravel())
        for n in (1, 2, 3)
    ]  # fmt: skip
    for other in fits[1:]:
        np.testing.assert_array_equal(fits[0]._params, other._params)
        np.testing.assert_array_equal(fits[0].predict(X), other.predict(X))


def test_factors_of_one_change_no_bit():
    X, y = problem_of(90, 4, np.float64)
    options = {"hidden_layer_sizes": 8, "random_state": 0, "max_iter": 5, "batch_size": 9}
    plain = BPRegressor(**options).fit(X, y.ravel())
    ones = BPRegressor(rate_factors=dict.fromkeys(FACTORS, 1.0), **options).fit(X, y.ravel())
    np.testing.assert_array_equal(plain._params, ones._params)


@pytest.mark.parametrize("solver", ["sgd", "rmsprop", "adam", "lbfgs"])
@pytest.mark.parametrize("batch_size", [1, 16])
def test_every_solver_trains_it(solver, batch_size):
    X = np.linspace(-3, 3, 200)[:, None]
    y = np.sin(3 * X.ravel())
    rate = 0.001 if solver == "sgd" else 0.01
    options = {"learning_rate_init": rate, "max_iter": 60, "random_state": 0, "batch_size": batch_size, "solver": solver}
    model = BPRegressor(hidden_layer_sizes=16, embedding="periodic", scale_layer=True, **options).fit(X, y)
    assert model.loss_curve_[-1] < 0.7 * model.loss_curve_[0] if solver != "lbfgs" else model.score(X, y) > 0.9
    assert model.coefs_[0].shape == (4, 16) and model.front_["frequencies"].shape == (1, 16)


@pytest.mark.parametrize("options", FRONTS)
def test_pickles_copies_and_partial_fit(options):
    X, y = problem_of(64, 5, np.float64)
    model = BPRegressor(hidden_layer_sizes=(8,), random_state=0, max_iter=3, **options).fit(X, y.ravel())
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(model.predict(X), other.predict(X))
        assert other.embedded_features_ == tuple(columns_of(options, 5)) if columns_of(options, 5) else True
        np.testing.assert_array_equal(model.front_["scale"], other.front_["scale"]) if "scale" in model.front_ else None
    loaded = pickle.loads(pickle.dumps(model)).partial_fit(X, y.ravel())
    model.partial_fit(X, y.ravel())
    np.testing.assert_array_equal(model._params, loaded._params)
    name = next(iter(model.front_))
    before = model.predict(X)
    model.front_[name] *= 1.5
    assert not np.allclose(before, model.predict(X))
    model.front_[name] = np.array(model.front_[name]) / 1.5  # an array of one's own, in place of the view
    np.testing.assert_allclose(before, model.predict(X))
    plain = model.set_params(embedding=None, scale_layer=False).fit(X, y.ravel())
    assert not hasattr(plain, "front_") and plain.coefs_[0].shape == (5, 8)


def test_early_stopping_and_warm_start():
    X, y = problem_of(300, 5, np.float64)
    options = {"hidden_layer_sizes": 8, "random_state": 0, "embedding": "periodic", "scale_layer": True, "max_iter": 15}
    model = BPRegressor(early_stopping=True, warm_start=True, **options).fit(X, y.ravel())
    first = model.best_validation_score_
    model.fit(X, y.ravel())
    assert model.best_validation_score_ >= first


@pytest.mark.parametrize("init", ["data", "he_normal"])
def test_search_finds_what_grid_search_does(init):
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    base = BPClassifier((8,), init=init, embedding="periodic", scale_layer=True, random_state=0, max_iter=4)
    grid = {"rate_factors": [None, FACTORS], "scale_layer": [True, False]}
    mine = BPSearchCV(base, grid, cv=3, refit=False).fit(X, y)
    theirs = GridSearchCV(base, grid, cv=3, refit=False).fit(X, y)
    np.testing.assert_array_equal(mine.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])


def test_start_that_is_fitted_to_rows():
    X, _ = problem_of(3000, 6, np.float64)
    X[:, 5] = 1.0
    X *= [1, 100, 0.01, 1, 1, 1]
    network = make_network((6, 20, 30, 4), ("relu", "tanh"), "softmax", "log_loss", embedded=[1, 2], scale_layer=True)
    front = draw_front(network, np.random.RandomState(0), np.float64)
    assert front["frequencies"].shape == (2, 16) and np.abs(front["cosines"]).max() <= 0.25
    coefs, intercepts = fit_start(network, front, X, np.random.RandomState(0))
    assert [W.shape for W in coefs] == [(12, 20), (20, 30), (30, 4)]
    angles = 2 * np.pi * X[:, [1, 2], None] * front["frequencies"] + front["phases"]
    outputs = np.einsum("ncw,cow->nco", np.cos(angles), front["cosines"]) + front["offsets"]
    a = np.hstack([outputs.reshape(len(X), -1), X])
    for W, b, activate in zip(coefs, intercepts, (lambda z: np.maximum(z, 0), np.tanh, None)):
        z = a @ W
        np.testing.assert_allclose(z.std(axis=0), 1, rtol=0.15)  # of a thousand of the rows exactly 1
        # minus a mean of five rows: within what the unit computes, and spread around minus its mean
        assert np.all(-b >= z.min(axis=0)) and np.all(-b <= z.max(axis=0))
        assert 0.2 < np.std(b + z.mean(axis=0)) < 1.0
        a = activate(z + b) if activate else None
    fewer, _ = fit_start(network, front, X, np.random.RandomState(0), row_indices=np.arange(200))
    inputs = np.hstack([outputs.reshape(len(X), -1), X])[:200]
    np.testing.assert_allclose((inputs @ fewer[0]).std(axis=0), 1, rtol=1e-6)


def test_a_start_fitted_to_rows_with_weights():
    """The spread is the weighted one, and rows of weight 0 are not there, whatever they hold."""
    random = np.random.RandomState(0)
    X, y = random.normal([0, 5, -3], [1, 30, 0.1], (200, 3)), random.normal(size=200)
    weights = random.uniform(0.1, 3, 200) * (random.uniform(size=200) < 0.5)
    there = weights > 0
    X[~there] = 1e6
    network = make_network([3, 4, 1], ["tanh"], "identity", "squared_error")
    (W, _), (b, _) = fit_start(network, {}, X[there], np.random.RandomState(0), weights=weights[there])
    z = X[there] @ W
    mean = np.average(z, axis=0, weights=weights[there])
    np.testing.assert_allclose(np.average((z - mean) ** 2, axis=0, weights=weights[there]), 1, rtol=1e-6)
    assert (z.min(axis=0) <= -b).all() and (-b <= z.max(axis=0)).all()
    # heavy rows are picked: of one that outweighs all others the mean of five is its own
    heavy = np.where(np.arange(there.sum()) == 7, 1e12, 1.0)
    (W, _), (b, _) = fit_start(network, {}, X[there], np.random.RandomState(0), weights=heavy)
    np.testing.assert_allclose(b, -(X[there][7] @ W), rtol=1e-6)
    options = {"hidden_layer_sizes": 4, "init": "data", "learning_rate_init": 1e-30, "shuffle": False}
    for given in (weights, there.astype(float)):
        fits = [
            BPRegressor(max_iter=1, random_state=0, **options).fit(*rows)
            for rows in ((X, y, given), (X[there], y[there], given[there]))
        ]
        for mine, other in zip(fits[0].coefs_, fits[1].coefs_, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
def test_start_of_rows_that_are_all_alike(dtype):
    network = make_network((3, 4, 1), ("relu",), "identity", "squared_error", dtype=dtype)
    coefs, intercepts = fit_start(network, {}, np.ones((1, 3), dtype), np.random.RandomState(0))
    assert all(np.isfinite(a).all() for a in (*coefs, *intercepts)) and np.abs(coefs[0]).max() < 5
    sparse = BPRegressor(hidden_layer_sizes=4, init="data", max_iter=2, random_state=0)
    X = scipy.sparse.random(50, 6, 0.5, format="csr", random_state=0, dtype=dtype)
    dense = clone(sparse).fit(X.toarray(), np.arange(50.0))
    np.testing.assert_allclose(sparse.fit(X, np.arange(50.0)).coefs_[0], dense.coefs_[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"embedding": "fourier"}, "embedding"),
        ({"embedding": "periodic", "embedded_features": [0, 7]}, "column 7"),
        ({"embedding": "periodic", "embedded_features": [0, 0]}, "different"),
        ({"embedding": "periodic", "embedded_features": [-1]}, "negative"),
        ({"embedding": "periodic", "embedded_features": [0.5]}, "different column numbers"),
        ({"embedding": "periodic", "embedded_features": 3}, "embedded_features"),
        ({"scale_layer": 1}, "scale_layer"),
        ({"rate_factors": {"bias": 1.0}}, "'bias'"),
        ({"rate_factors": {"scale": 0.0}}, "scale"),
        ({"rate_factors": {"scale": "fan_in"}}, "scale"),
        ({"rate_factors": 3.0}, "rate_factors"),
        ({"rate_factors": {"scale": 2.0}, "solver": "lbfgs"}, "lbfgs"),
        ({"rate_factors": {"scale": 2.0}, "solver": "rprop"}, "rprop"),
        ({"embedding": "periodic", "solver": "lm"}, "lm"),
        ({"scale_layer": True, "solver": "lm"}, "lm"),
        ({"scale_layer": True, "feature_importances": True}, "feature_importances"),
    ],
)
def test_bad_values(options, message):
    X, y = problem_of(20, 5, np.float64)
    with pytest.raises(ValueError, match=message):
        BPRegressor(hidden_layer_sizes=4, max_iter=1, **options).fit(X, y.ravel())


@pytest.mark.parametrize("options", FRONTS[:2])
def test_sparse_rows_are_refused(options):
    X, y = problem_of(20, 5, np.float64)
    model = BPRegressor(hidden_layer_sizes=4, max_iter=1, **options)
    with pytest.raises(ValueError, match="dense"):
        model.fit(scipy.sparse.csr_array(X), y.ravel())
    model.fit(X, y.ravel())
    with pytest.raises(ValueError, match="dense"):
        model.predict(scipy.sparse.csr_array(X))


def test_weights_that_do_not_fit_the_front():
    X, y = problem_of(20, 5, np.float64)
    model = BPRegressor(hidden_layer_sizes=4, max_iter=1, embedding="periodic").fit(X, y.ravel())
    model.coefs_ = [W[1:] if k == 0 else W for k, W in enumerate(model.coefs_)]
    with pytest.raises(ValueError, match="features"):
        model.predict(X)
    assert len(layer_activations(*BPRegressor(hidden_layer_sizes=4, max_iter=1).fit(X, y.ravel())._packed(), X)) == 2


def test_norms_are_those_of_the_layers():
    X, y = problem_of(60, 5, np.float64)
    options = {"hidden_layer_sizes": (8, 3), "max_iter": 2, "batch_size": 60, "random_state": 0, "record_gradient_norms": True}
    model = BPRegressor(embedding="periodic", scale_layer=True, **options).fit(X, y.ravel())
    assert np.shape(model.gradient_norms_) == (2, 3) and np.all(np.array(model.gradient_norms_) > 0)


def test_what_explains_a_network():
    X, y = problem_of(20, 5, np.float64)
    model = BPRegressor(hidden_layer_sizes=4, max_iter=1, embedding="periodic", scale_layer=True).fit(X, y.ravel())
    hidden = model.hidden_activations(X)
    np.testing.assert_allclose(hidden @ model.coefs_[1] + model.intercepts_[1], model.predict(X)[:, None])
    others = [lambda: model.input_gradients(X), lambda: to_sklearn(model), lambda: to_c(model)]
    for ask in (model.olden_importances, model.garson_importances, *others):
        with pytest.raises(ValueError, match="without embedding"):
            ask()


def test_two_classes_with_an_output_each():
    """Softmax of two outputs is the logistic function of their difference."""
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    options = {"solver": "lbfgs", "random_state": 0, "tol": 1e-9, "max_iter": 3000}
    model = BPClassifier((), output_activation="softmax", alpha=20.0, **options).fit(X, y)
    assert model.coefs_[0].shape == (30, 2) and model.n_outputs_ == 2
    # half the penalty: the difference of two weights of opposite signs has twice the square of both
    other = BPClassifier((), alpha=10.0, **options).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), other.predict_proba(X), atol=2e-4)
    np.testing.assert_array_equal(model.predict(X), other.predict(X))
