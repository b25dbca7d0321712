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

pytestmark = pytest.mark.slow

pd = pytest.importorskip("pandas")
pytest.importorskip("skops")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def houses(tmp_path):
    """A table with numbers, words, dates and missing values in all of them, and a price."""
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


PLAIN = ("--size", "64-32", "--epochs", 300)
SIZES = {"table": (), "plain": PLAIN}  # what train is asked for: the estimator for tables, or a plain network


def train(data, target, model, *more):
    return run("train", "--data", data, "--target", target, "--model", model, *(more or PLAIN))


@pytest.mark.parametrize("asked", SIZES)
def test_train_inspect_predict_numbers(asked, houses, tmp_path, capsys):
    model, output = tmp_path / "houses.skops", tmp_path / "prices.csv"
    assert run("train", "--data", houses, "--target", "price", "--model", model, *SIZES[asked]) == 0
    told = capsys.readouterr().out
    assert f"Model, as tested: {model}" in told
    assert ("training BPTabularRegressor" in told) == (asked == "table")
    assert ("Iteration 30, loss" in told) == (asked == "plain")
    estimator, table = fastbp.load(model), pd.read_csv(houses, parse_dates=["sold"])
    assert isinstance(estimator, fastbp.BPTabularRegressor) == (asked == "table")
    assert run("predict", "--model", model, "--data", houses, "--output", output) == 0
    predicted = pd.read_csv(output)["prediction"].to_numpy()
    assert len(predicted) == len(table)
    assert np.corrcoef(predicted, table["price"])[0, 1] > 0.5  # in the target's own unit
    assert abs(predicted.mean() / table["price"].mean() - 1) < 0.5
    np.testing.assert_allclose(predicted, estimator.predict(table[estimator.feature_names_in_]), rtol=1e-6)

    capsys.readouterr()
    assert run("inspect", model) == 0
    told = capsys.readouterr().out
    assert "words         kind" in told and "dates         sold" in told
    assert ("-64-32-1, " if asked == "plain" else "-64-64-64-1, ") in told

    other = table.drop(columns="price").iloc[::-1].assign(kind="castle", more=1)  # another order, a column more, a new word
    other.to_csv(tmp_path / "other.csv", index=False, columns=["more", "sold", "kind", "size"])
    assert run("predict", "--model", model, "--data", tmp_path / "other.csv") == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 121
    assert "120 cells hold words unseen in training: 'castle'" in err


def test_an_end_at_the_limit_of_epochs_is_told(flowers, tmp_path, capsys):
    model = tmp_path / "flowers.skops"
    assert train(flowers, "kind", model, "--size", 8, "--epochs", 5) == 0
    assert "note: the loss was still falling after 5 epochs: more --epochs may fit better\n" in capsys.readouterr().out
    assert train(flowers, "kind", model, "--size", 8, "--epochs", 5000) == 0
    assert "still falling" not in capsys.readouterr().out


@pytest.mark.parametrize("asked", SIZES)
def test_verbose_says_how_the_training_goes(asked, flowers, tmp_path, capsys):
    options = (*SIZES[asked], "--epochs", 3)
    assert train(flowers, "kind", tmp_path / "flowers.skops", *options) == 0
    assert "teration 2, loss" not in capsys.readouterr().out or asked == "plain"
    assert train(flowers, "kind", tmp_path / "flowers.skops", *options, "--verbose") == 0
    assert "teration 2, loss" in capsys.readouterr().out


def test_classes_from_parquet_and_standard_input(flowers, tmp_path, capsys, monkeypatch):
    model, table = tmp_path / "flowers.skops", pd.read_csv(flowers)
    assert train(flowers, "kind", model) == 0
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(flowers.read_bytes())))
    assert run("predict", "--model", model, "--data", "-", "--proba") == 0
    piped = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert (piped["prediction"] == table["kind"]).mean() > 0.8
    pipeline = fastbp.load(model)
    expected = pipeline.predict_proba(table[list("abcd")])
    np.testing.assert_allclose(piped[["P(setosa)", "P(versicolor)", "P(virginica)"]], expected, rtol=1e-6)
    pytest.importorskip("pyarrow")
    table.to_parquet(tmp_path / "flowers.parquet")
    assert run("predict", "--model", model, "--data", tmp_path / "flowers.parquet", "--proba") == 0
    np.testing.assert_array_equal(pd.read_csv(io.StringIO(capsys.readouterr().out)), piped)


def test_exports_predict_the_same(flowers, tmp_path, capsys):
    model, table = tmp_path / "flowers.skops", pd.read_csv(flowers)
    assert train(flowers, "kind", model) == 0
    pipeline = fastbp.load(model)
    for end in ("onnx", "c"):
        capsys.readouterr()
        assert run("export", model, "--output", tmp_path / f"flowers.{end}") == 0
        out = capsys.readouterr().out  # of numbers alone: no word on text or dates
        assert out.splitlines()[1:] == ["note: a missing value is NaN among numbers", f"{end}: {tmp_path / f'flowers.{end}'}"]
    assert run("export", model, "--output", tmp_path / "theirs.skops") == 0
    theirs = fastbp.load(tmp_path / "theirs.skops")
    assert type(theirs[-1]).__name__ == "MLPClassifier"
    table = table[list("abcd")]
    np.testing.assert_allclose(theirs.predict_proba(table), pipeline.predict_proba(table), rtol=1e-5)


@pytest.mark.parametrize("target", ["price", "dear"])
@pytest.mark.parametrize("asked", SIZES)
def test_what_train_saves_is_exported_whole(asked, target, houses, tmp_path, capsys):
    """Words, more of them than columns, missing ones, and such as training has not seen; dates and numbers that are missing."""
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    table, rng, model = pd.read_csv(houses), np.random.RandomState(0), tmp_path / "houses.skops"
    table["street (of it)"] = [f"street {int(i)}" for i in rng.exponential(40, len(table))]
    table["dear"] = (
        np.where(table["price"] > table.pop("price").median(), "yes", "no") if target == "dear" else table.pop("price")
    )
    table = table.rename(columns={"dear": target})
    pd.concat([table] * 4).to_csv(houses, index=False)
    assert run("train", "--data", houses, "--target", target, "--model", model, *SIZES[asked], "--epochs", 30) == 0
    estimator = fastbp.load(model)
    frame = table.assign(sold=pd.to_datetime(table["sold"]))[estimator.feature_names_in_]
    frame.loc[7, ["kind", "street (of it)"]] = ["castle", "nowhere"]
    frame.loc[3, "sold"] = pd.NaT
    expected = estimator.predict(frame)
    numbers = {"size": frame["size"], "sold": (frame["sold"] - pd.Timestamp(0)).dt.total_seconds() / 86400}
    words = {name: frame[name].where(frame[name].notna(), "") for name in ("kind", "street (of it)")}

    capsys.readouterr()
    assert run("export", model, "--output", tmp_path / "houses.onnx") == 0
    out = capsys.readouterr().out
    assert "kind (text)" in out and 'NaN among numbers and dates, "" among text\n' in out
    session = runtime.InferenceSession(tmp_path / "houses.onnx")
    rows = {name: values.to_numpy(np.float64)[:, np.newaxis] for name, values in numbers.items()}
    rows |= {name: values.to_numpy(object)[:, np.newaxis] for name, values in words.items()}
    found = session.run(None, rows)[0].ravel()
    assert run("export", model, "--output", tmp_path / "houses.c", "--dtype", "float64") == 0
    assert "predict_code" in (tmp_path / "houses.c").read_text()
    if target == "dear":
        assert (found == expected).mean() > 0.99  # all except ties
        probabilities = session.run(None, rows)[1]
        np.testing.assert_allclose(probabilities, estimator.predict_proba(frame), atol=1e-4)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-3)


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
    assert codes["c"] == 2 * (kind != "table") and ("C takes numbers, but the model takes text in 'kind'" in err) == (
        kind != "table"
    )
    assert codes["skops"] == (2 if kind == "table" else 0) and codes["onnx"] == 0
    session = runtime.InferenceSession(tmp_path / "m.onnx")
    dtype = np.float64 if kind == "table" else np.float32
    rows = {"size": X[["size"]].to_numpy(dtype), "kind": X[["kind"]].to_numpy(object)}
    np.testing.assert_array_equal(session.run(None, rows)[0], model.predict(X))
    if kind != "table":
        np.testing.assert_array_equal(fastbp.load(tmp_path / "m.skops").predict(X), model.predict(X))


def test_a_model_of_another_scikit_learn_is_told(flowers, tmp_path, capsys):
    model = tmp_path / "flowers.skops"
    assert train(flowers, "kind", model, "--size", 8, "--epochs", 2) == 0
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
        assert train(flowers, "kind", model, "--size", 8, "--epochs", 2) == 0
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
    np.testing.assert_array_equal(
        pd.read_csv(io.BytesIO(predicted.stdout))["prediction"], fastbp.load(model).predict(table[list("abcd")])
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize("asked", SIZES)
def test_a_terminal_gets_a_line_that_is_written_over(asked, flowers, tmp_path):
    import pty

    ours, theirs = pty.openpty()
    options = ["train", "--data", flowers, "--target", "kind", "--model", tmp_path / "flowers.skops", "--epochs", "300"]
    options += map(str, SIZES[asked])
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
    assert len([line for line in shown.split(b"\n") if b"Iteration " in line]) == 1  # however many networks


def test_exit_codes(flowers, tmp_path, monkeypatch, capsys):
    """0: done; 1: what was asked for could not be brought about; 2: it cannot be asked for."""
    model, table = tmp_path / "flowers.skops", pd.read_csv(flowers)
    assert train(flowers, "kind", model, "--size", 8, "--epochs", 2) == 0
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
            ["train", "--data", flowers, "--target", "kind", "--model", model, "--size", 8, "--epochs", 2],
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
    assert train(flowers, "kind", model, "--size", 8, "--epochs", 2) == 0
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
    verbs = ("search", "train", "predict", "inspect", "export", "warmup")
    for verb in verbs:
        with pytest.raises(SystemExit) as ended:
            entry([verb, "--help"])
        assert ended.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: python -m fastbp {verb} ")
    for arguments, code in ((["--help"], 0), (["bogus"], 2)):
        with pytest.raises(SystemExit) as ended:
            entry(arguments)
        assert ended.value.code == code
        said = "".join(capsys.readouterr())
        assert all(verb in said for verb in verbs)
    with pytest.raises(SystemExit) as ended:
        entry(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"fastbp {fastbp.__version__}\n")


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
