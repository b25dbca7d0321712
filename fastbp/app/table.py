"""A table from a file as features and a target, with a word on everything that was left out, dropped or understood."""

import difflib
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from fastbp.app.columns import CATEGORY, DATE, FEWEST_ROWS_OF_A_CLASS, LEFT_OUT, NUMBER, Column, are_class_like, understand
from fastbp.app.fields import SEPARATORS, Options, read_fields
from fastbp.app.notation import is_code, is_whole
from fastbp.app.source import TableError, brief, open_unpacked, title_of

_MOST_LINES, _MOST_COLUMNS = 5, 20  # that a message names


class Table(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    X : DataFrame of shape (n_rows, n_features)
        Numbers are float64, dates datetime64, words objects; missing values are NaN, NaT and None.
    y : ndarray of shape (n_rows,)
        The target: int64, float64, or object where it is text.
    columns : list of Column
        All columns but the target, in the file's order, those that were left out too; without their values.
    target : Column
    notes : list of str
        What was left out, and why.
    labels : ndarray of shape (n_rows,) or None
        The target as names of classes, where it is numbers: int64 where the file has whole numbers as int64 writes them, else
        the texts that stand there. None where it is text anyway, or no class.
    """

    X: Any
    y: np.ndarray
    columns: list[Column]
    target: Column
    notes: list[str]
    labels: np.ndarray | None = None

    @property
    def n_used(self):
        """How many columns are used as features."""
        return sum(column.kind != LEFT_OUT for column in self.columns)


def read_table(path, target, drop=(), options=Options(), task=None):  # noqa: B008 - it is immutable
    """Read a table with a header line.

    Parameters
    ----------
    path : str or Path
        Text, which may be packed (gz, bz2, xz, zip); "-" is standard input.
    target : str
        The name of the column to predict. Rows where it is empty are left out.
    drop : sequence of str
        Columns to leave out.
    options : Options
        How the file is written, where it shall not be found out.
    task : {"classification", "regression"} or None
        None finds it from the target.

    Returns
    -------
    Table

    Raises
    ------
    TableError
        If the file cannot be read, is ragged or empty, or lacks the target; or if the target holds dates.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise TableError("reading a table needs pandas: pip install pandas") from error

    with closing(open_unpacked(path)) as file:
        fields = read_fields(path, file, options)
        _check_names(fields, target, drop)
        notes = list(fields.notes)
        place = fields.names.index(target)
        goal = understand(target, fields.columns[place], fields, options, is_target=True)
        if target in fields.unusable:
            raise TableError(f"the target {target!r} is {goal.remarks[0]}, which is no class and no number")
        if goal.kind == LEFT_OUT:
            raise TableError(f"the target {target!r} is empty in every row of {title_of(path)}")
        if goal.kind == DATE:
            example = goal.values.dropna().iloc[0]
            raise TableError(
                f"the target {target!r} holds dates, such as {example:%Y-%m-%d}: make numbers of them, such as days since a start"
            )
        missing = np.flatnonzero(pd.isna(goal.values))
        y, labels = _target_values(np.delete(goal.values, missing), goal.kind), None
        if goal.kind == NUMBER and (task or find_task(y, goal.is_quantity)) == "classification":
            texts = fields.body.texts_of(place, fields.columns[place]).drop(missing)
            labels, said = _labels_of(texts.str.strip().to_numpy(), y)
            notes += said
        columns = []
        for i, name in enumerate(fields.names):
            if name in drop:
                columns.append(Column(name, LEFT_OUT, None, remarks=["as --drop says"]))
            elif i != place:
                columns.append(_understand_feature(name, fields.columns[i], fields, options))
            fields.columns[i] = None  # its memory may be needed
        notes += _notes_on_cells([*columns, goal], missing, fields)

    used = [column for column in columns if column.kind != LEFT_OUT]
    if not used:
        raise TableError(f"no column of {title_of(path)} can be used: {'; '.join(notes)}")
    X = pd.DataFrame({column.name: _cells(column) for column in used}).drop(index=missing).reset_index(drop=True)
    columns, goal = [column._replace(values=None) for column in columns], goal._replace(values=None)
    return Table(X, y, columns, goal, notes, labels)


def _cells(column):
    """Return the values of a column as a frame has them."""
    import pandas as pd

    if column.kind != CATEGORY:
        return column.values
    words = np.append(np.asarray(column.values.categories, dtype=object), None)
    return pd.Series(words[column.values.codes], dtype=object)  # the code -1 is the last


def _check_names(fields, target, drop):
    names, path = fields.names, title_of(fields.body.path)
    if len(names) == 1 and fields.has_types:
        raise TableError(f"{path} has one column only, {brief(names[0])!r}")
    if len(names) == 1:
        marks = ", ".join(SEPARATORS.values())
        raise TableError(
            f"{path} has one column only, {brief(names[0])!r}, as separated by {marks}; --sep names another separator"
        )
    if target not in names:
        raise TableError(f"{path} has no column {target!r}; {_suggestion(target, names)}")
    if target in fields.repeated:
        raise TableError(f"{path} has two columns named {target!r}")
    for name in drop:
        if name not in names:
            raise TableError(f"--drop: {path} has no column {name!r}; {_suggestion(name, names)}")
        if name == target:
            raise TableError(f"--drop: {name!r} is the target")
    if not len(fields.columns[0]):
        raise TableError(f"{path} has a header but no rows")


def _suggestion(name, names):
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {brief(close[0])!r}?"
    more = ", …" if len(names) > 10 else ""
    return "it has the columns " + ", ".join(map(brief, names[:10])) + more


def _understand_feature(name, series, fields, options):
    column = understand(name, series, fields, options)
    if column.kind == NUMBER and name in fields.nameless and (np.diff(column.values) == 1).all():
        return Column(name, LEFT_OUT, None, remarks=["without a name and counting the rows"])
    return column


def _notes_on_cells(columns, missing, fields):
    """Return what is to be said of columns, of single cells and of the rows without a target."""
    named = {row for column in columns for row, _ in column.odd} | {int(row) for row in missing[:_MOST_LINES]}
    line_of, unit = fields.body.lines_of(named), fields.body.unit
    notes, left_out = [], {}
    for column in columns:
        title = column.name if column.name in fields.nameless else f"column {brief(column.name)!r}"
        if column.kind == LEFT_OUT:
            left_out.setdefault(column.remarks[0], []).append(title)
            continue
        notes += [f"{title}: {remark}" for remark in column.remarks]
        if column.n_odd:
            what = {NUMBER: "number", DATE: "date"}[column.kind]
            cells = ", ".join(f"{brief(text)!r} ({unit} {line_of[row]})" for row, text in column.odd)
            more = ", …" if column.n_odd > len(column.odd) else ""
            told = f"are no usable {what}s and count as missing values"
            if column.n_odd == 1:
                told = f"is no usable {what} and counts as a missing value"
            notes.append(f"{title}: {_count(column.n_odd, 'cell')} {told}: {cells}{more}")
    for reason, titles in left_out.items():
        more = f" and {len(titles) - _MOST_COLUMNS} more" if len(titles) > _MOST_COLUMNS else ""
        notes.append(f"left out, {reason}: {', '.join(titles[:_MOST_COLUMNS])}{more}")
    if len(missing):
        lines = ", ".join(str(line_of[row]) for row in missing[:_MOST_LINES])
        more = ", …" if len(missing) > _MOST_LINES else ""
        units = unit if len(missing) == 1 else f"{unit}s"
        notes.append(f"{_count(len(missing), 'row')} without a target left out ({units} {lines}{more})")
    return notes


def _count(number, what):
    return f"1 {what}" if number == 1 else f"{number} {what}s"


def _target_values(values, kind):
    """Return the target as int64 where all are whole numbers, else float64, or as words."""
    if kind == CATEGORY:
        return np.asarray(values, dtype=object)
    whole = np.abs(values).max() < 2**53 and (values == np.rint(values)).all()
    return values.astype(np.int64) if whole else values


def _labels_of(texts, numbers):
    """Return the names of the classes in each row, as the file has them, and notes; what is the same number is one class, unless
    zeros before them say that they are no numbers."""
    named, notes, different = {}, [], dict(zip(texts, numbers.tolist()))
    has_codes = any(map(is_code, different))
    first = {}
    for text, number in different.items():
        key = text if has_codes else int(text) if is_whole(text) else number
        named[text] = first.setdefault(key, text)
    same = next(((text, name) for text, name in named.items() if text != name), None)
    if same:
        notes = [f"{same[1]!r} and {same[0]!r} in the target are the same number: one class, which is called {same[1]!r}"]
    if all(is_whole(name) and -(2**63) <= int(name) < 2**63 for name in first.values()):
        return np.array([int(named[text]) for text in texts], dtype=np.int64), notes
    return np.array([named[text] for text in texts], dtype=object), notes


def find_task(y, is_quantity=False):
    """Return "classification" for text, two values, or few whole numbers that repeat; else, and for quantities, "regression"."""
    if y.dtype.kind not in "iuf":
        return "classification"
    return "classification" if are_class_like(np.unique(y), len(y)) and not is_quantity else "regression"


def leave_out_rare_classes(table):
    """Return the table without the classes too rare to be both learnt and tested."""
    classes, counts = np.unique(table.y, return_counts=True)
    rare = classes[counts < FEWEST_ROWS_OF_A_CLASS]
    if not len(rare):
        return table
    if len(rare) == len(classes):
        raise TableError(f"no class of the target has {FEWEST_ROWS_OF_A_CLASS} rows or more")
    keep = ~np.isin(table.y, rare)
    names = ", ".join(str(name) for name in rare[:3]) + (", …" if len(rare) > 3 else "")
    rows = _count(np.count_nonzero(~keep), "row")
    note = f"{rows} of classes with fewer than {FEWEST_ROWS_OF_A_CLASS} rows left out: {names}"
    labels = None if table.labels is None else table.labels[keep]
    return table._replace(X=table.X[keep].reset_index(drop=True), y=table.y[keep], labels=labels, notes=[*table.notes, note])
