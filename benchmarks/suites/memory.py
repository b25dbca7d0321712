"""Peak memory of a process that fits; a copy of X would add 128 MiB."""

import os
import tempfile

import numpy as np

import fastbp

from .common import QUICK, Benchmark

SHAPE = (2**12 if QUICK else 2**25 // 256, 256)


class FitMemory(Benchmark):
    """One epoch over 128 MiB of float32, in memory and as a read-only memory map."""

    params = ("in memory", "memory map")
    param_names = ("X",)

    def setup(self, X):
        random = np.random.default_rng(0)
        if X == "in memory":
            self.X = random.standard_normal(SHAPE, dtype=np.float32)
        else:
            handle, self.path = tempfile.mkstemp()
            os.close(handle)
            writable = np.memmap(self.path, dtype=np.float32, mode="w+", shape=SHAPE)
            for start in range(0, SHAPE[0], 10_000):
                block = writable[start : start + 10_000]
                block[:] = random.standard_normal(block.shape, dtype=np.float32)
            writable.flush()
            self.X = np.memmap(self.path, dtype=np.float32, mode="r", shape=SHAPE)
        self.y = np.arange(SHAPE[0]) % 2

    def teardown(self, X):
        if X == "memory map":
            os.unlink(self.path)

    def peakmem_fit(self, X):
        fastbp.BPClassifier((64,), batch_size=256, max_iter=1, random_state=0).fit(self.X, self.y)
