"""scikit-learn as it is and as its pull request 34830 would make it: the numbers follow the one that is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sklearn

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """
import warnings
import numpy as np
import sklearn
from sklearn.neural_network import MLPRegressor
from fastbp import BPRegressor, gradients

warnings.simplefilter("ignore")
random_state = np.random.RandomState(0)
X = random_state.normal(size=(60, 4))
Y = np.column_stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2], X[:, 3], X.sum(axis=1)])
first = []
for settings in (
    {"solver": "lbfgs", "max_iter": 8}, {"solver": "adam", "batch_size": 20}, {"solver": "sgd", "batch_size": 1},
    {"solver": "adam", "early_stopping": True}, {"solver": "adam", "tol": 0.5, "n_iter_no_change": 1, "max_iter": 50},
):
    for target in (Y, Y[:, 0]):
        options = {"hidden_layer_sizes": (5,), "max_iter": 5, "random_state": 0, **settings}
        theirs, ours = (kind(**options).fit(X, target) for kind in (MLPRegressor, BPRegressor))
        assert ours.n_iter_ == theirs.n_iter_, (settings, ours.n_iter_, theirs.n_iter_)
        np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-7)
        for own, other in zip(ours.coefs_, theirs.coefs_):
            np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-9)
        if settings["solver"] == "lbfgs" and target is Y:
            found = gradients(ours.coefs_, ours.intercepts_, X, Y, alpha=1e-4)
            np.testing.assert_allclose(found.loss, ours.loss_, rtol=1e-9)
            first = ours.loss_, 0.5 * np.mean(np.sum((ours.predict(X) - Y) ** 2, axis=1))
lm = BPRegressor(hidden_layer_sizes=(5,), solver="lm", max_iter=3, alpha=0.0, random_state=0).fit(X, Y)
missing = np.where(random_state.uniform(size=Y.shape) < 0.3, np.nan, Y)
some = BPRegressor(hidden_layer_sizes=(5,), solver="lbfgs", alpha=0.0, max_iter=3, random_state=0, missing_targets="ignore")
some.fit(X, missing)
n_rows = [len(X), np.count_nonzero(~np.isnan(missing).all(axis=1))]
sums = [0.5 * np.nansum((model.predict(X) - T) ** 2) for model, T in ((lm, Y), (some, missing))]
squares = [total / n for total, n in zip(sums, n_rows)]
print(first[1] / first[0], squares[0] / lm.loss_, squares[1] / some.loss_)
"""


def patched(folder):
    """A scikit-learn whose squared error adds up over the outputs; all except three files are those that are installed."""
    source, copy = Path(sklearn.__file__).parent, folder / "sklearn"
    (copy / "neural_network").mkdir(parents=True)
    for place in (source, source / "neural_network"):
        for path in place.iterdir():
            target = copy / path.relative_to(source)
            if path.suffix == ".py":
                shutil.copy(path, target)
            elif path.name not in ("neural_network", "__pycache__"):
                target.symlink_to(path)
    base = copy / "neural_network" / "_base.py"
    before = base.read_text()
    after = before.replace("axis=0).mean()", "axis=0).sum()")
    base.write_text(after)
    return before.count("axis=0).mean()")


@pytest.mark.slow
@pytest.mark.parametrize("is_patched", [False, True], ids=["installed", "patched"])
def test_squared_errors_of_several_outputs_are_those_of_the_installed_one(is_patched, tmp_path):
    path = [str(ROOT)]
    if is_patched:
        if not patched(tmp_path):
            pytest.skip("this scikit-learn adds squared errors up as it is")
        path.insert(0, str(tmp_path))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    ratios = [*map(float, done.stdout.split())]
    expected = 1.0 if is_patched else 4.0  # of the sum over the outputs to what is told as the loss, up to the penalty
    assert ratios == pytest.approx([expected] * 3, rel=1e-2)
