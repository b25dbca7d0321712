"""A fitted network as plain data for exports, and the formulas of activations in the languages of exports."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

from fastbp.estimators import BPClassifier, BPRegressor, parameters
from fastbp.estimators.inputs import twin
from fastbp.estimators.integrity import category_embeddings
from fastbp.estimators.ordered import hidden_activations
from fastbp.estimators.scaling import check_weights_alone
from fastbp.functions.losses import LEAST_VARIANCE
from fastbp.functions.operations import NumPy, written
from fastbp.names import ACTIVATIONS

ACROSS_UNITS = ("softmax", "cumulative")  # activations of all units together, which each language has of its own
FARTHEST = 1e18  # scaled numbers of a table are limited to this


def formula(name: str, language: Any, z: Any) -> Any:
    """Return an activation of z, written in a language; see `written`."""
    of_x = ACTIVATIONS[name].formula
    assert of_x is not None
    return written(of_x, language, z)


class Category(NamedTuple):
    """A column of X that holds categories."""

    column: int
    values: np.ndarray  # numbers, in the order of the rows of the first weights
    has_missing: bool  # whether a row for missing values follows


class Inputs(NamedTuple):
    """The inputs of the first layer: columns of numbers, then for each other column a 1 or 0 for each of its categories, or the
    embedding of the row's category, zeros for an unknown one."""

    numbers: list[int]
    categories: list[Category]
    embeddings: list[np.ndarray]  # (n_categories, size) of each column; [] where categories have none

    @property
    def n_inputs(self) -> int:
        """Number of inputs of the first layer, if there are embeddings."""
        return len(self.numbers) + sum(array.shape[1] for array in self.embeddings)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the inputs for rows of X."""
        parts = [rows[:, self.numbers]]
        for k, (column, values, has_missing) in enumerate(self.categories):
            ones = rows[:, column, np.newaxis] == values
            ones = np.hstack([ones, np.isnan(rows[:, column, np.newaxis])]) if has_missing else ones
            parts.append(ones.astype(rows.dtype) @ self.embeddings[k] if self.embeddings else ones)
        return np.hstack(parts).astype(rows.dtype)


class Spread(NamedTuple):
    """The means location + unit·z and the standard deviations unit·√(least + softplus(s)), from the outputs z and s."""

    location: np.ndarray  # (n_targets,) float64
    unit: np.ndarray  # likewise
    least: float


class Plain(NamedTuple):
    """A trained network as plain data."""

    coefs: list[np.ndarray]
    intercepts: list[np.ndarray]
    activations: list[str]  # of all layers, with the output's
    classes: np.ndarray | None  # None for regression and for multilabel targets
    is_classifier: bool
    inputs: Inputs | None  # None if the first layer reads X itself
    is_sorted: bool = False  # whether the outputs of each row are sorted, as several quantiles are
    skip: np.ndarray | None = None  # weights of the skip layer
    spread: Spread | None = None  # if the second half of the outputs gives standard deviations

    @property
    def skips_to(self) -> int:
        """The layer, counted from 1, whose activation comes after `skip` is added: the last, or the score of ordered classes."""
        return len(self.coefs) - (self.activations[-1] == "cumulative")

    @property
    def n_features(self) -> int:
        """Columns of X."""
        return len(self.coefs[0]) if self.inputs is None else len(self.inputs.numbers) + len(self.inputs.categories)

    @property
    def is_binary(self) -> bool:
        """Whether the only output is the probability of the second class."""
        return self.is_classifier and self.coefs[-1].shape[1] == 1


def plain(estimator: Any) -> Plain:
    """Return the network of a fitted estimator, or raise ValueError if the estimator does more than its network."""
    if not isinstance(estimator, BPClassifier | BPRegressor):
        raise ValueError(f"estimator must be a BPClassifier or a BPRegressor, got {type(estimator).__name__}.")
    check_weights_alone(estimator, categories_too=True)
    coefs, intercepts, layer_sizes = parameters.check_weights(estimator.coefs_, estimator.intercepts_)
    hidden = hidden_activations(estimator.activation, estimator.out_activation_, len(layer_sizes) - 2, estimator)
    for name in (*hidden, estimator.out_activation_):
        if ACTIVATIONS[name].formula is None and name not in ACROSS_UNITS:
            raise ValueError(f"The activation {name!r} cannot be exported yet.")
    skip = vars(estimator).get("skip_coefs_")
    if not all(np.isfinite(array).all() for array in (*coefs, *intercepts, *([] if skip is None else [skip]))):
        raise ValueError("Weights are NaN or infinite.")
    has_classes = isinstance(estimator, BPClassifier) and (layer_sizes[-1] == 1 or estimator.out_activation_ in ACROSS_UNITS)
    classes = estimator.classes_ if has_classes else None
    is_classifier = isinstance(estimator, BPClassifier)
    is_sorted = not is_classifier and bool(estimator._fitted_levels())
    activations, inputs = [*hidden, estimator.out_activation_], _inputs_of(estimator)
    scaler, spread = estimator.target_scaler_, None
    if estimator._has_spread:
        spread = Spread(scaler.mean_, scaler.scale_, LEAST_VARIANCE)
    network = Plain(coefs, intercepts, activations, classes, is_classifier, inputs, is_sorted, skip, spread)
    _check_nothing_is_overlooked(network, estimator)
    return network


def _inputs_of(estimator: Any) -> Inputs | None:
    """Return how the first layer reads columns of categories; None without these."""
    if not hasattr(estimator, "categories_"):
        return None
    categories = []
    for column, values in zip(estimator.categorical_features_, estimator.categories_, strict=True):
        try:
            numbers = np.array([np.nan if value is None else value for value in values.tolist()], dtype=np.float64)
        except ValueError as error:
            raise ValueError(
                f"Column {column} holds categories that are texts ({error}), but exports read numbers: fit with numbers in place"
                " of the texts, as OrdinalEncoder makes them."
            ) from error
        known = numbers[~np.isnan(numbers)]
        if len(np.unique(known)) < len(known):
            raise ValueError(
                f"Column {column} holds whole numbers as categories that float64 cannot tell apart, but exports read float64: fit"
                " with smaller numbers, as OrdinalEncoder makes them."
            )
        categories.append(Category(column, known, len(known) < len(numbers)))
    numbers_at = [i for i in range(estimator.n_features_in_) if i not in estimator.categorical_features_]
    embeddings = category_embeddings(vars(estimator).get("front_"))
    if not all(np.isfinite(array).all() for array in embeddings):
        raise ValueError("Embeddings of categories are NaN or infinite.")
    return Inputs(numbers_at, categories, embeddings)


def categories_in(inputs: Inputs, dtype: Any) -> list[np.ndarray]:
    """Return the values of categories in the dtype of the export, or raise ValueError if they are equal or infinite in it."""
    found = [category.values.astype(dtype) for category in inputs.categories]
    for category, values in zip(inputs.categories, found, strict=True):
        if len(np.unique(values)) < len(values) or not np.isfinite(values).all():
            raise ValueError(f"{np.dtype(dtype)} cannot tell the categories in column {category.column} apart: take float64.")
    return found


def _check_nothing_is_overlooked(network: Plain, estimator: Any) -> None:
    """Raise ValueError if the estimator does not predict what its network predicts, as an option newer than this module may make
    it do; hundreds of rows are compared, in double precision and up to rounding."""
    network = network._replace(
        coefs=[W.astype(np.float64) for W in network.coefs],
        intercepts=[b.astype(np.float64) for b in network.intercepts],
        skip=None if network.skip is None else network.skip.astype(np.float64),
    )
    if network.inputs is None:
        rows = _rows_for(network.coefs[0], network.intercepts[0])
    else:
        rows = _rows_with_categories(network.inputs, network.coefs[0], network.intercepts[0])
    judged = twin(estimator, coefs_=network.coefs, intercepts_=network.intercepts)
    if network.inputs is not None and network.inputs.embeddings:
        judged.front_ = {name: array.astype(np.float64) for name, array in estimator.front_.items()}
    if network.skip is not None:
        judged.skip_coefs_ = network.skip
    vars(judged).pop("feature_names_in_", None)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs, errors = outputs_of(network, rows)
        if network.spread is not None:
            expected: Any = np.hstack([part.reshape(len(rows), -1) for part in judged.predict(rows, return_std=True)])
        else:
            expected = judged.predict_proba(rows) if network.is_classifier else judged.predict(rows)
        expected = np.asarray(expected)[:, 1:] if network.is_binary else np.asarray(expected).reshape(len(rows), -1)
        is_right = expected.shape == outputs.shape and not (np.abs(outputs - expected) > errors).any()
        if is_right and network.is_classifier:
            is_right = _has_labels(network, outputs, errors, judged.predict(rows))
    if not is_right:
        raise ValueError(
            f"This {type(estimator).__name__} does not predict what its network alone predicts, so it cannot be exported yet."
        )


def _rows_for(W: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return rows to test a network with this first layer: around the point where its units bend, in the scale of its weights, as
    unscaled data are; around zero; and far away."""
    n_features, random = len(W), np.random.RandomState(0)
    n = min(max(2**22 // n_features, 16), 512) // 8
    steepness = np.linalg.norm(W / max(np.abs(W).max(), 1e-300), axis=1) * np.abs(W).max()
    spread = 1 / np.where(steepness > 0, steepness, 1.0)
    centre = np.linalg.lstsq(W.T, -b, rcond=None)[0] if W.size <= 2**22 else np.zeros(n_features)
    around = [centre + scale * spread * random.normal(size=(n, n_features)) for scale in (0.3, 1.0, 3.0, 100.0)]
    about_zero = [scale * random.normal(size=(n, n_features)) for scale in (1e-3, 1.0, 1e3, 1e6)]
    return np.vstack([*around, *about_zero])


def _rows_with_categories(inputs: Inputs, W: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return rows to test a network with categories, known ones and one unknown."""
    n_numbers, random = len(inputs.numbers), np.random.RandomState(1)
    numbers = _rows_for(W[:n_numbers], b) if n_numbers else np.empty((256, 0))
    rows = np.empty((len(numbers), n_numbers + len(inputs.categories)))
    rows[:, inputs.numbers] = numbers
    for column, values, _ in inputs.categories:
        rows[:, column] = random.choice([*values, np.nan, np.abs(values).max(initial=0.0) + 1.0], len(rows))
    return rows


def outputs_of(network: Plain, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the outputs for rows by the formulas, and bounds of the rounding errors."""
    unit = 16 * np.finfo(np.float64).eps
    values = rows if network.inputs is None else network.inputs.read(rows)
    errors = np.zeros_like(values)
    for layer, (W, b, name) in enumerate(zip(network.coefs, network.intercepts, network.activations), 1):
        z = values @ W + b
        errors = errors @ np.abs(W) + unit * np.sqrt(len(W)) * (np.abs(values) @ np.abs(W) + np.abs(b))
        if network.skip is not None and layer == network.skips_to:
            z = z + rows @ network.skip
            errors = errors + unit * np.sqrt(rows.shape[1]) * (np.abs(rows) @ np.abs(network.skip))
        if name == "softmax":
            powers = np.exp(z - z.max(axis=1, keepdims=True))
            values = powers / powers.sum(axis=1, keepdims=True)
            errors = values * np.expm1(2 * errors.max(axis=1, keepdims=True)) + unit
        elif name == "cumulative":
            later = np.pad(NumPy.logistic(z[:, 1:]), ((0, 0), (1, 1)), constant_values=((0, 0), (1.0, 0.0)))
            values = later[:, :-1] - later[:, 1:]
            errors = np.broadcast_to(errors.max(axis=1, keepdims=True) + unit, values.shape)
        else:
            values = np.asarray(formula(name, NumPy(), z))
            if name == "exp":
                errors = values * np.expm1(errors) + unit * (1 + np.abs(z)) * values + np.finfo(np.float64).tiny
            elif name == "step":
                errors = (np.abs(z) <= errors).astype(np.float64)
            else:  # all other slopes are below 2
                errors = 2 * errors + unit * (1 + np.abs(values))
    if network.spread is not None:
        location, scale, least = network.spread
        (means, spreads), (of_means, of_spreads) = (np.split(part, 2, axis=1) for part in (values, errors))
        deviations = scale * np.sqrt(least + np.asarray(formula("softplus", NumPy(), spreads)))
        values = np.hstack([location + scale * means, deviations])  # the slope of deviations is at most 1/2
        errors = np.hstack([scale * of_means + unit * (np.abs(location) + scale * np.abs(means)), scale * of_spreads])
        errors = errors + unit * np.abs(values)
    if network.is_sorted:
        values, errors = np.sort(values, axis=1), np.broadcast_to(errors.max(axis=1, keepdims=True), errors.shape)
    return values, errors


def _has_labels(network: Plain, outputs: np.ndarray, errors: np.ndarray, labels: Any) -> bool:
    """Whether these are the labels of the outputs, except where rounding decides."""
    if network.classes is None:
        labels = labels.toarray() if issparse(labels) else np.asarray(labels)
        is_clear = np.abs(outputs - 0.5) > errors
        return labels.shape == outputs.shape and bool((labels == (outputs > 0.5))[is_clear].all())
    if network.is_binary:
        numbers = np.minimum(outputs[:, 0] > 0.5, len(network.classes) - 1)
        is_clear = np.abs(outputs[:, 0] - 0.5) > errors[:, 0]
    else:
        numbers = outputs.argmax(axis=1)
        two = np.sort(outputs, axis=1)[:, -2:]
        is_clear = two[:, -1] - two[:, 0] > 2 * errors.max(axis=1) if outputs.shape[1] > 1 else np.ones(len(outputs), bool)
    return bool((np.asarray(labels) == network.classes[numbers])[is_clear].all())
