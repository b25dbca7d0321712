"""Training on Parquet in blocks: a network for a file that does not fit into the memory that the process may use.

Two passes read the file block by block with pyarrow. The first finds the mean and standard deviation of each column, with
`StandardScaler.partial_fit`. The second trains, with `partial_fit`. On Linux, training runs in a process of its own that may
allocate only a fraction of the size of the data. Reading the whole table at once fails there, which is shown too.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from sklearn.preprocessing import StandardScaler

from fastbp import BPClassifier, warm_up

N_FEATURES = 50
BLOCK_ROWS = 10_000  # 2 MB of float32
MEGABYTE = 2**20
LIMIT = 64 * MEGABYTE  # that training may allocate, beyond what the process has when it begins
NAMES = [f"x{column}" for column in range(N_FEATURES)]


def make_block(generator, n_rows):
    """Return (X, y): columns of different scales, and classes inside and outside of a circle."""
    X = generator.standard_normal((n_rows, N_FEATURES), dtype=np.float32)
    y = np.hypot(X[:, 0], X[:, 1]) > 1.18
    return X * np.logspace(-2, 3, N_FEATURES, dtype=np.float32), y


def write_table(path, n_rows):
    """Write the table block by block."""
    generator = np.random.default_rng(0)
    schema = pyarrow.schema([*((name, pyarrow.float32()) for name in NAMES), ("y", pyarrow.bool_())])
    with pyarrow.parquet.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for start in range(0, n_rows, BLOCK_ROWS):
            X, y = make_block(generator, min(BLOCK_ROWS, n_rows - start))
            writer.write_table(pyarrow.table([*X.T, y], schema=schema))


def blocks(path):
    """Yield (X, y) of each block."""
    with pyarrow.parquet.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=BLOCK_ROWS, use_threads=False):
            yield np.column_stack([batch.column(name) for name in NAMES]), np.asarray(batch.column("y"))


def train(path):
    """Return the scaler, the network, and the accuracy on each block before the network is trained on it."""
    scaler, model, scores = StandardScaler(), BPClassifier((16,), learning_rate_init=0.005, random_state=0), []
    for X, _ in blocks(path):
        scaler.partial_fit(X)
    for X, y in blocks(path):
        X = scaler.transform(X)
        if hasattr(model, "coefs_"):
            scores.append(model.score(X, y))
        model.partial_fit(X, y, classes=[False, True])
    return scaler, model, scores


def limit_memory():
    """Allow this process to allocate only LIMIT more from now on, on Linux; return whether that is so."""
    status = Path("/proc/self/status")
    if not status.exists():
        return False
    allocated = 1024 * int(status.read_text().split("VmData:")[1].split()[0])
    resource.setrlimit(resource.RLIMIT_DATA, (allocated + LIMIT, resource.RLIM_INFINITY))
    return True


def train_with_little_memory(path):
    """Print, as JSON, how training went with the limit, and whether the whole table can be read."""
    warm_up()  # the kernels are loaded before memory is limited
    is_limited = limit_memory()
    scaler, model, scores = train(path)
    X_test, y_test = make_block(np.random.default_rng(1), BLOCK_ROWS)
    try:
        pyarrow.parquet.read_table(path, use_threads=False, pre_buffer=False)
        is_readable = True
    except (MemoryError, OSError):
        is_readable = False
    accuracy = model.score(scaler.transform(X_test), y_test)
    print(json.dumps({"is_limited": is_limited, "is_readable": is_readable, "scores": scores, "accuracy": accuracy}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a file of 100 MB instead of 1 GB")
    parser.add_argument("--output", metavar="FILE.png", default="parquet_in_blocks.png", help="where the picture goes")
    parser.add_argument("--train", metavar="FILE.parquet", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        train_with_little_memory(arguments.train)
        return
    import matplotlib.pyplot as plt

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "rows.parquet"
        write_table(path, 500_000 if arguments.quick else 5_000_000)
        megabytes = path.stat().st_size / MEGABYTE
        run = subprocess.run([sys.executable, __file__, "--train", path], stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(run.stdout)
    scores = found["scores"]
    print(f"file of {megabytes:.0f} MB, {len(scores) + 1} blocks of {BLOCK_ROWS} rows")
    if found["is_limited"]:
        print(f"training may allocate {LIMIT // MEGABYTE} MB; the whole table can be read in that: {found['is_readable']}")
    print(f"accuracy on {BLOCK_ROWS} new rows: {found['accuracy']:.3f}")

    figure, axes = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
    axes.plot(np.arange(1, len(scores) + 1) * BLOCK_ROWS / 1000, scores, color="#1f4e9c")
    axes.set_title(f"{megabytes:.0f} MB of Parquet in blocks")
    axes.set(xlabel="thousand rows trained on", ylabel="accuracy on the next block")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
