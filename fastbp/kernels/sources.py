"""The digest of all sources that machine code is made from."""

import hashlib
import importlib.resources
import pathlib


def _hash_of_sources() -> str:
    """Digest of kernels, formulas, and the codes in names: of source files or bytecode, in folders or a zip file."""
    package, suffix = importlib.resources.files("fastbp"), pathlib.Path(__file__).suffix
    digest = hashlib.sha256()
    paths = {"names": package / f"names{suffix}"}
    for folder in ("functions", "kernels"):
        for path in package.joinpath(folder).iterdir():
            if path.name.endswith(suffix):
                paths[f"{folder}/{path.name}"] = path
    for name in ("machine_code", "pack", "types"):
        paths[name] = package.joinpath("kernels", "toolchain", name + suffix)
    for name in sorted(paths):
        digest.update(name.encode() + b"\0" + paths[name].read_bytes())
    return digest.hexdigest()


SOURCES = _hash_of_sources()
