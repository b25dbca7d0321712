"""Parts: machine code of its own, loaded before the call that may come to it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastbp.kernels import compiler
from fastbp.kernels.atomics import FAILED, atomic_load, barrier
from fastbp.kernels.compiler import entry, part
from fastbp.kernels.toolchain import load as loader
from fastbp.kernels.toolchain.pack import Doubles, Integers, Reals
from fastbp.kernels.vectors import element, set_element
from fastbp.training.threads import run_team

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(
    compiler.IS_INTERPRETED or compiler.IS_CHECKED, reason="without machine code of their own parts are plain functions"
)


@part
def add_up(values: Reals, by: float) -> float:
    total = 0.0
    for i in range(values.size):
        set_element(values, i, element(values, i) + by)
        total += element(values, i)
    return total


@part
def halved(values: Reals, x: float) -> tuple[bool, float]:
    return x > 1.0, 0.5 * x


@part
def rarely_used(values: Reals) -> None:
    set_element(values, 0, 1.0)


def needed(by):
    return {"add_up", "halved", "rarely_used"} if by == -1.0 else {"add_up", "halved"}


@entry(parts=needed)
def call_parts(params: Reals, by: float, result: Doubles):
    if by == -1.0:
        rarely_used(params)
    result[0] = add_up(params, by)
    is_large, half = halved(params, by)
    result[1] = 1.0 if is_large else 0.0
    result[2] = half


@part
def unexpected(values: Reals) -> float:
    return 5.0


@entry
def call_unexpectedly(params: Reals):
    params[0] = unexpected(params)


def loaded(name):
    return sorted(dtype.name for each, dtype in loader.loaded() if each == name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_are_those_of_plain_python(dtype):
    values, result = np.arange(8, dtype=dtype), np.zeros(3)
    for by in (1.0, 3.0):
        expected = values + dtype(by)
        call_parts(values, by, result)
        np.testing.assert_array_equal(values, expected)
        np.testing.assert_array_equal(result, [expected.sum(), by > 1.0, 0.5 * by])


def test_only_what_is_needed_is_compiled():
    call_parts(np.zeros(4), 1.0, np.zeros(3))
    assert "float64" in loaded("add_up")
    call_parts(np.zeros(4, np.float32), 1.0, np.zeros(3))
    assert loaded("rarely_used") == []
    values = np.zeros(4, np.float32)
    call_parts(values, -1.0, np.zeros(3))
    assert loaded("rarely_used") == ["float32"]
    assert values[0] == 0.0  # 1, and -1 added to it


def test_a_part_that_nobody_expected_is_an_error():
    for _ in range(2):
        params = np.ones(4)
        with pytest.raises(RuntimeError, match=r"call_unexpectedly came to a part that was not expected"):
            call_unexpectedly(params)
        np.testing.assert_array_equal(params, [0, 1, 1, 1])  # the part counts as zero
    call_parts(np.zeros(4), 1.0, np.zeros(3))  # nothing is left of it


@part
def declared_wrongly(values: Reals) -> tuple[int, bool]:
    return "text"


@entry(parts=lambda params: {"declared_wrongly"})
def call_wrongly(params: Reals):
    params[1] = declared_wrongly(params)[0]


def test_a_part_that_returns_another_type_than_declared_is_not_called():
    params = np.zeros(4)
    for _ in range(2):
        with pytest.raises(Exception, match=r"declared_wrongly|unicode_type"):
            call_wrongly(params)
    np.testing.assert_array_equal(params, 0.0)


@entry
def call_in_team(thread: int, n_threads: int, sync: Integers, params: Reals):
    if thread == 0:
        while not atomic_load(sync, FAILED):  # until another one has
            params[0] = 1.0
    barrier(sync, n_threads)
    barrier(sync, n_threads)


@pytest.mark.parametrize("error", [MemoryError("no memory"), KeyboardInterrupt()])
def test_what_one_thread_fails_with_is_raised_and_nobody_waits_for_it(error):
    def run(thread, *arguments):
        if thread == 1:
            raise error
        call_in_team(thread, *arguments)

    call_in_team(1, 1, np.zeros(32, np.int64), np.zeros(4))  # compiled
    with pytest.raises(type(error)):
        run_team(run, 3, (np.zeros(4),), 1e10)


FITS = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
import scipy.sparse
from fastbp import BPClassifier
from fastbp.kernels.toolchain import load
X = np.random.RandomState(0).normal(size=(40, 3))
y = X[:, 0] > 0
sparse = scipy.sparse.csr_matrix(X)
used = []
for X_, settings in [(X, {}), (X, {"early_stopping": True}), (X, {"solver": "sgd", "batch_size": 1}), (sparse, {}),
                     (X, {"solver": "rmsprop"})]:
    model = BPClassifier((4, 3), max_iter=2, random_state=0, **settings).fit(X_, y)
    used.append(sorted({name for name, _ in load.loaded()}))
    used.append(load.COUNTS["compiled"])
    used.append(model.loss_curve_)
print(json.dumps([*used, "numba" in sys.modules]))
"""


@pytest.mark.slow
def test_a_fit_compiles_no_part_that_it_does_not_use_and_imports_no_numba(tmp_path):
    def run(**environment):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path), **environment}
        process = subprocess.run([sys.executable, "-c", FITS], capture_output=True, text=True, env=environment)
        assert process.returncode == 0, process.stderr[-3000:]
        *found, has_numba = json.loads(process.stdout)
        assert not has_numba
        return found[::3], found[1::3], found[2::3]

    used, n_compiled, curves = run()
    first = {"pass_rows", "shuffle", "train", "transpose_into_panels", "update"}
    validated = first | {"mean_loss", "predict_rows", "score"}
    per_sample = validated | {"online_epoch"}
    sparse = per_sample | {"sparse_product", "sparse_transposed_product"}
    assert used == [sorted(names) for names in (first, validated, per_sample, sparse, sparse | {"_update_apart"})]
    assert n_compiled == [5, 8, 9, 11, 12]
    assert run() == (used, [0] * 5, curves)  # from the disk, and the same to the bit
    plain = run(NUMBA_DISABLE_JIT="1")[2]
    for curve, expected in zip(curves, plain):
        np.testing.assert_allclose(curve, expected, rtol=1e-12)
