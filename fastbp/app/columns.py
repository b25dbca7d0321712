"""What the columns of a table are: numbers, dates, categories, or of no use."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastbp.app.fields import NUMBER_GAPS
from fastbp.app.notation import is_code, read_dates, read_numbers, within_years
from fastbp.app.source import TableError, brief

NUMBER, DATE, CATEGORY, LEFT_OUT = "number", "date", "category", "left out"
NEARLY_ALL = 0.9
MOST_CLASSES = 20
MOST_CATEGORIES = 50
FEWEST_ROWS_OF_A_CLASS = 3
LARGEST = 1e150  # the sum of squares of larger numbers may overflow
GAP_WORDS = frozenset(["?", "-", "--", "–", "—", ".", "..", "*", "x", "na", "n.a.", "none", "missing", "unknown"])
MOST_NAMED = 5  # cells of a column that a message names


class Column(NamedTuple):
    """A column, understood.

    Attributes
    ----------
    name, kind : str
    values : ndarray of float64, Series, Categorical or None
        Numbers, dates, or words; missing values are NaN, NaT and the code -1.
    odd : sequence of (int, str)
        Row and text of cells that count as missing values although something stands there; the first few.
    n_odd : int
        How many there are.
    remarks : sequence of str
        How its numbers or dates are read; or why it is left out.
    facts : sequence of str
        What else is to be said of it in a list of columns.
    is_quantity : bool
        Whether its numbers have units or marks between thousands.
    """

    name: str
    kind: str
    values: Any
    odd: Sequence[tuple[int, str]] = ()
    n_odd: int = 0
    remarks: Sequence[str] = ()
    facts: Sequence[str] = ()
    is_quantity: bool = False


def understand(name, series, fields, options, is_target=False):
    """Return the Column of a series of numbers, dates or texts."""
    import pandas as pd

    if name in fields.unusable:
        return Column(name, LEFT_OUT, None, remarks=[f"of the type {fields.unusable[name]}"])
    if series.dtype.kind in "iuf":
        numbers = series.to_numpy(dtype=np.float64)
        values, rows = _without_huge(name, numbers)
        if np.isnan(values).all():
            return Column(name, LEFT_OUT, None, remarks=["empty"])
        odd = []
        if len(rows):
            texts = fields.body.texts_of(fields.names.index(name), series)
            odd = [(int(row), texts[row].strip()) for row in rows[:MOST_NAMED]]
        return Column(name, NUMBER, values, odd, len(rows), facts=_count_gaps(np.isnan(values)))
    if series.dtype.kind == "M":
        if series.isna().all():
            return Column(name, LEFT_OUT, None, remarks=["empty"])
        values = within_years(series)
        rows = np.flatnonzero(series.notna() & values.isna())
        return _as_dates(name, values, [(int(row), str(series[row])) for row in rows[:MOST_NAMED]], len(rows))
    column = Texts(name, series, options.gaps)
    if not fields.has_types:
        return _understand_texts(name, column, fields, options, is_target)
    remarks = []
    if column.texts and pd.to_numeric(pd.Series(column.texts, dtype=object), errors="coerce").notna().all():
        remarks = [f"it is taken for words, as the file has it as text: {brief(column.texts[0])!r}"]
    return _as_words(name, column, is_target, remarks)


class Texts:
    """The different texts of a column, without spaces around them.

    texts: list of str; codes: (n_rows,), which text stands in a row, -1 for none; counts: (n_texts,).
    """

    def __init__(self, name, series, gaps):
        import pandas as pd

        codes, texts = pd.factorize(series)
        texts = [text.strip() for text in texts]
        if any("\0" in text for text in texts):
            raise TableError(f"column {brief(name)!r} holds NUL characters: this is not a table of text")
        again, texts = pd.factorize(np.array([None if text in gaps or not text else text for text in texts], dtype=object))
        self.codes = np.append(again, -1)[codes]  # the code -1 is the last
        self.texts = list(texts)
        self.counts = np.bincount(self.codes + 1, minlength=len(texts) + 1)[1:]

    def odd(self, is_odd):
        """Return row and text of the first cells whose text is odd, and how many there are."""
        rows = np.flatnonzero(np.append(is_odd, False)[self.codes])
        return [(int(row), self.texts[self.codes[row]]) for row in rows[:MOST_NAMED]], len(rows)

    def words(self):
        """Return the column as a Categorical, its categories sorted."""
        import pandas as pd

        order = sorted(range(len(self.texts)), key=self.texts.__getitem__)
        position = np.empty(len(order) + 1, dtype=np.int64)
        position[order], position[-1] = np.arange(len(order)), -1
        return pd.Categorical.from_codes(position[self.codes], pd.Index([self.texts[i] for i in order], dtype=object))


def _understand_texts(name, column, fields, options, is_target):
    import pandas as pd

    texts, counts = column.texts, column.counts
    if not texts:
        return Column(name, LEFT_OUT, None, remarks=["empty"])
    is_gap = np.array([text in NUMBER_GAPS for text in texts])
    # words for a missing value, however many, do not tell against numbers
    counted = ~is_gap & np.array([text.lower() not in GAP_WORDS for text in texts])
    numbers = read_numbers(texts, counts, options.decimal, options.thousands, fields.decimal, fields.body.separator)
    is_number = ~np.isnan(numbers.values)
    n_numbers = counts[is_number].sum()
    share = n_numbers / max(1, counts[counted].sum())
    nearly_all = share >= NEARLY_ALL or (share >= 0.5 and is_number.sum() >= NEARLY_ALL * counted.sum())
    codes = [] if is_target else [text for text in texts if is_code(text)]
    if nearly_all and codes and len(texts) <= MOST_CATEGORIES:
        return _as_words(name, column, is_target, [f"it is taken for words, as numbers have no zeros before them: {codes[0]!r}"])
    if nearly_all and not _has_named_class(numbers, column, is_target):
        values, rows = _without_huge(name, np.append(numbers.values, np.nan)[column.codes])
        is_odd = ~is_number & ~is_gap
        is_odd[column.codes[rows]] = True
        odd, n_odd = column.odd(is_odd)
        remarks = how_numbers_are_read(numbers, texts)
        if codes:
            remarks.append(f"the zeros before its numbers do not count: {codes[0]!r} is read as {int(codes[0])}")
        return Column(name, NUMBER, values, odd, n_odd, remarks, _count_gaps(np.isnan(values)), numbers.is_quantity)

    day_first = fields.body.separator == ";" or fields.decimal == ","
    dates, remark = read_dates(texts, np.where(counted, counts, 0), day_first)
    if dates is not None and counts[counted & dates.notna()].sum() >= NEARLY_ALL * counts[counted].sum():
        odd, n_odd = column.odd(dates.isna().to_numpy() & ~is_gap)
        values = pd.Series(dates.reindex(range(-1, len(texts))).to_numpy()[column.codes + 1])
        return _as_dates(name, values, odd, n_odd, [remark] if remark else [])

    remarks = []
    if share >= 0.5:
        cells, n_cells = column.odd(~is_number)
        remarks = [f"it is taken for words: {n_cells} of its cells are no numbers, such as {brief(cells[0][1])!r}"]
    return _as_words(name, column, is_target, remarks)


def _as_dates(name, values, odd=(), n_odd=0, remarks=()):
    if values.isna().all():
        return Column(name, LEFT_OUT, None, remarks=["no date in it can be used"])
    facts = [f"{values.min():%Y-%m-%d} to {values.max():%Y-%m-%d}", *_count_gaps(values.isna())]
    return Column(name, DATE, values, odd, n_odd, remarks, facts)


def _as_words(name, column, is_target, remarks=()):
    texts = column.texts
    if not texts:
        return Column(name, LEFT_OUT, None, remarks=["empty"])
    if not is_target and len(texts) > MOST_CLASSES and len(texts) >= NEARLY_ALL * column.counts.sum():
        return Column(name, LEFT_OUT, None, remarks=["nearly every row its own text, as names and number plates have"])
    facts = [f"{len(texts)} values", *_count_gaps(column.codes < 0)]
    return Column(name, CATEGORY, column.words(), remarks=remarks, facts=facts)


def _count_gaps(is_gap):
    n_gaps = np.count_nonzero(is_gap)
    return [] if not n_gaps else ["1 missing value"] if n_gaps == 1 else [f"{n_gaps} missing values"]


def has_hours(dates):
    """Whether some of the dates have a time of day."""
    dates = dates.dropna()
    return bool((dates != dates.dt.normalize()).any())


def are_class_like(values, n_rows):
    """Whether these different numbers, in so many rows, look like names of classes: two, or few whole ones that repeat."""
    is_whole = (values == np.rint(values)).all()
    return len(values) <= 2 or (is_whole and len(values) <= min(MOST_CLASSES, n_rows / 5))


def _has_named_class(numbers, column, is_target):
    """Whether few whole numbers have one with a name among them, so that all are classes or categories: 1, 2, none."""
    is_number = ~np.isnan(numbers.values)
    if numbers.is_quantity or not are_class_like(np.unique(numbers.values[is_number]), column.counts[is_number].sum()):
        return False
    gaps = NUMBER_GAPS - {"None"} if is_target else NUMBER_GAPS
    named = [text not in gaps and any(map(str.isalpha, text)) for text in column.texts]
    fewest = FEWEST_ROWS_OF_A_CLASS if is_target else (1 - NEARLY_ALL) * column.counts.sum()
    return (column.counts[~is_number & named] >= fewest).any()


def how_numbers_are_read(numbers, texts):
    """Return remarks on numbers that programs would write otherwise."""
    if numbers.example is None:
        return []
    remark = f"{brief(texts[numbers.example])!r} is read as {numbers.values[numbers.example]:.15g}"
    if not numbers.is_certain:
        remark += " (--decimal or --thousands says otherwise)"
    return [remark]


def _without_huge(name, values):
    """Return the numbers with NaN for those too large to compute with, and the rows of these; raise if they are not few."""
    rows = np.flatnonzero(np.abs(values) > LARGEST)
    if not len(rows):
        return values, rows
    if len(rows) > (1 - NEARLY_ALL) * np.count_nonzero(~np.isnan(values)):
        raise TableError(
            f"column {brief(name)!r} holds {len(rows)} numbers that are infinite or beyond {LARGEST:g}, too large to compute"
            " with; --drop leaves the column out"
        )
    values = values.copy()
    values[rows] = np.nan
    return values, rows
