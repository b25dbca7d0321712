"""Parts: compiled by the first kernel that calls them, then called at their address."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastbp.kernels import compiler, parts
from fastbp.kernels.atomics import barrier
from fastbp.kernels.compiler import entry, part, typed_once
from fastbp.kernels.vectors import element, set_element
from fastbp.training.threads import run_team

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(compiler.IS_INTERPRETED, reason="without a compiler parts are plain functions")


@part("float64")
def add_up(values, by):
    total = 0.0
    for i in range(values.size):
        set_element(values, i, element(values, i) + by)
        total += element(values, i)
    return total


@part("boolean", "float64")
def halved(x):
    return x > 1.0, 0.5 * x


@part("void")
def used_by_nobody_yet(values):
    set_element(values, 0, 1.0)


@typed_once
@entry
def call_parts(params, by, result):
    if by == -1.0:
        used_by_nobody_yet(params)
    result[0] = add_up(params, by)
    is_large, half = halved(by)
    result[1] = 1.0 if is_large else 0.0
    result[2] = half


@part("void")
def spoilt(values):
    set_element(values, 0, 1.0)


@typed_once
@entry
def call_in_team(thread, n_threads, sync, params):
    if thread == 0:
        spoilt(params)
    barrier(sync, n_threads)


def compiled(function):
    return [str(types[0].dtype) for kernel in compiler.PARTS if kernel.py_func is function for types in kernel.signatures]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_are_those_of_plain_python(dtype):
    values, result = np.arange(8, dtype=dtype), np.zeros(3)
    for by in (1.0, 3.0):
        expected = values + dtype(by)
        call_parts(values, by, result)
        np.testing.assert_array_equal(values, expected)
        np.testing.assert_array_equal(result, [expected.sum(), by > 1.0, 0.5 * by])


def test_only_what_is_called_is_compiled():
    call_parts(np.zeros(4), 1.0, np.zeros(3))
    assert "float64" in compiled(add_up)
    before = compiled(used_by_nobody_yet)
    call_parts(np.zeros(4, np.float32), 1.0, np.zeros(3))
    assert compiled(used_by_nobody_yet) == before == []
    values = np.zeros(4, np.float32)
    call_parts(values, -1.0, np.zeros(3))
    assert compiled(used_by_nobody_yet) == ["float32"]
    assert values[0] == 0.0  # 1, and -1 added to it


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("error", [MemoryError("no memory"), KeyboardInterrupt()])
def test_what_keeps_a_part_from_being_compiled_is_raised_and_nobody_waits(n_threads, error, monkeypatch):
    name, smallest, modes, params = f"{spoilt.__module__}.spoilt", np.float64(5e-324), [], np.zeros(4)

    def fail(types):
        modes.append(smallest * 1.0 == 0.0)
        raise error

    monkeypatch.setitem(parts._makers, name, fail)
    with pytest.raises(type(error)):
        run_team(call_in_team, n_threads, (params,), 1e10)
    assert modes == [False]  # it would be compiled in Python's floating-point mode, not in the kernels'
    assert not parts.failures
    monkeypatch.setitem(parts._makers, name, lambda types: None)  # the slot has stayed empty: it is asked for again
    with pytest.raises(RuntimeError, match="spoilt could not be compiled"):
        run_team(call_in_team, n_threads, (params,), 1e10)
    assert params[0] == 0.0


def test_a_part_that_failed_is_tried_again():
    params = np.zeros(4)
    run_team(call_in_team, 2, (params,), 1e10)
    assert params[0] == 1.0


@part("int64", "float64")
def declared_wrongly(values):
    return values.size, True


@part("float64")
def returns_nothing(values):
    set_element(values, 0, 1.0)


@typed_once
@entry
def call_wrongly(params, which):
    if which == 0:
        params[1] = declared_wrongly(params)[1]
    if which == 1:
        params[1] = returns_nothing(params)


@pytest.mark.parametrize(
    ("which", "message"),
    [
        (0, r"declared_wrongly is declared to return Tuple\(int64, float64\), but returns Tuple\(int64, bool\)"),
        (1, "returns_nothing is declared to return float64, but returns none"),
    ],
)
def test_a_part_that_returns_another_type_than_declared_is_not_called(which, message):
    params = np.zeros(4)
    for _ in range(2):  # compiled, then found compiled
        with pytest.raises(TypeError, match=message):
            call_wrongly(params, which)
    np.testing.assert_array_equal(params, 0.0)


FITS = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
import scipy.sparse
from fastbp import BPClassifier
from fastbp.kernels import compiler
X = np.random.RandomState(0).normal(size=(40, 3))
y = X[:, 0] > 0
sparse = scipy.sparse.csr_matrix(X)
used = []
for X_, settings in [(X, {}), (X, {"early_stopping": True}), (X, {"solver": "sgd", "batch_size": 1}), (sparse, {}),
                     (X, {"solver": "rmsprop"})]:
    model = BPClassifier((4, 3), max_iter=2, random_state=0, **settings).fit(X_, y)
    used.append(sorted(part.py_func.__name__ for part in compiler.PARTS if part.signatures))
    used.append(sum(sum(part.stats.cache_misses.values()) for part in compiler.PARTS))
    used.append(model.loss_curve_)
print(json.dumps(used))
"""


@pytest.mark.slow
def test_a_fit_compiles_no_part_that_it_does_not_use(tmp_path):
    def run(**environment):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path), **environment}
        process = subprocess.run([sys.executable, "-c", FITS], capture_output=True, text=True, env=environment)
        assert process.returncode == 0, process.stderr[-3000:]
        found = json.loads(process.stdout)
        return found[::3], found[1::3], found[2::3]

    used, n_compiled, curves = run()
    validated = ["mean_loss", "predict_rows", "score"]
    per_sample = sorted([*validated, "online_epoch"])
    sparse = sorted([*per_sample, "sparse_product", "sparse_transposed_product"])
    assert used == [[], validated, per_sample, sparse, sorted([*sparse, "_update_apart"])]
    assert n_compiled == [0, 3, 4, 6, 7]
    assert run() == (used, [0] * 5, curves)  # from the disk, and the same to the bit
    plain = run(NUMBA_DISABLE_JIT="1")[2]
    for curve, expected in zip(curves, plain):
        np.testing.assert_allclose(curve, expected, rtol=1e-12)
