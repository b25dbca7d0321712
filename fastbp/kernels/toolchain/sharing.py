"""One process compiles for all: those that share a store wait for it, those of a cluster are sent what it has stored."""

import contextlib

import numpy as np

from .. import carried
from . import pack, store
from .late import compiling


def absent():
    """Names and dtypes of the kernels that this process would have to compile."""
    from .. import compiler

    if compiler.IS_INTERPRETED or compiler.IS_CHECKED:
        return []
    _, in_wheel = carried.library()
    pairs = [(name, dtype) for dtype in pack.DTYPES for name in compiling.known() if f"{name} {dtype.name}" not in in_wheel]
    return [(name, dtype.name) for name, dtype in pairs if store.load(name, dtype) is None]


@contextlib.contextmanager
def alone():
    """Let one process at a time compile for the store. Where files cannot be locked, nobody waits."""
    with contextlib.ExitStack() as stack:
        for folder in store.folders():
            with contextlib.suppress(ImportError, OSError):
                import fcntl  # not on Windows

                folder.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(open(folder / f"{store.kind()}.lock", "ab"))
                fcntl.flock(file, fcntl.LOCK_EX)  # the system unlocks it when this process ends, however that is
                break
        yield


def stored(names):
    """What the store has of these names and dtypes: {(name, dtype): bytes}."""
    found = {(name, dtype): store.load(name, np.dtype(dtype)) for name, dtype in names}
    return {key: store.encoded(made) for key, made in found.items() if made is not None}


def take(contents):
    """Store what another process of the same kind has stored."""
    for (name, dtype), content in contents.items():
        store.save(name, np.dtype(dtype), store.decoded(content))
