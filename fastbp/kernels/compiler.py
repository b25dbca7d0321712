"""The decorators of all compiled functions, and what they lean on."""

import functools
import gc
import inspect
import pkgutil
import types
import warnings
from contextlib import contextmanager

import numba
import numpy as np
from numba import njit
from numba.core import config
from numba.extending import intrinsic

from .boundary import checked
from .records import seen_by_kernels
from .sources import SOURCES, warn_uncached

# Fused multiply-adds and nothing else: nnan/ninf would delete the tests on which the divergence error rests, and reassoc the
# rounding by a large constant inside the exponential; sums worth vectorising are written on vectors.
FASTMATH = {"contract"}

IS_INTERPRETED = bool(config.DISABLE_JIT)  # the kernels run as the Python code they are, slowly, for a debugger to step through
IS_CHECKED = bool(config.BOUNDSCHECK)  # what would leave its array raises an IndexError

# What pipeline.py, parts.py, cache.py and carried.py use of numba and llvmlite beyond their documentation, and what for. Without
# any of it, or where it no longer works, kernels are compiled in numba's own way: it takes longer, they are slower, and there is
# no guard.
LEANS_ON = {
    "numba.core.compiler:Compiler.compile_extra": "compiling inner functions as far as IR",
    "numba.core.compiler:CompileResult._replace": "inner functions that callers find although they have no machine code",
    "numba.core.compiler:Flags.no_compile": "inner functions without machine code",
    "numba.core.compiler:Compiler.state": "inner functions without machine code",
    "numba.core.compiler_machinery:PassManager.passes": "leaving out passes that kernels do not need",
    "numba.core.typing.context:BaseContext.resolve_function_type": "looking up the signature of a call once",
    "numba.core.base:BaseContext.get_abi_sizeof": "asking for the size of a type once",
    "numba.core.codegen:CPUCodeLibrary._final_module": "optimising an entry with all it calls, behind its guard",
    "numba.core.codegen:CPUCodeLibrary._finalized": "inner functions without machine code",
    "numba.core.codegen:CPUCodeLibrary._finalize_final_module": "inner functions without machine code",
    "numba.core.codegen:CPUCodeLibrary._optimize_final_module": "optimising an entry with all it calls, behind its guard",
    "numba.core.codegen:CPUCodeLibrary._get_module_for_linking": "leaving the bitcode out of the cache",
    "numba.core.codegen:CPUCodeLibrary.enable_object_caching": "machine code in the cache",
    "numba.core.codegen:JITCodeLibrary.get_pointer_to_function": "parts that are called by their address",
    "numba.core.cpu:CPUContext.codegen": "libraries of our own",
    "numba.core.cpu:CPUContext.insert_user_function": "inner functions that callers find although they have no machine code",
    "numba.core.cpu:CPUTargetOptions._nrt": "kernels without reference counts",
    "numba.core.cpu:CPUTargetOptions.no_cpython_wrapper": "inner functions without wrappers",
    "numba.core.cpu:CPUTargetOptions.no_cfunc_wrapper": "kernels without wrappers for C",
    "numba.core.dispatcher:Dispatcher.get_call_template": "one compilation whatever the literal arguments",
    "numba.core.callconv:CPUCallConv.call_function": "parts that are called by their address",
    "numba.core.callconv:CPUCallConv.get_function_type": "parts that are called by their address",
    "numba.core.callconv:CPUCallConv.return_status_propagate": "parts that are called by their address",
    "numba.core.dispatcher:Dispatcher._cache": "a cache of our own",
    "numba.core.dispatcher:Dispatcher.overloads": "parts that are called by their address",
    "numba.core.caching:FunctionCache._cache_file": "cache files with a digest",
    "numba.core.caching:FunctionCache._cache_path": "the folder of the cache",
    "numba.core.caching:FunctionCache._impl": "the names of the cache's files",
    "numba.core.caching:FunctionCache._index_key": "a cache that knows all sources",
    "numba.core.caching:FunctionCache._load_overload": "a cache that survives damaged files",
    "numba.core.caching:FunctionCache.save_overload": "a cache that survives full disks",
    "numba.core.caching:CompileResultCacheImpl.rebuild": "kernels that a wheel carries",
    "numba.core.caching:CompileResultCacheImpl.reduce": "kernels that a wheel carries",
    "numba.core.caching:CacheImpl.filename_base": "the names of the cache's files",
    "numba.core.caching:CacheImpl.locator": "the folder of the cache",
    "numba.core.caching:IndexDataCacheFile._source_stamp": "cache files of this version of an entry",
    "numba.core.caching:IndexDataCacheFile._index_path": "the names of the cache's files",
    "numba.core.caching:IndexDataCacheFile._data_name_pattern": "the names of the cache's files",
    "numba.core.caching:IndexDataCacheFile._open_for_write": "cache files that change as a whole",
    "numba.core.caching:IndexDataCacheFile._dump": "the content of the cache's files",
    "numba.core.caching:IndexDataCacheFile._data_name": "the names of the cache's files",
    "numba.core.caching:IndexDataCacheFile._data_path": "the names of the cache's files",
    "numba.core.runtime:rtsys.initialize": "loading machine code without setting up the compiler",
    "llvmlite.binding:Linkage.external": "parts that are called by their address",
    "llvmlite.binding:Linkage.internal": "telling LLVM that it sees all callers of a function",
    "llvmlite.binding:ModuleRef.link_in": "the guard of an entry",
    "llvmlite.binding:ValueRef.add_function_attribute": "the guard of an entry, and functions that stay apart",
}


def is_there(name):
    """Whether a class has an attribute, be it one that its objects get when they are made."""
    owner_name, _, attribute = name.rpartition(".")
    try:
        owner = pkgutil.resolve_name(owner_name)
    except (ImportError, AttributeError):
        return False
    makers = [vars(base).get("__init__") for base in getattr(owner, "__mro__", ())]
    return hasattr(owner, attribute) or any(attribute in maker.__code__.co_names for maker in filter(inspect.isfunction, makers))


def _warn_plain(why):
    warnings.warn(
        f"fastbp does not know numba {numba.__version__} ({why}): its kernels are right, but slower, and take longer to compile; "
        "another version of either may help.",
        RuntimeWarning,
        stacklevel=2,
    )


try:
    if not IS_INTERPRETED and (_gone := [name for name in LEANS_ON if not is_there(name)]):
        raise RuntimeError("; ".join(f"{name.replace(':', '.')} is gone: {LEANS_ON[name]}" for name in _gone))
    from . import parts, pipeline
    from .cache import KernelCache
except Exception as error:
    pipeline = None
    _warn_plain(error)

_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": FASTMATH}
# Kernels allocate nothing, so they need no reference counts (_nrt; measured: a fifth of a sample's time).
_TUNED = {**_OPTIONS, "no_cfunc_wrapper": True, "_nrt": False}


PARTS: list = []  # dispatchers of what the decorator `part` made, as the modules' ENTRIES hold those of entries


def primitive(meaning):
    """Make an intrinsic, whose LLVM the decorated function writes; `meaning` does the same in NumPy, a Vector being an array."""

    def make(emit):
        if IS_INTERPRETED:
            return meaning
        made = intrinsic(emit)
        made.meaning = meaning
        return made

    return make


def jit(function, **options):
    """Compile a function that only other kernels call; Python must not."""
    if IS_INTERPRETED:
        return function
    if pipeline is None:
        return njit(**_OPTIONS, **options)(function)
    options = {"no_cpython_wrapper": True, "pipeline_class": pipeline.InnerCompiler, **_TUNED, **options}
    return pipeline.compile_once_per_dtype(njit(**options)(function))


def inline(function):
    """The same for what the per-sample loop calls: a call costs as much there as the arithmetic (measured: 5 to 8 % of a fit)."""
    return jit(function, forceinline=True)


def apart(function):
    """The same for what stays a function of its own in the machine code: one function of everything takes LLVM a quarter longer
    (measured: 10.4 s instead of 12.6 s for a first fit)."""
    if pipeline is not None:
        pipeline.apart.add(pipeline.symbol_of(function))
    return jit(function)


def part(*returns):
    """Make a decorator for what is compiled apart from the kernels that call it, the first time that one does: what few fits use.

    returns: names of the numba types that come back, "void" for nothing. See parts.py for what a call costs.
    """

    def make(function):
        if IS_INTERPRETED or pipeline is None:
            return jit(function)
        dispatcher = njit(pipeline_class=pipeline.PartCompiler, **_TUNED)(function)
        _keep_on_disk(dispatcher)

        def compile_for(argument_types):
            _compile(dispatcher, argument_types, argument_types)
            parts.demand(function, result, dispatcher.overloads[argument_types].signature.return_type)
            return pipeline.address_of(dispatcher, argument_types)

        result = parts.type_of(returns)
        parts.declare(function, result, compile_for)
        PARTS.append(dispatcher)
        return function

    return make


def entry(function):
    """Compile a function that Python calls, and keep its machine code on disk."""
    if IS_INTERPRETED:
        return _interpreted(function)
    if pipeline is not None:
        return _keep_on_disk(njit(pipeline_class=pipeline.EntryCompiler, **_TUNED)(function))
    try:
        return njit(cache=True, **_OPTIONS)(_with_sources(function))
    except RuntimeError as error:  # numba finds no folder to write to
        warn_uncached(error)
        return njit(**_OPTIONS)(function)


def _keep_on_disk(dispatcher):
    dispatcher._cache = KernelCache(dispatcher.py_func)
    return dispatcher


def _interpreted(function):
    """An entry that is not compiled: as silent about overflow as machine code is."""

    @functools.wraps(function)
    def call(*arguments):
        with np.errstate(all="ignore"):
            return function(*arguments)

    call.dispatcher, call.signatures = call, ()
    return call


def _with_sources(function):
    """The function with the hash of all sources in a closure, which numba's own cache looks at beside the function's file."""
    code, cells = function.__code__, function.__closure__ or ()
    code = code.replace(co_freevars=(*code.co_freevars, "SOURCES"))
    made = types.FunctionType(code, function.__globals__, function.__name__, None, (*cells, types.CellType(SOURCES)))
    return functools.update_wrapper(made, function)


def typed_once(dispatcher, by="params"):
    """Return what calls an entry whose arguments have the types that the dtype of one of them asks for, always.

    numba looks at the type of every element of every argument at every call (measured: 9 of the 10 µs that a call of `train`
    costs beside its work, with the GIL held). Here the first call for a dtype decides, and the entry's guard compares the others
    with it. An argument that is another number or array is converted, any other raises a TypeError that names it.
    """
    if IS_INTERPRETED:
        return dispatcher
    function = dispatcher.py_func
    names = list(inspect.signature(function).parameters)
    at, compiled, signatures = names.index(by), {}, {}
    if pipeline is not None:
        pipeline.typed_once.add(function)

    def count(arguments):
        if len(arguments) != len(names):
            raise TypeError(f"{function.__name__} takes {len(names)} arguments, got {len(arguments)}")

    def compile_for(arguments):
        count(arguments)
        dtype = getattr(arguments[at], "dtype", None)
        if dtype not in ("float32", "float64"):
            raise TypeError(
                f"{function.__name__}: {by} must be an array of float32 or float64, got {dtype or arguments[at]!r:.50}"
            )
        found = tuple(map(numba.typeof, arguments))
        seen = tuple(map(seen_by_kernels, found))
        for name, argument_type, is_taken in zip(names, found, seen):
            if not is_taken:
                raise TypeError(f"{function.__name__}: {name} must be an int, a float or a flat array, got {argument_type}")
        run = _compile(dispatcher, seen, found)
        signatures[dtype], compiled[dtype] = seen, run
        return run

    @functools.wraps(function)
    def call(*arguments):
        try:
            run = compiled[arguments[at].dtype]
        except (AttributeError, IndexError, KeyError):
            run = compile_for(arguments)
        try:
            run(*arguments)
        except TypeError:
            count(arguments)
            wanted = signatures[arguments[at].dtype]
            run(*(checked(*argument, f"{function.__name__}: {name}") for *argument, name in zip(arguments, wanted, names)))
        except RuntimeError:
            if pipeline is not None and parts.failures:
                raise parts.failures.pop() from None
            raise

    call.dispatcher = dispatcher
    return call


@contextmanager
def _garbage_left():
    """Leave garbage where it is: looking for it takes a tenth of a compilation, which makes millions of objects that stay."""
    is_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_on:
            gc.enable()


def _compile(dispatcher, signature, plain_signature):
    """What to call for arguments of this signature: the machine code, or numba's dispatcher where there is no guard, which knows
    numba's types alone."""
    if pipeline is None:
        return dispatcher
    try:
        with _garbage_left():
            machine_code = dispatcher.compile(plain_signature if pipeline.switched_off else signature)
    except Exception as error:  # a numba that has changed, or a mistake in a kernel, at which numba's own way fails too
        if pipeline.switched_off:
            raise
        pipeline.switched_off.append(repr(error))
        try:
            dispatcher.compile(plain_signature)
        except Exception:
            pipeline.switched_off.clear()
            raise
        _warn_plain(f"{type(error).__name__}: {error}".splitlines()[0])
    return dispatcher if pipeline.switched_off else machine_code
