"""The store: object files on disk, named after a digest of all that they were made from.

A file is read only if the digest of its content is right, and it is always replaced as a whole, so that outdated, damaged or
foreign files are never loaded.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import pathlib
import sys
import uuid
import warnings
from typing import NamedTuple

import llvmlite
import numpy as np

from ..cpu import cpu_name, feature_string
from ..sources import SOURCES

_DIGEST_SIZE = hashlib.sha256().digest_size
_has_warned = False


class Object(NamedTuple):
    """An object file with one C function."""

    code: bytes
    symbol: str  # the function's name
    slots: list[str]  # the names of the parts that it calls


def encoded(made):
    """Return the bytes of an Object."""
    return json.dumps([made.symbol, made.slots]).encode() + b"\n" + made.code


def decoded(content):
    """Return the Object with these bytes."""
    head, _, code = content.partition(b"\n")
    return Object(code, *json.loads(head))


def kind():
    """Return a digest that two processes have in common if the same machine code serves both."""
    try:
        numba = importlib.metadata.version("numba")
    except importlib.metadata.PackageNotFoundError:  # it is needed to compile only
        numba = ""
    depends_on = cpu_name(), feature_string(), numba, llvmlite.__version__, sys.platform, SOURCES
    return hashlib.sha256(repr(depends_on).encode()).hexdigest()


def folders():
    """Return where object files may be, the preferred folder first."""
    if given := os.environ.get("NUMBA_CACHE_DIR"):
        return [pathlib.Path(given) / "fastbp"]
    home = pathlib.Path("~").expanduser()
    system = {"win32": os.environ.get("LOCALAPPDATA") or home / "AppData/Local", "darwin": home / "Library/Caches"}
    users = system.get(sys.platform, os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return [pathlib.Path(__file__).parents[1] / "__pycache__", pathlib.Path(users) / "fastbp"]


def _key(name, dtype):
    return f"{name} {dtype.name} {kind()}".encode()


def _file_name(name, key):
    return f"{name}-{hashlib.sha256(key).hexdigest()[:32]}.kernel"


def load(name, dtype):
    """Return the Object of an entry or a part, or None if no folder has a sound file of it."""
    key = _key(name, dtype)
    for folder in folders():
        try:
            stored = (folder / _file_name(name, key)).read_bytes()
        except OSError:
            continue
        digest, content = stored[:_DIGEST_SIZE], stored[_DIGEST_SIZE:]
        if digest == hashlib.sha256(key + content).digest():
            return decoded(content)
    return None


def save(name, dtype, made):
    """Store an Object, as a whole or not at all; warn once if no folder can be written."""
    global _has_warned
    key, content = _key(name, dtype), encoded(made)
    for folder in folders():
        part = folder / f"{uuid.uuid4().hex}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(hashlib.sha256(key + content).digest() + content)
            os.replace(part, folder / _file_name(name, key))
            return
        except OSError as problem:
            error = problem
            with contextlib.suppress(OSError):
                part.unlink()
    if not _has_warned:
        _has_warned = True
        warnings.warn(
            f"fastbp cannot store its compiled kernels ({error}), so every process compiles them anew; "
            "set NUMBA_CACHE_DIR to a folder that can be written.",
            RuntimeWarning,
            stacklevel=2,
        )


# ---- one process compiles for several


@contextlib.contextmanager
def lock():
    """Let one process at a time compile for the store. If files cannot be locked, as on Windows, nobody waits."""
    with contextlib.ExitStack() as stack:
        for folder in folders():
            with contextlib.suppress(ImportError, OSError):
                import fcntl

                folder.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(open(folder / f"{kind()}.lock", "ab"))
                fcntl.flock(file, fcntl.LOCK_EX)  # the system unlocks it when this process ends, even if it is killed
                break
        yield


def stored(names):
    """Return the bytes of what the store has of these pairs of a name and a dtype."""
    found = {(name, dtype): load(name, np.dtype(dtype)) for name, dtype in names}
    return {pair: encoded(made) for pair, made in found.items() if made is not None}


def take(contents):
    """Store what a process of the same kind has returned from `stored`."""
    for (name, dtype), content in contents.items():
        save(name, np.dtype(dtype), decoded(content))
