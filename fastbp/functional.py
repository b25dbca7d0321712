"""Functions for the activations and the gradients of a network with given weights, by the same kernels as the estimators."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_consistent_length

from fastbp.estimators import parameters
from fastbp.estimators.inputs import check_sample_weight, read_by
from fastbp.estimators.missing import IGNORE, filled_in, with_missing
from fastbp.estimators.targets import check_range
from fastbp.names import LOSSES, OUTPUT_ACTIVATIONS
from fastbp.training.custom_loss import CustomLoss

_NAMES = [name for name, loss in LOSSES.items() if not (loss.has_groups or loss.has_score)]
_LOSS_RULES = (parameters.one_of(*_NAMES), parameters.CUSTOM_LOSS)
_MISSING_RULES = (parameters.one_of("error", IGNORE),)
_OUTPUT_RULES = (parameters.one_of(*OUTPUT_ACTIVATIONS),)


class _Gradients(NamedTuple):
    loss: float
    coefs: list[np.ndarray]
    intercepts: list[np.ndarray]
    inputs: np.ndarray


class Gradients(_Gradients):
    """The loss and its gradients, each with the shape of the weights, intercepts or inputs that it belongs to.

    It unpacks as (loss, coefs, intercepts, inputs).

    Attributes
    ----------
    loss : float
        The penalised loss.
    coefs : list of ndarray of shape (n_in, n_out)
        With respect to the weights of each layer.
    intercepts : list of ndarray of shape (n_out,)
        With respect to the intercepts of each layer.
    inputs : ndarray of shape (n_samples, n_features)
        With respect to X.
    skip_coefs : ndarray of shape (n_features, n_outputs) or None
        With respect to `skip_coefs`, if they were given.
    """

    skip_coefs: np.ndarray | None = None


def forward(
    coefs: Sequence[ArrayLike],
    intercepts: Sequence[ArrayLike],
    X: ArrayLike,
    *,
    activation: str | Sequence[str] = "relu",
    output_activation: str = "identity",
    skip_coefs: ArrayLike | None = None,
) -> list[np.ndarray]:
    r"""Return the activations of every layer after the input.

    They are :math:`a^{(l)} = g(a^{(l-1)} W^{(l)} + b^{(l)})` with :math:`a^{(0)} = X` [1]_.

    Parameters
    ----------
    coefs : sequence of array-like of shape (n_in, n_out)
        Weights of each layer.
    intercepts : sequence of array-like of shape (n_out,)
        Intercepts of each layer.
    X : array-like of shape (n_samples, n_features)
        Inputs; their dtype, float32 or float64, is the dtype of the result.
    activation : str or sequence of str, default='relu'
        As in `BPClassifier`: one name, or one per hidden layer.
    output_activation : str, default='identity'
        A name that `activation` takes, 'exp' or 'softmax'.
    skip_coefs : array-like of shape (n_features, n_outputs), default=None
        Weights of a `skip_layer`: X @ skip_coefs is added to the outputs before their activation.

    Returns
    -------
    activations : list of ndarray of shape (n_samples, n_out)
        One array per layer of weights; the last is the network's output.

    Raises
    ------
    ValueError
        A name is unknown, or shapes do not fit.

    References
    ----------
    .. [1] Bishop, "Pattern Recognition and Machine Learning", section 5.1, 2006.

    Examples
    --------
    >>> from fastbp import forward
    >>> hidden, output = forward([[[1.0, -1.0]], [[2.0], [3.0]]], [[0.0, 0.0], [0.5]], [[4.0]])
    >>> hidden, output
    (array([[4., 0.]]), array([[8.5]]))
    """
    from fastbp.training.predict import layer_activations

    inputs: np.ndarray = read_by(check_array, X, dtype=(np.float64, np.float32), order="C", input_name="X")
    loss = "log_loss" if output_activation == "softmax" else "squared_error"
    network, params = _network(coefs, intercepts, inputs, activation, output_activation, loss, "forward", skip_coefs=skip_coefs)
    return layer_activations(network, params, inputs)


def gradients(
    coefs: Sequence[ArrayLike],
    intercepts: Sequence[ArrayLike],
    X: ArrayLike,
    y: ArrayLike,
    *,
    activation: str | Sequence[str] = "relu",
    output_activation: str = "identity",
    loss: str | CustomLoss = "squared_error",
    loss_parameter: float | Sequence[float] | None = None,
    alpha: float = 0.0,
    sample_weight: ArrayLike | None = None,
    missing_targets: str = "error",
    skip_coefs: ArrayLike | None = None,
) -> Gradients:
    r"""Return the loss over all rows and its gradient with respect to weights, intercepts and inputs.

    Back-propagation [1]_: :math:`\delta^{(L)} = \partial E / \partial z^{(L)}`,
    :math:`\delta^{(l)} = (\delta^{(l+1)} W^{(l+1)\top}) \odot g'(z^{(l)})`,
    :math:`\partial E / \partial W^{(l)} = a^{(l-1)\top} \delta^{(l)}`. Losses have scikit-learn's scale: the mean over
    rows of half the squared error, of the log-loss (natural logarithm) or of half the Poisson deviance, plus
    :math:`\frac{\alpha}{2S} \sum_l \lVert W^{(l)} \rVert^2`, where S is the number of rows or the sum of their weights.
    For several outputs, the loss is the mean of their squared errors, but the gradient is that of their sum, as in scikit-learn.
    If the installed scikit-learn has the sum in the loss too, so has this function.

    Parameters
    ----------
    coefs : sequence of array-like of shape (n_in, n_out)
        Weights of each layer.
    intercepts : sequence of array-like of shape (n_out,)
        Intercepts of each layer.
    X : array-like of shape (n_samples, n_features)
        Inputs; their dtype, float32 or float64, is the dtype of the result.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets; for 'log_loss' and 'focal', class indices from 0 on, of shape (n_samples,).
    activation : str or sequence of str, default='relu'
        As in `BPClassifier`: one name, or one per hidden layer. A 'step' has the slope 1 here (straight-through).
    output_activation : str, default='identity'
        'exp' for 'poisson', 'gamma' and 'tweedie'; 'logistic' for 'binary_log_loss' and 'binary_focal'; 'softmax' for 'log_loss'
        and 'focal'; 'exp' or a name that `activation` takes for 'squared_error' and other losses of the error.
    loss : str or CustomLoss, default='squared_error'
        A loss of the estimators; those for labels 0 and 1 are 'binary_log_loss' and 'binary_focal'. All except 'squared_error'
        are summed over the outputs. For 'gaussian_nll', the first half of the outputs are means μ. The second half, s, give the
        variances σ² = softplus(s) + 1e-6. A row's loss is the sum of ½·(log σ² + (y - μ)²/σ²) over its targets.
    loss_parameter : float, sequence of float or None, default=None
        The parameter of the loss, which the estimators call `delta`, `quantile` (a sequence has one for each output), `power`,
        `label_smoothing` or `focal_gamma`; None is their default. Other losses take None only.
    alpha : float, default=0.0
        L2 penalty on the weights.
    sample_weight : array-like of shape (n_samples,), default=None
        Weight of each row in the loss; None is 1.
    missing_targets : {'error', 'ignore'}, default='error'
        As in the estimators: with 'ignore', a target that is NaN is left out of the loss and the gradients, and a row without
        any target is left out of the means. `loss_parameter` must then be one number.
    skip_coefs : array-like of shape (n_features, n_outputs), default=None
        Weights of a `skip_layer`; they are penalised too.

    Returns
    -------
    gradients : Gradients
        The loss and its gradients.

    Raises
    ------
    ValueError
        A name is unknown, a loss and an output activation do not go together, or shapes do not fit.

    References
    ----------
    .. [1] Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", Nature 323, 1986.

    Examples
    --------
    For one logistic unit with the target 0, the gradient by a weight is σ · σ(1 - σ) times the input of this weight:

    >>> from fastbp import gradients
    >>> result = gradients([[[2.0], [-3.0]]], [[-3.0]], [[-1.0, -2.0]], [0.0], output_activation="logistic")
    >>> result.coefs[0].ravel().round(3), result.intercepts[0].round(3), result.inputs.round(3)
    (array([-0.144, -0.287]), array([0.144]), array([[ 0.287, -0.431]]))
    """
    from fastbp.kernels import custom
    from fastbp.training.network import front_views, parameter_views
    from fastbp.training.objective import gradients_at
    from fastbp.training.problem import Problem

    parameters.check_parameter("alpha", alpha, parameters.NONNEGATIVE, "gradients")
    parameters.check_parameter("loss", loss, _LOSS_RULES, "gradients")
    inputs: np.ndarray = read_by(check_array, X, dtype=(np.float64, np.float32), order="C", input_name="X")
    network, params = _network(
        coefs, intercepts, inputs, activation, output_activation, loss, "gradients", loss_parameter, skip_coefs
    )
    parameters.check_parameter("missing_targets", missing_targets, _MISSING_RULES, "gradients")
    missing = None
    if missing_targets == IGNORE:
        y, missing = filled_in(y, "y", is_whole=False)
    targets = _targets(y, inputs, np.shape(coefs[-1])[1], loss)
    if isinstance(loss, CustomLoss):
        loss.check(targets, output_activation)
        custom.prepare(loss, inputs.dtype)
    if missing is not None:
        if parameters.is_sequence(loss_parameter):
            raise ValueError("missing_targets='ignore' takes one loss_parameter for all outputs.")
        targets = with_missing(targets, missing)
    weights = check_sample_weight(sample_weight, inputs)
    problem = Problem(inputs, targets, weights, may_miss=missing is not None)
    if problem.total_weight() == 0.0:
        raise ValueError("The sample weights sum to zero, so there is no mean over the rows.")
    value, gradient, by_inputs = gradients_at(network, params, problem, alpha=alpha)
    by_coefs, by_intercepts = parameter_views(network, gradient)
    found = Gradients(value, by_coefs, by_intercepts, by_inputs)
    found.skip_coefs = front_views(network, gradient).get("skip")
    return found


def _targets(y: ArrayLike, X: np.ndarray, n_outputs: int, loss: Any) -> np.ndarray:
    """Return targets of shape (n_samples, n_outputs) in X's dtype, or (n_samples, 1) for class indices."""
    Y = read_by(check_array, y, dtype=X.dtype, ensure_2d=False, order="C", input_name="y")
    check_consistent_length(X, Y)
    Y = Y.reshape(len(Y), -1)
    if LOSSES[loss].has_spread and n_outputs % 2:
        raise ValueError(f"The loss {loss!r} needs two outputs per target, but the network has {n_outputs}.")
    n_columns = 1 if LOSSES[loss].has_class_numbers else n_outputs // (2 if LOSSES[loss].has_spread else 1)
    if Y.shape[1] != n_columns:
        raise ValueError(f"y has {Y.shape[1]} columns, but the loss {loss!r} of this network needs {n_columns}.")
    check_range(Y, loss)
    if LOSSES[loss].has_class_numbers and not np.isin(Y, np.arange(n_outputs)).all():
        raise ValueError(f"For the loss {loss!r} y must hold class indices from 0 to {n_outputs - 1}.")
    return Y


def _network(
    coefs: Sequence[ArrayLike],
    intercepts: Sequence[ArrayLike],
    X: np.ndarray,
    activation: str | Sequence[str],
    output_activation: str,
    loss: Any,
    caller: str,
    loss_parameter: float | Sequence[float] | None = None,
    skip_coefs: ArrayLike | None = None,
) -> tuple[Any, np.ndarray]:
    """Return the network and its flat parameter vector in X's dtype."""
    from fastbp.training.network import make_network, pack_parameters

    weights, biases, layer_sizes = parameters.check_weights(coefs, intercepts)
    if X.shape[1] != layer_sizes[0]:
        raise ValueError(f"X has {X.shape[1]} features, but coefs[0] is expecting {layer_sizes[0]} features as input.")
    parameters.check_parameter("output_activation", output_activation, _OUTPUT_RULES, caller)
    parameters.output_activation_name(output_activation, loss)
    names = parameters.activation_names(activation, len(layer_sizes) - 2, caller)
    parameter: Any = loss.kernel_parameter if isinstance(loss, CustomLoss) else LOSSES[loss].parameter_default
    if loss_parameter is not None:
        if not LOSSES[loss].parameter:
            raise ValueError(f"The loss {loss!r} takes no loss_parameter: leave it out.")
        rules = parameters.LOSS_PARAMETER_RULES[LOSSES[loss].parameter]
        parameters.check_parameter("loss_parameter", loss_parameter, rules, caller)
        parameter = loss_parameter
    if np.ndim(parameter):
        parameter = tuple(map(float, parameter))
        if len(parameter) != layer_sizes[-1]:
            raise ValueError(f"loss_parameter has {len(parameter)} values, but the network has {layer_sizes[-1]} outputs.")
    beside = {}
    if skip_coefs is not None:
        beside["skip"] = skip = read_by(check_array, skip_coefs, dtype=X.dtype, input_name="skip_coefs")
        if len(layer_sizes) < 3 or skip.shape != (layer_sizes[0], layer_sizes[-1]):
            raise ValueError(
                f"skip_coefs of shape {skip.shape} do not fit a network with the layers {layer_sizes}:"
                f" they need the shape {(layer_sizes[0], layer_sizes[-1])}, and the network needs a hidden layer."
            )
    options: dict[str, Any] = {"loss_parameter": parameter, "skip_layer": bool(beside), "dtype": X.dtype}
    network = make_network(layer_sizes, names, output_activation, loss, **options)
    return network, pack_parameters(network, weights, biases, X.dtype, beside)
