"""The compiled L-BFGS takes scipy's way."""

import math

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize

from fastbp.kernels import lbfgs
from fastbp.training.initialisation import draw_parameters
from fastbp.training.lbfgs import begin, descend, make_memory
from fastbp.training.network import make_network, pack_parameters
from fastbp.training.objective import Objective
from fastbp.training.problem import Problem

COMPARED = 12  # iterations; rounding errors grow from one to the next


def problem(seed, dtype=np.float64, n_rows=40, init_scale=None, alpha=None, **options):
    """A small network with random data, from starts so far off that line searches have to work."""
    rng = np.random.RandomState(seed)
    activation = ("tanh", "logistic", "relu", "identity")[seed % 4]
    sizes = (3, 5, 2)
    network = make_network(sizes, (activation,), "identity", "squared_error", dtype=dtype)
    scale = (0.1, 1.0, 10.0, 100.0)[seed // 4 % 4] if init_scale is None else init_scale
    drawn = draw_parameters(sizes, (activation,) * 2, init="glorot_uniform", init_scale=scale, random_state=rng, dtype=dtype)
    X, Y = rng.standard_normal((n_rows, 3)).astype(dtype), 10.0 * rng.standard_normal((n_rows, 2)).astype(dtype)
    alpha = (0.0, 1e-3, 10.0)[seed % 3] if alpha is None else alpha
    return Objective(network, Problem(X, Y), alpha=alpha, **options), pack_parameters(network, *drawn, dtype)


def path_of_scipy(objective, start, **options):
    """[(x, loss, evaluations so far), …] per iteration, and scipy's result."""
    n_evaluations, path = 0, []

    def loss_and_gradient(x):
        nonlocal n_evaluations
        n_evaluations += 1
        loss = objective(x)
        return loss, objective.gradient.astype(np.float64)

    def note(intermediate_result):
        path.append((intermediate_result.x.copy(), intermediate_result.fun, n_evaluations))

    result = minimize(
        loss_and_gradient, start.astype(np.float64), method="L-BFGS-B", jac=True, options={"gtol": 0.0, **options}, callback=note
    )
    return path, result


def memory_at(start):
    memory = make_memory(start.size)
    begin(memory, start)
    return memory


def path_of_ours(objective, start, n_iterations, *, max_iter=15000, **options):
    memory, path = memory_at(start), []
    while memory.counts[lbfgs.STATUS] == lbfgs.RUNNING and len(path) < n_iterations:
        assert descend(objective, memory, 1, max_iter=max_iter, **options)
        if memory.counts[lbfgs.N_ITER] > len(path):
            path.append((memory.x.copy(), memory.measures[lbfgs.LOSS], memory.counts[lbfgs.N_EVALUATIONS]))
    return path, memory


@pytest.mark.parametrize("seed", range(32))
def test_iterates_losses_and_evaluations_are_scipys(seed):
    objective, start = problem(seed)
    theirs, _ = path_of_scipy(objective, start, maxiter=COMPARED)
    ours, _ = path_of_ours(objective, start, COMPARED)
    assert len(ours) >= min(len(theirs), COMPARED)
    for (x, loss, n_evaluations), (their_x, their_loss, their_n_evaluations) in zip(ours, theirs):
        assert 0 <= n_evaluations - their_n_evaluations <= 1  # scipy does not ask again where it has just been
        assert_allclose(loss, their_loss, rtol=1e-7)
        assert_allclose(x, their_x, rtol=1e-5, atol=1e-6 * np.abs(their_x).max())


def test_line_searches_of_several_steps_are_among_them():
    """What makes the test above one of every branch of the line search."""
    longest = 0
    for seed in range(32):
        path, _ = path_of_scipy(*problem(seed), maxiter=COMPARED)
        longest = max(longest, *np.diff([1, *(n for _, _, n in path)]))
    assert longest >= 5


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", range(8))
def test_as_good_a_minimum_as_scipys(seed, dtype):
    objective, start = problem(seed, dtype, init_scale=1.0, alpha=1.0)
    _, theirs = path_of_scipy(objective, start, maxiter=2000, maxfun=10**6)
    memory = memory_at(start)
    descend(objective, memory, 2000, max_iter=2000)
    assert memory.counts[lbfgs.STATUS] in (lbfgs.SMALL_CHANGE, lbfgs.SMALL_GRADIENT, lbfgs.NO_DESCENT)
    assert memory.measures[lbfgs.LOSS] <= theirs.fun * 1.05


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ({"max_iter": 3}, lbfgs.MAX_ITER),
        ({"max_fun": 4}, lbfgs.MAX_FUN),
        ({"smallest_gradient": 0.5}, lbfgs.SMALL_GRADIENT),
        ({"smallest_gradient": 1e9}, lbfgs.SMALL_GRADIENT),
        ({}, lbfgs.SMALL_CHANGE),
    ],
)
def test_why_a_run_ends(limits, status):
    objective, start = problem(0, init_scale=1.0)
    memory = memory_at(start)
    descend(objective, memory, 10**6, **{"max_iter": 10**6, **limits})
    names = {"max_iter": "maxiter", "max_fun": "maxfun", "smallest_gradient": "gtol"}
    _, theirs = path_of_scipy(objective, start, **{"maxiter": 10**6, **{names[name]: value for name, value in limits.items()}})
    assert memory.counts[lbfgs.STATUS] == status
    assert theirs.status == (1 if status in (lbfgs.MAX_ITER, lbfgs.MAX_FUN) else 0)
    if theirs.nit <= COMPARED:
        assert (memory.counts[lbfgs.N_ITER], memory.counts[lbfgs.N_EVALUATIONS]) == (theirs.nit, theirs.nfev)


def test_interrupted_iterations_change_nothing():
    objective, start = problem(1)
    at_once = memory_at(start)
    descend(objective, at_once, 9, max_iter=100)
    one_by_one, _ = path_of_ours(objective, start, 9)
    assert_array_equal(at_once.x, one_by_one[-1][0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_same_bits_for_any_number_of_threads(dtype, teams_for_any_work):
    found = []
    for n_threads in (1, 2, 3):
        objective, start = problem(2, dtype, n_rows=900, init_scale=1.0, n_threads=n_threads)
        assert objective.n_threads == n_threads
        memory = memory_at(start)
        assert descend(objective, memory, 25, max_iter=25)
        found.append(memory.x)
    assert_array_equal(found[0], found[1])
    assert_array_equal(found[0], found[2])


def test_some_of_the_rows():
    objective, start = problem(3, n_rows=40, init_scale=1.0)
    rows = np.array([3, 30, 7, 7, 12, 0, 39, 21, 5])
    rng = np.random.RandomState(0)
    X, Y, weights = rng.standard_normal((40, 3)), rng.standard_normal((40, 2)), rng.uniform(0.0, 2.0, 40)
    network = objective.fixed[0]
    alone = Objective(network, Problem(X[rows], Y[rows], weights[rows]), alpha=0.1)
    picked = Objective(network, Problem(X, Y, weights, row_indices=rows), alpha=0.1)
    paths = [path_of_ours(objective, start, 10)[0] for objective in (alone, picked)]
    for ours, theirs in zip(*paths):
        assert_array_equal(ours[0], theirs[0])


def test_a_loss_that_is_lost_leaves_the_last_good_parameters():
    objective, start = problem(3, init_scale=1.0)
    start[:] = start * 1e160
    memory = memory_at(start)
    assert descend(objective, memory, 10, max_iter=10)
    assert memory.counts[lbfgs.STATUS] == lbfgs.NOT_FINITE
    assert_array_equal(memory.x, start)
    assert not math.isfinite(objective(start))


def test_a_step_after_which_the_loss_is_lost_is_shortened():
    network = make_network((1, 1), (), "exp", "poisson")
    X = np.array([[1.0], [1e4]])
    objective = Objective(network, Problem(X, np.array([[1.0], [3.0]])), alpha=0.0)
    start = pack_parameters(network, [np.array([[-0.05]])], [np.zeros(1)], np.float64)
    _, memory = path_of_ours(objective, start, 200)
    assert memory.counts[lbfgs.STATUS] in (lbfgs.SMALL_CHANGE, lbfgs.SMALL_GRADIENT)
    assert memory.measures[lbfgs.LOSS] < 1e-6


def test_steps_end_at_wolfe_points():
    """What the plain twin of the line search says of where each search ended, few of which end for want of a better point."""
    accepted = []
    for seed in range(8):
        objective, start = problem(seed, init_scale=1.0)
        path, _ = path_of_ours(objective, start, 8)
        before = start.astype(np.float64)
        for x, loss, _ in path:
            losses, slopes = [], []
            for point in (before, x):
                losses.append(objective(point))
                slopes.append(objective.gradient.astype(np.float64) @ (x - before))
            assert_allclose(losses[1], loss, rtol=1e-12)
            assert losses[1] < losses[0]
            accepted.append(naive.is_wolfe_point(losses[0], slopes[0], 1.0, losses[1], slopes[1]))
            before = x
    assert len(accepted) > 50
    assert np.mean(accepted) > 0.9
