"""The decorators of all compiled functions. They record what is to be compiled; numba is imported only to compile it.

A decorated function stays plain Python, and with NUMBA_DISABLE_JIT=1 it runs as such. `object_code` compiles an entry or a part,
usually in a separate process (toolchain/compile.py).
"""

import contextlib
import functools
import inspect
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ..functions.operations import Operation
from .toolchain import load, pack, store
from .toolchain.entries import Entry
from .toolchain.late import code, compiling

# Fused multiply-adds and nothing else: nnan and ninf would remove the tests that the divergence error needs, reassoc the rounding
# by a large constant in the exponential. Long sums are written on vectors anyway.
FASTMATH = {"contract"}


def _is_set(name):
    return os.environ.get(name, "0") not in ("", "0")


IS_INTERPRETED = _is_set("NUMBA_DISABLE_JIT")  # the kernels run as Python code, which a debugger can step through
IS_CHECKED = _is_set("NUMBA_BOUNDSCHECK") and not IS_INTERPRETED  # an access outside of its array raises an IndexError

TUNED = {"error_model": "numpy", "fastmath": FASTMATH}
INNER_OPTIONS = {**TUNED, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


class Primitive:
    """A function whose LLVM is written by `emit`, as in numba's intrinsics; called from Python, it does the same in NumPy."""

    def __init__(self, emit, meaning):
        functools.update_wrapper(self, emit)
        self.emit, self.meaning = emit, meaning

    def __call__(self, *arguments):
        """Do in NumPy what the LLVM does."""
        return self.meaning(*arguments)


INNER: dict[Callable[..., Any], dict[str, Any]] = {}  # options of functions that other kernels call
PRIMITIVES: list[Primitive] = []
MEANINGS: dict[Operation, Any] = {}  # the operations of formulas, on vectors
PARTS: dict[str, Callable[..., Any]] = {}  # by name
POINTED: dict[Callable[..., Any], int] = {}  # functions called at an address from a pair, and which of the two
BY_POINTER: dict[int, tuple[Callable[..., Any], Callable[..., Any]]] = {}  # such pairs of functions if Python runs the kernels
ENTRIES: dict[str, Entry] = {}


def primitive(meaning):
    """Make a primitive of the function that writes its LLVM; `meaning` does the same in NumPy, with an array for a Vector."""

    def make(emit):
        if IS_INTERPRETED:
            return meaning
        PRIMITIVES.append(Primitive(emit, meaning))
        return PRIMITIVES[-1]

    return make


def jit(function, **options):
    """Compile a function into the kernels that call it."""
    INNER[function] = options
    return function


def inline(function):
    """Always inline a function: in the per-sample loop, a call costs as much as arithmetic (measured: 5 to 8 % of a fit)."""
    return jit(function, forceinline=True)


def means(operation):
    """Define an operation of formulas on vectors, by a function that is compiled or by a primitive."""

    def make(function):
        operation.on_vectors = MEANINGS[operation] = function
        return operation

    return make


def by_code(functions):
    """Let a function, whose first parameter is a code, call one of `functions`, {code: function}, with the other parameters; its
    own body is for all other codes. numba wants the branches written out."""

    def make(function):
        name, (code, *others) = function.__name__, inspect.signature(function).parameters
        rest = ", ".join(others)
        known = {f"function_{number}": each for number, each in functions.items()}
        known |= {"__name__": function.__module__, "otherwise": jit(function)}
        branches = [f"    if {code} == {number}:\n        return function_{number}({rest})" for number in functions]
        exec("\n".join([f"def {name}({code}, {rest}):", *branches, f"    return otherwise({code}, {rest})"]), known)
        known[name].__annotations__, known[name].__doc__ = function.__annotations__, function.__doc__
        return known[name]

    return make


def part(function):
    """Compile a function to machine code of its own, which kernels call at an address (see toolchain/machine_code.py).

    It is for what few fits use, and what LLVM would compile more slowly as a piece of its caller. The annotations declare what it
    takes and returns.
    """
    PARTS[function.__name__] = function
    return jit(function)


def by_pointer(number):
    """Call another function in place of the decorated one: at an address from the pair that its first argument points to.

    The annotations declare what it takes; the body runs where numba compiles in its own way and cannot call it.
    """

    def make(function):
        if IS_INTERPRETED:
            return lambda code, *arguments: BY_POINTER[code][number](code, *arguments)
        POINTED[function] = number
        return jit(function)

    return make


def entry(function=None, *, parts=None):
    """Compile a function that Python calls; annotations declare what it takes, `parts` tells which parts it may call (needs.py).

    A function without annotations belongs to a test; numba compiles it for the arguments that it is called with.
    """
    if function is None:
        return functools.partial(entry, parts=parts)
    if IS_INTERPRETED or IS_CHECKED or not function.__annotations__:
        return plain(function)
    ENTRIES[jit(function).__name__] = made = Entry(function, parts, PARTS)
    return made


def plain(function):
    """The function, compiled by numba when it is called or run by Python."""

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
        with np.errstate(all="ignore"):  # machine code does not warn of overflow either
            return function(*arguments)

    return call


def as_c_function(function, return_type, argument_types):
    """The LLVM of a function that C could call, with all it calls, and the function's name there."""
    from numba import cfunc

    compiled = cfunc(return_type(*argument_types), **TUNED)(function)
    return compiled.inspect_llvm(), compiled.native_name


def complaint_of(function, n_numbers):
    """Numba's error message for a function that should take so many float64 numbers and return one; "" if it compiles."""
    from numba import cfunc, types

    try:
        cfunc(types.float64(*[types.float64] * n_numbers), **TUNED)(function)
    except Exception as error:  # numba raises many kinds
        return str(error)
    return ""


def load_everything():
    """Load or compile all entries and parts; return how many. Of processes that share a store, one compiles at a time."""
    if IS_INTERPRETED or IS_CHECKED:
        return 0
    functions = compiling.known()
    with store.lock() if compiling.absent() else contextlib.nullcontext():
        for dtype in pack.DTYPES:
            load.load_all(functions, dtype)
    return len(functions) * len(pack.DTYPES)
