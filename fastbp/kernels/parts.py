"""Parts of kernels that are machine code of their own, made or read from disk when a kernel first calls them.

A fit waits for what it uses alone: not for the per-sample loop, sparse rows or rare rules. Where a kernel calls a part, its
machine code holds a slot for the part's address, empty at first, and a text that says which part it is and for which types. A
call through a full slot costs a few nanoseconds and what the arguments cost, an array two words; so it has no place in a loop
over samples or tiles.
"""

import ctypes
import pickle

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin

from .boundary import normal_mode

failures: list[BaseException] = []  # why parts were not to be had; typed_once raises them

_BYTE, _WORD = ir.IntType(8), ir.IntType(64)
_POINTER = _BYTE.as_pointer()
_FIND, _FETCH = "fastbp_find_part", "fastbp.fetch_part"

_makers = {}  # what compiles a part for a tuple of argument types and returns its address


def declare(function, result, make):
    """Have kernels call `function`, which returns the numba type `result`, through the address that make(types) gives."""
    name = _name_of(function)
    _makers[name] = make

    class Template(AbstractTemplate):
        key = function

        def generic(self, args, kws):
            return signature(result, *map(types.unliteral, args))

    infer_global(function, types.Function(Template))

    @lower_builtin(function, types.VarArg(types.Any))
    def lower(context, builder, sig, args):
        address = _address(builder, name, pickle.dumps((name, sig.args)))
        with cgutils.if_unlikely(builder, cgutils.is_null(builder, address)):
            context.call_conv.return_user_exc(builder, RuntimeError, (f"{name} could not be compiled",))
        function_type = context.call_conv.get_function_type(sig.return_type, sig.args)
        callee = builder.bitcast(address, function_type.as_pointer())
        status, value = context.call_conv.call_function(builder, callee, sig.return_type, sig.args, args)
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return value


def type_of(returns):
    """The numba type that a part returns: of one name itself, of several a tuple."""
    result = [getattr(types, each) for each in returns]
    return result[0] if len(result) == 1 else types.Tuple(result)


def demand(function, declared, found):
    """Raise a TypeError if a part returns another type than its callers were compiled for."""
    found = types.unliteral(found)
    if found != declared:
        raise TypeError(f"{_name_of(function)} is declared to return {declared}, but returns {found}")


def _name_of(function):
    return f"{function.__module__}.{function.__qualname__}"


def _address(builder, name, text):
    """Address of a part, null if it is not to be had."""
    module = builder.module
    slot = cgutils.add_global_variable(module, _POINTER, module.get_unique_name(f"{name}.slot"))
    slot.initializer, slot.linkage = ir.Constant(_POINTER, None), "internal"
    found = builder.load_atomic(slot, "acquire", 8)
    start = builder.block
    with cgutils.if_unlikely(builder, cgutils.is_null(builder, found)):
        constant = cgutils.global_constant(module, f"{name}.text", ir.Constant(ir.ArrayType(_BYTE, len(text)), bytearray(text)))
        fetched = builder.call(_fetcher(module), [slot, builder.bitcast(constant, _POINTER), _WORD(len(text))])
        slow = builder.block
    address = builder.phi(_POINTER)
    address.add_incoming(found, start)
    address.add_incoming(fetched, slow)
    return address


def _fetcher(module):
    """The function that fills a slot: Python code runs in the floating-point mode it knows, so it is never inlined."""
    if _FETCH in module.globals:
        return module.globals[_FETCH]
    find = ir.Function(module, ir.FunctionType(_POINTER, [_POINTER, _WORD]), _FIND)
    fetch = ir.Function(module, ir.FunctionType(_POINTER, [_POINTER.as_pointer(), _POINTER, _WORD]), _FETCH)
    fetch.linkage = "internal"
    fetch.attributes.add("noinline")
    slot, text, size = fetch.args
    builder = ir.IRBuilder(fetch.append_basic_block("entry"))
    with normal_mode(builder):
        found = builder.call(find, [text, size])
    builder.store_atomic(found, slot, "release", 8)
    builder.ret(found)
    return fetch


@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
def _find(text, size):
    try:
        name, argument_types = pickle.loads(ctypes.string_at(text, size))
        return _makers[name](argument_types)
    except BaseException as error:  # Ctrl-C too: there is no Python above to raise it in
        failures.append(error)
        return None


llvmlite.binding.add_symbol(_FIND, ctypes.cast(_find, ctypes.c_void_p).value)
