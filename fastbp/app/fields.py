"""A table's header and fields.

pandas reads the fields: there is no parser of our own. Around it stands what `read_csv` leaves to the user. It must be told
separator, decimal mark and encoding, or reads a table of semicolons as one column and decimal commas as text, and stops at the
first byte that is not UTF-8; its own search for the separator (``sep=None``) takes some ten times as long, and finds no decimal
mark. It fills a short row with missing values, and takes the first field of rows that are longer than the header for their
names, both silently. The words NA and None become missing values where they are a country or a class. And it does not say in
which line of the file what is wrong. `test_what_pandas_leaves_to_the_user` in tests/test_table.py shows each.
"""

import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Mapping
from contextlib import closing, contextmanager, suppress
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from fastbp.app.notation import OTHER_MARK, find_decimal, is_code, weigh
from fastbp.app.parquet import is_parquet, read_parquet
from fastbp.app.source import TableError, as_text, brief, encodings_of, title_of

SEPARATORS = {"\t": "tab", ";": "semicolon", "|": "bar", ",": "comma"}
# what pandas takes for a missing value in a column of numbers
NUMBER_GAPS = frozenset(["", "#N/A", "#N/A N/A", "#NA", "<NA>", "N/A", "NA", "n/a", "NULL", "null", "None"])
NUMBER_GAPS |= {"NaN", "nan", "-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"}
_SAMPLE = 2**18  # characters that are looked at before the fields are read
_SAMPLE_ROWS, _SAMPLE_FIELDS = 300, 100_000


class Options(NamedTuple):
    """How the file is written, where it is not to be found out."""

    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    separator: str | None = None
    gaps: frozenset[str] = frozenset()


class Body(NamedTuple):
    """The rows of a file: its name, its unpacked bytes, how they are read, and how many lines the header ends after."""

    path: Any
    file: Any
    encoding: str
    separator: str
    n_head_lines: int
    n_columns: int
    unit: str = "line"  # what messages count

    @contextmanager
    def open(self):
        """Read the text below the header."""
        with as_text(self.file, self.encoding) as text:
            for _ in range(self.n_head_lines):
                text.readline()
            yield text

    def records(self):
        """Yield (line, fields) of each row."""
        with self.open() as text, _no_field_limit():
            last = ""

            def lines():
                nonlocal last
                for one in text:
                    last = one
                    yield one

            reader, line = _split(lines(), self.separator), self.n_head_lines
            for row in reader:
                if not _is_blank(row) or '"' in last:  # "" alone is a row of one empty field
                    yield line + 1, row
                line = self.n_head_lines + reader.line_num

    def lines_of(self, rows):
        """Return {row: line of the file} for the row numbers."""
        rows = set(rows)
        with closing(self.records()) as records:
            lines = {row: line for row, (line, _) in enumerate(islice(records, max(rows, default=-1) + 1)) if row in rows}
        if len(lines) < len(rows):
            self._refuse_quotes()
        return lines

    def texts_of(self, place, series):
        """Return the column at this place as it stands in the file: texts, NaN for an empty field."""
        return series if series.dtype == object else _read(self, [], [str(place)], usecols=[str(place)])[str(place)]

    def refuse_ragged(self, width, n_rows=None):
        """Raise if a row has other fields than the header, or if there are not as many rows as pandas found."""
        separated = f"separated by {SEPARATORS.get(self.separator, repr(self.separator))}"
        n_records = 0
        for line, row in self.records():
            n_records += 1
            if not _fits(row, width):
                raise TableError(
                    f"{title_of(self.path)}, line {line}: {len(row)} fields where the header has {width} ({separated})"
                )
        if n_rows is not None and n_records != n_rows:
            self._refuse_quotes()

    def _refuse_quotes(self):
        raise TableError(f"{title_of(self.path)} has quotation marks in odd places: its rows can be told apart in two ways")


class Rows(NamedTuple):
    """Rows that are no lines of text; `exact` are texts of columns whose numbers are not all that the file says."""

    path: Any
    exact: Mapping[int, Any] = MappingProxyType({})
    separator: str = ","
    unit: str = "row"

    def lines_of(self, rows):
        """Return {row: its place, from 1}."""
        return {row: row + 1 for row in rows}

    def texts_of(self, place, series):
        """Return the column as text, numbers as short as they can be written, NaN for a missing value."""
        return self.exact.get(place, as_text_series(series))


class Fields(NamedTuple):
    """The columns of a file.

    Attributes
    ----------
    body : Body or Rows
    decimal : str or None
        The decimal mark of the columns; None if they differ or have none.
    names : list of str
        All different: a second "a" is "a.1", and one without a name is "column 3".
    repeated : dict of str to list of str
        What columns with the same name are called.
    nameless : set of str
        Which of `names` do not stand in the file.
    columns : list of Series
        Numbers, missing values as NaN, or text as it stands, NaN where there is none; dates too, where the file knows of types.
    notes : list of str
    has_types : bool
        Whether text is text and nothing else, even if it looks like numbers.
    unusable : dict of str to str
        Columns without values that can be used, and the type that they have in the file.
    """

    body: Body | Rows
    decimal: str | None
    names: list[str]
    repeated: dict[str, list[str]]
    nameless: set[str]
    columns: list[Any]
    notes: list[str]
    has_types: bool = False
    unusable: Mapping[str, str] = MappingProxyType({})


def as_text_series(series):
    """Return numbers as text, as short as they can be written, NaN for missing values; other columns as they are."""
    if series.dtype.kind in "iu":
        return series.astype(str).astype(object)
    if series.dtype.kind == "f":
        return series.map(lambda number: f"{number:.0f}" if number.is_integer() else repr(number), na_action="ignore").astype(
            object
        )
    return series


def read_fields(path, file, options, is_text=lambda name, place: False):
    """Return the Fields of the file at `path`, whose unpacked bytes are `file`; a column stays text if `is_text(name, place)`."""
    if is_parquet(file):
        return _from_parquet(path, file, options)
    *likely, last = encodings_of(file, options.encoding)
    for encoding in likely:
        with suppress(UnicodeError):
            return _read_encoded(path, file, encoding, options, is_text)
    try:
        return _read_encoded(path, file, last, options, is_text)
    except UnicodeError as error:
        raise TableError(f"{title_of(path)} is not {last} text: {error}; --encoding names another encoding") from error


def _from_parquet(path, file, options):
    import pandas as pd

    found = read_parquet(path, file)
    names, repeated, nameless, notes = _name(found.names)
    unusable = {names[i]: kind for i, kind in found.unusable.items()}
    gaps = pd.to_numeric(pd.Series([*options.gaps], dtype=object), errors="coerce").dropna()
    columns = [column.mask(column.isin(gaps)) if column.dtype.kind in "iuf" else column for column in found.columns]
    if options.separator or options.encoding:
        notes.append("--sep and --encoding are for text, not for Parquet")
    return Fields(Rows(path, found.exact), None, names, repeated, nameless, columns, [*found.notes, *notes], True, unusable)


def _name(names):
    """Return the names, all different, as Fields has them, with what it calls repeated and nameless, and notes."""
    without = [i for i, name in enumerate(names) if not name]
    names, repeated = _tell_apart([name or f"column {i}" for i, name in enumerate(names, 1)])
    notes = [
        f"{brief(name)!r} stands in the header more than once: the second is called {brief(second)!r}"
        for name, (_, second, *_) in repeated.items()
    ]
    return names, repeated, {names[i] for i in without}, notes


def _read_encoded(path, file, encoding, options, is_text):
    with as_text(file, encoding) as text:
        sample = text.read(_SAMPLE)
        is_whole = not text.read(1)
    if "\0" in sample:
        raise TableError(f"{title_of(path)} is not a table of text: it holds NUL characters")
    lines = list(io.StringIO(sample, newline=""))
    if not is_whole and len(lines) > 1:
        lines.pop()  # it may be cut
    hint = re.fullmatch(r'\ufeff?"?sep=([^\w"])"?\s*', lines[0], re.IGNORECASE) if lines else None
    lines = lines[1:] if hint else lines
    with _no_field_limit():
        separator = options.separator or (hint[1] if hint else _find_separator(lines))
        n_head_lines, names = _read_header(file, encoding, separator, skip=bool(hint))
        if not names:
            raise TableError(f"{title_of(path)} is empty")
        n_rows = min(_SAMPLE_ROWS, 20 + _SAMPLE_FIELDS // len(names))
        rows = [row for row in islice(_split(lines, separator), n_rows) if not _is_blank(row)][1:]
    sample = [[row[i].strip() for row in rows if i < len(row)] for i in range(len(names))]
    decimal, is_plain = _look_at(sample, separator, options)
    names, repeated, nameless, notes_on_names = _name(names)
    body = Body(path, file, encoding, separator, n_head_lines, len(names))
    is_plain = [is_so and not is_text(name, i) for i, (name, is_so) in enumerate(zip(names, is_plain))]
    columns = _parse(body, is_plain, decimal or ".", options.gaps)

    notes = []
    if encoding not in ("utf-8", "utf-8-sig", options.encoding):
        notes.append(f"the file is not UTF-8; it is read as {encoding} (--encoding names another)")
    notes += notes_on_names
    if decimal == "," and options.decimal is None:
        example = next((text for texts, is_so in zip(sample, is_plain) if is_so for text in texts if "," in text), None)
        if example:
            notes.append(f"the file has decimal commas: {example!r} is read as {float(example.replace(',', '.')):.15g}")
    return Fields(body, decimal, names, repeated, nameless, columns, notes)


def _find_separator(lines):
    """Return the separator that cuts the header and the rows below it into equally many fields."""

    def quality(separator):
        rows = [row for row in islice(_split(lines, separator), 200) if not _is_blank(row)]
        width = max((i for i, name in enumerate(rows[0], 1) if name.strip()), default=0) if rows else 0
        same = np.mean([_fits(row, width) for row in rows[1:]] or [1])
        # one that cuts rows alike is the better reason for a semicolon than for a comma, which may be a decimal one
        return width > 1 and same >= 0.5, len(rows) > 1 and separator in "\t;", same, width

    return max(SEPARATORS, key=quality)


def _split(lines, separator):
    return csv.reader(lines, delimiter=separator, skipinitialspace=True)


@contextmanager
def _no_field_limit():
    """Let the csv module read fields of any length."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _is_blank(row):
    return not row or (len(row) == 1 and not row[0].strip(" \t"))  # as pandas sees it


def _fits(row, width):
    """Whether the row has as many fields; separators at its end may be too many."""
    return len(row) == width or (len(row) > width and not any(row[width:]))


def _read_header(file, encoding, separator, skip):
    with as_text(file, encoding) as text:
        if skip:
            text.readline()
        reader = _split(iter(text.readline, ""), separator)
        for row in reader:
            if not _is_blank(row):
                return reader.line_num + skip, [name.strip().lstrip("\ufeff") for name in row]
    return 0, []


def _tell_apart(names):
    """Return different names, "a" and "a.1" for "a" and "a", and {"a": ["a", "a.1"]}."""
    count = Counter(names)
    taken = {name for name in names if count[name] == 1}
    different, repeated = [], {}
    for name in names:
        other, number = name, 0
        while count[name] > 1 and other in taken:
            number += 1
            other = f"{name}.{number}"
        taken.add(other)
        different.append(other)
        if count[name] > 1:
            repeated.setdefault(name, []).append(other)
    return different, repeated


def _look_at(columns, separator, options):
    """Return the decimal mark of the columns, and for each column whether pandas can read its numbers with that mark."""
    evidence, has_codes = [], []
    for texts in columns:
        texts = [text for text in dict.fromkeys(texts) if text not in NUMBER_GAPS and text not in options.gaps]
        evidence.append((weigh(texts, np.ones(len(texts)), options.thousands), len(texts)))
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


def _parse(body, is_plain, decimal, gaps):
    """Return the columns as pandas reads them: those of plain numbers as numbers, the others as text."""
    import pandas as pd

    names = [str(i) for i in range(len(is_plain))]
    beyond = str(len(names))
    plain = [name for name, is_so in zip(names, is_plain) if is_so]
    try:
        frame = _read(body, plain, [name for name, is_so in zip(names, is_plain) if not is_so], decimal, gaps)
        if frame[beyond].notna().any() or frame[names[-1]].isna().any():
            body.refuse_ragged(len(names), len(frame))
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
        body.refuse_ragged(len(names))
        raise TableError(f"{title_of(body.path)} cannot be read: {' '.join(str(error).split())}") from error
    return [columns[name] for name in names]


def _read(body, plain, others, decimal=".", gaps=(), usecols=None):
    """Return a frame of the columns, called by their places; without `usecols` one more, for fields that should not be there,
    which pandas would leave out in silence."""
    import pandas as pd

    names = [str(i) for i in range(body.n_columns + (usecols is None))]
    number_gaps, no_text = [*NUMBER_GAPS - {"None"}, *gaps], [""]  # None may be a class: a column with it is read as text
    with body.open() as text, warnings.catch_warnings():
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
            dtype=dict.fromkeys(others, object) or None,  # even {} costs pandas 2 memory
            keep_default_na=False,
            na_values=dict.fromkeys(plain, number_gaps) | dict.fromkeys([*others, str(body.n_columns)], no_text),
            skipinitialspace=True,
        )
