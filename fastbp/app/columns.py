"""What the columns of a table are: numbers, dates, categories, or of no use."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastbp.app.fields import NUMBER_GAPS
from fastbp.app.notation import is_code, read_dates, read_numbers, within_years
from fastbp.app.source import TableError, brief, count_of

NUMBER, DATE, CATEGORY, LEFT_OUT = "number", "date", "category", "left out"
NEARLY_ALL = 0.9
MOST_CLASSES = 20
MOST_CATEGORIES = 50
FEWEST_ROWS_OF_A_CLASS = 3
LARGEST = 1e150  # the sum of squares of larger numbers may overflow
GAP_WORDS = frozenset(["?", "-", "--", "–", "—", ".", "..", "*", "x", "na", "n.a.", "none", "missing", "unknown"])
MOST_NAMED = 5  # cells of a column that a message names


class Column(NamedTuple):
    """A column, understood."""

    name: str
    kind: str
    values: Any = None  # numbers, dates or words; missing values are NaN, NaT and None
    odd: Sequence[tuple[int, str]] = ()  # the first cells that count as missing values although something stands there
    n_odd: int = 0
    remarks: Sequence[str] = ()  # how its numbers or dates are read; or why it is left out
    facts: Sequence[str] = ()  # what else is to be said of it in a list of columns
    is_quantity: bool = False  # whether its numbers have units or marks between thousands


class Cells:
    """The different texts of a column, without spaces around them, and the rows they stand in.

    texts: list of str; counts: how often each occurs; codes: (n_rows,), which of them stands in a row, -1 for none; is_gap: which
    are programs' words for a missing number; is_counted: which tell against numbers and dates where they are none.
    """

    def __init__(self, series, fields, options):
        import pandas as pd

        codes, texts = pd.factorize(series)
        bare = [text.strip() for text in texts]
        again, texts = pd.factorize(np.array([None if text in options.gaps or not text else text for text in bare], dtype=object))
        self.fields, self.options = fields, options
        self.texts, self.codes = list(texts), np.append(again, -1)[codes]  # the code -1 is the last
        self.counts = np.bincount(self.codes + 1, minlength=len(texts) + 1)[1:]
        self.is_gap = np.array([text in NUMBER_GAPS for text in texts], dtype=bool)
        # words for a missing value, however many, do not tell against numbers
        self.is_counted = ~self.is_gap & np.array([text.lower() not in GAP_WORDS for text in texts], dtype=bool)

    def of_rows(self, of_texts, of_none):
        """Return what is said of the texts for each row."""
        return np.append(of_texts, of_none)[self.codes]

    def odd(self, is_odd):
        """Return row and text of the first cells whose text is odd, and how many there are."""
        rows = np.flatnonzero(self.of_rows(is_odd, False))
        return [(int(row), self.texts[self.codes[row]]) for row in rows[:MOST_NAMED]], len(rows)

    def numbers(self):
        """Return the texts as Numbers."""
        fields, options = self.fields, self.options
        return read_numbers(self.texts, self.counts, options.decimal, options.thousands, fields.decimal, fields.body.separator)

    def dates(self):
        """Return (dates, remark) of the texts; dates are None where most are none."""
        day_first = self.fields.body.separator == ";" or self.fields.decimal == ","
        return read_dates(self.texts, np.where(self.is_counted, self.counts, 0), day_first)


def understand(name, series, fields, options, is_target=False):
    """Return the Column of a series of numbers, dates or texts."""
    import pandas as pd

    if name in fields.unusable:
        return left_out(name, f"of the type {fields.unusable[name]}")
    if series.dtype.kind in "iuf":
        values, rows = _without_huge(name, series.to_numpy(dtype=np.float64))
        texts = fields.body.texts_of(fields.names.index(name), series) if len(rows) else ()
        return _as_numbers(name, values, [(int(row), texts[row].strip()) for row in rows[:MOST_NAMED]], len(rows))
    if series.dtype.kind == "M":
        values = within_years(series)
        rows = np.flatnonzero(series.notna() & values.isna())
        return _as_dates(name, values, [(int(row), str(series[row])) for row in rows[:MOST_NAMED]], len(rows))
    cells = Cells(series, fields, options)
    if not cells.texts:
        return left_out(name, "empty")
    if not fields.has_types:
        return _understand_texts(name, cells, is_target)
    remarks = []
    if pd.to_numeric(pd.Series(cells.texts, dtype=object), errors="coerce").notna().all():
        remarks = [f"it is taken for words, as the file has it as text: {brief(cells.texts[0])!r}"]
    return _as_words(name, cells, is_target, remarks)


def _understand_texts(name, cells, is_target):
    texts, counts, counted = cells.texts, cells.counts, cells.is_counted
    numbers = cells.numbers()
    is_number = ~np.isnan(numbers.values)
    share = counts[is_number].sum() / max(1, counts[counted].sum())
    nearly_all = share >= NEARLY_ALL or (share >= 0.5 and is_number.sum() >= NEARLY_ALL * counted.sum())
    codes = [] if is_target else [text for text in texts if is_code(text)]
    if nearly_all and codes and len(texts) <= MOST_CATEGORIES:
        return _as_words(name, cells, is_target, [f"it is taken for words, as numbers have no zeros before them: {codes[0]!r}"])
    if nearly_all and not _has_named_class(numbers, cells, is_target):
        values, rows = _without_huge(name, cells.of_rows(numbers.values, np.nan))
        is_odd = ~is_number & ~cells.is_gap
        is_odd[cells.codes[rows]] = True
        remarks = how_numbers_are_read(numbers, texts)
        if codes:
            remarks.append(f"the zeros before its numbers do not count: {codes[0]!r} is read as {int(codes[0])}")
        return _as_numbers(name, values, *cells.odd(is_odd), remarks, numbers.is_quantity)

    dates, remark = cells.dates()
    if dates is not None and counts[counted & dates.notna()].sum() >= NEARLY_ALL * counts[counted].sum():
        import pandas as pd

        values = pd.Series(cells.of_rows(dates, np.datetime64("NaT", "ns")))
        return _as_dates(name, values, *cells.odd(dates.isna() & ~cells.is_gap), [remark] if remark else [])

    remarks = []
    if share >= 0.5:
        odd, n_odd = cells.odd(~is_number)
        remarks = [f"it is taken for words: {n_odd} of its cells are no numbers, such as {brief(odd[0][1])!r}"]
    return _as_words(name, cells, is_target, remarks)


def left_out(name, why):
    """Return the Column of one that is of no use."""
    return Column(name, LEFT_OUT, remarks=[why])


def _as_numbers(name, values, odd, n_odd, remarks=(), is_quantity=False):
    if np.isnan(values).all():
        return left_out(name, "empty")
    return Column(name, NUMBER, values, odd, n_odd, remarks, _count_gaps(np.isnan(values)), is_quantity)


def _as_dates(name, values, odd, n_odd, remarks=()):
    if values.isna().all():
        return left_out(name, "no date in it can be used" if n_odd else "empty")
    facts = [f"{values.min():%Y-%m-%d} to {values.max():%Y-%m-%d}", *_count_gaps(values.isna())]
    return Column(name, DATE, values, odd, n_odd, remarks, facts)


def _as_words(name, cells, is_target, remarks):
    n_texts = len(cells.texts)
    if not is_target and n_texts > MOST_CLASSES and n_texts >= NEARLY_ALL * cells.counts.sum():
        return left_out(name, "nearly every row its own text, as names and number plates have")
    facts = [f"{n_texts} values", *_count_gaps(cells.codes < 0)]
    return Column(name, CATEGORY, cells.of_rows(np.array(cells.texts, dtype=object), None), remarks=remarks, facts=facts)


def _count_gaps(is_gap):
    return [count_of(is_gap.sum(), "missing value")] if is_gap.any() else []


def are_class_like(values, n_rows):
    """Whether these different numbers, in so many rows, look like names of classes: two, or few whole ones that repeat."""
    is_whole = (values == np.rint(values)).all()
    return len(values) <= 2 or (is_whole and len(values) <= min(MOST_CLASSES, n_rows / 5))


def _has_named_class(numbers, cells, is_target):
    """Whether few whole numbers have one with a name among them, so that all are classes or categories: 1, 2, none."""
    is_number = ~np.isnan(numbers.values)
    if numbers.is_quantity or not are_class_like(np.unique(numbers.values[is_number]), cells.counts[is_number].sum()):
        return False
    gaps = NUMBER_GAPS - {"None"} if is_target else NUMBER_GAPS
    named = [text not in gaps and any(map(str.isalpha, text)) for text in cells.texts]
    fewest = FEWEST_ROWS_OF_A_CLASS if is_target else (1 - NEARLY_ALL) * cells.counts.sum()
    return (cells.counts[~is_number & named] >= fewest).any()


def how_numbers_are_read(numbers, texts):
    """Return remarks on numbers that programs would write otherwise."""
    if numbers.example is None:
        return []
    remark = f"{brief(texts[numbers.example])!r} is read as {numbers.values[numbers.example]:.15g}"
    return [remark if numbers.is_certain else f"{remark} (--decimal or --thousands says otherwise)"]


def note_on_odd(what, n_odd, cells):
    """Return the note on cells that are no usable numbers, say; `cells` are text and place of the first few."""
    shown = ", ".join(f"{brief(text)!r} ({place})" for text, place in cells) + (", …" if n_odd > len(cells) else "")
    if n_odd == 1:
        return f"1 cell is no usable {what} and counts as a missing value: {shown}"
    return f"{n_odd} cells are no usable {what}s and count as missing values: {shown}"


def _without_huge(name, values):
    """Return the numbers with NaN for those too large to compute with, and the rows of these; raise if they are not few."""
    rows = np.flatnonzero(np.abs(values) > LARGEST)
    if len(rows) > (1 - NEARLY_ALL) * np.count_nonzero(~np.isnan(values)):
        raise TableError(
            f"column {brief(name)!r} holds {len(rows)} numbers that are infinite or beyond {LARGEST:g}, too large to compute"
            " with; --drop leaves the column out"
        )
    if len(rows):
        values = values.copy()
        values[rows] = np.nan
    return values, rows
