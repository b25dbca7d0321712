"""Compile kernels for the level of x86-64 that the environment names, and put them where fastbp's wheel carries them.

The first process compiles what `fastbp.warm_up` calls and writes down for which types; one for a level that this CPU may be
below compiles the same and runs nothing.
"""

import importlib
import pickle
import pkgutil
import sys
from pathlib import Path

from numba.core.serialize import dumps

import fastbp.kernels
from fastbp.kernels import carried, compiler, pipeline


def kernels():
    """All dispatchers of entries and parts by their names."""
    modules = [importlib.import_module(f"fastbp.kernels.{found.name}") for found in pkgutil.iter_modules(fastbp.kernels.__path__)]
    entries = [entry for module in modules for entry in getattr(module, "ENTRIES", ())]
    return {f"{kernel.py_func.__module__}.{kernel.py_func.__name__}": kernel for kernel in (*entries, *compiler.PARTS)}


def main(path):
    """Compile for the types in the file `path`, which the first process writes, and store the machine code."""
    found = kernels()
    if not path.exists():
        fastbp.warm_up()
        path.write_bytes(dumps({name: kernel.signatures for name, kernel in found.items()}))
    carried.FOLDER.mkdir(exist_ok=True)
    for name, signatures in pickle.loads(path.read_bytes()).items():
        for signature in signatures:
            found[name].compile(signature)
            carried.carry(found[name], signature, carried.FOLDER)
    if pipeline.switched_off:
        raise SystemExit(f"numba compiles the kernels in its own way: {pipeline.switched_off[0]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
