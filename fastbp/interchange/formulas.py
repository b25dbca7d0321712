"""A fitted network as others need to know it, and the formulas of its activations in the languages that they are written in."""

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
    """Return what an activation makes of z in a language, see `written`."""
    of_x = ACTIVATIONS[name].formula
    assert of_x is not None
    return written(of_x, language, z)


class Category(NamedTuple):
    """A column of X that holds categories."""

    column: int
    values: np.ndarray  # numbers, in the order of the first weights' rows
    has_missing: bool  # whether a row for missing values follows


class Inputs(NamedTuple):
    """What the first layer sees of the columns of X: some as they are, then for each category of each of the others a 1 or 0, or
    for each of these columns the embedding of its category, zeros for none."""

    numbers: list[int]
    categories: list[Category]
    embeddings: list[np.ndarray]  # (n_categories, size) of each column; [] where categories have none

    @property
    def n_inputs(self) -> int:
        """Inputs of the first layer that `embeddings` make with the numbers."""
        return len(self.numbers) + sum(array.shape[1] for array in self.embeddings)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return what it sees of rows."""
        parts = [rows[:, self.numbers]]
        for k, (column, values, has_missing) in enumerate(self.categories):
            ones = rows[:, column, np.newaxis] == values
            ones = np.hstack([ones, np.isnan(rows[:, column, np.newaxis])]) if has_missing else ones
            parts.append(ones.astype(rows.dtype) @ self.embeddings[k] if self.embeddings else ones)
        return np.hstack(parts).astype(rows.dtype)


class Spread(NamedTuple):
    """From outputs z and s to means, location + unit·z, and standard deviations, unit·√(least + softplus(s))."""

    location: np.ndarray  # (n_targets,) float64, as the next
    unit: np.ndarray
    least: float


class Plain(NamedTuple):
    """A trained network as others need to know it."""

    coefs: list[np.ndarray]
    intercepts: list[np.ndarray]
    activations: list[str]  # of every layer, the output's too
    classes: np.ndarray | None  # None for numbers and for several labels
    is_classifier: bool
    inputs: Inputs | None  # None where the first layer reads X itself
    is_sorted: bool = False  # whether the outputs are put in order, row by row, as several quantiles are
    skip: np.ndarray | None = None  # weights of a linear function of the inputs that is added before the output activation
    spread: "Spread | None" = None  # what makes standard deviations of the second half of the outputs, behind the means

    @property
    def skips_to(self) -> int:
        """The layer of weights, counted from 1, before whose activation `skip` is added: the last, or that of a score."""
        return len(self.coefs) - (self.activations[-1] == "cumulative")

    @property
    def n_features(self) -> int:
        """Columns of X."""
        return len(self.coefs[0]) if self.inputs is None else len(self.inputs.numbers) + len(self.inputs.categories)

    @property
    def is_binary(self) -> bool:
        """Whether its one output is the probability of the second class."""
        return self.is_classifier and self.coefs[-1].shape[1] == 1


def plain(estimator: Any) -> Plain:
    """Return the network of a fitted estimator, or raise ValueError where that alone does not make its predictions."""
    if not isinstance(estimator, BPClassifier | BPRegressor):
        raise ValueError(f"estimator must be a BPClassifier or a BPRegressor, got {type(estimator).__name__}.")
    check_weights_alone(estimator, categories_too=True)
    coefs, intercepts, layer_sizes = parameters.check_weights(estimator.coefs_, estimator.intercepts_)
    hidden = hidden_activations(estimator.activation, estimator.out_activation_, len(layer_sizes) - 2, estimator)
    for name in (*hidden, estimator.out_activation_):
        if ACTIVATIONS[name].formula is None and name not in ACROSS_UNITS:
            raise ValueError(f"The activation {name!r} cannot be written for others yet.")
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
    """Return what stands between X and the first layer of an estimator."""
    if not hasattr(estimator, "categories_"):
        return None
    categories = []
    for column, values in zip(estimator.categorical_features_, estimator.categories_, strict=True):
        try:
            numbers = np.array([np.nan if value is None else value for value in values.tolist()], dtype=np.float64)
        except ValueError as error:
            raise ValueError(
                f"Column {column} holds categories that are texts ({error}), but what is exported reads numbers: fit with numbers"
                " in place of the texts, as OrdinalEncoder makes them."
            ) from error
        known = numbers[~np.isnan(numbers)]
        if len(np.unique(known)) < len(known):
            raise ValueError(
                f"Column {column} holds whole numbers as categories that float64 cannot tell apart, but what is exported reads"
                " float64: fit with smaller numbers in place of these, as OrdinalEncoder makes them."
            )
        categories.append(Category(column, known, len(known) < len(numbers)))
    numbers_at = [i for i in range(estimator.n_features_in_) if i not in estimator.categorical_features_]
    embeddings = category_embeddings(vars(estimator).get("front_"))
    if not all(np.isfinite(array).all() for array in embeddings):
        raise ValueError("Embeddings of categories are NaN or infinite.")
    return Inputs(numbers_at, categories, embeddings)


def categories_in(inputs: Inputs, dtype: Any) -> list[np.ndarray]:
    """Return the values of categories in the dtype of what is exported, which has to tell them apart."""
    found = [category.values.astype(dtype) for category in inputs.categories]
    for category, values in zip(inputs.categories, found, strict=True):
        if len(np.unique(values)) < len(values) or not np.isfinite(values).all():
            raise ValueError(f"{np.dtype(dtype)} cannot tell the categories in column {category.column} apart: take float64.")
    return found


def _check_nothing_is_overlooked(network: Plain, estimator: Any) -> None:
    """An option that is newer than this module may change what an estimator does with its network: compare hundreds of rows, in
    double precision and to rounding."""
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
    """Return rows for a network that starts with this layer: around where its units bend, in the scale of their weights, as data
    are that are not scaled; around zero; and far away."""
    n_features, random = len(W), np.random.RandomState(0)
    n = min(max(2**22 // n_features, 16), 512) // 8
    steepness = np.linalg.norm(W / max(np.abs(W).max(), 1e-300), axis=1) * np.abs(W).max()
    spread = 1 / np.where(steepness > 0, steepness, 1.0)
    centre = np.linalg.lstsq(W.T, -b, rcond=None)[0] if W.size <= 2**22 else np.zeros(n_features)
    around = [centre + scale * spread * random.normal(size=(n, n_features)) for scale in (0.3, 1.0, 3.0, 100.0)]
    about_zero = [scale * random.normal(size=(n, n_features)) for scale in (1e-3, 1.0, 1e3, 1e6)]
    return np.vstack([*around, *about_zero])


def _rows_with_categories(inputs: Inputs, W: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return such rows with categories, known ones and one that is not."""
    n_numbers, random = len(inputs.numbers), np.random.RandomState(1)
    numbers = _rows_for(W[:n_numbers], b) if n_numbers else np.empty((256, 0))
    rows = np.empty((len(numbers), n_numbers + len(inputs.categories)))
    rows[:, inputs.numbers] = numbers
    for column, values, _ in inputs.categories:
        rows[:, column] = random.choice([*values, np.nan, np.abs(values).max(initial=0.0) + 1.0], len(rows))
    return rows


def outputs_of(network: Plain, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the outputs for rows, as the formulas say, and how far off rounding may have brought them, or others' like them."""
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
            else:  # all others rise by less than twice what goes in
                errors = 2 * errors + unit * (1 + np.abs(values))
    if network.spread is not None:
        location, scale, least = network.spread
        (means, spreads), (of_means, of_spreads) = (np.split(part, 2, axis=1) for part in (values, errors))
        deviations = scale * np.sqrt(least + np.asarray(formula("softplus", NumPy(), spreads)))
        values = np.hstack([location + scale * means, deviations])  # deviations rise by at most half of what goes in
        errors = np.hstack([scale * of_means + unit * (np.abs(location) + scale * np.abs(means)), scale * of_spreads])
        errors = errors + unit * np.abs(values)
    if network.is_sorted:
        values, errors = np.sort(values, axis=1), np.broadcast_to(errors.max(axis=1, keepdims=True), errors.shape)
    return values, errors


def _has_labels(network: Plain, outputs: np.ndarray, errors: np.ndarray, labels: Any) -> bool:
    """Whether these are the labels of the outputs, wherever rounding does not decide."""
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
