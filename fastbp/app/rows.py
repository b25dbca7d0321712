"""The rows of a file as a model takes them."""

import re
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from fastbp.app.columns import (
    CATEGORY,
    DATE,
    GAP_WORDS,
    MOST_NAMED,
    NEARLY_ALL,
    NUMBER,
    Texts,
    has_hours,
    how_numbers_are_read,
)
from fastbp.app.fields import NUMBER_GAPS, as_text_series, read_fields
from fastbp.app.inputs import ANY, TRUTH, is_missing
from fastbp.app.notation import is_code, read_dates, read_numbers, within_years
from fastbp.app.source import TableError, brief, open_unpacked, title_of

SPAN = re.compile(r"-?[0-9]+ days?\b|-?[0-9]+:[0-9]{2}:[0-9]{2}")
TRUTHS = {"true": True, "false": False}


class Rows(NamedTuple):
    """What a model takes of a file.

    Attributes
    ----------
    X : DataFrame or ndarray of shape (n_rows, n_features)
        Where the file has no rows, one that is made up.
    n_rows : int
        How many the file has.
    remarks : list of str
        How it is read.
    doubts : list of str
        What the model may not take: words that training has not seen, and missing values.
    """

    X: Any
    n_rows: int
    remarks: list[str]
    doubts: list[str]


def read_rows(inputs, path, options):
    """Return the Rows of a table for a model with these Inputs; raise TableError where the model cannot take a column."""
    with closing(open_unpacked(path)) as file:
        names = inputs.names
        text_names = [name for name, column in zip(names or (), inputs.columns) if column.kind not in (NUMBER, ANY)]
        text_places = {i for i, column in enumerate(inputs.columns) if names is None and column.kind not in (NUMBER, ANY)}
        fields = read_fields(path, file, options, lambda name, place: name in text_names or place in text_places)
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
        hint = ""
        if len(fields.names) == 1:
            hint = f": it has one column only, {brief(fields.names[0])!r}, and --sep names another separator"
        many = f"columns {', '.join(absent[:MOST_NAMED])}" if len(absent) > 1 else f"column {absent[0]}"
        raise TableError(f"{title} has no {many}{more}, which the model was trained on{hint}")
    return places


class _Reader:
    """Reads columns of a file as a model takes them, and collects what is to be said of them."""

    def __init__(self, fields, options):
        self.fields, self.options = fields, options
        self.day_first = fields.body.separator == ";" or fields.decimal == ","
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
            n_empty, line = np.count_nonzero(is_empty), self._lines(np.flatnonzero(is_empty)[:1])
            self.doubts.append(f"column {brief(name)!r}: {_count(n_empty, 'missing value')}, the first in {line}")
        return values

    # ---- kinds

    def _numbers(self, place, series, column):
        import pandas as pd

        if series.dtype.kind in "iuf":
            values, is_gap, is_counted = series, series.isna(), series.notna()
        elif series.dtype.kind == "M":
            values = pd.Series(np.nan, index=series.index).where(series.isna(), np.inf)
            is_gap, is_counted = series.isna(), series.notna()
        else:
            texts = Texts(self.fields.names[place], series, self.options.gaps)
            of_texts = zip(self._numbers_of(texts, place), (np.nan, True, False), strict=True)
            values, is_gap, is_counted = (pd.Series(np.append(one, of_none)[texts.codes]) for one, of_none in of_texts)
        is_odd = ~is_gap & ~(values.abs() < np.inf)
        if is_odd.any():
            self._odd(place, column, is_odd, is_counted, "number")
            values = values.where(~is_odd)
        if any(not isinstance(value, np.number) for value in column.known):
            values = values.astype(object).where(values.notna(), column.missing)
        return values

    def _numbers_of(self, texts, place):
        """Return the different texts as numbers, which of them say that there is none, and which should be numbers."""
        fields, options = self.fields, self.options
        is_gap = np.array([text in NUMBER_GAPS for text in texts.texts], dtype=bool)
        is_counted = np.array([text.lower() not in GAP_WORDS for text in texts.texts], dtype=bool) & ~is_gap
        if texts.texts and all(text.lower() in TRUTHS or gap for text, gap in zip(texts.texts, is_gap)):
            return np.array([TRUTHS.get(text.lower(), np.nan) for text in texts.texts], dtype=float), is_gap, is_counted
        if not texts.texts:
            return np.empty(0), is_gap, is_counted
        read = read_numbers(texts.texts, texts.counts, options.decimal, options.thousands, fields.decimal, fields.body.separator)
        self._remark(place, how_numbers_are_read(read, texts.texts))
        return read.values, is_gap, is_counted

    def _dates(self, place, series, column):
        import pandas as pd

        if series.dtype.kind == "M":
            values, is_gap = within_years(series), series.isna()
            is_odd, is_counted = values.isna() & ~is_gap, ~is_gap
        else:
            texts = Texts(self.fields.names[place], as_text_series(series), self.options.gaps)
            dates, remark = read_dates(texts.texts, texts.counts, self.day_first) if texts.texts else (None, "")
            self._remark(place, [remark] if remark else [])
            spans = [text if SPAN.match(text) else None for text in texts.texts]
            if dates is None and any(spans):  # the estimators for tables take them as they take dates
                dates = pd.to_timedelta(pd.Series(spans, dtype=object), errors="coerce")
                self._remark(place, [f"{next(filter(None, spans))!r} is read as a span of time"])
            if dates is None:
                dates = pd.Series(pd.NaT, index=range(len(texts.texts)), dtype="datetime64[ns]")
            gaps = np.array([text in NUMBER_GAPS for text in texts.texts], dtype=bool)
            values = pd.Series(dates.reindex(range(-1, len(texts.texts))).to_numpy()[texts.codes + 1])
            is_gap = pd.Series(np.append(gaps, True)[texts.codes])
            counted = np.array([text.lower() not in GAP_WORDS for text in texts.texts], dtype=bool) & ~gaps
            is_odd, is_counted = values.isna() & ~is_gap, pd.Series(np.append(counted, False)[texts.codes])
        if is_odd.any():
            self._odd(place, column, is_odd, is_counted, "date")
        return values

    def _truths(self, place, series, column):
        texts = as_text_series(series).str.strip()
        is_gap = texts.isna() | texts.isin([*NUMBER_GAPS, *self.options.gaps])
        values = texts.str.lower().map(TRUTHS)
        is_odd = values.isna() & ~is_gap
        if is_odd.any():
            self._odd(place, column, is_odd, ~is_gap, "boolean")
        return values.where(~is_gap, column.missing) if is_gap.any() else values.astype(bool)

    def _words(self, place, series, column):
        import pandas as pd

        if series.dtype.kind == "M":
            series = series.dt.strftime("%Y-%m-%d %H:%M:%S" if has_hours(series) else "%Y-%m-%d")
        series = as_text_series(series)
        codes, found = pd.factorize(series)
        self._refuse_nul(place, found)
        find = self._finder(place, column)
        words = [find(text) for text in found]
        values = pd.Series(np.array([*words, column.missing], dtype=object)[codes], dtype=object)
        known = {*column.known, column.missing}
        new = [word for word in words if word not in known and not is_missing(word)]
        if column.known and new:
            title, n_new = brief(self.fields.names[place]), np.count_nonzero(values.isin(new))
            self.doubts.append(f"column {title!r}: {_hold(n_new)} words unseen in training: {brief(new[0])!r}")
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

    def _refuse_nul(self, place, texts):
        if any("\0" in text for text in texts):
            raise TableError(f"column {brief(self.fields.names[place])!r} holds NUL characters: this is not a table of text")

    def _remark(self, place, remarks):
        self.remarks += [f"column {brief(self.fields.names[place])!r}: {remark}" for remark in remarks]

    def _odd(self, place, column, is_odd, is_counted, what):
        """Say which cells are none of what the column holds, and that they count as missing values; refuse them where the model
        does not fill those, or where they are not few."""
        rows = np.flatnonzero(is_odd)
        name, texts = self.fields.names[place], as_text_series(self.fields.body.texts_of(place, self.fields.columns[place]))
        cells = [(str(texts[row]).strip(), self._lines([row])) for row in rows[:MOST_NAMED]]
        n_wrong, n_counted = np.count_nonzero(is_odd & is_counted), np.count_nonzero(is_counted)
        if not column.is_filled or n_wrong > (1 - NEARLY_ALL) * n_counted:
            text, line = cells[0]
            more = f" ({len(rows)} cells of the column are none)" if len(rows) > 1 else ""
            raise TableError(
                f"column {brief(name)!r}, {line}: {brief(text)!r} is no {what} that can be used{more}; the model was trained on"
                f" {what}s there, and --na says which words stand for missing values"
            )
        more = ", …" if len(rows) > len(cells) else ""
        shown = ", ".join(f"{brief(text)!r} ({line})" for text, line in cells)
        said = (
            f"is no usable {what} and counts as a missing value"
            if len(rows) == 1
            else f"are no usable {what}s and count as missing values"
        )
        self._remark(place, [f"{_count(len(rows), 'cell')} {said}: {shown}{more}"])

    def _lines(self, rows):
        body = self.fields.body
        return ", ".join(f"{body.unit} {line}" for line in body.lines_of([int(row) for row in rows]).values())


def _as_number_text(text):
    """Return a number as the estimators for tables call it as a category: without a point where it is whole."""
    if is_code(text.lstrip("+-")) or not text.isascii():
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return str(int(number)) if number.is_integer() else str(number)


def _count(number, what):
    return f"1 {what}" if number == 1 else f"{number} {what}s"


def _hold(number):
    return "1 cell holds" if number == 1 else f"{number} cells hold"
