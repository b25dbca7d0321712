"""From kernels to object files: numba compiles them to LLVM, and LLVM optimises them and writes machine code.

Each entry and each part is an object file with one C function. A kernel that calls a part reads its address from a slot, a
pointer in the data of the object file, which Python fills when both are loaded (load.py). A call through a slot costs a
nanosecond and its arguments, two words for an array, so no loop over samples or tiles should make one.

A guard around each entry makes the processor count subnormal numbers as zero. From about the 20th epoch on, moments and weights
of dead units become subnormal, and an instruction that meets such a number takes a hundred cycles on Intel (measured, digits,
adam, float32: 6.6 times the time per epoch). This mode belongs to a thread, so the guard sets it for each call and restores it.
"""

import ctypes
import functools
import inspect
import sys
import typing
from typing import NamedTuple

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, overload, type_callable

from .. import compiler
from ..cpu import cpu_name, feature_string
from . import pack
from .load import MISSING, engine_of, triple
from .store import Object
from .types import Flat, Record, field_address

_WORD, _POINTER = ir.IntType(64), ir.IntType(8).as_pointer()
SLOT = "fastbp_slot_"  # how the names of slots begin


class _Building:
    """The dtype of the object that is being built."""

    dtype = np.dtype(np.float64)


def type_of(annotation):
    """Return the numba type of what is annotated so, as kernels see it."""
    if pack.is_struct(annotation):
        return Record(annotation, tuple(map(type_of, pack.fields_of(annotation).values())))
    if annotation in (int, float, bool, None, type(None)):
        return {int: types.int64, float: types.float64, bool: types.boolean}.get(annotation, types.void)
    if typing.get_origin(annotation) is tuple:
        return types.Tuple([type_of(each) for each in typing.get_args(annotation)])
    return Flat(getattr(types, pack.dtype_of(annotation, _Building.dtype).name))


def _signature(function):
    """Return the numba types of the result and the arguments of a part."""
    returned = typing.get_type_hints(function)["return"]
    return type_of(returned), [type_of(annotation) for annotation in pack.fields_of(function).values()]


# ---- what numba learns of kernels


_registered: set = set()


def register():
    """Register primitives and inner functions with numba, if they are not yet registered."""
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
    """Whether arguments are of our own types: numba compiles entries without annotations for its own arrays."""
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
    """Call a part at the address in its slot, or in the pair of pointers that its first argument points to.

    Without an address, set `missing` and return zeros.
    """
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
    """Convert a value to the type that a part takes; a tuple that a kernel has made is written to the stack."""
    if isinstance(wanted, Record) and not isinstance(found, Record):
        with builder.goto_entry_block():  # once, not in each iteration of a loop
            pointer = builder.alloca(context.get_value_type(wanted).pointee)
        for number, field in enumerate(wanted.types):
            item = _as_wanted(context, builder, builder.extract_value(value, number), found.types[number], field)
            builder.store(item, field_address(builder, pointer, number))
        return pointer
    return context.cast(builder, value, found, wanted)


def _read_slot(builder, name):
    slot = builder.module.globals.get(SLOT + name)
    if slot is None:
        slot = ir.GlobalVariable(builder.module, _POINTER, SLOT + name)
        slot.initializer, slot.linkage = ir.Constant(_POINTER, None), "weak"  # as several functions of an object may define it
    return builder.load(slot)


# ---- object files


def object_code(function, dtype):
    """Compile an entry or a part to an Object."""
    name, is_part = function.__name__, compiler.PARTS.get(function.__name__) is function
    _Building.dtype = dtype
    register()
    result, taken = _signature(function) if is_part else (types.void, [])
    if not is_part:
        arguments = NamedTuple(name, pack.fields_of(function).items())
        function, taken = _of_struct(function), [type_of(arguments)]
    text, inner = compiler.as_c_function(function, result, taken)
    return _finished(text, inner, f"fastbp_{name}_{dtype.name}", is_part)


def _of_struct(function):
    """Return the function as one that takes a struct with its arguments, see pack.py."""
    known = {"function": function}
    exec(f"def of_struct(struct): function({', '.join(f'struct.{name}' for name in pack.fields_of(function))})", known)
    return known["of_struct"]


def _finished(text, inner, name, is_part):
    module = llvm.parse_assembly(text)
    slots = [each.name for each in module.global_variables if each.name.startswith(SLOT)]
    function = module.get_function(inner)
    if is_part:
        function.name = name
    else:
        function.add_function_attribute("noinline")
        module.link_in(llvm.parse_assembly(guard(name, inner)))
    for each in module.functions:
        if not each.is_declaration:
            each.linkage = "external" if each.name == name else "internal"
    for slot in slots:
        variable = module.get_global_variable(slot)
        variable.name, variable.linkage = f"{name}_{slot.removeprefix(SLOT)}", "external"
    module.triple = triple()
    target = llvm.Target.from_triple(triple())
    machine = target.create_target_machine(cpu_name(), feature_string(), opt=3, reloc="pic", codemodel="default")
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    for each in module.functions:
        if each.is_declaration and not each.name.startswith("llvm.") and not _is_in_every_process(each.name):
            raise ValueError(f"it calls {each.name}, which needs Python: use no lists, new arrays, strings or exceptions.")
    return Object(machine.emit_object(module), name, [slot.removeprefix(SLOT) for slot in slots])


def _is_in_every_process(name):
    """Whether this is a function of the C library; those of Python and numba need the GIL, or may not be loaded."""
    if name.lower().startswith(("py", "_py", "numba_", "nrt_")):
        return False
    return sys.platform == "win32" or hasattr(ctypes.CDLL(None), name) or hasattr(ctypes.CDLL(None), name.lstrip("_"))


# ---- the kernels' floating-point mode

# Switch and restore a thread's mode. In MXCSR, bit 15 makes subnormal results zero, and bit 6 makes subnormal operands count as
# zero; in FPCR, bit 24 does both.
_OF_X86 = """
declare void @llvm.x86.sse.stmxcsr(i8*)
declare void @llvm.x86.sse.ldmxcsr(i8*)

define i64 @enter() alwaysinline {
  %room = alloca i32
  %place = bitcast i32* %room to i8*
  call void @llvm.x86.sse.stmxcsr(i8* %place)
  %mode = load i32, i32* %room
  %flushing = or i32 %mode, 32832
  store i32 %flushing, i32* %room
  call void @llvm.x86.sse.ldmxcsr(i8* %place)
  %before = zext i32 %mode to i64
  ret i64 %before
}

define void @leave(i64 %before) alwaysinline {
  %room = alloca i32
  %mode = trunc i64 %before to i32
  store i32 %mode, i32* %room
  %place = bitcast i32* %room to i8*
  call void @llvm.x86.sse.ldmxcsr(i8* %place)
  ret void
}
"""
_OF_ARM = """
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)

define i64 @enter() alwaysinline {
  %before = call i64 @llvm.aarch64.get.fpcr()
  %flushing = or i64 %before, 16777216
  call void @llvm.aarch64.set.fpcr(i64 %flushing)
  ret i64 %before
}

define void @leave(i64 %before) alwaysinline {
  call void @llvm.aarch64.set.fpcr(i64 %before)
  ret void
}
"""
_OF_OTHERS = "define i64 @enter() alwaysinline { ret i64 0 } define void @leave(i64 %before) alwaysinline { ret void }"
ARCHITECTURE = llvm.get_process_triple().split("-")[0]
SWITCHES = dict.fromkeys(("x86_64", "amd64", "i686"), _OF_X86) | dict.fromkeys(("aarch64", "arm64"), _OF_ARM)


def guard(name, inner, architecture=ARCHITECTURE):
    """Return the LLVM of a function `name` that calls `inner` with its pointer in the kernels' floating-point mode.

    All arithmetic is in `inner`, which must not be inlined: LLVM may move arithmetic across the switch of the mode, but no call.
    """
    return f"""{SWITCHES.get(architecture, _OF_OTHERS)}
declare void @"{inner}"(i8*)
define void @{name}(i8* %arguments) {{
  %before = call i64 @enter()
  call void @"{inner}"(i8* %arguments)
  call void @leave(i64 %before)
  ret void
}}
"""


@functools.cache
def mode_switch():
    """Return functions for what numba compiles in its own way, and their owner: one sets the kernels' mode and returns the
    mode before, the other restores that."""
    engine = engine_of(SWITCHES.get(ARCHITECTURE, _OF_OTHERS))
    enter = ctypes.CFUNCTYPE(ctypes.c_int64)(engine.get_function_address("enter"))
    return engine, enter, ctypes.CFUNCTYPE(None, ctypes.c_int64)(engine.get_function_address("leave"))
