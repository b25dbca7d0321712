"""The hyperparameters of one fit."""

import math
from typing import Any, NamedTuple

from fastbp.names import LOSSES, SCHEDULES, SOLVERS


class RateFactors(NamedTuple):
    """Factors on the learning rate of each kind of parameter; "fan_in" is 1 / √n for the weights of a layer with n inputs."""

    coefs: Any = 1.0
    intercepts: float = 1.0
    embedding: float = 1.0
    scale: float = 1.0


EQUAL_RATES = RateFactors()


class Settings(NamedTuple):
    """The estimators' parameters of the same names, checked and complete: the targets and other parameters are known here."""

    # the network
    hidden_sizes: tuple[int, ...]
    activations: tuple[str, ...]  # one per hidden layer
    output_activation: str
    loss: Any  # a name, or a CustomLoss
    loss_parameter: float | tuple[float, ...]  # one for all outputs or one for each; 0 if the loss has none
    groups: tuple[int, ...]  # sizes of the groups of outputs with a softmax each; () for one group
    fit_intercept: bool
    embedded: tuple[int, ...] | None  # columns with an embedding; None is all
    frequency_init_scale: float  # standard deviation of the initial frequencies of the embedding
    scale_layer: bool
    skip_layer: bool
    monotonic: tuple[int, ...]  # per feature 1, -1 or 0, see training/monotone.py; () for no constraint
    categories: tuple[int, ...]  # number of categories in each of the last columns, which hold codes
    category_sizes: tuple[int, ...]  # size of an embedding in each of these columns; () for no embeddings
    # how it is initialised
    init: Any  # a name, or (coefs, intercepts) as arrays
    init_scale: float
    drawn_for: tuple[str, ...]  # per layer of weights, the activation that its initialisation depends on
    n_restarts: int
    # how it is trained
    dropout: tuple[float, ...]  # rate for the inputs of each layer of weights; () for no dropout
    solver: str
    alpha: Any  # a float, or BAYES if the solver estimates it
    batch_size: Any  # an int or "auto"
    learning_rate: Any  # a name, or a function of the epoch
    learning_rate_init: float
    power_t: float
    momentum: float
    nesterovs_momentum: bool
    beta_1: float
    beta_2: float
    epsilon: float
    rate_factors: RateFactors
    shuffle: bool
    warmup_steps: int
    scheduled_epochs: int  # length of a schedule: max_iter, also if partial_fit trains for one epoch
    decay_schedule: str  # of weight_decay: a name in training/schedules.py, or "constant"
    dropout_schedule: str  # likewise, of the rates of dropout
    weight_decay: float
    l1_ratio: float
    clip_norm: float  # infinity if nothing is clipped
    clip_value: float
    max_norm: float
    averaging: Any  # None, "polyak" or the decay of an exponential average
    record_gradient_norms: bool
    # when it ends
    max_iter: int
    max_fun: int
    max_time: float  # seconds; infinity for no limit
    tol: float
    n_iter_no_change: float
    early_stopping: bool  # False for solvers that ignore it
    validation_fraction: float
    score: Any  # of held-out rows: a name in SCORES, or a function of (network, params, held_out)
    # how it is run
    verbose: int  # epochs or iterations between two lines; 0 prints none
    n_threads: int | None

    @property
    def is_plain(self) -> bool:
        """Whether the network has only layers, and its parameters have one learning rate and no constraints."""
        has_more = self.scale_layer or self.categories or self.skip_layer or self.monotonic or LOSSES[self.loss].has_score
        return self.embedded == () and not has_more and self.rate_factors == EQUAL_RATES

    def rows_per_step(self, n_rows: int) -> int:
        """Return the number of rows in a batch, if there are n_rows in all."""
        if SOLVERS[self.solver].is_full_batch:
            return n_rows
        return min(200 if self.batch_size == "auto" else int(self.batch_size), n_rows)

    @property
    def moves_with_steps(self) -> bool:
        """Whether the learning rate, weight decay or dropout changes within an epoch."""
        moves = not callable(self.learning_rate) and SCHEDULES[self.learning_rate].is_for_all
        return moves or self.warmup_steps > 0 or self.decay_schedule != "constant" or self.dropout_schedule != "constant"

    @property
    def is_measured(self) -> bool:
        """Whether steps need the norms of gradients."""
        return self.clip_norm < math.inf or self.record_gradient_norms

    @property
    def is_shaped(self) -> bool:
        """Whether steps clip, measure or average gradients or weights, or have an L1 penalty (kernels/steps.py)."""
        return (
            self.l1_ratio * self.alpha > 0.0
            or min(self.clip_value, self.max_norm) < math.inf
            or self.averaging is not None
            or self.is_measured
        )
