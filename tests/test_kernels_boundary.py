"""What stands between Python and an entry: subnormal numbers are zero inside, and as ever outside; wrong types stay outside."""

import _thread
import inspect
import re
import signal
import subprocess
import sys
import threading
import warnings
from typing import NamedTuple

import llvmlite.binding
import numpy as np
import pytest
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from fastbp import BPClassifier, BPRegressor
from fastbp.kernels import epochs, lbfgs
from fastbp.kernels.compiler import entry
from fastbp.kernels.toolchain import load as loader
from fastbp.kernels.toolchain import machine_code
from fastbp.kernels.toolchain.pack import DTYPES, Doubles, Reals, kept, packer_of
from fastbp.kernels.vectors import broadcast, lane_sum, lanes, load, store
from fastbp.training import normal_equations, row_space
from fastbp.training.threads import run_team

pytestmark = pytest.mark.slow

X = np.random.RandomState(0).normal(size=(300, 6))
Y = (X[:, 0] > X[:, 1]).astype(int)
IS_X86 = "x86" in machine_code.SWITCHES.get(machine_code.ARCHITECTURE, "")
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
def test_fits_leave_the_mode_as_it_was(teams_for_any_work, dtype, options, n_threads):
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
def test_python_computes_as_ever_while_a_fit_runs(teams_for_any_work, n_threads):
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
def test_ctrl_c_leaves_the_mode_as_it_was(teams_for_any_work, options, n_threads):
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
from fastbp.kernels.toolchain.machine_code import guard
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
module = llvm.parse_assembly(str(guard("outer", "inner", architecture={triple.split("-")[0]!r})))
module.get_function("enter").linkage = module.get_function("leave").linkage = "internal"  # as in an object
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
    text = machine_code.guard("outer", "inner", architecture="riscv64")
    assert "llvm." not in text
    assert not llvmlite.binding.parse_assembly(text).get_function("outer").is_declaration


class Pair(NamedTuple):
    factors: Reals
    offset: float


@entry
def call_typed(params: Reals, pair: Pair, n: int):
    for i in range(n):
        params[i] = params[i] * pair.factors[i] + pair.offset


def is_namedtuple(value):
    return isinstance(value, tuple) and hasattr(value, "_fields")


def leaves(arguments, names, path=()):
    """Yield (path of numbers, dotted name, value) of all arguments, NamedTuples and what is in them."""
    for k, (value, name) in enumerate(zip(arguments, names, strict=True)):
        yield (*path, k), name, value
        if is_namedtuple(value):
            yield from leaves(value, [f"{name}.{field}" for field in value._fields], (*path, k))


def replaced(arguments, path, value):
    head, *rest = path
    items = list(arguments)
    items[head] = replaced(items[head], rest, value) if rest else value
    return type(arguments)(*items) if is_namedtuple(arguments) else tuple(items)


def wrong_values(value):
    """Of other types, or arrays that machine code would misread."""
    yield from (None, "1", [1], object(), 1j)
    if is_namedtuple(value):
        yield from (tuple(value), list(value), tuple.__new__(type(value), value[:-1]), Pair(np.zeros(9), 0.0), 1)
    elif isinstance(value, np.ndarray):
        for dtype in (np.float16, np.float32, np.float64, np.int32, np.int64, np.uint32, np.complex64, object):
            if dtype != value.dtype:
                yield np.zeros(value.shape, dtype)
        yield from (value.reshape(1, -1), value.tolist(), value.astype(value.dtype.newbyteorder()), 1, 1.0)
        if value.size > 1:
            yield np.repeat(value, 2)[::2]
        if value.size:  # else there is nothing to write to
            frozen = value.copy()
            frozen.flags.writeable = False
            yield frozen
    elif isinstance(value, int):
        yield from (1.5, np.float64(1.0), np.zeros(1, np.int64))
    else:
        yield np.zeros(1)


def recorded_calls(monkeypatch):
    """The arguments of one call of every entry."""
    calls = {}

    def record(module, name):
        function = getattr(module, name)

        def recording(*arguments):
            calls[name] = function, arguments
            function(*arguments)

        monkeypatch.setattr(module, name, recording)

    for module, name in ((epochs, "train"), (epochs, "predict"), (lbfgs, "lbfgs")):
        record(module, name)
    for name in ("multiply", "triangular"):
        record(row_space, name)
    record(normal_equations, "jacobian")
    for solver in ("adam", "lbfgs"):
        BPClassifier((5,), solver=solver, max_iter=2, random_state=0).fit(X, Y).predict(X)
    BPRegressor(hidden_layer_sizes=2, solver="lm", max_iter=2, random_state=0).fit(X, Y)
    row_space.RowSpace(X[:5])
    monkeypatch.undo()
    return calls


BY = {"multiply": "A", "triangular": "L"}  # by the dtype of which argument the others must be


def test_no_entry_takes_an_argument_of_a_wrong_type(monkeypatch):
    calls = recorded_calls(monkeypatch)
    assert set(calls) == {"train", "predict", "lbfgs", "jacobian", "multiply", "triangular"}
    n_refused = 0
    for name, (function, arguments) in calls.items():
        names = list(inspect.signature(function).parameters)
        for path, leaf, value in leaves(arguments, names):
            for wrong in wrong_values(value):
                if (
                    leaf == BY.get(name, "params")
                    and getattr(wrong, "dtype", None) in (np.float32, np.float64)
                    and wrong.ndim == 1
                ):
                    continue  # which asks for a dtype of its own
                with pytest.raises(TypeError, match=f"^{name}: {re.escape(leaf)} must be"):
                    function(*replaced(arguments, path, wrong))
                n_refused += 1
        for number in (0, 1, len(arguments) - 1, len(arguments) + 1):
            with pytest.raises(TypeError, match="arguments"):
                function(*(arguments * 2)[:number])
    assert n_refused > 1000


def test_arguments_that_mean_the_same_are_converted(monkeypatch):
    class Array(np.ndarray):
        pass

    calls = recorded_calls(monkeypatch)
    function, arguments = calls["predict"]
    outputs_at = list(inspect.signature(function).parameters).index("outputs")
    expected = arguments[outputs_at].copy()
    n_converted = 0
    for path, _, value in leaves(arguments, inspect.signature(function).parameters):
        others = []
        if isinstance(value, np.ndarray):
            others = [value.view(Array), value.view(np.dtype(value.dtype, metadata={"unit": "m"}))]
        elif isinstance(value, int):
            others = [np.int64(value), np.int32(value), *([bool(value)] if value in (0, 1) else [])]
        for other in others:
            arguments[outputs_at][:] = np.nan
            function(*replaced(arguments, path, other))
            np.testing.assert_array_equal(arguments[outputs_at], expected)
            n_converted += 1
    assert n_converted > 50
    params = np.ones(4)
    call_typed(params, Pair(np.full(4, 2.0), 0.5), 4)
    call_typed(params, Pair(np.full(4, 2.0), np.float32(0.5)), 4)
    call_typed(params, Pair(np.full(4, 2.0), 1), 4)
    np.testing.assert_array_equal(params, np.full(4, 12.0))


@entry
def call_fresh(params: Reals, pair: Pair, n: int):
    for i in range(n):
        params[i] = params[i] * pair.factors[i] + pair.offset


def test_nothing_is_compiled_for_types_that_kernels_do_not_take():
    right, fresh = (np.ones(4), Pair(np.ones(4), 0.5), 4), call_fresh
    for path, _, value in leaves(right, ("params", "pair", "n")):
        for wrong in (None, "1", [1.0], 1j, np.ones((2, 2))[:, 0], np.array(["a"]), np.array([None]), (value,)):
            with pytest.raises(TypeError):
                fresh(*replaced(right, path, wrong))
    assert not [name for name, _ in loader.loaded() if name == "call_fresh"]
    fresh(*right)
    np.testing.assert_array_equal(right[0], np.full(4, 1.5))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_argument_of_a_wrong_type_ends_a_team(n_threads):
    params, pair = np.ones(4), Pair(np.ones(4), 0.5)
    call_typed(params, pair, 4)
    with pytest.raises(TypeError, match=r"^call_typed: pair"):
        run_team(lambda thread, n_threads, sync, *arguments: call_typed(*arguments), n_threads, (params, Pair([1], 0.5), 4), 1e10)


@kept
class Kept(NamedTuple):
    values: Doubles


def test_what_is_packed_once_stays_where_it_is():
    """A thread may be at work on it while another one packs it for a network of the other dtype."""

    def taken(params: Reals, record: Kept):
        pass

    records, places = [Kept(np.ones(3)) for _ in range(10)], set()
    for record in records:
        packed = [packer_of(taken, dtype)(np.ones(1, dtype), record) for dtype in (*DTYPES, *DTYPES)]
        found = [int.from_bytes(content[16:24], sys.byteorder) for content in packed]
        assert found[:2] == found[2:]
        places.update(found)
    assert len(places) == 2 * len(records)
