"""What a fitted model takes in each of its columns: the model says it, by what its steps have learnt."""

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

TRUTH, ANY = "boolean", "anything"


class Input(NamedTuple):
    """What a model takes in a column."""

    kind: str = ANY  # NUMBER, CATEGORY (text), DATE, TRUTH (True and False), or ANY where the model does not say
    known: tuple[Any, ...] = ()  # texts or numbers that training has seen; empty where the model does not tell
    missing: Any = np.nan  # what stands for a missing value among text
    is_filled: bool = False  # whether a step fills missing values


class Inputs(NamedTuple):
    """What a model takes: a list of Input; and their names, or None if it goes by their order."""

    columns: list[Input]
    names: list[str] | None

    def made_up_row(self, dtype=np.float64):
        """Return a row such as the model takes, as `frame`, its numbers of a dtype."""
        import pandas as pd

        made = {DATE: np.datetime64(0, "ns"), TRUTH: False, NUMBER: dtype(0), ANY: dtype(0)}
        known = [next((value for value in column.known if not is_missing(value)), "") for column in self.columns]
        kinds = [column.kind for column in self.columns]
        return self.frame([pd.Series([one if kind == CATEGORY else made[kind]]) for one, kind in zip(known, kinds)])

    def frame(self, values):
        """Return columns as the model takes them: a DataFrame with its names, or an array where it knows none."""
        import pandas as pd

        frame = pd.concat(values, axis=1)
        frame.columns = range(len(values)) if self.names is None else self.names
        return frame.to_numpy() if self.names is None else frame


def inputs_of(model, path):
    """Return the Inputs of a fitted model, which messages call by its path; raise TableError if it is not fitted."""
    try:
        check_is_fitted(model)
        n_columns = _first(model, "n_features_in_")
    except (ValueError, TypeError, AttributeError) as error:
        raise TableError(f"{path} holds a {type(model).__name__} that is not fitted") from error
    names = _first(model, "feature_names_in_")
    if n_columns is None:
        raise TableError(f"{path} holds a {type(model).__name__}, which does not say how many columns it takes")
    columns = [Input()] * n_columns
    names = None if names is None else [str(name) for name in names]
    _listen(model, list(range(n_columns)), columns)
    return Inputs(columns, names)


def is_missing(value):
    """Whether a value of a cell is None, NaN, NaT or pandas' NA."""
    is_itself = value == value
    return value is None or not isinstance(is_itself, bool | np.bool_) or not is_itself


def _first(model, name):
    """Return an attribute of the model, or of the first step that works."""
    while isinstance(model, Pipeline):
        model = next((step for _, step in model.steps if _works(step)), None)
    value = getattr(model, name, None)
    return _first(model.best_estimator_, name) if value is None and hasattr(model, "best_estimator_") else value


def _works(step):
    return step is not None and not isinstance(step, str)


def _listen(estimator, sources, columns):
    """Write down in `columns` what an estimator says of its inputs, each of which comes from the column of this number, or None
    if it is made; return the same for what it puts out, where a column goes through as one."""
    if not _works(estimator):
        return sources if estimator in (None, "passthrough") else []
    if isinstance(estimator, Pipeline):
        for _, step in estimator.steps:
            sources = _listen(step, sources, columns)
    elif isinstance(estimator, ColumnTransformer):
        return _listen_to_parts(estimator, sources, columns)
    elif isinstance(estimator, FeatureUnion):
        for _, part in estimator.transformer_list:
            _listen(part, sources, columns)
        return []
    elif isinstance(estimator, TableEncoder):
        _listen_to_encoder(estimator, sources, columns)
        return []
    elif isinstance(estimator, SimpleImputer):
        return _listen_to_imputer(estimator, sources, columns)
    elif hasattr(estimator, "categories_") and len(estimator.categories_) == len(sources):
        for source, known in zip(sources, estimator.categories_, strict=True):
            _say(columns, source, _input_of(known))
        return []
    else:
        inner = [] if isinstance(estimator, BaseBP) else _inner_estimators(estimator, len(sources))
        for one in inner:
            _listen(one, sources, columns)
        tags = get_tags(estimator)
        if not inner and not (tags.input_tags.string or tags.input_tags.categorical or tags.no_validation):
            for source in sources:
                _say(columns, source, Input(NUMBER))
        return sources if tags.no_validation and not inner else []
    return sources


def _say(columns, source, said):
    """Add to what is known of a column; text is the more special: texts of digits serve as numbers too."""
    if source is None:
        return
    before = columns[source]
    if before.kind == ANY or (said.kind != ANY and said.kind != NUMBER and before.kind == NUMBER):
        columns[source] = said._replace(is_filled=said.is_filled or before.is_filled)
    elif before.kind == said.kind:
        missing = before.missing if before.is_filled else said.missing
        columns[source] = before._replace(known=before.known or said.known, missing=missing)


def _listen_to_parts(estimator, sources, columns):
    import pandas as pd

    # which columns a part takes, by name, number, slice or mask, is what pandas makes of it
    places = pd.DataFrame([range(len(sources))], columns=getattr(estimator, "feature_names_in_", None))
    out: dict[int, int | None] = {}
    for name, part, taken in estimator.transformers_:
        taken = [taken] if isinstance(taken, str | int) else taken
        if isinstance(part, str) and part == "drop":
            continue
        ends = [taken.start, taken.stop] if isinstance(taken, slice) else list(taken)
        by_name = any(isinstance(one, str) for one in ends)
        chosen = places.loc[:, taken] if by_name else places.iloc[:, taken]
        passed = _listen(part, [sources[i] for i in chosen.to_numpy().ravel()], columns)
        first = estimator.output_indices_[name].start
        out |= {first + i: source for i, source in enumerate(passed)}
    return [out.get(i) for i in range(max(out, default=-1) + 1)]


def _listen_to_encoder(encoder, sources, columns):
    one_hot = next((part for part in vars(encoder).values() if hasattr(part, "categories_")), None)
    texts = iter(() if one_hot is None else one_hot.categories_)
    for source, kind in zip(sources, encoder.kinds_, strict=True):
        if kind == CATEGORY:
            _say(columns, source, Input(CATEGORY, tuple(next(texts, ()))))
        elif kind == "text":
            _say(columns, source, Input(CATEGORY))
        elif kind in (NUMBER, DATE):
            _say(columns, source, Input(kind, is_filled=True))


def _listen_to_imputer(imputer, sources, columns):
    passed = []
    for source, value in zip(sources, imputer.statistics_, strict=True):
        missing = imputer.missing_values if imputer.missing_values is None else np.nan
        _say(columns, source, _input_of([value])._replace(known=(), missing=missing, is_filled=True))
        if not is_missing(value) or imputer.keep_empty_features:
            passed.append(source)
    return passed


def _input_of(known: Sequence[Any]):
    """Return the Input of a column by the values that training has seen there."""
    known = tuple(known)
    there = [value for value in known if not is_missing(value)]
    missing = None if len(there) < len(known) and all(value is None for value in known if is_missing(value)) else np.nan
    for kind, types in {CATEGORY: str, TRUTH: bool | np.bool_}.items():
        if there and all(isinstance(value, types) for value in there):
            return Input(kind, known, missing)
    if there and all(isinstance(value, np.datetime64) or hasattr(value, "isoformat") for value in there):
        return Input(DATE)
    return Input(NUMBER, known, missing)


def _inner_estimators(estimator, n_columns):
    """Return what a search, an ensemble or another estimator has fitted to the same columns."""
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
        elif isinstance(value, BaseEstimator) and _first(value, "n_features_in_") == n_columns:
            found.append(value)
        elif type(value).__module__.startswith("sklearn.") and isinstance(getattr(value, "estimator", None), BaseEstimator):
            left.append(value.estimator)  # a classifier within a calibrated one
    return found
