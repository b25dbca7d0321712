"""Every example runs to its end, quietly, and leaves a picture with something on it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_prints_its_numbers_and_draws_its_picture(example, tmp_path):
    picture = tmp_path / "picture.png"
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    run = subprocess.run(
        [sys.executable, str(example), "--quick", "--output", str(picture)],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    # an old scikit-learn warns about a newer SciPy from its own files
    assert [line for line in run.stderr.splitlines() if "Warning:" in line and "/sklearn/" not in line] == []
    assert any(character.isdigit() for character in run.stdout)
    assert [file.name for file in tmp_path.iterdir()] == ["picture.png"]

    pixels = pyplot.imread(picture)[..., :3]
    assert min(pixels.shape[:2]) >= 400
    inked = (pixels < 0.9).any(axis=-1)
    assert inked.mean() > 0.01
    assert len(np.unique((pixels[inked] * 15).astype(int), axis=0)) > 10  # more than axes and text in one colour
    # nothing is cut off: the outermost pixels are blank
    assert not (inked[0].any() or inked[-1].any() or inked[:, 0].any() or inked[:, -1].any())


def test_there_is_an_example_for_every_tutorial_system():
    shown = {path.stem for path in EXAMPLES}
    assert shown >= {
        "hidden_size_sweep",
        "full_batch_gradient_descent",
        "online_one_sample",
        "deep_network_starts",
        "two_layer_least_squares",
        "gradients_on_a_graph",
        "xor_class",
        "function_approximation",
        "pattern_recognition",
        "classification",
    }
