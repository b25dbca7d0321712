"""What the machine code is made from, and what to say where it cannot be kept."""

import hashlib
import importlib.resources
import pathlib
import warnings


def _hash_of_sources() -> str:
    """Of all that is compiled: the kernels and the codes in names, be they source files, bytecode alone, or in a zip file."""
    package, suffix = importlib.resources.files("fastbp"), pathlib.Path(__file__).suffix
    digest = hashlib.sha256()
    paths = [path for path in package.joinpath("kernels").iterdir() if path.name.endswith(suffix)] + [package / f"names{suffix}"]
    for path in sorted(paths, key=lambda path: path.name):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


SOURCES = _hash_of_sources()

_warned = False


def warn_uncached(error):
    """Say once what it costs that nothing can be cached."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"fastbp cannot store its compiled kernels ({error}), so every process compiles them anew; "
            "set NUMBA_CACHE_DIR to a folder that can be written.",
            RuntimeWarning,
            stacklevel=2,
        )
