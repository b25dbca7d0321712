"""BPTabularClassifier and BPTabularRegressor: the recipe for tables, several networks, and what their outputs mean."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from fastbp.estimators import BPClassifier, BPRegressor, parameters
from fastbp.estimators.calibration import fitted_temperature, probabilities
from fastbp.estimators.inputs import read_by, refuse_dates
from fastbp.tabular.base import BaseTabular
from fastbp.tabular.docs import documented_table
from fastbp.tabular.recipe import CLASSES, NUMBERS, Preset
from fastbp.tabular.rows import rows_of

SMALLEST_PROBABILITY = 0.002  # few tables are as sure as a network that has learnt their rows by heart


@documented_table(
    "class_max_iter",
    network="BPClassifier",
    and_stratifies=" and stratifies",
    and_of_networks="; none for a single class",
    oof_shape="(n_samples, n_classes)",
    oof_content="probabilities",
    score="accuracy",
    and_longer="",
)
class BPTabularClassifier(ClassifierMixin, BaseTabular):
    r"""Networks for classes, for tables as they are: numbers, categories, texts, booleans, dates and missing values.

    Nothing needs to be scaled, encoded or tuned. `TableEncoder` turns the table into numbers; the network is `BPClassifier` with
    a periodic embedding, a scale layer, three hidden layers of 64 and the training that docs/tabular.md tells, after RealMLP
    [1]_. All rows are trained on, for all epochs.

    Parameters
    ----------
    {table_parameters}
    class_weight : dict, 'balanced' or None, default=None
        Weights of the classes, as in scikit-learn.
    calibrate : bool or None, default=None
        Divide the logarithms of the probabilities by the one number, `temperature_`, that suits rows which training has not
        seen [2]_: with `cv` those held out, else a fifth of the rows, by another network, up to three for several, trained on
        the others. Not without `cv` where there are fewer than 50 rows or `max_time` allows for no network more. None: with
        `cv`, 'default' and 'best'.
    {table_run_parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; one all of whose rows have weight 0 has the probability 0.
    temperature_ : float
        What the logarithms of probabilities are divided by; 1 without calibration.
    {table_attributes}

    See Also
    --------
    BPTabularRegressor : The same for numbers.
    BPClassifier : One network for rows of numbers.

    Notes
    -----
    Sparse input raises an error, as do multilabel targets. There is no `partial_fit`: the schedules need to know the end.

    References
    ----------
    {table_references}
    .. [2] Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017.

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
    temperature_ = 1.0

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
        random_state: int | np.random.RandomState | None = None,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(
            preset,
            n_ensemble=n_ensemble,
            cv=cv,
            max_iter=max_iter,
            max_time=max_time,
            network_params=network_params,
            random_state=random_state,
            n_threads=n_threads,
        )
        self.class_weight = class_weight
        self.calibrate = calibrate

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | float | None = None) -> Self:
        """Train the networks.

        Parameters
        ----------
        X : table or array-like of shape (n_samples, n_features)
            A frame of pandas, polars or Dask, a LazyFrame, which is collected, a Table of pyarrow, an array or a list of rows.
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in the loss and in all that is learnt of the table; rows of weight 0 are left out. None is 1.

        Returns
        -------
        self : BPTabularClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            Parameters or data are not valid, or sample weights negative or all 0.
        """
        return self._fit(X, y, sample_weight)

    def _learn(self, table: Any, y: Any, sample_weight: Any) -> None:
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        check_consistent_length(table, y)
        rows = rows_of(sample_weight, len(y), np.float32)
        if self.class_weight is not None:
            counting = rows.numbers if isinstance(self.class_weight, str) and not rows.are_all else None
            of_class = compute_sample_weight(self.class_weight, y, indices=counting).astype(np.float32)
            rows = rows_of(of_class * rows.spread_out(1 if rows.weights is None else rows.weights), len(y), np.float32)
        self.classes_, labels = np.unique(y, return_inverse=True)
        self._counting, codes = np.unique(labels[rows.numbers], return_inverse=True)
        X = self._encode(table, rows)
        self.networks_, self.n_iter_, self.temperature_ = [], 1, 1.0
        n_classes = len(self._counting)
        if n_classes > 1:
            self._train(table, labels, rows, X, codes[:, np.newaxis].astype(X.dtype), n_classes, "log_loss")
        elif self.cv is not None:
            self.oof_prediction_, self.oof_score_ = self._finished(np.ones((len(y), 1))), 1.0

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, the mean over the networks.

        Parameters
        ----------
        X : table or array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`; none is below about 0.002 before calibration, but that of a class without weight.
        """
        check_is_fitted(self)
        if not self.networks_:
            return self._finished(np.ones((len(self.encoder_._encoded(X)), 1)))
        return self._finished(self._averaged(self._inputs(X)))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : table or array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            ``log(predict_proba(X))``.
        """
        return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : table or array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels.
        """
        largest = self.predict_proba(X).argmax(axis=1)
        return self.classes_[largest]

    def _network(self, options: dict[str, Any]) -> Any:
        return BPClassifier(**options)

    def _check(self) -> Preset:
        if self.calibrate is not None:
            parameters.check_parameter("calibrate", self.calibrate, parameters.FLAG, self)
        return super()._check()

    def _calibrates(self, preset: Preset) -> bool:
        return preset.calibrate or self.cv is not None if self.calibrate is None else bool(self.calibrate)

    def _calibrate(self, Y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> None:
        self.temperature_ = fitted_temperature(self._logits(outputs), Y, weights, True)

    def _of_networks(self, n_outputs: int) -> dict[str, Any]:
        return {"classes_": np.arange(n_outputs)}

    def _finished(self, outputs: np.ndarray) -> np.ndarray:
        likely = probabilities(self._logits(outputs), self.temperature_, True) if self.networks_ else outputs
        if likely.shape[1] == len(self.classes_):
            return likely
        spread = np.zeros((len(likely), len(self.classes_)))  # a class all of whose rows have weight 0 is not expected
        spread[:, self._counting] = likely
        return spread

    def _targets_of_outputs(self, Y: np.ndarray) -> np.ndarray:
        n_classes, smoothing = len(self._counting), self.networks_[0].label_smoothing
        return (1 - smoothing) * (np.arange(n_classes) == Y) + smoothing / n_classes

    def _logits(self, outputs: np.ndarray) -> np.ndarray:
        """Return the logarithms of what the networks mean, (n_rows, n_classes), but for a constant per row."""
        # A network that is right about p has learnt q = (1 - ε) p + ε / k from smoothed labels: p is got back from q. What it
        # is surer of than any smoothed label would be negative, and log-loss knows no mercy for 0: hence the clipping.
        smoothing, n_classes = self.networks_[0].label_smoothing, outputs.shape[1]
        likely = (outputs - smoothing / n_classes) / (1 - smoothing)
        return np.log(np.clip(likely, min(SMALLEST_PROBABILITY, 0.5 / n_classes), 1))

    def _score_of(self, y: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> float:
        return float(accuracy_score(self._counting[y[:, 0].astype(np.intp)], predicted.argmax(axis=1), sample_weight=weights))


@documented_table(
    "max_iter",
    network="BPRegressor",
    and_stratifies="",
    and_of_networks=" and standardised targets",
    oof_shape="(n_samples,) or (n_samples, n_outputs)",
    oof_content="predictions",
    score="R²",
    and_longer=""". 'default' and
    'best' first train a network on four fifths of the rows, of 50 to some 6000: if it explains less than 75 % of the variance of
    the others, 32 epochs are enough, of at least 700 rows; if more than 90 %, up to 256 are taken if they explain more still.
    Of more than 100,000 rows 8 epochs are tried, and are enough if they explain less than 75 %""",
)
class BPTabularRegressor(RegressorMixin, BaseTabular):
    r"""Networks for numbers, for tables as they are: numbers, categories, texts, booleans, dates and missing values.

    Nothing needs to be scaled, encoded or tuned. `TableEncoder` turns the table into numbers; targets are standardised, and
    predictions stay within the range of the targets seen in training. The network is `BPRegressor` with a periodic embedding, a
    scale layer, three hidden layers of 64 and the training that docs/tabular.md tells, after RealMLP [1]_.

    Parameters
    ----------
    {table_parameters}
    {table_run_parameters}

    Attributes
    ----------
    {table_attributes}

    See Also
    --------
    BPTabularClassifier : The same for classes.
    BPRegressor : One network for rows of numbers.

    Notes
    -----
    Sparse input raises an error. There is no `partial_fit`: the schedules need to know the end.

    References
    ----------
    {table_references}

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

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | float | None = None) -> Self:
        """Train the networks.

        Parameters
        ----------
        X : table or array-like of shape (n_samples, n_features)
            A frame of pandas, polars or Dask, a LazyFrame, which is collected, a Table of pyarrow, an array or a list of rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in the loss and in all that is learnt of the table; rows of weight 0 are left out. None is 1.

        Returns
        -------
        self : BPTabularRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            Parameters or data are not valid, or sample weights negative or all 0.
        """
        return self._fit(X, y, sample_weight)

    def _learn(self, table: Any, y: Any, sample_weight: Any) -> None:
        y = _checked_numbers(y)
        check_consistent_length(table, y)
        rows = rows_of(sample_weight, len(y), np.float32)
        self._is_single = y.ndim == 1
        Y = y.reshape(len(y), -1)[rows.numbers]
        self._low, self._high = Y.min(axis=0), Y.max(axis=0)
        unit = 2.0 ** (np.frexp(np.abs(Y).max(axis=0))[1] - 1)  # so that no square leaves the range of float64
        Z = Y / unit
        mean = np.average(Z, axis=0, weights=rows.weights)
        spread = np.sqrt(np.average((Z - mean) ** 2, axis=0, weights=rows.weights))
        spread[~(spread > 0)] = 1.0
        self._mean, self._spread = mean * unit, spread * unit
        X = self._encode(table, rows)
        standard = ((Z - mean) / spread).astype(X.dtype)
        self._train(table, y, rows, X, standard, Y.shape[1], "squared_error")

    def predict(self, X: Any) -> np.ndarray:
        """Return the mean of the networks' predictions, within the range of the targets of training.

        Parameters
        ----------
        X : table or array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions, float64.
        """
        check_is_fitted(self)
        return self._finished(self._averaged(self._inputs(X)))

    def _network(self, options: dict[str, Any]) -> Any:
        return BPRegressor(**options)

    def _finished(self, outputs: np.ndarray) -> np.ndarray:
        predicted = np.clip(outputs * self._spread + self._mean, self._low, self._high)
        return predicted[:, 0] if self._is_single else predicted

    def _score_of(self, y: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None) -> float:
        truth = y * self._spread + self._mean
        return float(r2_score(truth, predicted.reshape(truth.shape), sample_weight=weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _checked_numbers(y: Any) -> np.ndarray:
    """Return targets as float64, (n_rows,) or (n_rows, n_outputs), or raise ValueError."""
    refuse_dates(np.asarray(y))
    checked = read_by(check_array, y, dtype=np.float64, ensure_2d=False, input_name="y")
    return column_or_1d(checked, warn=True) if checked.ndim == 2 and checked.shape[1] == 1 else checked
