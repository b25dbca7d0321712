"""What Python calls: an entry checks and packs its arguments, sees to it that its machine code and the parts it may call are
loaded, and calls it without the GIL.
"""

import ctypes
import functools
import inspect
import operator

from . import load, pack

_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_char_p)


class Entry:
    """An entry for both dtypes.

    Parameters
    ----------
    function : function
        The kernel; its parameters are annotated.
    parts : function or None
        Of some of the same parameters, by name: the names of the parts that a call with them may come to.
    all_parts : dict of str to function
    """

    def __init__(self, function, parts, all_parts):
        functools.update_wrapper(self, function)
        self.function = function
        self._fields = fields = pack.fields_of(function)
        names = list(fields)
        self._by = next(name for name, annotation in fields.items() if annotation == pack.Reals)
        self._at, self._parts = names.index(self._by), parts or (lambda *_: ())
        chosen = [names.index(name) for name in inspect.signature(parts).parameters] if parts else []
        self._choose = (
            (lambda arguments: tuple(arguments[k] for k in chosen)) if len(chosen) < 2 else operator.itemgetter(*chosen)
        )
        self._all_parts, self._ready = all_parts, {}

    def __call__(self, *arguments):
        """Call the machine code for the dtype of the first array of Reals."""
        try:
            pack_arguments, run, parts = self._ready[arguments[self._at].dtype]
            content = pack_arguments(*arguments)
        except (*pack.REFUSALS, LookupError):
            arguments = self._converted(arguments)
            pack_arguments, run, parts = self._prepared(arguments)
            content = pack_arguments(*arguments)
        needed = self._parts(*self._choose(arguments))
        if not parts.issuperset(needed):
            self._load(arguments[self._at].dtype, needed)
            parts.update(needed)
        run(content)
        if load.is_missing():
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
            self._load(dtype, self._parts(*self._choose(arguments)))
            address = load.address_of(self.__name__, dtype)
            self._ready[dtype] = pack.packer_of(self.function, dtype), _PROTOTYPE(address), set()
        return self._ready[dtype]

    def _load(self, dtype, parts):
        load.load_all({self.__name__: self.function, **{name: self._all_parts[name] for name in parts}}, dtype)
