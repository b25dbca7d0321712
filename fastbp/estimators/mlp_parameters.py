"""The parameters that scikit-learn's MLPs have too, in the same order; see parameter_table.py."""

from typing import Any

import numpy as np

from fastbp.estimators import parameter_kinds as kinds
from fastbp.estimators.parameter_kinds import Parameter
from fastbp.names import REGRESSION_LOSSES


def _is_moving_state(value: Any) -> bool:
    """Whether a value is a RandomState that a search cannot copy for its fits."""
    from fastbp.training.random_state import open_twister

    return isinstance(value, np.random.RandomState) and open_twister(value) is None


MLP_PARAMETERS = (
    Parameter(
        "loss",
        "squared_error",
        kinds.loss_from(*REGRESSION_LOSSES),
        "The loss that is minimised: {about_losses}; or a loss of your own, see `CustomLoss`.",
        estimators=(kinds.REGRESSOR,),
        needs_own_fit=lambda value: value == "gaussian_nll",  # which scales targets
    ),
    Parameter(
        "hidden_layer_sizes",
        (100,),
        kinds.LAYER_SIZES,
        'Units of each hidden layer; an int is one layer, ``"64-32"`` is ``(64, 32)``, ``()`` has no hidden layer.',
        of_estimator={kinds.AUTOENCODER: {"default": (32, 8, 32)}},
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
        "L2 penalty on the weights (not on the intercepts): alpha / (2 S) times the sum of their squares, for S rows.",
        of_estimator={
            kinds.REGRESSOR: {
                "kind": kinds.PENALTY_OR_BAYES,
                "text": r"""L2 penalty on the weights (not on the intercepts): alpha / (2 S) times the sum of their
                squares, for S rows. 'bayes', for the solver 'lm', estimates it together with the variance of the noise from the
                training rows alone, by the evidence for them (D. J. C. MacKay, A practical Bayesian framework for
                backpropagation networks, 1992; F. D. Foresee and M. T. Hagan, Gauss-Newton approximation to Bayesian learning,
                1997): after each step alpha becomes
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
        """Rows per step, for the solvers that train in batches; 'rprop' always takes all rows. 'auto' is ``min(200,
        n_samples)``.""",
    ),
    Parameter(
        "learning_rate",
        "constant",
        kinds.SCHEDULE,
        """How the learning rate changes. For {scheduled_solvers}, from epoch to epoch: {course_schedules}. For
        {rate_solvers}, from step to step, where t is 0 at the first step and 1 after the last of `max_iter` epochs:
        {step_schedules}. You can also pass a function: it gets the number of the epoch, from 0, and returns the factor on
        `learning_rate_init`. To pickle the estimator, or to fit it in other processes, the function must be one that can
        be pickled. `partial_fit` continues along a schedule; after its end, the last factor stays.""",
    ),
    Parameter(
        "learning_rate_init",
        0.001,
        kinds.REAL_ABOVE_0,
        """Step size of the solvers that train in batches. For 'rprop', the first step size of each weight; all of its step sizes
        are between 1e-6 and 50.""",
    ),
    Parameter("power_t", 0.5, kinds.REAL_FROM_0, "Exponent of 'invscaling'."),
    Parameter(
        "max_iter", 200, kinds.POSITIVE_COUNT, "Maximum number of epochs ({stochastic_solvers}) or iterations ({other_solvers})."
    ),
    Parameter("shuffle", True, kinds.SWITCH, "Whether {stochastic_solvers} take the rows in a new random order in each epoch."),
    Parameter(
        "random_state",
        None,
        kinds.RANDOM_STATE,
        "Seed of the initial weights, the validation split and the order of rows.",
        needs_own_fit=_is_moving_state,
    ),
    Parameter(
        "tol",
        0.0001,
        kinds.REAL_FROM_0,
        """{stochastic_solvers} stop when the loss (with `early_stopping`, the validation score) has not improved by `tol` for
        more than `n_iter_no_change` epochs. With `early_stopping`, {other_solvers} do the same. They also stop when no element of
        the gradient is larger than `tol`, or when a step lowers the loss by less than about 2e-9 of it.""",
        of_solver={
            "lm": """The gradient of 'lm' is relative to the standard deviation of the targets and to the steepest parameter of
            the layer, so that the unit of the targets does not matter."""
        },
    ),
    Parameter(
        "verbose",
        False,
        kinds.VERBOSITY,
        "Print the loss every `verbose` epochs (True is 1) and at the end.",
        needs_own_fit=bool,
    ),
    Parameter(
        "warm_start",
        False,
        kinds.SWITCH,
        "Whether `fit` continues from the weights of the last fit.",
        acts=kinds.BEFORE,
        needs_own_fit=lambda value: False,  # each fit of a search is a first one
    ),
    Parameter("momentum", 0.9, kinds.FROM_0_TO_1, "Momentum, between 0 and 1.", used_by=kinds.decayed_by("momentum")),
    Parameter(
        "nesterovs_momentum",
        True,
        kinds.SWITCH,
        "Whether the momentum is Nesterov's.",
        used_by=lambda solver: solver.nesterov_rule is not None,
    ),
    Parameter(
        "early_stopping",
        False,
        kinds.SWITCH_OR_AS_SKLEARN,
        """Set aside `validation_fraction` of the rows, or take `X_val`. Stop when their score no longer improves, and keep the
        weights with the best score. {other_solvers} score them after each iteration. scikit-learn silently ignores early
        stopping with 'lbfgs'; 'stochastic' does so too, and is the same as True for {stochastic_solvers}. Early stopping
        often ends too soon on small tables: on 16 of them, the error was 35 % larger than without it, and 13 % larger
        with ``n_iter_no_change=40``.""",
    ),
    Parameter("validation_fraction", 0.1, kinds.FROM_0_BELOW_1, "Fraction of rows that `early_stopping` sets aside, in [0, 1)."),
    Parameter(
        "beta_1",
        0.9,
        kinds.FROM_0_BELOW_1,
        "Decay of the first moment of the gradient, in [0, 1).",
        used_by=kinds.decayed_by("beta_1"),
    ),
    Parameter(
        "beta_2",
        0.999,
        kinds.FROM_0_BELOW_1,
        "Decay of the second moment of the gradient, in [0, 1).",
        used_by=kinds.decayed_by("beta_2"),
    ),
    Parameter(
        "epsilon",
        1e-8,
        kinds.REAL_ABOVE_0,
        "Small number, added to the root of the second moment before the step is divided by it.",
        used_by=kinds.decayed_by("beta_2"),
    ),
    Parameter("n_iter_no_change", 10, kinds.PATIENCE, "Number of epochs (iterations) without improvement to tolerate."),
    Parameter(
        "max_fun",
        15000,
        kinds.POSITIVE_COUNT,
        "Maximum number of evaluations of the loss.",
        used_by=lambda solver: solver.trainer == "lbfgs",
    ),
)
