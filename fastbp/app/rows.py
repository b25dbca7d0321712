"""The rows of a file as a model takes them."""

from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from fastbp.app.columns import CATEGORY, DATE, MOST_NAMED, NEARLY_ALL, NUMBER, Cells, how_numbers_are_read, note_on_odd
from fastbp.app.fields import NUMBER_GAPS, as_text_series, read_fields
from fastbp.app.inputs import ANY, TRUTH, is_missing
from fastbp.app.notation import is_code, within_years
from fastbp.app.source import TableError, brief, count_of, open_unpacked, title_of

TRUTHS = {"true": True, "false": False}


class Rows(NamedTuple):
    """What a model takes of a file."""

    X: Any  # DataFrame or ndarray of shape (n_rows, n_features); one row that is made up where the file has none
    n_rows: int  # how many the file has
    remarks: list[str]  # how it is read
    doubts: list[str]  # what the model may not take: words that training has not seen, and missing values


def read_rows(inputs, path, options):
    """Return the Rows of a table for a model with these Inputs; raise TableError where the model cannot take a column."""
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
    """Return where the columns of a model stand in the file."""
    title = title_of(fields.body.path)
    if inputs.names is None:
        if len(fields.names) != len(inputs.columns):
            raise TableError(
                f"{title} has {len(fields.names)} columns, but the model, which knows no names, takes {len(inputs.columns)}"
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
    """Reads columns of a file as a model takes them, and collects what is to be said of them."""

    def __init__(self, fields, options):
        self.fields, self.options = fields, options
        self.remarks, self.doubts = [], []

    def column(self, place, column):
        """Return the values of the column at this place, of a kind that is an Input's."""
        name, series = self.fields.names[place], self.fields.columns[place]
        if name in self.fields.unusable:
            raise TableError(
                f"{title_of(self.fields.body.path)}: the column {name!r} is of the type {self.fields.unusable[name]}"
            )
        read = {NUMBER: self._numbers, CATEGORY: self._words, DATE: self._dates, TRUTH: self._truths, ANY: self._as_pandas}
        values = read[column.kind](place, series, column)
        known_gap = column.is_filled or any(map(is_missing, column.known)) or "" in column.known
        is_empty = values.isna() if column.missing != "" else values == ""
        if is_empty.any() and not known_gap:
            n_empty, (line,) = np.count_nonzero(is_empty), self._lines(np.flatnonzero(is_empty)[:1])
            self.doubts.append(f"column {brief(name)!r}: {count_of(n_empty, 'missing value')}, the first in {line}")
        return values

    # ---- kinds

    def _numbers(self, place, series, column):
        import pandas as pd

        if series.dtype.kind in "iuf":
            values, is_gap, is_counted = series, series.isna(), series.notna()
        else:
            cells = Cells(as_text_series(series), self.fields, self.options)
            values = pd.Series(cells.of_rows(self._numbers_of(cells, place), np.nan))
            is_gap, is_counted = cells.of_rows(cells.is_gap, True), cells.of_rows(cells.is_counted, False)
        is_odd = ~is_gap & ~(values.abs() < np.inf)
        self._odd(place, column, is_odd, is_counted, "number")
        values = values.where(~is_odd)
        if any(not isinstance(value, np.number) for value in column.known):
            values = values.astype(object).where(values.notna(), column.missing)
        return values

    def _numbers_of(self, cells, place):
        """Return the different texts as numbers."""
        truths = [TRUTHS.get(text.lower()) for text in cells.texts]
        if all(truth is not None or gap for truth, gap in zip(truths, cells.is_gap)):
            return np.array(truths, dtype=float)
        read = cells.numbers()
        self._remark(place, how_numbers_are_read(read, cells.texts))
        return read.values

    def _dates(self, place, series, column):
        import pandas as pd

        if series.dtype.kind == "M":
            values, is_gap, is_counted = within_years(series), series.isna(), series.notna()
        else:
            cells = Cells(as_text_series(series), self.fields, self.options)
            dates, remark = cells.dates()
            self._remark(place, [remark] if remark else [])
            if dates is None:
                dates = np.full(len(cells.texts), np.datetime64("NaT", "ns"))
            values = pd.Series(cells.of_rows(dates, np.array("NaT", dates.dtype)))
            is_gap, is_counted = cells.of_rows(cells.is_gap, True), cells.of_rows(cells.is_counted, False)
        self._odd(place, column, values.isna() & ~is_gap, is_counted, "date")
        return values

    def _truths(self, place, series, column):
        texts = as_text_series(series).str.strip()
        is_gap = texts.isna() | texts.isin([*NUMBER_GAPS, *self.options.gaps])
        values = texts.str.lower().map(TRUTHS)
        self._odd(place, column, values.isna() & ~is_gap, ~is_gap, "boolean")
        return values.where(~is_gap, column.missing) if is_gap.any() else values.astype(bool)

    def _words(self, place, series, column):
        import pandas as pd

        codes, found = pd.factorize(as_text_series(series))
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
        """Return the function that finds the word that the model means by a text."""
        gaps, known = self.options.gaps, [word for word in column.known if isinstance(word, str)]
        stripped, names = {}, set(known)
        for word in known:
            if stripped.setdefault(word.strip(), word) != word:
                raise TableError(
                    f"column {brief(self.fields.names[place])!r}: the model tells {word!r} from {stripped[word.strip()]!r}, which"
                    " differ by spaces around them, and these are no part of a field"
                )

        def find(text):
            bare = text.strip()
            if bare in gaps or not bare:
                return column.missing
            ways = [text, stripped.get(bare), _as_number_text(bare), bare.capitalize() if bare.lower() in TRUTHS else None]
            word = next((way for way in ways if way in names), None)
            return word if word is not None else column.missing if bare in NUMBER_GAPS else bare

        return find

    def _as_pandas(self, place, series, column):
        """Return the column as pandas reads it where nothing is said: numbers, booleans, or words."""
        import pandas as pd

        if series.dtype != object:
            return series
        bare = series.str.strip()
        bare = bare.mask(bare.isin([*NUMBER_GAPS, *self.options.gaps]))
        if bare.notna().any() and bare.dropna().str.lower().isin(TRUTHS).all():
            return self._truths(place, series, column)
        numbers = pd.to_numeric(bare, errors="coerce")
        return numbers if (numbers.notna() | bare.isna()).all() else bare

    # ---- what is said

    def _remark(self, place, remarks):
        self.remarks += [f"column {brief(self.fields.names[place])!r}: {remark}" for remark in remarks]

    def _odd(self, place, column, is_odd, is_counted, what):
        """Say which cells are none of what the column holds, and that they count as missing values; refuse them where the model
        does not fill those, or where they are not few."""
        rows = np.flatnonzero(is_odd)
        if len(rows) == 0:
            return
        name, texts = self.fields.names[place], as_text_series(self.fields.body.texts_of(place, self.fields.columns[place]))
        cells = [(str(texts[row]).strip(), line) for row, line in zip(rows, self._lines(rows[:MOST_NAMED]))]
        n_wrong, n_counted = np.count_nonzero(is_odd & is_counted), np.count_nonzero(is_counted)
        if not column.is_filled or n_wrong > (1 - NEARLY_ALL) * n_counted:
            text, line = cells[0]
            more = f" ({len(rows)} cells of the column are none)" if len(rows) > 1 else ""
            raise TableError(
                f"column {brief(name)!r}, {line}: {brief(text)!r} is no {what} that can be used{more}; the model was trained on"
                f" {what}s there, and --na says which words stand for missing values"
            )
        self._remark(place, [note_on_odd(what, len(rows), cells)])

    def _lines(self, rows):
        return [f"{self.fields.body.unit} {line}" for line in self.fields.body.lines_of(map(int, rows)).values()]


def _as_number_text(text):
    """Return a number as the estimators for tables call it as a category: without a point where it is whole."""
    if is_code(text.lstrip("+-")) or not text.isascii():
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return str(int(number)) if number.is_integer() else str(number)
