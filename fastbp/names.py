"""Every activation, loss, solver, schedule and start, said once, with what each may be combined with.

Plain data without numba, which all floors read: kernels their codes, training what to do, estimators what users may pass and what
the documentation says about it. To add one, add it here and follow docs/extending.md; the tests go through these tables.
"""

import math
from typing import NamedTuple

# ---- activations

IDENTITY, LOGISTIC, TANH, RELU, LEAKY_RELU, STEP, SOFTMAX, EXP, ELU, GELU, SELU, SILU, MISH, SOFTPLUS, HARDSWISH = range(15)
CUMULATIVE = 15
# Codes of slopes that are not had from an activation's output.
KEPT = -1  # the forward pass wrote it down
CANCELS = -2  # the loss cancels the slope of the outputs: the error signal is outputs - targets, times a factor for some losses


class Activation(NamedTuple):
    """One activation function."""

    code: int  # in kernels/activations.py
    text: str  # for the documentation, after the name
    is_hidden: bool = True  # whether it may stand in a hidden layer
    has_slope: bool = True  # if not, it is trained with slope 1
    keeps_slope: bool = False  # its slope cannot be had from its output: in training the forward pass writes it down
    is_monotone: bool = True  # whether it never falls
    is_homogeneous: bool = False  # whether f(c·x) is c·f(x) for every c above zero, so that it is of its inputs' unit
    flat: tuple[tuple[float, float], ...] = ()  # outputs, from … to …, where its slope is less than a hundredth of the largest

    @property
    def slope(self) -> int:
        """Code by which the backward pass finds the slope."""
        return KEPT if self.keeps_slope else self.code


ACTIVATIONS = {
    "identity": Activation(IDENTITY, "x itself", is_homogeneous=True),
    "logistic": Activation(LOGISTIC, "1 / (1 + e**-x)", flat=((0.0, 0.0025), (0.9975, 1.0))),
    "tanh": Activation(TANH, "the hyperbolic tangent", flat=((-1.0, -0.995), (0.995, 1.0))),
    "relu": Activation(RELU, "x above zero, 0 elsewhere", is_homogeneous=True, flat=((0.0, 0.0),)),
    "leaky_relu": Activation(LEAKY_RELU, "x above zero, 0.01·x elsewhere", is_homogeneous=True),
    "step": Activation(
        STEP, "1 above zero, 0 elsewhere; as that has no slope, it is trained with slope 1 everywhere [4]_", has_slope=False
    ),
    "elu": Activation(ELU, "x above zero, e**x - 1 elsewhere", flat=((-1.0, -0.99),)),
    "gelu": Activation(GELU, "x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) / 2", keeps_slope=True, is_monotone=False),
    "selu": Activation(
        SELU,
        "1.0507·x above zero, 1.7581·(e**x - 1) elsewhere, which keeps deep layers' spread near 1 [5]_",
        flat=((-1.76, -1.7476),),
    ),
    "silu": Activation(SILU, "x / (1 + e**-x)", keeps_slope=True, is_monotone=False),
    "mish": Activation(MISH, "x·tanh(log(1 + e**x))", keeps_slope=True, is_monotone=False),
    "softplus": Activation(SOFTPLUS, "log(1 + e**x)", flat=((0.0, 0.01),)),
    "hardswish": Activation(
        HARDSWISH,
        "x times x/6 + 1/2 kept between 0 and 1, a silu without exponentials",
        keeps_slope=True,
        is_monotone=False,
        flat=((0.0, 0.0),),
    ),
    "softmax": Activation(SOFTMAX, "exponentials over their sum", is_hidden=False),
    "exp": Activation(EXP, "e**x", is_hidden=False),
    "cumulative": Activation(
        CUMULATIVE, "differences of 1, the logistic function of each but the first, and 0, from left to right", is_hidden=False
    ),
}
OUTPUT_ACTIVATIONS = tuple(name for name in ACTIVATIONS if name != "cumulative")  # that users may choose
HIDDEN_ACTIVATIONS = tuple(name for name, activation in ACTIVATIONS.items() if activation.is_hidden)

# ---- losses

SQUARED_ERROR, LOG_LOSS, BINARY_LOG_LOSS, MULTIOUTPUT_LOG_LOSS, POISSON, HUBER, ABSOLUTE_ERROR, QUANTILE = range(8)
GAMMA, TWEEDIE, FOCAL, BINARY_FOCAL = range(8, 12)
ORDERED_LOG_LOSS = 12


class Loss(NamedTuple):
    """One loss, of targets that are numbers (regression) or classes."""

    code: int  # in kernels/losses.py
    text: str  # for the documentation, after the name
    outputs: tuple[str, ...]  # output activations for which it is defined; the first is what output_activation="auto" means
    canonical: str = ""  # the one of them whose slope it cancels, if there is one
    is_regression: bool = True
    has_class_numbers: bool = False  # whether the target of a row is the number of its class, not a value per output
    has_groups: bool = False  # whether the outputs are in groups with a softmax each, and a target is a probability per output
    has_score: bool = False  # whether the outputs come from one score, by weights that are fixed
    lowest_target: float = -math.inf
    excludes_lowest: bool = False  # whether targets must be above the lowest
    highest_target: float = math.inf
    is_own_score: bool = False  # whether early stopping goes by this loss of the validation rows, as R² says little of its aim
    parameter: str = ""  # the estimator's parameter that shapes it, if one does: a float
    parameter_default: float = 0.0
    parameter_range: tuple[float, float] = (0.0, math.inf)
    parameter_brackets: str = "()"  # whether the ends of that range belong to it


_REAL_OUTPUTS = tuple(name for name in ACTIVATIONS if name not in ("softmax", "cumulative"))
LOSSES = {
    "squared_error": Loss(SQUARED_ERROR, "half the squared error", _REAL_OUTPUTS, "identity"),
    "log_loss": Loss(
        LOG_LOSS,
        "the log-loss of several classes",
        ("softmax",),
        "softmax",
        is_regression=False,
        has_class_numbers=True,
        parameter="label_smoothing",
        parameter_range=(0.0, 1.0),
        parameter_brackets="[)",
    ),
    "binary_log_loss": Loss(
        BINARY_LOG_LOSS,
        "the log-loss of yes or no, per output",
        ("logistic",),
        "logistic",
        is_regression=False,
        lowest_target=0.0,
        highest_target=1.0,
        parameter="label_smoothing",
        parameter_range=(0.0, 1.0),
        parameter_brackets="[)",
    ),
    "multioutput_log_loss": Loss(
        MULTIOUTPUT_LOG_LOSS,
        "the log-loss of several classes, summed over several columns of them",
        ("softmax",),
        "softmax",
        is_regression=False,
        has_groups=True,
        lowest_target=0.0,
        highest_target=1.0,
        parameter="label_smoothing",
        parameter_range=(0.0, 1.0),
        parameter_brackets="[)",
    ),
    "poisson": Loss(POISSON, "half the Poisson deviance (targets ≥ 0, exponential output)", ("exp",), "exp", lowest_target=0.0),
    "huber": Loss(
        HUBER,
        "half the squared error up to an error of `delta` and straight on from there, for targets with outliers",
        _REAL_OUTPUTS,
        parameter="delta",
        parameter_default=1.0,
    ),
    "absolute_error": Loss(ABSOLUTE_ERROR, "the absolute error, whose best prediction is the median", _REAL_OUTPUTS),
    "quantile": Loss(
        QUANTILE,
        "the pinball loss, whose best prediction is the `quantile` of the target",
        _REAL_OUTPUTS,
        is_own_score=True,
        parameter="quantile",
        parameter_default=0.5,
        parameter_range=(0.0, 1.0),
    ),
    "gamma": Loss(
        GAMMA,
        "half the gamma deviance (targets > 0, exponential output)",
        ("exp",),
        "exp",
        lowest_target=0.0,
        excludes_lowest=True,
    ),
    "tweedie": Loss(
        TWEEDIE,
        "half the Tweedie deviance of the `power` (targets ≥ 0, exponential output)",
        ("exp",),
        "exp",
        lowest_target=0.0,
        parameter="power",
        parameter_default=1.5,
        parameter_range=(1.0, 2.0),
    ),
    "focal": Loss(
        FOCAL,
        "the log-loss of several classes, times (1 - p) ** `focal_gamma` for the probability p of the true one",
        ("softmax",),
        "softmax",
        is_regression=False,
        has_class_numbers=True,
        parameter="focal_gamma",
        parameter_default=2.0,
        parameter_brackets="[)",
    ),
    "binary_focal": Loss(
        BINARY_FOCAL,
        "the same for yes or no, per output",
        ("logistic",),
        "logistic",
        is_regression=False,
        lowest_target=0.0,
        highest_target=1.0,
        parameter="focal_gamma",
        parameter_default=2.0,
        parameter_brackets="[)",
    ),
    "ordered_log_loss": Loss(
        ORDERED_LOG_LOSS,
        "the log-loss of classes that have an order, with one score and thresholds between them",
        ("cumulative",),
        "cumulative",
        is_regression=False,
        has_class_numbers=True,
        has_score=True,
    ),
}
REGRESSION_LOSSES = tuple(name for name, loss in LOSSES.items() if loss.is_regression)
CLASSIFIER_LOSSES = ("log_loss", "focal")  # as users name them; with the logistic output they are binary

# ---- solvers

GRADIENT_ONLY, SGD, NESTEROV, ADAM, RMSPROP, ADAMW, RPROP = range(7)


class Solver(NamedTuple):
    """One training algorithm: the function of training/solvers.py that runs it and, for a stochastic one, its step rule."""

    text: str  # for the documentation, after the name
    trainer: str  # "stochastic", batch by batch and epoch by epoch, or the name of a trainer of all rows at once
    rule: int = GRADIENT_ONLY  # code in kernels/updates.py
    nesterov_rule: int | None = None  # the code in its place with nesterovs_momentum=True
    n_moments: int = 0  # vectors laid out like the parameters that the rule keeps, 0 to 2
    decay_1: str = ""  # the estimator's parameter by which the first of them, or the only one, decays
    decay_2: str = ""  # likewise the second
    has_schedule: bool = False  # whether `learning_rate` is for it
    is_per_sample: bool = False  # whether batches of one dense row go through the loop made for them (kernels/online.py)
    stays_in_span: bool = False  # whether its steps never leave the span of the rows (training/row_space.py)
    is_full_batch: bool = False  # whether a step is by all rows, whatever `batch_size` says
    has_own_rates: bool = False  # whether the second vector holds a step size per weight, first learning_rate_init, for good
    losses: tuple[str, ...] = ()  # the only ones it is for; () is all
    needs_slopes: bool = False  # whether every activation must have a slope
    estimates_alpha: bool = False  # whether alpha may be BAYES

    @property
    def is_stochastic(self) -> bool:
        """Whether it goes epoch by epoch, so that partial_fit, early stopping and shuffling are for it."""
        return self.trainer == "stochastic"


SOLVERS = {
    "lbfgs": Solver("a quasi-Newton method over all rows, often the best on small data", "lbfgs"),
    "lm": Solver(
        "Levenberg and Marquardt's method over all rows, for the squared error, the fastest up to some hundred weights [6]_",
        "lm",
        losses=("squared_error",),
        needs_slopes=True,
        estimates_alpha=True,
    ),
    "sgd": Solver(
        "gradient descent with momentum",
        "stochastic",
        rule=SGD,
        nesterov_rule=NESTEROV,
        n_moments=1,
        decay_1="momentum",
        has_schedule=True,
        is_per_sample=True,
        stays_in_span=True,
    ),
    "adam": Solver(
        "gradient descent with a rate per weight [3]_", "stochastic", rule=ADAM, n_moments=2, decay_1="beta_1", decay_2="beta_2"
    ),
    "rmsprop": Solver(
        "gradient descent over the root of the mean squared gradient of a weight, which decays by `beta_2` (Hinton 2012)",
        "stochastic",
        rule=RMSPROP,
        n_moments=1,
        decay_1="beta_2",
        has_schedule=True,
    ),
    "adamw": Solver(
        "adam whose `weight_decay` is no part of the gradient (Loshchilov and Hutter 2019, arXiv:1711.05101)",
        "stochastic",
        rule=ADAMW,
        n_moments=2,
        decay_1="beta_1",
        decay_2="beta_2",
        has_schedule=True,
    ),
    "rprop": Solver(
        "a step size per weight, by all rows, that grows while the gradient keeps its sign (iRPROP-, Igel and Hüsken 2000)",
        "stochastic",
        rule=RPROP,
        n_moments=2,
        is_full_batch=True,
        has_own_rates=True,
    ),
}

BAYES = "bayes"  # what alpha may be where the solver estimates it

# ---- learning rate schedules

CONSTANT, INVSCALING, ADAPTIVE = range(3)


class Schedule(NamedTuple):
    """One way for the learning rate to change."""

    text: str  # for the documentation, after the name
    code: int = CONSTANT  # in kernels/epochs.py, of one that depends on the course of the training
    is_for_all: bool = False  # moves with every step of every stochastic solver: a factor out of training/schedules.py


SCHEDULES = {
    "constant": Schedule("the rate stays"),
    "invscaling": Schedule("``learning_rate_init / (t_ + 1) ** power_t``", INVSCALING),
    "adaptive": Schedule("divided by 5 whenever training would stop, until it is 1e-6", ADAPTIVE),
    "cosine": Schedule("times ½·(1 + cos(π·t)) (arXiv:1608.03983)", is_for_all=True),
    "one_cycle": Schedule(
        "up from a 25th over three tenths of the steps, then down to 4e-6 of it (arXiv:1708.07120)", is_for_all=True
    ),
    "coslog": Schedule("times ½·(1 - cos(2π·log2(1 + 15·t))), four ever longer waves (arXiv:2407.04491)", is_for_all=True),
}

# ---- averages of the weights

NO_AVERAGE, POLYAK, EXPONENTIAL = range(3)

# ---- scores of a validation set

ACCURACY, R2, NEGATIVE_LOSS = range(3)
SCORES = {"accuracy": ACCURACY, "r2": R2, "loss": NEGATIVE_LOSS}

# ---- starts


class Start(NamedTuple):
    """One way to draw starting weights: from a distribution ("" draws none) whose spread is the root of numerator / fan."""

    distribution: str  # "uniform", "normal", "orthogonal" or ""
    numerator: float | None = None  # None: the spread is 1
    numerator_of_logistic: float | None = None  # in its place for a logistic layer
    with_fan_out: bool = False  # whether the fan is n_in + n_out, not n_in
    draws_intercepts: bool = False  # intercepts are drawn too, not zero
    fits_rows: bool = False  # what is drawn is fitted to the rows, see training/starts.py


STARTS = {
    "glorot_uniform": Start("uniform", 6.0, 2.0, with_fan_out=True, draws_intercepts=True),
    "glorot_normal": Start("normal", 2.0, with_fan_out=True),
    "he_uniform": Start("uniform", 6.0),
    "he_normal": Start("normal", 2.0),
    "lecun_uniform": Start("uniform", 3.0),
    "lecun_normal": Start("normal", 1.0),
    "orthogonal": Start("orthogonal"),
    "normal": Start("normal"),
    "zeros": Start(""),
    "data": Start("normal", fits_rows=True),
}

# ---- embeddings of the numbers that come in

EMBEDDINGS = {
    "periodic": "three sums of sixteen waves over the number, beside the number itself; waves and sums are trained [8]_"
}

# ---- what may have a factor on the learning rate

RATE_FACTORS = ("coefs", "intercepts", "embedding", "scale")
