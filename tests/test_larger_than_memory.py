"""Training on a file block by block takes the memory of a block, and gives the bits of training on the same blocks in memory.

Memory is the kernel's own count: the peak of the pages of the process that are in RAM (VmHWM), those of mapped files included. It
starts again with each process, unlike ru_maxrss, which a child may inherit from a larger parent.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
PATH = ROOT / "examples" / "larger_than_memory.py"
specification = importlib.util.spec_from_file_location(PATH.stem, PATH)
example = importlib.util.module_from_spec(specification)
N_ROWS = 525_000  # the last block is a short one
MEGABYTE = 2**20

specification.loader.exec_module(example)

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc"),
    pytest.mark.slow,
]

TRAIN = """
import hashlib, json, re, sys
from pathlib import Path
import numpy as np
import larger_than_memory
from fastbp import warm_up

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

name, folder = sys.argv[1:]
warm_up()  # loads the kernels
before = peak()
model = larger_than_memory.train(getattr(larger_than_memory, name)(Path(folder)))
growth = peak() - before
arrays = model.coefs_ + model.intercepts_
print(json.dumps({
    "growth": growth,
    "weights": hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest(),
    "finite": all(bool(np.isfinite(array).all()) for array in arrays),
    "parameters": sum(array.nbytes for array in arrays),
    "rows": int(model.t_),
}))
"""


def train(name, folder):
    path = os.pathsep.join(filter(None, [str(ROOT), str(ROOT / "examples"), os.environ.get("PYTHONPATH")]))
    run = subprocess.run(
        [sys.executable, "-c", TRAIN, name, str(folder)], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    example.write_table(folder, N_ROWS)
    yield folder
    for file in folder.iterdir():
        file.unlink()


def test_bounded_memory_and_the_same_bits(folder):
    size = (folder / "X.npy").stat().st_size
    assert size > 200 * MEGABYTE
    on_disk, in_memory = train("blocks_on_disk", folder), train("blocks_in_memory", folder)
    assert on_disk["finite"]
    assert on_disk["rows"] == in_memory["rows"] == N_ROWS
    assert on_disk["weights"] == in_memory["weights"]
    assert in_memory["growth"] > size  # the measure sees a file that is in memory
    assert on_disk["growth"] < 64 * MEGABYTE + 8 * on_disk["parameters"]


def test_the_blocks_are_the_rows_of_the_file_in_order(folder):
    """The bits agree for the right reason: no row is left out or repeated."""
    X = np.load(folder / "X.npy", mmap_mode="r")
    y = np.load(folder / "y.npy", mmap_mode="r")
    start = 0
    for X_block, y_block in example.blocks_on_disk(folder):
        stop = start + len(X_block)
        assert isinstance(X_block, np.memmap)
        assert 0 < X_block.nbytes <= 8 * MEGABYTE
        np.testing.assert_array_equal(X_block[[0, -1]], X[[start, stop - 1]])
        np.testing.assert_array_equal(y_block, y[start:stop])
        start = stop
    assert start == N_ROWS
