"""BPClassifier: labels, probabilities and what the parameters mean."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_matrix, issparse
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import unique_labels

from fastbp.estimators.base import BaseBP, MatrixLike, has_partial_fit
from fastbp.estimators.targets import Targets, class_targets, discrete_labels


class BPClassifier(ClassifierMixin, BaseBP):
    r"""Multi-layer perceptron classifier trained by back-propagation, with scikit-learn's interface and numbers.

    Parameters and defaults up to `max_fun` are those of scikit-learn's ``MLPClassifier``; with the same `random_state` the model
    is the same to rounding. X's dtype, float32 or float64, is the dtype of everything.

    With :math:`S` the number (or weight) of the rows of a batch, training minimises

    .. math:: E = \frac1S \sum_i s_i E_i + \frac{\alpha}{2S} \sum_l \lVert W^{(l)} \rVert^2

    where :math:`E_i` is the log-loss of row i, summed over its outputs [1]_.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, int or str, default=(100,)
        Units of each hidden layer; an int is one layer, ``"64-32"`` is ``(64, 32)``, ``()`` has no hidden layer.
    activation : {'identity', 'logistic', 'tanh', 'relu', 'leaky_relu', 'step'} or sequence of these, default='relu'
        Activation of every hidden layer, or one name per hidden layer. 'leaky_relu' has the slope 0.01 below zero. 'step' is 1
        above zero and 0 elsewhere; as that has no slope, it is trained with slope 1 everywhere (straight-through estimator [4]_).
    solver : {'lbfgs', 'sgd', 'adam'}, default='adam'
        'adam' [3]_ and 'sgd' go batch by batch; 'lbfgs' is a quasi-Newton method over all rows, often the best on small data.
    alpha : float, default=0.0001
        Strength of the L2 penalty on the weights (not on the intercepts), as in the formula above.
    batch_size : int or 'auto', default='auto'
        Rows per step of 'sgd' and 'adam'. 'auto' is ``min(200, n_samples)``.
    learning_rate : {'constant', 'invscaling', 'adaptive'}, default='constant'
        For 'sgd': the rate stays; or is ``learning_rate_init / (t_ + 1) ** power_t``; or is divided by 5 whenever training would
        stop, until it is 1e-6.
    learning_rate_init : float, default=0.001
        Step size of 'sgd' and 'adam'.
    power_t : float, default=0.5
        Exponent of 'invscaling'.
    max_iter : int, default=200
        Most epochs ('sgd', 'adam') or iterations ('lbfgs').
    shuffle : bool, default=True
        Whether each epoch of 'sgd' and 'adam' goes through the rows in a new random order.
    random_state : int, RandomState instance or None, default=None
        Source of the starting weights, the validation split and the order of rows.
    tol : float, default=1e-4
        'sgd' and 'adam' stop when the loss (validation score with `early_stopping`) did not get better by `tol` for more than
        `n_iter_no_change` epochs; 'lbfgs' when no element of the gradient is larger.
    verbose : bool or int, default=False
        Print the loss every `verbose` epochs (True is 1) and at the end.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last one.
    momentum : float, default=0.9
        Momentum of 'sgd', between 0 and 1.
    nesterovs_momentum : bool, default=True
        Whether the momentum of 'sgd' is Nesterov's.
    early_stopping : bool, default=False
        Set `validation_fraction` of the rows aside, stop by their score and keep the weights with the best one. Not for 'lbfgs'.
    validation_fraction : float, default=0.1
        Part of the rows that `early_stopping` sets aside, in [0, 1).
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay of the first and the second moment in 'adam', in [0, 1).
    epsilon : float, default=1e-8
        Keeps the step of 'adam' finite.
    n_iter_no_change : int or inf, default=10
        Epochs without improvement that are tolerated.
    max_fun : int, default=15000
        Most evaluations of the loss by 'lbfgs'.
    init : str or (coefs, intercepts), default='glorot_uniform'
        Starting weights [2]_. 'glorot_uniform' is scikit-learn's scheme, U(-b, b) with :math:`b = \sqrt{6 / (n_{in} + n_{out})}`
        (2 in place of 6 for 'logistic'), for intercepts too; 'glorot_normal', 'he_uniform', 'he_normal' and 'normal' draw weights
        and start intercepts at 0, as 'zeros' does both; a pair of lists shaped like `coefs_` and `intercepts_` is taken as it is.
    init_scale : float, default=1.0
        Factor on the drawn start; ``init="normal"`` draws weights from ``init_scale * N(0, 1)``.
    fit_intercept : bool, default=True
        Whether layers have intercepts; without, `intercepts_` stay 0.
    output_activation : str, default='auto'
        'auto' is 'softmax' for three or more classes, else 'logistic'; the log-loss is not defined for others.
    validation_split : {'random', 'stratified'}, default='random'
        'random' stratifies two classes only, as scikit-learn does; 'stratified' stratifies any number.
    n_restarts : int, default=1
        Train this many networks from different starts and keep the one with the best validation score (`early_stopping`) or the
        smallest loss. The first start is the one that ``n_restarts=1`` trains. Starts are trained side by side on `n_threads`.
    n_threads : int or None, default=None
        Threads of one fit or prediction. None is every core this process may use, but 1 outside the main thread and for little
        work. The numbers do not depend on it.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; the column numbers for multilabel targets.
    coefs_ : list of ndarray of shape (n_in, n_out)
        Weights of each layer. They are views: assigning to their elements changes the predictions.
    intercepts_ : list of ndarray of shape (n_out,)
        Intercepts of each layer.
    loss_ : float
        Loss of the last epoch (for 'lbfgs': at the end).
    loss_curve_ : list of float
        Loss of each epoch, for 'sgd' and 'adam'.
    best_loss_ : float or None
        Smallest loss, for 'sgd' and 'adam'; None with `early_stopping`.
    validation_scores_ : list of float or None
        Accuracy on the validation rows after each epoch, with `early_stopping`.
    best_validation_score_ : float or None
        The largest of them.
    restart_losses_ : ndarray of shape (n_restarts,)
        `loss_` of each start; NaN where it diverged or was not reached.
    n_iter_ : int
        Epochs (iterations of 'lbfgs') of the last fit.
    t_ : int
        Rows seen in training, over all epochs.
    n_layers_ : int
        Layers, input and output included.
    n_outputs_ : int
        Units of the output layer.
    out_activation_ : str
        Activation of the output layer.
    n_features_in_ : int
        Features seen in fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if X had string column names.

    See Also
    --------
    BPRegressor : The same network for real targets.

    Notes
    -----
    A loss or weight that is no longer finite ends training with a ValueError that names the epoch; the last finite weights stay
    in `coefs_` and `intercepts_`. A pickle holds the weights once and not the optimizer's state: after loading, `partial_fit`
    starts a new optimizer from the loaded weights.

    References
    ----------
    .. [1] Bishop, "Pattern Recognition and Machine Learning", sections 5.2 and 5.3, 2006.
    .. [2] Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010; the
       schemes for ReLU: He et al., "Delving deep into rectifiers", ICCV 2015.
    .. [3] Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    .. [4] Bengio, Léonard and Courville, "Estimating or propagating gradients through stochastic neurons", 2013.

    Examples
    --------
    >>> from fastbp import BPClassifier
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], ["no", "yes", "yes", "no"]
    >>> classifier = BPClassifier((4,), "tanh", solver="lbfgs", random_state=1).fit(X, y)
    >>> classifier.predict(X)
    array(['no', 'yes', 'yes', 'no'], dtype='<U3')
    """

    loss = "log_loss"
    _sparse_labels = False

    def fit(self, X: MatrixLike, y: MatrixLike, sample_weight: ArrayLike | float | None = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs. A C-contiguous float32 or float64 array, a read-only memory map too, is used without a copy.
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or a 0/1 matrix for multilabel targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in the loss; None is 1.

        Returns
        -------
        self : BPClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            Parameters or data are not valid, or the weights were no longer finite.
        """
        return self._fit(X, y, sample_weight, incremental=False)

    @available_if(has_partial_fit)
    def partial_fit(
        self, X: MatrixLike, y: MatrixLike, sample_weight: ArrayLike | float | None = None, classes: ArrayLike | None = None
    ) -> Self:
        """Train for one epoch over the given rows. Only for the solvers 'sgd' and 'adam'.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : {array-like, sparse matrix} of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or a 0/1 matrix for multilabel targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in the loss; None is 1.
        classes : array-like of shape (n_classes,), default=None
            All classes that will ever come; required in the first call.

        Returns
        -------
        self : BPClassifier
            The estimator after one more epoch.

        Raises
        ------
        ValueError
            Parameters or data are not valid, y has a class that is not in `classes`, or the weights were no longer finite.
        """
        known = getattr(self, "classes_", None)
        if classes is None and known is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if classes is not None:
            labels = unique_labels(classes)
            if known is not None and not np.array_equal(known, labels):
                raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {known!r}")
            self.classes_ = labels
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: MatrixLike) -> Any:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs, taken in the dtype of the weights.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_labels)
            Labels, or a 0/1 matrix (sparse if y was in `fit`) for multilabel targets.
        """
        is_multiclass = getattr(self, "out_activation_", "") == "softmax"
        outputs = self._outputs(X, only_largest=is_multiclass)
        if is_multiclass:
            return self.classes_[outputs]
        if self.n_outputs_ == 1:
            return self.classes_.take(outputs[:, 0] > 0.5, mode="clip")
        labels = (outputs > 0.5).astype(int)
        return csr_matrix(labels) if self._sparse_labels else labels

    def predict_proba(self, X: MatrixLike) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs, taken in the dtype of the weights.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`. For multilabel targets they do not sum to 1.
        """
        outputs = self._outputs(X)
        return np.hstack([1 - outputs, outputs]) if self.n_outputs_ == 1 else outputs

    def predict_log_proba(self, X: MatrixLike) -> np.ndarray:
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs, taken in the dtype of the weights.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            ``log(predict_proba(X))``.
        """
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def _encode(self, y: Any, dtype: np.dtype, incremental: bool) -> Targets:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        labels, codes = discrete_labels(y)
        if not hasattr(self, "classes_") or not (incremental or self.warm_start):
            self.classes_ = labels
        elif self.warm_start:
            if set(labels) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously got"
                    f" {self.classes_}, `y` has {labels}"
                )
        elif len(np.setdiff1d(labels, self.classes_, assume_unique=True)):
            raise ValueError(f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {labels}.")
        self._sparse_labels = issparse(y)
        if codes.ndim == 1 and labels is not self.classes_:
            codes = np.searchsorted(self.classes_, labels)[codes]
        return class_targets(codes, self.classes_, dtype)

    def _loss_name(self) -> str:
        return "log_loss" if self.out_activation_ == "softmax" else "binary_log_loss"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
