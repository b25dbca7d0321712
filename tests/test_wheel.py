"""A wheel that carries kernels for two levels of x86-64: where nothing can be written nothing is compiled, and nothing stale is
ever run."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from fastbp.kernels.cpu import LEVEL, LEVELS, host_features, level_of

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.xdist_group("wheel")

# Two layers: the first of an activation that is a part, the second with a constant from a file that holds no entry.
FORWARD = """
import json, sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import fastbp
    weights = [[[2.0], [3.0]], [[1.0]]], [[0.5], [0.0]]
    output = fastbp.forward(*weights, [[1.0, -1.0]], activation=["elu"], output_activation="leaky_relu")[-1][0, 0]
from fastbp.kernels.toolchain.load import COUNTS
print(json.dumps([output, *COUNTS.values(), "numba" in sys.modules, [str(warning.message) for warning in caught]]))
"""
USED = "predict", "predict_rows", "_activate_apart"
RIGHT = pytest.approx(0.01 * np.expm1(2 - 3 + 0.5))


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("build_wheel", ROOT / "tools" / "build_wheel.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(code, site, *arguments, **environment):
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=site)
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


@pytest.fixture(scope="module")
def wheel(tool, tmp_path_factory):
    """A wheel that carries what FORWARD uses, for both levels."""
    if os.environ.get("NUMBA_CPU_NAME") or os.environ.get("NUMBA_CPU_FEATURES"):
        pytest.skip("kernels are carried for the CPU that there is, and numba is told of another")
    if LEVEL is None:
        pytest.skip(f"kernels are carried for {' and '.join(LEVELS)}, and this CPU is neither")
    if shutil.which(os.environ.get("CC", "cc")) is None:
        pytest.skip("there is no C compiler to link with")
    dist = tmp_path_factory.mktemp("dist")
    tool.build(dist, *USED)
    (built,) = dist.iterdir()
    return built


@pytest.fixture
def site(wheel, tmp_path):
    """It installed, for one test to change, with nowhere to write: files lie where folders should be, as root may write
    anywhere."""
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-compile", "--target", tmp_path / "site"]
    subprocess.run([*pip, wheel], check=True, stdout=subprocess.DEVNULL)
    for folder in ("fastbp/kernels", "fastbp"):
        (tmp_path / "site" / folder / "__pycache__").write_text("in the way")
    (tmp_path / "home").write_text("in the way")
    return tmp_path / "site"


def forward(site, before="", **environment):
    """Output of the network, objects compiled and loaded, whether numba was imported, and what was warned of."""
    home = str(site.parent / "home")
    nowhere = {"HOME": home, "XDG_CACHE_HOME": home, "LOCALAPPDATA": home, "NUMBA_CACHE_DIR": home}
    return json.loads(run(before + FORWARD, site, **nowhere, **environment))


FEWER = """
import llvmlite.binding
features = llvmlite.binding.get_host_cpu_features()
features |= {name: False for name in features if any(map(name.startswith, %s))}
llvmlite.binding.get_host_cpu_features = lambda: features
"""
ABOVE = {"x86-64-v4": ["none"], "x86-64-v3": ["avx512"]}  # how the names of features begin that a CPU of the level has not


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_carried_kernels_are_loaded_where_nothing_can_be_written(site, level):
    if not LEVELS[level][1] <= host_features():
        pytest.skip(f"this CPU is no {level}")
    (own,) = (site / "fastbp" / "kernels" / "carried_kernels").glob(f"{level}-*.so")
    for path in own.parent.glob("*.so"):
        if path != own:
            path.unlink()  # it must do without the other level's
    before = {path: path.stat().st_mtime_ns for path in site.rglob("*")}
    assert forward(site, FEWER % ABOVE[level]) == [RIGHT, 0, len(USED), False, []]
    assert {path: path.stat().st_mtime_ns for path in site.rglob("*")} == before


def assert_compiled(found, output=RIGHT):
    assert found[:4] == [output, len(USED), 0, False]
    (warning,) = found[4]
    assert "cannot store its compiled kernels" in warning and "NUMBA_CACHE_DIR" in warning


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "environment"),
    [
        pytest.param(FEWER % ["avx", "fma"], {}, id="a CPU below the levels"),
        pytest.param("", {"NUMBA_CPU_NAME": "x86-64"}, id="a CPU by name"),
    ],
)
def test_where_the_kernels_are_not_made_for_they_are_compiled(site, before, environment):
    assert_compiled(forward(site, before, **environment))


@pytest.mark.slow
def test_changed_kernels_are_compiled(site):
    path = site / "fastbp" / "functions" / "activations.py"
    source = path.read_text(encoding="utf-8")
    assert source.count("LEAK = 0.01") == 1
    path.write_text(source.replace("LEAK = 0.01", "LEAK = 0.50"), encoding="utf-8")
    assert_compiled(forward(site), output=pytest.approx(0.5 * np.expm1(-0.5)))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".so", ".json"])
def test_damaged_libraries_are_not_loaded(site, suffix):
    (path,) = (site / "fastbp" / "kernels" / "carried_kernels").glob(f"{LEVEL}-*{suffix}")
    sound = path.read_bytes()
    path.write_bytes(sound[: len(sound) // 2] + bytes([sound[len(sound) // 2] ^ 1]) + sound[len(sound) // 2 + 1 :])
    found = forward(site)
    assert found[0] == RIGHT
    assert found[1] in ((len(USED),) if suffix == ".so" else (0, 1, len(USED)))  # some letters of the index may not matter
    path.write_bytes(sound[: len(sound) // 2])
    assert_compiled(forward(site))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["another numba", "no numba"])
def test_a_library_is_for_any_numba(site, name):
    before = {
        "another numba": "import numba; numba.__version__ += '.1'\n",
        "no numba": "sys = __import__('sys'); sys.modules['numba'] = None\n",
    }
    assert forward(site, before[name])[:3] == [RIGHT, 0, len(USED)]


def test_levels():
    v3, v4 = LEVELS["x86-64-v3"][1], LEVELS["x86-64-v4"][1]
    more = {"amx-tile", "sse4a"}
    assert (level_of(v3 | more, 32), level_of(v4 | more, 64)) == ("x86-64-v3", "x86-64-v4")
    for feature in v3:
        assert level_of(v3 - {feature}, 32) is None
    for feature in v4 - v3:  # wide vectors, but not all of the level
        assert level_of(v4 - {feature}, 64) is None
    assert level_of(v4, 32) == "x86-64-v3"


@pytest.mark.slow
def test_the_wheel_is_for_this_platform_and_installs_what_it_carries(wheel, site):
    assert wheel.name.split("-")[2:4] == ["py3", "none"]
    assert wheel.stem.endswith(sysconfig.get_platform().replace("-", "_").replace(".", "_"))
    kernels = site / "fastbp" / "kernels"
    carried = [path.name for path in (kernels / "carried_kernels").iterdir()]
    assert sorted(name.rpartition("-")[0] for name in carried) == sorted([*LEVELS, *LEVELS])  # a library and its index each
    assert (kernels / "epochs.py").read_bytes() == (ROOT / "fastbp" / "kernels" / "epochs.py").read_bytes()
