"""Reads the header and the fields of a table, from text or from Parquet, whose columns have types.

pandas reads the fields. This module does what `read_csv` leaves to the user. `read_csv` must be told the separator, the decimal
mark and the encoding. It fills short rows with missing values and shifts long ones, both silently. It reads NA and None as
missing values even if they are classes. It names no line. `test_what_pandas_leaves_to_the_user` shows each. DuckDB and pyarrow
report such rows by their number, which is not the line, and turn a whole column into text for one cell that is no number.
"""

import csv
import importlib
import io
import re
import warnings
from collections.abc import Mapping
from contextlib import closing
from itertools import count, islice
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from fastbp.app.notation import OTHER_MARK, find_decimal, find_evidence, is_code
from fastbp.app.source import TableError, as_text, brief, find_encoding, title_of

SEPARATORS = {"\t": "tab", ";": "semicolon", "|": "bar", ",": "comma"}
# texts that pandas reads as missing values in a column of numbers
MISSING_NUMBERS = frozenset(["", "#N/A", "#N/A N/A", "#NA", "<NA>", "N/A", "NA", "n/a", "NULL", "null", "None"])
MISSING_NUMBERS |= {"NaN", "nan", "-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"}
_SAMPLE = 2**18  # characters from which the format is detected
_SAMPLE_ROWS, _SAMPLE_FIELDS = 300, 100_000
csv.field_size_limit(2**31 - 1)


class Options(NamedTuple):
    """The format of a file; None is detected."""

    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    separator: str | None = None
    missing: frozenset[str] = frozenset()


class Body(NamedTuple):
    """The rows of a text file, below its header."""

    path: Any
    file: Any  # its bytes, unpacked
    encoding: str
    separator: str
    n_head_lines: int  # lines up to the end of the header
    n_columns: int
    unit: str = "line"  # how messages call a row's place

    def records(self):
        """Yield (line, fields) of each row."""
        with as_text(self.file, self.encoding, self.n_head_lines) as text:
            last = ""

            def lines():
                nonlocal last
                for line in text:
                    last = line
                    yield line

            reader, line = _split(lines(), self.separator), self.n_head_lines
            for row in reader:
                if not _is_blank(row) or '"' in last:  # a line of "" is a row with one empty field
                    yield line + 1, row
                line = self.n_head_lines + reader.line_num

    def lines_of(self, rows):
        """Return {row: line in the file} for these row numbers."""
        rows = set(rows)
        with closing(self.records()) as records:
            lines = {row: line for row, (line, _) in enumerate(islice(records, max(rows, default=-1) + 1)) if row in rows}
        if len(lines) < len(rows):
            self._refuse_quotes()
        return lines

    def texts_of(self, place, series):
        """Return the column at this place as text; NaN is an empty field."""
        return series if series.dtype == object else _read(self, [], [str(place)], usecols=[str(place)])[str(place)]

    def refuse_ragged(self, n_rows=None):
        """Raise if a row has another number of fields than the header, or if pandas found another number of rows."""
        width, n_records = self.n_columns, 0
        for line, row in self.records():
            n_records += 1
            if not _fits(row, width):
                separated = f"separated by {SEPARATORS.get(self.separator, repr(self.separator))}"
                raise TableError(
                    f"{title_of(self.path)}, line {line}: {len(row)} fields where the header has {width} ({separated})"
                )
        if n_rows is not None and n_records != n_rows:
            self._refuse_quotes()

    def _refuse_quotes(self):
        raise TableError(f"{title_of(self.path)} has quotation marks in odd places: it is unclear where its rows end")


class TypedBody(NamedTuple):
    """The rows of a file with typed columns."""

    path: Any
    exact: Mapping[int, Any] = MappingProxyType({})  # texts of columns of integers that float64 rounds
    separator: str = ","
    unit: str = "row"

    def lines_of(self, rows):
        """Return {row: its number, from 1}."""
        return {row: row + 1 for row in rows}

    def texts_of(self, place, series):
        """Return the column as text; NaN is a missing value."""
        return self.exact.get(place, texts_of_column(series))


class Fields(NamedTuple):
    """The columns of a file."""

    body: Body | TypedBody
    decimal: str | None  # the decimal mark of the columns; None if they differ or have none
    names: list[str]  # unique: a second "a" is "a.1", and a third column without a name is "column 3"
    repeated: dict[str, list[str]]  # a name that occurs more than once -> the unique names of its columns
    nameless: set[str]  # which of `names` are not in the file
    columns: list[Any]  # Series of numbers, or of text with NaN for missing values; of dates too, if the file has types
    notes: list[str]
    has_types: bool = False  # whether text stays text, even if it looks like numbers
    unusable: Mapping[str, str] = MappingProxyType({})  # columns of a type that cannot be used -> that type


def texts_of_column(series):
    """Return numbers (in their shortest form) and dates as text, with NaN for missing values; other columns as they are."""
    if series.dtype.kind in "iu":
        return series.astype(str).astype(object)
    if series.dtype.kind == "f":
        texts = series.map(lambda number: f"{number:.0f}" if number.is_integer() else repr(number), na_action="ignore")
        return texts.astype(object)
    if series.dtype.kind == "M":
        has_hours = (series != series.dt.normalize())[series.notna()].any()
        return series.dt.strftime("%Y-%m-%d %H:%M:%S" if has_hours else "%Y-%m-%d").astype(object)
    return series


def read_fields(path, file, options, is_text=lambda name, place: False):
    """Return the Fields of a file; `file` is its unpacked content. A column stays text if `is_text(name, place)`."""
    try:
        import pandas as pd  # noqa: F401 - the first import, for the error
    except ImportError as error:
        raise TableError("reading a table needs pandas: pip install pandas") from error
    file.seek(0)
    start = file.read(64)  # text may begin with PAR1 too, but has no control characters
    if start.startswith(b"PAR1") and any(byte < 32 and byte not in b"\t\r\n" for byte in start):
        return _read_parquet(path, file, options)
    encoding = find_encoding(path, file, options.encoding)
    with as_text(file, encoding) as text:
        sample = text.read(_SAMPLE) + text.readline() + "".join(islice(text, 20))  # rows too, if the header is that long
    lines = list(io.StringIO(sample, newline=""))
    hint = re.fullmatch(r'\ufeff?"?sep=([^\w"])"?\s*', lines[0], re.IGNORECASE) if lines else None
    lines = lines[1:] if hint else lines
    separator = options.separator or (hint[1] if hint else _find_separator(lines))
    reader = _split(lines, separator)
    header = next((row for row in reader if not _is_blank(row)), [])
    names = [name.strip().lstrip("\ufeff") for name in header]
    if not names:
        raise TableError(f"{title_of(path)} is empty")
    body = Body(path, file, encoding, separator, reader.line_num + bool(hint), len(names))
    rows = [row for row in islice(reader, min(_SAMPLE_ROWS, 20 + _SAMPLE_FIELDS // len(names))) if not _is_blank(row)]
    sample = [[row[i].strip() for row in rows if i < len(row)] for i in range(len(names))]
    decimal, is_plain = _detect_decimal(sample, separator, options)
    names, repeated, nameless, notes_on_names = _unique_names(names)
    is_plain = [is_so and not is_text(name, i) for i, (name, is_so) in enumerate(zip(names, is_plain))]
    columns = _parse(body, is_plain, decimal or ".", options.missing)

    notes = []
    if encoding not in ("utf-8", "utf-8-sig", options.encoding):
        notes.append(f"the file is not UTF-8; it is read as {encoding} (--encoding names another)")
    notes += notes_on_names
    if decimal == "," and options.decimal is None:
        example = next((text for texts, is_so in zip(sample, is_plain) if is_so for text in texts if "," in text), None)
        if example:
            notes.append(f"the file has decimal commas: {example!r} is read as {float(example.replace(',', '.')):.15g}")
    return Fields(body, decimal, names, repeated, nameless, columns, notes)


def _read_parquet(path, file, options):
    import pandas as pd

    try:
        pa, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise TableError(f"{title_of(path)} is Parquet, which needs pandas and pyarrow: pip install pandas pyarrow") from error
    notes = ["--sep and --encoding are for text, not for Parquet"] if options.separator or options.encoding else []
    file.seek(0)
    pa.array(pd.array([], "period[D]"))  # registers pandas' periods with pyarrow
    try:
        table = parquet.ParquetFile(file).read()  # one file: read_table would take columns from the names of folders
        index = [name for name in table.column_names if name.startswith("__index_level_")]  # pandas' name of a nameless index
        if 0 < len(index) < table.num_columns:
            table = table.drop_columns(index)
            notes.append("the index of the DataFrame, which has no name, is left out")
        columns = [_values_of_arrow(pa, pd, column) for column in table.columns]
    except (pa.ArrowException, ValueError, OSError) as error:
        raise TableError(f"{title_of(path)} is no Parquet file that can be read: {error}") from error
    if not columns:
        raise TableError(f"{title_of(path)} has no columns")
    names, repeated, nameless, notes_on_names = _unique_names([name.strip() for name in table.column_names])
    missing = pd.to_numeric(pd.Series([*options.missing], dtype=object), errors="coerce").dropna()
    unusable, exact = {}, {}
    for i, (column, stored) in enumerate(zip(columns, table.columns)):
        if isinstance(column, str):
            unusable[names[i]], columns[i] = column, pd.Series([None] * table.num_rows, dtype=object)
        elif column.dtype.kind in "iuf":
            if pa.types.is_integer(stored.type) and column.dtype.kind == "f" and column.abs().max() > 2**53:
                exact[i] = stored.to_pandas(integer_object_nulls=True).map(str, na_action="ignore")
            columns[i] = column.mask(column.isin(missing))
    body = TypedBody(path, exact)
    return Fields(body, None, names, repeated, nameless, columns, notes + notes_on_names, True, unusable)


def _values_of_arrow(pa, pd, column):
    """Return a column of pyarrow's as a Series, booleans as text; or the name of its type if it cannot be used."""
    kind, types = column.type, pa.types
    if getattr(kind, "extension_name", "") == "pandas.period":
        return column.to_pandas().dt.to_timestamp().astype("datetime64[ns]")
    if types.is_dictionary(kind):
        return _values_of_arrow(pa, pd, column.cast(kind.value_type))
    if types.is_null(kind):
        column, kind = column.cast(pa.string()), pa.string()
    if types.is_boolean(kind):
        return pd.Series(column.to_pandas(), dtype=object).map({True: "True", False: "False"}).astype(object)
    if types.is_integer(kind):
        values = column.to_pandas(integer_object_nulls=True)
        return values.astype(np.float64) if values.dtype == object else values
    if types.is_floating(kind) or types.is_decimal(kind):
        return pd.Series(column.cast(pa.float64(), safe=False).to_numpy())
    if types.is_date(kind):
        column, kind = column.cast(pa.timestamp("ms")), pa.timestamp("ms")
    if types.is_timestamp(kind):
        return pd.to_datetime(column.to_pandas(), errors="coerce", utc=True).dt.tz_localize(None)
    if types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view":
        return column.to_pandas().astype(object)
    return str(kind)


def _unique_names(names):
    """Make names unique; return `names`, `repeated` and `nameless` of Fields, and notes."""
    without = [i for i, name in enumerate(names) if not name]
    names = [name or f"column {i}" for i, name in enumerate(names, 1)]
    places, taken = {}, set(names)
    for i, name in enumerate(names):
        places.setdefault(name, []).append(i)
    for name, (_, *others) in places.items():
        for i in others:
            names[i] = next(other for number in count(1) if (other := f"{name}.{number}") not in taken)
            taken.add(names[i])
    repeated = {name: [names[i] for i in its] for name, its in places.items() if len(its) > 1}
    notes = [
        f"{brief(name)!r} is in the header more than once: the second is called {brief(second)!r}"
        for name, (_, second, *_) in repeated.items()
    ]
    return names, repeated, {names[i] for i in without}, notes


def _find_separator(lines):
    """Return the separator with which header and rows have the same number of fields."""

    def quality(separator):
        rows = [row for row in islice(_split(lines, separator), 200) if not _is_blank(row)]
        width = max((i for i, name in enumerate(rows[0], 1) if name.strip()), default=0) if rows else 0
        same = np.mean([_fits(row, width) for row in rows[1:]] or [1])
        # tab and semicolon win over the comma, which may be a decimal mark
        return width > 1 and same >= 0.5, len(rows) > 1 and separator in "\t;", same, width

    return max(SEPARATORS, key=quality)


def _split(lines, separator):
    return csv.reader(lines, delimiter=separator, skipinitialspace=True)


def _is_blank(row):
    return not row or (len(row) == 1 and not row[0].strip(" \t"))  # as pandas sees it


def _fits(row, width):
    """Whether the row has that many fields; extra separators at its end are allowed."""
    return len(row) == width or (len(row) > width and not any(row[width:]))


def _detect_decimal(columns, separator, options):
    """Return the decimal mark, and for each column whether pandas can read its numbers with it."""
    evidence, has_codes = [], []
    for texts in columns:
        texts = [text for text in dict.fromkeys(texts) if text not in MISSING_NUMBERS and text not in options.missing]
        evidence.append((find_evidence(texts, np.ones(len(texts)), options.thousands), len(texts)))
        has_codes.append(any(map(is_code, texts)))
    decimal = options.decimal or OTHER_MARK.get(options.thousands)
    if decimal is None:
        of_numbers = [one for one, n_texts in evidence if one.n_others < n_texts / 2]
        found = {mark for one in of_numbers for mark, weight in one.certain.items() if weight}
        decimal = found.pop() if len(found) == 1 else None
    usual = decimal or "."
    is_plain = [
        one.n_others == 0
        and not with_codes
        and one.marks <= {usual}
        and (not one.marks or find_decimal(one, decimal, separator)[0] == usual)
        for (one, _), with_codes in zip(evidence, has_codes)
    ]
    return decimal, is_plain


def _parse(body, is_plain, decimal, missing):
    """Return the columns: plain ones as numbers if pandas can, the others as text."""
    import pandas as pd

    names = [str(i) for i in range(len(is_plain))]
    beyond = str(len(names))
    plain = [name for name, is_so in zip(names, is_plain) if is_so]
    try:
        frame = _read(body, plain, [name for name, is_so in zip(names, is_plain) if not is_so], decimal, missing)
        if frame[beyond].notna().any() or frame[names[-1]].isna().any():
            body.refuse_ragged(len(frame))
        columns = {name: frame[name] for name in names}
        again = [name for name in plain if columns[name].dtype.kind not in "iuf"]
        if again:
            for name in again:
                del columns[name]
            columns |= dict(_read(body, [], again, usecols=again).items())
    except pd.errors.EmptyDataError:
        return [pd.Series(dtype=object) for _ in names]
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        if "EOF inside string" in str(error):
            line = max((line for line, _ in body.records()), default=body.n_head_lines + 1)
            raise TableError(f"{title_of(body.path)}, line {line}: a quotation mark is opened and not closed again") from error
        body.refuse_ragged()
        raise TableError(f"{title_of(body.path)} cannot be read: {' '.join(str(error).split())}") from error
    return [columns[name] for name in names]


def _read(body, plain, others, decimal=".", missing=(), usecols=None):
    """Return a DataFrame with the places of the columns as their names.

    Without `usecols` it has one column more, for surplus fields, which pandas would drop silently.
    """
    import pandas as pd

    names = [str(i) for i in range(body.n_columns + (usecols is None))]
    no_number, no_text = [*MISSING_NUMBERS - {"None"}, *missing], [""]  # None may be a class: a column with it is read as text
    with as_text(body.file, body.encoding, body.n_head_lines) as text, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            text,
            sep=body.separator,
            decimal=decimal,
            header=None,
            names=names,
            index_col=False,
            usecols=usecols,
            dtype=dict.fromkeys(others, object) or None,  # {} would cost memory in pandas 2
            keep_default_na=False,
            na_values=dict.fromkeys(plain, no_number) | dict.fromkeys([*others, str(body.n_columns)], no_text),
            skipinitialspace=True,
        )
