"""Tables of all solvers, schedules and initialisations, and what each may be combined with.

Activations and losses are in functions/. The tables are plain data without numba for all floors: kernels read the codes, training
what to do, estimators what users may pass and the texts for the documentation. To add an entry, see docs/extending.md; the tests
go through these tables.
"""

from typing import NamedTuple

from .functions.activations import ACTIVATIONS
from .functions.activations import CANCELS as CANCELS
from .functions.activations import KEPT as KEPT
from .functions.losses import LOSSES

# ---- codes of activations and losses that kernels name

IDENTITY, LOGISTIC, TANH, RELU, LEAKY_RELU, STEP, SOFTMAX, EXP = (
    ACTIVATIONS[name].code for name in ("identity", "logistic", "tanh", "relu", "leaky_relu", "step", "softmax", "exp")
)
CUMULATIVE = ACTIVATIONS["cumulative"].code
SQUARED_ERROR, LOG_LOSS, BINARY_LOG_LOSS, MULTIOUTPUT_LOG_LOSS, FOCAL, BINARY_FOCAL = (
    LOSSES[name].code
    for name in ("squared_error", "log_loss", "binary_log_loss", "multioutput_log_loss", "focal", "binary_focal")
)
ORDERED_LOG_LOSS = LOSSES["ordered_log_loss"].code
GAUSSIAN_NLL = LOSSES["gaussian_nll"].code

OUTPUT_ACTIVATIONS = tuple(name for name in ACTIVATIONS if name != "cumulative")  # that users may choose
HIDDEN_ACTIVATIONS = tuple(name for name, activation in ACTIVATIONS.items() if activation.is_hidden)
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
    has_schedule: bool = False  # whether it uses `learning_rate`
    has_weight_decay: bool = False  # whether its steps also shrink the weights, by `weight_decay`
    is_per_sample: bool = False  # whether batches of one dense row go through the per-sample loop (kernels/online.py)
    stays_in_span: bool = False  # whether its steps never leave the span of the rows (training/row_space.py)
    is_full_batch: bool = False  # whether each step uses all rows, whatever `batch_size` is
    has_own_rates: bool = False  # whether the second vector has a step size per weight, which is learning_rate_init at first
    losses: tuple[str, ...] = ()  # the losses that it can minimise; () is all
    needs_slopes: bool = False  # whether every activation must have a slope
    estimates_alpha: bool = False  # whether alpha may be BAYES
    stops_late_elsewhere: bool = False  # whether scikit-learn has it, but ignores early_stopping with it

    @property
    def is_stochastic(self) -> bool:
        """Whether it trains epoch by epoch, so that it has partial_fit and shuffling."""
        return self.trainer == "stochastic"

    @property
    def is_by_batches(self) -> bool:
        """Whether the loss may differ between steps, through other rows, dropout or noise."""
        return self.is_stochastic and not self.is_full_batch


SOLVERS = {
    "lbfgs": Solver("a quasi-Newton method over all rows, often the best on small data", "lbfgs", stops_late_elsewhere=True),
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
        has_weight_decay=True,
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

AS_SKLEARN = "stochastic"  # a value of early_stopping: only for solvers that train epoch by epoch, as in scikit-learn

BAYES = "bayes"  # a value of alpha for solvers that estimate it

# ---- learning rate schedules

CONSTANT, INVSCALING, ADAPTIVE = range(3)


class Schedule(NamedTuple):
    """One way for the learning rate to change."""

    text: str  # for the documentation, after the name
    code: int = CONSTANT  # in kernels/epochs.py, if it depends on the course of the training
    is_for_all: bool = False  # whether it changes with every step, for all stochastic solvers, by training/schedules.py


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

# ---- initialisation


class Initialisation(NamedTuple):
    """One way to draw initial weights: from a distribution ("" draws none) whose scale is the root of numerator / fan."""

    distribution: str  # "uniform", "normal", "orthogonal" or ""
    numerator: float | None = None  # None: the scale is 1
    numerator_of_logistic: float | None = None  # in its place for a logistic layer
    with_fan_out: bool = False  # whether the fan is n_in + n_out, not n_in
    draws_intercepts: bool = False  # whether intercepts are drawn too, not zero
    fits_rows: bool = False  # whether the drawn weights are fitted to the rows, see training/initialisation.py


INITIALISATIONS = {
    "glorot_uniform": Initialisation("uniform", 6.0, 2.0, with_fan_out=True, draws_intercepts=True),
    "glorot_normal": Initialisation("normal", 2.0, with_fan_out=True),
    "he_uniform": Initialisation("uniform", 6.0),
    "he_normal": Initialisation("normal", 2.0),
    "lecun_uniform": Initialisation("uniform", 3.0),
    "lecun_normal": Initialisation("normal", 1.0),
    "orthogonal": Initialisation("orthogonal"),
    "normal": Initialisation("normal"),
    "zeros": Initialisation(""),
    "data": Initialisation("normal", fits_rows=True),
}

# ---- embeddings of numbers

EMBEDDINGS = {
    "periodic": "three sums of sixteen waves over the number, beside the number itself; waves and sums are trained [8]_"
}

# ---- parameters that may have a factor on the learning rate

RATE_FACTORS = ("coefs", "intercepts", "embedding", "scale")
