"""Tables from files: packing, encoding, separator, kinds of columns, missing values by role, and what is said about each."""

import bz2
import csv
import gzip
import io
import lzma
import os
import re
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pd = pytest.importorskip("pandas", reason="pandas is not installed: pip install pandas")

from fastbp.app.cli import main  # noqa: E402 - needs pandas
from fastbp.app.fields import MISSING_NUMBERS, Options, read_fields  # noqa: E402
from fastbp.app.source import TableError  # noqa: E402
from fastbp.app.table import find_task, leave_out_rare_classes, read_table  # noqa: E402


@pytest.fixture
def read(tmp_path):
    """Return a function that writes text or bytes to a file and returns the table in it."""

    def read(content, target="y", drop=(), name="table.csv", encoding="utf-8", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return read_table(path, target, drop, Options(**options))

    return read


@pytest.fixture
def run(tmp_path, capsys):
    """Return a function that searches on a table and returns exit code, output and errors."""

    def run(content, target, *options, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        search = ["--sizes", "16", "--folds", "3", "--epochs", "400", "--jobs", "1", "--no-compare"]
        code = main(["--data", str(path), "--target", target, *search, "--output", str(tmp_path / "sizes.png"), *options])
        return code, *capsys.readouterr()

    return run


def lines(*rows):
    return "".join(row + "\n" for row in rows)


def kinds(table):
    return {column.name: column.kind for column in table.columns}


def linear(n=200):
    """Two features and a price that is linear in them."""
    rng = np.random.RandomState(0)
    a, b = rng.normal(10, 3, n).round(1), rng.normal(5, 1, n).round(1)
    return a, b, (1000 + 90 * a + 40 * b + rng.normal(0, 5, n)).round()


def r2_of(out):
    return float(re.search(r"^R² (-?[\d.]+)", out, re.MULTILINE)[1])


A, B, PRICE = linear()
PLAIN = lines("size,age,price", *(f"{a},{b},{p:.0f}" for a, b, p in zip(A, B, PRICE, strict=True)))


@pytest.fixture(scope="module")
def plain_r2(tmp_path_factory):
    """The test's R² on the plainly written table."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "table.csv").write_text(PLAIN)
    search = ["--sizes", "16", "--folds", "3", "--epochs", "400", "--jobs", "1", "--no-compare"]
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        assert main(["--data", str(folder / "table.csv"), "--target", "price", *search, "--output", str(folder / "p.png")]) == 0
    assert r2_of(out.getvalue()) > 0.9
    return r2_of(out.getvalue())


def euro(value):
    return f"{value:,.2f} €".translate({ord(","): ".", ord("."): ","})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("separator", "write_feature", "write_price"),
    [
        (";", lambda x: f"{x:.1f}".replace(".", ","), "{:.0f}".format),
        ("\t", lambda x: f"{x:.1f}".replace(".", ","), "{:.0f}".format),
        (",", lambda x: f'"{x:.1f}"'.replace(".", ","), "{:.0f}".format),
        (",", "{:.1f}".format, '"{:,.0f}"'.format),
        (",", "{:.1f}".format, "${:.0f}".format),
        (";", "{:.1f}".format, lambda x: f"{x:.1f}".replace(".", ",")),
        (";", lambda x: f"{x:.1f}".replace(".", ","), euro),
        ("|", "{:.1f}".format, lambda x: f"{x:,.0f} kr".replace(",", " ")),
        (",", "{:.1f}%".format, lambda x: f"CHF {x:,.2f}".replace(",", "'")),
    ],
)
def test_the_same_numbers_however_they_are_written(separator, write_feature, write_price, run, plain_r2):
    rows = [[write_feature(a), write_feature(b), write_price(p)] for a, b, p in zip(A, B, PRICE, strict=True)]
    code, out, err = run(lines(*map(separator.join, [["size", "age", "price"], *rows])), "price")
    assert (code, err) == (0, "")
    assert "table.csv: 200 rows, 2 features, regression" in out
    assert r2_of(out) == plain_r2
    assert "note: " in out


@pytest.mark.slow
@pytest.mark.parametrize(
    "word", ["", "NA", "-", ".", "<NA>", "#DIV/0!", "Bad Input", "12 m2", "1_0", "inf", "1e300", "-1e400", "Total"]
)
@pytest.mark.parametrize("column", ["size", "price"])
def test_one_odd_cell_changes_neither_kind_nor_task(word, column, run, plain_r2):
    rows = PLAIN.splitlines()
    cells = dict(zip(["size", "age", "price"], rows[8].split(","), strict=True)) | {column: word}
    rows[8] = ",".join(cells.values())
    code, out, _ = run(lines(*rows), "price")
    assert code == 0
    assert f"table.csv: {199 if column == 'price' else 200} rows, 2 features, regression" in out
    assert r2_of(out) > plain_r2 - 0.03
    if word not in MISSING_NUMBERS:
        assert f"note: column '{column}': 1 cell is no usable number and counts as a missing value: '{word}' (line 9)" in out
    if column == "price":
        assert "note: 1 row without a target left out (line 9)" in out


@pytest.mark.parametrize(
    "words",
    [("none", "mild", "severe"), ("None", "Insomnia", "Apnea"), ("na", "eu", "as"), ("NA", "EU", "AS"), ("None", "1", "2")],
)
def test_a_class_may_be_called_none(words, run):
    rng = np.random.RandomState(0)
    place = rng.randint(3, size=150)
    text = lines("x,z,y", *(f"{i},{rng.rand():.2f},{words[i]}" for i in place))
    code, out, _ = run(text, "y")
    assert code == 0
    assert "table.csv: 150 rows, 2 features, 3 classes" in out
    assert float(re.search(r"^accuracy ([\d.]+)", out, re.MULTILINE)[1]) > 0.9


@pytest.mark.parametrize(
    ("separator", "header"),
    [
        (";", '"size, m2";"age, years";price'),
        (";", "size (m, ft);age, years;price"),
        ("\t", 'size\t"cost per 1,000, 2,000, 5,000 items"\tprice'),
        ("|", '"size;m2;ft2"|"age|years"|price'),
        (",", '"size; m2","age; years; days",price'),
        (";", "size, m;age, a;price, €"),
    ],
)
def test_separators_in_names(separator, header, read):
    rows = [separator.join(f"{value}" for value in row) for row in zip(A, B, PRICE, strict=True)]
    target = next(csv.reader([header], delimiter=separator))[-1]
    table = read(lines(header, *rows), target)
    np.testing.assert_array_equal(table.X, np.column_stack([A, B]))
    np.testing.assert_array_equal(table.y, PRICE)


def test_decimal_commas_beside_names_with_commas(read):
    """As many commas in the header as in each row below."""
    table = read(lines("size, m;age, a;price, €", *(f"{i},5;{i},25;{i},0" for i in range(20))), "price, €")
    np.testing.assert_array_equal(table.X, [[i + 0.5, i + 0.25] for i in range(20)])


PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def zipped(content, *names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize("kind", [*PACKERS, "zip"])
def test_packed_files(kind, read):
    pack = PACKERS.get(kind, lambda content: zipped(content, "folder/", "folder/table.csv", "__MACOSX/._table.csv"))
    for name in (f"table.csv.{kind}", "without-its-ending"):
        table = read(pack(PLAIN.encode()), "price", name=name)
        np.testing.assert_array_equal(table.y, PRICE)
        assert table.notes == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(PLAIN.encode())[:-20], "cannot be unpacked"),
        (b"PK\x03\x04 and no more", "cannot be unpacked"),
        (zipped("a,y\n1,2\n", "one.csv", "two.csv"), "holds 2 files"),
        (zipped("", "[Content_Types].xml", "xl/workbook.xml"), "save the table as CSV"),
        (b"PAR1\x00\x00\x15\x04\x15\xff", "no Parquet file that can be read"),
        (b"a,y\n1,2\n3\x00,4\n", "NUL characters"),
        (b"a,b,y\n" + b"1,x,2\n" * 60_000 + b'"\x00",x,4\n', "NUL characters"),
    ],
)
def test_what_is_no_table_is_refused(content, message, read):
    with pytest.raises(TableError, match=re.escape(message)):
        read(content)


def test_what_pandas_leaves_to_the_user(read):
    """Why the reader stands around read_csv: what that does with the same bytes, and what is made of them here."""

    def alone(content, **options):
        return pd.read_csv(io.BytesIO(content.encode() if isinstance(content, str) else content), **options)

    semicolons = "a;y\n1,5;2\n2,5;3\n3,25;4\n"
    assert alone(semicolons).shape == (3, 1)
    assert alone(semicolons, sep=None, engine="python")["a"].tolist() == ["1,5", "2,5", "3,25"]
    assert read(semicolons).X["a"].tolist() == [1.5, 2.5, 3.25]

    western = "a,y\ngrün,1\nrot,2\ngrün,3\nrot,4\n".encode("cp1252")
    with pytest.raises(UnicodeDecodeError):
        alone(western)
    assert read(western).X["a"].tolist() == ["grün", "rot"] * 2

    short, long = "a,b,y\n1,2,3\n4,5\n6,7,8\n", "a,b,y\n1,2,3,4\n5,6,7,8\n"
    assert alone(short)["y"].isna().tolist() == [False, True, False]
    assert alone(long)["a"].tolist() == [2, 6]
    for content, told in ((short, "line 3: 2 fields"), (long, "line 2: 4 fields")):
        with pytest.raises(TableError, match=told):
            read(content, separator=",")

    classes = "a,y\n1,NA\n2,None\n3,DE\n"
    assert alone(classes)["y"].isna().sum() == 2
    assert read(classes).y.tolist() == ["NA", "None", "DE"]

    opened = 'a,y\n1,2\n"3,4\n5,6\n'
    with pytest.raises(pd.errors.ParserError) as caught:
        alone(opened)
    assert "line 3" not in str(caught.value)
    with pytest.raises(TableError, match="line 3: a quotation mark is opened"):
        read(opened)


def test_a_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(gzip.compress(PLAIN.encode())))
    writer.start()
    np.testing.assert_array_equal(read_table(path, "price").y, PRICE)
    writer.join()


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/stdin"), reason="this system has no /dev/stdin")
def test_standard_input_by_its_name():
    code = "from fastbp.app.table import read_table; print(read_table('/dev/stdin', 'price').y.sum())"
    run = subprocess.run([sys.executable, "-c", code], input=PLAIN.encode(), capture_output=True)
    assert run.stdout.decode().strip() == f"{PRICE.sum():.0f}", run.stderr


def test_the_command_line_reads_standard_input(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PLAIN.encode())))
    options = ["--sizes", "2", "--folds", "2", "--epochs", "2", "--no-compare", "--output", str(tmp_path / "sizes.png")]
    assert main(["--data", "-", "--target", "price", *options]) == 0
    assert "standard input: 200 rows, 2 features, regression" in capsys.readouterr().out


TEXT = lines("größe,straße,y", *(f"{i},{['Süd', 'Nord'][i % 2]},{i / 2}" for i in range(20)))


@pytest.mark.parametrize(
    ("encoding", "told"),
    [("utf-8", None), ("utf-8-sig", None), ("cp1252", "cp1252"), ("latin-1", "cp1252")]
    + [("utf-16", "utf-16"), ("utf-16-le", "utf-16-le"), ("utf-16-be", "utf-16-be"), ("utf-32", "utf-32")],
)
def test_encodings_are_found(encoding, told, read):
    table = read(TEXT, encoding=encoding)
    assert kinds(table) == {"größe": "number", "straße": "category"}
    assert set(table.X["straße"]) == {"Süd", "Nord"}
    assert table.notes == ([f"the file is not UTF-8; it is read as {told} (--encoding names another)"] if told else [])


def test_encodings_that_are_given(tmp_path):
    text = lines("город,y", *(f"{['Омск', 'Тула'][i % 2]},{i / 2}" for i in range(20)))
    path = tmp_path / "table.csv"
    for encoding, given_one in [("cp1251", "cp1251"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16")]:
        path.write_bytes(text.encode(encoding))
        table = read_table(path, "y", options=Options(encoding=given_one))
        assert set(table.X["город"]) == {"Омск", "Тула"}
        assert table.notes == []
    path.write_bytes(text.encode("cp1251"))
    with pytest.raises(TableError, match=r"is not utf-8 text: .*; --encoding names another encoding"):
        read_table(path, "y", options=Options(encoding="utf-8"))


def test_a_byte_that_is_not_utf8_may_come_late(read):
    text = lines("a,b,y", *(f"{i},x{i % 3},{i / 2}" for i in range(100_000)), "1,größer,2")
    table = read(text, encoding="cp1252")
    assert table.X["b"].iloc[-1] == "größer"
    assert "cp1252" in table.notes[0]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "sep=;", '"sep=;"', "\n  \n"])
def test_line_ends_blank_lines_and_the_hint_of_spreadsheets(start, end, read):
    rows = [*start.splitlines(), "a;b;y", *(f"{i};{'odd' if i == 5 else i * 2};{i / 2}" for i in range(20)), "", "   ", ""]
    table = read(end.join(rows) + end)
    np.testing.assert_array_equal(table.X["a"], range(20))
    np.testing.assert_array_equal(table.y, np.arange(20) / 2)
    (note,) = table.notes
    assert note.endswith(f"'odd' (line {rows.index('5;odd;2.5') + 1})")


def test_lines_are_counted_in_the_file(read):
    """Not in records: fields hold line breaks, and lines are blank."""
    rows = [f'"first\nsecond ""{i}""\n\nlast",{i},{i / 2}' + "\n" * (i % 3) for i in range(20)]
    rows[11] = rows[11].replace(",11,", ",elf,")
    rows[13] = rows[13].replace(",6.5", ",?")
    text = '\n"a\nb",c,y\n' + "\n".join(rows)
    table = read(text)
    line_of = {part: text[: text.index(part)].count("\n") + 1 - 3 for part in (",elf,", ",?")}  # the records' first lines
    assert f"'elf' (line {line_of[',elf,']})" in table.notes[0]
    assert f"'?' (line {line_of[',?']})" in table.notes[1]
    assert f"(line {line_of[',?']})" in table.notes[2]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,b,y", "1,2,3", "", "1,2,3,4", "1,2,3"], "line 4: 4 fields where the header has 3 (separated by comma)"),
        (["a,b,y", "1,2,3,4", "1,2,3"], "line 2: 4 fields"),
        (["a,b,y", "1,2,3", "1,2,3", "4,5"], "line 4: 2 fields"),
        (["a;b;y", "1;2;3", "1;2;3", "4"], "line 4: 1 fields where the header has 3 (separated by semicolon)"),
        (["a,b,y", "1,2,3", '1,"2,3', "4,5,6", "7,8,9"], "line 3: a quotation mark is opened and not closed again"),
    ],
)
def test_ragged_rows_are_refused_by_line(rows, message, read):
    with pytest.raises(TableError, match=re.escape(message)):
        read(lines(*rows))


def test_separators_at_the_end_of_lines_do_no_harm(read):
    table = read(lines("a,b,y,", *(f"{i},{i * 2},{i / 2},," for i in range(20)), ",,,"))
    assert kinds(table) == {"a": "number", "b": "number", "column 4": "left out"}
    assert table.notes == ["left out, empty: column 4", "1 row without a target left out (line 22)"]
    assert len(read(lines("a,b,y", *(f"{i},{i * 2},{i / 2}," for i in range(20)))).y) == 20


def test_names(read):
    rows = [f"{i},{i * 2},,{i * 3},x{i % 2},{i / 2}" for i in range(20)]
    table = read(lines(',"a", ,a,a.1,y', *rows))
    assert kinds(table) == {"column 1": "left out", "a": "number", "column 3": "left out", "a.2": "number", "a.1": "category"}
    np.testing.assert_array_equal(table.X["a"], np.arange(20) * 2)
    np.testing.assert_array_equal(table.X["a.2"], np.arange(20) * 3)
    assert table.notes == [
        "'a' is in the header more than once: the second is called 'a.2'",
        "left out, without a name and counting the rows: column 1",
        "left out, empty: column 3",
    ]


@pytest.mark.slow
def test_a_header_of_very_many_columns(read):
    """Longer than what is looked at to find the separator out."""
    n, long = 3000, "x" * 100
    rows = [";".join([*(f"{i * j % 7},5" for j in range(n)), f"{i}"]) for i in range(12)]
    table = read(lines(";".join([*(f"gene, number {j}, {long}" for j in range(n)), "y"]), *rows))
    assert table.X.shape == (12, n)
    np.testing.assert_array_equal(table.X[f"gene, number 3, {long}"], [i * 3 % 7 + 0.5 for i in range(12)])


def test_messages_hold_nothing_that_steers_a_terminal(run):
    rows = [f"{'x' if i == 3 else i};{['a', 'b'][i % 2]}" for i in range(40)]
    code, out, err = run(lines("\x1b[2Jnumber\x07;y", *rows), "y", "--epochs", "2", "--no-tabular")
    assert (code, err) == (0, "")
    assert "\\x1b[2Jnumber\\x07" in out and "\x1b" not in out and "\x07" not in out


def test_very_long_fields(read):
    long = "x" * 300_000
    table = read(lines("a,b,y", *(f"{long if i == 3 else 'u'},{i},{i / 2}" for i in range(20))))
    assert list(table.X["a"])[3] == long
    with pytest.raises(TableError, match="line 22: 2 fields"):
        read(lines("a,b,y", *(f"{long if i == 3 else 'u'},{i},{i / 2}" for i in range(20)), "u,1"))


def test_options(read):
    text = lines("a~b~y", *(f"{i}.000~{-1 if i < 5 else i}~{i},25" for i in range(1, 31)))
    table = read(text, separator="~", decimal=",", thousands=".", missing=frozenset(["-1"]))
    np.testing.assert_array_equal(table.X["a"], np.arange(1, 31) * 1000)
    np.testing.assert_array_equal(table.X["b"].isna(), np.arange(1, 31) < 5)
    np.testing.assert_array_equal(table.y, np.arange(1, 31) + 0.25)
    assert kinds(read(text, separator="~", decimal=",", drop=["b"])) == {"a": "number", "b": "left out"}
    with pytest.raises(TableError, match="one column only"):
        read(text)


def test_the_word_for_a_gap_that_is_given_holds_for_words_and_the_target(read):
    rows = [f"{['red', 'none', 'blue'][i % 3]},{['x', 'y', 'k. A.'][i % 3]}" for i in range(30)]
    table = read(lines("a,y", *rows), missing=frozenset(["none", "k. A."]))
    assert list(table.X["a"].dropna()) == ["red"] * 10
    assert set(table.y) == {"x", "y"}
    assert table.notes == ["10 rows without a target left out (lines 4, 7, 10, 13, 16, …)"]


def test_dates_are_dates(read):
    days = pd.date_range("2023-12-25", periods=40)
    table = read(lines("day,y", *(f"{day:%d.%m.%Y},{i / 2}" for i, day in enumerate(days))))
    assert kinds(table) == {"day": "date"}
    assert table.X["day"].tolist() == days.tolist()


def test_dates_with_gaps_odd_cells_and_hours(read):
    days = [f"2024-01-{i % 28 + 1:02d} {i % 24:02d}:30" for i in range(40)]
    days[3], days[7] = "", "soon"
    table = read(lines("day,y", *(f"{day},{i / 2}" for i, day in enumerate(days))))
    assert np.flatnonzero(table.X["day"].isna()).tolist() == [3, 7]
    assert table.notes == ["column 'day': 1 cell is no usable date and counts as a missing value: 'soon' (line 9)"]
    assert table.X["day"].dropna().tolist() == [pd.Timestamp(day) for day in days if day not in ("", "soon")]
    (column,) = table.columns
    assert column.facts == ["2024-01-01 to 2024-01-28", "2 missing values"]


def test_few_different_dates_and_words_for_gaps(read):
    days = ["2024-01-01", "2024-04-01", "2024-07-01", "NA", "?", "-", "missing"]
    table = read(lines("day,y", *(f"{days[i % 7]},{i / 2}" for i in range(70))))
    assert kinds(table) == {"day": "date"}
    assert table.notes[0].startswith(
        "column 'day': 30 cells are no usable dates and count as missing values: '?' (line 6), '-' (line 7)"
    )


@pytest.mark.slow
def test_the_season_of_sales_is_learnt_from_dates(run):
    days = pd.date_range("2020-01-01", periods=1000)[np.random.RandomState(0).permutation(1000)]
    sales = 50 + 10 * np.sin(2 * np.pi * days.day_of_year / 365.25) + 5 * (days.day_of_week == 6)
    code, out, _ = run(
        lines("day,sales", *(f"{day:%d/%m/%Y},{y:.2f}" for day, y in zip(days, sales, strict=True))), "sales", "--epochs", "2000"
    )
    assert code == 0
    assert "dates       day (2020-01-01 to 2022-09-26)" in out
    assert r2_of(out) > 0.95  # the season alone is 0.942


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y %H:%M"])
def test_a_date_is_no_target(form, read):
    days = pd.date_range("2024-01-01", periods=40)
    with pytest.raises(TableError, match="the target 'y' holds dates, such as 2024-01-01"):
        read(lines("a,y", *(f"{i},{day.strftime(form)}" for i, day in enumerate(days))))


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2.5", "", "NA", "nan", "None", "<NA>"], "number"),
        (["1", "2.5", "3", "?", "-", "missing", "n.a."], "number"),
        ([*map(str, range(20)), "a", "b"], "number"),
        (["unknown"] * 5 + [f"{i}.5" for i in range(15)], "number"),  # a third, but one word
        (["a", "b", "1", "2"], "category"),
        (["none", "5", "10", "15"], "category"),  # a discount
        (["3+", "0", "1", "2"], "category"),
        (["True", "False", ""], "category"),
        (["NA", "none", "None", "x"], "category"),
        (["1_10", "1_11", "1_12"], "category"),
        ([f"name {i}" for i in range(60)], "left out"),
        (["", " "], "left out"),
    ],
)
def test_kinds(cells, kind, read):
    cells = [cells[i % len(cells)] for i in range(60)]
    table = read(lines("a,b,y", *(f"{cell},{i},{i / 2}" for i, cell in enumerate(cells))))
    assert kinds(table)["a"] == kind


def test_many_odd_cells_are_counted_and_few_are_named(read):
    cells = [f"odd {i}" if i % 20 == 0 else i for i in range(400)]
    table = read(lines("a,y", *(f"{cell},{i / 2}" for i, cell in enumerate(cells))))
    assert table.notes == [
        "column 'a': 20 cells are no usable numbers and count as missing values: 'odd 0' (line 2), 'odd 20' (line 22),"
        " 'odd 40' (line 42), 'odd 60' (line 62), 'odd 80' (line 82), …"
    ]
    assert table.X["a"].isna().sum() == 20


def test_a_column_of_numbers_and_words_says_so(read):
    cells = [["small", "large"][i % 2] if i % 3 == 0 else i % 7 for i in range(60)]
    table = read(lines("a,y", *(f"{cell},{i / 2}" for i, cell in enumerate(cells))))
    assert kinds(table) == {"a": "category"}
    assert table.notes == ["column 'a': it is read as text: 20 of its cells are no numbers, such as 'small'"]


def test_an_odd_cell_far_below_the_first_rows(read):
    cells = [f"{i / 4}" for i in range(5000)]
    cells[4000] = "12,5 €"
    cells[4001] = "broken"
    table = read(lines("a;b;y", *(f"{cell};{i};{i / 2}" for i, cell in enumerate(cells))))
    assert table.X["a"].isna().sum() == 2
    assert "'12,5 €' (line 4002), 'broken' (line 4003)" in table.notes[0]
    expected = np.arange(5000) / 4
    np.testing.assert_array_equal(table.X["a"].drop([4000, 4001]), np.delete(expected, [4000, 4001]))


def test_points_between_thousands_where_commas_are_decimal(read):
    table = read(lines("a;b;y", *(f"{i},5;{i}.250;{i / 2}".replace(f";{i / 2}", f";{i}") for i in range(1, 30))))
    np.testing.assert_array_equal(table.X["b"], np.arange(1, 30) * 1000 + 250)
    assert table.notes == [
        "the file has decimal commas: '1,5' is read as 1.5",
        "column 'b': '1.250' is read as 1250",
    ]


@pytest.mark.parametrize(
    ("cells", "task"),
    [
        (["a", "b"], "classification"),
        (["0", "1"], "classification"),
        (["-0.5", "0.5"], "classification"),
        (["-0,5", "0,5"], "classification"),
        (["True", "False"], "classification"),
        (["1", "2", "none"], "classification"),
        (["1", "2", "3", "4", "5"], "classification"),
        ([*"12345678", "1", "2", "?"], "classification"),
        (["0.5", "1.5", "2.5"], "regression"),
        (["0,5", "1,5", "2,5"], "regression"),
        (["$5", "$10"], "regression"),
        (["5 %", "10 %", "20 %"], "regression"),
        (["1.250 €", "900 €"], "regression"),
        (['"1,250"', "900", "950"], "regression"),
        ([*map(str, range(60))], "regression"),
        ([*map(str, range(59)), "none"], "regression"),
        ([*(f"{i}.5" for i in range(58)), "none", "none"], "regression"),
    ],
)
def test_the_task_is_found(cells, task, read):
    separator = ";" if any("," in cell and '"' not in cell for cell in cells) else ","
    table = read(lines(f"a{separator}y", *(f"{i}{separator}{cells[i % len(cells)]}" for i in range(120))))
    assert find_task(table.y, table.target.is_quantity) == task


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (np.array(["a", "b"] * 10, dtype=object), "classification"),
        (np.array([-0.5, 0.5] * 10), "classification"),
        (np.arange(100) % 7, "classification"),
        (np.arange(30) % 20, "regression"),
        (np.arange(1000), "regression"),
        (np.tile([0.5, 1.5, 2.5], 30), "regression"),
    ],
)
def test_find_task(y, task):
    assert find_task(y) == task


def test_rare_classes_are_left_out(read):
    frequent = [f"{i},{'common' if i % 2 else 'usual'}" for i in range(20)]
    table = leave_out_rare_classes(read(lines("x,y", *frequent, "20,rare", "21,rare", "22,single")))
    assert sorted(set(table.y)) == ["common", "usual"]
    assert len(table.X) == len(table.y) == 20
    assert table.notes[-1] == "3 rows of classes with fewer than 3 rows left out: rare, single"
    with pytest.raises(TableError, match="no class"):
        leave_out_rare_classes(table._replace(y=np.arange(20)))


def test_a_frame_has_the_types_of_its_columns(read):
    table = read(lines("x,colour,day,y", "1,red,2024-01-02,0", ",,,1", "3,red,2024-01-04,", "5,blue,2024-01-05,1"))
    assert table.X.index.tolist() == [0, 1, 2]  # without the row that has no target
    assert table.X["x"].tolist()[::2] == [1.0, 5.0] and np.isnan(table.X["x"][1])
    assert table.X["colour"].tolist() == ["red", None, "blue"]
    assert table.X["day"].dtype.kind == "M" and table.X["day"].isna().tolist() == [False, True, False]


words = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"), max_size=6)
fields = st.lists(st.tuples(words, words, st.sampled_from(["", " ", "\n", ",", ";", '"', "\t", "|"])), min_size=1, max_size=8)


@settings(deadline=None, max_examples=50)
@given(fields, st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_words_come_back_as_they_were_written(rows, separator, end, encoding):
    """The csv module writes, the reader reads: separators, quotes and line breaks within fields, any encoding."""
    rows = [(f"w{first}{mark}{second}w", f"v{second}{mark}") for first, second, mark in rows]
    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator, lineterminator=end)
    writer.writerow(["first", "second", "third"])
    line_of = {}
    for i, row in enumerate(rows):
        line_of[i] = file.getvalue().count("\n") + 1
        writer.writerow([*row, i])
    found = read_fields("table", io.BytesIO(file.getvalue().encode(encoding)), Options())
    assert found.body.separator == separator
    assert found.names == ["first", "second", "third"]
    for i in range(2):
        assert list(found.columns[i]) == [row[i] for row in rows]
    assert list(found.columns[2]) == list(range(len(rows)))
    assert found.body.lines_of(range(len(rows))) == line_of


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=20), st.integers(0, 19))
def test_numbers_come_back_as_pandas_reads_them(values, place):
    """Or as they were written, where a word is among them."""
    for odd in (False, True):
        cells = [repr(value) for value in values]
        if odd:
            cells[place % len(cells)] = "oops"
        text = lines("a,b", *(f"{cell},0" for cell in cells))
        (column, _) = read_fields("table", io.BytesIO(text.encode()), Options()).columns
        if odd:
            assert list(column) == cells
        else:
            np.testing.assert_array_equal(column, pd.read_csv(io.StringIO(text))["a"])


scraps = st.sampled_from(
    [
        ",",
        ";",
        "\t",
        "|",
        "\r",
        "\n",
        '"',
        '""',
        "'",
        " ",
        "é",
        "€",
        "%",
        "1e308",
        "1e400",
        "NA",
        "None",
        "2024-01-05",
        "1,250",
        "$5",
    ]
    + ["\0", "\ufeff", "sep=;", "1_0", "True", "\u2028", "\x85", "\x0b", "\x1c", "9" * 25, "x" * 300]
)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 5), scraps), max_size=12), st.sampled_from([",", ";"]))
def test_a_damaged_table_is_read_or_refused(edits, separator):
    """Never another error, never an array that does not fit."""
    rows = [f"{i},{i / 3:.2f},{'red' if i % 2 else 'blue'},2024-02-{i % 28 + 1:02d},{i % 3}" for i in range(15)]
    text = lines("a,b,colour,day,y", *rows).replace(",", separator)
    for place, n_lost, scrap in edits:
        text = text[:place] + scrap + text[place + n_lost :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        try:
            table = read_table("-", "y")
        except TableError as error:
            assert str(error)
            return
    assert len(table.X) == len(table.y) > 0
    assert not np.isinf(table.X.select_dtypes("number")).to_numpy().any()


@pytest.mark.slow
def test_plain_numbers_cost_about_what_pandas_takes():
    """Not a second copy of the file as text: memory is counted by tracemalloc, which sees what pandas and numpy allocate."""
    code = """
import io, tracemalloc
import numpy as np, pandas as pd
from fastbp.app.fields import Options, read_fields
data = np.random.RandomState(0).normal(size=(20_000, 20)).round(4)
text = ",".join(f"c{i}" for i in range(20)) + "\\n" + "\\n".join(",".join(map(str, row)) for row in data.tolist()) + "\\n"
file = io.BytesIO(text.encode())
peaks = []
for read in (lambda: pd.read_csv(file, low_memory=False), lambda: read_fields("table", file, Options())):
    file.seek(0)
    tracemalloc.start()
    table = read()
    peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
print(peaks[1] / peaks[0])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert float(run.stdout) < 2, run.stderr


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["01", "02", "10"], ["01", "02", "10"]),
        (["007", "7"], ["007", "7"]),
        (["1", "2"], [1, 2]),
        (["1.0", "2.0"], ["1.0", "2.0"]),
        (["1", "1.0", "2"], [1, 1, 2]),
        (["1.50", "2.5"], ["1.50", "2.5"]),
        (["-1", "+1"], ["-1", "+1"]),
        ([str(2**53), str(2**53 + 1)], [2**53, 2**53 + 1]),
        ([str(-(2**63)), str(2**63)], [str(-(2**63)), str(2**63)]),
        ([str(10**30), str(10**30 + 1)], [str(10**30), str(10**30 + 1)]),
        (["1", "2", ""], [1, 2]),
        (["01", "02", "NA"], ["01", "02"]),
    ],
)
def test_classes_of_digits_are_as_they_stand_in_the_file(cells, labels, read):
    text = lines("x,y", *(f"{i},{cells[i % len(cells)]}" for i in range(60)))
    table = read(text, "y")
    assert list(dict.fromkeys(table.labels.tolist())) == list(dict.fromkeys(labels))
    assert len(table.labels) == len(table.y) == 60 - sum(cells[i % len(cells)] in ("", "NA") for i in range(60))
    merged = "'1' and '1.0' in the target are the same number: one class, named '1'"
    assert (merged in table.notes) == (cells[:2] == ["1", "1.0"])


def test_numbers_of_a_regression_are_no_labels(read, tmp_path):
    assert read(lines("x,y", *(f"{i},{i / 7}" for i in range(60)))).labels is None
    (tmp_path / "codes.csv").write_text(lines("x,y", *(f"{i},0{i % 5}" for i in range(60))))
    table = read_table(tmp_path / "codes.csv", "y", task="regression")
    assert table.labels is None and table.y.tolist() == [i % 5 for i in range(60)]


@pytest.mark.parametrize("n_codes", [9, 70])
def test_codes_are_words_while_they_are_few(n_codes, read):
    """Zip codes, say; many of them would be left out as words."""
    codes = [f"{i % n_codes:05d}" for i in range(210)]
    table = read(lines("code,y", *(f"{code},{i / 2}" for i, code in enumerate(codes))))
    (note,) = table.notes
    if n_codes < 50:
        assert list(table.X["code"]) == codes
        assert note == "column 'code': it is read as text, because numbers have no leading zeros: '00000'"
    else:
        assert list(table.X["code"]) == [int(code) for code in codes]
        assert note == "column 'code': leading zeros are dropped: '00000' is read as 0"


def test_quarters_are_dates(read):
    table = read(lines("when,y", *(f"{2020 + i // 4}Q{i % 4 + 1},{i / 2}" for i in range(40))))
    starts = pd.period_range("2020Q1", periods=40, freq="Q").start_time
    assert table.X["when"].tolist() == starts.tolist()
