"""Data larger than memory: partial_fit on memory-mapped blocks, with the memory that it takes.

The table is in two .npy files. Each block is mapped, trained on without a copy, and unmapped. So training needs the memory of one
block, however long the file is. For comparison, the whole file is loaded first. The weights are the same, bit for bit.
"""

import argparse
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np

from fastbp import BPClassifier, warm_up

N_FEATURES = 100
BLOCK_ROWS = 20_000  # 8 MB of float32


def write_table(folder, n_rows):
    """Write X.npy, (n_rows, N_FEATURES) float32, and y.npy, block by block."""
    generator = np.random.default_rng(0)
    X = np.lib.format.open_memmap(folder / "X.npy", mode="w+", dtype=np.float32, shape=(n_rows, N_FEATURES))
    y = np.lib.format.open_memmap(folder / "y.npy", mode="w+", dtype=np.int8, shape=(n_rows,))
    for start in range(0, n_rows, BLOCK_ROWS):
        block = generator.standard_normal((min(BLOCK_ROWS, n_rows - start), N_FEATURES), dtype=np.float32)
        X[start : start + BLOCK_ROWS] = block
        y[start : start + BLOCK_ROWS] = np.hypot(block[:, 0], block[:, 1]) > 1.18  # half of the rows, and no straight border


def blocks_on_disk(folder):
    """Yield (X, y) of each block. Each has a map of its own: its pages leave memory with it."""
    n_rows = len(np.load(folder / "y.npy", mmap_mode="r"))
    for start in range(0, n_rows, BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        yield np.load(folder / "X.npy", mmap_mode="r")[block], np.load(folder / "y.npy", mmap_mode="r")[block]


def blocks_in_memory(folder):
    """Yield the same blocks of the files loaded as a whole."""
    X, y = np.load(folder / "X.npy"), np.load(folder / "y.npy")
    for start in range(0, len(X), BLOCK_ROWS):
        yield X[start : start + BLOCK_ROWS], y[start : start + BLOCK_ROWS]


def train(blocks, after_block=lambda: None):
    """Return a network trained for one epoch on each block."""
    model = BPClassifier(hidden_layer_sizes=(16,), batch_size=200, learning_rate_init=0.003, random_state=0)
    for X, y in blocks:
        model.partial_fit(X, y, classes=[0, 1])
        after_block()
    return model


def megabytes_in_use():
    """Return the memory of this process that is in RAM, pages of mapped files included."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
    # elsewhere the highest so far: in bytes on macOS, in kilobytes on other systems
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a file of 50 MB instead of 400 MB")
    parser.add_argument("--output", metavar="FILE.png", default="larger_than_memory.png", help="where the picture goes")
    arguments = parser.parse_args()
    import matplotlib.pyplot as plt  # here, so that train can be used without it

    n_rows = 125_000 if arguments.quick else 1_000_000
    megabytes = n_rows * N_FEATURES * 4 / 2**20
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_table(folder, n_rows)
        warm_up()  # the kernels are loaded before memory is counted
        before, models, use = megabytes_in_use(), [], []
        for blocks in (blocks_on_disk, blocks_in_memory):
            curve = []
            models.append(train(blocks(folder), lambda curve=curve: curve.append(megabytes_in_use() - before)))
            use.append(curve)
    on_disk, in_memory = models
    generator = np.random.default_rng(1)
    X_test = generator.standard_normal((10_000, N_FEATURES), dtype=np.float32)
    y_test = np.hypot(X_test[:, 0], X_test[:, 1]) > 1.18
    print(f"file of {megabytes:.0f} MB, {len(use[0])} blocks of {BLOCK_ROWS} rows")
    print(f"memory taken by training, at most: {max(use[0]):.0f} MB block by block, {max(use[1]):.0f} MB with the file loaded")
    weights = zip(on_disk.coefs_ + on_disk.intercepts_, in_memory.coefs_ + in_memory.intercepts_, strict=True)
    print("same weights, bit for bit:", all(one.tobytes() == other.tobytes() for one, other in weights))
    print(f"accuracy on 10000 new rows: {on_disk.score(X_test, y_test):.3f}")

    figure, axes = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
    rows_seen = np.minimum(np.arange(1, len(use[0]) + 1) * BLOCK_ROWS, n_rows) / 1000
    axes.axhline(megabytes, color="grey", linestyle=":", label="size of the file")
    axes.plot(rows_seen, use[1], "s-", color="C3", markersize=4, label="the file loaded first")
    axes.plot(rows_seen, use[0], "o-", color="C0", markersize=4, label="block by block from disk")
    axes.set(xlabel="thousand rows seen", ylabel="memory taken by training (MB)", ylim=(0, 1.25 * max(megabytes, *use[1])))
    axes.legend(loc="upper center", ncols=3, frameon=False)
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
