"""Infers the kind of each column of a table: numbers, dates, categories, or left out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastbp.app.fields import MISSING_NUMBERS
from fastbp.app.notation import is_code, read_dates, read_numbers, without_far_dates
from fastbp.app.source import TableError, brief, count_of

NUMBER, DATE, CATEGORY, LEFT_OUT = "number", "date", "category", "left out"
NEARLY_ALL = 0.9
MOST_CLASSES = 20
MOST_CATEGORIES = 50
FEWEST_ROWS_OF_A_CLASS = 3
LARGEST = 1e150  # the sum of squares of larger numbers may overflow
MISSING_WORDS = frozenset(["?", "-", "--", "–", "—", ".", "..", "*", "x", "na", "n.a.", "none", "missing", "unknown"])
MOST_NAMED = 5  # cells per column in a message


class Column(NamedTuple):
    """A column of a table: its kind, its values, and notes on how it was read."""

    name: str
    kind: str
    values: Any = None  # numbers, dates or text; missing values are NaN, NaT and None
    unreadable: Sequence[tuple[int, str]] = ()  # row and text of the first cells that are not empty but count as missing values
    n_unreadable: int = 0
    remarks: Sequence[str] = ()  # how its numbers or dates are read, or why it is left out
    facts: Sequence[str] = ()  # for the list of columns: the range of dates, the number of missing values
    is_quantity: bool = False  # whether its numbers have units or marks between thousands


class Cells:
    """The distinct texts of a column, stripped of spaces, and the rows where they occur.

    texts: list of str; counts: number of rows of each; codes: (n_rows,), index of each row's text, or -1 for a missing value;
    is_missing_word: whether pandas reads the text as a missing number; is_counted: False for any word for a missing value.
    """

    def __init__(self, series, fields, options):
        import pandas as pd

        codes, texts = pd.factorize(series)
        bare = [text.strip() for text in texts]
        again, texts = pd.factorize(
            np.array([None if text in options.missing or not text else text for text in bare], dtype=object)
        )
        self.fields, self.options = fields, options
        self.texts, self.codes = list(texts), np.append(again, -1)[codes]  # code -1 takes the last element
        self.counts = np.bincount(self.codes + 1, minlength=len(texts) + 1)[1:]
        self.is_missing_word = np.array([text in MISSING_NUMBERS for text in texts], dtype=bool)
        # a column of numbers may hold any share of words for missing values
        self.is_counted = ~self.is_missing_word & np.array([text.lower() not in MISSING_WORDS for text in texts], dtype=bool)

    def of_rows(self, of_texts, of_missing):
        """Return the value of each row, given those of the texts and that of a missing value."""
        return np.append(of_texts, of_missing)[self.codes]

    def unreadable(self, is_unreadable):
        """Return row and text of the first unreadable cells, and the number of all, given which texts are unreadable."""
        rows = np.flatnonzero(self.of_rows(is_unreadable, False))
        return [(int(row), self.texts[self.codes[row]]) for row in rows[:MOST_NAMED]], len(rows)

    def numbers(self):
        """Read the texts as Numbers."""
        fields, options = self.fields, self.options
        return read_numbers(self.texts, self.counts, options.decimal, options.thousands, fields.decimal, fields.body.separator)

    def dates(self):
        """Read the texts as dates; return (dates, remark), or (None, "") if most are no dates."""
        day_first = self.fields.body.separator == ";" or self.fields.decimal == ","
        return read_dates(self.texts, np.where(self.is_counted, self.counts, 0), day_first)


def infer_column(name, series, fields, options, is_target=False):
    """Infer the kind of a column and return it as a Column."""
    import pandas as pd

    if name in fields.unusable:
        return left_out(name, f"of the type {fields.unusable[name]}")
    if series.dtype.kind in "iuf":
        values, rows = _without_huge(name, series.to_numpy(dtype=np.float64))
        texts = fields.body.texts_of(fields.names.index(name), series) if len(rows) else ()
        return _as_numbers(name, values, [(int(row), texts[row].strip()) for row in rows[:MOST_NAMED]], len(rows))
    if series.dtype.kind == "M":
        values = without_far_dates(series)
        rows = np.flatnonzero(series.notna() & values.isna())
        return _as_dates(name, values, [(int(row), str(series[row])) for row in rows[:MOST_NAMED]], len(rows))
    cells = Cells(series, fields, options)
    if not cells.texts:
        return left_out(name, "empty")
    if not fields.has_types:
        return _infer_from_texts(name, cells, is_target)
    remarks = []
    if pd.to_numeric(pd.Series(cells.texts, dtype=object), errors="coerce").notna().all():
        remarks = [f"it is read as text, as the file stores it: {brief(cells.texts[0])!r}"]
    return _as_categories(name, cells, is_target, remarks)


def _infer_from_texts(name, cells, is_target):
    texts, counts, counted = cells.texts, cells.counts, cells.is_counted
    numbers = cells.numbers()
    is_number = ~np.isnan(numbers.values)
    share = counts[is_number].sum() / max(1, counts[counted].sum())
    nearly_all = share >= NEARLY_ALL or (share >= 0.5 and is_number.sum() >= NEARLY_ALL * counted.sum())
    codes = [] if is_target else [text for text in texts if is_code(text)]
    if nearly_all and codes and len(texts) <= MOST_CATEGORIES:
        remark = f"it is read as text, because numbers have no leading zeros: {codes[0]!r}"
        return _as_categories(name, cells, is_target, [remark])
    if nearly_all and not _has_named_class(numbers, cells, is_target):
        values, rows = _without_huge(name, cells.of_rows(numbers.values, np.nan))
        is_unreadable = ~is_number & ~cells.is_missing_word
        is_unreadable[cells.codes[rows]] = True
        remarks = how_numbers_are_read(numbers, texts)
        if codes:
            remarks.append(f"leading zeros are dropped: {codes[0]!r} is read as {int(codes[0])}")
        return _as_numbers(name, values, *cells.unreadable(is_unreadable), remarks, numbers.is_quantity)

    dates, remark = cells.dates()
    if dates is not None and counts[counted & dates.notna()].sum() >= NEARLY_ALL * counts[counted].sum():
        import pandas as pd

        values = pd.Series(cells.of_rows(dates, np.datetime64("NaT", "ns")))
        return _as_dates(name, values, *cells.unreadable(dates.isna() & ~cells.is_missing_word), [remark] if remark else [])

    remarks = []
    if share >= 0.5:
        unreadable, n_unreadable = cells.unreadable(~is_number)
        remarks = [f"it is read as text: {n_unreadable} of its cells are no numbers, such as {brief(unreadable[0][1])!r}"]
    return _as_categories(name, cells, is_target, remarks)


def left_out(name, why):
    """Return a Column that is not used, and why."""
    return Column(name, LEFT_OUT, remarks=[why])


def _as_numbers(name, values, unreadable, n_unreadable, remarks=(), is_quantity=False):
    if np.isnan(values).all():
        return left_out(name, "empty")
    return Column(name, NUMBER, values, unreadable, n_unreadable, remarks, _missing_fact(np.isnan(values)), is_quantity)


def _as_dates(name, values, unreadable, n_unreadable, remarks=()):
    if values.isna().all():
        return left_out(name, "no date in it can be used" if n_unreadable else "empty")
    facts = [f"{values.min():%Y-%m-%d} to {values.max():%Y-%m-%d}", *_missing_fact(values.isna())]
    return Column(name, DATE, values, unreadable, n_unreadable, remarks, facts)


def _as_categories(name, cells, is_target, remarks):
    n_texts = len(cells.texts)
    if not is_target and n_texts > MOST_CLASSES and n_texts >= NEARLY_ALL * cells.counts.sum():
        return left_out(name, "nearly every row has a text of its own, like a name")
    facts = [f"{n_texts} values", *_missing_fact(cells.codes < 0)]
    return Column(name, CATEGORY, cells.of_rows(np.array(cells.texts, dtype=object), None), remarks=remarks, facts=facts)


def _missing_fact(missing):
    return [count_of(missing.sum(), "missing value")] if missing.any() else []


def are_class_like(values, n_rows):
    """Whether distinct numbers look like class labels: at most two, or few whole numbers for that many rows."""
    is_whole = (values == np.rint(values)).all()
    return len(values) <= 2 or (is_whole and len(values) <= min(MOST_CLASSES, n_rows / 5))


def _has_named_class(numbers, cells, is_target):
    """Whether a column such as 1, 2, none holds categories: few whole numbers, and a word in enough rows."""
    is_number = ~np.isnan(numbers.values)
    if numbers.is_quantity or not are_class_like(np.unique(numbers.values[is_number]), cells.counts[is_number].sum()):
        return False
    missing = MISSING_NUMBERS - {"None"} if is_target else MISSING_NUMBERS
    named = [text not in missing and any(map(str.isalpha, text)) for text in cells.texts]
    fewest = FEWEST_ROWS_OF_A_CLASS if is_target else (1 - NEARLY_ALL) * cells.counts.sum()
    return (cells.counts[~is_number & named] >= fewest).any()


def how_numbers_are_read(numbers, texts):
    """Return a remark on numbers in another notation than 1250.5."""
    if numbers.example is None:
        return []
    remark = f"{brief(texts[numbers.example])!r} is read as {numbers.values[numbers.example]:.15g}"
    return [remark if numbers.is_certain else f"{remark} (--decimal or --thousands says otherwise)"]


def note_on_unreadable(what, n_unreadable, cells):
    """Return the note on unreadable cells of a column of numbers, say; `cells`: text and place of the first few."""
    shown = ", ".join(f"{brief(text)!r} ({place})" for text, place in cells) + (", …" if n_unreadable > len(cells) else "")
    if n_unreadable == 1:
        return f"1 cell is no usable {what} and counts as a missing value: {shown}"
    return f"{n_unreadable} cells are no usable {what}s and count as missing values: {shown}"


def _without_huge(name, values):
    """Replace numbers that are too large by NaN; return the numbers and the rows of those. Raise if there are many."""
    rows = np.flatnonzero(np.abs(values) > LARGEST)
    if len(rows) > (1 - NEARLY_ALL) * np.count_nonzero(~np.isnan(values)):
        raise TableError(
            f"column {brief(name)!r} holds {len(rows)} numbers that are infinite or beyond {LARGEST:g}, which is too large;"
            " --drop leaves the column out"
        )
    if len(rows):
        values = values.copy()
        values[rows] = np.nan
    return values, rows
