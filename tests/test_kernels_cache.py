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
from fastbp.kernels import epochs
outputs = {}
for dtype in (np.float32, np.float64)[-int(os.environ.get("N_DTYPES", 2)) :]:
    network = [np.array([[2.0], [3.0]], dtype)], [np.array([0.5], dtype)], np.array([[1.0, -1.0]], dtype)
    outputs[dtype.__name__] = float(fastbp.forward(*network, activation=[], output_activation="leaky_relu")[-1][0, 0])
stats = epochs.predict.dispatcher.stats
n_compiled, n_loaded = sum(stats.cache_misses.values()), sum(stats.cache_hits.values())
"""
REPORT = "print(json.dumps([*outputs.values(), n_compiled, n_loaded]))"
# 2 · 1 + 3 · (-1) + 0.5 = -0.5, times the leak of 0.01
RIGHT = [pytest.approx(-0.005), pytest.approx(-0.005)]

FUZZ = """
from pathlib import Path
import numpy as np
from fastbp.kernels.compiler import entry

dispatcher = epochs.predict.dispatcher
cache, context = dispatcher._cache, dispatcher.targetctx
signatures = {str(signature[2].dtype): signature for signature in dispatcher.signatures}  # of params
keys = {dtype: cache._index_key(signature, context.codegen()) for dtype, signature in signatures.items()}
files = cache._cache_file
index = Path(files._index_path)
paths = {dtype: Path(files._data_path(files._load_index()[key])) for dtype, key in keys.items()}
sound = {path: path.read_bytes() for path in [index, *paths.values()]}
payloads = {dtype: files.load(key) for dtype, key in keys.items()}
random = np.random.RandomState(0)
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

def is_refused(dtype):
    return cache.load_overload(signatures[dtype], context) is None

def is_kept(dtype):
    payload = files.load(keys[dtype])
    return payload is not None and payload[0] == payloads[dtype][0]  # name and machine code

def check(what, dtype, other_stays=True):
    if not is_refused(dtype):
        wrong.append(f"{what}: {dtype} is loaded")
    other = "float64" if dtype == "float32" else "float32"
    files.save(keys[dtype], payloads[dtype])
    if not is_kept(dtype):
        wrong.append(f"{what}: {dtype} is not replaced")
    if other_stays and not is_kept(other):
        wrong.append(f"{what}: {other} is lost")

n_damages = 0
for path, stored in sound.items():
    for what, damaged in damages(stored):
        dtype = "float64" if path == paths["float64"] else "float32"
        path.write_bytes(damaged)
        check(f"{path.name}, {what}", dtype)
        path.write_bytes(stored)
        n_damages += 1

for dtype, path in paths.items():
    path.unlink()
    check(f"{path.name} removed", dtype)
index.unlink()
check("index removed", "float64")
first, second = paths.values()
first.write_bytes(sound[second])
second.write_bytes(sound[first])
if not (is_refused("float32") and is_refused("float64")):
    wrong.append("files that changed places are loaded")
check("changed places", "float32", other_stays=False)
check("changed places", "float64")
second.unlink()
second.mkdir()
if not is_refused("float64" if second == paths["float64"] else "float32"):
    wrong.append("a folder is loaded")
second.rmdir()
second.write_bytes(sound[second])

@entry
def other(x):
    return x

other(1.0)
for path in Path(other._cache.cache_path).glob("*other*"):
    foreign = path.read_bytes()
    for mine in (index, *paths.values()):
        if mine.suffix == path.suffix:
            mine.write_bytes(foreign)
            check(f"{mine.name}, of another entry", "float64" if mine == paths["float64"] else "float32", mine == index)
            mine.write_bytes(sound[mine])
print(json.dumps([n_damages, wrong]))
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
    assert run(FORWARD + REPORT, ROOT, folder) == [*RIGHT, 2, 0]
    return folder


def test_damaged_files_are_never_loaded_and_are_replaced(cache, tmp_path):
    """Hundreds of damages in one process, in which what passes as sound would go to LLVM."""
    shutil.copytree(cache, tmp_path / "cache")
    script = tmp_path / "script.py"  # an entry needs a file
    script.write_text(FORWARD + FUZZ, encoding="utf-8")
    code = f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')"
    n_damages, wrong = run(code, ROOT, tmp_path / "cache")
    assert n_damages > 150
    assert wrong == []


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_flipped_bit_costs_one_compilation(cache, suffix, tmp_path):
    shutil.copytree(cache, tmp_path / "cache")
    path = sorted((tmp_path / "cache").rglob(f"*predict*{suffix}"))[0]
    stored = bytearray(path.read_bytes())
    stored[len(stored) // 2] ^= 1
    path.write_bytes(stored)
    first = run(FORWARD + REPORT, ROOT, tmp_path / "cache")
    assert first == [*RIGHT, 1, 1]
    assert run(FORWARD + REPORT, ROOT, tmp_path / "cache") == [*RIGHT, 0, 2]


@pytest.mark.parametrize("option", ["NUMBA_BOUNDSCHECK"])
def test_options_of_the_compiler_have_code_of_their_own(cache, option, tmp_path):
    shutil.copytree(cache, tmp_path / "cache")
    for expected in ([RIGHT[0], 1, 0], [RIGHT[0], 0, 1]):
        assert run(FORWARD + REPORT, ROOT, tmp_path / "cache", N_DTYPES="1", **{option: "1"}) == expected
    assert run(FORWARD + REPORT, ROOT, tmp_path / "cache") == [*RIGHT, 0, 2]


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
    assert run(FORWARD + REPORT, site, **one) == [RIGHT[0], 1, 0]
    assert run(FORWARD + REPORT, site, **one) == [RIGHT[0], 0, 1]
    # Other bytecode, other machine code, in a file in which no entry lies.
    cached = site / "fastbp" / "kernels" / "__pycache__"
    assert list(cached.glob("*.nbc"))
    cached.rename(tmp_path / "cached")
    shutil.rmtree(site / "fastbp")
    copy_package(site)
    path = site / "fastbp" / "kernels" / "activations.py"
    source = path.read_text(encoding="utf-8")
    assert source.count("LEAK = 0.01") == 1
    path.write_text(source.replace("LEAK = 0.01", "LEAK = 0.02"), encoding="utf-8")
    without_sources(site)
    (tmp_path / "cached").rename(cached)
    assert run(FORWARD + REPORT, site, **one) == [pytest.approx(-0.01), 1, 0]


def test_the_codes_of_the_names_are_part_of_what_is_cached(cache, tmp_path):
    """names.py lies outside the kernels' folder, but its numbers are in the machine code."""
    hashes = set()
    for edit in ("", "\n"):
        site = copy_package(tmp_path / f"site{len(edit)}")
        path = site / "fastbp" / "names.py"
        path.write_text(path.read_text(encoding="utf-8") + edit, encoding="utf-8")
        hashes.add(run("import json; from fastbp.kernels.cache import SOURCES; print(json.dumps(SOURCES))", site))
    assert len(hashes) == 2


def test_an_install_in_a_zip_file(tmp_path):
    archive = shutil.make_archive(str(tmp_path / "fastbp"), "zip", copy_package(tmp_path / "site"))
    code = f"import sys; sys.path.insert(0, {archive!r})\n"
    hashed = "from fastbp.kernels.cache import SOURCES; print(json.dumps(SOURCES))"
    environment = {"PYTHONPATH": "", "XDG_CACHE_HOME": str(tmp_path / "home"), "HOME": str(tmp_path / "home")}
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    process = {"site": folder, "cache": tmp_path / "cache"}
    in_zip = run(code + "import json, fastbp.kernels\nassert '.zip' in fastbp.__file__\n" + hashed, **process, **environment)
    assert in_zip == run("import json; " + hashed, tmp_path / "site")
