"""BPClassifier: labels and probabilities."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_matrix, issparse
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.metaestimators import available_if

from fastbp.estimators.base import BaseBP, has_partial_fit
from fastbp.estimators.calibration import fitted_temperature, logits_of, probabilities
from fastbp.estimators.class_columns import columns_as_array, stacked
from fastbp.estimators.class_weights import class_tables, refuse_balanced
from fastbp.estimators.docs import documented
from fastbp.estimators.inputs import MatrixLike
from fastbp.estimators.missing import known_accuracy, without_missing
from fastbp.estimators.ordered import LOSS, OUTPUT, categories_of, in_order, positions
from fastbp.estimators.parameter_table import rules_of
from fastbp.estimators.targets import (
    Targets,
    all_labels,
    are_equal,
    class_loss,
    class_targets,
    column_labels,
    column_targets,
    discrete_labels,
)


def _has_others(labels: np.ndarray, known: np.ndarray) -> bool:
    """Whether some labels are not known. NumPy's set functions take 2 and "2" for equal, and cost more."""
    return not set(labels.tolist()).issubset(known.tolist())


@documented(score="Accuracy", score_name="accuracy")
class BPClassifier(ClassifierMixin, BaseBP):
    r"""Multi-layer perceptron classifier trained by back-propagation, with scikit-learn's interface and numbers.

    Parameters and defaults up to `max_fun` are those of scikit-learn's ``MLPClassifier``. With the same `random_state`, the
    model is the same up to rounding. The dtype of X, float32 or float64, is the dtype of all weights and results.

    Training minimises

    .. math:: E = \frac1S \sum_i s_i E_i + \frac{\alpha}{2S} \sum_l \lVert W^{(l)} \rVert^2

    where :math:`S` is the number of rows of a batch (or the sum of their weights :math:`s_i`), and :math:`E_i` is the log-loss of
    row i, summed over its outputs [1]_, or another `loss`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,) or list of ndarray
        Class labels; with several columns, a list with those of each; for multilabel targets, the indices of the labels.
    thresholds_ : ndarray of shape (n_classes - 1,)
        Only with `ordered`: the thresholds between one class and the next, on the scale of the score, which `hidden_activations`
        returns.
    temperature_ : float or None
        The temperature of `calibration`. Above 1, the network was overconfident.
    {attributes}

    See Also
    --------
    BPRegressor : The same network for real targets.

    {notes}

    Examples
    --------
    >>> from fastbp import BPClassifier
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], ["no", "yes", "yes", "no"]
    >>> classifier = BPClassifier((4,), "tanh", solver="lbfgs", random_state=1).fit(X, y)
    >>> classifier.predict(X)
    array(['no', 'yes', 'yes', 'no'], dtype='<U3')
    """

    _rules = rules_of("BPClassifier")
    _sparse_labels = False
    temperature_: float | None = None

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 0.0001,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool | str = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-08,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        init: Any = "glorot_uniform",
        init_scale: float = 1.0,
        fit_intercept: bool = True,
        output_activation: str = "auto",
        validation_split: str = "random",
        n_restarts: int = 1,
        n_threads: int | None = None,
        feature_importances: bool = False,
        weight_decay: float = 0.01,
        warmup_steps: int = 0,
        averaging: Any = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        max_norm: float | None = None,
        l1_ratio: float = 0.0,
        record_gradient_norms: bool = False,
        dropout: Any = 0.0,
        max_time: float | None = None,
        embedding: str | None = None,
        embedded_features: Any = "all",
        frequency_init_scale: float = 0.1,
        scale_layer: bool = False,
        rate_factors: Any = None,
        scoring: Any = None,
        refit: bool = False,
        ensemble: bool = False,
        input_scaling: str | None = None,
        missing_targets: str = "error",
        skip_layer: bool = False,
        monotonic_cst: Any = None,
        categorical_features: Any = None,
        embedding_size: Any = None,
        ordered: bool = False,
        class_weight: Any = None,
        calibration: str | None = None,
        loss: str = "log_loss",
        label_smoothing: float = 0.0,
        focal_gamma: float = 2.0,
    ) -> None:
        # Written by tools/write_constructors.py.
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.init = init
        self.init_scale = init_scale
        self.fit_intercept = fit_intercept
        self.output_activation = output_activation
        self.validation_split = validation_split
        self.n_restarts = n_restarts
        self.n_threads = n_threads
        self.feature_importances = feature_importances
        self.weight_decay = weight_decay
        self.warmup_steps = warmup_steps
        self.averaging = averaging
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.max_norm = max_norm
        self.l1_ratio = l1_ratio
        self.record_gradient_norms = record_gradient_norms
        self.dropout = dropout
        self.max_time = max_time
        self.embedding = embedding
        self.embedded_features = embedded_features
        self.frequency_init_scale = frequency_init_scale
        self.scale_layer = scale_layer
        self.rate_factors = rate_factors
        self.scoring = scoring
        self.refit = refit
        self.ensemble = ensemble
        self.input_scaling = input_scaling
        self.missing_targets = missing_targets
        self.skip_layer = skip_layer
        self.monotonic_cst = monotonic_cst
        self.categorical_features = categorical_features
        self.embedding_size = embedding_size
        self.ordered = ordered
        self.class_weight = class_weight
        self.calibration = calibration
        self.loss = loss
        self.label_smoothing = label_smoothing
        self.focal_gamma = focal_gamma

    def fit(
        self,
        X: MatrixLike,
        y: MatrixLike,
        sample_weight: ArrayLike | float | None = None,
        *,
        X_val: MatrixLike | None = None,
        y_val: MatrixLike | None = None,
        sample_weight_val: ArrayLike | float | None = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs. C-contiguous arrays of float32 or float64, also read-only memory maps, are used without a copy.
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_labels)
            Class labels, a matrix of zeros and ones for multilabel targets, or several columns of classes. Each column has its
            own softmax, and the loss is their sum.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in the loss; None is 1.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Your own validation rows, instead of those that `early_stopping` would set aside. Without `early_stopping` they decide
            nothing; `validation_scores_` and `validation_loss_curve_` record the results on them. In a pipeline, they need
            ``Pipeline(..., transform_input=["X_val"])``.
        y_val : array-like of shape (n_val,) or (n_val, n_labels), default=None
            Targets of the validation rows; all classes must occur in y.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of the validation rows; they are multiplied by those of `class_weight`.

        Returns
        -------
        self : BPClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If parameters or data are not valid, or the weights are no longer finite.
        """
        return self._fit(X, y, sample_weight, incremental=False, validation=(X_val, y_val, sample_weight_val))

    @available_if(has_partial_fit)
    def partial_fit(
        self, X: MatrixLike, y: MatrixLike, sample_weight: ArrayLike | float | None = None, classes: ArrayLike | None = None
    ) -> Self:
        """Train for one epoch over the given rows. Only for {stochastic_solvers}.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_labels)
            Class labels, a matrix of zeros and ones for multilabel targets, or several columns of classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in the loss; None is 1.
        classes : array-like of shape (n_classes,) or list of array-like, default=None
            All classes that can occur; with several columns, those of each. Required in the first call.

        Returns
        -------
        self : BPClassifier
            The estimator after one more epoch.

        Raises
        ------
        ValueError
            If parameters or data are not valid, y has a class that is not in `classes`, or the weights are no longer finite.
        """
        refuse_balanced(self.class_weight)
        known: Any = getattr(self, "classes_", None)
        if classes is None and known is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        labels = None
        if classes is not None and (self.ordered or not np.array_equal(classes, known)):  # the rest takes as long as a tiny fit
            labels = all_labels(classes)
            labels = in_order(labels, categories_of(classes)) if self.ordered else labels
            if known is not None and not are_equal(known, labels):
                raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {known!r}")
        return self._fit(X, y, sample_weight, incremental=True, classes=labels if known is None else None)

    def predict(self, X: MatrixLike) -> Any:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs, taken in the dtype of the weights.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_labels)
            Labels; with several columns of classes, one of each; for multilabel targets, a matrix of zeros and ones (sparse if
            y in `fit` was).
        """
        own = vars(self).get("out_activation_")
        groups, is_multiclass = self._groups(), isinstance(own, str) and own in ("softmax", OUTPUT)
        outputs = self._outputs(X, only_largest=is_multiclass and not groups)
        if groups:
            parts = np.split(outputs, np.cumsum(groups)[:-1], axis=1)
            return stacked([labels[part.argmax(axis=1)] for labels, part in zip(self.classes_, parts)])
        if is_multiclass:
            return self.classes_[outputs]
        if outputs.shape[1] == 1:
            return self.classes_.take(outputs[:, 0] > 0.5, mode="clip")
        labels = (outputs > 0.5).astype(int)
        return csr_matrix(labels) if self._sparse_labels else labels

    def score(self, X: MatrixLike, y: MatrixLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy: the fraction of the rows with all labels, or all columns of classes, right.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : {array-like, sparse matrix} of shape (n_samples,), (n_samples, n_labels) or (n_samples, n_columns)
            True labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; None is 1.

        Returns
        -------
        score : float
            ``sklearn.metrics.accuracy_score``; with ``missing_targets="ignore"``, that of the labels that are not missing.
        """
        y, missing = without_missing(self, columns_as_array(y), is_whole=False)
        if missing is not None:
            return known_accuracy(y, self.predict(X), missing, sample_weight)
        if self._groups():  # scikit-learn's accuracy_score does not take several columns of classes
            y = check_array(y.toarray() if issparse(y) else y, dtype=None, input_name="y")
            predicted = self.predict(X)
            check_consistent_length(y, predicted, sample_weight)
            if y.shape != predicted.shape:
                raise ValueError(f"y has the shape {y.shape}, but the predictions have the shape {predicted.shape}.")
            return known_accuracy(y, predicted, np.zeros(y.shape, dtype=bool), sample_weight)
        return super().score(X, y, sample_weight)

    def predict_proba(self, X: MatrixLike) -> Any:
        """Return the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs, taken in the dtype of the weights.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes), or list of them
            Probabilities, in the order of `classes_`; with several columns of classes, a list with an array for each. For
            multilabel targets they do not sum to 1.
        """
        outputs = self._outputs(X) if self.temperature_ is None else self._calibrated(X, self.temperature_)
        groups = self._groups()
        if groups:
            return np.split(outputs, np.cumsum(groups)[:-1], axis=1)
        return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs

    def predict_log_proba(self, X: MatrixLike) -> Any:
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs, taken in the dtype of the weights.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes), or list of them
            ``log(predict_proba(X))``.
        """
        probabilities = self.predict_proba(X)
        for part in probabilities if isinstance(probabilities, list) else [probabilities]:
            np.log(part, out=part)
        return probabilities

    def _calibrate(self, held_out: Any) -> None:
        if self.calibration is not None:
            is_multiclass = self.out_activation_ == "softmax"
            logits = logits_of(self._networks(), held_out.X, is_multiclass, self.n_threads)
            self.temperature_ = fitted_temperature(logits, held_out.Y, held_out.sample_weight, is_multiclass)

    def _calibrated(self, X: Any, temperature: float) -> np.ndarray:
        """Return the probabilities at a temperature, in the dtype of the weights."""
        _, params, X = self._checked(X)
        is_multiclass = self.out_activation_ == "softmax"
        logits = logits_of(self._networks(), X, is_multiclass, self.n_threads)
        return probabilities(logits, temperature, is_multiclass).astype(params.dtype)

    def _rows(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        if self.ordered:
            self._categories = categories_of(y)
        return super()._rows(X, y, reset)

    def _encode(self, y: Any, dtype: np.dtype, incremental: bool) -> Targets:
        if self.temperature_ is not None:
            self.temperature_ = None
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        categories = self.__dict__.pop("_categories", None)
        known = getattr(self, "classes_", None) if incremental or self.warm_start else None
        labels, codes = column_labels(y) if isinstance(known, list) else discrete_labels(y)
        if self.ordered and (isinstance(labels, list) or codes.ndim > 1 or known is None):
            in_classes = in_order(labels if codes.ndim == 1 else [labels], categories)
        if isinstance(labels, list):
            return self._encode_columns(labels, codes, known, dtype, "y")
        if known is None:
            self.classes_ = in_classes if self.ordered else labels
        elif self.warm_start:
            if set(labels) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously got"
                    f" {self.classes_}, `y` has {labels}"
                )
        elif _has_others(labels, self.classes_):
            raise ValueError(f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {labels}.")
        self._sparse_labels = issparse(y)
        return self._encode_codes(labels, codes, dtype)

    def _encode_codes(self, labels: np.ndarray, codes: np.ndarray, dtype: np.dtype) -> Targets:
        """Return the targets of positions in `labels`, or of booleans for multilabel targets."""
        if codes.ndim == 1 and labels is not self.classes_ and (self.ordered or labels.tolist() != list(self.classes_)):
            codes = positions(labels, self.classes_)[codes]
        if self.ordered:
            return Targets(codes.astype(dtype)[:, np.newaxis], len(self.classes_), LOSS, self.classes_)
        return class_targets(codes, self.classes_, dtype, self.loss, output_per_class=self.output_activation == "softmax")

    def _encode_columns(self, labels: list[np.ndarray], codes: np.ndarray, known: Any, dtype: np.dtype, name: str) -> Targets:
        """Return the targets of several columns of classes.

        labels, codes: from `column_labels`; known: the classes of each column, if there was a fit before.
        """
        if self.loss != "log_loss" or self.calibration is not None:
            raise ValueError("loss='focal' and calibration are for one column of classes or for labels, not for several columns.")
        if known is None:
            self.classes_ = known = labels
        if not isinstance(known, list) or len(labels) != len(known):
            raise ValueError(f"{name} has {len(labels)} columns of classes, but `self.classes_` has {known}.")
        for number, (own, old) in enumerate(zip(labels, known)):
            if _has_others(own, old) or (self.warm_start and name == "y" and len(own) < len(old)):
                raise ValueError(f"Column {number} of {name} has the classes {own}, but `self.classes_` has {old}.")
        codes = np.column_stack([np.searchsorted(old, own)[column] for old, own, column in zip(known, labels, codes.T)])
        self._sparse_labels = False
        return column_targets(codes, known, dtype, self.label_smoothing)

    def _encode_more(self, y: Any, targets: Targets, dtype: np.dtype) -> Targets:
        if targets.groups:
            return self._encode_columns(*column_labels(y), targets.classes, dtype, "y_val")
        y = column_or_1d(y) if y.ndim == 2 and y.shape[1] == 1 else y
        labels, codes = discrete_labels(y)
        is_alike = codes.shape[1:] == targets.Y.shape[1:] if targets.is_multilabel else codes.ndim == 1
        if isinstance(labels, list) or not is_alike or _has_others(labels, self.classes_):
            raise ValueError(f"y_val must have the classes of y, {self.classes_}, got {labels} in the shape {y.shape}.")
        return self._encode_codes(labels, codes, dtype)

    def _class_tables(self, targets: Targets) -> list[np.ndarray] | None:
        return None if self.class_weight is None else class_tables(self.class_weight, targets)

    @property
    def _label_binarizer(self) -> Any:
        """A binarizer like that of scikit-learn's MLPClassifier, which converters such as skl2onnx read."""
        if self._groups():
            raise AttributeError("Several columns of classes have no label binarizer.")
        has_labels = self.out_activation_ == "logistic" and self.n_outputs_ > 1
        return LabelBinarizer().fit(np.eye(self.n_outputs_, dtype=int) if has_labels else self.classes_)

    def _groups(self) -> tuple[int, ...]:
        classes = self.__dict__.get("classes_")
        if not isinstance(classes, list) or not all(isinstance(labels, np.ndarray) and labels.ndim for labels in classes):
            return ()
        return tuple(map(len, classes))

    def _loss_name(self) -> str:
        if self.out_activation_ == OUTPUT:
            return LOSS
        return "multioutput_log_loss" if self._groups() else class_loss(self.loss, self.out_activation_ == "softmax")

    @property
    def thresholds_(self) -> np.ndarray:
        """Thresholds between ordered classes, on the scale of the score, (n_classes - 1,)."""
        if vars(self).get("out_activation_") != OUTPUT:
            raise AttributeError("Only a classifier that was fitted with ordered=True has thresholds_.")
        return -self.intercepts_[-1][1:]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = tags.target_tags.multi_output = True
        return tags
