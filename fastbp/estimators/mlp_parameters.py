"""The parameters that scikit-learn's MLPs have too, in their order; see parameter_table.py."""

from typing import Any

import numpy as np

from fastbp.estimators import parameter_kinds as kinds
from fastbp.estimators.parameter_kinds import (
    AUTOENCODER,
    BEFORE,
    PART,
    POSITIVE_COUNT,
    RATIO,
    REAL_ABOVE_0,
    REAL_FROM_0,
    REGRESSOR,
    SWITCH,
    Parameter,
)
from fastbp.names import REGRESSION_LOSSES


def _is_moving_state(value: Any) -> bool:
    """Whether a random state is one that a search cannot copy for its fits."""
    from fastbp.training.random_state import open_twister

    return isinstance(value, np.random.RandomState) and open_twister(value) is None


MLP_PARAMETERS = (
    Parameter(
        "loss",
        "squared_error",
        kinds.loss_from(*REGRESSION_LOSSES),
        "What is minimised: {about_losses}; or a loss of your own, see `CustomLoss`.",
        estimators=(REGRESSOR,),
        needs_own_fit=lambda value: value == "gaussian_nll",  # which scales targets
    ),
    Parameter(
        "hidden_layer_sizes",
        (100,),
        kinds.LAYER_SIZES,
        'Units of each hidden layer; an int is one layer, ``"64-32"`` is ``(64, 32)``, ``()`` has no hidden layer.',
        of_estimator={AUTOENCODER: {"default": (32, 8, 32)}},
    ),
    Parameter(
        "activation",
        "relu",
        kinds.LAYER_ACTIVATIONS,
        "Activation of every hidden layer, or one name per hidden layer: {about_activations}.",
    ),
    Parameter("solver", "adam", kinds.SOLVER, "How the network is trained: {about_solvers}."),
    Parameter(
        "alpha",
        0.0001,
        kinds.PENALTY,
        "Strength of the L2 penalty on the weights (not on the intercepts), as in the formula above.",
        of_estimator={
            REGRESSOR: {
                "kind": kinds.PENALTY_OR_BAYES,
                "text": r"""Strength of the L2 penalty on the weights (not on the intercepts), as in the formula above. 'bayes',
                for the solver 'lm', estimates it together with the variance of the noise from the training rows alone, by the
                evidence for them (D. J. C. MacKay, A practical Bayesian framework for backpropagation networks, 1992; F. D.
                Foresee and M. T. Hagan, Gauss-Newton approximation to Bayesian learning, 1997): after each step alpha becomes
                :math:`\sigma^2 \gamma_w / \lVert W \rVert^2` with :math:`\sigma^2 = \sum_i s_i e_i^2 / (N - \gamma)`, where
                :math:`\gamma` parameters, :math:`\gamma_w` of them weights, are determined by the data, and N is the sum of the
                sample weights times the number of outputs. Errors and the last layer's weights are counted in standard
                deviations of the targets there, so that the unit of the targets does not matter.""",
            }
        },
    ),
    Parameter(
        "batch_size",
        "auto",
        kinds.BATCH_SIZE,
        """Rows per step of the solvers that go batch by batch, but for 'rprop', which takes all. 'auto' is ``min(200,
        n_samples)``.""",
    ),
    Parameter(
        "learning_rate",
        "constant",
        kinds.SCHEDULE,
        """How the rate of {scheduled_solvers} goes from `learning_rate_init`: {course_schedules}. And how that of these and
        'adam' goes from step to step, t being 0 in the first and 1 behind the last of `max_iter` epochs: {step_schedules}. A
        function is given the number of each epoch, from 0, and returns the factor on `learning_rate_init` in it; for a pickle or
        other processes it must be one that can be pickled. `partial_fit` goes on along a schedule; behind its end the last
        factor stays.""",
    ),
    Parameter(
        "learning_rate_init",
        0.001,
        REAL_ABOVE_0,
        """Step size of the solvers that go batch by batch; of 'rprop' each weight's first one, at least 1e-6 and at most 50 as
        all of them.""",
    ),
    Parameter("power_t", 0.5, REAL_FROM_0, "Exponent of 'invscaling'."),
    Parameter("max_iter", 200, POSITIVE_COUNT, "Most epochs ({stochastic_solvers}) or iterations ({other_solvers})."),
    Parameter("shuffle", True, SWITCH, "Whether each epoch of {stochastic_solvers} goes through the rows in a new random order."),
    Parameter(
        "random_state",
        None,
        kinds.RANDOM_STATE,
        "Source of the starting weights, the validation split and the order of rows.",
        needs_own_fit=_is_moving_state,
    ),
    Parameter(
        "tol",
        0.0001,
        REAL_FROM_0,
        """{stochastic_solvers} stop when the loss (validation score with `early_stopping`) did not get better by `tol` for more
        than `n_iter_no_change` epochs; {other_solvers} by the validation score likewise, and when no element of the gradient is
        larger, or a step lowers the loss by less than about 2e-9 of it.""",
        of_solver={
            "lm": """The gradient of 'lm' is relative: to the targets' spread and to the steepest parameter of the layer, so that
            the unit of the targets does not matter."""
        },
    ),
    Parameter(
        "verbose",
        False,
        kinds.LINES,
        "Print the loss every `verbose` epochs (True is 1) and at the end.",
        needs_own_fit=bool,
    ),
    Parameter(
        "warm_start",
        False,
        SWITCH,
        "Whether `fit` goes on from the weights of the last one.",
        acts=BEFORE,
        needs_own_fit=lambda value: False,  # each fit of a search is a first one
    ),
    Parameter("momentum", 0.9, RATIO, "Momentum of 'sgd', between 0 and 1."),
    Parameter("nesterovs_momentum", True, SWITCH, "Whether the momentum of 'sgd' is Nesterov's."),
    Parameter(
        "early_stopping",
        False,
        kinds.SWITCH_OR_AS_SKLEARN,
        """Set `validation_fraction` of the rows aside, or take `X_val`, stop by their score and keep the weights with the best
        one. With {other_solvers} the rows are scored after each iteration. scikit-learn ignores it with 'lbfgs', in silence;
        'stochastic' does likewise, and is True for {stochastic_solvers}. Small tables are stopped before they have learnt much:
        measured on 16 of them, the error was 35 % above that without early stopping, and 13 % with ``n_iter_no_change=40``,
        which is the better setting there.""",
    ),
    Parameter("validation_fraction", 0.1, PART, "Part of the rows that `early_stopping` sets aside, in [0, 1)."),
    Parameter("beta_1", 0.9, PART, "Decay of the first moment of the gradient ('adam', 'adamw'), in [0, 1)."),
    Parameter("beta_2", 0.999, PART, "Decay of the second moment of the gradient ('adam', 'adamw', 'rmsprop'), in [0, 1)."),
    Parameter("epsilon", 1e-8, REAL_ABOVE_0, "Keeps the step of 'adam', 'adamw' and 'rmsprop' finite."),
    Parameter("n_iter_no_change", 10, kinds.PATIENCE, "Epochs (iterations) without improvement that are tolerated."),
    Parameter("max_fun", 15000, POSITIVE_COUNT, "Most evaluations of the loss by 'lbfgs'."),
)
