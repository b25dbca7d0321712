"""Kernels that a wheel carries: machine code for a level of x86-64, made where the wheel was built (tools/build_wheel.py).

A carried kernel goes by a digest of all that its machine code rests on. For another CPU, another numba or other sources there is
none by that name, and the kernel is compiled.
"""

import hashlib
import importlib.machinery
import pathlib
import pickle

import llvmlite
import numba
import numpy as np
from numba.core import config
from numba.core.serialize import dumps

from . import pipeline
from .cpu import LEVEL
from .sources import SOURCES

FOLDER = pathlib.Path(__file__).with_name("carried_kernels")

_DIGEST_SIZE = hashlib.sha256().digest_size
# A CPU's name or features from the environment may be less, or other, than its level has; the others change what is compiled.
_IS_OF_THE_HOST = config.CPU_NAME is None and config.CPU_FEATURES is None and not config.BOUNDSCHECK


def find(function, signature):
    """Return what numba rebuilds a compiled function from, or None if none is carried; raises what a damaged file may."""
    if LEVEL is None or not _IS_OF_THE_HOST or pipeline.switched_off:
        return None
    path, key = _where(function, signature)
    try:
        stored = path.read_bytes()
    except OSError:  # most often there is none; a package in a zip file has no folder
        return None
    digest, content = stored[:_DIGEST_SIZE], stored[_DIGEST_SIZE:]
    if digest != hashlib.sha256(key.encode() + content).digest():
        return None
    stored_signature, data = pickle.loads(content)
    return data if stored_signature == signature else None


def carry(dispatcher, signature, folder):
    """Write what a dispatcher has compiled for a signature, in a process in which numba compiles for a level of x86-64."""
    path, key = _where(dispatcher.py_func, signature)
    content = dumps((signature, dispatcher._cache._impl.reduce(dispatcher.overloads[signature])))
    (folder / path.name).write_bytes(hashlib.sha256(key.encode() + content).digest() + content)


def _where(function, signature):
    """The file of a carried kernel, and the text of all that its machine code rests on, by whose digest it goes."""
    versions = numba.__version__, llvmlite.__version__, np.__version__.split(".")[0]  # NumPy's ABI: where an array has its fields
    python = importlib.machinery.EXTENSION_SUFFIXES[0]  # names the version, its ABI and the platform
    key = repr((function.__module__, function.__qualname__, signature, LEVEL, versions, python, SOURCES))
    return FOLDER / f"{function.__name__}-{hashlib.sha256(key.encode()).hexdigest()[:32]}.kernel", key
