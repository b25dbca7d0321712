"""Users' own losses: each becomes two parts, stored by a digest of its functions, which kernels call at addresses.

The code of such a loss is the address of a pair of pointers, which `prepare` fills.
"""

import ctypes
import hashlib
import itertools
import numbers
import types

from . import compiler
from .compiler import jit, part
from .layout import OutputRows
from .rare_losses import CUSTOM, loop_of_losses, loop_of_slopes
from .toolchain import load
from .toolchain.pack import Doubles, Reals

_pairs = {}  # pairs of pointers, by loss and dtype
_parts = {}  # pairs of parts, by digest
_unstored = itertools.count()


def code_of(loss, dtype):
    """The code of a loss in networks of a dtype."""
    pair = _pairs.setdefault((loss, dtype), (ctypes.c_void_p * 2)())
    code = ctypes.addressof(pair)
    assert code > CUSTOM
    return code


def prepare(loss, dtype):
    """Compile a loss, or load it from the store; raise ValueError if numba cannot compile it."""
    functions = _parts_of(loss)
    if compiler.IS_INTERPRETED:
        compiler.BY_POINTER[code_of(loss, dtype)] = functions
        return
    if compiler.IS_CHECKED:
        raise ValueError("A CustomLoss has no bounds checks: fit without NUMBA_BOUNDSCHECK.")
    try:
        load.load_all({function.__name__: function for function in functions}, dtype)
    except Exception as error:
        raise ValueError(f"numba cannot compile {loss}: {_reason(loss) or error}") from error
    code_of(loss, dtype)
    _pairs[loss, dtype][:] = [load.address_of(function.__name__, dtype) for function in functions]


def _reason(loss):
    """Numba's error message for the function that it cannot compile, without the trace."""
    for name in ("value", "slope"):
        message = compiler.complaint_of(loss.python(name), 2 if loss.parameter is None else 3)
        if message:
            lines = [line.strip() for line in message.splitlines()[:12] if line.strip() and not line.startswith("Failed in")]
            trail = [number for number, line in enumerate(lines) if line.startswith(("During:", "def ", "<source"))]
            return " ".join([f"the {name}:", *lines[: min([*trail, 4])]])
    return ""


def _parts_of(loss):
    """The two parts of a loss, for its values and for its slopes."""
    value, slope, n = loss.python("value"), loss.python("slope"), 2 if loss.parameter is None else 3
    try:
        digest = hashlib.sha256(repr([_facts(value, []), _facts(slope, []), n]).encode()).hexdigest()[:32]
    except _Unknown:  # without a digest it is compiled in every process
        digest = None
    key = digest or (value, slope, n)
    if key not in _parts:
        fill_losses, fill_slopes = loop_of_losses(_of_three(value, n)), loop_of_slopes(_of_three(slope, n))

        def losses(loss: int, rows: OutputRows, row_losses: Doubles, first_row: int) -> None:
            fill_losses(rows, row_losses, first_row)

        def slopes(loss: int, rows: OutputRows, deltas: Reals) -> None:
            fill_slopes(rows, deltas)

        for function in (losses, slopes):
            function.__name__ = f"custom_{function.__name__}_{digest or next(_unstored)}"
            function.__module__, function.is_stored = "custom", digest is not None  # no process that compiles would find it
        _parts[key] = part(losses), part(slopes)
    return _parts[key]


def _of_three(function, n):
    """A user's function with three arguments: a prediction, a target and the parameter of that output.

    It is a copy, because numba would keep the function with the values of its globals that it saw first.
    """
    parts = function.__globals__, function.__name__, function.__defaults__, function.__closure__
    function = jit(types.FunctionType(function.__code__, *parts))

    def of_three(output, y, parameter):
        return float(function(output, y))

    def with_parameter(output, y, parameter):
        return float(function(output, y, parameter))

    return of_three if n == 2 else with_parameter


class _Unknown(Exception):
    """A function depends on a value of which there is no digest."""


def _facts(value, seen):
    """The code of a function and the values it refers to, for the digest."""
    value = getattr(value, "py_func", value)
    if value is None or isinstance(value, (numbers.Number, str)):
        return repr(value)
    if isinstance(value, tuple):
        return [_facts(each, seen) for each in value]
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, types.CodeType):
        return value.co_code.hex(), value.co_names, value.co_varnames, [_facts(each, seen) for each in value.co_consts]
    if isinstance(value, types.FunctionType):
        if value in seen:
            return seen.index(value)
        seen.append(value)
        code = value.__code__
        globals_ = [(name, _facts(value.__globals__[name], seen)) for name in code.co_names if name in value.__globals__]
        closure = [_facts(cell.cell_contents, seen) for cell in value.__closure__ or ()]
        return _facts(code, seen), globals_, closure, _facts(value.__defaults__, seen)
    raise _Unknown
