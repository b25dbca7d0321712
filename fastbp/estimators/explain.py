"""Explanations of a fitted network: gradients by the inputs, importances of features, hidden activations, and pruning."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import is_classifier
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from fastbp.estimators import parameters
from fastbp.estimators.inputs import MatrixLike, read_by
from fastbp.estimators.weights import Weighted

_ROWS_AT_ONCE = 2**12  # a limit for the memory of gradients


class IntegratedGradients(NamedTuple):
    """How much each feature contributes to the outputs of each row.

    Attributes
    ----------
    attributions : ndarray of shape (n_samples, n_features) or (n_samples, n_features, n_outputs)
        Contribution of each feature to the difference between the output for the row and for the baseline.
    completeness_error : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        The sum of a row's attributions minus that difference: the error of the numerical integration.
    """

    attributions: np.ndarray
    completeness_error: np.ndarray


class Explained(Weighted):
    """Explanations of a fitted network. A base class of the estimators."""

    _checked_for_explanation: Callable[..., tuple[Any, np.ndarray, Any]]
    n_threads: int | None

    def hidden_activations(self, X: MatrixLike, layer: int = -1) -> np.ndarray:
        """Return the activations of a hidden layer for each row: features that the network has learned.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs, taken in the dtype of the weights.
        layer : int, default=-1
            Index of the hidden layer, from 0; negative numbers count from the last one.

        Returns
        -------
        activations : ndarray of shape (n_samples, n_units)
            Activations of the layer, in the dtype of the weights.

        Raises
        ------
        ValueError
            If there is no such layer.

        Examples
        --------
        >>> from fastbp import BPClassifier
        >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
        >>> BPClassifier((4, 2), "tanh", solver="lbfgs", random_state=1).fit(X, y).hidden_activations(X).shape
        (4, 2)
        """
        from fastbp.training.predict import first_layers, predict_outputs

        network, params, X = self._checked_for_explanation(X)
        number = check_layer(layer, len(network.units) - 2, self)
        return predict_outputs(*first_layers(network, params, number + 1), X, n_threads=self.n_threads)

    def input_gradients(self, X: MatrixLike, *, of_logits: bool = False) -> np.ndarray:
        r"""Return the partial derivatives of the outputs with respect to the inputs, for each row.

        They are computed by back-propagation from each output to the inputs:
        :math:`\partial \hat y_k / \partial x = \delta^{(1)} W^{(1)\top}` with :math:`\delta^{(L)}_j = \partial \hat y_k /
        \partial z^{(L)}_j` (also known as saliency [1]_).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs, taken in the dtype of the weights.
        of_logits : bool, default=False
            Differentiate the output layer before its activation: a classifier's logits instead of its probabilities, whose
            derivatives are almost 0 where one class is nearly certain.

        Returns
        -------
        gradients : ndarray of shape (n_samples, n_features) or (n_samples, n_features, n_outputs)
            In output units per input unit. Outputs are a regressor's targets, or a classifier's classes in the order of
            `classes_`. Two classes have one output, the probability of `classes_[1]`. There is no axis for a single output.
            The result is dense, also for a sparse X. The slope of 'step' is taken as 1, as in training, that of 'relu' at 0 as 0.

        References
        ----------
        .. [1] Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks: visualising image classification models
           and saliency maps", ICLR workshop, 2014.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import BPRegressor
        >>> X = np.linspace(0, 3, 50)[:, np.newaxis]
        >>> model = BPRegressor(hidden_layer_sizes=8, activation="tanh", solver="lbfgs", random_state=1).fit(X, np.sin(X[:, 0]))
        >>> bool(np.abs(model.input_gradients(X)[:, 0] - np.cos(X[:, 0])).max() < 0.15)
        True
        """
        from fastbp.training.explain import input_gradients

        check_plain_inputs(self)
        network, params, X = self._checked_for_explanation(X, of_slopes=True)
        return _outputs_last(input_gradients(network, params, X, of_logits=bool(of_logits), n_threads=self.n_threads))

    def integrated_gradients(
        self, X: MatrixLike, baseline: ArrayLike | None = None, *, n_steps: int = 50, of_logits: bool = False
    ) -> IntegratedGradients:
        r"""Return how much each feature contributes to the outputs of each row, compared with a baseline.

        :math:`(x_i - b_i) \int_0^1 \partial_i \hat y(b + t (x - b))\, dt` [1]_. A row's attributions sum to the difference of the
        outputs for the row and for the baseline. The integral is computed by Gauss-Legendre quadrature.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs. A sparse X is converted to a dense one.
        baseline : array-like of shape (n_features,) or (n_samples, n_features), default=None
            The input to compare with; None is all zeros, which is the mean of standardised features.
        n_steps : int, default=50
            Number of points per row at which the gradient is computed. More points make `completeness_error` smaller.
        of_logits : bool, default=False
            As in `input_gradients`.

        Returns
        -------
        result : IntegratedGradients
            A named tuple of `attributions`, shaped like the gradients of `input_gradients`, and `completeness_error`, their sum
            minus the difference of the outputs.

        References
        ----------
        .. [1] Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", ICML 2017.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import BPRegressor
        >>> X = np.random.RandomState(0).normal(size=(200, 3))
        >>> model = BPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0).fit(X, 2 * X[:, 0] - X[:, 1])
        >>> attributions, error = model.integrated_gradients([[1.0, 1.0, 1.0]])
        >>> bool(np.allclose(attributions, [2, -1, 0], atol=1e-3)), bool(np.abs(error).max() < 1e-9)
        (True, True)
        """
        from fastbp.training.explain import input_gradients, layer_outputs

        parameters.check_parameter("n_steps", n_steps, parameters.COUNT, "integrated_gradients")
        check_plain_inputs(self)
        network, params, X = self._checked_for_explanation(X, of_slopes=True)
        X = X.toarray() if issparse(X) else X
        if baseline is None:
            start = np.zeros_like(X)
        else:
            start = read_by(check_array, baseline, dtype=X.dtype, ensure_2d=False, input_name="baseline")
            if start.shape not in (X.shape, X.shape[1:]):
                raise ValueError(f"baseline has the shape {start.shape}, but X needs {X.shape[1:]} or {X.shape}.")
        way = X - start
        points, shares = np.polynomial.legendre.leggauss(int(n_steps))
        total = np.zeros((len(X), int(network.units[-1]), X.shape[1]))
        options: dict[str, Any] = {"of_logits": bool(of_logits), "n_threads": self.n_threads}
        for point, part in zip((points + 1) / 2, shares / 2, strict=True):
            between = np.ascontiguousarray(start + X.dtype.type(point) * way)
            total += part * input_gradients(network, params, between, **options)
        attributions = total * way[:, np.newaxis]
        starts = np.ascontiguousarray(np.broadcast_to(start, X.shape))
        difference = layer_outputs(network, params, X, **options) - layer_outputs(network, params, starts, **options)
        error = attributions.sum(axis=2) - difference
        return IntegratedGradients(_outputs_last(attributions.astype(X.dtype)), error[:, 0] if error.shape[1] == 1 else error)

    def olden_importances(self) -> np.ndarray:
        r"""Return the signed importance of each feature by its connection weights.

        The product of the layers' weights, summed over all paths from a feature to an output: :math:`W^{(1)} W^{(2)} \cdots
        W^{(L)}` [1]_ (there for one hidden layer), plus the weights of a `skip_layer`. If all units were linear, it would be the
        slope of the network. Standardise the features first, because weights are comparable only for features of the same scale.

        Returns
        -------
        importances : ndarray of shape (n_features,) or (n_features, n_outputs)
            There is no axis for a single output.

        References
        ----------
        .. [1] Olden, Joy and Death, "An accurate comparison of methods for quantifying variable importance in artificial neural
           networks using simulated data", Ecological Modelling 178, 2004.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import BPRegressor
        >>> X = np.random.RandomState(0).normal(size=(200, 3))
        >>> model = BPRegressor(hidden_layer_sizes=4, activation="tanh", solver="lbfgs", random_state=0)
        >>> np.sign(model.fit(X, X[:, 0] - 0.5 * X[:, 1]).olden_importances()[:2])
        array([ 1., -1.])
        """
        check_plain_inputs(self)
        importances = _product([np.asarray(W, dtype=np.float64) for W in self.coefs_])
        skip = getattr(self, "skip_coefs_", None)
        return self._of_targets(importances if skip is None else importances + skip)

    def garson_importances(self) -> np.ndarray:
        r"""Return each feature's share of the magnitudes of the connection weights.

        Each output is shared among the units of the layer before it (and the inputs of a `skip_layer`) in proportion to the
        magnitudes of its weights, and so on down to the inputs [1]_ (there for one hidden layer): :math:`\prod_l |W^{(l)}| /
        \sum_{in} |W^{(l)}|`. Signs are lost. Standardise the features first, because weights are comparable only for features of
        the same scale.

        Returns
        -------
        importances : ndarray of shape (n_features,) or (n_features, n_outputs)
            Between 0 and 1; the sum is 1 per output. There is no axis for a single output.

        References
        ----------
        .. [1] Garson, "Interpreting neural-network connection weights", AI Expert 6, 1991.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import BPRegressor
        >>> X = np.random.RandomState(0).normal(size=(200, 3))
        >>> model = BPRegressor(hidden_layer_sizes=4, activation="tanh", solver="lbfgs", random_state=0)
        >>> importances = model.fit(X, X[:, 0] - 0.5 * X[:, 1]).garson_importances()
        >>> importances.argmax(), round(float(importances.sum()), 6)
        (np.int64(0), 1.0)
        """
        check_plain_inputs(self)
        magnitudes = [np.abs(np.asarray(W, dtype=np.float64)) for W in self.coefs_]
        totals, skip = [W.sum(axis=0) for W in magnitudes], getattr(self, "skip_coefs_", None)
        skips_to = self._packed()[0].skip_layer
        if skip is not None:
            totals[skips_to] = totals[skips_to] + np.abs(skip, dtype=np.float64).sum(axis=0)
        totals = [np.maximum(total, np.finfo(float).tiny) for total in totals]
        shares = _product([W / total for W, total in zip(magnitudes, totals)])
        if skip is not None:
            shares = shares + _product([np.abs(skip) / totals[skips_to], *magnitudes[skips_to + 1 :]])
        return self._of_targets(shares / np.maximum(shares.sum(axis=0), np.finfo(float).tiny))

    def _of_targets(self, importances: np.ndarray) -> np.ndarray:
        """Return the columns, (n_features, n_outputs), of outputs that are predictions, without an axis for a single one."""
        owner: Any = self  # with scalers
        n = owner.target_scaler_.n_features_in_ if owner._has_spread else importances.shape[1]
        return importances[:, 0] if n == 1 else importances[:, :n]

    def pruned(self, X: MatrixLike, *, tolerance: float = 1e-3) -> Self:
        r"""Return a copy of the fitted network without redundant hidden units.

        Units are redundant if they are constant, have no outgoing weights, or can be replaced by others. The weights and
        intercepts of the next layer are refitted by least squares, so that its inputs stay as they were. This is done layer by
        layer, from the first. Units are removed in the order of the optimal brain surgeon's rule, applied to units instead of
        weights [1]_, as many as `tolerance` allows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows for which the outputs are kept, ideally the training rows; more than the widest layer has units.
        tolerance : float, default=1e-3
            How much the outputs may change: the largest root mean square change of an output (a probability, for a classifier)
            over the rows of X, in standard deviations of that output over the rows.

        Returns
        -------
        smaller : estimator
            A fitted copy, whose `hidden_layer_sizes` are the remaining sizes. It keeps the record of the training; further
            training of it starts with a new optimizer.

        Raises
        ------
        ValueError
            If X has too few rows: few units could replace all others on these.

        References
        ----------
        .. [1] Hassibi and Stork, "Second order derivatives for network pruning: optimal brain surgeon", NIPS 1992.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import BPRegressor
        >>> X = np.linspace(-1, 1, 200)[:, np.newaxis]
        >>> model = BPRegressor(hidden_layer_sizes=50, activation="tanh", solver="lbfgs", random_state=0).fit(X, X[:, 0] ** 2)
        >>> smaller = model.pruned(X, tolerance=0.01)
        >>> smaller.coefs_[0].shape[1] < 10
        True
        """
        from fastbp.training.pruning import pruned_weights

        parameters.check_parameter("tolerance", tolerance, parameters.NONNEGATIVE, "pruned")
        check_plain_inputs(self)
        network, params, X = self._checked_for_explanation(X)
        if network.is_ordered:
            raise ValueError("pruned does not work with ordered=True, because thresholds are not weights.")
        if getattr(self, "monotonic_cst", None) is not None:
            raise ValueError(
                "pruned does not work with monotonic_cst: weights that are refitted by least squares do not keep their signs."
            )
        widest = max(network.units[1:-1], default=0)
        if X.shape[0] <= widest:
            raise ValueError(
                f"X has {X.shape[0]} rows, but pruning needs more rows than the widest hidden layer has units ({widest})."
            )
        smaller: Any = copy.deepcopy(self)
        smaller.compact()
        smaller.coefs_, smaller.intercepts_ = pruned_weights(network, params, X, float(tolerance), self.n_threads)
        smaller.hidden_layer_sizes = tuple(len(bias) for bias in smaller.intercepts_[:-1])
        if not isinstance(smaller.init, str):  # initial weights of the old sizes
            smaller.init = smaller.coefs_, smaller.intercepts_
        return smaller


def importances_of(estimator: Any, X: Any, sample_weight: np.ndarray | None) -> np.ndarray:
    """Return mean |slope| · standard deviation of each feature over the rows, as shares, (n_features,)."""
    from fastbp.training.explain import input_gradients

    network, params = estimator._unscaled()._packed(X.dtype)
    of_logits, scaler = is_classifier(estimator), StandardScaler(with_mean=False)
    total = np.zeros(X.shape[1])
    for start in range(0, X.shape[0], _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        rows, weights = X[part], None if sample_weight is None else sample_weight[part]
        scaler.partial_fit(rows, sample_weight=weights)
        slopes = input_gradients(network, params, rows, of_logits=of_logits, n_threads=estimator.n_threads)
        if estimator.out_activation_ == "softmax":  # adding a number to all logits changes no probability
            for group in np.split(slopes, network.groups[1:-1], axis=1):
                group -= group.mean(axis=1, keepdims=True)
        sizes = np.abs(slopes).mean(axis=1, dtype=np.float64)
        total += sizes.sum(axis=0) if weights is None else weights @ sizes
    total *= np.sqrt(np.maximum(scaler.var_, 0.0))
    return total / max(total.sum(), np.finfo(float).tiny)


def check_plain_inputs(estimator: Any, categories_too: bool = False) -> None:
    """Raise ValueError if the first layer does not read the columns of X itself (with `categories_too`, or their categories)."""
    check_is_fitted(estimator, "coefs_")
    network, _ = estimator._packed()
    if network.embedded.size or network.has_scale or (network.has_front and not categories_too):
        raise ValueError("This needs a network whose first layer reads X itself: without embedding, scale_layer and categories.")


def check_layer(layer: Any, n_hidden: int, owner: Any) -> int:
    """Return the index of a hidden layer, from 0, or raise ValueError if there is no such layer."""
    parameters.check_parameter("layer", layer, parameters.INTEGER, owner)
    if not -n_hidden <= layer < n_hidden:
        raise ValueError(f"layer={layer} does not exist: this network has {n_hidden} hidden layers.")
    return int(layer) % n_hidden


def _product(factors: list[np.ndarray]) -> np.ndarray:
    return factors[0] if len(factors) == 1 else np.linalg.multi_dot(factors)


def _outputs_last(gradients: np.ndarray) -> np.ndarray:
    """Return gradients, (n_samples, n_outputs, n_features), with the outputs last or without an axis for a single one."""
    return gradients[:, 0] if gradients.shape[1] == 1 else np.moveaxis(gradients, 1, 2)
