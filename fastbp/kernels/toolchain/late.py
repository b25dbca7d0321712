"""numba and llvmlite for those who write LLVM, and what is made of it, imported when something is compiled and not before."""

import importlib


class _Late:
    """A module that is imported when something of it is first asked for."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, name):
        value = getattr(importlib.import_module(self._name), name)
        setattr(self, name, value)
        return value


ir, types = _Late("llvmlite.ir"), _Late("numba.types")
seen = _Late("fastbp.kernels.toolchain.types")  # numba types of our own
compiling = _Late("fastbp.kernels.toolchain.compile")
code = _Late("fastbp.kernels.toolchain.machine_code")  # what makes objects of all this
