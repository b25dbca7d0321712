"""The one decorator of all compiled functions."""

import functools
import inspect

import numpy as np
from llvmlite.binding import Linkage, parse_assembly
from numba import njit, types
from numba.core import config
from numba.core.compiler import Compiler
from numba.extending import intrinsic

from .boundary import checked, guard, is_for_entries
from .cache import KernelCache, warn_uncached

# Fused multiply-adds and nothing else: nnan/ninf would delete the tests on which the divergence error rests, and reassoc the
# rounding by a large constant inside the exponential; sums worth vectorising are written on vectors.
FASTMATH = {"contract"}


IS_INTERPRETED = bool(config.DISABLE_JIT)  # the kernels run as the Python code they are, slowly, for a debugger to step through


def primitive(meaning):
    """Make an intrinsic, whose LLVM the decorated function writes; `meaning` does the same in NumPy, a Vector being an array."""

    def make(emit):
        if IS_INTERPRETED:
            return meaning
        made = intrinsic(emit)
        made.meaning = meaning
        return made

    return make


class _InnerCompiler(Compiler):
    """Compiles as far as unoptimised IR, which the entry that calls it links in, optimises and turns to machine code once.

    numba would do all that for every function and again for each of its callers (measured, all kernels in both dtypes: with the
    optimisation 1.8 times as long, with the machine code 1.25 times). Making machine code also transforms the IR that the callers
    take in, which gained very small networks up to 5 %; LLVM's loop strength reduction alone gives most of that back, but aborts
    for vectors of 128 and 256 bits.
    """

    def __init__(self, typing_context, target_context, library, *arguments):
        library = _new_library(target_context)

        def keep_as_it_is():
            library._finalized = True

        library._optimize_final_module = lambda: None
        library._finalize_final_module = keep_as_it_is
        super().__init__(typing_context, target_context, library, *arguments)
        self.state.flags.no_compile = True

    def compile_extra(self, function):
        """Compile, and let callers find the result, which numba leaves to the step that makes machine code."""
        result = super().compile_extra(function)
        result = result._replace(entry_point=[].copy)  # never called: numba wants a builtin here, another for each function
        self.state.targetctx.insert_user_function(result.entry_point, result.fndesc, [result.library])
        return result


class _EntryCompiler(Compiler):
    """Makes the functions linked into an entry internal to it before they are optimised, and puts the guard before it.

    LLVM may then drop the arguments that a function does not use; an array is seven words, and they were pushed by the hundred
    (measured: 375 ns instead of 108 ns for a sample through a 1-1-1 network, and 20 s instead of 30 s for all kernels).
    """

    def __init__(self, typing_context, target_context, library, argument_types, *arguments):
        library = _new_library(target_context)
        optimize = library._optimize_final_module

        def make_internal_and_optimize():
            module = library._final_module
            wrapper = next(f for f in module.functions if not f.is_declaration and f.name.startswith(_WRAPPER))
            name, guarded = wrapper.name, wrapper.name + "_guarded"
            wrapper.name = guarded
            wrapper.add_function_attribute("noinline")
            is_typed_once = self.state.func_id.func in _TYPED_ONCE
            module.link_in(parse_assembly(str(guard(name, guarded, argument_types if is_typed_once else None))))
            wrapper.linkage = Linkage.internal
            for function in module.functions:
                if not function.is_declaration and function.linkage == Linkage.linkonce_odr:
                    function.linkage = Linkage.internal
                    if any(name in function.name for name in _APART):
                        function.add_function_attribute("noinline")
            # What a cached library is linked into others by; none takes in an entry (measured: 30 of 80 ms of loading).
            library._get_module_for_linking = lambda: parse_assembly(f'define void @"{name}"() {{ ret void }}')
            optimize()

        library._optimize_final_module = make_internal_and_optimize
        super().__init__(typing_context, target_context, library, argument_types, *arguments)


_WRAPPER = "_ZN7cpython"  # how the name of the function that Python calls begins


def _new_library(target_context):
    library = target_context.codegen().create_library("fastbp kernel")
    library.enable_object_caching()
    return library


def _compile_once_per_dtype(dispatcher):
    """Keep numba from compiling a function anew for every literal argument."""
    get_call_template = dispatcher.get_call_template
    dispatcher.get_call_template = lambda args, kws: get_call_template(
        tuple(types.unliteral(a) for a in args), {name: types.unliteral(a) for name, a in kws.items()}
    )
    return dispatcher


# Kernels allocate nothing, so they need no reference counts (_nrt; measured: a fifth of a sample's time).
_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": FASTMATH, "no_cfunc_wrapper": True, "_nrt": False}


def jit(function, **options):
    """Compile a function that only other kernels call; Python must not."""
    if IS_INTERPRETED:
        return function
    options = {"no_cpython_wrapper": True, "pipeline_class": _InnerCompiler, **_OPTIONS, **options}
    return _compile_once_per_dtype(njit(**options)(function))


def inline(function):
    """The same for what the per-sample loop calls: a call costs as much there as the arithmetic (measured: 5 to 8 % of a fit)."""
    return jit(function, forceinline=True)


_APART: set[str] = set()  # parts of symbols


def apart(function):
    """The same for what stays a function of its own in the machine code: one function of everything takes LLVM a quarter longer
    (measured: 10.4 s instead of 12.6 s for a first fit)."""
    _APART.add(f"{len(function.__name__)}{function.__name__}")  # as a mangled name holds it
    return jit(function)


def entry(function):
    """Compile a function that Python calls, and keep its machine code on disk."""
    if IS_INTERPRETED:
        return _interpreted(function)
    dispatcher = njit(pipeline_class=_EntryCompiler, **_OPTIONS)(function)
    try:
        dispatcher._cache = KernelCache(function)
    except RuntimeError as error:  # numba finds no folder to write to
        warn_uncached(error)
    return dispatcher


def _interpreted(function):
    """An entry that is not compiled: as silent about overflow as machine code is."""

    @functools.wraps(function)
    def call(*arguments):
        with np.errstate(all="ignore"):
            return function(*arguments)

    call.dispatcher, call.signatures = call, ()
    return call


_TYPED_ONCE = set()


def typed_once(dispatcher, by="params"):
    """Return what calls an entry whose arguments have the types that the dtype of one of them asks for, always.

    numba looks at the type of every element of every argument at every call (measured: 9 of the 10 µs that a call of `train`
    costs beside its work, with the GIL held). Here the first call for a dtype decides, and the entry's guard compares the others
    with it. An argument that is another number or array is converted, any other raises a TypeError that names it.
    """
    if IS_INTERPRETED:
        return dispatcher
    function = dispatcher.py_func
    _TYPED_ONCE.add(function)
    names = list(inspect.signature(function).parameters)
    at, compiled, signatures = names.index(by), {}, {}

    def compile_for(arguments):
        dtype = getattr(arguments[at], "dtype", None)
        if dtype not in ("float32", "float64"):
            raise TypeError(
                f"{function.__name__}: {by} must be an array of float32 or float64, got {dtype or arguments[at]!r:.50}"
            )
        found = tuple(map(dispatcher.typeof_pyval, arguments))
        for name, argument_type in zip(names, found):
            if not is_for_entries(argument_type):
                raise TypeError(f"{function.__name__}: {name} must be an int, a float or a flat array, got {argument_type}")
        signatures[dtype], compiled[dtype] = found, dispatcher.compile(found)
        return compiled[dtype]

    @functools.wraps(function)
    def call(*arguments):
        if len(arguments) != len(names):
            raise TypeError(f"{function.__name__} takes {len(names)} arguments, got {len(arguments)}")
        try:
            run = compiled[arguments[at].dtype]
        except (AttributeError, KeyError):
            run = compile_for(arguments)
        try:
            run(*arguments)
        except TypeError:
            wanted = signatures[arguments[at].dtype]
            run(*(checked(*argument, f"{function.__name__}: {name}") for *argument, name in zip(arguments, wanted, names)))

    call.dispatcher = dispatcher
    return call
