"""What stands between Python and the machine code of an entry, as LLVM: the floating-point mode of the kernels.

Kernels run with subnormal numbers counting as zero. From about the 20th epoch on moments and weights of dead units sink below the
normal numbers, and an instruction that meets one costs a hundred cycles on Intel (measured, digits, adam, float32: 6.6 times the
time per epoch). The mode belongs to the thread, so it is set on every call and given back before Python goes on.
"""

import llvmlite.binding
from llvmlite import ir

_ARCHITECTURE = llvmlite.binding.get_process_triple().split("-")[0]
_X86, _ARM = ("x86_64", "amd64", "i686"), ("aarch64", "arm64")
_X86_FLUSH = 1 << 15 | 1 << 6  # MXCSR: results that are subnormal become zero, operands that are count as zero
_ARM_FLUSH = 1 << 24  # FPCR: both


def _read_mode(builder, architecture, slot):
    if architecture in _ARM:
        return builder.call(_function(builder, "llvm.aarch64.get.fpcr", ir.FunctionType(ir.IntType(64), [])), [])
    pointer = builder.bitcast(slot, ir.IntType(8).as_pointer())
    builder.call(_function(builder, "llvm.x86.sse.stmxcsr", ir.FunctionType(ir.VoidType(), [pointer.type])), [pointer])
    return builder.load(slot)


def _write_mode(builder, architecture, slot, mode):
    if architecture in _ARM:
        builder.call(_function(builder, "llvm.aarch64.set.fpcr", ir.FunctionType(ir.VoidType(), [mode.type])), [mode])
        return
    pointer = builder.bitcast(slot, ir.IntType(8).as_pointer())
    builder.store(mode, slot)
    builder.call(_function(builder, "llvm.x86.sse.ldmxcsr", ir.FunctionType(ir.VoidType(), [pointer.type])), [pointer])


def _function(builder, name, function_type):
    return builder.module.globals.get(name) or ir.Function(builder.module, function_type, name)


def guard(name, guarded, architecture=_ARCHITECTURE):
    """The LLVM module of a function `name` that Python calls in place of `guarded`, which takes and returns Python objects.

    All arithmetic is in `guarded`, which must not be inlined: LLVM may move arithmetic, but no call, past the switch of the mode.
    """
    module, object_type = ir.Module(name), ir.IntType(8).as_pointer()
    function_type = ir.FunctionType(object_type, [object_type] * 3)
    inner = ir.Function(module, function_type, guarded)
    outer = ir.Function(module, function_type, name)
    builder = ir.IRBuilder(outer.append_basic_block("entry"))
    if architecture not in (*_X86, *_ARM):
        builder.ret(builder.call(inner, outer.args))
        return module
    flush = _ARM_FLUSH if architecture in _ARM else _X86_FLUSH
    slot = builder.alloca(ir.IntType(32))
    mode = _read_mode(builder, architecture, slot)
    _write_mode(builder, architecture, slot, builder.or_(mode, mode.type(flush)))
    result = builder.call(inner, outer.args)
    _write_mode(builder, architecture, slot, mode)
    builder.ret(result)
    return module
