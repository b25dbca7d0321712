"""What needs an optional library says in one line what to install, where that is missing, and all else works."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp
from fastbp.app.cli import main

X, Y = load_iris(return_X_y=True)
IMPORTED_BY = {"onnx": "skl2onnx"}
PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


@pytest.fixture
def without(monkeypatch):
    """Hide a library and all of its modules; a module that imports it is imported again."""

    def hide(library):
        for name in [name for name in sys.modules if name.partition(".")[0] == IMPORTED_BY.get(library)]:
            monkeypatch.delitem(sys.modules, name)
        for name in {library, *(name for name in sys.modules if name.partition(".")[0] == library)}:
            monkeypatch.setitem(sys.modules, name, None)

    return hide


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table in three forms, a model in two, and what a display shows."""
    folder = tmp_path_factory.mktemp("files")
    pd = pytest.importorskip("pandas")
    pytest.importorskip("skops")
    table = pd.DataFrame(X, columns=list("abcd")).assign(kind=Y)
    table.to_csv(folder / "flowers.csv", index=False)
    pytest.importorskip("pyarrow")
    table.to_parquet(folder / "flowers.parquet")
    settings = {"hidden_layer_sizes": (3,), "max_iter": 3, "random_state": 0, "record_gradient_norms": True}
    network = fastbp.BPClassifier(**settings).fit(X, Y)
    fastbp.save(network, folder / "network.safetensors")
    fastbp.save(make_pipeline(StandardScaler(), network).fit(X, Y), folder / "pipeline.skops")
    return folder


NETWORK = fastbp.BPClassifier((3,), max_iter=3, random_state=0)
CALLS = {
    "save a network": ("safetensors", "safetensors", lambda folder: fastbp.save(NETWORK, folder / "new")),
    "load a network": ("safetensors", "safetensors", lambda folder: fastbp.load(folder / "network.safetensors")),
    "save a pipeline": ("skops", "skops", lambda folder: fastbp.save(make_pipeline(NETWORK), folder / "new")),
    "load a pipeline": ("skops", "skops", lambda folder: fastbp.load(folder / "pipeline.skops")),
    "save a table's": ("skops", "skops", lambda folder: fastbp.save(fastbp.BPTabularClassifier(), folder / "new")),
    "ONNX": ("skl2onnx", "skl2onnx onnx", lambda folder: fastbp.to_onnx(NETWORK)),
    "ONNX without onnx": ("onnx", "skl2onnx onnx", lambda folder: fastbp.to_onnx(NETWORK)),
}
DISPLAYS = {
    "losses": fastbp.LossCurveDisplay(loss_curves={"a": [2.0, 1.0]}),
    "network": fastbp.NetworkDisplay(coefs=[np.ones((2, 1))], intercepts=[np.zeros(1)]),
    "weights": fastbp.WeightsDisplay(weights=np.ones((2, 2))),
    "gradients": fastbp.GradientFlowDisplay(gradient_norms=[[1.0, 2.0]]),
    "surface": fastbp.SearchSurfaceDisplay(scores=[[1.0]], parameters=("a", "b"), row_values=[1], column_values=[1]),
    "sizes": fastbp.HiddenSizeDisplay(hidden_layer_sizes=[(3,)], test_scores=[[0.5, 0.6]]),
}
CALLS |= {f"draw {name}": ("matplotlib", "matplotlib", lambda folder, one=one: one.plot()) for name, one in DISPLAYS.items()}


@pytest.mark.parametrize(("library", "packages", "call"), CALLS.values(), ids=CALLS)
def test_a_call_names_what_to_install(library, packages, call, folder, without):
    before = sorted(folder.iterdir())
    without(library)
    with pytest.raises(ImportError, match=rf"needs \w+: pip install {packages}$") as caught:
        call(folder)
    assert "\n" not in str(caught.value)
    assert sorted(folder.iterdir()) == before


COMMANDS = {
    "search": ("pandas", "pandas", "--data flowers.csv --target kind"),
    "train": ("pandas", "pandas", "train --data flowers.csv --target kind --model new.skops"),
    "train without skops": ("skops", "skops", "train --data flowers.csv --target kind --model new.skops"),
    "predict": ("pandas", "pandas", "predict --model pipeline.skops --data flowers.csv"),
    "predict without skops": ("skops", "skops", "predict --model pipeline.skops --data flowers.csv"),
    "predict without safetensors": ("safetensors", "safetensors", "predict --model network.safetensors --data flowers.csv"),
    "parquet": ("pyarrow", "pandas pyarrow", "predict --model pipeline.skops --data flowers.parquet"),
    "inspect": ("skops", "skops", "inspect pipeline.skops"),
    "export": ("skl2onnx", "skl2onnx onnx", "export pipeline.skops --output new.onnx"),
}


@pytest.mark.parametrize(("library", "packages", "command"), COMMANDS.values(), ids=COMMANDS)
def test_a_command_names_what_to_install_and_ends_with_2(library, packages, command, folder, without, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    without(library)
    assert main(command.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"python -m fastbp: error: .*pip install {packages}\n", err)
    assert sorted(folder.iterdir()) == before


HIDE_ALL = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ImportError("hidden")
sys.meta_path.insert(0, Hide())
import numpy as np
import fastbp
X = np.random.RandomState(0).normal(size=(40, 3))
model = fastbp.BPClassifier((3,), max_iter=3).fit(X, X[:, 0] > 0)
fastbp.to_sklearn(model), fastbp.from_sklearn(fastbp.to_sklearn(model)), fastbp.to_c(model), model._repr_html_()
fastbp.BPTabularRegressor("fast", max_iter=1).fit(X, X[:, 0]).predict(X)
fastbp.BPSearchCV(model, {{"alpha": [0.1, 1.0]}}, cv=2).fit(X, X[:, 0] > 0)
"""


def optional():
    """Every library that some extra brings and no dependency does, by its module's name."""
    extras = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    libraries = {
        re.match(r"[\w-]+", line)[0] for extra in ("keep", "onnx", "cli", "parquet", "plot", "dask") for line in extras[extra]
    }
    assert {"safetensors", "skops", "skl2onnx", "matplotlib", "pandas", "pyarrow"} <= libraries
    return sorted(libraries)


@pytest.mark.slow
def test_without_any_of_them_all_else_works():
    subprocess.run([sys.executable, "-c", HIDE_ALL.format(names=optional())], check=True, cwd=PROJECT.parent)


def test_what_is_missing_is_among_what_to_install():
    for library, packages, _ in (*CALLS.values(), *COMMANDS.values()):
        assert library in packages.split()
