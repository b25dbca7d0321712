"""Reads the rows of a table in the form in which a model takes them."""

from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from fastbp.app.columns import CATEGORY, DATE, MOST_NAMED, NEARLY_ALL, NUMBER, Cells, how_numbers_are_read, note_on_unreadable
from fastbp.app.fields import MISSING_NUMBERS, read_fields, texts_of_column
from fastbp.app.inputs import ANY, BOOLEAN, is_missing
from fastbp.app.notation import is_code, without_far_dates
from fastbp.app.source import TableError, brief, count_of, open_unpacked, title_of

BOOLEANS = {"true": True, "false": False}


class Rows(NamedTuple):
    """The inputs of a model, read from a file."""

    X: Any  # DataFrame or ndarray of shape (n_rows, n_features); one made-up row if the file has none
    n_rows: int  # in the file
    remarks: list[str]  # how the file was read
    doubts: list[str]  # what the model may refuse: categories unseen in training, and missing values


def read_rows(inputs, path, options):
    """Return the Rows of a table for a model with these Inputs; raise TableError if it cannot take a column."""
    with closing(open_unpacked(path)) as file:
        names = inputs.names
        text = {key for key, one in zip(names or range(len(inputs.columns)), inputs.columns) if one.kind not in (NUMBER, ANY)}
        fields = read_fields(path, file, options, lambda name, place: (place if names is None else name) in text)
        places = _places_of(inputs, fields)
        n_rows, reader = len(fields.columns[0]), _Reader(fields, options)
        values = [reader.column(place, column) for place, column in zip(places, inputs.columns, strict=True)]
        X = inputs.frame(values) if n_rows else inputs.made_up_row()
        return Rows(X, n_rows, [*fields.notes, *reader.remarks], reader.doubts)


def _places_of(inputs, fields):
    """Return the place in the file of each column of the model."""
    title = title_of(fields.body.path)
    if inputs.names is None:
        if len(fields.names) != len(inputs.columns):
            raise TableError(
                f"{title} has {len(fields.names)} columns, but the model, which was fitted without names, takes"
                f" {len(inputs.columns)}"
            )
        return range(len(fields.names))
    place_of = {f"Unnamed: {i}": i for i, name in enumerate(fields.names) if name in fields.nameless}  # what pandas calls them
    place_of |= {name: i for i, name in enumerate(fields.names)}
    places, absent = [], []
    for name in inputs.names:
        source = name if name in place_of else name.strip()
        if source not in place_of:
            absent.append(source)
        elif not set(inputs.names).issuperset(fields.repeated.get(source, ())):
            raise TableError(f"{title} has two columns named {source!r}, one of which the model was trained on")
        else:
            places.append(place_of[source])
    absent = [repr(brief(name)) for name in dict.fromkeys(absent)]
    if absent:
        more = f" and {len(absent) - MOST_NAMED} more" if len(absent) > MOST_NAMED else ""
        one = f": it has one column only, {brief(fields.names[0])!r}, and --sep names another separator"
        hint = one if len(fields.names) == 1 else ""
        many = f"column{'s' if len(absent) > 1 else ''} {', '.join(absent[:MOST_NAMED])}"
        raise TableError(f"{title} has no {many}{more}, which the model was trained on{hint}")
    return places


class _Reader:
    """Reads columns of a file in the form in which a model takes them, and collects notes on them."""

    def __init__(self, fields, options):
        self.fields, self.options = fields, options
        self.remarks, self.doubts = [], []

    def column(self, place, column):
        """Return the values of the column at this place; `column` is its Input."""
        name, series = self.fields.names[place], self.fields.columns[place]
        if name in self.fields.unusable:
            raise TableError(
                f"{title_of(self.fields.body.path)}: the column {name!r} is of the type {self.fields.unusable[name]}"
            )
        read = {NUMBER: self._numbers, CATEGORY: self._words, DATE: self._dates, BOOLEAN: self._booleans, ANY: self._as_pandas}
        values = read[column.kind](place, series, column)
        takes_missing = column.is_filled or any(map(is_missing, column.known)) or "" in column.known
        is_empty = values.isna() if column.missing != "" else values == ""
        if is_empty.any() and not takes_missing:
            n_empty, (line,) = np.count_nonzero(is_empty), self._lines(np.flatnonzero(is_empty)[:1])
            self.doubts.append(f"column {brief(name)!r}: {count_of(n_empty, 'missing value')}, the first in {line}")
        return values

    # ---- kinds

    def _numbers(self, place, series, column):
        import pandas as pd

        if series.dtype.kind in "iuf":
            values, missing, is_counted = series, series.isna(), series.notna()
        else:
            cells = Cells(texts_of_column(series), self.fields, self.options)
            values = pd.Series(cells.of_rows(self._numbers_of(cells, place), np.nan))
            missing, is_counted = cells.of_rows(cells.is_missing_word, True), cells.of_rows(cells.is_counted, False)
        is_unreadable = ~missing & ~(values.abs() < np.inf)
        self._report_unreadable(place, column, is_unreadable, is_counted, "number")
        values = values.where(~is_unreadable)
        if any(not isinstance(value, np.number) for value in column.known):
            values = values.astype(object).where(values.notna(), column.missing)
        return values

    def _numbers_of(self, cells, place):
        """Return the distinct texts as numbers, booleans as 1 and 0."""
        booleans = [BOOLEANS.get(text.lower()) for text in cells.texts]
        if all(value is not None or missing for value, missing in zip(booleans, cells.is_missing_word)):
            return np.array(booleans, dtype=float)
        read = cells.numbers()
        self._remark(place, how_numbers_are_read(read, cells.texts))
        return read.values

    def _dates(self, place, series, column):
        import pandas as pd

        if series.dtype.kind == "M":
            values, missing, is_counted = without_far_dates(series), series.isna(), series.notna()
        else:
            cells = Cells(texts_of_column(series), self.fields, self.options)
            dates, remark = cells.dates()
            self._remark(place, [remark] if remark else [])
            if dates is None:
                dates = np.full(len(cells.texts), np.datetime64("NaT", "ns"))
            values = pd.Series(cells.of_rows(dates, np.array("NaT", dates.dtype)))
            missing, is_counted = cells.of_rows(cells.is_missing_word, True), cells.of_rows(cells.is_counted, False)
        self._report_unreadable(place, column, values.isna() & ~missing, is_counted, "date")
        return values

    def _booleans(self, place, series, column):
        texts = texts_of_column(series).str.strip()
        missing = texts.isna() | texts.isin([*MISSING_NUMBERS, *self.options.missing])
        values = texts.str.lower().map(BOOLEANS)
        self._report_unreadable(place, column, values.isna() & ~missing, ~missing, "boolean")
        return values.where(~missing, column.missing) if missing.any() else values.astype(bool)

    def _words(self, place, series, column):
        import pandas as pd

        codes, found = pd.factorize(texts_of_column(series))
        find = self._finder(place, column)
        words = [find(text) for text in found]
        values = pd.Series(np.array([*words, column.missing], dtype=object)[codes], dtype=object)
        known = {*column.known, column.missing}
        new = [word for word in words if word not in known and not is_missing(word)]
        if column.known and new:
            title, n_new = brief(self.fields.names[place]), np.count_nonzero(values.isin(new))
            hold = "1 cell holds" if n_new == 1 else f"{n_new} cells hold"
            self.doubts.append(f"column {title!r}: {hold} words unseen in training: {brief(new[0])!r}")
        return values

    def _finder(self, place, column):
        """Return a function from a text to the category of the model."""
        known = [word for word in column.known if isinstance(word, str)]
        stripped, names = {}, set(known)
        for word in known:
            if stripped.setdefault(word.strip(), word) != word:
                raise TableError(
                    f"column {brief(self.fields.names[place])!r}: the model has both {word!r} and {stripped[word.strip()]!r}, but"
                    " spaces around a field are stripped"
                )

        def find(text):
            bare = text.strip()
            if bare in self.options.missing or not bare:
                return column.missing
            ways = [text, stripped.get(bare), _as_number_text(bare), bare.capitalize() if bare.lower() in BOOLEANS else None]
            word = next((way for way in ways if way in names), None)
            return word if word is not None else column.missing if bare in MISSING_NUMBERS else bare

        return find

    def _as_pandas(self, place, series, column):
        """Return the column as pandas reads it by default: numbers, booleans or text."""
        import pandas as pd

        if series.dtype != object:
            return series
        bare = series.str.strip()
        bare = bare.mask(bare.isin([*MISSING_NUMBERS, *self.options.missing]))
        if bare.notna().any() and bare.dropna().str.lower().isin(BOOLEANS).all():
            return self._booleans(place, series, column)
        numbers = pd.to_numeric(bare, errors="coerce")
        return numbers if (numbers.notna() | bare.isna()).all() else bare

    # ---- what is said

    def _remark(self, place, remarks):
        self.remarks += [f"column {brief(self.fields.names[place])!r}: {remark}" for remark in remarks]

    def _report_unreadable(self, place, column, is_unreadable, is_counted, what):
        """Note the unreadable cells, which count as missing values; raise if the model fills none, or if there are many."""
        rows = np.flatnonzero(is_unreadable)
        if len(rows) == 0:
            return
        name, texts = self.fields.names[place], texts_of_column(self.fields.body.texts_of(place, self.fields.columns[place]))
        cells = [(str(texts[row]).strip(), line) for row, line in zip(rows, self._lines(rows[:MOST_NAMED]))]
        n_wrong, n_counted = np.count_nonzero(is_unreadable & is_counted), np.count_nonzero(is_counted)
        if not column.is_filled or n_wrong > (1 - NEARLY_ALL) * n_counted:
            text, line = cells[0]
            more = f" ({len(rows)} cells of the column are none)" if len(rows) > 1 else ""
            raise TableError(
                f"column {brief(name)!r}, {line}: {brief(text)!r} is no {what} that can be used{more}; the model was trained on"
                f" {what}s there, and --na says which words stand for missing values"
            )
        self._remark(place, [note_on_unreadable(what, len(rows), cells)])

    def _lines(self, rows):
        return [f"{self.fields.body.unit} {line}" for line in self.fields.body.lines_of(map(int, rows)).values()]


def _as_number_text(text):
    """Return a number as tabular estimators write it as a category: whole numbers without a point; None for other texts."""
    if is_code(text.lstrip("+-")) or not text.isascii():
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return str(int(number)) if number.is_integer() else str(number)
