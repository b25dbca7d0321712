"""Cache files damaged in every way, and installs without source files: nothing crashes, nothing stale or wrong is run."""

import compileall
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [pytest.mark.xdist_group("kernel cache"), pytest.mark.slow]

FORWARD = """
import json, os, warnings
warnings.simplefilter("error", RuntimeWarning)
import numpy as np
import fastbp
outputs = {}
for dtype in (np.float32, np.float64)[-int(os.environ.get("N_DTYPES", 2)) :]:
    network = [np.array([[2.0], [3.0]], dtype)], [np.array([0.5], dtype)], np.array([[1.0, -1.0]], dtype)
    outputs[dtype.__name__] = float(fastbp.forward(*network, activation=[], output_activation="leaky_relu")[-1][0, 0])
from fastbp.kernels.toolchain.load import COUNTS
n_compiled, n_loaded = COUNTS["compiled"], COUNTS["loaded"]
"""
REPORT = "print(json.dumps([*outputs.values(), n_compiled, n_loaded]))"
# 2 · 1 + 3 · (-1) + 0.5 = -0.5, times the leak of 0.01
RIGHT = [pytest.approx(-0.005), pytest.approx(-0.005)]

FUZZ = """
from pathlib import Path
from fastbp.kernels.toolchain import store

random = np.random.RandomState(0)
dtypes = {dtype: np.dtype(dtype) for dtype in ("float32", "float64")}
(folder, *_) = store.folders()
paths = {dtype: folder / store._file_name("predict_rows", store._key("predict_rows", dtypes[dtype])) for dtype in dtypes}
sound = {path: path.read_bytes() for path in paths.values()}
objects = {dtype: store.load("predict_rows", dtypes[dtype]) for dtype in dtypes}
other = store.load("predict", dtypes["float64"])
wrong = []

def damages(stored):
    size = len(stored)
    for place in [0, 1, 31, 32, 33, size - 1, *random.randint(size, size=40)]:
        flipped = bytearray(stored)
        flipped[place] ^= 1 << random.randint(8)
        yield f"bit {place}", bytes(flipped)
    for length in (0, 1, 31, 32, 33, size // 2, size - 1):
        yield f"first {length} bytes", stored[:length]
    for page in range(0, size, 4096 * max(1, size // 4096 // 8)):
        for filler in (b"\\0", b"\\xff"):
            yield f"page {page}", stored[:page] + filler * min(4096, size - page) + stored[page + 4096 :]
    yield "more", stored + b"\\0"
    yield "twice", stored * 2
    yield "the other dtype's", next(other for other in sound.values() if other != stored)
    yield "another part's", (folder / store._file_name("predict", store._key("predict", dtypes["float64"]))).read_bytes()

def check(what, dtype):
    if store.load("predict_rows", dtypes[dtype]) is not None:
        wrong.append(f"{what}: {dtype} is loaded")
    store.save("predict_rows", dtypes[dtype], objects[dtype])
    for each in dtypes:
        if store.load("predict_rows", dtypes[each]) != objects[each]:
            wrong.append(f"{what}: {each} is lost")

n_damages = 0
for dtype, path in paths.items():
    for what, damaged in damages(sound[path]):
        path.write_bytes(damaged)
        check(f"{path.name}, {what}", dtype)
        n_damages += 1
    path.unlink()
    check(f"{path.name} removed", dtype)
left = [path.name for path in folder.iterdir() if not path.name.endswith(".kernel")]
print(json.dumps([n_damages, wrong + left]))
"""


def run(code, site, cache=None, *options, **environment):
    numba = {"NUMBA_CACHE_DIR": str(cache or ""), "NUMBA_BOUNDSCHECK": "0"}
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1", **numba, **environment}
    process = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, env=environment, cwd=site)
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    assert run(FORWARD + REPORT, ROOT, folder) == [*RIGHT, 4, 0]  # the entry and a part, in both dtypes
    return folder


def test_damaged_files_are_never_loaded_and_are_replaced(cache, tmp_path):
    """Hundreds of damages: what passes as sound would go to LLVM."""
    shutil.copytree(cache, tmp_path / "cache")
    n_damages, wrong = run(FORWARD + FUZZ, ROOT, tmp_path / "cache")
    assert n_damages > 120
    assert wrong == []


def test_a_flipped_bit_costs_one_compilation(cache, tmp_path):
    shutil.copytree(cache, tmp_path / "cache")
    path = sorted((tmp_path / "cache").rglob("predict-*"))[0]
    stored = bytearray(path.read_bytes())
    stored[len(stored) // 2] ^= 1
    path.write_bytes(stored)
    assert run(FORWARD + REPORT, ROOT, tmp_path / "cache") == [*RIGHT, 1, 3]
    assert run(FORWARD + REPORT, ROOT, tmp_path / "cache") == [*RIGHT, 0, 4]


def test_checked_kernels_are_none_of_the_stored(cache, tmp_path):
    shutil.copytree(cache, tmp_path / "cache")
    before = sorted((tmp_path / "cache").rglob("*"))
    assert run(FORWARD + REPORT, ROOT, tmp_path / "cache", N_DTYPES="1", NUMBA_BOUNDSCHECK="1") == [RIGHT[0], 0, 0]
    assert sorted((tmp_path / "cache").rglob("*")) == before


def test_where_no_process_can_be_started_this_one_compiles(tmp_path):
    code = """
import subprocess
def fail(*arguments, **options):
    raise PermissionError("no processes here")
subprocess.Popen = fail
"""
    assert run(code + FORWARD + REPORT, ROOT, tmp_path, N_DTYPES="1") == [RIGHT[0], 2, 0]
    assert run(FORWARD + REPORT, ROOT, tmp_path, N_DTYPES="1") == [RIGHT[0], 0, 2]


def copy_package(site):
    shutil.copytree(ROOT / "fastbp", site / "fastbp", ignore=shutil.ignore_patterns("__pycache__"))
    return site


def without_sources(site):
    compileall.compile_dir(str(site / "fastbp"), quiet=1, legacy=True)
    for path in (site / "fastbp").rglob("*.py"):
        path.unlink()


def test_an_install_of_bytecode_alone(tmp_path):
    site = copy_package(tmp_path / "built")
    without_sources(site)
    site = site.rename(tmp_path / "site")
    one = {"N_DTYPES": "1"}
    assert run(FORWARD + REPORT, site, **one) == [RIGHT[0], 2, 0]
    assert run(FORWARD + REPORT, site, **one) == [RIGHT[0], 0, 2]
    # Other bytecode, other machine code, in a file in which no entry lies.
    cached = site / "fastbp" / "kernels" / "__pycache__"
    assert list(cached.glob("*.kernel"))
    cached.rename(tmp_path / "cached")
    shutil.rmtree(site / "fastbp")
    copy_package(site)
    path = site / "fastbp" / "functions" / "activations.py"
    source = path.read_text(encoding="utf-8")
    assert source.count("LEAK = 0.01") == 1
    path.write_text(source.replace("LEAK = 0.01", "LEAK = 0.02"), encoding="utf-8")
    without_sources(site)
    (tmp_path / "cached").rename(cached)
    assert run(FORWARD + REPORT, site, **one) == [pytest.approx(-0.01), 2, 0]


def test_formulas_and_codes_are_part_of_what_is_cached(cache, tmp_path):
    """They lie outside the kernels' folder, but are in the machine code."""
    hashes = set()
    for number, edited in enumerate((None, "names.py", "functions/activations.py", "functions/losses.py")):
        site = copy_package(tmp_path / f"site{number}")
        if edited:
            path = site / "fastbp" / edited
            path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        hashes.add(run("import json; from fastbp.kernels.sources import SOURCES; print(json.dumps(SOURCES))", site))
    assert len(hashes) == 4


def test_an_install_in_a_zip_file(tmp_path):
    archive = shutil.make_archive(str(tmp_path / "fastbp"), "zip", copy_package(tmp_path / "site"))
    code = f"import sys; sys.path.insert(0, {archive!r})\n"
    hashed = "from fastbp.kernels.sources import SOURCES; print(json.dumps(SOURCES))"
    environment = {"PYTHONPATH": "", "XDG_CACHE_HOME": str(tmp_path / "home"), "HOME": str(tmp_path / "home")}
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    process = {"site": folder, "cache": tmp_path / "cache"}
    in_zip = run(code + "import json, fastbp.kernels\nassert '.zip' in fastbp.__file__\n" + hashed, **process, **environment)
    assert in_zip == run("import json; " + hashed, tmp_path / "site")
