"""Step rules, schedules, clipping, bounds and averages of the weights against PyTorch and plain NumPy."""

import itertools
import math
import pickle
import warnings

import naive
import numpy as np
import pytest
import scipy.sparse
from covering import dealt

from fastbp import BPClassifier, BPRegressor, BPSearchCV
from fastbp.names import SCHEDULES, SOLVERS
from fastbp.training.schedules import FACTORS, factors_of, warmup_of

SIZES = (6, 9, 5, 2)
N_ROWS, BATCH, N_EPOCHS = 60, 15, 5  # 20 steps
N_STEPS = N_EPOCHS * N_ROWS // BATCH
rng = np.random.default_rng(0)
X = rng.normal(size=(N_ROWS, SIZES[0]))
Y = np.column_stack([np.sin(X[:, 0] * X[:, 1]), X[:, 2] ** 2])
COEFS = [rng.normal(size=shape) / math.sqrt(shape[0]) for shape in zip(SIZES[:-1], SIZES[1:], strict=True)]
INTERCEPTS = [0.1 * rng.normal(size=n) for n in SIZES[1:]]
BASE = {
    "hidden_layer_sizes": SIZES[1:-1],
    "activation": "tanh",
    "init": (COEFS, INTERCEPTS),
    "batch_size": BATCH,
    "shuffle": False,
    "max_iter": N_EPOCHS,
    "tol": 0,
    "n_iter_no_change": math.inf,
    "learning_rate_init": 0.01,
    "alpha": 0.3,
    "n_threads": 1,
}


def trained(kind=BPRegressor, data=(X, Y), **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(**(BASE | options)).fit(*data)


def assert_same_weights(model, expected, rtol=1e-6):
    for found, wanted in zip([*model.coefs_, *model.intercepts_], expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=rtol, atol=1e-10)


class Twin:
    """The same network in PyTorch, trained on the same batches; a penalty that is part of the loss is added past `clip`."""

    def __init__(self, make_optimizer, *, batch=BATCH, clip=None, schedule=None, after_step=None, penalty=None, weights=None):
        torch = pytest.importorskip("torch")
        self.W = [torch.tensor(W, requires_grad=True) for W in COEFS]
        self.b = [torch.tensor(b, requires_grad=True) for b in INTERCEPTS]
        self.parameters = [*self.W, *self.b]
        optimizer = make_optimizer(torch.optim, [{"params": self.W}, {"params": self.b, "weight_decay": 0.0}])
        scheduler = schedule(torch.optim.lr_scheduler, optimizer) if schedule else None
        rows, targets = torch.tensor(X), torch.tensor(Y)
        weights = torch.ones(N_ROWS, dtype=rows.dtype) if weights is None else torch.tensor(weights)
        self.norms, self.snapshots = [], []
        for _ in range(N_EPOCHS):
            for start in range(0, N_ROWS, batch):
                a, s = rows[start : start + batch], weights[start : start + batch]
                for W, b in zip(self.W[:-1], self.b[:-1], strict=True):
                    a = torch.tanh(a @ W + b)
                errors = (a @ self.W[-1] + self.b[-1] - targets[start : start + batch]) ** 2
                optimizer.zero_grad()
                ((errors.sum(1) / 2) @ s / s.sum()).backward()
                self.norms.append([math.hypot(W.grad.norm(), b.grad.norm()) for W, b in zip(self.W, self.b, strict=True)])
                if clip:
                    clip(torch.nn.utils, self.parameters)
                loss = sum(0.5 * 0.3 * (W**2).sum() for W in self.W) if penalty is None else penalty(self.W)
                (loss / s.sum()).backward()
                optimizer.step()
                if after_step:
                    with torch.no_grad():
                        after_step(torch, self.W)
                if scheduler:
                    scheduler.step()
                self.snapshots.append([p.detach().numpy().copy() for p in self.parameters])

    @property
    def weights(self):
        return self.snapshots[-1]


# ---- the same by the formulas of the papers, where PyTorch is not installed


def corrected(moment, decay, step):
    return moment / (1 - decay**step)


def adam(w, g, m, v, step, epsilon=1e-12):
    m[...], v[...] = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    return w - 0.01 * corrected(m, 0.9, step) / (np.sqrt(corrected(v, 0.999, step)) + epsilon)


def adamw(w, g, m, v, step):
    return adam(w * (1 - 0.01 * 0.5) if w.ndim > 1 else w, g, m, v, step, 1e-3)


def rmsprop(w, g, m, v, step):
    v[...] = 0.99 * v + 0.01 * g * g
    return w - 0.01 * g / (np.sqrt(v) + 1e-8)


def momentum(w, g, m, v, step):
    m[...] = 0.9 * m - 0.01 * g
    return w + m


def nesterov(w, g, m, v, step):
    m[...] = 0.9 * m - 0.01 * g
    return w + 0.9 * m - 0.01 * g


FORMULAS = {"sgd": lambda w, g, *_: w - 0.01 * g, "momentum": momentum, "nesterov": nesterov} | {
    "adam": adam, "rmsprop": rmsprop, "adamw": adamw
}  # fmt: skip
CLIPPED = {
    "clip_norm": lambda slopes: [g * min(1, 0.2 / (math.sqrt(sum(np.sum(g * g) for g in slopes)) + 1e-6)) for g in slopes],
    "clip_value": lambda slopes: [np.clip(g, -0.01, 0.01) for g in slopes],
}
PENALTIES = {"l1_ratio": lambda W: 0.3 * (0.6 * W + 0.4 * np.sign(W))}
BOUNDS = {"max_norm": lambda W: W * np.minimum(1, 0.6 / np.linalg.norm(W, axis=0))}


@pytest.mark.parametrize(
    ("rule", "shaping"),
    [*((rule, "") for rule in FORMULAS), *itertools.product(["nesterov", "adamw"], [*CLIPPED, *PENALTIES, *BOUNDS])],
)
def test_steps_are_those_of_the_formulas(rule, shaping):
    model = trained(**({"solver": rule} | RULES[rule][0] | (SHAPED[shaping][0] if shaping else {})))
    arrays = [array.copy() for array in [*COEFS, *INTERCEPTS]]
    moments = [(np.zeros_like(array), np.zeros_like(array)) for array in arrays]
    for step in range(1, N_STEPS + 1):
        first = BATCH * ((step - 1) % (N_ROWS // BATCH))
        rows = slice(first, first + BATCH)
        slopes = naive.gradients(arrays[:3], arrays[3:], X[rows], Y[rows], activation="tanh")
        slopes = CLIPPED.get(shaping, list)([*slopes.coefs, *slopes.intercepts])
        for k, (array, slope) in enumerate(zip(arrays, slopes, strict=True)):
            penalty = PENALTIES.get(shaping, lambda W: 0.3 * W)(array) / BATCH if k < 3 else 0.0
            arrays[k] = FORMULAS[rule](array, np.asarray(slope) + penalty, *moments[k], step)
            if k < 3:
                arrays[k] = BOUNDS.get(shaping, np.asarray)(arrays[k])
    assert_same_weights(model, arrays)


# ---- step rules

# Of each solver options of a fit, and PyTorch's optimizer with these; None where it has none.
RULES = {
    "sgd": ({"momentum": 0.0}, lambda optim, groups: optim.SGD(groups, 0.01)),
    "momentum": ({"solver": "sgd", "nesterovs_momentum": False}, lambda optim, groups: optim.SGD(groups, 0.01, momentum=0.9)),
    "nesterov": ({"solver": "sgd"}, lambda optim, groups: optim.SGD(groups, 0.01, momentum=0.9, nesterov=True)),
    "adam": ({"epsilon": 1e-12}, lambda optim, groups: optim.Adam(groups, 0.01, eps=1e-12)),  # where epsilon is added differs
    "rmsprop": ({"beta_2": 0.99}, lambda optim, groups: optim.RMSprop(groups, 0.01, alpha=0.99)),
    "adamw": (
        {"weight_decay": 0.5, "epsilon": 1e-3},
        lambda optim, groups: optim.AdamW(groups, 0.01, weight_decay=0.5, eps=1e-3),
    ),
    "rprop": ({}, lambda optim, groups: optim.Rprop([p for group in groups for p in group["params"]], 0.01)),
}


def test_every_solver_has_a_twin():
    assert {options.get("solver", name) for name, (options, _) in RULES.items()} == {
        name for name, solver in SOLVERS.items() if solver.is_stochastic
    }
    assert RULES.keys() - FORMULAS.keys() == {"rprop"}  # whose own test is below


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("rule", [rule for rule, (_, make_optimizer) in RULES.items() if make_optimizer])
def test_step_rules_are_pytorchs(rule, is_weighted):
    options, make_optimizer = RULES[rule]
    batch = N_ROWS if rule == "rprop" else BATCH
    weights = np.random.default_rng(1).uniform(0.2, 2, N_ROWS) if is_weighted else None
    twin = Twin(make_optimizer, batch=batch, weights=weights)
    model = trained(data=(X, Y, weights), **({"solver": rule} | options))
    assert_same_weights(model, twin.weights)
    assert np.abs(model.coefs_[0] - COEFS[0]).max() > 1e-3


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("sizes", [(7,), (33, 9), (9, 70), (20, 33, 17)], ids=str)
def test_every_step_goes_back_through_the_weights_that_the_last_one_left(sizes, dtype):
    """Layers wide and narrow: the copies of the weights through which errors go back are as new as the weights."""
    rate = 0.02 if dtype == np.float64 else 0.0078125
    options = BASE | {"hidden_layer_sizes": sizes, "init": "he_normal", "random_state": 3, "learning_rate_init": rate}
    options |= {"solver": "sgd", "momentum": 0.0, "batch_size": 20, "max_iter": 4}
    model = trained(data=(X.astype(dtype), Y.astype(dtype)), **options)
    start = trained(data=(X.astype(dtype), Y.astype(dtype)), **options | {"learning_rate_init": 1e-300, "max_iter": 1})
    arrays = [array.astype(float) for array in [*start.coefs_, *start.intercepts_]]
    for first in [0, 20, 40] * 4:
        rows, n = slice(first, first + 20), len(sizes) + 1
        slopes = naive.gradients(
            arrays[:n],
            arrays[n:],
            X[rows],
            Y[rows],
            activation="tanh",
            output_activation="identity",
            loss="squared_error",
            alpha=0.3,
        )
        arrays = [array - rate * slope for array, slope in zip(arrays, [*slopes.coefs, *slopes.intercepts], strict=True)]
    assert_same_weights(model, arrays, 1e-9 if dtype == np.float64 else 1e-3)


FIRST_STEPS = [1e-300, 1e-9, 1e-6, 3e-4, 0.5, 50.0, 60.0, 1e300]


@pytest.mark.parametrize("first", FIRST_STEPS)
def test_rprops_first_steps_are_within_pytorchs_bounds(first):
    twin = Twin(lambda optim, groups: optim.Rprop([p for group in groups for p in group["params"]], first), batch=N_ROWS)
    assert_same_weights(trained(solver="rprop", learning_rate_init=first), twin.weights)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("first", FIRST_STEPS)
def test_rprop_is_its_plain_twin(first, dtype):
    n_epochs = N_EPOCHS if dtype == np.float64 else 1  # later the signs of float32 gradients of saturated units are chance
    data = X.astype(dtype), Y.astype(dtype)
    model = trained(data=data, solver="rprop", learning_rate_init=first, max_iter=n_epochs)
    arrays = [array.copy() for array in [*COEFS, *INTERCEPTS]]
    last, sizes = [0.0] * sum(array.size for array in arrays), [first] * sum(array.size for array in arrays)
    for _ in range(n_epochs):
        slopes = naive.gradients(
            arrays[:3], arrays[3:], X, Y, activation="tanh", output_activation="identity", loss="squared_error", alpha=0.3
        )
        flat = np.concatenate([array.ravel() for array in arrays]).tolist()
        naive.step_rprop(flat, np.concatenate([np.ravel(part) for part in [*slopes.coefs, *slopes.intercepts]]), last, sizes)
        parts = np.split(np.array(flat), np.cumsum([array.size for array in arrays])[:-1])
        arrays = [part.reshape(array.shape) for part, array in zip(parts, arrays)]
    assert all(1e-6 <= size <= 50.0 for size in sizes)
    for found, wanted in zip([*model.coefs_, *model.intercepts_], arrays, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-10 if dtype == np.float64 else 1e-5)


def test_rprop_takes_all_rows_whatever_the_batch_size():
    assert_same_weights(
        trained(solver="rprop", batch_size=3),
        trained(solver="rprop", batch_size="auto").coefs_ + trained(solver="rprop").intercepts_,
        0,
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_weight_decay_is_for_the_solvers_of_the_table(solver):
    models = [trained(solver=solver, weight_decay=strength) for strength in (0.01, 0.9)]
    are_same = [np.array_equal(*arrays) for arrays in zip(*(model.coefs_ for model in models), strict=True)]
    assert are_same == [not SOLVERS[solver].has_weight_decay] * 3


# ---- schedules

SHAPES = {
    "cosine": lambda schedules, optimizer: schedules.CosineAnnealingLR(optimizer, N_STEPS),
    "one_cycle": lambda schedules, optimizer: schedules.OneCycleLR(optimizer, 0.01, N_STEPS, cycle_momentum=False),
    "coslog": lambda schedules, optimizer: schedules.LambdaLR(
        optimizer, lambda step: 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * step / N_STEPS)))
    ),
}
OPTIMIZERS = {
    "adam": ({"epsilon": 1e-12}, lambda optim, groups: optim.Adam(groups, 0.01, eps=1e-12)),
    "adamw": RULES["adamw"],
    "sgd": ({"momentum": 0.0}, lambda optim, groups: optim.SGD(groups, 0.01)),
}


@pytest.mark.parametrize("solver", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SHAPES)
def test_schedules_are_pytorchs(schedule, solver):
    options, make_optimizer = OPTIMIZERS[solver]
    twin = Twin(make_optimizer, schedule=SHAPES[schedule])
    assert_same_weights(trained(solver=solver, learning_rate=schedule, **options), twin.weights)


def test_every_schedule_has_its_factors():
    assert {name for name, schedule in SCHEDULES.items() if schedule.is_for_all} == set(SHAPES) == set(FACTORS) - {"flat_cos"}


def test_factors_by_their_formulas():
    """What PyTorch's schedulers document, and how far a warm-up has come, without PyTorch."""
    np.testing.assert_allclose(factors_of("cosine", 0, 2, 2, 2), [1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5])
    np.testing.assert_allclose(factors_of("cosine", 5, 1, 2, 2), [0.5 - 0.5**1.5] * 2)  # the last one stays
    one_cycle = factors_of("one_cycle", 0, 10, 4, 10)
    np.testing.assert_allclose(one_cycle[[0, 11, 39]], [1 / 25, 1, 4e-6])
    assert (np.diff(one_cycle[:12]) > 0).all() and (np.diff(one_cycle[11:]) < 0).all()
    valleys = factors_of("coslog", 0, 15, 10, 15)[[0, 10, 30, 70]]  # where 1 + 15·t is a power of two
    np.testing.assert_allclose(valleys, 0, atol=1e-12)
    np.testing.assert_allclose(warmup_of(4, 0, 6), [0.25, 0.5, 0.75, 1, 1, 1])
    np.testing.assert_allclose(warmup_of(4, 2, 2), [0.75, 1])
    assert warmup_of(4, 4, 2) is None


def test_the_first_step_of_a_warm_up_is_that_much_shorter():
    start = np.concatenate([array.ravel() for array in [*COEFS, *INTERCEPTS]])
    moves = []
    for steps in (0, 5):
        model = trained(solver="sgd", momentum=0.0, batch_size=N_ROWS, max_iter=1, warmup_steps=steps)
        moves.append(np.concatenate([array.ravel() for array in [*model.coefs_, *model.intercepts_]]) - start)
    np.testing.assert_allclose(5 * moves[1], moves[0], rtol=1e-9, atol=1e-14)


def test_flat_cos():
    t = np.arange(40) / 40
    expected = np.where(t < 0.5, 1, 0.5 * (1 + np.cos(np.pi * (2 * t - 1))))
    np.testing.assert_allclose(factors_of("flat_cos", 0, 10, 4, 10), expected)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_warm_up_is_linear_and_times_the_schedule(schedule):
    def chained(schedules, optimizer):
        first = schedules.LinearLR(optimizer, start_factor=1 / 8, total_iters=7)
        return schedules.ChainedScheduler([first, SHAPES["cosine"](schedules, optimizer)]) if schedule == "cosine" else first

    twin = Twin(OPTIMIZERS["adam"][1], schedule=chained)
    assert_same_weights(trained(learning_rate=schedule, warmup_steps=8, epsilon=1e-12), twin.weights)


@pytest.mark.parametrize("batch_size", [1, BATCH])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_callable_gives_a_factor_per_epoch(solver, batch_size):
    asked = []

    def halved(epoch):
        asked.append(epoch)
        return 0.5**epoch

    model = trained(solver=solver, learning_rate=halved, batch_size=batch_size, momentum=0.0)
    assert asked == list(range(N_EPOCHS))
    by_hand = BPRegressor(**(BASE | {"solver": solver, "batch_size": batch_size, "momentum": 0.0, "warm_start": False}))
    for epoch in range(N_EPOCHS):
        by_hand.partial_fit(X, Y)  # sets the optimizer up in the first call
        by_hand._optimizer.learning_rate = 0.01 * 0.5 ** (epoch + 1)
    assert_same_weights(model, by_hand.coefs_ + by_hand.intercepts_, 0)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, "fast", None])
def test_a_callable_that_returns_no_rate_is_told(value):
    with pytest.raises(ValueError, match="for epoch 2 it returned"):
        trained(learning_rate=lambda epoch: value if epoch == 2 else 1.0)


def test_an_error_of_a_callable_is_passed_on():
    def broken(epoch):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        trained(learning_rate=broken)


@pytest.mark.parametrize("options", [{"learning_rate": "cosine"}, {"learning_rate": "coslog", "warmup_steps": 9}])
def test_many_short_calls_are_one_long_one(options, monkeypatch):
    at_once = trained(**options)
    monkeypatch.setattr("fastbp.training.stochastic.MOST_FACTORS", 8)
    assert_same_weights(trained(**options), at_once.coefs_ + at_once.intercepts_, 0)
    step_by_step = BPRegressor(**(BASE | options))
    for _ in range(N_EPOCHS):
        step_by_step.partial_fit(X, Y)
    assert_same_weights(step_by_step, at_once.coefs_ + at_once.intercepts_, 0)
    step_by_step.partial_fit(X, Y)  # the last factor stays
    assert np.isfinite(step_by_step.loss_)


@pytest.mark.parametrize("learning_rate", ["invscaling", "adaptive"])
def test_adam_does_not_know_scikit_learns_schedules(learning_rate):
    plain = trained()
    assert_same_weights(trained(learning_rate=learning_rate), plain.coefs_ + plain.intercepts_, 0)
    assert not np.array_equal(trained(solver="adamw", learning_rate="invscaling").coefs_[0], trained(solver="adamw").coefs_[0])


# ---- clipping, bounds, penalty

SHAPED = {
    "clip_norm": ({"clip_norm": 0.2}, {"clip": lambda utils, parameters: utils.clip_grad_norm_(parameters, 0.2)}),
    "clip_value": ({"clip_value": 0.01}, {"clip": lambda utils, parameters: utils.clip_grad_value_(parameters, 0.01)}),
    "max_norm": (
        {"max_norm": 0.6},
        {"after_step": lambda torch, Ws: [W.mul_((0.6 / W.norm(dim=0)).clamp(max=1)) for W in Ws]},
    ),
    "l1_ratio": (
        {"l1_ratio": 0.4},
        {"penalty": lambda Ws: sum(0.3 * (0.6 * (W**2).sum() / 2 + 0.4 * W.abs().sum()) for W in Ws)},
    ),
}


@pytest.mark.parametrize("rule", ["nesterov", "adamw"])
@pytest.mark.parametrize("name", SHAPED)
def test_shaped_steps_are_pytorchs(name, rule):
    options, shaping = SHAPED[name]
    own, make_optimizer = RULES[rule]
    model = trained(**({"solver": rule} | own | options))
    assert_same_weights(model, Twin(make_optimizer, **shaping).weights)
    assert np.abs(model.coefs_[0] - trained(**({"solver": rule} | own)).coefs_[0]).max() > 1e-4


def test_the_norms_are_pytorchs():
    twin = Twin(RULES["nesterov"][1], clip=SHAPED["clip_norm"][1]["clip"])
    model = trained(solver="sgd", clip_norm=0.2, record_gradient_norms=True)
    expected = np.array(twin.norms).reshape(N_EPOCHS, -1, len(COEFS)).mean(axis=1)
    np.testing.assert_allclose(model.gradient_norms_, expected, rtol=1e-6)


def test_the_loss_has_the_whole_penalty():
    model = trained(solver="sgd", batch_size=N_ROWS, max_iter=1, l1_ratio=0.4)
    squares, sums = (sum(np.sum(f(W)) for W in COEFS) for f in (np.square, np.abs))
    a = X
    for W, b in zip(COEFS[:-1], INTERCEPTS[:-1], strict=True):
        a = np.tanh(a @ W + b)
    error = np.mean((a @ COEFS[-1] + INTERCEPTS[-1] - Y) ** 2) / 2
    assert model.loss_ == pytest.approx(error + 0.3 * (0.6 * squares / 2 + 0.4 * sums) / N_ROWS)


@pytest.mark.parametrize("sizes", [(3,), (40, 2), (140, 20)])
def test_no_unit_is_beyond_max_norm(sizes):
    """Layers of every form, and the mirrors of the next step."""
    options = {"hidden_layer_sizes": sizes, "init": "he_normal", "random_state": 0, "learning_rate_init": 0.1, "max_norm": 0.5}
    model = trained(**options)
    norms = [np.linalg.norm(W, axis=0) for W in model.coefs_]
    assert max(n.max() for n in norms) <= 0.5 + 1e-12
    assert any((n > 0.5 - 1e-12).any() for n in norms)
    # As many calls of one step each, in between which the mirrors are made again.
    by_hand = BPRegressor(**(BASE | options | {"batch_size": N_ROWS}))
    for _ in range(N_EPOCHS):
        by_hand.partial_fit(X, Y)
    at_once = trained(**(options | {"batch_size": N_ROWS}))
    assert_same_weights(at_once, by_hand.coefs_ + by_hand.intercepts_, 0)


# ---- averages


@pytest.mark.parametrize("averaging", ["polyak", 0.9])
def test_averages(averaging):
    """The exponential one as torch.optim.swa_utils.get_ema_multi_avg_fn makes it; Polyak's with weights that grow as the cube."""
    plain = BPRegressor(**BASE)
    average = None
    for step in range(1, N_EPOCHS * 4 + 1):
        rows = slice(BATCH * ((step - 1) % 4), BATCH * ((step - 1) % 4) + BATCH)
        plain.partial_fit(X[rows], Y[rows])
        weights = [w.copy() for w in plain.coefs_ + plain.intercepts_]
        share = 4 / (step + 3) if averaging == "polyak" else 0.1
        average = weights if step == 1 else [mean + share * (w - mean) for mean, w in zip(average, weights, strict=True)]
    model = trained(averaging=averaging)
    assert_same_weights(model, average)
    assert model.loss_curve_ == trained().loss_curve_  # of the weights that the steps leave


@pytest.mark.parametrize("averaging", ["polyak", 0.9])
def test_an_average_goes_on(averaging):
    """Through partial_fit, pickles and a fit in several calls of the kernels; a warm start begins at the average."""
    at_once = trained(averaging=averaging)
    step_by_step = BPRegressor(**(BASE | {"averaging": averaging}))
    for _ in range(N_EPOCHS):
        step_by_step = pickle.loads(pickle.dumps(step_by_step.partial_fit(X, Y)))
    assert_same_weights(at_once, step_by_step.coefs_ + step_by_step.intercepts_, 0)
    warm = pickle.loads(pickle.dumps(at_once)).set_params(warm_start=True).fit(X, Y)
    fresh = trained(averaging=averaging, init=(at_once.coefs_, at_once.intercepts_))
    assert_same_weights(warm, fresh.coefs_ + fresh.intercepts_, 0)


def test_an_average_begins_with_the_first_step_that_has_one():
    model = BPRegressor(**BASE).partial_fit(X, Y)
    model.set_params(averaging="polyak", batch_size=N_ROWS).partial_fit(X, Y)
    without = BPRegressor(**BASE).partial_fit(X, Y).set_params(batch_size=N_ROWS).partial_fit(X, Y)
    assert_same_weights(model, without.coefs_ + without.intercepts_, 0)  # an average of one


def test_changed_weights_begin_a_new_average():
    model = trained(averaging=0.9)
    model.coefs_[0][:] = COEFS[0]
    start = [W.copy() for W in model.coefs_]
    model.set_params(batch_size="auto").partial_fit(X[:1], Y[:1])
    distance = max(np.abs(W - V).max() for W, V in zip(model.coefs_, start, strict=True))
    assert 0 < distance < 0.1  # a step away, not where the last one was


def test_validation_scores_are_the_averages():
    model = trained(averaging=0.8, early_stopping=True, random_state=0, max_iter=4, validation_fraction=0.3)
    from sklearn.model_selection import train_test_split

    _, X_val, _, y_val = train_test_split(X, Y, random_state=np.random.RandomState(0), test_size=0.3)
    assert model.best_validation_score_ == pytest.approx(model.score(X_val, y_val))


# ---- all of them, everywhere

OPTIONS = {
    "adamw": {"solver": "adamw"},
    "rprop": {"solver": "rprop"},
    "cosine": {"learning_rate": "cosine", "warmup_steps": 3},
    "callable": {"learning_rate": lambda epoch: 1 / (1 + epoch)},
    "clip_norm": {"clip_norm": 0.05},
    "clip_value": {"clip_value": 0.01},
    "max_norm": {"max_norm": 0.5},
    "l1_ratio": {"l1_ratio": 0.5},
    "polyak": {"averaging": "polyak"},
    "averaging": {"averaging": 0.9},
    "all": {
        "averaging": 0.9,
        "l1_ratio": 0.5,
        "max_norm": 0.5,
        "clip_norm": 0.05,
        "learning_rate": "coslog",
        "record_gradient_norms": True,
    },
}
BIG = np.random.default_rng(2).normal(size=(300, 40))
LABELS = (np.abs(BIG[:, 0]) + BIG[:, 1] > 0.8) + 0


FORMS = itertools.product(["blocks", "slabs", "sparse"], [np.float32, np.float64])


@pytest.mark.parametrize(("name", "form"), dealt(OPTIONS, FORMS))
def test_same_bits_for_any_number_of_threads(name, form, teams_for_any_work):
    form, dtype = form
    options = {"hidden_layer_sizes": (140, 33), "init": "he_normal", "batch_size": 64, "random_state": 0, "max_iter": 3}
    options |= OPTIONS[name]
    rows = BIG.astype(dtype)
    if form == "slabs":
        options |= {"hidden_layer_sizes": (5, 3), "batch_size": 300}
    elif form == "sparse":
        rows = scipy.sparse.csr_array(np.where(np.abs(rows) < 1, 0, rows))
    alone, *others = (trained(BPClassifier, (rows, LABELS), **(options | {"n_threads": n})) for n in (1, 2, 3))
    for other in others:
        assert_same_weights(other, alone.coefs_ + alone.intercepts_, 0)
        assert other.loss_curve_ == alone.loss_curve_
        np.testing.assert_array_equal(getattr(other, "gradient_norms_", 0), getattr(alone, "gradient_norms_", 0))


@pytest.mark.parametrize("name", OPTIONS)
def test_sparse_rows_are_dense_rows(name):
    rows = np.where(np.abs(BIG) < 1, 0, BIG)
    options = {"hidden_layer_sizes": (20,), "init": "he_normal", "random_state": 0} | OPTIONS[name]
    dense = trained(BPClassifier, (rows, LABELS), **options)
    assert_same_weights(
        trained(BPClassifier, (scipy.sparse.csr_array(rows), LABELS), **options), dense.coefs_ + dense.intercepts_, 1e-7
    )


@pytest.mark.parametrize("name", OPTIONS)
def test_single_samples(name):
    """Batches of one row: those of sgd, which go another way without these options, by hand."""
    options = {"solver": "sgd", "batch_size": 1, "alpha": 0.01} | OPTIONS[name]
    model = trained(**options)
    by_hand = BPRegressor(**(BASE | options | {"batch_size": 2}))  # two copies of a row are a batch
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_hand.fit(np.repeat(X, 2, axis=0), np.repeat(Y, 2, axis=0), np.full(2 * N_ROWS, 0.5))
    assert_same_weights(model, by_hand.coefs_ + by_hand.intercepts_, 1e-9)


@pytest.mark.parametrize("name", OPTIONS)
def test_searches_and_restarts_take_them_along(name):
    options = OPTIONS[name]
    base = BPClassifier(**(BASE | {"hidden_layer_sizes": (5,), "init": "he_normal", "random_state": 0} | options))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = BPSearchCV(base, {"alpha": [0.01, 0.1]}, cv=2, return_train_score=True).fit(BIG, LABELS)
        from sklearn.model_selection import GridSearchCV

        expected = GridSearchCV(base, {"alpha": [0.01, 0.1]}, cv=2, return_train_score=True).fit(BIG, LABELS)
        for key in ("mean_test_score", "mean_train_score"):
            np.testing.assert_array_equal(search.cv_results_[key], expected.cv_results_[key])
        restarted = trained(
            BPClassifier, (BIG, LABELS), hidden_layer_sizes=(5,), init="he_normal", random_state=0, n_restarts=2, **options
        )
    assert np.isfinite(restarted.restart_losses_).all()


def test_wide_tables_are_trained_in_their_span_only_where_that_is_the_same(monkeypatch):
    """A schedule leaves the span of the rows as it is, clipped elements do not."""
    wide = np.random.default_rng(3).normal(size=(20, 400))
    for options in ({"learning_rate": "cosine"}, {"clip_value": 1e-3}, {"averaging": 0.9}, {"l1_ratio": 0.5}):
        options = {"solver": "sgd", "hidden_layer_sizes": (8,), "init": "he_normal", "random_state": 0, "max_iter": 40} | options
        short = trained(data=(wide, Y[:20]), **options)
        with monkeypatch.context() as patch:
            patch.setattr("fastbp.training.row_space.MOST_ROWS", 0)
            plain = trained(data=(wide, Y[:20]), **options)
        assert_same_weights(short, plain.coefs_ + plain.intercepts_, 1e-6)


# ---- what does not go together


@pytest.mark.parametrize(
    "options",
    [
        {"solver": "lbfgs", "clip_norm": 1.0},
        {"solver": "lbfgs", "clip_value": 1.0},
        {"solver": "lbfgs", "max_norm": 1.0},
        {"solver": "lbfgs", "l1_ratio": 0.5},
        {"solver": "lbfgs", "averaging": 0.9},
        {"solver": "lbfgs", "averaging": "polyak"},
        {"solver": "lbfgs", "warmup_steps": 3},
        {"solver": "lbfgs", "record_gradient_norms": True},
        {"solver": "lbfgs", "learning_rate": "cosine"},
        {"solver": "rprop", "learning_rate": "cosine"},
        {"solver": "rprop", "learning_rate": abs},
        {"solver": "rprop", "warmup_steps": 3},
        {"clip_norm": 1.0, "clip_value": 1.0},
    ],
)
def test_what_does_not_go_together_is_told(options):
    with pytest.raises(ValueError, match=r"not go|cannot be combined"):
        trained(**options)


# ---- gradients that vanish, units that learn nothing


def test_a_deep_network_trains_once_its_gradients_are_looked_after():
    """20 layers of tanh from weights of spread 3: every unit saturates, the gradients explode on their way down and the fit ends
    nowhere; with clipped gradients and a start that keeps the size of the signal it learns."""
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 300)
    points = np.column_stack([np.cos(angle), np.sin(angle)]) * np.repeat([[1.0], [2.0]], 150, axis=0)
    labels = np.repeat([0, 1], 150)
    options = {"hidden_layer_sizes": (16,) * 20, "random_state": 0, "max_iter": 120, "solver": "sgd", "learning_rate_init": 0.05}
    options |= {"alpha": 0.0, "batch_size": 30, "shuffle": True}
    lost = trained(BPClassifier, (points, labels), **(options | {"init": "normal", "init_scale": 1.0}))
    kept = trained(BPClassifier, (points, labels), **(options | {"init": "glorot_normal", "clip_norm": 1.0}))
    assert lost.score(points, labels) < 0.8
    assert kept.score(points, labels) > 0.95


def test_dead_and_saturated_units_are_told():
    intercepts = [b.copy() for b in INTERCEPTS]
    intercepts[0][:3] = -50.0
    options = BASE | {"init": (COEFS, intercepts), "record_gradient_norms": True, "learning_rate_init": 1e-6, "max_iter": 1}
    with pytest.warns(UserWarning, match=r"3 of 9 units of hidden layer 1 \(relu\) are dead .0 for all of 60 rows") as caught:
        BPRegressor(**(options | {"activation": ["relu", "tanh"]})).fit(X, Y)
    assert not any("layer 2" in str(warning.message) for warning in caught)
    with pytest.warns(UserWarning, match=r"3 of 9 units of hidden layer 1 \(tanh\) are saturated"):
        BPRegressor(**options).fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Stochastic Optimizer")
        BPRegressor(**(options | {"record_gradient_norms": False, "activation": "relu"})).fit(X, Y)
        BPRegressor(**(options | {"init": (COEFS, INTERCEPTS)})).fit(X, Y)
