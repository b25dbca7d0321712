"""What Python calls: an entry packs its arguments, loads the machine code that they need, and calls it without the GIL."""

import ctypes
import functools
import inspect

from . import load, pack

_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_char_p)


class Entry:
    """An entry, for both dtypes.

    Parameters
    ----------
    function : function
        The kernel, with annotated parameters.
    needed : function or None
        Takes some of the same parameters, by name, and returns the names of the parts that a call with them may need.
    parts : dict of str to function
        All parts by name.
    """

    def __init__(self, function, needed, parts):
        functools.update_wrapper(self, function)
        self.function, self._parts, self._ready = function, parts, {}
        self._fields = fields = pack.fields_of(function)
        self._by = next(name for name, annotation in fields.items() if annotation == pack.Reals)
        self._at = list(fields).index(self._by)
        call = f"needed({', '.join(inspect.signature(needed).parameters)})" if needed else "()"
        self._needed = eval(f"lambda {', '.join(fields)}: {call}", {"needed": needed})

    def __call__(self, *arguments):
        """Call the machine code for the dtype of the first array of Reals."""
        try:
            pack_arguments, run, loaded = self._ready[arguments[self._at].dtype]
            struct = pack_arguments(*arguments)
        except (*pack.REFUSALS, LookupError):
            arguments = self._converted(arguments)
            pack_arguments, run, loaded = self._prepared(arguments)
            struct = pack_arguments(*arguments)
        needed = self._needed(*arguments)
        if not loaded.issuperset(needed):
            self._load(arguments[self._at].dtype, needed)
            loaded.update(needed)
        run(struct)
        if load.missing.value:
            load.missing.value = 0
            raise RuntimeError(f"{self.__name__} came to a part that was not expected of these arguments: see kernels/needs.py")

    def _converted(self, arguments):
        name, fields = self.__name__, self._fields
        if len(arguments) != len(fields):
            raise TypeError(f"{name} takes {len(fields)} arguments, got {len(arguments)}")
        reals = getattr(arguments[self._at], "dtype", None)
        if reals not in pack.DTYPES:
            got = reals or repr(arguments[self._at])[:50]
            raise TypeError(f"{name}: {self._by} must be an array of float32 or float64, got {got}")
        reals = pack.DTYPES[pack.DTYPES.index(reals)]
        return [pack.converted(value, fields[f], reals, f"{name}: {f}") for value, f in zip(arguments, fields)]

    def _prepared(self, arguments):
        dtype = arguments[self._at].dtype
        if dtype not in self._ready:
            self._load(dtype, self._needed(*arguments))
            address = load.address_of(self.__name__, dtype)
            self._ready[dtype] = pack.packer_of(self.function, dtype), _PROTOTYPE(address), set()
        return self._ready[dtype]

    def _load(self, dtype, names):
        load.load_all({self.__name__: self.function, **{name: self._parts[name] for name in names}}, dtype)
