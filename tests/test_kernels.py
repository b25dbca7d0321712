"""Kernels against NumPy and SciPy: every size around the edges of a tile, every code of every registry, any number of threads."""

import inspect
import itertools

import naive
import numpy as np
import pytest
import scipy.sparse
import scipy.special
from covering import covering, dealt

from fastbp import BPClassifier, BPRegressor, names
from fastbp.estimators.settings import settings_of
from fastbp.kernels import vectors
from fastbp.kernels.activations import activate, multiply_by_slope
from fastbp.kernels.compiler import ENTRIES, FASTMATH, IS_CHECKED, PARTS, entry
from fastbp.kernels.layout import OutputRows
from fastbp.kernels.losses import early_loss, output_deltas, output_losses
from fastbp.kernels.products import (
    dot_product,
    gather_rows,
    pack_columns,
    pack_panels,
    panel_width,
    product,
    sparse_product,
    sparse_transposed_product,
    transpose_into_panels,
)
from fastbp.kernels.scores import score
from fastbp.kernels.shuffling import shuffle
from fastbp.kernels.toolchain import compile as compiling
from fastbp.kernels.toolchain import load as loader
from fastbp.kernels.toolchain.pack import Doubles, Integers, Reals
from fastbp.kernels.updates import StepRule, StripStep, rate_of_step, update
from fastbp.kernels.vector_functions import log
from fastbp.kernels.vectors import lane_count, load, store
from fastbp.training import stochastic
from fastbp.training.initialisation import draw_parameters
from fastbp.training.network import make_network, pack_parameters, parameter_views
from fastbp.training.objective import Objective
from fastbp.training.outcome import Run
from fastbp.training.predict import predict_outputs
from fastbp.training.problem import Problem, make_table
from fastbp.training.workspace import Scratch

# Each entry below compiles once; with bounds checks, conftest.py chooses the worker.
pytestmark = [] if IS_CHECKED else pytest.mark.xdist_group("kernels")

DTYPES = [np.float32, np.float64]


# Inner kernels have no way in from Python: these entries are theirs.
@entry
def call_product(A, a_row, a_inner, B, b_row, S, s_row, C, c_row, n_rows, n_inner, width):
    product(A, 0, a_row, a_inner, B, 0, b_row, panel_width(B), S, 0, s_row, C, 0, c_row, n_rows, n_inner, width)


ONE_GROUP = np.zeros(2, dtype=np.int64)  # of outputs with a softmax


@entry
def call_product_from_panels(A, B, b_panel, S, C, n_rows, n_inner, width):
    product(A, 0, n_inner, 1, B, 0, panel_width(B), b_panel, S, 0, 0, C, 0, width, n_rows, n_inner, width)


@entry
def call_packing(A, panels, columns, n_rows, width, first_column, n_columns):
    pack_panels(A, 0, width, panels, 0, n_rows * panel_width(A), n_rows, width)
    pack_columns(A, first_column, width, columns, 0, n_rows, n_columns)


@entry
def call_dot_product(A, W, inner_width, bias, C, c_row, n_rows, n_columns):
    dot_product(A, 0, W, 0, inner_width, bias, C, 0, c_row, n_rows, n_columns)


@entry
def call_sparse_products(table, order, gather, B, start, C, D, G, width, first_column, stop_column):
    sparse_product(table, order, 0, gather, B, 0, start, C, 0, order.size, width, False)
    sparse_transposed_product(table, order, 0, gather, D, 0, G, 0, order.size, width, first_column, stop_column, False)


@entry
def call_transpose(A, B, first, n_rows, n_columns):
    transpose_into_panels(A, first * n_columns, n_columns, B, 0, first, n_rows, n_columns)


@entry
def call_gather(X, order, inputs, n_features):
    gather_rows(X, order, 0, inputs, 0, order.size, n_features)


# Entries with annotations are compiled as the library's own: rare codes are parts, which the store has.
PARTS_OF_LOSSES = {"rarer_losses", "_smooth_log_losses", "_smooth_deltas", "ordered_deltas", "error_deltas", "scale_deltas"} | {
    "_multiply_by_slope_apart"
}


@entry(parts=lambda: {"_activate_apart", "_softmax_in_groups", "cumulative"})
def call_activate(code: int, Z: Reals, n_rows: int, n_units: int, width: int, slopes: int, groups: Integers):
    activate(code, Z, 0, n_rows, n_units, width, slopes, groups)


@entry
def call_log(x, y):
    for i in range(0, x.size, lane_count(x)):
        store(y, i, log(load(x, i)))


@entry(parts=lambda: PARTS_OF_LOSSES)
def call_output_deltas(rows: OutputRows, slope: int, deltas: Reals, row_losses: Doubles, early: Doubles):
    output_deltas(rows, slope, 0, deltas)
    output_losses(rows, row_losses, 0)
    early[0] = early_loss(rows, row_losses)


@entry(parts=lambda: {"_multiply_by_slope_apart"})
def call_slope(code: int, A: Reals, slopes: int, D: Reals):
    multiply_by_slope(code, A, slopes, D, 0, D.size)


@entry
def call_score(code, outputs, n_outputs, samples, groups):
    return score(code, outputs, n_outputs, samples, groups)


@entry
def call_rate_of_step(rule, rate, step):
    return rate_of_step(rule, rate, step)


@entry
def call_shuffle(order, key, position, moves):
    shuffle(order, key, position, moves)


@entry
def call_update(rule, rate, kept, params, gradient, moment_1, moment_2, scale, decay):
    step = StripStep(0, params.size, 0, scale, decay, rate, rule.epsilon, kept)
    return update(rule, step, params, gradient, moment_1, moment_2)


def padded(width, dtype):
    n_lanes = vectors.lanes(dtype)
    return -(-width // n_lanes) * n_lanes


def pad_columns(A, width):
    padded_array = np.zeros((len(A), width), A.dtype)
    padded_array[:, : A.shape[1]] = A
    return padded_array


def tolerance(dtype):
    return 1e-12 if dtype == np.float64 else 2e-5


PRODUCTS = {
    "dtype": DTYPES,
    "n_rows": [1, 2, 3, 4, 5, 11, 12, 13, 25, 31],
    "n_inner": [0, 1, 2, 9, 33],
    "n_columns": [1, 8, 17, 40],
}


@pytest.mark.parametrize(PRODUCTS, [tuple(case.values()) for case in covering(PRODUCTS)])
def test_product(dtype, n_rows, n_inner, n_columns):
    rng = np.random.default_rng(0)
    A = rng.normal(size=(n_rows, n_inner)).astype(dtype)
    width = padded(n_columns, dtype)
    B = pad_columns(rng.normal(size=(n_inner, n_columns)).astype(dtype), width)
    bias = pad_columns(rng.normal(size=(1, n_columns)).astype(dtype), width)
    expected = A.astype(float) @ B + bias
    C = np.full((n_rows, width), np.nan, dtype)
    call_product(A.ravel(), n_inner, 1, B.ravel(), width, bias.ravel(), 0, C.ravel(), width, n_rows, n_inner, width)
    np.testing.assert_allclose(C, expected, rtol=tolerance(dtype), atol=tolerance(dtype))
    # The transposed left side, adding to what is there: the form of a gradient.
    C = np.ones((n_rows, width), dtype)
    A_transposed = np.ascontiguousarray(A.T)
    call_product(A_transposed.ravel(), 1, n_rows, B.ravel(), width, C.ravel(), width, C.ravel(), width, n_rows, n_inner, width)
    np.testing.assert_allclose(C, A.astype(float) @ B + 1, rtol=tolerance(dtype), atol=tolerance(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_product_bits_do_not_depend_on_the_cut(dtype):
    rng = np.random.default_rng(1)
    A, width = rng.normal(size=(37, 50)).astype(dtype), padded(70, dtype)
    B = rng.normal(size=(50, width)).astype(dtype)
    zeros, whole = np.zeros(width, dtype), np.zeros((37, width), dtype)
    call_product(A.ravel(), 50, 1, B.ravel(), width, zeros, 0, whole.ravel(), width, 37, 50, width)
    for first, stop in [(0, 1), (1, 13), (13, 18), (18, 37)]:
        part = np.zeros((stop - first, width), dtype)
        call_product(A[first:stop].ravel(), 50, 1, B.ravel(), width, zeros, 0, part.ravel(), width, stop - first, 50, width)
        np.testing.assert_array_equal(part, whole[first:stop])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_vectors", [1, 2, 3, 8])
def test_product_from_panels_has_the_same_bits(dtype, n_vectors):
    rng = np.random.default_rng(2)
    width = n_vectors * vectors.lanes(dtype)
    panel = 2 * vectors.lanes(dtype)
    A, B, bias = (rng.normal(size=shape).astype(dtype) for shape in ((29, 21), (21, width), (width,)))
    n_packed = min(3, width - 1)
    panels, columns = np.zeros((-(-width // panel), 21, panel), dtype), np.zeros((21, n_packed), dtype)
    call_packing(B.ravel(), panels.ravel(), columns.ravel(), 21, width, 1, n_packed)
    np.testing.assert_array_equal(panels.transpose(1, 0, 2).reshape(21, -1)[:, :width], B)
    np.testing.assert_array_equal(columns, B[:, 1 : 1 + n_packed])
    from_rows, from_panels = np.zeros((29, width), dtype), np.zeros((29, width), dtype)
    call_product(A.ravel(), 21, 1, B.ravel(), width, bias, 0, from_rows.ravel(), width, 29, 21, width)
    call_product_from_panels(A.ravel(), panels.ravel(), 21 * panel, bias, from_panels.ravel(), 29, 21, width)
    np.testing.assert_array_equal(from_panels, from_rows)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 2), (50, 64, 4), (7, 33, 3), (3, 40, 1)])
def test_dot_product(dtype, shape):
    n_rows, n_inner, n_columns = shape
    n_columns = min(n_columns, vectors.lanes(dtype))
    rng = np.random.default_rng(0)
    inner_width, width = padded(n_inner, dtype), padded(n_columns, dtype)
    A = pad_columns(rng.normal(size=(n_rows, n_inner)).astype(dtype), inner_width)
    W = pad_columns(rng.normal(size=(n_columns, n_inner)).astype(dtype), inner_width)
    bias = rng.normal(size=n_columns).astype(dtype)
    C = np.zeros((n_rows, width), dtype)
    parameters = np.concatenate([W.ravel(), bias, np.zeros(width - n_columns, dtype)])
    call_dot_product(A.ravel(), parameters, inner_width, W.size, C.ravel(), width, n_rows, n_columns)
    expected = A.astype(float) @ W.T + bias
    np.testing.assert_allclose(C[:, :n_columns], expected, rtol=tolerance(dtype), atol=tolerance(dtype))
    assert not C[:, n_columns:].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gather", [0, 1])
def test_sparse_products(dtype, gather):
    X = scipy.sparse.random(30, 17, density=0.2, format="csr", random_state=0, dtype=dtype)
    rng = np.random.default_rng(0)
    width = padded(10, dtype)
    order = rng.permutation(30)[:23] if gather else np.arange(23)
    B, D = rng.normal(size=(18, width)).astype(dtype), rng.normal(size=(23, width)).astype(dtype)
    C, G = np.zeros((23, width), dtype), np.full((17, width), 7.0, dtype)
    call_sparse_products(make_table(X), order, gather, B.ravel(), 17 * width, C.ravel(), D.ravel(), G.ravel(), width, 3, 12)
    rows = X[order].toarray().astype(float)
    np.testing.assert_allclose(C, rows @ B[:17] + B[17], rtol=tolerance(dtype), atol=tolerance(dtype))
    np.testing.assert_allclose(G[3:12], (rows.T @ D)[3:12], rtol=tolerance(dtype), atol=tolerance(dtype))
    assert (G[:3] == 7).all() and (G[12:] == 7).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (40, 3), (4, 4), (5, 7), (33, 65)])
def test_transpose_and_gather(dtype, shape):
    A = np.random.default_rng(0).normal(size=shape).astype(dtype)
    panel = 2 * vectors.lanes(dtype)
    n_panels = -(-shape[0] // panel)
    panels = np.zeros((n_panels, shape[1], panel), dtype)
    for first in range(0, shape[0], 12):  # strip by strip, as training does
        call_transpose(A.ravel(), panels.ravel(), first, min(12, shape[0] - first), shape[1])
    whole = panels.transpose(1, 0, 2).reshape(shape[1], -1)
    np.testing.assert_array_equal(whole[:, : shape[0]], A.T)
    assert not whole[:, shape[0] :].any()
    order = np.random.default_rng(0).integers(0, shape[0], 9)
    rows = np.zeros((9, shape[1]), dtype)
    call_gather(A.ravel(), order, rows.ravel(), shape[1])
    np.testing.assert_array_equal(rows, A[order])


def ulps(actual, expected, dtype):
    """Distance from the float64 (or wider) truth in units of the last place of dtype."""
    return np.abs(actual.astype(np.longdouble) - expected) / np.spacing(np.abs(expected).astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "truth", "low", "high", "allowed"),
    [
        ("exp", np.exp, -80, 80, 2),
        ("tanh", np.tanh, -12, 12, 4),
        ("logistic", lambda x: 1 / (1 + np.exp(-x)), -80, 80, 4),
        ("softplus", lambda x: np.logaddexp(0, x), -80, 80, 4),
        ("silu", lambda x: x / (1 + np.exp(-x)), -80, 80, 5),
        ("mish", lambda x: x * np.tanh(np.logaddexp(0, x)), -80, 80, 12),
    ],
)
def test_accuracy_in_ulps(dtype, name, truth, low, high, allowed):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(low, high, 40000), rng.normal(0, 1, 20000), 10.0 ** rng.uniform(-9, 0, 4000)]).astype(dtype)
    y = x.copy()
    call_activate(names.ACTIVATIONS[name].code, y, len(x) // 16, 16, 16, 0, ONE_GROUP)
    assert ulps(y, truth(x.astype(np.longdouble)), dtype).max() <= allowed


def test_accuracy_of_the_logarithm():
    rng = np.random.default_rng(0)
    eps = np.finfo(float).eps
    near_one = 1 - rng.integers(1, 2**40, 20000) * eps
    special = [eps, 1 - eps, 1, 0.5**0.5, 2.0, 4.0]
    x = np.concatenate([rng.uniform(0, 1, 40000), 10.0 ** rng.uniform(-300, 300, 20000), near_one, special])
    x = np.concatenate([x, np.full(-len(x) % 16, 3.0)])
    y = np.full_like(x, np.nan)
    call_log(x, y)
    truth = np.log(x.astype(np.longdouble))
    is_zero = truth == 0
    assert (y[is_zero] == 0).all()
    assert ulps(y[~is_zero], truth[~is_zero], float).max() <= 2
    call_log(np.full(16, np.nan), y[:16])
    assert np.isnan(y[:16]).all()


LOG_LOSSES = {
    "dtype": DTYPES,
    "n_rows": [1, 2, 7, 8, 9, 50],
    "name": ["log_loss", "binary_log_loss"],
    "n_outputs": [1, 3, 5, 21],
    "is_weighted": [False, True],
}


@pytest.mark.parametrize(LOG_LOSSES, [tuple(case.values()) for case in covering(LOG_LOSSES)])
def test_log_losses_and_deltas(dtype, n_rows, name, n_outputs, is_weighted):
    rng = np.random.default_rng(0)
    width = padded(n_outputs, dtype)
    probabilities = rng.uniform(size=(n_rows, n_outputs))
    probabilities[0] = np.eye(n_outputs)[0]  # certain, and so clipped
    if name == "log_loss":
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        labels = rng.integers(0, n_outputs, n_rows)
        one_hot, targets = np.eye(n_outputs)[labels], labels[:, np.newaxis]
    else:
        one_hot = targets = rng.integers(0, 2, (n_rows, n_outputs)).astype(float)
        one_hot[-1, -1] = targets[-1, -1] = 0.25  # a probability as the target
    outputs = pad_columns(probabilities.astype(dtype), width)
    weights = rng.uniform(0.5, 2, n_rows).astype(dtype) if is_weighted else np.empty(0, dtype)
    scale = weights.astype(float) if is_weighted else np.ones(n_rows)
    deltas, row_losses, of_targets = (
        np.zeros_like(outputs),
        np.zeros(n_rows),
        (targets.astype(dtype).ravel(), 0, targets.shape[1]),
    )
    code, of_outputs = names.LOSSES[name].code, (outputs.ravel(), 0, n_rows, n_outputs, width)
    rows = OutputRows(code, np.zeros(n_outputs), *of_outputs, *of_targets, weights, 0)
    call_output_deltas(rows, names.CANCELS, deltas.ravel(), row_losses, np.zeros(1))
    eps = np.finfo(dtype).eps
    p = np.clip(outputs[:, :n_outputs].astype(float), eps, 1 - eps)
    terms = scipy.special.xlogy(one_hot, p)
    if name == "binary_log_loss":
        terms += scipy.special.xlogy(1 - one_hot, 1 - p)
    np.testing.assert_allclose(row_losses, -scale * terms.sum(axis=1), rtol=1e-13)
    expected = (outputs[:, :n_outputs] - one_hot) * scale[:, np.newaxis]
    np.testing.assert_allclose(deltas[:, :n_outputs], expected, rtol=tolerance(dtype), atol=tolerance(dtype))
    assert (deltas[:, n_outputs:] == 0).all()


def test_a_nan_output_makes_its_loss_nan():
    outputs, row_losses = np.zeros((3, 8)), np.zeros(3)
    outputs[:, 0] = [0.5, np.nan, 0.5]
    rows = OutputRows(names.BINARY_LOG_LOSS, np.zeros(1), outputs.ravel(), 0, 3, 1, 8, np.ones(3), 0, 1, np.empty(0), 0)
    call_output_deltas(rows, names.CANCELS, np.zeros(24), row_losses, np.zeros(1))
    np.testing.assert_array_equal(np.isnan(row_losses), [False, True, False])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_outputs", [2, 4, 5, 37])
def test_largest_output_is_argmax(dtype, n_outputs):
    """Ties too, of which the first counts, and rows of NaN."""
    network, params = random_network((n_outputs, n_outputs), dtype)
    _, biases = parameter_views(network, params)
    W, _ = parameter_views(network, params)
    W[0][...], biases[0][...] = np.eye(n_outputs), 0
    X = np.random.default_rng(0).integers(-2, 3, size=(101, n_outputs)).astype(dtype)
    X[3] = np.finfo(dtype).max  # overflows to NaN in the softmax, or not: all the same
    outputs = predict_outputs(network, params, X)
    np.testing.assert_array_equal(predict_outputs(network, params, X, only_largest=True), outputs.argmax(axis=1))
    params[:] = np.nan
    assert (predict_outputs(network, params, X, only_largest=True) == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_beyond_the_range(dtype):
    highest = np.log(np.finfo(dtype).max)
    lowest = np.log(np.finfo(dtype).tiny)
    x = np.array([np.nan, np.inf, -np.inf, highest * 1.01, -highest * 1.3, 0.0, highest * 0.999, lowest * 1.02] * 2, dtype)
    y = x.copy()
    call_activate(names.EXP, y, 1, 16, 16, 0, ONE_GROUP)
    with np.errstate(over="ignore", under="ignore"):
        expected = np.exp(x)
    expected[expected < np.finfo(dtype).tiny] = 0  # subnormal
    np.testing.assert_allclose(y, expected, rtol=1e-4)


def reference(name, z):
    """What the plain twin makes of an array."""
    if name == "softmax":
        return scipy.special.softmax(z, axis=1)
    if name == "cumulative":
        return np.array([naive.activate(name, row) for row in z.tolist()])
    return np.frompyfunc(naive.UNITS[name], 1, 1)(z).astype(float)


@pytest.mark.parametrize(("name", "form"), dealt(names.ACTIVATIONS, itertools.product(DTYPES, [1, 10, 16, 37])))
def test_activation_and_padding(name, form):
    dtype, n_units = form
    width = padded(n_units, dtype)
    Z = pad_columns(np.random.default_rng(0).normal(0, 3, (7, n_units)).astype(dtype), width)
    if name == "softmax":
        Z[:2, :n_units] += [[1000], [-1000]]
    if name == "cumulative":  # which falls from left to right
        Z = pad_columns(-np.sort(-Z[:, :n_units], axis=1), width)
    expected = reference(name, Z[:, :n_units].astype(float))
    call_activate(names.ACTIVATIONS[name].code, Z.ravel(), 7, n_units, width, 0, ONE_GROUP)
    np.testing.assert_allclose(Z[:, :n_units], expected, rtol=10 * tolerance(dtype), atol=tolerance(dtype))
    assert (Z[:, n_units:] == 0).all()


UNIT_BY_UNIT = [name for name in names.ACTIVATIONS if name not in ("softmax", "cumulative")]
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-310, -1e-310, 1e-40, -1e-40, 5.0]


@pytest.mark.parametrize(("name", "form"), dealt(UNIT_BY_UNIT, itertools.product(DTYPES, [(1, 10), (5, 1), (5, 2)])), ids=str)
def test_special_values(name, form):
    """NaN stays NaN, whichever way a row goes; infinities and what stands next to zero are as the formula has them."""
    dtype, (n_rows, n_units) = form
    width = padded(n_units, dtype)
    for value in np.array(SPECIAL, dtype):
        Z = pad_columns(np.full((n_rows, n_units), value, dtype), width)
        with np.errstate(all="ignore"):
            expected = reference(name, np.full(1, value if abs(value) > np.finfo(dtype).tiny or value != value else 0.0))[0]
        call_activate(names.ACTIVATIONS[name].code, Z.ravel(), n_rows, n_units, width, 0, ONE_GROUP)
        np.testing.assert_allclose(Z[:, :n_units], expected, rtol=1e-6, atol=2 * np.finfo(dtype).tiny)


def test_softmax_of_nan():
    for n_units, width in [(3, 16), (37, 48)]:
        Z = np.zeros((2, width))
        Z[1, 1] = np.nan
        call_activate(names.SOFTMAX, Z.ravel(), 2, n_units, width, 0, ONE_GROUP)
        assert np.isnan(Z[1, :n_units]).all()
        np.testing.assert_allclose(Z[0, :n_units], 1 / n_units)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in names.ACTIVATIONS if name not in ("softmax", "cumulative", "step")])
def test_slope_is_the_derivative(name, dtype):
    z = np.random.default_rng(0).normal(0, 2, 64)
    h = 1e-6
    slope = (reference(name, z + h) - reference(name, z - h)) / (2 * h)
    activation = names.ACTIVATIONS[name]
    Z, deltas = np.zeros(128, dtype), np.ones(64, dtype)
    Z[:64] = z
    call_activate(activation.code, Z, 2, 32, 32, 64, ONE_GROUP)
    call_slope(activation.slope, Z, 64, deltas)
    close = {"rtol": 1e-6, "atol": 1e-8} if dtype == np.float64 else {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(deltas, slope, **close)


def test_codes_that_nobody_knows_become_nan():
    Z, deltas, unknown = np.ones(16), np.ones(16), 99
    call_activate(unknown, Z, 1, 16, 16, 0, ONE_GROUP)
    assert np.isnan(Z).all()
    for code in (unknown, names.SOFTMAX):
        call_slope(code, np.ones(16), 0, deltas)
        assert np.isnan(deltas).all()
    rows = OutputRows(unknown, np.zeros(2), np.ones(8), 0, 1, 2, 8, np.ones(2), 0, 2, np.empty(0), 0)
    for slope in (names.IDENTITY, unknown):
        deltas, row_losses, early = np.zeros(8), np.zeros(1), np.zeros(1)
        call_output_deltas(rows, slope, deltas, row_losses, early)
        assert np.isnan([*early, *row_losses, *deltas[:2]]).all()
    samples = Problem(np.ones((1, 1)), np.ones((1, 2))).samples
    assert np.isnan(call_score(unknown, np.ones(2), 2, samples, np.array([0, 2])))
    w, rule = np.ones(16), StepRule(unknown, 0.9, 0.999, 1e-8, 0.5)
    assert np.isnan(call_update(rule, 0.1, 1.0, w, np.ones(16), np.ones(16), np.ones(16), 1.0, 0.0))
    assert (w == 1).all()


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_solver_that_the_kernels_do_not_know_ends_in_an_error(batch_size, monkeypatch):
    """Not as some other solver, batch by batch or sample by sample."""
    unknown = names.SOLVERS["sgd"]._replace(rule=99, nesterov_rule=None)
    monkeypatch.setitem(names.SOLVERS, "sgd", unknown)
    X = np.random.default_rng(0).normal(size=(20, 3))
    model = BPRegressor(hidden_layer_sizes=3, solver="sgd", batch_size=batch_size, max_iter=2)
    with pytest.raises(ValueError, match="non-finite"):
        model.fit(X, X[:, 0])


def test_rate_of_step():
    rules = {code: StepRule(code, 0.9, 0.99, 1e-8, 0.0) for code in (names.SGD, names.NESTEROV, names.ADAM)}
    assert call_rate_of_step(rules[names.SGD], 0.1, 7) == call_rate_of_step(rules[names.NESTEROV], 0.1, 7) == 0.1
    np.testing.assert_allclose(call_rate_of_step(rules[names.ADAM], 0.1, 7), 0.1 * np.sqrt(1 - 0.99**7) / (1 - 0.9**7))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 255, 256, 257, 5000])
def test_shuffle_is_numpys(n):
    for seed in (0, 1):
        random_state = np.random.RandomState(seed)
        random_state.uniform(size=7)
        state = random_state.get_state(legacy=False)["state"]
        key, position, order = state["key"].copy(), np.array([state["pos"]]), np.arange(n)
        expected = np.arange(n)
        for _ in range(3):
            random_state.shuffle(expected)
            as_before, key_before, position_before = order.copy(), key.copy(), position.copy()
            call_shuffle(as_before, key_before, position_before, False)
            np.testing.assert_array_equal(as_before, order)
            call_shuffle(order, key, position, True)
            np.testing.assert_array_equal(key_before, key)
            assert position_before[0] == position[0]
            np.testing.assert_array_equal(order, expected)
        after = random_state.get_state(legacy=False)["state"]
        np.testing.assert_array_equal(key, after["key"])
        assert position[0] == after["pos"]


UPDATES = {name: solver.rule for name, solver in names.SOLVERS.items() if solver.is_stochastic}
UPDATES |= {"nesterov": names.NESTEROV, "gradient": names.GRADIENT_ONLY}


def test_every_step_rule_is_tested():
    rules = {rule for solver in names.SOLVERS.values() for rule in (solver.rule, solver.nesterov_rule)}
    assert rules - {None} == set(UPDATES.values())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UPDATES)
def test_update(dtype, name):
    rng = np.random.default_rng(0)
    w, g, m, v = (rng.normal(size=64).astype(dtype) for _ in range(4))
    v, m[::5] = np.abs(v), 0
    m = np.abs(m) if name == "rmsprop" else m
    rule = StepRule(UPDATES[name], 0.9, 0.999, 1e-8, 0.5)
    new_w, new_g, new_m, new_v = w.copy(), g.copy(), m.copy(), v.copy()
    kept = 0.9 if name in names.SOLVERS and names.SOLVERS[name].has_weight_decay else 1.0
    norm = call_update(rule, 0.1, kept, new_w, new_g, new_m, new_v, 0.25, 0.125)
    total, expected = 0.25 * g + 0.125 * w, [array.tolist() for array in (kept * w, m, v)]
    if name == "gradient":
        np.testing.assert_allclose(new_g, total, rtol=1e-5)
        expected[0] = w
    else:
        naive.STEPS[name](expected[0], total.tolist(), *expected[1:], 0.1, 0.9, 0.999, 1e-8)
    for found, wanted in zip((new_w, new_m, new_v), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=tolerance(dtype) / 2, atol=tolerance(dtype) / 20)
    assert norm == pytest.approx(np.sum(w.astype(float) ** 2), rel=1e-5)


def random_network(sizes, dtype, activations=None, output="softmax", loss="log_loss"):
    hidden = activations or ["tanh"] * (len(sizes) - 2)
    network = make_network(sizes, hidden, output, loss, dtype=dtype)
    coefs, intercepts = draw_parameters(sizes, [*hidden, output], init="glorot_uniform", random_state=np.random.RandomState(0))
    return network, pack_parameters(network, coefs, intercepts, dtype)


def run(n_threads, dtype, solver="adam", batch_size=50, n_rows=333, sparse=False, sizes=(40, 70, 33, 5), **options):
    output, loss = ("softmax", "log_loss") if sizes[-1] > 1 else ("logistic", "binary_log_loss")
    network, params = random_network(sizes, dtype, output=output, loss=loss)
    rng = np.random.RandomState(1)
    X = rng.normal(size=(n_rows, sizes[0])).astype(dtype)
    Y = rng.randint(0, max(2, sizes[-1]), (n_rows, 1)).astype(dtype)
    if sparse:
        X[np.abs(X) < 1] = 0
        X = scipy.sparse.csr_array(X)
    asked = BPClassifier(
        sizes[1:-1], "tanh", solver=solver, learning_rate_init=0.01, alpha=0.01, batch_size=batch_size,
        tol=options.get("tol", 0.0), n_iter_no_change=1 if "tol" in options else np.inf, max_iter=4,
    )  # fmt: skip
    problem, training = Problem(X, Y, n_outputs=sizes[-1]), Run(params, rng)
    if "validation" in options:
        problem.held_out = Problem(X[:60], Y[:60])
    if "test" in options:
        training.test = Problem(X[:77], Y[:77]).samples
    stochastic.train(training, network, problem, settings_of(asked, loss), n_threads=n_threads, scratch=Scratch())
    history = training.history
    if "test" in options:
        assert history.n_iter == options["test"]
        np.testing.assert_array_equal(training.test_outputs, predict_outputs(network, params, X[:77]))
    return params, history, rng.randint(1 << 30)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"solver": "sgd"},
        {"batch_size": 333},
        {"batch_size": 5},
        {"sparse": True},
        {"sizes": (40, 300, 1)},
        {"sizes": (40, 270, 261, 2)},
        {"sizes": (40, 270, 261, 2), "batch_size": 333},
        {"sizes": (9, 2)},
        {"validation": True},
        {"test": 4},
        {"test": 3, "tol": 9.0},
        {"test": 4, "batch_size": 1, "solver": "sgd"},
    ],
)
def test_same_bits_for_any_number_of_threads(teams_for_any_work, dtype, options):
    alone, history, draw = run(1, dtype, **options)
    for n_threads in (2, 3, 5):
        together, other_history, other_draw = run(n_threads, dtype, **options)
        np.testing.assert_array_equal(alone, together)
        assert history.loss_curve == other_history.loss_curve
        assert history.validation_scores == other_history.validation_scores
        assert draw == other_draw


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "sizes, activation, output, loss",
    [
        ((7, 11, 10), "logistic", "softmax", "log_loss"),
        ((5, 19, 6, 3), "tanh", "softmax", "log_loss"),
        ((6, 9, 2), "relu", "logistic", "binary_log_loss"),
        ((3, 4, 20, 1), "leaky_relu", "exp", "poisson"),
        ((4, 9, 7), "identity", "identity", "squared_error"),
        ((2, 3, 1), "logistic", "tanh", "squared_error"),
        ((9, 2), "relu", "softmax", "log_loss"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"nesterovs_momentum": False}, {"momentum": 0.0}, {"fit_intercept": False}])
def test_per_sample_epochs(dtype, sizes, activation, output, loss, options):
    """Batches of one sample against the naive loop, over some of the rows and with weights, a third of them zero."""
    hidden = [activation] * (len(sizes) - 2)
    fit_intercept = options.get("fit_intercept", True)
    network = make_network(sizes, hidden, output, loss, fit_intercept=fit_intercept, dtype=dtype)
    start = draw_parameters(sizes, [*hidden, output], init="glorot_uniform", random_state=np.random.RandomState(0))
    if not fit_intercept:
        start = start[0], [np.zeros_like(b) for b in start[1]]
    params = pack_parameters(network, *start, dtype)
    rng = np.random.RandomState(1)
    X = rng.normal(size=(23, sizes[0])).astype(dtype)
    Y = rng.randint(0, max(2, sizes[-1]), (23, 1)) if loss == "log_loss" else rng.randint(0, 2, (23, sizes[-1]))
    weights = rng.uniform(0.5, 2, 23).astype(dtype)
    weights[[0, 3, 4, 5, 10, 11, 21, 22]] = 0
    rows = np.arange(0, 23, dtype=np.int64)[1:]
    settings = {"alpha": 0.1, "batch_size": 1, "learning_rate": "constant", "power_t": 0.5, "tol": 0.0, "max_iter": 4}
    settings |= {"n_iter_no_change": np.inf, "shuffle": False}
    step = {"learning_rate_init": 0.004, "momentum": 0.9, "nesterovs_momentum": True} | options
    step.pop("fit_intercept", None)
    asked = BPRegressor(hidden_layer_sizes=sizes[1:-1], solver="sgd", **step, **settings)
    training = Run(params, rng)
    problem = Problem(X, Y, weights, row_indices=rows, n_outputs=sizes[-1])
    stochastic.train(training, network, problem, settings_of(asked, "squared_error"), n_threads=1, scratch=Scratch())
    history = training.history
    used = rows[weights[rows] > 0]
    naive_options = {"activation": activation, "output_activation": output, "loss": loss, "fit_intercept": fit_intercept}
    expected = naive.train(*start, X[used], Y[used], sample_weight=weights[used], **naive_options, **step, **settings)
    close = {"rtol": 1e-11, "atol": 1e-12} if dtype == np.float64 else {"rtol": 2e-3, "atol": 2e-5}
    for mine, theirs in zip(parameter_views(network, params), (expected.coefs, expected.intercepts), strict=True):
        for array, other in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(array, other, **close)
    np.testing.assert_allclose(np.array(history.loss_curve) * len(rows) / len(used), expected.loss_curve, **close)


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_gradient_and_outputs_for_any_number_of_threads(teams_for_any_work, dtype):
    network, params = random_network((30, 50, 20, 4), dtype)
    X = np.random.default_rng(0).normal(size=(2500, 30)).astype(dtype)
    Y = (np.arange(2500) % 4).astype(dtype)[:, None]
    results = []
    for n_threads in (1, 2, 4):
        objective = Objective(network, Problem(X, Y), alpha=0.1, n_threads=n_threads)
        results.append((objective(params), objective.gradient.copy(), predict_outputs(network, params, X, n_threads=n_threads)))
    for loss, gradient, outputs in results[1:]:
        assert loss == results[0][0]
        np.testing.assert_array_equal(gradient, results[0][1])
        np.testing.assert_array_equal(outputs, results[0][2])


def test_padding_stays_zero():
    params, _, _ = run(1, np.float32)
    network, _ = random_network((40, 70, 33, 5), np.float32)
    coefs, intercepts = parameter_views(network, params)
    for array in (*coefs, *intercepts):
        array[...] = 0
    assert not params.any()


EVERY_OPTION = [
    *({"solver": solver} for solver in names.SOLVERS if solver != "lm"),
    *({"activation": name} for name in names.HIDDEN_ACTIVATIONS),
    *({"activation": name, "solver": "sgd", "batch_size": 1} for name in ("relu", "elu", "gelu")),
    *({"early_stopping": True, "scoring": score} for score in (None, "neg_mean_absolute_error")),
    *({"loss": loss} for loss in names.REGRESSION_LOSSES),
    *(
        {"loss": loss, "solver": "sgd", "batch_size": 1, "learning_rate_init": 1e-6}
        for loss in ("huber", "poisson", "quantile", "gaussian_nll")
    ),
    {"dropout": (0.1, 0.1, 0.1)},
    {"dropout": (0.0, 0.5, 0.5), "activation": "selu"},
    {"embedding": "periodic", "scale_layer": True},
    {"skip_layer": True},
    {"monotonic_cst": [1, -1, 0, 0, 0]},
    {"categorical_features": [3, 4]},
    {"categorical_features": [3, 4], "scale_layer": True, "dropout": (0.1, 0.0, 0.0)},
    {"categorical_features": [3, 4], "solver": "lbfgs"},
    {"categorical_features": [3, 4], "embedding_size": 3},
    {"categorical_features": [3, 4], "embedding_size": 2, "scale_layer": True, "dropout": (0.1, 0.0, 0.0)},
    {"categorical_features": [3, 4], "embedding_size": 2, "embedding": "periodic", "solver": "lbfgs"},
    {"clip_norm": 1.0},
    {"l1_ratio": 0.5},
    {"averaging": 0.9},
    {"hidden_layer_sizes": (300,)},
    {"shuffle": False},
    {"init": "data"},
]


@pytest.mark.slow
@pytest.mark.skipif(IS_CHECKED, reason="kernels with bounds checks have no parts")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", EVERY_OPTION, ids=str)
def test_every_part_that_a_fit_comes_to_is_expected(options, dtype):
    """In what is like a new process: a part that nobody has asked for would be an error."""
    X = np.random.RandomState(0).normal(size=(40, 5)).astype(dtype)
    y = np.abs(X[:, 0]) + 0.1
    forget_parts()
    model = BPRegressor(**{"hidden_layer_sizes": (4, 3), "max_iter": 2, "random_state": 0, **options})
    first = model.fit(X, y).predict(X)
    np.testing.assert_array_equal(model.fit(X, y).predict(X), first)


@pytest.mark.slow
@pytest.mark.skipif(IS_CHECKED, reason="kernels with bounds checks have no parts")
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_part_of_other_calls_is_expected(dtype):
    X = np.random.RandomState(0).normal(size=(40, 5)).astype(dtype)
    Y = np.stack([X[:, 0] > 0, X[:, 1] > 0, X[:, 2] > 0.5], axis=1).astype(int)
    sparse, wide = scipy.sparse.csr_matrix(X), np.tile(X, 300)
    for targets in (Y[:, 0], Y.sum(axis=1), Y):
        for loss, smoothing in (("log_loss", 0.0), ("log_loss", 0.1), ("focal", 0.0)):
            for rows, options in ((X, {}), (sparse, {}), (X, {"solver": "lbfgs"}), (X, {"solver": "sgd", "batch_size": 1})):
                forget_parts()
                model = BPClassifier((3,), max_iter=2, loss=loss, label_smoothing=smoothing, random_state=0, **options)
                assert model.fit(rows, targets).predict_proba(rows).shape[0] == 40
    for rows in (X, sparse):
        for activation in ("relu", "softplus", "mish"):
            forget_parts()
            model = BPRegressor(hidden_layer_sizes=(3,), activation=activation, solver="lm", max_iter=2).fit(rows, X[:, 0])
            forget_parts()
            assert np.isfinite(model.input_gradients(rows)).all()
    for rows in (X, sparse):
        for options in ({}, {"solver": "lbfgs"}, {"early_stopping": True}, {"skip_layer": True}):
            forget_parts()
            model = BPClassifier((3,), ordered=True, max_iter=2, random_state=0, **options).fit(rows, Y.sum(axis=1))
            forget_parts()
            assert np.isfinite(model.predict_proba(rows)).all()
            forget_parts()
            assert np.isfinite(model.input_gradients(rows)).all()
    forget_parts()
    BPRegressor(hidden_layer_sizes=(3,), solver="sgd", max_iter=100).fit(wide, X[:, 0])


@pytest.mark.parametrize("solver", ["adam", "lbfgs", "lm"])
def test_sparse_validation_rows_of_dense_rows_are_expected(solver):
    X = np.random.RandomState(0).normal(size=(40, 5))
    y, looked_at = np.abs(X[:, 0]) + 0.1, scipy.sparse.csr_matrix(X[:10])
    options = {"hidden_layer_sizes": (4,), "solver": solver, "max_iter": 3, "random_state": 0, "early_stopping": True}
    forget_parts()
    sparse = BPRegressor(**options).fit(X, y, X_val=looked_at, y_val=y[:10])
    dense = BPRegressor(**options).fit(X, y, X_val=X[:10], y_val=y[:10])
    np.testing.assert_allclose(sparse.validation_loss_curve_, dense.validation_loss_curve_, rtol=1e-9)


FORGOTTEN = []  # machine code, whose addresses other tests may have


def forget_parts():
    """Let the next call of an entry load what it needs, as in a new process."""
    of_fastbp = compiling.known()
    for name, dtype in loader.loaded():
        if name in of_fastbp:
            FORGOTTEN.append(loader._loaded.pop((name, dtype)))
    for each in ENTRIES.values():
        each._ready.clear()


def test_the_types_of_all_entries_and_parts_are_declared():
    for function in (*PARTS.values(), *(each.function for each in ENTRIES.values())):
        if function.__module__.startswith("fastbp."):
            assert set(inspect.signature(function).parameters) <= set(function.__annotations__), function


def test_fastmath_keeps_nan_and_infinity():
    assert not FASTMATH & {"fast", "nnan", "ninf", "reassoc"}


def test_product_is_the_plain_loop():
    rng = np.random.default_rng(0)
    A, B, start = rng.normal(size=(5, 7)), rng.normal(size=(7, 16)), rng.normal(size=(5, 16))
    C = start.copy()
    call_product(A.ravel(), 7, 1, B.ravel(), 16, C.ravel(), 16, C.ravel(), 16, 5, 7, 16)
    np.testing.assert_allclose(C, naive.product(A.tolist(), B.tolist(), start.tolist()), rtol=1e-12)


def test_a_batch_in_slabs_is_the_plain_sum_of_slabs():
    """640 rows and few parameters make eight slabs; the weights of rows count in each."""
    sizes, rng = (3, 5, 2), np.random.RandomState(0)
    network = make_network(sizes, ("tanh",), "identity", "squared_error")
    drawn = draw_parameters(sizes, ("tanh",) * 2, init="glorot_uniform", random_state=rng)
    X, Y, weights = rng.normal(size=(640, 3)), rng.normal(size=(640, 2)), rng.uniform(0.5, 2, 640)
    objective = Objective(network, Problem(X, Y, weights), alpha=0.3)
    assert objective.workspace.n_slabs == 8
    loss = objective(pack_parameters(network, *drawn, np.float64))
    lists = [[array.tolist() for array in arrays] for arrays in drawn]
    expected = naive.gradients_in_slabs(
        *lists, X.tolist(), Y.tolist(), weights.tolist(), ["tanh", "identity"], "squared_error", 0.3, 8
    )
    np.testing.assert_allclose(loss, expected[0], rtol=1e-12)
    for mine, other in zip(parameter_views(network, objective.gradient), expected[1:], strict=True):
        for array, theirs in zip(mine, other, strict=True):
            np.testing.assert_allclose(array, theirs, rtol=1e-11, atol=1e-14)
