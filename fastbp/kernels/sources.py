"""What the machine code is made from."""

import hashlib
import importlib.resources
import pathlib


def _hash_of_sources() -> str:
    """Of all that is compiled: the kernels and the codes in names, be they source files, bytecode alone, or in a zip file."""
    package, suffix = importlib.resources.files("fastbp"), pathlib.Path(__file__).suffix
    digest = hashlib.sha256()
    kernels = package.joinpath("kernels")
    paths = [path for path in kernels.iterdir() if path.name.endswith(suffix)] + [package / f"names{suffix}"]
    paths += [kernels.joinpath("toolchain", name + suffix) for name in ("machine_code", "pack", "types")]
    for path in sorted(paths, key=lambda path: path.name):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


SOURCES = _hash_of_sources()
