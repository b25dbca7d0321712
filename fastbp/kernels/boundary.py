"""What stands between Python and the machine code of an entry: its guard, written in LLVM.

The guard looks at the types of the arguments, where numba at each call would look up each of them (measured: 9 µs) or not look at
all. And it has kernels count subnormal numbers as zero: from about the 20th epoch on moments and weights of dead units sink below
the normal numbers, and an instruction that meets one costs a hundred cycles on Intel (measured, digits, adam, float32: 6.6 times
the time per epoch). That mode belongs to the thread, so it is set on every call and given back before Python goes on.
"""

import functools
import numbers
from contextlib import contextmanager

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import NativeValue, unbox

from .records import Flat, Record

_ARCHITECTURE = llvmlite.binding.get_process_triple().split("-")[0]
_X86, _ARM = ("x86_64", "amd64", "i686"), ("aarch64", "arm64")
_X86_FLUSH = 1 << 15 | 1 << 6  # MXCSR: results that are subnormal become zero, operands that are count as zero
_ARM_FLUSH = 1 << 24  # FPCR: both

_BYTE, _INT, _WORD = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_OBJECT = _BYTE.as_pointer()

# Where CPython and NumPy (PyArrayObject_fields and PyArray_Descr, part of its ABI) keep what the guard looks at.
_HEAD = object.__basicsize__
_TYPE, _TUPLE_SIZE, _TUPLE_ITEMS = _HEAD - 8, _HEAD, tuple.__basicsize__
_ARRAY_DATA, _ARRAY_NDIM, _ARRAY_DIMENSIONS, _ARRAY_DTYPE, _ARRAY_FLAGS = _HEAD, _HEAD + 8, _HEAD + 16, _HEAD + 40, _HEAD + 48
_DTYPE_BYTE_ORDER, _DTYPE_NUMBER = _HEAD + 10, _HEAD + 12
_CONTIGUOUS_AND_WRITEABLE = 0x1 | 0x400


def guard(name, guarded, argument_types=None, architecture=_ARCHITECTURE):
    """The LLVM module of a function `name` that Python calls in place of `guarded`, which takes and returns Python objects.

    With argument_types (as kernels see them) it raises a TypeError for arguments that are not just of these; `checked` tells
    why. All arithmetic is in `guarded`, which must not be inlined: LLVM may move arithmetic, but no call, past the switch of the
    mode.
    """
    module = ir.Module(name)
    function_type = ir.FunctionType(_OBJECT, [_OBJECT] * 3)
    inner = ir.Function(module, function_type, guarded)
    outer = ir.Function(module, function_type, name)
    builder = ir.IRBuilder(outer.append_basic_block("entry"))
    slot = builder.alloca(_INT)
    if argument_types is not None:
        name_classes(argument_types)
        _check_arguments(builder, outer.args[1], argument_types)
    mode = _read_mode(builder, architecture, slot)
    if mode is None:
        builder.ret(builder.call(inner, outer.args))
        return module
    _write_mode(builder, architecture, slot, builder.or_(mode, mode.type(_flush(architecture))))
    result = builder.call(inner, outer.args)
    _write_mode(builder, architecture, slot, mode)
    builder.ret(result)
    return module


@contextmanager
def normal_mode(builder, architecture=_ARCHITECTURE):
    """Emit code that runs in Python's floating-point mode, within an entry whose guard has set another."""
    slot = builder.alloca(_INT)
    mode = _read_mode(builder, architecture, slot)
    if mode is None:
        yield
        return
    _write_mode(builder, architecture, slot, builder.and_(mode, mode.type(~_flush(architecture))))
    yield
    _write_mode(builder, architecture, slot, mode)


def _flush(architecture):
    return _ARM_FLUSH if architecture in _ARM else _X86_FLUSH


def _read_mode(builder, architecture, slot):
    if architecture in _ARM:
        return _call(builder, "llvm.aarch64.get.fpcr", _WORD)
    if architecture in _X86:
        _call(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), builder.bitcast(slot, _OBJECT))
        return builder.load(slot)
    return None


def _write_mode(builder, architecture, slot, mode):
    if architecture in _ARM:
        _call(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), mode)
    else:
        builder.store(mode, slot)
        _call(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), builder.bitcast(slot, _OBJECT))


def _call(builder, name, result, *arguments):
    function_type = ir.FunctionType(result, [argument.type for argument in arguments])
    function = builder.module.globals.get(name) or ir.Function(builder.module, function_type, name)
    return builder.call(function, arguments)


def _check_arguments(builder, arguments, argument_types):
    refused = builder.append_basic_block("refused")
    with builder.goto_block(refused):
        message = bytearray(b"an argument of the wrong type\0")
        text = ir.GlobalVariable(builder.module, ir.ArrayType(_BYTE, len(message)), "message")
        text.initializer, text.linkage, text.global_constant = ir.Constant(text.value_type, message), "internal", True
        error = builder.bitcast(_named(builder, TypeError), _OBJECT)
        _call(builder, "PyErr_SetString", ir.VoidType(), error, builder.bitcast(text, _OBJECT))
        builder.ret(ir.Constant(_OBJECT, None))

    def is_number(number, wanted):
        return builder.icmp_unsigned("==", number, number.type(wanted))

    def demand(conditions):
        """All at once: a branch for each would take LLVM several times as long."""
        following = builder.append_basic_block()
        builder.cbranch(functools.reduce(builder.and_, conditions), following, refused)
        builder.position_at_end(following)

    def is_array(pointer, wanted):
        dtype = _read(builder, pointer, _ARRAY_DTYPE, _OBJECT)  # seldom the same object once arrays have been pickled
        flags = builder.and_(_read(builder, pointer, _ARRAY_FLAGS, _INT), _INT(_CONTIGUOUS_AND_WRITEABLE))
        yield is_number(_read(builder, pointer, _ARRAY_NDIM, _INT), 1)
        yield is_number(flags, _CONTIGUOUS_AND_WRITEABLE)
        yield is_number(_read(builder, dtype, _DTYPE_NUMBER, _INT), _dtype_of(wanted).num)
        yield is_number(_read(builder, dtype, _DTYPE_BYTE_ORDER, _BYTE), ord(_dtype_of(wanted).byteorder))

    def check(pointer, item_types):
        demand([is_number(_read(builder, pointer, _TUPLE_SIZE, _WORD), len(item_types))])
        items = [(_read(builder, pointer, _TUPLE_ITEMS + 8 * k, _OBJECT), item_type) for k, item_type in enumerate(item_types)]
        classes = [(_read(builder, item, _TYPE, _OBJECT), _named(builder, _class_of(item_type))) for item, item_type in items]
        demand([builder.icmp_unsigned("==", *pair) for pair in classes])
        arrays = [is_met for item, wanted in items if isinstance(wanted, Flat) for is_met in is_array(item, wanted)]
        if arrays:
            demand(arrays)
        for item, item_type in items:
            if isinstance(item_type, Record):
                check(item, item_type.types)

    check(arguments, argument_types)


def _read(builder, pointer, offset, value_type):
    """What lies so many bytes behind a pointer."""
    return builder.load(builder.bitcast(builder.gep(pointer, [_WORD(offset)]), value_type.as_pointer()))


@unbox(Flat)
def _unbox_array(flat, array, c):
    """The array of which the guard has seen that it is one."""
    data = _read(c.builder, array, _ARRAY_DATA, c.context.get_value_type(flat.dtype).as_pointer())
    size = _read(c.builder, _read(c.builder, array, _ARRAY_DIMENSIONS, _OBJECT), 0, _WORD)
    return NativeValue(cgutils.pack_struct(c.builder, [data, size]))


@unbox(Record)
def _unbox_record(record, items, c):
    """A Record on the stack of what Python calls, which the kernel does not outlive; the guard has seen of which types it is."""
    pointer = cgutils.alloca_once(c.builder, c.context.get_value_type(record).pointee)
    for number, item_type in enumerate(record.types):
        item = _read(c.builder, items, _TUPLE_ITEMS + 8 * number, _OBJECT)
        if item_type == types.int64:
            value = c.pyapi.long_as_longlong(item)
        elif item_type == types.float64:
            value = c.pyapi.float_as_double(item)
        else:
            value = c.unbox(item_type, item).value
        c.builder.store(value, cgutils.gep_inbounds(c.builder, pointer, 0, number))
    has_failed = c.builder.icmp_unsigned("!=", c.pyapi.err_occurred(), ir.Constant(_OBJECT, None))  # an integer is too large
    return NativeValue(pointer, is_error=has_failed)


def _class_of(wanted):
    """The Python class of a type that kernels see; None if it is another."""
    if isinstance(wanted, Record):
        return wanted.instance_class
    if isinstance(wanted, Flat):
        return np.ndarray
    return int if wanted == types.int64 else float if wanted == types.float64 else None


def _dtype_of(wanted):
    return np.dtype(wanted.dtype.name)


_known: dict[str, type] = {}  # classes by the names of their addresses: they must stay where they are


def _name_of(python_class):
    return f"fastbp_class_{python_class.__module__}_{python_class.__qualname__}"


def _named(builder, python_class):
    """Address of a Python class, which the machine code names, so that it is the same in every process."""
    name = _name_of(python_class)
    return builder.module.globals.get(name) or ir.GlobalVariable(builder.module, _BYTE, name)


def name_classes(argument_types):
    """Tell LLVM the addresses of the classes that a guard for these types compares with, before its machine code is loaded."""
    classes = {TypeError}
    for wanted in filter(_class_of, argument_types):
        classes.add(_class_of(wanted))
        if isinstance(wanted, Record):
            name_classes(wanted.types)
    for python_class in classes:
        if _known.get(_name_of(python_class)) is not python_class:
            _known[_name_of(python_class)] = python_class
            llvmlite.binding.add_symbol(_name_of(python_class), id(python_class))


def checked(value, wanted, name):
    """The value as one that a guard lets pass for the type `wanted`; raises a TypeError that names it if it is another."""
    expected, what = _class_of(wanted), ""
    if expected is np.ndarray:
        dtype = _dtype_of(wanted)
        if isinstance(value, np.ndarray) and value.dtype == dtype and value.ndim == 1:
            if value.flags.c_contiguous and value.flags.writeable:
                return value.view(dtype, np.ndarray)
        what = f"a flat, contiguous and writeable array of {dtype}"
    elif expected is int:
        if isinstance(value, numbers.Integral | np.bool_):
            return int(value)
    elif expected is float:
        if isinstance(value, numbers.Real):
            return float(value)
    elif isinstance(value, expected) and len(value) == len(wanted.types):
        return expected(*(checked(item, t, f"{name}.{field}") for item, t, field in zip(value, wanted.types, expected._fields)))
    got = f"one of {value.dtype} with shape {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
    raise TypeError(f"{name} must be {what or f'a {expected.__name__}'}, got {got}")
