"""Every primitive against its meaning in NumPy, and whole fits that Python interprets: NUMBA_DISABLE_JIT=1."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from fastbp.kernels import atomics, elementary, tiles, vector_functions, vectors
from fastbp.kernels.atomics import atomic_add, atomic_load, offer_core
from fastbp.kernels.compiler import entry
from fastbp.kernels.elementary import exponent, polynomial, power_of_two, random_mask, round_to_integer
from fastbp.kernels.tiles import BLOCK, TILE_ROWS, edge_tile_1, edge_tile_2, four_sums, tile_1, tile_2, transpose_block
from fastbp.kernels.vectors import (
    at_least_1,
    broadcast,
    broadcast_element,
    element,
    first_lane,
    keep_first,
    lane_count,
    lane_max,
    lane_numbers,
    lane_sum,
    lanes,
    load,
    load_strided,
    magnitude,
    multiply_add,
    prefetch,
    set_element,
    square_root,
    store,
    store_strided,
    where_equal,
    where_less,
    with_lane,
    with_sign,
)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PRIMITIVES = {
    name: value
    for module in (vectors, tiles, elementary, atomics)
    for name, value in vars(module).items()
    if hasattr(value, "meaning")
}
DTYPES = [np.float32, np.float64]
evaluate = polynomial({32: [0.5, -1.0, 2.0, 0.25, 3.0], 64: [1.5, 1.0, -2.0, 0.125, 4.0]})


def exact(x, y, z, result, counts):
    """Primitives that do not round, or round once, on whole vectors; each writes a vector of its own."""
    n = lane_count(x)
    a, b, c, at = load(x, 0), load(y, 0), load(z, 0), 0
    prefetch(x, 1 << 30)
    offer_core()
    for value in range(n):
        store(result, at, with_lane(a, value, 9.0))
        store(result, at + n, keep_first(a, value, -2.0))
        at += 2 * n
        store_strided(result, at, 3, value + 1, keep_first(broadcast(x, 4.0), value, 5.0))
        at += 3 * n
        store(result, at, load_strided(x, value, 2, n - value, x))
        at += n
    store(result, at, broadcast_element(x, 3))
    store(result, at + n, square_root(magnitude(a)))
    store(result, at + 2 * n, with_sign(a, b))
    store(result, at + 3 * n, where_less(a, b, c, a))
    store(result, at + 4 * n, where_equal(a, b, c, b))
    store(result, at + 5 * n, lane_numbers(x) - a)
    store(result, at + 6 * n, round_to_integer(keep_first(a * 40.0, n, 0.0)))
    store(result, at + 7 * n, power_of_two(round_to_integer(b * 20.0)))
    store(result, at + 8 * n, a * 3.0 / b)
    store(result, at + 9 * n, random_mask(x, 0x123456789ABCDEF0, (1 << 40) - 1, 1 << 31, 1.25))
    at += 10 * n
    set_element(result, at, element(x, 2))
    set_element(result, at + 1, first_lane(b))
    set_element(result, at + 2, lane_max(a))
    set_element(result, at + 3, lane_max(with_lane(b, 1, np.nan)))
    set_element(result, at + 4, lane_max(with_lane(b, n - 1, np.nan)))
    set_element(result, at + 5, lane_sum(b))
    set_element(counts, 0, atomic_add(counts, 1, at_least_1(n - n - 3) + 4))
    set_element(counts, 2, atomic_load(counts, 1))


def rounded(x, y, z, result):
    """Those that may be fused."""
    n = lane_count(x)
    a, b, c = load(x, 0), load(y, 0), load(z, 0)
    store(result, 0, multiply_add(a, b, c))
    store(result, n, evaluate(a))
    store(result, 2 * n, four_sums(a, b, c, a))
    store(result, 3 * n, a * b - c)


def exponents(x, result):
    for i in range(0, x.size, lane_count(x)):
        store(result, i, exponent(load(x, i)))


def blocks(A, B, S, C, n_inner, n_valid):
    """Every tile, into rows of C of their own, on top of S; and in place, on top of C."""
    n, width = lane_count(A), 2 * lane_count(A)
    tile_2(A, 0, n_inner, 1, B, 0, width, S, 0, 0, C, 0, width, n_inner, 0)
    tile_1(A, 0, 1, TILE_ROWS, B, n, width, S, 0, 0, C, TILE_ROWS * width, width, n_inner, 0)
    edge_tile_2(A, 0, n_inner, 1, B, 0, width, S, 0, 0, C, 2 * TILE_ROWS * width, width, n_inner, n_valid)
    edge_tile_1(A, 0, n_inner, 1, B, 0, width, S, 0, 0, C, 3 * TILE_ROWS * width, width, n_inner, n_valid)
    edge_tile_2(A, 0, n_inner, 1, B, 0, width, C, 0, width, C, 0, width, n_inner, n_valid)
    transpose_block(A, 1, n_inner, C, 4 * TILE_ROWS * width, BLOCK)


call_exact, call_rounded, call_exponents, call_blocks = map(entry, (exact, rounded, exponents, blocks))


def interpreted(function):
    """The function with the meaning of every primitive in its place."""
    meanings = {name: value.meaning for name, value in function.__globals__.items() if hasattr(value, "meaning")}
    return types.FunctionType(function.__code__, {**function.__globals__, **meanings})


def both(compiled, function, *arrays, options=()):
    """What the machine code and Python make of the same arrays."""
    made = []
    for run in (compiled, interpreted(function)):
        mine = [array.copy() for array in arrays]
        with np.errstate(all="ignore"):
            run(*mine, *options)
        made.append(mine)
    return zip(*made, strict=True)


def test_every_primitive_is_compared():
    used = set().union(*(function.__code__.co_names for function in (exact, rounded, exponents, blocks)))
    assert set(PRIMITIVES) - used == set()


@pytest.mark.parametrize("dtype", DTYPES)
def test_primitives_that_round_once(dtype):
    rng, n = np.random.default_rng(0), 2 * lanes(dtype)
    x, y, z = (rng.normal(size=n).astype(dtype) for _ in range(3))
    x[:4], y[:4] = [np.nan, 0.0, -np.inf, 0.5], [1.0, -0.0, 2.0, 0.5]
    result = np.full(lanes(dtype) * (6 * lanes(dtype) + 16), np.nan, dtype)
    for mine, meant in both(call_exact, exact, x, y, z, result, np.arange(3)):
        np.testing.assert_array_equal(mine, meant)
        np.testing.assert_array_equal(np.signbit(mine[~np.isnan(mine)]), np.signbit(meant[~np.isnan(meant)]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_primitives_that_may_be_fused(dtype):
    rng = np.random.default_rng(1)
    x, y, z = (rng.normal(size=lanes(dtype)).astype(dtype) for _ in range(3))
    for mine, meant in both(call_rounded, rounded, x, y, z, np.zeros(4 * lanes(dtype), dtype)):
        np.testing.assert_allclose(mine, meant, rtol=20 * np.finfo(dtype).eps, atol=20 * np.finfo(dtype).eps)


def test_exponent():
    x = np.concatenate([[1.0, 2.0, 0.5**0.5, np.nextafter(0.5**0.5, 0), np.sqrt(2), 1e300, 2.3e-308, 1e-5], 2.0 ** np.arange(8)])
    for mine, meant in both(call_exponents, exponents, x, np.zeros(16)):
        np.testing.assert_array_equal(mine, meant)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_inner", [0, 1, 9])
@pytest.mark.parametrize("n_valid", [1, 3, 4])
def test_blocks(dtype, n_inner, n_valid):
    rng, width = np.random.default_rng(2), 2 * lanes(dtype)
    A = rng.normal(size=TILE_ROWS * n_inner + 64).astype(dtype)
    B = rng.normal(size=(n_inner + 1) * width).astype(dtype)
    S, C = rng.normal(size=width).astype(dtype), rng.normal(size=(4 * TILE_ROWS + 4) * width).astype(dtype)
    for mine, meant in both(call_blocks, blocks, A, B, S, C, options=(n_inner, n_valid)):
        np.testing.assert_allclose(mine, meant, rtol=50 * np.finfo(dtype).eps, atol=50 * np.finfo(dtype).eps)


FITS = """
import json, warnings
warnings.filterwarnings("ignore", "Stochastic Optimizer|lbfgs failed")
warnings.simplefilter("error", RuntimeWarning)
import numpy as np
import scipy.sparse
from fastbp import BPClassifier, BPRegressor
from fastbp.training import threads

threads.SHARED_WORK = threads.SHARED_TOTAL = -np.inf  # teams for little work
random = np.random.RandomState(0)
X = random.normal(size=(24, 6))
Y = (X[:, 0] > X[:, 1]) * 1 + (X[:, 2] > 1)
found = {}

def keep(name, model, X):
    outputs = model.predict_proba(X[:5]) if hasattr(model, "classes_") else model.predict(X[:5])
    arrays = [*model.coefs_, *model.intercepts_, outputs, model.loss_, model.predict(X)]
    found[name] = np.concatenate([np.ravel(array) for array in arrays]).tolist()

settings = {
    "adam": {},
    "sgd": {"solver": "sgd", "batch_size": 7},
    "momentum": {"solver": "sgd", "batch_size": 5, "nesterovs_momentum": False},
    "per sample": {"solver": "sgd", "batch_size": 1},
    "lbfgs": {"solver": "lbfgs"},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.3},
    "two threads": {"n_threads": 2, "batch_size": 9},
    "dropout": {"dropout": [0.1, 0.5, 0.2], "batch_size": 9},
}
for dtype in (np.float32, np.float64):
    for name, options in settings.items():
        options = {"n_threads": 1, **options}
        model = BPClassifier((5, 4), ("tanh", "leaky_relu"), max_iter=3, random_state=0, **options).fit(X.astype(dtype), Y)
        keep(f"{name} {dtype.__name__}", model, X.astype(dtype))
    sparse = scipy.sparse.csr_array(np.where(np.abs(X) > 0.7, X, 0).astype(dtype))
    model = BPClassifier((5,), "logistic", max_iter=2, random_state=0, n_threads=1)
    model.fit(sparse, Y > 0, sample_weight=np.arange(24.0))
    keep(f"sparse {dtype.__name__}", model.partial_fit(sparse, Y > 0), sparse)
    regressor = BPRegressor(loss="poisson", hidden_layer_sizes=(4,), max_iter=2, random_state=0, n_threads=1)
    keep(f"poisson {dtype.__name__}", regressor.fit(X.astype(dtype), Y), X.astype(dtype))
wide = random.normal(size=(4, 40))
model = BPRegressor(hidden_layer_sizes=(3,), solver="sgd", max_iter=40, tol=0, random_state=0, n_threads=1)
keep("wide", model.fit(wide, wide[:, 0]), wide)
print(json.dumps(found))
"""


def fits(**environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    process = subprocess.run([sys.executable, "-c", FITS], capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout)


def test_interpreted_fits_are_those_of_machine_code():
    compiled, by_python = fits(), fits(NUMBA_DISABLE_JIT="1")
    assert len(compiled) == 21
    for name, expected in compiled.items():
        close = {"rtol": 1e-4, "atol": 1e-5} if "float32" in name else {"rtol": 1e-9, "atol": 1e-11}
        np.testing.assert_allclose(by_python[name], expected, **close, err_msg=name)


def test_a_kernel_can_be_stepped_through():
    """A breakpoint, here a trace function, sees every line of a kernel with NUMBA_DISABLE_JIT=1."""
    code = """
import sys
lines = set()
def trace(frame, event, argument):
    if frame.f_code.co_name == "batch_step":
        lines.add(frame.f_lineno)
        return trace
    return trace if event == "call" else None
from fastbp import BPClassifier
sys.settrace(trace)
BPClassifier((3,), max_iter=3, random_state=0).fit([[0., 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0])
sys.settrace(None)
assert len(lines) > 10, lines
from fastbp import warm_up
assert warm_up() == 0
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": "1"}
    process = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stderr[-3000:]


def test_exp_tanh_and_log_have_a_meaning_too():
    """Kernels made of primitives alone mean what NumPy does."""
    x = np.linspace(-5, 5, lanes(np.float64))
    for name, expected in (("exp", np.exp), ("tanh", np.tanh), ("log", np.log)):
        namespace = {"np": np, **vars(vector_functions)}
        for key, value in list(namespace.items()):
            if hasattr(value, "meaning"):
                namespace[key] = value.meaning
        for key, value in list(namespace.items()):
            if isinstance(value, types.FunctionType) and not value.__closure__:
                namespace[key] = types.FunctionType(value.__code__, namespace)
        argument = np.abs(x) + 0.1 if name == "log" else x
        np.testing.assert_allclose(namespace[name](argument), expected(argument), rtol=1e-14)
