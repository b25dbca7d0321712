"""What stands between Python and an entry: subnormal numbers are zero inside, and as ever outside."""

import _thread
import signal
import subprocess
import sys
import threading
import warnings

import llvmlite.binding
import numpy as np
import pytest
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from fastbp import BPClassifier
from fastbp.kernels import boundary
from fastbp.kernels.compiler import entry
from fastbp.kernels.vectors import broadcast, lane_sum, lanes, load, store

X = np.random.RandomState(0).normal(size=(300, 6))
Y = (X[:, 0] > X[:, 1]).astype(int)
IS_X86 = boundary._ARCHITECTURE in boundary._X86
FITS = [
    {"solver": "adam", "batch_size": 32},
    {"solver": "sgd", "batch_size": 32},
    {"solver": "sgd", "batch_size": 1},
    {"solver": "lbfgs"},
]


@entry
def call_scalar_product(x, y):
    return x * y


@entry
def call_vector_product(x, y, result):
    store(result, 0, load(x, 0) * load(y, 0))


@entry
def call_sum(x):
    return lane_sum(load(x, 0) + broadcast(x, 0.0))


def python_keeps_subnormals(tiny=sys.float_info.min):
    """Whether this thread computes with subnormal numbers, as Python's and NumPy's."""
    single = np.full(1, 1e-30, np.float32)
    subnormals = [tiny * 0.25, (tiny * 0.25) * 2.0, float((single * np.float32(1e-10))[0])]
    return all(0.0 < number < tiny for number in subnormals[:2]) and 0.0 < subnormals[2] < np.finfo(np.float32).tiny


def test_subnormals_are_zero_in_a_kernel():
    assert python_keeps_subnormals()
    assert call_scalar_product(1e-200, 1e-110) == 0.0
    assert call_scalar_product(1e-200, 1e-100) == 1e-300
    assert call_scalar_product(5e-324, 1e300) == 0.0
    assert python_keeps_subnormals()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_subnormals_are_zero_in_a_vector(dtype):
    tiny = np.finfo(dtype).tiny
    x, y, result = np.full(16, tiny, dtype), np.full(16, 0.5, dtype), np.full(16, np.nan, dtype)
    y[::2] = 2.0
    call_vector_product(x, y, result)
    expected = np.where(y == 2.0, 2 * tiny, 0)[: lanes(dtype)]
    np.testing.assert_array_equal(result[: lanes(dtype)], expected)
    assert call_sum(np.full(16, tiny / 2, dtype)) == 0.0


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("options", FITS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fits_leave_the_mode_as_it_was(monkeypatch, dtype, options, n_threads):
    monkeypatch.setattr("fastbp.training.threads.SHARED_WORK", 0)
    monkeypatch.setattr("fastbp.training.threads.SHARED_TOTAL", 0)
    modes = []

    def train():
        modes.append(python_keeps_subnormals())
        model = BPClassifier((5,), max_iter=3, n_threads=n_threads, random_state=0, **options).fit(X.astype(dtype), Y)
        modes.append(python_keeps_subnormals())
        model.predict(X.astype(dtype))
        modes.append(python_keeps_subnormals())
        model.predict_proba(X.astype(dtype)[:1])
        modes.append(python_keeps_subnormals())

    train()
    others = [threading.Thread(target=train) for _ in range(2)]
    for thread in others:
        thread.start()
    modes.append(python_keeps_subnormals())
    for thread in others:
        thread.join()
    assert modes == [True] * 13


@pytest.mark.parametrize("n_threads", [1, 2])
def test_python_computes_as_ever_while_a_fit_runs(monkeypatch, n_threads):
    monkeypatch.setattr("fastbp.training.threads.SHARED_WORK", 0)
    monkeypatch.setattr("fastbp.training.threads.SHARED_TOTAL", 0)
    model = BPClassifier((20,), max_iter=2000, tol=0, n_iter_no_change=np.inf, n_threads=n_threads, random_state=0)
    fit = threading.Thread(target=model.fit, args=(X, Y))
    fit.start()
    n_looks = 0
    while fit.is_alive():
        assert python_keeps_subnormals()
        n_looks += 1
    fit.join()
    assert n_looks > 1
    assert model.n_iter_ == 2000


@pytest.mark.skipif(sys.platform == "win32", reason="interrupt_main does not wake a waiting main thread there")
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("options", FITS, ids=str)
def test_ctrl_c_leaves_the_mode_as_it_was(monkeypatch, options, n_threads):
    monkeypatch.setattr("fastbp.training.threads.SHARED_WORK", 0)
    monkeypatch.setattr("fastbp.training.threads.SHARED_TOTAL", 0)
    model = BPClassifier((5,), max_iter=10**7, tol=0, n_iter_no_change=np.inf, max_fun=10**9, n_threads=n_threads, **options)
    model.set_params(random_state=0, alpha=0.0)
    clone = BPClassifier(**model.get_params()).set_params(max_iter=1)
    clone.fit(X, Y)  # compiled or loaded before the signal comes
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer = threading.Timer(0.2, _thread.interrupt_main)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            timer.start()
            try:
                model.fit(X, Y % 2 if options["solver"] != "lbfgs" else np.arange(300) % 7)
                timer.join()
            except KeyboardInterrupt:
                pass
    finally:
        signal.signal(signal.SIGINT, before)
    assert python_keeps_subnormals()
    if options["solver"] != "lbfgs":  # which may be done before
        assert any("interrupted" in str(warning.message) for warning in caught)


def _mode_access(name):
    """A compiled function that reads or writes MXCSR, which a process may have set as it likes."""

    @intrinsic
    def access(typing_context, value):
        def codegen(context, builder, sig, args):
            slot = builder.alloca(ir.IntType(32))
            builder.store(args[0], slot)
            pointer = builder.bitcast(slot, ir.IntType(8).as_pointer())
            signature = ir.FunctionType(ir.VoidType(), [pointer.type])
            builder.call(ir.Function(builder.module, signature, f"llvm.x86.sse.{name}"), [pointer])
            return builder.load(slot)

        return types.uint32(types.uint32), codegen

    return njit(lambda value: access(value))


@pytest.mark.skipif(not IS_X86, reason="reads the register of x86")
def test_a_mode_of_the_process_itself_is_kept():
    """Rounding towards zero, with and without subnormals."""
    read, write = _mode_access("stmxcsr"), _mode_access("ldmxcsr")
    start = read(np.uint32(0)) & ~np.uint32(0x3F)  # the lowest bits are not the mode but what has happened
    try:
        for mode in (start | 0x6000, start | 0xE040):
            write(np.uint32(mode))
            BPClassifier((3,), max_iter=2, random_state=0).fit(X, Y).predict(X)
            call_scalar_product(1e-200, 1e-110)
            assert read(np.uint32(0)) & ~np.uint32(0x3F) == mode
    finally:
        write(np.uint32(start))
    assert python_keeps_subnormals()


MACHINES = {
    "x86_64-unknown-linux-gnu": ("stmxcsr", "ldmxcsr", "call", "ldmxcsr"),
    "aarch64-unknown-linux-gnu": ("mrs", "msr", "bl", "msr"),
}


@pytest.mark.parametrize("triple", MACHINES)
def test_the_machine_code_switches_around_the_call_alone(triple):
    """In a process of its own, as LLVM's targets are registered for good."""
    code = f"""
import llvmlite.binding as llvm
from fastbp.kernels.boundary import guard
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
module = llvm.parse_assembly(str(guard("outer", "inner", {triple.split("-")[0]!r})))
module.triple = {triple!r}
machine = llvm.Target.from_triple(module.triple).create_target_machine(opt=3)
builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
builder.getModulePassManager().run(module, builder)
print(machine.emit_assembly(module))
"""
    try:
        llvmlite.binding.initialize_all_targets()
        llvmlite.binding.Target.from_triple(triple)
    except RuntimeError:
        pytest.skip(f"this LLVM makes no code for {triple}")
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    names = [line.split()[0] for line in text.splitlines() if line.startswith("\t") and line.strip()]
    wanted = MACHINES[triple]
    found = [next(word for word in wanted if name.lstrip("v").startswith(word)) for name in names
             if name.lstrip("v").startswith(tuple(wanted))]  # fmt: skip
    assert tuple(found) == wanted


def test_other_machines_are_called_as_they_are():
    assert str(boundary.guard("outer", "inner", "riscv64")).count("call") == 1
