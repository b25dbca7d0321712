"""Every example runs to its end, quietly, and leaves a picture with something on it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastbp import BPClassifier

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
NEED_CALLBACKS = {"watch_a_network_learn"}  # of scikit-learn, public from 1.9 on

pyplot = pytest.importorskip("matplotlib.pyplot")


def numbers(text, pattern):
    """All numbers that the pattern's groups find, a row for each match."""
    return np.array(re.findall(pattern, text), dtype=float).reshape(-1, re.compile(pattern).groups)


def falls(values, by):
    """Whether each value is below the one before, the last below the first by this factor."""
    return len(values) > 2 and bool((np.diff(values) < 0).all()) and values[-1] < by * values[0]


def shows_a_fitted_curve(text):
    losses, distances = numbers(text, r"training loss ([\d.]+), distance to the function ([\d.]+)").T
    assert falls(losses, 0.2)
    assert falls(distances, 0.3)


def shows_classes(text):
    units, train, test = numbers(text, r"(?m)^ +(\d+) +([\d.]+) +([\d.]+)$").T
    assert units.tolist() == [1, 3, 50]
    assert train[0] < train[1:].min()  # one unit draws one line
    assert test.max() > 0.9


def shows_patterns(text):
    errors = numbers(text, r"(?m)^ +\d+ +([\d.]+) +([\d.]+)$")
    assert falls(errors[:, 0], 0.5)
    assert errors[-1, 1] < 0.6 * errors[0, 1]


def shows_starts(text):
    accuracy = dict(re.findall(r"(\S.*): accuracy ([\d.]+)", text))
    assert accuracy["zeros"] == "0.50"
    assert float(accuracy["He"]) > 0.7
    costs = numbers(text, r"(?m)^ +\d+ +([\d.]+) +([\d.]+) +([\d.]+)$")
    assert np.ptp(costs[:, 0]) < 1e-5  # zeros never learn
    assert costs[-1, 2] < 0.2


def shows_gradients(text):
    accuracy = dict(re.findall(r"(?m)^(\S.*): accuracy ([\d.]+)", text))
    small, large, kept = map(float, accuracy.values())
    assert max(small, large) < 0.7 and kept > 0.95
    assert re.search(r"of 16 units of hidden layer 1 \(tanh\) are saturated", text)
    norms = numbers(text, r"(?m)^ +\d+ +(\S+e\S+) +(\S+e\S+) +(\S+e\S+)$")
    ratios = norms[0] / norms[-1]  # first layer to last
    assert ratios[0] < 1e-5 and ratios[1] > 10 and 0.1 < ratios[2] < 10


def shows_descent(text):
    """Two runs that come down, and between them one that diverges and says so."""
    first, diverged, slower = re.split(r"(?m)^rate .*$", text)[1:]
    assert "stopped: " in diverged and "in epoch" in diverged
    for run in (first, slower):
        losses = numbers(run, r"test loss ([\d.]+)")[:, 0]
        assert losses[-1] < 0.7 * losses[0]


def shows_the_chain_rule(text):
    found = numbers(text, r"(?m)^\S+ +-?[\d.]+ +(-?[\d.]+) .*= +(-?[\d.]+)$")
    assert len(found) == 5
    np.testing.assert_allclose(found[:, 0], found[:, 1], atol=1e-6)
    output = 1 / (1 + np.exp(-(2 * -1 + -3 * -2 + -3)))
    assert abs(found[-1, 0] - output * (1 - output)) < 1e-6


def shows_a_sweep(text):
    scores = numbers(text, r"(?m)^ +\(\d+, \d+\) +([\d.]+) +([\d.]+) +[\d.]+$")
    assert len(scores) > 2
    assert scores.min() > 0.85
    assert len(numbers(text, r"(?m)(?:forest.*|regression|SVM|Bayes) +([\d.]+)$")) == 4


def shows_blocks(text):
    assert "bit for bit: True" in text
    ((by_block, at_once),) = numbers(text, r"at most: (\d+) MB block by block, (\d+) MB")
    assert by_block < at_once


def shows_parquet(text):
    """Training fits into memory that the file does not fit into."""
    ((megabytes, n_blocks),) = numbers(text, r"file of (\d+) MB, (\d+) blocks")
    assert n_blocks > 10
    if sys.platform == "linux":
        ((limit,),) = numbers(text, r"training may allocate (\d+) MB; the whole table can be read in that: False")
        assert limit < megabytes
    assert numbers(text, r"new rows: ([\d.]+)")[0, 0] > 0.95


def shows_columns(text):
    """Both importances find a column that says much, and one drawn at random that says nothing."""
    assert numbers(text, r"accuracy on \d+ held-out rows: ([\d.]+)")[0, 0] > 0.85
    found = {name: (float(share), float(fall)) for name, share, fall in re.findall(r"(?m)^(\S+) +([\d.]+) +(-?[\d.]+)$", text)}
    assert len(found) == 15
    assert abs(sum(share for share, _ in found.values()) - 1) < 0.01
    assert found["colour"][0] > 3 * found["bottle"][0]
    assert found["colour"][1] > 0.05 > found["bottle"][1]


def shows_solvers(text):
    """The last loss of each solver is its smallest, and that of lm the smallest of all."""
    losses = {}
    for solver, loss in re.findall(r"(?m)^ *(lm|lbfgs|adam) +\d+ iterations: loss (\S+)", text):
        losses.setdefault(solver, []).append(float(loss))
    assert set(losses) == {"lm", "lbfgs", "adam"}
    assert all(found[-1] == min(found) < found[0] for found in losses.values())
    assert min(losses["lm"]) < 1e-4
    assert min(losses["lm"]) < 0.1 * min(losses["adam"])


def shows_one_sample(text):
    outputs, errors = numbers(text, r"output ([\d.]+), error ([\d.]+)").T
    assert falls(errors, 0.5)
    np.testing.assert_allclose(errors, (outputs - 1) ** 2 / 2, atol=1e-6)


def shows_a_cluster(text):
    assert "same scores as without a cluster: True" in text


def shows_squares(text):
    assert falls(numbers(text, r"sum of squares ([\d.]+)")[:, 0], 0.5)


def shows_xor(text):
    assert falls(numbers(text, r"mean squared error ([\d.]+)")[1:, 0], 0.5)
    outputs = np.array(re.findall(r"outputs \[([^]]+)\]", text)[-1].split(), dtype=float)
    assert ((outputs > 0.5) == [False, True, True, False]).all()


def shows_dropout(text):
    """It fits the noisy rows less well, and is nearer to the truth."""
    rows = numbers(text, r"squared error: ([\d.]+) on the noisy rows, ([\d.]+) from the true function")
    assert len(rows) == 4
    assert rows[0, 0] < rows[1:, 0].min()
    assert rows[0, 1] > rows[1:, 1].max()


def shows_compression(text):
    units, linear, network = numbers(text, r"(?m)^ +(\d+) +([\d.]+) +([\d.]+)$").T
    assert falls(linear, 0.5)
    assert falls(network, 0.5)
    assert (network < linear)[units <= 8].all()


def shows_importances(text):
    shares = numbers(text, r"(?m)^x\d +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)$")
    assert shares.shape == (10, 5)
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=0.01)
    for measure in (0, 1, 3, 4):  # Olden's misses the feature whose slopes cancel
        assert shares[:5, measure].min() > shares[5:, measure].max()


def shows_weights_of_classes(text):
    found, balanced = numbers(text, r"(?m)^ +(?:none|1 to 5|balanced) +([\d.]+) +[\d.]+ +([\d.]+)$").T
    assert len(found) == 3
    assert found[-1] > found[0] + 0.3
    assert balanced[-1] > balanced[0] + 0.1


def shows_own_rows(text):
    epochs, errors = numbers(text, r"(?m)^\D+ +(\d+) +([\d.]+)$").T
    assert len(epochs) == 4
    assert epochs[1:].max() < epochs[0]
    assert errors[1:].max() < errors[0]


def shows_starts_together(text):
    few, many = numbers(text, r"mean start ([\d.]+) +kept start ([\d.]+) +ensemble ([\d.]+)")
    assert few[1] < few[2] < few[0]
    assert many[2] < many[:2].min()


def shows_calibration(text):
    accuracy, loss, error = numbers(text, r"(?m)^ +(?:as trained|calibrated) +([\d.]+) +([\d.]+) +([\d.]+)$").T
    assert accuracy[0] == accuracy[1]
    assert loss[1] < loss[0]
    assert error[1] < 0.5 * error[0]


def shows_intervals(text):
    """Nine tenths of the new targets, where there is little noise and where there is much."""
    shares = numbers(text, r"([\d.]+) %(?: of 10000|;)")[:, 0]
    assert len(shares) == 3
    assert (np.abs(shares - 90) < 5).all()
    little, much = numbers(text, r"interval is ([\d.]+) wide")[:, 0]
    assert 1.2 * little < much


def shows_learning(text):
    first, last = numbers(text, r"output's δ (-?[\d.]+), at the end (-?[\d.]+)").T
    assert len(first) == 3
    assert (np.abs(last) < np.abs(first)).all()
    ((difference,),) = numbers(text, r"hidden units differ by ([\d.e-]+)")
    assert difference < 1e-12


SHOWS = {
    "calibrated_probabilities": shows_calibration,
    "classification": shows_classes,
    "data_compression": shows_compression,
    "deep_network_starts": shows_starts,
    "dropout_on_noisy_data": shows_dropout,
    "exploding_and_vanishing_gradients": shows_gradients,
    "early_stopping_on_your_own_rows": shows_own_rows,
    "full_batch_gradient_descent": shows_descent,
    "function_approximation": shows_a_fitted_curve,
    "gradients_on_a_graph": shows_the_chain_rule,
    "hidden_size_sweep": shows_a_sweep,
    "larger_than_memory": shows_blocks,
    "levenberg_marquardt_on_sin": shows_solvers,
    "local_minima_and_ensembles": shows_starts_together,
    "online_one_sample": shows_one_sample,
    "parquet_in_blocks": shows_parquet,
    "pattern_recognition": shows_patterns,
    "prediction_intervals_by_quantiles": shows_intervals,
    "search_on_dask": shows_a_cluster,
    "table_importances": shows_columns,
    "unbalanced_classes": shows_weights_of_classes,
    "two_layer_least_squares": shows_squares,
    "watch_a_network_learn": shows_learning,
    "what_the_network_looks_at": shows_importances,
    "xor_class": shows_xor,
}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_prints_its_numbers_and_draws_its_picture(example, tmp_path):
    if example.stem in NEED_CALLBACKS and not hasattr(BPClassifier, "set_callbacks"):
        pytest.skip("this scikit-learn has no public callbacks, which came with 1.9")
    picture = tmp_path / "picture.png"
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    run = subprocess.run(
        [sys.executable, str(example), "--quick", "--output", str(picture)],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert run.returncode == 0, run.stderr
    # an old scikit-learn warns about a newer SciPy from its own files
    assert [line for line in run.stderr.splitlines() if "Warning:" in line and "/sklearn/" not in line] == []
    SHOWS[example.stem](run.stdout)
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
        "data_compression",
    }
