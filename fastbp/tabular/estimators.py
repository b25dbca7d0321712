"""BPTabularClassifier and BPTabularRegressor: their targets, and predictions from the outputs of networks."""

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_matrix
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from fastbp.estimators import BPClassifier, BPRegressor, parameters
from fastbp.estimators.calibration import fitted_temperature, probabilities
from fastbp.estimators.class_columns import columns_as_array, stacked
from fastbp.estimators.inputs import of_one_fit
from fastbp.estimators.plain_table import PlainTable
from fastbp.estimators.regressor import mean_pinball_score
from fastbp.estimators.targets import check_range, repeated
from fastbp.names import LOSSES
from fastbp.tabular.base import BaseTabular
from fastbp.tabular.conformal import check_coverage, class_sets, intervals_of_targets
from fastbp.tabular.docs import documented_table
from fastbp.tabular.exported import plain_table
from fastbp.tabular.monitor import Monitor
from fastbp.tabular.recipe import CLASSES, NUMBERS, Preset
from fastbp.tabular.rows import rows_of, weighted_by_class
from fastbp.tabular.targets import (
    COLUMNS,
    LABELS,
    ONE,
    SMALLEST_PROBABILITY,
    Targets,
    checked_numbers,
    codes_among,
    deviations,
    network_classes,
    network_numbers,
    read_classes,
    smoothed,
    unit_of,
    unsmoothed_logits,
)

LOSS_PARAMETERS = tuple(sorted({loss.parameter for loss in LOSSES.values() if loss.is_regression and loss.parameter}))


@documented_table(
    "class_max_iter",
    network="BPClassifier",
    and_stratifies=" and stratifies",
    and_of_networks="; none for a single class",
    oof_shape="(n_samples, n_classes), or list of these",
    oof_content="probabilities",
    score="accuracy",
    and_longer="",
)
class BPTabularClassifier(ClassifierMixin, BaseTabular):
    r"""Classifier for tables as they are: numbers, categories, text, booleans, dates and missing values.

    You need not scale, encode or tune anything. `TableEncoder` turns the table into numbers. The network is a `BPClassifier` with
    a periodic embedding, a scale layer and three hidden layers of 64 units. It is trained by the recipe in docs/tabular.md, which
    follows RealMLP [1]_, on all rows and without early stopping.

    Parameters
    ----------
    {table_parameters}
    class_weight : dict, list of dict, 'balanced' or None, default=None
        Weights of the classes, as in scikit-learn; with several columns or labels, a dict for each.
    calibrate : bool or None, default=None
        Whether to calibrate the probabilities: their logarithms are divided by the number, `temperature_`, that is best for rows
        outside of training [2]_. With `cv` these are the held-out rows. Otherwise an extra network (up to three if there are
        several networks) is trained on four fifths of the rows and tried on the others; not with fewer than 50 rows, or if
        `max_time` leaves no time for it. None calibrates with `cv`, and with all presets except 'fast'.
    {table_run_parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,), or list of these
        Class labels; for several columns a list of these; for multilabel targets the indices of the labels. A class without rows
        of weight above 0 has the probability 0.
    temperature_ : float, or ndarray of shape (n_columns,)
        Divides the logarithms of the probabilities, for each column or label; 1 without calibration.
    {table_attributes}

    See Also
    --------
    BPTabularRegressor : The same for regression.
    BPClassifier : A single network for arrays of numbers.

    Notes
    -----
    Sparse input raises an error. There is no `partial_fit`, because the schedules need the number of epochs beforehand.

    References
    ----------
    {table_references}
    .. [2] Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017.
    .. [3] Romano, Sesia and Candès, "Classification with valid and adaptive coverage", NeurIPS 2020.
    .. [4] Sadinle, Lei and Wasserman, "Least ambiguous set-valued classifiers with bounded error levels", JASA 2019.

    Examples
    --------
    >>> import pandas as pd
    >>> from fastbp import BPTabularClassifier
    >>> table = pd.DataFrame({"weight": [1.0, 1.2, None, 8.0, 9.1, 7.5], "colour": ["red", "red", "green", "blue", None, "blue"]})
    >>> fruit = ["cherry", "cherry", "grape", "plum", "plum", "plum"]
    >>> BPTabularClassifier(random_state=0).fit(table, fruit).predict(table[:2])
    array(['cherry', 'cherry'], dtype='<U6')
    """

    _task = CLASSES
    _kind, _is_sparse = ONE, False
    _counting: Any = None  # indices of the classes that have rows of weight above 0, for each column
    temperature_: Any = 1.0

    def __init__(
        self,
        preset: str = "default",
        *,
        n_ensemble: int | None = None,
        cv: Any = None,
        max_iter: int | None = None,
        max_time: float | None = None,
        network_params: dict[str, Any] | None = None,
        class_weight: Any = None,
        calibrate: bool | None = None,
        scoring: Any = None,
        verbose: bool | int = False,
        random_state: int | np.random.RandomState | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.preset = preset
        self.n_ensemble = n_ensemble
        self.cv = cv
        self.max_iter = max_iter
        self.max_time = max_time
        self.network_params = network_params
        self.scoring = scoring
        self.verbose = verbose
        self.random_state = random_state
        self.n_threads = n_threads
        self.class_weight = class_weight
        self.calibrate = calibrate

    def _learn(self, table: Any, y: Any, sample_weight: Any, validation: tuple[Any, Any, Any], monitor: Monitor) -> None:
        given = read_classes(y)
        labels = given.labels
        check_consistent_length(table, labels)
        rows = rows_of(sample_weight, len(labels), np.float32)
        if self.class_weight is not None:
            rows = weighted_by_class(rows, self.class_weight, labels)
        self.classes_, self._kind, self._is_sparse = given.shown(), given.kind, given.is_sparse
        found = [np.unique(codes[rows.row_indices], return_inverse=True) for codes in given.codes.T]
        counting: list[Any] = [np.arange(2) if given.kind == LABELS else places for places, _ in found]
        self._counting = counting[0] if given.kind == ONE else counting
        X = self._encode(table, rows)
        self.networks_, self.n_iter_, self.temperature_ = [], 1, 1.0
        if given.kind == ONE and len(counting[0]) == 1:
            if self.cv is not None:
                self.oof_prediction_, self.oof_score_ = self._finished(np.ones((len(labels), 1))), 1.0
            return
        smoothing = (self.network_params or {}).get("label_smoothing", self._task.of_outputs["label_smoothing"])

        def targets_of(codes: Any) -> Targets:
            return network_classes(given.kind, codes, list(map(len, counting)), X.dtype, smoothing)

        def of_validation(y_val: Any) -> tuple[np.ndarray, Any]:
            more = read_classes(y_val, given.kind)
            return targets_of(codes_among(more, given, counting)).Y, more.labels

        codes = given.codes[rows.row_indices] if given.kind == LABELS else np.column_stack([codes for _, codes in found])
        monitor.validation = self._validation_rows(validation, of_validation)
        strata = given.codes[:, 0] if given.kind == ONE else labels
        self._train(table, labels, strata, rows, X, targets_of(codes), monitor)

    @of_one_fit
    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class, the mean over the networks.

        Parameters
        ----------
        X : table or array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes), or list of these
            Columns in the order of `classes_`. Before calibration, the smallest is about 0.002, or 0 for a class without weight.
            A list has an array for each column of classes; for multilabel targets, rows do not sum to 1.
        """
        check_is_fitted(self)
        return self._finished(self._outputs(X))

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : table or array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes), or list of these
            ``log(predict_proba(X))``.
        """
        likely = self.predict_proba(X)
        return [np.log(part) for part in likely] if isinstance(likely, list) else np.log(likely)

    @of_one_fit
    def predict(self, X: Any) -> Any:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : table or array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_columns)
            Labels; for multilabel targets a 0/1 matrix, which is sparse if y was sparse in `fit`.
        """
        likely = self.predict_proba(X)
        if self._kind == LABELS:
            labels = (likely > 0.5).astype(int)
            return csr_matrix(labels) if self._is_sparse else labels
        if self._kind == COLUMNS:
            return stacked([classes[part.argmax(axis=1)] for classes, part in zip(self.classes_, likely, strict=True)])
        largest = likely.argmax(axis=1)
        return self.classes_[largest]

    @of_one_fit
    def predict_set(self, X: Any, coverage: float = 0.9, *, method: str = "cv", allow_empty: bool = True) -> Any:
        """Return a set of classes for each row, which contains the true class for a share `coverage` of new rows on average.

        Needs held-out rows: a fit with `cv`, or with the preset 'ensemble'. A class is left out of the set if its probability is
        below the probability of the true class for most held-out rows (Sadinle et al. 2019). With several columns or labels, the
        coverage is for each of them.

        Parameters
        ----------
        X : table or array-like of shape (n_samples, n_features)
            Rows.
        coverage : float, default=0.9
            Share of rows whose set contains the true class, above 0 and below 1.
        method : {'cv', 'cv+'}, default='cv'
            'cv' takes the mean of all networks, and covers about `coverage` of the rows. 'cv+' compares the new row with each row
            of training, by the networks that have not seen that row (Romano et al. 2020). With n rows of training it covers at
            least ``2 * coverage - 1 - sqrt(2 / n)``, however bad the networks are, and in practice more than `coverage`.
        allow_empty : bool, default=True
            Whether a set may be empty. This is needed if the most probable class alone is right more often than `coverage`. False
            adds that class to empty sets, which can cover more rows than `coverage`.

        Returns
        -------
        sets : ndarray of bool, of shape (n_samples, n_classes), or list of these
            Whether a class, in the order of `classes_`, is in the set of a row. A list has an array for each column of classes,
            or for each label, whose classes are 0 and 1.

        Raises
        ------
        ValueError
            The fit had no held-out rows, or too few for such a `coverage`.
        """
        coverage = check_coverage(coverage)
        if self.__dict__.get("networks_") == []:
            n_rows = len(self.encoder_._encoded(X))
            return np.tile(np.isin(np.arange(len(self.classes_)), self._places()[0]), (n_rows, 1))
        outputs, kept = self._compared_with(X, "predict_set", method)
        sizes = [2] * len(self.classes_) if self._kind == LABELS else list(map(len, self._columns_of(self.classes_)))
        sets = []
        for column, (counting, n_classes) in enumerate(zip(self._places(), sizes, strict=True)):
            likely = np.array([self._distributions(of_group)[column] for of_group in outputs])
            is_in = class_sets(likely, kept["scores"][:, column], kept["group_of"], kept["weights"], coverage)
            if not allow_empty:
                is_in[np.arange(len(is_in)), likely.mean(axis=0).argmax(axis=1)] |= ~is_in.any(axis=1)
            spread = np.zeros((len(is_in), n_classes), dtype=bool)
            spread[:, counting] = is_in
            sets.append(spread)
        return sets[0] if self._kind == ONE else sets

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy: the share of rows with all labels right.

        Parameters
        ----------
        X : table or array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_columns)
            True labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; None is 1.

        Returns
        -------
        score : float
            Between 0 and 1.
        """
        if getattr(self, "_kind", ONE) != COLUMNS:
            return super().score(X, columns_as_array(y), sample_weight)
        is_right = (self.predict(X) == read_classes(y, COLUMNS).labels).all(axis=1)
        return float(np.average(is_right, weights=None if sample_weight is None else np.asarray(sample_weight)))

    def _network(self, options: dict[str, Any]) -> Any:
        if self._kind == LABELS and options["output_activation"] == "softmax":
            options = options | {"output_activation": "auto"}
        return BPClassifier(**options)

    def _outputs(self, X: Any) -> np.ndarray:
        if self.networks_:
            return super()._outputs(X)
        return np.ones((len(self.encoder_._encoded(X)), 1))

    def _check(self) -> Preset:
        if self.calibrate is not None:
            parameters.check_parameter("calibrate", self.calibrate, parameters.FLAG, self)
        return super()._check()

    def _calibrates(self, preset: Preset) -> bool:
        return preset.calibrate or self.cv is not None if self.calibrate is None else bool(self.calibrate)

    def _calibrate(self, Y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> None:
        each = zip(self._distributions(outputs), self._codes(Y).T, strict=True)
        found = [fitted_temperature(self._logits(part), codes[:, np.newaxis], weights, True) for part, codes in each]
        self.temperature_ = found[0] if self._kind == ONE else np.array(found)

    def _codes(self, Y: np.ndarray) -> np.ndarray:
        """Return the true classes as indices of the classes that have rows, (n_rows, n_columns)."""
        if self._kind == COLUMNS:
            return np.column_stack([part.argmax(axis=1) for part in self._distributions(Y)])
        return Y.astype(np.intp)

    def _places(self) -> list[np.ndarray]:
        """Return, for each column, the indices of the classes that have rows; models of an earlier version have all."""
        if self._counting is None:
            return [np.arange(len(classes)) for classes in self._columns_of(self.classes_)]
        return self._columns_of(self._counting)

    def _columns_of(self, values: Any) -> list[Any]:
        """Return a list of values for each column of classes."""
        return [values] if self._kind == ONE else list(values)

    def _distributions(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Return probabilities, (n_rows, n_classes), for each column of classes, or for each label as two classes."""
        if self._kind == LABELS:
            return [np.column_stack([1 - output, output]) for output in outputs.T]
        if self._kind == COLUMNS:
            return np.split(outputs, np.cumsum(list(map(len, self._places())))[:-1], axis=1)
        return [outputs]

    def _compared(self, Y: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        each = zip(self._distributions(outputs), self._codes(Y).T, strict=True)
        return {"scores": -np.column_stack([part[np.arange(len(part)), codes] for part, codes in each])}

    def _finished(self, outputs: np.ndarray) -> Any:
        temperatures = np.broadcast_to(self.temperature_, len(self._places())).tolist()
        found = self._distributions(outputs)
        if self.networks_:
            found = [probabilities(self._logits(part), T, True) for part, T in zip(found, temperatures, strict=True)]
        if self._kind == LABELS:
            return np.column_stack([likely[:, 1] for likely in found])
        for column, (counting, classes) in enumerate(zip(self._places(), self._columns_of(self.classes_), strict=True)):
            if len(counting) < len(classes):
                spread = np.zeros((len(outputs), len(classes)))  # classes without weight keep 0
                spread[:, counting] = found[column]
                found[column] = spread
        return found[0] if self._kind == ONE else found

    def _targets_of_outputs(self, Y: np.ndarray) -> np.ndarray:
        if self._kind == COLUMNS:
            return Y
        smoothing = self.networks_[0].label_smoothing
        return smoothed(Y if self._kind == LABELS else np.arange(len(self._places()[0])) == Y, smoothing, self._kind)

    def _logits(self, outputs: np.ndarray) -> np.ndarray:
        """Return logarithms of probabilities, (n_rows, n_classes), up to a constant per row."""
        return unsmoothed_logits(outputs, self.networks_[0].label_smoothing)

    def _plain_table(self) -> PlainTable:
        """Return the estimator as plain data for exports."""
        check_is_fitted(self)
        kinds = {ONE: "one", COLUMNS: "columns", LABELS: "labels"}
        columns = self._places()
        return plain_table(
            self,
            kinds[self._kind],
            sizes=list(map(len, columns)),
            classes=[np.arange(2)] * len(columns) if self._kind == LABELS else self._columns_of(self.classes_),
            counting=columns,
            temperatures=np.broadcast_to(self.temperature_, len(columns)).tolist(),
            smoothing=float(self.networks_[0].label_smoothing) if self.networks_ else 0.0,
            least=SMALLEST_PROBABILITY,
        )

    def _score_of(self, y: np.ndarray, predicted: Any, weights: np.ndarray | None) -> float:
        codes = self._codes(y)
        if self._kind == LABELS:
            return float(accuracy_score(codes, predicted > 0.5, sample_weight=weights))
        each = zip(self._places(), codes.T, self._columns_of(predicted), strict=True)
        is_right = [counting[own] == part.argmax(axis=1) for counting, own, part in each]
        return float(np.average(np.all(is_right, axis=0), weights=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = tags.target_tags.multi_output = True
        return tags


@documented_table(
    "max_iter",
    network="BPRegressor",
    and_stratifies="",
    and_of_networks=" and standardised targets",
    oof_shape="(n_samples,) or (n_samples, n_outputs)",
    oof_content="predictions",
    score="R²",
    and_longer=""". With 50
    to about 6000 rows, all presets except 'fast' first train a network on four fifths of the rows. If it explains less than 75 %
    of the variance of the others, the fit has 32 epochs (with at least 700 rows); if more than 90 %, it has up to 256, if these
    explain more still. With more than 100,000 rows, 8 epochs are tried, and the fit has 8 if they explain less than 75 %""",
)
class BPTabularRegressor(RegressorMixin, BaseTabular):
    r"""Regressor for tables as they are: numbers, categories, text, booleans, dates and missing values.

    You need not scale, encode or tune anything. `TableEncoder` turns the table into numbers. Targets are scaled by their mean and
    standard deviation for the squared error and 'gaussian_nll', and by median and quartiles for other losses of any target; for
    losses of positive targets they are divided by their mean. Predictions stay within the range of the training targets. The
    network is a `BPRegressor` with a periodic embedding, a scale layer and three hidden layers of 64 units. It is trained by the
    recipe in docs/tabular.md, which follows RealMLP [1]_.

    Parameters
    ----------
    {table_parameters}
    loss : {losses}, default='squared_error'
        The loss that is minimised: {about_losses}.
    delta : float, default=1.0
        For the loss 'huber': the error above which the loss is linear, in units of (q75 - q25) / 1.349 of the targets.
    quantile : float or sequence of float, default=0.5
        For the loss 'quantile': the quantile of the target to predict, within (0, 1). An increasing sequence predicts several
        quantiles of one target, a column for each.
    power : float, default=1.5
        For the loss 'tweedie', within (1, 2): the variance of the target grows as this power of its mean.
    {table_run_parameters}

    Attributes
    ----------
    {table_attributes}

    See Also
    --------
    BPTabularClassifier : The same for classification.
    BPRegressor : A single network for arrays of numbers.

    Notes
    -----
    Sparse input raises an error. There is no `partial_fit`, because the schedules need the number of epochs beforehand.

    References
    ----------
    {table_references}
    .. [2] Barber, Candès, Ramdas and Tibshirani, "Predictive inference with the jackknife+", Annals of Statistics 2021.
    .. [3] Romano, Patterson and Candès, "Conformalized quantile regression", NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import BPTabularRegressor
    >>> X = np.random.RandomState(0).uniform(-3, 3, (400, 2))
    >>> model = BPTabularRegressor(random_state=0).fit(X, 1000 * np.sin(X[:, 0]))
    >>> model.score(X, 1000 * np.sin(X[:, 0])) > 0.95
    True
    """

    _task = NUMBERS
    _levels: list[float] | None = None
    _has_spread = False
    _lowest = -np.inf

    def __init__(
        self,
        preset: str = "default",
        *,
        loss: str = "squared_error",
        n_ensemble: int | None = None,
        cv: Any = None,
        max_iter: int | None = None,
        max_time: float | None = None,
        network_params: dict[str, Any] | None = None,
        delta: float = 1.0,
        quantile: Any = 0.5,
        power: float = 1.5,
        scoring: Any = None,
        verbose: bool | int = False,
        random_state: int | np.random.RandomState | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.preset = preset
        self.n_ensemble = n_ensemble
        self.cv = cv
        self.max_iter = max_iter
        self.max_time = max_time
        self.network_params = network_params
        self.scoring = scoring
        self.verbose = verbose
        self.random_state = random_state
        self.n_threads = n_threads
        self.loss = loss
        self.delta = delta
        self.quantile = quantile
        self.power = power

    def _learn(self, table: Any, y: Any, sample_weight: Any, validation: tuple[Any, Any, Any], monitor: Monitor) -> None:
        y = checked_numbers(y)
        check_consistent_length(table, y)
        rows = rows_of(sample_weight, len(y), np.float32)
        self._is_single = y.ndim == 1
        Y = y.reshape(len(y), -1)[rows.row_indices]
        loss = LOSSES[self.loss]
        Z, (self._mean, self._spread) = unit_of(Y, rows.weights, self.loss)
        self._low, self._high = Y.min(axis=0), Y.max(axis=0)
        self._lowest, self._levels, self._has_spread = loss.lowest_target, self._trained_levels(), loss.has_spread
        X = self._encode(table, rows)

        def targets_of(standard: np.ndarray) -> Targets:
            n_outputs = standard.shape[1] * (2 if loss.has_spread else 1)
            targets = Targets(network_numbers(standard, self.loss, X.dtype), n_outputs, self.loss)
            return targets if self._levels is None else repeated(targets, len(self._levels))

        def of_validation(y_val: Any) -> tuple[np.ndarray, Any]:
            more = checked_numbers(y_val)
            columns = more.reshape(len(more), -1)
            if columns.shape[1] != Y.shape[1]:
                raise ValueError(f"y_val has {columns.shape[1]} targets, but y has {Y.shape[1]}.")
            check_range(columns, self.loss)
            return targets_of((columns - self._mean) / self._spread).Y, more

        monitor.validation = self._validation_rows(validation, of_validation)
        self._train(table, y, y, rows, X, targets_of(Z), monitor)

    @overload
    def predict(self, X: Any, return_std: Literal[False] = False) -> np.ndarray: ...

    @overload
    def predict(self, X: Any, return_std: Literal[True]) -> tuple[np.ndarray, np.ndarray]: ...

    @of_one_fit
    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return the mean of the networks' predictions, within the range of the training targets.

        Parameters
        ----------
        X : table or array-like of shape (n_samples, n_features)
            Rows.
        return_std : bool, default=False
            Also return the standard deviations of the targets; needs ``loss="gaussian_nll"``.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions, float64; with several quantiles, a column for each, in increasing order.
        std : ndarray of the same shape
            With `return_std`: the standard deviations of the targets, by the mixture of the networks. For intervals with a known
            coverage, use `predict_interval`.

        Raises
        ------
        ValueError
            `return_std` is True, but the networks were fitted with another loss.
        """
        check_is_fitted(self)
        if return_std and not self._has_spread:
            raise ValueError('return_std=True needs a fit with loss="gaussian_nll", which learns standard deviations.')
        outputs = self._outputs(X)
        if not return_std:
            return self._finished(outputs)
        std = deviations(outputs) * self._spread
        return self._finished(outputs), std[:, 0] if self._is_single else std

    @of_one_fit
    def predict_interval(self, X: Any, coverage: float = 0.9, *, method: str = "cv") -> np.ndarray:
        """Return an interval for each row, which contains the true target for a share `coverage` of new rows on average.

        Needs held-out rows: a fit with `cv`, or with the preset 'ensemble'. Their errors decide the width. With several levels of
        `quantile`, the two levels nearest to the ends of the interval are widened or narrowed (Romano et al. 2019), so that each
        row has its own width; with ``loss="gaussian_nll"`` the width is in proportion to the standard deviations. With few
        networks that differ much, the mean is better than each was on its fold, and more rows than `coverage` are covered:
        `n_ensemble` of 4 or more, or the preset 'best', helps.

        Parameters
        ----------
        X : table or array-like of shape (n_samples, n_features)
            Rows.
        coverage : float, default=0.9
            Share of rows whose interval contains the target, above 0 and below 1.
        method : {'cv', 'cv+'}, default='cv'
            'cv' takes the mean of all networks, and covers about `coverage` of the rows. 'cv+' compares the new row with each row
            of training, by the networks that have not seen that row (Barber et al. 2021). With n rows of training it covers at
            least ``2 * coverage - 1 - sqrt(2 / n)``, however bad the networks are, and in practice more than `coverage`.

        Returns
        -------
        intervals : ndarray of shape (n_samples, 2), or (n_samples, n_outputs, 2) for several targets
            Lower and upper ends, in the units of the target.

        Raises
        ------
        ValueError
            The fit had no held-out rows, or too few for such a `coverage`.
        """
        coverage = check_coverage(coverage)
        outputs, kept = self._compared_with(X, "predict_interval", method)
        said = np.array([self._in_units(of_group) for of_group in outputs])
        units = np.array([deviations(of_group) * self._spread for of_group in outputs]) if self._has_spread else None
        together = np.maximum(intervals_of_targets(said, units, kept, self._levels, coverage), self._lowest)
        return together[:, 0] if self._is_single else together

    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return R² of the predictions, or the mean D² of several quantiles.

        Parameters
        ----------
        X : table or array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; None is 1.

        Returns
        -------
        score : float
            ``sklearn.metrics.r2_score``; for several quantiles the mean of ``sklearn.metrics.d2_pinball_score``, the share of
            the best constant's pinball loss that is saved.
        """
        if getattr(self, "_levels", None) is None:
            return super().score(X, y, sample_weight)
        return mean_pinball_score(y, self.predict(X), self._levels, sample_weight)

    def _check(self) -> Preset:
        rules = BPRegressor._rules
        for name in ("loss", *LOSS_PARAMETERS):
            parameters.check_parameter(name, getattr(self, name), rules[name], self)
        return super()._check()

    def _trained_levels(self) -> list[float] | None:
        """Return the levels of several quantiles; None if there is one output for each target."""
        is_several = LOSSES[self.loss].parameter == "quantile" and parameters.is_sequence(self.quantile)
        return list(map(float, self.quantile)) if is_several else None

    def _network(self, options: dict[str, Any]) -> Any:
        return BPRegressor(loss=self.loss, **{name: getattr(self, name) for name in LOSS_PARAMETERS}, **options)

    def _in_units(self, outputs: np.ndarray) -> np.ndarray:
        """Return predictions in the units of y, (n_rows, n_outputs), with several quantiles in order."""
        if self._has_spread:
            outputs = outputs[:, : len(self._mean)]
        if self._levels is not None:
            outputs = np.sort(outputs, axis=1)
        with np.errstate(over="ignore"):  # the range of the targets limits the result
            return np.clip(outputs * self._spread + self._mean, self._low, self._high)

    def _finished(self, outputs: np.ndarray) -> np.ndarray:
        predicted = self._in_units(outputs)
        return predicted[:, 0] if self._is_single and predicted.shape[1] == 1 else predicted

    def _truth(self, Y: np.ndarray) -> np.ndarray:
        """Return the networks' targets in the units of y, (n_rows, n_targets)."""
        return (Y if self._levels is None else Y[:, :1]) * self._spread + self._mean

    def _compared(self, Y: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        compared = {"truth": self._truth(Y), "predicted": self._in_units(outputs)}
        return compared | ({"deviations": deviations(outputs) * self._spread} if self._has_spread else {})

    def _plain_table(self) -> PlainTable:
        """Return the estimator as plain data for exports."""
        check_is_fitted(self)
        ends = {"mean": self._mean, "spread": self._spread, "low": self._low, "high": self._high}
        return plain_table(self, "numbers", is_sorted=self._levels is not None, has_deviations=self._has_spread, **ends)

    def _score_of(self, y: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> float:
        truth = self._truth(y)
        if self._levels is not None:
            return mean_pinball_score(truth[:, 0], predicted, self._levels, weights)
        return float(r2_score(truth, predicted.reshape(truth.shape), sample_weight=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
