"""A cache of machine code on disk that cannot serve what is stale, damaged or another's."""

import hashlib
import itertools
import pathlib
import pickle
import types

import numba
from numba.core import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile
from numba.core.runtime import rtsys

from . import carried, pipeline
from .boundary import name_classes
from .sources import SOURCES, warn_uncached

_DIGEST_SIZE = hashlib.sha256().digest_size


class _Files(IndexDataCacheFile):
    """numba's files, an index (.nbi) and one with the machine code of each of its keys (.nbc), each behind a digest of the rest.

    One flipped bit in what is unpickled or handed to LLVM would end the process (measured: the digest takes 0.2 of 30 ms). The
    machine code comes with its key, so that neither files that changed places nor two processes that write at once can pass one
    dtype's code off as the other's.
    """

    def load(self, key):
        """Return the machine code of a key, or None; raises what a damaged file may."""
        name = self._load_index().get(key)
        stored_key, data = (None, None) if name is None else self._read(self._data_path(name))
        return data if stored_key == key else None

    def save(self, key, data):
        """Store the machine code of a key beside that of the others."""
        overloads = self._load_index() or self._found()
        taken = set(overloads.values())
        name = overloads.get(key) or next(name for name in map(self._data_name, itertools.count(1)) if name not in taken)
        self._write(self._data_path(name), (key, data))
        self._write(self._index_path, {**overloads, key: name})

    def _load_index(self):
        try:
            return self._read(self._index_path)
        except Exception:  # there is none, it is damaged, or its classes are gone
            return {}

    def _found(self):
        """An index of the sound files of machine code."""
        overloads = {}
        for path in pathlib.Path(self._cache_path).glob(self._data_name_pattern.replace("{number:d}", "*")):
            try:
                overloads[self._read(path)[0]] = path.name
            except Exception:
                continue
        return overloads

    def _read(self, path):
        stored = pathlib.Path(path).read_bytes()
        digest, content = stored[:_DIGEST_SIZE], stored[_DIGEST_SIZE:]
        if digest != self._digest(content):
            raise ValueError(f"{path} is damaged, or of another version")
        return pickle.loads(content)

    def _write(self, path, content):
        content = self._dump(content)
        with self._open_for_write(path) as file:
            file.write(self._digest(content) + content)

    def _digest(self, content):
        return hashlib.sha256(repr((numba.__version__, self._source_stamp)).encode() + content).digest()


class KernelCache(FunctionCache):
    """numba's disk cache, keyed on every file of this folder too, and indifferent to files it cannot read or write.

    numba tracks the file of the cached function only (numba issue 1833), and a truncated cache file raises at every start
    (10434). Before the disk it asks the wheel that fastbp may have come in.
    """

    _cache_path, _impl = "", None  # where numba finds no folder to write to

    def __init__(self, function):
        self._function = function
        try:
            super().__init__(_where_it_lies(function))
            self._cache_file = _Files(self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp())
        except RuntimeError as error:
            self.nowhere = error

    def _index_key(self, sig, codegen):
        return (*super()._index_key(sig, codegen), SOURCES, bool(config.BOUNDSCHECK), bool(pipeline.switched_off))

    def load_overload(self, sig, target_context):
        """Return the compiled function of a signature, or None if it must be compiled."""
        try:
            # Not super's method, which first fills numba's tables for compiling (measured: 0.15 of 0.2 s of a first fit).
            rtsys.initialize(target_context)
            name_classes(sig)
            return self._load_carried(sig, target_context) or (self._impl and self._load_overload(sig, target_context))
        except Exception:  # it is not there, damaged, or not what this numba takes
            return None

    def _load_carried(self, sig, target_context):
        try:
            data = carried.find(self._function, sig)
            return data and CompileResultCacheImpl.rebuild(self._impl, target_context, data)
        except Exception:  # what passed for sound is not
            return None

    def save_overload(self, sig, data):
        """Store a compiled function, or say once that it cannot be stored."""
        try:
            if self._impl is None:
                raise self.nowhere
            super().save_overload(sig, data)
        except Exception as error:  # of the disk, or of a numba that has changed
            warn_uncached(error)


def _where_it_lies(function):
    """The function with the path of its module in place of that of its source, which may not exist: numba looks for that file."""
    path = function.__globals__.get("__file__", function.__code__.co_filename)
    if path == function.__code__.co_filename:
        return function
    return types.FunctionType(function.__code__.replace(co_filename=path), function.__globals__, closure=function.__closure__)
