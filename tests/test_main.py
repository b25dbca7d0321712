"""python -m fastbp: the search, its tables and picture, CSV files, errors in one line, Ctrl-C."""

import csv
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.metrics import classification_report
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp.app.cli import main
from fastbp.app.table import TableError, find_task, leave_out_rare_classes, make_preparation, read_table

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
    """A file with numbers, a text column, gaps in both, and a text target."""
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
    assert re.search(r"R² -?\d\.\d{4}, MAE [\d.]+ \(always the mean: [\d.]+\)", out)
    difference, deviation = re.search(r"differ by at most (\S+) \(the target's deviation is (\S+)\)", out).groups()
    assert float(difference) < 1e-6 * float(deviation)


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
        ("b\n1\n2\n", ["--target", "b"], "has no column beside the target 'b'"),
        ("a,b\n1,2\n1,2,3\n", ["--target", "b"], "line 3: 3 fields where the header has 2"),
        ("a,a\n1,2\n", ["--target", "a"], "has two columns named 'a'"),
        ("a,b\n1,\n2,NA\n", ["--target", "b"], "the target 'b' is empty in every row"),
        ("a,b\n,1\n,0\n", ["--target", "b"], "no column of"),
        ("a,b\n1,2\n3,4\n5,4\n", ["--target", "b"], "no class of the target has 3 rows"),
        ("a,b\n" + "1,2\n" * 9, ["--target", "b"], "9 rows are too few"),
        ("a,b\n" + "1,2\n" * 40, ["--target", "b"], "the target 'b' is '2' in every row"),
        ("a,b\n" + "1,2\n" * 40, ["--target", "b", "--task", "regression"], "the target 'b' is '2' in every row"),
        ("a,b\n" + "1,x\n2,y\n" * 20, ["--target", "b", "--task", "regression"], "--task regression needs numbers"),
        ("a,b\n" + "inf,1\n2,0\n" * 20, ["--target", "b"], "column 'a' holds an infinite number"),
        ("a,b\n" + "1,1\n2,1e999\n" * 20, ["--target", "b"], "column 'b' holds an infinite number"),
        ("a,b\n\x001,2\n", ["--target", "b"], "error:"),
    ],
)
def test_bad_input_ends_with_one_line(content, arguments, message, write, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        arguments = ["--data", str(write(content)), *arguments]
    try:
        code = main(arguments)
    except SystemExit as exit:
        code = exit.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("python -m fastbp: error: ")
    assert err.count("\n") == 1


def test_a_file_in_another_encoding_is_refused(write, capsys):
    path = write("a,größe\n1,2\n", encoding="latin-1")
    assert main(["--data", str(path), "--target", "a"]) == 2
    assert "is not UTF-8 text" in capsys.readouterr().err


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_read_table_separators_quotes_and_byte_order_mark(separator, write):
    lines = [["name", "size", "kind"], ['"Smith\nJohn"', "1.5", "x"], ['"a ""b"""', "-2e3", " y "], ["c", "?", "x"]]
    path = write("\n".join(map(separator.join, lines)) + "\n\n", encoding="utf-8-sig")
    table = read_table(path, "kind")
    assert table.columns == ["name", "size"]
    assert (table.numeric, table.text) == ([1], [0])
    assert table.X[:, 0].tolist() == ["Smith\nJohn", 'a "b"', "c"]
    np.testing.assert_array_equal(table.X[:, 1].astype(float), [1.5, -2000, np.nan])
    assert table.y.tolist() == ["x", "y", "x"]


def test_read_table_leaves_out_what_cannot_be_used(write):
    path = write([["id", "empty", "x", "y"], *([f"row {i}", "", i, i if i else ""] for i in range(50))])
    table = read_table(path, "y")
    assert table.columns == ["x"]
    assert table.X.dtype == np.float64
    assert table.y.dtype == np.int64
    notes = " ".join(table.notes)
    assert "1 rows without a target" in notes
    assert "'id' left out" in notes
    assert "'empty' left out" in notes


def test_preparation_fills_scales_and_spreads(write):
    path = write([["x", "colour", "y"], [1, "red", 0], ["", "", 1], [3, "red", 0], [5, "blue", 1]])
    table = read_table(path, "y")
    prepared = make_preparation(table).fit_transform(table.X)
    x = np.array([1, 3, 3, 5.0])
    expected = np.column_stack([(x - x.mean()) / x.std(), [0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 0]])
    np.testing.assert_allclose(prepared.astype(float), expected)


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (np.array(["a", "b"] * 10), "classification"),
        (np.array([0, 1] * 10), "classification"),
        (np.array([-0.5, 0.5] * 10), "classification"),
        (np.arange(100) % 7, "classification"),
        (np.arange(30) % 20, "regression"),
        (np.arange(1000), "regression"),
        (np.arange(100) / 10, "regression"),
        (np.tile([0.5, 1.5, 2.5], 30), "regression"),
    ],
)
def test_find_task(y, task):
    assert find_task(y) == task


def test_rare_classes_are_left_out(write):
    frequent = [[i, "common" if i % 2 else "usual"] for i in range(20)]
    path = write([["x", "y"], *frequent, [20, "rare"], [21, "rare"], [22, "single"]])
    table = leave_out_rare_classes(read_table(path, "y"))
    assert sorted(set(table.y)) == ["common", "usual"]
    assert "3 rows of classes with fewer than 3 rows left out: rare, single" in table.notes[-1]
    with pytest.raises(TableError, match="no class"):
        leave_out_rare_classes(table._replace(y=np.arange(20)))


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a process of its own")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_interrupt_ends_with_what_is_finished(jobs, tmp_path):
    picture = tmp_path / "sizes.png"
    # the second size would take minutes
    sizes = ["2", "600-600"]
    command = [sys.executable, "-u", "-m", "fastbp", "--sizes", *sizes, "--folds", "2", "--epochs", "4000", "--jobs", jobs]
    process = subprocess.Popen([*command, "--output", str(picture)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        lines = []
        while not (lines and lines[-1].startswith("[1/2]")):
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err == ""
    assert [row[1] for row in ranking(out)] == ["2"]
    assert "1 of 2 sizes were finished." in out
    assert out.endswith("Stopped by Ctrl-C.\n")
    assert picture.exists()


def test_a_closed_pipe_ends_quietly(tmp_path):
    command = [sys.executable, "-m", "fastbp", *SMALL, "--no-compare", "--output", str(tmp_path / "sizes.png")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=120) == 1
    assert err == ""


def test_warmup(capsys):
    assert main(["warmup"]) == 0
    assert re.search(r"Every kernel is ready after [\d.]+ s", capsys.readouterr().out)
