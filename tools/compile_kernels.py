"""Compile all kernels for the level of x86-64 that the environment names, and link them to what fastbp's wheel carries.

Nothing of it is run, as this CPU may be below the level.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from fastbp.kernels import carried
from fastbp.kernels.toolchain import compile, pack


def main(level, names=()):
    """Write the library of a level, with all entries and parts or those of these names."""
    names = list(names) or list(compile.known())
    carried.FOLDER.mkdir(exist_ok=True)
    index, path = {}, carried.path_of(level)
    with tempfile.TemporaryDirectory() as folder:
        for dtype in pack.DTYPES:
            for name, made in compile.compile_all(names, dtype).items():
                (Path(folder) / f"{made.symbol}.o").write_bytes(made.code)
                index[f"{name} {dtype.name}"] = made.symbol, made.slots
        objects = sorted(Path(folder).glob("*.o"))
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-o", path, *objects, "-lm"], check=True)
    carried.write_index(path, index)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
