"""Object files on disk, which serve nobody what is stale, damaged or another's: they go by a digest of all that they rest on, and
are read only if their content's digest is right.
"""

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

from ..cpu import cpu_name, feature_string
from ..sources import SOURCES

_DIGEST_SIZE = hashlib.sha256().digest_size


class Object(NamedTuple):
    """An object file, with one C function."""

    code: bytes
    symbol: str  # its name
    slots: list[str]  # the names of its slots, see machine_code.py


def _key(name, dtype):
    return repr((name, dtype.name, *_rests_on())).encode()


def _rests_on():
    versions = _version("numba"), llvmlite.__version__, sys.platform
    return cpu_name(), feature_string(), versions, SOURCES


def kind():
    """A digest that two processes have in common if the same machine code serves both."""
    return hashlib.sha256(repr(_rests_on()).encode()).hexdigest()


def _version(distribution):
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def folders():
    """Where object files may lie, the preferred one first: as numba's cache, beside the sources or where users have caches."""
    if given := os.environ.get("NUMBA_CACHE_DIR"):
        return [pathlib.Path(given) / "fastbp"]
    home = pathlib.Path("~").expanduser()
    system = {"win32": os.environ.get("LOCALAPPDATA") or home / "AppData/Local", "darwin": home / "Library/Caches"}
    users = system.get(sys.platform, os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return [pathlib.Path(__file__).parents[1] / "__pycache__", pathlib.Path(users) / "fastbp"]


def _file_name(name, key):
    return f"{name}-{hashlib.sha256(key).hexdigest()[:32]}.kernel"


def load(name, dtype):
    """Return the Object of an entry or a part, or None if there is no sound one."""
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


def encoded(made):
    """An Object as bytes."""
    return json.dumps([made.symbol, made.slots]).encode() + b"\n" + made.code


def decoded(content):
    """The Object that was made these bytes."""
    head, _, code = content.partition(b"\n")
    return Object(code, *json.loads(head))


def save(name, dtype, made):
    """Store an Object, as a whole or not at all, or say once that it cannot be stored."""
    key = _key(name, dtype)
    content = encoded(made)
    for folder in folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            beside = folder / f"{uuid.uuid4().hex}.part"
            try:
                with open(beside, "xb") as file:  # may be read by whom the umask lets, unlike a file of tempfile's
                    file.write(hashlib.sha256(key + content).digest() + content)
                os.replace(beside, folder / _file_name(name, key))
                return
            except OSError:
                beside.unlink(missing_ok=True)
                raise
        except OSError as problem:
            error = problem
    _warn_unstored(error)


_warned = False


def _warn_unstored(error):
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"fastbp cannot store its compiled kernels ({error}), so every process compiles them anew; "
            "set NUMBA_CACHE_DIR to a folder that can be written.",
            RuntimeWarning,
            stacklevel=2,
        )
