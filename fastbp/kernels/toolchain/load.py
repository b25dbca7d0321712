"""Machine code in this process: objects that a wheel carries, from the store, or compiled now; and the slots of their parts."""

import ctypes
import functools
import sys
import threading

import numpy as np

from .. import carried
from . import notice, store
from .late import code, compiling

_lock = threading.RLock()
_loaded: dict[tuple[str, np.dtype], "_Loaded"] = {}
_filled: set[tuple[str, np.dtype]] = set()  # those whose address is in the slots
MISSING = "missing"  # the slot with the address of this number:
missing = ctypes.c_int64(0)  # becomes 1 where a kernel calls a part that has not been loaded
COUNTS = {"compiled": 0, "loaded": 0}  # objects since the process began


class _Loaded:
    """A C function and its object's slots, at their addresses; `owner` is who keeps them there."""

    def __init__(self, owner, symbol, slots, address_of):
        self._owner, self.address = owner, address_of(symbol)
        self.slots = {name: address_of(f"{symbol}_{name}") for name in slots}

    def fill(self, name, address):
        """Set the slot of a part, if there is one."""
        if name in self.slots:
            ctypes.c_void_p.from_address(self.slots[name]).value = address


@functools.cache
def triple():
    """Of the objects: llvmlite's loader takes ELF on Windows, too."""
    import llvmlite.binding as llvm

    return llvm.get_process_triple() + ("-elf" if sys.platform == "win32" else "")


@functools.cache
def _set_up():
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


def engine_of(text="", object_file=None):
    """An engine with the machine code of LLVM's text, or of an object file."""
    llvm = _set_up()
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


def _from_library(name, dtype):
    library, index = carried.library()
    found = index.get(f"{name} {dtype.name}")
    if found is None:
        return None
    return _Loaded(library, *found, lambda symbol: ctypes.addressof(ctypes.c_byte.in_dll(library, symbol)))


def is_missing():
    """Whether a kernel has called a part that was not there, since this was last asked."""
    if not missing.value:
        return False
    missing.value = 0
    return True


def load_all(functions, dtype):
    """Make sure that entries and parts, by name, are loaded for a dtype and know each other's addresses."""
    with _lock:
        todo = {name: function for name, function in functions.items() if (name, dtype) not in _loaded}
        foreign = {name for name, function in todo.items() if not function.__module__.startswith("fastbp.kernels.")}
        ready = {name: _from_library(name, dtype) for name in todo if name not in foreign}
        objects = {name: store.load(name, dtype) for name, found in ready.items() if found is None}
        absent = [name for name, made in objects.items() if made is None]
        if absent:
            with notice.told():
                objects.update(compiling.compile_all(absent, dtype))
            for name in absent:
                store.save(name, dtype, objects[name])
        for name in foreign:  # a test's or of a user's loss, which a process that compiles would not find
            is_stored = getattr(todo[name], "is_stored", False)
            objects[name] = store.load(name, dtype) if is_stored else None
            if objects[name] is None:
                objects[name] = code.object_code(todo[name], dtype)
                if is_stored:
                    store.save(name, dtype, objects[name])
        COUNTS["compiled"] += len(absent)
        COUNTS["loaded"] += len(todo) - len(absent)
        for name in todo:
            _loaded[name, dtype] = new = ready.get(name) or _from_object(objects[name])
            new.fill(MISSING, ctypes.addressof(missing))
        for name in functions:
            for (_, other_dtype), each in _loaded.items():
                if other_dtype == dtype:
                    each.fill(name, _loaded[name, dtype].address)
            for part in _loaded[name, dtype].slots:
                if (part, dtype) in _filled:
                    _loaded[name, dtype].fill(part, _loaded[part, dtype].address)
            _filled.add((name, dtype))


def forget_addresses():
    """Empty the slots of all parts, as they are when a process begins: entries say anew which they need."""
    with _lock:
        for each in _loaded.values():
            for part in each.slots:
                if part != MISSING:
                    each.fill(part, 0)
        _filled.clear()


def address_of(name, dtype):
    """Address of a loaded entry."""
    return _loaded[name, dtype].address


def loaded():
    """The names and dtypes of what is loaded."""
    return set(_loaded)
