"""The decorators of all compiled functions: they note what is to be compiled, and numba is not imported until something is.

A decorated function stays what it is, plain Python; with NUMBA_DISABLE_JIT=1 it is run as such. `object_code` makes the machine
code of an entry or a part, mostly in a process of its own (toolchain/compile.py).
"""

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ..functions.operations import Operation
from .toolchain import load, pack
from .toolchain.entries import Entry
from .toolchain.late import code, compiling

# Fused multiply-adds and nothing else: nnan/ninf would delete the tests on which the divergence error rests, and reassoc the
# rounding by a large constant inside the exponential; sums worth vectorising are written on vectors.
FASTMATH = {"contract"}


def _is_set(name):
    return os.environ.get(name, "0") not in ("", "0")


IS_INTERPRETED = _is_set("NUMBA_DISABLE_JIT")  # the kernels run as the Python code they are, for a debugger to step through
IS_CHECKED = _is_set("NUMBA_BOUNDSCHECK") and not IS_INTERPRETED  # what would leave its array raises an IndexError

TUNED = {"error_model": "numpy", "fastmath": FASTMATH}
INNER_OPTIONS = {**TUNED, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


class Primitive:
    """A function whose LLVM `emit` writes, as numba's intrinsics do; called from Python it does the same in NumPy."""

    def __init__(self, emit, meaning):
        functools.update_wrapper(self, emit)
        self.emit, self.meaning = emit, meaning

    def __call__(self, *arguments):
        """What it means."""
        return self.meaning(*arguments)


INNER: dict[Callable[..., Any], dict[str, Any]] = {}  # options of functions that other kernels call
PRIMITIVES: list[Primitive] = []
MEANINGS: dict[Operation, Any] = {}  # of the operations of formulas, on vectors
PARTS: dict[str, Callable[..., Any]] = {}  # by name
POINTED: dict[Callable[..., Any], int] = {}  # functions that are called at an address, and which of a pair of these
BY_POINTER: dict[int, tuple[Callable[..., Any], Callable[..., Any]]] = {}  # what is there where Python runs the kernels
ENTRIES: dict[str, Entry] = {}


def primitive(meaning):
    """Make a primitive of the function that writes its LLVM; `meaning` does the same in NumPy, a Vector being an array."""

    def make(emit):
        if IS_INTERPRETED:
            return meaning
        PRIMITIVES.append(Primitive(emit, meaning))
        return PRIMITIVES[-1]

    return make


def jit(function, **options):
    """Have a function compiled that other kernels call."""
    INNER[function] = options
    return function


def inline(function):
    """Compile what the per-sample loop calls: a call costs as much there as the arithmetic (measured: 5 to 8 % of a fit)."""
    return jit(function, forceinline=True)


def means(operation):
    """Say what an operation of formulas is on vectors: by a function that is compiled, or a primitive."""

    def make(function):
        operation.on_vectors = MEANINGS[operation] = function
        return operation

    return make


def by_code(name, parameters, functions, otherwise):
    """Make a function of a code and the parameters that calls the one of `functions`, {code: function}, or, where there is none,
    `otherwise` with the code too. numba wants the branches written out."""
    known = {
        "__name__": otherwise.__module__,
        "otherwise": otherwise,
        **{f"function_{code}": function for code, function in functions.items()},
    }
    branches = [f"    if code == {code}:\n        return function_{code}({parameters})" for code in functions]
    source = "\n".join([f"def {name}(code, {parameters}):", *branches, f"    return otherwise(code, {parameters})"])
    exec(source, known)
    return known[name]


def part(function):
    """Have a function compiled to machine code of its own, which kernels call at an address (see toolchain/machine_code.py): what
    few fits use, and what would take LLVM longer as a piece of its caller. The annotations say what it takes and returns.
    """
    PARTS[function.__name__] = function
    return jit(function)


def by_pointer(number):
    """Have a function called in place of the decorated one: at an address, of the pair that its first argument points to. The
    annotations say what it takes; the body is for code that numba makes in its own way, which cannot call it."""

    def make(function):
        if IS_INTERPRETED:
            return lambda code, *arguments: BY_POINTER[code][number](code, *arguments)
        POINTED[function] = number
        return jit(function)

    return make


def entry(function=None, *, parts=None):
    """Have a function compiled that Python calls; its annotations say what it takes, `parts` which parts it may call (needs.py).

    One without annotations is a test's, which numba compiles for what it is called with.
    """
    if function is None:
        return functools.partial(entry, parts=parts)
    if IS_INTERPRETED or IS_CHECKED or not function.__annotations__:
        return plain(function)
    ENTRIES[jit(function).__name__] = made = Entry(function, parts, PARTS)
    return made


def plain(function):
    """The function as numba compiles it when it is called, or as Python runs it."""

    @functools.cache
    def compiled():
        os.environ.setdefault("NUMBA_OPT", "0")
        from numba import njit

        code.register()
        return njit(nogil=True, **TUNED)(function), *code.mode_switch()[1:]

    @functools.wraps(function)
    def call(*arguments):
        if not IS_INTERPRETED:
            run, enter, leave = compiled()
            mode = enter()
            try:
                return run(*arguments)
            finally:
                leave(mode)
        with np.errstate(all="ignore"):  # as silent about overflow as machine code is
            return function(*arguments)

    return call


def as_c_function(function, return_type, argument_types):
    """The LLVM of a function that C could call, with all it calls, and the function's name there."""
    from numba import cfunc

    compiled = cfunc(return_type(*argument_types), **TUNED)(function)
    return compiled.inspect_llvm(), compiled.native_name


def complaint_of(function, n_numbers):
    """What numba says of a function of so many float64 numbers that should return one; "" if nothing."""
    from numba import cfunc, types

    try:
        cfunc(types.float64(*[types.float64] * n_numbers), **TUNED)(function)
    except Exception as error:  # numba raises many kinds
        return str(error)
    return ""


def load_everything():
    """Load all entries and parts, which are compiled where they must be; return how many there are."""
    if IS_INTERPRETED or IS_CHECKED:
        return 0
    functions = compiling.known()
    for dtype in pack.DTYPES:
        load.load_all(functions, dtype)
    return len(functions) * len(pack.DTYPES)
