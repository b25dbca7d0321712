"""Kernels with NUMBA_BOUNDSCHECK=1: whatever leaves its array says so, by name, and nobody waits for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]

# For a process of its own, with a cache of its own. A case: arguments, and whether all that is touched lies in its array.
SCRIPT = """
import json
import sys
import numpy as np
from fastbp.kernels import tiles
from fastbp.kernels.atomics import atomic_add, atomic_load, barrier
from fastbp.kernels.compiler import entry
from fastbp.kernels.products import product
from fastbp.kernels.vectors import (
    lane_count,
    broadcast, broadcast_element, element, lanes, load, load_strided, prefetch, set_element, store, store_strided
)
from fastbp.training.threads import run_team

SIZE, LANES, BLOCK = 256, lanes(np.float64), tiles.BLOCK


@entry
def call_load(x, i): store(x, 0, load(x, i))
@entry
def call_store(x, i): store(x, i, broadcast(x, 0.0))
@entry
def call_element(x, i): return element(x, i)
@entry
def call_set_element(x, i): set_element(x, i, 0.0)
@entry
def call_broadcast_element(x, i): store(x, 0, broadcast_element(x, i))
@entry
def call_atomic_load(x, i): return atomic_load(x, i)
@entry
def call_atomic_add(x, i): return atomic_add(x, i, 1)
@entry
def call_prefetch(x, i): prefetch(x, i)
@entry
def call_load_strided(x, i, stride, n): store(x, 0, load_strided(x, i, stride, n, x))
@entry
def call_store_strided(x, i, stride, n): store_strided(x, i, stride, n, broadcast(x, 0.0))
@entry
def call_transpose_block(A, a, a_row, B, b, b_row): tiles.transpose_block(A, a, a_row, B, b, b_row)
@entry
def call_product(A, a, a_row, a_inner, B, b, b_row, S, s, s_row, C, c, c_row, n_rows, n_inner, width):
    product(A, a, a_row, a_inner, B, b, b_row, 2 * lane_count(C), S, s, s_row, C, c, c_row, n_rows, n_inner, width)
@entry
def call_team(thread, n_threads, sync, x, i):
    if thread == 1:
        set_element(x, i, 0.0)
    barrier(sync, n_threads)
    barrier(sync, n_threads)


def try_all(function, make_array, cases):
    outcomes = []
    for arguments, _ in cases:
        try:
            function(*([make_array(SIZE), *arguments] if make_array else arguments))
        except IndexError as error:
            outcomes.append(str(error))
        else:
            outcomes.append("")
    return [(repr(arguments[:3]), fits, outcome) for (arguments, fits), outcome in zip(cases, outcomes)]


results = {}
single = [([i], 0 <= i < SIZE) for i in (0, SIZE - 1, -1, SIZE, 1 << 40, -(1 << 62), (1 << 63) - 1)]
vector = [([i], 0 <= i <= SIZE - LANES) for i in (0, SIZE - LANES, SIZE - LANES + 1, -1, SIZE, 1 << 40)]
for name in ("element", "set_element", "broadcast_element"):
    results[name] = try_all(globals()[f"call_{name}"], np.zeros, single)
for name in ("load", "store"):
    results[name] = try_all(globals()[f"call_{name}"], np.zeros, vector)
for name in ("atomic_load", "atomic_add"):
    results[name] = try_all(globals()[f"call_{name}"], lambda n: np.zeros(n, np.int64), single)
results["prefetch"] = try_all(call_prefetch, np.zeros, [([i], True) for i in (0, -1, SIZE, 1 << 40)])
strided = [([i, stride, n], 0 <= i < SIZE and 0 <= i + (n - 1) * stride < SIZE)
           for i in (0, 5, SIZE - 1) for stride in (1, 7, -1) for n in (1, 2, LANES)]
for name in ("load_strided", "store_strided"):
    results[name] = try_all(globals()[f"call_{name}"], np.zeros, strided)

blocks = []
for a, a_row, b, b_row in [(0, BLOCK, 0, BLOCK), (0, 16, 0, 8), (1, BLOCK, 0, BLOCK), (0, BLOCK, 1, BLOCK), (0, BLOCK, -1, BLOCK),
                           (0, BLOCK + 1, 0, BLOCK), (0, BLOCK, 0, -1), (3 * BLOCK, -BLOCK, 0, BLOCK)]:
    sizes = 3 * 16 + BLOCK if a_row == 16 else BLOCK * BLOCK, 3 * 8 + BLOCK if b_row == 8 else BLOCK * BLOCK
    fits = all(min(start, start + 3 * stride) >= 0 and max(start, start + 3 * stride) + BLOCK <= size
               for start, stride, size in ((a, a_row, sizes[0]), (b, b_row, sizes[1])))
    blocks.append(([np.zeros(sizes[0]), a, a_row, np.zeros(sizes[1]), b, b_row], fits))
results["transpose_block"] = try_all(call_transpose_block, None, blocks)

# All tiles: rows in whole tiles, the edge, and both, one and two vectors wide. Each array just large enough, then one too small.
products = []
for n_rows in (1, tiles.EDGE_ROWS + 1, tiles.TILE_ROWS, tiles.TILE_ROWS + 1):
    for n_inner in (0, 1, 9):
        for width in (LANES, 2 * LANES, 3 * LANES):
            sizes = [n_rows * n_inner, n_inner * width, width, n_rows * width]
            for shrunk in (None, 0, 1, 2, 3):
                if shrunk is not None and not sizes[shrunk]:
                    continue
                A, B, S, C = (np.zeros(size - (k == shrunk)) for k, size in enumerate(sizes))
                products.append(([A, 0, n_inner, 1, B, 0, width, S, 0, 0, C, 0, width, n_rows, n_inner, width], shrunk is None))
for offset in (1, 4, 7, 10, 11):  # a, a_inner backwards, b, s, c
    arguments = list(products[-5][0])
    arguments[{4: 5, 7: 8, 10: 11}.get(offset, offset)] = -1
    products.append((arguments, False))
results["product"] = try_all(call_product, None, products)
results["product"] = [(f"{k}", fits, outcome) for k, (_, fits, outcome) in enumerate(results["product"])]

# A thread that fails leaves the others waiting for it.
team = []
for n_threads in (1, 2, 4):
    for i in (0, SIZE):
        try:
            run_team(call_team, n_threads, (np.zeros(SIZE), i), 1e10)
        except IndexError as error:
            team.append((f"{n_threads} threads", i == 0 or n_threads == 1, str(error)))
        else:
            team.append((f"{n_threads} threads", i == 0 or n_threads == 1, ""))
results["team"] = team
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bounds")
    script = folder / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(folder / "cache")}
    process = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment, timeout=1200)
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout)


SINGLE = ["element", "set_element", "broadcast_element", "atomic_load", "atomic_add", "prefetch"]
WIDE = ["load", "store", "load_strided", "store_strided", "transpose_block"]


@pytest.mark.parametrize("name", SINGLE + WIDE)
def test_what_leaves_its_array_says_so(results, name):
    for arguments, fits, message in results[name]:
        assert bool(message) != fits, arguments
        assert fits or message == f"{name} leaves its array in __main__.call_{name}", message
    assert name == "prefetch" or {fits for _, fits, _ in results[name]} == {True, False}


def test_a_product_that_leaves_its_arrays_says_so(results):
    for number, fits, message in results["product"]:
        assert bool(message) != fits, number
        assert fits or message.startswith("a tile leaves its array in fastbp.kernels.products."), message
    assert sum(not fits for _, fits, _ in results["product"]) > 100


def test_no_thread_waits_for_one_that_failed(results):
    for team, fits, message in results["team"]:
        assert bool(message) != fits, team
        assert fits or message.startswith("set_element leaves its array")
