"""Machine code in this process: from a wheel, from the store, or compiled now.

A kernel calls a part at the address in a slot, a pointer in the data of the kernel's object file. Slots are filled here.
"""

import ctypes
import sys
import threading

import numpy as np

from .. import carried
from . import store
from .late import code, compiling

_lock = threading.RLock()
_loaded: dict[tuple[str, np.dtype], "_Loaded"] = {}
MISSING = "missing"  # name of the slot that holds the address of
missing = ctypes.c_int64(0)  # this number, which a kernel sets to 1 if it calls a part that has not been loaded
COUNTS = {"compiled": 0, "loaded": 0}  # objects since the process began


class _Loaded:
    """A C function at its address, and the slots of its object; `owner` keeps both in memory."""

    def __init__(self, owner, symbol, slots, address_of):
        self.owner, self.address = owner, address_of(symbol)
        self.slots = {name: ctypes.c_void_p.from_address(address_of(f"{symbol}_{name}")) for name in slots}


def triple():
    """Return the target of all objects: ELF on Windows too, because llvmlite's loader takes it."""
    import llvmlite.binding as llvm

    return llvm.get_process_triple() + ("-elf" if sys.platform == "win32" else "")


def engine_of(text="", object_file=None):
    """Make an engine with the machine code of LLVM's text, or of an object file."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(text)
    module.triple = triple()
    engine = llvm.create_mcjit_compiler(module, llvm.Target.from_triple(triple()).create_target_machine())
    if object_file is not None:
        engine.add_object_file(llvm.ObjectFileRef.from_data(object_file))
    engine.finalize_object()
    return engine


def _from_object(made):
    engine = engine_of(object_file=made.code)
    return _Loaded(engine, made.symbol, made.slots, engine.get_global_value_address)


def _from_wheel(name, dtype):
    library, index = carried.library()
    found = index.get(f"{name} {dtype.name}")
    return found and _Loaded(library, *found, lambda symbol: ctypes.addressof(ctypes.c_byte.in_dll(library, symbol)))


def _is_own(function):
    """Whether a process that compiles finds this function: not one of a test, or of a user's loss."""
    return function.__module__.startswith("fastbp.kernels.")


def _compiled(functions, dtype):
    """Compile functions, by name; return their Objects."""
    own = [name for name, function in functions.items() if _is_own(function)]
    made = compiling.compile_all(own, dtype) if own else {}
    return made | {name: code.object_code(function, dtype) for name, function in functions.items() if name not in made}


def load_all(functions, dtype):
    """Load entries and parts, by name, for a dtype, unless they are loaded; fill the slots of everything that is loaded."""
    with _lock:
        todo = {name: function for name, function in functions.items() if (name, dtype) not in _loaded}
        found = {name: _from_wheel(name, dtype) if _is_own(function) else None for name, function in todo.items()}
        stored = {name for name, function in todo.items() if _is_own(function) or getattr(function, "is_stored", False)}
        objects = {name: store.load(name, dtype) for name in stored if found[name] is None}
        absent = {name: todo[name] for name in todo if found[name] is None and objects.get(name) is None}
        if absent:
            objects |= _compiled(absent, dtype)
            for name in stored & absent.keys():
                store.save(name, dtype, objects[name])
        for name in todo:
            _loaded[name, dtype] = found[name] or _from_object(objects[name])
        COUNTS["compiled"] += len(absent)
        COUNTS["loaded"] += len(todo) - len(absent)
        of_dtype = {name: each for (name, its_dtype), each in _loaded.items() if its_dtype == dtype}
        addresses = {name: each.address for name, each in of_dtype.items()} | {MISSING: ctypes.addressof(missing)}
        for each in of_dtype.values():
            for name, slot in each.slots.items():
                slot.value = addresses.get(name)


def address_of(name, dtype):
    """Return the address of an entry or part that is loaded."""
    return _loaded[name, dtype].address


def loaded():
    """Return the names and dtypes of what is loaded."""
    return set(_loaded)
