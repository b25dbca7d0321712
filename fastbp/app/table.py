"""Reads a table as features and a target, with notes on everything that was left out or interpreted."""

import difflib
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from fastbp.app.columns import (
    CATEGORY,
    DATE,
    FEWEST_ROWS_OF_A_CLASS,
    LEFT_OUT,
    MOST_CLASSES,
    NUMBER,
    Column,
    are_class_like,
    infer_column,
    left_out,
    note_on_unreadable,
)
from fastbp.app.fields import SEPARATORS, Options, read_fields
from fastbp.app.notation import is_code, is_whole
from fastbp.app.source import TableError, brief, count_of, open_unpacked, title_of

_MOST_LINES, _MOST_COLUMNS = 5, 20  # in a message


class Table(NamedTuple):
    """The content of a file."""

    X: Any  # DataFrame: numbers are float64, dates datetime64, text object; missing values are NaN, NaT and None
    y: np.ndarray  # the target: int64, float64, or object if it is text
    columns: list[Column]  # all except the target, in the file's order, also those left out; without values
    target: Column
    notes: list[str]
    labels: np.ndarray | None = None  # class labels of a target of numbers: int64, or else the texts in the file


def read_table(path, target, drop=(), options=Options(), task=None):  # noqa: B008 - it is immutable
    """Return the Table in a file with a header line; "-" is standard input.

    Rows without a target and the columns `drop` are left out. If `task` is None, the target decides. Raises TableError if the
    file cannot be read, is ragged or empty, or lacks the target, or if the target holds dates.
    """
    with closing(open_unpacked(path)) as file:
        fields = read_fields(path, file, options)
        import pandas as pd

        _check_names(fields, target, drop)
        notes = list(fields.notes)
        place = fields.names.index(target)
        goal = infer_column(target, fields.columns[place], fields, options, is_target=True)
        if target in fields.unusable:
            raise TableError(f"the target {target!r} is {goal.remarks[0]}, which is no class and no number")
        if goal.kind == LEFT_OUT:
            raise TableError(f"the target {target!r} is empty in every row of {title_of(path)}")
        if goal.kind == DATE:
            example = goal.values.dropna().iloc[0]
            raise TableError(
                f"the target {target!r} holds dates, such as {example:%Y-%m-%d}: convert them to numbers such as days since a day"
            )
        missing = np.flatnonzero(pd.isna(goal.values))
        y, labels = np.delete(goal.values, missing), None
        if goal.kind == NUMBER and np.abs(y).max() < 2**53 and (y == np.rint(y)).all():
            y = y.astype(np.int64)
        if goal.kind == NUMBER and (task or find_task(y, goal.is_quantity)) == "classification":
            texts = fields.body.texts_of(place, fields.columns[place]).drop(missing)
            labels, said = _labels_of(texts.str.strip().to_numpy(), y)
            notes += said
        columns = []
        for i, name in enumerate(fields.names):
            if name in drop:
                columns.append(left_out(name, "as --drop says"))
            elif i != place:
                columns.append(_infer_feature(name, fields.columns[i], fields, options))
            fields.columns[i] = None  # frees its memory
        notes += _notes_on_cells([*columns, goal], missing, fields)

    used = [column for column in columns if column.kind != LEFT_OUT]
    if not used:
        raise TableError(f"no column of {title_of(path)} can be used: {'; '.join(notes)}")
    columns_of_X = {one.name: pd.Series(one.values, dtype=object if one.kind == CATEGORY else None) for one in used}
    X = pd.DataFrame(columns_of_X).drop(index=missing).reset_index(drop=True)
    columns, goal = [column._replace(values=None) for column in columns], goal._replace(values=None)
    return Table(X, y, columns, goal, notes, labels)


def _check_names(fields, target, drop):
    names, path = fields.names, title_of(fields.body.path)
    if len(names) == 1:
        marks = "" if fields.has_types else f", as separated by {', '.join(SEPARATORS.values())}; --sep names another separator"
        raise TableError(f"{path} has one column only, {brief(names[0])!r}{marks}")
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


def _infer_feature(name, series, fields, options):
    column = infer_column(name, series, fields, options)
    if column.kind == NUMBER and name in fields.nameless and (np.diff(column.values) == 1).all():
        return left_out(name, "without a name and counting the rows")
    return column


def _notes_on_cells(columns, missing, fields):
    """Return notes on columns, on unreadable cells and on rows without a target."""
    named = {row for column in columns for row, _ in column.unreadable} | {int(row) for row in missing[:_MOST_LINES]}
    line_of, unit = fields.body.lines_of(named), fields.body.unit
    notes, unused = [], {}
    for column in columns:
        title = column.name if column.name in fields.nameless else f"column {brief(column.name)!r}"
        if column.kind == LEFT_OUT:
            unused.setdefault(column.remarks[0], []).append(title)
            continue
        notes += [f"{title}: {remark}" for remark in column.remarks]
        if column.n_unreadable:
            what = {NUMBER: "number", DATE: "date"}[column.kind]
            cells = [(text, f"{unit} {line_of[row]}") for row, text in column.unreadable]
            notes.append(f"{title}: {note_on_unreadable(what, column.n_unreadable, cells)}")
    for reason, titles in unused.items():
        more = f" and {len(titles) - _MOST_COLUMNS} more" if len(titles) > _MOST_COLUMNS else ""
        notes.append(f"left out, {reason}: {', '.join(titles[:_MOST_COLUMNS])}{more}")
    if len(missing):
        lines = ", ".join(str(line_of[row]) for row in missing[:_MOST_LINES])
        more = ", …" if len(missing) > _MOST_LINES else ""
        units = unit if len(missing) == 1 else f"{unit}s"
        notes.append(f"{count_of(len(missing), 'row')} without a target left out ({units} {lines}{more})")
    return notes


def _labels_of(texts, numbers):
    """Return the class label of each row, as in the file, and notes. Equal numbers are one class, unless leading zeros show that
    the labels are codes."""
    named, notes, different = {}, [], dict(zip(texts, numbers.tolist()))
    has_codes = any(map(is_code, different))
    first = {}
    for text, number in different.items():
        key = text if has_codes else int(text) if is_whole(text) else number
        named[text] = first.setdefault(key, text)
    same = next(((text, name) for text, name in named.items() if text != name), None)
    if same:
        notes = [f"{same[1]!r} and {same[0]!r} in the target are the same number: one class, named {same[1]!r}"]
    if all(is_whole(name) and -(2**63) <= int(name) < 2**63 for name in first.values()):
        return np.array([int(named[text]) for text in texts], dtype=np.int64), notes
    return np.array([named[text] for text in texts], dtype=object), notes


def find_task(y, is_quantity=False):
    """Return "classification" for text, at most two values, or few whole numbers; "regression" for others and for quantities."""
    if y.dtype.kind not in "iuf":
        return "classification"
    return "classification" if are_class_like(np.unique(y), len(y)) and not is_quantity else "regression"


def leave_out_rare_classes(table):
    """Return the table without classes that have too few rows for training and test."""
    classes, counts = np.unique(table.y, return_counts=True)
    rare = classes[counts < FEWEST_ROWS_OF_A_CLASS]
    if len(rare) == 0:
        return table
    if len(rare) == len(classes):
        named = f": it is read as names of classes, such as {brief(str(table.y[0]))!r}" if len(classes) > MOST_CLASSES else ""
        raise TableError(f"no class of the target has {FEWEST_ROWS_OF_A_CLASS} rows or more{named}")
    keep = ~np.isin(table.y, rare)
    names = ", ".join(str(name) for name in rare[:3]) + (", …" if len(rare) > 3 else "")
    rows = count_of(np.count_nonzero(~keep), "row")
    note = f"{rows} of classes with fewer than {FEWEST_ROWS_OF_A_CLASS} rows left out: {names}"
    labels = None if table.labels is None else table.labels[keep]
    return table._replace(X=table.X[keep].reset_index(drop=True), y=table.y[keep], labels=labels, notes=[*table.notes, note])
