"""How numba is made to compile: every kernel as far as IR, every entry with all kernels it calls as one piece of machine code."""

from llvmlite.binding import Linkage, parse_assembly
from numba import types
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import PassManager

from .boundary import guard

WRAPPER = "_ZN7cpython"  # how the name of the function that Python calls begins

switched_off: list[str] = []  # why numba compiles as it does without us, if it does
apart: set[str] = set()  # parts of the symbols that stay functions of their own
typed_once = set()  # functions whose guard looks at the arguments


# Passes of numba's for what no kernel has: with-blocks, closures, expressions of whole arrays, overloads to inline, branches that
# the types decide, and objects to delete where they are no longer used.
NEEDLESS = {
    "with_lifting",
    "inline_closure_likes",
    "dead_branch_prune",
    "inline_overloads",
    "nopython_rewrites",
    "ir_legalization",
}


_signatures: dict = {}  # of calls, by what is called and the types of the arguments
_sizes: dict = {}  # of LLVM's types


class _Remembering:
    """numba's typing context, which remembers the signature of a call: numba looks it up anew in each round of its inference and
    for each function (measured: 10 % of a first fit)."""

    def __init__(self, context):
        self.context = context

    def __getattr__(self, name):
        return getattr(self.context, name)

    def resolve_function_type(self, function, arguments, keywords):
        """The signature of a call; that of another kernel is asked for, as this is when it is compiled."""
        if keywords or isinstance(function, types.Dispatcher):
            return self.context.resolve_function_type(function, arguments, keywords)
        key = function, tuple(arguments)
        if key not in _signatures:
            _signatures[key] = self.context.resolve_function_type(function, arguments, keywords)
        return _signatures[key]


def _remember_sizes(context):
    """Have numba's target context ask LLVM once for the size of a type, not for each variable (measured: 2 % of a first fit)."""
    ask = context.get_abi_sizeof

    def look_up(llvm_type):
        if llvm_type not in _sizes:
            _sizes[llvm_type] = ask(llvm_type)
        return _sizes[llvm_type]

    context.get_abi_sizeof = look_up


class KernelCompiler(Compiler):
    """numba's compiler without its needless passes (measured: 5 % of a first fit) and its repetitions."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        if not switched_off:
            self.state.typingctx = _Remembering(self.state.typingctx)
            _remember_sizes(self.state.targetctx)

    def define_pipelines(self):
        """The passes, in numba's order."""
        (numbas,) = super().define_pipelines()
        if switched_off:
            return [numbas]
        manager = PassManager("fastbp kernel")
        manager.passes.extend((each, text) for each, text in numbas.passes if each.name() not in NEEDLESS)
        manager.finalize()
        return [manager]


class InnerCompiler(KernelCompiler):
    """Compiles as far as unoptimised IR, which the entry that calls it links in, optimises and turns to machine code once.

    numba would do all that for every function and again for each of its callers (measured, all kernels in both dtypes: with the
    optimisation 1.8 times as long, with the machine code 1.25 times). Making machine code also transforms the IR that the callers
    take in, which gained very small networks up to 5 %; LLVM's loop strength reduction alone gives most of that back, but aborts
    for vectors of 128 and 256 bits.
    """

    def __init__(self, typing_context, target_context, library, *arguments):
        if not switched_off:
            library = _new_library(target_context)

            def keep_as_it_is():
                library._finalized = True

            library._optimize_final_module = lambda: None
            library._finalize_final_module = keep_as_it_is
        super().__init__(typing_context, target_context, library, *arguments)
        self.state.flags.no_compile = not switched_off

    def compile_extra(self, function):
        """Compile, and let callers find the result, which numba leaves to the step that makes machine code."""
        result = super().compile_extra(function)
        if self.state.flags.no_compile:
            result = result._replace(entry_point=[].copy)  # never called: numba wants a builtin here, another for each function
            self.state.targetctx.insert_user_function(result.entry_point, result.fndesc, [result.library])
        return result


class EntryCompiler(KernelCompiler):
    """Makes the functions linked into an entry internal to it before they are optimised, and puts the guard before it.

    LLVM may then drop the arguments that a function does not use (measured, when an array was seven words and they were pushed by
    the hundred: 375 ns instead of 108 ns for a sample through a 1-1-1 network, and 20 s instead of 30 s for all kernels).
    """

    is_prepared = False

    def __init__(self, typing_context, target_context, library, argument_types, *arguments):
        if not switched_off:
            library = _new_library(target_context)
            optimize = library._optimize_final_module

            def prepare_and_optimize():
                self._prepare(library, argument_types)
                optimize()

            library._optimize_final_module = prepare_and_optimize
        super().__init__(typing_context, target_context, library, argument_types, *arguments)

    def _prepare(self, library, argument_types):
        module = library._final_module
        names = self._open(module, argument_types)
        for function in module.functions:
            if not function.is_declaration and function.linkage == Linkage.linkonce_odr:
                function.linkage = Linkage.internal
                if any(part in function.name for part in apart):
                    function.add_function_attribute("noinline")
        # What a cached library is linked into others by, and known by; none takes in an entry (measured: 30 of 80 ms of loading).
        known = "\n".join(f'define void @"{name}"() {{ ret void }}' for name in names)
        library._get_module_for_linking = lambda: parse_assembly(known)
        self.is_prepared = True

    def _open(self, module, argument_types):
        """Put the guard before what Python calls, and return its name, alone."""
        wrapper = next(f for f in module.functions if not f.is_declaration and f.name.startswith(WRAPPER))
        name, guarded = wrapper.name, wrapper.name + "_guarded"
        wrapper.name = guarded
        wrapper.add_function_attribute("noinline")
        checked_types = argument_types if self._function in typed_once else None
        module.link_in(parse_assembly(str(guard(name, guarded, checked_types))))
        wrapper.linkage = Linkage.internal
        return [name]

    def compile_extra(self, function):
        """Compile, and make sure that what is called has been prepared."""
        self._function = function
        result = super().compile_extra(function)
        if not (self.is_prepared or switched_off):
            raise RuntimeError("the library's _optimize_final_module is not called")
        return result


class PartCompiler(EntryCompiler):
    """The same for what other machine code calls, by its address: without a guard, as it runs behind that of an entry."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.state.flags.no_cpython_wrapper = not switched_off

    def _open(self, module, argument_types):
        """Leave the function itself to be found, beside one for Python that numba wants but nobody calls; return both names."""
        symbol = symbol_of(self._function)
        (function,) = [f for f in module.functions if not f.is_declaration and symbol in f.name]
        function.linkage = Linkage.external
        name = WRAPPER + function.name.removeprefix("_ZN")
        module.link_in(parse_assembly(f'define ptr @"{name}"(ptr, ptr, ptr) {{ ret ptr null }}'))
        return [function.name, name]


def address_of(dispatcher, argument_types):
    """Address of the machine code of a compiled part."""
    result = dispatcher.overloads[argument_types]
    return result.library.get_pointer_to_function(result.fndesc.llvm_func_name)


def symbol_of(function):
    """The name of a function as its mangled symbol holds it."""
    return f"{len(function.__name__)}{function.__name__}B"


def _new_library(target_context):
    library = target_context.codegen().create_library("fastbp kernel")
    library.enable_object_caching()
    return library


def compile_once_per_dtype(dispatcher):
    """Keep numba from compiling a function anew for every literal argument."""
    get_call_template = dispatcher.get_call_template
    dispatcher.get_call_template = lambda args, kws: get_call_template(
        tuple(types.unliteral(a) for a in args), {name: types.unliteral(a) for name, a in kws.items()}
    )
    return dispatcher
