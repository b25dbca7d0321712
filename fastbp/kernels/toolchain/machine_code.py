"""From kernels to object code: numba makes LLVM of them, LLVM the rest.

An entry and a part are an object each, with one C function. What they have of each other is an address: a kernel that calls a
part reads it from a slot, a pointer in its object's data that Python fills once the object is loaded (load.py). A call through a
slot costs a nanosecond and what the arguments cost, an array two words; so it has no place in a loop over samples or tiles.

Entries run behind a guard that has the processor count subnormal numbers as zero: from about the 20th epoch on moments and
weights of dead units sink below the normal numbers, and an instruction that meets one costs a hundred cycles on Intel (measured,
digits, adam, float32: 6.6 times the time per epoch). That mode belongs to the thread, so it is set on every call and given back.
"""

import ctypes
import functools
import inspect
import sys
import typing

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, overload, type_callable

from .. import compiler
from ..cpu import cpu_name, feature_string
from . import pack
from .load import address_of_yield, engine_of, missing, triple
from .store import Object
from .types import Flat, Record, is_inside

_ARCHITECTURE = llvm.get_process_triple().split("-")[0]
X86, ARM = ("x86_64", "amd64", "i686"), ("aarch64", "arm64")
_X86_FLUSH = 1 << 15 | 1 << 6  # MXCSR: results that are subnormal become zero, operands that are count as zero
_ARM_FLUSH = 1 << 24  # FPCR: both

_BYTE, _INT, _WORD = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_POINTER = _BYTE.as_pointer()
SLOT = "fastbp_slot_"  # how the names of slots begin
YIELD, MISSING = "yield", "missing"  # slots that hold the address of what offers the core, and of a number that should stay zero


class _Building:
    """What objects are being built for."""

    dtype = np.dtype(np.float64)


def type_of(annotation):
    """The numba type that kernels see of an annotation."""
    if pack.is_struct(annotation):
        return Record(annotation, tuple(map(type_of, pack.fields_of(annotation).values())))
    if annotation in (int, float, bool, None, type(None)):
        return {int: types.int64, float: types.float64, bool: types.boolean}.get(annotation, types.void)
    if typing.get_origin(annotation) is tuple:
        return types.Tuple([type_of(each) for each in typing.get_args(annotation)])
    return Flat(getattr(types, pack.dtype_of(annotation, _Building.dtype).name))


def _signature(function):
    """The numba types that a part returns and takes."""
    returned = typing.get_type_hints(function)["return"]
    return type_of(returned), [type_of(annotation) for annotation in pack.fields_of(function).values()]


# ---- what numba is told


_registered: set = set()


def register():
    """Tell numba what kernels are made of, those too whose modules have been imported since it was last told."""
    _show_slots()
    for each in compiler.PRIMITIVES:
        if each not in _registered:
            _register_primitive(each)
    for function, options in compiler.INNER.items():
        if function not in _registered:
            _register_inner(function, function, options)
    for operation, meaning in compiler.MEANINGS.items():
        if operation not in _registered:
            if isinstance(meaning, compiler.Primitive):
                _register_primitive(meaning, operation)
            else:
                _register_inner(operation, meaning, {})
    _registered.update(compiler.PRIMITIVES, compiler.INNER, compiler.MEANINGS)


def _register_primitive(primitive, called=None):
    called = called or primitive

    @type_callable(called)
    def make_typer(context):
        def typer(*arguments):
            return primitive.emit(context, *arguments)[0]

        _, *parameters = inspect.signature(primitive.emit).parameters.values()
        typer.__signature__ = inspect.Signature(parameters)
        return typer

    @lower_builtin(called, types.VarArg(types.Any))
    def lower(context, builder, sig, args):
        return primitive.emit(context, *sig.args)[1](context, builder, sig, args)


def _is_seen(argument_types):
    """Whether an entry was called from Python by its pointer: its kernels have arrays of our own types."""
    return any(isinstance(each, (Flat, Record)) for each in argument_types)


def _register_inner(called, function, options):
    is_apart = compiler.PARTS.get(function.__name__) is function or function in compiler.POINTED

    def choose(*arguments):
        return None if is_apart and _is_seen(arguments) else function

    overload(called, jit_options={**compiler.INNER_OPTIONS, **options}, strict=False)(choose)
    if is_apart:

        @type_callable(function)
        def make_typer(context):
            def typer(*arguments):
                return _signature(function)[0] if _is_seen(arguments) else None

            typer.__signature__ = inspect.signature(function)
            return typer

        lower_builtin(function, types.VarArg(types.Any))(functools.partial(_call_part, function))


def _call_part(function, context, builder, sig, args):
    """Call a part at the address in its slot, or where its first argument points to one. Where there is none, count it as
    missing, and return zeros."""
    result, wanted = _signature(function)
    values = [_as_wanted(context, builder, *each) for each in zip(args, sig.args, wanted)]
    result_type = ir.VoidType() if result == types.void else context.get_value_type(result)
    callee_type = ir.FunctionType(result_type, [value.type for value in values])
    if function in compiler.POINTED:
        pair = builder.inttoptr(values[0], _POINTER.as_pointer())
        address = builder.load(builder.gep(pair, [_WORD(compiler.POINTED[function])]))
    else:
        address = _read_slot(builder, function.__name__)
    is_there = builder.icmp_unsigned("!=", address, ir.Constant(_POINTER, None))
    with builder.if_else(is_there, likely=True) as (then, otherwise):
        with then:
            value, called = builder.call(builder.bitcast(address, callee_type.as_pointer()), values), builder.block
        with otherwise:
            missing = builder.bitcast(_read_slot(builder, MISSING), _WORD.as_pointer())
            builder.store(_WORD(1), missing)
            not_called = builder.block
    if result == types.void:
        return context.get_dummy_value()
    found = builder.phi(result_type)
    found.add_incoming(value, called)
    found.add_incoming(ir.Constant(result_type, None), not_called)
    return found


def _as_wanted(context, builder, value, found, wanted):
    """A value as an argument of the type that a part takes; a tuple that a kernel has made lies on its stack."""
    if isinstance(wanted, Record) and not isinstance(found, Record):
        pointer = cgutils.alloca_once(builder, context.get_value_type(wanted).pointee)
        for number, field in enumerate(wanted.types):
            item = _as_wanted(context, builder, builder.extract_value(value, number), found.types[number], field)
            builder.store(item, cgutils.gep_inbounds(builder, pointer, 0, number))
        return pointer
    return context.cast(builder, value, found, wanted)


def _read_slot(builder, name):
    slots = builder.module.globals
    slot = slots.get(SLOT + name) or ir.GlobalVariable(builder.module, _POINTER, SLOT + name)  # defined by `_finished`
    return builder.load(slot)


def offer_core(builder):
    """Emit a call of the system's function that lets another thread have the core."""
    function_type = ir.FunctionType(_INT, [])
    builder.call(builder.bitcast(_read_slot(builder, YIELD), function_type.as_pointer()), [])


# ---- objects


def object_code(function, dtype):
    """Compile an entry or a part."""
    name, is_part = function.__name__, compiler.PARTS.get(function.__name__) is function
    _Building.dtype = dtype
    register()
    _show_slots()  # of parts that have come since, too
    if is_part:
        result, taken = _signature(function)
    else:
        function, result, taken = _called_by_pointer(function), types.void, [types.voidptr]
    text, inner = compiler.as_c_function(function, result, taken)
    return _finished(text, inner, f"fastbp_{name}_{dtype.name}", is_part)


_SLOTS = {YIELD: ctypes.c_void_p(address_of_yield()), MISSING: ctypes.c_void_p(ctypes.addressof(missing))}
_EMPTY = ctypes.c_void_p(None)


def _show_slots():
    """Tell LLVM of slots for what numba loads itself, where a symbol that is nowhere would end the process."""
    for name in (*compiler.PARTS, YIELD, MISSING):
        llvm.add_symbol(SLOT + name, ctypes.addressof(_SLOTS.get(name, _EMPTY)))


def _called_by_pointer(function):
    """The function as one of the address of a struct with its arguments, see pack.py."""
    field_types = [type_of(annotation) for annotation in pack.fields_of(function).values()]

    @intrinsic
    def unpacked(typing_context, pointer):
        def codegen(context, builder, sig, args):
            fields = [context.get_value_type(each) for each in field_types]
            packed = ir.LiteralStructType([f.pointee if is_inside(each) else f for f, each in zip(fields, field_types)])
            address = builder.bitcast(args[0], packed.as_pointer())
            places = [cgutils.gep_inbounds(builder, address, 0, number) for number in range(len(fields))]
            values = [place if is_inside(each) else builder.load(place) for place, each in zip(places, field_types)]
            return context.make_tuple(builder, sig.return_type, values)

        return types.Tuple(field_types)(types.voidptr), codegen

    def call(pointer):
        function(*unpacked(pointer))

    return call


def _finished(text, inner, name, is_part):
    module = llvm.parse_assembly(text)
    slots = [each.name for each in module.global_variables if each.name.startswith(SLOT)]
    for each in module.functions:
        if not each.is_declaration:
            each.linkage = "internal"
    function = module.get_function(inner)
    if is_part:
        function.name, function.linkage = name, "external"
    else:
        function.add_function_attribute("noinline")
        function.linkage = "external"
        module.link_in(llvm.parse_assembly(str(guard(name, inner))))
        module.get_function(inner).linkage = "internal"
    for slot in slots:
        module.link_in(llvm.parse_assembly(_definition(slot)))
        module.get_global_variable(slot).name = f"{name}_{slot.removeprefix(SLOT)}"
    module.triple = triple()
    target = llvm.Target.from_triple(triple())
    machine = target.create_target_machine(cpu_name(), feature_string(), opt=3, reloc="pic", codemodel="default")
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    for each in module.functions:
        if each.is_declaration and not each.name.startswith("llvm.") and not _is_in_every_process(each.name):
            raise ValueError(f"it calls {each.name}, which needs Python: lists, arrays, texts and exceptions cannot be in it.")
    return Object(machine.emit_object(module), name, [slot.removeprefix(SLOT) for slot in slots])


def _is_in_every_process(name):
    """Whether this is a function of the C library, not of Python or numba, which would need the GIL or may not be there."""
    if name.lower().startswith(("py", "_py", "numba_", "nrt_")):
        return False
    return sys.platform == "win32" or hasattr(ctypes.CDLL(None), name) or hasattr(ctypes.CDLL(None), name.lstrip("_"))


def _definition(slot):
    module = ir.Module()
    variable = ir.GlobalVariable(module, _POINTER, slot)
    variable.initializer = ir.Constant(_POINTER, None)
    return str(module)


def guard(name, inner, architecture=_ARCHITECTURE):
    """The LLVM module of a function `name` of a pointer that calls `inner` in the kernels' floating-point mode.

    All arithmetic is in `inner`, which must not be inlined: LLVM may move arithmetic, but no call, past the switch of the mode.
    """
    module = ir.Module(name)
    function_type = ir.FunctionType(ir.VoidType(), [_POINTER])
    callee = ir.Function(module, function_type, inner)
    function = ir.Function(module, function_type, name)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    before = _flush_subnormals(builder, architecture)
    builder.call(callee, function.args)
    _set_mode(builder, architecture, before)
    builder.ret_void()
    return module


def _flush_subnormals(builder, architecture):
    """Emit the switch to the kernels' mode; returns the one before, 0 on a machine that has no such mode."""
    if architecture in ARM:
        mode = _call(builder, "llvm.aarch64.get.fpcr", _WORD)
        _set_mode(builder, architecture, builder.or_(mode, _WORD(_ARM_FLUSH)))
        return mode
    if architecture in X86:
        slot = builder.alloca(_INT)
        _call(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), builder.bitcast(slot, _POINTER))
        mode = builder.zext(builder.load(slot), _WORD)
        _set_mode(builder, architecture, builder.or_(mode, _WORD(_X86_FLUSH)))
        return mode
    return _WORD(0)


def _set_mode(builder, architecture, mode):
    if architecture in ARM:
        _call(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), mode)
    elif architecture in X86:
        slot = builder.alloca(_INT)
        builder.store(builder.trunc(mode, _INT), slot)
        _call(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), builder.bitcast(slot, _POINTER))


def _call(builder, name, result, *arguments):
    declared = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(builder.module.globals.get(name) or ir.Function(builder.module, declared, name), arguments)


@functools.cache
def mode_switch():
    """Two functions for what numba compiles in its own way: one sets the kernels' mode and returns that before, one gives it
    back."""
    module = ir.Module()
    enter = ir.Function(module, ir.FunctionType(_WORD, []), "enter")
    builder = ir.IRBuilder(enter.append_basic_block("entry"))
    builder.ret(_flush_subnormals(builder, _ARCHITECTURE))
    leave = ir.Function(module, ir.FunctionType(ir.VoidType(), [_WORD]), "leave")
    builder = ir.IRBuilder(leave.append_basic_block("entry"))
    _set_mode(builder, _ARCHITECTURE, leave.args[0])
    builder.ret_void()
    engine = engine_of(str(module))
    addresses = [engine.get_function_address(function.name) for function in (enter, leave)]
    prototypes = ctypes.CFUNCTYPE(ctypes.c_int64), ctypes.CFUNCTYPE(None, ctypes.c_int64)
    return engine, *(prototype(address) for prototype, address in zip(prototypes, addresses))
