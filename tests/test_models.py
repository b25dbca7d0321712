"""python -m fastbp train, predict, inspect and export: the same numbers as the estimators', by the columns' names."""

import io
import os
import re
import signal
import subprocess
import sys
import tomllib
import zipfile
import zlib
from contextlib import suppress
from importlib.metadata import EntryPoint
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn
from scipy.sparse import csr_matrix
from sklearn.compose import make_column_transformer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import fastbp
from fastbp.app.cli import main

pd = pytest.importorskip("pandas")
pytest.importorskip("skops")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def houses(tmp_path):
    """A table with numbers, words, dates and gaps in all of them, and a price."""
    rng = np.random.RandomState(0)
    size, kind = rng.uniform(30, 200, 120), rng.choice(["flat", "house", "farm"], 120)
    days = pd.Timestamp("2020-03-01") + pd.to_timedelta(rng.randint(0, 900, 120), unit="D")
    price = 3000 * size * np.where(kind == "farm", 2, 1) + rng.normal(0, 1000, 120)
    frame = pd.DataFrame({"size": size.round(1), "kind": kind, "sold": days.strftime("%Y-%m-%d"), "price": price.round()})
    frame.loc[3, "size"] = np.nan
    frame.loc[5, "kind"] = None
    path = tmp_path / "houses.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def flowers(tmp_path):
    from sklearn.datasets import load_iris

    data = load_iris(as_frame=True)
    frame = data.data.set_axis(["a", "b", "c", "d"], axis=1)
    frame["kind"] = data.target_names[data.target]
    frame.to_csv(tmp_path / "flowers.csv", index=False)
    return tmp_path / "flowers.csv"


def run(*arguments):
    return main([*map(str, arguments)])


def train(data, target, model, *more):
    return run("train", "--data", data, "--target", target, "--model", model, "--epochs", 300, "--size", "64-32", *more)


def test_train_inspect_predict_numbers(houses, tmp_path, capsys):
    model, output = tmp_path / "houses.skops", tmp_path / "prices.csv"
    assert train(houses, "price", model) == 0
    told = capsys.readouterr().out
    assert f"Model, as tested: {model}" in told
    assert "Iteration 30, loss" in told
    pipeline, table = fastbp.load(model), pd.read_csv(houses)
    assert run("predict", "--model", model, "--data", houses, "--output", output) == 0
    predicted = pd.read_csv(output)["prediction"].to_numpy()
    assert len(predicted) == len(table)
    assert np.corrcoef(predicted, table["price"])[0, 1] > 0.5  # in the target's own unit
    assert abs(predicted.mean() / table["price"].mean() - 1) < 0.5
    frame = table.assign(kind=table["kind"].fillna(""))
    dates = pd.to_datetime(table["sold"])
    frame["sold (days)"] = (dates - pd.Timestamp(0)).dt.days.astype(float)
    for name, phase in {"season": (dates.dt.day_of_year - 1) / 365.25, "weekday": dates.dt.day_of_week / 7}.items():
        frame[f"sold ({name}, sine)"], frame[f"sold ({name}, cosine)"] = np.sin(2 * np.pi * phase), np.cos(2 * np.pi * phase)
    np.testing.assert_allclose(predicted, pipeline.predict(frame), rtol=1e-9)

    capsys.readouterr()
    assert run("inspect", model) == 0
    told = capsys.readouterr().out
    assert "words         kind" in told
    assert "-64-32-1, " in told

    other = table.drop(columns="price").iloc[::-1].assign(kind="castle", more=1)  # another order, a column more, a new word
    other.to_csv(tmp_path / "other.csv", index=False, columns=["more", "sold", "kind", "size"])
    assert run("predict", "--model", model, "--data", tmp_path / "other.csv") == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 121
    assert "120 cells hold words unseen in training: 'castle'" in err


def test_classes_from_parquet_and_standard_input(flowers, tmp_path, capsys, monkeypatch):
    model, table = tmp_path / "flowers.skops", pd.read_csv(flowers)
    assert train(flowers, "kind", model) == 0
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(flowers.read_bytes())))
    assert run("predict", "--model", model, "--data", "-", "--proba") == 0
    piped = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert (piped["prediction"] == table["kind"]).mean() > 0.8
    pipeline = fastbp.load(model)
    np.testing.assert_allclose(piped[["P(setosa)", "P(versicolor)", "P(virginica)"]], pipeline.predict_proba(table), rtol=1e-9)
    pytest.importorskip("pyarrow")
    table.to_parquet(tmp_path / "flowers.parquet")
    assert run("predict", "--model", model, "--data", tmp_path / "flowers.parquet", "--proba") == 0
    np.testing.assert_array_equal(pd.read_csv(io.StringIO(capsys.readouterr().out)), piped)


def test_exports_predict_the_same(flowers, tmp_path, capsys):
    model, table = tmp_path / "flowers.skops", pd.read_csv(flowers)
    assert train(flowers, "kind", model) == 0
    pipeline = fastbp.load(model)
    assert run("export", model, "--output", tmp_path / "theirs.skops") == 0
    theirs = fastbp.load(tmp_path / "theirs.skops")
    assert type(theirs[-1]).__name__ == "MLPClassifier"
    np.testing.assert_allclose(theirs.predict_proba(table), pipeline.predict_proba(table), rtol=1e-9)

    capsys.readouterr()
    assert run("export", model, "--output", tmp_path / "flowers.c", "--dtype", "float64") == 0
    assert "in this order: a, b, c, d" in capsys.readouterr().out
    scaler = pipeline[0].transformers_[0][1][-1]  # which C has in its first layer; tests/test_interchange.py runs such files
    assert (tmp_path / "flowers.c").read_text() == fastbp.to_c(make_pipeline(scaler, pipeline[-1]), dtype="float64")

    pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    assert run("export", model, "--output", tmp_path / "flowers.onnx") == 0
    session = runtime.InferenceSession(tmp_path / "flowers.onnx")
    label, probabilities = session.run(None, {"X": table.to_numpy()[:, :4].astype(np.float32)})
    np.testing.assert_array_equal(label, pipeline.predict(table))
    np.testing.assert_allclose(probabilities, pipeline.predict_proba(table), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_words_are_exported_too(dtype, houses, tmp_path, capsys):
    """With more of them than columns, missing ones, and such as training has not seen."""
    pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    table, rng, model = pd.read_csv(houses), np.random.RandomState(0), tmp_path / "houses.skops"
    table["street (of it)"] = [f"street {int(i)}" for i in rng.exponential(40, len(table))]
    pd.concat([table] * 4).to_csv(houses, index=False)
    assert train(houses, "price", model, "--epochs", 30) == 0
    pipeline = fastbp.load(model)
    assert pipeline[0].named_transformers_["words"].infrequent_categories_[1] is not None
    capsys.readouterr()
    assert run("export", model, "--output", tmp_path / "houses.onnx", "--dtype", dtype) == 0
    told = capsys.readouterr().out
    assert "in the order of training: size, kind (text), sold__days_" in told and "street__of_it_ (text)" in told
    frame = pd.DataFrame({name: rng.normal(0, 1, len(table)) for name in pipeline.feature_names_in_}).assign(
        **{"size": table["size"].fillna(99.0), "kind": table["kind"].fillna(""), "street (of it)": table["street (of it)"]}
    )
    frame.loc[7, ["kind", "street (of it)"]] = ["castle", "nowhere"]
    if dtype == "float32":
        frame.loc[3, "size"] = np.nan
    else:
        assert "--dtype float32 runs there" in told
        return
    session = runtime.InferenceSession(tmp_path / "houses.onnx")
    assert len(session.get_inputs()) == frame.shape[1]
    rows = {
        one.name: frame[name].to_numpy(object if one.type == "tensor(string)" else dtype).reshape(-1, 1)
        for name, one in zip(frame, session.get_inputs(), strict=True)
    }
    (found,) = session.run(None, rows)
    np.testing.assert_allclose(found.ravel(), pipeline.predict(frame), rtol=1e-4)


@pytest.mark.parametrize("kind", ["pipeline", "search", "table"])
def test_models_of_python_with_words_are_exported_or_refused(kind, houses, tmp_path, capsys):
    pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    table = pd.read_csv(houses).dropna()
    X, y = table[["size", "kind"]], np.where(table["price"] > table["price"].median(), "dear", "cheap")
    encoded = make_column_transformer((StandardScaler(), ["size"]), (OneHotEncoder(), ["kind"]))
    model = make_pipeline(encoded, fastbp.BPClassifier((5,), solver="lbfgs", max_iter=50, random_state=0))
    if kind == "search":
        model = fastbp.BPSearchCV(model, {"bpclassifier__alpha": [1e-4, 1e-2]}, cv=2)
    if kind == "table":
        model = fastbp.BPTabularClassifier("fast", random_state=0)
    fastbp.save(model.fit(X, y), tmp_path / "model.skops")
    capsys.readouterr()
    codes = {end: run("export", tmp_path / "model.skops", "--output", tmp_path / f"m.{end}") for end in ("onnx", "c", "skops")}
    err = capsys.readouterr().err
    assert err.count("\n") == [*codes.values()].count(2)
    assert codes["c"] == 2 and "C takes numbers, but the model takes text in 'kind'" in err
    assert codes["skops"] == (2 if kind == "table" else 0)
    if kind == "table" and codes["onnx"] == 2:
        assert "it cannot be exported: This BPTabularClassifier has no form in ONNX" in err
        return
    session = runtime.InferenceSession(tmp_path / "m.onnx")
    rows = {"size": X[["size"]].to_numpy(np.float32), "kind": X[["kind"]].to_numpy(object)}
    np.testing.assert_array_equal(session.run(None, rows)[0], model.predict(X))
    if kind != "table":
        np.testing.assert_array_equal(fastbp.load(tmp_path / "m.skops").predict(X), model.predict(X))


def test_a_model_of_another_scikit_learn_is_told(flowers, tmp_path, capsys):
    model = tmp_path / "flowers.skops"
    assert train(flowers, "kind", model, "--epochs", 2) == 0
    version = sklearn.__version__
    written = f'\\"{version}\\"'.encode()  # text within text
    with zipfile.ZipFile(model) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert written in parts["schema.json"]
    parts["schema.json"] = parts["schema.json"].replace(written, rb"\"0.9.9\"")
    with zipfile.ZipFile(model, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    capsys.readouterr()
    assert run("predict", "--model", model, "--data", flowers) == 0
    err = capsys.readouterr().err
    assert err.startswith(f"note: {model} was saved with scikit-learn 0.9.9 and is read with {version}, ")
    assert err.count("\n") == 1


def test_a_model_of_another_fastbp_is_told(flowers, tmp_path, capsys, monkeypatch):
    model = tmp_path / "flowers.skops"
    with monkeypatch.context() as patched:
        patched.setattr(fastbp, "__version__", "0.0.7")
        assert train(flowers, "kind", model, "--epochs", 2) == 0
    capsys.readouterr()
    assert run("predict", "--model", model, "--data", flowers) == 0
    err = capsys.readouterr().err
    assert err.startswith(f"note: {model} was saved with fastbp 0.0.7 and is read with {fastbp.__version__}, ")
    assert err.count("\n") == 1


def test_models_that_save_has_written(flowers, tmp_path, capsys):
    table = pd.read_csv(flowers)
    X = table.to_numpy()[:, :4].astype(float)
    network = fastbp.BPClassifier((5,), max_iter=30, random_state=0).fit(X, table["kind"])
    path = tmp_path / "network.safetensors"
    fastbp.save(network, path)
    table.drop(columns="kind").to_csv(tmp_path / "bare.csv", index=False)
    assert run("predict", "--model", path, "--data", tmp_path / "bare.csv") == 0
    np.testing.assert_array_equal(pd.read_csv(io.StringIO(capsys.readouterr().out))["prediction"], network.predict(X))
    assert run("inspect", path) == 0
    assert "BPClassifier" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["columns", "labels", "sparse labels", "neighbors"])
def test_probabilities_of_several_columns(kind, flowers, tmp_path, capsys):
    """Of each class of each column of classes, or of each label; the larger one is what is predicted."""
    table = pd.read_csv(flowers)
    X, size = table[list("abcd")], np.where(table["c"] > 5, "big", "small")
    model, path = fastbp.BPClassifier((5,), max_iter=30, random_state=0), tmp_path / "model.skops"
    if kind == "columns":
        names = [["setosa", "versicolor", "virginica"], ["big", "small"]]
        model.fit(X, np.column_stack([table["kind"], size]))
    else:
        names = [["1"]] * 3
        Y = np.column_stack([table["kind"] != "setosa", size == "big", table["d"] > 1]).astype(int)
        if kind == "neighbors":  # scikit-learn's own estimators tell of both labels
            names = [["0", "1"]] * 3
            model = KNeighborsClassifier(9, algorithm="brute")
        model.fit(X, csr_matrix(Y) if kind == "sparse labels" else Y)
    fastbp.save(model, path)
    assert run("predict", "--model", path, "--data", flowers, "--proba") == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = pd.read_csv(io.StringIO(out))
    of_column = [[f"P(prediction {i} = {name})" for name in its] for i, its in enumerate(names, 1)]
    assert list(found) == [*(f"prediction {i}" for i in range(1, len(names) + 1)), *chain.from_iterable(of_column)]
    predicted = model.predict(X)
    np.testing.assert_array_equal(found.iloc[:, : len(names)], predicted.toarray() if kind == "sparse labels" else predicted)
    probabilities = model.predict_proba(X)
    if isinstance(probabilities, list):
        probabilities = np.hstack(probabilities)
    np.testing.assert_allclose(found.iloc[:, len(names) :], probabilities, rtol=1e-12)
    for i, columns in enumerate(of_column, 1):
        if len(columns) > 1:
            best = [names[i - 1][at] for at in found[columns].to_numpy().argmax(axis=1)]
            assert found[f"prediction {i}"].astype(str).tolist() == best
        else:
            np.testing.assert_array_equal(found[columns[0]] > 0.5, found[f"prediction {i}"] == 1)
    if kind == "columns":
        assert run("inspect", path) == 0
        assert "classes       setosa, versicolor, virginica; big, small" in capsys.readouterr().out


COMMAND = [sys.executable, "-u", "-m", "fastbp"]


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a process of its own")
def test_ctrl_c_ends_the_training_and_what_it_has_learnt_is_saved(tmp_path):
    rng = np.random.RandomState(0)
    table = pd.DataFrame(rng.normal(size=(12000, 20)), columns=[f"x{i}" for i in range(20)]).round(3)
    table.assign(y=table["x0"] > 0).to_csv(tmp_path / "table.csv", index=False)
    model = tmp_path / "model.skops"
    options = [
        "train",
        "--data",
        tmp_path / "table.csv",
        "--target",
        "y",
        "--model",
        model,
        "--size",
        "512-512",
        "--epochs",
        "10",
    ]
    process = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stdout:
            if line.startswith("Iteration 1,"):
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=600)
    finally:
        process.kill()
    assert (process.returncode, err) == (130, "")
    assert out.endswith(f"Model, as tested: {model}\nStopped by Ctrl-C.\n")
    pipeline = fastbp.load(model)
    assert 1 <= pipeline[-1].n_iter_ < 10
    told = float(re.search(r"^accuracy ([\d.]+) ", out, re.MULTILINE)[1])
    assert told > 0.8
    assert abs(pipeline.score(table, (table["x0"] > 0).astype(str)) - told) < 0.2


def test_pipes_from_the_table_to_the_predictions(flowers, tmp_path):
    """The table and the predictions through pipes; what is said goes elsewhere."""
    model, table = tmp_path / "flowers.skops", pd.read_csv(flowers)

    def piped(*arguments):
        return subprocess.run([*COMMAND, *arguments], input=flowers.read_bytes(), capture_output=True, check=True)

    trained = piped("train", "--data", "-", "--target", "kind", "--model", model, "--epochs", "30")
    assert b"standard input: 150 rows" in trained.stdout
    assert (trained.stderr, b"\x1b" in trained.stdout) == (b"", False)
    predicted = piped("predict", "--model", model, "--data", "-", "--output", "-")
    np.testing.assert_array_equal(pd.read_csv(io.BytesIO(predicted.stdout))["prediction"], fastbp.load(model).predict(table))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_terminal_gets_a_line_that_is_written_over(flowers, tmp_path):
    import pty

    ours, theirs = pty.openpty()
    options = ["train", "--data", flowers, "--target", "kind", "--model", tmp_path / "flowers.skops", "--epochs", "300"]
    process = subprocess.Popen([*COMMAND, *options], stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the end of a terminal
        while piece := os.read(ours, 2**16):
            shown += piece
    os.close(ours)
    assert process.wait(timeout=600) == 0
    assert b"\r\x1b[KIteration " in shown
    assert b" s more" in shown


def test_exit_codes(flowers, tmp_path, monkeypatch, capsys):
    """0: done; 1: what was asked for could not be brought about; 2: it cannot be asked for."""
    model, table = tmp_path / "flowers.skops", pd.read_csv(flowers)
    assert train(flowers, "kind", model, "--epochs", 2) == 0
    content = model.read_bytes()
    table.drop(columns="kind").to_csv(tmp_path / "bare.csv", index=False)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    def lost(*arguments):
        raise ValueError("the loss became NaN")

    with monkeypatch.context() as patched:
        patched.setattr("fastbp.BPClassifier.fit", lost)
        assert train(flowers, "kind", model) == 1
    assert "the training failed: the loss became NaN" in capsys.readouterr().err
    assert model.read_bytes() == content

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        for arguments in (
            ["train", "--data", flowers, "--target", "kind", "--model", model, "--epochs", 2],
            ["predict", "--model", model, "--data", flowers, "--output", tmp_path / "out.csv"],
            ["export", model, "--output", tmp_path / "flowers.c"],
        ):
            capsys.readouterr()
            assert run(*arguments) == 1
            err = capsys.readouterr().err
            assert err.count("\n") == 1 and "No space left on device" in err
    assert model.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare.csv", "flowers.csv", "flowers.skops"]
    rows = 1e200 * table[list("abcd")]
    rows.assign(kind=table["kind"]).to_csv(tmp_path / "huge.csv", index=False)
    assert train(tmp_path / "huge.csv", "kind", model) == 2
    assert model.read_bytes() == content


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="there is no such device")
def test_devices_are_written_to_and_stay(flowers, tmp_path, capsys):
    model, pipe = tmp_path / "flowers.skops", tmp_path / "pipe"
    assert train(flowers, "kind", model, "--epochs", 2) == 0
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        assert run("predict", "--model", model, "--data", flowers, "--output", pipe) == 0
        assert len(reader.stdout.read().splitlines()) == 151
    assert pipe.is_fifo()
    pipe.rename(tmp_path / "pipe.skops")
    capsys.readouterr()
    assert train(flowers, "kind", tmp_path / "pipe.skops") == 2
    assert "exists and is not a file" in capsys.readouterr().err


def test_the_entry_point_is_the_command_line(capsys):
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert list(scripts) == ["fastbp"]
    entry = EntryPoint("fastbp", scripts["fastbp"], "console_scripts").load()
    for command in ([], ["train"], ["predict"], ["inspect"], ["export"]):
        with pytest.raises(SystemExit) as ended:
            entry([*command, "--help"])
        assert ended.value.code == 0
        assert "example" in capsys.readouterr().out


def test_one_line_says_what_is_wrong(flowers, houses, tmp_path, capsys):
    model, mixed = tmp_path / "flowers.skops", tmp_path / "mixed.skops"
    assert train(flowers, "kind", model, "--epochs", 2) == train(houses, "price", mixed, "--epochs", 2) == 0
    (tmp_path / "torn.skops").write_bytes(model.read_bytes()[:2000])
    (tmp_path / "text.skops").write_text("no model")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1" + zlib.compress(b"x" * 100))
    pd.read_csv(flowers).drop(columns="b").to_csv(tmp_path / "less.csv", index=False)
    wrong = {
        "no column 'b'": ["predict", "--model", model, "--data", tmp_path / "less.csv"],
        "cannot read": ["predict", "--model", tmp_path / "none.skops", "--data", flowers],
        "torn.skops": ["inspect", tmp_path / "torn.skops"],
        "text.skops": ["inspect", tmp_path / "text.skops"],
        "is no classifier": ["predict", "--model", mixed, "--data", houses, "--proba"],
        "no folder": ["predict", "--model", model, "--data", flowers, "--output", tmp_path / "none" / "out.csv"],
        "ends neither in": ["export", model, "--output", tmp_path / "model.txt"],
        "C takes numbers, but the model takes text in 'kind'": ["export", mixed, "--output", tmp_path / "mixed.c"],
        "does not end in .skops": ["train", "--data", flowers, "--target", "kind", "--model", tmp_path / "model.pkl"],
        "File name too long": ["train", "--data", flowers, "--target", "kind", "--model", f"{'x' * 300}.skops"],
        "no column 'color'": ["train", "--data", flowers, "--target", "color", "--model", tmp_path / "model.skops"],
        "is no Parquet file": ["predict", "--model", model, "--data", tmp_path / "torn.parquet"],
    }
    if not _has_pyarrow():
        wrong["needs pandas and pyarrow"] = wrong.pop("is no Parquet file")
    before = sorted(tmp_path.iterdir())
    for what, arguments in wrong.items():
        capsys.readouterr()
        assert run(*arguments) == 2, what
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert what in err
    assert sorted(tmp_path.iterdir()) == before
    for arguments in (["train"], ["predict", "--model", model], ["export", model, "--wrong"]):
        with pytest.raises(SystemExit) as ended:
            run(*arguments)
        assert ended.value.code == 2
    with pytest.raises(SystemExit) as ended:
        run("predict", "--help")
    assert ended.value.code == 0
    assert "examples:" in capsys.readouterr().out


def _has_pyarrow():
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return False
    return True
