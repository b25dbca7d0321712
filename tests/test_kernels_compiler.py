"""What the kernels lean on of numba, and what becomes of them where it is gone or has changed: slower, and right."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastbp.kernels import compiler

ROOT = Path(__file__).resolve().parents[1]
KERNELS = ROOT / "fastbp" / "kernels"

pytestmark = [pytest.mark.xdist_group("kernel compiler"), pytest.mark.slow]


@pytest.mark.parametrize("name", compiler.LEANS_ON)
def test_what_the_kernels_lean_on_is_there(name):
    assert compiler.is_there(name), f"this numba has no {name}, which is for {compiler.LEANS_ON[name]}"
    assert not compiler.is_there(name + "_of_another_kind")


def test_the_list_is_complete():
    """Every private name of another object that these files use is listed, and every listed one is used."""
    used, own = set(), set()
    for file in ("pipeline", "parts", "cache", "carried", "compiler", "boundary"):
        tree = ast.parse((KERNELS / f"{file}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                used.add(node.attr)
            elif isinstance(node, ast.FunctionDef):
                own.add(node.name)
        own |= {"_function", "_fields"}  # set by ourselves; documented by NamedTuple
    listed = {name.rpartition(".")[2] for name in compiler.LEANS_ON}
    assert {name for name in used - own if name.startswith("_") and not name.startswith("__")} <= listed
    assert {name for name in listed if name not in used | own} == {"no_cfunc_wrapper", "_nrt"}  # options


# In a child of its own for every change: rename something throughout numba, or change what it does, and use the kernels.
SCRIPT = """
import gc, json, os, pkgutil, sys, types, warnings
import llvmlite.binding
import fastbp  # without its kernels
import numba, numpy as np

@numba.njit(cache=True)  # has numba load all of itself
def load_numba(x):
    return x + 1

load_numba(1)
import numba.core.funcdesc, numba.core.caching, numba.core.codegen, numba.core.cpu


def with_renamed(code, old, new):
    constants = tuple(with_renamed(c, old, new) if isinstance(c, types.CodeType) else c for c in code.co_consts)
    return code.replace(co_names=tuple(new if name == old else name for name in code.co_names), co_consts=constants)


def rename(old):
    new = old + "_new"
    for thing in gc.get_objects():
        if not str(getattr(thing, "__module__", "")).startswith(("numba", "llvmlite")):
            continue
        if isinstance(thing, types.FunctionType):
            thing.__code__ = with_renamed(thing.__code__, old, new)
        elif isinstance(thing, type) and old in vars(thing):
            value = vars(thing)[old]
            try:
                setattr(thing, new, value)
                delattr(thing, old)
            except (AttributeError, TypeError):
                pass


def other_wrapper_names():
    names = numba.core.funcdesc.FunctionDescriptor
    before = names.llvm_cpython_wrapper_name.fget
    names.llvm_cpython_wrapper_name = property(lambda self: before(self).replace("7cpython", "6python"))


def optimised_elsewhere():
    library = numba.core.codegen.CPUCodeLibrary
    before = library.finalize
    def finalize(self):
        vars(self).pop("_optimize_final_module", None)
        before(self)
    library.finalize = finalize


def picky_about_entry_points():
    context = numba.core.cpu.CPUContext
    before = context.insert_user_function
    def insert_user_function(self, function, *others):
        if type(function.__self__) is list:
            raise TypeError("not a compiled function")
        before(self, function, *others)
    context.insert_user_function = insert_user_function


def nothing():
    pass


CHANGES = {change.__name__: change for change in (other_wrapper_names, optimised_elsewhere, picky_about_entry_points, nothing)}


def hide(name):  # where a renaming would break more than numba's own would
    before = pkgutil.resolve_name
    def resolve(asked):
        if asked == name.rpartition(".")[0]:
            raise AttributeError(asked)
        return before(asked)
    pkgutil.resolve_name = resolve


def use_kernels():
    from fastbp.kernels.compiler import apart, entry, inline, jit, part, typed_once
    from fastbp.kernels.vectors import lane_count, load, store

    @inline
    def doubled(x):
        return x * 2.0

    @apart
    def raise_up(x, at, by):
        store(x, at, doubled(load(x, at)) + by)

    @part("float64")
    def first_of(x):
        return np.float64(x[0])

    @typed_once
    @entry
    def call(params, by):
        for i in range(0, params.size, lane_count(params)):
            raise_up(params, i, by)
        params[0] = first_of(params)

    x = np.arange(32.0)
    call(x, 1.0)
    call(x, 1.0)
    if not np.array_equal(x, 4 * np.arange(32) + 3):
        return x.tolist()
    try:
        call(x, "1")
    except Exception:
        return True
    return "no error"


def in_a_child(change):
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        with os.fdopen(reader) as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        return json.loads(said or "null")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            how, _, name = change.partition(" ")
            {"rename": lambda: rename(name.rpartition(".")[2]), "hide": lambda: hide(name), **CHANGES}[how]()
            right = use_kernels()
        except BaseException as error:
            right = repr(error)
    messages = [str(warning.message) for warning in caught if issubclass(warning.category, RuntimeWarning)]
    with os.fdopen(writer, "w") as pipe:
        json.dump([right, messages], pipe)
    os._exit(0)


print(json.dumps({change: in_a_child(change) for change in sys.argv[1:]}))
"""
CHANGES = ["other_wrapper_names", "optimised_elsewhere", "picky_about_entry_points"]
HIDDEN = {
    "reduce",
    "compile_extra",
    "no_compile",
    "_finalized",
    "no_cpython_wrapper",
    "no_cfunc_wrapper",
    "_cache",
    "internal",
    "external",
    "overloads",
}
GONE = {name: f"{'hide' if name.rpartition('.')[2] in HIDDEN else 'rename'} {name}" for name in compiler.LEANS_ON}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    folder = tmp_path_factory.mktemp("changed")
    (folder / "script.py").write_text(SCRIPT, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, str(folder / "script.py"), *GONE.values(), *CHANGES, "nothing"]
    process = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout)


@pytest.mark.parametrize("name", GONE)
def test_what_is_gone_from_numba_is_done_without(outcomes, name):
    right, messages = outcomes[GONE[name]]
    assert right is True
    assert len(messages) == 1
    assert f"{name.replace(':', '.')} is gone: {compiler.LEANS_ON[name]}" in messages[0]


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_found_out_when_it_compiles(outcomes, change):
    right, messages = outcomes[change]
    assert right is True
    assert len(messages) == 1
    assert "does not know numba" in messages[0]


def test_nothing_is_said_where_nothing_has_changed(outcomes):
    assert outcomes["nothing"] == [True, []]


PLAIN = """
import json, os, pkgutil, sys, warnings
before = pkgutil.resolve_name
def resolve(name):
    if name == "numba.core.compiler:Compiler":
        raise AttributeError(name)
    return before(name)
pkgutil.resolve_name = resolve
warnings.simplefilter("always")
"""

FIT = """
import numpy as np
from sklearn.neural_network import MLPClassifier
from fastbp import BPClassifier
X = np.random.RandomState(0).normal(size=(40, 3))
y = X[:, 0] > X[:, 1] ** 2
options = {"hidden_layer_sizes": (5, 4), "max_iter": 4, "random_state": 0}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    mine = BPClassifier(**options).fit(X, y)
    n_messages = sum("does not know numba" in str(warning.message) for warning in caught)
    theirs = MLPClassifier(**options).fit(X, y)
np.testing.assert_allclose(mine.loss_curve_, theirs.loss_curve_, rtol=1e-12)
np.testing.assert_allclose(mine.predict_proba(X), theirs.predict_proba(X), rtol=1e-12)
from fastbp.kernels import epochs
n_compiled = {entry.__name__: sum(entry.stats.cache_misses.values()) for entry in epochs.ENTRIES}
print(json.dumps([n_messages, {name: n for name, n in n_compiled.items() if n}]))
"""

ENTRY = """
import fastbp.kernels.sources
fastbp.kernels.sources.SOURCES += os.environ.get("EDIT", "")
from fastbp.kernels.compiler import entry
@entry
def call(x):
    return x + 1.0
assert call(1.0) == 2.0
print(json.dumps([sum(call.stats.cache_misses.values()), sum(call.stats.cache_hits.values())]))
"""


def run_plainly(folder, code, **environment):
    (folder / "script.py").write_text(PLAIN + code, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(folder / "cache"), **environment}
    process = subprocess.run([sys.executable, str(folder / "script.py")], capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout)


def test_a_fit_in_numbas_own_way_is_scikit_learns(tmp_path):
    expected = [1, {"train": 1, "predict": 1}]
    assert run_plainly(tmp_path, FIT, NUMBA_OPT="0") == expected  # unoptimised, as that compiles in a third of the time


def test_numbas_own_cache_knows_all_sources(tmp_path):
    assert run_plainly(tmp_path, ENTRY) == [1, 0]
    assert run_plainly(tmp_path, ENTRY) == [0, 1]
    assert run_plainly(tmp_path, ENTRY, EDIT="edited") == [1, 0]
