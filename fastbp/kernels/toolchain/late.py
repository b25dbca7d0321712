"""numba, llvmlite and the modules that use them, which are imported when something is compiled and not before."""

import importlib


class _Late:
    """Stands for a module, and imports it at the first access to an attribute."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, name):
        value = getattr(importlib.import_module(self._name), name)
        setattr(self, name, value)
        return value


ir, types = _Late("llvmlite.ir"), _Late("numba.types")
seen = _Late("fastbp.kernels.toolchain.types")  # our own numba types
compiling = _Late("fastbp.kernels.toolchain.compile")
code = _Late("fastbp.kernels.toolchain.machine_code")
