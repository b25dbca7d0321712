"""python -m fastbp: the search, its ranking and picture, errors in one line, Ctrl-C. What it reads is in test_table.py."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.metrics import classification_report, mean_absolute_error, r2_score
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp
from fastbp import BPTabularClassifier, BPTabularRegressor, TableEncoder
from fastbp.app.cli import main

pytestmark = pytest.mark.slow

SMALL = ["--sizes", "6", "4-3", "--folds", "2", "--epochs", "4", "--seed", "3"]


@pytest.fixture
def write(tmp_path):
    """Return a function that writes rows, or text as it stands, to a CSV file and returns its path."""

    def write(content, name="table.csv", encoding="utf-8"):
        path = tmp_path / name
        if isinstance(content, str):
            path.write_text(content, encoding=encoding)
        else:
            with path.open("w", newline="") as file:
                csv.writer(file).writerows(content)
        return path

    return write


@pytest.fixture
def iris(write):
    """A file with numbers, a text column, missing values in both, and a text target."""
    data = load_iris()
    rng = np.random.RandomState(0)
    rows = [["length", "width", "colour", "kind"]]
    for x, y in zip(data.data, data.target, strict=True):
        colour = ["", "white", "blue"][rng.randint(3)]
        length = "NA" if rng.rand() < 0.1 else x[2]
        rows.append([length, x[3], colour, data.target_names[y]])
    return write(rows, "iris.csv")


@pytest.fixture
def diabetes(write):
    """A file with a target to regress on."""
    X, y = load_diabetes(return_X_y=True)
    return write([["bmi", "pressure", "s5", "progress"], *np.column_stack([X[:, [2, 3, 8]], y]).tolist()], "diabetes.csv")


def run(arguments, tmp_path):
    return main([*map(str, arguments), "--output", str(tmp_path / "sizes.png")])


def ranking(text):
    """Return the ranked table of the output as (rank, sizes, mean, std, seconds, epochs)."""
    pattern = r"^ *(\d+)   ([\d-]+) +(-?[\d.]+) ± ([\d.]+) +([\d.]+) +(\d+)\*?$"
    return [match.groups() for match in re.finditer(pattern, text, re.MULTILINE)]


def as_a_table(text):
    """Return the row of the estimator for tables as (mean, std, epochs)."""
    return re.search(r"^   -   as a table +(-?[\d.]+) ± ([\d.]+) +[\d.]+ +(\d+)$", text, re.MULTILINE).groups()


def test_digits_ranking_report_and_picture(tmp_path, capsys):
    assert run(SMALL, tmp_path) == 0
    out, err = capsys.readouterr()
    assert err == ""

    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=359, stratify=y, random_state=3)
    model = make_pipeline(StandardScaler(), MLPClassifier(max_iter=4, random_state=3))
    sizes = {"mlpclassifier__hidden_layer_sizes": [(6,), (4, 3)]}
    search = GridSearchCV(model, sizes, cv=StratifiedKFold(2, shuffle=True, random_state=3)).fit(X_train, y_train)
    means, stds = (search.cv_results_[f"{name}_test_score"] for name in ("mean", "std"))
    order = np.argsort(search.cv_results_["rank_test_score"])
    expected = [(str(rank), ["6", "4-3"][i], f"{means[i]:.4f}", f"{stds[i]:.4f}") for rank, i in enumerate(order, 1)]
    assert [row[:4] for row in ranking(out)] == expected
    assert all(row[5] == "4" for row in ranking(out))
    assert "more than --epochs 4 may score higher" in out
    assert classification_report(y_test, search.predict(X_test), digits=3, zero_division=0).rstrip() in out
    assert "their predictions agree on 359 of the 359 test rows" in out
    assert re.search(r"\[1/2\] .*\n\[2/2\] ", out)
    assert max(map(len, out.splitlines())) <= 100
    assert (tmp_path / "sizes.png").read_bytes().startswith(b"\x89PNG")


def test_the_estimator_for_tables_stands_beside_the_ranking(iris, tmp_path, capsys):
    assert run(["--data", iris, "--target", "kind", *SMALL, "--no-compare"], tmp_path) == 0
    out = capsys.readouterr().out
    table = pd.read_csv(iris, keep_default_na=False, na_values="NA")
    X, y = table.drop(columns="kind").replace({"colour": {"": None}}), table["kind"]
    X, X_test, y, y_test = train_test_split(X, y, test_size=30, stratify=y, random_state=3)
    folds = list(StratifiedKFold(2, shuffle=True, random_state=3).split(X, y))
    model = BPTabularClassifier(cv=folds, random_state=3).fit(X, y)
    rows = model.encoder_.transform(X)
    codes = np.unique(y, return_inverse=True)[1]
    scores = [network.score(rows[test], codes[test]) for network, (_, test) in zip(model.networks_, folds, strict=True)]
    assert as_a_table(out) == (f"{np.mean(scores):.4f}", f"{np.std(scores):.4f}", "48")
    assert f"\nBPTabularClassifier on the same rows: accuracy {np.mean(model.predict(X_test) == y_test):.4f}\n" in out
    assert "as a table: BPTabularClassifier, 64-64-64, with" in out
    assert run(["--data", iris, "--target", "kind", *SMALL, "--no-compare", "--no-tabular"], tmp_path) == 0
    again = capsys.readouterr().out
    assert "as a table" not in again and [row[:4] for row in ranking(again)] == [row[:4] for row in ranking(out)]


def test_the_estimator_for_tables_on_numbers(diabetes, tmp_path, capsys):
    assert run(["--data", diabetes, "--target", "progress", *SMALL, "--no-compare", "--quick"], tmp_path) == 0
    data = np.loadtxt(diabetes, delimiter=",", skiprows=1)
    X, _, y, _ = train_test_split(data[:, :3], data[:, 3], test_size=88, random_state=3)
    folds = list(KFold(2, shuffle=True, random_state=3).split(X))
    model = BPTabularRegressor("fast", cv=folds, random_state=3).fit(X, y)
    scores = [r2_score(y[test], model.oof_prediction_[test]) for _, test in folds]
    assert as_a_table(capsys.readouterr().out) == (f"{np.mean(scores):.4f}", f"{np.std(scores):.4f}", "16")


def test_an_estimator_for_tables_that_fails_is_told(tmp_path, capsys, monkeypatch):
    def fail(*arguments):
        raise ValueError("no such luck")

    monkeypatch.setattr(BPTabularClassifier, "fit", fail)
    assert run([*SMALL, "--no-compare"], tmp_path) == 0
    out = capsys.readouterr().out
    assert "note: BPTabularClassifier could not be trained: no such luck\n" in out and "as a table" not in out
    assert len(ranking(out)) == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_scores_do_not_depend_on_jobs(jobs, tmp_path, capsys):
    assert run([*SMALL, "--no-compare", "--jobs", jobs], tmp_path) == 0
    out = capsys.readouterr().out
    assert run([*SMALL, "--no-compare", "--jobs", 3], tmp_path) == 0
    assert [row[:4] for row in ranking(out)] == [row[:4] for row in ranking(capsys.readouterr().out)]
    assert "scikit-learn" not in out


def test_table_with_text_and_gaps(iris, tmp_path, capsys):
    assert run(["--data", iris, "--target", "kind", "--sizes", "8", "--epochs", "60", "--folds", "3"], tmp_path) == 0
    out = capsys.readouterr().out
    assert "iris.csv: 150 rows, 3 features, 3 classes" in out
    assert all(kind in out for kind in load_iris().target_names)
    assert "their predictions agree on 30 of the 30 test rows" in out


def test_regression(diabetes, tmp_path, capsys):
    assert run(["--data", diabetes, "--target", "progress", "--sizes", "5", "--epochs", "20", "--folds", "3"], tmp_path) == 0
    out = capsys.readouterr().out
    assert "442 rows, 3 features, regression" in out
    assert re.search(r"^R² -?\d\.\d{4}, MAE [\d.]+ \(always the mean: [\d.]+\)$", out, re.MULTILINE)
    difference, deviation = re.search(r"differ by at most (\S+) \(the target's deviation is (\S+)\)", out).groups()
    assert float(difference) < 1e-6 * float(deviation)

    data = pd.read_csv(diabetes)
    X, y = data.iloc[:, :3], data.iloc[:, 3].to_numpy()
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=88, random_state=0)
    scaler = StandardScaler().fit(y_train[:, np.newaxis])
    model = make_pipeline(TableEncoder(), MLPRegressor(hidden_layer_sizes=(5,), max_iter=20, random_state=0))
    folds = KFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(model, {}, cv=folds).fit(X_train, scaler.transform(y_train[:, np.newaxis]).ravel())
    mean, std = (search.cv_results_[f"{name}_test_score"][0] for name in ("mean", "std"))
    assert [row[:4] for row in ranking(out)] == [("1", "5", f"{mean:.4f}", f"{std:.4f}")]
    predicted = scaler.inverse_transform(search.predict(X_test)[:, np.newaxis])
    assert f"\nR² {r2_score(y_test, predicted):.4f}, MAE {mean_absolute_error(y_test, predicted):.4g} " in out


def test_task_can_be_set(write, tmp_path, capsys):
    rows = [["x", "grade"], *([i / 7, i % 4] for i in range(60))]
    path = write(rows)
    arguments = ["--data", path, "--target", "grade", "--sizes", "3", "--epochs", "2", "--folds", "2", "--no-compare"]
    assert run(arguments, tmp_path) == 0
    assert "4 classes" in capsys.readouterr().out
    assert run([*arguments, "--task", "regression"], tmp_path) == 0
    assert "regression" in capsys.readouterr().out


def test_fractions_as_classes(write, tmp_path, capsys):
    path = write([["x", "level"], *([i % 2 + i / 100, 0.5 + i % 2] for i in range(40))])
    assert run(["--data", path, "--target", "level", "--sizes", "3", "--epochs", "2", "--no-compare"], tmp_path) == 0
    assert "2 classes" in capsys.readouterr().out


def test_the_kinds_of_columns_are_said_before_the_search(write, tmp_path, capsys):
    rows = [["size", "city", "sold", "id", "price"]]
    rows += [[i, ["Bonn", "Rom"][i % 2], f"2024-01-{i % 28 + 1:02d}", f"n{i}", i + 0.5] for i in range(40)]
    rows[4][0] = rows[9][1] = ""
    arguments = ["--data", write(rows), "--target", "price", "--sizes", "3", "--epochs", "2", "--folds", "2", "--no-compare"]
    assert run(arguments, tmp_path) == 0
    before = capsys.readouterr().out.split("held out")[0].splitlines()
    assert before[:-1] == [
        "table.csv: 40 rows, 3 features, regression",
        "  target      price (numbers; --task classification says otherwise)",
        "  numbers     size (1 missing value)",
        "  dates       sold (2024-01-01 to 2024-01-28)",
        "  categories  city (2 values, 1 missing value)",
        "note: left out, nearly every row has a text of its own, like a name: column 'id'",
    ]


def test_a_wide_table_is_listed_in_few_lines(write, tmp_path, capsys):
    rows = [[*(f"number {i}" for i in range(500)), "y"], *([i] * 500 + [i / 3] for i in range(30))]
    for column in range(100):
        rows[3][column] = "?"
    arguments = ["--data", write(rows), "--target", "y", "--sizes", "3", "--epochs", "2", "--folds", "2", "--no-compare"]
    assert run(arguments, tmp_path) == 0
    out = capsys.readouterr().out
    assert "480 more" in out
    assert 10 < out.count("\nnote: ") < 50
    assert max(map(len, out.splitlines())) <= 100


def test_without_pandas_a_table_is_refused_and_the_digits_are_not(write, tmp_path):
    code = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name == "pandas":
            raise ImportError("hidden")
sys.meta_path.insert(0, Hide())
from fastbp.__main__ import main
options = ["--output", "sizes.png", "--sizes", "3", "--folds", "2", "--epochs", "2", "--no-compare"]
print(main(options), main(["--data", "table.csv", "--target", "b", *options]))
"""
    write(ROWS)
    environment = {**os.environ, "PYTHONPATH": str(Path(fastbp.__file__).parents[1])}
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert process.stderr == "python -m fastbp: error: reading a table needs pandas: pip install pandas\n"
    assert process.stdout.endswith("\n0 2\n")


def test_the_picture_shows_what_is_ranked(tmp_path, capsys, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib.figure", reason="matplotlib is not installed: pip install matplotlib")
    figures = []
    save = matplotlib.Figure.savefig
    monkeypatch.setattr(matplotlib.Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k)))
    assert run([*SMALL, "--no-compare"], tmp_path) == 0
    out = capsys.readouterr().out
    rows = {sizes: (float(mean), float(seconds)) for _, sizes, mean, _, seconds, _ in ranking(out)}
    best = max(rows, key=rows.get)
    scores, times = figures[0].axes
    assert [label.get_text() for label in scores.get_xticklabels()] == ["6", "4-3"]
    means, star = (line.get_ydata() for line in scores.lines[:1] + scores.lines[-1:])
    np.testing.assert_allclose(means, [rows["6"][0], rows["4-3"][0]], atol=5e-5)
    np.testing.assert_allclose(star, rows[best][0], atol=5e-5)
    np.testing.assert_allclose(scores.lines[-2].get_ydata(), float(as_a_table(out)[0]), atol=5e-5)
    np.testing.assert_allclose(times.lines[0].get_ydata(), [rows["6"][1], rows["4-3"][1]], atol=5e-4)
    assert f"best with {best}" in figures[0].get_suptitle()


def test_sizes_that_cannot_be_trained_are_told(tmp_path, capsys):
    huge = str(10**15)  # more than any machine can address
    arguments = ["--folds", "2", "--epochs", "2", "--no-compare"]
    assert run([*arguments, "--sizes", huge, "3"], tmp_path) == 0
    out = capsys.readouterr().out
    assert re.search(r"^note: .*more than fit", out, re.MULTILINE)
    assert re.search(rf"^   2   {huge} +failed ", out, re.MULTILINE)
    assert [row[1] for row in ranking(out)] == ["3"]
    assert run([*arguments, "--sizes", huge], tmp_path) == 2
    assert re.fullmatch(r"python -m fastbp: error: no network could be trained: .*more than fit.*\n", capsys.readouterr().err)


def test_without_matplotlib_it_goes_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert run([*SMALL, "--no-compare"], tmp_path) == 0
    out = capsys.readouterr().out
    assert out.count("No picture: matplotlib is not installed") == 1
    assert "accuracy" in out.split("No picture")[1]
    assert not (tmp_path / "sizes.png").exists()


ROWS = "a,b\n" + "\n".join(f"{i},{i % 2}" for i in range(20))


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (None, ["--data", "absent.csv", "--target", "b"], "cannot read absent.csv: No such file or directory"),
        (None, ["--data", ".", "--target", "b"], "cannot read .: Is a directory"),
        (None, ["--target", "b"], "--target needs --data FILE.csv"),
        (None, ["--task", "regression"], "the digits are classes"),
        (None, ["--sizes", "0"], "'0' is not a size such as 32 or 64-32"),
        (None, ["--sizes", "12x4"], "'12x4' is not a size such as 32 or 64-32"),
        (None, ["--epochs", "0"], "'0' is not a whole number from 1"),
        (None, ["--jobs", "-1"], "argument --jobs: '-1' is not a whole number from 1"),
        (None, ["--seed", str(2**32)], "is not a whole number from 0"),
        (None, ["--folds", "1"], "--folds: at least 2 are needed"),
        (None, ["--frobnicate"], "unrecognized arguments: --frobnicate"),
        (None, ["--output", "picture.jpeg"], "--output: picture.jpeg does not end in .png"),
        (None, ["--output", "absent/picture.png"], "--output: there is no folder"),
        (ROWS, [], "--data needs --target COLUMN"),
        (ROWS, ["--target", "c"], "has no column 'c'; it has the columns a, b"),
        ("height,weight\n1,2\n", ["--target", "wieght"], "has no column 'wieght'; did you mean 'weight'?"),
        ("", ["--target", "b"], "table.csv is empty"),
        ("a,b\n", ["--target", "b"], "has a header but no rows"),
        ("b\n1\n2\n", ["--target", "b"], "has one column only, 'b'"),
        ("a,b\n1,2\n1,2,3\n", ["--target", "b"], "line 3: 3 fields where the header has 2"),
        ("a,a\n1,2\n", ["--target", "a"], "has two columns named 'a'"),
        ("a,b\n1,\n2,NA\n", ["--target", "b"], "the target 'b' is empty in every row"),
        ("a,b\n,1\n,0\n", ["--target", "b"], "no column of"),
        ("a,b\n1,2\n3,4\n5,4\n", ["--target", "b"], "no class of the target has 3 rows"),
        ("a,b\n" + "1,2\n" * 9, ["--target", "b"], "9 rows are too few"),
        ("a,b\n" + "1,2\n" * 40, ["--target", "b"], "the target 'b' is '2' in every row"),
        ("a,b\n" + "1,2\n" * 40, ["--target", "b", "--task", "regression"], "the target 'b' is '2' in every row"),
        ("a,b\n" + "1,x\n2,y\n" * 20, ["--target", "b", "--task", "regression"], "--task regression needs numbers"),
        ("a,b\n" + "inf,1\n2,0\n" * 20, ["--target", "b"], "column 'a' holds 20 numbers that are infinite or beyond 1e+150"),
        ("a,b\n" + "1,1\n2,1e999\n" * 20, ["--target", "b"], "column 'b' holds 20 numbers that are infinite or beyond 1e+150"),
        ("a,b\n" + "1e300,1\n2,0\n" * 20, ["--target", "b"], "column 'a' holds 20 numbers"),
        ("a,b\n\x001,2\n", ["--target", "b"], "it holds NUL characters"),
        ("a,b\n" + "2024-05-01,1\n2024-05-02,2\n" * 9, ["--target", "a"], "the target 'a' holds dates, such as 2024-05-01"),
        ("a,b\n" + "".join(f"{i},{i}e60\n" for i in range(1, 40)), ["--target", "b"], "are beyond single precision"),
        (
            "a,b\n" + "".join(f"{i},{i}e-60\n" for i in range(1, 40)),
            ["--target", "b"],
            "such as 3.9e-59, are beyond single precision",
        ),
        (
            "a;b\n" + "".join(f"{i};{i}{',.'[i % 2]}5\n" for i in range(40)),
            ["--target", "b"],
            "it is read as names of classes, such as '0,5'",
        ),
        (ROWS, ["--target", "b", "--drop", "c"], "--drop: table.csv has no column 'c'"),
        (ROWS, ["--target", "b", "--drop", "b"], "--drop: 'b' is the target"),
        (ROWS, ["--target", "b", "--decimal", ",", "--thousands", ","], "--decimal and --thousands cannot be the same mark"),
        (ROWS, ["--target", "b", "--sep", "::"], "'::' is not one plain character"),
        (ROWS, ["--target", "b", "--encoding", "utf-9"], "'utf-9' is no encoding of text that Python knows"),
        (None, ["--decimal", ","], "--decimal needs --data FILE.csv"),
        (None, ["--drop", "a", "b"], "--drop needs --data FILE.csv"),
    ],
)
def test_bad_input_ends_with_one_line(content, arguments, message, write, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        write(content)
        arguments = ["--data", "table.csv", *arguments]
    try:
        code = main(arguments)
    except SystemExit as exit:
        code = exit.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("python -m fastbp: error: ")
    assert err.count("\n") == 1


# Twelve searches of about a second each: whatever comes after the first takes long enough to be ended.
LONG = ["--sizes", *(f"{width}-200" for width in range(250, 262)), "--folds", "2", "--epochs", "30", "--no-compare"]


def start(*arguments, **streams):
    command = [sys.executable, "-u", "-m", "fastbp", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **streams)


def read_until(process, start):
    lines = [process.stdout.readline()]
    while not lines[-1].startswith(start):
        assert lines[-1], process.stderr.read()
        lines.append(process.stdout.readline())


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a process of its own")
@pytest.mark.parametrize("jobs", [1, 2])
def test_interrupt_ends_with_what_is_finished(jobs, tmp_path):
    picture = tmp_path / "sizes.png"
    process = start(*LONG, "--jobs", jobs, "--output", picture)
    try:
        read_until(process, "[ 1/12]")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err == ""
    n_finished = int(re.search(r"^(\d+) of 12 sizes were finished\.$", out, re.MULTILINE)[1])
    assert 1 <= n_finished < 12
    assert [row[0] for row in ranking(out)] == [str(rank) for rank in range(1, n_finished + 1)]
    assert "failed" not in out
    assert out.endswith("Stopped by Ctrl-C.\n")
    assert picture.exists()


@pytest.mark.parametrize("line", ["digits", "[ 1/12]"])
def test_a_closed_pipe_ends_quietly(line, tmp_path):
    process = start(*LONG, "--output", tmp_path / "sizes.png")
    try:
        read_until(process, line)
        process.stdout.close()
        err = process.stderr.read()
        process.stderr.close()
        assert process.wait(timeout=600) == 1
    finally:
        process.kill()
    assert err == ""
    assert not (tmp_path / "sizes.png").exists()


def test_warmup(capsys):
    assert main(["warmup"]) == 0
    assert re.search(r"Every kernel is ready after [\d.]+ s", capsys.readouterr().out)


VERBS = {
    "search": lambda d: [
        "--data",
        d / "table.csv",
        "--target",
        "y",
        *SMALL,
        "--no-compare",
        "--no-tabular",
        "--output",
        d / "p.png",
    ],
    "train": lambda d: ["train", "--data", d / "table.csv", "--target", "y", "--epochs", 2, "--model", d / "new.skops"],
    "predict": lambda d: ["predict", "--model", d / "model.skops", "--data", d / "table.csv"],
    "inspect": lambda d: ["inspect", d / "model.skops"],
    "export": lambda d: ["export", d / "model.skops", "--output", d / "model.c"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table, and a model of it."""
    pytest.importorskip("skops")
    folder = tmp_path_factory.mktemp("verbs")
    rows = "".join(f"{i / 7:.3f},{(i * i) % 11},{['01', '02', '10'][i % 3]}\n" for i in range(60))
    (folder / "table.csv").write_text("a,b,y\n" + rows)
    options = ["--data", folder / "table.csv", "--target", "y", "--epochs", 2, "--model", folder / "model.skops"]
    assert main(["train", *map(str, options)]) == 0
    return folder


def ended(command, **streams):
    """Return (exit code, standard error) of a process."""
    process = subprocess.run([*map(str, command)], stderr=subprocess.PIPE, text=True, timeout=120, **streams)
    return process.returncode, process.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("verb", VERBS)
def test_an_output_that_takes_nothing_ends_with_one_line(verb, folder):
    command = [sys.executable, "-m", "fastbp", *VERBS[verb](folder)]
    with open("/dev/full", "w") as full:
        code, err = ended(command, stdout=full)
    assert (code, err) == (1, "python -m fastbp: error: standard output cannot be written: No space left on device\n")
    code, err = ended(["sh", "-c", 'exec "$@" >&-', "sh", *command])
    assert (code, err.count("\n")) == (1, 1)
    assert "standard output is closed" in err
    with open("/dev/full", "w") as full:
        assert ended([*command[:3], *([] if verb == "search" else [verb]), "--help"], stdout=full)[0] == 1


BAD_PLACES = ["absent/file", ".", "x" * 300, "folder/", "", "nul\0"]
BAD_DATA = ["absent.csv", ".", "empty.csv", "model.skops", "nul\0"]
BAD_NUMBERS = ["-1", "0", "1e99", "99999999999", "two", "", "1.5", "9" * 5000]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_what_is_bad_in_one_line(verb, folder, capsys, monkeypatch):
    """Places, tables, models and numbers that are none, and files that are read and would be written over."""
    monkeypatch.chdir(folder)
    (folder / "empty.csv").touch()
    for name in ("hard", "soft"):
        for kind in ("table.csv", "model.skops", "table.png"):
            link = folder / f"{name}-{kind}"
            source = folder / kind.replace("png", "csv")
            if not link.exists():
                link.hardlink_to(source) if name == "hard" else link.symlink_to(source)
    good = [str(word) for word in VERBS[verb](folder)]
    place = {"train": "--model", "search": "--output"}.get(verb, "--output")
    end = {"train": ".skops", "search": ".png", "export": ".c"}.get(verb, "")
    bad = []
    if verb != "inspect":
        bad += [[place, f"{name}{end if name not in ('.', 'folder/', '') else ''}"] for name in BAD_PLACES]
    if "--data" in good:
        bad += [["--data", name] for name in BAD_DATA if verb != "predict" or name != "."] + [["--data", "."]]
        sources = {"search": ["table.png"], "train": [], "predict": ["table.csv", "model.skops"]}[verb]
        bad += [[place, f"{name}-{source}"] for name in ("hard", "soft") for source in sources]
    if verb == "export":
        bad += [["--output", f"{name}-model.skops"] for name in ("hard", "soft")]
    if verb in ("search", "train"):
        options = ["--epochs", "--seed", *(["--folds", "--jobs", "--sizes"] if verb == "search" else ["--max-time", "--size"])]
        bad += [[option, number] for option in options for number in BAD_NUMBERS if (option, number) != ("--seed", "0")]
        bad = [one for one in bad if one[0] not in ("--size", "--sizes") or one[1][:5] != "99999"]
    if verb == "search":
        bad += [["--folds", "49"]]
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for one in bad:
        capsys.readouterr()
        try:
            code = main([*good, *one])
        except SystemExit as exit:
            code = exit.code
        out, err = capsys.readouterr()
        assert (code, err.count("\n")) == (2, 1), (one, out, err)
        assert err.startswith("python -m fastbp: error: ")
    model = {
        "predict": ["predict", "--data", "table.csv", "--model"],
        "inspect": ["inspect"],
        "export": ["export", "--output", "o.c"],
    }
    for name in ("absent", ".", "empty.csv", "table.csv", "nul\0") if verb in model else ():
        capsys.readouterr()
        assert main([*model[verb], name]) == 2, name
        assert capsys.readouterr().err.count("\n") == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("verb", ["train", "search"])
def test_a_size_beyond_all_memory_ends_with_one_line(verb, folder, capsys):
    assert main([*map(str, VERBS[verb](folder)), "--size" + "s" * (verb == "search"), "99999999999"]) in (1, 2)
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and ("memory" in err or "Memory" in err)


def test_what_is_read_is_written_over_if_forced(folder, tmp_path, capsys):
    for name in ("table.csv", "model.skops"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    command = [str(word) for word in VERBS["predict"](tmp_path)]
    assert main(command) == 0
    expected = capsys.readouterr().out
    assert main([*command, "--output", str(tmp_path / "table.csv")]) == 2
    assert "--force" in capsys.readouterr().err
    assert main([*command, "--output", str(tmp_path / "table.csv"), "--force"]) == 0
    assert (tmp_path / "table.csv").read_text() == expected
    assert set(expected.split()[1:]) <= {"01", "02", "10"}  # classes as they stood in the table


def test_the_first_lines_of_many_predictions(folder, tmp_path):
    rows = "".join(f"{i},{i}\n" for i in range(200_000))
    (tmp_path / "long.csv").write_text("a,b\n" + rows)
    command = [sys.executable, "-m", "fastbp", "predict", "--model", folder / "model.skops", "--data", tmp_path / "long.csv"]
    for unbuffered in ("", "1"):
        environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        process = subprocess.Popen(
            [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        assert process.stdout.readline() == "prediction\n"
        process.stdout.close()
        assert (process.stderr.read(), process.wait(timeout=60)) == ("", 1)
        process.stderr.close()
        whole = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, check=True, env=environment)
        assert whole.stdout.count(b"\n") == 200_001


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a process of its own")
def test_ctrl_c_while_a_table_is_read(folder, tmp_path):
    """Of predictions on standard output, what is said goes elsewhere."""
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, "-m", "fastbp", "predict", "--model", folder / "model.skops", "--data", tmp_path / "pipe"]
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        with open(tmp_path / "pipe", "w") as pipe:  # once it is opened there too
            pipe.write("a,b\n")
            pipe.flush()
            time.sleep(2)  # until it waits for more
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (130, "", "Stopped by Ctrl-C.\n")
