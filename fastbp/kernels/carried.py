"""The machine code in a wheel: a shared library per level of x86-64, made by tools/build_wheel.py.

Its name has a digest of the sources. If there is none for these sources and this CPU, kernels are compiled.
"""

import ctypes
import functools
import hashlib
import json
import os
import pathlib

from .cpu import LEVEL
from .sources import SOURCES

FOLDER = pathlib.Path(__file__).with_name("carried_kernels")


def path_of(level):
    """Path of the library of a level; its index is beside it."""
    return FOLDER / f"{level}-{SOURCES[:32]}.so"


@functools.cache
def library():
    """Return the library for this CPU and its index, symbol and slots by name and dtype; (None, {}) if there is none."""
    # a CPU that the environment names may lack features of this CPU's level
    if LEVEL is None or "NUMBA_CPU_NAME" in os.environ or "NUMBA_CPU_FEATURES" in os.environ:
        return None, {}
    path = path_of(LEVEL)
    try:
        digest, index = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return None, {}
        return ctypes.CDLL(str(path)), index
    except (OSError, ValueError, TypeError):  # no such file, a damaged one, or the package is in a zip file
        return None, {}


def write_index(path, index):
    """Write the index of a library beside it."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps([digest, index]), encoding="utf-8")
