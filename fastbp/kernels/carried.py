"""Kernels that a wheel carries: a shared library for a level of x86-64, made where the wheel was built (tools/build_wheel.py).

It goes by a digest of the sources; for others, or another CPU, there is none, and kernels are compiled.
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
    """Where the library of a level lies, beside it an index."""
    return FOLDER / f"{level}-{SOURCES[:32]}.so"


@functools.cache
def library():
    """Return the library for this CPU, and by name and dtype symbol and slots of what is in it; (None, {}) without one."""
    # a CPU's name or features from the environment may be less, or other, than its level has
    if LEVEL is None or "NUMBA_CPU_NAME" in os.environ or "NUMBA_CPU_FEATURES" in os.environ:
        return None, {}
    path = path_of(LEVEL)
    try:
        digest, index = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return None, {}
        return ctypes.CDLL(str(path)), index
    except (OSError, ValueError, TypeError):  # there is none, most often, or it is damaged; a zip file has no folder
        return None, {}


def write_index(path, index):
    """Write what is in a library beside it."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps([digest, index]), encoding="utf-8")
