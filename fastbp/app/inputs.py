"""Finds out from a fitted model what each of its input columns holds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from fastbp.app.columns import CATEGORY, DATE, NUMBER
from fastbp.app.source import TableError
from fastbp.estimators.base import BaseBP
from fastbp.tabular import TableEncoder
from fastbp.tabular.base import BaseTabular

BOOLEAN, ANY = "boolean", "anything"


class Input(NamedTuple):
    """One input column of a model."""

    kind: str = ANY  # NUMBER, CATEGORY (text), DATE, BOOLEAN, or ANY if unknown
    known: tuple[Any, ...] = ()  # categories seen in training; empty if unknown
    missing: Any = np.nan  # the value for a missing text
    is_filled: bool = False  # whether a step fills missing values


class Inputs(NamedTuple):
    """The input columns of a model, and their names, or None if it was fitted without names."""

    columns: list[Input]
    names: list[str] | None

    def made_up_row(self, dtype=np.float64):
        """Return one valid row, as `frame` does, with numbers of this dtype."""
        import pandas as pd

        made = {DATE: np.datetime64(0, "ns"), BOOLEAN: False, NUMBER: dtype(0), ANY: dtype(0)}
        known = [next((value for value in column.known if not is_missing(value)), "") for column in self.columns]
        kinds = [column.kind for column in self.columns]
        return self.frame([pd.Series([one if kind == CATEGORY else made[kind]]) for one, kind in zip(known, kinds)])

    def frame(self, values):
        """Return columns as a DataFrame with the names of the model, or as an array if it has no names."""
        import pandas as pd

        frame = pd.concat(values, axis=1)
        frame.columns = range(len(values)) if self.names is None else self.names
        return frame.to_numpy() if self.names is None else frame


def inputs_of(model, path):
    """Return the Inputs of the fitted model in a file; raise TableError if it is not fitted."""
    try:
        check_is_fitted(model)
        n_columns = _attribute_of(model, "n_features_in_")
    except (ValueError, TypeError, AttributeError) as error:
        raise TableError(f"{path} holds a {type(model).__name__} that is not fitted") from error
    names = _attribute_of(model, "feature_names_in_")
    if n_columns is None:
        raise TableError(f"{path} holds a {type(model).__name__}, which does not say how many columns it takes")
    columns = [Input()] * n_columns
    names = None if names is None else [str(name) for name in names]
    _inspect(model, list(range(n_columns)), columns)
    return Inputs(columns, names)


def is_missing(value):
    """Whether the value of a cell is None, NaN, NaT or pandas' NA."""
    is_itself = value == value
    return value is None or not isinstance(is_itself, bool | np.bool_) or not is_itself


def _attribute_of(model, name):
    """Return an attribute of the model, or of its first step, or of the best model of a search."""
    while isinstance(model, Pipeline):
        model = next((step for _, step in model.steps if _is_step(step)), None)
    value = getattr(model, name, None)
    return _attribute_of(model.best_estimator_, name) if value is None and hasattr(model, "best_estimator_") else value


def _is_step(step):
    return step is not None and not isinstance(step, str)


def _inspect(estimator, sources, columns):
    """Record in `columns` what an estimator knows of its inputs; `sources` are the model's columns that they are, or None if
    computed. Return the same for its outputs, [] if it passes no column through."""
    if not _is_step(estimator):
        return sources if estimator in (None, "passthrough") else []
    if isinstance(estimator, Pipeline):
        for _, step in estimator.steps:
            sources = _inspect(step, sources, columns)
    elif isinstance(estimator, ColumnTransformer):
        return _inspect_column_transformer(estimator, sources, columns)
    elif isinstance(estimator, FeatureUnion):
        for _, part in estimator.transformer_list:
            _inspect(part, sources, columns)
        return []
    elif isinstance(estimator, TableEncoder | BaseTabular):
        _inspect_table_encoder(getattr(estimator, "encoder_", estimator), sources, columns)
        return []
    elif isinstance(estimator, SimpleImputer):
        return _inspect_imputer(estimator, sources, columns)
    elif hasattr(estimator, "categories_") and len(estimator.categories_) == len(sources):
        for source, known in zip(sources, estimator.categories_, strict=True):
            _record(columns, source, _input_of(known))
        return []
    else:
        inner = [] if isinstance(estimator, BaseBP) else _inner_estimators(estimator, len(sources))
        for one in inner:
            _inspect(one, sources, columns)
        tags = get_tags(estimator)
        if not inner and not (tags.input_tags.string or tags.input_tags.categorical or tags.no_validation):
            for source in sources:
                _record(columns, source, Input(NUMBER))
        return sources if tags.no_validation and not inner else []
    return sources


def _record(columns, source, found):
    """Add what was found of a column. Another kind replaces NUMBER, as texts of digits can serve as numbers too."""
    if source is None:
        return
    before = columns[source]
    if before.kind == ANY or (found.kind != ANY and found.kind != NUMBER and before.kind == NUMBER):
        columns[source] = found._replace(is_filled=found.is_filled or before.is_filled)
    elif before.kind == found.kind:
        missing = before.missing if before.is_filled else found.missing
        columns[source] = before._replace(known=before.known or found.known, missing=missing)


def _inspect_column_transformer(estimator, sources, columns):
    import pandas as pd

    # pandas resolves the columns of a part: names, numbers, a slice or a mask
    places = pd.DataFrame([range(len(sources))], columns=getattr(estimator, "feature_names_in_", None))
    out: dict[int, int | None] = {}
    for name, part, taken in estimator.transformers_:
        taken = [taken] if isinstance(taken, str | int) else taken
        if isinstance(part, str) and part == "drop":
            continue
        ends = [taken.start, taken.stop] if isinstance(taken, slice) else list(taken)
        by_name = any(isinstance(one, str) for one in ends)
        chosen = places.loc[:, taken] if by_name else places.iloc[:, taken]
        passed = _inspect(part, [sources[i] for i in chosen.to_numpy().ravel()], columns)
        first = estimator.output_indices_[name].start
        out |= {first + i: source for i, source in enumerate(passed)}
    return [out.get(i) for i in range(max(out, default=-1) + 1)]


def _inspect_table_encoder(encoder, sources, columns):
    one_hot = next((part for part in vars(encoder).values() if hasattr(part, "categories_")), None)
    texts = iter(() if one_hot is None else one_hot.categories_)
    for source, kind in zip(sources, encoder.kinds_, strict=True):
        if kind == CATEGORY:
            _record(columns, source, Input(CATEGORY, tuple(next(texts, ()))))
        elif kind == "text":
            _record(columns, source, Input(CATEGORY))
        elif kind in (NUMBER, DATE):
            _record(columns, source, Input(kind, is_filled=True))


def _inspect_imputer(imputer, sources, columns):
    passed = []
    for source, value in zip(sources, imputer.statistics_, strict=True):
        missing = imputer.missing_values if imputer.missing_values is None else np.nan
        _record(columns, source, _input_of([value])._replace(known=(), missing=missing, is_filled=True))
        if not is_missing(value) or imputer.keep_empty_features:
            passed.append(source)
    return passed


def _input_of(known: Sequence[Any]):
    """Return the Input of a column, given the values seen in training."""
    known = tuple(known)
    there = [value for value in known if not is_missing(value)]
    missing = None if len(there) < len(known) and all(value is None for value in known if is_missing(value)) else np.nan
    for kind, types in {CATEGORY: str, BOOLEAN: bool | np.bool_}.items():
        if there and all(isinstance(value, types) for value in there):
            return Input(kind, known, missing)
    if there and all(isinstance(value, np.datetime64) or hasattr(value, "isoformat") for value in there):
        return Input(DATE)
    return Input(NUMBER, known, missing)


def _inner_estimators(estimator, n_columns):
    """Return the estimators that a search, an ensemble or another meta-estimator has fitted to the same columns."""
    found: list[Any] = []
    left = [value for name, value in vars(estimator).items() if name.endswith("_") and not name.endswith("__")]
    while left:
        value = left.pop()
        if isinstance(value, list | tuple):
            left.extend(value)
        elif isinstance(value, np.ndarray) and value.dtype == object:
            left.extend(value.ravel().tolist())
        elif isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, BaseEstimator) and _attribute_of(value, "n_features_in_") == n_columns:
            found.append(value)
        elif type(value).__module__.startswith("sklearn.") and isinstance(getattr(value, "estimator", None), BaseEstimator):
            left.append(value.estimator)  # of a CalibratedClassifierCV
    return found
