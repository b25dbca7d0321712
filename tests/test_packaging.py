"""What an installed package meets: caches that are cold, stale, damaged, shared or impossible; and what pyproject promises."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEAK = "LEAK = 0.01"  # a constant in a file that no cached function lives in

pytestmark = [pytest.mark.xdist_group("packaging"), pytest.mark.slow]  # the tests share a compiled copy

FORWARD = """
import json, sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import fastbp
    outputs = fastbp.forward([[[1.0], [1.0]]], [[0.0]], [[-1.0, -2.0]], activation=[], output_activation="leaky_relu")
from fastbp.kernels.toolchain.load import COUNTS
print(json.dumps({
    "output": float(outputs[-1][0, 0]),
    **COUNTS,
    "warnings": [str(warning.message) for warning in caught if "fastbp" in str(warning.message) or "fastbp" in warning.filename],
    "path": fastbp.__file__,
}))
"""

FITS = """
import json, warnings
warnings.simplefilter("ignore")
import numpy as np
from fastbp import BPClassifier, BPRegressor
X = np.random.RandomState(0).normal(size=(40, 3))
for dtype in (np.float32, np.float64):
    for settings in ({}, {"solver": "sgd", "batch_size": 1}, {"solver": "lbfgs"}, {"early_stopping": True}):
        BPClassifier((4, 3), max_iter=2, **settings).fit(X.astype(dtype), X[:, 0] > 0).predict_proba(X.astype(dtype))
    BPRegressor(hidden_layer_sizes=(), max_iter=2).fit(X.astype(dtype), X).partial_fit(X.astype(dtype), X)
X = np.random.RandomState(0).normal(size=(40, 1100))
BPClassifier((4, 3), solver="sgd").fit(X, X[:, 0] > 0)
BPClassifier((4, 3), solver="sgd").fit(X.astype(np.float32), X[:, 0] > 0)
from fastbp.kernels.toolchain.load import COUNTS
print(json.dumps(COUNTS["compiled"]))
"""


def run(code, site, **environment):
    """Run code in a fresh process that imports fastbp from the folder site; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=site)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def copy_package(site):
    shutil.copytree(ROOT / "fastbp", site / "fastbp", ignore=shutil.ignore_patterns("__pycache__"))
    return site


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A copy of the package, and its cache after two processes that started at once: (site, cache)."""
    folder = tmp_path_factory.mktemp("compiled")
    site, cache = copy_package(folder / "site"), folder / "cache"
    with ThreadPoolExecutor(2) as threads:
        pair = list(threads.map(lambda _: run(FORWARD, site, NUMBA_CACHE_DIR=str(cache)), range(2)))
    for first in pair:
        assert first == {**first, "output": pytest.approx(-0.03), "warnings": []}
        assert first["compiled"] + first["loaded"] == 2  # the entry and the part that predicts
        assert Path(first["path"]).is_relative_to(site)
    assert max(first["compiled"] for first in pair) == 2
    return site, cache


@pytest.fixture
def own(compiled, tmp_path):
    """The same cache for one test to spoil."""
    site, cache = compiled
    shutil.copytree(cache, tmp_path / "cache")
    return site, tmp_path / "cache"


def assert_warm(result):
    assert result == {**result, "output": pytest.approx(-0.03), "compiled": 0, "warnings": []}
    assert result["loaded"] >= 1


def test_second_process_compiles_nothing(compiled):
    site, cache = compiled
    assert_warm(run(FORWARD, site, NUMBA_CACHE_DIR=str(cache)))


def test_second_process_compiles_nothing_for_fits():
    run(FITS, ROOT)
    assert run(FITS, ROOT) == 0


def test_edited_callee_never_runs_stale_code(own):
    """The constant is in another file than the cached function, which is all that numba itself looks at."""
    site, cache = own
    path = site / "fastbp" / "functions" / "activations.py"
    source = path.read_text(encoding="utf-8")
    assert source.count(LEAK) == 1
    try:
        path.write_text(source.replace(LEAK, "LEAK = 0.50"), encoding="utf-8")
        result = run(FORWARD, site, NUMBA_CACHE_DIR=str(cache))
    finally:
        path.write_text(source, encoding="utf-8")
    assert result["output"] == pytest.approx(-1.5)
    assert result["compiled"] >= 1
    assert run(FORWARD, site, NUMBA_CACHE_DIR=str(cache))["output"] == pytest.approx(-0.03)


@pytest.mark.parametrize("keep", [0.5, 0])
def test_truncated_cache_is_replaced(keep, own):
    site, cache = own
    files = list(cache.rglob("*.kernel"))
    assert files
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[: int(keep * len(content))])
    result = run(FORWARD, site, NUMBA_CACHE_DIR=str(cache))
    assert result == {**result, "output": pytest.approx(-0.03), "loaded": 0, "warnings": []}
    assert_warm(run(FORWARD, site, NUMBA_CACHE_DIR=str(cache)))


def test_nowhere_to_write(tmp_path):
    """A read-only install and an unwritable home; simulated by files where folders should be, as root may write anywhere."""
    site = copy_package(tmp_path / "site")
    for folder in (site / "fastbp" / "kernels", site / "fastbp"):
        (folder / "__pycache__").write_text("in the way")
    (tmp_path / "home").write_text("in the way")
    home = str(tmp_path / "home")
    environment = {"HOME": home, "XDG_CACHE_HOME": home, "LOCALAPPDATA": home, "NUMBA_CACHE_DIR": home}
    result = run(FORWARD, site, **environment)
    assert result["output"] == pytest.approx(-0.03)
    assert len(result["warnings"]) <= 1
    assert all("NUMBA_CACHE_DIR" in warning for warning in result["warnings"])


def test_full_disk(compiled, tmp_path):
    site, _ = compiled
    full_disk = """
import errno, os
def fail(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")
os.replace = fail
"""
    result = run(full_disk + FORWARD, site, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert result["output"] == pytest.approx(-0.03)
    assert len(result["warnings"]) == 1
    assert "No space left on device" in result["warnings"][0]


def test_warm_up_leaves_nothing_to_compile():
    from fastbp import warm_up
    from fastbp.kernels.toolchain import compile

    assert warm_up() == 2 * len(compile.known())
    assert run(FITS, ROOT) == 0


def test_core_dependencies_and_extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in project["dependencies"]}
    assert names == {"numba", "numpy", "scipy", "scikit-learn"}
    assert "scikit-learn>=1.6.1" in project["dependencies"]
    assert {"plot", "test", "bench", "dask"} <= set(project["optional-dependencies"])
    assert (project["name"], project["license"], project["requires-python"]) == ("fastbp", "BSD-3-Clause", ">=3.11")
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("BSD 3-Clause License")


def test_the_types_are_declared_and_the_versions_agree():
    import fastbp

    assert (Path(fastbp.__file__).parent / "py.typed").exists()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert fastbp.__version__ == project["version"]
    assert f"\nversion: {project['version']}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_readme_has_two_one_line_commands():
    """.ci/run calls them as they stand."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    assert commands[0].endswith("-m fastbp")
    assert "-m pytest" in commands[1]
