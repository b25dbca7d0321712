"""Parquet files, whose columns have types of their own."""

import importlib
import json
from typing import Any, NamedTuple

import numpy as np

from fastbp.app.source import TableError, title_of


class ParquetColumns(NamedTuple):
    """What a Parquet file holds.

    Attributes
    ----------
    names : list of str
        As they stand in the file.
    columns : list of Series
        float64, int64 or uint64, datetime64 (UTC where there is a time zone; of a period its start), or object for text, missing
        values as NaN, NaT and None.
    exact : dict of int to Series
        The texts of columns whose whole numbers float64 cannot tell apart, and cannot do without, as values are missing.
    unusable : dict of int to str
        Which columns have no values that can be used, and what their type is called.
    notes : list of str
    """

    names: list[str]
    columns: list[Any]
    exact: dict[int, Any]
    unusable: dict[int, str]
    notes: list[str]


def is_parquet(file):
    """Whether the bytes begin as Parquet does; the header of a text may begin with PAR1, but holds no control characters."""
    file.seek(0)
    start = file.read(64)
    return start.startswith(b"PAR1") and any(byte < 32 and byte not in b"\t\r\n" for byte in start)


def read_parquet(path, file):
    """Return the ParquetColumns of a file of bytes, called `path`."""
    try:
        import pandas as pd

        pa, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise TableError(f"{title_of(path)} is Parquet, which needs pandas and pyarrow: pip install pandas pyarrow") from error
    file.seek(0)
    try:
        # of one file, whatever the path looks like: no folders, and no columns that their names would tell
        table = parquet.ParquetFile(file).read()
        columns = [_values(pa, pd, column, field) for column, field in zip(table.columns, table.schema, strict=True)]
    except (pa.ArrowException, ValueError, OSError) as error:
        raise TableError(f"{title_of(path)} is no Parquet file that can be read: {error}") from error
    if not table.num_columns:
        raise TableError(f"{title_of(path)} has no columns")
    names, stored, notes = [str(name).strip() for name in table.column_names], table.columns, []
    rows = [i for i, name in enumerate(names) if name.startswith("__index_level_")]  # how pandas stores an index without a name
    if 0 < len(rows) < len(names):
        names = [name for i, name in enumerate(names) if i not in rows]
        columns = [column for i, column in enumerate(columns) if i not in rows]
        stored = [column for i, column in enumerate(stored) if i not in rows]
        notes = ["the index of the DataFrame, which has no name, is left out"]
    unusable = {i: column for i, column in enumerate(columns) if isinstance(column, str)}
    for i in unusable:
        columns[i] = pd.Series([None] * table.num_rows, dtype=object)
    exact = {
        i: column.to_pandas(integer_object_nulls=True).map(str, na_action="ignore")
        for i, column in enumerate(stored)
        if pa.types.is_integer(column.type) and columns[i].dtype.kind == "f" and columns[i].abs().max() > 2**53
    }
    return ParquetColumns(names, columns, exact, unusable, notes)


def _values(pa, pd, column, field):
    """Return the values of a column, or the name of its type; a category is text, and so are true and false, as in CSV."""
    kind, types, told = column.type, pa.types, field.metadata or {}
    if getattr(kind, "extension_name", "") == "pandas.period":  # where pandas has told pyarrow of it
        return column.to_pandas().dt.to_timestamp().astype("datetime64[ns]")
    if told.get(b"ARROW:extension:name") == b"pandas.period":  # kept as the number of the period
        periods = pd.PeriodIndex.from_ordinals(column.drop_null().to_numpy(), **json.loads(told[b"ARROW:extension:metadata"]))
        dates = pd.Series(pd.NaT, index=range(len(column)), dtype="datetime64[ns]")
        dates[column.is_valid().to_numpy()] = periods.to_timestamp()
        return dates
    if types.is_dictionary(kind):
        return _values(pa, pd, column.cast(kind.value_type), field)
    if types.is_null(kind):
        column, kind = column.cast(pa.string()), pa.string()
    if types.is_boolean(kind):
        return pd.Series(column.to_pandas(), dtype=object).map({True: "True", False: "False"}).astype(object)
    if types.is_integer(kind):
        values = column.to_pandas(integer_object_nulls=True)
        return values.astype(np.float64) if values.dtype == object else values
    if types.is_floating(kind) or types.is_decimal(kind):
        return pd.Series(column.cast(pa.float64(), safe=False).to_numpy())
    if types.is_date(kind):
        column, kind = column.cast(pa.timestamp("ms")), pa.timestamp("ms")
    if types.is_timestamp(kind):
        return pd.to_datetime(column.to_pandas(), errors="coerce", utc=True).dt.tz_localize(None)
    if types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view":
        return column.to_pandas().astype(object)
    return str(kind)
