"""The benchmarks start, and the picture of the history shows what asv has written; .ci/run runs them all."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"

IMPORT_ALL = """
import importlib, pkgutil, sys
sys.path[:0] = sys.argv[1:]
import suites
for module in pkgutil.iter_modules(suites.__path__):
    importlib.import_module(f"suites.{module.name}")
"""


@pytest.fixture(scope="module")
def history():
    """The script that draws the picture of the history."""
    pytest.importorskip("matplotlib")
    spec = importlib.util.spec_from_file_location("history_picture", ROOT / "docs" / "pictures" / "history.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_every_asv_suite_can_be_imported():
    subprocess.run([sys.executable, "-c", IMPORT_ALL, BENCHMARKS, ROOT], check=True)


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_every_benchmark_that_is_a_program_has_a_quick_run(path):
    text = path.read_text(encoding="utf-8")
    if "__main__" in text and path.stem != "try_all":
        assert 'add_argument("--quick"' in text


def test_landmarks_are_whole_hashes_with_words():
    lines = (BENCHMARKS / "landmarks.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"#.*|[0-9a-f]{40} \S.*", line) for line in lines)


def test_results_of_asv_are_read_case_by_case(history, tmp_path):
    """Written down as asv writes them: values in the order of all cases, null where one failed."""
    for number, (date, values) in enumerate(((2000, [4.0, None]), (1000, [5.0, 6.0]))):
        results = {"a.B.track_c": [values, [["'x'", "7"]]], "a.D.track_e": [[9.0], []]}
        kept = {"commit_hash": str(number), "date": date, "result_columns": ["result", "params"], "results": results}
        (tmp_path / f"{number}-environment.json").write_text(json.dumps(kept))
    first, second = history.read_results(tmp_path)
    assert (first[1], second[1]) == ("1", "0")
    assert first[2] == {("a.B.track_c", "x"): 5.0, ("a.B.track_c", 7): 6.0, ("a.D.track_e", None): 9.0}
    assert second[2]["a.B.track_c", 7] is None


@pytest.mark.slow
def test_the_picture_of_the_history_is_drawn_and_shown(history, tmp_path):
    history.draw(BENCHMARKS / "results" / "two-cores", tmp_path / "history.png")
    assert (tmp_path / "history.png").stat().st_size > 10_000
    assert (ROOT / "docs" / "pictures" / "history.png").exists()
    assert "](pictures/history.png)" in (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
