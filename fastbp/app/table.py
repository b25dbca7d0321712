"""A CSV file as features and a target: numbers, text and gaps, read with the csv module alone."""

import csv
import difflib
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

GAPS = frozenset({"", "?", "na", "n/a", "#n/a", "nan", "null", "none", "missing"})
MOST_CLASSES = 20
MOST_CATEGORIES = 50
FEWEST_ROWS_OF_A_CLASS = 3


class TableError(ValueError):
    """The file cannot be used; the message says why in one line."""


class Table(NamedTuple):
    """What a CSV file holds.

    Attributes
    ----------
    X : ndarray of shape (n_rows, n_columns)
        float64, or object where some columns are text. A gap is nan in a number column, "" in a text column.
    y : ndarray of shape (n_rows,)
        The target: str, int64 or float64.
    columns : list of str
        The names of X's columns.
    numeric, text : list of int
        Which columns of X hold numbers and which hold text.
    notes : list of str
        What was left out, and why.
    """

    X: np.ndarray
    y: np.ndarray
    columns: list[str]
    numeric: list[int]
    text: list[int]
    notes: list[str]


def read_table(path, target):
    """Read a CSV file with a header line.

    Parameters
    ----------
    path : str or Path
        UTF-8 text; fields separated by comma, semicolon, tab or bar.
    target : str
        The name of the column to predict. Rows where it is empty are left out.

    Returns
    -------
    Table

    Raises
    ------
    TableError
        If the file cannot be read, is ragged or empty, or lacks the target.
    """
    header, rows = _read_rows(path)
    if target not in header:
        raise TableError(f"{path} has no column {target!r}; {_suggestion(target, header)}")
    if not rows:
        raise TableError(f"{path} has a header but no rows")
    if len(header) == 1:
        raise TableError(f"{path} has no column beside the target {target!r}")

    notes = []
    place = header.index(target)
    complete = [row for row in rows if row[place].strip().lower() not in GAPS]
    if not complete:
        raise TableError(f"the target {target!r} is empty in every row of {path}")
    if len(complete) < len(rows):
        notes.append(f"{len(rows) - len(complete)} rows without a target left out")

    by_column = dict(zip(header, zip(*complete, strict=True), strict=True))
    y = _target_values(by_column.pop(target), target)
    values, columns, numeric, text = [], [], [], []
    for name, fields in by_column.items():
        column, reason = _feature_values(fields, name)
        if column is None:
            notes.append(f"column {name!r} left out: {reason}")
            continue
        (text if column.dtype == object else numeric).append(len(columns))
        columns.append(name)
        values.append(column)
    if not columns:
        raise TableError(f"no column of {path} can be used: {'; '.join(notes)}")
    return Table(np.column_stack(values), y, columns, numeric, text, notes)


def _read_rows(path):
    """Return the header and the rows, all of one length."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            first_line = file.readline()
            file.seek(0)
            # the separator that cuts the header into most names
            separator = max(",;\t|", key=first_line.count)
            reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
            header = [name.strip() for name in next(reader, [])]
            rows = []
            for row in reader:
                if len(row) == len(header):
                    rows.append(row)
                elif row:
                    raise TableError(f"{path}, line {reader.line_num}: {len(row)} fields where the header has {len(header)}")
    except OSError as error:
        raise TableError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path} is not UTF-8 text") from error
    except csv.Error as error:
        raise TableError(f"{path} is not a CSV file: {error}") from error
    if not any(header):
        raise TableError(f"{path} is empty")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise TableError(f"{path} has two columns named {twice[0]!r}")
    return header, rows


def _suggestion(target, header):
    close = difflib.get_close_matches(target, header, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    more = ", …" if len(header) > 10 else ""
    return "it has the columns " + ", ".join(header[:10]) + more


def _numbers(fields):
    """Return the fields as float64, gaps as nan, or None if one of them is text."""
    try:
        return np.array([math.nan if field.strip().lower() in GAPS else float(field) for field in fields])
    except ValueError:
        return None


def _refuse_infinite(numbers, name):
    if np.isinf(numbers).any():
        raise TableError(f"column {name!r} holds an infinite number")


def _feature_values(fields, name):
    """Return one column as float64 or object, or (None, why it is of no use)."""
    numbers = _numbers(fields)
    if numbers is not None:
        _refuse_infinite(numbers, name)
        if np.isnan(numbers).all():
            return None, "it is empty"
        return numbers, None
    words = ["" if field.strip().lower() in GAPS else field.strip() for field in fields]
    n_different = len(set(words))
    if n_different == len(words) > MOST_CLASSES:
        return None, "every row has its own text, as in a name or a number plate"
    return np.array(words, dtype=object), None


def _target_values(fields, name):
    """Return the target as int64 where all are whole numbers, else float64, else str."""
    numbers = _numbers(fields)
    if numbers is None:
        return np.array([field.strip() for field in fields])
    _refuse_infinite(numbers, name)
    whole = np.abs(numbers).max() < 2**53 and (numbers == np.rint(numbers)).all()
    return numbers.astype(np.int64) if whole else numbers


def find_task(y):
    """Return "classification" for text, two values, or few whole numbers that repeat; else "regression"."""
    if y.dtype.kind not in "iuf":
        return "classification"
    n_different = len(np.unique(y))
    few = n_different <= min(MOST_CLASSES, len(y) / 5)
    return "classification" if n_different <= 2 or (y.dtype.kind in "iu" and few) else "regression"


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
    note = f"{np.count_nonzero(~keep)} rows of classes with fewer than {FEWEST_ROWS_OF_A_CLASS} rows left out: {names}"
    return table._replace(X=table.X[keep], y=table.y[keep], notes=[*table.notes, note])


def make_preparation(table):
    """Return the transformer that fills and scales the number columns and spreads the text columns over 0/1 columns."""
    numeric = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    text = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MOST_CATEGORIES, sparse_output=False)
    return ColumnTransformer([("numeric", numeric, table.numeric), ("text", text, table.text)])
