"""Parquet files: columns keep the types that they have there, from training to prediction, and CSV can stand in for them."""

import datetime
import decimal
import gzip
import io
import subprocess
import sys

import numpy as np
import pytest

pd = pytest.importorskip("pandas", reason="pandas is not installed: pip install pandas")
pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install pyarrow")

import pyarrow.parquet as pq  # noqa: E402 - needs pyarrow

import fastbp  # noqa: E402
from fastbp.app.cli import main  # noqa: E402
from fastbp.app.columns import CATEGORY, DATE, LEFT_OUT, NUMBER  # noqa: E402
from fastbp.app.fields import Options  # noqa: E402
from fastbp.app.source import TableError  # noqa: E402
from fastbp.app.table import read_table  # noqa: E402


def run(*arguments):
    return main([*map(str, arguments)])


def write(path, **columns):
    """Write arrays of pyarrow, or lists."""
    pq.write_table(pa.table(list(map(pa.array, columns.values())), names=list(columns)), path)
    return path


def people():
    """A table with a column of each kind, missing values in some, and a class that hangs on the code alone."""
    n, rng = 120, np.random.RandomState(0)
    code = rng.choice(["001", "010", "1e2", "NA"], n)
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(days=int(day)) for day in rng.randint(0, 900, n)]
    with_gaps = np.arange(n) % 11 == 3
    return pd.DataFrame(
        {
            "code": pd.Series(code, dtype=object).mask(with_gaps),
            "size": np.where(with_gaps, np.nan, rng.normal(size=n).round(3)),
            "count": pd.array(rng.randint(0, 9, n), dtype="Int64"),
            "is new": pd.array(rng.rand(n) > 0.5, dtype="boolean"),
            "born": pd.Series(days, dtype=object),
            "seen": pd.to_datetime("2021-05-01") + pd.to_timedelta(rng.randint(0, 9999, n), unit="h"),
            "group": pd.Categorical(rng.choice(["07", "7"], n)),
            "label": np.where(code == "001", "01", np.where(code == "010", "1", "1.0")),
        }
    )


def by_pandas(frame, path):
    frame.to_parquet(path)


def by_pyarrow(frame, path):
    """With the types of other programs: 32-bit dates, large strings, decimals, a time zone."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    kinds = {
        "code": pa.large_string(),
        "count": pa.decimal128(30, 1),
        "born": pa.date32(),
        "seen": pa.timestamp("us", "Europe/Oslo"),
    }
    fields = [pa.field(field.name, kinds.get(field.name, field.type)) for field in table.schema]
    pq.write_table(table.cast(pa.schema(fields)).replace_schema_metadata(None), path)


def by_polars(frame, path):
    polars = pytest.importorskip("polars")
    polars.from_pandas(frame).write_parquet(path)


@pytest.mark.slow
@pytest.mark.parametrize("write", [by_pandas, by_pyarrow, by_polars])
def test_types_hold_from_training_to_prediction(write, tmp_path, capsys):
    pytest.importorskip("skops")
    frame, path, model = people(), tmp_path / "people.parquet", tmp_path / "people.skops"
    write(frame, path)
    options = ["--target", "label", "--model", model, "--epochs", 300]
    assert run("train", "--data", path, *options) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "numbers size (11 missing values), count" in told
    assert "dates born (2020-" in told and "seen (2021-05-" in told
    assert "categories code (4 values, 11 missing values), is new (2 values), group (2 values)" in told
    pipeline = fastbp.load(model)
    assert pipeline.classes_.tolist() == ["01", "1", "1.0"]

    assert run("predict", "--model", model, "--data", path, "--proba") == 0
    out, err = capsys.readouterr()
    assert err == ""
    predicted = pd.read_csv(io.StringIO(out), dtype={"prediction": str})
    assert (predicted["prediction"] == frame["label"]).mean() > 0.9
    frame.to_csv(tmp_path / "people.csv", index=False)  # the same codes, which look like numbers there
    assert run("predict", "--model", model, "--data", tmp_path / "people.csv", "--proba") == 0
    out, err = capsys.readouterr()
    assert err == ""
    again = pd.read_csv(io.StringIO(out), dtype={"prediction": str})
    pd.testing.assert_frame_equal(again, predicted, rtol=1e-9)

    frame.loc[frame["code"] == "001"].to_csv(tmp_path / "one.csv", index=False)  # nothing but numbers in the column
    assert run("predict", "--model", model, "--data", tmp_path / "one.csv", "--proba") == 0
    out, err = capsys.readouterr()
    assert err == ""
    one = pd.read_csv(io.StringIO(out), dtype={"prediction": str})
    rows = np.flatnonzero(frame["code"] == "001")
    pd.testing.assert_frame_equal(one, predicted.iloc[rows].reset_index(drop=True), rtol=1e-9)


def test_a_model_of_a_text_file_takes_parquet(tmp_path, capsys):
    pytest.importorskip("skops")
    frame, model = people().drop(columns=["code", "label"]), tmp_path / "people.skops"
    frame["label"] = frame["size"].fillna(0) > 0
    frame["group"] = frame["group"].map({"07": "5", "7": "7"})  # numbers without zeros before them
    frame.to_csv(tmp_path / "people.csv", index=False)
    assert run("train", "--data", tmp_path / "people.csv", "--target", "label", "--model", model, "--epochs", 30) == 0
    by_pyarrow(frame.assign(group=frame["group"].astype(int)), tmp_path / "people.parquet")  # numbers as in the text
    outputs = []
    for name in ("people.csv", "people.parquet"):
        capsys.readouterr()
        assert run("predict", "--model", model, "--data", tmp_path / name, "--proba") == 0
        outputs.append(capsys.readouterr())
    assert outputs[0] == outputs[1]
    assert outputs[0].err == ""


COLUMNS = {
    "text of numbers": (["1", "2", "3.5"] * 9, CATEGORY),
    "text of dates": (["2020-01-01", "2020-01-02", None] * 9, CATEGORY),
    "names": ([f"n{i}" for i in range(27)], LEFT_OUT),
    "whole": (list(range(27)), NUMBER),
    "half": (pa.array(np.linspace(0, 1, 27, dtype=np.float16)), NUMBER),
    "unsigned": (pa.array([2**64 - 1, 0, None] * 9, pa.uint64()), NUMBER),
    "decimal": ([decimal.Decimal("1.50"), decimal.Decimal("-2.25"), None] * 9, NUMBER),
    "one in three": ([True, False, None] * 9, CATEGORY),
    "days": ([datetime.date(1999, 12, 31), datetime.date(2024, 2, 29), None] * 9, DATE),
    "times": ([datetime.datetime(2024, 2, 29, 12, 30), None, None] * 9, DATE),
    "text as categories": (pa.array(["a", "02", None] * 9).dictionary_encode(), CATEGORY),
    "nothing": (pa.nulls(27), LEFT_OUT),
    "lists": ([[1], [2, 3], None] * 9, LEFT_OUT),
    "bytes": ([b"a", b"b", None] * 9, LEFT_OUT),
    "clock": ([datetime.time(1, 2), None, None] * 9, LEFT_OUT),
    "span": ([datetime.timedelta(1), None, None] * 9, LEFT_OUT),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_kinds_of_columns(name, tmp_path):
    values, kind = COLUMNS[name]
    path = write(tmp_path / "table.parquet", x=values, other=np.arange(27.0), y=np.arange(27) % 2)
    table = read_table(path, "y")
    assert {column.name: column.kind for column in table.columns} == {"x": kind, "other": NUMBER}
    assert table.y.tolist() == [0, 1] * 13 + [0]
    plain = pa.array(values) if isinstance(values, list) else values
    told = " ".join(table.notes)
    if kind == NUMBER:
        expected = [np.nan if value is None else float(value) for value in plain.to_pylist()]
        np.testing.assert_array_equal(table.X["x"], expected)
    if kind == CATEGORY:
        assert table.X["x"].tolist() == [None if value is None else str(value) for value in plain.to_pylist()]
    if kind == DATE:
        days = [None if value is None else pd.Timestamp(value).timestamp() for value in plain.to_pylist()]
        assert [None if day is pd.NaT else day.timestamp() for day in table.X["x"]] == days
    if name in ("lists", "bytes", "clock", "span"):
        assert f"left out, of the type {str(plain.type).partition('<')[0]}" in told
    assert ("it is read as text, as the file stores it: '1'" in told) == (name == "text of numbers")


def test_targets_keep_their_type(tmp_path):
    x, days = np.arange(30.0), [datetime.date(2020, 1, 1 + i) for i in range(30)]
    path = write(
        tmp_path / "t.parquet", x=x, text=["001", "002", "01"] * 10, days=days, lists=[[1]] * 30, whole=[1, 2, None] * 10
    )
    assert read_table(path, "text", ["days", "lists"]).y.tolist() == ["001", "002", "01"] * 10
    table = read_table(path, "whole", ["days", "lists"])
    assert (table.y.dtype, table.y.tolist()) == (np.int64, [1, 2] * 10)
    assert "10 rows without a target left out (rows 3, 6, 9, 12, 15, …)" in table.notes
    for target, message in {"days": "holds dates, such as 2020-01-01", "lists": "is of the type list"}.items():
        with pytest.raises(TableError, match=message):
            read_table(path, target)


def test_gaps_that_are_named_hold_for_numbers_and_text(tmp_path):
    path = write(tmp_path / "t.parquet", x=[1.0, -9.0, 3.0] * 9, word=["a", "-9", "b"] * 9, y=[1.5, 2.5, -9.0] * 9)
    table = read_table(path, "y", (), Options(missing=frozenset(["-9", "none"])))
    assert table.y.tolist() == [1.5, 2.5] * 9
    np.testing.assert_array_equal(table.X["x"][:2], [1, np.nan])
    assert table.X["word"][:2].tolist() == ["a", None]


def test_dates_far_off_are_gaps_that_are_told(tmp_path):
    far = [datetime.date(9999, 12, 31), *[datetime.date(2020, 1, 1 + i) for i in range(29)]]
    table = read_table(write(tmp_path / "t.parquet", far=far, y=np.arange(30) % 2), "y")
    assert "column 'far': 1 cell is no usable date and counts as a missing value: '9999-12-31 00:00:00' (row 1)" in table.notes
    assert table.X["far"].isna().tolist() == [True] + [False] * 29


def test_names_and_the_index_of_pandas(tmp_path):
    columns = [np.arange(30.0), np.arange(30.0) ** 2, np.arange(30) % 2]
    pq.write_table(pa.table(list(map(pa.array, columns)), names=["a", "a", "y"]), tmp_path / "twice.parquet")
    table = read_table(tmp_path / "twice.parquet", "y")
    assert list(table.X) == ["a", "a.1"]
    assert "is in the header more than once" in table.notes[0]
    frame = pd.DataFrame({"a": columns[0], "y": columns[2]}, index=np.arange(30)[::-1])
    frame.to_parquet(tmp_path / "index.parquet")
    table = read_table(tmp_path / "index.parquet", "y")
    assert (list(table.X), len(table.notes)) == (["a"], 1)
    frame.rename_axis("id").to_parquet(tmp_path / "named.parquet")  # a column for everybody else
    assert sorted(read_table(tmp_path / "named.parquet", "y").X) == ["a", "id"]


def test_what_is_no_parquet_and_what_only_looks_so(tmp_path):
    path = write(tmp_path / "t.parquet", PAR1=np.arange(30.0), y=np.arange(30) % 2)
    content = path.read_bytes()
    for torn in (content[:-4], content[:40], content[:20] + content[30:], content[:-20] + content[-8:]):
        (tmp_path / "torn.parquet").write_bytes(torn)
        with pytest.raises(TableError, match=r"torn\.parquet is no Parquet file that can be read"):
            read_table(tmp_path / "torn.parquet", "y")
    (tmp_path / "t.csv").write_text("PAR1,y\n" + "".join(f"{i},{i % 2}\n" for i in range(30)))
    (tmp_path / "t.gz").write_bytes(gzip.compress(content))
    for name in ("t.csv", "t.gz"):
        np.testing.assert_array_equal(read_table(tmp_path / name, "y").X["PAR1"], np.arange(30))
    with pytest.raises(TableError, match="has no columns"):
        pq.write_table(pa.table({}), tmp_path / "none.parquet")
        read_table(tmp_path / "none.parquet", "y")
    with pytest.raises(TableError, match="has a header but no rows"):
        read_table(write(tmp_path / "rows.parquet", x=pa.array([], pa.float64()), y=pa.array([], pa.string())), "y")
    with pytest.raises(TableError, match=r"has one column only, 'y'$"):
        read_table(write(tmp_path / "one.parquet", y=[1, 2]), "y")


@pytest.mark.slow
def test_periods_are_dates_and_whole_numbers_keep_their_digits(tmp_path):
    n, many = 40, 2**53 + 1
    months = pd.period_range("2020-01", periods=n, freq="M")
    ids = pd.array([None, many, many + 1, many] * 10, dtype="Int64")
    frame = pd.DataFrame({"month": months, "whole": [many, many + 1] * 20, "ids": ids, "y": [1.5, 2.5] * 20})
    frame.loc[3, "month"] = None
    frame.to_parquet(tmp_path / "t.parquet")
    path = str(tmp_path / "t.parquet")
    code = f"from fastbp.app.table import read_table; print(*map(str, read_table({path!r}, 'y').X['month']), sep='\\n')"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )  # nobody knows of periods there
    table = read_table(tmp_path / "t.parquet", "y")
    assert told.stdout.splitlines() == list(map(str, table.X["month"]))
    assert [column.kind for column in table.columns] == [DATE, NUMBER, NUMBER]
    starts = pd.Series(months.start_time).mask(np.arange(n) == 3)
    assert list(map(str, table.X["month"])) == list(map(str, starts))
    assert read_table(tmp_path / "t.parquet", "whole").labels.tolist() == [many, many + 1] * 20
    assert read_table(tmp_path / "t.parquet", "ids").labels.tolist() == [many, many + 1, many] * 10
